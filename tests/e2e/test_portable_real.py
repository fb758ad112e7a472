"""A portable copy leaves nothing on the computer: watched by the kernel's record of what it writes.

The program is a stand-in for the packaged one, a script that runs the app as if it were frozen; and, among
the tests of packages, what is in the .deb. Everything else is real: window, engine, model.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="watches system calls of Linux"),
]

DIST = Path(__file__).parents[2] / "dist" / "linux"
PROGRAM = """#!{python} -IB
import sys
sys.frozen = True
sys.executable = __file__
from localai_app.__main__ import main
sys.exit(main())
"""
WRITING = "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknodat"
OPENED = re.compile(r'\b(?:open|openat|creat)\((?:\w+, )?"([^"]+)", ([A-Z_|]+).* = \d')
MADE = re.compile(r'\b(?:mkdir|rename|link|symlink|mknod)\w*\(.*"([^"]+)"[^"]* = 0')


def stand_in(folder: Path) -> None:
    """Write a program that takes itself for a frozen one."""
    folder.mkdir()
    program = folder / "localai-app"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)


def packaged(folder: Path) -> None:
    """Take the program out of its package, as a person does."""
    packages = sorted(DIST.glob("localai-app_*.deb"))
    if not packages:
        pytest.skip("there is no package; `make deb` makes one")
    unpacked = folder.with_name("unpacked")
    subprocess.run(["dpkg-deb", "-x", str(packages[-1]), str(unpacked)], check=True)
    (unpacked / "opt" / "localai-app").rename(folder)


@pytest.fixture(
    params=[stand_in, pytest.param(packaged, marks=pytest.mark.packaged)], ids=lambda it: it.__name__
)
def stick(request: pytest.FixtureRequest, tmp_path: Path, starter_model: Path) -> Path:
    """A folder with the program, the marker and a model."""
    folder = tmp_path / "stick"
    request.param(folder)
    models = folder / "data" / "models"
    models.mkdir(parents=True)
    shutil.copyfile(starter_model, models / starter_model.name)
    (folder / "portable").touch()
    return folder


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    """What of this computer is the person's; it stays empty."""
    folder = tmp_path / "host"
    for name in ("home", "temporary", "runtime"):
        (folder / name).mkdir(parents=True, mode=0o700)
    yield folder
    assert sorted(path.name for path in folder.rglob("*")) == ["home", "runtime", "temporary"]


def environment(host: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(host / "home"),
        "TMPDIR": str(host / "temporary"),
        "XDG_RUNTIME_DIR": str(host / "runtime"),
        "LOCALAI_APP_DATA_DIR": str(host / "home" / "of-the-installed-app"),
        **more,
    }


def watch(log: Path) -> list[str]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not here")
    return ["strace", "-f", "-qq", "-e", f"trace={WRITING}", "-o", str(log)]


def written(log: Path) -> set[str]:
    """Paths that were made, or opened to be written to."""
    found = set()
    for line in log.read_text().splitlines():
        if (opened := OPENED.search(line)) and re.search("O_WRONLY|O_RDWR|O_CREAT", opened[2]):
            found.add(opened[1])
        elif made := MADE.search(line):
            found.add(made[1])
    return found


def elsewhere(log: Path, stick: Path) -> set[str]:
    """What was written outside the stick and is no device or pseudo file."""
    return {path for path in written(log) if not path.startswith((f"{stick}/", "/dev/", "/proc/"))}


def test_the_watch_sees_what_is_written(host: Path, stick: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    write = "import os; open('a', 'w'); os.mkdir(os.path.abspath('b')); open('/dev/null', 'w')"
    command = [*watch(log), sys.executable, "-IBc", write]
    done = subprocess.run(command, check=False, env=environment(host), cwd=tmp_path)
    if done.returncode:
        pytest.skip("strace may not watch here")
    assert elsewhere(log, stick) == {"a", str(tmp_path / "b")}


def test_a_chat_leaves_nothing_on_the_computer(host: Path, stick: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [str(stick / "localai-app"), "chat", "--prompt", "Say hello.", "--max-tokens", "8"]
    done = subprocess.run(
        [*watch(log), *command],
        capture_output=True,
        text=True,
        check=False,
        env=environment(host),
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert (stick / "data" / "store.db").stat().st_size
    assert elsewhere(log, stick) == set()
    assert str(stick / "data" / "key.json") in {path for path in written(log) if path.endswith(".json")}


def test_the_window_leaves_nothing_on_the_computer(host: Path, stick: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "passphrase").write_text("correct horse battery\n")
    more = {
        "QT_QPA_PLATFORM": "offscreen",
        "LOCALAI_APP_PASSPHRASE_FILE": str(tmp_path / "passphrase"),
    }
    # Its own group: strace passes a signal on to nobody.
    with subprocess.Popen(
        [*watch(log), str(stick / "localai-app")], env=environment(host, **more), start_new_session=True
    ) as process:
        requests = stick / "data" / "open-requests"  # made once the window has loaded
        until = time.monotonic() + 60
        while not requests.is_dir() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)
    assert requests.is_dir()
    assert elsewhere(log, stick) == set()


def test_what_file_dialogs_remember_is_kept_on_the_stick(host: Path, stick: Path) -> None:
    remember = (
        "import sys; sys.frozen, sys.executable = True, sys.argv[1]\n"
        "from PySide6.QtCore import QSettings\n"
        "from localai_app.ui import application\n"
        "application._keep_settings_portable()\n"
        "settings = QSettings(QSettings.Scope.UserScope, 'QtProject')\n"
        "settings.setValue('FileDialog/lastVisited', 'x'); settings.sync()"
    )
    subprocess.run(
        [sys.executable, "-IBc", remember, str(stick / "localai-app")], check=True, env=environment(host)
    )
    assert (stick / "data" / "config" / "QtProject.conf").is_file()

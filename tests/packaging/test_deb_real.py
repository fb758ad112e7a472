"""The Debian packages in a bare Debian: installed silently, used, removed and purged.

The root (debootstrap, kept in the build cache) holds nothing but what the packages declare. The display is
outside of it, so that no library of a display server helps. Needs root, and the packages of `make deb`.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.packaging.scripts import ROOT, load

pytestmark = [pytest.mark.packaged, pytest.mark.timeout(1800)]

RELEASE = "bookworm"
PACKAGES = ROOT / "dist" / "linux"
BASE = load("build_engine").cache() / f"debian-{RELEASE}.tar"
"""Asked before the tests get folders of their own."""
NAMES = ("localai-app", "localai-app-models", "localai-app-ocr")
NOT_OURS = ("proc", "sys", "dev", "run", "tmp", "home", "var/lib/dpkg", "var/lib/apt", "var/cache", "var/log")
"""Where dpkg keeps its own notes, and the person her things."""
READY_SECONDS = 1.5


@dataclass(frozen=True)
class Debian:
    """A root that is entered with chroot."""

    folder: Path

    def run(self, *command: str, user: str = "root", display: str = "") -> subprocess.CompletedProcess[str]:
        """What ``command`` did."""
        return _run(*self.command(*command, user=user, display=display))

    def command(self, *command: str, user: str, display: str = "") -> list[str]:
        """``command`` as it is started from outside."""
        home = "/root" if user == "root" else f"/home/{user}"
        clean = ["env", "-i", f"HOME={home}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        clean += ["DEBIAN_FRONTEND=noninteractive", *([f"DISPLAY={display}"] if display else [])]
        return ["chroot", f"--userspec={user}:{user}", str(self.folder), *clean, *command]

    def files(self) -> set[str]:
        """Every file and folder but those in `NOT_OURS`."""
        found = set()
        for folder, names, files in os.walk(self.folder):
            inside = os.path.relpath(folder, self.folder)
            names[:] = [name for name in names if os.path.normpath(f"{inside}/{name}") not in NOT_OURS]
            found |= {os.path.normpath(f"{inside}/{name}") for name in [*names, *files]}
        return found


def package(name: str) -> Path:
    """The newest package of this name."""
    found = sorted(PACKAGES.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
    if not found:
        pytest.skip(f"there is no package {name}; `make deb` makes it")
    return found[-1]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    """A bare Debian with the dependencies that the app's package declares, and a person."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("a bare Debian is made by root, with debootstrap")
    depends = _output("dpkg-deb", "-f", str(package("localai-app")), "Depends")
    folder = tmp_path_factory.mktemp("debian")
    if not BASE.exists():
        BASE.parent.mkdir(parents=True, exist_ok=True)
        _output("debootstrap", "--variant=minbase", RELEASE, str(folder), "http://deb.debian.org/debian")
        _output("tar", "-C", str(folder), "-cf", f"{BASE}.part", ".")
        Path(f"{BASE}.part").rename(BASE)
    else:
        _output("tar", "-C", str(folder), "-xpf", str(BASE))
    shutil.copyfile("/etc/resolv.conf", folder / "etc/resolv.conf")
    root = Debian(folder)
    for sockets in (Path("/tmp/.X11-unix"), folder / "tmp/.X11-unix"):
        sockets.mkdir(exist_ok=True)
    mounts = ("proc", "dev", "tmp/.X11-unix")
    try:
        for where in mounts:
            _output("mount", "--bind", f"/{where}", str(folder / where))
        root.run("apt-get", "-q", "update")
        root.run("apt-get", "-q", "-y", "--no-install-recommends", "satisfy", depends)
        root.run("useradd", "--create-home", "person")
        yield root
    finally:
        for where in reversed(mounts):
            subprocess.run(["umount", str(folder / where)], check=False, capture_output=True)


@pytest.fixture(scope="module")
def before(debian: Debian) -> set[str]:
    """What lay there before the packages came."""
    return debian.files()


@pytest.fixture(scope="module")
def installed(debian: Debian, before: set[str]) -> Debian:
    """The same Debian with the packages."""
    assert before
    for name in NAMES:
        shutil.copy(package(name), debian.folder / "root" / f"{name}.deb")
    # dpkg, not apt: nothing that is not there already can come along.
    done = debian.run("dpkg", "-i", *(f"/root/{name}.deb" for name in NAMES))
    assert "warning" not in done.stderr
    for name in NAMES:
        (debian.folder / "root" / f"{name}.deb").unlink()
    return debian


@pytest.fixture
def display() -> Iterator[str]:
    """A display outside of the root."""
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        pytest.skip("Xvfb and xdotool are not installed")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-ac", "-screen", "0", "1280x800x24"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as answer:
            number = answer.readline().strip()
        yield f":{number}"
        server.terminate()


def test_every_library_in_the_package_finds_what_it_needs(installed: Debian) -> None:
    program = installed.folder / "opt/localai-app"
    files = [
        f"/{path.relative_to(installed.folder)}"
        for path in program.rglob("*")
        if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"
    ]
    assert len(files) > 100
    told = installed.run("sh", "-c", f"ldd {' '.join(files)} 2>&1").stdout
    assert "not found" not in told


def test_the_starter_model_answers_in_the_terminal(installed: Debian) -> None:
    likeliest = ["--temperature", "0", "--max-tokens", "20"]
    command = ["localai-app", "chat", "--prompt", "Name the days of the week.", *likeliest]
    answer = installed.run(*command, user="person").stdout
    assert "Monday, Tuesday, Wednesday" in answer


def test_doctor_finds_nothing_bad(installed: Debian) -> None:
    told = installed.run("localai-app", "doctor", "--no-speed", "--json", user="person").stdout
    checks = json.loads(told)["checks"]
    assert [check for check in checks if check["level"] == "bad"] == []
    assert [check["level"] for check in checks if check["name"] == "starter"] == ["ok"]


def test_a_task_over_a_document_is_done_and_its_results_are_written(installed: Debian) -> None:
    home = installed.folder / "home/person"
    (home / "letter.txt").write_text("Invoice 4711. Please pay 120 euros by 1 May.", encoding="utf-8")
    labels = ["--label", "invoice: a bill to be paid", "--label", "letter: anything else"]
    results = "/home/person/results.pdf"
    command = ["localai-app", "task", "run", "classify", *labels, "--out", results, "--json"]
    told = installed.run(*command, "/home/person/letter.txt", user="person").stdout
    run = json.loads(told)["run"]
    assert (run["state"], run["done"], run["failed"]) == ("done", 1, 0)
    assert (home / "results.pdf").read_bytes()[:5] == b"%PDF-"


def test_text_in_a_picture_is_read(installed: Debian) -> None:
    picture = Image.new("RGB", (1240, 400), "white")
    line = "Please pay by the first of May."
    ImageDraw.Draw(picture).text((80, 120), line, fill="black", font=ImageFont.load_default(48))
    picture.save(installed.folder / "home/person/scan.png", dpi=(150, 150))
    installed.run("localai-app", "docs", "add", "/home/person/scan.png", user="person")
    found = installed.run("localai-app", "docs", "search", "first of May", "--json", user="person").stdout
    assert line in {passage["text"].strip() for passage in json.loads(found)}


def test_the_window_is_there_in_a_moment(installed: Debian, display: str) -> None:
    seconds = [_start(installed, display) for _ in range(4)]
    assert min(seconds) <= READY_SECONDS, f"it took {seconds} s"


def _start(debian: Debian, display: str) -> float:
    """Seconds until the window is seen."""
    began = time.monotonic()
    command = debian.command("localai-app", user="person", display=display)
    look = ["xdotool", "search", "--onlyvisible", "--name", "LocalAI"]
    environment = {**os.environ, "DISPLAY": display}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as app:
        # Not xdotool's own --sync, which looks twice a second.
        while subprocess.run(look, env=environment, check=False, capture_output=True).returncode:
            assert time.monotonic() < began + 60, "there is no window"
            assert app.poll() is None, "the app has ended"
            time.sleep(0.02)
        seconds = time.monotonic() - began
        app.terminate()
    return seconds


def test_the_desktop_is_told_what_the_app_is_and_opens(installed: Debian) -> None:
    share = installed.folder / "usr/share"
    for path in ("applications/localai-app.desktop", "mime/packages/localai-app.xml"):
        assert (share / path).is_file()
    if shutil.which("desktop-file-validate"):
        _output("desktop-file-validate", str(share / "applications/localai-app.desktop"))
    if shutil.which("appstreamcli"):
        metainfo = share / "metainfo/app.localai.LocalAIApp.metainfo.xml"
        _output("appstreamcli", "validate", "--no-net", str(metainfo))


def test_a_removal_keeps_policies_and_a_purge_leaves_no_file(installed: Debian, before: set[str]) -> None:
    policy = "etc/localai-app/policies/managed/site.json"
    (installed.folder / policy).write_text("{}", encoding="utf-8")
    own = {str(path) for path in (installed.folder / "home/person/.local/share/localai-app").iterdir()}
    installed.run("dpkg", "--remove", *NAMES)
    left = installed.files() - before
    assert {path for path in left if not path.startswith("etc/localai-app")} == set()
    assert policy in left
    installed.run("dpkg", "--purge", *NAMES)
    assert installed.files() - before == set()
    assert before - installed.files() <= {"opt"}, "dpkg takes the folder along when it is empty"
    still = {str(path) for path in (installed.folder / "home/person/.local/share/localai-app").iterdir()}
    assert own == still, "what a person made is not the package's to remove"


def _output(*command: str) -> str:
    return _run(*command).stdout.strip()


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done

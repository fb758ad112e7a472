"""Nothing leaves: the installed command chats and works on a document without opening a network socket.

Watched from outside, by the kernel's own record of system calls, and in a network that is empty. The same
watch catches a program that does connect.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="watches system calls of Linux"),
]

PROGRAM = str(Path(sys.executable).with_name("localai-app"))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, starter_model: Path, minilm: Path) -> Run:
    """Run a command with a store, and models, of its own; ``before`` is what it is started by."""
    (tmp_path / "models").mkdir()
    for model in (starter_model, minilm):
        (tmp_path / "models" / model.name).symlink_to(model)
    (tmp_path / "lease.txt").write_text("The rent is 900 euros a month. The tenant may keep one dog.")
    environment = {
        **os.environ,
        "LOCALAI_APP_DATA_DIR": str(tmp_path / "data"),
        "LOCALAI_APP_MODELS_DIR": str(tmp_path / "models"),
    }

    def run(*command: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*before, *command],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            env=environment,
            cwd=tmp_path,
        )

    return run


def works(run: Run, *before: str) -> None:
    """Chat once and ask one document, started by ``before``."""
    said = run(PROGRAM, "chat", "--prompt", "Say hello.", before=before)
    assert said.returncode == 0, said.stderr
    assert said.stdout.strip()
    done = run(
        PROGRAM, "task", "run", "answer", "lease.txt", "--question", "How much is the rent?", before=before
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_no_process_of_it_opens_a_network_socket(run: Run, tmp_path: Path) -> None:
    def watched(name: str) -> tuple[tuple[str, ...], Path]:
        log = tmp_path / f"{name}.strace"
        return ("strace", "-f", "-qq", "-A", "-e", "trace=%network", "-o", str(log)), log

    # The positive control: the watch sees a connection, in a child too.
    before, log = watched("control")
    with socket.create_server(("127.0.0.1", 0)) as server:
        connects = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        starts = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {connects!r}], check=True)"
        control = run(sys.executable, "-c", starts, before=before)
    if control.returncode != 0:
        pytest.skip("strace may not watch here")
    assert "AF_INET" in log.read_text()

    before, log = watched("app")
    works(run, *before)
    calls = log.read_text()
    assert "AF_UNIX" in calls or "socketpair" in calls, "the watch saw something"
    assert "AF_INET" not in calls


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not here")
def test_it_works_in_an_empty_network(run: Run) -> None:
    empty = ("unshare", "-rn")
    looks = "print([line.split(':')[0].strip() for line in open('/proc/net/dev')][2:])"
    seen = run(sys.executable, "-c", looks, before=empty)
    if seen.returncode != 0:
        pytest.skip("no namespace of its own may be made here")
    assert seen.stdout.strip() == "['lo']"
    works(run, *empty)

"""The puller of an app that closed its own network, as the spawner starts it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere pullers are started directly")

APP = Path(__file__).parent / "children" / "spawning_app.py"


def run(act: str, folder: Path) -> Any:
    # That the pipe ends shows that the spawner does not hold the app's output.
    done = subprocess.run(
        [sys.executable, APP, act, str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_app_without_network_still_starts_a_confined_puller(tmp_path: Path) -> None:
    found = run("look", tmp_path)
    assert found["offline"].startswith("seccomp")
    assert found["running"]
    assert found["filtered"]
    assert "seccomp" in found["confinement"]
    assert found["stopped"] == "ended normally"
    assert '"network": true' in found["command"][-1]
    assert found["command"][-2] == "puller"


def test_spawner_holds_nothing_of_the_apps(tmp_path: Path) -> None:
    found = run("look", tmp_path)
    if "ends" not in found:
        pytest.skip("only root can look into it")
    assert found["files"] == []
    assert found["ends"] == ["/dev/null"] * 3


def test_spawner_tells_which_sockets_it_holds(tmp_path: Path) -> None:
    assert run("look", tmp_path)["told"] == ["UNIX"]
    assert run("lose", tmp_path)["told"] is None


def test_killed_puller_is_told_and_another_can_be_started(tmp_path: Path) -> None:
    found = run("kill", tmp_path)
    assert found["ended"].startswith("killed by signal 9")
    assert "seccomp" in found["second"]


def test_lost_spawner_is_a_puller_that_ended(tmp_path: Path) -> None:
    found = run("lose", tmp_path)
    assert not found["running"]
    assert found["ended"].startswith("killed")


def test_all_end_with_the_app_however_it_dies(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, APP, "stay", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as app:
        assert app.stdout is not None
        pids = json.loads(app.stdout.readline())["processes"]
        assert len(pids) >= 3  # spawner, who waits for the puller, puller
        alive = [psutil.Process(pid) for pid in pids]
        app.kill()
    _, left = psutil.wait_procs(alive, timeout=30)
    assert left == []

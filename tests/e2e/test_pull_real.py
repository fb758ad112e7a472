"""A real model from a hub on loopback into the app, and into an answer."""

import shutil
import sys
from pathlib import Path

import pytest

from localai_app.app import open_app
from localai_app.governance import keys
from localai_app.models.pull import PullState
from localai_app.paths import Paths
from tests.models.hub_server import Repo, running_hub

pytestmark = pytest.mark.engine

REPO = "someone/smol-GGUF"


@pytest.mark.parametrize("broken", [False, True])
def test_model_is_fetched_tried_installed_and_loaded(
    broken: bool, starter_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "system_keystore", lambda: None)
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    content = starter_model.read_bytes()
    if broken:
        content = content[: len(content) // 2]  # published so: its hash is right, but it is no whole model
    with running_hub() as hub, open_app(paths) as app:
        hub.cdn_host = "127.0.0.1"
        hub.repos[REPO] = Repo({"smol-Q4_1.gguf": content})
        app.connection.set_endpoint(hub.url)
        pull = app.pulls.start(REPO, ["smol-Q4_1.gguf"])
        *_, pull = app.pulls.changes(pull.id)
        if broken:
            assert pull.state is PullState.FAILED
            assert app.models.installed() == []
            assert "smol-Q4_1.gguf" in pull.error
        else:
            assert (pull.state, pull.error) == (PullState.INSTALLED, "")
            (model,) = app.models.installed()
            assert model.path == pull.path
            app.models.select(model.path)
            assert app.models.load().path == str(pull.path)


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("strace") is None, reason="watches system calls with strace"
)
def test_the_program_opens_no_connection_unless_it_fetches(tmp_path: Path) -> None:
    import os
    import subprocess

    log = tmp_path / "calls"
    command = ["strace", "-f", "-qq", "-e", "trace=socket,connect,sendto", "-o", str(log)]
    command += [str(Path(sys.executable).with_name("localai-app")), "audit", "verify", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
    if "ptrace" in done.stderr.lower():
        pytest.skip("no strace here")
    assert done.returncode == 0, done.stderr
    calls = log.read_text()
    assert "AF_INET" not in calls

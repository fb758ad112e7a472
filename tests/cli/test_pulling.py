"""``models search`` and ``pull`` against a hub on loopback, with the real client and the real puller."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localai_app import app as app_module
from localai_app.app import open_app
from localai_app.errors import UsageError
from localai_app.governance import keys
from localai_app.models import catalogue_file
from localai_app.models.pull import PullState
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine
from tests.models.conftest import FILE, MIB, REPO, noise
from tests.models.hub_server import COMMIT, Hub, Repo, running_hub
from tests.models.signing import document, entry, write_signed
from tests.test_cli import Shell, shell

__all__ = ["shell"]  # a fixture

WAIT = 150


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub that this store fetches from, and a catalogue with one model of it."""
    monkeypatch.setattr(keys, "system_keystore", lambda: None)
    monkeypatch.setattr(app_module, "try_model", lambda *_: None)
    with running_hub() as running:
        running.cdn_host = "127.0.0.1"
        running.repos[REPO] = Repo({FILE: noise(3 * MIB), "model-Q8_0.gguf": noise(MIB, 2)})
        sha256 = hashlib.sha256(noise(3 * MIB)).hexdigest()
        files = [{"name": FILE, "size": 3 * MIB, "sha256": sha256}]
        write_signed(
            tmp_path / "resources",
            document(entry(id="noise", repository=REPO, revision=COMMIT, files=files)),
        )
        monkeypatch.setattr(catalogue_file, "resources", lambda: tmp_path / "resources")
        monkeypatch.setattr(catalogue_file, "organisation_folder", lambda: tmp_path / "none")
        with open_app(Paths.for_user(), engine=FakeEngine()) as app:
            app.connection.set_endpoint(running.url)
        yield running


def installed() -> Path:
    return Paths.for_user().models[0] / REPO / FILE


def test_search_lists_repositories(shell: Shell) -> None:
    (found,) = shell("models", "search", "model", "--json").json
    assert (found["repo"], found["licence"]) == (REPO, "apache-2.0")
    result = shell("models", "search", "model")
    assert REPO in result.out
    assert "--show" in result.err


def test_a_quantisation_is_fetched_and_known_from_then_on(shell: Shell) -> None:
    result = shell("models", "pull", f"{REPO}:q8_0", "--json")
    assert (result.code, result.json["state"]) == (0, "installed")
    assert result.err == f"Fetching model-Q8_0.gguf (0.00 GB) of {REPO}.\n"
    assert Path(result.json["path"]).read_bytes() == noise(MIB, 2)
    (model, _) = shell("models", "list", "--json").json
    assert model["source"] == f"{REPO}@{COMMIT}"
    assert (model["licence"], model["commercial"]) == ("apache-2.0", "yes")
    assert (model["hash_state"], model["sha256"]) == (
        "recorded",
        hashlib.sha256(noise(MIB, 2)).hexdigest(),
    )
    assert shell("models", "pull", f"{REPO}:q8_0").code == 2, "it is there already"


def test_without_a_quantisation_the_usual_choice_is_fetched(shell: Shell) -> None:
    result = shell("models", "pull", REPO)
    assert result.code == 0
    assert result.err.endswith(f"{FILE} is verified and installed: {installed()}\n")


def test_a_model_of_the_catalogue_is_fetched_by_its_id(shell: Shell) -> None:
    assert shell("models", "pull", "noise").code == 0
    assert installed().read_bytes() == noise(3 * MIB)
    model = next(one for one in shell("models", "list", "--json").json if one["catalogue_id"])
    assert (model["catalogue_id"], model["hash_state"]) == ("noise", "verified")


def test_what_a_repository_offers_is_listed(shell: Shell) -> None:
    rows = shell("models", "pull", REPO, "--show").out.splitlines()
    assert "Q8_0" in rows[1]
    assert rows[2].startswith("*  Q4_K_M")
    report = shell("models", "pull", REPO, "--show", "--json").json
    assert [choice["quantisation"] for choice in report["choices"]] == ["Q8_0", "Q4_K_M"]


def test_what_is_not_there_is_told(shell: Shell, hub: Hub) -> None:
    assert "nothing" in shell("models", "pull", "nothing").err
    assert shell("models", "pull", "no/body").code == 1
    result = shell("models", "pull", f"{REPO}:Q3_K_S")
    assert result.code == 2
    assert "Q8_0, Q4_K_M" in result.err
    hub.corrupt_at = 5
    result = shell("models", "pull", "noise")
    assert result.code == 1
    assert "arrived damaged" in result.err
    hub.corrupt_at = None
    assert shell("models", "pull", "noise").code == 0, "the same command goes on"


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_the_same_command_goes_on_after_an_interruption(
    shell: Shell, hub: Hub, number: signal.Signals, code: int
) -> None:
    hub.pause_after = 2 * MIB
    command = [str(Path(sys.executable).with_name("localai-app")), "models", "pull", REPO, "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ.copy()
    ) as process:
        assert hub.paused.wait(WAIT)
        process.send_signal(number)
        _, errors = process.communicate(timeout=WAIT)
    assert process.returncode == code
    assert b"Traceback" not in errors
    assert not installed().exists()
    hub.go.set()
    with open_app(Paths.for_user(), engine=FakeEngine()) as app:
        (pull,) = app.pulls.pulls()
        expected = PullState.RUNNING if number == signal.SIGKILL else PullState.PAUSED
        assert pull.state is expected
    result = shell("models", "pull", REPO, "--json")
    report: dict[str, Any] = json.loads(result.out)
    assert (result.code, report["state"]) == (0, "installed")
    assert installed().read_bytes() == noise(3 * MIB)
    assert hub.fetched_twice(FILE) <= 2 * MIB


def test_a_paused_download_moves_with_the_folder_and_goes_on_there(hub: Hub, tmp_path: Path) -> None:
    hub.pause_after = 2 * MIB
    with open_app(Paths.for_user(), engine=FakeEngine()) as app:
        first = app.pulls.start(REPO, ["model-Q8_0.gguf"])
        *_, first = app.pulls.changes(first.id)
        pull = app.pulls.start(REPO, [FILE])
        assert hub.paused.wait(WAIT)
        with pytest.raises(UsageError, match="being downloaded"):
            app.library.move_folder(tmp_path / "new")
        next(seen for seen in app.pulls.changes(pull.id) if seen.done >= MIB)
        app.pulls.pause(pull.id)
        hub.go.set()
        app.library.move_folder(tmp_path / "new")
        assert app.pulls.pull(pull.id).done >= MIB
        app.pulls.resume(pull.id)
        *_, pull = app.pulls.changes(pull.id)
        assert (pull.state, pull.path) == (PullState.INSTALLED, tmp_path / "new" / REPO / FILE)
        assert app.pulls.pull(first.id).path == tmp_path / "new" / REPO / "model-Q8_0.gguf"
        assert hub.fetched_twice(FILE) <= 2 * MIB
        assert {model.path for model in app.library.models()} == {
            tmp_path / "new" / REPO / FILE,
            tmp_path / "new" / REPO / "model-Q8_0.gguf",
        }

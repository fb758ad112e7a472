"""RequireSandbox: where the system cannot confine child processes, the app does not start."""

from pathlib import Path

import pytest

from localai_app import sandbox
from localai_app.app import open_app
from localai_app.engine.client import WorkerEngine
from localai_app.errors import PolicyRefused
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine


@pytest.mark.parametrize(("missing", "required"), [("", True), ("", False), ("no Landlock here", False)])
def test_the_app_starts_where_nothing_is_missing_or_nothing_is_required(
    missing: str, required: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "missing", lambda: missing)
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    open_app(paths, engine=FakeEngine(), policy=Policy({"RequireSandbox": required})).close()


def test_the_app_does_not_start_where_it_cannot_confine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "missing", lambda: "the system has no Landlock")
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    with pytest.raises(PolicyRefused, match="requires confined processes, and the system has no Landlock"):
        open_app(paths, engine=FakeEngine(), policy=Policy({"RequireSandbox": True}))
    assert not paths.data.exists(), "nothing was made"


def test_what_is_missing_is_what_a_child_reports() -> None:
    engine = WorkerEngine()
    try:
        confinement = engine.probe().confinement
    finally:
        engine.close()
    assert bool(sandbox.missing()) == confinement.startswith(sandbox.NOT_CONFINED)

"""What is different in a packaged app: where its files are, and what it tells people to do."""

import importlib
import sys
from pathlib import Path

import pytest

from localai_app import paths, sandbox
from localai_app.documents import recognition


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process as a packaged program in a folder; the folder."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path / "_internal"), raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "localai-app"))
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "_internal/localai_app/paths.py"))
    return tmp_path


def test_a_confined_child_reads_the_program_which_holds_its_modules(packaged: Path) -> None:
    folders = sandbox._code_folders()
    assert str(packaged / "localai-app") in folders
    assert str(packaged / "_internal") in folders


def test_a_checkouts_children_read_no_program() -> None:
    assert sys.executable not in sandbox._code_folders()


def test_models_that_came_with_the_package_are_looked_for_last(packaged: Path) -> None:
    assert paths.machine_model_folders()[-1] == packaged / "_internal" / "models"


def test_files_that_are_shipped_lie_inside(packaged: Path) -> None:
    assert paths.resources() == packaged / "_internal" / "resources"
    assert paths.built_in_engine() is None
    (packaged / "_internal" / "engine").mkdir(parents=True)
    assert paths.built_in_engine() == packaged / "_internal" / "engine"


def test_nobody_with_a_package_is_told_to_run_make(packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths.is_packaged()
    assert "localai-app-ocr" in importlib.reload(recognition).MISSING_HINT
    monkeypatch.undo()
    assert "make ocr" in importlib.reload(recognition).MISSING_HINT

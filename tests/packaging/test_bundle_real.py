"""The bundle of `make deb`, looked through, and made twice from copies of this tree."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.scripts import ROOT, load

bundle = load("bundle")

pytestmark = [pytest.mark.packaged, pytest.mark.timeout(3600)]

MADE = ROOT / "dist" / "linux" / "localai-app"
LARGEST_PACKAGE = 120e6
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "dist", "build", "__pycache__", ".*_cache", ".hypothesis"
)


@pytest.fixture(autouse=True)
def _made() -> None:
    if not MADE.is_dir():
        pytest.skip("there is no bundle; `make deb` makes it")


def test_no_library_is_there_twice_and_none_is_missing() -> None:
    assert bundle.duplicate_libraries(MADE) == []
    assert bundle.missing_libraries(MADE) == []


def test_of_qt_there_is_only_what_the_window_uses() -> None:
    modules = {path.name.partition(".")[0] for path in (MADE / "_internal/PySide6").glob("*.so")}
    assert modules - {"libpyside6"} == {"QtCore", "QtGui", "QtSvg", "QtWidgets"}
    found = {path.name.partition(".")[0] for path in (MADE / "_internal").rglob("libQt6*.so*")}
    window = {"libQt6Core", "libQt6Gui", "libQt6Svg", "libQt6Widgets"}
    displays = {"libQt6DBus", "libQt6XcbQpa", "libQt6WaylandClient", "libQt6WlShellIntegration"}
    assert found == window | displays


def test_the_package_is_no_larger_than_120_mb() -> None:
    packages = list(MADE.parent.glob("localai-app_*.deb"))
    assert packages, "`make deb` makes it"
    assert max(path.stat().st_size for path in packages) <= LARGEST_PACKAGE


def test_two_builds_on_different_paths_are_the_same_to_the_bit(tmp_path: Path) -> None:
    made = [_build(tmp_path / place) for place in ("one", "in/another/place")]
    assert made[0] == made[1]
    assert len(made[0]) > 500


def _build(place: Path) -> dict[str, tuple[int, str]]:
    """Mode and hash of every file of a bundle made from a copy of the tree in ``place``."""
    shutil.copytree(ROOT, place, ignore=NOT_COPIED)
    command = [
        sys.executable,
        str(place / "packaging" / "bundle.py"),
        "--engine",
        str(MADE / "_internal/engine"),
    ]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "PYTHONPATH": str(place)}
    subprocess.run(command, check=True, cwd=place, env=environment, stdout=subprocess.DEVNULL)
    folder = place / "dist" / "linux" / "localai-app"
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QObject
from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from localai_app import __version__
from localai_app.governance.policy import Policy
from localai_app.ui.jobs import Jobs
from localai_app.ui.newer_version import NewerVersion, installed


@pytest.fixture
def owner() -> Iterator[QObject]:
    made = QObject()
    yield made
    made.deleteLater()


def told(mode: str, jobs: Jobs, owner: QObject, qtbot: QtBot, *versions: str) -> list[int]:
    """How often it was told after each look, when these were installed one after the other."""
    there = list(versions)
    newer = NewerVersion(Policy({"UpdateMode": mode}), jobs, owner, lambda: there[0])
    spy, counts = QSignalSpy(newer.found), list[int]()
    while len(there) > 1:
        there.pop(0)
        newer.look()
        qtbot.waitUntil(lambda: not jobs.busy)
        qtbot.wait(1)
        counts.append(spy.count())
    return counts


def test_each_other_version_is_told_once(jobs: Jobs, owner: QObject, qtbot: QtBot) -> None:
    assert told("notify", jobs, owner, qtbot, "1", "1", "2", "2", "", "1", "3") == [0, 1, 1, 1, 1, 2]


def test_where_it_is_off_nothing_is_told(jobs: Jobs, owner: QObject, qtbot: QtBot) -> None:
    assert told("off", jobs, owner, qtbot, "1", "2", "3") == [0, 0]


def test_a_recommendation_counts_as_there_is_no_setting_beside_it() -> None:
    assert not Policy().notifies_updates
    assert Policy({"UpdateMode": "notify"}).notifies_updates


def test_a_packaged_program_is_known_by_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert installed() in ("", __version__)
    program = tmp_path / "localai-app"
    program.write_bytes(b"one")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(program))
    before = installed()
    assert before == installed()
    other = tmp_path / "new"
    other.write_bytes(b"another")
    other.replace(program)
    assert installed() != before
    program.unlink()
    assert installed() == ""

from collections.abc import Iterator

import pytest
import shiboken6
from PySide6.QtCore import QObject
from PySide6.QtGui import QClipboard, QGuiApplication
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QApplication, QLineEdit
from pytestqt.qtbot import QtBot

from localai_app.governance import policy as policies
from localai_app.governance.policy import Policy
from localai_app.ui import clipboard
from localai_app.ui.clipboard import ClipboardGuard, put_on_clipboard
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.padlock import Locks
from tests.ui.governance.conftest import Source


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform of the tests does not tell whose text is on the clipboard: it has no other programs."""
    monkeypatch.setattr(clipboard, "_is_ours", lambda board, mode: bool(board.text(mode)))


@pytest.fixture
def owner() -> Iterator[QObject]:
    distance = QApplication.startDragDistance()
    made = QObject()
    yield made
    shiboken6.delete(made)  # a guard that outlives its test would guard the next
    QApplication.setStartDragDistance(distance)


def guarded(theme: Theme, owner: QObject, *, allowed: bool) -> ClipboardGuard:
    return ClipboardGuard(Locks(theme, Policy({"AllowClipboard": allowed}), owner), owner)


def test_nothing_stays_on_the_clipboard_where_policy_forbids_it(theme: Theme, owner: QObject) -> None:
    guard = guarded(theme, owner, allowed=False)
    told = QSignalSpy(guard.refused)
    assert not put_on_clipboard("a secret")
    assert QGuiApplication.clipboard().text() == ""
    assert told.count() == 1


def test_a_field_that_copies_by_itself_is_met_too(theme: Theme, owner: QObject, qtbot: QtBot) -> None:
    guard = guarded(theme, owner, allowed=False)
    told = QSignalSpy(guard.refused)
    field = QLineEdit("a secret")
    qtbot.addWidget(field)
    field.selectAll()
    field.copy()
    assert QGuiApplication.clipboard().text() == ""
    assert told.count() == 1


def test_where_it_is_allowed_text_is_copied(theme: Theme, owner: QObject) -> None:
    guarded(theme, owner, allowed=True)
    assert put_on_clipboard("a text")
    assert QGuiApplication.clipboard().text() == "a text"


def test_what_another_program_copied_stays(
    theme: Theme, owner: QObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded(theme, owner, allowed=False)
    monkeypatch.setattr(clipboard, "_is_ours", lambda board, mode: False)
    QGuiApplication.clipboard().setText("theirs")
    assert QGuiApplication.clipboard().text() == "theirs"


def test_text_is_dragged_only_where_it_may_be_copied(
    theme: Theme, owner: QObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "_LOOK_SECONDS", 0.0)
    before, source = QApplication.startDragDistance(), Source()
    locks = Locks(theme, Policy.of(source), owner)
    ClipboardGuard(locks, owner)
    assert QApplication.startDragDistance() == before
    source.values = {"AllowClipboard": False}
    locks.look()
    assert QApplication.startDragDistance() > 100_000
    source.values = {}
    locks.look()
    assert QApplication.startDragDistance() == before


def test_ownership_is_asked_of_the_right_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    board = QGuiApplication.clipboard()
    for mode in QClipboard.Mode:
        if mode is not QClipboard.Mode.LastMode:
            assert clipboard._is_ours(board, mode) in (True, False)

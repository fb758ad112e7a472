"""The idle lock: hides everything after a while, and nothing opens it but what guards the key."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from localai_app.errors import WrongKey
from localai_app.ui.jobs import Jobs
from localai_app.ui.lock import IdleLock
from localai_app.ui.theme import Theme


@dataclass
class Desk:
    """A window with a secret, and a clock that the test turns."""

    qtbot: QtBot
    window: QWidget
    secret: QLabel
    jobs: Jobs
    theme: Theme
    minutes: int = 10
    now: float = 0.0
    has_passphrase: bool = True
    fired: list[str] = field(default_factory=list)

    def lock(self) -> IdleLock:
        return IdleLock(
            self.theme,
            self.jobs,
            self.window,
            lambda: self.minutes,
            self.unlock,
            passphrase=lambda: self.has_passphrase,
            clock=lambda: self.now,
        )

    def unlock(self, typed: str) -> None:
        assert threading.current_thread() is not threading.main_thread()
        if self.has_passphrase and typed != "right":
            raise WrongKey("That passphrase does not open the store.", "Try again.")


@pytest.fixture
def desk(qtbot: QtBot) -> Iterator[Desk]:
    window = QWidget()
    qtbot.addWidget(window)
    secret = QLabel("a secret")
    QVBoxLayout(window).addWidget(secret)
    window.resize(700, 500)
    window.show()
    qtbot.waitExposed(window)
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    jobs = Jobs()
    desk = Desk(qtbot, window, secret, jobs, Theme(application))
    shortcut = QShortcut(QKeySequence("Ctrl+J"), window)
    shortcut.activated.connect(lambda: desk.fired.append("shortcut"))
    yield desk
    jobs.close()


def test_it_locks_after_the_time_and_opens_with_the_passphrase_only(desk: Desk) -> None:
    lock = desk.lock()
    desk.now = 9 * 60 + 59
    lock.look()
    assert lock.view is None
    desk.now = 10 * 60
    lock.look()
    view = lock.view
    assert view is not None
    assert view.isVisible()
    assert view.geometry() == desk.window.rect()
    assert not desk.secret.isVisible()
    assert view.field.hasFocus()
    desk.window.resize(900, 400)
    assert view.geometry() == desk.window.rect()
    QTest.keyClicks(view.field, "wrong")
    QTest.keyClick(view.field, Qt.Key.Key_Return)
    desk.qtbot.waitUntil(view.wrong.isVisible)
    assert "does not open" in view.wrong.text()
    assert not desk.secret.isVisible()
    view.field.setText("right")
    with desk.qtbot.waitSignal(lock.unlocked):
        view.button.click()
    assert desk.secret.isVisible()
    desk.now += 9 * 60
    lock.look()
    assert lock.view is None, "the time begins anew"


def test_a_key_or_a_click_keeps_it_open(desk: Desk) -> None:
    lock = desk.lock()
    for minute in (8, 16, 24):
        desk.now = minute * 60
        QTest.keyClick(desk.window, Qt.Key.Key_A)
        lock.look()
        assert lock.view is None
    desk.now += 9 * 60
    QTest.mouseClick(desk.window, Qt.MouseButton.LeftButton)
    desk.now += 9 * 60
    lock.look()
    assert lock.view is None


def test_nothing_of_the_window_can_be_reached_while_it_is_locked(desk: Desk) -> None:
    lock = desk.lock()
    QTest.keyClick(desk.window, Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    assert desk.fired == ["shortcut"]
    dialog = QDialog(desk.window)
    dialog.show()
    lock.lock()
    assert not dialog.isVisible()
    assert lock.view is not None
    QTest.keyClick(lock.view.field, Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    assert desk.fired == ["shortcut"]
    for _ in range(5):
        QTest.keyClick(lock.view, Qt.Key.Key_Tab)
        assert QApplication.focusWidget() in (lock.view.field, lock.view.button)


def test_without_a_passphrase_the_keystore_opens_it(desk: Desk) -> None:
    desk.has_passphrase = False
    lock = desk.lock()
    lock.lock()
    assert lock.view is not None
    assert not lock.view.field.isVisible()
    assert lock.view.button.hasFocus()
    with desk.qtbot.waitSignal(lock.unlocked):
        QTest.keyClick(lock.view.button, Qt.Key.Key_Space)
    assert desk.secret.isVisible()


def test_without_a_limit_it_never_locks_until_policy_sets_one(desk: Desk) -> None:
    desk.minutes = 0
    lock = desk.lock()
    desk.now = 1e6
    lock.look()
    assert lock.view is None
    desk.minutes = 5
    lock.look()
    assert lock.view is None, "the time begins when the limit comes"
    desk.now += 5 * 60
    lock.look()
    assert lock.view is not None

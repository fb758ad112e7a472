"""A person at the real window, on the real store and the real starter model."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from localai_app.app import App, open_app
from localai_app.chat.conversation import Parameters, Status
from localai_app.paths import Paths
from localai_app.ui.application import make_window
from localai_app.ui.jobs import Jobs
from localai_app.ui.main_window import MainWindow
from localai_app.ui.theme import Theme

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


class Person:
    """Hands and eyes."""

    def __init__(self, app: App, window: MainWindow, qtbot: QtBot) -> None:
        self.app = app
        self.window = window
        self.page = window.chat_page
        self._qtbot = qtbot

    def wait(self, condition: Callable[[], object], seconds: float = 90) -> None:
        self._qtbot.waitUntil(lambda: bool(condition()), timeout=int(seconds * 1000))

    def say(self, text: str) -> None:
        QTest.keyClicks(self.page.composer.edit, text)
        QTest.keyClick(self.page.composer.edit, Qt.Key.Key_Return)
        self.wait(lambda: self.page.generating)

    def press(self, key: Qt.Key, *, ctrl: bool = False) -> None:
        modifier = Qt.KeyboardModifier.ControlModifier if ctrl else Qt.KeyboardModifier.NoModifier
        QTest.keyClick(QApplication.focusWidget() or self.window, key, modifier)

    @property
    def last(self) -> str:
        return self.page.transcript.messages[-1].text

    def answered(self) -> None:
        self.wait(lambda: not self.page.generating and self.page.transcript.messages)


@pytest.fixture
def person(qtbot: QtBot, qapp: QApplication, tmp_path: Path, starter_model: Path) -> Iterator[Person]:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / starter_model.name).symlink_to(starter_model)
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    theme, jobs = Theme(qapp), Jobs()
    with open_app(paths) as app:
        app.settings.set("ui.welcomed", True)
        window = make_window(app, theme, jobs)
        window.show()
        qtbot.waitExposed(window)
        window.activateWindow()
        window.load()
        yield Person(app, window, qtbot)
        window.close()
        jobs.close()
        window.deleteLater()
        theme.deleteLater()


def test_a_day_at_the_window(person: Person) -> None:
    """Ask, read the figures, ask again, branch, stop, search, trash and undo."""
    person.say("What is the opposite of hot?")
    person.answered()
    assert person.last
    (conversation,) = person.app.chat.conversations()
    first = person.app.chat.path(conversation.id)[-1]
    assert first.status is Status.COMPLETE
    assert first.stats is not None
    assert first.stats.tokens_per_second > 0
    assert conversation.title == "What is the opposite of hot?"

    person.say("And of tall?")
    person.answered()
    second = person.app.chat.path(conversation.id)[-1]
    assert second.stats is not None
    assert second.stats.reused_tokens > 20, "the first turn is not read again"

    person.press(Qt.Key.Key_R, ctrl=True)
    person.wait(lambda: person.page.generating)
    person.answered()
    assert person.app.chat.path(conversation.id)[-1].branch == (2, 2)

    person.app.chat.set_parameters(conversation.id, Parameters(temperature=1.5))
    person.say("Write a very long story about a lighthouse.")
    shown = len(person.page.transcript.toPlainText())
    person.wait(lambda: len(person.page.transcript.toPlainText()) > shown + 100)
    person.press(Qt.Key.Key_Escape)
    person.answered()
    stopped = person.app.chat.path(conversation.id)[-1]
    assert stopped.text
    assert stopped.status in (Status.STOPPED, Status.COMPLETE)

    assert person.app.chat.search("lighthouse")
    person.page.trash(conversation.id)
    person.wait(lambda: not person.app.chat.conversations())
    person.wait(person.window.toast.act)
    person.wait(person.app.chat.conversations)
    assert person.app.audit.verify().sound


def test_a_worker_that_is_killed_costs_only_its_answer(person: Person) -> None:
    person.say("Write a very long story about a lighthouse.")
    person.wait(lambda: len(person.page.transcript.toPlainText()) > 150)
    for child in psutil.Process().children():
        if "engine" in child.cmdline():
            os.kill(child.pid, signal.SIGKILL)
    person.answered()
    shown = person.page.transcript.toPlainText()
    (conversation,) = person.app.chat.conversations()
    broken = person.app.chat.path(conversation.id)[-1]
    assert broken.status is Status.FAILED
    assert broken.text
    assert "SIGKILL" in broken.error
    assert "starts again" in shown

    person.say("What is the opposite of hot?")
    person.answered()
    assert person.app.chat.path(conversation.id)[-1].status is Status.COMPLETE

"""A window on services in memory."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PySide6.QtCore import QLocale, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from localai_app.ui.chat.page import ChatPage
from localai_app.ui.chat.transcript import Transcript
from localai_app.ui.documents.rooms import DocumentRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.key_guard import key_guard
from localai_app.ui.main_window import MainWindow
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.preferences import Preferences
from localai_app.ui.tasks.rooms import TaskRooms
from localai_app.ui.theme import Theme
from tests.ui.fake_chat import FakeChat, FakeModels, FakeResidency, FakeSettings
from tests.ui.fake_documents import FakeDocuments
from tests.ui.fake_rooms import fake_rooms
from tests.ui.fake_tasks import FakeTasks


def pytest_configure(config: pytest.Config) -> None:
    # The offscreen platform has no window manager to ask.
    config.addinivalue_line("qt_log_ignore", "This plugin does not support")


@dataclass
class Desk:
    """The window, what stands behind it, and hands to use it with."""

    window: MainWindow
    chat: FakeChat
    models: FakeModels
    settings: FakeSettings
    residency: FakeResidency
    documents: FakeDocuments
    tasks: FakeTasks
    rooms: ModelRooms
    theme: Theme
    jobs: Jobs
    qtbot: QtBot
    backups: list[tuple[Path, str]]

    @property
    def page(self) -> ChatPage:
        return self.window.chat_page

    @property
    def transcript(self) -> Transcript:
        return self.window.chat_page.transcript

    @property
    def text(self) -> str:
        return self.transcript.toPlainText()

    def until(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=5000)

    def settle(self) -> None:
        """Wait until no service call is under way and its results are shown."""
        self.until(lambda: not self.jobs.busy)
        QApplication.processEvents()
        self.until(lambda: not self.jobs.busy)

    def open(self, conversation_id: int) -> None:
        self.page.open(conversation_id)
        self.until(lambda: self.page.current_id == conversation_id and self.transcript.messages)
        self.settle()

    def type(self, text: str, key: Qt.Key | None = Qt.Key.Key_Return) -> None:
        edit = self.page.composer.edit
        edit.setFocus()
        QTest.keyClicks(edit, text)
        if key is not None:
            QTest.keyClick(edit, key)

    def send(self, text: str) -> None:
        self.type(text)
        self.settle()
        assert not self.page.generating


@pytest.fixture(autouse=True, scope="session")
def english() -> None:
    QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedStates))


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    qapp.setStyle("Fusion")
    made = Theme(qapp, "light")
    yield made
    made.deleteLater()


@pytest.fixture
def jobs(qapp: QApplication) -> Iterator[Jobs]:
    made = Jobs()
    yield made
    made.close()


@pytest.fixture
def desk(qtbot: QtBot, theme: Theme, jobs: Jobs, tmp_path: Path) -> Iterator[Desk]:
    chat, models = FakeChat(), FakeModels()
    settings = FakeSettings(**{"ui.welcomed": True})
    residency = FakeResidency(settings, models)
    rooms = fake_rooms(models, settings, models.models)
    documents = FakeDocuments()
    tasks = FakeTasks(documents)
    backups: list[tuple[Path, str]] = []
    window = MainWindow(
        theme,
        jobs,
        chat,
        models,
        Preferences(settings, jobs),
        Paths.for_user(tmp_path / "data"),
        key_guard("os", Paths.for_user(tmp_path / "data")),
        lambda passphrase: key_guard("passphrase", Paths.for_user(tmp_path / "data")),
        residency,
        rooms,
        DocumentRooms(documents, Policy()),
        TaskRooms(tasks, documents),
        lambda path, passphrase: backups.append((path, passphrase)),
    )
    window.resize(1280, 820)
    window.show()
    qtbot.waitExposed(window)
    window.activateWindow()
    window.load()
    made = Desk(
        window, chat, models, settings, residency, documents, tasks, rooms, theme, jobs, qtbot, backups
    )
    made.settle()
    yield made
    chat.gate.set()
    documents.drawing.set()
    tasks.gate.set()
    window.close()
    window.deleteLater()

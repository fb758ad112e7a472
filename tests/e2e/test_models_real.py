"""A person at the Models page: a model is found, fetched, verified, used, deleted and put back."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from localai_app.app import App, open_app
from localai_app.governance import keys
from localai_app.models.library import HashState
from localai_app.models.pull import PullState
from localai_app.paths import Paths
from localai_app.ui.application import make_window
from localai_app.ui.jobs import Jobs
from localai_app.ui.main_window import MainWindow
from localai_app.ui.models.offer import OfferDialog
from localai_app.ui.models.page import HUB, INSTALLED, ModelsPage
from localai_app.ui.models.rows import RowRole, RowsView
from localai_app.ui.theme import Theme
from tests.models.hub_server import Hub, Repo, running_hub

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

REPO = "someone/Smol-135M-GGUF"
FILE = "Smol-135M-Q4_1.gguf"


class Person:
    """Hands and eyes."""

    def __init__(self, app: App, window: MainWindow, hub: Hub, qtbot: QtBot) -> None:
        self.app, self.window, self.hub = app, window, hub
        self._qtbot = qtbot

    def wait(self, condition: Callable[[], object], seconds: float = 90) -> None:
        self._qtbot.waitUntil(lambda: bool(condition()), timeout=int(seconds * 1000))

    @property
    def page(self) -> ModelsPage:
        assert self.window.models_page is not None
        return self.window.models_page


def click_action(view: RowsView, key: object) -> None:
    number = view.rows.number_of(key)  # type: ignore[arg-type]
    assert number is not None
    index = view.rows.index(number)
    place = view.rows_delegate.button_rect(view.visualRect(index), index.data(RowRole.ROW))
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place.center())


@pytest.fixture
def person(
    qtbot: QtBot,
    qapp: QApplication,
    tmp_path: Path,
    starter_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Person]:
    monkeypatch.setattr(keys, "system_keystore", lambda: None)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / starter_model.name).symlink_to(starter_model)
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    with running_hub() as hub, open_app(paths) as app:
        hub.cdn_host = "127.0.0.1"
        hub.repos[REPO] = Repo({FILE: starter_model.read_bytes()})
        app.connection.set_endpoint(hub.url)
        app.settings.set("ui.welcomed", True)
        theme, jobs = Theme(qapp), Jobs()
        window = make_window(app, theme, jobs)
        window.show()
        qtbot.waitExposed(window)
        window.activateWindow()
        window.load()
        yield Person(app, window, hub, qtbot)
        window.close()
        jobs.close()
        window.deleteLater()
        theme.deleteLater()


def test_a_model_from_the_hub_to_an_answer_to_the_trash_and_back(person: Person) -> None:
    window = person.window
    window.show_models()
    page = person.page
    person.wait(lambda: page.installed.models)

    page.tabs.setCurrentIndex(HUB)
    hub = page.hub
    assert hub is not None
    QTest.keyClicks(hub.search, "smol")
    QTest.keyClick(hub.search, Qt.Key.Key_Return)
    person.wait(lambda: hub.found)
    click_action(hub.view, REPO)
    dialog = hub.findChild(OfferDialog)
    assert dialog is not None
    person.wait(lambda: dialog.ways)
    person.hub.pause_after = 20_000_000
    QTest.mouseClick(dialog.download, Qt.MouseButton.LeftButton)

    person.wait(lambda: page.strip.rows)
    (row,) = page.strip.rows.values()
    person.wait(lambda: row.bar.value() > 0)
    assert row.isVisible()
    assert " of 98.4 MB" in row.line.text()
    assert "Fetching from 127.0.0.1" in window.header.network.words
    row.pause.click()
    person.wait(row.resume.isVisible)
    person.hub.pause_after = None
    person.hub.go.set()
    row.resume.click()
    person.wait(row.use.isVisible)
    person.wait(lambda: window.header.network.words == "Local · Offline")
    (pull,) = person.app.pulls.pulls()
    assert pull.state is PullState.INSTALLED
    path = pull.path
    assert path is not None

    page.tabs.setCurrentIndex(INSTALLED)
    person.wait(lambda: path in page.installed.models)
    page.installed.choose(path)
    page.installed.verify_button.click()
    person.wait(lambda: "is unchanged" in window.toast.text)
    person.wait(lambda: page.installed.models[path].hash_state is HashState.VERIFIED)

    page.installed.use.click()
    person.wait(lambda: page.installed.models[path].selected)
    window.show_chat()
    chat = window.chat_page
    QTest.keyClicks(chat.composer.edit, "What is the opposite of hot?")
    QTest.keyClick(chat.composer.edit, Qt.Key.Key_Return)
    person.wait(lambda: chat.generating)
    person.wait(lambda: not chat.generating and chat.transcript.messages)
    record = chat.transcript.messages[-1].record
    assert record is not None
    assert record.model_sha256 == page.installed.models[path].sha256

    window.show_models()
    starter = next(each for each in page.installed.models if each != path)
    person.wait(lambda: page.installed.models[path].last_used)
    click_action(page.installed.view, starter)
    person.wait(lambda: page.installed.models[starter].selected)
    page.installed.choose(path)
    QTest.keyClick(page.installed.view, Qt.Key.Key_Delete)
    person.wait(lambda: path not in page.installed.models)
    assert not path.exists()
    person.wait(lambda: not page.strip.rows)
    person.wait(lambda: "was deleted" in window.toast.text)
    assert window.toast.act()
    person.wait(lambda: path in page.installed.models)
    assert path.is_file()
    assert person.app.audit.verify().sound

"""What can be got: the catalogue, the hub, the downloads, and the first start."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from localai_app.errors import PullFailed
from localai_app.governance.policy import Policy
from localai_app.models import catalogue_service
from localai_app.models.catalogue import Licence
from localai_app.models.fit import Memory
from localai_app.models.installed import InstalledModel
from localai_app.models.pull import PullState
from localai_app.ui.jobs import Jobs
from localai_app.ui.key_guard import key_guard
from localai_app.ui.main_window import MainWindow
from localai_app.ui.models.offer import OfferDialog
from localai_app.ui.models.page import HUB, ModelsPage
from localai_app.ui.preferences import Preferences
from localai_app.ui.theme import Theme
from tests.ui.conftest import Desk
from tests.ui.fake_chat import FakeChat, FakeModels, FakeResidency, FakeSettings
from tests.ui.fake_rooms import GB, FakeLibrary, FakePulls, entry, fake_rooms, installed
from tests.ui.test_main_window import nameless
from tests.ui.test_models_page import answer, click_action, open_page, rows


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_service, "live_memory", lambda devices: Memory(6 * GB, 16 * GB))


@pytest.fixture
def page(desk: Desk) -> ModelsPage:
    made = open_page(desk)
    made.show_catalogue()
    desk.settle()
    return made


def pulls(desk: Desk) -> FakePulls:
    return cast(FakePulls, desk.rooms.pulls)


def names(page: ModelsPage) -> list[str]:
    return [row.title for row in rows(page.catalogue.view)]


def pick(desk: Desk, page: ModelsPage, choice: str, text: str) -> None:
    box = getattr(page.catalogue, choice)
    box.setCurrentIndex(box.findText(text))
    box.activated.emit(box.currentIndex())
    desk.settle()


def test_the_catalogue_says_how_each_model_would_be_here(page: ModelsPage) -> None:
    row = rows(page.catalogue.view)[1]
    assert row.title == "Model 1"
    assert "suits this computer best" in row.under
    size, licence, fit = row.cells
    assert size.text == "2.0 GB"
    assert (licence.text, licence.under) == ("Apache-2.0", "commercial: yes")
    assert fit.text.startswith("Fits · about")
    assert fit.text.endswith("tokens/s")
    assert "of 6.0 GB free" in fit.under
    last = rows(page.catalogue.view)[-1].cells[2]
    assert (last.text, last.tone) == ("Will not fit", "bad")
    page.catalogue.view.choose("model-1")
    assert page.catalogue.bar.words.text().startswith("Fits: about")
    assert "Model 1" in page.catalogue.recommended.title.text()
    assert "signed by LocalAI App, 14 Nov 2026" in page.catalogue.note.text()


def test_filters_and_order(desk: Desk, page: ModelsPage) -> None:
    pick(desk, page, "family", "Qwen3")
    assert names(page) == ["Model 1", "Model 3", "Model 5"]
    pick(desk, page, "family", "All families")
    pick(desk, page, "fits", "Fits here")
    assert "Model 5" not in names(page)
    pick(desk, page, "fits", "Any fit")
    pick(desk, page, "size_choice", "Up to 3.0 GB")
    assert names(page) == ["Model 0", "Model 1", "Model 2"]
    pick(desk, page, "size_choice", "Any size")
    pick(desk, page, "order", "By name")
    page.catalogue.search.setText("model-4")
    desk.until(lambda: names(page) == ["Model 4"])
    page.catalogue.search.setText("no such thing")
    desk.until(lambda: not names(page))
    desk.settle()
    assert page.catalogue.empty.isVisible()
    assert "No model of the catalogue is like that" in page.catalogue.empty.text()


def test_licence_ability_and_language_filter_too(desk: Desk) -> None:
    entries = [
        entry(1, licence=Licence("Gemma", "conditions"), abilities=("vision",)),
        entry(2, kind="embedding", languages=("fr",)),
        entry(3),
    ]
    rooms = fake_rooms(desk.models, desk.settings, desk.models.models, entries)
    page = ModelsPage(desk.theme, desk.jobs, rooms, desk.window.downloads, lambda: desk.window.toast)
    page.show()
    page.show_catalogue()
    desk.settle()
    pick(desk, page, "licence", "Without conditions")
    assert names(page) == ["Model 2", "Model 3"]
    pick(desk, page, "licence", "Any licence")
    pick(desk, page, "ability", "Sees pictures")
    assert names(page) == ["Model 1"]
    pick(desk, page, "ability", "For searching")
    assert names(page) == ["Model 2"]
    pick(desk, page, "ability", "Any ability")
    pick(desk, page, "language", "French")
    assert names(page) == ["Model 2"]
    page.close()
    page.deleteLater()


def test_a_download_from_click_to_installed(desk: Desk, page: ModelsPage) -> None:
    pulls(desk).gate.clear()
    click_action(page.catalogue.view, 1)
    assert rows(page.catalogue.view)[1].state == "Asking the hub…"
    assert desk.window.header.network.words == "Local · Fetching from huggingface.co"
    pulls(desk).gate.set()
    desk.settle()
    repo, files, revision, hashes, from_catalogue = pulls(desk).started[0]
    wanted = entry(1)
    assert (repo, files, revision) == (wanted.repository, (wanted.files[0].name,), wanted.revision)
    assert hashes == {wanted.files[0].name: wanted.files[0].sha256}
    assert from_catalogue

    pulls(desk).say(1, done=GB, speed=10e6, seconds_left=100.0)
    desk.until(lambda: rows(page.catalogue.view)[1].progress == 0.5)
    assert rows(page.catalogue.view)[1].state == "50 %"
    row = page.strip.rows[1]
    assert row.isVisible()
    assert row.bar.value() == 500
    assert row.line.text().startswith("1.0 of 2.0 GB · 10.0 MB/s · 2 min left, done at ")

    path = Path("/models/maker/model-1.gguf")
    library = cast(FakeLibrary, desk.rooms.library)
    model = installed(InstalledModel(path, "Model 1", "Q4_K_M", 2 * GB), catalogue_id="model-1")
    library.listed[path] = model
    pulls(desk).say(1, state=PullState.INSTALLED, done=2 * GB, speed=0.0, path=path)
    desk.until(lambda: "checked and tried" in desk.window.toast.text)
    desk.settle()
    assert rows(page.catalogue.view)[1].state == "Installed"
    assert not page.catalogue.recommended.isVisible()
    assert desk.window.header.network.words == "Local · Offline"
    assert desk.settings.values["ui.download_speed"] == 10_000_000
    row.use.click()
    desk.settle()
    assert desk.models.current is not None
    assert desk.models.current.path == path
    page.strip.clear.click()
    desk.settle()
    assert not page.strip.isVisible()


def test_a_download_is_paused_resumed_and_cancelled(
    desk: Desk, page: ModelsPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.catalogue.get("model-1")
    desk.settle()
    pulls(desk).say(1, done=GB)
    QApplication.processEvents()
    row = page.strip.rows[1]
    row.pause.click()
    desk.settle()
    assert row.line.text() == "Paused · 1.0 of 2.0 GB"
    assert rows(page.catalogue.view)[1].state == "Paused"
    assert not row.pause.isVisible()
    row.resume.click()
    desk.settle()
    assert pulls(desk).rows[1].state is PullState.RUNNING
    asked = answer(monkeypatch, accept=False)
    row.cancel.click()
    desk.settle()
    assert "1.0 GB that are here are deleted" in asked[0]
    assert 1 in pulls(desk).rows
    answer(monkeypatch)
    row.cancel.click()
    desk.settle()
    assert pulls(desk).rows == {}
    assert page.strip.rows == {}
    assert rows(page.catalogue.view)[1].action == "Download"


def test_a_download_that_fails_says_what_to_do_and_is_tried_again(desk: Desk, page: ModelsPage) -> None:
    page.catalogue.get("model-1")
    desk.settle()
    pulls(desk).say(1, state=PullState.FAILED, error="No connection. Check the network, then resume.")
    QApplication.processEvents()
    row = page.strip.rows[1]
    assert row.error.isVisible()
    assert row.error.text() == "No connection. Check the network, then resume."
    assert row.resume.accessibleName() == "Try model-1-Q4_K_M again"
    row.resume.click()
    desk.settle()
    assert not row.error.isVisible()


def test_a_refused_download_is_told_on_the_page(desk: Desk, page: ModelsPage) -> None:
    pulls(desk).refusal = PullFailed("There is too little space.", "Free some.", code="space")
    page.catalogue.get("model-1")
    desk.settle()
    assert page.notice.text.text() == "There is too little space. Free some."
    assert rows(page.catalogue.view)[1].action == "Download"


def test_the_bandwidth_limit_is_passed_on(desk: Desk, page: ModelsPage) -> None:
    page.catalogue.get("model-1")
    desk.settle()
    box = page.strip.limit
    box.setCurrentIndex(box.findText("At most 2.0 MB/s"))
    box.activated.emit(box.currentIndex())
    desk.settle()
    assert "limit 2000000" in pulls(desk).calls


def test_an_offer_shows_licence_and_downloads_with_enter(desk: Desk, page: ModelsPage) -> None:
    page.catalogue.view.choose("model-2")
    QTest.keyClick(page.catalogue.view, Qt.Key.Key_Return)
    dialog = page.catalogue.findChild(OfferDialog)
    assert dialog is not None
    assert nameless(dialog) == []
    assert "close to the original in a third of its size" in dialog.buttons[0].accessibleName()
    assert dialog.download.text().strip() == "Download 3.0 GB"
    QTest.keyClick(dialog, Qt.Key.Key_Return)
    desk.settle()
    assert pulls(desk).started[0][0] == "maker/model-2-GGUF"


def test_other_quantisations_are_asked_for_and_one_is_chosen(desk: Desk, page: ModelsPage) -> None:
    repo = "maker/model-1-GGUF"
    pulls(desk).add_repository(repo, "model-1-Q2_K.gguf", "model-1-Q4_K_M.gguf", "model-1-Q8_0.gguf")
    page.catalogue.show_offer("model-1")
    dialog = page.catalogue.findChild(OfferDialog)
    assert dialog is not None
    dialog.more.click()
    desk.settle()
    assert [way.choice.quantisation for way in dialog.ways] == ["Q2_K", "Q8_0", "Q4_K_M"]
    assert dialog.chosen is not None
    assert dialog.chosen.entry is not None, "the catalogue's own stays the one that is chosen"
    assert "noticeably worse" in dialog.buttons[0].accessibleName()
    dialog.buttons[1].setChecked(True)
    dialog.download.click()
    desk.settle()
    assert pulls(desk).started == [(repo, ("model-1-Q8_0.gguf",), "5" * 40, {}, False)]


def test_the_hub_is_searched_only_when_asked(desk: Desk, page: ModelsPage) -> None:
    pulls(desk).add_repository("some/granite-GGUF", "granite-Q4_K_M.gguf", "granite-Q8_0.gguf")
    page.tabs.setCurrentIndex(HUB)
    hub = page.hub
    assert hub is not None
    assert hub.search.hasFocus()
    QTest.keyClicks(hub.search, "granite")
    desk.settle()
    assert not any(call.startswith("search") for call in pulls(desk).calls)
    QTest.keyClick(hub.search, Qt.Key.Key_Return)
    desk.settle()
    (row,) = rows(hub.view)
    assert row.title == "granite-GGUF"
    assert [cell.text for cell in row.cells] == ["apache-2.0", "7,000", "2026-10-01"]
    click_action(hub.view, 0)
    desk.settle()
    dialog = hub.findChild(OfferDialog)
    assert dialog is not None
    assert [way.choice.quantisation for way in dialog.ways] == ["Q4_K_M", "Q8_0"]
    assert dialog.chosen is not None
    assert dialog.chosen.choice.quantisation == "Q4_K_M"
    assert all("tokens/s" in button.text() for button in dialog.buttons)
    dialog.download.click()
    desk.settle()
    assert pulls(desk).started[0][:2] == ("some/granite-GGUF", ("granite-Q4_K_M.gguf",))


def test_a_search_that_fails_or_finds_nothing_says_so(desk: Desk, page: ModelsPage) -> None:
    hub = page.hub
    assert hub is not None
    page.tabs.setCurrentIndex(HUB)
    hub.search.setText("nothing")
    hub.button.click()
    desk.settle()
    assert "has no GGUF model of that name" in hub.message.text()
    pulls(desk).refusal = PullFailed("There is no connection.", "Check the network.", code="network")
    hub.button.click()
    desk.settle()
    assert hub.message.text() == "There is no connection. Check the network."
    assert desk.window.header.network.words == "Local · Offline"


def test_gated_repositories_say_what_they_want(desk: Desk, page: ModelsPage) -> None:
    pulls(desk).add_repository("some/gated-GGUF", "x-Q4_K_M.gguf", gated=True)
    hub = page.hub
    assert hub is not None
    page.tabs.setCurrentIndex(HUB)
    hub.search.setText("gated")
    hub.start()
    desk.settle()
    assert "accept terms" in rows(hub.view)[0].under
    hub.open("some/gated-GGUF")
    desk.settle()
    dialog = hub.findChild(OfferDialog)
    assert dialog is not None
    assert "access token" in dialog.message.text()


def test_downloads_of_the_last_run_go_on_and_are_listed_without_a_word(desk: Desk) -> None:
    assert "restore" in pulls(desk).calls
    pulls(desk).start("a/b", ["b.gguf"])
    pulls(desk).rows[1] = replace(pulls(desk).rows[1], state=PullState.INSTALLED, path=Path("/m/b.gguf"))
    desk.window.downloads.load()
    desk.settle()
    assert list(desk.window.downloads.pulls) == [1]
    assert not desk.window.toast.isVisible()


def test_what_is_told_while_a_pull_is_asked_for_is_newer_than_the_answer(
    desk: Desk, page: ModelsPage
) -> None:
    page.catalogue.get("model-1")
    desk.until(lambda: pulls(desk).rows)
    pulls(desk).say(1, state=PullState.FAILED, error="No connection.")
    desk.settle()
    assert desk.window.downloads.pulls[1].state is PullState.FAILED


# ---------------------------------------------------------------- the first start


class Start:
    """A window at its first start."""

    def __init__(self, qtbot: QtBot, theme: Theme, jobs: Jobs, tmp_path: Path, **settings: Any) -> None:
        self.policy: dict[str, Any] = {}
        self.models, self.settings = FakeModels(), FakeSettings(**settings)
        self.models.models = self.models.models[:1]
        self._qtbot, self._theme, self._jobs, self._folder = qtbot, theme, jobs, tmp_path
        self.chat = FakeChat()

    def open(self, *laid_out: InstalledModel) -> MainWindow:
        policy = Policy(self.policy)
        self.rooms = fake_rooms(self.models, self.settings, self.models.models, policy=policy)
        self.pulls = cast(FakePulls, self.rooms.pulls)
        library = cast(FakeLibrary, self.rooms.library)
        library.listed |= {f.path: installed(f, place="machine-wide") for f in laid_out}
        self.models.models += laid_out
        paths = key_guard_paths(self._folder)
        self.window = MainWindow(
            self._theme,
            self._jobs,
            self.chat,
            self.models,
            Preferences(self.settings, self._jobs),
            paths,
            key_guard("os", paths),
            lambda passphrase: key_guard("passphrase", paths),
            FakeResidency(self.settings, self.models),
            self.rooms,
            None,
        )
        self.window.show()
        self._qtbot.waitExposed(self.window)
        return self.window

    def settle(self) -> None:
        for _ in range(2):
            self._qtbot.waitUntil(lambda: not self._jobs.busy, timeout=5000)
            QApplication.processEvents()

    def until(self, condition: Any) -> None:
        self._qtbot.waitUntil(lambda: bool(condition()), timeout=5000)


def key_guard_paths(folder: Path) -> Any:
    from localai_app.paths import Paths

    return Paths.for_user(folder / "data")


@pytest.fixture
def start(qtbot: QtBot, theme: Theme, jobs: Jobs, tmp_path: Path) -> Iterator[Start]:
    made = Start(qtbot, theme, jobs, tmp_path)
    yield made
    made.window.close()
    made.window.deleteLater()


def test_the_first_start_recommends_one_model_and_is_shown_once(start: Start) -> None:
    window = start.open()
    window.load()
    start.settle()
    first = window.first_run
    assert first is not None
    assert first.isVisible()
    assert nameless(first) == []
    assert first.title.text() == "Model 1"
    assert "tokens/s here" in first.facts.text()
    assert "commercial use allowed" in first.licence.text()
    assert "How long that takes shows once it runs" in first.time.text()
    assert first.button.text().strip() == "Download 2.0 GB"
    assert start.settings.values["ui.welcomed"] is True


def test_the_recommended_model_answers_once_it_is_here(start: Start) -> None:
    window = start.open()
    window.load()
    start.settle()
    assert window.first_run is not None
    QTest.keyClick(window.first_run, Qt.Key.Key_Return)
    start.settle()
    assert window.chat_page.isVisible(), "one chats meanwhile"
    assert start.pulls.started[0][0] == "maker/model-1-GGUF"
    assert "is being downloaded" in window.toast.text
    path = Path("/models/maker/model-1.gguf")
    start.pulls.say(1, state=PullState.INSTALLED, path=path)
    start.until(lambda: "answers from now on" in window.toast.text)
    assert start.models.current is not None
    assert start.models.current.path == path


def test_not_now_leaves_the_starter_model(start: Start) -> None:
    window = start.open()
    window.load()
    start.settle()
    assert window.first_run is not None
    window.first_run.not_now.click()
    start.settle()
    assert window.chat_page.isVisible()
    assert start.pulls.started == []
    assert start.models.current is not None
    assert start.models.current.starter


@pytest.mark.parametrize("here", [True, False])
def test_only_a_starter_model_that_is_here_is_spoken_of(start: Start, here: bool) -> None:
    if not here:
        start.models.models = []
    window = start.open()
    window.load()
    start.settle()
    first = window.first_run
    assert first is not None
    said = " ".join(part.text() for part in (*first.findChildren(QLabel), first.not_now))
    assert ("starter model is here" in said, "use the starter model" in said) == (here, here)


def test_the_time_is_told_where_a_speed_is_known(
    qtbot: QtBot, theme: Theme, jobs: Jobs, tmp_path: Path
) -> None:
    start = Start(qtbot, theme, jobs, tmp_path, **{"ui.download_speed": 10_000_000})
    window = start.open()
    window.load()
    start.settle()
    assert window.first_run is not None
    assert "about 3 min at the speed of the last one" in window.first_run.time.text()
    window.close()
    window.deleteLater()


def test_the_organisation_s_model_is_offered_instead(start: Start) -> None:
    laid_out = InstalledModel(Path("/usr/share/models/granite.gguf"), "Granite", "Q4_K_M", 2 * GB)
    start.policy = {"OfflineOnly": True}
    window = start.open(laid_out)
    window.load()
    start.settle()
    first = window.first_run
    assert first is not None
    assert first.title.text() == "Granite"
    assert "nothing is downloaded" in first.time.text()
    first.button.click()
    start.settle()
    assert start.models.current == laid_out
    assert window.chat_page.isVisible()
    assert start.pulls.started == []


def test_no_first_page_where_nothing_may_be_fetched(start: Start) -> None:
    start.policy = {"OfflineOnly": True}
    window = start.open()
    window.load()
    start.settle()
    assert window.first_run is None
    assert window.chat_page.isVisible()


def test_no_first_page_for_whoever_has_models(start: Start) -> None:
    start.models.models.append(InstalledModel(Path("/models/own.gguf"), "Own", "Q4_K_M", GB))
    window = start.open()
    window.load()
    start.settle()
    assert window.first_run is None


def test_no_first_page_over_what_is_being_typed(start: Start) -> None:
    window = start.open()
    QTest.keyClicks(window.chat_page.composer.edit, "Dear")
    window.load()
    start.settle()
    assert window.first_run is None
    assert "ui.welcomed" not in start.settings.values


def test_it_does_not_come_again(qtbot: QtBot, theme: Theme, jobs: Jobs, tmp_path: Path) -> None:
    start = Start(qtbot, theme, jobs, tmp_path, **{"ui.welcomed": True})
    window = start.open()
    window.load()
    start.settle()
    assert window.first_run is None
    window.close()
    window.deleteLater()

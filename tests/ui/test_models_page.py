"""What is here and what is done with it: the Models page's first tab, files from elsewhere, long work."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog

from localai_app.errors import PullFailed, UsageError
from localai_app.governance.policy import Policy
from localai_app.models.elsewhere import FoundModel
from localai_app.models.installed import InstalledModel
from localai_app.models.library import HashState, Importable, LibraryModel
from localai_app.models.moving import Move
from localai_app.models.speed import Speed
from localai_app.ui.models.connection import ConnectionDialog
from localai_app.ui.models.details import DetailsDialog
from localai_app.ui.models.files import FilesDialog
from localai_app.ui.models.page import HUB, ModelsPage
from localai_app.ui.models.rows import Row, RowRole, RowsView
from localai_app.ui.widgets.dialogs import Question
from tests.ui.conftest import Desk
from tests.ui.fake_rooms import GB, FakeLibrary, fake_rooms, installed
from tests.ui.test_main_window import nameless

STARTER, QWEN = Path("/models/SmolLM2.gguf"), Path("/models/qwen.gguf")


@pytest.fixture
def page(desk: Desk) -> ModelsPage:
    return open_page(desk)


def open_page(desk: Desk) -> ModelsPage:
    desk.window.activateWindow()
    QTest.keyClick(
        desk.window, Qt.Key.Key_M, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    desk.settle()
    assert desk.window.models_page is not None
    return desk.window.models_page


def library(desk: Desk) -> FakeLibrary:
    return cast(FakeLibrary, desk.rooms.library)


def put(desk: Desk, *models: LibraryModel) -> None:
    library(desk).listed |= {model.path: model for model in models}
    library(desk).watcher()
    QApplication.processEvents()
    desk.settle()


def rows(view: RowsView) -> list[Row]:
    return [view.rows.index(number).data(RowRole.ROW) for number in range(view.rows.rowCount())]


def click_action(view: RowsView, number: int) -> None:
    """Click the button that is drawn in a row."""
    index = view.rows.index(number)
    place = view.rows_delegate.button_rect(view.visualRect(index), index.data(RowRole.ROW))
    assert not place.isEmpty()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place.center())


def model(name: str, **changes: object) -> LibraryModel:
    file = InstalledModel(Path(f"/models/{name}.gguf"), name, "Q4_K_M", 2 * GB)
    return installed(file, **changes)


def answer(monkeypatch: pytest.MonkeyPatch, *, accept: bool = True) -> list[str]:
    """Answer questions; their texts."""
    asked: list[str] = []

    def reply(dialog: Question) -> QDialog.DialogCode:
        asked.append(dialog.text)
        return QDialog.DialogCode.Accepted if accept else QDialog.DialogCode.Rejected

    monkeypatch.setattr(Question, "exec", reply)
    return asked


def test_models_here_are_listed_with_what_is_known_of_them(desk: Desk, page: ModelsPage) -> None:
    put(
        desk,
        model("fast", speed=Speed(12.4, measured=True), hash_state=HashState.VERIFIED),
        model("forbidden", licence="Gemma", commercial="conditions"),
    )
    listed = {row.title: row for row in rows(page.installed.view)}
    fast = listed["fast"]
    assert fast.under == "Qwen2.5 · Q4_K_M"
    assert [cell.text for cell in fast.cells] == ["2.0 GB", "Apache-2.0", "Verified", "never", "12 tokens/s"]
    assert fast.action == "Use"
    assert listed["forbidden"].cells[1].under == "commercial: conditions"
    assert listed["SmolLM2 135M Instruct"].state == "In use"
    assert "starter model" in listed["SmolLM2 135M Instruct"].under
    assert "12 tokens/s" in fast.spoken


def test_a_model_on_a_missing_drive_is_greyed_and_can_only_be_unlinked(desk: Desk, page: ModelsPage) -> None:
    file = InstalledModel(
        Path("/media/stick/x.gguf"), "away", "Q8_0", GB, linked=True, missing=True, owner="Jan"
    )
    put(desk, installed(file, place="linked", hash_state=HashState.MISSING))
    page.installed.choose(file.path)
    row = page.installed.view.current
    assert row is not None
    assert row.faint
    assert row.action == ""
    assert "linked from Jan" in row.under
    assert "Connect its drive" in page.installed.bar.words.text()
    shown = [button for button in page.installed.bar.buttons if button.isVisible()]
    assert [button.accessibleName() for button in shown] == ["Remove the link"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("by", ["drawn button", "button"])
def test_a_model_is_used(desk: Desk, page: ModelsPage, by: str) -> None:
    view = page.installed.view
    if by == "drawn button":
        click_action(view, 1)
    else:
        page.installed.choose(QWEN)
        page.installed.use.click()
    desk.settle()
    assert desk.models.current == desk.models.models[1]
    assert "answers from now on" in desk.window.toast.text


@pytest.mark.parametrize("by", ["drawn button", "button"])
def test_an_embedding_model_is_let_search_documents(desk: Desk, page: ModelsPage, by: str) -> None:
    put(desk, model("finder", kind="embedding"))
    changed: list[bool] = []
    page.installed.search_changed.connect(lambda: changed.append(True))
    path = Path("/models/finder.gguf")
    page.installed.choose(path)
    assert page.installed.use.text().strip() == "Search documents with it"
    if by == "button":
        page.installed.use.click()
    else:
        page.installed.view.acted.emit(path)
    desk.settle()
    assert library(desk).calls[-1] == "search with /models/finder.gguf"
    assert changed == [True]
    assert "finder searches documents from now on" in desk.window.toast.text
    page.installed.choose(path)
    assert not page.installed.use.isVisible()


def test_verifying_shows_progress_and_can_be_stopped(desk: Desk, page: ModelsPage) -> None:
    library(desk).gate.clear()
    page.installed.choose(QWEN)
    page.installed.verify_button.click()
    (row,) = page.work.rows
    desk.until(lambda: row.bar.value() == 500)
    assert row.line.text() == "Checking · 0.5 of 1.0 GB"
    row.stop_button.click()
    desk.settle()
    assert page.work.rows == []
    assert not page.work.isVisible()
    assert "It was stopped" in desk.window.toast.text
    assert library(desk).listed[QWEN].hash_state is HashState.RECORDED


def test_a_verified_model_says_so(desk: Desk, page: ModelsPage) -> None:
    page.installed.verify(QWEN)
    desk.settle()
    assert "is unchanged" in desk.window.toast.text
    assert rows(page.installed.view)[1].cells[2].text == "Verified"


def test_a_changed_file_is_not_used_until_it_is_accepted(
    desk: Desk, page: ModelsPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(desk, model("bad"))
    page.installed.verify(Path("/models/bad.gguf"))
    desk.settle()
    page.installed.choose(Path("/models/bad.gguf"))
    row = page.installed.view.current
    assert row is not None
    assert row.action == ""
    assert not page.installed.use.isVisible()
    asked = answer(monkeypatch)
    page.installed.accept.click()
    desk.settle()
    assert "a" * 64 in asked[0]
    assert page.installed.use.isVisible()


def test_delete_is_undone_by_the_toast(desk: Desk, page: ModelsPage) -> None:
    view = page.installed.view
    page.installed.choose(QWEN)
    QTest.keyClick(view, Qt.Key.Key_Delete)
    desk.settle()
    assert [row.key for row in rows(view)] == [STARTER]
    assert "was deleted" in desk.window.toast.text
    assert desk.window.toast.act()
    desk.settle()
    assert {row.key for row in rows(view)} == {STARTER, QWEN}
    assert "is back" in desk.window.toast.text


def test_delete_is_undone_after_the_toast_went(desk: Desk, page: ModelsPage) -> None:
    page.installed.delete(QWEN)
    desk.settle()
    desk.window.toast.hide()
    assert page.installed.put_back.accessibleName() == "Put back Qwen2.5 Coder 1.5B Instruct"
    page.installed.put_back.click()
    desk.settle()
    assert QWEN in page.installed.models
    assert not page.installed.put_back.isVisible()


def test_ctrl_z_in_the_list_undoes_a_delete(desk: Desk, page: ModelsPage) -> None:
    page.installed.view.setFocus()
    page.installed.delete(QWEN)
    desk.settle()
    QTest.keyClick(page.installed.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    desk.settle()
    assert QWEN in page.installed.models


def test_a_refused_delete_says_why(desk: Desk, page: ModelsPage) -> None:
    library(desk).refusal = UsageError("It is answering now.", "Stop the answer first.")
    page.installed.delete(QWEN)
    desk.settle()
    assert page.notice.isVisible()
    assert page.notice.text.text() == "It is answering now. Stop the answer first."
    assert QWEN in page.installed.models


def test_details_show_metadata_tensors_and_the_template_s_difference(desk: Desk, page: ModelsPage) -> None:
    page.installed.choose(QWEN)
    QTest.keyClick(page.installed.view, Qt.Key.Key_Return)
    desk.settle()
    dialog = page.installed.findChild(DetailsDialog)
    assert dialog is not None
    assert nameless(dialog) == []
    titles = [dialog.tabs.tabText(number) for number in range(dialog.tabs.count())]
    assert titles == ["About", "Metadata (2)", "Tensors (1)", "Chat template"]
    assert "{{ message }}" in dialog.template.toPlainText()
    assert "+{{ b }}" in dialog.diff.toPlainText()
    first = dialog.template.document().firstBlock().layout().formats()
    assert first, "the template is coloured"
    dialog.tabs.setCurrentIndex(3)
    dialog.close()


# ---------------------------------------------------------------- files from elsewhere


def choose_files(
    monkeypatch: pytest.MonkeyPatch, way: str, pick: Callable[[FilesDialog], None] = lambda _: None
) -> None:
    """Answer the dialog that lists files with the button ``way``."""

    def run(dialog: FilesDialog) -> QDialog.DialogCode:
        assert nameless(dialog) == []
        pick(dialog)
        dialog.buttons[way].click()  # type: ignore[index]
        return QDialog.DialogCode(dialog.result())

    monkeypatch.setattr(FilesDialog, "exec", run)


def drop(desk: Desk, page: ModelsPage, *names: str) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(name) for name in names])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    page.dropEvent(event)
    desk.settle()


@pytest.mark.parametrize("way", ["copy", "link"])
def test_dropped_files_are_copied_or_linked(
    desk: Desk, page: ModelsPage, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    stick = Path("/media/stick")
    library(desk).stick = [
        Importable(stick / "a.gguf", "a", "Q4_K_M", GB),
        Importable(stick / "b.gguf", "b", "Q4_K_M", GB, parts=3, problem="Part 2 of 3 is missing."),
    ]
    ticked: list[list[int]] = []
    choose_files(monkeypatch, way, lambda dialog: ticked.append(dialog.ticked))
    drop(desk, page, "/media/stick")
    assert ticked == [[0]], "what cannot be imported is not ticked"
    where = Path("/models/a.gguf") if way == "copy" else stick / "a.gguf"
    assert where in page.installed.models
    assert desk.window.toast.text == ("a was checked and added." if way == "copy" else "1 model is linked.")


def test_a_tick_follows_the_space_key(desk: Desk, monkeypatch: pytest.MonkeyPatch, page: ModelsPage) -> None:
    library(desk).others = [
        FoundModel(Path(f"/lm/{number}.gguf"), f"m{number}", "Q4_K_M", GB, "LM Studio") for number in range(3)
    ]

    def pick(dialog: FilesDialog) -> None:
        assert dialog.ticked == []
        assert not dialog.buttons["link"].isEnabled()
        dialog.show()
        dialog.list.setFocus()
        QTest.keyClick(dialog.list, Qt.Key.Key_Down)
        QTest.keyClick(dialog.list, Qt.Key.Key_Space)
        assert dialog.ticked == [1]

    choose_files(monkeypatch, "link", pick)
    page.others_button.click()
    desk.settle()
    assert Path("/lm/1.gguf") in page.installed.models
    assert Path("/lm/0.gguf") not in page.installed.models


def test_no_models_of_other_apps_is_said(desk: Desk, page: ModelsPage) -> None:
    page.others_button.click()
    desk.settle()
    assert "No other model" in desk.window.toast.text


def test_the_models_folder_moves_with_progress(desk: Desk, page: ModelsPage) -> None:
    library(desk).gate.clear()
    page.move_folder(Path("/big/models"))
    assert "/big/models" in page.work.rows[0].bar.accessibleName()
    library(desk).gate.set()
    desk.settle()
    assert "/big/models" in desk.window.toast.text


def test_weekly_verification_is_switched_off_in_the_menu(desk: Desk, page: ModelsPage) -> None:
    assert page.weekly.isChecked()
    page.weekly.trigger()
    desk.settle()
    assert not library(desk).weekly


def test_an_interrupted_move_is_offered_to_go_on(desk: Desk) -> None:
    library(desk).interrupted = Move(Path("/models"), Path("/big/models"))
    page = open_page(desk)
    assert "interrupted" in page.notice.text.text()
    page.notice.action.click()
    desk.settle()
    assert "move_folder" in library(desk).calls


# ---------------------------------------------------------------- connection, policy, names


def test_hub_proxy_and_token_are_kept(desk: Desk, page: ModelsPage) -> None:
    page.set_connection()
    desk.settle()
    dialog = page.findChild(ConnectionDialog)
    assert dialog is not None
    assert nameless(dialog) == []
    dialog.endpoint.setText("no address")
    dialog.save.click()
    desk.settle()
    assert "is no address" in dialog.wrong.text()
    dialog.endpoint.setText("https://mirror.example")
    dialog.token.setText("hf_secret")
    assert dialog.token.echoMode() == dialog.token.EchoMode.Password
    dialog.save.click()
    desk.settle()
    assert desk.rooms.connection.endpoint == "https://mirror.example"
    assert desk.rooms.connection.has_token


def test_settings_lead_to_the_connection_too(desk: Desk) -> None:
    desk.window.show_settings()
    assert desk.window.settings_page is not None
    desk.window.settings_page.connection.click()
    desk.settle()
    assert desk.window.findChild(ConnectionDialog) is not None


def test_a_gated_model_leads_to_the_token(desk: Desk, page: ModelsPage) -> None:
    page.show_error(PullFailed("It is gated.", "Enter a token.", code="gated"))
    page.notice.action.click()
    desk.settle()
    assert page.findChild(ConnectionDialog) is not None


@pytest.mark.parametrize(
    ("values", "hub", "download", "add"),
    [
        ({}, True, True, True),
        ({"OfflineOnly": True}, False, False, True),
        ({"RequireSignedCatalogue": True}, False, True, True),
        ({"AllowModelImport": False}, True, True, False),
    ],
)
def test_what_policy_forbids_has_no_control(
    desk: Desk, values: dict[str, object], hub: bool, download: bool, add: bool
) -> None:
    rooms = fake_rooms(desk.models, desk.settings, desk.models.models, policy=Policy(values))  # type: ignore[arg-type]
    page = ModelsPage(desk.theme, desk.jobs, rooms, desk.window.downloads, lambda: desk.window.toast)
    page.show()
    page.show_catalogue()
    desk.settle()
    tabs = [page.tabs.tabText(number) for number in range(page.tabs.count())]
    assert ("Search the hub" in tabs) is hub
    assert (page.hub is not None) is hub
    assert any(row.action for row in rows(page.catalogue.view)) is download
    assert page.catalogue.recommended.isVisible() is download
    names = [action.text() for action in page.menu.actions()]
    assert ("Hub, proxy and token…" in names) is download
    assert page.add_button.isVisible() is add
    assert page.others_button.isVisible() is add
    assert page.acceptDrops() is add
    page.close()
    page.deleteLater()


def test_every_widget_of_the_page_has_a_name(desk: Desk, page: ModelsPage) -> None:
    assert page.hub is not None
    page.show_error(UsageError("Wrong.", "Do right."))
    page.show_catalogue()
    desk.settle()
    page.catalogue.view.setFocus()
    page.catalogue.get(rows(page.catalogue.view)[0].key)  # type: ignore[arg-type]
    page.tabs.setCurrentIndex(HUB)
    desk.settle()
    assert nameless(page) == []


def test_tab_walks_from_the_tabs_through_the_list_to_its_buttons(desk: Desk, page: ModelsPage) -> None:
    page.tabs.setFocus(Qt.FocusReason.TabFocusReason)
    reached = []
    for _ in range(5):
        QTest.keyClick(QApplication.focusWidget() or desk.window, Qt.Key.Key_Tab)
        widget = QApplication.focusWidget()
        assert widget is not None
        reached.append(widget.accessibleName())
    assert reached[:3] == ["Models on this computer", "Details…", "Verify now"]
    assert page.installed.view.current is not None, "the keyboard has a row to begin at"


def test_rows_that_change_keep_the_current_one_and_the_place(desk: Desk, page: ModelsPage) -> None:
    put(desk, *(model(f"model {number:03}") for number in range(200)))
    view = page.installed.view
    page.installed.choose(Path("/models/model 100.gguf"))
    place = view.verticalScrollBar().value()
    assert place > 0
    changed = library(desk).listed[Path("/models/model 100.gguf")]
    put(desk, replace(changed, family="Other"), model("another"))
    current = view.current
    assert current is not None
    assert current.key == changed.path
    assert current.under.startswith("Other")
    assert view.verticalScrollBar().value() == place

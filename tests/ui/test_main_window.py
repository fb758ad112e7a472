import itertools
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QFileDialog, QWidget

from localai_app.ui.chat.details import AnswerDetails
from localai_app.ui.key_guard import KeyGuard
from localai_app.ui.shortcuts import ShortcutSheet
from localai_app.ui.startup import PassphraseDialog
from localai_app.ui.widgets.dialogs import Question, ask_to_copy
from tests.ui.conftest import Desk


def nameless(root: QWidget) -> list[str]:
    """Focusable widgets without a name for screen readers; Qt's own inner parts have their owner's."""
    found = []
    for widget in [root, *root.findChildren(QWidget)]:
        inner = widget.objectName().startswith("qt_")
        if widget.focusPolicy() != Qt.FocusPolicy.NoFocus and not inner and not widget.accessibleName():
            found.append(f"{type(widget).__name__} {widget.objectName()}")
    return found


def test_every_widget_that_takes_the_focus_has_a_name(desk: Desk) -> None:
    desk.send("Question")
    desk.page.regenerate()
    desk.settle()
    desk.open(desk.chat.add("Rich", "q", "<think>hm</think>\n\n```py\nx\n```").id)
    desk.transcript.arrange()
    desk.page.composer.panel_button.click()
    desk.page.trash()
    desk.settle()
    desk.page.sidebar.search_field.setText("q")
    desk.until(lambda: desk.page.sidebar.hits.hits)
    desk.page.sidebar.show_trash()
    desk.settle()
    desk.window.open_picker()
    desk.until(lambda: desk.window._picker is not None and desk.window._picker.isVisible())
    assert nameless(desk.window._picker) == []  # type: ignore[arg-type]
    desk.window._picker.hide()  # type: ignore[union-attr]
    desk.window.show_settings()
    assert nameless(desk.window) == []


def test_dialogs_have_names_too(desk: Desk) -> None:
    desk.send("Question")
    for dialog in (
        ShortcutSheet(desk.theme, desk.window),
        AnswerDetails(desk.theme, desk.transcript.messages[-1], desk.window),
        Question(desk.theme, desk.window, "Delete?", "Really.", "Delete"),
    ):
        assert nameless(dialog) == []
        dialog.deleteLater()


def test_the_composer_has_the_focus_at_the_start(desk: Desk) -> None:
    assert desk.page.composer.edit.hasFocus()


def test_tab_reaches_every_button_of_an_answer(desk: Desk) -> None:
    desk.send("Question")
    desk.transcript.arrange()
    desk.page.composer.edit.setFocus()
    reached = set()
    for _ in range(40):
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
        widget = QApplication.focusWidget()
        assert widget is not None
        reached.add(widget.accessibleName())
    assert {
        "Copy",
        "Answer again",
        "Edit the question",
        "Good answer",
        "Bad answer",
        "New chat",
        "Settings",
    } <= reached


def test_the_picker_lists_models_and_selects_one(desk: Desk) -> None:
    QTest.keyClick(desk.window, Qt.Key.Key_M, Qt.KeyboardModifier.ControlModifier)
    desk.until(lambda: desk.window._picker is not None and desk.window._picker.isVisible())
    picker = desk.window._picker
    assert picker is not None
    names = [button.accessibleName() for button in picker.buttons]
    assert names == [
        "SmolLM2 135M Instruct, 98.0 MB, Q4_1, starter model, selected",
        "Qwen2.5 Coder 1.5B Instruct, 1.1 GB, Q4_K_M",
    ]
    picker.buttons[1].click()
    desk.settle()
    assert desk.models.current == desk.models.models[1]
    assert "Qwen2.5 Coder" in desk.window.header.model_button.text()
    assert "Qwen2.5 Coder" in desk.window.header.model_button.accessibleName()


def test_the_picker_leads_to_the_models_page(desk: Desk) -> None:
    desk.window.open_picker()
    desk.until(lambda: desk.window._picker is not None and desk.window._picker.isVisible())
    assert desk.window._picker is not None
    desk.window._picker.models_button.click()
    desk.settle()
    assert desk.window.models_page is not None
    assert desk.window.models_page.isVisible()


def test_the_model_is_loaded_in_the_background_at_the_start(desk: Desk) -> None:
    assert desk.models.info is not None
    assert desk.window.header.device.text() == "CPU · 8 threads"


def drop(desk: Desk, *names: str) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(name) for name in names])
    event = QDropEvent(
        QPointF(100, 100),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    desk.window.dropEvent(event)
    desk.settle()


def test_a_dropped_model_is_selected(desk: Desk) -> None:
    drop(desk, "/elsewhere/mine.gguf")
    assert str(desk.models.current.path) == "/elsewhere/mine.gguf"  # type: ignore[union-attr]


def test_a_dropped_document_is_added_and_shown(desk: Desk) -> None:
    drop(desk, "/elsewhere/report.pdf")
    page = desk.window.documents_page
    assert page is not None
    assert page.isVisible()
    assert [row.name for row in desk.documents.rows.values()] == ["report.pdf"]
    assert page.view.document == desk.documents.rows[1]


def test_settings_change_the_theme_and_are_kept(desk: Desk) -> None:
    QTest.keyClick(desk.window, Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    page = desk.window.settings_page
    assert page is not None
    assert page.isVisible()
    page.mode_buttons["dark"].click()
    desk.settle()
    assert desk.theme.dark
    assert desk.settings.values["ui.theme"] == "dark"
    page.send_buttons[True].click()
    desk.settle()
    assert desk.page.composer.edit.send_with_ctrl
    assert desk.settings.values["ui.send_with_ctrl"] is True


def test_zoom_keys_change_the_text_and_are_kept(desk: Desk) -> None:
    size = desk.page.composer.edit.font().pixelSize()
    QTest.keyClick(desk.window, Qt.Key.Key_Plus, Qt.KeyboardModifier.ControlModifier)
    desk.settle()
    assert desk.page.composer.edit.font().pixelSize() > size
    assert desk.settings.values["ui.zoom"] == 1.1
    QTest.keyClick(desk.window, Qt.Key.Key_0, Qt.KeyboardModifier.ControlModifier)
    assert desk.page.composer.edit.font().pixelSize() == size


def test_geometry_is_kept_when_the_window_closes(desk: Desk) -> None:
    desk.window.resize(1000, 700)
    desk.window.close()
    desk.settle()
    assert isinstance(desk.settings.values["ui.geometry"], str)
    assert desk.settings.values["ui.sidebar_width"] > 0  # type: ignore[operator]


def test_header_makes_room_for_what_must_stay(desk: Desk) -> None:
    desk.window.resize(700, 600)
    desk.until(lambda: not desk.window.header.device.isVisible())
    assert desk.window.header.network.isVisible()
    assert desk.window.header.encryption.isVisible()
    parts = [desk.window.header.model_button, desk.window.header.encryption, desk.window.header.network]
    for left, right in itertools.pairwise(parts):
        assert left.geometry().right() < right.geometry().left()


@pytest.mark.parametrize(
    "address", ["http://example.org", "file:///etc/passwd", "javascript:x", "//host/share", ""]
)
def test_only_https_is_ever_offered(desk: Desk, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Question, "exec", lambda _: pytest.fail("asked"))
    assert not ask_to_copy(desk.theme, desk.window, address)


def test_the_question_shows_the_whole_address(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def answer(dialog: Question) -> Question.DialogCode:
        shown.append(dialog.text)
        return Question.DialogCode.Accepted

    monkeypatch.setattr(Question, "exec", answer)
    address = "https://example.org/" + "long/" * 60 + "end"
    assert ask_to_copy(desk.theme, desk.window, address)
    assert shown[0].replace("\u200b", "").endswith(address)


def test_the_sheet_of_keys_names_real_keys(desk: Desk) -> None:
    sheet = ShortcutSheet(desk.theme, desk.window)
    keys = {key.toString() for action in desk.window.actions() for key in action.shortcuts()}
    for key in ("Ctrl+N", "Ctrl+K", "F2", "Ctrl+M", "Ctrl+P", "Ctrl+B", "Ctrl+,", "Ctrl+R", "Ctrl+E", "F1"):
        assert key in keys
    sheet.deleteLater()


def test_a_passphrase_is_set_and_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.window.header.show_key(KeyGuard("Weak key: a file.", weak=True))
    assert desk.window.header.weak.isVisible()
    desk.window.show_settings()
    page = desk.window.settings_page
    assert page is not None

    def choose(dialog: PassphraseDialog) -> QDialog.DialogCode:
        dialog.first.setText("correct horse")
        dialog.second.setText("correct horse")
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(PassphraseDialog, "exec", choose)
    page.passphrase.click()
    desk.settle()
    assert not desk.window.header.weak.isVisible()
    assert desk.window.header.encryption.isVisible()
    assert "passphrase" in desk.window.header.encryption.toolTip()
    assert "next start" in desk.window.toast.text


def test_a_backup_is_written_where_and_as_the_person_says(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.window.show_settings()
    page = desk.window.settings_page
    assert page is not None
    file = tmp_path / "monday.localai-backup"
    answers = [("", ""), (str(file), "")]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: answers.pop(0))

    def choose(dialog: PassphraseDialog) -> QDialog.DialogCode:
        assert not answers, "nothing is asked where no file was named"
        dialog.first.setText("correct horse")
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(PassphraseDialog, "exec", choose)
    page.backup.click()
    page.backup.click()
    desk.settle()
    assert desk.backups == [(file, "correct horse")]
    assert "monday.localai-backup is written" in desk.window.toast.text

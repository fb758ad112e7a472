from datetime import timedelta

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit

from localai_app.ui.chat.conversation_list import PAGE
from localai_app.ui.chat.sidebar import Sidebar, View
from tests.ui.conftest import Desk


def titles(desk: Desk) -> list[str]:
    model = desk.page.sidebar.chats
    return [model.index(row).data() for row in range(model.rowCount())]


def fill(desk: Desk, *entries: tuple[str, timedelta]) -> None:
    for title, age in entries:
        desk.chat.add(title, f"question of {title}", f"answer of {title}", age=age)
    desk.page.sidebar.load()
    desk.settle()


def test_chats_stand_under_today_yesterday_and_older(desk: Desk) -> None:
    fill(
        desk,
        ("a", timedelta(seconds=1)),
        ("b", timedelta(days=1, seconds=1)),
        ("c", timedelta(days=4)),
        ("d", timedelta(days=5)),
        ("e", timedelta(days=90)),
    )
    assert titles(desk) == ["a", "b", "c", "d", "e"]
    groups = [desk.page.sidebar.chats.group(row) for row in range(5)]
    assert groups == ["Today", "Yesterday", "Last 7 days", "", "Older"]


def test_thousands_of_chats_come_in_pages(desk: Desk) -> None:
    for number in range(PAGE + 20):
        desk.chat.add(f"chat {number}", age=timedelta(days=400, minutes=number))
    desk.chat.calls.clear()
    desk.page.sidebar.load()
    desk.settle()
    assert desk.page.sidebar.chats.rowCount() == PAGE
    view = desk.page.sidebar.chat_view
    view.scrollToBottom()
    desk.until(lambda: desk.page.sidebar.chats.rowCount() == PAGE + 20)
    assert [call for call in desk.chat.calls if call.startswith("conv")] == [
        "conversations 0",
        f"conversations {PAGE}",
    ]
    assert not desk.page.sidebar.chats.canFetchMore(desk.page.sidebar.chats.index(-1))


def test_a_chat_that_is_answered_moves_to_the_top(desk: Desk) -> None:
    fill(desk, ("new", timedelta(hours=0)), ("old", timedelta(days=50)))
    desk.open(2)
    desk.send("More")
    assert titles(desk) == ["old", "new"]
    assert desk.page.sidebar.chat_view.currentIndex().row() == 0


def test_f2_renames_in_place(desk: Desk) -> None:
    fill(desk, ("Frist", timedelta()))
    desk.open(1)
    view = desk.page.sidebar.chat_view
    view.setFocus()
    QTest.keyClick(desk.window, Qt.Key.Key_F2)
    desk.until(lambda: view.findChild(QLineEdit) is not None)
    editor = view.findChild(QLineEdit)
    assert editor.text() == "Frist"
    editor.setText("  First   chat ")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    desk.settle()
    assert desk.chat.rows[1].title == "First chat"
    assert titles(desk) == ["First chat"]


def test_an_empty_title_renames_nothing(desk: Desk) -> None:
    fill(desk, ("Title", timedelta()))
    assert not desk.page.sidebar.chats.setData(desk.page.sidebar.chats.index(0), "   ")
    desk.settle()
    assert "rename" not in desk.chat.calls


def test_delete_moves_to_the_trash_and_undo_brings_back(desk: Desk) -> None:
    fill(desk, ("Keep", timedelta()), ("Throw", timedelta(days=1)))
    desk.open(2)
    desk.page.sidebar.chat_view.setFocus()
    QTest.keyClick(desk.page.sidebar.chat_view, Qt.Key.Key_Delete)
    desk.settle()
    assert titles(desk) == ["Keep"]
    assert desk.page.current_id is None
    assert desk.window.toast.isVisible()
    assert "trash" in desk.window.toast.text
    desk.page.sidebar.chat_view.setFocus()
    QTest.keyClick(desk.page.sidebar.chat_view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    desk.settle()
    assert titles(desk) == ["Keep", "Throw"]
    assert desk.chat.rows[2].trashed is None
    assert desk.page.current_id == 2


def test_the_trash_restores_and_deletes_forever_only_when_confirmed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(desk, ("One", timedelta()), ("Two", timedelta(days=1)))
    desk.page.trash(1)
    desk.page.trash(2)
    desk.settle()
    desk.page.sidebar.trash_button.click()
    desk.settle()
    assert desk.page.sidebar.view is View.TRASH
    assert desk.page.sidebar.trashed.rowCount() == 2
    desk.page.sidebar.restore_requested.emit(1)
    desk.settle()
    assert desk.chat.rows[1].trashed is None
    confirmed = [False]
    monkeypatch.setattr("localai_app.ui.chat.page.confirm", lambda *_: confirmed[0])
    desk.page.sidebar.delete_requested.emit(2)
    desk.settle()
    assert 2 in desk.chat.rows
    confirmed[0] = True
    desk.page.sidebar.delete_requested.emit(2)
    desk.settle()
    assert 2 not in desk.chat.rows
    assert desk.page.sidebar._nothing.text() == "The trash is empty."


def test_search_finds_words_in_messages_and_opens_the_message(desk: Desk) -> None:
    fill(desk, ("Leases", timedelta()), ("Cooking", timedelta(days=1)))
    QTest.keyClick(desk.window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    field = desk.page.sidebar.search_field
    assert field.hasFocus()
    QTest.keyClicks(field, "answer of Cook")
    desk.until(lambda: desk.page.sidebar.view is View.SEARCH)
    assert [hit.conversation_title for hit in desk.page.sidebar.hits.hits] == ["Cooking"]
    QTest.keyClick(field, Qt.Key.Key_Return)
    desk.until(lambda: desk.page.current_id == 2)
    desk.until(desk.transcript.extraSelections)
    QTest.keyClick(field, Qt.Key.Key_Escape)
    assert desk.page.sidebar.view is View.CHATS
    assert field.text() == ""


def test_search_says_when_nothing_is_found(desk: Desk) -> None:
    fill(desk, ("Leases", timedelta()))
    desk.page.sidebar.search_field.setText("zebra")
    desk.until(lambda: desk.page.sidebar.view is View.SEARCH)
    assert desk.page.sidebar._nothing.text() == "Nothing found."


def test_a_hit_on_another_branch_shows_that_branch(desk: Desk) -> None:
    fill(desk, ("Branches", timedelta()))
    desk.chat.regenerate(2)
    desk.chat.save(3, text="the second answer")
    desk.open(1)
    assert "the second answer" in desk.text
    desk.page.sidebar.search_field.setText("answer of Branches")
    desk.until(lambda: desk.page.sidebar.hits.hits)
    desk.page.sidebar.search_view.open_first()
    desk.until(lambda: "answer of Branches" in desk.text)


def test_the_menus_offer_what_can_be_done(desk: Desk) -> None:
    fill(desk, ("One", timedelta()))
    row = desk.chat.rows[1]
    sidebar: Sidebar = desk.page.sidebar
    assert [a.text() for a in sidebar._chat_menu(row).actions() if a.text()] == [
        "Rename",
        "Save a copy as",
        "Move to trash",
    ]
    assert [a.text() for a in sidebar._trash_menu(row).actions()] == ["Restore", "Delete forever…"]


def test_the_sidebar_can_be_hidden(desk: Desk) -> None:
    QTest.keyClick(desk.window, Qt.Key.Key_B, Qt.KeyboardModifier.ControlModifier)
    assert not desk.page.sidebar.isVisible()
    QTest.keyClick(desk.window, Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    assert desk.page.sidebar.isVisible()
    QApplication.processEvents()

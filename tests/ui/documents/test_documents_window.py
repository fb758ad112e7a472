"""The Documents page with the keyboard alone, at every size, and what the window does for it."""

import pytest
from PySide6.QtCore import QRect, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from localai_app.documents.document import State
from localai_app.errors import PasswordNeeded
from localai_app.ui.documents.page import DocumentsPage
from localai_app.ui.documents.page_view import Showing
from localai_app.ui.documents.sidebar import View
from tests.ui.conftest import Desk
from tests.ui.documents.test_documents_page import ask, citations
from tests.ui.fake_documents import PASSWORD, FakeDocuments, facts

CAP = citations()[0].start, citations()[0].end


def focus() -> QWidget:
    found = QApplication.focusWidget()
    assert found is not None
    return found


def place(desk: Desk, widget: QWidget) -> QRect:
    """Where ``widget`` lies in the window."""
    return QRect(widget.mapTo(desk.window, widget.rect().topLeft()), widget.size())


# ---------------------------------------------------------------- the window


def test_what_was_not_read_goes_on_once_the_window_is_there(desk: Desk) -> None:
    assert desk.documents.calls.count("resume") == 1


def test_news_that_come_after_the_window_is_closed_are_left(desk: Desk, page: DocumentsPage) -> None:
    desk.documents.tell()
    page.library._note()
    page.close_work()
    calls = len(desk.documents.calls)
    page.library._note()
    desk.qtbot.wait(600)
    assert desk.documents.calls[calls:].count("documents") == 0
    assert desk.documents.calls[calls:].count("work") <= 1  # was under way


def test_a_zoom_on_this_page_reaches_the_field_of_the_chat(desk: Desk, page: DocumentsPage) -> None:
    desk.theme.set_zoom(2.0)
    desk.settle()
    desk.window.show_chat()
    desk.settle()
    assert desk.page.composer.edit.font().pixelSize() == desk.theme.font().pixelSize()


def test_a_message_covers_nothing_that_is_attached(desk: Desk, page: DocumentsPage) -> None:
    desk.window.toast.show_message("Something was done.", "Undo", lambda: None)
    desk.window.show_chat()
    for number in (1, 2):
        desk.page.pane.sources.attach("document", number)
    desk.settle()
    composer = desk.page.composer
    assert not place(desk, desk.window.toast).intersects(place(desk, composer))


# ---------------------------------------------------------------- the keyboard alone


def test_tab_goes_through_the_page_as_the_eye_does_and_comes_back(desk: Desk, page: DocumentsPage) -> None:
    desk.chat.citations = citations()
    desk.chat.script = ["The cap is 250,000 [1], elsewhere none [3]."]
    ask(desk, page)
    page.open_citations(citations(), 0)
    page.view.show_model(True)
    desk.settle()
    page.sidebar.add_button.setFocus(Qt.FocusReason.TabFocusReason)
    passed: list[QWidget] = []
    while not passed or focus() is not passed[0]:
        passed.append(focus())
        QTest.keyClick(focus(), Qt.Key.Key_Tab)
        assert len(passed) < 60, [each.accessibleName() for each in passed]
    names = [each.accessibleName() for each in passed]
    assert all(names)
    # The text of the conversation is passed link by link; nothing else takes more than one Tab.
    others = [each for each in passed if each is not page.ask.pane.transcript]
    assert len(others) == len(set(others))
    expected = [
        "Add documents",
        "Find in documents",
        "Collections",
        "Documents",
        "Trash",
        "Conversation",
        "Citation 1: mill-lane.pdf, page 2, verbatim",
        "Citation 3: quay-west.pdf, page 1, not verified",
        "Read every page",
        "Copy",
        "Question to these documents",
        "Next page",
        "What the model saw",
        "Close the document",
        "Next citation (Alt+Right)",
        "page 2",
        "What the model saw of this page",
        "Chat",
    ]
    assert [each for each in dict.fromkeys(names) if each in expected] == expected


def test_escape_ends_what_was_begun_last(desk: Desk, page: DocumentsPage) -> None:
    page.open_document(1, 2)
    desk.settle()
    page.view.begin_find()
    QTest.keyClick(focus(), Qt.Key.Key_Escape)
    assert page.view.find_strip.isHidden()
    page.view.canvas.setFocus()
    page.view.canvas.select(0, 5)
    QTest.keyClick(focus(), Qt.Key.Key_Escape)
    assert not page.view.canvas.selected_text
    assert page.view.isVisible()
    QTest.keyClick(focus(), Qt.Key.Key_Escape)
    assert page.view.isHidden()
    assert focus() is page.ask.pane.composer.edit

    page.sidebar.search_field.setFocus()
    QTest.keyClicks(page.sidebar.search_field, "liability")
    desk.until(lambda: page.sidebar.view is View.FOUND)
    QTest.keyClick(focus(), Qt.Key.Key_Down)
    QTest.keyClick(focus(), Qt.Key.Key_Escape)
    assert page.sidebar.view is View.LIBRARY
    assert focus() is page.sidebar.search_field

    page.sidebar.trash_button.click()
    desk.settle()
    page.sidebar.trash_list.setFocus()
    QTest.keyClick(focus(), Qt.Key.Key_Escape)
    assert page.sidebar.view is View.LIBRARY


# ---------------------------------------------------------------- the page view


def test_a_locked_document_that_is_opened_waits_for_its_password(desk: Desk, page: DocumentsPage) -> None:
    sealed = desk.documents.put("sealed.pdf", state=State.LOCKED)
    page.open_document(sealed.id)
    desk.settle()
    assert focus() is page.view.card.password
    page.ask.focus()
    desk.documents.change(sealed.id, error="The password is wrong.")
    desk.settle()
    assert focus() is page.ask.pane.composer.edit, "it is not taken from what is written"


def test_a_password_that_was_wrong_twice_can_be_typed_again(desk: Desk, page: DocumentsPage) -> None:
    sealed = desk.documents.put("sealed.pdf", state=State.LOCKED)
    page.open_document(sealed.id)
    desk.settle()
    card = page.view.card
    card.unlock_button.setEnabled(False)  # as after a try that left the document as it was
    QTest.keyClicks(card.password, PASSWORD)
    assert card.unlock_button.isEnabled()


def test_pages_whose_password_is_gone_are_shown_once_it_is_typed(
    desk: Desk, page: DocumentsPage, library: FakeDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.reason = PasswordNeeded("The file is encrypted.", "Type its password.")

    def unlock(document_id: int, password: str) -> None:
        if password == PASSWORD:
            library.reason = None

    monkeypatch.setattr(library, "unlock", unlock)
    page.open_document(1, 2, CAP)
    desk.settle()
    reason = page.view.reason
    assert page.view.showing is Showing.TEXT
    assert reason.password.isVisible()
    for typed in ("wrong", PASSWORD):
        assert reason.isVisible()
        QTest.keyClicks(reason.password, typed)
        QTest.keyClick(reason.password, Qt.Key.Key_Return)
        desk.settle()
        desk.settle()
    assert reason.isHidden()
    assert page.view.showing is Showing.PICTURE
    assert page.view.number == 2
    assert page.view.canvas._marks


def test_a_file_that_is_gone_asks_for_no_password(desk: Desk, page: DocumentsPage) -> None:
    page.view.reason.show_reason("The file is gone.", locked=False)
    page.view.show()
    assert page.view.reason.password.isHidden()
    assert page.view.reason.unlock_button.isHidden()


@pytest.mark.parametrize("width", [900, 1280, 1700])
def test_the_name_of_a_document_is_seen_whole(desk: Desk, page: DocumentsPage, width: int) -> None:
    desk.documents.change(1, facts=facts("Lease", "Liability"))
    desk.window.resize(width, 700)
    page.open_document(1)
    desk.settle()
    bar = page.view.bar
    assert bar.outline_button.isVisible()
    assert bar.name.width() >= bar.name.fontMetrics().horizontalAdvance("mill-lane.pdf")
    assert bar.close_button.geometry().right() <= bar.width()
    assert bar.zoom_button.isVisible() is (width == 1700)


def test_the_page_is_fitted_when_what_lies_beside_it_comes_and_goes(desk: Desk, page: DocumentsPage) -> None:
    desk.documents.change(1, facts=facts("Lease", "Liability"))
    desk.window.resize(900, 700)
    page.open_document(1)
    desk.settle()
    view = page.view
    alone = view.canvas.scale
    view.show_model(True)
    desk.until(lambda: view.canvas.scale < alone * 0.7)
    view.bar.outline_button.setChecked(True)
    desk.until(lambda: view.canvas.width() <= view.scroller.viewport().width() + 1)
    view.bar.outline_button.setChecked(False)
    view.show_model(False)
    desk.until(lambda: view.canvas.scale == pytest.approx(alone, rel=0.02))


def test_only_what_is_asked_is_said_to_be_still_read(desk: Desk, page: DocumentsPage) -> None:
    desk.documents.put("late.pdf", state=State.WAITING)
    desk.settle()
    desk.until(lambda: "still being read" in page.ask.blank.words.text())
    page.sidebar.ask_requested.emit([1])
    assert "still being read" not in page.ask.blank.words.text()
    page.sidebar.ask_requested.emit([1, 3])
    assert "still being read" in page.ask.blank.words.text()

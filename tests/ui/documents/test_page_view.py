import threading
from typing import Any

import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from localai_app.documents.document import Citation, State
from localai_app.errors import DocumentError
from localai_app.ui.documents.page import DocumentsPage
from localai_app.ui.documents.page_view import MOST_MARKS, PageView, Showing
from localai_app.ui.theme import LIGHT
from tests.ui.conftest import Desk
from tests.ui.fake_documents import (
    CHARACTER,
    EDGE,
    HEIGHT,
    LINE,
    PASSWORD,
    WIDTH,
    FakeDocuments,
    facts,
    flowing,
    lease,
    paged,
)

CLAUSE = lease()[1].text
CAP = (
    CLAUSE.index("shall not exceed EUR 250,000"),
    CLAUSE.index("shall not") + len("shall not exceed EUR 250,000"),
)


@pytest.fixture
def view(desk: Desk, page: DocumentsPage) -> PageView:
    page.open_document(1, 2, CAP)
    desk.settle()
    return page.view


def cite(document: int, number: int, start: int, end: int, *, verified: bool = True) -> Citation:
    text = lease()[1].text
    return Citation(number, document, "mill-lane.pdf", 2, "page 2", start, end, text[start:end], verified)


def at(view: PageView, row: int, column: float) -> QPointF:
    """Where a character of the fake's grid stands on the canvas."""
    paper, scale = view.canvas.paper, view.canvas.scale
    return QPointF(
        paper.left() + (EDGE + (column + 0.5) * CHARACTER) * scale,
        paper.top() + (EDGE + row * LINE + 6) * scale,
    )


def test_a_page_is_drawn_in_another_thread_and_its_span_marked(desk: Desk, view: PageView) -> None:
    assert view.showing is Showing.PICTURE
    assert view.canvas.image is not None
    assert threading.main_thread().name not in desk.documents.threads
    inside = view.canvas.rect_of(CAP).center()
    shown = view.canvas.grab().toImage()
    near = {
        shown.pixelColor(round(inside.x()) + x, round(inside.y()) + y).name().upper()
        for x in range(-30, 30, 3)
        for y in range(-4, 12)
    }
    assert LIGHT.mark in near
    outside = at(view, 0, 20)
    assert shown.pixelColor(round(outside.x()), round(outside.y()) - 8).name() == "#ffffff"


def test_the_page_is_drawn_in_the_screen_s_own_pixels(desk: Desk, view: PageView) -> None:
    _, scale = next(each for each in reversed(desk.documents.drawn) if each[0] == 2)
    assert scale == pytest.approx(view.canvas.scale * view.devicePixelRatioF(), abs=0.001)
    room = view.scroller.viewport().width()
    assert room * 0.8 < view.canvas.scale * WIDTH < room


def test_paging_goes_to_the_ends_and_no_further(desk: Desk, view: PageView) -> None:
    view.bar.on_button.click()
    desk.settle()
    assert view.canvas.page == lease()[2]
    assert not view.bar.on_button.isEnabled()
    view.go_to(99)
    assert view.number == 3
    view.bar.field.setText("1")
    QTest.keyClick(view.bar.field, Qt.Key.Key_Return)
    desk.settle()
    assert view.canvas.page == lease()[0]
    assert not view.bar.back_button.isEnabled()


def test_only_the_page_wanted_last_is_drawn_when_many_are_passed(desk: Desk, library: FakeDocuments) -> None:
    pages = [lease()[0]] * 40
    long = library.put("long.pdf", *[flowing_number(page, number) for number, page in enumerate(pages, 1)])
    desk.window.show_documents()
    desk.settle()
    made = desk.window.documents_page
    assert made is not None
    made.open_document(long.id)
    desk.settle()
    library.drawing.clear()
    library.drawn.clear()
    for number in range(5, 35):
        made.view.go_to(number)
        desk.until(lambda number=number: made.view.page is not None and made.view.page.number == number)
    library.drawing.set()
    desk.settle()
    assert made.view.canvas.image is not None
    assert len(library.drawn) <= 4
    assert 34 in [number for number, _ in library.drawn]


def flowing_number(page: Any, number: int) -> Any:
    from msgspec.structs import replace

    return replace(page, number=number)


def test_zoom_steps_and_comes_back_to_the_width(desk: Desk, view: PageView) -> None:
    fitting = view.canvas.scale
    view.canvas.setFocus()
    QTest.keyClick(view.canvas, Qt.Key.Key_Plus)
    assert view.canvas.scale > fitting
    text = view.bar.zoom_button.text()
    assert text.endswith("%")
    assert round(view.canvas.scale / (96 / 72) * 100) == int(text.removesuffix(" %"))
    QTest.keyClick(view.canvas, Qt.Key.Key_0)
    assert view.canvas.scale == fitting
    desk.settle()


def test_a_document_is_never_drawn_larger_than_a_screen_can_show(desk: Desk, view: PageView) -> None:
    for _ in range(20):
        view.zoom(1)
    desk.settle()
    assert max(scale * WIDTH * scale * HEIGHT for _, scale in desk.documents.drawn) <= 40_100_000


def test_text_is_selected_with_the_mouse_and_copied(desk: Desk, view: PageView) -> None:
    row = 2
    line = CLAUSE.split("\n")[row]
    first, last = line.index("aggregate"), line.index("liability") + len("liability") - 1
    QTest.mousePress(view.canvas, Qt.MouseButton.LeftButton, pos=at(view, row, first).toPoint())
    move(view, at(view, row, last))
    QTest.mouseRelease(view.canvas, Qt.MouseButton.LeftButton, pos=at(view, row, last).toPoint())
    QTest.keyClick(view.canvas, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "aggregate liability"
    QTest.keyClick(view.canvas, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert view.canvas.selected_text == CLAUSE


def move(view: PageView, to: QPointF) -> None:
    from PySide6.QtCore import QEvent
    from PySide6.QtGui import QMouseEvent

    left = Qt.MouseButton.LeftButton
    view.canvas.mouseMoveEvent(
        QMouseEvent(
            QEvent.Type.MouseMove, to, view.canvas.mapToGlobal(to), left, left, Qt.KeyboardModifier.NoModifier
        )
    )


def test_a_double_click_selects_a_word(view: PageView) -> None:
    QTest.mouseDClick(view.canvas, Qt.MouseButton.LeftButton, pos=at(view, 3, 20).toPoint())
    assert view.canvas.selected_text == CLAUSE.split("\n")[3][17:20] == "EUR"


def test_ctrl_f_finds_in_the_document_and_goes_through_its_pages(desk: Desk, view: PageView) -> None:
    view.go_to(1)
    desk.settle()
    view.canvas.setFocus()
    QTest.keyClick(view.canvas, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert view.find_strip.isVisible()
    QTest.keyClicks(view.find_strip.field, "landlord")
    QTest.keyClick(view.find_strip.field, Qt.Key.Key_Return)
    desk.settle()
    assert view.find_strip.words.text() == "1 of 3"
    assert view.number == 1
    QTest.keyClick(view.find_strip.field, Qt.Key.Key_Return)
    desk.settle()
    assert view.number == 2
    assert view.find_strip.words.text() == "2 of 3"
    view.find_strip.before.click()
    view.find_strip.before.click()
    desk.settle()
    assert (view.number, view.find_strip.words.text()) == (3, "3 of 3")
    assert view.canvas._current
    view.find_strip.field.setText("")
    QTest.keyClicks(view.find_strip.field, "zebra")
    QTest.keyClick(view.find_strip.field, Qt.Key.Key_Return)
    desk.settle()
    assert view.find_strip.words.text() == "not found"
    QTest.keyClick(view.find_strip.field, Qt.Key.Key_Escape)
    assert not view.find_strip.isVisible()


def test_thousands_of_places_are_marked_on_a_page_and_some_hundred_in_a_text(
    desk: Desk, page: DocumentsPage
) -> None:
    line = "ab " * 25
    text = "\n".join(line for _ in range(30))
    paper = desk.documents.put("paper.pdf", paged(1, text))
    part = desk.documents.put("part.txt", flowing(1, text))
    for document, marked in ((paper, 750), (part, MOST_MARKS + 1)):
        page.open_document(document.id)
        desk.settle()
        page.view.begin_find()
        page.view.find_strip.field.setText("ab")
        page.view.find_strip.changed.emit("ab")
        desk.settle()
        page.view.find_strip.stepped.emit(-1)
        desk.settle()
        assert page.view.find_strip.words.text() == "750 of 750"
        made = page.view.canvas._hits if document is paper else page.view.readable.extraSelections()
        assert len(made) == marked
    last = text.rindex("ab")
    assert page.view.readable.extraSelections()[-1].cursor.position() == last + 2
    canvas = page.view.canvas
    one = canvas._boxes((last, last + 2))[0]
    many = canvas._hits[-1]
    assert (many.left, many.top, many.right, many.bottom) == (one.left, one.top, one.right, one.bottom)


def test_citations_are_a_step_apart_across_documents(desk: Desk, page: DocumentsPage) -> None:
    citations = (cite(1, 1, *CAP), cite(2, 2, 0, 12, verified=False))
    page.open_citations(citations, 0)
    desk.settle()
    view = page.view
    assert view.citation_strip.words.text() == "Citation 1 of 2: mill-lane.pdf, page 2"
    assert view.citation_strip.verdict.text() == "verbatim"
    assert page.sidebar.document_list.keys == [1]
    view.citation_strip.following.click()
    desk.settle()
    assert view.document is not None
    assert view.document.id == 2
    assert view.citation_strip.verdict.text() == "not verified"
    assert page.sidebar.document_list.keys == [2]
    view.step_citation(1)
    desk.settle()
    assert view.document.id == 1


def test_what_the_model_saw_lies_beside_the_page(desk: Desk, view: PageView) -> None:
    view.bar.model_button.click()
    assert view.model.isVisible()
    assert view.model.text.toPlainText() == CLAUSE
    assert [each.cursor.selectedText() for each in view.model.text.extraSelections()] == [CLAUSE[slice(*CAP)]]
    view.go_to(3)
    desk.settle()
    assert view.model.text.toPlainText() == lease()[2].text


def test_a_file_that_is_gone_shows_its_text_and_says_why(desk: Desk, page: DocumentsPage) -> None:
    desk.documents.reason = DocumentError("The file is no longer there.", "Add it again.")
    page.open_document(1, 2, CAP)
    desk.settle()
    assert page.view.showing is Showing.TEXT
    assert "no longer there" in page.view.reason.words.text()
    assert page.view.readable.page == lease()[1]
    assert page.view.readable.extraSelections()
    page.view.go_to(3)
    desk.settle()
    assert page.view.showing is Showing.TEXT
    assert page.view.readable.page == lease()[2]


def test_formats_without_pages_show_their_text(desk: Desk, page: DocumentsPage) -> None:
    text = "Dear all,\n\nthe cap is 250,000."
    letter = desk.documents.put("letter.eml", flowing(1, text))
    page.open_document(letter.id, 1, (text.index("250"), len(text) - 1))
    desk.settle()
    assert page.view.showing is Showing.TEXT
    assert [each.cursor.selectedText() for each in page.view.readable.extraSelections()] == ["250,000"]
    assert not page.view.bar.in_button.isVisible()
    assert page.view.reason.isHidden()


def test_a_locked_document_asks_for_its_password_and_opens(desk: Desk, page: DocumentsPage) -> None:
    sealed = desk.documents.put("sealed.pdf", state=State.LOCKED)
    page.open_document(sealed.id)
    desk.settle()
    card = page.view.card
    assert page.view.showing is Showing.STATE
    card.password.setText("wrong")
    QTest.keyClick(card.password, Qt.Key.Key_Return)
    desk.settle()
    assert "password is wrong" in desk.window.toast.text
    assert card.unlock_button.isEnabled()
    assert card.password.text() == ""
    card.password.setText(PASSWORD)
    card.unlock_button.click()
    desk.until(lambda: page.view.showing is Showing.PICTURE)
    assert page.view.page is not None
    assert page.view.page.text == "The secret clause"


def test_a_failed_document_says_why_and_is_tried_again(desk: Desk, page: DocumentsPage) -> None:
    broken = desk.documents.put("broken.pdf", state=State.FAILED, error="The page tree has no end.")
    page.open_document(broken.id)
    desk.settle()
    assert page.view.card.words.text() == "The page tree has no end."
    page.view.card.retry_button.click()
    desk.until(lambda: "waiting" in page.view.card.title.text())
    assert "retry" in desk.documents.calls


def test_the_table_of_contents_leads_to_its_page(desk: Desk, page: DocumentsPage) -> None:
    book = desk.documents.put("book.pdf", *lease(), facts=facts("One", "Two", "Three"))
    page.open_document(book.id)
    desk.settle()
    page.view.bar.outline_button.click()
    assert page.view.outline.isVisible()
    page.view.outline.clicked.emit(page.view.outline.model().index(2, 0))
    desk.settle()
    assert page.view.number == 3
    page.open_document(1)
    desk.settle()
    assert not page.view.bar.outline_button.isVisible()


def test_leaving_a_document_ends_what_draws_it(desk: Desk, page: DocumentsPage) -> None:
    page.open_document(1)
    desk.settle()
    page.open_document(2)
    desk.settle()
    assert [view.closed for view in desk.documents.views] == [True, False]
    page.view.bar.close_button.click()
    desk.settle()
    assert all(view.closed for view in desk.documents.views)
    assert not page.view.isVisible()


def test_a_document_that_was_left_before_it_came_is_not_shown(desk: Desk, page: DocumentsPage) -> None:
    page.open_document(1, 3)
    page.open_document(2, 1)
    desk.settle()
    assert page.view.document is not None
    assert page.view.document.id == 2
    assert page.view.number == 1
    assert [view.closed for view in desk.documents.views] == [True, False]

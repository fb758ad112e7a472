import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget

from localai_app.documents.document import Citation, Document, Scope, State
from localai_app.documents.grounding import Mode, Sources
from localai_app.documents.service import Work
from localai_app.ui.chat.cards import SourceCards
from localai_app.ui.documents import words
from localai_app.ui.documents.lists import differences
from localai_app.ui.documents.page import DocumentsPage
from localai_app.ui.documents.passages import excerpt
from localai_app.ui.documents.sidebar import View
from tests.ui.conftest import Desk
from tests.ui.fake_documents import FakeDocuments, lease, paged, passage

Press = Callable[[QWidget, str], None]


def names(page: DocumentsPage) -> list[str]:
    return [each.name for each in page.sidebar.documents.documents]


def collections(page: DocumentsPage) -> list[tuple[str, int]]:
    return [(each.name, each.documents) for each in page.sidebar.collections.collections]


def act(menu: QMenu | None, text: str) -> None:
    assert menu is not None
    found = [action for action in menu.actions() if action.text() == text]
    assert len(found) == 1, [action.text() for action in menu.actions()]
    found[0].trigger()


def ask(desk: Desk, page: DocumentsPage, text: str = "What is the cap?") -> SourceCards:
    """Ask in the middle; the cards under the answer."""
    edit = page.ask.pane.composer.edit
    edit.setFocus()
    QTest.keyClicks(edit, text)
    QTest.keyClick(edit, Qt.Key.Key_Return)
    desk.settle()
    transcript = page.ask.pane.transcript
    transcript.arrange()
    desk.settle()
    cards = transcript.overlays.widget(transcript.messages[-1].id, "cards")
    assert isinstance(cards, SourceCards)
    return cards


def citations() -> tuple[Citation, ...]:
    text = lease()[1].text
    start = text.index("shall not")
    return (
        Citation(
            1, 1, "mill-lane.pdf", 2, "page 2", start, start + 28, text[start : start + 28], True, at=20
        ),
        Citation(3, 2, "quay-west.pdf", 1, "page 1", 0, 5, "LEASE", False, at=40),
    )


# ---------------------------------------------------------------- the library


def test_ctrl_shift_d_shows_what_is_there(desk: Desk, library: FakeDocuments) -> None:
    QTest.keyClick(
        desk.window, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    desk.settle()
    page = desk.window.documents_page
    assert page is not None
    assert names(page) == ["mill-lane.pdf", "quay-west.pdf"]
    assert collections(page) == [("Leases 2026", 1)]
    assert page.sidebar.collections.total == 2
    assert threading.main_thread().name not in library.threads


def test_a_collection_shows_its_documents_and_is_what_is_asked(desk: Desk, page: DocumentsPage) -> None:
    page.sidebar.collection_list.opened.emit(1)
    desk.settle()
    assert names(page) == ["mill-lane.pdf"]
    assert page.ask.scope == Scope(collections=(1,))
    assert page.ask.title.text() == "Leases 2026 · 1 document"


def test_what_is_asked_at_once_goes_to_the_collection_just_chosen(desk: Desk, page: DocumentsPage) -> None:
    page.sidebar.choose_collection(1)
    page.ask.pane.send("Already?")
    desk.settle()
    assert desk.chat.rows[1].sources == Sources(Scope(collections=(1,)))
    assert page.ask.pane.path[0].text == "Already?"


def test_files_are_added_to_the_collection_and_what_was_refused_is_told(
    desk: Desk, page: DocumentsPage
) -> None:
    page.sidebar.choose_collection(1)
    desk.settle()
    desk.documents.refused = (("old.doc", "Word 97 files cannot be read. Save it as DOCX."),)
    page.add([Path("/in/new.pdf"), Path("/in/old.doc")])
    desk.settle()
    assert names(page) == ["mill-lane.pdf", "new.pdf"]
    assert desk.window.toast.text == (
        "1 document added. old.doc: Word 97 files cannot be read. Save it as DOCX."
    )


def test_what_is_dropped_is_added(desk: Desk, page: DocumentsPage) -> None:
    data = QMimeData()
    data.setUrls(
        [QUrl.fromLocalFile("/in/a.pdf"), QUrl.fromLocalFile("/in/folder"), QUrl("https://example.org/x")]
    )
    page.dropEvent(
        QDropEvent(
            QPointF(9, 9),
            Qt.DropAction.CopyAction,
            data,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )
    desk.settle()
    assert names(page) == ["a.pdf", "folder", "mill-lane.pdf", "quay-west.pdf"]


def test_a_new_collection_is_named_where_it_stands(desk: Desk, page: DocumentsPage) -> None:
    page.sidebar.new_button.click()
    desk.settle()
    editor = page.sidebar.collection_list.findChild(QLineEdit)
    assert editor is not None
    editor.setText("Audit")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    desk.settle()
    assert collections(page) == [("Audit", 0), ("Leases 2026", 1)]
    assert page.sidebar.collection_name == "Audit"
    assert "Nothing in this collection" in page.sidebar._nothing.text()


def test_a_name_that_is_taken_is_refused_and_nothing_changes(desk: Desk, page: DocumentsPage) -> None:
    desk.documents.create_collection("Audit")
    page.sidebar.rename_requested.emit(1, "Audit")
    desk.settle()
    assert "already" in desk.window.toast.text
    assert collections(page) == [("Audit", 0), ("Leases 2026", 1)]


def test_a_deleted_collection_comes_back_with_its_documents(desk: Desk, page: DocumentsPage) -> None:
    page.sidebar.choose_collection(1)
    desk.settle()
    act(page.sidebar._collection_menu([1]), "Delete the collection")
    desk.settle()
    assert collections(page) == []
    assert names(page) == ["mill-lane.pdf", "quay-west.pdf"]
    desk.window.toast.act()
    desk.settle()
    assert collections(page) == [("Leases 2026", 1)]


def test_delete_moves_to_the_trash_and_undo_brings_back(desk: Desk, page: DocumentsPage) -> None:
    page.sidebar.document_list.choose([1, 2], current=2)
    QTest.keyClick(page.sidebar.document_list, Qt.Key.Key_Delete)
    desk.settle()
    assert names(page) == []
    assert "2 documents" in desk.window.toast.text
    desk.window.toast.act()
    desk.settle()
    assert names(page) == ["mill-lane.pdf", "quay-west.pdf"]


def test_the_trash_restores_and_erases_only_when_confirmed(
    desk: Desk, page: DocumentsPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.documents.remove([1, 2])
    confirmed = [False]
    monkeypatch.setattr("localai_app.ui.documents.page.confirm", lambda *_: confirmed[0])
    page.sidebar.trash_button.click()
    desk.settle()
    assert page.sidebar.view is View.TRASH
    assert [each.name for each in page.sidebar.trashed.documents] == ["mill-lane.pdf", "quay-west.pdf"]
    page.sidebar.trash_list.choose([1], current=1)
    page.sidebar._restore.click()
    desk.settle()
    assert desk.documents.rows[1].trashed is None
    page.sidebar._erase.click()
    desk.settle()
    assert 2 in desk.documents.rows
    confirmed[0] = True
    page.sidebar._erase.click()
    desk.settle()
    assert list(desk.documents.rows) == [1]
    assert "empty" in page.sidebar._nothing_trashed.text()


def test_enter_opens_the_document_that_is_chosen(desk: Desk, page: DocumentsPage) -> None:
    page.sidebar.document_list.choose([2], current=2)
    QTest.keyClick(page.sidebar.document_list, Qt.Key.Key_Return)
    desk.settle()
    assert page.view.document is not None
    assert page.view.document.name == "quay-west.pdf"


def test_the_state_is_said_in_words(desk: Desk, page: DocumentsPage) -> None:
    from localai_app.ui.documents.lists import RowRole

    desk.documents.change(1, state=State.FAILED, error="It is damaged.")
    desk.documents.change(2, state=State.READING)
    page.library.refresh()
    desk.settle()
    model = page.sidebar.documents
    looks = [model.index(row).data(RowRole.LOOK) for row in range(2)]
    assert [(look.right, look.tone) for look in looks] == [("failed", "bad"), ("reading", "accent")]
    assert "It is damaged." in model.index(0).data(Qt.ItemDataRole.ToolTipRole)


def test_a_change_keeps_what_is_selected(desk: Desk, page: DocumentsPage) -> None:
    page.sidebar.document_list.choose([2], current=2)
    desk.documents.put("a-new-one.pdf", *lease())
    desk.until(lambda: len(names(page)) == 3)
    assert page.sidebar.document_list.keys == [2]


def test_thousands_of_documents_are_drawn_only_where_they_are_seen(
    desk: Desk, page: DocumentsPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = desk.documents.rows[1]
    desk.documents.rows |= {
        number: replace(row, id=number, name=f"{number:05}.pdf") for number in range(10, 10_010)
    }
    asked: set[int] = set()
    state = words.state

    def noted(document: Document) -> tuple[str, str]:
        asked.add(document.id)
        return state(document)

    monkeypatch.setattr(words, "state", noted)
    page.library.refresh()
    desk.settle()
    page.sidebar.document_list.grab()
    assert page.sidebar.documents.rowCount() == 10_002
    assert 0 < len(asked) < 100


def test_differences_name_the_rows_that_changed(library: FakeDocuments) -> None:
    before = library.documents()
    library.change(2, state=State.READING)
    assert differences(before, library.documents()) == [1]
    library.remove([1])
    assert differences(before, library.documents()) is None


# ---------------------------------------------------------------- reading


def test_the_card_says_how_far_reading_is_and_pauses_it(
    desk: Desk, page: DocumentsPage, press: Press
) -> None:
    card = page.sidebar.work
    assert not card.isVisible()
    desk.documents.now = Work(0, 4, "quay-west.pdf", 14, 31, "recognising", 1.5, 120.0)
    desk.documents.tell()
    desk.until(card.isVisible)
    assert card.title.text() == "Reading 1 of 4"
    assert card.line.text() == "quay-west.pdf · page 14 of 31, scanned: text recognised"
    assert card.left.text() == "2 min left · 1.5 pages/s"
    assert card.bar.value() == round(1000 * (14 / 31) / 4)
    press(card, "Pause reading")
    desk.until(lambda: card.title.text() == "Paused, 0 of 4 done")
    press(card, "Go on reading")
    desk.until(lambda: card.title.text() == "Reading 1 of 4")
    desk.documents.now = Work(notice="Documents are found by their words only.")
    desk.documents.tell()
    desk.until(lambda: not card.bar.isVisible())
    assert card.notice.isVisible()
    assert not card.title.isVisible()
    desk.documents.now = Work()
    desk.documents.tell()
    desk.until(lambda: not card.isVisible())


def test_a_document_that_was_being_read_opens_once_it_is(desk: Desk, page: DocumentsPage) -> None:
    new = desk.documents.put("new.pdf", state=State.READING)
    page.open_document(new.id)
    desk.settle()
    assert "being read" in page.view.card.title.text()
    desk.documents.texts[new.id] = [paged(1, "Here it is")]
    desk.documents.change(new.id, state=State.READY, pages=1, pages_read=1, characters=10)
    desk.until(lambda: page.view.page is not None)
    assert page.view.page is not None
    assert page.view.page.text == "Here it is"


# ---------------------------------------------------------------- finding


def test_passages_are_found_in_the_collection_and_open_their_page(desk: Desk, page: DocumentsPage) -> None:
    page.sidebar.choose_collection(1)
    desk.settle()
    page.sidebar.search_field.setText("aggregate liability")
    desk.until(lambda: page.sidebar.view is View.FOUND)
    assert [each.document_name for each in page.sidebar.passages.passages] == ["mill-lane.pdf"]
    QTest.keyClick(page.sidebar.search_field, Qt.Key.Key_Return)
    desk.settle()
    assert page.view.number == 2
    start = lease()[1].text.index("aggregate liability")
    assert page.view._span == (start, start + len("aggregate liability"))
    assert page.view.canvas._marks
    QTest.keyClick(page.sidebar.search_field, Qt.Key.Key_Escape)
    assert page.sidebar.view is View.LIBRARY


def test_an_excerpt_begins_near_the_words_and_marks_them(library: FakeDocuments) -> None:
    text = "word " * 60 + "the Aggregate liability of the landlord " + "end " * 60
    row = library.put("a.txt", paged(1, text))
    cut, marks = excerpt(passage(row, paged(1, text), 0, len(text)), "aggregate LIABILITY x")
    assert cut.startswith("…")
    assert [cut[start:end] for start, end in marks] == ["Aggregate", "liability"]


# ---------------------------------------------------------------- asking


def test_an_answer_shows_its_citations_and_they_open_the_page(desk: Desk, page: DocumentsPage) -> None:
    desk.chat.citations = citations()
    desk.chat.script = ["The cap is **250,000** [1], elsewhere none [3], see [2]."]
    cards = ask(desk, page)
    assert [card.title for card in cards.citations] == ["mill-lane.pdf, page 2", "quay-west.pdf, page 1"]
    assert [card.verdict for card in cards.citations] == ["verbatim", "not verified"]
    assert desk.chat.rows[1].sources == Sources(Scope())
    cards.citations[0].click()
    desk.settle()
    assert page.view.isVisible()
    assert page.view.number == 2
    assert page.view.canvas._marks


def test_only_numbers_that_are_cited_become_links(desk: Desk, page: DocumentsPage) -> None:
    desk.chat.citations = citations()
    desk.chat.script = ["Cap [1], none [3], see [2] and [x](citation:1:1)."]
    ask(desk, page)
    transcript = page.ask.pane.transcript
    document, found = transcript.document(), {}
    for position in range(document.characterCount()):
        cursor = transcript.textCursor()
        cursor.setPosition(position)
        if cursor.charFormat().isAnchor():
            found.setdefault(cursor.charFormat().anchorHref(), "")
    answer = transcript.messages[-1].id
    assert list(found) == [f"citation:{answer}:0", f"citation:{answer}:1"]
    transcript.anchorClicked.emit(QUrl(f"citation:{answer}:1"))
    desk.settle()
    assert page.view.document is not None
    assert page.view.document.id == 2


def test_each_mention_leads_to_its_own_place_and_none_to_nowhere(desk: Desk, page: DocumentsPage) -> None:
    first, other = citations()
    desk.chat.citations = (
        replace(first, at=4),
        replace(other, number=1, at=20),
        Citation(9, 0, "", 0, "", 0, 0, "", False, at=30),
        replace(other, number=5, at=-1),
    )
    desk.chat.script = ["See [1]. And again [1]. Or [9]."]
    cards = ask(desk, page)
    transcript = page.ask.pane.transcript
    hrefs = []
    for position in range(transcript.document().characterCount()):
        cursor = transcript.textCursor()
        cursor.setPosition(position)
        if cursor.charFormat().isAnchor() and cursor.charFormat().anchorHref() not in hrefs:
            hrefs.append(cursor.charFormat().anchorHref())
    answer = transcript.messages[-1].id
    assert hrefs == [f"citation:{answer}:0", f"citation:{answer}:1"]
    assert cards.citations[2].title == "There is no passage 9"
    assert not cards.citations[2].isEnabled()
    cards.citations[3].click()
    desk.settle()
    assert page.view.document is not None
    assert page.view.document.id == 2
    assert page.view.citation_strip.words.text().startswith("Citation 3 of 3")


def test_the_cards_have_the_room_that_was_left_for_them(desk: Desk, page: DocumentsPage) -> None:
    desk.chat.citations = citations()
    desk.chat.script = ["Yes [1]."]
    cards = ask(desk, page)
    transcript = page.ask.pane.transcript
    line = transcript.overlays.widget(transcript.messages[-1].id, "actions")
    assert line is not None
    assert cards.coverage is not None
    lowest = cards.y() + cards.coverage.geometry().bottom()
    assert lowest < line.y()
    assert line.y() - lowest < 40
    text = transcript.cursorRect(transcript.textCursor()).height()
    assert cards.y() > text


def test_the_coverage_says_what_every_page_would_cost_and_reads_them(desk: Desk, page: DocumentsPage) -> None:
    cards = ask(desk, page)
    assert cards.coverage is not None
    assert cards.coverage.title.text() == "Passages: 18 of 4 documents"
    desk.until(lambda: "about 4 min" in cards.coverage.line.text())  # type: ignore[union-attr]
    assert cards.coverage.line.text() == "Every page instead: 96 pages, about 4 min"
    cards.coverage.button.click()
    desk.settle()
    assert desk.chat.rows[1].sources == Sources(Scope(), Mode.EXHAUSTIVE)
    answer = page.ask.pane.path[-1]
    assert answer.branch == (2, 2)
    assert answer.record is not None
    assert answer.record.coverage is not None
    assert answer.record.coverage.mode is Mode.EXHAUSTIVE


def test_what_was_not_read_is_said_under_the_answer(desk: Desk, page: DocumentsPage) -> None:
    desk.chat.coverage = replace(
        desk.chat.coverage, unread=(("scan.pdf", "locked"), ("b.pdf", "not read yet"))
    )
    cards = ask(desk, page)
    assert cards.coverage is not None
    assert cards.coverage.unread.text() == "Not read: scan.pdf (locked) and 1 more"


def test_gathering_tells_how_far_it_is_and_can_be_stopped(desk: Desk, page: DocumentsPage) -> None:
    desk.chat.gate.clear()
    pane = page.ask.pane
    pane.send("Everything?")
    desk.until(lambda: pane.generating and pane.transcript.messages)
    said: list[str] = []
    desk.until(lambda: said.append(pane.transcript.status[0]) or pane.transcript.status[0])
    pane.stop()
    desk.settle()
    assert pane.path[-1].status.value == "stopped"


def test_the_price_of_what_is_being_written_is_shown(desk: Desk, page: DocumentsPage) -> None:
    edit = page.ask.pane.composer.edit
    edit.setFocus()
    QTest.keyClicks(edit, "What is the cap")
    button = page.ask.pane.sources.mode_button
    desk.until(lambda: "12 s" in button.text())
    assert button.text().strip() == "Best passages · 18 passages, 1,536 tokens, about 12 s"
    assert desk.chat.priced[-1] == ("What is the cap", Sources(Scope()))


def test_a_way_that_does_not_fit_cannot_be_chosen(desk: Desk, page: DocumentsPage) -> None:
    sources = page.ask.pane.sources
    sources.ask_prices()
    desk.settle()
    actions = {action.text(): action for action in sources.mode_menu.actions()}
    whole = next(action for text, action in actions.items() if text.startswith("Whole text"))
    assert not whole.isEnabled()
    assert "too long" in whole.text()
    next(action for text, action in actions.items() if text.startswith("Every page")).trigger()
    assert sources.sources == Sources(Scope(), Mode.EXHAUSTIVE)


def test_only_some_documents_can_be_asked_and_then_all_again(desk: Desk, page: DocumentsPage) -> None:
    act(page.sidebar._document_menu([1]), "Ask only this document")
    desk.settle()
    assert page.ask.scope == Scope(documents=(1,))
    assert page.ask.title.text() == "mill-lane.pdf · 1 document"
    page.ask.all_button.click()
    assert page.ask.scope == Scope()


def test_earlier_questions_of_the_same_documents_come_back(desk: Desk, page: DocumentsPage) -> None:
    ask(desk, page, "First?")
    page.ask.new_button.click()
    assert page.ask.pane.path == []
    page.sidebar.choose_collection(1)
    desk.settle()
    ask(desk, page, "Second?")
    scope = page.ask.scope
    rows = [row for row in desk.chat.rows.values() if row.sources is not None and row.sources.scope == scope]
    assert [row.title for row in rows] == ["Second?"]
    act(page.ask.menu(rows), "Second?")
    desk.settle()
    assert page.ask.pane.path[0].text == "Second?"
    assert [desk.page.sidebar.chats.index(row).data() for row in range(2)] == ["Second?", "First?"]


def test_with_no_document_it_says_what_to_do(desk: Desk) -> None:
    desk.window.show_documents()
    desk.settle()
    page = desk.window.documents_page
    assert page is not None
    assert page.ask.blank.add_button.isVisible()
    assert not page.ask.pane.composer.isEnabled()
    assert page.sidebar.add_button.hasFocus()
    desk.documents.put("a.pdf", *lease())
    desk.until(page.ask.pane.composer.isEnabled)
    assert not page.ask.blank.add_button.isVisible()
    assert page.ask.pane.composer.edit.hasFocus()


# ---------------------------------------------------------------- the window


def test_keys_act_on_the_page_that_is_shown(desk: Desk, page: DocumentsPage) -> None:
    ask(desk, page)
    desk.chat.script = ["Another answer."]
    QTest.keyClick(desk.window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    desk.until(lambda: page.ask.pane.path[-1].text == "Another answer.")
    desk.settle()
    QTest.keyClick(desk.window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    assert page.ask.pane.composer.text == "What is the cap?"
    page.sidebar.choose_collection(1)
    desk.settle()
    QTest.keyClick(desk.window, Qt.Key.Key_F2)
    assert page.sidebar.collection_list.findChild(QLineEdit) is not None
    QTest.keyClick(desk.window, Qt.Key.Key_B, Qt.KeyboardModifier.ControlModifier)
    assert not page.sidebar.isVisible()


def test_where_there_is_no_room_the_page_lies_over_the_questions(desk: Desk, page: DocumentsPage) -> None:
    page.open_document(1)
    desk.settle()
    assert page.ask.isVisible()
    page.ask.focus()
    desk.window.resize(900, 600)
    desk.until(lambda: not page.ask.isVisible())
    assert page.view.hasFocus()
    assert page.view.width() > 500
    page.view.bar.close_button.click()
    desk.until(page.ask.isVisible)


def test_widths_are_kept(desk: Desk, page: DocumentsPage) -> None:
    page.open_document(1)
    desk.settle()
    page.splitter.setSizes([260, 500, 440])
    page.splitter.splitterMoved.emit(760, 2)
    desk.settle()
    assert desk.settings.values["ui.document_sizes"] == page.splitter.sizes()


def test_every_control_of_the_documents_page_has_a_name(desk: Desk, page: DocumentsPage) -> None:
    desk.chat.citations = citations()
    ask(desk, page)
    page.open_citations(citations(), 0)
    page.view.show_model(True)
    page.view.begin_find()
    desk.documents.now = Work(0, 4, "a.pdf", 1, 3)
    desk.documents.tell()
    page.sidebar.trash_button.click()
    desk.settle()
    nameless = [
        (type(widget).__name__, widget.parent().metaObject().className())
        for widget in page.findChildren(QWidget)
        if widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        and not widget.accessibleName()
        and type(widget).__name__ not in {"QWidget", "QScrollArea", "QStackedWidget"}
    ]
    assert nameless == []

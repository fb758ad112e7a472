from pathlib import Path

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu

from localai_app.documents.document import Citation, Scope
from localai_app.documents.grounding import Mode, Sources
from localai_app.errors import DocumentError
from localai_app.ui.chat.cards import FULL, CitationCard, SourceCards, cards_height
from localai_app.ui.documents.page_view import Showing
from localai_app.ui.theme import Theme
from tests.ui.conftest import Desk
from tests.ui.fake_documents import FakeDocuments, lease


def attached(desk: Desk) -> list[str]:
    return [chip.name for chip in desk.page.pane.sources.chips]


def choose(menu: QMenu, text: str) -> None:
    actions = [*menu.actions(), *(action for sub in menu.findChildren(QMenu) for action in sub.actions())]
    found = [action for action in actions if action.text() == text]
    assert len(found) == 1, [action.text() for action in actions]
    found[0].trigger()


def offer(desk: Desk) -> QMenu:
    return desk.page.pane.sources.menu(desk.documents.collections(), desk.documents.documents())


def test_a_collection_is_attached_to_a_new_chat_and_goes_with_it(desk: Desk, library: FakeDocuments) -> None:
    choose(offer(desk), "Leases 2026 (1 document)")
    desk.settle()
    assert attached(desk) == ["Leases 2026"]
    desk.send("What is the cap?")
    assert desk.chat.rows[1].sources == Sources(Scope(collections=(1,)))
    desk.page.new_chat()
    assert attached(desk) == []
    assert not desk.page.pane.sources.mode_button.isVisible()
    desk.open(1)
    assert attached(desk) == ["Leases 2026"]
    assert desk.page.pane.sources.mode_button.isVisible()


def test_a_price_that_is_due_when_the_window_has_closed_is_not_asked(
    desk: Desk, library: FakeDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(offer(desk), "mill-lane.pdf")
    desk.settle()
    started: list[object] = []
    monkeypatch.setattr(desk.jobs, "run", lambda *call, **lane: started.append(call))
    monkeypatch.setattr(type(desk.jobs), "closed", True)
    desk.page.pane.sources.ask_prices()
    assert started == []


def test_documents_come_to_a_chat_that_goes_on_and_are_taken_off(desk: Desk, library: FakeDocuments) -> None:
    desk.send("Hello")
    assert desk.chat.rows[1].sources is None
    choose(offer(desk), "mill-lane.pdf")
    choose(offer(desk), "quay-west.pdf")
    desk.settle()
    assert desk.chat.rows[1].sources == Sources(Scope(documents=(1, 2)))
    assert attached(desk) == ["mill-lane.pdf", "quay-west.pdf"]
    desk.page.pane.sources.chips[0].removed.emit()
    desk.settle()
    assert attached(desk) == ["quay-west.pdf"]
    desk.page.pane.sources.chips[0].removed.emit()
    desk.settle()
    assert attached(desk) == []
    assert desk.chat.rows[1].sources is None


def test_all_documents_takes_the_place_of_single_ones(desk: Desk, library: FakeDocuments) -> None:
    choose(offer(desk), "mill-lane.pdf")
    choose(offer(desk), "All documents")
    desk.settle()
    assert desk.page.pane.sources.sources == Sources(Scope())
    assert attached(desk) == ["All documents"]


def test_files_are_added_and_attached_at_once(desk: Desk, library: FakeDocuments) -> None:
    desk.documents.refused = (("old.doc", "Save it as DOCX."),)
    desk.page.pane.sources.add_files([Path("/in/new.pdf"), Path("/in/old.doc")])
    desk.settle()
    assert desk.window.toast.text == "1 document added. old.doc: Save it as DOCX."
    assert attached(desk) == ["new.pdf"]
    assert library.rows[3].name == "new.pdf"


def test_a_citation_in_the_chat_opens_the_page_on_the_documents_page(
    desk: Desk, library: FakeDocuments
) -> None:
    text = lease()[1].text
    desk.chat.citations = (Citation(2, 1, "mill-lane.pdf", 2, "page 2", 0, 12, text[:12], True, at=11),)
    desk.chat.script = ["As it says [2]."]
    desk.page.pane.sources.attach("document", 1)
    desk.send("Where?")
    answer = desk.transcript.messages[-1].id
    desk.transcript.anchorClicked.emit(QUrl(f"citation:{answer}:0"))
    desk.settle()
    page = desk.window.documents_page
    assert page is not None
    assert page.isVisible()
    assert page.view.number == 2
    assert page.view.showing is Showing.PICTURE
    assert page.view.canvas._marks


def test_a_mode_stays_with_its_chat(desk: Desk, library: FakeDocuments) -> None:
    desk.page.pane.sources.attach("document", 1)
    desk.send("One?")
    actions = desk.page.pane.sources.mode_menu.actions()
    next(action for action in actions if action.text().startswith("Every page")).trigger()
    desk.settle()
    assert desk.chat.rows[1].sources == Sources(Scope(documents=(1,)), Mode.EXHAUSTIVE)
    assert "48,000 tokens" in desk.page.pane.sources.mode_button.text()


def test_a_price_that_cannot_be_told_leaves_the_way_open(desk: Desk, library: FakeDocuments) -> None:
    desk.page.pane.sources.attach("document", 1)
    desk.settle()
    desk.chat.refusal = DocumentError("None of these documents has been read yet.")
    desk.page.pane.sources.ask_prices()
    desk.settle()
    desk.chat.refusal = None
    desk.send("And now?")
    assert desk.transcript.messages[-1].text == "Yes, certainly."


@pytest.mark.parametrize("amount", [1, FULL, FULL + 1, 12])
def test_the_room_for_cards_is_what_the_cards_take(theme: Theme, desk: Desk, amount: int) -> None:
    from dataclasses import replace

    from tests.ui.fake_chat import RECORD

    row = desk.chat.add("Asked", "Question", "Answer")
    cites = tuple(
        Citation(number, 1, "a.pdf", 1, "page 1", 0, 3, "abc", True) for number in range(1, amount + 1)
    )
    message = replace(
        desk.chat.path(row.id)[-1], citations=cites, record=replace(RECORD, coverage=desk.chat.coverage)
    )
    cards = SourceCards(theme, message, desk.window, last=True)
    cards.resize(500, theme.px(cards_height(message)))
    cards.show()
    desk.settle()
    assert cards.coverage is not None
    assert cards.minimumSizeHint().height() <= cards.height()
    assert cards.height() - cards.coverage.geometry().bottom() <= theme.px(12)
    cards.deleteLater()


def test_a_card_is_reached_and_pressed_with_the_keyboard(theme: Theme, desk: Desk) -> None:
    quotation = "𝒷old " * 100
    card = CitationCard(
        theme, Citation(1, 1, "a.pdf", 7, "page 7", 0, 3, quotation, False), desk.window, full=True
    )
    pressed = []
    card.clicked.connect(lambda: pressed.append(card.citation.number))
    card.resize(300, 90)
    card.show()
    card.setFocus()
    QTest.keyClick(card, Qt.Key.Key_Space)
    assert pressed == [1]
    assert card.accessibleName() == "Citation 1: a.pdf, page 7, not verified"
    assert not card.grab().isNull()
    card.deleteLater()

"""A person at the Documents page of the real window: real reader, embedding model and starter model.

Where the words of an answer matter, they are given: what the starter model says is its own affair.
"""

import contextlib
import io
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog
from pytestqt.qtbot import QtBot
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from localai_app.chat.conversation import Status
from localai_app.documents.document import State
from localai_app.documents.grounding import Mode
from localai_app.ui.chat.cards import CitationCard
from localai_app.ui.documents.page import DocumentsPage
from localai_app.ui.documents.page_view import Showing
from localai_app.ui.documents.sidebar import View
from tests.e2e.desk import Person, folders, marked, open_window
from tests.fake_engine import FakeEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PAGES, ASKED_PAGE = 100, 57
LEFT, TOP, FONT, SIZE, STEP = 72, 760, "Helvetica", 12, 18
FACT = "The alarm code of the lighthouse on Skerry Rock is 48213."
QUESTION = "What is the alarm code of the lighthouse on Skerry Rock?"
PASSWORD = "open sesame"
PLACES = ("mill", "harbour", "quarry", "station", "library", "market", "chapel", "school", "brewery", "tower")
KEEPERS = ("Anna Berg", "Tom Hale", "Ida Moss", "Jon Reed", "Eva Lind", "Max Thorn", "Ruth Vale")


def page_lines(page: int) -> list[str]:
    """What stands on a page: facts that stand on no other."""
    chance = random.Random(page)
    lines = [f"Section {page}. The {PLACES[page % 10]} of district {page}"]
    for number in range(1, 6):
        keeper, amount = chance.choice(KEEPERS), chance.randrange(10_000, 99_999)
        lines.append(f"Building {page}-{number} is kept by {keeper}; its yearly cost is {amount} euros.")
    if page == ASKED_PAGE:
        lines.insert(4, FACT)
    return lines


def handbook(password: str | None = None, pages: int = PAGES, first: int = 1) -> bytes:
    """The PDF of those pages."""
    made = io.BytesIO()
    canvas = Canvas(made, pagesize=A4, invariant=1, encrypt=password)
    for page in range(first, first + pages):
        canvas.setFont(FONT, SIZE)
        for row, line in enumerate(page_lines(page)):
            canvas.drawString(LEFT, TOP - STEP * row, line)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


class Asker(Person):
    """At the Documents page."""

    @property
    def page(self) -> DocumentsPage:
        self.window.show_documents()
        assert self.window.documents_page is not None
        return self.window.documents_page

    def add(self, *paths: Path) -> None:
        """Through the page's own button and the dialog that it opens."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(path) for path in paths], ""))
            self.page.sidebar.add_menu.actions()[0].trigger()

    def read(self, *names: str) -> None:
        """Wait until the page lists documents of these names as ready."""
        rows = self.page.sidebar.documents
        self.wait(lambda: {each.name for each in rows.documents if each.state is State.READY} >= set(names))

    def ask(self, text: str) -> None:
        pane = self.page.ask.pane
        pane.composer.edit.setFocus()
        QTest.keyClicks(pane.composer.edit, text)
        QTest.keyClick(pane.composer.edit, Qt.Key.Key_Return)
        self.wait(lambda: pane.generating)

    def answered(self) -> None:
        pane = self.page.ask.pane
        self.wait(lambda: not pane.generating and pane.path and pane.path[-1].status is not Status.GENERATING)

    def hear(self, answer: str) -> None:
        """Let the model say this from now on: the starter's own words differ from processor to processor."""
        fake = FakeEngine(pieces=(answer,))
        fake.load(self.app.models.selected().path)
        self.app.engine.generate = fake.generate  # type: ignore[method-assign]

    def drawn(self, number: int) -> None:
        """Wait until a page is seen, sharp."""
        view = self.page.view
        self.wait(
            lambda: (
                view.showing is Showing.PICTURE
                and view.page is not None
                and view.page.number == number
                and view.canvas.image is not None
            )
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    (folder / "handbook.pdf").write_bytes(handbook())
    (folder / "lease.md").write_text("# Lease\n\nThe monthly rent is 940 euros.\n\nOne dog may be kept.\n")
    (folder / "sealed.pdf").write_bytes(handbook(PASSWORD, pages=2, first=ASKED_PAGE))
    (folder / "plain.pdf").write_bytes(handbook(pages=2, first=ASKED_PAGE - 1))
    return folder


@pytest.fixture
def sit_down(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path, starter_model: Path, minilm: Path
) -> Iterator[Callable[[], Asker]]:
    """Starts the app; the next call closes it first, and starts it anew on the same data."""
    paths = folders(tmp_path, starter_model, minilm)
    running = contextlib.ExitStack()

    def start() -> Asker:
        running.close()
        return Asker(*open_window(paths, running, qapp, qtbot), qtbot)

    yield start
    running.close()


def test_a_hundred_pages_are_asked_and_the_cited_words_are_marked(
    sit_down: Callable[[], Asker], files: Path
) -> None:
    person = sit_down()
    person.add(files / "lease.md")
    person.read("lease.md")
    person.add(files / "handbook.pdf")
    page = person.page
    person.wait(page.sidebar.work.isVisible)

    # Asked beside the indexing: what is ready answers, and what is not is told.
    person.ask("How much is the monthly rent?")
    person.answered()
    answer = page.ask.pane.path[-1]
    assert answer.status in (Status.COMPLETE, Status.CUT_OFF), answer.error
    assert answer.record is not None
    assert answer.record.coverage is not None

    person.read("lease.md", "handbook.pdf")
    person.wait(lambda: not page.sidebar.work.isVisible())
    rows = page.sidebar.documents.documents
    book = next(each for each in rows if each.name == "handbook.pdf")
    assert (book.pages, book.pages_read) == (PAGES, PAGES)

    page.ask.begin()
    person.hear(f"{FACT} [1]")
    person.ask(QUESTION)
    person.answered()
    answer = page.ask.pane.path[-1]
    cited = [each for each in answer.citations if each.verified and each.document_id == book.id]
    assert cited, answer.text
    person.wait(lambda: page.ask.findChildren(CitationCard))
    cards = [each for each in page.ask.findChildren(CitationCard) if each.citation == cited[0]]
    QTest.mouseClick(cards[0], Qt.MouseButton.LeftButton)
    person.drawn(ASKED_PAGE)
    assert page.view.bar.field.text() == str(ASKED_PAGE)

    # The mark lies where the words were printed, which is known from how the file was made.
    row = page_lines(ASKED_PAGE).index(FACT)
    baseline = A4[1] - (TOP - STEP * row)
    before = stringWidth(FACT[: FACT.index("48213")], FONT, SIZE)
    left, top, right, bottom = marked(person.page.view.canvas)
    assert baseline - 14 < top < bottom < baseline + 6
    assert LEFT - 3 < left <= LEFT + before + 1
    assert LEFT + before + 20 < right < LEFT + stringWidth(FACT, FONT, SIZE) + 4

    # A search opens the page of its best passage.
    page.sidebar.focus_search()
    QTest.keyClicks(page.sidebar.search_field, "Building 91-3")
    person.wait(lambda: page.sidebar.view is View.FOUND and page.sidebar.passages.passages)
    QTest.keyClick(page.sidebar.search_field, Qt.Key.Key_Return)
    person.drawn(91)
    assert marked(person.page.view.canvas)

    # Everything is there after a restart; removing is undone.
    asked = page.ask.pane.current_id
    assert asked is not None
    person = sit_down()
    page = person.page
    person.read("lease.md", "handbook.pdf")
    page.ask.pane.open(asked)
    person.wait(lambda: page.ask.pane.path)
    assert page.ask.pane.path[-1].citations == answer.citations
    page.ask.pane.citation_opened.emit((cited[0],), 0)
    person.drawn(ASKED_PAGE)
    assert marked(person.page.view.canvas) == pytest.approx((left, top, right, bottom), abs=2)
    page.sidebar.document_list.choose([book.id], current=book.id)
    QTest.keyClick(page.sidebar.document_list, Qt.Key.Key_Delete)
    person.wait(lambda: all(each.id != book.id for each in page.sidebar.documents.documents))
    assert page.view.isHidden()
    assert not person.app.documents.search("Skerry Rock alarm code")[:1] or all(
        each.document_id != book.id for each in person.app.documents.search("Skerry Rock alarm code")
    )
    person.window.toast.act()
    person.read("handbook.pdf")
    assert person.app.documents.search("Skerry Rock alarm code")[0].page == ASKED_PAGE


def test_every_page_is_read_and_stopped_and_the_chat_cites(
    sit_down: Callable[[], Asker], files: Path
) -> None:
    person = sit_down()
    person.add(files / "plain.pdf", files / "lease.md")
    person.read("plain.pdf", "lease.md")
    page = person.page
    pane = page.ask.pane

    person.ask(QUESTION)
    person.answered()
    pane.read_every_page(pane.path[-1].id)
    person.wait(lambda: pane.generating)
    person.answered()
    record = pane.path[-1].record
    assert record is not None
    assert record.coverage is not None
    assert record.coverage.mode is Mode.EXHAUSTIVE
    assert record.coverage.pages_used == record.coverage.pages == 3

    pane.regenerate()
    person.wait(lambda: pane.generating)
    stopped = time.monotonic()
    pane.composer.edit.setFocus()
    QTest.keyClick(pane.composer.edit, Qt.Key.Key_Escape)
    # The path is read again once the answer has ended.
    person.wait(lambda: pane.path and pane.path[-1].status is Status.STOPPED)
    assert time.monotonic() - stopped < 5

    # The same in a chat, with the document attached; the number in the text is a link.
    person.hear(f"{FACT} [2]")
    person.window.show_chat()
    chat = person.window.chat_page.pane
    chat.sources.attach(
        "document", next(each.id for each in person.app.documents.documents() if each.name == "plain.pdf")
    )
    QTest.keyClicks(chat.composer.edit, QUESTION)
    QTest.keyClick(chat.composer.edit, Qt.Key.Key_Return)
    person.wait(lambda: chat.generating)
    person.wait(lambda: not chat.generating)
    assert chat.path[-1].citations, chat.path[-1].text
    person.wait(lambda: chat.findChildren(CitationCard))
    QTest.mouseClick(chat.findChildren(CitationCard)[0], Qt.MouseButton.LeftButton)
    person.drawn(2)
    assert marked(person.page.view.canvas)


def test_files_that_are_sealed_or_gone_are_told(
    sit_down: Callable[[], Asker], files: Path, tmp_path: Path
) -> None:
    sealed, plain = tmp_path / "sealed.pdf", tmp_path / "plain.pdf"
    for path in (sealed, plain):
        path.write_bytes((files / path.name).read_bytes())
    person = sit_down()
    person.add(sealed, plain)
    person.read("plain.pdf")
    page = person.page
    person.wait(lambda: [each for each in page.sidebar.documents.documents if each.state is State.LOCKED])
    locked = next(each for each in page.sidebar.documents.documents if each.state is State.LOCKED)
    page.open_document(locked.id)
    card = page.view.card
    for _ in range(2):  # wrong twice: it can still be typed again
        person.wait(card.password.isVisible)
        card.password.setFocus()
        QTest.keyClicks(card.password, "wrong")
        QTest.keyClick(card.password, Qt.Key.Key_Return)
        person.wait(lambda: "does not open" in card.words.text())
        person.wait(lambda: person.app.documents.wait(0))
    QTest.keyClicks(card.password, PASSWORD)
    assert card.unlock_button.isEnabled()
    card.unlock_button.click()
    person.drawn(1)

    # In the next run the text is there, and its pages want the password again.
    person = sit_down()
    page = person.page
    person.read("sealed.pdf", "plain.pdf")
    at = person.app.documents.page(locked.id, 1).text.index(FACT)
    page.open_document(locked.id, 1, (at, at + len(FACT)))
    person.wait(page.view.reason.isVisible)
    assert page.view.showing is Showing.TEXT
    assert "password" in page.view.reason.words.text()
    assert page.view.readable.extraSelections()
    reason = page.view.reason
    reason.password.setFocus()
    QTest.keyClicks(reason.password, PASSWORD)
    QTest.keyClick(reason.password, Qt.Key.Key_Return)
    person.drawn(1)
    assert not reason.isVisible()
    assert marked(person.page.view.canvas)

    plain.unlink()
    gone = next(each for each in page.sidebar.documents.documents if each.name == "plain.pdf")
    page.open_document(gone.id, 2)
    person.wait(lambda: page.view.showing is Showing.TEXT and page.view.reason.isVisible())
    assert not reason.password.isVisible()
    assert page.view.readable.page is not None
    assert FACT in page.view.readable.page.text


def test_closing_while_it_reads_is_quick_and_the_next_start_goes_on(
    sit_down: Callable[[], Asker], files: Path
) -> None:
    person = sit_down()
    person.add(files / "handbook.pdf")
    person.wait(lambda: person.app.documents.work().page > 3)
    children = psutil.Process().children(recursive=True)
    began = time.monotonic()
    person = sit_down()
    seconds = time.monotonic() - began
    assert seconds < 4, "closing and starting again"
    assert not [each for each in children if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]
    # Nobody asks for the Documents page: it goes on by itself.
    person.wait(lambda: person.app.documents.documents()[0].state is State.READY)
    assert person.app.documents.documents()[0].pages_read == PAGES

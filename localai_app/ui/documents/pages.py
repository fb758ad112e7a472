"""Fetches pages and their pictures of one document outside the UI thread.

Drawing has a lane of its own: text does not wait for a page that takes long to draw. While one is drawn,
only the request made last is kept; what was drawn is kept for a while, and the next page is drawn ahead.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from localai_app.documents.document import Document, Page, State
from localai_app.documents.service import DocumentService, DocumentView
from localai_app.errors import LocalAIError
from localai_app.ui.jobs import Job, Jobs

LANE, DRAWING_LANE = "document-view", "document-drawing"
KEPT_BYTES = 160 * 1024 * 1024
"""Of drawn pages."""
KEPT_PAGES = 64
"""Of text."""
MOST_PIXELS = 40_000_000

Hit = tuple[int, int, int]
"""(page, start, end)."""


@dataclass(frozen=True)
class Drawing:
    """A page as people see it, at ``scale`` pixels per point."""

    number: int
    scale: float
    image: QImage


class PageLoader(QObject):
    """One document at a time; what comes for one that was left is dropped."""

    opened = Signal(object)
    """The `Document` as it is; it can be looked at when `readable`."""
    page_came = Signal(object)
    """A `Page`."""
    drawn = Signal(object)
    """A `Drawing`."""
    not_drawn = Signal(object)
    """The `LocalAIError` that says why there is no picture of the document."""
    found = Signal(str, list)
    """What was looked for, and every `Hit`."""
    failed = Signal(object)

    def __init__(self, jobs: Jobs, documents: DocumentService, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._jobs, self._documents = jobs, documents
        self._document: Document | None = None
        self._view: DocumentView | None = None
        self._turn = 0
        """Rises with every document that is opened or closed."""
        self._pages: OrderedDict[int, Page] = OrderedDict()
        self._drawings: OrderedDict[tuple[int, float], Drawing] = OrderedDict()
        self._bytes = 0
        self._wanted: tuple[int, float] | None = None
        self._under_way: tuple[int, float] | None = None
        self._asked: set[int] = set()
        self._drawable = True
        self._looked_at = 0

    @property
    def document(self) -> Document | None:
        """The document that was opened."""
        return self._document

    @property
    def readable(self) -> bool:
        """True while there are pages to look at."""
        return self._view is not None

    @property
    def drawable(self) -> bool:
        """False once a page of the document could not be drawn."""
        return self._drawable

    def open(self, document_id: int) -> None:
        """Look at a document."""
        self.close()
        turn = self._turn
        job = self._jobs.run(lambda: self._look(document_id), lane=LANE)
        job.returned.connect(lambda found: self._opened(turn, *found))
        job.failed.connect(lambda error: self._if_current(turn, lambda: self.failed.emit(error)))

    def close(self) -> None:
        """Look at nothing."""
        self._turn += 1
        if self._view is not None:
            self._jobs.run(self._view.close, lane=LANE)
        self._document, self._view = None, None
        self._wanted, self._under_way, self._drawable = None, None, True
        self._pages.clear()
        self._drawings.clear()
        self._asked.clear()
        self._bytes = 0

    def want_page(self, number: int) -> None:
        """Have `page_came` tell the page; at once when it is here."""
        if number in self._pages:
            self._pages.move_to_end(number)
            self.page_came.emit(self._pages[number])
        elif self._view is not None and number not in self._asked:
            self._asked.add(number)
            view = self._view
            job = self._run(lambda: view.page(number), self._keep_page)
            job.finished.connect(lambda: self._asked.discard(number))

    def want_drawing(self, number: int, scale: float) -> Drawing | None:
        """Have `drawn` tell the page's picture at ``scale``; what is here of that page meanwhile."""
        self._looked_at = number
        kept = self._drawings.get((number, scale))
        if kept is not None:
            self._drawings.move_to_end((number, scale))
            self._wanted = None
            return kept
        if self._drawable:
            self._wanted = (number, scale)
            self._draw_next()
        return next((each for each in reversed(self._drawings.values()) if each.number == number), None)

    def find(self, text: str) -> None:
        """Look for ``text`` in all pages."""
        if self._view is None:
            return
        view = self._view
        self._run(lambda: view.find(text), lambda hits: self.found.emit(text, hits))

    # ------------------------------------------------------------ what comes back

    def _run(self, call: Callable[[], Any], took: Callable[[Any], None]) -> Job:
        turn = self._turn
        job = self._jobs.run(call, lane=LANE)
        job.returned.connect(lambda value: self._if_current(turn, lambda: took(value)))
        job.failed.connect(lambda error: self._if_current(turn, lambda: self.failed.emit(error)))
        return job

    def _if_current(self, turn: int, act: Callable[[], object]) -> None:
        if turn == self._turn:
            act()

    def _look(self, document_id: int) -> tuple[Document, DocumentView | None]:
        """In a pool thread: the document, and a view where it has been read."""
        document = self._documents.document(document_id)
        # While a changed file is read again, its old text serves.
        if document.state is not State.READY and not document.characters:
            return document, None
        self._documents.note_opened(document_id)
        return document, self._documents.view(document_id)

    def _opened(self, turn: int, document: Document, view: DocumentView | None) -> None:
        if turn != self._turn:
            if view is not None:
                self._jobs.run(view.close, lane=LANE)
            return
        self._document, self._view = document, view
        self.opened.emit(document)

    def _keep_page(self, page: Page) -> None:
        self._pages[page.number] = page
        while len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)
        self.page_came.emit(page)

    def _draw_next(self) -> None:
        if self._under_way is not None or self._wanted is None or self._view is None or self._jobs.closed:
            return
        number, scale = self._under_way = self._wanted
        self._wanted = None
        view, turn = self._view, self._turn
        job = self._jobs.run(lambda: draw(view, number, scale), lane=DRAWING_LANE)
        job.returned.connect(lambda made: self._if_current(turn, lambda: self._keep_drawing(made)))
        job.failed.connect(lambda error: self._if_current(turn, lambda: self._cannot_draw(error)))

    def _keep_drawing(self, drawing: Drawing | None) -> None:
        self._under_way = None
        if drawing is not None:
            self._drawings[drawing.number, drawing.scale] = drawing
            self._bytes += drawing.image.sizeInBytes()
            while self._bytes > KEPT_BYTES and len(self._drawings) > 1:
                self._bytes -= self._drawings.popitem(last=False)[1].image.sizeInBytes()
            self.drawn.emit(drawing)
        self._draw_next()
        document = self.document
        if drawing is not None and document is not None and drawing.number == self._looked_at:
            following = (drawing.number + 1, drawing.scale)
            if drawing.number < document.pages and following not in self._drawings and self._wanted is None:
                self._wanted = following
                self._draw_next()

    def _cannot_draw(self, error: LocalAIError) -> None:
        self._under_way, self._wanted, self._drawable = None, None, False
        self.not_drawn.emit(error)


def draw(view: DocumentView, number: int, scale: float) -> Drawing | None:
    """In a pool thread: the page in the pixel format that is painted fastest."""
    made = view.image(number, scale)
    if made is None:
        return None
    image = QImage(made.rgb, made.width, made.height, made.width * 3, QImage.Format.Format_RGB888)
    return Drawing(number, scale, image.convertToFormat(QImage.Format.Format_RGB32))

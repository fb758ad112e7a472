"""Fetches the pages that findings rest on, and their pictures, outside the UI thread.

The text is what the run read (`TaskService.page`); the picture is of the file. Finding after finding lies in
another document, so some documents stay open, and the page that comes next is fetched while the present one
is looked at. One page is drawn at a time: what is looked at goes before what is fetched ahead.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from localai_app.documents.document import Page
from localai_app.documents.service import DocumentService, DocumentView
from localai_app.errors import LocalAIError
from localai_app.tasks.run import Item
from localai_app.tasks.service import TaskService
from localai_app.ui.documents.pages import Drawing, draw
from localai_app.ui.jobs import Job, Jobs

LANE, DRAWING_LANE = "review-text", "review-drawing"
KEPT_PAGES = 64
KEPT_BYTES = 96 * 1024 * 1024
"""Of drawn pages."""
OPEN_DOCUMENTS = 3
"""The present one, the one before and the next: each has a process that draws it."""

Place = tuple[int, int]
"""(item id, page number)."""


@dataclass(frozen=True)
class _Picture:
    place: Place
    document_id: int
    scale: float


class _OpenDocuments:
    """Used in the drawing lane only."""

    def __init__(self, documents: DocumentService) -> None:
        self._documents = documents
        self._views: OrderedDict[int, DocumentView] = OrderedDict()

    def note_opened(self, document_id: int) -> None:
        self._documents.note_opened(document_id)

    def draw(self, picture: _Picture) -> Drawing | None:
        view = self._views.pop(picture.document_id, None) or self._documents.view(picture.document_id)
        self._views[picture.document_id] = view
        while len(self._views) > OPEN_DOCUMENTS:
            self._views.popitem(last=False)[1].close()
        return draw(view, picture.place[1], picture.scale)

    def close(self) -> None:
        while self._views:
            self._views.popitem()[1].close()


class EvidencePages(QObject):
    """Pages of the documents of runs."""

    page_came = Signal(int, object)
    """The item and a `Page`."""
    no_page = Signal(int, int, object)
    """The item, the number, and the `LocalAIError` that says why there is no text of it."""
    drawn = Signal(int, int, object)
    """The item, the number, and a `QImage`."""
    not_drawn = Signal(int, int, object)
    """The item, the number, and the `LocalAIError` that says why there is no picture of it."""

    def __init__(
        self, jobs: Jobs, tasks: TaskService, documents: DocumentService, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._jobs, self._tasks = jobs, tasks
        self._open = _OpenDocuments(documents)
        self._turn = 0
        """Rises when all is forgotten."""
        self._pages: OrderedDict[Place, Page] = OrderedDict()
        self._pictures: OrderedDict[_Picture, QImage] = OrderedDict()
        self._bytes = 0
        self._asked: set[Place] = set()
        self._wanted: _Picture | None = None
        self._next: _Picture | None = None
        """Fetched ahead."""
        self._under_way: _Picture | None = None
        self._looked_at: int | None = None
        """The document that the audit log was told of."""

    def page(self, item: Item, number: int) -> Page | None:
        """The page where it is here; else `page_came` or `no_page` tells it later."""
        place = (item.id, number)
        kept = self._pages.get(place)
        if kept is not None:
            self._pages.move_to_end(place)
        elif place not in self._asked and not self._jobs.closed:
            self._asked.add(place)
            job = self._run(lambda: self._tasks.page(*place), LANE)
            self._when(job.returned, lambda page: self._keep_page(place, page))
            self._when(job.failed, lambda error: self.no_page.emit(*place, error))
            job.finished.connect(lambda: self._asked.discard(place))
        return kept

    def picture(self, item: Item, number: int, scale: float) -> QImage | None:
        """The page's picture at ``scale`` pixels per point, or what is here of it; `drawn` tells the rest."""
        if item.document_id is None:
            return None
        self._note_look(item.document_id)
        wanted = _Picture((item.id, number), item.document_id, scale)
        kept = self._pictures.get(wanted)
        if kept is not None:
            self._pictures.move_to_end(wanted)
            self._wanted = None
            return kept
        self._wanted = wanted
        self._draw_next()
        others = reversed(self._pictures.items())
        return next((image for picture, image in others if picture.place == wanted.place), None)

    def picture_ahead(self, item: Item, number: int, scale: float) -> None:
        """Draw a page that will be looked at next, once nothing else is to be drawn."""
        if item.document_id is not None:
            picture = _Picture((item.id, number), item.document_id, scale)
            if picture not in self._pictures and picture != self._under_way:
                self._next = picture
                self._draw_next()

    def close(self) -> None:
        """Forget all pages, and end what draws them."""
        self._turn += 1
        self._wanted = self._next = self._under_way = None
        self._pages.clear()
        self._pictures.clear()
        self._asked.clear()
        self._bytes = 0
        self._looked_at = None
        if not self._jobs.closed:
            self._jobs.run(self._open.close, lane=DRAWING_LANE)

    def _note_look(self, document_id: int) -> None:
        """What is fetched ahead is not opened yet: the audit log is told of what is looked at."""
        if document_id != self._looked_at and not self._jobs.closed:
            self._looked_at = document_id
            # That it cannot be told is told by the picture, which then cannot be drawn either.
            self._run(lambda: self._open.note_opened(document_id), DRAWING_LANE)

    # ------------------------------------------------------------ what comes back

    def _run(self, call: Callable[[], Any], lane: str) -> Job:
        return self._jobs.run(call, lane=lane)

    def _when(self, signal: Any, act: Callable[[Any], None]) -> None:
        """Have ``act`` done unless all was forgotten meanwhile."""
        turn = self._turn
        signal.connect(lambda value: act(value) if turn == self._turn else None)

    def _keep_page(self, place: Place, page: Page) -> None:
        self._pages[place] = page
        while len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)
        self.page_came.emit(place[0], page)

    def _draw_next(self) -> None:
        if self._under_way is not None or self._jobs.closed:
            return
        picture = self._wanted or self._next
        if picture is None:
            return
        if picture is self._wanted:
            self._wanted = None
        else:
            self._next = None
        self._under_way = picture
        job = self._run(lambda: self._open.draw(picture), DRAWING_LANE)
        self._when(job.returned, lambda drawing: self._keep_picture(picture, drawing))
        self._when(job.failed, lambda error: self._cannot_draw(picture, error))

    def _keep_picture(self, picture: _Picture, drawing: Drawing | None) -> None:
        self._under_way = None
        if drawing is not None:
            self._pictures[picture] = drawing.image
            self._bytes += drawing.image.sizeInBytes()
            while self._bytes > KEPT_BYTES and len(self._pictures) > 1:
                self._bytes -= self._pictures.popitem(last=False)[1].sizeInBytes()
            self.drawn.emit(*picture.place, drawing.image)
        self._draw_next()

    def _cannot_draw(self, picture: _Picture, error: LocalAIError) -> None:
        self._under_way = None
        self.not_drawn.emit(*picture.place, error)
        self._draw_next()

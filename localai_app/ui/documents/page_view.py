"""The page view: a document's pages as people see them, and beside them what the model saw."""

from collections.abc import Callable, Sequence
from enum import Enum

from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QFrame, QSplitter, QStackedWidget, QVBoxLayout

from localai_app.documents.document import Citation, Document, Page, State
from localai_app.documents.service import DocumentService
from localai_app.errors import LocalAIError, PasswordNeeded
from localai_app.ui.documents.canvas import MARGIN, PageCanvas
from localai_app.ui.documents.model_pane import ModelPane
from localai_app.ui.documents.outline import OutlineList
from localai_app.ui.documents.page_bar import PageBar
from localai_app.ui.documents.page_scroll import PageScroll
from localai_app.ui.documents.pages import MOST_PIXELS, Drawing, Hit, PageLoader
from localai_app.ui.documents.state_card import StateCard
from localai_app.ui.documents.strips import CitationStrip, FindStrip, ReasonStrip
from localai_app.ui.documents.text_page import ReadablePage
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.labels import restyle

ZOOMS = (0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)
PER_POINT = 96 / 72
"""Logical pixels per point at 100 %."""
REFIT_MS = 120
MOST_MARKS = 300
"""Of what was found, around what is looked at: text with thousands of them is painted slowly."""
Span = tuple[int, int]


class Showing(Enum):
    """How the page is shown."""

    PICTURE = 0
    TEXT = 1
    STATE = 2


class PageView(QFrame):
    """One document. Text and pictures come from other threads; what is not here yet is not waited for."""

    closed = Signal()
    failed = Signal(object)
    citation_changed = Signal(object)
    """The `Citation` that is looked at now."""
    unlock_requested = Signal(int, str)
    retry_requested = Signal(int)

    def __init__(self, theme: Theme, jobs: Jobs, documents: DocumentService) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "page")
        self.loader = PageLoader(jobs, documents, self)
        self.page: Page | None = None
        self.number = 0
        """Of the page that is looked at, or on its way."""
        self._zoom: float | None = None
        """None fits the page to the width."""
        self._span: Span | None = None
        self._citations: tuple[Citation, ...] = ()
        self._citation = -1
        self._hits: list[Hit] = []
        self._hit = -1
        self._fresh = False
        """A document was asked for that has not been shown yet."""
        self._reveal: Span | None = None
        """To bring into view once the page is here."""
        self.canvas = PageCanvas(theme)
        self.scroller = PageScroll(self.canvas)
        self.readable = ReadablePage(theme)
        self.card = StateCard(theme)
        self.model = ModelPane(theme)
        self.model.hide()
        self.outline = OutlineList(theme)
        self.outline.hide()
        self.reason = ReasonStrip(theme)
        self.citation_strip = CitationStrip(theme)
        self.find_strip = FindStrip(theme)
        self._build()
        self._connect()

    # ------------------------------------------------------------ what the page calls

    @property
    def document(self) -> Document | None:
        """The document that is looked at."""
        return self.loader.document

    def open(self, document_id: int, number: int = 1, span: Span | None = None) -> None:
        """Look at a page, with ``span`` marked."""
        self._citations, self._citation = (), -1
        self.citation_strip.hide()
        self._go(document_id, number, span)

    def open_citation(self, citations: Sequence[Citation], index: int) -> None:
        """Look at one of an answer's citations; the others are a step away."""
        self._citations, self._citation = tuple(citations), index
        citation = self._citations[index]
        self.citation_strip.show_citation(citation, index, len(self._citations))
        self._go(citation.document_id, citation.page, (citation.start, citation.end))
        self.citation_changed.emit(citation)

    def step_citation(self, step: int) -> None:
        """Look at the next citation (1) or the one before (-1)."""
        if self._citations:
            self.open_citation(self._citations, (self._citation + step) % len(self._citations))

    def close_document(self) -> None:
        """Look at nothing."""
        self.loader.close()
        self.page, self.number = None, 0
        self.end_find()

    def reload(self) -> None:
        """Show the document as it is now."""
        if self.document is not None:
            self.loader.open(self.document.id)

    def refresh(self, document: Document) -> None:
        """The document changed: show it as it is now, if it is the one that is looked at."""
        shown = self.document
        if shown is None or shown.id != document.id:
            return
        if (shown.state, shown.sha256, shown.pages, shown.error) != (
            document.state,
            document.sha256,
            document.pages,
            document.error,
        ):
            self.loader.open(document.id)

    def go_to(self, number: int) -> None:
        """Look at another page of the document."""
        document = self.document
        if document is None or not self.loader.readable:
            return
        number = min(max(number, 1), max(1, document.pages))
        if number != self.number:
            self._span = None
            self._show_number(number)

    def begin_find(self) -> None:
        """Look for words in the document."""
        if self.loader.readable:
            self.find_strip.begin()

    def end_find(self) -> None:
        """Forget what was looked for."""
        self._hits, self._hit = [], -1
        self.find_strip.end()
        self._show_marks()

    def show_model(self, shown: bool) -> None:
        """Lay what the model saw beside the page."""
        self.bar.model_button.setChecked(shown)

    def zoom(self, step: int) -> None:
        """One step larger (1), smaller (-1), or to the width (0)."""
        if step == 0:
            self._zoom = None
        else:
            now = self.canvas.scale / PER_POINT
            steps = [each for each in ZOOMS if (each > now * 1.01 if step > 0 else each < now * 0.99)]
            if not steps:
                return
            self._zoom = steps[0] if step > 0 else steps[-1]
        self._fit_page()
        self._draw()

    @property
    def showing(self) -> Showing:
        """What stands in the middle."""
        return Showing(self._stack.currentIndex())

    # ------------------------------------------------------------ going

    def _go(self, document_id: int, number: int, span: Span | None) -> None:
        self._span = self._reveal = span
        if self.document is not None and self.document.id == document_id and self.loader.readable:
            self._show_number(number)
            return
        self.number, self.page, self._fresh = number, None, True
        self.end_find()
        self.loader.open(document_id)

    def _opened(self, document: Document) -> None:
        self.page = None
        focus = self.focusWidget()
        if focus is not None and (self.card.isAncestorOf(focus) or self.reason.isAncestorOf(focus)):
            self.setFocus()  # what it is in may go; it would fall to whichever control is next
        self.reason.hide()
        readable = self.loader.readable
        self.bar.show_document(document, readable=readable)
        items = document.facts.outline if document.facts and readable else ()
        self.outline.show_items(items)
        self.outline.setVisible(bool(items) and self.bar.outline_button.isChecked())
        self.model.setVisible(readable and self.bar.model_button.isChecked())
        if not readable:
            self.card.show_document(document)
            self._stack.setCurrentIndex(Showing.STATE.value)
            if document.state is State.LOCKED and (self._fresh or self.hasFocus()):
                self.card.password.setFocus(Qt.FocusReason.OtherFocusReason)
            self._fresh = False
            return
        self._show_number(min(max(self.number, 1), max(1, document.pages)))

    def _show_number(self, number: int) -> None:
        self.number = number
        self.bar.show_number(number, self.document.pages if self.document is not None else 1)
        if self.page is not None and self.page.number == number:
            self._show_marks()
            self._reveal_now()
        else:
            self.loader.want_page(number)

    def _show_page(self, page: Page) -> None:
        if page.number != self.number:
            return
        self.page = page
        picture = page.width > 0 and self.loader.drawable
        self._stack.setCurrentIndex((Showing.PICTURE if picture else Showing.TEXT).value)
        if picture:
            self.canvas.show_page(page)
            self._fit_page()
            self.scroller.verticalScrollBar().setValue(0)
            self._draw()
        else:
            self.readable.show_page(page)
        if self.hasFocus():
            (self.canvas if picture else self.readable).setFocus()
        self.bar.show_page(page, picture=picture)
        if self.model.isVisible():
            self.model.show_page(page)
        self._show_marks()
        self._reveal_now()

    def _draw(self) -> None:
        if self.page is None or self.showing is not Showing.PICTURE:
            return
        drawing = self.loader.want_drawing(self.page.number, self._scale())
        self.canvas.show_image(drawing.image if drawing else self.canvas.image)

    def _scale(self) -> float:
        """Device pixels per point, as many as a picture may have."""
        assert self.page is not None
        most = (MOST_PIXELS / max(1.0, self.page.width * self.page.height)) ** 0.5
        return float(round(min(self.canvas.scale * self.devicePixelRatioF(), most), 3))

    def _show_drawing(self, drawing: Drawing) -> None:
        if self.page is not None and drawing.number == self.page.number and self.showing is Showing.PICTURE:
            self.canvas.show_image(drawing.image)

    def _show_reason(self, error: LocalAIError) -> None:
        """There is no picture: the text is shown, and why."""
        self.reason.show_reason(error.line, locked=isinstance(error, PasswordNeeded))
        if self.page is not None:
            self.readable.show_page(self.page)
            self._stack.setCurrentIndex(Showing.TEXT.value)
            self.bar.show_page(self.page, picture=False)
            self._show_marks()
            self._reveal = self._span
            self._reveal_now()

    def _unlock(self, password: str) -> None:
        if self.document is not None:
            self._reveal = self._span
            self.unlock_requested.emit(self.document.id, password)

    def _turn(self, step: int) -> None:
        before = self.number
        self.go_to(before + step)
        if step < 0 and self.number != before:
            bar = self.scroller.verticalScrollBar()
            bar.setValue(bar.maximum())

    # ------------------------------------------------------------ marks

    def _page_hits(self) -> list[Span]:
        return [(start, end) for page, start, end in self._hits if page == self.number]

    def _show_marks(self) -> None:
        page = self.page
        if page is None or page.number != self.number:
            return
        current: Span | None = None
        if 0 <= self._hit < len(self._hits) and self._hits[self._hit][0] == page.number:
            current = self._hits[self._hit][1:]
        hits = self._page_hits()
        if self.showing is Showing.PICTURE:
            self.canvas.show_marks(self._span, hits, current)
        if len(hits) > MOST_MARKS:
            at = hits.index(current) if current in hits else 0
            first = min(max(0, at - MOST_MARKS // 2), len(hits) - MOST_MARKS)
            hits = hits[first : first + MOST_MARKS]
        if self.showing is Showing.TEXT:
            self.readable.show_marks(self._span, hits, current)
        if self.model.isVisible():
            self.model.text.show_marks(self._span, hits)

    def _reveal_now(self) -> None:
        """Bring what was asked for into view."""
        span, self._reveal = self._reveal, None
        if span is None:
            return
        if self.showing is Showing.PICTURE:
            rect = self.canvas.rect_of(span)
            if not rect.isEmpty():
                self._scroll_to(rect)
        elif self.showing is Showing.TEXT:
            self.readable.reveal(span)
        if self.model.isVisible():
            self.model.text.reveal(span)

    def _scroll_to(self, rect: QRectF) -> None:
        view = self.scroller.viewport()
        middle = rect.center().toPoint()
        self.scroller.ensureVisible(middle.x(), middle.y(), view.width() // 3, view.height() // 3)

    # ------------------------------------------------------------ finding

    def _look_for(self, text: str) -> None:
        if text.strip():
            self.loader.find(text)
        else:
            self._hits, self._hit = [], -1
            self.find_strip.show_count(None, 0)
            self._show_marks()

    def _found(self, text: str, hits: list[Hit]) -> None:
        if text != self.find_strip.field.text():
            return
        self._hits = hits
        after = [number for number, hit in enumerate(hits) if hit[0] >= self.number]
        self._hit = (after[0] if after else 0) if hits else -1
        self._show_hit()

    def _step_hit(self, step: int) -> None:
        if self._hits:
            self._hit = (self._hit + step) % len(self._hits)
            self._show_hit()

    def _show_hit(self) -> None:
        self.find_strip.show_count(self._hit + 1 if self._hits else 0, len(self._hits))
        if self._hits:
            page, start, end = self._hits[self._hit]
            self._reveal = (start, end)
            if page != self.number:
                self._span = None
            self._show_number(page)
        else:
            self._show_marks()

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        self.bar = PageBar(self._theme)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.scroller)
        self._stack.addWidget(self.readable)
        self._stack.addWidget(self.card)
        self._stack.setCurrentIndex(Showing.STATE.value)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(4)
        self.splitter.addWidget(self.outline)
        self.splitter.addWidget(self._stack)
        self.splitter.addWidget(self.model)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setStretchFactor(2, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for line in (self.bar, self.reason, self.citation_strip, self.find_strip):
            column.addWidget(line)
        column.addWidget(self.splitter, 1)
        self._refit = QTimer(self)
        self._refit.setSingleShot(True)
        self._refit.setInterval(REFIT_MS)
        self._refit.timeout.connect(self._draw)
        self._theme.changed.connect(self._fit_page)

    def _connect(self) -> None:
        load = self.loader
        load.opened.connect(self._opened)
        load.page_came.connect(self._show_page)
        load.drawn.connect(self._show_drawing)
        load.not_drawn.connect(self._show_reason)
        load.found.connect(self._found)
        load.failed.connect(self.failed)
        bar = self.bar
        bar.page_requested.connect(self.go_to)
        bar.zoom_requested.connect(self.zoom)
        bar.find_requested.connect(self.begin_find)
        bar.outline_toggled.connect(self._show_outline)
        bar.model_toggled.connect(self._show_model)
        bar.closed.connect(self.closed)
        self.outline.chosen.connect(self.go_to)
        self.scroller.turned.connect(self._turn)
        self.scroller.resized.connect(self._fit_page)
        self.scroller.resized.connect(self._refit.start)
        self.scroller.zoomed.connect(self.zoom)
        self.citation_strip.stepped.connect(self.step_citation)
        self.find_strip.changed.connect(self._look_for)
        self.find_strip.stepped.connect(self._step_hit)
        self.find_strip.ended.connect(self.end_find)
        self.card.unlock_requested.connect(self.unlock_requested)
        self.reason.unlock_requested.connect(self._unlock)
        self.card.retry_requested.connect(self.retry_requested)
        keys: tuple[tuple[str, Callable[[], object]], ...] = (
            ("F3", lambda: self._step_hit(1)),
            ("Shift+F3", lambda: self._step_hit(-1)),
            ("Alt+Right", lambda: self.step_citation(1)),
            ("Alt+Left", lambda: self.step_citation(-1)),
        )
        for key, act in keys:
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    def _show_model(self, shown: bool) -> None:
        self.model.setVisible(shown)
        self._arrange()
        if shown and self.page is not None:
            self.model.show_page(self.page)
            self._show_marks()
            if self._span is not None:
                self.model.text.reveal(self._span)

    def _show_outline(self, shown: bool) -> None:
        self.outline.setVisible(shown)
        self._arrange()

    def _fit_page(self) -> None:
        """Scale the page to the width, or to what was chosen."""
        if self.page is None or self.page.width <= 0:
            return
        room = self.scroller.width() - 2 * self._theme.px(MARGIN) - self._theme.px(10)
        fitting = max(0.1, room / self.page.width)
        self.canvas.set_scale(self._zoom * PER_POINT if self._zoom is not None else fitting)
        self.bar.show_zoom(round(self.canvas.scale / PER_POINT * 100))

    def _arrange(self) -> None:
        """Side by side where there is room, else one above the other."""
        wide = self.width() >= self._theme.px(560)
        self.splitter.setOrientation(Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical)
        restyle(self.model, look="panel" if wide else "panel-below")
        if self.model.isVisible():
            whole = self.splitter.width() if wide else self.splitter.height()
            beside = (self.outline.width() if wide else whole // 5) if self.outline.isVisible() else 0
            self.splitter.setSizes([beside, (whole - beside) // 2, (whole - beside) // 2])
        self._fit_page()
        self._refit.start()

    # ------------------------------------------------------------ Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the page anew."""
        super().resizeEvent(event)
        self._arrange()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Plus, minus and zero zoom the page; Escape ends the search in it, then closes it."""
        if event.key() == Qt.Key.Key_Escape:
            if self.find_strip.isVisible():
                self.end_find()
            else:
                self.closed.emit()
            return
        step = {Qt.Key.Key_Plus: 1, Qt.Key.Key_Minus: -1, Qt.Key.Key_0: 0}.get(Qt.Key(event.key()))
        if step is not None and not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(step)
        else:
            super().keyPressEvent(event)

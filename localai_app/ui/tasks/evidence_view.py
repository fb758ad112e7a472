"""Where a value stands: the document's page with the quotation marked."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from PySide6.QtCore import QRectF, QSize, QTimer
from PySide6.QtGui import QImage
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from localai_app.documents.document import Page
from localai_app.errors import LocalAIError
from localai_app.tasks.run import Item
from localai_app.tasks.task import Evidence
from localai_app.ui.documents import words as document_words
from localai_app.ui.documents.canvas import MARGIN, PageCanvas
from localai_app.ui.documents.page_scroll import PageScroll
from localai_app.ui.documents.page_view import PER_POINT, REFIT_MS, ZOOMS, Showing
from localai_app.ui.documents.pages import MOST_PIXELS
from localai_app.ui.documents.text_page import ReadablePage
from localai_app.ui.tasks.evidence_pages import EvidencePages
from localai_app.ui.tasks.evidence_places import Place, apart
from localai_app.ui.tasks.review_queue import Entry
from localai_app.ui.tasks.words import tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import ElidedLabel, label, selectable

LEAST_SCALE = 0.85 * PER_POINT
"""A page in a narrow panel is scrolled sideways rather than too small to be read."""
LEAST_HEIGHT = 120
"""Design pixels."""


class EvidenceView(QFrame):
    """One page of one item's document. It is fetched in other threads; nothing is waited for."""

    def __init__(self, theme: Theme, pages: EvidencePages) -> None:
        super().__init__()
        self._theme, self._pages = theme, pages
        self.setProperty("look", "card")
        self._item: Item | None = None
        self._places: tuple[Place, ...] = ()
        self._index = -1
        self._nothing = ""
        self._asked: tuple[Entry, int | None, tuple[Place, ...], str] | None = None
        """By `show_places`, the last time."""
        self._ahead: tuple[Item, int] | None = None
        self.number = 0
        self.page: Page | None = None
        self._shown_item = 0
        """Whose page is shown."""
        self._zoom: float | None = None
        self._reveal = False
        self._unseen: dict[int, str] = {}
        """Items whose document cannot be drawn, and why."""
        self.caption = ElidedLabel("", "dim")
        self.back_button = IconButton(theme, "chevron-left", tr("Page before"), size=16)
        self.on_button = IconButton(theme, "chevron-right", tr("Next page"), size=16)
        self.out_button = IconButton(theme, "zoom-out", tr("Smaller"), size=16)
        self.in_button = IconButton(theme, "zoom-in", tr("Larger"), size=16)
        self._switch = QWidget()
        self._switches = FlowLayout(self._switch)
        self._group = QButtonGroup(self)
        self._group.setExclusive(False)
        self.notice = label("", "warn", wrap=True)
        self.canvas = PageCanvas(theme)
        self.scroller = PageScroll(self.canvas)
        self.readable = ReadablePage(theme)
        self._statement = selectable(label("", wrap=True))
        self._stack = QStackedWidget()
        self._head = QHBoxLayout()
        self._column = QVBoxLayout(self)
        self._refit = QTimer(self)
        self._build()
        theme.changed.connect(self._fit)
        self._fit()

    # ------------------------------------------------------------ what the panel calls

    def show_places(self, entry: Entry, item: Item, places: Sequence[Place], nothing: str) -> None:
        """Look at the first of ``places`` of a finding; the others are a step away.

        Where no value stands anywhere, ``nothing`` is said over the document's first page. What is looked at
        already stays as it is.
        """
        asked = (entry, item.document_id, tuple(places), nothing)
        if asked == self._asked:
            return
        self._asked = asked
        self._item, self._places, self._nothing = item, tuple(places), nothing
        self._fill_switch()
        self.show_place(next((at for at, place in enumerate(places) if not place.warning), -1))

    def show_place(self, index: int) -> None:
        """Look at another of the places."""
        item = self._item
        if item is None:
            return
        self._index = index
        place = self.place
        for number, button in enumerate(self._group.buttons()):
            button.setChecked(number == index)
        self._say()
        self._go(place.evidence.page if place else 1)

    def show_evidence(self, evidence: Evidence) -> None:
        """Look at that one of the places."""
        self._show_where(lambda place: place.evidence == evidence)

    def show_warning(self) -> None:
        """Look at the first of the passages that the person is warned of."""
        self._show_where(lambda place: place.warning)

    def _show_where(self, wanted: Callable[[Place], bool]) -> None:
        index = next((at for at, place in enumerate(self._places) if wanted(place)), None)
        if index is not None:
            self.show_place(index)

    def show_ahead(self, item: Item, evidence: Evidence | None) -> None:
        """Fetch what will be looked at next."""
        if item.document_id is None:
            return
        number = evidence.page if evidence else 1
        self._ahead = (item, number)
        page = self._pages.page(item, number)
        if page is not None:
            self._draw_ahead(item, page)

    def clear(self) -> None:
        """Look at nothing."""
        self._item, self.page, self._ahead, self._asked = None, None, None, None
        self._places, self._index, self.number = (), -1, 0

    @property
    def place(self) -> Place | None:
        """What is looked at."""
        return self._places[self._index] if 0 <= self._index < len(self._places) else None

    @property
    def showing(self) -> Showing:
        """What stands in the middle."""
        return Showing(self._stack.currentIndex())

    def zoom(self, step: int) -> None:
        """One step larger (1) or smaller (-1)."""
        now = self.canvas.scale / PER_POINT
        steps = [each for each in ZOOMS if (each > now * 1.01 if step > 0 else each < now * 0.99)]
        if steps and self.showing is Showing.PICTURE:
            self._zoom = steps[0] if step > 0 else steps[-1]
            self._fit_page()
            self._draw()

    def turn(self, step: int) -> None:
        """Look at the next page (1) or the one before (-1) of the document."""
        before = self.number
        self._go(min(max(before + step, 1), self._total))
        if step < 0 and self.number != before:
            bar = self.scroller.verticalScrollBar()
            bar.setValue(bar.maximum())

    # ------------------------------------------------------------ going

    @property
    def _total(self) -> int:
        covered = self._item.coverage if self._item else None
        return max(1, covered.total if covered else 1, self.number)

    def _go(self, number: int) -> None:
        item = self._item
        assert item is not None, "no document is shown"
        stays = self.page is not None and self.number == number and self._shown_item == item.id
        self.number, self._reveal = number, True
        self._show_caption()
        if item.document_id is None:
            self._state(tr("The document was erased, and its pages with it."))
            return
        if stays:
            self._show_marks()
            self._reveal_now()
            return
        page = self._pages.page(item, number)
        if page is not None:
            self._show_page(page)
        else:
            self._state("")  # never the page of another value beside this one

    def _came(self, item_id: int, page: Page) -> None:
        item = self._item
        if item is not None and item.id == item_id and page.number == self.number:
            self._show_page(page)
        if self._ahead is not None and (self._ahead[0].id, self._ahead[1]) == (item_id, page.number):
            self._draw_ahead(self._ahead[0], page)

    def _show_page(self, page: Page) -> None:
        item = self._item
        assert item is not None, "no document is shown"
        self.page, self._shown_item = page, item.id
        picture = page.width > 0 and item.id not in self._unseen
        for button in (self.out_button, self.in_button):
            button.setVisible(picture)
        self._stack.setCurrentIndex((Showing.PICTURE if picture else Showing.TEXT).value)
        if picture:
            self.canvas.show_page(page)
            self._fit_page()
            self._draw()
        else:
            self.readable.show_page(page)
        self._say()
        self._show_caption()
        self._show_marks()
        # The canvas has its new size only once the event loop has run.
        QTimer.singleShot(0, self, self._reveal_now)

    def _no_page(self, item_id: int, number: int, error: LocalAIError) -> None:
        """The document changed since, or is gone: the quotation is all there is."""
        item, place = self._item, self.place
        if item is None or item.id != item_id or number != self.number:
            return
        self.page = None
        quoted = f"\n\n“{place.evidence.quotation}”" if place is not None else ""
        self._state(error.line + quoted)

    def _state(self, text: str) -> None:
        self.page = None
        self._statement.setText(text)
        self._statement.setAccessibleName(text)
        for button in (self.out_button, self.in_button):
            button.hide()
        self._stack.setCurrentIndex(Showing.STATE.value)

    def _not_drawn(self, item_id: int, number: int, error: LocalAIError) -> None:
        """There is no picture: from now on the text is shown, and why."""
        self._unseen[item_id] = error.line
        item = self._item
        if item is not None and item.id == item_id and self.page is not None and self.page.number == number:
            self._show_page(self.page)

    # ------------------------------------------------------------ pictures

    def _draw(self) -> None:
        if self._item is not None and self.page is not None and self.showing is Showing.PICTURE:
            image = self._pages.picture(self._item, self.page.number, self._pixels(self.page))
            self.canvas.show_image(image or self.canvas.image)

    def _drawn(self, item_id: int, number: int, image: QImage) -> None:
        item, page = self._item, self.page
        if item is not None and page is not None and (item.id, page.number) == (item_id, number):
            self.canvas.show_image(image)

    def _draw_ahead(self, item: Item, page: Page) -> None:
        if page.width > 0 and item.id not in self._unseen:
            self._pages.picture_ahead(item, page.number, self._pixels(page))

    def _scale(self, page: Page) -> float:
        """Logical pixels per point: the page's width, but never too small to be read."""
        if self._zoom is not None:
            return self._zoom * PER_POINT
        room = self.scroller.width() - 2 * self._theme.px(MARGIN) - self._theme.px(10)
        return max(LEAST_SCALE * self._theme.zoom, room / page.width)

    def _pixels(self, page: Page) -> float:
        """Device pixels per point, as many as a picture may have."""
        most = (MOST_PIXELS / max(1.0, page.width * page.height)) ** 0.5
        return float(round(min(self._scale(page) * self.devicePixelRatioF(), most), 3))

    def _fit_page(self) -> None:
        if self.page is not None and self.page.width > 0:
            self.canvas.set_scale(self._scale(self.page))

    # ------------------------------------------------------------ marks

    def _show_marks(self) -> None:
        """The quotation, and the others of the same page; what was not found is framed, not marked."""
        page, place = self.page, self.place
        if page is None or self.showing is Showing.STATE:
            return
        here = [each.evidence for each in self._places if each.evidence.page == page.number]
        marked = apart([(each.start, each.end) for each in here if each.verified])
        current = place.evidence if place is not None and place.evidence.page == page.number else None
        span = (current.start, current.end) if current is not None else None
        if self.showing is Showing.PICTURE:
            self.canvas.show_marks(None, marked, span)
        else:
            self.readable.show_marks(None, marked, span)

    def _reveal_now(self) -> None:
        place, page = self.place, self.page
        if not self._reveal or page is None:
            return
        self._reveal = False
        if place is None or place.evidence.page != page.number:
            for area in (self.scroller, self.readable):
                area.verticalScrollBar().setValue(0)
            return
        span = (place.evidence.start, place.evidence.end)
        if self.showing is Showing.TEXT:
            self.readable.reveal(span)
            return
        rect = self.canvas.rect_of(span)
        if rect.isEmpty():
            self.scroller.verticalScrollBar().setValue(0)
        else:
            self._scroll_to(rect)

    def _scroll_to(self, rect: QRectF) -> None:
        """The mark a third from the top, in the middle; of a wide one, its beginning."""
        room, edge = self.scroller.viewport(), self._theme.px(24)
        self.scroller.verticalScrollBar().setValue(round(rect.top() - room.height() / 3))
        left = min(rect.center().x() - room.width() / 2, rect.left() - edge)
        self.scroller.horizontalScrollBar().setValue(round(left))

    # ------------------------------------------------------------ words

    def _say(self) -> None:
        """What there is to know of a place before it is believed."""
        place, said = self.place, ""
        if place is None:
            said = self._nothing
        elif place.warning:
            said = tr("These words look like instructions to the model. They changed nothing else.")
        elif not place.evidence.verified:
            said = tr("This is where the model was reading; the words were not found there.")
        reason = self._unseen.get(self._item.id) if self._item is not None else None
        if reason:
            said = " ".join(filter(None, (said, reason, tr("The text is shown as it was read."))))
        self.notice.setText(said)
        self.notice.setVisible(bool(said))

    def _show_caption(self) -> None:
        item, page, place = self._item, self.page, self.place
        if item is None:
            return
        if page is not None and page.number == self.number and self._shown_item == item.id:
            where = document_words.place(page)
        elif place is not None and place.evidence.page == self.number:
            where = place.evidence.place
        else:
            where = tr("page {0}").format(document_words.number(self.number))
        self.caption.setText(f"{item.document_name} · {where}")
        self.back_button.setEnabled(self.number > 1)
        self.on_button.setEnabled(self.number < self._total)
        for button in (self.back_button, self.on_button):
            button.setVisible(self._total > 1)

    def _fill_switch(self) -> None:
        for button in self._group.buttons():
            self._group.removeButton(button)
            self._switches.removeWidget(button)
            button.deleteLater()
        several = len(self._places) > 1 or any(place.warning for place in self._places)
        for number, place in enumerate(self._places if several else ()):
            made = Button(self._theme, place.title, look="toggle")
            made.setCheckable(True)
            made.setToolTip(place.evidence.quotation[:200])
            made.clicked.connect(self._chooser(number))
            self._group.addButton(made)
            self._switches.addWidget(made)
            made.show()
        order = [self.in_button, *self._group.buttons(), self.canvas]
        for before, after in pairwise(order):
            QWidget.setTabOrder(before, after)
        self._switch.setVisible(several)

    def _chooser(self, number: int) -> Callable[[], None]:
        return lambda: self.show_place(number)

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        statement = QWidget()
        inside = QVBoxLayout(statement)
        inside.addWidget(self._statement)
        inside.addStretch(1)
        for part in (self.scroller, self.readable, statement):
            self._stack.addWidget(part)
        self._stack.setCurrentIndex(Showing.STATE.value)
        self._head.addWidget(self.caption, 1)
        for tool in (self.back_button, self.on_button, self.out_button, self.in_button):
            self._head.addWidget(tool)
        self._column.addLayout(self._head)
        self._beside = QHBoxLayout()
        self._beside.addWidget(self._switch)
        self._column.addLayout(self._beside)
        self._column.addWidget(self.notice)
        self._column.addWidget(self._stack, 1)
        self.notice.hide()
        self._switch.hide()
        self._refit.setSingleShot(True)
        self._refit.setInterval(REFIT_MS)
        self._refit.timeout.connect(self._draw)
        self.back_button.clicked.connect(lambda: self.turn(-1))
        self.on_button.clicked.connect(lambda: self.turn(1))
        self.out_button.clicked.connect(lambda: self.zoom(-1))
        self.in_button.clicked.connect(lambda: self.zoom(1))
        self.scroller.turned.connect(self.turn)
        self.scroller.zoomed.connect(self.zoom)
        self.scroller.resized.connect(self._fit_page)
        self.scroller.resized.connect(self._refit.start)
        self._pages.page_came.connect(self._came)
        self._pages.no_page.connect(self._no_page)
        self._pages.drawn.connect(self._drawn)
        self._pages.not_drawn.connect(self._not_drawn)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(1), px(8), px(1), px(1))
        self._column.setSpacing(px(6))
        self._head.setContentsMargins(px(15), 0, px(8), 0)
        self._head.setSpacing(px(2))
        self._beside.setContentsMargins(px(15), 0, px(15), 0)
        self._switches.setSpacing(px(6))
        self.notice.setContentsMargins(px(15), 0, px(15), 0)
        self._fit_page()
        self._refit.start()

    # ------------------------------------------------------------ Qt

    def hasHeightForWidth(self) -> bool:
        """It takes what room the value leaves: what it could take does not count."""
        return False

    def sizeHint(self) -> QSize:
        """A few lines of the page."""
        return QSize(self._theme.px(300), self._theme.px(LEAST_HEIGHT))

    def minimumSizeHint(self) -> QSize:
        """As much as that."""
        return QSize(self._theme.px(200), self._theme.px(LEAST_HEIGHT))

"""A page as people see it: its picture, marks laid over it, and text that can be selected.

The picture comes from elsewhere (``pages.py``); until it is there in the right size, the one before is
stretched. The paper is white in every theme, so marks are the light theme's.
"""

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from localai_app.documents.document import BOX_SCALE, Box, Page, boxes_of
from localai_app.ui.clipboard import put_on_clipboard
from localai_app.ui.documents import words
from localai_app.ui.theme import LIGHT, Theme

if TYPE_CHECKING:
    import numpy as np

MARGIN = 18
"""Design pixels around the paper."""
SPOKEN = 4000
"""Characters of the page that screen readers are given at once."""

Span = tuple[int, int]


class PageCanvas(QWidget):
    """Draws one page. It is as large as the page at the present scale."""

    selection_changed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.page: Page | None = None
        self.image: QImage | None = None
        self.scale = 1.0
        """Logical pixels per point."""
        self._places: np.ndarray | None = None
        """Left, top, right, bottom of every character, in `BOX_SCALE`."""
        self._marks: list[Box] = []
        self._hits: list[Box] = []
        self._current: list[Box] = []
        self._selected: list[Box] = []
        self._anchor: int | None = None
        self._span: Span = (0, 0)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.IBeamCursor)
        self.setAccessibleName(self.tr("Page"))

    # ------------------------------------------------------------ what is shown

    def show_page(self, page: Page) -> None:
        """Show another page; its picture is still to come."""
        import numpy as np  # noqa: PLC0415 - the window starts without it

        self.page, self.image = page, None
        self._places = np.frombuffer(page.boxes, "<u2").reshape(-1, 4).astype(np.int32)
        self._marks, self._hits, self._current = [], [], []
        self.select(0, 0)
        self.setAccessibleName(words.place(page))
        self.setAccessibleDescription(page.text[:SPOKEN])
        self.setCursor(Qt.CursorShape.IBeamCursor if page.boxes else Qt.CursorShape.ArrowCursor)
        self._resize()

    def show_image(self, image: QImage | None) -> None:
        """Show the page's picture."""
        self.image = image
        self.update()

    def set_scale(self, scale: float) -> None:
        """Show the page at ``scale`` pixels per point."""
        if scale != self.scale:
            self.scale = scale
            self._resize()

    def show_marks(self, citation: Span | None, hits: list[Span], current: Span | None) -> None:
        """Mark a citation, what was found, and which of it is looked at."""
        self._marks = self._boxes(citation) if citation else []
        self._hits = self._boxes_of_many(hits)
        self._current = self._boxes(current) if current else []
        self.update()

    def rect_of(self, span: Span) -> QRectF:
        """Where ``span`` stands in the widget; empty where it has no place."""
        whole = QRectF()
        for box in self._boxes(span):
            whole = whole.united(self._rect(box))
        return whole

    @property
    def paper(self) -> QRectF:
        """Where the page is in the widget."""
        if self.page is None:
            return QRectF()
        width, height = self.page.width * self.scale, self.page.height * self.scale
        margin = self._theme.px(MARGIN)
        return QRectF(max(margin, (self.width() - width) / 2), margin, width, height)

    # ------------------------------------------------------------ selection

    @property
    def selected_text(self) -> str:
        """What is selected."""
        return self.page.text[slice(*self._span)] if self.page else ""

    def select(self, start: int, end: int) -> None:
        """Select ``page.text[start:end]``."""
        self._span = (min(start, end), max(start, end))
        self._selected = self._boxes(self._span)
        self.update()
        self.selection_changed.emit()

    def copy(self) -> None:
        """Put what is selected on the clipboard."""
        if self.selected_text:
            put_on_clipboard(self.selected_text)

    def character_at(self, point: QPointF) -> int | None:
        """The character nearest to ``point``; None on a page whose text has no places."""
        import numpy as np  # noqa: PLC0415 - as above

        places, paper = self._places, self.paper
        if places is None or not len(places) or paper.isEmpty():
            return None
        x = (point.x() - paper.left()) / paper.width() * BOX_SCALE
        y = (point.y() - paper.top()) / paper.height() * BOX_SCALE
        away_x = np.maximum(np.maximum(places[:, 0] - x, x - places[:, 2]), 0)
        away_y = np.maximum(np.maximum(places[:, 1] - y, y - places[:, 3]), 0)
        # A line is left by moving up or down, not by running past its end.
        away = away_x + 8 * away_y + np.where(places.any(axis=1), 0, 1 << 28)
        nearest = int(away.argmin())
        return nearest if away[nearest] < 1 << 28 else None

    # ------------------------------------------------------------ Qt

    def sizeHint(self) -> QSize:
        """The page and the margins."""
        if self.page is None:
            return QSize(200, 200)
        margin = 2 * self._theme.px(MARGIN)
        width, height = self.page.width * self.scale, self.page.height * self.scale
        return QSize(round(width) + margin, round(height) + margin)

    def minimumSizeHint(self) -> QSize:
        """It scrolls rather than being cut."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paper, picture, marks, selection."""
        if self.page is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(event.rect(), self._theme.color("side"))
        paper = self.paper
        painter.fillRect(paper, QColor("#FFFFFF"))
        if self.image is not None:
            painter.drawImage(paper, self.image)
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_Multiply)
        for box in (*self._hits, *self._marks):
            painter.fillRect(self._rect(box), QColor(LIGHT.mark))
        painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_SourceOver)
        chosen = QColor(LIGHT.accent)
        chosen.setAlpha(70)
        for box in self._selected:
            painter.fillRect(self._rect(box), chosen)
        painter.setPen(QPen(QColor(LIGHT.accent), max(1.5, self._theme.px(1.5))))
        for box in self._current:
            painter.drawRect(self._rect(box).adjusted(-1, -1, 1, 1))
        painter.setPen(QPen(self._theme.color("accent" if self._keyboard_here() else "line"), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(paper.adjusted(-0.5, -0.5, 0.5, 0.5))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to select."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            self._anchor = self.character_at(event.position())
            self.select(0, 0)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Select up to here."""
        if self._anchor is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        at = self.character_at(event.position())
        if at is not None:
            self.select(min(self._anchor, at), max(self._anchor, at) + 1)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """What is selected stays."""
        self._anchor = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Select a word."""
        at = self.character_at(event.position())
        if at is None or self.page is None:
            return
        text, start, end = self.page.text, at, at
        while start > 0 and text[start - 1].isalnum():
            start -= 1
        while end < len(text) and text[end].isalnum():
            end += 1
        self.select(start, end)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Copy, select all, select nothing."""
        control = event.modifiers() & Qt.KeyboardModifier.ControlModifier
        if control and event.key() == Qt.Key.Key_C:
            self.copy()
        elif control and event.key() == Qt.Key.Key_A and self.page is not None:
            self.select(0, len(self.page.text))
        elif event.key() == Qt.Key.Key_Escape and self.selected_text:
            self.select(0, 0)
        else:
            super().keyPressEvent(event)

    def _keyboard_here(self) -> bool:
        return self.hasFocus()

    def _resize(self) -> None:
        self.updateGeometry()
        self.update()

    def _boxes(self, span: Span) -> list[Box]:
        start, end = span
        if self.page is None or not self.page.boxes or end <= start:
            return []
        return list(boxes_of(self.page, start, end))

    def _boxes_of_many(self, spans: list[Span]) -> list[Box]:
        """The same for all of ``spans``, which do not overlap: thousands on a page take no time."""
        import numpy as np  # noqa: PLC0415 - as above

        places = self._places
        if places is None or not len(places) or not spans:
            return []
        edges = np.array(spans).ravel()
        # A last row, so that a span may end with the page.
        padded = np.vstack([places, places[-1:]])
        low = np.minimum.reduceat(padded[:, :2], edges)[::2]
        high = np.maximum.reduceat(padded[:, 2:], edges)[::2]
        lines = places[edges[::2], 3] - places[edges[::2], 1]
        boxes = []
        for span, (left, top), (right, bottom), line in zip(spans, low, high, lines, strict=True):
            # What has characters without a place, or runs over a line's end, is looked at closely.
            if left and top and bottom - top < 1.5 * line:
                boxes.append(Box(left / BOX_SCALE, top / BOX_SCALE, right / BOX_SCALE, bottom / BOX_SCALE))
            else:
                boxes += self._boxes(span)
        return boxes

    def _rect(self, box: Box) -> QRectF:
        paper = self.paper
        top_left = QPointF(paper.left() + box.left * paper.width(), paper.top() + box.top * paper.height())
        bottom_right = QPointF(
            paper.left() + box.right * paper.width(), paper.top() + box.bottom * paper.height()
        )
        lift = (bottom_right.y() - top_left.y()) * 0.08
        return QRectF(top_left, bottom_right).adjusted(-1, -lift, 1, lift)

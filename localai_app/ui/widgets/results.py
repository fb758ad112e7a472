"""Lists of what a search found: rows that are drawn, found words marked, Enter opens."""

from collections.abc import Sequence

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPointF, QRect, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QTextLayout, QTextOption
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.drawn_list import DrawnList, draw_ground
from localai_app.ui.widgets.spans import Units

RESULT = Qt.ItemDataRole.UserRole + 1


class ResultsView(DrawnList):
    """A list whose model gives each row's value as `RESULT`."""

    opened = Signal(object)
    """The person chose the row of this value."""

    def __init__(
        self, theme: Theme, name: str, model: QAbstractListModel, delegate: QStyledItemDelegate
    ) -> None:
        super().__init__(theme, name, model)
        delegate.setParent(self)
        self.setItemDelegate(delegate)
        self.setUniformItemSizes(True)
        self.clicked.connect(self._open)

    def open_first(self) -> None:
        """Choose the current row, or the best."""
        index = self.currentIndex() if self.currentIndex().isValid() else self.model().index(0, 0)
        if index.isValid():
            self._open(index)

    def _open(self, index: QModelIndex) -> None:
        self.setCurrentIndex(index)
        self.opened.emit(index.data(RESULT))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.open_first()
        else:
            super().keyPressEvent(event)


def draw_row(painter: QPainter, theme: Theme, option: QStyleOptionViewItem) -> QRect:
    """Draw the ground of a row; the room for what stands on it."""
    px = theme.px
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    rect = option.rect.adjusted(0, px(1), -px(2), -px(2))
    draw_ground(painter, theme, rect, option)
    return rect.adjusted(px(10), px(8), -px(10), -px(6))


def draw_marked(  # noqa: PLR0917 - as a painter's calls are
    painter: QPainter,
    theme: Theme,
    text: str,
    marks: Sequence[tuple[int, int]],
    at: QPointF,
    width: int,
    *,
    lines: int,
) -> None:
    """Draw at most ``lines`` lines of ``text`` with the spans ``marks`` of its characters marked."""
    units = Units(text)
    layout = QTextLayout(text, theme.font(12.5))
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    layout.setTextOption(option)
    ranges = []
    for first, last in marks:
        part = QTextLayout.FormatRange()
        part.start, part.length = units.of(first), units.of(last) - units.of(first)
        part.format.setBackground(theme.color("mark"))
        part.format.setForeground(theme.color("text"))
        ranges.append(part)
    layout.setFormats(ranges)
    layout.beginLayout()
    height = 0.0
    for _ in range(lines):
        line = layout.createLine()
        if not line.isValid():
            break
        line.setLineWidth(width)
        line.setPosition(QPointF(0, height))
        height += line.height()
    layout.endLayout()
    painter.setPen(theme.color("dim"))
    layout.draw(painter, at)

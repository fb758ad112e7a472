"""Passages that a search found: where, and the words in their sentence."""

import re
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QPointF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QPainter, QTextLayout, QTextOption
from PySide6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from localai_app.documents.document import Passage
from localai_app.ui.documents.spans import Units
from localai_app.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
PASSAGE = Qt.ItemDataRole.UserRole + 1
SHOWN = 170
"""Characters of a passage that a row shows."""


def excerpt(passage: Passage, query: str) -> tuple[str, list[tuple[int, int]]]:
    """A stretch of the passage around the query's first word, and where the words stand in it."""
    text = " ".join(passage.text.split())
    found = [each for word in query.split() if len(word) > 1 for each in _places(text, word)]
    start = max(0, min(found)[0] - 40) if found else 0
    if start:
        start = text.find(" ", start) + 1
    cut = text[start : start + SHOWN]
    marks = [
        (first - start, last - start) for first, last in found if start <= first and last <= start + SHOWN
    ]
    if start:
        cut, marks = "…" + cut, [(first + 1, last + 1) for first, last in marks]
    return cut, sorted(marks)


def _places(text: str, word: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(re.escape(word), text, re.IGNORECASE)]


class PassagesModel(QAbstractListModel):
    """Passages, best first."""

    def __init__(self) -> None:
        super().__init__()
        self.passages: Sequence[Passage] = ()
        self.query = ""

    def show(self, passages: Sequence[Passage], query: str) -> None:
        """Show what ``query`` found."""
        self.beginResetModel()
        self.passages, self.query = passages, query
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of passages."""
        return 0 if parent.isValid() else len(self.passages)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The passage, and its words for screen readers."""
        if not index.isValid():
            return None
        passage = self.passages[index.row()]
        if role == PASSAGE:
            return passage
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{passage.document_name}, {passage.place}: {excerpt(passage, self.query)[0]}"
        return None


class PassageDelegate(QStyledItemDelegate):
    """Document and page in one line, the passage in three."""

    def __init__(self, theme: Theme, model: PassagesModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._model = theme, model

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Four lines and air."""
        return QSize(80, self._theme.px(98))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one passage."""
        px, theme = self._theme.px, self._theme
        passage: Passage = index.data(PASSAGE)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = option.rect.adjusted(0, px(1), -px(2), -px(2))
        states = QStyle.StateFlag.State_Selected, QStyle.StateFlag.State_MouseOver
        for state, token in zip(states, ("soft", "hover"), strict=True):
            if option.state & state:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(theme.color(token))
                painter.drawRoundedRect(rect, px(8), px(8))
                break
        inner = rect.adjusted(px(10), px(8), -px(10), -px(6))
        painter.setFont(theme.font(12.5))
        painter.setPen(theme.color("dim"))
        metrics = painter.fontMetrics()
        painter.drawText(inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignRight, passage.place)
        room = inner.width() - metrics.horizontalAdvance(passage.place) - px(8)
        painter.setFont(theme.font(weight=QFont.Weight.DemiBold))
        painter.setPen(theme.color("text"))
        metrics = painter.fontMetrics()
        title = metrics.elidedText(passage.document_name, Qt.TextElideMode.ElideMiddle, room)
        painter.drawText(inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, title)
        below = QPointF(inner.left(), inner.top() + metrics.height() + px(2))
        self._paint_excerpt(painter, passage, below, inner.width())
        painter.restore()

    def _paint_excerpt(self, painter: QPainter, passage: Passage, at: QPointF, width: int) -> None:
        text, marks = excerpt(passage, self._model.query)
        units = Units(text)
        layout = QTextLayout(text, self._theme.font(12.5))
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        ranges = []
        for first, last in marks:
            part = QTextLayout.FormatRange()
            part.start, part.length = units.of(first), units.of(last) - units.of(first)
            part.format.setBackground(self._theme.color("mark"))
            part.format.setForeground(self._theme.color("text"))
            ranges.append(part)
        layout.setFormats(ranges)
        layout.beginLayout()
        height = 0.0
        for _ in range(3):
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(width)
            line.setPosition(QPointF(0, height))
            height += line.height()
        layout.endLayout()
        painter.setPen(self._theme.color("dim"))
        layout.draw(painter, at)


class PassageList(QListView):
    """The list of passages."""

    opened = Signal(object)
    """The person chose this `Passage`."""

    def __init__(self, theme: Theme, model: PassagesModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(PassageDelegate(theme, model, self))
        self.setAccessibleName(self.tr("Passages found"))
        self.setMouseTracking(True)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.clicked.connect(self._open)
        theme.changed.connect(self.scheduleDelayedItemsLayout)

    def open_first(self) -> None:
        """Choose the current passage, or the best."""
        index = self.currentIndex() if self.currentIndex().isValid() else self.model().index(0, 0)
        if index.isValid():
            self._open(index)

    def _open(self, index: QModelIndex) -> None:
        self.setCurrentIndex(index)
        self.opened.emit(index.data(PASSAGE))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.open_first()
        else:
            super().keyPressEvent(event)

"""Passages that a search found: where, and the words in their sentence."""

import re
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QPointF, QSize, Qt
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from localai_app.documents.document import Passage
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.results import RESULT, draw_marked, draw_row

Index = QModelIndex | QPersistentModelIndex
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
        if role == RESULT:
            return passage
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{passage.document_name}, {passage.place}: {excerpt(passage, self.query)[0]}"
        return None


class PassageDelegate(QStyledItemDelegate):
    """Document and page in one line, the passage in three."""

    def __init__(self, theme: Theme, model: PassagesModel) -> None:
        super().__init__()
        self._theme, self._model = theme, model

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Four lines and air."""
        return QSize(80, self._theme.px(98))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one passage."""
        px, theme = self._theme.px, self._theme
        passage: Passage = index.data(RESULT)
        painter.save()
        inner = draw_row(painter, theme, option)
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
        draw_marked(painter, theme, *excerpt(passage, self._model.query), below, inner.width(), lines=3)
        painter.restore()

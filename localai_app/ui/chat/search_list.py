"""Search results: title, and the found words in their sentence."""

from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QPointF, QSize, Qt
from PySide6.QtGui import QFont, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from localai_app.chat.conversation import SearchHit
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.results import RESULT, draw_marked, draw_row

Index = QModelIndex | QPersistentModelIndex


class SearchModel(QAbstractListModel):
    """Hits, best first."""

    def __init__(self) -> None:
        super().__init__()
        self.hits: list[SearchHit] = []

    def set_hits(self, hits: list[SearchHit]) -> None:
        """Show other hits."""
        self.beginResetModel()
        self.hits = hits
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of hits."""
        return 0 if parent.isValid() else len(self.hits)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The hit, and its words for screen readers."""
        if not index.isValid():
            return None
        hit = self.hits[index.row()]
        if role == RESULT:
            return hit
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{hit.conversation_title}: {plain_snippet(hit)}"
        return None


class SearchDelegate(QStyledItemDelegate):
    """Title in one line, snippet in two, found words marked."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Three lines and air."""
        return QSize(80, self._theme.px(76))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one hit."""
        px, theme = self._theme.px, self._theme
        hit: SearchHit = index.data(RESULT)
        painter.save()
        inner = draw_row(painter, theme, option)
        painter.setFont(theme.font(weight=QFont.Weight.DemiBold))
        painter.setPen(theme.color("text"))
        metrics = painter.fontMetrics()
        title = metrics.elidedText(hit.conversation_title, Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, title)
        below = QPointF(inner.left(), inner.top() + metrics.height() + px(2))
        draw_marked(painter, theme, *_marked(hit), below, inner.width(), lines=2)
        painter.restore()


def _marked(hit: SearchHit) -> tuple[str, list[tuple[int, int]]]:
    """The snippet, and the spans of the found words in it."""
    text, marks, start = "", [], 0
    for character in " ".join(hit.snippet.split()):
        if character == "\x02":
            start = len(text)
        elif character == "\x03":
            marks.append((start, len(text)))
        else:
            text += character
    return text, marks


def plain_snippet(hit: SearchHit) -> str:
    """The snippet without its marks."""
    return hit.snippet.replace("\x02", "").replace("\x03", "")


def found_words(hit: SearchHit) -> list[str]:
    """The words that the snippet marks."""
    return list(dict.fromkeys(part.split("\x03")[0] for part in hit.snippet.split("\x02")[1:]))

"""Search results: title, and the found words in their sentence."""

from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QPointF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QPainter, QTextLayout, QTextOption
from PySide6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from localai_app.chat.conversation import SearchHit
from localai_app.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
HIT = Qt.ItemDataRole.UserRole + 1


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
        if role == HIT:
            return hit
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{hit.conversation_title}: {plain_snippet(hit)}"
        return None


class SearchDelegate(QStyledItemDelegate):
    """Title in one line, snippet in two, found words marked."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Three lines and air."""
        return QSize(80, self._theme.px(76))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one hit."""
        px, theme = self._theme.px, self._theme
        hit: SearchHit = index.data(HIT)
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
        painter.setFont(theme.font(weight=QFont.Weight.DemiBold))
        painter.setPen(theme.color("text"))
        metrics = painter.fontMetrics()
        title = metrics.elidedText(hit.conversation_title, Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft, title)
        self._paint_snippet(
            painter, hit, QPointF(inner.left(), inner.top() + metrics.height() + px(2)), inner.width()
        )
        painter.restore()

    def _paint_snippet(self, painter: QPainter, hit: SearchHit, at: QPointF, width: int) -> None:
        text, ranges = self._marked(hit)
        font = self._theme.font(12.5)
        layout = QTextLayout(text, font)
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        layout.setFormats(ranges)
        layout.beginLayout()
        height = 0.0
        for _ in range(2):
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(width)
            line.setPosition(QPointF(0, height))
            height += line.height()
        layout.endLayout()
        painter.setPen(self._theme.color("dim"))
        layout.draw(painter, at)

    def _marked(self, hit: SearchHit) -> tuple[str, list[QTextLayout.FormatRange]]:
        text, ranges, start = "", [], 0
        for character in " ".join(hit.snippet.split()):
            if character == "\x02":
                start = len(text)
            elif character == "\x03":
                part = QTextLayout.FormatRange()
                part.start, part.length = start, len(text) - start
                part.format.setBackground(self._theme.color("mark"))
                part.format.setForeground(self._theme.color("text"))
                ranges.append(part)
            else:
                text += character
        return text, ranges


class SearchView(QListView):
    """The list of hits."""

    opened = Signal(object)
    """The person chose this `SearchHit`."""

    def __init__(self, theme: Theme, model: SearchModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setItemDelegate(SearchDelegate(theme, self))
        self.setAccessibleName(self.tr("Search results"))
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.clicked.connect(self._open)
        theme.changed.connect(self.scheduleDelayedItemsLayout)

    def open_first(self) -> None:
        """Choose the current hit, or the best."""
        index = self.currentIndex() if self.currentIndex().isValid() else self.model().index(0, 0)
        if index.isValid():
            self._open(index)

    def _open(self, index: QModelIndex) -> None:
        self.setCurrentIndex(index)
        self.opened.emit(index.data(HIT))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.open_first()
        else:
            super().keyPressEvent(event)


def plain_snippet(hit: SearchHit) -> str:
    """The snippet without its marks."""
    return hit.snippet.replace("\x02", "").replace("\x03", "")


def found_words(hit: SearchHit) -> list[str]:
    """The words that the snippet marks."""
    return list(dict.fromkeys(part.split("\x03")[0] for part in hit.snippet.split("\x02")[1:]))

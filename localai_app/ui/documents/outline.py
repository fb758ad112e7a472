"""A document's own table of contents."""

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QListView

from localai_app.documents.document import OutlineItem
from localai_app.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex


class OutlineModel(QAbstractListModel):
    """The entries, deeper ones moved in."""

    def __init__(self) -> None:
        super().__init__()
        self.items: Sequence[OutlineItem] = ()
        self.row_height = 0

    def show(self, items: Sequence[OutlineItem]) -> None:
        """Show other entries."""
        self.beginResetModel()
        self.items = items
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of entries."""
        return 0 if parent.isValid() else len(self.items)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The title, moved in by its level."""
        if not index.isValid():
            return None
        item = self.items[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return "    " * (max(1, item.level) - 1) + item.title
        if role in (Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.ToolTipRole):
            return item.title
        if role == Qt.ItemDataRole.SizeHintRole:
            return QSize(0, self.row_height)
        return None


class OutlineList(QListView):
    """Turns to the page of an entry."""

    chosen = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._items = OutlineModel()
        self.setModel(self._items)
        self.setAccessibleName(self.tr("Table of contents"))
        self.setUniformItemSizes(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.clicked.connect(self._choose)
        theme.changed.connect(self._fit)
        self._fit()

    def show_items(self, items: Sequence[OutlineItem]) -> None:
        """Show another document's."""
        self._items.show(items)

    def _choose(self, index: QModelIndex) -> None:
        page = self._items.items[index.row()].page
        if page:
            self.chosen.emit(page)

    def _fit(self) -> None:
        px = self._theme.px
        self.setMinimumWidth(px(160))
        self.setViewportMargins(px(12), px(8), px(4), px(8))
        self._items.row_height = px(28)
        self.scheduleDelayedItemsLayout()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter turns to the page."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.currentIndex().isValid():
            self._choose(self.currentIndex())
        else:
            super().keyPressEvent(event)

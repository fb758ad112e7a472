"""The lists of collections and documents: models over values, rows drawn by one delegate."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QContextMenuEvent, QFont, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QWidget,
)

from localai_app.documents.document import Collection, Document
from localai_app.ui.documents import words
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.drawn_list import DrawnList, draw_ground

Index = QModelIndex | QPersistentModelIndex
ROW_HEIGHT = 36
MANY = 200
"""Rows from which one signal tells of all changes."""


@dataclass(frozen=True)
class Look:
    """How a row is drawn."""

    text: str
    right: str = ""
    tone: str = "dim"
    icon: str = ""


class RowRole(IntEnum):
    """Extra data of a row."""

    LOOK = Qt.ItemDataRole.UserRole + 1
    KEY = Qt.ItemDataRole.UserRole + 2


class CollectionsModel(QAbstractListModel):
    """“All documents”, whose key is None, then the collections."""

    rename_requested = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self.collections: Sequence[Collection] = ()
        self.total = 0

    def show(self, collections: Sequence[Collection], total: int) -> bool:
        """Show other rows, or other counts; True when rows came or went."""
        same = [each.id for each in collections] == [each.id for each in self.collections]
        if same:
            self.collections, self.total = collections, total
            self.dataChanged.emit(self.index(0), self.index(len(collections)))
            return False
        self.beginResetModel()
        self.collections, self.total = collections, total
        self.endResetModel()
        return True

    def row_of(self, collection_id: int | None) -> int:
        """Where a collection stands; “All documents” for one that is gone."""
        return next((row for row, each in enumerate(self.collections, 1) if each.id == collection_id), 0)

    def collection(self, collection_id: int | None) -> Collection | None:
        """The collection of that id."""
        return next((each for each in self.collections if each.id == collection_id), None)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of rows."""
        return 0 if parent.isValid() else len(self.collections) + 1

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Collections can be renamed where they stand."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.row() > 0 else flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name and count."""
        if not index.isValid():
            return None
        each = self.collections[index.row() - 1] if index.row() else None
        name = each.name if each else words.tr("All documents")
        amount = each.documents if each else self.total
        match role:
            case Qt.ItemDataRole.DisplayRole | Qt.ItemDataRole.EditRole:
                return name
            case Qt.ItemDataRole.AccessibleTextRole | Qt.ItemDataRole.ToolTipRole:
                return f"{name}, {words.documents(amount)}"
            case RowRole.LOOK:
                return Look(name, words.number(amount))
            case RowRole.KEY:
                return each.id if each else None
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask for a rename; the row changes when the service has done it."""
        name = " ".join(str(value).split())
        if role != Qt.ItemDataRole.EditRole or not index.row() or not name:
            return False
        each = self.collections[index.row() - 1]
        if name != each.name:
            self.rename_requested.emit(each.id, name)
        return True


class DocumentsModel(QAbstractListModel):
    """Documents by name. What a row says is made when it is drawn, so thousands cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: Sequence[Document] = ()

    def show(self, documents: Sequence[Document], changed: Sequence[int] | None) -> bool:
        """Show ``documents``; ``changed`` as `differences` found them. True when rows came or went."""
        if changed is None or len(documents) != len(self.documents):
            self.beginResetModel()
            self.documents = documents
            self.endResetModel()
            return True
        self.documents = documents
        if len(changed) > MANY:
            self.dataChanged.emit(self.index(changed[0]), self.index(changed[-1]))
        else:
            for row in changed:
                self.dataChanged.emit(self.index(row), self.index(row))
        return False

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of documents."""
        return 0 if parent.isValid() else len(self.documents)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Name, state, and a sentence on the document."""
        if not index.isValid():
            return None
        document = self.documents[index.row()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return document.name
            case Qt.ItemDataRole.AccessibleTextRole | Qt.ItemDataRole.ToolTipRole:
                return words.details(document)
            case RowRole.LOOK:
                return Look(document.name, *words.state(document), words.icon(document))
            case RowRole.KEY:
                return document.id
        return None


def differences(old: Sequence[Document], new: Sequence[Document]) -> list[int] | None:
    """Rows that say something else; None where rows came or went. For a pool thread."""
    if [each.id for each in old] != [each.id for each in new]:
        return None
    return [row for row, (before, after) in enumerate(zip(old, new, strict=True)) if before != after]


class RowDelegate(QStyledItemDelegate):
    """One line: icon, name, and a word or a number at the right."""

    def __init__(self, theme: Theme, view: QWidget) -> None:
        super().__init__(view)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """One line and air."""
        return QSize(80, self._theme.px(ROW_HEIGHT))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        px, theme = self._theme.px, self._theme
        look: Look = index.data(RowRole.LOOK)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = option.rect.adjusted(0, px(1), -px(2), -px(2))
        selected = draw_ground(painter, theme, rect, option)
        inner = rect.adjusted(px(10), 0, -px(10), 0)
        if look.icon:
            side = px(16)
            theme.icon(look.icon).paint(painter, inner.left(), inner.center().y() - side // 2, side, side)
            inner.adjust(px(22), 0, 0, 0)
        if look.right:
            painter.setFont(theme.font(12.5))
            painter.setPen(theme.color(look.tone))
            painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, look.right)
            inner.adjust(0, 0, -painter.fontMetrics().horizontalAdvance(look.right) - px(8), 0)
        painter.setFont(theme.font(weight=QFont.Weight.DemiBold if selected else QFont.Weight.Normal))
        painter.setPen(theme.color("text"))
        text = painter.fontMetrics().elidedText(look.text, Qt.TextElideMode.ElideMiddle, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)
        painter.restore()

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        """A field over the name."""
        editor = QLineEdit(parent)
        editor.setProperty("look", "inline")
        editor.setAccessibleName(self.tr("Name of the collection"))
        editor.setMaxLength(120)
        return editor

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        """In the row's own ground."""
        px = self._theme.px
        editor.setGeometry(QRect(option.rect).adjusted(0, px(1), -px(2), -px(2)))

    def helpEvent(self, event: Any, view: Any, option: QStyleOptionViewItem, index: Index) -> bool:
        """The whole sentence."""
        if event.type() == QEvent.Type.ToolTip:
            text = index.data(Qt.ItemDataRole.ToolTipRole) if index.isValid() else ""
            QToolTip.showText(event.globalPos(), text, view)
            return True
        return super().helpEvent(event, view, option, index)


class RowList(DrawnList):
    """A list that a mouse and a keyboard work the same."""

    opened = Signal(object)
    """The key of the row that was clicked, or on which Enter was pressed."""
    delete_requested = Signal(list)
    """The keys of the rows that are selected."""

    def __init__(
        self,
        theme: Theme,
        model: QAbstractListModel,
        name: str,
        menu: Callable[[list[Any]], QMenu | None],
        *,
        many: bool = False,
    ) -> None:
        super().__init__(theme, name, model)
        self._menu = menu
        self.setItemDelegate(RowDelegate(theme, self))
        self.setUniformItemSizes(True)
        self.setEditTriggers(QListView.EditTrigger.EditKeyPressed)
        modes = QListView.SelectionMode
        self.setSelectionMode(modes.ExtendedSelection if many else modes.SingleSelection)
        self.verticalScrollBar().setSingleStep(theme.px(24))
        self.clicked.connect(self._open)

    @property
    def keys(self) -> list[Any]:
        """Keys of the selected rows, from the top."""
        rows = sorted(self.selectionModel().selectedIndexes(), key=lambda index: index.row())
        return [index.data(RowRole.KEY) for index in rows]

    def choose(self, keys: Iterable[Any], current: Any = None) -> None:
        """Select the rows of ``keys``; ``current`` has the keyboard."""
        wanted = set(keys)
        model, selection = self.model(), QItemSelection()
        for row in range(model.rowCount()) if wanted else ():
            index = model.index(row, 0)
            key = index.data(RowRole.KEY)
            if key in wanted:
                selection.select(index, index)
                if key == current:
                    self.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
        self.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def _open(self, index: QModelIndex) -> None:
        # Ctrl and Shift choose several; they open none.
        if index.isValid() and len(self.selectionModel().selectedIndexes()) == 1:
            self.opened.emit(index.data(RowRole.KEY))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens, Delete removes."""
        index = self.currentIndex()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and index.isValid():
            self.opened.emit(index.data(RowRole.KEY))
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self.keys:
            self.delete_requested.emit(self.keys)
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """What can be done with the selected rows."""
        mouse = event.reason() == QContextMenuEvent.Reason.Mouse
        index = self.indexAt(event.pos()) if mouse else self.currentIndex()
        if not index.isValid():
            return
        key = index.data(RowRole.KEY)
        keys = self.keys if key in self.keys else [key]
        menu = self._menu(keys)
        if menu is not None:
            menu.exec(event.globalPos() if mouse else self.mapToGlobal(self.visualRect(index).bottomLeft()))
            menu.deleteLater()

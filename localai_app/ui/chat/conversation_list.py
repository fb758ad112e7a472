"""The list of conversations: a model that fetches in pages, and how its rows are drawn and renamed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QCoreApplication,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QAction, QContextMenuEvent, QFont, QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QWidget,
)

from localai_app.chat.conversation import Conversation
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.drawn_list import DrawnList, draw_ground

PAGE = 200

Index = QModelIndex | QPersistentModelIndex


class ListRole(IntEnum):
    """Extra data of a row."""

    CONVERSATION = Qt.ItemDataRole.UserRole + 1
    GROUP = Qt.ItemDataRole.UserRole + 2
    """Heading above the row; empty when it stands under the row before it."""
    BUSY = Qt.ItemDataRole.UserRole + 3


class ConversationModel(QAbstractListModel):
    """Conversations, the latest change first. Pages are asked for and come when they come."""

    page_wanted = Signal(int)
    """More rows are needed, from this offset."""
    rename_requested = Signal(int, str)

    def __init__(self, *, grouped: bool = True) -> None:
        super().__init__()
        self._rows: list[Conversation] = []
        self._grouped = grouped
        self._complete = False
        self._waiting = True  # nothing is fetched before `reset`
        self._busy: set[int] = set()

    def reset(self) -> None:
        """Forget all rows and ask for the first page."""
        self.beginResetModel()
        self._rows.clear()
        self._complete = False
        self._waiting = True
        self.endResetModel()
        self.page_wanted.emit(0)

    def add_page(self, conversations: list[Conversation]) -> None:
        """Take the page that was asked for."""
        self._waiting = False
        self._complete = len(conversations) < PAGE
        known = {row.id for row in self._rows}
        new = [conversation for conversation in conversations if conversation.id not in known]
        if new:
            self.beginInsertRows(QModelIndex(), len(self._rows), len(self._rows) + len(new) - 1)
            self._rows.extend(new)
            self.endInsertRows()

    def put(self, conversation: Conversation) -> None:
        """Show a new or changed conversation where its last change belongs."""
        row = self.row_of(conversation.id)
        target = sum(
            1 for other in self._rows if other.id != conversation.id and other.updated > conversation.updated
        )
        if row is None:
            self.beginInsertRows(QModelIndex(), target, target)
            self._rows.insert(target, conversation)
            self.endInsertRows()
        else:
            if row != target:
                self.beginMoveRows(QModelIndex(), row, row, QModelIndex(), target + (target > row))
                del self._rows[row]
                self._rows.insert(target, conversation)
                self.endMoveRows()
            else:
                self._rows[row] = conversation
            self.dataChanged.emit(self.index(target), self.index(target))
        if self._grouped and row != target:
            # Headings are part of rows: rows around the move may have won or lost theirs.
            self.layoutChanged.emit()

    def remove(self, conversation_id: int) -> None:
        """Take a conversation off the list."""
        row = self.row_of(conversation_id)
        if row is not None:
            self.beginRemoveRows(QModelIndex(), row, row)
            del self._rows[row]
            self.endRemoveRows()
            if self._grouped:
                self.layoutChanged.emit()

    def set_busy(self, conversation_id: int, busy: bool) -> None:
        """Mark a conversation whose answer is being written."""
        (self._busy.add if busy else self._busy.discard)(conversation_id)
        row = self.row_of(conversation_id)
        if row is not None:
            self.dataChanged.emit(self.index(row), self.index(row))

    def row_of(self, conversation_id: int) -> int | None:
        """Row of a conversation that is listed."""
        return next((row for row, each in enumerate(self._rows) if each.id == conversation_id), None)

    def conversation_at(self, index: Index) -> Conversation | None:
        """The conversation in a row."""
        return self._rows[index.row()] if index.isValid() else None

    def group(self, row: int) -> str:
        """Heading that belongs above ``row``; empty when the row before has it."""
        if not self._grouped:
            return ""
        heading = _heading(self._rows[row].updated)
        return "" if row and _heading(self._rows[row - 1].updated) == heading else heading

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Rows that are here so far."""
        return 0 if parent.isValid() else len(self._rows)

    def canFetchMore(self, parent: Index) -> bool:
        """True until the last page has come."""
        return not parent.isValid() and not self._complete and not self._waiting

    def fetchMore(self, parent: Index) -> None:
        """Ask for the next page."""
        self._waiting = True
        self.page_wanted.emit(len(self._rows))

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Rows can be renamed where they stand."""
        return super().flags(index) | Qt.ItemFlag.ItemIsEditable

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Title, tooltip, conversation, heading."""
        if not index.isValid():
            return None
        conversation = self._rows[index.row()]
        if role in (
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.EditRole,
            Qt.ItemDataRole.AccessibleTextRole,
        ):
            return shown_title(conversation)
        if role == ListRole.CONVERSATION:
            return conversation
        if role == ListRole.GROUP:
            return self.group(index.row())
        if role == ListRole.BUSY:
            return conversation.id in self._busy
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask for a rename; the row changes when the service has done it."""
        title = " ".join(str(value).split())
        if role != Qt.ItemDataRole.EditRole or not index.isValid() or not title:
            return False
        conversation = self._rows[index.row()]
        if title != conversation.title:
            self.rename_requested.emit(conversation.id, title)
        return True


class ConversationDelegate(QStyledItemDelegate):
    """Draws a row: an optional heading, then the title on a soft ground when it is the current one."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def heading_height(self, index: Index) -> int:
        """Pixels that the heading above the row takes; 0 without one."""
        if not index.data(ListRole.GROUP):
            return 0
        return self._theme.px(24 if index.row() == 0 else 36)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """One line of title, and the heading."""
        return QSize(80, self._theme.px(36) + self.heading_height(index))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        px, theme = self._theme.px, self._theme
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        heading = self.heading_height(index)
        if heading:
            area = option.rect.adjusted(px(4), 0, 0, 0)
            area.setHeight(heading - px(6))
            painter.setFont(theme.font(11.5, weight=QFont.Weight.DemiBold))
            painter.setPen(theme.color("dim"))
            text = str(index.data(ListRole.GROUP)).upper()
            painter.drawText(area, Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft, text)
        self._paint_row(painter, option, self.row_rect(option.rect, heading), index)
        painter.restore()

    def row_rect(self, rect: QRect, heading: int) -> QRect:
        """The title's own area within the row's rectangle."""
        return rect.adjusted(0, heading + self._theme.px(1), -self._theme.px(2), -self._theme.px(2))

    def _paint_row(self, painter: QPainter, option: QStyleOptionViewItem, rect: QRect, index: Index) -> None:
        px, theme = self._theme.px, self._theme
        selected = draw_ground(painter, theme, rect, option)
        font = theme.font(weight=QFont.Weight.DemiBold if selected else QFont.Weight.Normal)
        painter.setFont(font)
        painter.setPen(theme.color("text"))
        inner = rect.adjusted(px(10), 0, -px(10), 0)
        if index.data(ListRole.BUSY):
            painter.setBrush(theme.color("accent"))
            dot = px(6)
            painter.save()
            painter.setPen(Qt.PenStyle.NoPen)
            painter.drawEllipse(QRect(inner.right() - dot, inner.center().y() - dot // 2, dot, dot))
            painter.restore()
            inner.adjust(0, 0, -px(14), 0)
        metrics = painter.fontMetrics()
        text = metrics.elidedText(str(index.data()), Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        """A field over the title."""
        editor = QLineEdit(parent)
        editor.setProperty("look", "inline")
        editor.setAccessibleName(self.tr("Title"))
        editor.setMaxLength(200)
        return editor

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        """Under the heading, not over it."""
        editor.setGeometry(self.row_rect(option.rect, self.heading_height(index)))

    def helpEvent(self, event: Any, view: Any, option: QStyleOptionViewItem, index: Index) -> bool:
        """Show the whole title where it was cut."""
        if event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), str(index.data()) if index.isValid() else "", view)
            return True
        return super().helpEvent(event, view, option, index)


class ConversationView(DrawnList):
    """The list itself."""

    opened = Signal(int)
    """The person chose this conversation."""
    trash_requested = Signal(int)

    def __init__(self, theme: Theme, model: ConversationModel, menu: Callable[[Conversation], QMenu]) -> None:
        super().__init__(theme, QCoreApplication.translate("Sidebar", "Conversations"), model)
        self._menu = menu
        self._conversations = model
        self._delegate = ConversationDelegate(theme, self)
        self.setItemDelegate(self._delegate)
        self.setEditTriggers(QListView.EditTrigger.EditKeyPressed)
        self.setSelectionMode(QListView.SelectionMode.SingleSelection)
        self.verticalScrollBar().setSingleStep(theme.px(24))
        self.clicked.connect(self._open)
        self.activated.connect(self._open)

    def show_current(self, conversation_id: int | None) -> None:
        """Mark a conversation as the one that is shown; None marks none."""
        row = None if conversation_id is None else self._conversations.row_of(conversation_id)
        if row is None:
            self.clearSelection()
            self.setCurrentIndex(QModelIndex())
        elif self.currentIndex().row() != row or not self.selectionModel().isSelected(self.currentIndex()):
            self.setCurrentIndex(self._conversations.index(row))

    def rename_current(self, conversation_id: int) -> None:
        """Edit a title in place."""
        row = self._conversations.row_of(conversation_id)
        if row is not None:
            self.edit(self._conversations.index(row))

    def _open(self, index: QModelIndex) -> None:
        conversation = self._conversations.conversation_at(index)
        if conversation is not None:
            self.opened.emit(conversation.id)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A heading is no part of the conversation under it."""
        self.keyboard_focus = False
        index = self.indexAt(event.position().toPoint())
        if index.isValid():
            top = self.visualRect(index).top() + self._delegate.heading_height(index)
            if event.position().y() < top:
                return
        super().mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens, Delete puts in the trash."""
        conversation = self._conversations.conversation_at(self.currentIndex())
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and conversation is not None:
            self.opened.emit(conversation.id)
        elif event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and conversation is not None:
            self.trash_requested.emit(conversation.id)
        else:
            super().keyPressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """What can be done with the conversation under the pointer."""
        mouse = event.reason() == QContextMenuEvent.Reason.Mouse
        index = self.indexAt(event.pos()) if mouse else self.currentIndex()
        conversation = self._conversations.conversation_at(index)
        if conversation is None:
            return
        menu = self._menu(conversation)
        menu.exec(event.globalPos() if mouse else self.mapToGlobal(self.visualRect(index).bottomLeft()))
        menu.deleteLater()


def shown_title(conversation: Conversation) -> str:
    """The title, or words for one that has none yet."""
    return conversation.title or QCoreApplication.translate("Sidebar", "New chat")


def menu_action(menu: QMenu, text: str, act: Callable[[], None]) -> QAction:
    """Add an action that calls ``act``."""
    action = QAction(text, menu)
    action.triggered.connect(lambda _checked=False: act())
    menu.addAction(action)
    return action


def _heading(moment: datetime) -> str:
    today = datetime.now().astimezone().date()
    day = moment.astimezone().date()
    if day >= today:
        return QCoreApplication.translate("Sidebar", "Today")
    if day == today - timedelta(days=1):
        return QCoreApplication.translate("Sidebar", "Yesterday")
    if day > today - timedelta(days=7):
        return QCoreApplication.translate("Sidebar", "Last 7 days")
    return QCoreApplication.translate("Sidebar", "Older")

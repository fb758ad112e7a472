"""Lists of models: rows with columns, drawn by a delegate, so that hundreds cost no more than ten.

What a row says is a value (`Row`); the view keeps the current one when rows change. A row may end in one
action that is drawn as a button; a click on it, or the key that the page offers, does it.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QFont,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QListView,
    QMenu,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QWidget,
)

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.drawn_list import DrawnList, draw_ground

Tone = Literal["text", "dim", "ok", "warn", "bad"]
Index = QModelIndex | QPersistentModelIndex
_LINE = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True)
class Cell:
    """What a column says of a row: a line, and a second one in dim text."""

    text: str
    under: str = ""
    tone: Tone = "text"
    chip: bool = False
    """Drawn on a ground of its own."""


@dataclass(frozen=True)
class Row:
    """One row. ``cells`` are those of the columns after the first."""

    key: Hashable
    title: str
    under: str = ""
    cells: tuple[Cell, ...] = ()
    action: str = ""
    """Words on the button at the end; empty for none."""
    icon: str = ""
    """Of the button."""
    state: str = ""
    """Words in place of the button."""
    progress: float | None = None
    """0 to 1: a bar over `state`."""
    faint: bool = False

    @property
    def spoken(self) -> str:
        """The row for screen readers, and its tooltip."""
        cells = [part for cell in self.cells for part in (cell.text, cell.under)]
        return ", ".join(filter(None, [self.title, self.under, *cells, self.state]))


@dataclass(frozen=True)
class Column:
    """A column after the first, which takes what room is left."""

    title: str
    width: int
    """Design pixels."""
    rank: int = 0
    """Where there is too little room, columns with the highest rank go first."""


class RowRole(IntEnum):
    """Extra data of a row."""

    ROW = Qt.ItemDataRole.UserRole + 1


class RowsModel(QAbstractListModel):
    """The rows of one list."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: Sequence[Row] = ()

    def show(self, rows: Sequence[Row]) -> bool:
        """Show ``rows``; True when other rows stand there now, False when the same say something else."""
        if [row.key for row in rows] == [row.key for row in self.rows]:
            changed = [
                number for number, (old, new) in enumerate(zip(self.rows, rows, strict=True)) if old != new
            ]
            self.rows = rows
            for number in changed:
                self.dataChanged.emit(self.index(number), self.index(number))
            return False
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()
        return True

    def number_of(self, key: Hashable) -> int | None:
        """Where the row of ``key`` stands."""
        return next((number for number, row in enumerate(self.rows) if row.key == key), None)

    def rowCount(self, parent: Index | None = None) -> int:
        """Number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Title, words for screen readers, the row itself."""
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return row.spoken
        if role == RowRole.ROW:
            return row
        return None


class RowsDelegate(QStyledItemDelegate):
    """Draws a row: title and line under it, cells, and the action."""

    def __init__(
        self, theme: Theme, columns: Sequence[Column], action_width: int, parent: "RowsView"
    ) -> None:
        super().__init__(parent)
        self._theme, self._columns, self._action_width, self._view = theme, columns, action_width, parent

    def places(self, rect: QRect) -> tuple[QRect, dict[int, QRect], QRect]:
        """Where title, the columns that there is room for, and the action stand within ``rect``."""
        px = self._theme.px
        inner = rect.adjusted(px(16), 0, -px(12), 0)
        action = px(self._action_width)
        room = inner.width() - action - px(190)
        taken: list[int] = []
        for number in sorted(range(len(self._columns)), key=lambda each: self._columns[each].rank):
            width = px(self._columns[number].width)
            if width <= room:
                taken.append(number)
                room -= width
            else:
                break
        places: dict[int, QRect] = {}
        right = inner.right() - action
        for number in sorted(taken, reverse=True):
            width = px(self._columns[number].width)
            places[number] = QRect(right - width, inner.top(), width - px(12), inner.height())
            right -= width
        title = QRect(inner.left(), inner.top(), max(0, right - inner.left() - px(12)), inner.height())
        return title, places, QRect(inner.right() - action, inner.top(), action, inner.height())

    def button_rect(self, rect: QRect, row: Row) -> QRect:
        """Where the row's action is drawn; empty without one."""
        if not row.action:
            return QRect()
        px, theme = self._theme.px, self._theme
        area = self.places(rect)[2]
        metrics = self._view.fontMetrics()
        width = metrics.horizontalAdvance(row.action) + px(28) + (px(20) if row.icon else 0)
        height = theme.px(32)
        return QRect(area.left(), area.center().y() - height // 2, min(width, area.width()), height)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Two lines and air."""
        return QSize(100, self._theme.px(58))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        row = index.data(RowRole.ROW)
        assert isinstance(row, Row)
        px, theme, rect = self._theme.px, self._theme, option.rect
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = rect.adjusted(px(4), px(1), -px(4), -px(2))
        selected = draw_ground(painter, theme, ground, option)
        if index.row() < self._view.rows.rowCount() - 1:
            painter.setPen(theme.color("line"))
            painter.drawLine(rect.left() + px(8), rect.bottom(), rect.right() - px(8), rect.bottom())
        if row.faint:
            painter.setOpacity(0.55)
        title, places, action = self.places(rect)
        self._lines(painter, title, row.title, row.under, "text", bold=True)
        for number, area in places.items():
            if number < len(row.cells):
                self._cell(painter, area, row.cells[number], selected=selected)
        self._action(painter, action, self.button_rect(rect, row), row)
        painter.restore()

    def _cell(self, painter: QPainter, area: QRect, cell: Cell, *, selected: bool) -> None:
        if cell.chip and cell.text:
            self._chip(
                painter, area, cell, "surface" if selected else "soft" if cell.tone == "ok" else "code"
            )
        else:
            self._lines(painter, area, cell.text, cell.under, cell.tone)

    def _lines(
        self, painter: QPainter, area: QRect, text: str, under: str, tone: Tone, *, bold: bool = False
    ) -> None:
        """A line and, where there is one, a dim one under it; each cut to the room."""
        first, second = self._halves(area) if under else (area, area)
        weight = QFont.Weight.DemiBold if bold else QFont.Weight.Normal
        self._text(painter, first, text, self._theme.font(14 if bold else 13.5, weight=weight), tone)
        if under:
            self._text(painter, second, under, self._theme.font(12.5), "dim")

    def _chip(self, painter: QPainter, area: QRect, cell: Cell, ground_token: str) -> None:
        px = self._theme.px
        first, second = self._halves(area) if cell.under else (area, area)
        font = self._theme.font(12.5, weight=QFont.Weight.DemiBold)
        painter.setFont(font)
        text = painter.fontMetrics().elidedText(
            cell.text, Qt.TextElideMode.ElideRight, first.width() - px(14)
        )
        width = painter.fontMetrics().horizontalAdvance(text) + px(14)
        height = px(21)
        ground = QRect(first.left(), first.center().y() - height // 2, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color(ground_token))
        painter.drawRoundedRect(ground, px(6), px(6))
        self._text(painter, ground.adjusted(px(7), 0, 0, 0), text, font, cell.tone)
        if cell.under:
            self._text(painter, second, cell.under, self._theme.font(12.5), "dim")

    def _action(self, painter: QPainter, area: QRect, button: QRect, row: Row) -> None:
        px, theme = self._theme.px, self._theme
        if row.action:
            painter.setPen(theme.color("line"))
            painter.setBrush(theme.color("surface"))
            painter.drawRoundedRect(button, px(8), px(8))
            inner = button.adjusted(px(12), 0, -px(8), 0)
            if row.icon:
                side = px(16)
                theme.icon(row.icon).paint(
                    painter, inner.left(), inner.center().y() - side // 2 + 1, side, side
                )
                inner.adjust(px(22), 0, 0, 0)
            self._text(painter, inner, row.action, theme.font(13.5, weight=QFont.Weight.Medium), "text")
        elif row.progress is not None:
            bar = QRect(area.left(), area.center().y() - px(9), area.width() - px(6), px(4))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("line"))
            painter.drawRoundedRect(bar, px(2), px(2))
            bar.setWidth(round(bar.width() * min(1.0, row.progress)))
            painter.setBrush(theme.color("accent"))
            painter.drawRoundedRect(bar, px(2), px(2))
            under = QRect(area.left(), area.center().y(), area.width(), px(20))
            self._text(painter, under, row.state, theme.font(12.5), "dim")
        elif row.state:
            self._text(painter, area, row.state, theme.font(13), "dim")

    def _halves(self, area: QRect) -> tuple[QRect, QRect]:
        px = self._theme.px
        middle = area.center().y()
        return (
            QRect(area.left(), middle - px(21), area.width(), px(22)),
            QRect(area.left(), middle + px(2), area.width(), px(19)),
        )

    def _text(self, painter: QPainter, area: QRect, text: str, font: QFont, tone: Tone) -> None:
        painter.setFont(font)
        painter.setPen(self._theme.color(tone))
        cut = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, area.width())
        painter.drawText(area, _LINE, cut)

    def helpEvent(self, event: Any, view: Any, option: QStyleOptionViewItem, index: Index) -> bool:
        """Show the whole row where it was cut."""
        if event.type() == QEvent.Type.ToolTip:
            row = index.data(RowRole.ROW)
            QToolTip.showText(event.globalPos(), row.spoken if isinstance(row, Row) else "", view)
            return True
        return super().helpEvent(event, view, option, index)


class _Titles(QWidget):
    """The columns' titles over the list."""

    def __init__(self, theme: Theme, view: "RowsView", first: str, columns: Sequence[Column]) -> None:
        super().__init__(view)
        self._theme, self._view, self._first, self._columns = theme, view, first, columns

    def paintEvent(self, event: QPaintEvent) -> None:
        """The titles where the cells stand."""
        painter = QPainter(self)
        painter.setFont(self._theme.font(12, weight=QFont.Weight.DemiBold))
        painter.setPen(self._theme.color("dim"))
        area = QRect(0, 0, self._view.viewport().width(), self.height())
        title, places, _ = self._view.rows_delegate.places(area)
        painter.drawText(title, _LINE, self._first)
        for number, place in places.items():
            text = painter.fontMetrics().elidedText(
                self._columns[number].title, Qt.TextElideMode.ElideRight, place.width()
            )
            painter.drawText(place, _LINE, text)
        painter.setPen(self._theme.color("line"))
        painter.drawLine(0, self.height() - 1, self.width(), self.height() - 1)
        painter.end()


class RowsView(DrawnList):
    """The list itself."""

    opened = Signal(object)
    """The person wants to know more of the row of this key: Enter or a double click."""
    acted = Signal(object)
    """The button that is drawn in the row of this key was clicked."""
    delete_requested = Signal(object)
    current_row = Signal(object)
    """The current `Row`, or None."""

    def __init__(  # noqa: PLR0917 - what a list needs
        self,
        theme: Theme,
        name: str,
        first: str,
        columns: Sequence[Column],
        action_width: int = 130,
        menu: Callable[[Hashable], QMenu | None] = lambda key: None,
    ) -> None:
        """``first`` is the title of the first column; ``menu`` gives what can be done with a row."""
        self.rows = RowsModel()
        super().__init__(theme, name, self.rows)
        self._theme = theme
        self._menu = menu
        self.rows_delegate = RowsDelegate(theme, columns, action_width, self)
        self.setProperty("look", "table")
        self.setItemDelegate(self.rows_delegate)
        self.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QListView.SelectionMode.SingleSelection)
        self.setUniformItemSizes(True)
        self._titles = _Titles(theme, self, first, columns)
        theme.changed.connect(self._fit)
        self._fit()

    @property
    def current(self) -> Row | None:
        """The row that is chosen."""
        row = self.currentIndex().data(RowRole.ROW)
        return row if isinstance(row, Row) else None

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show ``rows``; the current row stays the current one where it is still there."""
        current = self.current
        at, top = self.currentIndex().row(), self.verticalScrollBar().value()
        if not self.rows.show(rows):
            if self.current is not None and self.current != current:
                self.current_row.emit(self.current)
            return
        number = self.rows.number_of(current.key) if current else None
        if number is None and current is not None and rows:
            number = min(at, len(rows) - 1)
        if number is not None:
            self.setCurrentIndex(self.rows.index(number))
        else:
            self.current_row.emit(None)
        self.verticalScrollBar().setValue(top)

    def choose(self, key: Hashable) -> None:
        """Make the row of ``key`` the current one, where there is one."""
        number = self.rows.number_of(key)
        if number is not None:
            self.setCurrentIndex(self.rows.index(number))

    def _fit(self) -> None:
        self._place_titles()
        self.setMinimumHeight(self._theme.px(34) + 3 * self._theme.px(58))
        self.verticalScrollBar().setSingleStep(self._theme.px(24))
        self.scheduleDelayedItemsLayout()

    def _place_titles(self) -> None:
        height = self._theme.px(34)
        self.setViewportMargins(0, height, 0, 0)
        self._titles.setGeometry(1, 1, self.width() - 2, height)
        self._titles.update()

    def _on_button(self, event: QMouseEvent) -> Row | None:
        """The row whose drawn button is under the pointer."""
        index = self.indexAt(event.position().toPoint())
        row = index.data(RowRole.ROW)
        if not isinstance(row, Row):
            return None
        button = self.rows_delegate.button_rect(self.visualRect(index), row)
        return row if button.contains(event.position().toPoint()) else None

    # ------------------------------------------------------------ Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The titles stay over the columns."""
        super().resizeEvent(event)
        self._place_titles()

    def currentChanged(self, current: QModelIndex | QPersistentModelIndex, previous: Any) -> None:
        """Say which row it is now."""
        super().currentChanged(current, previous)
        row = current.data(RowRole.ROW)
        self.current_row.emit(row if isinstance(row, Row) else None)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """A hand over what can be clicked."""
        super().mouseMoveEvent(event)
        shape = Qt.CursorShape.PointingHandCursor if self._on_button(event) else Qt.CursorShape.ArrowCursor
        self.viewport().setCursor(shape)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click on the drawn button."""
        super().mouseReleaseEvent(event)
        row = self._on_button(event)
        if row is not None and event.button() == Qt.MouseButton.LeftButton:
            self.acted.emit(row.key)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open, unless the button was meant."""
        super().mouseDoubleClickEvent(event)
        if self.current is not None and self._on_button(event) is None:
            self.opened.emit(self.current.key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens, Delete takes away."""
        row = self.current
        if row is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.opened.emit(row.key)
        elif row is not None and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.delete_requested.emit(row.key)
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """When the keyboard brought the focus, some row is the current one."""
        super().focusInEvent(event)
        if self.keyboard_focus and not self.currentIndex().isValid() and self.rows.rowCount():
            self.setCurrentIndex(self.rows.index(0))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """What can be done with the row under the pointer, or the current one."""
        mouse = event.reason() == QContextMenuEvent.Reason.Mouse
        index = self.indexAt(event.pos()) if mouse else self.currentIndex()
        row = index.data(RowRole.ROW)
        menu = self._menu(row.key) if isinstance(row, Row) else None
        if menu is None:
            return
        corner = self.viewport().mapToGlobal(self.visualRect(index).bottomLeft())
        menu.exec(event.globalPos() if mouse else corner)
        menu.deleteLater()

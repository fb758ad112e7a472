"""The grid of a run: a table that is drawn, a pill for the state, figures in figures' font."""

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import (
    QItemSelectionModel,
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
    QFontMetrics,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from localai_app.tasks.run import ItemState
from localai_app.tasks.task import Form
from localai_app.ui.chat.conversation_list import menu_action
from localai_app.ui.clipboard import put_on_clipboard
from localai_app.ui.tasks.grid_model import FIGURES, CellRole, GridModel, Heading, Part, Row
from localai_app.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex
ROW_HEIGHT, HEAD_HEIGHT = 40, 36
_LINE = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
LEAST_WIDTH, LEAST_NAME = 116, 156
"""Design pixels of a column whose words are cut short; of a document's name, and of its state."""
_SAMPLE = 60
"""Rows that are measured for the columns' widths."""


class GridDelegate(QStyledItemDelegate):
    """Draws a cell."""

    def __init__(self, theme: Theme, view: "Grid") -> None:
        super().__init__(view)
        self._theme, self._view = theme, view
        self._fonts: dict[str, QFont] = {}
        theme.changed.connect(self._fonts.clear)

    def font(self, name: str) -> QFont:
        """``text``, ``figures`` or ``pill``."""
        if name not in self._fonts:
            made = {
                "text": lambda: self._theme.font(13.5),
                "figures": lambda: self._theme.mono(13),
                "pill": lambda: self._theme.font(12.5, weight=QFont.Weight.DemiBold),
            }
            self._fonts[name] = made[name]()
        return self._fonts[name]

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """As wide as its text; all rows are alike high."""
        part: Part = index.data(CellRole.PART)
        figures = index.data(CellRole.FIGURES)
        font = self.font("pill" if part is Part.STATE else "figures" if figures else "text")
        px = self._theme.px
        width = QFontMetrics(font).horizontalAdvance(index.data(Qt.ItemDataRole.DisplayRole))
        extra = {Part.DOCUMENT: px(42), Part.STATE: px(36)}.get(part, px(20))
        return QSize(width + extra, px(ROW_HEIGHT))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Ground, a line under the row, and the words."""
        px, theme, rect = self._theme.px, self._theme, QRect(option.rect)
        text, tone = index.data(Qt.ItemDataRole.DisplayRole), index.data(CellRole.TONE)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        painter.save()
        if selected:
            painter.fillRect(rect, theme.color("soft"))
        painter.setPen(theme.color("line"))
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        if self._view.keyboard_focus and option.state & QStyle.StateFlag.State_HasFocus:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(theme.color("accent"), 1.5))
            painter.drawRoundedRect(rect.adjusted(2, 2, -2, -3), px(6), px(6))
        inner = rect.adjusted(px(8), 0, -px(8), 0)
        if index.data(CellRole.PART) is Part.STATE:
            self._pill(painter, inner, text, tone, selected=selected)
        else:
            if index.data(CellRole.PART) is Part.DOCUMENT:
                side = px(16)
                icon = theme.icon("file-text", "text")
                icon.paint(painter, inner.left(), inner.center().y() - side // 2, side, side)
                inner.adjust(px(22), 0, 0, 0)
            figures = index.data(CellRole.FIGURES)
            painter.setFont(self.font("figures" if figures else "text"))
            painter.setPen(theme.color(tone))
            cut = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, inner.width())
            painter.drawText(inner, index.data(Qt.ItemDataRole.TextAlignmentRole) or _LINE, cut)
        painter.restore()

    def _pill(self, painter: QPainter, area: QRect, text: str, tone: str, *, selected: bool) -> None:
        px, theme = self._theme.px, self._theme
        painter.setFont(self.font("pill"))
        cut = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, area.width() - px(16))
        if tone != "dim":
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            height = px(22)
            width = painter.fontMetrics().horizontalAdvance(cut) + px(16)
            ground = QRect(area.left(), area.center().y() - height // 2, width, height)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("surface" if selected else "soft" if tone == "ok" else "code"))
            painter.drawRoundedRect(ground, px(6), px(6))
            area = ground.adjusted(px(8), 0, 0, 0)
        painter.setPen(theme.color(tone))
        painter.drawText(area, _LINE, cut)


class Grid(QTableView):
    """One row a document; Enter or a double click opens what stands there."""

    opened = Signal(int, str)
    """The person wants to look into a finding (`Finding.key`; empty: the document) of this `Item.id`."""
    pointed = Signal(int, str)
    """The current cell is of this finding now."""
    retry_requested = Signal(list)
    """Do the documents of these `Item.id` again."""
    document_requested = Signal(int)
    """Show the document of this id."""

    def __init__(self, theme: Theme, model: GridModel) -> None:
        super().__init__()
        self._theme, self._model = theme, model
        self.keyboard_focus = False
        self._by_hand = self._sharing = False
        self._needed: dict[int, int] = {}
        """Width of each column that its words were found to need; they do not shrink and grow."""
        self.setProperty("look", "table")
        self.setModel(model)
        self.setItemDelegate(GridDelegate(theme, self))
        self.setAccessibleName(self.tr("Results, one row a document"))
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        head = self.horizontalHeader()
        head.setAccessibleName(self.tr("Columns"))
        head.setHighlightSections(False)
        head.setSectionsMovable(True)
        head.setTextElideMode(Qt.TextElideMode.ElideRight)
        head.setSortIndicatorClearable(True)
        head.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        head.sectionResized.connect(self._keep_widths)
        head.sectionMoved.connect(self._keep_widths)
        self.doubleClicked.connect(self._open)
        theme.changed.connect(self._fit)
        self._fit()

    @property
    def current_item(self) -> int | None:
        """`Item.id` of the current row."""
        index = self.currentIndex()
        return self._model.row(index.row()).item.id if index.isValid() else None

    def choose(self, item_id: int) -> None:
        """Make the row of a document the current one, where it is shown."""
        place = self._model.place_of(item_id)
        if place is not None and item_id != self.current_item:
            column = max(0, self.currentIndex().column())
            flags = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
            self.selectionModel().setCurrentIndex(self._model.index(place, column), flags)

    def fit_columns(self) -> None:
        """Give the columns of another run what their words need, and share what room is left."""
        self._by_hand = False
        self._needed.clear()
        self.share_columns()

    def share_columns(self) -> None:
        """More rows are there: columns grow where their words need it, unless a person made them so."""
        if self._by_hand or self._sharing or not self._model.columns:
            return  # a scroll bar that comes while they are shared resizes the grid
        px = self._theme.px
        columns = self._model.columns
        widths = [self._measured(number, column) for number, column in enumerate(columns)]
        room = self.viewport().width() - sum(widths)
        grows = [number for number, column in enumerate(columns) if _grows(column)]
        if room < 0:
            # What can be cut short gives way before the grid is scrolled sideways.
            least = {
                number: px(LEAST_WIDTH if columns[number].part is Part.VALUE else LEAST_NAME)
                for number in grows
            }
            spare = {number: max(0, widths[number] - least[number]) for number in grows}
            give = min(-room, sum(spare.values()))
            for number, most in spare.items():
                widths[number] -= -(-give * most // max(1, sum(spare.values())))
        if room > 0 and grows:
            weights = [3 if columns[number].form is Form.LONG else 1 for number in grows]
            for number, weight in zip(grows, weights, strict=True):
                widths[number] += room * weight // sum(weights)
        self._sharing = True
        for number, width in enumerate(widths):
            self.horizontalHeader().resizeSection(number, max(px(60), width))
        self._place_state(widths)
        self._sharing = False

    def copied(self, *, rows: bool = False) -> str:
        """The current cell; the selected rows, their cells parted by tabs, where there are several."""
        places = sorted(index.row() for index in self.selectionModel().selectedRows())
        if len(places) < 2 and not rows:
            index = self.currentIndex()
            return self._model.cell(index).text if index.isValid() else ""
        if not places and self.currentIndex().isValid():
            places = [self.currentIndex().row()]
        lines = [[cell.text for cell in self._model.row(place).cells] for place in places]
        return "\n".join("\t".join(" ".join(cell.split()) for cell in line) for line in lines)

    # ------------------------------------------------------------ inside

    def _copy(self, *, rows: bool = False) -> None:
        text = self.copied(rows=rows)
        if text:
            put_on_clipboard(text)

    def _open(self, index: QModelIndex) -> None:
        if index.isValid():
            self.opened.emit(*self._pointed_at(index))

    def _pointed_at(self, index: Index) -> tuple[int, str]:
        """The finding that stands there, else the first of the row that waits for a person."""
        row = self._model.row(index.row())
        here = row.cells[index.column()].finding
        state = next(
            cell
            for cell, column in zip(row.cells, self._model.columns, strict=True)
            if column.part is Part.STATE
        )
        return row.item.id, here or state.finding

    def _place_state(self, widths: Sequence[int]) -> None:
        """Where the state would be out of sight, it stands beside the document's name."""
        state = next(at for at, column in enumerate(self._model.columns) if column.part is Part.STATE)
        in_sight = sum(widths[: state + 1]) <= self.viewport().width()
        head = self.horizontalHeader()
        head.moveSection(head.visualIndex(state), state if in_sight else 1)

    def _keep_widths(self, *_: int) -> None:
        if not self._sharing:
            self._by_hand = True

    def _measured(self, number: int, column: Heading) -> int:
        px, delegate = self._theme.px, self.itemDelegate()
        option = QStyleOptionViewItem()
        most = {Part.DOCUMENT: px(240), Part.STATE: px(230), Part.READ: px(130)}.get(
            column.part, px(420) if column.form is Form.LONG else px(220)
        )
        title = self.horizontalHeader().sectionSizeHint(number)
        rows = range(min(_SAMPLE, self._model.rowCount()))
        needed = max(
            (delegate.sizeHint(option, self._model.index(row, number)).width() for row in rows), default=0
        )
        self._needed[number] = max(self._needed.get(number, 0), min(most, max(title, needed, px(70))))
        return self._needed[number]

    def _fit(self) -> None:
        px = self._theme.px
        self.verticalHeader().setMinimumSectionSize(1)
        self.verticalHeader().setDefaultSectionSize(px(ROW_HEIGHT))
        self.horizontalHeader().setFixedHeight(px(HEAD_HEIGHT))
        self._needed.clear()
        self.verticalScrollBar().setSingleStep(px(24))
        self.setMinimumHeight(px(HEAD_HEIGHT + 3 * ROW_HEIGHT))
        self.share_columns()

    def _rows(self) -> list[Row]:
        return [self._model.row(index.row()) for index in self.selectionModel().selectedRows()]

    # ------------------------------------------------------------ Qt

    def currentChanged(self, current: Index, previous: Any) -> None:
        """Say what the current cell is of."""
        super().currentChanged(current, previous)
        if current.isValid():
            self.pointed.emit(*self._pointed_at(current))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The columns share the room."""
        super().resizeEvent(event)
        self.share_columns()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """The mouse needs no ring."""
        self.keyboard_focus = False
        super().mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens, Ctrl+C copies; the ring shows."""
        self.keyboard_focus = True
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open(self.currentIndex())
        elif event.matches(QKeySequence.StandardKey.Copy):
            self._copy()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """When the keyboard brought the focus, some cell is the current one."""
        self.keyboard_focus = event.reason() in (
            Qt.FocusReason.TabFocusReason,
            Qt.FocusReason.BacktabFocusReason,
            Qt.FocusReason.ShortcutFocusReason,
        )
        super().focusInEvent(event)
        if self.keyboard_focus and not self.currentIndex().isValid() and self._model.rowCount():
            self.setCurrentIndex(self._model.index(0, 0))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """What can be done with the selected rows."""
        mouse = event.reason() == QContextMenuEvent.Reason.Mouse
        index = self.indexAt(event.pos()) if mouse else self.currentIndex()
        if not index.isValid():
            return
        menu = self._menu(index)
        corner = self.viewport().mapToGlobal(self.visualRect(index).bottomLeft())
        menu.exec(event.globalPos() if mouse else corner)
        menu.deleteLater()

    def _menu(self, index: QModelIndex) -> QMenu:
        menu = QMenu(self)
        item, rows = self._model.row(index.row()).item, self._rows()
        menu_action(menu, self.tr("Review"), lambda: self._open(index))
        document = item.document_id
        if document is not None:
            menu_action(menu, self.tr("Show the document"), lambda: self.document_requested.emit(document))
        menu_action(menu, self.tr("Copy the cell"), self._copy_cell)
        several = len(rows) > 1
        menu_action(
            menu,
            self.tr("Copy the rows") if several else self.tr("Copy the row"),
            lambda: self._copy(rows=True),
        )
        failed = [row.item.id for row in rows if row.item.state is ItemState.FAILED]
        if failed:
            menu.addSeparator()
            menu_action(menu, self.tr("Retry"), lambda: self.retry_requested.emit(failed))
        return menu

    def _copy_cell(self) -> None:
        put_on_clipboard(self._model.cell(self.currentIndex()).text)


def _grows(column: Heading) -> bool:
    """Whether it is given of the room that is left."""
    if column.part is Part.VALUE:
        return column.form not in (*FIGURES, Form.DATE, Form.FLAG)
    return column.part in (Part.DOCUMENT, Part.STATE)

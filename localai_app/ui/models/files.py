"""Model files from elsewhere: those that a person names, and those of other programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from localai_app.models.library import FoundModel, Importable
from localai_app.ui.models import words
from localai_app.ui.models.rows import Index
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label

Way = Literal["copy", "link"]
_UNDER = Qt.ItemDataRole.UserRole + 1
_NUMBER = Qt.ItemDataRole.UserRole + 2


@dataclass(frozen=True)
class FileRow:
    """A file that can be taken."""

    title: str
    under: str
    problem: str = ""
    """Why it cannot; empty for none."""


class _TickDelegate(QStyledItemDelegate):
    """A tick box, a title, a dim line under it. A click anywhere in the row, or Space, ticks it."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Two lines."""
        return QSize(100, self._theme.px(52))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw the row."""
        px, theme, rect = self._theme.px, self._theme, option.rect
        enabled = bool(option.state & QStyle.StateFlag.State_Enabled)
        ticked = index.data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Checked.value
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(QPen(theme.color("accent"), 1.5))
            painter.setBrush(theme.color("soft"))
            painter.drawRoundedRect(rect.adjusted(px(4), px(2), -px(4), -px(2)), px(8), px(8))
        if not enabled:
            painter.setOpacity(0.55)
        side = px(16)
        box = QRect(rect.left() + px(14), rect.center().y() - side // 2, side, side)
        painter.setPen(theme.color("accent" if ticked else "dim"))
        painter.setBrush(theme.color("accent" if ticked else "surface"))
        painter.drawRoundedRect(box, px(3), px(3))
        if ticked:
            theme.icon("check", "on_accent").paint(painter, box)
        left, width = box.right() + px(12), rect.right() - box.right() - px(26)
        middle = rect.center().y()
        for text, font, tone, top in (
            (str(index.data()), theme.font(13.5), "text", middle - px(20)),
            (str(index.data(_UNDER)), theme.font(12.5), "dim", middle + px(1)),
        ):
            painter.setFont(font)
            painter.setPen(theme.color(tone))
            cut = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, width)
            painter.drawText(QRect(left, top, width, px(20)), Qt.AlignmentFlag.AlignVCenter, cut)
        painter.restore()

    def editorEvent(self, event: QEvent, model: Any, option: QStyleOptionViewItem, index: Index) -> bool:
        """The whole row is the box."""
        clicked = event.type() == QEvent.Type.MouseButtonRelease
        space = event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Space  # type: ignore[attr-defined]
        if not (clicked or space) or not index.flags() & Qt.ItemFlag.ItemIsEnabled:
            return False
        ticked = index.data(Qt.ItemDataRole.CheckStateRole) == Qt.CheckState.Checked.value
        state = Qt.CheckState.Unchecked if ticked else Qt.CheckState.Checked
        return bool(model.setData(index, state.value, Qt.ItemDataRole.CheckStateRole))


class FilesDialog(QDialog):
    """Tick files, then say what to do with them."""

    def __init__(  # noqa: PLR0917 - what it shows
        self,
        theme: Theme,
        parent: QWidget,
        title: str,
        text: str,
        rows: Sequence[FileRow],
        ways: Sequence[Way],
        *,
        ticked: bool,
    ) -> None:
        """``ways`` are the buttons, the first the one that Enter means; ``ticked``: all at first."""
        super().__init__(parent)
        px = theme.px
        self.way: Way | None = None
        """What was chosen."""
        self.setWindowTitle(title)
        self.list = QListWidget()
        self.list.setProperty("look", "table")
        self.list.setAccessibleName(title)
        self.list.setItemDelegate(_TickDelegate(theme, self.list))
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.list.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.list.setUniformItemSizes(True)
        for number, row in enumerate(rows):
            item = QListWidgetItem(row.title)
            item.setData(_UNDER, row.problem or row.under)
            item.setData(_NUMBER, number)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{row.title}, {row.problem or row.under}")
            item.setToolTip(row.problem or row.under)
            on = ticked and not row.problem
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            if row.problem:
                item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
            self.list.addItem(item)
        self.list.itemChanged.connect(lambda _: self._allow())
        usable = sum(1 for row in rows if not row.problem)
        self.all = Button(theme, self.tr("All"), look="link")
        if usable < 2:
            self.all.hide()
        self.all.clicked.connect(self._tick_all)
        self.count = label("", "dim")
        names: dict[Way, str] = {
            "copy": self.tr("Copy into the models folder"),
            "link": self.tr("Use where they lie"),
        }
        self.buttons: dict[Way, Button] = {}
        cancel = Button(theme, self.tr("Cancel"))
        cancel.clicked.connect(self.reject)
        foot = QHBoxLayout()
        foot.addWidget(self.count)
        foot.addWidget(self.all)
        foot.addStretch(1)
        foot.addWidget(cancel)
        for way in reversed(ways):
            button = Button(theme, names[way], look="primary" if way == ways[0] else "")
            button.clicked.connect(lambda _=False, chosen=way: self._choose(chosen))
            self.buttons[way] = button
            foot.addWidget(button)
        self.buttons[ways[0]].setDefault(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(px(20), px(18), px(20), px(16))
        column.setSpacing(px(12))
        column.addWidget(label(title, "title"))
        column.addWidget(label(text, "dim", wrap=True))
        column.addWidget(self.list, 1)
        column.addLayout(foot)
        available = self.screen().availableGeometry()
        wanted = px(230) + max(2, min(len(rows), 6)) * px(52)
        self.resize(min(px(640), available.width() - 40), min(wanted, available.height() - 60))
        if self.list.count():
            self.list.setCurrentRow(0)
        self._allow()

    @property
    def ticked(self) -> list[int]:
        """Numbers of the rows that are ticked."""
        items = (self.list.item(row) for row in range(self.list.count()))
        return [int(item.data(_NUMBER)) for item in items if item.checkState() == Qt.CheckState.Checked]

    def _tick_all(self) -> None:
        items = [self.list.item(row) for row in range(self.list.count())]
        usable = [item for item in items if item.flags() & Qt.ItemFlag.ItemIsEnabled]
        on = any(item.checkState() == Qt.CheckState.Unchecked for item in usable)
        for item in usable:
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def _allow(self) -> None:
        count = len(self.ticked)
        self.count.setText(self.tr("{0} of {1} chosen").format(count, self.list.count()))
        for button in self.buttons.values():
            button.setEnabled(bool(count))

    def _choose(self, way: Way) -> None:
        self.way = way
        self.accept()


def importable_rows(files: Sequence[Importable]) -> list[FileRow]:
    """Files that were named, as rows."""
    rows = []
    for file in files:
        parts = [words.size(file.size)]
        if file.quantisation:
            parts.insert(0, file.quantisation)
        if file.parts > 1:
            parts.append(words.tr("{0} files").format(file.parts))
        rows.append(FileRow(file.name, " · ".join([*parts, str(file.path)]), file.problem))
    return rows


def found_rows(models: Sequence[FoundModel]) -> list[FileRow]:
    """Models of other programs, as rows."""
    return [
        FileRow(
            model.name,
            " · ".join(
                filter(None, [model.owner, model.quantisation, words.size(model.size), str(model.path)])
            ),
        )
        for model in models
    ]

"""Choose documents of the library: a list with ticks, and a field that narrows it."""

from collections.abc import Sequence

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QRect, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLineEdit,
    QListView,
    QStyle,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from localai_app.documents.document import Document
from localai_app.ui.documents import words
from localai_app.ui.documents.lists import DocumentsModel, Index, RowDelegate
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.drawn_list import DrawnList
from localai_app.ui.widgets.labels import label


class TickDelegate(RowDelegate):
    """A row with a box before it, ticked while the row is chosen."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """The box, then the row."""
        px, theme = self._theme.px, self._theme
        side, left = px(16), option.rect.left() + px(8)
        ticked = bool(option.state & QStyle.StateFlag.State_Selected)
        moved = QStyleOptionViewItem(option)
        moved.rect = option.rect.adjusted(px(28), 0, 0, 0)
        super().paint(painter, moved, index)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRect(left, option.rect.center().y() - side // 2, side, side)
        painter.setPen(QPen(theme.color("accent" if ticked else "dim"), 1))
        painter.setBrush(theme.color("accent" if ticked else "surface"))
        painter.drawRoundedRect(box, px(3), px(3))
        painter.restore()
        if ticked:
            theme.icon("check", "on_accent").paint(painter, box)


class DocumentPicker(QDialog):
    """Asks; `chosen` is what was ticked, in the list's order."""

    def __init__(
        self, theme: Theme, parent: QWidget, documents: Sequence[Document], chosen: Sequence[int]
    ) -> None:
        super().__init__(parent)
        self._all = documents
        self._ticked = set(chosen)
        self._showing = False
        self.setWindowTitle(self.tr("Choose documents"))
        self.field = QLineEdit()
        self.field.setPlaceholderText(self.tr("Part of a name"))
        self.field.setAccessibleName(self.tr("Show only documents with this in their name"))
        self.field.textChanged.connect(self._narrow)
        self.model = DocumentsModel()
        self.view = DrawnList(theme, self.tr("Documents"), self.model)
        self.view.setProperty("look", "table")
        self.view.setItemDelegate(TickDelegate(theme, self.view))
        self.view.setUniformItemSizes(True)
        self.view.setSelectionMode(QListView.SelectionMode.MultiSelection)
        self.view.selectionModel().selectionChanged.connect(self._tick)
        self.all_button = Button(theme, self.tr("All shown"), look="link")
        self.all_button.clicked.connect(self.view.selectAll)
        self.none_button = Button(theme, self.tr("None"), look="link")
        self.none_button.clicked.connect(self.view.clearSelection)
        self.count = label("", "dim")
        self.accept_button = Button(theme, self.tr("Choose"), look="primary")
        self.accept_button.clicked.connect(self.accept)
        self.accept_button.setDefault(True)
        cancel = Button(theme, self.tr("Cancel"))
        cancel.clicked.connect(self.reject)
        px = theme.px
        narrow = QHBoxLayout()
        narrow.addWidget(self.field, 1)
        narrow.addWidget(self.all_button)
        narrow.addWidget(self.none_button)
        foot = QHBoxLayout()
        foot.addWidget(self.count, 1)
        foot.addWidget(cancel)
        foot.addWidget(self.accept_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(px(20), px(18), px(20), px(16))
        column.setSpacing(px(12))
        column.addWidget(label(self.tr("Choose documents"), "title"))
        column.addLayout(narrow)
        column.addWidget(self.view, 1)
        column.addLayout(foot)
        self.resize(px(560), px(520))
        self._narrow("")
        self.field.setFocus(Qt.FocusReason.OtherFocusReason)

    @property
    def chosen(self) -> list[int]:
        """Ids of what is ticked."""
        return [each.id for each in self._all if each.id in self._ticked]

    def _narrow(self, text: str) -> None:
        wanted = text.strip().casefold()
        shown = [each for each in self._all if wanted in each.name.casefold()]
        self._showing = True
        self.model.show(shown, None)
        selection = QItemSelection()
        for row, each in enumerate(shown):
            if each.id in self._ticked:
                selection.select(self.model.index(row), self.model.index(row))
        self.view.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._showing = False
        self._show_count()

    def _tick(self, *_: object) -> None:
        """What is out of sight keeps its tick."""
        if self._showing:
            return
        rows = {index.row() for index in self.view.selectionModel().selectedIndexes()}
        for row, each in enumerate(self.model.documents):
            (self._ticked.add if row in rows else self._ticked.discard)(each.id)
        self._show_count()

    def _show_count(self) -> None:
        self.count.setText(self.tr("{0} chosen").format(words.documents(len(self._ticked))))
        self.accept_button.setEnabled(bool(self._ticked))

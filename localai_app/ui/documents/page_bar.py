"""The line over a page: name, page number, zoom, find, contents, what the model saw, close."""

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QIntValidator, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QWidget

from localai_app.documents.document import Document, Page
from localai_app.ui.documents import words
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import ElidedLabel, label

NAME = 150
"""Design pixels of a name that are shown before other parts take room."""


class PageBar(QFrame):
    """Emits what the person wants; the view tells it what is shown."""

    page_requested = Signal(int)
    zoom_requested = Signal(int)
    """One step larger (1), smaller (-1), or to the width (0)."""
    find_requested = Signal()
    outline_toggled = Signal(bool)
    model_toggled = Signal(bool)
    closed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "header")
        self._number = 0
        self._readable = self._picture = self._outlined = False
        self.name = ElidedLabel("", "strong")
        self.back_button = IconButton(theme, "chevron-left", self.tr("Page before"), size=17)
        self.on_button = IconButton(theme, "chevron-right", self.tr("Next page"), size=17)
        self.field = QLineEdit()
        self.field.setAccessibleName(self.tr("Page number"))
        self.field.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.field.setValidator(QIntValidator(1, 1_000_000, self.field))
        self.total = label("", "dim")
        self.place = ElidedLabel("", "dim")
        self.out_button = IconButton(theme, "zoom-out", self.tr("Smaller"), size=17)
        self.zoom_button = Button(theme, "", look="link")
        self.zoom_button.setToolTip(self.tr("Fit the page to the width"))
        self.in_button = IconButton(theme, "zoom-in", self.tr("Larger"), size=17)
        self.find_button = IconButton(theme, "search", self.tr("Find in this document (Ctrl+F)"), size=17)
        self.outline_button = IconButton(theme, "list-tree", self.tr("Table of contents"), size=17)
        self.outline_button.setCheckable(True)
        self.model_button = Button(
            theme, self.tr("What the model saw"), look="toggle", icon="scan-text", size=15
        )
        self.model_button.setCheckable(True)
        self.model_button.setToolTip(self.tr("Lay the exact text given to the model beside the page"))
        self.close_button = IconButton(theme, "x", self.tr("Close the document"), size=17)
        self._paging: Sequence[QWidget] = (self.back_button, self.field, self.total, self.on_button)
        self._zooms: Sequence[QWidget] = (self.out_button, self.zoom_button, self.in_button)
        self._row = QHBoxLayout(self)
        self._row.addWidget(self.name, 3)
        for paging in self._paging:
            self._row.addWidget(paging)
        self._row.addWidget(self.place, 1)
        for tool in (*self._zooms, self.find_button, self.outline_button):
            self._row.addWidget(tool)
        self._row.addWidget(self.model_button)
        self._row.addWidget(self.close_button)
        self._connect()
        theme.changed.connect(self._fit)
        self._fit()
        self._show_tools()

    def show_document(self, document: Document, *, readable: bool) -> None:
        """Show whose pages they are."""
        self.name.setText(document.name)
        self.name.setToolTip(words.details(document))
        self._readable = readable
        self._outlined = readable and bool(document.facts and document.facts.outline)
        self.total.setText(self.tr("/ {0}").format(words.number(document.pages)))
        self._show_tools()

    def show_number(self, number: int, total: int) -> None:
        """Show which page it is, or will be in a moment."""
        self._number = number
        self.field.setText(str(number))
        self.back_button.setEnabled(number > 1)
        self.on_button.setEnabled(number < total)

    def show_page(self, page: Page, *, picture: bool) -> None:
        """Show what can be done with a page; ``picture``: it is seen, not only read."""
        self.place.setText(f"· {words.place(page)}" if page.label else "")
        self._picture = picture
        self._show_tools()

    def show_zoom(self, percent: int) -> None:
        """Show how large the page is."""
        text = self.tr("{0} %").format(percent)
        self.zoom_button.set_text(text)
        self.zoom_button.setAccessibleName(self.tr("{0}, fit the page to the width").format(text))

    def _show_tools(self) -> None:
        readable = self._readable
        for widget in (*self._paging, self.find_button, self.model_button):
            widget.setVisible(readable)
        for zoom in self._zooms:
            zoom.setVisible(readable and self._picture)
        self.place.setVisible(readable and bool(self.place.text()))
        self.outline_button.setVisible(self._outlined)
        self._make_room()

    def _make_room(self) -> None:
        """Where the name has no room, the zoom loses its figure first, then the last button its words, then
        the zoom goes: + and - still work."""
        name = self.tr("What the model saw")
        self.model_button.setText(f" {name}")
        self.model_button.setAccessibleName(name)
        wanted = min(self.name.sizeHint().width(), self._theme.px(NAME))
        room = self.width() - wanted
        if self._needed() > room:
            self.zoom_button.hide()
        if self._needed() > room:
            self.model_button.setText("")
        if self._needed() > room:
            for zoom in self._zooms:
                zoom.hide()

    def _needed(self) -> int:
        """Pixels of all that is shown but the name."""
        margins = self._row.contentsMargins()
        items = [self._row.itemAt(at) for at in range(self._row.count())]
        parts = [item.widget() for item in items if item is not None]
        shown = [part for part in parts if part is not None and not part.isHidden()]
        room = sum(part.sizeHint().width() for part in shown if part not in (self.name, self.place))
        room += self.place.minimumSizeHint().width() if self.place in shown else 0
        # The field has its width from its figures, not from its hint.
        if self.field in shown:
            room += self.field.width() - self.field.sizeHint().width()
        return room + margins.left() + margins.right() + self._row.spacing() * (len(shown) - 1)

    def _go_to_field(self) -> None:
        if self.field.text():
            self.page_requested.emit(int(self.field.text()))

    def _connect(self) -> None:
        self.back_button.clicked.connect(lambda: self.page_requested.emit(self._number - 1))
        self.on_button.clicked.connect(lambda: self.page_requested.emit(self._number + 1))
        self.field.returnPressed.connect(self._go_to_field)
        self.field.editingFinished.connect(lambda: self.field.setText(str(self._number)))
        self.out_button.clicked.connect(lambda: self.zoom_requested.emit(-1))
        self.in_button.clicked.connect(lambda: self.zoom_requested.emit(1))
        self.zoom_button.clicked.connect(lambda: self.zoom_requested.emit(0))
        self.find_button.clicked.connect(self.find_requested)
        self.outline_button.toggled.connect(self.outline_toggled)
        self.model_button.toggled.connect(self.model_toggled)
        self.close_button.clicked.connect(self.closed)

    def _fit(self) -> None:
        px = self._theme.px
        self._row.setContentsMargins(px(16), px(8), px(8), px(8))
        self._row.setSpacing(px(2))
        self.setMinimumHeight(px(54))
        self.field.setFixedWidth(self.field.fontMetrics().horizontalAdvance("0000") + px(10))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Parts come and go with the room."""
        super().resizeEvent(event)
        self._show_tools()

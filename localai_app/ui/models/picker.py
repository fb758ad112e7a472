"""The list that drops from the header's model button."""

from pathlib import Path

from PySide6.QtCore import QLocale, QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainterPath, QRegion, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from localai_app.models.installed import InstalledModel
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import ElidedLabel, label


class ModelPicker(QFrame):
    """A popup with the installed models; the one that answers is checked."""

    chosen = Signal(object)
    """The person chose the model at this `Path`."""
    models_requested = Signal()
    """The person wants the Models page."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self._theme = theme
        self._card = QFrame(self)
        self._card.setProperty("look", "popup")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._card)
        self._column = QVBoxLayout(self._card)
        self._rows = QVBoxLayout()
        self._list = QWidget()
        self._list.setProperty("look", "plain")
        self._list.setLayout(self._rows)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(self._list)
        self._none = label(self.tr("There is no model on this computer yet."), "dim", wrap=True)
        self.file_button = Button(theme, self.tr("Choose a file…"), look="flat", icon="folder-open", size=17)
        self.file_button.clicked.connect(self._choose_file)
        self.models_button = Button(theme, self.tr("More models…"), look="flat", icon="box", size=17)
        self.models_button.clicked.connect(self._ask_for_models)
        rule = QFrame()
        rule.setProperty("look", "rule")
        self._column.addWidget(label(self.tr("MODELS ON THIS COMPUTER"), "section"))
        self._column.addWidget(self._none)
        self._column.addWidget(self._area)
        self._column.addWidget(rule)
        self._column.addWidget(self.models_button)
        self._column.addWidget(self.file_button)
        self.buttons: list[Button] = []

    def show_models(
        self, models: list[InstalledModel], selected: InstalledModel | None, below: QWidget
    ) -> None:
        """Open under ``below`` with ``models``."""
        while (item := self._rows.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self.buttons = []
        listed = list(models)
        if selected is not None and all(model.path != selected.path for model in models):
            listed.insert(0, selected)
        for model in listed:
            self._add(model, current=selected is not None and model.path == selected.path)
        self._none.setVisible(not listed)
        self._area.setVisible(bool(listed))
        px = self._theme.px
        self._column.setContentsMargins(px(10), px(12), px(10), px(10))
        self._column.setSpacing(px(8))
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(px(2))
        self._area.setFixedHeight(min(len(listed), 7) * (px(52) + px(2)))
        self.setFixedWidth(px(380))
        self.adjustSize()
        self.move(below.mapToGlobal(QPoint(0, below.height() + px(4))))
        self.show()
        (self.buttons[0] if self.buttons else self.file_button).setFocus(Qt.FocusReason.PopupFocusReason)

    def _add(self, model: InstalledModel, *, current: bool) -> None:
        px = self._theme.px
        button = Button(self._theme, "", look="flat")
        button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        button.setFixedHeight(px(52))
        size = QLocale().formattedDataSize(model.size, 1, QLocale.DataSizeFormat.DataSizeSIFormat)
        facts = [size] + ([model.quantisation] if model.quantisation else [])
        if model.starter:
            facts.append(self.tr("starter model"))
        name, line = ElidedLabel(model.name), ElidedLabel(" · ".join(facts), "dim")
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(name)
        words.addWidget(line)
        row = QHBoxLayout(button)
        row.setContentsMargins(px(8), px(4), px(8), px(4))
        row.addLayout(words, 1)
        if current:
            mark = QLabel()
            icon = self._theme.icon("check", "accent")
            mark.setPixmap(icon.pixmap(self._theme.icon_size(17), self.devicePixelRatioF()))
            row.addWidget(mark)
        for part in button.findChildren(QLabel):
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        state = self.tr("selected") if current else ""
        button.setAccessibleName(", ".join(filter(None, [model.name, *facts, state])))
        button.clicked.connect(lambda: self._choose(model.path))
        self.buttons.append(button)
        self._rows.addWidget(button)

    def _choose(self, path: Path) -> None:
        self.hide()
        self.chosen.emit(path)

    def _ask_for_models(self) -> None:
        self.hide()
        self.models_requested.emit()

    def _choose_file(self) -> None:
        self.hide()
        parent = self.parentWidget()
        name, _ = QFileDialog.getOpenFileName(
            parent, self.tr("Choose a model"), "", self.tr("Models (*.gguf);;All files (*)")
        )
        if name:
            self.chosen.emit(Path(name))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Round corners by a mask: a translucent popup is black where nothing composes the screen."""
        super().resizeEvent(event)
        shape, radius = QPainterPath(), self._theme.px(12)
        shape.addRoundedRect(QRectF(self.rect()), radius, radius)
        self.setMask(QRegion(shape.toFillPolygon().toPolygon()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows walk the list."""
        steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}
        step = steps.get(Qt.Key(event.key()))
        order = [*self.buttons, self.models_button, self.file_button]
        focused = next((number for number, button in enumerate(order) if button.hasFocus()), 0)
        if step is not None:
            order[(focused + step) % len(order)].setFocus(Qt.FocusReason.TabFocusReason)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            order[focused].click()
        else:
            super().keyPressEvent(event)

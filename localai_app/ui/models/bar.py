"""What can be done with the chosen row of a list, under the list: a sentence, and buttons."""

from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label


class ActionBar(QFrame):
    """A card with the row's name, a sentence on it, and the buttons that act on it."""

    def __init__(self, theme: Theme, hint: str, *buttons: QWidget) -> None:
        """``hint`` is shown while no row is chosen."""
        super().__init__()
        self._theme, self._hint = theme, hint
        self.setProperty("look", "card")
        self.name = label("", "strong", wrap=True)
        self.words = label("", "dim", wrap=True)
        self.buttons = buttons
        self._flow = FlowLayout()
        for button in buttons:
            self._flow.addWidget(button)
        text = QVBoxLayout()
        text.setSpacing(2)
        text.addWidget(self.name)
        text.addWidget(self.words)
        self._column = QVBoxLayout(self)
        row = QHBoxLayout()
        row.addLayout(text, 1)
        self._column.addLayout(row)
        self._column.addLayout(self._flow)
        theme.changed.connect(self._fit)
        self._fit()
        self.show_row("", "")

    def show_row(self, name: str, text: str) -> None:
        """Say what the chosen row is; an empty ``name``: none is chosen."""
        self.name.setText(name)
        self.name.setVisible(bool(name))
        self.words.setText(text if name else self._hint)
        self.words.setVisible(bool(self.words.text()))
        if not name:
            for button in self.buttons:
                button.hide()

    def show_buttons(self, *shown: QWidget) -> None:
        """Offer these, and no other."""
        for button in self.buttons:
            button.setVisible(button in shown)
        self._flow.invalidate()

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(16), px(10), px(12), px(10))
        self._column.setSpacing(px(8))
        self._flow.setSpacing(px(8))

"""The line over the composer: what is to be known about the conversation that is shown."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout

from localai_app.ui.theme import COLUMN, Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label


class Notice(QFrame):
    """Hidden while there is nothing to say."""

    restore_requested = Signal()
    delete_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "notice")
        self.words = label("", "", wrap=True)
        self.restore_button = Button(theme, self.tr("Restore"), look="link")
        self.delete_button = Button(theme, self.tr("Delete forever…"), look="link")
        self.restore_button.clicked.connect(self.restore_requested)
        self.delete_button.clicked.connect(self.delete_requested)
        self._row = QHBoxLayout(self)
        self._row.addWidget(self.words, 1)
        self._row.addWidget(self.restore_button)
        self._row.addWidget(self.delete_button)
        theme.changed.connect(self._fit)
        self._fit()
        self.hide()

    def show_state(self, *, trashed: bool, base_model: bool) -> None:
        """Say that the conversation lies in the trash, or that a base model answers in it."""
        if trashed:
            self.words.setText(self.tr("This chat lies in the trash."))
        elif base_model:
            self.words.setText(self.tr("This is a base model: it continues text rather than answering."))
        self.setVisible(trashed or base_model)
        self.restore_button.setVisible(trashed)
        self.delete_button.setVisible(trashed)

    def _fit(self) -> None:
        px = self._theme.px
        self.setMaximumWidth(px(COLUMN + 40))
        self._row.setContentsMargins(px(14), px(8), px(10), px(8))

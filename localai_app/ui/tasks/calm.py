"""What the review panel shows while no value is looked at."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QLabel, QVBoxLayout

from localai_app.tasks.run import Item
from localai_app.ui.tasks.review_desk import ReviewDesk
from localai_app.ui.tasks.words import item_state, number, tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label


class Calm(QFrame):
    """How it stands with the review, and what there is to do."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "card")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._sign = QLabel()
        self.title = label("", "title", wrap=True)
        self.words = label("", "dim", wrap=True)
        self.review_button = Button(theme, "", look="primary")
        self.again_button = Button(theme, tr("Look at them again"), look="link")
        self._column = QVBoxLayout(self)
        self._column.addStretch(2)
        self._column.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignHCenter)
        self._column.addWidget(self.title)
        self._column.addWidget(self.words)
        for button in (self.review_button, self.again_button):
            self._column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        self._column.addStretch(3)
        for text in (self.title, self.words):
            text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        theme.changed.connect(self._fit)
        self._fit()

    @property
    def holds_focus(self) -> bool:
        """Whether the keyboard is here."""
        return self.hasFocus() or self.review_button.hasFocus() or self.again_button.hasFocus()

    def show_state(self, desk: ReviewDesk, item: Item | None = None) -> None:
        """Say what is left of the review of a run, or how it stands with a document without values."""
        waiting, decided, run = desk.queue.waiting, desk.queue.decided, desk.run
        over = run is not None and not waiting and not run.left
        if item is not None:
            title, text = item.document_name, item.error or item_state(item)[0].capitalize()
        elif run is None:
            title, text = tr("Review"), tr("Values that a person should look at are shown here.")
        elif waiting:
            title, text = tr("To review"), tr("Some values are in doubt.")
        elif not over:
            title = tr("Nothing to review so far")
            text = tr("Values in doubt are shown here as documents are done.")
        elif decided:
            title, text = tr("All reviewed"), tr("You decided on all that was in doubt.")
        else:
            title, text = tr("All reviewed"), tr("No value of this run waits for a decision.")
        self.title.setText(title)
        self.words.setText(text)
        self.setAccessibleName(f"{title}. {text}")
        self.review_button.set_text(tr("Review {0}").format(number(waiting)))
        self.review_button.setVisible(waiting > 0)
        self.again_button.setVisible(decided > 0 and not waiting and item is None)
        self._sign.setVisible(over and item is None)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(24), px(24), px(24), px(24))
        self._column.setSpacing(px(8))
        picture = self._theme.icon("check", "ok")
        self._sign.setPixmap(picture.pixmap(self._theme.icon_size(32), self.devicePixelRatioF()))

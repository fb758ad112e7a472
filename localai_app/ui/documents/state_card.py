"""What stands where a page would be: nothing is open, or the document is locked, failed or still read."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from localai_app.documents.document import Document, State
from localai_app.ui.documents import words
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label


class PasswordField(QLineEdit):
    """Takes the password of a file."""

    def __init__(self) -> None:
        super().__init__()
        self.setEchoMode(QLineEdit.EchoMode.Password)
        self.setPlaceholderText(self.tr("Password of the file"))
        self.setAccessibleName(self.tr("Password of the file"))


class StateCard(QWidget):
    """Says what is the matter, and has what can be done about it."""

    unlock_requested = Signal(int, str)
    retry_requested = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._document: Document | None = None
        self._card = QFrame()
        self._card.setProperty("look", "card")
        self._card.hide()  # until it is known what there is to say
        self.title = label("", "strong", wrap=True)
        self.words = label("", "dim", wrap=True)
        self.password = PasswordField()
        self.password.returnPressed.connect(self._unlock)
        self.unlock_button = Button(theme, self.tr("Open"), look="primary")
        self.unlock_button.clicked.connect(self._unlock)
        # A password that was wrong twice leaves the document as it was: nothing else would bring it back.
        self.password.textEdited.connect(lambda _: self.unlock_button.setEnabled(True))
        self.retry_button = Button(theme, self.tr("Retry"), icon="refresh-cw", size=15)
        self.retry_button.clicked.connect(self._retry)
        self._row = QHBoxLayout()
        self._row.addWidget(self.password, 1)
        self._row.addWidget(self.unlock_button)
        self._row.addWidget(self.retry_button)
        self._row.addStretch(0)
        self._inside = QVBoxLayout(self._card)
        self._inside.addWidget(self.title)
        self._inside.addWidget(self.words)
        self._inside.addLayout(self._row)
        self._outer = QVBoxLayout(self)
        self._outer.addStretch(1)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self._card, 10_000)
        row.addStretch(1)
        self._outer.addLayout(row)
        self._outer.addStretch(2)
        theme.changed.connect(self._fit)
        self._fit()

    def show_document(self, document: Document) -> None:
        """Say why there is no page of ``document``."""
        asked_before = self._document is not None and self._document.id == document.id
        self._document = document
        title, text = {
            State.LOCKED: (
                self.tr("{0} is locked").format(document.name),
                document.error or self.tr("It is encrypted. Its password is used once and not kept."),
            ),
            State.FAILED: (self.tr("{0} could not be read").format(document.name), document.error),
        }.get(
            document.state,
            (
                self.tr("{0} is waiting to be read").format(document.name)
                if document.state is State.WAITING
                else self.tr("{0} is being read").format(document.name),
                self.tr("Its pages are shown here as soon as they are there."),
            ),
        )
        self.title.setText(title)
        self.words.setText(text)
        locked = document.state is State.LOCKED
        self.password.setVisible(locked)
        self.unlock_button.setVisible(locked)
        self.unlock_button.setEnabled(True)
        if not asked_before or not locked:
            self.password.clear()
        self.retry_button.setVisible(document.state is State.FAILED)
        self._card.setAccessibleName(words.details(document))
        self._card.show()

    def _unlock(self) -> None:
        if self._document is not None and self.password.text():
            self.unlock_button.setEnabled(False)
            self.unlock_requested.emit(self._document.id, self.password.text())
            self.password.clear()

    def _retry(self) -> None:
        if self._document is not None:
            self.retry_requested.emit(self._document.id)

    def _fit(self) -> None:
        px = self._theme.px
        self._outer.setContentsMargins(px(20), px(20), px(20), px(20))
        self._inside.setContentsMargins(px(20), px(16), px(20), px(16))
        self._inside.setSpacing(px(10))
        self._row.setSpacing(px(8))
        self._card.setMinimumWidth(px(260))
        self._card.setMaximumWidth(px(440))

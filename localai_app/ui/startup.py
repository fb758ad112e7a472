"""What may have to be said before there is a window: the passphrase, and why the store stays shut."""

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.paths import portable_folder
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label, selectable

SHORTEST = 8
"""Characters of a new passphrase."""


class PassphraseDialog(QDialog):
    """Asks for the passphrase, or for a new one twice."""

    def __init__(
        self, theme: Theme, parent: QWidget | None = None, *, new: bool, text: str = "", leave: str = ""
    ) -> None:
        """``text`` says what the new passphrase is for, where it is not the store; ``leave`` is on the
        button that sets none."""
        super().__init__(parent)
        px = theme.px
        self._new = new
        self.setWindowTitle(self.tr("LocalAI App"))
        self.first = self._field(self.tr("Passphrase"))
        self.second = self._field(self.tr("The same passphrase again"))
        self.second.setVisible(new)
        self._wrong = label("", "bad", wrap=True)
        self._wrong.hide()
        self.ok = Button(theme, self.tr("Set passphrase") if new else self.tr("Open"), look="primary")
        self.ok.setDefault(True)
        self.ok.clicked.connect(self._check)
        self.leave = Button(theme, leave or (self.tr("Cancel") if parent else self.tr("Quit")))
        self.leave.clicked.connect(self.reject)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.leave)
        foot.addWidget(self.ok)
        title = self.tr("Choose a passphrase") if new else self.tr("Your chats are locked")
        text = text or (
            self.tr(
                "It encrypts everything that you keep here. Nobody can recover it for you: write it down."
            )
            if new
            else self.tr("Enter the passphrase that you chose for this data folder.")
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(px(24), px(20), px(24), px(18))
        column.setSpacing(px(12))
        column.addWidget(label(title, "title"))
        column.addWidget(label(text, wrap=True))
        column.addWidget(self.first)
        column.addWidget(self.second)
        column.addWidget(self._wrong)
        column.addSpacing(px(4))
        column.addLayout(foot)
        self.setMinimumWidth(px(440))

    @property
    def passphrase(self) -> str:
        """What was entered."""
        return self.first.text()

    def _field(self, name: str) -> QLineEdit:
        field = QLineEdit()
        field.setEchoMode(QLineEdit.EchoMode.Password)
        field.setPlaceholderText(name)
        field.setAccessibleName(name)
        return field

    def _check(self) -> None:
        wrong = ""
        if not self.first.text():
            wrong = self.tr("Enter the passphrase.")
        elif self._new and len(self.first.text()) < SHORTEST:
            wrong = self.tr("Use at least {0} characters.").format(SHORTEST)
        elif self._new and self.first.text() != self.second.text():
            wrong = self.tr("The two are not the same.")
        self._wrong.setText(wrong)
        self._wrong.setVisible(bool(wrong))
        if not wrong:
            self.accept()


def ask_passphrase(theme: Theme) -> Callable[[bool], str | None]:
    """A question to hand to `open_app`; it returns None when the person quits, or wants none."""

    def ask(new: bool) -> str | None:
        dialog = _portable(theme) if new and portable_folder() else PassphraseDialog(theme, new=new)
        accepted = dialog.exec() == QDialog.DialogCode.Accepted
        return dialog.passphrase if accepted else None

    return ask


def _portable(theme: Theme) -> PassphraseDialog:
    translate = QCoreApplication.translate
    return PassphraseDialog(
        theme,
        new=True,
        text=translate(
            "PassphraseDialog",
            "This is a portable copy: everything that you keep lies beside the program, and is easily lost "
            "with it. The passphrase encrypts it. Nobody can recover it for you: write it down. Without one, "
            "whoever finds this copy can read it.",
        ),
        leave=translate("PassphraseDialog", "Not now"),
    )


class CannotOpen(QDialog):
    """The store cannot be opened: why, what to do, and another try."""

    def __init__(self, theme: Theme, error: LocalAIError) -> None:
        super().__init__()
        px = theme.px
        self.setWindowTitle(self.tr("LocalAI App"))
        picture = QLabel()
        icon = theme.icon("triangle-alert", "warn")
        picture.setPixmap(icon.pixmap(theme.icon_size(28), self.devicePixelRatioF()))
        self.line = label(str(error), "strong", wrap=True)
        self.hint = label(error.hint, wrap=True)
        for text in (self.line, self.hint):
            selectable(text)
        self.again = Button(theme, self.tr("Try again"), look="primary")
        self.again.setDefault(True)
        self.again.clicked.connect(self.accept)
        leave = Button(theme, self.tr("Quit"))
        leave.clicked.connect(self.reject)
        words = QVBoxLayout()
        words.setSpacing(px(8))
        words.addWidget(label(self.tr("Your chats cannot be opened"), "title"))
        words.addWidget(self.line)
        words.addWidget(self.hint)
        self.hint.setVisible(bool(error.hint))
        words.addWidget(label(self.tr("Nothing was changed."), "dim"))
        top = QHBoxLayout()
        top.setSpacing(px(14))
        top.addWidget(picture, 0, Qt.AlignmentFlag.AlignTop)
        top.addLayout(words, 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(leave)
        foot.addWidget(self.again)
        column = QVBoxLayout(self)
        column.setContentsMargins(px(24), px(20), px(24), px(18))
        column.setSpacing(px(18))
        column.addLayout(top)
        column.addLayout(foot)
        self.setMinimumWidth(px(480))
        self.again.setFocus()

"""Questions to the person."""

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label, selectable


class Question(QDialog):
    """A title, a text, and two buttons; Escape and Enter mean "no" unless the action has the focus."""

    def __init__(
        self, theme: Theme, parent: QWidget | None, title: str, text: str, action: str, *, look: str = "bad"
    ) -> None:
        super().__init__(parent)
        px = theme.px
        self.setWindowTitle(title)
        self.setModal(True)
        self.text = text
        words = selectable(label(text, wrap=True))
        self.accept_button = Button(theme, action, look=look)
        self.accept_button.clicked.connect(self.accept)
        cancel = Button(theme, self.tr("Cancel"))
        cancel.clicked.connect(self.reject)
        cancel.setDefault(True)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(cancel)
        foot.addWidget(self.accept_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(px(20), px(18), px(20), px(16))
        column.setSpacing(px(12))
        column.addWidget(label(title, "title"))
        column.addWidget(words)
        column.addSpacing(px(6))
        column.addLayout(foot)
        self.setMinimumWidth(px(420))


def confirm(theme: Theme, parent: QWidget, title: str, text: str, action: str) -> bool:
    """Ask before something that cannot be undone."""
    return Question(theme, parent, title, text, action).exec() == QDialog.DialogCode.Accepted


def ask_to_copy(theme: Theme, parent: QWidget, address: str) -> bool:
    """Show a link's whole address and offer to copy it; anything but https is refused.

    A browser that this process started would inherit its closed network: the person opens the address.
    """
    if not address.lower().startswith("https://"):
        return False
    dialog = Question(
        theme,
        parent,
        QCoreApplication.translate("Question", "This app opens no connection"),
        # A zero-width space lets a long address wrap anywhere without hiding a character.
        QCoreApplication.translate("Question", "Copy the address to open it in your browser:")
        + "\n\n"
        + "\u200b".join(address[start : start + 8] for start in range(0, len(address), 8)),
        QCoreApplication.translate("Question", "Copy address"),
        look="primary",
    )
    return dialog.exec() == QDialog.DialogCode.Accepted

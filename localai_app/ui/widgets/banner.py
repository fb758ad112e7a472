"""The line that an organisation shows at the top of the window, such as a classification."""

from collections.abc import Callable

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QLabel

_LOOK_MS = 10_000


class Banner(QLabel):
    """Shows what it is told to; hidden where that is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "banner")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        self._text: Callable[[], str] = str
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self.hide()

    def follow(self, text: Callable[[], str]) -> None:
        """Show ``text()`` from now on, which policy may change at any time."""
        self._text = text
        self._timer.start(_LOOK_MS)
        self.look()

    def look(self) -> None:
        """Show what is to be shown now."""
        text = self._text()
        self.setText(text)
        self.setAccessibleName(text)
        self.setVisible(bool(text))

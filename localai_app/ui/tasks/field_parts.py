"""What a field's row is made of: the grip that it is dragged by, and the choice of its type."""

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QLabel

from localai_app.tasks.extraction.fields import FieldType
from localai_app.ui.tasks.words import tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.choice import Choice

TABLE = "table"
"""Of the types: a list whose entries have several fields."""


def type_names() -> list[tuple[str, str]]:
    """What the types are called, in the order of the list."""
    return [
        (FieldType.TEXT, tr("Text")),
        (FieldType.LONG_TEXT, tr("Long text")),
        (FieldType.NUMBER, tr("Number")),
        (FieldType.AMOUNT, tr("Amount")),
        (FieldType.DATE, tr("Date")),
        (FieldType.IBAN, tr("IBAN")),
        (FieldType.EMAIL, tr("E-mail")),
        (FieldType.YES_NO, tr("Yes or no")),
        (FieldType.CHOICE, tr("One of a list")),
    ]


class Grip(QLabel):
    """Dragged up and down with the mouse; with the keyboard, Alt+Up and Alt+Down do the same."""

    dragged = Signal(QPoint)
    """To this place of the screen."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setCursor(Qt.CursorShape.OpenHandCursor)
        self.setToolTip(tr("Drag to another place (Alt+Up, Alt+Down)"))
        theme.changed.connect(self._fit)
        self._fit()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The row follows."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.dragged.emit(event.globalPosition().toPoint())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the row."""
        self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go of it."""
        self.setCursor(Qt.CursorShape.OpenHandCursor)

    def _fit(self) -> None:
        picture = self._theme.icon("grip-vertical")
        self.setPixmap(picture.pixmap(self._theme.icon_size(15), self.devicePixelRatioF()))


class TypeChoice(Choice):
    """Its list is made when it is first opened: a schema has dozens of these."""

    def showPopup(self) -> None:
        """The list is called as the field is."""
        self.view().setAccessibleName(self.accessibleName())
        super().showPopup()

"""A drop-down list whose arrow is one of the theme's icons."""

from PySide6.QtGui import QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import QComboBox

from localai_app.ui.theme import Theme


class Choice(QComboBox):
    """The style sheet can only take an arrow from a file; this one is tinted like every icon."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme

    def showPopup(self) -> None:
        """The list is called as the field is."""
        self.view().setAccessibleName(self.accessibleName())
        super().showPopup()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The box, then the arrow."""
        super().paintEvent(event)
        side = self._theme.px(15)
        painter = QPainter(self)
        icon = self._theme.icon("chevron-down")
        icon.paint(painter, self.width() - side - self._theme.px(9), (self.height() - side) // 2, side, side)
        painter.end()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll the panel, not the value."""
        event.ignore()

"""A check box whose tick is one of the theme's icons."""

from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QCheckBox, QStyle, QStyleOptionButton

from localai_app.ui.theme import Theme


class Check(QCheckBox):
    """The style sheet can only take a tick from a file; this one is tinted like every icon."""

    def __init__(self, theme: Theme, text: str) -> None:
        super().__init__(text)
        self._theme = theme
        self.setAccessibleName(text)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The box, then the tick."""
        super().paintEvent(event)
        if not self.isChecked():
            return
        option = QStyleOptionButton()
        self.initStyleOption(option)
        box = self.style().subElementRect(QStyle.SubElement.SE_CheckBoxIndicator, option, self)
        painter = QPainter(self)
        self._theme.icon("check", "on_accent").paint(painter, box)
        painter.end()

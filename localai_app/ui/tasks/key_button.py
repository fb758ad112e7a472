"""A button that shows the key that does the same."""

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetrics, QPaintEvent
from PySide6.QtWidgets import QStyle, QStyleOptionButton, QStylePainter

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button

GAP, EDGE = 7, 10
"""Design pixels between icon, words and key; at the sides."""


class KeyButton(Button):
    """Icon, words and key in one line; ``compact`` leaves the icon out."""

    def __init__(self, theme: Theme, text: str, key: str, *, icon: str, look: str = "") -> None:
        self._words, self._key, self._icon = text, key, icon
        self._compact = False
        super().__init__(theme, text, look=look)

    def set_words(self, text: str, key: str) -> None:
        """Show and say other words and another key."""
        self._words, self._key = text, key
        self.set_text(text)
        self.updateGeometry()
        self.update()

    def set_text(self, text: str) -> None:
        """Show ``text``; screen readers are told the key, too."""
        super().set_text(text)
        self.setAccessibleName(f"{text} ({self._key})")

    def set_compact(self, compact: bool) -> None:
        """Leave the icon out, or show it."""
        if compact != self._compact:
            self._compact = compact
            self.updateGeometry()
            self.update()

    def width_of(self, *, compact: bool) -> int:
        """How wide it is with or without its icon."""
        px = self._theme.px
        icon = 0 if compact else px(16) + px(GAP)
        words = QFontMetrics(self._font()).horizontalAdvance(self._words)
        key = QFontMetrics(self._key_font()).horizontalAdvance(self._key)
        return 2 * px(EDGE) + icon + words + px(GAP) + key + 2

    def _font(self) -> QFont:
        primary = self.property("look") == "primary"
        return self._theme.font(weight=QFont.Weight.DemiBold if primary else QFont.Weight.Medium)

    def _key_font(self) -> QFont:
        font = self._theme.mono(12)
        font.setWeight(QFont.Weight.Bold)
        return font

    def sizeHint(self) -> QSize:
        """As wide as what it shows."""
        return QSize(self.width_of(compact=self._compact), super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """It is never cut."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        """The button of the style sheet, then what stands on it."""
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = ""
        painter = QStylePainter(self)
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
        px, theme = self._theme.px, self._theme
        primary = self.property("look") == "primary"
        token = ("on_accent" if primary else "text") if self.isEnabled() else "dim"
        left = (self.width() - self.width_of(compact=self._compact)) // 2 + px(EDGE)
        if not self._compact:
            side = px(16)
            theme.icon(self._icon, token if primary else "dim").paint(
                painter, QRect(left, (self.height() - side) // 2, side, side)
            )
            left += side + px(GAP)
        painter.setPen(theme.color(token))
        middle = int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft)
        painter.setFont(self._font())
        painter.drawText(QRect(left, 0, self.width(), self.height()), middle, self._words)
        left += painter.fontMetrics().horizontalAdvance(self._words) + px(GAP)
        painter.setFont(self._key_font())
        painter.drawText(QRect(left, 0, self.width(), self.height()), middle, self._key)
        painter.end()

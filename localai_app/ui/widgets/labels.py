"""Labels: cut with an ellipsis when short of room, chips, section titles. All show plain text only."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QWidget

from localai_app.ui.theme import Theme


def label(text: str = "", look: str = "", *, wrap: bool = False) -> QLabel:
    """A label that never reads its text as markup."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(wrap)
    if look:
        made.setProperty("look", look)
    return made


def selectable(shown: QLabel) -> QLabel:
    """Let the text of ``shown`` be selected and copied."""
    shown.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    shown.setAccessibleName(shown.text())
    return shown


def restyle(widget: QWidget, **properties: object) -> None:
    """Set dynamic properties and let the style sheet see them."""
    changed = False
    for name, value in properties.items():
        if widget.property(name) != value:
            widget.setProperty(name, value)
            changed = True
    if changed:
        for part in (widget, *widget.findChildren(QWidget)):
            part.style().unpolish(part)
            part.style().polish(part)


class ElidedLabel(QLabel):
    """One line of plain text that is cut with an ellipsis; the tooltip then has all of it."""

    def __init__(self, text: str = "", look: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        if look:
            self.setProperty("look", look)
        self.setText(text)

    def sizeHint(self) -> QSize:
        """As wide as the whole text."""
        margins = self.contentsMargins()
        wide = self.fontMetrics().horizontalAdvance(self.text()) + 2 + margins.left() + margins.right()
        return QSize(wide, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Wide enough for an ellipsis."""
        return QSize(self.fontMetrics().horizontalAdvance("…"), super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Offer the whole text as a tooltip when it does not fit."""
        super().resizeEvent(event)
        fits = self.fontMetrics().horizontalAdvance(self.text()) <= self.contentsRect().width()
        self.setToolTip("" if fits else self.text())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw what fits."""
        painter = QPainter(self)
        room = self.contentsRect()
        text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(room, int(self.alignment()) | int(Qt.AlignmentFlag.AlignVCenter), text)
        painter.end()


class Chip(QFrame):
    """A small icon with a few words: a state that is always in view."""

    def __init__(
        self, theme: Theme, icon: str, text: str, *, look: str = "chip-quiet", tint: str = "dim"
    ) -> None:
        super().__init__()
        self._theme = theme
        self._icon, self._tint = icon, tint
        self.setProperty("look", look)
        self._picture = QLabel()
        self._label = label(text)
        row = QHBoxLayout(self)
        row.addWidget(self._picture)
        row.addWidget(self._label)
        theme.changed.connect(self._fit)
        self._fit()

    @property
    def text(self) -> str:
        """The words shown."""
        return self._label.text()

    def set_text(self, text: str) -> None:
        """Show other words."""
        self._label.setText(text)

    def _fit(self) -> None:
        px = self._theme.px
        quiet = self.property("look") == "chip-quiet"
        row = self.layout()
        assert row is not None
        row.setContentsMargins(px(2 if quiet else 10), px(4), px(2 if quiet else 10), px(4))
        row.setSpacing(px(6))
        icon = self._theme.icon(self._icon, self._tint)
        self._picture.setPixmap(icon.pixmap(self._theme.icon_size(15), self.devicePixelRatioF()))

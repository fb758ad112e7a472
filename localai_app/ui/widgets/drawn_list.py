"""Lists whose rows are drawn by a delegate: the ground of a row, and a ring where the keyboard is."""

from typing import Any

from PySide6.QtCore import QAbstractListModel, QRect, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPen
from PySide6.QtWidgets import QListView, QStyle, QStyleOptionViewItem

from localai_app.ui.theme import Theme


class DrawnList(QListView):
    """A list that scrolls by pixels, follows the theme, and knows whether the keyboard is at work on it."""

    def __init__(self, theme: Theme, name: str, model: QAbstractListModel) -> None:
        super().__init__()
        self.keyboard_focus = False
        self.setModel(model)
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        theme.changed.connect(self.scheduleDelayedItemsLayout)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """The mouse needs no ring."""
        self.keyboard_focus = False
        super().mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """The ring shows."""
        self.keyboard_focus = True
        super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """The ring shows when the keyboard brought the focus."""
        self.keyboard_focus = event.reason() in (
            Qt.FocusReason.TabFocusReason,
            Qt.FocusReason.BacktabFocusReason,
            Qt.FocusReason.ShortcutFocusReason,
        )
        super().focusInEvent(event)


def draw_ground(painter: QPainter, theme: Theme, rect: QRect, option: QStyleOptionViewItem) -> bool:
    """Draw the ground of a row that is chosen or hovered, and the keyboard's ring; whether it is chosen."""
    radius = theme.px(8)
    selected = bool(option.state & QStyle.StateFlag.State_Selected)
    if selected or option.state & QStyle.StateFlag.State_MouseOver:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("soft" if selected else "hover"))
        painter.drawRoundedRect(rect, radius, radius)
    view: Any = option.widget
    if isinstance(view, DrawnList) and view.keyboard_focus and option.state & QStyle.StateFlag.State_HasFocus:
        painter.setPen(QPen(theme.color("accent"), 1.5))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(rect.adjusted(1, 1, -1, -1), radius, radius)
    return selected

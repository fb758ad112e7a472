"""The pages' buttons at the left of the window."""

from typing import Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QFrame, QToolButton, QVBoxLayout

from localai_app.ui.theme import Theme

PageName = Literal["chat", "documents", "tasks", "models", "organisation", "settings", "first run"]

_ICONS: dict[PageName, str] = {
    "chat": "message-square",
    "documents": "files",
    "tasks": "list-checks",
    "models": "box",
    "organisation": "building-2",
    "settings": "settings",
}
_AT_THE_BOTTOM: PageName = "organisation"
"""From this page on."""


class Rail(QFrame):
    """One button a page; where the window is too low for their names, their pictures stand alone."""

    chosen = Signal(str)
    """A `PageName`."""

    def __init__(self, theme: Theme, *, documents: bool, tasks: bool) -> None:
        """``documents``, ``tasks``: whether there are such pages."""
        super().__init__()
        self._theme = theme
        self._height = 0
        self.setProperty("look", "rail")
        self._column = QVBoxLayout(self)
        self.buttons: dict[PageName, QToolButton] = {}
        names: dict[PageName, str] = {
            "chat": self.tr("Chat"),
            "documents": self.tr("Documents"),
            "tasks": self.tr("Tasks"),
            "models": self.tr("Models"),
            "organisation": self.tr("Organisation"),
            "settings": self.tr("Settings"),
        }
        absent = {"documents": not documents, "tasks": not tasks}
        for page, name in names.items():
            if page == _AT_THE_BOTTOM:
                self._column.addStretch(1)
            if not absent.get(page):
                self._add(page, name)
        self.check("chat")
        theme.changed.connect(self._fit)

    def check(self, page: PageName) -> None:
        """Mark the page that is in view."""
        for each, button in self.buttons.items():
            button.setChecked(each == page)

    def show_button(self, page: PageName, shown: bool) -> None:
        """Offer a page, or do not."""
        self.buttons[page].setVisible(shown)
        self._fit()

    def fit(self, height: int) -> None:
        """Take up ``height`` pixels."""
        self._height = height
        self._fit()

    def _add(self, page: PageName, name: str) -> None:
        button = QToolButton()
        button.setProperty("look", "rail")
        button.setText(name)
        button.setAccessibleName(name)
        button.setIcon(self._theme.icon(_ICONS[page]))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setCheckable(True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        button.clicked.connect(lambda: self.chosen.emit(page))
        self.buttons[page] = button
        self._column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)

    def _fit(self) -> None:
        px, buttons = self._theme.px, self.buttons.values()
        self._column.setContentsMargins(px(2), px(10), px(2), px(10))
        self._column.setSpacing(px(4))
        shown = [button for button in buttons if not button.isHidden()]
        wide = max(px(70), *map(self._width_of, shown))
        self.setFixedWidth(wide + px(6))
        low = self._height - px(20) < len(shown) * px(58)
        style = Qt.ToolButtonStyle
        for button in buttons:
            button.setToolButtonStyle(style.ToolButtonIconOnly if low else style.ToolButtonTextUnderIcon)
            button.setToolTip(button.text() if low else "")
            button.setFixedSize(wide, px(34 if low else 54))
            button.setIconSize(self._theme.icon_size(20))

    def _width_of(self, button: QToolButton) -> int:
        button.ensurePolished()  # the style sheet's font, not the system's
        font = QFont(button.font())
        font.setBold(True)  # as that of the page in view is
        return QFontMetrics(font).horizontalAdvance(button.text()) + self._theme.px(10)

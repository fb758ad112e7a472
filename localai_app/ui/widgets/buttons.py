"""Buttons with an icon of the theme, a name for screen readers, and a focus ring for the keyboard only."""

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QToolButton, QWidget

from localai_app.ui.theme import Theme


class IconButton(QToolButton):
    """A flat button that shows an icon; ``name`` is its tooltip and accessible name."""

    def __init__(
        self, theme: Theme, icon: str, name: str, parent: QWidget | None = None, *, size: float = 18
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._size = size
        self.setIcon(theme.icon(icon))
        self.set_name(name)
        # A mouse click leaves the focus where the person types; Tab still reaches the button.
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        theme.changed.connect(self._fit)
        self._fit()

    def set_name(self, name: str) -> None:
        """Say what the button does now."""
        self.setToolTip(name)
        self.setAccessibleName(name)

    def _fit(self) -> None:
        self.setIconSize(self._theme.icon_size(self._size))


class Button(QPushButton):
    """A push button of one of the looks in the style sheet."""

    def __init__(
        self,
        theme: Theme,
        text: str,
        *,
        look: str = "",
        icon: str = "",
        tint: str = "dim",
        size: float = 18,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme = theme
        self._size = size
        self._gap = " " if icon else ""
        self.set_text(text)
        if look:
            self.setProperty("look", look)
        if icon:
            self.setIcon(theme.icon(icon, tint))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAutoDefault(False)
        theme.changed.connect(self._fit)
        self._fit()

    def set_text(self, text: str) -> None:
        """Show and say ``text``."""
        self.setText(self._gap + text if text else "")
        self.setAccessibleName(text)

    def _fit(self) -> None:
        self.setIconSize(self._theme.icon_size(self._size))

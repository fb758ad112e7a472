"""A short message over the window's lower edge, with one thing to do about it."""

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QTimer
from PySide6.QtGui import QAccessible, QAccessibleEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import ElidedLabel

SHOWN_MS = 9000
LIFT = 118
"""Design pixels above the lower edge: clear of the composer."""


class Toast(QFrame):
    """Lies over ``parent``; shows one message at a time and goes by itself."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setProperty("look", "toast")
        self._label = ElidedLabel()
        self._action = Button(theme, "", look="link")
        self._close = IconButton(theme, "x", self.tr("Dismiss"), size=16)
        self._row = QHBoxLayout(self)
        self._row.addWidget(self._label, 1)
        self._row.addWidget(self._action)
        self._row.addWidget(self._close)
        self._act: Callable[[], None] | None = None
        self.spared: Callable[[], QWidget | None] = lambda: None
        """Gives what the toast must not cover."""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        self._close.clicked.connect(self.hide)
        self._action.clicked.connect(self._perform)
        parent.installEventFilter(self)
        self.hide()

    @property
    def text(self) -> str:
        """The message shown last."""
        return self._label.text()

    def show_message(self, text: str, action: str = "", act: Callable[[], None] | None = None) -> None:
        """Show ``text`` and, where given, a button ``action`` that calls ``act``."""
        self._label.setText(text)
        self._action.setVisible(bool(action))
        self._action.set_text(action)
        self._act = act
        self.show()
        self.raise_()
        self.place()
        self._timer.start(SHOWN_MS)
        self.setAccessibleName(text)
        QAccessible.updateAccessibility(QAccessibleEvent(self, QAccessible.Event.Alert))

    def act(self) -> bool:
        """Do what the button offers; False when nothing is offered."""
        if self.isVisible() and self._act is not None:
            self._perform()
            return True
        return False

    def _perform(self) -> None:
        act, self._act = self._act, None
        self.hide()
        if act is not None:
            act()

    def place(self) -> None:
        """Lie clear of what must not be covered, which may be something else by now."""
        px = self._theme.px
        self._row.setContentsMargins(px(14), px(6), px(6), px(6))
        self._row.setSpacing(px(8))
        parent = self.parentWidget()
        assert parent is not None
        self.ensurePolished()
        self._label.ensurePolished()
        width = min(self.sizeHint().width() + self._label.sizeHint().width(), parent.width() - px(32))
        height = self.sizeHint().height()
        low, spared = parent.height() - px(LIFT), self.spared()
        if spared is not None and spared.isVisible():
            spared.installEventFilter(self)
            low = min(low, spared.mapTo(parent, QPoint(0, -px(8))).y())
        self.setGeometry((parent.width() - width) // 2, low - height, width, height)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay clear when the parent, or what must not be covered, is resized."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self.place()
        return False

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape dismisses."""
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
        else:
            super().keyPressEvent(event)

"""Hides what is on the screen after the time without a key or a click that the organisation sets.

Work that is under way goes on. What is hidden comes back with whatever guards the store's key: the
passphrase, or the system's keystore. It protects against who passes by, not against who controls the
account: the store stays open.
"""

import time
from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QDialog, QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label

_LOOK_MS = 5_000
_SIGNS_OF_LIFE = frozenset(
    {
        QEvent.Type.KeyPress,
        QEvent.Type.MouseButtonPress,
        QEvent.Type.MouseMove,
        QEvent.Type.Wheel,
        QEvent.Type.TouchBegin,
        QEvent.Type.TabletPress,
    }
)
_SHORTCUTS = frozenset({QEvent.Type.Shortcut, QEvent.Type.ShortcutOverride})


class IdleLock(QObject):
    """Locks ``window`` when nobody used it for ``minutes()``; 0: never."""

    locked = Signal()
    unlocked = Signal()

    def __init__(
        self,
        theme: Theme,
        jobs: Jobs,
        window: QWidget,
        minutes: Callable[[], int],
        unlock: Callable[[str], None],
        *,
        passphrase: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``unlock`` proves that whoever typed may go on, else raises `LocalAIError`; it may take a second.

        ``passphrase`` says whether there is one to type.
        """
        super().__init__(window)
        self._theme, self._jobs, self._window = theme, jobs, window
        self._minutes, self._unlock, self._passphrase = minutes, unlock, passphrase
        self._clock = clock
        self._used = clock()
        self._hidden: list[QWidget] = []
        self.view: LockView | None = None
        """What is shown while it is locked."""
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(_LOOK_MS)
        self._watches = False
        self.look()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Notice that somebody is here; while it is locked, no shortcut does anything."""
        if event.type() in _SIGNS_OF_LIFE:
            self._used = self._clock()
        return self.view is not None and event.type() in _SHORTCUTS and not self._is_ours(watched)

    def look(self) -> None:
        """Lock if it is time."""
        minutes = self._minutes()
        self._watch(wanted=bool(minutes))
        if minutes and self.view is None and self._clock() - self._used >= minutes * 60:
            self.lock()

    def _watch(self, *, wanted: bool) -> None:
        # Every event of the app passes the filter: it is there only where it is needed.
        wanted = wanted or self.view is not None
        if wanted == self._watches:
            return
        self._watches = wanted
        self._used = self._clock()
        application = QApplication.instance()
        assert application is not None
        if wanted:
            application.installEventFilter(self)
        else:
            application.removeEventFilter(self)

    def lock(self) -> None:
        """Hide everything now."""
        for widget in QApplication.topLevelWidgets():
            if isinstance(widget, QDialog) and widget.isVisible():
                widget.reject()
        everything = self._window.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly)
        self._hidden = [widget for widget in everything if widget.isVisible()]
        for widget in self._hidden:
            widget.hide()
        view = self.view = LockView(self._theme, self._window, passphrase=self._passphrase())
        view.tried.connect(self._try)
        view.show()
        view.begin()
        self._watch(wanted=True)
        self.locked.emit()

    def _try(self, typed: str) -> None:
        view = self.view
        assert view is not None
        view.set_busy(True)
        job = self._jobs.run(lambda: self._unlock(typed))
        job.returned.connect(self._open)
        job.failed.connect(view.show_error)

    def _open(self) -> None:
        view = self.view
        if view is None:
            return
        self.view = None
        self._used = self._clock()
        view.hide()
        view.deleteLater()
        for widget in self._hidden:
            widget.show()
        self._hidden = []
        self.unlocked.emit()

    def _is_ours(self, watched: QObject) -> bool:
        return self.view is not None and isinstance(watched, QWidget) and self.view.isAncestorOf(watched)


class LockView(QFrame):
    """Covers the window and asks for the passphrase."""

    tried = Signal(str)

    def __init__(self, theme: Theme, window: QWidget, *, passphrase: bool) -> None:
        super().__init__(window)
        px = theme.px
        self.setProperty("look", "page")
        self.setAccessibleName(self.tr("Locked"))
        self.field = QLineEdit()
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.setPlaceholderText(self.tr("Passphrase"))
        self.field.setAccessibleName(self.tr("Passphrase"))
        self.field.setVisible(passphrase)
        self.field.returnPressed.connect(self._go)
        self.button = Button(theme, self.tr("Unlock"), look="primary")
        self.button.clicked.connect(self._go)
        self.wrong = label("", "bad", wrap=True)
        self.wrong.hide()
        text = (
            self.tr("Enter your passphrase. What was under way goes on meanwhile.")
            if passphrase
            else self.tr(
                "The key of this store opens with your login: lock your screen when you leave. "
                "What was under way goes on meanwhile."
            )
        )
        card = QFrame()
        card.setProperty("look", "card")
        column = QVBoxLayout(card)
        column.setContentsMargins(px(28), px(24), px(28), px(22))
        column.setSpacing(px(12))
        column.addWidget(label(self.tr("Locked"), "title"))
        column.addWidget(label(text, wrap=True))
        column.addWidget(self.field)
        column.addWidget(self.wrong)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.button)
        column.addLayout(foot)
        card.setFixedWidth(px(420))
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(card)
        row.addStretch(1)
        middle = QVBoxLayout(self)
        middle.addStretch(1)
        middle.addLayout(row)
        middle.addStretch(1)
        window.installEventFilter(self)
        self.setGeometry(window.rect())
        self.raise_()

    def begin(self) -> None:
        """Put the keyboard where it is needed."""
        (self.field if not self.field.isHidden() else self.button).setFocus(Qt.FocusReason.OtherFocusReason)

    def set_busy(self, busy: bool) -> None:
        """While the passphrase is tried nothing else can be."""
        for widget in (self.field, self.button):
            widget.setEnabled(not busy)

    def show_error(self, error: LocalAIError) -> None:
        """It was not the right one."""
        self.set_busy(False)
        self.wrong.setText(error.line)
        self.wrong.show()
        self.field.selectAll()
        self.begin()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Cover the window whatever its size."""
        if event.type() is QEvent.Type.Resize and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return False

    def _go(self) -> None:
        self.tried.emit(self.field.text())

"""When the app itself is at fault: say so, without showing or logging what the person wrote."""

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout

from localai_app.errors import report
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label

log = logging.getLogger(__name__)


class CrashDialog(QDialog):
    """What happened, in words, with a report that can be copied."""

    def __init__(self, theme: Theme, text: str) -> None:
        super().__init__(QApplication.activeWindow())
        px = theme.px
        self.setWindowTitle(self.tr("LocalAI App: an error"))
        details = QPlainTextEdit(text)
        details.setReadOnly(True)
        details.setProperty("look", "field")
        details.setAccessibleName(self.tr("Error report"))
        details.setTabChangesFocus(True)
        details.setFont(theme.mono(12))
        copy = Button(theme, self.tr("Copy report"), icon="copy", size=16)
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(text))
        stop = Button(theme, self.tr("Quit"))
        stop.clicked.connect(self.reject)
        go_on = Button(theme, self.tr("Continue"), look="primary")
        go_on.clicked.connect(self.accept)
        go_on.setDefault(True)
        foot = QHBoxLayout()
        foot.addWidget(copy)
        foot.addStretch(1)
        foot.addWidget(stop)
        foot.addWidget(go_on)
        column = QVBoxLayout(self)
        column.setContentsMargins(px(20), px(18), px(20), px(16))
        column.setSpacing(px(12))
        column.addWidget(label(self.tr("Something went wrong in the app"), "title"))
        column.addWidget(
            label(
                self.tr(
                    "This is a fault of LocalAI App, not of anything you did. Your chats are saved. "
                    "The report below names places in the program; it holds nothing of what you wrote."
                ),
                wrap=True,
            )
        )
        column.addWidget(details)
        column.addLayout(foot)
        self.resize(px(620), px(400))
        go_on.setFocus()


class CrashHook(QObject):
    """Catches what nobody else caught, in any thread, and shows it in the UI thread."""

    _caught = Signal(object)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._showing = False
        self._before: tuple[Callable[..., object], Callable[..., object]] | None = None
        self._caught.connect(self._show, Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """Take over the interpreter's hooks."""
        self._before = (sys.excepthook, threading.excepthook)
        sys.excepthook = self._in_main_thread
        threading.excepthook = self._in_thread

    def remove(self) -> None:
        """Give the hooks back."""
        if self._before is not None:
            sys.excepthook, threading.excepthook = self._before
            self._before = None

    def caught(self, error: BaseException) -> None:
        """Handle ``error``; callable from any thread."""
        log.error("unexpected error\n%s", report(error))
        self._caught.emit(error)

    def _in_main_thread(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QApplication.quit()
        else:
            self.caught(error.with_traceback(trace))

    def _in_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            self.caught(args.exc_value)

    def _show(self, error: BaseException) -> None:
        if self._showing:
            return  # one dialog at a time; the log has them all
        self._showing = True
        dialog = CrashDialog(self._theme, report(error))
        if dialog.exec() == QDialog.DialogCode.Rejected:
            QApplication.quit()
        self._showing = False

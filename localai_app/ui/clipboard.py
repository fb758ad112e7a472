"""The way of text out of the window: the clipboard, the selection that a middle click pastes, and dragging.

Fields and labels copy by themselves, in many ways. So what policy forbids is taken off the clipboard again in
the moment that it is put there, before another program can ask for it: this one hands it out itself, when it
next looks for events. (Windows tells of it later: there, a program that watches the clipboard may be sooner.)
"""

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QClipboard, QGuiApplication
from PySide6.QtWidgets import QApplication

from localai_app.ui.widgets.padlock import Locks

_FAR = 1_000_000
"""Pixels that nobody drags text: only texts are dragged out of this app's windows."""


class ClipboardGuard(QObject):
    """Lets nothing of this app stay on the clipboard while policy forbids it."""

    refused = Signal()
    """Something was copied, and is gone."""

    def __init__(self, locks: Locks, parent: QObject) -> None:
        super().__init__(parent)
        self._policy = locks.policy
        self._distance = QApplication.startDragDistance()
        QGuiApplication.clipboard().changed.connect(self._look)
        locks.changed.connect(self._follow)
        self._follow()

    def _look(self, mode: QClipboard.Mode) -> None:
        clipboard = QGuiApplication.clipboard()
        if not _is_ours(clipboard, mode) or self._policy.allows_clipboard:
            return
        clipboard.clear(mode)
        if mode is QClipboard.Mode.Clipboard:
            self.refused.emit()

    def _follow(self) -> None:
        """Text is dragged where it may be copied."""
        QApplication.setStartDragDistance(self._distance if self._policy.allows_clipboard else _FAR)


def _is_ours(clipboard: QClipboard, mode: QClipboard.Mode) -> bool:
    """Whether what is there came from this app."""
    owned = {
        QClipboard.Mode.Clipboard: clipboard.ownsClipboard,
        QClipboard.Mode.Selection: clipboard.ownsSelection,
        QClipboard.Mode.FindBuffer: clipboard.ownsFindBuffer,
    }
    return owned[mode]()


def put_on_clipboard(text: str) -> bool:
    """Copy ``text``; whether it may be there."""
    clipboard = QGuiApplication.clipboard()
    clipboard.setText(text)
    return clipboard.text() == text

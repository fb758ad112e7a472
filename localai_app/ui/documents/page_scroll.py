"""Scrolls a page, and turns it at its end."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent, QWheelEvent
from PySide6.QtWidgets import QFrame, QScrollArea

from localai_app.ui.documents.canvas import PageCanvas


class PageScroll(QScrollArea):
    """Scrolls a page; at its end, the wheel and the keys turn it."""

    turned = Signal(int)
    """1: to the next page; -1: to the one before."""
    zoomed = Signal(int)
    resized = Signal()

    def __init__(self, canvas: PageCanvas) -> None:
        super().__init__()
        self.setWidget(canvas)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFocusProxy(canvas)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The page is fitted anew."""
        super().resizeEvent(event)
        self.resized.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom with Ctrl, turn the page at its end, else scroll."""
        step = event.angleDelta().y()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoomed.emit(1 if step > 0 else -1)
            event.accept()
            return
        bar = self.verticalScrollBar()
        if step < 0 and bar.value() >= bar.maximum():
            self.turned.emit(1)
        elif step > 0 and bar.value() <= bar.minimum():
            self.turned.emit(-1)
        else:
            super().wheelEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys that scroll on turn the page at its end."""
        bar = self.verticalScrollBar()
        key = event.key()
        if key in (Qt.Key.Key_PageDown, Qt.Key.Key_Space, Qt.Key.Key_Down) and bar.value() >= bar.maximum():
            self.turned.emit(1)
        elif key in (Qt.Key.Key_PageUp, Qt.Key.Key_Up) and bar.value() <= bar.minimum():
            self.turned.emit(-1)
        elif key == Qt.Key.Key_Space:
            bar.setValue(bar.value() + bar.pageStep())
        else:
            super().keyPressEvent(event)

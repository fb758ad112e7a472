"""The program, started as a person starts it; types a letter when it can and says when it stood there."""

import sys
import time
from typing import Any

from localai_app.__main__ import main
from localai_app.ui import application


def make_window_and_type(*arguments: Any) -> Any:
    """The real window; once it is exposed and focused, one key press."""
    from PySide6.QtCore import Qt, QTimer
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    window = make_window(*arguments)

    def look() -> None:
        field = QApplication.focusWidget()
        handle = window.windowHandle()
        if handle is None or not handle.isExposed() or field is not window.chat_page.composer.edit:
            return
        timer.stop()
        QTest.keyClick(field, Qt.Key.Key_A)
        assert field.toPlainText() == "a"
        sys.stdout.write(f"{time.time()}\n")
        sys.stdout.flush()
        QTimer.singleShot(300, window.close)

    timer = QTimer(window)
    timer.timeout.connect(look)
    timer.start(1)
    return window


make_window = application.make_window
application.make_window = make_window_and_type
sys.argv = ["localai-app"]
sys.exit(main())

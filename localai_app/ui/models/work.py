"""Long work on model files (verifying, importing, moving): shown with its progress, and stopped."""

import threading
import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QProgressBar, QVBoxLayout, QWidget

from localai_app.models.progress import Progress, Tell
from localai_app.ui.jobs import Job, Jobs
from localai_app.ui.models import words
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import ElidedLabel

_TELL_SECONDS = 0.1

Call = Callable[[Tell, threading.Event], Any]


class WorkRow(QWidget):
    """One piece of work, until it comes back."""

    _told = Signal(object)
    """From the thread that works."""

    def __init__(self, theme: Theme, name: str) -> None:
        super().__init__()
        self._theme = theme
        self._stop = threading.Event()
        self._name = ElidedLabel(name, "strong")
        self.line = ElidedLabel(self.tr("Waiting for its turn"), "dim")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.bar.setAccessibleName(name)
        self.stop_button = Button(theme, self.tr("Stop"))
        self.stop_button.setAccessibleName(self.tr("Stop: {0}").format(name))
        self.stop_button.clicked.connect(self.stop)
        self._grid = QGridLayout(self)
        self._grid.addWidget(self._name, 0, 0)
        self._grid.addWidget(self.bar, 1, 0)
        self._grid.addWidget(self.line, 2, 0)
        self._grid.addWidget(self.stop_button, 0, 1, 3, 1, Qt.AlignmentFlag.AlignVCenter)
        self._grid.setColumnStretch(0, 1)
        self._told.connect(self._show, Qt.ConnectionType.QueuedConnection)
        theme.changed.connect(self._fit)
        self._fit()

    def stop(self) -> None:
        """End it; what it changed so far is undone by whoever does the work."""
        self._stop.set()
        self.stop_button.setEnabled(False)
        self.line.setText(self.tr("Stopping…"))

    def call(self, work: Call) -> Any:
        """Do the work in this thread, and tell of it."""
        told = 0.0
        last = ""

        def tell(progress: Progress) -> None:
            nonlocal told, last
            now = time.monotonic()
            if now - told >= _TELL_SECONDS or progress.step != last:
                told, last = now, progress.step
                self._told.emit(progress)

        return work(tell, self._stop)

    def _show(self, progress: Progress) -> None:
        if not self._stop.is_set():
            self.line.setText(words.step(progress))
        self.bar.setRange(0, 1000 if progress.total else 0)
        self.bar.setValue(round(1000 * progress.fraction))

    def _fit(self) -> None:
        px = self._theme.px
        self._grid.setContentsMargins(0, px(4), 0, px(4))
        self._grid.setHorizontalSpacing(px(12))
        self._grid.setVerticalSpacing(px(3))


class WorkStrip(QFrame):
    """All work under way, one after the other; nothing is shown while there is none."""

    def __init__(self, theme: Theme, jobs: Jobs) -> None:
        super().__init__()
        self._theme, self._jobs = theme, jobs
        self.setProperty("look", "card")
        self.rows: list[WorkRow] = []
        self._column = QVBoxLayout(self)
        theme.changed.connect(self._fit)
        self._fit()
        self.hide()

    def start(self, name: str, work: Call) -> Job:
        """Begin ``work``, or queue it; its job tells how it ends."""
        row = WorkRow(self._theme, name)
        self.rows.append(row)
        self._column.addWidget(row)
        self.show()
        job = self._jobs.run(lambda: row.call(work), lane="model-files")
        job.finished.connect(lambda: self._end(row))
        return job

    def stop_all(self) -> None:
        """End everything, such as when the window closes."""
        for row in self.rows:
            row.stop()

    def _end(self, row: WorkRow) -> None:
        self.rows.remove(row)
        self._column.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.setVisible(bool(self.rows))

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(16), px(8), px(12), px(8))
        self._column.setSpacing(px(2))

"""Keeps lists as a service has them while it works.

A service calls back in any thread, up to ten times a second. How far its work is is asked for at that rate;
the lists, which may be long, at most twice a second and never more than a tenth of the time.
"""

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from localai_app.ui.jobs import Job, Jobs

LIST_SECONDS = 0.5
SHARE = 10
"""Listing takes at most one part in so many of the time."""


Listed = TypeVar("Listed")
Working = TypeVar("Working")


class Following(QObject, Generic[Listed, Working]):
    """All calls of a page to one service; a subclass says what is listed and how it is told."""

    failed = Signal(object)
    _changed = Signal()

    def __init__(self, jobs: Jobs, lane: str, work_lane: str, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs, self._lane, self._work_lane = jobs, lane, work_lane
        self._listing = self._again = self._asking = False
        self._took = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)
        self._unwatch: Callable[[], None] | None = None
        self._changed.connect(self._note, Qt.ConnectionType.QueuedConnection)

    # ------------------------------------------------------------ for a subclass to say

    @abstractmethod
    def _watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called when something changed, until the returned function is called."""

    @abstractmethod
    def _to_list(self) -> Callable[[], Listed]:
        """What a pool thread is to do to list everything that is wanted now."""

    @abstractmethod
    def _show(self, listed: Listed) -> None:
        """Tell what was listed."""

    @abstractmethod
    def _work(self) -> Working:
        """In a pool thread: how far the work is."""

    @abstractmethod
    def _show_work(self, work: Working) -> None:
        """Tell how far the work is."""

    # ------------------------------------------------------------ for the page

    def start(self) -> None:
        """List what is there, and stay with it."""
        if self._unwatch is None:
            self._unwatch = self._watch(self._changed.emit)
        self.follow()

    def close(self) -> None:
        """Look no more."""
        self._timer.stop()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def refresh(self) -> None:
        """List everything again; while that goes on, once more at its end."""
        if self._listing:
            self._again = True
            return
        self._listing, self._again = True, False
        self._timer.stop()
        call = self._to_list()
        job = self._jobs.run(lambda: self._timed(call), lane=self._lane)
        job.returned.connect(self._show)
        job.failed.connect(self.failed)
        job.finished.connect(self._end_listing)

    def follow(self) -> None:
        """List everything and ask how far the work is."""
        self.refresh()
        self._ask_work()

    def do(
        self, call: Callable[[], Any], done: Callable[[Any], Any] | None = None, *, lane: str | None = None
    ) -> Job:
        """Change something; what is shown follows."""
        job = self._jobs.run(call, lane=lane or self._lane)
        if done is not None:
            job.returned.connect(done)
        job.returned.connect(lambda _: self.follow())
        job.failed.connect(self.failed)
        job.failed.connect(lambda _: self.follow())
        return job

    # ------------------------------------------------------------ within

    def _note(self) -> None:
        if self._unwatch is None:
            return  # told before it was closed, and come after
        self._ask_work()
        if not self._timer.isActive():
            self._timer.start(round(1000 * max(LIST_SECONDS, SHARE * self._took)))

    def _timed(self, call: Callable[[], Listed]) -> Listed:
        began = time.monotonic()
        listed = call()
        self._took = time.monotonic() - began
        return listed

    def _end_listing(self) -> None:
        self._listing = False
        if self._again:
            self.refresh()

    def _ask_work(self) -> None:
        if self._asking:
            return
        self._asking = True
        job = self._jobs.run(self._work, lane=self._work_lane)
        job.returned.connect(self._show_work)
        job.failed.connect(self.failed)
        job.finished.connect(self._end_asking)

    def _end_asking(self) -> None:
        self._asking = False

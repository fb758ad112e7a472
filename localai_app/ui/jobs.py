"""The one bridge between the window and the services.

A service call runs in a pool thread; what it returns, yields or raises comes back as a signal in the
UI thread. Yielded values are handed over in lists, at most one list each `DELIVERY_INTERVAL`, so a
fast model cannot flood the event loop. A `LocalAIError` is an answer (`Job.failed`); any other
exception is our bug and goes to the crash hook.
"""

import logging
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from localai_app.errors import LocalAIError

log = logging.getLogger(__name__)

DELIVERY_INTERVAL = 0.040
"""Seconds between two deliveries of what one job yields."""

CrashHook = Callable[[BaseException], None]


class Job(QObject):
    """One service call under way. Lives in the UI thread; connect before the event loop runs again."""

    yielded = Signal(list)
    """More values, oldest first."""
    returned = Signal(object)
    """The call came back with this."""
    failed = Signal(object)
    """The call raised this `LocalAIError`."""
    finished = Signal()
    """Nothing more will come, however it ended."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._values: deque[Any] = deque()
        self._outcome: tuple[str, Any] | None = None
        self._delivered = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._deliver)

    def _drain(self) -> None:
        """Deliver now if the last delivery is long enough ago, else when it is."""
        if self._timer.isActive():
            return
        wait = self._delivered + DELIVERY_INTERVAL - time.monotonic()
        if wait <= 0 or self._outcome is not None:
            self._deliver()
        else:
            self._timer.start(round(wait * 1000))

    def _deliver(self) -> None:
        self._timer.stop()
        # The outcome is read first: what the thread appended before setting it is then in the queue.
        outcome = self._outcome
        values = [self._values.popleft() for _ in range(len(self._values))]
        if values:
            self._delivered = time.monotonic()
            self.yielded.emit(values)
        if outcome is None:
            return
        self._outcome = None
        kind, value = outcome
        if kind == "returned":
            self.returned.emit(value)
        elif kind == "failed":
            self.failed.emit(value)
        else:
            parent = self.parent()
            assert isinstance(parent, Jobs)
            parent.crashed(value)
        self.finished.emit()
        self.deleteLater()


class _Lane:
    """A thread that takes calls one after the other, so that they keep their order."""

    def __init__(self, name: str) -> None:
        self.calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._work, name=f"lane-{name}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while (call := self.calls.get()) is not None:
            call()


class Jobs(QObject):
    """Starts service calls outside the UI thread."""

    _woken = Signal(object)

    def __init__(self, parent: QObject | None = None, crash: CrashHook | None = None) -> None:
        super().__init__(parent)
        self._crash = crash
        self._lanes: dict[str, _Lane] = {}
        self._running: set[Job] = set()
        self._streams: set[threading.Thread] = set()
        self._closed = False
        self._woken.connect(self._drain, Qt.ConnectionType.QueuedConnection)

    def run(self, call: Callable[[], Any], *, lane: str = "store") -> Job:
        """Run ``call`` once; calls of one ``lane`` run one after the other in the order given."""
        job = self._new_job()
        if lane not in self._lanes:
            self._lanes[lane] = _Lane(lane)
        self._lanes[lane].calls.put(lambda: self._perform(job, call))
        return job

    def stream(self, call: Callable[[], Iterable[Any]]) -> Job:
        """Iterate what ``call`` gives, in a thread of its own, until it ends."""
        job = self._new_job()

        def iterate() -> None:
            for value in call():
                job._values.append(value)
                self._wake(job)

        def work() -> None:
            self._perform(job, iterate)
            self._streams.discard(threading.current_thread())

        thread = threading.Thread(target=work, name="stream", daemon=True)
        self._streams.add(thread)
        thread.start()
        return job

    @property
    def closed(self) -> bool:
        """True once `close` was called: timers that still run out must start nothing."""
        return self._closed

    @property
    def busy(self) -> bool:
        """True while any job has not come back."""
        return bool(self._running)

    def close(self, timeout: float = 5.0) -> None:
        """Let queued calls finish (at most ``timeout`` seconds); deliver nothing from now on."""
        self._closed = True
        deadline = time.monotonic() + timeout
        for thread in list(self._streams):
            thread.join(max(0.0, deadline - time.monotonic()))
        for lane in self._lanes.values():
            lane.calls.put(None)
        for lane in self._lanes.values():
            lane.thread.join(max(0.0, deadline - time.monotonic()))
        self._lanes.clear()

    def crashed(self, error: BaseException) -> None:
        """An exception that is a bug came out of a call."""
        if self._crash is not None:
            self._crash(error)
        else:
            sys.excepthook(type(error), error, error.__traceback__)

    def _new_job(self) -> Job:
        assert not self._closed, "a job after close()"
        job = Job(self)
        self._running.add(job)
        job.finished.connect(lambda: self._running.discard(job))
        return job

    def _perform(self, job: Job, call: Callable[[], Any]) -> None:
        try:
            job._outcome = ("returned", call())
        except LocalAIError as error:
            job._outcome = ("failed", error)
        except Exception as error:  # the thread's edge: handed to the crash dialog in the UI thread
            job._outcome = ("crashed", error)
        self._wake(job)

    def _wake(self, job: Job) -> None:
        if not self._closed:
            self._woken.emit(job)

    def _drain(self, job: Job) -> None:
        if not self._closed and job in self._running:
            job._drain()

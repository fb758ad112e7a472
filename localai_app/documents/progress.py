"""How far reading and indexing are, and who wants to know."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from localai_app.documents.library import Backlog

_WINDOW_SECONDS = 20.0
"""Over which a rate is smoothed, unless it is said."""
_ENOUGH_SECONDS = 1.0
"""Of work, before a rate is told."""
_TELL_SECONDS = 0.1
"""At most so often is anybody told."""


@dataclass(frozen=True)
class Work:
    """How far reading and indexing are; all zero and empty when there is nothing to do."""

    done: int = 0
    """Documents since the queue was last empty."""
    total: int = 0
    name: str = ""
    """Of the document in hand."""
    page: int = 0
    pages: int = 0
    stage: str = ""
    """``reading``, ``recognising``, ``indexing``."""
    pages_per_second: float = 0.0
    seconds_left: float | None = None
    """None while too little was measured."""
    paused: bool = False
    notice: str = ""
    """One line on what keeps the work from going on as it should, and what to do; empty for nothing."""


class Rate:
    """Pages per second over the last seconds of work; time between two stretches of work does not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, window: float = _WINDOW_SECONDS) -> None:
        self._clock = clock
        self._window = window
        self._samples: deque[tuple[float, float]] = deque()
        self._worked = 0.0
        self._since: float | None = None
        self._pages = 0.0

    def start(self) -> None:
        """Work begins, or goes on."""
        if self._since is None:
            self._since = self._clock()

    def stop(self) -> None:
        """Work rests."""
        self._worked = self._seconds()
        self._since = None

    def count(self, pages: float) -> None:
        """So many more pages are done."""
        self._pages += pages
        now = self._seconds()
        self._samples.append((now, self._pages))
        while self._samples[0][0] < now - self._window and len(self._samples) > 1:
            self._samples.popleft()

    @property
    def per_second(self) -> float:
        """0 while too little was measured."""
        if not self._samples:
            return 0.0
        begin, before = self._samples[0] if self._seconds() > self._window else (0.0, 0.0)
        seconds = self._seconds() - begin
        return (self._pages - before) / seconds if seconds >= _ENOUGH_SECONDS else 0.0

    def _seconds(self) -> float:
        return self._worked + (self._clock() - self._since if self._since is not None else 0.0)


@dataclass
class _Hand:
    name: str = ""
    page: int = 0
    pages: int = 0
    stage: str = ""


class Progress:
    """Figures of the work, kept by the threads that do it; every method may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._done = 0
        self._reading: _Hand | None = None
        self._indexing: _Hand | None = None
        self._read = Rate(self._clock)
        self._indexed = Rate(self._clock)
        self._read_bytes = 0
        self._read_pages = 0

    # ------------------------------------------------------------ reading

    def reading(self, name: str, page: int, pages: int, *, recognising: bool = False) -> None:
        """Page ``page`` of a document was read; 0: none yet."""
        with self._lock:
            self._read.start()
            if page:
                self._read.count(1)
            self._reading = _Hand(name, page, pages, "recognising" if recognising else "reading")

    def read(self, size: int, pages: int) -> None:
        """A document of ``size`` bytes turned out to have ``pages``."""
        with self._lock:
            self._read_bytes += size
            self._read_pages += pages

    def reading_rests(self) -> None:
        """Nothing is read now."""
        with self._lock:
            self._read.stop()
            self._reading = None

    # ------------------------------------------------------------ indexing

    def indexing(self, name: str, page: int, pages: int, more: float) -> None:
        """``more`` pages of a document have their vectors; ``page`` of ``pages`` by now."""
        with self._lock:
            self._indexed.start()
            if more:
                self._indexed.count(more)
            self._indexing = _Hand(name, page, pages, "indexing")

    def indexing_rests(self) -> None:
        """Nothing is indexed now."""
        with self._lock:
            self._indexed.stop()
            self._indexing = None

    # ------------------------------------------------------------ all

    def finished(self) -> None:
        """A document has come to an end, good or bad."""
        with self._lock:
            self._done += 1

    def now(self, backlog: Backlog, *, paused: bool, notice: str) -> Work:
        """The figures; with an empty ``backlog`` they begin anew."""
        with self._lock:
            waiting = backlog.to_read + backlog.to_embed
            if not waiting and not self._reading and not self._indexing:
                self._begin()
                return Work(paused=paused, notice=notice)
            hand = self._reading or self._indexing or _Hand()
            rate = self._indexed if self._indexing else self._read
            return Work(
                done=self._done,
                total=self._done + waiting,
                name=hand.name,
                page=hand.page,
                pages=hand.pages,
                stage=hand.stage,
                pages_per_second=round(rate.per_second, 2),
                seconds_left=None if paused else self._seconds_left(backlog),
                paused=paused,
                notice=notice,
            )

    def _seconds_left(self, backlog: Backlog) -> float | None:
        """Both stages run side by side: it takes as long as the longer one."""
        to_read = self._pages_in(backlog.bytes_to_read)
        if to_read is None:
            return None
        in_hand = self._reading.page if self._reading else 0
        indexed = self._indexing.page if self._indexing else 0
        left = 0.0
        for pages, rate in (
            (to_read - in_hand, self._read),
            (to_read + backlog.pages_to_embed - indexed, self._indexed),
        ):
            if pages <= 0:
                continue
            if not rate.per_second:
                return None
            left = max(left, pages / rate.per_second)
        return left

    def _pages_in(self, size: int) -> float | None:
        """How many pages documents of ``size`` bytes may have, going by those that were read."""
        if not size:
            return 0.0
        if not self._read_bytes:
            return None
        return size * self._read_pages / self._read_bytes


class Watchers:
    """Those who want to know that something changed; told at most ten times a second, and once at last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: list[Callable[[], None]] = []
        self._told = 0.0
        self._timer: threading.Timer | None = None
        self._closed = False

    def add(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called; call what comes back to end it."""
        with self._lock:
            self._watchers.append(changed)

        def end() -> None:
            with self._lock:
                if changed in self._watchers:
                    self._watchers.remove(changed)

        return end

    def tell(self) -> None:
        """Something changed."""
        with self._lock:
            if self._closed or self._timer or not self._watchers:
                return
            wait = self._told + _TELL_SECONDS - time.monotonic()
            if wait > 0:
                self._timer = threading.Timer(wait, self._tell_now)
                self._timer.daemon = True
                self._timer.start()
                return
        self._tell_now()

    def _tell_now(self) -> None:
        with self._lock:
            self._timer = None
            self._told = time.monotonic()
            watchers = [] if self._closed else list(self._watchers)
        for changed in watchers:
            changed()

    def close(self) -> None:
        """Tell nobody any more."""
        with self._lock:
            self._closed = True
            if self._timer:
                self._timer.cancel()

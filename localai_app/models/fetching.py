"""One pull that is worked on: its files brought by a puller, and hashed while they grow.

The hash is computed here, from the file, not by the process that talks to the network. When a fetch
goes on, what is there is read again and hashed, side by side with what comes.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from localai_app.errors import PullFailed
from localai_app.models.growing_hash import GrowingHash
from localai_app.models.hub_protocol import Event, Failed, Fetch, Fetched, Fetching, Waiting
from localai_app.models.puller import Pullers, failure
from localai_app.models.pulls import PullFile, PullRow
from localai_app.models.repository import base_name

_LOOK_SECONDS = 0.1
_SPEED_SECONDS = 5.0
_PULLER_LIVES = 3
"""How often in a row a puller may die without having brought anything."""


class Stopped(Exception):
    """Someone else decided that this pull does not go on now."""


class Active:
    """The pull that is worked on now."""

    def __init__(self, row: PullRow) -> None:
        self.row = row
        self.stop = threading.Event()
        self.cancel: Callable[[], None] = lambda: None
        """Stops what the puller does for it."""
        self.note = ""
        self.beat_at = 0.0
        self.samples: deque[tuple[float, int]] = deque()

    def end(self) -> None:
        """Stop working on it, from any thread."""
        self.stop.set()
        self.cancel()

    def came(self, done: int) -> None:
        """So many bytes of all files are here."""
        now = time.monotonic()
        self.samples.append((now, done))
        while self.samples[0][0] < now - _SPEED_SECONDS:
            self.samples.popleft()

    @property
    def speed(self) -> float:
        """Bytes per second over the last seconds."""
        if len(self.samples) < 2:
            return 0.0
        (start, before), (end, after) = self.samples[0], self.samples[-1]
        return max(0.0, (after - before) / (end - start)) if end > start else 0.0


class Fetcher:
    """Has files brought, one after the other, by one puller after the other."""

    def __init__(self, pullers: Pullers, beat: Callable[[Active], None]) -> None:
        """``beat`` is called often while bytes come, and may raise."""
        self._pullers, self._beat = pullers, beat

    def fetch(self, active: Active, file: PullFile, part: Path) -> str:
        """Fetch ``file`` into ``part`` and hash it meanwhile; its SHA-256.

        Raise `Stopped`, or `PullFailed`.
        """
        hashing = GrowingHash(part)
        deaths = 0
        while not hashing.whole(file.size):
            before = hashing.known
            try:
                self._with_one_puller(active, file, part, hashing)
            except PullFailed as error:
                if error.code != "ended" or active.stop.is_set():
                    raise
                deaths = 1 if hashing.known > before else deaths + 1
                if deaths >= _PULLER_LIVES:
                    raise
        while hashing.behind and not active.stop.is_set():
            hashing.step()
            self._beat(active)
        if active.stop.is_set():
            raise Stopped
        digest = hashing.hexdigest()
        if file.sha256 and digest != file.sha256:
            part.unlink()
            raise PullFailed(
                f"{base_name(file)} arrived damaged: its SHA-256 is not the published one. It was deleted.",
                "Resume to download it again; if that does not help, the hub or the way to it is at fault.",
                code="damaged",
            )
        return digest

    def _with_one_puller(self, active: Active, file: PullFile, part: Path, hashing: GrowingHash) -> None:
        puller = self._pullers.running()
        number, events = puller.open()
        active.cancel = lambda: puller.cancel(number)
        row = active.row
        puller.send(Fetch(number, row.repo, row.revision, file.name, file.size, file.sha256, str(part)))
        try:
            while not active.stop.is_set():
                event = _next(events, 0 if hashing.behind else _LOOK_SECONDS)
                if isinstance(event, PullFailed):
                    hashing.look()
                    raise event
                if isinstance(event, Failed):
                    hashing.look()
                    if event.code == "dns":  # it may hold on to name servers of another network
                        self._pullers.stop()
                    raise failure(event, base_name(file))
                if isinstance(event, Waiting):
                    active.note = failure(Failed(0, event.code), base_name(file)).args[0]
                elif isinstance(event, Fetching | Fetched):
                    if isinstance(event, Fetching) and event.done > hashing.known:
                        active.note = ""
                    hashing.look(event.done)
                    if isinstance(event, Fetched):
                        return
                hashing.step()
                self._beat(active)
            raise Stopped
        finally:
            puller.cancel(number)


def _next(events: "queue.SimpleQueue[Event | PullFailed]", timeout: float) -> Event | PullFailed | None:
    try:
        return events.get(timeout=timeout) if timeout else events.get_nowait()
    except queue.Empty:
        return None

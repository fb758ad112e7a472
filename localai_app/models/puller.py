"""The app's side of the puller process: when it runs, what it is asked, and what its failures mean."""

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from localai_app.errors import PullFailed
from localai_app.models.hub_protocol import (
    MAX_LINE,
    VERSION,
    Cancel,
    Configure,
    Connected,
    Event,
    Failed,
    FailureCode,
    Limit,
    ProtocolError,
    Ready,
    Request,
    Waiting,
    decode_event,
    encode,
)
from localai_app.processes import Child, start_puller
from localai_app.sandbox import Confinement
from localai_app.store.files import make_private_folder

MEMORY = 2 * 1024**3
"""Bytes of address space; a hub's answers are read into memory."""
_HELLO_SECONDS = 60.0
_STOP_SECONDS = 1.0
_IDLE_SECONDS = 60.0
"""How long a puller waits for something to do."""

OnConnected = Callable[[str, bool], None]
"""Host, and whether it was refused; called in the puller's reader thread."""


class Puller:
    """A running puller; every method may be called from any thread."""

    def __init__(self, configure: Configure, folder: Path, on_connected: OnConnected) -> None:
        """Start it; it may write into ``folder`` alone. Raise `PullFailed` when it does not start."""
        read = (configure.ca_bundle,) if configure.ca_bundle else ()
        self._child: Child = start_puller(Confinement(read=read, write=(str(folder),), memory=MEMORY))
        self._on_connected = on_connected
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Event | PullFailed]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._ended: PullFailed | None = None
        self._greeting: queue.SimpleQueue[Ready | PullFailed] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="puller events", daemon=True)
        self._reader.start()
        self._write(encode(configure))
        try:
            greeting = self._greeting.get(timeout=_HELLO_SECONDS)
        except queue.Empty:
            greeting = _ended(f"it did not answer within {_HELLO_SECONDS:.0f} s")
        if isinstance(greeting, Ready) and greeting.version != VERSION:
            greeting = _ended("it belongs to another version of the app")
        if isinstance(greeting, PullFailed):
            self.stop()
            raise greeting
        self.ready = greeting

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._ended is None

    @property
    def busy(self) -> bool:
        """Whether someone waits for an answer."""
        return bool(self._waiting)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def open(self) -> tuple[int, "queue.SimpleQueue[Event | PullFailed]"]:
        """A new request id, and where its events will come; an error there means that the puller is gone."""
        events: queue.SimpleQueue[Event | PullFailed] = queue.SimpleQueue()
        with self._lock:
            if self._ended:
                raise self._ended
            request_id = next(self._ids)
            self._waiting[request_id] = events
        return request_id, events

    def forget(self, request_id: int) -> None:
        """Nobody waits for that request any more."""
        with self._lock:
            self._waiting.pop(request_id, None)

    def send(self, request: Request) -> None:
        """Send; a puller that is gone is told of by its events."""
        self._write(encode(request))

    def cancel(self, request_id: int) -> None:
        """Stop a request; whatever it still brings is not written."""
        self.send(Cancel(request_id))
        self.forget(request_id)

    def limit(self, bytes_per_second: int) -> None:
        """Fetch no faster; 0: as fast as it goes."""
        self.send(Limit(bytes_per_second))

    def ask(self, make: Callable[[int], Request], repo: str = "") -> Event:
        """Send what ``make`` makes of a new id; its answer. Raise `PullFailed`."""
        request_id, events = self.open()
        try:
            self.send(make(request_id))
            while True:
                event = events.get()
                if isinstance(event, PullFailed):
                    raise event
                if isinstance(event, Failed):
                    raise failure(event, repo)
                if not isinstance(event, Waiting):
                    return event
        finally:
            self.forget(request_id)

    def stop(self) -> None:
        """End the process."""
        with self._lock:
            self._ended = self._ended or _ended("it was closed")
        self._child.kill()
        self._reader.join()

    def _write(self, line: bytes) -> None:
        # A closed pipe: the reader sees the same end and tells everyone.
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._child.stdin.write(line)
            self._child.stdin.flush()

    def _read(self) -> None:
        broken = "the app could not follow"
        try:
            while line := self._child.stdout.readline(MAX_LINE + 1):
                event = decode_event(line)
                if isinstance(event, Ready):
                    self._greeting.put(event)
                elif isinstance(event, Connected):
                    self._on_connected(event.host, event.refused)
                elif (events := self._waiting.get(event.id)) is not None:
                    events.put(event)
            broken = ""
        except ProtocolError:
            broken = "it sent something that is no message"
        finally:  # whatever happens here, nobody waits in vain, and no connection goes on unseen
            self._tidy(broken)

    def _tidy(self, broken: str) -> None:
        """The process is gone, or must go: tell everyone who waits, and why."""
        if not self._child.wait(0 if broken else _STOP_SECONDS):
            self._child.kill()
        cause = broken or self._child.how_it_ended()
        self._child.stop()
        with self._lock:
            self._ended = self._ended or _ended(cause)
            for events in self._waiting.values():
                events.put(self._ended)
            self._greeting.put(self._ended)


class Pullers:
    """One puller while something is asked of it, and none otherwise; may be called from any thread."""

    def __init__(
        self, configure: Callable[[], Configure], folder: Path, on_connected: OnConnected, limit: int = 0
    ) -> None:
        """``folder`` is the one that a puller writes into; see `Puller`."""
        self._configure = configure
        self._folder = folder
        self._on_connected = on_connected
        self._lock = threading.RLock()
        self._puller: Puller | None = None
        self._told: Configure | None = None
        self._limit = limit
        self._idle: threading.Timer | None = None

    def running(self) -> Puller:
        """The puller, configured as it shall be now. Raise `PullFailed` when it does not start."""
        configure = self._configure()
        with self._lock:
            self._stay()
            if self._puller and (not self._puller.alive or self._told != configure):
                self.stop()
            if self._puller is None:
                make_private_folder(self._folder)
                self._puller = Puller(configure, self._folder, self._on_connected)
                self._puller.limit(self._limit)
                self._told = configure
            return self._puller

    def ask(self, make: Callable[[int], Request], what: str = "") -> Event:
        """See `Puller.ask`."""
        try:
            return self.running().ask(make, what)
        finally:
            self.rest()

    def set_limit(self, bytes_per_second: int) -> None:
        """See `Puller.limit`; holds for later pullers too."""
        with self._lock:
            self._limit = bytes_per_second
            if self._puller:
                self._puller.limit(bytes_per_second)

    def rest(self) -> None:
        """End the puller when nobody needs it for a while."""
        with self._lock:
            self._stay()
            if self._puller:
                self._idle = threading.Timer(_IDLE_SECONDS, self._end_idle)
                self._idle.daemon = True
                self._idle.start()

    def stop(self) -> None:
        """End the puller now; the next call starts another."""
        with self._lock:
            self._stay()
            puller, self._puller = self._puller, None
        if puller:
            puller.stop()

    def _stay(self) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None

    def _end_idle(self) -> None:
        with self._lock:
            if self._puller and not self._puller.busy:
                self.stop()


def _ended(cause: str) -> PullFailed:
    return PullFailed(f"The download process ended: {cause.rstrip('.')}.", "Try again.", code="ended")


_TOKEN = "Get access on the model's page, and enter an access token in Settings."  # noqa: S105 - words
_LINES: dict[FailureCode, tuple[str, str]] = {
    "gated": ("{what} is gated: its publisher wants to know who uses it.", _TOKEN),
    "unauthorised": ("The hub does not let you read {what}, or there is no such model.", _TOKEN),
    "forbidden": ("The hub refuses access to {what}.", "Check the access token's rights in Settings."),
    "not_found": ("There is no {what} on the hub, or not in this revision.", "Check its name."),
    "too_many_requests": ("The hub has had too many requests from here.", "Try again {later}."),
    "server": ("The hub is out of order at the moment ({detail}).", "Try again later."),
    "tls": (
        "The connection is not private: the certificate is not trusted ({detail}).",
        "Where a company's gateway reads along, ask your administrator to install its certificate on "
        "this computer.",
    ),
    "proxy": ("The proxy refuses the connection ({detail}).", "Check the proxy in Settings."),
    "dns": ("The hub's name cannot be looked up.", "Check the network connection, then resume."),
    "network": ("There is no connection to the hub.", "Check the network connection, then resume."),
    "stalled": ("Nothing came from the hub for too long.", "Check the network connection, then resume."),
    "refused_host": (
        "A connection to {detail} was refused: it is not a place that models may come from.",
        "Ask your organisation's administrator if you need it.",
    ),
    "changed": (
        "{what} is not what it was when it was chosen: {detail}.",
        "Remove this download and choose the model anew.",
    ),
    "disk_full": ("No space is left on the disk for {what}.", "Free some space, then resume."),
    "not_writable": (
        "The models folder cannot be written ({detail}).",
        "Check its permissions, then resume.",
    ),
    "bad_answer": ("The hub gave an answer that makes no sense ({detail}).", "Try again later."),
    "internal": ("The download failed ({detail}).", "Try again."),
    "cancelled": ("The download was stopped.", ""),
}


def failure(failed: Failed, what: str = "") -> PullFailed:
    """What ``failed`` means to a person; ``what`` is the repository or file that it is about."""
    minutes = round(failed.retry_after / 60)
    later = f"in {minutes} minutes" if minutes > 1 else "in a minute"
    line, hint = _LINES[failed.code]
    words = {"what": what or "that model", "detail": failed.detail or "no reason given", "later": later}
    return PullFailed(_one_line(line, words), _one_line(hint, words), code=failed.code)


def _one_line(pattern: str, words: dict[str, str]) -> str:
    """What a server said is cut and cannot add lines of its own."""
    cut = {name: " ".join("".join(filter(_shown, text)).split())[:200] for name, text in words.items()}
    return pattern.format_map(cut)


def _shown(character: str) -> bool:
    return character.isprintable() or character.isspace()

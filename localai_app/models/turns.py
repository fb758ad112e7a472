"""Who may use what only one can use at a time: a person first, the background last."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Lets one caller at a time go on, in the order in which they came, the background last.

    A plain lock would let whoever gives it back take it again before those who wait have woken up.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._end = threading.Event()
        self._first: deque[object] = deque()
        self._last: deque[object] = deque()

    @contextmanager
    def take(self, *, background: bool = False, urgent: bool = False) -> Iterator[threading.Event]:
        """Wait for a turn, and have it. What comes is set once somebody waits for whom it is ``urgent``:
        a turn of the background ought to end then."""
        ticket = object()
        waiting = self._last if background else self._first
        with self._changed:
            waiting.append(ticket)
            if urgent:
                self._end.set()
            try:
                self._changed.wait_for(lambda: not self._taken and (self._first or self._last)[0] is ticket)
                self._taken = True
                self._end = end = threading.Event()
            finally:
                waiting.remove(ticket)
        try:
            yield end
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


class Either(threading.Event):
    """Set when one of some events is."""

    def __init__(self, *events: threading.Event | None) -> None:
        super().__init__()
        self._events = [event for event in events if event is not None]

    def is_set(self) -> bool:
        """See `threading.Event`."""
        return any(event.is_set() for event in self._events)

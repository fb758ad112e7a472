"""How far the run in hand is, in steps; kept by the threads that work."""

import threading
import time
from collections.abc import Callable, Mapping

from localai_app.documents.progress import Rate
from localai_app.tasks.run import RunProgress

_WINDOW_SECONDS = 120.0
"""Over which the rate is smoothed: steps end in bursts, and a long one may take half a minute."""


class Meter:
    """Counts steps of one run; every method may be called from any thread.

    Each document counts as many steps as it is expected to take; once it is done, all of them.
    """

    def __init__(self, run_id: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._run_id = run_id
        self._lock = threading.Lock()
        self._rate = Rate(clock, _WINDOW_SECONDS)
        self._expected: dict[int, int] = {}
        self._taken: dict[int, int] = {}
        """Of the documents in work."""
        self._over: set[int] = set()
        self._name = ""
        self.notice = ""

    def expect(self, steps: Mapping[int, int], over: set[int]) -> None:
        """How many steps each item takes, and which are over already."""
        with self._lock:
            self._expected = {item: max(count, 1) for item, count in steps.items()}
            self._over = set(over)
            self._rate.start()

    def begin(self, item_id: int, name: str) -> None:
        """A document is in work."""
        with self._lock:
            self._taken[item_id] = 0
            self._name = name

    def step(self, item_id: int, *, kept: bool = False) -> None:
        """A step of it is done; ``kept``: it was before."""
        with self._lock:
            before = self._share(item_id)
            self._taken[item_id] = self._taken.get(item_id, 0) + 1
            if not kept:
                self._rate.count(self._share(item_id) - before)

    def again(self, item_id: int) -> None:
        """It is begun anew, later."""
        with self._lock:
            self._taken.pop(item_id, None)

    def finished(self, item_id: int) -> None:
        """Nothing of it is left to do."""
        with self._lock:
            self._rate.count(self._expected.get(item_id, 1) - self._share(item_id))
            self._over.add(item_id)
            self._taken.pop(item_id, None)

    def now(self) -> RunProgress:
        """The figures."""
        with self._lock:
            steps = sum(self._expected.values())
            taken = sum(self._expected.get(item, 1) for item in self._over)
            taken_now = taken + sum(self._share(item) for item in self._taken)
            rate = self._rate.per_second
            return RunProgress(
                run_id=self._run_id,
                done=len(self._over),
                total=len(self._expected),
                fraction=min(taken_now / steps, 1.0) if steps else 0.0,
                seconds_left=max(steps - taken_now, 0.0) / rate if rate else None,
                name=self._name,
                notice=self.notice,
            )

    def _share(self, item_id: int) -> float:
        """Steps of a document that count: never all of them before it is done."""
        expected = self._expected.get(item_id, 1)
        return min(self._taken.get(item_id, 0), expected - 0.1)

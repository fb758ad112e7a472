"""How many threads to compute with, found by trying while the work goes on.

A desktop is a shared machine. Threads of one step wait for each other, so a core that another
program takes away slows all of them: measured on 2 cores with SmolLM2, 2 threads decode 177 tokens/s
on a quiet machine and 20 beside one busy program, where a single thread keeps 105. Which is better
changes from second to second, and only trying tells.
"""

import statistics
import sys
from collections import deque
from collections.abc import Iterator

_REMEMBERED = 5
_FIRST_WAIT = 0.25
_LONGEST_WAIT = 16.0
"""Seconds between trials: each that brings nothing doubles the wait, so trying costs about 1 %."""
_PATIENCE = 30
"""And a wait is so many times longer than the trial: a prompt's step with half the threads costs half a
second."""
_LASTING = 1.0
"""Seconds for which cores must have been free of others."""
_WEIGHT = 0.05
"""Of a step in what is expected of its like."""
_BETTER = 0.95
_HOPELESS = 1.3
_DISTURBED = 1.5


class CoreLimit:
    """Cores that this worker may use: fewer at once, more only when that has lasted.

    Requests of background work follow each other with gaps of milliseconds. A choice of threads that
    changed with each of them would never settle.
    """

    def __init__(self) -> None:
        self._told = (sys.maxsize, 0.0)
        self._count = sys.maxsize

    def tell(self, count: int, now: float) -> None:
        """Use at most ``count`` cores; callable from any thread. ``now`` is in seconds."""
        self._told = count, now

    def at(self, now: float) -> int:
        """How many may be used now; asked by one thread."""
        count, since = self._told
        if count < self._count or now - since >= _LASTING:
            self._count = count
        return self._count


class ThreadChoice:
    """The number of threads for one kind of step; ask `count` before each, tell `took` after it."""

    def __init__(self, most: int, *, by_token: bool = False, fixed: bool = False) -> None:
        """Begin with ``most``. ``by_token``: steps are long, and cost so much for each token; else steps of
        each size are a kind of their own. ``fixed`` stays with ``most``."""
        self._most = most
        self._limit = most
        self._fixed = fixed or most == 1
        self._by_token = by_token
        self._trial_steps = 1 if by_token else 3
        self._settled = self._wanted = most
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        """Of the last steps, as parts of what was expected of them."""
        self._expected: dict[int, float] = {}
        """Seconds of a step of each kind, of late."""
        self._trial: int | None = None
        self._sure = False
        """Whether one trial is enough."""
        self._doubted: int | None = None
        """What was better in one trial."""
        self._trial_costs: list[float] = []
        self._trial_seconds = 0.0
        self._wait = _FIRST_WAIT
        self._next_trial = 0.0
        self._candidates = self._neighbours()

    @property
    def count(self) -> int:
        """Threads for the next step."""
        return self._trial or self._settled

    @property
    def limit(self) -> int:
        """How many are allowed now: others of the app compute too. A fixed number has no limit."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        limit = min(max(limit, 1), self._most)
        if limit == self._limit or self._fixed:
            return
        self._limit = limit
        # What was found best comes back with the cores; what was measured was of another machine.
        self._settled = min(self._wanted, limit)
        self._trial = self._doubted = None
        self._expected.clear()
        self._wait, self._next_trial = _FIRST_WAIT, 0.0
        self._costs.clear()
        self._candidates = self._neighbours()

    def took(self, size: int, seconds: float, now: float) -> None:
        """A step of ``size`` tokens at `count` threads took ``seconds`` and ended at ``now``."""
        if self._fixed or self._limit == 1:
            return
        # Steps of different sizes are compared by how they differ from their like; long ones by the token.
        kind, spent = (0, seconds / size) if self._by_token else (size, seconds)
        expected = self._expected.get(kind)
        if self._trial is None:
            weight = 1.0 if expected is None else _WEIGHT
            self._expected[kind] = (expected or 0.0) + weight * (spent - (expected or 0.0))
        if expected is None:
            return
        cost = spent / max(expected, 1e-9)
        if self._trial is not None:
            self._try(cost, seconds, now)
            return
        self._costs.append(cost)
        if len(self._costs) < self._trial_steps:
            return
        if not self._next_trial and self._by_token:
            self._next_trial = now + _PATIENCE * seconds
        disturbed = statistics.median(self._costs) > _DISTURBED
        if disturbed and self._settled > 1:
            # Somebody took a core: fewer threads may be better, and more cannot be.
            self._begin_trial(max(self._settled // 2, 1), sure=True)
        elif now >= self._next_trial:
            self._begin_trial(self._doubted or next(self._candidates), sure=False)

    def _begin_trial(self, count: int, *, sure: bool) -> None:
        self._trial, self._sure = count, sure or count == self._doubted
        self._trial_costs = []
        self._trial_seconds = 0.0

    def _try(self, cost: float, seconds: float, now: float) -> None:
        self._trial_costs.append(cost)
        self._trial_seconds += seconds
        current = statistics.median(self._costs)
        hopeless = cost > current * _HOPELESS
        if not hopeless and len(self._trial_costs) < self._trial_steps:
            return
        better = not hopeless and statistics.median(self._trial_costs) < current * _BETTER
        tried, self._trial = self._trial, None
        assert tried is not None, "only a trial can be tried"
        self._costs.clear()
        self._doubted = tried if better and not self._sure else None
        if self._doubted:
            # Chance looks like that too: once more, against steps of now.
            self._next_trial = now
            return
        if better or self._sure:
            self._expected.clear()  # what was usual is so no more
        if better:
            self._settled = self._wanted = tried
            self._wait = _FIRST_WAIT
            self._candidates = self._neighbours()
        else:
            self._wait = min(self._wait * 2, _LONGEST_WAIT)
        self._next_trial = now + max(self._wait, _PATIENCE * self._trial_seconds)

    def _neighbours(self) -> Iterator[int]:
        """Numbers to try from here, over and over: half, one less, one more, double."""
        here = self._settled
        wanted = [here // 2, here - 1, here + 1, here * 2]
        candidates = [count for count in dict.fromkeys(wanted) if 1 <= count <= self._limit and count != here]
        while candidates:
            yield from candidates

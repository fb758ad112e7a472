"""How many threads to compute with, found by trying while the work goes on.

A desktop is a shared machine. Threads of one step wait for each other, so a core that another
program takes away slows all of them: measured on 2 cores with SmolLM2, 2 threads decode 177 tokens/s
on a quiet machine and 20 beside one busy program, where a single thread keeps 105. Which is better
changes from second to second, and only trying tells.
"""

import statistics
from collections import deque
from collections.abc import Iterator

_REMEMBERED = 5
_FIRST_WAIT = 0.25
_LONGEST_WAIT = 16.0
"""Seconds between trials: each that brings nothing doubles the wait, so trying costs about 1 %."""
_BETTER = 0.95
_HOPELESS = 1.3
_DISTURBED = 1.5


class ThreadChoice:
    """The number of threads for one kind of step; ask `count` before each, tell `took` after it."""

    def __init__(self, most: int, *, trial_steps: int, fixed: bool = False) -> None:
        """Begin with ``most``; a trial compares ``trial_steps`` steps. ``fixed`` stays there."""
        self._most = most
        self._fixed = fixed or most == 1
        self._trial_steps = trial_steps
        self._settled = most
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        self._usual = 0.0
        """Cost when this number was settled on, or the best since: what a disturbance is measured by."""
        self._trial: int | None = None
        self._trial_costs: list[float] = []
        self._wait = _FIRST_WAIT
        self._next_trial = 0.0
        self._candidates = self._neighbours()

    @property
    def count(self) -> int:
        """Threads for the next step."""
        return self._trial or self._settled

    def took(self, cost: float, now: float) -> None:
        """The step at `count` threads took ``cost`` (seconds per token) and ended at ``now`` (seconds)."""
        if self._fixed:
            return
        if self._trial is not None:
            self._try(cost, now)
            return
        self._costs.append(cost)
        if len(self._costs) < min(3, self._trial_steps):
            return
        current = statistics.median(self._costs)
        disturbed = bool(self._usual) and current > self._usual * _DISTURBED
        self._usual = current if disturbed else min(self._usual or current, current)
        if disturbed and self._settled > 1:
            # Somebody took a core: fewer threads may be better, and more cannot be.
            self._begin_trial(max(self._settled // 2, 1))
        elif now >= self._next_trial:
            self._begin_trial(next(self._candidates))

    def _begin_trial(self, count: int) -> None:
        self._trial = count
        self._trial_costs = []

    def _try(self, cost: float, now: float) -> None:
        self._trial_costs.append(cost)
        current = statistics.median(self._costs)
        hopeless = cost > current * _HOPELESS
        if not hopeless and len(self._trial_costs) < self._trial_steps:
            return
        assert self._trial is not None, "only a trial can be tried"
        if not hopeless and statistics.median(self._trial_costs) < current * _BETTER:
            self._settled = self._trial
            self._costs = deque(self._trial_costs, maxlen=_REMEMBERED)
            self._usual = statistics.median(self._costs)
            self._wait = _FIRST_WAIT
            self._candidates = self._neighbours()
        else:
            self._wait = min(self._wait * 2, _LONGEST_WAIT)
        self._trial = None
        self._next_trial = now + self._wait

    def _neighbours(self) -> Iterator[int]:
        """Numbers to try from here, over and over: half, one less, one more, double."""
        here = self._settled
        wanted = [here // 2, here - 1, here + 1, here * 2]
        candidates = [count for count in dict.fromkeys(wanted) if 1 <= count <= self._most and count != here]
        while candidates:
            yield from candidates

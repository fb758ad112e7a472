"""Who of the app's workers gets how many cores, and who goes when memory is short.

A worker alone has all cores. Workers that are busy at the same time would slow each other to a
fraction, because the threads of one step wait for each other (2 threads beside one busy program: 20
tokens/s; 1 thread: 105). So the cores are split, each to one worker. What a person waits for goes first:
beside it, background work keeps one core each and the person's worker has the rest.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from localai_app.engine.machine import MemoryNow, memory_now, performance_cores


class Member(Protocol):
    """A worker, as the arbiter sees it."""

    def use_cores(self, count: int) -> None:
        """Compute with at most ``count`` cores from now on; must not wait and must not ask the arbiter."""


@dataclass
class _Work:
    """What one member has under way, and how many cores it knows of."""

    waited_for: int = 0
    background: int = 0
    told: int | None = None
    """None: all."""


class Arbiter:
    """Shares the machine among the workers of one app; calls may come from any thread."""

    def __init__(
        self,
        cores: Callable[[], int] = performance_cores,
        memory: Callable[[], MemoryNow] = memory_now,
    ) -> None:
        self._count_cores = cores
        self._memory = memory
        self._work: dict[Member, _Work] = {}
        self._lock = threading.Lock()
        self.unload: Callable[[Member], bool] = lambda member: False
        """Gives the memory of a member back unless it is in use, whether it did; set by who can save first
        what the member holds."""

    @cached_property
    def cores(self) -> int:
        """Cores of all workers together."""
        return max(1, self._count_cores())

    def began(self, member: Member, *, background: bool) -> None:
        """``member`` has one more request; who is busy learns of the new share before this returns."""
        self._count(member, 1, background=background)

    def ended(self, member: Member, *, background: bool) -> None:
        """``member`` has one request less."""
        self._count(member, -1, background=background)

    def started(self, member: Member) -> None:
        """``member`` has a new process, which has no request and knows of all cores."""
        with self._lock:
            self._work[member] = _Work()
            self._share_out()

    def left(self, member: Member) -> None:
        """``member`` is closed: it has neither requests nor memory."""
        with self._lock:
            self._work.pop(member, None)
            self._share_out()

    def make_room(self, member: Member, needed: int) -> bool:
        """Whether ``needed`` bytes are available to ``member``, after idle others gave theirs where not."""
        with self._lock:
            others = [other for other in self._work if other is not member]
        while self._memory().available < needed:
            if not others:
                return False
            self.unload(others.pop(0))
        return True

    def _count(self, member: Member, change: int, *, background: bool) -> None:
        with self._lock:
            work = self._work.setdefault(member, _Work())
            if background:
                work.background += change
            else:
                work.waited_for += change
            assert work.background >= 0 <= work.waited_for, "a request ends once"
            self._share_out()

    def _share_out(self) -> None:
        """Tell those that are busy what has changed, while the lock is held: the last word is the newest."""
        for member, count in self._shares().items():
            work = self._work[member]
            if count != (work.told or self.cores):
                work.told = count
                member.use_cores(count)

    def _shares(self) -> dict[Member, int]:
        """Cores of each member that is busy."""
        first = [member for member, work in self._work.items() if work.waited_for]
        behind = [member for member, work in self._work.items() if work.background and not work.waited_for]
        if not first:
            return _split(self.cores, behind)
        return {**_split(self.cores - len(behind), first), **dict.fromkeys(behind, 1)}


def _split(cores: int, members: list[Member]) -> dict[Member, int]:
    """As equal as can be, at least one each."""
    return {
        member: max(1, (cores + len(members) - 1 - place) // len(members))
        for place, member in enumerate(members)
    }

"""Requests that wait for a sequence: a person's in the order they came, background ones by group."""

from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence as Many

from localai_app.engine.worker.sequence import Sequence


class Waiting:
    """All that was submitted and has no sequence."""

    def __init__(self) -> None:
        self._persons: deque[Sequence] = deque()
        self._groups: dict[str, deque[Sequence]] = {}

    def __len__(self) -> int:
        return len(self._persons) + sum(map(len, self._groups.values()))

    def __iter__(self) -> Iterator[Sequence]:
        yield from self._persons
        for group in self._groups.values():
            yield from group

    def add(self, sequence: Sequence, *, first: bool = False) -> None:
        """Wait as the last of its kind, or as the ``first`` when it had begun already."""
        request = sequence.request
        line = self._groups.setdefault(request.group, deque()) if request.background else self._persons
        if first:
            line.appendleft(sequence)
        else:
            line.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """It need not wait any more."""
        request = sequence.request
        if not request.background:
            self._persons.remove(sequence)
            return
        # Groups take turns: the next one is another's.
        line = self._groups.pop(request.group)
        line.remove(sequence)
        if line:
            self._groups[request.group] = line

    @property
    def person(self) -> Sequence | None:
        """The person's request that waits longest."""
        return self._persons[0] if self._persons else None

    def of_group(self, group: str) -> Sequence | None:
        """The first of a group."""
        line = self._groups.get(group)
        return line[0] if line else None

    def background(self, running: Many[Sequence]) -> list[Sequence]:
        """The first of each group, that of the group with the least ``running`` ones first."""
        count = dict.fromkeys(self._groups, 0)
        for sequence in running:
            if sequence.request.group in count:
                count[sequence.request.group] += 1
        # A stable order: among equals the group whose turn is longest ago.
        return [self._groups[group][0] for group in sorted(count, key=lambda group: count[group])]

"""In which order findings are reviewed."""

from collections.abc import Sequence

Entry = tuple[int, str]
"""(item id, `Finding.key`)."""


class ReviewQueue:
    """The service's order, the greatest doubt first; what was decided here keeps its place."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._waiting: set[Entry] = set()
        self._decided: set[Entry] = set()

    def __contains__(self, entry: object) -> bool:
        return entry in self._waiting or entry in self._decided

    @property
    def waiting(self) -> int:
        """How many wait for a person."""
        return len(self._waiting)

    @property
    def decided(self) -> int:
        """How many were decided here."""
        return len(self._decided)

    def update(self, waiting: Sequence[Entry]) -> None:
        """Take over what waits now; what was decided here is not among it, even where it still says so."""
        now = [entry for entry in waiting if entry not in self._decided]
        self._waiting = set(now)
        kept = [entry for entry in self._entries if entry in self]
        known = set(kept)
        places = {entry: place for place, entry in enumerate(kept)}
        merged: list[list[Entry]] = [[] for _ in range(len(kept) + 1)]
        place = 0
        for entry in now:
            if entry in known:
                place = places[entry] + 1
            else:
                merged[place].append(entry)
        self._entries = list(merged[0])
        for number, entry in enumerate(kept, 1):
            self._entries += [entry, *merged[number]]

    def decide(self, entry: Entry) -> None:
        """It was decided on."""
        if entry in self._waiting:
            self._waiting.discard(entry)
            self._decided.add(entry)

    def undecide(self, entry: Entry) -> None:
        """It waits again."""
        if entry in self._decided:
            self._decided.discard(entry)
            self._waiting.add(entry)

    def drop(self, entry: Entry) -> None:
        """It is there no more."""
        self._waiting.discard(entry)
        self._decided.discard(entry)
        self._entries = [each for each in self._entries if each != entry]

    def is_waiting(self, entry: Entry) -> bool:
        """Whether nobody has decided on it."""
        return entry in self._waiting

    def position(self, entry: Entry) -> int:
        """Which of all it is, from 1; 0: none."""
        return self._entries.index(entry) + 1 if entry in self else 0

    def __len__(self) -> int:
        return len(self._entries)

    def step(self, entry: Entry | None, step: int) -> Entry | None:
        """Its neighbour, decided on or not; None at the ends. From nowhere: the first that waits."""
        if entry is None or entry not in self:
            return self.after(None)
        place = self._entries.index(entry) + step
        return self._entries[place] if 0 <= place < len(self._entries) else None

    def last(self) -> Entry | None:
        """The last of all."""
        return self._entries[-1] if self._entries else None

    def after(self, entry: Entry | None) -> Entry | None:
        """The next that waits, from the beginning again after the end; None when nothing waits."""
        start = self._entries.index(entry) + 1 if entry in self and entry is not None else 0
        round_trip = (*self._entries[start:], *self._entries[:start])
        return next((each for each in round_trip if each in self._waiting and each != entry), None)

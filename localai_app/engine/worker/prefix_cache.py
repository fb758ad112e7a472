"""Which tokens are evaluated and where they are, so that nothing is evaluated twice.

A slot is one llama.cpp sequence. When its request ends, its tokens stay; the next request of the same
conversation, or any that begins alike, goes on from there. Idle sequences cost every token that
others decode (3 × 3,000 idle tokens made a step 40 % slower), so while others run they are *parked*:
copied out of the cache into memory, and back when their conversation goes on. What does not fit the
memory budget is forgotten, the longest unused first.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

PARKED_BYTES = 1024 * 1024 * 1024
"""Budget of memory for parked conversations."""
WORTH_PARKING = 64
"""Tokens below which evaluating again is as quick."""


class Cells(Protocol):
    """What a slot needs of the KV cache."""

    def keep(self, sequence: int, length: int) -> int:
        """Drop all but the first ``length`` tokens; how many are really left."""

    def share(self, source: int, target: int, length: int) -> int:
        """Begin the empty ``target`` with ``length`` tokens of ``source``; how many it has."""

    def save(self, sequence: int) -> bytes:
        """The cells of ``sequence`` as bytes that `load` understands."""

    def load(self, sequence: int, cells: bytes) -> bool:
        """Put saved cells into the empty ``sequence``; False leaves it empty (no room)."""


@dataclass
class Slot:
    """One sequence of the context."""

    sequence: int
    name: str = ""
    """The conversation that used it last."""
    tokens: list[int] = field(default_factory=list)
    """Tokens whose cells are evaluated, in order."""
    busy: bool = False
    used: int = 0
    """Clock of the last use; the lowest idle slot goes first."""


@dataclass(frozen=True)
class Parked:
    """A conversation outside the cache."""

    tokens: list[int]
    cells: bytes


class PrefixCache:
    """The slots of one context, and what is parked beside it."""

    def __init__(self, cells: Cells, sequences: int, *, budget: int = PARKED_BYTES) -> None:
        self._cells = cells
        self._budget = budget
        self._clock = 0
        self._parked: OrderedDict[str, Parked] = OrderedDict()
        self.slots = [Slot(sequence) for sequence in range(sequences)]

    @property
    def cells_used(self) -> int:
        """Tokens held in the cache; a shared prefix counts for each that holds it."""
        return sum(len(slot.tokens) for slot in self.slots)

    @property
    def parked_bytes(self) -> int:
        """Memory that parked conversations take."""
        return sum(len(parked.cells) for parked in self._parked.values())

    def acquire(self, name: str, tokens: Sequence[int], *, reuse: bool = True) -> Slot | None:
        """An idle slot that begins with as much of ``tokens`` as is known; None when all are busy.

        The last token is never taken from the cache: saved cells hold no logits.
        """
        idle = [slot for slot in self.slots if not slot.busy]
        if not idle:
            return None
        usable = tokens[: len(tokens) - 1] if reuse else []
        own = next((slot for slot in idle if name and slot.name == name), None)
        slot = own or min(idle, key=lambda slot: (bool(slot.tokens), slot.used))
        if own is None and slot.tokens:
            self._park(slot)
        if own is None and name in self._parked:
            self._unpark(name, slot)
        self._share_best(slot, usable)
        self.shorten(slot, common_prefix(slot.tokens, usable))
        self._clock += 1
        slot.name, slot.busy, slot.used = name, True, self._clock
        return slot

    def known(self, name: str) -> list[int]:
        """The tokens that are held for a conversation, in the cache or parked; empty for none."""
        for slot in self.slots:
            if slot.name == name and slot.tokens:
                return slot.tokens
        parked = self._parked.get(name)
        return parked.tokens if parked else []

    def cells_of(self, name: str) -> Parked | None:
        """The evaluated tokens of an idle conversation with their cells, to be kept elsewhere."""
        for slot in self.slots:
            if slot.name == name and slot.tokens and not slot.busy:
                return Parked(list(slot.tokens), self._cells.save(slot.sequence))
        return self._parked.get(name)

    def put(self, name: str, parked: Parked) -> None:
        """Take in cells that were kept elsewhere, as if they had been parked."""
        self._parked[name] = parked
        self._parked.move_to_end(name)
        while len(self._parked) > 1 and self.parked_bytes > self._budget:
            self._parked.popitem(last=False)

    def forget(self, name: str) -> None:
        """Drop all that is held for a conversation that is not running."""
        self._parked.pop(name, None)
        for slot in self.slots:
            if slot.name == name and not slot.busy:
                self.shorten(slot, 0)
                slot.name = ""

    def release(self, slot: Slot) -> None:
        """The request ended; what is cached stays for the next."""
        slot.busy = False

    def shorten(self, slot: Slot, length: int) -> None:
        """Drop all of ``slot`` but at most its first ``length`` tokens."""
        # Even where no token goes: a decode that was interrupted may have written cells beyond them.
        del slot.tokens[self._cells.keep(slot.sequence, length) :]

    def park_one(self) -> bool:
        """Move the idle slot that was not used for longest out of the cache; False when there is none."""
        idle = [slot for slot in self.slots if slot.tokens and not slot.busy]
        if not idle:
            return False
        self._park(min(idle, key=lambda slot: slot.used))
        return True

    def _park(self, slot: Slot) -> None:
        if slot.name and len(slot.tokens) >= WORTH_PARKING:
            self.put(slot.name, Parked(list(slot.tokens), self._cells.save(slot.sequence)))
        self.shorten(slot, 0)
        slot.name = ""

    def _unpark(self, name: str, slot: Slot) -> None:
        parked = self._parked[name]
        if self._cells.load(slot.sequence, parked.cells):
            slot.tokens = list(parked.tokens)
            del self._parked[name]
        else:
            self._cells.keep(slot.sequence, 0)

    def _share_best(self, slot: Slot, usable: Sequence[int]) -> None:
        """Begin with another slot's cells where they reach further than the slot's own."""
        best = max(self.slots, key=lambda other: common_prefix(other.tokens, usable))
        length = common_prefix(best.tokens, usable)
        if best is slot or length <= common_prefix(slot.tokens, usable):
            return
        self.shorten(slot, 0)
        shared = self._cells.share(best.sequence, slot.sequence, length)
        slot.tokens = best.tokens[:shared]


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    return next(index for index in range(length) if first[index] != second[index])

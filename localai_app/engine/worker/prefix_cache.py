"""Which tokens the KV cache holds, per sequence, so that nothing is evaluated twice.

A slot is one llama.cpp sequence. When its request ends, its tokens stay until the room is needed;
the next request of the same conversation, or any that begins alike, goes on from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Cells(Protocol):
    """What a slot needs of the KV cache."""

    def keep(self, sequence: int, length: int) -> int:
        """Drop all but the first ``length`` tokens; how many are really left."""

    def share(self, source: int, target: int, length: int) -> int:
        """Begin the empty ``target`` with ``length`` tokens of ``source``; how many it has."""


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


class PrefixCache:
    """The slots of one context."""

    def __init__(self, cells: Cells, sequences: int) -> None:
        self._cells = cells
        self._clock = 0
        self.slots = [Slot(sequence) for sequence in range(sequences)]

    @property
    def cells_used(self) -> int:
        """Tokens held; a shared prefix counts for each that holds it."""
        return sum(len(slot.tokens) for slot in self.slots)

    def acquire(self, name: str, tokens: Sequence[int]) -> Slot | None:
        """An idle slot that begins with as much of ``tokens`` as is cached; None when all are busy.

        The last token is never taken from the cache: a snapshot of cells holds no logits.
        """
        idle = [slot for slot in self.slots if not slot.busy]
        if not idle:
            return None
        usable = tokens[: len(tokens) - 1]
        own = [slot for slot in idle if name and slot.name == name]
        slot = own[0] if own else min(idle, key=lambda slot: (bool(slot.tokens), slot.used))
        best = max(self.slots, key=lambda other: common_prefix(other.tokens, usable))
        length = common_prefix(best.tokens, usable)
        if length > common_prefix(slot.tokens, usable) and not own and not best.busy and not best.name:
            slot = best  # nobody's conversation: take it over rather than copy it
        self.shorten(slot, common_prefix(slot.tokens, usable))
        if length > len(slot.tokens) and best is not slot:
            self.shorten(slot, 0)
            shared = self._cells.share(best.sequence, slot.sequence, length)
            slot.tokens = best.tokens[:shared]
        self._clock += 1
        slot.name, slot.busy, slot.used = name, True, self._clock
        return slot

    def release(self, slot: Slot) -> None:
        """The request ended; what is cached stays for the next."""
        slot.busy = False

    def shorten(self, slot: Slot, length: int) -> None:
        """Drop all of ``slot`` but at most its first ``length`` tokens."""
        kept = self._cells.keep(slot.sequence, length)
        del slot.tokens[kept:]

    def make_room(self) -> bool:
        """Drop the idle slot that was not used for longest; False when there is none to drop."""
        idle = [slot for slot in self.slots if slot.tokens and not slot.busy]
        if not idle:
            return False
        self.shorten(min(idle, key=lambda slot: slot.used), 0)
        return True


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    return next(index for index in range(length) if first[index] != second[index])

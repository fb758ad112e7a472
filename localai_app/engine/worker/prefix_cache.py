"""Which tokens are evaluated and where they are, so that nothing is evaluated twice.

A slot is one llama.cpp sequence. When its request ends, its tokens stay; the next request of the same
conversation, or any that begins alike, goes on from there. Idle sequences cost every token that
others decode (3 × 3,000 idle tokens made a step 40 % slower), so while others run they are *parked*:
copied out of the cache into memory, and back when their conversation goes on. What does not fit the
memory budget is forgotten, the longest unused first.

A recurrent or hybrid model cannot drop the end of a sequence: its state knows only the last token. It
goes back to a *checkpoint*, a copy of the state that was made where going back is likely (between two
turns, before an answer, behind a group's common beginning).
"""

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

PARKED_BYTES = 1024 * 1024 * 1024
"""Budget of memory for parked conversations."""
WORTH_PARKING = 64
"""Tokens below which evaluating again is as quick."""
CHECKPOINT_BYTES = 256 * 1024 * 1024
"""Budget of memory for the checkpoints of one conversation."""
MAX_CHECKPOINTS = 24


class Cells(Protocol):
    """What a slot needs of the KV cache."""

    drops_parts: bool
    """Whether `keep` can keep a part; False for recurrent and hybrid models, which have checkpoints."""

    def keep(self, sequence: int, length: int) -> int:
        """Drop all but the first ``length`` tokens; how many are really left."""

    def share(self, source: int, target: int, length: int) -> int:
        """Begin the empty ``target`` with ``length`` tokens of ``source``; how many it has."""

    def save(self, sequence: int) -> bytes:
        """The cells of ``sequence`` as bytes that `load` understands."""

    def load(self, sequence: int, cells: bytes) -> bool:
        """Put saved cells into the empty ``sequence``; False leaves it empty (no room)."""

    def checkpoint(self, sequence: int) -> bytes:
        """The state of ``sequence`` at its last token, as `rewind` understands it."""

    def rewind(self, sequence: int, length: int, state: bytes) -> bool:
        """Go back to the checkpoint made at ``length`` tokens; False leaves ``sequence`` empty."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a sequence after ``length`` tokens."""

    length: int
    state: bytes


@dataclass
class Slot:
    """One sequence of the context."""

    sequence: int
    name: str = ""
    """The conversation that used it last."""
    tokens: list[int] = field(default_factory=list)
    """Tokens whose cells are evaluated, in order."""
    cells: list[int] = field(default_factory=list)
    """A number for the cell of each token: slots that share a beginning have the same ones there."""
    own_from: int = 0
    """From here on no other slot has these cells."""
    checkpoints: list[Checkpoint] = field(default_factory=list)
    """In the order of their lengths."""
    busy: bool = False
    used: int = 0
    """Clock of the last use; the lowest idle slot goes first."""


@dataclass(frozen=True)
class Parked:
    """A conversation outside the cache."""

    tokens: list[int]
    cells: bytes
    checkpoints: tuple[Checkpoint, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self.cells) + sum(len(checkpoint.state) for checkpoint in self.checkpoints)


class PrefixCache:
    """The slots of one context, and what is parked beside it."""

    def __init__(self, cells: Cells, sequences: int, *, budget: int = PARKED_BYTES) -> None:
        self._cells = cells
        self._budget = budget
        self._clock = 0
        self._parked: OrderedDict[str, Parked] = OrderedDict()
        self._numbers = itertools.count()
        self._used: int | None = 0
        self.slots = [Slot(sequence) for sequence in range(sequences)]

    @property
    def cells_used(self) -> int:
        """Cells of the cache that hold a token; one that several sequences share counts once."""
        if self._used is None:
            self._used = self.distinct(self.slots)
        return self._used

    @property
    def parked_bytes(self) -> int:
        """Memory that parked conversations take."""
        return sum(parked.size for parked in self._parked.values())

    @staticmethod
    def distinct(slots: Sequence[Slot]) -> int:
        """Cells that ``slots`` hold together."""
        return len(set[int]().union(*(slot.cells for slot in slots)))

    def acquire(
        self, name: str, tokens: Sequence[int], *, group: str = "", reuse: bool = True
    ) -> Slot | None:
        """An idle slot that begins with as much of ``tokens`` as is known; None when all are busy.

        Known is what this ``name`` had, what its ``group`` begins with, and what any slot holds. The last
        token is never taken from the cache: saved cells hold no logits.
        """
        idle = [slot for slot in self.slots if not slot.busy]
        if not idle:
            return None
        usable = tokens[: len(tokens) - 1] if reuse else []
        own, parked = None, ""
        for known in filter(None, (name, group)):
            own = next((slot for slot in idle if slot.name == known), None)
            parked = known if known in self._parked else ""
            if own or parked:
                break
        slot = own or min(idle, key=lambda slot: (bool(slot.tokens), slot.used))
        if own is None:
            if slot.tokens:
                self._park(slot)
            if parked:
                self._unpark(parked, slot)
        self._share_best(slot, usable)
        self.shorten(slot, common_prefix(slot.tokens, usable))
        self._clock += 1
        slot.name, slot.busy, slot.used = name, True, self._clock
        return slot

    def extend(self, slot: Slot, tokens: Sequence[int]) -> None:
        """``tokens`` were evaluated at the end of ``slot``."""
        slot.tokens += tokens
        slot.cells += itertools.islice(self._numbers, len(tokens))
        if self._used is not None:
            self._used += len(tokens)

    def is_parked(self, name: str) -> bool:
        """Whether a conversation waits outside the cache."""
        return name in self._parked

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
                return self._copy(slot)
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

    def release(self, slot: Slot, *, name: str, keep: int | None = None) -> None:
        """The request ended; what is cached, at most ``keep`` tokens, stays for the next of ``name``."""
        if keep is not None and keep < len(slot.tokens):
            self.shorten(slot, keep)
        slot.busy = False
        slot.name = name

    def suspend(self, slot: Slot) -> None:
        """Park a running sequence, to be found under its name again."""
        slot.busy = False
        self._park(slot)

    def shorten(self, slot: Slot, length: int) -> None:
        """Drop all of ``slot`` but at most its first ``length`` tokens."""
        if not self._cells.drops_parts and 0 < length < len(slot.tokens):
            left = self._rewind(slot, length)
        else:
            # Even where no token goes: a decode that was interrupted may have written cells beyond them.
            left = self._cells.keep(slot.sequence, length)
        if left < slot.own_from:
            self._used = None
        elif self._used is not None:
            self._used -= max(len(slot.tokens) - left, 0)
        del slot.tokens[left:], slot.cells[left:]
        slot.own_from = min(slot.own_from, left)
        slot.checkpoints = [checkpoint for checkpoint in slot.checkpoints if checkpoint.length <= left]

    def mark(self, slot: Slot) -> None:
        """Make a checkpoint of where ``slot`` is now, if its model needs one to come back here."""
        here = len(slot.tokens)
        if self._cells.drops_parts or not here or (slot.checkpoints and slot.checkpoints[-1].length == here):
            return
        slot.checkpoints.append(Checkpoint(here, self._cells.checkpoint(slot.sequence)))
        size = sum(len(checkpoint.state) for checkpoint in slot.checkpoints)
        while len(slot.checkpoints) > 2 and (
            size > CHECKPOINT_BYTES or len(slot.checkpoints) > MAX_CHECKPOINTS
        ):
            # Without the one that stands closest to its neighbours the least is evaluated again.
            lengths = [0, *(checkpoint.length for checkpoint in slot.checkpoints)]
            spared = min(range(1, len(lengths) - 1), key=lambda at: lengths[at + 1] - lengths[at - 1])
            size -= len(slot.checkpoints.pop(spared - 1).state)

    def park_one(self) -> bool:
        """Move the idle slot that was not used for longest out of the cache; False when there is none."""
        idle = [slot for slot in self.slots if slot.tokens and not slot.busy]
        if not idle:
            return False
        self._park(min(idle, key=lambda slot: slot.used))
        return True

    def _copy(self, slot: Slot) -> Parked:
        return Parked(list(slot.tokens), self._cells.save(slot.sequence), tuple(slot.checkpoints))

    def _park(self, slot: Slot) -> None:
        if slot.name and len(slot.tokens) >= WORTH_PARKING:
            self.put(slot.name, self._copy(slot))
        self.shorten(slot, 0)
        slot.name = ""

    def _unpark(self, name: str, slot: Slot) -> None:
        parked = self._parked.pop(name)
        while not self._cells.load(slot.sequence, parked.cells):
            # Idle conversations would leave the cache anyway.
            if not self.park_one():
                self.put(name, parked)
                return
        self.extend(slot, parked.tokens)
        slot.checkpoints = list(parked.checkpoints)

    def _share_best(self, slot: Slot, usable: Sequence[int]) -> None:
        """Begin with another slot's cells where they reach further than the slot's own."""
        best = max(self.slots, key=lambda other: self.reach(other, usable))
        reach = self.reach(best, usable)
        if best is slot or reach <= self.reach(slot, usable):
            return
        self.shorten(slot, 0)
        length = reach if self._cells.drops_parts else len(best.tokens)
        shared = self._cells.share(best.sequence, slot.sequence, length)
        slot.tokens, slot.cells = best.tokens[:shared], best.cells[:shared]
        slot.own_from = shared
        best.own_from = max(best.own_from, shared)
        slot.checkpoints = [checkpoint for checkpoint in best.checkpoints if checkpoint.length <= shared]
        self.shorten(slot, reach)

    def reach(self, slot: Slot, usable: Sequence[int]) -> int:
        """How many of ``usable`` are found in ``slot``, as far as it can go back to them."""
        length = common_prefix(slot.tokens, usable)
        if self._cells.drops_parts or length == len(slot.tokens):
            return length
        return max((mark.length for mark in slot.checkpoints if mark.length <= length), default=0)

    def _rewind(self, slot: Slot, length: int) -> int:
        """Go back to the last checkpoint within ``length`` tokens; how many are left."""
        mark = next((mark for mark in reversed(slot.checkpoints) if mark.length <= length), None)
        if mark and self._cells.rewind(slot.sequence, mark.length, mark.state):
            return mark.length
        return self._cells.keep(slot.sequence, 0)


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    length = min(len(first), len(second))
    if first[:length] == second[:length]:
        return length
    return next(index for index in range(length) if first[index] != second[index])

"""The chain of the audit log: its entries, their hashes, and what is wrong with a chain.

``hash = SHA256(tag ‖ prev ‖ canonical JSON of the entry)``. Among the entries are checkpoints: each
signs the head that it follows. What shows, and by what:

==========================================  =================================================
one entry edited, removed, moved, inserted  the hashes
written anew from some entry on             the signatures, unless they were made anew, too
… and signed anew, by who opens the store   a head that was kept elsewhere
the end cut off, an old copy put back       a head that was kept elsewhere
==========================================  =================================================
"""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from localai_app.governance.audit_checkpoint import Checkpoint

START = "00" * 32
"""What the first entry follows."""
CHECKPOINT = "audit.checkpoint"
ROTATED = "audit.rotated"
MOST_PROBLEMS = 20
"""So many are told; the others are counted."""

_TAG = b"localai-app audit 1\0"


class Entry(msgspec.Struct, frozen=True):
    """One entry as it stands in the log."""

    seq: int
    time: str
    """UTC, ISO 8601 with microseconds and Z."""
    event: str
    actor: str
    object: str
    body: str
    """A JSON object, as text."""
    prev: str
    """Hash of the entry before it, hexadecimal."""
    hash: str

    @property
    def head(self) -> "Head":
        """The head of a log that ends with it."""
        return Head(self.seq, self.hash)

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What a checkpoint says of the head that it follows; None for other entries."""
        if self.event != CHECKPOINT:
            return None
        try:
            body = json.loads(self.body)
            facts = {"seq": self.seq - 1, "hash": self.prev, "time": self.time, "key": self.object}
            return msgspec.convert({**body, **facts}, Checkpoint)
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Head:
    """The last entry; kept somewhere else it proves what the log held at that time."""

    seq: int
    """0 while the log is empty."""
    hash: str
    """Hexadecimal."""


@dataclass(frozen=True)
class KeptHead(Head):
    """A head that was kept elsewhere."""

    key: str = ""
    """Public key of who signed it; empty for one that was only noted."""


class ProblemKind(StrEnum):
    """What was done to a log."""

    CHANGED = "changed"
    REMOVED = "removed"
    MOVED = "moved"
    REPLACED = "replaced"
    CUT_OFF = "cut off"
    SIGNATURE = "signature"
    UNREADABLE = "unreadable"
    UNCOMPARED = "not compared"


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it was written."""

    kind: ProblemKind
    seq: int
    """The entry, or the first of them; the line of a file for what is unreadable."""
    text: str
    """One line without its end, which names the entry."""


@dataclass(frozen=True)
class VerifyResult:
    """What the check of a log found."""

    entries: int
    """Entries that are sound, counted from the first."""
    head: Head
    """The last of those."""
    seen: int = 0
    """All entries that were looked at."""
    first: int = 0
    """The first of them; 0 where there is none."""
    signed: int = 0
    """The last entry that a genuine checkpoint vouches for; 0 for none."""
    key: str = ""
    """Public key of the checkpoints."""
    problems: tuple[Problem, ...] = ()
    more: int = 0
    """Problems beyond those."""

    @property
    def sound(self) -> bool:
        """Whether every entry is as it was written."""
        return not self.problems

    @property
    def bad_seq(self) -> int | None:
        """The first entry that is not as it was written; None when all are."""
        return self.problems[0].seq if self.problems else None

    @property
    def problem(self) -> str:
        """What is wrong with that one; empty when nothing is."""
        return self.problems[0].text if self.problems else ""


class Unreadable(Exception):
    """The rest of a file is no audit log."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} cannot be read as an entry of the audit log")
        self.line = line


def canonical(value: object) -> str:
    """One text for one value: keys sorted, no spaces, ASCII."""
    return _ENCODER.encode(value)


def digest(entry: Entry, seq: int | None = None) -> str:
    """The hash that belongs to ``entry`` (as number ``seq``), hexadecimal."""
    number = entry.seq if seq is None else seq
    text = canonical([number, entry.time, entry.event, entry.actor, entry.object, entry.body])
    return hashlib.sha256(_TAG + bytes.fromhex(entry.prev) + text.encode()).hexdigest()


def removed(first: int, last: int) -> str:
    """What is said of entries that are gone."""
    return f"entry {first} was removed" if first == last else f"entries {first} to {last} were removed"


def examine(
    read: Callable[[], Iterable[Entry]],
    *,
    kept: Sequence[KeptHead] = (),
    key: str = "",
    selected: bool = False,
) -> VerifyResult:
    """What is wrong with the entries that ``read`` gives, in their order, each time anew.

    They may begin anywhere. ``kept``: heads that must be among them. ``key``: who must have signed the
    checkpoints; without it whoever signed the first. ``selected``: entries may be left out, so that
    one is gone does not show.
    """
    walk = _Walk(kept, key, selected)
    try:
        for entry in read():
            walk.step(entry)
    except Unreadable as error:
        walk.note(ProblemKind.UNREADABLE, error.line, str(error))
    else:
        walk.end()
    if walk.suspects:
        _find_moved(walk, read)
    return walk.result()


@dataclass
class _Walk:
    kept: Sequence[KeptHead]
    key: str
    selected: bool
    problems: list[Problem] = field(default_factory=list)
    more: int = 0
    suspects: dict[int, Entry] = field(default_factory=dict)
    """Entries that do not have their own hash, by the index of their problem."""
    last: Head | None = None
    sound: int = 0
    sound_head: Head | None = None
    seen: int = 0
    first: int = 0
    signed: int = 0
    _doubtful: bool = False
    """Whether the last entry had a problem: that the next one does not follow it is no news."""

    def __post_init__(self) -> None:
        self._at = [head for head in self.kept if head.seq > 0]

    def step(self, entry: Entry) -> None:
        """Look at the next entry."""
        problems = len(self.problems) + self.more
        own = hmac.compare_digest(digest(entry), entry.hash)
        if not self.seen:
            self.first = entry.seq
            self._compare(Head(entry.seq - 1, entry.prev))
        self._place(entry, own)
        if not own:
            index = self.note(ProblemKind.CHANGED, entry.seq, f"entry {entry.seq} was changed")
            if index is not None:
                self.suspects[index] = entry
        if entry.event == CHECKPOINT:
            self._check_signature(entry, own)
        self._compare(entry.head)
        self.seen += 1
        self.last = entry.head
        self._doubtful = len(self.problems) + self.more > problems
        if not self.problems:
            self.sound, self.sound_head = self.seen, self.last

    def note(self, kind: ProblemKind, seq: int, text: str) -> int | None:
        """Keep the problem, or count it; its index where it is kept."""
        if len(self.problems) >= MOST_PROBLEMS:
            self.more += 1
            return None
        self.problems.append(Problem(kind, seq, text))
        return len(self.problems) - 1

    def end(self) -> None:
        """Look at the heads that did not come, and at who signed those that did."""
        for head in self._at:
            if self.last is None or head.seq > self.last.seq:
                reached = self.last.seq if self.last else 0
                self.note(
                    ProblemKind.CUT_OFF,
                    reached + 1,
                    f"the log ends at entry {reached}, but it had reached entry {head.seq}: "
                    "its end was cut off, or an old copy put in its place",
                )
            else:
                self.note(
                    ProblemKind.UNCOMPARED,
                    head.seq,
                    f"entry {head.seq}, which was kept elsewhere, is not here: "
                    "compare it with the archive that holds it",
                )
        for head in self.kept:
            if head.key and self.key and head.key != self.key:
                self.note(
                    ProblemKind.SIGNATURE,
                    head.seq,
                    f"what was kept elsewhere of entry {head.seq} was signed with another key than this log",
                )

    def result(self) -> VerifyResult:
        return VerifyResult(
            self.sound,
            self.sound_head or Head(0, START),
            self.seen,
            self.first,
            self.signed,
            self.key,
            tuple(self.problems),
            self.more,
        )

    def _place(self, entry: Entry, own: bool) -> None:
        """Whether it stands where it belongs."""
        before = self.last
        if before is None:
            if entry.seq > 1:
                return
            before = Head(0, START)
        if entry.seq > before.seq + 1:
            if not self.selected:
                first, last = before.seq + 1, entry.seq - 1
                self.note(ProblemKind.REMOVED, first, removed(first, last))
        elif entry.seq <= before.seq:
            place = f"stands behind entry {before.seq}" if self.last else "stands before the first"
            self.note(ProblemKind.MOVED, entry.seq, f"entry {entry.seq} {place}")
        elif own and not self._doubtful and entry.prev != before.hash:
            place = f"does not follow entry {before.seq}" if before.seq else "does not begin a log"
            text = f"entry {entry.seq} {place}: one was replaced"
            self.note(ProblemKind.REPLACED, entry.seq, text)

    def _check_signature(self, entry: Entry, own: bool) -> None:
        checkpoint = entry.checkpoint
        if checkpoint is not None and checkpoint.is_genuine():
            self.key = self.key or checkpoint.key
            if checkpoint.key != self.key:
                self.note(
                    ProblemKind.SIGNATURE,
                    entry.seq,
                    f"the checkpoint in entry {entry.seq} was signed with another key",
                )
            elif own:
                self.signed = entry.seq - 1
        else:
            self.note(
                ProblemKind.SIGNATURE,
                entry.seq,
                f"the checkpoint in entry {entry.seq} does not have the signature of what it follows",
            )

    def _compare(self, found: Head) -> None:
        for kept in [head for head in self._at if head.seq == found.seq]:
            self._at.remove(kept)
            if not hmac.compare_digest(kept.hash, found.hash):
                self.note(
                    ProblemKind.REPLACED,
                    found.seq,
                    f"entry {found.seq} is not the one that was kept elsewhere: "
                    "it, or what was before it, was written anew",
                )


def _find_moved(walk: _Walk, read: Callable[[], Iterable[Entry]]) -> None:
    """Tell entries that were moved from those that were changed: with another number they are right."""
    wanted = {entry.prev for entry in walk.suspects.values()}
    numbers: dict[str, int] = {START: 1}
    try:
        for entry in read():
            if entry.hash in wanted:
                numbers[entry.hash] = entry.seq + 1
    except Unreadable:
        pass  # what comes before that line is enough
    places = {entry.seq for entry in walk.suspects.values()}
    for index, entry in walk.suspects.items():
        near = range(entry.seq - MOST_PROBLEMS, entry.seq + MOST_PROBLEMS + 1)
        for number in sorted({*near, *places, numbers.get(entry.prev, entry.seq)} - {entry.seq}):
            if digest(entry, number) == entry.hash:
                text = f"entry {number} was moved: it stands as entry {entry.seq}"
                walk.problems[index] = Problem(ProblemKind.MOVED, entry.seq, text)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)

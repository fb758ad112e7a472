"""What counts of a run, as all forms of its results show it: a person's word goes before the model's."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from localai_app.tasks.run import Item, ItemState, Run, RunState
from localai_app.tasks.task import Column, Decision, Finding, Form, Scalar, Verdict, needs_review, shown_value

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PLAIN_NUMBER = re.compile(r"-?\d{1,15}(\.\d+)?")
_NUMBER_IN_TEXT = re.compile(r"(\D*?)[-−]?([0-9](?:[.,'’ \u00a0\u202f]?[0-9])*)(\D*)")
_ITEM_WORDS = {
    ItemState.WAITING: "not done yet",
    ItemState.RUNNING: "being worked on",
    ItemState.DONE: "done",
    ItemState.FAILED: "failed",
    ItemState.ERASED: "erased",
}


@dataclass(frozen=True)
class Value:
    """One finding, and what a person made of it."""

    column: Column
    """Of the finding itself: a part of a list's entry, where entries have parts."""
    finding: Finding
    decision: Decision | None
    field: str
    """“Line items 2 · Amount”."""

    @property
    def text(self) -> str:
        """What counts, as a person reads it; empty where nothing was found, and where it was rejected."""
        return shown_value(self.finding, self.decision)

    @property
    def status(self) -> str:
        """“accepted”, “corrected”, “rejected”, “in doubt”; empty for what nobody need look at."""
        if self.decision is not None:
            return self.decision.verdict.value
        return "in doubt" if needs_review(self.finding) else ""

    @property
    def was(self) -> str:
        """What the model said, where a person said otherwise."""
        overruled = self.decision is not None and self.decision.verdict is not Verdict.ACCEPTED
        return self.finding.shown if overruled else ""

    @property
    def marked(self) -> str:
        """`text`, with its status where it is not simply so."""
        match self.status:
            case "rejected":
                return f"(rejected: {self.was})" if self.was else "(rejected)"
            case "corrected" | "in doubt":
                return f"{self.text} ({self.status})".strip()
        return self.text

    @property
    def typed(self) -> Scalar | date:
        """A number, a date or a truth where it certainly is one, else the text."""
        form, text = self.column.form, self.text
        if self.status == "rejected":
            return ""
        said: Scalar = text if self.status == "corrected" else self.finding.value
        if form in (Form.NUMBER, Form.AMOUNT):
            return _number(said, text)
        if form is Form.DATE and isinstance(said, str) and _ISO_DATE.fullmatch(said.strip()):
            try:
                return date.fromisoformat(said.strip())
            except ValueError:
                return text
        if form is Form.FLAG and isinstance(said, bool):
            return said
        return text


def _number(said: Scalar, text: str) -> Scalar:
    if isinstance(said, str) and _PLAIN_NUMBER.fullmatch(said.strip()):
        return float(said) if "." in said else int(said)
    # A spreadsheet keeps 15 digits: what has more stays text.
    if isinstance(said, int | float) and not isinstance(said, bool) and abs(said) < 1e15:
        return said
    return text


def parts_of_number(text: str) -> tuple[str, str, str]:
    """What stands before a number, its digits with what divides them, and what stands behind; all empty for
    a text that is not one number with, most often, a currency or a unit."""
    match = _NUMBER_IN_TEXT.fullmatch(text.strip())
    return (match[1], match[2], match[3]) if match else ("", "", "")


def values(item: Item, column: Column) -> list[Value]:
    """What was found for ``column``, in order; of a list with parts each part of each entry."""
    findings = item.outcome.findings if item.outcome else ()
    parts = {part.key: part for part in column.parts}
    order = {key: number for number, key in enumerate(parts)}
    mine = sorted(
        (one for one in findings if one.column == column.key),
        key=lambda one: (one.item, order.get(one.part, len(order))),
    )
    several = column.form is Form.LIST or any(one.item for one in mine)
    found = []
    for one in mine:
        field = f"{column.title} {one.item + 1}" if several else column.title
        part = parts.get(one.part)
        if one.part:
            field += f" · {part.title if part else one.part}"
        found.append(Value(part or column, one, item.decision(one.key), field))
    return found


def entries(item: Item, column: Column) -> list[list[Value]]:
    """The entries of a list, each with its parts."""
    grouped: dict[int, list[Value]] = {}
    for value in values(item, column):
        grouped.setdefault(value.finding.item, []).append(value)
    return list(grouped.values())


def joined(item: Item, column: Column, between: str = "; ", *, marked: bool = False) -> str:
    """All of ``column`` in one text; ``marked``: what is in doubt or was decided otherwise says so."""
    shown = (
        ", ".join(filter(None, (value.marked if marked else value.text for value in entry)))
        for entry in entries(item, column)
    )
    return between.join(filter(None, shown))


def all_values(run: Run, item: Item) -> Iterator[Value]:
    """All that was found in a document, column by column; what belongs to no column of the run last."""
    known = {column.key for column in run.columns}
    findings = item.outcome.findings if item.outcome else ()
    others = dict.fromkeys(one.column for one in findings if one.column not in known)
    for column in [*run.columns, *(Column(key, key) for key in others)]:
        yield from values(item, column)


def fields_with(status: str, found: Iterable[Value]) -> str:
    """The fields of that status in one line."""
    return "; ".join(dict.fromkeys(value.field for value in found if value.status == status))


# ---------------------------------------------------------------- how far it is


def unfinished(run: Run, items: Sequence[Item]) -> str:
    """One line that says that the run is not finished; empty for one that is."""
    left = sum(item.state in (ItemState.WAITING, ItemState.RUNNING) for item in items)
    if run.state is RunState.DONE and not left:
        return ""
    words = {RunState.DONE: "", RunState.WAITING: " It has not begun or waits for its turn."}
    how = words.get(run.state, f" It is {run.state.value}.")
    return f"Unfinished: {left:,} of {len(items):,} documents are not done.{how}"


def state_words(item: Item) -> str:
    """How far a document is."""
    return _ITEM_WORDS[item.state]


def read_words(items: Iterable[Item]) -> str:
    """What of all documents was read: “412 of 415 pages, 3 of 3 sheets”."""
    sums: dict[str, tuple[int, int]] = {}
    for item in items:
        if item.coverage is not None:
            read, total = sums.get(item.coverage.unit, (0, 0))
            sums[item.coverage.unit] = read + item.coverage.read, total + item.coverage.total
    words = (
        f"{read:,} of {total:,} {unit}{'' if total == 1 else 's'}" for unit, (read, total) in sums.items()
    )
    return ", ".join(words)


def unread_words(item: Item) -> str:
    """Which parts of a document were not read, and why: “page 3: a scan; page 9: …”."""
    if item.coverage is None:
        return ""
    return "; ".join(f"{item.coverage.unit} {number}: {why}" for number, why in item.coverage.unread)

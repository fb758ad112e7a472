"""The report of a run: its text as blocks, which Markdown, Word and PDF show each in its way."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from localai_app.tasks.reports import results
from localai_app.tasks.reports.results import Value
from localai_app.tasks.run import Item, ItemState, Run
from localai_app.tasks.task import Column, Evidence, Verdict

_ABREAST = 6
"""Columns of findings side by side, beside the document's name; more go into further tables."""
_LONG_OPTION = 400
_LONG_HEADING, _LONG_HEAD, _LONG_CELL = 200, 60, 10_000
_CUT = "… (cut: the JSON export has all of it)"


@dataclass(frozen=True)
class Heading:
    """Level 1 is the report's title."""

    text: str
    level: int


@dataclass(frozen=True)
class Line:
    """A paragraph."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and what belongs to them."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells; ``widths`` are shares of the page's width."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...]


Block = Heading | Line | Facts | Table


def blocks(run: Run, items: Sequence[Item]) -> Iterator[Block]:
    """The whole report, from the top."""
    for block in _blocks(run, items):
        match block:
            case Heading():
                yield replace(block, text=_brief(block.text, _LONG_HEADING))
            case Table():
                # It is repeated on every page, and must leave room for the rows.
                head = tuple(_brief(text, _LONG_HEAD) for text in block.head)
                yield replace(block, head=head, rows=tuple(tuple(map(_cut, row)) for row in block.rows))
            case Facts():
                yield Facts(tuple((_brief(name, _LONG_HEAD), _cut(text)) for name, text in block.pairs))
            case Line():
                yield replace(block, text=_cut(block.text))


def _cut(text: str) -> str:
    return text if len(text) <= _LONG_CELL else f"{text[:_LONG_CELL]}{_CUT}"


def _brief(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _blocks(run: Run, items: Sequence[Item]) -> Iterator[Block]:
    yield Heading(run.title, 1)
    if warning := results.unfinished(run, items):
        yield Line(warning, warning=True)
    yield Facts(tuple(facts(run, items)))
    yield Heading("Results", 2)
    yield from _overview(run, items)
    yield Heading("Documents", 2)
    for item in items:
        yield from _document(run, item)
    yield Heading("Not read", 2)
    yield from _not_read(items)
    yield Heading("Decisions", 2)
    yield from _decisions(run, items)


# ---------------------------------------------------------------- what was done


def facts(run: Run, items: Sequence[Item]) -> Iterator[tuple[str, str]]:
    """What was done, with what, when, and how far it came."""
    yield "Task", run.title
    yield "Documents", run.where
    yield from _options(run)
    if run.model is not None:
        yield "Model", run.model.name
        yield "Model file (SHA-256)", run.model.sha256
        yield "Computed by", f"{run.model.engine_build}, {run.model.device}"
        yield "Context length", f"{run.model.context_length:,} tokens"
    repeatable = "yes, the same bits at every repetition" if run.settings.deterministic else "no"
    yield "Deterministic", repeatable
    yield "Started", moment(run.created)
    if run.finished is not None:
        yield "Finished", moment(run.finished)
    states = Counter(map(results.state_words, items))
    yield "State", ", ".join(f"{number:,} {words}" for words, number in states.most_common())
    yield "Read", results.read_words(items)
    yield "Reviewed", _reviewed(run, items)


def _options(run: Run) -> Iterator[tuple[str, str]]:
    for name, value in msgspec.to_builtins(run.options).items():
        if value in ("", None, [], {}):
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        shown = (
            text if len(text) <= _LONG_OPTION else f"{text[:_LONG_OPTION]}… (the JSON export has all of it)"
        )
        yield f"Option “{name.replace('_', ' ')}”", shown


def _reviewed(run: Run, items: Sequence[Item]) -> str:
    verdicts = [
        value.decision.verdict
        for item in items
        for value in results.all_values(run, item)
        if value.decision is not None
    ]
    counted = [f"{verdicts.count(verdict):,} {verdict.value}" for verdict in Verdict if verdict in verdicts]
    open_ones = sum(item.to_review for item in items)
    return ", ".join([*counted, f"{open_ones:,} in doubt and not decided on"])


def moment(when: datetime) -> str:
    """“2026-11-20 14:37 UTC”."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


# ---------------------------------------------------------------- results


def _overview(run: Run, items: Sequence[Item]) -> Iterator[Block]:
    columns = [column for column in run.columns if not column.parts]
    for start in range(0, max(len(columns), 1), _ABREAST):
        part = columns[start : start + _ABREAST]
        width = 0.7 / max(len(part), 1)
        yield Table(
            ("Document", *(column.title for column in part)),
            tuple(
                (item.document_name, *(results.joined(item, column, marked=True) for column in part))
                if item.state is ItemState.DONE
                else (item.document_name, _no_result(item), *[""] * (len(part) - 1))
                for item in items
            ),
            (0.3, *[width] * len(part)),
        )


def _no_result(item: Item) -> str:
    words = results.state_words(item)
    return f"({words}: {item.error})" if item.error else f"({words})"


def _document(run: Run, item: Item) -> Iterator[Block]:
    yield Heading(item.document_name or f"Document {item.id}", 3)
    yield Facts(tuple(_of_document(item)))
    simple = [column for column in run.columns if not column.parts]
    rows = [row for column in simple for value in results.values(item, column) for row in _rows(value)]
    if rows:
        head = ("Field", "Value", "Where", "Quotation", "Review")
        yield Table(head, tuple(rows), (0.16, 0.22, 0.12, 0.3, 0.2))
    for column in run.columns:
        if column.parts and (found := results.entries(item, column)):
            yield from _entries(column, found)
    outcome = item.outcome
    if outcome is None:
        return
    for note in outcome.notes:
        yield Line(note)
    if outcome.claims:
        yield Line(
            f"{outcome.claims:,} statements of the model stand nowhere in the document and were dropped."
        )
    for flag in outcome.flags:
        yield Line(f"Looks like an instruction to the model, {flag.place}: {_quoted(flag)}", warning=True)


def _of_document(item: Item) -> Iterator[tuple[str, str]]:
    yield "State", f"{results.state_words(item)}{f': {item.error}' if item.error else ''}"
    if item.coverage is not None:
        yield "Read", item.coverage.words
    yield "File (SHA-256)", item.sha256


def _rows(value: Value) -> Iterator[tuple[str, ...]]:
    """One row for each place that a value rests on; the value itself stands in the first."""
    first = (value.field, value.text)
    review = _review(value)
    for evidence in value.finding.evidence or [None]:
        where, quotation = ("", "") if evidence is None else (evidence.place, _quoted(evidence))
        yield (*first, where, quotation, review)
        first, review = ("", ""), ""


def _quoted(evidence: Evidence) -> str:
    if not evidence.verified:
        return "not verified: the model was reading there"
    return f"“{evidence.quotation}”"


def _review(value: Value) -> str:
    """What a person should know about a value, and what one decided."""
    finding, decision = value.finding, value.decision
    parts = []
    if decision is not None:
        who = f" by {decision.who}" if decision.who else ""
        was = f" (the model: {value.was})" if value.was else ""
        parts.append(f"{decision.verdict.value}{who}{was}")
    elif finding.doubts:
        parts.append("in doubt")
    parts += [doubt.words.rstrip(".") for doubt in finding.doubts]
    parts += [f"elsewhere: {other.shown}{_places(other.evidence)}" for other in finding.alternatives]
    if finding.original and finding.original != finding.shown:
        parts.append(f"on the page: {finding.original}")
    if finding.scores:
        parts.append(", ".join(f"{label} {share:.0%}" for label, share in finding.scores.items()))
    return "; ".join(parts)


def _places(evidence: Sequence[Evidence]) -> str:
    return f" ({', '.join(dict.fromkeys(one.place for one in evidence))})" if evidence else ""


def _entries(column: Column, found: Sequence[Sequence[Value]]) -> Iterator[Block]:
    yield Heading(column.title, 4)
    rows = []
    for entry in found:
        by_part = {value.finding.part: value for value in entry}
        cells = [by_part[part.key].marked if part.key in by_part else "" for part in column.parts]
        proofs = [one for value in entry for one in value.finding.evidence]
        where = ", ".join(dict.fromkeys(one.place for one in proofs))
        quoted = " … ".join(dict.fromkeys(_quoted(one) for one in proofs))
        rows.append((*cells, where, quoted))
    width = 0.6 / len(column.parts)
    head = (*(part.title for part in column.parts), "Where", "Quotation")
    yield Table(head, tuple(rows), (*[width] * len(column.parts), 0.12, 0.28))
    doubts = dict.fromkeys(
        f"{value.field}: {_review(value)}" for entry in found for value in entry if value.status
    )
    for line in doubts:
        yield Line(line)


# ---------------------------------------------------------------- what was not, and who said what


def _not_read(items: Sequence[Item]) -> Iterator[Block]:
    rows: list[tuple[str, str, str]] = []
    for item in items:
        if item.coverage is None:
            rows.append((item.document_name, "all of it", item.error or results.state_words(item)))
            continue
        rows += [
            (item.document_name, f"{item.coverage.unit} {number}", why)
            for number, why in item.coverage.unread
        ]
    if rows:
        yield Table(("Document", "What", "Why"), tuple(rows), (0.35, 0.15, 0.5))
    else:
        yield Line("Nothing: all of every document was read.")


def _decisions(run: Run, items: Sequence[Item]) -> Iterator[Block]:
    rows: list[tuple[str, ...]] = []
    for item in items:
        fields = {value.finding.key: value.field for value in results.all_values(run, item)}
        rows += [
            (
                item.document_name,
                fields.get(made.key, made.key),
                made.verdict.value.replace("_", " "),
                made.value,
                made.who,
                made.when,
            )
            for made in item.decisions
        ]
    if rows:
        head = ("Document", "Field", "Decision", "Corrected to", "Who", "When (UTC)")
        yield Table(head, tuple(rows), (0.24, 0.18, 0.12, 0.18, 0.12, 0.16))
    else:
        yield Line("Nobody has decided on a value.")

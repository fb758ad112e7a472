"""What an evidence record says, as values: one run, and for each document what was read, found and decided.

Numbers beyond those that every JSON reader keeps exactly are texts. Spans count code points of the page's
text as the app reads the file; an empty text stands for what there is not.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from localai_app import __version__
from localai_app.documents.document import Document
from localai_app.engine.protocol import Sampling
from localai_app.tasks.reports import results
from localai_app.tasks.run import Item, ItemCost, ItemState, ModelUsed, Run
from localai_app.tasks.running.steps import SAMPLING
from localai_app.tasks.task import Alternative, Decision, Doubt, Evidence, Scalar

_SAFE = 2**53 - 1


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Column(_Value, frozen=True):
    """What was asked about each document."""

    key: str
    title: str
    form: str
    parts: tuple["Column", ...]


class RunFacts(_Value, frozen=True):
    """What was done, and how."""

    id: int
    kind: str
    title: str
    where: str
    options: dict[str, Any]
    columns: tuple[Column, ...]
    fingerprint: str
    """SHA-256 over the instructions, schemas and labels that the steps were made with."""
    state: str
    unfinished: str
    """Empty for a run that is done with all its documents."""
    created: str
    finished: str
    deterministic: bool
    """The same bits at every repetition."""
    sampling: dict[str, float | int | str]
    """Of every step; its seed too."""


class Finding(_Value, frozen=True):
    """One value, what it rests on, and what counts after review."""

    key: str
    """Decisions name it so: column, item, part."""
    column: str
    item: int
    part: str
    value: Scalar
    shown: str
    original: str
    evidence: tuple[Evidence, ...]
    doubts: tuple[Doubt, ...]
    alternatives: tuple[Alternative, ...]
    scores: dict[str, float | None]
    confidence: float | None
    counts: str
    """The value that counts: a person's word goes before the model's; empty for a rejected one."""
    status: str
    """``accepted``, ``corrected``, ``rejected``, ``in doubt``, or empty."""


class Coverage(_Value, frozen=True):
    """``read`` + ``len(unread)`` = ``total``."""

    unit: str
    total: int
    read: int
    unread: tuple[tuple[int, str], ...]


class DocumentFacts(_Value, frozen=True):
    """One document and all that came of it."""

    name: str
    sha256: str
    size: int | None
    """Bytes; None where the store no longer holds the file that was worked on."""
    format: str
    state: str
    error: str
    attempts: int
    finished: str
    model: ModelUsed | None
    """Where it is another one than the run's."""
    prompts_sha256: str
    coverage: Coverage | None
    findings: tuple[Finding, ...]
    claims_dropped: int
    """Statements of the model that stand nowhere in the document."""
    notes: tuple[str, ...]
    flags: tuple[Evidence, ...]
    """Passages that look like instructions to the model."""
    decisions: tuple[Decision, ...]
    """All that were ever made, in their order; those that were taken back too."""
    cost: ItemCost


class Whole(_Value, frozen=True):
    """What of all documents was read, in one unit."""

    unit: str
    total: int
    read: int
    unread: int


class Record(_Value, frozen=True):
    """The signed content of an evidence record."""

    app: str
    """Version that wrote it."""
    written: str
    run: RunFacts
    model: ModelUsed | None
    documents: tuple[DocumentFacts, ...]
    states: dict[str, int]
    """How many documents are how far."""
    coverage: tuple[Whole, ...]


def record_of(
    run: Run, items: Sequence[Item], documents: Mapping[int, Document], written: datetime
) -> Record:
    """The record of ``run``; ``documents`` are those of the library, by their ids."""
    told = tuple(_document(run, item, documents.get(item.document_id or 0)) for item in items)
    return Record(
        app=__version__,
        written=_moment(written),
        run=_run(run, items),
        model=run.model,
        documents=told,
        states=states_of(told),
        coverage=whole_of(told),
    )


def plain(record: Record) -> dict[str, Any]:
    """``record`` as JSON values that every reader keeps exactly."""
    value: dict[str, Any] = _exact(msgspec.to_builtins(record))
    return value


def states_of(documents: Sequence[DocumentFacts]) -> dict[str, int]:
    """How many documents are how far."""
    return dict(Counter(one.state for one in documents))


def whole_of(documents: Sequence[DocumentFacts]) -> tuple[Whole, ...]:
    """What of all of them was read."""
    sums: dict[str, list[int]] = {}
    for covered in (one.coverage for one in documents if one.coverage is not None):
        counts = sums.setdefault(covered.unit, [0, 0, 0])
        for number, more in enumerate((covered.total, covered.read, len(covered.unread))):
            counts[number] += more
    return tuple(Whole(unit, *counts) for unit, counts in sorted(sums.items()))


# ---------------------------------------------------------------- of the run's values


def _run(run: Run, items: Sequence[Item]) -> RunFacts:
    sampling = msgspec.to_builtins(SAMPLING)
    return RunFacts(
        id=run.id,
        kind=run.kind,
        title=run.title,
        where=run.where,
        options=msgspec.to_builtins(run.options),
        columns=msgspec.convert(msgspec.to_builtins(run.columns), tuple[Column, ...]),
        fingerprint=run.fingerprint,
        state=run.state.value,
        unfinished=results.unfinished(run, items),
        created=_moment(run.created),
        finished=_moment(run.finished),
        deterministic=run.settings.deterministic,
        sampling={name: value for name, value in sampling.items() if name in _SAMPLED},
    )


_SAMPLED = set(Sampling.__struct_fields__) - {"grammar", "json_schema"}
"""Schemas differ from step to step; the fingerprint and the prompts' hashes cover them."""


def _document(run: Run, item: Item, known: Document | None) -> DocumentFacts:
    same = known if known is not None and known.sha256 == item.sha256 else None
    outcome = item.outcome if item.state is not ItemState.ERASED else None
    covered = item.coverage
    return DocumentFacts(
        name=item.document_name,
        sha256=item.sha256,
        size=same.size if same else None,
        format=same.format if same else "",
        state=item.state.value,
        error=item.error,
        attempts=item.attempts,
        finished=_moment(item.finished),
        model=item.model if item.model != run.model else None,
        prompts_sha256=item.prompts_sha256,
        coverage=Coverage(covered.unit, covered.total, covered.read, covered.unread) if covered else None,
        findings=tuple(map(_finding, results.all_values(run, item))) if outcome else (),
        claims_dropped=outcome.claims if outcome else 0,
        notes=outcome.notes if outcome else (),
        flags=outcome.flags if outcome else (),
        decisions=item.decisions if outcome else (),
        cost=item.cost,
    )


def _finding(value: results.Value) -> Finding:
    finding = value.finding
    return Finding(
        key=finding.key,
        column=finding.column,
        item=finding.item,
        part=finding.part,
        value=finding.value,
        shown=finding.shown,
        original=finding.original,
        evidence=finding.evidence,
        doubts=finding.doubts,
        alternatives=finding.alternatives,
        scores={**finding.scores},
        confidence=finding.confidence,
        counts=value.text,
        status=value.status,
    )


def _moment(when: datetime | None) -> str:
    return "" if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _exact(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
        case bool() | None:
            return value
        case int():
            return value if abs(value) <= _SAFE else str(value)
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {_exact(key): _exact(inner) for key, inner in value.items()}
    return [_exact(inner) for inner in value]

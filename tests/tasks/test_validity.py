"""Whatever a model says of whatever document: what comes of it is valid, or it failed and says why.

A scripted model answers in every wrong way there is, over ordinary and hostile documents, through the real
service, runner and store. ``make test-long`` does more than a thousand.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from localai_app.documents.document import MarkKind, Page, Scope
from localai_app.documents.service import DocumentService
from localai_app.governance.audit import Audit
from localai_app.tasks import extract
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.kinds import KINDS, kind_of
from localai_app.tasks.reports import export
from localai_app.tasks.run import Item, ItemState, Run, RunState
from localai_app.tasks.service import TaskService
from localai_app.tasks.task import Evidence, Finding, Form, Outcome
from tests.tasks import independent_check
from tests.tasks.scripted import PLANTED, SAYINGS, ScriptedModel, TableReader, documents
from tests.tasks.task_rooms import TaskRooms

FIELDS = [
    {"key": "total", "type": "amount", "required": True, "description": "what is due in the end"},
    {"key": "day", "type": "date"},
    {"key": "quantity", "type": "number", "list": True},
    {"key": "iban", "type": "iban"},
    {"key": "party", "type": "text", "list": True},
    {"key": "notice", "type": "long_text"},
    {"key": "dogs", "type": "yes_no", "description": "whether dogs may be kept"},
    {"key": "sort", "type": "choice", "one_of": ["invoice", "letter", "lease"]},
    {"key": "number", "pattern": "INV-[0-9]+"},
    {"key": "lines", "list": True, "parts": [{"key": "what"}, {"key": "price", "type": "amount"}]},
]
LABELS = [{"name": "invoice", "description": "asks for money"}, {"name": "letter"}, {"name": "lease"}]
TASKS: list[tuple[str, dict[str, Any]]] = [
    ("summarise", {"length": "short"}),
    ("summarise", {"length": 5, "language": "fr"}),
    ("extract", {"fields": FIELDS}),
    ("extract", {"template": "invoice"}),
    ("classify", {"labels": LABELS}),
    ("classify", {"labels": LABELS, "multi": True, "threshold": 0.3, "other": "none of these"}),
    ("answer", {"question": "How much is the rent?"}),
    ("answer", {"question": "What is due?", "form": "amount"}),
    ("answer", {"question": "May dogs be kept?", "form": "yes_no"}),
    ("answer", {"question": "Which one is it?", "form": "one_of", "choices": ["invoice", "lease"]}),
]
FEW = [TASKS[0], TASKS[2], TASKS[4], TASKS[7]]
OF_A_THOUSAND = 150
"""Documents, each with one task, that a seventh of the thousand does."""
_LONGEST_ERROR = 300
_FAULT = "fault of this app"
NEVER_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Controls, and what turns the direction of text around."""


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[TaskRooms]:
    model = ScriptedModel(context_length=4096)
    rooms = TaskRooms(tmp_path, reader=TableReader(), engine=model, kinds=KINDS)  # type: ignore[arg-type]
    yield rooms
    rooms.close()


def test_every_outcome_is_valid_or_a_named_failure(rooms: TaskRooms) -> None:
    outcomes = run_all(rooms, 1, FEW)
    assert sum(outcomes.values()) == len(FEW) * len(documents(1))
    assert outcomes[ItemState.DONE] > sum(outcomes.values()) * 0.7
    assert set(scripted(rooms).said) == set(SAYINGS)  # the model did say all of it


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 9))
def test_every_outcome_of_a_thousand_is_valid_or_a_named_failure(rooms: TaskRooms, seed: int) -> None:
    outcomes = run_all(rooms, seed, TASKS)
    assert sum(outcomes.values()) == len(TASKS) * len(documents(seed)) == OF_A_THOUSAND
    assert outcomes[ItemState.DONE] > OF_A_THOUSAND * 0.7
    for run in rooms.tasks.runs():
        for file_format in export.FORMATS:
            rooms.tasks.export(run.id, rooms.folder / f"run.{file_format}")


def run_all(rooms: TaskRooms, seed: int, tasks: Sequence[tuple[str, dict[str, Any]]]) -> Counter[ItemState]:
    """All ``tasks`` on all documents of ``seed``, looked over; how many documents ended how."""
    scripted(rooms).seed = seed
    made = documents(seed)
    paths = [rooms.write(f"{seed}/{one.name}", f"{seed}/{one.name}") for one in made]
    added = rooms.service.add(paths)
    assert rooms.service.wait(60)
    assert len(added.documents) == len(made)
    outcomes: Counter[ItemState] = Counter()
    for kind, options in tasks:
        raw = json.dumps(options).encode()
        checked = rooms.tasks.options_of(kind, raw)
        run = rooms.tasks.start(kind, checked, Scope(documents=added.documents))
        assert rooms.tasks.wait(run.id, 120), rooms.tasks.run(run.id)
        items = rooms.tasks.items(run.id)
        look_over(rooms, rooms.tasks.run(run.id), items)
        look_over_record(rooms, run.id)
        outcomes += Counter(item.state for item in items)
    return outcomes


def scripted(rooms: TaskRooms) -> ScriptedModel:
    assert isinstance(rooms.engine, ScriptedModel)
    return rooms.engine


# ---------------------------------------------------------------- what must hold


class Looked(Protocol):
    """What is looked over."""

    @property
    def folder(self) -> Path: ...
    @property
    def service(self) -> DocumentService: ...
    @property
    def tasks(self) -> TaskService: ...
    @property
    def audit(self) -> Audit: ...


def look_over(rooms: Looked, run: Run, items: Sequence[Item]) -> None:
    """All that must hold of a run, whatever the model said."""
    kind = kind_of(run.kind)
    assert run.state is RunState.DONE
    assert run.columns == kind.columns(run.options)  # no planted instruction changes what is asked
    states = Counter(item.state for item in items)
    assert set(states) <= {ItemState.DONE, ItemState.FAILED}
    assert (run.done, run.failed) == (states[ItemState.DONE], states[ItemState.FAILED])
    assert run.to_review == sum(item.to_review for item in items)
    for item in items:
        assert item.document_id is not None
        pages = {page.number: page for page in rooms.service.pages(item.document_id)}
        if item.state is ItemState.FAILED:
            look_over_failure(item)
        else:
            assert item.outcome is not None
            look_over_outcome(run, item, item.outcome, pages)


def look_over_failure(item: Item) -> None:
    """It says in one line what is wrong, and nothing of what a document or the model says."""
    assert item.error.strip()
    assert len(item.error) < _LONGEST_ERROR
    assert item.error.isprintable()
    assert PLANTED not in item.error
    assert _FAULT not in item.error
    assert item.outcome is None


def look_over_outcome(run: Run, item: Item, outcome: Outcome, pages: dict[int, Page]) -> None:
    """Coverage is exact, findings are of the run's columns and valid, quotations stand where they say."""
    covered = item.coverage
    assert covered is not None
    unread = [number for number, _ in covered.unread]
    assert covered.total == len(pages)
    assert covered.read + len(unread) == covered.total
    assert len(set(unread)) == len(unread)
    assert set(unread) <= set(pages)
    assert {number for number, page in pages.items() if page.unread} <= set(unread)
    assert all(why.strip() for _, why in covered.unread)
    assert outcome.claims >= 0
    keys = [finding.key for finding in outcome.findings]
    assert len(set(keys)) == len(keys)
    columns = {column.key: column for column in run.columns}
    for finding in outcome.findings:
        column = columns[finding.column]
        assert finding.part in ({part.key for part in column.parts} if column.parts else {""})
        look_over_finding(finding)
        # What nobody need look at, because nothing is in doubt, rests on words of the document; of what was
        # chosen from a list or translated, which are nobody's words, it is told where the model was reading.
        if finding.value is not None and not finding.doubts and run.kind != "classify":
            is_translated = run.kind == "summarise" and bool(finding.original)
            assert any(proof.verified or finding.scores or is_translated for proof in finding.evidence)
        for proof in all_evidence(finding):
            look_over_evidence(proof, pages)
    for flag in outcome.flags:
        look_over_evidence(flag, pages)
    KIND_CHECKS[run.kind](run, outcome)
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome


def all_evidence(finding: Finding) -> list[Evidence]:
    others = (proof for other in finding.alternatives for proof in other.evidence)
    return [*finding.evidence, *others]


def look_over_finding(finding: Finding) -> None:
    """What is true of a value of any kind."""
    assert 0 <= finding.confidence <= 1
    assert all(doubt.code and doubt.words.strip() for doubt in finding.doubts)
    if isinstance(finding.value, float):
        assert math.isfinite(finding.value)
    for text in (finding.shown, finding.original, str(finding.value)):
        text.encode()  # no half of a surrogate pair
    assert not NEVER_SHOWN.search(finding.shown)


def look_over_evidence(proof: Evidence, pages: dict[int, Page]) -> None:
    """The quotation is the page's own words at that very place, and none that a tracked change took out."""
    page = pages[proof.page]
    assert 0 <= proof.start <= proof.end <= len(page.text)
    assert page.text[proof.start : proof.end] == proof.quotation
    if proof.verified:
        assert proof.quotation.strip()
        for mark in page.marks:
            if mark.kind is MarkKind.DELETED:
                assert not (proof.start >= mark.start and proof.end <= mark.end)


def look_over_record(rooms: Looked, run_id: int) -> None:
    """Its evidence, as a script sees it that shares no code with the app."""
    record = rooms.folder / f"run-{run_id}.evidence"
    rooms.tasks.evidence(run_id, record)
    texts = {}
    for item in rooms.tasks.items(run_id):
        assert item.document_id is not None
        texts[item.sha256] = {str(page.number): page.text for page in rooms.service.pages(item.document_id)}
    assert independent_check.problems(record.read_bytes(), texts, rooms.audit.key) == []


# ---------------------------------------------------------------- of each kind


def look_over_summary(run: Run, outcome: Outcome) -> None:
    """One line each, none twice, and no more than were asked for."""
    shown = [finding.shown for finding in outcome.findings if finding.shown]
    assert len(set(shown)) == len(shown)
    assert len(shown) <= run.options.points  # type: ignore[attr-defined]
    assert all(text.strip() and "\n" not in text for text in shown)


def look_over_extraction(run: Run, outcome: Outcome) -> None:
    """Each value is of its field's type; of those that stand on a page, the page's words are the proof."""
    assert isinstance(run.options, extract.ExtractOptions)
    wanted = {field.key: field for field in extract.fields_of(run.options)}
    for finding in outcome.findings:
        field = wanted[finding.column]
        if finding.part:
            field = next(part for part in field.parts if part.key == finding.part)
        if finding.value is not None:
            assert is_of(field, finding), (field.type, finding)
            if field.type.is_said:
                assert any(proof.verified for proof in finding.evidence)


def is_of(field: Field, finding: Finding) -> bool:
    """Whether a value is of the field's type; one that could not be normalised is text, and in doubt."""
    value = finding.value
    if field.type is FieldType.CHOICE:
        return value in field.one_of
    if field.type is FieldType.YES_NO:
        return isinstance(value, bool)
    as_text = isinstance(value, str) and bool(value.strip())
    if field.type in (FieldType.NUMBER, FieldType.AMOUNT):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        plain = as_text and re.fullmatch(r"-?\d+(\.\d+)?", str(value)) is not None
        return number or plain or (as_text and bool(finding.doubts))
    if field.type is FieldType.DATE and as_text and not finding.doubts:
        return bool(date.fromisoformat(str(value)))
    return as_text


def look_over_labels(run: Run, outcome: Outcome) -> None:
    """Labels of the set only; shares of 1 over exactly this set."""
    labels = {label.name for label in run.options.all_labels}  # type: ignore[attr-defined]
    for finding in outcome.findings:
        if finding.value is not None:
            assert finding.value in labels
        assert all(0 <= share <= 1 for share in finding.scores.values())
        if run.options.multi:  # type: ignore[attr-defined]
            assert set(finding.scores) <= labels
        else:
            assert set(finding.scores) == labels
            assert math.isclose(sum(finding.scores.values()), 1, abs_tol=1e-6)
        assert {other.value for other in finding.alternatives} <= labels


def look_over_answer(run: Run, outcome: Outcome) -> None:
    """One answer, of the form that was asked for."""
    (column,) = run.columns
    assert len(outcome.findings) == 1
    (finding,) = outcome.findings
    options: Any = run.options
    if finding.value is None:
        return
    if column.form is Form.FLAG:
        assert isinstance(finding.value, bool) or finding.value in options.labels
    elif column.form is Form.LABEL:
        assert finding.value in options.labels
    elif column.form is Form.AMOUNT:
        assert is_of(Field("answer", type=FieldType.AMOUNT), finding)
    else:
        assert isinstance(finding.value, str)


KIND_CHECKS = {
    "summarise": look_over_summary,
    "extract": look_over_extraction,
    "classify": look_over_labels,
    "answer": look_over_answer,
}


def test_every_kind_is_looked_over() -> None:
    assert {kind.name for kind in KINDS} == set(KIND_CHECKS) == {name for name, _ in TASKS}

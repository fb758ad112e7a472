"""Summaries and answers of real files by the real reader, engine and starter model, through the service."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from docx import Document as WordFile

from localai_app.app import App, open_app
from localai_app.documents.document import Scope, State
from localai_app.paths import Paths
from localai_app.tasks.answer import NOT_FOUND, AnswerOptions
from localai_app.tasks.run import Item, ItemState, RunState
from localai_app.tasks.summarise import SummariseOptions

MINUTES = """Minutes of the board of Harbour Bakery Ltd, 14 March 2026.

The board approved the accounts for 2025: sales of 1,284,000 pounds and a profit of 91,400 pounds.

Tom Weld reported that the oven at the Mill Road shop failed twice in February.

The lease of the shop in Castle Street ends on 31 December 2026.

No dividend will be paid for 2025.
"""
CLAUSES = (
    ("Rent", "The monthly rent is 940 euros. It is due on the third working day of each month."),
    ("Dogs", "The tenant may keep one dog. Cats need the written consent of the landlord."),
    ("Law", "This lease is governed by the law of Norway. Disputes are heard in Bergen."),
)
RULE = "The staircase of house {0} is cleaned on Monday. Whoever finds it dirty tells caretaker {0}. "
pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture
def app(tmp_path: Path, starter_model: Path, minilm: Path) -> Iterator[App]:
    models = tmp_path / "models"
    models.mkdir()
    for model in (starter_model, minilm):
        (models / model.name).symlink_to(model)
    paths = Paths(
        data=tmp_path / "data", config=tmp_path / "config", cache=tmp_path / "cache", models=(models,)
    )
    (tmp_path / "minutes.txt").write_text(MINUTES)
    lease = WordFile()
    for number, (title, text) in enumerate(CLAUSES):
        lease.add_heading(title)
        lease.add_paragraph(text)
        lease.add_paragraph("".join(RULE.format(30 * number + at) for at in range(30)))
    lease.save(str(tmp_path / "lease.docx"))
    with open_app(paths) as app:
        added = app.documents.add([tmp_path / "minutes.txt", tmp_path / "lease.docx"])
        assert app.documents.wait(120)
        assert all(app.documents.document(number).state is State.READY for number in added.documents)
        yield app


def items(app: App, kind: str, options: msgspec.Struct) -> dict[str, Item]:
    """What came of each document, by its name."""
    run = app.tasks.start(kind, options, Scope())
    assert app.tasks.wait(run.id, 240)
    assert app.tasks.run(run.id).state is RunState.DONE
    found = {item.document_name: item for item in app.tasks.items(run.id)}
    assert found.keys() == {"minutes.txt", "lease.docx"}
    for item in found.values():
        assert item.state is ItemState.DONE, item.error
        check(app, item)
    return found


def check(app: App, item: Item) -> None:
    """Quotations are the page's own words, and all pages are accounted for."""
    assert item.outcome is not None
    assert item.coverage is not None
    assert item.coverage.read + len(item.coverage.unread) == item.coverage.total
    for finding in item.outcome.findings:
        for one in finding.evidence:
            page = app.tasks.page(item.id, one.page).text
            assert unicodedata.normalize("NFC", one.quotation) in unicodedata.normalize("NFC", page)
            assert page[one.start : one.end] == one.quotation


def test_every_document_has_a_summary_that_rests_on_it(app: App) -> None:
    found = items(app, "summarise", SummariseOptions("short"))
    for item in found.values():
        assert item.outcome is not None
        shown = [finding.shown for finding in item.outcome.findings]
        assert 1 <= len(shown) <= 3
        assert len(set(shown)) == len(shown)
        assert all(finding.evidence for finding in item.outcome.findings)
    short, long = found["minutes.txt"], found["lease.docx"]
    assert short.cost.steps == 1
    assert long.cost.steps > 2, "it is longer than one window"


def test_each_document_answers_and_what_is_not_on_its_pages_is_in_doubt(app: App) -> None:
    found = items(app, "answer", AnswerOptions("How much is the monthly rent?"))
    for item in found.values():
        assert item.outcome is not None
        (finding,) = item.outcome.findings
        assert finding.shown == NOT_FOUND or finding.doubts or any(one.verified for one in finding.evidence)
    assert found["minutes.txt"].cost.steps == 1


def test_yes_or_no_comes_with_its_probability(app: App) -> None:
    found = items(app, "answer", AnswerOptions("May the tenant keep a dog?", "yes_no"))
    for item in found.values():
        assert item.outcome is not None
        (finding,) = item.outcome.findings
        assert finding.value in (True, False, None)
        if finding.scores:
            assert sum(finding.scores.values()) == pytest.approx(1)
            assert 0 < finding.confidence <= max(finding.scores.values())

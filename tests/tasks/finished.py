"""Runs that are done, made from a few words: what results and evidence are written of."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from localai_app.tasks.run import Item, ItemCost, ItemState, ModelUsed, Run, RunSettings, RunState
from localai_app.tasks.task import (
    Alternative,
    Column,
    Coverage,
    Decision,
    Doubt,
    Evidence,
    Finding,
    Form,
    Outcome,
    Verdict,
)

WHEN = datetime(2026, 11, 20, 14, 37, tzinfo=UTC)

PAGES = (
    "Invoice INV-7 of 3 November 2026\nFrom: Müller & Söhne GmbH",
    "Widget | 2 | 1,200.50\nGadget | 1 | 2,817.72\nTotal due EUR 4,018.22",
    "",
)
"""The pages of the document that `item` tells of; the third is a scan that nobody read."""

COLUMNS = (
    Column("number", "Invoice number"),
    Column("date", "Date", Form.DATE),
    Column("total", "Total", Form.AMOUNT),
    Column("paid", "Paid", Form.FLAG),
    Column("supplier", "Supplier"),
    Column("tags", "Tags", Form.LIST),
    Column(
        "lines",
        "Line items",
        Form.LIST,
        parts=(
            Column("what", "What"),
            Column("quantity", "Quantity", Form.NUMBER),
            Column("price", "Price", Form.AMOUNT),
        ),
    ),
)


class Options(msgspec.Struct, frozen=True):
    template: str = "invoice"
    language: str = ""


def proof(page: int, quotation: str, *, verified: bool = True) -> Evidence:
    """Where ``quotation`` stands on a page of `PAGES`."""
    start = PAGES[page - 1].index(quotation)
    return Evidence(page, f"page {page}", start, start + len(quotation), quotation, verified)


def outcome() -> Outcome:
    """What came of an invoice: two values in doubt, one list and line items."""
    return Outcome(
        findings=(
            Finding("number", value="INV-7", shown="INV-7", evidence=(proof(1, "INV-7"),)),
            Finding(
                "date",
                value="2026-11-03",
                shown="2026-11-03",
                original="3 November 2026",
                evidence=(proof(1, "3 November 2026"),),
            ),
            Finding(
                "total",
                value=4018.22,
                shown="EUR 4,018.22",
                evidence=(proof(2, "EUR 4,018.22"),),
                doubts=(Doubt("sum_differs", "Lines sum to 5,218.72."),),
                alternatives=(Alternative(5218.72, "EUR 5,218.72"),),
                confidence=0.5,
            ),
            Finding("paid", value=False, shown="no", evidence=(proof(2, "Total due", verified=False),)),
            Finding(
                "supplier",
                value="Müller & Söhne",
                shown="Müller & Söhne",
                evidence=(proof(1, "Müller & Söhne GmbH"),),
                doubts=(Doubt("conflict", "Two names."),),
            ),
            Finding("tags", 0, value="hardware", shown="hardware"),
            Finding("tags", 1, value="urgent", shown="urgent"),
            *_line(0, "Widget", 2, 1200.5, "1,200.50"),
            *_line(1, "Gadget", 1, 2817.72, "2,817.72"),
        ),
        unread=((3, "it is a scan, and text recognition is not installed"),),
        notes=("Two totals stand in it.",),
        flags=(proof(1, "From: Müller"),),
        claims=2,
    )


def _line(number: int, what: str, quantity: int, price: float, shown: str) -> tuple[Finding, ...]:
    return (
        Finding("lines", number, "what", value=what, shown=what, evidence=(proof(2, what),)),
        Finding(
            "lines",
            number,
            "quantity",
            value=quantity,
            shown=str(quantity),
            evidence=(proof(2, f"| {quantity} |"),),
        ),
        Finding("lines", number, "price", value=price, shown=shown, evidence=(proof(2, shown),)),
    )


def item(number: int = 1, name: str = "invoice-7.pdf", **changes: object) -> Item:
    """A document that is done, with a value corrected and one that was rejected, then accepted after all."""
    made = Item(
        id=number,
        run_id=1,
        document_id=number,
        document_name=name,
        sha256=f"{number:064x}",
        state=ItemState.DONE,
        attempts=1,
        outcome=outcome(),
        coverage=Coverage("page", 3, 2, ((3, "it is a scan, and text recognition is not installed"),)),
        cost=ItemCost(3, 900, 600, 120, 2.5),
        decisions=(
            Decision("supplier/0/", Verdict.REJECTED, "", "mira", "2026-11-20T15:00:00Z"),
            Decision("supplier/0/", Verdict.CORRECTED, "Müller & Söhne GmbH", "mira", "2026-11-20T15:00:09Z"),
            Decision("tags/1/", Verdict.REJECTED, "", "mira", "2026-11-20T15:01:00Z"),
        ),
        finished=WHEN,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def waiting(number: int, name: str) -> Item:
    """A document whose turn has not come."""
    return Item(number, 1, number, name, f"{number:064x}", ItemState.WAITING)


def failed(number: int, name: str, error: str) -> Item:
    """A document that could not be worked on."""
    return Item(number, 1, number, name, f"{number:064x}", ItemState.FAILED, 1, error)


def run(columns: tuple[Column, ...] = COLUMNS, **changes: object) -> Run:
    """A run that is done."""
    made = Run(
        id=1,
        kind="extract",
        title="Extract · Invoice",
        where="Invoices November · 3 documents",
        options=Options(),
        columns=columns,
        settings=RunSettings(deterministic=True),
        state=RunState.DONE,
        created=WHEN,
        finished=WHEN,
        model=ModelUsed("Qwen2.5-Coder-1.5B-Instruct", "ab" * 32, "llama.cpp b6800", "CPU", 8192),
    )
    return replace(made, **changes)  # type: ignore[arg-type]

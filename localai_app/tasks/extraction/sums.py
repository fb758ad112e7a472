"""What must add up in a document, and whether it does.

Line items sum to the net amount or the total; net and tax make the total; a quantity times a unit price makes
a line's amount; what a statement opens with and its movements make what it closes with. Which field is which
is told by its key and title, in the languages that invoices here are written in. Nothing is corrected: where
figures differ, the finding is in doubt and says by what.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

import msgspec

from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.extraction.normalise_numbers import shown
from localai_app.tasks.task import Doubt, Finding

_CENT = Decimal("0.01")
_HALF = Decimal("0.005")
_TAX = "tax|vat|gst|mwst|ust|umsatzsteuer|mehrwertsteuer|tva|iva|btw"
# The first that fits: “total excluding tax” is net, “total including tax” a total, “total tax” a tax.
_ROLES = (
    (
        "opening",
        r"opening|previous balance|old balance|anfangs\w*|alter saldo|solde initial|saldo ini[cz]ial\w?",
    ),
    ("closing", r"closing|new balance|end\w* balance|end\w*saldo|neuer saldo|solde final|saldo final\w?"),
    ("quantity", "quantity|qty|quantité|menge|anzahl|cantidad|quantità|aantal|quantidade|hours|units"),
    ("unit_price", "unit (?:price|cost)|price (?:per )?unit|price each|einzelpreis|stückpreis|stukprijs"),
    ("unit_price", r"pri[xc]\w* unita\w+|prezzo unitario|precio unitario|preço unitário|hourly rate"),
    ("net", rf"nett?o?|untaxed|sub ?total|(?:excl|ohne|zzgl|hors|sin|before|without)\w*\W.*(?:{_TAX})"),
    ("net", "total ht|imponibile|base imponible"),
    ("total", rf"(?:incl|inkl|including|with|mit|con|after)\w*\W.*(?:{_TAX})|total ttc"),
    ("tax", _TAX),
    ("total", r"total|gross|brutto|gesamt\w*|amount|to pay|totaal|totale|importe|betrag|sum|balance due"),
)
_KINDS = [(role, re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)) for role, pattern in _ROLES]
_NOT_MONEY = re.compile(r"(?<!\w)(?:rate|percent\w*|%|number|no|id|code|satz)(?!\w)", re.IGNORECASE)


def with_sums(fields: Sequence[Field], findings: Sequence[Finding]) -> list[Finding]:
    """``findings`` with a doubt on each figure that does not add up."""
    doubts: dict[str, list[Doubt]] = {}
    totals = _Totals(fields, findings)
    for key, doubt in [*totals.differences(), *_lines_that_differ(fields, findings)]:
        doubts.setdefault(key, []).append(doubt)
    return [
        msgspec.structs.replace(one, doubts=(*one.doubts, *own), confidence=min(one.confidence, 0.3))
        if (own := doubts.get(one.key))
        else one
        for one in findings
    ]


def role_of(field: Field) -> str:
    """What a figure is in an invoice or a statement: as `_ROLES` names it; empty for anything else."""
    if field.type not in (FieldType.NUMBER, FieldType.AMOUNT):
        return ""
    for text in (field.name.replace("_", " "), field.key.replace("_", " ")):
        for role, pattern in _KINDS:
            if pattern.search(text) and not (role == "tax" and _NOT_MONEY.search(text)):
                return role
    return ""


@dataclass(frozen=True)
class _Figure:
    value: Decimal
    key: str


class _Totals:
    """The figures of a document, by what they are."""

    def __init__(self, fields: Sequence[Field], findings: Sequence[Finding]) -> None:
        self._by_role: dict[str, _Figure | None] = {}
        single = {field.key: role_of(field) for field in fields if not field.is_list}
        for finding in findings:
            role = single.get(finding.column, "")
            if role and (value := _decimal(finding)) is not None:
                # Two of the same role: which one is meant is not certain, so neither is checked.
                is_new = role not in self._by_role
                self._by_role[role] = _Figure(value, finding.key) if is_new else None
        self._lines = [
            amounts for field in fields if field.parts and (amounts := _amounts(field, findings)) is not None
        ]

    def differences(self) -> Iterable[tuple[str, Doubt]]:
        """What does not add up: (key of a finding, doubt)."""
        net, tax, total = (self._by_role.get(role) for role in ("net", "tax", "total"))
        if net and tax and total and abs(net.value + tax.value - total.value) > 2 * _CENT:
            yield total.key, _doubt("Net and tax make", net.value + tax.value)
        if len(self._lines) != 1:
            return
        lines = self._lines[0]
        added = sum(lines, Decimal(0))
        opening, closing = self._by_role.get("opening"), self._by_role.get("closing")
        if opening and closing:
            if abs(opening.value + added - closing.value) > 2 * _CENT:
                words = "The opening balance and the movements make"
                yield closing.key, _doubt(words, opening.value + added)
            return
        against = [one for one in (net, total) if one]
        slack = 2 * _CENT + _HALF * len(lines)
        if against and all(abs(added - one.value) > slack for one in against):
            yield against[-1].key, _doubt("Lines sum to", added)


def _amounts(field: Field, findings: Sequence[Finding]) -> list[Decimal] | None:
    """What the entries of a list come to, each; None where any has no amount."""
    part = _line_amount(field)
    if part is None:
        return None
    own = [one for one in findings if one.column == field.key and one.part]
    entries = {one.item for one in own}
    amounts = [value for one in own if one.part == part.key and (value := _decimal(one)) is not None]
    return amounts if entries and len(amounts) == len(entries) else None


def _line_amount(field: Field) -> Field | None:
    for role in ("total", "net"):
        for part in field.parts:
            if role_of(part) == role:
                return part
    amounts = [part for part in field.parts if part.type is FieldType.AMOUNT and not role_of(part)]
    return amounts[0] if len(amounts) == 1 else None


def _lines_that_differ(fields: Sequence[Field], findings: Sequence[Finding]) -> Iterable[tuple[str, Doubt]]:
    """Entries whose quantity times unit price is not their amount."""
    for field in fields:
        parts = {role: part.key for part in field.parts if (role := role_of(part))}
        amount = _line_amount(field)
        if amount is None or not {"quantity", "unit_price"} <= parts.keys():
            continue
        own = [one for one in findings if one.column == field.key]
        for _, entry in groupby(own, key=lambda one: one.item):
            row = {one.part: one for one in entry}
            figures = [_decimal(row.get(key)) for key in (parts["quantity"], parts["unit_price"], amount.key)]
            quantity, price, total = figures
            if quantity is None or price is None or total is None:
                continue
            # A unit price is rounded to a cent, too.
            slack = 2 * _CENT + abs(quantity) * _HALF
            if abs(quantity * price - total) > slack:
                yield row[amount.key].key, _doubt("Quantity times unit price is", quantity * price)


def _decimal(finding: Finding | None) -> Decimal | None:
    if finding is None or isinstance(finding.value, bool) or not isinstance(finding.value, (int, float)):
        return None
    return Decimal(str(finding.value))


def _doubt(words: str, value: Decimal) -> Doubt:
    return Doubt("sum_differs", f"{words} {shown(value.quantize(_CENT), 2)}.")

"""The results of a run as an Excel workbook: results, entries of lists, evidence, coverage.

Every cell is written as what it is (text, number, date, truth), so nothing that stands in a document becomes
a formula or a link. XlsxWriter only writes: it parses no file.
"""

import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import xlsxwriter

from localai_app.store.harmless import in_order, printable
from localai_app.tasks.reports import report, results
from localai_app.tasks.reports.results import Value
from localai_app.tasks.run import Item, Run
from localai_app.tasks.task import Column, Evidence, Form

if TYPE_CHECKING:
    from xlsxwriter.worksheet import Worksheet

_LONGEST = 32_767
"""UTF-16 units that a cell holds."""
_CUT = "… (cut: a cell holds no more; the JSON export has all of it)"
_MOST_ROWS = 1_048_575
"""Below the header."""
_FIRST_DATE = date(1900, 3, 1)
"""Before, Excel's calendar has a day that never was."""
_NARROW, _WIDE = 8, 60
_TALL = 1_000
"""Characters from which on a row is not made as high as its text."""
_TALL_POINTS = 150
_SEPARATORS = "[.,'’ \u00a0\u202f]"
_FORBIDDEN_IN_NAMES = str.maketrans(dict.fromkeys("[]:*?/\\'", " "))
_FILLS = {"in doubt": "#FFF4CE", "corrected": "#DDEBFF", "rejected": "#F8D7DA"}


class _Cell:
    """A value with how it is shown."""

    def __init__(self, content: str | float | bool | date, status: str = "", shown: str = "") -> None:
        self.content = content
        self.status = status
        self.shown = shown
        """How a person reads a number, with its currency."""


Cells = Sequence[_Cell | str | int]


def write(run: Run, items: Sequence[Item]) -> bytes:
    """The workbook's bytes."""
    file = io.BytesIO()
    book = _Book(file)
    book.sheet("Results", *_results(run, items))
    for column in run.columns:
        if column.form is Form.LIST:
            book.sheet(column.title, *_entries(items, column))
    book.sheet("Evidence", _EVIDENCE, _evidence(run, items))
    book.sheet("Coverage", _COVERAGE, map(_coverage, items))
    warning = results.unfinished(run, items)
    run_facts = [*([("Unfinished", warning)] if warning else []), *report.facts(run, items)]
    book.sheet("Run", ("What", "Value"), run_facts)
    book.close(printable(run.title), warning)
    return file.getvalue()


# ---------------------------------------------------------------- what stands where


def _results(run: Run, items: Sequence[Item]) -> tuple[Sequence[str], Iterator[Cells]]:
    head = ["Document", *(column.title for column in run.columns)]
    head += ["Read", "State", "Error", "In doubt", "Corrected", "Rejected", "Run"]
    how = "unfinished" if results.unfinished(run, items) else "finished"

    def rows() -> Iterator[Cells]:
        for item in items:
            found = list(results.all_values(run, item))
            decided = [results.fields_with(status, found) for status in _FILLS]
            read = item.coverage.words if item.coverage else ""
            given = [_result(item, column) for column in run.columns]
            yield [item.document_name, *given, read, results.state_words(item), item.error, *decided, how]

    return head, rows()


def _result(item: Item, column: Column) -> _Cell:
    found = results.values(item, column)
    if column.form is not Form.LIST and not column.parts and len(found) == 1:
        return _typed(found[0])
    statuses = {value.status for value in found}
    status = next((one for one in reversed(_FILLS) if one in statuses), "")
    return _Cell(results.joined(item, column, "\n"), status)


def _typed(value: Value) -> _Cell:
    content = value.typed
    return _Cell("" if content is None else content, value.status, value.text)


def _entries(items: Sequence[Item], column: Column) -> tuple[Sequence[str], Iterator[Cells]]:
    parts = column.parts or (Column("", column.title),)

    def rows() -> Iterator[Cells]:
        for item in items:
            for number, entry in enumerate(results.entries(item, column), start=1):
                by_part = {value.finding.part: value for value in entry}
                cells = [_typed(by_part[one.key]) if one.key in by_part else "" for one in parts]
                places = dict.fromkeys(proof.place for one in entry for proof in one.finding.evidence)
                yield [item.document_name, number, *cells, ", ".join(places)]

    return ["Document", "No.", *(part.title for part in parts), "Where"], rows()


_EVIDENCE = (
    *("Document", "Field", "Value", "What the model found", "On the page", "Page", "Place", "Quotation"),
    *(
        "Verified",
        "In doubt because",
        "Other values",
        "Confidence",
        "Decision",
        "Corrected to",
        "Who",
        "When",
    ),
)


def _evidence(run: Run, items: Sequence[Item]) -> Iterator[Cells]:
    for item in items:
        for value in results.all_values(run, item):
            for proof in value.finding.evidence or (None,):
                yield [item.document_name, *_proof(value, proof)]


def _proof(value: Value, proof: Evidence | None) -> Iterator[_Cell | str | int]:
    finding, decision = value.finding, value.decision
    yield value.field
    yield _typed(value)
    yield finding.shown
    yield finding.original
    yield proof.page if proof else ""
    yield proof.place if proof else ""
    yield proof.quotation if proof and proof.verified else ""
    yield ("verified" if proof.verified else "not verified") if proof else "no quotation"
    yield "; ".join(doubt.words for doubt in finding.doubts)
    yield "; ".join(other.shown for other in finding.alternatives)
    yield _Cell(round(finding.confidence, 4))
    yield decision.verdict.value if decision else ""
    yield decision.value if decision else ""
    yield decision.who if decision else ""
    yield decision.when if decision else ""


_COVERAGE = (
    *("Document", "State", "Error", "Unit", "In all", "Read", "Not read", "Which, and why"),
    *("Claims dropped", "Notes", "Looks like an instruction to the model", "SHA-256"),
)


def _coverage(item: Item) -> Cells:
    covered, outcome = item.coverage, item.outcome
    counts: list[str | int] = ["", "", "", ""]
    if covered is not None:
        counts = [covered.unit, covered.total, covered.read, len(covered.unread)]
    flags = [f"{flag.place}: {flag.quotation}" for flag in outcome.flags] if outcome else []
    return [
        *(item.document_name, results.state_words(item), item.error, *counts, results.unread_words(item)),
        outcome.claims if outcome else "",
        "\n".join(outcome.notes) if outcome else "",
        "\n".join(flags),
        item.sha256,
    ]


# ---------------------------------------------------------------- the workbook


class _Book:
    """A workbook whose sheets have a frozen header, a filter and widths that fit."""

    def __init__(self, file: io.BytesIO) -> None:
        self._book: Any = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False})
        self._formats: dict[tuple[str, str], Any] = {}
        self._head = self._book.add_format(
            {"bold": True, "bg_color": "#ECEBF5", "bottom": 1, "valign": "top", "text_wrap": True}
        )
        self._names: set[str] = set()

    def sheet(self, title: str, head: Sequence[str], rows: Iterable[Cells]) -> None:
        """A sheet; what does not fit on it stands on further ones."""
        worksheet, row, widths = self._new(title, head), 0, _widths(head)
        for cells in rows:
            if row == _MOST_ROWS:
                self._finish(worksheet, row, widths)
                worksheet, row, widths = self._new(title, head), 0, _widths(head)
            row += 1
            self._write_row(worksheet, row, cells, widths)
        self._finish(worksheet, row, widths)

    def close(self, title: str, comments: str) -> None:
        """Write it all."""
        self._book.set_properties({"title": title[:255], "author": "", "comments": comments})
        self._book.close()

    def _new(self, title: str, head: Sequence[str]) -> "Worksheet":
        worksheet: Worksheet = self._book.add_worksheet(self._name(title))
        worksheet.freeze_panes(1, 1)
        for number, text in enumerate(head):
            worksheet.write_string(0, number, _fitting(text), self._head)
        return worksheet

    def _name(self, title: str) -> str:
        """A name that a sheet may have, and that no other sheet has."""
        plain = " ".join(printable(title).translate(_FORBIDDEN_IN_NAMES).split())
        whole = plain if plain and plain.casefold() != "history" else f"Sheet {plain}".strip()
        name, number = _cut(whole, 31), 1
        while name.casefold() in self._names:
            number += 1
            name = f"{_cut(whole, 27)} {number}"
        self._names.add(name.casefold())
        return name

    def _write_row(self, worksheet: "Worksheet", row: int, cells: Cells, widths: list[int]) -> None:
        longest = 0
        for number, given in enumerate(cells):
            cell = given if isinstance(given, _Cell) else _Cell(given)
            text = self._write(worksheet, row, number, cell)
            longest = max(longest, len(text))
            line = max((len(part) for part in text[:_LONGEST].split("\n")), default=0)
            widths[number] = min(_WIDE, max(widths[number], line + 2))
        if longest > _TALL:
            worksheet.set_row(row, _TALL_POINTS)

    def _write(self, worksheet: "Worksheet", row: int, number: int, cell: _Cell) -> str:
        """Write a cell; what is shown there, about."""
        content = cell.content
        if isinstance(content, bool):
            worksheet.write_boolean(row, number, content, self._format(cell.status))
            return str(content)
        if isinstance(content, int | float):
            form = _number_format(cell)
            if form is not None:
                worksheet.write_number(row, number, content, self._format(cell.status, form))
                return cell.shown or str(content)
            content = cell.shown
        if isinstance(content, date) and content >= _FIRST_DATE:
            worksheet.write_datetime(row, number, content, self._format(cell.status, "yyyy-mm-dd"))
            return content.isoformat()
        text = _fitting(str(content))
        if text:
            worksheet.write_string(row, number, text, self._format(cell.status))
        else:
            worksheet.write_blank(row, number, None, self._format(cell.status))
        return text

    def _finish(self, worksheet: "Worksheet", rows: int, widths: Sequence[int]) -> None:
        worksheet.autofilter(0, 0, rows, len(widths) - 1)
        for number, width in enumerate(widths):
            worksheet.set_column(number, number, width)

    def _format(self, status: str, number_format: str = "") -> Any:
        key = status, number_format
        if key not in self._formats:
            fill = {"bg_color": _FILLS[status]} if status in _FILLS else {}
            shown = {"num_format": number_format} if number_format else {}
            self._formats[key] = self._book.add_format({"text_wrap": True, "valign": "top", **fill, **shown})
        return self._formats[key]


def _widths(head: Sequence[str]) -> list[int]:
    return [min(_WIDE, max(_NARROW, len(text) + 4)) for text in head]


def _number_format(cell: _Cell) -> str | None:
    """How a number is shown as a person reads it, with its decimals, thousands and currency.

    None where no format does that; empty where nobody says how it is read.
    """
    if not cell.shown:
        return ""
    before, digits, behind = results.parts_of_number(cell.shown)
    if not digits:
        return None
    groups = re.split(_SEPARATORS, digits)
    whole, last = "".join(groups[:-1]), groups[-1]
    # The last of several groups may be thousands or decimals: the number says which.
    for decimals in dict.fromkeys([last if whole else "", ""]):
        read = float(f"{whole or '0'}.{decimals}") if decimals else float(f"{whole}{last}")
        if isinstance(cell.content, int | float) and read == abs(cell.content):
            grouped = len(groups) > (2 if decimals else 1)
            form = f"{'#,##0' if grouped else '0'}{f'.{chr(48) * len(decimals)}' if decimals else ''}"
            around = [_literal(part) for part in (before, behind)]
            return None if None in around or len(decimals) > 15 else f"{around[0]}{form}{around[1]}"
    return None


def _literal(text: str) -> str | None:
    """A currency or a unit as a part of a number's format; None for what is neither."""
    harmless = all(one.isalpha() or one in "% " or unicodedata.category(one) == "Sc" for one in text)
    return None if not harmless or len(text) > 12 else f'"{text}"' if text else ""


def _fitting(text: str) -> str:
    """``text`` as a cell can hold it; what is cut off says so."""
    text = in_order(printable(text.replace("\r\n", "\n").replace("\r", "\n")))
    if len(text) * 2 <= _LONGEST or len(text.encode("utf-16-le")) // 2 <= _LONGEST:
        return text
    return _cut(text, _LONGEST - len(_CUT)) + _CUT


def _cut(text: str, units: int) -> str:
    """The beginning of ``text`` of that many UTF-16 units at most, no character halved."""
    return text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore")

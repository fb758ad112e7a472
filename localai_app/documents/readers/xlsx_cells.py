"""A sheet's cells as they are shown, read from its XML as a stream: memory is bounded by one row.

Neither openpyxl nor calamine serves here: openpyxl's streaming reader knows no hidden rows and columns, no
formats as shown, and either formulas or values; calamine lays out the rectangle around all cells, so that
two cells at opposite corners of a sheet end the process.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from localai_app.documents.readers.archive import damaged
from localai_app.documents.readers.number_format import BUILT_IN, formatted, formatted_text, general
from localai_app.documents.readers.ooxml import (
    Element,
    Package,
    attribute,
    child,
    children,
    descendants,
    name,
    number,
    spellings,
    stream,
)
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import SAVE_ANEW, SPLIT

_MAX_COLUMNS = 16_384
_MAX_STRINGS = 5_000_000
_LONGEST_NUMBER = 64
_MAX_ROWS_KEPT = 10
"""Rows at the top that a sheet may keep in sight."""
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_REFERENCE = re.compile(r"\$?([A-Za-z]{1,3})\$?(\d{1,7})")
_VALUE, _FORMULA, _INLINE = (frozenset(spellings(each)) for each in ("s:v", "s:f", "s:is"))
_CELL, _ROW = (frozenset(spellings(each)) for each in ("s:c", "s:row"))
_FLAT = str.maketrans("\n\t\r\v", "    ")


@dataclass(frozen=True)
class Cell:
    """One cell that holds something."""

    column: int
    """From 1."""
    text: str
    hidden: str = ""
    """Why it cannot be seen."""


@dataclass(frozen=True)
class Row:
    """One row that holds something."""

    number: int
    cells: Sequence[Cell]
    hidden: str = ""


@dataclass
class Surroundings:
    """What a sheet has beside its cells; complete when all rows were read."""

    kept_in_sight: int = 0
    """Rows at the top that stay when the sheet is scrolled."""
    drawing: str = ""
    """Id of the relationship."""
    headers: list[str] = field(default_factory=list)
    footers: list[str] = field(default_factory=list)
    without_value: list[str] = field(default_factory=list)
    """The first cells whose formula has no stored value."""
    without_value_count: int = 0


class Cells:
    """Makes cells of one workbook: its strings, its number formats, its calendar."""

    def __init__(self, package: Package, main: str, *, epoch_1904: bool) -> None:
        self._package = package
        self._epoch_1904 = epoch_1904
        self._strings = list(_strings(package, main))
        self._codes = _number_formats(package.related_part(main, "styles"))
        self._by_style: dict[str, str] = {}

    def rows(self, part: str, around: Surroundings) -> Iterator[Row]:
        """The sheet's rows that hold something, in order; fills ``around`` on the way."""
        hidden_columns: list[tuple[int, int]] = []
        all_rows_hidden = False
        cells: list[Cell] = []
        column = last_row = seen = 0
        tags = ("s:c", "s:row", "s:col", "s:pane", "s:sheetFormatPr", "s:drawing", *_AROUND)
        for element in stream(self._package.archive, part, *tags):
            tag = element.tag
            if tag in _CELL:
                column = _column(element.get("r"), column + 1)
                seen += 1
                if seen > _MAX_COLUMNS:
                    raise damaged()
                text, hidden = self._shown(element, column, last_row + 1, around)
                if text:
                    if not hidden and any(low <= column <= high for low, high in hidden_columns):
                        hidden = "hidden column"
                    cells.append(Cell(column, text, hidden))
                element.clear()
            elif tag in _ROW:
                last_row = number(element.get("r", ""), last_row + 1)
                if cells:
                    own = element.get("hidden")
                    is_hidden = own in ("1", "true") if own is not None else all_rows_hidden
                    flat = element.get("ht") in ("0", "0.0")
                    yield Row(last_row, cells, "hidden row" if is_hidden or flat else "")
                cells, column, seen = [], 0, 0
                _forget(element)
            elif name(element) == "s:col":
                if element.get("hidden") in ("1", "true") or element.get("width") in ("0", "0.0"):
                    hidden_columns.append((number(element.get("min", "")), number(element.get("max", ""))))
                    del hidden_columns[_MAX_COLUMNS:]
            elif name(element) == "s:sheetFormatPr":
                all_rows_hidden = element.get("zeroHeight") in ("1", "true")
            else:
                _look_around(element, around)

    def _shown(self, cell: Element, column: int, row: int, around: Surroundings) -> tuple[str, str]:
        """The cell's text, and why it cannot be seen."""
        kind = cell.get("t", "n")
        if (
            kind == "s" and cell.get("s") is None and len(cell) == 1 and cell[0].tag in _VALUE
        ):  # the commonest
            at = number(cell[0].text or "", -1)
            return (self._strings[at].translate(_FLAT) if 0 <= at < len(self._strings) else ""), ""
        stored: str | None = None
        formula: str | None = None
        for part in cell:
            if part.tag in _VALUE:
                stored = part.text
            elif part.tag in _FORMULA:
                formula = part.text or ""
            elif part.tag in _INLINE:
                stored = _rich_text(part)
        if stored is None:
            if formula is None:
                return "", ""
            around.without_value_count += 1
            if len(around.without_value) < 3:
                around.without_value.append(cell.get("r") or f"{letters(column)}{row}")
            return (f"={formula}" if formula else ""), ""
        code = self._code(cell.get("s"))
        if kind == "n":
            text = self._number(stored, code)
        elif kind == "s":
            at = number(stored, -1)
            text = self._strings[at] if 0 <= at < len(self._strings) else ""
        elif kind == "b":
            text = "TRUE" if stored.strip() == "1" else "FALSE"
        elif kind == "d":
            text = stored.replace("T", " ")
        else:
            text = unescaped(stored)
        if kind in ("s", "str", "inlineStr"):
            shown = formatted_text(text, code) if code != "General" else text
            return (shown.translate(_FLAT), "") if shown or not text else (text.translate(_FLAT), _BY_FORMAT)
        return (text, "") if text or not stored.strip() else (stored, _BY_FORMAT)

    def _number(self, stored: str, code: str) -> str:
        if len(stored) > _LONGEST_NUMBER:
            return stored
        if code == "General":
            if len(stored) < 12 and stored.isdigit():
                return stored
            try:
                value = Decimal(stored)
            except InvalidOperation:
                return stored
            return general(value) if value.is_finite() and abs(value.adjusted()) < 400 else stored
        return formatted(stored, code, epoch_1904=self._epoch_1904)

    def _code(self, style: str | None) -> str:
        if style is None:
            return self._codes[0] if self._codes else "General"
        found = self._by_style.get(style)
        if found is None:
            at = number(style, -1)
            found = self._codes[at] if 0 <= at < len(self._codes) else "General"
            if len(self._by_style) < _MAX_COLUMNS:
                self._by_style[style] = found
        return found


_BY_FORMAT = "hidden by its number format"
_AROUND = ("s:oddHeader", "s:evenHeader", "s:firstHeader", "s:oddFooter", "s:evenFooter", "s:firstFooter")


def unescaped(text: str) -> str:
    """Spreadsheets write characters that XML forbids as ``_x000D_``."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


@lru_cache(2048)
def letters(column: int) -> str:
    """The column's name: 28 is “AB”."""
    text = ""
    while column > 0:
        column, at = divmod(column - 1, 26)
        text = chr(65 + at) + text
    return text


def place(reference: str) -> tuple[int, int]:
    """Row and column of a cell's name; (0, 0) for none."""
    match = _REFERENCE.match(reference)
    return (int(match[2]), _column(match[1], 0)) if match else (0, 0)


def _column(reference: str | None, following: int) -> int:
    """The column of a cell's name; where it has none, it is the one that follows."""
    return _named_column(reference.rstrip("0123456789")) or following if reference else following


@lru_cache(2048)
def _named_column(named: str) -> int:
    if not 0 < len(named) < 4 or not named.isascii() or not named.isalpha():
        return 0
    found = 0
    for letter in named.upper():
        found = found * 26 + ord(letter) - 64
    return found


def _look_around(element: Element, around: Surroundings) -> None:
    kind = name(element)
    if kind == "s:pane" and element.get("state", "").startswith("frozen"):
        rows = element.get("ySplit", "").partition(".")[0]
        around.kept_in_sight = max(
            around.kept_in_sight, number(rows) if number(rows) <= _MAX_ROWS_KEPT else 0
        )
    elif kind == "s:drawing":
        around.drawing = attribute(element, "r:id")
    elif kind.endswith("Header"):
        around.headers.append(element.text or "")
    elif kind.endswith("Footer"):
        around.footers.append(element.text or "")


def _forget(row: Element) -> None:
    """Let go of the row and of what was before it."""
    row.clear()
    parent = row.getparent()
    while parent is not None and (before := row.getprevious()) is not None:
        parent.remove(before)


def _strings(package: Package, main: str) -> Iterator[str]:
    """The workbook's shared strings."""
    part = next(package.related(main, "sharedStrings"), "")
    if not part:
        return
    try:
        for count, item in enumerate(stream(package.archive, part, "s:si")):
            if count > _MAX_STRINGS:
                raise ReadRefused("limit", "The workbook has too many texts.", SPLIT)
            yield _rich_text(item)
            _forget(item)
    except KeyError:
        package.warn(f"The workbook's texts are missing; only numbers were read. {SAVE_ANEW}")


def _rich_text(item: Element) -> str:
    """The text of all runs, without how it is pronounced."""
    texts = (
        element.text or ""
        for element in descendants(item, "s:t")
        if (parent := element.getparent()) is None or name(parent) != "s:rPh"
    )
    return unescaped("".join(texts))


def _number_formats(styles: Element | None) -> list[str]:
    """The format code of each cell style."""
    if styles is None:
        return []
    own = {
        number(attribute(each, "numFmtId"), -1): attribute(each, "formatCode")
        for parent in children(styles, "s:numFmts")
        for each in children(parent, "s:numFmt")
    }
    found = child(styles, "s:cellXfs")
    ids = (
        number(attribute(each, "numFmtId")) for each in (children(found, "s:xf") if found is not None else ())
    )
    return [own.get(each) or BUILT_IN.get(each, "General") for each in ids]

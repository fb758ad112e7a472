"""Headers and footers: what stands at the same place at the edge of neighbouring pages."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from localai_app.documents.readers.pdf_glyphs import Glyphs
from localai_app.documents.readers.pdf_layout import Piece, Row

REACH = 2
"""Pages on each side that a page is compared with: left and right pages may differ."""
_EDGE = 0.17
"""Of the page's height, where headers and footers stand."""
_ROWS = 6
"""Rows at either edge that are compared."""
_NEAR = 6.0
"""Points that the same thing may stand apart on two pages."""
_NUMBERED_LINES = 15
"""Numbers at the margin, from which they number the lines of a page."""
_NUMBER = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"(?:p(?:age|\.|g\.?)|seite|página|pagina|стр(?:аница|\.)?|第)?[-–—•|\[(]*"
    r"(?P<number>\d{1,5}|[ivxlc]{1,7})(?:(?:of|von|de|di|sur|из|/)\d{1,5}|页|頁|ページ)?[-–—•|\])]*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class EdgeRow:
    """A row near the upper or lower edge."""

    row: int
    """Its number among the pieces of its page."""
    text: str
    """Without spaces."""
    upper: bool
    distance: float
    """Points from that edge."""
    shape: str
    """Its text with ``#`` for each number."""
    numbers: tuple[int, ...]


def edge_rows(rows: Sequence[Row], glyphs: Glyphs, height: float) -> tuple[EdgeRow, ...]:
    """The rows near the upper and the lower edge of a page, from the edge inwards."""
    made: list[EdgeRow] = []
    for upper, candidates in ((True, rows[:_ROWS]), (False, rows[: -_ROWS - 1 : -1])):
        for row in candidates:
            distance = row.baseline if upper else height - row.baseline
            if distance > _EDGE * height:
                break
            text = "".join(map(chr, glyphs.code[row.indices()].tolist()))
            numbers = tuple(int(number) % 10**9 for number in _NUMBER.findall(text)[:20])
            made.append(EdgeRow(row.pieces[0].row, text, upper, distance, _NUMBER.sub("#", text), numbers))
    return tuple(made)


def furniture(
    number: int, edges: Sequence[EdgeRow], label: str, neighbours: Iterable[tuple[int, Sequence[EdgeRow]]]
) -> tuple[set[int], set[int]]:
    """The rows of page ``number`` that are its header, and those that are its footer."""
    around = list(neighbours)
    header: set[int] = set()
    footer: set[int] = set()
    for edge in edges:
        rows = header if edge.upper else footer
        repeated = any(_same(edge, other, page - number) for page, others in around for other in others)
        if repeated or (not rows and _is_page_number(edge, number, label, alone=not around)):
            rows.add(edge.row)
    return header, footer


def _same(edge: EdgeRow, other: EdgeRow, apart: int) -> bool:
    """Whether both are one header; numbers in it may count the pages."""
    if edge.upper != other.upper or edge.shape != other.shape or abs(edge.distance - other.distance) > _NEAR:
        return False
    differences = [b - a for a, b in zip(edge.numbers, other.numbers, strict=True)]
    return all(difference in (0, apart) for difference in differences)


def _is_page_number(edge: EdgeRow, number: int, label: str, *, alone: bool) -> bool:
    match = _PAGE_NUMBER.fullmatch(edge.text)
    if not match:
        return False
    said = match["number"].lower()
    if label and said == label.lower():
        return True
    if not said.isdigit():
        return False
    # “Page 3”, or the number itself; a lone figure on a lone page may be anything.
    return len(edge.text) > len(said) + 2 or (int(said) == number and not alone)


def line_numbers(rows: Sequence[Row], glyphs: Glyphs) -> list[Piece]:
    """The numbers of the lines at the left margin, as courts have them; empty where lines have none."""
    found: list[Piece] = []
    last = 0
    for row in rows:
        first = row.pieces[0]
        if first.table >= 0 or first.count > 3 or first.digits != first.count:
            continue
        value = int("".join(map(chr, glyphs.code[first.indices()].tolist())))
        if value == (last + 1 if found else 1):
            found.append(first)
            last = value
    if len(found) < _NUMBERED_LINES:
        return []
    steps = [below.baseline - above.baseline for above, below in pairwise(found)]
    even = max(steps) - min(steps) < 0.1 * max(steps)
    # A table's rows are numbered, too, but they have more than one cell beside.
    numbered = {piece.row for piece in found}
    beside = sum(len(row.pieces) - 1 for row in rows if row.pieces[0].row in numbered)
    return found if even and beside <= 1.3 * len(found) else []

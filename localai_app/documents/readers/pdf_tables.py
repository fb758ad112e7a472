"""Tables on a page: those with ruling lines, and those whose cells stand in columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from localai_app.documents.readers.pdf_file import Floats
from localai_app.documents.readers.pdf_glyphs import Glyphs, Ints
from localai_app.documents.readers.pdf_layout import Piece, Row
from localai_app.documents.readers.pdf_rules import Drawn

_NEAR = 3.0
"""Points within which lines meet or are one."""
_MOST_LINES = 600
_LONG_CELL = 900
"""Characters; a ruled cell that has more, and most of the table's, frames a text."""
_FILLED = 0.25
"""Of a ruled table's cells have text; a frame around a drawing has less."""
_FAR = 2.5
"""Sizes of the font; what stands further apart in two rows already is in columns."""
_WRAPPED = 5
"""Rows of a table with one cell that may follow each other, as a long text in one column makes them."""
_BIN = 2.0
_CURRENCIES = frozenset(map(ord, "$€£¥₹"))


@dataclass(eq=False, slots=True)
class RuledTable:
    """Its place, and its rows of cells as characters in the order of the file."""

    left: float
    top: float
    right: float
    bottom: float
    rows: list[list[Ints]]


@dataclass(eq=False, slots=True)
class AlignedTable:
    """Rows of cells; a cell is the pieces in it."""

    rows: list[list[list[Piece]]]


# ---------------------------------------------------------------- ruled


def ruled_tables(glyphs: Glyphs, index: Ints, drawn: Drawn) -> list[RuledTable]:
    """The tables of at least two rows and two columns that lines make, with the characters in them."""
    across, down = _merged(drawn.across), _merged(drawn.down)
    if len(across) < 2 or len(down) < 1 or len(across) + len(down) > _MOST_LINES or not len(index):
        return []
    x = (glyphs.box[index, 0] + glyphs.box[index, 2]) / 2
    y = (glyphs.box[index, 1] + glyphs.box[index, 3]) / 2
    found: list[RuledTable] = []
    for levels, uprights in _grids(across, down):
        table = _table(index, x, y, levels, uprights)
        if table:
            found.append(table)
    found.sort(key=lambda table: (table.right - table.left) * (table.bottom - table.top))
    # Of tables within each other the inner one is kept: the outer one is a frame.
    kept: list[RuledTable] = []
    for table in found:
        if not any(
            table.left < other.right and other.left < table.right
            and table.top < other.bottom and other.top < table.bottom
            for other in kept
        ):  # fmt: skip
            kept.append(table)
    return kept


def _merged(lines: Sequence[tuple[float, float, float]]) -> Floats:
    """Lines (from, to, place) with those that continue or double each other made one."""
    made: list[list[float]] = []
    for first, last, place in sorted(lines, key=lambda line: (round(line[2] / _NEAR), line[0])):
        for other in made[-6:]:
            if abs(other[2] - place) <= _NEAR and first <= other[1] + _NEAR and other[0] <= last + _NEAR:
                other[0], other[1] = min(other[0], first), max(other[1], last)
                break
        else:
            made.append([first, last, place])
    return np.array(made, np.float64).reshape(-1, 3)


def _grids(across: Floats, down: Floats) -> list[tuple[Floats, Floats]]:
    """Lines that touch each other, as (level ones, upright ones)."""
    touch = (
        (down[None, :, 2] >= across[:, None, 0] - _NEAR)
        & (down[None, :, 2] <= across[:, None, 1] + _NEAR)
        & (across[:, None, 2] >= down[None, :, 0] - _NEAR)
        & (across[:, None, 2] <= down[None, :, 1] + _NEAR)
    )
    left = set(range(len(across)))
    grids = []
    while left:
        levels, uprights = {left.pop()}, set[int]()
        fresh = set(levels)
        while fresh:
            reached = set(np.flatnonzero(touch[sorted(fresh)].any(axis=0)).tolist()) - uprights
            uprights |= reached
            if not reached:
                break
            fresh = set(np.flatnonzero(touch[:, sorted(reached)].any(axis=1)).tolist()) - levels
            levels |= fresh
        left -= levels
        if len(levels) >= 2 and uprights:
            grids.append((across[sorted(levels)], down[sorted(uprights)]))
    return grids


def _distinct(values: Sequence[float]) -> list[float]:
    made: list[float] = []
    for value in sorted(values):
        if not made or value - made[-1] > _NEAR:
            made.append(value)
    return made


def _table(index: Ints, x: Floats, y: Floats, levels: Floats, uprights: Floats) -> RuledTable | None:
    lines_x = _distinct([*uprights[:, 2].tolist(), float(levels[:, 0].min()), float(levels[:, 1].max())])
    lines_y = _distinct([*levels[:, 2].tolist(), float(uprights[:, 0].min()), float(uprights[:, 1].max())])
    if len(lines_x) < 3 or len(lines_y) < 3:
        return None
    inside = (x >= lines_x[0]) & (x <= lines_x[-1]) & (y >= lines_y[0]) & (y <= lines_y[-1])
    if inside.sum() < 4:
        return None
    members, at_x, at_y = index[inside], x[inside], y[inside]
    row = np.clip(np.searchsorted(lines_y, at_y) - 1, 0, len(lines_y) - 2)
    column = np.zeros(len(members), np.int64)
    edges = np.array(lines_x)
    for number in range(len(lines_y) - 1):
        here = row == number
        if not here.any():
            continue
        middle = (lines_y[number] + lines_y[number + 1]) / 2
        crossing = uprights[(uprights[:, 0] <= middle) & (uprights[:, 1] >= middle), 2]
        # A cell's column is that of the line on its left that really divides this row.
        active = [0, *sorted({int(np.abs(edges - place).argmin()) for place in crossing.tolist()})]
        borders = edges[active]
        column[here] = np.array(active)[np.clip(np.searchsorted(borders, at_x[here], "right") - 1, 0, None)]
    row = _with_row_spans(row, column, lines_x, lines_y, levels)
    cells: dict[tuple[int, int], Ints] = {}
    for key in np.unique(row * 10_000 + column).tolist():
        cells[divmod(key, 10_000)] = members[row * 10_000 + column == key]
    rows = sorted({number for number, _ in cells})
    columns = sorted({number for _, number in cells})
    if len(rows) < 2 or len(columns) < 2 or len(cells) < _FILLED * len(rows) * len(columns):
        return None
    several = sum(len({c for r, c in cells if r == number}) > 1 for number in rows)
    longest = max(len(cell) for cell in cells.values())
    if several < 2 or (longest > _LONG_CELL and longest > 0.5 * len(members)):
        return None
    nothing = np.zeros(0, np.int64)
    return RuledTable(
        lines_x[0], lines_y[0], lines_x[-1], lines_y[-1],
        [[cells.get((r, c), nothing) for c in columns] for r in rows],
    )  # fmt: skip


def _with_row_spans(
    row: Ints, column: Ints, lines_x: Sequence[float], lines_y: Sequence[float], levels: Floats
) -> Ints:
    """Rows with the characters of a cell that reaches over several rows all in its first one."""
    row = row.copy()
    for number in range(1, len(lines_y) - 1):
        here = levels[np.abs(levels[:, 2] - lines_y[number]) <= _NEAR]
        for place in range(len(lines_x) - 1):
            middle = (lines_x[place] + lines_x[place + 1]) / 2
            if not ((here[:, 0] <= middle) & (here[:, 1] >= middle)).any():
                moved = (row == number) & (column == place)
                above = row[(row < number) & (column == place)]
                if moved.any() and len(above):
                    row[moved] = above.max()
    return row


# ---------------------------------------------------------------- aligned


def divided(rows: Sequence[Row], glyphs: Glyphs) -> list[list[Row] | AlignedTable]:
    """The rows of a region as stretches of lines and tables without ruling lines."""
    made: list[list[Row] | AlignedTable] = []
    plain: list[Row] = []
    number = 0
    cells = [_cells(row, glyphs) for row in rows]
    while number < len(rows):
        last = _stretch(rows, cells, number)
        table = _aligned(rows[number:last], cells[number:last]) if last - number > 1 else None
        if table is None:
            plain.append(rows[number])
            number += 1
            continue
        if plain:
            made.append(plain)
            plain = []
        made.append(table)
        number = last
    if plain:
        made.append(plain)
    return made


def _cells(row: Row, glyphs: Glyphs) -> list[list[Piece]]:
    """The pieces of a row by cell: what follows a currency sign belongs to it."""
    cells: list[list[Piece]] = []
    for piece in row.pieces:
        if piece.table >= 0:
            return [[piece]]
        if cells:
            before = cells[-1][-1]
            gap = piece.start - before.end
            sign = before.count == 1 and int(glyphs.code[before.indices()[0]]) in _CURRENCIES
            closing = piece.count == 1 and int(glyphs.code[piece.indices()[0]]) in (0x25, 0x29)
            if gap < 1.0 * row.size or sign or (closing and gap < 2 * row.size):
                cells[-1].append(piece)
                continue
        cells.append([piece])
    if len(cells) == 2 and _is_marker(cells[0], glyphs):
        return [[*cells[0], *cells[1]]]
    return cells


def _is_marker(cell: list[Piece], glyphs: Glyphs) -> bool:
    """Whether it is what a list's entry begins with."""
    if len(cell) != 1 or cell[0].count > 5:
        return False
    text = "".join(map(chr, glyphs.code[cell[0].indices()].tolist()))
    if text in ("o", "§"):
        return True
    if text.isalnum() or text[0] in "$€£¥+":
        return False
    return len(text) == 1 or text[-1] in ".):•"


def _stretch(rows: Sequence[Row], cells: Sequence[list[list[Piece]]], first: int) -> int:
    """Behind the last row that may be of one table with ``first``; ``first`` where that is of none."""
    if len(cells[first]) < 2:
        return first
    last = first + 1
    number = first + 1
    while number < len(rows) and number - last <= _WRAPPED:
        row, before = rows[number], rows[number - 1]
        if row.baseline - before.baseline > 3.5 * max(row.size, before.size):
            break
        if any(piece.table >= 0 for piece in row.pieces):
            break
        if len(cells[number]) > 1:
            last = number + 1
        elif number > last and not _goes_on(cells[number][0], cells[last - 1], row.size):
            break  # one may stand between, such as the title of a group of rows
        number += 1
    return last


def _goes_on(cell: list[Piece], above: list[list[Piece]], size: float) -> bool:
    """Whether a row's only cell may be another line of a cell in the row ``above``."""
    return any(abs(cell[0].start - other[0].start) < size for other in above)


def _aligned(rows: Sequence[Row], cells: Sequence[list[list[Piece]]]) -> AlignedTable | None:
    several = [row for row in cells if len(row) > 1]
    if len(several) < 2 or len(several) < 0.2 * len(rows):
        return None
    left = min(row.start for row in rows)
    right = max(row.end for row in rows)
    bins = int((right - left) / _BIN) + 2
    cover = np.zeros(bins, np.int64)
    for row in several:
        filled = np.zeros(bins, np.bool_)
        for cell in row:
            a = int((cell[0].start - left) / _BIN)
            filled[a : max(a + 1, int(np.ceil((max(piece.end for piece in cell) - left) / _BIN)))] = True
        cover += filled
    size = float(np.median([row.size for row in rows]))
    white = cover <= (0.12 * len(several) if len(several) > 5 else 0)
    borders: list[float] = []
    widest = 0.0
    start = -1
    for place in range(bins):
        if white[place]:
            start = place if start < 0 else start
        elif start >= 0:
            if start > 0 and (place - start) * _BIN >= 0.5 * size:
                borders.append(left + (start + place) / 2 * _BIN)
                widest = max(widest, (place - start) * _BIN / size)
            start = -1
    if not borders:
        return None
    placed: list[list[list[Piece]]] = []
    for row in cells:
        columns: list[list[Piece]] = [[] for _ in range(len(borders) + 1)]
        for cell in row:
            columns[int(np.searchsorted(borders, cell[0].start + 0.3 * min(cell[0].width, size)))] += cell
        placed.append(columns)
    really = sum(sum(bool(cell) for cell in row) > 1 for row in placed)
    needed = 2 if len(borders) >= 2 or widest > _FAR or _numbers(several) else 3
    if really < needed or really < 0.6 * len(several) or _long_lines(several, right - left):
        return None
    return AlignedTable(placed)


def _numbers(rows: Sequence[list[list[Piece]]]) -> bool:
    """Whether the last cells are mostly digits."""
    last = [row[-1] for row in rows]
    digits = sum(piece.digits for cell in last for piece in cell)
    return digits > 0.5 * sum(piece.count for cell in last for piece in cell)


def _long_lines(rows: Sequence[list[list[Piece]]], width: float) -> bool:
    """Whether the rows are lines of running text with wide spaces in it."""
    filled = [sum(piece.width for cell in row for piece in cell) / max(width, 1.0) for row in rows]
    columns = [len(row) for row in rows]
    return float(np.median(filled)) > 0.93 and max(columns) <= 3 and len(rows) < 4

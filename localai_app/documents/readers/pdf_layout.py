"""From characters on a page to lines in reading order.

Characters that follow each other become *chunks*, chunks beside each other *pieces* (what stands between
two wide gaps), pieces at one height *rows*. A page is cut where a gutter of white runs down between two
columns of running text; what crosses the gutter (a heading, a wide table) divides it into bands. Tables
are not cut: their cells are short, or their rows share baselines.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from localai_app.documents.readers.pdf_glyphs import Codes, Flags, Glyphs, Ints

ASCENT, DESCENT = 0.75, 0.22
"""Of a line's height above and below its baseline, in sizes of its font."""
WIDE_GAP = 0.7
"""Between two pieces of a row, in sizes of the font."""
_BIN = 2.0
"""Points of the grid that gutters are looked for on."""
_MOST_BINS = 600
_SLANT = 5.0
"""Text within this many degrees is of one direction."""


@dataclass(eq=False, slots=True)
class Piece:
    """Characters side by side, with no wide gap between them."""

    glyphs: list[Ints]
    """Runs of characters, from left to right."""
    start: float
    end: float
    baseline: float
    size: float
    row: int = 0
    count: int = 0
    digits: int = 0
    table: int = -1
    """Number of the ruled table that this piece stands for."""
    bottom: float = 0.0

    @property
    def top(self) -> float:
        """Its upper edge."""
        return self.baseline - ASCENT * self.size

    @property
    def width(self) -> float:
        """How far it reaches."""
        return self.end - self.start

    def indices(self) -> Ints:
        """Its characters from left to right."""
        return self.glyphs[0] if len(self.glyphs) == 1 else np.concatenate(self.glyphs)


@dataclass(eq=False, slots=True)
class Row:
    """Pieces at one height, from left to right."""

    pieces: list[Piece]
    start: float = field(init=False)
    end: float = field(init=False)
    baseline: float = field(init=False)
    size: float = field(init=False)

    def __post_init__(self) -> None:
        self.start = min(piece.start for piece in self.pieces)
        self.end = max(piece.end for piece in self.pieces)
        main = max(self.pieces, key=lambda piece: (piece.size, piece.count))
        self.baseline, self.size = main.baseline, main.size

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return max(piece.bottom for piece in self.pieces)

    @property
    def top(self) -> float:
        """Its upper edge."""
        return min(piece.top for piece in self.pieces)

    def indices(self) -> Ints:
        """Its characters from left to right."""
        return np.concatenate([piece.indices() for piece in self.pieces])


def directions(glyphs: Glyphs) -> list[Ints]:
    """The characters by the direction of their lines, upright ones first, then the most."""
    if not len(glyphs):
        return []
    angle = (np.round(glyphs.styles.angle / _SLANT) * _SLANT % 360)[glyphs.style]
    kinds, counts = np.unique(angle, return_counts=True)
    order = sorted(range(len(kinds)), key=lambda kind: (kinds[kind] != 0, -counts[kind]))
    return [np.flatnonzero(angle == kinds[kind]) for kind in order]


def stacked(glyphs: Glyphs, index: Ints) -> bool:
    """Whether upright characters are written from top to bottom, as Chinese and Japanese may be."""
    if len(index) < 8:
        return False
    dy = np.diff((glyphs.box[index, 1] + glyphs.box[index, 3]) / 2)
    dx = np.abs(np.diff((glyphs.start[index] + glyphs.end[index]) / 2))
    size = glyphs.size[index][1:]
    down = (dx < 0.3 * size) & (dy > 0.5 * size) & (dy < 1.6 * size)
    return bool(down.mean() > 0.7)


def pieces_of(glyphs: Glyphs, index: Ints) -> list[Piece]:
    """The characters ``index``, all of one direction, as pieces with their rows' numbers from the top."""
    chunks = _chunks(glyphs, index)
    pieces: list[Piece] = []
    for number, row in enumerate(_in_rows(chunks)):
        row.sort(key=lambda chunk: chunk.start)
        last: Piece | None = None
        for chunk in row:
            if last and chunk.start - last.end < WIDE_GAP * max(min(last.size, chunk.size), 1.0):
                last.glyphs += chunk.glyphs
                last.end = max(last.end, chunk.end)
                if chunk.size > last.size:
                    last.baseline, last.size = chunk.baseline, chunk.size
                last.count += chunk.count
                last.digits += chunk.digits
            else:
                last = chunk
                pieces.append(chunk)
            last.row = number
    for piece in pieces:
        piece.bottom = piece.baseline + DESCENT * piece.size
    return pieces


def _chunks(glyphs: Glyphs, index: Ints) -> list[Piece]:
    start, end = glyphs.start[index], glyphs.end[index]
    baseline, size, code = glyphs.baseline[index], glyphs.size[index], glyphs.code[index]
    step = size[1:]
    gap = start[1:] - end[:-1]
    mark = _combining(code[1:]) | _combining(code[:-1])
    breaks = (
        (np.abs(np.diff(baseline)) > 0.2 * np.minimum(size[1:], size[:-1]))
        | (gap > WIDE_GAP * step)
        | ((gap < -0.4 * step) & ~(mark & (gap > -1.5 * step)))
        | (np.diff(index) > 2000)
    )
    first = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    last = np.concatenate((first[1:], [len(index)]))
    starts = np.minimum.reduceat(start, first).tolist()
    ends = np.maximum.reduceat(end, first).tolist()
    sizes = np.maximum.reduceat(size, first).tolist()
    digits = np.add.reduceat(((code >= 0x30) & (code <= 0x39)).astype(np.int64), first).tolist()
    lines = baseline[first].tolist()
    return [
        Piece([index[a:b]], starts[k], ends[k], lines[k], sizes[k], count=b - a, digits=digits[k])
        for k, (a, b) in enumerate(zip(first.tolist(), last.tolist(), strict=True))
    ]


def _combining(code: Codes) -> Flags:
    return (
        ((code >= 0x300) & (code <= 0x36F))
        | ((code >= 0x591) & (code <= 0x5C7))
        | ((code >= 0x610) & (code <= 0x61A))
        | ((code >= 0x64B) & (code <= 0x65F))
        | ((code >= 0x900) & (code <= 0xDFF))
        | ((code >= 0xE31) & (code <= 0xE4E))
    )


def _in_rows(chunks: list[Piece]) -> Iterable[list[Piece]]:
    """The chunks grouped by height, from the top."""
    rows: list[tuple[Piece, list[Piece]]] = []
    for chunk in sorted(chunks, key=lambda chunk: chunk.baseline - 0.3 * chunk.size):
        best, most = -1, 0.5
        for number in range(len(rows) - 1, max(-1, len(rows) - 9), -1):
            share = _same_height(rows[number][0], chunk)
            if share > most:
                best, most = number, share
        if best < 0:
            rows.append((chunk, [chunk]))
            continue
        main, members = rows[best]
        members.append(chunk)
        if chunk.size > 1.05 * main.size:
            rows[best] = (chunk, members)
    rows.sort(key=lambda row: row[0].baseline)
    return [members for _, members in rows]


def _same_height(one: Piece, other: Piece) -> float:
    """How much of the smaller one's height lies within the other's; 0 where they cannot be of one row."""
    large, small = (one, other) if one.size >= other.size else (other, one)
    apart = abs(one.baseline - other.baseline)
    # A raised 2 is of the row; the lines beside a large initial are not.
    if apart > (0.6 * large.size if small.size > 0.5 * large.size else 0.3 * small.size):
        return 0.0
    top = max(one.baseline - ASCENT * one.size, other.baseline - ASCENT * other.size)
    bottom = min(one.baseline + DESCENT * one.size, other.baseline + DESCENT * other.size)
    return (bottom - top) / ((ASCENT + DESCENT) * small.size) if small.size > 0 else 0.0


def rows_of(pieces: Iterable[Piece]) -> list[Row]:
    """The pieces as rows, from the top."""
    by_row: dict[int, list[Piece]] = {}
    for piece in pieces:
        by_row.setdefault(piece.row, []).append(piece)
    rows = [Row(sorted(members, key=lambda piece: piece.start)) for members in by_row.values()]
    rows.sort(key=lambda row: row.baseline)
    return rows


# ---------------------------------------------------------------- columns


def regions(
    pieces: list[Piece], *, from_right: bool = False, running: bool = False, depth: int = 0
) -> list[list[Row]]:
    """The pieces as regions of one column each, in reading order; every region has its rows.

    ``from_right``: the right column is read first. ``running``: there are no tables.
    """
    rows = rows_of(pieces)
    cut = _gutter(rows, running) if len(rows) >= 3 and depth < 12 else None
    if cut is None:
        return [rows] if rows else []
    first, last, x = cut
    last = _continued(rows, last, x, from_right=from_right)
    above = [piece for row in rows[:first] for piece in row.pieces]
    below = [piece for row in rows[last:] for piece in row.pieces]
    band = [piece for row in rows[first:last] for piece in row.pieces]
    left = [piece for piece in band if piece.end <= x]
    right = [piece for piece in band if piece.start >= x]
    columns = (right, left) if from_right else (left, right)
    return [
        region
        for part in (above, *columns, below)
        for region in regions(part, from_right=from_right, running=running, depth=depth + 1)
    ]


def _continued(rows: Sequence[Row], last: int, x: float, *, from_right: bool) -> int:
    """``last``, moved down over rows with which the first column goes on below the end of the other."""
    while last < len(rows):
        row, above = rows[last], rows[last - 1]
        beside = row.start >= x if from_right else row.end <= x
        far = row.baseline - above.baseline > 2.6 * above.size
        if not beside or far or abs(row.size - above.size) > 0.15 * above.size:
            break
        last += 1
    return last


def _gutter(rows: Sequence[Row], running: bool) -> tuple[int, int, float] | None:
    """(first row, row behind the last, place) of the best gutter between columns of running text."""
    left = min(row.start for row in rows)
    right = max(row.end for row in rows)
    bins = int(min(_MOST_BINS, max(1, (right - left) // _BIN)))
    if bins < 8:
        return None
    width = (right - left) / bins
    covered = np.zeros((len(rows), bins + 1), np.bool_)
    starts = np.array([row.start for row in rows])
    ends = np.array([row.end for row in rows])
    tops = np.array([row.top for row in rows])
    for number, row in enumerate(rows):
        if not running and _of_table(row, right - left):
            covered[number, int((row.start - left) / width) : int((row.end - left) / width) + 1] = True
        for piece in row.pieces:
            a, b = int((piece.start - left) / width), int(np.ceil((piece.end - left) / width))
            if piece.table >= 0:
                covered[(tops >= piece.top - 1) & (tops < piece.bottom), a : max(b, a + 1)] = True
            covered[number, a : max(b, a + 1)] = True
    places = left + (np.arange(bins + 1) + 0.5) * width
    to_left = starts[:, None] < places[None, :]
    to_right = ends[:, None] > places[None, :]
    run = np.zeros(bins + 1, np.int64)
    both = np.zeros(bins + 1, np.int64)
    lefts, rights = both.copy(), both.copy()
    runs = np.zeros_like(covered, dtype=np.int64)
    score = np.zeros_like(runs)
    for number in range(len(rows)):
        free = ~covered[number]
        run = np.where(free, run + 1, 0)
        lefts = np.where(free, lefts + to_left[number], 0)
        rights = np.where(free, rights + to_right[number], 0)
        runs[number] = run
        score[number] = np.minimum(lefts, rights)
    size = float(np.median([row.size for row in rows]))
    needed = max(2, round((1.5 if running else 0.6) * size / width))
    for _ in range(6):
        best = int(score.argmax())
        last, place = divmod(best, bins + 1)
        if score[last, place] < 3:
            return None
        first = last - int(runs[last, place]) + 1
        same = (runs[last] == runs[last, place]) & (score[last] == score[last, place])
        low = high = place
        while low > 0 and same[low - 1]:
            low -= 1
        while high < bins and same[high + 1]:
            high += 1
        middle = float(left + (low + high + 1) / 2 * width)
        if high - low + 1 >= needed:
            found = _trimmed(rows, first, last + 1, middle)
            if found and (running or _columns(rows[found[0] : found[1]], middle)):
                return found[0], found[1], middle
        score[max(0, first) : last + 1, low : high + 1] = 0
        score[:, low : high + 1] = np.where(runs[:, low : high + 1] > 0, 0, score[:, low : high + 1])
    return None


def _of_table(row: Row, width: float) -> bool:
    """Whether it is a row of short cells with figures in them; no gutter runs through one."""
    if len(row.pieces) < 3 or max(piece.width for piece in row.pieces) > 0.38 * width:
        return False
    return sum(piece.digits for piece in row.pieces) > 0.25 * sum(piece.count for piece in row.pieces)


def _trimmed(rows: Sequence[Row], first: int, last: int, x: float) -> tuple[int, int] | None:
    """Without lone rows above and below the columns, such as a short heading over both."""
    sides = [(row.start < x, row.end > x) for row in rows]
    pitch = float(np.median(np.diff([row.baseline for row in rows[first:last]]))) if last - first > 1 else 0.0
    for count in (1, 2):
        head = range(first, min(first + count, last))
        following = first + count
        if (
            following < last
            and all(not all(sides[number]) for number in head)
            and len({sides[number] for number in head}) == 1
            and rows[following].baseline - rows[following - 1].baseline > 1.35 * pitch
            and sides[following] != sides[first]
        ):
            first = following
            break
    for count in (1, 2):
        if last < len(rows) and last - count - 1 > first:
            tail = range(last - count, last)
            if (
                all(not all(sides[number]) for number in tail)
                and len({sides[number] for number in tail}) == 1
                and rows[last - count].baseline - rows[last - count - 1].baseline > 1.35 * pitch
            ):
                last -= count
                break
    return (first, last) if last - first >= 3 else None


def _columns(rows: Sequence[Row], x: float) -> bool:
    """Whether what stands left and right of ``x`` are columns of running text, not of a table."""
    halves: tuple[list[Row], list[Row]] = ([], [])
    both = 0
    for row in rows:
        left = [piece for piece in row.pieces if piece.end <= x]
        right = [piece for piece in row.pieces if piece.start >= x]
        for half, pieces in zip(halves, (left, right), strict=True):
            if pieces:
                half.append(Row(pieces))
        both += bool(left and right)
    if min(len(half) for half in halves) < 3:
        return False
    shared = both / max(1, min(len(half) for half in halves))
    return all(_running(half, shared) for half in halves)


def _running(rows: Sequence[Row], shared: float) -> bool:
    """Whether rows on one side of a gutter read as text; rows that share baselines must show it better."""
    if any(piece.table >= 0 for row in rows for piece in row.pieces):
        rows = [row for row in rows if all(piece.table < 0 for piece in row.pieces)]
        if len(rows) < 2:
            return True
    left, right = min(row.start for row in rows), max(row.end for row in rows)
    side = max(right - left, 1.0)
    counts = np.array([sum(piece.count for piece in row.pieces) for row in rows])
    digits = sum(piece.digits for row in rows for piece in row.pieces)
    filled = np.array([sum(piece.width for piece in row.pieces) / side for row in rows])
    size = float(np.median([row.size for row in rows]))
    wide = side / size
    if digits > 0.35 * counts.sum():
        return False
    if shared < 0.6:
        return wide > 5 and float(np.median(counts)) >= 6
    if wide < 9:
        return False
    return float(np.median(filled)) > 0.66 and float(np.mean(filled > 0.8)) > 0.35 and len(rows) >= 4

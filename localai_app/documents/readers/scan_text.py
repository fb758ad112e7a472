"""From recognised lines to a page's text: reading order, paragraphs, tables, headings, places."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from localai_app.documents.document import BOX_SCALE, CELL, Block, BlockKind, Mark, MarkKind
from localai_app.documents.readers.pdf_layout import Piece, Row, regions

UNSURE = 0.8
"""A word is marked when the mean over its characters is below."""
_HARDLY = 0.5
"""… or one of them is."""
_APART = 1.0
"""Gap between two cells, in sizes of the writing."""
_SHORT_CELL = 30
"""Characters of a table's cell at most, where rows have three or more."""
_FAR_ROWS = 4
"""Distance between two rows of a table at most, in sizes of the writing."""
_BASELINE, _DESCENT = 0.3, 0.22
"""Of the font's size: from a line's middle to its baseline, and from there to its lower edge."""
_FAR = 1.45
"""Of the usual distance between lines; more is between paragraphs."""
_SHORT_OF = 0.82
"""Of the column's width: a line that ends before, and a sentence with it, ends its paragraph."""
_ITEM = re.compile(r"(?:[•▪■●○◦‣–—*·-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.)])\s")
_SENTENCE_END = re.compile(r"[.!?:;。！？：；]['\")\]”’»]*$")
_HEADING_SIZE = 1.25
_HEADING_LENGTH = 200

Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Line:
    """A line as it was recognised, in pixels of the upright picture with its slant taken out."""

    text: str
    sure: npt.NDArray[np.float32]
    """Of each character, 0 to 1."""
    boxes: Boxes
    """Of each character: left, top, right, bottom as fractions of the page as shown."""
    start: float
    end: float
    middle: float
    size: float
    """About the size of its font."""


@dataclass(frozen=True)
class RecognisedPage:
    """What was read in a picture; the fields are those of `Page`."""

    text: str
    blocks: tuple[Block, ...] = ()
    marks: tuple[Mark, ...] = ()
    boxes: bytes = b""
    confidence: float = 0.0
    unread: str = ""


def compose(lines: Sequence[Line]) -> RecognisedPage:
    """The page that ``lines`` make, in reading order."""
    writer = _Writer()
    body = _body_size(lines)
    for region in regions(_pieces(lines)):
        for kind, rows in _stretches([_row(row, lines) for row in region]):
            if kind is BlockKind.TABLE:
                writer.block(kind, rows)
            else:
                for paragraph in _paragraphs(rows):
                    writer.paragraph(paragraph, body)
    return writer.page()


# ---------------------------------------------------------------- lines into rows


def _body_size(lines: Sequence[Line]) -> float:
    """The size that most characters have."""
    if not lines:
        return 1.0
    sizes = np.repeat([line.size for line in lines], [max(1, len(line.text)) for line in lines])
    return float(np.median(sizes))


def _pieces(lines: Sequence[Line]) -> list[Piece]:
    """The lines in the form that columns are looked for in; ``glyphs`` holds the lines' numbers."""
    rows = [_divided(members, lines) for members in _rows(lines)]
    short = [len(cells) > 2 and all(_count(cell, lines) <= _SHORT_CELL for cell in cells) for cells in rows]
    pieces: list[Piece] = []
    for number, cells in enumerate(rows):
        # Rows of a table stay whole: no gutter runs through them.
        if short[number] and (any(short[max(0, number - 1) : number]) or any(short[number + 1 : number + 2])):
            pieces.append(_piece([line for cell in cells for line in cell], number, lines))
        else:
            pieces += (_piece(cell, number, lines) for cell in cells)
    return pieces


def _piece(members: Sequence[int], row: int, lines: Sequence[Line]) -> Piece:
    first, last = lines[members[0]], lines[members[-1]]
    size = max(lines[number].size for number in members)
    baseline = first.middle + _BASELINE * size
    piece = Piece([np.array(members)], first.start, last.end, baseline, size, row)
    piece.count = _count(members, lines)
    piece.digits = sum(character.isdigit() for number in members for character in lines[number].text)
    piece.bottom = baseline + _DESCENT * size
    return piece


def _count(members: Iterable[int], lines: Sequence[Line]) -> int:
    return sum(len(lines[number].text) for number in members)


def _divided(members: Sequence[int], lines: Sequence[Line]) -> list[list[int]]:
    """What stands in a row, as cells with wide gaps between them."""
    cells: list[list[int]] = [[members[0]]]
    for before, number in pairwise(members):
        gap = lines[number].start - lines[before].end
        if gap < _APART * min(lines[before].size, lines[number].size):
            cells[-1].append(number)
        else:
            cells.append([number])
    return cells


def _rows(lines: Sequence[Line]) -> list[list[int]]:
    """Numbers of the lines that stand side by side, rows from the top, each from the left."""
    rows: list[list[int]] = []
    for number in sorted(range(len(lines)), key=lambda number: lines[number].middle):
        line = lines[number]
        for row in rows[-4:]:
            others = [lines[other] for other in row]
            close = abs(line.middle - np.mean([other.middle for other in others])) < 0.5 * min(
                line.size, *(other.size for other in others)
            )
            if close and all(line.start >= o.end - o.size or line.end <= o.start + o.size for o in others):
                row.append(number)
                break
        else:
            rows.append([number])
    for row in rows:
        row.sort(key=lambda number: lines[number].start)
    return rows


@dataclass(frozen=True, eq=False)
class _Row:
    """Its cells, each of one line or several."""

    cells: list[list[Line]]
    start: float
    end: float
    middle: float
    size: float

    @property
    def text(self) -> str:
        return " ".join(line.text for cell in self.cells for line in cell)


def _row(row: Row, lines: Sequence[Line]) -> _Row:
    members = [int(number) for piece in row.pieces for number in piece.indices()]
    cells = [[lines[number] for number in cell] for cell in _divided(members, lines)]
    middle = float(np.mean([lines[number].middle for number in members]))
    return _Row(cells, row.start, row.end, middle, max(lines[number].size for number in members))


def _stretches(rows: Sequence[_Row]) -> Iterator[tuple[BlockKind, list[_Row]]]:
    """The rows of a column as tables (two rows or more of several cells each) and what is none."""
    start = 0
    for end in range(1, len(rows) + 1):
        several = len(rows[end - 1].cells) > 1
        if end < len(rows) and several == (len(rows[end].cells) > 1):
            far = rows[end].middle - rows[end - 1].middle > _FAR_ROWS * rows[end].size
            if not (several and far):
                continue
        table = several and end - start > 1
        yield BlockKind.TABLE if table else BlockKind.PARAGRAPH, list(rows[start:end])
        start = end


# ---------------------------------------------------------------- rows into paragraphs


def _paragraphs(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    if not rows:
        return
    pitches = [below.middle - above.middle for above, below in pairwise(rows)]
    usual = min(float(np.median(pitches)), 2.2 * rows[0].size) if pitches else 0.0
    left, right = min(row.start for row in rows), max(row.end for row in rows)
    paragraph = [rows[0]]
    for above, below in pairwise(rows):
        if _begins(above, below, usual, left, right):
            yield paragraph
            paragraph = []
        paragraph.append(below)
    yield paragraph


def _begins(above: _Row, below: _Row, usual: float, left: float, right: float) -> bool:
    """Whether a paragraph begins with ``below``."""
    size = min(above.size, below.size)
    if below.middle - above.middle > _FAR * usual or max(above.size, below.size) > _HEADING_SIZE * size:
        return True
    if _ITEM.match(below.text):
        return True
    ends_short = above.end < left + _SHORT_OF * (right - left)
    indented = below.start > above.start + size and below.start > left + size
    continues = below.text[:1].islower()
    return not continues and (indented or (ends_short and bool(_SENTENCE_END.search(above.text))))


# ---------------------------------------------------------------- paragraphs into text


class _Writer:
    """Text, blocks and places in the making."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._sure: list[float] = []
        self._boxes: list[Boxes] = []
        self._blocks: list[Block] = []
        self._length = 0

    def paragraph(self, rows: Sequence[_Row], body: float) -> None:
        """Write ``rows`` as one paragraph, list item or heading."""
        size = float(np.median([row.size for row in rows]))
        length = sum(len(row.text) for row in rows)
        if size > _HEADING_SIZE * body and 1 < length <= _HEADING_LENGTH:
            level = 1 if size > 1.8 * body else 2 if size > 1.45 * body else 3
            self.block(BlockKind.HEADING, rows, level)
        elif _ITEM.match(rows[0].text):
            self.block(BlockKind.LIST_ITEM, rows, 1)
        else:
            self.block(BlockKind.PARAGRAPH, rows)

    def block(self, kind: BlockKind, rows: Sequence[_Row], level: int = 0) -> None:
        """Write ``rows`` as one block; a table's rows stay lines, others are joined."""
        if self._length:
            tight = kind is BlockKind.LIST_ITEM and self._blocks[-1].kind is kind
            self._write("\n" if tight else "\n\n")
        start = self._length
        for number, row in enumerate(rows):
            if number:
                self._write("\n") if kind is BlockKind.TABLE else self._join(row.text)
            for place, cell in enumerate(row.cells):
                if place:
                    self._write(CELL if kind is BlockKind.TABLE else " ")
                for part, line in enumerate(cell):
                    if part:
                        self._write(_between(self._text[-1], line.text))
                    self._line(line)
        self._blocks.append(Block(kind, start, self._length, level))

    def _line(self, line: Line) -> None:
        self._text += line.text
        self._sure += line.sure.tolist()
        self._boxes.append(line.boxes)
        self._length += len(line.text)

    def _write(self, text: str) -> None:
        self._text += text
        self._sure += [-1.0] * len(text)
        self._boxes.append(np.zeros((len(text), 4)))
        self._length += len(text)

    def _join(self, following: str) -> None:
        """Go on to the next line of a paragraph; a word that was divided is put together."""
        divided = (
            self._length > 1
            and self._text[-1] in "-‐\xad"
            and self._text[-2].isalpha()
            and following[:1].islower()
        )
        if not divided:
            self._write(_between(self._text[-1], following))
            return
        self._text.pop()
        self._sure.pop()
        self._boxes[-1] = self._boxes[-1][:-1]
        self._length -= 1

    def page(self) -> RecognisedPage:
        text = "".join(self._text)
        sure = np.array(self._sure)
        known = sure[sure >= 0]
        places = np.concatenate([*self._boxes, np.zeros((0, 4))])
        boxes = (places.clip(0, 1) * BOX_SCALE).round().astype("<u2").tobytes()
        confidence = float(known.mean()) if len(known) else 0.0
        return RecognisedPage(text, tuple(self._blocks), tuple(_unsure(text, sure)), boxes, confidence)


def _between(before: str, following: str) -> str:
    """What stands between two lines that go on: Chinese and Japanese have no spaces."""
    return "" if _spaceless(before) and _spaceless(following[:1]) else " "


def _spaceless(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uffef"


def _unsure(text: str, sure: "npt.NDArray[np.float64]") -> Iterator[Mark]:
    for word in re.finditer(r"\S+", text):
        values = sure[word.start() : word.end()]
        values = values[values >= 0]
        if len(values) and values.mean() < UNSURE:
            note = f"recognised with {values.mean():.0%} confidence"
            yield Mark(MarkKind.UNSURE, word.start(), word.end(), note)
        elif len(values) and values.min() < _HARDLY:
            note = f"one character was recognised with {values.min():.0%} confidence"
            yield Mark(MarkKind.UNSURE, word.start(), word.end(), note)

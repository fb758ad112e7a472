"""From lines in reading order to headings, paragraphs, lists and tables."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from localai_app.documents.document import CELL, BlockKind
from localai_app.documents.readers.pdf_glyphs import Glyphs, Ints, middle
from localai_app.documents.readers.pdf_layout import Piece, Row, pieces_of, rows_of
from localai_app.documents.readers.pdf_tables import AlignedTable, RuledTable, divided
from localai_app.documents.readers.pdf_words import (
    HYPHENS,
    Words,
    is_letter,
    is_wide,
    spelled,
    words,
    written,
)

_MARKER = re.compile(
    r"(?:[•‣▪▫◦●○■□◆◇➢➤✓✔❖❑·∙⁃]|[-–—*](?= )|o(?= [A-Z])"
    r"|\(?(?:\d{1,3}|[a-z]|[ivxl]{1,6})[.)](?= |$)|\(?(?:[A-Z]|[IVXL]{2,6})\)(?= |$)|[IVX]{2,5}\.(?= |$)"
    r"|\d{1,2}(?:\.\d{1,3}){1,4}[.)]?(?= |$)"
    r"|[（(]?[一二三四五六七八九十]{1,3}[、)）])"
)
_NUMBERED = re.compile(r"(\d{1,2}(?:\.\d{1,2}){0,4})[.)]?\s+\S")
_SENTENCE_END = frozenset(".!?;:。！？：；”\"'’)]»")
_KNOWN_WORDS = 200_000
"""Words that are remembered of a document."""
_COMPOUND_HEADS = frozenset(
    {
        *("all", "anti", "cross", "decision", "first", "full", "half", "high", "higher", "inter", "large"),
        *("left", "long", "low", "lower", "mid", "middle", "multi", "near", "non", "one", "open", "post"),
        *("pre", "real", "right", "second", "self", "semi", "short", "single", "small", "so", "state"),
        *("third", "three", "top", "two", "user", "vice", "well", "world", "year"),
    }
)
"""What compounds with a hyphen often begin with."""


@dataclass(eq=False, slots=True)
class Part:
    """Words with what stands before them: nothing, a space, a line's end, a cell's."""

    before: str
    words: Words


@dataclass(eq=False, slots=True)
class Draft:
    """A block whose text is not put together yet."""

    kind: BlockKind
    parts: list[Part]
    level: int = 0
    size: float = 0.0
    bold: bool = False


@dataclass
class Vocabulary:
    """What is known of a document by its pages so far: words, and how large its text is."""

    words: set[str] = field(default_factory=set)
    hyphenated: set[str] = field(default_factory=set)
    sizes: Counter[float] = field(default_factory=Counter)

    @property
    def body(self) -> float:
        """Size of most of the text; 0 before there is any."""
        return self.sizes.most_common(1)[0][0] if self.sizes else 0.0

    def learn(self, glyphs: Glyphs) -> None:
        """Count the sizes of a page's characters."""
        sizes, counts = np.unique(np.round(glyphs.size * 2) / 2, return_counts=True)
        for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
            self.sizes[size] += count

    def learn_words(self, text: str) -> None:
        """Remember how the words of a finished page are written."""
        if len(self.words) < _KNOWN_WORDS:
            for word in text.lower().split():
                plain = word.strip(".,;:!?()[]\"'“”’")
                (self.hyphenated if "-" in plain else self.words).add(plain)

    def keeps_hyphen(self, head: str, tail: str) -> bool:
        """Whether ``head-`` at a line's end and ``tail`` are written with the hyphen."""
        head, tail = head.lower(), tail.lower()
        if head + tail in self.words:
            return False
        return (
            f"{head}-{tail}" in self.hyphenated or head.rsplit("-", 1)[-1] in _COMPOUND_HEADS or "-" in head
        )


class Blocks:
    """Makes blocks of the lines of one page."""

    def __init__(
        self,
        glyphs: Glyphs,
        vocabulary: Vocabulary,
        ruled: Sequence[RuledTable] = (),
        *,
        inked: bool,
        plain: bool = False,
        backwards: bool = False,
    ) -> None:
        """``plain``: of text that is neither heading nor table, such as a stamp at the margin."""
        self._plain = plain
        self._glyphs, self._vocabulary, self._ruled, self._inked = glyphs, vocabulary, ruled, inked
        self._backwards = backwards
        self._bold = glyphs.styles.bold[glyphs.style] if len(glyphs) else np.zeros(0, np.bool_)
        self._fixed = glyphs.styles.fixed[glyphs.style] if len(glyphs) else np.zeros(0, np.bool_)

    def of_region(self, rows: Sequence[Row]) -> Iterable[Draft]:
        """The blocks of one column, from the top."""
        if self._plain:
            yield from self._paragraphs(rows)
            return
        for stretch in divided(rows, self._glyphs):
            if isinstance(stretch, AlignedTable):
                yield self._aligned(stretch)
                continue
            lines: list[Row] = []
            for row in stretch:
                tables = [piece for piece in row.pieces if piece.table >= 0]
                if tables:
                    yield from self._paragraphs(lines)
                    lines = []
                    yield self._of_grid(self._ruled[tables[0].table])
                else:
                    lines.append(row)
            yield from self._paragraphs(lines)

    def whole(self, rows: Sequence[Row], kind: BlockKind) -> Draft | None:
        """All rows as one block of ``kind``."""
        parts = self._joined([self._words(row.indices()) for row in rows])
        return Draft(kind, parts) if parts else None

    # ------------------------------------------------------------ tables

    def _of_grid(self, table: RuledTable) -> Draft:
        return self._table(
            [[self._cell(cell) for cell in row] for ruled in table.rows for row in self._split(ruled)]
        )

    def _split(self, cells: Sequence[Ints]) -> list[Sequence[Ints]]:
        """A ruled row, or the rows that it holds: three and more lines at the same heights in every cell."""
        filled = [cell for cell in cells if len(cell)]
        heights = [[round(row.baseline) for row in rows_of(pieces_of(self._glyphs, cell))] for cell in filled]
        lines = heights[0]
        if len(filled) < 2 or len(lines) < 3 or any(
            len(other) != len(lines) or max(abs(a - b) for a, b in zip(other, lines, strict=True)) > 2
            for other in heights
        ):  # fmt: skip
            return [cells]
        borders = [(a + b) / 2 for a, b in pairwise(lines)]
        number = [np.searchsorted(borders, self._glyphs.baseline[cell]) for cell in cells]
        return [
            [cell[place == line] for cell, place in zip(cells, number, strict=True)]
            for line in range(len(lines))
        ]

    def _cell(self, index: Ints) -> list[Part]:
        if not len(index):
            return []
        rows = rows_of(pieces_of(self._glyphs, index))
        return self._joined([self._words(row.indices()) for row in rows])

    def _aligned(self, table: AlignedTable) -> Draft:
        return self._table(
            [
                [
                    [Part("", self._words(np.concatenate([piece.indices() for piece in cell])))]
                    if cell
                    else []
                    for cell in row
                ]
                for row in table.rows
            ]
        )

    def _table(self, rows: Iterable[Sequence[list[Part]]]) -> Draft:
        parts: list[Part] = []
        for row in rows:
            before = "\n" if parts else ""
            for number, cell in enumerate(row):
                if number:
                    before += CELL
                for part in cell:
                    parts.append(Part(before or part.before, part.words))
                    before = ""
        return Draft(BlockKind.TABLE, parts)

    # ------------------------------------------------------------ paragraphs

    def _words(self, index: Ints) -> Words:
        return words(self._glyphs, index, inked=self._inked, backwards=self._backwards)

    def _paragraphs(self, rows: Sequence[Row]) -> Iterable[Draft]:
        lines = [_Line(row, self._words(row.indices()), self) for row in rows]
        if not lines:
            return
        column = _Column(_pitch(lines), min(line.start for line in lines), max(line.end for line in lines))
        group: list[_Line] = []
        for number, line in enumerate(lines):
            following = lines[number + 1] if number + 1 < len(lines) else None
            if group and _parts(group, line, following, column):
                yield self._block(group)
                group = []
            group.append(line)
        yield self._block(group)

    def _block(self, lines: "Sequence[_Line]") -> Draft:
        text = lines[0].text
        kind, level = (BlockKind.PARAGRAPH, 0) if self._plain else self._kind(lines, text)
        if kind is BlockKind.CODE:
            parts = [Part("\n" if number else "", line.words) for number, line in enumerate(lines)]
        else:
            parts = self._joined([line.words for line in lines])
        return Draft(kind, parts, level, max(line.size for line in lines), all(line.bold for line in lines))

    def _kind(self, lines: "Sequence[_Line]", text: str) -> tuple[BlockKind, int]:
        size, body = lines[0].size, self._vocabulary.body or lines[0].size
        letters = sum(sign.isalpha() for sign in text)
        length = sum(len(line.text) for line in lines)
        bold = all(line.bold for line in lines)
        marker = _MARKER.match(text)
        numbered = _NUMBERED.match(text)
        depth = numbered[1].count(".") + 1 if numbered else 0
        short = len(lines) <= 4 and length <= 200 and letters >= 2
        ends = text.rstrip()[-1:] in ".;," and not re.fullmatch(r"[\d.]+", text.partition(" ")[0])
        if short and size >= 1.15 * body:
            level = 1 if size >= 1.7 * body else 2 if size >= 1.3 * body else 3
            return BlockKind.HEADING, depth or level
        if short and bold and not self._mostly_bold() and not ends and length <= 160:
            return BlockKind.HEADING, depth + 1 if depth else 3
        if marker and letters:
            return BlockKind.LIST_ITEM, min(9, max(1, depth))
        capitals = text.isupper() and letters >= 4 and letters > 0.6 * len(text)
        if short and capitals and len(lines) <= 2 and length <= 90 and not ends:
            return BlockKind.HEADING, 3
        if len(lines) >= 2 and all(line.fixed for line in lines) and not self._mostly_fixed():
            return BlockKind.CODE, 0
        return BlockKind.PARAGRAPH, 0

    def _mostly_bold(self) -> bool:
        return bool(self._bold.mean() > 0.6)

    def _mostly_fixed(self) -> bool:
        return bool(self._fixed.mean() > 0.6)

    # ------------------------------------------------------------ joining lines

    def _joined(self, lines: Sequence[Words]) -> list[Part]:
        """The lines of one text: with spaces between, or none where a word was divided."""
        parts: list[Part] = []
        for line in lines:
            if not len(line.index):
                continue
            if not parts:
                parts.append(Part("", line))
                continue
            parts.append(Part(self._between(parts[-1], line), line))
        return parts

    def _between(self, part: Part, line: Words) -> str:
        code = self._glyphs.code
        index = part.words.index
        last, first = int(code[index[-1]]), int(code[line.index[0]])
        if is_wide(last) and is_wide(first):
            return ""
        if last not in HYPHENS or len(index) < 2 or part.words.space[-1]:
            return " "
        before = int(code[index[-2]])
        if not (is_letter(before) or chr(before).isdigit()):
            return " "
        head, tail = self._last_word(part.words), self._first_word(line)
        if not is_letter(before) or not is_letter(first) or (chr(first).isupper() and chr(before).islower()):
            return ""
        if last != 0xAD and self._vocabulary.keeps_hyphen(head, tail):
            return ""
        part.words = Words(index[:-1], part.words.space[:-1])
        return ""

    def _last_word(self, line: Words) -> str:
        start = max((place for place, space in enumerate(line.space[:-1]) if space), default=0)
        return "".join(written(int(code)) for code in self._glyphs.code[line.index[start:-1]])

    def _first_word(self, line: Words) -> str:
        end = next((place for place, space in enumerate(line.space) if space and place), len(line.space))
        word = "".join(written(int(code)) for code in self._glyphs.code[line.index[:end]])
        return word.strip(".,;:!?()[]\"'“”’")


class _Line:
    """A row of a paragraph, and how it looks."""

    __slots__ = ("baseline", "bold", "end", "fixed", "size", "start", "text", "words")

    def __init__(self, row: Row, words: Words, blocks: Blocks) -> None:
        glyphs = blocks._glyphs
        self.words = words
        self.start, self.end, self.baseline = row.start, row.end, row.baseline
        index = words.index
        self.size = middle(glyphs.size[index]) if len(index) else row.size
        self.bold = np.count_nonzero(blocks._bold[index]) > 0.8 * len(index)
        self.fixed = np.count_nonzero(blocks._fixed[index]) > 0.9 * len(index)
        made = spelled(glyphs, words)
        self.text = (
            made[0]
            if made
            else "".join(
                f" {written(code)}" if space else written(code)
                for code, space in zip(glyphs.code[index].tolist(), words.space, strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class _Column:
    """What its lines have in common."""

    pitch: float
    """The usual distance of two lines, in sizes of the font."""
    left: float
    right: float


def _pitch(lines: Sequence[_Line]) -> float:
    """The usual distance of two lines, in sizes of the font."""
    steps = [
        (line.baseline - before.baseline) / max(line.size, 0.1)
        for before, line in pairwise(lines)
        if abs(line.size - before.size) < 0.1 * line.size and line.baseline > before.baseline
    ]
    close = [step for step in steps if 0.8 < step < 2.6]
    if not close:
        return 1.3
    # The lower third, not the middle: in a list of one-line paragraphs most steps are between paragraphs.
    return sorted(close)[len(close) // 3]


def _parts(group: Sequence[_Line], line: _Line, following: _Line | None, column: _Column) -> bool:
    """Whether ``line`` begins another paragraph than the one of ``group``."""
    pitch, left, right = column.pitch, column.left, column.right
    before, size = group[-1], max(line.size, 0.1)
    step = (line.baseline - before.baseline) / size
    if step > max(1.25 * pitch, pitch + 0.3) or step < -0.5:
        return True
    if abs(line.size - before.size) > 0.12 * max(line.size, before.size):
        return True
    if line.bold != before.bold and (_ended(before) or len(group) == 1 or line.bold):
        return True
    if line.fixed != before.fixed:
        return True
    if _MARKER.match(line.text) and not _goes_on(before, line):
        return True
    width = right - left
    room = right - before.end
    first_word = (len(line.text.split(" ", 1)[0]) + 1) * 0.5 * size
    if room > first_word + 0.5 * size and room > 0.12 * width and width > 12 * size:
        # The line before had room for the first word of this one: it ended on purpose.
        centred = abs((before.start + before.end) / 2 - (line.start + line.end) / 2) < size
        if not (centred and before.start - left > 2 * size) and (_ended(before) or room > 0.3 * width):
            return not (line.text[:1].islower() and room < 0.5 * width)
    indent = line.start - min(before.start, group[-1].start)
    if 0.8 * size < indent < 6 * size and not _MARKER.match(group[0].text):
        returns = following is None or following.start < line.start - 0.5 * size
        return returns and (len(group) > 1 or _ended(before)) and not line.text[:1].islower()
    return False


def _ended(line: _Line) -> bool:
    return line.text[-1:] in _SENTENCE_END


def _goes_on(before: _Line, line: _Line) -> bool:
    """Whether what looks like a marker goes on with a sentence: “… as described in” / “2.1 and …”."""
    return (
        not _ended(before)
        and abs(line.start - before.start) < 0.5 * line.size
        and line.text[:1] not in "•‣▪◦●■-–("
        and (before.text[-1:].islower() or before.text[-1:] in ",")
        and before.end - before.start > 25 * line.size
    )


def with_table_pieces(pieces: list[Piece], tables: Sequence[RuledTable], size: float) -> list[Piece]:
    """``pieces`` with one more for each ruled table, in a row of its own."""
    row = max((piece.row for piece in pieces), default=0) + 1
    made = list(pieces)
    for number, table in enumerate(tables):
        made.append(
            Piece(
                [np.zeros(0, np.int64)],
                table.left,
                table.right,
                table.top + 0.75 * size,
                size,
                row=row + number,
                table=number,
                bottom=table.bottom,
            )
        )
    return made

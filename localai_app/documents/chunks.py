"""Pages → chunks: what is searched, given to a model and quoted as one.

A chunk is a stretch of one page. It begins and ends between sentences, between the rows of a table, and at
headings where what stands under them is long enough for a chunk; the parts of a long section are about
equally long. The headings above it, and the first row of a table that goes on, are kept as its context.

What stands at the top or the foot of every page is in no chunk, unless there is nothing else on the page. A
paragraph that a tracked change deleted shares no chunk with what is in force, and its heading says so.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from localai_app.documents.document import Block, BlockKind, Chunk, MarkKind, Page
from localai_app.documents.sentences import sentences

Count = Callable[[Sequence[str]], list[int]]
"""Tokens that a model reads of each of some texts, what it wants around them included."""

SEPARATOR = " › "
"""Between the headings above a chunk."""
DELETED = "(deleted)"
"""The last of the headings of what a tracked change deleted."""
_MARGINS = (BlockKind.HEADER, BlockKind.FOOTER)
_LINES = (BlockKind.TABLE, BlockKind.CODE)
_SMALL = 0.25
"""Of the budget: a section shorter than this shares a chunk with what follows."""
LONGEST = 256
"""Tokens of a chunk, even for models that read more: what is found shall be a passage, not a chapter."""
_CONTEXT = 0.25
"""Of the budget, at most, for the headings above."""
_LINE = re.compile(r"\S[^\n]*")
_WORD = re.compile(r"\S+")
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")


@dataclass(frozen=True)
class _Unit:
    """What is not cut, ``page.text[start:end]``: a short block, a sentence, a row."""

    start: int
    end: int
    tokens: int
    path: tuple[str, ...]
    """The headings above it, and the first row of its table."""
    is_heading: bool = False
    begins_block: bool = False
    begins_alone: bool = False
    """Shares no chunk with what stands before it."""


def split(pages: Sequence[Page], count: Count, budget: int) -> list[Chunk]:
    """Chunks of about ``budget`` tokens at most (never more than `LONGEST`), headings and all, in reading
    order; every sentence is in one.

    ``count`` is asked a few times for many texts; nothing is counted twice.
    """
    tokens = _Tokens(count)
    room = max(min(budget, LONGEST) - tokens.around, 1)
    headings: list[tuple[int, str]] = []
    blocks = [list(_blocks(page, headings)) for page in pages]
    tokens.learn(text for of_page in blocks for block in of_page for text in (block.text, *block.path))
    long = [block for of_page in blocks for block in of_page if tokens(block.text) > room / 2]
    tokens.learn(block.text[start:end] for block in long for start, end in block.parts)
    found: list[Chunk] = []
    for page, of_page in zip(pages, blocks, strict=True):
        units = [unit for block in of_page for unit in _units(block, tokens, room)]
        found += _chunks(page, units, tokens, room)
    return found


class _Tokens:
    """How many tokens texts have, without what a model wants around each."""

    def __init__(self, count: Count) -> None:
        self._count = count
        one, two = count(["a", "a a"])
        self.around = max(2 * one - two, 0)
        self._known: dict[str, int] = {}

    def learn(self, texts: Iterable[str]) -> None:
        """Count all of ``texts`` at once."""
        wanted = [text for text in dict.fromkeys(texts) if text not in self._known]
        if wanted:
            for text, tokens in zip(wanted, self._count(wanted), strict=True):
                self._known[text] = max(tokens - self.around, 0)

    def __call__(self, text: str) -> int:
        self.learn((text,))
        return self._known[text]


# ---------------------------------------------------------------- blocks and units


@dataclass(frozen=True)
class _Placed:
    """A block of a page with what stands above it."""

    kind: BlockKind
    start: int
    text: str
    path: tuple[str, ...]
    begins_alone: bool

    @property
    def parts(self) -> list[tuple[int, int]]:
        """Spans in ``text`` between which it may be cut."""
        if self.kind in _LINES:
            return [match.span() for match in _LINE.finditer(self.text)]
        return list(sentences(self.text))


def _blocks(page: Page, headings: list[tuple[int, str]]) -> Iterator[_Placed]:
    """The blocks of ``page`` that are searched; ``headings``, those above, are kept up to date."""
    named = [block for block in page.blocks if page.text[block.start : block.end].strip()]
    named = named or _paragraphs(page.text)
    only_margins = all(block.kind in _MARGINS for block in named)
    deletions = [mark for mark in page.marks if mark.kind is MarkKind.DELETED]
    was_deleted = skipped = False
    for block in named:
        if block.kind in _MARGINS and not only_margins:
            skipped = True
            continue
        whole = page.text[block.start : block.end]
        text = whole.strip()
        deleted = any(mark.start <= block.start and block.end <= mark.end for mark in deletions)
        heading = block.kind is BlockKind.HEADING and not deleted
        while heading and headings and headings[-1][0] >= block.level:
            headings.pop()
        path = tuple(title for _, title in headings)
        yield _Placed(
            BlockKind.PARAGRAPH if block.kind is BlockKind.HEADING and deleted else block.kind,
            block.start + whole.index(text),
            text,
            (*path, DELETED) if deleted else path,
            begins_alone=skipped or deleted != was_deleted,
        )
        was_deleted, skipped = deleted, False
        if heading:
            headings.append((block.level, " ".join(text.split())))


def _paragraphs(text: str) -> list[Block]:
    """The blocks of a page that names none."""
    starts = [0, *(match.end() for match in _BLANK_LINES.finditer(text))]
    spans = zip(starts, [*starts[1:], len(text)], strict=True)
    return [Block(BlockKind.PARAGRAPH, start, end) for start, end in spans if text[start:end].strip()]


def _units(block: _Placed, tokens: _Tokens, room: int) -> Iterator[_Unit]:
    """What ``block`` is cut into: nothing while it is short, and only what is too long by itself within
    a sentence or a row."""
    longest = room - int(room * _CONTEXT)
    size = tokens(block.text)
    parts = [(0, len(block.text))] if size <= room / 2 else block.parts
    header: tuple[str, ...] = ()
    first = True
    for start, end in parts:
        for piece_start, piece_end in _short_enough(block.text, start, end, tokens, longest):
            yield _Unit(
                block.start + piece_start,
                block.start + piece_end,
                tokens(block.text[piece_start:piece_end]),
                (*block.path, *header),
                is_heading=block.kind is BlockKind.HEADING,
                begins_block=first,
                begins_alone=first and block.begins_alone,
            )
            first = False
        if block.kind is BlockKind.TABLE and not header:
            header = (" ".join(block.text[start:end].split()),)


def _short_enough(text: str, start: int, end: int, tokens: _Tokens, longest: int) -> list[tuple[int, int]]:
    """``text[start:end]`` in pieces of at most ``longest`` tokens, cut between words where there are some."""
    if tokens(text[start:end]) <= longest or end - start < 2:
        return [(start, end)]
    words = [match.start() for match in _WORD.finditer(text, start, end)][1:]
    middle = (start + end) // 2
    cut = min(words, key=lambda word: abs(word - middle)) if words else middle
    before = len(text[start:cut].rstrip())
    return [
        *_short_enough(text, start, start + before, tokens, longest),
        *_short_enough(text, cut, end, tokens, longest),
    ]


# ---------------------------------------------------------------- chunks


def _chunks(page: Page, units: Sequence[_Unit], tokens: _Tokens, room: int) -> Iterator[Chunk]:
    for section in _sections(units, room):
        for group in _fitting(section, tokens, room):
            heading = _context(group[0], tokens, room)
            start, end = group[0].start, group[-1].end
            size = tokens.around + tokens(heading) + sum(unit.tokens for unit in group)
            yield Chunk(page.number, start, end, page.text[start:end], heading, size)


def _sections(units: Sequence[_Unit], room: int) -> Iterator[list[_Unit]]:
    """Stretches that are not torn: what stands under a heading, or several of them that are short."""
    section: list[_Unit] = []
    size = 0
    for unit in units:
        enough = size >= room * _SMALL and not section[-1].is_heading if section else False
        if section and (unit.begins_alone or (unit.is_heading and enough)):
            yield section
            section, size = [], 0
        section.append(unit)
        size += unit.tokens
    if section:
        yield section


def _fitting(section: list[_Unit], tokens: _Tokens, room: int) -> Iterator[list[_Unit]]:
    """``section`` in as few parts as its length asks for, about equally long, cut between paragraphs
    where one ends near."""
    rest = section
    while rest:
        limit = room - tokens(_context(rest[0], tokens, room))
        total = sum(unit.tokens for unit in rest)
        if total <= limit:
            yield rest
            return
        share = total / ceil(total / limit)
        size = cut = 0
        for number, unit in enumerate(rest):
            if number and size + unit.tokens > limit:
                break
            size += unit.tokens
            following = rest[number + 1] if number + 1 < len(rest) else None
            if unit.is_heading:
                continue  # never the last of a part
            cut = number + 1
            if size >= share or (following and following.begins_block and size >= 0.7 * share):
                break
        cut = cut or 1
        yield rest[:cut]
        rest = rest[cut:]


def _context(first: _Unit, tokens: _Tokens, room: int) -> str:
    """The headings above, the nearest ones where there is no room for all."""
    path = first.path
    while path and tokens(SEPARATOR.join(path)) > room * _CONTEXT:
        path = path[1:]
    return SEPARATOR.join(path)

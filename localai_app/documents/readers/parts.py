"""Cuts formats without pages into parts that a person can leaf through and a citation can open."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from localai_app.documents.document import Block, BlockKind, Mark, MarkKind, Page, PageKind

PART = 4_000
"""Characters after which a part ends with the block in hand."""
LONGEST = 8_000
"""Characters of the longest part: a block that is longer goes on in the next."""
_BETWEEN = "\n\n"
_TIGHT = frozenset({BlockKind.LIST_ITEM, BlockKind.FIELD, BlockKind.CODE})
"""Blocks of these kinds follow each other without a blank line."""
_INDENTED = frozenset({BlockKind.LIST_ITEM, BlockKind.CODE})
"""Spaces at the start of these say something."""
_CUTS = (re.compile(r"\n"), re.compile(r"(?<=[.!?。！？])\s"), re.compile(r"\s"))
"""Where a long block is cut, best first."""
_NEVER_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Piece:
    """A block and its text; ``marks`` count from the start of ``text``."""

    kind: BlockKind
    text: str
    level: int = 0
    marks: tuple[Mark, ...] = ()
    images: int = 0
    """Pictures in it that nobody reads."""


def parts(pieces: Iterable[Piece], *, first: int = 1) -> Iterator[Page]:
    """Yield pages of about `PART` characters, cut between blocks; a longer block is cut between its lines.

    A heading begins the part that its text stands in. White space at a block's ends is dropped, an empty
    block with it. The pages' numbers count from ``first``.
    """
    number = first
    part = _Part()
    for whole in pieces:
        for piece in _short_enough(_trimmed(whole)):
            if part.wants_to_end(piece):
                rest = part.trailing_headings()
                yield part.page(number)
                number += 1
                part = _Part()
                for heading in rest:
                    part.add(heading)
            part.add(piece)
    if part.pieces:
        yield part.page(number)


def whole(pieces: Iterable[Piece], *, number: int, kind: PageKind, label: str = "") -> Page:
    """One page of all ``pieces``, however long."""
    part = _Part()
    for piece in pieces:
        part.add(_trimmed(piece))
    return part.page(number, kind, label)


class _Part:
    """The part in hand."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._characters = 0

    def add(self, piece: Piece) -> None:
        if piece.text or piece.images:
            self.pieces.append(piece)
            self._characters += len(piece.text) + 2

    def wants_to_end(self, following: Piece) -> bool:
        """Whether ``following`` must begin another part."""
        if not self._characters or not following.text:
            return False
        together = self._characters + len(following.text)
        if together > LONGEST or (together > PART * 5 // 4 and self._characters >= PART // 2):
            return True
        return self._characters >= PART or (
            following.kind is BlockKind.HEADING and self._characters >= PART * 3 // 4
        )

    def trailing_headings(self) -> list[Piece]:
        """Take headings off the end: they belong to what follows. One always stays."""
        rest: list[Piece] = []
        while len(self.pieces) > 1 and self.pieces[-1].kind is BlockKind.HEADING and len(rest) < 3:
            rest.insert(0, self.pieces.pop())
        return rest

    def page(self, number: int, kind: PageKind = PageKind.PART, label: str = "") -> Page:
        texts: list[str] = []
        blocks: list[Block] = []
        marks: list[Mark] = []
        position = 0
        last: BlockKind | None = None
        for piece in self.pieces:
            if not piece.text:
                continue
            if last is not None:
                between = "\n" if last is piece.kind and piece.kind in _TIGHT else _BETWEEN
                texts.append(between)
                position += len(between)
            end = position + len(piece.text)
            texts.append(piece.text)
            blocks.append(Block(piece.kind, position, end, piece.level))
            marks += (
                Mark(mark.kind, position + mark.start, position + mark.end, mark.note) for mark in piece.marks
            )
            position, last = end, piece.kind
        text = "".join(texts)
        images = sum(piece.images for piece in self.pieces)
        return Page(
            number,
            text,
            kind,
            label,
            tuple(blocks),
            tuple(joined(marks, text)),
            images=images,
        )


def joined(marks: Iterable[Mark], text: str) -> Iterator[Mark]:
    """The marks by position, none empty; those alike with only white space between are one."""
    last: Mark | None = None
    for mark in sorted(marks, key=lambda mark: (mark.start, mark.end)):
        if mark.end <= mark.start:
            continue
        alike = last and (last.kind, last.note) == (mark.kind, mark.note)
        if last and alike and not text[last.end : mark.start].strip():
            last = Mark(last.kind, last.start, max(last.end, mark.end), last.note)
            continue
        if last:
            yield last
        last = mark
    if last:
        yield last


def shown(text: str) -> str:
    """``text`` without what no page can hold: each control character, and half of a surrogate pair,
    becomes one character, so that spans stay right. Lines end with a line feed alone."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _NEVER_SHOWN.sub(_stand_in, text) if _NEVER_SHOWN.search(text) else text


def hidden(piece: Piece, note: str) -> Piece:
    """``piece``, all of it hidden."""
    mark = Mark(MarkKind.HIDDEN, 0, len(piece.text), note)
    return replace(piece, marks=(*piece.marks, mark)) if piece.text else piece


def _stand_in(match: re.Match[str]) -> str:
    return "\ufffd" if match[0] >= "\ud800" else " "


def _trimmed(piece: Piece) -> Piece:
    """Without white space at the ends; of code and lists, only without blank lines before."""
    text = piece.text
    if piece.kind is BlockKind.TABLE:  # a row may begin or end with an empty cell
        start, end = len(text) - len(text.lstrip("\n")), len(text.rstrip("\n"))
    else:
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    if piece.kind in _INDENTED:
        start = len(text) - len(re.sub(r"\A(?:[^\S\n]*\n)+", "", text))
    if not text.strip():
        start = end = len(text)
    if start == 0 and end == len(text):
        return piece
    return replace(slice_of(piece, start, max(start, end)), images=piece.images)


def _short_enough(piece: Piece) -> Iterator[Piece]:
    """The piece, or as many as it takes to keep each within `PART`."""
    text, start = piece.text, 0
    while len(text) - start > LONGEST:
        end = _cut(text, start)
        yield _trimmed(slice_of(piece, start, end))
        start = end
    yield _trimmed(slice_of(piece, start, len(text))) if start else piece


def _cut(text: str, start: int) -> int:
    """Where to cut, between half of `PART` and `PART` characters behind ``start``."""
    for pattern in _CUTS:
        found = [match.end() for match in pattern.finditer(text, start + PART // 2, start + PART)]
        if found:
            return found[-1]
    return start + PART


def slice_of(piece: Piece, start: int, end: int) -> Piece:
    """``piece`` from ``start`` to ``end`` of its text; its pictures come with the start."""
    marks = tuple(
        Mark(mark.kind, max(mark.start, start) - start, min(mark.end, end) - start, mark.note)
        for mark in piece.marks
        if mark.end > start and mark.start < end
    )
    return Piece(piece.kind, piece.text[start:end], piece.level, marks, piece.images if start == 0 else 0)

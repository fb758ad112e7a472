"""Puts the blocks of a page together: its text, the place of every character, marks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from localai_app.documents.document import BOX_SCALE, Block, BlockKind, Mark, MarkKind
from localai_app.documents.readers.pdf_blocks import Draft
from localai_app.documents.readers.pdf_file import Floats
from localai_app.documents.readers.pdf_glyphs import Glyphs, Ints
from localai_app.documents.readers.pdf_words import Words, composed, is_accent, spelled, written

_BETWEEN = "\n\n"
_SOFT_HYPHEN = 0xAD
_MAY_HEAD = (BlockKind.HEADING, BlockKind.PARAGRAPH, BlockKind.LIST_ITEM)
_LONGEST_HEADING = 300


class PageText:
    """Grows block by block."""

    def __init__(self, width: float, height: float) -> None:
        self._scale = BOX_SCALE / np.array([width, height, width, height], np.float64)
        self._text: list[str] = []
        self._length = 0
        self._places: list[np.ndarray[tuple[int, int], np.dtype[np.uint16]]] = []
        self.blocks: list[Block] = []
        self.marks: list[Mark] = []

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._text)

    @property
    def boxes(self) -> bytes:
        """As `Page.boxes`."""
        return np.concatenate(self._places).astype("<u2").tobytes() if self._places else b""

    def add(self, draft: Draft, glyphs: Glyphs, note: Callable[[int], str] | None = None) -> None:
        """Append a block; ``note`` says why a character is hidden, with nothing for those that are not."""
        signs: list[str] = []
        owners: list[Ints] = []
        for part in draft.parts:
            if part.before:
                signs.append(part.before)
                owners.append(np.full(len(part.before), -1, np.int64))
            text, owner = spelled(glyphs, part.words) or _one_by_one(glyphs, part.words)
            signs.append(text)
            owners.append(owner)
        whole = "".join(signs)
        if not whole.strip():
            return
        owner = np.concatenate(owners)
        places = _divided(glyphs.box[owner], owner)
        places[owner < 0] = 0.0
        self._append(draft.kind, draft.level, whole, places)
        if note:
            self._mark(owner, note)

    def add_text(self, kind: BlockKind, text: str, rectangle: Sequence[float], hidden: str = "") -> None:
        """Append a block that all stands within ``rectangle``; ``hidden`` says why nobody sees it."""
        self._append(kind, 0, text, np.tile(np.array(rectangle, np.float64), (len(text), 1)))
        if hidden:
            self.marks.append(Mark(MarkKind.HIDDEN, self._length - len(text), self._length, hidden))

    def take_over(self, recognised: Any) -> None:
        """Begin with what was recognised in a picture of the page."""
        self._text.append(recognised.text)
        self._places.append(np.frombuffer(recognised.boxes, "<u2").reshape(-1, 4))
        self._length = len(recognised.text)
        self.blocks = list(recognised.blocks)
        self.marks = list(recognised.marks)

    @staticmethod
    def headed(block: Block, text: str, titles: Mapping[str, int]) -> Block:
        """``block`` of ``text``, as a heading where its letters are those of one of the ``titles``."""
        if block.kind not in _MAY_HEAD or block.end - block.start > _LONGEST_HEADING:
            return block
        letters = "".join(sign for sign in text[block.start : block.end].lower() if sign.isalnum())
        level = titles.get(letters) or titles.get(letters.lstrip("0123456789"))
        return Block(BlockKind.HEADING, block.start, block.end, level) if level and letters else block

    def _append(self, kind: BlockKind, level: int, text: str, places: Floats) -> None:
        if self._length:
            self._text.append(_BETWEEN)
            self._places.append(np.zeros((len(_BETWEEN), 4), np.uint16))
            self._length += len(_BETWEEN)
        self._text.append(text)
        scaled = np.clip(np.rint(places * self._scale), 0, BOX_SCALE)
        # A box is never empty, so that a mark can be drawn and found.
        real = places.any(axis=1)
        scaled[real, 2] = np.maximum(scaled[real, 2], np.minimum(scaled[real, 0] + 1, BOX_SCALE))
        scaled[real, 3] = np.maximum(scaled[real, 3], np.minimum(scaled[real, 1] + 1, BOX_SCALE))
        self._places.append(scaled.astype(np.uint16))
        self.blocks.append(Block(kind, self._length, self._length + len(text), level))
        self._length += len(text)

    def _mark(self, owner: Ints, note: Callable[[int], str]) -> None:
        """Mark stretches of the last block that are hidden for one reason."""
        start = self.blocks[-1].start
        begun, reason = 0, ""
        last = 0
        for place, one in enumerate([*owner.tolist(), -2]):
            if one == -1:
                continue
            now = note(one) if one >= 0 else ""
            if now != reason:
                if reason:
                    self.marks.append(Mark(MarkKind.HIDDEN, start + begun, start + last, reason))
                begun, reason = place, now
            last = place + 1


def _one_by_one(glyphs: Glyphs, line: Words) -> tuple[str, Ints]:
    """As `spelled`, for ligatures, accents and the like."""
    signs: list[str] = []
    owners: list[int] = []
    for one, code, space in zip(
        line.index.tolist(), glyphs.code[line.index].tolist(), line.space, strict=True
    ):
        if space:
            signs.append(" ")
            owners.append(-1)
        if is_accent(code) and signs and (made := composed(signs[-1], chr(code))):
            signs[-1] = made
            continue
        if code == _SOFT_HYPHEN:
            continue
        sign = written(code)
        signs += sign
        owners += [one] * len(sign)
    return "".join(signs), np.array(owners, np.int64)


def _divided(box: Floats, owner: Ints) -> Floats:
    """Boxes of the characters, with that of a ligature divided among those it is written with."""
    if len(owner) < 2:
        return box
    same = (owner[1:] == owner[:-1]) & (owner[1:] >= 0)
    if not same.any():
        return box
    first = np.concatenate(([True], ~same))
    group = np.cumsum(first) - 1
    members = np.bincount(group)[group]
    place = np.arange(len(group)) - np.flatnonzero(first)[group]
    box = box.copy()
    part = (box[:, 2] - box[:, 0]) / members
    box[:, 0] += place * part
    box[:, 2] = box[:, 0] + part
    return box

"""From characters along a line to text: where words end, which way they run, how each is written."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from localai_app.documents.readers.pdf_glyphs import GUESSED_SPACE, SPACE, Codes, Flags, Glyphs, Ints, middle

HYPHENS = frozenset((0x2D, 0xAD, 0x2010, 0x2011))
_ACCENTS = {
    0x60: 0x300, 0xB4: 0x301, 0x5E: 0x302, 0x2C6: 0x302, 0x2DC: 0x303, 0xAF: 0x304, 0x2C9: 0x304,
    0x2D8: 0x306, 0x2D9: 0x307, 0xA8: 0x308, 0x2DA: 0x30A, 0x2DD: 0x30B, 0x2C7: 0x30C, 0xB8: 0x327,
    0x2DB: 0x328,
}  # fmt: skip
"""Accents that stand alone, and what they are on a letter: TeX draws “ö” as “¨” over “o”."""
_ACCENT_CODES = np.array(sorted(_ACCENTS), np.uint32)
_BULLETS = {
    0xF0B7: "•",
    0xF0A7: "▪",
    0xF0D8: "➢",
    0xF0FC: "✓",
    0xF0A8: "◻",
    0xF076: "❖",
    0xF02D: "-",
    0xF0E0: "→",
}
"""Signs of the fonts Symbol and Wingdings that lists are made with."""

_COMPATIBLE = (
    (0xFB00, 0xFDFB), (0xFE70, 0xFEFC),  # ligatures; letters in the form that their place in a word demands
    (0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), (0xFF66, 0xFF9F),  # full and half width
    (0x2E80, 0x2FD5), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),  # Chinese signs under a second code
    (0x1D400, 0x1D7FF), (0x132, 0x133), (0x1C4, 0x1CC), (0x13F, 0x140), (0x149, 0x149),
)  # fmt: skip
"""What is written with the plain letters instead. Raised and encircled digits stay: 10² is not 102."""


_AS_SPOKEN = re.compile("[םןץףךةى]$|^[وبفك]?ال..")
"""What only a word has that is read from the right end."""


_PLAIN = np.zeros(0xD7A5, np.bool_)
"""Which codes are written as they are, and are no accents."""
for _low, _high in (
    (0x20, 0x5D), (0x61, 0xA7), (0xA9, 0xAC), (0xB0, 0xB3), (0xB5, 0xB7), (0xB9, 0x131), (0x370, 0x482),
    (0x48A, 0x58F), (0x2010, 0x2027), (0x2030, 0x20CF), (0x2100, 0x2BFF), (0x3001, 0x3029), (0x3041, 0x9FFF),
    (0xAC00, 0xD7A3),
):  # fmt: skip
    _PLAIN[_low : _high + 1] = True


@dataclass(eq=False, slots=True)
class Words:
    """Characters in the order in which they are read, and before which of them a space stands."""

    index: Ints
    space: list[bool]
    text: tuple[str, Ints] | None = None
    """What `spelled` made of it."""


@lru_cache(maxsize=8192)
def written(code: int) -> str:
    """How a character is written in the text."""
    if code < 0x100:
        return chr(code)
    if code in _BULLETS:
        return _BULLETS[code]
    if any(low <= code <= high for low, high in _COMPATIBLE):
        return unicodedata.normalize("NFKC", chr(code)).strip() or chr(code)
    return chr(code)


def spelled(glyphs: Glyphs, line: Words) -> tuple[str, Ints] | None:
    """The text of ``line``, and to which character each sign belongs, -1 for a space.

    None where signs are not written as they are: those take `written` and `composed`, one by one.
    """
    if line.text is not None:
        return line.text
    code = glyphs.code[line.index]
    if not _PLAIN[np.minimum(code, len(_PLAIN) - 1)].all():
        return None
    space = np.array(line.space)
    place = np.arange(len(code)) + np.cumsum(space)
    signs = np.full(len(code) + int(space.sum()), 0x20, "<u4")
    signs[place] = code
    owner = np.full(len(signs), -1, np.int64)
    owner[place] = line.index
    line.text = signs.tobytes().decode("utf-32-le"), owner
    return line.text


def is_letter(code: int) -> bool:
    """Whether it is a letter of any script."""
    return chr(code).isalpha()


def is_wide(code: int) -> bool:
    """Whether it is of a script that sets no spaces between words: Chinese, Japanese."""
    return 0x2E80 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0xFF00 <= code <= 0xFF9F or code >= 0x20000


def words(glyphs: Glyphs, index: Ints, *, inked: bool = False, backwards: bool = False) -> Words:
    """The characters ``index``, given from left to right, in reading order with their spaces.

    ``inked``: their boxes are those of the ink, which leaves white between the letters of a word.
    ``backwards``: see `is_backwards`.
    """
    code = glyphs.code[index]
    plain = bool(_PLAIN[np.minimum(code, len(_PLAIN) - 1)].all())
    accents = code[:0] if plain else np.isin(code, _ACCENT_CODES)
    if accents.any() and len(index) > 1:
        index = _accents_behind_letters(glyphs, index, np.flatnonzero(accents).tolist())
        code = glyphs.code[index]
    if not plain and not backwards and right_to_left(code).any():
        order = np.argsort((glyphs.start[index] + glyphs.end[index]) / 2, kind="stable")
        index = _marks_behind_letters(glyphs, index[order])
        return _logical(glyphs, index, _spaces(glyphs, index, inked))
    return Words(index, _spaces(glyphs, index, inked))


def is_backwards(glyphs: Glyphs) -> bool:
    """Whether the page shows Hebrew or Arabic from left to right, as programs draw it that know no better.

    Words tell it by themselves: some letters stand only at their ends, and Arabic's article at their start.
    """
    code = glyphs.code
    if not right_to_left(code).any():
        return False
    # pdfium takes what is on the page for right and has turned every such word round.
    text = "".join(
        f" {written(one)}" if space else written(one)
        for one, space in zip(code.tolist(), glyphs.space.tolist(), strict=True)
    )
    score = 0
    for word in text.split():
        if len(word) > 2 and _direction(ord(word[0])) == _direction(ord(word[-1])) == "R":
            score += bool(_AS_SPOKEN.search(word)) - bool(_AS_SPOKEN.search(word[::-1]))
    return score < 0


def _spaces(glyphs: Glyphs, index: Ints, inked: bool) -> list[bool]:
    if len(index) < 2:
        return [False] * len(index)
    size = np.maximum(glyphs.size[index][1:], glyphs.size[index][:-1])
    gap = (glyphs.start[index][1:] - glyphs.end[index][:-1]) / np.maximum(size, 0.1)
    hint = np.where(np.abs(np.diff(index)) == 1, glyphs.space[np.maximum(index[1:], index[:-1])], 0)
    plain = gap[hint == 0]
    wide, more = (0.28 if inked else 0.15), gap
    if len(plain) >= 5:
        # Letters may be set apart, as in a title, or close together: words by as much more or less.
        more = gap - middle(plain)
        wide = 0.17 if inked else 0.15
    space = np.where(
        hint == SPACE,
        more > 0.02,
        np.where(hint == GUESSED_SPACE, (more > 0.1) & (gap > 0), (more > wide) & (gap > 0.05)),
    )
    code = glyphs.code[index]
    wide_signs = (code >= 0x2E80) & (code < 0xAC00) | (code >= 0xF900) & (code <= 0xFFEF)
    space &= ~(wide_signs[1:] & wide_signs[:-1] & (hint != SPACE))
    return [False, *space.tolist()]


def _accents_behind_letters(glyphs: Glyphs, index: Ints, places: Sequence[int]) -> Ints:
    """The characters with each accent that stands over a letter moved behind it."""
    order = index.tolist()
    middle = (glyphs.start[index] + glyphs.end[index]) / 2
    for place in places:
        accent = int(index[place])
        inside = (glyphs.start[index] - 0.5 <= middle[place]) & (middle[place] <= glyphs.end[index] + 0.5)
        inside[place] = False
        letters = [int(one) for one in index[inside] if is_letter(int(glyphs.code[one]))]
        if letters:
            order.remove(accent)
            order.insert(order.index(letters[0]) + 1, accent)
    return np.array(order, np.int64)


def _marks_behind_letters(glyphs: Glyphs, index: Ints) -> Ints:
    """From left to right, each mark put left of its letter, so that it follows when read from the right."""
    marks = [bool(unicodedata.combining(chr(code))) for code in glyphs.code[index].tolist()]
    if not any(marks):
        return index
    letters = [one for one, mark in zip(index.tolist(), marks, strict=True) if not mark]
    if not letters:
        return index
    left, right = glyphs.start[letters], glyphs.end[letters]
    behind: dict[int, list[int]] = {}
    for one, mark in zip(index.tolist(), marks, strict=True):
        if mark:
            overlap = np.minimum(right, glyphs.end[one]) - np.maximum(left, glyphs.start[one])
            behind.setdefault(int(overlap.argmax()), []).append(one)
    return np.array(
        [one for place, letter in enumerate(letters) for one in (*behind.get(place, ()), letter)], np.int64
    )


# ---------------------------------------------------------------- from right to left


def right_to_left(code: Codes) -> Flags:
    """Which of the codes are of scripts that run from right to left."""
    return (
        ((code >= 0x590) & (code <= 0x8FF))
        | ((code >= 0xFB1D) & (code <= 0xFDFF))
        | ((code >= 0xFE70) & (code <= 0xFEFC))
        | ((code >= 0x10800) & (code <= 0x10FFF))
    )


@lru_cache(maxsize=4096)
def _direction(code: int) -> str:
    """R: from the right; L: from the left; N: of a number; S: within a number; O: either."""
    if code < 0:
        return " "
    kind = unicodedata.bidirectional(chr(code))
    if kind in ("R", "AL"):
        return "R"
    if kind == "NSM":
        return "R" if 0x590 <= code <= 0x8FF else "L"
    if kind in ("EN", "AN"):
        return "N"
    if kind in ("CS", "ES", "ET"):
        return "S"
    return "L" if kind == "L" else "O"


def _logical(glyphs: Glyphs, index: Ints, space: list[bool]) -> Words:
    """From the order on paper to the order of reading, by the letters' own directions."""
    signs: list[int] = []  # the characters with -1 for each space, from left to right
    for one, spaced in zip(index.tolist(), space, strict=True):
        if spaced:
            signs.append(-1)
        signs.append(one)
    kinds = [_direction(int(glyphs.code[one]) if one >= 0 else -1) for one in signs]
    rights, lefts = kinds.count("R"), kinds.count("L")
    if rights >= lefts:
        signs.reverse()
        kinds.reverse()
        for first, last in _runs(kinds, "LN", across_spaces="L"):
            signs[first:last] = signs[first:last][::-1]
    else:
        for first, last in _runs(kinds, "R", across_spaces="R"):
            inner, inner_kinds = signs[first:last][::-1], kinds[first:last][::-1]
            for a, b in _runs(inner_kinds, "N", across_spaces=""):
                inner[a:b] = inner[a:b][::-1]
            signs[first:last] = inner
    ordered: list[int] = []
    spaced_before: list[bool] = []
    pending, before = False, ""
    for one in signs:
        if one < 0:
            pending = bool(ordered)
            continue
        kind = _direction(int(glyphs.code[one]))
        # Where the script changes so does the word, though there may be no white between.
        spaced_before.append(pending or {before, kind} == {"L", "R"})
        ordered.append(one)
        pending, before = False, kind
    return Words(np.array(ordered, np.int64), spaced_before)


def _runs(kinds: Sequence[str], members: str, *, across_spaces: str) -> list[tuple[int, int]]:
    """Stretches that begin and end with one of ``members``; what is neither here nor there may lie between.

    Numbers beside each other are two stretches; only letters of ``across_spaces`` hold one together
    over spaces.
    """
    found: list[tuple[int, int]] = []
    first = last = -1
    for place, kind in enumerate([*kinds, "R" if "R" not in members else "L"]):
        if kind in members:
            if first >= 0 and last < place - 1:
                between = kinds[last + 1 : place]
                joined = set(between) <= {"S"} or kind in across_spaces or kinds[last] in across_spaces
                if not joined:
                    found.append((first, last + 1))
                    first = -1
            if first < 0:
                first = place
            last = place
        elif kind in "LRN" and first >= 0:
            found.append((first, last + 1))
            first = -1
    return found


# ---------------------------------------------------------------- accents


def composed(letter: str, mark: str) -> str:
    """The one character that ``letter`` and ``mark`` make; empty where there is none."""
    code = ord(mark)
    if code in _ACCENTS:
        mark = chr(_ACCENTS[code])
    letter = {"ı": "i", "ȷ": "j"}.get(letter, letter)
    made = unicodedata.normalize("NFC", letter + mark)
    return made if len(made) == 1 else ""


def is_accent(code: int) -> bool:
    """Whether it may be one with the letter before it."""
    return code in _ACCENTS or (code >= 0x300 and unicodedata.combining(chr(code)) != 0)

"""The ink of one line: where its characters begin and end, and how much of it nobody read."""

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from localai_app.documents.readers.scan_models import Floats, Picture, Reading

Mask = npt.NDArray[np.bool_]
Spans = npt.NDArray[np.float64]
"""Of each character: its left and right edge, as fractions of the line's width."""

_REACH = 0.7
"""How far a character's ink reaches from its middle, in heights of the line's ink."""
_SOLID = 0.2
"""Share of the ink's height that a column needs to be of a character rather than of a rule."""
_SPECK = 0.004
"""Share of a row, below which ink is not of its characters."""
_TALL, _DEEP = frozenset("bdfhijklt()[]/|!?%&ßäöüéèêáàâíìîóòôúùû"), frozenset("gjpqy()[]|,;çşţ")
_IDEOGRAPHS = "\u2e80"
_SPACE, _LONE_SPACE = 0.2, 0.45
"""Of the font's size, from which white is a space: in a line that has spaces, and in one that has none."""
_AS_WIDE = 0.75
"""Of the spaces that were recognised."""
_FAINT = 24
"""Levels of grey between ink and paper below which there is no ink."""


def sides(quads: Floats) -> tuple[Floats, Floats]:
    """How far each line runs along its text, and across it."""
    along = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1)
    across = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    return along, across


def cut(picture: Picture, quad: Floats) -> Picture:
    """The line at ``quad``, made straight."""
    along, across = sides(quad[np.newaxis])
    width, height = max(2, round(float(along[0]))), max(2, round(float(across[0])))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), corners)
    border, smooth = cv2.BORDER_REPLICATE, cv2.INTER_CUBIC
    return np.asarray(cv2.warpPerspective(picture, matrix, (width, height), borderMode=border, flags=smooth))


def ink(line: Picture) -> Mask:
    """Which pixels are written on; dark on light or light on dark."""
    grey = cv2.cvtColor(line, cv2.COLOR_BGR2GRAY)
    _, dark = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    mask = np.asarray(dark) > 0
    if mask.all() or not mask.any() or abs(float(grey[mask].mean()) - float(grey[~mask].mean())) < _FAINT:
        return np.zeros_like(mask)
    return ~mask if mask.mean() > 0.5 else mask


def rows(mask: Mask) -> tuple[int, int]:
    """The first row with ink and the one behind the last; specks do not count."""
    found = np.flatnonzero(mask.sum(axis=1) >= max(2, _SPECK * mask.shape[1]))
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, len(mask))


def font_size(text: str, height: float) -> float:
    """Of a line whose ink is ``height`` high: “none” is lower than “Egypt” in the same font."""
    ideographs = any(character > "\u2e7f" for character in text)
    tall = any(character.isupper() or character.isdigit() or character in _TALL for character in text)
    deep = any(character in _DEEP for character in text)
    return height / (0.9 if ideographs else (0.72 if tall else 0.5) + (0.21 if deep else 0.0))


def with_spaces(reading: Reading, mask: Mask) -> Reading:
    """``reading`` with the spaces that it lacks: white as wide as where it has some, between two characters.

    The network leaves out spaces beside digits, above all in wide fonts.
    """
    text = reading.text
    if len(text) < 2 or not mask.any():
        return reading
    depth, width = mask.sum(axis=0), mask.shape[1]
    top, bottom = rows(mask)
    size = font_size(text, bottom - top)
    middles = np.minimum(reading.place * width, width - 1.0)
    gaps: dict[int, float] = {}
    known: list[float] = []
    for number in range(1, len(text)):
        before = number - 2 if text[number - 1].isspace() else number - 1
        if text[number].isspace() or before < 0:
            continue
        first, last = _between(depth, float(middles[before]), float(middles[number]), apart=True)
        if before < number - 1:
            known.append(last - first)
        elif all(character < _IDEOGRAPHS for character in text[number - 1 : number + 1]):
            gaps[number] = last - first
    least = max(_SPACE * size, _AS_WIDE * float(np.median(known))) if known else _LONE_SPACE * size
    lacking = [number for number, gap in gaps.items() if gap >= least]
    if not lacking:
        return reading
    parts = [text[a:b] for a, b in pairwise([0, *lacking, len(text)])]
    places = (reading.place[np.array(lacking) - 1] + reading.place[lacking]) / 2
    sure = np.insert(reading.sure, lacking, reading.sure[lacking])
    return Reading(" ".join(parts), sure, np.insert(reading.place, lacking, places))


def spans(reading: Reading, mask: Mask) -> tuple[Spans, float]:
    """Where each character stands, and the share of the line's ink that no character stands on."""
    width = mask.shape[1]
    found = np.zeros((len(reading.text), 2))
    if not mask.any():
        found[:] = reading.place[:, np.newaxis]
        return found, 0.0
    top, bottom = rows(mask)
    height = bottom - top
    depth = mask.sum(axis=0)
    reach = _REACH * max(height, len(mask) / 2)
    solid = depth >= _SOLID * height
    written = [number for number, character in enumerate(reading.text) if not character.isspace()]
    middles = [min(width - 1.0, float(reading.place[number]) * width) for number in written]
    edges = [_first(depth, 0, middles[0])] if written else []
    for number in range(1, len(written)):
        words = written[number] - written[number - 1] > 1
        edges += _between(depth, middles[number - 1], middles[number], apart=words)
    if written:
        edges.append(width - _first(depth[::-1], 0, width - 1 - middles[-1]))
    covered = np.zeros(width, np.bool_)
    for place, number in enumerate(written):
        left = max(edges[2 * place], middles[place] - reach)
        right = min(edges[2 * place + 1], middles[place] + reach)
        right = max(right, left + 1)
        covered[int(left) : int(np.ceil(right))] = True
        found[number] = left / width, right / width
    every = int(solid.sum())
    return found.clip(0, 1), float((solid & ~covered).sum() / every) if every else 0.0


def _first(depth: npt.NDArray[np.int64], start: int, end: float) -> float:
    """The first column with ink; ``end`` where there is none before."""
    inked = np.flatnonzero(depth[start : max(start + 1, int(end))])
    return float(start + inked[0]) if len(inked) else float(end)


def _between(depth: npt.NDArray[np.int64], left: float, right: float, *, apart: bool) -> list[float]:
    """Where one character ends and the next begins: beside the widest white, or at the least ink."""
    start, end = int(left), max(int(left) + 1, int(np.ceil(right)))
    stretch = depth[start:end]
    least = stretch == stretch.min()
    turns = np.flatnonzero(np.diff(least, prepend=False, append=False))
    firsts, lasts = turns[::2], turns[1::2]
    widest = int(np.argmax(lasts - firsts))
    first, last = float(start + firsts[widest]), float(start + lasts[widest])
    if apart:
        return [first, last]
    middle = (first + last) / 2
    return [middle, middle]

"""Recognises the text of a page that is a picture, with its places, and refuses what it cannot read.

A page that lies on its side or stands on its head is turned first; one that was laid in askew is read line
by line along its slant. The networks answer writing that they do not know with blanks, and with look-alikes
of low confidence. So each line is held against its ink: where much of it has no character, or the characters
are hardly sure, the line is not text that anyone should quote.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from localai_app.documents.readers.scan_ink import (
    Mask,
    Spans,
    cut,
    font_size,
    ink,
    rows,
    sides,
    spans,
    with_spaces,
)
from localai_app.documents.readers.scan_models import Floats, Models, Picture, Reading
from localai_app.documents.readers.scan_text import Line, RecognisedPage, compose
from localai_app.documents.recognition import languages

Image = tuple[int, int, bytes]
"""Width, height, and as many rows of pixels of three bytes, red first."""

_SMALLEST = 64
"""Pixels of a side below which a picture is filled up: the detector shrinks what is smaller to nothing."""
_SURE = 0.85
"""Confidence of the longest lines when the page stands upright; upside down they have 0.8 at most."""
_SAMPLE = 5
_GARBLED = 0.88
"""Mean confidence of a page below which it is refused: at 0.8 a fifth of the characters are wrong, and
Hebrew is taken for Latin letters with up to 0.83."""
_NO_TEXT = 0.65
"""Confidence of a line below which it is left out of a page that can be read."""
_UNREAD_INK = 0.3
"""Share of a line's ink without a character, above which it is left out too."""
_FOREIGN = 0.4
"""Share of such lines, by their length, above which the page is refused."""
_VIETNAMESE = frozenset("ơưƠƯ")
_VIETNAMESE_SHARE = 0.01
"""Of the letters. It has Latin letters, but many that the network does not know, and leaves out."""


class Recogniser:
    """Reads pictures of pages; the networks are loaded for the first."""

    def __init__(self) -> None:
        self._models: Models | None = None

    def recognise(self, image: Image) -> RecognisedPage:
        """The text in ``image``, which may be empty; ``unread`` says which part is in unknown writing."""
        if self._models is None:
            self._models = Models()
        width, height, rgb = image
        picture = np.frombuffer(rgb, np.uint8).reshape(height, width, 3)[:, :, ::-1]
        return _Sheet(self._models, np.ascontiguousarray(picture)).page()


class _Sheet:
    """One picture at work."""

    def __init__(self, models: Models, picture: Picture) -> None:
        self._models = models
        height, width = picture.shape[:2]
        down, across = max(0, _SMALLEST - height), max(0, _SMALLEST - width)
        if down or across:
            picture = np.asarray(cv2.copyMakeBorder(picture, 0, down, 0, across, cv2.BORDER_REPLICATE))
        self._filled = np.array([(width + across) / width, (height + down) / height])
        self._picture = picture
        self._quads = models.detect(picture)
        self._turns = self._turns_needed()
        if self._turns:
            self._picture = np.ascontiguousarray(np.rot90(picture, self._turns))
            self._quads = models.detect(self._picture)
        self._slant = _slant(self._quads)

    def _turns_needed(self) -> int:
        """By how many right angles, to the left, the picture must be turned for its lines to be read."""
        along, across = sides(self._quads)
        level = along[along > 2 * across].sum() >= across[across > 2 * along].sum()
        longest = np.argsort(-np.maximum(along, across))[:_SAMPLE]
        sample = [cut(self._picture, self._quads[number]) for number in longest]
        best, most = 0, 0.0
        for turns in (0, 2) if level else (1, 3):
            sure = self._sureness([np.ascontiguousarray(np.rot90(line, turns)) for line in sample])
            if sure > most:
                best, most = turns, sure
            if sure > _SURE:
                break
        return best

    def _sureness(self, lines: Sequence[Picture]) -> float:
        sure = np.concatenate([np.zeros(0), *(self._models.read(line).sure for line in lines)])
        return float(sure.mean()) if len(sure) else 0.0

    def page(self) -> RecognisedPage:
        """What can be read, composed, with a word on what cannot."""
        lines: list[Line] = []
        known, unknown, left_out = 0.0, 0.0, 0
        for quad in self._quads:
            line, readable = self._line(quad)
            if line and readable:
                lines.append(line)
                known += (line.end - line.start) / line.size
            elif line:
                unknown += (line.end - line.start) / line.size
                left_out += 1
        made = compose(lines)
        foreign = unknown > _FOREIGN * (known + unknown) or _is_vietnamese(lines)
        if foreign or (lines and made.confidence < _GARBLED):
            return RecognisedPage("", unread=_unread("The page is a picture whose writing"))
        unread = ""
        if left_out:
            unread = _unread(f"The page is a picture; {left_out} of its {len(lines) + left_out} lines")
        return replace(made, unread=unread)

    def _line(self, quad: Floats) -> tuple[Line | None, bool]:
        """The line at ``quad``, and whether it can be read; None for a speck, or the stroke of a pen."""
        quad, picture, reading = self._upright(quad)
        mask = ink(picture)
        reading = with_spaces(reading, mask)
        places, unread = spans(reading, mask)
        text = reading.text.strip()
        if text and reading.confidence >= _NO_TEXT and unread <= _UNREAD_INK:
            return self._placed(reading, quad, places, mask), True
        if not mask.any() or picture.shape[1] < 3 * picture.shape[0]:
            return None, False
        return self._placed(reading, quad, places, mask), False

    def _upright(self, quad: Floats) -> tuple[Floats, Picture, Reading]:
        """The line at ``quad``, turned where it runs up or down beside lines that do not."""
        picture = cut(self._picture, quad)
        reading = self._models.read(picture)
        if picture.shape[0] < 2.5 * picture.shape[1]:
            return quad, picture, reading
        for turns in (1, 3):
            turned = np.ascontiguousarray(np.rot90(picture, turns))
            other = self._models.read(turned)
            if len(other.text) * other.confidence > len(reading.text) * reading.confidence:
                quad, picture, reading = np.roll(quad, -1 if turns == 1 else 1, axis=0), turned, other
                break
        return quad, picture, reading

    # ------------------------------------------------------------ places

    def _placed(self, reading: Reading, quad: Floats, places: Spans, mask: Mask) -> Line:
        text = reading.text
        kept = slice(len(text) - len(text.lstrip()), len(text.rstrip()))
        top, bottom = rows(mask)
        boxes = self._shown(_corners(quad, places, top / len(mask), bottom / len(mask)))
        boxes[[character.isspace() for character in text]] = 0
        straight = quad @ self._slant
        return Line(
            text[kept],
            reading.sure[kept],
            boxes[kept],
            start=float(straight[:, 0].min()),
            end=float(straight[:, 0].max()),
            middle=float(straight[:, 1].mean()),
            size=font_size(text, bottom - top),
        )

    def _shown(self, corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Boxes on the page as shown of ``corners`` (characters, corners, x and y) on the turned picture."""
        height, width = self._picture.shape[:2]
        points = corners / (width, height)
        for _ in range(self._turns):
            points = np.stack([1 - points[:, :, 1], points[:, :, 0]], axis=2)
        points = points * self._filled
        return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def _corners(quad: Floats, places: Spans, top: float, bottom: float) -> npt.NDArray[np.float64]:
    """The corners of characters that stand at ``places`` on the line at ``quad``."""
    left, right = places[:, 0], places[:, 1]
    across = np.stack([left, right, right, left], axis=1)[:, :, np.newaxis]
    down = np.array([top, top, bottom, bottom])[np.newaxis, :, np.newaxis]
    above = quad[0] + (quad[1] - quad[0]) * across
    below = quad[3] + (quad[2] - quad[3]) * across
    return np.asarray(above + (below - above) * down, np.float64)


def _slant(quads: Floats) -> npt.NDArray[np.float64]:
    """The matrix that takes the slant of most lines out of points, written as rows."""
    along, across = sides(quads)
    level = along > 3 * across
    if not level.any():
        return np.eye(2)
    run = (quads[:, 1] - quads[:, 0])[level]
    angles, weights = np.arctan2(run[:, 1], run[:, 0]), along[level]
    order = np.argsort(angles)
    half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    angle = float(angles[order][min(half, len(order) - 1)])
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _is_vietnamese(lines: Sequence[Line]) -> bool:
    letters = [character for line in lines for character in line.text if character.isalpha()]
    return sum(letter in _VIETNAMESE for letter in letters) > _VIETNAMESE_SHARE * len(letters)


def _unread(what: str) -> str:
    return f"{what} could not be recognised; text recognition reads {languages()}."

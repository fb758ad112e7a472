"""Which characters of a page nobody sees, and why."""

import numpy as np
import numpy.typing as npt

from localai_app.documents.readers.pdf_file import Floats, OpenPage
from localai_app.documents.readers.pdf_glyphs import Flags, Glyphs
from localai_app.documents.readers.pdf_render import draw
from localai_app.documents.readers.pdf_rules import Drawn

NOTES = (
    "",
    "drawn invisibly",
    "in the colour of what is behind it",
    "outside the page",
    "too small to see",
    "covered by something painted over it",
)
VISIBLE, INVISIBLE, SAME_COLOUR, OUTSIDE, TINY, COVERED = range(len(NOTES))

_TINY = 2.0
"""Points; smaller text is not read by anybody, unless the page itself is small."""
_SMALL_PAGE = 300.0
_PALE = 215
"""A colour with all its parts above may not be seen on paper."""
_CONTRAST = 10
"""Levels of grey between the darkest and the lightest point where something is to be seen."""
_FAINT = 25
"""An alpha below is hardly seen."""
_ALIKE = 12
"""Parts of two colours that differ by less look the same."""
_MOST_COVERS = 200
_LAST = 1 << 40
_INVISIBLE_MODES = (3, 7)


def hidden(page: OpenPage, glyphs: Glyphs, drawn: Drawn) -> npt.NDArray[np.int8]:
    """For each character why it is hidden, as an index of `NOTES`."""
    why = np.zeros(len(glyphs), np.int8)
    if not len(glyphs):
        return why
    frame, style = page.frame, glyphs.style
    middle_x = (glyphs.box[:, 0] + glyphs.box[:, 2]) / 2
    middle_y = (glyphs.box[:, 1] + glyphs.box[:, 3]) / 2
    why[:] = _unseen(page, glyphs, drawn)[style]
    invisible = np.isin(glyphs.styles.mode, _INVISIBLE_MODES)[style]
    if invisible.any():
        # Behind a scan lies what somebody recognised in it: that is what people see.
        over_picture = np.zeros(len(glyphs), np.bool_)
        for left, top, right, bottom in drawn.images:
            over_picture |= (
                (middle_x >= left) & (middle_x <= right) & (middle_y >= top) & (middle_y <= bottom)
            )
        why[invisible & ~over_picture] = INVISIBLE
        why[invisible & over_picture] = VISIBLE
    if max(frame.width, frame.height) > _SMALL_PAGE:
        why[(glyphs.size < _TINY) & (glyphs.box[:, 3] - glyphs.box[:, 1] < 2 * _TINY)] = TINY
    outside = (middle_x < -1) | (middle_x > frame.width + 1) | (middle_y < -1) | (middle_y > frame.height + 1)
    why[outside] = OUTSIDE
    return why


def _unseen(page: OpenPage, glyphs: Glyphs, drawn: Drawn) -> npt.NDArray[np.int8]:
    """For each text object whether its colour, or what was painted over it, hides it."""
    colour = glyphs.styles.colour.astype(np.int64)
    filled = np.isin(glyphs.styles.mode, (0, 2, 4, 6))
    suspects = filled & ((colour[:, :3].min(axis=1) >= _PALE) | (colour[:, 3] < _FAINT))
    covered = np.zeros(len(colour), np.bool_)
    covers = sorted(drawn.covers, key=lambda cover: -_area(cover.box))[:_MOST_COVERS]
    if covers:
        box = _object_boxes(glyphs)
        x, y = (box[:, 0] + box[:, 2])[:, None] / 2, (box[:, 1] + box[:, 3])[:, None] / 2
        area = np.array([cover.box for cover in covers])
        within = (area[:, 0] <= x) & (area[:, 2] >= x) & (area[:, 1] <= y) & (area[:, 3] >= y)
        place = np.array([cover.place for cover in covers])
        order = np.array([drawn.order.get(handle, _LAST) for handle in glyphs.styles.handle.tolist()])
        paint = np.array([cover.colour for cover in covers])
        kinds, kind = np.unique(colour[:, :3], axis=0, return_inverse=True)
        alike = (np.abs(kinds[:, None] - paint[None]).max(axis=2) < _ALIKE)[kind]
        covered = np.asarray((within & (place > order[:, None])).any(axis=1))
        suspects = suspects | (filled & (within & alike & (place < order[:, None])).any(axis=1))
    unseen = np.zeros(len(colour), np.int8)
    if (suspects | covered).any():
        lost = _without_contrast(page, glyphs, suspects | covered)
        unseen[lost & covered] = COVERED
        unseen[lost & suspects] = SAME_COLOUR
    return unseen


def _area(box: tuple[float, float, float, float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _object_boxes(glyphs: Glyphs) -> Floats:
    count = len(glyphs.styles.handle)
    box = np.empty((count, 4))
    box[:, :2], box[:, 2:] = np.inf, -np.inf
    for side in (0, 1):
        np.minimum.at(box[:, side], glyphs.style, glyphs.box[:, side])
        np.maximum.at(box[:, side + 2], glyphs.style, glyphs.box[:, side + 2])
    return np.where(np.isfinite(box), box, 0.0)


def _without_contrast(page: OpenPage, glyphs: Glyphs, suspects: Flags) -> Flags:
    """Which of the text objects ``suspects`` leave no trace on the drawn page."""
    picture = draw(page, 2.0)
    grey = np.frombuffer(picture.rgb, np.uint8).reshape(picture.height, picture.width, 3).astype(np.int16)
    grey = grey.sum(axis=2) // 3
    scale = np.array([picture.width / page.frame.width, picture.height / page.frame.height] * 2)
    unseen = np.zeros(len(suspects), np.bool_)
    for number in np.flatnonzero(suspects).tolist():
        members = np.flatnonzero(glyphs.style == number)[:24]
        contrasts = []
        for left, top, right, bottom in (glyphs.box[members] * scale).tolist():
            part = grey[
                max(0, int(top)) : max(0, int(bottom) + 1), max(0, int(left)) : max(0, int(right) + 1)
            ]
            if part.size:
                contrasts.append(int(part.max()) - int(part.min()))
        unseen[number] = bool(contrasts) and float(np.median(contrasts)) < _CONTRAST
    return unseen

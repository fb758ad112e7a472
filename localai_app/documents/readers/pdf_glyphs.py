"""The characters of a PDF page as arrays: what each is, where it stands, how it is drawn.

pdfium is asked for each character's code, box and text object, and once per text object for size, matrix,
font and colour. White space is dropped and kept as a hint: where words end is seen on the page.
"""

import ctypes
from collections import deque
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2.raw as pdfium

from localai_app.documents.readers.pdf_file import Floats, Frame, OpenPage, address, native

MOST = 500_000
"""Characters of one page that are read."""
MOST_OBJECTS = 100_000
"""Text objects of one page that are looked at one by one."""

NO_SPACE, GUESSED_SPACE, SPACE = 0, 1, 2
"""What the file has before a character: nothing, a gap that pdfium takes for a space, a space."""

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint32]

_pointer, _int = ctypes.c_void_p, ctypes.c_int
_code = native(pdfium.FPDFText_GetUnicode, ctypes.c_uint, _pointer, _int)
_text = native(pdfium.FPDFText_GetText, _int, _pointer, _int, _int, _pointer)
_loose = native(pdfium.FPDFText_GetLooseCharBox, _int, _pointer, _int, _pointer)
_tight = native(pdfium.FPDFText_GetCharBox, _int, _pointer, _int, _pointer, _pointer, _pointer, _pointer)
_origin = native(pdfium.FPDFText_GetCharOrigin, _int, _pointer, _int, _pointer, _pointer)
_object = native(pdfium.FPDFText_GetTextObject, ctypes.c_size_t, _pointer, _int)
_size = native(pdfium.FPDFText_GetFontSize, ctypes.c_double, _pointer, _int)
_matrix = native(pdfium.FPDFText_GetMatrix, _int, _pointer, _int, _pointer)
_colour = native(pdfium.FPDFText_GetFillColor, _int, _pointer, _int, _pointer, _pointer, _pointer, _pointer)
_mode = native(pdfium.FPDFTextObj_GetTextRenderMode, _int, _pointer)
_font = native(pdfium.FPDFTextObj_GetFont, ctypes.c_size_t, _pointer)
_font_name = native(pdfium.FPDFFont_GetBaseFontName, ctypes.c_ulong, _pointer, _pointer, ctypes.c_ulong)
_font_flags = native(pdfium.FPDFFont_GetFlags, _int, _pointer)
_map_error = native(pdfium.FPDFText_HasUnicodeMapError, _int, _pointer, _int)

_FIXED_PITCH, _FORCE_BOLD = 1 << 0, 1 << 18
_BOLD_NAMES = (b"bold", b"black", b"heavy", b"semibd", b"-bd", b"demi", b"cmbx", b"-medi", b"sfbx")
_FIXED_NAMES = (b"courier", b"mono", b"cmtt", b"sftt", b"typewriter", b"consol")
_LINE_END_HYPHEN = 0x02
"""What pdfium makes of a hyphen at a line's end."""
_SPACES = np.array(
    [0x09, 0x0A, 0x0D, 0x20, 0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], dtype=np.uint32
)


@dataclass(frozen=True)
class Glyphs:
    """All arrays have one entry per character but those of ``Styles``, which `style` points into."""

    code: Codes
    box: Floats
    """Rows of (left, top, right, bottom), in points of the page as shown."""
    baseline: Floats
    """Vertical place of upright text; of turned text, along its own upward direction."""
    start: Floats
    end: Floats
    """Where it begins and ends along the direction of its line."""
    size: Floats
    """Height of the font as shown, in points."""
    space: npt.NDArray[np.int8]
    """What the file has before it, `NO_SPACE` …"""
    style: Ints
    styles: "Styles"
    cut: bool = False
    """Whether the page has more characters than are read."""

    def __len__(self) -> int:
        return len(self.code)

    def take(self, which: Any) -> "Glyphs":
        """Some of them."""
        return Glyphs(
            self.code[which],
            self.box[which],
            self.baseline[which],
            self.start[which],
            self.end[which],
            self.size[which],
            self.space[which],
            self.style[which],
            self.styles,
            self.cut,
        )


@dataclass(frozen=True)
class Styles:
    """How the text objects of a page are drawn, one entry each."""

    handle: npt.NDArray[np.uint64]
    angle: Floats
    """Degrees clockwise as shown; 0 for upright text."""
    bold: Flags
    fixed: Flags
    """Of a typewriter's font."""
    mode: Ints
    """PDF's text rendering mode."""
    colour: Codes
    """Rows of red, green, blue, alpha, up to 255."""


def undecodable(page: OpenPage, count: int) -> float:
    """Which share of ``count`` characters pdfium has no reliable code for, by a sample."""
    step = max(1, count // 500)
    text = address(page.text)
    sample = range(0, count, step)
    return sum(bool(_map_error(text, index) > 0) for index in sample) / max(1, len(sample))


def glyphs(page: OpenPage) -> Glyphs:
    """The visible characters of the page, in the order of the file."""
    text = address(page.text)
    available = max(0, pdfium.FPDFText_CountChars(page.text))
    count = min(available, MOST)
    code = _codes(text, count)
    owner = np.fromiter(map(_object, repeat(text), range(count)), np.uint64, count)
    code[code == _LINE_END_HYPHEN] = ord("-")
    blank = np.isin(code, _SPACES)
    kept = ~blank & (owner != 0) & _printable(code)
    index = np.flatnonzero(kept)
    space = _space_before(blank, owner, index)
    handle, first, style = np.unique(owner[index], return_index=True, return_inverse=True)
    if len(handle) > MOST_OBJECTS:
        within = style < MOST_OBJECTS
        index, space, style = index[within], space[within], style[within]
        handle, first = handle[:MOST_OBJECTS], first[:MOST_OBJECTS]
    loose = np.zeros((count, 4), np.float32)
    _each(_loose, text, range(count), loose, 16)
    first_index = np.flatnonzero(kept)[first] if len(first) else first
    styles, size, origin = _styles(text, first_index, handle, page.frame)
    raw = _Raw(text, page.frame, code[index], loose[index].astype(np.float64), index, space, style, styles)
    return _placed(raw, size, origin, cut=count < available)


@dataclass(frozen=True, slots=True)
class _Raw:
    """What pdfium says of the characters that are kept."""

    text: int
    frame: Frame
    code: Codes
    loose: Floats
    """Left, top, right, bottom on the page."""
    index: Ints
    """Their numbers in pdfium's text."""
    space: npt.NDArray[np.int8]
    style: Ints
    styles: Styles


def _codes(text: int, count: int) -> Codes:
    """The codes of the first ``count`` characters."""
    units = np.zeros(count + 1, np.uint16)
    written = _text(text, 0, count, units.ctypes.data)
    units = units[:count]
    # All at once, unless one is left out or takes two units; hyphens at lines' ends are told otherwise.
    if written != count + 1 or ((units >= 0xD800) & (units <= 0xDFFF)).any():
        return np.fromiter(map(_code, repeat(text), range(count)), np.uint32, count)
    code = units.astype(np.uint32)
    for index in np.flatnonzero(units == 0xFFFE).tolist():
        code[index] = _code(text, index)
    return code


def middle(values: Floats) -> float:
    """The upper median, at a tenth of the price of numpy's."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])


def _printable(code: Codes) -> Flags:
    """Not a control, a mark of direction, a half of a pair or a code that never is a character."""
    printable: Flags = (
        (code >= 0x20)
        & ~((code >= 0x7F) & (code <= 0x9F))
        & ~((code >= 0x200B) & (code <= 0x200F) & (code != 0x200C) & (code != 0x200D))
        & ~((code >= 0x2028) & (code <= 0x202E))
        & ~((code >= 0x2060) & (code <= 0x206F))
        & ~((code >= 0xD800) & (code <= 0xDFFF))
        & ~((code & 0xFFFE) == 0xFFFE)
        & (code != 0xFEFF)
        & (code <= 0x10FFFF)
    )
    return printable


def _space_before(blank: Flags, owner: npt.NDArray[np.uint64], index: Ints) -> npt.NDArray[np.int8]:
    """For each kept character, what stands between it and the kept one before."""
    kind = np.where(blank, np.where(owner == 0, GUESSED_SPACE, SPACE), NO_SPACE).astype(np.int8)
    space = np.zeros(len(index), np.int8)
    if len(index):
        before = index - 1
        inside = before >= 0
        space[inside] = kind[before[inside]]
        # “word space generated-space word”: the file's own space counts.
        two = index - 2
        inside = (two >= 0) & (space == GUESSED_SPACE)
        space[inside] = np.maximum(space[inside], kind[two[inside]])
        space[0] = NO_SPACE
    return space


def _each(function: Any, text: int, indices: Any, out: npt.NDArray[Any], stride: int) -> None:
    """Call ``function(text, index, address of the row of out)`` for each index."""
    start = out.ctypes.data
    places = range(start, start + stride * len(indices), stride)
    deque(map(function, repeat(text), indices, places), maxlen=0)


def _styles(
    text: int, first: Ints, handle: npt.NDArray[np.uint64], frame: Frame
) -> tuple[Styles, Floats, Floats]:
    """How each text object is drawn, the font's height in it, and where its first character stands."""
    count = len(handle)
    firsts, handles = first.tolist(), handle.tolist()
    matrix = np.zeros((count, 6), np.float32)
    _each(_matrix, text, firsts, matrix, 24)
    origin = np.zeros((count, 2), np.float64)
    start = origin.ctypes.data
    deque(
        map(
            _origin,
            repeat(text),
            firsts,
            range(start, start + 16 * count, 16),
            range(start + 8, start + 8 + 16 * count, 16),
        ),
        maxlen=0,
    )
    colour = np.zeros((count, 4), np.uint32)
    start = colour.ctypes.data
    sides = (range(start + 4 * part, start + 4 * part + 16 * count, 16) for part in range(4))
    deque(map(_colour, repeat(text), firsts, *sides), maxlen=0)
    size = np.fromiter(map(_size, repeat(text), firsts), np.float64, count)
    a, b, c, d = (matrix[:, part].astype(np.float64) for part in range(4))
    size = np.abs(size) * np.hypot(c, d)
    across, down = frame.direction(a, b)
    angle = np.degrees(np.arctan2(down, across))
    mode = np.fromiter(map(_mode, handles), np.int64, count)
    fonts = [_font(one) for one in handles]
    known = {font: _font_style(font) for font in set(fonts)}
    bold = np.fromiter((known[font][0] for font in fonts), np.bool_, count)
    fixed = np.fromiter((known[font][1] for font in fonts), np.bool_, count)
    styles = Styles(
        handle, angle, bold | (mode == pdfium.FPDF_TEXTRENDERMODE_FILL_STROKE), fixed, mode, colour
    )
    return styles, np.where(np.isfinite(size), size, 0.0), origin


def _font_style(font: int) -> tuple[bool, bool]:
    """(bold, of fixed width)"""
    if not font:
        return False, False
    buffer = ctypes.create_string_buffer(128)
    length = _font_name(font, ctypes.addressof(buffer), 128)
    name = buffer.raw[: max(0, min(length, 128) - 1)].lower()
    flags = _font_flags(font)
    bold = any(part in name for part in _BOLD_NAMES) or (flags > 0 and bool(flags & _FORCE_BOLD))
    fixed = (flags > 0 and bool(flags & _FIXED_PITCH)) or any(part in name for part in _FIXED_NAMES)
    return bold, fixed


def _placed(raw: _Raw, object_size: Floats, object_origin: Floats, *, cut: bool) -> Glyphs:
    """Boxes and places along the lines, of upright text and of turned text."""
    text, frame, index, style, styles = raw.text, raw.frame, raw.index, raw.style, raw.styles
    sides = raw.loose[:, [0, 3, 2, 1]]  # pdfium: left, top, right, bottom
    origin_x, origin_y = frame.points(object_origin[:, 0], object_origin[:, 1])
    size = object_size[style]
    angle = styles.angle[style]
    box = frame.rectangles(np.nan_to_num(sides, nan=0.0, posinf=0.0, neginf=0.0))
    # A loose box is as high as the font and as wide as the character's step, but only where the text is
    # not turned on the page itself; elsewhere, and in fonts that lie about their height, ink must do.
    upright = np.abs(angle) < 3
    turned_inside = ~upright if frame.turns == 0 else np.ones(len(index), np.bool_)
    flat = (box[:, 2] - box[:, 0] <= 0) | (box[:, 3] - box[:, 1] <= 0)
    ink = turned_inside | flat
    if ink.any():
        box[ink] = _ink(text, frame, index[ink])
    height = np.where(upright, box[:, 3] - box[:, 1], 0.0)
    odd = upright & ((size <= 0) | (height > 4 * size) | (height < 0.15 * size)) & (height > 0)
    size = np.where(odd, height, size)
    size = np.where(size > 0, size, np.maximum(height, 1.0))
    baseline = origin_y[style]
    baseline = np.where((baseline < box[:, 1] - size) | (baseline > box[:, 3] + size), box[:, 3], baseline)
    top = np.clip(box[:, 1], baseline - 1.05 * size, baseline - 0.7 * size)
    bottom = np.clip(box[:, 3], baseline + 0.18 * size, baseline + 0.35 * size)
    box[:, 1] = np.where(upright, top, box[:, 1])
    box[:, 3] = np.where(upright, bottom, box[:, 3])
    start, end = box[:, 0].copy(), box[:, 2].copy()
    other = ~upright
    if ink.any():
        radians = np.radians(np.where(upright, 0.0, angle)[ink])
        start[ink], end[ink] = _stretch(
            text, frame, index[ink], style=style[ink], box=box[ink], size=size[ink], radians=radians
        )
        level = ink & upright
        box[level, 0], box[level, 2] = start[level], end[level]
        radians = np.radians(angle[other])
        baseline[other] = origin_y[style][other] * np.cos(radians) - origin_x[style][other] * np.sin(radians)
    made = Glyphs(raw.code, box, baseline, start, end, size, raw.space, style, styles, cut)
    return _divided(made, index)


def _stretch(
    text: int, frame: Frame, index: Ints, *, style: Ints, box: Floats, size: Floats, radians: Floats
) -> tuple[Floats, Floats]:
    """From where to where characters reach along their lines: to the next one's origin, or as their ink."""
    place = np.zeros((len(index), 2), np.float64)
    at = place.ctypes.data
    sides = (range(at + 8 * part, at + 8 * part + 16 * len(index), 16) for part in range(2))
    deque(map(_origin, repeat(text), index.tolist(), *sides), maxlen=0)
    x, y = frame.points(place[:, 0], place[:, 1])
    cosine, sine = np.cos(radians), np.sin(radians)
    origin = x * cosine + y * sine
    corners = box[:, [0, 2, 0, 2]] * cosine[:, None] + box[:, [1, 1, 3, 3]] * sine[:, None]
    first, last = corners.min(axis=1), corners.max(axis=1)
    slanted = np.maximum(np.abs(cosine), np.abs(sine)) < 0.99
    # The box of slanted text is wider than the text.
    last = np.where(slanted, np.minimum(last, origin + 0.6 * size), last)
    first = np.where(slanted, origin, first)
    start = np.where(np.abs(origin - first) < size, np.minimum(origin, first), first)
    end = np.maximum(last, start)
    follows = (
        (np.diff(index) == 1)
        & (np.diff(style) == 0)
        & (np.diff(origin) > 0)
        & (np.diff(origin) < 2 * size[1:])
    )
    end[:-1] = np.where(follows, origin[1:], end[:-1])
    return start, np.maximum(end, start)


def _ink(text: int, frame: Frame, index: Ints) -> Floats:
    """Boxes of the ink of the characters ``index``."""
    values = np.zeros((len(index), 4), np.float64)  # left, right, bottom, top
    start = values.ctypes.data
    sides = (range(start + 8 * part, start + 8 * part + 32 * len(index), 32) for part in range(4))
    deque(map(_tight, repeat(text), index.tolist(), *sides), maxlen=0)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return frame.rectangles(values[:, [0, 2, 1, 3]])


def _divided(made: Glyphs, index: Ints) -> Glyphs:
    """Characters that pdfium took apart from one ligature share its box: each gets its part."""
    if len(made) < 2:
        return made
    same = (np.diff(index) == 1) & (np.diff(made.style) == 0) & (np.diff(made.box, axis=0) == 0).all(axis=1)
    if not same.any():
        return made
    group = np.concatenate(([0], np.cumsum(~same)))
    members = np.bincount(group)[group]
    first = np.concatenate(([True], ~same))
    place = np.arange(len(group)) - np.flatnonzero(first)[group]
    width = (made.end - made.start) / members
    box = made.box.copy()
    upright = np.abs(made.styles.angle[made.style]) < 3
    part = (box[:, 2] - box[:, 0]) / members
    left = box[:, 0] + place * part
    box[:, 0] = np.where(upright, left, box[:, 0])
    box[:, 2] = np.where(upright, left + part, box[:, 2])
    start = made.start + place * width
    return replace(made, box=box, start=start, end=start + width)

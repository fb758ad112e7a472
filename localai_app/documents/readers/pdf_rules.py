"""What else is drawn on a page: ruling lines that make tables, pictures, and areas that cover text."""

import ctypes
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import pypdfium2.raw as pdfium

from localai_app.documents.readers.pdf_file import Floats, OpenPage, address, native

_MOST_OBJECTS = 20_000
"""Objects of one page that are looked at."""
_MOST_RULES = 2_000
_MOST_SEGMENTS = 4_000
"""Segments of one path that are looked at."""
_DEPTH = 4
"""Forms within forms."""
_THIN = 2.5
"""Points; what is narrower is a line."""
_SHORT = 6.0
"""Points; what is shorter rules no table."""

_pointer, _int = ctypes.c_void_p, ctypes.c_int
_type = native(pdfium.FPDFPageObj_GetType, _int, _pointer)
_nth = native(pdfium.FPDFPage_GetObject, ctypes.c_size_t, _pointer, _int)
_nth_of_form = native(pdfium.FPDFFormObj_GetObject, ctypes.c_size_t, _pointer, ctypes.c_ulong)
_bounds = native(pdfium.FPDFPageObj_GetBounds, _int, _pointer, _pointer, _pointer, _pointer, _pointer)
_object_matrix = native(pdfium.FPDFPageObj_GetMatrix, _int, _pointer, _pointer)
_draw_mode = native(pdfium.FPDFPath_GetDrawMode, _int, _pointer, _pointer, _pointer)
_fill = native(pdfium.FPDFPageObj_GetFillColor, _int, _pointer, _pointer, _pointer, _pointer, _pointer)
_segments = native(pdfium.FPDFPath_CountSegments, _int, _pointer)
_segment = native(pdfium.FPDFPath_GetPathSegment, ctypes.c_size_t, _pointer, _int)
_segment_type = native(pdfium.FPDFPathSegment_GetType, _int, _pointer)
_segment_point = native(pdfium.FPDFPathSegment_GetPoint, _int, _pointer, _pointer, _pointer)
_segment_close = native(pdfium.FPDFPathSegment_GetClose, _int, _pointer)

_IDENTITY = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Cover:
    """A filled area or a picture."""

    place: int
    """In the order of painting."""
    box: tuple[float, float, float, float]
    colour: tuple[int, int, int] = (-255, -255, -255)
    """Red, green, blue up to 255; far from any colour for a picture."""


@dataclass
class Drawn:
    """Rectangles are (left, top, right, bottom) in points of the page as shown."""

    across: list[tuple[float, float, float]] = field(default_factory=list)
    """Level lines: (from, to, height)."""
    down: list[tuple[float, float, float]] = field(default_factory=list)
    """Upright lines: (from, to, distance from the left)."""
    images: list[tuple[float, float, float, float]] = field(default_factory=list)
    covers: list["Cover"] = field(default_factory=list)
    """Filled areas and pictures."""
    order: dict[int, int] = field(default_factory=dict)
    """Place in the order of painting of each text object."""


def drawn(page: OpenPage) -> Drawn:
    """What is drawn on the page beside text."""
    found = Drawn()
    count = min(_MOST_OBJECTS, max(0, pdfium.FPDFPage_CountObjects(page.handle)))
    handle = address(page.handle)
    _collect(page, list(map(_nth, repeat(handle), range(count))), _IDENTITY, found, 0)
    return found


def _collect(page: OpenPage, handles: list[int], matrix: Matrix, found: Drawn, depth: int) -> None:
    for handle, kind in zip(handles, map(_type, handles), strict=True):
        place = len(found.order) + len(found.covers)
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            found.order[handle] = place
        elif kind == pdfium.FPDF_PAGEOBJ_PATH:
            _add_path(page, handle, matrix, found, place)
        elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            box = _box(page, handle, matrix)
            if box:
                found.images.append(box)
                found.covers.append(Cover(place, box))
        elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _DEPTH:
            values = (ctypes.c_float * 6)()
            if not _object_matrix(handle, ctypes.addressof(values)):
                continue
            count = min(_MOST_OBJECTS - place, max(0, pdfium.FPDFFormObj_CountObjects(_as_object(handle))))
            inner = list(map(_nth_of_form, repeat(handle), range(max(0, count))))
            _collect(page, inner, _product(tuple(values), matrix), found, depth + 1)


def _as_object(handle: int) -> Any:
    return ctypes.cast(handle, pdfium.FPDF_PAGEOBJECT)


def _product(inner: Any, outer: Matrix) -> Matrix:
    """The matrix that applies ``inner`` and then ``outer``."""
    a, b, c, d, e, f = inner
    u, v, w, x, y, z = outer
    return (a * u + b * w, a * v + b * x, c * u + d * w, c * v + d * x, e * u + f * w + y, e * v + f * x + z)


def _box(page: OpenPage, handle: int, matrix: Matrix) -> tuple[float, float, float, float] | None:
    values = (ctypes.c_float * 4)()
    start = ctypes.addressof(values)
    if not _bounds(handle, start, start + 4, start + 8, start + 12):
        return None
    left, bottom, right, top = values
    a, b, c, d, e, f = matrix
    corners = np.array([(left, bottom), (right, bottom), (left, top), (right, top)], np.float64)
    x = a * corners[:, 0] + c * corners[:, 1] + e
    y = b * corners[:, 0] + d * corners[:, 1] + f
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    sides: Floats = page.frame.rectangles(np.array([[x.min(), y.min(), x.max(), y.max()]]))
    return tuple(sides[0].tolist())


def _add_path(page: OpenPage, handle: int, matrix: Matrix, found: Drawn, place: int) -> None:
    box = _box(page, handle, matrix)
    if box is None:
        return
    modes = (ctypes.c_int * 2)()
    if not _draw_mode(handle, ctypes.addressof(modes), ctypes.addressof(modes) + 4):
        return
    filled, stroked = modes
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if not (filled or stroked):
        return
    if filled:
        colour = (ctypes.c_uint * 4)()
        at = ctypes.addressof(colour)
        if _fill(handle, at, at + 4, at + 8, at + 12) and colour[3] > 200 and width > 2 and height > 2:
            found.covers.append(Cover(place, box, (colour[0], colour[1], colour[2])))
    if len(found.across) + len(found.down) >= _MOST_RULES or max(width, height) < _SHORT:
        return
    if height <= _THIN:
        found.across.append((left, right, (top + bottom) / 2))
    elif width <= _THIN:
        found.down.append((top, bottom, (left + right) / 2))
    elif stroked:
        _add_segments(page, handle, matrix, found)


def _add_segments(page: OpenPage, handle: int, matrix: Matrix, found: Drawn) -> None:
    """The level and upright lines of a path that is more than one of them, such as a grid."""
    count = _segments(handle)
    if not 2 <= count <= _MOST_SEGMENTS:
        return
    point = (ctypes.c_float * 2)()
    at = ctypes.addressof(point)
    own = (ctypes.c_float * 6)()
    if not _object_matrix(handle, ctypes.addressof(own)):
        return
    a, b, c, d, e, f = _product(tuple(own), matrix)
    lines: list[tuple[float, float, float, float]] = []
    begun = last = (0.0, 0.0)
    for segment in map(_segment, repeat(handle), range(count)):
        kind = _segment_type(segment)
        if not _segment_point(segment, at, at + 4):
            continue
        here = (a * point[0] + c * point[1] + e, b * point[0] + d * point[1] + f)
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            begun = here
        elif kind == pdfium.FPDF_SEGMENT_LINETO:
            lines.append((*last, *here))
        last = here
        if _segment_close(segment):
            lines.append((*here, *begun))
            last = begun
    if not lines:
        return
    for x1, y1, x2, y2 in page.frame.rectangles(np.array(lines, np.float64)).tolist():
        if len(found.across) + len(found.down) >= _MOST_RULES:
            return
        if x2 - x1 >= _SHORT and y2 - y1 <= 1:
            found.across.append((x1, x2, (y1 + y2) / 2))
        elif y2 - y1 >= _SHORT and x2 - x1 <= 1:
            found.down.append((y1, y2, (x1 + x2) / 2))

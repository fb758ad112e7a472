"""What people wrote onto a page: values of form fields, comments, text in boxes."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pypdfium2.raw as pdfium

from localai_app.documents.document import BlockKind
from localai_app.documents.readers.pdf_file import Floats, OpenPage, PdfFile, wide

_MOST = 2_000
"""Annotations of one page that are looked at."""
_LONGEST = 20_000
"""Characters of one."""
_NOT_SHOWN = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
_TICKED = frozenset((pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON))
_WRITTEN = frozenset(
    (pdfium.FPDF_FORMFIELD_TEXTFIELD, pdfium.FPDF_FORMFIELD_COMBOBOX, pdfium.FPDF_FORMFIELD_LISTBOX)
)


@dataclass(frozen=True)
class Note:
    """A field or a comment: its text, and its place in points of the page as shown."""

    kind: BlockKind
    text: str
    box: tuple[float, float, float, float]
    hidden: str = ""
    """Why nobody sees it."""


def notes(file: PdfFile, page: OpenPage) -> list[Note]:
    """Fields that have a value, and comments, in the order of the file."""
    count = min(_MOST, max(0, pdfium.FPDFPage_GetAnnotCount(page.handle)))
    return [note for index in range(count) for note in _note(file, page, index)]


def _note(file: PdfFile, page: OpenPage, index: int) -> Iterator[Note]:
    annotation = pdfium.FPDFPage_GetAnnot(page.handle, index)
    if not annotation:
        return
    try:
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium.FPDF_ANNOT_WIDGET:
            block, text = BlockKind.FIELD, _field(file.form(), annotation)
        elif kind in (pdfium.FPDF_ANNOT_POPUP, pdfium.FPDF_ANNOT_LINK):
            return
        else:
            block = BlockKind.TEXT_BOX if kind == pdfium.FPDF_ANNOT_FREETEXT else BlockKind.COMMENT
            text = _comment(annotation, named=block is BlockKind.COMMENT)
        if text:
            flags = pdfium.FPDFAnnot_GetFlags(annotation)
            hidden = "not shown on the page" if flags & _NOT_SHOWN else ""
            yield Note(block, text[:_LONGEST], _place(page, annotation), hidden)
    finally:
        pdfium.FPDFPage_CloseAnnot(annotation)


def _comment(annotation: Any, *, named: bool) -> str:
    text = _said(annotation, "Contents").strip()
    author = " ".join(_said(annotation, "T").split()) if named else ""
    return f"{author}: {text}" if author and text else text


def _field(form: Any, annotation: Any) -> str:
    """“Name: value” of a field that has one; empty for buttons, empty fields and passwords."""
    if not form:
        return ""
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    name = _asked(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation) or _asked(
        pdfium.FPDFAnnot_GetFormFieldName, form, annotation
    )
    name = " ".join(name.split()).rstrip(":")
    if kind in _TICKED:
        ticked = bool(pdfium.FPDFAnnot_IsChecked(form, annotation))
        if kind == pdfium.FPDF_FORMFIELD_CHECKBOX:
            return f"{name}: {'ticked' if ticked else 'not ticked'}" if name else ""
        value = _asked(pdfium.FPDFAnnot_GetFormFieldExportValue, form, annotation)
        return f"{name}: {value}" if ticked and name else ""
    if kind not in _WRITTEN:
        return ""
    flags = pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation)
    if kind == pdfium.FPDF_FORMFIELD_TEXTFIELD and flags & pdfium.FPDF_FORMFLAG_TEXT_PASSWORD:
        return ""
    value = _asked(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation).strip()
    return f"{name}: {value}" if value and name else value


def _asked(function: Any, form: Any, annotation: Any) -> str:
    return wide(lambda buffer, size: function(form, annotation, buffer, size))


def _said(annotation: Any, key: str) -> str:
    name = key.encode("ascii")
    return wide(lambda buffer, size: pdfium.FPDFAnnot_GetStringValue(annotation, name, buffer, size))


def _place(page: OpenPage, annotation: Any) -> tuple[float, float, float, float]:
    rectangle = pdfium.FS_RECTF()
    if not pdfium.FPDFAnnot_GetRect(annotation, ctypes.byref(rectangle)):
        return 0.0, 0.0, 0.0, 0.0
    sides = np.array([[rectangle.left, rectangle.bottom, rectangle.right, rectangle.top]], np.float64)
    box: Floats = page.frame.rectangles(np.nan_to_num(sides))
    left, top, right, bottom = np.clip(box[0], 0, [page.frame.width, page.frame.height] * 2).tolist()
    return left, top, right, bottom

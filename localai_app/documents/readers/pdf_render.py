"""Draws pages of a PDF."""

import ctypes
from dataclasses import dataclass
from typing import Any

import pypdfium2.raw as pdfium

from localai_app.documents.readers.pdf_file import OpenPage, PageBroken

_MOST_PIXELS = 40_000_000
_BYTES = 3


@dataclass(frozen=True)
class Picture:
    """``height`` rows of ``width`` pixels of three bytes, red first."""

    width: int
    height: int
    rgb: bytes


def draw(page: OpenPage, scale: float, *, form: Any = None, most: int = _MOST_PIXELS) -> Picture:
    """The page with ``scale`` pixels per point, or as many as ``most`` pixels in all allow.

    ``form`` draws the fields' values. Raise `PageBroken` where there is no memory for it.
    """
    frame = page.frame
    scale = min(scale, (most / (frame.width * frame.height)) ** 0.5)
    width = max(1, min(round(frame.width * scale), most))
    height = max(1, min(round(frame.height * scale), most // width))
    pixels = (ctypes.c_ubyte * (width * height * _BYTES))()
    bitmap = pdfium.FPDFBitmap_CreateEx(width, height, pdfium.FPDFBitmap_BGR, pixels, width * _BYTES)
    if not bitmap:
        raise PageBroken
    try:
        pdfium.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, 0xFFFFFFFF)
        flags = pdfium.FPDF_ANNOT | pdfium.FPDF_REVERSE_BYTE_ORDER
        pdfium.FPDF_RenderPageBitmap(bitmap, page.handle, 0, 0, width, height, 0, flags)
        if form is not None:
            pdfium.FPDF_FFLDraw(form, bitmap, page.handle, 0, 0, width, height, 0, flags)
    finally:
        pdfium.FPDFBitmap_Destroy(bitmap)
    return Picture(width, height, bytes(pixels))

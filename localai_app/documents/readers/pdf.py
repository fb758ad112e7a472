"""Reads PDF: text with the place of every character, in the order in which people read it.

Each page is loaded once. It is given out when the next two have been looked at, because headers and
footers are known by what stands at the same place on the pages around.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import pypdfium2.raw as pdfium

from localai_app.documents.document import Facts, Page
from localai_app.documents.readers.ocr import Recognise
from localai_app.documents.readers.pdf_blocks import Vocabulary
from localai_app.documents.readers.pdf_file import PageBroken, PdfFile
from localai_app.documents.readers.pdf_furniture import REACH, furniture
from localai_app.documents.readers.pdf_page import Taken, compose, damaged, take
from localai_app.documents.readers.pdf_render import draw
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import (
    AttachmentRead,
    Finished,
    Job,
    PageRead,
    ReadAnswer,
    Rendered,
    Started,
)

_MOST_WARNINGS = 50
_PROGRAM = "Microsoft Word - "
"""What Word puts before the name of the file when it makes that the title."""


def prepare() -> None:
    """Load what reading needs while files can still be opened."""
    import heapq  # noqa: F401, PLC0415 - the standard library and numpy load these at their first use

    import numpy.ma  # noqa: F401, PLC0415

    pdfium.FPDF_InitLibrary()


def read(data: bytes, job: Job, recognise: Recognise | None = None) -> Iterator[ReadAnswer]:
    """Yield what stands in the PDF, page by page; raise `ReadRefused`.

    ``recognise`` is given pages as pictures that have no text, or none that can be decoded.
    """
    file = PdfFile(data, job.password)
    try:
        yield Started("pdf", file.pages)
        reading = _Reading(file, frozenset(job.skip_pages), recognise)
        yield from map(PageRead, reading.pages())
        yield from map(AttachmentRead, file.attachments(job.limits.attachments, job.limits.expanded))
        yield Finished(reading.facts())
    finally:
        file.close()


class _Reading:
    """Goes through a file once."""

    def __init__(self, file: PdfFile, skip: frozenset[int], recognise: Recognise | None) -> None:
        self._file, self._skip, self._recognise = file, skip, recognise
        self._vocabulary = Vocabulary()
        self._outline = file.outline()
        self._by_page: dict[int, list[Any]] = {}
        for item in self._outline:
            self._by_page.setdefault(item.page, []).append(item)
        self._taken: dict[int, Taken | None] = {}
        self._warnings: list[str] = []
        self._damaged = 0

    def pages(self) -> Iterator[Page]:
        """The pages that are not skipped, in order."""
        for number in range(1, self._file.pages + 1):
            if number in self._skip:
                continue
            for behind in [known for known in self._taken if known < number - REACH]:
                del self._taken[behind]
            for near in range(max(1, number - REACH), min(self._file.pages, number + REACH) + 1):
                if near not in self._taken:
                    self._taken[near] = self._take(near)
            yield self._page(number)

    def facts(self) -> Facts:
        """What the file says of itself, and what went wrong."""
        file = self._file
        warnings = list(self._warnings)
        if self._damaged > len(warnings):
            warnings.append(f"{self._damaged - len(warnings):,} more pages are damaged and were not read.")
        if file.is_xfa:
            warnings.append(
                "The form is of a kind that only Adobe's programs show (XFA); what they show may be missing. "
                "Print it as PDF from there, and add that."
            )
        return Facts(
            "pdf",
            file.pages,
            file.said("Title").removeprefix(_PROGRAM),
            file.said("Author"),
            file.created(),
            self._outline,
            tuple(warnings),
        )

    def _take(self, number: int) -> Taken | None:
        # A page that is skipped is only looked at for its edges.
        recognise = None if number in self._skip else self._recognise
        try:
            return take(self._file, number, recognise)
        except PageBroken:
            return None
        except (ArithmeticError, LookupError, ValueError):
            # Numbers that no page should have; the other pages are still good.
            return None

    def _page(self, number: int) -> Page:
        taken = self._taken[number]
        if taken is None:
            return self._lost(number)
        around = [
            (near, other.edges)
            for near in chain(range(number - REACH, number), range(number + 1, number + REACH + 1))
            if (other := self._taken.get(near))
        ]
        header, footer = furniture(number, taken.edges, taken.label, around)
        try:
            return compose(taken, header, footer, self._vocabulary, self._by_page.get(number, ()))
        except (ArithmeticError, LookupError, ValueError):
            return self._lost(number)

    def _lost(self, number: int) -> Page:
        self._damaged += 1
        if len(self._warnings) < _MOST_WARNINGS:
            self._warnings.append(f"Page {number} is damaged and was not read.")
        return damaged(number, self._file.label(number))


class Renderer:
    """Draws the pages of a PDF as people see them."""

    def __init__(self, data: bytes, password: str = "") -> None:
        """Raise `ReadRefused` as `read` does."""
        self._file = PdfFile(data, password)
        self.pages = self._file.pages

    def render(self, page: int, scale: float) -> Rendered:
        """Page ``page`` with ``scale`` pixels per point, fewer where it would be too large."""
        if not (0 < page <= self.pages and 0 < scale <= 100):
            raise ReadRefused("broken", "There is no such page.", "Choose another page.")
        try:
            with self._file.page(page) as opened:
                picture = draw(opened, scale, form=self._file.form())
        except PageBroken:
            message = "The page is damaged and cannot be drawn."
            raise ReadRefused("broken", message, "Look at its text instead.") from None
        return Rendered(page, picture.width, picture.height, picture.rgb)

    def close(self) -> None:
        """Free the file."""
        self._file.close()

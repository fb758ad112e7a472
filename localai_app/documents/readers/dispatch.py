"""Chooses the reader for a file by its bytes, and loads that one alone."""

import codecs
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Protocol

import msgspec

from localai_app.documents.readers import ocr
from localai_app.documents.readers.encoding import load_codecs
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.readers.sniff import ENCRYPTED_OFFICE, format_of
from localai_app.documents.reading import (
    SAVE_ANEW,
    SPLIT,
    AttachmentRead,
    Finished,
    Job,
    PageRead,
    ReadAnswer,
    Rendered,
    Started,
)

_USUAL_CODECS = (
    *("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "latin-1"),
    *("cp1252", "cp437", "mac-roman", "unicode-escape", "raw-unicode-escape"),
)
_WITHOUT_CODECS = frozenset({"pdf", "docx", "xlsx", "pptx", "image"})
"""Formats that say themselves how their text is encoded, and in little more than Unicode."""
_WITH_PICTURES = ("pdf", "image")
"""Formats whose readers recognise pictures of text."""
_EMPTY = "If its program shows text, print it as PDF from there, and add that."


class Renderer(Protocol):
    """Draws pages."""

    pages: int

    def render(self, page: int, scale: float) -> Rendered:
        """Page ``page``, ``scale`` pixels per point; raise `ReadRefused`."""


class Opened:
    """A document with its reader; everything that this needs is loaded by now."""

    def __init__(self, kind: str, data: bytes, job: Job, reader: ModuleType, recognise: Any) -> None:
        self.kind = kind
        """As `Facts.format`."""
        self._data = data
        self._job = job
        self._reader = reader
        self._recognise = recognise

    def read(self) -> Iterator[ReadAnswer]:
        """What stands in it, but for the pages to skip; raise `ReadRefused`."""
        more = (self._recognise,) if self.kind in _WITH_PICTURES else ()
        return delivered(self._reader.read(self._data, self._job, *more), self._job)

    def renderer(self) -> Renderer:
        """Draws its pages; raise `ReadRefused` for a format without pages."""
        make: Callable[..., Renderer] | None = getattr(self._reader, "Renderer", None)
        if make is None:
            message = "A file of this kind has no pages to draw."
            raise ReadRefused("format", message, "Look at its text instead.")
        return make(self._data, self._job.password)


def open_reader(job: Job, data: bytes) -> Opened:
    """The reader for ``data``, loaded; raise `ReadRefused` for what nobody can read."""
    kind = format_of(data, job.name)
    if kind == ENCRYPTED_OFFICE:
        from localai_app.documents.readers.encrypted_office import decrypted

        data = decrypted(data, job.password)
        kind = format_of(data, job.name)
    reader = _reader(kind)
    if kind not in _WITHOUT_CODECS:
        load_codecs()
    for name in _USUAL_CODECS:  # Python loads each with its first use, when there is no file to load it from
        codecs.lookup(name)
    if prepare := getattr(reader, "prepare", None):
        prepare()
    return Opened(kind, data, job, reader, ocr.recogniser() if job.ocr else None)


def delivered(answers: Iterator[ReadAnswer], job: Job) -> Iterator[ReadAnswer]:
    """``answers`` but for the pages to skip; raise `ReadRefused` for too much, and for nothing at all.

    Pages are counted here for formats that have none of their own.
    """
    pages = characters = 0
    found, lost = bool(job.skip_pages), False
    for answer in answers:
        match answer:
            case Started():
                pages = answer.pages
            case PageRead(page):
                pages = max(pages, page.number)
                characters += len(page.text)
                is_picture = bool(page.unread and page.width)
                found = found or is_picture or bool(page.text or page.images)
                lost = lost or bool(page.unread)
            case AttachmentRead():
                found = True
            case Finished(facts):
                if lost and not found:
                    raise ReadRefused("broken", "The file is damaged: nothing in it can be read.", SAVE_ANEW)
                if not found:
                    raise ReadRefused("empty", "There is no text in the file.", _EMPTY)
                yield Finished(msgspec.structs.replace(facts, pages=pages))
                return
        if pages > job.limits.pages:
            message = f"The file has more than {job.limits.pages:,} pages."
            raise ReadRefused("limit", message, SPLIT)
        if characters > job.limits.characters:
            message = f"The file holds more than {job.limits.characters:,} characters of text."
            raise ReadRefused("limit", message, SPLIT)
        if not (isinstance(answer, PageRead) and answer.page.number in job.skip_pages):
            yield answer


def _reader(kind: str) -> ModuleType:
    """The module that reads ``kind``; a parser that is not loaded cannot be attacked."""
    # ruff: noqa: PLC0415
    match kind:
        case "pdf":
            from localai_app.documents.readers import pdf

            return pdf
        case "docx":
            from localai_app.documents.readers import docx

            return docx
        case "xlsx":
            from localai_app.documents.readers import xlsx

            return xlsx
        case "pptx":
            from localai_app.documents.readers import pptx

            return pptx
        case "csv":
            from localai_app.documents.readers import delimited

            return delimited
        case "eml":
            from localai_app.documents.readers import mail

            return mail
        case "msg":
            from localai_app.documents.readers import outlook

            return outlook
        case "rtf":
            from localai_app.documents.readers import rtf

            return rtf
        case "html":
            from localai_app.documents.readers import webpage

            return webpage
        case "md":
            from localai_app.documents.readers import markdown

            return markdown
        case "image":
            return ocr
        case _:
            from localai_app.documents.readers import plain

            return plain

"""An open PDF: pdfium's handles, what the file says of itself, and its pages one at a time.

pdfium is called through its C interface. What is called once per character has prototypes of its own
(`native`), with plain addresses for pointers: a call then costs 0.3 µs instead of 1.5 µs.
"""

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2.raw as pdfium

from localai_app.documents.document import Attachment, OutlineItem
from localai_app.documents.readers.refused import ReadRefused

Floats = npt.NDArray[np.float64]

_OUTLINE_ENTRIES = 10_000
_OUTLINE_DEPTH = 32
_SIDE = 200.0 * 72
"""Points of the longest side that a page may have by the standard; longer ones are taken as broken."""

_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?\s*(?:([Zz])|([+-])(\d\d)'?(\d\d)?)?")


def native(function: Any, result: Any, *arguments: Any) -> Any:
    """``function`` of pdfium with plain numbers for its handles and pointers; it keeps the GIL."""
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address
    return ctypes.PYFUNCTYPE(result, *arguments)(address)


def address(handle: Any) -> int:
    """Where a handle points; 0 for none."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


class PageBroken(Exception):
    """The page cannot be loaded."""


@dataclass(frozen=True)
class Frame:
    """How a page is shown: its crop box, turned by ``turns`` quarters clockwise."""

    left: float
    bottom: float
    right: float
    top: float
    turns: int

    @property
    def width(self) -> float:
        """Points as shown."""
        return self.top - self.bottom if self.turns % 2 else self.right - self.left

    @property
    def height(self) -> float:
        """Points as shown."""
        return self.right - self.left if self.turns % 2 else self.top - self.bottom

    def points(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Points of the page as (from the left, from the top) of what is shown."""
        match self.turns:
            case 1:
                return y - self.bottom, x - self.left
            case 2:
                return self.right - x, y - self.bottom
            case 3:
                return self.top - y, self.right - x
            case _:
                return x - self.left, self.top - y

    def rectangles(self, sides: Floats) -> Floats:
        """Rows of (left, bottom, right, top) as rows of (left, top, right, bottom) of what is shown."""
        x1, y1 = self.points(sides[:, 0], sides[:, 1])
        x2, y2 = self.points(sides[:, 2], sides[:, 3])
        return np.column_stack(
            (np.minimum(x1, x2), np.minimum(y1, y2), np.maximum(x1, x2), np.maximum(y1, y2))
        )

    def direction(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Vectors of the page as vectors of what is shown, downwards positive."""
        match self.turns:
            case 1:
                return y, x
            case 2:
                return -x, y
            case 3:
                return -y, -x
            case _:
                return x, -y


@dataclass(frozen=True)
class OpenPage:
    """A loaded page; good until its context ends."""

    handle: Any
    text: Any
    frame: Frame


class PdfFile:
    """Open it, ask it, close it. One thread."""

    def __init__(self, data: bytes, password: str) -> None:
        """Raise `ReadRefused` for what is no PDF, broken, or closed to this password."""
        pdfium.FPDF_InitLibrary()
        self._data = data  # pdfium reads from it for as long as the document is open
        self._handle = _open(data, password)
        self._form: Any = None
        self._form_info: Any = None
        self.pages: int = max(0, pdfium.FPDF_GetPageCount(self._handle))

    @property
    def has_form(self) -> bool:
        """Whether it has fields to fill in."""
        return bool(pdfium.FPDF_GetFormType(self._handle) != pdfium.FORMTYPE_NONE)

    @property
    def is_xfa(self) -> bool:
        """Whether its form is of Adobe's kind, whose pages are not in the file as such."""
        return bool(pdfium.FPDF_GetFormType(self._handle) == pdfium.FORMTYPE_XFA_FULL)

    def form(self) -> Any:
        """The handle that fields are asked with; None where there is no form."""
        if self._form is None and self.has_form:
            self._form_info = pdfium.FPDF_FORMFILLINFO(version=2)
            self._form = pdfium.FPDFDOC_InitFormFillEnvironment(self._handle, self._form_info)
        return self._form

    @contextmanager
    def page(self, number: int) -> Iterator[OpenPage]:
        """Page ``number``, from 1; raise `PageBroken` where it cannot be loaded."""
        handle = pdfium.FPDF_LoadPage(self._handle, number - 1)
        if not handle:
            raise PageBroken
        text = None
        try:
            frame = _frame(handle)
            text = pdfium.FPDFText_LoadPage(handle)
            if not text:
                raise PageBroken
            yield OpenPage(handle, text, frame)
        finally:
            if text:
                pdfium.FPDFText_ClosePage(text)
            pdfium.FPDF_ClosePage(handle)

    def label(self, number: int) -> str:
        """What the file calls the page, where that is not its number."""
        label = _wide(lambda buffer, size: pdfium.FPDF_GetPageLabel(self._handle, number - 1, buffer, size))
        return "" if label == str(number) else label.strip()

    def said(self, tag: str) -> str:
        """An entry of the document's information, such as its title."""
        text = _wide(
            lambda buffer, size: pdfium.FPDF_GetMetaText(self._handle, tag.encode("ascii"), buffer, size)
        )
        return " ".join(text.split())

    def created(self) -> str:
        """When it says it was made, in ISO 8601; empty where it does not."""
        return iso_date(self.said("CreationDate"))

    def outline(self) -> tuple[OutlineItem, ...]:
        """Its own table of contents; loops and excess are cut off."""
        found: list[OutlineItem] = []
        seen: set[int] = set()
        # Entries still to be visited, the next one last.
        waiting = [(pdfium.FPDFBookmark_GetFirstChild(self._handle, None), 1)]
        while waiting and len(found) < _OUTLINE_ENTRIES:
            entry, level = waiting.pop()
            if not entry or address(entry) in seen:
                continue
            seen.add(address(entry))
            title = self._bookmark_title(entry)
            if title:
                found.append(OutlineItem(title, self._bookmark_page(entry), level))
            waiting.append((pdfium.FPDFBookmark_GetNextSibling(self._handle, entry), level))
            if level < _OUTLINE_DEPTH:
                waiting.append((pdfium.FPDFBookmark_GetFirstChild(self._handle, entry), level + 1))
        return tuple(found)

    def attachments(self, most: int, expanded: int) -> Iterator[Attachment]:
        """Files inside the file, the first ``most``, up to ``expanded`` bytes in all."""
        for index in range(min(most, max(0, pdfium.FPDFDoc_GetAttachmentCount(self._handle)))):
            attachment = pdfium.FPDFDoc_GetAttachment(self._handle, index)
            name = wide(lambda buffer, size, one=attachment: pdfium.FPDFAttachment_GetName(one, buffer, size))
            size = ctypes.c_ulong()
            if not pdfium.FPDFAttachment_GetFile(attachment, None, 0, size) or not 0 < size.value <= expanded:
                continue
            expanded -= size.value
            buffer = ctypes.create_string_buffer(size.value)
            if pdfium.FPDFAttachment_GetFile(attachment, buffer, size.value, size):
                yield Attachment(name.strip() or f"attachment {index + 1}", buffer.raw)

    def close(self) -> None:
        """Free what pdfium holds."""
        if self._form is not None:
            pdfium.FPDFDOC_ExitFormFillEnvironment(self._form)
            self._form = None
        if self._handle:
            pdfium.FPDF_CloseDocument(self._handle)
            self._handle = None

    def _bookmark_title(self, entry: Any) -> str:
        text = _wide(lambda buffer, size: pdfium.FPDFBookmark_GetTitle(entry, buffer, size))
        return " ".join(text.split())

    def _bookmark_page(self, entry: Any) -> int:
        destination = pdfium.FPDFBookmark_GetDest(self._handle, entry)
        if not destination:
            action = pdfium.FPDFBookmark_GetAction(entry)
            if action and pdfium.FPDFAction_GetType(action) == pdfium.PDFACTION_GOTO:
                destination = pdfium.FPDFAction_GetDest(self._handle, action)
        if not destination:
            return 0
        page = int(pdfium.FPDFDest_GetDestPageIndex(self._handle, destination)) + 1
        return page if 0 < page <= self.pages else 0


def iso_date(text: str) -> str:
    """A date as PDF writes it, in ISO 8601 as precise as it is; empty where it is none."""
    match = _DATE.match(text.strip())
    if not match:
        return ""
    year, month, day, hour, minute, second, zulu, sign, zone_hour, zone_minute = match.groups()
    if not all(
        low <= int(part) <= high
        for part, low, high in (
            (month or 1, 1, 12),
            (day or 1, 1, 31),
            (hour or 0, 0, 23),
            (minute or 0, 0, 59),
        )
    ):
        return str(year)
    date = "-".join(part for part in (year, month, day if month else None) if part)
    if not (day and hour):
        return date
    zone = "Z" if zulu else f"{sign}{zone_hour}:{zone_minute or '00'}" if sign else ""
    return f"{date}T{hour}:{minute or '00'}:{second or '00'}{zone}"


def _open(data: bytes, password: str) -> Any:
    # pdfium turns UTF-8 into Latin-1 where the older kinds of encryption want that.
    secret = password.encode("utf-8", "replace")
    handle = pdfium.FPDF_LoadMemDocument64(data, len(data), secret or None)
    if handle:
        return handle
    error = pdfium.FPDF_GetLastError()
    if error == pdfium.FPDF_ERR_PASSWORD:
        if not password:
            raise ReadRefused("password", "The PDF is locked with a password.", "Enter its password.")
        raise ReadRefused(
            "wrong_password", "The password does not open this PDF.", "Enter the password again."
        )
    if error == pdfium.FPDF_ERR_SECURITY:
        raise ReadRefused(
            "format",
            "The PDF is protected in a way that cannot be opened here.",
            "Open it in the program that it was protected with and save it without protection.",
        )
    raise ReadRefused(
        "broken",
        "The file is damaged, or no PDF.",
        "Open it in another program and save it as a new PDF, or get the file again.",
    )


def _frame(page: Any) -> Frame:
    box = pdfium.FS_RECTF()
    if not pdfium.FPDF_GetPageBoundingBox(page, box):
        raise PageBroken
    frame = Frame(
        min(box.left, box.right),
        min(box.bottom, box.top),
        max(box.left, box.right),
        max(box.bottom, box.top),
        pdfium.FPDFPage_GetRotation(page) % 4,
    )
    if not (0 < frame.width <= _SIDE and 0 < frame.height <= _SIDE):
        raise PageBroken
    return frame


def _wide(ask: Any) -> str:
    """A text that pdfium hands out in UTF-16: ``ask(buffer, bytes)`` returns how many bytes it takes."""
    size = ask(None, 0)
    if not 2 < size <= 1 << 20:
        return ""
    buffer = ctypes.create_string_buffer(size)
    ask(buffer, size)
    return plain(buffer.raw[: size - 2].decode("utf-16-le", "replace"))


def wide(ask: Any) -> str:
    """As `_wide`, for what takes a buffer of UTF-16 units: ``ask(buffer, bytes)``."""

    def with_units(buffer: Any, size: int) -> int:
        return int(ask(ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size))

    return _wide(with_units)


def plain(text: str) -> str:
    """``text`` without control characters but line feeds."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(sign for sign in text if sign == "\n" or (sign >= " " and not "\x7f" <= sign <= "\x9f"))

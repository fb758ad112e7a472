"""Values of a document: pages of text, and where on the page each character stands.

The text of a page is the exact text that a model is given. Blocks, marks and boxes point into it by
character spans ``[start, end)``, counted in Python's code points.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PageKind(StrEnum):
    """What a format calls its parts."""

    PAGE = "page"
    """Has a size and can be shown as people see it."""
    SHEET = "sheet"
    SLIDE = "slide"
    PART = "part"
    """A stretch of a format without pages, cut between blocks."""


class BlockKind(StrEnum):
    """What a stretch of a page's text is; it tells a chunker where to cut and a reader what it reads."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE = "table"
    """Rows are lines; cells are divided by `CELL`."""
    CODE = "code"
    HEADER = "header"
    """What stands at the top of every page."""
    FOOTER = "footer"
    FOOTNOTE = "footnote"
    ENDNOTE = "endnote"
    COMMENT = "comment"
    TEXT_BOX = "text_box"
    NOTES = "notes"
    """Speaker's notes."""
    FIELD = "field"
    """A label and its value: the head of a mail, a form field."""


class MarkKind(StrEnum):
    """What sets some of the text apart from what people see at a glance."""

    INSERTED = "inserted"
    """By a tracked change that nobody accepted yet."""
    DELETED = "deleted"
    """By a tracked change; still in the file."""
    HIDDEN = "hidden"
    """There, but not shown: hidden text, sheets, rows; white on white; outside the page."""
    UNSURE = "unsure"
    """Recognised with low confidence."""


class TextSource(StrEnum):
    """Where a page's text comes from."""

    TEXT = "text"
    OCR = "ocr"
    NONE = "none"
    """It was not read; ``Page.unread`` says why."""


CELL = " | "
"""Between the cells of a table's row."""
BOX_SCALE = 65535


class Block(msgspec.Struct, frozen=True, array_like=True):
    """``page.text[start:end]`` is one heading, paragraph, table …; blocks are in reading order, do not
    overlap, and together hold all text but the blank lines between them."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    """Of a heading: 1 is the highest. Of a list item: 1 is the outermost."""


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """``page.text[start:end]`` is inserted, deleted, hidden or unsure; ``note`` says why, by whom, when."""

    kind: MarkKind
    start: int
    end: int
    note: str = ""


class Box(msgspec.Struct, frozen=True, array_like=True):
    """A rectangle on a page, as fractions of its width and height from the left and the top."""

    left: float
    top: float
    right: float
    bottom: float


class Page(msgspec.Struct, frozen=True):
    """One page, sheet, slide or part as it was read."""

    number: int
    """From 1, by position in the file."""
    text: str
    kind: PageKind = PageKind.PAGE
    label: str = ""
    """What people call it where that is not the number: “iv”, a sheet's name."""
    blocks: tuple[Block, ...] = ()
    marks: tuple[Mark, ...] = ()
    boxes: bytes = b""
    """Where each character stands: four little-endian uint16 (left, top, right, bottom; 0 to `BOX_SCALE`
    of the page's width or height) for every character of ``text``; all zero where a character has no
    place. Empty for formats that know no places."""
    width: float = 0.0
    """Points as the page is shown, rotation applied; 0 for formats without pages."""
    height: float = 0.0
    source: TextSource = TextSource.TEXT
    confidence: float = 1.0
    """Of recognised text, 0 to 1; the mean over its characters."""
    unread: str = ""
    """Why the page, or a part of it, was not read; empty when all of it was."""
    images: int = 0
    """Pictures on it that nobody read."""


class OutlineItem(msgspec.Struct, frozen=True, array_like=True):
    """An entry of the file's own table of contents."""

    title: str
    page: int
    """Number of the page; 0 where it names none."""
    level: int = 1


class Attachment(msgspec.Struct, frozen=True):
    """A file inside the file, such as a mail's; becomes a document of its own."""

    name: str
    data: bytes


class Facts(msgspec.Struct, frozen=True):
    """What a file says of itself, and what its reader noticed."""

    format: str
    """``pdf``, ``docx``, ``xlsx``, ``csv``, ``pptx``, ``eml``, ``msg``, ``rtf``, ``html``, ``md``, ``txt``,
    ``image``."""
    pages: int
    title: str = ""
    author: str = ""
    created: str = ""
    """ISO 8601 as the file has it; empty where it does not say."""
    outline: tuple[OutlineItem, ...] = ()
    warnings: tuple[str, ...] = ()
    """One line each on what could not be read, for the person."""


# ---------------------------------------------------------------- in the library


class State(StrEnum):
    """How far a document has come."""

    WAITING = "waiting"
    READING = "reading"
    """A process reads or indexes it now; its lease says which."""
    READY = "ready"
    """Read and in the index."""
    LOCKED = "locked"
    """Encrypted: a password is needed."""
    FAILED = "failed"
    """``Document.error`` says why and what to do."""


@dataclass(frozen=True)
class Collection:
    """A named set of documents; a document may be in several."""

    id: int
    name: str
    created: datetime
    documents: int = 0


@dataclass(frozen=True)
class Document:
    """A document without its text."""

    id: int
    name: str
    sha256: str
    size: int
    format: str
    """As `Facts.format`; by the name's ending until it was read."""
    state: State
    added: datetime
    path: str = ""
    """Where the file lay when it was read; empty for an attachment."""
    parent_id: int | None = None
    """The mail that it was attached to."""
    error: str = ""
    pages: int = 0
    pages_read: int = 0
    """Pages whose text is all there."""
    characters: int = 0
    tokens: int = 0
    """As the embedding model counts them."""
    language: str = ""
    """ISO 639-1 of most of its text; empty for unknown."""
    facts: Facts | None = None
    trashed: datetime | None = None


@dataclass(frozen=True)
class Scope:
    """Where to look: the union of some collections and documents; both empty: everywhere."""

    collections: tuple[int, ...] = ()
    documents: tuple[int, ...] = ()
    formats: tuple[str, ...] = ()
    """Only documents of these; empty: all."""
    added_after: datetime | None = None
    added_before: datetime | None = None


@dataclass(frozen=True)
class Chunk:
    """A stretch of one page that is searched and quoted as one: ``page.text[start:end]``."""

    page: int
    start: int
    end: int
    text: str
    heading: str = ""
    """The headings above it, joined by “ › ”."""
    tokens: int = 0
    """As the embedding model counts ``heading`` and ``text``."""


@dataclass(frozen=True)
class Passage:
    """A chunk that was found, with where it stands."""

    document_id: int
    document_name: str
    chunk_id: int
    page: int
    page_kind: PageKind
    page_label: str
    start: int
    end: int
    heading: str
    text: str
    score: float
    """Higher is better; comparable within one search only."""

    @property
    def place(self) -> str:
        """“page 7”, “sheet Balance”, “part 2”."""
        return f"{self.page_kind.value} {self.page_label or self.page}"


@dataclass(frozen=True)
class Citation:
    """What ``[number]`` in an answer points to."""

    number: int
    document_id: int
    """0 where the model was given no passage of that number: then nothing else is known either."""
    document_name: str
    page: int
    place: str
    """“page 7”."""
    start: int
    """Span of the quotation in the page's text, or of the whole passage where nothing was quoted."""
    end: int
    quotation: str
    """The page's own words: ``page.text[start:end]``."""
    verified: bool
    """The answer's words were found on that page, verbatim but for white space, quotation marks, hyphens;
    `quotes.support` has the rule."""
    at: int = -1
    """Where in the answer its ``[number]`` stands; -1 where it has none: the app found the place."""

    @property
    def found(self) -> bool:
        """Whether the app found the place, and not the model."""
        return self.at < 0


# ---------------------------------------------------------------- places on a page


def boxes_of(page: Page, start: int, end: int) -> Iterator[Box]:
    """The rectangles that cover ``page.text[start:end]``, one for each line it runs over."""
    import numpy as np  # noqa: PLC0415 - the window starts without it

    places = np.frombuffer(page.boxes, "<u2").reshape(-1, 4)[start:end]
    places = places[places.any(axis=1)]
    if not len(places):
        return
    left, top, right, bottom = (places[:, side].astype(np.int32) for side in range(4))
    along = _line_breaks(left, top, right, bottom)
    # In text that runs up or down the page, each character would begin a line.
    up = _line_breaks(-bottom, left, -top, right)
    down = _line_breaks(top, left, bottom, right)
    breaks = min(along, up, down, key=np.count_nonzero)
    for line in np.split(np.arange(len(places)), np.flatnonzero(breaks) + 1):
        yield Box(
            float(left[line].min()) / BOX_SCALE,
            float(top[line].min()) / BOX_SCALE,
            float(right[line].max()) / BOX_SCALE,
            float(bottom[line].max()) / BOX_SCALE,
        )


def _line_breaks(
    left: "NDArray[np.int32]",
    top: "NDArray[np.int32]",
    right: "NDArray[np.int32]",
    bottom: "NDArray[np.int32]",
) -> "NDArray[np.bool_]":
    """Where another line, or another column, begins: the next character is no longer beside the last."""
    middle, height = (top + bottom) // 2, (bottom - top)[:-1]
    return (
        (middle[1:] < top[:-1])
        | (middle[1:] > bottom[:-1])
        | (left[1:] < left[:-1] - height)
        | (left[1:] > right[:-1] + 8 * height)
    )

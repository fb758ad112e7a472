"""One page of a PDF: what is taken from it while it is loaded, and the `Page` that is made of that."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2.raw as pdfium

from localai_app.documents.document import BlockKind, OutlineItem, Page, TextSource
from localai_app.documents.readers.ocr import Recognise
from localai_app.documents.readers.parts import joined
from localai_app.documents.readers.pdf_blocks import Blocks, Draft, Vocabulary, with_table_pieces
from localai_app.documents.readers.pdf_fields import Note, notes
from localai_app.documents.readers.pdf_file import Frame, OpenPage, PdfFile
from localai_app.documents.readers.pdf_furniture import EdgeRow, edge_rows, line_numbers
from localai_app.documents.readers.pdf_glyphs import Glyphs, Ints, glyphs, undecodable
from localai_app.documents.readers.pdf_hidden import NOTES, hidden
from localai_app.documents.readers.pdf_layout import Piece, directions, pieces_of, regions, rows_of, stacked
from localai_app.documents.readers.pdf_render import draw
from localai_app.documents.readers.pdf_rules import Drawn, drawn
from localai_app.documents.readers.pdf_tables import ruled_tables
from localai_app.documents.readers.pdf_text import PageText
from localai_app.documents.readers.pdf_words import is_backwards, right_to_left
from localai_app.documents.recognition import DPI

_MOST_DOTS = 16_000_000
_A_PICTURE = 0.004
"""Of the page's area, from which an image counts as a picture; rules and bullets may be images, too."""
_A_SCAN = 0.55
"""Of the page's area, from which a picture is the page."""
_HARDLY_ANY = 30
"""Characters on a scan that are no text layer, such as a stamped number."""
_GARBAGE = 0.4
"""Of the characters that have no code, above which the text layer is of no use."""
_STROKES = 20
"""Drawn things from which a page without text is a picture and not an empty page."""
_UNREAD_PICTURE = "The page is a picture; nobody recognised its text."
_UNREAD_GARBAGE = "The page's text cannot be decoded, and nobody recognised it."
_UNREAD_DAMAGED = "The page is damaged and cannot be read."
_UNREAD_REST = "The page has more characters than are read; the rest of it is missing."


@dataclass(eq=False)
class Taken:
    """What was taken from a page while it was loaded."""

    number: int
    label: str = ""
    frame: Frame | None = None
    """None for a page that cannot be loaded."""
    glyphs: Glyphs | None = None
    why_hidden: npt.NDArray[np.int8] | None = None
    """For each character an index of `NOTES`."""
    ruled: Drawn = field(default_factory=Drawn)
    single: npt.NDArray[np.bool_] | None = None
    """Which characters are no doubles of others."""
    upright: Ints | None = None
    """Characters of upright text that is seen."""
    pieces: list[Piece] = field(default_factory=list)
    """Of the upright text."""
    edges: tuple[EdgeRow, ...] = ()
    notes: list[Note] = field(default_factory=list)
    images: int = 0
    unread: str = ""
    recognised: Any = None

    @property
    def characters(self) -> int:
        """How many were read."""
        return len(self.glyphs) if self.glyphs is not None else 0


def take(file: PdfFile, number: int, recognise: Recognise | None) -> Taken:
    """Load page ``number`` and take from it all that is needed; raise `PageBroken`."""
    with file.page(number) as page:
        taken = Taken(number, file.label(number), page.frame)
        taken.ruled = drawn(page)
        taken.glyphs = glyphs(page)
        taken.notes = notes(file, page)
        taken.images, largest = _pictures(page.frame, taken.ruled)
        taken.unread = _without_text(page, taken.glyphs, taken.ruled, largest)
        if taken.unread and recognise:
            picture = draw(page, DPI / 72, form=file.form(), most=_MOST_DOTS)
            taken.recognised = recognise((picture.width, picture.height, picture.rgb))
            taken.unread, taken.images = taken.recognised.unread, 0
        if taken.unread == _UNREAD_GARBAGE:
            taken.glyphs = taken.glyphs.take(slice(0, 0))
        if taken.glyphs.cut and not taken.unread:
            taken.unread = _UNREAD_REST
        taken.why_hidden = hidden(page, taken.glyphs, taken.ruled)
        if largest > _A_SCAN and not taken.unread and taken.characters > _HARDLY_ANY:
            taken.images = max(0, taken.images - 1)  # the scan whose text layer is read
    _arrange(taken)
    return taken


def damaged(number: int, label: str) -> Page:
    """What stands for a page that cannot be loaded."""
    return Page(number, "", label=label, source=TextSource.NONE, unread=_UNREAD_DAMAGED)


def _pictures(frame: Frame, ruled: Drawn) -> tuple[int, float]:
    """How many pictures the page has, and which share of it the largest takes."""
    whole = frame.width * frame.height
    shares = []
    for left, top, right, bottom in ruled.images:
        width = min(right, frame.width) - max(left, 0.0)
        height = min(bottom, frame.height) - max(top, 0.0)
        if width > 12 and height > 12:
            shares.append(width * height / whole)
    return sum(share >= _A_PICTURE for share in shares), max(shares, default=0.0)


def _without_text(page: OpenPage, found: Glyphs, ruled: Drawn, largest: float) -> str:
    """Why the characters of the page are not its text; empty where they are."""
    count = len(found)
    if not count:
        strokes = max(0, pdfium.FPDFPage_CountObjects(page.handle))
        return _UNREAD_PICTURE if ruled.images or strokes >= _STROKES else ""
    if largest > _A_SCAN and count < _HARDLY_ANY:
        return _UNREAD_PICTURE
    private = (found.code >= 0xE000) & (found.code <= 0xF8FF) & ~((found.code & 0xFF00) == 0xF000)
    lost = private | (found.code == 0xFFFD)
    if count >= 20 and float(lost.mean()) > _GARBAGE:
        return _UNREAD_GARBAGE
    raw = max(0, pdfium.FPDFText_CountChars(page.text))
    if raw > 2 * count + 40 and undecodable(page, min(raw, 20_000)) > _GARBAGE:
        return _UNREAD_GARBAGE
    return ""


def _arrange(taken: Taken) -> None:
    """Find the rows of upright text, and those near the edges."""
    found, why = taken.glyphs, taken.why_hidden
    assert found is not None
    assert why is not None
    assert taken.frame is not None
    taken.single = _single(found)
    seen = np.flatnonzero(taken.single & (why == 0))
    ways = directions(found.take(seen))
    if not ways:
        return
    upright = seen[ways[0]]
    if (
        found.styles.angle[found.style[upright[0]]] != 0
        and abs(found.styles.angle[found.style[upright[0]]]) > 2.5
    ):
        upright = seen[:0]
    if len(upright) and not stacked(found, upright):
        taken.upright = upright
        taken.pieces = pieces_of(found, upright)
        taken.edges = edge_rows(rows_of(taken.pieces), found, taken.frame.height)


def _single(found: Glyphs) -> npt.NDArray[np.bool_]:
    """Without characters that are drawn twice almost at one place, to look bold or cast a shadow."""
    kept = np.ones(len(found), np.bool_)
    if len(found) < 2 or len(found.styles.handle) < 2:
        return kept
    near = 0.15 * np.maximum(found.size, 1.0)
    for shift in (0.0, 0.5):
        cell = np.floor(found.baseline / 4.0 + shift)
        order = np.lexsort((found.start, cell, found.code))
        one, other = order[:-1], order[1:]
        double = (
            (found.code[one] == found.code[other])
            & (np.abs(found.start[one] - found.start[other]) < near[one])
            & (np.abs(found.baseline[one] - found.baseline[other]) < near[one])
            & (found.style[one] != found.style[other])
        )
        kept[np.maximum(one, other)[double]] = False
    return kept


# ---------------------------------------------------------------- composing


def compose(
    taken: Taken,
    header: Collection[int],
    footer: Collection[int],
    vocabulary: Vocabulary,
    outline: Sequence[OutlineItem],
) -> Page:
    """The page, with its header first, its footer, what is hidden, fields and comments last."""
    assert taken.frame is not None
    assert taken.glyphs is not None
    frame = taken.frame
    text = PageText(frame.width, frame.height)
    recognised = taken.recognised
    if recognised is None:
        vocabulary.learn(taken.glyphs)
        for draft, hide in _drafts(taken, header, footer, vocabulary):
            text.add(draft, taken.glyphs, hide)
        blocks = list(_with_outline(text, outline, taken.number))
    else:
        text.take_over(recognised)
        blocks = list(text.blocks)
    for note in taken.notes:
        text.add_text(note.kind, note.text, note.box, note.hidden)
        blocks.append(text.blocks[-1])
    whole = text.text
    vocabulary.learn_words(whole)
    if taken.unread and not whole:
        source = TextSource.NONE
    elif recognised is not None and not taken.characters:
        source = TextSource.OCR
    else:
        source = TextSource.OCR if recognised is not None else TextSource.TEXT
    return Page(
        taken.number,
        whole,
        label=taken.label,
        blocks=tuple(blocks),
        marks=tuple(joined(text.marks, whole)),
        boxes=text.boxes,
        width=frame.width,
        height=frame.height,
        source=source,
        confidence=recognised.confidence if recognised is not None else 1.0,
        unread=taken.unread,
        images=taken.images,
    )


def _drafts(
    taken: Taken, header: Collection[int], footer: Collection[int], vocabulary: Vocabulary
) -> Iterator[tuple[Draft, Callable[[int], str] | None]]:
    """The page's blocks in reading order, each with who knows why a character of it is hidden."""
    found, why = taken.glyphs, taken.why_hidden
    assert found is not None
    assert why is not None
    assert taken.frame is not None
    inked = taken.frame.turns != 0
    if taken.upright is not None:
        body = [piece for piece in taken.pieces if piece.row not in header and piece.row not in footer]
        yield from _edge(taken, header, BlockKind.HEADER, vocabulary, inked)
        numbers = line_numbers(rows_of(body), found)
        body = [piece for piece in body if piece not in numbers]
        index = np.concatenate([piece.indices() for piece in body]) if body else taken.upright[:0]
        ruled = ruled_tables(found, index, taken.ruled)
        if ruled:
            in_tables = np.concatenate([cell for table in ruled for row in table.rows for cell in row])
            index = np.setdiff1d(index, in_tables)
            body = pieces_of(found, index) if len(index) else []
            size = float(np.median(found.size[in_tables]))
            body = with_table_pieces(body, ruled, size)
        blocks = Blocks(found, vocabulary, ruled, inked=inked, backwards=is_backwards(found))
        for region in regions(body, from_right=_from_right(found, taken.upright)):
            yield from ((draft, None) for draft in blocks.of_region(region))
    shown = taken.single
    assert shown is not None
    apart = shown & (why == 0)
    if taken.upright is not None:
        apart[taken.upright] = False
    rest = np.flatnonzero(apart)
    for index in _by_direction(found, rest):
        for draft in _apart(found, index, vocabulary):
            yield draft, None
    if taken.upright is not None and numbers:
        margin = Blocks(found, vocabulary, inked=inked).whole(rows_of(numbers), BlockKind.FOOTER)
        if margin:
            yield margin, None
    yield from _edge(taken, footer, BlockKind.FOOTER, vocabulary, inked)
    unseen = np.flatnonzero(shown & (why != 0))

    def note(one: int) -> str:
        return NOTES[int(why[one])]

    for index in _by_direction(found, unseen):
        for draft in _apart(found, index, vocabulary):
            yield draft, note


def _edge(
    taken: Taken, rows: Collection[int], kind: BlockKind, vocabulary: Vocabulary, inked: bool
) -> Iterator[tuple[Draft, None]]:
    assert taken.glyphs is not None
    pieces = [piece for piece in taken.pieces if piece.row in rows]
    draft = Blocks(taken.glyphs, vocabulary, inked=inked).whole(rows_of(pieces), kind) if pieces else None
    if draft:
        yield draft, None


def _by_direction(found: Glyphs, index: Ints) -> Iterator[Ints]:
    part = found.take(index)
    return (index[way] for way in directions(part))


def _apart(found: Glyphs, index: Ints, vocabulary: Vocabulary) -> Iterator[Draft]:
    """Text that is turned, or that nobody sees: by columns of its own."""
    stands = stacked(found, index)
    placed = _on_its_side(found) if stands else found
    # Most of a page's text may be turned, as a wide table is.
    plain = stands or len(index) < 0.5 * len(found)
    blocks = Blocks(placed, vocabulary, inked=True, plain=plain)
    for region in regions(pieces_of(placed, index), running=stands):
        yield from blocks.of_region(region)


def _on_its_side(found: Glyphs) -> Glyphs:
    """Characters written from top to bottom, in columns from the right, as if the paper were turned."""
    middle = (found.box[:, 0] + found.box[:, 2]) / 2
    return replace(found, baseline=-middle, start=found.box[:, 1], end=found.box[:, 3])


def _from_right(found: Glyphs, index: Ints) -> bool:
    """Whether most letters are of scripts that run from right to left, and columns with them."""
    code = found.code[index]
    return bool(right_to_left(code).mean() > 0.4) if len(code) else False


def _with_outline(text: PageText, outline: Sequence[OutlineItem], number: int) -> list[Any]:
    """The blocks; those that the file's own table of contents names are headings of its levels."""
    titles = {_letters(item.title): item.level for item in outline if item.page == number}
    if not titles:
        return text.blocks
    whole = text.text
    return [text.headed(block, whole, titles) for block in text.blocks]


def _letters(title: str) -> str:
    return "".join(sign for sign in title.lower() if sign.isalnum())

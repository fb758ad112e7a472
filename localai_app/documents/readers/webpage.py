"""Reads web pages: the text as people see it, tables as tables; what a style hides is marked as hidden."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from localai_app.documents.document import CELL, BlockKind, Facts, MarkKind
from localai_app.documents.readers.encoding import declared_in_xml, decode
from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.parts import Piece, parts, shown, slice_of
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.readers.webpage_styles import Styles
from localai_app.documents.reading import Finished, Job, PageRead, ReadAnswer, Started

_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_BLANK = re.compile(r"\n(?:[ \t]*\n)+")
_SPACE = re.compile(r"[ \t\n\r\f\xa0]+")
_INVISIBLE = re.compile("[\xad\u200b\u2060\ufeff\u034f]|(?<![^\\s\u200c])\u200c+(?!\\S)")
"""Soft hyphens and fillers; the zero-width non-joiner only where it stands alone."""

_SKIPPED = frozenset(
    (
        *("script", "style", "template", "head", "title", "meta", "link", "object", "embed", "applet"),
        *("iframe", "noframes", "noembed", "svg", "math", "canvas", "audio", "video", "map", "datalist"),
    )
)
_BLOCKS = frozenset(
    (
        *(
            "address",
            "article",
            "aside",
            "blockquote",
            "body",
            "caption",
            "center",
            "dd",
            "details",
            "dialog",
        ),
        *("dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup"),
        *(
            "hr",
            "html",
            "legend",
            "li",
            "main",
            "menu",
            "nav",
            "ol",
            "option",
            "p",
            "pre",
            "search",
            "section",
        ),
        *("summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
        *("h1", "h2", "h3", "h4", "h5", "h6"),
    )
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_LONGEST_CELL = 400
"""Characters that a cell of a table of facts has at most, on average; else the table lays out a page."""


@dataclass(frozen=True)
class WebPage:
    """A page's text."""

    title: str
    author: str
    pieces: list[Piece]


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """Yield the page's text in parts; raise `ReadRefused` for one nested too deeply."""
    yield Started("html", 0)
    stated = _CHARSET.search(data[:4096])
    decoded = decode(data, declared_in_xml(data) or (stated[1].decode("ascii") if stated else ""))
    web_page = page_of(decoded.text)
    yield from map(PageRead, parts(web_page.pieces))
    yield Finished(Facts("html", 0, web_page.title, web_page.author, warnings=decoded.warnings))


def page_of(text: str) -> WebPage:
    """The text of a page of HTML, also of a mail's."""
    # For HTML a huge tree means 2,048 levels instead of 256; there are no entities to explode.
    parser = etree.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True
    )
    source = re.sub(r"\A\s*<\?xml[^>]*\?>", "", shown(text)).encode("utf-8")
    try:
        root = etree.fromstring(source, parser) if source.strip() else None
    except etree.XMLSyntaxError:  # nothing in it is HTML
        root = None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise ReadRefused(
            "limit", "The page is nested too deeply.", "Save it from a browser as PDF, and add that."
        )
    if root is None:
        return WebPage("", "", [])
    author = root.xpath("string(//head/meta[@name='author']/@content)")
    title = _SPACE.sub(" ", root.findtext(".//title") or "").strip()
    return WebPage(title, author.strip(), list(_Flow(Styles.of(root)).pieces(root)))


class _Flow:
    """Walks the elements in order and gathers what stands between two boundaries of blocks."""

    def __init__(self, styles: Styles) -> None:
        self._styles = styles
        self._line = Line()
        self._open: list[tuple[Any, str, bool]] = []
        """Elements that this one is in: (element, why its text is hidden, whether white space counts)."""

    def pieces(self, root: Any) -> Iterator[Piece]:
        """All blocks of ``root``."""
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "end":
                yield from self._leave(element, tag, root)
                continue
            if tag in _BLOCKS:
                yield from self._flush()
            hidden, verbatim = (self._open[-1][1], self._open[-1][2]) if self._open else ("", False)
            hidden = hidden or self._styles.hides(element)
            if tag in _SKIPPED or (tag == "table" and element is not root and _is_of_facts(element)):
                if tag == "table":
                    yield from self._table(element, hidden)
                walk.skip_subtree()
                self._open.append((element, "skipped", False))
                continue
            self._open.append((element, hidden, verbatim or tag in ("pre", "textarea", "listing")))
            self._enter(element, tag, hidden)
            self._text(element.text, hidden, self._open[-1][2])

    def _enter(self, element: Any, tag: str, hidden: str) -> None:
        if tag == "br":
            _write(self._line, "\n", hidden)
        elif tag in ("a", "button"):  # styles set neighbours apart
            before = element.getprevious()
            if before is not None and before.tag == tag and not before.tail:
                self._text(" ", hidden, verbatim=False)
        elif tag == "img":
            if not _is_a_dot(element):
                self._line.images += 1
                self._text(element.get("alt"), hidden, verbatim=False)
        elif tag == "input" and element.get("type", "text").lower() in (
            "text",
            "search",
            "email",
            "tel",
            "url",
            "number",
            "date",
        ):
            self._text(element.get("value"), hidden, verbatim=False)

    def _leave(self, element: Any, tag: str, root: Any) -> Iterator[Piece]:
        if tag in _BLOCKS:
            yield from self._flush()
        self._open.pop()
        if element is not root and self._open:
            _, hidden, verbatim = self._open[-1]
            self._text(element.tail, hidden, verbatim)

    def _text(self, text: str | None, hidden: str, verbatim: bool) -> None:
        if not text:
            return
        text = _INVISIBLE.sub("", text)
        if not verbatim:
            text = _SPACE.sub(" ", text)
            if text.startswith(" ") and self._line.since(self._line.length - 1) in ("", " ", "\n"):
                text = text[1:]
        _write(self._line, text, hidden)

    def _flush(self) -> Iterator[Piece]:
        line, self._line = self._line, Line()
        if not line and not line.images:
            return
        piece = line.piece(*self._kind())
        if piece.kind is BlockKind.CODE:
            yield piece
            return
        start = 0
        for blank in _BLANK.finditer(piece.text):  # how old pages, and mails, divide paragraphs
            yield slice_of(piece, start, blank.start())
            start = blank.end()
        yield slice_of(piece, start, len(piece.text))

    def _kind(self) -> tuple[BlockKind, int]:
        tags = [element.tag for element, _, _ in self._open]
        for tag in reversed(tags):
            if tag in _HEADINGS:
                return BlockKind.HEADING, _HEADINGS[tag]
            if tag in ("li", "dd", "dt"):
                return BlockKind.LIST_ITEM, max(1, sum(tag in _LISTS or tag == "dl" for tag in tags))
            if tag in ("pre", "textarea", "listing"):
                return BlockKind.CODE, 0
        return BlockKind.PARAGRAPH, 0

    def _table(self, table: Any, hidden: str) -> Iterator[Piece]:
        caption = table.find("caption")
        if caption is not None:
            yield from _Flow(self._styles).pieces(caption)
        waiting: dict[int, int] = {}
        """Columns that a cell of an earlier row reaches into, and for how many rows more."""
        rows = [(self._styles.hides(row), list(self._cells(row, waiting))) for row in table.iter("tr")]
        width = max(len(cells) for _, cells in rows)
        # Columns that only make space say nothing.
        used = [any(column < len(cells) and cells[column][0] for _, cells in rows) for column in range(width)]
        line = Line()
        for why, cells in rows:
            kept = [cell for column, cell in enumerate(cells) if used[column]]
            if not any(text for text, _ in kept):
                continue
            line.write("\n" if line.length else "")
            for number, (text, own) in enumerate(kept):
                _write(line, CELL if number else "", hidden or why)
                _write(line, text, hidden or why or own)
        line.images = sum(not _is_a_dot(image) for image in table.iter("img"))
        if line.length:
            yield line.piece(BlockKind.TABLE)

    def _cells(self, row: Any, waiting: dict[int, int]) -> Iterator[tuple[str, str]]:
        column = 0
        for cell in row.iterchildren("td", "th"):
            while waiting.get(column):
                waiting[column] -= 1
                yield "", ""
                column += 1
            pieces = list(_Flow(self._styles).pieces(cell))
            text = " ".join(_SPACE.sub(" ", piece.text).strip() for piece in pieces if piece.text)
            all_hidden = any(piece.marks for piece in pieces) and all(
                piece.marks and piece.marks[0].end - piece.marks[0].start == len(piece.text)
                for piece in pieces
            )
            yield text, self._styles.hides(cell) or (pieces[0].marks[0].note if all_hidden else "")
            rows = _span(cell, "rowspan")
            for offset in range(_span(cell, "colspan")):
                if offset:
                    yield "", ""
                if rows > 1:
                    waiting[column + offset] = rows - 1
            column += _span(cell, "colspan")
        for later in sorted(waiting):
            if later >= column and waiting[later]:
                waiting[later] -= 1
                yield "", ""


def _write(line: Line, text: str, hidden: str) -> None:
    """Add ``text``, which is hidden for that reason, if for any."""
    start = line.length
    line.write(text)
    if hidden:
        line.mark(MarkKind.HIDDEN, start, hidden)


def _span(cell: Any, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return max(1, min(int(value), 100)) if value.isascii() and value.isdigit() and len(value) < 6 else 1


def _is_of_facts(table: Any) -> bool:
    """Whether the table holds facts in rows and columns, and does not just lay out a page."""
    if table.get("role") in ("presentation", "none") or table.find(".//table") is not None:
        return False
    rows = list(table.iter("tr"))
    widest = max((sum(1 for _ in row.iterchildren("td", "th")) for row in rows), default=0)
    if widest < 2 or (len(rows) < 2 and table.find(".//th") is None):
        return False
    cells = [len("".join(cell.itertext()).strip()) for cell in table.iter("td", "th")]
    return sum(cells) <= _LONGEST_CELL * max(1, sum(length > 0 for length in cells))


def _is_a_dot(image: Any) -> bool:
    """Whether the picture is one that counts readers, or fills space."""
    return (image.get("width") or "").strip("px ") in ("0", "1") or (image.get("height") or "").strip(
        "px "
    ) in ("0", "1")

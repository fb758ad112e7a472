"""Reads rich text: tables, notes and boxes as what they are; hidden and deleted text marked as such."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from localai_app.documents.document import CELL, BlockKind, Facts, MarkKind
from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.parts import Piece, parts, shown
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.readers.rtf_tokens import (
    CHARACTERS,
    SYMBOLS,
    Token,
    characters,
    codec_of_charset,
    codec_of_page,
    tokens,
)
from localai_app.documents.reading import SAVE_ANEW, Finished, Job, PageRead, ReadAnswer, Started

_SKIPPED = frozenset(
    (
        *("colortbl", "listtable", "listoverridetable", "rsidtbl", "generator", "filetbl", "themedata"),
        *(
            "datastore",
            "latentstyles",
            "xmlnstbl",
            "pict",
            "objdata",
            "fldinst",
            "bkmkstart",
            "bkmkend",
            "xe",
        ),
        *("tc", "rxe", "nonesttables", "atnid", "atnref", "atndate", "atrfstart", "atrfend", "picprop", "sp"),
        *("sn", "sv", "shprslt", "falt", "fontemb", "fontfile", "template", "private", "userprops", "mmath"),
        *("ftnsep", "ftnsepc", "ftncn", "aftnsep", "aftnsepc", "aftncn", "factoidname", "datafield"),
        *("formfield", "ffname", "listpicture", "panose", "wgrffmtfilter", "blipuid", "pntxta", "pntxtb"),
        *("revtim", "creatim", "printim", "buptim", "keywords", "comment", "operator", "category", "manager"),
        *("company", "doccomm", "pgdsctbl", "hlinkbase", "subject", "password", "htmltag", "mhtmltag"),
    )
)
"""Destinations that hold no text for people."""
_KINDS = {
    **dict.fromkeys(("header", "headerl", "headerr", "headerf"), BlockKind.HEADER),
    **dict.fromkeys(("footer", "footerl", "footerr", "footerf"), BlockKind.FOOTER),
    "footnote": BlockKind.FOOTNOTE,
    "annotation": BlockKind.COMMENT,
    "shptxt": BlockKind.TEXT_BOX,
    "dptxbxtext": BlockKind.TEXT_BOX,
}
"""Destinations that hold text of their own, beside the text around them."""
_NAMES = frozenset({"fonttbl", "stylesheet", "revtbl", "title", "author", "atnauthor", "info"})
"""Destinations that hold names of things."""
_TRANSPARENT = frozenset(
    {"shpinst", "shp", "ud", "listtext", "pntext", "fldrslt", "field", "nesttableprops", "do"}
)
_HEADING = re.compile(
    r"(?:heading|überschrift|titre|título|titolo|kop|rubrik|заголовок)\s*(\d)", re.IGNORECASE
)
_DEEPEST = 2_000
_BULLET = {"\xb7": "•", "\xa7": "▪", "\xd8": "➢", "\xfc": "✓", "o": "o"}
"""What the usual symbol fonts draw for these."""


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """Yield the text in parts; raise `ReadRefused` for groups nested without end."""
    yield Started("rtf", 0)
    text = RichText(data)
    yield from map(PageRead, parts(text.pieces()))
    warnings = () if text.whole else (f"The file ends in the middle; what follows is missing. {SAVE_ANEW}",)
    yield Finished(Facts("rtf", 0, text.title, text.author, warnings=warnings))


@dataclass(frozen=True)
class _Format:
    """What a group inherits from the one around it."""

    skip: bool = False
    names: str = ""
    """The destination of names that it is in."""
    hidden: bool = False
    deleted: bool = False
    inserted: bool = False
    who: int = 0
    when: int = 0
    font: int | None = None
    unicode_skip: int = 1
    text: "_Text | None" = None


@dataclass
class _Text:
    """A stream of paragraphs: the body, a note, a header …"""

    kind: BlockKind
    pieces: list[Piece] = field(default_factory=list)
    later: list[Piece] = field(default_factory=list)
    """Notes and boxes that are anchored in the paragraph in hand."""
    line: Line = field(default_factory=Line)
    in_table: bool = False
    heading: int = 0
    is_item: bool = False
    level: int = 0
    """Of a list item, from 0."""
    row: Line | None = None
    """Of a table, as far as it is read."""
    table: Line = field(default_factory=Line)

    def take(self) -> Line:
        line, self.line = self.line, Line()
        return line

    def end_paragraph(self) -> None:
        if self.in_table:
            if self.line.length:
                self.line.write(" ")
            return
        self.end_table()
        kind, level = self.kind, 0
        if kind is BlockKind.PARAGRAPH and self.heading:
            kind, level = BlockKind.HEADING, self.heading
        elif kind is BlockKind.PARAGRAPH and self.is_item:
            kind, level = BlockKind.LIST_ITEM, self.level + 1
        self.pieces.append(self.take().piece(kind, level))
        self.is_item = False
        self.pieces += self.later
        self.later = []

    def end_cell(self) -> None:
        if self.row is None:
            self.row = Line()
        else:
            self.row.write(CELL)
        self.row.add(self.take(), flat=True)

    def end_row(self) -> None:
        if self.line.length:
            self.end_cell()
        if self.row and self.row.text.replace(CELL, ""):
            self.table.write("\n" if self.table else "")
            self.table.add(self.row)
        elif self.row:
            self.table.images += self.row.images
        self.row = None
        self.in_table = False

    def end_table(self) -> None:
        if self.row is not None:
            self.end_row()
        if self.table or self.table.images:
            self.pieces.append(self.table.piece(BlockKind.TABLE))
            self.table = Line()

    def end(self) -> list[Piece]:
        self.in_table = False
        if self.row is not None:
            self.end_row()
        self.end_paragraph()
        return self.pieces


class RichText:
    """The text of an RTF file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.title = self.author = ""
        self.whole = True
        self._codec = "cp1252"
        self._fonts: dict[int, str] = {}
        self._symbols: set[int] = set()
        self._headings: dict[int, int] = {}
        self._authors: list[str] = []
        self._default_font = 0
        self._body = _Text(BlockKind.PARAGRAPH)
        self._format = _Format(text=self._body)
        self._stack: list[_Format] = []
        self._pending = b""
        """Bytes whose encoding is known, but perhaps not all of a character is here."""
        self._swallow = 0
        """Characters to skip, since a better form of them came before."""
        self._half = 0
        """The first half of a surrogate pair."""
        self._name = ""
        self._number = 0

    def pieces(self) -> Iterator[Piece]:
        """All blocks in order."""
        group_begins = starred = False
        for token in tokens(self._data):
            if token.brace == "{":
                self._flush()
                self._stack.append(self._format)
                if len(self._stack) > _DEEPEST:
                    raise ReadRefused("limit", "The file is nested too deeply.", SAVE_ANEW)
                group_begins, starred, self._swallow = True, False, 0
                continue
            if token.brace == "}":
                self._close_group()
                group_begins = False
                if len(self._body.pieces) > 100:
                    yield from self._ready()
                continue
            if token.symbol == "*" and group_begins:
                starred = True
                continue
            if token.word:
                self._word(token, group_begins, starred)
            else:
                self._text(token)
            group_begins = starred = False
        self._flush()
        self.whole = len(self._stack) < 2  # the last brace is forgotten often, and nothing with it
        while self._stack:
            self._close_group()
        self._body.end()
        yield from self._ready()

    def _ready(self) -> Iterator[Piece]:
        done, self._body.pieces = self._body.pieces, []
        yield from done

    # ------------------------------------------------------------ groups

    def _close_group(self) -> None:
        self._flush()
        self._swallow = 0
        if not self._stack:
            return
        inner, self._format = self._format, self._stack.pop()
        if inner.names and inner.names != "info":
            self._end_name(inner.names, closes=self._format.names != inner.names)
        if inner.text is not self._format.text and inner.text and self._format.text:
            around = self._format.text
            (
                around.pieces if inner.text.kind in (BlockKind.HEADER, BlockKind.FOOTER) else around.later
            ).extend(inner.text.end())

    def _end_name(self, where: str, *, closes: bool) -> None:
        name, self._name = self._name.strip().rstrip(";"), ""
        if where == "stylesheet":
            if match := _HEADING.search(name):
                self._headings[self._number] = min(9, int(match[1]))
            self._number = 0
        elif where == "revtbl" and not closes:
            self._authors.append(name)
        elif where == "title":
            self.title = shown(name)
        elif where == "author":
            self.author = shown(name)

    # ------------------------------------------------------------ control words

    def _word(self, token: Token, begins: bool, starred: bool) -> None:
        word, number = token.word, token.number
        if self._swallow and word not in ("u", "uc"):
            self._swallow -= 1
            return
        if begins and self._enters(word, starred):
            return
        if word == "u" and number is not None:
            self._unicode(number)
            return
        self._flush()
        if self._format.names or self._format.skip:
            self._remember(word, number)
        elif word in CHARACTERS:
            self._put(CHARACTERS[word])
        else:
            self._format_text(word, number)
            self._format_paragraph(word, number)
        self._format_always(word, number)

    def _enters(self, word: str, starred: bool) -> bool:
        """Whether ``word`` opens a destination, which then is entered."""
        here = self._format
        if here.skip and word != "ud":
            return word in _KINDS or word in _NAMES
        if word in _KINDS and here.text:
            self._format = replace(here, text=_Text(_KINDS[word]), hidden=False)
        elif word in _NAMES:
            self._flush()
            self._format = replace(here, names=word)
            self._name = ""
        elif word == "upr":  # the same twice: without Unicode, then with it
            self._format = replace(here, skip=True)
        elif word == "ud":
            self._format = replace(self._stack[-2] if len(self._stack) > 1 else here)
        elif word in ("pict", "objdata"):
            if word == "pict" and here.text:
                here.text.line.images += 1
            self._format = replace(here, skip=True)
        elif word in ("listtext", "pntext") and here.text:
            here.text.is_item = True
        elif word in _TRANSPARENT:
            return True
        elif word in _SKIPPED or starred:
            self._format = replace(here, skip=True)
        else:
            return False
        return True

    def _remember(self, word: str, number: int | None) -> None:
        """Words inside the tables of names."""
        value = number or 0
        if self._format.names == "fonttbl":
            if word == "f":
                self._number = value
            elif word == "fcharset":
                if value == 2:
                    self._symbols.add(self._number)
                elif codec := codec_of_charset(value):
                    self._fonts[self._number] = codec
            elif word == "cpg":
                self._fonts[self._number] = codec_of_page(value)
        elif self._format.names == "stylesheet" and word == "s":
            self._number = value

    def _format_always(self, word: str, number: int | None) -> None:
        if word == "uc":
            self._format = replace(
                self._format, unicode_skip=max(0, min(number if number is not None else 1, 16))
            )
        elif word == "ansicpg":
            self._codec = codec_of_page(number or 0)
        elif word in ("mac", "pc", "pca"):
            self._codec = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}[word]
        elif word == "deff":
            self._default_font = number or 0

    def _format_text(self, word: str, number: int | None) -> None:
        on = number != 0
        if word == "f":
            self._format = replace(self._format, font=number or 0)
        elif word in ("v", "webhidden"):
            self._format = replace(self._format, hidden=on)
        elif word == "deleted":
            self._format = replace(self._format, deleted=on)
        elif word == "revised":
            self._format = replace(self._format, inserted=on)
        elif word in ("revauth", "revauthdel"):
            self._format = replace(self._format, who=number or 0)
        elif word in ("revdttm", "revdttmdel"):
            self._format = replace(self._format, when=number or 0)
        elif word == "plain":
            here = self._format
            self._format = replace(here, hidden=False, deleted=False, inserted=False, font=None)

    def _format_paragraph(self, word: str, number: int | None) -> None:
        text = self._format.text
        if text is None:
            return
        if word in ("par", "sect", "page", "column"):
            if word == "par" or text.line.length:
                text.end_paragraph()
        elif word == "pard":
            text.in_table, text.heading, text.level = False, 0, 0
        elif word == "intbl":
            text.in_table = True
        elif word == "cell":
            text.in_table = True
            text.end_cell()
        elif word == "row":
            text.end_row()
        elif word in ("nestcell", "nestrow"):
            text.line.write("; " if text.line.length else "")
        elif word == "s":
            text.heading = self._headings.get(number or 0, 0)
        elif word == "outlinelevel" and number is not None and 0 <= number < 9:
            text.heading = number + 1
        elif word == "ilvl":
            text.level = max(0, min(number or 0, 8))
        elif word == "ftnalt" and text.kind is BlockKind.FOOTNOTE:
            text.kind = BlockKind.ENDNOTE

    # ------------------------------------------------------------ characters

    def _text(self, token: Token) -> None:
        data = token.text
        if token.symbol:
            if self._swallow:
                self._swallow -= 1
            elif token.symbol in "\r\n":
                self._flush()
                self._format_paragraph("par", None)
            else:
                self._flush()
                self._put(SYMBOLS.get(token.symbol, ""))
            return
        if self._swallow:
            skipped = min(self._swallow, len(data))
            self._swallow -= skipped
            data = data[skipped:]
        if not self._format.skip:
            self._pending += data

    def _unicode(self, number: int) -> None:
        self._flush()
        code = number + 65536 if number < 0 else number
        self._swallow = self._format.unicode_skip
        if 0xD800 <= code < 0xDC00:
            self._half = code
            return
        if 0xDC00 <= code < 0xE000 and self._half:
            code = 0x10000 + ((self._half - 0xD800) << 10) + (code - 0xDC00)
        self._half = 0
        if 0xF000 <= code <= 0xF0FF:  # how Word writes what a symbol font draws
            self._put(_BULLET.get(chr(code - 0xF000), "•"))
        elif 0 < code < 0x110000:
            self._put(chr(code))

    def _flush(self) -> None:
        data, self._pending = self._pending, b""
        if not data:
            return
        font = self._default_font if self._format.font is None else self._format.font
        if font in self._symbols and not self._format.names:
            self._put("".join(_BULLET.get(character, character) for character in data.decode("latin-1")))
        else:
            self._put(characters(data, self._fonts.get(font, self._codec)))

    def _put(self, text: str) -> None:
        here = self._format
        if here.skip or not text:
            return
        if here.names:
            self._put_name(text)
        elif here.text is not None:
            line, start = here.text.line, here.text.line.length
            line.write(text)
            if mark := self._mark():
                line.mark(mark[0], start, mark[1])

    def _put_name(self, text: str) -> None:
        self._name += text
        if self._format.names == "stylesheet" and ";" in text:
            self._end_name("stylesheet", closes=False)
        elif len(self._name) > 1_000:
            self._name = self._name[:1_000]

    def _mark(self) -> tuple[MarkKind, str] | None:
        here = self._format
        if here.deleted:
            return MarkKind.DELETED, self._by(here)
        if here.hidden:
            return MarkKind.HIDDEN, "hidden text"
        return (MarkKind.INSERTED, self._by(here)) if here.inserted else None

    def _by(self, here: _Format) -> str:
        name = self._authors[here.who] if 0 <= here.who < len(self._authors) else ""
        when = _date(here.when)
        return ", ".join(filter(None, (name, when)))


def _date(packed: int) -> str:
    """A DTTM: minutes, hours, day, month, year since 1900, in bits from the lowest."""
    packed &= 0xFFFFFFFF
    minute, hour, day = packed & 63, packed >> 6 & 31, packed >> 11 & 31
    month, year = packed >> 16 & 15, 1900 + (packed >> 20 & 511)
    return f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}" if packed and month and day else ""

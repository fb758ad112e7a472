"""What a Word document's styles say of a paragraph or a run: heading, numbering, visibility."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from localai_app.documents.readers.ooxml import (
    Element,
    attribute,
    child,
    children,
    is_on,
    name,
    number,
    value,
)

_MAX_CHAIN = 32
"""Styles that build on each other; files can make circles."""
_HEADING = re.compile(
    r"(?:heading|überschrift|titre|título|titolo|titulo|encabezado|cabeçalho|kop|rubrik|overskrift|otsikko"
    r"|nagłówek|nadpis|címsor|başlık|naslov|заголовок|antraštė|virsraksts|pealkiri|titlu|επικεφαλίδα"
    r"|標題|标题|見出し|제목|כותרת)\s*([1-9])",
    re.IGNORECASE,
)
_CODE = frozenset({"html preformatted", "source code", "code", "code block", "preformatted text", "macro"})
_TINY = 4
"""Half points: text up to this size nobody can read."""
_WHITE = "FFFFFF"


@dataclass(frozen=True)
class ParagraphStyle:
    """What a paragraph style brings, with all that it builds on."""

    heading: int = 0
    """Level from 1; 0 for none."""
    numbering: str = ""
    """Id of the list; ``0`` switches one off."""
    level: int | None = None
    """In the list, from 0."""
    hidden: bool = False
    code: bool = False
    page_break_before: bool = False


class Styles:
    """The styles of one document."""

    def __init__(self, root: Element | None) -> None:
        """Of the root of the styles part; None for a document without one."""
        self._styles: dict[str, Element] = {}
        self._default = ""
        for style in children(root, "w:style") if root is not None else ():
            style_id = attribute(style, "w:styleId")
            self._styles[style_id] = style
            if attribute(style, "w:type") == "paragraph" and attribute(style, "w:default") in ("1", "true"):
                self._default = style_id
        self._paragraphs: dict[str, ParagraphStyle] = {}
        self._hidden: dict[str, bool] = {}

    def paragraph(self, style_id: str) -> ParagraphStyle:
        """By id; without one, the document's default."""
        style_id = style_id if style_id in self._styles else self._default
        if style_id not in self._paragraphs:
            self._paragraphs[style_id] = self._read(style_id)
        return self._paragraphs[style_id]

    def hides(self, properties: Element | None, paragraph: ParagraphStyle) -> str:
        """Why a run with these properties cannot be seen; empty when it can."""
        if properties is None:
            return "hidden text" if paragraph.hidden else ""
        vanish = child(properties, "w:vanish")
        style = value(properties, "w:rStyle")
        if vanish is not None:
            if is_on(vanish):
                return "hidden text"
        elif self._character_hidden(style) if style else paragraph.hidden:
            return "hidden text"
        size = value(properties, "w:sz")
        if size and 0 < number(size, _TINY + 1) <= _TINY:
            return "too small to read"
        if value(properties, "w:color").upper() == _WHITE and not _has_ground(properties):
            return "white text"
        return ""

    def _character_hidden(self, style_id: str) -> bool:
        if style_id not in self._hidden:
            found = (child(style, "w:rPr", "w:vanish") for style in self._chain(style_id))
            self._hidden[style_id] = is_on(next((each for each in found if each is not None), None))
        return self._hidden[style_id]

    def _read(self, style_id: str) -> ParagraphStyle:
        heading: int | None = None
        numbering, level, hidden, breaks = "", None, None, None
        code = False
        for style in self._chain(style_id):
            named = value(style, "w:name")
            code = code or named.lower() in _CODE
            properties = child(style, "w:pPr")
            outline = value(style, "w:pPr", "w:outlineLvl")
            if heading is None:
                heading = outline_level(outline) if outline else _level_by_name(named, style_id)
            if properties is not None:
                numbering = numbering or value(properties, "w:numPr", "w:numId")
                if level is None and (said := value(properties, "w:numPr", "w:ilvl")):
                    level = number(said)
                breaks = child(properties, "w:pageBreakBefore") if breaks is None else breaks
            hidden = child(style, "w:rPr", "w:vanish") if hidden is None else hidden
        return ParagraphStyle(
            heading or 0, numbering, level, is_on(hidden), code, page_break_before=is_on(breaks)
        )

    def _chain(self, style_id: str) -> Iterator[Element]:
        for _ in range(_MAX_CHAIN):
            style = self._styles.get(style_id)
            if style is None:
                return
            yield style
            style_id = value(style, "w:basedOn")


def outline_level(text: str) -> int:
    """Level of a heading by its outline level (0 to 8); 0 for body text."""
    level = number(text, 9)
    return level + 1 if 0 <= level <= 8 else 0


def has_ground(element: Element) -> bool:
    """Whether a paragraph or a cell with these properties has a coloured background."""
    return _has_ground(element)


def _has_ground(properties: Element) -> bool:
    shading = child(properties, "w:shd")
    fill = attribute(shading, "w:fill").upper()
    return (fill not in ("", "AUTO", _WHITE)) or any(
        name(each) in ("w:highlight", "w14:textFill", "w14:textOutline", "w14:glow") for each in properties
    )


def _level_by_name(named: str, style_id: str) -> int | None:
    """From the style's name, which Word writes in English and others in their language."""
    if named.lower() == "title" or style_id == "Title":
        return 1
    for each in (named, style_id):
        if match := _HEADING.match(each):
            return int(match[1])
    return None

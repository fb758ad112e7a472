"""The text inside a Word paragraph, and all that stands in it: changes, fields, notes, symbols, pictures."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from localai_app.documents.document import MarkKind
from localai_app.documents.readers.docx_styles import ParagraphStyle, Styles
from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.office_math import equation
from localai_app.documents.readers.ooxml import (
    Element,
    Package,
    attribute,
    child,
    children,
    chosen,
    descendants,
    is_on,
    name,
    number,
    value,
)
from localai_app.documents.readers.symbols import symbol, unhidden

_ANCHOR = 200
"""Characters of the text that a comment is on, as they are quoted with it."""
_OPEN_ANCHORS = 100
"""Comments on the same words, at most; of others the words are not quoted."""
_MAX_CODE = 4096
"""Characters of a field's code that are looked at."""
_CHANGES = {
    "w:ins": (MarkKind.INSERTED, ""),
    "w:del": (MarkKind.DELETED, ""),
    "w:moveTo": (MarkKind.INSERTED, "moved here, "),
    "w:moveFrom": (MarkKind.DELETED, "moved away, "),
    "w:cellIns": (MarkKind.INSERTED, ""),
    "w:cellDel": (MarkKind.DELETED, ""),
}
_HYPERLINK = re.compile(r'^\s*HYPERLINK\s+(?!\\)(?:"([^"]*)"|(\S+))', re.IGNORECASE)
_MACRO_BUTTON = re.compile(r"^\s*MACROBUTTON\s+\S+\s+(.*)", re.IGNORECASE | re.DOTALL)
_FORMULA = re.compile(r"^\s*EQ\s+(.*)", re.IGNORECASE | re.DOTALL)
_SYMBOL_FIELD = re.compile(
    r'^\s*SYMBOL\s+(0x[0-9A-F]+|\d+)(?:.*?\\f\s+"?([^"\\]+))?', re.IGNORECASE | re.DOTALL
)
_CHECKED, _UNCHECKED = "☒", "☐"


@dataclass
class Field:
    """A field between its beginning and its end."""

    line: Line
    """Where its result begins, at ``start``."""
    form: Element | None
    code: str = ""
    in_result: bool = False
    start: int = 0


@dataclass
class Asides:
    """What hangs on the text that was read last and follows it: boxes, notes, comments."""

    boxes: list[Element] = field(default_factory=list)
    """Elements with paragraphs (``w:txbxContent``) or with drawings' text and references."""
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    """``footnote`` or ``endnote``, id, label."""
    comments: list[str] = field(default_factory=list)
    """Ids."""


class Runs:
    """Writes the content of paragraphs to lines; keeps what goes on from one paragraph to the next."""

    def __init__(self, package: Package, styles: Styles, number_note: Callable[[str, str], str]) -> None:
        """``number_note(kind, id)`` is the number of a note that is referred to here for the first time."""
        self._package = package
        self._styles = styles
        self._number_note = number_note
        self.part = ""
        """The part that is read, whose relationships hold."""
        self.asides = Asides()
        self.breaks: list[bool] = []
        """Page breaks seen: whether there was text before them."""
        self.anchors: dict[str, str] = {}
        """The text that comments are on, by the comments' ids."""
        self._open_anchors: set[str] = set()
        self.fields: list[Field] = []
        self.in_box = False
        """Text boxes have grounds that are not looked at: white text may be well seen there."""
        self._style = ParagraphStyle()
        self._grounded = False
        self._deleted = 0
        self._known: dict[str, Callable[[Element, Line], None]] = {
            "w:t": self._text,
            "w:delText": self._deleted_text,
            "w:r": self._run,
            "w:tab": lambda _, line: self.put(line, "\t"),
            "w:ptab": lambda _, line: self.put(line, "\t"),
            "w:br": self._break,
            "w:cr": lambda _, line: self.put(line, "\n"),
            # Shown like any hyphen, and looked for as one.
            "w:noBreakHyphen": lambda _, line: self.put(line, "-"),
            "w:sym": self._symbol,
            "w:footnoteReference": self._note,
            "w:endnoteReference": self._note,
            "w:commentRangeStart": lambda element, _: self._open_anchor(element),
            "w:commentRangeEnd": lambda element, _: self._close_anchor(element),
            "w:commentReference": lambda element, _: self._comment(element),
            "w:fldChar": self._field_character,
            "w:instrText": self._field_code,
            "w:fldSimple": self._simple_field,
            "w:hyperlink": self._link,
            "w:ruby": self._ruby,
            "w:drawing": self._drawing,
            "w:pict": self._drawing,
            "w:object": self._drawing,
            "w:altChunk": lambda *_: self._package.leave_out("Text from another file (altChunk)"),
            "w:subDoc": lambda *_: self._package.leave_out("A subdocument"),
            "mc:AlternateContent": self._alternatives,
            "m:t": self._text,
            "m:oMath": self._equation,
            "m:oMathPara": self._equation,
            **dict.fromkeys(_CHANGES, self._change),
        }

    def paragraph(self, element: Element, style: ParagraphStyle, *, grounded: bool = False) -> Line:
        """The paragraph's text; ``grounded`` where it stands on a coloured background."""
        line = Line()
        self._style, self._grounded = style, grounded
        self.content(element, line)
        return line

    def content(self, element: Element, line: Line) -> None:
        """All children but properties; what is not known is looked into, so that no text is lost."""
        for each in element:
            known = self._known.get(name(each))
            if known:
                known(each, line)
            elif len(each) and not name(each).endswith(("Pr", "PrEx", "PrChange", "delInstrText")):
                self.content(each, line)

    def put(self, line: Line, text: str) -> None:
        """Write ``text`` as it is shown at this place."""
        start = line.length
        line.write(text)
        if any(not each.in_result for each in self.fields):
            line.mark(MarkKind.HIDDEN, start, "inside a field's code")
        for comment in list(self._open_anchors):
            self.anchors[comment] += text
            if len(self.anchors[comment]) > _ANCHOR:
                self._open_anchors.discard(comment)

    # ------------------------------------------------------------ runs

    def _run(self, element: Element, line: Line) -> None:
        start = line.length
        self.content(element, line)
        if line.length == start:
            return
        properties = child(element, "w:rPr")
        why = self._styles.hides(properties, self._style)
        if why and not (why == "white text" and (self._grounded or self.in_box)):
            line.mark(MarkKind.HIDDEN, start, why)

    def _text(self, element: Element, line: Line) -> None:
        text = element.text or ""
        if element.get("{http://www.w3.org/XML/1998/namespace}space") != "preserve":
            text = text.strip(" \t\r\n")
        text = text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")
        if any("\uf000" <= character <= "\uf0ff" for character in text):
            run = element.getparent()
            fonts = child(run, "w:rPr", "w:rFonts")
            text = unhidden(text, attribute(fonts, "w:ascii") or attribute(fonts, "w:hAnsi"))
        self.put(line, text)

    def _deleted_text(self, element: Element, line: Line) -> None:
        start = line.length
        self._text(element, line)
        if not self._deleted:
            line.mark(MarkKind.DELETED, start, "")

    def _break(self, element: Element, line: Line) -> None:
        if attribute(element, "w:type") == "page":
            self.breaks.append(bool(line))
        self.put(line, "\n")

    def _symbol(self, element: Element, line: Line) -> None:
        code = attribute(element, "w:char")
        if re.fullmatch(r"[0-9A-Fa-f]{1,6}", code):
            self.put(line, symbol(int(code, 16), attribute(element, "w:font")))

    def _ruby(self, element: Element, line: Line) -> None:
        """Word shows the reading above its base: here it stands behind it, in brackets."""
        base, reading = child(element, "w:rubyBase"), child(element, "w:rt")
        if base is not None:
            self.content(base, line)
        if reading is not None:
            self.put(line, "(")
            self.content(reading, line)
            self.put(line, ")")

    def _change(self, element: Element, line: Line) -> None:
        kind, note = change(element)
        start = line.length
        self._deleted += kind is MarkKind.DELETED
        self.content(element, line)
        self._deleted -= kind is MarkKind.DELETED
        line.mark(kind, start, note)

    def _alternatives(self, element: Element, line: Line) -> None:
        branch = chosen(element)
        if branch is not None:
            self.content(branch, line)

    def _equation(self, element: Element, line: Line) -> None:
        before = element.getprevious()
        if before is not None and name(before) == "m:oMath":
            line.write(" ")
        start = line.length
        equation(element, line, self._inside_equation)
        text = line.since(start) if self._open_anchors else ""
        for comment in self._open_anchors:
            self.anchors[comment] += text[:_ANCHOR]

    def _inside_equation(self, element: Element, line: Line) -> None:
        """A tracked change around some of an equation, or a stray run."""
        if name(element) in _CHANGES:
            kind, note = change(element)
            start = line.length
            equation(element, line, self._inside_equation)
            line.mark(kind, start, note)
        elif name(element) in ("w:r", "w:t", "w:delText"):
            self._known[name(element)](element, line)
        else:
            equation(element, line, self._inside_equation)

    # ------------------------------------------------------------ links and fields

    def _link(self, element: Element, line: Line) -> None:
        start = line.length
        self.content(element, line)
        relationship = self._package.relationships(self.part).get(attribute(element, "r:id"))
        if relationship and relationship.external:
            self._target(line, start, relationship.target)

    def _target(self, line: Line, start: int, target: str) -> None:
        """Where a link leads, unless its text says so."""
        text = line.since(start).strip()
        bare = re.sub(r"^(?:mailto:|https?://)", "", target.strip(), flags=re.IGNORECASE).rstrip("/")
        if bare and text and bare.lower() not in text.lower():
            self.put(line, f" ({target.strip()})")

    def _simple_field(self, element: Element, line: Line) -> None:
        start = line.length
        self.content(element, line)
        code = attribute(element, "w:instr")[:_MAX_CODE]
        if line.length == start:
            self.put(line, _shown_by(code))
        elif link := _HYPERLINK.match(code):
            self._target(line, start, link[1] or link[2])

    def _field_character(self, element: Element, line: Line) -> None:
        kind = attribute(element, "w:fldCharType")
        if kind == "begin":
            self.fields.append(Field(line, child(element, "w:ffData")))
        elif kind == "separate" and self.fields:
            self.fields[-1].in_result = True
            self.fields[-1].line, self.fields[-1].start = line, line.length
        elif kind == "end" and self.fields:
            self._end_field(self.fields.pop(), line)

    def _field_code(self, element: Element, _: Line) -> None:
        if self.fields and not self.fields[-1].in_result:
            self.fields[-1].code = (self.fields[-1].code + (element.text or ""))[:_MAX_CODE]

    def _end_field(self, ended: Field, line: Line) -> None:
        if ended.line is line and ended.in_result and (link := _HYPERLINK.match(ended.code)):
            self._target(line, ended.start, link[1] or link[2])
        nothing_shown = not ended.in_result or (ended.line is line and line.length == ended.start)
        if nothing_shown:
            self.put(line, _shown_by_form(ended.form) or _shown_by(ended.code))

    # ------------------------------------------------------------ notes and comments

    def _note(self, element: Element, line: Line) -> None:
        kind = "footnote" if name(element) == "w:footnoteReference" else "endnote"
        note_id = attribute(element, "w:id")
        if is_on_attribute(attribute(element, "w:customMarkFollows")):
            label = ""  # the text that follows is the mark
        else:
            label = self._number_note(kind, note_id)
            # Bare digits would belong to the word before; ``[1]`` is how answers cite.
            self.put(line, f"[^{label}]")
        self.asides.notes.append((kind, note_id, label))

    def _open_anchor(self, element: Element) -> None:
        comment = attribute(element, "w:id")
        if comment not in self.anchors and len(self._open_anchors) < _OPEN_ANCHORS:
            self.anchors[comment] = ""
            self._open_anchors.add(comment)

    def _close_anchor(self, element: Element) -> None:
        self._open_anchors.discard(attribute(element, "w:id"))

    def _comment(self, element: Element) -> None:
        self.asides.comments.append(attribute(element, "w:id"))

    # ------------------------------------------------------------ drawings

    def _drawing(self, element: Element, line: Line) -> None:
        pictures = sum(1 for _ in _outside_boxes(element, "a:blip", "v:imagedata"))
        line.images += pictures
        alternative = next(
            (
                said
                for each in _outside_boxes(element, "wp:docPr", "pic:cNvPr", "v:shape")
                if (said := _alternative(each))
            ),
            "",
        )
        if alternative:
            self.put(line, f"[Picture: {alternative}]" if pictures else f"[Drawing: {alternative}]")
        for words in _outside_boxes(element, "v:textpath"):  # WordArt, watermarks
            self.put(line, attribute(words, "string"))
        if next(descendants(element, "o:OLEObject"), None) is not None:
            self._package.leave_out("An embedded object")
        self._box(element)

    def _box(self, element: Element) -> None:
        """Keep the outermost text boxes, charts and diagrams of a drawing for later."""
        for each in element:
            kind = name(each)
            if kind == "mc:AlternateContent":
                branch = chosen(each)
                if branch is not None:
                    self._box(branch)
            elif kind in ("w:txbxContent", "c:chart", "dgm:relIds", "cx:chart") or kind.endswith(":txBody"):
                self.asides.boxes.append(each)
            else:
                self._box(each)


def change(element: Element) -> tuple[MarkKind, str]:
    """What a tracked change does, and by whom and when."""
    kind, note = _CHANGES[name(element)]
    return kind, (note + signature(element)).rstrip(", ")


def signature(element: Element) -> str:
    """Author and date of a change or a comment: “Anna Berg, 2024-03-01 10:30”."""
    # Word writes local time and calls it UTC.
    date = attribute(element, "w:date")[:16].replace("T", " ")
    return ", ".join(filter(None, (attribute(element, "w:author").strip(), date)))


def is_on_attribute(text: str) -> bool:
    """Whether an attribute that may be left out says yes."""
    return text in ("1", "true", "on")


def _outside_boxes(element: Element, *names: str) -> list[Element]:
    """Descendants of these names that stand in no text box and in no branch that is not read."""
    found = []
    waiting = [element]
    while waiting:
        each = waiting.pop()
        kind = name(each)
        if kind in names:
            found.append(each)
        if kind == "mc:AlternateContent":
            branch = chosen(each)
            if branch is not None:
                waiting.append(branch)
        elif kind != "w:txbxContent":
            waiting.extend(reversed(each))
    return found


def _alternative(element: Element) -> str:
    """The alternative text of a picture or a shape."""
    said = attribute(element, "alt" if name(element) == "v:shape" else "descr")
    return " ".join((said or attribute(element, "title")).split())


def _shown_by(code: str) -> str:
    """What a field without a result shows all the same."""
    if match := _MACRO_BUTTON.match(code) or _FORMULA.match(code):
        return match[1].strip()
    if match := _SYMBOL_FIELD.match(code):
        point = int(match[1], 16) if match[1].lower().startswith("0x") else number(match[1])
        return symbol(point, match[2] or "") if 0 < point < 0x110000 else ""
    return ""


def _shown_by_form(form: Element | None) -> str:
    """What a legacy form field shows: its tick, or the chosen entry of its list."""
    box = child(form, "w:checkBox")
    if box is not None:
        ticked = child(box, "w:checked")
        return _CHECKED if is_on(ticked if ticked is not None else child(box, "w:default")) else _UNCHECKED
    listed = child(form, "w:ddList")
    if listed is not None:
        entries = [attribute(entry, "w:val") for entry in children(listed, "w:listEntry")]
        at = number(value(listed, "w:result") or value(listed, "w:default"))
        return entries[at] if 0 <= at < len(entries) else ""
    return ""

"""The blocks of a Word document: paragraphs, headings, lists, tables, and what hangs on them."""

from collections.abc import Iterable, Iterator

from localai_app.documents.document import CELL, BlockKind, Mark, MarkKind
from localai_app.documents.readers import drawing
from localai_app.documents.readers.docx_notes import Comments, Notes
from localai_app.documents.readers.docx_numbering import Numbering
from localai_app.documents.readers.docx_runs import Asides, Runs, change
from localai_app.documents.readers.docx_styles import ParagraphStyle, Styles, has_ground, outline_level
from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.ooxml import (
    Element,
    Package,
    attribute,
    child,
    children,
    chosen,
    is_on,
    name,
    number,
    value,
)
from localai_app.documents.readers.parts import Piece

_LONGEST_HEADING = 200
"""Characters; contracts give whole clauses the style of a heading."""
_MAX_SPAN = 63
"""Columns that a cell may span, as in Word."""
_CHANGED = ("w:ins", "w:del", "w:moveFrom", "w:moveTo")
_WRAPPERS = frozenset({"w:sdt", "w:sdtContent", "w:customXml", "w:smartTag", *_CHANGED})

Block = Piece | None
"""None: a hard page break."""


class Body:
    """Reads the stories of one document: its body, headers, notes, text boxes."""

    def __init__(self, package: Package, main: str) -> None:
        self._package = package
        settings = package.related_part(main, "settings")
        self._styles = Styles(package.related_part(main, "styles"))
        self._numbering = Numbering(package.related_part(main, "numbering"))
        self._notes = {kind: Notes(package, main, kind, settings) for kind in ("footnote", "endnote")}
        self._comments = Comments(package, main)
        self._runs = Runs(package, self._styles, lambda kind, note_id: self._notes[kind].number(note_id))
        self._runs.part = main
        self._endnotes: list[tuple[str, str]] = []
        self.even_headers = is_on(child(settings, "w:evenAndOddHeaders"))

    def blocks(self, container: Iterable[Element]) -> Iterator[Block]:
        """The blocks of the elements of a story, in order; each with its boxes, notes and comments behind."""
        for element in container:
            kind = name(element)
            if kind == "w:p":
                yield from self._paragraph(element)
            elif kind == "w:tbl":
                yield from self._table(element)
            elif kind in _CHANGED:
                yield from self._changed(element)
            elif kind == "mc:AlternateContent":
                branch = chosen(element)
                yield from self.blocks(branch if branch is not None else ())
            elif kind in _WRAPPERS:
                yield from self.blocks(element)
            elif not kind.endswith("Pr"):
                # Anchors of comments, equations, and what nobody foresaw.
                line = Line()
                self._runs.content((element,), line)
                if line:
                    yield line.piece(BlockKind.PARAGRAPH)
                yield from self._behind()

    def story(self, element: Element, part: str) -> Line:
        """The text of a story inside another: a note, a comment; its paragraphs on lines of their own."""
        whole = Line()
        for piece in self.other_part([element], part):
            whole.write("\n" if whole else "")
            start = whole.length
            whole.write(piece.text)
            whole.images += piece.images
            whole.marks += (
                Mark(each.kind, start + each.start, start + each.end, each.note) for each in piece.marks
            )
        return whole

    def other_part(self, container: Iterable[Element], part: str, *, box: bool = False) -> list[Piece]:
        """The blocks of a story of another part or a text box: no page breaks, fields of its own."""
        runs = self._runs
        before = runs.part, runs.fields, runs.asides, runs.in_box
        runs.part, runs.fields, runs.asides, runs.in_box = part, [], Asides(), box or runs.in_box
        try:
            return [piece for each in container for piece in self.blocks(each) if piece]
        finally:
            runs.part, runs.fields, runs.asides, runs.in_box = before

    def last(self) -> Iterator[Piece]:
        """What comes behind the whole text: endnotes, then notes and comments without a place."""
        for note_id, label in self._endnotes:
            piece = self._notes["endnote"].piece(note_id, label, self.story)
            if piece:
                yield piece
        for notes in self._notes.values():
            yield from notes.rest(self.story)
        yield from self._comments.rest(self._runs.anchors, self.story)

    # ------------------------------------------------------------ paragraphs

    def _paragraph(self, element: Element) -> Iterator[Block]:
        properties = child(element, "w:pPr")
        style_id = value(properties, "w:pStyle")
        style = self._styles.paragraph(style_id)
        own_break = child(properties, "w:pageBreakBefore")
        if is_on(own_break) or (own_break is None and style.page_break_before):
            yield None
        line = self._line(element, style, properties)
        breaks, self._runs.breaks = self._runs.breaks, []
        if any(not after_text for after_text in breaks):
            yield None
        if line:
            yield self._labelled(line, properties, style_id, style)
        else:
            if not _mark_hidden(properties):
                self._label(properties, style_id, style)  # empty ones are counted too
            if line.images:
                yield Piece(BlockKind.PARAGRAPH, "", images=line.images)
        yield from self._behind()
        if any(breaks) and line:
            yield None

    def _line(
        self, element: Element, style: ParagraphStyle, properties: Element | None, *, in_cell: bool = False
    ) -> Line:
        grounded = in_cell or (properties is not None and has_ground(properties))
        return self._runs.paragraph(element, style, grounded=grounded)

    def _labelled(
        self, line: Line, properties: Element | None, style_id: str, style: ParagraphStyle
    ) -> Piece:
        """The paragraph's block, with its number in front."""
        label, level = ("", 0) if _mark_hidden(properties) else self._label(properties, style_id, style)
        whole = Line()
        whole.write(label)
        whole.add(line)
        said = value(properties, "w:outlineLvl")
        heading = outline_level(said) if said else style.heading
        if heading and line.length <= _LONGEST_HEADING:
            return whole.piece(BlockKind.HEADING, heading)
        if label:
            return whole.piece(BlockKind.LIST_ITEM, level + 1)
        return whole.piece(BlockKind.CODE if style.code else BlockKind.PARAGRAPH)

    def _label(self, properties: Element | None, style_id: str, style: ParagraphStyle) -> tuple[str, int]:
        """The paragraph's number and its level in the list, from 0."""
        own = child(properties, "w:numPr")
        list_id = (value(own, "w:numId")) or style.numbering
        if not list_id or list_id == "0":
            return "", 0
        said = value(own, "w:ilvl")
        level = number(said) if said else self._numbering.level_of(list_id, style_id, style)
        return self._numbering.label(list_id, level), level

    def _behind(self) -> Iterator[Piece]:
        """Boxes, notes and comments that the text just read brought up."""
        asides, self._runs.asides = self._runs.asides, Asides()
        for box in asides.boxes:
            if name(box) != "w:txbxContent":
                yield from (
                    piece for piece in drawing.referred(box, self._package, self._runs.part) if piece.text
                )
                continue
            for piece in self.other_part([box], self._runs.part, box=True):
                paragraph = piece.kind in (BlockKind.PARAGRAPH, BlockKind.LIST_ITEM, BlockKind.HEADING)
                kind = BlockKind.TEXT_BOX if paragraph else piece.kind
                yield Piece(kind, piece.text, 0 if paragraph else piece.level, piece.marks, piece.images)
        for of, note_id, label in asides.notes:
            if of == "endnote":
                self._endnotes.append((note_id, label))
                continue
            note = self._notes[of].piece(note_id, label, self.story)
            if note:
                yield note
        for comment_id in asides.comments:
            comment = self._comments.piece(comment_id, self._runs.anchors.get(comment_id, ""), self.story)
            if comment:
                yield comment

    def _changed(self, element: Element) -> Iterator[Block]:
        """Whole blocks that a tracked change brought or took away."""
        kind, note = change(element)
        for piece in self.blocks(element):
            if piece:
                marks = (*piece.marks, Mark(kind, 0, len(piece.text), note))
                piece = Piece(piece.kind, piece.text, piece.level, marks, piece.images)  # noqa: PLW2901
            yield piece

    # ------------------------------------------------------------ tables

    def _table(self, element: Element) -> Iterator[Block]:
        """Rows as lines of one block; a table inside a cell is a block of its own behind its row."""
        table = Line()
        for row in _inner(element, "w:tr"):
            nested: list[Element] = []
            line = self._row(row, nested)
            if line:
                table.write("\n" if table.length else "")
                table.add(line)
            table.images += 0 if line else line.images
            if nested:
                if table:
                    yield table.piece(BlockKind.TABLE)
                table = Line()
                yield from self._behind()
                for inner in nested:
                    yield from self._table(inner)
        if table or table.images:
            yield table.piece(BlockKind.TABLE)
        self._runs.breaks = []
        yield from self._behind()

    def _row(self, row: Element, nested: list[Element]) -> Line:
        properties = child(row, "w:trPr")
        line = Line()
        written = False
        line.write(CELL * _span(properties, "w:gridBefore", 0))
        for cell in _inner(row, "w:tc"):
            line.write(CELL if written else "")
            start = line.length
            text = self._cell(cell, nested)
            line.add(text, flat=True)
            written = written or bool(text)
            about = child(cell, "w:tcPr")
            if about is None:
                written = True
                continue
            merge = child(about, "w:vMerge")
            if merge is not None and attribute(merge, "w:val", "continue") == "continue" and text:
                line.mark(MarkKind.HIDDEN, start, "covered by a merged cell")
            for changed in children(about, "w:cellIns", "w:cellDel"):
                line.mark(*_around(changed, start))
            line.write(CELL * (_span(about, "w:gridSpan", 1) - 1))
            written = True
        for changed in children(properties, "w:ins", "w:del") if properties is not None else ():
            line.mark(*_around(changed, 0))
        if properties is not None and is_on(child(properties, "w:hidden")):
            line.mark(MarkKind.HIDDEN, 0, "hidden row")
        return line if line.text.replace("|", "").strip() else _pictures_only(line)

    def _cell(self, cell: Element, nested: list[Element]) -> Line:
        """The cell's paragraphs, side by side."""
        whole = Line()
        for element in _leaves(cell):
            if name(element) == "w:tbl":
                nested.append(element)
                continue
            if name(element) == "w:p":
                properties = child(element, "w:pPr")
                style_id = value(properties, "w:pStyle")
                style = self._styles.paragraph(style_id)
                line = self._line(element, style, properties, in_cell=True)
                label, _ = ("", 0) if _mark_hidden(properties) else self._label(properties, style_id, style)
            else:
                line, label = Line(), ""
                self._runs.content((element,), line)
            whole.images += 0 if line else line.images
            if line:
                whole.write(" " if whole else "")
                whole.write(label)
                whole.add(line)
        return whole


def _inner(element: Element, kind: str) -> Iterator[Element]:
    """Rows of a table or cells of a row, also those inside content controls and tracked changes."""
    for each in element:
        if name(each) == kind:
            yield each
        elif name(each) in _WRAPPERS:
            yield from _inner(each, kind)


def _leaves(cell: Element) -> Iterator[Element]:
    """Paragraphs, tables and the like of a cell, wrappers opened."""
    for each in cell:
        kind = name(each)
        if kind == "mc:AlternateContent":
            branch = chosen(each)
            yield from _leaves(branch) if branch is not None else ()
        elif kind in _WRAPPERS:
            yield from _leaves(each)
        elif not kind.endswith("Pr"):
            yield each


def _span(properties: Element | None, key: str, default: int) -> int:
    said = value(properties, key)
    return min(_MAX_SPAN, max(default, number(said, default)))


def _around(changed: Element, start: int) -> tuple[MarkKind, int, str]:
    kind, note = change(changed)
    return kind, start, note


def _pictures_only(line: Line) -> Line:
    """An empty row keeps the pictures that are in it."""
    empty = Line()
    empty.images = line.images
    return empty


def _mark_hidden(properties: Element | None) -> bool:
    """Whether the paragraph's end is hidden: Word does not number it then."""
    return properties is not None and is_on(child(properties, "w:rPr", "w:vanish"))

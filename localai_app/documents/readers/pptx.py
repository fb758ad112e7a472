"""PowerPoint presentations (.pptx, .pptm, .ppsx): slides with all that is on them, notes and comments.

Shapes come in reading order: the title, then the others by where they stand, columns and rows told apart
by the gaps between them. What masters and layouts add is told with the first slide that shows it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from localai_app.documents.document import (
    CELL,
    BlockKind,
    MarkKind,
    OutlineItem,
    Page,
    PageKind,
    TextSource,
)
from localai_app.documents.readers import drawing
from localai_app.documents.readers.docx_notes import comment_head
from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.ooxml import (
    Element,
    Package,
    attribute,
    child,
    children,
    chosen,
    descendants,
    name,
    number,
)
from localai_app.documents.readers.parts import Piece, hidden, whole
from localai_app.documents.readers.pptx_order import Placed, in_reading_order
from localai_app.documents.reading import Finished, Job, PageRead, ReadAnswer, Started

_SHAPES = ("p:sp", "p:graphicFrame", "p:pic", "p:grpSp", "p:cxnSp", "p:contentPart", "mc:AlternateContent")
_FURNITURE = frozenset({"dt", "ftr", "hdr", "sldNum"})
_TITLES = frozenset({"title", "ctrTitle"})
_MAX_PLACES = 200
"""Of a layout, that are looked through for where a shape stands."""
_SLIDE = (9_144_000, 6_858_000)
"""Width and height where the file does not say, in EMU."""


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """The slides; raise `ReadRefused` when it cannot be read. Pictures are counted, not read."""
    package = Package(data, job.limits)
    main, root = package.main("p:presentation", "PowerPoint")
    show = _Show(package, main, root)
    yield Started("pptx", len(show.slides))
    yield from map(PageRead, show.pages())
    yield Finished(package.facts("pptx", show.outline))


@dataclass
class _Shape:
    """One shape with its text, by where it stands."""

    pieces: list[Piece]
    place: Placed | None
    is_title: bool = False


class _Show:
    def __init__(self, package: Package, main: str, root: Element) -> None:
        self._package = package
        relationships = package.relationships(main)
        listed = child(root, "p:sldIdLst")
        ids = [
            attribute(each, "r:id") for each in (children(listed, "p:sldId") if listed is not None else ())
        ]
        self.slides = [relationships[each].target if each in relationships else "" for each in ids]
        size = child(root, "p:sldSz")
        self._size = (number(attribute(size, "cx"), _SLIDE[0]), number(attribute(size, "cy"), _SLIDE[1]))
        self._authors = _authors(package, main)
        self._told: set[str] = set()
        self._layouts: dict[str, list[tuple[str, Element]]] = {}
        self.outline: list[OutlineItem] = []

    def pages(self) -> Iterator[Page]:
        """The slides in order."""
        for at, part in enumerate(self.slides, 1):
            page = self._slide(at, part)
            for block in page.blocks:
                if block.kind is BlockKind.HEADING:
                    title = " ".join(page.text[block.start : block.end].split())
                    self.outline.append(OutlineItem(title, at))
                    break
            yield page

    def _slide(self, at: int, part: str) -> Page:
        root = self._package.part(part) if part in self._package.archive else None
        if root is None:
            return Page(
                at, "", PageKind.SLIDE, source=TextSource.NONE, unread="The slide is missing or damaged."
            )
        layouts = self._layouts_of(part)
        pieces = [*self._inherited(layouts), *self._tree(root, part, layouts)]
        pieces += self._notes(part)
        pieces += self._comments(part)
        if attribute(root, "show") in ("0", "false"):
            pieces = [hidden(piece, "hidden slide") for piece in pieces]
        return whole(pieces, number=at, kind=PageKind.SLIDE)

    # ------------------------------------------------------------ shapes

    def _tree(self, root: Element, part: str, layouts: list[tuple[str, Element]]) -> Iterator[Piece]:
        tree = child(root, "p:cSld", "p:spTree")
        if tree is None:
            return
        shapes = [shape for shape in self._shapes(tree, part, layouts) if shape.pieces]
        titles = [shape for shape in shapes if shape.is_title]
        for shape in (
            *titles,
            *in_reading_order([shape for shape in shapes if not shape.is_title], lambda each: each.place),
        ):
            yield from shape.pieces

    def _shapes(self, tree: Element, part: str, layouts: list[tuple[str, Element]]) -> Iterator[_Shape]:
        for element in tree:
            kind = name(element)
            if kind not in _SHAPES:
                continue
            if kind == "mc:AlternateContent":
                branch = chosen(element)
                if branch is not None:
                    yield from self._shapes(branch, part, layouts)
                continue
            shape = self._shape(element, part, layouts)
            if _is_hidden(element):
                shape.pieces = [hidden(piece, "hidden shape") for piece in shape.pieces]
            elif shape.place and self._is_outside(shape.place):
                shape.pieces = [hidden(piece, "outside the slide") for piece in shape.pieces]
            yield shape

    def _shape(self, element: Element, part: str, layouts: list[tuple[str, Element]]) -> _Shape:
        kind = name(element)
        place = _place(element)
        if kind == "p:grpSp":
            # Inside a group other coordinates hold; to order its members, they serve as well.
            inner = [shape for shape in self._shapes(element, part, layouts) if shape.pieces]
            ordered = in_reading_order(inner, lambda each: each.place)
            return _Shape([piece for shape in ordered for piece in shape.pieces], place)
        holder = child(element, "p:nvSpPr", "p:nvPr", "p:ph")
        role = attribute(holder, "type", "body") if holder is not None else ""
        if place is None and holder is not None:
            place = _inherited_place(holder, layouts)
        pieces: list[Piece] = []
        if kind == "p:sp":
            body = child(element, "p:txBody")
            if body is not None:
                pieces += self._text(body, part, role)
            pieces += self._described(element)
        else:
            pieces += self._described(element)
            for table in descendants(element, "a:tbl"):
                pieces.append(self._table(table, part))
            pieces += self._referred(element, part)
        if next(descendants(element, "a:blip"), None) is not None:
            pieces.append(Piece(BlockKind.TEXT_BOX, "", images=1))
        if next(descendants(element, "p:oleObj"), None) is not None:
            self._package.leave_out("An embedded object")
        return _Shape([each for each in pieces if each.text or each.images], place, role in _TITLES)

    def _text(self, body: Element, part: str, role: str) -> Iterator[Piece]:
        if role in _TITLES:
            line = drawing.plain(body, self._package, part)
            title = Line()
            title.add(line, flat=True)
            yield title.piece(BlockKind.HEADING, 1)
            return
        if role in _FURNITURE:
            yield drawing.plain(body, self._package, part).piece(BlockKind.FOOTER)
            return
        for paragraph in drawing.paragraphs(body, self._package, part):
            if not paragraph.line:
                continue
            if paragraph.bullet or paragraph.level > 1 or role in ("body", "obj"):
                yield paragraph.line.piece(BlockKind.LIST_ITEM, paragraph.level)
            else:
                kind = BlockKind.PARAGRAPH if role else BlockKind.TEXT_BOX
                yield paragraph.line.piece(kind)

    def _table(self, table: Element, part: str) -> Piece:
        line = Line()
        for row in children(table, "a:tr"):
            line.write("\n" if line.length else "")
            for at, cell in enumerate(children(row, "a:tc")):
                line.write(CELL if at else "")
                body = child(cell, "a:txBody")
                if body is None:
                    continue
                start = line.length
                line.add(drawing.plain(body, self._package, part), flat=True)
                if attribute(cell, "hMerge") in ("1", "true") or attribute(cell, "vMerge") in ("1", "true"):
                    line.mark(MarkKind.HIDDEN, start, "covered by a merged cell")
        return line.piece(BlockKind.TABLE)

    def _referred(self, element: Element, part: str) -> Iterator[Piece]:
        for each in element.iter():
            if name(each) in drawing.REFERRED:
                yield from drawing.referred(each, self._package, part)

    def _described(self, element: Element) -> Iterator[Piece]:
        for each in element:
            properties = child(each, "p:cNvPr")
            if properties is not None and (said := drawing.alternative(properties)):
                yield said

    def _is_outside(self, place: Placed) -> bool:
        width, height = self._size
        return place.right <= 0 or place.bottom <= 0 or place.left >= width or place.top >= height

    # ------------------------------------------------------------ around the shapes

    def _layouts_of(self, part: str) -> list[tuple[str, Element]]:
        """The layout and the master behind a slide."""
        layout = next(self._package.related(part, "slideLayout"), "")
        if layout not in self._layouts:
            found = []
            for target in (layout, *self._package.related(layout, "slideMaster")) if layout else ():
                root = self._package.part(target)
                if root is not None:
                    found.append((target, root))
            self._layouts[layout] = found
        return self._layouts[layout]

    def _inherited(self, layouts: list[tuple[str, Element]]) -> Iterator[Piece]:
        """What a layout or master shows on its slides, once: all but the places for the slide's own text."""
        for target, root in layouts:
            if target in self._told:
                continue
            self._told.add(target)
            tree = child(root, "p:cSld", "p:spTree")
            for element in tree if tree is not None else ():
                if name(element) in _SHAPES and next(descendants(element, "p:ph"), None) is None:
                    for piece in (
                        self._shape(element, target, []).pieces
                        if name(element) != "mc:AlternateContent"
                        else ()
                    ):
                        if piece.text:
                            yield Piece(BlockKind.HEADER, piece.text, 0, piece.marks)

    def _notes(self, part: str) -> Iterator[Piece]:
        for target in self._package.related(part, "notesSlide"):
            root = self._package.part(target)
            for shape in descendants(root, "p:sp") if root is not None else ():
                holder = child(shape, "p:nvSpPr", "p:nvPr", "p:ph")
                body = child(shape, "p:txBody")
                if body is None or attribute(holder, "type") in (*_FURNITURE, "sldImg"):
                    continue
                text = drawing.plain(body, self._package, target)
                if text:
                    yield text.piece(BlockKind.NOTES)

    def _comments(self, part: str) -> Iterator[Piece]:
        for target in self._package.related(part, "comments"):
            root = self._package.part(target)
            for element in descendants(root, "p:cm", "p188:cm", "p188:reply") if root is not None else ():
                author = self._authors.get(attribute(element, "authorId"), "")
                date = (attribute(element, "dt") or attribute(element, "created"))[:16].replace("T", " ")
                line = Line()
                by = ", ".join(filter(None, (author, date)))
                line.write(comment_head(by, "", reply=name(element) == "p188:reply") + ": ")
                old, new = child(element, "p:text"), child(element, "p188:txBody")
                if old is not None:
                    line.write(old.text or "")
                elif new is not None:
                    line.add(drawing.plain(new, self._package, target))
                yield line.piece(BlockKind.COMMENT)


def _authors(package: Package, main: str) -> dict[str, str]:
    """Names of those who wrote comments, by id."""
    found = {}
    for kind in ("commentAuthors", "authors"):
        root = package.related_part(main, kind)
        for element in root if root is not None else ():
            found[attribute(element, "id")] = attribute(element, "name")
    return found


def _place(element: Element) -> Placed | None:
    """Where a shape says that it stands."""
    for path in (("p:spPr", "a:xfrm"), ("p:xfrm",), ("p:grpSpPr", "a:xfrm")):
        frame = child(element, *path)
        if frame is not None:
            offset, extent = child(frame, "a:off"), child(frame, "a:ext")
            if offset is not None and extent is not None:
                left, top = number(attribute(offset, "x")), number(attribute(offset, "y"))
                width, height = number(attribute(extent, "cx")), number(attribute(extent, "cy"))
                return Placed(left, top, left + max(0, width), top + max(0, height))
    return None


def _inherited_place(holder: Element, layouts: list[tuple[str, Element]]) -> Placed | None:
    """Where the layout, or the master, has the place that a shape fills."""
    index, role = attribute(holder, "idx"), attribute(holder, "type", "body")
    for _, root in layouts:
        candidates = [
            (shape, found)
            for shape in islice(descendants(root, "p:sp"), _MAX_PLACES)
            if (found := child(shape, "p:nvSpPr", "p:nvPr", "p:ph")) is not None
        ]
        same = [shape for shape, found in candidates if index and attribute(found, "idx") == index]
        same += [shape for shape, found in candidates if attribute(found, "type", "body") == role]
        for shape in same:
            if place := _place(shape):
                return place
    return None


def _is_hidden(element: Element) -> bool:
    return any(
        attribute(properties, "hidden") in ("1", "true")
        for each in element
        if (properties := child(each, "p:cNvPr")) is not None
    )

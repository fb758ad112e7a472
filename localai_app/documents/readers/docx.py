"""Word documents (.docx, .docm, .dotx; transitional and strict), read so that nothing in them is lost.

The text is what stands in the file: insertions and deletions of tracked changes both, in place and marked;
numbers of lists and headings as Word computes them; footnotes, comments and text boxes behind the
paragraph that they belong to, endnotes at the end; headers before, footers behind the first section that
has them. A part ends at every hard page or section break, and within longer stretches as `parts` cuts.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from localai_app.documents.document import BlockKind, OutlineItem, Page
from localai_app.documents.readers.docx_body import Block, Body
from localai_app.documents.readers.ooxml import (
    Element,
    Package,
    attribute,
    child,
    children,
    descendants,
    is_on,
    name,
    value,
)
from localai_app.documents.readers.parts import Piece, hidden, parts
from localai_app.documents.reading import Finished, Job, PageRead, ReadAnswer, Started

_SHOWN_ON = ("default", "first", "even")
"""Kinds of headers and footers."""


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """The document's parts; raise `ReadRefused` when it cannot be read. Pictures are counted, not read."""
    package = Package(data, job.limits)
    main, root = package.main("w:document", "Word")
    yield Started("docx", 0)
    reader = _Reader(package, main, root)
    yield from map(PageRead, reader.pages())
    yield Finished(package.facts("docx", reader.outline))


class _Reader:
    def __init__(self, package: Package, main: str, root: Element) -> None:
        self._package = package
        self._main = main
        self._body = Body(package, main)
        self._root = root
        self._sections = list(_sections(root))
        self._told: set[tuple[BlockKind, str]] = set()
        self._count = 0
        self.outline: list[OutlineItem] = []

    def pages(self) -> Iterator[Page]:
        """The document's parts in order."""
        blocks = self._blocks()
        ended = False
        while not ended:
            stretch: list[Piece] = []
            for block in blocks:
                if block is None:
                    break
                stretch.append(block)
            else:
                ended = True
            for page in parts(stretch, first=self._count + 1):
                self._count = page.number
                self._keep_outline(page)
                yield page

    def _keep_outline(self, page: Page) -> None:
        for block in page.blocks:
            if block.kind is BlockKind.HEADING:
                title = " ".join(page.text[block.start : block.end].split())
                self.outline.append(OutlineItem(title, page.number, block.level))

    def _blocks(self) -> Iterator[Block]:
        section = 0
        yield from self._around(BlockKind.HEADER, "w:headerReference", section)
        for body in children(self._root, "w:body"):
            for element in body:
                if name(element) == "w:sectPr":
                    continue
                yield from self._body.blocks((element,))
                for _ in _section_ends(element):
                    yield from self._around(BlockKind.FOOTER, "w:footerReference", section)
                    section += 1
                    if _begins_page(self._sections, section):
                        yield None
                    yield from self._around(BlockKind.HEADER, "w:headerReference", section)
        yield from self._body.last()
        for last in range(section, len(self._sections)):
            yield from self._around(BlockKind.FOOTER, "w:footerReference", last)

    def _around(self, kind: BlockKind, reference: str, at: int) -> Iterator[Piece]:
        """The headers, or footers, of a section; each part and each text once."""
        if at >= len(self._sections):
            return
        section = self._sections[at]
        relationships = self._package.relationships(self._main)
        for element in children(section, reference):
            related = relationships.get(attribute(element, "r:id"))
            if related is None or related.external or (kind, related.target) in self._told:
                continue
            self._told.add((kind, related.target))
            root = self._package.part(related.target)
            if root is None:
                continue
            note = self._not_shown(section, attribute(element, "w:type", "default"), kind)
            for piece in self._body.other_part([root], related.target):
                if (kind, f"\n{piece.text}") in self._told:
                    continue
                self._told.add((kind, f"\n{piece.text}"))
                told = replace(piece, kind=kind, level=0)
                yield hidden(told, note) if note else told

    def _not_shown(self, section: Element, shown_on: str, kind: BlockKind) -> str:
        """Why Word shows this header nowhere; empty when it does."""
        switched_on = {
            "default": True,
            "first": is_on(child(section, "w:titlePg")),
            "even": self._body.even_headers,
        }
        return "" if switched_on.get(shown_on, True) else f"this {kind.value} is switched off"


def _sections(root: Element) -> Iterator[Element]:
    """The properties of each section, in order."""
    return chain.from_iterable(_section_ends(body) for body in children(root, "w:body"))


def _section_ends(element: Element) -> Iterator[Element]:
    """Properties of the sections that end in ``element``; not those that a tracked change replaced."""
    for found in descendants(element, "w:sectPr"):
        parent = found.getparent()
        if parent is None or name(parent) != "w:sectPrChange":
            yield found


def _begins_page(sections: list[Element], at: int) -> bool:
    return at < len(sections) and value(sections[at], "w:type") not in ("continuous", "nextColumn")

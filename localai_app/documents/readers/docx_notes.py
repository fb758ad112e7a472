"""Footnotes, endnotes and comments of a Word document: who wrote them, on what, in reply to whom."""

from collections.abc import Callable, Iterator

from localai_app.documents.document import BlockKind
from localai_app.documents.readers.docx_numbering import NOTE_FORMATS, spelled
from localai_app.documents.readers.docx_runs import signature
from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.ooxml import (
    Element,
    Package,
    attribute,
    children,
    descendants,
    number,
    value,
)
from localai_app.documents.readers.parts import Piece, hidden

Story = Callable[[Element, str], Line]
"""The text of an element of the part of that name, paragraphs on lines of their own."""
_SEPARATORS = frozenset({"separator", "continuationSeparator", "continuationNotice"})


class Notes:
    """The footnotes, or the endnotes, of one document."""

    def __init__(self, package: Package, main: str, kind: str, settings: Element | None) -> None:
        """``kind`` is ``footnote`` or ``endnote``."""
        self._kind = kind
        self.part = next(package.related(main, f"{kind}s"), "")
        root = package.part(self.part) if self.part else None
        self._elements = {
            attribute(note, "w:id"): note
            for note in (children(root, f"w:{kind}") if root is not None else ())
        }
        self._numbers: dict[str, str] = {}
        said = value(settings, f"w:{kind}Pr", "w:numFmt")
        self._format = said or NOTE_FORMATS[kind]
        start = value(settings, f"w:{kind}Pr", "w:numStart")
        self._next = number(start, 1)
        self._told: set[str] = set()

    def number(self, note_id: str) -> str:
        """The note's number as Word shows it, by the order of the references."""
        if note_id not in self._numbers:
            self._numbers[note_id] = spelled(self._next, self._format)
            self._next += 1
        return self._numbers[note_id]

    def piece(self, note_id: str, label: str, story: Story) -> Piece | None:
        """The note as a block, once."""
        element = self._elements.get(note_id)
        if element is None or note_id in self._told:
            return None
        self._told.add(note_id)
        line = Line()
        line.write(f"[^{label}] " if label else "")
        line.add(story(element, self.part))
        return line.piece(BlockKind(self._kind))

    def rest(self, story: Story) -> Iterator[Piece]:
        """Notes that nothing refers to: Word does not show them."""
        for note_id, element in self._elements.items():
            if note_id not in self._told and attribute(element, "w:type") not in _SEPARATORS:
                text = story(element, self.part).text
                yield hidden(Piece(BlockKind(self._kind), text), "nothing refers to this note")


class Comments:
    """The comments of one document."""

    def __init__(self, package: Package, main: str) -> None:
        self.part = next(package.related(main, "comments"), "")
        root = package.part(self.part) if self.part else None
        self._elements = {
            attribute(each, "w:id"): each
            for each in (children(root, "w:comment") if root is not None else ())
        }
        self._replies, self._resolved = self._threads(package, main)
        self._told: set[str] = set()

    def piece(self, comment_id: str, anchor: str, story: Story) -> Piece | None:
        """The comment as a block, once: who wrote it, when, on which words."""
        element = self._elements.get(comment_id)
        if element is None or comment_id in self._told:
            return None
        self._told.add(comment_id)
        line = Line()
        line.write(comment_head(signature(element), anchor, reply=comment_id in self._replies))
        line.write(" (resolved): " if comment_id in self._resolved else ": ")
        line.add(story(element, self.part))
        return line.piece(BlockKind.COMMENT)

    def rest(self, anchors: dict[str, str], story: Story) -> Iterator[Piece]:
        """Comments that have no place in the text."""
        for comment_id in self._elements:
            piece = self.piece(comment_id, anchors.get(comment_id, ""), story)
            if piece:
                yield piece

    def _threads(self, package: Package, main: str) -> tuple[set[str], set[str]]:
        """Ids of the comments that reply to another, and of those that are resolved."""
        root = package.related_part(main, "commentsExtended")
        if root is None:
            return set(), set()
        extended = {attribute(each, "w15:paraId"): each for each in children(root, "w15:commentEx")}
        replies, resolved = set(), set()
        for comment_id, element in self._elements.items():
            paragraphs = [attribute(each, "w14:paraId") for each in descendants(element, "w:p")]
            said = next((extended[each] for each in reversed(paragraphs) if each in extended), None)
            if attribute(said, "w15:paraIdParent"):
                replies.add(comment_id)
            if attribute(said, "w15:done") == "1":
                resolved.add(comment_id)
        return replies, resolved


def comment_head(by: str, anchor: str, *, reply: bool = False) -> str:
    """“Comment by Anna Berg, 2024-03-01 10:30, on “the fee””; without what is not known."""
    head = "Reply" if reply else "Comment"
    if by:
        head += f" by {by}"
    # A reply has the place of what it replies to.
    words = " ".join(anchor.split())
    if words and not reply:
        clipped = words if len(words) <= 200 else f"{words[:199].rstrip()}…"
        head += f", on “{clipped}”"
    return head

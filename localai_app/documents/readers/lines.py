"""A stretch of text in the making, with what sets parts of it apart."""

from localai_app.documents.document import BlockKind, Mark, MarkKind
from localai_app.documents.readers.parts import Piece, joined, shown


class Line:
    """Text that grows at its end; marks point into it."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.marks: list[Mark] = []
        self.images = 0
        """Pictures in it."""
        self.length = 0

    def __bool__(self) -> bool:
        return any(not text.isspace() for text in self._texts)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._texts)

    def since(self, start: int) -> str:
        """What was written from ``start`` on; takes no longer for a long line."""
        found: list[str] = []
        at = self.length
        for text in reversed(self._texts):
            if at <= start:
                break
            found.append(text)
            at -= len(text)
        return "".join(reversed(found))[max(0, start - at) :]

    def write(self, text: str) -> None:
        """Add ``text`` at the end."""
        if text:
            text = shown(text)
            self._texts.append(text)
            self.length += len(text)

    def mark(self, kind: MarkKind, start: int, note: str) -> None:
        """Mark all from ``start`` to the end."""
        if self.length > start:
            self.marks.append(Mark(kind, start, self.length, note))

    def add(self, other: "Line", *, flat: bool = False) -> None:
        """Add another line with its marks; ``flat`` as a table's cell: in one line, without blanks around."""
        text, start = other.text, self.length
        if flat:
            start -= len(text) - len(text.lstrip())
            text = text.strip().translate(_FLAT)
        low, high = self.length, self.length + len(text)
        self.write(text)
        self.marks += (
            Mark(each.kind, max(low, start + each.start), min(high, start + each.end), each.note)
            for each in other.marks
        )
        self.images += other.images

    def piece(self, kind: BlockKind, level: int = 0) -> Piece:
        """As a block."""
        text = self.text
        return Piece(kind, text, level, tuple(joined(self.marks, text)), self.images)


_FLAT = str.maketrans("\n\t", "  ")

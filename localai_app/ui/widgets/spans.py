"""Places in a page's text, as Qt counts them: in UTF-16 units, of which some characters take two."""

from bisect import bisect_right


class Units:
    """Turns offsets in ``text`` into Qt's, and back."""

    def __init__(self, text: str) -> None:
        self._wide = [] if text.isascii() else [at for at, each in enumerate(text) if ord(each) > 0xFFFF]
        # Where the unit after each wide character would be if it were one unit.
        self._after = [at + rank + 1 for rank, at in enumerate(self._wide)]

    def of(self, offset: int) -> int:
        """Qt's position of character ``offset``."""
        return offset + bisect_right(self._wide, offset - 1) if self._wide else offset

    def character(self, position: int) -> int:
        """The character at Qt's ``position``."""
        return position - bisect_right(self._after, position) if self._wide else position


def shown(text: str) -> str:
    """``text`` as Qt keeps it, character for character: a carriage return would vanish."""
    return text.replace("\r", " ").replace("\0", " ")

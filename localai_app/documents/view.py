"""A document that is being looked at: its pages as they were read, and as people see them."""

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from localai_app.documents.document import Document, Page
from localai_app.documents.draft import read_bytes
from localai_app.documents.library import Library
from localai_app.documents.reading import Rendered
from localai_app.errors import DocumentError

_MAX_FOUND = 10_000


@dataclass(frozen=True)
class PageImage:
    """A rendered page: ``height`` rows of ``width`` pixels, each 3 bytes, red first."""

    width: int
    height: int
    rgb: bytes


class Drawer(Protocol):
    """Draws the pages of one file in a child process; see `reader_process.Viewer`."""

    def render(self, page: int, scale: float) -> Rendered:
        """One page, ``scale`` pixels per point; raise `DocumentError`."""

    def close(self) -> None:
        """End the child."""


MakeDrawer = Callable[[bytes, str, str], Drawer]
"""Data, name, password."""


class DocumentView:
    """A document that is being looked at. Close it, or use it as a context manager."""

    def __init__(self, library: Library, document: Document, make_drawer: MakeDrawer, password: str) -> None:
        """The child that draws starts with the first page that is drawn."""
        self.document = document
        self._library = library
        self._make_drawer = make_drawer
        self._password = password
        self._drawer: Drawer | None = None
        self._lock = threading.Lock()
        self._closed = False

    def page(self, number: int) -> Page:
        """The page as it was read; raise `NotFound`."""
        return self._library.page(self.document.id, number)

    def image(self, number: int, scale: float) -> PageImage | None:
        """The page as people see it, ``scale`` pixels per point; None for a format without pages.

        Raise `DocumentError` when the file is gone or is another one by now.
        """
        page = self.page(number)
        if not (page.width and page.height):
            return None
        drawn = self._drawing().render(number, scale)
        return PageImage(drawn.width, drawn.height, drawn.rgb)

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Every place where ``text`` stands, whatever its case: (page, start, end).

        A space stands for any white space, so that what runs over the end of a line is found.
        """
        words = text.split()
        if not words:
            return []
        wanted = re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE)
        found: list[tuple[int, int, int]] = []
        for number, content in self._library.texts(self.document.id):
            found += ((number, *match.span()) for match in wanted.finditer(content))
            if len(found) >= _MAX_FOUND:
                break
        return found[:_MAX_FOUND]

    def close(self) -> None:
        """End the process that renders."""
        with self._lock:
            self._closed = True
            drawer, self._drawer = self._drawer, None
        if drawer:
            drawer.close()

    def __enter__(self) -> "DocumentView":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drawing(self) -> Drawer:
        """What draws the very file that was read."""
        with self._lock:
            if self._closed:
                raise DocumentError("The document was closed.", "Open it again.")
            if self._drawer is None:
                document = self.document
                data = self._library.data(document.id)
                if data is None:
                    data, _ = read_bytes(Path(document.path))
                if hashlib.sha256(data).hexdigest() != document.sha256:
                    raise DocumentError(
                        "The file has changed since it was read: its pages would not be those of this text.",
                        "Let the changed files be read again.",
                    )
                self._drawer = self._make_drawer(data, document.name, self._password)
            return self._drawer

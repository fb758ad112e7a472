"""The vectors of one model in memory: a matrix that grows, and is searched exactly.

100,000 vectors of 384 numbers take 154 MB and 10 ms. A search takes what the matrix holds at that moment
and is disturbed by nothing; whoever adds or takes away holds the caller's lock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FIRST_ROWS = 1024
_NONE = -1
"""Chunk and document of a row that was taken away."""


@dataclass(frozen=True, eq=False)
class View:
    """What a matrix held at one moment."""

    chunks: "NDArray[np.int64]"
    documents: "NDArray[np.int64]"
    values: "NDArray[np.float32]"

    def similarities(
        self, vector: "NDArray[np.float32]", documents: Sequence[int] | None, *, without: bool = False
    ) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """Chunks of these documents (or of all ``without`` these; None: of all) and the cosine of each with
        ``vector``."""
        if documents is None:
            return self.chunks, self.values @ vector
        named = np.isin(self.documents, np.asarray(documents, np.int64), invert=without)
        rows = np.flatnonzero(named)
        # Taking rows out costs as much as multiplying four times as many.
        if len(rows) * 4 < len(self.chunks):
            found = self.values[rows] @ vector
        else:
            found = (self.values @ vector)[rows]
        return self.chunks[rows], found


class Matrix:
    """Rows of unit length, each of a chunk of a document."""

    def __init__(self, dimensions: int) -> None:
        self._chunks = np.full(_FIRST_ROWS, _NONE, np.int64)
        self._documents = np.full(_FIRST_ROWS, _NONE, np.int64)
        self._values = np.zeros((_FIRST_ROWS, dimensions), np.float32)
        self._rows = 0
        self._gone = 0

    @property
    def size(self) -> int:
        """Bytes of memory that it takes."""
        return self._values.nbytes + self._chunks.nbytes + self._documents.nbytes

    def view(self) -> View:
        """What it holds now."""
        return View(self._chunks[: self._rows], self._documents[: self._rows], self._values[: self._rows])

    def add(
        self,
        chunks: "NDArray[np.int64]",
        documents: "NDArray[np.int64]",
        values: "NDArray[np.float32]",
    ) -> None:
        """Add rows at the end."""
        self._reserve(self._rows + len(chunks))
        rows = slice(self._rows, self._rows + len(chunks))
        self._chunks[rows], self._documents[rows], self._values[rows] = chunks, documents, values
        self._rows += len(chunks)

    def keep(self, chunks: "NDArray[np.int64]") -> None:
        """Take away every row whose chunk is not among ``chunks``."""
        held = self._chunks[: self._rows]
        gone = np.flatnonzero((held != _NONE) & ~np.isin(held, chunks))
        self._documents[gone] = _NONE
        self._chunks[gone] = _NONE
        self._values[gone] = 0.0
        self._gone += len(gone)
        if self._gone * 4 > self._rows:
            self._compact()

    def _reserve(self, rows: int) -> None:
        """Make room; views of before keep what they had."""
        if rows > len(self._chunks):
            self._resize(max(rows, len(self._chunks) * 3 // 2), np.arange(self._rows))

    def _compact(self) -> None:
        held = np.flatnonzero(self._chunks[: self._rows] != _NONE)
        self._resize(max(len(held) * 5 // 4, _FIRST_ROWS), held)
        self._rows, self._gone = len(held), 0

    def _resize(self, size: int, held: "NDArray[np.int64]") -> None:
        chunks, documents = np.full(size, _NONE, np.int64), np.full(size, _NONE, np.int64)
        values = np.zeros((size, self._values.shape[1]), np.float32)
        chunks[: len(held)], documents[: len(held)] = self._chunks[held], self._documents[held]
        values[: len(held)] = self._values[held]
        self._chunks, self._documents, self._values = chunks, documents, values

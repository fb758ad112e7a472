"""Texts → vectors of length 1, pooled as the model says."""

import numpy as np
from numpy.typing import NDArray

from localai_app.engine.worker.llama import Aborted, Context, Vocabulary, single


class TooLong(Exception):
    """A text of ``needed`` tokens does not fit the ``available`` ones."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(f"A text has {needed} tokens; this embedding model reads at most {available}.")
        self.needed = needed
        self.available = available


class Embedder:
    """Embeds one text per decode: on a CPU that is faster than many at once."""

    def __init__(self, context: Context, vocabulary: Vocabulary) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._interrupted: set[int] = set()
        self._current = 0

    def interrupt(self, request_id: int) -> None:
        """Let `embed` of this request end at once with `Aborted`; callable from any thread."""
        self._interrupted.add(request_id)

    def forget(self, request_id: int) -> None:
        """The request has ended."""
        self._interrupted.discard(request_id)

    @property
    def abort(self) -> bool:
        """Read by llama.cpp's abort callback while a decode runs."""
        return self._current in self._interrupted

    def embed(self, request_id: int, texts: list[str]) -> tuple[NDArray[np.float32], int]:
        """``len(texts)`` × embedding-length float32, and the tokens read.

        Raise `TooLong` rather than cut a text, `Aborted` after `interrupt`.
        """
        vectors, total = [], 0
        self._current = request_id
        for text in texts:
            tokens = self._vocabulary.tokenize(text, add_special=True)
            if len(tokens) > self._context.batch_size:
                raise TooLong(len(tokens), self._context.batch_size)
            if self.abort:
                raise Aborted
            self._context.keep(0, 0)
            self._context.decode(single(tokens))
            vector = self._context.embedding()
            vectors.append(vector / max(float(np.linalg.norm(vector)), 1e-12))
            total += len(tokens)
        return np.array(vectors, dtype="<f4").reshape(len(texts), -1), total

"""Texts → vectors of length 1, pooled as the model says.

How many texts go into one decode is measured, not assumed. The tokens of a decode attend to each other's
places whether they belong together or not, so many texts at once cost more arithmetic than one by one; but
each decode has its own cost, too. all-MiniLM-L6-v2 on one core, texts/s: 8 words each 307 one by one, 544
with 512 tokens at once; 200 words each 23 and 24, with 2,048 tokens at once 19. On a GPU more at once wins.
"""

import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from localai_app.engine.worker.llama import Aborted, Context, Entry, LlamaError, Vocabulary

ALONE = 0
"""A decode of one text, however short."""
_TRIALS = 3


class TooLong(Exception):
    """Text number ``index`` has ``needed`` tokens; only ``available`` fit."""

    def __init__(self, index: int, needed: int, available: int) -> None:
        super().__init__(
            f"Text {index + 1} has {needed} tokens; this embedding model reads at most {available}."
        )
        self.needed = needed
        self.available = available


class BatchSize:
    """How many tokens of texts go into one decode: the fastest that was measured for texts of that length."""

    def __init__(self, sizes: Sequence[int]) -> None:
        """``sizes`` are the numbers of tokens to try."""
        self._sizes = sizes
        self._costs: dict[tuple[int, int], list[float]] = defaultdict(list)
        """Seconds per token, by kind of text and size."""

    def choose(self, length: int) -> int:
        """For texts of about ``length`` tokens; each size gets its trials in turn first."""
        kind = self.kind(length)
        least = min(self._sizes, key=lambda size: len(self._costs[kind, size]))
        if len(self._costs[kind, least]) < _TRIALS:
            return least
        # The best of each: whatever else the computer did made a trial slower, never faster.
        return min(self._sizes, key=lambda size: min(self._costs[kind, size]))

    def took(self, length: int, size: int, cost: float) -> None:
        """A decode with ``size`` took ``cost`` seconds per token."""
        costs = self._costs[self.kind(length), size]
        if len(costs) < _TRIALS:
            costs.append(cost)

    @staticmethod
    def kind(length: int) -> int:
        """Texts of one kind differ in length by less than a factor of 2."""
        return length.bit_length()


class Embedder:
    """One loaded embedding model."""

    def __init__(
        self,
        context: Context,
        vocabulary: Vocabulary,
        threads: Callable[[], int],
        *,
        word_pieces: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``threads`` says how many to compute the next decode with; ``word_pieces``: BERT's vocabulary.

        Raise `LlamaError` for a model that makes no vectors of texts.
        """
        if context.ranks:
            raise LlamaError("this is a reranker: it compares two texts and makes no vectors")
        self._context = context
        self._threads = threads
        self._vocabulary = vocabulary
        self._word_pieces = word_pieces
        self._clock = clock
        self._sizes = BatchSize([ALONE, *context.text_batches])
        self._warm = False
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

    def tokenize(self, text: str) -> list[int]:
        """What the model reads of ``text``, with what it wants around it; nothing for a blank text."""
        if not text.strip():
            return []
        if self._word_pieces and not text.isascii():
            # BERT takes all marks off letters; llama.cpp only where Unicode has the letter with its mark.
            apart = unicodedata.normalize("NFD", text)
            text = "".join(character for character in apart if unicodedata.category(character) != "Mn")
        return self._vocabulary.tokenize(text, add_special=True)

    def embed(self, request_id: int, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
        """``len(texts)`` × embedding-length float32, and the tokens read; a blank text has zeros.

        Raise `TooLong` rather than cut a text, `Aborted` after `interrupt`, `LlamaError`.
        """
        self._current = request_id
        tokens: list[list[int]] = []
        for index, text in enumerate(texts):
            self._stop_if_asked()
            tokens.append(self.tokenize(text))
            if len(tokens[-1]) > self._context.length:
                raise TooLong(index, len(tokens[-1]), self._context.length)
        vectors = np.zeros((len(texts), self._context.embedding_length), dtype="<f4")
        # Texts of like lengths come together: only of these is known how many at once are fastest.
        order = sorted((index for index in range(len(texts)) if tokens[index]), key=lambda i: len(tokens[i]))
        while order:
            self._stop_if_asked()
            together = self._take(order, tokens)
            vectors[together] = self._decode([tokens[index] for index in together])
        return vectors, sum(map(len, tokens))

    def _stop_if_asked(self) -> None:
        if self.abort:
            raise Aborted

    def _take(self, order: list[int], tokens: Sequence[list[int]]) -> list[int]:
        """Remove from the end of ``order`` the texts of the next decode."""
        first = order.pop()
        length = len(tokens[first])
        room = self._sizes.choose(length) - length
        together = [first]
        while order and len(together) < self._context.sequences:
            following = len(tokens[order[-1]])
            room -= following
            if room < 0 or BatchSize.kind(following) != BatchSize.kind(length):
                break
            together.append(order.pop())
        return together

    def _decode(self, texts: Sequence[list[int]]) -> NDArray[np.float32]:
        """Vectors of length 1 of ``texts``, in one decode."""
        size = self._sizes.choose(len(texts[0])) if len(texts) > 1 else ALONE
        entries, last = [], []
        for sequence, tokens in enumerate(texts):
            entries += [Entry(token, position, sequence, True) for position, token in enumerate(tokens)]
            last.append(len(entries) - 1)
        self._context.clear()
        self._context.use_threads(self._threads())
        started = self._clock()
        self._context.decode(entries)
        vectors = np.stack([self._context.embedding(sequence, row) for sequence, row in enumerate(last)])
        if self._warm:  # the first decode touches the weights for the first time
            self._sizes.took(len(texts[0]), size, (self._clock() - started) / len(entries))
        self._warm = True
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise LlamaError("the model's numbers run over: it makes no vector of this text")
        normalised: NDArray[np.float32] = (vectors / lengths).astype(np.float32)
        return normalised

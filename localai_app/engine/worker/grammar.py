"""What a grammar allows next: llama.cpp's grammar sampler, asked about few tokens at a time."""

import ctypes
import weakref

import llama_cpp.llama_cpp as C  # noqa: N812 - C is the library
import numpy as np
from numpy.typing import NDArray

from localai_app.engine.worker.llama import LlamaError, Logits, Vocabulary

CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
Candidates = NDArray[np.void]
"""Tokens with their logits, in the memory layout of ``llama_token_data``."""

_CLOSES_JSON = (b"}", b"]", b'"')


class Grammar:
    """The state of one answer under a grammar."""

    def __init__(self, text: str, vocabulary: Vocabulary, *, json: bool) -> None:
        """Begin; ``json`` says that ``text`` comes from `schema.grammar_for`.

        Raise `LlamaError` for text that is not GBNF.
        """
        pointer = C.llama_sampler_init_grammar(vocabulary.pointer, text.encode(), b"root")
        if not pointer:
            raise LlamaError("the grammar does not parse as GBNF, or has no rule named root")
        self._pointer = pointer
        self._release = weakref.finalize(self, C.llama_sampler_free, pointer)
        self._vocabulary = vocabulary
        self._json = json
        self._one = np.zeros(1, dtype=CANDIDATE)
        self._one_array = as_array(self._one)
        self._unfinished = b""
        """Bytes of a character whose rest is still to come."""
        self.closed = False
        """Whether nothing may follow any more; known for JSON only, False otherwise."""

    def allows(self, token: int) -> bool:
        """Whether ``token`` may come next."""
        self._one["id"], self._one["logit"] = token, 0
        C.llama_sampler_apply(self._pointer, ctypes.byref(self._one_array))
        return bool(self._one["logit"][0] == 0) and self._spells(token)

    @property
    def may_end(self) -> bool:
        """Whether what was said is whole, so that the answer may end here."""
        return any(self.allows(token) for token in self._vocabulary.ending_tokens[:1])

    def filter(self, candidates: Candidates) -> Candidates:
        """Those of ``candidates`` that may come next."""
        array = as_array(candidates)
        C.llama_sampler_apply(self._pointer, ctypes.byref(array))
        allowed: Candidates = candidates[np.isfinite(candidates["logit"])]
        spelt: Candidates = allowed[[self._spells(int(token)) for token in allowed["id"]]]
        return spelt

    def accept(self, token: int) -> None:
        """Go on after ``token``, which must be allowed: llama.cpp aborts on any other."""
        C.llama_sampler_accept(self._pointer, token)
        piece = self._unfinished + self._vocabulary.piece(token)
        self._unfinished = b""
        if not piece.isascii():
            try:
                piece.decode()
            except UnicodeDecodeError as error:
                self._unfinished = piece[error.start :]
        # A string, an array or an object at the top can go no further than its last character.
        if self._json and self._vocabulary.piece(token).endswith(_CLOSES_JSON):
            self.closed = self.may_end

    def _spells(self, token: int) -> bool:
        """Whether ``token`` goes on in UTF-8: llama.cpp lets overlong forms pass, and then text and
        grammar would count characters differently."""
        piece = self._unfinished + self._vocabulary.piece(token)
        if piece.isascii():
            return True
        try:
            piece.decode()
        except UnicodeDecodeError as error:
            return error.reason == "unexpected end of data"
        return True


def candidates_of(logits: Logits, tokens: NDArray[np.integer]) -> Candidates:
    """``tokens`` with their ``logits``, to be filtered and sampled from."""
    candidates = np.zeros(tokens.size, dtype=CANDIDATE)
    candidates["id"] = tokens
    candidates["logit"] = logits[tokens]
    return candidates


def as_array(candidates: Candidates) -> C.llama_token_data_array:
    """``candidates`` (which must outlive it) as llama.cpp wants them."""
    data = candidates.ctypes.data_as(ctypes.POINTER(C.llama_token_data))
    return C.llama_token_data_array(data, candidates.size, -1, False)

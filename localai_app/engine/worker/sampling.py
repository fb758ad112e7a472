"""Which token comes next: llama.cpp's sampler chain, and a grammar checked after it.

A grammar inside the chain looks at the whole vocabulary at every token (20 ms for 262k entries).
Here the chain chooses first and the grammar is asked about that one token; only when it refuses are
the likeliest candidates filtered, and the whole vocabulary only when none of those may stand.
"""

import ctypes
import weakref
from collections.abc import Sequence

import llama_cpp.llama_cpp as C  # noqa: N812 - C is the library
import numpy as np

from localai_app.engine.protocol import Sampling
from localai_app.engine.worker.llama import Context, LlamaError, Logits, Vocabulary

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
_FIRST_TRY = 256
"""Candidates that the grammar filters before it is given the whole vocabulary."""


class Sampler:
    """The sampling state of one request."""

    def __init__(self, sampling: Sampling, vocabulary: Vocabulary) -> None:
        """Build the chain; raise `LlamaError` for a grammar that does not parse."""
        self._chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        self._grammar = None
        self._penalty_window = sampling.repeat_last_n if _penalises(sampling) else 0
        self._release = weakref.finalize(self, C.llama_sampler_free, self._chain)
        for part in _parts(sampling, vocabulary):
            C.llama_sampler_chain_add(self._chain, part)  # the chain owns what is added
        if sampling.grammar:
            grammar = C.llama_sampler_init_grammar(vocabulary.pointer, sampling.grammar.encode(), b"root")
            if not grammar:
                raise LlamaError("the grammar does not parse as GBNF, or has no rule named root")
            self._grammar = grammar
            self._release_grammar = weakref.finalize(self, C.llama_sampler_free, grammar)

    def sample(self, context: Context, row: int) -> int:
        """Choose the token after batch entry ``row`` and take note of it."""
        if self._grammar is None:
            return int(C.llama_sampler_sample(self._chain, context.pointer, row))
        token = self._choose_by_grammar(context.logits(row))
        C.llama_sampler_accept(self._chain, token)
        C.llama_sampler_accept(self._grammar, token)
        return token

    def read(self, prompt: Sequence[int]) -> None:
        """Take note of the prompt's last tokens, which the penalties count too."""
        for token in prompt[-self._penalty_window :] if self._penalty_window else ():
            C.llama_sampler_accept(self._chain, token)

    def _choose_by_grammar(self, logits: Logits) -> int:
        token = self._apply_chain(_candidates(logits))
        if self._allowed(_candidates(logits, np.array([token]))).size:
            return token
        count = min(_FIRST_TRY, logits.size)
        likeliest = np.argpartition(logits, -count)[-count:]
        for chosen in (likeliest, np.arange(logits.size)):
            allowed = self._allowed(_candidates(logits, chosen))
            if allowed.size:
                return self._apply_chain(allowed)
        raise LlamaError("the grammar allows no token of this vocabulary here")

    def _allowed(self, candidates: "np.ndarray") -> "np.ndarray":
        array = _array(candidates)
        C.llama_sampler_apply(self._grammar, ctypes.byref(array))
        allowed: np.ndarray = candidates[np.isfinite(candidates["logit"])]
        return allowed

    def _apply_chain(self, candidates: "np.ndarray") -> int:
        array = _array(candidates)
        C.llama_sampler_apply(self._chain, ctypes.byref(array))
        assert 0 <= array.selected < array.size, "a chain ends in a sampler that selects"
        return int(array.data[array.selected].id)


def _penalises(sampling: Sampling) -> bool:
    return (sampling.repeat_penalty, sampling.presence_penalty, sampling.frequency_penalty) != (1.0, 0.0, 0.0)


def _parts(sampling: Sampling, vocabulary: Vocabulary) -> list[object]:
    parts: list[object] = []
    if _penalises(sampling):
        parts.append(
            C.llama_sampler_init_penalties(
                vocabulary.size,
                sampling.repeat_last_n,
                sampling.repeat_penalty,
                sampling.frequency_penalty,
                sampling.presence_penalty,
            )
        )
    if sampling.temperature <= 0:
        return [*parts, C.llama_sampler_init_greedy()]
    if sampling.top_k > 0:
        parts.append(C.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1:
        parts.append(C.llama_sampler_init_top_p(sampling.top_p, 1))
    if sampling.min_p > 0:
        parts.append(C.llama_sampler_init_min_p(sampling.min_p, 1))
    return [
        *parts,
        C.llama_sampler_init_temp(sampling.temperature),
        C.llama_sampler_init_dist(sampling.seed & 0xFFFFFFFF),
    ]


def _candidates(logits: Logits, tokens: "np.ndarray | None" = None) -> "np.ndarray":
    ids = np.arange(logits.size) if tokens is None else tokens
    candidates = np.zeros(ids.size, dtype=_CANDIDATE)
    candidates["id"] = ids
    candidates["logit"] = logits[ids]
    return candidates


def _array(candidates: "np.ndarray") -> C.llama_token_data_array:
    data = candidates.ctypes.data_as(ctypes.POINTER(C.llama_token_data))
    return C.llama_token_data_array(data, candidates.size, -1, False)

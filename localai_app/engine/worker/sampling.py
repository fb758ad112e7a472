"""Which token comes next: llama.cpp's sampler chain, and a grammar checked after it.

A grammar inside the chain looks at the whole vocabulary at every token (20 ms for 262k entries).
Here the chain chooses first and the grammar is asked about that one token; only when it refuses are
the likeliest candidates filtered, and the whole vocabulary only when none of those may stand. A token
that was drawn, refused and drawn again from what is allowed has the same distribution as one drawn
from what is allowed.
"""

import ctypes
import weakref
from collections import deque
from collections.abc import Sequence

import llama_cpp.llama_cpp as C  # noqa: N812 - C is the library
import numpy as np

from localai_app.engine.protocol import Sampling
from localai_app.engine.worker.grammar import Candidates, Grammar, as_array, candidates_of
from localai_app.engine.worker.llama import Context, LlamaError, Logits, Vocabulary
from localai_app.engine.worker.schema import SchemaRefused, grammar_for

_TRIES = (256, 8192)
"""Likeliest candidates that the grammar filters before it is given the whole vocabulary."""


class Sampler:
    """The sampling state of one request."""

    def __init__(self, sampling: Sampling, vocabulary: Vocabulary) -> None:
        """Build the chain; raise `LlamaError` for a grammar or a schema that cannot be used."""
        self._vocabulary = vocabulary
        self._grammar = _grammar(sampling, vocabulary)
        self._chain = C.llama_sampler_chain_init(C.llama_sampler_chain_default_params())
        self._release = weakref.finalize(self, C.llama_sampler_free, self._chain)
        self._penalties = _penalties(sampling, vocabulary)
        self._counted: deque[int] = deque(maxlen=sampling.repeat_last_n if self._penalties else 0)
        """The tokens that the penalties count."""
        for part in [self._penalties, *_parts(sampling)]:
            if part is not None:
                C.llama_sampler_chain_add(self._chain, part)  # the chain owns what is added

    @property
    def incomplete(self) -> bool:
        """Whether a grammar asks for more than was said."""
        return self._grammar is not None and not self._grammar.may_end

    @property
    def closed(self) -> bool:
        """Whether the grammar is known to allow nothing more."""
        return self._grammar is not None and self._grammar.closed

    def sample(self, context: Context, row: int) -> int:
        """Choose the token after batch entry ``row`` and take note of it."""
        token = int(C.llama_sampler_sample(self._chain, context.pointer, row))
        if self._grammar is not None:
            if not self._grammar.allows(token):
                self._uncount()
                token = self._choose(self._grammar, context.logits(row))
                C.llama_sampler_accept(self._chain, token)
            self._grammar.accept(token)
        self._counted.append(token)
        return token

    def read(self, prompt: Sequence[int]) -> None:
        """Take note of the prompt's last tokens, which the penalties count too."""
        for token in prompt[-(self._counted.maxlen or 0) :] if self._counted.maxlen else ():
            self._counted.append(token)
            C.llama_sampler_accept(self._chain, token)

    def _uncount(self) -> None:
        """Let the penalties forget the last token, which the chain accepted and the grammar did not.

        The random numbers go on: the next choice must not be the same one.
        """
        if self._penalties is not None:
            C.llama_sampler_reset(self._penalties)
            for token in self._counted:
                C.llama_sampler_accept(self._penalties, token)

    def _choose(self, grammar: Grammar, logits: Logits) -> int:
        """The chain's choice among the tokens that the grammar allows."""
        endings = np.array(self._vocabulary.ending_tokens, dtype=np.int64)
        for count in (*_TRIES, logits.size):
            tokens = _likeliest(logits, count)
            if grammar.may_end:
                tokens = np.union1d(tokens, endings)
            allowed = grammar.filter(candidates_of(logits, tokens))
            if allowed.size:
                return self._apply_chain(allowed)
        raise LlamaError("the grammar allows no token of this vocabulary here")

    def _apply_chain(self, candidates: Candidates) -> int:
        array = as_array(candidates)
        C.llama_sampler_apply(self._chain, ctypes.byref(array))
        assert 0 <= array.selected < array.size, "a chain ends in a sampler that selects"
        return int(array.data[array.selected].id)


def _likeliest(logits: Logits, count: int) -> "np.ndarray":
    """The ``count`` tokens of the highest logits, and those that tie with the last."""
    if count >= logits.size:
        return np.arange(logits.size)
    return np.flatnonzero(logits >= np.partition(logits, -count)[-count])


def _grammar(sampling: Sampling, vocabulary: Vocabulary) -> Grammar | None:
    if sampling.grammar and sampling.json_schema:
        raise LlamaError("a grammar and a JSON schema exclude each other")
    if sampling.grammar:
        return Grammar(sampling.grammar, vocabulary, json=False)
    if not sampling.json_schema:
        return None
    try:
        return Grammar(grammar_for(sampling.json_schema), vocabulary, json=True)
    except SchemaRefused as error:
        raise LlamaError(str(error)) from None


def _penalties(sampling: Sampling, vocabulary: Vocabulary) -> object | None:
    values = (sampling.repeat_penalty, sampling.frequency_penalty, sampling.presence_penalty)
    if values == (1.0, 0.0, 0.0) or sampling.repeat_last_n <= 0:
        return None
    pointer: object = C.llama_sampler_init_penalties(vocabulary.size, sampling.repeat_last_n, *values)
    return pointer


def _parts(sampling: Sampling) -> list[object]:
    if sampling.temperature <= 0:
        return [C.llama_sampler_init_greedy()]
    parts: list[object] = []
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

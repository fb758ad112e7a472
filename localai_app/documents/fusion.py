"""Two rankings, by words and by meaning, made into one.

Each chunk's two scores are brought to the same scale, from 0 for what is nothing special to 1 for the best of
this search, and added, weighted by how far the model can be trusted with the chunk's language. Adding scores
keeps what ranks lose: that one passage stands far out. Where the model does not know a language, words alone
decide, and meaning only orders what they leave equal.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localai_app.models.embedding_facts import EmbeddingFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEANING = 1 / 3
"""Weight of meaning where the model knows the language; of words, the rest. From 0.25 to 0.35 recall hardly
changes (CUAD, TAT-QA, XQuAD-en; the weight was chosen on these)."""
UNKNOWN = 0.02
"""Weight of meaning where it does not."""
_WHOLE_WORDS, _FRAGMENTS = 1.6, 2.4
"""Tokens that a word is cut into on average: so few where a model was trained on the language, so many where
it was not."""


@dataclass(frozen=True)
class Fluency:
    """How well a model is told to know languages, and what its tokeniser makes of them."""

    facts: EmbeddingFacts
    fragments: dict[str, float]
    """Language → tokens to a word in the chunks that are here."""

    def trust(self, language: str) -> float:
        """Weight of meaning for text in ``language``."""
        known = self.facts.knows(language) if language else None
        if known is None:
            # Nobody said. A tokeniser cuts words that it never met into many pieces.
            fragments = self.fragments.get(language, _FRAGMENTS)
            share = min(max((_FRAGMENTS - fragments) / (_FRAGMENTS - _WHOLE_WORDS), 0.0), 1.0)
            return UNKNOWN + share * (MEANING - UNKNOWN)
        return MEANING if known else UNKNOWN


def fused(
    words: "NDArray[np.float64]",
    similarities: "NDArray[np.float32]",
    trust: "NDArray[np.float64]",
    ordinary: float,
) -> "NDArray[np.float64]":
    """The score of each candidate, from 0 to 1: ``words`` are scores by BM25, 0 where no word was found;
    ``ordinary`` is the similarity that any chunk has."""
    import numpy as np  # noqa: PLC0415 - the window starts without it

    best = max(float(similarities.max(initial=ordinary)) - ordinary, 1e-6)
    meaning = np.clip((similarities - ordinary) / best, 0.0, 1.0)
    scores: NDArray[np.float64] = (1.0 - trust) * words / max(
        float(words.max(initial=0.0)), 1e-9
    ) + trust * meaning
    return scores

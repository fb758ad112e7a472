"""Small models that copy may not find an end: they say the same sentence until their tokens are used up."""

from localai_app.documents.citing import without_markers
from localai_app.documents.quotes import units, words

_TIMES = 3
"""A sentence that stands so often is not said for a reason."""
_WORDS = 5
"""Shorter ones may recur: “Yes.”, “See above.”."""


def repeats_from(text: str) -> int | None:
    """Where ``text`` begins to go round in circles; None while it does not.

    That is where the second of three equal sentences begins, in whatever order others stand between them.
    Sentences are equal word for word, whatever they cite; the last one may not be whole yet and is left out.
    """
    starts: dict[tuple[str, ...], list[int]] = {}
    for start, end in units(text)[:-1]:
        said = tuple(word.folded for word in words(without_markers(text[start:end])))
        places = starts.setdefault(said, [])
        places.append(start)
        if len(said) >= _WORDS and len(places) == _TIMES:
            return places[1]
    return None

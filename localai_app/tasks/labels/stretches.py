"""A window in a few stretches of whole sentences, to find the one that says most."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from localai_app.documents.document import Passage
from localai_app.documents.exhaustive import Window
from localai_app.documents.quotes import Span, units


def stretches(window: Window, most: int, shortest: int) -> list[Passage]:
    """``window`` in about ``most`` passages at most, each of ``shortest`` characters or more where its page
    has them; none is of several pages."""
    least = max(sum(len(passage.text) for passage in window) // most, shortest)
    return [_part(passage, span) for passage in window for span in _spans(passage.text, least)]


def _spans(text: str, least: int) -> list[Span]:
    """All sentences of ``text``, together until they have ``least`` characters."""
    sentences: Sequence[Span] = units(text) or [(0, len(text))]
    cuts = [0]
    for at, (_, end) in enumerate(sentences[:-1], 1):
        if end - sentences[cuts[-1]][0] >= least and sentences[-1][1] - sentences[at][0] >= least // 2:
            cuts.append(at)
    return [
        (sentences[first][0], sentences[last - 1][1]) for first, last in pairwise([*cuts, len(sentences)])
    ]


def _part(passage: Passage, span: Span) -> Passage:
    start, end = span
    return replace(
        passage, start=passage.start + start, end=passage.start + end, text=passage.text[start:end]
    )

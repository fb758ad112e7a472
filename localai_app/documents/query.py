"""What a person asks, turned into what the index can look for. Every text is valid.

Words are looked for by their stems in each language that the documents are in; the words that only join
others are left out where there are any besides. What stands between quotation marks, and what is written
together (“ABC-123”, “§ 9(a)”, “e.g. j.doe@example.com”), counts as a whole as well as by its parts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localai_app.documents import languages

_MAX_CHARACTERS = 2_000
_MAX_WORDS = 64
_QUOTED = re.compile(r"[\"“”„«»「」『』]([^\"“”„«»「」『』]{2,200})[\"“”„«»「」『』]")


@dataclass(frozen=True)
class Query:
    """What to look for; every part is a sequence of the index's words."""

    words: tuple[tuple[str, ...], ...]
    """Any of them."""
    wholes: tuple[tuple[str, ...], ...]
    """Counted on top where they stand together."""
    quoted: tuple[tuple[tuple[str, ...], ...], ...]
    """What stood between quotation marks, each as it reads in each language: what holds it comes first."""
    language: str
    """Of the text; empty where it cannot be told."""


def parse(text: str, of_documents: Sequence[str]) -> Query:
    """The query in ``text`` for documents in these languages."""
    text = text[:_MAX_CHARACTERS].translate(_NEVER_WORDS)
    own = languages.language_of(text)
    spoken = list(of_documents) or [own]
    if own not in spoken and text.isascii():
        own = ""  # a few plain words look like many languages: “die hard” is not German among English texts
    words: dict[tuple[str, ...], None] = {}
    wholes: dict[tuple[str, ...], None] = {}
    tokens = [languages.tokens(word) for word in text.split()]
    meaning = [[token for token in some if not _joins(token, own, spoken)] for some in tokens]
    kept = meaning if any(meaning) else tokens
    left = _MAX_WORDS
    for some in kept:
        for token in some[: max(left, 0)]:
            for language in spoken:
                for term in languages.terms_of(token, language):
                    words[term,] = None
        left -= len(some)
    for some in tokens:
        if 1 < len(some) <= _MAX_WORDS:
            for language in spoken:
                whole = tuple(_terms(some, language))
                if len(whole) > 1:
                    wholes[whole] = None
    quoted = [
        tuple(dict.fromkeys(tuple(languages.terms(match[1], language)) for language in spoken))
        for match in _QUOTED.finditer(text)
    ]
    return Query(
        words=tuple(words),
        wholes=tuple(wholes)[:_MAX_WORDS],
        quoted=tuple(some for some in quoted if all(some)),
        language=own,
    )


def match(parts: Sequence[tuple[str, ...]]) -> str:
    """FTS5's expression for any of ``parts``; empty for none. Words of the index need no escaping."""
    return " OR ".join('"' + " ".join(part) + '"' for part in parts)


def match_all(groups: Sequence[Sequence[tuple[str, ...]]]) -> str:
    """FTS5's expression for one of each of ``groups``; empty for none."""
    return " AND ".join(f"({match(group)})" for group in groups)


def _terms(tokens: Sequence[str], language: str) -> Iterator[str]:
    for token in tokens:
        yield from languages.terms_of(token, language)


def _joins(token: str, own: str, spoken: Sequence[str]) -> bool:
    return any(languages.is_function_word(token, language) for language in ([own] if own else spoken))


_NEVER_WORDS = {0: " "}

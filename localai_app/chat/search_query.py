"""What a person types into the search field, turned into what SQLite can look for.

The full-text index knows words: runs of letters and digits between spaces and signs. Scripts that
are written without spaces have no such words, and a sign alone ("->") is none; these are looked
for letter by letter instead (LIKE), which reads every text and is slower.
"""

import re
import unicodedata
from dataclasses import dataclass

_MAX_CHARACTERS = 500
_MAX_WORDS = 16
# Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar: written without spaces or with spaces within words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_SNIPPET_BEFORE, _SNIPPET_AFTER = 40, 120
"""Characters around the first found word."""


@dataclass(frozen=True)
class SearchQuery:
    """``match`` for FTS5 (empty: nothing for it), and LIKE patterns (escape character ``\\``)."""

    words: tuple[str, ...]
    match: str
    like: tuple[str, ...]


def parse(text: str) -> SearchQuery | None:
    """The query in ``text``; None when there is nothing to look for. Every text is valid."""
    words = _clean(text[:_MAX_CHARACTERS]).split()[:_MAX_WORDS]
    if not words:
        return None
    indexed = [word for word in words if _is_in_index(word)]
    others = [word for word in words if not _is_in_index(word)]
    match = " ".join('"' + word.replace('"', '""') + '"' for word in indexed)
    # The last word may still be being typed.
    if indexed and indexed[-1] == words[-1]:
        match += "*"
    return SearchQuery(tuple(words), match, tuple(_like(word) for word in others))


def snippet(text: str, words: tuple[str, ...]) -> str:
    """The part of ``text`` around the first found word, on one line, words between \\x02 and \\x03."""
    flat = _clean(text)
    pattern = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)
    found = pattern.search(flat)
    start = max(0, found.start() - _SNIPPET_BEFORE) if found else 0
    end = start + _SNIPPET_BEFORE + _SNIPPET_AFTER
    part = pattern.sub(lambda match: f"\x02{match[0]}\x03", flat[start:end])
    return ("…" if start else "") + part + ("…" if end < len(flat) else "")


def _clean(text: str) -> str:
    """``text`` with control characters, line separators and halves of characters blanked."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)


def _is_in_index(word: str) -> bool:
    """Whether FTS5's unicode61 sees words in it: letters, digits or private use, and spaced."""
    return not _UNSPACED.search(word) and any(
        unicodedata.category(c)[0] in "LN" or unicodedata.category(c) == "Co" for c in word
    )


def _like(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"

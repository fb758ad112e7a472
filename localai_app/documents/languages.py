"""Which language a text is in, and the words by which it is found.

Words are looked up by their stems: “contracts” finds “contract”, «договоров» finds «договор». Scripts
without spaces between words are looked up by pairs of neighbouring characters. What a query becomes and
what a text became must agree, so an index records `analysis` and is made anew when that has changed.
"""

import re
import threading
import unicodedata
from collections import Counter
from functools import cache, lru_cache
from itertools import pairwise
from typing import Protocol

from localai_app.documents.function_words import FUNCTION_WORDS

LONGEST_WORD = 64
"""Characters of a word that count; the rest is cut off."""
_SAMPLE = 20_000
"""Characters from which a language is told."""
_FEW_LETTERS = 12
_ENOUGH_WORDS = 0.1
"""Share of a text's words that must be a language's most common ones."""

_STEMMERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish",
    "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil",
    "tr": "turkish",
}  # fmt: skip

# Written without spaces between words, or (Hangul) with endings grown to them.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
_UNSPACED_CHARACTER = f"[{_UNSPACED}]"
_TOKEN = (
    # 1,452.40 · 250.000 · 9.4.2: a number with what divides it.
    r"(?P<number>(?<![^\W_])\d+(?:[.,'’]\d+)+(?![^\W_]))"
    f"|(?P<unspaced>[{_UNSPACED}]+)"
    # Letters and digits, and an apostrophe between letters; marks belong to their letter.
    rf"|(?P<word>(?:(?![{_UNSPACED}_])[\w\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0900-\u0dff])+"
    rf"(?:['’](?:(?![{_UNSPACED}_])\w)+)*)"
)
_THIN_SPACE = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_AMOUNT_BY_COMMAS = re.compile(
    r"(\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?:['’]\d{3})+)(?:[.,](\d+))?"
)
_AMOUNT = re.compile(r"(\d{1,3}(?:[.'’]\d{3})+|\d{1,3}(?:,\d{3}){2,})(?:[.,](\d+))?")
_POINT_DIVIDES = frozenset(
    (
        *(
            "bg",
            "ca",
            "cs",
            "da",
            "de",
            "el",
            "es",
            "et",
            "eu",
            "fi",
            "fr",
            "hr",
            "hu",
            "id",
            "it",
            "lt",
            "nl",
        ),
        *("no", "pl", "pt", "ro", "ru", "sr", "sv", "tr", "uk", "vi"),
    )
)
"""Languages that write a thousand as 1.000 and a half as 0,5."""
_ELISION = re.compile(r"^(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|dell|all|nell|sull|dall|un|quell)['’](?=\w{2})")
_ELIDING = ("fr", "it", "ca")
_POSSESSIVE = re.compile(r"['’]s?$")

_SCRIPTS = (
    ("ja", "[\u3040-\u30ff]"),
    ("ko", "[\uac00-\ud7a3]"),
    ("zh", "[\u4e00-\u9fff]"),
    ("th", "[\u0e00-\u0e7f]"),
    ("lo", "[\u0e80-\u0eff]"),
    ("my", "[\u1000-\u109f]"),
    ("km", "[\u1780-\u17ff]"),
    ("el", "[\u0370-\u03ff\u1f00-\u1fff]"),
    ("he", "[\u0590-\u05ff]"),
    ("hy", "[\u0530-\u058f]"),
    ("ka", "[\u10a0-\u10ff]"),
    ("ta", "[\u0b80-\u0bff]"),
    ("bn", "[\u0980-\u09ff]"),
    ("te", "[\u0c00-\u0c7f]"),
    ("gu", "[\u0a80-\u0aff]"),
)
_STEMMING = threading.Lock()
"""A stemmer of the library keeps the word that it works on."""
_WORD = re.compile(r"[^\W\d_]+(?:[\u0900-\u0dff]+[^\W\d_]*)*")


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802 - the library's name


@cache
def analysis() -> str:
    """How texts become words; with any other, an index cannot be searched or corrected."""
    from importlib.metadata import version  # noqa: PLC0415 - the window starts without it

    return f"1, snowball {version('snowballstemmer')}, unicode {unicodedata.unidata_version}"


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """These take milliseconds to compile, which the start of the window need not wait for."""
    return re.compile(pattern)


# ---------------------------------------------------------------- which language


def language_of(text: str) -> str:
    """ISO 639-1 code of the language that most of ``text`` is in; empty where it cannot be told."""
    sample = text if len(text) <= _SAMPLE else text[:: len(text) // _SAMPLE + 1] + text[:_SAMPLE]
    letters = sum(map(str.isalpha, sample)) or 1
    for language, script in _SCRIPTS:
        # A line of Kana tells Japanese from Chinese; a word of Greek does not make a text Greek.
        share = len(_compiled(script).findall(sample)) / letters
        if share > (0.05 if language == "ja" else 0.3):
            return language
    words = Counter(_WORD.findall(text[:_SAMPLE].casefold()))
    total = sum(words.values())
    if sum(len(word) * times for word, times in words.items()) < _FEW_LETTERS:
        return ""
    hits = {
        language: sum(times for word, times in words.items() if word in common)
        for language, common in FUNCTION_WORDS.items()
    }
    best = max(hits, key=lambda language: hits[language])
    return best if hits[best] >= _ENOUGH_WORDS * total else ""


def is_function_word(word: str, language: str) -> bool:
    """Whether ``word`` only joins other words in ``language``: “the”, “what”, «und»."""
    return word.casefold() in FUNCTION_WORDS.get(language, ())


# ---------------------------------------------------------------- words


def terms(text: str, language: str) -> list[str]:
    """The words of ``text`` as an index knows them, in their order; made of letters and digits alone."""
    return [term for token in tokens(text) for term in terms_of(token, language)]


def tokens(text: str) -> list[str]:
    """The words and numbers of ``text`` as they stand there; a stretch without spaces is one."""
    text = _THIN_SPACE.sub("'", text)  # else it would become a plain space
    return [match[0] for match in _compiled(_TOKEN).finditer(unicodedata.normalize("NFKC", text))]


def length(text: str) -> int:
    """How many words ``text`` has; of scripts without spaces, two characters are about one."""
    return sum(max(len(token) // 2, 1) if _is_unspaced(token) else 1 for token in tokens(text))


def terms_of(token: str, language: str) -> list[str]:
    """What one of `tokens` is looked up by."""
    if _is_unspaced(token):
        return [token] if len(token) == 1 else [a + b for a, b in pairwise(token)]
    if token[0].isdigit() and not token.isalnum():
        return [_number(token, language)]
    return list(_stems(token, language))


def _is_unspaced(token: str) -> bool:
    return token[0] >= "\u0e00" and _compiled(_UNSPACED_CHARACTER).match(token) is not None


def _number(token: str, language: str) -> str:
    """“1,452.40”, «1.452,40» → 1452d40: an amount reads the same however its thousands are divided."""
    match = (_AMOUNT if language in _POINT_DIVIDES else _AMOUNT_BY_COMMAS).fullmatch(token)
    if match:
        token = re.sub(r"\D", "", match[1]) + (f"d{match[2]}" if match[2] else "")
    return _digits(re.sub(r"\D", "d", token))


@lru_cache(maxsize=65_536)
def _stems(token: str, language: str) -> tuple[str, ...]:
    word = token.casefold()
    if language in _ELIDING:
        word = _ELISION.sub("", word)
    word = _POSSESSIVE.sub("", word)
    if any(character.isdigit() for character in word):
        stem = _digits(word)
    else:
        with _STEMMING:
            stemmer = _stemmer(language)
            stem = stemmer.stemWord(word[:LONGEST_WORD]) if stemmer else word
    if stem.isascii() and stem.isalnum():
        return (stem[:LONGEST_WORD],)
    plain = "".join(c for c in unicodedata.normalize("NFKD", stem) if _is_kept(c))[:LONGEST_WORD]
    return (plain,) if plain else ()


def _is_kept(character: str) -> bool:
    """Letters, digits, and the vowel signs of Indic scripts; accents and Arabic vowels are not."""
    if character.isalnum():
        return True
    return unicodedata.category(character)[0] == "M" and unicodedata.combining(character) in (0, 7, 9)


@lru_cache
def _stemmer(language: str) -> _Stemmer | None:
    import snowballstemmer  # noqa: PLC0415 - the window starts without it

    name = _STEMMERS.get(language)
    stemmer: _Stemmer | None = snowballstemmer.stemmer(name) if name else None
    return stemmer


def _digits(text: str) -> str:
    """``text`` with every script's digits as 0 to 9."""
    return "".join(str(unicodedata.digit(c, c)) for c in text)

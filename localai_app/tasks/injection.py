"""Passages of a document that look like instructions to a model.

What is flagged is shown to the person, never deleted: the app's defence is that a document stands between
fences as data, that schemas and labels bind the model, and that values are looked up on the page. A flag
says where to look. It is given for the manners of speaking in `injection_phrases`, for templates' own
tokens, for orders in text that a reader cannot see, and for text that is smuggled past the eye: characters
without a shape, base64, hexadecimal.

A document without a flag is not shown to be harmless: whoever avoids these manners of speaking is not found.
"""

import base64
import itertools
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from localai_app.documents.document import MarkKind, Page, Passage
from localai_app.documents.exhaustive import whole_page
from localai_app.documents.quotes import Span, separate, units
from localai_app.tasks.injection_phrases import Phrase, orders_in_hiding, phrases
from localai_app.tasks.task import Evidence, Source

_MOST_PER_DOCUMENT = 200
"""Flags that are kept: a document that is nothing else says no more with the next."""
_LONGEST = 600
"""Characters of one flag's quotation."""
_DEPTH = 2
"""Codes inside codes that are followed."""
_READABLE = 0.75
"""Share of decoded bytes that letters and spaces take up where they are text."""


def flags(source: Source) -> tuple[Evidence, ...]:
    """The passages of all pages that look like instructions to a model, in their order.

    ``verified`` is True of all: the words stand there. What they are meant as is for the reader to judge.
    """
    found: list[Evidence] = []
    for page in source.pages:
        place = whole_page(source.document, page).place
        for start, end in spans(page):
            if len(found) == _MOST_PER_DOCUMENT:
                return tuple(found)
            found.append(Evidence(page.number, place, start, end, page.text[start:end]))
    return tuple(found)


def stand_in(passage: Passage, flagged: Sequence[Evidence]) -> bool:
    """Whether any of ``flagged`` stands in ``passage``."""
    return any(
        one.page == passage.page and one.start < passage.end and passage.start < one.end for one in flagged
    )


def spans(page: Page) -> list[Span]:
    """Where such passages stand on ``page``, in order; whole sentences where they are not too long."""
    text = page.text
    if not text.strip():
        return []
    hits = [*_spoken(text, phrases()), *_unseen(text), *_encoded(text)]
    for mark in page.marks:
        if mark.kind is MarkKind.HIDDEN:
            hidden = text[mark.start : mark.end]
            hits += [(mark.start + a, mark.start + b) for a, b in _spoken(hidden, orders_in_hiding())]
    return separate([_around(hit, text) for hit in hits], text) if hits else []


def looks_like_an_instruction(text: str) -> bool:
    """Whether ``text`` by itself would be flagged."""
    return bool(spans(Page(number=1, text=text)))


# ---------------------------------------------------------------- folding


@dataclass(frozen=True)
class Folded:
    """A text as the patterns read it, and where each of its characters comes from."""

    text: str
    at: Sequence[int]
    """``at[i]`` is the place of ``text[i]`` in the original; one more for the end."""

    def span(self, start: int, end: int) -> Span:
        """``text[start:end]`` in the original."""
        return self.at[start], self.at[end - 1] + 1


_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u043a\u043c\u0442\u0432\u043d\u0501"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03b5\u0131\u0261",
    "aeopcyxijskmtbhdaopviktueig",
)
"""Cyrillic and Greek letters that are taken for Latin ones."""
_FOREIGN = re.compile("[\u0370-\u03ff\u0430-\u052f\u0131\u0261]")
_LATIN = re.compile("[a-z]")
_MIXED = re.compile("[a-z\u0370-\u03ff\u0430-\u052f\u0131\u0261]+")
_QUOTES = dict.fromkeys("‘’‚‛´`", "'") | dict.fromkeys("“”„‟«»", '"')
_DIVIDED = re.compile(r"(?<=[^\W\d_])[-\u2010]\n[^\S\n]*(?=[a-z])")
_SPACED_OUT = re.compile(r"(?<!\w)(?:[^\W\d_][ .\-_*]{1,3}){10,}[^\W\d_](?!\w)")


def folded(text: str, *, joins: bool = True) -> Folded:
    """``text`` in lower case, without accents, invisible characters and look-alikes; ``joins``: words that a
    line's end divides are put together."""
    if text.isascii():
        plain, at = text.lower(), list(range(len(text) + 1))
    else:
        plain, at = _without_marks(text)
        if _FOREIGN.search(plain):
            plain = _MIXED.sub(_as_latin, plain)
    dropped = [match.span() for match in _DIVIDED.finditer(plain)] if joins else []
    gone = {place for start, end in dropped for place in range(start, end)}
    for spaced in _SPACED_OUT.finditer(plain):
        gone |= {place for place in range(*spaced.span()) if not plain[place].isalpha()}
    if gone:
        kept = [place for place in range(len(plain)) if place not in gone]
        return Folded("".join(plain[place] for place in kept), [*(at[place] for place in kept), at[-1]])
    return Folded(plain, at)


def _without_marks(text: str) -> tuple[str, list[int]]:
    characters: list[str] = []
    at: list[int] = []
    for place, character in enumerate(text):
        plain = _plain(character)
        characters.append(plain)
        at.extend([place] * len(plain))
    return "".join(characters), [*at, len(text)]


@cache
def _plain(character: str) -> str:
    """What a character is read as: nothing where it has no shape of its own."""
    if character in _QUOTES:
        return _QUOTES[character]
    plain = unicodedata.normalize("NFKC", character).casefold()
    if character < "\u0590" or "\u1e00" <= character < "\u2000":  # not Hangul, not kana
        plain = unicodedata.normalize("NFD", plain)
    return "".join(one for one in plain if unicodedata.category(one) not in ("Cf", "Mn", "Me"))


def _as_latin(match: re.Match[str]) -> str:
    word = match[0]
    return word.translate(_ALIKE) if _LATIN.search(word) else word


# ---------------------------------------------------------------- orders

_LOOK_BACK = 300
_SENTENCE_END = re.compile(
    r"[.!?;](?=\s)|[。!?]|\n\s*\n|(?<![\w,])\n|(?:(?<=\n)|^)[^\n]{0,39}\n"  # a line that is not merely full
)
_DUTY = re.compile(r"\b(?:shall|must|may|will|agrees)\b")
_BEFORE_AN_ORDER = re.compile(
    r"(?:^|[^\w\s]|\b(?:please|kindly|now|then|and|or|but|so|just|simply|first|instead|also|immediately|"
    r"completely|always|only|hereby|important|stop|ok|okay|hello|hi|"
    r"you (?:must|should|will|shall|have to|need to|are to|can)|"
    r"(?:you|sure|remember|asked|instructed|required|told) to|"
    r"bitte|jetzt|nun|und|sofort|stattdessen|aber|also|dann|"
    r"maintenant|svp|et|alors|puis|plutot|toujours|il faut|"
    r"ahora|por favor|favor de|y|entonces|siempre|debes|hay que|"
    r"ora|adesso|per favore|e|poi|quindi|sempre|devi|agora|nu|en|alsjeblieft|dan))\s*$"
)
_TOLD_OF_SOMEBODY = re.compile(
    r"\b(?:shall|may|will|must|can|cannot|could|would|should|might|has|have|had|is|are|was|were|agrees?|"
    r"undertakes?|does|did|to the extent|kann|muss|darf|wird|werden|soll|sollte|hat|ist|sind|war|"
    r"peut|doit|doivent|peuvent|a|ont|est|sont|puede|pueden|debe|deben|es|son|ha|han|"
    r"puo|deve|devono|possono|sono|hanno|pode|devem|kan|moet|zal)\b"
)
_SPOKEN_TO = re.compile(
    r"\b(?:you|your|ai|llm|model|assistant|chatbot|bot|gpt|chatgpt|du|dein\w*|sie|ki|modell|assistent|"
    r"tu|vous|ia|modele|usted|modelo|asistente|assistente|voi|modello)\b"
)


def _spoken(text: str, wanted: Sequence[Phrase]) -> Iterator[Span]:
    """Where ``text`` speaks so."""
    readings = [folded(text), folded(text, joins=False)]
    if len(readings[0].text) == len(readings[1].text):
        del readings[1]
    # A hyphen before an order's line must not make one word of the two.
    for plain, phrase in itertools.product(readings, wanted):
        for match in phrase.pattern.finditer(plain.text):
            if not phrase.order or _is_order(plain.text, match.start()):
                yield plain.span(*match.span())


def _is_order(text: str, at: int) -> bool:
    """Whether a verb at ``at`` orders something, instead of telling what somebody does or has to do."""
    before = text[max(at - _LOOK_BACK, 0) : at]
    before = before[max((end.end() for end in _SENTENCE_END.finditer(before)), default=0) :]
    lead, colon, rest = before.rpartition(":")
    if colon and not _DUTY.search(lead):
        before = rest
    if not before.strip():
        return True
    if not _BEFORE_AN_ORDER.search(before):
        return False
    return not _TOLD_OF_SOMEBODY.search(before) or bool(_SPOKEN_TO.search(before))


# ---------------------------------------------------------------- past the eye

_SHAPELESS = re.compile(
    "[\u200b-\u200f\u2060-\u2064\u180e\ufeff]{8,}"  # letters written in ones and zeros
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}"  # bytes written as variation selectors
)
_TAGS = re.compile("(?<![\U000e0020-\U000e007e\U0001f3f4])[\U000e0020-\U000e007f]{2,}")
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}(?:\r?\n[A-Za-z0-9+/_-]{20,})*"
    r"(?:\r?\n[A-Za-z0-9+/_-]{1,19}(?![A-Za-z0-9+/_-]))?={0,2}"
)
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:(?:\\x|0x|%)?[0-9A-Fa-f]{2}[ ]?){20,}")


def _unseen(text: str) -> Iterator[Span]:
    """Runs of characters that have no shape, which no script needs so many of."""
    if text.isascii():
        return
    for pattern in (_SHAPELESS, _TAGS):
        for match in pattern.finditer(text):
            yield match.span()


def _encoded(text: str, depth: int = 1) -> Iterator[Span]:
    """Base64 and hexadecimal that reads as an instruction."""
    for pattern, decode in ((_BASE64, _from_base64), (_HEX, _from_hex)):
        for match in pattern.finditer(text):
            inside = decode(match[0])
            if inside and (
                any(_spoken(inside, phrases()))
                or any(_spoken(inside, orders_in_hiding()))
                or (depth < _DEPTH and any(_encoded(inside, depth + 1)))
            ):
                yield match.span()


def _from_base64(code: str) -> str:
    code = re.sub(r"[\s=]", "", code).replace("-", "+").replace("_", "/")
    code = code[: len(code) - (len(code) % 4 == 1)]
    return _as_text(base64.b64decode(code + "=" * (-len(code) % 4)))


def _from_hex(code: str) -> str:
    digits = re.sub(r"\\x|0x|[% ]", "", code)
    return _as_text(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _as_text(raw: bytes) -> str:
    """``raw`` as the text it is; empty where it is none."""
    text = raw.decode(errors="ignore")
    readable = sum(len(one.encode()) for one in text if one.isalpha() or one.isspace())
    return text if readable > _READABLE * len(raw) else ""


# ---------------------------------------------------------------- what is shown


def _around(hit: Span, text: str) -> Span:
    """The sentences that ``hit`` touches; the hit itself, with a little around it, where they are long."""
    start, end = hit
    sentences = units(text[max(start - _LONGEST, 0) : end + _LONGEST])
    offset = max(start - _LONGEST, 0)
    ends = [offset + last for _, last in sentences]
    first = bisect_left(ends, start + 1)
    last = min(bisect_left(ends, end), len(sentences) - 1)
    if first <= last:
        whole = min(offset + sentences[first][0], start), max(ends[last], end)
        if whole[1] - whole[0] <= _LONGEST:
            return whole
    return max(start - 80, 0), min(max(end, start + 1), start + _LONGEST)

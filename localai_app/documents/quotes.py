"""Whether words stand on a page: mechanically, word by word.

Two texts are compared as sequences of `Word`. White space, the forms of quotation marks, apostrophes and
hyphens, ligatures, soft hyphens, a word's division at a line's end and punctuation make no difference;
everything else does. A number is one word with all its digits, separators and sign (``1,000`` is neither
``1000`` nor part of ``21,000``), and so is each currency, percent and comparison sign. In scripts without
spaces every character is a word, half as heavy.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from localai_app.documents.document import CELL
from localai_app.documents.function_words import FUNCTION_WORDS
from localai_app.documents.sentences import sentences

Span = tuple[int, int]

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_INSIDE = "\u00ad\u200b-\u200d\u2060\u0300-\u036f"
"""Combining accents, and characters that nobody sees."""
_WORD = (
    rf"(?P<number>(?:(?<![\w)%])[-\u2212\u2013])?\d(?:[\d{_INSIDE}]|[.,'’\u00a0\u2009\u202f](?=\d))*)"
    rf"|(?P<sign>[%‰°§<>≤≥≠±=]|[$¢-¥₠-⃀])"
    rf"|(?P<unspaced>[{_UNSPACED}])"
    rf"|(?P<word>(?:(?![{_UNSPACED}])[^\W_])"
    rf"(?:(?![{_UNSPACED}])[^\W_]|[{_INSIDE}]|['’](?=[^\W\d_])|[-\u2010]\s*\n\s*(?=[a-zß-ÿа-я]))*)"
)
_NOT_SHOWN = re.compile("[\u00ad\u200b-\u200d\u2060]|[-\u2010]\\s*\n\\s*")
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}


def _set(table: str) -> frozenset[str]:
    return frozenset(table.split())


# Words that may differ where nothing else does. Not those that mean more in another language (“a”, “die”).
_ARTICLES = _set(
    "the an der das ein eine einen einem einer eines le les une el los las il gli um uma het een"
)
_WEIGHTLESS = frozenset[str]().union(*FUNCTION_WORDS.values())
_NEGATIONS = _set(
    "no not none never neither nor without cannot nothing nobody "
    "nicht kein keine keinen keinem keiner keines nie niemals weder ohne nichts niemand "
    "ne pas non jamais sans aucun aucune rien ni sin nunca jamás nada ningún ninguna "
    "senza mai nessun nessuna não nem sem nenhum nenhuma niet geen nooit zonder "
    "не нет ни без никогда никто ничего 不 没 沒 未 非 无 無 莫 别 لا لم لن ليس ليست غير بدون"
)
_BARE_ANSWERS = _set(
    "yes no true false none ja nein wahr falsch keine oui non vrai faux sí si verdadero falso sim não vero "
    "да нет верно неверно 是 否 不 نعم لا"
)

_ENOUGH = 4
"""Words that a quotation, or a copy with slips, must have; fewer say too little."""
_COPIED = 0.6
"""Share of a copy's words that must stand in one run: the others are slips."""
_CLAUSE = 4
"""Words from which on a text says something that a negation can turn."""


@dataclass(frozen=True, slots=True)
class Word:
    """``text[start:end]``, as it is compared."""

    exact: str
    folded: str
    """Whatever its case, without an English genitive."""
    start: int
    end: int
    weight: float
    """How much of a content it has: 0 for what is a function word in any language, 1/2 for a character of a
    script without spaces."""
    is_number: bool
    is_article: bool


@cache
def _word_pattern() -> re.Pattern[str]:
    return re.compile(_WORD)  # takes milliseconds: not when the window starts


def words(text: str) -> list[Word]:
    """The words of ``text`` in order."""
    return [_word(match) for match in _word_pattern().finditer(text)]


def _word(match: re.Match[str]) -> Word:
    exact = match[0]
    if not exact.isascii() or "\n" in exact:
        exact = unicodedata.normalize("NFC", _NOT_SHOWN.sub("", exact).translate(_LIGATURES))
        exact = exact.replace("’", "'").replace("\u2212", "-").replace("\u2013", "-")
    folded = exact.casefold().removesuffix("'s")
    kind = match.lastgroup
    return Word(
        exact,
        folded,
        match.start(),
        match.end(),
        weight=0.5 if kind == "unspaced" else float(kind != "word" or folded not in _WEIGHTLESS),
        is_number=kind in ("number", "sign"),
        is_article=folded in _ARTICLES,
    )


# ---------------------------------------------------------------- sentences

_ROW = re.compile(rf"^[^\n]*{re.escape(CELL)}[^\n]*", re.MULTILINE)  # a line is looked at once
_ITEM = re.compile(r"\n(?=\s*(?:[-*•]|\d+[.)])\s)")


def units(text: str) -> list[Span]:
    """Spans of sentences, table rows and list items, in order; what divides them is in none."""
    spans: list[Span] = []
    start = 0
    for row in [*_ROW.finditer(text), None]:
        end = row.start() if row else len(text)
        for item_start, item_end in _divided(_ITEM, text, start, end):
            for first, last in sentences(text[item_start:item_end]):
                spans.append((item_start + first, item_start + last))
        if row:
            spans.append(row.span())
            start = row.end()
    return spans


def _divided(gap: re.Pattern[str], text: str, start: int, end: int) -> Iterator[Span]:
    for match in gap.finditer(text, start, end):
        yield start, match.start()
        start = match.end()
    yield start, end


# ---------------------------------------------------------------- finding words


class PageText:
    """A stretch of a page, ready to be searched for words again and again.

    Words inside ``deleted`` spans are passed over: a tracked change took them out.
    """

    def __init__(self, text: str, deleted: Sequence[Span] = ()) -> None:
        self.text = text
        self.words = [
            word
            for word in words(text)
            if not any(start <= word.start and word.end <= end for start, end in deleted)
        ]
        self.units = units(text)
        self._starts = [word.start for word in self.words]
        self._bare = [word for word in self.words if not word.is_article]
        self._places: dict[str, list[int]] = {}
        for at, word in enumerate(self._bare):
            self._places.setdefault(word.folded, []).append(at)

    def within(self, span: Span) -> list[Word]:
        """The words of ``text[span]``."""
        return self.words[bisect_left(self._starts, span[0]) : bisect_left(self._starts, span[1])]

    def occurrences(self, wanted: Sequence[Word], *, case: bool) -> Iterator[Span]:
        """Where ``wanted`` stand one after another, articles aside; in any case unless ``case``."""
        bare = [word for word in wanted if not word.is_article]
        if not bare:
            return
        for at in self._places.get(bare[0].folded, ()):
            found = self._bare[at : at + len(bare)]
            if len(found) == len(bare) and all(
                mine.exact == theirs.exact if case else mine.folded == theirs.folded
                for mine, theirs in zip(found, bare, strict=True)
            ):
                yield found[0].start, found[-1].end

    def units_over(self, span: Span) -> Span:
        """The whole sentences that ``span`` touches."""
        first = max(bisect_right([start for start, _ in self.units], span[0]) - 1, 0)
        last = bisect_left([end for _, end in self.units], span[1])
        return self.units[first][0], self.units[min(last, len(self.units) - 1)][1]

    def holds(self, copied: Sequence[Word]) -> Span | None:
        """The sentences that ``copied`` is a copy of, word for word."""
        return next((self.units_over(span) for span in self.occurrences(copied, case=False)), None)

    def resembles(self, wanted: Sequence[Word]) -> tuple[float, Span] | None:
        """The sentences that ``wanted`` is a copy of with slips, and the share of it that is there in a run.

        None where that is too little for it to be a copy.
        """
        run = _longest_run(wanted, self.words)
        if run is None or run[1] - run[0] < max(_ENOUGH, len(wanted) * _COPIED):
            return None
        found = self.words[run[0] : run[1]]
        return len(found) / len(wanted), self.units_over((found[0].start, found[-1].end))


def _longest_run(wanted: Sequence[Word], there: Sequence[Word]) -> Span | None:
    """The heaviest run of words that stands in both, as indices into ``there``."""
    best: tuple[float, int, Span | None] = (0.0, 0, None)
    before: dict[int, tuple[float, int]] = {}
    places: dict[str, list[int]] = {}
    for at, word in enumerate(there):
        places.setdefault(word.folded, []).append(at)
    for word in wanted:
        now = {}
        for at in places.get(word.folded, ()):
            weight, length = before.get(at - 1, (0.0, 0))
            now[at] = (weight + word.weight, length + 1)
            if now[at] > best[:2]:
                best = (*now[at], (at - length, at + 1))
        before = now
    return best[2]


# ---------------------------------------------------------------- verifying


@dataclass(frozen=True)
class Support:
    """What of a stretch of a page a statement rests on."""

    span: Span
    verified: bool


_QUOTED = re.compile(r"“([^“”]+)”|„([^„“”]+)[“”]|«([^«»]+)»|「([^「」]+)」|(?<!\w)\"([^\"\n]+)\"(?!\w)")
_LEFT_OUT = re.compile(r"\[?(?:…|\.\.\.)\]?")


def support(statement: str, page: PageText, question: str = "") -> Support | None:
    """The sentences of ``page`` that ``statement`` rests on; None when the two share no content.

    ``verified`` is True only if all of this holds:

    1. Either all words of the statement stand in ``page`` one after another; or half of its content is in
       quoted strings that do, case kept (where “…” leaves words out, each part does, in order), and these
       have four words or all of the content. Only articles may differ.
    2. Every quoted string of the statement stands there so. Every number and sign of the statement, and every
       name (a word with a capital that does not begin it), stands in the sentences that hold these words.
    3. Either both the statement and these sentences have a negation, or neither; a statement of fewer than
       four words is a name or a figure, which is not asked.

    A bare yes or no, or a statement of function words, is never verified: it has no words of the page. What
    this cannot see is whether the page's words mean what the statement makes of them: that is for the
    reader, who is shown both.
    """
    said = words(statement)
    weight = sum(word.weight for word in said)
    if not weight or not page.words:
        return None
    quoted = _quotations(statement)
    if spans := _verbatim(said, quoted, page):
        asked = {word.folded for word in words(question) if word.weight}
        # The words may stand in several places: the one that speaks of what was asked is meant.
        best = max(spans, key=lambda span: len(asked & {word.folded for word in page.within(span)}))
        return Support(best, verified=True)
    wanted = {word.folded: word.weight for word in said if word.weight}
    shares = {
        span: sum(wanted.get(key, 0.0) for key in {word.folded for word in page.within(span)})
        for span in page.units
    }
    closest = max(shares, key=lambda span: shares[span])
    return Support(closest, verified=False) if shares[closest] else None


def _verbatim(said: Sequence[Word], quoted: Sequence[Sequence[Word]], page: PageText) -> list[Span]:
    """The sentences of ``page`` in which the statement stands, by the rule of `support`."""
    if {word.folded for word in said if word.weight} <= _BARE_ANSWERS:
        return []
    quotation = _cover(quoted, page)
    if quoted and quotation is None:
        return []
    spans = list(page.occurrences(said, case=False))
    if quotation and _is_enough([word for part in quoted for word in part], said):
        spans.append(quotation)
    whole = dict.fromkeys(page.units_over(span) for span in spans)
    return [span for span in whole if _agrees(said, page.within(span))]


def _is_enough(quoted: Sequence[Word], said: Sequence[Word]) -> bool:
    """Whether a statement rests on what it quotes: half its content, and four words or all content."""
    part, total = sum(word.weight for word in quoted), sum(word.weight for word in said)
    length = sum(word.weight or 1.0 for word in quoted)
    return part >= total / 2 and (length >= _ENOUGH or part == total)


def _agrees(said: Sequence[Word], there: Sequence[Word]) -> bool:
    """Whether numbers, names and negations of the statement are those of the page's sentences."""
    exact, folded = {word.exact for word in there}, {word.folded for word in there}
    return (
        all(word.exact in exact for word in said if word.is_number)
        and all(word.folded in folded for word in said[1:] if word.exact[:1].isupper())
        and (len(said) < _CLAUSE or any(map(negates, said)) == any(map(negates, there)))
    )


def negates(word: Word) -> bool:
    """Whether it denies what follows: “not”, «kein», «без»."""
    return word.folded in _NEGATIONS or word.folded.endswith("n't")


def _quotations(statement: str) -> list[list[Word]]:
    """The words of each quoted string, in parts where it leaves some out."""
    strings = (next(filter(None, match.groups())) for match in _QUOTED.finditer(statement))
    parts = (words(part) for string in strings for part in _LEFT_OUT.split(string))
    return [part for part in parts if any(word.weight for word in part)]


def _cover(quoted: Sequence[Sequence[Word]], page: PageText) -> Span | None:
    """From the first to the last word of the quotations on the page, in order; None if one is not there."""
    best: Span | None = None
    if not quoted:
        return None
    for first in page.occurrences(quoted[0], case=True):
        end = first[1]
        for part in quoted[1:]:
            later = next((span for span in page.occurrences(part, case=True) if span[0] >= end), None)
            if later is None:
                break
            end = later[1]
        else:
            if best is None or end - first[0] < best[1] - best[0]:
                best = first[0], end
    return best


def separate(spans: Sequence[Span], text: str) -> list[Span]:
    """``spans`` in order, those that overlap or have only white space between them made one."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and (start <= joined[-1][1] or not text[joined[-1][1] : start].strip()):
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def overlap(question: str, text: str) -> float:
    """Share of the question's content words that stand in ``text``."""
    wanted = {word.folded: word.weight for word in words(question) if word.weight}
    there = {word.folded for word in words(text)}
    return sum(weight for key, weight in wanted.items() if key in there) / max(sum(wanted.values()), 1)

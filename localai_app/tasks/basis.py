"""Which sentences of a document a statement of the model rests on, and what of it stands in none.

A model that sums up uses words of its own, so a statement is not looked for word for word. Its content is:
each content word by its stem, and above all its numbers, names and negations, which a paraphrase has no
business to change. The app finds the sentences that hold most of them. That costs the model nothing, and no
model has to be believed in it. What it cannot see is whether the sentences mean what the statement makes of
them: that is for the reader, who is shown both.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import log

from localai_app.documents import languages
from localai_app.documents.document import MarkKind, Page, Passage, TextSource
from localai_app.documents.quotes import Span, Word, negates, separate, words
from localai_app.tasks import quoting
from localai_app.tasks.task import Doubt, Evidence, Source

ENOUGH = 0.6
"""Share of a statement's content that must stand in its sentences."""
_SENTENCES = 3
"""That a statement is put down to, at most."""
_WORTH_ADDING = 0.15
"""Share of a statement's content that a further sentence must bring."""
_CERTAIN = 2.0
"""How many common words a number or a name counts as: it tells the place better."""
_ASKED, _PREFERRED = 0.1, 0.05
"""What a word of the question, or having been named by the model, counts for between like sentences."""
_RECOGNISED = 0.8
"""Confidence below which a recognised page is looked at again."""
_TITLE = 0.6
"""Share of capitals in a line that is written like a title: there they tell no names."""
_NOUNS_HAVE_CAPITALS = frozenset({"de", "lb"})
_HALF = 0.5
_SHORT, _LONGEST = 4, 400
"""Content words that a main sentence has at least; its characters, at most."""
_BESIDE = 1
"""Sentences before and after another that speak of the same."""
_SHOWN = 5
"""Missing words that a doubt names."""


@dataclass(frozen=True)
class Basis:
    """What a statement rests on."""

    evidence: tuple[Evidence, ...]
    """In page order; `Evidence.verified` as `verified`."""
    share: float
    """Of the statement's content that stands there."""
    missing: tuple[str, ...] = ()
    """Its numbers and names that stand nowhere on these pages."""
    turned: str = ""
    """The word that one of the two denies and the other does not; empty for none."""
    apart: tuple[str, ...] = ()
    """Its numbers that stand with something else, away from what the rest of it stands with."""

    @property
    def verified(self) -> bool:
        """Whether its numbers, names and negations, and most of its other words, stand there."""
        return self.share >= ENOUGH and not (self.missing or self.turned or self.apart)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What a person should look at."""
        where = " or ".join(dict.fromkeys(one.place for one in self.evidence))
        found = []
        if self.missing:
            found.append(Doubt("not_verified", f"Not on {where}: {_named(self.missing)}."))
        if self.apart:
            found.append(Doubt("not_verified", f"Stands there with something else: {_named(self.apart)}."))
        if self.turned:
            found.append(Doubt("not_verified", f"“{self.turned}” is denied here or on {where}, not on both."))
        if not found and not self.verified:
            found.append(Doubt("not_verified", f"Only some of its words stand on {where}."))
        return tuple(found)

    @property
    def confidence(self) -> float:
        """0 to 1, for the order of review."""
        return self.share if self.verified else self.share / 2


@dataclass(frozen=True)
class _Sentence:
    """``passage.text[span]``."""

    passage: Passage
    span: Span
    words: tuple[Word, ...]
    terms: frozenset[str]
    content: frozenset[str]
    """Those of content words."""

    def stands_in(self, evidence: Iterable[Evidence]) -> bool:
        start, end = (self.passage.start + place for place in self.span)
        return any(
            one.page == self.passage.page and one.start <= start and end <= one.end for one in evidence
        )


class Text:
    """Passages of a document, ready to have statements put down to their sentences."""

    def __init__(self, source: Source, passages: Sequence[Passage]) -> None:
        self._source = source
        self._passages = passages
        self._language = source.document.language

    @classmethod
    def together(cls, source: Source, texts: Iterable["Text"]) -> "Text":
        """The passages of all of ``texts``."""
        return cls(source, list(dict.fromkeys(passage for text in texts for passage in text._passages)))

    def content(self, statement: str) -> frozenset[str]:
        """The content words of ``statement``, by what they are compared by."""
        return self._content(words(statement))

    def basis(
        self,
        statement: str,
        *,
        question: str = "",
        preferred: Sequence[Evidence] = (),
        only: Sequence[Evidence] = (),
        in_one_place: bool = False,
    ) -> Basis | None:
        """The sentences that hold most of ``statement``; None when none shares any content with it.

        Of like ones, that which shares more with ``question``, or is ``preferred``. ``only`` are the places
        where to look, where they are known. With ``in_one_place``, its numbers must stand beside the
        sentence that holds most of it: a weak model puts them to something else.
        """
        said = words(statement)
        wanted = self._wanted(said)
        total = sum(wanted.values())
        asked = self.content(question)
        sentences = [one for one in self._sentences if not only or one.stands_in(only)]
        liking = [
            _ASKED * len(asked & one.terms) + _PREFERRED * one.stands_in(preferred) for one in sentences
        ]
        left, chosen = dict(wanted), list[_Sentence]()
        while left and len(chosen) < _SENTENCES:
            best, gain, liked = None, 0.0, 0.0
            for one, like in zip(sentences, liking, strict=True):
                brings = sum(left[term] for term in one.terms & left.keys())
                if brings and brings + like > gain + liked:
                    best, gain, liked = one, brings, like
            if best is None or (chosen and gain < _WORTH_ADDING * total):
                break
            chosen.append(best)
            left = {term: weight for term, weight in left.items() if term not in best.terms}
        if not chosen:
            return None
        found = Basis(
            evidence=(),
            share=1 - sum(left.values()) / total,
            missing=self._missing(said, {one.passage.page for one in chosen}),
            turned=self._turned(said, [word for one in chosen for word in one.words]),
            apart=self._apart(said, chosen) if in_one_place else (),
        )
        return replace(found, evidence=self._evidence(chosen, verified=found.verified))

    def speaking_of(self, question: str, most: int) -> list[Evidence]:
        """At most ``most`` sentences that share half of the content of ``question`` or more, the nearest
        first; what stands in few sentences tells more than what stands in all."""
        often = Counter(term for one in self._sentences for term in one.content)
        asked = {term: log(1 + len(self._sentences) / (often[term] or 1)) for term in self.content(question)}
        total = sum(asked.values())
        near = {
            at: sum(asked[term] for term in one.content & asked.keys())
            for at, one in enumerate(self._sentences)
        }
        best = [at for at in sorted(near, key=lambda at: -near[at])[:most] if near[at] >= _HALF * total > 0]
        return [quoting.evidence(self._sentences[at].passage, self._sentences[at].span) for at in best]

    def main_sentences(self, count: int) -> list[Evidence]:
        """The ``count`` sentences that have most of the words which the passages keep coming back to."""
        often = Counter(term for one in self._sentences for term in one.content)
        worth = {
            at: sum(often[term] for term in one.content) / (len(one.content) + _SHORT)
            for at, one in enumerate(self._sentences)
            if len(one.content) >= _SHORT and one.span[1] - one.span[0] <= _LONGEST
        }
        best = sorted(sorted(worth, key=lambda at: -worth[at])[:count])
        return [quoting.evidence(self._sentences[at].passage, self._sentences[at].span) for at in best]

    # ------------------------------------------------------------ words

    def _wanted(self, said: Sequence[Word]) -> dict[str, float]:
        """The content of a statement: terms with what they count for."""
        certain = {word.start for word in (*_numbers(said), *self._names(said))}
        wanted: dict[str, float] = {}
        for word in said:
            weight = _CERTAIN if word.start in certain else word.weight
            for term in self._terms_of(word):
                wanted[term] = max(wanted.get(term, 0.0), weight)
        return {term: weight for term, weight in wanted.items() if weight}

    def _missing(self, said: Sequence[Word], pages: set[int]) -> tuple[str, ...]:
        """Numbers and names of the statement that are on none of the pages, as written."""
        there = frozenset[str]().union(*(self._page_terms[page] for page in pages))
        certain = (*_numbers(said), *self._names(said))
        lost = (word for word in certain if not self._terms_of(word) <= there)
        return tuple(dict.fromkeys(word.exact for word in sorted(lost, key=lambda word: word.start)))

    def _apart(self, said: Sequence[Word], chosen: Sequence[_Sentence]) -> tuple[str, ...]:
        """Numbers of the statement that are in no sentence beside the one that holds most of it."""
        order = {id(one): at for at, one in enumerate(self._sentences)}
        near = [order[id(chosen[0])]]
        for at in sorted((order[id(one)] for one in chosen[1:]), key=lambda at: abs(at - near[0])):
            if any(abs(at - other) <= _BESIDE for other in near):
                near.append(at)
        beside = range(max(min(near) - _BESIDE, 0), min(max(near) + _BESIDE + 1, len(self._sentences)))
        there = frozenset[str]().union(*(self._sentences[at].terms for at in beside))
        elsewhere = frozenset[str]().union(*(one.terms for one in chosen)) - there
        return tuple(dict.fromkeys(word.exact for word in _numbers(said) if self._terms_of(word) & elsewhere))

    def _names(self, said: Sequence[Word]) -> list[Word]:
        """Words with a capital that does not merely begin the statement."""
        if self._language in _NOUNS_HAVE_CAPITALS:
            return []
        contents = [word for word in said if word.weight and not word.is_number]
        named = [word for word in contents if word.exact[:1].isupper()]
        if len(contents) > 2 and len(named) >= _TITLE * len(contents):
            return []
        return [word for word in named if word.start != said[0].start]

    def _turned(self, said: Sequence[Word], there: Sequence[Word]) -> str:
        """A word that stands after a negation in one, and in the other only without any."""
        denied_here, denied_there = self._denied(said), self._denied(there)
        if denied_here and not denied_there:
            turned, plain = denied_here, self._terms(there)
        elif not any(map(negates, said)):
            pairs = self._pairs(said)
            if pair := next((pair for pair in self._denied_pairs if pair in pairs), None):
                return self._denied_pairs[pair]
            turned, plain = denied_there, self._terms(said) - self._affirmed(there)
        else:
            return ""
        return next((word for term, word in turned.items() if term in plain), "")

    @cached_property
    def _denied_pairs(self) -> dict[tuple[str, str], str]:
        """Content words one after another behind a negation, and nowhere else without one."""
        denied: dict[tuple[str, str], str] = {}
        plain: set[tuple[str, str]] = set()
        for one in self._sentences:
            after = next((at for at, word in enumerate(one.words) if negates(word)), len(one.words))
            plain |= self._pairs(one.words[:after]).keys()
            denied |= dict(list(self._pairs(one.words[after:]).items())[:1])
        return {pair: word for pair, word in denied.items() if pair not in plain}

    def _pairs(self, some: Sequence[Word]) -> dict[tuple[str, str], str]:
        contents = [word for word in some if word.weight and not word.is_number]
        return {
            (first, second): one.exact
            for one, other in pairwise(contents)
            for first in self._terms_of(one)
            for second in self._terms_of(other)
        }

    def _denied(self, some: Sequence[Word]) -> dict[str, str]:
        """The first content word after each negation, by its term."""
        denied: dict[str, str] = {}
        for at, word in enumerate(some):
            if negates(word):
                following = next((one for one in some[at + 1 : at + 6] if one.weight), None)
                if following and not following.is_number:  # “No. 5”
                    denied |= dict.fromkeys(self._terms_of(following), following.exact)
        return denied

    def _affirmed(self, some: Sequence[Word]) -> frozenset[str]:
        """Terms that stand somewhere without a negation shortly before."""
        return self._terms(
            word for at, word in enumerate(some) if not any(map(negates, some[max(at - 5, 0) : at]))
        )

    def _terms(self, some: Iterable[Word]) -> frozenset[str]:
        return frozenset(term for word in some for term in self._terms_of(word))

    def _content(self, some: Iterable[Word]) -> frozenset[str]:
        return self._terms(word for word in some if word.weight)

    def _terms_of(self, word: Word) -> frozenset[str]:
        """By what a word is compared: its stem, an amount without what divides its thousands, a sign."""
        return frozenset(languages.terms_of(word.folded, self._language)) or frozenset({word.folded})

    # ------------------------------------------------------------ sentences

    @cached_property
    def _sentences(self) -> list[_Sentence]:
        return [
            _Sentence(passage, span, tuple(inside), self._terms(inside), self._content(inside))
            for passage in self._passages
            for text in (self._source.in_force(passage),)
            for span in text.units
            if (inside := text.within(span))
        ]

    @cached_property
    def _page_terms(self) -> dict[int, frozenset[str]]:
        found: dict[int, frozenset[str]] = {}
        for one in self._sentences:
            page = one.passage.page
            found[page] = found.get(page, frozenset()) | one.terms
        return found

    def _evidence(self, chosen: Sequence[_Sentence], *, verified: bool) -> tuple[Evidence, ...]:
        return tuple(
            quoting.evidence(passage, span, verified=verified)
            for passage in self._passages
            for span in separate([one.span for one in chosen if one.passage is passage], passage.text)
        )


def _named(some: Sequence[str]) -> str:
    return ", ".join(f"“{word}”" for word in some[:_SHOWN])


def _numbers(said: Sequence[Word]) -> list[Word]:
    return [word for word in said if word.is_number]


def place_doubts(
    source: Source, evidence: Sequence[Evidence], flagged: Sequence[Evidence]
) -> tuple[Doubt, ...]:
    """What is in doubt about the places of some evidence: recognised with low confidence, or in a passage
    that looks like instructions to the model."""
    return (*_scanned(source, evidence), *_flagged(evidence, flagged))


def _scanned(source: Source, evidence: Sequence[Evidence]) -> tuple[Doubt, ...]:
    pages = {page.number: page for page in source.pages}
    for one in evidence:
        page = pages[one.page]
        if page.source is TextSource.OCR and (page.confidence < _RECOGNISED or _unsure(page, one)):
            return (Doubt("scan", f"The text of {one.place} was recognised with low confidence."),)
    return ()


def _flagged(evidence: Sequence[Evidence], flagged: Sequence[Evidence]) -> tuple[Doubt, ...]:
    for one in evidence:
        if any(one.page == flag.page and one.start < flag.end and flag.start < one.end for flag in flagged):
            return (Doubt("injection", "It stands in a passage that looks like instructions to the model."),)
    return ()


def _unsure(page: Page, evidence: Evidence) -> bool:
    return any(
        mark.kind is MarkKind.UNSURE and mark.start < evidence.end and mark.end > evidence.start
        for mark in page.marks
    )

"""The model's JSON → values that stand on the page.

A value counts where it was found: its own words stand in the window (`quoting.find_all`); or the words of the
page say the same in another form (“20 March 2023” for 2023-03-20, “1.200,50” for 1200.5, “€” for EUR,
“B.V.” for BV); or, of a judgement, the quotation that it rests on does. What is kept is the page's own words
and what they come to, never the model's copy. What stands nowhere is no value: an auditor could not follow
it. It is dropped and counted. One exception: a judgement (yes or no, one of several) whose quotation fails is
kept, not verified and in doubt, since it was never claimed to stand on the page; anything that does goes
before it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

from localai_app.documents.document import Passage
from localai_app.documents.exhaustive import Window
from localai_app.documents.quotes import Span, words
from localai_app.tasks import quoting
from localai_app.tasks.extraction import normalise, normalise_numbers
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.extraction.normalise import Conventions, Normal
from localai_app.tasks.task import Doubt, Evidence, Source

_ALIKE = 0.8
"""Share of a long copy's words that must stand in one run."""
_LONG = 6
"""Words from which on a copy may have slips."""
_COMPACT = 4
"""Letters and digits that tell a name without its punctuation from chance."""
_BEFORE, _AFTER = 160, 60
"""Characters around a value where its label is looked for."""
_REACH = 8
"""Words from a label to its value at which it says half."""
_ROW = 600
"""Characters between two parts of one entry at most."""
_NOTHING = frozenset(
    ["", "-", "—", "null", "none", "n/a", "na", "unknown"]
    + [
        f"not {word}"
        for word in ("stated", "specified", "given", "found", "provided", "available", "mentioned")
    ]
    + ["not applicable", "not present", "not specified in the document"]
)
_CODE = 6
"""Characters of a word in which a slip can be told from another word."""
_SLIP = 0.85
_TOKEN = re.compile(r"[^\W_](?:[^\s|,;:()\[\]]*[^\W_])?")
_TELLING = (FieldType.IBAN, FieldType.EMAIL)
"""Whose values are told by their form alone."""
_MOST_PLACES = 40
"""Places of one value in one window that are compared."""


@dataclass(frozen=True)
class Candidate:
    """One value that the model gave for a field, found on the page."""

    field: Field
    normal: Normal
    evidence: Evidence
    passage: Passage
    nearness: float = 0.0
    """How near the field's own words are, 0 to 1."""

    @property
    def span(self) -> Span:
        """Where it stands in ``passage.text``."""
        return self.evidence.start - self.passage.start, self.evidence.end - self.passage.start

    @cached_property
    def folded(self) -> str:
        """Its words as they are compared."""
        return normalise.folded(self.normal.shown)


Row = dict[str, Candidate]
"""The parts of one entry of a list, by key."""


class Values:
    """Looks up what the model wrote about one document."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.dropped = 0
        """Values that stand nowhere."""

    @cached_property
    def _conventions(self) -> Conventions:
        texts = [page.text for page in self._source.pages]
        return normalise.conventions_of(texts, self._source.document.language)

    def of(self, field: Field, said: Any, window: Window) -> list[Candidate]:
        """The values that ``said`` gives for a field without parts: one, or those of a list."""
        found: list[Candidate] = []
        for one in said if isinstance(said, list) else [said]:
            if (candidate := self._best(field, one, window)) is not None:
                found.append(candidate)
        return found

    def rows(self, field: Field, said: Any, window: Window) -> list[Row]:
        """The entries of a list with parts; each stands together in one place of the page."""
        found: list[Row] = []
        taken: set[tuple[int, int]] = set()
        for entry in said if isinstance(said, list) else []:
            if isinstance(entry, dict) and (row := self._row(field, entry, window, taken)):
                found.append(row)
        return found

    # ------------------------------------------------------------ one value

    def _best(self, field: Field, said: Any, window: Window) -> Candidate | None:
        """The place of a value where the field's own words are nearest; None where it stands nowhere."""
        if _is_nothing(said):
            return None
        places = self._places(field, said, window)
        if not places:
            self.dropped += 1
            return None
        return max(places, key=lambda one: (one.evidence.verified, one.nearness))

    def _places(self, field: Field, said: Any, window: Window) -> list[Candidate]:
        if isinstance(said, dict):
            return self._judged(field, said, window)
        if not isinstance(said, str):
            return []
        said = _without_label(field, said)
        if found := self._currencies(field, said, window):
            return found
        for look in (self._verbatim, self._by_value, self._compact, self._alike):
            found = []
            for passage, span in look(field, said, window):
                found.append(self._candidate(field, passage, span))
                if len(found) == _MOST_PLACES:
                    break
            if found:
                return found
        return self._slipped(field, said, window)

    def _candidate(self, field: Field, passage: Passage, span: Span, *doubts: Doubt) -> Candidate:
        own, within = passage.text, span
        if not self._in_force(passage, span):
            own = self._text_in_force(passage, span)
            within = 0, len(own)
        normal = normalise.normalise(field, own, within, self._conventions)
        normal = replace(normal, doubts=(*doubts, *normal.doubts))
        return Candidate(
            field, normal, quoting.evidence(passage, span), passage, _nearness(field, passage.text, span)
        )

    def _currencies(self, field: Field, said: str, window: Window) -> list[Candidate]:
        """Where the sign of a currency stands, for a field that asks for the currency itself."""
        currency = normalise_numbers.currency_of(said)
        if not currency or field.type is not FieldType.TEXT:
            return []
        for sign in normalise_numbers.signs_of(currency):
            doubts: tuple[Doubt, ...] = ()
            if len(normalise_numbers.SHARED_SIGNS.get(sign, ())) > 1:
                doubts = (Doubt("ambiguous", f"“{sign}” stands for more than one currency."),)
            normal = Normal(currency, currency, doubts)
            found = [
                Candidate(field, normal, quoting.evidence(passage, span), passage)
                for passage, span in self._verbatim(field, sign, window)
            ]
            if found:
                return found[:_MOST_PLACES]
        return []

    def _verbatim(self, field: Field, said: str, window: Window) -> Iterator[tuple[Passage, Span]]:
        for passage in window:
            for one in quoting.find_all(said, [passage], self._source):
                yield passage, (one.start - passage.start, one.end - passage.start)

    def _by_value(self, field: Field, said: str, window: Window) -> Iterator[tuple[Passage, Span]]:
        """Where the page says the same in another form."""
        wanted = normalise.normalise(field, said, (0, len(said)), self._conventions)
        if any(doubt.code in ("not_read", "incomplete") for doubt in wanted.doubts):
            return
        for passage in window:
            for span in normalise.spans(field.type, passage.text, self._conventions):
                here = normalise.normalise(field, passage.text, span, self._conventions)
                if here.value == wanted.value and self._in_force(passage, span):
                    yield passage, span

    def _compact(self, field: Field, said: str, window: Window) -> Iterator[tuple[Passage, Span]]:
        """Where the same letters and digits stand, whatever the marks between them."""
        wanted = re.sub(r"[\W_]", "", said).casefold()
        if len(wanted) < _COMPACT or field.type in (FieldType.NUMBER, FieldType.AMOUNT, FieldType.DATE):
            return
        pattern = re.compile(r"[\W_]{0,3}".join(map(re.escape, re.sub(r"[\W_]", "", said))), re.IGNORECASE)
        for passage in window:
            for match in pattern.finditer(passage.text):
                start, end = match.span()
                around = passage.text[max(start - 1, 0) : start] + passage.text[end : end + 1]
                if not any(one.isalnum() for one in around) and self._in_force(passage, (start, end)):
                    yield passage, (start, end)

    def _alike(self, field: Field, said: str, window: Window) -> Iterator[tuple[Passage, Span]]:
        """The page's sentences that a long copy was made of with slips."""
        wanted = words(said)
        if field.type not in (FieldType.TEXT, FieldType.LONG_TEXT) or len(wanted) < _LONG:
            return
        found = []
        for at, passage in enumerate(window):
            alike = self._source.in_force(passage).resembles(wanted)
            if alike and alike[0] >= _ALIKE:
                found.append((alike[0], -at, alike[1]))
        if found:
            _, at, span = max(found)
            yield window[-at], span

    def _slipped(self, field: Field, said: str, window: Window) -> list[Candidate]:
        """The one word of the window that ``said`` was copied from with a slip: “INGBN2A” from “INGBNL2A”.

        Not of digits alone: another number is another number.
        """
        if field.type not in (FieldType.TEXT, FieldType.IBAN, FieldType.EMAIL):
            return []
        if len(said) < _CODE or len(said.split()) != 1 or sum(map(str.isalpha, said)) < 2:
            return []
        found: dict[str, tuple[Passage, Span]] = {}
        for passage in window:
            for match in _TOKEN.finditer(passage.text):
                close = abs(len(match[0]) - len(said)) <= 2 and self._in_force(passage, match.span())
                if close and SequenceMatcher(None, match[0], said, autojunk=False).ratio() >= _SLIP:
                    found.setdefault(match[0], (passage, match.span()))
        if len(found) != 1:
            return []
        ((there, (passage, span)),) = found.items()
        doubt = Doubt("unsure", f"The model wrote “{said[:60]}”; the page has “{there[:60]}”.")
        return [self._candidate(field, passage, span, doubt)]

    def by_form(self, field: Field, windows: Sequence[Window]) -> list[Candidate]:
        """What by its form and its label can only be the value of ``field``, where the model gave none.

        An IBAN with a right checksum or an e-mail address that is the only one of the document; a date or a
        number that the field's own words stand before in its line. It is in doubt, since nobody read it.
        """
        passages = [passage for window in windows for passage in window]
        found = [
            self._candidate(field, passage, span, Doubt("unsure", "Found by its form; the model gave none."))
            for passage in passages
            for span in normalise.spans(field.type, passage.text, self._conventions)
            if self._in_force(passage, span)
            and (field.type in _TELLING or _is_labelled(field, passage.text, span))
        ]
        found = [one for one in found if len(one.normal.doubts) == 1]
        return found[:1] if len({one.normal.value for one in found}) == 1 else []

    def _text_in_force(self, passage: Passage, span: Span) -> str:
        """The words of a span without those that a tracked change took out."""
        text, end = "", 0
        for word in self._source.in_force(passage).within(span):
            between = passage.text[end : word.start] if text else ""
            text += (" " if words(between) else between) + passage.text[word.start : word.end]
            end = word.end
        return text

    def _in_force(self, passage: Passage, span: Span) -> bool:
        """Whether no word of the span was taken out by a tracked change."""
        there = self._source.in_force(passage).within(span)
        return len(there) == len(words(passage.text[span[0] : span[1]]))

    # ------------------------------------------------------------ judgements

    def _judged(self, field: Field, said: dict[str, Any], window: Window) -> list[Candidate]:
        quotation, value = said.get("quotation"), said.get("value")
        choices = field.one_of if field.type is FieldType.CHOICE else ("yes", "no")
        if not isinstance(quotation, str) or value not in choices:
            return []
        looks = (self._verbatim, self._alike)
        long_text = Field(field.key, type=FieldType.LONG_TEXT)
        for look, words_of in ((looks[0], quotation), (looks[1], quotation), (looks[0], value)):
            if words_of is value and field.type is not FieldType.CHOICE:
                continue
            found = [
                self._judgement(field, value, passage, span)
                for passage, span in look(long_text, words_of, window)
            ]
            if found:
                return found[:_MOST_PLACES]
        doubt = Doubt("not_verified", "What this rests on was not found on the page.")
        normal = _judged_value(field, value, (doubt,))
        return [Candidate(field, normal, quoting.place_of(window[0]), window[0])]

    def _judgement(self, field: Field, value: str, passage: Passage, span: Span) -> Candidate:
        evidence = quoting.evidence(passage, span)
        doubts: tuple[Doubt, ...] = ()
        if field.type is FieldType.YES_NO:
            said = normalise.answer_of(evidence.quotation)
            if said is not None and said != (value == "yes"):
                written = "yes" if said else "no"
                doubts = (Doubt("unsure", f"The page says {written}; the model read {value}."),)
                value = written
        nearness = _nearness(field, passage.text, span)
        return Candidate(field, _judged_value(field, value, doubts), evidence, passage, nearness)

    # ------------------------------------------------------------ entries with parts

    def _row(
        self, field: Field, entry: dict[str, Any], window: Window, taken: set[tuple[int, int]]
    ) -> Row | None:
        """The parts of one entry at the places that are nearest to each other.

        ``taken`` are the places of entries before it: each entry stands somewhere else.
        """
        places: dict[str, list[Candidate]] = {}
        for part in field.parts:
            said = entry.get(part.key)
            if _is_nothing(said):
                continue
            places[part.key] = self._places(part, said, window)
            self.dropped += not places[part.key]
        rare = sorted(
            (key for key in places if places[key]), key=lambda key: (len(places[key]), -_length(places[key]))
        )
        for key in rare:
            free = [one for one in places[key] if (one.evidence.page, one.evidence.start) not in taken]
            if free and free[0].evidence.verified:
                break
        else:
            return None
        anchor = free[0]
        row = {
            part.key: near for part in field.parts if (near := _near(places.get(part.key, ()), anchor, taken))
        }
        self.dropped += sum(bool(places[one]) and one not in row for one in places)
        taken.update((one.evidence.page, one.evidence.start) for one in row.values())
        return row


def _near(places: Sequence[Candidate], anchor: Candidate, taken: set[tuple[int, int]]) -> Candidate | None:
    """Of ``places`` the one nearest to ``anchor`` that no other entry has; None for none near."""
    close = [
        (_distance(one, anchor), at)
        for at, one in enumerate(places)
        if one.evidence.page == anchor.evidence.page
        and (one is anchor or (one.evidence.page, one.evidence.start) not in taken)
        and _distance(one, anchor) <= _ROW
    ]
    return places[min(close)[1]] if close else None


def _distance(one: Candidate, other: Candidate) -> int:
    first, second = sorted((one.evidence, other.evidence), key=lambda evidence: evidence.start)
    return max(second.start - first.end, 0)


def _length(places: Sequence[Candidate]) -> int:
    return len(places[0].evidence.quotation)


def _judged_value(field: Field, value: str, doubts: tuple[Doubt, ...]) -> Normal:
    if field.type is FieldType.YES_NO:
        return Normal(value == "yes", value.capitalize(), doubts)
    return Normal(value, value, doubts)


def _is_labelled(field: Field, text: str, span: Span) -> bool:
    """Whether all words of the field's title stand right before ``text[span]``, in its line."""
    line = text[max(text.rfind("\n", 0, span[0]) + 1, span[0] - _BEFORE) : span[0]]
    wanted = [word.folded for word in words(field.name)]
    there = [word.folded for word in words(line)]
    return bool(wanted) and there[-len(wanted) :] == wanted


def _without_label(field: Field, said: str) -> str:
    """``said`` without the field's own words before a colon, which models copy along."""
    label, colon, value = said.partition(":")
    own = {word.folded for text, _ in _labels(field) for word in words(text)}
    if colon and words(value) and {word.folded for word in words(label)} <= own:
        return value.strip()
    return said


def _is_nothing(said: Any) -> bool:
    """Whether the model says that there is no value, as it was asked to or in words."""
    return said is None or (isinstance(said, str) and said.strip().rstrip(".").casefold() in _NOTHING)


def _nearness(field: Field, text: str, span: Span) -> float:
    """How near the words of the field's title and description stand, 0 to 1."""
    before = [word.folded for word in words(text[max(span[0] - _BEFORE, 0) : span[0]])][::-1]
    after = [word.folded for word in words(text[span[1] : span[1] + _AFTER])]
    best = 0.0
    for label, weight in _labels(field):
        wanted = [word.folded for word in words(label) if word.weight]
        if not wanted:
            continue
        said = 0.0
        for word in wanted:
            far = [
                2 * side.index(word) if side is after else side.index(word)
                for side in (before, after)
                if word in side
            ]
            said += 1 / (1 + min(far) / _REACH) if far else 0.0
        best = max(best, weight * said / len(wanted))
    return best


def _labels(field: Field) -> Iterator[tuple[str, float]]:
    """What a value of ``field`` may be labelled with on the page, and how much each says."""
    yield field.name, 1.0
    yield field.key.replace("_", " "), 1.0
    if field.description:
        yield field.description, 0.5

"""All values that were found for a field in a document → its finding: the likeliest, the others beside it.

Values that say the same are one with several places. Of different ones the likelier is the one that the model
affirms when it is shown the place and asked again, that stands near the field's own words, was found in
several windows, reads as what it should be, and stands on the first page. A conflict is shown, whatever the
model thinks of it: the others are alternatives, and the value is in doubt.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from localai_app.documents.document import MarkKind, Page, TextSource
from localai_app.documents.quotes import words
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.extraction.values import Candidate, Row
from localai_app.tasks.lists import one_line
from localai_app.tasks.task import Alternative, Doubt, Evidence, Finding, Source

_MOST_EVIDENCE = 5
_MOST_ALTERNATIVES = 8
_SURE_SCAN = 0.85
"""Confidence of recognised text below which a person should look."""
_HARMLESS = frozenset({"ambiguous", "incomplete"})
"""Doubts about how a value reads, not about whether it is one."""


@dataclass
class Rival:
    """A value of a field with the places where it stands, among others."""

    candidates: list[Candidate] = field(default_factory=list)
    affirmed: float | None = None
    """How likely the model says yes when asked again, 0 to 1; None: it was not asked."""

    @property
    def best(self) -> Candidate:
        """Where it stands nearest to the field's own words, in the fullest form."""
        return max(self.candidates, key=lambda one: (one.evidence.verified, one.nearness, _size(one)))

    @property
    def weight(self) -> float:
        """The higher, the likelier."""
        best = self.best
        reads = not {doubt.code for doubt in best.normal.doubts} - _HARMLESS
        return (
            4.0 * best.evidence.verified
            + 2.0 * (0.5 if self.affirmed is None else self.affirmed)
            + 1.0 * best.nearness
            + 0.3 * min(len(self.candidates), 3)
            + 0.8 * reads
            + 0.3 * (best.evidence.page == 1)
        )


def rivals(found: Sequence[Candidate]) -> list[Rival]:
    """``found`` with what says the same together, the likeliest first.

    A name is the same as a longer one that holds it: “Acme” and “Acme Inc.”.
    """
    together: list[Rival] = []
    for candidate in found:
        same = next(
            (one for one in together if any(_same(candidate, other) for other in one.candidates)), None
        )
        if same is None:
            together.append(Rival([candidate]))
        else:
            same.candidates.append(candidate)
    return sorted(together, key=lambda one: -one.weight)


def _same(one: Candidate, other: Candidate) -> bool:
    if one.normal.value == other.normal.value:
        return True
    if one.field.type not in (FieldType.TEXT, FieldType.LONG_TEXT):
        return False
    first, second = sorted((one.folded, other.folded), key=len)
    if first == second:
        return True
    # A number is no shorter name of a longer one.
    is_name = any(character.isalpha() for character in first)
    return is_name and f" {first} " in f" {second} "


def _size(one: Candidate) -> int:
    return sum(word.weight > 0 for word in words(one.normal.shown))


# ---------------------------------------------------------------- findings


class Combiner:
    """Makes findings of one document's values."""

    def __init__(self, source: Source, flags: Sequence[Evidence]) -> None:
        self._pages = {page.number: page for page in source.pages}
        self._flags = flags

    def single(self, field: Field, ranked: Sequence[Rival]) -> Finding:
        """The finding of a field with one value; ``ranked`` has the likeliest first."""
        if not ranked:
            return missing(field)
        ranked = _seen(ranked)
        first, *others = ranked
        finding = self._finding(field, first.candidates, first.best)
        alternatives = tuple(
            Alternative(one.best.normal.value, one.best.normal.shown, _evidence(one.candidates))
            for one in others[:_MOST_ALTERNATIVES]
        )
        if not alternatives:
            return finding
        shown = ", ".join(f"“{_short(one.shown)}”" for one in alternatives[:3])
        conflict = Doubt("conflict", f"The document also gives {shown}.")
        affirmed = 0.5 if first.affirmed is None else first.affirmed
        return msgspec.structs.replace(
            finding,
            alternatives=alternatives,
            doubts=(conflict, *finding.doubts),
            confidence=min(finding.confidence, affirmed),
        )

    def several(self, field: Field, found: Sequence[Candidate]) -> list[Finding]:
        """The findings of a list, in the document's order; each value once."""
        together = sorted(
            _seen(rivals(found)),
            key=lambda one: min((each.evidence.page, each.evidence.start) for each in one.candidates),
        )
        findings = [
            msgspec.structs.replace(self._finding(field, one.candidates, one.best), item=item)
            for item, one in enumerate(together)
        ]
        return findings or self._missing_list(field)

    def rows(self, field: Field, found: Sequence[Row]) -> list[Finding]:
        """The findings of a list whose entries have parts, entry by entry."""
        findings = [
            msgspec.structs.replace(finding, column=field.key, item=item, part=part.key)
            for item, row in enumerate(found)
            for part in field.parts
            for finding in [self._part(part, row)]
            if finding is not None
        ]
        return findings or self._missing_list(field)

    def _part(self, part: Field, row: Row) -> Finding | None:
        if part.key in row:
            return self._finding(part, [row[part.key]], row[part.key])
        return missing(part) if part.required else None

    def _missing_list(self, field: Field) -> list[Finding]:
        return [missing(field)] if field.required else []

    def _finding(self, field: Field, candidates: Sequence[Candidate], best: Candidate) -> Finding:
        ordered = [best, *(one for one in candidates if one is not best)]
        evidence = _evidence(ordered)
        doubts = [*best.normal.doubts]
        if not evidence[0].verified:
            confidence = 0.2
        else:
            doubts += self._doubts_of_place(evidence[0])
            confidence = 0.5 + 0.5 * best.nearness
        own = one_line(best.evidence.quotation)
        is_original = field.type.is_said and best.evidence.verified and own != best.normal.shown
        return Finding(
            column=field.key,
            value=best.normal.value,
            shown=best.normal.shown,
            original=own if is_original else "",
            evidence=evidence,
            doubts=tuple(doubts),
            confidence=round(confidence * (0.8 ** len(doubts)), 4),
        )

    def _doubts_of_place(self, evidence: Evidence) -> Iterable[Doubt]:
        page = self._pages[evidence.page]
        if _is_unsure(page, evidence):
            yield Doubt("scan", f"Recognised from a picture with {page.confidence:.0%} confidence.")
        if any(
            one.page == evidence.page and one.start < evidence.end and evidence.start < one.end
            for one in self._flags
        ):
            yield Doubt("injection", "It stands in a passage that looks like instructions to the model.")


def missing(field: Field) -> Finding:
    """Nothing was found for a field."""
    if not field.required:
        return Finding(field.key)
    return Finding(field.key, doubts=(Doubt("missing", "Required, but not found."),), confidence=0.0)


def _seen(ranked: Sequence[Rival]) -> Sequence[Rival]:
    """``ranked`` without those that stand nowhere, where any stands somewhere."""
    standing = [one for one in ranked if one.best.evidence.verified]
    return standing or ranked[:1]


def _evidence(candidates: Sequence[Candidate]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(one.evidence for one in candidates))[:_MOST_EVIDENCE]


def _is_unsure(page: Page, evidence: Evidence) -> bool:
    """Whether the words were recognised, and not surely."""
    if page.source is TextSource.OCR and page.confidence < _SURE_SCAN:
        return True
    return any(
        mark.kind is MarkKind.UNSURE and mark.start < evidence.end and evidence.start < mark.end
        for mark in page.marks
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:37]}…"

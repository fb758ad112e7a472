"""What the ``[n]`` of an answer point to, checked on the page.

Models cite wrongly, or not at all. So every ``[n]`` is followed to the passage that the model was given
under that number, and the statement before it is looked for there (`quotes.support`). A statement that
cites nothing, or whose citations all fail, may still stand in the documents word for word: then the place is
added and flagged as found by the app.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from localai_app.documents.document import Citation, Passage
from localai_app.documents.grounding import NOT_FOUND, Grounding
from localai_app.documents.quotes import PageText, Span, support, units, words

_MARKER = re.compile(
    r"[\[【]\s*(?:passages?\s+|sources?\s+)?(\d{1,4}(?:\s*[-–,;]\s*\d{1,4})*)\s*[\]】](?!\()", re.IGNORECASE
)
_MOST_IN_RANGE = 20


@dataclass(frozen=True)
class Marker:
    """``answer[start:end]`` cites passages."""

    start: int
    end: int
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Statement:
    """What an answer says in one go, and the markers that stand with it."""

    text: str
    markers: tuple[Marker, ...]


def markers(answer: str) -> list[Marker]:
    """Every ``[1]``, ``[1, 2]``, ``[1-3]`` or ``【1】`` of ``answer``."""
    return [Marker(match.start(), match.end(), _numbers(match[1])) for match in _MARKER.finditer(answer)]


def without_markers(answer: str) -> str:
    """``answer`` without its markers: their numbers mean nothing in another turn."""
    return re.sub(rf"[ \t]*(?:{_MARKER.pattern})", "", answer, flags=re.IGNORECASE)


def cite(
    answer: str, grounding: Grounding, now_there: Callable[[Passage], PageText | None]
) -> tuple[Citation, ...]:
    """The citations of ``answer``, in its order.

    ``now_there`` gives what stands now where a passage stood, None when the page is gone.
    """
    if is_not_found(answer):
        return ()
    passages = [_Cited(passage, now_there) for passage in grounding.passages]
    citations: list[Citation] = []
    for statement in statements(answer):
        own = [
            _citation(marker, number, statement, passages, grounding.question)
            for marker in statement.markers
            for number in marker.numbers
        ]
        citations += own
        if not any(citation.verified for citation in own):
            citations += _found(statement, passages, grounding.question)
    return tuple(citations)


def is_not_found(answer: str) -> bool:
    """Whether ``answer`` says that the documents hold none."""
    return [word.folded for word in words(without_markers(answer))] == [
        word.folded for word in words(NOT_FOUND)
    ]


def statements(answer: str) -> list[Statement]:
    """The sentences of ``answer``, cut behind markers inside them; each with its markers.

    A marker belongs to the words before it in its sentence; where it begins the sentence, to those after.
    """
    found = markers(answer)
    plain = answer
    for marker in found:
        plain = plain[: marker.start] + " " * (marker.end - marker.start) + plain[marker.end :]
    spans = units(plain)
    of_sentence: list[list[Marker]] = [[] for _ in spans]
    for marker in found:
        at = _sentence_of(marker, found, spans, answer)
        if at is not None:
            of_sentence[at].append(marker)
    return [
        statement
        for span, own in zip(spans, of_sentence, strict=True)
        for statement in _statements_in(plain, span, own)
        if words(statement.text)
    ]


def _sentence_of(marker: Marker, found: Sequence[Marker], spans: Sequence[Span], answer: str) -> int | None:
    """Which of ``spans`` a marker belongs to: the one it stands in; between two, the one before on its line.

    On a line that begins with a marker, as models write lists of passages, the one after.
    """
    after = sum(start < marker.start for start, _ in spans)
    before = after - 1
    if before >= 0 and marker.start < spans[before][1]:
        return before
    line = answer.rfind("\n", 0, marker.start) + 1
    begins_line = any(line <= first.start and not answer[line : first.start].strip() for first in found)
    on_line = before >= 0 and spans[before][1] > line
    if after < len(spans) and (begins_line or not on_line):
        return after
    return before if before >= 0 else None


def _statements_in(plain: str, span: Span, own: Sequence[Marker]) -> Iterator[Statement]:
    start, end = span
    if not own:
        yield Statement(plain[start:end], ())
    elif not words(plain[start : max(own[0].start, start)]):
        ends = [*(marker.start for marker in own[1:]), end]
        for marker, until in zip(own, ends, strict=True):
            yield Statement(plain[marker.end : max(until, marker.end)], (marker,))
    else:
        group: list[Marker] = []
        for at, marker in enumerate(own):
            group.append(marker)
            following = own[at + 1].start if at + 1 < len(own) else None
            if following is None or words(plain[marker.end : following]):
                yield Statement(plain[start : group[0].start], tuple(group))
                start, group = marker.end, []
        yield Statement(plain[start : max(end, start)], ())


def _numbers(text: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in re.split(r"[,;]", text):
        first, *rest = (int(number) for number in re.findall(r"\d+", part))
        last = rest[-1] if rest else first
        numbers += range(first, last + 1) if first <= last < first + _MOST_IN_RANGE else [first, last]
    return tuple(dict.fromkeys(numbers))


class _Cited:
    """A passage that may be cited; read when it is first needed."""

    def __init__(self, passage: Passage, now_there: Callable[[Passage], PageText | None]) -> None:
        self.passage = passage
        self._now_there = now_there

    @cached_property
    def page(self) -> PageText:
        """What stands there now."""
        return self._now_there(self.passage) or PageText("")

    @property
    def unchanged(self) -> bool:
        """Whether that is what the model was given."""
        return self.page.text == self.passage.text


def _citation(
    marker: Marker, number: int, statement: Statement, passages: Sequence[_Cited], question: str
) -> Citation:
    if not 1 <= number <= len(passages):
        return Citation(number, 0, "", 0, "", 0, 0, "", verified=False, at=marker.start)
    cited = passages[number - 1]
    best = support(statement.text, cited.page, question)
    span = best.span if best else (0, len(cited.page.text))
    verified = best is not None and best.verified and cited.unchanged
    return _pointing(number, cited, span, verified=verified, at=marker.start)


def _found(statement: Statement, passages: Sequence[_Cited], question: str) -> Iterator[Citation]:
    """The first passage that holds what is said word for word, if any."""
    for number, cited in enumerate(passages, 1):
        if cited.unchanged and (best := support(statement.text, cited.page, question)) and best.verified:
            yield _pointing(number, cited, best.span, verified=True, at=-1)
            return


def _pointing(number: int, cited: _Cited, span: Span, *, verified: bool, at: int) -> Citation:
    passage = cited.passage
    return Citation(
        number=number,
        document_id=passage.document_id,
        document_name=passage.document_name,
        page=passage.page,
        place=passage.place,
        start=passage.start + span[0],
        end=passage.start + span[1],
        quotation=cited.page.text[span[0] : span[1]],
        verified=verified,
        at=at,
    )

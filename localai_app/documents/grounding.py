"""Values of asking: what an answer shall rest on, what it costs, what the model was given."""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from localai_app.documents.document import PageKind, Passage, Scope

NOT_FOUND = "Not found in these documents."
"""The answer that the model is asked for when the documents do not hold one."""
_SHORTEST_FENCE = 5


class Mode(StrEnum):
    """How much of the documents an answer rests on; always named in the answer."""

    AUTO = "auto"
    """The whole text where it fits, else a search."""
    WHOLE = "whole"
    """All of the text, in one prompt."""
    SEARCH = "search"
    """The passages that fit the question best."""
    EXHAUSTIVE = "exhaustive"
    """Every page is read, side by side, and what was found on them is put together."""


@dataclass(frozen=True)
class Sources:
    """What a conversation is grounded in."""

    scope: Scope = field(default_factory=Scope)
    mode: Mode = Mode.AUTO


@dataclass(frozen=True)
class Price:
    """What one question in ``mode`` costs on this machine."""

    mode: Mode
    documents: int
    pages: int
    """That are read."""
    passages: int
    tokens: int
    """That the model reads."""
    seconds: float | None
    """Until the answer is written; None while the model's speed is not known."""
    fits: bool = True
    """False for `Mode.WHOLE` where the text is longer than the context."""

    @property
    def words(self) -> str:
        """One line for a person."""
        tokens = f"{self.tokens:,} tokens"
        if self.mode is Mode.WHOLE:
            what = f"{_counted(self.documents, 'whole document')}, {tokens}"
        elif self.mode is Mode.SEARCH:
            what = f"{_counted(self.passages, 'passage')} of {_counted(self.documents, 'document')}, {tokens}"
        else:
            what = f"all {_counted(self.pages, 'page')} of {_counted(self.documents, 'document')}, {tokens}"
        if not self.fits:
            return f"{what}: longer than the model's context"
        return what if self.seconds is None else f"{what}, {duration(self.seconds)}"


@dataclass(frozen=True)
class Coverage:
    """What an answer rests on."""

    mode: Mode
    """Never `Mode.AUTO`."""
    documents: int
    """Asked."""
    documents_used: int
    """Of which the model was given something."""
    pages: int
    """Of all documents that were asked."""
    pages_used: int
    """Of which the model was given something."""
    passages: int
    tokens: int
    """Of the passages, as the model was given them with the question."""
    unread: tuple[tuple[str, str], ...] = ()
    """(document, why) of whatever could not be read, or was not ready yet."""
    dropped: int = 0
    """Sentences that the model claimed to have copied and that stand on no page that it was given."""
    left_out: int = 0
    """Passages that were found and did not fit the model's context."""

    @property
    def words(self) -> str:
        """One line for a person: the mode, what was given, and what was not."""
        documents = _counted(self.documents_used, "document")
        if self.mode is Mode.WHOLE:
            parts = [f"{_counted(self.documents_used, 'whole document')}, {self.tokens:,} tokens"]
        elif self.mode is Mode.SEARCH:
            parts = [f"search: {_counted(self.passages, 'passage')} of {documents}, {self.tokens:,} tokens"]
        else:
            read = f"{self.pages_used:,} of {_counted(self.pages, 'page')} of {documents} read"
            parts = [f"exhaustive: {read}, {_counted(self.passages, 'passage')} found"]
        if self.left_out:
            parts.append(f"{_counted(self.left_out, 'passage')} more did not fit")
        if self.unread:
            parts.append("not read: " + "; ".join(f"{name} ({why})" for name, why in self.unread[:3]))
            if len(self.unread) > len(self.unread[:3]):
                parts[-1] += f" and {len(self.unread) - 3} more"
        line = " · ".join(parts)
        return line[0].upper() + line[1:]


@dataclass(frozen=True)
class Gathering:
    """How far the reading before an answer is."""

    stage: str
    """``searching``, ``reading``."""
    done: int
    total: int
    seconds_left: float | None = None


@dataclass(frozen=True)
class Grounding:
    """What the model is given before the question, and where each numbered piece of it stands."""

    text: str
    """Empty when nothing was found: then there is nothing to ask the model."""
    passages: tuple[Passage, ...]
    """``passages[n - 1]`` is what ``[n]`` stands for."""
    coverage: Coverage
    question: str = ""


@dataclass(frozen=True)
class Given:
    """A passage as it is kept with an answer: where its text stands, not the text itself."""

    document_id: int
    document_name: str
    page: int
    page_kind: PageKind
    page_label: str
    start: int
    end: int
    heading: str
    fingerprint: str
    """Of the text, under the conversation's key: whether it is still the same can be told."""

    @property
    def place(self) -> str:
        """As `Passage.place`."""
        return f"{self.page_kind.value} {self.page_label or self.page}"


def given_text(passages: Sequence[Passage], shown: Callable[[Passage], str] | None = None) -> str:
    """``passages`` numbered from 1, between two lines that stand in none of them; empty for none.

    What is inside is data: whatever it says, it cannot end the fence. ``shown`` says how a passage's text
    is given; without it, as it is.
    """
    if not passages:
        return ""
    entries = (
        f"[{number}] {heading(passage)}\n{(shown(passage) if shown else passage.text).strip()}"
        for number, passage in enumerate(passages, 1)
    )
    return fenced("\n\n".join(entries))


def fenced(body: str) -> str:
    """``body`` between two lines of equals signs that are longer than any in it."""
    longest = max((len(run) for run in re.findall("=+", body)), default=0)
    fence = "=" * max(_SHORTEST_FENCE, longest + 1)
    return f"{fence}\n{body}\n{fence}"


def heading(passage: Passage) -> str:
    """Where ``passage`` stands, in one line: ``report.pdf, page 7, Terms › Fees``."""
    parts = (passage.document_name, passage.place, passage.heading)
    return ", ".join(" ".join(part.split()) for part in parts if part)


def duration(seconds: float) -> str:
    """``about 40 s``, ``about 12 min``, ``about 3 h``."""
    if seconds < 90:
        return f"about {max(round(seconds), 1)} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    return f"about {seconds / 3600:.0f} h"


def documents_of(passages: Iterable[Passage]) -> int:
    """How many documents ``passages`` are of."""
    return len({passage.document_id for passage in passages})


def pages_of(passages: Iterable[Passage]) -> int:
    """How many pages ``passages`` stand on."""
    return len({(passage.document_id, passage.page) for passage in passages})


def joined(passages: Sequence[Passage]) -> list[list[Passage]]:
    """``passages`` of one page that overlap or touch, together; in the order of the first of each."""
    order = {id(passage): at for at, passage in enumerate(passages)}
    by_page = sorted(passages, key=lambda passage: (passage.document_id, passage.page, passage.start))
    groups: list[list[Passage]] = []
    for _, same in itertools.groupby(by_page, key=lambda passage: (passage.document_id, passage.page)):
        reach = -2
        for passage in same:
            # One character of white space may lie between two chunks.
            if passage.start <= reach + 1:
                groups[-1].append(passage)
            else:
                groups.append([passage])
            reach = max(reach, passage.end)
    return sorted(groups, key=lambda group: min(order[id(passage)] for passage in group))


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"

"""The contract that every kind of document task fulfils, and the values that come of it.

A kind is pure: it is handed the pages of one document, yields rounds of steps for the engine, is sent their
outputs, and returns an `Outcome`. It touches no engine, no store and no file, so the same outputs always
come to the same outcome: a run that was killed in the middle of a document is resumed by sending the outputs
that were kept.
"""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Protocol

import msgspec

from localai_app.documents import exhaustive
from localai_app.documents.deletions import Deletions, text_in_force
from localai_app.documents.document import Document, Page, Passage
from localai_app.documents.exhaustive import Window
from localai_app.documents.quotes import PageText
from localai_app.errors import LocalAIError

Scalar = str | int | float | bool | None


class TaskFailed(LocalAIError):
    """A document's task has no outcome: the failure has a name, and the rest of the run goes on."""


# ---------------------------------------------------------------- what a kind asks of the engine


class Write(msgspec.Struct, frozen=True, tag="write"):
    """Have the model write, at temperature 0."""

    instruction: str
    """Comes first in the prompt, and is the same in all steps of a run as far as possible: what prompts
    begin alike with is evaluated once."""
    content: str
    """What differs: the part of the document, fenced as data (`grounding.fenced`), and the question."""
    max_tokens: int
    json_schema: str = ""
    """A JSON Schema that the text obeys; empty: free text."""


class Choose(msgspec.Struct, frozen=True, tag="choose"):
    """Ask how likely each of ``labels`` is as the model's whole answer."""

    instruction: str
    content: str
    labels: tuple[str, ...]
    whole: bool = True
    """False: how likely the answer is to begin with each; that takes fewer tokens."""
    once: bool = False
    """It is the same for all documents of a run: the engine is asked once."""


Step = Write | Choose


class Written(msgspec.Struct, frozen=True, tag="written"):
    """What came of `Write`."""

    text: str
    incomplete: bool = False
    """It was cut off by ``max_tokens``: with a schema it is no JSON; kinds must not use it as if it were
    whole."""


class Chosen(msgspec.Struct, frozen=True, tag="chosen"):
    """What came of `Choose`: natural logarithms of probabilities, in the order of the labels."""

    log_probabilities: tuple[float, ...]


Output = Written | Chosen
Work = Generator[Sequence[Step], Sequence[Output], "Outcome"]
"""Yields rounds of steps that are done side by side, is sent their outputs in the same order."""


@dataclass(frozen=True)
class Source:
    """One document as a kind is given it."""

    document: Document
    pages: tuple[Page, ...]
    """All of them, in order; blank and unread ones too."""
    window: int
    """Tokens of the document's text that may stand in one step, at most."""
    count: Callable[[str], int]
    """Tokens of a text as the model that answers counts them."""

    def windows(self, budget: int = 0) -> list[Window]:
        """All text in page order in windows of about ``budget`` (else `window`) tokens at most."""
        pages = ((self.document, page) for page in self.pages)
        return exhaustive.windows(pages, self.count, min(budget or self.window, self.window))

    def shown(self, passage: Passage) -> str:
        """The text of a passage as the model is given it: what a tracked change took out is in brackets."""
        return self._deletions.shown(passage)

    def in_force(self, passage: Passage) -> PageText:
        """The text of a passage ready to be searched, without what a tracked change took out."""
        key = passage.page, passage.start, passage.end
        if key not in self._searched:
            page = next(page for page in self.pages if page.number == passage.page)
            self._searched[key] = text_in_force(page, passage.start, passage.end)
        return self._searched[key]

    @cached_property
    def _searched(self) -> dict[tuple[int, int, int], PageText]:
        return {}

    @cached_property
    def _deletions(self) -> Deletions:
        return Deletions([(self.document, page) for page in self.pages])


# ---------------------------------------------------------------- what comes of a document


class Evidence(msgspec.Struct, frozen=True):
    """Words of a page that a value rests on."""

    page: int
    """`Page.number`."""
    place: str
    """“page 7”."""
    start: int
    end: int
    """``page.text[start:end]`` is ``quotation``."""
    quotation: str
    """The page's own words."""
    verified: bool = True
    """The value's words were found there by the app; False: it is only where the model was reading."""


class Doubt(msgspec.Struct, frozen=True):
    """Why a person should look at a value."""

    code: str
    """Short and stable: ``not_verified``, ``conflict``, ``sum_differs``, ``unsure``, ``bad_checksum``,
    ``missing``, ``scan``, ``injection`` …"""
    words: str
    """One line for the person: “Lines sum to 4,018.22.”"""


class Alternative(msgspec.Struct, frozen=True):
    """Another value that the document gives for the same thing."""

    value: Scalar
    shown: str
    evidence: tuple[Evidence, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """One value of a document, with what it rests on."""

    column: str
    """`Column.key`."""
    item: int = 0
    """Which of a list's values, from 0."""
    part: str = ""
    """Which field of a list's entry, where entries have several (line items); else empty."""
    value: Scalar = None
    """Normalised: ISO dates, numbers, booleans; None: not found."""
    shown: str = ""
    """The value as a person reads it."""
    original: str = ""
    """As it stands on the page, where that differs from ``shown``."""
    evidence: tuple[Evidence, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    """The conflict is shown, not hidden; `value` is the likelier one."""
    scores: dict[str, float] = {}
    """Of a classification: each label's share of 1."""
    confidence: float = 1.0
    """0 to 1, for the order of review: lowest first. Not a probability unless the kind says so."""

    @property
    def key(self) -> str:
        """Names the finding within its document: decisions hang on it."""
        return f"{self.column}/{self.item}/{self.part}"


class Outcome(msgspec.Struct, frozen=True):
    """All that came of one document."""

    findings: tuple[Finding, ...]
    unread: tuple[tuple[int, str], ...] = ()
    """(page number, why) of pages whose text the model was not given, or whose step failed. Pages that the
    reader could not read are added by the runner; blank ones count as read."""
    notes: tuple[str, ...] = ()
    """One line each, for the person."""
    flags: tuple[Evidence, ...] = ()
    """Passages that look like instructions to the model (prompt injection): shown, never deleted."""
    claims: int = 0
    """Statements of the model that stand nowhere in the document and were dropped."""


class Coverage(msgspec.Struct, frozen=True):
    """``read`` + ``len(unread)`` = ``total``, in the format's own unit."""

    unit: str
    """“page”, “sheet”, “slide”, “part”."""
    total: int
    read: int
    unread: tuple[tuple[int, str], ...] = ()
    """(number, why)."""

    @property
    def words(self) -> str:
        """“3 of 3 pages”."""
        return f"{self.read:,} of {self.total:,} {self.unit}{'' if self.total == 1 else 's'}"


class Form(StrEnum):
    """How a column's values are shown and sorted."""

    TEXT = "text"
    LONG = "long"
    """Text of several lines."""
    NUMBER = "number"
    AMOUNT = "amount"
    DATE = "date"
    FLAG = "flag"
    LABEL = "label"
    LIST = "list"
    """Several findings of one column."""


class Column(msgspec.Struct, frozen=True):
    """One thing that is found out about each document."""

    key: str
    title: str
    form: Form = Form.TEXT
    parts: tuple["Column", ...] = ()
    """Of a list whose entries have several fields."""


@dataclass(frozen=True)
class Cost:
    """What one document costs, estimated before."""

    steps: int
    read: int
    """Tokens evaluated, the shared instruction once."""
    written: int


_FILLED = 0.85
"""Of a window, on average: it ends where a page, a block or a sentence does."""


def windows_for(tokens: int, window: int) -> int:
    """About how many windows a document of ``tokens`` comes to."""
    return math.ceil(tokens / (window * _FILLED)) if tokens > window else min(tokens, 1)


class TaskKind(Protocol):
    """One kind of task; a new kind is one file, one line in ``kinds.py`` and a test."""

    @property
    def name(self) -> str:
        """``extract``: as in the command line, policy (AllowedTasks) and the store."""

    @property
    def title(self) -> str:
        """“Extract”."""

    @property
    def description(self) -> str:
        """One line on what it is for."""

    @property
    def options(self) -> type[msgspec.Struct]:
        """The kind's own options: a frozen Struct with defaults where there are any, decoded strictly."""

    def check(self, options: Any) -> None:
        """Raise `UsageError` with what to do where options cannot be worked with."""

    def label(self, options: Any) -> str:
        """What sets this run apart: “Invoice”, “Which law governs?”."""

    def columns(self, options: Any) -> tuple[Column, ...]:
        """What is found out about each document, in the grid's order."""

    def fingerprint(self, options: Any) -> str:
        """SHA-256 (hex) over the instructions, schemas and labels that the steps are made with."""

    def cost(self, tokens: int, window: int, options: Any) -> Cost:
        """What a document of ``tokens`` costs with windows of ``window`` tokens."""

    def work(self, source: Source, options: Any) -> Work:
        """The rounds of one document; raise `TaskFailed` where nothing can be made of it."""


# ---------------------------------------------------------------- review


class Verdict(StrEnum):
    """What a person decided on a value."""

    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    TAKEN_BACK = "taken_back"
    """The decision before it on the same finding does not count any more."""


class Decision(msgspec.Struct, frozen=True):
    """A person's decision on one finding; the latest that was not taken back counts, none is ever lost."""

    key: str
    """`Finding.key`."""
    verdict: Verdict
    value: str = ""
    """What it was corrected to, as typed."""
    who: str = ""
    when: str = ""
    """ISO 8601, UTC."""


def needs_review(finding: Finding) -> bool:
    """Whether a person should look: anything is in doubt."""
    return bool(finding.doubts)


def shown_value(finding: Finding, decision: Decision | None) -> str:
    """The value that counts: a person's word goes before the model's; a rejected one is empty."""
    if decision is None or decision.verdict is Verdict.ACCEPTED:
        return finding.shown
    return decision.value if decision.verdict is Verdict.CORRECTED else ""

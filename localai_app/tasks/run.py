"""Values of a run: one task over many documents."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import msgspec

from localai_app.documents.grounding import duration
from localai_app.tasks.task import Column, Coverage, Decision, Doubt, Finding, Outcome, Verdict, needs_review


class RunState(StrEnum):
    """How far a run has come."""

    WAITING = "waiting"
    """Its turn has not come, or its hour (`Run.not_before`)."""
    RUNNING = "running"
    """A process works on it now; its lease says which."""
    PAUSED = "paused"
    DONE = "done"
    """No document is left to do; some may have failed."""
    STOPPED = "stopped"
    """By a person; what is done is kept, and it can be resumed."""


class ItemState(StrEnum):
    """How far one document of a run is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    """``Item.error`` says why and what to do."""
    ERASED = "erased"
    """The document was erased, and with it all that came of it."""


class ModelUsed(msgspec.Struct, frozen=True):
    """What computed a run; another one refuses to go on with it unless the person says so."""

    name: str
    sha256: str
    engine_build: str
    device: str
    context_length: int
    template_sha256: str = ""
    """Of its chat template; empty for none."""


class ItemCost(msgspec.Struct, frozen=True):
    """What one document cost."""

    steps: int = 0
    prompt_tokens: int = 0
    """Of all prompts."""
    reused_tokens: int = 0
    """Of these, found in the cache and not evaluated again."""
    output_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class RunSettings:
    """How a run is done, whatever its kind."""

    deterministic: bool = False
    """The same bits at every repetition; several times slower."""
    not_before: datetime | None = None
    """“Run tonight”: it waits until then."""
    keep_awake: bool = True
    """The computer does not go to sleep while it runs or waits for its hour, on mains power only."""


@dataclass(frozen=True)
class Run:
    """One task over some documents."""

    id: int
    kind: str
    """`TaskKind.name`."""
    title: str
    """“Extract · Invoice”."""
    where: str
    """“Invoices November · 186 documents”."""
    options: msgspec.Struct
    """Of the kind's own type."""
    columns: tuple[Column, ...]
    settings: RunSettings
    state: RunState
    created: datetime
    finished: datetime | None = None
    model: ModelUsed | None = None
    """None before its first document."""
    fingerprint: str = ""
    """`TaskKind.fingerprint` as it was at the start."""
    notice: str = ""
    """Why it paused by itself, and what to do; empty for nothing."""
    documents: int = 0
    """But for erased ones."""
    done: int = 0
    """Documents with an outcome."""
    failed: int = 0
    to_review: int = 0
    """Findings in doubt that nobody has decided on."""
    trashed: datetime | None = None

    @property
    def left(self) -> int:
        """Documents that are still to be done."""
        return self.documents - self.done - self.failed


@dataclass(frozen=True)
class Item:
    """One document of a run."""

    id: int
    run_id: int
    document_id: int | None
    """None once the document was erased."""
    document_name: str
    sha256: str
    """Of the file whose text was worked on."""
    state: ItemState
    attempts: int = 0
    """How often it was tried; going on with it after a break is no new try."""
    error: str = ""
    """One line: what is wrong and what to do."""
    outcome: Outcome | None = None
    coverage: Coverage | None = None
    cost: ItemCost = field(default_factory=ItemCost)
    model: ModelUsed | None = None
    """What computed it; another one than the run's where a person went on with another."""
    prompts_sha256: str = ""
    """Over all prompts of its steps, in their order."""
    decisions: tuple[Decision, ...] = ()
    """All that were ever made, in order; those that were taken back too."""
    finished: datetime | None = None

    def decision(self, key: str) -> Decision | None:
        """The one that counts for a finding."""
        made: list[Decision] = []
        for one in self.decisions:
            if one.key != key:
                continue
            if one.verdict is not Verdict.TAKEN_BACK:
                made.append(one)
            elif made:
                made.pop()
        return made[-1] if made else None

    @property
    def to_review(self) -> int:
        """Findings in doubt that nobody has decided on."""
        findings = self.outcome.findings if self.outcome else ()
        return sum(needs_review(one) and self.decision(one.key) is None for one in findings)


@dataclass(frozen=True)
class ReviewItem:
    """A finding that waits for a person."""

    item: Item
    finding: Finding

    @property
    def doubt(self) -> Doubt | None:
        """The first thing that is in doubt."""
        return next(iter(self.finding.doubts), None)


@dataclass(frozen=True)
class RunProgress:
    """How far the run in hand is, for a progress line; all zero when nothing runs."""

    run_id: int = 0
    done: int = 0
    """Documents done or failed."""
    total: int = 0
    fraction: float = 0.0
    """Steps within documents counted."""
    seconds_left: float | None = None
    """None while too little was measured."""
    name: str = ""
    """Of a document in hand."""
    notice: str = ""
    """One line on what keeps it from going on, and what to do; empty for nothing."""


@dataclass(frozen=True)
class TaskPrice:
    """What a run costs on this machine."""

    documents: int
    pages: int
    steps: int
    read: int
    """Tokens evaluated."""
    written: int
    seconds: float | None
    """None while the model's speed is not known."""
    not_ready: tuple[tuple[str, str], ...] = ()
    """(document, why) of what cannot be worked on as it is."""

    @property
    def words(self) -> str:
        """“186 documents, 412 pages: about 2 h”."""
        counted = [(self.documents, "document"), (self.pages, "page")]
        line = ", ".join(f"{number:,} {thing}{'' if number == 1 else 's'}" for number, thing in counted)
        return line if self.seconds is None else f"{line}: {duration(self.seconds)}"

"""One document in work: its generator, what came back of its round, and what was kept of an earlier try."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from localai_app.documents.document import State
from localai_app.documents.service import DocumentService
from localai_app.errors import DocumentError, NotFound
from localai_app.tasks.run import Item, ItemCost, Run
from localai_app.tasks.running.coverage import coverage_of
from localai_app.tasks.running.progress import Meter
from localai_app.tasks.running.steps import Steps
from localai_app.tasks.runs import KeptStep, Runs
from localai_app.tasks.task import Coverage, Outcome, Output, Source, Step, TaskKind, Work

_WINDOW_CPU, _WINDOW_GPU = 1024, 2048
"""Tokens of a document's text in one step: more, and small models overlook things; fewer, and the
instructions around them cost too much. What has a GPU runs larger models."""
_SMALLEST_WINDOW = 64
_LOCKED = "It needs its password: type it in Documents, and retry."


def window_tokens(device: str, context_length: int) -> int:
    """Tokens of a document's text in one step, at most; what a step needs besides may leave less."""
    limit = _WINDOW_CPU if device == "CPU" else _WINDOW_GPU
    return max(min(limit, context_length * 3 // 8), _SMALLEST_WINDOW)


class NotReady(Exception):
    """The document is still being read."""


@dataclass(frozen=True)
class Round:
    """Steps that the engine is asked, with their numbers in the document."""

    steps: tuple[tuple[int, Step], ...]


@dataclass(frozen=True)
class Finished:
    """What came of a document, as it can be kept."""

    outcome: Outcome
    coverage: Coverage


@dataclass
class Desk:
    """What all documents of a run are worked on with."""

    run: Run
    kind: TaskKind
    runs: Runs
    documents: DocumentService
    count: Callable[[str], int]
    """Tokens of a text."""
    meter: Meter
    steps: Steps
    """Of the model as it is loaded now."""

    @property
    def window(self) -> int:
        """Tokens of a document's text in one step, at most."""
        return window_tokens(self.steps.model.device, self.steps.model.context_length)


@dataclass(eq=False)
class Hand:
    """A document in work; one thread at a time asks it for its `next_round`."""

    item: Item
    alone: bool = False
    """The engine died while it was in work: nothing else is, until it is done."""
    asked: list[str] = field(default_factory=list)
    """Hashes of all its steps so far."""
    cost: ItemCost = field(default_factory=ItemCost)
    began: float = field(default_factory=time.monotonic)
    over: bool = False
    """What still comes of it does not count."""
    _source: Source | None = None
    _work: Work | None = None
    _kept: dict[int, KeptStep] = field(default_factory=dict)
    _first: int = 0
    """Number of the first step of the round."""
    _outputs: list[Output | None] = field(default_factory=list)
    """Of the round."""

    def take(self, number: int, output: Output, cost: ItemCost) -> bool:
        """What came of a step; whether its round is whole."""
        self._outputs[number - self._first] = output
        self.cost = summed(self.cost, cost)
        return None not in self._outputs

    def next_round(self, desk: Desk) -> Round | Finished:
        """What its generator wants next, but for what was kept of an earlier try.

        Raise `NotReady`, `NotFound` for a document that was erased, `DocumentError` for one that cannot be
        worked on, and whatever the kind raises.
        """
        try:
            steps = self._open(desk) if self._work is None else self._send()
            while True:
                wanted = self._begin(desk, steps)
                if wanted:
                    return Round(wanted)
                steps = self._send()
        except StopIteration as stop:
            return self._checked(stop.value)

    def _open(self, desk: Desk) -> Sequence[Step]:
        """Read the document's pages and begin its generator; the first round."""
        item = self.item
        if item.document_id is None:
            raise NotFound("The document was erased.")
        document = desk.documents.document(item.document_id)
        if document.trashed is not None:
            raise DocumentError("It is in the trash.", "Restore it in Documents, and retry.")
        if document.state in (State.WAITING, State.READING):
            raise NotReady
        if document.state is not State.READY:
            raise DocumentError(document.error or _LOCKED)
        # Boxes are most of a page, and no kind needs them.
        pages = tuple(msgspec.structs.replace(page, boxes=b"") for page in desk.documents.pages(document.id))
        if desk.documents.document(document.id).sha256 != document.sha256:
            raise NotReady  # another reading took its place meanwhile
        with desk.runs.transaction():
            if not desk.runs.begin_item(item.id, document.sha256, document.name):
                raise NotFound("The document was erased.")
        desk.meter.begin(item.id, document.name)
        self._kept = desk.runs.steps(item.id)
        # For each document anew: what it comes to must not hang on those before it.
        window = desk.window
        while True:
            self._source = Source(document, pages, window, desk.count)
            self._work = desk.kind.work(self._source, desk.run.options)
            steps = next(self._work)
            excess = max((desk.steps.excess(step) for step in _longest(steps)), default=0)
            if excess <= 0 or window <= _SMALLEST_WINDOW:
                return steps
            window = max(window - excess - _SMALLEST_WINDOW // 2, _SMALLEST_WINDOW)

    def _send(self) -> Sequence[Step]:
        assert self._work is not None
        self._first += len(self._outputs)
        return self._work.send([output for output in self._outputs if output is not None])

    def _begin(self, desk: Desk, steps: Sequence[Step]) -> tuple[tuple[int, Step], ...]:
        """Begin a round; the steps of it whose output was not kept, with their numbers."""
        wanted = []
        self._outputs = []
        for number, step in enumerate(steps, self._first):
            asked = desk.steps.asked(step)
            self.asked.append(asked)
            kept = self._kept.get(number)
            if kept is not None and kept.asked == asked:
                self._outputs.append(kept.output)
                self.cost = summed(self.cost, kept.cost)
                desk.meter.step(self.item.id, kept=True)
            else:
                self._outputs.append(None)
                wanted.append((number, step))
        return tuple(wanted)

    def _checked(self, outcome: object) -> Finished:
        """An outcome that can be kept, and which pages it rests on."""
        assert isinstance(outcome, Outcome), "work ends with an outcome"
        assert self._source is not None
        kept = msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome)
        return Finished(kept, coverage_of(self._source.document, self._source.pages, outcome))


def _longest(steps: Sequence[Step]) -> list[Step]:
    """The step of a round that has the longest text; it stands for the others."""
    return [max(steps, key=lambda step: len(step.instruction) + len(step.content))] if steps else []


def summed(one: ItemCost, other: ItemCost) -> ItemCost:
    """What two of them cost together."""
    return ItemCost(
        steps=one.steps + other.steps,
        prompt_tokens=one.prompt_tokens + other.prompt_tokens,
        reused_tokens=one.reused_tokens + other.reused_tokens,
        output_tokens=one.output_tokens + other.output_tokens,
        seconds=one.seconds + other.seconds,
    )

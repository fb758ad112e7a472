"""One answer in the making: load, prompt, generate, save.

The order is what keeps a person's words: question and empty answer are saved before anything is
computed, the text is saved every few seconds while it streams, and every ending (done, stopped,
engine gone, app closing) takes the same exit with another status.
"""

import contextlib
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, TypeVar, cast

from localai_app.chat.answering import Answering
from localai_app.chat.conversation import AnswerRecord, GenerationStats, Message, Status
from localai_app.chat.repetition import repeats_from
from localai_app.chat.snapshots import slot_name
from localai_app.documents.asking import NOT_FOUND
from localai_app.documents.grounding import Gathering, Grounding
from localai_app.engine.client import Generation, GenerationEvent
from localai_app.engine.protocol import (
    Accepted,
    Done,
    ModelInfo,
    Progress,
    Text,
    Usage,
)
from localai_app.errors import ContextOverflow, LocalAIError, StoreError

_T = TypeVar("_T")

_SAVE_SECONDS = 2.0
"""How often the text is saved while it streams; a power cut costs no more."""


@dataclasses.dataclass(frozen=True)
class ModelLoading:
    """The model is being loaded, ``fraction`` 0 to 1."""

    fraction: float


@dataclasses.dataclass(frozen=True)
class PromptProgress:
    """``done`` of ``total`` prompt tokens are read."""

    done: int
    total: int


@dataclasses.dataclass(frozen=True)
class TextDelta:
    """More of the answer."""

    text: str


@dataclasses.dataclass(frozen=True)
class TurnFinished:
    """The turn ended, for whatever reason; ``answer`` is as it was saved."""

    answer: Message


TurnEvent = ModelLoading | Gathering | Grounding | PromptProgress | TextDelta | TurnFinished
"""A `Grounding` comes once what the model is given of the documents is known, before it reads it."""


class Turn:
    """One answer in the making. Question and empty answer are saved before this object exists.

    Iterate (in any one thread) to let it run; the last event is always `TurnFinished`. An engine
    failure does not raise: it ends the turn with status FAILED and a message that says what to do.
    """

    def __init__(self, answering: Answering, question: Message | None, answer: Message) -> None:
        self.question = question
        """The person's new message; None when an existing one is answered again."""
        self.answer = answer
        """The answer as it was when the turn began."""
        self._answering = answering
        self._generation: Generation | None = None
        self._stopped = threading.Event()
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[TurnEvent]:
        writing = _Writing(self._answering, self.answer)
        try:
            with self._answering.engine.hold():
                model = yield from self._load()
                if model is not None:
                    grounding = yield from self._ground(model, writing)
                    if not self._stopped.is_set():
                        yield from self._generate(model, writing, grounding)
        except LocalAIError as error:
            writing.failed(error)
        except GeneratorExit:
            writing.save(Status.STOPPED)
            raise
        except BaseException:
            writing.save(Status.INTERRUPTED)
            raise
        yield TurnFinished(writing.save(writing.status))

    def stop(self) -> None:
        """Stop within 100 ms; callable from any thread, at any time."""
        self._stopped.set()
        self._news.put(None)
        if self._generation is not None:
            self._generation.cancel()

    def _load(self) -> Generator[TurnEvent, None, ModelInfo | None]:
        def load(tell: "_Tell") -> ModelInfo:
            return self._answering.models.load(lambda fraction: tell(ModelLoading(fraction)))

        return (yield from self._aside("model load", load))

    def _ground(self, model: ModelInfo, writing: "_Writing") -> Generator[TurnEvent, None, Grounding | None]:
        """What the model is given of the conversation's documents; None where there are none."""
        grounds = self._answering.grounds(self.answer, model, self._stopped)
        if grounds is None:
            return None

        def ground(tell: "_Tell") -> Grounding:
            for item in grounds:
                if isinstance(item, Grounding):
                    return item
                tell(item)
            raise AssertionError("gathering ends with a grounding")

        grounding = yield from self._aside("gathering", ground)
        if grounding is not None:
            writing.grounding = grounding
            yield grounding
        return grounding

    def _aside(self, name: str, work: "Callable[[_Tell], _T]") -> Generator[TurnEvent, None, _T | None]:
        """Do ``work`` in a thread of its own, so that Stop need not wait for it; None once stopped."""

        def run() -> None:
            try:
                self._news.put(_Result(work(self._news.put)))
            except BaseException as error:
                self._news.put(error)

        threading.Thread(target=run, name=name, daemon=True).start()
        while not self._stopped.is_set():
            news = self._news.get()
            if self._stopped.is_set():
                break
            if isinstance(news, BaseException):
                raise news
            if isinstance(news, _Result):
                return cast("_T", news.value)
            if news is not None:
                yield news
        return None

    def _generate(
        self, model: ModelInfo, writing: "_Writing", grounding: Grounding | None
    ) -> Iterator[TurnEvent]:
        if grounding is not None and not grounding.passages:
            # Nothing to ask the model: it could only make something up.
            writing.record = self._answering.request(self.answer, model, (), grounding).record
            writing.add(NOT_FOUND)
            writing.status = Status.COMPLETE
            yield TextDelta(NOT_FOUND)
            return
        for event in self._start(model, writing, grounding):
            match event:
                case Accepted():
                    if event.prompt_tokens > event.reused_tokens:
                        yield PromptProgress(event.reused_tokens, event.prompt_tokens)
                case Progress():
                    yield PromptProgress(event.done, event.total)
                case Text():
                    writing.add(event.text)
                    yield TextDelta(event.text)
                    if grounding is not None and writing.goes_in_circles() and self._generation is not None:
                        self._generation.cancel()
                case Done():
                    writing.done(event)

    def _start(
        self, model: ModelInfo, writing: "_Writing", grounding: Grounding | None
    ) -> Iterator[GenerationEvent]:
        """Start the generation; where the conversation is too long, do what it says about that."""
        left_out: tuple[int, ...] = ()
        while True:
            request = self._answering.request(self.answer, model, left_out, grounding)
            writing.record = request.record
            if grounding is not None:
                self._answering.save_grounding(self.answer, request.record, grounding)
            self._generation = self._answering.engine.generate(
                request.segments,
                request.sampling,
                max_tokens=request.max_tokens,
                reserve=request.reserve,
                stop=request.stop,
                slot=slot_name(self.answer.conversation_id),
                deterministic=request.record.deterministic,
                snapshot=request.snapshot,
            )
            if self._stopped.is_set():
                self._generation.cancel()
            try:
                yield from self._generation
            except ContextOverflow as error:
                if left_out:
                    raise
                left_out = self._answering.leave_out(self.answer, error)
            else:
                return


class _Result(Generic[_T]):
    """What work in another thread came to."""

    def __init__(self, value: _T) -> None:
        self.value = value


_Tell = Callable[[TurnEvent], None]
_News = TurnEvent | _Result[Any] | BaseException | None


class _Writing:
    """An answer while it is written, saved every few seconds."""

    def __init__(self, answering: Answering, answer: Message) -> None:
        self._answering = answering
        self._answer = answer
        self._text = answer.text
        self._saved_at = time.monotonic()
        self._stats: GenerationStats | None = None
        self._error = ""
        self._ended: Message | None = None
        self._repeats = False
        self.record: AnswerRecord | None = None
        self.grounding: Grounding | None = None
        self.status = Status.STOPPED

    def add(self, text: str) -> None:
        if self._repeats:  # what was still on its way
            return
        self._text += text
        now = time.monotonic()
        if now - self._saved_at >= _SAVE_SECONDS:
            self._saved_at = now
            # A full disk or a busy store may be over by the next time; if not, the end says so.
            with contextlib.suppress(StoreError):
                self._answering.save_progress(self._answer.id, self._text)

    def goes_in_circles(self) -> bool:
        """Whether the model only says again what it said; then that much is no part of the answer."""
        start = repeats_from(self._text)
        if start is not None:
            self._text = self._text[:start].rstrip()
            self._repeats = True
        return start is not None

    def done(self, event: Done) -> None:
        if self._repeats:
            self._stats = _stats(event.usage, "repeats", self._answer.stats)
            self.status = Status.COMPLETE
            return
        self._stats = _stats(event.usage, event.reason, self._answer.stats)
        self.status = {
            "end": Status.COMPLETE,
            "stop_string": Status.COMPLETE,
            "max_tokens": Status.CUT_OFF,
            "context_full": Status.CUT_OFF,
            "cancelled": Status.STOPPED,
        }[event.reason]

    def failed(self, error: LocalAIError) -> None:
        self.status = Status.FAILED
        self._error = error.line

    def save(self, status: Status) -> Message:
        """Save the answer as it ended; once."""
        if self._ended is None:
            self._ended = self._answering.finish(
                self._answer,
                self._text,
                status,
                error=self._error,
                stats=self._stats,
                record=self.record,
                grounding=self.grounding,
            )
        return self._ended


def _stats(usage: Usage, reason: str, before: GenerationStats | None) -> GenerationStats:
    """What the answer cost in all: a continued one adds to what it had cost before."""
    return GenerationStats(
        prompt_tokens=usage.prompt_tokens,
        reused_tokens=usage.reused_tokens,
        output_tokens=usage.output_tokens + (before.output_tokens if before else 0),
        first_token_seconds=usage.first_token_seconds,
        generation_seconds=usage.generation_seconds + (before.generation_seconds if before else 0.0),
        stop_reason=reason,
    )

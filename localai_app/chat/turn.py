"""One answer in the making: load, prompt, generate, save.

The order is what keeps a person's words: question and empty answer are saved before anything is
computed, the text is saved every few seconds while it streams, and every ending (done, stopped,
engine gone, app closing) takes the same exit with another status.
"""

import contextlib
import dataclasses
import hashlib
import hmac
import queue
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

from localai_app.chat import prompt
from localai_app.chat.conversation import AnswerRecord, GenerationStats, Message, Parameters, Role, Status
from localai_app.chat.history import History
from localai_app.chat.repetition import repeats_from
from localai_app.chat.snapshots import Snapshots, slot_name
from localai_app.documents.asking import NOT_FOUND, Asking
from localai_app.documents.document import Citation
from localai_app.documents.grounding import Gathering, Grounding, Sources
from localai_app.engine.client import Engine, Generation, GenerationEvent
from localai_app.engine.protocol import (
    Accepted,
    Done,
    ModelInfo,
    Progress,
    Sampling,
    Segment,
    SnapshotFile,
    Text,
    Usage,
)
from localai_app.errors import ContextOverflow, LocalAIError, StoreError
from localai_app.governance.audit import Audit, AuditEvent, BodyValue
from localai_app.models.service import ModelService

_T = TypeVar("_T")

_SAVE_SECONDS = 2.0
"""How often the text is saved while it streams; a power cut costs no more."""
_ANSWER_RESERVE = 256
"""Tokens that must be free for an answer to begin; an eighth of a small context."""
_GROUNDED_TOKENS = 1024
"""Of an answer from documents, unless the person or the model's publisher says otherwise: a small model that
copies may not find an end."""
_GROUNDED_STOP = ("\nQuestion:",)
"""Where a model without a chat template would go on with a question of its own."""


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

    def __init__(self, answering: "Answering", question: Message | None, answer: Message) -> None:
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

    def __init__(self, answering: "Answering", answer: Message) -> None:
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


@dataclasses.dataclass(frozen=True)
class _Request:
    segments: list[Segment]
    sampling: Sampling
    max_tokens: int
    reserve: int
    stop: tuple[str, ...]
    snapshot: SnapshotFile | None
    record: AnswerRecord


class Answering:
    """What every turn needs of the rooms around it."""

    def __init__(  # noqa: PLR0917 - the rooms below it
        self,
        history: History,
        models: ModelService,
        engine: Engine,
        audit: Audit,
        snapshots: Snapshots,
        asking: Asking,
        ended: Callable[[int], None],
    ) -> None:
        """``ended`` is told the conversation of every turn that is over."""
        self.history = history
        self.models = models
        self.engine = engine
        self._audit = audit
        self._snapshots = snapshots
        self._asking = asking
        self._ended = ended

    def grounds(
        self, answer: Message, model: ModelInfo, stop: threading.Event
    ) -> Iterator[Gathering | Grounding] | None:
        """Gather what ``answer`` shall rest on; None where the conversation has no documents.

        An answer that is continued rests on what it was begun with: raise `DocumentError` when that changed.
        """
        conversation = self.history.conversation(answer.conversation_id)
        path = self.history.path(answer.id)
        questions = [message.text for message in path if message.role is Role.USER]
        if answer.text and answer.given and answer.record and answer.record.coverage:
            fingerprint = self._fingerprint(conversation.id)
            coverage = answer.record.coverage
            return iter([self._asking.restore(answer.given, coverage, questions[-1], fingerprint)])
        if answer.text or conversation.sources is None:
            return None
        room = self._room(conversation.system_prompt, path, model, conversation.sources)
        return self._asking.ground(
            questions[-1], conversation.sources, room, before=questions[:-1], stop=stop
        )

    def _room(self, system_prompt: str, path: list[Message], model: ModelInfo, sources: Sources) -> int:
        """Tokens that documents may have: what the conversation, and an answer, leave of the context.

        A quarter of it at least: in a long conversation something else has to give way.
        """
        without = prompt.build(system_prompt, path, (), prompt.Grounded("", sources.mode))
        taken = self.engine.count(self.engine.render(without.messages))
        reserve = min(_GROUNDED_TOKENS, model.context_length // 8)
        return max(model.context_length - taken - reserve, model.context_length // 4)

    def request(
        self,
        answer: Message,
        model: ModelInfo,
        left_out: tuple[int, ...],
        grounding: Grounding | None = None,
    ) -> _Request:
        """What the engine is asked for ``answer``, and the record of it."""
        conversation = self.history.conversation(answer.conversation_id)
        path = self.history.path(answer.id)
        bare = model.chat_template is None
        grounded = prompt.Grounded(grounding.text, grounding.coverage.mode, bare) if grounding else None
        given = prompt.build(conversation.system_prompt, path, left_out, grounded)
        segments = self.engine.render(given.messages, continue_last=bool(answer.text))
        parameters = conversation.parameters
        if grounding and parameters.temperature is None:
            # The words of the documents are wanted, not variety.
            parameters = dataclasses.replace(parameters, temperature=0.0)
        sampling = self.sampling(parameters)
        rendered = "".join(segment.text for segment in segments).encode()
        template = model.chat_template or ""
        record = AnswerRecord(
            model_name=self.models.selected().name,
            model_sha256=self.models.loaded_sha256,
            engine_build=model.engine_build,
            device=model.device,
            template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else "",
            prompt_hmac=self.hmac(conversation.id, rendered),
            sampler={
                field: value
                for field in sampling.__struct_fields__
                if (value := getattr(sampling, field)) != ""  # no grammar
            },
            deterministic=parameters.seed is not None,
            left_out=given.left_out,
            coverage=grounding.coverage if grounding else None,
        )
        max_tokens = parameters.max_tokens
        if max_tokens is None:
            usual = _GROUNDED_TOKENS if grounding else 0
            max_tokens = int(self._recommended().get("max_tokens", usual))
        reserve = min(max_tokens or _ANSWER_RESERVE, _ANSWER_RESERVE, model.context_length // 8)
        snapshot = self._snapshots.find(conversation.id, record.model_sha256)
        stop = _GROUNDED_STOP if grounding and bare else ()
        return _Request(segments, sampling, max_tokens, reserve, stop, snapshot, record)

    def sampling(self, parameters: Parameters) -> Sampling:
        """The sampler's values: what the person set, else what the model recommends, else the default."""
        wanted = {
            field: value
            for field in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed")
            if (value := getattr(parameters, field)) is not None
        }
        recommended = {name: value for name, value in self._recommended().items() if name != "max_tokens"}
        return Sampling(**{"seed": secrets.randbits(31), **recommended, **wanted})

    def _recommended(self) -> dict[str, float]:
        return self.models.recommended_sampling(self.models.selected())

    def leave_out(self, answer: Message, error: ContextOverflow) -> tuple[int, ...]:
        """Which messages the model is not given after all; raise ``error`` again when none may go."""
        overflow = self.history.conversation(answer.conversation_id).parameters.overflow or "stop"
        try:
            return prompt.choose_left_out(
                self.history.path(answer.id),
                overflow,
                excess=error.needed - error.available,
                count=lambda text: self.engine.count([Segment(text=text)]),
            )
        except ContextOverflow as refused:
            questions = sum(message.role is Role.USER for message in self.history.path(answer.id))
            hint = (
                "Start a new chat, or set Context Overflow to Drop oldest in the parameters."
                if overflow == "stop" and questions > 1
                else "Shorten it, or choose a model with a longer context."
            )
            raise ContextOverflow(
                f"{refused} It needs {error.needed} tokens of {error.available}.",
                hint,
                needed=error.needed,
                available=error.available,
            ) from error

    def save_progress(self, answer_id: int, text: str) -> None:
        """Keep what has come so far."""
        with self.history.transaction():
            self.history.save_progress(answer_id, text)

    def save_grounding(self, answer: Message, record: AnswerRecord, grounding: Grounding) -> None:
        """Keep what the answer is given before it is begun."""
        given = self._asking.given(grounding, self._fingerprint(answer.conversation_id))
        with self.history.transaction():
            self.history.save_grounding(answer.id, record, given)

    def finish(
        self,
        answer: Message,
        text: str,
        status: Status,
        *,
        error: str,
        stats: GenerationStats | None,
        record: AnswerRecord | None,
        grounding: Grounding | None,
    ) -> Message:
        """Keep an answer as it ended, with what it cites."""
        try:
            citations = self._asking.cite(text, grounding) if grounding else ()
            with self.history.transaction():
                self.history.finish(answer.id, text, status, error=error, stats=stats, record=record)
                if grounding:
                    self.history.save_citations(answer.id, citations)
                self._audit.append(
                    AuditEvent.ANSWER_FINISHED,
                    object_id=self.hmac(answer.conversation_id, text.encode()),
                    body={
                        "message": answer.id,
                        "status": status.value,
                        "model": record.model_sha256 if record else "",
                        "prompt": record.prompt_hmac if record else "",
                        "seed": record.sampler["seed"] if record else None,
                        "output_tokens": stats.output_tokens if stats else 0,
                        **(_evidence(grounding, citations) if grounding else {}),
                    },
                )
                if record and stats:
                    self._note_speed(record, stats)
            return self.history.message(answer.id)
        finally:
            self._ended(answer.conversation_id)
            if record:
                self._snapshots.turn_ended(answer.conversation_id, record.model_sha256)

    def _note_speed(self, record: AnswerRecord, stats: GenerationStats) -> None:
        speeds = self.models.speeds
        speeds.note(record.model_sha256, record.device, stats.output_tokens, stats.generation_seconds)
        read = stats.prompt_tokens - stats.reused_tokens
        speeds.note_reading(record.model_sha256, record.device, read, stats.first_token_seconds)

    def _fingerprint(self, conversation_id: int) -> Callable[[str], str]:
        return lambda text: self.hmac(conversation_id, text.encode("utf-8", "replace"))

    def hmac(self, conversation_id: int, content: bytes) -> str:
        """What stands for ``content`` in records and audit: nothing can be read from it."""
        return hmac.digest(self.history.content_key(conversation_id), content, "sha256").hex()


def _evidence(grounding: Grounding, citations: Sequence[Citation]) -> dict[str, BodyValue]:
    """What the audit log keeps of an answer from documents: ids and numbers."""
    return {
        "mode": grounding.coverage.mode.value,
        "documents": sorted({passage.document_id for passage in grounding.passages}),
        "passages": len(grounding.passages),
        "pages": grounding.coverage.pages,
        "pages_read": grounding.coverage.pages_used,
        "citations": len(citations),
        "verified": sum(citation.verified for citation in citations),
    }


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

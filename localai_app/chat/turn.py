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
from collections.abc import Callable, Generator, Iterator

from localai_app.chat import prompt
from localai_app.chat.conversation import AnswerRecord, GenerationStats, Message, Parameters, Role, Status
from localai_app.chat.history import History
from localai_app.chat.snapshots import Snapshots, slot_name
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
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.models.service import ModelService

_SAVE_SECONDS = 2.0
"""How often the text is saved while it streams; a power cut costs no more."""
_ANSWER_RESERVE = 256
"""Tokens that must be free for an answer to begin; an eighth of a small context."""


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


TurnEvent = ModelLoading | PromptProgress | TextDelta | TurnFinished


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
        self._loading: queue.SimpleQueue[float | ModelInfo | BaseException | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[TurnEvent]:
        writing = _Writing(self._answering, self.answer)
        try:
            with self._answering.engine.hold():
                model = yield from self._load()
                if model is not None:
                    yield from self._generate(model, writing)
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
        self._loading.put(None)
        if self._generation is not None:
            self._generation.cancel()

    def _load(self) -> Generator[TurnEvent, None, ModelInfo | None]:
        """Load the model in a thread of its own, so that Stop need not wait for it."""

        def load() -> None:
            try:
                self._loading.put(self._answering.models.load(self._loading.put))
            except BaseException as error:
                self._loading.put(error)

        threading.Thread(target=load, name="model load", daemon=True).start()
        while not self._stopped.is_set():
            news = self._loading.get()
            if isinstance(news, BaseException):
                raise news
            if isinstance(news, float):
                yield ModelLoading(news)
            elif news is not None:
                return news
        return None

    def _generate(self, model: ModelInfo, writing: "_Writing") -> Iterator[TurnEvent]:
        for event in self._start(model, writing):
            match event:
                case Accepted():
                    if event.prompt_tokens > event.reused_tokens:
                        yield PromptProgress(event.reused_tokens, event.prompt_tokens)
                case Progress():
                    yield PromptProgress(event.done, event.total)
                case Text():
                    writing.add(event.text)
                    yield TextDelta(event.text)
                case Done():
                    writing.done(event)

    def _start(self, model: ModelInfo, writing: "_Writing") -> Iterator[GenerationEvent]:
        """Start the generation; where the conversation is too long, do what it says about that."""
        left_out: tuple[int, ...] = ()
        while True:
            request = self._answering.request(self.answer, model, left_out)
            writing.record = request.record
            self._generation = self._answering.engine.generate(
                request.segments,
                request.sampling,
                max_tokens=request.max_tokens,
                reserve=request.reserve,
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
        self.record: AnswerRecord | None = None
        self.status = Status.STOPPED

    def add(self, text: str) -> None:
        self._text += text
        now = time.monotonic()
        if now - self._saved_at >= _SAVE_SECONDS:
            self._saved_at = now
            # A full disk or a busy store may be over by the next time; if not, the end says so.
            with contextlib.suppress(StoreError):
                self._answering.save_progress(self._answer.id, self._text)

    def done(self, event: Done) -> None:
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
                self._answer, self._text, status, error=self._error, stats=self._stats, record=self.record
            )
        return self._ended


@dataclasses.dataclass(frozen=True)
class _Request:
    segments: list[Segment]
    sampling: Sampling
    max_tokens: int
    reserve: int
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
        ended: Callable[[int], None],
    ) -> None:
        """``ended`` is told the conversation of every turn that is over."""
        self.history = history
        self.models = models
        self.engine = engine
        self._audit = audit
        self._snapshots = snapshots
        self._ended = ended

    def request(self, answer: Message, model: ModelInfo, left_out: tuple[int, ...]) -> _Request:
        """What the engine is asked for ``answer``, and the record of it."""
        conversation = self.history.conversation(answer.conversation_id)
        path = self.history.path(answer.id)
        given = prompt.build(conversation.system_prompt, path, left_out)
        segments = self.engine.render(given.messages, continue_last=bool(answer.text))
        parameters = conversation.parameters
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
        )
        max_tokens = parameters.max_tokens
        if max_tokens is None:
            max_tokens = int(self._recommended().get("max_tokens", 0))
        reserve = min(max_tokens or _ANSWER_RESERVE, _ANSWER_RESERVE, model.context_length // 8)
        snapshot = self._snapshots.find(conversation.id, record.model_sha256)
        return _Request(segments, sampling, max_tokens, reserve, snapshot, record)

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

    def finish(
        self,
        answer: Message,
        text: str,
        status: Status,
        *,
        error: str,
        stats: GenerationStats | None,
        record: AnswerRecord | None,
    ) -> Message:
        """Keep an answer as it ended."""
        try:
            with self.history.transaction():
                self.history.finish(answer.id, text, status, error=error, stats=stats, record=record)
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
                    },
                )
                if record and stats:
                    self.models.speeds.note(
                        record.model_sha256, record.device, stats.output_tokens, stats.generation_seconds
                    )
            return self.history.message(answer.id)
        finally:
            self._ended(answer.conversation_id)
            if record:
                self._snapshots.turn_ended(answer.conversation_id, record.model_sha256)

    def hmac(self, conversation_id: int, content: bytes) -> str:
        """What stands for ``content`` in records and audit: nothing can be read from it."""
        return hmac.digest(self.history.content_key(conversation_id), content, "sha256").hex()


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

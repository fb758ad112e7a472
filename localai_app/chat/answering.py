"""What every answer needs of the rooms around it: what the model is asked for, and how the end is kept."""

import dataclasses
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence

from localai_app.chat import prompt
from localai_app.chat.conversation import AnswerRecord, GenerationStats, Message, Parameters, Role, Status
from localai_app.chat.history import History
from localai_app.chat.snapshots import Snapshots
from localai_app.documents.asking import Asking
from localai_app.documents.document import Citation
from localai_app.documents.grounding import Gathering, Grounding, Sources
from localai_app.engine.client import Engine
from localai_app.engine.protocol import ModelInfo, Sampling, Segment, SnapshotFile
from localai_app.errors import ContextOverflow
from localai_app.governance.audit import Audit, AuditEvent, BodyValue, Content
from localai_app.models.service import ModelService

_ANSWER_RESERVE = 256
"""Tokens that must be free for an answer to begin; an eighth of a small context."""
_GROUNDED_TOKENS = 1024
"""Of an answer from documents, unless the person or the model's publisher says otherwise: a small model that
copies may not find an end."""
_GROUNDED_STOP = ("\nQuestion:",)
"""Where a model without a chat template would go on with a question of its own."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What the engine is asked for one answer, and the record of it."""

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
    ) -> Request:
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
        return Request(segments, sampling, max_tokens, reserve, stop, snapshot, record)

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
                    content=Content("answer", f"conversation {answer.conversation_id}", text),
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

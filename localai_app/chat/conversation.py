"""Values of a conversation: a tree of messages, each with a parent.

A conversation shows one path of its tree, from a root to ``leaf_id``. Regenerating adds a sibling
of an answer, editing adds a sibling of a question; nothing is overwritten.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from localai_app.documents.document import Citation
from localai_app.documents.grounding import Coverage, Given, Sources


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


class Status(StrEnum):
    """What became of a message; a person's message is ``complete`` at once."""

    GENERATING = "generating"
    COMPLETE = "complete"
    STOPPED = "stopped"
    """The person pressed Stop; the text up to then is kept."""
    CUT_OFF = "cut_off"
    """Max tokens or the context's end was reached; can be continued."""
    INTERRUPTED = "interrupted"
    """The app or the machine went down while it was written; can be continued."""
    FAILED = "failed"
    """The engine failed; ``Message.error`` says why and what to do."""


Overflow = Literal["stop", "drop_oldest", "keep_start_and_end"]


@dataclass(frozen=True)
class Parameters:
    """What a person set for one conversation; None leaves the model's recommendation or the default."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    max_tokens: int | None = None
    """0: until the context is full."""
    seed: int | None = None
    """None draws one per answer."""
    overflow: Overflow | None = None
    """What to do when the conversation outgrows the context; default "stop" asks the person."""


@dataclass(frozen=True)
class GenerationStats:
    """What one answer cost; counts are tokens."""

    prompt_tokens: int
    reused_tokens: int
    output_tokens: int
    first_token_seconds: float
    generation_seconds: float
    stop_reason: str
    """``end``, ``stop_string``, ``max_tokens``, ``context_full``, ``cancelled``; ``repeats``: the model said
    the same again and again, and was stopped."""

    @property
    def tokens_per_second(self) -> float:
        """Decode speed: tokens after the first over the time they took; 0 when nothing was timed."""
        if self.output_tokens < 2 or self.generation_seconds <= 0:
            return 0.0
        return (self.output_tokens - 1) / self.generation_seconds


@dataclass(frozen=True)
class AnswerRecord:
    """How an answer came about, kept with it so that it can be made again."""

    model_name: str
    model_sha256: str
    engine_build: str
    device: str
    template_sha256: str
    """Empty for a base model."""
    prompt_hmac: str
    """HMAC-SHA256 of the rendered prompt under the conversation's key."""
    sampler: Mapping[str, float | int | str]
    """Every sampling value as used, seed included."""
    deterministic: bool = False
    """The engine computed so that the same request gives the same bits; so wherever a person set a seed."""
    left_out: tuple[int, ...] = ()
    """Ids of messages that did not fit the context and were not given to the model."""
    coverage: Coverage | None = None
    """What of the documents the answer rests on; None where there were none."""


@dataclass(frozen=True)
class Message:
    """One message, with its place among the siblings that answer the same parent."""

    id: int
    conversation_id: int
    parent_id: int | None
    role: Role
    text: str
    status: Status
    created: datetime
    error: str = ""
    stats: GenerationStats | None = None
    record: AnswerRecord | None = None
    feedback: int = 0
    """1 thumbs up, -1 thumbs down, 0 none."""
    sibling_ids: tuple[int, ...] = ()
    """Ids of all messages with this parent and role, itself included, oldest first."""
    given: tuple[Given, ...] = ()
    """Passages of documents that the model was given; ``given[n - 1]`` is what ``[n]`` stands for."""
    citations: tuple[Citation, ...] = ()
    """What the answer cites, checked on the pages."""

    @property
    def branch(self) -> tuple[int, int]:
        """``(2, 3)`` for the second of three siblings."""
        return self.sibling_ids.index(self.id) + 1, len(self.sibling_ids)


@dataclass(frozen=True)
class Conversation:
    """A conversation without its messages."""

    id: int
    title: str
    created: datetime
    updated: datetime
    trashed: datetime | None = None
    system_prompt: str = ""
    parameters: Parameters = field(default_factory=Parameters)
    leaf_id: int | None = None
    """Last message of the path that is shown; None while there is no message."""
    model_sha256: str = ""
    """Hash of the model that answered last."""
    sources: Sources | None = None
    """The documents that its answers rest on; None for none."""


@dataclass(frozen=True)
class SearchHit:
    """A message that matches a search; ``snippet`` marks the words with ``\\x02`` and ``\\x03``."""

    conversation_id: int
    conversation_title: str
    message_id: int
    role: Role
    snippet: str
    created: datetime

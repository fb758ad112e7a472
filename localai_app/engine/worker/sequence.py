"""One request on its way through the scheduler."""

import time
from dataclasses import dataclass, field
from typing import Protocol

from localai_app.engine.protocol import Generate, Usage
from localai_app.engine.worker.drafting import Drafter
from localai_app.engine.worker.prefix_cache import Slot
from localai_app.engine.worker.text import TextStream


class TokenSampler(Protocol):
    """The state of one request's sampling (penalties, grammar, random numbers); opaque here."""


@dataclass
class Sequence:
    """A request, what of it is evaluated, and what it has said."""

    request: Generate
    tokens: list[int]
    """Prompt and answer: what must stand in the cache before the next token can be chosen."""
    sampler: TokenSampler
    text: TextStream
    arrived: float
    """Monotonic seconds."""
    slot: Slot | None = None
    drafter: Drafter = field(default_factory=Drafter)
    draft: list[int] = field(default_factory=list)
    """Guesses that ride along in this step."""
    answer: str = ""
    unsaid: str = ""
    """The end of `answer`, not sent yet."""
    said_at: float = 0.0
    """Monotonic seconds."""
    accepted: bool = False
    """Whether it ever had a slot."""
    reused: int = 0
    prompt_length: int = field(init=False)
    first_token_at: float = 0.0
    last_token_at: float = 0.0

    def __post_init__(self) -> None:
        self.prompt_length = len(self.tokens)

    @property
    def name(self) -> str:
        """Under which it is parked: that of its conversation, or its own."""
        return self.request.slot or f"#{self.request.id}"

    @property
    def most(self) -> int:
        """Cells that it may come to; for an answer of open length, the least that was asked for it."""
        answer = self.request.max_tokens if self.request.background else 0
        return max(self.prompt_length + max(answer, self.request.reserve, 1), len(self.tokens))

    @property
    def output_tokens(self) -> int:
        """Tokens said."""
        return len(self.tokens) - self.prompt_length

    @property
    def pending(self) -> int:
        """Tokens that wait to be evaluated; 1 while it is decoding."""
        return len(self.tokens) - (len(self.slot.tokens) if self.slot else 0)

    def took(self, token: int) -> None:
        """Note a sampled token and when it came."""
        self.last_token_at = time.monotonic()
        if not self.output_tokens:
            self.first_token_at = self.last_token_at
        self.tokens.append(token)

    def usage(self) -> Usage:
        """What it cost up to now."""
        return Usage(
            prompt_tokens=self.prompt_length,
            reused_tokens=self.reused,
            output_tokens=self.output_tokens,
            first_token_seconds=max(self.first_token_at - self.arrived, 0.0) if self.output_tokens else 0.0,
            generation_seconds=self.last_token_at - self.first_token_at,
        )

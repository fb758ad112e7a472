"""Which tokens go into the next `llama_decode`: continuous batching.

Every step takes one token of each request that is decoding and fills the rest with prompt tokens of
those that are not, a person's requests before background ones. A request that arrives joins the next
step. A prompt slice is as long as this machine evaluates in `SLICE_SECONDS`, so that others do not
wait and progress is seen. When the cache is full, idle conversations are dropped, then the youngest
request goes back to the queue with what it has said; nothing fails half-way for lack of room.

Runs in the one thread that owns the context; only `interrupt` is called from another.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from localai_app.engine.protocol import (
    Accepted,
    Done,
    Event,
    Failed,
    Generate,
    Progress,
    Score,
    Scored,
    StopReason,
    Text,
)
from localai_app.engine.worker.drafting import MAX_DRAFT, StepCost
from localai_app.engine.worker.llama import Aborted, Entry, LlamaError, NoRoom
from localai_app.engine.worker.prefix_cache import Cells, PrefixCache
from localai_app.engine.worker.scoring import Scoring
from localai_app.engine.worker.sequence import Sequence, TokenSampler
from localai_app.engine.worker.text import TextStream

SLICE_SECONDS = 0.4
MINIMUM_SLICE = 64


class Backend(Cells, Protocol):
    """What computes; llama.cpp, or a fake in a test."""

    length: int
    batch_size: int
    sequences: int
    drafts: bool
    """Whether guesses can be taken back: a part of a sequence can be dropped."""

    def decode(self, entries: list[Entry], *, fixed_threads: bool) -> None:
        """Evaluate; raise `NoRoom`, `Aborted` or `LlamaError`."""

    def sample(self, sampler: TokenSampler, row: int) -> int:
        """The next token after batch entry ``row``."""

    def incomplete(self, sampler: TokenSampler) -> bool:
        """Whether the sampler's grammar asks for more than was said."""

    def closed(self, sampler: TokenSampler) -> bool:
        """Whether the sampler's grammar allows nothing more."""

    def log_probabilities(
        self, row: int, tokens: list[int], together: list[int]
    ) -> tuple[list[float], float]:
        """Of each of ``tokens`` after batch entry ``row``, and of any one of ``together``."""

    def piece(self, token: int) -> bytes:
        """Bytes of ``token``."""

    def ends_generation(self, token: int) -> bool:
        """Whether ``token`` closes the answer."""

    def remember(self, answer: str, tokens: list[int]) -> None:
        """Keep the ``tokens`` that were sampled for ``answer``, for the prompt of the next turn."""


class Scheduler:
    """All requests of one worker."""

    def __init__(self, backend: Backend, emit: Callable[[Event], None]) -> None:
        self._backend = backend
        self._emit = emit
        self._waiting: deque[Sequence] = deque()
        self._active: list[Sequence] = []
        self._interrupted: set[int] = set()
        self._in_step: frozenset[int] = frozenset()
        self.abort = False
        """Read by llama.cpp's abort callback while a decode runs."""
        self._prompt_rate = 0.0
        self.cache = PrefixCache(backend, backend.sequences)
        self.evaluated = 0
        self.generated = 0
        self.reused = 0
        self.drafted = 0
        self.accepted = 0
        self._cost = StepCost()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._active and not self._waiting

    @property
    def prompt_rate(self) -> float:
        """Prompt tokens per second, as last measured; 0 before."""
        return self._prompt_rate

    @property
    def active(self) -> int:
        """Requests that have a sequence."""
        return len(self._active)

    @property
    def waiting(self) -> int:
        """Requests that wait for one."""
        return len(self._waiting)

    def submit(self, request: Generate, prompt: list[int], sampler: TokenSampler, arrived: float) -> None:
        """Queue a request; it ends with one `Done` or `Failed`."""
        needed = len(prompt) + max(request.reserve, 1)
        if needed > self._backend.length:
            self._emit(
                Failed(
                    id=request.id,
                    code="context_overflow",
                    message=f"The text has {len(prompt)} tokens; the context holds {self._backend.length}.",
                    needed=needed,
                    available=self._backend.length,
                )
            )
            return
        text = TextStream(request.stop)
        self._waiting.append(Sequence(request, prompt, sampler, text, arrived))

    def submit_score(self, request: Score, prompt: list[int], scoring: Scoring, arrived: float) -> None:
        """Queue a request to read labels; it ends with one `Scored`, `Done` (``cancelled``) or `Failed`."""
        reading = Generate(
            id=request.id,
            prompt=[],
            reserve=scoring.longest,
            slot=request.slot,
            background=request.background,
            deterministic=request.deterministic,
        )
        self.submit(reading, prompt, scoring, arrived)

    def interrupt(self, request_id: int) -> None:
        """Let a decode that computes for ``request_id`` end at once; `cancel` must follow.

        Called from the reading thread while the other one computes.
        """
        self._interrupted.add(request_id)
        if request_id in self._in_step:
            self.abort = True

    def cancel(self, request_id: int) -> None:
        """End a request with what it has said; one that has ended already is left alone."""
        self._interrupted.discard(request_id)
        for sequence in [*self._active, *self._waiting]:
            if sequence.request.id == request_id:
                self._finish(sequence, "cancelled")

    def step(self) -> None:
        """Advance every request that can advance by one decode."""
        self._admit()
        entries, rows, slices = self._compose()
        if not entries:
            return
        self._in_step = frozenset(sequence.request.id for sequence in self._active)
        # The interrupt may have come before the step had begun.
        self.abort = not self._interrupted.isdisjoint(self._in_step)
        started = time.monotonic()
        try:
            self._backend.decode(entries, fixed_threads=self._alone)
        except NoRoom:
            self._make_room()
            return
        except Aborted:
            self._restore()
            return
        except LlamaError as error:
            self._fail_all(str(error))
            return
        finally:
            self._in_step = frozenset()
        self._took_place(entries, slices, time.monotonic() - started)
        for sequence, row in rows:
            self._advance(sequence, row)
        if len(entries) <= MINIMUM_SLICE:
            self._cost.record(len(entries), time.monotonic() - started)
        # Idle conversations slow every step; they leave the cache one at a time, while others run.
        if self._active:
            self.cache.park_one()

    # ------------------------------------------------------------ one step

    @property
    def _alone(self) -> bool:
        """Whether a deterministic request runs; then it is the only one."""
        return any(sequence.request.deterministic for sequence in self._active)

    def _admit(self) -> None:
        # A person's requests first; among equals, first come first served.
        for sequence in sorted(self._waiting, key=lambda waiting: waiting.request.background):
            alone = sequence.request.deterministic
            taken = sum(len(active.tokens) for active in self._active)
            full = taken + len(sequence.tokens) >= self._backend.length
            if self._active and (full or alone or self._alone):
                return
            if alone:
                # Where its cells lie decides in which order attention adds up: an empty cache.
                while self.cache.park_one():
                    pass
            slot = self.cache.acquire(sequence.request.slot, sequence.tokens, reuse=not alone)
            if slot is None:
                return
            self._waiting.remove(sequence)
            self._active.append(sequence)
            sequence.slot = slot
            if not sequence.output_tokens:
                sequence.reused = len(slot.tokens)
                self.reused += sequence.reused
                self._emit(
                    Accepted(
                        id=sequence.request.id,
                        prompt_tokens=sequence.prompt_length,
                        reused_tokens=sequence.reused,
                    )
                )

    def _compose(self) -> tuple[list[Entry], list[tuple[Sequence, int]], list[tuple[Sequence, int]]]:
        """The batch, the rows whose logits are wanted, and how many tokens of each sequence it takes."""
        entries: list[Entry] = []
        rows: list[tuple[Sequence, int]] = []
        slices: list[tuple[Sequence, int]] = []
        budget = self._backend.batch_size if self._alone else self._slice()
        # The shortest prompt first: a question does not wait until somebody's document is read.
        order = sorted(
            self._active,
            key=lambda active: (active.pending > 1, active.request.background, active.pending),
        )
        for sequence in order:
            slot = sequence.slot
            assert slot is not None, "an active sequence has a slot"
            room = self._backend.batch_size - len(entries)
            count = min(sequence.pending, room)
            sequence.draft = []
            if sequence.pending == 1:
                sequence.draft = self._propose(sequence, len(entries), room - 1)
            else:
                count = min(count, budget)
                budget -= count
            if count <= 0:
                continue
            start = len(slot.tokens)
            last = count == sequence.pending
            for position, token in enumerate(sequence.tokens[start : start + count], start):
                entries.append(Entry(token, position, slot.sequence, last and position == start + count - 1))
            slices.append((sequence, count))
            if last:
                rows.append((sequence, len(entries) - 1))
            for position, token in enumerate(sequence.draft, start + count):
                entries.append(Entry(token, position, slot.sequence, True))
        return entries, rows, slices

    def _propose(self, sequence: Sequence, others: int, room: int) -> list[int]:
        """Guesses that ride along with a sequence that is decoding; what is known of one that reads."""
        if isinstance(sequence.sampler, Scoring):
            return sequence.sampler.ahead(min(room, MAX_DRAFT if len(self._active) == 1 else 0))
        if not self._backend.drafts or sequence.request.deterministic:
            return []
        left = self._backend.length - len(sequence.tokens)
        if sequence.request.max_tokens:
            left = min(left, sequence.request.max_tokens - sequence.output_tokens)
        outputs = MAX_DRAFT if len(self._active) == 1 else 0
        return sequence.drafter.propose(
            sequence.tokens,
            lambda guesses: self._cost.of(others + 1 + guesses),
            limit=min(room, left - 1, outputs),
        )

    def _slice(self) -> int:
        wanted = int(self._prompt_rate * SLICE_SECONDS) if self._prompt_rate else self._backend.batch_size
        return min(max(wanted // MINIMUM_SLICE * MINIMUM_SLICE, MINIMUM_SLICE), self._backend.batch_size)

    def _took_place(self, entries: list[Entry], slices: list[tuple[Sequence, int]], seconds: float) -> None:
        self.evaluated += len(entries)
        if len(entries) >= MINIMUM_SLICE:
            self._prompt_rate = len(entries) / max(seconds, 1e-6)
        for sequence, count in slices:
            assert sequence.slot is not None, "an active sequence has a slot"
            tokens = sequence.slot.tokens
            start = len(tokens)
            tokens += sequence.tokens[start : start + count]
            if count > 1:
                done = min(len(tokens), sequence.prompt_length)
                self._emit(Progress(id=sequence.request.id, done=done, total=sequence.prompt_length))

    def _advance(self, sequence: Sequence, row: int) -> None:
        """Choose the tokens that follow ``sequence``: one, and one more for each guess that held."""
        if isinstance(sequence.sampler, Scoring):
            self._read_labels(sequence, sequence.sampler, row)
            return
        slot, draft = sequence.slot, sequence.draft
        assert slot is not None, "an active sequence has a slot"
        held = len(slot.tokens)
        came: list[int] = []
        reason: StopReason | None = None
        try:
            while reason is None and (
                not came or (len(came) <= len(draft) and came[-1] == draft[len(came) - 1])
            ):
                came.append(self._backend.sample(sequence.sampler, row + len(came)))
                reason = self._took(sequence, came[-1])
        except LlamaError as error:
            self._fail(sequence, str(error))
            return
        if draft:
            # Cells of guesses that held stay; those of the rest are dropped.
            slot.tokens += draft
            self.cache.shorten(slot, held + len(came) - 1)
            self.drafted += len(draft)
            self.accepted += len(came) - 1
        sequence.drafter.learn(came, len(draft))
        if reason:
            self._finish(sequence, reason)

    def _took(self, sequence: Sequence, token: int) -> StopReason | None:
        """Say what ``token`` adds; why the answer ends with it, if it does."""
        ended = self._backend.ends_generation(token)
        sequence.took(token)
        self.generated += 1
        if not ended:
            self._say(sequence, sequence.text.feed(self._backend.piece(token)))
        return self._reason_to_stop(sequence, ended=ended or self._backend.closed(sequence.sampler))

    def _read_labels(self, sequence: Sequence, scoring: Scoring, row: int) -> None:
        """Take what the step tells of the labels, and go back to where the next one branches off."""
        slot = sequence.slot
        assert slot is not None, "an active sequence has a slot"
        for ahead in range(1 + len(sequence.draft)):
            scoring.take(*self._backend.log_probabilities(row + ahead, *scoring.wanted))
        slot.tokens += sequence.draft
        prompt = sequence.tokens[: sequence.prompt_length]
        if scoring.done:
            sequence.tokens = prompt
            self._drop(sequence)
            usage, figures = sequence.usage(), scoring.result()
            self._emit(Scored(id=sequence.request.id, log_probabilities=figures, usage=usage))
            return
        sequence.tokens = [*prompt, *scoring.path]
        self.cache.shorten(slot, len(sequence.tokens) - 1)

    def _reason_to_stop(self, sequence: Sequence, *, ended: bool) -> StopReason | None:
        if ended:
            return "end"
        if sequence.text.stopped:
            return "stop_string"
        if sequence.request.max_tokens and sequence.output_tokens >= sequence.request.max_tokens:
            return "max_tokens"
        if len(sequence.tokens) >= self._backend.length:
            return "context_full"
        return None

    # ------------------------------------------------------------ endings

    def _finish(self, sequence: Sequence, reason: StopReason) -> None:
        self._say(sequence, sequence.text.finish())
        self._backend.remember(sequence.answer, sequence.tokens[sequence.prompt_length :])
        self._drop(sequence)
        reading = isinstance(sequence.sampler, Scoring)
        incomplete = not reading and self._backend.incomplete(sequence.sampler)
        usage = sequence.usage()
        self._emit(Done(id=sequence.request.id, reason=reason, usage=usage, incomplete=incomplete))

    def _say(self, sequence: Sequence, text: str) -> None:
        if text:
            sequence.answer += text
            self._emit(Text(id=sequence.request.id, text=text, tokens=sequence.output_tokens))

    def _fail(self, sequence: Sequence, message: str) -> None:
        self._drop(sequence)
        self._emit(Failed(id=sequence.request.id, code="internal", message=message))

    def _fail_all(self, message: str) -> None:
        """After a fatal decode nothing is known of the cache: every live sequence is emptied."""
        for sequence in list(self._active):
            if sequence.slot:
                self.cache.shorten(sequence.slot, 0)
            self._fail(sequence, message)

    def _drop(self, sequence: Sequence) -> None:
        if sequence.slot is None:
            self._waiting.remove(sequence)
            return
        self.cache.release(sequence.slot)
        sequence.slot = None
        self._active.remove(sequence)

    def _restore(self) -> None:
        """After an abort: cells of the interrupted batch are removed, whichever were written.

        Idle slots are looked at too: an abort may cost a recurrent model all its states.
        """
        for slot in self.cache.slots:
            self.cache.shorten(slot, len(slot.tokens))

    def _make_room(self) -> None:
        if self.cache.park_one():
            return
        youngest = max(self._active, key=lambda active: (active.request.background, active.arrived))
        assert youngest.slot is not None, "an active sequence has a slot"
        if len(self._active) == 1:
            # Alone in an empty cache and still no room: the context is full.
            self._finish(youngest, "context_full")
            return
        slot = youngest.slot
        self._active.remove(youngest)
        youngest.slot = None
        self.cache.shorten(slot, 0)
        self.cache.release(slot)
        self._waiting.appendleft(youngest)

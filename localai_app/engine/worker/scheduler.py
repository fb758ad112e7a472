"""Which tokens go into the next `llama_decode`: continuous batching.

Every step takes one token of each request that is decoding and fills the rest with prompt tokens of
those that are not. A person's requests go first: a background step that computes when one arrives is
ended, nothing of the background is evaluated before the person's prompt is, and while the answer is
written only as much rides along as makes its steps at most half longer. Where there is no sequence or
no room for a person's request, background ones are suspended: copied out of the cache, to go on where
they were. Background requests run side by side as many as this device does fastest (`StepTime`), and
each is let in only when the cache has room for all it may come to, so that none is begun in vain. What
several begin with is evaluated by the first; the others wait for it and share its cells.

A prompt slice is as long as this machine evaluates in `SLICE_SECONDS`, so that others do not wait and
progress is seen. When the cache is full all the same, idle conversations are parked, then the youngest
request is suspended; nothing fails half-way for lack of room.

Runs in the one thread that owns the context; only `interrupt` and `hurry` are called from another.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

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
from localai_app.engine.worker.backend import Backend
from localai_app.engine.worker.drafting import MAX_DRAFT, StepCost
from localai_app.engine.worker.llama import Aborted, Entry, LlamaError, NoRoom
from localai_app.engine.worker.prefix_cache import PrefixCache, common_prefix
from localai_app.engine.worker.scoring import Scoring
from localai_app.engine.worker.sequence import Sequence, TokenSampler
from localai_app.engine.worker.step_time import StepTime
from localai_app.engine.worker.text import TextStream
from localai_app.engine.worker.waiting import Waiting

SLICE_SECONDS = 0.4
MINIMUM_SLICE = 64
SAY_SECONDS = 0.03
"""Between two messages with text of one answer; the window paints every 0.04 s."""
WORTH_WAITING = 32
"""Tokens that another is about to evaluate, from which on it is waited for."""


class Scheduler:
    """All requests of one worker."""

    def __init__(self, backend: Backend, emit: Callable[[Event], None]) -> None:
        self._backend = backend
        self._emit = emit
        self._waiting = Waiting()
        self._active: list[Sequence] = []
        self._interrupted: set[int] = set()
        self._in_step: frozenset[int] = frozenset()
        self._may_hurry = False
        self._hurried = False
        self._crowded = False
        """Whether one was suspended for lack of room: it goes on when another has ended."""
        self._prefixes: dict[str, int] = {}
        """Tokens that the requests of a group were seen to begin with."""
        self._time = StepTime()
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
        sequence = Sequence(request, prompt, sampler, TextStream(request.stop), arrived)
        if request.group:
            self._note_group(sequence)
        self._waiting.add(sequence)

    def submit_score(self, request: Score, prompt: list[int], scoring: Scoring, arrived: float) -> None:
        """Queue a request to read labels; it ends with one `Scored`, `Done` (``cancelled``) or `Failed`."""
        reading = Generate(
            id=request.id,
            prompt=[],
            reserve=scoring.longest,
            slot=request.slot,
            background=request.background,
            group=request.group,
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

    def hurry(self) -> None:
        """A person's request has arrived: a step that computes for background requests alone ends at once.

        Called from the reading thread.
        """
        self._hurried = True
        if self._may_hurry:
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
        cells = self.cache.cells_used
        self._in_step = frozenset(sequence.request.id for sequence in self._active)
        # Where a state cannot be taken back, ending a step early would cost more than the step.
        self._may_hurry = (
            self._backend.drops_parts
            and not self._alone
            and all(sequence.request.background for sequence in self._active)
        )
        # What interrupts may have come before the step had begun, or between these lines.
        self.abort = False
        if not self._interrupted.isdisjoint(self._in_step) or (self._may_hurry and self._hurried):
            self.abort = True
        started = time.perf_counter()
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
            self._in_step, self._may_hurry, self._hurried = frozenset(), False, False
        seconds = time.perf_counter() - started
        self._took_place(entries, slices, seconds)
        for sequence, row in rows:
            self._advance(sequence, row)
        if len(entries) <= MINIMUM_SLICE:
            self._cost.record(len(entries), seconds)
        self._time.record(len(entries), cells, seconds)
        # Idle conversations slow every step; they leave the cache one at a time, while others run.
        if self._active:
            self.cache.park_one()

    # ------------------------------------------------------------ who runs

    @property
    def _alone(self) -> bool:
        """Whether a deterministic request runs; then it is the only one."""
        return any(sequence.request.deterministic for sequence in self._active)

    @property
    def _background(self) -> list[Sequence]:
        return [sequence for sequence in self._active if sequence.request.background]

    def _admit(self) -> None:
        # A person's requests first come first served; none overtakes one that waits for room.
        while (person := self._waiting.person) is not None:
            if (self._crowded and person.accepted) or not self._start(person):
                return
        while not self._crowded and (sequence := self._next_background()) is not None:
            if not self._start(sequence):
                return

    def _next_background(self) -> Sequence | None:
        running = self._background
        for sequence in self._waiting.background(running):
            if running and len(running) >= self._width(sequence):
                continue
            if not self._beginning_is_coming(sequence):
                return sequence
        return None

    def _width(self, sequence: Sequence) -> float:
        """How many background requests like ``sequence`` to run side by side."""
        shared = min(self._prefixes.get(sequence.request.group, 0), sequence.prompt_length)
        # One sequence is left for a person.
        most = max(self._backend.sequences - 1, 1)
        output = max(sequence.request.max_tokens or sequence.request.reserve, 1)
        return min(self._time.width(sequence.prompt_length - shared, output), most)

    def _beginning_is_coming(self, sequence: Sequence) -> bool:
        """Whether a running request is about to evaluate what ``sequence`` begins with."""
        usable = sequence.tokens[:-1]
        here = max((common_prefix(slot.tokens, usable) for slot in self.cache.slots), default=0)
        return any(
            common_prefix(running.tokens, usable) >= here + WORTH_WAITING for running in self._background
        )

    def _start(self, sequence: Sequence) -> bool:
        """Give ``sequence`` a slot; False when it has to wait."""
        alone = sequence.request.deterministic
        while self._active and (alone or self._alone or not self._has_room_for(sequence)):
            # A deterministic one is not suspended: it would not go on to the same bits.
            others = [] if sequence.request.background or self._alone else self._background
            if not others:
                return False
            self._suspend(max(others, key=lambda other: other.arrived))
        if alone:
            # Where its cells lie decides in which order attention adds up: an empty cache.
            while self.cache.park_one():
                pass
        slot = self.cache.acquire(
            sequence.name, sequence.tokens, group=sequence.request.group, reuse=not alone
        )
        assert slot is not None, "where nobody runs every slot is idle"
        self._waiting.remove(sequence)
        self._active.append(sequence)
        sequence.slot = slot
        if slot.tokens:
            self.cache.mark(slot)
        if not sequence.accepted:
            sequence.accepted = True
            sequence.reused = len(slot.tokens)
            self.reused += sequence.reused
            self._emit(
                Accepted(
                    id=sequence.request.id,
                    prompt_tokens=sequence.prompt_length,
                    reused_tokens=sequence.reused,
                )
            )
        return True

    def _note_group(self, sequence: Sequence) -> None:
        """Learn what the requests of a group begin with, from a new one and one that runs or waits."""
        group = sequence.request.group
        other = next((running for running in self._active if running.request.group == group), None)
        other = other or self._waiting.of_group(group)
        if other is not None:
            shared = common_prefix(sequence.tokens, other.tokens)
            self._prefixes[group] = min(self._prefixes.get(group, shared), shared)

    def _has_room_for(self, sequence: Sequence) -> bool:
        """Whether a slot is idle and the cache holds what all that run, and this one, may come to."""
        if all(slot.busy for slot in self.cache.slots):
            return False
        slots = [active.slot for active in self._active if active.slot]
        # What is parked comes back whole, into cells of its own.
        parked = self.cache.is_parked(sequence.name)
        shared = 0 if parked else max(self.cache.reach(slot, sequence.tokens[:-1]) for slot in slots)
        coming = sum(active.most - len(active.slot.tokens) for active in self._active if active.slot)
        return self.cache.distinct(slots) + coming + sequence.most - shared <= self._backend.length

    def _suspend(self, sequence: Sequence) -> None:
        """Take a running request out of the cache; it goes on later where it was."""
        assert sequence.slot is not None, "an active sequence has a slot"
        self.cache.suspend(sequence.slot)
        sequence.slot = None
        self._active.remove(sequence)
        self._waiting.add(sequence, first=True)

    # ------------------------------------------------------------ one step

    def _compose(self) -> tuple[list[Entry], list[tuple[Sequence, int]], list[tuple[Sequence, int]]]:
        """The batch, the rows whose logits are wanted, and how many tokens of each sequence it takes."""
        step = _Step(self._backend.batch_size)
        persons = [sequence for sequence in self._active if not sequence.request.background]
        reading = [sequence for sequence in persons if sequence.pending > 1]
        for sequence in persons:
            if sequence.pending == 1:
                self._take(step, sequence, 1)
        budget = self._backend.batch_size if self._alone else self._slice()
        # The shortest prompt first: a question does not wait until somebody's document is read.
        for sequence in sorted(reading, key=lambda active: active.pending):
            budget -= self._take(step, sequence, budget)
        background = sorted(self._background, key=lambda active: (active.pending > 1, active.arrived))
        if reading or not background:
            return step.entries, step.rows, step.slices
        if self._alone:
            budget = self._backend.batch_size
        elif persons:
            budget = self._time.riders(len(step.entries), self.cache.cells_used)
        else:
            budget = self._time.batch(self._backend.batch_size)
        for sequence in background:
            budget -= self._take(step, sequence, budget)
        return step.entries, step.rows, step.slices

    def _take(self, step: "_Step", sequence: Sequence, budget: int) -> int:
        """Add at most ``budget`` pending tokens of ``sequence`` to the step; how many."""
        slot = sequence.slot
        assert slot is not None, "an active sequence has a slot"
        sequence.draft = []
        start = len(slot.tokens)
        count = min(sequence.pending, step.room, budget)
        if not self._backend.drops_parts:
            count = min(count, self._next_mark(sequence) - start)
        if count <= 0:
            return 0
        last = count == sequence.pending
        if sequence.pending == 1:
            sequence.draft = self._propose(sequence, len(step.entries), step.room - 1)
        for position, token in enumerate(sequence.tokens[start : start + count], start):
            wants_logits = last and position == start + count - 1
            step.entries.append(Entry(token, position, slot.sequence, wants_logits))
        step.slices.append((sequence, count))
        if last:
            step.rows.append((sequence, len(step.entries) - 1))
        for position, token in enumerate(sequence.draft, start + count):
            step.entries.append(Entry(token, position, slot.sequence, True))
        return count

    def _next_mark(self, sequence: Sequence) -> int:
        """Where a step of ``sequence`` must end at the latest, for a checkpoint to be made there.

        Behind what a group begins with; before the last token of a person's prompt, where another answer
        would begin, and of one whose labels are read, where each of them begins.
        """
        assert sequence.slot is not None, "an active sequence has a slot"
        here = len(sequence.slot.tokens)
        return min((mark for mark in self._marks(sequence) if mark > here), default=len(sequence.tokens))

    def _marks(self, sequence: Sequence) -> list[int]:
        request = sequence.request
        again = not request.background or isinstance(sequence.sampler, Scoring)
        marks = [sequence.prompt_length - 1] if again else []
        if not request.deterministic and request.group in self._prefixes:
            marks.append(self._prefixes[request.group])
        return marks

    def _propose(self, sequence: Sequence, others: int, room: int) -> list[int]:
        """Guesses that ride along with a sequence that is decoding; what is known of one that reads."""
        # None may cost another its room.
        free = self._backend.length - self.cache.cells_used - others - len(self._active)
        room = min(room, free)
        if isinstance(sequence.sampler, Scoring):
            return sequence.sampler.ahead(min(room, self._guesses(sequence)))
        if not self._backend.drafts or sequence.request.deterministic:
            return []
        left = self._backend.length - len(sequence.tokens)
        if sequence.request.max_tokens:
            left = min(left, sequence.request.max_tokens - sequence.output_tokens)
        return sequence.drafter.propose(
            sequence.tokens,
            lambda guesses: self._cost.of(others + 1 + guesses),
            limit=min(room, left - 1, self._guesses(sequence)),
        )

    def _guesses(self, sequence: Sequence) -> int:
        """How many rows of logits are left for guesses; none where equals advance together."""
        equals = [other for other in self._active if other.request.background <= sequence.request.background]
        return MAX_DRAFT + 1 - len(self._active) if equals == [sequence] else 0

    def _slice(self) -> int:
        wanted = int(self._prompt_rate * SLICE_SECONDS) if self._prompt_rate else self._backend.batch_size
        return min(max(wanted // MINIMUM_SLICE * MINIMUM_SLICE, MINIMUM_SLICE), self._backend.batch_size)

    def _took_place(self, entries: list[Entry], slices: list[tuple[Sequence, int]], seconds: float) -> None:
        self.evaluated += len(entries)
        if len(entries) >= MINIMUM_SLICE:
            self._prompt_rate = len(entries) / max(seconds, 1e-6)
        for sequence, count in slices:
            assert sequence.slot is not None, "an active sequence has a slot"
            start = len(sequence.slot.tokens)
            self.cache.extend(sequence.slot, sequence.tokens[start : start + count])
            done = start + count
            if count > 1:
                read = min(done, sequence.prompt_length)
                self._emit(Progress(id=sequence.request.id, done=read, total=sequence.prompt_length))
            # Behind guesses the state is another one.
            if done in self._marks(sequence) and not sequence.draft:
                self.cache.mark(sequence.slot)

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
            self.cache.extend(slot, draft)
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
        self.cache.extend(slot, sequence.draft)
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
        self._say(sequence, sequence.text.finish(), at_once=True)
        self._backend.remember(sequence.answer, sequence.tokens[sequence.prompt_length :])
        self._drop(sequence)
        reading = isinstance(sequence.sampler, Scoring)
        incomplete = not reading and self._backend.incomplete(sequence.sampler)
        usage = sequence.usage()
        self._emit(Done(id=sequence.request.id, reason=reason, usage=usage, incomplete=incomplete))

    def _say(self, sequence: Sequence, text: str, *, at_once: bool = False) -> None:
        """Tell what is new, a few tokens at a time: whoever reads it takes a core from whoever computes."""
        sequence.answer += text
        sequence.unsaid += text
        if sequence.unsaid and (at_once or sequence.last_token_at - sequence.said_at >= SAY_SECONDS):
            self._emit(Text(id=sequence.request.id, text=sequence.unsaid, tokens=sequence.output_tokens))
            sequence.unsaid, sequence.said_at = "", sequence.last_token_at

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
        """The request has ended; what it had in the cache stays as far as another may want it."""
        request = sequence.request
        slot, sequence.slot = sequence.slot, None
        self._crowded = False
        if slot is None:
            self._waiting.remove(sequence)
        else:
            self._active.remove(sequence)
        others = any(active.request.group == request.group for active in self._active)
        if slot is None:
            if not request.slot:
                self.cache.forget(sequence.name)
        elif not request.group or request.slot:
            self.cache.release(slot, name=request.slot)
        elif others:
            self.cache.release(slot, name="", keep=0)
        else:
            # The last that runs keeps the beginning, for those that wait and for the next run.
            beginning = self._prefixes.get(request.group, sequence.prompt_length)
            self.cache.release(slot, name=request.group, keep=beginning)
        if not others and self._waiting.of_group(request.group) is None:
            self._prefixes.pop(request.group, None)

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
        if len(self._active) == 1:
            # Alone in an empty cache and still no room: the context is full.
            self._finish(youngest, "context_full")
        else:
            self._suspend(youngest)
            self._crowded = True


@dataclass
class _Step:
    """A batch in the making."""

    size: int
    entries: list[Entry] = field(default_factory=list)
    rows: list[tuple[Sequence, int]] = field(default_factory=list)
    """Sequences that choose a token after the step, and the entry whose logits they choose by."""
    slices: list[tuple[Sequence, int]] = field(default_factory=list)
    """How many of its tokens each sequence gave, drafts apart."""

    @property
    def room(self) -> int:
        """Entries that may be added."""
        return self.size - len(self.entries)

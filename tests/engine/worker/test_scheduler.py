"""The scheduler on a fake backend whose cache answers like llama.cpp's, errors included."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.protocol import Accepted, Done, Event, Failed, Generate, Progress, Text
from localai_app.engine.worker.drafting import MAX_DRAFT
from localai_app.engine.worker.llama import Aborted, Entry, LlamaError, NoRoom
from localai_app.engine.worker.prefix_cache import Parked, PrefixCache
from localai_app.engine.worker.scheduler import Scheduler
from localai_app.engine.worker.sequence import TokenSampler

END = 0


@dataclass
class FakeBackend:
    """Cells per sequence; the next token is a function of all before it, so a wrong cache shows.

    An answer of a prompt that begins with token n is n tokens long.
    """

    length: int = 64
    batch_size: int = 16
    sequences: int = 4
    partial: bool = True
    """False: like a recurrent model, which can only drop all of a sequence."""
    drafts: bool = True
    cells: dict[int, list[int]] = field(default_factory=dict)
    numbers: dict[int, list[int]] = field(default_factory=dict)
    """A number for each cell: sequences that share a beginning have the same ones there."""
    rows: list[list[int] | None] = field(default_factory=list)
    decodes: list[list[Entry]] = field(default_factory=list)
    fixed: list[bool] = field(default_factory=list)
    abort_next: bool = False
    fail_next: bool = False
    refusals: int = 0
    """Decodes for which there was no room."""
    loads: int = 0
    during: Callable[[], None] | None = None
    """Done once, in the middle of the next decode."""
    should_abort: Callable[[], bool] = lambda: False
    counter: Iterator[int] = field(default_factory=itertools.count)

    @property
    def drops_parts(self) -> bool:
        return self.partial

    @property
    def used(self) -> int:
        return len(set().union(*self.numbers.values()))

    def put(self, sequence: int, tokens: Iterable[int]) -> None:
        for token in tokens:
            self.cells.setdefault(sequence, []).append(token)
            self.numbers.setdefault(sequence, []).append(next(self.counter))

    def keep(self, sequence: int, length: int) -> int:
        held = self.cells.get(sequence, [])
        kept = min(length, len(held)) if self.partial or length >= len(held) else 0
        self.cells[sequence] = held[:kept]
        self.numbers[sequence] = self.numbers.get(sequence, [])[:kept]
        return kept

    def share(self, source: int, target: int, length: int) -> int:
        assert not self.cells.get(target)
        if not self.partial and length < len(self.cells[source]):
            return 0
        self.cells[target] = self.cells[source][:length]
        self.numbers[target] = self.numbers[source][:length]
        return length

    def save(self, sequence: int) -> bytes:
        return bytes(self.cells[sequence])

    def load(self, sequence: int, cells: bytes) -> bool:
        assert not self.cells.get(sequence)
        if self.used + len(cells) > self.length:
            return False
        self.loads += 1
        self.put(sequence, cells)
        return True

    def checkpoint(self, sequence: int) -> bytes:
        assert not self.partial, "a model that drops parts needs none"
        return bytes(self.cells[sequence])

    def rewind(self, sequence: int, length: int, state: bytes) -> bool:
        assert bytes(self.cells[sequence][:length]) == state, "attention's cells must be those of the state"
        del self.cells[sequence][length:], self.numbers[sequence][length:]
        return True

    def decode(self, entries: list[Entry], *, fixed_threads: bool) -> None:
        self.fixed.append(fixed_threads)
        assert 0 < len(entries) <= self.batch_size
        assert sum(entry.wants_logits for entry in entries) <= max(self.sequences, 1 + MAX_DRAFT)
        self.decodes.append(entries)
        if self.fail_next:
            self.fail_next = False
            raise LlamaError("broken")
        if self.used + len(entries) > self.length:
            self.refusals += 1
            raise NoRoom
        self.rows = []
        for index, entry in enumerate(entries):
            held = self.cells.get(entry.sequence, [])
            assert entry.position == len(held), "a gap in positions is an error in llama.cpp"
            self.put(entry.sequence, [entry.token])
            self.rows.append(list(self.cells[entry.sequence]) if entry.wants_logits else None)
            if index == len(entries) // 2:
                if self.during:
                    self.during, during = None, self.during
                    during()
                if self.abort_next or self.should_abort():
                    self.abort_next = False
                    raise Aborted

    def sample(self, sampler: TokenSampler, row: int) -> int:
        held = self.rows[row]
        assert held is not None, "sampling a row without logits aborts llama.cpp"
        return next_token(held)

    def incomplete(self, sampler: TokenSampler) -> bool:
        return False

    def closed(self, sampler: TokenSampler) -> bool:
        return False

    def log_probabilities(
        self, row: int, tokens: list[int], together: list[int]
    ) -> tuple[list[float], float]:
        held = self.rows[row]
        assert held is not None, "logits of a row that asked for none"
        return [log_probability(held, token) for token in tokens], log_probability(held, -len(together))

    def piece(self, token: int) -> bytes:
        return b"%d " % token

    def ends_generation(self, token: int) -> bool:
        return token == END

    def remember(self, answer: str, tokens: list[int]) -> None:
        pass


def next_token(held: list[int]) -> int:
    digest = sum((index + 1) * token for index, token in enumerate(held))
    return digest % 97 if digest % 11 else END


def log_probability(held: list[int], token: int) -> float:
    """A function of all tokens, so that a wrong cache shows."""
    return -(sum((index + 2) * value for index, value in enumerate(held)) % 89) - token / 100


def expected(prompt: list[int], limit: int, length: int) -> list[int]:
    tokens = list(prompt)
    while True:
        token = next_token(tokens)
        tokens.append(token)
        said = len(tokens) - len(prompt)
        if token == END or said == limit or len(tokens) >= length:
            return tokens[len(prompt) :]


class Clock:
    """Stands where the scheduler has `time`: what a step takes is told by a test."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Harness:
    def __init__(self, backend: FakeBackend) -> None:
        self.backend = backend
        self.events: list[Event] = []
        self._arrivals = itertools.count()
        self.scheduler = Scheduler(backend, self.events.append)
        backend.should_abort = lambda: self.scheduler.abort

    def submit(
        self,
        request_id: int,
        prompt: list[int],
        *,
        limit: int = 5,
        slot: str = "",
        background: bool = False,
        group: str = "",
        deterministic: bool = False,
    ) -> None:
        request = Generate(
            id=request_id,
            prompt=[],
            max_tokens=limit,
            slot=slot,
            background=background,
            group=group,
            deterministic=deterministic,
        )
        self.scheduler.submit(request, list(prompt), object(), float(next(self._arrivals)))

    def run(self, steps: int = 10_000) -> None:
        for _ in range(steps):
            if self.scheduler.idle:
                return
            self.scheduler.step()
        raise AssertionError("the scheduler does not come to an end")

    def said(self, request_id: int) -> list[int]:
        text = "".join(
            event.text for event in self.events if isinstance(event, Text) and event.id == request_id
        )
        return [int(word) for word in text.split()]

    def done(self, request_id: int) -> Done:
        (done,) = [event for event in self.events if isinstance(event, Done) and event.id == request_id]
        return done


def without_end(tokens: list[int]) -> list[int]:
    return [token for token in tokens if token != END]


def test_a_request_is_answered() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, [5, 6, 7])
    harness.run()
    assert harness.said(1) == without_end(expected([5, 6, 7], 5, 64))
    assert harness.done(1).usage.prompt_tokens == 3


def test_requests_that_arrive_while_others_run_join_the_next_step() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, [1, 2, 3], limit=9)
    harness.scheduler.step()
    harness.submit(2, [4, 5, 6], limit=9)
    harness.scheduler.step()
    assert {entry.sequence for entry in harness.backend.decodes[-1]} == {0, 1}


def test_a_persons_request_goes_before_background_ones() -> None:
    harness = Harness(FakeBackend(sequences=1))
    harness.submit(1, [1, 2], background=True)
    harness.submit(2, [3, 4])
    harness.scheduler.step()
    assert [event.id for event in harness.events if isinstance(event, Accepted)] == [2]


def test_a_second_turn_evaluates_only_what_is_new() -> None:
    harness = Harness(FakeBackend(length=256))
    first = [7, 8, 9, 10, 11]
    harness.submit(1, first, slot="chat")
    harness.run()
    answer = expected(first, 5, 256)
    second = [*first, *answer, 20, 21]
    harness.submit(2, second, slot="chat")
    harness.run()
    # All but the last sampled token of the answer was evaluated.
    assert harness.done(2).usage.reused_tokens == len(first) + len(answer) - 1
    assert harness.said(2) == without_end(expected(second, 5, 256))


def test_an_edited_turn_reuses_the_prompt_up_to_the_edit() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, [1, 2, 3, 4, 5, 6], slot="chat")
    harness.run()
    harness.submit(2, [1, 2, 3, 9, 9, 9], slot="chat")
    harness.run()
    assert harness.done(2).usage.reused_tokens == 3
    assert harness.said(2) == without_end(expected([1, 2, 3, 9, 9, 9], 5, 64))


def test_a_model_that_cannot_drop_a_part_evaluates_again() -> None:
    harness = Harness(FakeBackend(partial=False))
    harness.submit(1, [1, 2, 3, 4, 5, 6], slot="chat")
    harness.run()
    harness.submit(2, [1, 2, 3, 9, 9, 9], slot="chat")
    harness.run()
    assert harness.done(2).usage.reused_tokens == 0
    assert harness.said(2) == without_end(expected([1, 2, 3, 9, 9, 9], 5, 64))


def test_another_conversation_shares_a_common_beginning() -> None:
    harness = Harness(FakeBackend(length=256))
    harness.submit(1, [1, 2, 3, 4, 5], slot="a")
    harness.run()
    harness.submit(2, [1, 2, 3, 8], slot="b")
    harness.run()
    assert harness.done(2).usage.reused_tokens == 3
    assert harness.said(2) == without_end(expected([1, 2, 3, 8], 5, 256))


def test_a_deterministic_request_shares_no_step_reuses_nothing_and_has_fixed_threads() -> None:
    harness = Harness(FakeBackend(length=256))
    prompt = list(range(1, 40))
    harness.submit(1, prompt, slot="chat")
    harness.run()
    backend = harness.backend
    backend.decodes.clear()
    backend.fixed.clear()
    harness.submit(2, prompt, slot="chat", deterministic=True, limit=0)
    harness.submit(3, [7, 7, 7], limit=20)
    harness.run()
    assert harness.done(2).usage.reused_tokens == 0
    assert all(len({entry.sequence for entry in entries}) == 1 for entries in backend.decodes)
    assert set(backend.fixed) == {True, False}
    alone = [len(entries) for entries, fixed in zip(backend.decodes, backend.fixed, strict=True) if fixed]
    assert alone[:3] == [16, 16, 7]
    assert harness.said(2) == without_end(expected(prompt, 0, 256))


def test_an_idle_conversation_leaves_the_cache_while_others_run_and_comes_back() -> None:
    harness = Harness(FakeBackend(length=256, batch_size=128))
    first = [1 + number % 90 for number in range(80)]
    harness.submit(1, first, slot="a", limit=1)
    harness.run()
    harness.submit(2, [9, 9, 9], slot="b", limit=4)
    harness.run()
    held = {slot.name: len(slot.tokens) for slot in harness.scheduler.cache.slots}
    assert held.get("a", 0) == 0
    assert harness.scheduler.cache.parked_bytes == 80
    harness.submit(3, [*first, *expected(first, 1, 256), 5], slot="a", limit=2)
    harness.run()
    assert harness.done(3).usage.reused_tokens == 80
    assert harness.scheduler.cache.parked_bytes == 0


def test_parked_conversations_keep_to_their_budget_the_oldest_go_first() -> None:
    cache = PrefixCache(FakeBackend(), 1, budget=100)
    for name in "abc":
        cache.put(name, Parked([1] * 40, bytes(40)))
    assert cache.parked_bytes == 80
    assert cache.known("a") == []
    assert cache.known("c") == [1] * 40


def test_an_erased_conversation_is_nowhere() -> None:
    harness = Harness(FakeBackend(length=256, batch_size=128))
    prompt = [1 + number % 90 for number in range(80)]
    harness.submit(1, prompt, slot="a", limit=1)
    harness.run()
    harness.scheduler.cache.forget("a")
    assert harness.scheduler.cache.known("a") == []
    assert not any(harness.backend.cells.values())
    harness.submit(2, prompt, slot="a", limit=1)
    harness.run()
    assert harness.done(2).usage.reused_tokens == 0


def test_a_prompt_longer_than_the_context_is_refused_with_numbers() -> None:
    harness = Harness(FakeBackend(length=8))
    harness.submit(1, list(range(1, 9)))
    (failed,) = harness.events
    assert isinstance(failed, Failed)
    assert (failed.code, failed.needed, failed.available) == ("context_overflow", 9, 8)
    assert harness.scheduler.idle


def test_an_answer_that_fills_the_context_is_cut_off_there() -> None:
    harness = Harness(FakeBackend(length=8))
    harness.submit(1, [1, 2, 3], limit=0)
    harness.run()
    done = harness.done(1)
    assert done.reason in ("context_full", "end")
    assert harness.said(1) == without_end(expected([1, 2, 3], 0, 8))


def test_cancel_keeps_what_was_said() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, [3, 1], limit=0)
    harness.scheduler.step()
    harness.scheduler.interrupt(1)
    harness.scheduler.cancel(1)
    assert harness.done(1).reason == "cancelled"
    assert harness.scheduler.idle


def test_an_interrupt_during_a_decode_sets_the_abort_flag() -> None:
    backend = FakeBackend(batch_size=64)
    harness = Harness(backend)
    seen = threading.Event()
    original = backend.decode

    def decode(entries: list[Entry], *, fixed_threads: bool) -> None:
        harness.scheduler.interrupt(1)
        if harness.scheduler.abort:
            seen.set()
        original(entries, fixed_threads=fixed_threads)

    backend.decode = decode  # type: ignore[method-assign]
    harness.submit(1, list(range(1, 40)))
    harness.scheduler.step()
    assert seen.is_set()


def test_an_interrupt_of_another_request_does_not_abort() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, [1, 2, 3])
    harness.scheduler.interrupt(99)
    harness.scheduler.step()
    assert not harness.scheduler.abort


def test_an_aborted_decode_leaves_the_others_right() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, [1, 2, 3])
    harness.submit(2, [9, 8, 7])
    harness.backend.abort_next = True
    harness.run()
    assert harness.said(1) == without_end(expected([1, 2, 3], 5, 64))
    assert harness.said(2) == without_end(expected([9, 8, 7], 5, 64))


def test_a_broken_decode_fails_the_live_requests_and_the_next_one_works() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, [1, 2, 3])
    harness.backend.fail_next = True
    harness.run()
    assert [event.code for event in harness.events if isinstance(event, Failed)] == ["internal"]
    harness.submit(2, [1, 2, 3])
    harness.run()
    assert harness.said(2) == without_end(expected([1, 2, 3], 5, 64))


def test_a_long_prompt_reports_progress_and_lets_others_decode() -> None:
    harness = Harness(FakeBackend(length=256, batch_size=16))
    harness.submit(1, [5, 5, 5], limit=0)
    harness.scheduler.step()
    harness.submit(2, list(range(1, 60)))
    harness.scheduler.step()
    assert {entry.sequence for entry in harness.backend.decodes[-1]} == {0, 1}
    harness.run()
    done = [event.done for event in harness.events if isinstance(event, Progress) and event.id == 2]
    assert done == sorted(done)
    assert done[-1] == 59


def test_a_question_does_not_wait_until_a_long_prompt_is_read() -> None:
    harness = Harness(FakeBackend(length=600, batch_size=16))
    harness.submit(1, [1 + number % 90 for number in range(400)], slot="document")
    harness.scheduler.step()
    harness.submit(2, [5, 6, 7], limit=1)
    harness.scheduler.step()
    assert harness.done(2)


class EchoingBackend(FakeBackend):
    """Says its prompt again and again, as an extraction does."""

    def sample(self, sampler: TokenSampler, row: int) -> int:
        held = self.rows[row]
        assert held is not None, "sampling a row without logits aborts llama.cpp"
        return held[len(held) - 20]


def test_an_answer_that_repeats_its_prompt_takes_fewer_steps_and_is_the_same() -> None:
    said, steps = {}, {}
    for drafts in (True, False):
        harness = Harness(EchoingBackend(length=400, batch_size=64, drafts=drafts))
        harness.submit(1, list(range(1, 21)), limit=200, slot="chat")
        harness.run()
        assert harness.done(1).usage.output_tokens == 200
        (slot,) = [slot for slot in harness.scheduler.cache.slots if slot.tokens]
        assert harness.backend.cells[slot.sequence] == slot.tokens
        said[drafts], steps[drafts] = harness.said(1), len(harness.backend.decodes)
    assert said[True] == said[False]
    assert steps[True] < steps[False] / 2
    assert harness.scheduler.drafted == 0

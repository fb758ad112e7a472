"""Ten thousand random schedules on the fake backend: every request ends once, and nothing is left behind.

Thresholds are low and prompts short, so that in a few dozen steps requests share beginnings, wait for
each other, are suspended, parked, taken back, aborted, cancelled and failed. Time is made up: a schedule
that fails does so again with its number.
"""

import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.protocol import Accepted, Done, Event, Failed, Generate, Score, Scored, Text
from localai_app.engine.worker import prefix_cache, scheduler
from localai_app.engine.worker.llama import Entry
from localai_app.engine.worker.scheduler import Scheduler
from localai_app.engine.worker.scoring import Scoring
from tests.engine.worker.test_scheduler import Clock, FakeBackend, expected, log_probability
from tests.engine.worker.test_scheduler_recurrent import RecurrentBackend

SCHEDULES = 10_000
SLOTS, GROUPS = ["a", "b"], ["g", "h"]
ENDINGS = [98, 99]


@dataclass
class Trial:
    """One schedule, and what must come of it."""

    seed: int
    clock: Clock
    events: list[Event] = field(default_factory=list)
    prompts: dict[int, list[int]] = field(default_factory=dict)
    limits: dict[int, int] = field(default_factory=dict)
    labels: dict[int, list[list[int]]] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        partial = self.seed % 3 > 0
        kind = FakeBackend if partial else RecurrentBackend
        self.backend = kind(
            length=self.rng.choice([20, 32, 64, 200]),
            batch_size=self.rng.choice([8, 40]),
            sequences=self.rng.randint(1, 4),
            partial=partial,
            drafts=partial,
        )
        self.scheduler = Scheduler(self.backend, self.events.append)
        self.backend.should_abort = lambda: self.scheduler.abort
        decode = self.backend.decode
        base, token, cell = (self.rng.choice([0.0, 1.0, 9.0]) for _ in range(3))

        def timed(entries: list[Entry], *, fixed_threads: bool) -> None:
            seconds = 0.01 + base + len(entries) * (token + cell * self.backend.used / 100)
            self.clock.now += seconds * self.rng.choice([0.9, 1.0, 1.0, 1.1, 9.0])
            decode(entries, fixed_threads=fixed_threads)

        self.backend.decode = timed  # type: ignore[method-assign]

    def run(self) -> None:
        rng = self.rng
        for _ in range(rng.randint(2, 6)):
            for _ in range(rng.choice([1, 1, 1, 4])):
                self.submit()
            for _ in range(rng.randint(0, 3)):
                self.step()
            if rng.random() < 0.3:
                self.cancel(rng.randint(1, len(self.prompts)))
        for _ in range(1000):
            if self.scheduler.idle:
                return
            self.step()
        raise AssertionError("the scheduler does not come to an end")

    def submit(self) -> None:
        rng, request_id = self.rng, next(self.ids)
        group = rng.choice(["", "", *GROUPS])
        beginning = [7 + len(group + chr(1)) + ord(group[0]) % 3] * 6 if group else []
        prompt = beginning + [rng.randint(1, 3) for _ in range(rng.randint(1, 14))]
        slot = rng.choice(["", *SLOTS])
        background = rng.random() < 0.6
        deterministic = rng.random() < 0.1
        self.prompts[request_id] = prompt
        if rng.random() < 0.15:
            labels = [[rng.randint(1, 2) for _ in range(rng.randint(1, 3))] for _ in range(rng.randint(1, 4))]
            self.labels[request_id] = labels
            whole = rng.random() < 0.5
            score = Score(
                id=request_id,
                prompt=[],
                labels=[],
                whole=whole,
                slot=slot,
                background=background,
                group=group,
                deterministic=deterministic,
            )
            scoring = Scoring(labels, ENDINGS if whole else [], whole=whole)
            self.limits[request_id] = whole
            self.scheduler.submit_score(score, list(prompt), scoring, self.clock.now)
            return
        limit = rng.choice([0, 1, 3, 9])
        self.limits[request_id] = limit
        generate = Generate(
            id=request_id,
            prompt=[],
            max_tokens=limit,
            reserve=rng.choice([0, 1, 4]),
            slot=slot,
            background=background,
            group=group,
            deterministic=deterministic,
        )
        self.scheduler.submit(generate, list(prompt), object(), self.clock.now)

    def cancel(self, request_id: int) -> None:
        self.scheduler.interrupt(request_id)
        self.scheduler.cancel(request_id)
        self.cancelled.add(request_id)

    def step(self) -> None:
        """One step, in which a person may arrive or somebody change their mind, and all may go wrong."""
        rng, victim = self.rng, 0
        chance = rng.random()
        if chance < 0.05:
            self.backend.abort_next = True
        elif chance < 0.1:
            self.backend.during = self.scheduler.hurry
        elif chance < 0.15:
            victim = rng.randint(1, len(self.prompts))
            self.backend.during = lambda: self.scheduler.interrupt(victim)
        elif chance < 0.16:
            self.backend.fail_next = True
        self.scheduler.step()
        if victim:
            self.cancel(victim)

    # ------------------------------------------------------------ what must hold

    def check(self) -> None:
        """After the end of all."""
        endings = Counter(event.id for event in self.events if isinstance(event, Done | Failed | Scored))
        assert endings == Counter(self.prompts.keys()), "every request ends exactly once"
        accepted = Counter(event.id for event in self.events if isinstance(event, Accepted))
        assert max(accepted.values(), default=0) <= 1
        said = dict.fromkeys(self.prompts, "")
        for event in self.events:
            match event:
                case Text():
                    said[event.id] += event.text
                case Done():
                    self.check_answer(event, said[event.id])
                case Scored():
                    self.check_figures(event)
        self.check_nothing_is_left()

    def check_answer(self, done: Done, text: str) -> None:
        tokens = [int(word) for word in text.split()]
        limit = 0 if done.id in self.labels else self.limits[done.id]
        wanted = [token for token in expected(self.prompts[done.id], limit, self.backend.length) if token]
        if done.reason == "cancelled":
            assert done.id in self.cancelled
            assert tokens == wanted[: len(tokens)]
        else:
            assert tokens == wanted
        assert 0 <= done.usage.reused_tokens < max(len(self.prompts[done.id]), 1)

    def check_figures(self, scored: Scored) -> None:
        prompt, whole = self.prompts[scored.id], bool(self.limits[scored.id])
        for label, figure in zip(self.labels[scored.id], scored.log_probabilities, strict=True):
            steps = [log_probability([*prompt, *label[:at]], token) for at, token in enumerate(label)]
            end = log_probability([*prompt, *label], -len(ENDINGS)) if whole else 0.0
            assert figure == pytest.approx(sum(steps) + end)

    def check_nothing_is_left(self) -> None:
        cache, backend = self.scheduler.cache, self.backend
        assert self.scheduler.active == self.scheduler.waiting == 0
        assert not any(slot.busy for slot in cache.slots)
        for slot in cache.slots:
            assert backend.cells.get(slot.sequence, []) == slot.tokens, "the cache holds what the slot says"
            assert slot.name in ("", *SLOTS, *GROUPS), "nobody asks for the cells of an ended request"
        assert cache.cells_used == backend.used
        while cache.park_one():
            pass
        assert backend.used == cache.cells_used == 0
        for name in (*SLOTS, *GROUPS):
            cache.forget(name)
        assert cache.parked_bytes == 0, "what is parked belongs to a conversation or a group"
        assert not self.scheduler._prefixes


@pytest.mark.parametrize("part", range(4))
def test_ten_thousand_random_schedules_answer_right_and_leak_nothing(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(scheduler, "time", clock)
    monkeypatch.setattr(scheduler, "WORTH_WAITING", 3)
    monkeypatch.setattr(prefix_cache, "WORTH_PARKING", 4)
    for seed in range(part, SCHEDULES, 4):
        trial = Trial(seed, clock)
        try:
            trial.run()
            trial.check()
        except Exception as error:
            raise AssertionError(f"schedule {seed}") from error

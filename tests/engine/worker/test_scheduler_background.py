"""Background groups beside a person's requests: what is shared, who gives way, and what it costs."""

from collections import Counter
from collections.abc import Callable

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.protocol import Accepted, Done, Text
from localai_app.engine.worker import prefix_cache, scheduler
from localai_app.engine.worker.llama import Entry
from localai_app.engine.worker.sequence import TokenSampler
from tests.engine.worker.test_scheduler import (
    Clock,
    EchoingBackend,
    FakeBackend,
    Harness,
    expected,
    next_token,
    without_end,
)
from tests.engine.worker.test_scheduler_recurrent import RecurrentBackend

INSTRUCTIONS = [1 + number % 90 for number in range(100)]
PROMPT = [3, 1, 4, 1, 5, 9, 2, 6]
KINDS: list[Callable[..., FakeBackend]] = [
    lambda **sizes: FakeBackend(**sizes, drafts=False),
    RecurrentBackend,
]
kinds = pytest.mark.parametrize("kind", KINDS, ids=["plain", "recurrent"])


class Talkative(FakeBackend):
    """Answers go on until their limit."""

    def sample(self, sampler: TokenSampler, row: int) -> int:
        return super().sample(sampler, row) or 1


class TalkativeRecurrent(RecurrentBackend, Talkative):
    """The same without a way back."""


talkative = pytest.mark.parametrize(
    "kind", [lambda **sizes: Talkative(**sizes, drafts=False), TalkativeRecurrent], ids=["plain", "recurrent"]
)


def long_answer(prompt: list[int], limit: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(limit):
        tokens.append(next_token(tokens) or 1)
    return tokens[len(prompt) :]


def started(harness: Harness) -> list[int]:
    return [event.id for event in harness.events if isinstance(event, Accepted)]


def has_said(harness: Harness, request_id: int) -> bool:
    return any(isinstance(event, Text) and event.id == request_id for event in harness.events)


def evaluated(backend: FakeBackend) -> int:
    return sum(map(len, backend.decodes))


def background(harness: Harness, ids: range, *, group: str = "g", limit: int = 5) -> None:
    for number in ids:
        harness.submit(number, [*INSTRUCTIONS, number, 7], background=True, group=group, limit=limit)


# ---------------------------------------------------------------- a group's common beginning


@kinds
def test_a_group_evaluates_its_common_beginning_once(kind: Callable[..., FakeBackend]) -> None:
    backend = kind(length=2000, batch_size=64, sequences=8)
    harness = Harness(backend)
    background(harness, range(1, 21))
    harness.run()
    answers = {number: expected([*INSTRUCTIONS, number, 7], 5, 2000) for number in range(1, 21)}
    for number, answer in answers.items():
        assert harness.said(number) == without_end(answer)
    # Two tokens of each prompt, and all of its answer but the last token.
    own = sum(2 + len(answer) - 1 for answer in answers.values())
    assert evaluated(backend) == len(INSTRUCTIONS) + own


@kinds
def test_members_that_come_while_the_first_is_read_share_its_beginning(
    kind: Callable[..., FakeBackend],
) -> None:
    backend = kind(length=2000, batch_size=64, sequences=8)
    harness = Harness(backend)
    background(harness, range(1, 2))
    harness.scheduler.step()
    background(harness, range(2, 9))
    harness.run()
    own = sum(1 + len(expected([*INSTRUCTIONS, number, 7], 5, 2000)) for number in range(1, 9))
    assert evaluated(backend) == len(INSTRUCTIONS) + own


@kinds
def test_a_group_keeps_its_beginning_for_its_next_run(kind: Callable[..., FakeBackend]) -> None:
    backend = kind(length=2000, batch_size=64, sequences=4)
    harness = Harness(backend)
    background(harness, range(1, 4))
    harness.run()
    # Others use every sequence in between: the beginning is parked, and comes back.
    for number in range(50, 58):
        harness.submit(number, [number] * 70, slot=f"chat {number}", limit=2)
    harness.run()
    assert harness.scheduler.cache.is_parked("g")
    background(harness, range(11, 14))
    harness.run()
    for number in range(11, 14):
        assert harness.done(number).usage.reused_tokens == len(INSTRUCTIONS)
        assert harness.said(number) == without_end(expected([*INSTRUCTIONS, number, 7], 5, 2000))


def test_what_a_member_said_is_not_kept_with_its_group() -> None:
    backend = FakeBackend(length=2000, sequences=4)
    harness = Harness(backend)
    background(harness, range(1, 4))
    harness.run()
    assert [slot.tokens for slot in harness.scheduler.cache.slots if slot.tokens] == [INSTRUCTIONS]


def test_groups_take_turns() -> None:
    backend = FakeBackend(length=2000, sequences=2)  # one at a time: the other one is for a person
    harness = Harness(backend)
    background(harness, range(1, 4), group="g")
    background(harness, range(11, 14), group="h")
    background(harness, range(21, 24), group="i")
    harness.run()
    groups = [number // 10 for number in started(harness)]
    assert groups == [0, 1, 2] * 3


def test_groups_share_the_width() -> None:
    backend = Talkative(length=2000, sequences=5, drafts=False)
    harness = Harness(backend)
    for number in range(1, 9):
        group = "g" if number < 5 else "h"
        harness.submit(number, [number, 5], background=True, group=group, limit=50)
    for _ in range(3):
        harness.scheduler.step()
    assert Counter(number < 5 for number in started(harness)) == {True: 2, False: 2}


# ---------------------------------------------------------------- a person comes


@talkative
def test_a_person_gets_a_sequence_at_once_and_the_suspended_one_goes_on_where_it_was(
    kind: Callable[..., FakeBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_cache, "WORTH_PARKING", 4)
    backend = kind(length=400, batch_size=64, sequences=1)
    harness = Harness(backend)
    harness.submit(1, PROMPT, background=True, limit=20)
    for _ in range(5):
        harness.scheduler.step()
    harness.submit(2, [5, 5, 5], limit=6)
    for _ in range(1 if backend.partial else 2):  # a checkpoint stands before the last token
        harness.scheduler.step()
    assert has_said(harness, 2), "at once"
    harness.run()
    assert harness.said(1) == long_answer(PROMPT, 20)
    assert harness.said(2) == long_answer([5, 5, 5], 6)
    assert evaluated(backend) == len(PROMPT) + 19 + 3 + 5, "no token is evaluated twice"
    assert started(harness) == [1, 2], "it is accepted once"
    assert harness.done(1).usage.reused_tokens == 0, "what it evaluated itself is no reuse"


@talkative
def test_a_suspended_member_goes_on_with_its_own_cells_also_where_its_groups_are_near(
    kind: Callable[..., FakeBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other member ends meanwhile and leaves the group's beginning in a sequence."""
    monkeypatch.setattr(prefix_cache, "WORTH_PARKING", 4)
    backend = kind(length=900, batch_size=200, sequences=3)
    harness = Harness(backend)
    background(harness, range(1, 2), limit=9)
    background(harness, range(2, 3), limit=30)
    while not has_said(harness, 2):
        harness.scheduler.step()
    for number in (3, 4):
        harness.submit(number, [number] * 5, limit=20)
    harness.run()
    for number, limit in ((1, 9), (2, 30)):
        assert harness.said(number) == long_answer([*INSTRUCTIONS, number, 7], limit)
    assert evaluated(backend) == len(INSTRUCTIONS) + 2 * 2 + 8 + 29 + 2 * (5 + 19)
    assert names_parked(harness) <= {"g"}, "nothing of a request that has ended"


def names_parked(harness: Harness) -> set[str]:
    return set(harness.scheduler.cache._parked)


def test_as_many_are_suspended_as_a_persons_prompt_needs_room() -> None:
    backend = Talkative(length=300, batch_size=64, sequences=8, drafts=False)
    harness = Harness(backend)
    for number in range(1, 5):
        harness.submit(number, [number] * 20, background=True, limit=50)
    for _ in range(6):
        harness.scheduler.step()
    assert harness.scheduler.active == 4
    harness.submit(9, [1 + number % 7 for number in range(150)], limit=20)
    harness.scheduler.step()
    assert harness.scheduler.active == 3, "two stay: 2 × 70 + 150 cells"
    harness.run()
    for number in range(1, 5):
        assert harness.said(number) == long_answer([number] * 20, 50)


def test_the_youngest_gives_way_and_the_oldest_goes_on() -> None:
    harness = Harness(Talkative(length=900, batch_size=64, sequences=4, drafts=False))
    for number in (1, 2, 3):
        harness.submit(number, [number, 5], background=True, group=f"task {number}", limit=20)
    harness.scheduler.step()
    for number in (11, 12, 13):
        harness.submit(number, [number, 5], limit=20)
    harness.scheduler.step()
    assert {sequence.request.id for sequence in harness.scheduler._active} == {1, 11, 12, 13}
    harness.run()
    assert all(harness.said(number) == long_answer([number, 5], 20) for number in (1, 2, 3, 11, 12, 13))


def test_a_deterministic_request_begins_in_an_empty_cache() -> None:
    """Where its cells lie decides in which order attention adds up."""
    backend = Talkative(length=900, batch_size=64, sequences=4)
    harness = Harness(backend)
    for number in (1, 2):
        harness.submit(number, [number] * 80, slot=f"chat {number}", limit=1)
    harness.run()
    background(harness, range(3, 5), limit=30)
    while not has_said(harness, 4):
        harness.scheduler.step()
    cells: list[int] = []
    decode = backend.decode

    def watched(entries: list[Entry], *, fixed_threads: bool) -> None:
        if fixed_threads:
            cells.append(backend.used)
        decode(entries, fixed_threads=fixed_threads)

    backend.decode = watched  # type: ignore[method-assign]
    harness.submit(9, PROMPT, deterministic=True, limit=3)
    harness.run()
    assert cells == [0, len(PROMPT), len(PROMPT) + 1]
    assert harness.said(4) == long_answer([*INSTRUCTIONS, 4, 7], 30)


def test_nothing_of_the_background_is_in_the_steps_of_a_persons_prompt() -> None:
    backend = Talkative(length=900, batch_size=16, sequences=4, drafts=False)
    harness = Harness(backend)
    background(harness, range(1, 3), limit=60)
    for _ in range(15):
        harness.scheduler.step()
    assert harness.scheduler.active == 2
    backend.decodes.clear()
    harness.submit(9, [2] * 100, limit=5)
    while not has_said(harness, 9):
        harness.scheduler.step()
    assert len(backend.decodes) == 7
    assert all(len({entry.sequence for entry in entries}) == 1 for entries in backend.decodes)
    harness.scheduler.step()
    assert len({entry.sequence for entry in backend.decodes[-1]}) > 1, "beside the answer some ride along"


def timed(backend: FakeBackend, clock: Clock, base: float, token: float) -> None:
    """Let every step take what a machine with these figures takes."""
    decode = backend.decode

    def slow(entries: list[Entry], *, fixed_threads: bool) -> None:
        clock.now += base + token * len(entries)
        decode(entries, fixed_threads=fixed_threads)

    backend.decode = slow  # type: ignore[method-assign]


def test_riders_make_the_steps_of_a_persons_answer_at_most_half_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(scheduler, "time", clock)
    backend = Talkative(length=4000, batch_size=512, sequences=4, drafts=False)
    timed(backend, clock, base=0.020, token=0.001)
    harness = Harness(backend)
    harness.submit(1, [1, 2, 3] * 100, background=True, limit=20)
    harness.run()
    harness.submit(2, [4, 5, 6], limit=100)
    harness.scheduler.step()
    harness.submit(3, [7, 8, 9] * 300, background=True, limit=5)
    backend.decodes.clear()
    while not any(isinstance(event, Done) and event.id == 2 for event in harness.events):
        harness.scheduler.step()
    sizes = Counter(map(len, backend.decodes))
    # Alone a step takes 21 ms: 10 tokens more make it 31.
    assert 8 <= max(sizes) - 1 <= 11
    assert sizes.most_common(1)[0][0] == max(sizes), "as many ride along as may"


# ---------------------------------------------------------------- a step is cut short


def hurried(backend: FakeBackend, *, person: bool = False, deterministic: bool = False) -> bool:
    """Whether a person's arrival in the middle of a step ended it."""
    harness = Harness(backend)
    harness.submit(1, PROMPT, background=True, deterministic=deterministic)
    if person:
        harness.submit(2, [5, 5, 5])
    backend.during = harness.scheduler.hurry
    harness.scheduler.step()
    ended = harness.scheduler.evaluated == 0
    assert backend.during is None
    harness.run()
    assert harness.said(1) == without_end(expected(PROMPT, 5, 64))
    return ended


def test_a_person_ends_a_step_that_computes_for_the_background_alone() -> None:
    assert hurried(FakeBackend())
    assert not hurried(FakeBackend(), person=True)
    assert not hurried(FakeBackend(), deterministic=True), "its slices would be others"
    assert not hurried(RecurrentBackend()), "it would cost all that was evaluated"


def test_a_person_who_comes_just_before_a_step_ends_it_too_but_only_one() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, PROMPT, background=True)
    harness.scheduler.hurry()
    harness.scheduler.step()
    assert harness.scheduler.evaluated == 0
    harness.scheduler.step()
    assert harness.scheduler.evaluated == len(PROMPT)


# ---------------------------------------------------------------- room


@talkative
def test_a_background_request_is_not_begun_before_there_is_room_for_all_of_it(
    kind: Callable[..., FakeBackend],
) -> None:
    backend = kind(length=300, batch_size=64, sequences=8)
    harness = Harness(backend)
    prompts = {}
    for number in range(1, 16):
        shared = INSTRUCTIONS if number % 3 else []
        prompts[number] = [*shared, number, *PROMPT * (number % 4)]
        group = "g" if shared else ""
        harness.submit(number, prompts[number], background=True, limit=10 * (number % 5 + 1), group=group)
    most = 0
    while not harness.scheduler.idle:
        harness.scheduler.step()
        most = max(most, harness.scheduler.active)
    for number, prompt in prompts.items():
        assert harness.said(number) == long_answer(prompt, 10 * (number % 5 + 1))
    assert most > 1
    assert backend.refusals == 0


def test_suspended_members_of_a_group_come_back_only_where_all_their_cells_have_room() -> None:
    """They are kept whole: back in the cache they share their beginning with nobody."""
    backend = Talkative(length=260, batch_size=200, sequences=3, drafts=False)
    harness = Harness(backend)
    background(harness, range(1, 3), limit=40)
    while not has_said(harness, 2):
        harness.scheduler.step()
    harness.submit(9, [5] * 110, limit=3)
    harness.run(500)
    for number in (1, 2):
        assert harness.said(number) == long_answer([*INSTRUCTIONS, number, 7], 40)
    assert backend.refusals == 0


def test_guesses_take_no_room_from_others() -> None:
    backend = EchoingBackend(length=130, batch_size=64, sequences=3)
    harness = Harness(backend)
    harness.submit(1, list(range(1, 21)), limit=60)
    harness.submit(2, list(range(21, 41)), background=True, limit=8)
    harness.run(500)
    assert harness.scheduler.drafted > 0
    assert backend.refusals == 0


def test_who_was_suspended_for_lack_of_room_waits_until_another_ends() -> None:
    """Answers of open length: the youngest gives way, and is not taken in and out at every step."""
    backend = Talkative(length=120, batch_size=64, sequences=3, drafts=False)
    harness = Harness(backend)
    saved = Counter[int]()
    save = backend.save

    def counting(sequence: int) -> bytes:
        saved[sequence] += 1
        return save(sequence)

    backend.save = counting  # type: ignore[method-assign]
    harness.submit(1, [1] * 30, limit=0)
    harness.submit(2, [2] * 30, limit=0)
    harness.run(500)
    for number in (1, 2):
        assert harness.done(number).reason == "context_full"
        assert harness.said(number) == long_answer([number] * 30, 90)
    assert backend.refusals <= 2
    assert saved.total() <= 2


def test_a_parked_conversation_comes_back_also_where_an_idle_one_fills_the_cache() -> None:
    backend = Talkative(length=200, batch_size=64, sequences=3, drafts=False)
    harness = Harness(backend)
    first = [7] * 100
    harness.submit(1, first, slot="a", limit=5)
    harness.run()
    harness.submit(2, [8] * 100, slot="b", limit=5)
    harness.run()
    harness.submit(3, [*first, *long_answer(first, 5), 6], slot="a", limit=5)
    harness.run()
    assert harness.done(3).usage.reused_tokens == 104


def test_persons_are_served_in_the_order_they_came() -> None:
    """A short question does not overtake a long one for ever."""
    backend = Talkative(length=200, batch_size=64, sequences=4, drafts=False)
    harness = Harness(backend)
    harness.submit(1, [1] * 60, limit=60)
    harness.scheduler.step()
    harness.submit(2, [2] * 150, limit=5)
    harness.submit(3, [3] * 10, limit=5)
    harness.run()
    assert started(harness) == [1, 2, 3]


def test_cancelling_a_suspended_request_forgets_what_was_parked_of_it() -> None:
    backend = Talkative(length=400, batch_size=128, sequences=1, drafts=False)
    harness = Harness(backend)
    harness.submit(1, [7] * 90, background=True, limit=20)
    while not has_said(harness, 1):
        harness.scheduler.step()
    harness.submit(2, [5, 5, 5], limit=6)
    harness.scheduler.step()
    assert harness.scheduler.cache.parked_bytes >= 90
    harness.scheduler.cancel(1)
    assert harness.scheduler.cache.parked_bytes == 0
    assert harness.done(1).reason == "cancelled"
    harness.run()
    assert harness.said(2) == long_answer([5, 5, 5], 6)


def test_a_group_that_is_over_leaves_nothing_behind() -> None:
    harness = Harness(FakeBackend(length=2000))
    background(harness, range(1, 9))
    for number in range(1, 9):
        harness.scheduler.cancel(number)
    assert harness.scheduler._prefixes == {}


def test_members_shorter_than_what_their_group_begins_with_do_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(scheduler, "time", clock)
    backend = FakeBackend(length=2000, batch_size=16, sequences=4)
    decode = backend.decode

    def slow(entries: list[Entry], *, fixed_threads: bool) -> None:
        clock.now += 1 + len(entries) * (1 + backend.used)
        decode(entries, fixed_threads=fixed_threads)

    backend.decode = slow  # type: ignore[method-assign]
    harness = Harness(backend)
    background(harness, range(1, 4))
    for _ in range(12):
        harness.scheduler.step()
    for number in (11, 12):
        harness.submit(number, [5, number], background=True, group="g", limit=3)
    harness.run()
    for number in (11, 12):
        assert harness.said(number) == without_end(expected([5, number], 3, 2000))

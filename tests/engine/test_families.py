"""Every family of models keeps, shares, saves and restores what it evaluated, and says the same.

The kinds of memory differ: a plain cache can drop its end, a sliding window forgets its beginning, a
recurrent state can only be kept whole. What each answers when asked for more is not always true, so
the logits are compared with those of a fresh evaluation. One batch or many small ones differ by the
order of additions alone: below `CLOSE`, where a wrong cache is off by `FAR` and more.
"""

import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llama_cpp")
pytest.importorskip("gguf")

from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Segment, SnapshotFile, Text
from localai_app.engine.worker import prefix_cache, snapshot
from localai_app.engine.worker.llama import Aborted, Context, Entry, Logits, Model, NoRoom
from localai_app.engine.worker.prefix_cache import Parked, PrefixCache, Slot
from tests.tiny_models import CONTEXT, FAMILIES, WINDOW, Family, build

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CLOSE, FAR = 0.4, 0.8
SEQUENCES = 4
SETTINGS = LoadSettings(context_length=CONTEXT, threads=1, sequences=SEQUENCES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny models")


@pytest.fixture(scope="module", params=list(FAMILIES.values()), ids=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def path(family: Family, folder: Path) -> Path:
    return build(family, folder)


# ---------------------------------------------------------------- against a fresh evaluation


@dataclass
class Bench:
    """A context under test, and another that always begins anew."""

    model: Model
    context: Context
    reference: Context
    abort_after: int = -1
    """Questions of the abort callback until it says yes; negative: never."""

    def should_abort(self) -> bool:
        self.abort_after -= self.abort_after > 0
        return self.abort_after == 0

    def random_tokens(self, count: int, seed: int) -> list[int]:
        chosen = random.Random(seed)
        return [chosen.randrange(self.model.vocabulary.size) for _ in range(count)]

    def fresh(self, tokens: list[int]) -> Logits:
        self.reference.keep(0, 0)
        return evaluate(self.reference, 0, tokens, 0)

    def assert_right(self, found: Logits, tokens: list[int]) -> None:
        assert float(np.abs(found - self.fresh(tokens)).max()) < CLOSE


def evaluate(context: Context, sequence: int, tokens: list[int], start: int) -> Logits:
    """Logits after ``tokens`` of which ``start`` are evaluated."""
    last = len(tokens) - 1
    entries = [Entry(tokens[at], at, sequence, at == last) for at in range(start, len(tokens))]
    context.decode(entries)
    return context.logits(len(entries) - 1)


@pytest.fixture(scope="module")
def _bench(path: Path) -> Bench:
    model = Model(path, SETTINGS, lambda _fraction: None)
    reference = Context(model, settings(1), threads=1, should_abort=lambda: False)
    bench: Bench
    context = Context(model, SETTINGS, threads=1, should_abort=lambda: bench.should_abort())  # noqa: PLW0108 - bound below
    bench = Bench(model, context, reference)
    return bench


def settings(count: int) -> LoadSettings:
    return LoadSettings(context_length=CONTEXT, threads=1, sequences=count)


@pytest.fixture
def bench(_bench: Bench) -> Iterator[Bench]:
    yield _bench
    _bench.abort_after = -1
    for sequence in range(SEQUENCES):
        _bench.context.keep(sequence, 0)


def test_what_stands_before_changes_the_logits(bench: Bench) -> None:
    """Positive control: a cache that lost or mixed up tokens would show."""
    tokens = bench.random_tokens(120, 1)
    for start in (0, 90, 110):
        changed = tokens[:start] + bench.random_tokens(10, 2) + tokens[start + 10 :]
        assert float(np.abs(bench.fresh(tokens) - bench.fresh(changed)).max()) > FAR or start == 0


def test_going_back_gives_the_same_as_a_fresh_evaluation(bench: Bench, family: Family) -> None:
    tokens = bench.random_tokens(150, 1)
    evaluate(bench.context, 0, tokens, 0)
    kept = bench.context.keep(0, 100)
    assert kept == (0 if family.recurrent else 100)
    other = tokens[:100] + bench.random_tokens(30, 2)
    bench.assert_right(evaluate(bench.context, 0, other, kept), other)


def test_going_on_evaluates_nothing_twice(bench: Bench) -> None:
    tokens = bench.random_tokens(150, 1)
    evaluate(bench.context, 0, tokens[:120], 0)
    assert bench.context.keep(0, 120) == 120
    bench.assert_right(evaluate(bench.context, 0, tokens, 120), tokens)


@pytest.mark.parametrize("length", [60, 100])
def test_a_shared_beginning_serves_both(bench: Bench, family: Family, length: int) -> None:
    tokens = bench.random_tokens(100, 1)
    evaluate(bench.context, 0, tokens, 0)
    shared = bench.context.share(0, 1, length)
    assert shared == (0 if family.recurrent and length < 100 else length)
    other = tokens[:length] + bench.random_tokens(20, 2)
    bench.assert_right(evaluate(bench.context, 1, other, shared), other)
    more = tokens + bench.random_tokens(20, 3)
    bench.assert_right(evaluate(bench.context, 0, more, 100), more)


def test_saved_cells_go_on_where_they_stopped(bench: Bench, tmp_path: Path) -> None:
    tokens = bench.random_tokens(150, 1)
    evaluate(bench.context, 0, tokens[:120], 0)
    key, file = secrets.token_bytes(32), tmp_path / "conversation"
    snapshot.write(file, key, b"identity", Parked(tokens[:120], bench.context.save(0)))
    bench.context.keep(0, 0)
    parked = snapshot.read(file, key, b"identity")
    assert parked is not None
    assert bench.context.load(2, parked.cells)
    assert bench.context.keep(2, 120) == 120, "a restored conversation must not be evaluated again"
    bench.assert_right(evaluate(bench.context, 2, tokens, 120), tokens)


def test_going_back_after_a_restore_is_right(bench: Bench, family: Family) -> None:
    """A sliding window is saved as the window alone: behind it nothing can be gone on from."""
    tokens = bench.random_tokens(150, 1)
    evaluate(bench.context, 0, tokens, 0)
    cells = bench.context.save(0)
    for length in (149, 140, 100, 10):
        bench.context.keep(1, 0)
        assert bench.context.load(1, cells)
        kept = bench.context.keep(1, length)
        if family.recurrent:
            assert kept == 0
        elif not family.windowed:
            assert kept == length
        other = tokens[:length] + bench.random_tokens(WINDOW + 10, 2)
        bench.assert_right(evaluate(bench.context, 1, other, kept), other)


def test_cells_that_do_not_fit_leave_the_sequence_empty(bench: Bench) -> None:
    tokens = bench.random_tokens(300, 1)
    evaluate(bench.context, 0, tokens, 0)
    cells = bench.context.save(0)
    if bench.context.load(1, cells):  # a window or a state is small: there is room
        bench.assert_right(evaluate(bench.context, 1, [*tokens, 5], 300), [*tokens, 5])
    else:
        short = tokens[:50]
        bench.assert_right(evaluate(bench.context, 1, short, 0), short)
    bench.assert_right(evaluate(bench.context, 0, [*tokens, 6], 300), [*tokens, 6])


def test_an_abort_spoils_no_other_conversation(bench: Bench) -> None:
    """Recurrent states move while a batch of several is computed, and an abort may leave them mixed up."""
    chosen = random.Random(4)
    cache = PrefixCache(bench.context, SEQUENCES)
    aborted = 0
    for _ in range(80):
        for slot in cache.slots:
            if len(slot.tokens) > 70:
                cache.shorten(slot, 0)
        active = chosen.sample(cache.slots, chosen.randrange(1, SEQUENCES + 1))
        goals = [
            slot.tokens + bench.random_tokens(chosen.choice((1, 1, 8)), chosen.random()) for slot in active
        ]
        bench.abort_after = chosen.choice((-1, -1, chosen.randrange(1, 40)))
        while True:
            try:
                found = _decode_together(bench.context, active, goals)
                break
            except Aborted:
                aborted += 1
                bench.abort_after = -1
                for slot in cache.slots:
                    cache.shorten(slot, len(slot.tokens))
        for slot, goal, logits in zip(active, goals, found, strict=True):
            slot.tokens[:] = goal
            bench.assert_right(logits, goal)
    assert aborted > 3


def _decode_together(context: Context, slots: list[Slot], goals: list[list[int]]) -> list[Logits]:
    entries: list[Entry] = []
    rows = []
    for slot, goal in zip(slots, goals, strict=True):
        for position in range(len(slot.tokens), len(goal)):
            entries.append(Entry(goal[position], position, slot.sequence, position == len(goal) - 1))
        rows.append(len(entries) - 1)
    context.decode(entries)
    return [context.logits(row) for row in rows]


def test_conversations_that_grow_branch_and_are_parked_stay_right(
    bench: Bench, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_cache, "WORTH_PARKING", 4)
    chosen = random.Random(7)
    cache = PrefixCache(bench.context, SEQUENCES)
    known = {name: bench.random_tokens(60, name) for name in "abcdefg"}
    reused = 0
    for _ in range(120):
        name = chosen.choice("abcdefg")
        source = known[chosen.choice([name] * 8 + ["a"])]
        until = chosen.choice([len(source), len(source), chosen.randrange(2, len(source))])
        tokens = (source[:until] + bench.random_tokens(chosen.randrange(1, 30), chosen.random()))[:140]
        known[name] = tokens
        slot = cache.acquire(name, tokens)
        assert slot is not None
        reused += len(slot.tokens)
        while True:
            try:
                logits = evaluate(bench.context, slot.sequence, tokens, len(slot.tokens))
                break
            except NoRoom:
                assert cache.park_one()
        cache.extend(slot, tokens[len(slot.tokens) :])
        cache.mark(slot)
        bench.assert_right(logits, tokens)
        cache.release(slot, name=name)
        if chosen.random() < 0.3:
            cache.park_one()
    assert reused > (2000 if family.recurrent else 3500), "conversations are gone on with, not begun again"


# ---------------------------------------------------------------- through the worker


GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module")
def engine(path: Path, folder: Path) -> Iterator[WorkerEngine]:
    engine = WorkerEngine(snapshots=folder)
    engine.load(path, settings(2), sha256="ab" * 32)
    yield engine
    engine.close()


def answer(engine: WorkerEngine, prompt: list[Segment], **options: object) -> tuple[str, Done]:
    events = list(engine.generate(prompt, GREEDY, max_tokens=16, **options))  # type: ignore[arg-type]
    assert isinstance(events[-1], Done)
    return "".join(event.text for event in events if isinstance(event, Text)), events[-1]


def conversation(engine: WorkerEngine) -> Iterator[list[PromptMessage]]:
    """The messages of three turns, each with what was answered before."""
    messages: list[PromptMessage] = []
    for question in (
        "Tell me about the archive of the hospital on the hill and who keeps the records there.",
        "And who reads them, and when, and why?",
        "Thank you.",
    ):
        messages = [*messages, PromptMessage("user", question)]
        yield messages
        text, _ = answer(engine, engine.render(messages), deterministic=True)
        messages = [*messages, PromptMessage("assistant", text)]


def test_the_worker_says_the_same_with_and_without_reuse(engine: WorkerEngine, family: Family) -> None:
    turns = [(messages, engine.render(messages)) for messages in conversation(engine)]
    fresh = [answer(engine, prompt, deterministic=True) for _, prompt in turns]
    reused = [answer(engine, prompt, slot="reused") for _, prompt in turns]
    for number, ((expected, first), (text, done)) in enumerate(zip(fresh, reused, strict=True)):
        assert first.usage.reused_tokens == 0
        assert done.usage.output_tokens == 16
        assert text.isalpha()
        assert text == expected
        # A base model's turns are joined by what was never evaluated: a state is of no use then.
        if number and (family.template or not family.recurrent):
            assert done.usage.reused_tokens >= fresh[number - 1][1].usage.prompt_tokens


def test_regenerating_says_the_same(engine: WorkerEngine) -> None:
    prompt = engine.render([PromptMessage("user", "Say it again, and again.")])
    expected, _ = answer(engine, prompt, deterministic=True)
    for _ in range(3):
        assert answer(engine, prompt, slot="again")[0] == expected


def test_a_snapshot_is_written_or_refused_and_never_wrong(engine: WorkerEngine, folder: Path) -> None:
    prompt = engine.render([PromptMessage("user", "Keep this for me until the morning, please.")])
    file = SnapshotFile(path=str(folder / secrets.token_hex(4)), key=secrets.token_bytes(32))
    expected, _ = answer(engine, prompt, slot="kept")
    size = engine.save_snapshot("kept", file)
    assert size == (Path(file.path).stat().st_size if Path(file.path).exists() else 0)
    engine.forget("kept")
    assert answer(engine, prompt, slot="kept", snapshot=file)[0] == expected


def long_conversation(engine: WorkerEngine) -> list[PromptMessage]:
    """Three turns and a question, with the answers that this model gives; all of it is held as "edited"."""
    messages: list[PromptMessage] = []
    for question in (
        "Tell me about the archive of the hospital on the hill and who keeps the records there.",
        "And who reads them, and when, and why?",
        "How many are there?",
    ):
        messages = [*messages, PromptMessage("user", question)]
        text, _ = answer(engine, engine.render(messages), slot="edited")
        messages = [*messages, PromptMessage("assistant", text)]
    return messages


def test_an_edited_message_is_answered_as_if_nothing_had_been_before(
    engine: WorkerEngine, family: Family
) -> None:
    """Message 3 of 6 is another: what stands before it is not evaluated again, also where states are kept."""
    messages = long_conversation(engine)
    edited = engine.render([*messages[:2], PromptMessage("user", "And who else has a key to it?")])
    expected, cold = answer(engine, edited, deterministic=True)
    again = long_conversation(engine)
    assert again == messages, "positive control: the conversation is what it was"
    text, done = answer(engine, edited, slot="edited")
    assert text == expected
    assert cold.usage.reused_tokens == 0
    first = engine.count(engine.render(messages[:1]))
    # A base model's turns are joined by what was never evaluated: its last state is the first question's.
    assert done.usage.reused_tokens >= first - 1
    assert done.usage.reused_tokens < done.usage.prompt_tokens - 1


def test_a_regenerated_answer_evaluates_its_last_token_alone(engine: WorkerEngine) -> None:
    messages = long_conversation(engine)
    prompt = engine.render(messages[:-1])
    expected, _ = answer(engine, prompt, deterministic=True)
    answer(engine, prompt, slot="edited")
    text, done = answer(engine, prompt, slot="edited")
    assert text == expected
    assert done.usage.reused_tokens == done.usage.prompt_tokens - 1


def test_a_group_says_what_each_of_its_members_says_alone(engine: WorkerEngine) -> None:
    instructions = "Read what is said about one of the rooms of the archive and say who keeps its key. " * 2
    prompts = [
        [Segment(text=f"{instructions}{room}")]
        for room in ("the cellar", "room nine", "under the roof", "the hall", "a safe", "the shed behind it")
    ]
    alone = [answer(engine, prompt, deterministic=True)[0] for prompt in prompts]
    assert engine.count([Segment(text=instructions)]) >= 100
    running = [
        engine.generate(prompt, GREEDY, max_tokens=16, background=True, group="rooms") for prompt in prompts
    ]
    reused = 0
    for expected, generation in zip(alone, running, strict=True):
        events = list(generation)
        assert isinstance(events[-1], Done)
        assert "".join(event.text for event in events if isinstance(event, Text)) == expected
        reused += events[-1].usage.reused_tokens
    # Two may have begun before anybody knew what all begin with.
    assert reused >= 4 * 100

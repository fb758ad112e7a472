"""What the cache says of its cells is what the backend holds, whatever was done."""

import random

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.worker import prefix_cache
from localai_app.engine.worker.prefix_cache import PrefixCache, common_prefix
from tests.engine.worker.test_scheduler import FakeBackend
from tests.engine.worker.test_scheduler_recurrent import RecurrentBackend


@pytest.mark.parametrize("kind", [FakeBackend, RecurrentBackend])
def test_cells_used_are_the_backends_distinct_cells_always(
    kind: type[FakeBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefix_cache, "WORTH_PARKING", 4)
    monkeypatch.setattr(prefix_cache, "CHECKPOINT_BYTES", 60)
    for seed in range(150):
        chosen = random.Random(seed)
        backend = kind(length=chosen.choice([40, 400]), sequences=4)
        cache = PrefixCache(backend, 4, budget=chosen.choice([60, 10_000]))
        names = ["a", "b", "c", "d", "e"]
        for _ in range(60):
            act(cache, backend, chosen, names)
            assert cache.cells_used == backend.used == cache.distinct(cache.slots)
            for slot in cache.slots:
                assert backend.cells.get(slot.sequence, []) == slot.tokens
                assert all(mark.length <= len(slot.tokens) for mark in slot.checkpoints)


def act(cache: PrefixCache, backend: FakeBackend, chosen: random.Random, names: list[str]) -> None:
    """One thing that a scheduler may do."""
    busy = [slot for slot in cache.slots if slot.busy]
    match chosen.randrange(8):
        case 0 | 1:
            tokens = [chosen.randint(1, 2) for _ in range(chosen.randint(1, 12))]
            name = chosen.choice(names)
            slot = cache.acquire(name, tokens, group=chosen.choice(["", "g"]), reuse=chosen.random() < 0.9)
            assert (slot is None) == (len(busy) == len(cache.slots))
            if slot is not None:
                assert common_prefix(slot.tokens, tokens) == len(slot.tokens) < len(tokens)
        case 2 | 3 if busy:
            slot, more = chosen.choice(busy), [chosen.randint(1, 2) for _ in range(chosen.randint(1, 5))]
            if backend.used + len(more) <= backend.length:
                backend.put(slot.sequence, more)
                cache.extend(slot, more)
                cache.mark(slot)
        case 4 if busy:
            slot = chosen.choice(busy)
            cache.shorten(slot, chosen.randint(0, len(slot.tokens)))
        case 5 if busy:
            slot = chosen.choice(busy)
            cache.release(slot, name=chosen.choice([slot.name, "", "g"]), keep=chosen.choice([None, 0, 5]))
        case 6 if busy:
            cache.suspend(chosen.choice(busy))
        case _:
            if chosen.random() < 0.5:
                cache.park_one()
            else:
                cache.forget(chosen.choice(names))


def test_what_a_name_had_goes_before_what_its_group_begins_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "WORTH_PARKING", 4)
    backend = FakeBackend(length=400)
    cache = PrefixCache(backend, 4)
    for name, count in (("own", 30), ("g", 10)):
        slot = cache.acquire(name, [1] * (count + 1))
        assert slot is not None
        backend.put(slot.sequence, [1] * (count - len(slot.tokens)))
        cache.extend(slot, [1] * (count - len(slot.tokens)))
        if name == "own":
            cache.suspend(slot)
        else:
            cache.release(slot, name=name)
    slot = cache.acquire("own", [1] * 31, group="g")
    assert slot is not None
    assert len(slot.tokens) == 30
    assert not cache.is_parked("own")


def test_a_budget_too_small_for_one_loses_none_that_comes_back() -> None:
    """Making room in the cache parks others; the one that is just taken out of the budget is not lost."""
    backend = FakeBackend(length=200)
    cache = PrefixCache(backend, 2, budget=100)
    first = cache.acquire("a", [1] * 121)
    assert first is not None
    backend.put(first.sequence, [1] * 120)
    cache.extend(first, [1] * 120)
    cache.suspend(first)
    other = cache.acquire("b", [2] * 131)
    assert other is not None
    backend.put(other.sequence, [2] * 130)
    cache.extend(other, [2] * 130)
    cache.release(other, name="b")
    again = cache.acquire("a", [1] * 121)
    assert again is not None
    assert len(again.tokens) == 120


@pytest.mark.parametrize("length", [0, 1, 5, 1000])
def test_a_common_prefix_ends_at_the_first_difference(length: int) -> None:
    same = [7] * length
    assert common_prefix(same, same) == length
    assert common_prefix(same, [*same, 1]) == length
    assert common_prefix([*same, 1, 3], [*same, 2, 3]) == length

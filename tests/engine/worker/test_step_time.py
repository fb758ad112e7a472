"""What a step takes is learnt from steps, and the best width follows from it."""

import random

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.worker.step_time import (
    FIRST_BATCH,
    FIRST_WIDTH,
    GRANULE,
    LATENCY,
    LEAST_WIDTH,
    StepTime,
)

BASE, TOKEN, CELL = 0.012, 0.0008, 4e-7


def seconds(tokens: int, cells: int, slower: float = 1.0) -> float:
    return slower * (BASE + tokens * (TOKEN + CELL * cells))


def learnt(
    steps: int = 200, *, noise: float = 0.0, slower: float = 1.0, time: StepTime | None = None
) -> StepTime:
    chosen = random.Random(3)
    time = time or StepTime()
    for _ in range(steps):
        tokens, cells = chosen.choice([1, 2, 4, 8, 64, 512]), chosen.randrange(8000)
        time.record(tokens, cells, seconds(tokens, cells, slower) * chosen.uniform(1 - noise, 1 + noise))
    return time


@pytest.mark.parametrize(("noise", "error"), [(0.0, 0.03), (0.1, 0.1)])
def test_the_figures_are_found_again(noise: float, error: float) -> None:
    time = learnt(noise=noise)
    for tokens in (1, 8, 200):
        for cells in (0, 1000, 6000):
            assert time.of(tokens, cells) == pytest.approx(seconds(tokens, cells), rel=error)


def test_nothing_is_believed_before_ten_steps() -> None:
    assert not learnt(9).known
    assert learnt(10).known
    time = learnt(9)
    assert time.width(100, 50) == FIRST_WIDTH
    assert time.riders(1, 1000) == 1
    assert time.batch(512) == FIRST_BATCH
    assert time.batch(128) == 128


def test_a_disturbed_step_teaches_nothing() -> None:
    time = learnt()
    before = time.of(4, 1000)
    for _ in range(10):
        time.record(4, 1000, 60.0)
    assert time.of(4, 1000) == before


def test_a_machine_that_stays_slow_is_believed() -> None:
    """However long it had been quick."""
    time = learnt(5000)
    learnt(60, slower=6.0, time=time)
    assert time.of(4, 1000) == pytest.approx(seconds(4, 1000, 6.0), rel=0.1)


def test_a_machine_that_becomes_quick_again_is_followed() -> None:
    time = learnt(slower=3.0)
    learnt(time=time)
    assert time.of(4, 1000) == pytest.approx(seconds(4, 1000), rel=0.1)


def test_a_step_that_the_clock_cannot_tell_does_no_harm() -> None:
    time = learnt()
    before = time.of(4, 1000)
    time.record(4, 1000, 0.0)
    assert time.of(4, 1000) == before


def test_steps_of_one_kind_give_no_figure_that_is_negative() -> None:
    time = StepTime()
    for _ in range(50):
        time.record(1, 100, 0.02)
    assert time.of(1, 100) == pytest.approx(0.02, rel=0.05)
    assert time.of(100, 0) >= 0
    assert time.width(10, 10) > 0
    assert time.batch(512) >= GRANULE
    assert time.riders(1, 100) >= 1


def cost(width: int, fresh: int, output: int, shared: int) -> float:
    """Seconds for each of ``width`` requests side by side, step by step."""
    total, cells = 0.0, shared
    for _ in range(width):  # their prompts, one after the other
        total += fresh * TOKEN + sum(CELL * (cells + at) for at in range(fresh))
        cells += fresh
    # In the long run they are not in step with each other: some of each length stand in the cache.
    for _ in range(output):
        total += BASE + width * (TOKEN + CELL * (shared + width * (fresh + output / 2)))
    return total / width


@pytest.mark.parametrize(
    ("fresh", "output", "shared"),
    [(300, 64, 190), (20, 10, 500), (1000, 200, 0), (300, 1, 190), (5, 400, 50)],
)
def test_the_width_is_about_the_one_that_trying_all_finds(fresh: int, output: int, shared: int) -> None:
    time = learnt()
    costs = {width: cost(width, fresh, output, shared) for width in range(LEAST_WIDTH, 65)}
    width = min(round(time.width(fresh, output)), 64)
    assert costs[width] <= 1.08 * min(costs.values())


def test_wide_pays_where_cells_cost_nothing() -> None:
    time = StepTime()
    for tokens in (1, 2, 4, 8, 16, 32) * 5:
        time.record(tokens, 1000 + tokens, 0.02 + tokens * 1e-5)
    assert time.width(300, 64) > 8


def test_a_background_step_is_as_large_as_its_time_allows() -> None:
    slow = learnt(slower=2.0)
    size = slow.batch(4096)
    assert size % GRANULE == 0
    assert LATENCY * 0.7 < seconds(size, 0, 2.0) <= LATENCY * 1.05
    assert learnt(slower=200.0).batch(4096) == GRANULE, "a step is never so small that its base is all of it"
    assert slow.batch(16) == 16


def test_riders_make_a_step_at_most_half_longer() -> None:
    time = learnt()
    for tokens in (1, 3):
        for cells in (0, 4000):
            more = time.riders(tokens, cells)
            ratio = seconds(tokens + more, cells) / seconds(tokens, cells)
            assert ratio < 1.52
            assert seconds(tokens + more + 1, cells) / seconds(tokens, cells) > 1.48

import random
from collections.abc import Callable

import pytest

from localai_app.engine.worker.threads import ThreadChoice


def run(
    choice: ThreadChoice, cost: Callable[[int], float], seconds: float, start: float = 0.0
) -> tuple[float, float]:
    """Work for ``seconds`` on a machine where a step at n threads takes ``cost(n)``; tokens/s and the end."""
    rng = random.Random(1)
    now, steps = start, 0
    while now < start + seconds:
        spent = cost(choice.count) * rng.uniform(0.97, 1.03)
        now += spent
        steps += 1
        choice.took(spent, now)
    return steps / (now - start), now


def quiet(threads: int) -> float:
    return {1: 0.0065, 2: 0.0056}[threads]


def busy(threads: int) -> float:
    return {1: 0.0095, 2: 0.050}[threads]


def test_a_quiet_machine_keeps_all_threads_at_almost_no_cost() -> None:
    rate, _ = run(ThreadChoice(2, trial_steps=3), quiet, 10)
    assert rate > 0.985 / quiet(2)


def test_a_busy_machine_is_noticed_and_its_end_too() -> None:
    choice = ThreadChoice(2, trial_steps=3)
    _, now = run(choice, quiet, 5)
    assert choice.count == 2
    rate, now = run(choice, busy, 20, now)
    assert rate > 0.93 / busy(1)
    run(choice, quiet, 40, now)
    assert choice.count == 2


def test_a_machine_busy_from_the_start_is_found_out_within_a_second() -> None:
    choice = ThreadChoice(2, trial_steps=3)
    run(choice, busy, 1)
    assert choice.count == 1


@pytest.mark.parametrize("best", [1, 2, 3, 5, 8, 12])
def test_the_best_number_is_found_among_many(best: int) -> None:
    choice = ThreadChoice(12, trial_steps=3)
    rate, now = run(choice, lambda count: 0.01 + 0.002 * abs(count - best), 60)
    rate, _ = run(choice, lambda count: 0.01 + 0.002 * abs(count - best), 60, now)
    assert rate > 0.93 / 0.01


def test_one_core_has_no_choice() -> None:
    choice = ThreadChoice(1, trial_steps=3)
    run(choice, lambda count: 0.01, 5)
    assert choice.count == 1

import random
from collections.abc import Callable

import pytest

from localai_app.engine.worker.threads import CoreLimit, ThreadChoice


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
        choice.took(1, spent, now)
    return steps / (now - start), now


def quiet(threads: int) -> float:
    return {1: 0.0065, 2: 0.0056}[threads]


def busy(threads: int) -> float:
    return {1: 0.0095, 2: 0.050}[threads]


def test_a_quiet_machine_keeps_all_threads_at_almost_no_cost() -> None:
    rate, _ = run(ThreadChoice(2), quiet, 10)
    assert rate > 0.985 / quiet(2)


def test_a_busy_machine_is_noticed_and_its_end_too() -> None:
    choice = ThreadChoice(2)
    _, now = run(choice, quiet, 5)
    assert choice.count == 2
    rate, now = run(choice, busy, 20, now)
    assert rate > 0.93 / busy(1)
    run(choice, quiet, 40, now)
    assert choice.count == 2


def test_a_machine_busy_from_the_start_is_found_out_within_a_second() -> None:
    choice = ThreadChoice(2)
    run(choice, busy, 1)
    assert choice.count == 1


@pytest.mark.parametrize("best", [1, 2, 3, 5, 8, 12])
def test_the_best_number_is_found_among_many(best: int) -> None:
    choice = ThreadChoice(12)
    rate, now = run(choice, lambda count: 0.01 + 0.002 * abs(count - best), 60)
    rate, _ = run(choice, lambda count: 0.01 + 0.002 * abs(count - best), 60, now)
    assert rate > 0.93 / 0.01


def test_one_core_has_no_choice() -> None:
    choice = ThreadChoice(1)
    run(choice, lambda count: 0.01, 5)
    assert choice.count == 1


@pytest.mark.parametrize("best", [2, 3, 8])
def test_a_limit_holds_at_once_and_what_was_best_comes_back_with_the_cores(best: int) -> None:
    choice = ThreadChoice(8)

    def cost(count: int) -> float:
        return 0.01 + 0.002 * abs(count - best)

    _, now = run(choice, cost, 60)
    settled = choice.count
    for limit in (4, 1, 2):
        choice.limit = limit
        assert choice.count == min(settled, limit)
        rng = random.Random(2)
        for _ in range(3000):
            assert 1 <= choice.count <= limit
            now += cost(choice.count)
            spent = cost(choice.count) * rng.uniform(0.97, 1.03)
            choice.took(1, spent, now)
    choice.limit = 8
    run(choice, cost, 30, now)
    assert choice.count == best


def test_a_limit_beyond_what_there_is_changes_nothing() -> None:
    choice = ThreadChoice(4)
    choice.limit = 1000
    assert choice.count == choice.limit == 4
    choice.limit = 0
    assert choice.count == choice.limit == 1


def test_a_fixed_number_has_no_limit() -> None:
    choice = ThreadChoice(4, fixed=True)
    choice.limit = 1
    assert choice.count == 4


def test_cores_are_given_up_at_once_and_taken_when_they_stay_free() -> None:
    limit = CoreLimit()
    assert limit.at(0.0) > 1000
    limit.tell(3, 10.0)
    assert limit.at(10.0) == 3
    limit.tell(8, 11.0)
    assert limit.at(11.9) == 3
    assert limit.at(12.1) == 8


def test_gaps_between_requests_of_others_are_not_noticed() -> None:
    limit = CoreLimit()
    for tick in range(20):
        now = tick * 0.25
        limit.tell(3, now)
        assert limit.at(now) == 3
        limit.tell(4, now + 0.2)
        assert limit.at(now + 0.22) == 3
    limit.tell(1, 5.0)
    assert limit.at(5.0) == 1


def test_a_slow_spell_that_fewer_threads_do_not_help_is_not_tried_over_and_over() -> None:
    choice = ThreadChoice(2)
    _, now = run(choice, quiet, 5)
    steps = trials = 0
    while steps < 500:
        spent = 5 * quiet(choice.count)
        trials += choice.count == 1
        steps += 1
        now += spent
        choice.took(1, spent, now)
    assert choice.count == 2
    assert trials < 25


def test_steps_of_different_sizes_are_not_taken_for_a_busy_machine() -> None:
    choice = ThreadChoice(2)
    rng = random.Random(1)
    now = 0.0
    fewer = 0
    for _ in range(4000):
        size = rng.choice([1, 1, 1, 3, 9, 33])
        spent = quiet(choice.count) * (1 + 0.4 * size) * rng.uniform(0.95, 1.05)
        now += spent
        fewer += choice.count == 1
        choice.took(size, spent, now)
    assert fewer < 80

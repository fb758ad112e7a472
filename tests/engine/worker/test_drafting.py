import random

from hypothesis import given
from hypothesis import strategies as st

from localai_app.engine.worker.drafting import MAX_DRAFT, Drafter, StepCost


def flat(tokens: int) -> float:
    """A machine on which checking guesses is almost free."""
    return 1 + 0.02 * tokens


def dear(tokens: int) -> float:
    """A machine on which every guess costs a whole step."""
    return 1 + tokens


TEXT = [number * 7 % 101 for number in range(60)]


def test_what_was_said_before_is_guessed() -> None:
    guesses = Drafter().propose([*TEXT, 500, *TEXT[10:16]], flat, limit=8)
    assert guesses
    assert guesses == TEXT[16 : 16 + len(guesses)]


def test_nothing_is_guessed_where_it_was_never_said_or_would_not_pay() -> None:
    assert Drafter().propose([*TEXT, 500, 501, 502], flat, limit=8) == []
    assert Drafter().propose([*TEXT, *TEXT[10:16]], dear, limit=8) == []
    assert Drafter().propose([1, 2], flat, limit=8) == []


def test_no_more_is_guessed_than_there_is_room_for() -> None:
    for limit in (-1, 0, 1, 2, 5, 100):
        guesses = Drafter().propose([*TEXT, 500, *TEXT[:12]], flat, limit=limit)
        assert len(guesses) <= max(limit, 0)
        assert len(guesses) <= MAX_DRAFT


def test_guesses_that_fail_stop_and_come_back_when_they_would_hold() -> None:
    drafter, tokens = Drafter(), [*TEXT, 500]
    costs = lambda tokens: 1 + 0.25 * tokens  # noqa: E731 - a table, not a function worth a name
    evaluated = []
    for turn in range(30):  # the text begins as before and then goes another way, every time
        tokens += TEXT[10:16]
        draft = drafter.propose(tokens, costs, limit=8)
        drafter.learn([1000 + turn], len(draft))
        tokens.append(1000 + turn)
        evaluated.append(len(draft))
    assert evaluated[0] > 0
    assert sum(evaluated[-10:]) == 0
    for _ in range(60):  # and now it repeats
        draft = drafter.propose(tokens, costs, limit=8)
        came = (
            TEXT[(TEXT.index(tokens[-1]) + 1) % 60 :][: len(draft) + 1] if tokens[-1] in TEXT else [TEXT[0]]
        )
        drafter.learn(came, len(draft))
        tokens += came
        evaluated.append(len(draft))
    assert max(evaluated[-20:]) >= 4


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 40))
def test_guesses_always_stand_in_the_text(tokens: list[int], limit: int) -> None:
    drafter = Drafter()
    for length in range(len(tokens) + 1):
        guesses = drafter.propose(tokens[:length], flat, limit=limit)
        if guesses:
            text = ",".join(map(str, tokens[:length]))
            assert ",".join(map(str, [*tokens[length - 3 : length], *guesses])) in text
        drafter.learn(tokens[length : length + 1], len(guesses))


def test_step_costs_are_learned_and_interpolated() -> None:
    cost = StepCost()
    assert cost.of(1) == cost.of(33)
    for _ in range(50):
        cost.record(1, 0.005)
        cost.record(9, 0.009 * random.Random(1).uniform(0.99, 1.01))
    assert abs(cost.of(1) - 0.005) < 0.0001
    assert 0.0068 < cost.of(5) < 0.0072
    assert cost.of(17) > cost.of(9)

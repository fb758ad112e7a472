"""Shares add up to 1 whatever the model says, and what it likes anyway is taken off."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.tasks.labels import label_scores

FIGURES = st.one_of(
    st.floats(min_value=-1e4, max_value=0.0),
    st.just(-math.inf),
    st.just(math.nan),
)
SETS = st.lists(FIGURES, min_size=1, max_size=30)


@given(SETS)
def test_shares_add_up_to_1(figures: list[float]) -> None:
    shares = label_scores.shares(figures)
    assert math.fsum(shares) == pytest.approx(1.0)
    assert all(0.0 <= share <= 1.0 for share in shares)


@given(SETS, st.data())
def test_corrected_shares_add_up_to_1(figures: list[float], data: st.DataObject) -> None:
    bias = data.draw(st.lists(FIGURES, min_size=len(figures), max_size=len(figures)))
    corrected = label_scores.corrected(figures, bias)
    assert math.fsum(map(math.exp, corrected)) == pytest.approx(1.0)


def test_labels_of_which_nothing_is_known_are_alike() -> None:
    assert label_scores.shares([-math.inf, math.nan]) == [0.5, 0.5]


def test_what_the_model_likes_anyway_is_taken_off() -> None:
    liked, meant = math.log(0.6), math.log(0.4)
    corrected = label_scores.corrected([liked, meant], [math.log(0.8), math.log(0.2)])
    assert label_scores.shares(corrected) == pytest.approx([3 / 11, 8 / 11])


def test_no_bias_changes_nothing() -> None:
    figures = [-0.1, -2.5, -7.0]
    assert label_scores.corrected(figures, [-3.0, -3.0, -3.0]) == pytest.approx(
        label_scores.log_shares(figures)
    )


def test_certainty_is_0_where_all_are_alike_and_1_where_one_has_all() -> None:
    assert label_scores.certainty(label_scores.log_shares([-1.0, -1.0, -1.0])) == pytest.approx(0.0)
    assert label_scores.certainty(label_scores.log_shares([0.0, -500.0])) == pytest.approx(1.0)


@given(st.integers(1, 5), st.integers(2, 6), st.data())
def test_a_document_has_shares_that_add_up_to_1(windows: int, labels: int, data: st.DataObject) -> None:
    one = st.lists(FIGURES, min_size=labels, max_size=labels)
    read = [label_scores.log_shares(data.draw(one)) for _ in range(windows)]
    sizes = data.draw(st.lists(st.integers(1, 9000), min_size=windows, max_size=windows))
    combined = label_scores.combined(read, sizes)
    assert math.fsum(map(math.exp, combined)) == pytest.approx(1.0)
    assert math.fsum(label_scores.weights(read, sizes)) == pytest.approx(1.0)


def test_one_window_counts_as_it_is() -> None:
    read = label_scores.log_shares([-0.3, -1.5, -4.0])
    assert label_scores.combined([read], [700]) == pytest.approx(read)


def test_a_window_that_says_something_outweighs_several_that_say_little() -> None:
    clear = label_scores.log_shares([math.log(0.02), math.log(0.98)])
    vague = label_scores.log_shares([math.log(0.55), math.log(0.45)])
    combined = label_scores.combined([clear, vague, vague, vague], [500, 500, 500, 500])
    assert combined[1] > combined[0]


def test_a_longer_document_is_not_more_certain_for_being_long() -> None:
    read = label_scores.log_shares([-0.5, -1.0])
    assert label_scores.combined([read] * 40, [900] * 40) == pytest.approx(read)


def test_likely_beginnings_are_divided_by_their_names() -> None:
    begun = label_scores.log_shares([math.log(0.8), math.log(0.2)])
    names = label_scores.log_shares([math.log(0.25), math.log(0.75)])
    refined = label_scores.refined(begun, [[0, 2], [1, 3]], [0, 2], names)
    assert [math.exp(figure) for figure in refined] == pytest.approx([0.2, 0.1, 0.6, 0.1])


@given(st.data())
def test_refined_shares_add_up_to_1_and_keep_what_the_beginnings_have(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=6))
    groups, places = [], iter(range(sum(sizes)))
    for size in sizes:
        groups.append([next(places) for _ in range(size)])
    begun = label_scores.log_shares(
        data.draw(st.lists(st.floats(-20, 0), min_size=len(groups), max_size=len(groups)))
    )
    some = groups[0]
    names = data.draw(st.lists(FIGURES, min_size=len(some), max_size=len(some)))

    refined = label_scores.refined(begun, groups, some, names)

    assert math.fsum(map(math.exp, refined)) == pytest.approx(1.0)
    assert math.fsum(math.exp(refined[at]) for at in some) == pytest.approx(math.exp(begun[0]))


def test_a_liking_for_yes_is_taken_off() -> None:
    bias = [math.log(0.9), math.log(0.1)]
    assert label_scores.yes([math.log(0.9), math.log(0.1)], bias) == pytest.approx(0.5)
    assert label_scores.yes([math.log(0.99), math.log(0.01)], bias) > 0.9


def test_no_to_a_text_without_content_is_right_and_no_liking() -> None:
    assert label_scores.yes([math.log(0.3), math.log(0.7)], [-9.0, 0.0]) == pytest.approx(0.3)

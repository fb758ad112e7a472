"""Beginnings of labels: every name is in one group, and the likeliest are read out."""

from hypothesis import given
from hypothesis import strategies as st

from localai_app.tasks.labels.label_names import beginnings, likeliest

NAMES = st.lists(st.text(min_size=1, max_size=20).filter(str.strip), min_size=1, max_size=40, unique=True)


@given(NAMES, st.integers(1, 6))
def test_every_name_is_in_one_group_and_begins_as_its_group(names: list[str], most: int) -> None:
    groups = beginnings(names, most)
    assert sorted(place for places in groups.values() for place in places) == list(range(len(names)))
    for beginning, places in groups.items():
        assert beginning
        assert all(names[place].startswith(beginning) for place in places)


def test_names_that_begin_alike_are_told_apart_by_as_many_words_as_it_takes() -> None:
    names = ["card arrival", "card linking", "card payment fee", "card payment rate", "exchange rate"]
    assert beginnings(names, 2) == {
        "card arrival": [0],
        "card linking": [1],
        "card payment": [2, 3],
        "exchange": [4],
    }


def test_few_names_that_begin_alike_stay_together() -> None:
    assert beginnings(["card_arrival", "card_linking", "refund"], 6) == {"card": [0, 1], "refund": [2]}


def test_a_name_that_another_begins_with_is_in_its_group() -> None:
    assert beginnings(["card", "card lost", "cardinal"], 2) == {"card": [0, 1], "cardinal": [2]}


def test_names_without_spaces_are_whole() -> None:
    assert beginnings(["退款", "投诉", "(b)", "—"], 3) == {"退款": [0], "投诉": [1], "(b)": [2], "—": [3]}


def test_the_likeliest_groups_are_read_out_as_long_as_there_is_room() -> None:
    groups = [[0, 3], [1], [2, 4, 5]]
    assert likeliest(groups, [-1.0, -2.0, -3.0], 3) == [0, 1, 3]
    assert likeliest(groups, [-3.0, -2.0, -1.0], 4) == [1, 2, 4, 5]


def test_at_least_two_names_are_read_out() -> None:
    assert likeliest([[0], [1, 2, 3, 4]], [-1.0, -2.0], 2) == [0, 1, 2, 3, 4]

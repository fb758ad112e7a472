"""A model that goes round in circles is noticed; one that lists things is not."""

import pytest

from localai_app.chat.repetition import repeats_from

RENT = "The rent is 900 euros a month [1]."


def test_a_sentence_said_three_times_is_going_round_in_circles() -> None:
    text = f"It is a lease. {RENT} {RENT} {RENT} The"
    assert repeats_from(text) == text.index(RENT, text.index(RENT) + 1)


def test_what_stands_between_and_what_is_cited_makes_no_difference() -> None:
    first, second = "The rent is 900 euros a month.", "The tenant may keep one dog."
    text = f"{first} {second} {first} [2] {second} [3] {first} {second}"
    start = repeats_from(text)
    assert start is not None
    assert text[:start].rstrip() == f"{first} {second}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        RENT,
        f"{RENT} {RENT} {RENT}",  # the third may not be whole yet
        "Yes. Yes. Yes. Yes. Yes.",
        "".join(f"The rent of flat {number} is 900 euros.\n" for number in range(9)),
        "| Rent | 900 |\n| Rent | 900 |\n| Rent | 900 |\n| Rent | 900 |",
    ],
)
def test_what_is_not_going_round_in_circles(text: str) -> None:
    assert repeats_from(text) is None

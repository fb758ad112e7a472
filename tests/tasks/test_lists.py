import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.tasks.lists import Item, listed, numbered
from localai_app.tasks.task import Written


def texts(text: str, *, incomplete: bool = False) -> list[str]:
    return [item.text for item in listed(Written(text, incomplete)).items]


@pytest.mark.parametrize(
    "text",
    [
        "- Rent is due.\n- Dogs are out.",
        "* **Rent** is due.\n* Dogs are out.",
        "1. Rent is due.\n2) Dogs are out.",
        "• Rent is due.\n•Dogs are out.",
        "Here are the points:\n\n- Rent is due.\n- Dogs are out.\n\nThat is all.",
        "Rent is due.\nDogs are out.",
        "<think>\n- What is due?\n</think>\n- Rent is due.\n- Dogs are out.",
        "- Rent is due.\n- Dogs are out.\n- Rent is due.",
    ],
)
def test_points_are_read_however_they_are_listed(text: str) -> None:
    assert texts(text) == ["Rent is due.", "Dogs are out."]


def test_a_number_that_begins_a_line_is_part_of_it() -> None:
    assert texts("1.5 million were sold.\n-5 degrees were measured.") == [
        "1.5 million were sold.",
        "-5 degrees were measured.",
    ]


def test_numbers_that_are_cited_are_not_part_of_the_words() -> None:
    assert listed(Written("- Rent is due [2].\n- Dogs are out [1, 3]")).items == (
        Item("Rent is due.", (2,)),
        Item("Dogs are out", (1, 3)),
    )


def test_what_was_cut_off_is_left_away() -> None:
    assert texts("- Rent is due.\n- Dogs are not", incomplete=True) == ["Rent is due."]
    assert texts("- Rent", incomplete=True) == []


def test_a_paragraph_is_one_point_per_sentence() -> None:
    assert texts("Rent is due. Dogs are out. Cats are in.") == [
        "Rent is due.",
        "Dogs are out.",
        "Cats are in.",
    ]


def test_a_model_that_goes_round_in_circles_is_noticed() -> None:
    assert listed(Written("- Rent is due.\n" * 9 + "- Rent is", incomplete=True)).repeats
    assert listed(Written("Rent is due. " * 9 + "Rent is", incomplete=True)).repeats
    assert not listed(Written("- Rent is due.\n- Dogs are out.")).repeats


def test_lines_are_found_by_their_numbers() -> None:
    assert numbered(Written("[1] Miete ist fällig.\n2. Hunde nicht.\n- Katzen ja [3]\nund so weiter")) == {
        1: "Miete ist fällig.",
        2: "Hunde nicht.",
        3: "Katzen ja",
    }
    assert numbered(Written("[1] Miete ist fällig.\n[2] Hunde", incomplete=True)) == {1: "Miete ist fällig."}


@given(st.text(), st.booleans())
def test_whatever_is_written_no_point_comes_twice_or_spans_lines(text: str, incomplete: bool) -> None:
    found = texts(text, incomplete=incomplete)
    assert len({one.casefold() for one in found}) == len(found) or len(found) == len(set(found))
    assert all(one == " ".join(one.split()) and one.isprintable() for one in found)
    for line in numbered(Written(text, incomplete)).values():
        assert line.isprintable()

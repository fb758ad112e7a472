import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.store.harmless import guarded, in_order, markdown_line, one_line, printable, unguarded


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1+1", "＝1", "＋1", "－1", "＠x", "'=1"],
)
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"


@given(st.text())
def test_a_guarded_cell_can_be_read_back(text: str) -> None:
    assert unguarded(guarded(text)) == text


def test_what_no_program_shows_is_a_replacement_character() -> None:
    assert printable("a\x00b\x1b[31mc\ud800\uffffd\te\nf") == "a�b�[31mc��d\te\nf"


def test_overridden_directions_are_shown_and_others_are_ended() -> None:
    assert in_order("invoice\u202efdp.exe") == "invoice�fdp.exe"
    assert in_order("a \u202bשלום") == "a \u202bשלום\u202c"
    assert in_order("\u2067x\u202ay") == "\u2067x\u202ay\u202c\u2069"
    assert in_order("\u2067x\u202ay\u2069z") == "\u2067x\u202ay\u2069z"
    assert in_order("\u202ax\u202c\u202c") == "\u202ax\u202c\u202c"


@given(st.text(alphabet="a\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
def test_no_direction_outlives_its_text(text: str) -> None:
    depth: list[str] = []
    for character in in_order(text):
        if character in "\u202a\u202b":
            depth.append("\u202c")
        elif character in "\u2066\u2067\u2068":
            depth.append("\u2069")
        elif depth and character == depth[-1]:
            depth.pop()
        elif character == "\u2069" and "\u2069" in depth:
            while depth.pop() != "\u2069":
                pass
    assert not depth


def test_a_line_stays_one_line_and_holds_no_markdown() -> None:
    assert one_line("a\n\n b\tc\u2028d") == "a b c d"
    assert markdown_line("*a* [b](c) | <d> `e` ![f](g)\n# h") == (
        r"\*a\* \[b\](c) \| \<d\> \`e\` \!\[f\](g) \# h"
    )

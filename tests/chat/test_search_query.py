import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localai_app.chat import search_query

ANY_TEXT = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("text", "match", "like"),
    [
        ("annual leave", '"annual" "leave"*', ()),
        ("  annual  ", '"annual"*', ()),
        ('say "hi" OR', '"say" """hi""" "OR"*', ()),
        ("-> next", '"next"*', ("%->%",)),
        ("next ->", '"next"', ("%->%",)),
        ("100%", '"100%"*', ()),
        ("%_\\", "", ("%\\%\\_\\\\%",)),
        ("東京 plan", '"plan"*', ("%東京%",)),
        ("한국어", "", ("%한국어%",)),
    ],
)
def test_words_go_to_the_index_and_the_rest_is_looked_for_letter_by_letter(
    text: str, match: str, like: tuple[str, ...]
) -> None:
    parsed = search_query.parse(text)
    assert parsed is not None
    assert (parsed.match, parsed.like) == (match, like)


@pytest.mark.parametrize("text", ["", "  ", "\n\t\0", "\ud800"])
def test_nothing_to_look_for(text: str) -> None:
    assert search_query.parse(text) is None


def test_endless_query_is_cut() -> None:
    parsed = search_query.parse("word " * 100_000)
    assert parsed is not None
    assert len(parsed.words) <= 16


@given(ANY_TEXT, ANY_TEXT)
@example("0", "\u20280")
def test_any_text_is_a_query_that_sqlite_can_read(text: str, content: str) -> None:
    parsed = search_query.parse(text)
    if parsed is not None:
        "".join((parsed.match, *parsed.like)).encode("utf-8")
        assert "\0" not in parsed.match
        shown = search_query.snippet(content, parsed.words)
        assert shown.count("\x02") == shown.count("\x03")
        assert len(shown.splitlines()) <= 1


def test_snippet_shows_the_found_word_in_its_surroundings() -> None:
    text = "a" * 100 + "\nthe -> sign\n" + "b" * 500
    shown = search_query.snippet(text, ("->",))
    assert "the \x02->\x03 sign" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) < 200

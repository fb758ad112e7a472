"""Whatever a person types becomes something the index can look for."""

from hypothesis import given
from hypothesis import strategies as st

from localai_app.documents.query import match, match_all, parse


def test_words_that_only_join_others_are_left_out() -> None:
    assert parse("What is the governing law of the contract?", ["en"]).words == (
        ("govern",),
        ("law",),
        ("contract",),
    )


def test_a_query_of_nothing_else_keeps_them() -> None:
    assert parse("the who", ["en"]).words == (("the",), ("who",))


def test_each_language_of_the_documents_has_its_stems() -> None:
    assert parse("Kündigungen contracts", ["de", "en"]).words == (
        ("kundig",),
        ("kundigungen",),
        ("contract",),
    )


def test_a_few_plain_words_are_not_taken_for_a_language_that_is_not_here() -> None:
    assert parse("die hard sequel", ["en"]).words == (("die",), ("hard",), ("sequel",))
    assert parse("die hard sequel", ["en"]).language == ""
    assert parse("die hard sequel", ["en", "de"]).language == "de"
    assert parse("Что с договором?", ["en"]).language == "ru"


def test_what_is_written_together_counts_as_a_whole_too() -> None:
    query = parse("clause 9(a) of ABC-123, j.doe@example.com", ["en"])
    assert ("abc", "123") in query.wholes
    assert ("9", "a") in query.wholes
    assert ("abc",) in query.words


def test_quoted_words_are_kept_together() -> None:
    query = parse("who has a “right of first refusal”", ["en"])
    assert query.quoted == ((("right", "of", "first", "refus"),),)
    assert match_all(query.quoted) == '("right of first refus")'


def test_very_long_queries_are_cut() -> None:
    assert len(parse("word%d " * 5000 % tuple(range(5000)), ["en"]).words) <= 64


@given(st.text(max_size=60), st.lists(st.sampled_from(["en", "de", "zh", "fr", ""]), max_size=3, unique=True))
def test_every_text_is_a_query(text: str, of_documents: list[str]) -> None:
    query = parse(text, of_documents)
    assert all(part and all(part) for part in (*query.words, *query.wholes))
    assert match(query.words).count('"') == 2 * len(query.words)

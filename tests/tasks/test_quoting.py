from hypothesis import given
from hypothesis import strategies as st

from localai_app.documents.document import Mark, MarkKind, Page
from localai_app.documents.exhaustive import whole_page
from localai_app.tasks import quoting
from tests.tasks.sources import source_of


def found(quotation: str, *texts: str) -> list[tuple[int, str]]:
    source = source_of(*texts)
    window = [whole_page(source.document, page) for page in source.pages]
    return [(one.page, one.quotation) for one in quoting.find_all(quotation, window, source)]


def test_what_is_kept_are_the_pages_own_words_and_not_the_models() -> None:
    assert found("total  AMOUNT: 4,018.22", "The Total\nAmount 4,018.22 is due.") == [
        (1, "Total\nAmount 4,018.22")
    ]


def test_words_are_found_on_the_page_where_they_stand() -> None:
    source = source_of("Invoice 42", "Total 17.00 EUR")
    window = [whole_page(source.document, page) for page in source.pages]
    evidence = quoting.find("17.00 EUR", window, source)
    assert evidence is not None
    assert (evidence.page, evidence.place, evidence.verified) == (2, "page 2", True)
    assert source.pages[1].text[evidence.start : evidence.end] == evidence.quotation == "17.00 EUR"


def test_a_number_is_not_found_inside_another_one() -> None:
    assert found("1,000", "It costs 21,000 or 1,000.50 or 1000.") == []


def test_words_that_stand_nowhere_are_not_found() -> None:
    assert found("ACME Ltd", "Beta GmbH") == []
    assert found("  …", "Beta GmbH …") == []


def test_words_taken_out_by_a_tracked_change_do_not_count() -> None:
    text = "The fee is 10 20 EUR."
    page = Page(1, text, marks=(Mark(MarkKind.DELETED, text.index("10"), text.index("10") + 2),))
    source = source_of(page)
    window = [whole_page(source.document, page)]
    assert quoting.find("10", window, source) is None
    assert quoting.find("20 EUR", window, source) is not None
    assert quoting.find("10 20 EUR", window, source) is None


def test_punctuation_around_the_words_is_kept_where_both_have_it() -> None:
    assert found("Acme Inc.", "by Acme Inc., Ohio") == [(1, "Acme Inc.")]
    assert found("(12.50)", "Balance (12.50)") == [(1, "(12.50)")]
    assert found("Acme Inc.", "by Acme Inc of Ohio") == [(1, "Acme Inc")]


def test_every_place_is_given_in_order() -> None:
    assert found("Acme", "ACME sells. Acme buys.", "To acme") == [(1, "ACME"), (1, "Acme"), (2, "acme")]


def test_a_place_is_evidence_that_nothing_was_found_by_itself() -> None:
    source = source_of("some words")
    place = quoting.place_of(whole_page(source.document, source.pages[0]))
    assert not place.verified
    assert (place.start, place.end, place.quotation) == (0, 10, "some words")


@given(st.text(max_size=60), st.text(max_size=200))
def test_a_span_is_the_pages_own_text_whatever_is_asked(quotation: str, text: str) -> None:
    source = source_of(text)
    window = [whole_page(source.document, page) for page in source.pages]
    for evidence in quoting.find_all(quotation, window, source):
        assert text[evidence.start : evidence.end] == evidence.quotation
        assert evidence.quotation


@given(st.lists(st.text("abc ,.€1", min_size=1, max_size=8), min_size=3, max_size=9), st.data())
def test_what_is_copied_from_a_page_is_found_there(parts: list[str], data: st.DataObject) -> None:
    text = " ".join(parts)
    first = data.draw(st.integers(0, len(parts) - 1))
    last = data.draw(st.integers(first + 1, len(parts)))
    copied = " ".join(parts[first:last])
    source = source_of(text)
    window = [whole_page(source.document, page) for page in source.pages]
    if any(character in "abc1€" for character in copied):
        assert copied.split() == [] or any(
            copied.strip(" ,.").casefold() in one.quotation.casefold()
            for one in quoting.find_all(copied, window, source)
        )

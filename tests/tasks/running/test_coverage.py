"""Coverage is exact: each page is read, or named with the reason."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.documents.document import Document, Page, PageKind, State
from localai_app.tasks.running.coverage import coverage_of
from localai_app.tasks.task import Coverage, Outcome


def document(pages: int) -> Document:
    return Document(1, "a", "0" * 64, 1, "pdf", State.READY, datetime(2026, 1, 1, tzinfo=UTC), pages=pages)


def test_blank_pages_count_as_read() -> None:
    pages = [Page(1, "One."), Page(2, "")]
    assert coverage_of(document(2), pages, Outcome(())) == Coverage("page", 2, 2)


def test_a_page_that_is_not_read_for_two_reasons_counts_once_and_says_both() -> None:
    pages = [Page(1, "One.", unread="Its scan is unreadable.")]
    outcome = Outcome((), unread=((1, "Its step failed."), (1, "Its step failed.")))
    assert coverage_of(document(1), pages, outcome) == Coverage(
        "page", 1, 0, ((1, "Its scan is unreadable.; Its step failed."),)
    )


def test_the_unit_is_the_formats_own() -> None:
    sheets = [Page(number, "", kind=PageKind.SHEET) for number in (1, 2)]
    coverage = coverage_of(document(2), sheets, Outcome(()))
    assert (coverage.unit, coverage.words) == ("sheet", "2 of 2 sheets")
    assert coverage_of(document(0), [], Outcome(())) == Coverage("page", 0, 0)


def test_a_kind_cannot_speak_of_pages_that_it_was_not_given() -> None:
    with pytest.raises(AssertionError):
        coverage_of(document(2), [Page(1, ""), Page(2, "")], Outcome((), unread=((3, "why"),)))


@given(
    st.integers(0, 30),
    st.sets(st.integers(1, 30)),
    st.sets(st.integers(1, 30)),
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["cut", "failed"]))),
)
def test_read_and_not_read_are_all(
    pages: int, missing: set[int], unread: set[int], left_out: list[tuple[int, str]]
) -> None:
    here = [
        Page(number, "", unread="scan" if number in unread else "")
        for number in range(1, pages + 1)
        if number not in missing
    ]
    numbers = {page.number for page in here}
    outcome = Outcome((), unread=tuple(one for one in left_out if one[0] in numbers))
    coverage = coverage_of(document(pages), here, outcome)
    named = [number for number, _ in coverage.unread]
    assert coverage.total == pages
    assert coverage.read + len(coverage.unread) == coverage.total
    assert named == sorted(set(named))
    assert set(named) == {
        number
        for number in range(1, pages + 1)
        if number in missing or number in unread or number in {at for at, _ in outcome.unread}
    }

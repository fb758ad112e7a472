"""What the markers of an answer point to; checked by a checker that shares no code with the app."""

import re
import unicodedata

import pytest

from localai_app.documents.citing import cite, markers, statements, without_markers
from localai_app.documents.document import Citation, PageKind, Passage
from localai_app.documents.grounding import Coverage, Grounding, Mode, given_text
from localai_app.documents.quotes import PageText

LEASE = "The rent is 900 euros a month. The tenant may keep one dog. Repairs are paid by the landlord."
HOUSE = "Quiet hours begin at 22:00. The bicycle cellar is shared by all tenants."
PAGES = {(1, 1): "Lease of flat 7. " + LEASE, (2, 3): HOUSE}


def passage(document_id: int, page: int, text: str) -> Passage:
    start = PAGES[document_id, page].index(text)
    return Passage(
        document_id, f"{document_id}.pdf", 1, page, PageKind.PAGE, "", start, start + len(text), "", text, 1.0
    )


GIVEN = (passage(1, 1, LEASE), passage(2, 3, HOUSE))


def cited(answer: str, question: str = "", pages: dict[tuple[int, int], str] = PAGES) -> tuple[Citation, ...]:
    coverage = Coverage(Mode.SEARCH, 2, 2, 2, 2, 2, 30)

    def now_there(one: Passage) -> PageText | None:
        page = pages.get((one.document_id, one.page))
        return PageText(page[one.start : one.end]) if page is not None else None

    citations = cite(answer, Grounding(given_text(GIVEN), GIVEN, coverage, question), now_there)
    for citation in citations:
        check(answer, citation, pages)
    return citations


def check(answer: str, citation: Citation, pages: dict[tuple[int, int], str]) -> None:
    """An auditor's check: the quotation is the page's, and a verified answer has no number of its own."""
    page = pages.get((citation.document_id, citation.page), "")
    assert citation.quotation == page[citation.start : citation.end]
    if not citation.verified:
        return
    plain = re.sub(r"\W+", " ", unicodedata.normalize("NFKC", citation.quotation)).casefold()
    assert plain.strip()
    assert plain.strip() in re.sub(r"\W+", " ", unicodedata.normalize("NFKC", page)).casefold()
    if citation.at >= 0:
        said = re.split(r"[.!?]\s|\]", answer[: citation.at])[-1] or answer[: citation.at]
        for number in re.findall(r"\d+", re.sub(r"\[\d+", "", said)):
            assert number in citation.quotation


def test_a_citation_carries_the_pages_own_words_and_where_they_stand() -> None:
    (citation,) = cited("The rent is 900 euros a month [1].")
    assert citation.quotation == "The rent is 900 euros a month."
    assert (citation.number, citation.document_id, citation.page, citation.place) == (1, 1, 1, "page 1")
    assert citation.verified
    assert not citation.found
    assert citation.at == len("The rent is 900 euros a month ")


def test_a_number_that_is_not_on_the_page_is_never_verified() -> None:
    (citation,) = cited("The rent is 950 euros a month [1].")
    assert not citation.verified
    assert citation.quotation == "The rent is 900 euros a month."


def test_a_wrong_citation_stays_unverified_and_the_right_place_is_added_as_found() -> None:
    wrong, found = cited("The tenant may keep one dog [2].")
    assert (wrong.number, wrong.verified, wrong.found) == (2, False, False)
    assert (found.number, found.verified, found.found) == (1, True, True)
    assert found.quotation == "The tenant may keep one dog."


def test_an_answer_without_markers_gets_what_stands_word_for_word_flagged_as_found() -> None:
    (citation,) = cited("Quiet hours begin at 22:00. Dogs must be on a lead.")
    assert (citation.number, citation.found, citation.verified) == (2, True, True)


def test_a_number_of_no_passage_points_to_nothing_and_is_marked() -> None:
    (citation,) = cited("Cats are welcome [7].")
    assert (citation.number, citation.document_id, citation.quotation) == (7, 0, "")
    assert not citation.verified


def test_a_citation_without_support_shows_the_whole_passage_unverified() -> None:
    (citation,) = cited("Bananas [2].")
    assert (citation.quotation, citation.verified) == (HOUSE, False)


def test_a_page_that_changed_since_verifies_nothing() -> None:
    changed = {**PAGES, (1, 1): PAGES[1, 1].replace("flat 7", "flat 70")}
    assert not any(
        citation.verified for citation in cited("The rent is 900 euros a month [1].", pages=changed)
    )
    gone = {(2, 3): HOUSE}
    (citation,) = cited("The rent is 900 euros a month [1].", pages=gone)
    assert (citation.quotation, citation.verified) == ("", False)


def test_not_found_cites_nothing() -> None:
    assert cited("Not found in these documents. [1]") == ()
    assert cited("**Not found in these documents**") == ()


def test_each_statement_of_a_sentence_is_checked_by_itself() -> None:
    first, second = cited("The rent is 900 euros a month [1] and quiet hours begin at 21:00 [2].")
    assert (first.verified, second.verified) == (True, False)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A is so [1]. B is so.[2] C.", [("A is so", (1,)), ("B is so.", (2,)), ("C.", ())]),
        ("One [1][2].", [("One", (1, 2))]),
        ("One [1, 2] two [2-4].", [("One", (1, 2)), ("two", (2, 3, 4))]),
        ("[1] The rent. [2] The dog.", [("The rent.", (1,)), ("The dog.", (2,))]),
        ("[1] The rent, [2] the dog.", [("The rent,", (1,)), ("the dog.", (2,))]),
        ("- rent [1]\n- dog [2]", [("- rent", (1,)), ("- dog", (2,))]),
        ("Rent.\n[2] Dog.", [("Rent.", ()), ("Dog.", (2,))]),
        ("Rent 【1】", [("Rent", (1,))]),
        ("See [Passage 3].", [("See", (3,))]),
        ("[1]", []),
        ("No markers", [("No markers", ())]),
        (
            "See [this](http://x.y) and [1](http://x.y).",
            [("See [this](http://x.y) and [1](http://x.y).", ())],
        ),
    ],
)
def test_markers_belong_to_the_words_before_them(
    answer: str, expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    found = [
        (statement.text.strip(), tuple(n for marker in statement.markers for n in marker.numbers))
        for statement in statements(answer)
    ]
    assert found == expected


def test_absurd_ranges_are_not_spelled_out() -> None:
    (marker,) = markers("[1-9999]")
    assert marker.numbers == (1, 9999)
    assert markers("[12345] [] [a]") == []


def test_markers_can_be_taken_away() -> None:
    assert without_markers("The rent [1] is 900 [2, 3].") == "The rent is 900."

"""What counts as standing on a page, and what does not."""

import pytest

from localai_app.documents.quotes import PageText, separate, support, units, words

PAGE = (
    "The Panthers defense gave up just 308 points, ranking sixth in the league. Mr. Smith didn’t pay "
    "$5,000.50 to Acme Inc. in 2015, and Beta Ltd. sued Gamma Ltd. on 3 May 2016.\n\n"
    "The Licensee shall not sub-\nlicense the soft\u00adware to third parties. Either party may terminate "
    "this Agreement with thirty days’ notice.\n"
    "Revenue | 2019 | 1,234\nCosts | 2019 | 21,234\n\n"
    "The ﬁnal margin fell by −5 % to 12%. “Net income” means income after tax. "
    "第一条 合同不得转让。第二条 付款。"
)


def verified(statement: str, text: str = PAGE) -> bool:
    found = support(statement, PageText(text))
    return found is not None and found.verified


@pytest.mark.parametrize(
    "statement",
    [
        "The Panthers defense gave up just 308 points",
        "the Panthers defense gave up just 308 points.",
        "308",
        "Gamma Ltd.",
        "$5,000.50",
        "The Licensee shall not sublicense the software to third parties",  # hyphen, soft hyphen, line
        "It says “shall not sublicense the software to third parties”",
        'It says "Either party may terminate … thirty days\' notice"',
        "The final margin fell by -5 % to 12 %",  # ligature, minus sign
        "1,234",
        "合同不得转让",
        "Mr. Smith didn't pay $5,000.50 to Acme Inc.",
    ],
)
def test_words_of_the_page_are_verified(statement: str) -> None:
    assert verified(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "The Panthers defense gave up just 309 points, ranking sixth in the league",  # another number
        "The Panthers defense gave up just thirty points, ranking sixth in the league",
        "234",  # part of a number
        "1234",
        "5 %",  # the sign is part of it
        "€5,000.50",
        "The Licensee shall sublicense the software to third parties",  # a negation gone
        "Either party may not terminate this Agreement with thirty days' notice",  # and one added
        "合同得转让",
        "Gamma Ltd. sued Beta Ltd. on 3 May 2016",  # the same words, turned round
        "Delta Ltd. sued Gamma Ltd. on 3 May 2016",  # another name
        "Either party may terminate this Agreement with sixty days' notice",
        "It says “either party may terminate”",  # case is kept in quotation marks
        "It says “The Licensee may sublicense the software”",
        "The Licensee may sublicense under this “Agreement” whenever it likes",  # one quoted word
        "The Panthers gave up 308 points",  # no run of the page's own words
        "Mr. Smith paid $5,000.50 to Acme Inc. in 2015",
        "Acme Inc. paid Mr. Smith $5,000.50",
        "Beta Ltd. was sued by Gamma Ltd.",
        "Yes",
        "No.",
        "Costs in 2019 came to 1,234",  # the number of another row
        "The Licensee may terminate this Agreement with thirty days' notice",  # words of two sentences
        "",
        "[ ]",
    ],
)
def test_other_words_are_not(statement: str) -> None:
    assert not verified(statement)


def test_a_yes_that_stands_on_the_page_proves_nothing() -> None:
    assert not verified("Yes", "Yes, we can.")


@pytest.mark.parametrize("quotes", ["“{}”", "„{}“", "«{}»", '"{}"', "「{}」"])
def test_every_form_of_quotation_marks_quotes(quotes: str) -> None:
    assert verified("It says " + quotes.format("shall not sublicense the software"))
    assert not verified("It says " + quotes.format("shall sublicense the software"))


def test_every_quotation_must_stand_there() -> None:
    page = PageText("The rent is 900 euros a month. The deposit is three rents.")
    both = support("“The rent is 900 euros a month” and “the deposit is four rents”", page)
    assert both is not None
    assert not both.verified


def test_a_number_outside_the_quotation_must_stand_beside_it() -> None:
    page = PageText("The rent is 900 euros a month, payable in advance. It was agreed in 2019.")
    assert (found := support("In 2018 “the rent is 900 euros a month, payable in advance”", page))
    assert not found.verified


def test_the_sentence_that_fits_the_question_is_chosen() -> None:
    page = PageText("Davis led with 11 sacks. Allen had 136 sacks in all. Kuechly made 11 tackles.")
    found = support("11", page, "How many tackles did Kuechly make?")
    assert found is not None
    assert page.text[slice(*found.span)] == "Kuechly made 11 tackles."


def test_what_a_tracked_change_deleted_is_not_on_the_page() -> None:
    text = "The tenant shall not pay for repairs."
    start = text.index("not ")
    page = PageText(text, [(start, start + 3)])
    kept, gone = support("The tenant shall pay for repairs", page), support(text, page)
    assert kept is not None
    assert gone is not None
    assert (kept.verified, gone.verified) == (True, False)
    assert text[slice(*kept.span)] == text


def test_statements_that_share_nothing_rest_on_nothing() -> None:
    assert support("Bananas are yellow", PageText(PAGE)) is None
    assert support("308", PageText("")) is None


def test_rows_and_items_are_units_of_their_own() -> None:
    text = "Costs in euros:\nRevenue | 1,234\nCosts | 21,234\nAfter it. And more.\n- one thing\n- another"
    assert [text[start:end] for start, end in units(text)] == [
        "Costs in euros:",
        "Revenue | 1,234",
        "Costs | 21,234",
        "After it.",
        "And more.",
        "- one thing",
        "- another",
    ]


def test_words_are_compared_in_one_form() -> None:
    forms = words("cafe\u0301 ﬁve soft\u00adware o’clock −3 well-\nknown 1,000")
    assert [word.exact for word in forms] == [
        "café",
        "five",
        "software",
        "o'clock",
        "-3",
        "wellknown",
        "1,000",
    ]


def test_a_copy_with_slips_is_located() -> None:
    page = PageText(PAGE)
    copied = words("Either party may terminate this agreement with 30 days")
    assert page.holds(copied) is None
    located = page.resembles(copied)
    assert located is not None
    assert located[0] == pytest.approx(7 / 9)
    assert page.text[slice(*located[1])].startswith("Either party may terminate")
    # Five words of ten in one run are none.
    assert page.resembles(words("Either party may terminate the agreement with thirty days notice")) is None
    assert page.resembles(words("of the")) is None


def test_spans_that_touch_become_one() -> None:
    assert separate([(5, 9), (0, 4), (10, 12)], "abcd efgh.xy") == [(0, 9), (10, 12)]

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.tasks.extraction import normalise, normalise_numbers
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.extraction.normalise import Conventions, Normal, conventions_of
from localai_app.tasks.extraction.normalise_dates import DateOrder, dates, order_of
from localai_app.tasks.extraction.normalise_numbers import numbers

UNKNOWN = DateOrder(day_first=False, is_known=False)


def normal(kind: FieldType, text: str, *, of: str = "", language: str = "en", pattern: str = "") -> Normal:
    """What ``text`` comes to in a document that says ``of``."""
    conventions = conventions_of([of, text], language)
    return normalise.normalise(Field("x", type=kind, pattern=pattern), text, (0, len(text)), conventions)


def codes(found: Normal) -> list[str]:
    return [doubt.code for doubt in found.doubts]


# ---------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("20 March 2023", "2023-03-20"),
        ("March 20, 2023", "2023-03-20"),
        ("Sept. 5, 2001", "2001-09-05"),
        ("the 15th day of July, 2005", "2005-07-15"),
        ("20-Oct-2015", "2015-10-20"),
        ("7. Mai 2014", "2014-05-07"),
        ("18 april 2014", "2014-04-18"),
        ("1er janvier 2020", "2020-01-01"),
        ("2 de marzo de 2021", "2021-03-02"),
        ("3 marzo 2021", "2021-03-03"),
        ("4 de março de 2021", "2021-03-04"),
        ("1 stycznia 2021", "2021-01-01"),
        ("2015-07-02", "2015-07-02"),
        ("20.03.2023", "2023-03-20"),
        ("31/12/99", "1999-12-31"),
        ("7/15/05", "2005-07-15"),
        ("2021年3月5日", "2021-03-05"),
        ("March 2023", "2023-03"),
        ("03/2023", "2023-03"),
    ],
)
def test_dates_are_read_as_the_world_writes_them(text: str, iso: str) -> None:
    assert [(one.iso, text[slice(*one.span)] in text) for one in dates(text, UNKNOWN)] == [(iso, True)]


@pytest.mark.parametrize(
    "text",
    [
        "30/02/2021",
        "31. Februar 2021",
        "1.2.2003.4",
        "section 5 and 2003",
        "12-34-56",
        "01-02-03-04",
        "Page 12 of 2023",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert list(dates(text, UNKNOWN)) == []


def test_both_ends_of_a_period_are_found() -> None:
    assert [one.iso for one in dates("01.05.14-31.05.14", UNKNOWN)] == ["2014-05-01", "2014-05-31"]


def test_which_number_is_the_day_is_told_by_the_documents_other_dates() -> None:
    assert normal(FieldType.DATE, "3/4/2026", of="due 31/12/2026") == Normal("2026-04-03", "2026-04-03")
    assert normal(FieldType.DATE, "3/4/2026", of="due 12/31/2026") == Normal("2026-03-04", "2026-03-04")


def test_else_by_its_language_and_in_english_it_is_in_doubt() -> None:
    assert normal(FieldType.DATE, "3/4/2026", language="de") == Normal("2026-04-03", "2026-04-03")
    found = normal(FieldType.DATE, "3/4/2026", language="en")
    assert (found.value, codes(found)) == ("2026-03-04", ["ambiguous"])
    assert "month first" in found.doubts[0].words
    assert codes(normal(FieldType.DATE, "4/4/2026", language="en")) == []


def test_a_document_that_writes_dates_both_ways_tells_nothing() -> None:
    assert not order_of(["31/12/2026", "12/31/2026"], "fr").is_known


def test_a_month_without_a_day_is_kept_and_in_doubt() -> None:
    found = normal(FieldType.DATE, "March 2023")
    assert (found.value, codes(found)) == ("2023-03", ["incomplete"])


def test_a_period_is_in_doubt_as_a_date() -> None:
    found = normal(FieldType.DATE, "1 May 2014 - 31 May 2014")
    assert (found.value, codes(found)) == ("2014-05-01", ["ambiguous"])


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_dates(text: str) -> None:
    for one in dates(text, UNKNOWN, "de"):
        assert text[slice(*one.span)].strip()
        assert one.iso[4] == "-"


@given(st.dates())
def test_an_iso_date_is_read_as_it_is(day) -> None:  # type: ignore[no-untyped-def]
    if day.year >= 1000:
        assert [one.iso for one in dates(day.isoformat(), UNKNOWN)] == [day.isoformat()]


# ---------------------------------------------------------------- numbers and amounts


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("1.234,56 €", "1234.56", "EUR"),
        ("1,234.56", "1234.56", ""),
        ("1 234,56", "1234.56", ""),
        ("CHF 1'234.50", "1234.50", "CHF"),
        ("Rs. 12,34,567.00", "1234567.00", "INR"),
        ("1.234.567", "1234567", ""),
        ("0.125", "0.125", ""),
        ("(12.50)", "-12.50", ""),
        ("($12.50)", "-12.50", "$"),
        ("-5,00", "-5.00", ""),
        ("12,50-", "-12.50", ""),
        ("-$5.00", "-5.00", "$"),
        ("US$ 5", "5", "USD"),
        ("EUR 1.5 million", "1500000.0", "EUR"),
        ("2 lakh", "200000", ""),
    ],
)
def test_amounts_are_read_as_the_world_writes_them(text: str, value: str, currency: str) -> None:
    assert [(one.value, one.currency) for one in numbers(text)] == [(Decimal(value), currency)]


@pytest.mark.parametrize("text", ["20.03.2023", "1.2.3", "no number", "1,23,4"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert list(numbers(text)) == []


def test_a_range_and_a_hyphen_make_no_number_negative() -> None:
    assert [one.value for one in numbers("10-20 INV-7")] == [10, 20, 7]


def test_one_mark_before_three_digits_is_told_by_the_documents_other_numbers() -> None:
    assert normal(FieldType.NUMBER, "1.234", of="5,50 and 7,25") == Normal(1234, "1,234")
    assert normal(FieldType.NUMBER, "1.234", of="5.50 and 7.25") == Normal(1.234, "1.234")
    assert normal(FieldType.NUMBER, "1.234", language="de") == Normal(1234, "1,234")
    found = normal(FieldType.NUMBER, "1.234", language="")
    assert (found.value, codes(found)) == (1234, ["ambiguous"])


def test_an_amount_takes_the_sign_and_currency_beside_it() -> None:
    text = "Balance - 20,00 EUR due"
    conventions = conventions_of([text], "de")
    found = normalise.normalise(Field("x", type=FieldType.AMOUNT), text, (10, 15), conventions)
    assert found == Normal(-20.0, "-20.00 EUR")


def test_an_amount_without_a_currency_has_the_documents_only_one() -> None:
    assert normal(FieldType.AMOUNT, "20.00", of="in all 5.00 EUR").shown == "20.00 EUR"
    assert normal(FieldType.AMOUNT, "20.00", of="5.00 EUR or 6.00 USD").shown == "20.00"


def test_what_holds_several_numbers_is_in_doubt() -> None:
    assert codes(normal(FieldType.NUMBER, "2 x 10.00")) == ["ambiguous"]


@given(st.decimals(-(10**9), 10**9, places=2, allow_nan=False), st.sampled_from((",.", ".,", " ,", "'.")))
def test_an_amount_is_the_same_however_it_is_written(value: Decimal, marks: str) -> None:
    written = f"{value:,.2f}".replace(",", "\0").replace(".", marks[1]).replace("\0", marks[0])
    assert [one.value for one in numbers(written)] == [value]


@given(st.text("0123456789.,' €-()x", max_size=30))
def test_no_text_breaks_the_reading_of_numbers(text: str) -> None:
    for one in numbers(text):
        assert one.value.is_finite()
        assert any(character.isdigit() for character in text[slice(*one.span)])


def test_a_currency_is_known_by_code_and_sign() -> None:
    assert [normalise_numbers.currency_of(text) for text in ("EUR", "€", "zł", "$", "Acme")] == [
        "EUR",
        "EUR",
        "PLN",
        "$",
        "",
    ]
    assert normal(FieldType.TEXT, "US Dollars") == Normal("USD", "USD")
    assert normal(FieldType.TEXT, "Try") == Normal("Try", "Try")
    assert normalise_numbers.signs_of("USD") == ["USD", "US$", "$"]


# ---------------------------------------------------------------- the others


def test_an_iban_is_checked_by_length_and_checksum() -> None:
    good = normal(FieldType.IBAN, "de89 3704 0044 0532 0130 00")
    assert good == Normal("DE89370400440532013000", "DE89 3704 0044 0532 0130 00")
    assert normal(FieldType.IBAN, "NL91 ABNA 0417 1643 00 BIC ABNA").value == "NL91ABNA0417164300"
    for wrong in ("DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130", "US1234567890", "—"):
        assert codes(normal(FieldType.IBAN, wrong)) == ["bad_checksum"]


def test_an_email_address_is_taken_out_of_its_words() -> None:
    assert normal(FieldType.EMAIL, "Mail: A.B@Example.com!") == Normal("a.b@example.com", "a.b@example.com")
    assert codes(normal(FieldType.EMAIL, "nobody at example")) == ["not_read"]


def test_a_pattern_must_match_the_whole_value_and_has_a_time_limit() -> None:
    assert codes(normal(FieldType.TEXT, "INV-7", pattern=r"INV-\d")) == []
    assert codes(normal(FieldType.TEXT, "INV-77", pattern=r"INV-\d")) == ["pattern"]
    assert codes(normal(FieldType.TEXT, "a" * 60 + "!", pattern=r"(a|aa)+$")) == ["pattern"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("Yes", "ja", "Oui", "sí", "Sì.", "sim", "true", "☑")),
        *((word, False) for word in ("No", "Nein", "non", "nee", "não", "false")),
        ("Deductible: No", False),
        ("VAT | Ja", True),
        ("There is no", None),
        ("maybe", None),
        ("", None),
    ],
)
def test_a_yes_or_no_is_read_in_seven_languages(text: str, value: bool | None) -> None:
    assert normalise.answer_of(text) is value


def test_values_are_found_by_their_form() -> None:
    text = "On 3 May 2026 pay 5,00 € to DE89 3704 0044 0532 0130 00 BIC X, a@b.example"
    conventions: Conventions = conventions_of([text], "de")
    found = {
        kind: [text[slice(*span)] for span in normalise.spans(kind, text, conventions)]
        for kind in (FieldType.DATE, FieldType.IBAN, FieldType.EMAIL, FieldType.TEXT)
    }
    assert found == {
        FieldType.DATE: ["3 May 2026"],
        FieldType.IBAN: ["DE89 3704 0044 0532 0130 00"],
        FieldType.EMAIL: ["a@b.example"],
        FieldType.TEXT: [],
    }
    assert "5,00 €" in [text[slice(*span)] for span in normalise.spans(FieldType.AMOUNT, text, conventions)]

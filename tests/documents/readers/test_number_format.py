from decimal import Decimal

import pytest

from localai_app.documents.readers.number_format import BUILT_IN, formatted, formatted_text, general

ACCOUNTING = '_("$"* #,##0.00_);_("$"* (#,##0.00);_("$"* "-"??_);_(@_)'


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        ("1234.5", "#,##0.00", "1,234.50"),
        ("1234567", "#,##0", "1,234,567"),
        ("45292.5", "[$-F800]dddd, mmmm dd, yyyy", "2024-01-01"),
        ("45292.5", "[$-F400]h:mm:ss AM/PM", "12:00:00"),
        ("0.256", "0.0%", "25.6%"),
        ("1.005", "0.00", "1.01"),
        ("-0.001", "0.00", "0.00"),
        ("-5", '#,##0.00 "€"', "-5.00 €"),
        ("-5", "#,##0;(#,##0)", "(5)"),
        ("12345", "[$€-407] #,##0.00", "€ 12,345.00"),
        ("0", ACCOUNTING, "$-"),
        ("1234.5", ACCOUNTING, "$1,234.50"),
        ("-1234.5", ACCOUNTING, "$(1,234.50)"),
        ("5558675309", "[<=9999999]###-####;(###) ###-####", "(555) 867-5309"),
        ("5", "00000", "00005"),
        ("1234567", '0.0,,"M"', "1.2M"),
        ("12345678", "0.00E+00", "1.23E+07"),
        ("0.000012", "0.00E+00", "1.20E-05"),
        ("1.25", "# ?/?", "1 1/4"),
        ("0.5", "?/8", "4/8"),
        ("1.5", ".00", "1.50"),
        ("0.1234", "#.##%", "12.34%"),
        ("0", ";;;", ""),
        ("abc", "0.00", "abc"),
        ("45351", "yyyy-mm-dd", "2024-02-29"),
        ("45351.75", "dd/mm/yyyy hh:mm", "29/02/2024 18:00"),
        ("45351", BUILT_IN[14], "2024-02-29"),
        ("0.5", "h:mm AM/PM", "12:00 PM"),
        ("1.5", "[h]:mm:ss", "36:00:00"),
        ("0.5208333", "mm:ss.0", "30:00.0"),
        ("44197.5", "[$-409]mmmm d, yyyy h:mm;@", "January 1, 2021 12:00"),
        ("37261", 'm"月"d"日"', "1月5日"),
        ("-3", "yyyy-mm-dd", "-3"),
        ("99999999", "yyyy-mm-dd", "99999999"),
        ("7", "0" * 2_000, "7"),
        ("1e999999", "0.00", "1e999999"),
    ],
)
def test_values_are_shown_as_a_spreadsheet_shows_them(value, code, shown):
    assert formatted(value, code) == shown


def test_workbooks_of_old_macs_count_days_from_1904():
    assert formatted("0", "yyyy-mm-dd", epoch_1904=True) == "1904-01-01"
    assert formatted("1", "yyyy-mm-dd") == "1900-01-01"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0.1", "0.1"),
        ("123456789012", "1.23457E+11"),
        ("15000000000", "15000000000"),
        ("0.30000000000000004", "0.3"),
        ("-1234.5", "-1234.5"),
        ("0.000001", "1E-06"),
        ("1.23456789012", "1.23456789"),
    ],
)
def test_general_shows_eleven_characters(value, shown):
    assert general(Decimal(value)) == shown


def test_texts_follow_their_section():
    assert formatted_text("due", '0;-0;0;"is "@') == "is due"
    assert formatted_text("due", "0.00") == "due"
    assert formatted_text("due", ";;;") == ""

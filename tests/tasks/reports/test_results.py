from datetime import date

import pytest

from localai_app.tasks.reports import results
from localai_app.tasks.run import RunState
from localai_app.tasks.task import Column, Decision, Finding, Form, Outcome, Scalar, Verdict
from tests.tasks.finished import COLUMNS, failed, item, run, waiting


def typed(form: Form, value: Scalar, shown: str = "", corrected: str | None = None) -> object:
    decisions = () if corrected is None else (Decision("x/0/", Verdict.CORRECTED, corrected),)
    made = item(outcome=Outcome((Finding("x", value=value, shown=shown),)), decisions=decisions)
    return results.values(made, Column("x", "X", form))[0].typed


@pytest.mark.parametrize(
    ("form", "value", "shown", "corrected", "expected"),
    [
        (Form.AMOUNT, 12.5, "EUR 12.50", None, 12.5),
        (Form.AMOUNT, "12.50", "12.50", None, 12.5),
        (Form.AMOUNT, "twelve", "twelve", None, "twelve"),
        (Form.NUMBER, 10**18, "1000000000000000000", None, "1000000000000000000"),
        (Form.NUMBER, True, "yes", None, "yes"),
        (Form.NUMBER, 3, "3", "4", 4),
        (Form.NUMBER, 3, "3", "four", "four"),
        (Form.DATE, "2026-11-03", "2026-11-03", None, date(2026, 11, 3)),
        (Form.DATE, "2026-02-30", "2026-02-30", None, "2026-02-30"),
        (Form.DATE, "2026-11-03", "2026-11-03", "2026-11-04", date(2026, 11, 4)),
        (Form.FLAG, False, "no", None, False),
        (Form.TEXT, 5, "five", None, "five"),
        (Form.TEXT, None, "", None, ""),
    ],
)
def test_a_value_is_typed_only_where_it_certainly_is_one(
    form: Form, value: Scalar, shown: str, corrected: str | None, expected: object
) -> None:
    assert typed(form, value, shown, corrected) == expected


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("EUR 4,018.22", ("EUR ", "4,018.22", "")),
        ("4 018,22 €", ("", "4 018,22", " €")),
        ("-3", ("", "3", "")),
        ("(3.00)", ("(", "3.00", ")")),
        ("no number", ("", "", "")),
        ("1 of 2", ("", "", "")),
        ("1..2", ("", "", "")),
    ],
)
def test_a_number_is_told_from_what_stands_around_it(text: str, parts: tuple[str, str, str]) -> None:
    assert results.parts_of_number(text) == parts


def test_a_persons_word_goes_before_the_models() -> None:
    made = item()
    supplier, tags = COLUMNS[4], COLUMNS[5]
    (value,) = results.values(made, supplier)
    assert (value.text, value.status, value.was) == ("Müller & Söhne GmbH", "corrected", "Müller & Söhne")
    assert results.joined(made, tags) == "hardware"
    assert results.joined(made, tags, marked=True) == "hardware; (rejected: urgent)"


def test_entries_keep_their_parts_in_the_columns_order() -> None:
    found = results.entries(item(), COLUMNS[6])
    assert [[value.finding.part for value in entry] for entry in found] == [["what", "quantity", "price"]] * 2
    assert found[1][0].field == "Line items 2 · What"


def test_what_belongs_to_no_column_is_not_lost() -> None:
    made = item(outcome=Outcome((Finding("other", shown="x"),)))
    assert [value.field for value in results.all_values(run(), made)] == ["other"]


def test_an_unfinished_run_says_how_far_it_is() -> None:
    items = [item(), failed(2, "b", "e"), waiting(3, "c")]
    assert results.unfinished(run(), items[:2]) == ""
    assert results.unfinished(run(state=RunState.PAUSED), items) == (
        "Unfinished: 1 of 3 documents are not done. It is paused."
    )
    assert results.unfinished(run(), items) == "Unfinished: 1 of 3 documents are not done."
    assert results.read_words(items) == "2 of 3 pages"

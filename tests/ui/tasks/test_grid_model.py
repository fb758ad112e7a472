import random
import time
from collections.abc import Sequence

import pytest
from PySide6.QtCore import QPersistentModelIndex, Qt
from PySide6.QtTest import QAbstractItemModelTester
from PySide6.QtWidgets import QApplication

from localai_app.tasks.run import Item, ItemState
from localai_app.tasks.task import (
    Column,
    Coverage,
    Decision,
    Doubt,
    Evidence,
    Finding,
    Form,
    Outcome,
    Verdict,
)
from localai_app.ui.tasks.grid_model import CellRole, Filter, GridModel, Part, Row, headings, row_of
from tests.ui.fake_tasks import COLUMNS, come_to, finding, invoice

pytestmark = pytest.mark.usefixtures("qapp")
HEADINGS = headings(COLUMNS)
TRANSLATED = Evidence(1, "page 1", 0, 1, "A", verified=False)
SUMS = Doubt("sum_differs", "Lines sum to 4,018.22.")


def made(number: int, outcome: Outcome | str | None, *decisions: Decision) -> Row:
    item = Item(number, 1, number, f"{number:04}.pdf", "", ItemState.WAITING, decisions=decisions)
    return row_of(come_to(item, outcome), HEADINGS)


def texts(model: GridModel, column: int = 0) -> list[str]:
    return [model.index(row, column).data() for row in range(model.rowCount())]


def filled(*outcomes: Outcome | str | None) -> GridModel:
    model = GridModel()
    model.show_run(HEADINGS, [made(at, outcome) for at, outcome in enumerate(outcomes)])
    return model


def test_a_row_says_what_came_of_a_document() -> None:
    row = made(1, invoice("Amazon", "2026-11-01", 4108.22, SUMS))
    assert [cell.text for cell in row.cells] == [
        "0001.pdf",
        "Amazon",
        "2026-11-01",
        "4,108.22",
        "total ≠ sum of lines",
        "3 of 3 pages",
    ]
    assert [cell.tone for cell in row.cells] == ["text", "text", "text", "warn", "warn", "dim"]
    assert row.cells[3].finding == row.cells[4].finding == "total/0/"
    assert row.cells[4].tip == "Lines sum to 4,018.22."


@pytest.mark.parametrize(
    ("outcome", "said", "tone"),
    [
        (None, "waiting", "dim"),
        ("The file is damaged.", "failed: The file is damaged.", "bad"),
        (invoice("A", "2026-01-01", 1.0), "checked", "ok"),
        (invoice("A", "2026-01-01", 1.0, SUMS), "total ≠ sum of lines", "warn"),
        (
            invoice("A", "2026-01-01", 1.0, SUMS, Doubt("scan", "s")),
            "total ≠ sum of lines and 1 more",
            "warn",
        ),
        (invoice("A", "2026-01-01", 1.0, Doubt("new", "Look at it.")), "Look at it.", "warn"),
        (Outcome((Finding("point", shown="A", evidence=(TRANSLATED,)),)), "not checked", "dim"),
    ],
)
def test_the_state_is_said_in_words(outcome: Outcome | str | None, said: str, tone: str) -> None:
    cell = made(1, outcome).cells[4]
    assert (cell.text, cell.tone) == (said, tone)


def test_what_was_not_read_is_told_with_the_reason() -> None:
    outcome = Outcome((finding("supplier", "A"),), unread=((2, "the picture is too dark"),))
    read = made(1, outcome).cells[5]
    assert (read.text, read.tone) == ("2 of 3 pages", "warn")
    assert "the picture is too dark" in read.tip
    item = come_to(Item(1, 1, 1, "a.pdf", "", ItemState.WAITING), "The file is damaged.")
    unread = Item(**{**vars(item), "coverage": Coverage("page", 2, 0, ((1, "x"), (2, "x")))})
    assert row_of(unread, HEADINGS).cells[4].text == "not read: The file is damaged."


def test_a_persons_word_goes_before_the_models() -> None:
    corrected = Decision("total/0/", Verdict.CORRECTED, "4,018.22")
    row = made(1, invoice("A", "2026-01-01", 4108.22, SUMS), corrected)
    assert row.cells[3].text == "4,018.22"
    assert row.cells[4].text == "reviewed"
    rejected = made(1, invoice("A", "2026-01-01", 4108.22, SUMS), Decision("total/0/", Verdict.REJECTED))
    assert rejected.cells[3].text == ""


def test_a_list_is_shown_in_one_line_and_entries_of_several_fields_are_counted() -> None:
    parts = (Column("what", "What"), Column("price", "Price", Form.AMOUNT))
    columns = headings((Column("points", "Points", Form.LIST), Column("lines", "Lines", Form.LIST, parts)))
    found = (
        finding("points", "One\nand a half", item=0),
        finding("points", "Two", item=1),
        *(finding("lines", "x", item=item, part=part) for item in range(3) for part in ("what", "price")),
    )
    row = row_of(come_to(Item(1, 1, 1, "a.pdf", "", ItemState.WAITING), Outcome(found)), columns)
    assert [cell.text for cell in row.cells[1:3]] == ["One and a half; Two", "3 entries"]


def test_with_many_columns_the_state_stands_beside_the_name() -> None:
    many = headings([Column(f"c{number}", "C") for number in range(6)])
    assert [each.part for each in many[:2]] == [Part.DOCUMENT, Part.STATE]
    assert HEADINGS[-2].part is Part.STATE


def test_figures_stand_at_the_right_and_cells_say_their_column() -> None:
    model = filled(invoice("A", "2026-01-01", 1.0))
    assert model.index(0, 3).data(CellRole.FIGURES) is True
    assert model.index(0, 3).data(Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight
    assert model.index(0, 1).data(CellRole.FIGURES) is False
    assert model.index(0, 3).data(Qt.ItemDataRole.AccessibleTextRole) == "Total EUR: 1.00"
    assert model.headerData(3, Qt.Orientation.Horizontal) == "Total EUR"


def test_amounts_sort_by_their_value_and_what_has_none_comes_last() -> None:
    model = filled(
        invoice("A", "2026-01-01", 1249.0),
        None,
        invoice("B", "2026-01-01", 84.9),
        invoice("C", "2026-01-01", 612.4),
    )
    model.sort(3, Qt.SortOrder.AscendingOrder)
    assert texts(model, 3) == ["84.90", "612.40", "1,249.00", ""]
    model.sort(3, Qt.SortOrder.DescendingOrder)
    assert texts(model, 3) == ["1,249.00", "612.40", "84.90", ""]
    model.sort(-1)
    assert texts(model) == ["0000.pdf", "0001.pdf", "0002.pdf", "0003.pdf"]


def test_the_worst_state_comes_first() -> None:
    model = filled(invoice("A", "2026-01-01", 1.0), "Broken.", None, invoice("B", "2026-01-01", 1.0, SUMS))
    model.sort(4)
    assert texts(model) == ["0001.pdf", "0003.pdf", "0002.pdf", "0000.pdf"]


def test_filters_show_what_waits_and_what_failed() -> None:
    model = filled(invoice("A", "2026-01-01", 1.0), "Broken.", invoice("B", "2026-01-01", 1.0, SUMS))
    model.set_filter(Filter.REVIEW)
    assert texts(model) == ["0002.pdf"]
    model.set_filter(Filter.FAILED)
    assert texts(model) == ["0001.pdf"]
    model.set_filter(Filter.ALL)
    assert len(texts(model)) == 3


def test_a_row_that_is_decided_leaves_the_review_and_the_current_one_stays() -> None:
    doubtful = [invoice(name, "2026-01-01", 1.0, SUMS) for name in "ABC"]
    model = filled(*doubtful)
    model.set_filter(Filter.REVIEW)
    current = QPersistentModelIndex(model.index(2, 1))
    model.change([(1, made(1, doubtful[1], Decision("total/0/", Verdict.ACCEPTED)))])
    assert texts(model) == ["0000.pdf", "0002.pdf"]
    assert current.data() == "C"


def test_rows_that_change_move_where_they_are_sorted_to() -> None:
    model = filled(*[invoice(name, "2026-01-01", 1.0) for name in "BDF"], None)
    model.sort(1)
    current = QPersistentModelIndex(model.index(2, 1))
    model.change([(3, made(3, invoice("C", "2026-01-01", 1.0)))])
    assert texts(model, 1) == ["B", "C", "D", "F"]
    assert (current.row(), current.data()) == (3, "F")


def random_outcome(chance: random.Random) -> Outcome | str | None:
    doubts = [SUMS] if chance.random() < 0.3 else []
    found = invoice(chance.choice("ABCDE"), "2026-01-01", chance.random(), *doubts)
    return chance.choice([found, found, "Broken.", None])


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_the_model_keeps_qts_rules(qapp: QApplication, seed: int) -> None:
    chance = random.Random(seed)
    model = filled(*[None] * 12)
    tester = QAbstractItemModelTester(model, QAbstractItemModelTester.FailureReportingMode.Fatal)
    for _ in range(60):
        step = chance.random()
        if step < 0.7:
            count = len(model.rows)
            places: Sequence[int] = [chance.randrange(count) for _ in range(3)]
            news = [(at, made(at, random_outcome(chance))) for at in dict.fromkeys(places)]
            model.change([*news, (count, made(count, random_outcome(chance)))])
        elif step < 0.85:
            model.sort(chance.randrange(-1, 6), chance.choice(list(Qt.SortOrder)))
        else:
            model.set_filter(chance.choice(list(Filter)))
        shown = [row for row in model.rows if row.within(model.filter)]
        assert sorted(texts(model)) == sorted(row.item.document_name for row in shown)
    del tester


def test_five_thousand_rows_are_sorted_and_changed_at_once() -> None:
    chance = random.Random(1)
    model = filled(*[random_outcome(chance) for _ in range(5000)])
    began = time.process_time()
    model.sort(3, Qt.SortOrder.DescendingOrder)
    model.change([(at, made(at, invoice("A", "2026-01-01", 5.0))) for at in range(0, 5000, 500)])
    model.set_filter(Filter.REVIEW)
    # The bound only says that it does not grow with the square of the rows.
    assert time.process_time() - began < 1.0

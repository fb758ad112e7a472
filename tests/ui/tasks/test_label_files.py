from pathlib import Path

import pytest

from localai_app.errors import UsageError
from localai_app.ui.tasks.label_files import LARGEST, MOST_LINES, read_labels
from localai_app.ui.tasks.label_table import LabelTable
from localai_app.ui.theme import Theme


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("labels.csv", b'Label,Description\nComplaint,"Something, went wrong"\nOrder,\n'),
        ("labels.csv", "\ufeffComplaint;Something, went wrong\r\nOrder;\r\norder;twice\r\n".encode()),
        ("labels.tsv", "Complaint\tSomething, went wrong\nOrder\t".encode("utf-16")),
        ("labels.txt", b"Complaint\tSomething, went wrong\n\n  Order\t \n"),
    ],
)
def test_labels_come_from_tables_and_texts(tmp_path: Path, name: str, raw: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    assert read_labels(path) == [("Complaint", "Something, went wrong"), ("Order", "")]


def test_a_line_of_a_text_is_one_label_whatever_stands_in_it(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("Cards, lost or stolen\nBêtise; autre\n".encode("cp1252"))
    assert read_labels(path) == [("Cards, lost or stolen", ""), ("Bêtise; autre", "")]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b" \n", "no labels"),
        (b"\x89PNG\0\0", "not text"),
        (b"a\n" * (MOST_LINES + 1), "lines"),
        (b"a" * (LARGEST + 1), "too large"),
        (b'"a quote without an end,b\nc,d', "not a table"),
    ],
)
def test_what_is_no_set_of_labels_is_refused(tmp_path: Path, raw: bytes, why: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(raw)
    with pytest.raises(UsageError, match=why):
        read_labels(path)


def test_a_file_adds_the_labels_that_are_not_there_yet(theme: Theme, qtbot: object, tmp_path: Path) -> None:
    table = LabelTable(theme, 80, 500, 200)
    table.show_labels([("Order", "Somebody buys")])
    path = tmp_path / "labels.csv"
    path.write_text("order,other words\nComplaint,Something went wrong\n")
    table.read_file(path)
    assert [each["name"] for each in table.labels] == ["Order", "Complaint"]
    assert table.labels[0]["description"] == "Somebody buys"
    table.read_file(tmp_path / "nowhere.csv")
    assert "cannot be read" in table.failure.text()
    assert len(table.labels) == 2
    table.deleteLater()

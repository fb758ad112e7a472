import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from localai_app.errors import UsageError
from localai_app.tasks.extraction import field_schema, fields
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.extraction.templates import templates
from localai_app.ui.tasks.field_parts import TABLE
from localai_app.ui.tasks.field_row import FieldRow
from localai_app.ui.tasks.schema_editor import LARGEST, SchemaEditor
from localai_app.ui.theme import Theme

TOTAL = Field("total", "Total", FieldType.AMOUNT, "With tax", required=True)
CODE = Field("code", "Code", pattern="[A-Z]+")
KIND = Field("kind", "Kind", FieldType.CHOICE, one_of=("Invoice", "Letter"))
LINES = Field(
    "lines", "Lines", is_list=True, parts=(Field("what", "What"), Field("price", "Price", FieldType.AMOUNT))
)


@pytest.fixture
def editor(qtbot: QtBot, theme: Theme) -> Iterator[SchemaEditor]:
    made = SchemaEditor(theme, (TOTAL, CODE, LINES))
    made.resize(760, 700)
    made.show()
    made.activateWindow()
    qtbot.waitExposed(made)
    yield made
    made.close()
    made.deleteLater()


def names(editor: SchemaEditor) -> list[str]:
    return [each.name for each in editor.fields]


def choose(row: FieldRow, kind: str) -> None:
    row.type.setCurrentIndex(row.type.findData(kind))


def test_what_nobody_changed_comes_out_as_it_went_in(editor: SchemaEditor) -> None:
    assert editor.fields == (TOTAL, CODE, LINES)
    for each in templates():
        editor.fields = each.fields
        assert editor.fields == each.fields, each.name
        assert not editor.problems(), each.name
    untitled = (Field("net_amount"), KIND, Field("Own_Key_not_made".lower(), "Another name"))
    editor.fields = untitled
    assert editor.fields == untitled


def test_a_field_is_made_by_typing(editor: SchemaEditor, qtbot: QtBot) -> None:
    with qtbot.waitSignal(editor.changed):
        editor.rows.add_button.click()
    row = editor.rows.rows[-1]
    assert row.name.hasFocus()
    assert row.problem.isHidden(), "nobody is told off before anything was typed"
    assert editor.problems()
    QTest.keyClicks(row.name, "Due Date")
    choose(row, FieldType.DATE)
    row.required.click()
    row.description.setText("When it must be paid")
    assert editor.fields[-1] == Field(
        "due_date", "Due Date", FieldType.DATE, "When it must be paid", required=True
    )
    assert not editor.problems()


def test_the_name_in_files_follows_the_name_until_it_is_typed(editor: SchemaEditor) -> None:
    row = editor.rows.rows[0]
    row.name.setText("Grand total")
    assert (row.key.text(), editor.fields[0].key) == ("grand_total", "grand_total")
    row.more_button.click()
    row.key.setFocus()
    row.key.selectAll()
    QTest.keyClicks(row.key, "sum")
    row.name.setText("Sum of all")
    assert editor.fields[0].key == "sum"


def test_a_list_of_values_is_asked_for_where_there_is_one(editor: SchemaEditor) -> None:
    row = editor.rows.rows[0]
    assert row._values_box.isHidden()
    choose(row, FieldType.CHOICE)
    assert not row._values_box.isHidden()
    row.values.setPlainText("Paid\n\n  Not   paid \nPaid")
    assert editor.fields[0].one_of == ("Paid", "Not paid")
    assert not editor.problems()
    choose(row, FieldType.TEXT)
    assert editor.fields[0].one_of == ()


def test_a_table_has_columns_of_its_own(editor: SchemaEditor) -> None:
    row = editor.rows.rows[1]
    choose(row, TABLE)
    assert row.parts is not None
    assert editor.problems() == ["Code: Field 1: Give the field a name."]
    row.parts.rows[0].name.setText("Article")
    row.parts.add_button.click()
    row.parts.rows[1].name.setText("Price")
    choose(row.parts.rows[1], FieldType.AMOUNT)
    made = editor.fields[1]
    assert made.is_list
    assert made.parts == (Field("article", "Article"), Field("price", "Price", FieldType.AMOUNT))
    assert not editor.problems()


def test_what_is_wrong_stands_at_its_field(editor: SchemaEditor) -> None:
    editor.fields = (
        TOTAL,
        Field("total_2", "total"),
        Field("kind", "Kind", FieldType.CHOICE, one_of=("one",)),
        Field("bad", "Bad", pattern="[A-"),
        Field("Not A Key", "Key"),
    )
    told = [row.problem.text() for row in editor.rows.rows]
    assert told[:3] == [
        "Another field has this name.",
        "Another field has this name.",
        "List at least two values, one a line.",
    ]
    assert "no regular expression" in told[3]
    assert "cannot be a field's key" in told[4]
    assert len(editor.problems()) == 5
    assert not editor.export_button.isEnabled()
    editor.rows.rows[1].name.setText("Net")
    assert editor.rows.rows[0].problem.isHidden()
    assert editor.rows.rows[1].problem.isHidden()


def test_an_empty_name_is_told_once_its_field_was_left(editor: SchemaEditor) -> None:
    editor.rows.add()
    row = editor.rows.rows[-1]
    assert row.problem.isHidden()
    row.description.setFocus()
    assert row.problem.text() == "Give the field a name."
    editor.fields = ()
    assert editor.problems() == ["Add at least one field."]
    editor.rows.add()
    editor.show_problems()
    assert not editor.rows.rows[0].problem.isHidden()


@pytest.mark.parametrize(
    "given",
    [
        (TOTAL, KIND, LINES),
        (),
        (TOTAL, TOTAL),
        (Field("a" * 41, "A"),),
        (Field("a", "A", one_of=("x",)),),
        (Field("a", "A", FieldType.YES_NO, pattern="x"),),
        (Field("a", "A", is_list=True, parts=(Field("b", "B"), Field("b", "C"))),),
        (Field("a", "A", FieldType.CHOICE, one_of=("x", "y" * 81)),),
    ],
)
def test_fields_without_problems_can_be_worked_with(editor: SchemaEditor, given: tuple[Field, ...]) -> None:
    editor.fields = given
    try:
        fields.check(editor.fields)
    except UsageError:
        assert editor.problems()
    else:
        assert not editor.problems()


def test_a_removed_field_comes_back_to_its_place(editor: SchemaEditor) -> None:
    editor.rows.rows[1].remove_button.click()
    assert names(editor) == ["Total", "Lines"]
    assert not editor.rows.gone.isHidden()
    assert editor.rows.rows[1].name.hasFocus(), "the keyboard stays where it was"
    editor.rows.rows[0].remove_button.click()
    editor.rows.undo_button.click()
    QTest.keyClick(editor.rows.rows[0].type, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert editor.fields == (TOTAL, CODE, LINES)
    assert editor.rows.gone.isHidden()


def test_ctrl_z_in_a_field_undoes_typing_and_no_removal(editor: SchemaEditor) -> None:
    editor.rows.rows[1].remove_button.click()
    name = editor.rows.rows[0].name
    name.setFocus()
    QTest.keyClicks(name, "x")
    QTest.keyClick(name, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert names(editor) == ["Total", "Lines"]


def test_fields_are_moved_by_keyboard_and_keep_the_focus(editor: SchemaEditor) -> None:
    name = editor.rows.rows[0].name
    name.setFocus()
    QTest.keyClick(name, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert names(editor) == ["Code", "Total", "Lines"]
    assert name.hasFocus()
    QTest.keyClick(name, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    QTest.keyClick(name, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert names(editor) == ["Total", "Code", "Lines"]


def test_the_columns_of_a_table_are_moved_among_themselves(editor: SchemaEditor) -> None:
    parts = editor.rows.rows[2].parts
    assert parts is not None
    parts.rows[0].name.setFocus()
    QTest.keyClick(parts.rows[0].name, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert [part.key for part in editor.fields[2].parts] == ["price", "what"]
    assert names(editor) == ["Total", "Code", "Lines"]


def test_a_field_is_dragged_past_its_neighbours(editor: SchemaEditor) -> None:
    rows = editor.rows
    first, last = rows.rows[0], rows.rows[2]
    grip = first.grip
    QTest.mousePress(grip, Qt.MouseButton.LeftButton)
    below = grip.mapFromGlobal(last.mapToGlobal(QPoint(5, last.height() - 2)))
    first.dragged.emit(grip.mapToGlobal(below))
    QTest.mouseRelease(grip, Qt.MouseButton.LeftButton)
    assert names(editor) == ["Code", "Lines", "Total"]


def test_a_copy_stands_under_its_field_with_a_name_of_its_own(editor: SchemaEditor) -> None:
    editor.rows.rows[2].copy_button.click()
    editor.rows.rows[2].copy_button.click()
    assert names(editor) == ["Total", "Code", "Lines", "Lines 3", "Lines 2"]
    assert editor.fields[3].parts == LINES.parts
    assert not editor.problems()


def test_fields_go_into_a_file_and_come_back(editor: SchemaEditor, tmp_path: Path) -> None:
    given = (TOTAL, CODE, KIND, LINES, Field("tags", is_list=True), Field("paid", type=FieldType.YES_NO))
    editor.fields = given
    path = tmp_path / "schema.json"
    editor.write_file(path)
    written = json.loads(path.read_text("utf-8"))
    assert written["properties"]["kind"] == {"title": "Kind", "type": "string", "enum": ["Invoice", "Letter"]}
    assert written["required"] == ["total"]
    editor.fields = ()
    editor.read_file(path)
    assert editor.fields == given


def test_every_template_goes_through_json_schema_and_back() -> None:
    for each in templates():
        assert field_schema.from_json_schema(field_schema.to_json_schema(each.fields)) == each.fields


def test_a_file_that_is_no_schema_changes_nothing_and_says_why(editor: SchemaEditor, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    for content, why in (
        (b"not json", "not JSON"),
        (b'{"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}}', "minLength"),
        (b" " * (LARGEST + 1), "too large"),
    ):
        path.write_bytes(content)
        editor.read_file(path)
        assert why in editor.failure.text()
        assert editor.fields == (TOTAL, CODE, LINES)
    editor.read_file(tmp_path / "nowhere.json")
    assert "cannot be read" in editor.failure.text()
    editor.write_file(tmp_path / "nowhere" / "schema.json")
    assert "cannot be written" in editor.failure.text()
    editor.fields = (TOTAL,)
    assert editor.failure.isHidden()


def test_everything_the_keyboard_reaches_has_a_name_of_its_own(editor: SchemaEditor) -> None:
    reached = [
        widget
        for widget in editor.findChildren(QWidget)
        if widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
    ]
    assert [widget for widget in reached if not widget.accessibleName()] == []
    described = [row.accessibleName() for row in editor.rows.rows]
    assert described[0] == "Field 1 of 3: Total"
    assert editor.rows.rows[0].type.accessibleName() == "Type of Total"


def test_it_can_be_used_where_it_is_narrow(editor: SchemaEditor, theme: Theme, qtbot: QtBot) -> None:
    editor.resize(380, 900)
    qtbot.wait(20)
    for row in editor.rows.rows:
        for part in (row.name, row.type, row.remove_button):
            right = part.mapTo(editor, part.rect().bottomRight())
            assert right.x() <= editor.width()

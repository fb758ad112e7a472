"""One field of a schema as people edit it."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QPlainTextEdit, QVBoxLayout, QWidget

from localai_app.errors import UsageError
from localai_app.tasks.extraction import fields as schema
from localai_app.tasks.extraction.field_schema import key_of
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.ui.documents.words import number
from localai_app.ui.tasks.field_parts import TABLE, Grip, TypeChoice, type_names
from localai_app.ui.tasks.words import tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.check import Check
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label

LONGEST_NAME = 80
VALUES_LINES = 4


class FieldRow(QFrame):
    """Shows what is wrong with its field under it, once the person has left it."""

    changed = Signal()
    removed = Signal()
    duplicated = Signal()
    dragged = Signal(QPoint)

    def __init__(self, theme: Theme, field: Field, *, part: bool = False) -> None:
        super().__init__()
        self._theme, self._field, self._is_part = theme, field, part
        self._key_follows = not field.key or field.key == key_of(field.name)
        self._touched = False
        self.setProperty("look", "field-part" if part else "card")
        self.grip = Grip(theme)
        self.name = QLineEdit()
        self.type = TypeChoice(theme)
        self.required = Check(theme, tr("Required"))
        self.required.setToolTip(tr("Where it is not found, a person is asked"))
        self.is_list = Check(theme, tr("List"))
        self.is_list.setToolTip(tr("A document may have several of these"))
        self.more_button = IconButton(theme, "sliders-horizontal", tr("Pattern and name in files"), size=16)
        self.copy_button = IconButton(theme, "copy", tr("Duplicate the field"), size=16)
        self.remove_button = IconButton(theme, "trash-2", tr("Remove the field"), size=16)
        self.description = QLineEdit()
        self.values = QPlainTextEdit()
        self.pattern, self.key = QLineEdit(), QLineEdit()
        self.problem = label("", "bad", wrap=True)
        self.parts: FieldRows | None = None
        self._details, self._values_box = QWidget(), QWidget()
        self._build()
        self._fill(field)
        self._connect()
        theme.changed.connect(self._fit)
        self._fit()

    # ------------------------------------------------------------ value

    @property
    def field(self) -> Field:
        """As it is typed; what nobody changed is as it was given."""
        typed = " ".join(self.name.text().split())
        kept = self._field
        title = "" if not kept.title and typed == kept.name and kept.key else typed
        key = (key_of(typed) if typed else "") if self._key_follows else self.key.text().strip()
        table = self.type.currentData() == TABLE
        kind = kept.type if table else FieldType(self.type.currentData())
        copied = kind.is_said and not table
        return Field(
            kept.key if title == kept.title and self._key_follows and kept.key else key[: schema.MAX_KEY],
            title,
            kind,
            " ".join(self.description.text().split()),
            self.required.isChecked(),
            table or self.is_list.isChecked(),
            self._listed() if kind is FieldType.CHOICE and not table else (),
            self.pattern.text() if copied else "",
            self.parts.fields if table and self.parts is not None else (),
        )

    def problem_of(self, others: Sequence[Field]) -> str:
        """What is wrong with the field beside ``others``; empty where nothing is."""
        field = self.field
        if not " ".join(self.name.text().split()):
            return tr("Give the field a name.")
        if any(other.name.casefold() == field.name.casefold() for other in others):
            return tr("Another field has this name.")
        if any(other.key == field.key for other in others):
            return tr("Another field has the name “{0}” in files.").format(field.key)
        if self.type.currentData() == TABLE and not field.parts:
            return tr("Add a column to the table.")
        if self.parts is not None and self.type.currentData() == TABLE:
            inside = next(iter(self.parts.problems()), "")
            if inside:
                return inside
        if field.type is FieldType.CHOICE and not field.parts and len(field.one_of) < 2:
            return tr("List at least two values, one a line.")
        try:
            schema.check((field,))
        except UsageError as error:
            return error.line
        return ""

    def show_problem(self, text: str) -> None:
        """Say what is wrong, but not while the person has only begun."""
        untouched = not self._touched and not self.name.text().strip()
        self.problem.setText("" if untouched else text)
        self.problem.setVisible(bool(self.problem.text()))
        self.setAccessibleDescription(self.problem.text())

    def touch(self) -> None:
        """From now on, nothing is left out of what is wrong."""
        self._touched = True
        if self.parts is not None:
            self.parts.show_problems()

    def set_place(self, at: int, total: int) -> None:
        """Screen readers tell rows apart by their number until they have a name."""
        said = " ".join(self.name.text().split()) or tr("field {0}").format(number(at + 1))
        self.setAccessibleName(tr("Field {0} of {1}: {2}").format(number(at + 1), number(total), said))
        self.name.setAccessibleName(tr("Name of field {0}").format(number(at + 1)))
        self.values.setAccessibleName(tr("Values of {0}, one a line").format(said))
        for widget, words in (
            (self.type, tr("Type of {0}")),
            (self.required, tr("{0} is required")),
            (self.is_list, tr("{0} is a list")),
            (self.description, tr("What is meant by {0}")),
            (self.pattern, tr("Pattern of {0}")),
            (self.key, tr("Name in files of {0}")),
        ):
            widget.setAccessibleName(words.format(said))
        self.copy_button.set_name(tr("Duplicate {0}").format(said))
        self.remove_button.set_name(tr("Remove {0}").format(said))
        self.more_button.set_name(tr("Pattern and name in files of {0}").format(said))

    def _listed(self) -> tuple[str, ...]:
        lines = (" ".join(line.split()) for line in self.values.toPlainText().splitlines())
        return tuple(dict.fromkeys(filter(None, lines)))

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        self.name.setMaxLength(LONGEST_NAME)
        self.name.setPlaceholderText(tr("Name"))
        for value, text in type_names():
            self.type.addItem(text, str(value))
        if not self._is_part:
            self.type.addItem(tr("Table of several columns"), TABLE)
        self.description.setMaxLength(schema.MAX_DESCRIPTION)
        self.description.setPlaceholderText(tr("What is meant, and what is not"))
        self.values.setProperty("look", "field")
        self.values.setTabChangesFocus(True)
        self.pattern.setPlaceholderText(tr("such as [A-Z]{2}-[0-9]+"))
        self.key.setMaxLength(schema.MAX_KEY)
        self.more_button.setCheckable(True)
        checks, tools = QWidget(), QWidget()
        self._checks = QHBoxLayout(checks)
        self._checks.addWidget(self.required)
        self._checks.addWidget(self.is_list)
        if self._is_part:
            checks.hide()  # shown before it has a parent, it would be a window of its own
        self._tools = QHBoxLayout(tools)
        for tool in (self.more_button, self.copy_button, self.remove_button):
            self._tools.addWidget(tool)
        flow = QWidget()
        self._flow = FlowLayout(flow)
        for part in (self.name, self.type, checks, tools):
            self._flow.addWidget(part)
        policy = self.name.sizePolicy()
        policy.setHorizontalPolicy(policy.Policy.Expanding)
        self.name.setSizePolicy(policy)
        self._values_column = QVBoxLayout(self._values_box)
        self._values_column.addWidget(label(tr("Values, one a line"), "dim"))
        self._values_column.addWidget(self.values)
        self._details_row = QHBoxLayout(self._details)
        self._add_detail(tr("Pattern of the whole value"), self.pattern)
        self._add_detail(tr("Name in files"), self.key)
        self._inside = QVBoxLayout()
        for line in (flow, self.description, self._values_box, self._details, self.problem):
            self._inside.addWidget(line)
        self._row = QHBoxLayout(self)
        self._row.addWidget(self.grip, 0, Qt.AlignmentFlag.AlignTop)
        self._row.addLayout(self._inside, 1)

    def _add_detail(self, title: str, edit: QLineEdit) -> None:
        box = QVBoxLayout()
        box.addWidget(label(title, "dim"))
        box.addWidget(edit)
        self._details_row.addLayout(box, 1)

    def _fill(self, field: Field) -> None:
        self.name.setText(field.name if field.key else field.title)
        self.type.setCurrentIndex(self.type.findData(TABLE if field.parts else str(field.type)))
        self.required.setChecked(field.required)
        self.is_list.setChecked(field.is_list)
        self.description.setText(field.description)
        self.values.setPlainText("\n".join(field.one_of))
        self.pattern.setText(field.pattern)
        self.key.setText(field.key)
        self.more_button.setChecked(bool(field.pattern))
        if field.parts:
            self._make_parts(field.parts)
        self._show_parts()

    def _connect(self) -> None:
        self.grip.dragged.connect(self.dragged)
        self.name.textChanged.connect(self._rename)
        self.name.editingFinished.connect(self._leave)
        self.key.textEdited.connect(self._own_key)
        self.type.currentIndexChanged.connect(self._change_type)
        for check in (self.required, self.is_list):
            check.toggled.connect(self._tell)
        for edit in (self.description, self.pattern, self.key):
            edit.textChanged.connect(self._tell)
        self.values.textChanged.connect(self.changed)
        self.more_button.toggled.connect(self._show_parts)
        self.copy_button.clicked.connect(self.duplicated)
        self.remove_button.clicked.connect(self.removed)

    def _tell(self) -> None:
        self.changed.emit()

    def _rename(self) -> None:
        if self._key_follows:
            self.key.setText(self.field.key)
        self.changed.emit()

    def _own_key(self) -> None:
        self._key_follows = False

    def _leave(self) -> None:
        self._touched = True
        self.changed.emit()

    def _change_type(self) -> None:
        if self.type.currentData() == TABLE and self.parts is None:
            self._make_parts((Field(""),))
        self._show_parts()
        self.changed.emit()

    def _make_parts(self, fields: Sequence[Field]) -> None:
        self.parts = FieldRows(self._theme, part=True)
        self.parts.fields = tuple(fields)
        self.parts.changed.connect(self.changed)
        self._inside.insertWidget(self._inside.count() - 1, self.parts)

    def _show_parts(self) -> None:
        """Only what the type has a use for."""
        kind = self.type.currentData()
        table = kind == TABLE
        said = not table and FieldType(kind).is_said
        self._values_box.setVisible(kind == FieldType.CHOICE)
        self._details.setVisible(self.more_button.isChecked())
        self.pattern.setEnabled(said)
        self.is_list.setVisible(not table and not self._is_part)
        if self.parts is not None:
            self.parts.setVisible(table)

    def _fit(self) -> None:
        px = self._theme.px
        self._row.setContentsMargins(
            *((px(0), px(4), px(0), px(4)) if self._is_part else (px(8), px(10), px(12), px(12)))
        )
        self._row.setSpacing(px(8))
        self._inside.setSpacing(px(6))
        self._flow.setSpacing(px(8))
        for row in (self._tools, self._checks):
            row.setContentsMargins(0, 0, 0, 0)
        self._tools.setSpacing(px(2))
        for box in (self._values_column, self._details_row):
            box.setContentsMargins(0, 0, 0, 0)
            box.setSpacing(px(4))
        self._details_row.setSpacing(px(12))
        self.grip.setContentsMargins(0, px(9), 0, 0)
        self.values.setFixedHeight(self.fontMetrics().lineSpacing() * VALUES_LINES + px(20))
        self.type.setMinimumWidth(px(150))
        self.name.setMinimumWidth(px(150))


class FieldRows(QWidget):
    """Rows of fields, or of the columns of a table."""

    changed = Signal()

    def __init__(self, theme: Theme, *, part: bool = False) -> None:
        super().__init__()
        self._theme, self._is_part = theme, part
        self.rows: list[FieldRow] = []
        self._gone: list[tuple[int, Field]] = []
        """What was removed, with its place, the latest last."""
        self.add_button = Button(
            theme, tr("Add a column") if part else tr("Add a field"), icon="plus", size=16
        )
        self.gone = QWidget()
        self._gone_words = label("", "dim")
        self.undo_button = Button(theme, tr("Undo"), look="link")
        strip = QHBoxLayout(self.gone)
        strip.setContentsMargins(0, 0, 0, 0)
        strip.addWidget(self._gone_words)
        strip.addWidget(self.undo_button)
        strip.addStretch(1)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.gone)
        self._column.addWidget(self.add_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.gone.hide()
        self.add_button.clicked.connect(self.add)
        self.undo_button.clicked.connect(self.undo)
        theme.changed.connect(self._fit)
        self._fit()

    @property
    def fields(self) -> tuple[Field, ...]:
        """As they are typed, the empty name among them."""
        return tuple(row.field for row in self.rows)

    @fields.setter
    def fields(self, given: Sequence[Field]) -> None:
        for row in self.rows:
            self._drop(row)
        self.rows = []
        self._gone.clear()
        self.gone.hide()
        for field in given:
            self._insert(len(self.rows), field)
        self._check()

    def problems(self) -> list[str]:
        """What is wrong, one line for each field that cannot be worked with."""
        found = []
        for at, text in enumerate(self._problems()):
            if text:
                name = self.rows[at].field.name or tr("Field {0}").format(number(at + 1))
                found.append(tr("{0}: {1}").format(name, text))
        return found

    def show_problems(self) -> None:
        """Say all that is wrong, in rows that were not touched yet, too."""
        for row in self.rows:
            row.touch()
        self._check()

    def add(self) -> None:
        """A new field at the end; its name is typed."""
        self.show_problems()
        row = self._insert(len(self.rows), Field(""))
        self._tell()
        row.name.setFocus(Qt.FocusReason.OtherFocusReason)

    def duplicate(self, row: FieldRow) -> None:
        """The same field once more, under it, with another name."""
        field, names = row.field, {each.name.casefold() for each in self.fields}
        count = 2
        while f"{field.name} {count}".casefold() in names:
            count += 1
        name = f"{field.name} {count}"
        made = msgspec.structs.replace(field, title=name, key=key_of(name)[: schema.MAX_KEY])
        copy = self._insert(self.rows.index(row) + 1, made)
        self._tell()
        copy.name.setFocus(Qt.FocusReason.OtherFocusReason)
        copy.name.selectAll()

    def remove(self, row: FieldRow) -> None:
        """Take a field away; `undo` brings it back."""
        at = self.rows.index(row)
        self._gone.append((at, row.field))
        self.rows.remove(row)
        self._drop(row)
        self._show_gone()
        self._tell()
        nearest = self.rows[min(at, len(self.rows) - 1)].name if self.rows else self.add_button
        nearest.setFocus(Qt.FocusReason.OtherFocusReason)

    def undo(self) -> None:
        """Bring back what was removed last."""
        if self._gone:
            at, field = self._gone.pop()
            row = self._insert(min(at, len(self.rows)), field)
            self._show_gone()
            self._tell()
            row.name.setFocus(Qt.FocusReason.OtherFocusReason)

    def shift(self, row: FieldRow, step: int) -> None:
        """One place down (1) or up (-1)."""
        self._put(row, self.rows.index(row) + step)

    def row_of(self, widget: QWidget | None) -> FieldRow | None:
        """The row that a widget is in."""
        return next((row for row in self.rows if widget is not None and row.isAncestorOf(widget)), None)

    # ------------------------------------------------------------ inside

    def _insert(self, at: int, field: Field) -> FieldRow:
        row = FieldRow(self._theme, field, part=self._is_part)
        row.changed.connect(self._tell)
        row.removed.connect(lambda: self.remove(row))
        row.duplicated.connect(lambda: self.duplicate(row))
        row.dragged.connect(lambda point: self._drag(row, point))
        self.rows.insert(at, row)
        self._column.insertWidget(at, row)
        self._order_tabs()
        return row

    def _drop(self, row: FieldRow) -> None:
        self._column.removeWidget(row)
        row.hide()
        row.deleteLater()

    def _drag(self, row: FieldRow, point: QPoint) -> None:
        """To where the mouse is: past the middle of a neighbour."""
        y = self.mapFromGlobal(point).y()
        self._put(row, sum(y > each.geometry().center().y() for each in self.rows if each is not row))

    def _put(self, row: FieldRow, at: int) -> None:
        at = min(max(at, 0), len(self.rows) - 1)
        if self.rows.index(row) == at:
            return
        focus = self.window().focusWidget()
        self.rows.remove(row)
        self.rows.insert(at, row)
        self._column.removeWidget(row)
        self._column.insertWidget(at, row)
        self._order_tabs()
        if focus is not None:
            focus.setFocus(Qt.FocusReason.OtherFocusReason)
        self._tell()

    def _order_tabs(self) -> None:
        """The keyboard goes through the rows as they are seen."""
        for before, after in pairwise(self.rows):
            QWidget.setTabOrder(before.remove_button, after.name)

    def _tell(self) -> None:
        self._check()
        self.changed.emit()

    def _check(self) -> None:
        for at, (row, text) in enumerate(zip(self.rows, self._problems(), strict=True)):
            row.set_place(at, len(self.rows))
            row.show_problem(text)
        most = schema.MAX_PARTS if self._is_part else schema.MAX_FIELDS
        self.add_button.setEnabled(len(self.rows) < most)

    def _problems(self) -> list[str]:
        fields = self.fields
        return [row.problem_of((*fields[:at], *fields[at + 1 :])) for at, row in enumerate(self.rows)]

    def _show_gone(self) -> None:
        self.gone.setVisible(bool(self._gone))
        if self._gone:
            name = self._gone[-1][1].name or tr("A field")
            self._gone_words.setText(tr("“{0}” was removed.").format(name))

    def _fit(self) -> None:
        self._column.setSpacing(self._theme.px(2 if self._is_part else 8))

"""The schema builder: which fields are looked for in each document."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from localai_app.errors import UsageError
from localai_app.tasks.extraction import field_schema
from localai_app.tasks.extraction.fields import Field
from localai_app.ui.tasks.field_row import FieldRows
from localai_app.ui.tasks.words import tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label

LARGEST = 1_000_000
"""Bytes of a file: schemas are far smaller."""


class SchemaEditor(QWidget):
    """Rows of fields; a schema comes from a JSON Schema file and goes into one."""

    changed = Signal()

    def __init__(self, theme: Theme, fields: Sequence[Field] = ()) -> None:
        super().__init__()
        self._theme = theme
        self.rows = FieldRows(theme)
        self.import_button = Button(theme, tr("Import…"), look="link")
        self.import_button.setToolTip(tr("Take the fields of a JSON Schema file"))
        self.export_button = Button(theme, tr("Save as JSON Schema…"), look="link")
        self.failure = label("", "bad", wrap=True)
        self.failure.hide()
        files = QHBoxLayout()
        files.addStretch(1)
        files.addWidget(self.import_button)
        files.addWidget(self.export_button)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.rows)
        self._column.addLayout(files)
        self._column.addWidget(self.failure)
        self.rows.changed.connect(self._tell)
        self.import_button.clicked.connect(self._choose_file)
        self.export_button.clicked.connect(self._choose_target)
        for keys, step in (("Alt+Up", -1), ("Alt+Down", 1)):
            self._bind(keys).activated.connect(lambda step=step: self.move_focused(step))
        self._bind("Ctrl+Z").activated.connect(self.rows.undo)
        self.fields = tuple(fields)

    @property
    def fields(self) -> tuple[Field, ...]:
        """As they are typed; `problems` says whether they can be worked with."""
        return self.rows.fields

    @fields.setter
    def fields(self, given: Sequence[Field]) -> None:
        self.rows.fields = tuple(given)
        self.failure.hide()
        self._tell()

    def problems(self) -> list[str]:
        """What is wrong, one line each; empty where the fields can be worked with."""
        found = self.rows.problems()
        if not self.rows.rows:
            found.append(tr("Add at least one field."))
        return found

    def show_problems(self) -> None:
        """Say all that is wrong, in rows that were not touched yet, too."""
        self.rows.show_problems()

    def move_focused(self, step: int) -> None:
        """Move the field, or the column of a table, that the keyboard is in."""
        focus = self.window().focusWidget()
        rows, row = self.rows, self.rows.row_of(focus)
        inside = row.parts.row_of(focus) if row is not None and row.parts is not None else None
        if inside is not None and row is not None and row.parts is not None:
            rows, row = row.parts, inside
        if row is not None:
            rows.shift(row, step)

    def read_file(self, path: Path) -> None:
        """Take the fields of a file; where that fails, why is shown and the fields stay."""
        try:
            if path.stat().st_size > LARGEST:
                raise UsageError("The file is too large for a schema.", "Choose another file.")
            found = field_schema.read(path.read_bytes())
        except OSError as error:
            self._fail(tr("The file cannot be read: {0}").format(error.strerror or str(error)))
        except UsageError as error:
            self._fail(error.line)
        else:
            self.fields = found

    def write_file(self, path: Path) -> None:
        """Write the fields as JSON Schema."""
        raw = msgspec.json.encode(field_schema.to_json_schema(self.fields))
        try:
            path.write_bytes(msgspec.json.format(raw, indent=2) + b"\n")
        except OSError as error:
            self._fail(tr("The file cannot be written: {0}").format(error.strerror or str(error)))
        else:
            self.failure.hide()

    # ------------------------------------------------------------ inside

    def _bind(self, keys: str) -> QShortcut:
        shortcut = QShortcut(QKeySequence(keys), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        return shortcut

    def _tell(self) -> None:
        self.export_button.setEnabled(not self.problems())
        self.changed.emit()

    def _fail(self, text: str) -> None:
        self.failure.setText(text)
        self.failure.show()

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, tr("Import fields"), "", tr("JSON Schema (*.json)"))
        if name:
            self.read_file(Path(name))

    def _choose_target(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, tr("Save the fields"), "schema.json", tr("JSON Schema (*.json)")
        )
        if name:
            self.write_file(Path(name))

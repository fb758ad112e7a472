"""Labels of a classification: a name and when it fits, one row each; many can be pasted at once."""

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QFileDialog, QGridLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from localai_app.errors import UsageError
from localai_app.ui.tasks.label_files import read_labels
from localai_app.ui.tasks.words import tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import label

FIRST_ROWS = 2


class NameEdit(QLineEdit):
    """A label's name; lines that are pasted become labels."""

    lines_pasted = Signal(list)
    entered = Signal()
    """Enter: the next label, please."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+V of several lines, and Enter."""
        lines = QGuiApplication.clipboard().text().splitlines() if event.matches(_PASTE) else []
        if len(lines) > 1:
            self.lines_pasted.emit(lines)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self.entered.emit()
        else:
            super().keyPressEvent(event)


_PASTE = QKeySequence.StandardKey.Paste


class LabelTable(QWidget):
    """Rows of two fields; empty rows say nothing."""

    changed = Signal()

    def __init__(self, theme: Theme, longest_name: int, longest_description: int, most: int) -> None:
        super().__init__()
        self._theme, self._most = theme, most
        self._longest = longest_name, longest_description
        self.rows: list[tuple[NameEdit, QLineEdit, IconButton]] = []
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 2)
        self._grid.setColumnStretch(1, 5)
        self._grid.addWidget(label(tr("Label"), "dim"), 0, 0)
        self._grid.addWidget(label(tr("When it fits"), "dim"), 0, 1)
        self.add_button = Button(theme, tr("Add a label"), icon="plus", size=16)
        self.add_button.clicked.connect(self._add_and_type)
        self.import_button = Button(theme, tr("Import…"), look="link")
        self.import_button.setToolTip(tr("Take the labels of a table (CSV) or of a text, one a line"))
        self.import_button.clicked.connect(self._choose_file)
        self.failure = label("", "bad", wrap=True)
        self.failure.hide()
        foot = QHBoxLayout()
        foot.addWidget(self.add_button)
        foot.addStretch(1)
        foot.addWidget(self.import_button)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addLayout(self._grid)
        self._column.addLayout(foot)
        self._column.addWidget(self.failure)
        for _ in range(FIRST_ROWS):
            self._add()
        theme.changed.connect(self._fit)
        self._fit()

    @property
    def labels(self) -> list[dict[str, str]]:
        """Those that have a name."""
        typed = [(_plain(name.text()), _plain(said.text())) for name, said, _ in self.rows]
        return [{"name": name, "description": said} for name, said in typed if name]

    def show_labels(self, labels: Sequence[tuple[str, str]]) -> None:
        """Show these, and no other."""
        while self.rows:
            self._take(0)
        for name, said in labels[: self._most]:
            self._add(name, said)
        self.changed.emit()

    def read_file(self, path: Path) -> None:
        """Take the labels of a file beside those that are here; where that fails, why is shown."""
        try:
            found = read_labels(path)
        except UsageError as error:
            self.failure.setText(error.line)
            self.failure.show()
            return
        self.failure.hide()
        kept = [(each["name"], each["description"]) for each in self.labels]
        names = {name.casefold() for name, _ in kept}
        self.show_labels([*kept, *(each for each in found if each[0].casefold() not in names)])

    # ------------------------------------------------------------ inside

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, tr("Import labels"), "", tr("Tables and text (*.csv *.tsv *.txt)")
        )
        if name:
            self.read_file(Path(name))

    def _add(self, name: str = "", said: str = "") -> NameEdit:
        name_edit, said_edit = NameEdit(), QLineEdit()
        remove = IconButton(self._theme, "x", tr("Remove the label"), size=14)
        for edit, text, longest in ((name_edit, name, 0), (said_edit, said, 1)):
            edit.setMaxLength(self._longest[longest])
            edit.setText(text)
            edit.textChanged.connect(lambda _: self.changed.emit())
        name_edit.lines_pasted.connect(lambda lines: self._take_lines(name_edit, lines))
        name_edit.entered.connect(self._add_and_type)
        remove.clicked.connect(lambda: self._remove(name_edit))
        self.rows.append((name_edit, said_edit, remove))
        at = self._grid.rowCount()
        for column, part in enumerate(self.rows[-1]):
            self._grid.addWidget(part, at, column)
        self._number()
        return name_edit

    def _add_and_type(self) -> None:
        empty = next((name for name, _, _ in self.rows if not name.text().strip()), None)
        if empty is None and len(self.rows) < self._most:
            empty = self._add()
        if empty is not None:
            empty.setFocus(Qt.FocusReason.OtherFocusReason)

    def _take_lines(self, at: NameEdit, lines: Sequence[str]) -> None:
        """“Complaint<tab>Something went wrong”, one a line, from a spreadsheet or a text."""
        kept = [(name.text(), said.text()) for name, said, _ in self.rows if name is not at]
        kept = [each for each in kept if each[0].strip()]
        pasted = [line.partition("\t")[::2] for line in lines if line.strip()]
        self.show_labels([*kept, *((_plain(name), _plain(said)) for name, said in pasted)])
        self.rows[-1][0].setFocus(Qt.FocusReason.OtherFocusReason)

    def _remove(self, name_edit: NameEdit) -> None:
        self._take(next(at for at, row in enumerate(self.rows) if row[0] is name_edit))
        if not self.rows:
            self._add()
        self.rows[-1][0].setFocus(Qt.FocusReason.OtherFocusReason)
        self.changed.emit()

    def _take(self, at: int) -> None:
        for part in self.rows.pop(at):
            part.hide()
            self._grid.removeWidget(part)
            part.deleteLater()
        self._number()

    def _number(self) -> None:
        """Screen readers tell the rows apart."""
        for at, (name, said, remove) in enumerate(self.rows, 1):
            name.setAccessibleName(tr("Label {0}").format(at))
            said.setAccessibleName(tr("When label {0} fits").format(at))
            remove.set_name(tr("Remove label {0}").format(at))
        self.add_button.setEnabled(len(self.rows) < self._most)

    def _fit(self) -> None:
        px = self._theme.px
        self._grid.setSpacing(px(6))
        self._column.setSpacing(px(8))


def _plain(text: str) -> str:
    return " ".join(text.split())

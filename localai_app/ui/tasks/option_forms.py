"""What is chosen for each kind of task; a kind without a form of its own runs with its defaults."""

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent, QWheelEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from localai_app.tasks.service import TaskService
from localai_app.ui.tasks.label_table import LabelTable
from localai_app.ui.tasks.words import number, tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.choice import Choice
from localai_app.ui.widgets.labels import label

LONGEST_TITLE = 60
LEAST_FIELD = 150
"""Design pixels of a field that stands beside another."""


class OptionsForm(QWidget):
    """Its values are read when they are needed; nothing is kept."""

    changed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        theme.changed.connect(self.fit)
        self.column.setSpacing(theme.px(10))

    def options(self) -> dict[str, Any]:
        """The options as they are said in JSON."""
        return {}

    def problem(self) -> str:
        """What is missing before it can be started; empty for nothing."""
        return ""

    def fit(self) -> None:
        """Other sizes are in force."""
        self.column.setSpacing(self._theme.px(10))


class Field(QWidget):
    """A name over what is chosen."""

    def __init__(self, theme: Theme, name: str, inside: QWidget) -> None:
        super().__init__()
        self._theme = theme
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        title = label(name, "dim")
        title.setBuddy(inside)
        inside.setAccessibleName(name)
        self._column.addWidget(title)
        self._column.addWidget(inside)
        theme.changed.connect(self._fit)
        self._fit()

    def _fit(self) -> None:
        self._column.setSpacing(self._theme.px(4))


class FieldRow(QWidget):
    """Fields side by side, or one under the other where that is too narrow."""

    def __init__(self, theme: Theme, *fields: QWidget) -> None:
        super().__init__()
        self._theme, self._fields = theme, fields
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._row.setContentsMargins(0, 0, 0, 0)
        for field in fields:
            self._row.addWidget(field, 1, Qt.AlignmentFlag.AlignTop)
        # Else its own width would keep the page as wide as all of them.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        theme.changed.connect(self._fit)
        self._fit()

    def minimumSizeHint(self) -> QSize:
        """As if they stood one under the other."""
        return QSize(max(field.minimumSizeHint().width() for field in self._fields), 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Arrange them anew."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        directions = QBoxLayout.Direction
        narrow = self.width() < self._theme.px(LEAST_FIELD) * len(self._fields)
        self._row.setDirection(directions.TopToBottom if narrow else directions.LeftToRight)

    def _fit(self) -> None:
        self._row.setSpacing(self._theme.px(12))
        self._arrange()


class Spin(QSpinBox):
    """A number; the wheel scrolls the page."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        theme.changed.connect(self._fit)
        self._fit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Not the value."""
        event.ignore()

    def _fit(self) -> None:
        self.lineEdit().setTextMargins(self._theme.px(6), 0, 0, 0)


class SummariseForm(OptionsForm):
    """How long, for whom, in which language."""

    def __init__(self, theme: Theme) -> None:
        from localai_app.tasks import summarise  # noqa: PLC0415 - the page starts without

        super().__init__(theme)
        self._audiences = tuple(summarise.AUDIENCES)
        self.length = Choice(theme)
        for key, text in (
            ("short", tr("Short: 3 points")),
            ("medium", tr("Medium: 6 points")),
            ("long", tr("Long: 12 points")),
            (None, tr("Another number of points")),
        ):
            self.length.addItem(text, key)
        self.length.setCurrentIndex(1)
        self.points = Spin(theme)
        self.points.setRange(1, summarise.MOST)
        self.points.setValue(8)
        self.audience = Choice(theme)
        self.audience.setEditable(True)
        self.audience.setInsertPolicy(Choice.InsertPolicy.NoInsert)
        field = self.audience.lineEdit()
        assert field is not None
        field.setMaxLength(summarise.LONGEST_AUDIENCE)
        for key, text in (
            ("general", tr("Anyone")),
            ("expert", tr("An expert of the subject")),
            ("executive", tr("An executive who decides")),
        ):
            self.audience.addItem(text, key)
        self.language = Choice(theme)
        self.language.addItem(tr("Each document's own"), "")
        for code, name in sorted(summarise.LANGUAGES.items(), key=lambda each: each[1]):
            self.language.addItem(name, code)
        field.setAccessibleName(tr("For whom"))
        self._points_field = Field(theme, tr("Points"), self.points)
        self.column.addWidget(
            FieldRow(
                theme,
                Field(theme, tr("Length"), self.length),
                self._points_field,
                Field(theme, tr("For whom (choose or type)"), self.audience),
                Field(theme, tr("Language of the summary"), self.language),
            )
        )
        self._points_field.hide()
        self.length.currentIndexChanged.connect(self._choose_length)
        self.points.valueChanged.connect(lambda _: self.changed.emit())
        self.audience.editTextChanged.connect(lambda _: self.changed.emit())
        self.language.currentIndexChanged.connect(lambda _: self.changed.emit())

    def options(self) -> dict[str, Any]:
        """As `SummariseOptions`."""
        length = self.length.currentData() or self.points.value()
        typed = " ".join(self.audience.currentText().split())
        at = self.audience.findText(typed, Qt.MatchFlag.MatchFixedString)
        audience = self.audience.itemData(at) if at >= 0 else typed
        return {"length": length, "audience": audience, "language": self.language.currentData()}

    def problem(self) -> str:
        """For whom must be said."""
        return "" if self.audience.currentText().strip() else tr("Say for whom the summary is.")

    def _choose_length(self, _: int) -> None:
        self._points_field.setVisible(self.length.currentData() is None)
        self.changed.emit()


class AnswerForm(OptionsForm):
    """The question, and what the answers shall be."""

    def __init__(self, theme: Theme) -> None:
        from localai_app.tasks import answer  # noqa: PLC0415 - as above

        super().__init__(theme)
        self._longest, self._most = answer.LONGEST_QUESTION, answer.MOST_CHOICES
        self.question = QPlainTextEdit()
        self.question.setPlaceholderText(tr("Which law governs the contract?"))
        self.choices = QPlainTextEdit()
        self.choices.setPlaceholderText(tr("One answer a line"))
        for edit in (self.question, self.choices):
            edit.setProperty("look", "field")
            edit.setTabChangesFocus(True)
            edit.textChanged.connect(self.changed)
        self.form = Choice(theme)
        for key, text in (
            ("free", tr("A sentence or two")),
            ("yes_no", tr("Yes or no")),
            ("date", tr("A date")),
            ("amount", tr("An amount")),
            ("number", tr("A number")),
            ("one_of", tr("One of a list")),
        ):
            self.form.addItem(text, key)
        self._choices_field = Field(theme, tr("The answers to choose from, one a line"), self.choices)
        self.column.addWidget(Field(theme, tr("Question"), self.question))
        self.column.addWidget(Field(theme, tr("Each answer is"), self.form), 0, Qt.AlignmentFlag.AlignLeft)
        self.column.addWidget(self._choices_field)
        self._choices_field.hide()
        self.form.currentIndexChanged.connect(self._choose_form)
        self.fit()

    def options(self) -> dict[str, Any]:
        """As `AnswerOptions`."""
        made: dict[str, Any] = {
            "question": " ".join(self.question.toPlainText().split()),
            "form": self.form.currentData(),
        }
        if self.form.currentData() == "one_of":
            made["choices"] = self._listed()
        return made

    def problem(self) -> str:
        """A question, and answers where they are to be chosen."""
        question = self.question.toPlainText().strip()
        if not question:
            return tr("Write the question.")
        if len(question) > self._longest:
            return tr("The question is too long: at most {0} characters.").format(number(self._longest))
        if self.form.currentData() == "one_of" and not 2 <= len(self._listed()) <= self._most:
            return tr("List 2 to {0} answers to choose from.").format(number(self._most))
        return ""

    def fit(self) -> None:
        """The question has room for two lines, the list for four."""
        super().fit()
        line = self.fontMetrics().lineSpacing()
        self.question.setFixedHeight(2 * line + self._theme.px(22))
        self.choices.setFixedHeight(4 * line + self._theme.px(22))
        self.form.setMinimumWidth(self._theme.px(220))

    def _listed(self) -> list[str]:
        lines = (" ".join(line.split()) for line in self.choices.toPlainText().splitlines())
        return list(dict.fromkeys(filter(None, lines)))

    def _choose_form(self, _: int) -> None:
        self._choices_field.setVisible(self.form.currentData() == "one_of")
        self.changed.emit()


class ClassifyForm(OptionsForm):
    """The labels, and when a person decides."""

    def __init__(self, theme: Theme) -> None:
        from localai_app.tasks import classify  # noqa: PLC0415 - as above

        super().__init__(theme)
        self._most = classify.MOST_LABELS
        self.labels = LabelTable(
            theme, classify.LONGEST_NAME, classify.LONGEST_DESCRIPTION, classify.MOST_LABELS
        )
        self.multi = Choice(theme)
        self.multi.addItem(tr("The label that fits best"), False)
        self.multi.addItem(tr("All labels that fit"), True)
        self.threshold = Spin(theme)
        self.threshold.setRange(0, 100)
        self.threshold.setSuffix(tr(" %"))
        self.threshold.setValue(60)
        self.other = QLineEdit()
        self.other.setMaxLength(classify.LONGEST_NAME)
        self.other.setPlaceholderText(tr("No such label"))
        self.instruction = QLineEdit()
        self.instruction.setMaxLength(classify.LONGEST_INSTRUCTION)
        self.instruction.setPlaceholderText(tr("These are letters to a bank."))
        self.column.addWidget(self.labels)
        self.column.addWidget(
            FieldRow(
                theme,
                Field(theme, tr("Each document gets"), self.multi),
                Field(theme, tr("A person decides below"), self.threshold),
                Field(theme, tr("Label where no other fits"), self.other),
            )
        )
        self.column.addWidget(Field(theme, tr("What else the model should know"), self.instruction))
        self.labels.changed.connect(self.changed)
        self.multi.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.threshold.valueChanged.connect(lambda _: self.changed.emit())
        for edit in (self.other, self.instruction):
            edit.textChanged.connect(lambda _: self.changed.emit())

    def options(self) -> dict[str, Any]:
        """As `ClassifyOptions`."""
        return {
            "labels": self.labels.labels,
            "multi": self.multi.currentData(),
            "threshold": self.threshold.value() / 100,
            "other": " ".join(self.other.text().split()),
            "instruction": " ".join(self.instruction.text().split()),
        }

    def problem(self) -> str:
        """Labels that can be told apart."""
        names = [each["name"].casefold() for each in self.labels.labels]
        other = " ".join(self.other.text().split()).casefold()
        least = 1 if self.multi.currentData() or other else 2
        if len(names) < least:
            return tr("Name at least one label.") if least == 1 else tr("Name at least two labels.")
        twice = len({*names, other} - {""}) < len(names) + bool(other)
        return tr("Two labels have the same name.") if twice else ""


class ExtractForm(OptionsForm):
    """A template, or fields of one's own; a template whose fields are changed becomes such."""

    def __init__(self, theme: Theme, tasks: TaskService) -> None:
        from localai_app.tasks.extraction import templates  # noqa: PLC0415 - as above
        from localai_app.ui.tasks.schema_editor import SchemaEditor  # noqa: PLC0415 - as above

        super().__init__(theme)
        self._templates = {
            each.name: each for each in templates.templates() if tasks.allows(f"extract.{each.name}")
        }
        self.template = Choice(theme)
        for name, each in self._templates.items():
            self.template.addItem(each.title, name)
        self.template.addItem(tr("Fields of your own"), "")
        self.title = QLineEdit()
        self.title.setMaxLength(LONGEST_TITLE)
        self.title.setPlaceholderText(tr("Delivery notes"))
        self.description = label("", "dim", wrap=True)
        self.editor = SchemaEditor(theme, ())
        self._title_field = Field(theme, tr("What they are called together"), self.title)
        self.column.addWidget(FieldRow(theme, Field(theme, tr("Template"), self.template), self._title_field))
        self.column.addWidget(self.description)
        self.column.addWidget(self.editor)
        self._showing = False
        self.template.currentIndexChanged.connect(self._choose_template)
        self.title.textChanged.connect(lambda _: self.changed.emit())
        self.editor.changed.connect(self._change_fields)
        self._choose_template()

    def options(self) -> dict[str, Any]:
        """As `ExtractOptions`."""
        name = self.template.currentData()
        if name:
            return {"template": name}
        return {"fields": list(self.editor.fields), "title": " ".join(self.title.text().split())}

    def problem(self) -> str:
        """What is wrong with the fields."""
        return next(iter(self.editor.problems()), "")

    def _choose_template(self, _: int = 0) -> None:
        chosen = self._templates.get(self.template.currentData())
        if chosen is not None:
            self._showing = True
            self.editor.fields = chosen.fields
            self._showing = False
        self._title_field.setVisible(chosen is None)
        self.description.setText(chosen.description if chosen else "")
        self.description.setVisible(bool(self.description.text()))
        self.changed.emit()

    def _change_fields(self) -> None:
        """The person makes fields of their own out of the template's."""
        chosen = self._templates.get(self.template.currentData())
        if not self._showing and chosen is not None and tuple(self.editor.fields) != chosen.fields:
            self.title.setText(chosen.title)
            self.template.setCurrentIndex(self.template.findData(""))
        self.changed.emit()


def form_of(kind: str, theme: Theme, tasks: TaskService) -> OptionsForm:
    """The form of a kind."""
    makers: dict[str, Callable[[], OptionsForm]] = {
        "summarise": lambda: SummariseForm(theme),
        "extract": lambda: ExtractForm(theme, tasks),
        "classify": lambda: ClassifyForm(theme),
        "answer": lambda: AnswerForm(theme),
    }
    maker = makers.get(kind, lambda: OptionsForm(theme))
    return maker()

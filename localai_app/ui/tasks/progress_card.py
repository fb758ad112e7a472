"""How far a run is: bar, count, time left and when it will be done; and which of its documents are shown."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QProgressBar,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from localai_app.tasks.run import Run, RunProgress
from localai_app.ui.tasks import words
from localai_app.ui.tasks.grid_model import Filter
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label


class ProgressCard(QFrame):
    """Under a run's title."""

    filter_chosen = Signal(object)
    """A `Filter`."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "card")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.bar.setAccessibleName(self.tr("How far the task is"))
        self.bar.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.count = label("", "strong")
        self.left = label("", "dim")
        self.notice = label("", "warn", wrap=True)
        self.notice.hide()
        self._filters = QButtonGroup(self)
        self._filters.setExclusive(True)
        self.buttons: dict[Filter, Button] = {}
        self._choices = QHBoxLayout()
        self._choices.setContentsMargins(0, 0, 0, 0)
        for chosen in Filter:
            button = Button(theme, "", look="toggle")
            button.setCheckable(True)
            button.clicked.connect(lambda _=False, chosen=chosen: self.filter_chosen.emit(chosen))
            self._filters.addButton(button, chosen.value)
            self.buttons[chosen] = button
            self._choices.addWidget(button)
        self.buttons[Filter.ALL].setChecked(True)
        held = QWidget()
        held.setLayout(self._choices)
        self._flow = FlowLayout()
        for widget in (self.bar, self.count, self.left, held):
            self._flow.addWidget(widget)
        self._column = QVBoxLayout(self)
        self._column.addLayout(self._flow)
        self._column.addWidget(self.notice)
        theme.changed.connect(self._fit)
        self._fit()

    def show_run(self, run: Run, progress: RunProgress) -> None:
        """Show how far it is."""
        self.bar.setValue(round(1000 * min(1.0, words.fraction(run, progress))))
        self.count.setText(words.so_far(run))
        self.left.setText(words.left(run, progress))
        notice = (progress.notice if progress.run_id == run.id else "") or run.notice
        self.notice.setText(notice)
        self.notice.setVisible(bool(notice))
        number = words.number
        self.buttons[Filter.ALL].set_text(self.tr("All {0}").format(number(run.documents)))
        self.buttons[Filter.REVIEW].set_text(self.tr("{0} to review").format(number(run.to_review)))
        self.buttons[Filter.FAILED].set_text(self.tr("{0} failed").format(number(run.failed)))
        self._flow.invalidate()

    def choose(self, chosen: Filter) -> None:
        """Show which documents are shown."""
        self.buttons[chosen].setChecked(True)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(16), px(8), px(10), px(8))
        self._column.setSpacing(px(6))
        self._flow.setSpacing(px(16))
        self._choices.setSpacing(px(6))
        self.bar.setMinimumWidth(px(120))

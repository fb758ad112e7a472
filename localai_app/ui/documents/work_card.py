"""How far reading is: bar, count, document in hand, time left, pause."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QProgressBar, QVBoxLayout

from localai_app.documents.service import Work
from localai_app.ui.documents import words
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import IconButton
from localai_app.ui.widgets.labels import ElidedLabel, label


class WorkCard(QFrame):
    """Shown while there is something to read."""

    pause_requested = Signal()
    resume_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._work = Work()
        self.setProperty("look", "card")
        self.title = label("", "strong")
        self.line = label("", "dim", wrap=True)
        self.notice = label("", "warn", wrap=True)
        self._compact = False
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.bar.setAccessibleName(self.tr("Reading documents"))
        self.left = ElidedLabel("", "dim")
        self.button = IconButton(theme, "pause", self.tr("Pause reading"), size=15)
        self.button.clicked.connect(self._press)
        self._foot = QHBoxLayout()
        self._foot.addWidget(self.left, 1)
        self._foot.addWidget(self.button)
        self._column = QVBoxLayout(self)
        self._column.addWidget(self.title)
        self._column.addWidget(self.line)
        self._column.addWidget(self.notice)
        self._column.addWidget(self.bar)
        self._column.addLayout(self._foot)
        theme.changed.connect(self._fit)
        self._fit()
        self.hide()

    def show_work(self, work: Work) -> None:
        """Show how far it is; hide when there is nothing to do."""
        self._work = work
        busy = work.total > work.done
        self.setVisible(busy or bool(work.notice))
        for part in (self.title, self.bar, self.left, self.button):
            part.setVisible(busy)
        self.title.setText(words.work_title(work))
        self.line.setText(words.work_line(work) if busy else "")
        self.notice.setText(work.notice)
        self._show_lines()
        inside = work.page / work.pages if work.pages else 0.0
        self.bar.setValue(round(1000 * min(1.0, (work.done + inside) / max(1, work.total))))
        self.left.setText(words.work_left(work))
        if work.paused:
            self.button.setIcon(self._theme.icon("play"))
            self.button.set_name(self.tr("Go on reading"))
        else:
            self.button.setIcon(self._theme.icon("pause"))
            self.button.set_name(self.tr("Pause reading"))

    def set_compact(self, compact: bool) -> None:
        """Leave out the document in hand."""
        self._compact = compact
        self._show_lines()

    def _show_lines(self) -> None:
        self.line.setVisible(bool(self.line.text()) and not self._compact)
        self.notice.setVisible(bool(self.notice.text()))

    def _press(self) -> None:
        (self.resume_requested if self._work.paused else self.pause_requested).emit()

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(12), px(10), px(8), px(6))
        self._column.setSpacing(px(6))

"""One run: its title, how far it is, the grid that fills, and the review beside it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QSplitter, QVBoxLayout, QWidget

from localai_app.tasks.run import Run, RunProgress, RunState
from localai_app.ui.chat.conversation_list import menu_action
from localai_app.ui.jobs import Jobs
from localai_app.ui.tasks import words
from localai_app.ui.tasks.board import Filled
from localai_app.ui.tasks.grid import Grid
from localai_app.ui.tasks.grid_model import Filter, GridModel
from localai_app.ui.tasks.progress_card import ProgressCard
from localai_app.ui.tasks.review import ReviewPanel
from localai_app.ui.tasks.rooms import TaskRooms
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import ElidedLabel, label
from localai_app.ui.widgets.padlock import Lock, Locks
from localai_app.ui.widgets.toast import Toast

GRID_WIDTH, REVIEW_WIDTH = 420, 360
"""Design pixels that grid and review need to stand side by side."""
POINT_MS = 150
"""The review follows the current cell once it rests."""


class RunView(QWidget):
    """Emits what the person wants; the page does it."""

    back_requested = Signal()
    pause_requested = Signal()
    resume_requested = Signal()
    stop_requested = Signal()
    export_requested = Signal(str)
    """As this format."""
    evidence_requested = Signal()
    retry_requested = Signal(list)
    """Ids of items; empty: all that failed."""
    remove_requested = Signal()
    document_requested = Signal(int)
    decided = Signal()
    """A person decided on a finding."""

    def __init__(
        self, theme: Theme, jobs: Jobs, rooms: TaskRooms, toast: Callable[[], Toast], locks: Locks
    ) -> None:
        super().__init__()
        self._theme = theme
        self.run: Run | None = None
        self._progress = RunProgress()
        self._pointed: tuple[int, str] | None = None
        self.model = GridModel()
        self.grid = Grid(theme, self.model)
        self.card = ProgressCard(theme)
        self.panel = ReviewPanel(theme, jobs, rooms.tasks, rooms.documents, toast)
        self._nothing = label("", "dim", wrap=True)
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._build_head()
        self._out = [locks.hold(each, Lock.EXPORT) for each in (self.export_button, self.evidence_button)]
        """What takes results out."""
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        left = QWidget()
        self._left = QVBoxLayout(left)
        self._left.setContentsMargins(0, 0, 0, 0)
        self._left.addWidget(self.grid, 1)
        self._left.addWidget(self._nothing)
        self._grid_side = left
        self.splitter.addWidget(left)
        self.splitter.addWidget(self.panel)
        self.splitter.setStretchFactor(0, 2)
        self.splitter.setStretchFactor(1, 1)
        self._column = QVBoxLayout(self)
        self._column.addLayout(self._head)
        self._column.addWidget(self.card)
        self._column.addWidget(self.splitter, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(POINT_MS)
        self._timer.timeout.connect(self._follow)
        self._connect()
        theme.changed.connect(self._fit)
        self._fit()

    # ------------------------------------------------------------ what the page calls

    def open(self, run: Run) -> None:
        """Show another run; its rows come with `fill`."""
        self.run = run
        self._timer.stop()
        self._pointed = None
        self.model.show_run((), ())
        self.model.set_filter(Filter.ALL)
        self.card.choose(Filter.ALL)
        self.panel.show_run(run.id)
        self.show_state(run, self._progress)

    def fill(self, filled: Filled) -> None:
        """Show rows, or what is different about them."""
        if self.run is None or filled.run.id != self.run.id:
            return
        first = not self.model.rows
        if filled.changes is None or filled.columns != self.model.columns:
            current = self.grid.current_item
            self.model.show_run(filled.columns, filled.rows)
            self.grid.fit_columns()
            if current is not None:
                self.grid.choose(current)
        else:
            self.model.change(filled.changes)
            if filled.changes:
                self.grid.share_columns()
        if first and self.model.rows:
            self._choose_first(filled.run)
        self.show_state(filled.run, self._progress)

    def show_state(self, run: Run, progress: RunProgress) -> None:
        """Show how far the run is, and what can be done with it."""
        self._progress = progress
        if self.run is None or run.id != self.run.id:
            return
        self.run = run
        self.title.setText(run.title)
        self.where.setText(run.where)
        self.card.show_run(run, progress)
        going = run.state in (RunState.RUNNING, RunState.WAITING)
        unfinished = run.state in (RunState.PAUSED, RunState.STOPPED) and run.left > 0
        self.pause_button.setVisible(going)
        self.resume_button.setVisible(unfinished)
        self.stop_button.setVisible(going or run.state is RunState.PAUSED)
        some = run.done + run.failed > 0
        for held in self._out:
            held.enable(some)
        self.retry_action.setEnabled(run.failed > 0)
        self.retry_action.setText(
            self.tr("Retry {0}").format(words.documents(run.failed)) if run.failed else self.tr("Retry")
        )
        self._show_nothing()

    def show_progress(self, progress: RunProgress) -> None:
        """Show how far the run in hand is."""
        if self.run is not None:
            self.show_state(self.run, progress)

    def focus_first(self) -> None:
        """Begin in the grid."""
        self.grid.setFocus(Qt.FocusReason.OtherFocusReason)

    def close_work(self) -> None:
        """The window closes, or another page is shown for good."""
        self._timer.stop()
        self.panel.close_work()

    # ------------------------------------------------------------ inside

    def _choose_filter(self, chosen: Filter) -> None:
        current = self.grid.current_item
        self.model.set_filter(chosen)
        self.card.choose(chosen)
        self._show_nothing()
        if current is not None:
            self.grid.choose(current)

    def _show_nothing(self) -> None:
        empty = self.model.rowCount() == 0 and self.model.filter is not Filter.ALL
        said = {
            Filter.REVIEW: self.tr("Nothing waits for a person."),
            Filter.FAILED: self.tr("No document failed."),
        }
        self._nothing.setText(said.get(self.model.filter, "") if empty else "")
        self._nothing.setVisible(empty)

    def _point(self, item_id: int, key: str) -> None:
        self._pointed = (item_id, key)
        self._timer.start()

    def _follow(self) -> None:
        if self._pointed is not None:
            self.panel.show_finding(*self._pointed)

    def _open(self, item_id: int, key: str) -> None:
        self._timer.stop()
        self.panel.show_finding(item_id, key)
        self._arrange(review=True)
        self.panel.focus_first()

    def _choose_first(self, run: Run) -> None:
        """The row that the review has begun with; the first where nothing waits."""
        shown = self.panel.shown
        if shown is not None:
            self._go_along(*shown)
        elif not run.to_review:
            self.grid.choose(self.model.rows[0].item.id)

    def _go_along(self, item_id: int, _key: str) -> None:
        """The review went on to another finding: its row is the current one."""
        self._timer.stop()
        self.grid.blockSignals(True)
        self.grid.choose(item_id)
        self.grid.blockSignals(False)

    def _decide(self, *_: Any) -> None:
        self.decided.emit()

    # ------------------------------------------------------------ building

    def _build_head(self) -> None:
        theme = self._theme
        self.back_button = IconButton(theme, "arrow-left", self.tr("Back to all tasks"))
        self.title = ElidedLabel("", "title")
        self.title.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        self.where = ElidedLabel("", "badge")
        self.where.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        self.pause_button = Button(theme, self.tr("Pause"), icon="pause", tint="text", size=16)
        self.resume_button = Button(theme, self.tr("Resume"), icon="play", tint="text", size=16)
        self.stop_button = Button(theme, self.tr("Stop"), icon="square", tint="text", size=16)
        self.export_button = Button(theme, self.tr("Export"), icon="download", tint="text", size=16)
        self.export_menu = QMenu(self)
        for fmt in words.FORMATS:
            menu_action(self.export_menu, words.format_name(fmt), partial(self.export_requested.emit, fmt))
        self.evidence_button = Button(theme, self.tr("Evidence"), icon="shield-check", tint="text", size=16)
        self.more_button = IconButton(theme, "ellipsis", self.tr("More"))
        self.more_menu = QMenu(self)
        self.retry_action = menu_action(
            self.more_menu, self.tr("Retry"), lambda: self.retry_requested.emit([])
        )
        menu_action(self.more_menu, self.tr("Move to the trash"), self.remove_requested.emit)
        self._shrinking = (
            self.pause_button,
            self.resume_button,
            self.stop_button,
            self.export_button,
            self.evidence_button,
        )
        self._head = QHBoxLayout()
        self._head.addWidget(self.back_button)
        self._head.addWidget(self.title)
        self._head.addWidget(self.where)
        self._head.addStretch(1)
        for button in (*self._shrinking, self.more_button):
            self._head.addWidget(button)
        for button in (self.pause_button, self.resume_button, self.stop_button):
            button.hide()

    def _connect(self) -> None:
        self.back_button.clicked.connect(self.back_requested)
        self.pause_button.clicked.connect(self.pause_requested)
        self.resume_button.clicked.connect(self.resume_requested)
        self.stop_button.clicked.connect(self.stop_requested)
        self.export_button.clicked.connect(lambda: self._drop(self.export_menu, self.export_button))
        self.evidence_button.clicked.connect(self.evidence_requested)
        self.more_button.clicked.connect(lambda: self._drop(self.more_menu, self.more_button))
        self.card.filter_chosen.connect(self._choose_filter)
        self.grid.pointed.connect(self._point)
        self.grid.opened.connect(self._open)
        self.grid.retry_requested.connect(self.retry_requested)
        self.grid.document_requested.connect(self.document_requested)
        self.panel.decided.connect(self._decide)
        self.panel.moved.connect(self._go_along)
        self.panel.add_keys(self.grid)
        back = QAction(self.tr("Back to all tasks"), self)
        back.setShortcut(QKeySequence("Alt+Left"))
        back.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        back.triggered.connect(lambda _=False: self.back_requested.emit())
        self.addAction(back)

    @staticmethod
    def _drop(menu: QMenu, button: QWidget) -> None:
        menu.exec(button.mapToGlobal(button.rect().bottomLeft()))

    def _arrange(self, *, review: bool = False) -> None:
        """Where there is no room for both, the review lies over the grid while it is wanted."""
        narrow = self.width() < self._theme.px(GRID_WIDTH + REVIEW_WIDTH)
        self.panel.setVisible(not narrow or review)
        self.card.setVisible(not (narrow and review))
        self._grid_side.setVisible(not (narrow and review))

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(22), px(16), px(22), px(18))
        self._column.setSpacing(px(12))
        self._head.setSpacing(px(10))
        self._left.setSpacing(px(8))
        self.splitter.setHandleWidth(px(12))
        self.panel.setMinimumWidth(px(300))

    # ------------------------------------------------------------ Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Buttons show their icon only, and grid and review take turns, where it is narrow."""
        super().resizeEvent(event)
        narrow = self.width() < self._theme.px(880)
        for button in self._shrinking:
            button.setText("" if narrow else " " + button.accessibleName())
            button.setToolTip(button.accessibleName() if narrow else "")
        self.where.setVisible(self.width() >= self._theme.px(640))
        if event.oldSize().width() <= 0:
            wide = self.width()
            self.splitter.setSizes([round(wide * 0.68), round(wide * 0.32)])
        self._arrange()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape goes back: from the review to the grid, from the grid to all tasks."""
        if event.key() != Qt.Key.Key_Escape:
            super().keyPressEvent(event)
        elif self.panel.isAncestorOf(self.focusWidget()) or self.panel.hasFocus():
            self._arrange()
            self.focus_first()
        else:
            self.back_requested.emit()

"""All tasks: the runs, newest first, and their trash; or, before there are any, what tasks are for."""

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QMenu, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from localai_app.tasks.run import Run, RunProgress, RunState
from localai_app.tasks.task import TaskKind
from localai_app.ui.chat.conversation_list import menu_action
from localai_app.ui.models.rows import Cell, Column, Row, RowRole, RowsView
from localai_app.ui.tasks import words
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import label
from localai_app.ui.widgets.padlock import Lock, Locks

CARDS_WIDTH = 760
"""Widest that the cards of the kinds get, in design pixels."""


class KindCard(Button):
    """A kind of task: its icon, its title, and what it is for."""

    def __init__(self, theme: Theme, kind: TaskKind) -> None:
        super().__init__(theme, "", look="example")
        self.kind = kind.name
        self.setAccessibleName(f"{kind.title}: {kind.description}")
        # As wide as its neighbours, whatever its words; as high as they then need.
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self._picture = label()
        self._column = QVBoxLayout(self)
        for part in (self._picture, label(kind.title, "strong"), label(kind.description, "dim", wrap=True)):
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            self._column.addWidget(part)
        self._column.addStretch(1)
        theme.changed.connect(self._fit_card)
        self._fit_card()

    def sizeHint(self) -> QSize:
        """What its words need, not what a line of text would."""
        return self._column.sizeHint()

    def _fit_card(self) -> None:
        px, theme = self._theme.px, self._theme
        self._column.setContentsMargins(px(14), px(14), px(14), px(12))
        self._column.setSpacing(px(5))
        icon = theme.icon(words.icon(self.kind), "accent")
        self._picture.setPixmap(icon.pixmap(theme.icon_size(20), self.devicePixelRatioF()))


class KindCards(QWidget):
    """The kinds side by side, or two and two."""

    chosen = Signal(str)

    def __init__(self, theme: Theme, kinds: Sequence[TaskKind]) -> None:
        super().__init__()
        self._theme = theme
        self.cards = [KindCard(theme, kind) for kind in kinds]
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._across = 0
        for card in self.cards:
            card.clicked.connect(lambda _=False, kind=card.kind: self.chosen.emit(kind))
        theme.changed.connect(self._fit)
        self._fit()
        self._arrange(2)

    def _arrange(self, across: int) -> None:
        if across == self._across:
            return
        self._across = across
        for number, card in enumerate(self.cards):
            self._grid.addWidget(card, number // across, number % across)
        for column in range(4):
            self._grid.setColumnStretch(column, 1 if column < across else 0)

    def _fit(self) -> None:
        self._grid.setSpacing(self._theme.px(12))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """As many across as can be read."""
        super().resizeEvent(event)
        self._arrange(4 if self.width() >= self._theme.px(680) else 2)


class RunsView(RowsView):
    """A click opens a run, as it opens a chat or a document elsewhere."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Open, unless the button was meant."""
        on_button = self._on_button(event) is not None
        super().mouseReleaseEvent(event)
        index = self.indexAt(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and index.isValid() and not on_button:
            self.opened.emit(index.data(RowRole.ROW).key)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Its first click opened it."""


class Home(QWidget):
    """Emits what the person wants; the page does it."""

    kind_chosen = Signal(str)
    new_requested = Signal()
    opened = Signal(int)
    resume_requested = Signal(int)
    pause_requested = Signal(int)
    remove_requested = Signal(list)
    restore_requested = Signal(list)
    erase_requested = Signal(list)
    trash_shown = Signal(bool)
    undo_requested = Signal()

    def __init__(self, theme: Theme, kinds: Sequence[TaskKind], locks: Locks) -> None:
        super().__init__()
        self._locks = locks
        self._theme = theme
        self.setAccessibleName(self.tr("Tasks"))
        self.runs: dict[int, Run] = {}
        self.trashed: dict[int, Run] = {}
        self.in_trash = False
        self._listed = False
        self._progress = RunProgress()
        self._build(kinds)
        theme.changed.connect(self._fit)
        self._fit()
        self._show()

    # ------------------------------------------------------------ what the page calls

    def show_runs(self, runs: Sequence[Run]) -> None:
        """Show the runs as they are now."""
        self._listed = True
        self.runs = {run.id: run for run in runs}
        self._show()
        if self.hasFocus():
            self.focus_first()

    def show_trashed(self, runs: Sequence[Run]) -> None:
        """Show what lies in the trash."""
        self.trashed = {run.id: run for run in runs}
        self._show()

    def show_progress(self, progress: RunProgress) -> None:
        """Show how far the run in hand is."""
        self._progress = progress
        if self.runs and not self.in_trash:
            self.view.show_rows([self._row(run) for run in self.runs.values()])

    def leave_trash(self) -> None:
        """Show the runs."""
        if self.in_trash:
            self._turn(trash=False)

    def focus_first(self) -> None:
        """Begin in the list, or before the first kind."""
        if self.view.isVisibleTo(self):
            self.view.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self.setFocus(Qt.FocusReason.OtherFocusReason)  # Tab goes on to the first kind

    # ------------------------------------------------------------ inside

    def _show(self) -> None:
        empty = self._listed and not self.runs and not self.in_trash
        shown = self.trashed if self.in_trash else self.runs
        self._welcome.setVisible(empty)
        self._title.setVisible(self._listed and not empty)
        self.new_button.setVisible(self._listed and not empty and not self.in_trash)
        self.back_button.setVisible(self.in_trash)
        self._title.setText(self.tr("Trash") if self.in_trash else self.tr("Tasks"))
        self.view.setVisible(bool(shown))
        self._nothing.setVisible(self.in_trash and not shown)
        self.trash_button.setVisible(self._listed and not self.in_trash)
        self.erase_button.setVisible(self.in_trash and bool(shown))
        self.view.show_rows(
            [self._trashed_row(run) for run in shown.values()]
            if self.in_trash
            else [self._row(run) for run in shown.values()]
        )

    def _row(self, run: Run) -> Row:
        said, tone = words.state(run)
        counts = [
            words.tr("{0} to review").format(words.number(run.to_review)) if run.to_review else "",
            words.tr("{0} failed").format(words.number(run.failed)) if run.failed else "",
        ]
        running = run.state is RunState.RUNNING
        unfinished = run.state in (RunState.PAUSED, RunState.STOPPED) and run.left > 0
        return Row(
            run.id,
            run.title,
            run.where,
            (
                Cell(said, tone=tone, chip=True),
                Cell(words.so_far(run), " · ".join(filter(None, counts))),
                Cell(words.clock(run.created)),
            ),
            action=self.tr("Resume") if unfinished else "",
            icon="play" if unfinished else "",
            state=words.left_in_short(run, self._progress) if running else "",
            progress=words.fraction(run, self._progress) if running else None,
        )

    def _trashed_row(self, run: Run) -> Row:
        cells = (Cell(""), Cell(words.so_far(run)), Cell(words.clock(run.created)))
        return Row(run.id, run.title, run.where, cells, action=self.tr("Restore"), icon="rotate-ccw")

    def _open(self, key: object) -> None:
        if not self.in_trash and isinstance(key, int):
            self.opened.emit(key)

    def _act(self, key: object) -> None:
        if isinstance(key, int):
            (self.restore_requested.emit([key]) if self.in_trash else self.resume_requested.emit(key))

    def _delete(self, key: object) -> None:
        (self.erase_requested if self.in_trash else self.remove_requested).emit([key])

    def _menu(self, key: object) -> QMenu | None:
        menu = QMenu(self)
        if self.in_trash:
            menu_action(menu, self.tr("Restore"), lambda: self.restore_requested.emit([key]))
            erase = menu_action(menu, self.tr("Erase for good…"), lambda: self.erase_requested.emit([key]))
            self._locks.mark(menu, erase, Lock.ERASE)
            return menu
        run = self.runs.get(key) if isinstance(key, int) else None
        if run is None:
            return None
        menu_action(menu, self.tr("Open"), lambda: self.opened.emit(run.id))
        if run.state in (RunState.RUNNING, RunState.WAITING):
            menu_action(menu, self.tr("Pause"), lambda: self.pause_requested.emit(run.id))
        elif run.left > 0:
            menu_action(menu, self.tr("Resume"), lambda: self.resume_requested.emit(run.id))
        menu.addSeparator()
        menu_action(menu, self.tr("Move to the trash"), lambda: self.remove_requested.emit([run.id]))
        return menu

    def _turn(self, *, trash: bool) -> None:
        self.in_trash = trash
        if trash:
            self.trashed = {}
        self._show()
        self.trash_shown.emit(trash)

    # ------------------------------------------------------------ building

    def _build(self, kinds: Sequence[TaskKind]) -> None:
        theme = self._theme
        self.back_button = IconButton(theme, "arrow-left", self.tr("Back to the tasks"))
        self.back_button.clicked.connect(self.leave_trash)
        self._title = label("", "title")
        self.new_button = Button(
            theme, self.tr("New task"), look="primary", icon="plus", tint="on_accent", size=17
        )
        self.new_button.clicked.connect(self.new_requested)
        self.erase_button = Button(theme, self.tr("Empty the trash…"))
        self.erase_button.clicked.connect(lambda: self.erase_requested.emit(list(self.trashed)))
        self._locks.hold(self.erase_button, Lock.ERASE)
        self._greeting = label(self.tr("One task, any number of documents"), "hero", wrap=True)
        self._line = label(
            self.tr(
                "Each document gets a row, and every value the page and the words that it stands on. "
                "Nothing leaves this computer."
            ),
            "dim",
            wrap=True,
        )
        for part in (self._greeting, self._line):
            part.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.cards = KindCards(theme, kinds)
        self.cards.chosen.connect(self.kind_chosen)
        columns = (
            Column(self.tr("State"), 186, 0),
            Column(self.tr("Documents"), 160, 1),
            Column(self.tr("Begun"), 116, 2),
        )
        self.view = RunsView(theme, self.tr("Tasks"), self.tr("Task"), columns, 150, self._menu)
        self.view.opened.connect(self._open)
        self.view.acted.connect(self._act)
        self.view.delete_requested.connect(self._delete)
        self._nothing = label(self.tr("The trash is empty."), "dim")
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.trash_button = Button(theme, self.tr("Trash"), look="flat", icon="trash-2", size=17)
        self.trash_button.clicked.connect(lambda: self._turn(trash=True))
        undo = QAction(self.tr("Undo moving to the trash"), self)
        undo.setShortcut(QKeySequence("Ctrl+Z"))
        undo.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        undo.triggered.connect(lambda _=False: self.undo_requested.emit())
        self.addAction(undo)
        self._head = QHBoxLayout()
        self._head.addWidget(self.back_button)
        self._head.addWidget(self._title, 1)
        self._head.addWidget(self.erase_button)
        self._head.addWidget(self.new_button)
        self._centre = QVBoxLayout()
        self._centre.addStretch(4)
        for widget in (self._greeting, self._line, self.cards):
            self._centre.addWidget(widget)
        self._centre.addStretch(5)
        self._held = QWidget()
        self._held.setLayout(self._centre)
        inside = QWidget()
        inside.setProperty("look", "plain")
        self._welcome = QScrollArea()
        self._welcome.setWidgetResizable(True)
        self._welcome.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._welcome.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._welcome.setWidget(inside)
        middle = QHBoxLayout(inside)
        middle.setContentsMargins(0, 0, 0, 0)
        middle.addStretch(1)
        middle.addWidget(self._held, 10_000)
        middle.addStretch(1)
        self._column = QVBoxLayout(self)
        self._column.addLayout(self._head)
        self._column.addWidget(self.view, 1)
        self._column.addWidget(self._nothing, 1)
        self._column.addWidget(self._welcome, 1)
        self._column.addStretch(0)
        self._column.addWidget(self.trash_button, 0, Qt.AlignmentFlag.AlignLeft)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(24), px(18), px(24), px(10))
        self._column.setSpacing(px(12))
        self._head.setSpacing(px(10))
        self._centre.setContentsMargins(0, 0, 0, 0)
        self._centre.setSpacing(px(10))
        self._held.setMaximumWidth(px(CARDS_WIDTH))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape leaves the trash."""
        if event.key() == Qt.Key.Key_Escape and self.in_trash:
            self.leave_trash()
        else:
            super().keyPressEvent(event)

"""A task before it begins: its kind, its documents, its options, and its price, all on one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from localai_app.documents.document import Scope
from localai_app.errors import LocalAIError
from localai_app.tasks.run import Run, RunSettings, TaskPrice
from localai_app.tasks.task import TaskKind
from localai_app.ui.documents.library import Library
from localai_app.ui.jobs import Job, Jobs
from localai_app.ui.tasks import words
from localai_app.ui.tasks.board import LANE
from localai_app.ui.tasks.document_choice import DocumentChoice
from localai_app.ui.tasks.home import CARDS_WIDTH, KindCards
from localai_app.ui.tasks.option_forms import OptionsForm, form_of
from localai_app.ui.tasks.rooms import TaskRooms
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.check import Check
from localai_app.ui.widgets.labels import label, restyle

PRICE_LANE = "tasks-price"
"""The price of long documents, and of a model that is not loaded yet, takes seconds."""
PRICE_DELAY_MS = 500


@dataclass(frozen=True)
class Wish:
    """What would be started."""

    kind: str
    raw: bytes
    """Options as JSON."""
    scope: Scope
    tonight: bool


class NewTask(QWidget):
    """Prices as things are chosen; nothing begins before Start."""

    started = Signal(object)
    """This `Run`."""
    back_requested = Signal()
    failed = Signal(object)
    told = Signal(str)

    def __init__(self, theme: Theme, jobs: Jobs, rooms: TaskRooms, kinds: Sequence[TaskKind]) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms = theme, jobs, rooms
        self._kinds = {kind.name: kind for kind in kinds}
        self._kind = next(iter(self._kinds), "")
        self._forms: dict[str, OptionsForm] = {}
        self._pricing: Wish | None = None
        """Whose price is being worked out."""
        self._priced: Wish | None = None
        self._outdated = False
        """Something changed since the price that is being worked out was asked for: a document was read."""
        self._starting = False
        self.library = Library(jobs, rooms.documents, self)
        self.documents = DocumentChoice(theme, self.library)
        self._build(kinds)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PRICE_DELAY_MS)
        self._timer.timeout.connect(self._ask_price)
        self._connect()
        theme.changed.connect(self._fit)
        self._fit()

    # ------------------------------------------------------------ what the page calls

    def begin(self, kind: str = "", scope: Scope | None = None) -> None:
        """Show the page for a kind, else the one shown last; ``scope``: with these documents chosen."""
        self.library.start()
        if scope is not None:
            self.documents.choose(scope)
        self._choose_kind(kind if kind in self._kinds else self._kind)
        job = self._jobs.run(self._rooms.tasks.tonight, lane=PRICE_LANE)
        job.returned.connect(self._show_hour)
        job.failed.connect(self.failed)

    def rest(self) -> None:
        """Another page is shown: look at nothing."""
        self._timer.stop()
        self.library.close()

    def focus_first(self) -> None:
        """Begin at the kind that is chosen."""
        card = next((each for each in self.cards.cards if each.kind == self._kind), None)
        if card is not None:
            card.setFocus(Qt.FocusReason.OtherFocusReason)

    def add(self, paths: Sequence[Path]) -> None:
        """Take files and folders in, and choose them."""
        self.documents.add(paths)

    @property
    def form(self) -> OptionsForm:
        """The options of the chosen kind."""
        return self._forms[self._kind]

    def start(self) -> None:
        """Begin the task."""
        wish = self._wish()
        if wish is None or self._starting or not self.start_button.isEnabled():
            return
        self._starting = True
        self._timer.stop()
        self._show_state()
        keep_awake, deterministic = self.awake.isChecked(), self.exact.isChecked()
        tasks = self._rooms.tasks

        def start() -> Run:
            begin = tasks.tonight() if wish.tonight else None
            settings = RunSettings(deterministic=deterministic, not_before=begin, keep_awake=keep_awake)
            return tasks.start(wish.kind, tasks.options_of(wish.kind, wish.raw), wish.scope, settings)

        job = self._jobs.run(start, lane=LANE)
        job.returned.connect(self.started)
        job.failed.connect(self._show_error)
        job.finished.connect(self._end_starting)

    # ------------------------------------------------------------ inside

    def _choose_kind(self, kind: str) -> None:
        self._kind = kind
        for card in self.cards.cards:
            card.setChecked(card.kind == kind)
        if kind not in self._forms:
            form = form_of(kind, self._theme, self._rooms.tasks)
            form.changed.connect(self._change)
            self._forms[kind] = form
            self._options.addWidget(form)
        for name, each in self._forms.items():
            each.setVisible(name == kind)
        self._change()

    def _wish(self) -> Wish | None:
        scope = self.documents.scope
        if scope is None or self._kind not in self._forms or self.form.problem():
            return None
        raw = msgspec.json.encode(self.form.options())
        return Wish(self._kind, raw, scope, self.tonight.isChecked())

    def _change(self) -> None:
        """Something is chosen in another way: what it takes is worked out once that rests."""
        self._priced = None
        self._outdated = self._pricing is not None
        self._show_state()
        self._timer.start()

    def _ask_price(self) -> None:
        wish = self._wish()
        if wish is None or wish in (self._pricing, self._priced):
            return
        if self._pricing is not None:
            return  # asked again when that price has come
        self._pricing = wish
        self._show_state()
        tasks = self._rooms.tasks

        def price() -> tuple[TaskPrice, datetime | None]:
            cost = tasks.price(wish.kind, tasks.options_of(wish.kind, wish.raw), wish.scope)
            return cost, tasks.tonight() if wish.tonight else None

        job: Job = self._jobs.run(price, lane=PRICE_LANE)
        job.returned.connect(lambda made: self._show_price(wish, *made))
        job.failed.connect(lambda error: self._show_problem(wish, error))
        job.finished.connect(self._end_pricing)

    def _end_pricing(self) -> None:
        self._pricing = None
        if self._outdated:
            self._outdated, self._priced = False, None
        if self._wish() != self._priced:
            self._timer.start()
        self._show_state()

    def _show_price(self, wish: Wish, cost: TaskPrice, begin: datetime | None) -> None:
        if wish != self._wish():
            return
        self._priced = wish
        self._say(words.price(cost, begin), "strong")
        self.left_out.setText(words.not_ready(cost))
        self.left_out.setVisible(bool(self.left_out.text()))

    def _show_problem(self, wish: Wish, error: LocalAIError) -> None:
        if wish == self._wish():
            self._priced = wish
            self._say(error.line, "bad")

    def _show_state(self) -> None:
        """What is missing, or that the price is on its way; whether it can be started."""
        problem = self.form.problem() if self._kind in self._forms else ""
        if self.documents.scope is None:
            problem = self.tr("Choose documents.")
        if self._starting:
            self._say(self.tr("Starting…"), "dim")
        elif problem:
            self._say(problem, "dim")
        elif self._priced is None:
            self._say(self.tr("Working out what it takes…"), "dim")
        self.start_button.setEnabled(not problem and not self._starting)

    def _say(self, text: str, look: str) -> None:
        restyle(self.price, look=look)
        self.price.setText(text)
        if look != "strong":
            self.left_out.hide()

    def _show_error(self, error: LocalAIError) -> None:
        self._starting = False
        self._say(error.line, "bad")
        self.failed.emit(error)

    def _end_starting(self) -> None:
        self._starting = False
        self.start_button.setEnabled(True)

    def _show_hour(self, when: datetime) -> None:
        self.tonight.setText(self.tr("Run tonight, from {0}").format(words.clock(when)))
        self.tonight.setAccessibleName(self.tonight.text())

    # ------------------------------------------------------------ building

    def _build(self, kinds: Sequence[TaskKind]) -> None:
        theme = self._theme
        self.back_button = IconButton(theme, "arrow-left", self.tr("Back to all tasks"))
        self.cards = KindCards(theme, kinds)
        for card in self.cards.cards:
            card.setCheckable(True)
        self.exact = Check(
            theme, self.tr("Deterministic: the same bits at every repetition; several times slower")
        )
        self.tonight = Check(theme, self.tr("Run tonight"))
        self.awake = Check(theme, self.tr("Keep the computer awake meanwhile, while it is plugged in"))
        self.awake.setChecked(True)
        self.price = label("", "dim", wrap=True)
        self.left_out = label("", "warn", wrap=True)
        self.left_out.hide()
        self.start_button = Button(
            theme, self.tr("Start"), look="primary", icon="play", tint="on_accent", size=16
        )
        self.start_button.setToolTip(self.tr("Ctrl+Return"))
        settings = QFrame()
        settings.setProperty("look", "card")
        self._settings = QVBoxLayout(settings)
        for check in (self.tonight, self.awake, self.exact):
            self._settings.addWidget(check)
        options = QFrame()
        options.setProperty("look", "card")
        self._options = QVBoxLayout(options)
        self._head = QHBoxLayout()
        self._head.addWidget(self.back_button)
        self._head.addWidget(label(self.tr("New task"), "title"), 1)
        inside = QWidget()
        inside.setProperty("look", "plain")
        self._inner = QVBoxLayout()
        self._inner.setContentsMargins(0, 0, 0, 0)
        self._inner.addLayout(self._head)
        self._inner.addWidget(self.cards)
        for title, part in (
            (self.tr("DOCUMENTS"), self.documents),
            (self.tr("WHAT SHALL COME OF IT"), options),
            (self.tr("HOW IT RUNS"), settings),
        ):
            self._inner.addWidget(label(title, "section"))
            self._inner.addWidget(part)
        self._inner.addStretch(1)
        self._held = QWidget()
        self._held.setLayout(self._inner)
        middle = QHBoxLayout(inside)
        middle.addStretch(1)
        middle.addWidget(self._held, 10_000)
        middle.addStretch(1)
        self._middle = middle
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self._area.setWidget(inside)
        foot = QFrame()
        foot.setProperty("look", "panel-below")
        said = QVBoxLayout()
        said.setSpacing(2)
        said.addWidget(self.price)
        said.addWidget(self.left_out)
        below = QWidget()
        self._foot = QHBoxLayout(below)
        self._foot.addLayout(said, 1)
        self._foot.addWidget(self.start_button)
        self._below = below
        centred = QHBoxLayout(foot)
        centred.addStretch(1)
        centred.addWidget(below, 10_000)
        centred.addStretch(1)
        self._centred = centred
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._area, 1)
        column.addWidget(foot)

    def _connect(self) -> None:
        self.back_button.clicked.connect(self.back_requested)
        self.cards.chosen.connect(self._choose_kind)
        self.documents.changed.connect(self._change)
        self.documents.told.connect(self.told)
        self.library.failed.connect(self.failed)
        for check in (self.tonight, self.exact):
            check.toggled.connect(lambda _: self._change())
        self.start_button.clicked.connect(self.start)
        for key, act in (
            ("Ctrl+Return", self.start),
            ("Ctrl+Enter", self.start),
            ("Alt+Left", self.back_requested.emit),
        ):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    def _fit(self) -> None:
        px = self._theme.px
        self._inner.setSpacing(px(10))
        self._head.setSpacing(px(10))
        self._settings.setContentsMargins(px(14), px(12), px(16), px(12))
        self._settings.setSpacing(px(4))
        self._options.setContentsMargins(px(16), px(14), px(16), px(14))
        for held in (self._held, self._below):
            held.setMaximumWidth(px(CARDS_WIDTH))
        self._middle.setContentsMargins(px(24), px(18), px(24), px(18))
        # Under what is above it, which has a scroll bar at its right.
        self._centred.setContentsMargins(px(24), px(10), px(24) + px(10), px(10))
        self._foot.setContentsMargins(0, 0, 0, 0)
        self._foot.setSpacing(px(12))

    # ------------------------------------------------------------ Qt

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape goes back."""
        if event.key() == Qt.Key.Key_Escape:
            self.back_requested.emit()
        else:
            super().keyPressEvent(event)

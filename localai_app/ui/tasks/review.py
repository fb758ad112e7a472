"""Review: one value in doubt after the other, beside the page that it stands on.

What is shown comes from memory, the page that comes next is fetched ahead, and a decision is kept in another
thread while the next value is looked at already: nobody waits between two keys.
"""

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QStackedWidget, QVBoxLayout, QWidget

from localai_app.documents.service import DocumentService
from localai_app.errors import LocalAIError
from localai_app.tasks.run import Item
from localai_app.tasks.service import TaskService
from localai_app.tasks.task import Finding, Verdict, needs_review
from localai_app.ui.jobs import Jobs
from localai_app.ui.tasks.calm import Calm
from localai_app.ui.tasks.evidence_pages import EvidencePages
from localai_app.ui.tasks.evidence_places import places_of
from localai_app.ui.tasks.evidence_view import EvidenceView
from localai_app.ui.tasks.review_desk import ReviewDesk
from localai_app.ui.tasks.review_queue import Entry
from localai_app.ui.tasks.value_card import ValueCard, verdict_word
from localai_app.ui.tasks.words import number, tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label
from localai_app.ui.widgets.toast import Toast

SHARE = 0.6
"""Of the panel's height that the value may take at most."""
QUOTED = 120
"""Characters of a warning's quotation."""


class ReviewPanel(QWidget):
    """One run at a time."""

    decided = Signal(int)
    """A decision on a finding of this item was kept or taken back."""
    moved = Signal(int, str)
    """The person went to another finding here: its item and key."""

    def __init__(
        self,
        theme: Theme,
        jobs: Jobs,
        tasks: TaskService,
        documents: DocumentService,
        toast: Callable[[], Toast],
    ) -> None:
        super().__init__()
        self._theme, self._toast = theme, toast
        self.desk = ReviewDesk(jobs, tasks, self)
        self.desk.visible = self.isVisible
        self._shown: Entry | None = None
        self._asked_for: tuple[int, str] | None = None
        """Of the grid; None once the person went on here."""
        self._drafts: dict[Entry, str] = {}
        """Typed and not decided on."""
        self.pages = EvidencePages(jobs, tasks, documents, self)
        self.card = ValueCard(theme)
        self.evidence = EvidenceView(theme, self.pages)
        self.warning = QFrame()
        self.warning.setProperty("look", "notice-bad")
        self._warned = label("", wrap=True)
        self._sign = QLabel()
        self.warning_button = Button(theme, tr("Show it"), look="link")
        self.calm = Calm(theme)
        self._stack = QStackedWidget()
        self._build()
        self._connect()
        theme.changed.connect(self._fit)
        self._fit()
        self.clear()

    # ------------------------------------------------------------ what the page calls

    def show_run(self, run_id: int) -> None:
        """Review what is in doubt in a run, from the greatest doubt on; what is looked at stays."""
        if run_id != self.desk.run_id:
            self._begin(run_id)
        self.desk.ask(self._show_first)

    def show_finding(self, item_id: int, key: str) -> None:
        """Look at a finding, in doubt or not; without a key, at the document's first in doubt, or first."""
        entry = self.desk.entry(item_id, key)
        self._asked_for = (item_id, key)
        if entry is not None:
            self._show(entry)
        self.desk.fetch(item_id, lambda item, other: self._show_fetched(item, key, other=other))

    def clear(self) -> None:
        """Review nothing."""
        self._begin(0)
        self._show_calm()

    def close_work(self) -> None:
        """The window closes."""
        self.desk.close()
        self.pages.close()

    def focus_first(self) -> None:
        """The keyboard is here: letters decide."""
        where: QWidget = self.card
        if self._shown is None:
            where = self.calm.review_button if self.desk.queue.waiting else self.calm
        where.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def add_keys(self, widget: QWidget) -> None:
        """Let the letters decide in ``widget``, too, such as the grid beside the panel."""
        self._bind(widget, Qt.ShortcutContext.WidgetShortcut)

    @property
    def shown(self) -> Entry | None:
        """The finding that is looked at: its item and key."""
        return self._shown

    # ------------------------------------------------------------ deciding

    def accept(self) -> None:
        """The value is right; what was typed in its place counts as a correction."""
        if self._shown is not None:
            self.card.keep()

    def correct(self) -> None:
        """Type what is right."""
        if self._shown is not None:
            self.card.edit()

    def reject(self) -> None:
        """There is no such value."""
        self._decide(Verdict.REJECTED)

    def undo(self) -> None:
        """Take back the decision that was made last."""
        last = self.desk.last_decided
        if last is not None:
            self.desk.take_back(last)

    def _take_back(self) -> None:
        if self._shown is not None:
            self.desk.take_back(self._shown)

    def step(self, step: int) -> None:
        """Look at the next finding (1) or the one before (-1), decided on or not."""
        entry = self.desk.queue.step(self._shown, step)
        if entry is not None:
            self._move(entry)

    def _decide(self, verdict: Verdict, value: str = "") -> None:
        entry = self._shown
        if entry is None:
            return
        queued = entry in self.desk.queue
        said = tr("{0}: {1}").format(self.desk.title(entry), verdict_word(verdict))
        self._drafts.pop(entry, None)
        self.card.restore()
        self.desk.decide(entry, verdict, value)
        # A value that was not in doubt was looked at of the person's own accord: it stays in view.
        following = self.desk.queue.after(entry) if queued else entry
        if following is None:
            self._show_calm()
        elif following != entry:
            self._move(following)
        self._toast().show_message(said, tr("Undo"), self.undo)

    def _show_kept(self, entry: Entry) -> None:
        self.decided.emit(entry[0])
        if self._shown == entry:
            self._show(entry)
        elif self._shown is None:
            self._show_calm()

    def _show_taken_back(self, entry: Entry) -> None:
        self.decided.emit(entry[0])
        self._toast().show_message(tr("Taken back: {0}").format(self.desk.title(entry)))
        self._move(entry)

    def _show_not_kept(self, entry: Entry, error: LocalAIError) -> None:
        self._say(error)
        self._move(entry)

    # ------------------------------------------------------------ showing

    def _begin(self, run_id: int) -> None:
        self._shown = None
        self._drafts.clear()
        self.evidence.clear()
        self.pages.close()
        self.desk.begin(run_id)

    def _move(self, entry: Entry) -> None:
        """Go to a finding, and tell."""
        self._asked_for = None
        self._show(entry)
        if self._shown == entry:
            self.moved.emit(*entry)

    def _show(self, entry: Entry) -> None:
        item, finding = self.desk.item(entry), self.desk.finding(entry)
        self._keep_draft()
        if item is None or finding is None:
            self.desk.queue.drop(entry)
            self._show_calm()
            return
        calm = self.calm.holds_focus
        self._shown = entry
        self.card.show_finding(item, finding, self.desk.column(entry))
        if entry in self._drafts:
            self.card.put(self._drafts[entry])
        self._show_badge(item, finding)
        self._show_flags(item)
        self._stack.setCurrentWidget(self._work)
        if calm:
            self.focus_first()
        nothing = tr("Nothing was found: look for it on these pages.") if finding.value is None else ""
        self.evidence.show_places(entry, item, places_of(item, finding), nothing)
        self._fetch_ahead()

    def _show_fetched(self, item: Item, key: str, *, other: bool) -> None:
        """What the grid asked for, as it is now; the person may have gone on meanwhile."""
        if self._asked_for != (item.id, key):
            return
        entry = self.desk.entry(item.id, key)
        if entry is None:
            self._show_calm(item)
        elif other or self._shown != entry:
            self._show(entry)

    def _show_first(self) -> None:
        if self._shown is None:
            entry = self.desk.queue.after(None)
            self._move(entry) if entry is not None else self._show_calm()
        else:
            self._show_news()

    def _show_calm(self, item: Item | None = None) -> None:
        """Nothing is looked at: say how it stands with the review, or with a document that has no values."""
        focused = self._shown is not None and self._stack.currentWidget() is self._work and self._has_focus
        self._keep_draft()
        self._shown = None
        if item is None:
            self._asked_for = None
        self.calm.show_state(self.desk, item)
        self._stack.setCurrentWidget(self.calm)
        if focused:
            self.focus_first()

    def _show_updated(self) -> None:
        """The person is not taken anywhere: a button offers what waits now."""
        if self._shown is not None:
            self._show_news()
        elif self._asked_for is not None:
            self.show_finding(*self._asked_for)  # of a document that had no values yet
        else:
            self._show_calm()

    def _show_news(self) -> None:
        """More waits than before, or less: the badge says so; what is typed stays."""
        item, finding = self.desk.item(self._shown), self.desk.finding(self._shown)
        if item is None or finding is None:
            self._show_calm()
        else:
            self._show_badge(item, finding)
            self._fetch_ahead()

    def _keep_draft(self) -> None:
        """What was typed is there again when the person comes back to it."""
        if self._shown is not None:
            if self.card.changed:
                self._drafts[self._shown] = self.card.typed
            else:
                self._drafts.pop(self._shown, None)

    def _fetch_ahead(self) -> None:
        following = self.desk.queue.after(self._shown)
        item, finding = self.desk.item(following), self.desk.finding(following)
        if item is not None and finding is not None:
            self.evidence.show_ahead(item, next(iter(finding.evidence), None))

    def _show_badge(self, item: Item, finding: Finding) -> None:
        queue, decision = self.desk.queue, item.decision(finding.key)
        at = queue.position((item.id, finding.key))
        self.card.show_position(at, len(queue))
        if decision is not None:
            rejected = decision.verdict is Verdict.REJECTED
            self.card.show_verdict(verdict_word(decision.verdict), "badge-bad" if rejected else "badge-ok")
        elif not at:
            if needs_review(finding):
                self.card.show_verdict(tr("to review"), "badge-warn")
            elif all(evidence.verified for evidence in finding.evidence):
                self.card.show_verdict(tr("checked"), "badge-ok")
            else:
                self.card.show_verdict(tr("not checked"), "badge")

    def _show_flags(self, item: Item) -> None:
        flags = item.outcome.flags if item.outcome else ()
        self.warning.setVisible(bool(flags))
        if not flags:
            return
        quoted = flags[0].quotation
        shown = quoted if len(quoted) <= QUOTED else f"{quoted[: QUOTED - 1].rstrip()}…"
        said = tr("Text on {0} speaks to the model: “{1}”").format(flags[0].place, shown)
        if len(flags) > 1:
            said = f"{said} {tr('{0} such passages in all.').format(number(len(flags)))}"
        self._warned.setText(said)
        self.warning.setAccessibleName(said)

    def _show_alternative(self, which: int) -> None:
        """Look at where the other value stands."""
        finding = self.desk.finding(self._shown)
        evidence = finding.alternatives[which].evidence if finding is not None else ()
        if evidence:
            self.evidence.show_evidence(evidence[0])

    def _say(self, error: LocalAIError) -> None:
        self._toast().show_message(error.line)

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        row = QHBoxLayout(self.warning)
        row.addWidget(self._sign, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self._warned, 1)
        row.addWidget(self.warning_button, 0, Qt.AlignmentFlag.AlignTop)
        self._warning_row = row
        self._work = QWidget()
        self._column = QVBoxLayout(self._work)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.card)
        self._column.addWidget(self.warning)
        self._column.addWidget(self.evidence, 1)
        self._stack.addWidget(self.calm)
        self._stack.addWidget(self._work)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self._stack)

    def _connect(self) -> None:
        card, desk = self.card, self.desk
        card.accepted.connect(lambda: self._decide(Verdict.ACCEPTED))
        card.corrected.connect(lambda value: self._decide(Verdict.CORRECTED, value))
        card.rejected.connect(self.reject)
        card.undecided.connect(self._take_back)
        card.stepped.connect(self.step)
        card.alternative_shown.connect(self._show_alternative)
        desk.updated.connect(self._show_updated)
        desk.kept.connect(self._show_kept)
        desk.taken_back.connect(self._show_taken_back)
        desk.not_kept.connect(self._show_not_kept)
        desk.failed.connect(self._say)
        self.warning_button.clicked.connect(self.evidence.show_warning)
        self.calm.review_button.clicked.connect(lambda: self.step(1))
        self.calm.again_button.clicked.connect(self._look_back)
        self._bind(self, Qt.ShortcutContext.WidgetWithChildrenShortcut)

    def _bind(self, widget: QWidget, context: Qt.ShortcutContext) -> None:
        keys: Sequence[tuple[str, Callable[[], object]]] = (
            ("A", self.accept),
            ("C", self.correct),
            ("R", self.reject),
            ("J", lambda: self.step(1)),
            ("K", lambda: self.step(-1)),
            ("Ctrl+Z", self.undo),
        )
        for key, act in keys:
            shortcut = QShortcut(QKeySequence(key), widget)
            shortcut.setContext(context)
            shortcut.setAutoRepeat(key in "JK")
            shortcut.activated.connect(act)

    def _look_back(self) -> None:
        last = self.desk.queue.last()
        if last is not None:
            self._move(last)

    @property
    def _has_focus(self) -> bool:
        focus = self.window().focusWidget()
        return focus is not None and self.isAncestorOf(focus)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(10))
        self._warning_row.setContentsMargins(px(12), px(8), px(8), px(8))
        self._warning_row.setSpacing(px(8))
        picture = self._theme.icon("triangle-alert", "bad")
        self._sign.setPixmap(picture.pixmap(self._theme.icon_size(16), self.devicePixelRatioF()))
        self._limit_card()

    def _limit_card(self) -> None:
        """The page is in view, whatever there is to say of the value."""
        self.card.setMaximumHeight(max(self._theme.px(170), round(self.height() * SHARE)))

    # ------------------------------------------------------------ Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The value leaves room for the page."""
        super().resizeEvent(event)
        self._limit_card()

    def showEvent(self, event: QShowEvent) -> None:
        """What changed while nobody looked is asked for."""
        super().showEvent(event)
        self.desk.catch_up()

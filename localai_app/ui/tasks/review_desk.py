"""What the review panel knows: the run's findings, what waits, and decisions on their way to the store."""

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from localai_app.errors import LocalAIError
from localai_app.tasks.run import Item, ReviewItem, Run
from localai_app.tasks.service import TaskService
from localai_app.tasks.task import Column, Finding, Verdict
from localai_app.ui.jobs import Job, Jobs
from localai_app.ui.tasks.review_queue import Entry, ReviewQueue
from localai_app.ui.tasks.value_card import title_of

LANE = "tasks-review"
"""Decisions keep their order, and what waits is asked for after them."""
REFRESH_MS = 700


class ReviewDesk(QObject):
    """One run at a time; what comes for one that was left is dropped."""

    updated = Signal()
    """What waits is other than it was."""
    kept = Signal(object)
    """The decision on this `Entry` is in the store."""
    taken_back = Signal(object)
    """The last decision on this `Entry` is taken back."""
    not_kept = Signal(object, object)
    """The decision on this `Entry` was not kept, and the `LocalAIError` that says why."""
    failed = Signal(object)
    _changed = Signal()

    def __init__(self, jobs: Jobs, tasks: TaskService, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs, self._tasks = jobs, tasks
        self.run_id = 0
        self.run: Run | None = None
        self.queue = ReviewQueue()
        self._turn = 0
        """Rises with every run that is begun."""
        self._items: dict[int, Item] = {}
        self._done: list[Entry] = []
        """Decided here, the latest last."""
        self._pending: list[Entry] = []
        """Decisions that are on their way to the store."""
        self.visible: Callable[[], bool] = lambda: True
        """Whether it is worth while to ask what waits."""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self._refresh)
        self._stale = False
        self._unwatch: Callable[[], None] | None = None
        self._changed.connect(self._note_change, Qt.ConnectionType.QueuedConnection)

    # ------------------------------------------------------------ what is known

    def item(self, entry: Entry | None) -> Item | None:
        """The document of a finding."""
        return self._items.get(entry[0]) if entry is not None else None

    def finding(self, entry: Entry | None) -> Finding | None:
        """The finding itself."""
        item = self.item(entry)
        if item is None or item.outcome is None or entry is None:
            return None
        return next((each for each in item.outcome.findings if each.key == entry[1]), None)

    def entry(self, item_id: int, key: str) -> Entry | None:
        """The finding of that key; without one, the document's first in doubt, else its first."""
        item = self._items.get(item_id)
        findings = item.outcome.findings if item is not None and item.outcome is not None else ()
        if key:
            return next(((item_id, key) for each in findings if each.key == key), None)
        keys = [each.key for each in findings]
        waiting = [each for each in keys if self.queue.is_waiting((item_id, each))]
        return next(((item_id, each) for each in (*waiting, *keys)), None)

    def column(self, entry: Entry | None) -> Column | None:
        """What the finding is about."""
        finding = self.finding(entry)
        columns = self.run.columns if self.run is not None and finding is not None else ()
        return next((each for each in columns if finding and each.key == finding.column), None)

    def title(self, entry: Entry) -> str:
        """“Total”."""
        finding = self.finding(entry)
        return title_of(finding, self.column(entry)) if finding is not None else entry[1]

    def is_pending(self, entry: Entry) -> bool:
        """Whether a decision on it is on its way."""
        return entry in self._pending

    @property
    def last_decided(self) -> Entry | None:
        """What `undo` would take back."""
        return self._done[-1] if self._done else None

    # ------------------------------------------------------------ fetching

    def begin(self, run_id: int) -> None:
        """Turn to another run; 0: to none."""
        self._turn += 1
        self.run_id, self.run, self.queue = run_id, None, ReviewQueue()
        self._items.clear()
        self._done.clear()
        self._pending.clear()
        if run_id and self._unwatch is None:
            self._unwatch = self._tasks.watch(self._changed.emit)

    def ask(self, then: Callable[[], object]) -> None:
        """Fetch what waits, and go on with ``then``."""
        run_id = self.run_id
        job = self._jobs.run(lambda: (self._tasks.run(run_id), self._tasks.review(run_id)), lane=LANE)

        def take(found: tuple[Run, list[ReviewItem]]) -> None:
            self._take(*found)
            then()

        self._when(job, take, self.failed.emit)

    def fetch(self, item_id: int, then: Callable[[Item, bool], object]) -> None:
        """Fetch a document as it is now, of whatever run; ``then`` is told it, and whether it is other."""
        job = self._jobs.run(lambda: self._tasks.item(item_id), lane=LANE)

        def take(item: Item) -> None:
            if item.run_id != self.run_id:
                self.begin(item.run_id)
            known = self._items.get(item.id)
            self._items[item.id] = item
            if self.run is None:
                self.ask(lambda: then(item, True))
            else:
                then(item, known != item)

        self._when(job, take, self.failed.emit)

    def close(self) -> None:
        """Ask for nothing more."""
        self._timer.stop()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def catch_up(self) -> None:
        """Ask what waits if something changed while nobody looked."""
        if self._stale:
            self._refresh()

    def _note_change(self) -> None:
        if self.run_id and not self._timer.isActive() and not self._jobs.closed:
            self._timer.start()

    def _refresh(self) -> None:
        self._stale = not self.visible()
        if self.run_id and not self._stale and not self._jobs.closed:
            self.ask(self.updated.emit)

    def _take(self, run: Run, review: list[ReviewItem]) -> None:
        self.run = run
        for each in review:
            if all(entry[0] != each.item.id for entry in self._pending):
                self._items[each.item.id] = each.item
        self.queue.update([(each.item.id, each.finding.key) for each in review])

    # ------------------------------------------------------------ deciding

    def decide(self, entry: Entry, verdict: Verdict, value: str) -> None:
        """Keep a decision; `kept` or `not_kept` tells."""
        self._pending.append(entry)
        self.queue.decide(entry)
        self._done.append(entry)
        job = self._jobs.run(lambda: self._tasks.decide(*entry, verdict, value), lane=LANE)

        def take(item: Item) -> None:
            self._pending.remove(entry)
            self._items[item.id] = item
            self.kept.emit(entry)

        def fail(error: LocalAIError) -> None:
            self._pending.remove(entry)
            self.queue.undecide(entry)
            self._forget(entry)
            self.not_kept.emit(entry, error)

        self._when(job, take, fail)

    def take_back(self, entry: Entry) -> None:
        """Take back the last decision on a finding; `taken_back` tells."""
        self._pending.append(entry)
        self._forget(entry)
        job = self._jobs.run(lambda: self._tasks.undecide(*entry), lane=LANE)

        def take(item: Item) -> None:
            self._pending.remove(entry)
            self._items[item.id] = item
            if item.decision(entry[1]) is None:
                self.queue.undecide(entry)
            self.taken_back.emit(entry)

        def fail(error: LocalAIError) -> None:
            self._pending.remove(entry)
            self.failed.emit(error)

        self._when(job, take, fail)

    def _forget(self, entry: Entry) -> None:
        """It is not what would be undone next."""
        latest = next((at for at in reversed(range(len(self._done))) if self._done[at] == entry), None)
        if latest is not None:
            del self._done[latest]

    def _when(
        self, job: Job, took: Callable[[Any], object], failed: Callable[[LocalAIError], object]
    ) -> None:
        """Go on unless another run was begun meanwhile; an error is told in any case."""
        turn = self._turn

        def fail(error: LocalAIError) -> None:
            # Which of the two is known only once it comes.
            tell = failed if turn == self._turn else self.failed.emit
            tell(error)

        job.returned.connect(lambda value: took(value) if turn == self._turn else None)
        job.failed.connect(fail)

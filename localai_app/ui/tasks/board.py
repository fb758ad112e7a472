"""Keeps the Tasks page's runs and grid as the service has them, and does there what the person wants.

The service calls back in any thread, up to ten times a second. How far the run in hand is is asked for at
that rate; the runs and the rows of the one that is shown, which may be thousands, at most twice a second and
never more than a tenth of the time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from localai_app.tasks.run import Item, Run, RunProgress
from localai_app.tasks.service import TaskService
from localai_app.ui.jobs import Job, Jobs
from localai_app.ui.tasks.grid_model import Heading, Row, headings, row_of

LANE, PROGRESS_LANE = "tasks", "tasks-progress"
LIST_SECONDS = 0.5
SHARE = 10
"""Listing takes at most one part in so many of the time."""


@dataclass(frozen=True)
class Filled:
    """What the grid of a run is to show."""

    run: Run
    columns: tuple[Heading, ...]
    rows: Sequence[Row]
    changes: Sequence[tuple[int, Row]] | None
    """Rows that say something else than before, or are new; None: show all of them anew."""


class Board(QObject):
    """All calls of the page to the task service, but those of review and of what is not begun yet."""

    listed = Signal(list)
    """Runs, the newest first."""
    trash_listed = Signal(list)
    progressed = Signal(object)
    """A `RunProgress`."""
    filled = Signal(object)
    """A `Filled`."""
    failed = Signal(object)
    gone = Signal(int)
    """The run that was shown is not there any more."""
    _changed = Signal()

    def __init__(self, jobs: Jobs, tasks: TaskService, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs, self._tasks = jobs, tasks
        self.run_id: int | None = None
        """Whose rows are shown."""
        self.trash = False
        """The trash is listed, too."""
        self._rows: list[Row] = []
        self._rows_of: int | None = None
        self._listing = self._again = self._asking = False
        self._took = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)
        self._unwatch: Callable[[], None] | None = None
        self._changed.connect(self._note, Qt.ConnectionType.QueuedConnection)

    def start(self) -> None:
        """List what is there, and stay with it."""
        if self._unwatch is None:
            self._unwatch = self._tasks.watch(self._changed.emit)
        self.refresh()
        self._ask_progress()

    def close(self) -> None:
        """Look no more."""
        self._timer.stop()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    # ------------------------------------------------------------ looking

    def show(self, run_id: int | None) -> None:
        """Keep the rows of this run, too."""
        self.run_id = run_id
        self.refresh()

    def refresh(self) -> None:
        """Look at everything again; while that goes on, once more at its end."""
        if self._listing:
            self._again = True
            return
        self._listing, self._again = True, False
        self._timer.stop()
        run_id, trash = self.run_id, self.trash
        before = self._rows if self._rows_of == run_id else None
        job = self._jobs.run(lambda: self._look(run_id, before, trash=trash), lane=LANE)
        job.returned.connect(self._show)
        job.failed.connect(self.failed)
        job.finished.connect(self._end_listing)

    def _note(self) -> None:
        if self._unwatch is None:
            return  # told before it was closed, and come after
        self._ask_progress()
        if not self._timer.isActive():
            self._timer.start(round(1000 * max(LIST_SECONDS, SHARE * self._took)))

    def _ask_progress(self) -> None:
        if self._asking:
            return
        self._asking = True
        job = self._jobs.run(self._tasks.progress, lane=PROGRESS_LANE)
        job.returned.connect(self._show_progress)
        job.failed.connect(self.failed)
        job.finished.connect(self._end_asking)

    def _show_progress(self, progress: RunProgress) -> None:
        self.progressed.emit(progress)

    def _end_asking(self) -> None:
        self._asking = False

    def _look(
        self, run_id: int | None, before: Sequence[Row] | None, *, trash: bool
    ) -> tuple[list[Run], list[Run] | None, Filled | None]:
        """In a pool thread: the runs, the trash, and what is different about the rows."""
        began = time.monotonic()
        runs = self._tasks.runs()
        trashed = self._tasks.runs(trashed=True) if trash else None
        run = next((each for each in runs if each.id == run_id), None)
        filled = self._fill(run, before) if run is not None else None
        self._took = time.monotonic() - began
        return runs, trashed, filled

    def _fill(self, run: Run, before: Sequence[Row] | None) -> Filled:
        columns = headings(run.columns)
        items = self._tasks.items(run.id)
        if before is None or not _begins_alike(before, items):
            return Filled(run, columns, [row_of(item, columns) for item in items], None)
        changes = [
            (at, row_of(item, columns))
            for at, item in enumerate(items)
            if at >= len(before) or before[at].item != item
        ]
        rows = list(before)
        for at, row in changes:
            rows[at : at + 1] = [row]
        return Filled(run, columns, rows, changes)

    def _show(self, found: tuple[list[Run], list[Run] | None, Filled | None]) -> None:
        runs, trashed, filled = found
        self.listed.emit(runs)
        if trashed is not None:
            self.trash_listed.emit(trashed)
        shown = self.run_id
        if filled is not None and filled.run.id == shown:
            self._rows, self._rows_of = list(filled.rows), shown
            self.filled.emit(filled)
        elif shown is not None and all(run.id != shown for run in runs):
            self.run_id = None
            self.gone.emit(shown)

    def _end_listing(self) -> None:
        self._listing = False
        if self._again:
            self.refresh()

    # ------------------------------------------------------------ doing

    def do(
        self, call: Callable[[], Any], done: Callable[[Any], Any] | None = None, *, lane: str = LANE
    ) -> Job:
        """Change something; what is shown follows."""
        job = self._jobs.run(call, lane=lane)
        if done is not None:
            job.returned.connect(done)
        job.returned.connect(lambda _: self._follow())
        job.failed.connect(self.failed)
        job.failed.connect(lambda _: self._follow())
        return job

    def _follow(self) -> None:
        self.refresh()
        self._ask_progress()


def _begins_alike(before: Sequence[Row], items: Sequence[Item]) -> bool:
    """Whether no row went or moved."""
    return len(items) >= len(before) and all(
        row.item.id == item.id for row, item in zip(before, items, strict=False)
    )

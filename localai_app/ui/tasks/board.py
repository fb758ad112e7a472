"""Keeps the Tasks page's runs and grid as the service has them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import QObject, Signal

from localai_app.tasks.run import Item, Run, RunProgress
from localai_app.tasks.service import TaskService
from localai_app.ui.following import Following
from localai_app.ui.jobs import Jobs
from localai_app.ui.tasks.grid_model import Heading, Row, headings, row_of

LANE, PROGRESS_LANE = "tasks", "tasks-progress"


@dataclass(frozen=True)
class Filled:
    """What the grid of a run is to show."""

    run: Run
    columns: tuple[Heading, ...]
    rows: Sequence[Row]
    changes: Sequence[tuple[int, Row]] | None
    """Rows that say something else than before, or are new; None: show all of them anew."""


_Found = tuple[list[Run], list[Run] | None, Filled | None]
"""The runs, the trash where it is wanted, the grid where one is shown."""


class Board(Following[_Found, RunProgress]):
    """All calls of the page to the task service, but those of review and of what is not begun yet."""

    listed = Signal(list)
    """Runs, the newest first."""
    trash_listed = Signal(list)
    progressed = Signal(object)
    """A `RunProgress`."""
    filled = Signal(object)
    """A `Filled`."""
    gone = Signal(int)
    """The run that was shown is not there any more."""

    def __init__(self, jobs: Jobs, tasks: TaskService, parent: QObject) -> None:
        super().__init__(jobs, LANE, PROGRESS_LANE, parent)
        self._tasks = tasks
        self.run_id: int | None = None
        """Whose rows are shown."""
        self.trash = False
        """The trash is listed, too."""
        self._rows: list[Row] = []
        self._rows_of: int | None = None

    def show(self, run_id: int | None) -> None:
        """Keep the rows of this run, too."""
        self.run_id = run_id
        self.refresh()

    def _watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        return self._tasks.watch(changed)

    def _to_list(self) -> Callable[[], _Found]:
        before = self._rows if self._rows_of == self.run_id else None
        return partial(self._look, self.run_id, before, trash=self.trash)

    def _work(self) -> RunProgress:
        return self._tasks.progress()

    def _show_work(self, work: RunProgress) -> None:
        self.progressed.emit(work)

    def _look(self, run_id: int | None, before: Sequence[Row] | None, *, trash: bool) -> _Found:
        """In a pool thread: the runs, the trash, and what is different about the rows."""
        runs = self._tasks.runs()
        trashed = self._tasks.runs(trashed=True) if trash else None
        run = next((each for each in runs if each.id == run_id), None)
        filled = self._fill(run, before) if run is not None else None
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

    def _show(self, found: _Found) -> None:
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


def _begins_alike(before: Sequence[Row], items: Sequence[Item]) -> bool:
    """Whether no row went or moved."""
    return len(items) >= len(before) and all(
        row.item.id == item.id for row, item in zip(before, items, strict=False)
    )

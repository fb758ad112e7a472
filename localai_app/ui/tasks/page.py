"""The Tasks page: all runs, one run, or a new one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QStackedWidget, QVBoxLayout, QWidget

from localai_app.documents.document import Scope
from localai_app.errors import AnotherModel, LocalAIError
from localai_app.tasks.run import Run, RunProgress
from localai_app.ui.jobs import Jobs
from localai_app.ui.tasks import words
from localai_app.ui.tasks.board import Board, Filled
from localai_app.ui.tasks.home import Home
from localai_app.ui.tasks.new_task import NewTask
from localai_app.ui.tasks.rooms import TaskRooms
from localai_app.ui.tasks.run_view import RunView
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.dialogs import Question, confirm
from localai_app.ui.widgets.padlock import Locks
from localai_app.ui.widgets.toast import Toast

EXPORT_LANE = "tasks-export"
"""A report of hundreds of documents takes a while."""


class TasksPage(QWidget):
    """Ties the parts to each other and to the services."""

    document_requested = Signal(int)
    """The person wants to see this document."""

    def __init__(
        self, theme: Theme, jobs: Jobs, rooms: TaskRooms, toast: Callable[[], Toast], locks: Locks
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._toast = theme, jobs, rooms, toast
        self._locks = locks
        self.setProperty("look", "page")
        self.setAcceptDrops(True)
        self._kinds = rooms.tasks.kinds()
        self._progress = RunProgress()
        self._runs: dict[int, Run] = {}
        self.board = Board(jobs, rooms.tasks, self)
        self.home = Home(theme, self._kinds, locks)
        self.new_task: NewTask | None = None
        self.run_view: RunView | None = None
        self._stack = QStackedWidget()
        self._stack.addWidget(self.home)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._stack)
        self._connect()

    # ------------------------------------------------------------ what the window calls

    def load(self) -> None:
        """Fetch what the page shows, and stay with it."""
        self.board.start()

    def focus_first(self) -> None:
        """Begin where the part that is shown begins."""
        shown = self._stack.currentWidget()
        if isinstance(shown, Home | NewTask | RunView):
            shown.focus_first()

    def begin(self, scope: Scope | None = None, kind: str = "") -> None:
        """Show a new task, for these documents where ``scope`` is given."""
        page = self._make_new_task()
        page.begin(kind, scope)
        self._turn_to(page)

    def open_run(self, run: Run) -> None:
        """Show a run."""
        view = self._make_run_view()
        view.open(run)
        view.show_progress(self._progress)
        self.board.show(run.id)
        self._turn_to(view)

    def show_home(self) -> None:
        """Show all runs."""
        self.board.show(None)
        self._turn_to(self.home)

    def show_error(self, error: LocalAIError) -> None:
        """Tell what went wrong and what to do."""
        self._toast().show_message(error.line)

    def close_work(self) -> None:
        """The window closes."""
        self.board.close()
        if self.new_task is not None:
            self.new_task.rest()
        if self.run_view is not None:
            self.run_view.close_work()

    # ------------------------------------------------------------ the board's news

    def _show_runs(self, runs: list[Run]) -> None:
        self._runs = {run.id: run for run in runs}
        self.home.show_runs(runs)
        view = self.run_view
        if view is not None and view.run is not None and view.run.id in self._runs:
            view.show_state(self._runs[view.run.id], self._progress)

    def _show_progress(self, progress: RunProgress) -> None:
        self._progress = progress
        self.home.show_progress(progress)
        if self.run_view is not None:
            self.run_view.show_progress(progress)

    def _show_rows(self, filled: Filled) -> None:
        if self.run_view is not None:
            self.run_view.fill(filled)

    def _leave_gone(self, _: int) -> None:
        if self._stack.currentWidget() is self.run_view:
            self.show_home()

    # ------------------------------------------------------------ what the person wants

    def _open(self, run_id: int) -> None:
        if run_id in self._runs:
            self.open_run(self._runs[run_id])

    def _started(self, run: Run) -> None:
        self._runs[run.id] = run
        self.open_run(run)

    def _pause(self, run_id: int) -> None:
        self.board.do(lambda: self._rooms.tasks.pause(run_id))

    def _stop(self, run_id: int) -> None:
        def stopped(_: object) -> None:
            text = self.tr("Stopped. What is done is kept.")
            self._toast().show_message(text, self.tr("Resume"), lambda: self._resume(run_id))

        self.board.do(lambda: self._rooms.tasks.stop(run_id), stopped)

    def _resume(self, run_id: int, *, with_this_model: bool = False) -> None:
        """Go on; where another model is selected now, ask first."""
        tasks = self._rooms.tasks

        def resume() -> AnotherModel | None:
            try:
                tasks.resume(run_id, with_this_model=with_this_model)
            except AnotherModel as error:
                return error
            return None

        def resumed(refusal: AnotherModel | None) -> None:
            if refusal is not None and self._ask_for_model(refusal):
                self._resume(run_id, with_this_model=True)

        self.board.do(resume, resumed)

    def _ask_for_model(self, refusal: AnotherModel) -> bool:
        dialog = Question(
            self._theme,
            self,
            self.tr("Go on with another model?"),
            refusal.line,
            self.tr("Go on with this model"),
            look="primary",
        )
        answer = dialog.exec()
        dialog.deleteLater()
        return answer == Question.DialogCode.Accepted

    def _retry(self, run_id: int, item_ids: Sequence[int]) -> None:
        self.board.do(lambda: self._rooms.tasks.retry(run_id, item_ids))

    def _remove(self, ids: Sequence[int]) -> None:
        def removed(_: object) -> None:
            view = self.run_view
            if view is not None and view.run is not None and view.run.id in ids:
                self.show_home()
            text = (
                self.tr("Moved to the trash: 1 task.")
                if len(ids) == 1
                else self.tr("Moved to the trash: {0} tasks.").format(words.number(len(ids)))
            )
            self._toast().show_message(text, self.tr("Undo"), lambda: self._restore(ids))

        self.board.do(lambda: self._rooms.tasks.remove(ids), removed)

    def _restore(self, ids: Sequence[int]) -> None:
        self.board.do(lambda: self._rooms.tasks.restore(ids))

    def _erase(self, ids: Sequence[int]) -> None:
        if not ids:
            return
        title = (
            self.tr("Erase the task for good?")
            if len(ids) == 1
            else self.tr("Erase {0} tasks for good?").format(words.number(len(ids)))
        )
        text = self.tr(
            "All that came of it, with what people decided, is erased from this computer. "
            "The documents stay. This cannot be undone."
        )
        if confirm(self._theme, self, title, text, self.tr("Erase")):
            self.board.do(lambda: self._rooms.tasks.erase(ids))

    def _show_trash(self, shown: bool) -> None:
        self.board.trash = shown
        if shown:
            self.board.refresh()

    # ------------------------------------------------------------ out

    def _export(self, fmt: str) -> None:
        run = self._shown_run()
        path = self._ask_where(run, fmt)
        if run is not None and path is not None:
            number = run.id
            self._write(path, lambda: self._rooms.tasks.export(number, path, fmt))

    def _evidence(self) -> None:
        run = self._shown_run()
        path = self._ask_where(run, "json", self.tr("evidence"))
        if run is not None and path is not None:
            number = run.id
            self._write(path, lambda: self._rooms.tasks.evidence(number, path))

    def _ask_where(self, run: Run | None, ending: str, what: str = "") -> Path | None:
        if run is None:
            return None
        kept = "".join(each if each.isalnum() or each in " -_" else " " for each in run.title)
        proposed = "-".join((kept.split() + what.split()) or ["task"])
        name, _ = QFileDialog.getSaveFileName(
            self, self.tr("Save the results"), f"{proposed}.{ending}", f"*.{ending}"
        )
        if not name:
            return None
        path = Path(name)
        return path if path.suffix else path.with_suffix(f".{ending}")

    def _write(self, path: Path, call: Callable[[], None]) -> None:
        job = self._jobs.run(call, lane=EXPORT_LANE)
        job.returned.connect(lambda _: self._toast().show_message(self.tr("Saved {0}.").format(path.name)))
        job.failed.connect(self.show_error)

    def _shown_run(self) -> Run | None:
        return self.run_view.run if self.run_view is not None else None

    # ------------------------------------------------------------ building

    def _turn_to(self, part: Home | NewTask | RunView) -> None:
        if self.new_task is not None and part is not self.new_task:
            self.new_task.rest()
        self._stack.setCurrentWidget(part)
        part.focus_first()

    def _make_new_task(self) -> NewTask:
        if self.new_task is None:
            page = self.new_task = NewTask(self._theme, self._jobs, self._rooms, self._kinds)
            page.started.connect(self._started)
            page.back_requested.connect(self.show_home)
            page.failed.connect(self.show_error)
            page.told.connect(lambda text: self._toast().show_message(text))
            self._stack.addWidget(page)
        return self.new_task

    def _make_run_view(self) -> RunView:
        if self.run_view is None:
            view = self.run_view = RunView(self._theme, self._jobs, self._rooms, self._toast, self._locks)
            view.back_requested.connect(self.show_home)
            view.pause_requested.connect(lambda: self._with_run(self._pause))
            view.resume_requested.connect(lambda: self._with_run(self._resume))
            view.stop_requested.connect(lambda: self._with_run(self._stop))
            view.remove_requested.connect(lambda: self._with_run(lambda number: self._remove([number])))
            view.retry_requested.connect(
                lambda items: self._with_run(lambda number: self._retry(number, items))
            )
            view.export_requested.connect(self._export)
            view.evidence_requested.connect(self._evidence)
            view.document_requested.connect(self.document_requested)
            view.decided.connect(self.board.refresh)
            self._stack.addWidget(view)
        return self.run_view

    def _with_run(self, act: Callable[[int], None]) -> None:
        run = self._shown_run()
        if run is not None:
            act(run.id)

    def _connect(self) -> None:
        board, home = self.board, self.home
        board.listed.connect(self._show_runs)
        board.trash_listed.connect(home.show_trashed)
        board.progressed.connect(self._show_progress)
        board.filled.connect(self._show_rows)
        board.failed.connect(self.show_error)
        board.gone.connect(self._leave_gone)
        home.kind_chosen.connect(lambda kind: self.begin(kind=kind))
        home.new_requested.connect(self.begin)
        home.opened.connect(self._open)
        home.pause_requested.connect(self._pause)
        home.resume_requested.connect(self._resume)
        home.remove_requested.connect(self._remove)
        home.restore_requested.connect(self._restore)
        home.erase_requested.connect(self._erase)
        home.trash_shown.connect(self._show_trash)
        home.undo_requested.connect(lambda: self._toast().act())

    # ------------------------------------------------------------ Qt

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files and folders may be dropped: a task for them is what is wanted."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Choose them for a new task."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self.begin()
            assert self.new_task is not None
            self.new_task.add(paths)

"""What is being fetched: the queue behind every page, and the strip that shows it."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from localai_app.models.catalogue import CatalogueEntry
from localai_app.models.pull import Pull, PullState
from localai_app.ui.jobs import Job, Jobs
from localai_app.ui.models import words
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.choice import Choice
from localai_app.ui.widgets.dialogs import confirm
from localai_app.ui.widgets.labels import ElidedLabel, label

LIMITS = (0, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 50_000_000)
"""Bytes per second that can be chosen; 0: as fast as it goes."""
_WORKING = (PullState.QUEUED, PullState.RUNNING, PullState.CHECKING)


class Downloads(QObject):
    """The pulls as the window knows them. Lives in the UI thread; the service tells it what changes."""

    listed = Signal()
    """Another pull is there, or one is gone."""
    changed = Signal(object)
    """This `Pull` is further, or in another state."""
    installed = Signal(object)
    """This `Pull` became a model."""
    asking = Signal()
    """`asked` is different."""
    failed = Signal(object)
    """Something asked for was refused, with this `LocalAIError`."""

    _came = Signal(object)
    """From the thread that fetches."""

    def __init__(self, jobs: Jobs, rooms: ModelRooms, speed: float = 0.0) -> None:
        """``speed``: bytes per second of the last download that an earlier run saw."""
        super().__init__()
        self._jobs, self._rooms = jobs, rooms
        self.pulls: dict[int, Pull] = {}
        """By id, in the order of the queue."""
        self.asked: set[Hashable] = set()
        """What the hub is being asked about so that it can be fetched."""
        self._removed: set[int] = set()
        self.speed = speed
        """Bytes per second that were seen last; 0: none yet."""
        self._came.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self._end_watching: Callable[[], None] = rooms.pulls.watch(self._came.emit)

    def load(self) -> None:
        """Go on with what the last run left unfinished, and list what there is."""

        def look() -> list[Pull]:
            self._rooms.pulls.restore()
            return self._rooms.pulls.pulls()

        self._run(look).returned.connect(self._show)

    def close(self) -> None:
        """Hear no more."""
        self._end_watching()

    @property
    def working(self) -> bool:
        """Whether anything is being fetched now."""
        return bool(self.asked) or any(pull.state is PullState.RUNNING for pull in self.pulls.values())

    def start(
        self,
        key: Hashable,
        repo: str,
        files: Sequence[str],
        revision: str = "main",
        sha256: Mapping[str, str] | None = None,
        *,
        from_catalogue: bool = False,
    ) -> None:
        """Queue a model; ``key`` is in `asked` while the hub is asked about it."""
        if key in self.asked:
            return
        self.asked.add(key)
        self.asking.emit()

        def start() -> Pull:
            return self._rooms.pulls.start(
                repo, files, revision, sha256=sha256, from_catalogue=from_catalogue
            )

        job = self._jobs.run(start, lane="hub")
        job.returned.connect(self._add)
        job.failed.connect(self.failed)
        job.finished.connect(lambda: self._answered(key))

    def start_entry(self, entry: CatalogueEntry) -> None:
        """Queue a model of the catalogue, at the revision that it names."""
        hashes = {file.name: file.sha256 for file in entry.files if file.sha256}
        names = [file.name for file in entry.files]
        revision = entry.revision or "main"
        self.start(entry.id, entry.repository, names, revision, hashes, from_catalogue=True)

    def of_entry(self, entry: CatalogueEntry) -> Pull | None:
        """The pull of a model of the catalogue, the latest first; None where there is none."""
        names = {file.name for file in entry.files}
        return next(
            (
                pull
                for pull in reversed(self.pulls.values())
                if pull.repo == entry.repository and {file.name for file in pull.files} == names
            ),
            None,
        )

    def pause(self, pull_id: int) -> None:
        """Stop for now."""
        self._run(lambda: self._rooms.pulls.pause(pull_id))

    def resume(self, pull_id: int) -> None:
        """Go on where it stopped."""
        self._run(lambda: self._rooms.pulls.resume(pull_id))

    def remove(self, pull_id: int) -> None:
        """Take it off the list; what has come of an unfinished one is deleted."""
        job = self._run(lambda: self._rooms.pulls.remove(pull_id))
        job.returned.connect(lambda _: self._forget(pull_id))

    def forget_installed(self, path: Path) -> None:
        """The model at ``path`` was taken away: the list has nothing more to say of how it came."""
        for pull in list(self.pulls.values()):
            if pull.path == path:
                self.remove(pull.id)

    def clear_ended(self) -> None:
        """Take off the list what is installed or was cancelled."""
        for pull in list(self.pulls.values()):
            if pull.state in (PullState.INSTALLED, PullState.CANCELLED):
                self.remove(pull.id)

    def set_limit(self, bytes_per_second: int) -> None:
        """Fetch no faster than this."""
        self._run(lambda: self._rooms.pulls.set_limit(bytes_per_second))

    def _run(self, call: Callable[[], object]) -> Job:
        job = self._jobs.run(call, lane="pulls")
        job.failed.connect(self.failed)
        return job

    def _answered(self, key: Hashable) -> None:
        self.asked.discard(key)
        self.asking.emit()

    def _show(self, pulls: list[Pull]) -> None:
        told = self.pulls
        self.pulls = {pull.id: told.get(pull.id, pull) for pull in pulls} | told
        self.listed.emit()

    def _add(self, pull: Pull) -> None:
        """Take one that was asked for; what was told of it since, by `_came`, is newer."""
        if pull.id not in self.pulls:
            self._take(pull)

    def _take(self, pull: Pull) -> None:
        if pull.id in self._removed:
            return
        before = self.pulls.get(pull.id)
        if before == pull:
            return
        self.pulls[pull.id] = pull
        self.speed = pull.speed or self.speed
        if before is None:
            self.listed.emit()
        self.changed.emit(pull)
        if pull.state is PullState.INSTALLED and (before is None or before.state is not pull.state):
            self.installed.emit(pull)

    def _forget(self, pull_id: int) -> None:
        self._removed.add(pull_id)
        self.pulls.pop(pull_id, None)
        self.listed.emit()


class DownloadRow(QWidget):
    """One pull: name, bar, how far it is, and what can be done."""

    use_requested = Signal(object)
    """The person wants the model of this `Pull` to answer."""

    def __init__(self, theme: Theme, downloads: Downloads, pull: Pull) -> None:
        super().__init__()
        self._theme, self._downloads, self._pull = theme, downloads, pull
        self._name = ElidedLabel("", "strong")
        self.line = ElidedLabel("", "dim")
        self.error = label("", "bad", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setRange(0, 1000)
        self.pause = IconButton(theme, "pause", "")
        self.resume = IconButton(theme, "play", "")
        self.cancel = IconButton(theme, "x", "")
        self.use = Button(theme, self.tr("Use"), look="primary")
        self.pause.clicked.connect(lambda: downloads.pause(self._pull.id))
        self.resume.clicked.connect(lambda: downloads.resume(self._pull.id))
        self.cancel.clicked.connect(self._cancel)
        self.use.clicked.connect(lambda: self.use_requested.emit(self._pull))
        self._grid = QGridLayout(self)
        self._grid.addWidget(self._name, 0, 0)
        self._grid.addWidget(self.bar, 1, 0)
        self._grid.addWidget(self.line, 2, 0)
        self._grid.addWidget(self.error, 3, 0)
        for column, button in enumerate((self.use, self.resume, self.pause, self.cancel), 1):
            self._grid.addWidget(button, 0, column, 3, 1, Qt.AlignmentFlag.AlignVCenter)
        self._grid.setColumnStretch(0, 1)
        theme.changed.connect(self._fit)
        self._fit()
        self.show_pull(pull)

    def show_pull(self, pull: Pull) -> None:
        """Show how far ``pull`` is."""
        self._pull = pull
        name = pull.name.removesuffix(".gguf")
        self._name.setText(name)
        self.line.setText(words.pull_line(pull))
        self.error.setText(pull.error)
        self.error.setVisible(bool(pull.error) and pull.state is PullState.FAILED)
        self.bar.setVisible(not pull.state.ended or pull.state in (PullState.PAUSED, PullState.FAILED))
        self.bar.setRange(0, 0 if pull.state is PullState.CHECKING else 1000)
        self.bar.setValue(round(1000 * pull.done / max(1, pull.total)))
        self.bar.setAccessibleName(self.tr("How much of {0} is here").format(name))
        failed = pull.state is PullState.FAILED
        again = self.tr("Try {0} again") if failed else self.tr("Go on with {0}")
        gone = pull.state in (PullState.INSTALLED, PullState.CANCELLED)
        self.pause.set_name(self.tr("Pause {0}").format(name))
        self.resume.set_name(again.format(name))
        self.resume.setIcon(self._theme.icon("rotate-ccw" if failed else "play"))
        clear = self.tr("Take {0} off this list") if gone else self.tr("Cancel {0}")
        self.cancel.set_name(clear.format(name))
        self.use.setAccessibleName(self.tr("Use {0}").format(name))
        self.pause.setVisible(pull.state in _WORKING)
        self.resume.setVisible(pull.state in (PullState.PAUSED, PullState.FAILED))
        self.use.setVisible(pull.state is PullState.INSTALLED)

    def _cancel(self) -> None:
        pull = self._pull
        if pull.done and pull.state not in (PullState.INSTALLED, PullState.CANCELLED):
            text = self.tr("{0} that are here are deleted. Pause keeps them.").format(words.size(pull.done))
            title, action = self.tr("Cancel this download?"), self.tr("Cancel the download")
            if not confirm(self._theme, self, title, text, action):
                return
        self._downloads.remove(pull.id)

    def _fit(self) -> None:
        px = self._theme.px
        self._grid.setContentsMargins(0, px(6), 0, px(6))
        self._grid.setHorizontalSpacing(px(6))
        self._grid.setVerticalSpacing(px(3))


class DownloadsStrip(QFrame):
    """All pulls, as long as there are any."""

    use_requested = Signal(object)

    def __init__(self, theme: Theme, parent: QWidget, downloads: Downloads, limit: int) -> None:
        super().__init__(parent)
        self._theme, self._downloads = theme, downloads
        self.setProperty("look", "card")
        self.rows: dict[int, DownloadRow] = {}
        self.limit = Choice(theme)
        name = self.tr("How fast is fetched at most")
        self.limit.setAccessibleName(name)
        self.limit.setToolTip(name)
        self.limit.view().setAccessibleName(name)
        for value in sorted({*LIMITS, limit}):
            text = self.tr("At most {0}/s").format(words.size(value)) if value else self.tr("No limit")
            self.limit.addItem(text, value)
        self.limit.setCurrentIndex(self.limit.findData(limit))
        self.limit.activated.connect(lambda row: downloads.set_limit(self.limit.itemData(row)))
        self.clear = Button(theme, self.tr("Clear finished"), look="link")
        self.clear.clicked.connect(downloads.clear_ended)
        head = QHBoxLayout()
        head.addWidget(label(self.tr("DOWNLOADS"), "section"))
        head.addStretch(1)
        head.addWidget(self.clear)
        head.addWidget(self.limit)
        self._list = QVBoxLayout()
        self._column = QVBoxLayout(self)
        self._column.addLayout(head)
        self._column.addLayout(self._list)
        downloads.listed.connect(self._show)
        downloads.changed.connect(self._change)
        theme.changed.connect(self._fit)
        self._fit()
        self._show()

    def _show(self) -> None:
        for pull_id in [each for each in self.rows if each not in self._downloads.pulls]:
            row = self.rows.pop(pull_id)
            self._list.removeWidget(row)
            row.hide()
            row.deleteLater()
        for pull in self._downloads.pulls.values():
            if pull.id not in self.rows:
                row = self.rows[pull.id] = DownloadRow(self._theme, self._downloads, pull)
                row.use_requested.connect(self.use_requested)
                self._list.addWidget(row)
        self._tidy()

    def _change(self, pull: Pull) -> None:
        if pull.id in self.rows:
            self.rows[pull.id].show_pull(pull)
        self._tidy()

    def _tidy(self) -> None:
        states = [pull.state for pull in self._downloads.pulls.values()]
        self.setVisible(bool(states))
        self.clear.setVisible(any(state in (PullState.INSTALLED, PullState.CANCELLED) for state in states))

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(16), px(10), px(12), px(8))
        self._column.setSpacing(px(2))
        self._list.setSpacing(px(2))

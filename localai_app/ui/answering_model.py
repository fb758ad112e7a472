"""Which model answers in the window: chosen, loaded, at rest, and told of."""

from pathlib import Path

from PySide6.QtCore import QObject, Signal

from localai_app.engine.protocol import ModelInfo
from localai_app.errors import LocalAIError
from localai_app.models.installed import InstalledModel
from localai_app.models.residency import Residency
from localai_app.models.service import ModelService
from localai_app.ui.jobs import Jobs

_Found = tuple[InstalledModel | None, ModelInfo | None, LocalAIError | None]


class AnsweringModel(QObject):
    """All calls of the window about the model that answers."""

    seen = Signal(object, object, object)
    """`InstalledModel` that is selected, its `ModelInfo` while loaded, why neither is known; or None each."""
    loading = Signal()
    noticed = Signal(str)
    """A model was loaded in another way than usual."""
    chosen = Signal(object)
    """An `InstalledModel` answers from now on."""
    installed = Signal(list)
    failed = Signal(object)
    _rested = Signal()
    """From the thread that unloaded it."""

    def __init__(self, jobs: Jobs, models: ModelService, residency: Residency, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs, self._models, self._residency = jobs, models, residency
        self.selected: InstalledModel | None = None
        self._may_return_early = False
        self._rested.connect(self._note_rest)
        residency.on_rest = self._rested.emit

    def load(self) -> None:
        """Load the selected model before it is needed."""
        job = self._jobs.run(self._models.load, lane="models")
        job.returned.connect(lambda _: self.look())
        # Why a model does not load is told with the first answer, or by the header when there is none.
        job.failed.connect(lambda _: self.look())

    def look(self) -> None:
        """Ask which model is selected and what is loaded; `seen` and `noticed` tell."""

        def ask() -> _Found:
            try:
                return self._models.selected(), self._models.loaded(), None
            except LocalAIError as error:
                return None, None, error

        self._jobs.run(ask, lane="models-list").returned.connect(self._show)
        job = self._jobs.run(self._models.take_notice, lane="models-list")
        job.returned.connect(lambda notice: self.noticed.emit(notice) if notice else None)

    def choose(self, path: Path) -> None:
        """Let the model at ``path`` answer."""
        job = self._jobs.run(lambda: self._models.select(path), lane="models-list")
        job.returned.connect(self._note_choice)
        job.failed.connect(self.failed)

    def list_installed(self) -> None:
        """Ask what there is to choose from; `installed` tells."""
        job = self._jobs.run(self._models.installed, lane="models-list")
        job.returned.connect(self.installed.emit)
        job.failed.connect(self.failed)

    def return_early(self) -> None:
        """The person begins to write: a model that was only idle is there when they are done."""
        if self._may_return_early and self._residency.absence() == "idle":
            self._may_return_early = False
            self.loading.emit()
            self.load()

    def _note_rest(self) -> None:
        self._may_return_early = True
        self.look()

    def _note_choice(self, model: InstalledModel) -> None:
        self.chosen.emit(model)
        self.look()

    def _show(self, found: _Found) -> None:
        self.selected, info, error = found
        if info is not None and self.selected is not None and Path(info.path) != self.selected.path:
            info = None  # still the one before; the next answer loads the chosen one
        self.seen.emit(self.selected, info, error)

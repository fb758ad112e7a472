"""Which models are here, which one answers, and its hash."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from localai_app.engine.client import Engine
from localai_app.engine.protocol import ModelInfo
from localai_app.errors import ModelLoadFailed, ModelNotFound, PolicyRefused, UsageError
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.policy import Policy
from localai_app.models.facts import FactsOfFiles
from localai_app.models.gguf import GgufHeader
from localai_app.models.header_process import read_header
from localai_app.models.installed import (
    InstalledModel,
    ModelFiles,
    Starter,
    by_name,
    describe,
    discover,
    state,
)
from localai_app.models.links import Links
from localai_app.models.loading import Loader, LoadPlan, Overrides
from localai_app.models.speed import Speed, Speeds
from localai_app.paths import Paths
from localai_app.store.database import Database
from localai_app.store.settings import Settings

_SELECTED = "model.selected"


class ModelService:
    """All that either face can do with models."""

    def __init__(  # noqa: PLR0917 - the rooms below it
        self,
        database: Database,
        settings: Settings,
        engine: Engine,
        paths: Paths,
        policy: Policy,
        audit: Audit,
        *,
        speeds: Speeds | None = None,
        sampling_of: Callable[[str], dict[str, float]] = lambda sha256: {},
    ) -> None:
        """``sampling_of`` says what sampling is recommended for the model of a hash."""
        self._settings = settings
        self._sampling_of = sampling_of
        self.speeds = speeds or Speeds(settings)
        """How fast models were here, by hash."""
        self._engine = engine
        self._folders = paths.models
        self._policy = policy
        self._audit = audit
        self.files = ModelFiles(database, self._write_changed)
        """Their hashes, and what else is kept of each file."""
        self._starter = Starter.from_resources()
        self.links = Links(settings, policy, audit, self._starter)
        """Files that are used where they lie."""
        self._for_now: Path | None = None
        self._loaded_sha256 = ""
        self._loading = threading.Lock()
        self._loader = Loader(engine, settings, read_header, lambda: policy.allows_gpu)
        self.facts = FactsOfFiles(settings, read_header)
        """What their headers say, as far as lists show it."""

    @property
    def starter(self) -> Starter:
        """The manifest of the model that ships with the app."""
        return self._starter

    def installed(self) -> list[InstalledModel]:
        """Models in the model folders that can answer, by name; the file system is read at each call."""
        return [model for model in self.every() if not model.embeds]

    def embedding_models(self) -> list[InstalledModel]:
        """Models in the model folders that make vectors for searching, by name."""
        return [model for model in self.every() if model.embeds]

    def every(self) -> list[InstalledModel]:
        """All models in the model folders and all linked ones, by name."""
        linked = {model.path: model for model in self.links.all()}
        models = linked | {model.path: model for model in discover(self._folders, self._starter)}
        return [
            dataclasses.replace(
                model, embeds=not (model.starter or model.missing) and self.facts.of(model.path).embeds
            )
            for model in sorted(models.values(), key=by_name)
        ]

    def selected(self) -> InstalledModel:
        """The model that answers; raise `ModelNotFound` (with what to do) when there is none.

        Without a choice the starter model answers, else the first there is.
        """
        chosen = self._for_now or self._settings.get(_SELECTED)
        if chosen:
            return self._at(Path(str(chosen)))
        models = [model for model in self.installed() if not model.missing]
        if not models:
            raise ModelNotFound(
                "There is no model on this computer yet.", f"Put a GGUF file into {self._folders[0]}."
            )
        return next((model for model in models if model.starter), models[0])

    def select(self, path: Path, *, keep: bool = True) -> InstalledModel:
        """Let the model at ``path`` answer from now on; ``keep``: at the next start too.

        Raise `ModelNotFound`, `UsageError` for what is not a GGUF file or only makes vectors, or
        `PolicyRefused` for a file from elsewhere where only models of the model folders are allowed.
        """
        model = self._at(path)
        if not any(model.path.is_relative_to(folder) for folder in self._folders):
            with self._audit.refusals("select"):
                self._policy.require_import()
        if path.suffix.lower() != ".gguf" and not model.linked:
            raise UsageError(f"{path} is not a GGUF file.", "Models are files whose name ends in .gguf.")
        if not model.starter and self.facts.of(model.path).embeds:
            raise UsageError(
                f"{model.name} makes vectors for searching; it cannot write.", "Choose another model."
            )
        if keep:
            self._settings.set(_SELECTED, str(model.path))
        self._for_now = None if keep else model.path
        return model

    def _at(self, path: Path) -> InstalledModel:
        """The model at ``path``, linked or not; raise `ModelNotFound`."""
        model = self.links.get(path)
        if model is None:
            return describe(path, self._starter)
        if model.missing:
            raise ModelNotFound(
                f"{model.name} is not at {model.path} now.", "Connect its drive, or choose another model."
            )
        return model

    @property
    def folders(self) -> tuple[Path, ...]:
        """Model folders in the order they are searched; pulls go to the first."""
        return self._folders

    def folder_moved(self, source: Path, target: Path) -> None:
        """The first model folder, ``source``, is ``target`` now; what was chosen in it is chosen there.

        Part of the caller's transaction.
        """
        self._folders = (target, *self._folders[1:])
        if self._for_now and self._for_now.is_relative_to(source):
            self._for_now = target / self._for_now.relative_to(source)
        chosen = Path(str(self._settings.get(_SELECTED, "")))
        if chosen.is_relative_to(source):
            self._settings.set(_SELECTED, str(target / chosen.relative_to(source)))
        self._loader.folder_moved(source, target)
        self.facts.folder_moved(source, target)

    def deselect(self, path: Path) -> bool:
        """Choose nothing if the model at ``path`` is the one that was chosen; whether it was."""
        if self._for_now == path:
            self._for_now = None
        was_chosen = self._settings.get(_SELECTED) == str(path)
        if was_chosen:
            self._settings.set(_SELECTED, None)
        return was_chosen

    def loaded(self) -> ModelInfo | None:
        """What the engine holds now; None before the first load and after a crash."""
        return self._engine.model

    @property
    def allows_gpu(self) -> bool:
        """Whether models may run on a GPU."""
        return self._policy.allows_gpu

    @property
    def loaded_sha256(self) -> str:
        """The hash that the model had when it was last loaded; empty before the first load."""
        return self._loaded_sha256

    def check_selected(self, on_progress: Callable[[float], None] | None = None) -> str:
        """SHA-256 of the selected model, which policy allows; a refusal is audited.

        ``on_progress`` gets the fraction that is hashed. Raise `ModelNotFound`, `ModelChanged` or
        `PolicyRefused`.
        """
        return self.check(self.selected().path, on_progress)

    def check(self, path: Path, on_progress: Callable[[float], None] | None = None) -> str:
        """SHA-256 of the model at ``path``, as `check_selected` does for the selected one."""
        with self._audit.refusals("load"):
            self._policy.require_model_folder(path.absolute())
        digest = self.files.sha256(path.absolute(), on_progress)
        with self._audit.refusals(digest):
            self._policy.require_model(digest)
        return digest

    def load(self, on_progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Hold the selected model; returns at once when it is held already.

        ``on_progress`` gets fractions from 0 to 1; where the file was never hashed, that is the first
        half. What it is loaded with suits the machine (see `Loader`). Raise `PolicyRefused`,
        `ModelNotFound`, `ModelChanged`, `GgufError`, `ModelLoadFailed` or `EngineExited`.
        """
        with self._loading:
            model = self.selected()
            tell = on_progress or (lambda fraction: None)
            hashing = 0.0 if self.files.known_sha256(model.path) else 0.5
            before = state(model.path)
            digest = self.check_selected(lambda done: tell(done * hashing))
            held = self._engine.model
            info = self._loader.load(model, digest, lambda done: tell(hashing + done * (1 - hashing)))
            if state(model.path) != before:
                self._engine.unload()
                raise ModelLoadFailed(f"{model.path.name} changed while it was loaded.", "Try again.")
            self._require_template(info, digest)
            self._loaded_sha256 = digest
            self.files.used(model.path)
            if info != held:
                self._audit.append(
                    AuditEvent.MODEL_LOADED,
                    digest,
                    {"size": model.size, "engine": info.engine_build, "device": info.device},
                )
            return info

    def _require_template(self, info: ModelInfo, digest: str) -> None:
        template = info.chat_template or ""
        try:
            with self._audit.refusals(digest):
                self._policy.require_template(
                    hashlib.sha256(template.encode()).hexdigest() if template else ""
                )
        except PolicyRefused:
            self._engine.unload()
            raise

    def plan(self, path: Path | None = None, overrides: Overrides | None = None) -> LoadPlan:
        """How a model (without ``path`` the selected one) would be loaded now, and what it would need.

        ``overrides`` stand in for those that are kept. Raise `ModelNotFound`, `GgufError`, `UsageError`
        or `EngineExited`.
        """
        model = self.selected() if path is None else self._at(path)
        return self._loader.plan(model, overrides)

    def set_overrides(self, path: Path, overrides: Overrides) -> None:
        """Keep how the model at ``path`` is loaded, from its next load on; raise `UsageError`."""
        self._loader.set_overrides(path.absolute(), overrides)

    def take_notice(self) -> str:
        """One line on the last load that a person should know; told once, empty for nothing."""
        return self._loader.take_notice()

    def header(self, path: Path) -> GgufHeader:
        """What the model file says of itself; raise `ModelNotFound` or `GgufError`."""
        return read_header(path)

    def sha256(self, path: Path) -> str:
        """SHA-256 of a model file in hexadecimal, computed once while it does not change."""
        return self.files.sha256(path.absolute())

    def recommended_sampling(self, model: InstalledModel) -> dict[str, float]:
        """Sampling values that the model's publisher recommends, by name; empty where unknown."""
        if model.starter:
            return dict(self._starter.sampling)
        sha256 = self._known_sha256(model)
        return self._sampling_of(sha256) if sha256 else {}

    def speed_here(self, model: InstalledModel) -> Speed | None:
        """How fast ``model`` wrote on this machine; None when it was not used yet."""
        return self.speeds.measured(self._known_sha256(model))

    def _write_changed(self, recorded: str, found: str) -> None:
        self._audit.append(AuditEvent.MODEL_CHANGED, recorded, {"found": found})

    def _known_sha256(self, model: InstalledModel) -> str | None:
        return None if model.missing else self.files.known_sha256(model.path)

"""Which models are here, which one answers, and its hash."""

import threading
from collections.abc import Callable
from pathlib import Path

from localai_app.engine.client import Engine
from localai_app.engine.protocol import ModelInfo
from localai_app.errors import ModelLoadFailed, ModelNotFound, PolicyRefused, UsageError
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.policy import Policy
from localai_app.models.installed import InstalledModel, ModelFiles, Starter, describe, discover, state
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
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._folders = paths.models
        self._policy = policy
        self._audit = audit
        self._files = ModelFiles(database)
        self._starter = Starter.from_resources()
        self._for_now: Path | None = None
        self._loading = threading.Lock()

    @property
    def starter(self) -> Starter:
        """The manifest of the model that ships with the app."""
        return self._starter

    def installed(self) -> list[InstalledModel]:
        """Models in the model folders, by name; the file system is read at each call."""
        return discover(self._folders, self._starter)

    def selected(self) -> InstalledModel:
        """The model that answers; raise `ModelNotFound` (with what to do) when there is none.

        Without a choice the starter model answers, else the first there is.
        """
        chosen = self._for_now or self._settings.get(_SELECTED)
        if chosen:
            return describe(Path(str(chosen)), self._starter)
        models = self.installed()
        if not models:
            raise ModelNotFound(
                "There is no model on this computer yet.", f"Put a GGUF file into {self._folders[0]}."
            )
        return next((model for model in models if model.starter), models[0])

    def select(self, path: Path, *, keep: bool = True) -> InstalledModel:
        """Let the model at ``path`` answer from now on; ``keep``: at the next start too.

        Raise `ModelNotFound`, or `UsageError` for what is not a GGUF file.
        """
        model = describe(path, self._starter)
        if path.suffix.lower() != ".gguf":
            raise UsageError(f"{path} is not a GGUF file.", "Models are files whose name ends in .gguf.")
        if keep:
            self._settings.set(_SELECTED, str(model.path))
        self._for_now = None if keep else model.path
        return model

    def loaded(self) -> ModelInfo | None:
        """What the engine holds now; None before the first load and after a crash."""
        return self._engine.model

    def check_selected(self, on_progress: Callable[[float], None] | None = None) -> str:
        """SHA-256 of the selected model, which policy allows; a refusal is audited.

        ``on_progress`` gets the fraction that is hashed. Raise `ModelNotFound` or `PolicyRefused`.
        """
        digest = self._files.sha256(self.selected().path, on_progress)
        try:
            self._policy.require_model(digest)
        except PolicyRefused:
            self._audit.append(AuditEvent.POLICY_REFUSED, digest)
            raise
        return digest

    def load(self, on_progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Hold the selected model; returns at once when it is held already.

        ``on_progress`` gets fractions from 0 to 1; where the file was never hashed, that is the first
        half. Raise `PolicyRefused`, `ModelNotFound`, `ModelLoadFailed` or `EngineExited`.
        """
        with self._loading:
            model = self.selected()
            tell = on_progress or (lambda fraction: None)
            hashing = 0.0 if self._files.known_sha256(model.path) else 0.5
            before = state(model.path)
            digest = self.check_selected(lambda done: tell(done * hashing))
            held = self._engine.model
            info = self._engine.load(
                model.path, on_progress=lambda done: tell(hashing + done * (1 - hashing)), sha256=digest
            )
            if state(model.path) != before:
                self._engine.unload()
                raise ModelLoadFailed(f"{model.path.name} changed while it was loaded.", "Try again.")
            if info != held:
                self._audit.append(
                    AuditEvent.MODEL_LOADED,
                    digest,
                    {"size": model.size, "engine": info.engine_build, "device": info.device},
                )
            return info

    def sha256(self, path: Path) -> str:
        """SHA-256 of a model file in hexadecimal, computed once while it does not change."""
        return self._files.sha256(path.absolute())

    def recommended_sampling(self, model: InstalledModel) -> dict[str, float]:
        """Sampling values that the model's publisher recommends, by name; empty where unknown."""
        return dict(self._starter.sampling) if model.starter else {}

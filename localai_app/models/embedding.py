"""Texts → vectors for searching, by an embedding model in a worker of its own.

Vectors of two models cannot be compared, so each result says which model made it. The model is loaded
when it is first needed and again whenever its worker is gone; the queries of a person and the passages of
an index take turns, a fraction of a second each; a person's query ends the turn of an index.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from localai_app.engine.client import Engine
from localai_app.engine.protocol import LoadSettings, Segment
from localai_app.errors import ModelChanged, ModelLoadFailed, ModelNotFound, RequestFailed, UsageError
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.models.embedding_facts import EmbeddingFacts, facts_of
from localai_app.models.installed import InstalledModel, state
from localai_app.models.service import ModelService
from localai_app.models.turns import Either, Turns
from localai_app.paths import is_packaged
from localai_app.store.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHIPPED = "all-MiniLM-L6-v2.F16.gguf"
"""The model that comes with the app; it searches until another one is chosen."""
_SELECTED = "embedding.selected"
_SETTINGS = LoadSettings(embedding=True)
_TURN_SECONDS = 0.25
"""How long the passages of an index keep a person's query waiting, about."""
_FIRST_TURN, _SHORTEST_TURN, _LONGEST_TURN = 16, 4, 512
"""Texts in one turn: before it is known how long they take, at least and at most."""


@dataclass(frozen=True)
class EmbeddingModel:
    """The model that makes vectors."""

    path: Path
    name: str
    """What its header calls it, such as ``all-MiniLM-L6-v2``."""
    sha256: str
    """Two vectors can be compared when this is the same."""
    dimensions: int
    max_tokens: int
    """Of one text, with its prefix and what the model wants around it; a longer one is refused."""
    facts: EmbeddingFacts
    """How its publisher wants it to be used."""

    @property
    def usual_tokens(self) -> int:
        """Tokens of a passage that this model is made for."""
        return min(self.facts.usual_tokens or self.max_tokens, self.max_tokens)


@dataclass(frozen=True, eq=False)
class Vectors:
    """What an embedding model made of texts."""

    model: EmbeddingModel
    values: "NDArray[np.float32]"
    """Texts × dimensions, each row of length 1; of zeros for a blank text, which is like nothing."""


class EmbeddingService:
    """All that the rooms above need of embedding models. Calls may come from any thread."""

    def __init__(self, models: ModelService, settings: Settings, engine: Engine, audit: Audit) -> None:
        """``engine`` serves this one alone."""
        self._models = models
        self._settings = settings
        self._engine = engine
        self._audit = audit
        self._turns = Turns()
        self._turn_size = _FIRST_TURN

    def installed(self) -> list[InstalledModel]:
        """Embedding models in the model folders, by name."""
        return self._models.embedding_models()

    def selected(self) -> InstalledModel:
        """The model that makes vectors; raise `ModelNotFound` (with what to do) when there is none.

        Without a choice it is the one that comes with the app, else the first there is.
        """
        chosen = self._settings.get(_SELECTED)
        models = self.installed()
        if chosen:
            for model in models:
                if str(model.path) == chosen:
                    return model
            raise ModelNotFound(f"There is no embedding model {chosen}.", "Choose another one.")
        if not models:
            raise ModelNotFound(
                "There is no embedding model on this computer yet.",
                "The package localai-app-models brings the one that belongs to the app."
                if is_packaged()
                else "`make embedding-model` makes the one that belongs to the app.",
            )
        return next((model for model in models if model.path.name == SHIPPED), models[0])

    def select(self, path: Path) -> InstalledModel:
        """Let the model at ``path`` make vectors from now on; raise `UsageError` for one that makes none."""
        path = path.absolute()
        for model in self.installed():
            if model.path == path:
                self._settings.set(_SELECTED, str(path))
                return model
        raise UsageError(f"{path.name} is no embedding model in a model folder.", "Choose another one.")

    def selected_sha256(self) -> str:
        """The hash of the model that makes vectors, which is not loaded for it.

        Raise `PolicyRefused`, `ModelNotFound` or `ModelChanged`.
        """
        return self._models.check(self.selected().path)

    def folder_moved(self, source: Path, target: Path) -> None:
        """The model folder ``source`` is ``target`` now; what was chosen in it is chosen there."""
        chosen = Path(str(self._settings.get(_SELECTED, "")))
        if chosen.is_relative_to(source):
            self._settings.set(_SELECTED, str(target / chosen.relative_to(source)))

    def load(self, on_progress: Callable[[float], None] | None = None) -> EmbeddingModel:
        """Hold the selected model; returns at once when it is held already.

        ``on_progress`` gets fractions from 0 to 1. Raise `PolicyRefused`, `ModelNotFound`, `GgufError`,
        `ModelLoadFailed` or `EngineExited`.
        """
        with self._turns.take(), self._engine.hold():
            return self._load(self.selected().path, on_progress)

    def embed_passages(
        self,
        texts: Sequence[str],
        *,
        on_progress: Callable[[int], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Vectors:
        """Vectors of texts that shall be found; ``on_progress`` gets how many are done.

        Setting ``stop`` from any thread ends it within 100 ms with `RequestFailed`. Raise
        `ContextOverflow` for a text that is too long (none is cut), and what `load` raises.
        """
        import numpy as np  # noqa: PLC0415 - the window starts without it

        with self._turns.take():
            path = self.selected().path
        done = 0
        parts: list[Vectors] = []
        while done < len(texts) or not parts:
            some = texts[done : done + self._turn_size]
            # Another model may have been chosen meanwhile: the whole list gets vectors of one.
            part = self._embed(lambda: path, some, query=False, stop=stop)
            if parts and part.model != parts[0].model:
                raise ModelLoadFailed(f"{path.name} changed while it was used.", "Try again.")
            parts.append(part)
            done += len(some)
            if on_progress:
                on_progress(done)
        return Vectors(parts[0].model, np.concatenate([part.values for part in parts]))

    def embed_query(self, text: str, *, sha256: str = "", stop: threading.Event | None = None) -> Vectors:
        """The vector of what a person looks for, one row; raise as `embed_passages` does.

        ``sha256`` names an installed model whose vectors still serve after another one was selected; raise
        `ModelNotFound` when it is gone.
        """

        def path_of() -> Path:
            return self._path_of(sha256) if sha256 else self.selected().path

        return self._embed(path_of, [text], query=True, stop=stop)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens that the model reads of each text as a passage, all included; 0 for a blank one."""
        with self._turns.take(), self._engine.hold():
            prefix = self._load(self.selected().path).facts.passage_prefix
            return [self._engine.count([Segment(text=_prefixed(prefix, text))]) for text in texts]

    def close(self) -> None:
        """End the worker."""
        self._engine.close()

    def _path_of(self, sha256: str) -> Path:
        for model in self.installed():
            with suppress(ModelChanged):
                if self._models.check(model.path) == sha256:
                    return model.path
        raise ModelNotFound("The embedding model is gone that made the vectors.", "Choose it again or wait.")

    def _embed(
        self,
        path_of: Callable[[], Path],
        texts: Sequence[str],
        *,
        query: bool,
        stop: threading.Event | None,
    ) -> Vectors:
        while True:
            with self._turns.take(background=not query, urgent=query) as end, self._engine.hold():
                try:
                    return self._embed_now(
                        path_of(), texts, query=query, stop=stop if query else Either(stop, end)
                    )
                except RequestFailed:
                    if query or not end.is_set() or (stop is not None and stop.is_set()):
                        raise
            # A person's query came: what was begun is done anew after it.

    def _embed_now(
        self, path: Path, texts: Sequence[str], *, query: bool, stop: threading.Event | None
    ) -> Vectors:
        if stop is not None and stop.is_set():
            raise RequestFailed("The request was stopped.")
        model = self._load(path)
        prefix = model.facts.query_prefix if query else model.facts.passage_prefix
        wanted = [_prefixed(prefix, text) for text in texts]
        started = time.monotonic()
        vectors = Vectors(model, self._engine.embed(wanted, background=not query, stop=stop))
        took = time.monotonic() - started
        if took > _TURN_SECONDS:
            self._turn_size = max(self._turn_size // 2, _SHORTEST_TURN)
        elif len(texts) == self._turn_size and took < _TURN_SECONDS / 2:
            self._turn_size = min(2 * self._turn_size, _LONGEST_TURN)
        return vectors

    def _load(self, path: Path, on_progress: Callable[[float], None] | None = None) -> EmbeddingModel:
        before = state(path)
        digest = self._models.check(path)
        header = self._models.header(path)
        held = self._engine.model
        settings = _SETTINGS if self._models.allows_gpu else msgspec.structs.replace(_SETTINGS, gpu_layers=0)
        info = self._engine.load(path, settings, on_progress, sha256=digest)
        if state(path) != before:
            self._engine.unload()
            raise ModelLoadFailed(f"{path.name} changed while it was loaded.", "Try again.")
        if info != held:
            self._models.files.used(path)
            self._audit.append(
                AuditEvent.MODEL_LOADED,
                digest,
                {
                    "size": before[0],
                    "engine": info.engine_build,
                    "device": info.device,
                    "use": "embedding",
                },
            )
        return EmbeddingModel(
            path=path,
            name=header.name or path.stem,
            sha256=digest,
            dimensions=info.embedding_length,
            max_tokens=info.context_length,
            facts=facts_of(header.name, path.stem),
        )


def _prefixed(prefix: str, text: str) -> str:
    return prefix + text if text.strip() else ""

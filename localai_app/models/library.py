"""The models that are on this computer: what is known of each, and all that can be done with their files.

Loading and answering are `ModelService`'s, fetching is `PullService`'s. This is the rest of the model
manager: list, details, verify, delete, move, link and import.
"""

import contextlib
import secrets
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from localai_app.engine.client import Engine
from localai_app.errors import GgufError, ModelChanged, ModelNotFound, UsageError
from localai_app.governance.audit import Audit, AuditEvent, BodyValue
from localai_app.governance.policy import Policy
from localai_app.models import details
from localai_app.models.catalogue_service import CatalogueService
from localai_app.models.details import ModelDetails
from localai_app.models.elsewhere import FoundModel
from localai_app.models.embedding import EmbeddingService
from localai_app.models.installed import InstalledModel, by_name, named
from localai_app.models.links import Links
from localai_app.models.listing import (
    HashState,
    LibraryModel,
    Place,
    like_entry,
    listed,
)
from localai_app.models.moving import FolderMover, Move
from localai_app.models.progress import Progress, Tell, go_on, silent
from localai_app.models.pull import PullService
from localai_app.models.service import ModelService
from localai_app.models.sideload import Importable, Imported, Importer
from localai_app.models.trash import Entry, Removed, Trash
from localai_app.models.verification import Verifier
from localai_app.paths import Paths, machine_model_folders, models_folder_is_set, portable_folder
from localai_app.store import leases
from localai_app.store.database import Database
from localai_app.store.settings import Settings

__all__ = [
    "FoundModel",
    "HashState",
    "Importable",
    "LibraryModel",
    "ModelDetails",
    "ModelLibrary",
    "Move",
    "Progress",
    "Removed",
]


_LOOK_SECONDS = 0.2
"""How often an import that waits for another looks whether it was stopped."""


class ModelLibrary:
    """All calls may come from any thread; those with ``tell`` and ``stop`` may take minutes.

    ``tell`` gets a `Progress`, often, in the calling thread; setting ``stop`` ends the call with
    `RequestFailed`, and nothing is changed then.
    """

    def __init__(  # noqa: PLR0917 - the rooms below it
        self,
        database: Database,
        settings: Settings,
        paths: Paths,
        policy: Policy,
        audit: Audit,
        models: ModelService,
        embedding: EmbeddingService,
        catalogue: CatalogueService,
        pulls: PullService,
        engines: Sequence[Engine],
        check: Callable[[Path, Callable[[], bool]], None],
        *,
        free_space: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """``check`` raises `LocalAIError` for a model that does not load, or once its second says that it
        was stopped; ``engines`` may hold models."""
        self._database = database
        self._settings = settings
        self._policy = policy
        self._audit = audit
        self._models = models
        self._embedding = embedding
        self._catalogue = catalogue
        self._pulls = pulls
        self._engines = engines
        self._trash = Trash(database, settings)
        self._importer = Importer(models.starter, models.header, check, free_space)
        self._mover = FolderMover(database, settings, paths.config, free_space, self._records_follow)
        self._verifier = Verifier(
            models.files,
            settings,
            audit,
            lambda: [model.path for model in models.every() if not model.missing],
            lambda: any(engine.in_use for engine in engines),
        )
        self._verifier.on_verified = self._tell_watchers
        self._bringing = threading.Lock()
        """Held by what brings files: one import, or one move, at a time."""
        self._moving = False
        self._watchers: list[Callable[[], None]] = []
        self._watching = threading.Lock()

    def settle(self) -> None:
        """Finish or take back what an earlier run could not: a move, removals, imports. At the start."""
        if portable_folder() is not None:
            self._mover.follow(self.folder)
        self._mover.settle(self.folder)
        self._mover.delete_old(silent)
        self._erase(own=False)
        self._importer.sweep(self.folder)

    # ------------------------------------------------------------ what is there

    def models(self) -> list[LibraryModel]:
        """Every model (chat and embedding), by name, missing ones included; the disk is read at each call."""
        models = self._models.every()
        here = {model.path for model in models}
        records = self._models.files.records()
        for path, record in records.items():
            if path not in here and self._is_away(path):
                name, quantisation = named(path.stem)
                models.append(
                    InstalledModel(path, name or path.stem, quantisation, record.size, missing=True)
                )
        catalogue = self._catalogue.loaded().catalogue
        selected = self._selected()
        return [
            listed(
                model,
                self._models.facts.of(model.path),
                records.get(model.path),
                catalogue,
                self._models.starter,
                place=self._place(model),
                speed=self._models.speeds.measured(records[model.path].sha256)
                if model.path in records
                else None,
                selected=model.path in selected,
            )
            for model in sorted(models, key=by_name)
        ]

    def model(self, path: Path) -> LibraryModel:
        """The one at ``path``; raise `ModelNotFound`."""
        path = path.absolute()
        for model in self.models():
            if model.path == path:
                return model
        raise ModelNotFound(
            f"There is no model {path} in the list.", "`localai-app models list` shows what there is."
        )

    def by_sha256(self, sha256: str) -> LibraryModel | None:
        """The model of that hash, such as the one that a conversation remembers; None when it is gone."""
        return next((model for model in self.models() if sha256 and model.sha256 == sha256), None)

    def details(self, path: Path) -> ModelDetails:
        """Metadata, tensors, template and what the catalogue says of it; raise `ModelNotFound`, `GgufError`.

        A tenth of a second at first.
        """
        model = self.model(path)
        header = self._models.header(model.path)
        record = self._models.files.record(model.path)
        entry = like_entry(self._catalogue.loaded().catalogue, model.file, record)
        wanted = (entry.template_sha256 if entry else None) or ""
        known = ""
        if wanted and wanted != details.template_hash(header.chat_template or ""):
            known = self._template_of_hash(wanted)
        return details.described(header, wanted, known)

    def template_diff(self, path: Path, other: Path) -> str:
        """Unified diff from ``other``'s chat template to that of ``path``; empty when they are the same."""
        new, old = (self._models.header(one.absolute()).chat_template or "" for one in (path, other))
        return details.diff(old, new, other.name, path.name)

    # ------------------------------------------------------------ hashes

    def verify(self, path: Path, tell: Tell = silent, stop: threading.Event | None = None) -> LibraryModel:
        """Read the whole file and compare; the model as it is now, `HashState.CHANGED` on a mismatch.

        A mismatch is audited, and the model is not loaded until `accept` or `remove`. A file that was
        never hashed is recorded. Raise `ModelNotFound`, `RequestFailed`.
        """
        path = self.model(path).path
        self._verifier.verify(path, tell, stop)
        self._tell_watchers()
        return self.model(path)

    def accept(self, path: Path) -> LibraryModel:
        """Let a changed file be the model from now on, with the hash that was found; audited.

        Raise `UsageError` for one that did not change, `PolicyRefused`.
        """
        model = self.model(path)
        if model.hash_state is HashState.CHANGED and not model.found_sha256:
            self._verifier.verify(model.path)
            model = self.model(path)
        if model.found_sha256:
            self._asked(lambda: self._policy.require_model(model.found_sha256), model.found_sha256)
        with self._database.transaction():
            found = self._models.files.accept(model.path)
            self._audit.append(AuditEvent.MODEL_ACCEPTED, found, {"before": model.sha256})
        self._tell_watchers()
        return self.model(path)

    def search_with(self, path: Path) -> LibraryModel:
        """Let the embedding model at ``path`` search documents; raise `UsageError`, `PolicyRefused`."""
        model = self.model(path)
        if model.sha256:
            self._asked(lambda: self._policy.require_model(model.sha256), model.sha256)
        self._embedding.select(model.path)
        self._tell_watchers()
        return self.model(path)

    @property
    def verifies_weekly(self) -> bool:
        """Whether every model is verified once a week, in the background while nothing is computed."""
        return self._verifier.weekly

    def set_verifies_weekly(self, on: bool) -> None:
        """Switch that on or off, from now on."""
        self._verifier.set_weekly(on)

    # ------------------------------------------------------------ delete and undo

    def remove(self, path: Path) -> Removed:
        """Take a model away: its files go to a trash, of a linked one only the link goes; audited.

        Undone by `undo_remove` as long as this process lives. Raise `UsageError` while it answers or
        where only an administrator may, `PolicyRefused`, `ModelNotFound`.
        """
        self._asked(self._policy.require_delete)
        model = self.model(path)
        self._require_idle(model.path)
        self._require_no_move()
        entry = self._unlink(model) if model.file.linked else self._put_aside(model)
        body: dict[str, BodyValue] = {
            "file": str(model.path),
            "size": model.file.size,
            "linked": model.file.linked,
        }
        self._audit.append(AuditEvent.MODEL_REMOVED, model.sha256, body)
        self._tell_watchers()
        return entry.removed

    def undo_remove(self, removed_id: str) -> LibraryModel:
        """Put it back; raise `NotFound` once it is erased, `UsageError` where another file took its place."""
        entry = self._trash.get(removed_id)
        self._require_no_move()
        if entry.linked:
            self.links.add(
                [FoundModel(entry.path, entry.name, entry.quantisation, entry.size, entry.program)]
            )
        self._trash.back(entry)
        if entry.selected:
            with contextlib.suppress(ModelNotFound):
                self._models.select(entry.path)
        record = self._models.files.record(entry.path)
        self._audit.append(
            AuditEvent.MODEL_RESTORED, record.sha256 if record else "", {"file": str(entry.path)}
        )
        self._tell_watchers()
        return self.model(entry.path)

    def removed(self) -> list[Removed]:
        """What can be put back, the last removed first."""
        return [entry.removed for entry in self._trash.own()]

    # ------------------------------------------------------------ files of others

    def elsewhere(self) -> list[FoundModel]:
        """Models of LM Studio, Jan, Ollama and the Hugging Face cache that are not linked."""
        return self.links.found()

    def link(self, models: Iterable[FoundModel | Path]) -> list[LibraryModel]:
        """Use files where they lie, without copying; raise `PolicyRefused`, `ModelNotFound`, `UsageError`."""
        linked = {model.path for model in self.links.add(models)}
        self._tell_watchers()
        return [model for model in self.models() if model.path in linked]

    # ------------------------------------------------------------ import

    def importable(self, paths: Iterable[Path]) -> list[Importable]:
        """The models in files and folders (a USB stick), parts of one as one; reads their first bytes.

        Raise `PolicyRefused`, or `UsageError` where there is none.
        """
        self._asked(self._policy.require_import)
        return self._importer.importable(paths)

    def import_model(
        self, source: Path, tell: Tell = silent, stop: threading.Event | None = None
    ) -> LibraryModel:
        """Copy the model whose (first) file is ``source`` into the models folder, after the same checks
        as a pull: header, hash, policy, trial load. It is there whole or not at all.

        Raise `UsageError` (no GGUF file, on this computer already), `GgufError`, `ModelLoadFailed`,
        `PolicyRefused`, `PullFailed` (no space), `ModelNotFound` (a part is missing), `RequestFailed`.
        """
        self._asked(self._policy.require_import)
        while not self._bringing.acquire(timeout=_LOOK_SECONDS):
            go_on(stop)
        try:
            imported = self._importer.bring(
                source, self.folder, accept=self._accept_import, tell=tell, stop=stop, keep=self._keep_import
            )
        finally:
            self._bringing.release()
        self._tell_watchers()
        return self.model(imported.path)

    # ------------------------------------------------------------ the models folder

    @property
    def folder(self) -> Path:
        """Where pulls and imports go."""
        return self._models.folders[0]

    def move_folder(self, target: Path, tell: Tell = silent, stop: threading.Event | None = None) -> Path:
        """Move the models folder to ``target`` (absent or empty) and use it from now on.

        On another file system every file is copied and compared, then the folder is switched, then the
        old files are deleted. One that was interrupted goes on where it was when called with the same
        ``target``; stopped by ``stop`` or `cancel_move`, the old folder is as it was.

        Raise `UsageError` (not empty, one lies in the other, something is being downloaded, an
        environment variable names the folder), `PullFailed` (no space), `ModelLoadFailed` (the copy
        differs), `RequestFailed`.
        """
        target = target.expanduser().absolute()
        if portable_folder() is not None:
            raise UsageError("A portable copy keeps its models beside it.", "Move the whole copy instead.")
        if models_folder_is_set():
            raise UsageError("LOCALAI_APP_MODELS_DIR says where the models are.", "Change it there.")
        if self._pulls.busy:
            raise UsageError("A model is being downloaded into the folder.", "Pause the downloads first.")
        with self._alone():
            self._moving = True
            try:
                self._importer.sweep(self.folder)
                self._mover.delete_old(tell)
                if target != self.folder or self.unfinished_move() is None:
                    self._mover.move(self.folder, target, tell=tell, stop=stop, release=self._release)
            finally:
                self._moving = False
        self._tell_watchers()
        return self.folder

    def unfinished_move(self) -> Move | None:
        """One that was interrupted, such as by a crash or a power cut."""
        return self._mover.unfinished()

    def cancel_move(self) -> None:
        """Delete what an interrupted move has copied; the old folder stays in use."""
        with self._alone():
            self._mover.cancel()

    # ------------------------------------------------------------ in the background

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher``, in whatever thread, when the list may have changed; call the result to end."""
        with self._watching:
            self._watchers.append(watcher)

        def end() -> None:
            with self._watching, contextlib.suppress(ValueError):
                self._watchers.remove(watcher)

        return end

    def start(self) -> None:
        """Verify weekly from now on until `close`."""
        self._verifier.start()

    def close(self) -> None:
        """Stop what runs in the background and erase what was removed; stops within a block."""
        self._verifier.close()
        self._erase(own=True)

    # ------------------------------------------------------------ what it is made of

    @property
    def links(self) -> Links:
        """The linked files."""
        return self._models.links

    def _place(self, model: InstalledModel) -> Place:
        if model.linked:
            return "linked"
        shared = any(model.path.is_relative_to(folder) for folder in machine_model_folders())
        return "machine-wide" if shared else "models folder"

    def _is_away(self, path: Path) -> bool:
        """Whether the file lay in a models folder that is not there now, such as on another drive."""
        return any(path.is_relative_to(folder) and not folder.is_dir() for folder in self._models.folders)

    def _selected(self) -> set[Path]:
        selected = set()
        for service in (self._models, self._embedding):
            with contextlib.suppress(ModelNotFound):
                selected.add(service.selected().path)
        return selected

    def _template_of_hash(self, sha256: str) -> str:
        """The chat template of that hash, where a model here has it; else empty."""
        for model in self._models.every():
            if not model.missing and self._models.facts.of(model.path).template_sha256 == sha256:
                with contextlib.suppress(GgufError, ModelNotFound):
                    return self._models.header(model.path).chat_template or ""
        return ""

    def _require_idle(self, path: Path) -> None:
        """Raise `UsageError` while the model is used; one that is only held is let go."""
        for engine in self._engines:
            if engine.model is not None and Path(engine.model.path) == path:
                if engine.in_use:
                    raise UsageError(f"{path.name} is answering now.", "Stop the answer first.")
                engine.unload()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._bringing.acquire(blocking=False):
            raise UsageError("A model is being imported, or the models folder moved.", "Wait for that.")
        try:
            yield
        finally:
            self._bringing.release()

    def _require_no_move(self) -> None:
        if self._moving:
            raise UsageError("The models folder is being moved.", "Wait for that, or cancel it.")

    def _release(self) -> None:
        """Before the folder changes: nothing of it may be in use that need not be."""
        if self._pulls.busy:
            raise UsageError(
                "A model is being downloaded into the folder.", "Pause the downloads, then move it again."
            )
        for engine in self._engines:
            if engine.model is not None and not engine.in_use:
                engine.unload()

    def _unlink(self, model: LibraryModel) -> Entry:
        selected = self._models.deselect(model.path)
        self.links.remove(model.path)
        entry = Entry(
            id=secrets.token_hex(8),
            name=model.file.name,
            quantisation=model.file.quantisation,
            folder=str(model.path.parent),
            files=(model.path.name,),
            size=model.file.size,
            selected=selected,
            owner=leases.this_process(),
            linked=True,
            program=model.file.owner,
        )
        self._trash.put_link(entry)
        return entry

    def _put_aside(self, model: LibraryModel) -> Entry:
        if model.place == "machine-wide":
            raise UsageError(
                f"{model.file.name} serves everybody on this computer.", "Only an administrator removes it."
            )
        folder = next(folder for folder in self._models.folders if model.path.is_relative_to(folder))
        file = model.file
        was_selected = model.selected and model.kind == "chat"
        entry = self._trash.put(
            folder, file.path, name=file.name, quantisation=file.quantisation, selected=was_selected
        )
        self._models.deselect(file.path)
        return entry

    def _erase(self, *, own: bool) -> None:
        for entry in self._trash.erase(own=own):
            if not entry.path.exists():
                self._models.files.forget(entry.path)

    def _accept_import(self, sha256: str, size: int) -> str:
        """Whether the model may come; below which folder it stands."""
        for model in self._models.every():
            if model.missing or model.linked or model.size != size:
                continue
            with contextlib.suppress(ModelChanged, ModelNotFound):
                if self._models.files.sha256(model.path) == sha256:
                    raise UsageError(f"{model.name} is on this computer already: {model.path}.")
        self._asked(lambda: self._policy.require_model(sha256), sha256)
        entry = self._catalogue.loaded().catalogue.by_sha256(sha256)
        return entry.repository if entry else ""

    def _keep_import(self, imported: Imported) -> None:
        with self._database.transaction():
            self._models.files.keep(imported.path, imported.sha256, source="imported")
            body: dict[str, BodyValue] = {"file": str(imported.path), "size": imported.size}
            self._audit.append(AuditEvent.MODEL_IMPORTED, imported.sha256, body)

    def _records_follow(self, source: Path, target: Path) -> None:
        """All that the store says of files in ``source`` is about those in ``target`` now."""
        self._models.files.folder_moved(source, target)
        self._trash.folder_moved(source, target)
        self._models.folder_moved(source, target)
        self._embedding.folder_moved(source, target)
        self._pulls.folder_moved(source, target)
        self._audit.append(AuditEvent.MODEL_FOLDER_MOVED, body={"from": str(source), "to": str(target)})

    def _asked(self, require: Callable[[], None], object_id: str = "") -> None:
        """Ask policy; a refusal is audited."""
        with self._audit.refusals(object_id):
            require()

    def _tell_watchers(self) -> None:
        with self._watching:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher()

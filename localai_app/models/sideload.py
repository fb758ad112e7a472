"""Imports model files from elsewhere, with the checks of a pull.

The file is copied into the quarantine folder that no list of models looks into. Only when its header
was read in a confined child, its hash is known and allowed, and a worker has loaded it once, is it
renamed into the models folder. Whatever ends an import before that leaves nothing behind; what a kill
leaves is swept away by the next import or start.
"""

import contextlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from localai_app.errors import ModelLoadFailed, ModelNotFound, UsageError
from localai_app.models.copying import copy_verified, require_space
from localai_app.models.elsewhere import is_gguf
from localai_app.models.gguf import GgufHeader
from localai_app.models.installed import (
    InstalledModel,
    Starter,
    compute_sha256,
    describe,
    discover,
    files_of,
)
from localai_app.models.progress import Progress, Tell, go_on
from localai_app.models.quarantine import QUARANTINE
from localai_app.store import leases
from localai_app.store.files import make_private_folder, sync_folder

_OWNER = "owner"
_PREFIX = "import-"
_NEW_SECONDS = 10.0


@dataclass(frozen=True)
class Importable:
    """A model in a file or folder that a person named."""

    path: Path
    """Of the (first) file."""
    name: str
    quantisation: str
    size: int
    """Bytes, of all parts."""
    parts: int = 1
    problem: str = ""
    """Why it cannot be imported, such as that it is no GGUF file; empty for none."""


@dataclass(frozen=True)
class Imported:
    """A model that is in the models folder now."""

    path: Path
    sha256: str
    size: int


class Importer:
    """Brings files into a models folder."""

    def __init__(
        self,
        starter: Starter,
        read_header: Callable[[Path], GgufHeader],
        check: Callable[[Path, Callable[[], bool]], None],
        free_space: Callable[[Path], int],
    ) -> None:
        """``check`` raises `LocalAIError` for a model that does not load, or once its second says so."""
        self._starter = starter
        self._read_header = read_header
        self._check = check
        self._free_space = free_space

    def importable(self, paths: Iterable[Path]) -> list[Importable]:
        """The models in files and folders, each once; raise `UsageError` where there is none."""
        found: dict[Path, Importable] = {}
        for path in (path.absolute() for path in paths):
            if path.is_dir():
                models = [_importable(model) for model in discover([path], self._starter)]
            else:
                models = [self._at(path)]
            found.update({model.path: model for model in models})
        if not found:
            raise UsageError("There is no GGUF file.", "Models are files whose name ends in .gguf.")
        return list(found.values())

    def bring(
        self,
        source: Path,
        folder: Path,
        *,
        accept: Callable[[str, int], str],
        tell: Tell,
        stop: threading.Event | None,
        keep: Callable[[Imported], None],
    ) -> Imported:
        """Copy the model at ``source`` into ``folder`` after every check.

        ``accept`` gets hash and size, raises for a model that may not come, and says in which folder
        below it stands. ``keep`` is called once it is there. For errors see `ModelLibrary.import_model`.
        """
        (found,) = self.importable([source])
        if found.problem:
            raise UsageError(found.problem, "Choose another file.")
        parts = files_of(found.path)
        self._read_header(found.path)  # what is broken is told before it is copied
        self.sweep(folder)
        quarantine = folder / QUARANTINE / f"{_PREFIX}{secrets.token_hex(8)}"
        make_private_folder(quarantine.parent)
        require_space(quarantine.parent, found.size, self._free_space)
        make_private_folder(quarantine)
        try:
            (quarantine / _OWNER).write_text(leases.this_process(), encoding="utf-8")
            sha256 = self._copy(parts, quarantine, found.size, tell, stop)
            below = accept(sha256, found.size)
            go_on(stop)
            tell(Progress("trying", 0, found.size, found.path.name))
            self._try(quarantine / parts[0].name, stop)
            path = _move_in(quarantine, [part.name for part in parts], folder / below, sha256)
            imported = Imported(path, sha256, found.size)
            keep(imported)
            return imported
        finally:
            shutil.rmtree(quarantine, ignore_errors=True)

    def sweep(self, folder: Path) -> None:
        """Delete what imports that are over have left in the quarantine."""
        for left in (folder / QUARANTINE).glob(f"{_PREFIX}*"):
            owner = ""
            with contextlib.suppress(OSError, UnicodeDecodeError):
                owner = (left / _OWNER).read_text(encoding="utf-8")
            if not _may_be_alive(owner, left):
                shutil.rmtree(left, ignore_errors=True)

    def _try(self, path: Path, stop: threading.Event | None) -> None:
        try:
            self._check(path, stop.is_set if stop is not None else lambda: False)
        except ModelLoadFailed:
            go_on(stop)
            raise
        go_on(stop)

    def _at(self, path: Path) -> Importable:
        try:
            path = files_of(path)[0]  # whichever part was named
            model = describe(path, self._starter)
        except ModelNotFound as error:
            return Importable(path, path.stem, "", 0, problem=str(error))
        return _importable(model)

    @staticmethod
    def _copy(
        parts: list[Path], quarantine: Path, size: int, tell: Tell, stop: threading.Event | None
    ) -> str:
        """Copy all parts; the hash of the whole model."""
        done = {False: 0, True: 0}
        digests = []
        for part in parts:

            def on_bytes(count: int, compared: bool, name: str = part.name) -> None:
                go_on(stop)
                done[compared] += count
                tell(Progress("checking" if compared else "copying", sum(done.values()), 2 * size, name))

            digests.append(copy_verified(part, quarantine / part.name, on_bytes))
        return digests[0] if len(digests) == 1 else compute_sha256(quarantine / parts[0].name)


def _importable(model: InstalledModel) -> Importable:
    path = model.path
    problem = "" if is_gguf(path) else f"{path.name} is not a GGUF file."
    return Importable(path, model.name, model.quantisation, model.size, len(files_of(path)), problem)


def _move_in(quarantine: Path, names: list[str], target: Path, sha256: str) -> Path:
    """Rename the files of a model into ``target``; where one of that name stands, into a folder in it."""
    if any((target / name).exists() for name in names):
        target /= sha256[:8]
    target.mkdir(parents=True, exist_ok=True)
    # A split model is found by its first file, which comes last: it is there whole or not at all.
    for name in reversed(names):
        if os.name == "posix":
            (quarantine / name).chmod(0o444)
        (quarantine / name).replace(target / name)
    sync_folder(target)
    return target / names[0]


def _may_be_alive(owner: str, folder: Path) -> bool:
    try:
        return leases.is_alive(owner) is True
    except ValueError:  # it was cut off before it could say who it is, or is about to
        with contextlib.suppress(OSError):
            return time.time() - folder.stat().st_mtime < _NEW_SECONDS
        return False

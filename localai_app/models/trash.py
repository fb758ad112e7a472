"""Deleted models: put aside in their own folder, back with one step, erased when the app closes.

What is put aside stands in the settings with the name of the process that did it. It is erased when that
process closes, or at the next start when it did not come to that. A delete that was cut off half-way is
taken back.
"""

import contextlib
import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec

from localai_app.errors import ModelNotFound, NotFound, UsageError
from localai_app.models.installed import Owner, files_of
from localai_app.store import leases
from localai_app.store.database import Database
from localai_app.store.files import make_private_folder, sync_folder
from localai_app.store.settings import JSON, Settings

TRASH = ".trash"
_KEY = "models.trash"


@dataclass(frozen=True)
class Removed:
    """A model that was taken away."""

    id: str
    name: str
    path: Path
    """Where it was."""
    size: int
    linked: bool
    """Only the link went."""


@dataclass(frozen=True)
class Entry:
    """What is kept of one."""

    id: str
    name: str
    quantisation: str
    folder: str
    """The models folder that it lay in; of a linked model the file's own folder."""
    files: tuple[str, ...]
    """Below that folder, the first of a split model first."""
    size: int
    selected: bool
    """It was the one that answers."""
    owner: str
    """The process that removed it."""
    linked: bool = False
    program: Owner = ""
    """Of a linked model: whose file it is."""

    @property
    def path(self) -> Path:
        """Where its first file was."""
        return Path(self.folder, self.files[0])

    @property
    def removed(self) -> Removed:
        """What others see of it."""
        return Removed(self.id, self.name, self.path, self.size, self.linked)


@dataclass(frozen=True)
class _Kept:
    entries: tuple[Entry, ...] = ()


class Trash:
    """The models that were removed and can be put back."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    def own(self) -> list[Entry]:
        """What this process removed, the last first."""
        own = leases.this_process()
        return [entry for entry in reversed(self._entries()) if entry.owner == own]

    def get(self, removed_id: str) -> Entry:
        """One of them; raise `NotFound`."""
        for entry in self.own():
            if entry.id == removed_id:
                return entry
        raise NotFound("That model cannot be put back any more.", "It is erased; get it again.")

    def put(self, folder: Path, path: Path, *, name: str, quantisation: str, selected: bool) -> Entry:
        """Take the model at ``path`` in the models folder ``folder`` away.

        Raise `ModelNotFound`, or `UsageError` where that is not permitted.
        """
        files = files_of(path)
        entry = Entry(
            id=secrets.token_hex(8),
            name=name,
            quantisation=quantisation,
            folder=str(folder),
            files=tuple(str(file.relative_to(folder)) for file in files),
            size=sum(file.stat().st_size for file in files),
            selected=selected,
            owner=leases.this_process(),
        )
        aside = _aside(entry)
        make_private_folder(aside.parent)
        make_private_folder(aside)
        self._add(entry)
        try:
            for number, file in enumerate(files):
                file.replace(aside / str(number))
        except OSError as error:
            self._take_back(entry)
            raise UsageError(
                f"{path.name} cannot be removed: {error.strerror or error}.", "Close what uses it."
            ) from error
        sync_folder(path.parent)
        return entry

    def put_link(self, entry: Entry) -> None:
        """Keep what a link was."""
        self._add(entry)

    def back(self, entry: Entry) -> None:
        """Put the files of ``entry`` where they were; raise `UsageError` where another file stands there."""
        if not entry.linked:
            if any(Path(entry.folder, file).exists() for file in entry.files):
                raise UsageError(f"There is another {entry.path.name} now.", "Remove that one first.")
            if not _aside(entry).is_dir():
                raise ModelNotFound(
                    f"{entry.name} is not there any more.", "Connect its drive, or get it again."
                )
        self._take_back(entry)

    def erase(self, *, own: bool) -> list[Entry]:
        """Erase what this process removed (``own``), or what processes that are gone did; what it was."""
        erased = []
        for entry in self._entries():
            mine = entry.owner == leases.this_process()
            if mine is not own or (not own and leases.is_alive(entry.owner)):
                continue
            if (
                not own
                and not entry.linked
                and any(Path(entry.folder, name).exists() for name in entry.files)
            ):
                self._take_back(entry)  # it was cut off while it removed them
                continue
            if not entry.linked and Path(entry.folder).is_dir():
                shutil.rmtree(_aside(entry), ignore_errors=True)
            if _aside(entry).exists():
                continue  # it is held open: the next start tries again
            _remove_empty_parents(entry)
            self._drop(entry)
            erased.append(entry)
        return erased

    def folder_moved(self, source: Path, target: Path) -> None:
        """The models folder ``source`` is now ``target``; part of the caller's transaction."""
        self._save(
            tuple(
                replace(entry, folder=str(target)) if entry.folder == str(source) else entry
                for entry in self._entries()
            )
        )

    def _take_back(self, entry: Entry) -> None:
        aside = _aside(entry)
        for number, name in reversed(list(enumerate(entry.files))):
            with contextlib.suppress(FileNotFoundError):
                place = Path(entry.folder, name)
                if not entry.linked and not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    (aside / str(number)).replace(place)
        if not entry.linked:
            shutil.rmtree(aside, ignore_errors=True)
        self._drop(entry)

    def _add(self, entry: Entry) -> None:
        with self._database.transaction():
            self._save((*self._entries(), entry))

    def _drop(self, entry: Entry) -> None:
        with self._database.transaction():
            self._save(tuple(other for other in self._entries() if other.id != entry.id))

    def _entries(self) -> tuple[Entry, ...]:
        try:
            return msgspec.convert({"entries": self._settings.get(_KEY, [])}, _Kept).entries
        except msgspec.ValidationError:
            return ()

    def _save(self, entries: tuple[Entry, ...]) -> None:
        value: list[JSON] = [msgspec.to_builtins(asdict(entry)) for entry in entries]
        self._settings.set(_KEY, value or None)


def _remove_empty_parents(entry: Entry) -> None:
    """The folders below the models folder that the files were in, where nothing else is."""
    if entry.linked:
        return
    with contextlib.suppress(OSError):  # something is in it
        for folder in entry.path.parents:
            if folder == Path(entry.folder):
                return
            folder.rmdir()


def _aside(entry: Entry) -> Path:
    return Path(entry.folder, TRASH, entry.id)

"""Moves the models folder, and finishes or takes back a move that was cut off.

A note in the configuration folder says where the models are: writing it is the step from which the new
folder counts. Until then the old folder has everything; after it, what was copied is deleted there. On
one file system the folder is renamed instead. The journal in the settings says what is under way; `settle`
brings both in line at the next start.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import msgspec

from localai_app.errors import RequestFailed, UsageError
from localai_app.models.copying import copy_verified, require_space
from localai_app.models.progress import Progress, Tell, go_on
from localai_app.paths import MODELS_NOTE
from localai_app.store.database import Database
from localai_app.store.files import make_private_folder, sync_folder, write_private
from localai_app.store.settings import Settings

_KEY = "models.move"
_LAST = "models.portable"
_PART = ".moving"


@dataclass(frozen=True)
class Move:
    """A move of the models folder that has begun."""

    source: Path
    target: Path
    switched: bool = False
    """The new folder is in use; what is left of the old one is being deleted."""


@dataclass(frozen=True)
class _Journal:
    source: str
    target: str
    phase: Literal["renaming", "copying", "deleting"]


class FolderMover:
    """Moves one folder at a time."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        config: Path,
        free_space: Callable[[Path], int],
        records_follow: Callable[[Path, Path], None],
    ) -> None:
        """``config`` holds the note.

        ``records_follow`` makes all that the store says of files in one folder be about those in the
        other; it is called in a transaction.
        """
        self._database = database
        self._settings = settings
        self._note = config / MODELS_NOTE
        self._free_space = free_space
        self._records_follow = records_follow

    def unfinished(self) -> Move | None:
        """The move that was cut off, if one was."""
        journal = self._journal()
        if journal is None:
            return None
        return Move(Path(journal.source), Path(journal.target), journal.phase == "deleting")

    def move(
        self,
        source: Path,
        target: Path,
        *,
        tell: Tell,
        stop: threading.Event | None,
        release: Callable[[], None],
    ) -> None:
        """Move ``source`` to ``target``, or go on with that; see `ModelLibrary.move_folder`.

        ``release`` lets go of files that may be held open.
        """
        journal = self._journal()
        if journal is None:
            _require_movable(source, target)
            journal = _Journal(str(source), str(target), "copying")
        elif (journal.source, journal.target) != (str(source), str(target)):
            raise UsageError(
                f"The models folder is being moved to {journal.target}.", "Finish that move, or cancel it."
            )
        if not (source.is_symlink() or (target.exists() and any(target.iterdir()))):
            release()
            if self._rename(source, target):
                return
        self._save(journal)
        try:
            self._copy(source, target, tell, stop)
        except RequestFailed:  # it was stopped
            self.cancel()
            raise
        release()
        self._copy(source, target, tell, stop=None)  # what came meanwhile
        self._write_note(target)
        self._switch(source, target)
        self.delete_old(tell)

    def cancel(self) -> None:
        """Delete what was copied; raise `UsageError` once the new folder is in use."""
        journal = self._journal()
        if journal is None:
            return
        if journal.phase == "deleting":
            raise UsageError("The models have moved already.", "Move them back, if you want to.")
        source, target = Path(journal.source), Path(journal.target)
        for name in _names(source):
            for copy in (target / name, _part(target / name)):
                with contextlib.suppress(OSError):
                    copy.unlink()
        _remove_empty(target)
        self._save(None)

    def settle(self, folder: Path) -> Path:
        """Bring store and note in line after a start; the folder that is in use, ``folder`` before that."""
        journal = self._journal()
        if journal is None or journal.phase == "deleting":
            return folder
        source, target = Path(journal.source), Path(journal.target)
        if journal.phase == "renaming":
            if source.exists() or not target.is_dir():  # it did not come to that
                self._save(None)
                return folder
            self._write_note(target)
        elif folder != target:
            return folder
        self._switch(source, target, renamed=journal.phase == "renaming")
        return target

    def follow(self, folder: Path) -> None:
        """Let the records of a portable copy follow it: each computer may call its ``folder`` otherwise."""
        last = self._settings.get(_LAST)
        if last == str(folder):
            return
        with self._database.transaction():
            if isinstance(last, str):
                self._records_follow(Path(last), folder)
            self._settings.set(_LAST, str(folder))

    def delete_old(self, tell: Tell) -> None:
        """Delete the old folder's files that the new one has; what is held open waits for the next start."""
        journal = self._journal()
        if journal is None or journal.phase != "deleting":
            return
        source, target = Path(journal.source), Path(journal.target)
        if not target.is_dir():  # its drive is not there: nothing else proves that the copies are
            return
        names = _names(source)
        failed = False
        for number, name in enumerate(names):
            tell(Progress("deleting", number, len(names), name))
            if _same(source / name, target / name):
                try:
                    (source / name).unlink()
                except OSError:
                    failed = True
        _remove_empty(source)
        if not failed:
            self._save(None)

    def _rename(self, source: Path, target: Path) -> bool:
        """Rename where that is possible; whether it was."""
        parent = next(folder for folder in target.parents if folder.exists())
        if parent.stat().st_dev != source.stat().st_dev:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        self._save(_Journal(str(source), str(target), "renaming"))
        try:
            if target.exists():
                target.rmdir()
            source.rename(target)
        except OSError as error:
            self._save(None)
            if error.errno in (errno.EXDEV, errno.EBUSY):  # a mount that looks like the same disk
                return False
            raise UsageError(
                f"{source} cannot be moved: {error.strerror or error}.", "Choose another place."
            ) from error
        for parent in {source.parent, target.parent}:
            sync_folder(parent)
        self._write_note(target)
        self._switch(source, target, renamed=True)
        return True

    def _copy(self, source: Path, target: Path, tell: Tell, stop: threading.Event | None) -> None:
        names = _names(source)
        sizes = {name: (source / name).lstat().st_size for name in names}
        missing = {name for name in names if not _same(source / name, target / name)}
        make_private_folder(target)
        begun = sum(_size(_part(target / name)) for name in missing)
        require_space(target, sum(sizes[name] for name in missing) - begun, self._free_space)
        total = 2 * sum(sizes.values())
        done = 2 * sum(sizes[name] for name in set(names) - missing)
        for name in names:
            if name not in missing:
                continue
            go_on(stop)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if (source / name).is_symlink():
                (target / name).unlink(missing_ok=True)
                (target / name).symlink_to((source / name).parent.joinpath((source / name).readlink()))
                continue

            def on_bytes(count: int, compared: bool, name: str = name) -> None:
                nonlocal done
                go_on(stop)
                done += count
                tell(Progress("checking" if compared else "copying", done, total, name))

            copy_verified(source / name, _part(target / name), on_bytes)
            _part(target / name).replace(target / name)
            sync_folder((target / name).parent)

    def _switch(self, source: Path, target: Path, *, renamed: bool = False) -> None:
        with self._database.transaction():
            self._records_follow(source, target)
            self._save(None if renamed else _Journal(str(source), str(target), "deleting"))

    def _write_note(self, target: Path) -> None:
        make_private_folder(self._note.parent)
        write_private(self._note, f"{target}\n".encode())

    def _journal(self) -> _Journal | None:
        try:
            return msgspec.convert(self._settings.get(_KEY), _Journal | None)
        except msgspec.ValidationError:
            return None

    def _save(self, journal: _Journal | None) -> None:
        self._settings.set(_KEY, None if journal is None else asdict(journal))


def _require_movable(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise UsageError(f"There is no folder {source}.", "Connect its drive.")
    real, to = source.resolve(), target.resolve()
    if to == real or to.is_relative_to(real) or real.is_relative_to(to):
        raise UsageError(f"{target} and {source} lie in one another.", "Choose another folder.")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is not a folder.", "Choose another one.")
    if target.is_dir() and any(target.iterdir()):
        raise UsageError(f"{target} is not empty.", "Choose an empty folder, or a new one in it.")
    folder = next(folder for folder in (target, *target.parents) if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written.", "Choose another folder.")


def _names(folder: Path) -> list[str]:
    """Files below ``folder``, by their path in it."""
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*names, *links):
            yield str(Path(parent, name).relative_to(folder))


def _same(source: Path, target: Path) -> bool:
    """Whether the file was copied: only a whole copy that was compared has its name."""
    try:
        here, there = source.lstat(), target.lstat()
    except OSError:
        return False
    return source.is_symlink() == target.is_symlink() and (
        source.is_symlink() or here.st_size == there.st_size
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}{_PART}")


def _remove_empty(folder: Path) -> None:
    """Remove ``folder`` and the folders in it that are empty."""
    for parent, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(parent).rmdir()

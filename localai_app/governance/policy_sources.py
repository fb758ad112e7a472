"""Where policy is read on each system; nothing that a user can set, such as a variable, moves it.

Linux: ``/etc/localai-app/policies/managed/*.json`` (mandatory) and ``recommended/*.json``, in the order of
their names, where a later file goes before an earlier one. macOS and Windows: `policy_platforms`. A file
that anybody but the administrator could have written is not believed, nor is one that is no plain file.
"""

import json
import os
import stat
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from localai_app.governance.policy_merge import Layer, Level
from localai_app.paths import organisation_folder

ADMINISTRATOR = 0
"""User id that must own everything that policy is read from (POSIX)."""
MAX_BYTES = 4 * 1024 * 1024
_MAX_FILES = 200
_SETTLES_SECONDS = 2.0
"""A file that changed so lately may still be being written."""
_TRIES, _PAUSE_SECONDS = 5, 0.1
_OTHERS = stat.S_IWGRP | stat.S_IWOTH

Fingerprint = object
"""Differs where what would be read differs; cheap to take."""


class PolicySource(Protocol):
    """Where layers come from."""

    def fingerprint(self) -> Fingerprint:
        """Compare with an earlier one: reading again is only worth it where they differ."""

    def layers(self) -> list[Layer]:
        """What is there now, what goes before others first; never raises."""


def system_source() -> PolicySource:
    """The place for policy on this computer."""
    if sys.platform == "win32":
        from localai_app.governance.policy_platforms import Registry, RegistrySource  # noqa: PLC0415

        return RegistrySource(Registry())
    if sys.platform == "darwin":
        from localai_app.governance.policy_platforms import ManagedPreferences  # noqa: PLC0415

        return ManagedPreferences()
    return PolicyFolder(organisation_folder() / "policies")


class Unusable(Exception):
    """The file cannot be believed; the text says why."""


@dataclass(frozen=True)
class PolicyFolder:
    """The folders ``managed`` and ``recommended`` of ``base``."""

    base: Path
    administrator: int = ADMINISTRATOR

    def fingerprint(self) -> Fingerprint:
        """Names, places, sizes, times, owners and modes of all folders and files."""
        folders = (self.base.parent, self.base, self.base / "managed", self.base / "recommended")
        found: list[object] = [facts_of(folder) for folder in folders]
        for folder in folders[2:]:
            try:
                found += [(path.name, facts_of(path)) for path in _files(folder)]
            except (OSError, Unusable):
                found.append(None)
        return found

    def layers(self) -> list[Layer]:
        """The files of both folders."""
        managed = self._layers("managed", Level.MANDATORY)
        return [*managed, *self._layers("recommended", Level.RECOMMENDED)]

    def _layers(self, name: str, level: Level) -> list[Layer]:
        folder = self.base / name
        try:
            if not self._is_there(folder):
                return []
            files = _files(folder)
        except (OSError, Unusable) as error:
            return [Layer(level, str(folder), unreadable=_words(error))]
        layers = [(path, read_layer(path, level, self.administrator)) for path in reversed(files)]
        # One that was removed after it was listed says nothing any more.
        return [layer for path, layer in layers if not layer.unreadable or os.path.lexists(path)]

    def _is_there(self, folder: Path) -> bool:
        """Whether there is such a folder; raise `Unusable` where others could put files into it."""
        for path in (self.base.parent, self.base, folder):
            try:
                found = path.stat()
            except FileNotFoundError:
                if path.is_symlink():
                    raise Unusable(f"{path} is a link that leads nowhere") from None
                return False
            if not stat.S_ISDIR(found.st_mode):
                raise Unusable(f"{path} is no folder")
            require_administrator(found, str(path), self.administrator)
        return True


def _files(folder: Path) -> list[Path]:
    """Policy files in the order of their names; raise `OSError` or `Unusable`."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if is_policy_file(entry.name)]
    if len(names) > _MAX_FILES:
        raise Unusable(f"more than {_MAX_FILES} files are in it")
    return [folder / name for name in sorted(names)]


def is_policy_file(name: str) -> bool:
    """Whether a file of that name is read: editors' copies and hidden files are not."""
    return name.endswith(".json") and not name.startswith(".")


def read_layer(path: Path, level: Level, administrator: int | None) -> Layer:
    """The JSON file as a layer; None as ``administrator``: whoever wrote it is believed."""
    for attempt in range(_TRIES):
        try:
            values, twice = parse(read_bytes(path, administrator))
        except (OSError, Unusable) as error:
            problem = _words(error)
        else:
            return Layer(level, str(path), values, twice)
        if attempt == _TRIES - 1 or not _just_changed(path):
            break
        time.sleep(_PAUSE_SECONDS)
    return Layer(level, str(path), unreadable=problem)


def parse(data: bytes) -> tuple[dict[str, object], frozenset[str]]:
    """Keys and values of a JSON object, and the keys that it names twice; raise `Unusable`."""
    twice: set[str] = set()

    def pairs(found: list[tuple[str, object]]) -> dict[str, object]:
        times = Counter(name for name, _ in found)
        twice.clear()  # the outermost object comes last
        twice.update(name for name, number in times.items() if number > 1)
        return dict(found)

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unusable("it is not UTF-8 text") from None
    try:
        values = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise Unusable(f"it is no JSON: line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Unusable("it is nested too deeply") from None
    except ValueError:
        raise Unusable("a number in it is too long") from None
    if not isinstance(values, dict):
        raise Unusable("it is no JSON object")
    return values, frozenset(twice)


def read_bytes(path: Path, administrator: int | None) -> bytes:
    """The whole file as it was at one moment; raise `OSError` or `Unusable`."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
    if administrator is not None:
        if path.is_symlink():
            raise Unusable("it is a link")
        flags |= os.O_NOFOLLOW
    # A pipe must not make the app wait.
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise Unusable("it is no plain file")
        if administrator is not None:
            require_administrator(before, "it", administrator)
        if before.st_size > MAX_BYTES:
            raise Unusable(f"it has more than {MAX_BYTES // (1024 * 1024)} MiB")
        data = b""
        while len(data) <= before.st_size and (more := os.read(descriptor, MAX_BYTES)):
            data += more
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if _identity(before) != _identity(after) or len(data) != after.st_size:
        raise Unusable("it changed while it was read")
    return data


def require_administrator(found: os.stat_result, name: str, administrator: int) -> None:
    """Raise `Unusable` where anybody else may have written it."""
    if found.st_uid != administrator:
        raise Unusable(f"{name} does not belong to the administrator")
    if found.st_mode & _OTHERS:
        raise Unusable(f"{name} can be written by others than the administrator")


def facts_of(path: Path) -> Fingerprint:
    """What tells one state of a file from another; None where there is none."""
    try:
        return _identity(path.stat(follow_symlinks=False))
    except OSError:
        return None


def _identity(found: os.stat_result) -> tuple[int, ...]:
    who = (found.st_dev, found.st_ino, found.st_uid, found.st_mode)
    return (*who, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _just_changed(path: Path) -> bool:
    try:
        return 0 <= time.time() - path.stat(follow_symlinks=False).st_ctime < _SETTLES_SECONDS
    except OSError:
        return False


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"it cannot be read ({error.strerror or type(error).__name__})"
    return str(error)

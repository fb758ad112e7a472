"""Which files a person means who names files and folders; each that is not taken is named, with why.

Left out without a word is what nobody put there as a document: hidden files, what the system and other
programs leave behind. Links are not followed out of a folder, nor round in circles.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localai_app.documents.formats import OLD_OR_OTHER, SUPPORTED

_SYSTEM = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "$recycle.bin", "__macosx"})
_TEMPORARY = (".tmp", ".temp", ".part", ".crdownload", ".download", ".swp", ".lock", ".bak~")
_HIDDEN_ATTRIBUTES = 0x2 | 0x4
"""Windows: hidden, system."""


@dataclass(frozen=True)
class FoundFile:
    """A plain file that may be read."""

    path: Path
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class NotTaken:
    """A file or folder that is not, and one line on why and what to do."""

    name: str
    line: str


def files_in(paths: Sequence[Path]) -> Iterator[FoundFile | NotTaken]:
    """Every file that ``paths`` name, and all in the folders among them, each once and in order."""
    seen: set[Path] = set()
    for named in paths:
        try:
            path = named.expanduser().resolve()
            status = path.stat()
        except (OSError, ValueError, RuntimeError) as error:
            yield NotTaken(named.name or str(named), _line_of(error))
            continue
        found = _walk(path) if stat.S_ISDIR(status.st_mode) else iter([_file(path, status)])
        for one in found:
            if isinstance(one, FoundFile):
                if one.path in seen:
                    continue
                seen.add(one.path)
            yield one


def _walk(folder: Path) -> Iterator[FoundFile | NotTaken]:
    """All files of ``folder`` and of the folders in it, by name."""
    real = folder.resolve()
    waiting = [folder]
    while waiting:
        inside: list[Path] = []
        current = waiting.pop()
        try:
            with os.scandir(current) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield NotTaken(current.name, _line_of(error))
            continue
        for entry in listed:
            if _is_noise(entry):
                continue
            path = current / entry.name
            try:
                if entry.is_symlink():
                    yield from _linked(path, real)
                elif entry.is_dir(follow_symlinks=False):
                    inside.append(path)
                elif path.suffix.lower() in SUPPORTED or path.suffix.lower() in OLD_OR_OTHER:
                    yield _file(path, entry.stat(follow_symlinks=False))
                else:
                    kind = f"{path.suffix} files are" if path.suffix else "files without an ending are"
                    yield NotTaken(entry.name, f"In folders, {kind} passed over. Name the file to try it.")
            except (OSError, RuntimeError) as error:
                yield NotTaken(entry.name, _line_of(error))
        waiting += reversed(inside)


def _linked(path: Path, folder: Path) -> Iterator[NotTaken]:
    """A link inside a folder: what it points to in there comes by itself, what lies elsewhere is named."""
    if not path.resolve().is_relative_to(folder):
        yield NotTaken(path.name, "It is a link to another place. Add what it points to instead.")


def _file(path: Path, status: os.stat_result) -> FoundFile | NotTaken:
    if not stat.S_ISREG(status.st_mode):
        return NotTaken(path.name, "It is no file with content, such as a device.")
    if not status.st_size:
        return NotTaken(path.name, "It is empty.")
    return FoundFile(path, status.st_size, status.st_mtime_ns)


def _is_noise(entry: "os.DirEntry[str]") -> bool:
    name = entry.name.lower()
    if name.startswith((".", "~$")) or name.endswith(("~", *_TEMPORARY)) or name in _SYSTEM:
        return True
    attributes = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    return bool(attributes & _HIDDEN_ATTRIBUTES)


def _line_of(error: Exception) -> str:
    if isinstance(error, RuntimeError):  # pathlib's, of `resolve`, or for a home that nobody has
        return "It is a link to itself, or leads to a home that is not there. Name the file itself."
    if not isinstance(error, OSError):
        return "This cannot be the name of a file. Check it."
    if isinstance(error, FileNotFoundError):
        return "It is not there. Check its name, or connect its drive."
    if isinstance(error, PermissionError):
        return "You may not open it. Ask its owner for the permission to read it."
    return f"It cannot be opened: {error.strerror or type(error).__name__}. Check the disk or the connection."

"""Files that only their owner may read, written whole or not at all."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from localai_app.errors import DiskFull, StoreError, StoreReadOnly

_NOT_WRITABLE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOENT,
}
_LITTLE_SPACE = 64 * 1024
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}


@contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about ``path`` into a `StoreError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise disk_full(path) from error
        if error.errno in _NOT_WRITABLE:
            raise read_only(path) from error
        raise StoreError(
            f"“{path}” cannot be used: {error.strerror or error}.",
            "Check the disk, or name another folder with --data-dir.",
        ) from error


def is_full(path: Path) -> bool:
    """Whether the disk that holds ``path`` has no space left to speak of."""
    try:
        return shutil.disk_usage(path.parent).free < _LITTLE_SPACE
    except OSError:
        return False


def disk_full(path: Path) -> DiskFull:
    """The error for a disk without space."""
    return DiskFull(
        f"No space is left on the disk that holds “{path}”.",
        "Free some space and try again; nothing that was saved is lost.",
    )


def read_only(path: Path) -> StoreReadOnly:
    """The error for a place that cannot be written."""
    return StoreReadOnly(
        f"“{path}” cannot be written.",
        "Give yourself write permission to its folder, or name another folder with --data-dir.",
    )


def make_private_folder(folder: Path) -> None:
    """Create ``folder`` for its owner alone; one that is there keeps its permissions."""
    with os_errors(folder):
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``, mode 0600: after a power cut it is the old file or the new one."""
    with os_errors(path), _temporary(path, content) as temporary:
        temporary.replace(path)
        sync_folder(path.parent)


def create_private(path: Path, content: bytes) -> bool:
    """Write ``path`` unless it exists; False when another process was quicker. Never half a file."""
    with os_errors(path), _temporary(path, content) as temporary:
        try:
            if os.name == "nt":
                temporary.rename(path)  # Windows does not rename onto an existing file
            else:
                path.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError:
            # A file system without hard links: the gap between test and move stays.
            if path.exists():
                return False
            temporary.replace(path)
        sync_folder(path.parent)
        return True


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file, mode 0600, that takes the place of ``path`` when the block ends well; else nothing stays.

    Raise `OSError`: what to do about it depends on what the file is.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with os.fdopen(descriptor, "r+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable; where folders cannot be opened the system sees to it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """A synced file beside ``path`` that is gone at the end unless it was renamed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()

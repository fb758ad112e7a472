"""Copies a large file so that the copy is known to be the same, and goes on with one that was begun."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from localai_app.errors import ModelLoadFailed, ModelNotFound, PullFailed

RESERVE = 1024**3
"""Bytes of a disk that are never filled."""
_BLOCK = 1024 * 1024
_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}


class _Digest(Protocol):
    def update(self, data: memoryview, /) -> None: ...


def copy_verified(source: Path, target: Path, on_bytes: Callable[[int, bool], None]) -> str:
    """Copy ``source`` to ``target``, sync it, read the copy again and compare; the SHA-256 of both.

    What ``target`` holds already is taken for the beginning of the copy. ``on_bytes`` is told bytes that
    were copied (False) or compared (True); what it raises ends the copy, which can be gone on with.
    Raise `ModelNotFound` (the source cannot be read), `PullFailed` (no space, not writable), or
    `ModelLoadFailed` when the copy differs; it is deleted then.
    """
    read, written = hashlib.sha256(), hashlib.sha256()
    try:
        with source.open("rb", buffering=0) as original, target.open("ab", buffering=0) as copy:
            size = os.fstat(original.fileno()).st_size
            have = copy.seek(0, os.SEEK_END)
            if have > size:
                copy.truncate(0)
                have = 0
            _read(original, read, have, lambda count: on_bytes(count, False), copy)
            os.fsync(copy.fileno())
            if hasattr(os, "posix_fadvise"):  # so that the disk is read, not what memory still has of it
                os.posix_fadvise(copy.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with target.open("rb", buffering=0) as copy:
            _read(copy, written, 0, lambda count: on_bytes(count, True))
    except OSError as error:
        raise _failed(source, target, error) from error
    if read.digest() != written.digest():
        target.unlink()
        raise ModelLoadFailed(
            f"The copy of {source.name} is not what was copied; it was deleted.",
            "One of the two disks may be failing: check them, then try again.",
        )
    shutil.copystat(source, target)
    return read.hexdigest()


def require_space(folder: Path, size: int, free_space: Callable[[Path], int]) -> None:
    """``size`` bytes must fit on the disk of ``folder`` with some to spare; raise `PullFailed`."""
    missing = size + RESERVE - free_space(folder)
    if missing > 0:
        raise PullFailed(
            f"The disk that holds {folder} has too little space; {missing / 1e9:,.1f} GB are missing.",
            "Free some space, then try again.",
            code="space",
        )


def _read(
    file: BinaryIO, digest: _Digest, have: int, on_bytes: Callable[[int], None], copy: BinaryIO | None = None
) -> None:
    """Hash all of ``file``; what comes after ``have`` bytes goes to ``copy`` too."""
    buffer = memoryview(bytearray(_BLOCK))
    done = 0
    while count := file.readinto(buffer):  # type: ignore[attr-defined]
        digest.update(buffer[:count])
        if copy is not None and done + count > have:
            new = buffer[max(0, have - done) : count]
            while new:
                new = new[copy.write(new) :]
        done += count
        on_bytes(count)


def _failed(source: Path, target: Path, error: OSError) -> ModelNotFound | PullFailed:
    if error.errno in _NO_SPACE:
        return PullFailed(
            f"No space is left on the disk that holds {target.parent}.",
            "Free some space, then try again.",
            code="space",
        )
    if error.filename is not None and Path(error.filename) == source:
        return ModelNotFound(f"{source} cannot be read: {error.strerror}.", "Check its drive.")
    return PullFailed(
        f"{source.name} cannot be copied to {target.parent}: {error.strerror or error}.",
        "Check both disks, then try again.",
        code="not_writable",
    )

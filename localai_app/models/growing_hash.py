"""Hashes a file while another process writes it."""

import hashlib
from pathlib import Path

_BLOCK = 4 * 1024**2


class GrowingHash:
    """SHA-256 of a file that another process appends to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._buffer = bytearray(_BLOCK)
        self.known = size_of(path)
        """Bytes that are in the file, as far as was heard."""

    @property
    def behind(self) -> bool:
        """Whether there is something to hash."""
        return self._hashed < self.known

    def whole(self, size: int) -> bool:
        """Whether all of the file is here."""
        return self.known == size

    def look(self, known: int | None = None) -> None:
        """Hear of (or look for) what is there. A file that became shorter was begun anew."""
        self.known = size_of(self._path) if known is None else known
        if self.known < self._hashed:
            self._digest = hashlib.sha256()
            self._hashed = 0

    def step(self) -> None:
        """Hash the next block, if there is one."""
        if not self.behind:
            return
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._hashed)
            view = memoryview(self._buffer)[: self.known - self._hashed]
            count = file.readinto(view)
        self._digest.update(view[:count])
        self._hashed += count
        if not count:  # it is shorter than was said
            self.look()

    def hexdigest(self) -> str:
        """Of what was hashed so far."""
        return self._digest.hexdigest()


def size_of(path: Path) -> int:
    """Bytes of the file; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0

"""Opens a zip archive that nobody vouches for: its entries are counted, measured and read into memory.

Nothing is ever unpacked to a path, so names cannot lead anywhere. What an entry states of itself is
checked before it is expanded, and no entry gives more bytes than it stated.
"""

import codecs
import io
import zipfile
import zlib
from typing import IO

from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import SAVE_ANEW, SPLIT, Limits

codecs.lookup("cp437")  # of the names in most archives; once confined, it could not be loaded any more

_SMALL = 1024 * 1024
"""Entries up to this size may be packed as tightly as they like."""
_ENCRYPTED = 0x1
_DAMAGE = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, NotImplementedError, EOFError, OSError),
    *(ValueError, RuntimeError, KeyError, IndexError),
)
"""What `zipfile` and the decoders below it raise for damaged or unknown archives."""


class Archive:
    """The entries of a zip archive, by names with forward slashes in any case."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        """Raise `ReadRefused` for what is no zip archive, is damaged, or has too much in it."""
        self._limits = limits
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGE as error:
            raise damaged() from error
        entries = self._zip.infolist()
        if len(entries) > limits.entries:
            raise ReadRefused(
                "limit",
                f"The file has {len(entries):,} files inside; {limits.entries:,} are allowed.",
                "Add the files that you need one by one.",
            )
        if sum(entry.file_size for entry in entries) > limits.expanded:
            raise too_large()
        self._entries = {_key(entry.filename): entry for entry in entries}

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._entries

    @property
    def names(self) -> list[str]:
        """As the archive has them, in its order."""
        return [entry.filename for entry in self._entries.values()]

    def size(self, name: str) -> int:
        """Bytes of the entry when it is expanded."""
        return self._entries[_key(name)].file_size

    def read(self, name: str) -> bytes:
        """The whole entry; raise `KeyError` where there is none, `ReadRefused` for a damaged or huge one."""
        with self.open(name) as stream:
            return stream.read()

    def open(self, name: str) -> "Entry":
        """A stream of the entry; errors as of `read`."""
        entry = self._entries[_key(name)]
        if entry.file_size > _SMALL and entry.file_size > self._limits.ratio * max(1, entry.compress_size):
            raise ReadRefused(
                "limit",
                "The file is packed so tightly that it looks like an attack (zip bomb).",
                "If you trust it, save it anew in the program that made it, and add that.",
            )
        if entry.flag_bits & _ENCRYPTED:
            raise ReadRefused("format", "The files inside this file are encrypted.", SAVE_ANEW)
        try:
            return Entry(self._zip.open(entry))
        except _DAMAGE as error:
            raise damaged() from error


class Entry(io.RawIOBase):
    """A stream of an archive's entry, whose every failure is a `ReadRefused`."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """As of any stream; no more than the entry stated comes out."""
        try:
            return self._stream.read(size)
        except _DAMAGE as error:
            raise damaged() from error

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Let the entry go."""
        self._stream.close()
        super().close()


def damaged() -> ReadRefused:
    """The file is cut off or broken."""
    return ReadRefused("broken", "The file is damaged or incomplete.", SAVE_ANEW)


def too_large() -> ReadRefused:
    """What is inside is more than may be read."""
    return ReadRefused("limit", "What is inside the file is too large to be read here.", SPLIT)


def _key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").lower()

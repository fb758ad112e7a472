"""Evaluated conversations on disk, encrypted: what was read once need not be read again after a restart.

AES-256-GCM in blocks; the key serves one file and is given by the app, which keeps it in its store:
without that row the file is noise. Every block is bound to its place, to being the last or not, and to
the *identity*: model, engine build, cache type. A file that fails any of this counts as not there.
"""

import contextlib
import struct
from array import array
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from localai_app.engine.worker.prefix_cache import Parked

_MAGIC = b"LAKV\x00\x01\r\n"
_BLOCK = 16 * 1024 * 1024
_TAG = 16
_HEADER = struct.Struct("<8sQQ")
_PLACE = struct.Struct("<Q?")


def write(path: Path, key: bytes, identity: bytes, parked: Parked) -> int:
    """Write ``parked`` to ``path``, whole or not at all; its size in bytes. Raise `OSError`."""
    cipher = AESGCM(key)
    tokens = array("i", parked.tokens).tobytes()
    content = memoryview(tokens + parked.cells)
    header = _HEADER.pack(_MAGIC, len(parked.tokens), len(content))
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            file.write(header)
            for index, start in enumerate(range(0, len(content), _BLOCK)):
                block = content[start : start + _BLOCK]
                last = start + _BLOCK >= len(content)
                file.write(cipher.encrypt(_nonce(index), block, identity + header + _PLACE.pack(index, last)))
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    return path.stat().st_size


def read(path: Path, key: bytes, identity: bytes) -> Parked | None:
    """What `write` wrote with the same key and identity; None for anything else."""
    cipher = AESGCM(key)
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
            magic, count, size = _HEADER.unpack(header)
            blocks = -(-size // _BLOCK)
            if magic != _MAGIC or path.stat().st_size != _HEADER.size + size + blocks * _TAG:
                return None
            content = bytearray()
            for index in range(blocks):
                block = file.read(_BLOCK + _TAG)
                place = _PLACE.pack(index, index == blocks - 1)
                content += cipher.decrypt(_nonce(index), block, identity + header + place)
    except (OSError, struct.error, InvalidTag):
        return None
    tokens = array("i")
    tokens.frombytes(content[: count * tokens.itemsize])
    return Parked(tokens.tolist(), bytes(memoryview(content)[count * tokens.itemsize :]))


def _nonce(index: int) -> bytes:
    # A key encrypts one file, a block has its own number: no nonce comes twice.
    return struct.pack("<IQ", 0, index)

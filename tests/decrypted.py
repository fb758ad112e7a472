"""Reads a SQLCipher file the way someone would who holds its key and looks for what was erased."""

from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PAGE = 4096


def decrypted(path: Path, key: bytes) -> bytes:
    """Every page of the database and of every frame of its log, freed ones too."""
    content = path.read_bytes()
    pages = [content[start : start + PAGE] for start in range(0, len(content), PAGE)]
    log = path.with_name(path.name + "-wal")
    if log.exists():
        frames = log.read_bytes()[32:]
        pages += [frames[start + 24 : start + 24 + PAGE] for start in range(0, len(frames), PAGE + 24)]
    plain = b""
    for page in pages:
        body, vector = page[16 : PAGE - 80], page[PAGE - 80 : PAGE - 64]
        # Page 1 begins with 16 bytes of salt. Of the others this leaves out the first block: CBC
        # can be read from any block on, with the block before it as the vector.
        is_first = page[:16] == content[:16]
        decryptor = Cipher(algorithms.AES(key), modes.CBC(vector if is_first else page[:16])).decryptor()
        plain += decryptor.update(body) + decryptor.finalize()
    return plain

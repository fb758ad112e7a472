"""One file that can be checked on another machine, without the store: a record and a signed statement of it.

The file is canonical JSON (RFC 8785) and a newline::

    {"format": such as "localai-app task evidence 1",
     "record": {…},
     "sha256": of the canonical JSON of "record",
     "signed": {`audit_statement.Statement`: the digest, the entry of the audit log that tells of it, the
                public key, and the Ed25519 signature over these}}

Each byte of it counts: what is not exactly this text was changed. The signature tells which store's audit
log the record belongs to, and that it is as that store wrote it. As with the log, who can open the store
could sign another; what resists that is a head of the log, or the key, that was kept elsewhere.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from localai_app.errors import LocalAIError
from localai_app.governance.audit_statement import Statement

LARGEST = 1 << 30
"""Bytes of a file that is looked at."""
_SAFE = 2**53 - 1


class Outcome(StrEnum):
    """What a check came to."""

    HOLDS = "holds"
    FAILS = "fails"
    UNCHECKED = "unchecked"
    """What it needs is not here."""


@dataclass(frozen=True)
class Check:
    """One thing that a file says, and whether it is so."""

    name: str
    """Short and stable: ``form``, ``digest``, ``signature``, ``key``, and those of the record."""
    outcome: Outcome
    words: str
    """One line for a person."""
    document: str = ""
    """The file that it is about; empty for the record as a whole."""


class SignedFile(msgspec.Struct, forbid_unknown_fields=True):
    """What stands in such a file."""

    format: str
    record: dict[str, Any]
    sha256: str
    signed: Statement

    @property
    def head(self) -> str:
        """``NUMBER:HASH`` of the log's entry that tells of the record: for ``audit verify --against``."""
        return f"{self.signed.seq}:{self.signed.hash}"


def signed(record: dict[str, Any], file_format: str, sign: Callable[[str], Statement]) -> SignedFile:
    """``record`` with the statement that ``sign`` makes of its SHA-256."""
    digest = hashlib.sha256(_canonical(record)).hexdigest()
    return SignedFile(file_format, record, digest, sign(digest))


def content(file: SignedFile) -> bytes:
    """The bytes of ``file``."""
    return _canonical(msgspec.to_builtins(file)) + b"\n"


def read(path: Path, kind: str) -> bytes:
    """The bytes of a file that should be a ``kind`` (“an evidence record”); raise `LocalAIError`."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise LocalAIError(f"“{path.name}” cannot be read: {error.strerror}.", f"Name {kind}.") from error
    if len(data) > LARGEST:
        raise LocalAIError(f"“{path.name}” is too large for {kind}.", f"Name {kind}.")
    return data


def parsed(data: bytes) -> SignedFile | None:
    """What stands in ``data``; None where that is no such file."""
    try:
        return msgspec.convert(json.loads(data.decode("utf-8"), parse_int=_number), SignedFile, strict=True)
    except (ValueError, RecursionError, msgspec.ValidationError):
        return None


def checks(file: SignedFile, data: bytes, file_format: str, key: str | None) -> list[Check]:
    """What of ``file``, which was read from ``data``, is as it was signed.

    ``key`` is the public key that must have signed it, as it was noted from the store.
    """
    return [_form(file, data, file_format), _digest(file), _signature(file, file_format), _key(file, key)]


def _canonical(value: Any) -> bytes:
    import rfc8785  # noqa: PLC0415 - not at every start

    return rfc8785.dumps(value)


def _number(digits: str) -> int | float:
    """JSON's numbers are doubles: beyond 2^53 what is written as an integer stands for one of these."""
    return int(digits) if len(digits) < 16 or abs(int(digits[:20])) <= _SAFE else float(digits)


def _form(file: SignedFile, data: bytes, file_format: str) -> Check:
    try:
        same = content(file) == data and file.format == file_format
    except (ValueError, RecursionError):
        same = False
    if same:
        return Check("form", Outcome.HOLDS, "The file is byte for byte of the form it is written in.")
    return Check("form", Outcome.FAILS, "The file is not byte for byte of the form it is written in.")


def _digest(file: SignedFile) -> Check:
    try:
        digest = hashlib.sha256(_canonical(file.record)).hexdigest()
    except (ValueError, RecursionError):
        digest = ""
    if digest == file.sha256 == file.signed.digest:
        return Check("digest", Outcome.HOLDS, f"The content has the SHA-256 that was signed: {digest}")
    return Check(
        "digest", Outcome.FAILS, "The content was changed: it does not have the SHA-256 that was signed."
    )


def _signature(file: SignedFile, file_format: str) -> Check:
    if file.signed.is_genuine() and file.signed.purpose == file_format:
        return Check("signature", Outcome.HOLDS, f"The signature is genuine, of the key {file.signed.key}")
    return Check("signature", Outcome.FAILS, "The signature is not that of what stands here.")


def _key(file: SignedFile, key: str | None) -> Check:
    if key is None:
        words = "Nobody said whose key it must be: compare it with the one that was noted from the store."
        return Check("key", Outcome.UNCHECKED, words)
    if "".join(key.split()).replace(":", "").casefold() == file.signed.key:
        return Check("key", Outcome.HOLDS, "It is the key that it must be.")
    return Check("key", Outcome.FAILS, f"It was signed with another key: {file.signed.key}")

"""The evidence record of a run: one signed file that can be checked on another machine, without the store.

The file is canonical JSON (RFC 8785) and a newline::

    {"format": "localai-app task evidence 1",
     "record": {`evidence_record.Record`},
     "sha256": of the canonical JSON of "record",
     "signed": {`audit_statement.Statement`: the digest, the entry of the audit log that tells of it, the
                public key, and the Ed25519 signature over these}}

Each byte of it counts: what is not exactly this text was changed. The signature tells which store's audit
log the record belongs to, and that it is as that store wrote it. As with the log, who can open the store
could sign another; what resists that is a head of the log, or the key, that was kept elsewhere.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from localai_app.documents.document import Document
from localai_app.errors import LocalAIError
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.audit_statement import Statement
from localai_app.tasks.records import evidence_checks, evidence_pages, evidence_record
from localai_app.tasks.records.evidence_checks import Claim
from localai_app.tasks.records.evidence_record import Record
from localai_app.tasks.reports.export import save
from localai_app.tasks.run import Item, Run

FORMAT = "localai-app task evidence 1"
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
    """One thing that the record says, and whether it is so."""

    name: str
    """Short and stable: ``form``, ``digest``, ``signature``, ``key``, ``structure``, ``coverage``,
    ``findings``, ``quotations``, ``decisions``, ``file``, ``pages``."""
    outcome: Outcome
    words: str
    """One line for a person."""
    document: str = ""
    """The file that it is about; empty for the record as a whole."""


@dataclass(frozen=True)
class EvidenceReport:
    """What of a record holds, what does not, and what could not be checked."""

    checks: tuple[Check, ...]
    title: str = ""
    """“Extract · Invoice”, as the record says."""
    written: str = ""
    documents: int = 0
    quotations: int = 0
    """That the record calls verified."""
    confirmed: int = 0
    """Of these, found again in the original files, at the very place."""
    key: str = ""
    """The public key that signed it, which stands for the store's audit log."""
    head: str = ""
    """``NUMBER:HASH`` of the log's entry that tells of the record: for ``audit verify --against``."""

    @property
    def sound(self) -> bool:
        """Whether nothing that was checked is otherwise."""
        return all(check.outcome is not Outcome.FAILS for check in self.checks)

    @property
    def complete(self) -> bool:
        """Whether everything could be checked."""
        return all(check.outcome is not Outcome.UNCHECKED for check in self.checks)

    def of(self, outcome: Outcome) -> list[Check]:
        """Those that came to that."""
        return [check for check in self.checks if check.outcome is outcome]


@dataclass(frozen=True)
class Written:
    """An evidence record that was written."""

    path: Path
    digest: str
    """SHA-256 of its content."""
    statement: Statement


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    record: dict[str, Any]
    sha256: str
    signed: Statement


def write(
    run: Run,
    items: Sequence[Item],
    path: Path,
    *,
    audit: Audit,
    documents: Mapping[int, Document] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Written:
    """Sign the record of ``run``, tell the audit log, and write it to ``path``, replacing what is there.

    ``documents`` are those of the library, by their ids. Raise `LocalAIError` where it cannot be written; the
    log then tells of a record that nobody has.
    """
    record = evidence_record.plain(evidence_record.record_of(run, items, documents or {}, now()))
    digest = hashlib.sha256(_canonical(record)).hexdigest()
    body = {"documents": len(items), "unfinished": bool(record["run"]["unfinished"])}
    statement = audit.sign_statement(
        AuditEvent.TASK_EVIDENCE_EXPORTED, FORMAT, digest, object_id=str(run.id), body={**body}
    )
    content = {
        "format": FORMAT,
        "record": record,
        "sha256": digest,
        "signed": msgspec.to_builtins(statement),
    }
    save(path, _canonical(content) + b"\n")
    return Written(path, digest, statement)


def verify(
    path: Path,
    *,
    key: str | None = None,
    documents: Path | None = None,
    on_document: Callable[[int, int], None] = lambda done, total: None,
    stop: threading.Event | None = None,
) -> EvidenceReport:
    """What of the record in ``path`` holds; needs no store, and writes nothing.

    ``key`` is the public key that must have signed it, as it was noted from the store. ``documents`` is a
    folder with the original files: they are found by their hash and read again, and every quotation that the
    record calls verified is compared with its page. ``on_document`` is told how many of how many were. Raise
    `LocalAIError` where there is no such file or folder.
    """
    data = _content(path)
    try:
        file = msgspec.convert(_decoded(data), _File, strict=True)
    except (ValueError, RecursionError, msgspec.ValidationError):
        return EvidenceReport((Check("form", Outcome.FAILS, "It is no evidence record, or no longer one."),))
    checks = [_form(file, data), _digest(file), _signature(file), _key(file, key)]
    signer, head = file.signed.key, f"{file.signed.seq}:{file.signed.hash}"
    try:
        record = msgspec.convert(file.record, Record, strict=True)
    except msgspec.ValidationError as error:
        checks.append(Check("structure", Outcome.FAILS, f"The record is not of this format: {error}."))
        return EvidenceReport(tuple(checks), key=signer, head=head)
    checks += [_check(claim) for claim in evidence_checks.claims(record)]
    confirmed = 0
    if documents is None:
        words = "The original files were not at hand: quotations were not compared with them."
        checks.append(Check("pages", Outcome.UNCHECKED, words))
    else:
        for claim in evidence_pages.claims(record, documents, on_document=on_document, stop=stop):
            checks.append(_check(claim))
            confirmed += claim.confirmed
    return EvidenceReport(
        tuple(checks),
        title=record.run.title,
        written=record.written,
        documents=len(record.documents),
        quotations=sum(len(evidence_checks.verified(one)) for one in record.documents),
        confirmed=confirmed,
        key=signer,
        head=head,
    )


# ---------------------------------------------------------------- the file


def _canonical(value: Any) -> bytes:
    import rfc8785  # noqa: PLC0415 - only evidence needs it

    return rfc8785.dumps(value)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise LocalAIError(
            f"“{path.name}” cannot be read: {error.strerror}.", "Name the record's file."
        ) from error
    if len(data) > LARGEST:
        raise LocalAIError(f"“{path.name}” is too large for an evidence record.", "Name the record's file.")
    return data


def _decoded(data: bytes) -> Any:
    return json.loads(data.decode("utf-8"), parse_int=_number)


def _number(digits: str) -> int | float:
    """JSON's numbers are doubles: beyond 2^53 what is written as an integer stands for one of these."""
    return int(digits) if len(digits) < 16 or abs(int(digits[:20])) <= _SAFE else float(digits)


def _form(file: _File, data: bytes) -> Check:
    try:
        same = _canonical(msgspec.to_builtins(file)) + b"\n" == data and file.format == FORMAT
    except (ValueError, RecursionError):
        same = False
    if same:
        return Check("form", Outcome.HOLDS, "The file is byte for byte of the form it is written in.")
    return Check("form", Outcome.FAILS, "The file is not byte for byte of the form it is written in.")


def _digest(file: _File) -> Check:
    try:
        digest = hashlib.sha256(_canonical(file.record)).hexdigest()
    except (ValueError, RecursionError):
        digest = ""
    if digest == file.sha256 == file.signed.digest:
        return Check("digest", Outcome.HOLDS, f"The content has the SHA-256 that was signed: {digest}")
    return Check(
        "digest", Outcome.FAILS, "The content was changed: it does not have the SHA-256 that was signed."
    )


def _signature(file: _File) -> Check:
    if file.signed.is_genuine() and file.signed.purpose == FORMAT:
        return Check("signature", Outcome.HOLDS, f"The signature is genuine, of the key {file.signed.key}")
    return Check("signature", Outcome.FAILS, "The signature is not that of what stands here.")


def _key(file: _File, key: str | None) -> Check:
    if key is None:
        words = "Nobody said whose key it must be: compare it with the one that was noted from the store."
        return Check("key", Outcome.UNCHECKED, words)
    if "".join(key.split()).replace(":", "").casefold() == file.signed.key:
        return Check("key", Outcome.HOLDS, "It is the key that it must be.")
    return Check("key", Outcome.FAILS, f"It was signed with another key: {file.signed.key}")


def _check(claim: Claim) -> Check:
    outcome = {True: Outcome.HOLDS, False: Outcome.FAILS, None: Outcome.UNCHECKED}[claim.holds]
    return Check(claim.name, outcome, claim.words, claim.document)

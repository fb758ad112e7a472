"""The evidence record of a run: a signed file (`signed_file`) that can be checked without the store.

Its record is `evidence_record.Record`. Besides the signature, a check looks whether the record agrees with
itself and, where the original files are at hand, whether the quotations stand on their pages.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from localai_app.documents.document import Document
from localai_app.governance import signed_file
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.audit_statement import Statement
from localai_app.governance.signed_file import Check, Outcome
from localai_app.tasks.records import evidence_checks, evidence_pages, evidence_record
from localai_app.tasks.records.evidence_checks import Claim
from localai_app.tasks.records.evidence_record import Record
from localai_app.tasks.reports.export import save
from localai_app.tasks.run import Item, Run

__all__ = ["FORMAT", "Check", "EvidenceReport", "Outcome", "Written", "verify", "write"]

FORMAT = "localai-app task evidence 1"


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
    body = {"documents": len(items), "unfinished": bool(record["run"]["unfinished"])}

    def sign(digest: str) -> Statement:
        return audit.sign_statement(
            AuditEvent.TASK_EVIDENCE_EXPORTED, FORMAT, digest, object_id=str(run.id), body={**body}
        )

    file = signed_file.signed(record, FORMAT, sign)
    save(path, signed_file.content(file))
    return Written(path, file.sha256, file.signed)


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
    data = signed_file.read(path, "an evidence record")
    file = signed_file.parsed(data)
    if file is None:
        return EvidenceReport((Check("form", Outcome.FAILS, "It is no evidence record, or no longer one."),))
    checks = signed_file.checks(file, data, FORMAT, key)
    signer, head = file.signed.key, file.head
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


def _check(claim: Claim) -> Check:
    outcome = {True: Outcome.HOLDS, False: Outcome.FAILS, None: Outcome.UNCHECKED}[claim.holds]
    return Check(claim.name, outcome, claim.words, claim.document)

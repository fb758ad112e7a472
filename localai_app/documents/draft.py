"""One reading of a document: what the reader brings is kept as it comes, and counts once all is here."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from localai_app.documents.adding import content_hmac
from localai_app.documents.document import Attachment, Facts, Page
from localai_app.documents.formats import format_by_name
from localai_app.documents.library import Held, Library
from localai_app.documents.reading import AttachmentRead, Finished, Job, PageRead, Started
from localai_app.errors import DocumentError, PolicyRefused
from localai_app.governance.audit import Audit, AuditEvent, BodyValue
from localai_app.governance.policy import Policy

Answers = Iterator[Started | PageRead | AttachmentRead | Finished]

_SAVE_SECONDS = 0.25
"""How much reading a kill may undo; a page that took longer is kept at once."""
_DEEPEST = 5
"""A mail in a mail in a mail …"""
_MOST_INSIDE = 1000
"""Documents inside one file, at all depths."""


class ReadFile(Protocol):
    """Reads a file in a child process; see `reader_process.read`."""

    def __call__(self, data: bytes, job: Job, *, stop: threading.Event | None = None) -> Answers:
        """What stands in ``data``, as it comes; raise `DocumentError`."""


class LeaseLost(Exception):
    """Somebody else has the document by now, or it is gone."""


class WorkStopped(Exception):
    """The work shall rest; what is done is kept."""


@dataclass(frozen=True)
class File:
    """A file that was read into memory: what is hashed is what is read."""

    data: bytes
    sha256: str
    mtime_ns: int


def file_of(library: Library, held: Held, policy: Policy) -> File:
    """The bytes of a document; raise `DocumentError` where its file cannot be opened, `PolicyRefused`
    where it has grown too large."""
    if held.path is None:
        data, mtime_ns = library.data(held.id), 0
        if data is None:
            raise DocumentError("The attachment was not kept.", "Add the mail again.")
    else:
        with contextlib.suppress(OSError):  # said when it is opened
            policy.require_document_size(held.path.stat().st_size)
        data, mtime_ns = read_bytes(held.path)
    return File(data, hashlib.sha256(data).hexdigest(), mtime_ns)


def read_bytes(path: Path) -> tuple[bytes, int]:
    """The content of a file and when it was last changed; raise `DocumentError`."""
    try:
        with path.open("rb") as file:
            mtime_ns = path.stat().st_mtime_ns
            return file.read(), mtime_ns
    except FileNotFoundError:
        raise DocumentError("Its file is not there any more.", "Put it back, or add it anew.") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DocumentError(f"Its file cannot be opened: {reason}.", "Check its permissions.") from error


class Draft:
    """The reading that is being made of a document in hand."""

    def __init__(self, library: Library, policy: Policy, audit: Audit, held: Held, file: File) -> None:
        self._library = library
        self._policy = policy
        self._audit = audit
        self._held = held
        self._file = file
        with library.transaction():
            self._require_lease()
            self.here = tuple(library.begin_draft(held, file.sha256, len(file.data), file.mtime_ns))
            """Numbers of the pages that an earlier try has left."""
        self.expected = 0
        """Pages that the file says it has; 0 where only reading tells."""
        self._pages: list[Page] = []
        self._unsaved: list[Page] = []
        self._saved_at = time.monotonic()
        self._known = library.children(held.id)
        self._children: list[int] = []
        self._facts: Facts | None = None
        self._warnings: list[str] = []

    def gather(self, answers: Answers) -> Iterator[Page]:
        """Keep what comes; yield each page. Raise `LeaseLost`, and what ``answers`` raise."""
        with contextlib.closing(answers) as open_answers:  # type: ignore[type-var]
            for answer in open_answers:
                match answer:
                    case Started():
                        self._policy.require_document_type(answer.format)
                        self.expected = answer.pages
                        with self._library.transaction():
                            self._library.expect_pages(self._held, answer.pages)
                    case PageRead():
                        self._pages.append(msgspec.structs.replace(answer.page, boxes=b""))
                        self._unsaved.append(answer.page)
                        if time.monotonic() - self._saved_at >= _SAVE_SECONDS:
                            self.save()
                        yield answer.page
                    case AttachmentRead():
                        self._attach(answer.attachment)
                    case Finished():
                        self._facts = answer.facts
        self.save()

    def save(self) -> None:
        """Keep the pages that came since the last time."""
        if self._unsaved:
            with self._library.transaction():
                self._require_lease()
                self._library.save_pages(self._held, self._unsaved)
        self._unsaved = []
        self._saved_at = time.monotonic()

    def pages(self) -> list[Page]:
        """All pages, those of an earlier try too, without their boxes."""
        return self._library.draft_pages(self._held) if self.here else self._pages

    def finish(self, *, tokens: int, language: str) -> list[int]:
        """Let it count; what was attached to an earlier file only, and is to be erased."""
        assert self._facts is not None, "the last answer brings the facts"
        self._require_lease()
        warnings = (*self._facts.warnings, *self._warnings)
        gone = self._library.finish_reading(
            self._held,
            msgspec.structs.replace(self._facts, warnings=warnings),
            self.pages(),
            tokens=tokens,
            language=language,
            children=self._children,
            keep_old=not self._policy.allows_delete,
        )
        return self._library.with_descendants(gone) if self._policy.allows_delete else []

    def write_audit(self, *, chunks: int) -> None:
        """That it was read, in the transaction that lets it count."""
        assert self._facts is not None, "it is finished"
        body: dict[str, BodyValue] = {
            "document": self._held.id,
            "size": len(self._file.data),
            "format": self._facts.format,
            "pages": self._facts.pages,
            "chunks": chunks,
        }
        name = content_hmac(self._library, self._held.id, self._file.sha256)
        self._audit.append(AuditEvent.DOCUMENT_READ, name, body)

    def _attach(self, attachment: Attachment) -> None:
        """Let a file inside the file be a document of its own; one that cannot be says why."""
        data, sha256 = attachment.data, hashlib.sha256(attachment.data).hexdigest()
        child = self._known.get((attachment.name, sha256))
        with self._library.transaction():
            self._require_lease()
            if child is None:
                child = self._add_child(attachment.name, data, sha256)
        if child is not None:
            self._known[attachment.name, sha256] = child
            self._children.append(child)

    def _add_child(self, name: str, data: bytes, sha256: str) -> int | None:
        depth, inside = self._library.generations(self._held.id)
        if depth >= _DEEPEST or inside >= _MOST_INSIDE:
            if not self._warnings:
                self._warnings.append("Files inside it were left out: too many, or too deep in each other.")
            return None
        file_format, error = format_by_name(name), ""
        try:
            if file_format:
                self._policy.require_document_type(file_format)
            self._policy.require_document_size(len(data))
            if not data:
                raise DocumentError("It is empty.")
        except PolicyRefused as refusal:
            error = refusal.line
            self._audit.append(AuditEvent.POLICY_REFUSED, "document", {"reason": str(refusal)})
        except DocumentError as refusal:
            error = refusal.line
        child = self._library.add(
            name,
            sha256,
            len(data),
            file_format or Path(name).suffix.lower().removeprefix("."),
            parent_id=self._held.id,
            error=error,
        )
        if not error:
            self._library.keep_data(child, data)
        body: dict[str, BodyValue] = {"document": child, "inside": self._held.id, "size": len(data)}
        self._audit.append(AuditEvent.DOCUMENT_ADDED, content_hmac(self._library, child, sha256), body)
        return child

    def _require_lease(self) -> None:
        if not self._library.renew(self._held):
            raise LeaseLost

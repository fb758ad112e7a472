"""Takes files into the library: each is hashed, and told apart from what is there already.

The same bytes under another name are the same document. A file that has changed is read anew, and so is
one that could not be read before. Rows are written a few files at a time, so that reading begins while a
large folder is still being hashed.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localai_app.documents.document import State
from localai_app.documents.formats import format_by_name
from localai_app.documents.gathering import FoundFile, NotTaken, files_in
from localai_app.documents.library import Known, Library
from localai_app.errors import PolicyRefused
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.policy import Policy

_BATCH = 32
"""Files in one transaction."""
_BATCH_BYTES = 64 * 1024 * 1024
"""Bytes to hash before what is known is kept."""


@dataclass(frozen=True)
class Added:
    """What came of adding files and folders."""

    documents: tuple[int, ...]
    """Now waiting to be read."""
    known: tuple[int, ...]
    """Had been added before, with the same content; now also in the collection that was named."""
    refused: tuple[tuple[str, str], ...]
    """(name, one line that says why and what to do) of each file that was not taken."""


@dataclass
class _Outcome:
    documents: list[int] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def added(self) -> Added:
        documents = dict.fromkeys(self.documents)
        known = dict.fromkeys(one for one in self.known if one not in documents)
        return Added(tuple(documents), tuple(known), tuple(self.refused))


@dataclass(frozen=True)
class _Hashed:
    file: FoundFile
    sha256: str


class Adding:
    """Adds files, and looks at them again."""

    def __init__(self, library: Library, policy: Policy, audit: Audit, on_added: Callable[[], None]) -> None:
        """``on_added`` is called after each transaction that left something to read."""
        self._library = library
        self._policy = policy
        self._audit = audit
        self._on_added = on_added

    def add(self, paths: Sequence[Path], collection_id: int | None) -> Added:
        """Take files, and all files of folders, into the library and into a collection."""
        outcome = _Outcome()
        batch: list[_Hashed] = []
        for found in files_in(paths):
            if isinstance(found, NotTaken):
                outcome.refused.append((found.name, found.line))
                continue
            hashed = self._hashed(found, outcome)
            if hashed:
                batch.append(hashed)
            if len(batch) >= _BATCH or sum(one.file.size for one in batch) >= _BATCH_BYTES:
                self._keep(batch, collection_id, outcome)
                batch = []
        self._keep(batch, collection_id, outcome)
        return outcome.added()

    def refresh(self) -> Added:
        """Look at every document's file again."""
        outcome = _Outcome()
        for known in self._library.files():
            assert known.path is not None, "it lies in a file"
            (found,) = files_in([known.path]) if not known.path.is_dir() else (None,)
            if not isinstance(found, FoundFile):
                line = "Its file is gone; the text stays. Add the file from its new place, or remove it."
                outcome.refused.append((known.path.name, line))
            elif (found.size, found.mtime_ns) != (known.size, known.mtime_ns):
                hashed = self._hashed(found, outcome)
                if hashed:
                    self._keep([hashed], None, outcome)
        return Added(tuple(outcome.documents), (), tuple(outcome.refused))

    # ------------------------------------------------------------ one file

    def _hashed(self, file: FoundFile, outcome: _Outcome) -> _Hashed | None:
        """The file with its hash; where it need not or cannot be read, say so in ``outcome``."""
        known = self._library.with_path(file.path)
        if known and not known.trashed and (known.size, known.mtime_ns) == (file.size, file.mtime_ns):
            return _Hashed(file, known.content)
        try:
            self._require(file.path.name, file.size)
            with file.path.open("rb") as opened:
                return _Hashed(file, hashlib.file_digest(opened, "sha256").hexdigest())
        except PolicyRefused as refusal:
            outcome.refused.append((file.path.name, refusal.line))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            outcome.refused.append((file.path.name, f"It cannot be read: {reason}. Check its permissions."))
        return None

    def _require(self, name: str, size: int) -> None:
        """A document of that name and size must be allowed; a refusal is audited."""
        file_format = format_by_name(name)
        with self._audit.refusals("document", {"format": file_format, "size": size}):
            if file_format:
                self._policy.require_document_type(file_format)
            self._policy.require_document_size(size)

    def _keep(self, batch: Iterable[_Hashed], collection_id: int | None, outcome: _Outcome) -> None:
        """Write rows for ``batch`` in one transaction."""
        before = len(outcome.documents)
        new: list[int] = []
        with self._library.transaction():
            for hashed in batch:
                document_id, to_read = self._row_for(hashed)
                (outcome.documents if to_read else outcome.known).append(document_id)
                new.append(document_id)
            if collection_id is not None:
                self._library.put_in(collection_id, self._library.with_descendants(new))
        if len(outcome.documents) > before:
            self._on_added()

    def _row_for(self, hashed: _Hashed) -> tuple[int, bool]:
        """The document of that file, and whether it is to be read."""
        library, file, sha256 = self._library, hashed.file, hashed.sha256
        known = library.with_path(file.path)
        if known and not known.trashed:
            if known.content != sha256:
                library.changed(known.id, sha256, file.size, file.mtime_ns)
                self._write_audit(AuditEvent.DOCUMENT_CHANGED, known.id, sha256, file)
                return known.id, True
            library.seen(known.id, file.path, file.mtime_ns)
            return known.id, library.requeue(known.id, State.FAILED)
        known = library.with_content(sha256)
        if known:
            return known.id, self._meet_again(known, file)
        document_id = library.add(
            file.path.name,
            sha256,
            file.size,
            format_by_name(file.path.name) or file.path.suffix.lower().removeprefix("."),
            path=file.path,
            mtime_ns=file.mtime_ns,
        )
        self._write_audit(AuditEvent.DOCUMENT_ADDED, document_id, sha256, file)
        return document_id, True

    def _meet_again(self, known: Known, file: FoundFile) -> bool:
        """The same content lies at another path, or was in the trash; whether it is to be read."""
        if known.trashed:
            self._library.restore(self._library.with_descendants([known.id]))
            self._audit.append(AuditEvent.DOCUMENT_RESTORED, str(known.id))
        if known.path is None or known.trashed or not known.path.exists():
            self._library.seen(known.id, file.path, file.mtime_ns)  # it was moved
        return self._library.requeue(known.id, State.FAILED)

    def _write_audit(self, event: AuditEvent, document_id: int, sha256: str, file: FoundFile) -> None:
        self._audit.append(
            event,
            content_hmac(self._library, document_id, sha256),
            {"document": document_id, "size": file.size, "format": format_by_name(file.path.name)},
        )


def content_hmac(library: Library, document_id: int, sha256: str) -> str:
    """What the audit log calls a file: an HMAC of its hash under its document's own key."""
    return hmac.new(library.content_key(document_id), bytes.fromhex(sha256), hashlib.sha256).hexdigest()

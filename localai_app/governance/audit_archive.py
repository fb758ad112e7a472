"""Takes the audit log out of the store: exports, and archives that entries move into.

An archive ends with a checkpoint that stays in the store as its first entry, so that one continues the
other: ``audit verify ARCHIVE``, then ``audit verify --against ARCHIVE``.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from localai_app.errors import LocalAIError, PolicyRefused, StoreError, UsageError
from localai_app.governance import audit_file
from localai_app.governance.audit import EVERYTHING, Audit, AuditEvent, BodyValue, Entry, Selection
from localai_app.governance.audit_chain import KeptHead
from localai_app.governance.audit_file import Format, Written
from localai_app.governance.policy import Policy
from localai_app.store import files

_KEEP_SECONDS = 2.0
"""The end of the app waits for so long."""


@dataclass(frozen=True)
class AuditArchive:
    """Exports and rotates the log, as far as policy allows."""

    audit: Audit
    policy: Policy

    @property
    def folder(self) -> Path | None:
        """Where the organisation wants exports; None where it does not say."""
        named = self.policy.audit_folder
        return Path(named) if named else None

    def export(
        self, path: Path, file_format: Format, selection: Selection = EVERYTHING, *, replace: bool = False
    ) -> Written:
        """Write the entries that are wanted to ``path``; a whole export ends with a fresh checkpoint.

        Raise `UsageError` where the file exists (unless ``replace``), `PolicyRefused`, `LocalAIError`.
        """
        path = self._allowed(path, replace=replace)
        body: dict[str, BodyValue] = {"format": file_format, "selected": not selection.all}
        if selection.events:
            body["events"] = list(selection.events)
        for name, moment in (("since", selection.since), ("until", selection.until)):
            if moment is not None:
                body[name] = moment.isoformat()
        last = self.audit.append_signed(AuditEvent.AUDIT_EXPORTED, selection.object_id, body)
        return self._write(path, file_format, selection, last=last)

    def hand_over(self, path: Path, *, replace: bool = False) -> int:
        """Write all content that is kept for the organisation to ``path`` (JSON Lines); how many texts.

        It stays in the store until it is older than RetentionDays. Raise as `export`.
        """
        path = self._allowed(path, replace=replace)
        last, count = self.audit.hand_over(), 0
        try:
            with files.replacing(path) as file:
                for each in self.audit.capture.read(last):
                    file.write(msgspec.json.encode(each) + b"\n")
                    count += 1
        except OSError as error:
            raise LocalAIError(
                f"“{path.name}” cannot be written: {error.strerror}.", "Choose another place."
            ) from error
        self.audit.settle_hand_over(last)
        return count

    def rotate(self, path: Path, before: datetime | None = None) -> Written:
        """Move entries into the archive ``path`` (JSON Lines); the log goes on behind a checkpoint.

        Moved is what stands before the last checkpoint, of those written before that time. The archive is
        read again and verified before anything is removed. Raise as `export`; a log that is not sound stays.
        """
        with self.audit.refusals("audit"):
            self.policy.require_delete()
        path = self._allowed(path, replace=False)
        result = self.audit.verify()
        if not result.sound:
            raise LocalAIError(
                f"The audit log is not sound: {result.problem}.",
                "It stays as it is; export it and look into it.",
            )
        first = self.audit.first()
        assert first is not None
        if before is None:
            kept: Entry | None = self.audit.append_signed(AuditEvent.AUDIT_EXPORTED, "", {"format": "jsonl"})
        else:
            kept = self.audit.last_checkpoint(before)
        if kept is None or kept.seq <= first.seq:
            raise UsageError("There is no checkpoint from before that time.", "Nothing was moved.")
        written = self._write(path, "jsonl", EVERYTHING, last=kept)
        found = audit_file.verify(path, [KeptHead(kept.seq, kept.hash)], key=self.audit.key)
        whole = (found.first, found.entries) == (first.seq, kept.seq - first.seq + 1)
        if not (found.sound and whole and audit_file.sha256(path) == written.sha256):
            raise LocalAIError(
                f"What stands in {path} is not what was written.", "Nothing was removed; use another disk."
            )
        self.audit.remove_archived(first, kept, written.sha256)
        return written

    def keep_checkpoint(self) -> None:
        """Put the newest checkpoint into the organisation's folder, which may be a share that hangs."""
        folder, entry = self.folder, self.audit.last_checkpoint()
        checkpoint = None if entry is None else entry.checkpoint
        if folder is None or checkpoint is None:
            return
        path = folder / f"{checkpoint.key[:16]}-{checkpoint.seq}.checkpoint.json"
        kept = threading.Event()

        def keep() -> None:
            with suppress(LocalAIError, OSError):
                if not path.exists():
                    audit_file.write_checkpoint(path, checkpoint)
                kept.set()

        thread = threading.Thread(target=keep, name="checkpoint", daemon=True)
        thread.start()
        thread.join(_KEEP_SECONDS)
        if not kept.is_set():
            self.audit.append(AuditEvent.AUDIT_EXPORT_FAILED, body={"checkpoint": checkpoint.seq})

    def _allowed(self, path: Path, *, replace: bool) -> Path:
        path = path.expanduser().absolute()
        with self.audit.refusals("audit"):
            self.policy.require_audit_export()
            folder = self.folder
            if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
                raise PolicyRefused(
                    f"Your organisation has the audit log exported to “{folder}” only.", "Name a file in it."
                )
        if path.exists() and not replace:
            raise UsageError(f"{path} exists already.", "Choose another name.")
        return path

    def _write(self, path: Path, file_format: Format, selection: Selection, *, last: Entry) -> Written:
        entries = self.audit.read(selection, last=last.seq)
        try:
            return audit_file.write(path, entries, file_format)
        except LocalAIError:
            with suppress(StoreError):
                self.audit.append(AuditEvent.AUDIT_EXPORT_FAILED)
            raise

"""The audit log: a chain of hashes in which an edited, removed or moved entry shows.

It is tamper-evident, not tamper-proof: whoever holds the store's key can cut off the tail or write and
sign the whole chain anew, so without a head that was kept elsewhere it does not resist the machine's
own user. `audit_chain` says what shows, and by what.

There is no content in it: conversations and models are named by id or hash, text and files only by an
HMAC under their conversation's or document's own key, which is erased with it.
"""

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from localai_app.errors import LocalAIError, PolicyRefused
from localai_app.governance import audit_checkpoint, audit_statement
from localai_app.governance.audit_chain import (
    CHECKPOINT,
    ROTATED,
    START,
    Entry,
    Head,
    KeptHead,
    Problem,
    ProblemKind,
    VerifyResult,
    canonical,
    digest,
    examine,
    removed,
)
from localai_app.governance.audit_checkpoint import Checkpoint
from localai_app.governance.audit_statement import Statement
from localai_app.governance.capture import Capture, Content
from localai_app.governance.policy import Policy
from localai_app.store.database import Database, Row

__all__ = ["Audit", "AuditEvent", "BodyValue", "Content", "Entry", "Head", "Selection", "VerifyResult"]

CHECKPOINT_EVERY = 1000
"""Entries between two checkpoints at most."""

_FEW = 50
_OLD = timedelta(days=1)
_BATCH = 2000

BodyValue = None | bool | int | float | str | list[int] | list[str]


class AuditEvent(StrEnum):
    """What may be written in the log."""

    APP_STARTED = "app.started"
    APP_STOPPED = "app.stopped"
    STORE_CREATED = "store.created"
    STORE_BACKED_UP = "store.backed_up"
    STORE_RESTORED = "store.restored"
    STORE_UPGRADED = "store.upgraded"
    STORE_COPIES_REMOVED = "store.copies_removed"
    STORE_UNLOCK_FAILED = "store.unlock_failed"
    KEY_CHANGED = "key.changed"
    KEY_RENEWED = "key.renewed"
    KEY_SEALED = "key.sealed"
    KEY_RECOVERED = "key.recovered"
    POLICY_IN_FORCE = "policy.in_force"
    POLICY_CHANGED = "policy.changed"
    POLICY_REFUSED = "policy.refused"
    MODEL_LOADED = "model.loaded"
    MODEL_LINKED = "model.linked"
    MODEL_UNLINKED = "model.unlinked"
    MODEL_VERIFIED = "model.verified"
    MODEL_CHANGED = "model.changed"
    MODEL_ACCEPTED = "model.accepted"
    MODEL_IMPORTED = "model.imported"
    MODEL_REMOVED = "model.removed"
    MODEL_RESTORED = "model.restored"
    MODEL_FOLDER_MOVED = "model.folder_moved"
    CATALOGUE_REFUSED = "catalogue.refused"
    MODEL_PULL_STARTED = "model.pull_started"
    MODEL_PULLED = "model.pulled"
    MODEL_PULL_FAILED = "model.pull_failed"
    MODEL_PULL_CANCELLED = "model.pull_cancelled"
    NETWORK_CONNECTED = "network.connected"
    NETWORK_REFUSED = "network.refused"
    NETWORK_ATTESTED = "network.attested"
    MESSAGE_SENT = "message.sent"
    ANSWER_STARTED = "answer.started"
    ANSWER_FINISHED = "answer.finished"
    FEEDBACK_GIVEN = "feedback.given"
    CONVERSATION_CREATED = "conversation.created"
    CONVERSATION_TRASHED = "conversation.trashed"
    CONVERSATION_RESTORED = "conversation.restored"
    CONVERSATION_DELETED = "conversation.deleted"
    CONVERSATION_EXPORTED = "conversation.exported"
    SOURCES_SET = "conversation.sources_set"
    DOCUMENT_ADDED = "document.added"
    DOCUMENT_CHANGED = "document.changed"
    DOCUMENT_READ = "document.read"
    DOCUMENT_FAILED = "document.failed"
    DOCUMENT_OPENED = "document.opened"
    DOCUMENT_TRASHED = "document.trashed"
    DOCUMENT_RESTORED = "document.restored"
    DOCUMENT_ERASED = "document.erased"
    TASK_STARTED = "task.started"
    TASK_PAUSED = "task.paused"
    TASK_RESUMED = "task.resumed"
    TASK_STOPPED = "task.stopped"
    TASK_RETRIED = "task.retried"
    TASK_ITEM_FINISHED = "task.item_finished"
    TASK_FINISHED = "task.finished"
    TASK_DECIDED = "task.decided"
    TASK_EXPORTED = "task.exported"
    TASK_EVIDENCE_EXPORTED = "task.evidence_exported"
    TASK_TRASHED = "task.trashed"
    TASK_RESTORED = "task.restored"
    TASK_ERASED = "task.erased"
    RETENTION_APPLIED = "retention.applied"
    CHAIN_VERIFIED = "chain.verified"
    AUDIT_KEY_CREATED = "audit.key_created"
    AUDIT_CHECKPOINT = CHECKPOINT
    AUDIT_EXPORTED = "audit.exported"
    AUDIT_EXPORT_FAILED = "audit.export_failed"
    CONTENT_HANDED_OVER = "content.handed_over"
    CONVERSATION_OPENED = "conversation.opened"
    CONVERSATION_SEARCHED = "conversation.searched"
    DOCUMENT_SEARCHED = "document.searched"
    LINK_TAKEN = "link.taken"
    AUDIT_ROTATED = ROTATED


@dataclass(frozen=True)
class Selection:
    """Which entries are wanted; all where nothing is said."""

    since: datetime | None = None
    until: datetime | None = None
    """Entries of that moment are out."""
    events: Sequence[str] = ()
    object_id: str = ""

    @property
    def all(self) -> bool:
        """Whether none is left out."""
        return self == Selection()


EVERYTHING = Selection()


class Audit:
    """Writes and checks the log."""

    def __init__(
        self,
        database: Database,
        actor: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        policy: Policy | None = None,
    ) -> None:
        """``actor`` is who acts; None: the user who is logged in.

        ``policy`` says whether details are written, and content is kept; None: neither.
        """
        self._database = database
        self._policy = policy
        self.capture = Capture(database)
        self._actor = actor or logged_in_user()
        self._now = now

    def append(
        self,
        event: AuditEvent,
        object_id: str = "",
        body: Mapping[str, BodyValue] | None = None,
        *,
        content: Content | None = None,
    ) -> Head:
        """Add an entry, in the caller's transaction (with the act itself) or in one of its own.

        ``object_id`` is what it is about: the id of a conversation, the hash of a model, the HMAC of
        a text. ``body`` says more. Neither holds content. ``content`` is what was written: it is kept beside
        the log where the organisation must keep it.
        """
        if not self._database.in_transaction:
            with self._database.transaction():
                return self.append(event, object_id, body, content=content)
        if content is not None and self._policy is not None and self._policy.captures_content:
            head = self._insert_with(content, event, object_id, body or {})
        else:
            head = self._insert(event, object_id, body or {}, self._time())
        if head.seq % CHECKPOINT_EVERY == 0:
            self.checkpoint()
        return head

    def append_detail(
        self, event: AuditEvent, object_id: str = "", body: Mapping[str, BodyValue] | None = None
    ) -> None:
        """Add an entry of what was only looked at, where the organisation wants that written, too."""
        if self._policy is not None and self._policy.audits_details:
            self.append(event, object_id, body)

    def append_signed(
        self, event: AuditEvent, object_id: str = "", body: Mapping[str, BodyValue] | None = None
    ) -> Entry:
        """Add an entry and a checkpoint behind it; the checkpoint's own entry."""
        if not self._database.in_transaction:
            with self._database.transaction():
                return self.append_signed(event, object_id, body)
        self.append(event, object_id, body)
        self.checkpoint()
        entry = self.entry(self.head().seq)
        assert entry is not None
        return entry

    def sign_statement(
        self,
        event: AuditEvent,
        purpose: str,
        digest: str,
        object_id: str = "",
        body: Mapping[str, BodyValue] | None = None,
    ) -> Statement:
        """Add an entry that tells of ``digest`` (SHA-256), and sign that with the place of the entry."""
        if not self._database.in_transaction:
            with self._database.transaction():
                return self.sign_statement(event, purpose, digest, object_id, body)
        private, time = self._private_key(), self._time()
        head = self.append(event, object_id, {"sha256": digest, **(body or {})})
        return audit_statement.sign(
            private, purpose=purpose, digest=digest, seq=head.seq, head=head.hash, time=time
        )

    def stop(self) -> None:
        """Add the entry of the end, and a checkpoint where the last is old or many entries follow it."""
        with self._database.transaction():
            head = self.append(AuditEvent.APP_STOPPED)
            last = self._last_checkpoint()
            if last is None or head.seq - last.seq >= _FEW or last.time < _text(self._now() - _OLD):
                self.checkpoint()

    def checkpoint(self) -> Checkpoint:
        """Sign what the head is now, and add that to the chain."""
        if not self._database.in_transaction:
            with self._database.transaction():
                return self.checkpoint()
        private = self._private_key()
        head, first, time = self.head(), self.first(), self._time()
        assert first is not None
        entries = head.seq - first.seq + 1
        signed = audit_checkpoint.sign(private, seq=head.seq, digest=head.hash, entries=entries, time=time)
        body: dict[str, BodyValue] = {"entries": entries, "signature": signed.signature}
        self._insert(AuditEvent.AUDIT_CHECKPOINT, signed.key, body, time)
        return signed

    @property
    def in_transaction(self) -> bool:
        """Whether an entry would be part of a transaction of this thread, and go with it if that fails."""
        return self._database.in_transaction

    @contextmanager
    def refusals(self, object_id: str = "", body: Mapping[str, BodyValue] | None = None) -> Iterator[None]:
        """Write down what policy refuses inside; the refusal goes on. Begin it outside any transaction."""
        try:
            yield
        except PolicyRefused as refusal:
            self.append(AuditEvent.POLICY_REFUSED, object_id, {"reason": str(refusal), **(body or {})})
            raise

    def head(self) -> Head:
        """The last entry."""
        row = self._database.row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return Head(0, START) if row is None else Head(row["seq"], row["hash"].hex())

    def first(self) -> Entry | None:
        """The oldest entry that is here."""
        row = self._database.row("SELECT * FROM audit ORDER BY seq LIMIT 1")
        return None if row is None else _entry(row)

    @property
    def key(self) -> str:
        """The public key of its checkpoints, hexadecimal; empty before the first."""
        row = self._database.row("SELECT private FROM audit_key")
        return "" if row is None else audit_checkpoint.public_key(row["private"])

    def entry(self, seq: int) -> Entry | None:
        """Entry ``seq``; None where there is none here."""
        row = self._database.row("SELECT * FROM audit WHERE seq = ?", [seq])
        return None if row is None else _entry(row)

    def entries(
        self, selection: Selection = EVERYTHING, *, limit: int = 50, before: int = 2**63 - 1
    ) -> list[Entry]:
        """The newest ``limit`` of those that are wanted before entry ``before``, the newest first."""
        found: list[Entry] = []
        # Event by event: so each is a walk along an index that ends with the limit.
        for events in [[event] for event in dict.fromkeys(selection.events)] or [[]]:
            where, values = _where(replace(selection, events=events))
            rows = self._database.rows(
                f"SELECT * FROM audit WHERE seq < ? AND {where} ORDER BY seq DESC LIMIT ?",  # noqa: S608
                [before, *values, limit],
            )
            found += map(_entry, rows)
        return sorted(found, key=lambda entry: entry.seq, reverse=True)[:limit]

    def read(
        self, selection: Selection = EVERYTHING, *, first: int = -(2**63), last: int = 2**63 - 1
    ) -> Iterator[Entry]:
        """Those that are wanted from entry ``first`` to ``last``, oldest first."""
        where, values = _where(selection, in_order=True)
        while True:
            rows = self._database.rows(
                f"SELECT * FROM audit WHERE seq BETWEEN ? AND ? AND {where} ORDER BY seq LIMIT ?",  # noqa: S608
                [first, last, *values, _BATCH],
            )
            yield from map(_entry, rows)
            if len(rows) < _BATCH:
                return
            first = rows[-1]["seq"] + 1

    def last_checkpoint(self, before: datetime | None = None) -> Entry | None:
        """The newest entry that is a checkpoint, of those that were written before that time."""
        return self._last_checkpoint("" if before is None else _text(before))

    def verify(self, kept: Sequence[KeptHead] = (), *, start: KeptHead | None = None) -> VerifyResult:
        """Check every entry; ``kept`` are heads that were kept elsewhere.

        ``start`` is such a head from which on it is checked: what was before it is believed.
        """
        last = self.head().seq
        first = -(2**63) if start is None else min(start.seq, last)
        key = self.key
        result = examine(
            lambda: self.read(first=first, last=last), kept=[*kept, *([start] if start else [])], key=key
        )
        if start is None and result.first <= 1 and key and not self._tells_of(key):
            text = "no entry tells of the key that signs this log: its end was cut off, or the key replaced"
            problem = Problem(ProblemKind.SIGNATURE, last + 1, text)
            return replace(result, problems=(*result.problems, problem))
        if start is None and result.first > 1 and not self._is_archived_before(result.first):
            text = f"{removed(1, result.first - 1)}, and nothing says into which archive"
            problem = Problem(ProblemKind.REMOVED, 1, text)
            return replace(result, entries=0, head=Head(0, START), problems=(problem, *result.problems))
        return result

    def hand_over(self) -> int:
        """Note that all content that is kept now leaves for the organisation; the number of the newest."""
        with self._database.transaction():
            last = self.capture.last()
            self.append(AuditEvent.CONTENT_HANDED_OVER, body={"last": last, "kept": self.capture.count()})
        return last

    def settle_hand_over(self, last: int) -> None:
        """The file of it is written."""
        with self._database.transaction():
            self.capture.note_handed_over(last, self._time())

    def erase_captured(self, before: datetime) -> int:
        """Erase content of before that time that the organisation has; how much."""
        with self._database.transaction():
            return self.capture.erase_handed_over(_text(before))

    def remove_archived(self, first: Entry, kept: Entry, file_sha256: str) -> None:
        """Remove entries from ``first`` to the one before the checkpoint ``kept``: they are in that file."""
        assert kept.checkpoint is not None
        with self._database.transaction():
            if self.first() != first or self.entry(kept.seq) != kept:
                raise LocalAIError(
                    "Another program has just rotated the audit log.", "Nothing was removed now."
                )
            body: dict[str, BodyValue] = {
                "first": first.seq,
                "last": kept.seq - 1,
                "hash": kept.prev,
                "sha256": file_sha256,
            }
            # Nothing comes between it and what it allows.
            self._insert(AuditEvent.AUDIT_ROTATED, "", body, self._time())
            self._database.execute("DELETE FROM audit WHERE seq < ?", [kept.seq])

    def _tells_of(self, key: str) -> bool:
        return bool(self.entries(Selection(events=[AuditEvent.AUDIT_KEY_CREATED], object_id=key), limit=1))

    def _is_archived_before(self, seq: int) -> bool:
        first = self.entry(seq)
        assert first is not None
        return first.checkpoint is not None and any(
            _facts(entry) == (seq - 1, first.prev)
            for entry in self.entries(Selection(events=[ROTATED]), limit=1)
        )

    def _last_checkpoint(self, before: str = "") -> Entry | None:
        row = self._database.row(
            "SELECT * FROM audit WHERE event = ? AND (? = '' OR ts < ?) ORDER BY seq DESC LIMIT 1",
            [CHECKPOINT, before, before],
        )
        return None if row is None else _entry(row)

    def _private_key(self) -> bytes:
        """The key that signs, made at its first use, of which the chain tells."""
        row = self._database.row("SELECT private FROM audit_key")
        if row is not None:
            return bytes(row["private"])
        private = audit_checkpoint.new_key()
        self._database.execute("INSERT INTO audit_key (id, private) VALUES (1, ?)", [private])
        self._insert(AuditEvent.AUDIT_KEY_CREATED, audit_checkpoint.public_key(private), {}, self._time())
        return private

    def _insert(self, event: AuditEvent, object_id: str, body: Mapping[str, BodyValue], time: str) -> Head:
        last = self.head()
        entry = Entry(
            last.seq + 1, time, str(event), self._actor, object_id, canonical(dict(body)), last.hash, ""
        )
        found = digest(entry)
        self._database.execute(
            "INSERT INTO audit (seq, ts, event, actor, object, body, prev, hash) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                *(entry.seq, entry.time, entry.event, entry.actor, entry.object, entry.body),
                *(bytes.fromhex(entry.prev), bytes.fromhex(found)),
            ],
        )
        return Head(entry.seq, found)

    def _insert_with(
        self, content: Content, event: AuditEvent, object_id: str, body: Mapping[str, BodyValue]
    ) -> Head:
        """An entry that tells of ``content``, which is kept."""
        time = self._time()
        key, digest = self.capture.key_for(content)
        head = self._insert(event, object_id, {**body, "captured": digest}, time)
        self.capture.keep(content, key, entry=head.seq, time=time, user=self._actor)
        return head

    def _time(self) -> str:
        return _text(self._now())


def logged_in_user() -> str:
    """Login name; ``uid:1000`` where the system has no name for it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without an entry for this user
        return f"uid:{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _entry(row: Row) -> Entry:
    return Entry(
        seq=row["seq"],
        time=row["ts"],
        event=row["event"],
        actor=row["actor"],
        object=row["object"],
        body=row["body"],
        prev=row["prev"].hex(),
        hash=row["hash"].hex(),
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _where(selection: Selection, *, in_order: bool = False) -> tuple[str, list[str]]:
    """SQL that chooses the entries, and its values; ``in_order``: by the index of the numbers alone."""
    sign = "+" if in_order else ""
    conditions, values = ["1"], list[str]()
    if selection.since is not None:
        conditions.append("ts >= ?")
        values.append(_text(selection.since))
    if selection.until is not None:
        conditions.append("ts < ?")
        values.append(_text(selection.until))
    if selection.events:
        conditions.append(f"{sign}event IN ({', '.join('?' * len(selection.events))})")
        values += selection.events
    if selection.object_id:
        conditions.append(f"{sign}object = ? AND object <> ''")  # the second half names the index
        values.append(selection.object_id)
    return " AND ".join(conditions), values


def _facts(rotated: Entry) -> tuple[object, object]:
    """The head that an entry of a rotation says is in an archive."""
    try:
        body = msgspec.json.decode(rotated.body, type=dict[str, object])
    except msgspec.DecodeError:
        return (None, None)
    return body.get("last"), body.get("hash")

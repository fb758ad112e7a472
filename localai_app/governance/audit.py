"""The audit log: a chain of hashes in which an edited, removed or moved entry shows.

``hash = SHA256(tag ‖ prev ‖ canonical JSON of the entry)``. It is tamper-evident, not
tamper-proof: whoever holds the store's key can cut off the tail or write the whole chain anew, so
without a head that was kept elsewhere it does not resist the machine's own user.

There is no content in it: conversations and models are named by id or hash, text only by an HMAC
under its conversation's own key, which is erased with the conversation.
"""

import getpass
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from localai_app.store.database import Database, Row

_TAG = b"localai-app audit 1\0"
_START = bytes(32)
_BATCH = 2000

BodyValue = None | bool | int | float | str | list[int] | list[str]


class AuditEvent(StrEnum):
    """What may be written in the log."""

    APP_STARTED = "app.started"
    APP_STOPPED = "app.stopped"
    STORE_CREATED = "store.created"
    STORE_UNLOCK_FAILED = "store.unlock_failed"
    KEY_CHANGED = "key.changed"
    POLICY_IN_FORCE = "policy.in_force"
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
    MESSAGE_SENT = "message.sent"
    ANSWER_STARTED = "answer.started"
    ANSWER_FINISHED = "answer.finished"
    FEEDBACK_GIVEN = "feedback.given"
    CONVERSATION_CREATED = "conversation.created"
    CONVERSATION_TRASHED = "conversation.trashed"
    CONVERSATION_RESTORED = "conversation.restored"
    CONVERSATION_DELETED = "conversation.deleted"
    CONVERSATION_EXPORTED = "conversation.exported"
    CHAIN_VERIFIED = "chain.verified"


@dataclass(frozen=True)
class Head:
    """The last entry; kept somewhere else it proves what the log held at that time."""

    seq: int
    """0 while the log is empty."""
    hash: str
    """Hexadecimal."""


@dataclass(frozen=True)
class VerifyResult:
    """What `Audit.verify` found."""

    entries: int
    """Entries that are sound, counted from the first."""
    head: Head
    """The last sound one."""
    bad_seq: int | None = None
    """The first entry that is not what was written; None when all are."""
    problem: str = ""

    @property
    def sound(self) -> bool:
        """Whether every entry is as it was written."""
        return self.bad_seq is None


class Audit:
    """Writes and checks the log."""

    def __init__(
        self,
        database: Database,
        actor: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``actor`` is who acts; None: the user who is logged in."""
        self._database = database
        self._actor = actor or logged_in_user()
        self._now = now

    def append(
        self, event: AuditEvent, object_id: str = "", body: Mapping[str, BodyValue] | None = None
    ) -> Head:
        """Add an entry, in the caller's transaction (with the act itself) or in one of its own.

        ``object_id`` is what it is about: the id of a conversation, the hash of a model, the HMAC of
        a text. ``body`` says more. Neither holds content.
        """
        if not self._database.in_transaction:
            with self._database.transaction():
                return self.append(event, object_id, body)
        last = self.head()
        previous = bytes.fromhex(last.hash)
        seq = last.seq + 1
        written = self._now().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        text = _canonical(dict(body or {}))
        digest = _hash(previous, seq, written, event, self._actor, object_id, text)
        self._database.execute(
            "INSERT INTO audit (seq, ts, event, actor, object, body, prev, hash) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [seq, written, str(event), self._actor, object_id, text, previous, digest],
        )
        return Head(seq, digest.hex())

    def head(self) -> Head:
        """The last entry."""
        row = self._database.row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
        return Head(0, _START.hex()) if row is None else Head(row["seq"], row["hash"].hex())

    def verify(self) -> VerifyResult:
        """Check every entry from the first on; stops at the first that is not as it was written."""
        head, after = Head(0, _START.hex()), -(2**63)
        while True:
            rows = self._database.rows(
                "SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", [after, _BATCH]
            )
            for row in rows:
                problem = _problem(row, head)
                if problem:
                    return VerifyResult(head.seq, head, row["seq"], problem)
                head = Head(row["seq"], row["hash"].hex())
            if len(rows) < _BATCH:
                return VerifyResult(head.seq, head)
            after = rows[-1]["seq"]


def logged_in_user() -> str:
    """Login name; ``uid:1000`` where the system has no name for it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without an entry for this user
        return f"uid:{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _problem(row: Row, before: Head) -> str:
    if row["seq"] != before.seq + 1:
        return f"entry {before.seq + 1} is missing"
    if row["prev"].hex() != before.hash:
        return "it does not follow the entry before it"
    columns = (row[name] for name in ("seq", "ts", "event", "actor", "object", "body"))
    if not hmac.compare_digest(_hash(row["prev"], *columns), row["hash"]):
        return "it was changed"
    return ""


def _hash(previous: bytes, *entry: int | str) -> bytes:
    return hashlib.sha256(_TAG + previous + _canonical(list(entry)).encode()).digest()


def _canonical(value: object) -> str:
    """One text for one value: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)

"""Content that the organisation must keep, whatever its users erase; only where ContentCapture says so.

Each text is kept in the transaction that makes it, with the number of the audit entry that tells of it and a
key of its own: the entry holds the text's HMAC under that key. So what is handed over can be tied to the log,
and once a text is erased nothing in the log tells of it any more. The window says while this goes on.
"""

import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from localai_app.store.database import Database

_BATCH = 500


@dataclass(frozen=True)
class Content:
    """What a person or a model wrote."""

    kind: Literal["question", "answer", "result"]
    about: str
    """The conversation or run that it belongs to: its kind and number."""
    text: str


class Captured(msgspec.Struct, frozen=True):
    """A text as it is handed over: one line of JSON."""

    number: int
    time: str
    user: str
    kind: str
    about: str
    text: str
    entry: int
    """Of the audit log, whose body has ``hmac`` as ``captured``."""
    key: str
    hmac: str
    """HMAC-SHA256 of ``text`` under ``key``."""


class Capture:
    """What was kept and not erased yet. Writing goes with the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def key_for(self, content: Content) -> tuple[bytes, str]:
        """A new key for ``content``, and its HMAC under it."""
        key = secrets.token_bytes(32)
        return key, _digest(key, content.text)

    def keep(self, content: Content, key: bytes, *, entry: int, time: str, user: str) -> None:
        """Keep ``content``, of which entry ``entry`` of the audit log tells."""
        self._database.execute(
            "INSERT INTO capture (ts, actor, kind, about, content, key, entry) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [time, user, content.kind, content.about, content.text, key, entry],
        )

    def count(self) -> int:
        """Texts that are kept."""
        row = self._database.row("SELECT count(*) AS n FROM capture")
        return int(row["n"]) if row else 0

    def last(self) -> int:
        """Number of the newest; 0 where there is none."""
        row = self._database.row("SELECT max(id) AS last FROM capture")
        return int(row["last"] or 0) if row else 0

    def read(self, last: int) -> Iterator[Captured]:
        """All up to number ``last``, the oldest first."""
        number = 0
        while True:
            rows = self._database.rows(
                "SELECT * FROM capture WHERE id > ? AND id <= ? ORDER BY id LIMIT ?", [number, last, _BATCH]
            )
            for row in rows:
                number, key = row["id"], bytes(row["key"])
                yield Captured(
                    *(number, row["ts"], row["actor"], row["kind"], row["about"], row["content"]),
                    *(row["entry"], key.hex(), _digest(key, row["content"])),
                )
            if len(rows) < _BATCH:
                return

    def note_handed_over(self, last: int, time: str) -> None:
        """All up to number ``last`` were handed over to the organisation."""
        self._database.execute(
            "UPDATE capture SET handed_over = ? WHERE id <= ? AND handed_over IS NULL", [time, last]
        )

    def erase_handed_over(self, before: str) -> int:
        """Erase what was written before that time and was handed over; how many."""
        row = self._database.row(
            "SELECT count(*) AS n FROM capture WHERE ts < ? AND handed_over IS NOT NULL", [before]
        )
        self._database.execute("DELETE FROM capture WHERE ts < ? AND handed_over IS NOT NULL", [before])
        return int(row["n"]) if row else 0


def _digest(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()

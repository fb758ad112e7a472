"""Evaluated conversations on disk, so that one that is opened again need not be read again.

The engine writes and reads the files; here are their keys. A file is encrypted with a key of its own
that stands only in the store: erasing the row makes it unreadable, whatever becomes of its bytes.
"""

import contextlib
import secrets
import threading
import time
from pathlib import Path

from localai_app.engine.client import Engine
from localai_app.engine.protocol import SnapshotFile
from localai_app.errors import EngineError, StoreError
from localai_app.store.database import Database

BUDGET = 2 * 1024**3
"""Bytes of all files; the longest unused goes first."""
_REST_SECONDS = 3.0
"""A conversation that was left alone for so long is written."""


class Snapshots:
    """Snapshots of the conversations of one store."""

    def __init__(self, database: Database, folder: Path, engine: Engine, *, budget: int = BUDGET) -> None:
        self._database = database
        self._folder = folder
        self._engine = engine
        self._budget = budget
        self._due: dict[int, tuple[threading.Timer, str]] = {}
        self._lock = threading.Lock()

    def find(self, conversation_id: int, model_sha256: str) -> SnapshotFile | None:
        """The snapshot of a conversation for this model; the engine decides whether it still fits."""
        self._not_due(conversation_id)
        row = self._database.row(
            "SELECT file, key FROM kv_snapshot WHERE conversation_id = ? AND model_sha256 = ?",
            [conversation_id, model_sha256],
        )
        return SnapshotFile(path=str(self._folder / row["file"]), key=row["key"]) if row else None

    def turn_ended(self, conversation_id: int, model_sha256: str) -> None:
        """Write the conversation when it rests."""
        timer = threading.Timer(_REST_SECONDS, self._write_due, [conversation_id])
        timer.daemon = True
        with self._lock:
            self._due[conversation_id] = (timer, model_sha256)
        timer.start()

    def write_all_due(self) -> None:
        """Write now what waits for its rest: the app is closing."""
        with self._lock:
            waiting = list(self._due)
        for conversation_id in waiting:
            self._write_due(conversation_id)

    def erase(self, conversation_id: int) -> None:
        """Forget a conversation in the engine and on disk; inside the transaction that erases it."""
        self._not_due(conversation_id)
        self._engine.forget(slot_name(conversation_id))
        self._drop(conversation_id)

    def sweep(self) -> None:
        """Remove files that no row knows: a crash left them, or their conversation is gone."""
        known = {row["file"] for row in self._database.rows("SELECT file FROM kv_snapshot")}
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name not in known:
                    path.unlink(missing_ok=True)

    def _write_due(self, conversation_id: int) -> None:
        due = self._not_due(conversation_id)
        if due is None:
            return
        # Without a snapshot the next turn is slower; nothing else is lost, so nobody is told.
        with contextlib.suppress(EngineError, StoreError, OSError):
            self._write(conversation_id, due[1])

    def _write(self, conversation_id: int, model_sha256: str) -> None:
        file = SnapshotFile(
            path=str(self._folder / f"{secrets.token_hex(16)}.kv"), key=secrets.token_bytes(32)
        )
        size = self._engine.save_snapshot(slot_name(conversation_id), file)
        if not size:
            return
        path = Path(file.path)
        with self._database.transaction():
            self._drop(conversation_id)
            if self._database.row("SELECT 1 FROM conversation WHERE id = ?", [conversation_id]) is None:
                path.unlink(missing_ok=True)  # erased in the meantime
                return
            self._database.execute(
                "INSERT INTO kv_snapshot (conversation_id, model_sha256, file, key, size, used) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [conversation_id, model_sha256, path.name, file.key, size, time.time_ns() // 1000],
            )
            self._make_room()

    def _make_room(self) -> None:
        rows = self._database.rows("SELECT conversation_id, size FROM kv_snapshot ORDER BY used")
        excess = sum(row["size"] for row in rows) - self._budget
        for row in rows:
            if excess <= 0:
                return
            self._drop(row["conversation_id"])
            excess -= row["size"]

    def _drop(self, conversation_id: int) -> None:
        row = self._database.row(
            "DELETE FROM kv_snapshot WHERE conversation_id = ? RETURNING file", [conversation_id]
        )
        if row:
            (self._folder / row["file"]).unlink(missing_ok=True)

    def _not_due(self, conversation_id: int) -> tuple[threading.Timer, str] | None:
        with self._lock:
            due = self._due.pop(conversation_id, None)
        if due:
            due[0].cancel()
        return due


def slot_name(conversation_id: int) -> str:
    """What the engine calls the conversation."""
    return f"chat-{conversation_id}"

"""The list of models to fetch, kept in the store: all SQL about it.

GUI and command line may share a store: a pull that is worked on carries a lease (see
`localai_app.store.leases`), and whoever wants it stopped takes the lease away by changing its state.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from localai_app.store import leases
from localai_app.store.database import Database, Row


class PullState(StrEnum):
    """How far a pull is."""

    QUEUED = "queued"
    RUNNING = "running"
    CHECKING = "checking"
    """All bytes are here and are those that were published; now it is loaded once."""
    PAUSED = "paused"
    INSTALLED = "installed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless someone asks."""
        return self in (PullState.PAUSED, PullState.INSTALLED, PullState.FAILED, PullState.CANCELLED)


@dataclass(frozen=True)
class PullFile:
    """A file to fetch."""

    name: str
    """Path inside the repository."""
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal; empty where the hub does not say."""
    verified: bool = False
    """All of it is here, and its hash is right."""


@dataclass(frozen=True)
class PullRow:
    """A pull as the store keeps it."""

    id: int
    repo: str
    revision: str
    """Commit."""
    licence: str
    files: tuple[PullFile, ...]
    folder: str
    """Name of its folder in the quarantine."""
    path: str
    """Where its first file will stand, or stands; empty until all files are here."""
    state: PullState
    error: str


class Pulls:
    """The table of pulls. A method that changes a state says whether it was so that it could."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[PullRow]:
        """All pulls in the order in which they come."""
        return [_pull(row) for row in self._database.rows("SELECT * FROM pull ORDER BY position, id")]

    def get(self, pull_id: int) -> PullRow | None:
        """The pull of that id."""
        row = self._database.row("SELECT * FROM pull WHERE id = ?", [pull_id])
        return None if row is None else _pull(row)

    def add(self, repo: str, revision: str, licence: str, files: tuple[PullFile, ...]) -> int:
        """Queue a pull; its id."""
        row = self._database.row(
            "INSERT INTO pull (repo, revision, licence, files, folder, state, position, created) VALUES "
            "(?, ?, ?, ?, ?, 'queued', (SELECT coalesce(max(position), 0) + 1 FROM pull), ?) RETURNING id",
            [repo, revision, licence, _files_json(files), secrets.token_hex(8), _microseconds(_now())],
        )
        assert row is not None
        return int(row["id"])

    def claim_next(self) -> PullRow | None:
        """The first that is queued, which is this process's from now on."""
        row = self._database.row(
            "UPDATE pull SET state = 'running', error = '', lease_owner = ?, lease_until = ? WHERE id = "
            "(SELECT id FROM pull WHERE state = 'queued' ORDER BY position, id LIMIT 1) RETURNING *",
            [leases.this_process(), _lease_end()],
        )
        return None if row is None else _pull(row)

    def renew(self, pull_id: int) -> bool:
        """Keep the lease; False when someone has stopped the pull."""
        changed = self._database.execute(
            "UPDATE pull SET lease_until = ? WHERE id = ? AND lease_owner = ?",
            [_lease_end(), pull_id, leases.this_process()],
        )
        return bool(changed)

    def set_files(self, pull_id: int, files: tuple[PullFile, ...]) -> None:
        """Keep what is verified by now."""
        self._database.execute("UPDATE pull SET files = ? WHERE id = ?", [_files_json(files), pull_id])

    def begin_check(self, pull_id: int, path: str) -> bool:
        """All files are verified; the first will stand at ``path``."""
        changed = self._database.execute(
            "UPDATE pull SET state = 'checking', path = ? WHERE id = ? AND lease_owner = ?",
            [path, pull_id, leases.this_process()],
        )
        return bool(changed)

    def end(self, pull_id: int, state: PullState, error: str = "") -> bool:
        """Give up this process's lease."""
        changed = self._database.execute(
            "UPDATE pull SET state = ?, error = ?, lease_owner = NULL, lease_until = NULL "
            "WHERE id = ? AND lease_owner = ?",
            [str(state), error, pull_id, leases.this_process()],
        )
        return bool(changed)

    def change(self, pull_id: int, state: PullState, *, from_: tuple[PullState, ...]) -> bool:
        """Let it be in ``state``, whoever works on it, if it is in one of ``from_``."""
        changed = self._database.execute(
            "UPDATE pull SET state = ?, lease_owner = NULL, lease_until = NULL "
            "WHERE id = ? AND state IN (SELECT value FROM json_each(?))",
            [str(state), pull_id, json.dumps(from_)],
        )
        return bool(changed)

    def move_to_front(self, pull_id: int) -> None:
        """Let it be the next."""
        self._database.execute(
            "UPDATE pull SET position = (SELECT min(position) - 1 FROM pull) WHERE id = ?", [pull_id]
        )

    def remove(self, pull_id: int) -> None:
        """Forget it."""
        self._database.execute("DELETE FROM pull WHERE id = ?", [pull_id])

    def folder_moved(self, source: str, target: str) -> None:
        """Files in the folder ``source`` lie in ``target`` now; both end with a separator."""
        self._database.execute(
            "UPDATE pull SET path = ? || substr(path, ?) WHERE substr(path, 1, ?) = ?",
            [target, len(source) + 1, len(source), source],
        )

    def requeue_abandoned(self) -> bool:
        """Queue what a process that died left; whether anything is queued."""
        for row in self._database.rows("SELECT * FROM pull WHERE lease_owner IS NOT NULL"):
            alive = leases.is_alive(row["lease_owner"])
            if row["lease_until"] < _microseconds(_now()) if alive is None else not alive:
                self._database.execute(
                    "UPDATE pull SET state = 'queued', lease_owner = NULL, lease_until = NULL "
                    "WHERE id = ? AND lease_owner = ?",
                    [row["id"], row["lease_owner"]],
                )
        return self._database.row("SELECT 1 FROM pull WHERE state = 'queued'") is not None


def _pull(row: Row) -> PullRow:
    return PullRow(
        id=row["id"],
        repo=row["repo"],
        revision=row["revision"],
        licence=row["licence"],
        files=tuple(PullFile(**file) for file in json.loads(row["files"])),
        folder=row["folder"],
        path=row["path"],
        state=PullState(row["state"]),
        error=row["error"],
    )


def _files_json(files: tuple[PullFile, ...]) -> str:
    return json.dumps([vars(file) for file in files])


def _lease_end() -> int:
    return _microseconds(_now() + timedelta(seconds=leases.LEASE_SECONDS))


def _now() -> datetime:
    return datetime.now(UTC)


def _microseconds(when: datetime) -> int:
    return int(when.timestamp() * 1_000_000)

"""The encrypted database: connections, transactions, and what its errors mean to a person.

Every call borrows a connection for as long as it lasts and gives it back; a transaction keeps its
connection to the end. So a reader never waits for a writer in another thread, the number of open
connections is the greatest number of threads that were inside a call at once (not the number of
threads that ever lived: a Qt pool makes and ends Python's thread state with every job), the last
used one comes first with its page cache warm, and `Database.close` can wait for all of them.

``synchronous=FULL``: a commit is on the disk when it returns (about 1 ms); what a person typed
survives a power cut.
"""

import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import sqlcipher3.dbapi2 as sqlcipher
import sqlite_utils

from localai_app.errors import StoreDamaged, StoreError, StoreLocked, WrongKey
from localai_app.store import files, migrations

KEY_BYTES = 32
BUSY_SECONDS = 5.0
"""How long a writer waits for another process before it gives up with `StoreLocked`."""

Values = Sequence[object] | Mapping[str, object]

# SQLite's primary result codes, https://sqlite.org/rescode.html
_PERM, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 3, 5, 6, 8, 10, 11, 13, 14, 26
_IOERR_SHMSIZE = 4874
"""The file beside the database that holds the WAL's index cannot grow: no space."""


class Row(Protocol):
    """A row of an answer; values by column name or position."""

    def __getitem__(self, key: str | int, /) -> Any:
        """The value of one column."""

    def keys(self) -> list[str]:
        """Names of the columns."""


class Database:
    """One open store; every method may be called from any thread."""

    path: Path
    upgraded_from: int | None = None
    """The schema that it had until it was opened just now, where that was an older one."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Internal: use `open`."""
        self.path = path
        self._key = key
        self._idle: list[sqlite_utils.Database] = []
        self._borrowed = 0
        self._closed = False
        self._changed = threading.Condition()
        self._own = threading.local()

    @classmethod
    def open(cls, path: Path, key: bytes) -> "Database":
        """Open the store at ``path`` (made if absent, schema brought up to date) with its raw key.

        Raise `WrongKey`, `StoreLocked`, `DiskFull`, `StoreReadOnly`, `NewerSchema` or `StoreDamaged`.
        """
        assert len(key) == KEY_BYTES
        files.make_private_folder(path.parent)
        _prepare_file(path)
        database = cls(path, key)
        try:
            with database._connection() as connection, _store_errors(path, opening=True):
                before = migrations.migrate(connection, path)
            if 0 < before < len(migrations.MIGRATIONS):
                database.upgraded_from = before
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Wait for calls under way in other threads, then close every connection; twice is fine."""
        assert not self.in_transaction
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._borrowed == 0)
            while self._idle:
                self._idle.pop().close()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside `transaction`."""
        return getattr(self._own, "connection", None) is not None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: commit at the end, roll back on any exception.

        Begins as a writer (BEGIN IMMEDIATE), so nothing it reads can change under it.
        """
        assert not self.in_transaction, "one user action is one transaction: they do not nest"
        with self._connection() as connection:
            with _store_errors(self.path):
                connection.execute("BEGIN IMMEDIATE")
            self._own.connection, self._own.erases = connection, False
            try:
                yield
                with _store_errors(self.path):
                    connection.execute("COMMIT")
                if self._own.erases:
                    self._truncate_log(connection)
            except BaseException:
                # SQLite itself has rolled back after a full disk; else it is done here.
                with suppress(sqlcipher.Error):
                    connection.rollback()
                raise
            finally:
                self._own.connection = None

    def execute(self, sql: str, values: Values = ()) -> int:
        """Run one statement, in this thread's transaction or in its own; the number of rows changed."""
        with self._connection() as connection, _store_errors(self.path):
            return int(connection.execute(sql, values).rowcount)  # type: ignore[arg-type]

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        """All rows that one statement answers."""
        with self._connection() as connection, _store_errors(self.path):
            return connection.execute(sql, values).fetchall()  # type: ignore[arg-type]

    def row(self, sql: str, values: Values = ()) -> Row | None:
        """The first row that one statement answers; None when there is none."""
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    @property
    def schema(self) -> int:
        """Number of the schema that it has."""
        return len(migrations.MIGRATIONS)

    def remove_copies(self, before: datetime) -> int:
        """Remove the copies that upgrades made before then; how many."""
        return migrations.remove_copies(self.path, before)

    def copy_to(self, target: Path) -> None:
        """Copy the store as it is at this moment, encrypted with the same key, to ``target``; others go on
        reading and writing meanwhile."""
        with self._connection() as connection, _store_errors(self.path):
            migrations.copy_whole(connection, target)

    @staticmethod
    def change_key(path: Path, key: bytes, new: bytes) -> None:
        """Encrypt every page of a store that nobody has open under another key.

        Not safe against a power cut in the middle: do it to a copy.
        """
        assert len(new) == KEY_BYTES
        with _store_errors(path, opening=True), closing(_connect(path, key)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE").fetchall()
            connection.execute(f"PRAGMA rekey = \"x'{new.hex()}'\"")

    def check(self) -> list[str]:
        """Everything that is wrong with the file, a line each; empty when it is sound."""
        problems: list[str] = []
        # A connection of its own: after one bad page SQLCipher refuses the good ones too.
        for pragma in ("cipher_integrity_check", "integrity_check", "foreign_key_check"):
            try:
                with _store_errors(self.path), closing(_connect(self.path, self._key)) as connection:
                    found = connection.execute(f"PRAGMA {pragma}").fetchall()
            except StoreError as error:
                problems.append(f"{pragma}: {error}")
                continue
            for row in found:
                text = " ".join(str(value) for value in row)
                problems += [] if text == "ok" else [f"{pragma}: {line}" for line in text.splitlines()]
        return problems

    def erase_log_on_commit(self) -> None:
        """Let this transaction, once committed, also take what it erased out of the write-ahead log.

        Waits for nobody: pages that another reader still needs leave the log at a later time.
        """
        assert self.in_transaction
        self._own.erases = True

    @contextmanager
    def _connection(self) -> Iterator[sqlite_utils.Database]:
        """This thread's transaction's connection, or one that is borrowed for the time being."""
        own: sqlite_utils.Database | None = getattr(self._own, "connection", None)
        if own is not None:
            yield own
            return
        connection = self._borrow()
        sound = True
        try:
            yield connection
        except StoreError:
            sound = False  # a damaged page poisons SQLCipher's connection
            raise
        finally:
            with self._changed:
                if sound:
                    self._idle.append(connection)
                else:
                    connection.close()
                self._borrowed -= 1
                self._changed.notify_all()

    def _truncate_log(self, connection: sqlite_utils.Database) -> None:
        with _store_errors(self.path):
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

    def _borrow(self) -> sqlite_utils.Database:
        with self._changed:
            assert not self._closed, "the store is closed"
            self._borrowed += 1
            if self._idle:
                return self._idle.pop()
        try:
            with _store_errors(self.path, opening=True):
                return _connect(self.path, self._key)
        except BaseException:
            with self._changed:
                self._borrowed -= 1
                self._changed.notify_all()
            raise


def _prepare_file(path: Path) -> None:
    """Make sure that ``path`` is a plain file that can be written, readable by its owner alone."""
    with files.os_errors(path):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise StoreError(
                f"“{path}” is a link or not a plain file; a store is never opened through one.",
                "Move the real file there, or name its folder with --data-dir.",
            )
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if os.name == "posix" and stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)


def _connect(path: Path, key: bytes) -> sqlite_utils.Database:
    """A connection with the key set and every setting that SQLite keeps per connection."""
    # Connections move between threads, one at a time; SQLite itself is built for that.
    connection = sqlcipher.connect(
        str(path), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        for pragma in (
            "cipher_log_level = NONE",
            f"key = \"x'{key.hex()}'\"",
            "temp_store = MEMORY",  # nothing decrypted is ever written to a temporary file
            "foreign_keys = ON",
            "secure_delete = ON",
            "synchronous = FULL",
            "cache_size = -32768",  # 32 MiB at most: halves the cost of full-text search
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.row_factory = sqlcipher.Row
        return sqlite_utils.Database(connection, execute_plugins=False)
    except BaseException:
        connection.close()
        raise


@contextmanager
def _store_errors(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Turn what SQLite says about the file into a `StoreError`; what it says about our SQL stays."""
    try:
        yield
    except sqlcipher.Error as error:
        extended = getattr(error, "sqlite_errorcode", 0)
        code = extended & 0xFF
        if code == _NOTADB and opening:
            raise WrongKey(
                f"The key does not open the store “{path}”.",
                "Use the key or passphrase that it was made with; "
                "if that is what you did, its first page is damaged: restore a backup.",
            ) from error
        if code in (_NOTADB, _CORRUPT):
            raise StoreDamaged(
                f"The store “{path}” is damaged: a page fails its check.",
                "Copy the file away, run “localai-app doctor”, and restore a backup.",
            ) from error
        if code in (_BUSY, _LOCKED):
            raise StoreLocked(
                f"Another program keeps the store “{path}” locked.",
                "Close other windows of LocalAI App and try again.",
            ) from error
        if code == _FULL or extended == _IOERR_SHMSIZE or (code == _IOERR and files.is_full(path)):
            raise files.disk_full(path) from error
        if code in (_PERM, _READONLY, _CANTOPEN):
            raise files.read_only(path) from error
        if code == _IOERR:
            raise StoreError(
                f"The disk that holds the store “{path}” reports an error.",
                "Check the disk; nothing that was saved before is lost.",
            ) from error
        raise

"""The schema, as numbered steps; a step that was ever released is never changed, only followed.

``PRAGMA user_version`` is the number of the last step. Each step is one transaction. A store that
holds data is copied first (encrypted with the same key); the copy stays beside it. Times are
microseconds since 1970 in UTC.
"""

import os
from contextlib import suppress
from pathlib import Path

import sqlcipher3.dbapi2 as sqlcipher
import sqlite_utils

from localai_app.errors import NewerSchema
from localai_app.store import files

_SCHEMA_1 = """
CREATE TABLE workspace (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;
INSERT INTO workspace (id, name, created)
VALUES (1, 'Personal', CAST(unixepoch('subsec') * 1000000 AS INTEGER));

-- Ids are never used again (AUTOINCREMENT): the audit log and exports name them.
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspace (id),
    title TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    trashed INTEGER,
    system_prompt TEXT NOT NULL DEFAULT '',
    parameters TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(parameters)),
    leaf_id INTEGER,
    model_sha256 TEXT NOT NULL DEFAULT '',
    -- Key of the HMACs by which the audit log names this conversation's content. It goes with the
    -- conversation: after that nobody can tell what they stood for.
    content_key BLOB NOT NULL CHECK (length(content_key) = 32),
    FOREIGN KEY (id, leaf_id) REFERENCES message (conversation_id, id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX conversation_listed ON conversation (workspace_id, updated, id) WHERE trashed IS NULL;
CREATE INDEX conversation_trashed ON conversation (workspace_id, updated, id) WHERE trashed IS NOT NULL;

-- Where the engine's evaluated state of a conversation lies. The file is encrypted with this key and
-- nothing else opens it: erasing the row erases the file's content.
CREATE TABLE kv_snapshot (
    conversation_id INTEGER PRIMARY KEY REFERENCES conversation (id) ON DELETE CASCADE,
    model_sha256 TEXT NOT NULL,
    file TEXT NOT NULL UNIQUE,
    key BLOB NOT NULL CHECK (length(key) = 32),
    size INTEGER NOT NULL,
    used INTEGER NOT NULL
) STRICT;

CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_id INTEGER NOT NULL REFERENCES conversation (id),
    parent_id INTEGER,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    created INTEGER NOT NULL,
    text TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    -- Who writes it now, and until when that may be believed without a sign of life.
    lease_owner TEXT,
    lease_until INTEGER,
    CHECK ((status = 'generating') = (lease_owner IS NOT NULL AND lease_until IS NOT NULL)),
    UNIQUE (conversation_id, id),
    -- A parent is of the same conversation.
    FOREIGN KEY (conversation_id, parent_id) REFERENCES message (conversation_id, id)
) STRICT;
CREATE INDEX message_by_parent ON message (conversation_id, parent_id, role);
CREATE INDEX message_generating ON message (lease_until) WHERE status = 'generating';

CREATE TABLE answer_record (
    message_id INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    record TEXT CHECK (json_valid(record)),
    stats TEXT CHECK (json_valid(stats))
) STRICT;

CREATE TABLE feedback (
    message_id INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    value INTEGER NOT NULL CHECK (value IN (-1, 1)),
    correction TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL
) STRICT;

-- Full-text search. A message that is being written is not in the index, so saving it as it grows
-- costs nothing there. The two characters that mark found words in a snippet are blanked.
CREATE VIEW message_text AS
SELECT id, replace(replace(text, char(2), ' '), char(3), ' ') AS text
FROM message WHERE status <> 'generating';
CREATE VIRTUAL TABLE message_search USING fts5 (
    text, content = 'message_text', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO message_search (message_search, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER message_inserted AFTER INSERT ON message BEGIN
    INSERT INTO message_search (rowid, text)
    SELECT new.id, replace(replace(new.text, char(2), ' '), char(3), ' ')
    WHERE new.status <> 'generating';
END;
CREATE TRIGGER message_updated AFTER UPDATE OF text, status ON message BEGIN
    INSERT INTO message_search (message_search, rowid, text)
    SELECT 'delete', old.id, replace(replace(old.text, char(2), ' '), char(3), ' ')
    WHERE old.status <> 'generating';
    INSERT INTO message_search (rowid, text)
    SELECT new.id, replace(replace(new.text, char(2), ' '), char(3), ' ')
    WHERE new.status <> 'generating';
END;
CREATE TRIGGER message_deleted AFTER DELETE ON message BEGIN
    INSERT INTO message_search (message_search, rowid, text)
    SELECT 'delete', old.id, replace(replace(old.text, char(2), ' '), char(3), ' ')
    WHERE old.status <> 'generating';
END;

CREATE VIRTUAL TABLE conversation_search USING fts5 (
    title, content = 'conversation', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO conversation_search (conversation_search, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER conversation_inserted AFTER INSERT ON conversation BEGIN
    INSERT INTO conversation_search (rowid, title) VALUES (new.id, new.title);
END;
CREATE TRIGGER conversation_renamed AFTER UPDATE OF title ON conversation BEGIN
    INSERT INTO conversation_search (conversation_search, rowid, title) VALUES ('delete', old.id, old.title);
    INSERT INTO conversation_search (rowid, title) VALUES (new.id, new.title);
END;
CREATE TRIGGER conversation_deleted AFTER DELETE ON conversation BEGIN
    INSERT INTO conversation_search (conversation_search, rowid, title) VALUES ('delete', old.id, old.title);
END;

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT, WITHOUT ROWID;

-- Hashes of model files, good as long as size and time of change are the same.
CREATE TABLE model_file (
    path TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    ts TEXT NOT NULL,
    event TEXT NOT NULL,
    actor TEXT NOT NULL,
    object TEXT NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    prev BLOB NOT NULL CHECK (length(prev) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TRIGGER audit_not_updated BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_not_deleted BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
"""

_SCHEMA_2 = """
-- Models that are fetched, or were. What has come of a file is told by the file itself.
CREATE TABLE pull (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repo TEXT NOT NULL,
    revision TEXT NOT NULL,
    licence TEXT NOT NULL,
    files TEXT NOT NULL CHECK (json_valid(files)),
    -- Its folder in the quarantine, and where it shall stand when it has passed.
    folder TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL,
    created INTEGER NOT NULL,
    -- Who works on it now, and until when that may be believed without a sign of life.
    lease_owner TEXT,
    lease_until INTEGER,
    CHECK ((state IN ('running', 'checking')) = (lease_owner IS NOT NULL AND lease_until IS NOT NULL))
) STRICT;
"""

_SCHEMA_3 = """
-- The hash of a model file is the one that was first seen or accepted; empty while it was never computed.
-- Where the file was found to be another one, found_sha256 says which.
ALTER TABLE model_file ADD COLUMN found_sha256 TEXT NOT NULL DEFAULT '';
ALTER TABLE model_file ADD COLUMN recorded INTEGER;
ALTER TABLE model_file ADD COLUMN verified INTEGER;
ALTER TABLE model_file ADD COLUMN used INTEGER;
ALTER TABLE model_file ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE model_file ADD COLUMN licence TEXT NOT NULL DEFAULT '';
"""

MIGRATIONS: list[str] = [_SCHEMA_1, _SCHEMA_2, _SCHEMA_3]


def migrate(connection: sqlite_utils.Database, path: Path) -> None:
    """Bring the store at ``path`` to the newest schema; raise `NewerSchema` before touching a newer one."""
    version = schema_version(connection)
    if version > len(MIGRATIONS):
        raise NewerSchema(
            f"The store “{path}” was written by a newer version of LocalAI App "
            f"(schema {version}; this version knows {len(MIGRATIONS)}).",
            "Install the newer version again; nothing was changed.",
        )
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    if version == len(MIGRATIONS):
        return
    if version > 0:
        _back_up(connection, backup_path(path, version))
    for number in range(version + 1, len(MIGRATIONS) + 1):
        _apply(connection, number)


def schema_version(connection: sqlite_utils.Database) -> int:
    """Number of the last step that was applied; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def backup_path(path: Path, version: int) -> Path:
    """Where the copy lies that was made before a store of schema ``version`` was changed."""
    return path.with_name(f"{path.stem}.schema-{version}.backup{path.suffix}")


def _apply(connection: sqlite_utils.Database, number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if schema_version(connection) < number:  # else another process was quicker
            connection.executescript(MIGRATIONS[number - 1])
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlcipher.Error):
            connection.rollback()
        raise


def _back_up(connection: sqlite_utils.Database, target: Path) -> None:
    """Copy the whole store, encrypted with the same key, to ``target``: all of it or nothing."""
    partial = target.with_name(f"{target.name}.partial")
    with files.os_errors(target):
        files.write_private(partial, b"")  # VACUUM INTO takes an empty file, and keeps its mode
        try:
            connection.execute("VACUUM INTO ?", [str(partial)])
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(target)
            files.sync_folder(target.parent)
        finally:
            partial.unlink(missing_ok=True)

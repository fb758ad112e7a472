"""The schema, as numbered steps; a step that was ever released is never changed, only followed.

``PRAGMA user_version`` is the number of the last step. Each step is one transaction. A store that
holds data is copied first (encrypted with the same key); the copy stays beside it for a while. Times
are microseconds since 1970 in UTC.
"""

import os
import secrets
from contextlib import suppress
from datetime import datetime
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

_SCHEMA_4 = """
-- Ids are never used again: the audit log names them.
CREATE TABLE collection (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspace (id),
    name TEXT NOT NULL COLLATE NOCASE,
    created INTEGER NOT NULL,
    UNIQUE (workspace_id, name)
) STRICT;

CREATE TABLE document (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspace (id),
    -- The mail that it was attached to.
    parent_id INTEGER REFERENCES document (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- As the system spells it, which need not be text; empty for an attachment.
    path BLOB NOT NULL,
    -- Of the file whose text is here; before the first reading, of the file that was added.
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    format TEXT NOT NULL,
    state TEXT NOT NULL,
    -- What comes next while it is not ready: its pages are read, or its vectors made.
    stage TEXT NOT NULL CHECK (stage IN ('read', 'embed')),
    error TEXT NOT NULL DEFAULT '',
    added INTEGER NOT NULL,
    trashed INTEGER,
    -- Which of its readings is the one that counts; 0 before the first is whole. The pages of the
    -- next one, of the file with draft_sha256, gather under the number that follows.
    reading INTEGER NOT NULL DEFAULT 0,
    draft_sha256 TEXT NOT NULL DEFAULT '',
    pages INTEGER NOT NULL DEFAULT 0,
    pages_read INTEGER NOT NULL DEFAULT 0,
    characters INTEGER NOT NULL DEFAULT 0,
    tokens INTEGER NOT NULL DEFAULT 0,
    language TEXT NOT NULL DEFAULT '',
    facts TEXT CHECK (json_valid(facts)),
    -- Key of the HMACs by which the audit log names its content. It goes with the document.
    content_key BLOB NOT NULL CHECK (length(content_key) = 32),
    -- Who works on it now, and until when that may be believed without a sign of life.
    lease_owner TEXT,
    lease_until INTEGER,
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CHECK (state <> 'reading' OR lease_owner IS NOT NULL)
) STRICT;
CREATE INDEX document_by_sha256 ON document (sha256);
CREATE INDEX document_by_draft ON document (draft_sha256) WHERE draft_sha256 <> '';
CREATE INDEX document_by_path ON document (path) WHERE path <> x'';
CREATE INDEX document_by_parent ON document (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX document_waiting ON document (state, stage, id);
CREATE INDEX document_leased ON document (lease_until) WHERE lease_owner IS NOT NULL;

CREATE TABLE collection_document (
    collection_id INTEGER NOT NULL REFERENCES collection (id) ON DELETE CASCADE,
    document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
    PRIMARY KEY (collection_id, document_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX collection_by_document ON collection_document (document_id);

-- The text comes first and the boxes last: who reads text does not read the boxes' pages of the file.
CREATE TABLE page (
    document_id INTEGER NOT NULL REFERENCES document (id) ON DELETE CASCADE,
    reading INTEGER NOT NULL,
    number INTEGER NOT NULL,
    text TEXT NOT NULL,
    -- All else that was read of it, as msgpack.
    body BLOB NOT NULL,
    -- Where each character stands, compressed.
    boxes BLOB NOT NULL,
    UNIQUE (document_id, reading, number)
) STRICT;

-- Files that lie nowhere else: what was attached to mails.
CREATE TABLE document_data (
    document_id INTEGER PRIMARY KEY REFERENCES document (id) ON DELETE CASCADE,
    data BLOB NOT NULL
) STRICT;
"""

_SCHEMA_5 = """
-- A chunk's text is not here: it is that stretch of its page. So chunks leave before their page does.
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id INTEGER NOT NULL REFERENCES document (id),
    reading INTEGER NOT NULL,
    page INTEGER NOT NULL,
    first INTEGER NOT NULL,
    past INTEGER NOT NULL,
    heading TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    words INTEGER NOT NULL,
    language TEXT NOT NULL,
    -- Whether its words are in chunk_search.
    searchable INTEGER NOT NULL,
    FOREIGN KEY (document_id, reading, page) REFERENCES page (document_id, reading, number)
) STRICT;
CREATE INDEX chunk_by_page ON chunk (document_id, reading, page);
CREATE INDEX chunk_to_do ON chunk (id) WHERE NOT searchable;

-- How many chunks are in which language.
CREATE TABLE chunk_language (
    language TEXT PRIMARY KEY,
    chunks INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    words INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER chunk_counted AFTER INSERT ON chunk BEGIN
    INSERT INTO chunk_language (language, chunks, tokens, words)
    VALUES (new.language, 1, new.tokens, new.words)
    ON CONFLICT (language) DO UPDATE
    SET chunks = chunks + 1, tokens = tokens + excluded.tokens, words = words + excluded.words;
END;
CREATE TRIGGER chunk_uncounted AFTER DELETE ON chunk BEGIN
    UPDATE chunk_language SET chunks = chunks - 1, tokens = tokens - old.tokens, words = words - old.words
    WHERE language = old.language;
    DELETE FROM chunk_language WHERE chunks = 0;
END;

-- Words as documents/languages.py makes them, divided by spaces; it keeps no text, so what is taken
-- out is named anew. Everything that is not ASCII belongs to a word.
CREATE VIRTUAL TABLE chunk_search USING fts5 (heading, body, content = '', tokenize = 'ascii');
INSERT INTO chunk_search (chunk_search, rank) VALUES ('secure-delete', 1);

CREATE TABLE embedding_model (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    dimensions INTEGER NOT NULL
) STRICT;

-- A rowid table: its rows may be as long as a page of the file, those of others a quarter of it.
CREATE TABLE chunk_vector (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk_id INTEGER NOT NULL REFERENCES chunk (id) ON DELETE CASCADE,
    model_id INTEGER NOT NULL REFERENCES embedding_model (id),
    -- Of length 1; 16-bit floating-point numbers.
    value BLOB NOT NULL,
    UNIQUE (chunk_id, model_id)
) STRICT;
CREATE INDEX chunk_vector_by_model ON chunk_vector (model_id, seq);

-- How often chunks or vectors came, and went; and how texts were made into words.
CREATE TABLE chunk_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    added INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0,
    analysis TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO chunk_state (id) VALUES (1);
"""

_SCHEMA_6 = """
-- The documents that a conversation is grounded in, and how; null for none.
ALTER TABLE conversation ADD COLUMN sources TEXT CHECK (json_valid(sources));

-- What an answer was given of them, without the text, and what it cites: where, and the page's own words.
CREATE TABLE answer_grounding (
    message_id INTEGER PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
    given TEXT NOT NULL CHECK (json_valid(given)),
    citations TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(citations))
) STRICT;
"""

_SCHEMA_7 = """
-- Signs the checkpoints of the audit log.
CREATE TABLE audit_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    private BLOB NOT NULL CHECK (length(private) = 32)
) STRICT;
CREATE TRIGGER audit_key_not_updated BEFORE UPDATE ON audit_key BEGIN
    SELECT RAISE(ABORT, 'the audit log keeps its key');
END;
CREATE TRIGGER audit_key_not_deleted BEFORE DELETE ON audit_key BEGIN
    SELECT RAISE(ABORT, 'the audit log keeps its key');
END;

-- Entries come at the end alone. They leave only when the last entry says that they, up to a
-- checkpoint that stays, are in an archive.
CREATE TRIGGER audit_appended BEFORE INSERT ON audit
WHEN new.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit)
    OR new.prev <> coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), zeroblob(32))
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
DROP TRIGGER audit_not_deleted;
CREATE TRIGGER audit_not_deleted BEFORE DELETE ON audit
WHEN NOT EXISTS (
    SELECT 1 FROM audit AS last
    JOIN audit AS kept ON kept.seq = json_extract(last.body, '$.last') + 1 AND kept.event = 'audit.checkpoint'
    WHERE last.seq = (SELECT max(seq) FROM audit) AND last.event = 'audit.rotated' AND old.seq < kept.seq
)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE INDEX audit_by_event ON audit (event);
CREATE INDEX audit_by_object ON audit (object) WHERE object <> '';
"""

_SCHEMA_8 = """
-- One task over many documents. Ids are never used again: the audit log names them.
CREATE TABLE task_run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id INTEGER NOT NULL REFERENCES workspace (id),
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    -- The collections that its documents were in, by name; empty for none.
    place TEXT NOT NULL,
    options TEXT NOT NULL CHECK (json_valid(options)),
    columns TEXT NOT NULL CHECK (json_valid(columns)),
    fingerprint TEXT NOT NULL,
    settings TEXT NOT NULL CHECK (json_valid(settings)),
    -- It waits until then; null for nothing.
    not_before INTEGER,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'paused', 'done', 'stopped')),
    -- Why it paused by itself.
    notice TEXT NOT NULL DEFAULT '',
    -- What computes it; null before its first document.
    model TEXT CHECK (json_valid(model)),
    created INTEGER NOT NULL,
    finished INTEGER,
    trashed INTEGER,
    -- Who works on it now, and until when that may be believed without a sign of life. Whoever pauses or
    -- stops it changes the state; the lease stays until what was under way has ended.
    lease_owner TEXT,
    lease_until INTEGER,
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CHECK (state <> 'running' OR lease_owner IS NOT NULL)
) STRICT;
CREATE INDEX task_run_waiting ON task_run (state, id);

-- One document of a run. Of an erased one nothing is left but that there was one.
CREATE TABLE task_item (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL REFERENCES task_run (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    document_id INTEGER REFERENCES document (id),
    document_name TEXT NOT NULL,
    -- Of the file whose text was worked on.
    sha256 TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'erased')),
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    outcome TEXT CHECK (json_valid(outcome)),
    coverage TEXT CHECK (json_valid(coverage)),
    cost TEXT CHECK (json_valid(cost)),
    -- What computed it, and the hash of all prompts.
    model TEXT CHECK (json_valid(model)),
    prompts_sha256 TEXT NOT NULL DEFAULT '',
    -- Findings in doubt that nobody has decided on.
    to_review INTEGER NOT NULL DEFAULT 0,
    finished INTEGER,
    -- Key of the HMACs by which the audit log names what came of the document. It goes with the document.
    content_key BLOB NOT NULL,
    UNIQUE (run_id, position),
    UNIQUE (run_id, document_id),
    CHECK ((state = 'done') = (outcome IS NOT NULL)),
    CHECK ((state = 'erased') = (document_id IS NULL)),
    CHECK (length(content_key) = iif(state = 'erased', 0, 32))
) STRICT;
CREATE INDEX task_item_by_document ON task_item (document_id) WHERE document_id IS NOT NULL;

-- What the engine said in steps of a document that is in work: whoever goes on with it need not ask again.
CREATE TABLE task_step (
    item_id INTEGER NOT NULL REFERENCES task_item (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    -- Hash of what was asked, and of which model.
    asked TEXT NOT NULL,
    output TEXT NOT NULL CHECK (json_valid(output)),
    cost TEXT NOT NULL CHECK (json_valid(cost)),
    PRIMARY KEY (item_id, number)
) STRICT;

-- What people decided on findings. Taking the last decision back is a row too.
CREATE TABLE task_decision (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id INTEGER NOT NULL REFERENCES task_item (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('accepted', 'corrected', 'rejected', 'taken_back')),
    value TEXT NOT NULL,
    who TEXT NOT NULL,
    made INTEGER NOT NULL
) STRICT;
CREATE INDEX task_decision_by_item ON task_decision (item_id, id);
CREATE TRIGGER task_decision_not_updated BEFORE UPDATE ON task_decision BEGIN
    SELECT RAISE(ABORT, 'decisions are append-only');
END;
CREATE TRIGGER task_decision_not_deleted BEFORE DELETE ON task_decision
WHEN (SELECT state FROM task_item WHERE id = old.item_id) <> 'erased'
BEGIN
    SELECT RAISE(ABORT, 'decisions are append-only');
END;

-- What came of a document goes with it.
CREATE TRIGGER task_item_erased BEFORE DELETE ON document BEGIN
    DELETE FROM task_step WHERE item_id IN (SELECT id FROM task_item WHERE document_id = old.id);
    UPDATE task_item
    SET state = 'erased', document_id = NULL, document_name = '', sha256 = '', error = '', outcome = NULL,
        coverage = NULL, cost = NULL, prompts_sha256 = '', to_review = 0, content_key = x''
    WHERE document_id = old.id;
END;
CREATE TRIGGER task_item_decisions_erased AFTER UPDATE OF state ON task_item WHEN new.state = 'erased' BEGIN
    DELETE FROM task_decision WHERE item_id = new.id;
END;
"""

_SCHEMA_9 = """
-- Texts that the organisation must keep, whatever is erased elsewhere (policy ContentCapture).
CREATE TABLE capture (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ts TEXT NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    about TEXT NOT NULL,
    content TEXT NOT NULL,
    -- Of the HMAC by which the audit log tells of it.
    key BLOB NOT NULL,
    entry INTEGER NOT NULL,
    handed_over TEXT
) STRICT;
CREATE INDEX capture_handed_over ON capture (ts) WHERE handed_over IS NOT NULL;
"""

MIGRATIONS: list[str] = [
    _SCHEMA_1,
    _SCHEMA_2,
    _SCHEMA_3,
    _SCHEMA_4,
    _SCHEMA_5,
    _SCHEMA_6,
    _SCHEMA_7,
    _SCHEMA_8,
    _SCHEMA_9,
]


def migrate(connection: sqlite_utils.Database, path: Path) -> int:
    """Bring the store at ``path`` to the newest schema; which one it had.

    Raise `NewerSchema` before touching a newer one.
    """
    version = schema_version(connection)
    if version > len(MIGRATIONS):
        raise NewerSchema(
            f"The store “{path}” was written by a newer version of LocalAI App "
            f"(schema {version}; this version knows {len(MIGRATIONS)}).",
            "Install the newer version again, or put back the copy from before the upgrade; "
            "nothing was changed.",
        )
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    if 0 < version < len(MIGRATIONS):
        copy_whole(connection, backup_path(path, version), schema=version)
    for number in range(version + 1, len(MIGRATIONS) + 1):
        _apply(connection, number)
    return version


def schema_version(connection: sqlite_utils.Database) -> int:
    """Number of the last step that was applied; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def backup_path(path: Path, version: int) -> Path:
    """Where the copy lies that was made before a store of schema ``version`` was changed."""
    return path.with_name(f"{path.stem}.schema-{version}.backup{path.suffix}")


def remove_copies(path: Path, before: datetime) -> int:
    """Remove copies of the store at ``path`` that were made, or begun, before then; how many."""
    removed = 0
    for copy in path.parent.glob(f"{path.stem}.schema-*.backup{path.suffix}*"):
        with suppress(OSError):  # at the next start
            if copy.stat().st_mtime < before.timestamp():
                copy.unlink()
                removed += 1
    return removed


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


def copy_whole(connection: sqlite_utils.Database, target: Path, *, schema: int | None = None) -> None:
    """Copy the whole store, encrypted with the same key, to ``target``: all of it or nothing.

    ``schema``: nothing, too, where another process has brought it to a newer one meanwhile.
    """
    partial = target.with_name(f"{target.name}.{secrets.token_hex(6)}.partial")
    with files.os_errors(target):
        files.write_private(partial, b"")  # VACUUM INTO takes an empty file, and keeps its mode
        try:
            connection.execute("VACUUM INTO ?", [str(partial)])
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            if schema is not None and schema_version(connection) != schema:
                return
            partial.replace(target)
            files.sync_folder(target.parent)
        finally:
            partial.unlink(missing_ok=True)

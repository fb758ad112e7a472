"""All SQL for documents, their pages and collections.

Every method that writes runs inside the caller's ``database.transaction()``, so that one act of a
person, its audit entry included, is one transaction; reads need none.

A document has a reading that counts and, while its file is read for the first time or anew, a draft
whose pages gather beside it. `finish_reading` lets the draft take the place of the other; until then
the old text serves, and a draft that was cut off goes on where it stopped.

Window and command line may work on one store: a document that is worked on carries a lease (see
`localai_app.store.leases`). Whoever loses it, because the document was erased or given up for dead,
is told by the next call that writes.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from localai_app.documents.document import Collection, Document, Facts, Page, State
from localai_app.documents.rows import (
    Backlog,
    Held,
    Known,
    Stage,
    collection_of,
    document_of,
    held_of,
    known_of,
    microseconds,
    packed,
    page_of,
    storable,
)
from localai_app.errors import NotFound, UsageError
from localai_app.store import leases
from localai_app.store.database import Database, Row

__all__ = ["Backlog", "Held", "Known", "Library", "Stage"]

_PERSONAL = 1
"""The one workspace there is."""


class Library:
    """Documents in the store."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._now = now

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside is kept together or not at all; see `Database.transaction`."""
        return self._database.transaction()

    # -- collections ---------------------------------------------------------------------------

    def collections(self) -> list[Collection]:
        """All, by name; what is in the trash does not count."""
        rows = self._database.rows(
            "SELECT collection.*, (SELECT count(*) FROM collection_document CROSS JOIN document "
            "  ON document.id = collection_document.document_id AND document.trashed IS NULL "
            "  WHERE collection_document.collection_id = collection.id) AS documents "
            "FROM collection WHERE workspace_id = ? ORDER BY name, id",
            [_PERSONAL],
        )
        return [collection_of(row) for row in rows]

    def collection(self, collection_id: int) -> Collection:
        """One collection; raise `NotFound`."""
        for collection in self.collections():
            if collection.id == collection_id:
                return collection
        raise NotFound(f"There is no collection {collection_id}.", "It may have been deleted.")

    def create_collection(self, name: str) -> int:
        """A new, empty one; its id. Raise `UsageError` for a name that is taken or blank."""
        name = self._free_name(name)
        row = self._write_row(
            "INSERT INTO collection (workspace_id, name, created) VALUES (?, ?, ?) RETURNING id",
            [_PERSONAL, name, microseconds(self._now())],
        )
        assert row is not None
        return int(row["id"])

    def rename_collection(self, collection_id: int, name: str) -> None:
        """Give it another name; raise `UsageError` for one that is taken or blank."""
        name = self._free_name(name, collection_id)
        self._write("UPDATE collection SET name = ? WHERE id = ?", [name, collection_id])

    def delete_collection(self, collection_id: int) -> None:
        """Delete the collection, not its documents."""
        self._write("DELETE FROM collection WHERE id = ?", [collection_id])

    def put_in(self, collection_id: int, document_ids: Sequence[int]) -> None:
        """Add documents to a collection."""
        self._write(
            "INSERT OR IGNORE INTO collection_document (collection_id, document_id) "
            "SELECT ?, value FROM json_each(?)",
            [collection_id, _ids(document_ids)],
        )

    def take_out(self, collection_id: int, document_ids: Sequence[int]) -> None:
        """Take documents out of a collection."""
        self._write(
            "DELETE FROM collection_document "
            "WHERE collection_id = ? AND document_id IN (SELECT value FROM json_each(?))",
            [collection_id, _ids(document_ids)],
        )

    # -- documents -----------------------------------------------------------------------------

    def documents(self, collection_id: int | None = None, *, trashed: bool = False) -> list[Document]:
        """All documents, or those of one collection, by name."""
        where = ["workspace_id = ?", f"trashed IS {'NOT NULL' if trashed else 'NULL'}"]
        values: list[object] = [_PERSONAL]
        if collection_id is not None:
            where.append("id IN (SELECT document_id FROM collection_document WHERE collection_id = ?)")
            values.append(collection_id)
        rows = self._database.rows(
            f"SELECT * FROM document WHERE {' AND '.join(where)} "  # noqa: S608  constants
            "ORDER BY name COLLATE NOCASE, id",
            values,
        )
        return [document_of(row) for row in rows]

    def has_documents(self) -> bool:
        """Whether there is any, the trash included."""
        return self._database.row("SELECT 1 FROM document LIMIT 1") is not None

    def document(self, document_id: int) -> Document:
        """One document; raise `NotFound`."""
        return document_of(self._row(document_id))

    def content_key(self, document_id: int) -> bytes:
        """Key of the HMACs that name this document's content; it is erased with it."""
        key: bytes = self._row(document_id)["content_key"]
        return key

    def data(self, document_id: int) -> bytes | None:
        """The bytes of an attachment; None for a document that lies in a file."""
        row = self._database.row("SELECT data FROM document_data WHERE document_id = ?", [document_id])
        return None if row is None else bytes(row["data"])

    def with_path(self, path: Path) -> Known | None:
        """The document that lies at ``path``; one that is not in the trash, where there are several."""
        return self._known("path = ? AND path <> x''", os.fsencode(path))

    def with_content(self, sha256: str) -> Known | None:
        """The document of a file with that hash, as it was last seen; one that is not in the trash first."""
        return self._known(
            "parent_id IS NULL AND (sha256 = ?1 AND draft_sha256 = '' "
            "OR draft_sha256 = ?1 AND draft_sha256 <> '')",
            sha256,
        )

    def files(self) -> list[Known]:
        """Every document that lies in a file and is not in the trash."""
        rows = self._database.rows("SELECT * FROM document WHERE path <> x'' AND trashed IS NULL ORDER BY id")
        return [known_of(row) for row in rows]

    def add(
        self,
        name: str,
        sha256: str,
        size: int,
        file_format: str,
        *,
        path: Path | None = None,
        mtime_ns: int = 0,
        parent_id: int | None = None,
        error: str = "",
    ) -> int:
        """A new document, waiting to be read, or failed with ``error``; its id.

        What is attached to another goes into its collections, and into the trash with it.
        """
        row = self._write_row(
            "INSERT INTO document (workspace_id, parent_id, name, path, sha256, size, mtime_ns, format, "
            "state, stage, error, added, trashed, content_key) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'read', ?, ?, "
            "(SELECT trashed FROM document WHERE id = ?), ?) RETURNING id",
            [
                _PERSONAL,
                parent_id,
                storable(name),
                b"" if path is None else os.fsencode(path),
                sha256,
                size,
                mtime_ns,
                file_format,
                State.FAILED if error else State.WAITING,
                storable(error),
                microseconds(self._now()),
                parent_id,
                secrets.token_bytes(32),
            ],
        )
        assert row is not None
        document_id = int(row["id"])
        self._write(
            "INSERT INTO collection_document (collection_id, document_id) "
            "SELECT collection_id, ? FROM collection_document WHERE document_id = ?",
            [document_id, parent_id],
        )
        return document_id

    def keep_data(self, document_id: int, data: bytes) -> None:
        """Keep the bytes of an attachment."""
        self._write("INSERT INTO document_data (document_id, data) VALUES (?, ?)", [document_id, data])

    def children(self, document_id: int) -> dict[tuple[str, str], int]:
        """Ids of what is attached to a document, by name and hash."""
        rows = self._database.rows("SELECT id, name, sha256 FROM document WHERE parent_id = ?", [document_id])
        return {(row["name"], row["sha256"]): row["id"] for row in rows}

    def generations(self, document_id: int) -> tuple[int, int]:
        """How deep a document lies inside others, and how many there are inside the outermost of them."""
        row = self._database.row(
            "WITH RECURSIVE up (id, parent_id, depth) AS ("
            "    SELECT id, parent_id, 0 FROM document WHERE id = ?"
            "    UNION ALL"
            "    SELECT parent.id, parent.parent_id, depth + 1"
            "    FROM up CROSS JOIN document AS parent ON parent.id = up.parent_id"
            "), tree (id) AS ("
            "    SELECT id FROM up WHERE parent_id IS NULL"
            "    UNION ALL"
            "    SELECT child.id FROM tree CROSS JOIN document AS child ON child.parent_id = tree.id"
            ") SELECT (SELECT max(depth) FROM up) AS depth, (SELECT count(*) - 1 FROM tree) AS inside",
            [document_id],
        )
        assert row is not None
        return row["depth"] or 0, row["inside"]

    def with_descendants(self, document_ids: Iterable[int]) -> list[int]:
        """Those documents and all that is attached to them; raise `NotFound` for one that is not there."""
        wanted = list(document_ids)
        for document_id in wanted:
            self._row(document_id)
        rows = self._database.rows(
            "WITH RECURSIVE tree (id) AS ("
            "    SELECT value FROM json_each(?)"
            "    UNION"
            "    SELECT child.id FROM tree CROSS JOIN document AS child ON child.parent_id = tree.id"
            ") SELECT id FROM tree ORDER BY id",
            [_ids(wanted)],
        )
        return [row["id"] for row in rows]

    def seen(self, document_id: int, path: Path, mtime_ns: int) -> None:
        """The file lies at ``path`` now, with the same content."""
        self._write(
            "UPDATE document SET path = ?, name = ?, mtime_ns = ? WHERE id = ?",
            [os.fsencode(path), storable(path.name), mtime_ns, document_id],
        )

    def changed(self, document_id: int, sha256: str, size: int, mtime_ns: int) -> None:
        """The file is another one by now: read it anew. Whoever works on it loses it."""
        self._drop_draft(document_id)
        self._write(
            "UPDATE document SET state = 'waiting', stage = 'read', error = '', draft_sha256 = ?, "
            "sha256 = iif(reading = 0, ?1, sha256), size = ?, mtime_ns = ?, "
            "lease_owner = NULL, lease_until = NULL WHERE id = ?",
            [sha256, size, mtime_ns, document_id],
        )

    def trash(self, document_ids: Sequence[int]) -> None:
        """Put documents in the trash."""
        self._write(
            "UPDATE document SET trashed = ? "
            "WHERE id IN (SELECT value FROM json_each(?)) AND trashed IS NULL",
            [microseconds(self._now()), _ids(document_ids)],
        )

    def restore(self, document_ids: Sequence[int]) -> None:
        """Take documents out of the trash."""
        self._write(
            "UPDATE document SET trashed = NULL WHERE id IN (SELECT value FROM json_each(?))",
            [_ids(document_ids)],
        )

    def erase(self, document_ids: Sequence[int]) -> None:
        """Erase documents with all that hangs on them, their content keys included."""
        self._write("DELETE FROM document WHERE id IN (SELECT value FROM json_each(?))", [_ids(document_ids)])
        self._database.erase_log_on_commit()

    # -- work ----------------------------------------------------------------------------------

    def claim(self, stage: Stage) -> Held | None:
        """The first document that waits for ``stage``, which is this process's from now on."""
        return self._claim(
            "(SELECT id FROM document WHERE state = 'waiting' AND stage = ? AND trashed IS NULL "
            "AND lease_owner IS NULL ORDER BY id LIMIT 1)",
            stage,
        )

    def claim_locked(self, document_id: int) -> Held | None:
        """A document that waits for its password, which is this process's from now on."""
        return self._claim("(SELECT id FROM document WHERE id = ? AND state = 'locked')", document_id)

    def _claim(self, which: str, value: object) -> Held | None:
        row = self._write_row(
            "UPDATE document SET state = 'reading', error = '', lease_owner = ?, lease_until = ? "  # noqa: S608  constants
            f"WHERE id = {which} RETURNING *",
            [leases.this_process(), self._lease_end(), value],
        )
        return None if row is None else held_of(row)

    def renew(self, held: Held) -> bool:
        """Keep the lease; False when the document is no longer this process's, or in the trash."""
        changed = self._write(
            "UPDATE document SET lease_until = ? "
            "WHERE id = ? AND lease_owner = ? AND stage = ? AND trashed IS NULL",
            [self._lease_end(), held.id, leases.this_process(), held.stage],
        )
        return bool(changed)

    def release(self, held: Held, state: State, error: str = "") -> bool:
        """Give up the lease; False when it was lost before."""
        changed = self._write(
            "UPDATE document SET state = ?, error = ?, lease_owner = NULL, lease_until = NULL "
            "WHERE id = ? AND lease_owner = ? AND stage = ?",
            [state, storable(error), held.id, leases.this_process(), held.stage],
        )
        return bool(changed)

    def requeue(self, document_id: int, from_: State) -> bool:
        """Let it be read again from its first page if it is in state ``from_``."""
        changed = self._write(
            "UPDATE document SET state = 'waiting', stage = 'read', error = '' WHERE id = ? AND state = ?",
            [document_id, from_],
        )
        if changed:
            self._drop_draft(document_id)
        return bool(changed)

    def requeue_abandoned(self, mine: Sequence[int]) -> None:
        """Queue what a process that died left, or this one (but for ``mine``, which it works on)."""
        for row in self._database.rows("SELECT * FROM document WHERE lease_owner IS NOT NULL"):
            if row["lease_owner"] == leases.this_process():
                abandoned = row["id"] not in mine
            else:
                alive = leases.is_alive(row["lease_owner"])
                abandoned = row["lease_until"] < microseconds(self._now()) if alive is None else not alive
            if abandoned:
                self._write(
                    "UPDATE document SET state = iif(state = 'reading', 'waiting', state), "
                    "lease_owner = NULL, lease_until = NULL WHERE id = ? AND lease_owner = ?",
                    [row["id"], row["lease_owner"]],
                )

    def backlog(self) -> "Backlog":
        """What is not ready yet, in all processes."""
        row = self._database.row(
            "SELECT coalesce(sum(stage = 'read'), 0) AS to_read, "
            "coalesce(sum(iif(stage = 'read', size, 0)), 0) AS bytes, "
            "coalesce(sum(stage = 'embed'), 0) AS to_embed, "
            "coalesce(sum(iif(stage = 'embed', pages, 0)), 0) AS pages "
            "FROM document WHERE state IN ('waiting', 'reading') AND trashed IS NULL"
        )
        assert row is not None
        return Backlog(row["to_read"], row["bytes"], row["to_embed"], row["pages"])

    def begin_draft(self, held: Held, sha256: str, size: int, mtime_ns: int) -> list[int]:
        """Read the file of that hash; numbers of its pages that are here already.

        Pages that another file left in the draft are dropped.
        """
        if held.draft_sha256 != sha256:
            self._write("DELETE FROM page WHERE document_id = ? AND reading = ?", [held.id, held.draft])
        self._write(
            "UPDATE document SET draft_sha256 = ?1, sha256 = iif(reading = 0, ?1, sha256), size = ?, "
            "mtime_ns = iif(path = x'', mtime_ns, ?) WHERE id = ?",
            [sha256, size, mtime_ns, held.id],
        )
        rows = self._database.rows(
            "SELECT number FROM page WHERE document_id = ? AND reading = ? ORDER BY number",
            [held.id, held.draft],
        )
        return [row["number"] for row in rows]

    def expect_pages(self, held: Held, pages: int) -> None:
        """The file says that it has so many pages."""
        self._write("UPDATE document SET pages = ? WHERE id = ? AND reading = 0", [pages, held.id])

    def save_pages(self, held: Held, pages: Iterable[Page]) -> None:
        """Add pages to the draft."""
        for page in pages:
            body = msgspec.msgpack.encode(msgspec.structs.replace(page, text="", boxes=b""))
            self._write(
                "INSERT OR REPLACE INTO page (document_id, reading, number, text, body, boxes) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [held.id, held.draft, page.number, page.text, body, packed(page.boxes)],
            )

    def draft_pages(self, held: Held) -> list[Page]:
        """All pages of the draft, without their boxes."""
        rows = self._database.rows(
            "SELECT text, body, x'' AS boxes FROM page WHERE document_id = ? AND reading = ? ORDER BY number",
            [held.id, held.draft],
        )
        return [page_of(row) for row in rows]

    def finish_reading(
        self,
        held: Held,
        facts: Facts,
        pages: Sequence[Page],
        *,
        tokens: int,
        language: str,
        children: Iterable[int],
        keep_old: bool,
    ) -> list[int]:
        """Let the draft count, with what is attached (``children``); it waits for its vectors now.

        The earlier reading is erased, unless ``keep_old``: then it lies there unseen until the document
        is. The ids of what was attached to the earlier file only; they are for the caller to erase.
        """
        if held.reading and not keep_old:
            self._write("DELETE FROM page WHERE document_id = ? AND reading < ?", [held.id, held.draft])
            self._database.erase_log_on_commit()
        self._write(
            "UPDATE document SET reading = ?, sha256 = draft_sha256, draft_sha256 = '', stage = 'embed', "
            "state = 'waiting', lease_owner = NULL, lease_until = NULL, "
            "format = ?, pages = ?, pages_read = ?, characters = ?, tokens = ?, language = ?, facts = ? "
            "WHERE id = ?",
            [
                held.draft,
                facts.format,
                max(facts.pages, len(pages)),
                sum(not page.unread for page in pages),
                sum(len(page.text) for page in pages),
                tokens,
                language,
                msgspec.json.encode(facts).decode(),
                held.id,
            ],
        )
        kept = set(children)
        return [child for child in self.children(held.id).values() if child not in kept]

    # -- pages ---------------------------------------------------------------------------------

    def pages(self, document_id: int) -> list[Page]:
        """All pages: of the reading that counts, or those that came so far of the first."""
        return self._pages(document_id, self._shown(document_id))

    def page(self, document_id: int, number: int) -> Page:
        """One page; raise `NotFound`."""
        row = self._database.row(
            "SELECT * FROM page WHERE document_id = ? AND reading = ? AND number = ?",
            [document_id, self._shown(document_id), number],
        )
        if row is None:
            raise NotFound(f"Page {number} is not here.", "It may not have been read yet.")
        return page_of(row)

    def texts(self, document_id: int) -> Iterator[tuple[int, str]]:
        """Number and text of every page."""
        rows = self._database.rows(
            "SELECT number, text FROM page WHERE document_id = ? AND reading = ? ORDER BY number",
            [document_id, self._shown(document_id)],
        )
        return ((row["number"], row["text"]) for row in rows)

    # -- helpers -------------------------------------------------------------------------------

    def _drop_draft(self, document_id: int) -> None:
        self._write(
            "DELETE FROM page WHERE document_id = ?1 AND reading > "
            "(SELECT reading FROM document WHERE id = ?1)",
            [document_id],
        )

    def _pages(self, document_id: int, reading: int) -> list[Page]:
        rows = self._database.rows(
            "SELECT * FROM page WHERE document_id = ? AND reading = ? ORDER BY number", [document_id, reading]
        )
        return [page_of(row) for row in rows]

    def _shown(self, document_id: int) -> int:
        reading: int = self._row(document_id)["reading"]
        return reading or 1

    def _known(self, condition: str, value: object) -> Known | None:
        row = self._database.row(
            f"SELECT * FROM document WHERE {condition} ORDER BY trashed IS NOT NULL, id LIMIT 1",  # noqa: S608  constants
            [value],
        )
        return None if row is None else known_of(row)

    def _free_name(self, name: str, but_for: int | None = None) -> str:
        name = " ".join(storable(name).split())
        if not name:
            raise UsageError("A collection needs a name.", "Type one.")
        row = self._database.row(
            "SELECT id FROM collection WHERE workspace_id = ? AND name = ?", [_PERSONAL, name]
        )
        if row is not None and row["id"] != but_for:
            raise UsageError(f"There is a collection “{name}” already.", "Choose another name.")
        return name

    def _row(self, document_id: int) -> Row:
        row = self._database.row("SELECT * FROM document WHERE id = ?", [document_id])
        if row is None:
            raise NotFound(f"There is no document {document_id}.", "It may have been erased.")
        return row

    def _lease_end(self) -> int:
        return microseconds(self._now() + timedelta(seconds=leases.LEASE_SECONDS))

    def _write(self, sql: str, values: Iterable[object]) -> int:
        assert self._database.in_transaction
        return self._database.execute(sql, list(values))

    def _write_row(self, sql: str, values: Iterable[object]) -> Row | None:
        assert self._database.in_transaction
        return self._database.row(sql, list(values))


def _ids(document_ids: Iterable[int]) -> str:
    return msgspec.json.encode(list(document_ids)).decode()

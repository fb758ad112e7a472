"""All SQL for conversations, full-text search included.

A conversation's messages are a tree; ``leaf_id`` picks the path that is shown. Every method that
writes runs inside the caller's ``database.transaction()``, so that one act of a person, its audit
entry included, is one transaction; reads need none.

A message that is being written (``generating``) carries a lease, see `localai_app.store.leases`.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import msgspec

from localai_app.chat import search_query
from localai_app.chat.conversation import (
    AnswerRecord,
    Conversation,
    GenerationStats,
    Message,
    Parameters,
    Role,
    SearchHit,
    Status,
)
from localai_app.documents.document import Citation
from localai_app.documents.grounding import Given, Sources
from localai_app.errors import NotFound, UsageError
from localai_app.store import leases
from localai_app.store.database import Database, Row

_PERSONAL = 1
"""The one workspace there is."""
_JOINERS = "\u200c\u200d"
"""Not printable by themselves, but Persian words and many emoji are written with them."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# A message with what belongs to it; the caller's SELECT names the rows it wants ``wanted``.
_MESSAGE = """
SELECT message.*, answer_record.record, answer_record.stats, feedback.value AS feedback,
       answer_grounding.given, answer_grounding.citations,
       (SELECT json_group_array(sibling.id ORDER BY sibling.id) FROM message AS sibling
        WHERE sibling.conversation_id = message.conversation_id
          AND sibling.parent_id IS message.parent_id AND sibling.role = message.role) AS sibling_ids
FROM wanted CROSS JOIN message ON message.id = wanted.id
LEFT JOIN answer_record ON answer_record.message_id = message.id
LEFT JOIN answer_grounding ON answer_grounding.message_id = message.id
LEFT JOIN feedback ON feedback.message_id = message.id
"""
_PATH = f"""
WITH RECURSIVE wanted (id, parent_id, depth) AS (
    SELECT id, parent_id, 0 FROM message WHERE id = ?
    UNION ALL
    SELECT parent.id, parent.parent_id, wanted.depth + 1
    FROM wanted CROSS JOIN message AS parent ON parent.id = wanted.parent_id
)
{_MESSAGE} ORDER BY wanted.depth DESC
"""  # noqa: S608  constants
_ONE = f"WITH wanted (id) AS (VALUES (?)) {_MESSAGE}"


@dataclass(frozen=True)
class Interrupted:
    """An answer whose writer went away."""

    message_id: int
    conversation_id: int


class History:
    """Conversations in the store."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._now = now

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside is kept together or not at all; see `Database.transaction`."""
        return self._database.transaction()

    # -- conversations -------------------------------------------------------------------------

    def create(
        self, title: str = "", system_prompt: str = "", parameters: Parameters | None = None
    ) -> Conversation:
        """Make an empty conversation."""
        now = _microseconds(self._now())
        row = self._write_row(
            "INSERT INTO conversation "
            "(workspace_id, title, created, updated, system_prompt, parameters, content_key) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING *",
            [
                _PERSONAL,
                _one_line(title),
                now,
                now,
                _storable(system_prompt),
                _to_json(parameters or Parameters()),
                secrets.token_bytes(32),
            ],
        )
        assert row is not None
        return _conversation(row)

    def conversations(
        self, *, trashed: bool = False, limit: int = 200, offset: int = 0
    ) -> list[Conversation]:
        """Conversations, the one that last got a message first."""
        null = "NOT NULL" if trashed else "NULL"
        rows = self._database.rows(
            f"SELECT * FROM conversation WHERE workspace_id = ? AND trashed IS {null} "  # noqa: S608  a constant
            "ORDER BY updated DESC, id DESC LIMIT ? OFFSET ?",
            [_PERSONAL, limit, offset],
        )
        return [_conversation(row) for row in rows]

    def conversation(self, conversation_id: int) -> Conversation:
        """One conversation; raise `NotFound`."""
        return _conversation(self._conversation_row(conversation_id))

    def content_key(self, conversation_id: int) -> bytes:
        """Key of the HMACs that name this conversation's content; it is erased with it."""
        key: bytes = self._conversation_row(conversation_id)["content_key"]
        return key

    def rename(self, conversation_id: int, title: str) -> None:
        """Give a conversation another title; it becomes one line."""
        self._change(conversation_id, "title", _one_line(title))

    def set_system_prompt(self, conversation_id: int, text: str) -> None:
        """Set the instructions that the model reads first."""
        self._change(conversation_id, "system_prompt", _storable(text))

    def set_parameters(self, conversation_id: int, parameters: Parameters) -> None:
        """Set the sampling parameters."""
        self._change(conversation_id, "parameters", _to_json(parameters))

    def set_sources(self, conversation_id: int, sources: Sources | None) -> None:
        """Set the documents that its answers rest on."""
        self._change(conversation_id, "sources", sources and _to_json(sources))

    def trash(self, conversation_id: int) -> None:
        """Put a conversation in the trash."""
        self._change(conversation_id, "trashed", _microseconds(self._now()))

    def restore(self, conversation_id: int) -> None:
        """Take a conversation out of the trash."""
        self._change(conversation_id, "trashed", None)

    def delete(self, conversation_id: int) -> None:
        """Erase a conversation with all that hangs on it, its content key included."""
        self._conversation_row(conversation_id)
        self._write("DELETE FROM message WHERE conversation_id = ?", [conversation_id])
        self._write("DELETE FROM conversation WHERE id = ?", [conversation_id])
        self._database.erase_log_on_commit()

    # -- messages ------------------------------------------------------------------------------

    def path(self, leaf_id: int | None) -> list[Message]:
        """The messages from the root to ``leaf_id``, oldest first; none for None; raise `NotFound`."""
        if leaf_id is None:
            return []
        rows = self._database.rows(_PATH, [leaf_id])
        if not rows:
            raise _no_message(leaf_id)
        return [_message(row) for row in rows]

    def message(self, message_id: int) -> Message:
        """One message; raise `NotFound`."""
        row = self._database.row(_ONE, [message_id])
        if row is None:
            raise _no_message(message_id)
        return _message(row)

    def add_question(self, conversation_id: int, parent_id: int | None, text: str) -> int:
        """Add what a person says under ``parent_id`` (None: as a root) and show it; its id."""
        return self._add(conversation_id, parent_id, Role.USER, text, Status.COMPLETE)

    def add_answer(self, conversation_id: int, parent_id: int | None) -> int:
        """Add an empty answer, ``generating``, under ``parent_id`` and show it; its id."""
        return self._add(conversation_id, parent_id, Role.ASSISTANT, "", Status.GENERATING)

    def save_progress(self, message_id: int, text: str) -> bool:
        """Keep what is written so far and renew the lease.

        False when the message is no longer this process's to write: erased, or given up for dead.
        """
        kept = self._write(
            "UPDATE message SET text = ?, lease_until = ? "
            "WHERE id = ? AND status = 'generating' AND lease_owner = ?",
            [_storable(text), _lease_end(self._now()), message_id, leases.this_process()],
        )
        return kept == 1

    def finish(
        self,
        message_id: int,
        text: str,
        status: Status,
        *,
        stats: GenerationStats | None = None,
        record: AnswerRecord | None = None,
        error: str = "",
    ) -> None:
        """End an answer that was being written; raise `NotFound` when it has been erased meanwhile.

        None leaves the stats and record that an earlier part of the same answer has.
        """
        assert status is not Status.GENERATING
        now = self._now()
        row = self._write_row(
            "UPDATE message SET text = ?, status = ?, error = ?, lease_owner = NULL, lease_until = NULL "
            "WHERE id = ? RETURNING conversation_id",
            [_storable(text), status, _storable(error), message_id],
        )
        if row is None:
            raise _no_message(message_id)
        self._keep_record(message_id, record, stats)
        self._write(
            "UPDATE conversation SET updated = ?, model_sha256 = coalesce(?, model_sha256) WHERE id = ?",
            [_microseconds(now), record and record.model_sha256, row["conversation_id"]],
        )

    def save_grounding(self, message_id: int, record: AnswerRecord, given: Sequence[Given]) -> None:
        """Keep what an answer that is being written was given of the documents."""
        self._keep_record(message_id, record, None)
        self._write(
            "INSERT INTO answer_grounding (message_id, given) VALUES (?, ?) "
            "ON CONFLICT (message_id) DO UPDATE SET given = excluded.given",
            [message_id, _to_json(given)],
        )

    def save_citations(self, message_id: int, citations: Sequence[Citation]) -> None:
        """Keep what an answer cites; its grounding must have been saved."""
        self._write(
            "UPDATE answer_grounding SET citations = ? WHERE message_id = ?",
            [_to_json(citations), message_id],
        )

    def reopen(self, message_id: int) -> None:
        """Go on writing an answer that had ended: ``generating`` again, text and record kept.

        Raise `UsageError` when it is being written already.
        """
        changed = self._write(
            "UPDATE message SET status = 'generating', error = '', lease_owner = ?, lease_until = ? "
            "WHERE id = ? AND status <> 'generating'",
            [leases.this_process(), _lease_end(self._now()), message_id],
        )
        if changed:
            return
        if self._exists(message_id):  # by another window or command
            raise UsageError("This answer is being written already.", "Wait for it, or stop it first.")
        raise _no_message(message_id)

    def interrupt_expired(self) -> list[Interrupted]:
        """Turn answers whose writer is gone into ``interrupted``; which ones they were.

        Its process is seen to be dead, or cannot be seen and has let the lease run out.
        """
        rows = self._database.rows(
            "SELECT id, conversation_id, lease_owner, lease_until FROM message WHERE status = 'generating'"
        )
        now = _microseconds(self._now())
        return self._interrupt([row for row in rows if _is_abandoned(row, now)])

    def take_over(self, conversation_id: int) -> list[Interrupted]:
        """Make sure that no other process writes an answer in the conversation, else raise `UsageError`.

        For a conversation in which no turn of this process is under way: an answer that still carries
        its name (a full disk, say, kept its end from being saved) becomes ``interrupted`` too.
        """
        rows = self._database.rows(
            "SELECT id, conversation_id, lease_owner, lease_until FROM message "
            "WHERE conversation_id = ? AND status = 'generating'",
            [conversation_id],
        )
        now = _microseconds(self._now())
        if any(row["lease_owner"] != leases.this_process() and not _is_abandoned(row, now) for row in rows):
            raise UsageError(
                "This conversation is being answered in another window or terminal.",
                "Wait, or stop the answer there.",
            )
        return self._interrupt(rows)

    def show_branch(self, message_id: int) -> int:
        """Show the path through ``message_id`` to the newest message under it; the id of that leaf."""
        # Children are younger than their parents, so the youngest descendant is a leaf.
        row = self._database.row(
            "WITH RECURSIVE under (id, conversation_id) AS ("
            "    SELECT id, conversation_id FROM message WHERE id = ?"
            "    UNION ALL"
            "    SELECT child.id, child.conversation_id FROM under CROSS JOIN message AS child"
            "    ON child.conversation_id = under.conversation_id AND child.parent_id = under.id"
            ") SELECT max(id) AS leaf, conversation_id FROM under",
            [message_id],
        )
        if row is None or row["leaf"] is None:
            raise _no_message(message_id)
        self._write("UPDATE conversation SET leaf_id = ? WHERE id = ?", [row["leaf"], row["conversation_id"]])
        leaf: int = row["leaf"]
        return leaf

    def set_feedback(self, message_id: int, value: int) -> None:
        """Keep thumbs up (1), down (-1) or neither (0) with an answer."""
        if not self._exists(message_id):
            raise _no_message(message_id)
        if value == 0:
            self._write("DELETE FROM feedback WHERE message_id = ?", [message_id])
        else:
            self._write(
                "INSERT INTO feedback (message_id, value, created) VALUES (?, ?, ?) "
                "ON CONFLICT (message_id) DO UPDATE SET value = excluded.value, created = excluded.created",
                [message_id, value, _microseconds(self._now())],
            )

    # -- search --------------------------------------------------------------------------------

    def search(self, query: str, limit: int = 50) -> list[SearchHit]:
        """Messages that hold all words of ``query`` (the last may be begun), best first; trash excluded.

        After them, conversations of which only the title matches: ``message_id`` is then the last
        message shown, 0 in an empty conversation. Any text is a valid query.
        """
        wanted = search_query.parse(query)
        if wanted is None:
            return []
        hits = [_hit(row, wanted) for row in self._search_rows(_MESSAGE_HITS, wanted, limit)]
        found = {hit.conversation_id for hit in hits}
        titles = (_hit(row, wanted) for row in self._search_rows(_TITLE_HITS, wanted, limit))
        hits += [hit for hit in titles if hit.conversation_id not in found]
        return hits[:limit]

    def _search_rows(self, sql: "_SearchSQL", wanted: search_query.SearchQuery, limit: int) -> list[Row]:
        conditions = [f"{sql.text} LIKE ? ESCAPE '\\'"] * len(wanted.like)
        values: list[object] = list(wanted.like)
        if wanted.match:
            conditions.insert(0, f"{sql.index} MATCH ?")
            values.insert(0, wanted.match)
        statement = sql.indexed if wanted.match else sql.scanned
        return self._database.rows(
            statement.format(conditions=" AND ".join(conditions)), [*values, _PERSONAL, limit]
        )

    # -- helpers -------------------------------------------------------------------------------

    def _add(self, conversation_id: int, parent_id: int | None, role: Role, text: str, status: Status) -> int:
        self._conversation_row(conversation_id)
        now = self._now()
        generating = status is Status.GENERATING
        row = self._write_row(
            "INSERT INTO message "
            "(conversation_id, parent_id, role, status, created, text, lease_owner, lease_until) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            [
                conversation_id,
                parent_id,
                role,
                status,
                _microseconds(now),
                _storable(text),
                leases.this_process() if generating else None,
                _lease_end(now) if generating else None,
            ],
        )
        assert row is not None
        self._write(
            "UPDATE conversation SET leaf_id = ?, updated = ? WHERE id = ?",
            [row["id"], _microseconds(now), conversation_id],
        )
        message_id: int = row["id"]
        return message_id

    def _keep_record(
        self, message_id: int, record: AnswerRecord | None, stats: GenerationStats | None
    ) -> None:
        """None leaves what was kept before."""
        self._write(
            "INSERT INTO answer_record (message_id, record, stats) VALUES (?, ?, ?) "
            "ON CONFLICT (message_id) DO UPDATE SET record = coalesce(excluded.record, record), "
            "stats = coalesce(excluded.stats, stats)",
            [message_id, record and _to_json(record), stats and _to_json(stats)],
        )

    def _interrupt(self, rows: Iterable[Row]) -> list[Interrupted]:
        gone = [Interrupted(row["id"], row["conversation_id"]) for row in rows]
        for message in gone:
            self._write(
                "UPDATE message SET status = ?, lease_owner = NULL, lease_until = NULL WHERE id = ?",
                [Status.INTERRUPTED, message.message_id],
            )
        return gone

    def _write(self, sql: str, values: Iterable[object]) -> int:
        assert self._database.in_transaction
        return self._database.execute(sql, list(values))

    def _write_row(self, sql: str, values: Iterable[object]) -> Row | None:
        assert self._database.in_transaction
        return self._database.row(sql, list(values))

    def _change(self, conversation_id: int, column: str, value: object) -> None:
        sql = f"UPDATE conversation SET {column} = ? WHERE id = ?"  # noqa: S608  a name from above
        if not self._write(sql, [value, conversation_id]):
            raise _no_conversation(conversation_id)

    def _conversation_row(self, conversation_id: int) -> Row:
        row = self._database.row("SELECT * FROM conversation WHERE id = ?", [conversation_id])
        if row is None:
            raise _no_conversation(conversation_id)
        return row

    def _exists(self, message_id: int) -> bool:
        return self._database.row("SELECT 1 FROM message WHERE id = ?", [message_id]) is not None


@dataclass(frozen=True)
class _SearchSQL:
    """How to find rows of one full-text index; ``{conditions}`` is put in."""

    index: str
    text: str
    indexed: str
    """Best first, by the index."""
    scanned: str
    """Newest first, by reading every text: for what the index has no words for."""


_HIT = (
    "SELECT conversation.id AS conversation_id, conversation.title, message.id AS message_id, "
    "message.role, coalesce(message.created, conversation.created) AS created, "
)
_SHOWN = "{conditions} AND conversation.trashed IS NULL AND conversation.workspace_id = ?"
# CROSS JOIN keeps the index outermost: then it sorts by rank itself and stops at the limit.
_MESSAGE_HITS = _SearchSQL(
    "message_search",
    "message.text",
    f"{_HIT} snippet(message_search, 0, char(2), char(3), '…', 16) AS snippet "
    "FROM message_search CROSS JOIN message ON message.id = message_search.rowid "
    "CROSS JOIN conversation ON conversation.id = message.conversation_id "
    f"WHERE {_SHOWN} ORDER BY message_search.rank LIMIT ?",
    f"{_HIT} message.text AS scanned FROM message "
    "CROSS JOIN conversation ON conversation.id = message.conversation_id "
    f"WHERE {_SHOWN} AND message.status <> 'generating' ORDER BY message.id DESC LIMIT ?",
)
_TITLE_HITS = _SearchSQL(
    "conversation_search",
    "conversation.title",
    f"{_HIT} highlight(conversation_search, 0, char(2), char(3)) AS snippet "
    "FROM conversation_search CROSS JOIN conversation ON conversation.id = conversation_search.rowid "
    "LEFT JOIN message ON message.id = conversation.leaf_id "
    f"WHERE {_SHOWN} ORDER BY conversation_search.rank LIMIT ?",
    f"{_HIT} conversation.title AS scanned FROM conversation "
    "LEFT JOIN message ON message.id = conversation.leaf_id "
    f"WHERE {_SHOWN} ORDER BY conversation.updated DESC LIMIT ?",
)


def _is_abandoned(row: Row, now: int) -> bool:
    alive = leases.is_alive(row["lease_owner"])
    return row["lease_until"] < now if alive is None else not alive


def _hit(row: Row, wanted: search_query.SearchQuery) -> SearchHit:
    return SearchHit(
        conversation_id=row["conversation_id"],
        conversation_title=row["title"],
        message_id=row["message_id"] or 0,
        role=Role(row["role"] or Role.USER),
        snippet=row["snippet"] if wanted.match else search_query.snippet(row["scanned"], wanted.words),
        created=_time(row["created"]),
    )


def _conversation(row: Row) -> Conversation:
    trashed = row["trashed"]
    return Conversation(
        id=row["id"],
        title=row["title"],
        created=_time(row["created"]),
        updated=_time(row["updated"]),
        trashed=None if trashed is None else _time(trashed),
        system_prompt=row["system_prompt"],
        parameters=msgspec.json.decode(row["parameters"], type=Parameters),
        leaf_id=row["leaf_id"],
        model_sha256=row["model_sha256"],
        sources=_from_json(row["sources"], Sources),
    )


def _message(row: Row) -> Message:
    return Message(
        id=row["id"],
        conversation_id=row["conversation_id"],
        parent_id=row["parent_id"],
        role=Role(row["role"]),
        text=row["text"],
        status=Status(row["status"]),
        created=_time(row["created"]),
        error=row["error"],
        stats=_from_json(row["stats"], GenerationStats),
        record=_from_json(row["record"], AnswerRecord),
        feedback=row["feedback"] or 0,
        sibling_ids=tuple(msgspec.json.decode(row["sibling_ids"], type=list[int])),
        given=_from_json(row["given"], tuple[Given, ...]) or (),
        citations=_from_json(row["citations"], tuple[Citation, ...]) or (),
    )


Value = TypeVar("Value")


def _from_json(text: str | None, kind: type[Value]) -> Value | None:
    return None if text is None else msgspec.json.decode(text, type=kind)


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _storable(text: str) -> str:
    """``text`` with halves of characters, which UTF-8 cannot hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


def _one_line(title: str) -> str:
    shown = (c if c.isprintable() or c in _JOINERS else " " for c in _storable(title))
    return " ".join("".join(shown).split())


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _lease_end(now: datetime) -> int:
    return _microseconds(now + timedelta(seconds=leases.LEASE_SECONDS))


def _no_conversation(conversation_id: int) -> NotFound:
    return NotFound(f"There is no conversation {conversation_id}.", "It may have been deleted.")


def _no_message(message_id: int) -> NotFound:
    return NotFound(f"There is no message {message_id}.", "Its conversation may have been deleted.")

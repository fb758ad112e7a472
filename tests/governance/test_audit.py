import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.errors import LocalAIError
from localai_app.governance import audit_checkpoint
from localai_app.governance.audit import Audit, AuditEvent, Head, Selection, VerifyResult
from localai_app.governance.audit_chain import START, KeptHead, ProblemKind, canonical, digest
from localai_app.store.database import Database


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        opened = Database.open(Path(folder) / "store.db", bytes(range(32)))
        yield opened
        opened.close()


def kinds(result: VerifyResult) -> list[str]:
    return [str(problem.kind) for problem in result.problems]


class UndoError(Exception):
    """Takes back what an example did."""


def in_a_chain(database: Database, length: int, act: Callable[[Audit], None]) -> None:
    """Let ``act`` do what it wants with a chain of that length whose guards have been removed."""
    audit = Audit(database, "maria")
    with suppress(UndoError), database.transaction():
        for number in range(length):
            audit.append(AuditEvent.MESSAGE_SENT, str(number), {"tokens": number, "model": "ä"})
        database.execute("DROP TRIGGER audit_not_updated")
        database.execute("DROP TRIGGER audit_not_deleted")
        act(audit)
        raise UndoError


def test_untouched_chain_is_sound(database: Database) -> None:
    def check(audit: Audit) -> None:
        result = audit.verify()
        assert result.sound
        assert result.entries == 5
        assert result.head == audit.head()

    in_a_chain(database, 5, check)


def test_empty_log_is_sound(database: Database) -> None:
    result = Audit(database, "maria").verify()
    assert result.sound
    assert result.head == Head(0, "00" * 32)


def test_chain_longer_than_one_batch_is_checked_to_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localai_app.governance.audit._BATCH", 3)

    def check(audit: Audit) -> None:
        assert audit.verify().entries == 9
        database.execute("UPDATE audit SET actor = 'x' WHERE seq = 9")
        assert audit.verify().bad_seq == 9

    in_a_chain(database, 9, check)


@given(
    length=st.integers(1, 8),
    data=st.data(),
    column=st.sampled_from(["ts", "event", "actor", "object", "body", "prev", "hash"]),
)
def test_any_edited_entry_is_found(database: Database, length: int, data: st.DataObject, column: str) -> None:
    seq = data.draw(st.integers(1, length))
    value: object = '{"tokens":77}' if column == "body" else "changed"
    if column in ("prev", "hash"):
        value = data.draw(st.binary(min_size=32, max_size=32).filter(lambda drawn: drawn != bytes(32)))

    def check(audit: Audit) -> None:
        database.execute(f"UPDATE audit SET {column} = ? WHERE seq = ?", [value, seq])
        result = audit.verify()
        # A changed hash shows at the next entry at the latest, and at once where it is recomputed.
        assert result.bad_seq == seq
        assert result.entries == seq - 1
        assert result.problem

    in_a_chain(database, length, check)


@given(length=st.integers(2, 8), data=st.data())
def test_any_entry_removed_before_the_last_is_found(
    database: Database, length: int, data: st.DataObject
) -> None:
    seq = data.draw(st.integers(1, length - 1))

    def check(audit: Audit) -> None:
        database.execute("DELETE FROM audit WHERE seq = ?", [seq])
        result = audit.verify()
        assert (result.bad_seq, result.entries) == (seq, seq - 1)
        assert result.problem.startswith(f"entry {seq} was removed")
        database.execute("UPDATE audit SET seq = seq - 1 WHERE seq > ?", [seq])  # the gap closed
        assert audit.verify().bad_seq == seq
        assert audit.verify().problem == f"entry {seq + 1} was moved: it stands as entry {seq}"

    in_a_chain(database, length, check)


@given(data=st.data())
def test_any_two_entries_swapped_are_found(database: Database, data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=2, unique=True)))

    def check(audit: Audit) -> None:
        for before, after in ((one, 100), (other, one), (100, other)):
            database.execute("UPDATE audit SET seq = ? WHERE seq = ?", [after, before])
        result = audit.verify()
        assert [(problem.kind, problem.seq) for problem in result.problems] == [
            (ProblemKind.MOVED, one),
            (ProblemKind.MOVED, other),
        ]

    in_a_chain(database, 6, check)


def test_entry_put_in_front_is_found(database: Database) -> None:
    def check(audit: Audit) -> None:
        database.execute("UPDATE audit SET seq = 0 WHERE seq = 1")
        assert audit.verify().bad_seq == 0

    in_a_chain(database, 3, check)


def test_cut_tail_shows_only_against_a_head_that_was_kept(database: Database) -> None:
    def check(audit: Audit) -> None:
        kept = audit.head()
        database.execute("DELETE FROM audit WHERE seq = 4")
        assert audit.verify().sound
        result = audit.verify([KeptHead(kept.seq, kept.hash)])
        assert kinds(result) == ["cut off"]
        assert "the log ends at entry 3, but it had reached entry 4" in result.problem

    in_a_chain(database, 4, check)


# ---------------------------------------------------------------- checkpoints


def rewrite(database: Database, audit: Audit, first: int) -> None:
    """Write the chain anew from entry ``first`` on, with right hashes, as one who knows how can."""
    before = audit.entry(first - 1)
    prev = before.hash if before else START
    for old in list(audit.read(first=first)):
        entry = msgspec.structs.replace(old, prev=prev, actor="nobody")
        prev = digest(entry)
        database.execute(
            "UPDATE audit SET actor = ?, prev = ?, hash = ? WHERE seq = ?",
            [entry.actor, bytes.fromhex(entry.prev), bytes.fromhex(prev), entry.seq],
        )


def sign_again(database: Database, audit: Audit) -> None:
    """Make every checkpoint anew with the key from the store, and the hashes that follow."""
    row = database.row("SELECT private FROM audit_key")
    assert row is not None
    prev = START
    for old in list(audit.read()):
        body = old.body
        if old.event == AuditEvent.AUDIT_CHECKPOINT:
            signed = audit_checkpoint.sign(
                row["private"], seq=old.seq - 1, digest=prev, entries=old.seq - 1, time=old.time
            )
            body = canonical({"entries": signed.entries, "signature": signed.signature})
        entry = msgspec.structs.replace(old, prev=prev, body=body)
        prev = digest(entry)
        database.execute(
            "UPDATE audit SET body = ?, prev = ?, hash = ? WHERE seq = ?",
            [body, bytes.fromhex(entry.prev), bytes.fromhex(prev), entry.seq],
        )


def test_a_checkpoint_signs_the_head_and_is_part_of_the_chain(database: Database) -> None:
    def check(audit: Audit) -> None:
        assert (audit.verify().signed, audit.verify().key) == (0, "")
        signed = audit.checkpoint()
        assert signed.is_genuine()
        told = audit.entry(4)
        assert told is not None
        assert (told.event, told.object) == ("audit.key_created", signed.key)
        assert (signed.seq, signed.hash, signed.entries) == (4, told.hash, 4)
        last = audit.last_checkpoint()
        assert last is not None
        assert last.checkpoint == signed
        audit.append(AuditEvent.APP_STOPPED)
        result = audit.verify([KeptHead(signed.seq, signed.hash, signed.key)])
        assert result.sound
        assert (result.seen, result.signed, result.key) == (6, 4, signed.key)
        assert audit.checkpoint().key == signed.key

    in_a_chain(database, 3, check)


@pytest.mark.parametrize("field", ["seq", "hash", "entries", "time", "key", "signature"])
def test_a_checkpoint_that_was_changed_anywhere_is_not_genuine(field: str) -> None:
    private = audit_checkpoint.new_key()
    signed = audit_checkpoint.sign(private, seq=7, digest="ab" * 32, entries=7, time="2026-11-20T08:00:00Z")
    assert signed.is_genuine()
    value = getattr(signed, field)
    other: object = value + 1 if isinstance(value, int) else "0123" + value[4:]
    assert not msgspec.structs.replace(signed, **{field: other}).is_genuine()


def test_a_chain_written_anew_shows_at_the_next_checkpoint(database: Database) -> None:
    def check(audit: Audit) -> None:
        audit.checkpoint()
        rewrite(database, audit, 2)
        result = audit.verify()
        assert kinds(result) == ["signature"]
        assert result.problem.startswith("the checkpoint in entry 6")

    in_a_chain(database, 4, check)


def test_a_chain_written_and_signed_anew_shows_only_against_a_head_that_was_kept(database: Database) -> None:
    def check(audit: Audit) -> None:
        kept = audit.checkpoint()
        rewrite(database, audit, 2)
        sign_again(database, audit)
        assert audit.verify().sound
        result = audit.verify([KeptHead(kept.seq, kept.hash, kept.key)])
        assert kinds(result) == ["replaced"]
        assert "entry 5 is not the one that was kept elsewhere" in result.problem

    in_a_chain(database, 4, check)


def test_a_chain_signed_by_another_key_shows(database: Database) -> None:
    def check(audit: Audit) -> None:
        kept = audit.checkpoint()
        database.execute("DROP TRIGGER audit_key_not_updated")
        database.execute("UPDATE audit_key SET private = ?", [audit_checkpoint.new_key()])
        assert set(kinds(audit.verify())) == {"signature"}
        sign_again(database, audit)
        result = audit.verify([KeptHead(kept.seq, kept.hash, kept.key)])
        assert "signature" in kinds(result)

    in_a_chain(database, 4, check)


def test_an_entry_replaced_by_another_of_its_own_hash_shows_at_the_next(database: Database) -> None:
    def check(audit: Audit) -> None:
        entry = audit.entry(3)
        assert entry is not None
        entry = msgspec.structs.replace(entry, actor="nobody")
        values = [entry.actor, bytes.fromhex(digest(entry))]
        database.execute("UPDATE audit SET actor = ?, hash = ? WHERE seq = 3", values)
        result = audit.verify()
        assert (kinds(result), result.bad_seq) == (["replaced"], 4)

    in_a_chain(database, 5, check)


def test_each_of_several_problems_has_a_line_and_a_flood_is_counted(database: Database) -> None:
    def check(audit: Audit) -> None:
        database.execute("UPDATE audit SET actor = 'x' WHERE seq = 3")
        database.execute("DELETE FROM audit WHERE seq BETWEEN 6 AND 8")
        result = audit.verify()
        assert [(str(problem.kind), problem.text) for problem in result.problems] == [
            ("changed", "entry 3 was changed"),
            ("removed", "entries 6 to 8 were removed"),
        ]
        assert (result.entries, result.seen, result.more) == (2, 37, 0)
        database.execute("UPDATE audit SET actor = 'x'")
        result = audit.verify()
        assert len(result.problems) + result.more == 38
        assert result.more == 18

    in_a_chain(database, 40, check)


def test_an_end_that_was_cut_off_before_the_key_was_made_shows(database: Database) -> None:
    def check(audit: Audit) -> None:
        audit.checkpoint()
        database.execute("DELETE FROM audit WHERE seq > 2")
        assert audit.verify().problem.startswith("no entry tells of the key that signs this log")
        audit.checkpoint()
        assert kinds(audit.verify()) == ["signature"]
        database.execute("DELETE FROM audit")
        assert not audit.verify().sound

    in_a_chain(database, 3, check)


def test_a_front_that_was_cut_off_without_an_archive_shows(database: Database) -> None:
    def check(audit: Audit) -> None:
        audit.checkpoint()
        database.execute("DELETE FROM audit WHERE seq < 5")
        assert audit.verify().problem.startswith("entries 1 to 4 were removed, and nothing says")

    in_a_chain(database, 3, check)


def test_what_was_checked_before_need_not_be_checked_again(database: Database) -> None:
    def check(audit: Audit) -> None:
        kept = audit.entry(4)
        assert kept is not None
        start = KeptHead(4, kept.hash)
        database.execute("UPDATE audit SET actor = 'x' WHERE seq = 2")
        result = audit.verify(start=start)
        assert (result.sound, result.first, result.seen) == (True, 4, 3)
        database.execute("UPDATE audit SET actor = 'x' WHERE seq = 6")
        assert audit.verify(start=start).bad_seq == 6
        database.execute("DELETE FROM audit WHERE seq > 3")
        assert kinds(audit.verify(start=start)) == ["cut off"]

    in_a_chain(database, 6, check)


def test_a_checkpoint_comes_by_itself(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localai_app.governance.audit.CHECKPOINT_EVERY", 10)

    def check(audit: Audit) -> None:
        found = [entry.seq for entry in audit.read(Selection(events=["audit.checkpoint"]))]
        assert found == [12, 21, 31]

    in_a_chain(database, 32, check)


def test_the_end_is_signed_where_that_is_due(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "store.db", bytes(range(32)))
    clock = [datetime(2026, 11, 20, 8, tzinfo=UTC)]
    audit = Audit(database, now=lambda: clock[0])

    def checkpoints() -> int:
        return len(audit.entries(Selection(events=["audit.checkpoint"])))

    audit.stop()
    assert checkpoints() == 1
    audit.stop()
    assert checkpoints() == 1, "a command of a second is not worth a signature"
    clock[0] += timedelta(days=1, seconds=1)
    audit.stop()
    assert checkpoints() == 2
    for _ in range(50):
        audit.append(AuditEvent.MESSAGE_SENT)
    audit.stop()
    assert checkpoints() == 3
    assert audit.verify().sound
    database.close()


# ---------------------------------------------------------------- the store


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET actor = 'someone else'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT seq, ts, event, 'x', object, body, prev, hash FROM audit",
        "INSERT INTO audit SELECT seq + 2, ts, event, actor, object, body, hash, hash FROM audit",
        "INSERT INTO audit SELECT seq - 1, ts, event, actor, object, body, prev, hash FROM audit",
        "INSERT INTO audit SELECT seq + 1, ts, event, actor, object, body, prev, hash FROM audit",
    ],
)
def test_log_refuses_to_be_changed(tmp_path: Path, sql: str) -> None:
    database = Database.open(tmp_path / "store.db", bytes(range(32)))
    audit = Audit(database, "maria")
    audit.append(AuditEvent.APP_STARTED)
    with pytest.raises(Exception, match="append-only"):
        database.execute(sql)
    assert audit.verify().entries == 1
    database.close()


def test_entry_goes_with_the_act_it_tells_of(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "store.db", bytes(range(32)))
    audit = Audit(database)

    def fail() -> None:
        with database.transaction():
            audit.append(AuditEvent.CONVERSATION_DELETED, "1")
            raise UndoError

    with pytest.raises(UndoError):
        fail()
    assert audit.head().seq == 0
    assert audit.append(AuditEvent.APP_STARTED).seq == 1
    database.close()


def test_two_that_share_a_store_make_one_chain(tmp_path: Path) -> None:
    databases = [Database.open(tmp_path / "store.db", bytes(range(32))) for _ in range(2)]
    audits = [Audit(database, name) for database, name in zip(databases, ("gui", "cli"), strict=True)]
    for audit in audits * 3:
        audit.append(AuditEvent.APP_STARTED)
    assert audits[0].verify() == audits[1].verify()
    assert audits[0].verify().entries == 6
    for database in databases:
        database.close()


def test_entries_leave_only_behind_an_entry_that_names_their_archive(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "store.db", bytes(range(32)))
    audit = Audit(database, "maria")
    for _ in range(5):
        audit.append(AuditEvent.MESSAGE_SENT)
    kept = audit.append_signed(AuditEvent.AUDIT_EXPORTED)
    first = audit.first()
    assert first is not None
    with pytest.raises(Exception, match="append-only"):
        database.execute("DELETE FROM audit WHERE seq < ?", [kept.seq])
    audit.remove_archived(first, kept, "00" * 32)
    result = audit.verify()
    assert (result.sound, result.first, result.seen) == (True, kept.seq, 2)
    with pytest.raises(Exception, match="append-only"):
        database.execute("DELETE FROM audit")
    audit.append(AuditEvent.MESSAGE_SENT)
    with pytest.raises(Exception, match="append-only"):
        database.execute("DELETE FROM audit WHERE seq = ?", [kept.seq])
    with pytest.raises(LocalAIError, match="has just rotated"):
        audit.remove_archived(first, kept, "00" * 32)
    assert audit.verify().seen == 3
    database.close()


def test_an_old_copy_of_the_store_shows_against_a_head_that_was_kept(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "store.db", bytes(range(32)))
    audit = Audit(database, "maria")
    audit.append(AuditEvent.APP_STARTED)
    audit.checkpoint()
    database.execute("VACUUM INTO ?", [str(tmp_path / "old.db")])
    audit.append(AuditEvent.DOCUMENT_ERASED)
    kept = audit.checkpoint()
    database.close()
    (tmp_path / "old.db").replace(tmp_path / "store.db")
    for name in ("store.db-wal", "store.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    database = Database.open(tmp_path / "store.db", bytes(range(32)))
    audit = Audit(database, "maria")
    assert audit.verify().sound, "nothing in the copy itself is wrong"
    head = KeptHead(kept.seq, kept.hash, kept.key)
    assert kinds(audit.verify([head])) == ["cut off"]
    for _ in range(4):  # it grows beyond the head that was kept
        audit.append(AuditEvent.APP_STARTED)
    assert kinds(audit.verify([head])) == ["replaced"]
    database.close()


def test_entries_are_found_by_time_event_and_object(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "store.db", bytes(range(32)))
    clock = [datetime(2026, 11, 20, 8, tzinfo=UTC)]
    audit = Audit(database, "maria", now=lambda: clock[0])
    for number, event in enumerate([AuditEvent.DOCUMENT_ADDED, AuditEvent.DOCUMENT_OPENED] * 3):
        audit.append(event, str(number))
        clock[0] += timedelta(hours=1)

    def found(**wanted: object) -> list[int]:
        return [entry.seq for entry in audit.entries(Selection(**wanted))]  # type: ignore[arg-type]

    assert found() == [6, 5, 4, 3, 2, 1]
    assert found(events=["document.opened"]) == [6, 4, 2]
    assert found(since=datetime(2026, 11, 20, 12, tzinfo=timezone(timedelta(hours=1)))) == [6, 5, 4]
    assert found(until=datetime(2026, 11, 20, 9, tzinfo=UTC)) == [1]
    assert found(object_id="3", events=["document.opened", "document.added"]) == [4]
    assert [entry.seq for entry in audit.entries(limit=2)] == [6, 5]
    assert [entry.seq for entry in audit.entries(limit=2, before=5)] == [4, 3]
    assert audit.entries(before=1) == []
    assert [entry.seq for entry in audit.read(first=2, last=4)] == [2, 3, 4]
    database.close()

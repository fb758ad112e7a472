import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.governance.audit import Audit, AuditEvent, Head
from localai_app.store.database import Database


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        opened = Database.open(Path(folder) / "store.db", bytes(range(32)))
        yield opened
        opened.close()


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
        assert audit.verify().bad_seq == seq + 1
        database.execute("UPDATE audit SET seq = seq - 1 WHERE seq > ?", [seq])  # the gap closed
        assert audit.verify().bad_seq == seq

    in_a_chain(database, length, check)


@given(data=st.data())
def test_any_two_entries_swapped_are_found(database: Database, data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=2, unique=True)))

    def check(audit: Audit) -> None:
        for before, after in ((one, 100), (other, one), (100, other)):
            database.execute("UPDATE audit SET seq = ? WHERE seq = ?", [after, before])
        assert audit.verify().bad_seq == one

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
        assert audit.verify().head != kept

    in_a_chain(database, 4, check)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET actor = 'someone else'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT seq, ts, event, 'x', object, body, prev, hash FROM audit",
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

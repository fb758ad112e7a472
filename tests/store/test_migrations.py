from pathlib import Path

import pytest

from localai_app.store import migrations
from localai_app.store.database import Database

KEY = bytes(range(32))


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """A store of the newest schema, to which the tests add another, with a setting in it."""
    path = tmp_path / "store.db"
    database = Database.open(path, KEY)
    database.execute("INSERT INTO setting (key, value) VALUES ('theme', '\"dark\"')")
    database.close()
    return path


def version(database: Database) -> int:
    row = database.row("PRAGMA user_version")
    assert row is not None
    return int(row[0])


def test_new_store_has_the_newest_schema_and_a_personal_workspace(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "store.db", KEY)
    assert version(database) == len(migrations.MIGRATIONS)
    assert [row["name"] for row in database.rows("SELECT name FROM workspace")] == ["Personal"]
    assert not list(tmp_path.glob("*backup*"))
    database.close()


def test_every_table_is_strict(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "store.db", KEY)
    loose = database.rows(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict "
        "AND name NOT LIKE 'sqlite_%'"
    )
    assert [row["name"] for row in loose] == []
    database.close()


def test_older_store_is_migrated_after_a_backup(old_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        migrations, "MIGRATIONS", [*migrations.MIGRATIONS, "CREATE TABLE later (x INTEGER) STRICT;"]
    )
    database = Database.open(old_store, KEY)
    newest = len(migrations.MIGRATIONS)
    assert version(database) == newest
    assert database.rows("SELECT * FROM later") == []
    assert len(database.rows("SELECT * FROM setting")) == 1
    assert database.check() == []
    database.close()

    monkeypatch.undo()
    backup = migrations.backup_path(old_store, newest - 1)
    assert backup.stat().st_mode & 0o077 == 0
    assert b"dark" not in backup.read_bytes()
    copy = Database.open(backup, KEY)
    assert version(copy) == newest - 1
    assert [row["value"] for row in copy.rows("SELECT value FROM setting")] == ['"dark"']
    assert copy.check() == []
    copy.close()
    assert not list(old_store.parent.glob("*partial*"))


@pytest.mark.parametrize("number", range(1, len(migrations.MIGRATIONS)))
def test_store_of_every_released_schema_comes_to_the_newest(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    with monkeypatch.context() as released:
        released.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:number])
        old = Database.open(path, KEY)
        assert version(old) == number
        old.execute("INSERT INTO setting (key, value) VALUES ('theme', '\"dark\"')")
        old.close()
    database = Database.open(path, KEY)
    assert version(database) == len(migrations.MIGRATIONS)
    assert [row["value"] for row in database.rows("SELECT value FROM setting")] == ['"dark"']
    assert database.check() == []
    database.close()


def test_failed_step_leaves_the_store_as_it_was(old_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = "CREATE TABLE later (x INTEGER) STRICT; DELETE FROM setting; INSERT INTO nowhere VALUES (1);"
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, step])
    with pytest.raises(Exception, match="nowhere"):
        Database.open(old_store, KEY)
    monkeypatch.undo()
    database = Database.open(old_store, KEY)
    assert version(database) == len(migrations.MIGRATIONS)
    assert len(database.rows("SELECT * FROM setting")) == 1
    database.close()


def test_store_that_is_up_to_date_is_not_copied(old_store: Path) -> None:
    Database.open(old_store, KEY).close()
    assert not list(old_store.parent.glob("*backup*"))

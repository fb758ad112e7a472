"""A store of an older version is copied and brought up to date; a newer one is not touched."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from localai_app import app as app_module
from localai_app import cli
from localai_app.app import App, open_app
from localai_app.cli.terminal import Terminal
from localai_app.errors import NewerSchema, StoreReadOnly
from localai_app.governance import keys, rekey
from localai_app.governance.audit import Audit, AuditEvent, Selection
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from localai_app.store import migrations
from localai_app.store.database import Database
from tests.fake_engine import FakeEngine

NEWEST = len(migrations.MIGRATIONS)
QUESTION = "How long is the warranty?"
OLD_CONTENT = """
INSERT INTO conversation (id, workspace_id, title, created, updated, content_key)
VALUES (1, 1, 'Warranty', 1700000000000000, 1700000000000000, randomblob(32));
INSERT INTO message (id, conversation_id, role, status, created, text)
VALUES (1, 1, 'user', 'complete', 1700000000000000, '{question}');
UPDATE conversation SET leaf_id = 1 WHERE id = 1;
"""

Made = Callable[[int], Paths]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make a store as the version with that many steps did, with a conversation and an audit log in it."""

    def make(schema: int) -> Paths:
        paths = Paths.for_user(tmp_path / "data")
        key = keys.open_key(paths, Policy(), find_keystore=lambda: None)
        with monkeypatch.context() as older:
            older.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:schema])
            database = Database.open(paths.database, key.key)
            for statement in OLD_CONTENT.format(question=QUESTION).split(";\n"):
                if statement.strip():
                    database.execute(statement)
            audit = Audit(database, actor="anna")
            audit.append(AuditEvent.STORE_CREATED)
            audit.append(AuditEvent.CONVERSATION_CREATED, "1")
            assert database.upgraded_from is None
            database.close()
        return paths

    return make


def opened(paths: Paths) -> App:
    return open_app(paths, engine=FakeEngine())


def events(app: App, event: AuditEvent) -> list[str]:
    return [entry.body for entry in app.audit.entries(Selection(events=[event]), limit=10)]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- up


@pytest.mark.parametrize("schema", range(1, NEWEST))
def test_what_an_older_version_kept_is_all_there(made: Made, schema: int) -> None:
    paths = made(schema)
    with opened(paths) as app:
        assert [one.title for one in app.chat.conversations()] == ["Warranty"]
        assert [hit.message_id for hit in app.chat.search("warranty")] == [1]
        assert app.audit.verify().sound
        assert app.database.check() == []
        assert events(app, AuditEvent.STORE_UPGRADED) == [f'{{"from":{schema},"to":{NEWEST}}}']
    with opened(paths) as app:
        assert len(events(app, AuditEvent.STORE_UPGRADED)) == 1


def test_the_copy_is_the_store_as_it_was_and_encrypted(made: Made) -> None:
    paths = made(3)
    with opened(paths) as app:
        key = app.key.key
    copy = migrations.backup_path(paths.database, 3)
    assert QUESTION.encode() not in copy.read_bytes()
    if os.name == "posix":
        assert copy.stat().st_mode & 0o077 == 0
    kept = Database(copy, key)
    row = kept.row("PRAGMA user_version")
    assert row is not None
    assert row[0] == 3
    assert [row["text"] for row in kept.rows("SELECT text FROM message")] == [QUESTION]
    kept.close()


def test_where_no_copy_can_be_made_nothing_is_changed(made: Made) -> None:
    paths = made(3)
    migrations.backup_path(paths.database, 3).mkdir()
    with pytest.raises(StoreReadOnly):
        opened(paths)
    migrations.backup_path(paths.database, 3).rmdir()
    assert not list(paths.data.glob("*.partial"))
    with opened(paths) as app:
        assert events(app, AuditEvent.STORE_UPGRADED) == [f'{{"from":3,"to":{NEWEST}}}']


def test_many_that_start_at_once_upgrade_it_once_and_the_copy_is_sound(made: Made) -> None:
    paths = made(3)
    key = keys.open_key(paths, Policy(), find_keystore=lambda: None).key
    failures: list[BaseException] = []
    start = threading.Barrier(6)

    def upgrade() -> None:
        start.wait()
        try:
            Database.open(paths.database, key).close()
        except BaseException as error:  # shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    kept = Database(migrations.backup_path(paths.database, 3), key)
    row = kept.row("PRAGMA user_version")
    assert row is not None
    assert row[0] == 3
    assert kept.check() == []
    kept.close()
    assert not list(paths.data.glob("*.partial"))


# ---------------------------------------------------------------- down


def test_a_newer_store_is_refused_with_one_line_and_not_touched(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = made(NEWEST)
    before = content(paths.data)
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:-1])
    with pytest.raises(NewerSchema):
        opened(paths)
    code = cli.main(
        ["chat", "list", "--data-dir", str(paths.data)],
        lambda paths, files: 0,
        terminal=Terminal(sys.stdin, sys.stdout, sys.stderr),
    )
    assert code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "written by a newer version" in line
    assert f"schema {NEWEST}; this version knows {NEWEST - 1}" in line
    assert "Install the newer version again" in line
    assert content(paths.data) == before


def test_the_copy_takes_a_person_back_to_the_older_version(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = made(NEWEST - 1)
    with opened(paths):
        pass
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:-1])
    with pytest.raises(NewerSchema):
        opened(paths)
    paths.database.unlink()
    shutil.move(migrations.backup_path(paths.database, NEWEST - 1), paths.database)
    key = keys.open_key(paths, Policy(), find_keystore=lambda: None).key
    database = Database.open(paths.database, key)
    assert [row["text"] for row in database.rows("SELECT text FROM message")] == [QUESTION]
    database.close()


# ---------------------------------------------------------------- how long the copy stays


def age(copy: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(copy, (then, then))


def test_the_copy_goes_after_a_month(made: Made) -> None:
    paths = made(3)
    with opened(paths):
        pass
    copy = migrations.backup_path(paths.database, 3)
    interrupted = copy.with_name(f"{copy.name}.0123.partial")
    interrupted.touch()
    for one in (copy, interrupted):
        age(one, 29)
    with opened(paths) as app:
        assert copy.exists()
        assert events(app, AuditEvent.STORE_COPIES_REMOVED) == []
    for one in (copy, interrupted):
        age(one, 31)
    with opened(paths) as app:
        assert not list(paths.data.glob("*backup*"))
        assert events(app, AuditEvent.STORE_COPIES_REMOVED) == ['{"copies":2}']


def test_under_a_legal_hold_it_stays(made: Made) -> None:
    paths = made(3)
    with opened(paths):
        pass
    copy = migrations.backup_path(paths.database, 3)
    age(copy, 400)
    with open_app(paths, engine=FakeEngine(), policy=Policy({"LegalHold": True})):
        assert copy.exists()


def test_it_goes_with_the_key_that_opens_it(made: Made) -> None:
    paths = made(3)
    with opened(paths) as app:
        key = app.key
    assert migrations.backup_path(paths.database, 3).exists()
    rekey.change_key(paths, key, Policy(), find_keystore=lambda: None)
    assert not migrations.backup_path(paths.database, 3).exists()
    with opened(paths) as app:
        assert [one.title for one in app.chat.conversations()] == ["Warranty"]


def test_thirty_days_is_what_the_documents_say() -> None:
    assert app_module.KEEP_COPIES.days == 30
    text = (Path(__file__).parents[1] / "docs" / "admin" / "install.md").read_text(encoding="utf-8")
    assert "30 days" in text

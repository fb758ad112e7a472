import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlcipher3.dbapi2 as sqlcipher

from localai_app.errors import (
    DiskFull,
    LocalAIError,
    NewerSchema,
    StoreDamaged,
    StoreError,
    StoreLocked,
    StoreReadOnly,
    WrongKey,
)
from localai_app.store import database as module
from localai_app.store.database import Database
from tests.decrypted import PAGE, decrypted

KEY = bytes(range(32))
PLANTED = "Patient Zebrafink"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database.open(path, KEY)
    yield opened
    opened.close()


def keep(database: Database, key: str, text: str) -> None:
    database.execute("INSERT INTO setting (key, value) VALUES (?, json_quote(?))", [key, text])


def kept(database: Database) -> list[str]:
    return [row["key"] for row in database.rows("SELECT key FROM setting ORDER BY key")]


def assert_clear(error: LocalAIError) -> None:
    """One line that says what is wrong, and another what to do."""
    assert str(error)
    assert error.hint
    assert "\n" not in error.line


def test_what_was_committed_is_there_after_opening_again(path: Path) -> None:
    first = Database.open(path, KEY)
    keep(first, "a", "text")
    first.close()
    second = Database.open(path, KEY)
    assert kept(second) == ["a"]
    assert second.check() == []
    second.close()


def test_connection_is_set_up_for_safety(database: Database) -> None:
    def pragma(name: str) -> object:
        row = database.row(f"PRAGMA {name}")
        assert row is not None
        return row[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("foreign_keys") == 1
    assert pragma("secure_delete") == 1
    assert pragma("synchronous") == 2  # FULL
    assert pragma("temp_store") == 2  # memory
    assert pragma("recursive_triggers") == 1  # else INSERT OR REPLACE passes the audit log's triggers


# -- what lies on the disk -------------------------------------------------------------------------


def test_no_plaintext_in_any_file(tmp_path: Path, database: Database) -> None:
    for number in range(200):
        keep(database, f"{PLANTED} {number}", PLANTED)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.name for file in files} == {"store.db", "store.db-wal", "store.db-shm"}
    for file in files:
        content = file.read_bytes()
        assert PLANTED.encode() not in content
        assert PLANTED.encode("utf-16-le") not in content
        assert b"SQLite format 3" not in content
    # The control: the text is there, under the key.
    assert PLANTED.encode() in decrypted(database.path, KEY)


def test_erased_text_is_gone_from_every_page_once_the_log_is_emptied(database: Database) -> None:
    keep(database, "a", PLANTED * 2000)
    keep(database, "b", "something else")
    assert PLANTED.encode() in decrypted(database.path, KEY)
    with database.transaction():
        database.execute("DELETE FROM setting WHERE key = 'a'")
        database.erase_log_on_commit()
    assert PLANTED.encode() not in decrypted(database.path, KEY)
    assert kept(database) == ["b"]


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_folder_and_files_are_for_their_owner_alone(path: Path, database: Database) -> None:
    keep(database, "a", "")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file.name


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    Database.open(path, KEY).close()
    path.chmod(0o644)
    Database.open(path, KEY).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_link_or_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    real = tmp_path / "real.db"
    Database.open(real, KEY).close()
    (tmp_path / "link.db").symlink_to(real)
    (tmp_path / "folder.db").mkdir()
    for name in ("link.db", "folder.db"):
        with pytest.raises(StoreError, match="link or not a plain file") as caught:
            Database.open(tmp_path / name, KEY)
        assert_clear(caught.value)


# -- transactions and threads ----------------------------------------------------------------------


def test_failed_transaction_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction():
            keep(database, "a", "")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert kept(database) == []
    with database.transaction():
        keep(database, "b", "")
    assert kept(database) == ["b"]


def test_nested_transaction_is_our_own_bug(database: Database) -> None:
    with database.transaction(), pytest.raises(AssertionError), database.transaction():
        pass


def test_wrong_sql_is_our_own_bug_and_not_a_store_error(database: Database) -> None:
    with pytest.raises(Exception, match="no such table") as caught:
        database.rows("SELECT * FROM absent")
    assert not isinstance(caught.value, LocalAIError)


def test_reader_does_not_wait_for_a_writer_and_sees_the_last_commit(database: Database) -> None:
    keep(database, "a", "")
    seen: list[list[str]] = []
    with database.transaction():
        keep(database, "b", "")
        reader = threading.Thread(target=lambda: seen.append(kept(database)))
        reader.start()
        reader.join(10)
        assert seen == [["a"]]
        assert kept(database) == ["a", "b"]


def test_writers_in_many_threads_take_turns(database: Database) -> None:
    def write(writer: int) -> None:
        for number in range(20):
            with database.transaction():
                keep(database, f"{writer}-{number}", "")

    threads = [threading.Thread(target=write, args=[writer]) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept(database)) == 80
    assert database.check() == []


def test_threads_that_end_leave_no_connections_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    connect = module._connect
    monkeypatch.setattr(module, "_connect", lambda *given: opened.append(1) or connect(*given))
    for _ in range(50):
        thread = threading.Thread(target=kept, args=[database])
        thread.start()
        thread.join()
    assert len(opened) == 0  # the one that `open` left idle served them all


def test_close_waits_for_a_transaction_in_another_thread(path: Path) -> None:
    database = Database.open(path, KEY)
    began, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with database.transaction():
            keep(database, "a", "")
            began.set()
            go_on.wait(10)

    writer, closer = threading.Thread(target=write), threading.Thread(target=database.close)
    writer.start()
    began.wait(10)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    go_on.set()
    writer.join(10)
    closer.join(10)
    assert not closer.is_alive()
    with pytest.raises(AssertionError):
        kept(database)
    again = Database.open(path, KEY)
    assert kept(again) == ["a"]
    again.close()


def test_many_that_make_the_same_store_at_once_all_get_it(path: Path) -> None:
    barrier, errors = threading.Barrier(6), []

    def start(number: int) -> None:
        barrier.wait()
        try:
            database = Database.open(path, KEY)
            keep(database, str(number), "")
            database.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    database = Database.open(path, KEY)
    assert len(kept(database)) == 6
    database.close()


# -- what a person is told -------------------------------------------------------------------------


def test_wrong_key_is_told_and_changes_nothing(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Database.open(path, KEY).close()
    before = path.read_bytes()
    with pytest.raises(WrongKey) as caught:
        Database.open(path, bytes(32))
    assert_clear(caught.value)
    assert path.read_bytes() == before
    assert capfd.readouterr() == ("", "")
    assert KEY.hex() not in repr(caught.value.__cause__)


def test_locked_store_is_told_and_works_again_afterwards(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    one, other = Database.open(path, KEY), Database.open(path, KEY)
    with one.transaction():
        with pytest.raises(StoreLocked) as caught:
            keep(other, "a", "")
        with pytest.raises(StoreLocked), other.transaction():
            pass
        keep(one, "b", "")
    assert_clear(caught.value)
    keep(other, "c", "")
    assert kept(one) == ["b", "c"]
    one.close()
    other.close()


def test_full_database_is_told_and_nothing_saved_is_lost(database: Database) -> None:
    keep(database, "a", "")
    pages = database.row("PRAGMA page_count")
    assert pages is not None
    database.rows(f"PRAGMA max_page_count = {pages[0] + 3}")

    def fill() -> None:
        with database.transaction():
            keep(database, "b", "")
            keep(database, "c", "x" * 100_000)

    with pytest.raises(DiskFull) as caught:
        fill()
    assert_clear(caught.value)
    assert kept(database) == ["a"]
    keep(database, "d", "")
    assert kept(database) == ["a", "d"]
    assert database.check() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root on Linux may mount a disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_full_disk_is_told_and_nothing_saved_is_lost(small_disk: Path) -> None:
    path = small_disk / "data" / "store.db"
    database = Database.open(path, KEY)
    saved = 0

    def fill() -> None:
        nonlocal saved
        for number in range(2000):
            keep(database, f"{number:04}", "x" * 3000)
            saved = number + 1

    with pytest.raises(DiskFull) as caught:
        fill()
    assert_clear(caught.value)
    assert saved > 10
    assert len(kept(database)) == saved
    database.close()
    again = Database.open(path, KEY)
    assert len(kept(again)) == saved
    assert again.check() == []
    again.close()


def test_start_on_a_full_disk_is_told(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(1020 * 1024))
    with pytest.raises(DiskFull) as caught:
        Database.open(small_disk / "data" / "store.db", KEY)
    assert_clear(caught.value)


def test_read_only_disk_is_told(small_disk: Path) -> None:
    path = small_disk / "data" / "store.db"
    Database.open(path, KEY).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for place in (path, small_disk / "new" / "store.db"):
        with pytest.raises(StoreReadOnly) as caught:
            Database.open(place, KEY)
        assert_clear(caught.value)


def test_disk_that_turns_read_only_under_an_open_store_is_told(database: Database) -> None:
    database.rows("PRAGMA query_only = ON")  # SQLite answers as it does for a disk remounted read-only
    with pytest.raises(StoreReadOnly):
        keep(database, "a", "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_folder_without_write_permission_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreReadOnly):
        Database.open(folder / "store.db", KEY)


def test_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(StoreReadOnly) as caught:
        Database.open(tmp_path / "data" / "store.db", KEY)
    assert_clear(caught.value)


def test_store_of_a_newer_version_is_told_and_not_touched(path: Path) -> None:
    database = Database.open(path, KEY)
    database.rows("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    with pytest.raises(NewerSchema, match="99") as caught:
        Database.open(path, KEY)
    assert_clear(caught.value)
    assert path.read_bytes() == before


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_changed_page_is_told_and_named_by_the_check(path: Path) -> None:
    database = Database.open(path, KEY)
    keep(database, "a", "x" * 100_000)
    database.close()
    page = path.stat().st_size // PAGE - 5  # one of the 25 that hold the text
    flip(path, page * PAGE - PAGE // 2)
    damaged = Database.open(path, KEY)
    with pytest.raises(StoreDamaged) as caught:
        damaged.rows("SELECT * FROM setting")
    assert_clear(caught.value)
    assert any(f"HMAC verification failed for page {page}" in problem for problem in damaged.check())
    assert damaged.rows("SELECT * FROM workspace")  # what is sound can still be read
    damaged.close()


def test_changed_first_page_does_not_open(path: Path) -> None:
    Database.open(path, KEY).close()
    flip(path, 100)
    with pytest.raises(WrongKey, match="does not open") as caught:
        Database.open(path, KEY)
    assert "damaged" in caught.value.hint


WRITER = """
import sys
from pathlib import Path
from localai_app.store.database import Database
database = Database.open(Path(sys.argv[1]), bytes(range(32)))
number = 0
while True:
    with database.transaction():
        database.execute("INSERT INTO setting VALUES (?, json_quote(?))", [f"{number:06}", "x" * 500])
    print(number, flush=True)
    number += 1
"""


def test_killed_process_leaves_a_sound_store_with_every_commit(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= 50:
            break
    child.kill()
    told = [50, *(int(line) for line in child.stdout)]
    child.wait()
    child.stdout.close()
    database = Database.open(path, KEY)
    assert database.check() == []
    assert len(kept(database)) >= told[-1] + 1
    database.close()


def test_an_input_output_error_on_a_full_disk_is_called_a_full_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = sqlcipher.OperationalError("disk I/O error")
    failed.sqlite_errorcode = 10  # type: ignore[attr-defined]
    for is_full, told in ((True, DiskFull), (False, StoreError)):
        monkeypatch.setattr(module.files, "is_full", lambda _, answer=is_full: answer)
        with pytest.raises(StoreError) as caught, module._store_errors(path):
            raise failed
        assert type(caught.value) is told
        assert_clear(caught.value)

import json
import os
from pathlib import Path

import pytest

from localai_app.app import open_app
from localai_app.errors import StoreError, WrongKey
from localai_app.governance import unlock_failures
from localai_app.governance.audit import Audit, Entry, Selection
from localai_app.paths import Paths
from localai_app.store.database import Database
from tests.fake_engine import FakeEngine


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A store under a passphrase."""
    found = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    with open_app(found, engine=FakeEngine()) as app:
        app.set_passphrase("right")
    return found


def attempt(paths: Paths, passphrase: str) -> list[Entry]:
    """Open with that passphrase; what the log says of failures then."""
    with open_app(paths, engine=FakeEngine(), ask_passphrase=lambda new: passphrase) as app:
        return app.audit.entries(Selection(events=["store.unlock_failed"]))


def fail(paths: Paths, times: int) -> None:
    for _ in range(times):
        with pytest.raises(WrongKey):
            attempt(paths, "wrong")


def note(paths: Paths) -> Path:
    return paths.data / "unlock-failures.json"


def test_failed_attempts_are_in_the_log_once_the_store_is_open(paths: Paths) -> None:
    assert attempt(paths, "right") == []
    fail(paths, 2)
    assert note(paths).stat().st_mode & 0o077 == 0
    (told,) = attempt(paths, "right")
    body = json.loads(told.body)
    assert body["times"] == 2
    assert body["first"] <= body["last"]
    assert not note(paths).exists()
    fail(paths, 1)
    assert [json.loads(entry.body)["times"] for entry in attempt(paths, "right")] == [1, 2]


def test_a_key_that_does_not_open_the_database_counts(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    with open_app(paths, engine=FakeEngine()):
        pass
    (key,) = (paths.config / "keys").iterdir()
    right = key.read_bytes()
    key.write_text("ab" * 32)
    with pytest.raises(WrongKey):
        open_app(paths, engine=FakeEngine())
    key.write_bytes(right)
    with open_app(paths, engine=FakeEngine()) as app:
        assert len(app.audit.entries(Selection(events=["store.unlock_failed"]))) == 1


def test_a_flood_does_not_grow_the_note(paths: Paths) -> None:
    unlock_failures.count(paths)
    size = note(paths).stat().st_size
    for _ in range(20):
        unlock_failures.count(paths)
    assert note(paths).stat().st_size <= size + 1
    assert [json.loads(entry.body)["times"] for entry in attempt(paths, "right")] == [21]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff",
        b"[" * 5000,
        b'{"id":"' + b"0" * 32 + b'","times":1,"first":"<script>","last":"x"}',
    ],
)
def test_a_note_that_somebody_spoiled_is_told_as_such(paths: Paths, content: bytes) -> None:
    note(paths).write_bytes(content)
    assert [json.loads(entry.body) for entry in attempt(paths, "right")] == [{"damaged": True}]
    assert not note(paths).exists()


def test_a_link_in_its_place_is_not_followed(paths: Paths, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_text("precious", encoding="utf-8")
    note(paths).symlink_to(target)
    fail(paths, 1)
    assert target.read_text(encoding="utf-8") == "precious"
    assert not note(paths).is_symlink()
    assert [json.loads(entry.body)["times"] for entry in attempt(paths, "right")] == [1]


def test_what_was_told_is_not_told_again_after_a_crash(paths: Paths) -> None:
    unlock_failures.count(paths)
    database = Database.open(paths.data / "other.db", bytes(range(32)))
    audit = Audit(database)
    for _ in range(2):  # as if the process had ended before the note was removed
        unlock_failures.tell(paths, audit)
    assert audit.head().seq == 1
    unlock_failures.count(paths)
    unlock_failures.tell(paths, audit)
    assert [json.loads(entry.body)["times"] for entry in audit.entries()] == [2, 1]
    database.close()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_where_nothing_can_be_written_the_wrong_key_is_what_is_told(paths: Paths) -> None:
    paths.data.chmod(0o500)
    try:
        fail(paths, 1)
    finally:
        paths.data.chmod(0o700)


def test_a_disk_without_space_does_not_hide_the_wrong_key(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise StoreError("No space is left.")

    monkeypatch.setattr(unlock_failures.files, "write_private", full)
    fail(paths, 1)
    assert not note(paths).exists()

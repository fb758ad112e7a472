"""Re-verification in the background: what is due, one at a time, politely."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from localai_app.governance.audit import Audit
from localai_app.models.installed import ModelFiles
from localai_app.models.verification import Verifier
from localai_app.store.database import Database
from localai_app.store.settings import Settings

WAIT = 60


class Room:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.settings = Settings(database)
        self.files = ModelFiles(database)
        self.paths: list[Path] = []
        self.busy = False
        self.later = timedelta()
        self.verifier = self.make()

    def make(self) -> Verifier:
        return Verifier(
            self.files,
            self.settings,
            Audit(self.database, "tester"),
            lambda: self.paths,
            lambda: self.busy,
            now=lambda: datetime.now(UTC) + self.later,
            first_seconds=0,
        )

    def add(self, name: str, content: bytes = b"GGUF") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        self.paths.append(path)
        self.files.sha256(path)
        return path

    def verified(self, path: Path) -> bool:
        record = self.files.record(path)
        return record is not None and record.verified is not None


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    database = Database.open(tmp_path / "data" / "store.db", bytes(32))
    room = Room(database, tmp_path)
    yield room
    room.verifier.close()
    database.close()


def test_a_model_is_due_a_week_after_it_was_last_read(room: Room) -> None:
    path = room.add("a.gguf")
    assert room.verifier.due() == []
    room.later = timedelta(days=6)
    assert room.verifier.due() == []
    room.later = timedelta(days=8)
    assert room.verifier.due() == [path]
    room.verifier.verify(path)
    assert room.verifier.due() == [path], "the test's clock is ahead of the store's"
    room.later = timedelta(days=1)
    assert room.verifier.due() == []


def test_what_is_due_longest_comes_first_and_what_is_away_or_unknown_waits(room: Room) -> None:
    first, second = room.add("b.gguf"), room.add("a.gguf")
    room.add("away.gguf")
    room.paths.pop()
    (room.folder / "new.gguf").write_bytes(b"GGUF")
    room.paths.append(room.folder / "new.gguf")
    room.later = timedelta(days=8)
    assert room.verifier.due() == [first, second]


def test_the_background_verifies_all_and_tells(room: Room) -> None:
    paths = [room.add("a.gguf"), room.add("b.gguf")]
    room.later = timedelta(days=8)
    told = threading.Semaphore(0)
    room.verifier.on_verified = told.release
    room.verifier.start()
    assert told.acquire(timeout=WAIT)
    assert told.acquire(timeout=WAIT)
    assert all(map(room.verified, paths))


def test_one_that_changed_is_told_and_the_others_are_read_all_the_same(room: Room) -> None:
    bad, gone, good = room.add("a.gguf", b"one"), room.add("b.gguf"), room.add("c.gguf")
    bad.write_bytes(b"two")
    gone.unlink()
    room.later = timedelta(days=8)
    room.verifier.look()
    record = room.files.record(bad)
    assert record is not None
    assert record.found_sha256
    assert room.verified(good)
    assert room.verifier.due() == [gone, good], "a changed one waits for a decision"


def test_it_waits_while_something_is_computed_and_stops_at_once_when_closed(room: Room) -> None:
    path = room.add("a.gguf")
    room.later = timedelta(days=8)
    looked = threading.Event()

    def busy() -> bool:
        looked.set()
        return True

    room.verifier._busy = busy
    room.verifier.start()
    assert looked.wait(WAIT)
    room.verifier.close()
    assert not room.verified(path)
    room.verifier = room.make()
    room.verifier.look()
    assert room.verified(path), "the next run takes it up"


def test_it_can_be_switched_off(room: Room) -> None:
    path = room.add("a.gguf")
    room.later = timedelta(days=8)
    assert room.verifier.weekly
    room.verifier.set_weekly(False)
    assert not room.make().weekly
    room.verifier.look()
    assert not room.verified(path)
    room.verifier.set_weekly(True)
    room.verifier.look()
    assert room.verified(path)

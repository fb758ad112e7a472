"""Backups: written while work goes on, read again, restored elsewhere; changed ones are refused."""

import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.app import App, open_app
from localai_app.errors import (
    LocalAIError,
    NewerSchema,
    PolicyRefused,
    StoreDamaged,
    UsageError,
    WrongKey,
)
from localai_app.governance import backup
from localai_app.governance.audit import AuditEvent
from localai_app.governance.keys import PASSPHRASE_FILE
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine

PASSPHRASE = "eight quiet words that nobody would guess"


def paths_at(base: Path) -> Paths:
    return Paths(base / "data", base / "config", base / "cache", (base / "models",))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with open_app(paths_at(tmp_path / "old"), engine=FakeEngine()) as app:
        app.chat.create()
        yield app


@pytest.fixture
def file(app: App, tmp_path: Path) -> Path:
    path = tmp_path / "monday.localai-backup"
    app.backups.write(path, PASSPHRASE)
    return path


@pytest.fixture
def opened_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passphrase is at hand when a restored store is opened."""
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    monkeypatch.setenv(PASSPHRASE_FILE, str(tmp_path / "passphrase"))


def test_what_a_person_made_is_there_on_another_computer(
    app: App, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = paths_at(tmp_path / "new")
    assert backup.restore(new, Policy(), file, PASSPHRASE) is None
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    monkeypatch.setenv(PASSPHRASE_FILE, str(tmp_path / "passphrase"))
    with open_app(new, engine=FakeEngine()) as restored:
        assert [one.id for one in restored.chat.conversations()] == [1]
        assert restored.key.kind == "passphrase"
        assert restored.audit.verify().sound
        events = [entry.event for entry in restored.audit.entries()]
        assert AuditEvent.STORE_RESTORED in events
    assert sorted(one.name for one in new.data.iterdir()) == ["key.json", "snapshots", "store.db"]
    assert AuditEvent.STORE_BACKED_UP in [entry.event for entry in app.audit.entries()]


def test_it_is_written_while_others_write(app: App, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.002):  # SQLite's lock is not fair: without a pause nobody else gets it
            app.chat.create()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        facts = app.backups.write(tmp_path / "busy.localai-backup", PASSPHRASE)
    finally:
        stop.set()
        writer.join()
    assert backup.verify(tmp_path / "busy.localai-backup", PASSPHRASE) == facts
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_nothing_in_it_can_be_read_without_the_passphrase(file: Path, app: App) -> None:
    content = file.read_bytes()
    assert b"SQLite format" not in content
    assert app.key.key not in content
    assert app.key.key.hex().encode() not in content
    with pytest.raises(WrongKey):
        backup.verify(file, "another passphrase")


def test_a_changed_byte_anywhere_is_found(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    changed = tmp_path / "changed.localai-backup"
    for at in range(0, len(whole), max(len(whole) // 60, 1)):
        changed.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            backup.verify(changed, PASSPHRASE)
        except LocalAIError:
            continue
        # What zip itself keeps of times and attributes means nothing to anybody.
        new = paths_at(tmp_path / f"new-{at}")
        backup.restore(new, Policy(), changed, PASSPHRASE)
        with zipfile.ZipFile(changed) as ours, zipfile.ZipFile(file) as theirs:
            assert ours.read("store.db") == theirs.read("store.db")
            assert ours.read("manifest.json") == theirs.read("manifest.json")


@pytest.mark.parametrize("length", [0, 10, 5_000])
def test_a_cut_file_is_no_backup(file: Path, length: int, tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_bytes(file.read_bytes()[:length])
    with pytest.raises(StoreDamaged, match="damaged, or no backup"):
        backup.verify(short, PASSPHRASE)


def rewritten(
    file: Path, target: Path, manifest: bytes, *, store: bytes | None = None, bomb: bool = False
) -> Path:
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(target, "w") as new:
        new.writestr("manifest.json", manifest)
        kind = zipfile.ZIP_DEFLATED if bomb else zipfile.ZIP_STORED
        new.writestr("store.db", old.read("store.db") if store is None else store, kind)
    return target


def manifest_of(file: Path) -> bytes:
    with zipfile.ZipFile(file) as archive:
        return archive.read("manifest.json")


def test_a_manifest_that_was_rewritten_is_refused(file: Path, tmp_path: Path) -> None:
    older = manifest_of(file).replace(b'"app": "', b'"app": "9')
    with pytest.raises(StoreDamaged, match="was changed"):
        backup.verify(rewritten(file, tmp_path / "a", older), PASSPHRASE)
    with pytest.raises(StoreDamaged):
        backup.verify(rewritten(file, tmp_path / "b", manifest_of(file), store=b"x"), PASSPHRASE)
    with pytest.raises(StoreDamaged):
        backup.verify(rewritten(file, tmp_path / "c", manifest_of(file), bomb=True), PASSPHRASE)
    newer = manifest_of(file).replace(b'"version": 1', b'"version": 2')
    with pytest.raises(NewerSchema):
        backup.verify(rewritten(file, tmp_path / "d", newer), PASSPHRASE)


def test_a_store_that_is_there_is_never_lost(tmp_path: Path, opened_with: None) -> None:
    paths, file = paths_at(tmp_path), tmp_path / "monday.localai-backup"
    with open_app(paths, engine=FakeEngine()) as app:
        app.chat.create()
        app.backups.write(file, PASSPHRASE)
        app.chat.create()
        with pytest.raises(UsageError, match="is a store"):
            backup.restore(paths, Policy(), file, PASSPHRASE)
        with pytest.raises(UsageError, match="in use"):
            backup.restore(paths, Policy(), file, PASSPHRASE, replace=True)
    before = paths.database.read_bytes()
    with pytest.raises(WrongKey):
        backup.restore(paths, Policy(), file, "wrong", replace=True)
    assert paths.database.read_bytes() == before
    aside = backup.restore(paths, Policy(), file, PASSPHRASE, replace=True)
    assert aside is not None
    assert (aside / "store.db").read_bytes() == before
    with open_app(paths, engine=FakeEngine()) as restored:
        assert len(restored.chat.conversations()) == 1
    # And back again.
    shutil.copy(aside / "store.db", paths.database)
    shutil.copy(aside / "key.json", paths.data / "key.json")
    with open_app(paths, engine=FakeEngine()) as old:
        assert len(old.chat.conversations()) == 2


def test_an_empty_passphrase_and_a_taken_name_are_refused(app: App, file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="empty"):
        app.backups.write(tmp_path / "other", "")
    with pytest.raises(UsageError, match="there already"):
        app.backups.write(file, PASSPHRASE)
    with pytest.raises(UsageError, match="cannot be read"):
        backup.verify(tmp_path / "nowhere", PASSPHRASE)


def test_policy_that_forbids_export_forbids_backups(tmp_path: Path) -> None:
    policy = Policy({"AllowExport": False})
    with open_app(paths_at(tmp_path), engine=FakeEngine(), policy=policy) as app:
        with pytest.raises(PolicyRefused):
            app.backups.write(tmp_path / "file", PASSPHRASE)
        assert app.audit.entries()[0].event == AuditEvent.POLICY_REFUSED
    assert not (tmp_path / "file").exists()

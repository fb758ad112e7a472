import csv
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.errors import LocalAIError, PolicyRefused, UsageError
from localai_app.governance import audit_archive, audit_file
from localai_app.governance.audit import Audit, AuditEvent, Selection
from localai_app.governance.audit_archive import AuditArchive
from localai_app.governance.audit_chain import Entry, KeptHead, VerifyResult, digest
from localai_app.governance.policy import Policy
from localai_app.store import files
from localai_app.store.database import Database
from tests.governance.test_audit import kinds

Line = dict[str, object]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "store.db", bytes(range(32)))
    yield opened
    opened.close()


@pytest.fixture
def audit(database: Database) -> Audit:
    """A log of six entries, with a name that a spreadsheet would compute."""
    log = Audit(database, "=cmd|' /C calc'!A0")
    for number in range(6):
        log.append(AuditEvent.MESSAGE_SENT, f"-{number}", {"tokens": number, "seconds": 0.1, "name": "ä"})
    return log


@pytest.fixture
def archive(audit: Audit) -> AuditArchive:
    return AuditArchive(audit, Policy())


def events(audit: Audit) -> list[str]:
    return [entry.event for entry in audit.read()]


def edit(path: Path, change: Callable[[list[Line]], list[Line]]) -> None:
    """Let ``change`` do what it wants with the lines of an exported file."""
    lines = change([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


# ---------------------------------------------------------------- export


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_an_exported_log_is_verified_without_the_store(
    archive: AuditArchive, tmp_path: Path, file_format: audit_file.Format
) -> None:
    path = tmp_path / f"log.{file_format}"
    written = archive.export(path, file_format)
    assert (written.first, written.entries, written.head) == (1, 9, archive.audit.head())
    assert written.sha256 == audit_file.sha256(path)
    assert path.stat().st_mode & 0o077 == 0
    result = audit_file.verify(path, key=archive.audit.key)
    assert (result.problems, result.seen, result.signed) == ((), 9, 8)
    assert events(archive.audit)[6:] == ["audit.exported", "audit.key_created", "audit.checkpoint"]
    assert archive.audit.verify().sound


def test_a_long_entry_is_read_whatever_else_reads_csv_here(archive: AuditArchive, tmp_path: Path) -> None:
    archive.audit.append(AuditEvent.MESSAGE_SENT, "1", {"name": "n" * 200_000})
    path = tmp_path / "log.csv"
    archive.export(path, "csv")
    before = csv.field_size_limit(20)
    try:
        assert audit_file.verify(path, key=archive.audit.key).problems == ()
    finally:
        csv.field_size_limit(before)


def test_a_spreadsheet_computes_nothing_of_it(archive: AuditArchive, tmp_path: Path) -> None:
    archive.export(tmp_path / "log.csv", "csv")
    text = (tmp_path / "log.csv").read_text(encoding="utf-8")
    assert "'=cmd" in text
    assert ",'-3," in text
    assert not [cell for line in text.splitlines() for cell in line.split(",") if cell[:1] in ("=", "-", "@")]


def test_a_selection_is_verified_entry_by_entry(archive: AuditArchive, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    archive.audit.append(AuditEvent.DOCUMENT_OPENED, "9")
    archive.audit.append(AuditEvent.MESSAGE_SENT, "9")
    archive.audit.append(AuditEvent.DOCUMENT_OPENED, "10")
    since = datetime(2026, 1, 1, tzinfo=UTC)
    written = archive.export(path, "jsonl", Selection(since, events=["document.opened"]))
    assert written.entries == 2
    assert audit_file.verify(path, selected=True).sound
    assert kinds(audit_file.verify(path)) == ["removed"]
    last = archive.audit.entries(Selection(events=["audit.exported"]))[0]
    assert json.loads(last.body) == {
        **{"format": "jsonl", "selected": True, "events": ["document.opened"]},
        "since": "2026-01-01T00:00:00+00:00",
    }
    edit(path, lambda lines: lines[::-1])
    assert kinds(audit_file.verify(path, selected=True)) == ["moved"]
    edit(path, lambda lines: [lines[1], lines[0] | {"actor": "x"}])
    assert kinds(audit_file.verify(path, selected=True)) == ["changed"]


def damaged(path: Path, change: Callable[[list[Line]], list[Line]]) -> VerifyResult:
    edit(path, change)
    return audit_file.verify(path)


@pytest.mark.parametrize(
    ("change", "kind", "seq"),
    [
        (lambda lines: [lines[0] | {"actor": "x"}, *lines[1:]], "changed", 1),
        (lambda lines: [*lines[:3], lines[3] | {"body": {"tokens": 9}}, *lines[4:]], "changed", 4),
        (lambda lines: [*lines[:2], *lines[4:]], "removed", 3),
        (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], "removed", 3),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "moved", 3),
        (lambda lines: [*lines[:4], lines[4] | {"seq": 5, "hash": "00" * 32}, *lines[5:]], "changed", 5),
        (lambda lines: [*lines[:8], lines[8] | {"object": "00" * 32}], "changed", 9),
        (lambda lines: [*lines[:4], {"seq": 5}, *lines[5:]], "unreadable", 5),
        (lambda lines: [*lines[:4], lines[4] | {"prev": "no"}, *lines[5:]], "unreadable", 5),
    ],
)
def test_what_was_done_to_an_exported_file_is_named(
    archive: AuditArchive,
    tmp_path: Path,
    change: Callable[[list[Line]], list[Line]],
    kind: str,
    seq: int,
) -> None:
    path = tmp_path / "log.jsonl"
    archive.export(path, "jsonl")
    assert audit_file.verify(path).sound
    result = damaged(path, change)
    assert (kinds(result)[0], result.bad_seq) == (kind, seq)


def test_a_file_written_anew_shows_by_its_signature_and_the_key(
    archive: AuditArchive, tmp_path: Path
) -> None:
    path, forged = tmp_path / "log.jsonl", tmp_path / "forged.db"
    archive.export(path, "jsonl")

    def rewrite(lines: list[Line]) -> list[Line]:
        prev = "00" * 32
        for line in lines:
            line |= {"actor": "nobody", "prev": prev}
            entry = Entry(
                **{
                    **line,
                    "body": json.dumps(line["body"], sort_keys=True, separators=(",", ":")),
                    "hash": "",
                }
            )  # type: ignore[arg-type]
            line["hash"] = prev = digest(entry)
        return lines

    assert kinds(damaged(path, rewrite)) == ["signature"]
    other = Database.open(forged, bytes(range(32)))
    AuditArchive(Audit(other), Policy()).export(path, "jsonl", replace=True)
    other.close()
    assert audit_file.verify(path).sound, "it is a log, but not this one"
    assert kinds(audit_file.verify(path, key=archive.audit.key)) == ["signature"]


@pytest.mark.parametrize(
    "content",
    [b"{", b"{}\n", b"[1]", b"\xff\xfe", b"seq,time\n1,2\n", b"{" * 100_000, b'{"seq":' + b"9" * 5000 + b"}"],
)
def test_a_file_that_is_no_log_is_told_by_its_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    result = audit_file.verify(path)
    assert kinds(result) == ["unreadable"]
    assert result.problem.startswith("line 1 ")


@given(
    content=st.binary(max_size=300),
    header=st.sampled_from([b"", b"seq,time,event,actor,object,body,prev,hash\r\n"]),
)
def test_no_file_makes_it_fail(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, header: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(header + content)
    try:
        sound = audit_file.verify(path).sound
    except LocalAIError:  # nothing is in it
        sound = False
    assert not sound


def test_an_empty_file_is_no_sound_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"")
    with pytest.raises(LocalAIError, match="holds no entry"):
        audit_file.verify(tmp_path / "log")
    with pytest.raises(LocalAIError, match="There is no file"):
        audit_file.verify(tmp_path / "nowhere")


# ---------------------------------------------------------------- heads that were kept


def test_a_head_is_read_from_a_note_a_checkpoint_or_an_export(archive: AuditArchive, tmp_path: Path) -> None:
    signed = archive.audit.checkpoint()
    for text in (json.dumps(msgspec_plain(signed)), json.dumps(msgspec_plain(signed), indent=2)):
        (tmp_path / "head").write_text(text, encoding="utf-8")
        assert audit_file.kept_head(str(tmp_path / "head")) == KeptHead(signed.seq, signed.hash, signed.key)
    assert audit_file.kept_head(f"{signed.seq}:{signed.hash}") == KeptHead(signed.seq, signed.hash)
    written = archive.export(tmp_path / "log.jsonl", "jsonl")
    assert audit_file.kept_head(str(tmp_path / "log.jsonl")) == KeptHead(written.head.seq, written.head.hash)
    (tmp_path / "head").write_text(json.dumps(msgspec_plain(signed) | {"entries": 99}), encoding="utf-8")
    with pytest.raises(LocalAIError, match="not as it was signed"):
        audit_file.kept_head(str(tmp_path / "head"))
    (tmp_path / "head").write_text("a poem", encoding="utf-8")
    with pytest.raises(UsageError, match="neither a checkpoint"):
        audit_file.kept_head(str(tmp_path / "head"))


def msgspec_plain(value: object) -> Line:
    plain: Line = msgspec.to_builtins(value)
    return plain


def test_a_tail_cut_off_a_file_shows_against_a_head(archive: AuditArchive, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    written = archive.export(path, "jsonl")
    edit(path, lambda lines: lines[:-2])
    assert audit_file.verify(path).sound
    assert kinds(audit_file.verify(path, [KeptHead(written.head.seq, written.head.hash)])) == ["cut off"]


# ---------------------------------------------------------------- policy, and what goes wrong


def test_policy_forbids_the_export_and_that_is_written_down(audit: Audit, tmp_path: Path) -> None:
    archive = AuditArchive(audit, Policy({"AllowExport": False}))
    with pytest.raises(PolicyRefused):
        archive.export(tmp_path / "log.jsonl", "jsonl")
    assert not (tmp_path / "log.jsonl").exists()
    assert events(audit)[6:] == ["policy.refused"]


def test_the_organisations_folder_is_the_only_one(audit: Audit, tmp_path: Path) -> None:
    folder = tmp_path / "siem"
    folder.mkdir()
    archive = AuditArchive(audit, Policy({"AllowExport": False, "AuditExportPath": str(folder)}))
    assert archive.folder == folder
    assert archive.export(folder / "log.jsonl", "jsonl").entries == 9
    for path in (tmp_path / "log.jsonl", folder / ".." / "log.jsonl"):
        with pytest.raises(PolicyRefused, match="only"):
            archive.export(path, "jsonl")
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(PolicyRefused, match="only"):
        archive.export(folder / "out" / "log.jsonl", "jsonl")


def test_a_file_that_cannot_be_written_leaves_nothing_and_is_told(
    archive: AuditArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(UsageError, match="exists already"):
        archive.export(path, "jsonl")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(files.os, "fsync", full)
        with pytest.raises(LocalAIError, match="No space left"):
            archive.export(path, "jsonl", replace=True)
    with pytest.raises(LocalAIError, match="cannot be written"):
        archive.export(tmp_path / "nowhere" / "log.jsonl", "jsonl")
    assert path.read_text(encoding="utf-8") == "before"
    assert events(archive.audit)[-1] == "audit.export_failed"
    assert not list(tmp_path.glob(".*"))


def test_checkpoints_come_into_the_organisations_folder(
    audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "siem"
    archive = AuditArchive(audit, Policy({"AuditExportPath": str(folder)}))
    archive.keep_checkpoint()  # there is none yet
    signed = audit.checkpoint()
    archive.keep_checkpoint()  # there is no folder
    assert events(audit)[-1] == "audit.export_failed"
    folder.mkdir()
    archive.keep_checkpoint()
    (path,) = folder.iterdir()
    assert audit_file.kept_head(str(path)) == KeptHead(signed.seq, signed.hash, signed.key)
    path.write_text("kept as it is", encoding="utf-8")
    archive.keep_checkpoint()
    assert path.read_text(encoding="utf-8") == "kept as it is"
    assert list(folder.iterdir()) == [path]

    hanging = threading.Event()
    monkeypatch.setattr(audit_file, "write_checkpoint", lambda *_: hanging.wait(30))
    monkeypatch.setattr(audit_archive, "_KEEP_SECONDS", 0.01)
    audit.checkpoint()
    archive.keep_checkpoint()
    hanging.set()
    assert events(audit)[-1] == "audit.export_failed"
    AuditArchive(audit, Policy()).keep_checkpoint()
    assert audit.verify().sound


# ---------------------------------------------------------------- rotation


def test_a_rotated_log_goes_on_where_its_archive_ends(archive: AuditArchive, tmp_path: Path) -> None:
    audit = archive.audit
    before = audit.checkpoint()
    first = archive.rotate(tmp_path / "1.jsonl")
    assert (first.first, first.head.seq) == (1, 10)
    assert events(audit) == ["audit.checkpoint", "audit.rotated"]
    audit.append(AuditEvent.MESSAGE_SENT)
    second = archive.rotate(tmp_path / "2.jsonl")
    assert second.first == 10
    entry = audit.entries()[0]
    assert json.loads(entry.body) == {
        "first": 10,
        "last": second.head.seq - 1,
        "hash": audit.read().__next__().prev,
        "sha256": second.sha256,
    }
    heads = [audit_file.kept_head(str(tmp_path / name)) for name in ("1.jsonl", "2.jsonl")]
    assert audit_file.verify(tmp_path / "2.jsonl", heads[:1], key=before.key).sound
    result = audit.verify(heads[1:])
    assert (result.sound, result.first) == (True, second.head.seq)
    old = KeptHead(before.seq, before.hash, before.key)
    assert audit_file.verify(tmp_path / "1.jsonl", [old]).sound
    assert kinds(audit.verify([old])) == ["not compared"]


def test_rotation_keeps_what_came_after_a_time(archive: AuditArchive, tmp_path: Path) -> None:
    audit = archive.audit
    audit.checkpoint()
    cut = audit.last_checkpoint()
    assert cut is not None
    audit.append(AuditEvent.MESSAGE_SENT, "late")
    audit.checkpoint()
    later = audit.entries(limit=1)[0]
    moment = archive_time(later)
    with pytest.raises(UsageError, match="no checkpoint from before"):
        archive.rotate(tmp_path / "0.jsonl", archive_time(cut))
    written = archive.rotate(tmp_path / "1.jsonl", moment)
    assert written.head.seq == cut.seq
    assert [entry.object for entry in audit.read(Selection(events=["message.sent"]))] == ["late"]
    assert audit.verify().sound


def archive_time(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry.time)


def test_nothing_is_removed_unless_the_archive_is_what_was_written(
    archive: AuditArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = audit_file.write

    def spoil(path: Path, *rest: object) -> audit_file.Written:
        written = write(path, *rest)  # type: ignore[arg-type]
        edit(path, lambda lines: [lines[0] | {"actor": "x"}, *lines[1:]])
        return written

    monkeypatch.setattr(audit_file, "write", spoil)
    with pytest.raises(LocalAIError, match="is not what was written"):
        archive.rotate(tmp_path / "1.jsonl")
    assert archive.audit.verify().first == 1
    assert "audit.rotated" not in events(archive.audit)


def test_a_log_that_is_not_sound_or_under_legal_hold_is_not_rotated(
    archive: AuditArchive, database: Database, tmp_path: Path
) -> None:
    held = AuditArchive(archive.audit, Policy({"LegalHold": True}))
    with pytest.raises(PolicyRefused):
        held.rotate(tmp_path / "1.jsonl")
    database.execute("DROP TRIGGER audit_not_updated")
    database.execute("UPDATE audit SET actor = 'x' WHERE seq = 2")
    with pytest.raises(LocalAIError, match="entry 2 was changed"):
        archive.rotate(tmp_path / "1.jsonl")
    assert not (tmp_path / "1.jsonl").exists()
    assert archive.audit.head().seq == 7

import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rfc8785

from localai_app.documents.document import Document, State
from localai_app.errors import LocalAIError
from localai_app.governance import audit_checkpoint, audit_statement
from localai_app.governance.audit import Audit, AuditEvent, Selection
from localai_app.governance.audit_chain import KeptHead
from localai_app.store.database import Database
from localai_app.tasks.records import evidence
from localai_app.tasks.records.evidence import FORMAT, EvidenceReport, Outcome
from localai_app.tasks.run import Item, ItemState, Run, RunState
from localai_app.tasks.task import Decision, Finding, Verdict
from localai_app.tasks.task import Outcome as TaskOutcome
from tests.tasks import finished, independent_check
from tests.tasks.finished import PAGES, WHEN, failed, item, run, waiting

CHECKER = Path(independent_check.__file__)
SHA = f"{1:064x}"
TEXTS = {SHA: {str(number): text for number, text in enumerate(PAGES, start=1)}}


@pytest.fixture(scope="module")
def audit() -> Iterator[Audit]:
    with tempfile.TemporaryDirectory() as folder:
        opened = Database.open(Path(folder) / "store.db", bytes(range(32)))
        yield Audit(opened, "maria")
        opened.close()


@pytest.fixture
def written(audit: Audit, tmp_path: Path) -> Path:
    path = tmp_path / "evidence.json"
    evidence.write(run(), [item(), failed(2, "b.pdf", "It is encrypted.")], path, audit=audit)
    return path


def failures(report: EvidenceReport) -> set[str]:
    return {check.name for check in report.of(Outcome.FAILS)}


def resigned(path: Path, change: Callable[[dict[str, Any]], None], key: bytes | None = None) -> Path:
    """The record with a change, signed anew by somebody who can do that."""
    content = json.loads(path.read_bytes())
    change(content["record"])
    content["sha256"] = digest = hashlib.sha256(rfc8785.dumps(content["record"])).hexdigest()
    signed = content["signed"]
    statement = audit_statement.sign(
        key or audit_checkpoint.new_key(),
        purpose=FORMAT,
        digest=digest,
        seq=signed["seq"],
        head=signed["hash"],
        time=signed["time"],
    )
    content["signed"] = msgspec.to_builtins(statement)
    path.write_bytes(rfc8785.dumps(content) + b"\n")
    return path


# ---------------------------------------------------------------- what it says


def test_a_record_says_how_its_results_came_about(written: Path) -> None:
    record = json.loads(written.read_bytes())["record"]
    assert record["model"]["sha256"] == "ab" * 32
    assert record["run"]["options"] == {"template": "invoice", "language": ""}
    assert record["run"]["sampling"]["temperature"] == 0
    assert record["run"]["sampling"]["seed"] == 0
    assert record["run"]["deterministic"] is True
    assert record["states"] == {"done": 1, "failed": 1}
    assert record["coverage"] == [{"unit": "page", "total": 3, "read": 2, "unread": 1}]
    first, second = record["documents"]
    assert first["coverage"]["unread"] == [[3, "it is a scan, and text recognition is not installed"]]
    assert [one["verdict"] for one in first["decisions"]] == ["rejected", "corrected", "rejected"]
    assert first["claims_dropped"] == 2
    assert second["error"] == "It is encrypted."
    total = next(one for one in first["findings"] if one["key"] == "total/0/")
    assert (total["value"], total["shown"], total["status"]) == (4018.22, "EUR 4,018.22", "in doubt")
    assert total["evidence"][0]["quotation"] == "EUR 4,018.22"
    supplier = next(one for one in first["findings"] if one["key"] == "supplier/0/")
    assert (supplier["counts"], supplier["shown"]) == ("Müller & Söhne GmbH", "Müller & Söhne")


def test_a_record_knows_the_file_only_while_the_library_holds_that_very_file(
    audit: Audit, tmp_path: Path
) -> None:
    document = Document(1, "a.pdf", SHA, 4711, "pdf", State.READY, WHEN)
    changed = replace(document, sha256="00" * 32)
    told = []
    for known in (document, changed):
        evidence.write(run(), [item()], tmp_path / "e.json", audit=audit, documents={1: known})
        one = json.loads((tmp_path / "e.json").read_bytes())["record"]["documents"][0]
        told.append((one["size"], one["format"]))
    assert told == [(4711, "pdf"), (None, "")]


def test_a_record_is_sound_and_says_what_was_not_checked(written: Path) -> None:
    report = evidence.verify(written)
    assert report.sound
    assert not report.complete
    assert {check.name for check in report.of(Outcome.UNCHECKED)} == {"key", "pages"}
    assert (report.title, report.documents, report.quotations) == ("Extract · Invoice", 2, 11)


def test_a_record_is_tied_to_the_audit_log(written: Path, audit: Audit) -> None:
    report = evidence.verify(written, key=audit.key)
    assert report.key == audit.key
    assert "key" in {check.name for check in report.of(Outcome.HOLDS)}
    number, _, digest = report.head.partition(":")
    assert audit.verify([KeptHead(int(number), digest, report.key)]).sound
    entry = audit.entry(int(number))
    assert entry is not None
    assert json.loads(entry.body)["sha256"] == json.loads(written.read_bytes())["sha256"]


def test_the_audit_log_holds_no_content_of_a_record(audit: Audit, tmp_path: Path) -> None:
    evidence.write(run(), [item()], tmp_path / "e.json", audit=audit)
    entry = audit.entries(Selection(events=[AuditEvent.TASK_EVIDENCE_EXPORTED]), limit=1)[0]
    assert set(json.loads(entry.body)) == {"sha256", "documents", "unfinished"}
    assert entry.object == "1"


def test_an_unfinished_run_is_called_so(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    evidence.write(run(state=RunState.PAUSED), [item(), waiting(2, "b.pdf")], path, audit=audit)
    assert "1 of 2 documents are not done" in json.loads(path.read_bytes())["record"]["run"]["unfinished"]
    assert evidence.verify(path).sound


def test_an_erased_document_leaves_nothing_in_the_record(audit: Audit, tmp_path: Path) -> None:
    gone = Item(1, 1, None, "", SHA, ItemState.ERASED, decisions=item().decisions)
    evidence.write(run(), [gone], tmp_path / "e.json", audit=audit)
    data = (tmp_path / "e.json").read_bytes()
    assert "Müller".encode() not in data
    assert evidence.verify(tmp_path / "e.json").sound


def test_decisions_that_were_taken_back_stay_and_do_not_count(audit: Audit, tmp_path: Path) -> None:
    made = (
        *item().decisions,
        Decision("supplier/0/", Verdict.TAKEN_BACK, "", "mira", "2026-11-20T16:00:00Z"),
    )
    evidence.write(run(), [item(decisions=made)], tmp_path / "e.json", audit=audit)
    first = json.loads((tmp_path / "e.json").read_bytes())["record"]["documents"][0]
    supplier = next(one for one in first["findings"] if one["key"] == "supplier/0/")
    assert (supplier["status"], supplier["counts"]) == ("rejected", "")
    assert len(first["decisions"]) == 4
    assert evidence.verify(tmp_path / "e.json").sound


@pytest.mark.parametrize("value", [2**53 - 1, -(2**60), 10**30, 1e16, 1e21, 1.5e300, 1e-7, 5e-324, -0.0, 1.0])
def test_any_number_keeps_a_record_sound(audit: Audit, tmp_path: Path, value: float) -> None:
    found = TaskOutcome((Finding("number", value=value, shown=str(value), confidence=float("nan")),))
    evidence.write(run(), [item(outcome=found, decisions=())], tmp_path / "e.json", audit=audit)
    assert evidence.verify(tmp_path / "e.json").sound
    assert independent_check.problems((tmp_path / "e.json").read_bytes()) == []


@pytest.mark.parametrize(
    "text", ["\x00\x1b", "\ud800", "\u202e", "😀" * 1000, '"\\\n</script>', "\ufeff", ""]
)
def test_any_text_keeps_a_record_sound(audit: Audit, tmp_path: Path, text: str) -> None:
    found = TaskOutcome((Finding("number", value=text, shown=text),), notes=(text,))
    changed = item(name=text, outcome=found, decisions=())
    evidence.write(run(), [changed], tmp_path / "e.json", audit=audit)
    assert evidence.verify(tmp_path / "e.json").sound


def test_a_record_that_cannot_be_written_leaves_no_file(audit: Audit, tmp_path: Path) -> None:
    with pytest.raises(LocalAIError, match="cannot be written"):
        evidence.write(run(), [item()], tmp_path / "none" / "e.json", audit=audit)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- what was done to it


def test_every_flipped_byte_is_found(written: Path) -> None:
    data = written.read_bytes()
    chosen = random.Random(7)
    for _ in range(300):
        at = chosen.randrange(len(data))
        written.write_bytes(data[:at] + bytes([data[at] ^ (1 << chosen.randrange(8))]) + data[at + 1 :])
        assert not evidence.verify(written).sound, f"byte {at}"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_record_is_found(written: Path, share: float) -> None:
    data = written.read_bytes()
    written.write_bytes(data[: int(len(data) * share)])
    assert not evidence.verify(written).sound


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b'"record":', b'"record": ', 1),
        lambda data: data.replace(b'"signed":', b'"signed":{},"signed":', 1),
        lambda data: json.dumps(json.loads(data), indent=2, ensure_ascii=False).encode(),
        lambda data: data.replace("ü".encode(), b"\\u00fc", 1),
        lambda data: data.replace(b"4018.22", b"4.01822e3", 1),
        lambda data: data.replace(b"evidence 1", b"evidence 2", 1),
        lambda data: b"[]\n",
        lambda data: b"[" * 100_000,
        lambda data: b"null\n",
        lambda data: b'{"format":NaN}\n',
    ],
)
def test_a_record_of_another_form_is_found(written: Path, change: Callable[[bytes], bytes]) -> None:
    written.write_bytes(change(written.read_bytes()))
    assert "form" in failures(evidence.verify(written))


def swap_two_values(record: dict[str, Any]) -> None:
    findings = record["documents"][0]["findings"]
    findings[0]["shown"], findings[1]["shown"] = findings[1]["shown"], findings[0]["shown"]


def reorder_documents(record: dict[str, Any]) -> None:
    record["documents"].reverse()


def drop_a_decision(record: dict[str, Any]) -> None:
    record["documents"][0]["decisions"].pop()


@pytest.mark.parametrize("change", [swap_two_values, reorder_documents, drop_a_decision])
def test_a_changed_content_is_found(written: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(written.read_bytes())
    change(content["record"])
    written.write_bytes(rfc8785.dumps(content) + b"\n")
    assert "digest" in failures(evidence.verify(written))
    assert independent_check.problems(written.read_bytes())


def test_a_new_digest_does_not_have_the_old_signature(written: Path) -> None:
    content = json.loads(written.read_bytes())
    swap_two_values(content["record"])
    digest = hashlib.sha256(rfc8785.dumps(content["record"])).hexdigest()
    content["sha256"] = content["signed"]["digest"] = digest
    written.write_bytes(rfc8785.dumps(content) + b"\n")
    assert "signature" in failures(evidence.verify(written))


def test_a_record_that_another_key_signed_is_found_by_the_key(written: Path, audit: Audit) -> None:
    resigned(written, lambda record: None)
    assert evidence.verify(written).sound, "nobody said whose key it must be"
    assert failures(evidence.verify(written, key=audit.key)) == {"key"}


def test_the_signature_of_a_checkpoint_is_none_of_a_record(written: Path) -> None:
    content = json.loads(written.read_bytes())
    private = audit_checkpoint.new_key()
    signed = content["signed"]
    checkpoint = audit_checkpoint.sign(
        private, seq=signed["seq"], digest=signed["digest"], entries=1, time=signed["time"]
    )
    content["signed"] |= {"key": checkpoint.key, "signature": checkpoint.signature}
    written.write_bytes(rfc8785.dumps(content) + b"\n")
    assert failures(evidence.verify(written)) == {"signature"}


# ---------------------------------------------------------------- what does not agree with itself


def first(record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = record["documents"][0]
    return found


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda record: first(record)["coverage"].update(read=3), "coverage"),
        (lambda record: first(record)["coverage"].update(unread=[[4, "a scan"]]), "coverage"),
        (lambda record: first(record)["coverage"].update(unread=[[3, " "]]), "coverage"),
        (lambda record: first(record).update(coverage=None), "coverage"),
        (lambda record: record["coverage"][0].update(total=99), "coverage"),
        (lambda record: record["states"].update(done=2), "coverage"),
        (lambda record: first(record)["findings"][0].update(key="other/0/"), "findings"),
        (lambda record: first(record)["findings"].append(first(record)["findings"][0]), "findings"),
        (lambda record: record["run"]["columns"].pop(0), "findings"),
        (lambda record: first(record)["findings"][0]["evidence"][0].update(page=9), "quotations"),
        (lambda record: first(record)["findings"][0]["evidence"][0].update(end=0), "quotations"),
        (lambda record: first(record)["findings"][0]["evidence"][0].update(quotation=""), "quotations"),
        (lambda record: first(record)["flags"][0].update(page=0), "quotations"),
        (lambda record: first(record)["decisions"][0].update(key="gone/0/"), "decisions"),
        (lambda record: first(record)["decisions"][0].update(who=""), "decisions"),
        (lambda record: first(record)["decisions"].clear(), "decisions"),
        (lambda record: first(record)["findings"][0].update(counts="INV-8"), "decisions"),
        (lambda record: first(record)["findings"][2].update(status=""), "decisions"),
        (lambda record: first(record).update(more=1), "structure"),
        (lambda record: first(record).pop("claims_dropped"), "structure"),
        (lambda record: first(record)["findings"][0].update(item="0"), "structure"),
    ],
)
def test_what_does_not_agree_with_itself_is_found_even_with_a_good_signature(
    written: Path, change: Callable[[dict[str, Any]], None], name: str
) -> None:
    assert name in failures(evidence.verify(resigned(written, change)))


def test_of_many_faults_a_few_are_told(written: Path) -> None:
    def spoil(record: dict[str, Any]) -> None:
        for number, finding in enumerate(first(record)["findings"]):
            finding["key"] = f"x{number}"

    told = [one for one in evidence.verify(resigned(written, spoil)).checks if one.name == "findings"]
    assert len(told) == 5
    assert "more like this" in told[-1].words
    assert told[0].document == "invoice-7.pdf"


# ---------------------------------------------------------------- against the original files


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A folder with the text that a record is about, under another name."""
    folder = tmp_path / "originals"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "scan 0001.txt").write_text("Dear Sirs,\n\nthe total due is EUR 4,018.22.\n", "utf-8")
    (folder / "other.txt").write_text("x", "utf-8")
    return folder


def of_original(folder: Path, *, shift: int = 0, quotation: str = "EUR 4,018.22") -> tuple[Run, list[Item]]:
    data = next(folder.rglob("scan*")).read_bytes()
    text = data.decode().rstrip("\n")
    start = text.index("EUR") + shift
    proof = finished.Evidence(1, "part 1", start, start + len(quotation), quotation)
    found = TaskOutcome((Finding("total", value=4018.22, shown=quotation, evidence=(proof,)),))
    covered = finished.Coverage("part", 1, 1)
    sha256 = hashlib.sha256(data).hexdigest()
    return run(), [item(name="letter.txt", sha256=sha256, outcome=found, coverage=covered, decisions=())]


def test_quotations_are_compared_with_the_original_files(
    audit: Audit, original: Path, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    evidence.write(*of_original(original), tmp_path / "e.json", audit=audit)
    report = evidence.verify(
        tmp_path / "e.json",
        key=audit.key,
        documents=original,
        on_document=lambda done, total: told.append((done, total)),
    )
    assert report.sound
    assert report.complete
    assert (report.quotations, report.confirmed) == (1, 1)
    assert told == [(1, 1)]


@pytest.mark.parametrize(("shift", "quotation"), [(1, "EUR 4,018.22"), (0, "EUR 4,018.23")])
def test_a_quotation_that_stands_elsewhere_or_nowhere_is_found(
    audit: Audit, original: Path, tmp_path: Path, shift: int, quotation: str
) -> None:
    evidence.write(*of_original(original, shift=shift, quotation=quotation), tmp_path / "e.json", audit=audit)
    report = evidence.verify(tmp_path / "e.json", documents=original)
    assert failures(report) == {"pages"}
    assert report.confirmed == 0
    assert ("elsewhere" if shift else "nowhere") in report.of(Outcome.FAILS)[0].words


def test_another_number_of_pages_is_found(audit: Audit, original: Path, tmp_path: Path) -> None:
    made, items = of_original(original)
    covered = finished.Coverage("part", 2, 2)
    evidence.write(made, [replace(items[0], coverage=covered)], tmp_path / "e.json", audit=audit)
    report = evidence.verify(tmp_path / "e.json", documents=original)
    assert [check.words for check in report.of(Outcome.FAILS)] == ["The file has 1 parts, and not 2."]


def test_a_file_that_is_not_there_could_not_be_checked(audit: Audit, original: Path, tmp_path: Path) -> None:
    evidence.write(*of_original(original), tmp_path / "e.json", audit=audit)
    next(original.rglob("scan*")).write_text("changed", "utf-8")
    report = evidence.verify(tmp_path / "e.json", documents=original)
    assert report.sound
    assert {check.name for check in report.of(Outcome.UNCHECKED)} == {"key", "file"}
    with pytest.raises(LocalAIError, match="no folder"):
        evidence.verify(tmp_path / "e.json", documents=tmp_path / "none")


def test_what_was_attached_to_a_mail_is_found_in_the_mail(
    audit: Audit, original: Path, tmp_path: Path
) -> None:
    evidence.write(*of_original(original), tmp_path / "e.json", audit=audit)
    letter = next(original.rglob("scan*"))
    mail = EmailMessage()
    mail["Subject"], mail["From"] = "The invoice", "a@example.org"
    mail.set_content("See the letter.")
    mail.add_attachment(letter.read_bytes(), maintype="text", subtype="plain", filename="letter.txt")
    (original / "mail.eml").write_bytes(bytes(mail))
    letter.unlink()
    assert evidence.verify(tmp_path / "e.json", documents=original).confirmed == 1


# ---------------------------------------------------------------- without the app


def test_a_checker_that_shares_no_code_agrees(written: Path, audit: Audit, tmp_path: Path) -> None:
    assert independent_check.problems(written.read_bytes(), TEXTS, audit.key) == []
    assert independent_check.problems(written.read_bytes(), key="00" * 32) == [
        "it was signed with another key"
    ]
    pages = tmp_path / "pages.json"
    pages.write_text(json.dumps({SHA: {**TEXTS[SHA], "1": PAGES[0].replace("INV-7", "INV-8")}}), "utf-8")
    ran = subprocess.run(
        [sys.executable, "-I", str(CHECKER), str(written), str(pages)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert "“INV-7”: other words stand at its place" in ran.stdout
    assert "“INV-7”: it does not stand on the page" in ran.stdout


def test_the_independent_checker_knows_verbatim_from_invented() -> None:
    page = "The “Supplier” shall de-\nliver within 30 days – at its own cost."
    assert independent_check.is_verbatim('"supplier" shall deliver within 30 days - at', page)
    assert not independent_check.is_verbatim("shall deliver within 3 days", page)
    assert not independent_check.is_verbatim(" ", page)
    assert independent_check.not_verbatim([(1, "own cost"), (2, "own cost")], {1: page}) == [(2, "own cost")]

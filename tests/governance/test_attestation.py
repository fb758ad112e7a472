import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from localai_app.errors import LocalAIError
from localai_app.governance import attestation
from localai_app.governance.attestation import Attestation
from localai_app.governance.audit import Audit, AuditEvent, Selection
from localai_app.governance.live_check import LiveCheck, Reach, Seen
from localai_app.governance.policy import Policy
from localai_app.governance.signed_file import Outcome
from localai_app.store.database import Database

REFUSED = {"TCP": "refused (EPERM)", "UDP": "refused (EPERM)"}
APP = Seen(7, "app", Reach.OFFLINE, {"UNIX": 1}, 1)
ENGINE = Seen(8, "engine", Reach.OFFLINE, None, 2, ("/models/a.gguf",), ("/data/snapshots",))
PULLER = Seen(9, "puller", Reach.CONNECTED, None, 1, may_connect=True)
OFFLINE = LiveCheck(Reach.OFFLINE, REFUSED, (APP, ENGINE))


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    database = Database.open(tmp_path / "store.db", bytes(32))
    yield Audit(database, "maria")
    database.close()


def made(audit: Audit, check: LiveCheck = OFFLINE, **policy: object) -> Attestation:
    return attestation.look(Policy(policy), audit, "Landlock ABI 7 + seccomp", check=lambda: check)  # type: ignore[arg-type]


def test_it_tells_of_processes_policy_connections_and_the_log(audit: Audit) -> None:
    audit.append(AuditEvent.NETWORK_CONNECTED, "huggingface.co")
    audit.append(AuditEvent.NETWORK_CONNECTED, "huggingface.co")
    audit.append(AuditEvent.NETWORK_REFUSED, "tracker.example")
    found = made(audit, OfflineOnly=True)
    assert found.check == OFFLINE
    assert found.policy.offline_only
    assert any(line.startswith("OfflineOnly = true") for line in found.policy.set)
    assert found.audit_head == f"{audit.head().seq}:{audit.head().hash}"
    assert (found.connections.made, found.connections.refused) == (2, 1)
    assert found.connections.hosts == ("huggingface.co",)
    assert any("own user" in limit for limit in found.limits)
    assert any("hide their sockets" in limit for limit in found.limits), "the engine's are hidden"


def test_connections_of_earlier_starts_are_not_of_this_one(audit: Audit) -> None:
    audit.append(AuditEvent.NETWORK_CONNECTED, "huggingface.co")
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert attestation.connections_since(audit, later).made == 0
    assert attestation.connections_since(audit).made == 1


def test_what_is_signed_is_told_to_the_log_and_verified_without_the_store(
    audit: Audit, tmp_path: Path
) -> None:
    file = attestation.sign(made(audit), audit)
    path = tmp_path / "now.attestation.json"
    attestation.save(path, file)
    entry = audit.entries(Selection(events=[AuditEvent.NETWORK_ATTESTED]))[0]
    assert entry.seq == file.signed.seq
    assert json.loads(entry.body) == {"sha256": file.sha256, "reach": "offline", "processes": 2}
    report = attestation.verify(path, key=audit.key)
    assert report.sound
    assert all(check.outcome is Outcome.HOLDS for check in report.checks)
    assert report.attestation is not None
    assert report.attestation.check == OFFLINE
    assert report.head == f"{entry.seq}:{entry.hash}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"made":0', b'"made":1'),
        (b'"reach":"offline"', b'"reach":"unproven"'),
        (b'"EPERM', b'"EACCES'),
        (b"}\n", b"}"),
        (b'"pid":7', b'"pid": 7'),
    ],
)
def test_an_attestation_with_anything_changed_does_not_pass(
    old: bytes, new: bytes, audit: Audit, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    attestation.save(path, attestation.sign(made(audit), audit))
    written = path.read_bytes()
    changed = written.replace(old, new, 1) if old in written else written.replace(b"EPERM", b"EACCES", 1)
    assert changed != written
    path.write_bytes(changed)
    assert not attestation.verify(path).sound


def test_another_store_cannot_pass_for_this_one(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    attestation.save(path, attestation.sign(made(audit), audit))
    report = attestation.verify(path, key="00" * 32)
    assert [check.name for check in report.checks if check.outcome is Outcome.FAILS] == ["key"]


def test_a_file_of_another_kind_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[]")
    report = attestation.verify(path)
    assert not report.sound
    assert report.attestation is None
    with pytest.raises(LocalAIError, match="cannot be read"):
        attestation.verify(tmp_path / "none.json")


def test_what_is_found_is_said_in_words() -> None:
    assert attestation.verdict(OFFLINE) == "No process of this app can reach a network now."
    fetching = LiveCheck(Reach.CONNECTED, REFUSED, (APP, PULLER))
    assert "models are being fetched" in attestation.verdict(fetching)
    unproven = LiveCheck(Reach.UNPROVEN, {}, (msgspec.structs.replace(APP, reach=Reach.UNPROVEN, filters=0),))
    assert "not proven" in attestation.verdict(unproven)
    assert attestation.tried(OFFLINE) == "TCP, UDP: refused (EPERM)"
    assert attestation.reason(APP) == "no network socket; the system refuses it any"
    assert attestation.reason(ENGINE) == "sockets hidden; the system refuses it any"
    assert attestation.reason(msgspec.structs.replace(APP, sockets={"TCP": 2})) == "2 network sockets"
    assert "policy allows" in attestation.reason(PULLER)


def test_what_a_confined_process_may_open_is_said(audit: Audit) -> None:
    found = msgspec.structs.replace(made(audit), unconfined="")
    said = "Of your files it is confined to reading a.gguf and writing in snapshots."
    assert attestation.confines(ENGINE, found) == said
    assert attestation.confines(APP, found) == ""
    bare = msgspec.structs.replace(ENGINE, read=(), write=())
    assert attestation.confines(bare, found) == "It may open none of your files."
    assert attestation.confines(bare, msgspec.structs.replace(found, unconfined="no Landlock")) == ""

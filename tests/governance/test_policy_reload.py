"""Policy that changes while the app runs, and what the audit log says of it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.errors import PolicyRefused, StoreError
from localai_app.governance import policy as policy_module
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.governance.policy_merge import Layer, Level, Origin
from localai_app.governance.policy_record import PolicyRecord
from localai_app.store.database import Database
from localai_app.store.settings import Settings


class Source:
    """An administrator who changes their mind."""

    def __init__(self, values: dict[str, object] | None = None) -> None:
        self.values = values or {}
        self.reads = 0
        self.looks = 0
        self.unreadable = ""
        self.recommended: dict[str, object] = {}

    def fingerprint(self) -> object:
        self.looks += 1
        return (dict(self.values), dict(self.recommended), self.unreadable)

    def layers(self) -> list[Layer]:
        self.reads += 1
        if self.unreadable:
            return [Layer(Level.MANDATORY, "file", unreadable=self.unreadable)]
        suggested = Layer(Level.RECOMMENDED, "suggestions", dict(self.recommended))
        return [Layer(Level.MANDATORY, "file", dict(self.values)), suggested]


class Clock:
    """Seconds pass when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(policy_module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with_key = Database.open(tmp_path / "store.db", bytes(32))
    yield with_key
    with_key.close()


def entries(database: Database) -> list[tuple[str, str]]:
    rows = database.rows("SELECT event, body FROM audit WHERE event LIKE 'policy.%' ORDER BY seq")
    return [(row["event"], row["body"]) for row in rows]


def test_change_counts_at_the_next_question_a_second_later(clock: Clock) -> None:
    source = Source()
    policy = Policy.of(source)
    policy.require_connection()
    source.values["OfflineOnly"] = True
    policy.require_connection()
    clock.now += 1
    with pytest.raises(PolicyRefused):
        policy.require_connection()
    assert policy.is_locked("OfflineOnly")
    source.values.clear()
    clock.now += 1
    policy.require_connection()
    assert not policy.is_locked("OfflineOnly")


def test_questions_are_cheap_while_nothing_changes(clock: Clock) -> None:
    source = Source()
    policy = Policy.of(source)
    for _ in range(1000):
        policy.require_chat()
        clock.now += 0.01
    assert source.reads == 1
    assert source.looks <= 12


def test_policy_that_becomes_unreadable_refuses_and_says_where_to_look(clock: Clock) -> None:
    source = Source({"Banner": "INTERNAL"})
    policy = Policy.of(source)
    source.unreadable = "it is no JSON"
    clock.now += 1
    with pytest.raises(PolicyRefused) as caught:
        policy.require_chat()
    assert "localai-app policy show" in caught.value.hint
    assert [problem.line for problem in policy.problems] == ["file: it is no JSON."]


@pytest.mark.parametrize("name", ["ModelSourceURL", "ProxyURL", "CABundle"])
def test_bad_address_keeps_everything_from_connecting(clock: Clock, name: str) -> None:
    policy = Policy.of(Source({name: 7}))
    with pytest.raises(PolicyRefused):
        policy.require_connection()


def test_bad_folder_for_the_audit_log_keeps_it_from_being_exported_anywhere(clock: Clock) -> None:
    policy = Policy.of(Source({"AuditExportPath": "logs"}))
    with pytest.raises(PolicyRefused, match="cannot be read"):
        policy.require_audit_export()
    assert policy.audit_folder == ""
    named = Policy.of(Source({"AuditExportPath": "/logs", "AllowExport": False}))
    named.require_audit_export()
    assert named.audit_folder == "/logs"
    with pytest.raises(PolicyRefused):
        Policy.of(Source({"AllowExport": False})).require_audit_export()


def test_bad_key_store_still_allows_what_is_no_key_file(clock: Clock) -> None:
    policy = Policy.of(Source({"KeyStore": "tpm"}))
    assert [kind for kind in ("os", "passphrase", "file") if policy.allows_key_store(kind)] == [
        "os",
        "passphrase",
    ]
    with pytest.raises(PolicyRefused, match="keystore or a passphrase"):
        policy.require_key_store("file")


def test_users_choice_counts_beside_a_recommendation_and_not_beside_a_lock(clock: Clock) -> None:
    source = Source({"IdleLockMinutes": 10})
    source.recommended = {"RetentionDays": 90}
    policy = Policy.of(source)
    assert policy.recommended("RetentionDays") == 90
    assert policy.recommended("IdleLockMinutes") is None
    assert policy.values["RetentionDays"] == 0
    assert policy.decide("RetentionDays", None).value == 90
    chosen = policy.decide("RetentionDays", 7)
    assert (chosen.value, chosen.origin, chosen.locked) == (7, Origin.CHOICE, False)
    assert policy.decide("IdleLockMinutes", 99).value == 10


def test_question_of_another_thread_waits_for_nobody(clock: Clock) -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow(Source):
        def layers(self) -> list[Layer]:
            if self.reads:
                reading.set()
                assert go_on.wait(10)
            return super().layers()

    source = Slow()
    policy = Policy.of(source)
    source.values["AllowExport"] = False
    clock.now += 1
    thread = threading.Thread(target=lambda: policy.values)
    thread.start()
    assert reading.wait(10)
    policy.require_export("md")  # as it was in force until now
    go_on.set()
    thread.join()
    with pytest.raises(PolicyRefused):
        policy.require_export("md")


def test_every_change_is_written_once(clock: Clock, database: Database) -> None:
    source = Source({"AllowExport": True})
    policy = Policy.of(source)
    PolicyRecord(policy, Audit(database, "tester"), Settings(database)).begin()
    assert [event for event, _ in entries(database)] == ["policy.in_force"]
    source.values = {"AllowExport": "no", "AllowedModels": ["ab" * 32]}
    for _ in range(3):
        clock.now += 1
        policy.require_chat()
    (event, body), *more = entries(database)[1:]
    assert (event, more) == ("policy.changed", [])
    assert "AllowExport = false (safe: file)" in body
    assert "expected true or false, not text" in body
    assert "1 items, SHA-256" in body
    assert "ab" * 32 not in body


def test_nothing_is_written_where_nothing_is_and_nothing_was_set(clock: Clock, database: Database) -> None:
    def start(source: Source) -> None:
        PolicyRecord(Policy.of(source), Audit(database, "tester"), Settings(database)).begin()

    start(Source())
    assert entries(database) == []
    start(Source({"AllowExport": False}))
    start(Source())
    assert ["AllowExport" in body for _, body in entries(database)] == [True, False]
    start(Source())
    assert len(entries(database)) == 2


def test_change_found_inside_a_transaction_is_written_after_it(clock: Clock, database: Database) -> None:
    source = Source()
    policy = Policy.of(source)
    PolicyRecord(policy, Audit(database, "tester"), Settings(database)).begin()
    source.values["AllowExport"] = False
    clock.now += 1
    with pytest.raises(PolicyRefused), database.transaction():
        policy.require_export("md")
    assert entries(database) == []
    clock.now += 1
    policy.require_chat()
    assert [event for event, _ in entries(database)] == ["policy.changed"]


def test_change_that_cannot_be_written_now_is_written_later(
    clock: Clock, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source()
    policy = Policy.of(source)
    audit = Audit(database, "tester")
    PolicyRecord(policy, audit, Settings(database)).begin()
    source.values["AllowExport"] = False
    clock.now += 1
    with monkeypatch.context() as patch:

        def full(*arguments: object, **named: object) -> None:
            raise StoreError("No space is left.")

        patch.setattr(audit, "append", full)
        with pytest.raises(PolicyRefused):
            policy.require_export("md")
    clock.now += 1
    policy.require_chat()
    assert [event for event, _ in entries(database)] == ["policy.changed"]


def test_refusal_is_written_once_with_its_reason(database: Database) -> None:
    audit = Audit(database, "tester")
    with pytest.raises(PolicyRefused), audit.refusals("7", {"format": "md"}):
        Policy({"AllowExport": False}).require_export("md")
    with audit.refusals("8"):
        Policy().require_export("md")
    ((event, body),) = entries(database)
    assert event == "policy.refused"
    assert '"format":"md"' in body
    assert "does not allow export" in body

"""Entries of the audit log in the system's own log."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.audit_forward import AuditForward, Syslog
from localai_app.governance.policy import Policy
from localai_app.store.database import Database
from localai_app.store.settings import Settings

WANTED = Policy({"AuditToSystemLog": True})


class Log:
    """The system's log; ``full`` takes nothing."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.full = False

    def write(self, line: str) -> None:
        if self.full:
            raise OSError("no space")
        self.lines.append(line)

    @property
    def numbers(self) -> list[int]:
        return [json.loads(line)["seq"] for line in self.lines]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "store.db", bytes(32))
    yield database
    database.close()


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database, "somebody")


def forward(database: Database, audit: Audit, log: Log, policy: Policy = WANTED) -> AuditForward:
    return AuditForward(database, audit, Settings(database), policy, lambda: log)


def test_each_entry_is_written_once_and_chained(database: Database, audit: Audit) -> None:
    log = Log()
    for number in range(450):
        audit.append(AuditEvent.FEEDBACK_GIVEN, str(number))
    ours = forward(database, audit, log)
    assert ours.forward() == 450
    assert ours.forward() == 0
    audit.append(AuditEvent.FEEDBACK_GIVEN, "last")
    # Another start, another process: it goes on where the last one was.
    assert forward(database, audit, log).forward() == 1
    assert log.numbers == list(range(1, 452))
    first, second = (json.loads(line) for line in log.lines[:2])
    assert second["prev"] == first["hash"]
    assert all(len(line) < 1000 and "\n" not in line for line in log.lines)


def test_what_was_not_taken_is_written_later(database: Database, audit: Audit) -> None:
    log = Log()
    audit.append(AuditEvent.FEEDBACK_GIVEN)
    log.full = True
    ours = forward(database, audit, log)
    with pytest.raises(OSError, match="no space"):
        ours.forward()
    ours.stop()
    log.full = False
    ours.stop()
    assert log.numbers == [1]


def test_nothing_is_written_unless_policy_wants_it(database: Database, audit: Audit) -> None:
    log = Log()
    audit.append(AuditEvent.FEEDBACK_GIVEN)
    assert forward(database, audit, log, Policy()).forward() == 0
    assert forward(database, audit, log).forward() == 1


def test_what_came_until_the_end_is_written(
    database: Database, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localai_app.governance.audit_forward._LOOK_SECONDS", 60)
    log = Log()
    ours = forward(database, audit, log)
    ours.start()
    audit.append(AuditEvent.APP_STOPPED)
    ours.stop()
    assert log.numbers == [1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has another log")
def test_the_systems_own_log_takes_a_line() -> None:
    Syslog().write('{"test": "one line"}')

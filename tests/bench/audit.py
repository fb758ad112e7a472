"""The audit log with many entries: what one more costs, and how long all are verified, listed and exported.

The rival of an entry is the same row written without a chain, in the same store.
``LOCALAI_APP_AUDIT_ENTRIES=1000000`` sets how many entries there are.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from localai_app.governance import audit_file
from localai_app.governance.audit import Audit, AuditEvent, Selection
from localai_app.governance.audit_archive import AuditArchive
from localai_app.governance.policy import Policy
from localai_app.store.database import Database
from tests.bench import report

ENTRIES = int(os.environ.get("LOCALAI_APP_AUDIT_ENTRIES", "100000"))
SINGLE = 1000
_BODY = {"tokens": 412, "model": "ab" * 32, "seconds": 3.25}


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "store.db", bytes(range(32)))
        database.execute(
            "CREATE TABLE plain (seq INTEGER PRIMARY KEY, ts TEXT, event TEXT, body TEXT) STRICT"
        )
        audit = Audit(database, "maria")
        fill(database, audit)
        appended = [seconds(lambda: audit.append(AuditEvent.MESSAGE_SENT, "7", _BODY)) for _ in range(SINGLE)]
        written = [seconds(lambda: insert(database)) for _ in range(SINGLE)]
        listed = [
            seconds(lambda: audit.entries(Selection(events=["document.erased"]))),
            seconds(lambda: audit.entries(Selection(events=["message.sent", "app.started"]))),
            seconds(lambda: audit.entries(Selection(object_id="7"))),
            seconds(lambda: audit.entries(Selection(object_id="8", events=["message.sent"]))),
            seconds(audit.entries),
        ]
        verified = seconds(audit.verify)
        target = Path(folder) / "audit.jsonl"
        exported = seconds(lambda: AuditArchive(audit, Policy()).export(target, "jsonl"))
        elsewhere = seconds(lambda: audit_file.verify(target))
        count = audit.head().seq
        rotated = seconds(lambda: AuditArchive(audit, Policy()).rotate(Path(folder) / "old.jsonl"))
        database.close()
    ours, theirs = p95(appended) * 1000, p95(written) * 1000
    rows = [
        row("an entry, p95", ours, "ms", 2.0, rival="the row alone", theirs=theirs),
        row(
            "an entry, median",
            statistics.median(appended) * 1000,
            "ms",
            None,
            rival="the row alone",
            theirs=statistics.median(written) * 1000,
        ),
        row(f"verify, {count:,} entries", verified, "s", 30.0 * count / 1_000_000),
        row("the slowest of five pages of 50", max(listed) * 1000, "ms", 100.0),
        row(f"export, {count:,} entries", exported, "s", None),
        row("verify the exported file", elsewhere, "s", None),
        row(f"rotate {count:,} entries: verify, write, read again, remove", rotated, "s", None),
    ]
    report.write("audit", rows)


def fill(database: Database, audit: Audit) -> None:
    """So many entries as there shall be."""
    while audit.head().seq < ENTRIES:
        with database.transaction():
            for _ in range(1000):
                audit.append(AuditEvent.MESSAGE_SENT, "7", _BODY)


def insert(database: Database) -> None:
    """The same without a chain."""
    database.execute("INSERT INTO plain (ts, event, body) VALUES ('2026-11-20T08:00:00Z', 'x', '{}')")


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return statistics.quantiles(times, n=20)[-1]


def row(
    measure: str,
    ours: float,
    unit: str,
    target: float | None,
    *,
    rival: str = "",
    theirs: float | None = None,
) -> report.Row:
    """One figure of which less is better."""
    return report.Row(
        measure,
        round(ours, 3),
        unit,
        "lower",
        target,
        rival,
        round(ours, 3),
        None if theirs is None else round(theirs, 3),
    )


if __name__ == "__main__":
    main()

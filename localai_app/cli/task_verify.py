"""``localai-app task verify``: an evidence record checked where there is no store, and none is made."""

import argparse

from localai_app.cli.commands import Session, plain
from localai_app.cli.terminal import Terminal
from localai_app.tasks.records import evidence
from localai_app.tasks.records.evidence import Check, EvidenceReport, Outcome

_MARKS = {Outcome.HOLDS: "holds", Outcome.FAILS: "FAILS", Outcome.UNCHECKED: "not checked"}


def verify(session: Session, arguments: argparse.Namespace) -> int:
    """Check a record; 1 when anything in it is not as it was signed, or not as it should be."""
    terminal = session.terminal
    report = evidence.verify(
        arguments.file,
        key=arguments.key,
        documents=arguments.documents,
        on_document=lambda done, total: terminal.status(f"Reading documents again … {done:,} of {total:,}"),
    )
    if session.as_json:
        terminal.json({"sound": report.sound, "complete": report.complete, **plain(report)})
    else:
        _tell(terminal, report)
    return 0 if report.sound else 1


def _tell(terminal: Terminal, report: EvidenceReport) -> None:
    if report.title:
        terminal.line(f"{report.title}, written {report.written}: {_counted(report.documents, 'document')}")
    rows = [(_MARKS[check.outcome], check.document, check.words) for check in report.checks]
    terminal.table(("", "DOCUMENT", "CHECK"), rows)
    failed, unchecked = report.of(Outcome.FAILS), report.of(Outcome.UNCHECKED)
    if failed:
        terminal.error(f"{_counted(len(failed), 'check')} failed; the first: {_where(failed[0])}")
        return
    told = f"{report.confirmed:,} of {_counted(report.quotations, 'verified quotation')} found again"
    terminal.line(f"Nothing is otherwise than the record says; {told}, {len(unchecked):,} not checked.")
    terminal.line(f"Signed with the key {report.key}. The log's entry: {report.head}")


def _where(check: Check) -> str:
    return f"{check.document}: {check.words}" if check.document else check.words


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"

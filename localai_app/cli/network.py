"""``localai-app network``: ``check``, ``verify`` and ``list``."""

import argparse
from typing import Any

import msgspec

from localai_app.cli.commands import Session, plain
from localai_app.errors import UsageError
from localai_app.governance import attestation
from localai_app.governance.attestation import Attestation
from localai_app.governance.audit import AuditEvent, Selection
from localai_app.governance.audit_words import local_time
from localai_app.governance.live_check import Reach
from localai_app.governance.signed_file import Outcome, SignedFile

_MARKS = {Outcome.HOLDS: "holds", Outcome.FAILS: "FAILS", Outcome.UNCHECKED: "not checked"}
_EVENTS = (AuditEvent.NETWORK_CONNECTED, AuditEvent.NETWORK_REFUSED)


def check(session: Session, arguments: argparse.Namespace) -> int:
    """Look at every process; 1 unless it is shown that none can reach a network."""
    output, signed = arguments.output, None
    if output is not None and output.exists() and not arguments.force:
        raise UsageError(f"{output} exists already.", "Choose another name, or add --force.")
    with session.open() as app:
        engine = app.engine.probe().confinement
        made = attestation.look(app.policy, app.audit, engine)
        if output is not None:
            signed = attestation.sign(made, app.audit)
            attestation.save(output, signed)
    if session.as_json:
        session.terminal.json(_facts(made, signed))
    else:
        _tell(session, made)
        if signed is not None:
            session.terminal.note(
                f"Written: {output.absolute()}. Entry {signed.signed.seq} of the audit log tells of it."
            )
    return 0 if made.reach is Reach.OFFLINE else 1


def verify(session: Session, arguments: argparse.Namespace) -> int:
    """Check a statement; 1 when anything in it is not as it was signed."""
    report = attestation.verify(arguments.file, key=arguments.key)
    if session.as_json:
        session.terminal.json({"sound": report.sound, **plain(report)})
        return 0 if report.sound else 1
    session.terminal.table(("", "CHECK"), [(_MARKS[one.outcome], one.words) for one in report.checks])
    if report.attestation is not None and report.sound:
        _tell(session, report.attestation)
        session.terminal.line(f"Signed with the key {report.key}. The log's entry: {report.head}")
    return 0 if report.sound else 1


def show_list(session: Session, arguments: argparse.Namespace) -> int:
    """The newest connections, made and refused."""
    with session.open() as app:
        found = app.audit.entries(Selection(since=arguments.since, events=_EVENTS), limit=arguments.limit)
    made = {AuditEvent.NETWORK_CONNECTED: "made", AuditEvent.NETWORK_REFUSED: "refused"}
    rows = [(local_time(each.time), made[AuditEvent(each.event)], each.object, each.actor) for each in found]
    if session.as_json:
        names = ("entry", "time", "connection", "host", "user")
        values = ((each.seq, each.time, *row[1:]) for each, row in zip(found, rows, strict=True))
        session.terminal.json([dict(zip(names, value, strict=True)) for value in values])
    elif rows:
        session.terminal.table(("TIME", "CONNECTION", "HOST", "USER"), rows)
    else:
        session.terminal.note("No connection was made or refused.")
    return 0


def _facts(made: Attestation, signed: SignedFile | None) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(made)
    return {
        "reach": str(made.reach),
        **facts,
        "signed": msgspec.to_builtins(signed.signed) if signed else None,
    }


def _tell(session: Session, made: Attestation) -> None:
    terminal = session.terminal
    terminal.line(attestation.verdict(made.check))
    terminal.line(f"{local_time(made.written)}, on {made.host}, LocalAI App {made.app}")
    rows = [
        (str(seen.pid), attestation.role(seen), str(seen.filters), attestation.reason(seen))
        for seen in made.check.processes
    ]
    terminal.table(("PROCESS", "WHAT IT IS", "FILTERS", "NETWORK"), rows)
    known = made.connections
    terminal.line(f"Asked for sockets: {attestation.tried(made.check) or 'not possible here'}")
    terminal.line(f"Confinement of the engine: {made.confinement}")
    terminal.line(f"Connections since the start: {known.made} made, {known.refused} refused")
    terminal.line(f"Policy: {len(made.policy.set)} keys set, SHA-256 {made.policy.sha256}")
    terminal.line(f"Audit log: {made.audit_head}")
    for limit in made.limits:
        terminal.line(f"- {limit}")

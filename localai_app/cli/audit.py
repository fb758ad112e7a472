"""``localai-app audit``: ``list``, ``show``, ``verify``, ``checkpoint``, ``export`` and ``rotate``."""

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from localai_app.cli.commands import Session, plain
from localai_app.errors import NotFound, UsageError
from localai_app.governance import audit_file
from localai_app.governance.audit import AuditEvent, Entry, Selection, VerifyResult
from localai_app.governance.audit_file import Format, Written
from localai_app.governance.audit_words import events_of, finding_lines, groups, local_time, problem_lines


def show_list(session: Session, arguments: argparse.Namespace) -> int:
    """The newest entries."""
    if arguments.limit < 1:
        raise UsageError("--limit must be at least 1.")
    selection = _selection(arguments)
    with session.open() as app:
        found = app.audit.entries(selection, limit=arguments.limit)
    if session.as_json:
        session.terminal.json([_plain(entry) for entry in found])
    elif found:
        rows = [
            (str(each.seq), local_time(each.time), each.event, each.actor, each.object[:16], each.body)
            for each in found
        ]
        session.terminal.table(("ENTRY", "TIME", "EVENT", "ACTOR", "OBJECT", "DETAILS"), rows)
    else:
        session.terminal.note("There is no such entry.")
    return 0


def show(session: Session, arguments: argparse.Namespace) -> int:
    """One entry, whole."""
    with session.open() as app:
        entry = app.audit.entry(arguments.entry)
    if entry is None:
        raise NotFound(
            f"There is no entry {arguments.entry} here.", "`localai-app audit list` shows the newest."
        )
    if session.as_json:
        session.terminal.json(_plain(entry))
        return 0
    for name in Entry.__struct_fields__:
        session.terminal.line(f"{name:<7} {getattr(entry, name)}")
    return 0


def verify(session: Session, arguments: argparse.Namespace) -> int:
    """Check the chain, of the store or of an exported file; 1 when something is not as it was written."""
    kept = [audit_file.kept_head(said) for said in arguments.against]
    if arguments.file is not None:
        if arguments.start is not None:
            raise UsageError("--from goes with the log in the store.", "Leave it out; a file is read whole.")
        result = audit_file.verify(arguments.file, kept, key=arguments.key or "", selected=arguments.selected)
    else:
        if arguments.selected or arguments.key:
            raise UsageError("--key and --selected go with an exported file.", "Name the file.")
        start = None if arguments.start is None else audit_file.kept_head(arguments.start)
        with session.open() as app:
            result = app.audit.verify(kept, start=start)
            facts = {"entries": result.seen, "sound": result.sound, "heads": len(kept) + (start is not None)}
            app.audit.append(AuditEvent.CHAIN_VERIFIED, body=facts)
        kept += [start] if start else []
    if session.as_json:
        more = {"sound": result.sound, "bad_seq": result.bad_seq, "problem": result.problem}
        session.terminal.json({**more, **plain(result)})
    else:
        _tell(session, result, in_store=arguments.file is None, compared=len(kept))
    return 0 if result.sound else 1


def checkpoint(session: Session, arguments: argparse.Namespace) -> int:
    """Sign what the log is now, for keeping on another machine."""
    output = arguments.output
    if output is not None and output.exists():
        raise UsageError(f"{output} exists already.", "Choose another name: an older checkpoint is evidence.")
    with session.open() as app:
        signed = app.audit.checkpoint()
    if output is None:
        session.terminal.json(msgspec.to_builtins(signed))
        return 0
    audit_file.write_checkpoint(output, signed)
    if session.as_json:
        session.terminal.json({"path": str(output.absolute()), **msgspec.to_builtins(signed)})
    else:
        session.terminal.note(
            f"Written: {output.absolute()}. Keep it where this machine's users cannot write."
        )
    return 0


def export(session: Session, arguments: argparse.Namespace) -> int:
    """Entries as a file, with the hashes of the chain."""
    selection = _selection(arguments)
    named: Path | None = arguments.output
    file_format: Format | None = arguments.format
    if file_format is None:
        file_format = "csv" if named is not None and named.suffix.lower() == ".csv" else "jsonl"
    with session.open() as app:
        output = named or _default(app.archive.folder, app.audit.head().seq, file_format)
        written = app.archive.export(output, file_format, selection, replace=arguments.force)
    return _report(session, written)


def hand_over(session: Session, arguments: argparse.Namespace) -> int:
    """Content that is kept for the organisation, as a file."""
    with session.open() as app:
        count = app.archive.hand_over(arguments.output, replace=arguments.force)
    if session.as_json:
        session.terminal.json({"path": str(arguments.output.absolute()), "texts": count})
    else:
        session.terminal.note(f"Written: {arguments.output.absolute()}, {count} texts.")
    return 0


def rotate(session: Session, arguments: argparse.Namespace) -> int:
    """Move old entries into an archive."""
    with session.open() as app:
        output = arguments.output or _default(app.archive.folder, app.audit.head().seq, "jsonl")
        written = app.archive.rotate(output, arguments.before)
    return _report(session, written)


def _report(session: Session, written: Written) -> int:
    if session.as_json:
        session.terminal.json(plain(written))
    else:
        session.terminal.note(
            f"Written: {written.path}, {written.entries} entries to number {written.head.seq}. "
            f"SHA-256 {written.sha256}"
        )
    return 0


def _tell(session: Session, result: VerifyResult, *, in_store: bool, compared: int) -> None:
    for line in problem_lines(result):
        session.terminal.error(line)
    for line in finding_lines(result, in_store=in_store, compared=compared):
        session.terminal.line(line)


def _default(folder: Path | None, last: int, file_format: Format) -> Path:
    """A new name in the organisation's folder; raise `UsageError` where it named none."""
    if folder is None:
        raise UsageError("It is not said where to.", "Add --output FILE.")
    return folder / f"audit-{last}-{datetime.now().astimezone():%Y%m%dT%H%M%S}.{file_format}"


def _selection(arguments: argparse.Namespace) -> Selection:
    events: list[str] = []
    for name in arguments.event:
        found = events_of(name)
        if not found:
            raise UsageError(
                f"There is no event “{name}”.", f"Name one, or a group of them: {', '.join(groups())}."
            )
        events += found
    return Selection(arguments.since, arguments.until, tuple(dict.fromkeys(events)), arguments.object)


def _plain(entry: Entry) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(entry)
    try:
        return {**fields, "body": json.loads(entry.body)}
    except ValueError:
        return fields

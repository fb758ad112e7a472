"""``localai-app task``: what came of runs, in the terminal and as files; deciding on what is in doubt."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from localai_app.app import App
from localai_app.cli.commands import Session, plain
from localai_app.cli.terminal import Terminal
from localai_app.errors import NotFound, UsageError
from localai_app.tasks.reports import export as exporting
from localai_app.tasks.reports import results
from localai_app.tasks.reports.results import Value
from localai_app.tasks.run import Item, ItemState, ReviewItem, Run
from localai_app.tasks.task import Decision, Evidence, Verdict, needs_review, shown_value

_SHOWN = 120
"""Characters of a value or a quotation in a table."""
_NAME = 40
"""Characters of a document's name in a table."""


def show(session: Session, arguments: argparse.Namespace) -> int:
    """What came of a run: a table of all values, or all about one document."""
    with session.open() as app:
        run = app.tasks.run(arguments.run)
        items = app.tasks.items(arguments.run)
    if arguments.document is not None:
        items = [find_item(items, arguments.document)]
    if session.as_json:
        session.terminal.json(flat(run, items))
        return 0
    if arguments.document is not None:
        _show_item(session.terminal, run, items[0])
        return 0
    session.terminal.line(f"{run.title}: {run.where}")
    session.terminal.line(summary(run))
    session.terminal.line()
    show_table(session.terminal, run, items)
    tell_failed(session.terminal, items)
    return 0


def review(session: Session, arguments: argparse.Namespace) -> int:
    """What waits for a person, or a person's decisions on it."""
    decisions = [
        *((item, key, Verdict.ACCEPTED, "") for item, key in arguments.accept),
        *((item, key, Verdict.CORRECTED, value) for item, key, value in arguments.correct),
        *((item, key, Verdict.REJECTED, "") for item, key in arguments.reject),
        *((item, key, Verdict.TAKEN_BACK, "") for item, key in arguments.undo),
    ]
    with session.open() as app:
        app.tasks.run(arguments.run)
        for named, key, verdict, value in _checked(app, arguments.run, decisions):
            if verdict is Verdict.TAKEN_BACK:
                app.tasks.undecide(named, key)
            else:
                app.tasks.decide(named, key, verdict, value)
        waiting = app.tasks.review(arguments.run)
    terminal = session.terminal
    if session.as_json:
        terminal.json([_flat_review(one) for one in waiting])
    elif decisions:
        kept = "1 decision is kept" if len(decisions) == 1 else f"{len(decisions)} decisions are kept"
        terminal.note(f"{kept}; {len(waiting)} to review.")
    elif waiting:
        terminal.table(
            ("ITEM", "KEY", "DOCUMENT", "VALUE", "PLACE", "WHY"), [_review_row(one) for one in waiting]
        )
    else:
        terminal.note("Nothing is left to review.")
    return 0


def _checked(
    app: App, run_id: int, decisions: Iterable[tuple[str, str, Verdict, str]]
) -> list[tuple[int, str, Verdict, str]]:
    """``decisions`` with the numbers of their items; raise `NotFound` before any of them is kept."""
    items = {str(one.id): one for one in app.tasks.items(run_id)}
    found = []
    for named, key, verdict, value in decisions:
        item = items.get(named)
        findings = item.outcome.findings if item is not None and item.outcome else ()
        if item is None or not any(one.key == key for one in findings):
            raise NotFound(
                f"There is no value “{key}” of an item {named} in run {run_id}.",
                f"`localai-app task show {run_id} --json` names all, `task review {run_id}` those in doubt.",
            )
        found.append((item.id, key, verdict, value))
    return found


# ---------------------------------------------------------------- files


def require_new(path: Path, *, replace: bool) -> None:
    """Raise `UsageError` where a file would be replaced that nobody said should be."""
    if path.exists() and not replace:
        raise UsageError(f"{path} exists already.", "Choose another name, or add --force to replace it.")


def export(session: Session, arguments: argparse.Namespace) -> int:
    """The results of a run as a file."""
    file_format = exporting.format_of(arguments.file, arguments.format or "")
    require_new(arguments.file, replace=arguments.force)
    with session.open() as app:
        app.tasks.export(arguments.run, arguments.file, file_format)
    return _report_file(session, arguments.file, file_format)


def evidence(session: Session, arguments: argparse.Namespace) -> int:
    """The signed record of a run."""
    require_new(arguments.file, replace=arguments.force)
    with session.open() as app:
        app.tasks.evidence(arguments.run, arguments.file)
        key = app.audit.key
    code = _report_file(session, arguments.file, "evidence", key=key)
    if not session.as_json:
        session.terminal.note(f"Signed with the key {key}, which whoever checks it must know from you.")
    return code


def _report_file(session: Session, path: Path, file_format: str, **more: str) -> int:
    if session.as_json:
        size = path.stat().st_size
        session.terminal.json({"path": str(path.absolute()), "format": file_format, "bytes": size, **more})
    else:
        session.terminal.note(f"Written: {path.absolute()}")
    return 0


# ---------------------------------------------------------------- the trash


def remove(session: Session, arguments: argparse.Namespace) -> int:
    """Put runs in the trash."""
    with session.open() as app:
        app.tasks.remove(arguments.runs)
    ids = " ".join(map(str, arguments.runs))
    return _report_ids(
        session, arguments.runs, f"In the trash: {ids}. To undo: localai-app task restore {ids}"
    )


def restore(session: Session, arguments: argparse.Namespace) -> int:
    """Take runs out of the trash."""
    with session.open() as app:
        app.tasks.restore(arguments.runs)
    return _report_ids(session, arguments.runs, f"Restored: {' '.join(map(str, arguments.runs))}")


def erase(session: Session, arguments: argparse.Namespace) -> int:
    """Erase runs with all that came of them, from the trash or not."""
    with session.open() as app:
        found = [app.tasks.run(number) for number in arguments.runs]
        app.tasks.remove([one.id for one in found if one.trashed is None])
        app.tasks.erase(arguments.runs)
    return _report_ids(session, arguments.runs, f"Erased: {' '.join(map(str, arguments.runs))}")


def _report_ids(session: Session, runs: Sequence[int], line: str) -> int:
    if session.as_json:
        session.terminal.json({"ids": list(runs)})
    else:
        session.terminal.note(line)
    return 0


# ---------------------------------------------------------------- words


def find_item(items: Sequence[Item], named: str) -> Item:
    """The document of a run by its number in the library, or its name (the beginning is enough)."""
    wanted = named.casefold()
    found = [one for one in items if named.isdecimal() and str(one.document_id) == named]
    found = found or [one for one in items if one.document_name.casefold() == wanted]
    if wanted.strip():
        found = found or [one for one in items if one.document_name.casefold().startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(f"{one.document_id} {one.document_name}" for one in found[:10])
        raise NotFound(f"“{named}” may be {numbers}.", "Use the number.")
    raise NotFound(f"There is no document “{named}” in this run.", "`localai-app task show` lists them.")


def summary(run: Run) -> str:
    """“12 of 14 documents are done, 2 failed, 3 values to review.”"""
    parts = [f"{run.done:,} of {run.documents:,} documents are done"]
    if run.failed:
        parts.append(f"{run.failed:,} failed")
    if run.to_review:
        parts.append(f"{run.to_review:,} value{'' if run.to_review == 1 else 's'} to review")
    return ", ".join(parts) + "."


def flat(run: Run, items: Sequence[Item]) -> dict[str, Any]:
    """All of a run, for JSON."""
    return {"run": plain(run), "items": [_flat_item(one) for one in items]}


def _flat_item(item: Item) -> dict[str, Any]:
    told: dict[str, Any] = plain(item)
    for finding, shown in zip(item.outcome.findings if item.outcome else (), _findings(told), strict=True):
        counts = shown_value(finding, item.decision(finding.key))
        shown |= {"key": finding.key, "counts": counts, "to_review": needs_review(finding)}
    return told


def _findings(told: dict[str, Any]) -> list[dict[str, Any]]:
    outcome: dict[str, Any] = told["outcome"] or {"findings": []}
    return list(outcome["findings"])


def _flat_review(one: ReviewItem) -> dict[str, Any]:
    return {
        "item": one.item.id,
        "key": one.finding.key,
        "document_id": one.item.document_id,
        "document_name": one.item.document_name,
        "finding": plain(one.finding),
    }


def show_table(terminal: Terminal, run: Run, items: Sequence[Item]) -> None:
    """One row for each value, with where it stands and the page's own words."""
    rows = [
        _value_row(item, value)
        for item in items
        if item.state is ItemState.DONE
        for value in results.all_values(run, item)
    ]
    if rows:
        terminal.table(("DOCUMENT", "FIELD", "VALUE", "", "PLACE", "QUOTATION"), rows)


def _value_row(item: Item, value: Value) -> tuple[str, ...]:
    first = next(iter(value.finding.evidence), None)
    return (
        _short(item.document_name, _NAME),
        value.field,
        _short(value.text) or "–",
        "?" if value.status == "in doubt" else value.status,
        first.place if first else "",
        _quoted(first) if first else "",
    )


def _review_row(one: ReviewItem) -> tuple[str, ...]:
    first = next(iter(one.finding.evidence), None)
    return (
        str(one.item.id),
        one.finding.key,
        _short(one.item.document_name, _NAME),
        _short(one.finding.shown) or "–",
        first.place if first else "",
        one.doubt.words if one.doubt else "",
    )


def _quoted(one: Evidence) -> str:
    """The page's words; where nothing was verified they are only where the model was reading."""
    return f"“{_short(one.quotation)}”" if one.verified else "(not verified)"


def _short(text: str, most: int = _SHOWN) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def tell_failed(terminal: Terminal, items: Iterable[Item]) -> None:
    """One line on stderr for each document that failed."""
    for item in items:
        if item.state is ItemState.FAILED:
            terminal.error(f"{item.document_name}: {item.error}")


def _show_item(terminal: Terminal, run: Run, item: Item) -> None:
    terminal.line(
        f"{item.document_name}: {results.state_words(item)}{': ' if item.error else ''}{item.error}"
    )
    if item.coverage is not None:
        terminal.line(f"Read:      {item.coverage.words}")
        for number, why in item.coverage.unread:
            terminal.line(f"Not read:  {item.coverage.unit} {number}: {why}")
    for value in results.all_values(run, item):
        terminal.line()
        _show_value(terminal, item, value)
    if item.outcome is None:
        return
    terminal.line()
    for note in item.outcome.notes:
        terminal.line(f"Note:      {note}")
    for flag in item.outcome.flags:
        terminal.line(f"Looks like an instruction to the model, {flag.place}: {_quoted(flag)}")


def _show_value(terminal: Terminal, item: Item, value: Value) -> None:
    finding = value.finding
    terminal.line(f"{value.field}: {value.text or '–'}{f' ({value.status})' if value.status else ''}")
    rows = [
        ("Key", finding.key),
        ("On page", finding.original),
        *((one.place.capitalize(), _quoted(one)) for one in finding.evidence),
        *(("In doubt", doubt.words) for doubt in finding.doubts),
        *(("Also", _alternative(one.shown, one.evidence)) for one in finding.alternatives),
        *((label, f"{share:.1%}") for label, share in finding.scores.items()),
        *(("Decision", _decided(one)) for one in item.decisions if one.key == finding.key),
    ]
    for name, text in rows:
        if text:
            terminal.line(f"  {name + ':':10} {' '.join(text.split())}")


def _alternative(shown: str, found: Sequence[Evidence]) -> str:
    return ", ".join([shown, *(f"{one.place} {_quoted(one)}" for one in found)])


def _decided(one: Decision) -> str:
    verdict = one.verdict.value.replace("_", " ")
    return " ".join(filter(None, (verdict, one.value, f"by {one.who}" if one.who else "", one.when)))

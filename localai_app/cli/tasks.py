"""``localai-app task``: doing them. What came of them is in `task_results`."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from localai_app.app import App
from localai_app.cli import task_results
from localai_app.cli.commands import Session, find_model, plain
from localai_app.cli.documents import add_and_read, find_collection, find_document, require_names
from localai_app.cli.task_options import raw_options
from localai_app.cli.terminal import Terminal, time_left
from localai_app.documents.document import Scope
from localai_app.errors import LocalAIError, UsageError
from localai_app.tasks.extract import Extract
from localai_app.tasks.extraction import templates
from localai_app.tasks.reports import export
from localai_app.tasks.run import ItemState, Run, RunProgress, RunSettings, RunState, TaskPrice
from localai_app.tasks.task import TaskKind

_LOOK_SECONDS = 0.2
_STATES = {
    RunState.WAITING: "waiting",
    RunState.RUNNING: "running",
    RunState.PAUSED: "paused",
    RunState.DONE: "done",
    RunState.STOPPED: "stopped",
}

Refused = Sequence[tuple[str, str]]
"""(name, one line that says why and what to do) of each file that was not taken."""


def run(session: Session, arguments: argparse.Namespace) -> int:
    """Do a task on documents to the end, or say what that costs; 1 where one failed or was not taken."""
    terminal = session.terminal
    require_names(arguments.paths)
    if not (arguments.paths or arguments.collection or arguments.document or arguments.all):
        raise UsageError(
            "It is not said on which documents.", "Name files, or add --collection, --document or --all."
        )
    if arguments.out is not None:
        export.format_of(arguments.out)
        if not arguments.wait:
            raise UsageError("--out needs the results.", "Leave --no-wait out, or use `task export` later.")
        task_results.require_new(arguments.out, replace=arguments.force)
    with session.open() as app:
        if arguments.out is not None:
            with app.audit.refusals("export"):  # before the work, not after it
                app.policy.require_export(export.format_of(arguments.out))
        kind = next((one for one in app.tasks.kinds() if one.name == arguments.kind), None)
        options = app.tasks.options_of(arguments.kind, raw_options(arguments, kind, terminal))
        app.tasks.require(arguments.kind, options)
        if arguments.model:
            app.models.select(find_model(app.models, arguments.model), keep=False)
        scope, refused = _scope(app, arguments, terminal)
        _check_model(terminal, app)
        terminal.status("Counting …")
        price = app.tasks.price(arguments.kind, options, scope)
        if arguments.price:
            return _show_price(session, price, refused)
        terminal.note(price.words)
        settings = RunSettings(
            deterministic=arguments.deterministic,
            not_before=app.tasks.tonight() if arguments.tonight else None,
            keep_awake=not arguments.may_sleep,
        )
        started = app.tasks.start(arguments.kind, options, scope, settings)
        if not arguments.wait:
            return _leave(session, started, refused)
        return _finish(session, app, started.id, refused, arguments.out)


def resume(session: Session, arguments: argparse.Namespace) -> int:
    """Go on with a run to its end; 1 where a document failed."""
    with session.open() as app:
        if app.tasks.run(arguments.run).state is not RunState.DONE:
            _check_model(session.terminal, app)
            app.tasks.resume(arguments.run, with_this_model=arguments.with_this_model)
        return _finish(session, app, arguments.run)


def retry(session: Session, arguments: argparse.Namespace) -> int:
    """Do documents again that failed; 1 where one fails again."""
    with session.open() as app:
        items = app.tasks.items(arguments.run)
        named = [task_results.find_item(items, name).id for name in arguments.document]
        failed = [one.id for one in items if one.state is ItemState.FAILED]
        if not failed:
            session.terminal.note("No document of this run has failed.")
            return 0
        _check_model(session.terminal, app)
        app.tasks.retry(arguments.run, named)
        return _finish(session, app, arguments.run)


def pause(session: Session, arguments: argparse.Namespace) -> int:
    """Have a run begin no more work."""
    with session.open() as app:
        app.tasks.pause(arguments.run)
        now = app.tasks.run(arguments.run)
    return _report_state(session, now)


def stop(session: Session, arguments: argparse.Namespace) -> int:
    """End a run now."""
    with session.open() as app:
        app.tasks.stop(arguments.run)
        now = app.tasks.run(arguments.run)
    return _report_state(session, now)


def show_list(session: Session, arguments: argparse.Namespace) -> int:
    """The runs, newest first."""
    with session.open() as app:
        runs = app.tasks.runs(trashed=arguments.trash)
    if session.as_json:
        session.terminal.json(plain(runs))
    elif runs:
        header = ("RUN", "WHEN", "STATE", "DONE", "FAILED", "TO REVIEW", "TASK")
        session.terminal.table(header, [_row(one) for one in runs])
    else:
        session.terminal.note("The trash is empty." if arguments.trash else "There are no runs yet.")
    return 0


def show_kinds(session: Session, arguments: argparse.Namespace) -> int:
    """What can be done with documents here."""
    with session.open() as app:
        kinds = app.tasks.kinds()
    if session.as_json:
        told = [
            {"name": one.name, "title": one.title, "description": one.description, "options": _schema(one)}
            for one in kinds
        ]
        session.terminal.json(told)
    else:
        session.terminal.table(("KIND", "WHAT IT IS FOR"), [(one.name, one.description) for one in kinds])
    return 0


def show_templates(session: Session, arguments: argparse.Namespace) -> int:
    """What can be extracted without writing a schema; those that policy forbids are said to be off."""
    with session.open() as app:
        told = [(one, app.tasks.allows(f"{Extract.name}.{one.name}")) for one in templates.templates()]
    if session.as_json:
        session.terminal.json([{**plain(one), "allowed": allowed} for one, allowed in told])
        return 0
    rows = [
        (one.name, one.title, "" if allowed else "off", ", ".join(field.key for field in one.fields))
        for one, allowed in told
    ]
    session.terminal.table(("TEMPLATE", "TITLE", "", "FIELDS"), rows)
    return 0


# ---------------------------------------------------------------- before


def _scope(app: App, arguments: argparse.Namespace, terminal: Terminal) -> tuple[Scope, Refused]:
    """The documents that are meant, read to the end where they are new."""
    documents = [find_document(app, named).id for named in arguments.document]
    collections = tuple(find_collection(app, named).id for named in arguments.collection)
    refused: Refused = ()
    if arguments.paths:
        added = add_and_read(app, terminal, arguments.paths)
        documents += [*added.documents, *added.known]
        refused = added.refused
        if not (documents or collections or arguments.all):
            _tell_refused(terminal, refused)
            raise UsageError("There is no document to work on.", "Name others.")
    if arguments.all:
        return Scope(), refused
    return Scope(collections=collections, documents=tuple(dict.fromkeys(documents))), refused


def _check_model(terminal: Terminal, app: App) -> None:
    app.models.check_selected(lambda done: terminal.status(f"Checking the model … {done:.0%}"))


def _show_price(session: Session, price: TaskPrice, refused: Refused) -> int:
    if session.as_json:
        told = {**plain(price), "words": price.words, "refused": _named(refused)}
        session.terminal.json({**told, "not_ready": _named(price.not_ready)})
    else:
        session.terminal.line(price.words)
        session.terminal.line(
            f"{price.steps:,} steps: {price.read:,} tokens are read, {price.written:,} written"
        )
    _tell_refused(session.terminal, (*refused, *price.not_ready))
    return 1 if refused or price.not_ready else 0


# ---------------------------------------------------------------- the work


def _leave(session: Session, started: Run, refused: Refused) -> int:
    if session.as_json:
        session.terminal.json({"run": plain(started), "items": [], "refused": _named(refused)})
    else:
        session.terminal.note(
            f"Run {started.id} waits. `localai-app task resume {started.id}` or the window does it."
        )
    _tell_refused(session.terminal, refused)
    return 1 if refused else 0


def _finish(session: Session, app: App, run_id: int, refused: Refused = (), out: Path | None = None) -> int:
    """Follow a run to its end and say what came of it; 1 where something failed."""
    terminal = session.terminal
    _follow(app, terminal, run_id)
    ended, items = app.tasks.run(run_id), app.tasks.items(run_id)
    if out is not None and ended.state is RunState.DONE:
        app.tasks.export(run_id, out)
    if session.as_json:
        terminal.json({**task_results.flat(ended, items), "refused": _named(refused)})
    elif out is None:
        task_results.show_table(terminal, ended, items)
    terminal.note(task_results.summary(ended))
    if out is not None and ended.state is RunState.DONE:
        terminal.note(f"Written: {out.absolute()}")
    task_results.tell_failed(terminal, items)
    _tell_refused(terminal, refused)
    if ended.state is not RunState.DONE:
        hint = f"`localai-app task resume {run_id}` goes on with it."
        raise LocalAIError(ended.notice or f"Run {run_id} is {_STATES[ended.state]}.", hint)
    return 1 if ended.failed or refused else 0


def _follow(app: App, terminal: Terminal, run_id: int) -> None:
    """Wait for the end of a run with its progress shown; Ctrl-C pauses it."""
    try:
        for seen in _states(app, run_id):
            terminal.status(_progress(seen, app.tasks.progress()))
    except (KeyboardInterrupt, SystemExit):
        with contextlib.suppress(LocalAIError):  # it has come to its end meanwhile
            app.tasks.pause(run_id)
        terminal.note(
            f"Paused. What is done is kept; `localai-app task resume {run_id}` goes on where it stopped."
        )
        raise


def _states(app: App, run_id: int) -> Iterator[Run]:
    """The run again and again, until nothing goes on with it."""
    while not app.tasks.wait(run_id, _LOOK_SECONDS):
        now = app.tasks.run(run_id)
        if now.state in (RunState.PAUSED, RunState.STOPPED):
            return
        yield now


def _progress(run: Run, progress: RunProgress) -> str:
    begins = run.settings.not_before
    if begins is not None and begins > datetime.now().astimezone():
        return f"Run {run.id} begins at {begins.astimezone():%H:%M}."
    if progress.run_id != run.id:
        return f"Run {run.id} waits for its turn."
    words = f"{progress.done:,} of {progress.total:,} documents  {progress.fraction:.0%}"
    if progress.notice:
        return f"{words}  {progress.notice}"
    return f"{words}  {progress.name}".rstrip() + time_left(progress.seconds_left)


# ---------------------------------------------------------------- words


def _report_state(session: Session, run: Run) -> int:
    if session.as_json:
        session.terminal.json(plain(run))
    else:
        session.terminal.note(f"Run {run.id} is {_STATES[run.state]}. {task_results.summary(run)}")
    return 0


def _row(run: Run) -> tuple[str, ...]:
    return (
        str(run.id),
        f"{run.created.astimezone():%Y-%m-%d %H:%M}",
        _STATES[run.state],
        f"{run.done:,} of {run.documents:,}",
        str(run.failed or ""),
        str(run.to_review or ""),
        f"{run.title}: {run.where}",
    )


def _schema(kind: TaskKind) -> Any:
    """The kind's options as JSON Schema."""
    return msgspec.json.schema(kind.options)


def _named(refused: Refused) -> list[dict[str, str]]:
    return [{"name": name, "reason": line} for name, line in refused]


def _tell_refused(terminal: Terminal, refused: Refused) -> None:
    for name, line in refused:
        terminal.error(f"{name}: {line}")

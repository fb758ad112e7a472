"""``localai-app models list``, ``show``, ``select``, ``verify``, ``import``, ``remove`` and ``move``."""

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

from localai_app.cli.commands import Session, find_model, plain
from localai_app.cli.terminal import Terminal
from localai_app.errors import LocalAIError, UsageError
from localai_app.models.library import HashState, LibraryModel, ModelDetails, Progress
from localai_app.models.outlook import speed_words

_STEPS = {"copying": "Copying", "checking": "Checking", "trying": "Trying", "deleting": "Deleting"}
_COMMERCIAL = {"no": " (not for companies)", "conditions": " (conditions)"}


def show_list(session: Session, arguments: argparse.Namespace) -> int:
    """The models on this computer, and which one answers."""
    with session.open() as app:
        models = app.library.models()
        if not any(model.selected and model.kind == "chat" for model in models):
            try:
                app.models.selected()
            except LocalAIError as error:
                session.terminal.note(error.line)
    if session.as_json:
        session.terminal.json([_flat(model) for model in models])
        return 0
    header = ("", "NAME", "QUANT", "SIZE", "KIND", "LICENCE", "HASH", "USED", "SPEED HERE", "FILE")
    session.terminal.table(header, [_row(model) for model in models])
    return 0


def select(session: Session, arguments: argparse.Namespace) -> int:
    """Let another model answer from now on; an embedding model: search documents."""
    with session.open() as app:
        path = find_model(app.models, arguments.model)
        embeds = path in {model.path for model in app.embedding.installed()}
        model = app.library.search_with(path).file if embeds else app.models.select(path)
    does = "searches documents from now on; `localai-app docs refresh` indexes them anew" if embeds else ""
    if session.as_json:
        session.terminal.json(plain(model))
    else:
        session.terminal.note(f"{model.name} {model.quantisation} {does or 'answers from now on'}.")
    return 0


def show_details(session: Session, arguments: argparse.Namespace) -> int:
    """What a model file says of itself; with ``--diff``, how its template differs from another's."""
    terminal = session.terminal
    with session.open() as app:
        path = find_model(app.models, arguments.model)
        if arguments.diff:
            text = app.library.template_diff(path, find_model(app.models, arguments.diff))
            if session.as_json:
                terminal.json({"diff": text})
            else:
                terminal.write(text or "The templates are the same.\n")
            return 0
        model, details = app.library.model(path), app.library.details(path)
    if session.as_json:
        terminal.json({**_flat(model), **plain(details)})
        return 0
    _show_facts(terminal, model, details)
    return 0


def verify(session: Session, arguments: argparse.Namespace) -> int:
    """Read models again and compare; 1 when one is not what was recorded."""
    terminal = session.terminal
    if arguments.accept and not arguments.models:
        raise UsageError("Name the model to accept.", "`localai-app models list` shows which one changed.")
    results: list[LibraryModel] = []
    failures: list[str] = []
    with session.open() as app:
        named = [find_model(app.models, name) for name in arguments.models]
        paths = named or [model.path for model in app.library.models() if not model.file.missing]
        for path in paths:
            try:
                model = app.library.verify(path, lambda progress: _show(terminal, progress))
                if arguments.accept and model.hash_state is HashState.CHANGED:
                    model = app.library.accept(path)
                    terminal.note(f"{path.name} is used as it is from now on.")
                results.append(model)
            except LocalAIError as error:
                if named:
                    raise
                failures.append(error.line)
    changed = [model for model in results if model.hash_state is HashState.CHANGED]
    if session.as_json:
        terminal.json([_flat(model) for model in results])
    else:
        for model in results:
            terminal.line(f"{_words(model)}  {model.sha256}  {model.path}")
    for line in failures:
        terminal.error(line)
    for model in changed:
        terminal.error(
            f"{model.path.name} is not the file that it was: its SHA-256 is {model.found_sha256}. "
            "It is not loaded until you accept it (--accept), or remove it."
        )
    return 1 if changed or failures else 0


def import_models(session: Session, arguments: argparse.Namespace) -> int:
    """Copy models into the models folder; 1 when one of several could not be."""
    terminal = session.terminal
    imported: list[LibraryModel] = []
    failures: list[LocalAIError] = []
    with session.open() as app:
        found = app.library.importable([Path(path).expanduser() for path in arguments.paths])
        for one in found:
            try:
                imported.append(
                    app.library.import_model(one.path, lambda progress: _show(terminal, progress))
                )
            except LocalAIError as error:
                if len(found) == 1:
                    raise
                failures.append(error)
    if session.as_json:
        terminal.json([_flat(model) for model in imported])
    for model in imported:
        known = f" It is “{model.catalogue_id}” of the catalogue." if model.catalogue_id else ""
        terminal.note(f"{model.file.name} {model.file.quantisation} is in {model.path.parent} now.{known}")
    for failure in failures:
        terminal.error(failure.line)
    return max((failure.exit_code for failure in failures), default=0)


def remove(session: Session, arguments: argparse.Namespace) -> int:
    """Erase a model: this process ends at once, and with it what could be undone."""
    with session.open() as app:
        removed = app.library.remove(find_model(app.models, arguments.model))
    if session.as_json:
        session.terminal.json(plain(removed))
    elif removed.linked:
        session.terminal.note(f"{removed.path} is not linked any more; the file stays.")
    else:
        session.terminal.note(f"{removed.path} is erased ({removed.size / 1e6:,.0f} MB).")
    return 0


def move_folder(session: Session, arguments: argparse.Namespace) -> int:
    """Move the models folder, go on with a move, or take one back."""
    terminal = session.terminal
    if bool(arguments.folder) == arguments.cancel:
        raise UsageError("Name a folder, or say --cancel.")
    with session.open() as app:
        if arguments.cancel:
            app.library.cancel_move()
        else:
            target = Path(arguments.folder).expanduser().absolute()
            app.library.move_folder(target, lambda progress: _show(terminal, progress))
        folder = app.library.folder
    if session.as_json:
        terminal.json({"folder": str(folder)})
    else:
        terminal.note(f"The models are in {folder}.")
    return 0


# ---------------------------------------------------------------- words


def _flat(model: LibraryModel) -> dict[str, Any]:
    """All that is known of ``model``, its file's values on top."""
    known = plain(model)
    file, speed = known.pop("file"), known.pop("speed")
    return {**file, **known, "tokens_per_second": speed["tokens_per_second"] if speed else None}


def _row(model: LibraryModel) -> tuple[str, ...]:
    return (
        "*" if model.selected else " ",
        model.file.name,
        model.file.quantisation,
        f"{model.file.size / 1e6:,.0f} MB",
        model.kind,
        f"{model.licence}{_COMMERCIAL.get(model.commercial, '')}" or "–",
        model.hash_state.value,
        _date(model.last_used),
        speed_words(model.speed.tokens_per_second) if model.speed else "–",
        f"{model.path}{' (not there now)' if model.file.missing else ''}",
    )


def _show_facts(terminal: Terminal, model: LibraryModel, details: ModelDetails) -> None:
    parameters = f"{model.parameters / 1e9:,.2f} billion" if model.parameters else "–"
    known = {
        "none": "none",
        "unknown": "the catalogue knows none for it",
        "same": "as in the catalogue",
        "different": "not the one of the catalogue",
    }
    facts = [
        ("name", f"{model.file.name} {model.file.quantisation}"),
        ("file", f"{model.path} ({model.place})"),
        ("family", model.family or "–"),
        ("architecture", details.architecture),
        ("parameters", parameters),
        (
            "licence",
            f"{model.licence or '–'}, commercial use: {model.commercial} {model.licence_url}".strip(),
        ),
        ("source", model.source or "–"),
        ("SHA-256", model.sha256 or "–"),
        ("hash", _words(model)),
        ("last used", _date(model.last_used)),
        ("chat template", known[details.template_state]),
    ]
    terminal.table(("", ""), facts)
    terminal.line()
    terminal.table(("KEY", "TYPE", "VALUE"), [(row.key, row.type, row.value) for row in details.metadata])
    terminal.line()
    tensors = [
        (tensor.name, tensor.type, " × ".join(map(str, tensor.shape)), f"{tensor.size:,}")
        for tensor in details.tensors
    ]
    terminal.table(("TENSOR", "TYPE", "SHAPE", "BYTES"), tensors)
    if details.template:
        terminal.line()
        terminal.line(details.template_diff or details.template)


def _words(model: LibraryModel) -> str:
    when = model.verified or model.recorded
    return f"{model.hash_state.value} {_date(when)}" if when else model.hash_state.value


def _date(when: datetime | None) -> str:
    return f"{when.astimezone():%Y-%m-%d}" if when else "–"


def _show(terminal: Terminal, progress: Progress) -> None:
    terminal.status(f"{_STEPS[progress.step]} {progress.file} {progress.fraction:.0%}")

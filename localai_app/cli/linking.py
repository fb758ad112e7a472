"""``localai-app models link`` and ``unlink``: files that are used where they lie."""

import argparse
from pathlib import Path

from localai_app.cli.commands import Session, find_model, plain
from localai_app.errors import UsageError
from localai_app.models.elsewhere import FoundModel


def link_models(session: Session, arguments: argparse.Namespace) -> int:
    """Link what is named, or what other programs have; named nothing, list what they have."""
    named: list[FoundModel | Path] = [Path(name).expanduser().absolute() for name in arguments.paths]
    if named and arguments.found:
        raise UsageError("Name files, or say --found; not both.")
    with session.open() as app:
        if not named:
            found = app.models.links.found()
            if not arguments.found:
                return _show(session, found)
            named = [*found]
        linked = app.models.links.add(named) if named else []
    if session.as_json:
        session.terminal.json(plain(linked))
    else:
        session.terminal.note(
            f"{len(linked)} linked; nothing was copied. `localai-app models list` shows them."
        )
    return 0


def unlink_model(session: Session, arguments: argparse.Namespace) -> int:
    """Forget a link; the file stays."""
    with session.open() as app:
        path = find_model(app.models, arguments.model)
        app.models.links.remove(path)
    if session.as_json:
        session.terminal.json({"path": str(path)})
    else:
        session.terminal.note(f"{path} is not linked any more; the file stays.")
    return 0


def _show(session: Session, found: list[FoundModel]) -> int:
    if session.as_json:
        session.terminal.json(plain(found))
        return 0
    rows = [
        (model.owner, model.name, model.quantisation, f"{model.size / 1e6:,.0f} MB", str(model.path))
        for model in found
    ]
    session.terminal.table(("PROGRAM", "NAME", "QUANT", "SIZE", "FILE"), rows)
    session.terminal.note("`localai-app models link --found` uses them where they lie.")
    return 0

"""``localai-app backup``."""

import argparse
from pathlib import Path

from localai_app.cli.commands import Session
from localai_app.cli.upkeep import typed_passphrase
from localai_app.governance import backup
from localai_app.governance.backup import BackupFacts
from localai_app.governance.policy import Policy


def create(session: Session, arguments: argparse.Namespace) -> int:
    """Write a backup of the store to a file."""
    with session.open() as app:
        passphrase = typed_passphrase(session, arguments.file, new=True)
        facts = app.backups.write(Path(arguments.path).absolute(), passphrase)
    _tell(session, facts, f"Written to {arguments.path} and read again.")
    return 0


def verify(session: Session, arguments: argparse.Namespace) -> int:
    """Read a backup to its end, without restoring it."""
    passphrase = typed_passphrase(session, arguments.file, new=False)
    facts = backup.verify(Path(arguments.path).absolute(), passphrase)
    _tell(session, facts, f"{arguments.path} is whole; this passphrase opens it.")
    return 0


def restore(session: Session, arguments: argparse.Namespace) -> int:
    """Put the store of a backup into the data folder."""
    path = Path(arguments.path).absolute()
    passphrase = typed_passphrase(session, arguments.file, new=False)
    aside = backup.restore(session.paths, Policy.of_system(), path, passphrase, replace=arguments.replace)
    if session.as_json:
        session.terminal.json(
            {"restored": str(session.paths.data), "replaced": str(aside) if aside else None}
        )
        return 0
    session.terminal.note(f"Restored to {session.paths.data}. The backup's passphrase opens it from now on.")
    if aside:
        session.terminal.note(f"What was there lies in {aside}.")
    return 0


def _tell(session: Session, facts: BackupFacts, line: str) -> None:
    if session.as_json:
        session.terminal.json(
            {
                "created": facts.created.isoformat(),
                "app": facts.app,
                "size": facts.size,
                "sha256": facts.sha256,
            }
        )
        return
    session.terminal.note(line)
    made = f"{facts.created.astimezone():%Y-%m-%d %H:%M}"
    session.terminal.note(f"Made {made} by version {facts.app}, {facts.size / 1e6:,.1f} MB.")

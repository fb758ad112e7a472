"""``localai-app key``."""

import argparse
from pathlib import Path

from localai_app.cli.commands import Session
from localai_app.errors import KeyUnavailable, LocalAIError, UsageError
from localai_app.governance import keys
from localai_app.governance.audit import AuditEvent


def show_key(session: Session, arguments: argparse.Namespace) -> int:
    """How the key is guarded."""
    text = keys.describe(session.paths)
    if session.as_json:
        session.terminal.json({"description": text})
    else:
        session.terminal.line(text)
    return 0


def set_passphrase(session: Session, arguments: argparse.Namespace) -> int:
    """Guard the key with a passphrase from now on."""
    with session.open() as app:
        if arguments.file is None:
            passphrase = session.terminal.ask_passphrase(True)
        else:
            passphrase = _first_line(session, arguments.file)
        if passphrase is None:
            raise KeyUnavailable("Nobody can type a passphrase here.", "Add --from FILE.")
        app.set_passphrase(passphrase)
    return show_key(session, arguments)


def use_keystore(session: Session, arguments: argparse.Namespace) -> int:
    """Guard the key with the system's keystore from now on."""
    with session.open() as app:
        with app.audit.refusals("key"):
            key = keys.protect_with_keystore(app.paths, app.key, app.policy)
        app.audit.append(AuditEvent.KEY_CHANGED, body={"key": key.kind})
    return show_key(session, arguments)


def _first_line(session: Session, name: str) -> str:
    if name == "-":
        text = session.terminal.read_all()
    else:
        try:
            with Path(name).expanduser().open(encoding="utf-8") as file:
                text = file.readline(65536)
        except OSError as error:
            raise LocalAIError(f"{name} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{name} is not UTF-8 text.") from error
    return text.partition("\n")[0].rstrip("\r")

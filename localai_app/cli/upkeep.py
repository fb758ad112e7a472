"""``localai-app key``."""

import argparse
from pathlib import Path

from localai_app.app import recover_store
from localai_app.cli.commands import Session
from localai_app.errors import KeyUnavailable, LocalAIError, UsageError
from localai_app.governance import keys, recovery, rekey
from localai_app.governance.audit import AuditEvent
from localai_app.governance.policy import Policy


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
        app.set_passphrase(typed_passphrase(session, arguments.file, new=True))
    return show_key(session, arguments)


def use_keystore(session: Session, arguments: argparse.Namespace) -> int:
    """Guard the key with the system's keystore from now on."""
    with session.open() as app:
        with app.audit.refusals("key"):
            key = keys.protect_with_keystore(app.paths, app.key, app.policy)
        app.audit.append(AuditEvent.KEY_CHANGED, body={"key": key.kind})
    return show_key(session, arguments)


def renew(session: Session, arguments: argparse.Namespace) -> int:
    """Give the store another key; copies of the old one open nothing any more."""
    policy = Policy.of_system()
    rekey.settle(session.paths)
    key = keys.open_key(session.paths, policy, ask_passphrase=session.terminal.ask_passphrase)
    passphrase = typed_passphrase(session, arguments.file, new=True) if key.kind == "passphrase" else ""
    rekey.change_key(session.paths, key, policy, passphrase)
    return show_key(session, arguments)


def make_recovery_key(session: Session, arguments: argparse.Namespace) -> int:
    """Make the organisation's recovery key: the private half is a file, the public one goes into policy."""
    password = "" if arguments.file is None else _first_line(session, arguments.file)
    public = recovery.make_key(Path(arguments.path).absolute(), password)
    if session.as_json:
        session.terminal.json({"public": public, "sha256": recovery.fingerprint(public)})
        return 0
    session.terminal.line(public)
    session.terminal.note("Put this line into policy as RecoveryPublicKey.")
    session.terminal.note(
        f"Keep {arguments.path} where no user's computer reaches it; whoever has it can read all."
    )
    return 0


def recover(session: Session, arguments: argparse.Namespace) -> int:
    """Open the store with the organisation's recovery key, and guard it with a new passphrase."""
    password = "" if arguments.password is None else _first_line(session, arguments.password)
    passphrase = typed_passphrase(session, arguments.file, new=True)
    recover_store(session.paths, Path(arguments.private).absolute(), password, passphrase)
    return show_key(session, arguments)


def typed_passphrase(session: Session, named: str | None, *, new: bool) -> str:
    """What ``--from`` names, else what a person types; raise `KeyUnavailable` where nobody can."""
    passphrase = session.terminal.ask_passphrase(new) if named is None else _first_line(session, named)
    if passphrase is None:
        raise KeyUnavailable("Nobody can type a passphrase here.", "Add --from FILE.")
    return passphrase


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

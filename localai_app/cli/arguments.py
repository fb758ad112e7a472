"""What the parsers of all commands are made of."""

import argparse
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from localai_app.errors import UsageError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Any]

EVERYWHERE = """\
everywhere:
  --json               print one JSON document
  --data-dir DIR       the data folder (or LOCALAI_APP_DATA_DIR)
"""
_MOST = 2**63 - 1


class Parser(argparse.ArgumentParser):
    """Takes options and names in any order; reports wrong usage like every other error, in one line."""

    _mixing = False

    # The parent's is overloaded for namespaces of other types, which nobody here uses.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As the parent's, but ``run KIND --option X FILE`` finds its file."""
        if self._mixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        message = message[:1].upper() + message[1:].rstrip(".")
        raise UsageError(f"{message}.", f"`{self.prog} --help` shows how.")


def add_command(parsers: "Commands", name: str, description: str) -> argparse.ArgumentParser:
    """A command; its full name is the last one that the parsers on the way set."""
    parser: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=description,
        description=f"{description[0].upper()}{description[1:]}.",
        epilog=EVERYWHERE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=parser.prog.removeprefix("localai-app "))
    return parser


def number(text: str) -> int:
    """A number of a conversation, or of rows: what the store can hold."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a number") from None
    if not -_MOST <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"{text} is out of range")
    return value


def moment(text: str) -> datetime:
    """A day or a moment, by this computer's clock where no offset is said."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"“{text}” is no time such as 2026-11-20T08:00") from None


def public_key(text: str) -> str:
    """A key, or its fingerprint, in lower case."""
    if len(text) != 64 or not set(text.lower()) <= set("0123456789abcdef"):
        raise argparse.ArgumentTypeError("a key has 64 hexadecimal digits")
    return text.lower()


def file_or_folder(text: str) -> Path:
    """A file or a folder; ``~`` is somebody's own."""
    if not text:  # such as an unset variable in a script: not the current folder
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"“{text}” names nobody on this computer") from None

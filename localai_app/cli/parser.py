"""What can be typed after ``localai-app``."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args

from localai_app import __version__
from localai_app.chat.conversation import Overflow
from localai_app.errors import UsageError

if TYPE_CHECKING:
    _Commands = argparse._SubParsersAction[Any]

COMMANDS = ("chat", "models", "audit", "key", "doctor")

_EVERYWHERE = """\
everywhere:
  --json               print one JSON document
  --data-dir DIR       the data folder (or LOCALAI_APP_DATA_DIR)
"""
_MOST = 2**63 - 1
_ALONE = "localai-app alone opens the window; localai-app FILE opens the file in it."


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage like every other error, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        message = message[:1].upper() + message[1:].rstrip(".")
        raise UsageError(f"{message}.", f"`{self.prog} --help` shows how.")


def split_globals(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """``--json`` and ``--data-dir``, wherever they stand, and all the rest."""
    parser = _Parser(prog="localai-app", add_help=False, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data-dir", type=_folder)
    return parser.parse_known_args(argv)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; ``arguments.command`` is such as ``chat list``."""
    parser = _Parser(
        prog="localai-app",
        description="Private, on-device AI. Nothing leaves this computer.",
        epilog=f"{_ALONE}\n\n{_EVERYWHERE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"localai-app {__version__}")
    nouns = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_chat(nouns)

    models = _add(nouns, "models", "models on this computer")
    verbs = models.add_subparsers(metavar="VERB", required=True)
    _add(verbs, "list", "list them; * marks the one that answers")
    select = _add(verbs, "select", "let another model answer from now on")
    select.add_argument("model", metavar="MODEL", help="a file, or a name from `models list`")

    audit = _add(nouns, "audit", "the audit log")
    verbs = audit.add_subparsers(metavar="VERB", required=True)
    _add(verbs, "verify", "check that no entry was changed; exit code 1 if one was")

    key = _add(nouns, "key", "the key of the encrypted store")
    verbs = key.add_subparsers(metavar="VERB", required=True)
    _add(verbs, "show", "say how the key is guarded")
    passphrase = _add(verbs, "set-passphrase", "guard the key with a (new) passphrase")
    passphrase.add_argument(
        "--from", dest="file", metavar="FILE", help="its first line is the passphrase (- for stdin)"
    )
    _add(verbs, "use-keystore", "guard the key with this system's keystore")

    doctor = _add(nouns, "doctor", "check everything and measure the speed")
    doctor.add_argument("--no-speed", action="store_true", help="leave out the speed test")
    return parser


def _add_chat(nouns: "_Commands") -> None:
    chat = _add(nouns, "chat", "chat in this terminal")
    ask = chat.add_argument_group("one answer, or settings of the chat")
    ask.add_argument("--prompt", metavar="TEXT", help="ask this, print the answer and end (- for stdin)")
    ask.add_argument("--conversation", type=_number, metavar="ID", help="go on with this conversation")
    ask.add_argument("--system", metavar="TEXT", help="instructions that the model reads first")
    ask.add_argument("--model", metavar="MODEL", help="a file or a name from `models list`, for this time")
    ask.add_argument("--temperature", type=float, metavar="N", help="0 takes the likeliest word")
    ask.add_argument("--max-tokens", type=int, metavar="N", help="end the answer there; 0: no limit")
    ask.add_argument("--seed", type=int, metavar="N", help="the same seed draws the same answer")
    ask.add_argument(
        "--overflow",
        choices=get_args(Overflow),
        help="what to do when the conversation outgrows the model's context (default stop)",
    )

    verbs = chat.add_subparsers(metavar="VERB")
    listing = _add(verbs, "list", "list conversations, the newest first")
    listing.add_argument("--trash", action="store_true", help="those in the trash")
    listing.add_argument(
        "--limit", type=_number, default=50, metavar="N", help="at most so many (default 50)"
    )

    _add_id(_add(verbs, "show", "print a conversation"))

    search = _add(verbs, "search", "find messages that hold all of these words")
    search.add_argument("words", nargs="+", metavar="WORD")
    search.add_argument("--limit", type=_number, default=20, metavar="N", help="at most so many (default 20)")

    export = _add(verbs, "export", "write a conversation to a file")
    _add_id(export)
    export.add_argument(
        "--format", choices=("md", "html", "json", "docx"), help="default: as FILE is named, else md"
    )
    export.add_argument("--output", metavar="FILE", help="default: stdout")
    export.add_argument("--force", action="store_true", help="replace the file if it exists")

    delete = _add(verbs, "delete", "put conversations in the trash")
    delete.add_argument("ids", type=_number, nargs="+", metavar="ID")
    delete.add_argument("--forever", action="store_true", help="erase them; this cannot be undone")

    restore = _add(verbs, "restore", "take conversations out of the trash")
    restore.add_argument("ids", type=_number, nargs="+", metavar="ID")

    rename = _add(verbs, "rename", "give a conversation another title")
    _add_id(rename)
    rename.add_argument("title", nargs="+", metavar="TITLE")


def _add(parsers: "_Commands", name: str, description: str) -> argparse.ArgumentParser:
    """A command; its full name is the last one that the parsers on the way set."""
    parser: argparse.ArgumentParser = parsers.add_parser(
        name,
        help=description,
        description=f"{description[0].upper()}{description[1:]}.",
        epilog=_EVERYWHERE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=parser.prog.removeprefix("localai-app "))
    return parser


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", type=_number, metavar="ID", help="number from `chat list`")


def _number(text: str) -> int:
    """A number of a conversation, or of rows: what the store can hold."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a number") from None
    if not -_MOST <= number <= _MOST:
        raise argparse.ArgumentTypeError(f"{text} is out of range")
    return number


def _folder(text: str) -> Path:
    if not text:  # such as an unset variable in a script: not the current folder
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"“{text}” names nobody on this computer") from None

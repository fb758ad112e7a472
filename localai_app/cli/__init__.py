"""The command line: every service, reachable from a script.

``localai-app`` alone opens the window. ``localai-app <noun> <verb>`` is headless: what was asked for
goes to stdout (with ``--json``: one JSON document), progress and remarks go to stderr. Exit codes:
0 done, 1 the work failed, 2 wrong usage, 3 refused by policy; 130 and 143 after Ctrl-C and SIGTERM.

Nothing but the standard library is imported here: ``--help`` answers at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from localai_app.cli.parser import COMMANDS, make_parser, split_globals
from localai_app.cli.terminal import OutputLost, Terminal
from localai_app.errors import LocalAIError, UsageError
from localai_app.paths import Paths

if TYPE_CHECKING:
    from localai_app.engine.client import Engine

OpenWindow = Callable[[Paths, list[Path]], int]
"""Shows the window on these folders, with these files opened in it; returns the exit code."""

_DEBUG = "LOCALAI_APP_DEBUG"


def main(
    argv: Sequence[str],
    open_window: OpenWindow,
    *,
    engine: "Engine | None" = None,
    terminal: Terminal | None = None,
) -> int:
    """Do what ``argv`` asks; return the exit code. ``engine`` and ``terminal`` are stand-ins of tests."""
    terminal = terminal or Terminal.of_process()
    try:
        code = _run(list(argv), open_window, terminal, engine)
        terminal.flush()
    except OutputLost as error:
        terminal.abandon_output()
        terminal.error(error.line)
        return error.exit_code
    except LocalAIError as error:
        terminal.error(error.line)
        return error.exit_code
    except BrokenPipeError:
        terminal.abandon_output()  # the reader, such as `head`, has what it wanted
        return 1
    except KeyboardInterrupt:
        terminal.note("")
        return 130
    except Exception as error:  # our own bug: one line for the person, the trace for whoever asks
        if os.environ.get(_DEBUG):
            raise
        terminal.error(f"LocalAI App failed: {type(error).__name__}. Set {_DEBUG}=1 to see where.")
        return 1
    else:
        return code


def _run(argv: list[str], open_window: OpenWindow, terminal: Terminal, engine: "Engine | None") -> int:
    options, rest = split_globals(argv)
    if not rest or (rest[0] not in COMMANDS and not rest[0].startswith("-")):
        return open_window(Paths.for_user(options.data_dir), _files_for_window(rest))
    arguments = make_parser().parse_args(rest)
    from localai_app.cli import commands  # noqa: PLC0415 - everything else comes with it

    _end_tidily_on_signals()
    session = commands.Session(Paths.for_user(options.data_dir), terminal, options.json, engine)
    return commands.run(session, arguments)


def _files_for_window(names: list[str]) -> list[Path]:
    """The files that the window shall open; raise `UsageError` where there are none or no display."""
    files = [Path(name).absolute() for name in names]
    for name, file in zip(names, files, strict=True):
        if not file.exists():
            raise UsageError(
                f"There is no command and no file “{name}”.", "`localai-app --help` lists the commands."
            )
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        raise UsageError("There is no display for a window.", "Chat in the terminal: localai-app chat")
    return files


def _end_tidily_on_signals() -> None:
    """Let SIGTERM and a closed terminal unwind the stack, so that the store is closed."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), leave)

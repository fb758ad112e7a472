"""Where the command line reads and writes.

Text may come from a model or a document, so nothing that a terminal would obey is ever written:
control characters are dropped, in plain text and in JSON, whether or not the output is a terminal now
(a file may be shown in one later). Output is UTF-8 in any locale.
"""

import contextlib
import getpass
import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from localai_app.errors import LocalAIError

# C0 without tab and newline, DEL, and C1, which holds one-byte forms of the escape sequences.
_CONTROLS = dict.fromkeys([*(set(range(32)) - {9, 10}), *range(0x7F, 0xA0)])
_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def harmless(text: str) -> str:
    """``text`` without the characters that make a terminal do something."""
    return text.translate(_CONTROLS)


def time_left(seconds: float | None) -> str:
    """“  3:07 left” or “  2:03:07 left”, for the end of a progress line; empty while nobody knows."""
    if seconds is None:
        return ""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"  {hours}:{minute:02}:{second:02} left" if hours else f"  {minute}:{second:02} left"


@dataclass
class Terminal:
    """The three streams of a process, or stand-ins for them."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    _status_width: int = 0

    @classmethod
    def of_process(cls) -> "Terminal":
        """The process's own streams, speaking UTF-8 whatever the locale says.

        One that was closed reads and writes nothing. It is opened all the same, which gives it the
        number that it should have: no file of ours may become what a library takes for stderr.
        """
        sys.stdin = sys.stdin or _nothing("r")
        sys.stdout = sys.stdout or _nothing("w")
        sys.stderr = sys.stderr or _nothing("w")
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="replace")
        return cls(sys.stdin, sys.stdout, sys.stderr)

    # ------------------------------------------------------------ output

    def write(self, text: str) -> None:
        """Write ``text`` to stdout, at once."""
        self.clear_status()
        with _output_errors():
            self.stdout.write(harmless(text))
            self.stdout.flush()

    def line(self, text: str = "") -> None:
        """Write one line to stdout."""
        self.write(text + "\n")

    def json(self, value: Any) -> None:
        """Write ``value`` as the one JSON document of this command."""
        self.clear_status()
        text = json.dumps(value, ensure_ascii=False, indent=2)
        with _output_errors():
            self.stdout.write(text.translate(_JSON_CONTROLS) + "\n")

    def binary(self, data: bytes) -> None:
        """Write ``data`` to stdout as it is."""
        self.clear_status()
        with _output_errors():
            self.stdout.flush()
            self.stdout.buffer.write(data)
            self.stdout.buffer.flush()

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write columns; in a terminal the last one is cut to its width."""
        cells = [[" ".join(harmless(cell).split()) for cell in row] for row in [header, *rows]]
        widths = [max(len(row[column]) for row in cells) for column in range(len(header) - 1)]
        room = shutil.get_terminal_size().columns if self.stdout.isatty() else 10**6
        for row in cells:
            columns = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            text = "  ".join([*columns, row[-1]]).rstrip()
            self.line(text if len(text) <= room else text[: room - 1] + "…")

    def note(self, text: str) -> None:
        """Write one line to stderr."""
        self.clear_status()
        self.stderr.write(harmless(text) + "\n")
        self.stderr.flush()

    def error(self, line: str) -> None:
        """Say on stderr what is wrong and what to do."""
        self.note("error: " + " ".join(line.split()))

    def status(self, text: str) -> None:
        """Show progress on one line of the terminal that the next output replaces; nothing elsewhere."""
        if not self.stderr.isatty():
            return
        text = harmless(text)[: shutil.get_terminal_size().columns - 1]
        self.stderr.write("\r" + text.ljust(self._status_width))
        self.stderr.flush()
        self._status_width = len(text)

    def clear_status(self) -> None:
        """Take the line of `status` away."""
        if self._status_width:
            self.stderr.write("\r" + " " * self._status_width + "\r")
            self.stderr.flush()
            self._status_width = 0

    def flush(self) -> None:
        """Send on what is buffered; raise `BrokenPipeError` when nobody reads it."""
        with _output_errors():
            self.stdout.flush()

    def abandon_output(self) -> None:
        """Let what is still buffered for stdout go nowhere, so that the end of the process is silent."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stdout.fileno())
        os.close(nowhere)

    # ------------------------------------------------------------ input

    @property
    def interactive(self) -> bool:
        """Whether a person types."""
        return self.stdin.isatty()

    def read_all(self) -> str:
        """All of stdin."""
        return self.stdin.read()

    def read_line(self, prompt: str) -> str | None:
        """One line without its end, ``prompt`` shown to a person; None at the end of the input."""
        self.clear_status()
        if not self.interactive:
            line = self.stdin.readline()
            return line.rstrip("\n") if line else None
        try:
            return input(prompt)
        except EOFError:
            return None

    def ask_passphrase(self, new: bool) -> str | None:
        """A passphrase, typed unseen (twice when ``new``); None where nobody can or wants to type."""
        if not (self.stdin.isatty() or self.stderr.isatty()):
            return None
        self.clear_status()
        try:
            if not new:
                return getpass.getpass("Passphrase: ")
            while True:
                first = getpass.getpass("New passphrase: ")
                if first == getpass.getpass("Once more: "):
                    return first
                self.note("They differ; try again.")
        except EOFError:  # Ctrl-D
            self.note("")
            return None

    def ask_password(self, name: str) -> str | None:
        """The password of the document ``name``, typed unseen; None where nobody can or wants to type."""
        if not (self.stdin.isatty() or self.stderr.isatty()):
            return None
        self.clear_status()
        try:
            return getpass.getpass(f"Password of {harmless(name)}: ") or None
        except EOFError:  # Ctrl-D
            self.note("")
            return None


class OutputLost(LocalAIError):
    """Stdout takes no more, such as on a full disk."""


@contextlib.contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has what it wanted
    except OSError as error:
        raise OutputLost(f"The output cannot be written: {error.strerror}.") from error


def _nothing(mode: Literal["r", "w"]) -> TextIO:
    """A stream without content that stays open to the end of the process."""
    return Path(os.devnull).open(mode, encoding="utf-8")

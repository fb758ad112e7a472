"""The header child: reads the header of one model file and ends. The app's side is ``header_process.py``.

It has one thread and one task, so nobody has to watch whether the app still lives: an alarm of the kernel
and the limit of processor time end it in any case.
"""

import os
import signal
from pathlib import Path
from typing import Any

import msgspec

from localai_app import sandbox
from localai_app.errors import GgufError
from localai_app.models import gguf
from localai_app.models.gguf import GgufHeader
from localai_app.processes import ChildIO

TIME_LIMIT = 60.0
"""Seconds for the whole child; a busy machine or a slow drive may take long."""
MEMORY = 64 * 1024 * 1024
"""Bytes beyond what interpreter and modules take."""


class Read(msgspec.Struct, frozen=True, tag=True):
    """The file's header, joined of those of all its parts."""

    header: GgufHeader


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The file is no model that can be read."""

    message: str
    hint: str


Answer = Read | Refused


def main(io: ChildIO) -> int:
    """Answer the one line of input, a JSON list of the model's files; the exit code."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    with open(io.input_fd, "rb", closefd=False) as lines:
        line = lines.readline()
    if not line:  # the app is gone
        return 0
    files = msgspec.json.decode(line, type=list[str])
    sandbox.tighten(read=files)
    sandbox.limit_memory(MEMORY)
    answer = memoryview(msgspec.msgpack.encode(_answer(files), enc_hook=_plain))
    while answer:
        answer = answer[os.write(io.output_fd, answer) :]
    return 0


def _answer(files: list[str]) -> Answer:
    try:
        parts = []
        for name in files:
            with Path(name).open("rb") as file:
                parts.append(gguf.read_header(file))
        return Read(gguf.join(parts))
    except GgufError as error:
        return Refused(str(error), error.hint)
    except MemoryError:
        return Refused("The GGUF file is broken: its header needs too much memory.", "")
    except OSError as error:
        return Refused(f"The file cannot be read: {error.strerror}.", "")


def _plain(value: Any) -> Any:
    return dict(value)  # the one kind of value that msgspec does not know: a read-only mapping

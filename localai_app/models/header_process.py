"""The one door to the header of a model file: it is read in a confined child, which then ends.

A GGUF file may come from anywhere, and nobody vouches for its header. So the process that knows the
store's key never parses one: a child that can open that file alone does (``header_child.py``), within
limits of processor time, memory and length, and sends back values. What does not decode to a
`GgufHeader` is refused.
"""

import threading
from functools import lru_cache
from pathlib import Path

import msgspec

from localai_app.errors import GgufError
from localai_app.models.gguf import GgufHeader
from localai_app.models.header_child import TIME_LIMIT, Answer, Refused
from localai_app.models.installed import files_of, state
from localai_app.processes import start_child
from localai_app.sandbox import Confinement

CPU_SECONDS = 5
"""Of the whole child; the worst header that is allowed takes a quarter of a second."""
MAX_REPLY = 16 * 1024 * 1024
"""Bytes; 16,384 tensors take 1 MB."""
_END_SECONDS = 5.0
"""How long a child that closed its output may take to end."""

_HINT = "Get the file again, or choose another model."

_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def read_header(path: Path) -> GgufHeader:
    """The header of the model at ``path``, of a split one for all parts.

    A tenth of a second at first, then remembered for as long as the file stays the same. Raise
    `ModelNotFound` where there is no file, `GgufError` for one that is no model.
    """
    path = path.absolute()
    return _remembered(path, *state(path))


@lru_cache(maxsize=16)
def _remembered(path: Path, size: int, mtime_ns: int) -> GgufHeader:
    del size, mtime_ns  # when one of these differs it is another file
    answer, ended = _ask([str(part) for part in files_of(path)])
    if not answer:
        raise GgufError(f"The header of {path.name} could not be read: the reader {ended}.", _HINT)
    try:
        reply = _decoder.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise GgufError(f"The header of {path.name} could not be read.", _HINT) from None
    if isinstance(reply, Refused):
        raise GgufError(f"{path.name}: {reply.message}", reply.hint or _HINT)
    header = reply.header
    per_layer = (header.heads, header.kv_heads, header.feed_forward, header.windowed, header.recurrent)
    if any(len(values) != header.layers for values in per_layer):
        raise GgufError(f"The header of {path.name} could not be read.", _HINT)
    return header


def _ask(files: list[str]) -> tuple[bytes, str]:
    """What the child answers, empty for nothing that counts; and how it ended."""
    child = start_child("header", Confinement(read=tuple(files), cpu_seconds=CPU_SECONDS))
    timer = threading.Timer(TIME_LIMIT, child.kill)
    timer.start()
    answer = b""
    try:
        child.stdin.write(msgspec.json.encode(files) + b"\n")
        child.stdin.flush()
        answer = child.stdout.read(MAX_REPLY + 1)
    except OSError:
        pass  # the child is gone
    finally:
        timer.cancel()
        timer.join()
        too_much = len(answer) > MAX_REPLY
        if too_much or not child.wait(_END_SECONDS):
            child.kill()
            child.wait()
        ended = "says too much" if too_much else child.how_it_ended()
        child.stop()
    return b"" if too_much else answer, ended

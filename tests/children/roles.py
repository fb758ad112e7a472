"""A child with the roles that tests need: ``python -I roles.py ROLE CONFINEMENT``.

CONFINEMENT as `processes.encode_confinement` writes it, or ``free`` for a child that confines nothing.
"""

import contextlib
import ctypes
import json
import os
import resource
import sys
import threading
import time
from pathlib import Path

from localai_app import sandbox
from localai_app.processes import ChildIO, run_child


def read_lines(io):
    with open(io.input_fd, "rb", closefd=False) as lines:
        yield from lines
    os._exit(0)


def echo(io):
    """Answers every line with itself, among noise on the public file descriptors."""
    print("noise from Python", flush=True)
    for line in read_lines(io):
        ctypes.CDLL(None).puts(b"noise from C")
        ctypes.CDLL(None).fflush(None)
        os.write(1, b"noise\n")
        os.write(io.output_fd, line)


def tell(io):
    """What the child finds itself in."""
    open_files = []
    for number in range(256):
        with contextlib.suppress(OSError):
            open_files.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    found = {
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "path": sys.path,
        "session": os.getsid(0),
        "pid": os.getpid(),
        "stdin_is_empty": not os.read(0, 1),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "confinement": io.confinement,
        "open_files": open_files,
        "flags": [sys.flags.isolated, sys.flags.utf8_mode],
    }
    os.write(io.output_fd, json.dumps(found).encode() + b"\n")
    return 0


def abort(io):
    """Holds what it reads, then aborts."""
    held = next(read_lines(io)) * 1000
    sys.stderr.write("GGML_ASSERT(n_tokens > 0) failed\nmore\n")
    sys.stderr.flush()
    os.write(io.output_fd, b"%d\n" % len(held))
    next(read_lines(io))
    os.abort()


def deaf(io):
    """Never reads its input."""
    os.write(io.output_fd, b"here\n")
    time.sleep(600)


def busy(io):
    """Computes in one thread and waits for the end of input in another, as the real roles do."""
    threading.Thread(target=lambda: list(read_lines(io)), daemon=True).start()
    os.write(io.output_fd, b"here\n")
    while True:
        pass


def fail(io):
    """Ends with a traceback on stderr."""
    raise RuntimeError("error in role")


def memory(io):
    """Takes 2 GiB."""
    len(bytearray(2**31))
    return 0


def narrow(io):
    """Takes what `sandbox.limit_memory` leaves, then more."""
    sandbox.limit_memory(32 * 2**20)
    held = bytearray(16 * 2**20)
    try:
        bytearray(32 * 2**20)
    except MemoryError:
        os.write(io.output_fd, b"%d kept, no more\n" % len(held))
    return 0


def processor(io):
    """Uses up its processor time."""
    while True:
        pass


if __name__ == "__main__":
    role, confinement = sys.argv[1:]
    if confinement == "free":
        sys.exit(globals()[role](ChildIO(0, 1, "")))
    sys.exit(run_child(confinement, globals()[role]))

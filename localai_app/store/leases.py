"""Who is writing a row: work in progress names its process, so that others know when it has died.

GUI and command line may share a store. A row in progress carries its process's name and a time
until which it is to be believed; the writer renews that time as it goes. Where the process can be
looked up, it decides whether the row is abandoned; where it cannot (another container, a boot
before this one) the time does.
"""

import os
import platform
from functools import cache
from pathlib import Path

LEASE_SECONDS = 60.0
"""How long a sign of life is believed."""
_SAME_START_SECONDS = 2.0
"""The start time of a process is counted from the boot, whose time moves when the clock is set."""


def this_process() -> str:
    """Name of this process: ``place|pid|start``, the same for its whole life and of no other process."""
    return _name(os.getpid())


def is_alive(owner: str) -> bool | None:
    """Whether the process of that name runs; None where that cannot be seen from here."""
    if owner == this_process():
        return True
    place, pid, start = owner.rsplit("|", 2)
    if place != _place():
        return None
    found = _start(int(pid))
    return found is not None and abs(found - float(start)) <= _SAME_START_SECONDS


@cache  # asked once: a clock that is set meanwhile must not change the name
def _name(pid: int) -> str:
    return f"{_place()}|{pid}|{_start(pid)}"


@cache
def _place() -> str:
    """Boot and process-id space: a process id means something only within the two."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return platform.node()


def _start(pid: int) -> float | None:
    """When the process started, in seconds since 1970; None when none of that id is running."""
    import psutil  # noqa: PLC0415  only asked once an answer is written: not at the start

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return None

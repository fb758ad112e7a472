"""What each process of this app can do on a network now, as the operating system tells it.

On Linux the kernel says of every process which filter of system calls holds, and of those that it shows to
their user, which sockets they hold. Children hide from their own user (that is part of their confinement,
`sandbox.refuse_dumps`), so their sockets cannot be listed, unless root asks. What they cannot do follows all
the same: a filter is never taken off, a child is born with its parent's, and whether the app's own refuses
network sockets is tried here, beneath Python. The spawner, whose children may connect, has no filter: it is
asked, and the code that answers is this app's own.

Elsewhere sockets are listed as far as the system tells, and nothing is proven to be refused.
"""

import ctypes
import errno
import os
import sys
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
import psutil

from localai_app.processes import (
    CHILD_FLAG,
    PULLER,
    decode_confinement,
    sockets_of,
    spawner_pid,
    spawner_sockets,
)
from localai_app.sandbox import Confinement

APP, SPAWNER, OTHER = "app", "spawner", "other"
"""Roles besides those of `processes.Role`."""

_LOCAL = ("UNIX", "NETLINK")
"""So begin protocols that do not leave the computer: to display and keystore, to the system's own tables."""
_NO_ADDRESS_FAMILY = {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}


class Reach(StrEnum):
    """Whether a process, or all of them, can reach a network."""

    OFFLINE = "offline"
    """It holds no network socket, and the system refuses it any; or it holds none and does nothing else."""
    CONNECTED = "connected"
    """It holds a network socket, or is the one that fetches models."""
    UNPROVEN = "unproven"
    """Nothing was found, and nothing shows that it could not be."""


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One process of the app."""

    pid: int
    role: str
    reach: Reach
    sockets: dict[str, int] | None
    """How many of each protocol; None where the system hides them from this user."""
    filters: int
    """Filters of system calls that the kernel holds it to."""
    read: tuple[str, ...] = ()
    """What a child may read beyond code and system files, as it was told to confine itself."""
    write: tuple[str, ...] = ()
    """Folders that a child may write to."""
    may_connect: bool = False
    """Whether a child may connect, as it was told to confine itself."""


class LiveCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was found."""

    reach: Reach
    """The worst of all."""
    tried: dict[str, str]
    """What the app itself just tried, and how the system answered."""
    processes: tuple[Seen, ...]

    @property
    def sockets(self) -> int:
        """Network sockets that were found."""
        return sum(map(network_sockets, self.processes))


def network_sockets(seen: Seen) -> int:
    """How many sockets it holds that reach beyond this computer, as far as the system shows them."""
    return sum(count for name, count in (seen.sockets or {}).items() if not name.startswith(_LOCAL))


def look() -> LiveCheck:
    """Look at this process and at all that it started."""
    tried = _tried()
    refused = bool(tried) and all(answer.startswith("refused") for answer in tried.values())
    me = psutil.Process()
    found: list[Seen] = []
    inherited = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            seen = _seen(process, refused=refused, inherited=inherited)
        except psutil.NoSuchProcess:
            continue  # it has just ended
        if process is me and refused:
            inherited = seen.filters
        found.append(seen)
    return LiveCheck(_worst(found), tried, tuple(found))


def _worst(found: Sequence[Seen]) -> Reach:
    return max((seen.reach for seen in found), key=[Reach.OFFLINE, Reach.UNPROVEN, Reach.CONNECTED].index)


def _seen(process: psutil.Process, *, refused: bool, inherited: int) -> Seen:
    """``refused``: the app's own attempts were; ``inherited``: filters that its children are born with."""
    pid = process.pid
    role, asked = _role(process)
    sockets, filters = _sockets(process), _filters(pid)
    told = asked or Confinement()
    seen = Seen(pid, role, Reach.UNPROVEN, sockets, filters, told.read, told.write, told.network)
    if network_sockets(seen) or role == PULLER:
        reach = Reach.CONNECTED
    elif role == APP:
        reach = Reach.OFFLINE if refused and filters else Reach.UNPROVEN
    elif role == SPAWNER:
        reach = Reach.UNPROVEN if sockets is None else Reach.OFFLINE
    else:
        reach = Reach.OFFLINE if inherited and filters >= inherited else Reach.UNPROVEN
    return msgspec.structs.replace(seen, reach=reach)


def _role(process: psutil.Process) -> tuple[str, Confinement | None]:
    """What the process is for, and what it was told to confine itself to."""
    if process.pid == os.getpid():
        return APP, None
    command = process.cmdline()
    if CHILD_FLAG in command[:-2]:
        role, told = command[command.index(CHILD_FLAG) + 1 :][:2]
        return role, decode_confinement(told)
    # Whoever waits for a puller is a fork of the spawner.
    if spawner_pid() and spawner_pid() in (process.pid, process.ppid()):
        return SPAWNER, None
    return OTHER, None


def _sockets(process: psutil.Process) -> dict[str, int] | None:
    if sys.platform != "linux":
        try:
            found = process.net_connections(kind="inet")
        except (psutil.AccessDenied, OSError):
            return None
        return dict(Counter("TCP" if one.type == 1 else "UDP" for one in found))
    try:
        names = sockets_of(process.pid)
    except PermissionError:
        told = spawner_sockets() if process.pid == spawner_pid() else None
        if told is None:
            return None
        names = told
    except FileNotFoundError:
        raise psutil.NoSuchProcess(process.pid) from None
    return dict(sorted(Counter(names).items()))


def _filters(pid: int) -> int:
    """Filters of system calls on a process, as the kernel counts them; 0 where it tells of none."""
    if sys.platform != "linux":
        return 0
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    said = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    mode_filter = "2"
    return int(said.get("Seccomp_filters", 1)) if said.get("Seccomp") == mode_filter else 0


def _tried() -> dict[str, str]:
    """Ask the kernel for network sockets, beneath Python, and how it answered. None is ever connected."""
    if sys.platform == "win32":
        return {}
    libc = ctypes.CDLL(None, use_errno=True)
    inet6 = 10 if sys.platform == "linux" else 30
    stream, datagram = 1, 2
    wanted = {
        "TCP": (2, stream),
        "UDP": (2, datagram),
        "TCPv6": (inet6, stream),
        "UDPv6": (inet6, datagram),
    }
    return {name: _answer(libc.socket(family, kind, 0)) for name, (family, kind) in wanted.items()}


def _answer(descriptor: int) -> str:
    if descriptor >= 0:
        os.close(descriptor)
        return "possible"
    code = ctypes.get_errno()
    if code in _NO_ADDRESS_FAMILY:
        return "refused (the system has none)"
    return f"refused ({errno.errorcode.get(code, code)})" if code in (errno.EPERM, errno.EACCES) else "failed"

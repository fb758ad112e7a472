"""What this machine has for the engine now: cores worth computing on, and memory.

Threads of one step wait for each other, so the slowest core sets the pace: a thread on an efficiency
core, on the second half of a hyper-threaded core, or above what a container may use makes all of them
slower. Read in the app's process; the worker is confined and is told.

Linux is tested; macOS and Windows follow their documentation and are untested.
"""

import contextlib
import importlib.util
import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localai_app.engine import packs

_ROOT = Path("/")
_FAST = 0.6
"""A core with less than this part of the strongest one's capacity is an efficiency core: those of phones
and boards have half or less, slower performance cores two thirds or more."""

_LOW_PART, _LOW_LEAST, _LOW_MOST = 0.05, 384 * 1024**2, 1024**3
"""Memory is tight when less than a twentieth is available, within these bounds. That is half of where
`earlyoom` begins to end programs: what the system can drop counts as available, the mapped weights too,
so a model that just fits does not trip it, and there is time left to act."""
_STALLED_PERCENT = 10.0
_STALLED_PART = 4
"""Below four times that bound it is tight already when programs wait for memory a tenth of the time
(`/proc/pressure/memory`). Alone, waiting proves nothing: a container at its own limit waits too, and
gets no better when we give memory back."""


@dataclass(frozen=True)
class MemoryNow:
    """Memory of this moment; bytes."""

    total: int
    available: int
    """What programs can still get, caches given back."""
    stalled: float = 0.0
    """Percent of the last 10 s in which some program waited for memory; 0 where it is not told."""

    @property
    def tight(self) -> bool:
        """Whether others need what an idle model holds."""
        low = min(max(self.total * _LOW_PART, _LOW_LEAST), _LOW_MOST)
        return self.available < low or (
            self.stalled >= _STALLED_PERCENT and self.available < _STALLED_PART * low
        )


def memory_now(system: Path = _ROOT) -> MemoryNow:
    """Read it; a fraction of a millisecond."""
    import psutil  # noqa: PLC0415 - the window starts without it

    memory = psutil.virtual_memory()
    return MemoryNow(memory.total, memory.available, _stalled(system))


def performance_cores() -> int:
    """How many threads are worth computing with: the fast cores that this process may use, at least 1."""
    import psutil  # noqa: PLC0415 - the window starts without it

    known = 0
    if sys.platform == "linux":
        known = linux_cores(_ROOT, frozenset(os.sched_getaffinity(0)))
    elif sys.platform == "darwin":
        known = _of_macos()
    elif sys.platform == "win32":
        known = windows_cores(_windows_records(), frozenset(psutil.Process().cpu_affinity()))
    return known or psutil.cpu_count(logical=False) or psutil.cpu_count() or 1


# ---------------------------------------------------------------- Linux


def linux_cores(system: Path, allowed: frozenset[int]) -> int:
    """Fast physical cores among the CPUs ``allowed``, as the tree under ``system`` says, within its quota."""
    fast = _fast_cpus(system, allowed)
    cores = {_siblings(system, cpu) & fast for cpu in fast}
    return max(1, int(min(len(cores), _quota(system))))


def _fast_cpus(system: Path, allowed: frozenset[int]) -> frozenset[int]:
    """Those of ``allowed`` that are performance cores; all, where there is only one kind."""
    # Intel's hybrid processors name their performance cores.
    fast = allowed & _cpu_list(_read(system / "sys/devices/cpu_core/cpus"))
    if fast:
        return fast
    capacities = {
        cpu: int(_read(system / f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity") or 0) for cpu in allowed
    }
    enough = max(capacities.values()) * _FAST
    return frozenset(cpu for cpu, capacity in capacities.items() if capacity >= enough)


def _siblings(system: Path, cpu: int) -> frozenset[int]:
    """The CPUs that share the core of ``cpu``."""
    topology = system / f"sys/devices/system/cpu/cpu{cpu}/topology"
    # The second name is that of kernels before 5.1.
    found = _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")
    return _cpu_list(found) | {cpu}


def _quota(system: Path) -> float:
    """CPUs' worth of time that the control groups of this process grant; infinite without a limit."""
    quota = float("inf")
    for folder in _control_groups(system):
        limit = _read(folder / "cpu.max") or (
            f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
        )
        granted, _, period = limit.partition(" ")
        if granted.isdigit() and period.isdigit() and int(period):  # else "max", -1 or nothing
            quota = min(quota, int(granted) / int(period))
    return quota


def _control_groups(system: Path) -> Iterator[Path]:
    """Folders of the groups that bind this process, from its own up to the root."""
    mounts = system / "sys/fs/cgroup"
    for line in _read(system / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            mount = mounts
        elif "cpu" in controllers.split(","):
            mount = mounts / controllers if (mounts / controllers).is_dir() else mounts / "cpu"
        else:
            continue
        group = Path(path.lstrip("/"))
        # A container sees its group from outside as "/../x"; the root of its mount is then its own.
        for part in () if ".." in group.parts else (group, *group.parents):
            yield mount / part
        yield mount


def _stalled(system: Path) -> float:
    """``avg10`` of the line ``some avg10=0.12 avg60=...``."""
    with contextlib.suppress(ValueError, IndexError):
        return float(_read(system / "proc/pressure/memory").split()[1].partition("=")[2])
    return 0.0


def _cpu_list(text: str) -> frozenset[int]:
    """``0-3,8`` as numbers."""
    cpus: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def _read(path: Path) -> str:
    """What a file of the kernel says; empty where there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def built_for_gpu() -> bool:
    """Whether the engine can use anything but processors; asked of its files, nothing is loaded.

    Backends are libraries of their own, named ``ggml-cuda`` and so on. True where it cannot be told.
    """
    folder = packs.chosen().folder
    if folder is None:
        package = importlib.util.find_spec("llama_cpp")
        if package is None or package.origin is None:
            return True
        folder = Path(package.origin).parent / "lib"
    names = [path.name for path in folder.glob("*")]
    return not names or bool(packs.gpu_backends(names))


# ---------------------------------------------------------------- Windows, macOS


def windows_cores(records: bytes, allowed: frozenset[int]) -> int:
    """Cores of the highest efficiency class, from SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX ``records``.

    ``allowed`` are CPUs of the first processor group; those of other groups are taken as allowed.
    """
    classes: list[int] = []
    offset = 0
    while offset + 48 <= len(records):
        size, efficiency = struct.unpack_from("<I x B", records, offset + 4)
        mask, group = struct.unpack_from("<QH", records, offset + 32)
        if group or any(mask >> cpu & 1 for cpu in allowed):
            classes.append(efficiency)
        offset += max(size, 48)
    return classes.count(max(classes)) if classes else 0


def _windows_records() -> bytes:
    if sys.platform != "win32":
        return b""
    import ctypes  # noqa: PLC0415 - Windows only
    from ctypes import wintypes  # noqa: PLC0415

    ask = ctypes.WinDLL("kernel32").GetLogicalProcessorInformationEx
    ask.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(wintypes.DWORD)]
    length = wintypes.DWORD(0)
    ask(0, None, ctypes.byref(length))  # 0: processor cores; fails, and tells the length
    records = ctypes.create_string_buffer(length.value)
    return records.raw if ask(0, records, ctypes.byref(length)) else b""


def _of_macos() -> int:
    """Performance cores of Apple silicon; 0 on Intel, where there is no such kind."""
    import ctypes  # noqa: PLC0415 - macOS only

    value = ctypes.c_int(0)
    size = ctypes.c_size_t(ctypes.sizeof(value))
    name = b"hw.perflevel0.physicalcpu"
    failed = ctypes.CDLL(None).sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, 0)
    return 0 if failed else value.value

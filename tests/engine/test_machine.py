"""Cores and memory, read from made-up machines."""

import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.engine.machine import (
    MemoryNow,
    built_for_gpu,
    linux_cores,
    memory_now,
    performance_cores,
    windows_cores,
)

GIB = 1024**3


class Machine:
    """Writes a tree as the kernel shows it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> "Machine":
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
        return self

    def cpus(self, *cores: str, capacity: int | None = None, name: str = "core_cpus_list") -> "Machine":
        """Cores by the CPUs they have: ``0-1`` is a hyper-threaded one."""
        for core in cores:
            first, _, last = core.partition("-")
            for cpu in range(int(first), int(last or first) + 1):
                folder = f"sys/devices/system/cpu/cpu{cpu}"
                self.write(f"{folder}/topology/{name}", core)
                if capacity is not None:
                    self.write(f"{folder}/cpu_capacity", str(capacity))
        return self

    def cores(self, count: int | None = None, *, allowed: set[int] | None = None) -> int:
        return linux_cores(self.root, frozenset(allowed if allowed is not None else range(count or 0)))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_hyper_threads_share_a_core(machine: Machine) -> None:
    machine.cpus("0-1", "2-3", "4-5", "6-7")
    assert machine.cores(8) == 4
    assert machine.cores(allowed={0, 1, 2}) == 2
    assert machine.cores(allowed={4, 6}) == 2


def test_old_kernels_name_siblings_otherwise(machine: Machine) -> None:
    assert machine.cpus("0-1", "2-3", name="thread_siblings_list").cores(4) == 2


def test_a_machine_that_tells_nothing_has_as_many_cores_as_cpus(machine: Machine) -> None:
    assert machine.cores(6) == 6


def test_efficiency_cores_of_intel_do_not_count(machine: Machine) -> None:
    machine.cpus("0-1", "2-3", *map(str, range(4, 12))).write("sys/devices/cpu_core/cpus", "0-3")
    assert machine.cores(12) == 2
    assert machine.cores(allowed={2, 3, 4, 5}) == 1


def test_bound_to_efficiency_cores_those_are_used(machine: Machine) -> None:
    machine.cpus("0-1", "2", "3").write("sys/devices/cpu_core/cpus", "0-1")
    assert machine.cores(allowed={2, 3}) == 2


@pytest.mark.parametrize(
    ("little", "middle", "big", "expected"),
    [(446, 1024, 1024, 4), (250, 760, 1024, 4), (325, 1024, 1024, 4), (1024, 1024, 1024, 8)],
)
def test_little_cores_of_arm_do_not_count(
    machine: Machine, little: int, middle: int, big: int, expected: int
) -> None:
    machine.cpus("0", "1", "2", "3", capacity=little)
    machine.cpus("4", "5", "6", capacity=middle).cpus("7", capacity=big)
    assert machine.cores(8) == expected


@pytest.mark.parametrize(("limit", "expected"), [("200000 100000", 2), ("250000 100000", 2)])
def test_a_container_uses_no_more_than_its_quota(machine: Machine, limit: str, expected: int) -> None:
    machine.cpus(*map(str, range(64)))
    machine.write("proc/self/cgroup", "0::/").write("sys/fs/cgroup/cpu.max", limit)
    assert machine.cores(64) == expected


def test_half_a_cpu_is_still_one_thread(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/").write("sys/fs/cgroup/cpu.max", "50000 100000")
    assert machine.cores(4) == 1


def test_the_tightest_quota_up_to_the_root_counts(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/user.slice/app.scope")
    machine.write("sys/fs/cgroup/user.slice/cpu.max", "300000 100000")
    machine.write("sys/fs/cgroup/user.slice/app.scope/cpu.max", "max 100000")
    assert machine.cores(16) == 3


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_the_older_control_groups_are_read_too(machine: Machine, mount: str) -> None:
    machine.write("proc/self/cgroup", f"9:name=systemd:/\n2:{mount}:/docker/ab\n0::/")
    machine.write(f"sys/fs/cgroup/{mount}/cpu.cfs_quota_us", "-1")
    machine.write(f"sys/fs/cgroup/{mount}/docker/ab/cpu.cfs_quota_us", "400000")
    machine.write(f"sys/fs/cgroup/{mount}/docker/ab/cpu.cfs_period_us", "100000")
    assert machine.cores(16) == 4


def test_a_group_outside_the_container_does_not_lead_out_of_its_mount(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/../../elsewhere")
    machine.write("sys/elsewhere/cpu.max", "100000 100000")
    machine.write("sys/fs/cgroup/cpu.max", "300000 100000")
    assert machine.cores(8) == 3


@given(text=st.text(max_size=40))
def test_whatever_the_kernel_says_there_is_a_core(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    for path in ("proc/self/cgroup", "sys/fs/cgroup/cpu.max", "sys/devices/cpu_core/cpus"):
        file = machine.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", errors="replace")
    assert 1 <= machine.cores(4) <= 4


def record(efficiency: int, mask: int, group: int = 0) -> bytes:
    return struct.pack("<IIBB20xHQH6x", 0, 48, 1, efficiency, 1, mask, group)


def test_windows_names_the_fast_cores() -> None:
    records = b"".join([record(1, 0b11), record(1, 0b1100), record(0, 0b10000), record(0, 0b100000)])
    assert windows_cores(records, frozenset(range(6))) == 2
    assert windows_cores(records, frozenset({0, 1, 4})) == 1
    assert windows_cores(records, frozenset({4, 5})) == 2
    assert windows_cores(records + record(1, 1, group=1), frozenset(range(6))) == 3
    assert windows_cores(b"", frozenset({0})) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="binds a thread to a CPU")
def test_this_machine_has_cores_and_fewer_when_bound_to_one() -> None:
    import os

    before = os.sched_getaffinity(0)
    assert 1 <= performance_cores() <= len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert performance_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("total", "available", "stalled", "tight"),
    [
        (16 * GIB, 2 * GIB, 0.0, False),
        (16 * GIB, 700 * 1024**2, 0.0, True),
        (16 * GIB, 2 * GIB, 12.0, True),
        (16 * GIB, 6 * GIB, 40.0, False),
        (4 * GIB, 420 * 1024**2, 0.0, False),
        (4 * GIB, 300 * 1024**2, 0.0, True),
        (256 * GIB, 2 * GIB, 0.0, False),
        (256 * GIB, 1000 * 1024**2, 0.0, True),
    ],
)
def test_memory_is_tight_when_little_is_left_or_programs_wait_for_it(
    total: int, available: int, stalled: float, tight: bool
) -> None:
    assert MemoryNow(total, available, stalled).tight is tight


def test_waiting_for_memory_is_read_where_it_is_told(machine: Machine) -> None:
    assert memory_now(machine.root).stalled == 0.0
    machine.write("proc/pressure/memory", "some avg10=12.50 avg60=3.00 avg300=0.70 total=1\nfull avg10=1.00")
    assert memory_now(machine.root).stalled == 12.5
    machine.write("proc/pressure/memory", "")
    assert memory_now(machine.root).stalled == 0.0


def test_memory_of_this_machine_is_read() -> None:
    memory = memory_now()
    assert 0 < memory.available <= memory.total


@pytest.mark.parametrize(
    ("names", "gpu"),
    [
        (["libggml-base.so", "libggml-cpu.so.0", "libllama.so"], False),
        (["ggml-base.dll", "ggml-cpu-haswell.dll", "ggml-vulkan.dll"], True),
        (["libggml-base.dylib", "libggml-metal.dylib"], True),
        ([], True),
    ],
)
def test_backends_are_told_by_their_files(
    names: list[str], gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama_cpp" / "lib").mkdir(parents=True)
    (tmp_path / "llama_cpp" / "__init__.py").touch()
    for name in names:
        (tmp_path / "llama_cpp" / "lib" / name).touch()
    monkeypatch.delitem(sys.modules, "llama_cpp", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert built_for_gpu() is gpu

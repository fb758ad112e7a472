"""Every forbidden act is tried inside, and first outside: there it must succeed, or fail otherwise."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from localai_app import sandbox

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is enforced on this platform")

ACTS = Path(__file__).parent / "children" / "acts.py"

FORBIDDEN = {
    "tcp": "EPERM",
    "udp": "EPERM",
    "unix": "EPERM",
    "abstract_unix": "EPERM",
    "netlink": "EPERM",
    "socketpair": "EPERM",
    "native_inet_socket": "EPERM",
    "native_inet6_socket": "EPERM",
    "native_unix_socket": "EPERM",
    "read_passwd": "EACCES",
    "read_other": "EACCES",
    "read_project": "EACCES",
    "list_folder": "EACCES",
    "read_parent_memory_map": "EACCES",
    "write_tmp": "EACCES",
    "overwrite": "EACCES",
    "truncate": "EACCES",
    "rename": "EACCES",
    "remove": "EACCES",
    "make_folder": "EACCES",
    "chmod": "EPERM",
    "change_times": "EPERM",
    "set_attribute": "EPERM",
    "fork": "EPERM",
    "spawn": "EPERM",
    "run_program": "EPERM",
    "execve": "EPERM",
    "clone3": "ENOSYS",
    "signal_parent": "EPERM",
    "limit_parent": "EPERM",
    "ptrace": "EPERM",
    "read_other_memory": "EPERM",
    "io_uring": "EPERM",
    "keyring": "EPERM",
    "unshare": "EPERM",
    "set_namespace": "EPERM",
    "shared_memory": "EPERM",
    "watch_files": "EPERM",
}
# Outside, these cannot succeed without harm: they are aimed at nothing and fail for that reason.
OUTSIDE = {
    "execve": "ENOENT",
    "clone3": "EINVAL",
    "ptrace": "ESRCH",
    "read_other_memory": "ESRCH",
    "set_namespace": "EBADF",
}
NEEDED = ["read_named", "read_library", "read_own_status", "write_in_write_folder", "signal_self"]
NEEDED += ["thread", "import_late", "load_library", "random"]


@pytest.fixture
def where(tmp_path):
    """Something to aim at: listening sockets, files, folders."""
    folder = tmp_path / "folder"
    folder.mkdir()
    write_folder = tmp_path / "write"
    write_folder.mkdir()
    for name in ("a", "c"):
        (folder / name).write_text("x")
    named, other = tmp_path / "named", tmp_path / "other"
    named.write_text("named")
    other.write_text("other")
    path = tmp_path / "socket"
    abstract = f"\0localai-app-test-{tmp_path}"
    with (
        socket.socket() as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as other_unix,
    ):
        tcp.bind(("127.0.0.1", 0))
        unix.bind(str(path))
        other_unix.bind(abstract)
        for listener in (tcp, unix, other_unix):
            listener.listen()
        yield {
            "tcp_port": tcp.getsockname()[1],
            "unix_socket": str(path),
            "abstract_socket": abstract,
            "folder": str(folder),
            "write_folder": str(write_folder),
            "named": str(named),
            "other": str(other),
        }


def run_acts(where, acts, mode="confine", tighten=None, without="", **confinement):
    setting = {"mode": mode, "where": where, "acts": acts, "tighten": tighten}
    setting |= {"without": without, "confinement": confinement}
    answer = subprocess.run(
        [sys.executable, "-I", ACTS, json.dumps(setting)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture
def enforced():
    """The Landlock ABI; skip where this kernel enforces less than the tests look for."""
    report = run_acts({}, [])["reports"][0]
    full = re.fullmatch(r"Landlock ABI (\d+) \+ seccomp", report)
    if not full or int(full[1]) < 4:
        pytest.skip(f"this kernel: {report}")
    return int(full[1])


def test_acts_that_will_be_forbidden_succeed_outside(where):
    outcomes = run_acts(where, [*FORBIDDEN, *NEEDED], mode="free")["acts"]
    expected = {name: OUTSIDE.get(name, "done") for name in [*FORBIDDEN, *NEEDED]}
    # What the machine itself forbids shows nothing; every other act must be possible here.
    machine_forbids = {"io_uring", "keyring", "set_attribute", "ptrace", "unshare"}
    for name in machine_forbids:
        if outcomes[name] in ("EPERM", "ENOSYS", "EACCES", "EOPNOTSUPP"):
            expected[name] = outcomes[name]
    assert outcomes == expected


@pytest.mark.usefixtures("enforced")
def test_confined_process_can_do_none_of_them(where):
    outcomes = run_acts(where, list(FORBIDDEN))["acts"]
    assert outcomes == FORBIDDEN


@pytest.mark.usefixtures("enforced")
def test_confined_process_can_do_what_it_needs(where):
    answer = run_acts(where, NEEDED, read=[where["named"]], write=[where["write_folder"]])
    assert answer["acts"] == dict.fromkeys(NEEDED, "done")


@pytest.mark.usefixtures("enforced")
def test_process_that_may_connect_can_do_nothing_else_of_them(where):
    may = {"tcp", "udp", "native_inet_socket", "native_inet6_socket"}
    answer = run_acts(
        where, [*FORBIDDEN, *NEEDED], network=True, write=[where["write_folder"]], read=[where["named"]]
    )
    assert answer["acts"] == {**FORBIDDEN, **dict.fromkeys([*may, *NEEDED], "done")}


@pytest.mark.usefixtures("enforced")
def test_tightened_process_reads_nothing_but_the_named_file(where):
    acts = ["read_named", "read_other", "read_library", "load_library", "read_own_status", "thread", "random"]
    answer = run_acts(where, acts, tighten=[where["named"]], read=[where["named"], where["other"]])
    refused = {"read_other": "EACCES", "read_library": "EACCES"}
    assert answer["acts"] == {
        **dict.fromkeys(acts, "done"),
        **refused,
        "load_library": "done",  # it is in memory already
    }
    assert answer["reports"][1] == answer["reports"][0]


@pytest.mark.usefixtures("enforced")
def test_tightening_does_not_widen(where):
    answer = run_acts(where, ["read_other"], tighten=[where["other"]], read=[where["named"]])
    assert answer["acts"] == {"read_other": "EACCES"}


def test_landlock_alone_closes_files_programs_tcp_and_signals(where, enforced):
    expected = {
        **{name: errno for name, errno in FORBIDDEN.items() if errno == "EACCES"},
        **dict.fromkeys(("tcp", "spawn", "run_program"), "EACCES"),
        **dict.fromkeys(("signal_parent", "abstract_unix") if enforced >= 6 else (), "EPERM"),
    }
    answer = run_acts(where, list(expected), without="_filter_system_calls")
    assert answer["acts"] == expected
    assert re.fullmatch(
        r"Landlock ABI \d+; system calls are not confined \(seccomp: Not supported\)", answer["reports"][0]
    )


@pytest.mark.usefixtures("enforced")
def test_seccomp_alone_closes_sockets_and_processes_but_no_files(where):
    expected = {name: errno for name, errno in FORBIDDEN.items() if errno != "EACCES"}
    answer = run_acts(where, [*expected, "read_passwd"], without="_restrict_files")
    assert answer["acts"] == {**expected, "read_passwd": "done"}
    assert answer["reports"] == ["seccomp; files are not confined (Landlock: Not supported)"]


def test_limits_are_those_of_the_confinement(where):
    code = (
        "import resource as r; from localai_app import sandbox as s;"
        "s.confine(s.Confinement(memory=2**30, cpu_seconds=7));"
        "print([r.getrlimit(x) for x in (r.RLIMIT_CORE, r.RLIMIT_AS, r.RLIMIT_CPU)])"
    )
    answer = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str([(0, 0), (2**30, 2**30), (7, 8)])


def test_without_landlock_and_seccomp_the_report_says_so(where):
    code = (
        "import os; from localai_app import sandbox as s\n"
        "def refuse(*_): raise OSError(38, os.strerror(38))\n"
        "s._syscall = refuse\n"
        "print(s.confine(s.Confinement()))\n"
        "print(s.tighten([]))\n"
    )
    answer = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    words = (
        "not confined; files are not confined (Landlock: Function not implemented); "
        "system calls are not confined (seccomp: Function not implemented)"
    )
    assert answer.stdout.splitlines() == [words, words]


# ---------------------------------------------------------------- the app itself


def test_app_without_network_keeps_local_sockets_and_its_own_children(where):
    refused_to_python = ["tcp", "udp", "look_up_name", "fork", "spawn", "run_program", "execve"]
    refused_to_all = ["native_inet_socket", "native_inet6_socket", "io_uring"]
    kept = ["unix", "netlink", "socketpair", "native_unix_socket", "own_child", "thread"]
    acts = [*refused_to_python, *refused_to_all, *kept]
    free = run_acts(where, acts, mode="free")
    assert {name: free["acts"][name] for name in kept + refused_to_python} == {
        **dict.fromkeys(kept + refused_to_python, "done"),
        "execve": "ENOENT",
    }
    assert free["earlier_thread"] == {"socket": "done"}
    offline = run_acts(where, acts, mode="offline")
    assert offline["acts"] == {
        **dict.fromkeys(refused_to_python, "PermissionError"),
        **dict.fromkeys(refused_to_all, "EPERM"),
        **dict.fromkeys(kept, "done"),
    }
    assert offline["reports"] == ["seccomp + Python audit hook"]
    assert offline["earlier_thread"] == {"socket": "EPERM"}


# ---------------------------------------------------------------- the filter, instruction by instruction

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def judge(program, number, architecture, first_argument=0):
    """What the kernel would answer: its interpreter for classic BPF, as far as filters here use it."""
    data = {0: number, 4: architecture, 16: first_argument}
    accumulator = position = 0
    while True:
        code, then, otherwise, operand = program[position]
        position += 1
        match code:
            case 0x20:
                accumulator = data[operand]
            case 0x54:
                accumulator &= operand
            case 0x15:
                position += then if accumulator == operand else otherwise
            case 0x35:
                position += then if accumulator >= operand else otherwise
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request):
    return request.param


def column_and_architecture(machine):
    return sandbox._ARCHITECTURES[machine]


def test_child_filter_refuses_every_listed_call(machine):
    column, architecture = column_and_architecture(machine)
    program = sandbox._program(machine, sandbox._child_filter)
    for name, numbers in sandbox._NUMBERS.items():
        if numbers[column] < 0:
            continue
        expected = ENOSYS if name == "clone3" else EPERM
        assert judge(program, numbers[column], architecture, first_argument=1) == expected, name
    read, mmap, futex, restrict = ((0, 9, 202, 446), (63, 222, 98, 446))[column]
    for number in (read, mmap, futex, restrict):
        assert judge(program, number, architecture) == ALLOW


def test_connected_child_filter_opens_the_way_out_and_nothing_else(machine):
    column, architecture = column_and_architecture(machine)
    program = sandbox._program(machine, sandbox._connected_child_filter)
    connecting = {"connect", "sendto", "sendmsg", "sendmmsg"}
    for name, numbers in sandbox._NUMBERS.items():
        if numbers[column] < 0:
            continue
        expected = ALLOW if name in connecting else ENOSYS if name == "clone3" else EPERM
        assert judge(program, numbers[column], architecture, first_argument=1) == expected, name
    open_socket = sandbox._NUMBERS["socket"][column]
    allowed = [family for family in range(50) if judge(program, open_socket, architecture, family) == ALLOW]
    assert allowed == [2, 10]  # IPv4 and IPv6


def test_child_filter_allows_threads_but_no_processes(machine):
    column, architecture = column_and_architecture(machine)
    program = sandbox._program(machine, sandbox._child_filter)
    clone = sandbox._NUMBERS["clone"][column]
    of_glibc_thread, of_fork, of_vfork, sigchld = 0x3D0F00, 0x1200000, 0x4100, 17
    assert judge(program, clone, architecture, of_glibc_thread) == ALLOW
    assert judge(program, clone, architecture, of_fork | sigchld) == EPERM
    assert judge(program, clone, architecture, of_vfork | sigchld) == EPERM


def test_filters_refuse_other_ways_into_the_kernel(machine):
    _, architecture = column_and_architecture(machine)
    for build in (sandbox._child_filter, sandbox._connected_child_filter, sandbox._offline_filter):
        program = sandbox._program(machine, build)
        i386 = 0x40000003
        assert judge(program, 1, i386) == KILL
        if machine == "x86_64":
            assert judge(program, 0x40000000 + 41, architecture, 2) == ENOSYS


def test_every_jump_stays_inside_the_filter(machine):
    for build in (sandbox._child_filter, sandbox._connected_child_filter, sandbox._offline_filter):
        program = sandbox._program(machine, build)
        for position, (code, then, otherwise, _) in enumerate(program):
            assert max(then, otherwise) <= 255
            assert code == 0x06 or position + 1 + max(then, otherwise) < len(program)


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_system_call_numbers_are_the_kernels(column, header):
    if not Path(header).exists():
        pytest.skip(f"no {header}")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    kernel = {name: int(number) for name, number in found}
    ours = {name: numbers[column] for name, numbers in sandbox._NUMBERS.items()}
    newer_than_header = {name for name, number in ours.items() if number > 450 and name not in kernel}
    absent = {name for name, number in ours.items() if number < 0}
    assert absent.isdisjoint(kernel)
    checked = ours.keys() - newer_than_header - absent
    assert {name: ours[name] for name in checked} == {name: kernel[name] for name in checked}
    assert kernel["seccomp"] == sandbox._SECCOMP[column]

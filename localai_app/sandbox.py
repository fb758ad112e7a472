"""What the operating system enforces on the process that calls.

Children call `confine` before anything else; the app calls `refuse_network`. Both return what is
active, in words, and never more than that: where nothing can be enforced they say so, and policy
decides whether that is enough.

On Linux two mechanisms stand behind each other, because neither suffices alone: Landlock decides
which files may be opened (and blocks TCP, signals and abstract sockets where the kernel knows how),
seccomp refuses system calls (sockets, programs, processes, io_uring, debugging, modes and owners).
What neither hides is a file's existence and size (``stat``). Both reach the calling thread and every
thread it starts later; seccomp also reaches threads that run already. Confine before starting any.

macOS and Windows: "not confined"; only dumps and limits are applied there. Untested.
"""

import ctypes
import os
import platform
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NOT_CONFINED = "not confined"


@dataclass(frozen=True)
class Confinement:
    """What a child may touch beyond Python and the system's libraries, and its limits."""

    read: tuple[str, ...] = ()
    """Files, or folders with all they hold."""
    write: tuple[str, ...] = ()
    """Folders in which files may be read, made, changed and removed."""
    memory: int = 0
    """Bytes of address space; 0: no limit. Mapped files count, so not for a process that maps models."""
    cpu_seconds: int = 0
    """CPU time of the whole process; 0: no limit."""
    gpu: bool = False
    """Allow the device nodes and driver files of a GPU."""
    network: bool = False
    """Allow connections over IP, and the files by which names are looked up and certificates checked."""


@dataclass
class _State:
    confinement: Confinement | None = None
    landlock: int = 0
    seccomp: bool = False
    refused: str = ""
    offline: str = ""


_state = _State()
_own_child = threading.local()
# Rules hang on inodes. procfs forgets a path under memory pressure and makes a new inode for it at
# the next look-up, which no rule would know: these descriptors keep the paths alive.
_pinned: list[int] = []


# ---------------------------------------------------------------- children


def confine(confinement: Confinement) -> str:
    """Confine this process for good; what is active, such as ``Landlock ABI 7 + seccomp``."""
    assert _state.confinement is None, "a process is confined once; tighten() narrows it"
    _state.confinement = confinement
    refuse_dumps()
    reasons = _limit(confinement)
    if sys.platform != "linux":
        return NOT_CONFINED
    try:
        _no_new_privileges()
        _state.landlock = _restrict_files(
            read=(*_code_folders(), *_SYSTEM_FILES, *confinement.read), confinement=confinement
        )
    except OSError as error:
        reasons.append(f"files are not confined (Landlock: {error.strerror})")
    try:
        _filter_system_calls(_connected_child_filter if confinement.network else _child_filter)
        _state.seccomp = True
    except OSError as error:
        reasons.append(f"system calls are not confined (seccomp: {error.strerror})")
    _state.refused = "; ".join(reasons)
    return _report()


def missing() -> str:
    """Why children cannot be confined on this system, in words; empty where they can.

    Asks the kernel and confines nothing.
    """
    if sys.platform != "linux":
        return "this version confines its processes on Linux only"
    try:
        _syscall(_LANDLOCK_CREATE, None, 0, 1)
    except OSError as error:
        return f"the system has no Landlock ({error.strerror})"
    machine = platform.machine()
    if machine not in _ARCHITECTURES or struct.calcsize("P") != 8:
        return f"there is no filter of system calls for {machine}"
    get_action_available, kill_process = 2, struct.pack("=I", 0x80000000)
    try:
        _syscall(_SECCOMP[_ARCHITECTURES[machine][0]], get_action_available, 0, kill_process)
    except OSError as error:
        return f"the system has no seccomp ({error.strerror})"
    return ""


def tighten(read: Iterable[str | os.PathLike[str]], *, code: bool = False) -> str:
    """Leave only ``read`` (and the folders of ``Confinement.write``) to be opened; what is active.

    Call it when every module and library is loaded: none can be loaded afterwards, unless ``code`` or
    ``Confinement.gpu`` asks for it. Before Landlock ABI 8 it holds for the calling thread and threads
    that it starts later; one that runs already keeps the rules of `confine`.
    """
    confinement = _state.confinement
    assert confinement is not None, "confine() comes first"
    if not _state.landlock:
        return _report()
    kept = _code_folders() if code or confinement.gpu else ()
    try:
        _restrict_files(read=(*kept, *_SYSTEM_FILES, *(str(Path(p)) for p in read)), confinement=confinement)
    except OSError as error:
        return f"{_report()}; not tightened (Landlock: {error.strerror})"
    return _report()


def limit_memory(more: int) -> None:
    """Allow this process ``more`` bytes of address space beyond what it has by now; Linux only.

    Narrower than ``Confinement.memory``, which has to leave room for the interpreter's own.
    """
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415 - not on Windows

    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    limit = pages * resource.getpagesize() + more
    highest = resource.getrlimit(resource.RLIMIT_AS)[1]
    if highest != resource.RLIM_INFINITY:
        limit = min(limit, highest)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def refuse_dumps() -> None:
    """Leave no copy of this process's memory on disk when it crashes.

    On Linux it also hides the process from others of the same user (``/proc``, debuggers), portals
    included: not for a process with windows.
    """
    if sys.platform == "win32":
        sem_failcriticalerrors, sem_nogpfaulterrorbox = 0x0001, 0x0002
        ctypes.windll.kernel32.SetErrorMode(sem_failcriticalerrors | sem_nogpfaulterrorbox)
        return
    import resource  # noqa: PLC0415 - not on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # Core files that are piped to a program do not look at RLIMIT_CORE; this stops those too.
        _prctl(_PR_SET_DUMPABLE, 0)


def _limit(confinement: Confinement) -> list[str]:
    """Apply the limits; what cannot be limited, in words."""
    if sys.platform == "win32":
        return []
    import resource  # noqa: PLC0415 - not on Windows

    not_limited = []
    for what, limit, wanted, grace in (
        ("memory", resource.RLIMIT_AS, confinement.memory, 0),
        ("processor time", resource.RLIMIT_CPU, confinement.cpu_seconds, 1),
    ):
        if wanted:
            highest = resource.getrlimit(limit)[1]
            hard = wanted + grace if highest == resource.RLIM_INFINITY else min(wanted + grace, highest)
            try:
                resource.setrlimit(limit, (min(wanted, hard), hard))
            except (ValueError, OSError):
                not_limited.append(f"{what} is not limited")
    return not_limited


def _report() -> str:
    active = [f"Landlock ABI {_state.landlock}"] if _state.landlock else []
    active += ["seccomp"] if _state.seccomp else []
    return "; ".join(filter(None, [" + ".join(active) or NOT_CONFINED, _state.refused]))


# ---------------------------------------------------------------- the app itself

_AF_UNIX, _AF_NETLINK = 1, 16  # keystore and display; interfaces
_AF_INET, _AF_INET6 = 2, 10  # on Linux
_ADDRESS_FAMILIES = frozenset({_AF_UNIX, _AF_NETLINK})
_NAME_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_PROCESS_STARTS = frozenset(
    {
        *("subprocess.Popen", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.forkpty"),
        *("os.startfile", "os.startfile/2", "pty.spawn", "_winapi.CreateProcess"),
    }
)
_WATCHED = _NAME_LOOKUPS | _PROCESS_STARTS | {"socket.__new__"}


def refuse_network() -> str:
    """Refuse this process every network socket and every child but those of `processes`, for good.

    Return what is active, such as ``seccomp + Python audit hook``. The hook sees Python code only;
    seccomp sees everything, also in the children and in programs they start. Call it as early as
    possible; a window on a display that is reached over TCP (``ssh -X``) must be connected before.
    """
    if not _state.offline:
        active = ["Python audit hook"]
        if sys.platform == "linux":
            try:
                _no_new_privileges()
                _filter_system_calls(_offline_filter)
                active.insert(0, "seccomp")
            except OSError as error:
                active.append(f"sockets of native code are not refused (seccomp: {error.strerror})")
        sys.addaudithook(_refuse)
        _state.offline = " + ".join(active)
    return _state.offline


@contextmanager
def starting_child() -> Iterator[None]:
    """Within it this thread may start a child process; for `processes` alone."""
    _own_child.starting = True
    try:
        yield
    finally:
        _own_child.starting = False


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _WATCHED:
        return
    if event in _PROCESS_STARTS:
        if not getattr(_own_child, "starting", False):
            raise PermissionError(f"{event}: child processes are started by processes.py alone")
    elif event in _NAME_LOOKUPS or arguments[1] not in _ADDRESS_FAMILIES:
        raise PermissionError(f"{event}: this app opens no network connection")


# ---------------------------------------------------------------- Linux: files

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
_LANDLOCK_TSYNC_ABI = 8

# The bits of LANDLOCK_ACCESS_FS_*; each ABI knows the first so many.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG, _TRUNCATE, _IOCTL_DEV = 1 << 7, 1 << 8, 1 << 14, 1 << 15
_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_BIND, _CONNECT = 0b01, 0b10
_SCOPES = 0b11  # abstract sockets, signals

_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _MAKE_REG | _MAKE_DIR | _REMOVE_FILE | _REMOVE_DIR
_DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL_DEV
_ON_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_SYSTEM_FILES = (
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg"),
    *("/sys/devices/system", "/dev/urandom", "/etc/localtime", "/usr/share/zoneinfo"),
)
_LIBRARIES = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
)
_NETWORK_FILES = (
    *("/etc/resolv.conf", "/run/systemd/resolve", "/run/NetworkManager", "/etc/hosts", "/etc/nsswitch.conf"),
    *("/etc/host.conf", "/etc/gai.conf", "/etc/services"),
    *("/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs"),
    *("/etc/pki/tls/cert.pem", "/etc/pki/ca-trust", "/etc/ca-certificates", "/var/lib/ca-certificates"),
    *("/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki"),
)
_GPU_FILES = (
    *("/proc/driver/nvidia", "/proc/devices", "/proc/modules", "/sys/bus/pci", "/sys/devices", "/sys/class"),
    *("/sys/module", "/sys/dev/char", "/usr/share/vulkan", "/etc/vulkan", "/usr/share/nvidia", "/etc/OpenCL"),
)
_GPU_DEVICES = ("nvidia*", "nvidia-caps/*", "dri/*", "kfd")


def _restrict_files(read: Iterable[str], confinement: Confinement) -> int:
    """Stack a Landlock layer on this thread; the ABI. Raise `OSError` where there is none."""
    abi = _syscall(_LANDLOCK_CREATE, None, 0, 1)
    rights = (1 << _RIGHTS_OF_ABI.get(abi, 16)) - 1
    tcp = _BIND if confinement.network else _BIND | _CONNECT
    attributes = struct.pack("=QQQ", rights, tcp if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _syscall(_LANDLOCK_CREATE, attributes, size, 0)
    try:
        for path in read:
            _allow(ruleset, path, _READ & rights)
        for path in confinement.write:
            _allow(ruleset, path, _WRITE & rights)
        _allow(ruleset, "/dev/null", _DEVICE & rights)
        if confinement.network:
            for path in _NETWORK_FILES:
                _allow(ruleset, path, _READ & rights)
        if confinement.gpu:
            for path in _GPU_FILES:
                _allow(ruleset, path, _READ & rights)
            for pattern in _GPU_DEVICES:
                for node in Path("/dev").glob(pattern):
                    _allow(ruleset, str(node), _DEVICE & rights)
        every_thread = 1 << 3 if abi >= _LANDLOCK_TSYNC_ABI else 0
        _syscall(_LANDLOCK_RESTRICT, ruleset, every_thread)
    finally:
        os.close(ruleset)
    return abi


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow ``rights`` beneath ``path``; a path that is not there needs no rule."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ON_A_FILE
        _syscall(_LANDLOCK_ADD, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        if path.startswith("/proc/"):
            _pinned.append(descriptor)
        else:
            os.close(descriptor)


def _code_folders() -> tuple[str, ...]:
    """Folders from which Python and shared libraries are loaded."""
    package = Path(__file__).resolve().parent
    site_packages = {"site-packages", "dist-packages"}
    # An editable install puts the whole project on sys.path: tests, history, notes. Only the package counts.
    imports = [
        path for path in sys.path if Path(path) != package.parent or package.parent.name in site_packages
    ]
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    # A packaged program holds its modules in a folder and, as an archive, in itself.
    frozen = [sys._MEIPASS, sys.executable] if hasattr(sys, "_MEIPASS") else []
    folders = [*imports, str(package), *_LIBRARIES, *frozen]
    folders += [f"{prefix}/{name}" for prefix in prefixes for name in ("lib", "lib64")]
    return tuple(dict.fromkeys(filter(None, folders)))


# ---------------------------------------------------------------- Linux: system calls

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Numbers on x86_64 and aarch64; -1 where the architecture never had the call.
_NUMBERS = {
    # Sockets: a child holds pipes, nothing else.
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206),
    "sendmsg": (46, 211), "sendmmsg": (307, 269),
    # Programs and processes.
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281),
    "clone": (56, 220), "clone3": (435, 435),
    # A second way to every system call.
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # Other processes: reading, steering, signalling, sharing memory with them.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "prlimit64": (302, 261), "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "semget": (64, 190), "semop": (65, 193), "semtimedop": (220, 192), "semctl": (66, 191),
    "mq_open": (240, 180), "mq_unlink": (241, 181),
    # What Landlock does not see: modes, owners, times, attributes, watching, file handles.
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "lchown": (94, -1), "fchown": (93, 55), "fchownat": (260, 54),
    "utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466), "file_setattr": (469, 469), "inotify_init": (253, -1),
    "inotify_init1": (294, 26), "inotify_add_watch": (254, 27), "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263), "open_by_handle_at": (304, 265),
    # Deep kernel: large attack surface, of no use to a child.
    "bpf": (321, 280), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "personality": (135, 92),
    "modify_ldt": (154, -1), "iopl": (172, -1), "ioperm": (173, -1), "syslog": (103, 116),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "uselib": (134, -1),
    # The machine: mounts, namespaces, kernel modules, clock, power. Root may, this may not.
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "open_tree_attr": (467, 467),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "setns": (308, 268), "unshare": (272, 97),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "swapon": (167, 224),
    "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "vhangup": (153, 58),
}  # fmt: skip
_SECCOMP = (317, 277)

_EPERM, _ENOSYS = 1, 38
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_CLONE_A_THREAD = 0x00000100 | 0x00010000  # CLONE_VM and CLONE_THREAD

_Instruction = tuple[int, int, int, int]
"""struct sock_filter: code, jump if true, jump if false, operand."""


def _load(offset: int) -> _Instruction:
    return (0x20, 0, 0, offset)  # a word of struct seccomp_data


def _equal(value: int, then: int, otherwise: int) -> _Instruction:
    return (0x15, then, otherwise, value)


def _return(value: int) -> _Instruction:
    return (0x06, 0, 0, value)


_LOAD_NUMBER, _LOAD_ARCHITECTURE, _LOAD_FIRST_ARGUMENT = _load(0), _load(4), _load(16)


_Builder = Callable[[int], list[_Instruction]]


def _filter_system_calls(build: _Builder) -> None:
    """Install the filter of ``build`` on all threads; raise `OSError` where that cannot be."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES or struct.calcsize("P") != 8:
        raise OSError(_ENOSYS, f"no filter for {machine}")
    program = _program(machine, build)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    description = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    set_mode_filter, all_threads = 1, 1
    column, _ = _ARCHITECTURES[machine]
    if _syscall(_SECCOMP[column], set_mode_filter, all_threads, description) != 0:
        raise OSError(_EPERM, "a thread cannot be filtered")


def _program(machine: str, build: _Builder) -> list[_Instruction]:
    """The filter that ``build`` makes for a column of `_NUMBERS`, behind a check of the architecture."""
    column, architecture = _ARCHITECTURES[machine]
    program = [_LOAD_ARCHITECTURE, _equal(architecture, 1, 0), _return(_KILL), _LOAD_NUMBER]
    if machine == "x86_64":
        x32 = 0x40000000  # the same calls under other numbers
        program += [(0x35, 0, 1, x32), _return(_REFUSE | _ENOSYS)]
    return program + build(column)


_CONNECTING = ("connect", "sendto", "sendmsg", "sendmmsg")


def _connected_child_filter(column: int) -> list[_Instruction]:
    """As `_child_filter`, but IP sockets may be opened and connected; none can listen."""
    return _child_filter(column, network=True)


def _child_filter(column: int, *, network: bool = False) -> list[_Instruction]:
    """Refuse all of `_NUMBERS`, but for threads, and for signals and limits of the process itself."""
    own = [_equal(os.getpid(), 0, 1), _return(_ALLOW), _return(_REFUSE | _EPERM)]
    special: dict[str, list[_Instruction]] = {
        "clone": [
            (0x54, 0, 0, _CLONE_A_THREAD),
            _equal(_CLONE_A_THREAD, 0, 1),
            _return(_ALLOW),
            _return(_REFUSE | _EPERM),
        ],
        **dict.fromkeys(("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"), own),
        "prlimit64": [_equal(0, 0, 1), _return(_ALLOW), *own],
    }
    if network:
        ip = [_equal(_AF_INET, 1, 0), _equal(_AF_INET6, 0, 1), _return(_ALLOW), _return(_REFUSE | _EPERM)]
        special["socket"] = ip
        special |= {name: [_return(_ALLOW)] for name in _CONNECTING}
    program: list[_Instruction] = []
    for name, judge in special.items():
        block = [_LOAD_FIRST_ARGUMENT, *judge]
        program += [_equal(_NUMBERS[name][column], 0, len(block)), *block]
    # Its flags lie in memory, where no filter can look; without it the C library uses clone.
    program += [_equal(_NUMBERS["clone3"][column], 0, 1), _return(_REFUSE | _ENOSYS)]
    refused = [numbers[column] for numbers in _NUMBERS.values() if numbers[column] >= 0]
    for position, number in enumerate(refused):
        program.append(_equal(number, len(refused) - position, 0))
    return [*program, _return(_ALLOW), _return(_REFUSE | _EPERM)]


def _offline_filter(column: int) -> list[_Instruction]:
    """Refuse every socket but AF_UNIX and AF_NETLINK, and io_uring, which opens sockets too."""
    judge = [
        _LOAD_FIRST_ARGUMENT,
        _equal(_AF_UNIX, 1, 0),
        _equal(_AF_NETLINK, 0, 1),
        _return(_ALLOW),
        _return(_REFUSE | _EPERM),
    ]
    return [
        _equal(_NUMBERS["socket"][column], 0, len(judge)),
        *judge,
        _equal(_NUMBERS["io_uring_setup"][column], 0, 1),
        _return(_REFUSE | _EPERM),
        _return(_ALLOW),
    ]


def _no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc().prctl(option, ctypes.c_ulong(value), zero, zero, zero) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    result = _libc().syscall(
        ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)

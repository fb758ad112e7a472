"""Starts every child process, the one way, and is the first thing that runs inside it.

A child gets three pipes, a scrubbed environment, a folder nobody else writes to, no other
descriptor, its own session (Ctrl-C in the terminal is the app's business) and a `Confinement` that
it applies to itself before it does anything else. Applying it in the child, after ``exec``, leaves
nothing to run between ``fork`` and ``exec``, where a threaded app may not run Python.

A child ends with its parent: when the app dies, however it dies, the child's input ends, and the
role's reader thread ends the process. Linux's PDEATHSIG is not used: it follows the *thread* that
started the child, and the app starts children from pool threads that come and go.

The puller, the one child that may connect, has another parent on Linux. There the app closes its own
network with seccomp, and every process it starts inherits that. So before it does, it forks a *spawner*
(`start_spawner`): a copy of the program that has loaded nothing yet, knows nothing, and does nothing
but start pullers. A request brings the child's ends of the pipes over a local socket pair, and the
spawner adds nothing to what the app may do: it starts no other role, always confines it, and besides tells
only which sockets it holds itself.
"""

import contextlib
import dataclasses
import json
import os
import select
import signal
import site
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, NoReturn, Protocol

from localai_app import sandbox
from localai_app.sandbox import Confinement

if TYPE_CHECKING:
    from socket import socket

Role = Literal["engine", "template", "header", "reader"]
PULLER = "puller"
_REPORT = b"sockets"
"""Asks the spawner which sockets it holds."""

CHILD_FLAG = "--child"

_INHERITED_ENVIRONMENT = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT")
_REPORT_SECONDS = 2.0
_STDERR_LINES = 50
_STDERR_LINE = 2000


# ---------------------------------------------------------------- in the app


def start_child(
    role: Role, confinement: Confinement, environment: Mapping[str, str] | None = None
) -> "Child":
    """Start a child in ``role``; ``environment`` is added to the scrubbed one."""
    return Child([*_interpreter(), CHILD_FLAG, role, encode_confinement(confinement)], environment)


def start_puller(confinement: Confinement) -> "Child":
    """Start the child that may connect, through the spawner where there is one."""
    confinement = dataclasses.replace(confinement, network=True)
    if _spawner is None:
        return Child(_puller_command(confinement))
    return Child((), process=_Spawned(_spawner, confinement))


class _Process(Protocol):
    """What `Child` uses of a `subprocess.Popen`."""

    pid: int
    stdin: IO[bytes] | None
    stdout: IO[bytes] | None
    stderr: IO[bytes] | None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one; raise `subprocess.TimeoutExpired`."""

    def kill(self) -> None:
        """End it at once."""


class Child:
    """A running child: binary pipes `stdin` (flush it) and `stdout`; its stderr is kept in memory only."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        process: _Process | None = None,
    ) -> None:
        """Start ``command``, or take over ``process``."""
        self._process = process or _start(command, environment)
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self.stdin: IO[bytes] = self._process.stdin
        self.stdout: IO[bytes] = self._process.stdout
        self._stopped_by_us = False
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._drain = threading.Thread(
            target=self._keep_stderr, args=(self._process.stderr,), name="child stderr", daemon=True
        )
        self._drain.start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the process has ended; False when ``timeout`` seconds pass first."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End the process at once, from any thread; `stop` tidies up afterwards."""
        self._stopped_by_us = self._stopped_by_us or self.running
        self._process.kill()

    def stop(self, timeout: float = 2.0) -> None:
        """End the input, which ends the child; kill it after ``timeout`` seconds. Close the pipes.

        No other thread may be writing to `stdin`, unless `kill` came first.
        """
        self._stopped_by_us = self._stopped_by_us or self.running
        # A timer, because closing may have to write what is still buffered for a child that reads nothing.
        timer = threading.Timer(timeout, self._process.kill)
        timer.start()
        _close(self.stdin)
        self._process.wait()
        timer.cancel()
        self._drain.join()
        _close(self.stdout)

    def stderr_lines(self) -> list[str]:
        """The last lines of stderr. They may hold content: for the person, never for a log."""
        return list(self._stderr)

    def how_it_ended(self) -> str:
        """How the process ended, in words: ``aborted (SIGABRT): GGML_ASSERT(...) failed``."""
        code = self._process.poll()
        if code is None:
            return "still running"
        self._drain.join(1.0)
        return describe_end(code, self.stderr_lines(), killed_by_us=self._stopped_by_us)

    def _keep_stderr(self, stream: IO[bytes]) -> None:
        with stream:
            while line := stream.readline(_STDERR_LINE):
                self._stderr.append(line.decode("utf-8", "replace").rstrip())


def describe_end(code: int, stderr: Sequence[str] = (), *, killed_by_us: bool = False) -> str:
    """Exit ``code`` of a child (negative: a signal) in words, with the line of ``stderr`` that tells why."""
    if code == 0:
        return "ended normally"
    if code > 0:
        text = f"ended with exit code {code}" if code < 0x80000000 else f"crashed (0x{code:08X})"
    else:
        text = _signal_words(-code, killed_by_us=killed_by_us)
    signs = ("ggml_assert", "error", "bad_alloc")
    # A packaged child adds a line that says no more than that it failed.
    telling = [
        line
        for line in stderr
        if any(sign in line.lower() for sign in signs) and not line.startswith("[PYI-")
    ]
    reason = telling[-1].strip() if telling else ""
    return f"{text}: {reason}" if reason and not killed_by_us else text


def _signal_words(number: int, *, killed_by_us: bool) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"killed by signal {number}"
    if killed_by_us and name == "SIGKILL":
        return "stopped by the app"
    words = {
        "SIGABRT": "aborted (SIGABRT)",
        "SIGSEGV": "crashed (SIGSEGV)",
        "SIGBUS": "crashed (SIGBUS); was a file cut short while it was in use?",
        "SIGILL": "crashed (SIGILL): this processor lacks an instruction",
        "SIGFPE": "crashed (SIGFPE)",
        "SIGKILL": "killed by signal 9 (SIGKILL); out of memory?",
        "SIGXCPU": "stopped: its processor time is used up (SIGXCPU)",
        "SIGALRM": "stopped: its time is used up (SIGALRM)",
        "SIGSYS": "stopped for a forbidden system call (SIGSYS)",
    }
    return words.get(name, f"killed by signal {number} ({name})")


def _start(command: Sequence[str], environment: Mapping[str, str] | None) -> _Process:
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    with sandbox.starting_child():
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**_clean_environment(), **(environment or {})},
            cwd=_working_folder(),
            close_fds=True,
            start_new_session=True,
            creationflags=flags,
        )


def _puller_command(confinement: Confinement) -> list[str]:
    return [*_interpreter(), CHILD_FLAG, PULLER, encode_confinement(confinement)]


def _interpreter() -> list[str]:
    if getattr(sys, "frozen", False):
        # Windows: the program without a console shows a dialogue where it fails, and waits for a person.
        return [str(Path(sys.executable).with_suffix(".com")) if sys.platform == "win32" else sys.executable]
    # -I: no PYTHON* variables, no current folder, no user site. An app that was installed into the
    # user site (pip's choice where it may not write to Python's own) needs that one.
    isolation = ["-I"]
    if site.ENABLE_USER_SITE and Path(__file__).is_relative_to(site.getusersitepackages()):
        isolation = ["-E", "-P"]
    return [sys.executable, *isolation, "-B", "-X", "utf8", "-m", "localai_app"]


def _clean_environment() -> dict[str, str]:
    """What a child needs. Not inherited: HOME and PATH, which it has no use for, and every variable
    that names a library or folder to load from (LD_PRELOAD, LLAMA_CPP_LIB_PATH, CUDA_PATH ...)."""
    kept = {name: os.environ[name] for name in _INHERITED_ENVIRONMENT if name in os.environ}
    if sys.platform == "win32":
        kept["PATH"] = str(Path(os.environ["SYSTEMROOT"]) / "System32")  # llama_cpp does not go without one
    return {
        **kept,
        "HOME": _working_folder(),  # without one, Python asks the user database, which may be remote
        "OPENBLAS_NUM_THREADS": "1",  # numpy's own threads would start before confinement is tightened
        "GGML_NO_BACKTRACE": "1",  # an abort would start a debugger
    }


def _working_folder() -> str:
    """A folder that no other user can put a library into: the current folder is searched for some."""
    return str(Path(sys.executable).parent) if sys.platform == "win32" else "/"


def _close(pipe: IO[bytes]) -> None:
    # What was buffered for a child that is gone cannot be written; the descriptor is closed all the same.
    with contextlib.suppress(OSError):
        pipe.close()


# ---------------------------------------------------------------- the spawner

_spawner: "socket | None" = None
"""This process's end of the pair; None where pullers are started directly."""
_spawner_pid = 0


def spawner_pid() -> int:
    """Process id of the spawner; 0 where there is none."""
    return _spawner_pid


def spawner_sockets() -> list[str] | None:
    """What `sockets_of` says of the spawner, told by itself: it hides from everybody else. None without an
    answer.

    Were it to show itself, whoever took over the app could write into it, and connect through it.
    """
    if _spawner is None:
        return None
    from socket import send_fds  # noqa: PLC0415 - used nowhere else

    read, write = os.pipe()
    with os.fdopen(read, "rb") as answer:
        with contextlib.suppress(OSError):
            send_fds(_spawner, [_REPORT], [write])
        os.close(write)
        if not select.select([answer], [], [], _REPORT_SECONDS)[0]:
            return None
        said = answer.read(65536)
    return [str(name) for name in json.loads(said)] if said else None


def sockets_of(process: int | Literal["self"]) -> list[str]:
    """The kernel's name for the protocol of each socket that a process holds, bound or not: ``TCP``,
    ``UDPv6``, ``UNIX``; Linux only. Raise `PermissionError` for one that hides."""
    assert sys.platform == "linux"
    names = []
    for path in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            if path.readlink().parts[0].startswith("socket:"):
                names.append(_protocol(path))
    return names


def _protocol(path: Path) -> str:
    assert sys.platform == "linux"
    try:
        return os.getxattr(path, "system.sockprotoname").rstrip(b"\0").decode("ascii", "replace")
    except FileNotFoundError:
        raise
    except OSError:
        return "unknown"


def start_spawner() -> None:
    """Fork the process that can start a puller once this one has closed its network; Linux only.

    Call it first of all, before `sandbox.refuse_network`: with one thread, and no secret in memory.
    It ends with this process, and holds none of its files.
    """
    global _spawner, _spawner_pid  # one per process, as is the refused network
    if sys.platform != "linux" or _spawner is not None:
        return
    from socket import AF_UNIX, SOCK_SEQPACKET, socketpair  # noqa: PLC0415 - used nowhere else

    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _spawn_for(theirs)
    theirs.close()
    _spawner, _spawner_pid = ours, pid


def _spawn_for(requests: "socket") -> NoReturn:
    """In the spawner: start a puller for every request until the app is gone."""
    from socket import recv_fds  # noqa: PLC0415 - used nowhere else

    try:
        os.setsid()  # Ctrl-C in the terminal is the app's business
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):  # whoever reads the app's output must see it end
            os.dup2(nothing, descriptor)
        sandbox.refuse_dumps()
        while True:
            message, descriptors, _, _ = recv_fds(requests, 65536, 4)
            if not message:
                break
            if message == _REPORT and len(descriptors) == 1:
                with contextlib.suppress(OSError):
                    os.write(descriptors[0], json.dumps(sockets_of("self")).encode())
            elif len(descriptors) == 4 and os.fork() == 0:
                requests.close()
                _mind(decode_confinement(message.decode()), *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
    finally:
        os._exit(0)


def _mind(confinement: Confinement, stdin: int, stdout: int, stderr: int, status: int) -> NoReturn:
    """In a fork of the spawner: start one puller and tell ``status`` its id, and later how it ended."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        command = _puller_command(dataclasses.replace(confinement, network=True))
        process = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=_clean_environment(),
            cwd=_working_folder(),
            close_fds=True,
            start_new_session=True,
        )
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        os.write(status, b"%d\n" % process.pid)
        os.write(status, b"%d\n" % process.wait())
    finally:
        os._exit(0)


class _Spawned:
    """A process that the spawner started, in the shape of a `subprocess.Popen`."""

    def __init__(self, spawner: "socket", confinement: Confinement) -> None:
        from socket import send_fds  # noqa: PLC0415 - used nowhere else

        theirs, ours = [], []
        for inwards in (True, False, False, False):
            read, write = os.pipe()
            theirs.append(read if inwards else write)
            ours.append(write if inwards else read)
        self.stdin: IO[bytes] | None = os.fdopen(ours[0], "wb")
        self.stdout: IO[bytes] | None = os.fdopen(ours[1], "rb")
        self.stderr: IO[bytes] | None = os.fdopen(ours[2], "rb")
        self._status = os.fdopen(ours[3], "rb", buffering=0)
        # A spawner that was killed takes no request; then all pipes end at once, as if it had failed.
        with contextlib.suppress(OSError):
            send_fds(spawner, [encode_confinement(confinement).encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self._lock = threading.Lock()
        self._code: int | None = None
        line = self._status.readline()
        self.pid = int(line) if line else 0  # 0: it could not be started, and counts as ended

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        with self._lock:
            if self._code is None and select.select([self._status], [], [], 0)[0]:
                # Nothing more to read: the spawner was killed, and with it who knew the code.
                self._code = int(self._status.readline() or -signal.SIGKILL)
                self._status.close()
            return self._code

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one; raise `subprocess.TimeoutExpired`."""
        if self.poll() is None:
            with contextlib.suppress(ValueError, OSError):  # another thread was told, and closed it
                select.select([self._status], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(PULLER, timeout or 0)
        return code

    def kill(self) -> None:
        """End it at once."""
        if self.pid and self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


# ---------------------------------------------------------------- in the child


@dataclass(frozen=True)
class ChildIO:
    """A child's private ends of its pipes; what libraries print goes to stderr, never in between."""

    input_fd: int
    output_fd: int
    confinement: str
    """What the operating system enforces, in words."""

    def log(self, line: str) -> None:
        """Write ``line`` to stderr, where the app keeps the last ones; no content."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def run_child(confinement_json: str, main: Callable[[ChildIO], int]) -> int:
    """Confine this process, then run ``main``; the exit code.

    ``main`` imports what it needs itself, so that nothing but this module and the standard library
    runs unconfined. It must end the process (``os._exit``) when its input ends.
    """
    report = sandbox.confine(decode_confinement(confinement_json))
    input_fd, output_fd = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return main(ChildIO(input_fd, output_fd, report))


def encode_confinement(confinement: Confinement) -> str:
    """``confinement`` as one command-line argument."""
    return json.dumps(dataclasses.asdict(confinement))


def decode_confinement(text: str) -> Confinement:
    """The inverse of `encode_confinement`."""
    values = json.loads(text)
    return Confinement(**{**values, "read": tuple(values["read"]), "write": tuple(values["write"])})

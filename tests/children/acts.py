"""Runs acts that a confined process must not manage, and prints what became of each as JSON.

``python -I acts.py SETTING``: SETTING is JSON with ``mode`` (``free``, ``confine`` or ``offline``),
``confinement`` (fields of `Confinement`), ``without`` (the function of `sandbox` that fails, or ""),
``tighten`` (files, or null), ``where`` (what the acts aim at) and ``acts`` (names). An act ends as
``done`` or as the name of its errno.
"""

import ctypes
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

from localai_app import sandbox
from localai_app.processes import Confinement, start_child

NOBODY = 2**22 - 1  # a process id that is hardly ever taken
X86 = os.uname().machine == "x86_64"


def system_call(x86_64, aarch64, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(x86_64 if X86 else aarch64), *map(ctypes.c_long, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "system call")
    return result


class Acts:
    def __init__(self, where):
        self.where = where

    def _connect(self, family, kind, address):
        with socket.socket(family, kind) as connection:
            connection.settimeout(5)
            connection.connect(address)

    # sockets
    def tcp(self):
        self._connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", self.where["tcp_port"]))

    def udp(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.sendto(b"x", ("127.0.0.1", self.where["tcp_port"]))

    def unix(self):
        self._connect(socket.AF_UNIX, socket.SOCK_STREAM, self.where["unix_socket"])

    def abstract_unix(self):
        self._connect(socket.AF_UNIX, socket.SOCK_STREAM, self.where["abstract_socket"])

    def netlink(self):
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()

    def socketpair(self):
        for end in socket.socketpair():
            end.close()

    def native_inet_socket(self):
        os.close(system_call(41, 198, socket.AF_INET, socket.SOCK_STREAM, 0))

    def native_inet6_socket(self):
        os.close(system_call(41, 198, socket.AF_INET6, socket.SOCK_DGRAM, 0))

    def native_unix_socket(self):
        os.close(system_call(41, 198, socket.AF_UNIX, socket.SOCK_STREAM, 0))

    def look_up_name(self):
        socket.getaddrinfo("127.0.0.1", 80)

    # files
    def read_passwd(self):
        Path("/etc/passwd").read_bytes()

    def read_project(self):
        Path(__file__).read_bytes()

    def read_named(self):
        Path(self.where["named"]).read_bytes()

    def read_other(self):
        Path(self.where["other"]).read_bytes()

    def list_folder(self):
        list(Path(self.where["folder"]).iterdir())

    def read_parent_memory_map(self):
        Path(f"/proc/{os.getppid()}/maps").read_bytes()

    def read_library(self):
        Path(os.__file__).read_bytes()

    def read_own_status(self):
        Path("/proc/self/status").read_bytes()

    def write_tmp(self):
        Path(self.where["folder"], "new").write_text("x")

    def overwrite(self):
        with Path(self.where["other"]).open("r+b"):
            pass

    def truncate(self):
        os.truncate(self.where["other"], 1)

    def rename(self):
        Path(self.where["folder"], "a").rename(Path(self.where["folder"], "b"))

    def remove(self):
        Path(self.where["folder"], "c").unlink()

    def make_folder(self):
        Path(self.where["folder"], "d").mkdir()

    def chmod(self):
        Path(self.where["other"]).chmod(0o600)

    def change_times(self):
        os.utime(self.where["other"])

    def set_attribute(self):
        os.setxattr(self.where["other"], "user.note", b"x")

    def write_in_write_folder(self):
        folder = Path(self.where["write_folder"])
        (folder / "one").write_text("x")
        (folder / "one").rename(folder / "two")
        (folder / "two").unlink()

    # processes
    def fork(self):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

    def spawn(self):
        os.waitpid(os.posix_spawn(shutil.which("true"), ["true"], {}), 0)

    def run_program(self):
        subprocess.run([shutil.which("true")], check=True)

    def execve(self):
        os.execv("/nowhere", ["nowhere"])

    def signal_parent(self):
        os.kill(os.getppid(), 0)

    def signal_self(self):
        os.kill(os.getpid(), 0)

    def limit_parent(self):
        import resource

        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)

    def clone3(self):
        system_call(435, 435, 0, 0)

    def ptrace(self):
        attach = 16
        system_call(101, 117, attach, NOBODY, 0, 0)

    def read_other_memory(self):
        byte = ctypes.create_string_buffer(1)
        span = (ctypes.c_size_t * 2)(ctypes.addressof(byte), 1)
        system_call(310, 270, NOBODY, ctypes.addressof(span), 1, ctypes.addressof(span), 1, 0)

    # the kernel's depths
    def io_uring(self):
        parameters = ctypes.create_string_buffer(256)
        os.close(system_call(425, 425, 1, ctypes.addressof(parameters)))

    def keyring(self):
        system_call(250, 219, 0, -3, 0)

    def unshare(self):
        system_call(272, 97, 0)

    def set_namespace(self):
        system_call(308, 268, -1, 0)

    def shared_memory(self):
        private, create = 0, 0o1600
        segment = system_call(29, 194, private, 4096, create)
        system_call(31, 195, segment, 0, 0)

    def watch_files(self):
        os.close(system_call(294, 26, 0))

    # what a child needs
    def thread(self):
        ran = threading.Event()
        thread = threading.Thread(target=ran.set)
        thread.start()
        thread.join()
        assert ran.is_set()

    def import_late(self):
        import psutil

        assert psutil.Process().memory_info().rss > 0

    def load_library(self):
        ctypes.CDLL("libm.so.6").cos(0)

    def random(self):
        with Path("/dev/urandom").open("rb") as source:
            assert source.read(1)
        Path("/dev/null").write_text("x")

    def own_child(self):
        child = start_child("template", Confinement())
        assert child.stdout.readline()
        child.stop()


def not_supported(*_arguments, **_named):
    raise OSError(errno.EOPNOTSUPP, "Not supported")


def attempt(act):
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno] if error.errno else type(error).__name__
    return "done"


def main():
    setting = json.loads(sys.argv[1])
    acts = Acts(setting["where"])
    early = threading.Event()
    in_earlier_thread = {}

    def wait_and_try():
        early.wait()
        in_earlier_thread["socket"] = attempt(acts.native_inet_socket)

    earlier_thread = threading.Thread(target=wait_and_try)
    reports = []
    if setting["mode"] == "confine":
        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in setting["confinement"].items()}
        if setting["without"]:
            setattr(sandbox, setting["without"], not_supported)
        reports.append(sandbox.confine(Confinement(**fields)))
        if setting["tighten"] is not None:
            import psutil  # noqa: F401 - nothing can be imported afterwards

            reports.append(sandbox.tighten(setting["tighten"]))
    else:
        earlier_thread.start()
        if setting["mode"] == "offline":
            reports.append(sandbox.refuse_network())
        early.set()
        earlier_thread.join()
    outcomes = {name: attempt(getattr(acts, name)) for name in setting["acts"]}
    print(json.dumps({"reports": reports, "acts": outcomes, "earlier_thread": in_earlier_thread}))


if __name__ == "__main__":
    main()

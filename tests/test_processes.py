import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app import processes
from localai_app.processes import Child, describe_end, encode_confinement
from localai_app.sandbox import Confinement

if sys.platform == "win32":
    pytest.skip("the test children are POSIX programs", allow_module_level=True)

import resource

CHILDREN = Path(__file__).parent / "children"


UNLIMITED = Confinement()


def command(role, confinement=UNLIMITED):
    encoded = confinement if isinstance(confinement, str) else encode_confinement(confinement)
    return [sys.executable, "-I", str(CHILDREN / "roles.py"), role, encoded]


@pytest.fixture
def start():
    """Starts children by role; stops them afterwards."""
    with contextlib.ExitStack() as stack:

        def start(role, confinement=UNLIMITED, environment=None):
            child = Child(command(role, confinement), environment)
            stack.callback(child.stop, timeout=0.0)
            return child

        yield start


def ask(child, line):
    child.stdin.write(line)
    child.stdin.flush()
    return child.stdout.readline()


def tell(child):
    return json.loads(child.stdout.readline())


# ---------------------------------------------------------------- what a child finds itself in


def test_what_libraries_print_does_not_reach_the_protocol(start):
    child = start("echo")
    assert ask(child, b"one\n") == b"one\n"
    assert ask(child, b"two\n") == b"two\n"
    child.stop()
    assert {"noise from Python", "noise from C", "noise"} <= set(child.stderr_lines())


def test_environment_is_scrubbed(start, monkeypatch):
    hostile = {
        **dict.fromkeys(("LLAMA_CPP_LIB_PATH", "GGML_BACKEND_PATH", "CUDA_PATH", "LD_PRELOAD_X"), "/evil"),
        **dict.fromkeys(("PYTHONPATH", "PYTHONSTARTUP", "HOME", "PATH", "HTTPS_PROXY"), "/evil"),
        "LOCALAI_APP_PASSPHRASE_FILE": "/secret",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TZ", "Europe/Vienna")
    found = tell(start("tell", environment={"OMP_WAIT_POLICY": "passive"}))
    allowed = {"LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME"}
    allowed |= {"OPENBLAS_NUM_THREADS", "GGML_NO_BACKTRACE", "OMP_WAIT_POLICY"}
    assert found["environment"].keys() <= allowed
    assert not {"/evil", "/secret"} & set(found["environment"].values())
    assert found["environment"]["TZ"] == "Europe/Vienna"
    assert found["environment"]["OMP_WAIT_POLICY"] == "passive"
    assert found["environment"]["GGML_NO_BACKTRACE"] == "1"
    assert "/evil" not in found["path"]


def test_child_starts_in_a_fixed_folder_and_imports_nothing_from_the_current_one(
    start, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    found = tell(start("tell"))
    assert found["folder"] == "/"
    assert not {"", str(tmp_path)} & set(found["path"])


def test_child_holds_no_descriptor_but_its_own(start, tmp_path):
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        found = tell(start("tell"))
    assert found["stdin_is_empty"]
    assert not {name for name in found["open_files"] if name.startswith(str(tmp_path))}
    # What pins rules for /proc (see sandbox.py), the public three, and the private pair.
    others = [name for name in found["open_files"] if not name.startswith("/proc/")]
    assert len(others) == 5, others


def test_child_has_its_own_session(start):
    found = tell(start("tell"))
    assert found["session"] == found["pid"] != os.getsid(0)


def test_child_reports_its_confinement(start):
    found = tell(start("tell"))
    assert found["core"] == [0, 0]
    assert found["confinement"]
    assert ("Landlock" in found["confinement"]) == (sys.platform == "linux")


def test_real_roles_are_started_isolated(monkeypatch):
    commands = []
    monkeypatch.setattr(processes, "Child", lambda command, environment: commands.append(command))
    processes.start_child("engine", Confinement(read=("/models/a b.gguf",)))
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    processes.start_child("template", Confinement())
    assert commands[0][:8] == [sys.executable, "-I", "-B", "-X", "utf8", "-m", "localai_app", "--child"]
    assert commands[1][:2] == [sys.executable, "--child"]
    assert processes.decode_confinement(commands[0][-1]) == Confinement(read=("/models/a b.gguf",))


def test_on_windows_children_are_the_program_that_shows_no_dialogue(monkeypatch):
    commands = []
    monkeypatch.setattr(processes, "Child", lambda command, environment: commands.append(command))
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", "/programs/LocalAI App/localai-app.exe")
    processes.start_child("template", Confinement())
    assert commands[0][:2] == ["/programs/LocalAI App/localai-app.com", "--child"]


def test_app_in_the_user_site_starts_children_that_see_it(monkeypatch):
    monkeypatch.setattr(processes.site, "ENABLE_USER_SITE", True)
    folder = str(Path(processes.__file__).parents[1])
    monkeypatch.setattr(processes.site, "getusersitepackages", lambda: folder)
    assert processes._interpreter()[1:3] == ["-E", "-P"]


paths = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))).map(tuple)


@given(st.builds(Confinement, read=paths, write=paths, memory=st.integers(0), gpu=st.booleans()))
def test_confinement_survives_the_command_line(confinement):
    assert processes.decode_confinement(encode_confinement(confinement)) == confinement


# ---------------------------------------------------------------- how a child ends


def test_child_ends_when_its_input_ends(start):
    child = start("echo")
    child.stop()
    assert not child.running
    assert child.how_it_ended() == "ended normally"


def test_deaf_child_is_killed(start):
    child = start("deaf")
    assert child.stdout.readline() == b"here\n"
    child.stop(timeout=0.05)
    assert child.how_it_ended() == "stopped by the app"


def test_stop_does_not_hang_on_input_that_nobody_reads(start):
    child = start("deaf")
    os.set_blocking(child.stdin.fileno(), False)
    with contextlib.suppress(BlockingIOError):
        while True:
            child.stdin.write(b"x" * 4096)
    os.set_blocking(child.stdin.fileno(), True)
    child.stop(timeout=0.1)  # has to write what is still buffered
    assert child.how_it_ended() == "stopped by the app"


def test_abort_names_the_failed_assertion(start):
    child = start("abort")
    assert ask(child, b"x\n") == b"2000\n"
    assert ask(child, b"go\n") == b""
    assert child.wait(10)
    assert child.how_it_ended() == "aborted (SIGABRT): GGML_ASSERT(n_tokens > 0) failed"


def test_failing_child_names_the_error(start):
    child = start("fail")
    assert child.wait(10)
    assert child.how_it_ended() == "ended with exit code 1: RuntimeError: error in role"


def test_foreign_kill_is_told_from_our_own(start):
    child = start("deaf")
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(10)
    child.stop()
    assert child.how_it_ended() == "killed by signal 9 (SIGKILL); out of memory?"


def test_memory_limit_ends_in_a_memory_error(start):
    child = start("memory", Confinement(memory=2**30))
    assert child.wait(10)
    assert child.how_it_ended() == "ended with exit code 1: MemoryError"


def test_processor_time_limit_ends_the_child(start):
    child = start("processor", Confinement(cpu_seconds=1))
    assert child.wait(20)
    assert child.how_it_ended() == "stopped: its processor time is used up (SIGXCPU)"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGSEGV, "crashed (SIGSEGV)"),
        (-signal.SIGILL, "crashed (SIGILL): this processor lacks an instruction"),
        (-signal.SIGTERM, f"killed by signal {int(signal.SIGTERM)} (SIGTERM)"),
        (-250, "killed by signal 250"),
        (3, "ended with exit code 3"),
        (0xC0000005, "crashed (0xC0000005)"),
    ],
)
def test_ends_are_told_in_words(code, words):
    assert describe_end(code) == words


def test_the_reason_is_what_the_child_says_and_not_what_its_packaging_adds():
    lines = ["ValueError: the file is cut short", "[PYI-328:ERROR] Failed to execute script"]
    assert describe_end(1, lines) == "ended with exit code 1: ValueError: the file is cut short"


def test_only_the_last_lines_of_stderr_are_kept(start):
    child = start("echo")
    for _ in range(60):
        ask(child, b"x\n")
    child.stop()
    assert len(child.stderr_lines()) == 50


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux only")
def test_busy_child_ends_when_the_app_is_killed():
    script = [sys.executable, "-I", str(CHILDREN / "app.py"), *command("busy")]
    with subprocess.Popen(script, stdout=subprocess.PIPE) as app:
        try:
            child = os.pidfd_open(int(app.stdout.readline()))
            assert not select.select([child], [], [], 0)[0]
        finally:
            app.kill()
        try:
            assert select.select([child], [], [], 10)[0], "the child outlived the app"
        finally:
            os.close(child)


# ---------------------------------------------------------------- nothing is left on disk


@pytest.fixture
def cores_allowed():
    """Core files are asked for, as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.usefixtures("cores_allowed")
def test_aborting_child_leaves_no_copy_of_what_it_held(start, tmp_path, monkeypatch):
    folder, data = tmp_path / "working", tmp_path / "data"
    folder.mkdir()
    data.mkdir()
    monkeypatch.setattr(processes, "_working_folder", lambda: str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def abort_with(secret, confinement):
        child = start("abort", confinement)
        assert ask(child, secret + b"\n") == b"%d\n" % (1000 * (len(secret) + 1))
        ask(child, b"go\n")
        assert child.wait(20)
        assert child.how_it_ended().startswith("aborted (SIGABRT)")
        files = [path for path in [*tmp_path.rglob("*"), *Path("/").glob("core*")] if path.is_file()]
        return [path for path in files if secret in path.read_bytes()]

    free, confined = os.urandom(16).hex().encode(), os.urandom(16).hex().encode()
    left_when_free = abort_with(free, "free")
    for path in left_when_free:
        path.unlink()
    if not left_when_free:
        pytest.skip("this machine writes no core files where the test could see them")
    assert abort_with(confined, Confinement(write=(str(data),))) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits address space")
def test_memory_beyond_what_a_child_has_is_limited(start):
    assert start("narrow").stdout.readline() == b"16777216 kept, no more\n"

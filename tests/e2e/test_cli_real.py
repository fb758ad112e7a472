"""The installed command, as a process of its own, with the real worker and the real starter model."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from localai_app.paths import Paths

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and pseudo-terminals are POSIX"),
]

COMMAND = [str(Path(sys.executable).with_name("localai-app"))]
LONG = "Write a very long story about a lighthouse, with every detail you can think of."


@pytest.fixture(autouse=True)
def models(starter_model: Path, own_folders: Path) -> None:
    folder = Paths.for_user().models[0]
    folder.mkdir(parents=True)
    (folder / starter_model.name).symlink_to(starter_model)


def run(*argv: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *argv],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


def test_the_command_is_installed() -> None:
    assert os.access(COMMAND[0], os.X_OK)


def test_a_prompt_gets_one_json_object() -> None:
    done = run(
        "chat", "--prompt", "Why do hospitals keep patient data on site?", "--json", "--max-tokens", "60"
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert "data" in report["answer"].lower()
    assert report["device"] == "CPU"
    assert report["prompt_tokens"] > 10
    assert 2 <= report["output_tokens"] <= 60
    assert 0 < report["time_to_first_token_seconds"] < 60
    assert report["tokens_per_second"] > 1
    assert report["stop_reason"] in ("end", "max_tokens")
    assert report["model_sha256"] == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_the_same_seed_gives_the_same_answer_in_another_process() -> None:
    ask = (
        "chat",
        "--prompt",
        "Tell me about rain.",
        "--seed",
        "11",
        "--max-tokens",
        "30",
        "--temperature",
        "1",
    )
    first, second = run(*ask).stdout, run(*ask).stdout
    assert first == second
    assert len(first) > 20


def test_lines_from_a_pipe_are_answered_and_remembered() -> None:
    done = run(
        "chat",
        "--temperature",
        "0",
        "--max-tokens",
        "30",
        stdin="My name is Ada Lovelace.\nWhat is my name?\n",
    )
    assert done.returncode == 0
    assert "Ada" in done.stdout
    second = json.loads(run("chat", "show", "1", "--json").stdout)["messages"][3]
    assert second["stats"]["reused_tokens"] > 20


def test_output_is_utf8_in_a_c_locale() -> None:
    run("chat", "--prompt", "Grüße", "--max-tokens", "1")
    done = run("chat", "list", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "Grüße" in done.stdout


def test_a_reader_that_leaves_ends_it_without_a_word() -> None:
    process = subprocess.Popen(
        [*COMMAND, "chat", "--prompt", LONG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdout
    assert process.stderr
    assert process.stdout.read(1)
    process.stdout.close()
    assert process.wait(30) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_stops_the_answer_and_keeps_its_text(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen(
        [*COMMAND, "chat", "--prompt", LONG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdout
    said = process.stdout.read(20)
    process.send_signal(number)
    started = time.monotonic()
    rest, errors = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert process.returncode == code
    assert b"Traceback" not in errors
    answer = json.loads(run("chat", "show", "1", "--json").stdout)["messages"][1]
    assert answer["status"] == "stopped"
    assert (said + rest).decode().strip() == answer["text"].strip()


class Screen:
    """A command in a pseudo-terminal, and what it showed so far."""

    def __init__(self, *argv: str) -> None:
        pid, self.fd = os.forkpty()
        if pid == 0:
            os.execv(COMMAND[0], [*COMMAND, *argv])
        self.pid = pid
        self.text = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, shown: Callable[[str], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: shown(self.text), 60), self.text

    def press(self, key: str, shown: Callable[[str], bool]) -> None:
        """Press ``key`` until it has its effect: one that comes while the line editor takes over the
        terminal is lost, and a person presses again."""
        end = time.monotonic() + 60
        while not shown(self.text):
            assert time.monotonic() < end, self.text
            self.type(key)
            time.sleep(0.5)

    def end(self) -> int:
        """Press Ctrl-D until the command is gone; its exit code."""
        end = time.monotonic() + 60
        gone, status = os.waitpid(self.pid, os.WNOHANG)
        while not gone:
            assert time.monotonic() < end, self.text
            with contextlib.suppress(OSError):  # it has just closed its side
                self.type("\x04")
            time.sleep(0.5)
            gone, status = os.waitpid(self.pid, os.WNOHANG)
        self._reader.join(10)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.fd, 4096)
            except OSError:  # Linux: the other end is closed
                return
            if not data:
                return
            with self._changed:
                self.text += data.decode("utf-8", "replace")
                self._changed.notify_all()


def test_in_a_terminal_ctrl_c_stops_an_answer_and_the_chat_goes_on(gemma_base: Path) -> None:
    # A base model goes on counting until it is stopped; the starter may end at any time.
    screen = Screen("chat", "--model", str(gemma_base), "--temperature", "0")
    screen.wait_for(lambda text: text.endswith("> "))
    assert "local, offline" in screen.text
    assert "weak" in screen.text
    screen.type("1, 2, 3, 4, 5, 6, 7, 8,\n")
    screen.wait_for(lambda text: "11, 12, 13, 14, 15" in text)
    screen.type("\x03")
    screen.wait_for(lambda text: "stopped" in text and text.endswith("> "))
    before = len(screen.text)
    screen.type("/continue\n")
    screen.wait_for(lambda text: len(text) > before + 400)
    screen.type("\x03")
    screen.wait_for(lambda text: text.count("stopped") == 2 and text.endswith("> "))
    screen.press("\x03", lambda text: "/quit leaves" in text)
    assert screen.end() == 0
    assert "Traceback" not in screen.text
    shown = json.loads(run("chat", "show", "1", "--json").stdout)
    assert [message["status"] for message in shown["messages"]] == ["complete", "stopped"]


def test_doctor_finds_everything_in_order() -> None:
    done = run("doctor", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"]) == (0, True)
    checks = {check["name"]: check for check in report["checks"]}
    assert checks["starter"]["level"] == "ok"
    assert checks["speed"]["facts"]["tokens_per_second"] > 1
    assert checks["speed"]["facts"]["prompt_tokens_per_second"] > 1
    assert "llama" in checks["engine"]["text"]
    assert checks["store"]["level"] == checks["audit log"]["level"] == "ok"
    if sys.platform.startswith("linux"):
        assert checks["confinement"]["level"] == "ok"


def test_help_answers_at_once() -> None:
    """It loads nothing heavy: what a machine makes of that in seconds is not for a test to say."""
    code = (
        "import sys; sys.argv = ['localai-app', '--help']\n"
        "from localai_app.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'PySide6', 'numpy', 'llama_cpp', 'sqlcipher3', 'cryptography', 'keyring', 'docx'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage: localai-app" in done.stdout
    assert done.stdout.endswith("heavy: []\n")


def test_the_fit_of_the_real_model_is_told_and_what_is_kept_is_what_it_answers_with() -> None:
    report = json.loads(
        run("models", "fit", "--context", "2048", "--kv-type", "q8_0", "--keep", "--json").stdout
    )
    assert (report["grade"], report["context_length"], report["layers"]) == ("fits", 2048, 30)
    assert report["weights"] > 90_000_000
    checks = json.loads(run("doctor", "--json").stdout)["checks"]
    facts = {check["name"]: check["facts"] for check in checks}
    assert facts["fit"]["context_length"] == 2048
    assert facts["devices"]["devices"][0]["memory_free"] > 0
    assert facts["speed"]["tokens_per_second"] > 1

"""The command line with an engine that only pretends."""

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app import __version__, cli
from localai_app.app import open_app
from localai_app.chat.service import ChatService, Turn
from localai_app.cli.terminal import Terminal, harmless
from localai_app.models.installed import InstalledModel
from localai_app.models.service import ModelService
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine
from tests.organisation import write_policy


class Stream(io.TextIOWrapper):
    """A stream that a test can fill and read, and that can play a terminal."""

    def __init__(self, text: str = "", *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(text.encode()), encoding="utf-8", newline="\n", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def content(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Shell:
    """Runs commands on one data folder."""

    engine: FakeEngine
    windows: list[list[Path]] = field(default_factory=list)

    def __call__(self, *argv: str, stdin: str = "", terminal: bool = False) -> Result:
        streams = Stream(stdin), Stream(terminal=terminal), Stream(terminal=terminal)

        def open_window(paths: Paths, files: list[Path]) -> int:
            self.windows.append(files)
            return 0

        code = cli.main(argv, open_window, engine=self.engine, terminal=Terminal(*streams))
        return Result(code, streams[1].content, streams[2].content)


@pytest.fixture
def shell(own_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    folder = Paths.for_user().models[0]
    folder.mkdir(parents=True)
    (folder / "pretend-1b-q4_0.gguf").write_bytes(b"GGUF")
    before = {name: signal.getsignal(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP")}
    yield Shell(FakeEngine())
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def test_version_and_help_are_told(capsys: pytest.CaptureFixture[str], shell: Shell) -> None:
    for flag, told in (("--version", f"localai-app {__version__}"), ("--help", "--data-dir")):
        with pytest.raises(SystemExit) as ended:
            shell(flag)
        assert ended.value.code == 0
        assert told in capsys.readouterr().out


# ---------------------------------------------------------------- one answer


def test_a_prompt_is_answered_on_stdout_alone(shell: Shell) -> None:
    assert shell("chat", "--prompt", "Well?") == Result(0, "Yes.\n", "")


def test_a_prompt_is_answered_as_one_json_object(shell: Shell) -> None:
    report = shell("chat", "--prompt", "Well?", "--json", "--seed", "7").json
    assert report["answer"] == "Yes."
    assert (report["status"], report["stop_reason"], report["error"]) == ("complete", "end", None)
    assert report["device"] == "CPU"
    assert len(report["model_sha256"]) == 64
    assert report["output_tokens"] == 2
    assert report["prompt_tokens"] > 0
    assert report["time_to_first_token_seconds"] == 0.01
    assert report["tokens_per_second"] == 100.0
    assert report["sampling"]["seed"] == 7
    assert {report["question_id"], report["answer_id"]} == {1, 2}


def test_a_prompt_can_come_from_stdin(shell: Shell) -> None:
    shell("chat", "--prompt", "-", stdin="from a pipe")
    assert "from a pipe" in shell.engine.asked[0].text


def test_settings_reach_the_engine(shell: Shell) -> None:
    shell("chat", "--prompt", "x", "--system", "Be brief.", "--temperature", "0", "--max-tokens", "9")
    asked = shell.engine.asked[0]
    assert (asked.sampling.temperature, asked.max_tokens) == (0, 9)
    assert "Be brief." in asked.text


def test_a_conversation_goes_on_with_what_was_set_before(shell: Shell) -> None:
    first = shell("chat", "--prompt", "My name is Ada.", "--json", "--temperature", "0.5").json
    number = str(first["conversation_id"])
    shell("chat", "--prompt", "Who am I?", "--conversation", number, "--seed", "3")
    asked = shell.engine.asked[1]
    assert "Ada" in asked.text
    assert (asked.sampling.temperature, asked.sampling.seed) == (0.5, 3)


def test_a_model_named_for_one_answer_is_not_kept(shell: Shell, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    shell("chat", "--prompt", "x", "--model", str(other))
    shell("chat", "--prompt", "x")
    assert [path.name for path in shell.engine.loads] == ["other.gguf", "pretend-1b-q4_0.gguf"]


def test_an_engine_that_dies_leaves_its_text_and_exit_code_1(shell: Shell) -> None:
    shell.engine.fail_after = 1
    result = shell("chat", "--prompt", "x", "--json")
    assert result.code == 1
    assert result.json["status"] == "failed"
    assert result.json["answer"] == "Yes"
    assert "It starts again." in result.json["error"]
    shell.engine.fail_after = 0
    plain = shell("chat", "--prompt", "x")
    assert (plain.code, plain.err.count("error: ")) == (1, 1)


def test_without_a_model_nothing_is_begun(shell: Shell) -> None:
    for file in Paths.for_user().models[0].iterdir():
        file.unlink()
    result = shell("chat", "--prompt", "x")
    assert (result.code, result.out) == (1, "")
    assert "no model" in result.err
    assert shell("chat", "list", "--json").json == []


def test_wrong_settings_leave_no_empty_conversation(shell: Shell) -> None:
    assert shell("chat", "--prompt", "x", "--temperature", "99").code == 2
    assert shell("chat", "list", "--json").json == []
    assert shell("chat", "list", "--trash", "--json").json == []


def test_ctrl_c_keeps_what_was_said(shell: Shell) -> None:
    shell.engine.gate = threading.Semaphore(1)  # lets one piece through
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    result = shell("chat", "--prompt", "x", "--json")
    assert result.code == 130
    assert (result.json["answer"], result.json["status"]) == ("Yes", "stopped")


def test_sigterm_saves_what_was_said_and_leaves(shell: Shell) -> None:
    shell.engine.gate = threading.Semaphore(1)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SystemExit) as ended:
        shell("chat", "--prompt", "x")
    assert ended.value.code == 143
    assert [message["text"] for message in shell("chat", "show", "1", "--json").json["messages"]] == [
        "x",
        "Yes",
    ]


def test_a_base_model_is_called_one(shell: Shell) -> None:
    told = "This is a base model"
    assert told not in shell("chat", "--prompt", "x").err
    assert shell("chat", "--prompt", "x", "--json").json["base_model"] is False
    shell.engine.chat_template, shell.engine.model = None, None
    assert shell("chat", "--prompt", "x").err.count(told) == 1
    assert shell("chat", stdin="x\ny\n").err.count(told) == 1
    result = shell("chat", "--prompt", "x", "--json")
    assert result.json["base_model"] is True
    assert told in result.err


def test_a_cut_off_answer_says_so_to_a_file_too(shell: Shell) -> None:
    shell.engine.reason = "max_tokens"
    assert "cut off" in shell("chat", "--prompt", "x").err


def test_what_did_not_fit_the_context_is_told(shell: Shell) -> None:
    shell.engine.context_length = 30
    ask = ("chat", "--conversation", "1", "--overflow", "drop_oldest", "--prompt", "word " * 8)
    shell("chat", "--prompt", "first " * 8)
    shell(*ask)
    assert "4 older messages did not fit and were left out." in shell(*ask).err
    assert shell(*ask, "--json").json["left_out"]
    assert "first" not in shell.engine.asked[-1].text


def test_ctrl_c_between_save_and_first_step_stops_the_answer(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = ChatService.send

    def send_and_interrupt(self: ChatService, conversation_id: int, text: str) -> Turn:
        turn = send(self, conversation_id, text)
        signal.raise_signal(signal.SIGINT)
        return turn

    monkeypatch.setattr(ChatService, "send", send_and_interrupt)
    result = shell("chat", "--prompt", "x", "--json")
    assert (result.code, result.json["status"]) == (130, "stopped")


# ---------------------------------------------------------------- the loop


def test_lines_of_a_pipe_are_answered_one_after_the_other(shell: Shell) -> None:
    result = shell("chat", stdin="one\ntwo\n")
    assert (result.code, result.out) == (0, "Yes.\nYes.\n")
    assert "one" in shell.engine.asked[1].text


def test_a_line_that_ends_in_a_backslash_goes_on(shell: Shell) -> None:
    shell("chat", stdin="first\\\nsecond\n")
    assert "first\nsecond" in shell.engine.asked[0].text


def test_commands_of_the_loop_do_what_help_says(shell: Shell) -> None:
    result = shell(
        "chat",
        stdin="/help\n/system Be kind.\n/system\nhello\n/regenerate\n/new\nagain\n/model\n/quit\nunsaid\n",
    )
    assert "/regenerate" in result.out
    assert "Be kind." in result.out
    assert "Pretend 1B Q4_0" in result.out
    texts = [asked.text for asked in shell.engine.asked]
    assert len(texts) == 3
    assert all("hello" in text and "Be kind." in text for text in texts[:2])
    assert "hello" not in texts[2]
    first = shell("chat", "show", "1", "--json").json["messages"]
    assert len(first[1]["sibling_ids"]) == 2


def test_a_cut_off_answer_is_continued(shell: Shell) -> None:
    shell.engine.reason = "max_tokens"
    assert shell("chat", stdin="go\n/continue\n").out == "Yes.\nYes.Yes.\n"
    assert len(shell("chat", "show", "1", "--json").json["messages"]) == 2


def test_a_mistake_in_the_loop_does_not_end_it(shell: Shell) -> None:
    result = shell("chat", stdin="/nonsense\n/regenerate\n/continue\n/model nope\n\nhello\n")
    assert result.err.count("error: ") == 4
    assert (result.code, result.out) == (0, "Yes.\n")


def test_the_loop_begins_no_conversation_before_something_is_said(shell: Shell) -> None:
    shell("chat", stdin="/help\n/new\n")
    assert shell("chat", "list", "--json").json == []


def test_ctrl_d_leaves_and_ctrl_c_at_the_prompt_does_not(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str | type[BaseException]] = [KeyboardInterrupt, "hello", EOFError]

    def type_next(prompt: str = "") -> str:
        line = lines.pop(0)
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr("builtins.input", type_next)
    streams = Stream(terminal=True), Stream(terminal=True), Stream(terminal=True)
    assert cli.main(["chat"], lambda paths, files: 0, engine=shell.engine, terminal=Terminal(*streams)) == 0
    assert "Yes." in streams[1].content
    assert "2 tokens" in streams[2].content
    assert lines == []


def test_ctrl_c_between_two_answers_does_not_leave(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: ModelService) -> list[InstalledModel]:
        raise KeyboardInterrupt

    with monkeypatch.context() as once:
        once.setattr(ModelService, "installed", interrupted)
        once.setattr(ModelService, "selected", lambda _: pytest.fail("not asked"))
        once.setattr("localai_app.cli.talk._Conversing._greet", lambda _: None)
        result = shell("chat", stdin="/model\n/help\n")
    assert (result.code, "/regenerate" in result.out) == (0, True)


# ---------------------------------------------------------------- conversations


@pytest.fixture
def two(shell: Shell) -> Shell:
    """A shell with two conversations."""
    shell("chat", "--prompt", "About hospitals")
    shell("chat", "--prompt", "About banks")
    return shell


def test_conversations_are_listed_newest_first(two: Shell) -> None:
    assert [each["title"] for each in two("chat", "list", "--json").json] == [
        "About banks",
        "About hospitals",
    ]
    lines = two("chat", "list").out.splitlines()
    assert lines[0].split() == ["ID", "CHANGED", "TITLE"]
    assert lines[1].startswith("2 ")
    assert len(two("chat", "list", "--limit", "1", "--json").json) == 1


def test_a_conversation_is_shown(two: Shell) -> None:
    out = two("chat", "show", "1").out
    assert "About hospitals" in out
    assert "Yes." in out
    assert two("chat", "show", "1", "--json").json["conversation"]["id"] == 1


def test_words_are_found(two: Shell) -> None:
    (hit,) = two("chat", "search", "hospitals", "--json").json
    assert (hit["conversation_id"], hit["snippet"]) == (1, "About hospitals")
    assert "About banks" in two("chat", "search", "banks").out
    assert two("chat", "search", "nowhere").err == "Nothing found.\n"


@pytest.mark.parametrize("file_format", ["md", "html", "json", "docx"])
def test_a_conversation_is_exported_to_a_file(two: Shell, tmp_path: Path, file_format: str) -> None:
    file = tmp_path / f"chat.{file_format}"
    report = two("chat", "export", "1", "--output", str(file), "--json").json
    assert report["bytes"] == file.stat().st_size > 0
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_goes_to_stdout_and_never_over_a_file(two: Shell, tmp_path: Path) -> None:
    assert "## You\n\nAbout hospitals" in two("chat", "export", "1").out
    assert two("chat", "export", "1", "--format", "json").json["format"] == "localai-app/conversation"
    file = tmp_path / "there.md"
    file.write_text("precious", encoding="utf-8")
    assert two("chat", "export", "1", "--output", str(file)).code == 2
    assert file.read_text(encoding="utf-8") == "precious"
    assert two("chat", "export", "1", "--output", str(file), "--force").code == 0
    assert "hospitals" in file.read_text(encoding="utf-8")


def test_an_export_that_cannot_be_written_says_so(two: Shell, tmp_path: Path) -> None:
    result = two("chat", "export", "1", "--output", str(tmp_path / "missing" / "chat.md"))
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert two("chat", "export", "1", "--output", str(tmp_path / "chat.pdf")).code == 2
    assert two("chat", "export", "1", "--format", "pdf").code == 2


def test_deleting_is_undone_by_restoring(two: Shell) -> None:
    assert "restore 1" in two("chat", "delete", "1").err
    assert [each["id"] for each in two("chat", "list", "--trash", "--json").json] == [1]
    two("chat", "restore", "1")
    assert len(two("chat", "list", "--json").json) == 2


def test_deleting_forever_erases(two: Shell) -> None:
    two("chat", "delete", "1", "2", "--forever")
    assert two("chat", "show", "1").code == 1
    assert two("chat", "list", "--trash", "--json").json == []


def test_deleting_stops_before_the_first_if_one_is_unknown(two: Shell) -> None:
    assert two("chat", "delete", "1", "99").code == 1
    assert len(two("chat", "list", "--json").json) == 2


def test_a_conversation_is_renamed(two: Shell) -> None:
    two("chat", "rename", "1", "Ward", "rounds")
    assert two("chat", "show", "1", "--json").json["conversation"]["title"] == "Ward rounds"


# ---------------------------------------------------------------- models, audit, key, doctor


def test_models_are_listed_and_chosen_by_name(shell: Shell) -> None:
    (Paths.for_user().models[0] / "zebra-2b.gguf").write_bytes(b"GGUF")
    listed = shell("models", "list", "--json").json
    assert [(model["name"], model["selected"]) for model in listed] == [
        ("Pretend 1B", True),
        ("Zebra 2B", False),
    ]
    assert shell("models", "select", "zebra").code == 0
    assert "*  Zebra 2B" in shell("models", "list").out
    assert shell("models", "select", "lion").code == 1


def test_the_audit_log_is_verified_and_a_changed_entry_found(two: Shell) -> None:
    sound = two("audit", "verify")
    assert sound.code == 0
    assert "does not resist the machine's own user" in sound.out
    with open_app(Paths.for_user(), engine=two.engine) as app:
        app.database.execute("DROP TRIGGER audit_not_updated")
        app.database.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 2")
    changed = two("audit", "verify", "--json")
    assert (changed.code, changed.json["sound"], changed.json["bad_seq"]) == (1, False, 2)
    assert two("doctor", "--no-speed").code == 1


def test_a_passphrase_replaces_the_key_file(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("chat", "list")
    assert "weak" in shell("key", "show").out
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n", encoding="utf-8")
    assert "Argon2id" in shell("key", "set-passphrase", "--from", str(secret)).out
    refused = shell("chat", "list")
    assert refused.code == 1
    assert "LOCALAI_APP_PASSPHRASE_FILE" in refused.err
    monkeypatch.setenv("LOCALAI_APP_PASSPHRASE_FILE", str(secret))
    assert shell("chat", "list").code == 0
    assert shell("key", "use-keystore").code == 1


def test_doctor_tells_all_and_finds_a_changed_starter(shell: Shell) -> None:
    told = shell("doctor", "--json")
    levels = {check["name"]: check["level"] for check in told.json["checks"]}
    assert told.code == 0
    assert told.json["ok"] is True
    assert levels["store"] == levels["audit log"] == levels["speed"] == "ok"
    assert levels["encryption"] == levels["confinement"] == levels["starter"] == "warn"
    (Paths.for_user().models[0] / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF and worse")
    plain = shell("doctor", "--no-speed")
    assert plain.code == 1
    assert "bad   starter" in plain.out


def test_doctor_still_speaks_when_the_store_does_not_open(shell: Shell) -> None:
    shell("chat", "list")
    Paths.for_user().database.write_bytes(b"garbage" * 1000)
    result = shell("doctor")
    assert result.code == 1
    assert "bad   store" in result.out
    assert "ok    memory" in result.out


# ---------------------------------------------------------------- usage, refusal, window


@pytest.mark.parametrize(
    "argv",
    [
        ["chat", "shwo"],
        ["chat", "show"],
        ["chat", "show", "first"],
        ["chat", "--json"],
        ["chat", "--prompt", " "],
        ["chat", "--prompt", "x", "--unknown"],
        ["chat", "list", "--limit", "0"],
        ["chat", "list", "--limit", "9" * 30],
        ["chat", "show", "9" * 30],
        ["chat", "delete", "-" + "9" * 30],
        ["chat", "--conversation", "9" * 30, "--prompt", "x"],
        ["chat", "export", "1", "--format", "pdf"],
        ["chat", "list", "--data-dir", ""],
        ["models"],
        ["nothing-like-this"],
        ["--data-dir"],
    ],
)
def test_wrong_usage_gets_one_line_and_exit_code_2(shell: Shell, argv: list[str]) -> None:
    result = shell(*argv)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith("error: ")


def test_what_policy_forbids_ends_with_3(shell: Shell, own_folders: Path) -> None:
    for forbidden in ("AllowedTasks", "AllowedModels"):
        write_policy(own_folders, {forbidden: []})
        result = shell("chat", "--prompt", "x")
        assert (result.code, result.err.count("\n")) == (3, 1)


def test_data_dir_moves_the_store_wherever_it_stands(shell: Shell, tmp_path: Path) -> None:
    shell("--data-dir", str(tmp_path / "a"), "chat", "--prompt", "x")
    assert len(shell("chat", "list", "--json", "--data-dir", str(tmp_path / "a")).json) == 1
    assert shell("chat", "list", "--json").json == []


def test_alone_it_opens_the_window_with_the_files_named(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    file = tmp_path / "letter.txt"
    file.touch()
    assert shell().code == shell(str(file)).code == 0
    assert shell.windows == [[], [file]]


def test_without_a_display_it_names_the_terminal_chat(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    result = shell()
    assert result.code == 2
    assert "localai-app chat" in result.err


def test_our_own_bug_gets_one_line_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret that was typed")

    monkeypatch.setattr("localai_app.chat.service.ChatService.conversations", broken)
    result = shell("chat", "list")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "ZeroDivisionError" in result.err
    assert "secret" not in result.err


# ---------------------------------------------------------------- the terminal


def test_a_model_cannot_command_the_terminal(shell: Shell) -> None:
    shell.engine.pieces = ("\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "fine\r\x08\x7f\n\ttab")
    assert shell("chat", "--prompt", "x").out == "]0;owned[2J31mfine\n\ttab\n"
    for argv in (
        ["chat", "show", "1"],
        ["chat", "list"],
        ["chat", "search", "fine"],
        ["chat", "show", "1", "--json"],
    ):
        assert not set(shell(*argv).out) & {"\x1b", "\x07", "\x9b", "\r", "\x7f"}
    assert shell("chat", "show", "1", "--json").json["messages"][1]["text"].startswith("\x1b]0;owned")


@given(st.text())
def test_harmless_text_keeps_all_but_control_characters(text: str) -> None:
    kept = harmless(text)
    assert not any(character < " " and character not in "\n\t" for character in kept)
    assert kept == "".join(c for c in text if c in "\n\t" or not (ord(c) < 32 or 127 <= ord(c) < 160))


def test_streams_that_were_closed_read_and_write_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    terminal = Terminal.of_process()
    assert cli.main(["chat"], lambda paths, files: 0, engine=shell.engine, terminal=terminal) == 0
    assert (
        cli.main(["chat", "--prompt", "x"], lambda paths, files: 0, engine=shell.engine, terminal=terminal)
        == 0
    )
    for stream in (terminal.stdin, terminal.stdout, terminal.stderr):
        stream.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("argv", [["chat", "list", "--json"], ["chat", "export", "1"], ["chat", "show", "1"]])
def test_output_that_cannot_be_written_gets_one_line(shell: Shell, argv: list[str]) -> None:
    shell("chat", "--prompt", "x")
    error = Stream()
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        code = cli.main(
            argv, lambda paths, files: 0, engine=shell.engine, terminal=Terminal(Stream(), full, error)
        )
    assert (code, error.content.count("\n")) == (1, 1)
    assert "No space left" in error.content


def test_ctrl_d_at_the_passphrase_declines(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(prompt: str = "") -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", end)
    terminal = Terminal(Stream(terminal=True), Stream(), Stream(terminal=True))
    assert terminal.ask_passphrase(False) is None
    assert terminal.ask_passphrase(True) is None


def test_a_table_fits_the_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shell("chat", "--prompt", "A very long title that forty columns cannot hold at all")
    assert max(map(len, shell("chat", "list", terminal=True).out.splitlines())) == 40
    assert "at all" in shell("chat", "list").out

"""The exit codes that administrators read about are the ones that programs see."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localai_app import cli
from localai_app.cli.terminal import Terminal
from localai_app.errors import LocalAIError
from localai_app.paths import Paths
from tests.organisation import write_policy

DOCUMENTS = Path(__file__).resolve().parent.parent / "docs" / "admin"
SIGNALLED = {128 + getattr(signal, name, 0) for name in ("SIGHUP", "SIGINT", "SIGTERM")}
"""Shown with real processes by tests/e2e/test_cli_real.py."""


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The command line's own signal handlers do not outlive the test."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in ("SIGTERM", "SIGHUP")}
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


def run(*words: str) -> int:
    def open_window(paths: Paths, files: list[Path]) -> int:
        return 0

    return cli.main(words, open_window, terminal=Terminal(sys.stdin, sys.stdout, sys.stderr))


def done(home: Path) -> int:
    return run("chat", "list")


def failed(home: Path) -> int:
    return run("chat", "show", "7")


def wrong_usage(home: Path) -> int:
    return run("chat", "list", "--no-such-option")


def refused(home: Path) -> int:
    write_policy(home, {"AllowExport": False})
    (home / "passphrase").write_text("correct horse battery\n")
    return run("backup", "create", str(home / "file"), "--from", str(home / "passphrase"))


SCENES: dict[int, Callable[[Path], int]] = {0: done, 1: failed, 2: wrong_usage, 3: refused}


@pytest.mark.parametrize("code", SCENES)
def test_each_code_is_given(code: int, own_folders: Path) -> None:
    assert SCENES[code](own_folders) == code


def test_the_document_lists_them_all_and_no_other() -> None:
    section = (DOCUMENTS / "install.md").read_text(encoding="utf-8").partition("## Exit codes")[2]
    rows = re.findall(r"^\| ([\d, ]+) \|", section.partition("\n## ")[0], re.MULTILINE)
    listed = {int(code) for row in rows for code in row.split(",")}
    assert listed == {*SCENES, *SIGNALLED}


def test_every_error_has_one_of_them() -> None:
    def kinds(kind: type[LocalAIError]) -> Iterator[type[LocalAIError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from kinds(each)

    assert {kind.exit_code for kind in kinds(LocalAIError)} == {1, 2, 3}

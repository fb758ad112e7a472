"""``localai-app backup`` and the recovery key, as they are typed."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from localai_app import cli
from localai_app.cli.terminal import Terminal
from localai_app.governance import policy as policies
from localai_app.governance.keys import PASSPHRASE_FILE
from localai_app.governance.policy import Policy
from tests.fake_engine import FakeEngine

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command on a data folder of its own; exit code, stdout, stderr."""
    (tmp_path / "words").write_text("quiet words\n")

    def run(*argv: object, data: str = "data") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        code = cli.main(
            ["--data-dir", str(tmp_path / data), *map(str, argv)],
            lambda paths, files: 0,
            engine=FakeEngine(),
            terminal=Terminal(io.StringIO(), out, err),
        )
        return code, out.getvalue(), err.getvalue()

    return run


def test_a_backup_is_written_verified_and_restored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, words = tmp_path / "monday.localai-backup", tmp_path / "words"
    code, _, said = run("backup", "create", file, "--from", words)
    assert (code, "read again" in said) == (0, True)
    code, out, _ = run("backup", "verify", file, "--from", words, "--json")
    assert (code, json.loads(out)["size"] > 0) == (0, True)
    code, out, _ = run("backup", "restore", file, "--from", words, "--json", data="new")
    assert (code, json.loads(out)["replaced"]) == (0, None)
    code, _, said = run("backup", "restore", file, "--from", words, data="new")
    assert (code, "--replace" in said) == (2, True)
    assert run("backup", "restore", file, "--from", words, "--replace", data="new")[0] == 0
    monkeypatch.setenv(PASSPHRASE_FILE, str(words))
    code, out, _ = run("audit", "list", "--json", data="new")
    assert "store.restored" in [entry["event"] for entry in json.loads(out)]


def test_what_is_wrong_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "no.localai-backup"
    code, _, said = run("backup", "create", file)
    assert (code, "Add --from FILE" in said) == (1, True)
    assert not file.exists()
    file.write_bytes(b"no backup")
    code, _, said = run("backup", "verify", file, "--from", tmp_path / "words")
    assert (code, said.count("\n"), "no backup of LocalAI App" in said) == (1, 1, True)


def test_a_leavers_store_is_opened_with_the_recovery_key(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, public, said = run("key", "make-recovery-key", tmp_path / "recovery.pem")
    assert (code, "RecoveryPublicKey" in said) == (0, True)
    code, _, said = run("key", "recover", tmp_path / "recovery.pem", "--from", tmp_path / "words")
    assert (code, "never sealed" in said) == (1, True)
    policy = Policy({"RecoveryPublicKey": public.strip()})
    monkeypatch.setattr(policies.Policy, "of_system", classmethod(lambda cls: policy))
    assert run("docs", "list")[0] == 0
    code, out, _ = run("key", "recover", tmp_path / "recovery.pem", "--from", tmp_path / "words")
    assert (code, "under a passphrase" in out, "recovery key" in out) == (0, True, True)
    monkeypatch.setenv(PASSPHRASE_FILE, str(tmp_path / "words"))
    assert "key.recovered" in run("audit", "list")[1]


def test_the_store_gets_another_key(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("docs", "list")[0] == 0
    code, out, _ = run("key", "renew")
    assert (code, "key file" in out) == (0, True)
    assert run("key", "set-passphrase", "--from", tmp_path / "words")[0] == 0
    monkeypatch.setenv(PASSPHRASE_FILE, str(tmp_path / "words"))
    (tmp_path / "other").write_text("other words\n")
    assert run("key", "renew", "--from", tmp_path / "other")[0] == 0
    assert run("docs", "list")[0] == 1
    monkeypatch.setenv(PASSPHRASE_FILE, str(tmp_path / "other"))
    code, out, _ = run("audit", "list")
    assert out.count("key.renewed") == 2

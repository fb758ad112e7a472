"""``localai-app audit``; the engine only pretends."""

import json
from pathlib import Path

import pytest

from localai_app.app import open_app
from localai_app.governance import policy
from localai_app.paths import Paths
from tests.organisation import write_policy
from tests.test_cli import Shell, shell

__all__ = ["shell"]  # a fixture


def test_entries_are_listed_and_shown(shell: Shell) -> None:
    shell("chat", "--prompt", "x")
    listed = shell("audit", "list", "--json").json
    assert listed[0]["event"] == "app.started"
    assert {"message.sent", "app.stopped"} <= {entry["event"] for entry in listed}
    told = shell("audit", "list", "--event", "message", "--event", "answer.finished").out.splitlines()
    assert told[0].split() == ["ENTRY", "TIME", "EVENT", "ACTOR", "OBJECT", "DETAILS"]
    assert {line.split()[3] for line in told[1:]} == {"message.sent", "answer.finished"}
    number = told[1].split()[0]
    shown = shell("audit", "show", number, "--json").json
    assert (shown["seq"], shown["event"]) == (int(number), "answer.finished")
    assert isinstance(shown["body"], dict)
    assert f"hash    {shown['hash']}" in shell("audit", "show", number).out
    assert shell("audit", "list", "--until", "2020-01-01").err == "There is no such entry.\n"
    assert shell("audit", "list", "--limit", "1", "--since", "2020-01-01T00:00+01:00").out.count("\n") == 2


def test_wrong_words_are_told(shell: Shell) -> None:
    assert shell("audit", "show", "999").code == 1
    for words in (
        ["list", "--event", "nonsense"],
        ["list", "--since", "yesterday"],
        ["list", "--limit", "0"],
        ["export"],
        ["verify", "--key", "ab" * 32],
        ["verify", "--selected"],
        ["verify", "file", "--key", "no"],
        ["verify", "--against", "12:34"],
        ["rotate", "--output", "x", "--before", "2020-01-01"],
    ):
        assert shell("audit", *words).code in (1, 2), words
    assert "Name one, or a group of them: answer, app, audit" in shell("audit", "list", "--event", "no").err


def test_a_checkpoint_kept_elsewhere_finds_what_the_log_itself_does_not(shell: Shell, tmp_path: Path) -> None:
    head = tmp_path / "head.json"
    shell("chat", "list")
    assert shell("audit", "checkpoint", "--output", str(head)).code == 0
    assert shell("audit", "checkpoint", "--output", str(head)).code == 2, "an older one is evidence"
    assert json.loads(head.read_text(encoding="utf-8"))["seq"] == 6
    told = shell("audit", "verify", "--against", str(head))
    assert told.code == 0
    assert "It continues the head that you named." in told.out
    assert shell("audit", "verify", "--from", str(head)).code == 0
    with open_app(Paths.for_user(), engine=shell.engine) as app:
        app.database.execute("DROP TRIGGER audit_not_deleted")
        app.database.execute("DELETE FROM audit WHERE seq > 5")
    assert shell("audit", "verify").code == 0, "nothing in the log itself is wrong"
    for words in (["--against", str(head)], ["--from", str(head)]):
        found = shell("audit", "verify", *words)
        assert found.code == 1
        assert "entry 6 is not the one that was kept elsewhere" in found.err


def test_an_export_is_verified_without_the_store(shell: Shell, tmp_path: Path) -> None:
    shell("chat", "list")
    path = tmp_path / "log.csv"
    assert shell("audit", "export", "--output", str(path)).code == 0
    assert path.read_text(encoding="utf-8").startswith("seq,time,event")
    assert shell("audit", "export", "--output", str(path)).code == 2
    report = shell("audit", "export", "--output", str(path), "--force", "--json").json
    assert report["path"] == str(path)
    key = shell("audit", "verify", "--json").json["key"]
    elsewhere = str(tmp_path / "elsewhere")
    result = shell("--data-dir", elsewhere, "audit", "verify", str(path), "--key", key)
    assert (result.code, result.err) == (0, "")
    assert f"Signed up to entry {report['head']['seq'] - 1} with the key {key}" in result.out
    assert not Path(elsewhere).exists()
    path.write_text(
        path.read_text(encoding="utf-8").replace("app.stopped", "app.started", 1), encoding="utf-8"
    )
    result = shell("--data-dir", elsewhere, "audit", "verify", str(path))
    assert result.code == 1
    assert result.err.startswith("error: changed: entry 3 was changed.")
    assert shell("audit", "verify", str(path), "--from", "1:" + "00" * 32).code == 2
    some = tmp_path / "some.jsonl"
    shell("audit", "export", "--output", str(some), "--event", "app")
    assert shell("audit", "verify", str(some), "--selected").code == 0
    assert shell("audit", "verify", str(some)).code == 1


def test_old_entries_move_into_an_archive(shell: Shell, tmp_path: Path) -> None:
    shell("chat", "list")
    path = str(tmp_path / "old.jsonl")
    assert shell("audit", "rotate", "--output", path).code == 0
    told = shell("audit", "verify", "--against", path)
    assert told.code == 0
    assert "what was before is in an archive" in told.out
    assert shell("audit", "verify", path).code == 0
    assert {entry["event"] for entry in shell("audit", "list", "--json").json} >= {"audit.rotated"}


def test_policy_forbids_the_export_with_exit_code_3(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("chat", "list")
    monkeypatch.setattr(policy.Policy, "of_system", lambda: policy.Policy({"AllowExport": False}))
    for words in (["export"], ["rotate"]):
        result = shell("audit", *words, "--output", str(tmp_path / "log"))
        assert result.code == 3
        assert not (tmp_path / "log").exists()
    refused = shell("audit", "list", "--event", "policy.refused", "--json").json
    assert len(refused) == 2
    monkeypatch.setattr(policy.Policy, "of_system", lambda: policy.Policy({"AuditExportPath": str(tmp_path)}))
    assert shell("audit", "export").code == 0
    assert list(tmp_path.glob("*.checkpoint.json")), "each start's end leaves its checkpoint there"
    (path,) = tmp_path.glob("audit-*.jsonl")
    assert shell("audit", "verify", str(path)).code == 0


def test_content_that_is_kept_is_told_at_every_command_and_handed_over(
    shell: Shell, own_folders: Path, tmp_path: Path
) -> None:
    assert "kept for your organisation" not in shell("chat", "list").err
    write_policy(own_folders, {"ContentCapture": True})
    assert "kept for your organisation" in shell("chat", "--prompt", "a secret").err
    path = tmp_path / "kept.jsonl"
    handed = shell("audit", "hand-over", "--output", str(path), "--json")
    assert handed.json["texts"] == 2
    assert "a secret" in path.read_text(encoding="utf-8")
    assert shell("audit", "hand-over", "--output", str(path)).code == 2, "it is not replaced"

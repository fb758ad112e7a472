"""``localai-app policy`` and what ``doctor`` says of it; the organisation has a folder in the test's home."""

from pathlib import Path
from typing import Any

import pytest

from localai_app.app import open_app
from localai_app.errors import PolicyRefused
from localai_app.governance import policy, policy_sources
from localai_app.governance.policy_schema import KEYS
from localai_app.paths import Paths
from tests.organisation import write_policy
from tests.packaging.scripts import ROOT
from tests.test_cli import Result, Shell, shell

__all__ = ["shell"]  # the fixture


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a broken file to be finished."""
    monkeypatch.setattr(policy_sources, "_TRIES", 1)


def facts(result: Result) -> dict[str, Any]:
    return {key["key"]: key for key in result.json["keys"]}


def test_every_key_is_shown_with_its_value_source_and_lock(shell: Shell, own_folders: Path) -> None:
    file = write_policy(own_folders, {"AllowExport": False, "AllowLocalAPI": False, "AllowedModels": []})
    write_policy(own_folders, {"RetentionDays": 90}, "recommended")
    result = shell("policy", "show")
    assert (result.code, result.err) == (0, "")
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in result.out.splitlines()}
    assert lines.keys() == {key.name for key in KEYS}
    assert lines["AllowExport"] == f"locked no (mandatory, {file})"
    assert lines["AllowLocalAPI"] == f"locked no (mandatory, {file}; not enforced by this version)"
    assert lines["AllowedModels"] == f"locked nothing (mandatory, {file})"
    assert lines["AllowedLicences"] == "free anything (default)"
    assert lines["RetentionDays"].startswith("free 90 (recommended, ")
    assert lines["ProxyURL"] == "free none (default)"


def test_the_same_is_told_to_programs(shell: Shell, own_folders: Path) -> None:
    file = write_policy(own_folders, {"AllowedTasks": ["chat"], "ModelSourceURL": 1})
    result = shell("policy", "show", "--json")
    assert result.code == 1
    found = facts(result)
    assert found["AllowedTasks"]["value"] == ["chat"]
    assert found["AllowedTasks"]["sources"] == [str(file)]
    assert (found["AllowedTasks"]["locked"], found["AllowedTasks"]["enforced"]) == (True, True)
    assert (found["ModelSourceURL"]["blocked"], found["ModelSourceURL"]["origin"]) == (True, "safe")
    (problem,) = result.json["problems"]
    assert (problem["source"], problem["key"]) == (str(file), "ModelSourceURL")


def test_showing_opens_no_store_and_works_where_policy_forbids_that(shell: Shell, own_folders: Path) -> None:
    file = write_policy(own_folders, b"{")
    result = shell("policy", "show")
    assert result.code == 1
    assert "ModelSourceURL          locked  nothing: refused" in result.out
    assert result.err.count("\n") == 1
    assert "it is no JSON: line 1" in result.err
    assert not Paths.for_user().database.exists()
    file.unlink()
    assert shell("chat", "list").code == 0
    write_policy(own_folders, b"{")
    refused = shell("chat", "list")
    assert refused.code == 3
    assert "localai-app policy show" in refused.err


def test_sound_file_passes_the_check_with_remarks(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "draft.json"
    file.write_text('{"AllowExport": false, "AllowLocalAPI": false, "AllowedTasks": ["chat", "knit"]}')
    result = shell("policy", "check", str(file))
    assert (result.code, result.out) == (0, "3 keys, all sound.\n")
    assert result.err.splitlines() == [
        "AllowLocalAPI is not enforced by this version.",
        "AllowedTasks: this version does not know “knit”.",
    ]
    assert shell("policy", "check", str(file), "--json").json["sound"] is True


def test_bad_file_gets_a_line_per_problem_and_exit_code_1(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "draft.json"
    file.write_text('{"AllowExprt": false, "MaxDocumentMB": 0, "Banner": "b", "Banner": "c"}')
    result = shell("policy", "check", str(file))
    assert result.code == 1
    assert [line.split(": ")[1] for line in result.out.splitlines()] == [
        "AllowExprt",
        "Banner",
        "MaxDocumentMB",
    ]
    found = shell("policy", "check", str(file), "--json")
    assert (found.code, found.json["sound"], len(found.json["problems"])) == (1, False, 3)


@pytest.mark.parametrize("content", [None, b"", b"[1]", b"\xff\xfe{\0}\0"])
def test_what_is_no_policy_file_fails_the_check(shell: Shell, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "draft.json"
    if content is not None:
        file.write_bytes(content)
    result = shell("policy", "check", str(file))
    assert (result.code, result.out.count("\n")) == (1, 1)


def test_check_for_the_recommended_folder_refuses_what_cannot_be_recommended(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "draft.json"
    file.write_text('{"RetentionDays": 90, "AllowExport": false}')
    assert shell("policy", "check", str(file)).code == 0
    result = shell("policy", "check", "--recommended", str(file))
    assert result.code == 1
    assert "AllowExport: it cannot be recommended" in result.out


def test_sample_that_comes_with_the_app_passes(shell: Shell) -> None:
    result = shell("policy", "check", str(ROOT / "packaging" / "policy" / "linux" / "sample.json"))
    assert (result.code, result.out) == (0, f"{len(KEYS)} keys, all sound.\n")


def test_doctor_tells_what_is_set_not_enforced_or_wrong(shell: Shell, own_folders: Path) -> None:
    def told() -> dict[str, Any]:
        checks = shell("doctor", "--no-speed", "--json").json["checks"]
        found: dict[str, Any] = next(check for check in checks if check["name"] == "policy")
        return found

    assert (told()["level"], told()["text"]) == ("ok", "none on this computer")
    write_policy(own_folders, {"AllowExport": False})
    assert (told()["level"], told()["text"]) == ("ok", "1 keys set")
    write_policy(own_folders, {"AllowExport": False, "AllowLocalAPI": False})
    assert (told()["level"], told()["text"]) == ("warn", "not enforced by this version: AllowLocalAPI")
    write_policy(own_folders, {"AllowExport": 1})
    assert told()["level"] == "bad"
    assert told()["facts"]["problems"][0].endswith("its safe value is in force.")


def test_refused_export_ends_with_3_and_is_audited_once(shell: Shell, own_folders: Path) -> None:
    shell("chat", "--prompt", "x")
    write_policy(own_folders, {"AllowExport": False, "LegalHold": True, "AllowedTasks": []})
    assert shell("chat", "export", "1").code == 3
    assert shell("chat", "delete", "1", "--forever").code == 3
    assert shell("chat", "--prompt", "x").code == 3
    with open_app(Paths.for_user(), engine=shell.engine) as app:
        rows = app.database.rows("SELECT object FROM audit WHERE event = 'policy.refused' ORDER BY seq")
        started = app.database.rows("SELECT body FROM audit WHERE event = 'policy.in_force'")
    assert [row["object"] for row in rows] == ["1", "1", "chat"]
    assert "LegalHold = true" in started[0]["body"]


def test_policy_that_comes_while_the_app_runs_counts_at_once(
    shell: Shell, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("chat", "--prompt", "x")
    monkeypatch.setattr(policy, "_LOOK_SECONDS", 0.0)
    with open_app(Paths.for_user(), engine=shell.engine) as app:
        assert app.chat.export(1, "md")
        file = write_policy(own_folders, {"AllowExport": False})
        with pytest.raises(PolicyRefused):
            app.chat.export(1, "md")
        file.unlink()
        assert app.chat.export(1, "md")
        rows = app.database.rows("SELECT event FROM audit WHERE event LIKE 'policy.%' ORDER BY seq")
    assert [row["event"] for row in rows] == ["policy.changed", "policy.refused", "policy.changed"]


def test_no_variable_moves_the_policy_of_a_running_app(
    shell: Shell, own_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_policy(own_folders, {"AllowedTasks": []})
    for name in ("HOME", "XDG_CONFIG_DIRS", "XDG_DATA_DIRS", "LOCALAI_APP_POLICY", "LOCALAI_APP_POLICY_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    assert shell("chat", "--prompt", "x").code == 3

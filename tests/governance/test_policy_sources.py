"""The folders of Linux, with somebody who would like other policies than the administrator's."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.governance import policy_sources
from localai_app.governance.policy_merge import Level, Outcome, merge
from localai_app.governance.policy_sources import (
    MAX_BYTES,
    PolicyFolder,
    Unusable,
    parse,
    read_layer,
    require_administrator,
    system_source,
)
from localai_app.paths import organisation_folder
from tests.organisation import policy_folder, write_policy

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a file to be finished, unless it says so."""
    monkeypatch.setattr(policy_sources, "_TRIES", 1)


@pytest.fixture
def home(own_folders: Path) -> Path:
    return own_folders


def outcome(home: Path) -> Outcome:
    return merge(policy_folder(home).layers())


def refused(home: Path) -> str:
    """Why the one file is not believed; every key has its safe value then."""
    found = outcome(home)
    assert all(one.value == one.key.safe and one.locked for one in found.keys.values())
    assert len(found.problems) == 1
    return found.problems[0].line


def test_no_folder_is_no_policy(home: Path) -> None:
    assert policy_folder(home).layers() == []


def test_files_are_read_in_the_order_of_their_names_the_last_goes_first(home: Path) -> None:
    write_policy(home, {"Banner": "early", "AllowExport": False}, name="10-base.json")
    write_policy(home, {"Banner": "late"}, name="90-site.json")
    write_policy(home, {"RetentionDays": 30, "Banner": "x"}, "recommended")
    found = outcome(home)
    assert found.keys["Banner"].value == "late"
    assert found.keys["Banner"].sources[0].endswith("90-site.json")
    assert found.keys["AllowExport"].value is False
    assert (found.keys["RetentionDays"].value, found.keys["RetentionDays"].locked) == (30, False)
    assert ["cannot be recommended" in problem.line for problem in found.problems] == [True]


@pytest.mark.parametrize("name", [".hidden.json", "10.json~", "10.json.rpmnew", "README"])
def test_copies_of_editors_and_packages_are_not_read(home: Path, name: str) -> None:
    write_policy(home, {"Banner": "copy"}, name=name)
    assert outcome(home).keys["Banner"].value == ""


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o602])
def test_file_that_others_can_write_is_not_believed(home: Path, mode: int) -> None:
    write_policy(home, {"AllowExport": True}).chmod(mode)
    assert "can be written by others" in refused(home)


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_folder_that_others_can_write_is_not_believed(home: Path, depth: int) -> None:
    file = write_policy(home, {"AllowExport": True})
    file.parents[depth].chmod(0o777)
    lines = [problem.line for problem in outcome(home).problems]
    assert lines
    assert all("can be written by others" in line for line in lines)
    assert outcome(home).keys["AllowExport"].value is False


def test_file_of_somebody_else_is_not_believed(home: Path) -> None:
    write_policy(home, {"AllowExport": True})
    source = PolicyFolder(policy_folder(home).base, administrator=os.getuid() + 1)
    found = merge(source.layers())
    assert "does not belong to the administrator" in found.problems[0].line
    assert found.keys["AllowExport"].value is False
    with pytest.raises(Unusable, match="does not belong"):
        require_administrator(home.stat(), "it", os.getuid() + 1)


def test_link_is_not_followed(home: Path) -> None:
    file = write_policy(home, {"AllowExport": True})
    file.rename(home / "mine.json")
    file.symlink_to(home / "mine.json")
    assert "it is a link" in refused(home)


def test_link_that_leads_nowhere_is_not_the_same_as_no_file(home: Path) -> None:
    file = write_policy(home, {})
    file.unlink()
    file.symlink_to(home / "gone.json")
    assert "it is a link" in refused(home)


def test_link_put_there_between_the_look_and_the_opening_is_not_followed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_policy(home, {"AllowExport": True})
    file.rename(home / "mine.json")
    file.symlink_to(home / "mine.json")
    monkeypatch.setattr(Path, "is_symlink", lambda self: False)
    assert "cannot be read" in refused(home)


def test_folder_in_place_of_the_file(home: Path) -> None:
    file = write_policy(home, {})
    file.unlink()
    file.mkdir()
    assert "no plain file" in refused(home)


def test_pipe_in_place_of_the_file_makes_nobody_wait(home: Path) -> None:
    file = write_policy(home, {})
    file.unlink()
    os.mkfifo(file, 0o644)
    assert "no plain file" in refused(home)


def test_file_in_place_of_the_folder(home: Path) -> None:
    folder = write_policy(home, {}).parent
    (folder / "10-test.json").unlink()
    folder.rmdir()
    folder.touch(0o644)
    assert "is no folder" in refused(home)


def test_folder_link_that_leads_nowhere(home: Path) -> None:
    folder = write_policy(home, {}).parent
    (folder / "10-test.json").unlink()
    folder.rmdir()
    folder.symlink_to(home / "gone")
    assert "a link that leads nowhere" in refused(home)


def test_file_that_may_not_be_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_policy(home, {"AllowExport": True})

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(policy_sources.os, "open", refuse)
    assert "it cannot be read (Permission denied)" in refused(home)


def test_huge_file(home: Path) -> None:
    file = write_policy(home, {})
    with file.open("r+b") as opened:
        opened.truncate(1 << 40)  # takes no place on the disk, and no memory when it is refused
    assert "more than 4 MiB" in refused(home)


def test_largest_list_that_is_allowed_fits_into_a_file(home: Path) -> None:
    models = [f"{number:064x}" for number in range(10_000)]
    file = write_policy(home, {"AllowedModels": models})
    assert file.stat().st_size < MAX_BYTES
    found = outcome(home)
    assert found.problems == ()
    assert found.keys["AllowedModels"].value == tuple(models)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no JSON: line 1, column 1"),
        (b'{"AllowExport": false,}', "no JSON"),
        (b'{"AllowExport": fal', "no JSON"),
        (b'{"AllowExport": false} {}', "no JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"Banner": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "nested too deeply"),
        (b'{"MaxDocumentMB": ' + b"9" * 5000 + b"}", "number in it is too long"),
        (b'["AllowExport"]', "no JSON object"),
        (b"null", "no JSON object"),
        ('{"Banner": "f\u00fcr"}'.encode("latin-1"), "not UTF-8"),
        ('{"AllowExport": false}'.encode("utf-16"), "not UTF-8"),
        (b'{"AllowExport": false}\0', "no JSON"),
    ],
)
def test_what_is_no_policy_locks_everything_and_says_why(home: Path, content: bytes, words: str) -> None:
    write_policy(home, content)
    assert words in refused(home)


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b'{"AllowExport": true, "AllowExport": true, "Banner": "b"}', "AllowExport"),
        (b'{"MaxDocumentMB": NaN, "Banner": "b"}', "MaxDocumentMB"),
        (b'{"MaxDocumentMB": 1e400, "Banner": "b"}', "MaxDocumentMB"),
        (b'{"AllowedModels": [[[[]]]], "Banner": "b"}', "AllowedModels"),
        (b'{"KeyStore": {"KeyStore": "os"}, "Banner": "b"}', "KeyStore"),
    ],
)
def test_one_odd_value_spoils_its_own_key_only(home: Path, content: bytes, key: str) -> None:
    write_policy(home, content)
    found = outcome(home)
    assert [problem.key for problem in found.problems] == [key]
    assert found.keys[key].value == found.keys[key].key.safe
    assert found.keys["Banner"].value == "b"
    assert not found.keys["OfflineOnly"].locked


def test_keys_named_twice_further_in_are_not_taken_for_keys_of_policy() -> None:
    assert parse(b'{"x": {"AllowExport": 1, "AllowExport": 2}}')[1] == frozenset()
    assert parse(b'{"x": {}, "Banner": "a", "Banner": "b"}')[1] == {"Banner"}


def test_byte_order_mark_is_passed_over(home: Path) -> None:
    write_policy(home, b"\xef\xbb\xbf" + b'{"AllowExport": false}')
    assert outcome(home).problems == ()
    assert outcome(home).keys["AllowExport"].value is False


def test_too_many_files(home: Path) -> None:
    for number in range(201):
        write_policy(home, {}, name=f"{number}.json")
    assert "more than 200 files" in refused(home)


def test_file_that_changes_while_it_is_read_is_not_believed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_policy(home, {"AllowExport": True, "Banner": "x" * 100})
    real = os.read

    def read(descriptor: int, size: int) -> bytes:
        data = real(descriptor, size)
        with file.open("ab") as other:
            other.write(b" ")
        return data

    monkeypatch.setattr(policy_sources.os, "read", read)
    assert "changed while it was read" in refused(home)


def test_file_that_is_being_written_is_given_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_sources, "_TRIES", 100)
    monkeypatch.setattr(policy_sources, "_PAUSE_SECONDS", 0.02)
    file = write_policy(home, b'{"AllowExport": fal')
    timer = threading.Timer(0.1, lambda: file.write_bytes(b'{"AllowExport": false}'))
    timer.start()
    found = outcome(home)
    timer.join()
    assert found.problems == ()
    assert found.keys["AllowExport"].value is False


def test_old_broken_file_is_given_no_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_sources, "_TRIES", 5)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(policy_sources, "_SETTLES_SECONDS", 0.0)
    write_policy(home, b"{")
    assert "no JSON" in refused(home)
    assert slept == []


def test_file_that_goes_while_the_folder_is_read_says_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_policy(home, {"AllowExport": False})
    real = policy_sources.read_layer

    def late(path: Path, *more: object) -> object:
        file.unlink()
        return real(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(policy_sources, "read_layer", late)
    assert outcome(home).problems == ()


def changes(home: Path, file: Path) -> Iterator[str]:
    """Makes one change after another, and says which."""
    yield "nothing"
    file.write_text(json.dumps({"AllowExport": True, "Banner": "x"}))
    yield "content"
    file.chmod(0o666)
    yield "mode"
    write_policy(home, {}, name="20.json")
    yield "another file"
    write_policy(home, {}, "recommended")
    yield "recommended"
    file.parent.chmod(0o777)
    yield "mode of the folder"
    replacement = home / "new"
    replacement.write_bytes(file.read_bytes())
    replacement.replace(file)
    yield "replaced by one of the same content"
    file.unlink()
    yield "removed"


def test_fingerprint_differs_after_every_change_and_only_then(home: Path) -> None:
    file = write_policy(home, {"AllowExport": False})
    source = policy_folder(home)
    before: object = None
    for change in changes(home, file):
        now = source.fingerprint()
        assert now != before, change
        assert now == source.fingerprint(), change
        before = now


def test_check_of_a_file_looks_at_no_owner(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "draft.json"
    file.write_text('{"AllowExport": false}')
    file.chmod(0o666)
    assert read_layer(file, Level.MANDATORY, None).values == {"AllowExport": False}
    assert "No such file" in read_layer(tmp_path / "none", Level.MANDATORY, None).unreadable


def test_no_variable_moves_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_DATA_DIRS", "LOCALAI_APP_POLICY_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    source = system_source()
    assert isinstance(source, PolicyFolder)
    assert (source.base, source.administrator) == (Path("/etc/localai-app/policies"), 0)
    assert source.base.parent == organisation_folder()

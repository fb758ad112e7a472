import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import keyring.core
import keyring.errors
import pytest

from localai_app.errors import (
    KeyUnavailable,
    LocalAIError,
    NewerSchema,
    PolicyRefused,
    StoreDamaged,
    StoreReadOnly,
    UsageError,
    WrongKey,
)
from localai_app.governance import keys, keystore
from localai_app.governance.keys import StoreKey, open_key
from localai_app.governance.policy import Policy
from localai_app.paths import Paths

POLICY = Policy()


class Keystore:
    """A keystore that works."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class Locked(Keystore):
    def get_password(self, service: str, username: str) -> str | None:
        raise keyring.errors.KeyringLocked("locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise keyring.errors.KeyringLocked("locked")


class Forgetful(Keystore):
    def get_password(self, service: str, username: str) -> str | None:
        return None


class Hanging(Keystore):
    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.released.wait(20)
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.released.wait(20)


def nothing() -> None:
    return None


def broken() -> keystore.Keystore:
    raise RuntimeError("the bus is gone")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keys.PASSPHRASE_FILE, raising=False)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))


@pytest.fixture
def passphrase_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "passphrase"
    path.write_text("correct horse\n")
    monkeypatch.setenv(keys.PASSPHRASE_FILE, str(path))
    return path


def open_with(paths: Paths, keystore: Keystore | None = None, **given: Any) -> StoreKey:
    return open_key(paths, given.pop("policy", POLICY), find_keystore=lambda: keystore, **given)


def key_files(paths: Paths) -> list[Path]:
    return sorted(paths.config.rglob("*.key"))


def envelope(paths: Paths) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((paths.data / "key.json").read_text())
    return content


# -- which guard ---------------------------------------------------------------------------------


def test_keystore_guards_the_key_where_there_is_one(paths: Paths) -> None:
    keystore = Keystore()
    made = open_with(paths, keystore)
    assert (made.kind, made.weak, made.created) == ("os", False, True)
    assert list(keystore.kept.values()) == [made.key.hex()]
    assert key_files(paths) == []
    again = open_with(paths, keystore)
    assert (again.key, again.kind, again.created) == (made.key, "os", False)
    assert "keystore" in keys.describe(paths)


@pytest.mark.parametrize("find", [nothing, Locked, Forgetful, broken])
def test_key_file_that_is_called_weak_guards_it_where_nothing_better_is(
    paths: Paths, find: keystore.FindKeystore
) -> None:
    made = open_key(paths, POLICY, find_keystore=find)
    assert (made.kind, made.weak, made.created) == ("file", True, True)
    assert open_key(paths, POLICY, find_keystore=find).key == made.key
    assert "weak" in keys.describe(paths)


def test_keystore_that_hangs_does_not_hang_the_first_start(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore, "FIRST_START_SECONDS", 0.05)
    hanging = Hanging()
    assert open_with(paths, hanging).kind == "file"
    hanging.released.set()


def test_passphrase_file_guards_the_key_when_one_is_named(paths: Paths, passphrase_file: Path) -> None:
    keystore = Keystore()
    made = open_with(paths, keystore)
    assert (made.kind, made.weak) == ("passphrase", False)
    assert keystore.kept == {}
    assert key_files(paths) == []
    assert open_with(paths).key == made.key


def test_person_is_asked_nothing_at_the_first_start(paths: Paths) -> None:
    def ask(new: bool) -> str:
        raise AssertionError

    assert open_with(paths, ask_passphrase=ask).kind == "file"


def test_policy_that_wants_a_passphrase_has_one_chosen(paths: Paths) -> None:
    policy = Policy({"KeyStore": "passphrase"})
    asked: list[bool] = []

    def ask(new: bool) -> str:
        asked.append(new)
        return "correct horse"

    made = open_with(paths, Keystore(), policy=policy, ask_passphrase=ask)
    assert made.kind == "passphrase"
    assert open_with(paths, policy=policy, ask_passphrase=ask).key == made.key
    assert asked == [True, False]


def test_policy_that_wants_a_passphrase_and_nobody_to_ask_leaves_nothing_behind(paths: Paths) -> None:
    with pytest.raises(KeyUnavailable, match="passphrase"):
        open_with(paths, policy=Policy({"KeyStore": "passphrase"}))
    assert not (paths.data / "key.json").exists()


def test_policy_that_wants_the_keystore_refuses_every_other_guard(
    paths: Paths, passphrase_file: Path
) -> None:
    policy = Policy({"KeyStore": "os"})
    with pytest.raises(PolicyRefused):
        open_with(paths, policy=policy)
    assert open_with(paths).kind == "passphrase"
    with pytest.raises(PolicyRefused):
        open_with(paths, policy=policy)


# -- what lies on the disk -----------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_key_file_is_private_and_apart_from_the_data(paths: Paths) -> None:
    made = open_with(paths)
    (file,) = key_files(paths)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert paths.data not in file.parents
    for other in paths.data.rglob("*"):
        assert made.key.hex() not in other.read_text()


def test_envelope_holds_no_key(paths: Paths, passphrase_file: Path) -> None:
    made = open_with(paths)
    text = (paths.data / "key.json").read_text()
    assert made.key.hex() not in text
    assert base64.b64encode(made.key).decode() not in text
    assert envelope(paths)["wrapped"]["memory_kib"] == 64 * 1024


def test_key_is_not_in_its_own_description(paths: Paths) -> None:
    made = open_with(paths)
    assert made.key.hex() not in repr(made)
    assert repr(made.key) not in repr(made)


# -- what a person is told -----------------------------------------------------------------------


def told(error: LocalAIError) -> str:
    assert error.hint
    assert "\n" not in error.line
    return str(error)


def test_wrong_passphrase_is_told(paths: Paths, passphrase_file: Path) -> None:
    open_with(paths)
    passphrase_file.write_text("wrong horse\n")
    with pytest.raises(WrongKey) as caught:
        open_with(paths)
    assert "does not open" in told(caught.value)
    assert "horse" not in caught.value.line


def test_passphrase_that_nobody_gives_is_told(paths: Paths, passphrase_file: Path) -> None:
    open_with(paths)
    passphrase_file.unlink()
    with pytest.raises(KeyUnavailable) as caught:
        open_with(paths)
    assert str(passphrase_file) in told(caught.value)
    os.environ.pop(keys.PASSPHRASE_FILE)
    for ask in (None, lambda new: None):
        with pytest.raises(KeyUnavailable) as caught:
            open_with(paths, ask_passphrase=ask)
        assert "passphrase is needed" in told(caught.value)


def test_empty_passphrase_is_refused(paths: Paths, passphrase_file: Path) -> None:
    passphrase_file.write_text("\n")
    with pytest.raises(UsageError, match="empty"):
        open_with(paths)


def test_lost_key_file_is_told_and_no_new_key_made(paths: Paths) -> None:
    open_with(paths)
    (file,) = key_files(paths)
    file.unlink()
    with pytest.raises(KeyUnavailable) as caught:
        open_with(paths)
    assert str(file) in told(caught.value)
    assert key_files(paths) == []


def test_spoiled_key_file_is_told(paths: Paths) -> None:
    open_with(paths)
    (file,) = key_files(paths)
    file.write_text("not a key")
    with pytest.raises(WrongKey) as caught:
        open_with(paths)
    told(caught.value)


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links")
def test_folder_in_place_of_the_key_file_is_told(paths: Paths) -> None:
    open_with(paths)
    (key_file,) = key_files(paths)
    key_file.unlink()
    key_file.mkdir()
    with pytest.raises(KeyUnavailable) as caught:
        open_with(paths)
    assert "cannot be read" in told(caught.value)


def test_key_file_that_is_a_link_is_not_followed(paths: Paths, tmp_path: Path) -> None:
    open_with(paths)
    (file,) = key_files(paths)
    file.rename(tmp_path / "moved")
    file.symlink_to(tmp_path / "moved")
    with pytest.raises(KeyUnavailable):
        open_with(paths)


@pytest.mark.parametrize("later", [Locked(), Forgetful(), None])
def test_keystore_that_no_longer_gives_the_key_is_told(paths: Paths, later: Keystore | None) -> None:
    open_with(paths, Keystore())
    with pytest.raises(KeyUnavailable) as caught:
        open_with(paths, later)
    assert "keystore" in told(caught.value)
    assert key_files(paths) == []


def test_keystore_that_hangs_is_told(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    open_with(paths, Keystore())
    monkeypatch.setattr(keystore, "OPEN_SECONDS", 0.05)
    hanging = Hanging()
    with pytest.raises(KeyUnavailable):
        open_with(paths, hanging)
    hanging.released.set()


def test_store_without_its_envelope_gets_no_new_key(paths: Paths) -> None:
    paths.data.mkdir()
    paths.database.write_bytes(b"encrypted")
    with pytest.raises(KeyUnavailable) as caught:
        open_with(paths)
    assert "key.json" in told(caught.value)
    assert not (paths.data / "key.json").exists()


STORE = "0" * 32
B64 = base64.b64encode(bytes(48)).decode()
WRAPPED = {"salt": B64, "memory_kib": 65536, "passes": 3, "lanes": 4, "nonce": "A" * 16, "key": B64}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        "{}",
        {"version": 1, "store": "../../evil", "kind": "file"},
        {"version": 1, "store": STORE, "kind": "none"},
        {"version": 1, "store": STORE, "kind": "file", "more": 1},
        {"version": 1, "store": STORE, "kind": "passphrase"},
        {"version": 1, "store": STORE, "kind": "file", "wrapped": WRAPPED},
        {"version": 1, "store": STORE, "kind": "passphrase", "wrapped": {**WRAPPED, "memory_kib": 2**40}},
        {"version": 1, "store": STORE, "kind": "passphrase", "wrapped": {**WRAPPED, "passes": 10**9}},
        {"version": 1, "store": STORE, "kind": "passphrase", "wrapped": {**WRAPPED, "key": "AAAA"}},
        {"version": "1", "store": STORE, "kind": "file"},
    ],
)
def test_spoiled_envelope_is_told(paths: Paths, content: object) -> None:
    paths.data.mkdir()
    text = content if isinstance(content, str) else json.dumps(content)
    (paths.data / "key.json").write_text(text)
    with pytest.raises(StoreDamaged) as caught:
        open_with(paths)
    told(caught.value)


def test_envelope_of_a_newer_version_is_told(paths: Paths) -> None:
    paths.data.mkdir()
    (paths.data / "key.json").write_text(json.dumps({"version": 3, "anything": True}))
    with pytest.raises(NewerSchema) as caught:
        open_with(paths)
    told(caught.value)


def test_envelope_moved_to_another_store_does_not_open(paths: Paths, passphrase_file: Path) -> None:
    open_with(paths)
    content = envelope(paths) | {"store": STORE}
    (paths.data / "key.json").write_text(json.dumps(content))
    with pytest.raises(WrongKey):
        open_with(paths)


def test_data_folder_that_cannot_be_made_is_told(paths: Paths) -> None:
    paths.data.write_text("in the way")
    with pytest.raises(LocalAIError) as caught:
        open_with(paths)
    assert isinstance(caught.value, StoreReadOnly | KeyUnavailable)
    told(caught.value)


# -- changing the guard --------------------------------------------------------------------------


def test_weak_key_file_is_replaced_by_a_passphrase(paths: Paths) -> None:
    made = open_with(paths)
    changed = keys.protect_with_passphrase(paths, made, "correct horse", POLICY)
    assert (changed.key, changed.kind, changed.weak) == (made.key, "passphrase", False)
    assert key_files(paths) == []
    assert open_with(paths, ask_passphrase=lambda new: "correct horse").key == made.key
    assert "passphrase" in keys.describe(paths)


def test_passphrase_is_replaced_by_another(paths: Paths) -> None:
    made = keys.protect_with_passphrase(paths, open_with(paths), "old", POLICY)
    keys.protect_with_passphrase(paths, made, "new", POLICY)
    with pytest.raises(WrongKey):
        open_with(paths, ask_passphrase=lambda new: "old")
    assert open_with(paths, ask_passphrase=lambda new: "new").key == made.key


def test_weak_key_file_is_replaced_by_the_keystore_and_back(paths: Paths) -> None:
    keystore = Keystore()
    made = open_with(paths)
    changed = keys.protect_with_keystore(paths, made, POLICY, find_keystore=lambda: keystore)
    assert changed.kind == "os"
    assert key_files(paths) == []
    assert open_with(paths, keystore).key == made.key
    keys.protect_with_passphrase(paths, changed, "correct horse", POLICY, find_keystore=lambda: keystore)
    assert keystore.kept == {}


def test_change_that_fails_leaves_the_guard_as_it_was(paths: Paths) -> None:
    made = open_with(paths)
    with pytest.raises(KeyUnavailable):
        keys.protect_with_keystore(paths, made, POLICY, find_keystore=nothing)
    with pytest.raises(UsageError):
        keys.protect_with_passphrase(paths, made, "", POLICY)
    with pytest.raises(PolicyRefused):
        keys.protect_with_passphrase(paths, made, "correct horse", Policy({"KeyStore": "os"}))
    assert open_with(paths).key == made.key


def test_passphrase_is_the_same_on_every_keyboard(paths: Paths) -> None:
    made = keys.protect_with_passphrase(paths, open_with(paths), "caf\u00e9", POLICY)
    assert open_with(paths, ask_passphrase=lambda new: "cafe\u0301").key == made.key


# -- at once -------------------------------------------------------------------------------------

OPEN = """
import sys
from pathlib import Path
from localai_app.governance.keys import open_key
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
folder = Path(sys.argv[1])
paths = Paths(folder / "data", folder / "config", folder / "cache", ())
print("ready", flush=True)
input()
print(open_key(paths, Policy(), find_keystore=lambda: None).key.hex())
"""


def test_two_first_starts_at_once_agree_on_one_key(paths: Paths, tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    answers = {child.communicate()[0] for child in children}
    assert answers == {f"{open_with(paths).key.hex()}\n"}
    assert len(key_files(paths)) == 1


def test_loser_of_the_first_start_takes_the_winners_key(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    winner: list[StoreKey] = []
    create = keys.files.create_private

    def too_late(path: Path, content: bytes) -> bool:
        monkeypatch.setattr(keys.files, "create_private", create)
        winner.append(open_with(paths))
        return create(path, content)

    monkeypatch.setattr(keys.files, "create_private", too_late)
    loser = open_with(paths)
    assert loser.key == winner[0].key
    assert not loser.created
    assert len(key_files(paths)) == 1


# -- the system's own ----------------------------------------------------------------------------


def test_no_keystore_is_looked_for_without_a_session_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("the session bus is Linux's")
    monkeypatch.setattr(keyring.core, "get_keyring", broken)
    assert keystore.system_keystore() is None


@pytest.mark.parametrize("name", ["keyring.backends.null.Keyring", "keyring.backends.fail.Keyring"])
def test_backend_that_keeps_nothing_is_no_keystore(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
    assert keystore.system_keystore() is None

"""Another key for the store; a cut-off change leaves one whole store, whichever."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from localai_app.app import App, open_app
from localai_app.errors import StoreLocked, UsageError, WrongKey
from localai_app.governance import keys, rekey
from localai_app.governance.audit import AuditEvent
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from localai_app.store.database import Database
from tests.fake_engine import FakeEngine

POLICY = Policy()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    with opened(paths) as app:
        app.chat.create()
    return paths


def opened(paths: Paths) -> App:
    return open_app(paths, engine=FakeEngine())


def content(paths: Paths) -> tuple[list[int], list[str]]:
    with opened(paths) as app:
        assert app.database.check() == []
        assert app.audit.verify().sound
        return [one.id for one in app.chat.conversations()], [one.event for one in app.audit.entries()]


def test_the_old_key_opens_nothing_and_all_is_there(paths: Paths) -> None:
    old = keys.open_key(paths, POLICY)
    (old_file,) = (paths.config / "keys").iterdir()
    copied = old_file.read_bytes()
    new = rekey.change_key(paths, old, POLICY)
    assert new.key != old.key
    assert not old_file.exists()
    with pytest.raises(WrongKey):
        Database.open(paths.database, old.key)
    conversations, events = content(paths)
    assert conversations == [1]
    assert AuditEvent.KEY_RENEWED in events
    # Whoever copied the old key file has a key to nothing.
    old_file.write_bytes(copied)
    assert content(paths)[0] == [1]
    left = sorted(one.name for one in paths.data.iterdir())
    assert left == ["key.json", "rekey.lock", "snapshots", "store.db"]


def test_under_a_passphrase_the_same_or_another_one_guards_it(paths: Paths) -> None:
    key = keys.protect_with_passphrase(paths, keys.open_key(paths, POLICY), "first", POLICY)
    new = rekey.change_key(paths, key, POLICY, "second")
    opened_key = keys.open_key(paths, POLICY, ask_passphrase=lambda new: "second")
    assert opened_key.key == new.key != key.key
    with pytest.raises(WrongKey):
        keys.open_key(paths, POLICY, ask_passphrase=lambda new: "first")


def test_a_store_in_use_keeps_its_key(paths: Paths) -> None:
    with opened(paths) as app:
        with pytest.raises(UsageError, match="in use"):
            rekey.change_key(paths, app.key, POLICY)
        with filelock.FileLock(paths.data / "rekey.lock"):
            (paths.data / "store.next.db").touch()
            with pytest.raises(StoreLocked):
                rekey.settle(paths)
        rekey.settle(paths)
    assert content(paths)[0] == [1]


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from localai_app.governance import keys, rekey
from localai_app.governance.policy import Policy
from localai_app.paths import Paths

base, module, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
paths = Paths(base / "data", base / "config", base / "cache", (base / "models",))
key = keys.open_key(paths, Policy())
room = {"keys": keys, "rekey": rekey}[module]
plain = getattr(room, name)

def end(*arguments, **named):
    plain(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(room, name, end)
rekey.change_key(paths, key, Policy())
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize(
    ("module", "name"),
    [("rekey", "_record"), ("keys", "prepare_next"), ("keys", "promote_next"), ("keys", "forget")],
)
def test_a_power_cut_at_any_step_leaves_one_whole_store(paths: Paths, module: str, name: str) -> None:
    base = paths.data.parent
    ended = subprocess.run([sys.executable, "-c", KILLED_AT, base, module, name], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert content(paths)[0] == [1]
    assert not (paths.data / "key.next.json").exists()
    assert not (paths.data / "store.next.db").exists()


def test_a_power_cut_between_the_two_replacements_is_finished(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = keys.open_key(paths, POLICY)

    class Cut(BaseException):
        pass

    def cut(paths: Paths) -> None:
        raise Cut

    with monkeypatch.context() as during:
        during.setattr(keys, "promote_next", cut)
        with pytest.raises(Cut):
            rekey.change_key(paths, old, POLICY)
    with pytest.raises(WrongKey):
        Database.open(paths.database, old.key)
    assert content(paths)[0] == [1]


def test_a_failure_before_leaves_the_old_store_and_key(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    old = keys.open_key(paths, POLICY)

    def fail(path: Path, key: keys.StoreKey) -> None:
        raise RuntimeError

    with monkeypatch.context() as during:
        during.setattr(rekey, "_record", fail)
        with pytest.raises(RuntimeError):
            rekey.change_key(paths, old, POLICY)
    assert keys.open_key(paths, POLICY).key == old.key
    assert content(paths)[0] == [1]
    assert not (paths.data / "store.next.db").exists()

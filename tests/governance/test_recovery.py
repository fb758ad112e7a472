"""The organisation's recovery key opens what a leaver or a forgotten passphrase would take along."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from localai_app.app import open_app, recover_store
from localai_app.errors import KeyUnavailable, UsageError, WrongKey
from localai_app.governance import keys, recovery
from localai_app.governance.audit import AuditEvent
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine

PASSWORD = "the board's own words"
Start = Callable[[Policy], list[str]]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))


@pytest.fixture
def private(tmp_path: Path) -> Path:
    return tmp_path / "recovery.pem"


@pytest.fixture
def policy(private: Path) -> Policy:
    return Policy({"RecoveryPublicKey": recovery.make_key(private, PASSWORD)})


@pytest.fixture
def start(paths: Paths) -> Start:
    """Start the app and end it; which events were written."""

    def run(policy: Policy) -> list[str]:
        with open_app(paths, engine=FakeEngine(), policy=policy) as app:
            return [entry.event for entry in app.audit.entries()]

    return run


def test_a_store_is_sealed_once_and_opened_by_the_private_half(
    paths: Paths, private: Path, policy: Policy, start: Start
) -> None:
    assert AuditEvent.KEY_SEALED in start(policy)
    assert start(policy).count(AuditEvent.KEY_SEALED) == 1
    keys.protect_with_passphrase(paths, keys.open_key(paths, policy), "forgotten by its owner", policy)
    assert "recovery key" in keys.describe(paths)
    recover_store(paths, private, PASSWORD, "a new one", policy)
    with open_app(paths, engine=FakeEngine(), policy=policy, ask_passphrase=lambda new: "a new one") as app:
        assert AuditEvent.KEY_RECOVERED in [entry.event for entry in app.audit.entries()]
        assert app.audit.verify().sound
    # The next leaver's work is recovered, too.
    assert keys.recover(paths, private, PASSWORD).key == app.key.key


def test_another_key_or_password_opens_nothing(
    paths: Paths, private: Path, policy: Policy, start: Start, tmp_path: Path
) -> None:
    start(policy)
    recovery.make_key(tmp_path / "other.pem", "")
    with pytest.raises(WrongKey, match="another recovery key"):
        keys.recover(paths, tmp_path / "other.pem", "")
    for password in ("", "wrong"):
        with pytest.raises(UsageError, match="password is wrong"):
            keys.recover(paths, private, password)
    with pytest.raises(UsageError, match="cannot be read"):
        keys.recover(paths, tmp_path / "nowhere.pem", "")
    (tmp_path / "text").write_text("no key")
    with pytest.raises(UsageError, match="no private key"):
        keys.recover(paths, tmp_path / "text", "")


def test_a_sealed_key_of_another_store_or_a_changed_one_is_refused(
    paths: Paths, private: Path, policy: Policy, start: Start
) -> None:
    start(policy)
    file = paths.data / "key.json"
    envelope = json.loads(file.read_text())
    file.write_text(json.dumps(envelope | {"store": "0" * 32}))
    with pytest.raises(WrongKey):
        keys.recover(paths, private, PASSWORD)
    sealed = dict(envelope["recovery"])
    sealed["key"] = ("B" if sealed["key"][0] == "A" else "A") + sealed["key"][1:]
    file.write_text(json.dumps(envelope | {"recovery": sealed}))
    with pytest.raises(WrongKey):
        keys.recover(paths, private, PASSWORD)


def test_a_new_recovery_key_takes_the_place_of_the_old_one(
    paths: Paths, private: Path, policy: Policy, start: Start, tmp_path: Path
) -> None:
    start(policy)
    newer = Policy({"RecoveryPublicKey": recovery.make_key(tmp_path / "newer.pem", "")})
    assert start(newer).count(AuditEvent.KEY_SEALED) == 2
    assert keys.recover(paths, tmp_path / "newer.pem", "").key
    with pytest.raises(WrongKey):
        keys.recover(paths, private, PASSWORD)
    # A policy that names none, or cannot be read today, takes nothing away.
    assert start(Policy()).count(AuditEvent.KEY_SEALED) == 2
    assert keys.recover(paths, tmp_path / "newer.pem", "").key


def test_a_store_that_was_never_sealed_says_so(paths: Paths, private: Path, start: Start) -> None:
    start(Policy())
    recovery.make_key(private, "")
    with pytest.raises(KeyUnavailable, match="never sealed"):
        keys.recover(paths, private, "")
    with pytest.raises(UsageError, match="there already"):
        recovery.make_key(private, "")
    assert private.stat().st_mode & 0o077 == 0

"""Where the store's key comes from.

A random 256-bit key encrypts the store. It is guarded by one of

``os``          the system's keystore (Secret Service, Keychain, Credential Locker);
``passphrase``  a passphrase: Argon2id (64 MiB, 3 passes, 4 lanes) → AES-256-GCM around the key;
``file``        a key file, mode 0600, apart from the data folder. Weak: whoever copies both can
                read. It is there so that the app works at once where nothing better is.

``key.json`` in the data folder, the envelope, says which; it holds nothing secret. At the first
start the order is: a passphrase that was handed over (``LOCALAI_APP_PASSPHRASE_FILE``), the
keystore, the key file; nobody is asked anything unless policy leaves only the passphrase. A portable
copy, which is easily lost, uses no keystore and asks for a passphrase; its key file, for who declines,
lies on the same medium.

Changing the guard does not change the key: a copy of an old key file still opens the store.
"""

import json
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from localai_app.errors import KeyUnavailable, NewerSchema, StoreDamaged, WrongKey
from localai_app.governance import keystore, recovery
from localai_app.governance.keystore import FindKeystore, system_keystore
from localai_app.governance.policy import Policy
from localai_app.governance.recovery import Sealed
from localai_app.governance.wrapping import KEY_BYTES, Wrapped, unwrap, wrap, wrong_passphrase
from localai_app.paths import Paths, portable_folder
from localai_app.store import files

PASSPHRASE_FILE = "LOCALAI_APP_PASSPHRASE_FILE"  # noqa: S105  a name, not a secret
"""Environment variable: a file whose first line is the passphrase."""
_WITH_RECOVERY = 2
_MAX_FILE_BYTES = 64 * 1024

Kind = Literal["os", "passphrase", "file"]
AskPassphrase = Callable[[bool], str | None]
"""Asks the person; True: choose a new passphrase. None: the person declined."""


@dataclass(frozen=True)
class StoreKey:
    """The key of the store, and how it is guarded."""

    key: bytes
    kind: Kind
    created: bool = False
    """Made just now."""

    @property
    def weak(self) -> bool:
        """Whether copying files is enough to read the store."""
        return self.kind == "file"

    def __repr__(self) -> str:
        return f"StoreKey(kind={self.kind!r}, created={self.created})"  # never the key itself


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``key.json``."""

    version: Literal[1, 2]
    """2 where there is a ``recovery``, which the app did not know at first."""
    store: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    kind: Kind
    wrapped: Wrapped | None = None
    recovery: Sealed | None = None
    """The key, sealed to the organisation as well."""

    def __post_init__(self) -> None:
        if (self.version == _WITH_RECOVERY) != (self.recovery is not None):
            raise ValueError("a recovery goes with version 2, and only with it")
        if (self.kind == "passphrase") != (self.wrapped is not None):
            raise ValueError("a wrapped key goes with a passphrase, and only with one")


def open_key(
    paths: Paths,
    policy: Policy,
    *,
    ask_passphrase: AskPassphrase | None = None,
    find_keystore: FindKeystore = system_keystore,
) -> StoreKey:
    """The store's key, made at the first use.

    Raise `WrongKey` for a wrong passphrase, `KeyUnavailable` when the guard does not give the key,
    `PolicyRefused` when policy forbids this kind of guard, `StoreDamaged` for a spoiled envelope.
    """
    envelope = _read_envelope(paths)
    if envelope is None:
        created = _create(paths, policy, ask_passphrase, find_keystore)
        if created is not None:
            return created
        envelope = _read_envelope(paths)  # another process was quicker: its key is the store's
        assert envelope is not None
    policy.require_key_store(envelope.kind)
    if envelope.wrapped is not None:
        return StoreKey(_unwrap(envelope, _ask(ask_passphrase, new=False)), "passphrase")
    if envelope.kind == "os":
        return StoreKey(
            _key_from_hex(
                keystore.secret_of(envelope.store, find_keystore), "The entry in the system's keystore"
            ),
            "os",
        )
    return StoreKey(_from_file(_key_file(paths, envelope.store)), "file")


def require_guard(paths: Paths, passphrase: str, *, find_keystore: FindKeystore = system_keystore) -> None:
    """Have whatever guards the key say yes once more, for somebody who comes back to an open store.

    Raise `WrongKey` for a wrong passphrase, `KeyUnavailable` where the keystore does not answer.
    """
    envelope = _existing(paths)
    if envelope.wrapped is not None:
        _unwrap(envelope, passphrase)
    elif envelope.kind == "os":
        keystore.secret_of(envelope.store, find_keystore)


def needs_passphrase(paths: Paths) -> bool:
    """Whether a passphrase guards the key."""
    return _existing(paths).wrapped is not None


def protect_with_passphrase(
    paths: Paths,
    key: StoreKey,
    passphrase: str,
    policy: Policy,
    *,
    find_keystore: FindKeystore = system_keystore,
) -> StoreKey:
    """Let ``passphrase`` guard the key from now on, also in place of an older passphrase."""
    policy.require_key_store("passphrase")
    before = _existing(paths)
    _write_envelope(paths, _wrap(before.store, key.key, passphrase), before.recovery)
    forget(paths, before, find_keystore)
    return StoreKey(key.key, "passphrase")


def protect_with_keystore(
    paths: Paths, key: StoreKey, policy: Policy, *, find_keystore: FindKeystore = system_keystore
) -> StoreKey:
    """Let the system's keystore guard the key from now on; raise `KeyUnavailable` if there is none."""
    policy.require_key_store("os")
    before = _existing(paths)
    if not keystore.keep_secret(before.store, key.key.hex(), find_keystore, keystore.OPEN_SECONDS):
        raise KeyUnavailable(
            "This system has no keystore that would keep the key.",
            "Protect it with a passphrase instead.",
        )
    _write_envelope(paths, Envelope(1, before.store, "os"), before.recovery)
    if before.kind != "os":
        forget(paths, before, find_keystore)
    return StoreKey(key.key, "os")


def seal_to_organisation(paths: Paths, key: StoreKey, policy: Policy) -> str:
    """Seal the key to the recovery key that policy names, unless it is; its fingerprint where that was done.

    One that policy names no more stays: nobody should lose work by a policy that cannot be read today.
    """
    envelope = _existing(paths)
    public = policy.recovery_key
    if not public or (envelope.recovery and envelope.recovery.to == recovery.fingerprint(public)):
        return ""
    sealed = recovery.seal(key.key, public, envelope.store)
    _write_envelope(paths, envelope, sealed)
    return sealed.to


def recover(paths: Paths, private_file: Path, password: str) -> StoreKey:
    """The store's key by the organisation's private key, whatever guards it here.

    Raise `KeyUnavailable` where it was never sealed to the organisation, `UsageError`, `WrongKey`.
    """
    envelope = _read_envelope(paths)
    if envelope is None or envelope.recovery is None:
        raise KeyUnavailable(
            "This store was never sealed to a recovery key.",
            "That is done at a start while policy names a RecoveryPublicKey.",
        )
    return StoreKey(recovery.unseal(envelope.recovery, private_file, password, envelope.store), envelope.kind)


def store_id(paths: Paths) -> str:
    """What names the store that is open: it stays the same whatever guards its key."""
    return _existing(paths).store


def guarded_anew(
    store: str,
    key: bytes,
    passphrase: str,
    policy: Policy,
    *,
    find_keystore: FindKeystore = system_keystore,
) -> Envelope:
    """The envelope of a store that comes from elsewhere: guarded by ``passphrase``, or by the system's
    keystore where policy wants that. Raise `PolicyRefused`, `KeyUnavailable`."""
    if policy.allows_key_store("passphrase"):
        return _wrap(store, key, passphrase)
    policy.require_key_store("os")
    if not keystore.keep_secret(store, key.hex(), find_keystore, keystore.OPEN_SECONDS):
        raise KeyUnavailable("This system has no keystore that would keep the key.", "Unlock it first.")
    return Envelope(1, store, "os")


def prepare_next(
    paths: Paths,
    key: StoreKey,
    policy: Policy,
    passphrase: str,
    *,
    find_keystore: FindKeystore = system_keystore,
) -> Envelope:
    """Guard another key as the one in use is guarded, and lay its envelope beside; the one in use."""
    before = _existing(paths)
    store = secrets.token_hex(16)
    if before.kind == "passphrase":
        envelope = _wrap(store, key.key, passphrase)
    elif before.kind == "os":
        if not keystore.keep_secret(store, key.key.hex(), find_keystore, keystore.OPEN_SECONDS):
            raise KeyUnavailable("The system's keystore does not keep the new key.", "Unlock it first.")
        envelope = Envelope(1, store, "os")
    else:
        policy.require_key_store("file")
        envelope = _keep_in_file(paths, store, key.key)
    files.write_private(_next_file(paths), _encode(envelope))
    return before


def has_next(paths: Paths) -> bool:
    """Whether an envelope was laid beside."""
    return _next_file(paths).exists()


def promote_next(paths: Paths) -> None:
    """Let the envelope that was laid beside be the one in use, if there is one."""
    if has_next(paths):
        with files.os_errors(paths.data):
            _next_file(paths).replace(_envelope_file(paths))
            files.sync_folder(paths.data)


def drop_next(paths: Paths) -> None:
    """Throw away an envelope that was laid beside; what guarded its key opens nothing."""
    with files.os_errors(paths.data):
        _next_file(paths).unlink(missing_ok=True)


def put_envelope(paths: Paths, envelope: Envelope) -> None:
    """Let the store of ``paths`` be opened by what ``envelope`` says from now on."""
    _write_envelope(paths, envelope)


def move_envelope(paths: Paths, folder: Path) -> None:
    """Take the envelope away with its store, into ``folder``; whatever guards the key stays."""
    with files.os_errors(folder):
        _envelope_file(paths).replace(folder / _envelope_file(paths).name)


def describe(paths: Paths) -> str:
    """How the key is guarded, in words; opens nothing."""
    envelope = _read_envelope(paths)
    if envelope is None:
        return "no key yet: it is made at the first start"
    text = {
        "os": "key in the system's keystore",
        "passphrase": "key under a passphrase (Argon2id, AES-256-GCM)",
        "file": f"key file, weak: anyone who copies “{_key_file(paths, envelope.store)}” "
        f"and “{paths.data}” can read",
    }[envelope.kind]
    if envelope.recovery is None:
        return text
    return f"{text}; also sealed to your organisation's recovery key {envelope.recovery.to[:16]}…"


def kind_of(paths: Paths) -> str:
    """What guards the key: ``os``, ``passphrase`` or ``file``; empty before the first start."""
    envelope = _read_envelope(paths)
    return "" if envelope is None else envelope.kind


def sealed_to(paths: Paths) -> str:
    """Fingerprint of the organisation's key that the key is also sealed to; empty where it is to none."""
    envelope = _read_envelope(paths)
    return "" if envelope is None or envelope.recovery is None else envelope.recovery.to


# -- the envelope ------------------------------------------------------------------------------


def _envelope_file(paths: Paths) -> Path:
    return paths.data / "key.json"


def _next_file(paths: Paths) -> Path:
    return paths.data / "key.next.json"


def _key_file(paths: Paths, store: str) -> Path:
    return paths.config / "keys" / f"{store}.key"


def _read_envelope(paths: Paths) -> Envelope | None:
    """The envelope; None before the first start."""
    path = _envelope_file(paths)
    text = _read(path)
    if text is None:
        if paths.database.exists() and paths.database.stat().st_size:
            raise KeyUnavailable(
                f"“{path}”, which says how this store's key is guarded, is gone.",
                "Put it back from a backup; without it the store cannot be opened.",
            )
        return None
    try:
        version = msgspec.json.decode(text, type=dict[str, object]).get("version")
        if isinstance(version, int) and version > _WITH_RECOVERY:
            raise NewerSchema(
                f"“{path}” was written by a newer version of LocalAI App.", "Install that version again."
            )
        return msgspec.json.decode(text, type=Envelope)
    except msgspec.DecodeError as error:
        raise StoreDamaged(f"“{path}” is damaged.", "Put it back from a backup.") from error


def _existing(paths: Paths) -> Envelope:
    envelope = _read_envelope(paths)
    assert envelope is not None, "an open store has an envelope"
    return envelope


def _encode(envelope: Envelope) -> bytes:
    return json.dumps(msgspec.to_builtins(envelope), indent=2).encode() + b"\n"


def _write_envelope(paths: Paths, envelope: Envelope, sealed: Sealed | None = None) -> None:
    if sealed is not None:
        envelope = msgspec.structs.replace(envelope, version=_WITH_RECOVERY, recovery=sealed)
    files.write_private(_envelope_file(paths), _encode(envelope))


# -- making a key ------------------------------------------------------------------------------


def _create(
    paths: Paths, policy: Policy, ask_passphrase: AskPassphrase | None, find_keystore: FindKeystore
) -> StoreKey | None:
    """Make a key and its envelope; None when another process has just done so."""
    key = secrets.token_bytes(KEY_BYTES)
    store = secrets.token_hex(16)
    files.make_private_folder(paths.data)
    envelope = _guard_new(
        paths, store, key, policy, ask_passphrase=ask_passphrase, find_keystore=find_keystore
    )
    if files.create_private(_envelope_file(paths), _encode(envelope)):
        return StoreKey(key, envelope.kind, created=True)
    forget(paths, envelope, find_keystore)
    return None


def _guard_new(
    paths: Paths,
    store: str,
    key: bytes,
    policy: Policy,
    *,
    ask_passphrase: AskPassphrase | None,
    find_keystore: FindKeystore,
) -> Envelope:
    if os.environ.get(PASSPHRASE_FILE) and policy.allows_key_store("passphrase"):
        return _wrap(store, key, _ask(None, new=True))
    if policy.allows_key_store("os") and keystore.keep_secret(
        store, key.hex(), find_keystore, keystore.FIRST_START_SECONDS
    ):
        return Envelope(1, store, "os")
    if policy.allows_key_store("passphrase"):
        if not policy.allows_key_store("file"):
            return _wrap(store, key, _ask(ask_passphrase, new=True))
        chosen = ask_passphrase(True) if portable_folder() and ask_passphrase else None
        if chosen:
            return _wrap(store, key, chosen)
    policy.require_key_store("file")
    return _keep_in_file(paths, store, key)


def _keep_in_file(paths: Paths, store: str, key: bytes) -> Envelope:
    path = _key_file(paths, store)
    files.make_private_folder(path.parent)
    files.write_private(path, key.hex().encode() + b"\n")
    return Envelope(1, store, "file")


def forget(paths: Paths, envelope: Envelope, find_keystore: FindKeystore) -> None:
    """Remove what guarded the key before, as far as that is possible; the key is safe elsewhere."""
    if envelope.kind == "file":
        path = _key_file(paths, envelope.store)
        with suppress(OSError):
            with path.open("r+b") as file:  # best effort: an SSD may keep the old cells
                file.write(bytes(KEY_BYTES * 2))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
    elif envelope.kind == "os":
        keystore.forget_secret(envelope.store, find_keystore)


# -- the key file ------------------------------------------------------------------------------


def _from_file(path: Path) -> bytes:
    content = _read(path)
    if content is None:
        raise KeyUnavailable(
            f"The key file “{path}” is gone.",
            "Put it back from a backup; without it the store cannot be opened.",
        )
    return _key_from_hex(content.decode("ascii", "replace").strip(), f"The key file “{path}”")


def _key_from_hex(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise WrongKey(f"{where} holds no key.", "Put it back from a backup.")
    return key


def _read(path: Path) -> bytes | None:
    """Content of a small file; None when it is not there; a link is not followed."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:  # a folder of that name too
        raise KeyUnavailable(
            f"“{path}” cannot be read: {error.strerror}.", "Check its permissions."
        ) from error


# -- the passphrase ----------------------------------------------------------------------------


def _ask(ask_passphrase: AskPassphrase | None, *, new: bool) -> str:
    """The passphrase from the file that the environment names, else from the person."""
    named = os.environ.get(PASSPHRASE_FILE)
    if named:
        try:
            with Path(named).expanduser().open("rb") as file:
                line = file.readline(_MAX_FILE_BYTES)
            return line.decode("utf-8").rstrip("\r\n")
        except OSError as error:
            raise KeyUnavailable(
                f"The passphrase file “{named}” cannot be read: {error.strerror}.",
                f"Correct {PASSPHRASE_FILE}.",
            ) from error
        except UnicodeDecodeError as error:
            raise KeyUnavailable(
                f"The passphrase file “{named}” is not UTF-8 text.", f"Correct {PASSPHRASE_FILE}."
            ) from error
    passphrase = ask_passphrase(new) if ask_passphrase is not None else None
    if passphrase is None:
        raise KeyUnavailable(
            "A passphrase is needed to open the store.",
            f"Start the app in its window or a terminal, or set {PASSPHRASE_FILE}.",
        )
    return passphrase


def _wrap(store: str, key: bytes, passphrase: str) -> Envelope:
    return Envelope(1, store, "passphrase", wrap(key, passphrase, store.encode()))


def _unwrap(envelope: Envelope, passphrase: str) -> bytes:
    assert envelope.wrapped is not None
    key = unwrap(envelope.wrapped, passphrase, envelope.store.encode())
    if key is None:
        raise wrong_passphrase("the store")
    return key

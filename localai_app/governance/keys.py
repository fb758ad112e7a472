"""Where the store's key comes from.

A random 256-bit key encrypts the store. It is guarded by one of

``os``          the system's keystore (Secret Service, Keychain, Credential Locker);
``passphrase``  a passphrase: Argon2id (64 MiB, 3 passes, 4 lanes) → AES-256-GCM around the key;
``file``        a key file, mode 0600, apart from the data folder. Weak: whoever copies both can
                read. It is there so that the app works at once where nothing better is.

``key.json`` in the data folder, the envelope, says which; it holds nothing secret. At the first
start the order is: a passphrase that was handed over (``LOCALAI_APP_PASSPHRASE_FILE``), the
keystore, the key file; nobody is asked anything unless policy leaves only the passphrase.

Changing the guard does not change the key: a copy of an old key file still opens the store.
"""

import json
import os
import queue
import secrets
import sys
import threading
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

import msgspec

from localai_app.errors import KeyUnavailable, NewerSchema, StoreDamaged, UsageError, WrongKey
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from localai_app.store import files

PASSPHRASE_FILE = "LOCALAI_APP_PASSPHRASE_FILE"  # noqa: S105  a name, not a secret
"""Environment variable: a file whose first line is the passphrase."""
SERVICE = "localai-app"
"""Name of our entries in the system's keystore; the store's id is the user name."""

_VERSION = 1
_KEY_BYTES = 32
_FIRST_START_SECONDS = 5.0
"""How long the first start waits for a keystore that may be asking its own question."""
_OPEN_SECONDS = 60.0
"""How long an existing store waits for it: its owner may be typing the login password."""
_MAX_FILE_BYTES = 64 * 1024

Kind = Literal["os", "passphrase", "file"]
AskPassphrase = Callable[[bool], str | None]
"""Asks the person; True: choose a new passphrase. None: the person declined."""


class Keystore(Protocol):
    """What is used of a `keyring` backend."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """The secret, or None."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keep the secret."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Forget the secret."""


FindKeystore = Callable[[], Keystore | None]


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


class Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key wrapped under a passphrase. The limits keep a forged envelope from eating the memory."""

    salt: Annotated[bytes, msgspec.Meta(min_length=16, max_length=64)]
    memory_kib: Annotated[int, msgspec.Meta(ge=8 * 1024, le=1024 * 1024)]
    passes: Annotated[int, msgspec.Meta(ge=1, le=16)]
    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)]
    nonce: Annotated[bytes, msgspec.Meta(min_length=12, max_length=12)]
    key: Annotated[bytes, msgspec.Meta(min_length=_KEY_BYTES + 16, max_length=_KEY_BYTES + 16)]


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``key.json``."""

    version: Literal[1]
    store: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    kind: Kind
    wrapped: Wrapped | None = None

    def __post_init__(self) -> None:
        if (self.kind == "passphrase") != (self.wrapped is not None):
            raise ValueError("a wrapped key goes with a passphrase, and only with one")


def system_keystore() -> Keystore | None:
    """The keystore of this desktop session; None where there is none worth the name.

    May block and may show the system's own dialogue: `open_key` calls it with a time limit.
    """
    if (
        sys.platform.startswith("linux")
        and "DBUS_SESSION_BUS_ADDRESS" not in os.environ
        and "PYTHON_KEYRING_BACKEND" not in os.environ
    ):
        return None  # without a session bus there is no Secret Service: spare the 60 ms of looking
    import keyring  # noqa: PLC0415  slow, and not needed where the key is guarded otherwise

    backend = keyring.get_keyring()
    # keyring calls backends below 1 “not recommended”: none at all, null, plain text files.
    return backend if backend.priority >= 1 else None


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
        return StoreKey(_from_keystore(envelope.store, find_keystore), "os")
    return StoreKey(_from_file(_key_file(paths, envelope.store)), "file")


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
    _write_envelope(paths, _wrap(before.store, key.key, passphrase))
    _forget(paths, before, find_keystore)
    return StoreKey(key.key, "passphrase")


def protect_with_keystore(
    paths: Paths, key: StoreKey, policy: Policy, *, find_keystore: FindKeystore = system_keystore
) -> StoreKey:
    """Let the system's keystore guard the key from now on; raise `KeyUnavailable` if there is none."""
    policy.require_key_store("os")
    before = _existing(paths)
    if not _keep_in_keystore(before.store, key.key, find_keystore, _OPEN_SECONDS):
        raise KeyUnavailable(
            "This system has no keystore that would keep the key.",
            "Protect it with a passphrase instead.",
        )
    _write_envelope(paths, Envelope(1, before.store, "os"))
    if before.kind != "os":
        _forget(paths, before, find_keystore)
    return StoreKey(key.key, "os")


def describe(paths: Paths) -> str:
    """How the key is guarded, in words; opens nothing."""
    envelope = _read_envelope(paths)
    if envelope is None:
        return "no key yet: it is made at the first start"
    return {
        "os": "key in the system's keystore",
        "passphrase": "key under a passphrase (Argon2id, AES-256-GCM)",
        "file": f"key file, weak: anyone who copies “{_key_file(paths, envelope.store)}” "
        f"and “{paths.data}” can read",
    }[envelope.kind]


# -- the envelope ------------------------------------------------------------------------------


def _envelope_file(paths: Paths) -> Path:
    return paths.data / "key.json"


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
        if isinstance(version, int) and version > _VERSION:
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


def _write_envelope(paths: Paths, envelope: Envelope) -> None:
    files.write_private(_envelope_file(paths), _encode(envelope))


# -- making a key ------------------------------------------------------------------------------


def _create(
    paths: Paths, policy: Policy, ask_passphrase: AskPassphrase | None, find_keystore: FindKeystore
) -> StoreKey | None:
    """Make a key and its envelope; None when another process has just done so."""
    key = secrets.token_bytes(_KEY_BYTES)
    store = secrets.token_hex(16)
    files.make_private_folder(paths.data)
    envelope = _guard_new(
        paths, store, key, policy, ask_passphrase=ask_passphrase, find_keystore=find_keystore
    )
    if files.create_private(_envelope_file(paths), _encode(envelope)):
        return StoreKey(key, envelope.kind, created=True)
    _forget(paths, envelope, find_keystore)
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
    if policy.allows_key_store("os") and _keep_in_keystore(store, key, find_keystore, _FIRST_START_SECONDS):
        return Envelope(1, store, "os")
    if not policy.allows_key_store("file") and policy.allows_key_store("passphrase"):
        return _wrap(store, key, _ask(ask_passphrase, new=True))
    policy.require_key_store("file")
    path = _key_file(paths, store)
    files.make_private_folder(path.parent)
    files.write_private(path, key.hex().encode() + b"\n")
    return Envelope(1, store, "file")


def _forget(paths: Paths, envelope: Envelope, find_keystore: FindKeystore) -> None:
    """Remove what guarded the key before, as far as that is possible; the key is safe elsewhere."""
    if envelope.kind == "file":
        path = _key_file(paths, envelope.store)
        with suppress(OSError):
            with path.open("r+b") as file:  # best effort: an SSD may keep the old cells
                file.write(bytes(_KEY_BYTES * 2))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
    elif envelope.kind == "os":

        def delete() -> None:
            keystore = find_keystore()
            if keystore is not None:
                keystore.delete_password(SERVICE, envelope.store)

        with suppress(_KeystoreError):
            _within(_FIRST_START_SECONDS, delete)


# -- the system's keystore ---------------------------------------------------------------------

T = TypeVar("T")


class _KeystoreError(Exception):
    """The keystore said no, in whatever way its backend says so."""


def _keep_in_keystore(store: str, key: bytes, find_keystore: FindKeystore, seconds: float) -> bool:
    """Whether the keystore took the key and gives it out again."""

    def keep() -> bool:
        keystore = find_keystore()
        if keystore is None:
            return False
        keystore.set_password(SERVICE, store, key.hex())
        return keystore.get_password(SERVICE, store) == key.hex()

    try:
        return _within(seconds, keep)
    except _KeystoreError:
        return False


def _from_keystore(store: str, find_keystore: FindKeystore) -> bytes:
    def get() -> str | None:
        keystore = find_keystore()
        return None if keystore is None else keystore.get_password(SERVICE, store)

    hint = "Log in to the desktop session where the store was made, unlock its keystore, and start again."
    try:
        text = _within(_OPEN_SECONDS, get)
    except _KeystoreError as error:
        raise KeyUnavailable("The system's keystore does not give out the store's key.", hint) from error
    if text is None:
        raise KeyUnavailable("The system's keystore does not hold this store's key.", hint)
    return _key_from_hex(text, "The entry in the system's keystore")


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns; `_KeystoreError` if it raises or takes longer.

    A keystore may show a dialogue that nobody sees, or wait for a service that never comes: it is
    called in a thread of its own, which is left behind.
    """
    answers: queue.SimpleQueue[tuple[T, None] | tuple[None, Exception]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((call(), None))
        except Exception as error:  # backends raise what their libraries raise
            answers.put((None, error))

    threading.Thread(target=run, name="keystore", daemon=True).start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise _KeystoreError(f"no answer within {seconds:.0f} s") from None
    if error is not None:
        raise _KeystoreError(type(error).__name__) from error
    return value  # type: ignore[return-value]  # the pair holds one or the other


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
    if len(key) != _KEY_BYTES:
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
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  not at every start

    if not passphrase:
        raise UsageError("The passphrase is empty.", "Choose one of several words.")
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    memory_kib, passes, lanes = 64 * 1024, 3, 4
    wrapping = _derive(passphrase, salt, memory_kib, passes, lanes)
    wrapped = AESGCM(wrapping).encrypt(nonce, key, store.encode())
    return Envelope(1, store, "passphrase", Wrapped(salt, memory_kib, passes, lanes, nonce, wrapped))


def _unwrap(envelope: Envelope, passphrase: str) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  not at every start
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    wrapped = envelope.wrapped
    assert wrapped is not None
    wrapping = _derive(passphrase, wrapped.salt, wrapped.memory_kib, wrapped.passes, wrapped.lanes)
    try:
        return AESGCM(wrapping).decrypt(wrapped.nonce, wrapped.key, envelope.store.encode())
    except InvalidTag:
        raise WrongKey(
            "That passphrase does not open the store.",
            "Try again; mind capital letters and the keyboard layout.",
        ) from None


def _derive(passphrase: str, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    from argon2.low_level import Type, hash_secret_raw  # noqa: PLC0415  not at every start

    # One passphrase, one key: keyboards differ in how they compose “é”.
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return hash_secret_raw(secret, salt, passes, memory_kib, lanes, _KEY_BYTES, Type.ID)

"""The system's keystore: Secret Service, Keychain, Credential Locker.

It may show a dialogue that nobody sees, or wait for a service that never comes: every call has a time limit.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from localai_app.errors import KeyUnavailable
from localai_app.paths import portable_folder

SERVICE = "localai-app"
"""Name of our entries in the system's keystore; the store's id is the user name."""

FIRST_START_SECONDS = 5.0
"""How long the first start waits for a keystore that may be asking its own question."""
OPEN_SECONDS = 60.0
"""How long an existing store waits for it: its owner may be typing the login password."""


class Keystore(Protocol):
    """What is used of a `keyring` backend."""

    def get_password(self, service: str, username: str, /) -> str | None:
        """The secret, or None."""

    def set_password(self, service: str, username: str, password: str, /) -> None:
        """Keep the secret."""

    def delete_password(self, service: str, username: str, /) -> None:
        """Forget the secret."""


FindKeystore = Callable[[], Keystore | None]


def system_keystore() -> Keystore | None:
    """The keystore of this desktop session; None where there is none worth the name.

    May block and may show the system's own dialogue: `open_key` calls it with a time limit. A portable
    copy has none: it leaves nothing on a computer, and finds its key on the next one too.
    """
    if portable_folder() is not None:
        return None
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


def keep_secret(store: str, secret: str, find: FindKeystore, seconds: float) -> bool:
    """Whether the keystore took the secret of that store and gives it out again."""

    def keep() -> bool:
        keystore = find()
        if keystore is None:
            return False
        keystore.set_password(SERVICE, store, secret)
        return keystore.get_password(SERVICE, store) == secret

    try:
        return _within(seconds, keep)
    except _KeystoreError:
        return False


def secret_of(store: str, find: FindKeystore) -> str:
    """The secret of that store; raise `KeyUnavailable`."""

    def get() -> str | None:
        keystore = find()
        return None if keystore is None else keystore.get_password(SERVICE, store)

    hint = "Log in to the desktop session where the store was made, unlock its keystore, and start again."
    if portable_folder() is not None:
        hint = "A portable copy uses no keystore: open this store with the installed app."
    try:
        secret = _within(OPEN_SECONDS, get)
    except _KeystoreError as error:
        raise KeyUnavailable("The system's keystore does not give out the store's key.", hint) from error
    if secret is None:
        raise KeyUnavailable("The system's keystore does not hold this store's key.", hint)
    return secret


def forget_secret(store: str, find: FindKeystore) -> None:
    """Remove the secret of that store, as far as that is possible."""

    def delete() -> None:
        keystore = find()
        if keystore is not None:
            keystore.delete_password(SERVICE, store)

    with suppress(_KeystoreError):
        _within(FIRST_START_SECONDS, delete)


_T = TypeVar("_T")


class _KeystoreError(Exception):
    """The keystore said no, in whatever way its backend says so."""


def _within(seconds: float, call: Callable[[], _T]) -> _T:
    """What ``call`` returns; `_KeystoreError` if it raises or takes longer.

    A keystore may show a dialogue that nobody sees, or wait for a service that never comes: it is
    called in a thread of its own, which is left behind.
    """
    answers: queue.SimpleQueue[tuple[_T, None] | tuple[None, Exception]] = queue.SimpleQueue()

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

"""A key wrapped under a passphrase: Argon2id (64 MiB, 3 passes, 4 lanes) → AES-256-GCM."""

import secrets
import unicodedata
from typing import Annotated

import msgspec

from localai_app.errors import UsageError, WrongKey

KEY_BYTES = 32


class Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wrapped key. The limits keep a forged one from eating the memory."""

    salt: Annotated[bytes, msgspec.Meta(min_length=16, max_length=64)]
    memory_kib: Annotated[int, msgspec.Meta(ge=8 * 1024, le=1024 * 1024)]
    passes: Annotated[int, msgspec.Meta(ge=1, le=16)]
    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)]
    nonce: Annotated[bytes, msgspec.Meta(min_length=12, max_length=12)]
    key: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES + 16, max_length=KEY_BYTES + 16)]


def wrap(key: bytes, passphrase: str, bound_to: bytes) -> Wrapped:
    """``key`` under ``passphrase``; it unwraps only together with ``bound_to``."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  not at every start

    if not passphrase:
        raise UsageError("The passphrase is empty.", "Choose one of several words.")
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    memory_kib, passes, lanes = 64 * 1024, 3, 4
    wrapping = _derive(passphrase, salt, memory_kib, passes, lanes)
    return Wrapped(salt, memory_kib, passes, lanes, nonce, AESGCM(wrapping).encrypt(nonce, key, bound_to))


def unwrap(wrapped: Wrapped, passphrase: str, bound_to: bytes) -> bytes | None:
    """The key; None for another passphrase, or where it is bound to something else."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  not at every start
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    wrapping = _derive(passphrase, wrapped.salt, wrapped.memory_kib, wrapped.passes, wrapped.lanes)
    try:
        return AESGCM(wrapping).decrypt(wrapped.nonce, wrapped.key, bound_to)
    except InvalidTag:
        return None


def wrong_passphrase(what: str) -> WrongKey:
    """The error for a passphrase that does not open ``what``."""
    return WrongKey(
        f"That passphrase does not open {what}.", "Try again; mind capital letters and the keyboard layout."
    )


def _derive(passphrase: str, salt: bytes, memory_kib: int, passes: int, lanes: int) -> bytes:
    from argon2.low_level import Type, hash_secret_raw  # noqa: PLC0415  not at every start

    # One passphrase, one key: keyboards differ in how they compose “é”.
    secret = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return hash_secret_raw(secret, salt, passes, memory_kib, lanes, KEY_BYTES, Type.ID)

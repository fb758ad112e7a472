"""The organisation's recovery key: the store's key, sealed so that only the organisation can open it.

Where policy names a RecoveryPublicKey, what a leaver or a forgotten passphrase would take along can be opened
with the private half, which no computer of a user ever holds. Sealing is HPKE (RFC 9180) in base mode with
DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
"""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from localai_app.errors import UsageError, WrongKey
from localai_app.governance.wrapping import KEY_BYTES
from localai_app.store import files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hpke import Suite

_TAG = b"localai-app recovery 1\0"
_ENC_BYTES, _TAG_BYTES = 32, 16
_MOST_PEM = 16 * 1024


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The store's key, for the owner of one private key."""

    to: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """`fingerprint` of the public key."""
    key: Annotated[
        bytes,
        msgspec.Meta(
            min_length=_ENC_BYTES + KEY_BYTES + _TAG_BYTES, max_length=_ENC_BYTES + KEY_BYTES + _TAG_BYTES
        ),
    ]


def fingerprint(public: str) -> str:
    """What names a public key: SHA-256 of its 32 bytes, in hexadecimal."""
    return hashlib.sha256(base64.b64decode(public)).hexdigest()


def seal(key: bytes, public: str, store: str) -> Sealed:
    """``key`` for the owner of ``public`` (base64 of 32 bytes), bound to the store's id."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey  # noqa: PLC0415

    recipient = X25519PublicKey.from_public_bytes(base64.b64decode(public))
    return Sealed(fingerprint(public), _suite().encrypt(key, recipient, _TAG + store.encode()))


def unseal(sealed: Sealed, private_file: Path, password: str, store: str) -> bytes:
    """The store's key; raise `UsageError` for a file that is no such key, `WrongKey` for another one."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    try:
        with private_file.open("rb") as file:
            pem = file.read(_MOST_PEM)
        private = serialization.load_pem_private_key(pem, password.encode() or None)
    except OSError as error:
        raise UsageError(f"“{private_file}” cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"“{private_file}” is no private key, or its password is wrong.",
            "Name the file that `key make-recovery-key` wrote.",
        ) from error
    if not isinstance(private, X25519PrivateKey):
        raise UsageError(f"“{private_file}” is a key of another kind.", "An X25519 key is needed.")
    wrong = WrongKey(
        "This store was sealed to another recovery key.",
        f"The one that is needed has the SHA-256 {sealed.to}.",
    )
    if hashlib.sha256(private.public_key().public_bytes_raw()).hexdigest() != sealed.to:
        raise wrong
    try:
        key = _suite().decrypt(sealed.key, private, _TAG + store.encode())
    except InvalidTag:
        raise wrong from None
    assert len(key) == KEY_BYTES
    return key


def make_key(private_file: Path, password: str) -> str:
    """Write a new private key to ``private_file`` (PEM, under ``password`` unless that is empty); the
    public one, as policy wants it. Raise `UsageError` where the file exists."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

    private = X25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    )
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    if not files.create_private(private_file, pem):
        raise UsageError(f"“{private_file}” is there already.", "Choose another name.")
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def _suite() -> "Suite":
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite  # noqa: PLC0415

    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

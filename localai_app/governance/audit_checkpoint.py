"""Signed checkpoints of the audit log: what its head was at some time, to be kept on another machine.

The Ed25519 key is made per store and lies in it, encrypted like everything there. So a signature tells
which log a checkpoint is of, and that it was not changed since; it is no evidence against who can open
the store. What resists them is the copy that is out of their reach.
"""

import json
from typing import Annotated, Literal

import msgspec

_TAG = b"localai-app audit checkpoint 1\0"
_MOST = 2**63 - 1

Number = Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Line = Annotated[str, msgspec.Meta(max_length=64)]


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The head of a log at ``time``, signed."""

    seq: Number
    hash: Hash
    entries: Number
    """How many entries the store held then; those before them were in archives."""
    time: Line
    key: Hash
    """The public key, which stands for the log."""
    signature: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]
    format: Literal["localai-app audit checkpoint 1"] = "localai-app audit checkpoint 1"

    def is_genuine(self) -> bool:
        """Whether the owner of ``key`` signed exactly this."""
        parts = (self.seq, self.hash, self.entries, self.time, self.key)
        return is_signed(self.key, self.signature, _TAG, *parts)


def new_key() -> bytes:
    """A private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_key(private: bytes) -> str:
    """The public key that belongs to ``private``, hexadecimal."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw().hex()


def sign(private: bytes, *, seq: int, digest: str, entries: int, time: str) -> Checkpoint:
    """The checkpoint of a log whose last entry is ``seq`` with the hash ``digest``."""
    key = public_key(private)
    return Checkpoint(
        seq, digest, entries, time, key, signature(private, _TAG, seq, digest, entries, time, key)
    )


# ---------------------------------------------------------------- signatures of every purpose


def signature(private: bytes, tag: bytes, *parts: int | str) -> str:
    """Signs ``parts`` for the purpose that ``tag`` names: it is no signature for any other."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    return Ed25519PrivateKey.from_private_bytes(private).sign(_signed(tag, parts)).hex()


def is_signed(key: str, signed: str, tag: bytes, *parts: int | str) -> bool:
    """Whether ``signed`` is what the owner of the public ``key`` makes of these with `signature`."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  not at every start
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
            bytes.fromhex(signed), _signed(tag, parts)
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(tag: bytes, parts: tuple[int | str, ...]) -> bytes:
    assert tag.endswith(b"\0"), "one purpose's tag is never the beginning of another's"
    return tag + json.dumps(parts, separators=(",", ":")).encode()

"""Signed statements about what leaves the store: that a file of a certain digest came from it, and when.

They are signed with the key of the audit log and name the entry that tells of them, so that whoever has a
head or an export of the log can tie one to the other. A statement is signed under a tag of its own: it never
passes for a checkpoint, nor one for another purpose for this one.
"""

from typing import Annotated, Literal

import msgspec

from localai_app.governance.audit_checkpoint import Hash, Line, Number, is_signed, public_key, signature

_TAG = b"localai-app audit statement 1\0"

Signature = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entry ``seq`` of the log tells of ``digest``; signed."""

    purpose: Line
    """What was signed: a format's name."""
    digest: Hash
    """SHA-256 of it."""
    seq: Number
    """The entry of the log that tells of it."""
    hash: Hash
    """Of that entry: the log's head at that time."""
    time: Line
    key: Hash
    """The public key, which stands for the log."""
    signature: Signature
    format: Literal["localai-app audit statement 1"] = "localai-app audit statement 1"

    def is_genuine(self) -> bool:
        """Whether the owner of ``key`` signed exactly this."""
        parts = (self.purpose, self.digest, self.seq, self.hash, self.time, self.key)
        return is_signed(self.key, self.signature, _TAG, *parts)


def sign(private: bytes, *, purpose: str, digest: str, seq: int, head: str, time: str) -> Statement:
    """The statement that entry ``seq`` with the hash ``head`` tells of ``digest``."""
    key = public_key(private)
    signed = signature(private, _TAG, purpose, digest, seq, head, time, key)
    return Statement(purpose, digest, seq, head, time, key, signed)

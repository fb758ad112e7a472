"""Every message that the app and the puller may exchange, as typed values; one JSON object per line.

As in ``engine/protocol.py``: a line that does not decode to one of these types is a `ProtocolError`.
Sizes are bytes, durations seconds. What the puller says of a repository was said by a server: names,
sizes and hashes are bounded here and checked by the app before it uses them.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

_T = TypeVar("_T")

VERSION = 1
MAX_LINE = 16 * 1024 * 1024
MAX_FILES = 20_000
MAX_RESULTS = 200

Text = Annotated[str, msgspec.Meta(max_length=1024)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**50)]

FailureCode = Literal[
    "cancelled",
    "gated",
    "unauthorised",
    "forbidden",
    "not_found",
    "too_many_requests",
    "server",
    "tls",
    "proxy",
    "dns",
    "network",
    "stalled",
    "refused_host",
    "changed",
    "disk_full",
    "not_writable",
    "bad_answer",
    "internal",
]


class ProtocolError(Exception):
    """A line that is not a message of this protocol."""


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, forbid_unknown_fields=True):
    pass


# ---------------------------------------------------------------- from the app


class Configure(_Message, frozen=True):
    """First of all, and once: how to connect."""

    endpoint: str
    """The hub or a mirror of it, such as ``https://huggingface.co``; no slash at the end."""
    hosts: tuple[str, ...]
    """Hosts that may be connected to; ``*.example.org`` covers all beneath."""
    token: str = ""
    proxy: str = ""
    """URL; empty for a direct connection."""
    ca_bundle: str = ""
    """File with certificates to trust besides the system's."""
    stall_seconds: float = 30.0
    """A connection on which nothing comes for so long is given up."""
    retry_seconds: float = 1.0
    """First wait before another try; it doubles with every try that brought nothing."""
    tries: int = 6
    """Tries in a row that bring nothing before a request fails."""


class Search(_Message, frozen=True):
    """Find repositories with GGUF files."""

    id: int
    text: str
    limit: int


class Describe(_Message, frozen=True):
    """Say what is in a repository."""

    id: int
    repo: str
    revision: str
    """Branch, tag or commit."""


class Fetch(_Message, frozen=True):
    """Append what is missing of a file to ``part``, from as far as it goes."""

    id: int
    repo: str
    revision: str
    """Commit, 40 hexadecimal digits."""
    file: str
    size: int
    sha256: str
    """Empty where unknown."""
    part: str
    """Path inside the folder that the puller may write to."""


class Cancel(_Message, frozen=True):
    """Stop request ``id``; it fails with ``cancelled``."""

    id: int


class Limit(_Message, frozen=True):
    """Fetch at most so many bytes per second from now on; 0: no limit."""

    bytes_per_second: int


Request = Configure | Search | Describe | Fetch | Cancel | Limit


# ---------------------------------------------------------------- from the puller


class RepositoryFile(_Value, frozen=True):
    """A file of a repository."""

    name: Text
    """Path inside the repository."""
    size: Size
    sha256: Text
    """Of its content; empty for small files that are not in LFS."""


class FoundRepository(_Value, frozen=True):
    """One result of a search."""

    repo: Text
    downloads: int
    likes: int
    updated: Text
    """ISO 8601; empty where unknown."""
    gated: bool
    licence: Text
    """As the publisher names it, such as ``apache-2.0``; empty where unknown."""


class Ready(_Message, frozen=True):
    """Configured."""

    version: int
    client: str
    """Such as ``huggingface_hub 2.4.0``."""
    confinement: str


class Connected(_Message, frozen=True):
    """A host is connected to for the first time, or was refused because policy does not list it."""

    host: Text
    refused: bool


class Found(_Message, frozen=True):
    """Answer to `Search`."""

    id: int
    repositories: Annotated[tuple[FoundRepository, ...], msgspec.Meta(max_length=MAX_RESULTS)]


class Described(_Message, frozen=True):
    """Answer to `Describe`."""

    id: int
    repo: Text
    """Its name now; it may have been renamed."""
    revision: Text
    """The commit."""
    gated: bool
    licence: Text
    files: Annotated[tuple[RepositoryFile, ...], msgspec.Meta(max_length=MAX_FILES)]


class Fetching(_Message, frozen=True):
    """So much of the file is in ``part``."""

    id: int
    done: Size


class Waiting(_Message, frozen=True):
    """The connection was lost, or the hub is busy; the next try comes in ``seconds``."""

    id: int
    code: FailureCode
    seconds: float


class Fetched(_Message, frozen=True):
    """All of the file is in ``part``, and on the disk."""

    id: int
    done: Size


class Failed(_Message, frozen=True):
    """Request ``id`` cannot be done."""

    id: int
    code: FailureCode
    detail: Text = ""
    """For a person: what the server or the system said, no content."""
    retry_after: float = 0.0
    """With ``too_many_requests``: how long the hub asks to wait; 0 where it does not say."""


Event = Ready | Connected | Found | Described | Fetching | Waiting | Fetched | Failed

_encoder = msgspec.json.Encoder()
_request_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(message: Request | Event) -> bytes:
    """``message`` as one line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """The request in ``line``; raise `ProtocolError` for anything else."""
    return _decode(_request_decoder, line)


def decode_event(line: bytes) -> Event:
    """The event in ``line``; raise `ProtocolError` for anything else."""
    return _decode(_event_decoder, line)


def _decode(decoder: msgspec.json.Decoder[_T], line: bytes) -> _T:
    if len(line) > MAX_LINE:
        raise ProtocolError(f"a line of {len(line)} bytes; at most {MAX_LINE} are allowed")
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"not a message of protocol {VERSION}: {error}") from error

"""Rows of the store as values, and pages as rows; no SQL."""

import os
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from localai_app.documents.document import Collection, Document, Facts, Page, State
from localai_app.store.database import Row

Stage = Literal["read", "embed"]
"""What comes next for a document that is not ready: its pages are read, or its vectors made."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_BOXES = b""


@dataclass(frozen=True)
class Held:
    """A document that this process works on."""

    id: int
    name: str
    path: Path | None
    """None for an attachment."""
    size: int
    format: str
    sha256: str
    """Of the text that is here; before the first reading, of the file that was added."""
    draft_sha256: str
    """Of the file whose pages gather in the draft; empty for none."""
    reading: int
    """The one that counts; 0 before the first is whole."""
    stage: Stage

    @property
    def draft(self) -> int:
        """Number of the reading that is being made."""
        return self.reading + 1


@dataclass(frozen=True)
class Known:
    """A file that is in the library already."""

    id: int
    sha256: str
    draft_sha256: str
    size: int
    mtime_ns: int
    trashed: bool
    path: Path | None

    @property
    def content(self) -> str:
        """Hash of the file that it was last seen as."""
        return self.draft_sha256 or self.sha256


@dataclass(frozen=True)
class Backlog:
    """How much is not ready yet."""

    to_read: int
    """Documents."""
    bytes_to_read: int
    to_embed: int
    """Documents that are read and wait for their vectors."""
    pages_to_embed: int


def collection_of(row: Row) -> Collection:
    """A collection with its number of documents."""
    return Collection(row["id"], row["name"], _time(row["created"]), row["documents"])


def document_of(row: Row) -> Document:
    """A document."""
    facts, trashed = row["facts"], row["trashed"]
    return Document(
        id=row["id"],
        name=row["name"],
        sha256=row["sha256"],
        size=row["size"],
        format=row["format"],
        state=State(row["state"]),
        added=_time(row["added"]),
        path=os.fsdecode(row["path"]),
        parent_id=row["parent_id"],
        error=row["error"],
        pages=row["pages"],
        pages_read=row["pages_read"],
        characters=row["characters"],
        tokens=row["tokens"],
        language=row["language"],
        facts=None if facts is None else msgspec.json.decode(facts, type=Facts),
        trashed=None if trashed is None else _time(trashed),
    )


def held_of(row: Row) -> Held:
    """A document that this process has claimed."""
    return Held(
        id=row["id"],
        name=row["name"],
        path=_path(row),
        size=row["size"],
        format=row["format"],
        sha256=row["sha256"],
        draft_sha256=row["draft_sha256"],
        reading=row["reading"],
        stage=row["stage"],
    )


def known_of(row: Row) -> Known:
    """A file that is in the library."""
    return Known(
        id=row["id"],
        sha256=row["sha256"],
        draft_sha256=row["draft_sha256"],
        size=row["size"],
        mtime_ns=row["mtime_ns"],
        trashed=row["trashed"] is not None,
        path=_path(row),
    )


def _path(row: Row) -> Path | None:
    return Path(os.fsdecode(row["path"])) if row["path"] else None


def page_of(row: Row) -> Page:
    """A page; its boxes where the row has them."""
    body = msgspec.msgpack.decode(row["body"], type=Page)
    return msgspec.structs.replace(body, text=row["text"], boxes=_unpacked(row["boxes"]))


def packed(boxes: bytes) -> bytes:
    """``boxes`` in about a quarter. A character mostly begins where the one before ends, is as wide as others
    of its kind, and stands in the same line: so these differences are kept."""
    if not boxes:
        return _NO_BOXES
    import numpy as np  # noqa: PLC0415 - the window starts without it

    left, top, right, bottom = np.frombuffer(boxes, "<u2").reshape(-1, 4).T
    height = bottom - top
    sides = [left.copy(), right - left, top.copy(), height.copy()]
    for side, before in ((0, right), (2, top), (3, height)):
        sides[side][1:] -= before[:-1]
    return zlib.compress(np.stack(sides).tobytes())


def _unpacked(boxes: bytes) -> bytes:
    """The inverse of `packed`."""
    if not boxes:
        return _NO_BOXES
    import numpy as np  # noqa: PLC0415 - the window starts without it

    gap, width, top, height = np.frombuffer(zlib.decompress(boxes), "<u2").reshape(4, -1).copy()
    gap[1:] += width[:-1]
    left, top, height = (np.cumsum(steps, dtype="<u2") for steps in (gap, top, height))
    return np.stack([left, top, left + width, top + height], axis=1).astype("<u2").tobytes()


def storable(text: str) -> str:
    """``text`` with halves of characters, which UTF-8 cannot hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text


def microseconds(moment: datetime) -> int:
    """Since 1970, in UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _time(since_1970: int) -> datetime:
    return _EPOCH + timedelta(microseconds=since_1970)

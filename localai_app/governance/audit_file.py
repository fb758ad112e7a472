"""The audit log as a file, with the hashes of its chain: JSON Lines, or CSV for a spreadsheet.

JSON Lines: an entry per line, ``{"seq": 1, "time": …, "event": …, "actor": …, "object": …, "body": {…},
"prev": …, "hash": …}``; the last line of a whole export is a checkpoint's. CSV has the same columns; a cell
that a spreadsheet would compute has an apostrophe in front. Either can be verified without the store.
Whoever reads one reads a file that anybody may have written.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import msgspec

from localai_app.errors import LocalAIError, UsageError
from localai_app.governance.audit_chain import (
    Entry,
    Head,
    KeptHead,
    Unreadable,
    VerifyResult,
    canonical,
    examine,
)
from localai_app.governance.audit_checkpoint import Checkpoint, Hash
from localai_app.store import files
from localai_app.store.harmless import guarded, unguarded

Format = Literal["jsonl", "csv"]

_COLUMNS = ("seq", "time", "event", "actor", "object", "body", "prev", "hash")
_MAX_LINE = 1 << 20
_NOTED = re.compile(r"(\d{1,18})[: ]([0-9a-f]{64})")


class _Line(msgspec.Struct):
    seq: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
    time: str
    event: str
    actor: str
    object: str
    body: dict[str, Any] | str
    prev: Hash
    hash: Hash


@dataclass(frozen=True)
class Written:
    """What was written."""

    path: Path
    entries: int
    first: int
    """0 where there was none."""
    head: Head
    """The last entry of the file."""
    sha256: str
    """Of the file."""


def write(path: Path, entries: Iterable[Entry], file_format: Format) -> Written:
    """All of ``entries`` as the file ``path``, or nothing; raise `LocalAIError`."""
    hashed, count, first, head = hashlib.sha256(), 0, 0, Head(0, "")
    try:
        with files.replacing(path) as file:
            for line in [] if file_format == "jsonl" else [_csv_row(_COLUMNS)]:
                hashed.update(line)
                file.write(line)
            for entry in entries:
                line = json_line(entry) if file_format == "jsonl" else _csv_line(entry)
                hashed.update(line)
                file.write(line)
                first, head, count = first or entry.seq, entry.head, count + 1
    except OSError as error:
        raise LocalAIError(f"{path} cannot be written: {error.strerror}.", "Choose another place.") from error
    return Written(path, count, first, head, hashed.hexdigest())


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """``checkpoint`` as the file ``path``, for `kept_head`; raise `LocalAIError`."""
    try:
        with files.replacing(path) as file:
            file.write(msgspec.json.format(msgspec.json.encode(checkpoint), indent=2) + b"\n")
    except OSError as error:
        raise LocalAIError(f"{path} cannot be written: {error.strerror}.", "Choose another place.") from error


def verify(
    path: Path, kept: Sequence[KeptHead] = (), *, key: str = "", selected: bool = False
) -> VerifyResult:
    """What is wrong with an exported file; needs no store. As `audit_chain.examine`."""
    with _opened(path) as file:
        is_csv = file.read(1) != b"{"

        def read() -> Iterator[Entry]:
            file.seek(0)
            return _csv_entries(file) if is_csv else _json_entries(file)

        result = examine(read, kept=kept, key=key, selected=selected)
    if not result.seen and result.sound:
        raise LocalAIError(f"{path} holds no entry.")
    return result


def sha256(path: Path) -> str:
    """Of the file."""
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kept_head(said: str) -> KeptHead:
    """A head that was kept: ``NUMBER:HASH``, the file of a checkpoint, or an exported file (its last entry).

    Raise `LocalAIError` for what is none of these, and for a checkpoint that is not as it was signed.
    """
    noted = _NOTED.fullmatch(said.strip())
    if noted:
        return KeptHead(int(noted[1]), noted[2])
    path = Path(said).expanduser()
    whole, last = _end_of(path)
    for text in (whole, last):
        try:
            checkpoint = msgspec.json.decode(text, type=Checkpoint)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if not checkpoint.is_genuine():
            raise LocalAIError(f"The checkpoint in {path} is not as it was signed.", "Take another copy.")
        return KeptHead(checkpoint.seq, checkpoint.hash, checkpoint.key)
    try:
        line = msgspec.json.decode(last, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UsageError(
            f"{path} holds neither a checkpoint nor an exported audit log (JSON Lines).",
            "Name such a file, or say NUMBER:HASH.",
        ) from None
    return KeptHead(line.seq, line.hash)


def _end_of(path: Path) -> tuple[bytes, bytes]:
    """A small file's whole content (else nothing), and the last line of any."""
    with _opened(path) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _MAX_LINE))
        end = file.read(_MAX_LINE).rstrip()
    return end if size <= _MAX_LINE else b"", end[end.rfind(b"\n") + 1 :]


def _opened(path: Path) -> io.BufferedReader:
    try:
        if not path.is_file():
            raise LocalAIError(f"There is no file {path}.")
        return path.open("rb")
    except OSError as error:
        raise LocalAIError(f"{path} cannot be read: {error.strerror}.") from error


# ---------------------------------------------------------------- JSON Lines


def json_line(entry: Entry) -> bytes:
    """``entry`` as one line of JSON, with what chains it to the one before."""
    try:
        body: Any = json.loads(entry.body)
    except ValueError:
        body = entry.body  # it was changed; that shall be seen in the file, too
    values = (entry.seq, entry.time, entry.event, entry.actor, entry.object, body, entry.prev, entry.hash)
    return json.dumps(dict(zip(_COLUMNS, values, strict=True)), separators=(",", ":")).encode() + b"\n"


def _json_entries(file: BinaryIO) -> Iterator[Entry]:
    decoder = msgspec.json.Decoder(_Line)
    number = 0
    while line := file.readline(_MAX_LINE):
        number += 1
        try:
            read = decoder.decode(line)
            body = read.body if isinstance(read.body, str) else canonical(read.body)
        except (ValueError, RecursionError):
            raise Unreadable(number) from None
        yield Entry(read.seq, read.time, read.event, read.actor, read.object, body, read.prev, read.hash)


# ---------------------------------------------------------------- CSV


def _csv_line(entry: Entry) -> bytes:
    values = (entry.seq, entry.time, entry.event, entry.actor, entry.object, entry.body)
    return _csv_row([*map(guarded, map(str, values)), entry.prev, entry.hash])


def _csv_row(cells: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def _csv_entries(file: BinaryIO) -> Iterator[Entry]:
    # Not closed with the wrapper: it is read twice.
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_LINE))
        rows = csv.reader(text, strict=True)
        number = 0
        try:
            for row in rows:
                number += 1
                if number > 1:
                    yield _entry_of(row)
                elif tuple(row) != _COLUMNS:
                    raise Unreadable(1)
        except (ValueError, csv.Error):
            raise Unreadable(max(1, rows.line_num)) from None
    finally:
        text.detach()


def _entry_of(row: Sequence[str]) -> Entry:
    """The entry of a row; raise `ValueError`."""
    seq, time, event, actor, object_id, body = (unguarded(cell) for cell in row[:-2])
    line = msgspec.convert(
        {
            **{"seq": int(seq), "time": time, "event": event, "actor": actor, "object": object_id},
            **{"body": body, "prev": row[-2], "hash": row[-1]},
        },
        _Line,
    )
    return Entry(line.seq, time, event, actor, object_id, body, line.prev, line.hash)

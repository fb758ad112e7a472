"""Failed attempts to open the store, until one succeeds and the audit log can be told.

The log lies in the store that stays shut. So they are counted in a small file beside it, of the same size
whatever happens, and written in the log at the next start that succeeds. Whoever may write in the data
folder can remove the file: it tells of people who try passphrases, not of those who take the disk out.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from localai_app.errors import StoreError, WrongKey
from localai_app.governance.audit import Audit, AuditEvent, BodyValue, Selection
from localai_app.governance.audit_chain import canonical
from localai_app.paths import Paths
from localai_app.store import files

_MOST = 1_000_000
_MAX_BYTES = 4096

Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class _Failures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    """Tells this file from the next one."""
    times: Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
    first: Time
    last: Time


@contextmanager
def counted(paths: Paths) -> Iterator[None]:
    """Count it when the key that is tried inside is wrong."""
    try:
        yield
    except WrongKey:
        count(paths)
        raise


def count(paths: Paths) -> None:
    """Note that the store was not opened; where nothing can be written, nothing is."""
    path = _file(paths)
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    before = _read(path)
    if isinstance(before, _Failures):
        failures = _Failures(before.id, min(before.times + 1, _MOST), before.first, now)
    else:
        failures = _Failures(secrets.token_hex(16), 1, now, now)
    with suppress(StoreError):
        files.write_private(path, msgspec.json.encode(failures))


def tell(paths: Paths, audit: Audit) -> None:
    """Write them in the log, in the caller's transaction; `forget` once that is committed."""
    found = _read(_file(paths))
    if found is None:
        return
    body: dict[str, BodyValue] = {"damaged": True}
    if isinstance(found, _Failures):
        body = dict(msgspec.to_builtins(found))
    # The process may have ended between telling and forgetting.
    told = audit.entries(Selection(events=[AuditEvent.STORE_UNLOCK_FAILED]), limit=1)
    if not (told and told[0].body == canonical(body) and isinstance(found, _Failures)):
        audit.append(AuditEvent.STORE_UNLOCK_FAILED, body=body)


def forget(paths: Paths) -> None:
    """Begin anew: the log tells of them."""
    with suppress(OSError):
        _file(paths).unlink(missing_ok=True)


def _file(paths: Paths) -> Path:
    return paths.data / "unlock-failures.json"


def _read(path: Path) -> _Failures | str | None:
    """What is noted; None where nothing is, a word for what cannot be read."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            return msgspec.json.decode(file.read(_MAX_BYTES), type=_Failures)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return "unreadable"

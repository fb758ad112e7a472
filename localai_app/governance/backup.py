"""All that a user made, in one encrypted file that any computer with the app can restore.

The file is a zip archive, stored without compression: ``store.db``, a copy of the encrypted store as it was
at one moment, and ``manifest.json``, which holds the store's key wrapped under the backup's own passphrase.
So it is as safe as that passphrase, whatever guards the key on this computer. The manifest is sealed with
the store's key: a changed byte anywhere is found. What can be made again is not in it: models, evaluated
conversations.

That a backup is the newest one cannot be told from the file: who can replace it by an older one of the same
store can do so unseen.
"""

import contextlib
import hashlib
import hmac
import shutil
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Literal

import msgspec

from localai_app import __version__
from localai_app.errors import NewerSchema, StoreDamaged, UsageError
from localai_app.governance import keys
from localai_app.governance.audit import Audit, AuditEvent, BodyValue
from localai_app.governance.keys import StoreKey
from localai_app.governance.policy import Policy
from localai_app.governance.wrapping import Wrapped, unwrap, wrap, wrong_passphrase
from localai_app.paths import Paths
from localai_app.store import files
from localai_app.store.database import Database

SUFFIX = ".localai-backup"
_STORE, _MANIFEST = "store.db", "manifest.json"
_VERSION = 1
_TAG = b"localai-app backup 1\0"
_MOST_MANIFEST = 64 * 1024
_PIECE = 1 << 20


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``manifest.json``."""

    version: Literal[1]
    store: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    """The store's id."""
    created: Annotated[str, msgspec.Meta(max_length=40)]
    """ISO 8601, UTC."""
    app: Annotated[str, msgspec.Meta(max_length=40)]
    """Version that wrote it."""
    size: Annotated[int, msgspec.Meta(ge=1, le=2**50)]
    """Bytes of ``store.db``."""
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    key: Wrapped
    seal: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
    """HMAC-SHA-256 of all the rest under the store's key."""


@dataclass(frozen=True)
class BackupFacts:
    """What a backup says of itself; true once its passphrase opened it."""

    created: datetime
    app: str
    size: int
    """Bytes of the store in it."""
    sha256: str
    """Of the store in it."""


@dataclass(frozen=True)
class Backups:
    """Writes backups of the open store, as far as policy allows."""

    paths: Paths
    database: Database
    key: StoreKey
    policy: Policy
    audit: Audit

    def write(self, path: Path, passphrase: str) -> BackupFacts:
        """Write one to ``path``, and read it again: what is not sound is not kept.

        Work in the store may go on meanwhile. Raise `UsageError` for an empty passphrase or a file that is
        there already, `PolicyRefused`, `StoreError`.
        """
        with self.audit.refusals("backup"):
            self.policy.require_export("backup")
        if path.exists():
            raise UsageError(f"“{path}” is there already.", "Choose another name, or remove it first.")
        store = keys.store_id(self.paths)
        wrapped = wrap(self.key.key, passphrase, _bound_to(store))
        copy = path.with_name(f".{path.name}.store")
        try:
            with files.os_errors(path):
                copy.unlink(missing_ok=True)
            self.database.copy_to(copy)
            _require_sound(copy, self.key.key)
            with files.os_errors(path):
                manifest = Manifest(
                    version=1,
                    store=store,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                    app=__version__,
                    size=copy.stat().st_size,
                    sha256=_sha256(copy.open("rb")),
                    key=wrapped,
                )
                manifest = msgspec.structs.replace(manifest, seal=_seal(manifest, self.key.key))
                with files.replacing(path) as file:
                    _write_archive(file, copy, manifest)
                    file.seek(0)
                    _read_archive(file, path)
        finally:
            _remove_store(copy)
        body: dict[str, BodyValue] = {"sha256": manifest.sha256, "size": manifest.size}
        self.audit.append(AuditEvent.STORE_BACKED_UP, body=body)
        return _facts(manifest)


def verify(path: Path, passphrase: str) -> BackupFacts:
    """Whether ``path`` can be restored with that passphrase, without restoring it.

    Raise `WrongKey`, `StoreDamaged`, `NewerSchema`, `UsageError`.
    """
    with _opened(path) as file:
        manifest = _read_archive(file, path)
        _key_of(manifest, passphrase, path)
        return _facts(manifest)


def restore(
    paths: Paths, policy: Policy, path: Path, passphrase: str, *, replace: bool = False
) -> Path | None:
    """Put the store of a backup into the data folder, guarded by the backup's passphrase from now on.

    A store that is there is moved aside (where to is returned) if ``replace``; else raise `UsageError`.
    Nothing is touched before the backup has proved sound. Raise as `verify`, and `PolicyRefused` where a
    passphrase may not guard a store here: then the system's keystore is tried.
    """
    there = paths.database.exists() and paths.database.stat().st_size > 0
    if there and not replace:
        raise UsageError(
            f"There is a store in “{paths.data}” already.",
            "Add --replace to move it aside, or name another folder with --data-dir.",
        )
    if there and paths.database.with_name("store.db-wal").exists():
        raise UsageError(
            "The store is in use, or was not closed.", "Close LocalAI App (start it once if it crashed)."
        )
    files.make_private_folder(paths.data)
    incoming = paths.data / "store.restoring.db"
    _remove_store(incoming)
    try:
        with _opened(path) as file:
            manifest = _read_archive(file, path)
            key = _key_of(manifest, passphrase, path)
            _extract(file, incoming)
        _require_sound(incoming, key)
        envelope = keys.guarded_anew(manifest.store, key, passphrase, policy)
        aside = _move_aside(paths) if there else None
        with files.os_errors(paths.database):
            incoming.replace(paths.database)
            files.sync_folder(paths.data)
        keys.put_envelope(paths, envelope)
    finally:
        _remove_store(incoming)
    database = Database.open(paths.database, key)
    try:
        body: dict[str, BodyValue] = {
            "sha256": manifest.sha256,
            "created": manifest.created,
            "replaced": there,
        }
        Audit(database).append(AuditEvent.STORE_RESTORED, body=body)
    finally:
        database.close()
    return aside


# ---------------------------------------------------------------- the file


def _write_archive(file: IO[bytes], copy: Path, manifest: Manifest) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        archive.write(copy, _STORE)


def _read_archive(file: IO[bytes], path: Path) -> Manifest:
    """The manifest of an archive whose store is the one it names."""
    spoiled = StoreDamaged(f"“{path}” is damaged, or no backup of LocalAI App.", "Use another backup.")
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            if entries.keys() != {_STORE, _MANIFEST} or entries[_MANIFEST].file_size > _MOST_MANIFEST:
                raise spoiled
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
                raise spoiled
            text = archive.read(_MANIFEST)
            version = msgspec.json.decode(text, type=dict[str, object]).get("version")
            if isinstance(version, int) and version > _VERSION:
                raise NewerSchema(
                    f"“{path}” was written by a newer version of LocalAI App.",
                    "Restore it with that version.",
                )
            manifest = msgspec.json.decode(text, type=Manifest)
            if entries[_STORE].file_size != manifest.size:
                raise spoiled
            if _sha256(archive.open(_STORE)) != manifest.sha256:
                raise spoiled
            return manifest
    except (zipfile.BadZipFile, msgspec.DecodeError, EOFError, NotImplementedError, RuntimeError) as error:
        raise spoiled from error


def _extract(file: IO[bytes], target: Path) -> None:
    file.seek(0)
    with zipfile.ZipFile(file) as archive, archive.open(_STORE) as source, files.os_errors(target):
        files.write_private(target, b"")
        with target.open("r+b") as out:
            shutil.copyfileobj(source, out, _PIECE)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"“{path}” cannot be read: {error.strerror}.", "Name a backup file.") from error
    with file:
        yield file


def _sha256(file: IO[bytes]) -> str:
    with file:
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            digest.update(piece)
        return digest.hexdigest()


# ---------------------------------------------------------------- its key


def _key_of(manifest: Manifest, passphrase: str, path: Path) -> bytes:
    """The store's key; raise `WrongKey`, or `StoreDamaged` where the manifest was changed."""
    key = unwrap(manifest.key, passphrase, _bound_to(manifest.store))
    if key is None:
        raise wrong_passphrase(f"the backup “{path.name}”")
    if not hmac.compare_digest(_seal(manifest, key), manifest.seal):
        raise StoreDamaged(f"“{path}” was changed after it was written.", "Use another backup.")
    return key


def _seal(manifest: Manifest, key: bytes) -> bytes:
    unsealed = msgspec.structs.replace(manifest, seal=b"")
    return hmac.digest(key, _TAG + msgspec.json.encode(unsealed, order="deterministic"), "sha256")


def _bound_to(store: str) -> bytes:
    return _TAG + store.encode()


# ---------------------------------------------------------------- stores


def _require_sound(path: Path, key: bytes) -> None:
    """Open the copy and look at every page of it; raise `StoreDamaged`, `WrongKey`, `NewerSchema`."""
    database = Database.open(path, key)
    try:
        if database.check():
            raise StoreDamaged("The store in the backup is damaged.", "Run `localai-app doctor`.")
    finally:
        database.close()


def _move_aside(paths: Paths) -> Path:
    folder = paths.data / time.strftime("replaced-%Y%m%d-%H%M%S")
    files.make_private_folder(folder)
    with files.os_errors(folder):
        paths.database.replace(folder / paths.database.name)
    keys.move_envelope(paths, folder)
    return folder


def _remove_store(path: Path) -> None:
    """Remove a copy and what opening it left beside it."""
    with contextlib.suppress(OSError):
        for one in path.parent.iterdir():
            if one.name.startswith(path.stem):
                one.unlink()


def _facts(manifest: Manifest) -> BackupFacts:
    return BackupFacts(datetime.fromisoformat(manifest.created), manifest.app, manifest.size, manifest.sha256)

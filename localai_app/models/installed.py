"""Model files that lie on this machine, and their hashes; all SQL about them.

Nothing here opens a model to parse it: what a GGUF file says of itself is the worker's to read. A name
and a quantisation come from the file's name, a hash from its bytes.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from localai_app.errors import ModelChanged, ModelNotFound, UsageError
from localai_app.paths import resources
from localai_app.store.database import Database, Row

_BLOCK = 1024 * 1024
_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_QUANTISATION = re.compile(
    r"[-._ ]((?:UD-)?(?:I?Q\d(?:_[0-9A-Z]+)*|TQ\d_\d|MXFP4(?:_MOE)?|BF16|F16|FP16|F32|FP32))$", re.IGNORECASE
)
_SIZE = re.compile(r"^(\d+x)?\d+(\.\d+)?[mbt]$", re.IGNORECASE)

Owner = Literal["LM Studio", "Jan", "Ollama", "Hugging Face cache", ""]
"""The program whose folder a file lies in; empty for a file that the user named."""


@dataclass(frozen=True)
class InstalledModel:
    """A GGUF file in a model folder; of a file that is split into parts, the first."""

    path: Path
    name: str
    """Shown name, such as ``SmolLM2 135M Instruct``."""
    quantisation: str
    """Such as ``Q4_1``; empty where unknown."""
    size: int
    """Bytes, of all parts."""
    starter: bool = False
    """The tiny model that ships with the app."""
    linked: bool = False
    """Used where it lies: another program's file, or one that the user named."""
    missing: bool = False
    """Its file is not there now, such as on a drive that is not connected."""
    owner: Owner = ""
    """The program whose folder a linked file lies in."""
    embeds: bool = False
    """Makes vectors for searching; it cannot write."""


@dataclass(frozen=True)
class Starter:
    """What ``resources/starter-model.json`` says of the model that ships with the app."""

    name: str
    file: str
    quantisation: str
    sha256: str
    size: int
    licence: str
    source: str
    """Requirement of the package that carries it."""
    description: str
    sampling: dict[str, float] = field(default_factory=dict)
    """Recommended values, by the names of `protocol.Sampling`."""

    @classmethod
    def from_resources(cls) -> "Starter":
        """The manifest that ships with the app."""
        return cls(**json.loads((resources() / "starter-model.json").read_text(encoding="utf-8")))


def discover(folders: Iterable[Path], starter: Starter) -> list[InstalledModel]:
    """Models in ``folders`` and the folders inside them, by name; a file is listed once.

    Hidden and unfinished files, multimodal projectors and the later parts of split files are left out,
    and so is what cannot be read.
    """
    found: dict[Path, InstalledModel] = {}
    for folder in folders:
        for path in _gguf_files(folder):
            try:
                model = describe(path, starter)  # a link to itself is no file, and cannot be resolved
                found.setdefault(path.resolve(), model)
            except ModelNotFound:
                continue
    return sorted(found.values(), key=by_name)


def by_name(model: InstalledModel) -> tuple[str, str, Path]:
    """Key that sorts models as they are listed."""
    return model.name.casefold(), model.quantisation, model.path


def describe(path: Path, starter: Starter) -> InstalledModel:
    """The model at ``path``; raise `ModelNotFound` where there is no file."""
    path = path.absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:  # neither the store nor the engine's protocol can name it
        raise ModelNotFound(
            f"The name of the model file {path} is not UTF-8.", "Rename the file or its folder."
        ) from None
    size = sum(part.stat().st_size for part in files_of(path))
    if path.name == starter.file and size == starter.size:
        return InstalledModel(path, starter.name, starter.quantisation, size, starter=True)
    name, quantisation = named(_PART.sub("", path.stem))
    return InstalledModel(path, name or path.stem, quantisation, size)


def named(stem: str) -> tuple[str, str]:
    """The shown name and the quantisation (empty where unknown) that a file's name without its end tells."""
    quantisation = _QUANTISATION.search(stem)
    words = re.split(r"[-_ ]+", stem[: quantisation.start()] if quantisation else stem)
    name = " ".join(_shown_word(word) for word in words if word)
    return name, quantisation[1].upper() if quantisation else ""


@dataclass(frozen=True)
class FileRecord:
    """What the store keeps of a model file; None and empty where it never happened."""

    path: Path
    size: int
    mtime_ns: int
    sha256: str
    """Of the file as it was first seen, or as it was accepted."""
    found_sha256: str
    """What it was found to be, where that is something else."""
    recorded: datetime | None
    verified: datetime | None
    """When it was last read again and was the same."""
    used: datetime | None
    source: str
    """Such as ``owner/name@commit``."""
    licence: str
    """As its publisher named it on the hub."""


OnChanged = Callable[[str, str], None]
"""Told the recorded and the found hash of a file that changed, in the transaction that keeps it."""


class ModelFiles:
    """Hashes of model files; one is computed once, for as long as the file stays the same.

    The first hash of a file is recorded. A file that is another one later is not taken for it until
    somebody accepts that.
    """

    def __init__(self, database: Database, on_changed: OnChanged = lambda recorded, found: None) -> None:
        self._database = database
        self._on_changed = on_changed

    def record(self, path: Path) -> FileRecord | None:
        """What is kept of the file at ``path``, whether it is there now or not."""
        row = self._database.row("SELECT * FROM model_file WHERE path = ?", [str(path)])
        return None if row is None else _record(row)

    def records(self) -> dict[Path, FileRecord]:
        """All that is kept, by path."""
        records = map(_record, self._database.rows("SELECT * FROM model_file"))
        return {record.path: record for record in records}

    def known_sha256(self, path: Path) -> str | None:
        """The hash of the file as it is now; None when it was never computed, or is not the recorded one."""
        size, mtime_ns = state(path)
        row = self._database.row(
            "SELECT sha256 FROM model_file WHERE path = ? AND size = ? AND mtime_ns = ? "
            "AND sha256 <> '' AND found_sha256 = ''",
            [str(path), size, mtime_ns],
        )
        return None if row is None else str(row["sha256"])

    def sha256(self, path: Path, on_progress: Callable[[float], None] | None = None) -> str:
        """SHA-256 of the bytes of the model's parts in their order, in hexadecimal; about 1 s per GiB.

        ``on_progress`` gets the fraction that is read. Raise `ModelNotFound`, or `ModelChanged` for a
        file that is not the one that was recorded.
        """
        known = self.known_sha256(path)
        if known is not None:
            return known
        record = self.record(path)
        if record and record.found_sha256 and (record.size, record.mtime_ns) == state(path):
            raise _changed(path)
        before = state(path)
        found = compute_sha256(path, on_progress)
        # While it is being written nothing is kept: the next call looks again.
        if state(path) == before and not self._compare(path, before, found):
            raise _changed(path)
        return found

    def verify(self, path: Path, on_progress: Callable[[float], None] | None = None) -> bool:
        """Read the file again, however it looks; whether it is the one that was recorded.

        Raise `ModelNotFound`, or `UsageError` for a file that is being written.
        """
        before = state(path)
        found = compute_sha256(path, on_progress)
        if state(path) != before:
            raise UsageError(f"{path.name} is being written now.", "Verify it later.")
        return self._compare(path, before, found)

    def keep(self, path: Path, sha256: str, *, source: str = "", licence: str = "") -> None:
        """Record a file that was just put there and whose hash is known (empty: not yet)."""
        now = _now()
        self._database.execute(
            "INSERT OR REPLACE INTO model_file "
            "(path, size, mtime_ns, sha256, recorded, verified, source, licence) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [str(path), *state(path), sha256, now if sha256 else None, None, source, licence],
        )

    def accept(self, path: Path) -> str:
        """Let what was found of a changed file be what is recorded; its hash. Raise `UsageError`."""
        row = self._database.row(
            "UPDATE model_file SET sha256 = found_sha256, found_sha256 = '', recorded = ?, verified = NULL "
            "WHERE path = ? AND found_sha256 <> '' RETURNING sha256",
            [_now(), str(path)],
        )
        if row is None:
            raise UsageError(f"{path.name} is what it was.", "There is nothing to accept.")
        return str(row["sha256"])

    def used(self, path: Path) -> None:
        """The model at ``path`` is used now."""
        self._database.execute("UPDATE model_file SET used = ? WHERE path = ?", [_now(), str(path)])

    def forget(self, path: Path) -> None:
        """Keep nothing of it any more."""
        self._database.execute("DELETE FROM model_file WHERE path = ?", [str(path)])

    def folder_moved(self, source: Path, target: Path) -> None:
        """What is kept of files in ``source`` is from now on about those in ``target``."""
        below = f"{source}{os.sep}"
        self._database.execute(
            "UPDATE OR REPLACE model_file SET path = ? || substr(path, ?) WHERE substr(path, 1, ?) = ?",
            [str(target), len(str(source)) + 1, len(below), below],
        )

    def _compare(self, path: Path, now: tuple[int, int], found: str) -> bool:
        """Keep what a whole reading of the file found; whether it is as recorded (or the first)."""
        record = self.record(path)
        if record is None or not record.sha256:
            self._database.execute(
                "INSERT INTO model_file (path, size, mtime_ns, sha256, recorded) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, "
                "sha256 = excluded.sha256, recorded = excluded.recorded",
                [str(path), *now, found, _now()],
            )
            return True
        same = found == record.sha256
        values = [*now, "" if same else found, same, _now(), str(path)]
        with self._database.transaction():
            self._database.execute(
                "UPDATE model_file SET size = ?, mtime_ns = ?, found_sha256 = ?, "
                "verified = CASE WHEN ? THEN ? ELSE verified END WHERE path = ?",
                values,
            )
            if not same and found != record.found_sha256:
                self._on_changed(record.sha256, found)
        return same


def _changed(path: Path) -> ModelChanged:
    return ModelChanged(
        f"{path.name} is not the file that it was: its SHA-256 has changed.",
        f"Accept it under Models or with `localai-app models verify “{path.name}” --accept`, or remove it.",
    )


def _record(row: Row) -> FileRecord:
    return FileRecord(
        path=Path(row["path"]),
        size=row["size"],
        mtime_ns=row["mtime_ns"],
        sha256=row["sha256"],
        found_sha256=row["found_sha256"],
        recorded=_time(row["recorded"]),
        verified=_time(row["verified"]),
        used=_time(row["used"]),
        source=row["source"],
        licence=row["licence"],
    )


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def _now() -> int:
    return int(datetime.now(UTC).timestamp() * 1_000_000)


def state(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds, over all parts; raise `ModelNotFound`."""
    stats = [part.stat() for part in files_of(path)]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


def compute_sha256(path: Path, on_progress: Callable[[float], None] | None = None) -> str:
    """Read the whole model and hash it; see `ModelFiles.sha256`."""
    total = max(1, state(path)[0])
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_BLOCK))
    done = 0
    for part in files_of(path):
        try:
            with part.open("rb", buffering=0) as file:
                while count := file.readinto(buffer):
                    digest.update(buffer[:count])
                    done += count
                    if on_progress is not None:
                        on_progress(min(1.0, done / total))
        except OSError as error:
            raise ModelNotFound(
                f"The model file {part} cannot be read: {error.strerror}.", "Choose another model."
            ) from error
    return digest.hexdigest()


def files_of(path: Path) -> list[Path]:
    """The files that make up the model whose (first) file is ``path``; raise `ModelNotFound`."""
    split = _PART.search(path.stem)
    parts = [path]
    if split:
        stem = path.stem[: split.start()]
        parts = [
            path.with_name(f"{stem}-{number:05}-of-{split[2]}{path.suffix}")
            for number in range(1, int(split[2]) + 1)
        ]
    for part in parts:
        if not part.is_file():
            raise ModelNotFound(f"There is no model file {part}.", "Choose another model.")
    return parts


def _gguf_files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            split = _PART.search(path.stem)
            if (
                path.suffix.lower() == ".gguf"
                and not name.startswith(".")
                and "mmproj" not in name.lower()
                and (split is None or int(split[1]) == 1)
            ):
                yield path


def _shown_word(word: str) -> str:
    """``270m`` as ``270M``, ``gemma`` as ``Gemma``; other spellings are left as the author chose them."""
    if _SIZE.match(word):
        return word.upper().replace("X", "x")
    return word[0].upper() + word[1:] if word.islower() else word

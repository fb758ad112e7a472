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
from pathlib import Path

from localai_app.errors import ModelNotFound
from localai_app.paths import resources
from localai_app.store.database import Database

_BLOCK = 4 * 1024 * 1024
_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_QUANTISATION = re.compile(
    r"[-._ ]((?:UD-)?(?:I?Q\d(?:_[0-9A-Z]+)*|TQ\d_\d|MXFP4(?:_MOE)?|BF16|F16|FP16|F32|FP32))$", re.IGNORECASE
)
_SIZE = re.compile(r"^(\d+x)?\d+(\.\d+)?[mbt]$", re.IGNORECASE)


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
                found.setdefault(path.resolve(), describe(path, starter))
            except ModelNotFound:
                continue
    return sorted(found.values(), key=lambda model: (model.name.casefold(), model.quantisation, model.path))


def describe(path: Path, starter: Starter) -> InstalledModel:
    """The model at ``path``; raise `ModelNotFound` where there is no file."""
    path = path.absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError:  # neither the store nor the engine's protocol can name it
        raise ModelNotFound(
            f"The name of the model file {path} is not UTF-8.", "Rename the file or its folder."
        ) from None
    size = sum(part.stat().st_size for part in _parts(path))
    if path.name == starter.file and size == starter.size:
        return InstalledModel(path, starter.name, starter.quantisation, size, starter=True)
    stem = _PART.sub("", path.stem)
    quantisation = _QUANTISATION.search(stem)
    words = re.split(r"[-_ ]+", stem[: quantisation.start()] if quantisation else stem)
    name = " ".join(_shown_word(word) for word in words if word)
    return InstalledModel(path, name or path.stem, quantisation[1].upper() if quantisation else "", size)


class ModelFiles:
    """Hashes of model files; one is computed once, for as long as the file stays the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known_sha256(self, path: Path) -> str | None:
        """The hash of the file as it is now; None when it was never computed."""
        size, mtime_ns = state(path)
        row = self._database.row(
            "SELECT sha256 FROM model_file WHERE path = ? AND size = ? AND mtime_ns = ?",
            [str(path), size, mtime_ns],
        )
        return None if row is None else str(row["sha256"])

    def sha256(self, path: Path, on_progress: Callable[[float], None] | None = None) -> str:
        """SHA-256 of the bytes of the model's parts in their order, in hexadecimal; about 1 s per GiB.

        ``on_progress`` gets the fraction that is read. Raise `ModelNotFound`.
        """
        known = self.known_sha256(path)
        if known is not None:
            return known
        before = state(path)
        found = compute_sha256(path, on_progress)
        if state(path) == before:  # else it is being written: the next call looks again
            self._database.execute(
                "INSERT INTO model_file (path, size, mtime_ns, sha256) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (path) DO UPDATE "
                "SET size = excluded.size, mtime_ns = excluded.mtime_ns, sha256 = excluded.sha256",
                [str(path), *before, found],
            )
        return found


def state(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds, over all parts; raise `ModelNotFound`."""
    stats = [part.stat() for part in _parts(path)]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


def compute_sha256(path: Path, on_progress: Callable[[float], None] | None = None) -> str:
    """Read the whole model and hash it; see `ModelFiles.sha256`."""
    total = max(1, state(path)[0])
    digest = hashlib.sha256()
    done = 0
    for part in _parts(path):
        try:
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    done += len(block)
                    if on_progress is not None:
                        on_progress(min(1.0, done / total))
        except OSError as error:
            raise ModelNotFound(
                f"The model file {part} cannot be read: {error.strerror}.", "Choose another model."
            ) from error
    return digest.hexdigest()


def _parts(path: Path) -> list[Path]:
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

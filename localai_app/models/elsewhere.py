"""Models that other programs keep on this machine.

LM Studio, Jan, Ollama and the Hugging Face cache each have a folder of their own. Finding is pure: from a
home folder to what lies there, without opening a model. What these programs wrote beside their models is
read as data from elsewhere; what is broken is passed over. `links` uses what is found.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from localai_app.errors import ModelNotFound
from localai_app.models.installed import InstalledModel, Owner, Starter, describe, discover, named

_MAX_NOTE = 1024 * 1024
"""Bytes of a manifest or a note that is read."""
_MAX_FOUND = 2000
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_OLLAMA_MODEL = "application/vnd.ollama.image.model"


@dataclass(frozen=True)
class FoundModel:
    """A model in another program's folder, or one that is linked."""

    path: Path
    """Of the (first) file."""
    name: str
    quantisation: str
    size: int
    """Bytes, of all parts."""
    owner: Owner = ""
    sha256: str | None = None
    """As the other program states it; not checked."""
    repository: str = ""
    """On Hugging Face, where the folder says it."""
    revision: str = ""


@dataclass(frozen=True)
class Places:
    """Where the other programs keep models."""

    lm_studio: tuple[Path, ...] = ()
    jan: tuple[Path, ...] = ()
    ollama: tuple[Path, ...] = ()
    hugging_face: tuple[Path, ...] = ()


def places(home: Path, environment: Mapping[str, str] = os.environ, system: str = sys.platform) -> Places:
    """The folders that these programs use for the user whose ``home`` it is; whether there or not.

    ``environment`` and ``system`` are those of this process unless given. macOS and Windows follow the
    programs' documentation and are untested.
    """

    def given(*names: str) -> Path | None:
        return next((Path(environment[name]) for name in names if environment.get(name)), None)

    if system == "win32":
        settings = given("APPDATA") or home / "AppData" / "Roaming"
    elif system == "darwin":
        settings = home / "Library" / "Application Support"
    else:
        settings = given("XDG_CONFIG_HOME") or home / ".config"
    studio = _pointer(home / ".lmstudio-home-pointer") or home / ".lmstudio"
    ollama = [given("OLLAMA_MODELS"), home / ".ollama" / "models"]
    if system.startswith("linux"):  # where its service keeps them
        ollama += [Path("/usr/share/ollama/.ollama/models"), Path("/var/lib/ollama/.ollama/models")]
    cache = given("XDG_CACHE_HOME") or home / ".cache"
    hub = given("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    if hub is None:
        hub = (given("HF_HOME") or cache / "huggingface") / "hub"
    return Places(
        lm_studio=(studio / "models", home / ".cache" / "lm-studio" / "models"),
        jan=(settings / "Jan" / "data", home / "jan"),
        ollama=tuple(folder for folder in ollama if folder is not None),
        hugging_face=(hub,),
    )


def find(where: Places, starter: Starter) -> list[FoundModel]:
    """Models in these folders, by program and name; a file is listed once, at most 2,000 in all."""
    finders: list[tuple[Callable[[Path, Starter], Iterable[FoundModel]], tuple[Path, ...]]] = [
        (in_lm_studio, where.lm_studio),
        (in_jan, where.jan),
        (in_ollama, where.ollama),
        (in_hugging_face_cache, where.hugging_face),
    ]
    found: dict[Path, FoundModel] = {}
    for finder, folders in finders:
        for folder in folders:
            for model in finder(folder, starter):
                found.setdefault(_resolved(model.path), model)
                if len(found) >= _MAX_FOUND:
                    return list(found.values())
    return list(found.values())


def found_model(
    model: InstalledModel,
    owner: Owner,
    *,
    sha256: str | None = None,
    repository: str = "",
    revision: str = "",
) -> FoundModel:
    """``model`` as one that was found."""
    return FoundModel(
        model.path, model.name, model.quantisation, model.size, owner, sha256, repository, revision
    )


def in_lm_studio(folder: Path, starter: Starter) -> list[FoundModel]:
    """``folder`` has a folder per publisher, in it one per repository, in it the files."""
    return [
        found_model(
            model, "LM Studio", repository="/".join(model.path.relative_to(folder.absolute()).parts[:2])
        )
        if len(model.path.relative_to(folder.absolute()).parts) == 3
        else found_model(model, "LM Studio")
        for model in discover([folder], starter)
    ]


def in_jan(folder: Path, starter: Starter) -> list[FoundModel]:
    """``folder`` is Jan's data folder: a folder per model with ``model.yml`` and mostly ``model.gguf``."""
    found: list[FoundModel] = []
    for models in (folder / "llamacpp" / "models", folder / "cortexcpp" / "models", folder / "models"):
        for note in _files(models, "model.yml"):
            path = _path_in_note(note, folder)
            if path is not None and not path.is_relative_to(models):
                found += _described(path, "Jan", note.parent.name, starter)
        for model in discover([models], starter):
            stem = model.path.stem.lower()
            found += _described(model.path, "Jan", model.path.parent.name if stem == "model" else "", starter)
    return found


def in_ollama(folder: Path, starter: Starter) -> Iterator[FoundModel]:
    """``folder`` has ``manifests/<registry>/<namespace>/<model>/<tag>`` and ``blobs/sha256-…``."""
    manifests = folder / "manifests"
    for note in _files(manifests):
        parts = note.relative_to(manifests).parts
        if len(parts) < 3:
            continue
        for digest, size in _layers(note):
            path = folder / "blobs" / f"sha256-{digest}"
            name = _ollama_name(parts)
            if is_gguf(path) and _stat_size(path) == size and name.isprintable():
                quantisation = named(f"x-{parts[-1]}")[1]
                yield FoundModel(path.absolute(), name, quantisation, size, "Ollama", digest)


def in_hugging_face_cache(folder: Path, starter: Starter) -> Iterator[FoundModel]:
    """``folder`` has ``models--<owner>--<name>/snapshots/<revision>/<file>``, links to blobs beside it."""
    try:
        repositories = sorted(path for path in folder.iterdir() if path.name.startswith("models--"))
    except OSError:
        return
    for repository in repositories:
        name = "/".join(repository.name.split("--")[1:])
        for model in discover(_subfolders(repository / "snapshots"), starter):
            revision = model.path.relative_to((repository / "snapshots").absolute()).parts[0]
            blob = _resolved(model.path).name
            yield found_model(
                model,
                "Hugging Face cache",
                sha256=blob if _SHA256.match(blob) else None,
                repository=name,
                revision=revision,
            )


# ---------------------------------------------------------------- reading


def _described(path: Path, owner: Owner, folder_name: str, starter: Starter) -> list[FoundModel]:
    """The model at ``path``, named after its folder where ``folder_name`` is given."""
    try:
        model = describe(path, starter)
    except ModelNotFound:
        return []
    if not folder_name or not folder_name.isprintable():
        return [found_model(model, owner)]
    name, quantisation = named(folder_name)
    return [FoundModel(model.path, name, quantisation, model.size, owner)]


def _ollama_name(parts: tuple[str, ...]) -> str:
    """As ``ollama list`` writes it: ``llama3.2:3b``, ``owner/model:tag``, ``hf.co/owner/model:tag``."""
    registry, *path, tag = parts
    if registry == "registry.ollama.ai":
        path = path[1:] if path[:1] == ["library"] else path
    else:
        path = [registry, *path]
    return f"{'/'.join(path)}:{tag}"


def _layers(manifest: Path) -> list[tuple[str, int]]:
    """Hash and size of the models in an Ollama manifest."""
    try:
        layers = json.loads(_read(manifest))["layers"]
        return [
            (layer["digest"].removeprefix("sha256:"), layer["size"])
            for layer in layers
            if layer["mediaType"] == _OLLAMA_MODEL
            and _SHA256.match(layer["digest"].removeprefix("sha256:"))
            and type(layer["size"]) is int
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _path_in_note(note: Path, data: Path) -> Path | None:
    """``model_path`` of Jan's note: absolute, or below its data folder."""
    try:
        match = re.search(r"^model_path:\s*(.+?)\s*$", _read(note), re.MULTILINE)
    except (OSError, ValueError):
        return None
    if match is None:
        return None
    return data / match[1].strip("'\"")


def _pointer(path: Path) -> Path | None:
    """The folder that a one-line file names."""
    try:
        text = _read(path).strip()
    except (OSError, ValueError):
        return None
    return Path(text) if text and "\n" not in text and Path(text).is_absolute() else None


def _files(folder: Path, name: str = "") -> Iterator[Path]:
    """Files in and below ``folder``, in order; only those called ``name`` where one is given."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for file in sorted(names):
            if file == (name or file) and not file.startswith("."):
                yield Path(parent, file)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _read(path: Path) -> str:
    """A small text file; raise `OSError` or `ValueError` (too long, not UTF-8)."""
    with path.open("rb") as file:
        data = file.read(_MAX_NOTE + 1)
    if len(data) > _MAX_NOTE:
        raise ValueError("too long")
    return data.decode()


def is_gguf(path: Path) -> bool:
    """Whether the file begins as a GGUF file does."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _stat_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return path

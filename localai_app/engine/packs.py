"""Which llama.cpp a worker loads: an administrator's pack, the app's own, or the one of llama-cpp-python.

An engine pack is a folder ``NAME`` in one of `paths.engine_pack_folders`: a whole engine as
packaging/build_engine.py makes it, with ``engine.json``, which names every file and its SHA-256, and
``engine.json.minisig``, its signature by the app's maker (``resources/engine.pub``) or by the organisation
(``engine.pub`` in `paths.organisation_folder`). It is used when no other file lies there and:

- nobody but the administrator can change the folder and its files (on Windows the folder's access list, that
  of the programs' folder, says it; it is not looked at);
- the signature is right, and each file is the one that was signed;
- it is for this system, this kind of processor and the very version of llama-cpp-python that is installed.

A pack that fails any of this is not loaded, and one line says why. Of several the first with a part for a GPU
is taken, in the order of the folders and of their names. A changed pack counts from the next worker on.

The packaged app has its own engine beside its resources; it is guarded as the program itself is, by who may
write there. A checkout has none: there llama-cpp-python brings the libraries that were compiled for it.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localai_app import paths

MANIFEST, SIGNATURE, KEY = "engine.json", "engine.json.minisig", "engine.pub"
SCHEMA = 1
_BINDING = "llama-cpp-python"
_MAX_BYTES = 1 << 20
_SYSTEM = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
_LIBRARY = {"win32": "llama.dll", "darwin": "libllama.dylib"}.get(sys.platform, "libllama.so")
_BACKEND = re.compile(r"(?:lib)?ggml-([a-z0-9]+)")


class Manifest(msgspec.Struct, frozen=True):
    """``engine.json``; what else stands in it is for people."""

    schema: int
    name: str
    system: str
    machine: str
    binding: str
    """The version of llama-cpp-python that it fits: ``llama-cpp-python 0.3.36``."""
    llama_cpp: str
    """The version of llama.cpp."""
    files: dict[str, str]
    """Name and SHA-256 of every other file in the folder."""


@dataclass(frozen=True)
class EngineFiles:
    """Where a worker finds llama.cpp."""

    folder: Path | None
    """None: inside llama-cpp-python."""
    pack: str = ""
    """Its name, where it is a pack."""
    problem: str = ""
    """Why a pack that is installed is not used, in one line; empty where all is well."""


def chosen() -> EngineFiles:
    """The engine of this machine."""
    folders = tuple(paths.engine_pack_folders())
    keys = (paths.resources() / KEY, paths.organisation_folder() / KEY)
    found = tuple(_packs(folders))
    return _chosen(found, keys, _state([*found, *keys]))


@functools.lru_cache(maxsize=1)
def _chosen(packs: tuple[Path, ...], keys: tuple[Path, ...], state: object) -> EngineFiles:
    """`choose`, remembered while no file changes: hashing half a gigabyte for each worker takes too long."""
    del state
    return choose(packs, keys, paths.built_in_engine())


def choose(
    packs: Iterable[Path], keys: Sequence[Path], built_in: Path | None, *, administrator: int = 0
) -> EngineFiles:
    """The first good one of ``packs``, else the ``built_in`` engine; ``administrator`` owns packs."""
    good: list[tuple[Path, Manifest]] = []
    problems = []
    for pack in packs:
        try:
            good.append((pack, verified(pack, keys, administrator)))
        except Unusable as reason:
            problems.append(f"The engine pack “{pack.name}” is not used: {reason}")
    good.sort(key=lambda one: not gpu_backends(one[1].files))
    if problems and not good:
        problems.append("The app's own engine computes.")
    if good:
        folder, manifest = good[0]
        return EngineFiles(folder, manifest.name, " ".join(problems))
    return EngineFiles(built_in, "", " ".join(problems))


class Unusable(Exception):
    """A pack cannot be used; the message says why, as a sentence."""


def verified(pack: Path, keys: Sequence[Path], administrator: int) -> Manifest:
    """What ``pack`` is; raise `Unusable` for one that may not be loaded."""
    try:
        present = {path.name: path for path in pack.iterdir()}
        _require_owner([pack, *present.values()], administrator)
        data, signature = _read(pack / MANIFEST), _read(pack / SIGNATURE)
        _require_signature(data, signature, [_read(key) for key in _owned(keys, administrator)])
        manifest = _parse(data)
        if set(present) - {MANIFEST, SIGNATURE} != set(manifest.files) or _LIBRARY not in manifest.files:
            raise Unusable("it does not hold the files that were signed. Install it again.")
        for name, sha256 in manifest.files.items():
            with present[name].open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise Unusable(f"{name} is not the file that was signed. Install it again.")
    except OSError as error:
        raise Unusable(f"{error.filename} cannot be read ({error.strerror}).") from None
    return manifest


def gpu_backends(names: Iterable[str]) -> list[str]:
    """What the libraries with these ``names`` can compute on besides the processor: ``cuda``, ``vulkan``."""
    kinds = (_BACKEND.match(name) for name in names)
    return [kind[1] for kind in kinds if kind and kind[1] not in ("base", "cpu")]


def _parse(data: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError:
        raise Unusable(f"{MANIFEST} is of another form. Install the pack of this version.") from None
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    if (manifest.schema, manifest.system, manifest.machine) != (SCHEMA, _SYSTEM, machine):
        raise Unusable(f"it is for {manifest.system} on {manifest.machine}.")
    installed = f"{_BINDING} {importlib.metadata.version(_BINDING)}"
    if manifest.binding != installed:
        raise Unusable(f"it fits {manifest.binding}, and the app has {installed}. Install the pack for it.")
    return manifest


def _require_signature(data: bytes, signature: bytes, keys: Iterable[bytes]) -> None:
    from minisign import Error, PublicKey, Signature, VerifyError  # noqa: PLC0415 - 30 ms, and packs are rare

    for key in keys:
        try:
            PublicKey.from_bytes(key).verify(data, Signature.from_bytes(signature))
        except VerifyError:
            continue
        except (Error, ValueError, IndexError):
            continue  # no key, or no signature, in the form of minisign
        return
    raise Unusable("it is not signed by a key that this computer trusts. Get it from the app's maker.")


def _owned(keys: Iterable[Path], administrator: int) -> Iterable[Path]:
    """Those of ``keys`` that are there; the app's own is guarded as the app is."""
    for key in keys:
        if key.is_file():
            if not key.is_relative_to(paths.resources()):
                _require_owner([key.parent, key], administrator)
            yield key


def _require_owner(files: Iterable[Path], administrator: int) -> None:
    """Only the administrator may be able to change ``files``, and none may be a link (checked on POSIX)."""
    if os.name != "posix":
        return
    for path in files:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise Unusable(f"{path} is a link.")
        if found.st_uid != administrator or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise Unusable(
                f"{path} can be changed by others than the administrator. "
                "It must belong to root and be writable by nobody else."
            )


def _packs(folders: Iterable[Path]) -> Iterable[Path]:
    """The packs in ``folders``, in order."""
    for folder in folders:
        try:
            yield from sorted(path for path in folder.iterdir() if (path / MANIFEST).exists())
        except OSError:  # the usual case: there is no such folder
            continue


def _state(files: Iterable[Path]) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when one of ``files``, or a file in one of them, does."""
    seen = []
    for path in files:
        try:
            within = sorted(path.iterdir()) if path.is_dir() else []
            for one in (path, *within):
                found = one.lstat()
                seen.append((str(one), found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        except OSError:
            continue
    return tuple(seen)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise Unusable(f"{path} is longer than {_MAX_BYTES:,} bytes.")
    return data

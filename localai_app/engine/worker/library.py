"""Loads the parts of llama.cpp that compute, where the app named a folder with an engine for every processor.

Such an engine has one library for each family of processors (``libggml-cpu-haswell.so``). Each says how well
it suits this machine, 0 for not at all; the best is registered with ggml. This must come before ggml is used
for anything: left alone, llama.cpp looks for libraries beside the program and in the current folder.

Functions are always looked up in the library that llama_cpp loaded and in what that one links to: opened
under another name, ggml would be a second one, in which nothing is registered.
"""

import ctypes
import functools
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as C  # noqa: N812 - C is the library

from localai_app.engine.protocol import CPU_VARIANT, ENGINE_FOLDER, ENGINE_GPU

_NAME = re.compile(r"(?:lib)?ggml-(cpu-)?([a-z0-9_]+)\.(?:so|dll|dylib)")


@dataclass(frozen=True)
class Parts:
    """What was loaded besides llama.cpp itself."""

    variant: str = ""
    """The family of processors: ``haswell``; empty for an engine that has one only."""
    notice: str = ""
    """Why something that is there was not loaded, in one line."""


class NothingFits(Exception):
    """No part of the engine runs on this processor."""


def function(name: str, result: Any, *arguments: Any) -> Any:
    """``name`` of ggml, with its types."""
    for library in _libraries():
        found = getattr(library, name, None)
        if found is not None:
            found.restype, found.argtypes = result, list(arguments)
            return found
    raise AttributeError(f"llama.cpp has no {name}")


def load() -> Parts:
    """Load the GPU's part where this worker may reach it, and the best one for the processor."""
    folder = os.environ.get(ENGINE_FOLDER)
    if folder is None:  # llama-cpp-python's own: it is linked to all that it can compute on
        return Parts()
    named = [(_NAME.fullmatch(path.name), path) for path in sorted(Path(folder).iterdir())]
    variants = {name[2]: path for name, path in named if name and name[1]}
    others = {name[2]: path for name, path in named if name and not name[1] and name[2] != "base"}
    notices = [_load_gpu(kind, path) for kind, path in others.items()] if os.environ.get(ENGINE_GPU) else []
    variant, notice = _load_best(variants, os.environ.get(CPU_VARIANT, ""))
    return Parts(variant, " ".join(filter(None, [*notices, notice])))


def _load_best(variants: dict[str, Path], wanted: str) -> tuple[str, str]:
    """Register the best of ``variants``, or the ``wanted`` one; its name, and why it is not that one."""
    scores = {name: _score(path) for name, path in variants.items()}
    fitting = sorted((name for name, score in scores.items() if score > 0), key=lambda name: -scores[name])
    notice = ""
    if wanted in fitting:
        fitting.insert(0, wanted)
    elif wanted:
        notice = f"This processor does not run the engine's variant “{wanted}”: another one is used."
    for name in fitting:
        if _register(variants[name]):
            return name, notice
    raise NothingFits(f"error: none of the engine's {len(variants)} variants runs on this processor")


def _load_gpu(kind: str, path: Path) -> str:
    """Register the part for a GPU; why that cannot be, in words."""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return _without_gpu(kind, f"its driver is missing or broken ({str(error).partition(': ')[0]})")
    backend = _register(path)
    if not backend or not function("ggml_backend_reg_dev_count", ctypes.c_size_t, ctypes.c_void_p)(backend):
        return _without_gpu(kind, "its driver reports no device")
    return ""


def _without_gpu(kind: str, reason: str) -> str:
    return f"The GPU is not used ({kind}): {reason}. The processor computes."


def _register(path: Path) -> int | None:
    """Hand the library at ``path`` to ggml; its handle, None for one that ggml refuses."""
    load_backend = function("ggml_backend_load", ctypes.c_void_p, ctypes.c_char_p)
    handle: int | None = load_backend(str(path).encode())
    return handle


def _score(path: Path) -> int:
    """How well the library at ``path`` suits this processor; 0: it cannot run here."""
    try:
        score = ctypes.CDLL(str(path)).ggml_backend_score
    except (OSError, AttributeError):
        return 0
    return int(score())


@functools.cache
def _libraries() -> tuple[ctypes.CDLL, ...]:
    if sys.platform != "win32":
        return (C._lib,)
    # There a name is not looked for in what a library links to. They are loaded: this finds them.
    return tuple(ctypes.CDLL(str(C._base_path / name)) for name in ("ggml.dll", "ggml-base.dll"))

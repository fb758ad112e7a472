"""Loads a script of packaging/, which is no package."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent.parent


def load(name: str) -> ModuleType:
    """``packaging/<name>.py`` as a module; as when it is run, it finds the scripts beside it."""
    if str(ROOT / "packaging") not in sys.path:
        sys.path.append(str(ROOT / "packaging"))
    spec = importlib.util.spec_from_file_location(f"packaging_{name}", ROOT / "packaging" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module

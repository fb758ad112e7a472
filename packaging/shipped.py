"""What is in a package of the app: which component each shared library belongs to, and under which licence.

``native_components.toml`` holds what no tool can find out; the metadata of the Python packages says the rest.
`problems` is the gate that every package passes: each shared library has an owner, each licence may be
shipped, each licence text lies in the package, and no Python package came along that the lock does not name.
"""

import fnmatch
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

from license_expression import AND, OR, LicenseWithExceptionSymbol, get_spdx_licensing

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "packaging" / "native_components.toml"
LOCK = ROOT / "requirements.lock"
OCR_LOCK = ROOT / "requirements-ocr.lock"
TEXTS = Path("resources/licences/texts")

# The folders that packages lie in, inside what PyInstaller makes and inside a plain Python.
_BASES = re.compile(
    r"^(?:.*/)?(?:_internal|(?:opt|AppDir)/localai-app|Contents/(?:Frameworks|Resources|MacOS)|(?:[Ll]ib|lib/python3\.\d+)/site-packages)/"
)
_MAGIC = {
    b"\x7fELF",
    *(b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"),  # Mach-O
}
_TEXT_FILES = re.compile(r"licen[cs]e|copying|notice", re.IGNORECASE)

ALLOWED = frozenset(
    (
        *("0BSD", "Apache-2.0", "Bitstream-Vera", "blessing", "BSD-2-Clause", "BSD-3-Clause"),
        *("BSD-3-Clause-Open-MPI", "BSL-1.0", "bzip2-1.0.6", "CC0-1.0", "CNRI-Python", "FTL"),
        *("HPND-sell-variant", "IJG", "ISC", "LGPL-2.1-or-later", "LGPL-3.0-only", "libpng-2.0", "libtiff"),
        *("MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "OFL-1.1", "OpenSSL", "PSF-2.0", "Unicode-3.0", "Unlicense"),
        *("X11", "Zlib", "LicenseRef-GUST-Font-License", "LicenseRef-Intel-Simplified"),
        "LicenseRef-Microsoft-Redistributable",
    )
)
ALLOWED_WITH = frozenset(
    {
        "Apache-2.0 WITH LLVM-exception",
        "GPL-2.0-or-later WITH Bootloader-exception",
        "GPL-3.0-or-later WITH GCC-exception-3.1",
    }
)
_WORDS = {
    "MIT License": "MIT",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
}
_SPDX = get_spdx_licensing()


@dataclass(frozen=True)
class Component:
    """One entry of the list."""

    name: str
    licence: str
    """SPDX; empty for a Python package whose own metadata says it."""
    version: str = ""
    version_of: str = ""
    """What tells the version, where it is no constant: ``python``, ``pyinstaller``, ``engine``."""
    looked_at: str = ""
    """Version of a Python package whose content this entry describes; empty for what is none."""
    url: str = ""
    note: str = ""
    only_in: str = ""
    """``ocr`` for a part of the text recognition."""
    files: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    inside: tuple["Component", ...] = ()

    def claims(self, path: str) -> bool:
        """Whether the file at ``path`` belongs to this component."""
        # Windows writes one name in several ways.
        return any(fnmatch.fnmatchcase(path.lower(), pattern.lower()) for pattern in self.files)


@dataclass(frozen=True)
class Listed:
    """The whole list."""

    components: tuple[Component, ...]
    """Python packages and others."""
    models: tuple[Component, ...]
    """Weights; ``files`` are patterns on the file's name."""
    declared: dict[str, str]
    """SPDX licences of Python packages whose metadata says it in other words."""

    def owner(self, path: str) -> tuple[Component, Component] | None:
        """The component that ``path`` belongs to, and the part of it (itself, where no part claims it)."""
        for component in self.components:
            for part in component.inside:
                if part.claims(path):
                    return component, part
        for component in self.components:
            # A library that a wheel brings along is somebody else's work: it needs an entry of its own.
            if component.claims(path) and "/.dylibs/" not in path:
                return component, component
        return None

    def package(self, name: str) -> Component | None:
        """The entry of a Python package."""
        return next((each for each in self.components if each.looked_at and each.name == name), None)


def listed(file: Path = LIST) -> Listed:
    """The list in ``file``."""
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    entries = [*content.get("component", []), *content.get("package", [])]
    models = [{**each, "files": [each["file"]]} for each in content.get("model", [])]
    for each in models:
        del each["file"]
    return Listed(
        tuple(_component(each) for each in entries),
        tuple(_component(each) for each in models),
        content.get("declared", {}),
    )


def _component(entry: dict[str, object]) -> Component:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    inside = entry.get("inside", [])
    assert isinstance(inside, list)
    values["inside"] = tuple(_component(each) for each in inside)
    return Component(**{"licence": "", **values})  # type: ignore[arg-type] # an unknown key is an error here


# ---------------------------------------------------------------- a package's folder


def native_files(folder: Path) -> dict[str, Path]:
    """Every program and shared library below ``folder``, by its path below the folder of the packages."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink() and is_native(file):
            found[_BASES.sub("", file.relative_to(folder).as_posix())] = file
    return found


def is_native(file: Path) -> bool:
    """Whether ``file`` is a program or shared library of Linux, macOS or Windows."""
    with file.open("rb") as opened:
        start = opened.read(4)
    # Java's classes begin as fat Mach-O files do, and nothing else of theirs is alike.
    return (start in _MAGIC and file.suffix != ".class") or start[:2] == b"MZ"


def distributions(folder: Path) -> dict[str, Distribution]:
    """The Python packages whose metadata lies below ``folder``, by their normal names."""
    found = {
        normal(each.name[: -len(".dist-info")].rpartition("-")[0]): each
        for each in folder.rglob("*.dist-info")
    }
    return {name: PathDistribution(path) for name, path in sorted(found.items())}


def normal(name: str) -> str:
    """A Python package's name as the index and the lock write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(distribution: Distribution, known: Listed) -> str:
    """The SPDX licence of a Python package; what it declares, where that is no SPDX."""
    name = normal(distribution.metadata["Name"])
    entry = known.package(name)
    if entry and entry.licence:
        return entry.licence
    if name in known.declared:
        return known.declared[name]
    metadata = distribution.metadata
    expression, text = (" ".join(metadata.get_all(key) or []) for key in ("License-Expression", "License"))
    classifiers = [
        str(each).rsplit(" :: ", 1)[-1]
        for each in metadata.get_all("Classifier") or []
        if str(each).startswith("License ::") and str(each) != "License :: OSI Approved"
    ]
    said = expression or (text if 0 < len(text) < 60 and "\n" not in text else ", ".join(classifiers))
    return _WORDS.get(said, said)


def has_text(distribution: Distribution, known: Listed) -> bool:
    """Whether the package's own metadata, or the list, holds the text of its licence."""
    entry = known.package(normal(distribution.metadata["Name"]))
    if entry and entry.texts:
        return True
    folder = distribution._path  # type: ignore[attr-defined] # `files` needs a RECORD, which bundles leave out
    return any(
        _TEXT_FILES.search(file.relative_to(folder).as_posix())
        for file in folder.rglob("*")
        if file.is_file()
    )


# ---------------------------------------------------------------- what may be shipped


def may_be_shipped(licence: str) -> bool:
    """Whether ``licence`` (SPDX) goes with this app: of alternatives one is enough, of parts all must."""
    try:
        tree = _SPDX.parse(licence, validate=False, simple=True)
    except Exception:
        return False
    return tree is not None and _allowed(tree)


def _allowed(tree: object) -> bool:
    match tree:
        case OR():
            return any(map(_allowed, tree.args))
        case AND():
            return all(map(_allowed, tree.args))
        case LicenseWithExceptionSymbol():
            return str(tree) in ALLOWED_WITH
    return str(tree) in ALLOWED


def locked(lock: Path = LOCK) -> dict[str, list[str]]:
    """The versions of every package in ``lock``; several where they differ by Python."""
    found: dict[str, list[str]] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        if "== 'emscripten'" in line:  # for a browser
            continue
        if pin := re.match(r"([a-z0-9-]+)==([^\s;]+)", line):
            found.setdefault(pin[1], []).append(pin[2])
    return dict(sorted(found.items()))


def problems(folder: Path, known: Listed) -> Iterator[str]:
    """Why the package in ``folder`` may not be delivered; nothing when it may."""
    packages = distributions(folder)
    yield from _problems_of_files(folder, packages, known)
    pins = locked(OCR_LOCK if "rapidocr" in packages else LOCK)
    for name, distribution in packages.items():
        licence, version = licence_of(distribution, known), distribution.version
        entry = known.package(name)
        if not may_be_shipped(licence):
            yield f"{name}: {licence or 'no licence'} may not be shipped"
        if not has_text(distribution, known):
            yield f"{name}: the text of its licence is missing"
        if version not in pins.get(name, []):
            yield f"{name} {version}: not what the lock names"
        if entry and entry.looked_at != version:
            yield f"{name} {version}: {LIST.name} describes {entry.looked_at}; look at it again"


def _problems_of_files(folder: Path, packages: dict[str, Distribution], known: Listed) -> Iterator[str]:
    used = dict.fromkeys(each for each in known.components if each.looked_at and each.name in packages)
    for name in native_files(folder):
        if owner := known.owner(name):
            used[owner[0]] = None
            if owner[1].looked_at and owner[1].name not in packages:
                yield f"{name}: the metadata of {owner[1].name} is missing"
        else:
            yield f"{name}: no component of {LIST.name} claims this file"
    # Text recognition is laid over the app, which holds the texts.
    own = ROOT / TEXTS if "rapidocr" in packages else folder / TEXTS
    texts = next((file for file in sorted(folder.rglob(TEXTS.name)) if is_texts(file)), own)
    for component in used:
        for part in (component, *component.inside):
            if part.licence and not may_be_shipped(part.licence):
                yield f"{part.name}: {part.licence} may not be shipped"
            yield from (
                f"{part.name}: {text_file(text)} is missing"
                for text in part.texts
                if not (texts / text_file(text)).is_file()
            )


def text_file(text: str) -> str:
    """Where a text of the list lies, below the folder of texts."""
    return text if "/" in text else f"{text}.txt"


def is_texts(folder: Path) -> bool:
    """Whether ``folder`` is where licence texts lie in a package."""
    return folder.is_dir() and folder.parts[-len(TEXTS.parts) :] == TEXTS.parts

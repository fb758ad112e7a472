"""Write resources/licences/README.md: what is installed with the app, and under which licence.

usage: list_licences.py            with the project's Python, after `make check`
       list_licences.py --check    say whether the file holds what would be written

Python packages come from the lock files, everything else from native_components.toml. Ends with status 1 when
a licence is not among those that may be shipped with this app (shipped.py).
"""

import importlib.metadata
import sys

from shipped import OCR_LOCK, ROOT, Component, Listed, licence_of, listed, locked, may_be_shipped

OUTPUT = ROOT / "resources" / "licences" / "README.md"

HEAD = """\
# Third-party licences

What is installed with LocalAI App (written by `packaging/list_licences.py`). Licence texts lie in the folder
`texts` beside this file and, of Python packages, in their own `*.dist-info` folders inside the installation.
`sbom.cdx.json`, beside this file in an installed app, lists every library with its hash.

None of it is under the AGPL. Under the GPL are only parts whose exception allows any licence for what they
are used with, each named below: the bootloader of PyInstaller and the runtime of the GNU compilers.

Under the LGPL are, each named below, Qt and PySide6, and small libraries inside other packages. All but GNU
libiconv, which is linked into lxml, are separate files that anybody may replace; their sources are at the
addresses below. Reverse engineering to debug such changes is allowed.
"""
PACKAGES = """
## Python packages

| package | version | licence |
|---|---|---|
"""
INSIDE = """
## Libraries and what is inside packages

| component | version | part of | licence |
|---|---|---|---|
"""
OCR = """
## Text recognition

Installed only with text recognition for scans (`make ocr`). FFmpeg's libraries inside OpenCV and GEOS inside
Shapely are under the LGPL 2.1; they are separate files. OpenCV's package for macOS brings x264 and x265,
which are under the GPL: text recognition is not delivered for macOS; who installs it there gets it from PyPI.

| package | version | licence |
|---|---|---|
"""
RUST = """
The Rust packages inside cryptography, typst and hf-xet are named one by one in the bill of materials, with
licence and address. Their wheels carry no copyright lines of theirs; the licences' texts are in `texts`.
"""
MODELS = """
## The models

| model | licence | from |
|---|---|---|
"""


def main(arguments: list[str]) -> None:
    """Write the list, or compare it; end with status 1 for a licence that does not go with it."""
    if arguments not in ([], ["--check"]):
        raise SystemExit(__doc__)
    known = listed()
    text, refused = document(known)
    if refused:
        raise SystemExit("error: licences to look at: " + "; ".join(refused))
    if not arguments:
        OUTPUT.write_text(text, encoding="utf-8")
    elif OUTPUT.read_text(encoding="utf-8") != text:
        raise SystemExit("error: the list of licences is old: run packaging/list_licences.py")


def document(known: Listed) -> tuple[str, list[str]]:
    """The list as Markdown, and what in it may not be shipped."""
    pins, with_ocr = locked(), locked(OCR_LOCK)
    ocr = {name: versions for name, versions in with_ocr.items() if name not in pins}
    base, extra = ([c for c in known.components if bool(c.only_in) is wanted] for wanted in (False, True))
    lines, refused = [HEAD, PACKAGES, *packages(pins, known), INSIDE, *components(base), RUST], []
    lines += [OCR, *packages(ocr, known), INSIDE.replace("## ", "### "), *components(extra), MODELS]
    lines += [f"| {model.name} | {model.licence} | {model.url} |\n" for model in known.models]
    for name in with_ocr:
        if not may_be_shipped(licence := installed_licence(name, known)):
            refused.append(f"{name}: {licence or 'unknown'}")
    for each in known.components:
        parts = [part for part in (each, *each.inside) if part.licence]
        refused += [f"{part.name}: {part.licence}" for part in parts if not may_be_shipped(part.licence)]
    return "".join(lines), refused


def packages(pins: dict[str, list[str]], known: Listed) -> list[str]:
    """A row for each Python package."""
    return [f"| {name} | {', '.join(pins[name])} | {installed_licence(name, known)} |\n" for name in pins]


def components(entries: list[Component]) -> list[str]:
    """A row for each component that is no Python package, and for each part of those."""
    rows = []
    for entry in entries:
        if not entry.looked_at:
            rows.append(row(entry, "the app"))
        rows += [row(part, entry.name) for part in entry.inside]
    return rows


def row(entry: Component, part_of: str) -> str:
    """One component."""
    name = f"[{entry.name}]({entry.url})" if entry.url else entry.name
    note = f". {entry.note}" if entry.note else ""
    return f"| {name} | {entry.version} | {part_of} | {entry.licence}{note} |\n"


def installed_licence(name: str, known: Listed) -> str:
    """The licence of a locked package; empty where neither the list nor what is installed here says it."""
    entry = known.package(name)
    if entry and entry.licence:
        return entry.licence
    if name in known.declared:
        return known.declared[name]
    try:
        return licence_of(importlib.metadata.distribution(name), known)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main(sys.argv[1:])

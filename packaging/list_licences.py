"""Write resources/licences/README.md: every runtime package of requirements.lock and its licence.

usage: list_licences.py            with the project's Python, after `make check`

Ends with status 1 when a package's licence is not among those that may be shipped with this app.
"""

import importlib.metadata
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OUTPUT = ROOT / "resources" / "licences" / "README.md"

# Packages that are not installed on the machine that writes the list, or that do not name their
# licence in a form that can be read. Looked up by hand in the package itself.
BY_HAND = {
    "sqlcipher3": "Zlib",
    "click-default-group": "Public domain (Unlicense)",
    "pywin32-ctypes": "BSD-3-Clause",
    "colorama": "BSD-3-Clause",
    "lazy-importer": "Apache-2.0",
    "pyside6-essentials": "LGPL-3.0-only (chosen among LGPL-3.0-only, GPL-2.0-only, GPL-3.0-only)",
    "shiboken6": "LGPL-3.0-only (chosen among LGPL-3.0-only, GPL-2.0-only, GPL-3.0-only)",
}
ALLOWED = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python|MPL|Zlib|zlib|HPND|CC0|Unlicense|LGPL-3.0-only \(chosen")
FORBIDDEN = re.compile(r"(?<!L)(A?GPL)")

HEAD = """\
# Third-party licences

What is installed with LocalAI App, from `requirements.lock` (written by `packaging/list_licences.py`).
Each package carries its licence text in its own `*.dist-info` folder inside the installation. None is
under the GPL or AGPL; Qt and PySide6 are used under the LGPL 3: as separate, replaceable libraries.

| package | version | licence |
|---|---|---|
"""
NATIVE = """
## Inside these packages

| component | in | licence |
|---|---|---|
| llama.cpp and ggml | llama-cpp-python | MIT |
| SQLCipher Community Edition, SQLite | sqlcipher3 | BSD-3-Clause; public domain |
| OpenSSL | sqlcipher3, cryptography | Apache-2.0 |
| Qt 6 | PySide6-Essentials | LGPL-3.0-only |
| libxml2, libxslt | lxml | MIT |
| OpenBLAS | numpy | BSD-3-Clause |
| libgfortran, libquadmath | numpy | GPL-3.0 with the GCC Runtime Library Exception; LGPL-2.1 |
| Argon2 | argon2-cffi-bindings | CC0-1.0 or Apache-2.0 |

## The models

The starter model is SmolLM2-135M-Instruct by Hugging Face, Apache-2.0; see `resources/starter-model.json`.
The embedding model is all-MiniLM-L6-v2 of the Sentence Transformers project, Apache-2.0; its weights are
rewritten as a GGUF file by `packaging/make_embedding_model.py`. Both are fetched when the app is set up and
are not part of this repository.
"""


def main() -> None:
    """Write the list; end with status 1 for a licence that does not go with it."""
    rows, refused = [], []
    for name, version in locked():
        licence = BY_HAND.get(name) or declared(name)
        rows.append(f"| {name} | {version} | {licence} |\n")
        if not ALLOWED.search(licence) or FORBIDDEN.search(licence.partition("(chosen")[0]):
            refused.append(f"{name}: {licence or 'unknown'}")
    OUTPUT.write_text(HEAD + "".join(rows) + NATIVE, encoding="utf-8")
    if refused:
        raise SystemExit("error: licences to look at: " + "; ".join(refused))
    sys.stderr.write(f"{len(rows)} packages: {OUTPUT.relative_to(ROOT)}\n")


def locked() -> list[tuple[str, str]]:
    """Name and version of every package in the lock; one row where versions differ by Python."""
    found: dict[str, str] = {}
    for line in LOCK.read_text(encoding="utf-8").splitlines():
        if "'emscripten'" in line:  # for a browser; no computer installs it
            continue
        if pin := re.match(r"([a-z0-9-]+)==(\S+)", line):
            found[pin[1]] = f"{found[pin[1]]}, {pin[2]}" if pin[1] in found else pin[2]
    return sorted(found.items())


def declared(name: str) -> str:
    """The licence that the installed package declares, in one line; empty where it does not."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
    expression, text = (" ".join(metadata.get_all(key) or []) for key in ("License-Expression", "License"))
    classifiers = [
        str(each).rsplit(" :: ", 1)[-1]
        for each in metadata.get_all("Classifier") or []
        if str(each).startswith("License ::") and str(each) != "License :: OSI Approved"
    ]
    return expression or (text if 0 < len(text) < 60 and "\n" not in text else ", ".join(classifiers))


if __name__ == "__main__":
    main()

"""What is delivered is listed, may be delivered, and comes with its licence texts."""

import importlib.metadata
import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.packaging.scripts import ROOT, load

shipped = load("shipped")
sbom = load("sbom")
licences = load("list_licences")
KNOWN = shipped.listed()
LOCKED = {**shipped.locked(shipped.OCR_LOCK), **shipped.locked()}


def installed(name: str) -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{name} is for another system")


# ---------------------------------------------------------------- the list and what is installed


@pytest.mark.parametrize("name", LOCKED)
def test_every_shared_library_of_a_locked_package_has_an_owner_and_its_licence(name: str) -> None:
    distribution = installed(name)
    for file in distribution.files or []:
        path = Path(str(distribution.locate_file(file)))
        if path.is_file() and shipped.is_native(path) and not str(file).startswith("../"):
            owner = KNOWN.owner(file.as_posix())
            assert owner, f"{file}: add it to {shipped.LIST.name}"
            assert owner[0].name == name or not owner[0].looked_at, f"{file} is put down to {owner[0].name}"
    assert shipped.may_be_shipped(shipped.licence_of(distribution, KNOWN))
    assert shipped.has_text(distribution, KNOWN)


@pytest.mark.parametrize("entry", [each for each in KNOWN.components if each.looked_at], ids=lambda e: e.name)
def test_what_was_looked_at_is_the_version_that_is_locked(entry: object) -> None:
    assert entry.looked_at in LOCKED[entry.name], "look at the new version, then change looked_at"  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the list is of what is built with Python 3.11")
def test_versions_inside_packages_are_what_the_libraries_say() -> None:
    from cryptography.hazmat.backends.openssl import backend
    from lxml import etree
    from PIL import features
    from PySide6.QtCore import qVersion
    from sqlcipher3 import dbapi2

    def inside(package: str, part: str) -> str:
        return str(next(p.version for p in KNOWN.package(package).inside if p.name.startswith(part)))

    connection = dbapi2.connect(":memory:")
    assert connection.execute("PRAGMA cipher_version").fetchone()[0].split()[0] == inside(
        "sqlcipher3", "SQLCipher"
    )
    assert connection.execute("SELECT sqlite_version()").fetchone()[0] == inside("sqlcipher3", "SQLite")
    connection.close()
    assert backend.openssl_version_text().split()[1] == inside("cryptography", "OpenSSL")
    assert ".".join(map(str, etree.LIBXML_VERSION)) == inside("lxml", "libxml2")
    assert ".".join(map(str, etree.LIBXSLT_VERSION)) == inside("lxml", "libxslt")
    assert qVersion() == inside("pyside6-essentials", "Qt")
    assert features.version("freetype2") == inside("pillow", "FreeType")
    assert features.version("harfbuzz") == inside("pillow", "HarfBuzz")
    assert features.version("libtiff") == inside("pillow", "libtiff")
    assert not features.check("libimagequant"), "this one is under the GPL"


def test_every_text_that_the_list_names_is_there_and_no_other() -> None:
    folder = ROOT / shipped.TEXTS
    entries = [*KNOWN.components, *KNOWN.models]
    named = {text for each in entries for part in (each, *each.inside) for text in part.texts}
    assert all((folder / shipped.text_file(text)).is_file() for text in named)
    assert {file.stem for file in folder.iterdir()} <= named


def test_what_belongs_to_no_python_package_brings_its_text() -> None:
    for each in KNOWN.components:
        if not each.looked_at:
            assert all(part.texts for part in (each, *each.inside)), each.name


def test_the_committed_list_is_what_the_sources_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, refused = licences.document(KNOWN)
    assert not refused
    assert licences.OUTPUT.read_text(encoding="utf-8") == text, "run packaging/list_licences.py"
    monkeypatch.setattr(licences, "OUTPUT", tmp_path / "README.md")
    (tmp_path / "README.md").write_text("old", encoding="utf-8")
    with pytest.raises(SystemExit, match="old"):
        licences.main(["--check"])


def test_what_an_lgpl_library_needs_is_said_of_each() -> None:
    text = licences.OUTPUT.read_text(encoding="utf-8")
    for name in ("FFmpeg", "GEOS", "libquadmath", "GNU libiconv", "| [Qt]"):
        assert name in text


# ---------------------------------------------------------------- licences


@pytest.mark.parametrize(
    "licence",
    [
        *("MIT", "Apache-2.0 OR GPL-2.0-only", "MIT AND (GPL-3.0-only OR BSD-3-Clause)", "LGPL-3.0-only"),
        *sorted(shipped.ALLOWED_WITH),
    ],
)
def test_may_be_shipped(licence: str) -> None:
    assert shipped.may_be_shipped(licence)


@pytest.mark.parametrize(
    "licence",
    [
        *("", "GPL-3.0-only", "AGPL-3.0-or-later", "MIT AND GPL-2.0-or-later", "MIT AND", "PSFL"),
        *("GPL-2.0-only OR AGPL-3.0-only", "GPL-2.0-only WITH Classpath-exception-2.0", "Proprietary"),
    ],
)
def test_may_not_be_shipped(licence: str) -> None:
    assert not shipped.may_be_shipped(licence)


# ---------------------------------------------------------------- a bundle


@pytest.fixture(autouse=True)
def _date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of one Python package with a library, CPython and the engine."""
    inner = tmp_path / "localai-app" / "_internal"
    for path in ("libpython3.11.so.1.0", "engine/libllama.so", "markupsafe/_speedups.cpython-311.so"):
        (inner / path).parent.mkdir(parents=True, exist_ok=True)
        (inner / path).write_bytes(b"\x7fELF 3.11.7 (main)")
    (inner / "engine" / "engine.json").write_text('{"llama_cpp": "b9"}', encoding="utf-8")
    shutil.copytree(ROOT / "resources" / "licences", inner / "resources" / "licences")
    source = Path(str(installed("markupsafe").locate_file(".")))
    metadata = next(source.glob("markupsafe-*.dist-info"))
    shutil.copytree(metadata, inner / metadata.name)
    (tmp_path / "localai-app" / "localai-app").write_bytes(b"\x7fELF bootloader")
    return tmp_path / "localai-app"


def test_bill_of_a_bundle_lists_every_library_with_licence_and_hash(bundle: Path) -> None:
    assert list(shipped.problems(bundle, KNOWN)) == []
    document = json.loads(sbom.document(bundle, KNOWN))

    def flat(parts: list[dict]) -> list[dict]:  # type: ignore[type-arg]
        return [each for part in parts for each in (part, *flat(part.get("components", [])))]

    parts = flat(document["components"])
    files = {part["name"]: part for part in parts if part["type"] == "file"}
    assert set(files) == set(shipped.native_files(bundle))
    assert all(part["hashes"][0]["alg"] == "SHA-256" and part["licenses"] for part in files.values())
    versions = {part["name"]: part.get("version") for part in parts}
    assert versions["CPython"] == "3.11.7"
    assert versions["llama.cpp and ggml"] == "b9"
    assert versions["markupsafe"] == installed("markupsafe").version


def test_the_same_bundle_gives_the_same_bytes_and_another_another_number(bundle: Path) -> None:
    first = sbom.document(bundle, KNOWN)
    assert sbom.document(bundle, KNOWN) == first
    (bundle / "_internal" / "engine" / "libllama.so").write_bytes(b"\x7fELF changed")
    second = json.loads(sbom.document(bundle, KNOWN))
    assert second["serialNumber"] != json.loads(first)["serialNumber"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("libreadline.so.8", "no component"),
        ("cv2/.dylibs/libx264.164.dylib", "no component"),
        ("numpy/_core/x.so", "metadata of numpy is missing"),
    ],
)
def test_a_library_that_nobody_knows_is_a_problem(bundle: Path, path: str, problem: str) -> None:
    file = bundle / "_internal" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\x7fELF")
    assert any(path in each and problem in each for each in shipped.problems(bundle, KNOWN))


def test_a_missing_licence_text_is_a_problem(bundle: Path) -> None:
    (bundle / "_internal" / shipped.TEXTS / "Python.txt").unlink()
    shutil.rmtree(next(bundle.rglob("markupsafe-*.dist-info/licenses")))
    found = list(shipped.problems(bundle, KNOWN))
    assert any("Python.txt is missing" in each for each in found)
    assert any("markupsafe" in each and "text of its licence" in each for each in found)


def test_a_package_that_came_along_is_a_problem(bundle: Path) -> None:
    metadata = bundle / "_internal" / "stowaway-1.0.dist-info"
    metadata.mkdir()
    (metadata / "LICENSE").write_text("...", encoding="utf-8")
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: stowaway\nVersion: 1.0\nLicense-Expression: GPL-3.0-only\n",
        encoding="utf-8",
    )
    found = list(shipped.problems(bundle, KNOWN))
    assert "stowaway: GPL-3.0-only may not be shipped" in found
    assert "stowaway 1.0: not what the lock names" in found


def test_the_command_writes_into_the_package_and_fails_for_what_may_not_go(bundle: Path) -> None:
    sbom.main([str(bundle)])
    written = json.loads((bundle / "_internal" / "resources" / "licences" / sbom.NAME).read_bytes())
    assert written["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")
    (bundle / "_internal" / "unknown.so").write_bytes(b"\x7fELF")
    with pytest.raises(SystemExit, match=r"unknown\.so"):
        sbom.main([str(bundle), "--check"])


def test_models_are_listed_and_unknown_ones_refused(tmp_path: Path) -> None:
    (tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    document = json.loads(sbom.document(tmp_path, KNOWN))
    assert document["components"][0]["type"] == "machine-learning-model"
    assert document["components"][0]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    (tmp_path / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(SystemExit, match="other"):
        sbom.document(tmp_path, KNOWN)


@pytest.mark.packaged
def test_the_built_bundle_may_be_delivered_and_is_listed_whole() -> None:
    bundle = ROOT / "dist" / "linux" / "localai-app"
    if not bundle.is_dir():
        pytest.skip("make bundle builds it")
    assert sorted(set(shipped.problems(bundle, KNOWN))) == []
    document = sbom.document(bundle, KNOWN)
    assert all(f'"name": {json.dumps(name)}' in document for name in shipped.native_files(bundle))

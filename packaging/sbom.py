"""Write the bill of materials of a package: CycloneDX 1.6, with every shared library, and check it.

usage: sbom.py FOLDER [--out FILE] [--check]

FOLDER      what is delivered: bundle.py's folder, a Windows payload, a folder of models
--out FILE  default: sbom.cdx.json in the licences folder of the package, else in FOLDER
--check     write nothing

Python packages come from their metadata, which bundles hold; the Rust packages inside wheels from the lists
that the wheels carry; everything else from native_components.toml. Ends with status 1, and a line for each,
when something in the package has no owner, no licence that may be shipped, or no licence text (shipped.py).
The same package gives the same bytes: its number is made of its content, its time is ``SOURCE_DATE_EPOCH``.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from bundle import source_date
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from shipped import TEXTS, Listed, distributions, is_texts, licence_of, listed, native_files, problems
from shipped import Component as Entry

from localai_app import __version__

NAME = "sbom.cdx.json"
_MAX_LIST = 1 << 24
"""Bytes of a wheel's own list."""
_PYTHON_VERSION = re.compile(rb"(?<![\d.])3\.1\d\.\d+(?![\d.])")
_LICENCES = LicenseFactory()


def main(arguments: list[str]) -> None:
    """Write and check; end with status 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    known, folder = listed(), options.folder
    if not folder.is_dir():
        raise SystemExit(f"error: {folder} is no folder.")
    found = sorted(set(problems(folder, known)))
    text = document(folder, known)
    if not options.check:
        out = (
            options.out
            or next((each.parent for each in folder.rglob(TEXTS.name) if is_texts(each)), folder) / NAME
        )
        out.write_text(text, encoding="utf-8")
        out.chmod(0o644)
        os.utime(out, (source_date(), source_date()))
        print(out)
    if found:
        raise SystemExit("error: this may not be delivered:\n  " + "\n  ".join(found))


def document(folder: Path, known: Listed, weights: Path | None = None) -> str:
    """The bill of materials of ``folder``; raise `SystemExit` where it breaks the format's rules.

    ``weights`` is a folder of models that are delivered with it.
    """
    root = Component(
        name="LocalAI App",
        type=ComponentType.APPLICATION,
        version=__version__,
        bom_ref="localai-app",
        licenses=[_LICENCES.make_from_string("Apache-2.0")],
    )
    parts = [*python_packages(folder, known), *others(folder, known), *models(folder, known)]
    parts += models(weights, known) if weights else []
    bom = Bom(components=parts)
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(source_date(), UTC)
    bom.dependencies = [
        Dependency(root.bom_ref, [Dependency(part.bom_ref) for part in parts]),
        *(Dependency(part.bom_ref) for part in parts),
    ]
    content = hashlib.sha256(repr(sorted(str(part.bom_ref) for part in parts)).encode())
    for part in flat(parts):
        content.update("".join(sorted(each.content for each in part.hashes)).encode())
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, content.hexdigest())
    text = JsonV1Dot6(bom).output_as_string(indent=1) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"error: the bill of materials is not valid CycloneDX: {error}")
    return text


def flat(parts: Iterable[Component]) -> Iterable[Component]:
    """Every component, those inside others included."""
    for part in parts:
        yield part
        yield from flat(part.components)


# ---------------------------------------------------------------- what is in the folder


def python_packages(folder: Path, known: Listed) -> list[Component]:
    """The Python packages in ``folder`` with their libraries and what is inside these."""
    files = files_by_owner(folder, known)
    parts = []
    for name, distribution in distributions(folder).items():
        entry, ref = known.package(name), f"pypi:{name}"
        inside = rust_packages(distribution, ref)
        if entry:
            licence = licence_of(distribution, known)
            inside += [file_component(path, file, licence, ref) for path, file in files[entry, entry]]
            inside += [component_of(part, files[entry, part], ref) for part in entry.inside]
        parts.append(
            Component(
                name=name,
                version=distribution.version,
                bom_ref=ref,
                purl=PackageURL("pypi", name=name, version=distribution.version),
                licenses=[_LICENCES.make_from_string(licence_of(distribution, known))],
                components=inside,
            )
        )
    return parts


def others(folder: Path, known: Listed) -> list[Component]:
    """What belongs to no Python package, as far as ``folder`` holds files of it."""
    files = files_by_owner(folder, known)
    parts = []
    for entry in known.components:
        own = files[entry, entry]
        inside = [part for part in entry.inside if files[entry, part] or (own and not part.files)]
        pictures = any(each.startswith("resources/") and any(folder.rglob(each)) for each in entry.files)
        if entry.looked_at or not (own or inside or pictures):
            continue
        part = component_of(entry, own, "", version_of(entry, folder))
        for each in inside:
            part.components.add(component_of(each, files[entry, each], str(part.bom_ref)))
        parts.append(part)
    return parts


def models(folder: Path, known: Listed) -> list[Component]:
    """The weights in ``folder``."""
    parts = []
    for file in sorted(folder.rglob("*.gguf")):
        entry = next((each for each in known.models if each.claims(file.name)), None)
        if entry is None:
            raise SystemExit(f"error: nothing is known of the model {file.name}.")
        part = component_of(entry, [(file.name, file)], "")
        part.type = ComponentType.MACHINE_LEARNING_MODEL
        parts.append(part)
    return parts


def files_by_owner(folder: Path, known: Listed) -> dict[tuple[Entry, Entry], list[tuple[str, Path]]]:
    """The shared libraries in ``folder`` by the component, and the part of it, that they belong to."""
    found = defaultdict(list)
    for name, file in native_files(folder).items():
        if owner := known.owner(name):
            found[owner].append((name, file))
    return found


def version_of(entry: Entry, folder: Path) -> str:
    """The version of a component, which may depend on what was built."""
    match entry.version_of:
        case "python":
            return python_version(folder)
        case "pyinstaller":
            return importlib.metadata.version("pyinstaller")
        case "engine":
            manifest = next(folder.rglob("engine/engine.json"), None)
            return str(json.loads(manifest.read_bytes())["llama_cpp"]) if manifest else ""
    return entry.version


def python_version(folder: Path) -> str:
    """The version that the Python in ``folder`` says it is."""
    for file in sorted([*folder.rglob("libpython3.*"), *folder.rglob("python3??.dll")]):
        if found := sorted(set(_PYTHON_VERSION.findall(file.read_bytes()))):
            return str(found[-1], "ascii")
    return ""


# ---------------------------------------------------------------- components


def component_of(entry: Entry, files: list[tuple[str, Path]], owner: str, version: str = "") -> Component:
    """An entry of the list with its files."""
    ref = "/".join(filter(None, [owner, entry.name]))
    return Component(
        name=entry.name,
        version=version or entry.version or None,
        description=entry.note or None,
        bom_ref=ref,
        licenses=[_LICENCES.make_from_string(entry.licence)],
        external_references=[ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(entry.url))]
        if entry.url
        else [],
        components=[file_component(name, file, entry.licence, ref) for name, file in files],
    )


def file_component(name: str, file: Path, licence: str, owner: str) -> Component:
    """One file with its hash."""
    return Component(
        name=name,
        type=ComponentType.FILE,
        bom_ref=f"{owner}#{name}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(file.read_bytes()).hexdigest())],
        licenses=[_LICENCES.make_from_string(licence)] if licence else [],
    )


def rust_packages(distribution: Distribution, owner: str) -> list[Component]:
    """What a wheel's own CycloneDX list says was compiled into it from Rust packages."""
    folder = distribution._path / "sboms"  # type: ignore[attr-defined] # `files` needs a RECORD
    parts: dict[str, Component] = {}
    for file in sorted(folder.glob("*.json")):
        if file.stat().st_size > _MAX_LIST:
            continue
        for entry in json.loads(file.read_bytes()).get("components", []):
            purl = str(entry.get("purl", "")).partition("?")[0]
            if purl.startswith("pkg:cargo/"):
                parts[purl] = rust_package(entry, purl, owner)
    return [parts[purl] for purl in sorted(parts)]


def rust_package(entry: dict[str, Any], purl: str, owner: str) -> Component:
    """One package of a wheel's list."""
    said = [each.get("expression") or each.get("license", {}).get("id") for each in entry.get("licenses", [])]
    return Component(
        name=entry["name"],
        version=entry.get("version"),
        bom_ref=f"{owner}/{purl}",
        purl=PackageURL.from_string(purl),
        licenses=[_LICENCES.make_from_string(" AND ".join(filter(None, said)))] if any(said) else [],
    )


if __name__ == "__main__":
    main(sys.argv[1:])

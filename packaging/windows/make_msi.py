"""Make the Windows Installer package: per machine, silent with ``msiexec /i FILE /qn``.

usage: make_msi.py [--bundle FOLDER] [--slim] [--out FOLDER]

--bundle FOLDER  what bundle.py or cross_bundle.py made (default: dist/windows/localai-app)
--slim           without the starter model and the one that searches
--out FOLDER     where the package goes (default: dist/windows)

product.wxs says what the package does and which properties it takes; the files are listed here. wixl and
msibuild make it (msitools: Linux), or WiX 3 on Windows. A component's identity follows from where its file
goes, the package's from what is in it: the same sources give the same package.
The last line on stdout is its path.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the scripts of packaging

import make_deb
from bundle import source_date
from make_icon import make_icon

from localai_app import __version__

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "packaging" / "windows" / "product.wxs"
POLICY = ROOT / "packaging" / "policy" / "windows"
NAMESPACE = uuid.UUID("5a0c6e0d-7b0e-5a53-9c0b-2e6f5b1b7a10")
SCHEMA = "http://schemas.microsoft.com/wix/2006/wi"
PROPERTIES = "INSTALLDIR;OFFLINEONLY;DESKTOPSHORTCUT;WIX_UPGRADE_DETECTED;WIX_DOWNGRADE_DETECTED"
"""What an administrator may say on the command line of an installation that runs with elevated rights."""


ElementTree.register_namespace("", SCHEMA)


def main(arguments: list[str]) -> None:
    """Make the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=ROOT / "dist" / "windows" / "localai-app")
    parser.add_argument("--slim", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "windows")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        folders = {"AppFiles": options.bundle}
        if not options.slim:
            folders["ModelFiles"] = models(Path(work))
        print(build(folders, Path(work), options.out, slim=options.slim))


def models(work: Path) -> Path:
    """The models in a tree as the app's own folder is."""
    make_deb.models(work)
    tree = work / "models"
    (tree / "_internal").mkdir(parents=True)
    (work / "usr/share" / make_deb.NAME / "models").rename(tree / "_internal" / "models")
    return tree


def build(folders: dict[str, Path], work: Path, out: Path, *, slim: bool) -> Path:
    """The package that puts the files of ``folders``, by name of their group, into the app's folder."""
    listed = work / "files.wxs"
    listed.write_bytes(file_list(folders))
    make_icon(work / "app.ico")
    policy = Path(shutil.copytree(POLICY, work / "policy"))
    shipped = [file for folder in [*folders.values(), policy] for file in files(folder)]
    for file in shipped:  # the package keeps the times of files
        os.utime(file, (source_date(), source_date()))
    content = fingerprint([SOURCE, work / "app.ico", *shipped])
    variables = {
        "Version": __version__,
        "ProductCode": identity(f"product {__version__} {content}"),
        "Icon": str(work / "app.ico"),
        "Policy": str(policy),
        "Models": "no" if slim else "yes",
    }
    out.mkdir(parents=True, exist_ok=True)
    package = out / f"localai-app-{__version__}-x64{'-slim' if slim else ''}.msi"
    package.unlink(missing_ok=True)
    if shutil.which("wixl"):
        with_wixl(listed, variables, package, work, identity(f"package {__version__} {content}"))
    else:
        with_wix([SOURCE, listed], variables, package, work)
    return package


def file_list(folders: dict[str, Path]) -> bytes:
    """A fragment of WiX that names every file, a component each."""
    wix = ElementTree.Element(f"{{{SCHEMA}}}Wix")
    for group, folder in folders.items():
        fragment = ElementTree.SubElement(wix, f"{{{SCHEMA}}}Fragment")
        root = ElementTree.SubElement(fragment, f"{{{SCHEMA}}}DirectoryRef", Id="INSTALLDIR")
        members = ElementTree.SubElement(fragment, f"{{{SCHEMA}}}ComponentGroup", Id=group)
        places = {folder: root}
        for file in files(folder):
            name = f"{group}/{file.relative_to(folder).as_posix()}"
            component = ElementTree.SubElement(
                place(places, folder, file.parent, group),
                f"{{{SCHEMA}}}Component",
                {"Id": key("c", name), "Guid": identity(f"component {name}"), "Win64": "yes"},
            )
            attributes = {"Id": key("f", name), "Source": str(file), "KeyPath": "yes"}
            ElementTree.SubElement(component, f"{{{SCHEMA}}}File", attributes)
            ElementTree.SubElement(members, f"{{{SCHEMA}}}ComponentRef", Id=component.attrib["Id"])
    return bytes(ElementTree.tostring(wix, encoding="utf-8", xml_declaration=True))


def place(
    places: dict[Path, ElementTree.Element], root: Path, folder: Path, group: str
) -> ElementTree.Element:
    """The element of ``folder``, made with its parents where it is not there."""
    if folder not in places:
        parent = place(places, root, folder.parent, group)
        name = f"{group}/{folder.relative_to(root).as_posix()}"
        attributes = {"Id": key("d", name), "Name": folder.name}
        places[folder] = ElementTree.SubElement(parent, f"{{{SCHEMA}}}Directory", attributes)
    return places[folder]


def files(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, in an order that does not depend on the file system."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def key(kind: str, name: str) -> str:
    """A name for a row of the package's tables: they take no paths."""
    return kind + hashlib.sha256(name.encode()).hexdigest()[:32]


def identity(name: str) -> str:
    """A GUID that is always the same for ``name``."""
    return str(uuid.uuid5(NAMESPACE, name)).upper()


def fingerprint(paths: Iterable[Path]) -> str:
    """What the content of all ``paths`` comes to."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def with_wixl(listed: Path, variables: dict[str, str], package: Path, work: Path, code: str) -> None:
    """Make the package with msitools; what wixl does not know is put into its tables afterwards."""
    product, conditions = without_conditions(SOURCE)
    (work / SOURCE.name).write_bytes(product)
    defined = [word for name, value in variables.items() for word in ("-D", f"{name}={value}")]
    run("wixl", "--arch", "x64", *defined, "-o", str(package), str(work / SOURCE.name), str(listed))
    for component, condition in conditions.items():
        change(
            package,
            "UPDATE `Component` SET `Condition` = '{}' WHERE `Component` = '{}'",
            condition,
            component,
        )
    # It drops Secure="yes", and gives every package a code by chance.
    name = "SecureCustomProperties"
    change(package, "DELETE FROM `Property` WHERE `Property` = '{}'", name)
    change(package, "INSERT INTO `Property` (`Property`, `Value`) VALUES ('{}', '{}')", name, PROPERTIES)
    describe(package, work / "_SummaryInformation.idt", code)


def describe(package: Path, table: Path, code: str) -> None:
    """Write what a package says of itself: its code, and the sources' time instead of this moment."""
    day = datetime.fromtimestamp(source_date(), UTC).strftime("%Y/%m/%d %H:%M:%S")
    rows = {
        1: "1252",
        2: "Installation Database",
        3: "LocalAI App",
        4: "The LocalAI App authors",
        5: "Installer",
        6: f"LocalAI App {__version__}",
        7: "x64;1033",
        9: f"{{{code}}}",
        12: day,
        13: day,
        14: "500",
        15: "2",
        18: "LocalAI App",
        19: "2",
    }
    head = ["PropertyId\tValue", "i2\tl255", "_SummaryInformation\tPropertyId"]
    lines = [*head, *(f"{number}\t{text}" for number, text in rows.items())]
    table.write_bytes("".join(f"{line}\r\n" for line in lines).encode("cp1252"))
    run("msibuild", str(package), "-i", str(table))


def without_conditions(source: Path) -> tuple[bytes, dict[str, str]]:
    """``source`` without the conditions of its components, and these by component."""
    builder = ElementTree.TreeBuilder(insert_pis=True)
    root = ElementTree.parse(source, ElementTree.XMLParser(target=builder)).getroot()
    conditions = {}
    for component in root.iter(f"{{{SCHEMA}}}Component"):
        for condition in component.findall(f"{{{SCHEMA}}}Condition"):
            conditions[component.attrib["Id"]] = condition.text or ""
            component.remove(condition)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True), conditions


def change(package: Path, query: str, *values: str) -> None:
    """Run ``query`` on the tables of ``package``."""
    run("msibuild", str(package), "-q", query.format(*values))


def with_wix(sources: list[Path], variables: dict[str, str], package: Path, work: Path) -> None:
    """Make the package with WiX 3; untested."""
    defined = [f"-d{name}={value}" for name, value in variables.items()]
    run("candle.exe", "-nologo", "-arch", "x64", *defined, "-out", f"{work}\\", *map(str, sources))
    objects = [str(work / source.with_suffix(".wixobj").name) for source in sources]
    # They ask for values in each user's registry, which an installation for the computer has not.
    checks = ["-sice:ICE38", "-sice:ICE43", "-sice:ICE57"]
    run("light.exe", "-nologo", "-spdb", *checks, "-out", str(package), *objects)


def run(*command: str) -> None:
    """Run ``command``; its failure ends the process."""
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        raise SystemExit(f"error: {command[0]} failed.")


if __name__ == "__main__":
    main(sys.argv[1:])

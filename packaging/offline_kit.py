"""Put all that a site without a connection needs into one folder.

usage: offline_kit.py [--dist FOLDER] [--model FILE]... [--out FOLDER]

--dist FOLDER  where the packages are that were built (default: dist)
--model FILE   one more model, besides the starter and the one that searches
--out FOLDER   the kit (default: build/localai-app-VERSION-offline-kit)

What comes in: the packages for every system that were built, their bills of materials (release.py writes
them), the models, the signed catalogue, a policy to begin with, templates, the documents, and two scripts
that check the kit. SHA256SUMS names every file, and is signed as release.py signs, with the keys there are.

The same packages give the same kit. The last line on stdout is the folder.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from bundle import source_date
from make_deb import fetch_models
from release import PUBLIC, SUMS, bill_of, sha256, sign_sums

from localai_app import __version__
from localai_app.paths import resources

ROOT = Path(__file__).resolve().parent.parent
KIT = ROOT / "packaging" / "kit"
PACKAGES = {".deb": "linux", ".AppImage": "linux", ".msi": "windows", ".pkg": "macos"}
"""Endings of packages, and the system that they are for."""
DOCUMENTS = ("docs/admin", "docs/policy.md", "docs/catalogue.md", "docs/threat-model.md", "LICENSE")
CATALOGUE = ("catalogue.json", "catalogue.json.minisig", "catalogue.pub")
AIR_GAPPED: dict[str, object] = {
    "OfflineOnly": True,
    "AllowHuggingFace": False,
    "AllowModelImport": False,
    "AllowExternalLinks": False,
    "AllowLocalAPI": False,
    "UpdateMode": "off",
    "RequireSandbox": True,
    "RequireEncryption": True,
    "KeyStore": "os-or-passphrase",
    "IdleLockMinutes": 15,
    "AuditToSystemLog": True,
}
"""The policy that the kit suggests, but for its models."""
INSTALL = {
    ".deb": "apt-get install -y{files}",
    ".AppImage": "{file}    (runs as it is, for one user, and installs nothing)",
    ".msi": "msiexec /i {backslashed} /qn /norestart OFFLINEONLY=1",
    ".pkg": "sudo installer -pkg {file} -target /",
}
"""How packages are installed, several at once or one alone."""


def main(arguments: list[str]) -> None:
    """Make the kit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--model", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    packages = find_packages(options.dist)
    if not packages:
        raise SystemExit(f"error: no package lies in {options.dist}; `make deb` makes one.")
    kit = options.out or ROOT / "build" / f"localai-app-{__version__}-offline-kit"
    if kit.exists():
        shutil.rmtree(kit)
    fill(kit, packages, options.model)
    finish(kit)
    print(kit)


def find_packages(dist: Path) -> list[Path]:
    """The packages of this version in the folders of the systems below ``dist``."""
    return [
        path
        for system in sorted(set(PACKAGES.values()))
        for path in sorted((dist / system).glob("*"))
        if path.suffix in PACKAGES and __version__ in path.name
    ]


def fill(kit: Path, packages: Iterable[Path], models: Iterable[Path]) -> None:
    """Put everything but the checksums into ``kit``."""
    packages = list(packages)
    for package in packages:
        place(package, kit / "packages" / PACKAGES[package.suffix])
        if bill_of(package).is_file():
            place(bill_of(package), kit / "packages" / PACKAGES[package.suffix])
    fetch_models(kit / "models")
    for model in models:
        place(model, kit / "models")
    for name in CATALOGUE:
        place(ROOT / "resources" / name, kit / "catalogue")
    shutil.copytree(ROOT / "packaging" / "policy", kit / "policy", copy_function=shutil.copyfile)
    policy = json.dumps(air_gapped((kit / "models").iterdir()), indent=2)
    (kit / "policy" / "air-gapped.json").write_text(policy + "\n", encoding="utf-8")
    for name in DOCUMENTS:
        source = ROOT / name
        for path in sorted(source.glob("*.md")) if source.is_dir() else [source]:
            place(path, kit / path.relative_to(ROOT).parent)
    for name in ("verify.sh", "verify.ps1"):
        place(KIT / name, kit)
    (kit / "README.md").write_text(readme(kit, packages), encoding="utf-8")


def air_gapped(models: Iterable[Path]) -> dict[str, object]:
    """The suggested policy: no connection, and these models alone."""
    return {**AIR_GAPPED, "AllowedModels": sorted(map(sha256, models))}


def readme(kit: Path, packages: Iterable[Path]) -> str:
    """What a person reads first."""
    lines = ["| what | megabytes |", "|---|---|"]
    for path in sorted(path for folder in ("packages", "models") for path in (kit / folder).rglob("*")):
        if path.is_file():
            lines.append(f"| `{path.relative_to(kit).as_posix()}` | {path.stat().st_size / 1e6:,.1f} |")
    named: dict[str, list[str]] = {}
    for package in packages:
        kind = package.suffix
        named.setdefault(kind, []).append(f"packages/{PACKAGES[kind]}/{package.name}")
    commands = []
    for kind, files in named.items():
        command = INSTALL[kind].format(
            file=f"./{files[0]}",
            files="".join(f" ./{each}" for each in files),
            backslashed=files[0].replace("/", "\\"),
        )
        commands.append(f"    {command}")
    needed = [line for package in packages if package.suffix == ".deb" for line in dependencies(package)]
    if needed:
        commands += ["", "The packages need these of Debian, from your mirror or an installation medium:", ""]
        commands += [f"- {line}" for line in needed]
    text = (KIT / "README.md").read_text(encoding="utf-8")
    for name, value in {
        "version": __version__,
        "contents": "\n".join(lines),
        "install": "\n".join(commands),
    }.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def dependencies(package: Path) -> list[str]:
    """What a Debian package needs, as a line of the README; none where it needs nothing."""
    command = ["dpkg-deb", "--field", str(package), "Depends"]
    needs = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return [f"`{package.name}`: {needs}"] if needs else []


def finish(kit: Path) -> None:
    """One mode and one time for all files, their sums, and the signatures of these."""
    for path in kit.rglob("*"):
        runs = path.is_dir() or path.suffix in (".sh", ".AppImage")
        path.chmod(0o755 if runs else 0o644)
    files = sorted(path for path in kit.rglob("*") if path.is_file())
    lines = [f"{sha256(path)}  {path.relative_to(kit).as_posix()}" for path in files]
    (kit / SUMS).write_text("\n".join(sorted(lines, key=lambda line: line[66:])) + "\n", encoding="utf-8")
    sign_sums(kit / SUMS, resources() / PUBLIC)
    for path in [kit, *kit.rglob("*")]:
        os.utime(path, (source_date(), source_date()))


def place(source: Path, folder: Path) -> None:
    """Copy ``source`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / source.name)


if __name__ == "__main__":
    main(sys.argv[1:])

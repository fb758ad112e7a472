"""Sign what was built, and write bills of materials and checksums beside it.

usage: release.py [--dist FOLDER]           sign, list and sum up the packages below FOLDER (default: dist)
       release.py --bills [--dist FOLDER]   write the bills of materials only, where the packages were made
       release.py --check [--dist FOLDER]   say whether sums and signatures are right
       release.py --new-key                 make the release key; its public half goes into resources/

Beside each package comes PACKAGE.cdx.json (sbom.py), and FOLDER/SHA256SUMS names every package and bill. What
is signed depends on the keys that are there; what is not signed is said in a line each:

SHA256SUMS.minisig  the release key: the file that ``LOCALAI_APP_RELEASE_KEY`` names (signing_keys.py)
SHA256SUMS.asc      ``LOCALAI_APP_GPG_KEY``, the identity of a key in GnuPG's keyring
.msi                Authenticode. ``LOCALAI_APP_AUTHENTICODE_PKCS12`` names a file, ``..._PASSPHRASE_FILE``
                    what opens it; or ``..._MODULE`` a PKCS#11 module, ``..._URI`` the key in it and
                    ``..._CERTIFICATE`` its certificates. ``LOCALAI_APP_TIMESTAMP_URL`` (RFC 3161) lets it
                    count when the certificate is over
.pkg                is signed where it is made: packaging/macos/make_pkg.py

Needed: dpkg, squashfs-tools for an .AppImage; for what is signed with them gpg, osslsigncode.
"""

import argparse
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sbom
from make_deb import fetch_models
from minisign import Error, PublicKey, Signature
from shipped import Listed, distributions, listed, problems
from signing_keys import SigningKey

from localai_app import __version__
from localai_app.paths import resources

ROOT = Path(__file__).resolve().parent.parent
SIGNING_KEY = SigningKey("release", "`packaging/release.py --new-key`")
PUBLIC = "release.pub"
ENDINGS = (".deb", ".AppImage", ".msi", ".pkg", ".dmg")
BUNDLES = {".pkg": "LocalAI App.app", ".dmg": "LocalAI App.app"}
"""What packages are made of that is called otherwise; it holds its models."""
SUMS = "SHA256SUMS"
AUTHENTICODE = "LOCALAI_APP_AUTHENTICODE_"


def main(arguments: list[str]) -> None:
    """Do what ``arguments`` ask; a problem ends the process with one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--bills", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--new-key", action="store_true")
    options = parser.parse_args(arguments)
    if options.new_key:
        SIGNING_KEY.make(SIGNING_KEY.path, resources() / PUBLIC)
    elif options.check:
        check(options.dist, resources() / PUBLIC)
        say(f"All {len(read_sums(options.dist))} files are as they were summed up.")
    elif options.bills:
        for package in packages(options.dist):
            write_bill(package, listed())
    else:
        release(options.dist, listed())


def release(dist: Path, known: Listed) -> None:
    """Sign the packages below ``dist``, and write bills, sums and their signatures."""
    found = packages(dist)
    if not found:
        raise SystemExit(f"error: there is no package of version {__version__} below {dist}.")
    for package in found:
        if package.suffix == ".msi":
            authenticode(package)
        write_bill(package, known)
    write_sums(dist, found)
    sign_sums(dist / SUMS, resources() / PUBLIC)


def say(text: str) -> None:
    """One line for the person."""
    sys.stderr.write(f"==> {text}\n")


def packages(dist: Path) -> list[Path]:
    """The packages of this version below ``dist``."""
    return [
        p for p in sorted(dist.rglob("*")) if p.suffix in ENDINGS and __version__ in p.name and p.is_file()
    ]


def bill_of(package: Path) -> Path:
    """Where the bill of materials of ``package`` lies."""
    return package.with_name(f"{package.name}.cdx.json")


# ---------------------------------------------------------------- bills and sums


def write_bill(package: Path, known: Listed) -> None:
    """Write what is in ``package``: of a .deb or .AppImage what it holds, else what it was made of.

    Where that is no more, because it was made on another machine, its bill must have come along.
    """
    with tempfile.TemporaryDirectory() as work:
        folder, weights = package.parent / BUNDLES.get(package.suffix, "localai-app"), None
        if package.suffix == ".deb":
            run("dpkg-deb", "--extract", str(package), work)
            folder = Path(work)
        elif package.suffix == ".AppImage":
            folder = Path(work)
            image = ["-offset", str(program_length(package)), "-dest", str(folder / "AppDir")]
            run("unsquashfs", "-no-progress", *image, str(package))
        elif not folder.is_dir() and bill_of(package).is_file():
            return
        elif not folder.is_dir():
            raise SystemExit(f"error: {folder}, which {package.name} was made of, is gone: build it again.")
        elif "-slim" not in package.name and package.suffix not in BUNDLES:
            weights = Path(work)
            fetch_models(weights)
        bill_of(package).write_text(sbom.document(folder, known, weights), encoding="utf-8")
        # Models and engine packs hold no Python: their texts come as the copyright file of their package.
        if distributions(folder) and (found := sorted(set(problems(folder, known)))):
            raise SystemExit(f"error: {package.name} may not be delivered:\n  " + "\n  ".join(found))


def program_length(package: Path) -> int:
    """How long the program is that an AppImage begins with: its table of sections is the last of it."""
    with package.open("rb") as file:
        head = file.read(64)
    start, size, number = (*struct.unpack_from("<Q", head, 40), *struct.unpack_from("<HH", head, 58))
    return int(start + size * number)


def write_sums(dist: Path, found: list[Path]) -> None:
    """Write ``SHA256SUMS``: what ``sha256sum --check`` reads."""
    files = sorted(file.relative_to(dist) for package in found for file in (package, bill_of(package)))
    lines = [f"{sha256(dist / file)}  {file.as_posix()}\n" for file in files]
    (dist / SUMS).write_text("".join(lines), encoding="utf-8")
    for old in (f"{SUMS}.minisig", f"{SUMS}.asc"):  # they belong to older sums
        (dist / old).unlink(missing_ok=True)


def sha256(file: Path) -> str:
    """The SHA-256 of ``file``."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def read_sums(dist: Path) -> dict[str, str]:
    """Path and SHA-256 of each line of ``SHA256SUMS``."""
    try:
        lines = (dist / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SystemExit(f"error: {dist / SUMS} cannot be read: {error.strerror}.") from None
    return {line[66:]: line[:64] for line in lines}


# ---------------------------------------------------------------- signatures


def sign_sums(sums: Path, public: Path) -> None:
    """Sign ``SHA256SUMS`` with whatever keys are there; a line for each that is not."""
    if SIGNING_KEY.path.exists():
        comment = f"LocalAI App {__version__}"
        signature = SIGNING_KEY.sign(sums.read_bytes(), comment, SIGNING_KEY.path, public)
        sums.with_name(f"{SUMS}.minisig").write_bytes(signature)
    else:
        say(f"{SUMS} has no minisign signature: there is no key {SIGNING_KEY.path}.")
    if identity := os.environ.get("LOCALAI_APP_GPG_KEY"):
        run("gpg", "--batch", "--yes", "--armor", "--local-user", identity, "--detach-sign", str(sums))
    else:
        say(f"{SUMS} has no GnuPG signature: LOCALAI_APP_GPG_KEY names no key.")


def authenticode(package: Path) -> None:
    """Sign a Windows package in place; a line where there is no certificate."""
    key = list(authenticode_key())
    if not key:
        say(f"{package.name} is not signed: {AUTHENTICODE}PKCS12 or …MODULE names no certificate.")
        return
    if url := os.environ.get("LOCALAI_APP_TIMESTAMP_URL"):
        key += ["-ts", url]
    signed = package.with_name(f"{package.name}.signed")
    signed.unlink(missing_ok=True)
    run(
        "osslsigncode",
        "sign",
        *key,
        "-h",
        "sha256",
        "-n",
        "LocalAI App",
        "-in",
        str(package),
        "-out",
        str(signed),
    )
    signed.replace(package)


def authenticode_key() -> Iterator[str]:
    """osslsigncode's options for the certificate that the environment names; none for none."""
    if pkcs12 := os.environ.get(f"{AUTHENTICODE}PKCS12"):
        yield from ("-pkcs12", pkcs12)
        if passphrase := os.environ.get(f"{AUTHENTICODE}PASSPHRASE_FILE"):
            yield from ("-readpass", passphrase)
    elif module := os.environ.get(f"{AUTHENTICODE}MODULE"):
        yield from ("-pkcs11module", module, "-key", os.environ[f"{AUTHENTICODE}URI"])
        yield from ("-certs", os.environ[f"{AUTHENTICODE}CERTIFICATE"])


def run(program: str, *arguments: str) -> None:
    """Run a tool; one line where it is missing or fails."""
    if shutil.which(program) is None:
        name = {"unsquashfs": "squashfs-tools", "dpkg-deb": "dpkg"}.get(program, program)
        raise SystemExit(f"error: {program} is needed. On Debian or Ubuntu: sudo apt install {name}")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {program} failed: {(done.stderr or done.stdout).strip()}")


def check(dist: Path, public: Path) -> None:
    """Raise `SystemExit` where a file, a sum or a signature is not right."""
    sums = dist / SUMS
    for path, wanted in read_sums(dist).items():
        if not (dist / path).is_file():
            raise SystemExit(f"error: {path} is missing.")
        if sha256(dist / path) != wanted:
            raise SystemExit(f"error: {path} is not the file that was summed up.")
    signature = sums.with_name(f"{SUMS}.minisig")
    if signature.exists():
        try:
            key = PublicKey.from_bytes(public.read_bytes())
            key.verify(sums.read_bytes(), Signature.from_bytes(signature.read_bytes()))
        except (Error, OSError) as error:
            raise SystemExit(f"error: the signature of {SUMS} is not right: {error}.") from None
    else:
        say(f"{SUMS} has no minisign signature.")
    if (armoured := sums.with_name(f"{SUMS}.asc")).exists():
        run("gpg", "--batch", "--verify", str(armoured), str(sums))


if __name__ == "__main__":
    main(sys.argv[1:])

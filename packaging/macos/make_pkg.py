"""Make the installer package for macOS: per machine, silent with ``installer -pkg FILE -target /``.

usage: make_pkg.py [--slim] [--out FOLDER]          on a Mac

--slim        without the starter model and the one that searches
--out FOLDER  where the package goes (default: dist/macos)

The app is frozen for this Mac's kind of processor, and gets its engine (build_engine.py) and its bill of
materials (sbom.py). Then everything is signed from the inside out, packed, and notarised, as far as the
environment names the means; a line says what is not:

``LOCALAI_APP_CODESIGN_IDENTITY``   “Developer ID Application: …”; without it, signed for this Mac only
``LOCALAI_APP_INSTALLER_IDENTITY``  “Developer ID Installer: …”
``LOCALAI_APP_NOTARY_PROFILE``      what ``xcrun notarytool store-credentials`` saved in the keychain

Nothing of this has been run yet: it was written on Linux, where only its parts are tested. Text recognition
never comes along: OpenCV's package for macOS brings libraries that are under the GPL.
Needed: Xcode's command line tools. The last line on stdout is the package.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the scripts of packaging
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "windows"))

import sbom
from bundle import built_engine, freeze
from make_deb import fetch_models
from make_icon import pictures
from shipped import native_files

from localai_app import __version__

ROOT = Path(__file__).resolve().parent.parent.parent
MACOS = ROOT / "packaging" / "macos"
APP = "LocalAI App.app"
IDENTIFIER = "app.localai"
ICON = ROOT / "build" / "localai-app.icns"
ICON_SIZES = (1024, 512, 256, 128, 64, 32)


def main(arguments: list[str]) -> None:
    """Make the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--slim", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "macos")
    options = parser.parse_args(arguments)
    if sys.platform != "darwin":
        raise SystemExit("error: a package for macOS is made on a Mac.")
    make_icon(ICON)
    engine = built_engine()
    shutil.rmtree(freeze(options.out))  # the plain folder; the app was made of it
    app = options.out / APP
    add_engine(app, engine)
    with tempfile.TemporaryDirectory() as work:
        if not options.slim:
            add_models(app, Path(work))
        identity = os.environ.get("LOCALAI_APP_CODESIGN_IDENTITY", "")
        sign(app, identity)
        print(package(app, Path(work), options.out, slim=options.slim))


def make_icon(file: Path) -> None:
    """The app's icon, of the drawing that all systems use."""
    largest, *others = pictures(ICON_SIZES)
    file.parent.mkdir(parents=True, exist_ok=True)
    largest.save(file, format="ICNS", append_images=others)


def add_engine(app: Path, engine: Path) -> None:
    """Put the engine where the app looks for it.

    Code lies in Frameworks; what is no code in Resources, with a link to it: else the app cannot be signed.
    """
    code, data = app / "Contents" / "Frameworks" / "engine", app / "Contents" / "Resources" / "engine"
    code.mkdir(parents=True)
    data.mkdir(parents=True)
    for file in sorted(engine.iterdir()):
        if file.suffix in (".dylib", ".so"):
            shutil.copyfile(file, code / file.name)
        else:
            shutil.copyfile(file, data / file.name)
            (code / file.name).symlink_to(Path("../../Resources/engine") / file.name)


def add_models(app: Path, work: Path) -> None:
    """Put the models that the app begins with where it looks for them."""
    models = app / "Contents" / "Resources" / "models"
    models.mkdir(parents=True)
    fetched = work / "models"
    fetched.mkdir()
    fetch_models(fetched)
    for file in sorted(fetched.glob("*.gguf")):
        shutil.copyfile(file, models / file.name)
    (app / "Contents" / "Frameworks" / "models").symlink_to(Path("../Resources/models"))


def sign(app: Path, identity: str) -> None:
    """Sign every program and library, write the bill of materials, then seal the app.

    What is inside is signed before what holds it: a signature covers those below.
    """
    if not identity:
        say("The app is signed for this Mac only: LOCALAI_APP_CODESIGN_IDENTITY names no identity.")
    how = ["--force", "--options", "runtime", "--sign", identity or "-"]
    how += ["--timestamp"] if identity else ["--timestamp=none"]
    main_program = app / "Contents" / "MacOS" / "localai-app"
    inner = [file for file in native_files(app).values() if file != main_program]
    for file in sorted(inner, key=lambda file: (-len(file.parts), file)):
        run("codesign", *how, str(file))
    sbom.main([str(app)])
    run("codesign", *how, "--entitlements", str(MACOS / "entitlements.plist"), str(app))
    run("codesign", "--verify", "--deep", "--strict", str(app))


def package(app: Path, work: Path, out: Path, *, slim: bool) -> Path:
    """Pack the signed ``app``; the package, signed and notarised where the environment names how."""
    root = work / "root"
    (root / "Applications").mkdir(parents=True)
    shutil.copytree(app, root / "Applications" / APP, symlinks=True)
    (root / "usr" / "local" / "bin").mkdir(parents=True)
    program = Path("/Applications") / APP / "Contents" / "MacOS" / "localai-app"
    (root / "usr" / "local" / "bin" / "localai-app").symlink_to(program)
    how = ["--identifier", IDENTIFIER, "--version", __version__, "--ownership", "recommended"]
    how += ["--component-plist", str(MACOS / "component.plist"), "--install-location", "/"]
    run("pkgbuild", "--root", str(root), *how, str(work / "component.pkg"))

    shutil.copyfile(ROOT / "LICENSE", work / "LICENSE")
    (work / "distribution.xml").write_text(distribution(), encoding="utf-8")
    made = out / f"localai-app-{__version__}-{platform.machine()}{'-slim' if slim else ''}.pkg"
    what = ["--distribution", str(work / "distribution.xml"), "--package-path", str(work)]
    what += ["--resources", str(work)]
    if identity := os.environ.get("LOCALAI_APP_INSTALLER_IDENTITY"):
        what += ["--sign", identity, "--timestamp"]
    else:
        say("The package is not signed: LOCALAI_APP_INSTALLER_IDENTITY names no identity.")
    run("productbuild", *what, str(made))
    notarise(made)
    return made


def distribution() -> str:
    """What Installer asks, for this version and this kind of processor."""
    text = (MACOS / "distribution.xml").read_text(encoding="utf-8")
    return text.replace("@VERSION@", __version__).replace("@MACHINE@", platform.machine())


def notarise(made: Path) -> None:
    """Have Apple look at the package, and fix its answer to it; a line where that is not set up."""
    profile = os.environ.get("LOCALAI_APP_NOTARY_PROFILE")
    if not profile:
        say("The package is not notarised: LOCALAI_APP_NOTARY_PROFILE names no profile of notarytool.")
        return
    run("xcrun", "notarytool", "submit", str(made), "--keychain-profile", profile, "--wait")
    run("xcrun", "stapler", "staple", str(made))
    run("spctl", "--assess", "--type", "install", str(made))


def say(text: str) -> None:
    """One line for the person."""
    sys.stderr.write(f"==> {text}\n")


def run(*command: str) -> None:
    """Run one of Apple's tools; what it says goes to stderr, and its failure ends the process."""
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        raise SystemExit(f"error: {' '.join(command[:2])} failed.")


if __name__ == "__main__":
    main(sys.argv[1:])

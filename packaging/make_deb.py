"""Make the Debian packages: the app, its models, text recognition, an engine pack.

usage: make_deb.py [--out FOLDER] app [--bundle FOLDER]
       make_deb.py [--out FOLDER] models
       make_deb.py [--out FOLDER] ocr [--bundle FOLDER]
       make_deb.py [--out FOLDER] engine FOLDER

app            localai-app: what bundle.py made (default: dist/linux/localai-app), below /opt/localai-app
models         localai-app-models: the starter model and the model that searches, for every user
ocr            localai-app-ocr: what bundle.py --ocr made (default: dist/linux/localai-app-ocr)
engine FOLDER  localai-app-engine-NAME: what build_engine.py and sign_engine.py made
--out FOLDER   where the package goes (default: dist/linux)

What a package depends on is not kept by hand: dpkg-shlibdeps looks at every library in it. One that no
Debian package brings ends the build. The same sources give the same bytes; see bundle.py.

Needed: dpkg-dev.
"""

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from bundle import libraries, source_date

from localai_app import __version__

ROOT = Path(__file__).resolve().parent.parent
LINUX = ROOT / "packaging" / "linux"
NAME = "localai-app"
PROGRAM = Path("opt") / NAME
MAINTAINER = "The LocalAI App authors <packages@localai.invalid>"
RECOMMENDED = (
    "localai-app-models, gnome-keyring | keepassxc | kwalletmanager, xdg-desktop-portal, fonts-noto-core"
)
"""Models to begin with; something that keeps the store's key; a chooser of files; fonts of all scripts."""
ENGINE_PACKS = Path("usr/lib") / NAME / "engines"


def main(arguments: list[str]) -> None:
    """Make one package; its path is the last line on stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "linux")
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("app").add_argument("--bundle", type=Path, default=ROOT / "dist" / "linux" / NAME)
    what.add_parser("models")
    what.add_parser("ocr").add_argument("--bundle", type=Path, default=ROOT / f"dist/linux/{NAME}-ocr")
    what.add_parser("engine").add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        (tree / "DEBIAN").mkdir(parents=True)  # by it dpkg-shlibdeps knows what is the package's own
        if options.what == "app":
            control = app(tree, options.bundle)
        elif options.what == "models":
            control = models(tree)
        elif options.what == "ocr":
            control = recognition(tree, options.bundle)
        else:
            control = engine(tree, options.folder)
        print(build(tree, control, options.out))


# ---------------------------------------------------------------- what is in them


def app(tree: Path, bundle: Path) -> dict[str, str]:
    """The app's files into ``tree``; the fields of its control file."""
    program = tree / PROGRAM
    shutil.copytree(bundle, program)
    link(tree / "usr/bin" / NAME, f"/{PROGRAM}/{NAME}")
    share = tree / "usr/share"
    place(LINUX / f"{NAME}.desktop", share / "applications")
    place(LINUX / f"{NAME}.xml", share / "mime/packages")
    place(LINUX / f"{NAME}.svg", share / "icons/hicolor/scalable/apps")
    write(share / "metainfo/app.localai.LocalAIApp.metainfo.xml", metainfo())
    write_gzip(share / f"man/man1/{NAME}.1.gz", manual())
    for level in ("managed", "recommended"):
        (tree / "etc" / NAME / "policies" / level).mkdir(parents=True)
    place(ROOT / "packaging/policy/linux/sample.json", share / "doc" / NAME / "examples")
    place(LINUX / "debian" / f"{NAME}.postrm", tree / "DEBIAN", "postrm").chmod(0o755)
    return {
        "Package": NAME,
        "Architecture": architecture(),
        "Depends": dependencies(program),
        "Recommends": RECOMMENDED,
        "Section": "utils",
        "Description": "Private AI for chat and documents, on this computer\n"
        " A language model that runs on this computer answers questions and works on\n"
        " documents: it summarises, extracts and classifies, with the evidence. Nothing\n"
        " leaves the computer; what people make is stored encrypted, and an\n"
        " organisation can set by policy what is allowed.",
    }


def models(tree: Path) -> dict[str, str]:
    """The models into ``tree``; the fields of the control file."""
    fetch_models(tree / "usr/share" / NAME / "models")
    return {
        "Package": f"{NAME}-models",
        "Architecture": "all",
        "Enhances": NAME,
        "Section": "misc",
        "Description": "models for LocalAI App\n"
        " A small model that answers from the first start on, and the one that searches\n"
        " documents by meaning. They lie in a folder that every user of this computer\n"
        " reads and only an administrator writes.",
    }


def recognition(tree: Path, bundle: Path) -> dict[str, str]:
    """Text recognition into ``tree``, laid over the app's files; the fields of its control file."""
    inside = tree / PROGRAM / "_internal"
    shutil.copytree(bundle, inside)
    return {
        "Package": f"{NAME}-ocr",
        "Architecture": architecture(),
        # Built for this very version: it brings only what that one has not.
        "Depends": f"{NAME} (= {__version__}), {dependencies(inside)}",
        "Section": "utils",
        "Description": "text recognition for LocalAI App\n"
        " Reads the text in scans and pictures, on this computer.",
    }


def engine(tree: Path, folder: Path) -> dict[str, str]:
    """An engine pack into ``tree``; the fields of its control file."""
    name = json.loads((folder / "engine.json").read_text(encoding="utf-8"))["name"]
    if not (folder / "engine.json.minisig").exists():
        raise SystemExit(f"error: {folder} is not signed; sign_engine.py does it, and the app asks for it.")
    shutil.copytree(folder, tree / ENGINE_PACKS / name)
    depends = dependencies(tree / ENGINE_PACKS / name)
    return {
        "Package": f"{NAME}-engine-{name}",
        "Architecture": architecture(),
        "Depends": f"{NAME}, {depends}",
        "Section": "utils",
        "Description": f"engine of LocalAI App: {name}\n"
        " An engine that LocalAI App uses instead of its own where it is installed. It is\n"
        " signed, and checked before it is loaded; where it cannot run, the app's own is\n"
        " used and the app says so.",
    }


def fetch_models(folder: Path) -> None:
    """The starter model and the one that searches into ``folder``, and nothing else."""
    with tempfile.TemporaryDirectory() as work:
        environment = {**os.environ, "LOCALAI_APP_MODELS_DIR": work}
        for script in (["fetch_models.py", "starter"], ["make_embedding_model.py"]):
            command = [sys.executable, str(ROOT / "packaging" / script[0]), *script[1:]]
            subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
        for weights in Path(work).glob("*.gguf"):
            place(weights, folder)


def metainfo() -> str:
    """What software centres show."""
    template = (LINUX / "app.localai.LocalAIApp.metainfo.xml").read_text(encoding="utf-8")
    day = datetime.fromtimestamp(source_date(), UTC).strftime("%Y-%m-%d")
    return template.replace("@VERSION@", __version__).replace("@DATE@", day)


def manual() -> str:
    """The man page, made of the command line's own help."""
    command = [str(Path(sys.executable).with_name("argparse-manpage")), "--module", "localai_app.cli.parser"]
    command += ["--function", "make_parser", "--project-name", "LocalAI App", "--version", __version__]
    command += ["--prog", NAME, "--description", "private AI for chat and documents", "--author", MAINTAINER]
    command += ["--manual-title", "LocalAI App", "--include", str(LINUX / f"{NAME}.1.inc")]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source_date()), "COLUMNS": "100"}
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


# ---------------------------------------------------------------- how they are made


def build(tree: Path, control: Mapping[str, str], out: Path) -> Path:
    """The package of what is in ``tree``."""
    document(tree / "usr/share/doc" / control["Package"], control["Package"])
    fields = {
        **{"Package": control["Package"], "Version": __version__, "Maintainer": MAINTAINER},
        **{"Installed-Size": str(kibibytes(tree)), "Priority": "optional", **control},
    }
    write(tree / "DEBIAN/control", "".join(f"{name}: {text}\n" for name, text in fields.items()))
    write(tree / "DEBIAN/md5sums", checksums(tree))
    normalise(tree)
    out.mkdir(parents=True, exist_ok=True)
    package = out / f"{control['Package']}_{__version__}_{control['Architecture']}.deb"
    # Weights do not get smaller.
    compression = ["-Znone"] if control["Architecture"] == "all" else ["-Zxz", "-z6"]
    command = ["dpkg-deb", "--root-owner-group", *compression, "--build", str(tree), str(package)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source_date())}
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
    return package


def architecture() -> str:
    """Debian's name for this processor."""
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def dependencies(folder: Path) -> str:
    """Debian packages that the libraries below ``folder`` need from the system, with versions.

    Raise `SystemExit` for a library that no package brings.
    """
    own = libraries(folder)
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "debian").mkdir()
        (Path(work) / "debian/control").write_text("Source: x\n\nPackage: x\nArchitecture: any\n")
        command = ["dpkg-shlibdeps", "-O", "--warnings=0"]
        command += [f"-l{path}" for path in sorted({file.parent for file in own})]
        programs = [path for path in folder.iterdir() if path.is_file() and path.stem == NAME]
        command += [f"-e{path}" for path in [*programs, *own]]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: what the package depends on is not known:\n{done.stderr}")
    return done.stdout.strip().removeprefix("shlibs:Depends=")


def document(folder: Path, package: str) -> None:
    """Copyright and changelog, as Debian wants them."""
    place(LINUX / "debian" / "copyright", folder)
    date = format_datetime(datetime.fromtimestamp(source_date(), UTC))
    lines = [f"{package} ({__version__}) stable; urgency=medium", "", "  * See CHANGELOG.md of the project."]
    write_gzip(folder / "changelog.gz", "\n".join([*lines, "", f" -- {MAINTAINER}  {date}", ""]))


def shipped(tree: Path) -> list[Path]:
    """The files that are installed."""
    files = [path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [path for path in files if path.relative_to(tree).parts[0] != "DEBIAN"]


def kibibytes(tree: Path) -> int:
    """How much the files take."""
    return sum(-(-path.stat().st_size // 1024) for path in shipped(tree))


def checksums(tree: Path) -> str:
    """The md5sums that dpkg verifies files by."""
    command = ["md5sum", "--", *(str(path.relative_to(tree)) for path in shipped(tree))]
    return subprocess.run(command, cwd=tree, check=True, stdout=subprocess.PIPE, text=True).stdout


def normalise(tree: Path) -> None:
    """Modes as Debian wants them, and one time for all: only programs and scripts may be run."""
    for path in [tree, *tree.rglob("*")]:
        if path.is_symlink():
            continue
        runs = path.is_dir() or path.name == "postrm" or path == tree / PROGRAM / NAME
        path.chmod(0o755 if runs else 0o644)
        os.utime(path, (source_date(), source_date()))


def place(source: Path, folder: Path, name: str = "") -> Path:
    """Copy ``source`` into ``folder``; the copy."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, folder / (name or source.name)))


def link(path: Path, target: str) -> None:
    """Make ``path`` a link to ``target``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def write(path: Path, text: str) -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_gzip(path: Path, text: str) -> None:
    """Write a packed text file without its name and time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])

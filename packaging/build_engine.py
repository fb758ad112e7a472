"""Build llama.cpp for packages: one engine that runs on every CPU of its kind, or an engine pack for a GPU.

usage: build_engine.py [--target linux|windows|macos] [--pack cpu|cuda|vulkan] [--jobs N] [--force]

The source is the one inside the sdist of llama-cpp-python that requirements.lock pins, so that binding and
library always fit. CPU features are no matter of the build: ``GGML_CPU_ALL_VARIANTS`` makes a library for
each family of processors, and the worker loads the best one that the machine can run
(engine/worker/library.py). Every pack is a whole engine: libllama, ggml and the CPU variants of the very same
build, and beside them the GPU's backend, so that nothing of one build ever meets anything of another.

Libraries carry no version in their names (``CMAKE_PLATFORM_NO_VERSIONED_SONAME``): llama-cpp-python looks for
``libllama.so``, and a second copy under another name would be loaded as a second, empty library.

The result is a folder of the build cache (``LOCALAI_APP_BUILD_CACHE``, else the user's), named by a hash of
all that it is made of; what is there already is not built again. The last line on stdout is that folder.

Needed, besides a C++ compiler: cmake and ninja; for Windows ``g++-mingw-w64-x86-64-posix`` 14 or newer
(Debian 13); for Vulkan ``glslc``, ``libvulkan-dev`` and ``spirv-headers``; for CUDA the toolkit (nvcc,
cuBLAS). It takes about 12 minutes on two cores; with CUDA an hour and more.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parent.parent
BINDING = "llama-cpp-python"
HOST = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
MANIFEST = "engine.json"
SCHEMA = 1

OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_PLATFORM_NO_VERSIONED_SONAME": "ON",
    "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
    "BUILD_SHARED_LIBS": "ON",
    "GGML_NATIVE": "OFF",
    "GGML_BACKEND_DL": "ON",
    "GGML_CPU_ALL_VARIANTS": "ON",
    "GGML_CCACHE": "OFF",
    "GGML_RPC": "OFF",
    "LLAMA_BUILD_COMMON": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_TOOLS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_SERVER": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
}
HARDENING = ["-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"]
"""For Linux: mingw would need one more library for it."""
MINGW = 14
"""Where ``long`` has 32 bits, GCC 12 writes addresses for AMX that no assembler takes; 14 was tried."""
PACKS = {
    "cpu": {},
    # NCCL joins several computers; the architectures are llama.cpp's own list for GGML_NATIVE=OFF.
    "cuda": {"GGML_CUDA": "ON", "GGML_CUDA_NCCL": "OFF"},
    "vulkan": {"GGML_VULKAN": "ON"},
}


@dataclass(frozen=True)
class Target:
    """A system to build for."""

    name: str
    compiler: str
    strip: str
    options: dict[str, str]
    link: str
    libraries: str
    """Pattern of what the build leaves behind."""
    runtime: tuple[str, ...] = ()
    """Libraries of the compiler that the system does not bring."""


TARGETS = {
    "linux": Target(
        name="linux",
        compiler="g++",
        strip="strip",
        # The folder above: a bundle that brings libgomp along has it there.
        options={"CMAKE_INSTALL_RPATH": "$ORIGIN:$ORIGIN/.."},
        link="-Wl,-z,relro,-z,now,--as-needed",
        libraries="lib*.so",
    ),
    "windows": Target(
        name="windows",
        # Threads of C++11 are in the posix flavour only; it brings winpthread.
        compiler="x86_64-w64-mingw32-g++-posix",
        strip="x86_64-w64-mingw32-strip",
        options={
            "CMAKE_SYSTEM_NAME": "Windows",
            "CMAKE_SYSTEM_PROCESSOR": "x86_64",
            "CMAKE_C_COMPILER": "x86_64-w64-mingw32-gcc-posix",
            "CMAKE_CXX_COMPILER": "x86_64-w64-mingw32-g++-posix",
            "CMAKE_RC_COMPILER": "x86_64-w64-mingw32-windres",
            # mingw would call it libllama.dll.
            "CMAKE_SHARED_LIBRARY_PREFIX_CXX": "",
            "CMAKE_SHARED_MODULE_PREFIX_CXX": "",
        },
        # The time of linking would be in the file.
        link="-Wl,--no-insert-timestamp,--nxcompat,--dynamicbase,--high-entropy-va",
        libraries="*.dll",
        runtime=("libstdc++-6.dll", "libgcc_s_seh-1.dll", "libwinpthread-1.dll", "libgomp-1.dll"),
    ),
    # On a Mac only, for its own kind of processor; the part for the GPU (Metal) comes with it.
    "macos": Target(
        name="macos",
        compiler="clang++",
        strip="strip",
        options={"CMAKE_INSTALL_RPATH": "@loader_path", "CMAKE_OSX_DEPLOYMENT_TARGET": "13.0"},
        link="",
        libraries="lib*.[ds]*",  # what is loaded at run time ends in .so there
    ),
}


def main(arguments: list[str]) -> None:
    """Build what ``arguments`` ask for; a problem ends the process with one line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target", choices=TARGETS, default=HOST)
    parser.add_argument("--pack", choices=PACKS, default="cpu")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--force", action="store_true", help="build again what is there")
    chosen = parser.parse_args(arguments)
    print(build(TARGETS[chosen.target], chosen.pack, chosen.jobs, force=chosen.force))


def build(target: Target, pack: str, jobs: int, *, force: bool = False) -> Path:
    """The folder of this engine; it is built where it is not there."""
    for program in ("cmake", "ninja", target.compiler, target.strip):
        if shutil.which(program) is None:
            raise SystemExit(f"error: {program} is needed to build the engine for {target.name}.")
    require_compiler(target)
    version, sha256 = pinned(ROOT / "requirements.lock")
    folder = cache() / f"engine-{target.name}-{pack}-{fingerprint(target, pack, sha256)}"
    if folder.exists() and not force:
        return folder
    with tempfile.TemporaryDirectory(dir=cache(), prefix="engine-") as work:
        source = unpack(sdist(version, sha256), Path(work))
        made = compile_in(Path(work) / "build", source, target, pack, jobs)
        finished = Path(work) / "finished"
        finished.mkdir(mode=0o755)
        for library in [*made, *runtime_libraries(target)]:
            place(library, finished, target)
        describe(finished, target, pack, version, source)
        if folder.exists():
            shutil.rmtree(folder)
        finished.rename(folder)
    return folder


def cache() -> Path:
    """Where what takes long to build is kept."""
    named = os.environ.get("LOCALAI_APP_BUILD_CACHE")
    folder = Path(named) if named else platformdirs.user_cache_path("localai-app") / "build"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


def pinned(lock: Path) -> tuple[str, str]:
    """Version and SHA-256 of the binding's sdist, as the lock has them."""
    text = lock.read_text(encoding="utf-8")
    found = re.search(rf"^{BINDING}==(\S+) \\\n\s+--hash=sha256:([0-9a-f]{{64}})$", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"error: {lock.name} pins no single sdist of {BINDING}.")
    return found[1], found[2]


def fingerprint(target: Target, pack: str, sha256: str) -> str:
    """What the result depends on: the source, the way it is built and the compiler."""
    parts = [sha256, compiler_version(target), repr(target), OPTIONS, HARDENING, PACKS[pack], SCHEMA]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def sdist(version: str, sha256: str) -> Path:
    """The archive with the pinned hash, from the cache or from the package index."""
    archive = cache() / f"llama_cpp_python-{version}.tar.gz"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=cache(), prefix="sdist-") as folder:
            wanted = Path(folder) / "pinned.txt"
            wanted.write_text(f"{BINDING}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
            options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes"]
            run(sys.executable, "-m", "pip", "download", *options, "-r", str(wanted), "-d", folder)
            (Path(folder) / archive.name).rename(archive)
    if digest(archive) != sha256:
        raise SystemExit(f"error: {archive} is not the file that requirements.lock pins.")
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """The source of llama.cpp that ``archive`` holds."""
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")
    return next(folder.glob("*/vendor/llama.cpp"))


def compile_in(folder: Path, source: Path, target: Target, pack: str, jobs: int) -> list[Path]:
    """Compile; the libraries that came of it."""
    flags = [f"-ffile-prefix-map={source}=llama.cpp", f"-ffile-prefix-map={folder}=build"]
    flags += HARDENING if target.name == "linux" else []
    options = {
        **OPTIONS,
        **target.options,
        **PACKS[pack],
        "CMAKE_C_FLAGS": " ".join(flags),
        "CMAKE_CXX_FLAGS": " ".join(flags),
        "CMAKE_SHARED_LINKER_FLAGS": target.link,
        "CMAKE_MODULE_LINKER_FLAGS": target.link,
    }
    # llama.cpp asks git for its commit: with git or without, the libraries shall be the same.
    environment = {**os.environ, "GIT_DIR": os.devnull, "LC_ALL": "C"}
    defined = [f"-D{name}={value}" for name, value in options.items()]
    run("cmake", "-G", "Ninja", "-S", str(source), "-B", str(folder), *defined, environment=environment)
    run("cmake", "--build", str(folder), "--target", "llama", "-j", str(jobs), environment=environment)
    libraries = sorted((folder / "bin").glob(target.libraries))
    if not any("ggml-cpu-" in library.name for library in libraries):
        raise SystemExit("error: the build made no CPU variants.")
    return libraries


def require_compiler(target: Target) -> None:
    """End where the compiler for ``target`` is too old."""
    if target.name == "windows":
        version = output(target.compiler, "-dumpversion")
        if int(re.split(r"\D", version)[0]) < MINGW:
            name = target.compiler
            raise SystemExit(f"error: {name} is {version}; {MINGW} or newer is needed (Debian 13 has it).")


def runtime_libraries(target: Target) -> Iterator[Path]:
    """The compiler's own libraries that ``target`` has to bring along."""
    for name in target.runtime:
        path = Path(output(target.compiler, f"-print-file-name={name}"))
        if not path.is_file():
            raise SystemExit(f"error: {target.compiler} brings no {name}.")
        yield path


def place(library: Path, folder: Path, target: Target) -> None:
    """Copy ``library`` into ``folder`` without its symbols for debuggers."""
    copy = folder / library.name
    shutil.copyfile(library, copy)
    run(target.strip, "-x" if target.name == "macos" else "--strip-unneeded", str(copy))
    copy.chmod(0o644)


def describe(folder: Path, target: Target, pack: str, version: str, source: Path) -> None:
    """Write what the engine is and what it is made of."""
    manifest = {
        "schema": SCHEMA,
        "name": pack,
        "system": target.name,
        "machine": platform.machine() if target.name == "macos" else "x86_64",
        "binding": f"{BINDING} {version}",
        "llama_cpp": upstream_version(source),
        "commit": upstream_commit(source),
        "compiler": compiler_version(target),
        "options": {**OPTIONS, **PACKS[pack]},
        "files": {path.name: digest(path) for path in sorted(folder.iterdir())},
    }
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    (folder / MANIFEST).chmod(0o644)


def compiler_version(target: Target) -> str:
    """The compiler's own line."""
    return output(target.compiler, "--version").partition("\n")[0]


def upstream_version(source: Path) -> str:
    """The version that llama.cpp gives itself."""
    text = (source / "CMakeLists.txt").read_text(encoding="utf-8")
    numbers = [
        re.search(rf"set\(LLAMA_VERSION_{part}\s+(\d+)\)", text) for part in ("MAJOR", "MINOR", "PATCH")
    ]
    return ".".join(found[1] if found else "?" for found in numbers)


def upstream_commit(source: Path) -> str:
    """The commit of llama.cpp: the sdist brings the repository's notes along."""
    head = source.parents[1] / ".git" / "modules" / "vendor" / "llama.cpp" / "HEAD"
    return head.read_text(encoding="ascii").strip() if head.is_file() else "unknown"


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def output(*command: str) -> str:
    """What ``command`` prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def run(*command: str, environment: dict[str, str] | None = None) -> None:
    """Run ``command``; what it says goes to stderr, and its failure ends the process."""
    done = subprocess.run(command, check=False, env=environment, stdout=sys.stderr)
    if done.returncode:
        raise SystemExit(f"error: {Path(command[0]).name} failed.")


if __name__ == "__main__":
    main(sys.argv[1:])

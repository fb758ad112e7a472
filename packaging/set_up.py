"""Make this checkout ready to run, test or check; the second time takes a moment.

usage: set_up.py run | ocr | test | real | check | install

run      pinned dependencies, system libraries, starter and embedding model; then start the app
ocr      run, with text recognition for scans; starts nothing
test     the same with test tools and test models; starts nothing
real     test, and the 1.1 GB model of the slow checks
check    dependencies and test tools only
install  run, without starting the app

Standard library only, because it runs before anything is installed; and parsed by any Python 3, so
that an old one gets a clear line instead of a syntax error. Linux, macOS and Windows.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
WINDOWS = os.name == "nt"
SCRIPTS = VENV / ("Scripts" if WINDOWS else "bin")
PYTHON = SCRIPTS / ("python.exe" if WINDOWS else "python")
LOCKS = {
    "run": ROOT / "requirements.lock",
    "ocr": ROOT / "requirements-ocr.lock",
    "dev": ROOT / "requirements-dev.lock",
}
COVERED_BY = {"run": ("run", "ocr", "dev"), "ocr": ("ocr", "dev"), "dev": ("dev",)}
BUILD_LOCK = ROOT / "requirements-build.lock"
MINIMUM = (3, 11)

QT_LIBRARIES = {
    # What Qt's Linux platform plugins load and PySide6 does not carry, with Debian's names.
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libX11.so.6": "libx11-6",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxcb.so.1": "libxcb1",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-glx.so.0": "libxcb-glx0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libwayland-client.so.0": "libwayland-client0",
    "libwayland-cursor.so.0": "libwayland-cursor0",
}


def main(arguments: list[str]) -> None:
    """Do what ``arguments`` ask; a problem ends the process with one line that says what to do."""
    if len(arguments) != 1 or arguments[0] not in ("run", "ocr", "test", "real", "check", "install"):
        raise SystemExit(__doc__)
    goal = arguments[0]
    if sys.version_info < MINIMUM:
        fail(
            f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}. "
            "Name another one: make PYTHON=python3.12 run"
        )
    install({"run": "run", "install": "run", "ocr": "ocr"}.get(goal, "dev"))
    if goal != "check":
        install_system_libraries(quiet=not has_display())
    if goal in ("run", "ocr", "install"):
        run_script("fetch_models.py", "starter")
        run_script("make_embedding_model.py")
    elif goal in ("test", "real"):
        more = ["qwen2.5"] if goal == "real" else []
        run_script("fetch_models.py", "--test", "smollm2", "gemma3", *more)
        run_script("make_embedding_model.py", "--test")
    if goal == "run":
        start()


def say(text: str) -> None:
    """Tell the person what happens now, before it happens."""
    sys.stderr.write(f"==> {text}\n")
    sys.stderr.flush()


def fail(text: str) -> None:
    """End with one line and status 1."""
    raise SystemExit(f"error: {text}")


def install(extent: str) -> None:
    """Bring ``.venv`` to the state that the lock of ``extent`` names, or one that covers it."""
    wanted = {name: fingerprint(lock) for name, lock in LOCKS.items()}
    if any(is_stamped(name, wanted[name]) for name in COVERED_BY[extent]):
        return
    make_venv()
    say("Installing the pinned Python packages")
    # The pip that comes with the venv may be too old to check hashes of wheels it built itself.
    pip("install", "--quiet", "--require-hashes", "-r", str(pip_alone(LOCKS[extent])))
    if not wheel_is_cached("llama_cpp_python"):
        require_compiler()
        say("Building llama.cpp, about 4 minutes, once")
    constraint = ["--build-constraint", str(BUILD_LOCK)]
    pip("install", "--require-hashes", "-r", str(LOCKS[extent]), *constraint)
    pip("install", "--quiet", "--no-deps", "--editable", str(ROOT), *constraint)
    # Child processes write no bytecode, and a worker that compiles itself starts more slowly.
    subprocess.run([str(PYTHON), "-m", "compileall", "-q", str(ROOT / "localai_app")], check=False)
    for name, covered_by in COVERED_BY.items():
        if extent in covered_by:
            (VENV / f"set-up-{name}").write_text(wanted[name], encoding="utf-8")


def fingerprint(lock: Path) -> str:
    """One line that changes when ``lock``, the project file, this Python or this folder does."""
    digest = hashlib.sha256()
    for file in (lock, BUILD_LOCK, ROOT / "pyproject.toml"):
        digest.update(file.read_bytes())
    return f"{digest.hexdigest()} {sys.version.split()[0]} {VENV}"


def is_stamped(name: str, wanted: str) -> bool:
    """Whether the last set-up of this kind finished and nothing it depends on changed since."""
    stamp = VENV / f"set-up-{name}"
    return stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and PYTHON.exists()


def make_venv() -> None:
    """Create ``.venv``; a venv of another Python or one that was moved is made anew."""
    place = f"{sys.version.split()[0]} {VENV}"
    mark = VENV / "made-for"
    if (
        mark.exists()
        and mark.read_text(encoding="utf-8") == place
        and runs(str(PYTHON), "-m", "pip", "--version")
    ):
        return
    say(f"Making {VENV} with Python {sys.version.split()[0]}")
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and can_apt():
        apt("python3-venv")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stdout + done.stderr).strip().splitlines()
        fail(
            "Python cannot make a virtual environment. On Debian or Ubuntu: sudo apt install python3-venv"
            + (f" ({reason[0]})" if reason else "")
        )
    mark.write_text(place, encoding="utf-8")


def pip(*arguments: str) -> None:
    """Run the venv's pip; its own last line tells what went wrong, ours what to do."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        fail("installing failed (see above). Is there a connection to the package index? Then run it again.")


def pip_alone(lock: Path) -> Path:
    """A requirements file with only the pinned pip of ``lock``, hashes included."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("pip=="))
    last = next(number for number in range(first, len(lines)) if not lines[number].endswith("\\"))
    file = VENV / "pip.lock"
    file.write_text("\n".join(lines[first : last + 1]) + "\n", encoding="utf-8")
    return file


def wheel_is_cached(name: str) -> bool:
    """Whether pip holds a wheel of ``name`` that it built earlier; then no compiler is needed."""
    done = subprocess.run(
        [str(PYTHON), "-m", "pip", "cache", "list", name, "--format=abspath"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and done.stdout.strip() != ""


def require_compiler() -> None:
    """End with one line when there is no C++ compiler."""
    if WINDOWS:  # the Visual Studio compiler is not on PATH; CMake finds it by itself
        return
    if sys.platform == "darwin":
        if not runs("xcrun", "--find", "c++"):
            fail("a C++ compiler is needed to build llama.cpp. Run: xcode-select --install")
        return
    if os.environ.get("CXX") or any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        return
    fail("a C++ compiler is needed to build llama.cpp. On Debian or Ubuntu: sudo apt install g++")


def install_system_libraries(quiet: bool) -> None:
    """Let Qt find its system libraries on Linux; ``quiet`` says nothing where it may not install."""
    if not sys.platform.startswith("linux"):
        return
    missing = sorted({package for library, package in QT_LIBRARIES.items() if not loads(library)})
    if not missing:
        return
    if can_apt() and apt(*missing):
        return
    if not quiet:
        say("The window needs system libraries: sudo apt install " + " ".join(missing))


def loads(library: str) -> bool:
    """Whether the system has this shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def can_apt() -> bool:
    """Whether this process may install Debian packages."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt(*packages: str) -> bool:
    """Install Debian packages; False where that does not work (no connection, other names)."""
    say("Installing system libraries: " + " ".join(packages))
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install_them = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    for command in (install_them, ["apt-get", "update", "-q"], install_them):
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode == 0 and command is install_them:
            return True
    return False


def run_script(name: str, *arguments: str) -> None:
    """Run a script of this folder with the venv's Python, which knows the app's folders."""
    done = subprocess.run([str(PYTHON), str(ROOT / "packaging" / name), *arguments], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def has_display() -> bool:
    """Whether a window can be shown."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def start() -> None:
    """Become the app: its window, or the same chat in this terminal where there is no display."""
    command = [str(SCRIPTS / ("localai-app.exe" if WINDOWS else "localai-app"))]
    if not has_display():
        say("No display: chatting in this terminal")
        command.append("chat")
    if WINDOWS:
        raise SystemExit(subprocess.run(command, check=False).returncode)
    os.execv(command[0], command)


def runs(*command: str) -> bool:
    """Whether ``command`` exists and ends well."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None

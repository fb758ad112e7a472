"""Make an AppImage: the app as one file that runs on most Linux systems and installs nothing.

usage: make_appimage.py --runtime FILE [--slim] [--bundle FOLDER] [--out FOLDER]

--runtime FILE   the part that mounts the rest: ``runtime-x86_64`` of the releases of
                 github.com/AppImage/type2-runtime (MIT), which no package index has
--slim           without models
--bundle FOLDER  what bundle.py made (default: dist/linux/localai-app)
--out FOLDER     where the file goes (default: dist/linux)

The file is that runtime with a squashfs image behind it, as the AppImage specification says. A few of the
system's libraries that not every desktop has come along. The same sources give the same bytes.

Needed: squashfs-tools.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bundle import libraries, normalise, source_date
from make_deb import LINUX, NAME, fetch_models, link, metainfo, place, write

from localai_app import __version__

ROOT = Path(__file__).resolve().parent.parent
BROUGHT_ALONG = re.compile(
    r"lib(xcb-(cursor|icccm|image|keysyms|render-util|util|xkb)|xkbcommon|xkbcommon-x11|gomp)\.so\.\d+"
)
"""Libraries of the system that a desktop may lack. All others, glibc and OpenGL first, must be its own."""


def main(arguments: list[str]) -> None:
    """Make the file; its path is the last line on stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--slim", action="store_true")
    parser.add_argument("--bundle", type=Path, default=ROOT / "dist" / "linux" / NAME)
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "linux")
    options = parser.parse_args(arguments)
    if not options.runtime.is_file():
        raise SystemExit(f"error: there is no runtime “{options.runtime}”. See make_appimage.py --help.")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "AppDir"
        fill(tree, options.bundle)
        if not options.slim:
            fetch_models(tree / NAME / "_internal" / "models")
        normalise(tree, source_date())
        image = squash(tree, Path(folder) / "image")
        name = f"{NAME}-{__version__}{'-slim' if options.slim else ''}-{platform.machine()}.AppImage"
        print(join(options.runtime, image, options.out / name))


def fill(tree: Path, bundle: Path) -> None:
    """What the AppImage holds, into ``tree``."""
    shutil.copytree(bundle, tree / NAME)
    for library in needed_of_the_system(bundle):
        shutil.copyfile(library, tree / NAME / "_internal" / library.name)
    link(tree / "AppRun", f"{NAME}/{NAME}")
    place(LINUX / f"{NAME}.desktop", tree)
    place(LINUX / f"{NAME}.svg", tree)
    link(tree / ".DirIcon", f"{NAME}.svg")
    write(tree / "usr/share/metainfo/app.localai.LocalAIApp.metainfo.xml", metainfo())


def needed_of_the_system(bundle: Path) -> list[Path]:
    """The system's libraries that come along."""
    found: dict[str, Path] = {}
    for library in libraries(bundle):
        done = subprocess.run(["ldd", str(library)], capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            name, _, place_of = line.strip().partition(" => ")
            if BROUGHT_ALONG.fullmatch(name):
                found[name] = Path(place_of.split(" (")[0])
    return [found[name] for name in sorted(found)]


def squash(tree: Path, image: Path) -> Path:
    """The squashfs image of ``tree``."""
    command = ["mksquashfs", str(tree), str(image), "-root-owned", "-noappend", "-comp", "zstd", "-quiet"]
    # It reads the time of all files, and of the image, from the environment.
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(source_date())}
    subprocess.run([*command, "-no-progress"], check=True, env=environment, stdout=sys.stderr)
    return image


def join(runtime: Path, image: Path, target: Path) -> Path:
    """The runtime with the image behind it, as a program."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        for part in (runtime, image):
            with part.open("rb") as source:
                shutil.copyfileobj(source, file)
    target.chmod(0o755)
    return target


if __name__ == "__main__":
    main(sys.argv[1:])

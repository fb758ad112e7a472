"""Races between those who use a model and whoever takes it away, on a worker that only pretends."""

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localai_app.engine import client
from localai_app.engine.arbiter import Arbiter
from localai_app.engine.client import WorkerEngine
from localai_app.engine.machine import MemoryNow
from localai_app.engine.protocol import ModelInfo

GIB = 1024**3
MODEL = ModelInfo(
    path="/m.gguf",
    name="Fake",
    architecture="fake",
    description="fake",
    parameters=1,
    size=1,
    vocabulary=1,
    embedding_length=1,
    layers=1,
    context_length=1,
    trained_context_length=1,
    chat_template=None,
    bos="",
    eos="",
    device="CPU",
    threads=1,
    engine_build="fake",
    load_seconds=0.0,
    confinement="none",
)


class Process:
    """A worker whose end a test can hold up."""

    made: "list[Process]"
    may_end: threading.Event
    ending: threading.Event

    def __init__(self, *_: object, **__: object) -> None:
        self.alive, self.busy, self.gpu = True, False, False
        self.made.append(self)

    def stop(self) -> None:
        self.ending.set()
        assert self.may_end.wait(10)
        self.alive = False


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    Process.made, Process.may_end, Process.ending = [], threading.Event(), threading.Event()
    Process.may_end.set()
    monkeypatch.setattr(client, "WorkerProcess", Process)
    monkeypatch.setattr(client, "_load", lambda *_, **__: MODEL)
    monkeypatch.setattr(WorkerEngine, "probe", lambda _: None)
    return Process.made


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return path


@pytest.fixture
def engine(processes: list[Process], model: Path) -> Iterator[WorkerEngine]:
    made = WorkerEngine(arbiter=Arbiter(cores=lambda: 4))
    made.load(model)
    yield made
    made.close()


def in_thread(act: Callable[[], object]) -> "queue.SimpleQueue[object]":
    results: queue.SimpleQueue[object] = queue.SimpleQueue()
    threading.Thread(target=lambda: results.put(act()), daemon=True).start()
    return results


def test_an_idle_model_rests(engine: WorkerEngine) -> None:
    assert engine.rest(engine.uses)
    assert engine.model is None
    assert not engine.rest(engine.uses), "there is nothing more to end"


def test_a_use_since_the_look_keeps_it(engine: WorkerEngine, model: Path) -> None:
    seen = engine.uses
    engine.load(model)
    assert not engine.rest(seen)
    assert engine.model is not None


def test_a_held_model_stays_and_the_end_of_holding_is_a_use(engine: WorkerEngine) -> None:
    with engine.hold():
        assert engine.in_use
        seen = engine.uses
        assert not engine.rest(seen)
    assert not engine.in_use
    assert not engine.rest(seen)
    assert engine.rest(engine.uses)


def test_a_busy_worker_stays(engine: WorkerEngine, processes: list[Process]) -> None:
    processes[0].busy = True
    assert engine.in_use
    assert not engine.rest(engine.uses)
    processes[0].busy = False
    assert engine.rest(engine.uses)


def test_a_message_that_comes_while_the_model_ends_waits_and_loads_it_again(
    engine: WorkerEngine, processes: list[Process], model: Path
) -> None:
    Process.may_end.clear()
    rests = in_thread(lambda: engine.rest(engine.uses))
    assert Process.ending.wait(10)
    with engine.hold():
        loads = in_thread(lambda: engine.load(model))
        Process.may_end.set()
        assert rests.get(timeout=10) is True
        assert loads.get(timeout=10) == MODEL
        assert engine.model == MODEL
        assert not engine.rest(engine.uses)
    assert len(processes) == 2


def test_a_model_that_is_just_loaded_is_not_taken(
    engine: WorkerEngine, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loading, may_load = threading.Event(), threading.Event()

    def load(*_: object, **__: object) -> ModelInfo:
        loading.set()
        assert may_load.wait(10)
        return MODEL

    monkeypatch.setattr(client, "_load", load)
    other = tmp_path / "other.gguf"
    other.write_bytes(b"GGUF")
    loads = in_thread(lambda: engine.load(other))
    assert loading.wait(10)
    assert engine.in_use
    assert not engine.rest(engine.uses), "it answers at once, without waiting for the load"
    may_load.set()
    assert loads.get(timeout=10) == MODEL
    assert engine.model == MODEL


def test_whoever_holds_then_loads_is_never_left_without_a_model(engine: WorkerEngine, model: Path) -> None:
    """Somebody takes the model away whenever it is allowed, while others come and go."""
    stop = threading.Event()
    taken = 0

    def take() -> None:
        nonlocal taken
        while not stop.is_set():
            taken += engine.rest(engine.uses)

    missing: list[int] = []

    def use(number: int) -> None:
        for _ in range(200):
            with engine.hold():
                engine.load(model)
                if engine.model is None:
                    missing.append(number)

    taker = threading.Thread(target=take)
    users = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for thread in (taker, *users):
        thread.start()
    for thread in users:
        thread.join()
    while not taken:  # nobody holds it any more
        pass
    stop.set()
    taker.join()
    assert missing == []


def test_a_second_engine_makes_the_first_one_rest_where_memory_is_short(
    processes: list[Process], model: Path
) -> None:
    arbiter = Arbiter(cores=lambda: 4, memory=lambda: MemoryNow(16 * GIB, free[0]))
    free = [8 * GIB]
    chat, embedding = (WorkerEngine(arbiter=arbiter) for _ in range(2))
    arbiter.unload = lambda member: member.rest(member.uses)  # type: ignore[attr-defined]
    chat.load(model)
    embedding.load(model)
    assert chat.model is not None
    embedding.unload()
    free[0] = GIB // 4
    with chat.hold():
        embedding.load(model)
        assert chat.model is not None, "one in use stays"
    embedding.unload()
    embedding.load(model)
    assert chat.model is None
    assert embedding.model is not None

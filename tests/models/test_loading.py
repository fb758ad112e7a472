"""What a model is loaded with, and what happens when memory is short or runs out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from localai_app.engine import worker_process
from localai_app.engine.client import WorkerEngine
from localai_app.engine.protocol import Device, LoadSettings, ModelInfo, Sampling, Segment
from localai_app.errors import EngineError, EngineExited, GgufError, ModelLoadFailed, UsageError
from localai_app.models import loading
from localai_app.models.fit import Memory, estimate
from localai_app.models.gguf import GgufHeader
from localai_app.models.header_process import read_header
from localai_app.models.installed import InstalledModel
from localai_app.models.loading import Loader, Overrides, memory_ran_out
from localai_app.processes import describe_end
from localai_app.sandbox import Confinement
from localai_app.store.database import Database
from localai_app.store.settings import Settings
from tests.fake_engine import FakeEngine
from tests.models.test_fit import GB, header

OUT_OF_MEMORY = ModelLoadFailed("The model could not be loaded: failed to allocate buffer of size 5.")
DAMAGED = ModelLoadFailed(
    "The model could not be loaded: tensor 'a' is not within the file bounds.", worker_process.LOAD_HINT
)
KILLED = EngineExited(f"The engine stopped: {describe_end(-9)}.")
GPU = Device(name="GPU0", description="A card", kind="gpu", memory_total=24 * GB, memory_free=23 * GB)


@dataclass
class ShortEngine(FakeEngine):
    """Refuses its next loads with ``failures``; remembers the settings of all."""

    failures: list[EngineError] = field(default_factory=list)
    tried: list[LoadSettings] = field(default_factory=list)
    gpus: list[Device] = field(default_factory=list)
    probes: int = 0
    room: list[int] = field(default_factory=list)
    makes_room: Callable[[], None] = lambda: None

    def devices(self) -> list[Device]:
        self.probes += 1
        return self.gpus

    def make_room(self, needed: int) -> bool:
        self.room.append(needed)
        self.makes_room()
        return True

    def load(
        self,
        path: Path,
        settings: LoadSettings = LoadSettings(),
        on_progress: Callable[[float], None] | None = None,
        *,
        sha256: str = "",
    ) -> ModelInfo:
        if not self.tried or self.tried[-1] != settings or self.model is None:
            self.tried.append(settings)
        if self.failures:
            self.model = None
            raise self.failures.pop(0)
        return super().load(path, settings, on_progress, sha256=sha256)


@dataclass
class Room:
    loader: Loader
    engine: ShortEngine
    settings: Settings
    model: InstalledModel
    monkeypatch: pytest.MonkeyPatch
    header: GgufHeader = field(default_factory=header)

    def free(self, ram: int) -> None:
        def memory(devices: list[Device] = []) -> Memory:  # noqa: B006 - never changed
            vram = sum(device.memory_free for device in devices)
            return Memory(ram, 16 * GB, vram, vram)

        self.monkeypatch.setattr(loading, "live_memory", memory)

    def load(self) -> LoadSettings:
        self.loader.load(self.model, "a" * 64)
        return self.engine.tried[-1]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    database = Database.open(tmp_path / "store.db", bytes(32))
    path = tmp_path / "four-4b-q4_0.gguf"
    path.write_bytes(b"GGUF")
    settings, engine = Settings(database), ShortEngine(context_length=40_960)
    model = InstalledModel(path, "Four 4B", "Q4_0", 2_300_000_000)
    made = Room(Loader(engine, settings, lambda _: made.header), engine, settings, model, monkeypatch)
    made.free(12 * GB)
    yield made
    database.close()


def need(context: int, kv_type: str = "f16") -> int:
    settings = LoadSettings(context_length=context, kv_type=kv_type)  # type: ignore[arg-type]
    return estimate(header(), Memory(64 * GB, 64 * GB), settings).needed


# ---------------------------------------------------------------- choosing


def test_with_memory_to_spare_the_usual_is_loaded_and_nothing_is_said(room: Room) -> None:
    assert room.load() == LoadSettings(context_length=8192, gpu_layers=0)
    assert room.loader.take_notice() == ""
    assert room.engine.room == []


def test_short_memory_gets_a_shorter_context_and_says_so_once(room: Room) -> None:
    room.free(int(need(4096) / 0.84))
    assert room.load().context_length == 4096
    notice = (
        "Memory is short: Four 4B answers with 4,096 tokens of context instead of 8,192 tokens of context."
    )
    assert room.loader.take_notice() == notice
    assert room.loader.take_notice() == ""


def test_what_is_wrong_with_the_engine_is_said_once_with_the_first_load(room: Room) -> None:
    room.engine.notice = "The GPU is not used."
    room.free(int(need(4096) / 0.84))
    room.load()
    assert room.loader.take_notice().startswith("The GPU is not used. Memory is short: ")
    room.free(12 * GB)
    room.engine.unload()
    room.loader.load(room.model, "b" * 64)
    assert room.loader.take_notice() == ""
    room.engine.notice = "The engine pack is not used."
    room.engine.unload()
    room.loader.load(room.model, "c" * 64)
    assert room.loader.take_notice() == "The engine pack is not used."


def test_other_idle_models_make_room_first(room: Room) -> None:
    room.free(int(need(4096) / 0.84))
    room.engine.makes_room = lambda: room.free(12 * GB)
    assert room.load().context_length == 8192
    assert room.engine.room == [need(8192)]
    assert room.loader.take_notice() == ""


def test_a_model_that_is_held_keeps_its_settings_whatever_is_free(room: Room) -> None:
    first = room.load()
    room.free(1 * GB)
    assert room.load() == first
    assert len(room.engine.tried) == len(room.engine.loads) == 1


def test_after_it_was_unloaded_the_settings_are_chosen_anew(room: Room) -> None:
    room.load()
    room.engine.unload()
    room.free(int(need(4096) / 0.84))
    assert room.load().context_length == 4096


def test_what_the_held_model_takes_counts_as_free_for_the_next(room: Room) -> None:
    room.load()
    fit = room.loader.plan(room.model).fit
    assert fit.ram_free - 12 * GB == fit.ram - (fit.weights - fit.copies)
    room.engine.unload()
    assert room.loader.plan(room.model).fit.ram_free == 12 * GB


def test_a_gpu_gets_the_layers_and_is_looked_at_for_every_load(room: Room) -> None:
    room.engine.gpus = [GPU]
    assert room.load().gpu_layers == 37
    assert room.loader.plan(room.model).has_gpu
    assert room.engine.probes == 2


def test_without_a_gpu_the_engine_is_asked_once(room: Room) -> None:
    for _ in range(3):
        room.loader.plan(room.model)
    assert room.engine.probes == 1


def test_a_model_that_makes_vectors_is_no_model_to_chat_with(room: Room) -> None:
    room.header = header(embedding_only=True)
    with pytest.raises(ModelLoadFailed, match="vectors"):
        room.load()
    assert room.engine.tried == []


def test_a_file_that_is_no_model_never_reaches_the_engine(room: Room) -> None:
    def broken(path: Path) -> GgufHeader:
        raise GgufError("no model")

    room.loader = Loader(room.engine, room.settings, broken)
    with pytest.raises(GgufError):
        room.load()
    assert room.engine.tried == []


# ---------------------------------------------------------------- what a person sets


def test_what_is_set_is_kept_and_used_from_the_next_load_on(room: Room) -> None:
    room.load()
    room.loader.set_overrides(room.model.path, Overrides(context_length=16_384, kv_type="q8_0"))
    again = Loader(room.engine, room.settings, lambda _: header())
    again.load(room.model, "a" * 64)
    assert room.engine.tried[-1] == LoadSettings(context_length=16_384, kv_type="q8_0", gpu_layers=0)
    assert room.load() == room.engine.tried[-1]
    room.loader.set_overrides(room.model.path, Overrides())
    assert room.load().context_length == 8192


def test_what_is_set_belongs_to_one_model(room: Room) -> None:
    room.loader.set_overrides(room.model.path, Overrides(context_length=1024))
    assert room.loader.overrides(room.model.path.with_name("other.gguf")).automatic


@pytest.mark.parametrize(
    "stored",
    [{"context_length": "many"}, {"context_length": 3}, {"kv_type": "f64"}, [1], "x", {"gpu_layers": -9}],
)
def test_whatever_is_stored_the_model_can_be_loaded(stored: object, room: Room) -> None:
    room.settings.set(f"model.load:{room.model.path}", stored)  # type: ignore[arg-type]
    assert room.loader.overrides(room.model.path) == Overrides()


@pytest.mark.parametrize(
    "overrides", [Overrides(context_length=100), Overrides(context_length=-1), Overrides(gpu_layers=-2)]
)
def test_values_that_cannot_be_are_refused(overrides: Overrides, room: Room) -> None:
    with pytest.raises(UsageError):
        room.loader.set_overrides(room.model.path, overrides)
    with pytest.raises(UsageError):
        room.loader.plan(room.model, overrides)


def test_more_than_fits_is_refused_with_the_numbers_and_a_way_to_go_on(room: Room) -> None:
    room.free(4 * GB)
    wanted = Overrides(context_length=40_960)
    room.loader.set_overrides(room.model.path, wanted)
    with pytest.raises(ModelLoadFailed) as caught:
        room.load()
    assert "Four 4B: Will not fit" in caught.value.line
    assert "4.0 GB are free" in caught.value.line
    assert "--anyway" in caught.value.line
    assert room.engine.tried == []
    room.loader.set_overrides(room.model.path, replace(wanted, anyway=True))
    assert room.load().context_length == 40_960


def test_a_model_that_cannot_fit_at_all_is_refused_before_it_fills_the_memory(room: Room) -> None:
    room.free(1 * GB)
    with pytest.raises(ModelLoadFailed, match="Will not fit"):
        room.load()
    assert room.engine.tried == []


# ---------------------------------------------------------------- when memory runs out all the same


def test_out_of_memory_goes_on_with_less_step_by_step_and_says_so(room: Room) -> None:
    room.loader.set_overrides(room.model.path, Overrides(context_length=16_384))
    room.engine.failures = [OUT_OF_MEMORY, OUT_OF_MEMORY]
    assert room.load().context_length == 4096
    assert [each.context_length for each in room.engine.tried] == [16_384, 8192, 4096]
    notice = room.loader.take_notice()
    assert notice == (
        "Memory ran out with 16,384 tokens of context: Four 4B answers with 4,096 tokens of context."
    )
    assert room.load().context_length == 4096, "what works is kept while it is held"
    assert len(room.engine.tried) == 3
    assert room.loader.overrides(room.model.path).context_length == 16_384, "and so is what was set"


def test_layers_leave_the_gpu_first(room: Room) -> None:
    room.engine.gpus = [GPU]
    room.loader.set_overrides(room.model.path, Overrides(context_length=8192))
    room.engine.failures = [ModelLoadFailed("allocating on device 0: cudaMalloc failed: out of memory")]
    assert room.load().gpu_layers == 24
    assert "37 of 37 layers on the GPU" in room.loader.take_notice()


def test_when_nothing_helps_the_numbers_are_told(room: Room) -> None:
    room.engine.failures = [OUT_OF_MEMORY] * 20
    with pytest.raises(ModelLoadFailed, match="Memory does not suffice for Four 4B") as caught:
        room.load()
    assert [(each.context_length, each.kv_type) for each in room.engine.tried] == [
        (8192, "f16"),
        (4096, "f16"),
        (4096, "q8_0"),
    ]
    assert "GB" in caught.value.line
    assert caught.value.__cause__ is OUT_OF_MEMORY


def test_a_damaged_file_is_not_tried_again_with_less(room: Room) -> None:
    room.engine.failures = [DAMAGED]
    with pytest.raises(ModelLoadFailed, match="file bounds") as caught:
        room.load()
    assert len(room.engine.tried) == 1
    assert "damaged" in caught.value.hint
    assert "memory" not in caught.value.hint


def test_a_worker_that_was_killed_is_tried_with_less_only_where_memory_is_the_likely_reason(
    room: Room,
) -> None:
    room.engine.failures = [KILLED]
    with pytest.raises(EngineExited):
        room.load()
    room.free(int(need(8192) / 0.8))
    room.engine.failures = [KILLED]
    assert room.load().context_length == 4096


def test_settings_that_the_model_cannot_have_end_the_attempts(room: Room) -> None:
    room.engine.failures = [OUT_OF_MEMORY, OUT_OF_MEMORY, ModelLoadFailed("quantised cache: no block size")]
    with pytest.raises(ModelLoadFailed, match="does not suffice"):
        room.load()


@pytest.mark.parametrize(
    ("message", "memory"),
    [
        ("failed to allocate buffer of size 188743680", True),
        ("unable to allocate CPU buffer", True),
        ("failed to initialize the context: failed to allocate buffer for kv cache", True),
        ("failed to initialize the context: std::bad_alloc", True),
        ("ErrorOutOfDeviceMemory", True),
        ("mmap failed: Cannot allocate memory", True),
        ("aborted (SIGABRT): ggml.c:1644: GGML_ASSERT(ctx->mem_buffer != NULL) failed", True),
        ("missing tensor 'token_embd.weight'", False),
        ("unknown model architecture: 'x'", False),
        ("crashed (SIGBUS); was a file cut short while it was in use?", False),
        ("aborted (SIGABRT): GGML_ASSERT(n > 0) failed", False),
    ],
)
def test_the_engine_s_own_words_tell_memory_from_damage(message: str, memory: bool) -> None:
    plenty = estimate(header(), Memory(64 * GB, 64 * GB), LoadSettings())
    assert memory_ran_out(ModelLoadFailed(message), plenty) is memory


# ---------------------------------------------------------------- the real worker


@pytest.mark.engine
def test_a_real_worker_short_of_memory_answers_with_a_shorter_context(
    starter_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address space stands in for memory: 188 MB of cells do not fit, 94 MB do."""
    monkeypatch.setattr(
        worker_process, "Confinement", lambda **values: Confinement(**values, memory=520 * 1024**2)
    )
    database = Database.open(tmp_path / "store.db", bytes(32))
    engine = WorkerEngine()
    loader = Loader(engine, Settings(database), read_header)
    try:
        info = loader.load(InstalledModel(starter_model, "Starter", "Q4_1", 1), "")
        assert info.context_length == 4096
        assert loader.take_notice().startswith("Memory ran out with 8,192 tokens of context: ")
        done = list(engine.generate([Segment(text="Hello")], Sampling(), max_tokens=2))[-1]
        assert done.usage.output_tokens == 2  # type: ignore[union-attr]
    finally:
        engine.close()
        database.close()

"""Will it fit: sizes against llama.cpp's own, against a running worker, and the choices made from them."""

import itertools
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.engine.client import WorkerEngine
from localai_app.engine.protocol import Device, LoadSettings, Sampling, Segment
from localai_app.models.fit import (
    CPU_CONTEXT,
    MINIMUM_CONTEXT,
    OUTPUTS,
    Fit,
    Memory,
    choose,
    estimate,
    fallbacks,
    live_memory,
)
from localai_app.models.gguf import GgufHeader, StateSpace, Tensor, read_header
from tests.tiny_models import FAMILIES, build

GB = 10**9
MIB = 1024**2


def header(**changes: object) -> GgufHeader:
    """Qwen3-4B's shape in Q4_0: 2.3 GB, 36 layers."""
    layers = 36
    shapes = {
        "attn_q": (2560, 4096),
        "attn_k": (2560, 1024),
        "attn_v": (2560, 1024),
        "attn_output": (4096, 2560),
        "ffn_gate": (2560, 9728),
        "ffn_up": (2560, 9728),
        "ffn_down": (9728, 2560),
    }
    tensors = [
        Tensor(f"blk.{layer}.{name}.weight", "Q4_0", shape, shape[0] * shape[1] // 32 * 18)
        for layer in range(layers)
        for name, shape in shapes.items()
    ]
    embedding = Tensor("token_embd.weight", "Q4_0", (2560, 151_936), 2560 * 151_936 // 32 * 18)
    value = GgufHeader(
        version=3,
        architecture="qwen3",
        name="Four",
        quantisation="Q4_0",
        tensors=(embedding, *tensors),
        metadata={},
        layers=layers,
        embedding_length=2560,
        feed_forward=(9728,) * layers,
        heads=(32,) * layers,
        kv_heads=(8,) * layers,
        key_length=128,
        value_length=128,
        window_key_length=128,
        window_value_length=128,
        context_length=40_960,
        sliding_window=0,
        windowed=(False,) * layers,
        shared_kv_layers=0,
        kv_lora_rank=0,
        q_lora_rank=0,
        compressed=False,
        recurrent=(False,) * layers,
        state=StateSpace(0, 0, 0, 0, 0, 0, 0, 0),
        experts=0,
        experts_used=0,
        expert_feed_forward=0,
        vocabulary=151_936,
        tokenizer="gpt2 (qwen2)",
        chat_template=None,
        embedding_only=False,
        split_count=1,
        split_number=0,
    )
    return replace(value, **changes)  # type: ignore[arg-type]


PLENTY = Memory(ram_free=64 * GB, ram_total=64 * GB)
LAPTOP = Memory(ram_free=9 * GB, ram_total=16 * GB)


# ---------------------------------------------------------------- sizes


def test_keys_and_values_are_computed_to_the_byte() -> None:
    fit = estimate(header(), PLENTY, LoadSettings(context_length=4000))
    assert fit.kv == 36 * 8 * (128 + 128) * 2 * 4096, "590 MB for 4,000 tokens, in cells of 256"
    quantised = estimate(header(), PLENTY, LoadSettings(context_length=4000, kv_type="q8_0"))
    assert quantised.kv == fit.kv * 17 // 32


def test_latent_attention_caches_one_compressed_row() -> None:
    deepseek = header(kv_heads=(1,) * 36, key_length=576, value_length=512, compressed=True)
    assert estimate(deepseek, PLENTY, LoadSettings(context_length=4096)).kv == 36 * 576 * 2 * 4096


def test_recurrent_layers_cost_the_same_at_any_length() -> None:
    hybrid = header(recurrent=(True,) * 32 + (False,) * 4, state=StateSpace(4, 5120, 128, 80, 1, 0, 0, 0))
    state = (3 * (5120 + 256) + 128 * 5120) * 4
    for context in (4096, 32_768):
        fit = estimate(hybrid, PLENTY, LoadSettings(context_length=context, sequences=4))
        assert fit.kv == 32 * 4 * state + 4 * 8 * 256 * 2 * context


def test_layers_that_share_keys_and_values_cost_nothing() -> None:
    whole = estimate(header(), PLENTY, LoadSettings(context_length=4096))
    shared = estimate(header(shared_kv_layers=18), PLENTY, LoadSettings(context_length=4096))
    assert shared.kv * 2 == whole.kv


def test_window_layers_have_heads_of_their_own_size() -> None:
    mixed = header(windowed=(True,) * 30 + (False,) * 6, sliding_window=512, window_key_length=64)
    fit = estimate(mixed, PLENTY, LoadSettings(context_length=4096))
    assert fit.kv == (30 * 8 * (64 + 128) + 6 * 8 * 256) * 2 * 4096


def test_a_context_is_never_longer_than_the_model_s_own() -> None:
    assert estimate(header(), PLENTY, LoadSettings(context_length=100_000)).context_length == 40_960


def test_the_worker_reserves_as_many_outputs() -> None:
    from localai_app.engine.worker.drafting import MAX_DRAFT

    assert OUTPUTS == 1 + MAX_DRAFT


def peak_memory(path: Path, context: int) -> int:
    """Bytes of the worker's highest resident set after a prompt and an answer."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells the highest resident set of another process")
    engine = WorkerEngine()
    try:
        engine.load(path, LoadSettings(context_length=context, threads=1))
        prompt = [Segment(text="a quiet house by the sea " * (context // 60))]
        for _ in engine.generate(prompt, Sampling(temperature=0), max_tokens=3):
            pass
        assert engine._worker is not None
        status = Path(f"/proc/{engine._worker.pid}/status").read_text()
    finally:
        engine.close()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def fit_of(path: Path, context: int) -> Fit:
    with path.open("rb") as file:
        return estimate(read_header(file), live_memory(), LoadSettings(context_length=context))


@pytest.mark.engine
@pytest.mark.parametrize("context", [1024, 4096, 8192])
def test_the_estimate_is_near_what_the_worker_takes(
    starter_model: Path, gemma_base: Path, context: int
) -> None:
    for path in (starter_model, gemma_base):
        assert fit_of(path, context).ram == pytest.approx(peak_memory(path, context), rel=0.10)


@pytest.mark.engine
@pytest.mark.parametrize("name", FAMILIES)
def test_the_estimate_holds_for_every_family(name: str, tmp_path: Path) -> None:
    """Almost all of a tiny model's memory is the process itself, which differs by what Python had
    compiled before: 60 to 80 MB."""
    path = build(FAMILIES[name], tmp_path)
    assert fit_of(path, 512).ram == pytest.approx(peak_memory(path, 512), rel=0.10, abs=22e6)


@pytest.mark.real
def test_the_estimate_holds_for_a_model_of_1_5_billion_parameters(qwen: Path) -> None:
    for context in (4096, 8192):
        assert fit_of(qwen, context).ram == pytest.approx(peak_memory(qwen, context), rel=0.10)


# ---------------------------------------------------------------- choices


def test_a_model_that_fits_gets_the_usual_context() -> None:
    fit = choose(header(), PLENTY)
    assert (fit.grade, fit.context_length, fit.kv_type, fit.gpu_layers) == ("fits", CPU_CONTEXT, "f16", 0)
    assert "estimate" in fit.words
    assert "\n" not in fit.words


def test_what_is_asked_for_is_kept_and_graded() -> None:
    fit = choose(header(), replace(LAPTOP, ram_free=8 * GB), context_length=40_960, kv_type="f16")
    assert (fit.context_length, fit.kv_type) == (40_960, "f16")
    assert fit.grade == "will not fit"
    assert fit.total > fit.available


def test_a_small_memory_gets_a_shorter_context_then_a_coarser_cache() -> None:
    full = estimate(header(), PLENTY, LoadSettings(context_length=CPU_CONTEXT)).total
    short = choose(header(), Memory(ram_free=int((full - 3e8) / 0.85), ram_total=64 * GB))
    assert (short.context_length, short.kv_type) == (MINIMUM_CONTEXT, "f16")
    floor = estimate(header(), PLENTY, LoadSettings(context_length=MINIMUM_CONTEXT)).total
    coarse = choose(header(), Memory(ram_free=int((floor - 1e8) / 0.85), ram_total=64 * GB))
    assert (coarse.context_length, coarse.kv_type) == (MINIMUM_CONTEXT, "q8_0")


def test_a_model_that_is_too_large_is_said_to_be() -> None:
    fit = choose(header(), Memory(ram_free=GB, ram_total=8 * GB))
    assert fit.grade == "will not fit"
    assert fit.words.startswith("Will not fit")
    assert fit.context_length == MINIMUM_CONTEXT, "if somebody insists, the least is tried"


def test_pages_of_the_file_that_are_copied_need_not_stay() -> None:
    settings = LoadSettings(context_length=4096)
    fit = estimate(header(), PLENTY, settings)
    assert fit.copies > GB
    assert fit.needed == fit.total == fit.ram - fit.copies
    assert estimate(header(), Memory(int(fit.needed / 0.84), 16 * GB), settings).grade == "fits"
    assert estimate(header(), Memory(fit.needed + 1, 16 * GB), settings).grade == "tight"
    assert estimate(header(), Memory(fit.needed - 1, 16 * GB), settings).grade == "will not fit"


def test_an_output_matrix_shared_with_the_input_is_copied_where_its_type_is_rearranged() -> None:
    size = header().tensors[0].size
    plain = Tensor("token_embd.weight", "Q4_1", (2560, 151_936), size)
    other = header(tensors=(plain, *header().tensors[1:]))
    own_output = header(tensors=(*header().tensors, Tensor("output.weight", "Q4_1", (2560, 151_936), size)))
    copies = [estimate(each, PLENTY, LoadSettings()).copies for each in (header(), other, own_output)]
    assert [first - copies[1] for first in copies] == [size, 0, 0]


def test_a_large_gpu_gets_all_layers_and_a_long_context() -> None:
    fit = choose(header(), replace(PLENTY, vram_free=24 * GB, vram_total=24 * GB))
    assert (fit.grade, fit.gpu_layers, fit.context_length) == ("fits", 37, 40_960)
    assert fit.ram < GB < fit.vram < 24 * GB


def test_a_small_gpu_gets_the_layers_that_fit() -> None:
    memory = replace(PLENTY, vram_free=2 * GB, vram_total=2 * GB)
    fit = choose(header(), memory, context_length=4096)
    assert fit.grade == "partly on GPU"
    assert 0 < fit.gpu_layers < 37
    assert fit.vram <= 2 * GB
    one_more = estimate(header(), memory, LoadSettings(context_length=4096, gpu_layers=fit.gpu_layers + 1))
    assert one_more.vram > 0.85 * 2 * GB


def test_asking_for_the_cpu_leaves_the_gpu_alone() -> None:
    fit = choose(header(), replace(PLENTY, vram_free=24 * GB, vram_total=24 * GB), gpu_layers=0)
    assert (fit.gpu_layers, fit.vram, fit.context_length) == (0, 0, CPU_CONTEXT)


def test_the_choice_becomes_load_settings() -> None:
    fit = choose(header(), LAPTOP, context_length=5000)
    settings = fit.applied_to(LoadSettings(threads=3))
    assert settings == LoadSettings(threads=3, context_length=5000, gpu_layers=0)


def test_live_memory_counts_gpus_only_as_such() -> None:
    devices = [
        Device("CPU", "", "cpu", 16 * GB, 8 * GB),
        Device("CUDA0", "", "gpu", 24 * GB, 20 * GB),
        Device("BLAS", "", "accelerator", 16 * GB, 8 * GB),
    ]
    memory = live_memory(devices)
    assert (memory.vram_free, memory.vram_total) == (20 * GB, 24 * GB)
    assert 0 < memory.ram_free <= memory.ram_total


@given(
    ram=st.integers(0, 40 * GB),
    vram=st.integers(0, 40 * GB),
    asked=st.sampled_from((0, 4096, 20_000)),
    gpu_layers=st.integers(-1, 40),
)
def test_what_is_graded_as_fitting_fits(ram: int, vram: int, asked: int, gpu_layers: int) -> None:
    memory = Memory(ram_free=ram, ram_total=64 * GB, vram_free=vram, vram_total=vram)
    fit = choose(header(), memory, context_length=asked, gpu_layers=gpu_layers)
    if fit.grade != "will not fit":
        assert fit.needed <= ram
        assert fit.vram <= vram
    if fit.grade == "fits":
        assert fit.total <= fit.available
    assert MINIMUM_CONTEXT <= fit.context_length <= 40_960
    assert not asked or fit.context_length == asked
    if gpu_layers == 0:
        assert fit.vram == 0


# ---------------------------------------------------------------- after a failure


def test_fallbacks_need_less_and_less_and_end() -> None:
    steps = list(fallbacks(LoadSettings(gpu_layers=20, context_length=16_384)))
    assert [step.gpu_layers for step in steps][:3] == [13, 8, 5]
    assert steps[-1] == LoadSettings(gpu_layers=0, context_length=4096, kv_type="q8_0")
    memory = replace(PLENTY, vram_free=24 * GB, vram_total=24 * GB)
    totals = [estimate(header(), memory, step) for step in steps]
    assert all(after.vram <= before.vram for before, after in itertools.pairwise(totals))
    on_cpu = [fit.total for fit in totals if not fit.gpu_layers]
    assert on_cpu == sorted(on_cpu, reverse=True)


def test_fallbacks_count_down_from_all_layers() -> None:
    first = next(fallbacks(LoadSettings(), layers=36))
    assert first.gpu_layers == 24
    assert next(fallbacks(LoadSettings())).gpu_layers == 0, "when nobody knows how many there are"


def test_fallbacks_of_the_least_are_none() -> None:
    least = LoadSettings(gpu_layers=0, context_length=4096, kv_type="q8_0")
    assert list(fallbacks(least)) == []
    without = msgspec.structs.replace(least, kv_type="f16", flash_attention="off")
    assert list(fallbacks(without)) == [], "a quantised cache needs flash attention"

"""What is expected of a model that is not here, against what its file says once it is."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from localai_app.engine.protocol import LoadSettings
from localai_app.models import catalogue_file
from localai_app.models.catalogue import CatalogueEntry, parse
from localai_app.models.fit import Memory, estimate
from localai_app.models.gguf import GgufHeader, read_header
from localai_app.models.outlook import Outlook, bytes_per_token, header_of, outlook, recommend
from localai_app.models.speed import Speed
from tests.models.signing import document, entry
from tests.models.test_fit import header as qwen3_4b

GB = 10**9
ROOMY = Memory(ram_free=64 * GB, ram_total=64 * GB)


def of(**changes: Any) -> CatalogueEntry:
    (only,) = parse(document(entry(**changes))).entries
    return only


def entry_of(header: GgufHeader, size: int, *, shape: bool = True) -> CatalogueEntry:
    """What a catalogue would say of the file with this header."""
    known = {"layers": header.layers, "kv_heads": max(header.kv_heads), "head_length": header.key_length}
    family = {"gemma3": "Gemma 3", "llama": "SmolLM", "qwen2": "Qwen2.5", "qwen3": "Qwen3"}[
        header.architecture
    ]
    return of(
        family=family,
        quantisation=header.quantisation,
        parameters=header.parameters,
        context_length=header.context_length,
        files=[{"name": "a.gguf", "size": size}],
        shape=known if shape else None,
    )


def needed(header: GgufHeader, context: int) -> int:
    return estimate(header, ROOMY, LoadSettings(context_length=context)).needed


def close(entry_: CatalogueEntry, header: GgufHeader, tolerance: float) -> None:
    made = header_of(entry_)
    assert made is not None
    for context in (4096, 8192, 32_768):
        assert needed(made[0], context) == pytest.approx(needed(header, context), rel=tolerance)


def test_a_known_shape_needs_what_the_file_needs() -> None:
    header = qwen3_4b()
    expected = entry_of(header, header.size + 4_000_000)
    close(expected, header, 0.1)
    assert header_of(expected)[1] == ()  # type: ignore[index]


@pytest.mark.engine
def test_real_models_need_what_the_catalogue_says(starter_model: Path, gemma_base: Path) -> None:
    for path in (starter_model, gemma_base):
        with path.open("rb") as file:
            header = read_header(file)
        close(entry_of(header, path.stat().st_size), header, 0.11)


@pytest.mark.real
def test_a_real_large_model_needs_what_the_catalogue_says(qwen: Path) -> None:
    with qwen.open("rb") as file:
        header = read_header(file)
    close(entry_of(header, qwen.stat().st_size), header, 0.05)


def test_an_unknown_shape_is_estimated_and_said_so() -> None:
    header = qwen3_4b()
    expected = entry_of(header, header.size, shape=False)
    made = header_of(expected)
    assert made is not None
    assert made[1] == ("layers", "keys and values")
    assert needed(made[0], 8192) == pytest.approx(needed(header, 8192), rel=0.25)
    words = expect(expected).words
    assert "Estimated from the number of parameters: layers, keys and values." in words


def expect(entry_: CatalogueEntry, memory: Memory = ROOMY, bandwidth: float = 50e9, **more: Any) -> Outlook:
    found = outlook(entry_, memory, bandwidth=lambda: bandwidth, **more)
    assert found is not None
    return found


def kv(**changes: Any) -> int:
    """Bytes of keys and values at 4,096 tokens."""
    return expect(of(**changes), context_length=4096).fit.kv


def test_keys_and_values_follow_what_the_catalogue_says() -> None:
    one = 4096 * 2 * 2  # tokens, keys and values, f16
    plain = {"layers": 28, "kv_heads": 8, "head_length": 128}
    assert kv(shape=plain) == 28 * 8 * 128 * one
    groups = [
        {"layers": 8, "kv_heads": 1, "head_length": 512},
        {"layers": 40, "kv_heads": 8, "head_length": 256, "windowed": True},
    ]
    assert kv(shape={"groups": groups}) == (8 * 512 + 40 * 8 * 256) * one
    assert kv(shape={"layers": 47, "latent_length": 576}) == 47 * 576 * 4096 * 2
    # A window's layers grow no further, but their caches are kept whole: the catalogue's growth is a sixth.
    assert kv(family="Gemma 3", shape={"layers": 48, "kv_bytes_per_token": 65_536}) == pytest.approx(
        6 * 65_536 * 4096, rel=0.05
    )
    assert kv(family="Mystery", shape={"layers": 32, "kv_bytes_per_token": 65_536}) == 65_536 * 4096


@pytest.mark.parametrize(
    "shape",
    [
        {"layers": 32, "attention_layers": 8, "kv_heads": 4, "head_length": 256},
        {"layers": 32, "kv_heads": 4, "head_length": 256, "kv_bytes_per_token": 32_768},
        {"layers": 32, "kv_heads": 4, "head_length": 256},
    ],
)
def test_a_hybrid_keeps_keys_and_values_in_some_layers(shape: dict[str, int]) -> None:
    keys_and_values = 8 * 4 * 256 * 4096 * 4
    found = kv(family="Qwen3.5", shape=shape)
    assert keys_and_values < found < 4 * keys_and_values, "and a state in the others"


def test_nothing_is_expected_of_a_model_of_unknown_size() -> None:
    assert outlook(of(files=[{"name": "a.gguf"}]), ROOMY, bandwidth=lambda: 1.0) is None


def test_four_grades_and_their_numbers() -> None:
    model = of()  # 2 GB, and 8,192 tokens of context
    least = expect(model, Memory(GB, 64 * GB), context_length=8192).fit.needed
    frees = (least // 2, int(least * 1.05), 64 * GB)
    grades = [expect(model, Memory(free, 64 * GB), context_length=8192).fit.grade for free in frees]
    assert grades == ["will not fit", "tight", "fits"]
    graphics = Memory(8 * GB, 64 * GB, int(1.9 * GB), 2 * GB)
    assert expect(model, graphics).fit.grade == "partly on GPU"
    assert "GB of 64.0 GB free memory" in expect(model).words


def test_active_parameters_make_a_mixture_fast() -> None:
    dense = of(parameters=30_000_000_000, files=[{"name": "a.gguf", "size": 18 * GB}])
    mixture = of(
        parameters=30_000_000_000,
        active_parameters=3_000_000_000,
        files=[{"name": "a.gguf", "size": 18 * GB}],
    )
    header = header_of(mixture)[0]  # type: ignore[index]
    assert bytes_per_token(mixture, header) == pytest.approx(1.8 * GB, rel=0.01)
    fast, slow = expect(mixture).speed, expect(dense).speed
    assert fast is not None
    assert slow is not None
    assert fast.tokens_per_second > 5 * slow.tokens_per_second
    assert not fast.measured


def test_what_was_measured_replaces_the_estimate() -> None:
    def never() -> float:
        raise AssertionError("not needed")

    found = outlook(of(), ROOMY, bandwidth=never, measured=Speed(12.3, measured=True))
    assert found is not None
    assert found.words.endswith("Writes about 12 tokens/s (measured here).")


def test_no_speed_is_made_up_for_a_gpu() -> None:
    found = expect(of(), Memory(64 * GB, 64 * GB, 16 * GB, 16 * GB))
    assert (found.speed, found.fit.gpu_layers > 0) == (None, True)


# ---------------------------------------------------------------- recommending


def sized(name: str, billions: float, **changes: Any) -> CatalogueEntry:
    parameters = int(billions * 1e9)
    files = [{"name": "a.gguf", "size": int(parameters * 0.6), "sha256": "b" * 64}]
    return of(**{"id": name, "parameters": parameters, "files": files, "shape": None} | changes)


def recommended(
    *entries: CatalogueEntry, free: float = 16, bandwidth: float = 50, language: str = ""
) -> str | None:
    memory = Memory(int(free * GB), int(free * GB))
    chosen = recommend(
        entries, lambda one: outlook(one, memory, bandwidth=lambda: bandwidth * 1e9), language=language
    )
    return chosen.id if chosen else None


def test_the_largest_that_fits_and_is_fast_is_recommended() -> None:
    models = [sized(f"{size}b", size) for size in (1, 3, 8, 70)]
    assert recommended(*models) == "8b"
    assert recommended(*models, bandwidth=25) == "3b", "8 billion write too slowly"
    assert recommended(*models, free=2) == "1b"
    assert recommended(*models, free=0.3) is None


def test_where_all_are_slow_the_smallest_is_recommended() -> None:
    assert recommended(sized("8b", 8), sized("3b", 3), bandwidth=3) == "3b"


def test_what_the_maker_recommends_comes_first() -> None:
    assert recommended(sized("8b", 8), sized("3b", 3, recommended=True)) == "3b"
    assert recommended(sized("70b", 70, recommended=True), sized("3b", 3)) == "3b", "but it must fit"


def test_pinned_models_and_those_of_the_language_come_first() -> None:
    assert recommended(sized("8b", 8, revision=None), sized("3b", 3)) == "3b"
    assert recommended(sized("8b", 8), sized("3b", 3, languages=["fi"]), language="fi") == "3b"
    assert recommended(sized("8b", 8, languages=None), sized("3b", 3), language="fi") == "8b", (
        "it may speak it"
    )


def test_what_companies_may_not_use_and_embedding_models_are_not_recommended() -> None:
    closed = sized("no", 3, licence={"name": "Research", "commercial": "no"})
    unknown = sized("unknown", 3, licence={"name": "?", "commercial": "unknown"})
    assert recommended(closed, unknown, sized("e", 1, kind="embedding")) is None


@pytest.mark.parametrize("free", [1.5, 3, 6, 12, 24, 100])
def test_the_app_s_own_catalogue_has_a_model_for_every_machine(free: float) -> None:
    entries = catalogue_file.load({}, date(2026, 11, 20)).catalogue.entries
    assert recommended(*entries, free=free, bandwidth=40) is not None
    for one in entries:
        found = outlook(one, Memory(int(free * GB), 128 * GB), bandwidth=lambda: 40e9)
        assert found is not None, "a shipped model has a size"
        assert found.fit.total > (one.size or 0) * 0.9

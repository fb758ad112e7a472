"""GGUF headers: what they say, and that no file makes the reader read, wait or allocate too much."""

import io
import random
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import gguf as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localai_app.errors import GgufError
from localai_app.models.gguf import MAX_HEADER, MAX_STRINGS, GgufHeader, join, read_header
from tests.tiny_models import FAMILIES, WINDOW, build

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
MEGABYTE = 1024 * 1024


def text(value: bytes) -> bytes:
    return U64.pack(len(value)) + value


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name.encode()) + U32.pack(kind) + value


def tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return b"".join(
        (text(name), U32.pack(len(shape)), *map(U64.pack, shape), U32.pack(kind), U64.pack(offset))
    )


def file_of(
    *parts: bytes, keys: int, tensors: int = 0, version: int = 3, data: int = 64, magic: bytes = b"GGUF"
) -> io.BytesIO:
    head = magic + U32.pack(version) + U64.pack(tensors) + U64.pack(keys) + b"".join(parts)
    return io.BytesIO(head + bytes(-len(head) % 32) + bytes(data))


ARCHITECTURE = key("general.architecture", 8, text(b"llama"))


def read(path: Path) -> GgufHeader:
    with path.open("rb") as file:
        return read_header(file)


# ---------------------------------------------------------------- what it says


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny models")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_tiny_model_reads_as_its_writer_wrote_it(name: str, folder: Path) -> None:
    family = FAMILIES[name]
    path = build(family, folder)
    header = read(path)
    assert (header.architecture, header.name) == (family.architecture, f"Tiny {name}")
    assert (header.layers, header.context_length, header.quantisation) == (family.layers, 512, "F16")
    assert header.chat_template == family.template
    assert header.sliding_window == (WINDOW if family.windowed else 0)
    assert any(header.windowed) == family.windowed
    assert any(header.recurrent) == family.recurrent
    assert header.size < path.stat().st_size < header.size + 64_000
    theirs = reference.GGUFReader(path)
    assert {tensor.name: (tensor.type, tensor.size) for tensor in header.tensors} == {
        str(tensor.name): (tensor.tensor_type.name, int(tensor.n_bytes)) for tensor in theirs.tensors
    }


def test_layers_of_mixed_kinds_are_told_apart(folder: Path) -> None:
    headers = {name: read(build(family, folder)) for name, family in FAMILIES.items()}
    assert headers["Gemma 3"].windowed == (True,) * 5 + (False,)
    assert headers["gpt-oss"].windowed == (True, False, True, False)
    assert headers["Gemma 4"].windowed == (True, True, True, False, True, False)
    assert (headers["Gemma 4"].window_key_length, headers["Gemma 4"].shared_kv_layers) == (16, 2)
    assert headers["Granite hybrid"].recurrent == (True, False, True, False)
    assert headers["Granite hybrid"].kv_heads == (0, 2, 0, 2)
    assert headers["Qwen 3.5"].recurrent == (True, True, True, False)
    assert headers["LFM2"].state.short_conv == 3
    assert headers["Mamba 2"].state.inner_size == 128
    assert headers["DeepSeek"].compressed
    assert (headers["DeepSeek"].kv_lora_rank, headers["DeepSeek"].experts) == (32, 4)
    assert headers["Llama"].tokenizer == "gpt2 (llama-bpe)"


def test_quantised_tensors_are_counted(folder: Path) -> None:
    path = build(FAMILIES["Qwen 3"], folder, reference.GGMLQuantizationType.Q8_0)
    header = read(path)
    assert header.quantisation == "Q8_0"
    assert set(header.tensor_types) == {"Q8_0", "F16", "F32"}
    assert sum(header.tensor_types.values()) == header.size


def test_every_tensor_type_has_llama_cpp_s_size() -> None:
    from localai_app.models.gguf import _TENSOR_TYPES

    for kind, (block, size) in reference.GGML_QUANT_SIZES.items():
        if kind.name != "Q8_1":  # 36 in ggml-common.h; never in a file
            assert _TENSOR_TYPES[kind.value] == (kind.name, block, size)


@pytest.mark.engine
def test_real_models_are_read_in_a_blink(starter_model: Path, gemma_base: Path) -> None:
    starter, gemma = read(starter_model), read(gemma_base)
    assert (starter.architecture, starter.quantisation, starter.vocabulary) == ("llama", "Q4_1", 49152)
    assert (starter.layers, starter.heads[0], starter.kv_heads[0], starter.key_length) == (30, 9, 3, 64)
    assert starter.chat_template is not None
    assert (gemma.architecture, gemma.vocabulary, gemma.sliding_window) == ("gemma3", 262_144, 512)
    assert (gemma.key_length, gemma.kv_heads[0], sum(gemma.windowed)) == (256, 1, 15)
    assert gemma.chat_template is None
    for path in (starter_model, gemma_base):
        assert fastest(path.read_bytes()) < 0.05


def fastest(data: bytes) -> float:
    """Seconds to read a header, the best of five."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        read_header(io.BytesIO(data))
        times.append(time.perf_counter() - started)
    return min(times)


def test_the_parts_of_a_split_model_join(folder: Path) -> None:
    def part(number: int, count: int = 2) -> GgufHeader:
        split = key("split.count", 2, struct.pack("<H", count)) + key(
            "split.no", 2, struct.pack("<H", number)
        )
        one = tensor(b"t%d" % number, (32, 2), 0, 0)
        keys = [ARCHITECTURE] if number == 0 else []
        return read_header(file_of(*keys, split, one, keys=2 + len(keys), tensors=1, data=256))

    whole = join([part(1), part(0)])
    assert (whole.architecture, whole.size, [one.name for one in whole.tensors]) == (
        "llama",
        512,
        ["t0", "t1"],
    )
    with pytest.raises(GgufError, match="3 parts"):
        join([part(0, 3), part(1, 3)])


# ---------------------------------------------------------------- what it refuses


BROKEN = {
    "empty": io.BytesIO(b""),
    "zip": io.BytesIO(b"PK\3\4" + bytes(100)),
    "cut in the magic": io.BytesIO(b"GG"),
    "version 1": file_of(keys=0, version=1),
    "version 4": file_of(keys=0, version=4),
    "no architecture": file_of(keys=0),
    "many keys": file_of(ARCHITECTURE, keys=2**63),
    "many tensors": file_of(ARCHITECTURE, keys=1, tensors=2**63),
    "long key": file_of(U64.pack(2**62) + b"x", keys=1),
    "long text": file_of(text(b"general.name") + U32.pack(8) + U64.pack(2**40), keys=1),
    "empty key": file_of(ARCHITECTURE, key("", 4, U32.pack(1)), keys=2),
    "key twice": file_of(ARCHITECTURE, ARCHITECTURE, keys=2),
    "unknown type": file_of(key("a", 13, b""), keys=1),
    "nested arrays": file_of(key("a", 9, (U32.pack(9) + U64.pack(1)) * 20_000), keys=1),
    "long array": file_of(key("a", 9, U32.pack(6) + U64.pack(2**62)), keys=1),
    "many strings": file_of(key("a", 9, U32.pack(8) + U64.pack(MAX_STRINGS + 1)), keys=1),
    "endless string": file_of(key("a", 9, U32.pack(8) + U64.pack(2) + U64.pack(2**64 - 1)), keys=1),
    "alignment 3": file_of(ARCHITECTURE, key("general.alignment", 4, U32.pack(3)), keys=2),
    "alignment text": file_of(ARCHITECTURE, key("general.alignment", 8, text(b"32")), keys=2),
    "layers as text": file_of(ARCHITECTURE, key("llama.block_count", 8, text(b"32")), keys=2),
    "many layers": file_of(ARCHITECTURE, key("llama.block_count", 4, U32.pack(2**31)), keys=2),
    "negative": file_of(ARCHITECTURE, key("llama.context_length", 5, struct.pack("<i", -1)), keys=2),
    "fraction": file_of(ARCHITECTURE, key("llama.context_length", 6, struct.pack("<f", 4.5)), keys=2),
    "architecture as a number": file_of(key("general.architecture", 4, U32.pack(1)), keys=1),
    "tensor cut off": file_of(ARCHITECTURE, tensor(b"t", (32, 100), 0, 0), keys=1, tensors=1),
    "tensor type": file_of(ARCHITECTURE, tensor(b"t", (32,), 4, 0), keys=1, tensors=1),
    "tensor shape": file_of(ARCHITECTURE, tensor(b"t", (31,), 2, 0), keys=1, tensors=1),
    "tensor overflow": file_of(ARCHITECTURE, tensor(b"t", (2**32, 2**32), 0, 0), keys=1, tensors=1),
    "tensor dimensions": file_of(ARCHITECTURE, tensor(b"t", (1,) * 5, 0, 0), keys=1, tensors=1),
    "tensor name": file_of(ARCHITECTURE, tensor(b"t" * 64, (1,), 0, 0), keys=1, tensors=1),
    "tensor offset": file_of(ARCHITECTURE, tensor(b"t", (1,), 0, 32), keys=1, tensors=1),
    "tensor twice": file_of(
        ARCHITECTURE, tensor(b"t", (8,), 0, 0), tensor(b"t", (8,), 0, 32), keys=1, tensors=2
    ),
    "long template": file_of(ARCHITECTURE, key("tokenizer.chat_template", 8, text(b"a" * 3_000_000)), keys=2),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(GgufError) as refused:
        read_header(BROKEN[name])
    assert "\n" not in refused.value.line
    assert len(refused.value.line) < 200


def test_a_big_endian_file_is_named_so() -> None:
    with pytest.raises(GgufError, match="big-endian"):
        read_header(io.BytesIO(b"GGUF" + struct.pack(">IQQ", 3, 0, 0)))


def test_version_2_is_read() -> None:
    assert read_header(file_of(ARCHITECTURE, keys=1, version=2)).version == 2


def check(data: bytes) -> GgufHeader | None:
    """Read ``data`` under all limits: a header or a `GgufError`, nothing else."""
    try:
        return read_header(Watched(data))
    except GgufError:
        return None


class Watched(io.BytesIO):
    """A file that is never read past its end, nor further than a header may be."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= MAX_HEADER
        return super().read(size)


def mutations(data: bytes, header_end: int, seed: int) -> bytes:
    """``data`` with one kind of damage to its header."""
    chosen = random.Random(seed)
    changed = bytearray(data)
    kind = seed % 6
    at = chosen.randrange(header_end - 16)
    if kind == 0:
        for _ in range(chosen.choice((1, 1, 2, 4, 16))):
            changed[chosen.randrange(header_end)] ^= 1 << chosen.randrange(8)
    elif kind == 1:
        values = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
        changed[at : at + 8] = U64.pack(chosen.choice(values))
    elif kind == 2:
        changed[at : at + 4] = U32.pack(chosen.choice((0, 8, 9, 12, 13, 99, 2**31, 2**32 - 1)))
    elif kind == 3:
        del changed[at : at + chosen.randrange(1, 64)]
    elif kind == 4:
        changed[at:at] = chosen.randbytes(chosen.randrange(1, 64))
    else:
        del changed[chosen.randrange(len(changed)) :]
    return bytes(changed)


@pytest.mark.parametrize("name", ["Llama", "Gemma 4", "Granite hybrid"])
def test_2000_damaged_headers_stay_within_all_limits(name: str, folder: Path) -> None:
    path = build(FAMILIES[name], folder)
    data = path.read_bytes()
    header_end = len(data) - read(path).size
    refused = slow = 0
    tracemalloc.start()
    try:
        for seed in range(700):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            damaged = mutations(data, header_end, seed)
            started = time.process_time()
            refused += check(damaged) is None
            slow += time.process_time() - started > 0.05
            assert tracemalloc.get_traced_memory()[1] - before < 64 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert slow <= 1, "a machine may stumble, the reader must not"
    assert 200 < refused < 700


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 3), st.integers(0, 3))
def test_no_bytes_do_anything_but_be_refused(data: bytes, keys: int, tensors: int) -> None:
    check(data)
    check(file_of(data, keys=keys, tensors=tensors).getvalue())
    check(file_of(ARCHITECTURE, data, keys=1 + keys, tensors=tensors).getvalue())


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            (
                *("block_count", "embedding_length", "attention.head_count", "attention.head_count_kv"),
                *("attention.key_length", "attention.sliding_window", "attention.sliding_window_pattern"),
                *("feed_forward_length", "ssm.state_size", "expert_used_count", "attention.recurrent_layers"),
            )
        ),
        st.one_of(
            st.integers(0, 2**32 - 1).map(lambda value: (4, U32.pack(value))),
            st.integers(0, 40).map(lambda value: (4, U32.pack(value))),
            st.floats(width=32).map(lambda value: (6, struct.pack("<f", value))),
            st.lists(st.integers(0, 9), max_size=50).map(
                lambda value: (9, U32.pack(4) + U64.pack(len(value)) + b"".join(map(U32.pack, value)))
            ),
            st.lists(st.floats(width=32), max_size=50).map(
                lambda value: (
                    9,
                    U32.pack(6) + U64.pack(len(value)) + b"".join(struct.pack("<f", one) for one in value),
                )
            ),
            st.binary(max_size=20).map(lambda value: (8, text(value))),
        ),
    ),
    st.sampled_from(("llama", "gemma3", "qwen35", "mamba2", "granitehybrid", "nemotron_h", "smallthinker")),
)
def test_no_values_do_anything_but_be_refused(values: dict[str, Any], architecture: str) -> None:
    keys = [key(f"{architecture}.{name}", kind, value) for name, (kind, value) in values.items()]
    header = check(
        file_of(
            key("general.architecture", 8, text(architecture.encode())), *keys, keys=1 + len(keys)
        ).getvalue()
    )
    if header is not None:
        assert len(header.heads) == len(header.windowed) == len(header.recurrent) == header.layers


def test_the_worst_header_that_is_allowed_costs_little() -> None:
    """As many strings, keys and bytes as may be."""
    strings = key("a", 9, U32.pack(8) + U64.pack(MAX_STRINGS) + text(b"abc") * MAX_STRINGS)
    template = key("tokenizer.chat_template", 8, text("ä🙂".encode() * 150_000))
    texts = [key(f"text.{number}", 8, text(("🙂" * 1000).encode())) for number in range(1000)]
    data = file_of(ARCHITECTURE, strings, template, *texts, keys=3 + len(texts)).getvalue()
    tracemalloc.start()
    try:
        assert check(data) is not None
        assert tracemalloc.get_traced_memory()[1] < 64 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert fastest(data) < 0.25, "1,000,000 strings at 50 ns, on a slow machine"

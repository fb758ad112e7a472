"""What a GGUF file says of its model, read from the header without loading it.

Written for files that nobody vouches for: nothing is believed before it is checked, memory and time are
bounded by the limits below, and whatever is wrong is one `GgufError`. The `gguf` package of llama.cpp
is not used: its reader maps the file, makes several numpy views per vocabulary entry (seconds and
hundreds of MB for 262k tokens), follows counts and lengths that the file states, and answers a broken
file with whatever exception comes first. Rules are those of llama.cpp's own reader (``ggml/src/gguf.cpp``),
so that what is refused there is refused here. Imports nothing of the app but its errors: this runs in a
confined child for files of unknown origin.
"""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import BinaryIO

from localai_app.errors import GgufError

MAX_HEADER = 24 * 1024 * 1024
"""Bytes read at most; the longest known header (776,000 vocabulary strings) has 15 MB."""
MAX_KEYS = 1024
MAX_STRINGS = 1_000_000
"""Array elements of type string in the whole header; each takes 50 ns."""
MAX_TENSORS = 16_384
MAX_TEMPLATE = 1024 * 1024
MAX_LAYERS = 1024
_MAX_KEY = 256
_MAX_TEXT = 4096
"""Bytes of a string value that is kept; longer ones are passed over."""
_MAX_ARRAY = 4096
"""Elements of a number array that is kept: values per layer."""
_MAX_TENSOR_NAME = 63
_CHUNK = 1024 * 1024

Value = int | float | bool | str | tuple[int | float | bool, ...]

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_NUMBERS = {
    type_: struct.Struct(f"<{code}")
    for type_, code in {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?"}.items()
} | {10: _U64, 11: struct.Struct("<q"), 12: struct.Struct("<d")}
_STRING, _ARRAY = 8, 9

# ggml's tensor types: name, elements per block, bytes per block.
_TENSOR_TYPES = {
    **{0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22)},
    **{7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84)},
    **{11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210)},
    **{15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98)},
    **{19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82)},
    **{23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8)},
    **{28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54)},
    **{35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18)},
    42: ("Q2_0", 64, 18),
}

_FILE_TYPES = {
    **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S"},
    **{12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K"},
    **{19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL"},
    **{26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16"},
    **{36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0"},
}

# Layers per sliding-window period where the header does not say (llama.cpp's ``src/models``); the last
# of each period sees everything.
_WINDOW_PERIODS = {
    **{"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gemma-embedding": 6, "gpt-oss": 2, "llama4": 4},
    **{"cohere2": 4, "exaone4": 4, "olmo2": 4, "afmoe": 4, "plamo3": 8},
}
_DENSE_FIRST = {"smallthinker": 4, "cohere2moe": 4}
# Every n-th layer attends, the others keep a state, where the header does not say.
_ATTENTION_INTERVALS = {"qwen35": 4, "qwen35moe": 4, "qwen3next": 4}
_PURELY_RECURRENT = {"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"}


@dataclass(frozen=True)
class Tensor:
    """One tensor."""

    name: str
    type: str
    """ggml's name, such as ``Q4_K``."""
    shape: tuple[int, ...]
    """Elements per dimension, the contiguous one first."""
    size: int
    """Bytes."""


@dataclass(frozen=True)
class StateSpace:
    """Sizes of a recurrent layer's state; 0 where the model has none."""

    conv_kernel: int
    inner_size: int
    state_size: int
    time_step_rank: int
    group_count: int
    short_conv: int
    """``shortconv.l_cache`` of LFM2."""
    wkv_head_size: int
    """RWKV."""
    token_shift: int

    @property
    def floats(self) -> int:
        """Numbers that a layer keeps of one sequence, per embedding element for `short_conv`."""
        convolved = max(self.conv_kernel - 1, 0) * (self.inner_size + 2 * self.group_count * self.state_size)
        return convolved + self.state_size * self.inner_size


@dataclass(frozen=True)
class GgufHeader:
    """A model's header. Sizes in bytes; 0 or empty where the file does not say."""

    version: int
    architecture: str
    name: str
    quantisation: str
    """From ``general.file_type``, such as ``Q4_K_M``; else the type that most bytes have."""
    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, Value]
    """All values but long strings and vocabulary arrays."""
    layers: int
    embedding_length: int
    feed_forward: tuple[int, ...]
    """Per layer."""
    heads: tuple[int, ...]
    """Attention heads per layer."""
    kv_heads: tuple[int, ...]
    """Heads of keys and values per layer; 0 for a layer that does not attend."""
    key_length: int
    """Of one head."""
    value_length: int
    window_key_length: int
    """Of one head in a sliding-window layer."""
    window_value_length: int
    context_length: int
    """That the model was trained on."""
    sliding_window: int
    """Tokens; 0 for none."""
    windowed: tuple[bool, ...]
    """Per layer: sees the window only."""
    shared_kv_layers: int
    """Last layers that use the keys and values of others."""
    kv_lora_rank: int
    """Of multi-head latent attention (DeepSeek)."""
    q_lora_rank: int
    compressed: bool
    """Keys and values are one compressed row: no values are cached (latent attention)."""
    recurrent: tuple[bool, ...]
    """Per layer: keeps a state instead of keys and values."""
    state: StateSpace
    experts: int
    experts_used: int
    expert_feed_forward: int
    vocabulary: int
    tokenizer: str
    """Kind of vocabulary, such as ``gpt2 (qwen2)``."""
    chat_template: str | None
    embedding_only: bool
    """Makes vectors, no text: it is not causal, or pools."""
    split_count: int
    """Files that make up the model; 1 for a whole one."""
    split_number: int
    """Which of them this is, from 0."""

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors)

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(_product(tensor.shape) for tensor in self.tensors)

    @property
    def tensor_types(self) -> dict[str, int]:
        """Bytes per tensor type, the most first."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors:
            sizes[tensor.type] += tensor.size
        return dict(sizes.most_common())


def read_header(file: BinaryIO) -> GgufHeader:
    """The header of a seekable ``file``, from its beginning; raise `GgufError` for anything else."""
    return _header(_Reader(file))


def join(parts: Sequence[GgufHeader]) -> GgufHeader:
    """The header of a split model from those of all its files; raise `GgufError` when one is missing."""
    first = parts[0]
    numbers = sorted(part.split_number for part in parts)
    if first.split_count != len(parts) or numbers != list(range(len(parts))):
        raise GgufError(f"The model has {first.split_count} parts, and not all are here.")
    tensors = tuple(
        tensor for part in sorted(parts, key=lambda part: part.split_number) for tensor in part.tensors
    )
    whole = min(parts, key=lambda part: part.split_number)
    quantisation = whole.quantisation or _main_type(tensors)
    return replace(whole, tensors=tensors, quantisation=quantisation, split_count=1)


# ---------------------------------------------------------------- bytes


class _Reader:
    """Takes values off the beginning of a file, never past its end nor past `MAX_HEADER`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, 2)
        file.seek(0)
        self._data = bytearray()
        self.position = 0

    def number(self, form: struct.Struct) -> int:
        """The next number."""
        start = self.position
        self._advance(form.size)
        (value,) = form.unpack_from(self._data, start)
        return value  # type: ignore[no-any-return]

    def numbers(self, form: struct.Struct, count: int) -> tuple[int | float | bool, ...]:
        """The next ``count`` numbers."""
        start = self.position
        self._advance(count * form.size)
        return struct.unpack_from(f"<{count}{form.format[1:]}", self._data, start)

    def text(self, limit: int, what: str) -> str:
        """The next string; raise when it has more than ``limit`` bytes."""
        length = self.number(_U64)
        if length > limit:
            raise GgufError(
                f"The GGUF file is broken: {what} has {length} bytes; at most {limit} are allowed."
            )
        start = self.position
        self._advance(length)
        return self._data[start : self.position].decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes."""
        self._advance(count)

    def skip_strings(self, count: int) -> None:
        """Pass over ``count`` strings."""
        data, position, length_at = self._data, self.position, _U64.unpack_from
        while count:
            number = 0
            try:
                for number in range(count):  # noqa: B007 - read where it breaks off
                    position += 8 + length_at(data, position)[0]
                number = count
            except (struct.error, OverflowError):
                # The length of this one lies beyond what has been read.
                self._reach(position + 8)
            count -= number
        self._reach(position)
        self.position = position

    def _advance(self, count: int) -> None:
        self._reach(self.position + count)
        self.position += count

    def _reach(self, end: int) -> None:
        if end <= len(self._data):
            return
        if end > self.size:
            raise GgufError("The GGUF file is broken: it ends inside its header.")
        if end > MAX_HEADER:
            raise GgufError(f"The GGUF file is broken: its header is longer than {MAX_HEADER:,} bytes.")
        while len(self._data) < end:
            block = self._file.read(min(max(end - len(self._data), _CHUNK), MAX_HEADER - len(self._data)))
            if not block:
                raise GgufError("The GGUF file is broken: it ends inside its header.")
            self._data += block


def _broken(what: str) -> GgufError:
    return GgufError(f"The GGUF file is broken: {what}.")


def _product(shape: Sequence[int]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


# ---------------------------------------------------------------- header


def _header(reader: _Reader) -> GgufHeader:
    if reader.size < 4 or reader.number(_U32) != 0x46554747:
        raise GgufError("This is no GGUF file.", "Choose a file that ends in .gguf.")
    version = reader.number(_U32)
    if not version & 0xFFFF:
        raise GgufError("The GGUF file is for big-endian machines.", "Get the little-endian version.")
    if version not in (2, 3):
        raise GgufError(
            f"The file is of GGUF version {version}; versions 2 and 3 can be read.",
            "Get a newer version of it.",
        )
    tensor_count, key_count = reader.number(_U64), reader.number(_U64)
    if key_count > MAX_KEYS:
        raise _broken(f"it states {key_count} keys; at most {MAX_KEYS} are allowed")
    if tensor_count > MAX_TENSORS:
        raise _broken(f"it states {tensor_count} tensors; at most {MAX_TENSORS} are allowed")
    keys, counts = _keys(reader, key_count)
    alignment = keys.get("general.alignment", 32)
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
        raise _broken("its alignment is no power of two")
    tensors = _tensors(reader, tensor_count, alignment)
    return _described(version, keys, counts, tensors)


def _keys(reader: _Reader, count: int) -> tuple[dict[str, Value], dict[str, int]]:
    """Values by key, and the lengths of arrays."""
    values: dict[str, Value] = {}
    lengths: dict[str, int] = {}
    seen: set[str] = set()
    strings = 0
    for _ in range(count):
        key = reader.text(_MAX_KEY, "a key")
        if not key or key in seen:
            raise _broken("a key is empty or comes twice")
        seen.add(key)
        kind = reader.number(_U32)
        if kind == _STRING:
            _read_text(reader, key, values)
        elif kind == _ARRAY:
            kind, length = reader.number(_U32), reader.number(_U64)
            lengths[key] = length
            if kind == _STRING:
                strings += length
                if strings > MAX_STRINGS:
                    raise _broken(f"it states more than {MAX_STRINGS:,} strings")
                reader.skip_strings(length)
            elif kind not in _NUMBERS:
                raise _broken("an array has elements of no known type")
            elif length > _MAX_ARRAY:
                reader.skip(length * _NUMBERS[kind].size)
            else:
                values[key] = reader.numbers(_NUMBERS[kind], length)
        elif kind in _NUMBERS:
            values[key] = reader.number(_NUMBERS[kind])
        else:
            raise _broken("a value is of no known type")
    return values, lengths


def _read_text(reader: _Reader, key: str, values: dict[str, Value]) -> None:
    if key == "tokenizer.chat_template":
        values[key] = reader.text(MAX_TEMPLATE, "the chat template")
        return
    text = reader.text(MAX_TEMPLATE, "a text")
    if len(text) <= _MAX_TEXT:
        values[key] = text


def _tensors(reader: _Reader, count: int, alignment: int) -> tuple[Tensor, ...]:
    tensors: list[Tensor] = []
    names: set[str] = set()
    offset = end = 0
    for _ in range(count):
        name = reader.text(_MAX_TENSOR_NAME, "a tensor's name")
        if name in names:
            raise _broken("a tensor comes twice")
        names.add(name)
        dimensions = reader.number(_U32)
        if dimensions > 4:
            raise _broken(f"a tensor has {dimensions} dimensions")
        shape = tuple(int(length) for length in reader.numbers(_U64, dimensions))
        kind = _TENSOR_TYPES.get(reader.number(_U32))
        if kind is None:
            raise _broken("a tensor is of no known type")
        type_name, block, block_size = kind
        elements = _product(shape)
        if elements >= 2**63 or (shape[0] if shape else 1) % block:
            raise _broken("a tensor has an impossible shape")
        if reader.number(_U64) != offset:
            raise _broken("a tensor does not begin where the one before it ends")
        size = elements // block * block_size
        tensors.append(Tensor(name, type_name, shape, size))
        end = offset + size
        offset = -(-end // alignment) * alignment
    data = -(-reader.position // alignment) * alignment
    if count and data + end > reader.size:
        raise GgufError(
            f"The file is not complete: {data + end:,} bytes belong to it, {reader.size:,} are here.",
            "Get it again.",
        )
    return tuple(tensors)


def _main_type(tensors: Sequence[Tensor]) -> str:
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.type] += tensor.size
    # Not most_common(), which imports a module: in the child that runs this none can be loaded any more.
    return max(sizes, key=lambda kind: sizes[kind], default="")


# ---------------------------------------------------------------- meaning


class _Described:
    """The values of one architecture, with the types that they must have."""

    def __init__(self, keys: Mapping[str, Value]) -> None:
        self._keys = keys
        self.architecture = self.text("general.architecture")
        # The later parts of a split model have no keys but the split's own.
        if not self.architecture and "split.count" not in keys:
            raise _broken("it does not say which architecture it has")
        self.layers = self.count("block_count")
        if self.layers > MAX_LAYERS:
            raise _broken(f"it states {self.layers} layers; at most {MAX_LAYERS} are allowed")

    def text(self, key: str) -> str:
        """A string; empty where there is none."""
        value = self._keys.get(key, "")
        if not isinstance(value, str):
            raise _broken(f"{key} is no text")
        return value

    def whole(self, key: str, default: int = 0) -> int:
        """A number of the file."""
        value = self._keys.get(key, default)
        if type(value) is not int or not 0 <= value < 2**32:
            raise _broken(f"{_shown(key)} is no whole number")
        return value

    def count(self, key: str, default: int = 0) -> int:
        """A number of the architecture."""
        return self.whole(f"{self.architecture}.{key}", default)

    def per_layer(self, key: str, default: int = 0) -> tuple[int, ...]:
        """A number per layer, which may be stated once for all."""
        full = f"{self.architecture}.{key}"
        value = self._keys.get(full)
        if not isinstance(value, tuple):
            return (self.whole(full, default),) * self.layers
        if len(value) < self.layers or not all(isinstance(one, int) and 0 <= one < 2**32 for one in value):
            raise _broken(f"{_shown(full)} is not a whole number for each layer")
        return tuple(int(one) for one in value[: self.layers])

    def flags(self, key: str) -> tuple[bool, ...] | None:
        """A flag per layer, where the file states them so."""
        if not isinstance(self._keys.get(f"{self.architecture}.{key}"), tuple):
            return None
        return tuple(map(bool, self.per_layer(key)))

    def has(self, key: str) -> bool:
        """Whether the file states it."""
        return f"{self.architecture}.{key}" in self._keys


def _shown(key: str) -> str:
    return key if key.isprintable() and len(key) < 80 else "a value"


def _described(
    version: int, keys: dict[str, Value], counts: dict[str, int], tensors: tuple[Tensor, ...]
) -> GgufHeader:
    of = _Described(keys)
    heads = of.per_layer("attention.head_count")
    embedding = of.count("embedding_length")
    head_size = embedding // max(heads, default=0) if any(heads) else 0
    key_length = of.count("attention.key_length", head_size)
    value_length = of.count("attention.value_length", head_size)
    kv_heads = of.per_layer("attention.head_count_kv") if of.has("attention.head_count_kv") else heads
    window = of.count("attention.sliding_window")
    kind = of.text("tokenizer.ggml.model")
    pre = of.text("tokenizer.ggml.pre")
    template = keys.pop("tokenizer.chat_template", None)
    file_type = of.whole("general.file_type", 1024) & ~1024  # a flag: the type was guessed
    return GgufHeader(
        version=version,
        architecture=of.architecture,
        name=of.text("general.name"),
        quantisation=_FILE_TYPES.get(file_type, "") if "general.file_type" in keys else _main_type(tensors),
        tensors=tensors,
        metadata=MappingProxyType(keys),
        layers=of.layers,
        embedding_length=embedding,
        feed_forward=of.per_layer("feed_forward_length"),
        heads=heads,
        kv_heads=kv_heads,
        key_length=key_length,
        value_length=value_length,
        window_key_length=of.count("attention.key_length_swa", key_length),
        window_value_length=of.count("attention.value_length_swa", value_length),
        context_length=of.count("context_length"),
        sliding_window=window,
        windowed=_windowed(of) if window else (False,) * of.layers,
        shared_kv_layers=of.count("attention.shared_kv_layers"),
        kv_lora_rank=of.count("attention.kv_lora_rank"),
        q_lora_rank=of.count("attention.q_lora_rank"),
        compressed=of.has("attention.key_length_mla") and of.has("attention.value_length_mla"),
        recurrent=_recurrent(of, kv_heads),
        state=StateSpace(
            conv_kernel=of.count("ssm.conv_kernel"),
            inner_size=of.count("ssm.inner_size"),
            state_size=of.count("ssm.state_size"),
            time_step_rank=of.count("ssm.time_step_rank"),
            group_count=of.count("ssm.group_count"),
            short_conv=of.count("shortconv.l_cache"),
            wkv_head_size=of.count("wkv.head_size"),
            token_shift=of.count("token_shift_count", 2),
        ),
        experts=of.count("expert_count"),
        experts_used=max(of.per_layer("expert_used_count"), default=0),
        expert_feed_forward=max(of.per_layer("expert_feed_forward_length"), default=0),
        vocabulary=counts.get("tokenizer.ggml.tokens", 0) or of.count("vocab_size"),
        tokenizer=f"{kind} ({pre})" if pre else kind,
        chat_template=template if isinstance(template, str) else None,
        embedding_only=_embeds(of, keys),
        split_count=of.whole("split.count", 1) or 1,
        split_number=of.whole("split.no"),
    )


def _windowed(of: _Described) -> tuple[bool, ...]:
    key = "attention.sliding_window_pattern"
    stated = of.flags(key)
    if stated is not None:
        return stated
    if of.architecture in _DENSE_FIRST:
        period = of.count(key, _DENSE_FIRST[of.architecture])
        return tuple(not period or layer % period != 0 for layer in range(of.layers))
    if not of.has(key) and of.architecture not in _WINDOW_PERIODS:
        return (False,) * of.layers
    period = of.count(key, _WINDOW_PERIODS.get(of.architecture, 0))
    return tuple(not period or layer % period < period - 1 for layer in range(of.layers))


def _recurrent(of: _Described, kv_heads: tuple[int, ...]) -> tuple[bool, ...]:
    if of.architecture in _PURELY_RECURRENT:
        return (True,) * of.layers
    stated = of.flags("attention.recurrent_layers")
    if stated is not None:
        return stated
    if of.architecture in _ATTENTION_INTERVALS:
        interval = of.count("full_attention_interval", _ATTENTION_INTERVALS[of.architecture])
        return tuple(bool(interval) and (layer + 1) % interval != 0 for layer in range(of.layers))
    if of.architecture == "falcon-h1":  # every layer has both
        return (True,) * of.layers
    if not (of.count("ssm.state_size") or of.count("shortconv.l_cache")):
        return (False,) * of.layers
    feed_forward = of.per_layer("feed_forward_length")
    only_feed_forward = of.architecture.startswith("nemotron_h")
    return tuple(
        not heads and not (only_feed_forward and width)
        for heads, width in zip(kv_heads, feed_forward, strict=True)
    )


def _embeds(of: _Described, keys: Mapping[str, Value]) -> bool:
    causal = keys.get(f"{of.architecture}.attention.causal", True)
    return causal is False or bool(of.count("pooling_type"))

"""2,000 damaged GGUF files, the same ones every time.

Each is a tiny model with one thing wrong that a writer would never write: first everything that can be
said wrongly in a header, one by one, then random damage to the headers of several architectures.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.tiny_models import FAMILIES, build

COUNT = 2000
SEEDED = ("Llama", "Gemma 4", "Granite hybrid", "DeepSeek")

Key = tuple[bytes, int, bytes]
"""Name, type, and the value as its bytes."""

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY, _UINT32, _FLOAT32 = 8, 9, 4, 6
_EXTREMES = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**60, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


@dataclass(frozen=True)
class TensorInfo:
    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int
    dimensions: int | None = None
    """As stated; None for as many as there are."""


@dataclass(frozen=True)
class Parts:
    """A GGUF file taken apart, so that each part can be said wrongly."""

    keys: tuple[Key, ...]
    tensors: tuple[TensorInfo, ...]
    data: bytes
    magic: bytes = b"GGUF"
    version: int = 3
    key_count: int | None = None
    tensor_count: int | None = None

    def file(self) -> bytes:
        counts = (
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.keys) if self.key_count is None else self.key_count,
        )
        parts = [self.magic, _U32.pack(self.version), *map(_U64.pack, counts)]
        for name, kind, value in self.keys:
            parts += [_text(name), _U32.pack(kind), value]
        for tensor in self.tensors:
            stated = len(tensor.shape) if tensor.dimensions is None else tensor.dimensions
            parts += [
                _text(tensor.name),
                _U32.pack(stated),
                *(_U64.pack(one % 2**64) for one in tensor.shape),
            ]
            parts += [_U32.pack(tensor.kind), _U64.pack(tensor.offset)]
        head = b"".join(parts)
        return head + bytes(-len(head) % 32) + self.data

    def with_key(self, name: bytes, kind: int, value: bytes) -> "Parts":
        """The key with another value; a new one where there is none."""
        kept = [key for key in self.keys if key[0] != name]
        return replace(self, keys=(*kept, (name, kind, value)))

    def with_tensor(self, number: int, **changes: object) -> "Parts":
        tensors = list(self.tensors)
        tensors[number] = replace(tensors[number], **changes)  # type: ignore[arg-type]
        return replace(self, tensors=tuple(tensors))


def corpus(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each of the `COUNT` files; ``folder`` is for the sound ones."""
    sources = {name: build(FAMILIES[name], folder).read_bytes() for name in SEEDED}
    said_wrongly = list(_said_wrongly(sources["Llama"]))
    for number, (name, data) in enumerate(said_wrongly):
        yield f"{number}: {name}", data
    for number in range(len(said_wrongly), COUNT):
        family = SEEDED[number % len(SEEDED)]
        yield f"{number}: random damage to {family}", _damaged(sources[family], number)


def take_apart(data: bytes) -> tuple[Parts, int]:
    """The parts of a sound file, and where its header ends."""
    position = 24
    tensor_count, key_count = struct.unpack_from("<QQ", data, 8)

    def take(size: int) -> bytes:
        nonlocal position
        position += size
        return data[position - size : position]

    def u32() -> int:
        return int(_U32.unpack(take(4))[0])

    def u64() -> int:
        return int(_U64.unpack(take(8))[0])

    def skip(kind: int) -> None:
        if kind == _STRING:
            take(u64())
        elif kind == _ARRAY:
            inner, length = u32(), u64()
            for _ in range(length):
                skip(inner)
        else:
            take(_SIZES[kind])

    keys: list[Key] = []
    for _ in range(key_count):
        name, kind = take(u64()), u32()
        start = position
        skip(kind)
        keys.append((name, kind, data[start:position]))
    tensors = []
    for _ in range(tensor_count):
        name = take(u64())
        shape = tuple(u64() for _ in range(u32()))
        tensors.append(TensorInfo(name, shape, u32(), u64()))
    end = position
    return Parts(tuple(keys), tuple(tensors), data[-(-end // 32) * 32 :]), end


def _text(value: bytes) -> bytes:
    return _U64.pack(len(value)) + value


def _array(kind: int, values: list[bytes], length: int | None = None) -> bytes:
    return _U32.pack(kind) + _U64.pack(len(values) if length is None else length) + b"".join(values)


def _said_wrongly(data: bytes) -> Iterator[tuple[str, bytes]]:
    whole, end = take_apart(data)
    assert whole.file() == data, "it is put together as it was"
    yield from _counts(whole)
    yield from _cut(data, end)
    yield from _keys(whole)
    yield from _values(whole)
    yield from _vocabulary(whole)
    yield from _templates(whole)
    yield from _tensors(whole)


def _counts(whole: Parts) -> Iterator[tuple[str, bytes]]:
    for magic in (b"GGML", b"ggjt", b"FUGG", b"\0\0\0\0", b"PK\3\4"):
        yield f"magic {magic!r}", replace(whole, magic=magic).file()
    for version in (0, 1, 2, 4, 999, 0x03000000, 2**32 - 1):
        yield f"version {version}", replace(whole, version=version).file()
    for count in {*_EXTREMES, len(whole.keys) - 1, len(whole.keys) + 1}:
        yield f"{count} keys", replace(whole, key_count=count).file()
    for count in {*_EXTREMES, len(whole.tensors) - 1, len(whole.tensors) + 1}:
        yield f"{count} tensors", replace(whole, tensor_count=count).file()


def _cut(data: bytes, end: int) -> Iterator[tuple[str, bytes]]:
    for length in (0, 1, 3, 4, 7, 8, 12, 16, 20, 23, 24):
        yield f"{length} bytes", data[:length]
    for part in range(1, 40):
        yield f"cut in its header at {part}/40", data[: end * part // 40]
    for part in range(10):
        yield f"cut in its data at {part}/10", data[: end + (len(data) - end) * part // 10]
    yield "one byte short", data[:-1]
    yield "garbage after it", data + b"\xff" * 1000


def _keys(whole: Parts) -> Iterator[tuple[str, bytes]]:
    for key in whole.keys:
        name = key[0].decode()
        others = tuple(other for other in whole.keys if other is not key)
        yield f"without {name}", replace(whole, keys=others).file()
        yield f"{name} as text", whole.with_key(key[0], _STRING, _text(b"abc")).file()
        yield f"{name} as number", whole.with_key(key[0], _UINT32, _U32.pack(7)).file()
        yield f"{name} as list", whole.with_key(key[0], _ARRAY, _array(_UINT32, [_U32.pack(1)] * 3)).file()
        yield f"{name} twice", replace(whole, keys=(*whole.keys, key)).file()
        yield f"{name} of no type", whole.with_key(key[0], 13, key[2]).file()
    for kind in (14, 99, 255, 2**31, 2**32 - 1):
        yield f"type {kind}", whole.with_key(b"general.name", kind, _text(b"x")).file()
    for length in _EXTREMES[2:]:
        yield f"text of {length}", whole.with_key(b"general.name", _STRING, _U64.pack(length) + b"x").file()
        listed = _array(_FLOAT32, [bytes(64)], length)
        yield f"list of {length}", whole.with_key(b"tokenizer.ggml.scores", _ARRAY, listed).file()
        texts = _array(_STRING, [_text(b"a")] * 8, length)
        yield f"{length} texts", whole.with_key(b"tokenizer.ggml.tokens", _ARRAY, texts).file()
        yield f"key of {length}", whole.file()[:24] + _U64.pack(length) + whole.file()[32:]
    nested = _array(_ARRAY, [_array(_UINT32, [_U32.pack(1)])])
    yield "list of lists", whole.with_key(b"x.nested", _ARRAY, nested).file()
    deep = _U32.pack(_ARRAY) + _U64.pack(1)
    yield "list 20,000 deep", whole.with_key(b"x.deep", _ARRAY, deep * 20_000 + _array(4, [bytes(4)])).file()
    for name in (b"", b"a\0b", b"\xff\xfe", b"x" * 70_000, "ключ".encode()):
        yield f"key {name[:8]!r}", whole.with_key(name, _UINT32, _U32.pack(1)).file()
    for alignment in (0, 1, 3, 7, 31, 2**16, 2**31, 2**32 - 1):
        value = _U32.pack(alignment)
        yield f"alignment {alignment}", whole.with_key(b"general.alignment", _UINT32, value).file()
    for count, number in ((3, 0), (3, 2), (65_535, 65_535), (0, 0), (1, 9)):
        split = whole.with_key(b"split.count", 2, struct.pack("<H", count))
        yield f"part {number} of {count}", split.with_key(b"split.no", 2, struct.pack("<H", number)).file()


def _values(whole: Parts) -> Iterator[tuple[str, bytes]]:
    for name, kind, _ in whole.keys:
        if kind == _UINT32:
            for value in (0, 1, 3, 63, 65, 1000, 2**16, 2**31 - 1, 2**31, 2**32 - 1):
                yield f"{name.decode()} {value}", whole.with_key(name, kind, _U32.pack(value)).file()
        elif kind == _FLOAT32:
            for number in (0.0, -1.0, 1e38, float("nan"), float("inf")):
                value_ = struct.pack("<f", number)
                yield f"{name.decode()} {number}", whole.with_key(name, kind, value_).file()
    for architecture in (
        *("", "nosuch", "bert", "qwen2", "mamba", "gemma3", "clip", "deepseek2", "gpt-oss", "rwkv7", "t5"),
        "A" * 100_000,
    ):
        named = whole.with_key(b"general.architecture", _STRING, _text(architecture.encode()))
        yield f"architecture {architecture[:10]}", named.file()


def _vocabulary(whole: Parts) -> Iterator[tuple[str, bytes]]:
    tokens, scores, types = (b"tokenizer.ggml." + name for name in (b"tokens", b"scores", b"token_type"))
    for name, texts in {
        "two": [b"a", b"b"],
        "none": [],
        "the same": [b"a"] * 300,
        "broken": [b"\xff\xfe%d" % number for number in range(300)],
        "empty": [b""] * 300,
        "long": [b"x" * 20_000] * 300,
    }.items():
        listed = _array(_STRING, [_text(one) for one in texts])
        yield f"vocabulary: {name}", whole.with_key(tokens, _ARRAY, listed).file()
    for kind, size in ((0, 1), (5, 4), (7, 1), (12, 8)):
        for key in (scores, types):
            listed = _array(kind, [bytes(size)] * 300)
            yield f"{key.decode()} of type {kind}", whole.with_key(key, _ARRAY, listed).file()
    for model in ("", "nosuch", "gpt2", "llama", "bert", "t5", "rwkv", "no_vocab", "plamo2"):
        yield (
            f"tokenizer {model}",
            whole.with_key(b"tokenizer.ggml.model", _STRING, _text(model.encode())).file(),
        )
    for pre in ("", "nosuch", "deepseek-v3", "\0"):
        yield (
            f"tokenizer.pre {pre!r}",
            whole.with_key(b"tokenizer.ggml.pre", _STRING, _text(pre.encode())).file(),
        )
    for token in (b"bos", b"eos", b"padding", b"eot"):
        for number in (299, 9999, 2**31, 2**32 - 1):
            key = b"tokenizer.ggml." + token + b"_token_id"
            yield f"{token.decode()} {number}", whole.with_key(key, _UINT32, _U32.pack(number)).file()


def _templates(whole: Parts) -> Iterator[tuple[str, bytes]]:
    for name, template in {
        "broken": b"{% for m in messages %}",
        "endless": b"{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "reaching out": b"{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "recursive": b"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "long": b"{# " + b"a" * 3_000_000 + b" #}x",
        "empty": b"",
        "not UTF-8": b"\xff\xfe{{ messages }}",
    }.items():
        changed = whole.with_key(b"tokenizer.chat_template", _STRING, _text(template))
        yield f"template: {name}", changed.file()


def _tensors(whole: Parts) -> Iterator[tuple[str, bytes]]:
    for dimensions in (0, 3, 5, 1000, 2**31, 2**32 - 1):
        yield f"{dimensions} dimensions", whole.with_tensor(0, dimensions=dimensions).file()
    first = whole.tensors[0].shape
    for shape in (
        *((0, 1), (-1, 1), (2**40, 2**40), (2**32, 2**32), (2**31, 2**31, 4), (1, 1), first[::-1]),
        *((first[0] + 1, *first[1:]), (first[0], first[-1] + 1), (first[0] * first[-1],), (*first, 1, 1)),
    ):
        yield f"shape {shape}", whole.with_tensor(0, shape=shape).file()
    for kind in (*range(1, 43), 99, 255, 2**31, 2**32 - 1):
        yield f"tensor type {kind}", whole.with_tensor(0, kind=kind).file()
    for offset in (1, 31, 32, len(whole.data), len(whole.data) + 32, 2**40, 2**63, 2**64 - 32):
        yield f"offset {offset}", whole.with_tensor(1, offset=offset).file()
    overlapping = tuple(replace(tensor, offset=0) for tensor in whole.tensors)
    yield "all tensors at one place", replace(whole, tensors=overlapping).file()
    for name in (b"", b"x" * 63, b"x" * 64, b"x" * 200, b"a\0b", b"\xff", whole.tensors[1].name):
        yield f"tensor named {name[:10]!r}", whole.with_tensor(0, name=name).file()
    for tensor in whole.tensors:
        rest = tuple(other for other in whole.tensors if other is not tensor)
        yield f"without {tensor.name.decode()}", replace(whole, tensors=rest).file()
    for name_, filler in {"NaN": b"\xff\x7f", "infinity": b"\x00\x7c", "nothing": b"\0\0"}.items():
        yield f"weights of {name_}", replace(whole, data=filler * (len(whole.data) // 2)).file()


def _damaged(data: bytes, seed: int) -> bytes:
    """``data`` with damage to its header that follows from ``seed``."""
    chosen = random.Random(seed)
    end = take_apart(data)[1]
    changed = bytearray(data)
    at = chosen.randrange(24, end - 16)
    kind = seed // len(SEEDED) % 6
    if kind == 0:
        for _ in range(chosen.choice((1, 1, 2, 4, 16, 64))):
            changed[chosen.randrange(end)] ^= 1 << chosen.randrange(8)
    elif kind == 1:
        changed[at : at + 8] = _U64.pack(chosen.choice(_EXTREMES))
    elif kind == 2:
        changed[at : at + 4] = _U32.pack(chosen.choice((0, 1, 8, 9, 12, 13, 99, 2**31, 2**32 - 1)))
    elif kind == 3:
        del changed[at : at + chosen.randrange(1, 64)]
    elif kind == 4:
        changed[at:at] = chosen.randbytes(chosen.randrange(1, 64))
    else:
        length = chosen.randrange(1, 256)
        source = chosen.randrange(24, end - length) if end - length > 24 else 24
        changed[at : at + length] = changed[source : source + length]
    return bytes(changed)

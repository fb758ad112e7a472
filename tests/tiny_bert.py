"""Random-weight BERT models of a few hundred kB: every way to pool, in milliseconds."""

from pathlib import Path

import gguf
import numpy as np

WIDTH, FEED_FORWARD, HEADS, LAYERS, CONTEXT = 64, 128, 4, 2, 64
_CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
VOCABULARY = [*_CONTROL, *(f"\u2581{letter}" for letter in _LETTERS), *_LETTERS]
"""A word has as many tokens as letters."""


def build(folder: Path, pooling: gguf.PoolingType, *, context: int = CONTEXT) -> Path:
    """The tiny model that pools so, as a file in ``folder``."""
    path = folder / f"tiny-bert-{pooling.name.lower()}.gguf"
    random = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name(f"tiny bert {pooling.name}")
    writer.add_block_count(LAYERS)
    writer.add_context_length(context)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([3] * len(_CONTROL) + [1] * (len(VOCABULARY) - len(_CONTROL)))
    writer.add_token_type_count(2)
    for name in ("pad", "unk", "sep", "mask"):
        getattr(writer, f"add_{name}_token_id")(VOCABULARY.index(f"[{name.upper()}]"))
    writer.add_bos_token_id(VOCABULARY.index("[CLS]"))
    writer.add_eos_token_id(VOCABULARY.index("[SEP]"))

    def matrix(name: str, rows: int, columns: int) -> None:
        values = random.standard_normal((rows, columns)) / np.sqrt(columns) * 2
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))

    def vector(name: str, length: int, *, around: float = 0.0) -> None:
        writer.add_tensor(name, (around + 0.1 * random.standard_normal(length)).astype(np.float32))

    def norm(name: str) -> None:
        vector(f"{name}.weight", WIDTH, around=1.0)
        vector(f"{name}.bias", WIDTH)

    matrix("token_embd", len(VOCABULARY), WIDTH)
    matrix("position_embd", context, WIDTH)
    matrix("token_types", 2, WIDTH)
    norm("token_embd_norm")
    for layer in range(LAYERS):
        p = f"blk.{layer}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{p}{part}", WIDTH, WIDTH)
            vector(f"{p}{part}.bias", WIDTH)
        matrix(f"{p}ffn_up", FEED_FORWARD, WIDTH)
        vector(f"{p}ffn_up.bias", FEED_FORWARD)
        matrix(f"{p}ffn_down", WIDTH, FEED_FORWARD)
        vector(f"{p}ffn_down.bias", WIDTH)
        norm(f"{p}attn_output_norm")
        norm(f"{p}layer_output_norm")
    if pooling == gguf.PoolingType.RANK:
        matrix("cls", WIDTH, WIDTH)
        vector("cls.bias", WIDTH)
        matrix("cls.output", 1, WIDTH)
        vector("cls.output.bias", 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

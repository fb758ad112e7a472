"""Random-weight GGUF models of every family, a few hundred kB each, that llama.cpp loads and runs.

They say nonsense, but their memory is of the real kind (plain, sliding-window, compressed, recurrent,
hybrid), so that whatever goes wrong with a family's cache goes wrong with these too. The shapes follow
llama.cpp's loaders (``src/models/*.cpp``). Weights are scaled so that every layer matters and the
likeliest token stands clear of the second: a wrong cache then changes the greedy answer. Only
lower-case letters can be said, so an answer never ends early and always spells valid text.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import quantize

CONTEXT = 512
EMBEDDING = 64
FEED_FORWARD = 128
HEADS = 4
WINDOW = 32
"""Tokens that a sliding-window layer sees."""

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAMA = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
_DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}<｜User｜>{{ m['content'] }}"
    "{% else %}<｜Assistant｜>{{ m['content'] }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>{% endif %}"
)
_GRANITE = (
    "{% for m in messages %}<|start_of_role|>{{ m['role'] }}<|end_of_role|>{{ m['content'] }}"
    "<|end_of_text|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"
)
_HARMONY = (
    "{% for m in messages %}<|start|>{{ m['role'] }}<|channel|>final<|message|>{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|channel|>final<|message|>{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """One kind of model."""

    name: str
    architecture: str
    """``general.architecture``."""
    layers: int
    keys: dict[str, Any]
    """Header values beside those that all have, without the architecture's prefix."""
    block: "Callable[[_Writer, int], None]"
    """Writes the tensors of one layer."""
    template: str | None
    control: tuple[str, ...]
    """Control tokens: what begins a text first, what ends one last."""
    pre: str = ""
    """Kind of byte-pair vocabulary (``tokenizer.ggml.pre``); empty: SentencePiece."""
    before: "Callable[[_Writer], None] | None" = None
    """Writes tensors that stand outside the layers."""
    seed: int = 1
    """Of the weights; chosen so that the greedy answers of the tests are no close calls."""
    windowed: bool = False
    """Some layers see `WINDOW` tokens only."""
    recurrent: bool = False
    """Some layers keep a state that cannot be taken back."""
    output_norm: str = "output_norm"


class _Writer:
    """Writes one model."""

    def __init__(self, path: Path, family: Family, quantisation: gguf.GGMLQuantizationType) -> None:
        self.family = family
        self._quantisation = quantisation
        self._random = np.random.default_rng(family.seed)
        self._file = gguf.GGUFWriter(path, family.architecture)

    def key(self, name: str, value: Any) -> None:
        """A header value of the architecture."""
        name = f"{self.family.architecture}.{name}"
        if isinstance(value, bool):
            self._file.add_bool(name, value)
        elif isinstance(value, int):
            self._file.add_uint32(name, value)
        elif isinstance(value, float):
            self._file.add_float32(name, value)
        else:
            self._file.add_array(name, value)

    def matrix(self, name: str, inputs: int, *outputs: int, gain: float = 1.0) -> None:
        """A random matrix that keeps the size of what goes through it, times ``gain``."""
        data = self._random.standard_normal((*outputs[::-1], inputs)) * (gain / np.sqrt(inputs))
        self._quantised(name, data.astype(np.float32))

    def ones(self, name: str, *shape: int) -> None:
        """The weights of a norm: about 1."""
        data = 1 + 0.1 * self._random.standard_normal(shape[::-1])
        self._file.add_tensor(name, data.astype(np.float32))

    def small(self, name: str, *shape: int, spread: float = 0.1) -> None:
        """A bias, or whatever else is a small full-precision tensor."""
        data = spread * self._random.standard_normal(shape[::-1])
        self._file.add_tensor(name, data.astype(np.float32))

    def negative(self, name: str, *shape: int) -> None:
        """Decay rates of a state-space layer."""
        data = -np.abs(self._random.standard_normal(shape[::-1])) * 0.05 - 0.001
        self._file.add_tensor(name, data.astype(np.float32))

    def write(self) -> None:
        """All of it."""
        family = self.family
        self._file.add_name(f"Tiny {family.name}")
        self._file.add_file_type(_FILE_TYPES[self._quantisation])
        self.key("block_count", family.layers)
        self.key("context_length", CONTEXT)
        self.key("embedding_length", EMBEDDING)
        self.key("attention.layer_norm_rms_epsilon", 1e-5)
        keys = {"feed_forward_length": FEED_FORWARD, "attention.head_count": HEADS, **family.keys}
        for name, value in keys.items():
            self.key(name, value)
        texts = self._add_vocabulary()
        self._file.add_tensor("token_embd.weight", self._half(len(texts), EMBEDDING))
        if family.before:
            family.before(self)
        for layer in range(family.layers):
            family.block(self, layer)
        self.ones(f"{family.output_norm}.weight", EMBEDDING)
        output = self._half(len(texts), EMBEDDING)
        output[[not _sayable(text) for text in texts]] = 0
        self._file.add_tensor("output.weight", output)
        self._file.write_header_to_file()
        self._file.write_kv_data_to_file()
        self._file.write_tensors_to_file()
        self._file.close()

    def _half(self, *shape: int) -> "np.ndarray":
        return self._random.standard_normal(shape).astype(np.float16)

    def _quantised(self, name: str, data: "np.ndarray") -> None:
        kind = self._quantisation
        if data.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
            kind = gguf.GGMLQuantizationType.F16
        self._file.add_tensor(name, quantize(data, kind), raw_dtype=kind)

    def _add_vocabulary(self) -> list[str]:
        family = self.family
        if family.pre:
            texts, types = _byte_pair_vocabulary(family.control)
            self._file.add_tokenizer_model("gpt2")
            self._file.add_tokenizer_pre(family.pre)
            self._file.add_token_merges([f"{pair[0]} {pair[1:]}" for pair in _PAIRS])
            first = len(texts) - len(family.control)
        else:
            texts, types = _sentence_piece_vocabulary(family.control)
            self._file.add_tokenizer_model("llama")
            self._file.add_token_scores([float(-index) for index in range(len(texts))])
            self._file.add_unk_token_id(0)
            self._file.add_add_space_prefix(False)
            first = 1
        self._file.add_token_list(texts)
        self._file.add_token_types(types)
        self._file.add_bos_token_id(first)
        self._file.add_eos_token_id(texts.index(family.control[-1]))
        self._file.add_add_bos_token(not family.pre or "bos" in family.pre)
        if family.template:
            self._file.add_chat_template(family.template)
        return texts


_FILE_TYPES = {
    gguf.GGMLQuantizationType.F16: gguf.LlamaFileType.MOSTLY_F16,
    gguf.GGMLQuantizationType.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
    gguf.GGMLQuantizationType.Q4_0: gguf.LlamaFileType.MOSTLY_Q4_0,
}
_PAIRS = ("th", "in", "er", "an", "the", "ing")
"""Merges, each of one letter and what is merged already."""
_NORMAL, _CONTROL, _UNKNOWN, _BYTE = 1, 3, 2, 6


def _sayable(text: str) -> bool:
    return text.isascii() and text.isalpha() and text.islower()


def _byte_pair_vocabulary(control: Sequence[str]) -> tuple[list[str], list[int]]:
    texts = [*byte_texts(), *_PAIRS, *control]
    return texts, [*[_NORMAL] * (len(texts) - len(control)), *[_CONTROL] * len(control)]


def byte_texts() -> list[str]:
    """How GPT-2's vocabulary writes the 256 bytes."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    table = {byte: chr(byte) for byte in shown} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}
    return [table[byte] for byte in range(256)]


def _sentence_piece_vocabulary(control: Sequence[str]) -> tuple[list[str], list[int]]:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    normal = ["▁", *letters, *_PAIRS, "▁the"]
    texts = ["<unk>", *control, *[f"<0x{byte:02X}>" for byte in range(256)], *normal]
    return texts, [_UNKNOWN, *[_CONTROL] * len(control), *[_BYTE] * 256, *[_NORMAL] * len(normal)]


# ---------------------------------------------------------------- layers


def _feed_forward(w: _Writer, p: str, width: int = FEED_FORWARD) -> None:
    w.ones(f"{p}ffn_norm.weight", EMBEDDING)
    w.matrix(f"{p}ffn_gate.weight", EMBEDDING, width)
    w.matrix(f"{p}ffn_up.weight", EMBEDDING, width)
    w.matrix(f"{p}ffn_down.weight", width, EMBEDDING)


def _attention(w: _Writer, p: str, *, head: int, kv_heads: int = 2, gate: bool = False) -> None:
    w.matrix(f"{p}attn_q.weight", EMBEDDING, HEADS * head * (2 if gate else 1))
    w.matrix(f"{p}attn_k.weight", EMBEDDING, kv_heads * head)
    w.matrix(f"{p}attn_v.weight", EMBEDDING, kv_heads * head, gain=2)
    w.matrix(f"{p}attn_output.weight", HEADS * head, EMBEDDING, gain=2)


def _head_norms(w: _Writer, p: str, head: int) -> None:
    w.ones(f"{p}attn_q_norm.weight", head)
    w.ones(f"{p}attn_k_norm.weight", head)


def _plain(w: _Writer, layer: int, *, bias: bool = False, norms: bool = False) -> None:
    p = f"blk.{layer}."
    w.ones(f"{p}attn_norm.weight", EMBEDDING)
    _attention(w, p, head=16)
    if bias:
        for name, width in (("q", HEADS * 16), ("k", 32), ("v", 32)):
            w.small(f"{p}attn_{name}.bias", width)
    if norms:
        _head_norms(w, p, 16)
    _feed_forward(w, p)


def _gemma3(w: _Writer, layer: int) -> None:
    p = f"blk.{layer}."
    _plain(w, layer, norms=True)
    w.ones(f"{p}post_attention_norm.weight", EMBEDDING)
    w.ones(f"{p}post_ffw_norm.weight", EMBEDDING)


_GEMMA4_FULL = (3, 5)
_PER_LAYER = 16


def _gemma4_before(w: _Writer) -> None:
    vocabulary = len(_sentence_piece_vocabulary(w.family.control)[0])
    w.matrix("per_layer_token_embd.weight", _PER_LAYER * w.family.layers, vocabulary)
    w.matrix("per_layer_model_proj.weight", EMBEDDING, _PER_LAYER * w.family.layers)
    w.ones("per_layer_proj_norm.weight", _PER_LAYER)
    w.ones("rope_freqs.weight", 16)


def _gemma4(w: _Writer, layer: int) -> None:
    p = f"blk.{layer}."
    head = 32 if layer in _GEMMA4_FULL else 16
    w.ones(f"{p}attn_norm.weight", EMBEDDING)
    _attention(w, p, head=head)
    _head_norms(w, p, head)
    w.ones(f"{p}post_attention_norm.weight", EMBEDDING)
    _feed_forward(w, p)
    w.ones(f"{p}post_ffw_norm.weight", EMBEDDING)
    w.matrix(f"{p}inp_gate.weight", EMBEDDING, _PER_LAYER)
    w.matrix(f"{p}proj.weight", _PER_LAYER, EMBEDDING)
    w.ones(f"{p}post_norm.weight", EMBEDDING)


_DEEPSEEK_RANK, _DEEPSEEK_ROPE, _DEEPSEEK_NOPE = 32, 8, 16


def _deepseek2(w: _Writer, layer: int) -> None:
    p = f"blk.{layer}."
    key = _DEEPSEEK_NOPE + _DEEPSEEK_ROPE
    w.ones(f"{p}attn_norm.weight", EMBEDDING)
    w.matrix(f"{p}attn_q_a.weight", EMBEDDING, 32)
    w.ones(f"{p}attn_q_a_norm.weight", 32)
    w.matrix(f"{p}attn_q_b.weight", 32, HEADS * key)
    w.matrix(f"{p}attn_kv_a_mqa.weight", EMBEDDING, _DEEPSEEK_RANK + _DEEPSEEK_ROPE)
    w.ones(f"{p}attn_kv_a_norm.weight", _DEEPSEEK_RANK)
    w.matrix(f"{p}attn_k_b.weight", _DEEPSEEK_NOPE, _DEEPSEEK_RANK, HEADS)
    w.matrix(f"{p}attn_v_b.weight", _DEEPSEEK_RANK, 16, HEADS, gain=2)
    w.matrix(f"{p}attn_output.weight", HEADS * 16, EMBEDDING, gain=2)
    if layer == 0:
        _feed_forward(w, p)
        return
    w.ones(f"{p}ffn_norm.weight", EMBEDDING)
    _experts(w, p)
    for name, sizes in (("gate", (EMBEDDING, 32)), ("up", (EMBEDDING, 32)), ("down", (32, EMBEDDING))):
        w.matrix(f"{p}ffn_{name}_shexp.weight", *sizes)


def _experts(w: _Writer, p: str, *, bias: bool = False) -> None:
    count, width = 4, 32
    w.matrix(f"{p}ffn_gate_inp.weight", EMBEDDING, count)
    w.matrix(f"{p}ffn_gate_exps.weight", EMBEDDING, width, count)
    w.matrix(f"{p}ffn_up_exps.weight", EMBEDDING, width, count)
    w.matrix(f"{p}ffn_down_exps.weight", width, EMBEDDING, count)
    if bias:
        w.small(f"{p}ffn_gate_inp.bias", count)
        w.small(f"{p}ffn_gate_exps.bias", width, count)
        w.small(f"{p}ffn_up_exps.bias", width, count)
        w.small(f"{p}ffn_down_exps.bias", EMBEDDING, count)


def _gpt_oss(w: _Writer, layer: int) -> None:
    p = f"blk.{layer}."
    w.ones(f"{p}attn_norm.weight", EMBEDDING)
    _attention(w, p, head=16)
    for name, width in (("q", 64), ("k", 32), ("v", 32), ("output", EMBEDDING)):
        w.small(f"{p}attn_{name}.bias", width)
    w.small(f"{p}attn_sinks.weight", HEADS)
    w.ones(f"{p}post_attention_norm.weight", EMBEDDING)
    _experts(w, p, bias=True)


_STATE, _INNER, _STATE_HEADS = 16, 2 * EMBEDDING, 8


def _mamba2(w: _Writer, p: str) -> None:
    convolved = _INNER + 2 * _STATE
    w.matrix(f"{p}ssm_in.weight", EMBEDDING, _INNER + convolved + _STATE_HEADS, gain=2)
    w.small(f"{p}ssm_conv1d.weight", 4, convolved, spread=0.7)
    w.small(f"{p}ssm_conv1d.bias", convolved)
    w.small(f"{p}ssm_dt.bias", _STATE_HEADS)
    w.negative(f"{p}ssm_a", 1, _STATE_HEADS)
    w.small(f"{p}ssm_d", 1, _STATE_HEADS)
    w.ones(f"{p}ssm_norm.weight", _INNER, 1)
    w.matrix(f"{p}ssm_out.weight", _INNER, EMBEDDING, gain=2)


def _granite_hybrid(w: _Writer, layer: int) -> None:
    p = f"blk.{layer}."
    w.ones(f"{p}attn_norm.weight", EMBEDDING)
    if layer % 2:
        _attention(w, p, head=16)
    else:
        _mamba2(w, p)
    _feed_forward(w, p)


def _mamba2_only(w: _Writer, layer: int) -> None:
    w.ones(f"blk.{layer}.attn_norm.weight", EMBEDDING)
    _mamba2(w, f"blk.{layer}.")


def _qwen35(w: _Writer, layer: int) -> None:
    p = f"blk.{layer}."
    w.ones(f"{p}attn_norm.weight", EMBEDDING)
    w.ones(f"{p}post_attention_norm.weight", EMBEDDING)
    if layer % 4 == 3:
        _attention(w, p, head=16, gate=True)
        _head_norms(w, p, 16)
    else:
        key_width, value_width, value_heads = 2 * _STATE, 4 * _STATE, 4
        w.matrix(f"{p}attn_qkv.weight", EMBEDDING, 2 * key_width + value_width, gain=2)
        w.matrix(f"{p}attn_gate.weight", EMBEDDING, value_width)
        w.small(f"{p}ssm_conv1d.weight", 4, 2 * key_width + value_width, spread=0.7)
        w.small(f"{p}ssm_dt.bias", value_heads)
        w.negative(f"{p}ssm_a", value_heads)
        w.matrix(f"{p}ssm_beta.weight", EMBEDDING, value_heads)
        w.matrix(f"{p}ssm_alpha.weight", EMBEDDING, value_heads)
        w.ones(f"{p}ssm_norm.weight", _STATE)
        w.matrix(f"{p}ssm_out.weight", value_width, EMBEDDING, gain=2)
    for name, sizes in (
        ("gate", (EMBEDDING, FEED_FORWARD)),
        ("up", (EMBEDDING, FEED_FORWARD)),
        ("down", (FEED_FORWARD, EMBEDDING)),
    ):
        w.matrix(f"{p}ffn_{name}.weight", *sizes)


def _lfm2(w: _Writer, layer: int) -> None:
    p = f"blk.{layer}."
    w.ones(f"{p}attn_norm.weight", EMBEDDING)
    if layer % 2:
        _attention(w, p, head=16)
        _head_norms(w, p, 16)
    else:
        w.small(f"{p}shortconv.conv.weight", 3, EMBEDDING, spread=0.7)
        w.matrix(f"{p}shortconv.in_proj.weight", EMBEDDING, 3 * EMBEDDING, gain=1.5)
        w.matrix(f"{p}shortconv.out_proj.weight", EMBEDDING, EMBEDDING, gain=2)
    _feed_forward(w, p)


# ---------------------------------------------------------------- families

_GROUPED = {"attention.head_count_kv": 2}
_HEADS_OF_16 = {**_GROUPED, "attention.key_length": 16, "attention.value_length": 16}
# All experts are used: which are chosen can turn on a rounding error, and then a right cache looks wrong.
_EXPERTS = {"expert_count": 4, "expert_used_count": 4, "expert_feed_forward_length": 32}
_STATE_SPACE = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": _INNER,
    "ssm.state_size": _STATE,
    "ssm.time_step_rank": _STATE_HEADS,
    "ssm.group_count": 1,
}
_IM = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

FAMILIES = {
    family.name: family
    for family in (
        Family(
            name="Llama",
            architecture="llama",
            layers=2,
            keys={**_GROUPED, "rope.dimension_count": 16},
            block=_plain,
            template=_LLAMA,
            control=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
            pre="llama-bpe",
        ),
        Family(
            name="Qwen 2.5",
            architecture="qwen2",
            seed=19,
            layers=2,
            keys=_GROUPED,
            block=functools.partial(_plain, bias=True),
            template=_CHATML,
            control=_IM,
            pre="qwen2",
        ),
        Family(
            name="Qwen 3",
            architecture="qwen3",
            seed=58,
            layers=2,
            keys=_HEADS_OF_16,
            block=functools.partial(_plain, norms=True),
            template=_CHATML,
            control=_IM,
            pre="qwen2",
        ),
        Family(
            name="Qwen 3.5",
            architecture="qwen35",
            seed=15,
            layers=4,
            keys={
                **_HEADS_OF_16,
                "rope.dimension_count": 16,
                "rope.dimension_sections": [2, 3, 3, 0],
                "full_attention_interval": 4,
                "ssm.conv_kernel": 4,
                "ssm.inner_size": 4 * _STATE,
                "ssm.state_size": _STATE,
                "ssm.time_step_rank": 4,
                "ssm.group_count": 2,
            },
            block=_qwen35,
            template=_CHATML,
            control=_IM,
            pre="qwen35",
            recurrent=True,
        ),
        Family(
            name="Gemma 3",
            architecture="gemma3",
            seed=52,
            layers=6,
            keys={**_HEADS_OF_16, "attention.sliding_window": WINDOW, "rope.freq_base": 1e6},
            block=_gemma3,
            template=_GEMMA,
            control=("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
            windowed=True,
        ),
        Family(
            name="Gemma 4",
            architecture="gemma4",
            seed=17,
            layers=6,
            keys={
                **_GROUPED,
                "attention.key_length": 32,
                "attention.value_length": 32,
                "attention.key_length_swa": 16,
                "attention.value_length_swa": 16,
                "rope.dimension_count": 32,
                "rope.dimension_count_swa": 16,
                "attention.sliding_window": WINDOW,
                "attention.sliding_window_pattern": [layer not in _GEMMA4_FULL for layer in range(6)],
                "attention.shared_kv_layers": 2,
                "embedding_length_per_layer_input": _PER_LAYER,
                "final_logit_softcapping": 30.0,
            },
            block=_gemma4,
            before=_gemma4_before,
            template=_GEMMA,
            control=("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
            windowed=True,
        ),
        Family(
            name="Mistral",
            architecture="llama",
            seed=9,
            layers=2,
            keys={**_GROUPED, "rope.dimension_count": 16},
            block=_plain,
            template=_MISTRAL,
            control=("<s>", "[INST]", "[/INST]", "</s>"),
        ),
        Family(
            name="DeepSeek",
            architecture="deepseek2",
            seed=32,
            layers=3,
            keys={
                **_EXPERTS,
                "attention.head_count_kv": 1,
                "attention.q_lora_rank": 32,
                "attention.kv_lora_rank": _DEEPSEEK_RANK,
                "attention.key_length": _DEEPSEEK_RANK + _DEEPSEEK_ROPE,
                "attention.value_length": _DEEPSEEK_RANK,
                "attention.key_length_mla": _DEEPSEEK_NOPE + _DEEPSEEK_ROPE,
                "attention.value_length_mla": 16,
                "rope.dimension_count": _DEEPSEEK_ROPE,
                "leading_dense_block_count": 1,
                "expert_shared_count": 1,
                "expert_gating_func": 2,
            },
            block=_deepseek2,
            template=_DEEPSEEK,
            control=("<｜begin▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
            pre="deepseek-v3",
        ),
        Family(
            name="Granite hybrid",
            architecture="granitehybrid",
            seed=23,
            layers=4,
            keys={**_STATE_SPACE, "attention.head_count_kv": [0, 2, 0, 2], "rope.dimension_count": 16},
            block=_granite_hybrid,
            template=_GRANITE,
            control=("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"),
            pre="refact",
            recurrent=True,
        ),
        Family(
            name="gpt-oss",
            architecture="gpt-oss",
            seed=51,
            layers=4,
            keys={
                **_HEADS_OF_16,
                **_EXPERTS,
                "rope.dimension_count": 16,
                "attention.sliding_window": WINDOW,
            },
            block=_gpt_oss,
            template=_HARMONY,
            control=("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"),
            pre="gpt-4o",
            windowed=True,
        ),
        Family(
            name="LFM2",
            architecture="lfm2",
            seed=16,
            layers=4,
            keys={"attention.head_count_kv": [0, 2, 0, 2], "shortconv.l_cache": 3},
            block=_lfm2,
            template=_CHATML,
            control=_IM,
            pre="lfm2",
            recurrent=True,
            output_norm="token_embd_norm",
        ),
        Family(
            name="Mamba 2",
            architecture="mamba2",
            seed=16,
            layers=2,
            keys={**_STATE_SPACE, "attention.head_count": 0, "feed_forward_length": 0},
            block=_mamba2_only,
            template=None,
            control=("<|endoftext|>",),
            pre="olmo",
            recurrent=True,
        ),
    )
}


def build(
    family: Family, folder: Path, quantisation: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F16
) -> Path:
    """The tiny model of ``family`` as a file in ``folder``.

    The coarser the quantisation, the more the order of additions moves the logits: compare with F16.
    """
    path = folder / f"tiny-{family.name.lower().replace(' ', '-')}.gguf"
    _Writer(path, family, quantisation).write()
    return path

"""Will a model fit this machine: an estimate from its header, and the settings that make the best of it.

The sizes are what llama.cpp 0.3.36 allocates as ``engine/worker/llama.py`` asks it to: micro-batches of
512 tokens, flash attention, full-size sliding-window caches, one pool of cells for all sequences. Weights
and KV cache are exact; compute buffers follow llama.cpp's allocator closely, and what the process needs
besides was measured (CPU builds; GPU figures are untested). It stays an estimate: the person may override.
"""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import psutil

from localai_app.engine.protocol import Device, LoadSettings
from localai_app.models.gguf import GgufHeader

Grade = Literal["fits", "tight", "partly on GPU", "will not fit"]
KvType = Literal["f16", "q8_0", "q4_0"]

MINIMUM_CONTEXT = 4096
CPU_CONTEXT = 8192
"""Longest context that is chosen on a CPU unless asked: longer ones take minutes to read."""
GPU_CONTEXT = 131_072
MICRO_BATCH = 512
OUTPUTS = 33
"""Rows of logits that the worker reserves: a token and the longest draft."""

_COMFORT = 0.85
"""Part of the free memory that may be taken without a warning: others need some too."""
_KV_BYTES = {"f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
_CELLS = 256
"""llama.cpp rounds a context up to a multiple."""
_PROCESS = 57 * 1024**2
"""The worker with its libraries, before a model (measured)."""
_VOCABULARY = {True: 200, False: 111}
"""Bytes per entry, with and without byte-pair merges (measured)."""
_GPU_CONTEXT_BYTES = 400 * 1024**2
"""What a GPU runtime takes for itself (untested)."""
_GRAPH_NODE = 830
"""Bytes per graph node that is reserved (measured)."""
_LONG_GRAPHS = {"qwen3next", "qwen35", "qwen35moe", "kimi-linear", "deepseek4", "minimax-m3"}
"""Architectures whose graphs reserve 40 nodes per token of a micro-batch."""

# The CPU backend keeps a second, rearranged copy of matrices of these types.
_REARRANGED = {"Q4_0", "Q4_K", "IQ4_NL", "MXFP4"}
_REARRANGED_ON_ARM = _REARRANGED | {"Q5_K", "Q6_K", "Q8_0"}


@dataclass(frozen=True)
class Memory:
    """Bytes of memory now."""

    ram_free: int
    """What programs can still get, caches given back."""
    ram_total: int
    vram_free: int = 0
    """Of all GPUs; 0 where there is none."""
    vram_total: int = 0


@dataclass(frozen=True)
class Fit:
    """What a model needs with certain settings, estimated; bytes."""

    context_length: int
    kv_type: KvType
    gpu_layers: int
    """Layers on the GPU, the output layer counted; `layers` + 1 for all."""
    layers: int
    weights: int
    """As the file has them, and rearranged copies."""
    copies: int
    """Part of `weights` that is in the file's pages and in a rearranged copy: the pages are looked at
    no more (measured: 15 MB of 2,210 while a 4B model reads and writes), so the system drops them first."""
    kv: int
    """Keys, values and states of all sequences."""
    compute: int
    overhead: int
    """The process, its vocabulary and its libraries."""
    ram: int
    """Of the computer's memory, at the highest: the worker's resident set, pages of the file included."""
    vram: int
    """Needed of the GPU's."""
    ram_free: int
    vram_free: int
    grade: Grade
    words: str
    """One line for a person, with the numbers."""

    @property
    def needed(self) -> int:
        """What of `ram` must stay: all but the pages of the file that are copied."""
        return self.ram - self.copies

    @property
    def total(self) -> int:
        """All that is needed, wherever it lies."""
        return self.needed + self.vram

    @property
    def available(self) -> int:
        """What is free where the model would lie."""
        return self.ram_free + (self.vram_free if self.gpu_layers else 0)

    @property
    def ram_given_back(self) -> int:
        """What is free again once the model is unloaded; its file's pages never counted as taken."""
        return max(0, self.ram - (self.weights - self.copies))

    def applied_to(self, settings: LoadSettings) -> LoadSettings:
        """``settings`` with what was chosen here."""
        return msgspec.structs.replace(
            settings, context_length=self.context_length, kv_type=self.kv_type, gpu_layers=self.gpu_layers
        )


def live_memory(devices: Sequence[Device] = ()) -> Memory:
    """Memory of this moment; ``devices`` as a worker's `Ready` lists them."""
    ram = psutil.virtual_memory()
    gpus = [device for device in devices if device.kind == "gpu"]
    return Memory(
        ram_free=ram.available,
        ram_total=ram.total,
        vram_free=sum(device.memory_free for device in gpus),
        vram_total=sum(device.memory_total for device in gpus),
    )


def estimate(header: GgufHeader, memory: Memory, settings: LoadSettings) -> Fit:
    """What the model needs with these very ``settings``; -1 GPU layers are all, 0 tokens the default."""
    context = _capped(header, settings.context_length or CPU_CONTEXT)
    all_layers = header.layers + 1
    gpu_layers = 0 if not memory.vram_total else settings.gpu_layers
    gpu_layers = all_layers if gpu_layers < 0 else min(gpu_layers, all_layers)
    first_on_gpu = all_layers - gpu_layers

    on_gpu, on_cpu, copies = _weights(header, first_on_gpu)
    kv = [
        _kv_of_layer(header, layer, context, settings.kv_type, settings.sequences)
        for layer in range(header.layers)
    ]
    compute = _compute(header, context, settings)
    overhead = _overhead(header, settings)
    host_compute = compute
    vram = ram_extra = 0
    if gpu_layers:
        vram = on_gpu + sum(kv[first_on_gpu:]) + compute + _GPU_CONTEXT_BYTES
        if gpu_layers == all_layers:
            host_compute = _mask(header, context) + MICRO_BATCH * header.embedding_length * 4
        ram_extra = host_compute - compute
    ram = on_cpu + copies + sum(kv[:first_on_gpu]) + compute + ram_extra + overhead
    fit = Fit(
        context_length=context,
        kv_type=settings.kv_type,
        gpu_layers=gpu_layers,
        layers=header.layers,
        weights=on_gpu + on_cpu + copies,
        copies=copies,
        kv=sum(kv),
        compute=compute,
        overhead=overhead + (_GPU_CONTEXT_BYTES if gpu_layers else 0),
        ram=ram,
        vram=vram,
        ram_free=memory.ram_free,
        vram_free=memory.vram_free,
        grade="fits",
        words="",
    )
    grade = _grade(fit)
    return replace(fit, grade=grade, words=_words(replace(fit, grade=grade)))


def choose(
    header: GgufHeader,
    memory: Memory,
    *,
    context_length: int = 0,
    gpu_layers: int = -1,
    kv_type: KvType | None = None,
    settings: LoadSettings = LoadSettings(),
) -> Fit:
    """The best that fits now; what is given is kept, whether it fits or not.

    As many layers on the GPU as there is room for, then the longest context (at least 4096, never more
    than the model was trained on), then the finest KV type; all else as in ``settings``.
    """
    kv_types: list[KvType] = [kv_type] if kv_type else ["f16"]
    # A quantised cache needs flash attention and heads of whole blocks.
    quantises = header.key_length % 32 == 0 and header.value_length % 32 == 0
    if kv_type is None and settings.flash_attention != "off" and quantises:
        kv_types.append("q8_0")
    best: Fit | None = None
    for kv in kv_types:
        for context in _contexts(header, context_length, gpu=bool(memory.vram_total and gpu_layers)):
            wanted = msgspec.structs.replace(settings, context_length=context, kv_type=kv)
            fit = _with_gpu_layers(header, memory, wanted, gpu_layers)
            if fit.grade == "fits":
                return fit
            if best is None or _preference(fit) > _preference(best):
                best = fit
    assert best is not None, "there is at least one context length"
    return best


def fallbacks(settings: LoadSettings, layers: int = 0) -> Iterator[LoadSettings]:
    """Settings that need less and less memory, for when loading fails for lack of it.

    Fewer GPU layers (``layers`` says how many there are, for "all"), then shorter contexts down to 4096,
    then a q8_0 KV cache.
    """
    gpu_layers = settings.gpu_layers if settings.gpu_layers >= 0 else layers + 1 if layers else 1
    while gpu_layers:
        gpu_layers = gpu_layers * 2 // 3 if gpu_layers > 3 else 0
        settings = msgspec.structs.replace(settings, gpu_layers=gpu_layers)
        yield settings
    context = settings.context_length or CPU_CONTEXT
    while context > MINIMUM_CONTEXT:
        context = max(context // 2, MINIMUM_CONTEXT)
        settings = msgspec.structs.replace(settings, context_length=context)
        yield settings
    if settings.kv_type == "f16" and settings.flash_attention != "off":
        yield msgspec.structs.replace(settings, kv_type="q8_0")


# ---------------------------------------------------------------- choosing


def _capped(header: GgufHeader, context: int) -> int:
    return min(context, header.context_length) if header.context_length else context


def _contexts(header: GgufHeader, asked: int, *, gpu: bool) -> list[int]:
    """Lengths to try, the longest first."""
    if asked:
        return [_capped(header, asked)]
    longest = _capped(header, GPU_CONTEXT if gpu else CPU_CONTEXT)
    steps = [longest]
    while steps[-1] > MINIMUM_CONTEXT:
        steps.append(max(steps[-1] // 2, MINIMUM_CONTEXT))
    return steps


def _with_gpu_layers(header: GgufHeader, memory: Memory, settings: LoadSettings, asked: int) -> Fit:
    def with_layers(count: int) -> Fit:
        return estimate(header, memory, msgspec.structs.replace(settings, gpu_layers=count))

    if asked >= 0 or not memory.vram_total:
        return with_layers(asked)
    low, high = 0, header.layers + 1  # with `low` layers it fits
    while low < high:
        middle = (low + high + 1) // 2
        if with_layers(middle).vram <= memory.vram_free * _COMFORT:
            low = middle
        else:
            high = middle - 1
    return with_layers(low)


def _preference(fit: Fit) -> tuple[int, int, int]:
    """Of fits that are not perfect: what may work, on the GPU, with the longest context."""
    works = {"fits": 3, "partly on GPU": 2, "tight": 1, "will not fit": 0}[fit.grade]
    # What will not fit is best tried small.
    context = fit.context_length if works > 1 else -fit.context_length - fit.kv // 1024
    return works, fit.gpu_layers, context


def _grade(fit: Fit) -> Grade:
    if fit.vram > fit.vram_free or fit.needed > fit.ram_free:
        return "will not fit"
    if 0 < fit.gpu_layers <= fit.layers:
        return "partly on GPU"
    comfortable = fit.vram <= fit.vram_free * _COMFORT and fit.needed <= fit.ram_free * _COMFORT
    return "fits" if comfortable else "tight"


def _words(fit: Fit) -> str:
    begin = {
        "fits": "Fits",
        "tight": "Tight, other programs may slow down",
        "partly on GPU": f"{fit.gpu_layers} of {fit.layers + 1} layers on the GPU",
        "will not fit": "Will not fit",
    }[fit.grade]
    where = f"about {_gb(fit.needed)} of {_gb(fit.ram_free)} free memory"
    if fit.grade == "will not fit":
        where = f"about {_gb(fit.needed)} of memory are needed, {_gb(fit.ram_free)} are free"
    if fit.vram:
        where += f" and {_gb(fit.vram)} of {_gb(fit.vram_free)} on the GPU"
    return (
        f"{begin}: {where} (weights {_gb(fit.weights - fit.copies)}, {fit.context_length:,} tokens of "
        f"context {_gb(fit.kv)}, computing {_gb(fit.compute)}; an estimate)."
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 95e6 else f"{size / 1e9:.2f} GB"


# ---------------------------------------------------------------- sizes


def _weights(header: GgufHeader, first_on_gpu: int) -> tuple[int, int, int]:
    """Bytes on the GPU, on the CPU, and of the CPU's rearranged copies."""
    rearranged = _REARRANGED_ON_ARM if platform.machine().lower() in ("arm64", "aarch64") else _REARRANGED
    on_gpu = on_cpu = copies = 0
    output_on_gpu = first_on_gpu <= header.layers
    has_output = any(tensor.name == "output.weight" for tensor in header.tensors)
    for tensor in header.tensors:
        layer = _layer_of(tensor.name)
        embeds = tensor.name.startswith(("token_embd.", "per_layer_token_embd."))
        if layer is None and embeds:
            on_cpu += tensor.size
            if not has_output and tensor.name == "token_embd.weight":  # the output is another copy of it
                on_gpu += tensor.size if output_on_gpu else 0
                copies += tensor.size if not output_on_gpu and tensor.type in rearranged else 0
        elif (layer is None and output_on_gpu) or (layer is not None and layer >= first_on_gpu):
            on_gpu += tensor.size
        else:
            on_cpu += tensor.size
            if len(tensor.shape) > 1 and tensor.type in rearranged:
                copies += tensor.size
    return on_gpu, on_cpu, copies


def _layer_of(name: str) -> int | None:
    if not name.startswith("blk."):
        return None
    number = name[4:].partition(".")[0]
    return int(number) if number.isascii() and number.isdigit() else None


def _attends(header: GgufHeader, layer: int) -> bool:
    """Whether ``layer`` has keys and values of its own in the cache."""
    if header.recurrent[layer] and header.architecture != "falcon-h1":
        return False
    return bool(header.kv_heads[layer]) and layer < header.layers - header.shared_kv_layers


def _kv_of_layer(header: GgufHeader, layer: int, context: int, kv_type: str, sequences: int) -> int:
    size = 0
    if _attends(header, layer):
        windowed = header.windowed[layer]
        key = header.window_key_length if windowed else header.key_length
        value = header.window_value_length if windowed else header.value_length
        if header.compressed:
            value = 0
        elements = header.kv_heads[layer] * (key + value)
        size += int(elements * _KV_BYTES[kv_type]) * _padded(context)
    if header.recurrent[layer]:
        size += _state_floats(header) * 4 * max(sequences, 1)
    return size


def _state_floats(header: GgufHeader) -> int:
    state, width = header.state, header.embedding_length
    if state.wkv_head_size:
        return width * (state.token_shift + state.wkv_head_size)
    if state.short_conv:
        return width * (state.short_conv - 1)
    return state.floats


def _padded(context: int) -> int:
    return -(-context // _CELLS) * _CELLS


def _mask(header: GgufHeader, context: int) -> int:
    """Which token sees which: f16, one for all layers of a kind."""
    kinds = {header.windowed[layer] for layer in range(header.layers) if _attends(header, layer)}
    return len(kinds) * min(MICRO_BATCH, context) * _padded(context) * 2


def _compute(header: GgufHeader, context: int, settings: LoadSettings) -> int:
    """The larger of what a layer and what the logits need at once, and the copy of the logits."""
    batch = min(MICRO_BATCH, context)
    width = header.embedding_length
    heads = max(header.heads, default=0)
    used, expert = header.experts_used, header.expert_feed_forward or max(header.feed_forward, default=0)
    state = header.state
    inside = max(
        3 * max(header.feed_forward, default=0) if not header.experts or header.expert_feed_forward else 0,
        used * expert + used * max(2 * expert, width),
        heads * (2 * header.key_length + header.value_length),
        # Input projection, convolution in and out, and what is scanned.
        (6 * state.inner_size + 6 * state.group_count * state.state_size + state.time_step_rank - 3 * width)
        if any(header.recurrent)
        else 0,
    )
    layer = batch * 4 * (inside + 4 * width) + _mask(header, context)
    if settings.flash_attention == "off":
        layer += heads * batch * _padded(context) * 4
    outputs = 1 if settings.embedding else max(OUTPUTS, settings.sequences)
    logits = outputs * header.vocabulary * 4 + batch * width * 4
    return max(layer, logits) + settings.sequences * header.vocabulary * 4


def _overhead(header: GgufHeader, settings: LoadSettings) -> int:
    batch = min(MICRO_BATCH, _capped(header, settings.context_length or CPU_CONTEXT))
    vocabulary = header.vocabulary * _VOCABULARY[header.tokenizer.startswith("gpt2")]
    widest = max(header.embedding_length, *header.feed_forward, 0) if header.layers else 0
    quantised_inputs = int(batch * widest * 1.14)
    graph = 40 * batch * _GRAPH_NODE if header.architecture in _LONG_GRAPHS else 0
    return _PROCESS + vocabulary + quantised_inputs + graph

"""What a model of the catalogue would be like on this machine, before it is here.

The catalogue knows less than a file's header. `header_of` makes the header that the file would have, with
what the catalogue says and, where it says nothing, with what models of that many parameters usually have;
what was made up in that way is named. Everything else is `fit`'s: the same sums as for a file.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from localai_app.engine.protocol import LoadSettings
from localai_app.models.catalogue import CatalogueEntry, LayerGroup
from localai_app.models.fit import Fit, Memory, choose
from localai_app.models.gguf import GgufHeader, StateSpace, Tensor
from localai_app.models.speed import Speed, estimated

READING = 8.0
"""Tokens per second: faster than people read. A model that is slower is not recommended."""

# Layers per period of which one sees everything, in families whose other layers see a window. Their
# whole caches are kept (see `fit`), so all layers count.
_WINDOW_PERIODS = {"Gemma 3": 6, "Gemma 3n": 5, "Gemma 4": 6, "gpt-oss": 2}
# Layers of which one has keys and values, in hybrid families.
_HYBRID = {"Qwen3.5": 4, "Qwen3.6": 4, "Qwen3.8": 4}
_VOCABULARIES = {"Gemma": 262_144, "Llama": 128_256, "Mistral": 131_072, "Phi": 200_064, "gpt-oss": 201_088}
_VOCABULARY = 151_936
_SMALL_VOCABULARY = 30_522
"""Of English embedding models."""
# Share of the weights, embeddings aside, in matrices that a CPU keeps a rearranged copy of (seen in files).
_REARRANGED = {"Q4_0": ("Q4_0", 0.95), "Q4_K_M": ("Q4_K", 0.7), "Q4_K_S": ("Q4_K", 0.9)}
_REARRANGED |= {"MXFP4": ("MXFP4", 0.95), "UD-Q4_K_M": ("Q4_K", 0.7), "UD-Q4_K_XL": ("Q4_K", 0.7)}
# Models with embeddings in every layer, which are looked up and not multiplied.
_LAYER_EMBEDDINGS = ("Gemma 3n E", "Gemma 4 E")
_STATE = 128
"""Numbers per channel of a recurrent layer, as hybrid models have them."""


@dataclass(frozen=True)
class Outlook:
    """What is expected of a model here."""

    entry_id: str
    fit: Fit
    speed: Speed | None
    """None where nobody can tell: on a GPU before it was used."""
    estimated: tuple[str, ...]
    """What of the model's inside the catalogue does not say and was estimated."""

    @property
    def words(self) -> str:
        """One line for a person, with the numbers."""
        text = self.fit.words
        if self.estimated:
            text += f" Estimated from the number of parameters: {', '.join(self.estimated)}."
        if self.speed is None:
            return text
        how = "measured here" if self.speed.measured else "estimated"
        return f"{text} Writes about {speed_words(self.speed.tokens_per_second)} ({how})."


def speed_words(tokens_per_second: float) -> str:
    """``12 tokens/s``."""
    digits = 0 if tokens_per_second >= 10 else 1
    return f"{tokens_per_second:.{digits}f} tokens/s"


def outlook(
    entry: CatalogueEntry,
    memory: Memory,
    *,
    bandwidth: Callable[[], float],
    measured: Speed | None = None,
    context_length: int = 0,
) -> Outlook | None:
    """How ``entry`` would fit now with ``context_length`` (0: the longest that is sensible), and its speed.

    None when the catalogue does not know its size. ``bandwidth`` is asked only where it is needed.
    """
    made = header_of(entry)
    if made is None:
        return None
    header, guessed = made
    settings = LoadSettings(embedding=entry.kind == "embedding")
    fit = choose(header, memory, context_length=context_length, settings=settings)
    speed = measured
    if speed is None and not fit.gpu_layers and entry.kind == "chat":
        per_token = bytes_per_token(entry, header)
        speed = Speed(estimated(bandwidth(), per_token, header.layers, header.vocabulary), measured=False)
    return Outlook(entry.id, fit, speed, guessed)


def bytes_per_token(entry: CatalogueEntry, header: GgufHeader) -> float:
    """Bytes of weights that are read for each token: those of the experts that are used, and the rest."""
    if entry.parameters and entry.active_parameters:
        return header.size * entry.active_parameters / entry.parameters
    return header.size


def recommend(
    entries: Iterable[CatalogueEntry],
    outlooks: Callable[[CatalogueEntry], Outlook | None],
    *,
    language: str = "",
) -> CatalogueEntry | None:
    """The chat model that suits this machine best; None where none fits.

    Of those that companies may use, that fit well and write faster than people read: first those that
    the catalogue's maker recommends, those that are not known to lack ``language`` and those that are
    pinned; of these the one with the most parameters at work (for a mixture of experts the geometric mean
    of all and active ones). Where none fits well, the smallest is the least bad.
    """
    best: tuple[tuple[bool, bool, bool, bool, float], CatalogueEntry] | None = None
    for entry in entries:
        if entry.kind != "chat" or entry.licence.commercial not in ("yes", "conditions"):
            continue
        expected = outlooks(entry)
        if expected is None or expected.fit.grade == "will not fit" or not entry.parameters:
            continue
        well = expected.fit.grade == "fits"
        fast = expected.speed is None or expected.speed.tokens_per_second >= READING
        speaks = not language or entry.speaks(language) is not False
        at_work = math.sqrt(entry.parameters * (entry.active_parameters or entry.parameters))
        good = well and fast
        rank = (good, entry.recommended, speaks, entry.pinned, at_work if good else -at_work)
        if best is None or rank > best[0]:
            best = rank, entry
    return best[1] if best else None


# ---------------------------------------------------------------- the header


def header_of(entry: CatalogueEntry) -> tuple[GgufHeader, tuple[str, ...]] | None:
    """The header that the entry's files have or may have, and what in it is estimated.

    None when the size is unknown, or nothing tells how large the model is inside.
    """
    size, shape = entry.size, entry.shape
    parameters = entry.parameters or (int(size / 0.6) if size else 0)  # 4 to 5 bits each
    if size is None or not parameters:
        return None
    guessed: list[str] = [] if entry.parameters else ["parameters"]
    layers = sum(group.layers for group in shape.groups) or shape.layers or 0
    if not layers:
        layers = max(4, round(36 * (parameters / 4e9) ** 0.25))
        guessed.append("layers")
    active = entry.active_parameters or parameters
    vocabulary = _vocabulary(entry, parameters)
    width = shape.dimensions or _width(active, layers, vocabulary)
    groups = _groups(entry, layers)
    if groups is None:
        attending = max(1, layers // _HYBRID.get(entry.family, 1))
        groups = [LayerGroup(layers=attending, kv_heads=1, head_length=_head(width / 3))]
        guessed.append("keys and values")
    attending = sum(group.layers for group in groups)
    layers = max(layers, attending)
    per_layer = [group for group in groups for _ in range(group.layers)]
    kv_heads = (0,) * (layers - attending) + tuple(group.kv_heads for group in per_layer)
    windowed = (False,) * (layers - attending) + tuple(group.windowed for group in per_layer)
    plain = [group.head_length for group in groups if not group.windowed]
    narrow = [group.head_length for group in groups if group.windowed]
    head, window_head = max(plain or narrow), max(narrow or plain)
    recurrent = (True,) * (layers - attending) + (False,) * attending
    return (
        GgufHeader(
            version=3,
            architecture="",
            name=entry.name,
            quantisation=entry.quantisation,
            tensors=_tensors(entry, size, layers, vocabulary, width),
            metadata={},
            layers=layers,
            embedding_length=width,
            feed_forward=(int(3.5 * width),) * layers,
            heads=(0,) * layers,
            kv_heads=kv_heads,
            key_length=head,
            value_length=0 if shape.latent_length else head,
            window_key_length=window_head,
            window_value_length=window_head,
            context_length=entry.context_length or 0,
            sliding_window=1024 if narrow else 0,
            windowed=windowed,
            shared_kv_layers=0,
            kv_lora_rank=shape.latent_length or 0,
            q_lora_rank=0,
            compressed=bool(shape.latent_length),
            recurrent=recurrent,
            state=StateSpace(4, width, _STATE, 0, 0, 0, 0, 0) if any(recurrent) else _NO_STATE,
            experts=0,
            experts_used=0,
            expert_feed_forward=0,
            vocabulary=vocabulary,
            tokenizer="gpt2",
            chat_template=None,
            embedding_only=entry.kind == "embedding",
            split_count=1,
            split_number=0,
        ),
        tuple(guessed),
    )


_NO_STATE = StateSpace(0, 0, 0, 0, 0, 0, 0, 0)


def _groups(entry: CatalogueEntry, layers: int) -> list[LayerGroup] | None:
    """Layers that have keys and values, as far as the catalogue says; None where it does not."""
    shape = entry.shape
    if shape.groups:
        return list(shape.groups)
    attention = shape.attention_layers
    if shape.latent_length:
        return [LayerGroup(layers=attention or layers, kv_heads=1, head_length=shape.latent_length)]
    period = _WINDOW_PERIODS.get(entry.family, 0)
    growth = shape.kv_bytes_per_token
    if shape.kv_heads and shape.head_length:
        per_layer = 4 * shape.kv_heads * shape.head_length  # keys and values, two bytes each
        if not attention and growth and not period:
            attention = min(layers, max(1, round(growth / per_layer)))
        if not attention and entry.family in _HYBRID:
            attention = max(1, layers // _HYBRID[entry.family])
        return [
            LayerGroup(layers=attention or layers, kv_heads=shape.kv_heads, head_length=shape.head_length)
        ]
    if growth:
        everywhere = growth * (period or 1)
        attention = attention or (
            max(1, layers // _HYBRID[entry.family]) if entry.family in _HYBRID else layers
        )
        return [LayerGroup(layers=attention, kv_heads=1, head_length=_head(everywhere / 4 / attention))]
    return None


def _head(length: float) -> int:
    """``length`` as heads have it: whole blocks of a quantised cache."""
    return max(32, round(length / 32) * 32)


def _vocabulary(entry: CatalogueEntry, parameters: int) -> int:
    if entry.kind == "embedding" and parameters < 50e6:
        return _SMALL_VOCABULARY
    return next((size for name, size in _VOCABULARIES.items() if entry.family.startswith(name)), _VOCABULARY)


def _width(parameters: int, layers: int, vocabulary: int) -> int:
    """The width with which usual layers (12 width² each) and an embedding have so many parameters."""
    square = 12 * layers
    width = (math.sqrt(vocabulary**2 + 4 * square * parameters) - vocabulary) / (2 * square)
    return max(64, round(width / 64) * 64)


def _tensors(
    entry: CatalogueEntry, size: int, layers: int, vocabulary: int, width: int
) -> tuple[Tensor, ...]:
    """Tensors that add up to ``size``: an embedding, and in each layer rearranged matrices and others."""
    kind, share = _REARRANGED.get(entry.quantisation, ("", 0.0))
    if entry.name.startswith(_LAYER_EMBEDDINGS) and entry.parameters and entry.active_parameters:
        share *= entry.active_parameters / entry.parameters
    embedding = min(int(vocabulary * width * 0.75), size // 3)
    rearranged = int((size - embedding) * share / layers)
    rest = (size - embedding) // layers - rearranged
    tensors = [Tensor("token_embd.weight", "Q6_K", (width, vocabulary), embedding)]
    for layer in range(layers):
        tensors.append(Tensor(f"blk.{layer}.main.weight", kind, (width, width), rearranged))
        tensors.append(Tensor(f"blk.{layer}.other.weight", "F32", (width, width), rest))
    return tuple(tensors)

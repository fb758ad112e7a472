"""Every message that app and worker may exchange, as typed values; one JSON object per line.

The app writes requests to the worker's stdin, the worker writes events to its private copy of
stdout. A line that does not decode to one of these types is a `ProtocolError`: the sender is broken
and is ended, nothing is guessed. Vectors travel as base64 of little-endian float32 (msgspec writes
``bytes`` so). Durations are seconds, sizes are bytes, counts of text are tokens.
"""

from typing import Literal, TypeVar

import msgspec

_T = TypeVar("_T")

VERSION = 1
"""Raised by every change that an older peer would misread; a differing peer is refused."""

MAX_LINE = 64 * 1024 * 1024
"""Longest line in bytes that either side accepts."""

ENGINE_FOLDER = "LLAMA_CPP_LIB_PATH"
"""Variable of a worker's environment: the folder with llama.cpp; llama-cpp-python reads it, too."""
ENGINE_PACK = "LOCALAI_APP_ENGINE_PACK"
"""The name of the engine pack that lies there; unset for the app's own engine."""
ENGINE_GPU = "LOCALAI_APP_ENGINE_GPU"
"""Set where the worker may reach a GPU."""
CPU_VARIANT = "LOCALAI_APP_CPU_VARIANT"
"""The variant of the engine's CPU part to use instead of the best one; handed on from the app's own
environment, to compare variants or to get round one that fails."""

StopReason = Literal["end", "stop_string", "max_tokens", "context_full", "cancelled"]


class ProtocolError(Exception):
    """A line that is not a message of this protocol."""


class _Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower, forbid_unknown_fields=True):
    pass


# ---------------------------------------------------------------- values


class LoadSettings(_Value, frozen=True):
    """How to load a model; 0 or "auto" lets the worker choose."""

    context_length: int = 0
    """Tokens of context shared by all sequences; 0: the model's own, at most 8192."""
    gpu_layers: int = -1
    """Layers to offload; -1: all, where there is a GPU."""
    threads: int = 0
    """Threads to compute with, always; 0: at most ``Load.cores``, fewer while that is faster."""
    flash_attention: Literal["auto", "on", "off"] = "auto"
    kv_type: Literal["f16", "q8_0", "q4_0"] = "f16"
    sequences: int = 8
    """How many requests may advance side by side."""
    drafting: bool = True
    """Guess ahead from what was said before, where that is measured to pay."""
    embedding: bool = False
    """Load for `Embed` instead of `Generate`."""


class ModelInfo(_Value, frozen=True):
    """What the worker knows of the model it holds."""

    path: str
    name: str
    """``general.name`` of the header, or the file's stem."""
    architecture: str
    description: str
    """llama.cpp's own line, such as ``llama 135M Q4_1``."""
    parameters: int
    size: int
    """Bytes of all tensors."""
    vocabulary: int
    embedding_length: int
    layers: int
    context_length: int
    """Tokens of context in this worker."""
    trained_context_length: int
    chat_template: str | None
    """Jinja source from the header; None marks a base model."""
    bos: str
    """The token that begins a text, as a template writes it; empty for none."""
    eos: str
    device: str
    """``CPU``, or the name of the GPU that holds layers."""
    threads: int
    engine_build: str
    """Version of binding and llama.cpp that computed."""
    load_seconds: float
    confinement: str
    """What the operating system enforces on the worker, in words; ``not confined`` where nothing."""


class Segment(_Value, frozen=True):
    """A run of prompt text. Control tokens are recognised only where ``special`` is True, so text
    that came from a person or a document can never close its own turn."""

    text: str
    special: bool = False


class Sampling(_Value, frozen=True):
    """llama.cpp's sampler chain in the order penalties, top-k, top-p, min-p, temperature."""

    temperature: float = 0.8
    """0 takes the likeliest token."""
    top_k: int = 40
    """0 turns it off."""
    top_p: float = 0.95
    """1 turns it off."""
    min_p: float = 0.05
    """0 turns it off."""
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0
    """32 bits; the app draws it, so that the answer's record can name it."""
    grammar: str = ""
    """GBNF; empty: none."""
    json_schema: str = ""
    """A JSON Schema that the answer obeys; empty: none. Excludes ``grammar``. Lengths have bounds also
    where the schema sets none, and a keyword that cannot be promised is refused (``worker/schema.py``)."""


class SnapshotFile(_Value, frozen=True):
    """An evaluated conversation on disk."""

    path: str
    key: bytes
    """32 bytes that serve this file alone."""


class Usage(_Value, frozen=True):
    """What one generation cost."""

    prompt_tokens: int
    reused_tokens: int
    """Prompt tokens found in the cache and not evaluated again."""
    output_tokens: int
    first_token_seconds: float
    """From arrival in the worker to the first token sampled."""
    generation_seconds: float
    """From the first token to the last."""


class Device(_Value, frozen=True):
    """A device that llama.cpp can compute on."""

    name: str
    description: str
    kind: Literal["cpu", "gpu", "accelerator"]
    memory_total: int
    memory_free: int


# ---------------------------------------------------------------- app → worker


class Hello(_Message, frozen=True):
    """First line of either side; the worker answers with `Ready`."""

    version: int = VERSION


class Load(_Message, frozen=True):
    """Load the one model of this worker; `Loading`\\* then `Loaded`, or `Failed`."""

    id: int
    path: str
    """The GGUF file, or the first part of a split one."""
    files: list[str]
    """All parts; from here on the worker can read nothing else, but for its own snapshots."""
    sha256: str = ""
    """Hash of the model, which snapshots are bound to; empty: none are read or written."""
    settings: LoadSettings = LoadSettings()
    cores: int = 0
    """Threads to compute with at most, unless the settings name a number; 0: one per physical core."""


class Unload(_Message, frozen=True):
    """End the worker after its live requests are cancelled; the process exits with 0."""


class Generate(_Message, frozen=True):
    """Continue ``prompt``; `Accepted`, `Progress`\\*, `Text`\\*, then `Done` or `Failed`."""

    id: int
    prompt: list[Segment]
    sampling: Sampling = Sampling()
    max_tokens: int = 0
    """0: until the context is full."""
    reserve: int = 1
    """Tokens of context that must be left for the answer, else `Failed` (``context_overflow``)."""
    stop: list[str] = []
    slot: str = ""
    """Requests of one conversation share a slot: what is cached of one serves the next."""
    background: bool = False
    """True gives way to requests that a person waits for."""
    group: str = ""
    """Background requests of one task: they begin alike (its instructions), which is evaluated once and kept
    for the task's next run, and groups take turns."""
    deterministic: bool = False
    """The same request gives the same bits: it has the engine to itself, an empty cache, and a fixed
    number of threads and slices of its prompt. Slower."""
    snapshot: SnapshotFile | None = None
    """Where the slot's evaluated beginning lies, should the worker not hold it."""


class CountTokens(_Message, frozen=True):
    """Count the tokens of ``prompt``; `Counted`."""

    id: int
    prompt: list[Segment]


class Embed(_Message, frozen=True):
    """Embed each text; `Embedded`. Needs ``LoadSettings.embedding``."""

    id: int
    texts: list[str]


class Score(_Message, frozen=True):
    """How likely is each of ``labels`` as the answer to ``prompt``?

    `Accepted`, `Progress`\\*, then `Scored`, `Done` (``cancelled``) or `Failed`.
    """

    id: int
    prompt: list[Segment]
    labels: list[str]
    """Plain texts of any token lengths, each another one."""
    whole: bool = True
    """The answer is the label and then ends, so that "A" does not collect what belongs to "A1". False:
    the answer begins with the label."""
    slot: str = ""
    background: bool = False
    group: str = ""
    deterministic: bool = False


class Cancel(_Message, frozen=True):
    """Stop the request ``id`` within 100 ms; it ends with `Done` (``cancelled``)."""

    id: int


class Snapshot(_Message, frozen=True):
    """Write what is evaluated of an idle slot to ``file``, where that pays; `Saved`."""

    id: int
    slot: str
    file: SnapshotFile


class Forget(_Message, frozen=True):
    """Drop what is held in memory for a slot: its conversation is erased."""

    slot: str


class Cores(_Message, frozen=True):
    """Compute with at most ``count`` threads from the next step on, whatever is under way.

    A number of threads that the settings name, and that of deterministic requests, stays as it is.
    """

    count: int


class Stats(_Message, frozen=True):
    """Ask for `Statistics`."""

    id: int


Request = (
    Hello
    | Load
    | Unload
    | Generate
    | Score
    | CountTokens
    | Embed
    | Cancel
    | Snapshot
    | Forget
    | Cores
    | Stats
)


# ---------------------------------------------------------------- worker → app


class Ready(_Message, frozen=True):
    """The worker runs; nothing is loaded."""

    engine_build: str
    system_info: str
    """llama.cpp's list of CPU features."""
    devices: list[Device]
    confinement: str
    notice: str = ""
    """What of the engine could not be used, and why, in one line; empty where all is well."""
    version: int = VERSION


class Loading(_Message, frozen=True):
    """``fraction`` of the model is loaded, 0 to 1."""

    id: int
    fraction: float


class Loaded(_Message, frozen=True):
    """The model is ready."""

    id: int
    model: ModelInfo


class Accepted(_Message, frozen=True):
    """The request is in the queue; its prompt has ``prompt_tokens`` of which ``reused`` are cached."""

    id: int
    prompt_tokens: int
    reused_tokens: int


class Progress(_Message, frozen=True):
    """``done`` of ``total`` prompt tokens are evaluated."""

    id: int
    done: int
    total: int


class Text(_Message, frozen=True):
    """More of the answer: whole characters only, stop strings held back."""

    id: int
    text: str
    tokens: int
    """Tokens generated so far."""


class Done(_Message, frozen=True):
    """The generation ended."""

    id: int
    reason: StopReason
    usage: Usage
    incomplete: bool = False
    """True: a grammar or JSON schema was asked for and the answer ends before it is whole (cut off by
    ``max_tokens``, the context or a stop). It is no answer."""


class Counted(_Message, frozen=True):
    """Answer to `CountTokens`."""

    id: int
    tokens: int


class Embedded(_Message, frozen=True):
    """Answer to `Embed`: ``vectors`` are ``len(texts)`` × ``dimensions`` float32, normalised to length 1."""

    id: int
    dimensions: int
    vectors: bytes
    tokens: int


class Scored(_Message, frozen=True):
    """Answer to `Score`: natural logarithms of the probabilities, in the order of the labels."""

    id: int
    log_probabilities: list[float]
    usage: Usage


class Saved(_Message, frozen=True):
    """Answer to `Snapshot`: the file has ``size`` bytes; 0 when none was written."""

    id: int
    size: int
    tokens: int


class Statistics(_Message, frozen=True):
    """State of the worker at this moment."""

    id: int
    resident_memory: int
    context_length: int
    cells_used: int
    """Tokens held in the KV cache, idle conversations included."""
    parked_bytes: int
    """Memory of conversations that were moved out of the cache."""
    active: int
    waiting: int
    idle_slots: int
    tokens_evaluated: int
    tokens_generated: int
    tokens_reused: int
    threads: int = 0
    """That computed the last step."""


class Failed(_Message, frozen=True):
    """The request ``id`` cannot be done; the worker lives on."""

    id: int
    code: Literal["load", "context_overflow", "bad_request", "internal"]
    message: str
    needed: int = 0
    """With ``context_overflow``: tokens of the prompt."""
    available: int = 0
    """With ``context_overflow``: tokens of context."""


Event = (
    Ready
    | Loading
    | Loaded
    | Accepted
    | Progress
    | Text
    | Done
    | Counted
    | Embedded
    | Scored
    | Saved
    | Statistics
    | Failed
)

_encoder = msgspec.json.Encoder()
_request_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(message: Request | Event) -> bytes:
    """``message`` as one line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """The request in ``line``; raise `ProtocolError` for anything else."""
    return _decode(_request_decoder, line)


def decode_event(line: bytes) -> Event:
    """The event in ``line``; raise `ProtocolError` for anything else."""
    return _decode(_event_decoder, line)


def _decode(decoder: msgspec.json.Decoder[_T], line: bytes) -> _T:
    if len(line) > MAX_LINE:
        raise ProtocolError(f"a line of {len(line)} bytes; at most {MAX_LINE} are allowed")
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"not a message of protocol {VERSION}: {error}") from error

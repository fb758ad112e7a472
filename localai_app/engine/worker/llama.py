"""llama.cpp's low-level API as Python objects: one model, one context, one batch.

The only module that touches ctypes pointers. What it promises beyond the binding: batch arrays are
never written past their end, callbacks live as long as they may be called, NULL becomes an error.
Facts that it relies on (llama-cpp-python 0.3.36) stand beside the code that needs them.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import llama_cpp.llama_cpp as C  # noqa: N812 - C is the library
import numpy as np
import numpy.ctypeslib  # loaded lazily otherwise, when nothing can be read any more
from numpy.typing import NDArray

from localai_app.engine.protocol import ENGINE_PACK, Device, LoadSettings
from localai_app.engine.worker import library
from localai_app.engine.worker.drafting import MAX_DRAFT

Logits = NDArray[np.float32]

_KV_TYPES = {"f16": C.GGML_TYPE_F16, "q8_0": C.GGML_TYPE_Q8_0, "q4_0": C.GGML_TYPE_Q4_0}
_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
_DEVICE_KINDS: dict[int, Literal["cpu", "gpu", "accelerator"]] = {0: "cpu", 1: "gpu", 2: "gpu"}
_LOG_LEVEL_WARN = 3


class LlamaError(Exception):
    """llama.cpp refused; the message says why, as far as it told."""


class Aborted(Exception):
    """The abort callback ended a decode; what of the batch was evaluated is undefined."""


class NoRoom(Exception):
    """The KV cache has no room for the batch; nothing was evaluated."""


class Entry(NamedTuple):
    """One token of a batch."""

    token: int
    position: int
    sequence: int
    wants_logits: bool


# ---------------------------------------------------------------- library


class _Log:
    """Receives llama.cpp's log: warnings go to stderr, the last errors are kept to explain a failure."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._level = 0
        # Referenced for the life of the process: the library calls it from any thread.
        self._callback = C.llama_log_callback(self._receive)
        C.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _receive(self, level: int, text: bytes, _data: object) -> None:
        if level != 5:  # 5 continues the previous line
            self._level = level
        if self._level < _LOG_LEVEL_WARN:
            return
        line = text.decode("utf-8", "replace").rstrip()
        # An abort that we asked for is reported as a failed graph; that is no reason for anything.
        if line and "graph_compute_async failed" not in line:
            sys.stderr.write(line + "\n")  # the app keeps the last lines, in memory only
            self.errors = [*self.errors[-7:], line]

    def take_errors(self) -> str:
        """The last lines since the last call, the telling one first."""
        lines, self.errors = self.errors, []
        telling = [line.split(": ", 1)[-1] for line in lines if "error" in line or "failed" in line]
        return (telling or lines or ["llama.cpp gave no reason"])[0]


def start_library() -> None:
    """Initialise llama.cpp once per process."""
    global _log, _parts  # noqa: PLW0603 - one library, one log
    if _log is None:
        _log = _Log()
        _parts = library.load()
        C.llama_backend_init()


_log: _Log | None = None
_parts = library.Parts()


def _last_errors() -> str:
    return _log.take_errors() if _log else ""


def engine_build() -> str:
    """Versions of the binding and of llama.cpp, and what of an engine with several parts computes."""
    import llama_cpp  # noqa: PLC0415 - for its version only

    build = f"llama-cpp-python {llama_cpp.__version__}, llama.cpp {C.llama_version().decode()}"
    if pack := os.environ.get(ENGINE_PACK):
        build += f", engine pack {pack}"
    return f"{build}, CPU variant {_parts.variant}" if _parts.variant else build


def notice() -> str:
    """What of the engine could not be used, and why; empty where all is well."""
    return _parts.notice


def system_info() -> str:
    """CPU features that this build uses, as llama.cpp lists them."""
    return str(C.llama_print_system_info().decode())


def devices() -> list[Device]:
    """Devices that ggml can compute on."""
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    count = library.function("ggml_backend_dev_count", size)
    get = library.function("ggml_backend_dev_get", pointer, size)
    name = library.function("ggml_backend_dev_name", ctypes.c_char_p, pointer)
    description = library.function("ggml_backend_dev_description", ctypes.c_char_p, pointer)
    kind = library.function("ggml_backend_dev_type", ctypes.c_int, pointer)
    memory = library.function("ggml_backend_dev_memory", None, pointer, *[ctypes.POINTER(size)] * 2)
    found = []
    for index in range(count()):
        device = get(index)
        free, total = size(), size()
        memory(device, ctypes.byref(free), ctypes.byref(total))
        found.append(
            Device(
                name=name(device).decode("utf-8", "replace"),
                description=description(device).decode("utf-8", "replace"),
                kind=_DEVICE_KINDS.get(kind(device), "accelerator"),
                memory_total=total.value,
                memory_free=free.value,
            )
        )
    return found


def _has_gpu() -> bool:
    return any(device.kind == "gpu" for device in devices())


# ---------------------------------------------------------------- vocabulary


class Vocabulary:
    """Text to tokens and back."""

    def __init__(self, pointer: object) -> None:
        self.pointer = pointer
        self.size: int = C.llama_vocab_n_tokens(pointer)
        self.bos: int = C.llama_vocab_bos(pointer)
        self.eos: int = C.llama_vocab_eos(pointer)
        self.adds_bos: bool = C.llama_vocab_get_add_bos(pointer)
        self._pieces: dict[int, bytes] = {}
        self._buffer = ctypes.create_string_buffer(512)

    def text(self, token: int) -> str:
        """The token's own text, as a template writes it; empty for no token."""
        if token < 0:
            return ""
        return str((C.llama_vocab_get_text(self.pointer, token) or b"").decode("utf-8", "replace"))

    def control_texts(self) -> dict[str, int]:
        """Every control token's text and id: what can open or close a turn."""
        attributes = C.LLAMA_TOKEN_ATTR_CONTROL | C.LLAMA_TOKEN_ATTR_UNKNOWN
        return {
            self.text(token): token
            for token in range(self.size)
            if C.llama_vocab_get_attr(self.pointer, token) & attributes and self.text(token)
        }

    def ends_generation(self, token: int) -> bool:
        """Whether ``token`` closes the model's turn."""
        return bool(C.llama_vocab_is_eog(self.pointer, token))

    @cached_property
    def ending_tokens(self) -> list[int]:
        """Every token that closes the model's turn."""
        return [token for token in range(self.size) if self.ends_generation(token)]

    def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        """Tokens of ``text``; control tokens written in it stay text.

        ``add_special`` adds what the model wants around a whole text, such as [CLS] and [SEP].
        """
        data = text.encode("utf-8", "replace")
        capacity = len(data) + 8
        while True:
            tokens = (C.llama_token * capacity)()
            count = C.llama_tokenize(self.pointer, data, len(data), tokens, capacity, add_special, False)
            if count >= 0:
                return [int(token) for token in tokens[:count]]
            if -count <= capacity:
                raise LlamaError("the text is too long to tokenise")
            capacity = -count

    def piece(self, token: int) -> bytes:
        """Bytes of ``token`` in running text; empty for a control token."""
        piece = self._pieces.get(token)
        if piece is None:
            length = C.llama_token_to_piece(self.pointer, token, self._buffer, 512, 0, False)
            if length < 0:
                larger = ctypes.create_string_buffer(-length)
                length = C.llama_token_to_piece(self.pointer, token, larger, -length, 0, False)
                piece = larger.raw[: max(length, 0)]
            else:
                piece = self._buffer.raw[:length]
            self._pieces[token] = piece
        return piece


# ---------------------------------------------------------------- model and context


class Model:
    """A GGUF model in memory."""

    def __init__(self, path: Path, settings: LoadSettings, on_progress: Callable[[float], None]) -> None:
        """Load; raise `LlamaError` when llama.cpp refuses the file."""
        start_library()
        _last_errors()
        parameters = C.llama_model_default_params()
        parameters.n_gpu_layers = settings.gpu_layers
        parameters.check_tensors = False  # hashes say more; NaN scans cost seconds per load

        def progress(fraction: float, _data: object) -> bool:
            on_progress(fraction)
            return True

        self._progress = C.llama_progress_callback(progress)
        parameters.progress_callback = self._progress
        self.pointer = C.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.pointer:
            raise LlamaError(_last_errors())
        self.vocabulary = Vocabulary(C.llama_model_get_vocab(self.pointer))

    @property
    def layers(self) -> int:
        """Number of layers."""
        return int(C.llama_model_n_layer(self.pointer))

    @property
    def trained_context_length(self) -> int:
        """Tokens of context that the model was trained on."""
        return int(C.llama_model_n_ctx_train(self.pointer))

    @property
    def embedding_length(self) -> int:
        """Width of an embedding."""
        return int(C.llama_model_n_embd(self.pointer))

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return int(C.llama_model_n_params(self.pointer))

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return int(C.llama_model_size(self.pointer))

    @property
    def description(self) -> str:
        """llama.cpp's line, such as ``llama 135M Q4_1``."""
        buffer = ctypes.create_string_buffer(256)
        C.llama_model_desc(self.pointer, buffer, 256)
        return buffer.value.decode("utf-8", "replace")

    @property
    def chat_template(self) -> str | None:
        """Jinja source, or None for a base model."""
        template = C.llama_model_chat_template(self.pointer, None)
        return template.decode("utf-8", "replace") if template else None

    def metadata(self, key: str) -> str:
        """A header value as text; empty when the header has none."""
        buffer = ctypes.create_string_buffer(1024)
        length = C.llama_model_meta_val_str(self.pointer, key.encode(), buffer, 1024)
        return buffer.value.decode("utf-8", "replace") if length >= 0 else ""


class Context:
    """The KV cache and the means to evaluate tokens against it; used by one thread only."""

    def __init__(
        self,
        model: Model,
        settings: LoadSettings,
        *,
        threads: int,
        should_abort: Callable[[], bool],
    ) -> None:
        """Allocate; raise `LlamaError` when memory does not suffice."""
        trained = model.trained_context_length
        # What attends to all of a text at once needs memory for the square of its length.
        usual = DEFAULT_TEXT if settings.embedding else DEFAULT_CONTEXT
        wanted = settings.context_length or min(trained, usual)
        parameters = C.llama_context_default_params()
        # A context longer than the model's own gives garbage without rope scaling.
        parameters.n_ctx = min(wanted, trained) if trained > 0 else wanted
        parameters.n_threads = parameters.n_threads_batch = self._threads = threads
        parameters.flash_attn_type = _FLASH_ATTENTION[settings.flash_attention]
        parameters.type_k = parameters.type_v = _KV_TYPES[settings.kv_type]
        # A partial removal from a small sliding-window cache answers True and is wrong; the full-size
        # cache is right.
        parameters.swa_full = True
        parameters.no_perf = True
        if settings.embedding:
            text_length = parameters.n_ctx
            # A text lies in one micro-batch, since its first tokens see its last ones. That must be a
            # multiple of the sequences: llama.cpp aborts the process otherwise.
            batch = max(text_length, TEXT_BATCHES[settings.gpu_layers != 0 and _has_gpu()][-1])
            batch = -(-batch // TEXT_SEQUENCES) * TEXT_SEQUENCES
            parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = batch
            parameters.n_seq_max = TEXT_SEQUENCES
            parameters.kv_unified = True
            parameters.embeddings = True
        else:
            parameters.n_batch = parameters.n_ubatch = min(MAX_BATCH, parameters.n_ctx)
            parameters.n_seq_max = settings.sequences
            # All sequences share one pool of cells, so that a single chat may use all of it.
            parameters.kv_unified = True
            # The default reserves logits for a whole batch: 514 MB for a 262k vocabulary.
            parameters.n_outputs_max = max(settings.sequences, 1 + MAX_DRAFT)
            parameters.n_outputs_max_per_seq = 1 + MAX_DRAFT
        _last_errors()
        self.pointer = C.llama_init_from_model(model.pointer, parameters)
        if not self.pointer:
            raise LlamaError(_last_errors())
        self.length: int = text_length if settings.embedding else C.llama_n_ctx(self.pointer)
        self.batch_size: int = C.llama_n_batch(self.pointer)
        self.sequences: int = C.llama_n_seq_max(self.pointer)
        self._vocabulary_size = model.vocabulary.size
        self._pooling = C.llama_pooling_type(self.pointer)
        self.embedding_length: int = C.llama_model_n_embd_out(model.pointer)
        self._memory = C.llama_get_memory(self.pointer)
        self._recurrent = bool(
            C.llama_model_is_recurrent(model.pointer) or C.llama_model_is_hybrid(model.pointer)
        )
        self._window: int = C.llama_model_n_swa(model.pointer)
        self._may_abort = True
        self._batch = C.llama_batch_init(self.batch_size, 0, 1)
        self._abort = C.ggml_abort_callback(lambda _data: self._may_abort and should_abort())
        C.llama_set_abort_callback(self.pointer, self._abort, None)

    @property
    def drops_parts(self) -> bool:
        """Whether the last tokens of a sequence can be dropped and the rest kept."""
        return not self._recurrent

    @property
    def threads(self) -> int:
        """With how many the next step is computed."""
        return self._threads

    def use_threads(self, count: int) -> None:
        """Compute the next steps with ``count`` threads."""
        if count != self._threads:
            C.llama_set_n_threads(self.pointer, count, count)
            self._threads = count

    def decode(self, entries: Sequence[Entry]) -> None:
        """Evaluate ``entries``; raise `NoRoom`, `Aborted` or `LlamaError`.

        After success, row i of the logits belongs to ``entries[i]``.
        """
        assert 0 < len(entries) <= self.batch_size, "llama.cpp aborts on an empty or oversized batch"
        batch = self._batch
        for index, entry in enumerate(entries):
            batch.token[index] = entry.token
            batch.pos[index] = entry.position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = entry.sequence
            batch.logits[index] = entry.wants_logits
        batch.n_tokens = len(entries)
        # A recurrent state that is half-way cannot be taken back: ending one token's step early would
        # cost the whole conversation.
        self._may_abort = not self._recurrent or len(entries) > self.sequences
        status = C.llama_decode(self.pointer, batch)
        if status == 0:
            return
        if status == 1:
            raise NoRoom
        if self._recurrent and any(entry.sequence != entries[0].sequence for entry in entries):
            # llama.cpp lays the states of a batch side by side, and those of others move out of the
            # way: where it stopped half-way, any of them may be another's.
            C.llama_memory_clear(self._memory, False)
        if status == 2:
            raise Aborted
        raise LlamaError(f"decoding failed ({status}): {_last_errors()}")

    def logits(self, row: int) -> Logits:
        """A copy of the logits of batch entry ``row``; vocabulary-size float32."""
        pointer = C.llama_get_logits_ith(self.pointer, row)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary_size,)).copy()

    def log_probabilities(
        self, row: int, tokens: Sequence[int], together: Sequence[int]
    ) -> tuple[list[float], float]:
        """Natural logarithms of the probabilities of each of ``tokens`` after batch entry ``row``, and
        of any one of ``together`` (minus infinity for none of them)."""
        logits = self.logits(row)
        highest = float(logits.max())
        rest = highest + float(np.log(np.exp(logits - highest).sum(dtype=np.float64)))
        each = [float(logits[token]) - rest for token in tokens]
        ends = [float(logits[token]) - rest for token in together]
        return each, float(np.logaddexp.reduce(ends)) if ends else -np.inf

    @property
    def ranks(self) -> bool:
        """Whether the model gives a score for a pair of texts instead of a vector for one."""
        return bool(self._pooling == C.LLAMA_POOLING_TYPE_RANK)

    @property
    def text_batches(self) -> list[int]:
        """Numbers of tokens in one decode that may pay when texts are embedded."""
        return [size for size in TEXT_BATCHES[True] if size <= self.batch_size]

    def embedding(self, sequence: int, row: int) -> Logits:
        """The embedding of ``sequence``, whose last token is batch entry ``row``; embedding-length float32.

        Pooled as the model says, not normalised. Where it says nothing, the last token speaks for the text.
        """
        if self._pooling == C.LLAMA_POOLING_TYPE_NONE:
            pointer = C.llama_get_embeddings_ith(self.pointer, row)
        else:
            pointer = C.llama_get_embeddings_seq(self.pointer, sequence)
        if not pointer:
            raise LlamaError("this model gives no embeddings")
        return np.ctypeslib.as_array(pointer, shape=(self.embedding_length,)).copy()

    def clear(self) -> None:
        """Empty all sequences; a model that only reads keeps nothing anyway."""
        if self._memory:
            C.llama_memory_clear(self._memory, False)

    def keep(self, sequence: int, length: int) -> int:
        """Drop all of ``sequence`` but its first ``length`` tokens; how many are really left.

        Recurrent and hybrid models cannot drop a part: they drop all. So does a model with a sliding
        window whose next token would look at cells that are gone: llama.cpp saves only a window of
        them, and writes over older ones.
        """
        before = C.llama_memory_seq_pos_max(self._memory, sequence)
        if length > 0 and C.llama_memory_seq_rm(self._memory, sequence, length, -1):
            low = C.llama_memory_seq_pos_min(self._memory, sequence)
            high = C.llama_memory_seq_pos_max(self._memory, sequence)
            seen = max(length + 1 - self._window, 0) if self._window else 0
            if high == length - 1 and (before == high or low <= seen):
                return length
        C.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        return 0

    def share(self, source: int, target: int, length: int) -> int:
        """Let ``target`` (empty) begin with the first ``length`` tokens of ``source``; how many it has."""
        # The whole of it: some caches abort the process when asked for a part.
        C.llama_memory_seq_cp(self._memory, source, target, -1, -1)
        return self.keep(target, length)

    def save(self, sequence: int) -> bytes:
        """The cells of ``sequence`` as bytes; see `load`."""
        return self._state(sequence, C.LLAMA_STATE_SEQ_FLAGS_NONE)

    def load(self, sequence: int, cells: bytes) -> bool:
        """Put cells that `save` gave into the empty ``sequence``; False when they do not fit."""
        data = ctypes.cast(ctypes.c_char_p(cells), ctypes.POINTER(ctypes.c_uint8))
        if C.llama_state_seq_set_data(self.pointer, data, len(cells), sequence) > 0:
            return True
        self.keep(sequence, 0)
        return False

    def checkpoint(self, sequence: int) -> bytes:
        """The recurrent state of ``sequence`` as bytes; see `rewind`. Attention's cells are not in it."""
        return self._state(sequence, C.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY)

    def rewind(self, sequence: int, length: int, state: bytes) -> bool:
        """Go back to the checkpoint that ``sequence`` made at ``length`` tokens; False leaves it empty."""
        data = ctypes.cast(ctypes.c_char_p(state), ctypes.POINTER(ctypes.c_uint8))
        flags = C.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
        # The state first: attention gives up its end only when the recurrent part stands before it.
        if C.llama_state_seq_set_data_ext(self.pointer, data, len(state), sequence, flags) > 0:
            return self.keep(sequence, length) == length
        self.keep(sequence, 0)
        return False

    def _state(self, sequence: int, flags: int) -> bytes:
        size = C.llama_state_seq_get_size_ext(self.pointer, sequence, flags)
        buffer = bytearray(size)
        array = (ctypes.c_uint8 * size).from_buffer(buffer)
        written = C.llama_state_seq_get_data_ext(self.pointer, array, size, sequence, flags)
        del array
        return bytes(memoryview(buffer)[:written])


DEFAULT_CONTEXT = 8192
MAX_BATCH = 512
DEFAULT_TEXT = 2048
"""Tokens of a text to be embedded, where the model reads more and nothing else is set."""
TEXT_SEQUENCES = 32
"""Texts in one decode at most."""
TEXT_BATCHES = {False: (512,), True: (512, 4096)}
"""Tokens in one decode of several texts, without and with a GPU: what is worth a trial."""

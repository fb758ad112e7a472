"""A scripted engine for tests: answers in milliseconds, keeps what it was asked."""

import contextlib
import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localai_app.engine.client import GenerationEvent, PromptMessage
from localai_app.engine.protocol import (
    Accepted,
    Device,
    Done,
    LoadSettings,
    ModelInfo,
    Progress,
    Ready,
    Sampling,
    Segment,
    SnapshotFile,
    Statistics,
    StopReason,
    Text,
    Usage,
)
from localai_app.errors import ContextOverflow, EngineError, EngineExited, ModelNotFound, RequestFailed
from localai_app.models import gguf

FAKE_GGUF = b"".join(
    [
        *(b"GGUF", struct.pack("<IQQ", 3, 0, 4)),
        *(struct.pack("<Q", 20), b"general.architecture", struct.pack("<IQ", 8, 4), b"fake"),
        *(struct.pack("<Q", 16), b"fake.block_count", struct.pack("<II", 4, 1)),
        *(struct.pack("<Q", 19), b"fake.context_length", struct.pack("<II", 4, 0)),
        *(struct.pack("<Q", 21), b"fake.embedding_length", struct.pack("<II", 4, 8)),
    ]
)
"""A model file that has a header and no tensors."""
FAKE_HEADER = gguf.read_header(io.BytesIO(FAKE_GGUF))
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


@dataclass
class Asked:
    """One call of `FakeEngine.generate`."""

    prompt: list[Segment]
    sampling: Sampling
    max_tokens: int
    slot: str
    deterministic: bool
    stop: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The rendered prompt."""
        return "".join(segment.text for segment in self.prompt)


@dataclass
class FakeEngine:
    """Says ``pieces`` to every question; a word is a token.

    ``gate`` (when set) is waited for before each piece: a test decides when the next one comes.
    ``fail_after`` raises ``failure`` after that many pieces. ``context_length`` is in words.
    """

    pieces: Sequence[str] = ("Yes", ".")
    reason: StopReason = "end"
    context_length: int = 8192
    chat_template: str | None = TEMPLATE
    gate: threading.Semaphore | None = None
    fail_after: int | None = None
    failure: EngineError = field(
        default_factory=lambda: EngineExited("The engine stopped: killed.", "It starts again.")
    )
    asked: list[Asked] = field(default_factory=list)
    loads: list[Path] = field(default_factory=list)
    settings: LoadSettings = LoadSettings()
    model: ModelInfo | None = None
    sha256: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    saves: bool = False
    forgotten: list[str] = field(default_factory=list)
    embedded: list[list[str]] = field(default_factory=list)
    """Texts of each call of `embed`."""
    uses: int = 0
    holders: int = 0
    notice: str = ""

    @property
    def in_use(self) -> bool:
        return self.holders > 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        self.uses += 1
        self.holders += 1
        try:
            yield
        finally:
            self.uses += 1
            self.holders -= 1

    def rest(self, uses: int) -> bool:
        if self.model is None or self.in_use or uses != self.uses:
            return False
        self.unload()
        return True

    def make_room(self, weights: int) -> bool:
        return weights >= 0

    def probe(self) -> Ready:
        return Ready(engine_build="fake 1", system_info="none", devices=[], confinement="not confined")

    def devices(self) -> list[Device]:
        return [device for device in self.probe().devices if device.kind != "cpu"]

    def load(
        self,
        path: Path,
        settings: LoadSettings = LoadSettings(),
        on_progress: Callable[[float], None] | None = None,
        *,
        sha256: str = "",
    ) -> ModelInfo:
        if not path.is_file():
            raise ModelNotFound(f"The model file {path.name} is not there.", "Choose another model.")
        self.uses += 1
        self.settings = settings
        if self.model is None or (self.model.path, self.sha256) != (str(path), sha256):
            self.sha256 = sha256
            self.loads.append(path)
            for fraction in (0.0, 0.5, 1.0):
                if on_progress:
                    on_progress(fraction)
        self.model = ModelInfo(
            path=str(path),
            name="Fake",
            architecture="fake",
            description="fake 1M",
            parameters=1_000_000,
            size=1_000_000,
            vocabulary=100,
            embedding_length=8,
            layers=1,
            context_length=min(settings.context_length or self.context_length, self.context_length),
            trained_context_length=self.context_length,
            chat_template=self.chat_template,
            bos="",
            eos="",
            device="CPU",
            threads=1,
            engine_build="fake 1",
            load_seconds=0.0,
            confinement="not confined",
        )
        return self.model

    def render(self, messages: Sequence[PromptMessage], *, continue_last: bool = False) -> list[Segment]:
        if self.chat_template is None:
            return [Segment(text="\n\n".join(message.content for message in messages))]
        segments = []
        for message in messages:
            segments += [Segment(text=f"{message.role}: ", special=True), Segment(text=message.content)]
            segments.append(Segment(text="\n", special=True))
        return segments[:-1] if continue_last else [*segments, Segment(text="assistant: ", special=True)]

    def count(self, prompt: Sequence[Segment]) -> int:
        return sum(len(segment.text.split()) for segment in prompt)

    def generate(
        self,
        prompt: Sequence[Segment],
        sampling: Sampling,
        *,
        max_tokens: int = 0,
        reserve: int = 1,
        stop: Sequence[str] = (),
        slot: str = "",
        background: bool = False,
        group: str = "",
        deterministic: bool = False,
        snapshot: SnapshotFile | None = None,
    ) -> "FakeGeneration":
        del background, group, snapshot
        if self.model is None:
            raise EngineExited("No model is loaded.", "Choose a model.")
        self.asked.append(Asked(list(prompt), sampling, max_tokens, slot, deterministic, tuple(stop)))
        return FakeGeneration(self, self.count(prompt), reserve)

    def score(
        self,
        prompt: Sequence[Segment],
        labels: Sequence[str],
        *,
        whole: bool = True,
        slot: str = "",
        background: bool = False,
        group: str = "",
        deterministic: bool = False,
        stop: threading.Event | None = None,
        on_usage: Callable[[Usage], None] | None = None,
    ) -> list[float]:
        """What ``scores`` says of each label; a label it does not name is unlikely."""
        del whole, background, group
        if self.model is None:
            raise EngineExited("No model is loaded.", "Choose a model.")
        if stop is not None and stop.is_set():
            raise RequestFailed("The request was stopped.")
        self.asked.append(Asked(list(prompt), Sampling(), 0, slot, deterministic))
        if on_usage:
            on_usage(Usage(self.count(prompt), 0, 0, 0.01, 0.0))
        return [self.scores.get(label, -20.0) for label in labels]

    def embed(
        self, texts: Sequence[str], *, background: bool = False, stop: threading.Event | None = None
    ) -> Any:
        """Texts that share words are alike: each word has its place among 64."""
        import numpy as np

        del background
        if self.model is None:
            raise EngineExited("No model is loaded.", "Choose a model.")
        if stop is not None and stop.is_set():
            raise RequestFailed("The request was stopped.")
        self.embedded.append(list(texts))
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in enumerate(texts):
            if len(text.split()) > self.context_length:
                raise ContextOverflow("too long", needed=len(text.split()), available=self.context_length)
            for word in text.lower().split():
                vectors[row, zlib.crc32(word.encode()) % 64] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def save_snapshot(self, slot: str, file: SnapshotFile) -> int:
        """Write ``slot`` itself, if ``saves`` says so."""
        if not self.saves:
            return 0
        return Path(file.path).write_bytes(slot.encode())

    def forget(self, slot: str) -> None:
        self.forgotten.append(slot)

    def statistics(self) -> Statistics:
        return Statistics(
            id=0,
            resident_memory=0,
            context_length=self.context_length,
            cells_used=0,
            parked_bytes=0,
            active=0,
            waiting=0,
            idle_slots=0,
            tokens_evaluated=0,
            tokens_generated=0,
            tokens_reused=0,
        )

    def unload(self) -> None:
        self.model = None

    def close(self) -> None:
        self.model = None


class FakeGeneration:
    """One scripted answer."""

    def __init__(self, engine: FakeEngine, prompt_tokens: int, reserve: int) -> None:
        self._engine = engine
        self.pieces = engine.pieces
        self._prompt_tokens = prompt_tokens
        self._reserve = reserve
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[GenerationEvent]:
        engine, prompt = self._engine, self._prompt_tokens
        if prompt + self._reserve > engine.context_length:
            raise ContextOverflow("too long", needed=prompt + self._reserve, available=engine.context_length)
        yield Accepted(id=1, prompt_tokens=prompt, reused_tokens=0)
        yield Progress(id=1, done=prompt, total=prompt)
        said = 0
        for piece in self.pieces:
            if engine.gate:
                engine.gate.acquire()
            if self._cancelled.is_set():
                break
            if said == engine.fail_after:
                engine.model = None
                raise engine.failure
            said += 1
            yield Text(id=1, text=piece, tokens=said)
        if said == engine.fail_after and not self._cancelled.is_set():
            engine.model = None
            raise engine.failure
        usage = Usage(
            prompt_tokens=prompt,
            reused_tokens=0,
            output_tokens=said,
            first_token_seconds=0.01,
            generation_seconds=0.01 * max(said - 1, 0),
        )
        yield Done(id=1, reason="cancelled" if self._cancelled.is_set() else engine.reason, usage=usage)

    def cancel(self) -> None:
        self._cancelled.set()
        if self._engine.gate:
            self._engine.gate.release()

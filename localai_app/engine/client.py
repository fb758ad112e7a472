"""The app's side of the engine: what a worker can do, whoever computes behind it.

`Engine` is the interface that services use; `WorkerEngine` fulfils it with a child process. The
client speaks the protocol and knows nothing of llama.cpp, so that an organisation's own server can
stand behind the same interface.
"""

import contextlib
import itertools
import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from localai_app.engine.protocol import (
    VERSION,
    Accepted,
    Cancel,
    Counted,
    CountTokens,
    Done,
    Embed,
    Embedded,
    Event,
    Failed,
    Forget,
    Generate,
    Hello,
    Load,
    Loaded,
    Loading,
    LoadSettings,
    ModelInfo,
    Progress,
    ProtocolError,
    Ready,
    Request,
    Sampling,
    Saved,
    Score,
    Scored,
    Segment,
    Snapshot,
    SnapshotFile,
    Statistics,
    Stats,
    Text,
    Unload,
    decode_event,
    encode,
)
from localai_app.engine.template import PromptMessage, TemplateRenderer
from localai_app.errors import (
    ContextOverflow,
    EngineError,
    EngineExited,
    ModelLoadFailed,
    ModelNotFound,
    RequestFailed,
)
from localai_app.processes import Child, start_child
from localai_app.sandbox import Confinement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Engine", "Generation", "GenerationEvent", "PromptMessage", "WorkerEngine", "distribution"]

GenerationEvent = Accepted | Progress | Text | Done


class Generation(Protocol):
    """A running request. Iterate in one thread; the last event is `Done`."""

    def __iter__(self) -> Iterator[GenerationEvent]:
        """Events as they come; raise `EngineExited`, `ContextOverflow` or `RequestFailed`."""

    def cancel(self) -> None:
        """Stop within 100 ms, from any thread; the iteration ends with `Done` (``cancelled``)."""


class Engine(Protocol):
    """One model at a time. All calls may come from any thread and block until answered."""

    @property
    def model(self) -> ModelInfo | None:
        """What is loaded now; None before the first load, after `unload` and after a crash."""

    def probe(self) -> Ready:
        """What a worker says of itself: engine build, CPU features, devices, confinement."""

    def load(
        self,
        path: Path,
        settings: LoadSettings = LoadSettings(),
        on_progress: Callable[[float], None] | None = None,
        *,
        sha256: str = "",
    ) -> ModelInfo:
        """Hold the model at ``path``; returns at once when it is held already with these settings.

        ``sha256`` is its hash: another one means another model, whatever the path, and snapshots are
        bound to it; without it there are none. Raise `ModelNotFound`,
        `ModelLoadFailed` or `EngineExited`.
        """

    def render(self, messages: Sequence[PromptMessage], *, continue_last: bool = False) -> list[Segment]:
        """``messages`` in the form of the model's chat template, ready for `generate`.

        ``continue_last`` leaves the last (assistant) message open, to be written on. A base model gets
        the bare texts. Raise `TemplateFailed`, or `EngineExited` when no model is loaded.
        """

    def count(self, prompt: Sequence[Segment]) -> int:
        """Tokens of ``prompt``."""

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
        deterministic: bool = False,
        snapshot: SnapshotFile | None = None,
    ) -> Generation:
        """Start continuing ``prompt``; see `protocol.Generate` for the fields.

        With a grammar or a JSON schema in ``sampling``, look at ``Done.incomplete`` before using the text.
        """

    def score(
        self,
        prompt: Sequence[Segment],
        labels: Sequence[str],
        *,
        whole: bool = True,
        slot: str = "",
        background: bool = False,
        deterministic: bool = False,
        stop: threading.Event | None = None,
    ) -> list[float]:
        """How likely each of ``labels`` is as the answer to ``prompt``: natural logarithms, in their order.

        A label's figure sums those of its tokens and, with ``whole``, that of the answer's end after it;
        `distribution` turns them into shares of 1. Labels may have any lengths; none is preferred for
        being short but by the model itself. Setting ``stop`` from any thread ends it within 100 ms with
        `RequestFailed`. Raise `ContextOverflow`, `RequestFailed` or `EngineExited`.
        """

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """``len(texts)`` × dimensions, each of length 1; for a model loaded with ``embedding``.

        Raise `ContextOverflow` for a text that is too long: none is cut.
        """

    def save_snapshot(self, slot: str, file: SnapshotFile) -> int:
        """Write what is evaluated of a conversation to ``file``; its size, 0 when that does not pay.

        Raise `EngineExited` when no worker runs.
        """

    def forget(self, slot: str) -> None:
        """Drop what is held in memory for a conversation that is erased."""

    def statistics(self) -> Statistics:
        """State of the worker; raise `EngineExited` when none runs."""

    def unload(self) -> None:
        """End the worker and give its memory back."""

    def close(self) -> None:
        """End every child process."""


def distribution(log_probabilities: Sequence[float]) -> list[float]:
    """Probabilities of labels of which one must be right: they add up to 1, in the same order."""
    highest = max(log_probabilities)
    weights = [math.exp(value - highest) for value in log_probabilities]
    return [weight / sum(weights) for weight in weights]


# ---------------------------------------------------------------- one worker process

_ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"}
"""How long llama.cpp's threads spin for each other before they sleep. libgomp's default suits a
machine with nothing else to do: measured on 2 cores with one kept busy by another program, 20
tokens/s against 31 with 1000 (and 170 against 177 when quiet); sleeping at once costs two thirds."""
_HELLO_SECONDS = 60.0
"""A worker greets in a quarter of a second; the rest is for a machine that is swapping."""
_STOP_SECONDS = 0.05
"""How often a call that waits looks whether it is to stop."""
_UNLOAD_SECONDS = 2.0
"""How long a worker may take to end when asked; then it is killed."""
_EXIT_SECONDS = 5.0
"""How long a process that closed its output may take to end."""


class _Worker:
    """A worker process, and who waits for which of its events."""

    def __init__(self, model: Path | None, snapshots: Path | None = None) -> None:
        read = _model_files(model) if model else []
        write = [str(snapshots)] if snapshots else []
        confinement = Confinement(read=tuple(read), write=tuple(write))
        self._child: Child = start_child("engine", confinement, _ENVIRONMENT)
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Event | EngineError]] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._ended: EngineExited | None = None
        self._greeting: queue.SimpleQueue[Event | EngineError] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="engine events", daemon=True)
        self._reader.start()
        try:
            self._write(encode(Hello()))
            self.ready = self._wait_ready()
        except EngineError:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether the process can be asked."""
        return self._ended is None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self._waiting)

    def open(self) -> tuple[int, "queue.SimpleQueue[Event | EngineError]"]:
        """A new request id, and where its events will come."""
        events: queue.SimpleQueue[Event | EngineError] = queue.SimpleQueue()
        with self._lock:
            if self._ended:
                raise self._ended
            request_id = next(self._ids)
            self._waiting[request_id] = events
        return request_id, events

    def forget(self, request_id: int) -> None:
        """The request has had its last event."""
        with self._lock:
            self._waiting.pop(request_id, None)

    def send(self, request: Request) -> None:
        """Send; a worker that is gone is told of by its events.

        Raise `RequestFailed` for text (the name of a file, most likely) that is not UTF-8.
        """
        try:
            line = encode(request)
        except UnicodeEncodeError:
            raise RequestFailed("A name is not UTF-8.", "Rename the model's file or its folder.") from None
        # A closed pipe: the reader sees the same end and tells everyone why.
        with contextlib.suppress(OSError, ValueError):
            self._write(line)

    def ask(self, make: "Callable[[int], Request]") -> Event:
        """Send what ``make`` makes of a new id; its first event."""
        request_id, events = self.open()
        try:
            self.send(make(request_id))
            return _event(events)
        finally:
            self.forget(request_id)

    def stop(self) -> None:
        """End the process: asked first, killed when it does not go."""
        with self._lock:
            self._ended = self._ended or EngineExited("The engine was closed.", "Choose a model to go on.")
        with contextlib.suppress(OSError, ValueError):
            self._write(encode(Unload()))
        if not self._child.wait(_UNLOAD_SECONDS):
            self._child.kill()
        self._reader.join()

    def _write(self, line: bytes) -> None:
        with self._writing:
            self._child.stdin.write(line)
            self._child.stdin.flush()

    def _wait_ready(self) -> Ready:
        try:
            greeting = self._greeting.get(timeout=_HELLO_SECONDS)
        except queue.Empty:
            raise EngineExited(
                f"The engine did not answer within {_HELLO_SECONDS:.0f} s.",
                "Try again when the computer is quieter.",
            ) from None
        if isinstance(greeting, EngineError):
            raise greeting
        if not isinstance(greeting, Ready) or greeting.version != VERSION:
            raise EngineExited("The engine belongs to another version of the app.", "Install the app again.")
        return greeting

    def _read(self) -> None:
        broken = ""
        try:
            for line in self._child.stdout:
                event = decode_event(line)
                if isinstance(event, Ready):
                    self._greeting.put(event)
                elif (events := self._waiting.get(event.id)) is not None:
                    events.put(event)
        except ProtocolError:
            broken = "it sent something that is no message"
        self._tidy(broken)

    def _tidy(self, broken: str) -> None:
        """The process is gone, or must go: tell everyone who waits, and why."""
        if not self._child.wait(0 if broken else _EXIT_SECONDS):
            broken = broken or "it closed its output"
            self._child.kill()
        cause = (broken or self._child.how_it_ended()).rstrip(".")
        cause += "" if cause.endswith("?") else "."
        self._child.stop()
        with self._lock:
            self._ended = self._ended or EngineExited(
                f"The engine stopped: {cause}",
                "It starts again with your next message. If it stops again, choose a smaller model "
                "or a shorter context length.",
            )
            for events in self._waiting.values():
                events.put(self._ended)
            self._greeting.put(self._ended)


def _event(events: "queue.SimpleQueue[Event | EngineError]", timeout: float | None = None) -> Event:
    event = events.get(timeout=timeout)
    if isinstance(event, EngineError):
        raise event
    if isinstance(event, Failed):
        raise _error(event)
    return event


def _error(failed: Failed) -> EngineError:
    if failed.code == "context_overflow":
        return ContextOverflow(
            failed.message,
            "Choose a longer context length, or let the oldest messages be left out.",
            needed=failed.needed,
            available=failed.available,
        )
    if failed.code == "load":
        return ModelLoadFailed(
            f"The model could not be loaded: {failed.message}.",
            "The file may be damaged or too new for this engine, or memory may be short; "
            "get it again, or choose a smaller model.",
        )
    return RequestFailed(f"The engine refused the request: {failed.message}.")


def _model_files(path: Path) -> list[str]:
    """The model's files: all parts of a split GGUF (``name-00001-of-00003.gguf``), else the one."""
    base, marker, count = path.stem.rpartition("-of-")
    if not marker or not count.isdigit():
        return [str(path)]
    name = base.rpartition("-")[0]
    return sorted(map(str, path.parent.glob(f"{name}-?????-of-{count}{path.suffix}")))


# ---------------------------------------------------------------- the engine


class _WorkerGeneration:
    def __init__(self, worker: _Worker, make: Callable[[int], Generate]) -> None:
        self._worker = worker
        self._id, self._events = worker.open()
        worker.send(make(self._id))

    def __iter__(self) -> Iterator[GenerationEvent]:
        done = False
        try:
            while not done:
                event = _event(self._events)
                assert isinstance(event, GenerationEvent), "a generation has no other events"
                done = isinstance(event, Done)
                yield event
        finally:
            if not done:  # whoever iterated went away, or the request failed
                self.cancel()
            self._worker.forget(self._id)

    def cancel(self) -> None:
        self._worker.send(Cancel(id=self._id))


class WorkerEngine:
    """The engine in a child process of its own, started again after it died."""

    def __init__(self, snapshots: Path | None = None) -> None:
        """``snapshots`` is the one folder that a worker may write to; None: it writes nothing."""
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._loaded: tuple[Path, LoadSettings, str, ModelInfo] | None = None
        self._renderer = TemplateRenderer()

    @property
    def model(self) -> ModelInfo | None:
        """See `Engine`."""
        worker, loaded = self._worker, self._loaded
        return loaded[3] if worker and worker.alive and loaded else None

    def probe(self) -> Ready:
        """See `Engine`."""
        worker = self._worker
        if worker and worker.alive:
            return worker.ready
        worker = _Worker(model=None)
        worker.stop()
        return worker.ready

    def load(
        self,
        path: Path,
        settings: LoadSettings = LoadSettings(),
        on_progress: Callable[[float], None] | None = None,
        *,
        sha256: str = "",
    ) -> ModelInfo:
        """See `Engine`."""
        path = path.absolute()
        with self._lock:
            held = self.model
            if held and self._loaded and self._loaded[:3] == (path, settings, sha256):
                return held
            if held and self._worker and self._worker.busy:
                raise ModelLoadFailed(
                    f"{Path(held.path).name} is still writing an answer.",
                    "Wait for it or stop it, then try again.",
                )
            if not path.is_file():
                raise ModelNotFound(
                    f"The model file {path.name} is not there.", "Choose another model, or connect its drive."
                )
            self._end_worker()
            worker = _Worker(path, self._snapshots)
            try:
                model = _load(worker, path, settings, sha256, on_progress)
            except BaseException:
                worker.stop()
                raise
            self._worker, self._loaded = worker, (path, settings, sha256, model)
            return model

    def render(self, messages: Sequence[PromptMessage], *, continue_last: bool = False) -> list[Segment]:
        """See `Engine`."""
        model = self.model
        if model is None:
            raise EngineExited("No model is loaded.", "Choose a model.")
        if model.chat_template is None:
            texts = [message.content for message in messages if message.content]
            return [Segment(text="\n\n".join(texts))]
        return self._renderer.render(
            model.chat_template, messages, bos=model.bos, eos=model.eos, continue_last=continue_last
        )

    def count(self, prompt: Sequence[Segment]) -> int:
        """See `Engine`."""
        event = self._live_worker().ask(lambda request_id: CountTokens(id=request_id, prompt=list(prompt)))
        assert isinstance(event, Counted), "the answer to CountTokens"
        return event.tokens

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
        deterministic: bool = False,
        snapshot: SnapshotFile | None = None,
    ) -> Generation:
        """See `Engine`."""
        return _WorkerGeneration(
            self._live_worker(),
            lambda request_id: Generate(
                id=request_id,
                prompt=list(prompt),
                sampling=sampling,
                max_tokens=max_tokens,
                reserve=reserve,
                stop=list(stop),
                slot=slot,
                background=background,
                deterministic=deterministic,
                snapshot=snapshot,
            ),
        )

    def score(
        self,
        prompt: Sequence[Segment],
        labels: Sequence[str],
        *,
        whole: bool = True,
        slot: str = "",
        background: bool = False,
        deterministic: bool = False,
        stop: threading.Event | None = None,
    ) -> list[float]:
        """See `Engine`."""
        worker = self._live_worker()
        request_id, events = worker.open()
        try:
            worker.send(
                Score(
                    id=request_id,
                    prompt=list(prompt),
                    labels=list(labels),
                    whole=whole,
                    slot=slot,
                    background=background,
                    deterministic=deterministic,
                )
            )
            while stop is None or not stop.is_set():
                with contextlib.suppress(queue.Empty):
                    event = _event(events, timeout=_STOP_SECONDS if stop else None)
                    if isinstance(event, Scored):
                        return event.log_probabilities
            raise RequestFailed("The request was stopped.")
        except BaseException:
            worker.send(Cancel(id=request_id))
            raise
        finally:
            worker.forget(request_id)

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """See `Engine`."""
        import numpy as np  # noqa: PLC0415 - the window starts without it

        event = self._live_worker().ask(lambda request_id: Embed(id=request_id, texts=list(texts)))
        assert isinstance(event, Embedded), "the answer to Embed"
        return np.frombuffer(event.vectors, dtype="<f4").reshape(len(texts), event.dimensions)

    def save_snapshot(self, slot: str, file: SnapshotFile) -> int:
        """See `Engine`."""
        event = self._live_worker().ask(lambda request_id: Snapshot(id=request_id, slot=slot, file=file))
        assert isinstance(event, Saved), "the answer to Snapshot"
        return event.size

    def forget(self, slot: str) -> None:
        """See `Engine`."""
        if self._worker is not None:
            self._worker.send(Forget(slot=slot))

    def statistics(self) -> Statistics:
        """See `Engine`."""
        event = self._live_worker().ask(lambda request_id: Stats(id=request_id))
        assert isinstance(event, Statistics), "the answer to Stats"
        return event

    def unload(self) -> None:
        """See `Engine`."""
        with self._lock:
            self._end_worker()

    def close(self) -> None:
        """See `Engine`."""
        self.unload()
        self._renderer.close()

    def _end_worker(self) -> None:
        worker, self._worker, self._loaded = self._worker, None, None
        if worker:
            worker.stop()

    def _live_worker(self) -> _Worker:
        worker = self._worker
        if worker is None:
            raise EngineExited("No model is loaded.", "Choose a model.")
        return worker


def _load(
    worker: _Worker,
    path: Path,
    settings: LoadSettings,
    sha256: str,
    on_progress: Callable[[float], None] | None,
) -> ModelInfo:
    request_id, events = worker.open()
    try:
        worker.send(
            Load(id=request_id, path=str(path), files=_model_files(path), sha256=sha256, settings=settings)
        )
        while True:
            event = _event(events)
            if isinstance(event, Loaded):
                return event.model
            assert isinstance(event, Loading), "a load has no other events"
            if on_progress:
                on_progress(event.fraction)
    finally:
        worker.forget(request_id)

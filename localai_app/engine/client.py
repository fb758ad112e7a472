"""The app's side of the engine: what a worker can do, whoever computes behind it.

`Engine` is the interface that services use; `WorkerEngine` fulfils it with a child process. The
client speaks the protocol and knows nothing of llama.cpp, so that an organisation's own server can
stand behind the same interface.
"""

import contextlib
import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from localai_app.engine import machine, packs
from localai_app.engine.arbiter import Arbiter
from localai_app.engine.protocol import (
    Accepted,
    Cancel,
    Cores,
    Counted,
    CountTokens,
    Device,
    Done,
    Embed,
    Embedded,
    Event,
    Forget,
    Generate,
    Load,
    Loaded,
    Loading,
    LoadSettings,
    ModelInfo,
    Progress,
    Ready,
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
    Usage,
)
from localai_app.engine.template import PromptMessage, TemplateRenderer
from localai_app.engine.worker_process import WorkerProcess, model_files, next_event
from localai_app.errors import (
    EngineError,
    EngineExited,
    ModelLoadFailed,
    ModelNotFound,
    RequestFailed,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Engine", "Generation", "GenerationEvent", "PromptMessage", "WorkerEngine", "distribution"]

GenerationEvent = Accepted | Progress | Text | Done
_Answer = TypeVar("_Answer", Embedded, Scored)


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
        """What is loaded now; None before the first load, after `unload` or `rest` and after a crash."""

    @property
    def uses(self) -> int:
        """Grows with every `load`, request and beginning or end of `hold`: a number that stands still was
        not asked for anything."""

    @property
    def in_use(self) -> bool:
        """Whether somebody holds the model, loads one, or waits for an answer."""

    def hold(self) -> AbstractContextManager[None]:
        """Inside, the model is not taken away to save memory: it stays between `load` and the last request.

        Hold first, then `load`: a worker that is just ending is waited for and started again.
        """

    def rest(self, uses: int) -> bool:
        """Give the memory back as `unload` does, unless in use or used since ``uses`` was read.

        Whether it did.
        """

    def make_room(self, weights: int) -> bool:
        """Whether memory is free for a model with ``weights`` bytes; where not, idle other engines rest."""

    def probe(self) -> Ready:
        """What a worker says of itself: engine build, CPU features, devices, confinement.

        The devices' free memory is as it was before the model that is held, if any, was loaded.
        """

    @property
    def notice(self) -> str:
        """What of the engine is not used although it is installed, and why: an engine pack, the GPU.

        One line; empty where all is well, or nobody has looked.
        """

    def devices(self) -> list[Device]:
        """What there is to compute on besides the processor; a worker is asked only where the engine was
        built for more."""

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
        group: str = "",
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
        group: str = "",
        deterministic: bool = False,
        stop: threading.Event | None = None,
        on_usage: Callable[[Usage], None] | None = None,
    ) -> list[float]:
        """How likely each of ``labels`` is as the answer to ``prompt``: natural logarithms, in their order.

        A label's figure sums those of its tokens and, with ``whole``, that of the answer's end after it;
        `distribution` turns them into shares of 1. Labels may have any lengths; none is preferred for
        being short but by the model itself. Setting ``stop`` from any thread ends it within 100 ms with
        `RequestFailed`. ``on_usage`` is told what it cost. Raise `ContextOverflow`, `RequestFailed` or
        `EngineExited`.
        """

    def embed(
        self, texts: Sequence[str], *, background: bool = False, stop: threading.Event | None = None
    ) -> "NDArray[np.float32]":
        """``len(texts)`` × dimensions, each of length 1; for a model loaded with ``embedding``.

        A blank text has zeros: it is like nothing. Setting ``stop`` from any thread ends it within 100 ms
        with `RequestFailed`. Raise `ContextOverflow` for a text that is too long: none is cut.
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


# ---------------------------------------------------------------- in a worker process

_STOP_SECONDS = 0.05
"""How often a call that waits looks whether it is to stop."""
_BESIDE_WEIGHTS = 512 * 1024**2
"""What a worker takes besides its weights, roughly: it decides only whether another, idle one goes first."""


def _wait(
    worker: WorkerProcess,
    request_id: int,
    events: "queue.SimpleQueue[Event | EngineError]",
    kind: type[_Answer],
    stop: threading.Event | None,
) -> _Answer:
    """The event of ``kind`` that answers the request; `RequestFailed` when ``stop`` is set first."""
    try:
        while stop is None or not stop.is_set():
            with contextlib.suppress(queue.Empty):
                event = next_event(events, timeout=_STOP_SECONDS if stop else None)
                if isinstance(event, kind):
                    return event
        raise RequestFailed("The request was stopped.")
    except BaseException:
        worker.send(Cancel(id=request_id))
        raise
    finally:
        worker.forget(request_id)


def _weight(path: Path) -> int:
    """Bytes of the model's files."""
    return sum(Path(file).stat().st_size for file in model_files(path))


class _WorkerGeneration:
    def __init__(self, worker: WorkerProcess, make: Callable[[int], Generate], *, background: bool) -> None:
        self._worker = worker
        self._id, self._events = worker.begin(make, work=background)

    def __iter__(self) -> Iterator[GenerationEvent]:
        done = False
        try:
            while not done:
                event = next_event(self._events)
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

    def __init__(self, snapshots: Path | None = None, *, arbiter: Arbiter | None = None) -> None:
        """``snapshots`` is the one folder that a worker may write to; None: it writes nothing.

        The engines of one app share an ``arbiter``; without one, this engine has the machine to itself.
        """
        self._snapshots = snapshots
        self._arbiter = arbiter or Arbiter()
        self._uses = 0
        self._holders = 0
        self._counting = threading.Lock()
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._loaded: tuple[Path, LoadSettings, str, ModelInfo] | None = None
        self._has_gpu: bool | None = None
        """Whether a worker that may see GPUs found one; None: none has looked yet."""
        self._gpu_notice = ""
        self._renderer = TemplateRenderer()

    @property
    def notice(self) -> str:
        """See `Engine`."""
        return " ".join(filter(None, [packs.chosen().problem, self._gpu_notice]))

    @property
    def model(self) -> ModelInfo | None:
        """See `Engine`."""
        worker, loaded = self._worker, self._loaded
        return loaded[3] if worker and worker.alive and loaded else None

    @property
    def uses(self) -> int:
        """See `Engine`."""
        return self._uses

    @property
    def in_use(self) -> bool:
        """See `Engine`."""
        worker = self._worker
        return bool(self._holders or self._lock.locked() or (worker and worker.busy))

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """See `Engine`."""
        self._count_use(holders=1)
        try:
            yield
        finally:
            self._count_use(holders=-1)

    def rest(self, uses: int) -> bool:
        """See `Engine`."""
        # Whoever has the lock loads or ends a model, and need not be waited for to know that it is in use.
        if not self._lock.acquire(blocking=False):
            return False
        try:
            worker = self._worker
            if worker is None or worker.busy or self._holders or uses != self._uses:
                return False
            self._end_worker()
            return True
        finally:
            self._lock.release()

    def make_room(self, weights: int) -> bool:
        """See `Engine`."""
        return self._arbiter.make_room(self, weights + _BESIDE_WEIGHTS)

    def use_cores(self, count: int) -> None:
        """See `arbiter.Member`."""
        worker = self._worker
        if worker:
            worker.send(Cores(count=count))

    def probe(self) -> Ready:
        """See `Engine`."""
        worker = self._worker
        # One that computes on the CPU sees no GPU, so it cannot tell whether there is one.
        if worker and worker.alive and (worker.gpu or self._has_gpu is False):
            return worker.ready
        try:
            worker = WorkerProcess(model=None, gpu=True)
            self._gpu_notice = worker.ready.notice
        except EngineExited as error:
            # A broken driver can end, or hold up, whoever loads it.
            worker = WorkerProcess(model=None, gpu=False)
            self._gpu_notice = f"The GPU is not used. {error} The processor computes."
        worker.stop()
        self._has_gpu = any(device.kind == "gpu" for device in worker.ready.devices)
        return worker.ready

    def devices(self) -> list[Device]:
        """See `Engine`."""
        # Asking costs a start of a worker, a quarter of a second.
        if self._has_gpu is None and not machine.built_for_gpu():
            self._has_gpu = False
        if self._has_gpu is False:
            return []
        return [device for device in self.probe().devices if device.kind != "cpu"]

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
        self._count_use()
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
            if settings.gpu_layers and self._has_gpu is None:
                self.devices()
            # The driver of a GPU is a large thing to reach: only a worker that computes there may.
            gpu = bool(settings.gpu_layers and self._has_gpu)
            self.make_room(_weight(path))
            self._arbiter.started(self)
            worker = WorkerProcess(path, self._snapshots, gpu=gpu, on_work=self._tell_arbiter)
            try:
                model = _load(
                    worker, path, settings, sha256, cores=self._arbiter.cores, on_progress=on_progress
                )
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
        group: str = "",
        deterministic: bool = False,
        snapshot: SnapshotFile | None = None,
    ) -> Generation:
        """See `Engine`."""
        self._count_use()
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
                group=group,
                deterministic=deterministic,
                snapshot=snapshot,
            ),
            background=background,
        )

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
        """See `Engine`."""
        self._count_use()
        worker = self._live_worker()
        request_id, events = worker.begin(
            lambda request_id: Score(
                id=request_id,
                prompt=list(prompt),
                labels=list(labels),
                whole=whole,
                slot=slot,
                background=background,
                group=group,
                deterministic=deterministic,
            ),
            work=background,
        )
        scored = _wait(worker, request_id, events, Scored, stop)
        if on_usage:
            on_usage(scored.usage)
        return scored.log_probabilities

    def embed(
        self, texts: Sequence[str], *, background: bool = False, stop: threading.Event | None = None
    ) -> "NDArray[np.float32]":
        """See `Engine`."""
        import numpy as np  # noqa: PLC0415 - the window starts without it

        self._count_use()
        worker = self._live_worker()
        request_id, events = worker.begin(
            lambda request_id: Embed(id=request_id, texts=list(texts)), work=background
        )
        event = _wait(worker, request_id, events, Embedded, stop)
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
        self._arbiter.left(self)
        self._renderer.close()

    def _count_use(self, *, holders: int = 0) -> None:
        with self._counting:
            self._uses += 1
            self._holders += holders

    def _tell_arbiter(self, begins: bool, background: bool) -> None:
        (self._arbiter.began if begins else self._arbiter.ended)(self, background=background)

    def _end_worker(self) -> None:
        worker, self._worker, self._loaded = self._worker, None, None
        if worker:
            worker.stop()

    def _live_worker(self) -> WorkerProcess:
        worker = self._worker
        if worker is None:
            raise EngineExited("No model is loaded.", "Choose a model.")
        return worker


def _load(
    worker: WorkerProcess,
    path: Path,
    settings: LoadSettings,
    sha256: str,
    *,
    cores: int,
    on_progress: Callable[[float], None] | None,
) -> ModelInfo:
    request_id, events = worker.open()
    try:
        worker.send(
            Load(
                id=request_id,
                path=str(path),
                files=model_files(path),
                sha256=sha256,
                settings=settings,
                cores=cores,
            )
        )
        while True:
            event = next_event(events)
            if isinstance(event, Loaded):
                return event.model
            assert isinstance(event, Loading), "a load has no other events"
            if on_progress:
                on_progress(event.fraction)
    finally:
        worker.forget(request_id)

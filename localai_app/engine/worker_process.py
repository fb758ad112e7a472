"""One worker process: how it starts and ends, and who waits for which of its events."""

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable
from pathlib import Path

from localai_app.engine import packs
from localai_app.engine.protocol import (
    CPU_VARIANT,
    ENGINE_FOLDER,
    ENGINE_GPU,
    ENGINE_PACK,
    VERSION,
    Done,
    Embedded,
    Event,
    Failed,
    Hello,
    ProtocolError,
    Ready,
    Request,
    Scored,
    Unload,
    decode_event,
    encode,
)
from localai_app.errors import ContextOverflow, EngineError, EngineExited, ModelLoadFailed, RequestFailed
from localai_app.processes import Child, start_child
from localai_app.sandbox import Confinement

_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(4 * 1024**2)}
"""From which size on glibc gives memory back when it is freed. By itself it raises that to 32 MB, and
conversations that are parked and come back leave holes: up to 220 MB beyond what lives, 10 MB with it.

How long llama.cpp's threads spin for each other before they sleep is left to libgomp: since their number
follows the machine, spinning less (GOMP_SPINCOUNT=1000) gained nothing beside a busy program and cost 4 % on
a quiet one (2 cores, SmolLM2)."""
LOAD_HINT = (
    "The file may be damaged or too new for this engine, or memory may be short; "
    "get it again, or choose a smaller model."
)
"""For whoever does not know how much the model needs."""
_HELLO_SECONDS = 60.0
"""A worker greets in a quarter of a second; the rest is for a machine that is swapping."""
_UNLOAD_SECONDS = 2.0
"""How long a worker may take to end when asked; then it is killed."""
_EXIT_SECONDS = 5.0
"""How long a process that closed its output may take to end."""
_LAST = (Done, Embedded, Scored, Failed)
"""Events that end work."""


class WorkerProcess:
    """A worker process, and who waits for which of its events."""

    def __init__(
        self,
        model: Path | None,
        snapshots: Path | None = None,
        *,
        gpu: bool,
        on_work: "Callable[[bool, bool], None]" = lambda begins, background: None,
    ) -> None:
        """``on_work`` is told when work (it takes cores) begins and ends, and whether in the background."""
        files = packs.chosen()
        read = model_files(model) if model else []
        read += [str(files.folder)] if files.folder else []
        write = [str(snapshots)] if snapshots else []
        self.gpu = gpu
        confinement = Confinement(read=tuple(read), write=tuple(write), gpu=gpu)
        self._child: Child = start_child("engine", confinement, environment_of(files, gpu=gpu))
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Event | EngineError]] = {}
        self._on_work = on_work
        self._work: dict[int, bool] = {}
        """Requests that the worker computes, whoever still waits for them, and whether in the background."""
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
        return bool(self._waiting or self._work)

    def open(self, *, work: bool | None = None) -> tuple[int, "queue.SimpleQueue[Event | EngineError]"]:
        """A new request id, and where its events will come.

        ``work`` is said of a request that takes cores: True in the background, False where a person waits.
        """
        events: queue.SimpleQueue[Event | EngineError] = queue.SimpleQueue()
        with self._lock:
            if self._ended:
                raise self._ended
            request_id = next(self._ids)
            self._waiting[request_id] = events
            if work is not None:
                self._work[request_id] = work
                self._on_work(True, work)
        return request_id, events

    def forget(self, request_id: int) -> None:
        """The request has had its last event."""
        with self._lock:
            self._waiting.pop(request_id, None)

    def _over(self, request_id: int) -> None:
        """The worker has done what it had to for the request."""
        with self._lock:
            background = self._work.pop(request_id, None)
            if background is not None:
                self._on_work(False, background)

    def begin(
        self, make: "Callable[[int], Request]", *, work: bool | None = None
    ) -> tuple[int, "queue.SimpleQueue[Event | EngineError]"]:
        """Send what ``make`` makes of a new id; see `open`."""
        request_id, events = self.open(work=work)
        try:
            self.send(make(request_id))
        except BaseException:
            self._over(request_id)
            self.forget(request_id)
            raise
        return request_id, events

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

    def ask(self, make: "Callable[[int], Request]", *, work: bool | None = None) -> Event:
        """Send what ``make`` makes of a new id; its first event."""
        request_id, events = self.begin(make, work=work)
        try:
            return next_event(events)
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
                    continue
                if isinstance(event, _LAST):
                    self._over(event.id)
                if (events := self._waiting.get(event.id)) is not None:
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
            for background in self._work.values():
                self._on_work(False, background)
            self._work.clear()
            for events in self._waiting.values():
                events.put(self._ended)
            self._greeting.put(self._ended)


def environment_of(files: packs.EngineFiles, *, gpu: bool) -> dict[str, str]:
    """What is added to the environment of a worker that loads ``files``."""
    environment = dict(_ENVIRONMENT)
    if files.folder:
        environment[ENGINE_FOLDER] = str(files.folder)
    if files.pack:
        environment[ENGINE_PACK] = files.pack
    if gpu:
        environment[ENGINE_GPU] = "1"
    if variant := os.environ.get(CPU_VARIANT):
        environment[CPU_VARIANT] = variant
    return environment


def next_event(events: "queue.SimpleQueue[Event | EngineError]", timeout: float | None = None) -> Event:
    """Wait for what comes; raise an error that comes, and `queue.Empty` after ``timeout`` seconds."""
    event = events.get(timeout=timeout)
    if isinstance(event, EngineError):
        raise event
    if isinstance(event, Failed):
        raise error_of(event)
    return event


def error_of(failed: Failed) -> EngineError:
    """What a person is told of ``failed``."""
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
            LOAD_HINT,
        )
    return RequestFailed(f"The engine refused the request: {failed.message}.")


def model_files(path: Path) -> list[str]:
    """The model's files: all parts of a split GGUF (``name-00001-of-00003.gguf``), else the one."""
    base, marker, count = path.stem.rpartition("-of-")
    if not marker or not count.isdigit():
        return [str(path)]
    name = base.rpartition("-")[0]
    return sorted(map(str, path.parent.glob(f"{name}-?????-of-{count}{path.suffix}")))

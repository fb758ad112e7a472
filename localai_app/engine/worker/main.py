"""The worker process: reads requests, drives the scheduler, writes events.

Two threads. One reads stdin, so that Cancel and the parent's end are seen at any moment; the other
owns llama.cpp. The process ends with its parent: end of input ends it, whatever it computes.
"""

import hashlib
import os
import queue
import threading
import time
from pathlib import Path
from typing import BinaryIO

import psutil

from localai_app import sandbox
from localai_app.engine.protocol import (
    VERSION,
    Cancel,
    Cores,
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
    ProtocolError,
    Ready,
    Request,
    Saved,
    Score,
    Snapshot,
    SnapshotFile,
    Statistics,
    Stats,
    Unload,
    Usage,
    decode_request,
    encode,
)
from localai_app.engine.worker import llama, snapshot
from localai_app.engine.worker.embedding import Embedder, TooLong
from localai_app.engine.worker.llama import Aborted, Context, Entry, LlamaError, Model
from localai_app.engine.worker.prefix_cache import WORTH_PARKING, common_prefix
from localai_app.engine.worker.prompt_tokens import PromptTokenizer
from localai_app.engine.worker.sampling import Sampler
from localai_app.engine.worker.scheduler import Scheduler
from localai_app.engine.worker.scoring import MAX_LABELS, Scoring
from localai_app.engine.worker.sequence import TokenSampler
from localai_app.engine.worker.threads import CoreLimit, ThreadChoice
from localai_app.processes import ChildIO

_READ_BYTES_PER_SECOND = 400e6
"""How fast a snapshot is read, decrypted and put into the cache, cautiously: 1.4 GB/s was measured."""
_WORTH_SECONDS = 0.5
"""Evaluation time below which a snapshot is not written."""
_READING_SIZE = 40
"""Tokens of a step from which on it reads a prompt; those below write, with guesses or for several."""
_NOTHING = Usage(
    prompt_tokens=0, reused_tokens=0, output_tokens=0, first_token_seconds=0, generation_seconds=0
)


def main(io: ChildIO) -> int:
    """Serve one app until it unloads or ends; the exit code."""
    llama.start_library()
    code = Worker(io).run()
    # Not by return: the interpreter would wait for the thread that reads, and free what the end of
    # the process frees at once.
    os._exit(code)


class _Generator:
    """One loaded model as the scheduler's backend."""

    def __init__(
        self,
        model: Model,
        context: Context,
        tokenizer: PromptTokenizer,
        settings: LoadSettings,
        *,
        threads: int,
        limit: CoreLimit,
    ) -> None:
        """``threads`` is how many there are; ``limit`` says how many of them may compute the next step."""
        fixed = bool(settings.threads)
        self._context = context
        self._most = threads
        self._limit = limit
        # Steps that read a prompt and steps that write scale differently.
        self._reading = ThreadChoice(threads, by_token=True, fixed=fixed)
        self._writing = ThreadChoice(threads, fixed=fixed)
        self.length = context.length
        self.batch_size = context.batch_size
        self.sequences = context.sequences
        self.drops_parts = context.drops_parts
        self.drafts = context.drops_parts and settings.drafting
        self.keep = context.keep
        self.share = context.share
        self.save = context.save
        self.load = context.load
        self.checkpoint = context.checkpoint
        self.rewind = context.rewind
        self.piece = model.vocabulary.piece
        self.ends_generation = model.vocabulary.ends_generation
        self.remember = tokenizer.remember

    def decode(self, entries: list[Entry], *, fixed_threads: bool) -> None:
        choice = self._writing if len(entries) < _READING_SIZE else self._reading
        started = time.monotonic()
        choice.limit = self._limit.at(started)
        self._context.use_threads(self._most if fixed_threads else choice.count)
        self._context.decode(entries)
        ended = time.monotonic()
        if not fixed_threads:
            choice.took(len(entries), ended - started, ended)

    def sample(self, sampler: TokenSampler, row: int) -> int:
        assert isinstance(sampler, Sampler), "requests of this worker are sampled by llama.cpp"
        return sampler.sample(self._context, row)

    def incomplete(self, sampler: TokenSampler) -> bool:
        assert isinstance(sampler, Sampler), "requests of this worker are sampled by llama.cpp"
        return sampler.incomplete

    def closed(self, sampler: TokenSampler) -> bool:
        assert isinstance(sampler, Sampler), "requests of this worker are sampled by llama.cpp"
        return sampler.closed

    def log_probabilities(
        self, row: int, tokens: list[int], together: list[int]
    ) -> tuple[list[float], float]:
        return self._context.log_probabilities(row, tokens, together)


class Worker:
    """State of the process."""

    def __init__(self, io: ChildIO) -> None:
        self._io = io
        self._queue: queue.SimpleQueue[tuple[Request, float]] = queue.SimpleQueue()
        self._model: Model | None = None
        self._context: Context | None = None
        self._tokenizer: PromptTokenizer | None = None
        self._scheduler: Scheduler | None = None
        self._embedder: Embedder | None = None
        self._confinement = io.confinement
        self._identity = b""
        """What snapshots are bound to; empty: none are read or written."""
        self._cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
        self._limit = CoreLimit()

    def run(self) -> int:
        """Serve until `Unload`."""
        lines = open(self._io.input_fd, "rb", closefd=False)  # noqa: SIM115 - read until the process ends
        # Landlock binds the thread that calls it and those it starts later. So this thread reads by
        # itself until the model is named and everything else is out of reach.
        for line in lines:
            request = self._decode(line)
            if isinstance(request, Load):
                self._confinement = sandbox.tighten(read=request.files)
            self._queue.put((request, time.monotonic()))
            if isinstance(request, Load):
                threading.Thread(target=self._read, args=(lines,), name="requests", daemon=True).start()
                return self._serve()
            if not self._handle_next():
                return 0
        return 0

    def _serve(self) -> int:
        while True:
            while self._idle or not self._queue.empty():
                if not self._handle_next():
                    return 0
            assert self._scheduler is not None, "only a scheduler can have work"
            self._scheduler.step()

    @property
    def _idle(self) -> bool:
        return self._scheduler is None or self._scheduler.idle

    # ------------------------------------------------------------ requests

    def _read(self, lines: BinaryIO) -> None:
        for line in lines:
            request = self._decode(line)
            if isinstance(request, Cores):  # at once: also a batch of texts that is under way obeys
                self._limit.tell(request.count, time.monotonic())
                continue
            if isinstance(request, Cancel):
                if self._scheduler:
                    self._scheduler.interrupt(request.id)
                if self._embedder:
                    self._embedder.interrupt(request.id)
            self._queue.put((request, time.monotonic()))
            # Behind the queue: a step that begins between the two would not know of it.
            if isinstance(request, Generate | Score) and not request.background and self._scheduler:
                self._scheduler.hurry()
        os._exit(0)

    def _decode(self, line: bytes) -> Request:
        try:
            return decode_request(line)
        except ProtocolError as error:
            self._io.log(f"protocol error: {error}")
            os._exit(2)

    def _handle_next(self) -> bool:
        """Wait for a request and do it; False when it was the last."""
        request, arrived = self._queue.get()
        if isinstance(request, Unload):
            return False
        self._handle(request, arrived)
        return True

    def _emit(self, event: Event) -> None:
        line = encode(event)
        try:
            while line:
                line = line[os.write(self._io.output_fd, line) :]
        except BrokenPipeError:
            os._exit(0)

    def _handle(self, request: Request, arrived: float) -> None:
        match request:
            case Hello():
                self._greet(request)
            case Load():
                self._load(request)
            case Cancel():
                if self._scheduler:
                    self._scheduler.cancel(request.id)
                if self._embedder:
                    self._embedder.forget(request.id)
            case Stats():
                self._emit(self._statistics(request.id))
            case CountTokens() if self._embedder is not None:
                text = "".join(segment.text for segment in request.prompt)
                self._emit(Counted(id=request.id, tokens=len(self._embedder.tokenize(text))))
            case Generate() | Score() | CountTokens() if self._scheduler is None:
                self._fail(request.id, "no generating model is loaded")
            case Generate():
                self._generate(request, arrived)
            case Score():
                self._score(request, arrived)
            case CountTokens():
                assert self._tokenizer is not None, "a scheduler comes with a tokenizer"
                self._emit(Counted(id=request.id, tokens=len(self._tokenizer.tokenize(request.prompt))))
            case Snapshot():
                self._save(request)
            case Forget():
                if self._scheduler:
                    self._scheduler.cache.forget(request.slot)
            case Embed() if self._embedder is None:
                self._fail(request.id, "no embedding model is loaded")
            case Embed():
                self._embed(request)

    def _fail(self, request_id: int, message: str) -> None:
        self._emit(Failed(id=request_id, code="bad_request", message=message))

    def _greet(self, hello: Hello) -> None:
        if hello.version != VERSION:
            self._io.log(f"protocol {hello.version} was asked for; this worker speaks {VERSION}")
            os._exit(2)
        self._emit(
            Ready(
                engine_build=llama.engine_build(),
                system_info=llama.system_info(),
                devices=llama.devices(),
                confinement=self._confinement,
                notice=llama.notice(),
            )
        )

    def _generate(self, request: Generate, arrived: float) -> None:
        assert self._model is not None, "a scheduler comes with a model"
        assert self._tokenizer is not None, "a scheduler comes with a tokenizer"
        assert self._scheduler is not None, "checked by the caller"
        tokens = self._tokenizer.tokenize(request.prompt)
        if not tokens:
            self._fail(request.id, "the prompt is empty")
            return
        try:
            sampler = Sampler(request.sampling, self._model.vocabulary)
        except LlamaError as error:
            self._fail(request.id, str(error))
            return
        sampler.read(tokens)
        if request.snapshot is not None:
            self._resume(request.slot, tokens, request.snapshot)
        self._scheduler.submit(request, tokens, sampler, arrived)

    def _score(self, request: Score, arrived: float) -> None:
        assert self._tokenizer is not None, "a scheduler comes with a tokenizer"
        assert self._scheduler is not None, "checked by the caller"
        assert self._model is not None, "a scheduler comes with a model"
        vocabulary = self._model.vocabulary
        prompt = self._tokenizer.tokenize(request.prompt)
        if not prompt:
            self._fail(request.id, "the prompt is empty")
        elif not request.labels or not all(request.labels):
            self._fail(request.id, "there are no labels, or one is empty")
        elif len(request.labels) > MAX_LABELS:
            count = len(request.labels)
            self._fail(request.id, f"there are {count} labels; at most {MAX_LABELS} are allowed")
        else:
            labels = [vocabulary.tokenize(label) for label in request.labels]
            scoring = Scoring(labels, vocabulary.ending_tokens, whole=request.whole)
            self._scheduler.submit_score(request, prompt, scoring, arrived)

    def _resume(self, slot: str, tokens: list[int], file: SnapshotFile) -> None:
        """Take a conversation's snapshot in where it reaches further than what is held of it."""
        assert self._scheduler is not None, "checked by the caller"
        cache = self._scheduler.cache
        if not self._identity or common_prefix(cache.known(slot), tokens):
            return
        parked = snapshot.read(Path(file.path), file.key, self._identity)
        if parked is not None and common_prefix(parked.tokens, tokens) >= WORTH_PARKING:
            cache.put(slot, parked)

    def _save(self, request: Snapshot) -> None:
        """Write an idle conversation to disk where reading it back beats evaluating it again."""
        size = tokens = 0
        parked = self._scheduler.cache.cells_of(request.slot) if self._scheduler else None
        if parked is not None and self._identity and self._scheduler is not None:
            tokens = len(parked.tokens)
            evaluating = tokens / self._scheduler.prompt_rate if self._scheduler.prompt_rate else 0.0
            reading = len(parked.cells) / _READ_BYTES_PER_SECOND
            if evaluating > max(_WORTH_SECONDS, 3 * reading):
                try:
                    size = snapshot.write(Path(request.file.path), request.file.key, self._identity, parked)
                except OSError as error:
                    self._io.log(f"the snapshot was not written: {error.strerror}")
        self._emit(Saved(id=request.id, size=size, tokens=tokens))

    def _embed(self, request: Embed) -> None:
        assert self._embedder is not None, "checked by the caller"
        try:
            vectors, tokens = self._embedder.embed(request.id, request.texts)
        except Aborted:
            self._emit(Done(id=request.id, reason="cancelled", usage=_NOTHING))
        except TooLong as error:
            self._emit(
                Failed(
                    id=request.id,
                    code="context_overflow",
                    message=str(error),
                    needed=error.needed,
                    available=error.available,
                )
            )
        except LlamaError as error:
            self._fail(request.id, str(error))
        else:
            self._emit(
                Embedded(id=request.id, dimensions=vectors.shape[1], vectors=vectors.tobytes(), tokens=tokens)
            )

    # ------------------------------------------------------------ loading

    def _load(self, request: Load) -> None:
        if self._model is not None:
            self._fail(request.id, "this worker holds a model; another model needs another worker")
            return
        path, settings = Path(request.path), request.settings
        reported = -1.0
        started = time.monotonic()

        def progress(fraction: float) -> None:
            nonlocal reported
            if fraction - reported >= 0.01 or fraction >= 1:
                reported = fraction
                self._emit(Loading(id=request.id, fraction=min(fraction, 1.0)))

        threads = settings.threads or request.cores or self._cores
        try:
            model = Model(path, settings, progress)
            context = Context(model, settings, threads=threads, should_abort=self._should_abort)
            if settings.embedding:
                self._embedder = Embedder(
                    context,
                    model.vocabulary,
                    lambda: settings.threads or min(threads, self._limit.at(time.monotonic())),
                    word_pieces=model.metadata("tokenizer.ggml.model") == "bert",
                )
        except LlamaError as error:
            self._emit(Failed(id=request.id, code="load", message=str(error)))
            return
        self._model, self._context = model, context
        if request.sha256:
            bound = f"{request.sha256} {llama.engine_build()} {settings.kv_type}"
            self._identity = hashlib.sha256(bound.encode()).digest()
        self._tokenizer = PromptTokenizer(model.vocabulary)
        if not settings.embedding:
            self._scheduler = Scheduler(
                _Generator(model, context, self._tokenizer, settings, threads=threads, limit=self._limit),
                self._emit,
            )
        gpu = [device.description for device in llama.devices() if device.kind == "gpu"]
        self._emit(
            Loaded(
                id=request.id,
                model=ModelInfo(
                    path=request.path,
                    name=model.metadata("general.name") or path.stem,
                    architecture=model.metadata("general.architecture"),
                    description=model.description,
                    parameters=model.parameters,
                    size=model.size,
                    vocabulary=model.vocabulary.size,
                    embedding_length=context.embedding_length,
                    layers=model.layers,
                    context_length=context.length,
                    trained_context_length=model.trained_context_length,
                    chat_template=model.chat_template,
                    bos=model.vocabulary.text(model.vocabulary.bos),
                    eos=model.vocabulary.text(model.vocabulary.eos),
                    device=gpu[0] if gpu and settings.gpu_layers else "CPU",
                    threads=threads,
                    engine_build=llama.engine_build(),
                    load_seconds=time.monotonic() - started,
                    confinement=self._confinement,
                ),
            )
        )

    def _should_abort(self) -> bool:
        if self._scheduler is not None:
            return self._scheduler.abort
        return self._embedder is not None and self._embedder.abort

    def _statistics(self, request_id: int) -> Statistics:
        scheduler = self._scheduler
        return Statistics(
            id=request_id,
            resident_memory=psutil.Process().memory_info().rss,
            context_length=self._context.length if self._context else 0,
            cells_used=scheduler.cache.cells_used if scheduler else 0,
            parked_bytes=scheduler.cache.parked_bytes if scheduler else 0,
            active=scheduler.active if scheduler else 0,
            waiting=scheduler.waiting if scheduler else 0,
            idle_slots=sum(not slot.busy for slot in scheduler.cache.slots) if scheduler else 0,
            tokens_evaluated=scheduler.evaluated if scheduler else 0,
            tokens_generated=scheduler.generated if scheduler else 0,
            tokens_reused=scheduler.reused if scheduler else 0,
            threads=self._context.threads if self._context else 0,
        )

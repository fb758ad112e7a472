"""A document task: 40 chunks through one model, with the same instructions before each.

190 tokens of instructions, 300 of a chunk, 64 generated, sampling on. Ours goes through worker and pipe as
one background group. The bare batched loop has the same model in this process: instructions evaluated once
and shared by `seq_cp`, chunks in waves; of several widths the fastest counts. llama-server gets all requests
at once and has 8 slots. A second row asks the engine a question while it works on such a task.
"""

import itertools
import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Segment
from localai_app.engine.worker.llama import Context, Entry, Model
from localai_app.engine.worker.sampling import Sampler
from tests.bench import report
from tests.bench.rivals import LlamaServer
from tests.bench.turns import conversation, first_text

CHUNKS = int(os.environ.get("CHUNKS", "40"))
RUNS = int(os.environ.get("RUNS", "5"))
SHARED, OWN, OUTPUT = 190, 300, 64
WIDTHS = (1, 4, 8)
THREADS = psutil.cpu_count(logical=False) or 1
SETTINGS = LoadSettings()
INSTRUCTIONS = (
    "You read one part of a long record at a time and write down what it says about dates, amounts, people "
    "and decisions. Keep to the words of the record. Where it says nothing, say nothing. "
)
WORDS = (
    "ward",
    "archive",
    "record",
    "nurse",
    "paper",
    "shelf",
    "letter",
    "ledger",
    "winter",
    "clerk",
    "garden",
)
SALT = itertools.count()


class Work:
    """The prompts as tokens; every call makes new ones, so that nothing is known from the run before."""

    def __init__(self, model: Model) -> None:
        self._vocabulary = model.vocabulary

    def _exactly(self, text: str, count: int) -> list[int]:
        tokens = self._vocabulary.tokenize(text)
        assert len(tokens) >= count
        return tokens[:count]

    def prompts(self) -> tuple[list[int], list[list[int]]]:
        """The shared tokens, and those of each chunk."""
        salt = next(SALT)
        shared = self._exactly(f"Task {salt}. " + INSTRUCTIONS * 6, SHARED)
        own = []
        for number in range(CHUNKS):
            words = (WORDS[(number * 7 + at * at + salt) % len(WORDS)] for at in range(OWN * 2))
            own.append(self._exactly(f" Part {salt}-{number}: " + " ".join(words), OWN))
        return shared, own

    def text(self, tokens: list[int]) -> str:
        """What ``tokens`` stand for."""
        return b"".join(self._vocabulary.piece(token) for token in tokens).decode("utf-8", "replace")


def ours(engine: WorkerEngine, work: Work, said: list[int]) -> float:
    """Seconds for the whole task."""
    shared, own = work.prompts()
    started = time.perf_counter()
    running = [
        engine.generate(
            [Segment(text=work.text(shared)), Segment(text=work.text(chunk))],
            Sampling(seed=number),
            max_tokens=OUTPUT,
            background=True,
            group="bench",
        )
        for number, chunk in enumerate(own)
    ]
    said.append(0)
    for generation in running:
        for event in generation:
            if isinstance(event, Done):
                said[-1] += event.usage.output_tokens
    return time.perf_counter() - started


class BareBatchedLoop:
    """Waves of ``width`` sequences in one context, nothing around them."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._context = Context(model, SETTINGS, threads=THREADS, should_abort=lambda: False)

    def __call__(self, work: Work, width: int) -> float:
        context = self._context
        for sequence in range(context.sequences):
            context.keep(sequence, 0)
        shared, own = work.prompts()
        started = time.perf_counter()
        self._evaluate([(0, 0, shared)])
        for first in range(0, len(own), width - 1 or 1):
            self._wave(shared, own[first : first + (width - 1 or 1)])
        return time.perf_counter() - started

    def _evaluate(self, parts: list[tuple[int, int, list[int]]]) -> dict[int, int]:
        """Evaluate (sequence, position, tokens); the row of each sequence's last logits, by batch."""
        entries = [
            Entry(token, start + at, sequence, at == len(tokens) - 1)
            for sequence, start, tokens in parts
            for at, token in enumerate(tokens)
        ]
        self._context.decode(entries)
        return {entry.sequence: row for row, entry in enumerate(entries) if entry.wants_logits}

    def _wave(self, shared: list[int], chunks: list[list[int]]) -> None:
        context, vocabulary = self._context, self._model.vocabulary
        samplers = {at: Sampler(Sampling(seed=at), vocabulary) for at in range(1, len(chunks) + 1)}
        latest: dict[int, int] = {}
        for sequence, chunk in enumerate(chunks, 1):
            context.keep(sequence, 0)
            context.share(0, sequence, len(shared))
            row = self._evaluate([(sequence, len(shared), chunk)])[sequence]
            latest[sequence] = samplers[sequence].sample(context, row)
        for step in range(OUTPUT - 1):
            rows = self._evaluate([(s, len(shared) + OWN + step, [token]) for s, token in latest.items()])
            latest = {s: samplers[s].sample(context, row) for s, row in rows.items()}
            for token in latest.values():
                vocabulary.piece(token)
        for sequence in range(1, len(chunks) + 1):
            context.keep(sequence, 0)


def over_http(server: LlamaServer, work: Work) -> float:
    """Seconds until llama-server has answered all, asked at once."""
    shared, own = work.prompts()

    def ask(number: int) -> int:
        answer = server.complete(
            prompt=[*shared, *own[number]],
            n_predict=OUTPUT,
            temperature=0.8,
            top_k=40,
            top_p=0.95,
            min_p=0.05,
            seed=number,
            samplers=["top_k", "top_p", "min_p", "temperature"],
            cache_prompt=True,
        )
        return int(answer["tokens_predicted"])

    started = time.perf_counter()
    with ThreadPoolExecutor(CHUNKS) as pool:
        said = sum(pool.map(ask, range(CHUNKS)))
    seconds = time.perf_counter() - started
    assert said > CHUNKS * OUTPUT * 0.95, "answers ended early"
    return seconds


def one_after_another(path: Path, work: Work) -> float:
    """Seconds of llama-cpp-python's own completion, one chunk after another; it reuses the prefix."""
    import llama_cpp

    llama = llama_cpp.Llama(str(path), n_ctx=2048, n_threads=THREADS, n_threads_batch=THREADS, verbose=False)
    shared, own = work.prompts()
    started = time.perf_counter()
    for number, chunk in enumerate(own):
        llama.create_completion(
            [*shared, *chunk],
            max_tokens=OUTPUT,
            temperature=0.8,
            top_k=40,
            top_p=0.95,
            min_p=0.05,
            seed=number,
        )
    return time.perf_counter() - started


def turn_beside_a_task(engine: WorkerEngine, work: Work) -> report.Row:
    """A chat turn's first token on an idle engine, and while a 40-chunk task runs."""
    idle, busy = [], []
    for run in range(RUNS):
        messages = conversation(3, run)
        slot = f"beside {run}"
        first_text(engine, engine.render(messages), slot)
        figures = []
        for _ in range(2):
            messages += [PromptMessage("user", "Which of them is kept longest, and where is it kept?")]
            if figures:
                task = threading.Thread(target=ours, args=(engine, work, []))
                task.start()
                time.sleep(3 + run / 3)
            figures.append(first_text(engine, engine.render(messages), slot))
            messages += [PromptMessage("assistant", "The record of ward two.")]
        assert task.is_alive(), "the task was over before the turn"
        task.join()
        idle.append(figures[0])
        busy.append(figures[1])
    return report.Row(
        measure="first token of a chat turn while a 40-chunk task runs",
        value=round(statistics.median(b / i for b, i in zip(busy, idle, strict=True)), 3),
        unit="ratio",
        better="lower",
        target=2.0,
        rival="the same turn on an idle engine",
        ours=round(statistics.median(busy), 3),
        theirs=round(statistics.median(idle), 3),
    )


def measure(path: Path) -> list[report.Row]:
    """All rows of one model."""
    model = Model(path, SETTINGS, lambda fraction: None)
    work, bare = Work(model), BareBatchedLoop(model)
    said: list[int] = []
    engine = WorkerEngine()
    engine.load(path, SETTINGS)
    width = min(WIDTHS, key=lambda width: bare(work, width))
    with LlamaServer(path, threads=THREADS, parallel=8, context=8 * 1024) as server:
        runs: list[Callable[[], float]] = [
            lambda: ours(engine, work, said),
            lambda: bare(work, width),
            lambda: over_http(server, work),
        ]
        mine, loop, http = report.in_turn(RUNS, *runs)
    assert min(said) > CHUNKS * OUTPUT * 0.95, f"answers ended early: {said}"
    name = f"{CHUNKS} chunks, {path.stem.split('-')[0]}"
    rows = [
        report.ratio(
            name, rate(mine), rate(loop), target=0.9, rival=f"bare batched loop, best width ({width})"
        ),
        report.ratio(name, rate(mine), rate(http), target=1.0, rival="llama-server -np 8"),
    ]
    single = rate([one_after_another(path, work)])
    rows.append(report.ratio(name, rate(mine)[:1], single, target=None, rival="llama-cpp-python in turn"))
    rows.append(turn_beside_a_task(engine, work))
    engine.close()
    return rows


def rate(seconds: list[float]) -> list[float]:
    """Generated tokens per second, prompt time included."""
    return [CHUNKS * OUTPUT / each for each in seconds]


def main() -> None:
    """Measure and report."""
    files = os.environ.get("MODELS", "SmolLM2-135M-Instruct.Q4_1.gguf,gemma-3-270m-q4_k_m.gguf").split(",")
    rows = [row for file in files for row in measure(report.model(file))]
    report.write("chunks", rows)


if __name__ == "__main__":
    main()

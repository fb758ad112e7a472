"""Memory: what a worker takes against what was estimated before it was loaded, at three context lengths.

The estimate is what the app chooses context length and GPU layers by (``models/fit.py``). Measured is the
highest resident set of a real worker that read a prompt and wrote three tokens; a fresh one for each row.
Besides the real models there is one of random weights and Qwen3-4B's shape (``tests/large_model.py``), with
which load, prompt and snapshot are timed too, and what a 16 GB laptop would get is told.
"""

import statistics
import tempfile
import time
from pathlib import Path

from localai_app.engine.client import WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Segment, SnapshotFile
from localai_app.models.fit import Memory, choose, estimate, live_memory
from localai_app.models.header_process import read_header
from tests.bench import report
from tests.large_model import large_model

MODELS = (
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "gemma-3-270m-q4_k_m.gguf",
    "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
)
LONGEST = 16_384
PROMPT_TOKENS = 256
TEXT = "A quiet house by the sea keeps the old letters of the clerk who wrote the record of each ward. "
MB = 1_000_000
GB = 10**9
LAPTOP = Memory(ram_free=9 * GB, ram_total=16 * GB)
"""16 GB, of which system, browser and mail take 7."""


def memory_rows(path: Path, name: str) -> list[report.Row]:
    """Peak against estimate at three lengths; at the middle one also what it takes above its buffers."""
    header = read_header(path)
    longest = min(header.context_length, LONGEST)
    rows = []
    for context in (longest // 4, longest // 2, longest):
        fit = estimate(header, live_memory(), LoadSettings(context_length=context))
        peak = peak_of(path, context)
        rows.append(
            row(
                f"{name}, {context:,} tokens: measured peak off the estimate",
                round(abs(peak / fit.ram - 1), 3),
                "of it",
                target=0.10,
                ours=peak / MB,
                theirs=fit.ram / MB,
                rival="MB, estimated",
            )
        )
        if context == longest // 2:
            above = (peak - fit.weights - fit.kv - fit.compute) / MB
            rows.append(row(f"{name}: worker above model + KV + compute", round(above, 1), "MB", target=150))
    return rows


def peak_of(path: Path, context: int) -> int:
    """Bytes of the worker's highest resident set after a prompt and three tokens."""
    engine = WorkerEngine()
    try:
        engine.load(path, LoadSettings(context_length=context))
        answer(engine, tokens=3)
        assert engine._worker is not None
        status = Path(f"/proc/{engine._worker.pid}/status").read_text(encoding="ascii")
    finally:
        engine.close()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def answer(engine: WorkerEngine, *, tokens: int, snapshot: SnapshotFile | None = None) -> Done:
    """A greedy answer to a prompt of about `PROMPT_TOKENS`."""
    count = PROMPT_TOKENS // engine.count([Segment(text=TEXT)])
    generation = engine.generate(
        [Segment(text=TEXT * max(count, 1))],
        Sampling(temperature=0.0),
        max_tokens=tokens,
        slot="bench",
        snapshot=snapshot,
    )
    done = list(generation)[-1]
    assert isinstance(done, Done)
    return done


def large_rows(path: Path) -> list[report.Row]:
    """Load, prompt, decode and snapshot of the 4B shape."""
    settings = LoadSettings(context_length=4096)
    loads, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = SnapshotFile(path=f"{folder}/bench.kv", key=bytes(32))
        for run in range(3):
            engine = WorkerEngine(Path(folder))
            started = time.perf_counter()
            engine.load(path, settings, sha256="a" * 64)
            loads.append(time.perf_counter() - started)
            if run == 0:
                cold = answer(engine, tokens=12)
                started = time.perf_counter()
                size = engine.save_snapshot("bench", file)
                saving = time.perf_counter() - started
            elif run == 1:
                warm = answer(engine, tokens=1, snapshot=file)
            engine.close()
    usage = cold.usage
    kept = f"{usage.prompt_tokens} tokens" if size else "not written: it would not pay"
    rows = [
        row("4B shape: load, weights in the page cache", round(statistics.median(loads), 2), "s"),
        row("4B shape: prompt", round(usage.prompt_tokens / usage.first_token_seconds, 1), "tokens/s"),
        row("4B shape: decode", round((usage.output_tokens - 1) / usage.generation_seconds, 2), "tokens/s"),
        row(f"4B shape: snapshot of {kept}", round(size / MB, 1), "MB"),
        row("4B shape: writing the snapshot, encrypted", round(saving, 3), "s"),
        row(
            "4B shape: first token after a restart, from the snapshot",
            round(warm.usage.first_token_seconds, 3),
            "s",
            theirs=usage.first_token_seconds,
            rival="s, cold prompt",
        ),
    ]
    fit = choose(read_header(path), LAPTOP)
    print(f"\na 16 GB laptop with {LAPTOP.ram_free / GB:.0f} GB free, 4B shape: {fit.words}")
    rows.append(row("4B shape on a 16 GB laptop: context chosen", fit.context_length, "tokens"))
    rows.append(row("4B shape on a 16 GB laptop: memory needed", round(fit.needed / GB, 2), "GB"))
    return rows


def row(  # noqa: PLR0917 - the fields of a row
    measure: str,
    value: float,
    unit: str,
    target: float | None = None,
    ours: float | None = None,
    theirs: float | None = None,
    rival: str = "",
) -> report.Row:
    """Lower is better where there is a target."""
    return report.Row(
        measure=measure,
        value=value,
        unit=unit,
        better="lower",
        target=target,
        rival=rival,
        ours=round(value if ours is None else ours, 3),
        theirs=None if theirs is None else round(theirs, 3),
    )


def main() -> None:
    """Measure and report."""
    rows = []
    for file in MODELS:
        try:
            path = report.model(file)
        except SystemExit as missing:
            print(missing)
            continue
        rows += memory_rows(path, path.stem)
    path = large_model()
    report.write("fit", [*rows, *memory_rows(path, "4B shape"), *large_rows(path)])


if __name__ == "__main__":
    main()

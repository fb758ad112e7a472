"""Decoding beside another program that keeps one core busy.

Ours (worker, pipe, JSON lines; it chooses its threads by itself) against the bare loop in a process of its
own with every fixed number of threads. The best of those cannot be known beforehand; the number of cores
is what llama-server and LM Studio take.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling
from tests.bench import report
from tests.bench.decode import QUESTION, SEEDS, THREADS

RUNS = 5
TOKENS = 300
_BARE = """
import sys
from pathlib import Path
from tests.bench import decode
decode.THREADS, decode.TOKENS = int(sys.argv[2]), int(sys.argv[3])
loop = decode.BareLoop(Path(sys.argv[1]))
loop()
for _ in sys.stdin:
    print(loop(), flush=True)
"""


class Bare:
    """The bare loop in a process of its own, as any program that uses llama.cpp."""

    def __init__(self, path: Path, threads: int) -> None:
        arguments = [sys.executable, "-c", _BARE, str(path), str(threads), str(TOKENS)]
        self._process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def ours(engine: WorkerEngine) -> float:
    """Tokens/s of an answer that is long enough to tell."""
    prompt = engine.render([PromptMessage("user", QUESTION)])
    for _ in range(20):
        *_, done = engine.generate(prompt, Sampling(seed=next(SEEDS)), max_tokens=TOKENS)
        assert isinstance(done, Done)
        if done.usage.output_tokens > TOKENS / 3:
            return (done.usage.output_tokens - 1) / done.usage.generation_seconds
    raise AssertionError("all answers end early")


def measure(path: Path, name: str) -> list[report.Row]:
    """Both rows of one model."""
    engine = WorkerEngine()
    engine.load(path, LoadSettings())
    fixed = [Bare(path, threads) for threads in range(1, THREADS + 1)]
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(1)
        mine, *others = report.in_turn(RUNS, lambda: ours(engine), *fixed)
    finally:
        neighbour.kill()
        neighbour.wait()
        engine.close()
        for one in fixed:
            one.close()
    best = max(others, key=statistics.median)
    threads = others.index(best) + 1
    label = f"{name}: decode with one core kept busy"
    return [
        report.ratio(label, mine, best, target=0.9, rival=f"best fixed number of threads ({threads})"),
        report.ratio(label, mine, others[-1], target=2.0, rival="as many threads as cores"),
    ]


def main() -> None:
    """Measure and report."""
    report.write("busy", measure(report.model(), "SmolLM2-135M"))


if __name__ == "__main__":
    main()

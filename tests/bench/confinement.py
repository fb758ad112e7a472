"""The engine confined, as it always runs, against the same worker that confines nothing.

Both are workers of their own with the same model, number of threads and requests, in turn: writing (`TOKENS`
tokens, greedy) and reading a prompt of about `PROMPT` tokens, none of which is in the cache.
"""

import itertools
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import psutil

from localai_app.engine import worker_process
from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Usage
from localai_app.processes import CHILD_FLAG, Child, Role, encode_confinement
from localai_app.sandbox import NOT_CONFINED, Confinement
from tests.bench import report

TOKENS = 96
PROMPT = 500
RUNS = int(os.environ.get("RUNS", "9"))
SERIAL = itertools.count(1)
MODELS = {
    "SmolLM2-135M": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "Qwen2.5-Coder-1.5B": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
}
_FREE = Path(__file__).resolve().parents[1] / "children" / "free_engine.py"
_SENTENCE = "The archive keeps every record on site, and nobody may take one away without a receipt. "


def start_free(role: Role, confinement: Confinement, environment: Mapping[str, str] | None = None) -> Child:
    """As `processes.start_child`, but the child confines nothing."""
    command = [sys.executable, "-B", "-X", "utf8", str(_FREE), CHILD_FLAG, role]
    return Child([*command, encode_confinement(confinement)], environment)


class Worker:
    """A loaded engine; each call is one request that shares nothing with those before."""

    def __init__(self, path: Path, *, confined: bool) -> None:
        self.engine = WorkerEngine()
        settings = LoadSettings(
            context_length=4096, threads=psutil.cpu_count(logical=False) or 1, drafting=False
        )
        if confined:
            model = self.engine.load(path, settings)
        else:
            with mock.patch.object(worker_process, "start_child", start_free):
                model = self.engine.load(path, settings)
        assert model.confinement.startswith(NOT_CONFINED) != confined, model.confinement

    def writes(self) -> float:
        """Tokens/s of an answer, after its first."""
        usage = self._ask(f"{next(SERIAL)}. Write a long story about an archivist.", TOKENS)
        return (usage.output_tokens - 1) / usage.generation_seconds

    def reads(self) -> float:
        """Tokens/s of reading a prompt."""
        repeated = _SENTENCE * (PROMPT // 18)
        usage = self._ask(f"{next(SERIAL)}. {repeated}", 1)
        return (usage.prompt_tokens - usage.reused_tokens) / usage.first_token_seconds

    def _ask(self, text: str, tokens: int) -> Usage:
        prompt = self.engine.render([PromptMessage("user", text)])
        for event in self.engine.generate(prompt, Sampling(temperature=0), max_tokens=tokens):
            if isinstance(event, Done):
                return event.usage
        raise AssertionError("a generation ends with Done")


def measure(name: str, path: Path) -> list[report.Row]:
    """All rows of one model."""
    confined, free = Worker(path, confined=True), Worker(path, confined=False)
    try:
        written = report.in_turn(RUNS, confined.writes, free.writes)
        read = report.in_turn(RUNS, confined.reads, free.reads)
    finally:
        confined.engine.close()
        free.engine.close()
    return [
        report.ratio(f"{name}: writing, confined", *written, target=0.97, rival="not confined"),
        report.ratio(f"{name}: reading, confined", *read, target=0.97, rival="not confined"),
    ]


def main() -> None:
    """Measure and report; a model that was not fetched is left out."""
    rows = []
    for name, file in MODELS.items():
        if path := report.model_if_here(file):
            rows += measure(name, path)
    report.write("confinement", rows)


if __name__ == "__main__":
    main()

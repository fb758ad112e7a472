"""An answer that obeys a JSON schema: through the worker, against llama-server and llama-cpp-python.

Ours goes through worker process, pipe and JSON lines; theirs are llama-server and
``create_chat_completion``, each with the same schema as ``response_format``. Same weights, threads and
sampler values; tokens per second from the first token to the last. Beside it what the schema costs us: the
same question without one.
"""

import itertools
import json
import time
from pathlib import Path

import psutil

from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling
from tests.bench import report
from tests.bench.rivals import LlamaServer

THREADS = psutil.cpu_count(logical=False) or 1
RUNS = 5
TOKENS = 160
QUESTION = "List the patients of a small hospital as JSON: their names, ages, wards and one remark on each."
SCHEMA = {
    "type": "array",
    "minItems": 12,
    "maxItems": 12,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 30},
            "age": {"type": "integer"},
            "ward": {"enum": ["surgery", "children", "intensive care"]},
            "remark": {"type": "string", "maxLength": 80},
        },
        "required": ["name", "age", "ward", "remark"],
    },
}
SEEDS = itertools.count(11)
MODELS = {"SmolLM2-135M": "SmolLM2-135M-Instruct.Q4_1.gguf", "Gemma 3 270M": "gemma-3-270m-q4_k_m.gguf"}


class Ours:
    """An answer through the worker."""

    def __init__(self, path: Path, *, schema: bool, drafting: bool) -> None:
        self.engine = WorkerEngine()
        self.engine.load(path, LoadSettings(threads=THREADS, drafting=drafting))
        self._prompt = self.engine.render([PromptMessage("user", QUESTION)])
        self._schema = json.dumps(SCHEMA) if schema else ""

    def __call__(self) -> float:
        sampling = Sampling(seed=next(SEEDS), json_schema=self._schema)
        *_, done = self.engine.generate(self._prompt, sampling, max_tokens=TOKENS)
        assert isinstance(done, Done)
        assert done.incomplete or not self._schema, "the list is longer than the answer may be"
        return (done.usage.output_tokens - 1) / done.usage.generation_seconds


class HighLevel:
    """llama-cpp-python's own chat with a response format."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self._llama = llama_cpp.Llama(
            str(path), n_ctx=8192, n_threads=THREADS, n_threads_batch=THREADS, verbose=False
        )

    def __call__(self) -> float:
        said, started, last = 0, 0.0, 0.0
        for chunk in self._llama.create_chat_completion(
            [{"role": "user", "content": QUESTION}],
            response_format={"type": "json_object", "schema": SCHEMA},
            stream=True,
            max_tokens=TOKENS,
            temperature=0.8,
            top_k=40,
            top_p=0.95,
            min_p=0.05,
            repeat_penalty=1.0,
            seed=next(SEEDS),
        ):
            if chunk["choices"][0]["delta"].get("content"):
                said += 1
                last = time.perf_counter()
                started = started or last
        return (said - 1) / (last - started)


def over_http(server: LlamaServer) -> float:
    """Tokens/s of llama-server's streamed chat with the schema."""
    said, started, last = 0, 0.0, 0.0
    for chunk in server.stream(
        messages=[{"role": "user", "content": QUESTION}],
        response_format={"type": "json_schema", "json_schema": {"name": "patients", "schema": SCHEMA}},
        max_tokens=TOKENS,
        temperature=0.8,
        top_k=40,
        top_p=0.95,
        min_p=0.05,
        seed=next(SEEDS),
        samplers=["top_k", "top_p", "min_p", "temperature"],
        cache_prompt=False,
    ):
        if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
            said += 1
            last = time.perf_counter()
            started = started or last
    return (said - 1) / (last - started)


def main() -> None:
    """Measure and report."""
    rows = []
    for name, file in MODELS.items():
        path = report.model(file)
        ways = [
            Ours(path, schema=True, drafting=True),
            Ours(path, schema=True, drafting=False),
            Ours(path, schema=False, drafting=False),
        ]
        with LlamaServer(path, threads=THREADS) as server:
            ours, plain, free, high, http = report.in_turn(
                RUNS, *ways, HighLevel(path), lambda: over_http(server)
            )
        for way in ways:
            way.engine.close()
        rival = "create_chat_completion with the schema"
        rows += [
            report.ratio(
                f"{name}: decode with a JSON schema",
                *(ours, http),
                target=1.0,
                rival="llama-server with the schema",
            ),
            report.ratio(f"{name}: decode with a JSON schema", ours, high, target=1.0, rival=rival),
            report.ratio(f"{name}: the same, no drafting", plain, high, target=1.0, rival=rival),
            report.ratio(f"{name}: what the schema costs", plain, free, target=0.9, rival="no schema"),
        ]
    report.write("grammar", rows)


if __name__ == "__main__":
    main()

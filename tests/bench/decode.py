"""One answer, streamed: the whole path against the bare loop, llama-cpp-python and llama-server.

Ours goes through everything a person's answer goes through: worker process, pipe, JSON lines,
service, encrypted store. The bare loop is the same model, context and sampler chain in this process
with nothing around them. All use the same number of threads, the same sampler values and the
same question, and decode `TOKENS` tokens; the prompt's evaluation does not count.
"""

import itertools
import os
import tempfile
import time
from pathlib import Path

import psutil

from localai_app.app import App, open_app
from localai_app.chat.conversation import Parameters
from localai_app.chat.service import TurnFinished
from localai_app.engine.protocol import LoadSettings, Sampling
from localai_app.engine.worker.llama import Context, Entry, Model
from localai_app.engine.worker.sampling import Sampler
from localai_app.paths import Paths
from tests.bench import report
from tests.bench.rivals import LlamaServer

QUESTION = "Write a long story about an archivist in a hospital who keeps every record on site."
# Models that chat: a base model ends its answer to a question at once.
MODELS = {
    "SmolLM2-135M": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "Qwen2.5-Coder-1.5B": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
}
RENDERED = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
TOKENS = 160
RUNS = int(os.environ.get("RUNS", "9"))
SEEDS = itertools.count(11)
THREADS = psutil.cpu_count(logical=False) or 1


def through_everything(app: App) -> float:
    """Tokens/s of an answer that a person gets."""
    conversation = app.chat.create()
    parameters = Parameters(max_tokens=TOKENS, temperature=0.8, top_p=0.95, repeat_penalty=1.0)
    app.chat.set_parameters(conversation.id, parameters)
    first = before = 0.0
    for event in app.chat.send(conversation.id, QUESTION):
        last = time.perf_counter()
        if isinstance(event, TurnFinished):
            stats = event.answer.stats
            assert stats is not None, event.answer.error
            assert first > 0
            # Text may lag tokens (stop strings, characters), so the service's own clock is checked
            # against the one of whoever reads.
            return (stats.output_tokens - 1) / (before - first)
        if hasattr(event, "text"):
            first = first or last
            before = last
    raise AssertionError("a turn ends with TurnFinished")


class BareLoop:
    """The same model, context and sampler in this process."""

    def __init__(self, path: Path) -> None:
        settings = LoadSettings()
        self._model = Model(path, settings, lambda fraction: None)
        self._context = Context(self._model, settings, threads=THREADS, should_abort=lambda: False)

    def __call__(self) -> float:
        vocabulary, context = self._model.vocabulary, self._context
        context.keep(0, 0)
        tokens = vocabulary.tokenize(RENDERED)
        sampler = Sampler(Sampling(seed=next(SEEDS)), vocabulary)
        context.decode([Entry(token, at, 0, at == len(tokens) - 1) for at, token in enumerate(tokens)])
        position, said = len(tokens), 0
        row = len(tokens) - 1
        started = 0.0
        while True:
            token = sampler.sample(context, row)
            said += 1
            started = started or time.perf_counter()
            vocabulary.piece(token)
            if said == TOKENS or vocabulary.ends_generation(token):
                return (said - 1) / (time.perf_counter() - started)
            context.decode([Entry(token, position, 0, True)])
            position, row = position + 1, 0


def over_http(server: LlamaServer) -> float:
    """Tokens/s of llama-server's streamed chat."""
    said, started, last = 0, 0.0, 0.0
    for chunk in server.stream(
        messages=[{"role": "user", "content": QUESTION}],
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


class HighLevel:
    """llama-cpp-python's own streaming chat."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self._llama = llama_cpp.Llama(
            str(path), n_ctx=8192, n_threads=THREADS, n_threads_batch=THREADS, verbose=False
        )

    def __call__(self) -> float:
        said, started = 0, 0.0
        for chunk in self._llama.create_chat_completion(
            [{"role": "user", "content": QUESTION}],
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


def measure(name: str, path: Path) -> list[report.Row]:
    """All rows of one model."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "models").mkdir()
        (base / "models" / path.name).symlink_to(path)
        paths = Paths(base / "data", base / "config", base / "cache", (base / "models",))
        with open_app(paths) as app, LlamaServer(path, threads=THREADS) as server:
            ours, bare, high, http = report.in_turn(
                RUNS,
                lambda: through_everything(app),
                BareLoop(path),
                HighLevel(path),
                lambda: over_http(server),
            )
    measure = f"{name}: decode, one sequence, whole path"
    return [
        report.ratio(measure, ours, bare, target=0.95, rival="bare loop"),
        report.ratio(measure, ours, high, target=1.05, rival="create_chat_completion"),
        report.ratio(measure, ours, http, target=1.0, rival="llama-server"),
    ]


def main() -> None:
    """Measure and report; a model that was not fetched is left out."""
    rows = []
    for name, file in MODELS.items():
        if path := report.model_if_here(file):
            rows += measure(name, path)
    report.write("decode", rows)


if __name__ == "__main__":
    main()

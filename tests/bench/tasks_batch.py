"""A batch of real documents through the whole task room, against what the engine itself can do.

Ours: pages of contracts and paragraphs of articles, each a document of its own, are summarised in one run,
with all that belongs to it: store, audit, coverage. The first rival is the engine's own limit: the very same
requests straight into `Engine.generate`, 16 under way, nothing kept. The second is llama-cpp-python's
`create_chat_completion`, one call after another, with the same messages, schema and limits. The documents
come in slices that are measured in turn, so all three suffer the same neighbours.

``LOCALAI_APP_EVAL`` names the folder with ``cuad/`` and ``xquad/``; without it nothing is measured.
``DOCUMENTS`` is how many (default 200), ``SLICES`` in how many parts (default 4), ``MODEL`` the model's file.
"""

import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from localai_app.app import App, open_app
from localai_app.documents.document import Scope
from localai_app.engine.client import PromptMessage
from localai_app.engine.protocol import Done, Sampling, Segment
from localai_app.paths import Paths
from localai_app.tasks.run import Item
from tests.bench import report

DOCUMENTS = int(os.environ.get("DOCUMENTS", "200"))
SLICES = int(os.environ.get("SLICES", "4"))
MODEL = os.environ.get("MODEL", "SmolLM2-135M-Instruct.Q4_1.gguf")
SIDE_BY_SIDE = 16
PAGES_OF_ONE = 3
CONTEXT = 8192
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Asked:
    """One request of the batch, as the engine got it, and the message that it was made of."""

    prompt: Sequence[Segment]
    message: str
    sampling: Sampling
    options: dict[str, Any]


@dataclass
class Measured:
    """Documents per minute of each slice, and what else was seen."""

    ours: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    """Bytes of the app and its engine while our batches ran."""
    items: list[Item] = field(default_factory=list)


def main() -> None:
    """Measure and report."""
    folder = os.environ.get("LOCALAI_APP_EVAL")
    if not folder or not (Path(folder) / "cuad").is_dir() or not (Path(folder) / "xquad").is_dir():
        print("tasks_batch: LOCALAI_APP_EVAL names no folder with cuad/ and xquad/; nothing is measured")
        return
    with tempfile.TemporaryDirectory() as temporary:
        measured = measure(Path(folder), Path(temporary))
    report.write("tasks_batch", rows_of(measured))


def measure(evaluation: Path, temporary: Path) -> Measured:
    """All three ways over all slices."""
    path = report.model(MODEL)
    (temporary / "models").mkdir()
    (temporary / "models" / path.name).symlink_to(path)
    paths = Paths(temporary / "data", temporary / "config", temporary / "cache", (temporary / "models",))
    texts = [*itertools.islice(_texts(evaluation), DOCUMENTS)]
    (temporary / "texts").mkdir()
    for number, text in enumerate(texts):
        (temporary / "texts" / f"{number:04}.txt").write_text(text, encoding="utf-8")
    measured = Measured()
    with open_app(paths) as app:
        app.documents.add([temporary / "texts"])
        assert app.documents.wait(3600), "reading did not end"
        model = app.models.load()
        ids = [document.id for document in app.documents.documents()]
        size = -(-len(ids) // SLICES)
        rival = _Rival(path, model.threads)
        _warm(app, rival)
        for start in range(0, len(ids), size):
            asked, seconds = _batch(app, ids[start : start + size], measured)
            count = len(ids[start : start + size])
            measured.ours.append(60 * count / seconds)
            measured.limit.append(60 * count / _timed(lambda asked=asked: _straight(app, asked)))
            measured.calls.append(60 * count / _timed(lambda asked=asked: rival.ask(asked)))
            print(
                f"  {start + count} of {len(ids)}: {measured.ours[-1]:.1f} documents/min, limit "
                f"{measured.limit[-1]:.1f}, one after another {measured.calls[-1]:.1f}",
                flush=True,
            )
    return measured


def rows_of(measured: Measured) -> list[report.Row]:
    """What is reported of them."""
    done = [item for item in measured.items if item.outcome is not None]
    prompts = sum(item.cost.prompt_tokens for item in done)
    evaluated = prompts - sum(item.cost.reused_tokens for item in done)
    quarter = max(len(measured.memory) // 4, 1)
    first = statistics.median(measured.memory[:quarter]) / 1e6
    last = statistics.median(measured.memory[-quarter:]) / 1e6
    name = MODEL.split("-", 1)[0]
    failed = len(measured.items) - len(done)
    return [
        report.ratio(
            f"{name}: documents per minute",
            measured.ours,
            measured.limit,
            target=0.9,
            rival="engine's own limit",
        ),
        report.ratio(
            f"{name}: documents per minute",
            measured.ours,
            measured.calls,
            target=1.1,
            rival="create_chat_completion",
        ),
        report.Row(
            f"{name}: prompt tokens evaluated",
            round(evaluated / max(prompts, 1), 3),
            "ratio",
            "lower",
            1.0,
            "every prompt whole",
            evaluated,
            prompts,
        ),
        report.Row(
            f"{name}: memory, last quarter to first",
            round(last / first, 3),
            "ratio",
            "lower",
            1.1,
            "first quarter (MB)",
            round(last),
            round(first),
        ),
        report.Row(
            f"{name}: documents that failed",
            failed,
            "documents",
            "lower",
            0,
            "documents",
            failed,
            len(measured.items),
        ),
    ]


# ---------------------------------------------------------------- the documents


def _texts(evaluation: Path) -> Iterator[str]:
    """Pages of contracts and paragraphs of articles, in turn."""
    for page, paragraph in itertools.zip_longest(_contract_pages(evaluation), _paragraphs(evaluation)):
        yield from (text for text in (page, paragraph) if text)


def _contract_pages(evaluation: Path) -> Iterator[str]:
    import pypdfium2

    for number in range(PAGES_OF_ONE):
        for file in sorted((evaluation / "cuad").glob("*.pdf")):
            document = pypdfium2.PdfDocument(file)
            text = document[number].get_textpage().get_text_range() if len(document) > number else ""
            document.close()
            if len(text) > 200:
                yield text


def _paragraphs(evaluation: Path) -> Iterator[str]:
    for article in json.loads((evaluation / "xquad" / "xquad.en.json").read_text())["data"]:
        for paragraph in article["paragraphs"]:
            yield paragraph["context"]


# ---------------------------------------------------------------- three ways


def _batch(app: App, ids: Sequence[int], measured: Measured) -> tuple[list[Asked], float]:
    """A run over these documents; what the engine was asked, and the seconds it took."""
    options = app.tasks.options_of("summarise", b"{}")
    with _recorded(app) as asked, _watched_memory(measured.memory):
        started = time.perf_counter()
        run = app.tasks.start("summarise", options, Scope(documents=tuple(ids)))
        assert app.tasks.wait(run.id, 36_000), app.tasks.run(run.id).notice
        seconds = time.perf_counter() - started
    measured.items += app.tasks.items(run.id)
    return list(asked), seconds


def _straight(app: App, asked: Sequence[Asked]) -> None:
    """The same requests, with nothing around them."""

    def do(one: Asked) -> None:
        prompt = app.engine.render([PromptMessage("user", one.message)])
        for event in app.engine.generate(prompt, one.sampling, **one.options):
            assert not isinstance(event, Done) or event.reason != "cancelled"

    with app.engine.hold(), ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(do, asked))


class _Rival:
    """llama-cpp-python's own chat completion, with as many threads as the engine has."""

    def __init__(self, path: Path, threads: int) -> None:
        import llama_cpp

        self._llama = llama_cpp.Llama(
            str(path), n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    def ask(self, asked: Sequence[Asked]) -> None:
        for one in asked:
            schema = one.sampling.json_schema
            self._llama.create_chat_completion(
                [{"role": "user", "content": one.message}],
                temperature=0,
                max_tokens=one.options["max_tokens"],
                response_format={"type": "json_object", "schema": json.loads(schema)} if schema else None,
            )


def _timed(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _warm(app: App, rival: _Rival) -> None:
    """One request of each that does not count; the rival has all its memory from now on."""
    rival.ask([Asked([], "word " * 2000, Sampling(), {"max_tokens": 8})])
    prompt = app.engine.render([PromptMessage("user", "Hello")])
    for _ in app.engine.generate(prompt, Sampling(temperature=0), max_tokens=8):
        pass


# ---------------------------------------------------------------- looking on


class _recorded:  # noqa: N801 - reads as what it does
    """Inside, what the engine is asked to generate is kept."""

    def __init__(self, app: App) -> None:
        self._engine: Any = app.engine
        self._asked: list[Asked] = []
        self._messages: dict[int, tuple[Sequence[Segment], str]] = {}

    def __enter__(self) -> list[Asked]:
        render, generate = self._engine.render, self._engine.generate

        def rendering(messages: Sequence[PromptMessage], **options: Any) -> list[Segment]:
            prompt: list[Segment] = render(messages, **options)
            self._messages[id(prompt)] = prompt, messages[-1].content  # held, so its id stays its own
            return prompt

        def generating(prompt: Sequence[Segment], sampling: Sampling, **options: Any) -> Any:
            self._asked.append(Asked(prompt, self._messages[id(prompt)][1], sampling, options))
            return generate(prompt, sampling, **options)

        self._engine.render, self._engine.generate = rendering, generating
        return self._asked

    def __exit__(self, *_: object) -> None:
        del self._engine.render, self._engine.generate


class _watched_memory:  # noqa: N801 - reads as what it does
    """Inside, the memory of the app and all its children is noted twice a second."""

    def __init__(self, noted: list[int]) -> None:
        self._noted = noted
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        app = psutil.Process()
        while True:
            total = app.memory_info().rss
            for child in app.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self._noted.append(total)
            if self._over.wait(_LOOK_SECONDS):
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


if __name__ == "__main__":
    main()

"""Passages into vectors: the whole path against the best of llama.cpp's own ways to batch.

Ours goes through everything an index goes through: service, worker process, pipe, JSON lines. The rivals
are bare loops over llama.cpp in this process with 1, 8 and 32 texts per decode; whichever is fastest here
is what ours is held against. All use the same model, the same number of threads and the same texts, cut
from this repository's own prose.
"""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import llama_cpp.llama_cpp as C  # noqa: N812 - C is the library
import numpy as np
import psutil

from localai_app.app import App, open_app
from localai_app.engine.protocol import LoadSettings
from localai_app.engine.worker.llama import Model
from localai_app.models.embedding import SHIPPED
from localai_app.paths import Paths
from tests.bench import report

RUNS = 7
WAYS = (1, 8, 32)
KINDS = ((200, 64), (20, 512))
"""Tokens of a text, and how many texts are embedded in one run."""
THREADS = psutil.cpu_count(logical=False) or 1
ROOT = Path(__file__).resolve().parents[2]


def passages(count_tokens: Callable[[str], int], tokens: int, count: int) -> list[str]:
    """``count`` texts of about ``tokens`` tokens each, [CLS] and [SEP] included; never more."""
    files = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("localai_app/**/*.py")])
    words = itertools.cycle(word for file in files for word in file.read_text(encoding="utf-8").split())
    texts: list[str] = []
    text: list[str] = []
    used = 2
    while len(texts) < count:
        word = next(words)
        size = count_tokens(word)
        if used + size > tokens:
            texts.append(" ".join(text))
            text, used = [], 2
        if size <= tokens - 2:
            text.append(word)
            used += size
    return texts


def through_everything(app: App, texts: Sequence[str]) -> float:
    """Texts/s of an index."""
    started = time.perf_counter()
    values = app.embedding.embed_passages(texts).values
    assert len(values) == len(texts)
    return len(texts) / (time.perf_counter() - started)


class BareLoop:
    """llama.cpp with ``together`` texts in each decode."""

    def __init__(self, model: Model, together: int, tokens: int) -> None:
        self._model, self._together = model, together
        parameters = C.llama_context_default_params()
        parameters.n_seq_max = together
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = max(together * tokens, 512)
        parameters.kv_unified = True
        parameters.embeddings = True
        parameters.n_threads = parameters.n_threads_batch = THREADS
        self._context = C.llama_init_from_model(model.pointer, parameters)
        assert self._context
        self._batch = C.llama_batch_init(parameters.n_batch, 0, 1)

    def __call__(self, texts: Sequence[str]) -> float:
        """Texts/s."""
        started = time.perf_counter()
        vectors = [
            vector
            for start in range(0, len(texts), self._together)
            for vector in self._decode(texts[start : start + self._together])
        ]
        assert len(vectors) == len(texts)
        return len(texts) / (time.perf_counter() - started)

    def _decode(self, texts: Sequence[str]) -> "list[np.ndarray]":
        batch, row = self._batch, 0
        for sequence, text in enumerate(texts):
            for position, token in enumerate(self._model.vocabulary.tokenize(text, add_special=True)):
                batch.token[row], batch.pos[row], batch.logits[row] = token, position, True
                batch.n_seq_id[row], batch.seq_id[row][0] = 1, sequence
                row += 1
        batch.n_tokens = row
        assert C.llama_decode(self._context, batch) == 0
        width = self._model.embedding_length
        found = []
        for sequence in range(len(texts)):
            pointer = C.llama_get_embeddings_seq(self._context, sequence)
            vector = np.ctypeslib.as_array(pointer, shape=(width,)).copy()
            found.append(vector / np.linalg.norm(vector))
        return found


def compare(app: App, model: Model, tokens: int, count: int) -> list[report.Row]:
    """Figures for texts of one length."""
    texts = passages(lambda word: len(model.vocabulary.tokenize(word)), tokens, count)
    loops = [BareLoop(model, together, tokens) for together in WAYS]
    measures: list[Callable[[], float]] = [lambda: through_everything(app, texts)]
    measures += [lambda loop=loop: loop(texts) for loop in loops]  # type: ignore[misc]
    ours, *theirs = report.in_turn(RUNS, *measures)
    best = max(range(len(WAYS)), key=lambda way: statistics.median(theirs[way]))
    told = ", ".join(
        f"{together}: {statistics.median(figures):.1f}"
        for together, figures in zip(WAYS, theirs, strict=True)
    )
    return [
        report.ratio(
            f"embeddings/s, {tokens}-token texts, whole path",
            ours,
            theirs[best],
            target=0.9,
            rival=f"best bare loop ({WAYS[best]} per decode; texts/s at {told})",
        )
    ]


def main() -> None:
    """Measure and report."""
    path = report.model(SHIPPED)
    model = Model(path, LoadSettings(embedding=True), lambda fraction: None)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "models").mkdir()
        (base / "models" / path.name).symlink_to(path)
        paths = Paths(base / "data", base / "config", base / "cache", (base / "models",))
        with open_app(paths) as app:
            rows = [row for tokens, count in KINDS for row in compare(app, model, tokens, count)]
    report.write("embeddings", rows)


if __name__ == "__main__":
    main()

"""Searching 100,000 chunks: how long it takes, alone and while a document is added, and what the index takes.

Words follow Zipf's law, so that common ones are as common as in real text; vectors are random, which costs as
much as real ones. Beside ours stand its two halves by themselves: SQLite's FTS5 as it comes, with the text in
it and every word of the query looked for, and the product of a matrix with a vector.
"""

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from localai_app.documents.document import Chunk, Page, Scope
from localai_app.documents.function_words import FUNCTION_WORDS
from localai_app.documents.library import Library
from localai_app.documents.search import Index
from localai_app.models.embedding import EmbeddingModel, Vectors
from localai_app.models.embedding_facts import facts_of
from localai_app.store.database import Database
from tests.bench import report

CHUNKS, TO_A_DOCUMENT, WORDS = 100_000, 50, 120
QUERIES = 200
ADDED = 20
"""Documents that are added, one after the other, while others are searched."""
DIMENSIONS = 384
MODEL = EmbeddingModel(
    Path("model"), "all-MiniLM-L6-v2", "a" * 64, DIMENSIONS, 512, facts_of("all-MiniLM-L6-v2")
)


class Vocabulary:
    """Words as common as in real text: the first ones are those that join others."""

    def __init__(self, size: int, seed: int) -> None:
        self._random = random.Random(seed)
        syllables = [consonant + vowel for consonant in "bcdfghlmnprstv" for vowel in "aeiou"]
        words = dict.fromkeys(sorted(FUNCTION_WORDS["en"], key=len))
        while len(words) < size:
            words["".join(self._random.choices(syllables, k=self._random.choice((2, 2, 3, 3, 4))))] = None
        self.words = list(words)
        self._weights = [1 / (rank + 2.7) for rank in range(size)]
        total = 0.0
        self._cumulated = [total := total + weight for weight in self._weights]

    def text(self, length: int) -> str:
        """A text of so many words."""
        return " ".join(self._random.choices(self.words, cum_weights=self._cumulated, k=length))

    def query(self) -> str:
        """A question: words that join others, common ones, and rare ones."""
        kinds = ((0, 100, 4), (100, 1_000, 2), (1_000, 20_000, 3))
        chosen = [
            word
            for first, past, count in kinds
            for word in self._random.sample(self.words[first:past], count)
        ]
        self._random.shuffle(chosen)
        return " ".join(chosen) + "?"


class Filled:
    """A store with documents."""

    def __init__(self, folder: Path) -> None:
        self.database = Database.open(folder / "store.db", bytes(32))
        self.library = Library(self.database)
        self.index = Index(self.database)
        self.vocabulary = Vocabulary(60_000, seed=1)
        self._vectors = np.random.default_rng(1)

    def vectors(self, count: int) -> "np.ndarray":
        """Random ones of length 1."""
        values = self._vectors.normal(size=(count, DIMENSIONS)).astype(np.float32)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    def texts(self) -> list[str]:
        """Of the chunks of one document."""
        return [self.vocabulary.text(WORDS) for _ in range(TO_A_DOCUMENT)]

    def add(self, number: int, texts: Sequence[str]) -> None:
        """Add a document of as many pages and chunks, as the app does: its words, then its vectors."""
        database = self.database
        with database.transaction():
            document = self.library.add(f"{number}.txt", f"{number:064x}", 1, "txt")
            database.execute("UPDATE document SET reading = 1, state = 'ready' WHERE id = ?", [document])
            for page, text in enumerate(texts, 1):
                body = msgspec.msgpack.encode(Page(page, ""))
                database.execute("INSERT INTO page VALUES (?, 1, ?, ?, ?, x'')", [document, page, text, body])
            chunks = [Chunk(page, 0, len(text), text, "", 160) for page, text in enumerate(texts, 1)]
            self.index.prepared(chunks, "en")(document)
        missing = [chunk for chunk, _ in self.index.without_vectors(MODEL.sha256, document)]
        with database.transaction():
            self.index.add_vectors(MODEL, missing, self.vectors(len(missing)))


def timed(search: Callable[[str], object], queries: Sequence[str]) -> list[float]:
    """Milliseconds of each, the first few not counted."""
    found = []
    for query in queries:
        started = time.perf_counter()
        search(query)
        found.append((time.perf_counter() - started) * 1000)
    return found[5:]


def p95(figures: Sequence[float]) -> float:
    return round(statistics.quantiles(figures, n=20)[-1], 1)


def row(
    measure: str, figures: Sequence[float], target: float | None, rival: str = "", theirs: float | None = None
) -> report.Row:
    """The 95th percentile."""
    value = p95(figures)
    return report.Row(measure, value, "ms p95", "lower", target, rival, value, theirs)


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        filled = Filled(Path(folder))
        started = time.perf_counter()
        for number in range(CHUNKS // TO_A_DOCUMENT):
            filled.add(number, filled.texts())
        took = time.perf_counter() - started
        rows = measured(filled, took)
        filled.database.close()
    report.write("search", rows)


def measured(filled: Filled, took: float) -> list[report.Row]:
    """Every figure."""
    index, database = filled.index, filled.database
    queries = [filled.vocabulary.query() for _ in range(QUERIES)]
    directions = dict(zip(queries, filled.vectors(len(queries)), strict=True))

    def ours(query: str, scope: Scope = Scope()) -> object:  # noqa: B008 - frozen
        return index.find(query, Vectors(MODEL, directions[query][None]), scope, 10)

    started = time.perf_counter()
    ours(queries[0])
    first = time.perf_counter() - started
    alone = timed(ours, queries)
    by_words = timed(lambda query: index.find(query, None), queries)
    tenth = Scope(documents=tuple(range(1, CHUNKS // TO_A_DOCUMENT // 10)))
    scoped = timed(lambda query: ours(query, tenth), queries)
    beside = searched_while_adding(filled, ours, queries)
    plain = plain_fts5(database, queries)
    matrix = filled.vectors(CHUNKS)
    product = timed(lambda query: np.argpartition(-(matrix @ directions[query]), 10)[:10], queries)
    sizes = index.statistics()
    size = sizes.word_bytes + sizes.vector_bytes
    return [
        row(
            f"search of {CHUNKS:,} chunks by words and meaning",
            alone,
            60,
            "plain FTS5 and a matrix, one after the other",
            round(p95(plain) + p95(product), 1),
        ),
        row("by words alone", by_words, None, "plain FTS5, all words", p95(plain)),
        row("in a tenth of the documents", scoped, 60),
        row("while documents are added", beside, 100),
        report.Row(
            "first search, vectors read from the store",
            round(first, 2),
            "s",
            "lower",
            None,
            "",
            round(first, 2),
            None,
        ),
        report.Row(
            f"index of words and vectors, to a chunk of {WORDS} words",
            round(size / sizes.chunks),
            "bytes",
            "lower",
            None,
            "",
            size,
            None,
        ),
        report.Row(
            "chunks/s put into it",
            round(CHUNKS / took),
            "chunks/s",
            "higher",
            None,
            "",
            round(CHUNKS / took),
            None,
        ),
    ]


def searched_while_adding(
    filled: Filled, search: Callable[[str], object], queries: Sequence[str]
) -> list[float]:
    """Milliseconds of searches while documents come in another thread."""
    texts = [filled.texts() for _ in range(ADDED)]

    def add() -> None:
        for number, some in enumerate(texts):
            filled.add(CHUNKS + number, some)

    thread = threading.Thread(target=add)
    figures: list[float] = []
    thread.start()
    while thread.is_alive():
        figures += timed(search, queries[:15])
    thread.join()
    return figures


def plain_fts5(database: Database, queries: Sequence[str]) -> list[float]:
    """Milliseconds of the same queries in a table of FTS5 as it comes."""
    database.execute("CREATE VIRTUAL TABLE plain USING fts5 (text, tokenize = 'porter')")
    database.execute("INSERT INTO plain (text) SELECT text FROM page")
    sql = "SELECT rowid FROM plain WHERE plain MATCH ? ORDER BY rank LIMIT 10"
    return timed(lambda query: database.rows(sql, [" OR ".join(query.rstrip("?").split())]), queries)


if __name__ == "__main__":
    main()

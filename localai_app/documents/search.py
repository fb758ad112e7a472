"""Finding passages, by their words and by their vectors, and all SQL for it.

Vectors are kept in the store, encrypted as all of it is, and searched in memory; what another process
changed is noticed at the next search.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from localai_app.documents import fusion
from localai_app.documents.document import Page, Passage, Scope
from localai_app.documents.kept_chunks import ON_PAGE, TEXT, KeptChunks, json_of
from localai_app.documents.query import Query, match, match_all, parse
from localai_app.errors import ContextOverflow, LocalAIError
from localai_app.models.embedding import EmbeddingModel, EmbeddingService, Vectors
from localai_app.store.database import Database

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from localai_app.documents.matrix import View

_BY_WORDS, _BY_MEANING = 1_000, 200
"""Chunks that each of the two searches proposes, at most."""
_SCORED = 15_000
"""Chunks that a search scores by their words, about."""
_COUNTS = 10_000
"""Words of which is remembered how many chunks have them."""
_LANGUAGES = 6
"""In which a query is looked for, those of most chunks."""

_SURELY_FITS = 200
"""Characters of a query that every model can read."""
_EVERYWHERE = Scope()


@dataclass(frozen=True)
class Statistics:
    """What the index holds."""

    documents: int
    chunks: int
    tokens: int
    vectors: int
    """Of the model whose vectors serve."""
    word_bytes: int
    vector_bytes: int
    memory_bytes: int
    """That vectors take in memory now."""


class Index(KeptChunks):
    """What finds passages. Calls may come from any thread."""

    def __init__(self, database: Database, embedding: EmbeddingService | None = None) -> None:
        """Without ``embedding``, `search` finds by words alone."""
        super().__init__(database)
        self._embedding = embedding
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._used = 0.0
        self._counts: dict[tuple[str, ...], int] = {}
        self._counted_in = 0

    def release(self, idle_seconds: float = 0.0) -> None:
        """Give back the memory that vectors take, unless a search used them that lately."""
        with self._lock:
            if time.monotonic() - self._used >= idle_seconds:
                self._loaded = None

    # ------------------------------------------------------------ searching

    def search(self, text: str, scope: Scope = _EVERYWHERE, limit: int = 10) -> list[Passage]:
        """The passages that answer ``text`` best, best first; every text is valid."""
        return self.find(text, self._embedded(text), scope, limit)

    def find(
        self, text: str, vectors: Vectors | None, scope: Scope = _EVERYWHERE, limit: int = 10
    ) -> list[Passage]:
        """As `search`, with the vector of ``text`` in one row of ``vectors``; None: by words alone."""
        documents = self._documents(scope)
        if limit < 1 or documents.is_nowhere:
            return []
        here = self._languages_here()
        found = self._ranked(parse(text, list(here)), here, vectors, documents)
        return self._passages(found[:limit])

    def _embedded(self, text: str) -> Vectors | None:
        """The vector of a query; None where no model can make one that fits the vectors here."""
        if self._embedding is None or not text.strip():
            return None
        serving = self.serving()
        if not serving:
            return None
        try:
            selected = self._embedding.selected_sha256() == serving
            try:
                return self._embedding.embed_query(text, sha256="" if selected else serving)
            except ContextOverflow:
                return self._embedding.embed_query(text[:_SURELY_FITS], sha256=serving)
        except LocalAIError:
            return None  # words are found without a model

    def _ranked(
        self, query: Query, here: dict[str, float], vectors: Vectors | None, documents: "_Within"
    ) -> list[tuple[int, float]]:
        """(chunk, score), best first."""
        import numpy as np  # noqa: PLC0415 - the window starts without it

        words = dict(self._by_words(match(self._affordable(query)), documents, _BY_WORDS))
        quoted = {chunk for chunk, _ in self._by_words(match_all(query.quoted), documents, _BY_WORDS)}
        chunks, similarities, ordinary = self._by_meaning(vectors, documents, [*words, *quoted])
        found = np.union1d(np.asarray([*words, *quoted], np.int64), chunks)
        by_meaning = np.full(len(found), ordinary, np.float32)
        by_meaning[np.searchsorted(found, chunks)] = similarities
        scores = fusion.fused(
            np.asarray([words.get(chunk, 0.0) for chunk in found.tolist()]),
            by_meaning,
            self._trust(query, here, vectors, found),
            ordinary,
        )
        # What holds the quoted words comes first.
        scores += np.isin(found, np.asarray(list(quoted), np.int64))
        order = np.lexsort((found, -scores))
        return list(zip(found[order].tolist(), scores[order].tolist(), strict=True))

    def _by_meaning(
        self, vectors: Vectors | None, documents: "_Within", also: Sequence[int]
    ) -> "tuple[NDArray[np.int64], NDArray[np.float32], float]":
        """The chunks that are most like the query, and those of ``also`` that have a vector; how like it
        they are, and how like it any chunk is."""
        import numpy as np  # noqa: PLC0415

        if vectors is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32), 0.0
        chunks, similarities = self._view(vectors.model).similarities(
            vectors.values[0], documents.ids, without=documents.without
        )
        if not len(chunks):
            return chunks, similarities, 0.0
        wanted = np.isin(chunks, np.asarray(also, np.int64))
        top = min(_BY_MEANING, len(chunks))
        wanted[np.argpartition(-similarities, top - 1)[:top]] = True
        # Rows that were taken away meanwhile have no chunk.
        wanted &= chunks >= 0
        return chunks[wanted], similarities[wanted], float(similarities.mean())

    def _trust(
        self, query: Query, here: dict[str, float], vectors: Vectors | None, chunks: "NDArray[np.int64]"
    ) -> "NDArray[np.float64]":
        """Weight of meaning for each of ``chunks``: that of its language or of the query's, the lesser."""
        import numpy as np  # noqa: PLC0415

        if vectors is None:
            return np.zeros(len(chunks))
        fluency = fusion.Fluency(vectors.model.facts, here)
        of_query = fluency.trust(query.language) if query.language else fusion.MEANING
        if len(here) == 1:
            return np.full(len(chunks), min(fluency.trust(next(iter(here))), of_query))
        rows = self._database.rows(
            "SELECT id, language FROM chunk WHERE id IN (SELECT value FROM json_each(?))",
            [json_of(chunks.tolist())],
        )
        trusts = {row["id"]: min(fluency.trust(row["language"]), of_query) for row in rows}
        return np.asarray([trusts.get(chunk, 0.0) for chunk in chunks.tolist()])

    def _affordable(self, query: Query) -> list[tuple[str, ...]]:
        """What is looked for; in a large index without the commonest words, which say least and cost most.

        FTS5 scores every chunk that has any of the words, a few microseconds each.
        """
        row = self._database.row("SELECT coalesce(sum(chunks), 0) AS chunks FROM chunk_language")
        assert row is not None
        parts = [*query.words, *query.wholes]
        if row["chunks"] <= _SCORED:
            return parts
        with self._lock:
            if not 0.9 < row["chunks"] / max(self._counted_in, 1) < 1.1 or len(self._counts) > _COUNTS:
                self._counts, self._counted_in = {}, row["chunks"]
            counts = self._counts
        for part in parts:
            if part not in counts:
                counts[part] = self._count_chunks(part)
        kept: list[tuple[str, ...]] = []
        scored = 0
        for part in sorted(parts, key=lambda part: counts[part]):
            scored += counts[part]
            if kept and scored > _SCORED:
                break
            kept.append(part)
        return kept

    def _count_chunks(self, part: tuple[str, ...]) -> int:
        row = self._database.row(
            "SELECT count(*) AS count FROM (SELECT 1 FROM chunk_search WHERE chunk_search MATCH ? LIMIT ?)",
            [match([part]), _SCORED],
        )
        assert row is not None
        return int(row["count"])

    def _by_words(self, expression: str, documents: "_Within", limit: int) -> list[tuple[int, float]]:
        """(chunk, score) by BM25, best first."""
        if not expression:
            return []
        values: list[object] = [expression]
        within = ""
        if documents.ids is not None:
            inside = "NOT IN" if documents.without else "IN"
            # The plus keeps FTS5 from asking for each row by itself: 1.3 s for 10,000 of 100,000.
            within = (
                f"AND +rowid {inside} "  # noqa: S608  constants
                "(SELECT id FROM chunk WHERE document_id IN (SELECT value FROM json_each(?))) "
            )
            values.append(json_of(documents.ids))
        rows = self._database.rows(
            "SELECT rowid, -bm25(chunk_search) AS score FROM chunk_search "  # noqa: S608  constants
            f"WHERE chunk_search MATCH ? {within}ORDER BY score DESC, rowid LIMIT ?",
            [*values, limit],
        )
        return [(row["rowid"], row["score"]) for row in rows]

    def _documents(self, scope: Scope) -> "_Within":
        """Documents in ``scope`` that are not in the trash."""
        where = ["trashed IS NULL"]
        values: list[object] = []
        if scope.collections or scope.documents:
            where.append(
                "(id IN (SELECT value FROM json_each(?)) OR id IN (SELECT document_id FROM "
                "collection_document WHERE collection_id IN (SELECT value FROM json_each(?))))"
            )
            values += [json_of(scope.documents), json_of(scope.collections)]
        if scope.formats:
            where.append("format IN (SELECT value FROM json_each(?))")
            values.append(json_of(scope.formats))
        if scope.added_after is not None:
            where.append("added >= ?")
            values.append(_microseconds(scope.added_after))
        if scope.added_before is not None:
            where.append("added < ?")
            values.append(_microseconds(scope.added_before))
        rows = self._database.rows(f"SELECT id, {' AND '.join(where)} AS inside FROM document", values)  # noqa: S608
        inside = [row["id"] for row in rows if row["inside"]]
        outside = [row["id"] for row in rows if not row["inside"]]
        if inside and len(outside) < len(inside):
            return _Within(outside, without=True) if outside else _Within(None)
        return _Within(inside)

    def _languages_here(self) -> dict[str, float]:
        """Languages of the chunks, those of most chunks first, and how many tokens a word has in each."""
        rows = self._database.rows(
            "SELECT language, tokens * 1.0 / max(words, 1) AS fragments FROM chunk_language "
            "ORDER BY chunks DESC LIMIT ?",
            [_LANGUAGES],
        )
        return {row["language"]: row["fragments"] for row in rows}

    def _passages(self, found: Sequence[tuple[int, float]]) -> list[Passage]:
        """Passages of chunks that are still there, in their order."""
        scores = dict(found)
        passages = {passage.chunk_id: passage for passage in self._read(list(scores), scores)}
        return [passages[chunk] for chunk in scores if chunk in passages]

    def chunks_of(self, document_ids: Sequence[int]) -> list[Passage]:
        """All passages of documents, in reading order."""
        rows = self._database.rows(
            "SELECT id FROM chunk WHERE document_id IN (SELECT value FROM json_each(?)) "
            "ORDER BY document_id, id",
            [json_of(document_ids)],
        )
        return self._passages([(row["id"], 0.0) for row in rows])

    def _read(self, chunk_ids: Iterable[int], scores: dict[int, float]) -> Iterator[Passage]:
        rows = self._database.rows(
            f"SELECT chunk.*, {TEXT}, page.body, document.name FROM chunk {ON_PAGE} "  # noqa: S608  constants
            "CROSS JOIN document ON document.id = chunk.document_id "
            "WHERE chunk.id IN (SELECT value FROM json_each(?))",
            [json_of(chunk_ids)],
        )
        for row in rows:
            page = msgspec.msgpack.decode(row["body"], type=Page)
            yield Passage(
                document_id=row["document_id"],
                document_name=row["name"],
                chunk_id=row["id"],
                page=row["page"],
                page_kind=page.kind,
                page_label=page.label,
                start=row["first"],
                end=row["past"],
                heading=row["heading"],
                text=row["text"],
                score=scores[row["id"]],
            )

    # ------------------------------------------------------------ vectors in memory

    def _view(self, model: EmbeddingModel) -> "View":
        """The vectors of that model as they are in the store now."""
        with self._lock:
            self._used = time.monotonic()
            if self._loaded is None or self._loaded.sha256 != model.sha256:
                self._loaded = _Loaded(self._database, model.sha256, model.dimensions)
            self._loaded.update()
            return self._loaded.matrix.view()

    def statistics(self) -> Statistics:
        """What the index holds, and what it takes."""
        serving = self._serving()
        row = self._database.row(
            "SELECT count(*) AS chunks, count(DISTINCT document_id) AS documents, "
            "coalesce(sum(tokens), 0) AS tokens FROM chunk"
        )
        words = self._database.row("SELECT coalesce(sum(length(block)), 0) AS bytes FROM chunk_search_data")
        vectors = self._database.row(
            "SELECT count(*) AS count, coalesce(sum(length(value)), 0) AS bytes FROM chunk_vector "
            "WHERE model_id = ?",
            [serving["id"] if serving else None],
        )
        assert row is not None
        assert words is not None
        assert vectors is not None
        with self._lock:
            memory = self._loaded.matrix.size if self._loaded else 0
        return Statistics(
            documents=row["documents"],
            chunks=row["chunks"],
            tokens=row["tokens"],
            vectors=vectors["count"],
            word_bytes=words["bytes"],
            vector_bytes=vectors["bytes"],
            memory_bytes=memory,
        )


@dataclass(frozen=True)
class _Within:
    """Documents to look in: these, or all without these; None for all."""

    ids: list[int] | None
    without: bool = False

    @property
    def is_nowhere(self) -> bool:
        return self.ids == [] and not self.without


class _Loaded:
    """One model's vectors in memory, and up to where they were read."""

    def __init__(self, database: Database, sha256: str, dimensions: int) -> None:
        from localai_app.documents.matrix import Matrix  # noqa: PLC0415 - the window starts without numpy

        self.sha256 = sha256
        self.matrix = Matrix(dimensions)
        self._database = database
        self._seq = 0
        self._added = -1
        self._removed = 0

    def update(self) -> None:
        """Read what came since, and drop what went."""
        import numpy as np  # noqa: PLC0415

        state = self._database.row("SELECT added, removed FROM chunk_state")
        assert state is not None
        if state["removed"] != self._removed and self._added >= 0:
            rows = self._database.rows(
                "SELECT chunk_id FROM chunk_vector INDEXED BY chunk_vector_by_model WHERE model_id = "
                "(SELECT id FROM embedding_model WHERE sha256 = ?)",
                [self.sha256],
            )
            self.matrix.keep(np.asarray([row[0] for row in rows], np.int64))
        self._removed = state["removed"]
        if state["added"] != self._added:
            while self._read_some():
                pass
            self._added = state["added"]

    def _read_some(self, limit: int = 20_000) -> bool:
        import numpy as np  # noqa: PLC0415

        rows = self._database.rows(
            "SELECT chunk_vector.seq, chunk_vector.chunk_id, chunk.document_id, chunk_vector.value "
            "FROM chunk_vector CROSS JOIN chunk ON chunk.id = chunk_vector.chunk_id "
            "WHERE model_id = (SELECT id FROM embedding_model WHERE sha256 = ?) AND seq > ? "
            "ORDER BY seq LIMIT ?",
            [self.sha256, self._seq, limit],
        )
        if rows:
            values = np.frombuffer(b"".join(row["value"] for row in rows), "<f2").reshape(len(rows), -1)
            self.matrix.add(
                np.asarray([row["chunk_id"] for row in rows], np.int64),
                np.asarray([row["document_id"] for row in rows], np.int64),
                values.astype(np.float32),
            )
            self._seq = rows[-1]["seq"]
        return len(rows) == limit


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)

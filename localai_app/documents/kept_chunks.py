"""What the index holds of each chunk, its words (FTS5) and its vectors, and all SQL that puts it there.

The index holds no text: a chunk is a stretch of its page. So a document's chunks are put and removed while
its pages are there, in the caller's transaction.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from localai_app.documents import languages
from localai_app.documents.document import Chunk
from localai_app.models.embedding import EmbeddingModel
from localai_app.store.database import Database, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_AT_ONCE = 500
"""Chunks whose words are indexed with the document; of a longer document the rest follows in batches."""
_BATCH = 250
_OWN_LANGUAGE_LETTERS = 200
"""From which a chunk may be in another language than its document."""

Words = tuple[str, str]
"""The words of a chunk's heading and text, as they are in the index."""

TEXT = "substr(page.text, chunk.first + 1, chunk.past - chunk.first) AS text"
"""A chunk's text, in a query that has `ON_PAGE`."""
ON_PAGE = (
    "CROSS JOIN page ON page.document_id = chunk.document_id AND page.reading = chunk.reading "
    "AND page.number = chunk.page"
)


class KeptChunks:
    """The chunks of all documents, as they are found by. Calls may come from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ------------------------------------------------------------ chunks and their words

    def prepared(self, chunks: Sequence[Chunk], language: str) -> Callable[[int], None]:
        """What lets the index hold these chunks of a document and no others, called with its id in the
        caller's transaction. Telling their words takes much longer than keeping them, and is done here.

        The chunks are those of the reading that counts, whose pages are there; those of an earlier one were
        removed before its pages were.
        """
        analysed: list[_Analysed] = []
        for chunk in chunks:
            own = languages.language_of(chunk.text) if len(chunk.text) > _OWN_LANGUAGE_LETTERS else ""
            spoken = own or language
            at_once = len(analysed) < _AT_ONCE
            words = _words(chunk.heading, chunk.text, spoken) if at_once else None
            analysed.append(_Analysed(chunk, spoken, languages.length(chunk.text), words))
        return lambda document_id: self._put(document_id, analysed)

    def _put(self, document_id: int, analysed: "Sequence[_Analysed]") -> None:
        self.remove([document_id])
        row = self._database.row("SELECT reading FROM document WHERE id = ?", [document_id])
        assert row is not None
        for one in analysed:
            chunk = one.chunk
            inserted = self._database.row(
                "INSERT INTO chunk (document_id, reading, page, first, past, heading, tokens, words, "
                "language, searchable) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                [
                    document_id,
                    row["reading"],
                    chunk.page,
                    chunk.start,
                    chunk.end,
                    chunk.heading,
                    chunk.tokens,
                    one.length,
                    one.language,
                    one.words is not None,
                ],
            )
            assert inserted is not None
            if one.words:
                self._add_words(inserted["id"], one.words)
        self._count("added")

    def words(self, document_ids: Sequence[int]) -> Mapping[int, Words]:
        """What `remove` needs to know of those documents; telling it takes much longer than removing."""
        if self._state()["analysis"] != languages.analysis():
            return {}
        return {row["id"]: _words_of(row) for row in self._searchable(document_ids)}

    def remove(self, document_ids: Sequence[int], words: Mapping[int, Words] | None = None) -> None:
        """Forget documents, while their pages are still there; in the caller's transaction.

        ``words`` is what `words` said of them before the transaction.
        """
        self._same_analysis()
        if self._remove(document_ids, words or {}):
            self._count("removed")

    def index_words(self) -> bool:
        """Index the words of some chunks that still wait for it; whether there are more."""
        if self._state()["analysis"] != languages.analysis():
            with self._database.transaction():
                self._same_analysis()
        rows = self._database.rows(
            f"SELECT chunk.id, chunk.heading, chunk.language, {TEXT} FROM chunk {ON_PAGE} "  # noqa: S608  constants
            "WHERE NOT chunk.searchable ORDER BY chunk.id LIMIT ?",
            [_BATCH],
        )
        words = {row["id"]: _words_of(row) for row in rows}
        with self._database.transaction():
            self._same_analysis()
            for chunk_id, some in words.items():
                # Another process may have done it by now, or the document is gone.
                if self._database.execute(
                    "UPDATE chunk SET searchable = 1 WHERE id = ? AND NOT searchable", [chunk_id]
                ):
                    self._add_words(chunk_id, some)
        return len(rows) == _BATCH

    def _remove(self, document_ids: Sequence[int], words: Mapping[int, Words]) -> int:
        assert self._database.in_transaction
        for row in self._searchable(document_ids):
            self._database.execute(
                "INSERT INTO chunk_search (chunk_search, rowid, heading, body) VALUES ('delete', ?, ?, ?)",
                [row["id"], *(words.get(row["id"]) or _words_of(row))],
            )
        removed = self._database.execute(
            "DELETE FROM chunk WHERE document_id IN (SELECT value FROM json_each(?))", [json_of(document_ids)]
        )
        if removed:
            self._database.erase_log_on_commit()
        return removed

    def _searchable(self, document_ids: Sequence[int]) -> list[Row]:
        return self._database.rows(
            f"SELECT chunk.id, chunk.heading, chunk.language, {TEXT} FROM chunk {ON_PAGE} "  # noqa: S608  constants
            "WHERE chunk.document_id IN (SELECT value FROM json_each(?)) AND searchable",
            [json_of(document_ids)],
        )

    def _add_words(self, chunk_id: int, words: Words) -> None:
        self._database.execute(
            "INSERT INTO chunk_search (rowid, heading, body) VALUES (?, ?, ?)", [chunk_id, *words]
        )

    def _same_analysis(self) -> None:
        """Where texts were made into words in another way, empty the index of words; it fills anew."""
        assert self._database.in_transaction
        if self._state()["analysis"] == languages.analysis():
            return
        self._database.execute("INSERT INTO chunk_search (chunk_search) VALUES ('delete-all')")
        self._database.execute("UPDATE chunk SET searchable = 0")
        self._database.execute("UPDATE chunk_state SET analysis = ?", [languages.analysis()])

    def _state(self) -> Row:
        row = self._database.row("SELECT added, removed, analysis FROM chunk_state")
        assert row is not None
        return row

    def _count(self, what: str) -> None:
        assert self._database.in_transaction
        self._database.execute(f"UPDATE chunk_state SET {what} = {what} + 1")  # noqa: S608  constants

    # ------------------------------------------------------------ vectors

    def without_vectors(
        self, model_sha256: str, document_id: int | None = None, limit: int = -1
    ) -> list[tuple[int, str]]:
        """(chunk, text to embed) of all that have no vector of that model yet, oldest document first."""
        rows = self._database.rows(
            f"SELECT chunk.id, chunk.heading, {TEXT} FROM chunk {ON_PAGE} "  # noqa: S608  constants
            "CROSS JOIN document ON document.id = chunk.document_id "
            "WHERE (?1 IS NULL OR chunk.document_id = ?1) AND document.trashed IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM chunk_vector WHERE chunk_vector.chunk_id = chunk.id "
            "AND chunk_vector.model_id = (SELECT id FROM embedding_model WHERE sha256 = ?2)) "
            "ORDER BY chunk.document_id, chunk.id LIMIT ?3",
            [document_id, model_sha256, limit],
        )
        return [(row["id"], _embedded_text(row["heading"], row["text"])) for row in rows]

    def add_vectors(
        self, model: EmbeddingModel, chunk_ids: Sequence[int], vectors: "NDArray[np.float32]"
    ) -> None:
        """Keep vectors; of a chunk that is gone by now, nothing; in the caller's transaction.

        Once every chunk has one of this model, those of other models are erased.
        """
        assert self._database.in_transaction
        self._database.execute(
            "INSERT OR IGNORE INTO embedding_model (sha256, dimensions) VALUES (?, ?)",
            [model.sha256, model.dimensions],
        )
        for chunk_id, vector in zip(chunk_ids, vectors, strict=True):
            self._database.execute(
                "INSERT OR IGNORE INTO chunk_vector (chunk_id, model_id, value) "
                "SELECT chunk.id, embedding_model.id, ? FROM chunk, embedding_model "
                "WHERE chunk.id = ? AND embedding_model.sha256 = ?",
                [vector.astype("<f2").tobytes(), chunk_id, model.sha256],
            )
        self._count("added")
        self._retire_others(model.sha256)

    def serving(self) -> str:
        """Hash of the model whose vectors a search uses; empty while there are none.

        After another model was chosen it is the old one, until every chunk has a vector of the new one.
        """
        row = self._serving()
        return "" if row is None else str(row["sha256"])

    def _serving(self) -> Row | None:
        # The older model where two have vectors: it was complete before the other was chosen.
        return self._database.row(
            "SELECT id, sha256, dimensions FROM embedding_model "
            "WHERE EXISTS (SELECT 1 FROM chunk_vector WHERE model_id = embedding_model.id) "
            "ORDER BY id LIMIT 1"
        )

    def _retire_others(self, model_sha256: str) -> None:
        """Erase other models' vectors once that model has one of every chunk."""
        serving = self._serving()
        if serving is None or serving["sha256"] == model_sha256 or not self._all_have_vectors(model_sha256):
            return
        self._database.execute(
            "DELETE FROM chunk_vector WHERE model_id IN (SELECT id FROM embedding_model WHERE sha256 <> ?)",
            [model_sha256],
        )
        self._database.execute("DELETE FROM embedding_model WHERE sha256 <> ?", [model_sha256])
        self._database.erase_log_on_commit()
        self._count("removed")

    def _all_have_vectors(self, model_sha256: str) -> bool:
        # The newest first: vectors are made in the other order, so one that has none is found at once.
        return not self._database.row(
            "SELECT 1 FROM chunk CROSS JOIN document ON document.id = chunk.document_id "
            "WHERE document.trashed IS NULL AND NOT EXISTS (SELECT 1 FROM chunk_vector "
            "WHERE chunk_vector.chunk_id = chunk.id AND chunk_vector.model_id = "
            "(SELECT id FROM embedding_model WHERE sha256 = ?)) ORDER BY chunk.id DESC LIMIT 1",
            [model_sha256],
        )


def _embedded_text(heading: str, text: str) -> str:
    """What of a chunk becomes a vector."""
    return f"{heading}\n{text}" if heading else text


@dataclass(frozen=True)
class _Analysed:
    """A chunk, with all that takes time to tell of it."""

    chunk: Chunk
    language: str
    length: int
    """In words."""
    words: Words | None
    """None: they follow, see `KeptChunks.index_words`."""


def _words_of(row: Row) -> Words:
    return _words(row["heading"], row["text"], row["language"])


def _words(heading: str, text: str, language: str) -> Words:
    return " ".join(languages.terms(heading, language)), " ".join(languages.terms(text, language))


def json_of(values: Iterable[object]) -> str:
    """``values`` for SQLite's ``json_each``."""
    return msgspec.json.encode(list(values)).decode()

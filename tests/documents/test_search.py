"""What is put into the index is found by words and by meaning, where one looks for it, and can be erased."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localai_app.documents import fusion, kept_chunks, languages, search
from localai_app.documents.document import Chunk, Page, PageKind, Scope
from localai_app.documents.library import Library
from localai_app.documents.query import Query
from localai_app.documents.search import Index
from localai_app.errors import ContextOverflow, ModelNotFound
from localai_app.models.embedding import EmbeddingModel, EmbeddingService, Vectors
from localai_app.models.embedding_facts import EmbeddingFacts, facts_of
from localai_app.store.database import Database
from tests.decrypted import decrypted

KEY = bytes(range(32))
DIMENSIONS = 8
NOW = datetime(2024, 5, 1, tzinfo=UTC)
EVERYWHERE = Scope()


def model(
    name: str = "all-MiniLM-L6-v2", sha256: str = "a" * 64, facts: EmbeddingFacts | None = None
) -> EmbeddingModel:
    return EmbeddingModel(Path(name), name, sha256, DIMENSIONS, 512, facts or facts_of(name))


def vector(*direction: float) -> "np.ndarray":
    values = np.zeros((1, DIMENSIONS), np.float32)
    values[0, : len(direction)] = direction
    return values / np.linalg.norm(values)


class House:
    """A store with documents whose every page is one chunk."""

    def __init__(self, path: Path) -> None:
        self.database = Database.open(path, KEY)
        self.library = Library(self.database, lambda: self.now)
        self.index = Index(self.database)
        self.now = NOW

    def add(
        self,
        *texts: str,
        name: str = "a.txt",
        file_format: str = "txt",
        language: str = "en",
        heading: str = "",
    ) -> int:
        with self.database.transaction():
            document_id = self.library.add(
                name, f"{name}{len(texts)}".encode().hex().ljust(64, "0")[:64], 1, file_format
            )
            self.database.execute(
                "UPDATE document SET reading = 1, state = 'ready' WHERE id = ?", [document_id]
            )
            self.write(document_id, texts, language, heading)
        return document_id

    def write(self, document_id: int, texts: Sequence[str], language: str = "en", heading: str = "") -> None:
        chunks = []
        for number, text in enumerate(texts, 1):
            page = Page(number, "", PageKind.SHEET, f"S{number}")
            self.database.execute(
                "INSERT OR REPLACE INTO page (document_id, reading, number, text, body, boxes) "
                "VALUES (?, 1, ?, ?, ?, x'')",
                [document_id, number, f"\U0001f600 {text}", msgspec.msgpack.encode(page)],
            )
            chunks.append(Chunk(number, 2, 2 + len(text), text, heading, len(text.split()) + 2))
        self.index.prepared(chunks, language)(document_id)

    def embed(self, by: EmbeddingModel, *vectors: "np.ndarray", limit: int = -1) -> None:
        with self.database.transaction():
            missing = self.index.without_vectors(by.sha256, limit=limit)
            self.index.add_vectors(by, [chunk for chunk, _ in missing], np.concatenate(vectors))

    def found(
        self,
        text: str,
        *direction: float,
        by: EmbeddingModel | None = None,
        scope: Scope = EVERYWHERE,
        limit: int = 10,
    ) -> list[str]:
        vectors = Vectors(by or model(), vector(*direction)) if direction else None
        return [passage.text for passage in self.index.find(text, vectors, scope, limit)]

    def erase(self, *document_ids: int) -> None:
        with self.database.transaction():
            self.index.remove(document_ids)
            self.library.erase(document_ids)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "store.db")
    yield house
    house.database.close()


# ---------------------------------------------------------------- by words


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("en", "The agreement was terminated by both parties.", "termination of agreements"),
        ("de", "Der Vertrag wurde von beiden Parteien gekündigt.", "Wann werden Verträge kündigen"),
        ("ru", "Стороны расторгли договор аренды.", "расторжение договора"),
        ("ar", "وقع الطرفان العقد في المدينة", "في أي مدينة"),
        ("zh", "双方于去年签署了租赁合同。", "租赁合同何时签署？"),
        ("ja", "契約は昨年終了しました。", "契約の終了"),
        ("th", "สัญญาเช่าสิ้นสุดลงเมื่อปีที่แล้ว", "สัญญาเช่า"),
        ("ko", "계약은 작년에 종료되었습니다.", "계약 종료"),
        ("en", "The price is $250,000 (see § 9.4).", "250000"),
        ("en", "The price is $250,000 (see § 9.4).", "§ 9.4"),
        ("en", "Part no. ABC-123/45 was delivered.", "abc-123/45"),
    ],
)
def test_a_passage_is_found_by_its_words(house: House, language: str, text: str, query: str) -> None:
    others = ["Nothing of the kind stands here at all.", "天气很好，我们去公园。", "Погода была хорошей."]
    house.add(*others, text, language=language)
    assert house.found(query)[:1] == [text]


def test_a_passage_says_where_it_stands(house: House) -> None:
    document_id = house.add("One.", "The rent is due.", name="lease.pdf", heading="Terms")
    (passage,) = house.index.find("rent", None)
    assert (passage.document_id, passage.document_name, passage.page) == (document_id, "lease.pdf", 2)
    assert (passage.place, passage.heading, passage.text) == ("sheet S2", "Terms", "The rent is due.")
    assert (passage.start, passage.end) == (2, 18)


def test_words_of_the_heading_count(house: House) -> None:
    house.add("It is due in May.", heading="Rent")
    assert house.found("rent") == ["It is due in May."]


def test_what_holds_the_quoted_words_comes_first(house: House) -> None:
    loose = "The first right, the right refusal, the refusal first: right right refusal first."
    exact = "A right of first refusal is granted to somebody who bought many other things here before."
    house.add(loose, exact)
    assert house.found("right first refusal")[0] == loose
    assert house.found('"right of first refusal"') == [exact, loose]


def test_quoted_words_that_stand_nowhere_are_looked_for_one_by_one(house: House) -> None:
    house.add("The right is granted.")
    assert house.found('"granted right"') == ["The right is granted."]


def test_in_a_large_index_the_commonest_words_are_not_looked_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_SCORED", 6)
    house.add(*(f"agreement number {number}" for number in range(10)), "agreement on rent", "rent")
    assert set(house.found("agreement on rent")) == {"rent", "agreement on rent"}
    assert len(house.found("agreement", limit=50)) == 11, "alone it is"
    house.add(*(f"rent {number}" for number in range(12)))
    house.add(*(f"dogs {number}" for number in range(3)))
    assert len(house.found("rent of dogs", limit=50)) == 3, "what was counted is counted anew"


def test_a_query_is_looked_for_in_every_language_that_is_here(house: House) -> None:
    german, english = "Die Verträge gelten.", "The contracts apply."
    house.add(german, language="de")
    house.add(english, language="en")
    assert set(house.found("Vertrag contract")) == {german, english}


def test_a_long_chunk_in_another_language_than_its_document_has_its_own_stems(house: House) -> None:
    text = "Die Mieterin kündigt die Wohnung, und der Vermieter bestätigt, dass er sie erhalten hat. " * 3
    house.add(text, language="en")
    house.add("Words.", language="en")
    assert house.found("Kündigung der Wohnungen") == [text]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.text(st.characters(codec=None), max_size=40))
def test_nothing_that_is_typed_raises(house: House, query: str) -> None:
    if not house.index.statistics().chunks:
        house.add("some text")
    house.found(query, 1.0)


@pytest.mark.parametrize(
    "query", ["", " ", '"', '""', "*", "NEAR(a b)", "a AND", "col:x", "^", "-", "x" * 9999, "'"]
)
def test_no_syntax_is_one(house: House, query: str) -> None:
    house.add("some text of the word near")
    assert house.found(query) in ([], ["some text of the word near"])


# ---------------------------------------------------------------- where


def test_a_search_looks_only_where_it_is_told_to(house: House) -> None:
    one = house.add("rent one", name="1.pdf", file_format="pdf")
    house.now = NOW + timedelta(days=10)
    two = house.add("rent two", name="2.txt")
    three = house.add("rent three", name="3.txt")
    with house.database.transaction():
        collection = house.library.create_collection("C")
        house.library.put_in(collection, [two])
    house.embed(model(), vector(1), vector(1), vector(1))
    week = NOW + timedelta(days=7)
    for direction in ((), (1.0,)):

        def found(scope: Scope) -> set[str]:
            return {text.split()[1] for text in house.found("rent", *direction, scope=scope)}  # noqa: B023

        assert found(Scope()) == {"one", "two", "three"}
        assert found(Scope(documents=(one, three))) == {"one", "three"}
        assert found(Scope(documents=(one,), collections=(collection,))) == {"one", "two"}
        assert found(Scope(formats=("pdf",))) == {"one"}
        assert found(Scope(added_after=week)) == {"two", "three"}
        assert found(Scope(added_before=week)) == {"one"}
        assert found(Scope(documents=(one,), formats=("txt",))) == set()


def test_what_is_in_the_trash_is_not_found(house: House) -> None:
    one, _ = house.add("rent one"), house.add("rent two")
    house.embed(model(), vector(1), vector(1))
    with house.database.transaction():
        house.library.trash([one])
    assert house.found("rent") == house.found("rent", 1.0) == ["rent two"]
    with house.database.transaction():
        house.library.restore([one])
    assert len(house.found("rent", 1.0)) == 2


def test_chunks_come_in_reading_order(house: House) -> None:
    one, two = house.add("a", "b"), house.add("c")
    assert [passage.text for passage in house.index.chunks_of([two, one])] == ["a", "b", "c"]


# ---------------------------------------------------------------- by meaning


def test_a_passage_is_found_by_its_meaning(house: House) -> None:
    house.add("cats purr", "stocks fell", "rain fell")
    house.embed(model(), vector(1), vector(0, 1), vector(0, 0, 1))
    assert house.found("feline", 1.0, 0.1)[0] == "cats purr"


def test_words_and_meaning_together_beat_each(house: House) -> None:
    words, both, meaning = "rent rent rent", "rent is due", "money owed"
    house.add(words, both, meaning, "nothing", "else")
    house.embed(model(), vector(0, 1), vector(1, 0.3), vector(1), vector(0, 0, 1), vector(0, 0, 0, 1))
    assert house.found("rent", 1.0)[0] == both


def test_where_the_model_does_not_know_the_language_words_decide(house: House) -> None:
    right, other = "Стороны расторгли договор аренды.", "Погода была хорошей."
    house.add(right, other, language="ru")
    house.embed(model(), vector(0, 1), vector(1))
    assert house.found("Что с договором?", 1.0)[0] == right
    multilingual = model(sha256="b" * 64, facts=EmbeddingFacts(languages=("*",)))
    house.embed(multilingual, vector(0, 1), vector(1))
    scores = {p.text: p.score for p in house.index.find("Что с договором?", Vectors(multilingual, vector(1)))}
    assert scores[other] == pytest.approx(fusion.MEANING)


def test_what_was_added_is_found_at_the_next_search_and_what_went_is_not(house: House) -> None:
    one = house.add("first")
    house.embed(model(), vector(1))
    assert house.found("x", 1.0) == ["first"]
    house.add("second")
    house.embed(model(), vector(1, 0.1))
    assert house.found("x", 1.0) == ["first", "second"]
    house.erase(one)
    assert house.found("x", 1.0) == ["second"]


def test_another_process_s_changes_are_seen(house: House) -> None:
    house.add("first")
    house.embed(model(), vector(1))
    assert house.found("x", 1.0) == ["first"]
    other = House(house.database.path)
    other.add("second")
    other.embed(model(), vector(1, 0.1))
    other.erase(1)
    other.database.close()
    assert house.found("x", 1.0) == ["second"]


def test_many_changes_leave_what_a_fresh_index_finds(house: House) -> None:
    random = np.random.default_rng(1)
    here: list[int] = []
    for number in range(60):
        if here and number % 3 == 2:
            house.erase(here.pop(int(random.integers(len(here)))))
        else:
            here.append(house.add(*(f"text {number} {part}" for part in range(30))))
            house.embed(model(), *(random.normal(size=(1, DIMENSIONS)).astype(np.float32) for _ in range(30)))
        found = house.found("none", *random.normal(size=DIMENSIONS).tolist())
        assert len(found) == min(10, 30 * len(here))
    direction = random.normal(size=DIMENSIONS).tolist()
    assert house.found("none", *direction) == House(house.database.path).found("none", *direction)


def test_memory_is_given_back_and_taken_again(house: House) -> None:
    house.add("first")
    house.embed(model(), vector(1))
    assert house.found("x", 1.0) == ["first"]
    assert house.index.statistics().memory_bytes > 0
    house.index.release(idle_seconds=3600)
    assert house.index.statistics().memory_bytes > 0
    house.index.release()
    assert house.index.statistics().memory_bytes == 0
    assert house.found("x", 1.0) == ["first"]


# ---------------------------------------------------------------- another model


def test_the_old_vectors_serve_until_the_new_are_complete_and_go_then(house: House) -> None:
    house.add("one", "two")
    old, new = model(), model("other", "b" * 64)
    assert house.index.serving() == ""
    house.embed(old, vector(1), vector(0, 1))
    house.embed(new, vector(0, 1), limit=1)
    assert house.index.serving() == old.sha256
    assert house.found("x", 1.0)[0] == "one"
    house.embed(new, vector(1))
    assert house.index.serving() == new.sha256
    assert house.index.statistics().vectors == 2
    assert len(house.index.without_vectors(old.sha256)) == 2
    assert house.found("x", 1.0, by=new)[0] == "two"


class FakeEmbedding:
    """Makes one vector for every query, if it is not too long."""

    def __init__(self, selected: EmbeddingModel, *others: EmbeddingModel) -> None:
        self.models = {model.sha256: model for model in (selected, *others)}
        self.selected = selected.sha256
        self.asked: list[tuple[str, str]] = []

    def selected_sha256(self) -> str:
        return self.selected

    def embed_query(self, text: str, *, sha256: str = "") -> Vectors:
        self.asked.append((text, sha256))
        if len(text) > 300:
            raise ContextOverflow("It is too long.")
        if (sha256 or self.selected) not in self.models:
            raise ModelNotFound("It is gone.")
        return Vectors(self.models[sha256 or self.selected], vector(1))


def by_meaning(house: House, embedding: FakeEmbedding, text: str = "feline") -> list[str]:
    index = Index(house.database, cast("EmbeddingService", embedding))
    return [passage.text for passage in index.search(text)]


def test_a_search_makes_the_vector_of_its_query(house: House) -> None:
    house.add("stocks fell", "cats purr")
    embedding = FakeEmbedding(model())
    assert by_meaning(house, embedding) == []
    assert embedding.asked == [], "without vectors no model is loaded"
    house.embed(model(), vector(0, 1), vector(1))
    assert by_meaning(house, embedding)[0] == "cats purr"


def test_the_model_of_the_old_vectors_is_asked_while_they_serve(house: House) -> None:
    old, new = model(), model("other", "b" * 64)
    house.add("stocks fell", "cats purr")
    house.embed(old, vector(0, 1), vector(1))
    embedding = FakeEmbedding(new, old)
    assert by_meaning(house, embedding)[0] == "cats purr"
    assert embedding.asked == [("feline", old.sha256)]


def test_without_a_model_words_are_found(house: House) -> None:
    house.add("stocks fell", "cats purr")
    house.embed(model(), vector(0, 1), vector(1))
    assert by_meaning(house, FakeEmbedding(model("other", "b" * 64)), "stocks") == ["stocks fell"]


def test_of_a_very_long_query_the_beginning_has_a_vector(house: House) -> None:
    house.add("stocks fell", "cats purr")
    house.embed(model(), vector(0, 1), vector(1))
    embedding = FakeEmbedding(model())
    assert by_meaning(house, embedding, "feline " * 90)[0] == "cats purr"
    assert len(embedding.asked) == 2


def test_vectors_of_chunks_that_are_gone_are_not_kept(house: House) -> None:
    document_id = house.add("one")
    missing = house.index.without_vectors("a" * 64)
    house.erase(document_id)
    with house.database.transaction():
        house.index.add_vectors(model(), [chunk for chunk, _ in missing], vector(1))
    assert house.index.statistics().vectors == 0


def test_what_is_embedded_has_its_headings(house: House) -> None:
    house.add("It is due.", heading="Rent")
    assert [text for _, text in house.index.without_vectors("a" * 64)] == ["Rent\nIt is due."]


# ---------------------------------------------------------------- put, remove, erase


def test_a_document_that_is_put_again_is_only_what_it_is_now(house: House) -> None:
    document_id = house.add("old text", "old tail")
    with house.database.transaction():
        house.index.remove([document_id])
        house.write(document_id, ["new text"])
    assert house.found("old new tail text") == ["new text"]
    assert house.index.statistics().chunks == 1


def test_vectors_of_what_a_document_was_before_stand_in_nobody_s_way(house: House) -> None:
    document_id = house.add("old")
    house.embed(model(), vector(1))
    assert house.found("x", 1.0) == ["old"]
    with house.database.transaction():
        house.write(document_id, ["new"])
    house.embed(model(), vector(0.5, 1))
    assert house.found("x", 1.0, limit=1) == ["new"]


def test_pages_do_not_go_before_their_chunks(house: House) -> None:
    document_id = house.add("text")
    with pytest.raises(Exception, match="FOREIGN KEY"), house.database.transaction():
        house.database.execute("DELETE FROM page WHERE document_id = ?", [document_id])


def test_erasure_leaves_nothing(house: House, tmp_path: Path) -> None:
    planted = "zanzibarquux"
    kept = [house.add("harmless words", heading="Heading") for _ in range(30)]
    gone = house.add(*(f"{planted} {planted}{number} xyzzyplugh" for number in range(40)), heading=planted)
    assert planted.encode() in decrypted(house.database.path, KEY)
    assert house.found(planted)
    house.erase(gone)
    assert house.found(planted) == []
    house.database.close()
    content = decrypted(tmp_path / "store.db", KEY)
    assert b"zanzibarquu" not in content
    assert b"xyzzyplugh" not in content
    assert b"harmless" in content
    house.database = Database.open(tmp_path / "store.db", KEY)
    assert house.database.check() == []
    assert len(kept) == 30


def test_the_words_of_long_documents_follow(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_chunks, "_AT_ONCE", 2)
    monkeypatch.setattr(kept_chunks, "_BATCH", 2)
    document_id = house.add("rent a", "rent b", "rent c", "rent d", "rent e")
    assert len(house.found("rent")) == 2
    assert house.index.index_words()
    assert not house.index.index_words()
    assert len(house.found("rent")) == 5
    house.add("rent f", "rent g", "rent h")
    house.erase(document_id)
    while house.index.index_words():
        pass
    assert len(house.found("rent")) == 3
    with house.database.transaction():
        house.database.execute("INSERT INTO chunk_search (chunk_search) VALUES ('integrity-check')")


def test_words_are_told_while_the_store_is_free_for_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms, languages_of = languages.terms, languages.language_of
    told = []

    def tell(text: str, language: str) -> list[str]:
        assert not house.database.in_transaction
        told.append(text)
        return terms(text, language)

    def tell_language(text: str) -> str:
        assert not house.database.in_transaction
        return languages_of(text)

    monkeypatch.setattr(languages, "terms", tell)
    monkeypatch.setattr(languages, "language_of", tell_language)
    monkeypatch.setattr(kept_chunks, "_AT_ONCE", 1)
    texts = ["The rent is due. " * 20, "The rent was paid. " * 20]
    with house.database.transaction():
        document_id = house.library.add("a.txt", "a" * 64, 1, "txt")
        house.database.execute("UPDATE document SET reading = 1 WHERE id = ?", [document_id])
        for number, text in enumerate(texts, 1):
            page = msgspec.msgpack.encode(Page(number, ""))
            house.database.execute(
                "INSERT INTO page (document_id, reading, number, text, body, boxes) "
                "VALUES (?, 1, ?, ?, ?, x'')",
                [document_id, number, text, page],
            )
    put = house.index.prepared(
        [Chunk(number, 0, len(text), text) for number, text in enumerate(texts, 1)], "en"
    )
    with house.database.transaction():
        put(document_id)
    assert not house.index.index_words()
    words = house.index.words([document_id])
    with house.database.transaction():
        house.index.remove([document_id], words)
        house.database.execute("INSERT INTO chunk_search (chunk_search) VALUES ('integrity-check')")
    assert set(told) >= set(texts)
    assert house.index.search("rent") == []


def test_words_made_in_another_way_are_made_anew(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    document_id = house.add("rents")
    monkeypatch.setattr(languages, "analysis", lambda: "another")
    monkeypatch.setattr(languages, "terms", lambda text, language: [word[::-1] for word in text.split()])
    assert not house.index.index_words()
    monkeypatch.setattr(search, "parse", lambda text, here: languages_query(text))
    assert house.found("rents") == ["rents"]
    house.erase(document_id)
    assert house.found("rents") == []


def languages_query(text: str) -> Query:
    return Query(words=((text[::-1],),), wholes=(), quoted=(), language="en")


def test_statistics_say_what_is_there(house: House) -> None:
    house.add("one two", "three")
    house.embed(model(), vector(1), vector(1))
    statistics = house.index.statistics()
    assert (statistics.documents, statistics.chunks, statistics.tokens, statistics.vectors) == (1, 2, 7, 2)
    assert statistics.vector_bytes == 2 * DIMENSIONS * 2
    assert statistics.word_bytes > 0

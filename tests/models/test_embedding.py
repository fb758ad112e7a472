"""The service that makes vectors, with an engine that only pretends."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localai_app.errors import (
    ContextOverflow,
    EngineExited,
    GgufError,
    ModelChanged,
    ModelNotFound,
    PolicyRefused,
    RequestFailed,
    UsageError,
)
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models import service
from localai_app.models.embedding import SHIPPED, EmbeddingService
from localai_app.models.gguf import GgufHeader
from localai_app.models.service import ModelService
from localai_app.paths import Paths
from localai_app.store.database import Database
from localai_app.store.settings import Settings
from tests.fake_engine import FAKE_HEADER, FakeEngine


@dataclass
class Room:
    embedding: EmbeddingService
    models: ModelService
    engine: FakeEngine
    folder: Path
    database: Database
    headers_read: list[str]
    again: Callable[..., "tuple[ModelService, EmbeddingService]"]

    def audited(self) -> list[str]:
        return [f"{row['event']} {row['object']}" for row in self.database.rows("SELECT * FROM audit")]

    def add(self, name: str) -> Path:
        path = self.folder / name
        path.write_bytes(b"GGUF" + name.encode())
        return path


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    database = Database.open(tmp_path / "data" / "store.db", bytes(32))
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    paths.models[0].mkdir()
    engine, read = FakeEngine(context_length=40), []

    def header(path: Path) -> GgufHeader:
        read.append(path.name)
        if "broken" in path.name:
            raise GgufError("The GGUF file is broken.")
        embeds = any(word in path.name for word in ("embed", "MiniLM"))
        return dataclasses.replace(FAKE_HEADER, name=path.stem, embedding_only=embeds)

    monkeypatch.setattr(service, "read_header", header)

    def build(policy: dict[str, Any] | None = None) -> tuple[ModelService, EmbeddingService]:
        settings, audit = Settings(database), Audit(database, "tester")
        models = ModelService(database, settings, FakeEngine(), paths, Policy(policy), audit)
        return models, EmbeddingService(models, settings, engine, audit)

    models, embedding = build()
    yield Room(embedding, models, engine, paths.models[0], database, read, build)
    database.close()


def test_embedding_models_search_and_the_others_answer(room: Room) -> None:
    room.add("chat.gguf")
    room.add("broken.gguf")
    vectors = room.add("nomic-embed-text-v1.5.gguf")
    assert [model.path.name for model in room.models.installed()] == ["broken.gguf", "chat.gguf"]
    assert [model.path for model in room.embedding.installed()] == [vectors]
    assert room.embedding.installed()[0].embeds


def test_a_file_is_looked_into_once_while_it_stays_the_same(room: Room) -> None:
    path = room.add("chat.gguf")
    for _ in range(3):
        room.models.installed()
        room.again()[0].installed()
    assert room.headers_read == ["chat.gguf"]
    path.write_bytes(b"GGUF, but longer")
    room.models.installed()
    assert room.headers_read == ["chat.gguf"] * 2


def test_an_embedding_model_is_never_the_one_that_answers(room: Room) -> None:
    path = room.add(SHIPPED)
    with pytest.raises(ModelNotFound):
        room.models.selected()
    with pytest.raises(UsageError, match="makes vectors for searching; it cannot write"):
        room.models.select(path)


def test_without_one_it_says_how_to_get_one(room: Room) -> None:
    room.add("chat.gguf")
    with pytest.raises(ModelNotFound, match="no embedding model"):
        room.embedding.embed_query("word")


def test_the_shipped_model_searches_until_another_is_chosen(room: Room) -> None:
    room.add("a-embed.gguf")
    shipped = room.add(SHIPPED)
    assert room.embedding.selected().path == shipped
    room.embedding.select(room.folder / "a-embed.gguf")
    assert room.again()[1].selected().path.name == "a-embed.gguf"
    (room.folder / "a-embed.gguf").unlink()
    with pytest.raises(ModelNotFound, match=r"a-embed\.gguf"):
        room.embedding.selected()


def test_a_chat_model_cannot_be_chosen_to_search(room: Room) -> None:
    with pytest.raises(UsageError, match=r"chat\.gguf is no embedding model"):
        room.embedding.select(room.add("chat.gguf"))


def test_queries_and_passages_get_the_models_own_prefixes(room: Room) -> None:
    room.add("nomic-embed-text-v1.5.gguf")
    room.embedding.embed_passages(["The cat sat.", " "])
    room.embedding.embed_query("cat?")
    assert room.engine.embedded == [["search_document: The cat sat.", ""], ["search_query: cat?"]]
    assert room.embedding.count_tokens(["The cat sat.", ""]) == [4, 0]


def test_nothing_is_loaded_before_it_is_needed_and_each_load_is_audited(room: Room) -> None:
    path = room.add(SHIPPED)
    assert room.engine.loads == []
    model = room.embedding.load()
    room.embedding.embed_query("word")
    assert room.engine.loads == [path]
    assert room.audited() == [f"model.loaded {model.sha256}"]
    assert (model.name, model.max_tokens, model.usual_tokens) == ("all-MiniLM-L6-v2.F16", 40, 40)
    assert model.sha256 == room.models.sha256(path)
    room.engine.unload()  # it rested, or its worker died
    assert room.embedding.embed_query("word").model == model
    assert room.audited() == [f"model.loaded {model.sha256}"] * 2


def test_a_model_that_policy_forbids_makes_no_vectors(room: Room) -> None:
    path = room.add(SHIPPED)
    with pytest.raises(PolicyRefused):
        room.again({"AllowedModels": ()})[1].embed_query("word")
    assert room.engine.loads == []
    assert room.audited() == [f"policy.refused {room.models.sha256(path)}"]


def test_vectors_keep_the_order_of_the_texts_and_name_their_model(room: Room) -> None:
    room.add(SHIPPED)
    texts = [f"word{number}" for number in range(100)]
    told: list[int] = []
    vectors = room.embedding.embed_passages(texts, on_progress=told.append)
    assert vectors.values.shape == (100, 64)
    for text, vector in zip(texts, vectors.values, strict=True):
        assert np.allclose(vector, room.embedding.embed_query(text).values[0])
    assert vectors.model.sha256 == room.embedding.load().sha256
    assert told == sorted(set(told))
    assert told[-1] == 100
    assert room.embedding.embed_passages([]).values.shape[0] == 0


def test_a_stop_between_two_turns_ends_a_long_list(room: Room) -> None:
    room.add(SHIPPED)
    stop = threading.Event()
    with pytest.raises(RequestFailed, match="stopped"):
        room.embedding.embed_passages(["word"] * 1000, on_progress=lambda done: stop.set(), stop=stop)
    assert len(room.engine.embedded) == 1


def test_a_list_that_has_begun_is_finished_by_its_model_when_another_is_chosen(room: Room) -> None:
    room.add(SHIPPED)
    other = room.add("other-embed.gguf")
    queries: list[Any] = []

    def choose_another(done: int) -> None:
        if not queries:
            room.embedding.select(other)
            queries.append(room.embedding.embed_query("now"))

    vectors = room.embedding.embed_passages(["word"] * 200, on_progress=choose_another)
    assert vectors.model.path.name == SHIPPED
    assert queries[0].model.path == other
    assert room.embedding.embed_query("then").model.path == other


def test_a_query_can_have_the_vector_of_the_model_that_was_chosen_before(room: Room) -> None:
    old, new = room.add("old-embed.gguf"), room.add("new-embed.gguf")
    room.embedding.select(old)
    before = room.embedding.selected_sha256()
    room.embedding.select(new)
    assert room.embedding.embed_query("q", sha256=before).model.path == old
    assert room.embedding.embed_query("q").model.path == new
    old.unlink()
    with pytest.raises(ModelNotFound, match="is gone"):
        room.embedding.embed_query("q", sha256=before)


def test_a_file_that_changes_during_a_list_ends_it(room: Room) -> None:
    path = room.add(SHIPPED)
    with pytest.raises(ModelChanged, match="has changed"):
        room.embedding.embed_passages(["word"] * 200, on_progress=lambda done: path.write_bytes(b"GGUF new"))


def test_too_long_a_text_and_a_dead_worker_are_told_as_they_are(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.add(SHIPPED)
    with pytest.raises(ContextOverflow):
        room.embedding.embed_passages(["word " * 41])

    def die(texts: Any, **_: Any) -> Any:
        room.engine.unload()
        raise EngineExited("The engine stopped: killed.")

    with monkeypatch.context() as patch:
        patch.setattr(room.engine, "embed", die)
        with pytest.raises(EngineExited):
            room.embedding.embed_query("word")
    assert room.embedding.embed_query("word").values.shape == (1, 64)


def test_a_persons_query_waits_for_one_turn_of_an_index_only(room: Room) -> None:
    room.add(SHIPPED)
    begun, asked = threading.Event(), threading.Event()

    def wait_for_the_query(done: int) -> None:
        begun.set()
        assert asked.wait(30), "the query must not wait for the whole list"

    def index() -> None:
        room.embedding.embed_passages(["word"] * 1000, on_progress=wait_for_the_query)

    thread = threading.Thread(target=index)
    thread.start()
    assert begun.wait(30)
    room.embedding.embed_query("where?")
    asked.set()
    thread.join(30)
    assert not thread.is_alive()
    assert [len(texts) for texts in room.engine.embedded].index(1) == 1


def test_a_persons_query_ends_a_turn_of_an_index_which_is_done_anew(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.add(SHIPPED)
    begun, kept = threading.Event(), []
    embed = room.engine.embed

    def slow(texts: Any, *, background: bool = False, stop: threading.Event | None = None) -> Any:
        if background and not begun.is_set():
            begun.set()
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                if stop is not None and stop.is_set():
                    raise RequestFailed("The request was stopped.")
                time.sleep(0.001)
        return embed(texts, background=background, stop=stop)

    monkeypatch.setattr(room.engine, "embed", slow)
    thread = threading.Thread(target=lambda: kept.append(room.embedding.embed_passages(["word"] * 8)))
    thread.start()
    assert begun.wait(30)
    started = time.monotonic()
    room.embedding.embed_query("where?")
    assert time.monotonic() - started < 10
    thread.join(30)
    assert kept[0].values.shape == (8, 64)


def test_threads_that_choose_and_embed_at_once_get_vectors_of_the_model_they_name(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [room.add(SHIPPED), room.add("other-embed.gguf")]
    wrong: list[object] = []
    done: list[str] = []

    def mark(sha256: str) -> float:
        return float(int(sha256[:5], 16))

    def embed(texts: Any, **_: Any) -> Any:
        return np.full((len(texts), 64), mark(room.engine.sha256), np.float32)

    def work(number: int) -> None:
        for turn in range(15):
            if turn % 4 == number:
                room.embedding.select(names[turn % 2])
            vectors = room.embedding.embed_passages(["word"] * 40)
            done.append(vectors.model.name)
            if not (vectors.values == mark(vectors.model.sha256)).all():
                wrong.append(vectors)

    monkeypatch.setattr(room.engine, "embed", embed)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert len(done) == 60
    assert len(set(done)) == 2
    assert room.engine.holders == 0

from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.app import App, open_app
from localai_app.chat import snapshots
from localai_app.chat.snapshots import Snapshots, slot_name
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine

SHA = "a" * 64


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(saves=True)


@pytest.fixture
def app(tmp_path: Path, engine: FakeEngine) -> Iterator[App]:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "Tiny-Q4_0.gguf").write_bytes(b"GGUF")
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    with open_app(paths, engine=engine) as app:
        yield app


def files(app: App) -> list[str]:
    return [path.read_text() for path in sorted((app.paths.data / "snapshots").iterdir())]


def talk(app: App) -> int:
    conversation = app.chat.create()
    list(app.chat.send(conversation.id, "Hello"))
    return conversation.id


def test_a_conversation_that_rests_is_written_with_a_key_of_its_own(app: App) -> None:
    first, second = talk(app), talk(app)
    app.snapshots.write_all_due()
    assert sorted(files(app)) == sorted([slot_name(first), slot_name(second)])
    digest = app.chat.conversation(first).model_sha256
    found = [app.snapshots.find(conversation, digest) for conversation in (first, second)]
    assert all(file and len(file.key) == 32 for file in found)
    assert len({file.key for file in found if file}) == 2


def test_the_next_turn_replaces_the_file(app: App) -> None:
    conversation = talk(app)
    app.snapshots.write_all_due()
    list(app.chat.send(conversation, "More"))
    app.snapshots.write_all_due()
    assert files(app) == [slot_name(conversation)]


def test_another_model_gets_none(app: App) -> None:
    conversation = talk(app)
    app.snapshots.write_all_due()
    assert app.snapshots.find(conversation, SHA) is None


def test_erasing_the_conversation_erases_file_key_and_memory(app: App, engine: FakeEngine) -> None:
    conversation = talk(app)
    app.snapshots.write_all_due()
    app.chat.trash(conversation)
    assert files(app) == [slot_name(conversation)]
    app.chat.delete(conversation)
    assert files(app) == []
    assert app.database.rows("SELECT * FROM kv_snapshot") == []
    assert engine.forgotten == [slot_name(conversation)]


def test_an_engine_that_is_gone_costs_nothing_but_the_snapshot(app: App, engine: FakeEngine) -> None:
    talk(app)
    engine.save_snapshot = lambda slot, file: (_ for _ in ()).throw(engine.failure)  # type: ignore[method-assign]
    app.snapshots.write_all_due()
    assert files(app) == []


def test_what_no_row_knows_is_swept(app: App) -> None:
    conversation = talk(app)
    app.snapshots.write_all_due()
    (app.paths.data / "snapshots" / "left-over.part").write_text("x")
    app.snapshots.sweep()
    assert files(app) == [slot_name(conversation)]


def test_the_longest_unused_goes_when_the_budget_is_spent(app: App, engine: FakeEngine) -> None:
    folder = app.paths.data / "snapshots"
    small = Snapshots(app.database, folder, engine, budget=2 * len("chat-1"))
    conversations = [talk(app) for _ in range(3)]
    for conversation in conversations:
        small.turn_ended(conversation, SHA)
        small.write_all_due()
    assert [small.find(conversation, SHA) is not None for conversation in conversations] == [
        False,
        True,
        True,
    ]
    assert sorted(files(app)) == sorted(map(slot_name, conversations[1:]))


def test_resting_is_noticed_without_being_asked(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    written = threading.Event()
    monkeypatch.setattr(snapshots, "_REST_SECONDS", 0.01)
    monkeypatch.setattr(app.snapshots, "_write", lambda conversation, sha: written.set())
    talk(app)
    assert written.wait(10)

"""Choosing, loading and auditing models, with an engine that only pretends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localai_app.engine.protocol import Device
from localai_app.errors import ModelLoadFailed, ModelNotFound, PolicyRefused, UsageError
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models.installed import Starter
from localai_app.models.service import ModelService
from localai_app.paths import Paths
from localai_app.store.database import Database
from localai_app.store.settings import Settings
from tests.fake_engine import FakeEngine


@dataclass
class Room:
    models: ModelService
    engine: FakeEngine
    folder: Path
    database: Database
    again: Callable[..., ModelService]

    def audited(self) -> list[str]:
        return [f"{row['event']} {row['object']}" for row in self.database.rows("SELECT * FROM audit")]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    database = Database.open(tmp_path / "data" / "store.db", bytes(32))
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    paths.models[0].mkdir()
    engine = FakeEngine()

    def service(policy: dict[str, Any] | None = None) -> ModelService:
        return ModelService(
            database,
            Settings(database),
            engine,
            paths,
            Policy(policy),
            Audit(database, "tester"),
        )

    yield Room(service(), engine, paths.models[0], database, service)
    database.close()


def make(path: Path, content: bytes = b"GGUF") -> Path:
    path.write_bytes(content)
    return path


def make_starter(folder: Path) -> Path:
    starter = Starter.from_resources()
    path = folder / starter.file
    with path.open("wb") as file:
        file.truncate(starter.size)
    return path


def test_without_a_model_it_says_where_to_put_one(room: Room) -> None:
    with pytest.raises(ModelNotFound) as caught:
        room.models.selected()
    assert str(room.folder) in caught.value.line


def test_the_starter_answers_until_another_is_chosen(room: Room) -> None:
    make(room.folder / "a.gguf")
    starter = make_starter(room.folder)
    assert room.models.selected().path == starter
    room.models.select(room.folder / "a.gguf")
    assert room.models.selected().path == room.folder / "a.gguf"
    assert room.again().selected().path == room.folder / "a.gguf"


def test_a_choice_for_now_is_forgotten_at_the_next_start(room: Room) -> None:
    make_starter(room.folder)
    room.models.select(make(room.folder / "a.gguf"), keep=False)
    assert room.models.selected().path == room.folder / "a.gguf"
    assert room.again().selected().starter


def test_a_chosen_model_that_is_gone_is_not_replaced_silently(room: Room) -> None:
    make_starter(room.folder)
    room.models.select(make(room.folder / "a.gguf"))
    (room.folder / "a.gguf").unlink()
    with pytest.raises(ModelNotFound, match=r"a\.gguf"):
        room.models.selected()


def test_only_gguf_files_can_be_chosen(room: Room) -> None:
    with pytest.raises(UsageError):
        room.models.select(make(room.folder / "notes.txt"))
    with pytest.raises(ModelNotFound):
        room.models.select(room.folder / "absent.gguf")


def test_a_load_is_audited_once_with_the_hash(room: Room) -> None:
    path = make(room.folder / "a.gguf")
    room.models.load()
    room.models.load()
    entry = f"model.loaded {room.models.sha256(path)}"
    assert room.audited() == [entry]
    room.engine.unload()
    room.models.load()
    assert room.audited() == [entry, entry]


def test_progress_runs_once_from_start_to_end_hashing_included(room: Room) -> None:
    make(room.folder / "a.gguf")
    told: list[float] = []
    room.models.load(told.append)
    assert told == [0.5, 0.5, 0.75, 1.0]
    room.engine.unload()
    told.clear()
    room.models.load(told.append)
    assert told == [0.0, 0.5, 1.0]


def test_a_model_that_policy_forbids_is_not_loaded(room: Room) -> None:
    make(room.folder / "a.gguf")
    with pytest.raises(PolicyRefused):
        room.again({"AllowedModels": ()}).load()
    assert room.engine.loads == []
    assert [entry.split()[0] for entry in room.audited()] == ["policy.refused"]


def test_a_file_that_changes_between_hash_and_load_is_not_used(room: Room) -> None:
    path = make(room.folder / "a.gguf")
    with pytest.raises(ModelLoadFailed):
        room.models.load(lambda fraction: make(path, b"another model") if fraction > 0.5 else None)
    assert room.models.loaded() is None


def test_only_the_starter_brings_recommended_sampling(room: Room) -> None:
    make_starter(room.folder)
    make(room.folder / "a.gguf")
    recommended = {m.path.name: room.models.recommended_sampling(m) for m in room.models.installed()}
    assert recommended == {
        "a.gguf": {},
        "SmolLM2-135M-Instruct.Q4_1.gguf": {"temperature": 0.2, "top_p": 0.9, "max_tokens": 1024},
    }


def test_a_file_from_elsewhere_does_not_answer_where_policy_forbids_it(room: Room, tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "brought.gguf")
    inside = make(room.folder / "inside.gguf")
    models = room.again({"AllowModelImport": False})
    with pytest.raises(PolicyRefused):
        models.select(elsewhere)
    assert room.audited()[-1].endswith(" select")
    assert models.select(inside).path == inside
    assert room.models.select(elsewhere).path == elsewhere


# ---------------------------------------------------------------- what an organisation allows


def test_models_are_loaded_from_the_folders_that_are_allowed(room: Room, tmp_path: Path) -> None:
    make(room.folder / "a.gguf")
    with pytest.raises(PolicyRefused, match="does not allow models from"):
        room.again({"ModelDirectories": (str(tmp_path / "elsewhere"),)}).load()
    assert room.engine.loads == []
    assert any(line.startswith("policy.refused") for line in room.audited())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(room.folder)
    with pytest.raises(PolicyRefused):
        room.again({"ModelDirectories": ()}).load()
    # A link is where it leads.
    assert room.again({"ModelDirectories": (str(tmp_path / "elsewhere" / "link"),)}).load()


def test_a_chat_template_that_is_not_allowed_answers_nothing(room: Room) -> None:
    make(room.folder / "a.gguf")
    with pytest.raises(PolicyRefused, match="chat template") as refused:
        room.again({"AllowedChatTemplates": ("ab" * 32,)}).load()
    assert room.engine.model is None
    digest = str(refused.value).rpartition("SHA-256 ")[2].rstrip(").")
    assert room.again({"AllowedChatTemplates": (digest,)}).load()
    room.engine.chat_template = None
    room.engine.unload()
    assert room.again({"AllowedChatTemplates": ()}).load(), "a base model has none"


def test_without_a_gpu_none_is_asked_for(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    make(room.folder / "a.gguf")
    gpu = Device("CUDA0", "a card", "gpu", 24 * 1024**3, 24 * 1024**3)
    monkeypatch.setattr(FakeEngine, "devices", lambda self: [gpu])
    room.again().load()
    assert room.engine.settings.gpu_layers != 0
    room.engine.unload()
    room.again({"AllowGPU": False}).load()
    assert room.engine.settings.gpu_layers == 0
    assert not room.again({"AllowGPU": False}).allows_gpu

"""Files that are used where they lie: a record, never a copy."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localai_app.errors import ModelNotFound, PolicyRefused, UsageError
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models.elsewhere import Places
from localai_app.models.links import Links
from localai_app.models.service import ModelService
from localai_app.paths import Paths
from localai_app.store.database import Database
from localai_app.store.settings import Settings
from tests.fake_engine import FakeEngine
from tests.models.test_elsewhere import MODEL_LAYER, make, manifest, ollama


@dataclass
class Room:
    models: ModelService
    links: Links
    settings: Settings
    database: Database
    folder: Path

    def audited(self) -> list[str]:
        return [str(row["event"]) for row in self.database.rows("SELECT event FROM audit")]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    database = Database.open(tmp_path / "data" / "store.db", bytes(32))
    yield room_on(database, tmp_path)
    database.close()


def room_on(database: Database, folder: Path, policy: dict[str, Any] | None = None) -> Room:
    paths = Paths(folder / "data", folder / "config", folder / "cache", (folder / "models",))
    settings = Settings(database)
    models = ModelService(database, settings, FakeEngine(), paths, Policy(policy), Audit(database, "tester"))
    return Room(models, models.links, settings, database, folder)


def test_a_linked_file_is_listed_and_stays_where_it_is(room: Room) -> None:
    path = make(room.folder / "usb" / "gemma-3-1b-it-q4_0.gguf")
    (added,) = room.links.add([path])
    assert (added.name, added.quantisation, added.linked, added.missing) == (
        "Gemma 3 1B It",
        "Q4_0",
        True,
        False,
    )
    assert [model.path for model in room.models.installed()] == [path]
    assert list((room.folder / "data").glob("**/*.gguf")) == []
    assert room.audited() == ["model.linked"]


def test_a_folder_links_all_that_is_in_it(room: Room) -> None:
    for name in "ab":
        make(room.folder / "usb" / name / f"{name}.gguf")
    assert [model.name for model in room.links.add([room.folder / "usb"])] == ["A", "B"]


def test_an_ollama_blob_is_selected_by_its_name_and_path(room: Room) -> None:
    blob = ollama(room.folder / "ollama")
    where = Places(ollama=(room.folder / "ollama",))
    room.links.add(room.links.found(where))
    assert room.links.found(where) == [], "it is linked already"
    assert [(model.name, model.owner) for model in room.models.installed()] == [("llama3.2:3b", "Ollama")]
    selected = room.models.select(blob)
    assert selected.name == "llama3.2:3b"
    assert room_on(room.database, room.folder).models.selected() == selected, "and after the next start"


def test_a_missing_drive_greys_a_model_out_and_nothing_more(room: Room) -> None:
    path = make(room.folder / "usb" / "a.gguf")
    other = make(room.folder / "models" / "b.gguf")
    room.links.add([path])
    (room.folder / "usb").rename(room.folder / "pulled out")
    assert [(model.name, model.missing) for model in room.models.installed()] == [("A", True), ("B", False)]
    with pytest.raises(ModelNotFound, match=r"A is not at .*a\.gguf now\.") as refused:
        room.models.select(path)
    assert refused.value.hint.startswith("Connect its drive")
    assert room.models.selected().path == other, "a missing one does not answer by itself"
    (room.folder / "pulled out").rename(room.folder / "usb")
    assert room.models.select(path).name == "A"


def test_removing_a_link_leaves_the_file(room: Room) -> None:
    path = make(room.folder / "usb" / "a.gguf")
    room.links.add([path])
    room.links.remove(path)
    assert path.is_file()
    assert room.models.installed() == []
    with pytest.raises(ModelNotFound, match="is not linked"):
        room.links.remove(path)
    assert room.audited() == ["model.linked", "model.unlinked"]


def test_a_file_in_the_model_folder_is_not_listed_twice(room: Room) -> None:
    path = make(room.folder / "models" / "a.gguf")
    room.links.add([path])
    assert [model.path for model in room.models.installed()] == [path]


def test_what_is_no_model_is_not_linked(room: Room) -> None:
    for path, error in (
        (make(room.folder / "usb" / "text.gguf", b"Dear diary"), UsageError),
        (room.folder / "none.gguf", ModelNotFound),
        (room.folder / "data", ModelNotFound),
    ):
        with pytest.raises(error):
            room.links.add([make(room.folder / "good.gguf"), path])
    assert room.links.all() == [], "all or nothing"


def test_policy_is_asked_and_a_refusal_is_audited(room: Room) -> None:
    strict = room_on(room.database, room.folder, {"AllowModelImport": False})
    with pytest.raises(PolicyRefused):
        strict.links.add([make(room.folder / "a.gguf")])
    assert strict.links.all() == []
    assert strict.audited() == ["policy.refused"]


@pytest.mark.parametrize("kept", [3, {}, ["x"], [{"path": 3}], [{"path": "/a", "name": "A"}]])
def test_whatever_is_kept_there_are_no_links_if_it_is_no_good(room: Room, kept: Any) -> None:
    room.settings.set("models.links", kept)
    assert room.links.all() == []


def test_there_is_a_limit(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localai_app.models.links._MOST", 1)
    room.links.add([make(room.folder / "a.gguf")])
    with pytest.raises(UsageError, match="At most 1 files"):
        room.links.add([make(room.folder / "b.gguf")])


@pytest.mark.engine
@pytest.mark.parametrize("program", ["Ollama", "Hugging Face cache"])
def test_the_real_engine_answers_from_another_program_s_file(
    program: str, tmp_path: Path, starter_model: Path
) -> None:
    from localai_app.engine.client import WorkerEngine

    home = tmp_path / "home"
    if program == "Ollama":
        path = home / "blobs" / f"sha256-{'b' * 64}"
        layer = {
            "mediaType": MODEL_LAYER,
            "digest": f"sha256:{'b' * 64}",
            "size": starter_model.stat().st_size,
        }
        manifest(home, "registry.ollama.ai/library/smollm2/135m", layer)
        where = Places(ollama=(home,))
    else:
        path = home / "models--a--b" / "snapshots" / ("1" * 40) / "other-135m.gguf"
        where = Places(hugging_face=(home,))
    blob = home / "blobs" / f"sha256-{'b' * 64}"
    for folder in (path.parent, blob.parent):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(starter_model, blob)
    if path != blob:
        path.symlink_to(blob)
    database = Database.open(tmp_path / "data" / "store.db", bytes(32))
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    engine = WorkerEngine(snapshots)
    models = ModelService(database, Settings(database), engine, paths, Policy(), Audit(database, "tester"))
    try:
        (linked,) = models.links.add(models.links.found(where))
        assert linked.owner == program
        models.select(path)
        assert models.load().chat_template
    finally:
        engine.close()
        database.close()

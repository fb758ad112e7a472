"""The list of models and what is done with their files, on a whole app with an engine that pretends."""

import dataclasses
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localai_app import app as app_module
from localai_app.app import App, open_app
from localai_app.chat.conversation import Message, Status
from localai_app.errors import (
    GgufError,
    LocalAIError,
    ModelChanged,
    ModelLoadFailed,
    ModelNotFound,
    NotFound,
    PolicyRefused,
    PullFailed,
    RequestFailed,
    UsageError,
)
from localai_app.governance.policy import Policy
from localai_app.models import catalogue_file
from localai_app.models.library import HashState, LibraryModel, ModelLibrary, Progress
from localai_app.paths import Paths
from localai_app.store import leases
from tests import tiny_models
from tests.fake_engine import FakeEngine
from tests.models.signing import document, entry, write_signed
from tests.models.test_elsewhere import ollama

LLAMA = b"GGUF the llama of the catalogue"
LLAMA_FAMILY = next(family for family in tiny_models.FAMILIES.values() if family.architecture == "llama")
LLAMA_SHA = hashlib.sha256(LLAMA).hexdigest()


def make(path: Path, content: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@dataclass
class Room:
    """An app, and the doors that a test needs."""

    app: App
    folder: Path
    engine: FakeEngine
    again: Callable[..., "Room"]
    refuse: list[LocalAIError]
    """What the trial load raises next."""

    @property
    def library(self) -> ModelLibrary:
        return self.app.library

    def one(self, path: Path) -> LibraryModel:
        return self.library.model(path)

    def audited(self, beginning: str = "model.") -> list[str]:
        rows = self.app.database.rows("SELECT event FROM audit ORDER BY seq")
        return [row["event"] for row in rows if row["event"].startswith(beginning)]

    def names(self) -> list[str]:
        return [model.path.name for model in self.library.models()]

    def ask(self) -> Message:
        conversation = self.app.chat.create()
        turn = self.app.chat.send(conversation.id, "Go")
        *_, last = turn
        answer: Message = last.answer  # type: ignore[union-attr]
        return answer


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Room]]:
    """Opens the app, again and again on the same folders."""
    write_signed(
        tmp_path / "resources",
        document(
            entry(files=[{"name": "llama.gguf", "size": len(LLAMA), "sha256": LLAMA_SHA}]),
            entry(
                id="tiny",
                name="Tiny Llama",
                template_sha256=hashlib.sha256(b"the known one\nwith two lines").hexdigest(),
            ),
        ),
    )
    monkeypatch.setattr(catalogue_file, "resources", lambda: tmp_path / "resources")
    monkeypatch.setattr(catalogue_file, "organisation_folder", lambda: tmp_path / "none")
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    refuse: list[LocalAIError] = []

    def try_model(path: Path, make_engine: Any, stopped: Any) -> None:
        assert path.is_file()
        if refuse:
            raise refuse.pop()

    monkeypatch.setattr(app_module, "try_model", try_model)
    opened: list[App] = []

    def open_room(policy: dict[str, Any] | None = None) -> Room:
        while opened:
            opened.pop().close()
        engine = FakeEngine()
        app = open_app(Paths.for_user(), engine=engine, policy=Policy(policy))
        opened.append(app)
        folder = app.library.folder
        return Room(app, folder, engine, open_room, refuse)

    Paths.for_user().models[0].mkdir(parents=True)
    yield open_room
    while opened:
        opened.pop().close()


@pytest.fixture
def room(rooms: Callable[..., Room]) -> Room:
    return rooms()


# ---------------------------------------------------------------- the list


def test_a_row_says_what_is_known(room: Room) -> None:
    path = make(room.folder / "llama-3.2-3b-q4_k_m.gguf", LLAMA)
    model = room.one(path)
    assert (model.hash_state, model.sha256, model.catalogue_id) == (HashState.NEVER, "", "")
    assert (model.family, model.kind, model.place, model.selected) == ("Llama", "chat", "models folder", True)
    assert (model.licence, model.commercial, model.last_used) == ("", "unknown", None)
    assert room.ask().status is Status.COMPLETE
    model = room.one(path)
    assert (model.sha256, model.catalogue_id) == (LLAMA_SHA, "llama-3.2-3b")
    assert model.hash_state is HashState.VERIFIED, "it is the one that the catalogue names"
    assert (model.licence, model.commercial) == ("Llama 3.2 Community License", "conditions")
    assert model.parameters == 3_212_700_000
    assert model.last_used is not None
    assert model.recorded is not None
    assert room.library.by_sha256(LLAMA_SHA) == model
    assert room.library.by_sha256("") is None


def test_licence_and_size_come_from_the_header_where_the_catalogue_knows_nothing(
    room: Room, tmp_path: Path
) -> None:
    path = tiny_models.build(LLAMA_FAMILY, tmp_path)
    path = Path(shutil.copy(path, room.folder / "odd.gguf"))
    model = room.one(path)
    assert (model.family, model.licence) == ("llama", "")
    assert model.parameters == room.app.models.header(path).parameters > 10_000


@pytest.mark.parametrize(
    ("name", "commercial"),
    [
        ("apache-2.0", "yes"),
        ("MIT", "yes"),
        ("cc-by-nc-4.0", "no"),
        ("gemma", "conditions"),
        ("llama3.2", "conditions"),
        ("something else", "unknown"),
    ],
)
def test_well_known_licences_are_understood(room: Room, name: str, commercial: str) -> None:
    path = make(room.folder / "a.gguf")
    room.app.models.files.keep(path, "b" * 64, source="maker/a@123", licence=name)
    model = room.one(path)
    assert (model.licence, model.commercial, model.source) == (name, commercial, "maker/a@123")


def test_models_on_a_folder_that_went_are_listed_as_missing_and_come_back(room: Room) -> None:
    path = make(room.folder / "zebra-2b-q8_0.gguf", b"GGUF zebra")
    room.library.verify(path)
    away = room.folder.rename(room.folder.with_name("away"))
    (model,) = room.library.models()
    assert (model.hash_state, model.file.missing, model.file.size) == (HashState.MISSING, True, 10)
    assert (model.file.name, model.file.quantisation) == ("Zebra 2B", "Q8_0")
    with pytest.raises(ModelNotFound):
        room.library.verify(path)
    away.rename(room.folder)
    assert room.one(path).hash_state is HashState.RECORDED


def test_a_file_that_somebody_deleted_is_not_listed(room: Room) -> None:
    path = make(room.folder / "a.gguf")
    room.library.verify(path)
    path.unlink()
    assert room.library.models() == []


def test_embedding_models_are_listed_too(room: Room, minilm: Path) -> None:
    path = room.folder / minilm.name
    path.symlink_to(minilm)
    (model,) = room.library.models()
    assert (model.kind, model.selected) == ("embedding", True)


def test_another_embedding_model_searches_where_policy_allows_it(
    rooms: Callable[..., Room], minilm: Path
) -> None:
    room = rooms()
    for name in (minilm.name, "other-embed.gguf"):
        (room.folder / name).symlink_to(minilm)
    other = room.folder / "other-embed.gguf"
    told: list[bool] = []
    room.library.watch(lambda: told.append(True))
    assert room.library.search_with(other).selected
    assert room.app.embedding.selected().path == other
    assert told
    with pytest.raises(UsageError, match=r"chat\.gguf is no embedding model"):
        room.library.search_with(make(room.folder / "chat.gguf"))
    room.library.verify(other)
    refusing = rooms({"AllowedModels": ("0" * 64,)})
    with pytest.raises(PolicyRefused, match="does not allow this model"):
        refusing.library.search_with(other)


# ---------------------------------------------------------------- verify and accept


def test_a_verified_model_says_when(room: Room) -> None:
    path = make(room.folder / "a.gguf", b"GGUF one")
    seen: list[Progress] = []
    assert room.library.verify(path, seen.append).hash_state is HashState.RECORDED
    assert (seen[-1].step, seen[-1].fraction, seen[-1].file) == ("checking", 1.0, "a.gguf")
    model = room.library.verify(path)
    assert model.hash_state is HashState.VERIFIED
    assert model.verified is not None
    assert room.audited() == ["model.verified", "model.verified"]


def test_a_stopped_verification_changes_nothing(room: Room) -> None:
    path = make(room.folder / "a.gguf")
    stop = threading.Event()
    stop.set()
    with pytest.raises(RequestFailed, match="stopped"):
        room.library.verify(path, stop=stop)
    assert room.one(path).hash_state is HashState.NEVER


def changed(room: Room) -> Path:
    """A model one of whose bytes has flipped, size and time being the same."""
    path = make(room.folder / "a.gguf", b"GGUF one")
    room.ask()
    times = path.stat()
    path.write_bytes(b"GGUF onf")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return path


def test_a_flipped_bit_is_found_told_and_the_model_is_not_loaded(room: Room) -> None:
    path = changed(room)
    model = room.library.verify(path)
    assert model.hash_state is HashState.CHANGED
    assert model.found_sha256 == hashlib.sha256(b"GGUF onf").hexdigest()
    assert model.sha256 == hashlib.sha256(b"GGUF one").hexdigest()
    assert room.audited()[-1] == "model.changed"
    loads = len(room.engine.loads)
    answer = room.ask()
    assert answer.status is Status.FAILED
    assert "a.gguf is not the file that it was: its SHA-256 has changed. Accept it" in answer.error
    assert len(room.engine.loads) == loads
    room.library.verify(path)
    assert room.audited().count("model.changed") == 1, "the same change is audited once"


def test_an_accepted_file_is_the_model_from_then_on(room: Room) -> None:
    path = changed(room)
    room.library.verify(path)
    model = room.library.accept(path)
    assert (model.hash_state, model.found_sha256) == (HashState.RECORDED, "")
    answer = room.ask()
    assert answer.status is Status.COMPLETE
    assert answer.record is not None
    assert answer.record.model_sha256 == hashlib.sha256(b"GGUF onf").hexdigest() == model.sha256
    assert "model.accepted" in room.audited()
    with pytest.raises(UsageError, match="is what it was"):
        room.library.accept(path)


def test_a_replaced_file_can_be_accepted_before_anybody_read_it(room: Room) -> None:
    path = make(room.folder / "a.gguf", b"GGUF one")
    room.ask()
    path.write_bytes(b"GGUF, another one")
    assert room.one(path).hash_state is HashState.CHANGED
    assert room.library.accept(path).sha256 == hashlib.sha256(b"GGUF, another one").hexdigest()


def test_policy_decides_whether_a_changed_file_may_be_accepted(rooms: Callable[..., Room]) -> None:
    one = hashlib.sha256(b"GGUF one").hexdigest()
    room = rooms({"AllowedModels": (one,)})
    path = changed(room)
    room.library.verify(path)
    with pytest.raises(PolicyRefused):
        room.library.accept(path)
    assert room.audited("policy.refused") == ["policy.refused"]


def test_a_file_that_is_as_it_was_again_needs_no_acceptance(room: Room) -> None:
    path = changed(room)
    room.library.verify(path)
    path.write_bytes(b"GGUF one")
    assert room.library.verify(path).hash_state is HashState.VERIFIED
    assert room.ask().status is Status.COMPLETE


def test_a_copy_with_another_time_is_compared_and_used(room: Room) -> None:
    path = make(room.folder / "a.gguf", b"GGUF one")
    room.ask()
    os.utime(path, ns=(1, 1))
    assert room.ask().status is Status.COMPLETE
    assert room.one(path).hash_state is HashState.VERIFIED


# ---------------------------------------------------------------- delete and undo


def test_a_removed_model_can_be_put_back(room: Room) -> None:
    first = make(room.folder / "b" / "big-00001-of-00002.gguf", b"GGUF 1")
    make(room.folder / "b" / "big-00002-of-00002.gguf", b"GGUF 2")
    room.app.models.select(first)
    room.library.verify(first)
    removed = room.library.remove(first)
    assert (removed.name, removed.path, removed.size, removed.linked) == ("Big", first, 12, False)
    assert room.names() == []
    assert list((room.folder / "b").iterdir()) == []
    assert room.library.removed() == [removed]
    model = room.library.undo_remove(removed.id)
    assert (model.hash_state, model.selected) == (HashState.RECORDED, True)
    assert room.app.models.selected().path == first
    assert room.library.removed() == []
    assert not list((room.folder / ".trash").iterdir())
    assert room.audited() == ["model.verified", "model.removed", "model.restored"]
    with pytest.raises(NotFound):
        room.library.undo_remove(removed.id)


def test_what_was_removed_is_erased_at_the_end(room: Room) -> None:
    path = make(room.folder / "maker" / "a" / "a.gguf")
    other = make(room.folder / "maker" / "b" / "b.gguf", b"GGUF b")
    room.library.verify(path)
    room.library.remove(path)
    assert list((room.folder / ".trash").rglob("0"))
    again = room.again()
    assert not path.parent.exists(), "an empty folder goes too"
    assert other.is_file()
    assert not list((room.folder / ".trash").iterdir())
    assert again.library.removed() == []
    assert again.app.models.files.record(path) is None


def test_what_a_process_that_died_removed_is_erased_at_the_next_start(room: Room) -> None:
    path = make(room.folder / "a.gguf")
    room.library.remove(path)
    orphan(room)
    again = room.again()
    assert not list((room.folder / ".trash").iterdir())
    assert again.names() == []


def test_a_removal_that_was_cut_off_is_taken_back(room: Room) -> None:
    first = make(room.folder / "big-00001-of-00002.gguf", b"GGUF 1")
    second = make(room.folder / "big-00002-of-00002.gguf", b"GGUF 2")
    room.library.remove(first)
    (aside,) = (room.folder / ".trash").glob("*/1")
    aside.rename(second)
    orphan(room)
    again = room.again()
    assert first.read_bytes() == b"GGUF 1"
    assert again.names() == [first.name]


def orphan(room: Room) -> None:
    """Let it have been another process, which is gone."""
    kept = room.app.settings.get("models.trash")
    room.app.settings.set("models.trash", json.loads(json.dumps(kept).replace(own_pid(), "|4000000|")))


def own_pid() -> str:
    return f"|{os.getpid()}|"


def test_what_another_running_process_removed_is_left_to_it(room: Room) -> None:
    path = make(room.folder / "a.gguf")
    room.library.remove(path)
    kept = json.dumps(room.app.settings.get("models.trash"))
    parent = leases._name(os.getppid())
    room.app.settings.set("models.trash", json.loads(kept.replace(leases.this_process(), parent)))
    room.again()
    assert list((room.folder / ".trash").rglob("0"))


def test_of_a_linked_model_only_the_link_goes(room: Room, tmp_path: Path) -> None:
    path = make(tmp_path / "usb" / "zebra-2b-q8_0.gguf")
    (linked,) = room.library.link([path])
    assert (linked.place, linked.file.linked) == ("linked", True)
    removed = room.library.remove(path)
    assert removed.linked
    assert path.is_file()
    assert room.names() == []
    assert room.library.undo_remove(removed.id).file.name == "Zebra 2B"
    room.library.remove(path)
    room.again()
    assert path.is_file()


def test_models_of_everybody_are_left_alone(room: Room, own_folders: Path) -> None:
    path = make(own_folders / "site" / "localai-app" / "models" / "everyone.gguf")
    assert room.one(path).place == "machine-wide"
    with pytest.raises(UsageError, match="serves everybody"):
        room.library.remove(path)
    assert path.is_file()


def test_a_model_that_answers_is_not_removed(room: Room) -> None:
    path = make(room.folder / "a.gguf")
    room.ask()
    with room.engine.hold(), pytest.raises(UsageError, match="answering"):
        room.library.remove(path)
    assert path.is_file()
    room.library.remove(path)
    assert room.engine.model is None


def test_nothing_is_removed_while_all_is_held(rooms: Callable[..., Room]) -> None:
    room = rooms({"LegalHold": True})
    path = make(room.folder / "a.gguf")
    with pytest.raises(PolicyRefused):
        room.library.remove(path)
    assert path.is_file()


def test_another_file_in_its_place_is_not_overwritten(room: Room) -> None:
    path = make(room.folder / "a.gguf", b"GGUF old")
    removed = room.library.remove(path)
    make(path, b"GGUF new")
    with pytest.raises(UsageError, match=r"another a\.gguf"):
        room.library.undo_remove(removed.id)
    assert path.read_bytes() == b"GGUF new"
    path.unlink()
    room.library.undo_remove(removed.id)
    assert path.read_bytes() == b"GGUF old"


def test_the_choice_falls_back_when_the_chosen_model_is_removed(room: Room) -> None:
    one, two = make(room.folder / "a.gguf"), make(room.folder / "b.gguf", b"GGUF b")
    room.app.models.select(two)
    room.library.remove(two)
    assert room.app.models.selected().path == one


# ---------------------------------------------------------------- import


def left(room: Room) -> list[Path]:
    return [path for path in (room.folder / ".quarantine").rglob("*") if path.is_file()]


def test_an_imported_model_is_copied_checked_and_recorded(room: Room, tmp_path: Path) -> None:
    source = make(tmp_path / "usb" / "llama.gguf", LLAMA)
    seen: list[Progress] = []
    model = room.library.import_model(source, seen.append)
    assert model.path == room.folder / "bartowski" / "Llama-3.2-3B-Instruct-GGUF" / "llama.gguf"
    assert model.path.read_bytes() == LLAMA
    assert model.path.stat().st_mode & 0o222 == 0
    assert (model.sha256, model.catalogue_id, model.source) == (LLAMA_SHA, "llama-3.2-3b", "imported")
    assert {progress.step for progress in seen} == {"copying", "checking", "trying"}
    assert [p.fraction for p in seen[:2]] == [0.5, 1.0]
    assert left(room) == []
    assert source.is_file()
    assert room.audited() == ["model.imported"]


def test_a_stick_is_looked_through_and_parts_are_one_model(room: Room, tmp_path: Path) -> None:
    stick = tmp_path / "usb"
    make(stick / "deep" / "big-00001-of-00002.gguf", b"GGUF 1")
    make(stick / "deep" / "big-00002-of-00002.gguf", b"GGUF 2")
    make(stick / "small.gguf", b"GGUF small")
    make(stick / "notes.txt")
    make(stick / "tell.gguf", b"no model")
    found = room.library.importable([stick])
    assert [(one.path.name, one.parts, one.size) for one in found] == [
        ("big-00001-of-00002.gguf", 2, 12),
        ("small.gguf", 1, 10),
        ("tell.gguf", 1, 8),
    ]
    assert [one.problem for one in found] == ["", "", "tell.gguf is not a GGUF file."]
    parts = [stick / "deep" / f"big-0000{n}-of-00002.gguf" for n in (2, 1)]
    assert room.library.importable(parts) == [found[0]]
    model = room.library.import_model(found[0].path)
    assert model.sha256 == hashlib.sha256(b"GGUF 1GGUF 2").hexdigest()
    assert sorted(path.name for path in room.folder.iterdir() if path.is_file()) == [
        "big-00001-of-00002.gguf",
        "big-00002-of-00002.gguf",
    ]
    with pytest.raises(UsageError, match="no GGUF"):
        room.library.importable([make(tmp_path / "empty" / "x.txt").parent])


def test_what_is_no_model_is_told_and_nothing_is_copied(room: Room, tmp_path: Path) -> None:
    text = make(tmp_path / "text.gguf", b"this is text")
    (found,) = room.library.importable([text])
    assert found.problem == "text.gguf is not a GGUF file."
    with pytest.raises(UsageError, match=r"text\.gguf is not a GGUF file"):
        room.library.import_model(text)
    part = make(tmp_path / "m-00002-of-00002.gguf")
    (found,) = room.library.importable([part])
    assert "There is no model file" in found.problem
    damaged = make(tmp_path / "damaged.gguf", b"GGUF" + bytes(200))
    with pytest.raises(GgufError, match=r"damaged\.gguf"):
        room.library.import_model(damaged)
    assert room.names() == []
    assert not (room.folder / ".quarantine").exists()


def test_a_truncated_model_is_refused_by_its_header(room: Room, tmp_path: Path) -> None:
    whole = tiny_models.build(LLAMA_FAMILY, tmp_path)
    cut = make(tmp_path / "cut.gguf", whole.read_bytes()[:-1000])
    with pytest.raises(GgufError, match="not complete"):
        room.library.import_model(cut)
    assert room.names() == []


def test_a_model_that_does_not_load_is_not_installed(room: Room, tmp_path: Path) -> None:
    room.refuse.append(ModelLoadFailed("It does not load.", "Choose another."))
    with pytest.raises(ModelLoadFailed):
        room.library.import_model(make(tmp_path / "a.gguf"))
    assert (room.names(), left(room)) == ([], [])
    assert room.audited() == []


def test_the_same_model_is_not_imported_twice(room: Room, tmp_path: Path) -> None:
    there = make(room.folder / "here.gguf", b"GGUF same")
    with pytest.raises(UsageError, match=f"already: {there}"):
        room.library.import_model(make(tmp_path / "other-name.gguf", b"GGUF same"))
    assert room.names() == ["here.gguf"]
    assert left(room) == []


def test_another_model_of_the_same_name_stands_beside_it(room: Room, tmp_path: Path) -> None:
    make(room.folder / "a.gguf", b"GGUF one")
    model = room.library.import_model(make(tmp_path / "a.gguf", b"GGUF two"))
    assert model.path == room.folder / model.sha256[:8] / "a.gguf"
    assert (room.folder / "a.gguf").read_bytes() == b"GGUF one"


def test_a_stopped_import_leaves_nothing(room: Room, tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(RequestFailed):
        room.library.import_model(make(tmp_path / "a.gguf"), lambda progress: stop.set(), stop)
    assert (room.names(), left(room)) == ([], [])


def test_an_interrupted_import_leaves_nothing(room: Room, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        room.library.import_model(make(tmp_path / "a.gguf"), interrupt)
    assert left(room) == []
    assert room.library.import_model(tmp_path / "a.gguf").path.is_file()


def test_what_a_killed_import_left_is_swept_away(room: Room, tmp_path: Path) -> None:
    lost = make(room.folder / ".quarantine" / "import-abc" / "a.gguf").parent
    (lost / "owner").write_text("boot|4000000|1.0")
    make(room.folder / ".quarantine" / "0123456789abcdef" / "pull.gguf.part")
    room.again()
    assert not lost.exists()
    assert [path.name for path in left(room)] == ["pull.gguf.part"], "a pull is none of its business"


def test_too_little_space_is_told_beforehand(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.library._importer, "_free_space", lambda folder: 1024**3)
    with pytest.raises(PullFailed, match="too little space"):
        room.library.import_model(make(tmp_path / "a.gguf"))
    assert room.names() == []


def test_policy_may_forbid_importing_and_single_models(rooms: Callable[..., Room], tmp_path: Path) -> None:
    source = make(tmp_path / "a.gguf")
    room = rooms({"AllowModelImport": False})
    for call in (room.library.import_model, lambda path: room.library.importable([path])):
        with pytest.raises(PolicyRefused):
            call(source)
    room = rooms({"AllowedModels": ("f" * 64,)})
    with pytest.raises(PolicyRefused, match="does not allow this model"):
        room.library.import_model(source)
    assert (room.names(), left(room)) == ([], [])
    assert room.audited("policy.refused") == ["policy.refused"] * 3


# ---------------------------------------------------------------- details and others


def test_details_show_metadata_tensors_and_template(room: Room, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny_models.build(LLAMA_FAMILY, tmp_path), room.folder / "m.gguf"))
    details = room.library.details(path)
    rows = {row.key: (row.type, row.value) for row in details.metadata}
    assert rows["general.architecture"] == ("text", "llama")
    assert rows["llama.context_length"] == ("whole number", "512")
    assert any(tensor.name == "token_embd.weight" for tensor in details.tensors)
    assert details.template == room.app.models.header(path).chat_template
    assert details.template_sha256 == hashlib.sha256(details.template.encode()).hexdigest()
    assert details.template_state == "unknown"


def test_a_template_is_compared_with_the_catalogue_s(room: Room, tmp_path: Path) -> None:
    known = with_template(tmp_path / "known", "the known one\nwith two lines")
    other = with_template(tmp_path / "other", "the known one\nwith a hook")
    same = Path(shutil.copy(known, room.folder / "Some-Twin-Q8_0.gguf"))
    path = Path(shutil.copy(other, room.folder / "Tiny-Llama-Q4_0.gguf"))
    details = room.library.details(path)
    assert details.template_state == "different"
    assert "-with two lines\n+with a hook\n" in details.template_diff
    same.rename(room.folder / "Tiny-Llama-Q8_0.gguf")
    details = room.library.details(room.folder / "Tiny-Llama-Q8_0.gguf")
    assert (details.template_state, details.template_diff) == ("same", "")
    assert "+with a hook" in room.library.template_diff(path, room.folder / "Tiny-Llama-Q8_0.gguf")
    (room.folder / "Tiny-Llama-Q8_0.gguf").unlink()
    assert room.library.details(path).template_diff == "", "nobody here has the known one"


def with_template(folder: Path, template: str) -> Path:
    folder.mkdir()
    return tiny_models.build(dataclasses.replace(LLAMA_FAMILY, template=template), folder)


def test_others_models_are_found_and_linked(
    room: Room, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: own_folders)
    ollama(own_folders / ".ollama" / "models")
    (found,) = room.library.elsewhere()
    (linked,) = room.library.link([found])
    assert (linked.place, linked.source) == ("linked", "Ollama")
    assert room.library.elsewhere() == []


def test_who_watches_is_told_of_changes(room: Room, tmp_path: Path) -> None:
    told: list[int] = []
    end = room.library.watch(lambda: told.append(1))
    model = room.library.import_model(make(tmp_path / "a.gguf"))
    room.library.remove(model.path)
    assert len(told) == 2
    end()
    room.library.undo_remove(room.library.removed()[0].id)
    assert len(told) == 2


def test_a_changed_model_raises_its_own_error(room: Room) -> None:
    path = changed(room)
    room.library.verify(path)
    with pytest.raises(ModelChanged):
        room.app.models.check(path)

"""Moving the models folder: by renaming, by copying, stopped, killed, and gone on with."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from localai_app.errors import PullFailed, RequestFailed, UsageError
from localai_app.models.library import HashState, Progress
from localai_app.models.loading import Overrides
from localai_app.models.moving import FolderMover
from localai_app.paths import MODELS_NOTE, Paths
from tests.models.conftest import noise
from tests.models.test_library import Room, make, rooms

__all__ = ["rooms"]  # a fixture

CHILD = Path(__file__).parents[1] / "children" / "moving_app.py"


@pytest.fixture
def copying(monkeypatch: pytest.MonkeyPatch) -> None:
    """The target is on another file system."""
    monkeypatch.setattr(FolderMover, "_rename", lambda *_: False)


def fill(room: Room) -> dict[str, bytes]:
    """Models of several shapes; their content by name."""
    files = {
        "a-1b-q4_0.gguf": b"GGUF a",
        "maker/b/b.gguf": b"GGUF b",
        "maker/b/c-00001-of-00002.gguf": b"GGUF c1",
        "maker/b/c-00002-of-00002.gguf": b"GGUF c2",
        ".quarantine/0123/half.gguf.part": b"GGUF ha",
    }
    for name, content in files.items():
        make(room.folder / name, content)
    return files


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def everything_follows(room: Room, target: Path, tell: Callable[[Progress], None]) -> None:
    files = fill(room)
    old, chosen = room.folder, room.folder / "maker" / "b" / "b.gguf"
    room.app.models.select(chosen)
    room.app.models.set_overrides(chosen, Overrides(context_length=512))
    room.library.verify(chosen)
    room.library.models()
    assert room.library.move_folder(target, tell) == target
    assert content_of(target) == files
    assert not old.exists()
    again = room.again()
    assert again.library.folder == target == again.app.paths.models[0]
    assert again.app.models.selected().path == target / "maker" / "b" / "b.gguf"
    model = again.one(target / "maker" / "b" / "b.gguf")
    assert (model.hash_state, model.selected) == (HashState.RECORDED, True)
    assert again.app.models.plan(model.path).overrides.context_length == 512
    assert len(again.library.models()) == 3
    assert again.library.unfinished_move() is None
    assert again.audited()[-1] == "model.folder_moved"
    imported = again.library.import_model(make(target.parent / "new.gguf", b"GGUF new"))
    assert imported.path == target / "new.gguf"


def test_on_one_file_system_the_folder_is_renamed(rooms: Callable[..., Room], tmp_path: Path) -> None:
    everything_follows(rooms(), tmp_path / "deep" / "new", lambda progress: pytest.fail("copied"))


def test_an_empty_folder_is_a_target_too(rooms: Callable[..., Room], tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    everything_follows(rooms(), tmp_path / "new", lambda progress: pytest.fail("copied"))


@pytest.mark.usefixtures("copying")
def test_on_another_file_system_it_is_copied_compared_and_deleted(
    rooms: Callable[..., Room], tmp_path: Path
) -> None:
    seen: list[Progress] = []
    everything_follows(rooms(), tmp_path / "new", seen.append)
    assert {progress.step for progress in seen} == {"copying", "checking", "deleting"}
    fractions = [progress.fraction for progress in seen if progress.step != "deleting"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system")
def test_a_real_other_file_system(rooms: Callable[..., Room], tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        everything_follows(rooms(), Path(other) / "new", lambda progress: None)


def test_links_in_the_folder_lead_where_they_led(
    rooms: Callable[..., Room], tmp_path: Path, copying: None
) -> None:
    room = rooms()
    real = make(tmp_path / "elsewhere" / "real.gguf", b"GGUF real")
    (room.folder / "link.gguf").symlink_to(real)
    room.library.move_folder(tmp_path / "new")
    assert (tmp_path / "new" / "link.gguf").readlink() == real
    assert real.is_file()


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("after", range(8))
def test_stopped_it_leaves_the_old_folder_as_it_was(
    rooms: Callable[..., Room], tmp_path: Path, after: int
) -> None:
    room = rooms()
    files = fill(room)
    stop = threading.Event()
    count = iter(range(100))

    def tell(progress: Progress) -> None:
        if next(count) == after:
            stop.set()

    with pytest.raises(RequestFailed):
        room.library.move_folder(tmp_path / "new", tell, stop)
    assert content_of(room.folder) == files
    assert not (tmp_path / "new").exists()
    assert room.library.unfinished_move() is None
    assert room.library.folder == room.folder


@pytest.mark.usefixtures("copying")
def test_interrupted_it_goes_on_or_is_taken_back(rooms: Callable[..., Room], tmp_path: Path) -> None:
    room = rooms()
    files = fill(room)

    def interrupt(progress: Progress) -> None:
        if progress.fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        room.library.move_folder(tmp_path / "new", interrupt)
    room = room.again()
    unfinished = room.library.unfinished_move()
    assert unfinished is not None
    assert (unfinished.source, unfinished.target, unfinished.switched) == (
        room.folder,
        tmp_path / "new",
        False,
    )
    with pytest.raises(UsageError, match="being moved to"):
        room.library.move_folder(tmp_path / "other")
    room.library.cancel_move()
    assert content_of(room.folder) == files
    assert not (tmp_path / "new").exists()
    with pytest.raises(KeyboardInterrupt):
        room.library.move_folder(tmp_path / "new", interrupt)
    copied: list[str] = []
    room.library.move_folder(tmp_path / "new", lambda progress: copied.append(progress.file))
    assert content_of(tmp_path / "new") == files
    assert "a-1b-q4_0.gguf" not in copied[: copied.index("maker/b/b.gguf")], "it was there already"


def test_what_cannot_be_is_refused(
    rooms: Callable[..., Room], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = rooms()
    fill(room)
    full = make(tmp_path / "full" / "x").parent
    for target, words in (
        (room.folder, "in one another"),
        (room.folder / "inside", "in one another"),
        (room.folder.parent, "in one another"),
        (full, "not empty"),
        (full / "x", "not a folder"),
        (full / "x" / "y", "cannot be written"),
    ):
        with pytest.raises(UsageError, match=words):
            room.library.move_folder(target)
    room.app.database.execute(
        "INSERT INTO pull (repo, revision, licence, files, folder, state, position, created) "
        "VALUES ('a/b', '', '', '[]', 'x', 'queued', 1, 1)"
    )
    with pytest.raises(UsageError, match="being downloaded"):
        room.library.move_folder(tmp_path / "new")
    room.app.database.execute("DELETE FROM pull")
    monkeypatch.setenv("LOCALAI_APP_MODELS_DIR", str(room.folder))
    with pytest.raises(UsageError, match="LOCALAI_APP_MODELS_DIR"):
        room.library.move_folder(tmp_path / "new")


@pytest.mark.usefixtures("copying")
def test_too_little_space_is_told_beforehand(rooms: Callable[..., Room], tmp_path: Path) -> None:
    room = rooms()
    files = fill(room)
    room.library._mover._free_space = lambda folder: 0
    with pytest.raises(PullFailed, match="too little space"):
        room.library.move_folder(tmp_path / "new")
    assert content_of(room.folder) == files


def test_a_note_that_makes_no_sense_is_passed_over(own_folders: Path) -> None:
    note = Paths.for_user().config / MODELS_NOTE
    usual = Paths.for_user().models[0]
    for text in (b"", b"relative/path", b"\xff\xfe"):
        make(note, text)
        assert Paths.for_user().models[0] == usual


def test_what_was_removed_can_be_put_back_after_a_move(rooms: Callable[..., Room], tmp_path: Path) -> None:
    room = rooms()
    fill(room)
    removed = room.library.remove(room.folder / "a-1b-q4_0.gguf")
    room.library.move_folder(tmp_path / "new")
    assert room.library.undo_remove(removed.id).path == tmp_path / "new" / "a-1b-q4_0.gguf"


@pytest.mark.parametrize("step", ["rename", "_write_note", "_switch", "_records_follow"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("copied", [True, False])
def test_cut_off_around_any_step_of_the_switch_the_next_start_has_all(  # noqa: PLR0917 - fixtures
    step: str,
    before: bool,
    copied: bool,
    rooms: Callable[..., Room],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = rooms()
    files = fill(room)
    chosen = room.folder / "a-1b-q4_0.gguf"
    room.app.models.select(chosen)
    owner: Any = {"rename": Path, "_records_follow": room.library._mover}.get(step, FolderMover)
    real = getattr(owner, step)

    def cut_off(*values: Any, **named: Any) -> Any:
        if not before:
            real(*values, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        if copied:
            patch.setattr(FolderMover, "_rename", lambda *_: False)
        patch.setattr(owner, step, cut_off)
        room.library.move_folder(tmp_path / "new")
    room = room.again()
    assert content_of(room.library.folder) == files
    assert room.app.models.selected().path == room.library.folder / chosen.name
    assert len(room.library.models()) == 3
    if (move := room.library.unfinished_move()) is not None:
        room.library.move_folder(move.target)
    assert content_of(room.library.folder) == files
    assert room.library.unfinished_move() is None
    assert room.folder == Paths.for_user().models[0] or room.again().library.folder == tmp_path / "new"


# ---------------------------------------------------------------- kill -9


@contextlib.contextmanager
def moving(target: Path) -> Iterator[subprocess.Popen[str]]:
    """An app of its own that moves the folder."""
    command = [sys.executable, str(CHILD), str(target)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.engine
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_time_it_is_finished_by_the_next_run(
    seed: int, rooms: Callable[..., Room], tmp_path: Path
) -> None:
    here, there = Paths.for_user().models[0], tmp_path / "new"
    files = {f"m{number}/model-{number}.gguf": noise(2**24, number) for number in range(4)}
    for name, content in files.items():
        make(here / name, content)
    chance = random.Random(seed)
    killed = 0
    while killed < 20:
        with moving(there) as process:
            assert process.stdout
            assert process.stdout.readline() == "begins\n"
            time.sleep(chance.uniform(0, 0.1))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            killed += 1
        both = content_of(here) | {
            name: content for name, content in content_of(there).items() if not name.endswith(".moving")
        }
        assert both == files, "nothing is lost at any time"
    with moving(there) as process:
        process.communicate()
    room = rooms()
    assert killed
    assert room.library.folder == there
    assert content_of(there) == files
    assert not here.exists()
    assert room.library.unfinished_move() is None

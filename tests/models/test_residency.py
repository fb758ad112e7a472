"""When an idle model goes, what it leaves behind, and that it is never taken from anybody."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.app import App, open_app
from localai_app.chat.conversation import Message, Status
from localai_app.chat.service import TextDelta, TurnFinished
from localai_app.chat.snapshots import slot_name
from localai_app.engine.arbiter import Arbiter
from localai_app.engine.machine import MemoryNow
from localai_app.errors import UsageError
from localai_app.models.residency import DEFAULT_MINUTES, IDLE_MINUTES, Residency
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine

GIB = 1024**3
MINUTE = 60


class World:
    """A clock and a memory that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.available = 8 * GIB

    def clock(self) -> float:
        return self.now

    def memory(self) -> MemoryNow:
        return MemoryNow(total=16 * GIB, available=self.available)


class Room:
    """An app on a scripted engine whose idle models are looked after by hand."""

    def __init__(self, app: App, engine: FakeEngine) -> None:
        self.app, self.engine, self.world = app, engine, World()
        self.arbiter = Arbiter(cores=lambda: 4, memory=self.world.memory)
        self.saved: list[bool] = []
        self.residency = self.again()

    def again(self) -> Residency:
        """Residency as after a start of the app."""
        made = Residency(
            self.app.settings, self.save, self.arbiter, clock=self.world.clock, memory=self.world.memory
        )
        made.add(self.engine)
        return made

    def save(self) -> None:
        """What the app does before a model goes; whether it was still there is kept."""
        self.saved.append(self.engine.model is not None)
        self.app.snapshots.write_all_due()

    def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` pass, with a look now and then."""
        for _ in range(int(seconds // 5)):
            self.world.now += 5
            self.residency.look()
        self.world.now += seconds % 5
        self.residency.look()

    def talk(self, conversation: int | None = None) -> int:
        number = conversation or self.app.chat.create().id
        finished(list(self.app.chat.send(number, "Hello")))
        return number

    @property
    def loaded(self) -> bool:
        return self.engine.model is not None


def finished(events: list[object]) -> Message:
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].answer.status is Status.COMPLETE, events[-1].answer.error
    return events[-1].answer


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "Tiny-Q4_0.gguf").write_bytes(b"GGUF")
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    engine = FakeEngine(saves=True)
    with open_app(paths, engine=engine) as app:
        yield Room(app, engine)


def test_an_unused_model_is_unloaded_after_the_set_time_and_not_before(room: Room) -> None:
    room.talk()
    room.pass_time(DEFAULT_MINUTES * MINUTE)
    assert room.loaded
    room.pass_time(10)
    assert not room.loaded
    assert room.residency.absence() == "idle"


def test_every_use_counts_even_one_between_two_looks(room: Room) -> None:
    conversation = room.talk()
    for _ in range(4):
        room.pass_time((DEFAULT_MINUTES - 1) * MINUTE)
        room.talk(conversation)
    assert room.loaded
    assert len(room.engine.loads) == 1


def test_the_next_message_loads_it_again_and_nothing_is_lost(room: Room) -> None:
    conversation = room.talk()
    room.pass_time(DEFAULT_MINUTES * MINUTE + 10)
    assert not room.loaded
    room.talk(conversation)
    assert room.loaded
    assert room.residency.absence() == ""
    assert len(room.engine.loads) == 2
    assert [message.text for message in room.app.chat.path(conversation)] == ["Hello", "Yes."] * 2
    assert room.engine.asked[1].text.count("Hello") == 2


def test_what_was_evaluated_is_written_before_the_model_goes(room: Room) -> None:
    conversation = room.talk()
    room.pass_time(DEFAULT_MINUTES * MINUTE + 10)
    assert room.saved == [True]
    digest = room.app.chat.conversation(conversation).model_sha256
    file = room.app.snapshots.find(conversation, digest)
    assert file is not None
    assert Path(file.path).read_text() == slot_name(conversation)


def test_never_means_never_for_want_of_use_but_not_of_memory(room: Room) -> None:
    room.residency.set_idle_minutes(0)
    room.talk()
    room.pass_time(10 * 60 * MINUTE)
    assert room.loaded
    room.world.available = GIB // 2
    room.residency.look()
    assert not room.loaded
    assert room.residency.absence() == "memory"


def test_when_memory_is_short_an_idle_model_goes_after_a_grace(room: Room) -> None:
    room.world.available = GIB // 2
    room.talk()
    room.pass_time(30)
    assert room.loaded
    room.pass_time(5)
    assert not room.loaded
    assert room.residency.absence() == "memory"


@pytest.mark.parametrize("reason", ["idle", "memory"])
def test_a_model_that_writes_an_answer_is_never_taken(room: Room, reason: str) -> None:
    room.engine.gate = threading.Semaphore(0)
    events: list[object] = []
    conversation = room.app.chat.create().id
    turn = room.app.chat.send(conversation, "Hello")
    writes = threading.Event()

    def follow() -> None:
        for event in turn:
            events.append(event)
            if isinstance(event, TextDelta):
                writes.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    room.engine.gate.release()
    assert writes.wait(10)
    room.world.available = GIB // 4 if reason == "memory" else 8 * GIB
    room.pass_time(2 * DEFAULT_MINUTES * MINUTE)
    assert room.loaded
    assert room.saved == []
    room.engine.gate.release(9)
    thread.join()
    finished(events)
    room.world.available = 8 * GIB
    room.pass_time(DEFAULT_MINUTES * MINUTE)
    assert room.loaded, "the time begins with the end of the answer"


def test_a_message_that_comes_while_snapshots_are_written_wins(room: Room) -> None:
    conversation = room.talk()
    again: list[int] = []

    def save() -> None:
        if not again:
            again.append(room.talk(conversation))

    room.residency._before_rest = save
    room.pass_time(DEFAULT_MINUTES * MINUTE + 10)
    assert again
    assert room.loaded
    assert len(room.engine.loads) == 1
    assert room.residency.absence() == ""


def test_the_time_is_kept_and_holds_at_once(room: Room) -> None:
    assert room.residency.idle_minutes == DEFAULT_MINUTES
    room.talk()
    room.pass_time(6 * MINUTE)
    room.residency.set_idle_minutes(5)
    room.residency.look()
    assert not room.loaded
    assert room.again().idle_minutes == 5


@pytest.mark.parametrize("minutes", [-1, 1, 7, 10_000])
def test_another_time_is_refused(room: Room, minutes: int) -> None:
    with pytest.raises(UsageError):
        room.residency.set_idle_minutes(minutes)
    assert room.residency.idle_minutes == DEFAULT_MINUTES


@pytest.mark.parametrize("stored", ["soon", 7, None, False, 5.0, [5]])
def test_an_odd_stored_time_falls_back(room: Room, stored: object) -> None:
    room.app.settings.set("engine.idle_minutes", stored)  # type: ignore[arg-type]
    assert room.again().idle_minutes == DEFAULT_MINUTES


def test_the_default_is_one_of_the_choices() -> None:
    assert DEFAULT_MINUTES in IDLE_MINUTES


def test_a_model_that_was_never_loaded_or_crashed_is_not_called_unloaded(room: Room) -> None:
    room.pass_time(2 * DEFAULT_MINUTES * MINUTE)
    assert room.residency.absence() == ""
    room.talk()
    room.engine.model = None  # its worker crashed
    room.pass_time(2 * DEFAULT_MINUTES * MINUTE)
    assert room.residency.absence() == ""
    assert room.saved == []


def test_whoever_shows_the_state_is_told_once(room: Room) -> None:
    told: list[str] = []
    room.residency.on_rest = lambda: told.append(room.residency.absence())
    room.talk()
    room.pass_time(3 * DEFAULT_MINUTES * MINUTE)
    assert told == ["idle"]


def test_another_worker_gets_the_memory_of_an_idle_model(room: Room) -> None:
    room.talk()
    assert room.residency._make_way(room.engine)
    assert room.saved == [True]
    assert room.residency.absence() == "memory"
    assert not room.residency._make_way(room.engine), "there is nothing more to give"


def test_another_worker_does_not_get_the_memory_of_one_in_use(room: Room) -> None:
    room.talk()
    with room.engine.hold():
        assert not room.residency._make_way(room.engine)
    assert room.loaded
    assert not room.residency._make_way(FakeEngine())


def test_its_thread_looks_until_it_is_closed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localai_app.models.residency._LOOK_SECONDS", 0.001)
    looked = threading.Event()
    monkeypatch.setattr(room.residency, "look", looked.set)
    room.residency.start()
    assert looked.wait(10)
    room.residency.close()
    assert room.residency._thread is not None
    assert not room.residency._thread.is_alive()

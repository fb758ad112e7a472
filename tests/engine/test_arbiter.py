import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.engine.arbiter import Arbiter
from localai_app.engine.machine import MemoryNow

GIB = 1024**3


class Worker:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def use_cores(self, count: int) -> None:
        self.told.append(count)


def arbiter_of(cores: int, *workers: Worker) -> Arbiter:
    arbiter = Arbiter(cores=lambda: cores)
    for worker in workers:
        arbiter.started(worker)
    return arbiter


def test_one_busy_worker_has_all_cores_and_is_told_nothing() -> None:
    chat, embedding = Worker(), Worker()
    arbiter = arbiter_of(8, chat, embedding)
    arbiter.began(chat, background=False)
    arbiter.ended(chat, background=False)
    arbiter.began(embedding, background=True)
    assert (chat.told, embedding.told) == ([], [])


def test_what_a_person_waits_for_leaves_one_core_to_background_work() -> None:
    chat, embedding = Worker(), Worker()
    arbiter = arbiter_of(8, chat, embedding)
    arbiter.began(embedding, background=True)
    arbiter.began(chat, background=False)
    assert (chat.told, embedding.told) == ([7], [1])
    arbiter.ended(chat, background=False)
    assert embedding.told == [1, 8]
    arbiter.began(chat, background=False)
    assert (chat.told, embedding.told) == ([7], [1, 8, 1])
    arbiter.ended(embedding, background=True)
    assert chat.told == [7, 8]


@pytest.mark.parametrize(("cores", "shares"), [(8, [4, 4]), (5, [3, 2]), (2, [1, 1]), (1, [1, 1])])
def test_equals_split_the_cores(cores: int, shares: list[int]) -> None:
    for background in (True, False):
        first, second = Worker(), Worker()
        arbiter = arbiter_of(cores, first, second)
        for worker in (first, second):
            arbiter.began(worker, background=background)
        assert [(worker.told or [cores])[-1] for worker in (first, second)] == shares


def test_a_worker_with_both_kinds_of_requests_counts_as_waited_for() -> None:
    chat, embedding = Worker(), Worker()
    arbiter = arbiter_of(4, chat, embedding)
    arbiter.began(chat, background=True)
    arbiter.began(chat, background=False)
    arbiter.began(embedding, background=True)
    assert (chat.told, embedding.told) == ([3], [1])
    arbiter.ended(chat, background=False)
    assert (chat.told, embedding.told) == ([3, 2], [1, 2])


def test_a_new_process_knows_of_all_cores_again() -> None:
    chat, embedding = Worker(), Worker()
    arbiter = arbiter_of(4, chat, embedding)
    arbiter.began(embedding, background=True)
    arbiter.began(chat, background=False)
    arbiter.ended(chat, background=False)  # its process ended
    arbiter.started(chat)
    arbiter.began(chat, background=False)
    assert chat.told == [3, 3]


def test_who_is_closed_is_asked_for_nothing_any_more() -> None:
    chat, trial = Worker(), Worker()
    arbiter = Arbiter(cores=lambda: 4, memory=Memory(GIB).now)
    for worker in (chat, trial):
        arbiter.started(worker)
        arbiter.began(worker, background=False)
    arbiter.left(trial)
    assert chat.told == [2, 4]
    asked: list[object] = []
    arbiter.unload = lambda member: bool(asked.append(member))
    arbiter.make_room(chat, 2 * GIB)
    assert asked == []


requests = st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40)


@given(cores=st.integers(1, 64), begun=requests, order=st.randoms())
def test_shares_never_exceed_the_cores_beyond_one_each(
    cores: int, begun: list[tuple[int, bool]], order: random.Random
) -> None:
    workers = [Worker() for _ in range(3)]
    arbiter = arbiter_of(cores, *workers)
    running: list[tuple[int, bool]] = []
    steps = list(begun)
    while steps or running:
        if steps and (not running or order.random() < 0.5):
            number, background = steps.pop()
            running.append((number, background))
            arbiter.began(workers[number], background=background)
        else:
            number, background = running.pop(order.randrange(len(running)))
            arbiter.ended(workers[number], background=background)
        busy = {number for number, _ in running}
        shares = {number: (workers[number].told or [cores])[-1] for number in busy}
        assert all(share >= 1 for share in shares.values())
        assert sum(shares.values()) <= max(cores, len(busy))
        if len(busy) == 1:
            assert set(shares.values()) == {cores}


def test_the_last_word_is_true_however_threads_race() -> None:
    """Requests begin and end in many threads; when all is quiet, who is busy last has all cores."""
    workers = [Worker(), Worker()]
    arbiter = arbiter_of(8, *workers)
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(200):
            arbiter.began(workers[number % 2], background=bool(turn % 3))
            arbiter.ended(workers[number % 2], background=bool(turn % 3))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in workers:
        arbiter.began(worker, background=False)
        assert (worker.told or [8])[-1] == 8
        arbiter.ended(worker, background=False)


class Memory:
    """Memory that members give back."""

    def __init__(self, available: int, **held: int) -> None:
        self.available = available
        self.held = held

    def now(self) -> MemoryNow:
        return MemoryNow(total=16 * GIB, available=self.available)


@pytest.mark.parametrize(
    ("needed", "room", "left"),
    [(GIB, True, ["first", "second"]), (3 * GIB, True, ["second"]), (9 * GIB, False, [])],
)
def test_idle_workers_make_room_one_after_the_other(needed: int, room: bool, left: list[str]) -> None:
    memory = Memory(GIB, first=2 * GIB, second=2 * GIB)
    arbiter = Arbiter(cores=lambda: 4, memory=memory.now)
    members = {name: Worker() for name in ("first", "second", "new")}
    for member in members.values():
        arbiter.started(member)

    def unload(member: object) -> bool:
        name = next(name for name, each in members.items() if each is member)
        memory.available += memory.held.pop(name)
        return True

    arbiter.unload = unload  # type: ignore[assignment]
    assert arbiter.make_room(members["new"], needed) is room
    assert list(memory.held) == left


def test_nobody_is_asked_to_go_for_nothing_and_who_stays_is_asked_once() -> None:
    memory = Memory(GIB)
    arbiter = Arbiter(cores=lambda: 4, memory=memory.now)
    busy, new = Worker(), Worker()
    arbiter.started(busy)
    asked: list[object] = []
    arbiter.unload = lambda member: bool(asked.append(member))
    assert not arbiter.make_room(new, 2 * GIB)
    assert asked == [busy]
    assert not arbiter.make_room(busy, 2 * GIB)
    assert asked == [busy]

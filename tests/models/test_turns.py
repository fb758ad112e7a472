"""Turns: one at a time, a person first."""

import threading
import time

from localai_app.models.turns import Turns


def wait_until_queued(turns: Turns, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(turns._first) + len(turns._last) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_who_waits_for_a_person_comes_before_the_background_that_came_earlier() -> None:
    turns, order, threads = Turns(), [], []

    def work(name: str, *, background: bool) -> None:
        with turns.take(background=background):
            order.append(name)

    with turns.take(background=True):
        for number, (name, background) in enumerate(
            [("index", True), ("more", True), ("query", False), ("second query", False)]
        ):
            thread = threading.Thread(target=work, args=(name,), kwargs={"background": background})
            thread.start()
            threads.append(thread)
            wait_until_queued(turns, number + 1)
        assert order == []
    for thread in threads:
        thread.join(10)
    assert order == ["query", "second query", "index", "more"]


def test_whoever_gives_a_turn_back_does_not_take_the_next_before_those_who_wait() -> None:
    turns, waited = Turns(), threading.Event()

    def query() -> None:
        with turns.take():
            waited.set()

    for _ in range(50):
        waited.clear()
        with turns.take(background=True):
            thread = threading.Thread(target=query)
            thread.start()
            wait_until_queued(turns, 1)
        with turns.take(background=True):
            assert waited.is_set()
        thread.join(10)


def test_a_turn_that_ends_badly_is_given_back() -> None:
    turns = Turns()
    for _ in range(2):
        try:
            with turns.take():
                raise ValueError
        except ValueError:
            pass
    with turns.take(background=True):
        pass

import itertools
import threading
import time

import pytest
from pytestqt.qtbot import QtBot

from localai_app.errors import LocalAIError, NotFound
from localai_app.ui.jobs import DELIVERY_INTERVAL, Jobs


def test_a_call_runs_elsewhere_and_its_result_comes_back_here(qtbot: QtBot, jobs: Jobs) -> None:
    job = jobs.run(threading.current_thread)
    got: list[tuple[threading.Thread, threading.Thread]] = []
    job.returned.connect(lambda worker: got.append((worker, threading.current_thread())))
    with qtbot.waitSignal(job.finished):
        pass
    worker, receiver = got[0]
    assert worker is not threading.main_thread()
    assert receiver is threading.main_thread()


def test_calls_of_one_lane_keep_their_order(qtbot: QtBot, jobs: Jobs) -> None:
    order: list[int] = []
    for number in range(50):
        last = jobs.run(lambda number=number: order.append(number))
    with qtbot.waitSignal(last.finished):
        pass
    assert order == list(range(50))


def test_an_error_for_people_is_an_answer(qtbot: QtBot, jobs: Jobs) -> None:
    def call() -> None:
        raise NotFound("There is no such chat.", "Look in the trash.")

    job = jobs.run(call)
    errors: list[LocalAIError] = []
    job.failed.connect(errors.append)
    with qtbot.waitSignal(job.finished):
        pass
    assert [error.line for error in errors] == ["There is no such chat. Look in the trash."]


def test_a_bug_goes_to_the_crash_hook(qtbot: QtBot) -> None:
    crashes: list[BaseException] = []
    jobs = Jobs(crash=crashes.append)
    job = jobs.run(lambda: 1 / 0)
    with qtbot.waitSignal(job.finished):
        pass
    assert [type(error) for error in crashes] == [ZeroDivisionError]
    jobs.close()


def test_a_flood_is_delivered_in_few_batches_and_in_order(qtbot: QtBot, jobs: Jobs) -> None:
    def flood() -> object:
        for number in range(400):
            time.sleep(0.0005)
            yield number

    batches: list[list[int]] = []
    moments: list[float] = []
    job = jobs.stream(flood)
    job.yielded.connect(lambda batch: (batches.append(batch), moments.append(time.monotonic())))
    began = time.monotonic()
    with qtbot.waitSignal(job.finished):
        pass
    assert [number for batch in batches for number in batch] == list(range(400))
    assert len(batches) <= (time.monotonic() - began) / DELIVERY_INTERVAL + 2
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments[:-1])]
    assert all(gap > DELIVERY_INTERVAL * 0.8 for gap in gaps)


def test_what_was_yielded_comes_before_the_failure(qtbot: QtBot, jobs: Jobs) -> None:
    def call() -> object:
        yield 1
        yield 2
        raise NotFound("gone")

    seen: list[object] = []
    job = jobs.stream(call)
    job.yielded.connect(seen.extend)
    job.failed.connect(lambda error: seen.append(str(error)))
    with qtbot.waitSignal(job.finished):
        pass
    assert seen == [1, 2, "gone"]


def test_closing_lets_queued_calls_finish(qtbot: QtBot) -> None:
    jobs, done = Jobs(), []
    for number in range(5):
        jobs.run(lambda number=number: done.append(number))
    jobs.close()
    assert done == [0, 1, 2, 3, 4]
    with pytest.raises(AssertionError):
        jobs.run(lambda: None)

"""Runs that are worked on: order, batch, pause, stop, resume, retries, a dying engine, erased documents."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from localai_app.documents.document import Scope
from localai_app.errors import ContextOverflow, RequestFailed, UsageError
from localai_app.tasks.run import ItemState, RunSettings, RunState
from localai_app.tasks.task import Coverage
from tests.decrypted import decrypted
from tests.documents.pretended import KEY
from tests.tasks.task_rooms import Echo, EchoOptions, TaskRooms, eventually, path_of, said


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[TaskRooms]:
    rooms = TaskRooms(tmp_path)
    yield rooms
    if rooms.engine.open:
        rooms.engine.open.set()
    rooms.close()


def texts(number: int) -> list[str]:
    return [f"Text of document {at}." for at in range(number)]


# ---------------------------------------------------------------- a run


def test_each_document_is_done_once_in_its_order(rooms: TaskRooms) -> None:
    rooms.put(*texts(5))
    run, items = rooms.run()
    assert (run.state, run.documents, run.done, run.failed, run.left) == (RunState.DONE, 5, 5, 0, 0)
    assert [said(item) for item in items] == [[text] for text in texts(5)]
    assert sorted(rooms.engine.said()) == texts(5)
    assert all(item.coverage == Coverage("page", 1, 1) for item in items)
    assert all((item.cost.steps, item.attempts) == (1, 1) for item in items)
    assert run.model is not None
    assert (run.model.name, run.model.engine_build) == ("Tiny", "fake 1")
    assert {item.model for item in items} == {run.model}
    assert rooms.task_events() == ["task.started", *["task.item_finished"] * 5, "task.finished"]
    assert rooms.audit.verify().sound


def test_steps_of_many_documents_are_under_way_at_once(rooms: TaskRooms) -> None:
    rooms.engine.open = threading.Event()
    rooms.put(*texts(20))
    run = rooms.start()
    eventually(lambda: rooms.engine.under_way == 16)
    time.sleep(0.1)
    assert rooms.engine.under_way == 16
    rooms.engine.open.set()
    assert rooms.tasks.wait(run.id, 20)
    assert all(option["background"] for option in rooms.engine.options)
    assert len({option["group"] for option in rooms.engine.options}) == 1
    assert {asked.sampling.temperature for asked in rooms.engine.asked} == {0}


def test_prompts_of_a_run_begin_alike(rooms: TaskRooms) -> None:
    rooms.put(*texts(3))
    rooms.run()
    assert all(asked.text.startswith("user: Say it.\n\n=====\n") for asked in rooms.engine.asked)


def test_a_deterministic_run_does_one_step_at_a_time(rooms: TaskRooms) -> None:
    rooms.put(*texts(6))
    rooms.engine.seconds = 0.01
    _, items = rooms.run(EchoOptions(rounds=2), RunSettings(deterministic=True))
    assert rooms.engine.most == 1
    assert all(asked.deterministic for asked in rooms.engine.asked)
    documents = [text.removeprefix("again 1: ") for text in rooms.engine.said()]
    assert documents == [text for text in texts(6) for _ in range(2)]
    assert all(item.cost.steps == 2 for item in items)


def test_outputs_of_a_round_come_back_in_the_order_of_its_steps(rooms: TaskRooms) -> None:
    words = [f"{number} " + "word " * 800 for number in range(12)]
    rooms.put("\f".join(words))
    _, (item,) = rooms.run()
    assert [text.split()[0] for text in said(item)] == [str(number) for number in range(12)]


def test_a_window_leaves_room_for_instruction_and_answer(rooms: TaskRooms) -> None:
    rooms.engine.context_length = 200
    rooms.put("word " * 1000)
    _, (item,) = rooms.run()
    assert item.state is ItemState.DONE
    assert sum(len(text.split()) for text in said(item)) == 1000
    longest = max(len(asked.text.split()) for asked in rooms.engine.asked)
    assert longest <= 200 - 20


def test_runs_are_done_one_after_another(rooms: TaskRooms) -> None:
    rooms.engine.open = threading.Event()
    rooms.put("One.")
    first, second = rooms.start(), rooms.start(EchoOptions(question="Again?"))
    eventually(lambda: rooms.engine.under_way == 1)
    assert rooms.tasks.run(first.id).state is RunState.RUNNING
    assert rooms.tasks.run(second.id).state is RunState.WAITING
    rooms.engine.open.set()
    assert rooms.tasks.wait(second.id, 20)
    first, second = rooms.tasks.run(first.id), rooms.tasks.run(second.id)
    assert first.finished is not None
    assert second.finished is not None
    assert first.finished <= second.finished


# ---------------------------------------------------------------- coverage


def test_every_page_is_read_or_named_with_the_reason(rooms: TaskRooms) -> None:
    rooms.put("One.\fTwo SKIP.\f\fFour.")
    with rooms.database.transaction():
        (document,) = rooms.service.documents()
        rooms.database.execute("DELETE FROM page WHERE number = 4")
    _, (item,) = rooms.run()
    assert item.coverage == Coverage("page", 4, 2, ((2, "It was left out."), (4, "It was not read.")))
    assert document.pages == 4


# ---------------------------------------------------------------- failures


def test_one_documents_failure_is_in_its_row_and_the_others_go_on(rooms: TaskRooms) -> None:
    rooms.put("One.", " ", "FAULT with secret words", "Four.")
    run, items = rooms.run()
    assert (run.state, run.done, run.failed) == (RunState.DONE, 2, 2)
    assert [item.state.value for item in items] == ["done", "failed", "failed", "done"]
    assert items[1].error == "There is no text in it. Recognise its pages first."
    assert items[2].error == "It failed by a fault of this app (ZeroDivisionError). Please report it."


def test_a_fault_is_logged_without_what_the_document_says(
    rooms: TaskRooms, caplog: pytest.LogCaptureFixture
) -> None:
    rooms.put("FAULT with secret words")
    rooms.run()
    assert "ZeroDivisionError" in caplog.text
    assert "task_rooms.py" in caplog.text
    assert "secret" not in caplog.text


def test_a_refused_request_is_tried_three_times(rooms: TaskRooms) -> None:
    rooms.put("One passes.", "Two is refused twice.", "Three is refused.")
    refused = RequestFailed("The engine refused the request: no.")
    rooms.engine.fails_at = {"twice": (2, refused), "Three": (9, refused)}
    _, items = rooms.run()
    assert [(item.state.value, item.attempts) for item in items] == [("done", 1), ("done", 3), ("failed", 3)]
    assert items[2].error == "The engine refused the request: no."


def test_what_no_retry_helps_is_tried_once(rooms: TaskRooms) -> None:
    rooms.put("Too long.")
    rooms.engine.fails_at = {"long": (9, ContextOverflow("It does not fit.", "Choose another model."))}
    _, (item,) = rooms.run()
    assert (item.attempts, item.error) == (1, "It does not fit. Choose another model.")


def test_failed_documents_are_done_again_when_that_is_asked(rooms: TaskRooms) -> None:
    rooms.put("One.", "Two.", "Three.")
    error = ContextOverflow("It does not fit.")
    rooms.engine.fails_at = {"Two": (1, error), "Three": (1, error)}
    run, items = rooms.run()
    assert run.failed == 2
    rooms.tasks.retry(run.id, [items[1].id])
    assert rooms.tasks.wait(run.id, 20)
    assert [item.state.value for item in rooms.tasks.items(run.id)] == ["done", "done", "failed"]
    rooms.tasks.retry(run.id)
    assert rooms.tasks.wait(run.id, 20)
    assert rooms.tasks.run(run.id).done == 3
    assert sorted(rooms.engine.said()) == ["One.", "Three.", "Three.", "Two.", "Two."]
    with pytest.raises(UsageError, match="failed"):
        rooms.tasks.retry(run.id)


def test_the_engine_dies_once_and_all_documents_are_done(rooms: TaskRooms) -> None:
    rooms.put(*texts(20))
    rooms.engine.seconds = 0.01
    rooms.engine.dies_at = {"document 7.": 1}
    run, items = rooms.run()
    assert (run.done, run.failed) == (20, 0)
    assert [said(item) for item in items] == [[text] for text in texts(20)]
    assert rooms.task_events().count("task.item_finished") == 20
    assert len(rooms.engine.loads) == 2


def test_a_document_that_ends_the_engine_twice_fails_by_name_and_no_other_does(rooms: TaskRooms) -> None:
    rooms.put(*texts(20))
    rooms.engine.seconds = 0.01
    rooms.engine.dies_at = {"document 7.": 99}
    run, items = rooms.run()
    assert (run.done, run.failed) == (19, 1)
    assert items[7].error == "The engine stopped at this document twice. Try another model."
    assert items[7].attempts == 2
    assert len(rooms.engine.loads) == 3


def test_what_was_kept_of_a_document_is_not_asked_again_after_the_engine_died(rooms: TaskRooms) -> None:
    rooms.put("One.")
    rooms.engine.dies_at = {"again 2": 1}
    _, (item,) = rooms.run(EchoOptions(rounds=3))
    assert said(item) == ["again 2: again 1: One."]
    assert rooms.engine.said() == ["One.", "again 1: One.", *["again 2: again 1: One."] * 2]
    assert (item.cost.steps, item.attempts) == (3, 2)


# ---------------------------------------------------------------- pause, stop, resume


def test_a_paused_run_ends_its_steps_and_begins_no_more(rooms: TaskRooms) -> None:
    rooms.engine.open = threading.Event()
    rooms.put(*texts(30))
    run = rooms.start(EchoOptions(rounds=2))
    eventually(lambda: rooms.engine.under_way == 16)
    rooms.tasks.pause(run.id)
    assert rooms.tasks.run(run.id).state is RunState.PAUSED
    rooms.engine.open.set()
    eventually(lambda: rooms.tasks.progress().run_id == 0)
    assert len(rooms.engine.asked) == 16
    assert not rooms.tasks.wait(run.id, 0)
    assert rooms.tasks.run(run.id).done == 0
    rooms.tasks.resume(run.id)
    assert rooms.tasks.wait(run.id, 20)
    assert sorted(rooms.engine.said()) == sorted([*texts(30), *(f"again 1: {text}" for text in texts(30))])
    assert [item.cost.steps for item in rooms.tasks.items(run.id)] == [2] * 30
    assert rooms.database.rows("SELECT * FROM task_step") == []


def test_a_stopped_run_ends_at_once_and_can_be_resumed(rooms: TaskRooms) -> None:
    rooms.engine.open = threading.Event()
    rooms.put(*texts(4))
    run = rooms.start()
    eventually(lambda: rooms.engine.under_way == 4)
    started = time.monotonic()
    rooms.tasks.stop(run.id)
    eventually(lambda: rooms.engine.under_way == 0)
    assert time.monotonic() - started < 0.5
    eventually(lambda: rooms.tasks.progress().run_id == 0)
    assert rooms.tasks.run(run.id).state is RunState.STOPPED
    assert {item.state for item in rooms.tasks.items(run.id)} == {ItemState.WAITING}
    rooms.engine.open.set()
    rooms.tasks.resume(run.id)
    assert rooms.tasks.wait(run.id, 20)
    assert rooms.tasks.run(run.id).done == 4


def test_a_run_that_is_resumed_while_it_pauses_goes_on(rooms: TaskRooms) -> None:
    rooms.engine.open = threading.Event()
    rooms.put(*texts(20))
    run = rooms.start()
    eventually(lambda: rooms.engine.under_way == 16)
    rooms.tasks.pause(run.id)
    rooms.tasks.resume(run.id)
    rooms.engine.open.set()
    assert rooms.tasks.wait(run.id, 20)
    assert rooms.tasks.run(run.id).done == 20
    assert sorted(rooms.engine.said()) == sorted(texts(20))


def test_a_run_goes_on_after_the_app_was_closed_in_the_middle_of_documents(rooms: TaskRooms) -> None:
    rooms.put(*texts(3))
    rooms.engine.dies_at = {}
    run = rooms.start(EchoOptions(rounds=3), RunSettings(deterministic=True))
    eventually(lambda: len(rooms.database.rows("SELECT * FROM task_step")) > 0 or done(rooms, run.id))
    rooms.tasks.close()
    asked = len(rooms.engine.asked)
    assert rooms.tasks.run(run.id).state in (RunState.WAITING, RunState.DONE)
    rooms.tasks = rooms.make_tasks()
    rooms.tasks.go_on()
    assert rooms.tasks.wait(run.id, 20)
    assert [said(item) for item in rooms.tasks.items(run.id)] == [
        [f"again 2: again 1: {text}"] for text in texts(3)
    ]
    assert len(rooms.engine.asked) <= 9 + 1, f"kept steps were asked again: {asked}"


def done(rooms: TaskRooms, run_id: int) -> bool:
    return rooms.tasks.run(run_id).state is RunState.DONE


def test_another_model_does_not_go_on_with_a_run_unless_it_is_said(rooms: TaskRooms) -> None:
    rooms.engine.open = threading.Event()
    rooms.put("One.")
    run = rooms.start()
    eventually(lambda: rooms.engine.under_way == 1)
    rooms.tasks.stop(run.id)
    eventually(lambda: rooms.tasks.progress().run_id == 0)
    rooms.models.select(path_of(rooms, "Other-Q4_0.gguf"))
    with pytest.raises(UsageError, match="begun with Tiny; Other is selected"):
        rooms.tasks.resume(run.id)
    rooms.engine.open.set()
    rooms.tasks.resume(run.id, with_this_model=True)
    assert rooms.tasks.wait(run.id, 20)
    (item,) = rooms.tasks.items(run.id)
    assert item.model is not None
    assert item.model.name == "Other"


def test_a_run_whose_model_was_changed_meanwhile_pauses_and_says_why(rooms: TaskRooms) -> None:
    rooms.put(*texts(4))
    rooms.engine.open = threading.Event()
    run = rooms.start()
    eventually(lambda: rooms.engine.under_way == 4)
    rooms.models.select(path_of(rooms, "Other-Q4_0.gguf"))
    rooms.models.load()
    rooms.engine.open.set()
    eventually(lambda: rooms.tasks.run(run.id).state is RunState.PAUSED)
    now = rooms.tasks.run(run.id)
    assert "begun with Tiny; Other is selected now" in now.notice
    assert now.done == 0, "nobody can say which model those answers are of"
    rooms.models.select(path_of(rooms, "Tiny-Q4_0.gguf"))
    eventually(lambda: rooms.tasks.progress().run_id == 0)
    rooms.tasks.resume(run.id)
    assert rooms.tasks.wait(run.id, 20)
    assert rooms.tasks.run(run.id).notice == ""


def test_without_a_model_a_run_pauses_with_the_reason(rooms: TaskRooms) -> None:
    rooms.put("One.")
    for path in rooms.paths.models[0].iterdir():
        path.unlink()
    run = rooms.start()
    assert not rooms.tasks.wait(run.id, 20)
    now = rooms.tasks.run(run.id)
    assert now.state is RunState.PAUSED
    assert "model" in now.notice


def test_a_fault_of_the_runner_pauses_the_run_and_is_not_tried_for_ever(
    rooms: TaskRooms, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rooms.put("One.")

    def cost(*arguments: object) -> None:
        raise ZeroDivisionError("secret words")

    monkeypatch.setattr(Echo, "cost", cost)
    run = rooms.start()
    assert not rooms.tasks.wait(run.id, 20)
    assert rooms.tasks.run(run.id).notice == (
        "It stopped by a fault of this app (ZeroDivisionError). Please report it."
    )
    assert "secret" not in caplog.text
    monkeypatch.undo()
    rooms.tasks.resume(run.id)
    assert rooms.tasks.wait(run.id, 20)


# ---------------------------------------------------------------- documents that change


def test_a_run_waits_for_documents_that_are_still_read(rooms: TaskRooms) -> None:
    rooms.put("One.")
    rooms.reader.gate = threading.Semaphore(0)
    rooms.service.add([rooms.write("slow.txt", "Slow.")])
    run = rooms.start()
    eventually(lambda: "waits for a document" in rooms.tasks.progress().notice)
    assert rooms.tasks.run(run.id).done == 1
    rooms.reader.gate.release()
    assert rooms.tasks.wait(run.id, 20)
    assert [said(item) for item in rooms.tasks.items(run.id)] == [["One."], ["Slow."]]


def test_documents_that_cannot_be_read_fail_with_the_reason(rooms: TaskRooms) -> None:
    rooms.service.add([rooms.write("a.txt", "BROKEN"), rooms.write("b.txt", "SECRET word")])
    rooms.service.wait(20)
    run, items = rooms.run()
    assert run.failed == 2
    assert [item.error for item in items] == [
        "The file is damaged. Save it anew.",
        "It is encrypted. Type its password.",
    ]


def test_a_document_in_the_trash_is_passed_over_by_name(rooms: TaskRooms) -> None:
    first, second = rooms.put("One.", "Two.")
    rooms.engine.open = threading.Event()
    run = rooms.start(settings=RunSettings(deterministic=True))
    eventually(lambda: rooms.engine.under_way == 1)
    rooms.service.remove([second])
    rooms.engine.open.set()
    assert rooms.tasks.wait(run.id, 20)
    items = rooms.tasks.items(run.id)
    assert [item.state.value for item in items] == ["done", "failed"]
    assert items[1].error == "It is in the trash. Restore it in Documents, and retry."
    assert items[0].document_id == first


def test_a_document_that_changed_is_worked_on_as_it_is_now(rooms: TaskRooms) -> None:
    rooms.put("Before.")
    later = RunSettings(not_before=datetime.now(UTC) + timedelta(hours=1))
    run = rooms.start(settings=later)
    before = rooms.tasks.items(run.id)[0].sha256
    rooms.service.add([rooms.write("000.txt", "After, and longer.")])
    assert rooms.service.wait(20)
    rooms.tasks.resume(run.id)
    assert rooms.tasks.wait(run.id, 20)
    (item,) = rooms.tasks.items(run.id)
    assert said(item) == ["After, and longer."]
    assert item.sha256 == rooms.service.documents()[0].sha256 != before


def test_an_erased_document_takes_all_with_it_that_came_of_it(rooms: TaskRooms) -> None:
    planted = rooms.put("plantedtext is here.")[0]
    rooms.put("What stays.")
    run, (item, other) = rooms.run(EchoOptions(doubts=True))
    rooms.tasks.decide(item.id, "said/0/", "corrected", "plantedcorrection")  # type: ignore[arg-type]
    rooms.tasks.decide(other.id, "said/0/", "accepted")  # type: ignore[arg-type]
    assert rooms.tasks.run(run.id).to_review == 0
    before = decrypted(rooms.database.path, KEY)
    assert b"plantedtext" in before
    assert b"plantedcorrection" in before
    rooms.service.remove([planted])
    rooms.service.erase([planted])
    after = decrypted(rooms.database.path, KEY)
    assert [
        word for word in (b"plantedtext", b"plantedcorrection", b"plant", b"000.txt") if word in after
    ] == []
    assert b"What stays" in after
    item, other = rooms.tasks.items(run.id)
    assert (item.state, item.document_id, item.document_name, item.sha256) == (ItemState.ERASED, None, "", "")
    assert (item.outcome, item.coverage, item.decisions, item.prompts_sha256) == (None, None, (), "")
    assert (len(other.decisions), said(other)) == (1, ["What stays."])
    now = rooms.tasks.run(run.id)
    assert (now.documents, now.done, now.left) == (1, 1, 0)
    assert rooms.audit.verify().sound
    assert rooms.database.check() == []


def test_a_document_that_is_erased_while_it_is_worked_on_leaves_nothing(rooms: TaskRooms) -> None:
    (planted,) = rooms.put("plantedtext is here.")
    rooms.put("What stays.")
    rooms.engine.open = threading.Event()
    run = rooms.start(EchoOptions(rounds=2))
    eventually(lambda: rooms.engine.under_way == 2)
    rooms.service.remove([planted])
    rooms.service.erase([planted])
    rooms.engine.open.set()
    assert rooms.tasks.wait(run.id, 20)
    assert b"planted" not in decrypted(rooms.database.path, KEY)
    assert [item.state.value for item in rooms.tasks.items(run.id)] == ["erased", "done"]


# ---------------------------------------------------------------- the queue


def test_a_run_waits_for_its_hour_and_begins_when_the_clock_says_so(rooms: TaskRooms) -> None:
    rooms.put("One.")
    hour = datetime.now(UTC) + timedelta(seconds=0.5)
    run = rooms.start(settings=RunSettings(not_before=hour))
    time.sleep(0.1)
    assert rooms.tasks.run(run.id).state is RunState.WAITING
    assert rooms.engine.asked == []
    assert rooms.tasks.wait(run.id, 20)
    assert datetime.now(UTC) >= hour


def test_another_run_is_done_while_one_waits_for_its_hour(rooms: TaskRooms) -> None:
    rooms.put("One.")
    late = rooms.start(settings=RunSettings(not_before=datetime.now(UTC) + timedelta(hours=1)))
    rooms.run()
    assert rooms.tasks.run(late.id).state is RunState.WAITING


def test_a_service_works_only_on_runs_that_it_was_asked_for(rooms: TaskRooms) -> None:
    rooms.put("One.")
    late = rooms.start(settings=RunSettings(not_before=datetime.now(UTC) + timedelta(hours=1)))
    rooms.tasks.close()
    with rooms.runs.transaction():
        rooms.runs.hurry(late.id)
    rooms.tasks = rooms.make_tasks()
    rooms.run()
    assert rooms.tasks.run(late.id).state is RunState.WAITING
    rooms.tasks.go_on()
    assert rooms.tasks.wait(late.id, 20)


def test_a_run_of_another_process_that_lives_is_left_to_it_and_one_of_a_dead_process_is_taken_over(
    rooms: TaskRooms,
) -> None:
    rooms.put("One.")
    run = rooms.start(settings=RunSettings(not_before=datetime.now(UTC) + timedelta(hours=1)))
    place, pid, start = "elsewhere", "1", "0"

    def lease(until: datetime) -> None:
        rooms.database.execute(
            "UPDATE task_run SET state = 'running', not_before = NULL, lease_owner = ?, lease_until = ? "
            "WHERE id = ?",
            [f"{place}|{pid}|{start}", int(until.timestamp() * 1e6), run.id],
        )

    lease(datetime.now(UTC) + timedelta(minutes=1))
    assert rooms.tasks.run(run.id).state is RunState.RUNNING
    assert not rooms.tasks.wait(run.id, 0.6)
    assert rooms.engine.asked == []
    lease(datetime.now(UTC) - timedelta(seconds=1))
    assert rooms.tasks.run(run.id).state is RunState.WAITING
    assert rooms.tasks.wait(run.id, 20)


def test_what_another_process_does_to_the_run_in_hand_is_seen(rooms: TaskRooms) -> None:
    rooms.put(*texts(4))
    rooms.engine.open = threading.Event()
    run = rooms.start()
    eventually(lambda: rooms.engine.under_way == 4)
    with rooms.runs.transaction():
        rooms.runs.set_state(run.id, RunState.STOPPED, [RunState.RUNNING])
    eventually(lambda: rooms.tasks.progress().run_id == 0)
    assert rooms.tasks.run(run.id).state is RunState.STOPPED
    assert rooms.tasks.run(run.id).done == 0


# ---------------------------------------------------------------- progress


def test_progress_grows_and_says_how_long_it_takes(rooms: TaskRooms) -> None:
    rooms.put(*texts(40))
    rooms.engine.seconds = 0.05
    told = threading.Event()
    end = rooms.tasks.watch(told.set)
    run = rooms.start()
    seen = []
    while not rooms.tasks.wait(run.id, 0.02):
        seen.append(rooms.tasks.progress())
    end()
    assert told.is_set()
    working = [one for one in seen if one.run_id == run.id and one.total]
    assert working
    assert {one.total for one in working} == {40}
    fractions = [one.fraction for one in working]
    assert fractions == sorted(fractions)
    assert 0 < fractions[-1] <= 1
    # The store says that it is done a moment before the runner has let go of it.
    deadline = time.monotonic() + 10
    while rooms.tasks.progress().run_id:
        assert time.monotonic() < deadline, "the runner never lets go"
        time.sleep(0.01)


def test_only_documents_in_the_scope_are_worked_on(rooms: TaskRooms) -> None:
    first, _ = rooms.put("One.", "Two.")
    run = rooms.start(scope=Scope(documents=(first,)))
    assert rooms.tasks.wait(run.id, 20)
    assert rooms.tasks.run(run.id).where == "000.txt"
    assert rooms.engine.said() == ["One."]

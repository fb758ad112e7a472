"""Runs in the store: whose they are, what is kept of them, and that nothing outlives its document."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from localai_app.errors import NotFound
from localai_app.store import leases
from localai_app.tasks.run import ItemCost, ItemState, ModelUsed, RunSettings, RunState
from localai_app.tasks.runs import KeptStep, Runs
from localai_app.tasks.task import Chosen, Coverage, Decision, Finding, Outcome, Verdict, Written
from tests.tasks.task_rooms import Echo, EchoOptions, TaskRooms

MODEL = ModelUsed("Tiny", "a" * 64, "fake 1", "CPU", 8192)
OUTCOME = Outcome((Finding("said", shown="Words.", scores={"one": 0.25}),), notes=("A note.",))


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[TaskRooms]:
    rooms = TaskRooms(tmp_path)
    yield rooms
    rooms.close()


@pytest.fixture
def runs(rooms: TaskRooms) -> Runs:
    return rooms.runs


def add(rooms: TaskRooms, settings: RunSettings | None = None) -> int:
    """A run over all documents."""
    documents = [(one.id, one.name, one.sha256) for one in rooms.service.documents()]
    with rooms.runs.transaction():
        return rooms.runs.add(
            Echo(),
            EchoOptions(),
            Echo().columns(EchoOptions()),
            documents,
            settings or RunSettings(),
            title="Echo",
            place="",
        )


def claim(runs: Runs, *wanted: int) -> int:
    """The id of the run that was claimed; 0 for none."""
    with runs.transaction():
        run = runs.claim(wanted or None)
    return run.id if run else 0


def test_runs_are_claimed_in_the_order_in_which_they_came(rooms: TaskRooms, runs: Runs) -> None:
    first, second, third = (add(rooms) for _ in range(3))
    assert claim(runs, second, third) == second
    assert (claim(runs), claim(runs), claim(runs)) == (first, third, 0)
    assert runs.run(first).state is RunState.RUNNING


def test_what_is_in_the_trash_or_waits_for_its_hour_is_not_claimed(rooms: TaskRooms, runs: Runs) -> None:
    late = add(rooms, RunSettings(not_before=datetime.now(UTC) + timedelta(hours=1)))
    trashed = add(rooms)
    with runs.transaction():
        runs.trash([trashed])
    assert claim(runs) == 0
    assert runs.next_hour(None) is not None
    assert runs.next_hour([trashed]) is None
    with runs.transaction():
        runs.hurry(late)
        runs.restore([trashed])
    assert (claim(runs), claim(runs)) == (late, trashed)


def test_a_lease_is_kept_and_lost(rooms: TaskRooms, runs: Runs) -> None:
    run_id = add(rooms)
    claim(runs)
    with runs.transaction():
        assert runs.renew(run_id) is RunState.RUNNING
        runs.set_state(run_id, RunState.PAUSED, [RunState.RUNNING], "Why.")
        assert runs.renew(run_id) is RunState.PAUSED
        runs.release(run_id)
        assert runs.renew(run_id) is None
    assert runs.state(run_id) is None
    assert (runs.run(run_id).state, runs.run(run_id).notice) == (RunState.PAUSED, "Why.")


def test_another_process_that_lives_keeps_its_run(rooms: TaskRooms, runs: Runs) -> None:
    mine, other, dead = (add(rooms) for _ in range(3))
    for _ in range(3):
        claim(runs)
    place, _, start = leases.this_process().rsplit("|", 2)
    rooms.database.execute("UPDATE task_run SET lease_owner = 'elsewhere|1|0' WHERE id = ?", [other])
    rooms.database.execute(
        "UPDATE task_run SET lease_owner = ? WHERE id = ?", [f"{place}|999999999|{start}", dead]
    )
    with runs.transaction():
        runs.requeue_abandoned(mine)
    states = [runs.run(one).state for one in (mine, other, dead)]
    assert states == [RunState.RUNNING, RunState.RUNNING, RunState.WAITING]
    with runs.transaction():
        runs.release(other)  # it is not this process's: nothing happens
    assert runs.run(other).state is RunState.RUNNING


def test_a_run_is_done_only_when_no_document_is_left(rooms: TaskRooms, runs: Runs) -> None:
    rooms.put("One.")
    run_id = add(rooms)
    claim(runs)
    (item,) = runs.items(run_id)
    with runs.transaction():
        assert not runs.finish(run_id)
        assert runs.begin_item(item.id, "b" * 64, "new name.txt") == 1
        kept = runs.finish_item(
            item.id, OUTCOME, Coverage("page", 1, 1), ItemCost(1, 2, 3, 4, 0.5), MODEL, "c" * 64, to_review=0
        )
        assert kept
        assert runs.finish(run_id)
    (item,) = runs.items(run_id)
    assert (item.state, item.sha256, item.document_name) == (ItemState.DONE, "b" * 64, "new name.txt")
    assert (item.outcome, item.coverage) == (OUTCOME, Coverage("page", 1, 1))
    assert (item.cost, item.model) == (ItemCost(1, 2, 3, 4, 0.5), MODEL)
    assert item == runs.item(item.id)
    assert runs.run(run_id).finished is not None
    with runs.transaction():
        assert runs.begin_item(item.id, "d" * 64, "again.txt") == 0, "what is done is not begun again"


def test_steps_are_kept_while_their_document_is_in_work(rooms: TaskRooms, runs: Runs) -> None:
    rooms.put("One.")
    run_id = add(rooms)
    claim(runs)
    (item,) = runs.items(run_id)
    steps = [
        KeptStep(0, "asked 0", Written("Text.", incomplete=True), ItemCost(1, 10, 5, 2)),
        KeptStep(1, "asked 1", Chosen((-0.5, -2.25)), ItemCost(1, 10)),
    ]
    with runs.transaction():
        runs.keep_step(item.id, steps[0])
    assert runs.steps(item.id) == {}, "its document is not begun"
    with runs.transaction():
        runs.begin_item(item.id, item.sha256, item.document_name)
        for step in steps:
            runs.keep_step(item.id, step)
    assert runs.steps(item.id) == dict(enumerate(steps))
    with runs.transaction():
        runs.release(run_id)
    assert runs.item(item.id).state is ItemState.WAITING
    assert len(runs.steps(item.id)) == 2
    with runs.transaction():
        runs.fail_item(item.id, "Why.", MODEL)
    assert runs.steps(item.id) == {}


def test_what_is_attached_to_an_erased_document_takes_its_results_with_it(
    rooms: TaskRooms, runs: Runs
) -> None:
    mail = rooms.add("mail.eml", "Text.\fATTACHED inside.txt\nInside.")
    rooms.service.wait(20)
    run_id = add(rooms)
    claim(runs)
    for item in runs.items(run_id):
        with runs.transaction():
            runs.begin_item(item.id, item.sha256, item.document_name)
            runs.keep_step(item.id, KeptStep(0, "asked", Written("Text."), ItemCost()))
            runs.finish_item(
                item.id, OUTCOME, Coverage("page", 1, 1), ItemCost(), MODEL, "c" * 64, to_review=1
            )
            runs.decide(item.id, Decision("said/0/", Verdict.ACCEPTED, "", "me", "2026-01-01T00:00:00+00:00"))
    assert len(runs.items(run_id)) == 2
    # As the foreign key does it: the parent alone is named.
    with runs.transaction():
        rooms.database.execute("DELETE FROM page")
        rooms.database.execute("DELETE FROM document WHERE id = ?", [mail])
    items = runs.items(run_id)
    assert [(item.state, item.document_id, item.decisions) for item in items] == [
        (ItemState.ERASED, None, ())
    ] * 2
    assert all(runs.content_key(item.id) == b"" for item in items)
    for table in ("task_step", "task_decision"):
        assert rooms.database.rows(f"SELECT * FROM {table}") == []
    assert runs.run(run_id).to_review == 0


def test_what_is_not_there_is_said(runs: Runs) -> None:
    for look in (runs.run, runs.item, runs.content_key):
        with pytest.raises(NotFound):
            look(7)

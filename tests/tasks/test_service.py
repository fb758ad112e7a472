"""What a person does with tasks: price, start, review, decide, take out, trash, erase; policy and audit."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from localai_app.documents.document import Scope
from localai_app.errors import DocumentError, NotFound, PolicyRefused, UsageError
from localai_app.governance.policy import Policy
from localai_app.tasks.rows import LostOptions
from localai_app.tasks.run import RunSettings, RunState
from localai_app.tasks.task import Finding, Verdict
from tests.decrypted import decrypted
from tests.documents.pretended import KEY
from tests.tasks.task_rooms import EchoOptions, TaskRooms, eventually

ACCEPTED, CORRECTED, REJECTED = Verdict.ACCEPTED, Verdict.CORRECTED, Verdict.REJECTED


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[TaskRooms]:
    rooms = TaskRooms(tmp_path)
    yield rooms
    if rooms.engine.open:
        rooms.engine.open.set()
    rooms.close()


def bodies(rooms: TaskRooms, event: str) -> list[dict[str, Any]]:
    import json

    rows = rooms.database.rows("SELECT body FROM audit WHERE event = ? ORDER BY seq", [event])
    return [json.loads(row["body"]) for row in rows]


# ---------------------------------------------------------------- before


def test_options_are_read_strictly(rooms: TaskRooms) -> None:
    assert rooms.tasks.options_of("echo", b'{"question": "Why?"}') == EchoOptions("Why?")
    for raw in (b'{"question": 3}', b'{"other": ""}', b"{", b"\xff", b'{"question": ""}'):
        with pytest.raises(UsageError):
            rooms.tasks.options_of("echo", raw)
    with pytest.raises(UsageError, match="no task “other”"):
        rooms.tasks.options_of("other", b"{}")


def test_a_price_counts_what_is_ready_and_names_what_is_not(rooms: TaskRooms) -> None:
    rooms.put("One two three.\fFour.", "Five.")
    rooms.service.add([rooms.write("broken.txt", "BROKEN")])
    rooms.service.wait(20)
    price = rooms.tasks.price("echo", EchoOptions(), Scope())
    assert (price.documents, price.pages, price.steps) == (3, 3, 2)
    assert (price.read, price.written) == (5 + 20, 10)
    assert price.not_ready == (("broken.txt", "The file is damaged. Save it anew."),)
    assert len(rooms.engine.loads) == 1
    assert price.seconds is None, "this engine was never measured"
    assert price.words == "3 documents, 3 pages"
    speeds, sha256 = rooms.models.speeds, rooms.models.loaded_sha256
    speeds.note(sha256, "CPU", 101, 10)
    reading = speeds.reading(sha256)
    assert reading is not None
    price = rooms.tasks.price("echo", EchoOptions(), Scope())
    assert price.seconds == pytest.approx(25 / reading.tokens_per_second + 10 / 10)
    assert price.words == "3 documents, 3 pages: about 1 s"


def test_nothing_to_do_is_said(rooms: TaskRooms) -> None:
    with pytest.raises(DocumentError, match="no documents"):
        rooms.start()
    assert rooms.tasks.runs() == []


def test_what_is_wrong_with_options_is_said_before_a_run_is_queued(rooms: TaskRooms) -> None:
    rooms.put("One.")
    with pytest.raises(UsageError, match="no question"):
        rooms.start(EchoOptions(question=""))
    assert rooms.tasks.runs() == []


def test_a_run_says_what_it_is_and_where(rooms: TaskRooms) -> None:
    first, second = rooms.put("One.", "Two.")
    collection = rooms.service.create_collection("Leases")
    rooms.service.put_in(collection.id, [first, second])
    run = rooms.start(EchoOptions("Why?"), scope=Scope(collections=(collection.id,)))
    assert (run.title, run.where) == ("Echo · Why?", "Leases · 2 documents")
    assert run.options == EchoOptions("Why?")
    assert [column.title for column in run.columns] == ["Said"]
    assert rooms.tasks.wait(run.id, 20)
    (body,) = bodies(rooms, "task.started")
    assert body == {
        "kind": "echo",
        "parameters": run.fingerprint,
        "documents": [first, second],
        "deterministic": False,
        "seed": 0,
    }


# ---------------------------------------------------------------- policy


def test_a_task_that_policy_does_not_list_is_refused_and_that_is_written_down(tmp_path: Path) -> None:
    rooms = TaskRooms(tmp_path, policy=Policy({"AllowedTasks": ("documents", "summarise")}))
    try:
        rooms.put("One.")
        assert rooms.tasks.kinds() == []
        assert not rooms.tasks.allows("echo")
        with pytest.raises(PolicyRefused):
            rooms.tasks.price("echo", EchoOptions(), Scope())
        with pytest.raises(PolicyRefused):
            rooms.start()
        assert rooms.tasks.runs() == []
        assert [body["kind"] for body in bodies(rooms, "policy.refused")] == ["echo", "echo"]
    finally:
        rooms.close()


def test_a_template_that_is_off_by_default_is_refused(
    rooms: TaskRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.put("One.")
    monkeypatch.setattr(Policy, "allows_task", lambda policy, name: name != "echo.letter")
    with pytest.raises(PolicyRefused, match=r"echo\.letter"):
        rooms.start(EchoOptions(template="letter"))
    rooms.run(EchoOptions(template="bill"))


def test_a_run_whose_task_is_forbidden_meanwhile_pauses(
    rooms: TaskRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.put("One.")
    run = rooms.start(settings=RunSettings(not_before=datetime.now(UTC) + timedelta(hours=1)))
    monkeypatch.setattr(Policy, "allows_task", lambda policy, name: False)
    rooms.tasks.resume(run.id)
    assert not rooms.tasks.wait(run.id, 20)
    now = rooms.tasks.run(run.id)
    assert (now.state, "does not allow" in now.notice) == (RunState.PAUSED, True)
    assert rooms.engine.asked == []


def test_a_legal_hold_keeps_runs(tmp_path: Path) -> None:
    rooms = TaskRooms(tmp_path, policy=Policy({"LegalHold": True}))
    try:
        rooms.put("One.")
        run, _ = rooms.run()
        rooms.tasks.remove([run.id])
        with pytest.raises(PolicyRefused):
            rooms.tasks.erase([run.id])
        assert rooms.tasks.items(run.id)
    finally:
        rooms.close()


def test_exports_that_policy_forbids_are_refused(tmp_path: Path) -> None:
    rooms = TaskRooms(tmp_path, policy=Policy({"AllowExport": False}))
    try:
        rooms.put("One.")
        run, _ = rooms.run()
        for out in (rooms.tasks.export, rooms.tasks.evidence):
            with pytest.raises(PolicyRefused):
                out(run.id, tmp_path / "out.csv")
        assert not (tmp_path / "out.csv").exists()
    finally:
        rooms.close()


# ---------------------------------------------------------------- review


def test_the_greatest_doubt_comes_first(rooms: TaskRooms) -> None:
    rooms.put("Short.", "A longer text.", "The longest text of all.", "Short too.")
    run, items = rooms.run(EchoOptions(doubts=True))
    assert run.to_review == 4
    waiting = rooms.tasks.review(run.id)
    assert [one.finding.shown for one in waiting] == [
        "The longest text of all.",
        "A longer text.",
        "Short too.",
        "Short.",
    ]
    assert {one.doubt.words for one in waiting if one.doubt} == {"It may be wrong."}
    assert waiting[0].item.id == items[2].id


def test_without_doubts_nothing_waits_for_a_person(rooms: TaskRooms) -> None:
    rooms.put("One.")
    run, _ = rooms.run()
    assert (run.to_review, rooms.tasks.review(run.id)) == (0, [])


def test_decisions_are_kept_with_who_and_when_and_none_is_lost(rooms: TaskRooms) -> None:
    rooms.put("One.")
    run, (item,) = rooms.run(EchoOptions(doubts=True))
    key = "said/0/"
    item = rooms.tasks.decide(item.id, key, ACCEPTED)
    assert rooms.tasks.run(run.id).to_review == 0
    item = rooms.tasks.decide(item.id, key, CORRECTED, "Two.")
    decision = item.decision(key)
    assert decision is not None
    assert (decision.verdict, decision.value) == (CORRECTED, "Two.")
    assert decision.who
    assert abs(datetime.fromisoformat(decision.when) - datetime.now(UTC)) < timedelta(seconds=20)
    item = rooms.tasks.undecide(item.id, key)
    now = item.decision(key)
    assert now is not None
    assert now.verdict is ACCEPTED
    item = rooms.tasks.undecide(item.id, key)
    assert item.decision(key) is None
    assert rooms.tasks.run(run.id).to_review == 1
    assert len(rooms.tasks.review(run.id)) == 1
    assert [one.verdict.value for one in item.decisions] == [
        "accepted",
        "corrected",
        "taken_back",
        "taken_back",
    ]
    with pytest.raises(UsageError, match="take back"):
        rooms.tasks.undecide(item.id, key)
    with pytest.raises(NotFound):
        rooms.tasks.decide(item.id, "other/0/", REJECTED)
    told = bodies(rooms, "task.decided")
    assert [body["verdict"] for body in told] == ["accepted", "corrected", "taken_back", "taken_back"]


def test_a_decision_can_be_neither_changed_nor_deleted(rooms: TaskRooms) -> None:
    rooms.put("One.")
    _, (item,) = rooms.run(EchoOptions(doubts=True))
    rooms.tasks.decide(item.id, "said/0/", ACCEPTED)
    for sql in ("UPDATE task_decision SET verdict = 'rejected'", "DELETE FROM task_decision"):
        with pytest.raises(Exception, match="append-only"):
            rooms.database.execute(sql)


def test_a_page_is_shown_as_it_was_worked_on(rooms: TaskRooms) -> None:
    rooms.put("One.\fTwo.")
    _, (item,) = rooms.run()
    assert rooms.tasks.page(item.id, 2).text == "Two."
    rooms.service.add([rooms.write("000.txt", "Another text.")])
    assert rooms.service.wait(20)
    with pytest.raises(NotFound, match="changed"):
        rooms.tasks.page(item.id, 1)


# ---------------------------------------------------------------- out


def test_results_are_exported_and_that_is_written_down(rooms: TaskRooms, tmp_path: Path) -> None:
    rooms.put("One.")
    run, _ = rooms.run()
    rooms.tasks.export(run.id, tmp_path / "out.csv")
    assert "One." in (tmp_path / "out.csv").read_text(encoding="utf-8-sig")
    assert bodies(rooms, "task.exported") == [{"format": "csv"}]
    with pytest.raises(UsageError):
        rooms.tasks.export(run.id, tmp_path / "out.exe")


def test_an_evidence_record_is_written(rooms: TaskRooms, tmp_path: Path) -> None:
    rooms.put("One.")
    run, _ = rooms.run()
    rooms.tasks.evidence(run.id, tmp_path / "record.json")
    assert (tmp_path / "record.json").stat().st_size > 100
    assert rooms.audit.verify().sound


def test_the_audit_log_tells_of_a_run_without_its_content(rooms: TaskRooms) -> None:
    rooms.put("plantedtext in a document.", " ")
    run, (item, _) = rooms.run(EchoOptions(question="plantedquestion", doubts=True))
    rooms.tasks.decide(item.id, "said/0/", CORRECTED, "plantedcorrection")
    rows = rooms.database.rows("SELECT object || body AS told FROM audit WHERE event LIKE 'task.%'")
    told = "\n".join(row["told"] for row in rows)
    assert "planted" not in told
    failed, done = sorted(bodies(rooms, "task.item_finished"), key=lambda body: -body["item"])
    assert item.document_id is not None
    assert run.model is not None
    assert (done["item"], done["document"], done["state"]) == (item.id, item.document_id, "done")
    assert (done["model"], done["engine"]) == (run.model.sha256, "fake 1")
    assert (done["pages"], done["pages_read"], done["findings"], done["steps"]) == (1, 1, 1, 1)
    assert done["prompts"] == item.prompts_sha256
    assert (failed["state"], failed["code"]) == ("failed", "TaskFailed")


# ---------------------------------------------------------------- away


def test_a_removed_run_is_in_the_trash_and_comes_back(rooms: TaskRooms) -> None:
    rooms.put("One.")
    run, _ = rooms.run()
    with pytest.raises(UsageError, match="trash"):
        rooms.tasks.erase([run.id])
    rooms.tasks.remove([run.id])
    assert rooms.tasks.runs() == []
    assert [one.id for one in rooms.tasks.runs(trashed=True)] == [run.id]
    with pytest.raises(UsageError, match="in the trash"):
        rooms.tasks.retry(run.id)
    rooms.tasks.restore([run.id])
    assert [one.id for one in rooms.tasks.runs()] == [run.id]


def test_a_run_that_is_removed_while_it_works_stops(rooms: TaskRooms) -> None:
    rooms.put("One.")
    rooms.engine.open = threading.Event()
    run = rooms.start()
    eventually(lambda: rooms.engine.under_way == 1)
    rooms.tasks.remove([run.id])
    eventually(lambda: rooms.engine.under_way == 0)
    assert rooms.tasks.run(run.id).state is RunState.STOPPED


def test_an_erased_run_leaves_nothing_of_its_content(rooms: TaskRooms) -> None:
    rooms.put("One.")
    run, (item,) = rooms.run(EchoOptions(question="plantedquestion", doubts=True))
    rooms.tasks.decide(item.id, "said/0/", CORRECTED, "plantedcorrection")
    assert b"plantedquestion" in decrypted(rooms.database.path, KEY)
    rooms.tasks.remove([run.id])
    rooms.tasks.erase([run.id])
    assert b"planted" not in decrypted(rooms.database.path, KEY)
    assert rooms.tasks.runs(trashed=True) == []
    with pytest.raises(NotFound):
        rooms.tasks.run(run.id)
    with pytest.raises(NotFound):
        rooms.tasks.item(item.id)
    assert rooms.task_events()[-2:] == ["task.trashed", "task.erased"]
    assert rooms.database.check() == []
    again, _ = rooms.run()
    assert again.id > run.id, "the audit log names runs by their ids: none is given twice"


def test_a_run_of_a_kind_that_this_version_does_not_know_can_be_read(rooms: TaskRooms) -> None:
    rooms.put("One.")
    run, _ = rooms.run()
    rooms.database.execute("UPDATE task_run SET kind = 'later', state = 'paused'")
    assert isinstance(rooms.tasks.run(run.id).options, LostOptions)
    assert len(rooms.tasks.items(run.id)) == 1
    with pytest.raises(UsageError, match="Another version"):
        rooms.tasks.resume(run.id)


def test_tonight_is_the_next_ten_in_the_evening(rooms: TaskRooms) -> None:
    for hour, days in ((9, 0), (21, 0), (22, 1), (23, 1)):
        now = datetime(2026, 11, 20, hour, 30 if hour != 22 else 0).astimezone()
        rooms.runs.now = lambda now=now: now.astimezone(UTC)  # type: ignore[misc]
        tonight = rooms.tasks.tonight()
        assert (tonight.hour, tonight.minute) == (22, 0)
        assert tonight.date() == (now + timedelta(days=days)).date()


def test_a_finding_in_two_parts_has_two_keys() -> None:
    finding = Finding("lines", 3, "amount")
    assert finding.key == "lines/3/amount"
    assert replace_part(finding, "what").key != finding.key


def replace_part(finding: Finding, part: str) -> Finding:
    import msgspec

    return msgspec.structs.replace(finding, part=part)


def test_settings_come_back_as_they_were(rooms: TaskRooms) -> None:
    rooms.put("One.")
    hour = datetime(2031, 1, 1, tzinfo=UTC)
    settings = RunSettings(deterministic=True, not_before=hour, keep_awake=False)
    run = rooms.start(settings=settings)
    assert rooms.tasks.run(run.id).settings == settings
    rooms.tasks.resume(run.id)
    assert rooms.tasks.wait(run.id, 20)
    assert rooms.tasks.run(run.id).settings == replace(settings, not_before=None)

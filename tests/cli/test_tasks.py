"""``localai-app task`` with a pretended reader and engine."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from localai_app.engine.protocol import Sampling, Segment
from localai_app.tasks.service import TaskService
from tests.cli.shell import Result, Shell, pretend
from tests.fake_engine import FakeEngine
from tests.organisation import write_policy

LEASE = "The rent is 900 euros a month.\fThe tenant may keep one dog."
FIELDS = '[{"key": "rent"}, {"key": "pets", "required": true}]'
FOUND = '{"rent": "900 euros", "pets": "one dog"}'


@dataclasses.dataclass
class Engine(FakeEngine):
    """Says ``answer``; at the prompt that holds ``interrupt_at``, somebody presses Ctrl-C."""

    answer: str = FOUND
    interrupt_at: str = ""

    def generate(self, prompt: Sequence[Segment], sampling: Sampling, **more: Any) -> Any:
        self.pieces = [self.answer]
        return super().generate(prompt, sampling, **more)


@dataclasses.dataclass
class Tasking(Shell):
    """A shell on a library; ``engine`` answers."""

    engine: Engine

    def extract(self, *paths: str, json_: bool = False) -> Result:
        """Two fields from these files."""
        more = ("--json",) if json_ else ()
        return self("task", "run", "extract", "--schema", self.write("fields.json", FIELDS), *paths, *more)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tasking:
    pretend(monkeypatch, tmp_path / "models")
    return Tasking(tmp_path, Engine())


# ---------------------------------------------------------------- running


def test_files_are_read_worked_on_and_shown_with_the_pages_own_words(shell: Tasking) -> None:
    result = shell.extract(shell.write("docs/lease.txt", LEASE))
    assert result.code == 0
    rows = [line.split("  ") for line in result.out.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells == [
        ["DOCUMENT", "FIELD", "VALUE", "PLACE", "QUOTATION"],
        ["lease.txt", "Rent", "900 euros", "page 1", "“900 euros”"],
        ["lease.txt", "Pets", "one dog", "page 2", "“one dog”"],
    ]
    assert "1 document, 2 pages" in result.err
    assert result.err.splitlines()[-1] == "1 of 1 documents are done."


def test_json_tells_all_and_nothing_else_on_stdout(shell: Tasking) -> None:
    told = shell.extract(shell.write("docs/lease.txt", LEASE), json_=True).json
    assert set(told) == {"run", "items", "refused"}
    assert (told["run"]["kind"], told["run"]["state"], told["run"]["done"]) == ("extract", "done", 1)
    (item,) = told["items"]
    assert item["coverage"] == {"unit": "page", "total": 2, "read": 2, "unread": []}
    rent = item["outcome"]["findings"][0]
    assert (rent["key"], rent["counts"], rent["to_review"]) == ("rent/0/", "900 euros", False)
    assert rent["evidence"][0]["quotation"] == "900 euros"
    assert shell("task", "show", str(told["run"]["id"]), "--json").json["items"] == told["items"]
    assert shell("task", "list", "--json").json == [told["run"]]


def test_help_names_all_that_json_tells(shell: Tasking, capsys: pytest.CaptureFixture[str]) -> None:
    told = shell.extract(shell.write("docs/lease.txt", LEASE), json_=True).json
    with pytest.raises(SystemExit):
        shell("task", "run", "--help")
    help_ = capsys.readouterr().out.partition("with --json:")[2]
    named = {word.strip("():,") for word in help_.split()}
    assert {*told, *told["run"], *told["items"][0]} <= named


def test_a_document_that_fails_and_a_file_that_is_not_taken_make_the_exit_code_1(shell: Tasking) -> None:
    shell.write("docs/lease.txt", LEASE)
    shell.write("docs/broken.txt", "BROKEN")
    result = shell.extract(str(shell.folder / "docs"), str(shell.folder / "gone.txt"))
    assert result.code == 1
    assert result.err.splitlines()[-3:] == [
        "1 of 2 documents are done, 1 failed.",
        "error: broken.txt: The file is damaged. Save it anew.",
        "error: gone.txt: It is not there. Check its name, or connect its drive.",
    ]
    assert "lease.txt" in result.out


def test_results_are_written_where_out_says_and_stdout_stays_empty(shell: Tasking) -> None:
    lease, out = shell.write("docs/lease.txt", LEASE), shell.folder / "found.csv"
    result = shell("task", "run", "summarise", lease, "--length", "3", "--out", str(out))
    assert (result.code, result.out) == (0, "")
    assert f"Written: {out}" in result.err
    assert "lease.txt" in out.read_text()
    again = shell("task", "run", "summarise", lease, "--out", str(out))
    assert (again.code, again.err.count("\n")) == (2, 1)
    assert shell("task", "run", "summarise", lease, "--out", str(out), "--force").code == 0


def test_the_price_is_told_and_nothing_is_started(shell: Tasking) -> None:
    lease = shell.write("docs/lease.txt", LEASE)
    told = shell("task", "run", "answer", lease, "--question", "Rent?", "--price", "--json").json
    assert (told["documents"], told["pages"], told["steps"] > 0) == (1, 2, True)
    assert told["words"].startswith("1 document, 2 pages")
    assert shell("task", "run", "answer", lease, "--question", "Rent?", "--price").out.count("\n") == 2
    assert shell("task", "list", "--json").json == []
    assert not any("euros" in asked.text for asked in shell.engine.asked)


def test_collections_documents_and_the_whole_library_can_be_named(shell: Tasking) -> None:
    shell("docs", "add", shell.write("docs/a.txt", "First."), "--collection", "Leases")
    shell("docs", "add", shell.write("docs/b.txt", "Second."))
    shell("docs", "add", shell.write("docs/c.txt", "Third."))

    def names(*where: str) -> list[str]:
        told = shell("task", "run", "summarise", *where, "--json").json
        return sorted(item["document_name"] for item in told["items"])

    assert names("--collection", "leases") == ["a.txt"]
    assert names("--collection", "Leases", "--document", "b") == ["a.txt", "b.txt"]
    assert names("--all") == ["a.txt", "b.txt", "c.txt"]


def test_a_run_that_is_only_listed_waits_and_resume_does_it(shell: Tasking) -> None:
    lease = shell.write("docs/lease.txt", LEASE)
    told = shell("task", "run", "summarise", lease, "--no-wait", "--tonight", "--json").json
    assert told["run"]["state"] == "waiting"
    assert told["run"]["settings"]["not_before"] is not None
    assert "waiting" in shell("task", "list").out
    done = shell("task", "resume", str(told["run"]["id"]), "--json").json
    assert (done["run"]["state"], done["run"]["done"]) == ("done", 1)


def test_ctrl_c_pauses_the_run_and_resume_goes_on_with_it(
    shell: Tasking, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, wait = shell.write("docs/lease.txt", LEASE), TaskService.wait

    def interrupted(self: TaskService, run_id: int, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(TaskService, "wait", interrupted)
    result = shell("task", "run", "summarise", lease)
    monkeypatch.setattr(TaskService, "wait", wait)
    assert result.code == 130
    assert "`localai-app task resume 1` goes on" in result.err
    assert shell("task", "list", "--json").json[0]["state"] in ("paused", "done")
    assert shell("task", "resume", "1", "--json").json["run"]["done"] == 1


def test_progress_is_shown_to_a_person_only(shell: Tasking) -> None:
    lease = shell.write("docs/lease.txt", LEASE)
    assert "\r" not in shell("task", "run", "summarise", lease).err
    assert "Counting" in shell("task", "run", "summarise", lease, terminal=True).err


def test_pause_and_stop_tell_the_state(shell: Tasking) -> None:
    shell("task", "run", "summarise", shell.write("docs/a.txt", "Words."), "--no-wait", "--tonight")
    assert "Run 1 is paused." in shell("task", "pause", "1").err
    assert shell("task", "stop", "1", "--json").json["state"] == "stopped"
    assert shell("task", "stop", "7").code == 1


def test_failed_documents_are_done_again(shell: Tasking) -> None:
    broken = shell.write("docs/broken.txt", "BROKEN")
    assert shell("task", "run", "summarise", broken, shell.write("docs/a.txt", "Words.")).code == 1
    Path(broken).write_text("Whole.")
    shell("docs", "refresh")
    again = shell("task", "retry", "1", "--json")
    assert (again.code, [item["state"] for item in again.json["items"]]) == (0, ["done", "done"])
    assert "No document of this run has failed." in shell("task", "retry", "1").err


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    "argv",
    [
        ["summarise"],
        ["summarise", ""],
        ["nothing-like-this", "--all"],
        ["answer", "--all"],
        ["answer", "--all", "--option", "question"],
        ["answer", "--all", "--option", "=x"],
        ["answer", "--all", "--option", "nonsense=1", "--question", "x"],
        ["answer", "--all", "--question", " "],
        ["extract", "--all"],
        ["extract", "--all", "--template", "nothing-like-this"],
        ["extract", "--all", "--template", "invoice", "--schema", "fields.json"],
        ["classify", "--all", "--label", ":"],
        ["classify", "--all", "--label", "a", "--label", "b", "--threshold", "7"],
        ["summarise", "--all", "--length", "-3"],
        ["summarise", "--all", "--language", "klingon"],
        ["summarise", "--all", "--options", "list.json"],
        ["summarise", "--all", "--options", "bad.json"],
        ["summarise", "--all", "--options", "latin.json"],
        ["summarise", "--all", "--options", "deep.json"],
        ["summarise", "--all", "--out", "x.exe"],
        ["summarise", "--all", "--out", "x.csv", "--no-wait"],
    ],
)
def test_wrong_options_get_one_line_and_exit_code_2(
    shell: Tasking, argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shell.folder)
    shell.write("fields.json", FIELDS)
    shell.write("list.json", "[]")
    shell.write("bad.json", "{\n1")
    (shell.folder / "latin.json").write_bytes(b'{"a": "\xe4"}')
    shell.write("deep.json", "[" * 100_000)
    result = shell("task", "run", *argv)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith("error: ")
    assert shell("task", "list", "--json").json == []


def test_options_come_from_a_file_from_names_and_from_stdin(shell: Tasking) -> None:
    lease = shell.write("docs/lease.txt", LEASE)
    file = shell.write("options.json", '{"question": "Rent?", "form": "amount"}')

    def options(*argv: str, stdin: str = "") -> dict[str, Any]:
        told = shell("task", "run", "answer", lease, "--no-wait", "--tonight", *argv, "--json", stdin=stdin)
        return dict(told.json["run"]["options"])

    assert options("--options", file) == {"question": "Rent?", "form": "amount", "choices": []}
    assert options("--options", file, "--question", "42")["question"] == "42"
    assert options("--option", "question=42")["question"] == "42"
    assert options("--options", "-", stdin='{"question": "Pets?"}')["question"] == "Pets?"
    one_of = options("--question", "Law?", "--form", "one_of", "--choice", "German", "--choice", "Dutch")
    assert one_of["choices"] == ["German", "Dutch"]


def test_labels_may_have_descriptions(shell: Tasking) -> None:
    shell.engine.scores = {"letter": -0.1}
    told = shell(
        "task", "run", "classify", shell.write("docs/lease.txt", LEASE), "--label", "letter: one: of mail",
        "--label", "contract", "--threshold", "0.9", "--json",
    ).json  # fmt: skip
    assert told["run"]["options"]["labels"] == [
        {"name": "letter", "description": "one: of mail"},
        {"name": "contract", "description": ""},
    ]
    assert told["run"]["options"]["threshold"] == 0.9


def test_a_json_schema_gives_the_fields(shell: Tasking) -> None:
    schema = {"type": "object", "properties": {"rent": {"type": "string"}}, "required": ["rent"]}
    shell.engine.answer = '{"rent": "900 euros"}'
    told = shell(
        "task", "run", "extract", shell.write("docs/lease.txt", LEASE), "--json",
        "--schema", shell.write("schema.json", json.dumps(schema)),
    ).json  # fmt: skip
    assert [column["key"] for column in told["run"]["columns"]] == ["rent"]


def test_kinds_and_templates_are_listed(shell: Tasking) -> None:
    kinds = shell("task", "kinds", "--json").json
    assert [one["name"] for one in kinds] == ["summarise", "extract", "classify", "answer"]
    assert all(one["options"]["$defs"] for one in kinds)
    assert len(shell("task", "kinds").out.splitlines()) == 5
    told = {one["name"]: one["allowed"] for one in shell("task", "templates", "--json").json}
    assert told == {"invoice": True, "contract": True, "bank-statement": True, "medical-letter": False}
    lines = shell("task", "templates").out.splitlines()
    assert [" off " in line for line in lines[1:]] == [False, False, False, True]


# ---------------------------------------------------------------- policy


def test_what_policy_forbids_ends_with_3_before_any_work(shell: Tasking, own_folders: Path) -> None:
    lease = shell.write("docs/lease.txt", LEASE)
    off = shell("task", "run", "extract", lease, "--template", "medical-letter")
    assert (off.code, off.err.count("\n")) == (3, 1)
    assert "AllowedTasks" in off.err
    write_policy(own_folders, {"AllowedTasks": ["documents", "extract", "extract.medical-letter"]})
    assert shell("task", "run", "summarise", lease).code == 3
    assert shell("docs", "list", "--json").json == []
    shell.engine.answer = "{}"
    assert shell("task", "run", "extract", lease, "--template", "medical-letter").code == 0
    assert [one["name"] for one in shell("task", "kinds", "--json").json] == ["extract"]
    events = shell("audit", "list", "--event", "policy.refused", "--json").json
    assert {event["body"]["kind"] for event in events} == {"extract", "summarise"}


def test_results_and_evidence_leave_only_where_policy_lets_them(shell: Tasking, own_folders: Path) -> None:
    shell.extract(lease := shell.write("docs/lease.txt", LEASE))
    asked = len(shell.engine.asked)
    write_policy(own_folders, {"AllowExport": False})
    out = shell.folder / "out.csv"
    assert shell("task", "run", "summarise", lease, "--out", str(out)).code == 3
    assert shell("task", "export", "1", str(out)).code == 3
    assert shell("task", "evidence", "1", str(out)).code == 3
    assert not out.exists()
    assert len(shell.engine.asked) == asked
    assert len(shell("audit", "list", "--event", "policy.refused", "--json").json) == 3
    assert shell("task", "show", "1").code == 0


# ---------------------------------------------------------------- what came of it


def test_show_tells_all_about_one_document(shell: Tasking) -> None:
    shell.engine.answer = '{"rent": "900 euros", "pets": null}'
    shell.extract(shell.write("docs/lease.txt", LEASE), shell.write("docs/b.txt", "Nothing of that."))
    whole = shell("task", "show", "1").out.splitlines()
    assert whole[1] == "2 of 2 documents are done, 2 values to review."
    one = shell("task", "show", "1", "--document", "lease").out
    assert "Read:      2 of 2 pages" in one
    assert "Rent: 900 euros" in one
    assert "Page 1:" in one
    assert "In doubt:" in one
    assert "b.txt" not in one
    assert shell("task", "show", "1", "--document", "c").code == 1
    assert shell("task", "show", "9").code == 1


def test_names_and_words_of_hostile_documents_do_nothing_to_a_terminal(shell: Tasking) -> None:
    evil = "\x1b[2J\x07\x9b31m"
    shell.engine.answer = f"- The rent is{evil} 900 euros."
    result = shell(
        "task", "run", "summarise", shell.write("docs/le\x1b]0;ase.txt", f"The rent is{evil} 900 euros.")
    )
    assert result.code == 0
    for text in (result, shell("task", "show", "1"), shell("task", "show", "1", "--document", "le"),
                 shell("task", "show", "1", "--json"), shell("task", "review", "1")):  # fmt: skip
        assert not {"\x1b", "\x07", "\x9b"} & set(text.out + text.err)


def test_what_is_in_doubt_is_listed_and_decided_on(shell: Tasking) -> None:
    shell.engine.answer = '{"rent": "900 euros", "pets": null}'
    shell.extract(shell.write("docs/lease.txt", LEASE))
    (waiting,) = shell("task", "review", "1", "--json").json
    assert (waiting["key"], waiting["document_name"]) == ("pets/0/", "lease.txt")
    assert "pets/0/" in shell("task", "review", "1").out
    item = str(waiting["item"])
    decided = shell(
        "task", "review", "1", "--correct", item, "pets/0/", "one dog", "--accept", item, "rent/0/"
    )
    assert decided.err == "2 decisions are kept; 0 to review.\n"
    shown = shell("task", "show", "1", "--json").json["items"][0]
    assert [one["counts"] for one in shown["outcome"]["findings"]] == ["900 euros", "one dog"]
    assert {one["verdict"] for one in shown["decisions"]} == {"corrected", "accepted"}
    assert all(one["who"] and one["when"] for one in shown["decisions"])
    assert shell("task", "review", "1").err == "Nothing is left to review.\n"
    assert len(shell("task", "review", "1", "--undo", item, "pets/0/", "--json").json) == 1


def test_decisions_on_what_is_not_there_are_refused_and_none_is_kept(shell: Tasking) -> None:
    shell.extract(shell.write("docs/lease.txt", LEASE))
    shell.extract(shell.write("docs/other.txt", LEASE + " Again."))
    for item, key in (("1", "nothing/0/"), ("99", "rent/0/"), ("2", "rent/0/"), ("one", "rent/0/")):
        result = shell("task", "review", "1", "--accept", "1", "rent/0/", "--reject", item, key)
        assert (result.code, result.err.count("\n")) == (1, 1)
    assert shell("task", "show", "1", "--json").json["items"][0]["decisions"] == []


def test_results_are_exported_in_every_format(shell: Tasking) -> None:
    shell.extract(shell.write("docs/lease.txt", LEASE))
    for ending in ("xlsx", "csv", "json", "md", "docx", "pdf"):
        file = shell.folder / f"found.{ending}"
        told = shell("task", "export", "1", str(file), "--json").json
        assert told == {"path": str(file), "format": ending, "bytes": file.stat().st_size}
    assert shell("task", "export", "1", str(shell.folder / "found.csv")).code == 2
    assert shell("task", "export", "1", str(shell.folder / "found.csv"), "--force").code == 0
    assert shell("task", "export", "1", str(shell.folder / "found.exe")).code == 2
    assert shell("task", "export", "1", str(shell.folder / "found"), "--format", "md").code == 0
    assert shell("task", "export", "9", str(shell.folder / "none.csv")).code == 1


def test_runs_go_to_the_trash_and_come_back_or_are_erased(shell: Tasking) -> None:
    shell.extract(shell.write("docs/lease.txt", LEASE))
    assert "task restore 1" in shell("task", "remove", "1").err
    assert shell("task", "list", "--json").json == []
    assert shell("task", "list", "--trash", "--json").json[0]["trashed"] is not None
    assert shell("task", "restore", "1").code == 0
    assert shell("task", "erase", "1", "--json").json == {"ids": [1]}
    assert shell("task", "show", "1").code == 1
    assert "The trash is empty." in shell("task", "list", "--trash").err


def test_a_hold_keeps_runs_from_being_erased(shell: Tasking, own_folders: Path) -> None:
    shell.extract(shell.write("docs/lease.txt", LEASE))
    write_policy(own_folders, {"LegalHold": True})
    assert shell("task", "erase", "1").code == 3
    assert shell("task", "show", "1").code == 0


def test_evidence_is_checked_without_a_store_and_a_changed_byte_shows(
    shell: Tasking, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.extract(shell.write("docs/lease.txt", LEASE))
    record = shell.folder / "run.evidence"
    written = shell("task", "evidence", "1", str(record), "--json").json
    assert shell("task", "evidence", "1", str(record)).code == 2
    elsewhere = shell.folder / "elsewhere"
    monkeypatch.setenv("XDG_DATA_HOME", str(elsewhere))
    told = shell("task", "verify", str(record), "--key", written["key"], "--json").json
    assert (told["sound"], told["complete"], told["key"]) == (True, False, written["key"])
    text = shell("task", "verify", str(record))
    assert (text.code, text.err) == (0, "")
    assert "0 of 2 verified quotations found again" in text.out
    assert shell("task", "verify", str(record), "--key", "ab" * 32).code == 1
    changed = record.read_bytes().replace(b"900 euros", b"800 euros", 1)
    record.write_bytes(changed)
    bad = shell("task", "verify", str(record))
    assert (bad.code, bad.err.count("\n")) == (1, 1)
    assert shell("task", "verify", str(record), "--json").json["sound"] is False
    assert not elsewhere.exists()


def test_what_is_no_evidence_record_gets_one_line(shell: Tasking) -> None:
    for content in ("", "{}", "[" * 100_000, '{"format": 1}'):
        result = shell("task", "verify", shell.write("record.json", content))
        assert (result.code, result.err.count("\n")) == (1, 1)
    assert shell("task", "verify", str(shell.folder / "gone.json")).code == 1
    assert shell("task", "verify", str(shell.folder)).code == 1
    assert shell("task", "verify", "x", "--key", "short").code == 2

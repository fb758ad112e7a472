"""``localai-app docs`` with a pretended reader and engine."""

import dataclasses
from pathlib import Path

import pytest

from localai_app.app import open_app
from localai_app.documents.service import DocumentService
from localai_app.errors import PolicyRefused, StoreError
from localai_app.governance import policy
from localai_app.paths import Paths
from tests.cli.shell import Result, Shell, pretend
from tests.documents.pretended import FakeEmbedding, FakeReader
from tests.fake_engine import FakeEngine


@dataclasses.dataclass
class Reading(Shell):
    """A shell whose reader and embedding a test may change."""

    reader: FakeReader
    embedding: FakeEmbedding


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    shell = Reading(tmp_path / "files", FakeEngine(), FakeReader(), FakeEmbedding())
    pretend(monkeypatch, tmp_path / "models", shell.reader, shell.embedding)
    return shell


def test_files_are_added_read_and_listed(shell: Reading) -> None:
    shell.write("lease.txt", "The rent is due.\fThe deposit.")
    shell.write("b.md", "Notes.")
    added = shell("docs", "add", str(shell.folder))
    assert added == Result(0, "", "2 of 2 documents are ready, 3 pages.\n")
    listed = shell("docs", "list").out.splitlines()
    assert listed[0].split() == ["ID", "NAME", "TYPE", "PAGES", "STATE"]
    assert [line.split() for line in listed[1:]] == [
        ["1", "b.md", "md", "1", "ready"],
        ["2", "lease.txt", "txt", "2", "ready"],
    ]


def test_json_tells_all_of_a_document_but_its_text(shell: Reading) -> None:
    told = shell("docs", "add", shell.write("a.txt", "Words."), "--json").json
    assert (told["known"], told["refused"]) == ([], [])
    (document,) = told["documents"]
    assert (document["name"], document["state"], document["pages"]) == ("a.txt", "ready", 1)
    assert len(document["sha256"]) == 64
    assert shell("docs", "list", "--json").json == [document]


def test_help_names_all_that_json_tells(shell: Reading, capsys: pytest.CaptureFixture[str]) -> None:
    added = shell("docs", "add", shell.write("a.txt", "Words."), "--json").json
    found = shell("docs", "search", "words", "--json").json
    told = {"add": {*added, *added["documents"][0]}, "list": added["documents"][0], "search": found[0]}
    for verb, names in told.items():
        with pytest.raises(SystemExit):
            shell("docs", verb, "--help")
        help_ = capsys.readouterr().out
        named = {word.strip("():,") for word in help_.partition("with --json:")[2].split()}
        assert set(names) <= named


def test_what_cannot_be_taken_or_read_is_told_and_makes_the_exit_code_1(shell: Reading) -> None:
    shell.write("a.txt", "Words.")
    shell.write("b.txt", "BROKEN")
    shell.write("c.txt", "")
    result = shell("docs", "add", str(shell.folder), str(shell.folder / "gone.txt"))
    assert result.code == 1
    assert result.err.splitlines() == [
        "1 of 2 documents are ready, 1 pages.",
        "error: b.txt: The file is damaged. Save it anew.",
        "error: c.txt: It is empty.",
        "error: gone.txt: It is not there. Check its name, or connect its drive.",
    ]


def test_a_collection_is_made_and_narrows_list_and_search(shell: Reading) -> None:
    assert shell("docs", "add", shell.write("a.txt", "Rent here."), "--collection", "Leases").code == 0
    assert shell("docs", "add", shell.write("b.txt", "Rent there."), "--collection", "Other").code == 0
    assert "1   1          Leases" in shell("docs", "collections").out
    listed = shell("docs", "list", "--collection", "leases", "--json").json
    assert [one["name"] for one in listed] == ["a.txt"]
    found = shell("docs", "search", "rent", "--collection", "Leases", "--json").json
    assert [(one["document_name"], one["place"], one["text"]) for one in found] == [
        ("a.txt", "page 1", "Rent here.")
    ]
    missing = shell("docs", "search", "rent", "--collection", "None")
    assert (missing.code, missing.err[:40]) == (1, "error: There is no collection “None”. `l")


def test_search_shows_document_place_and_passage(shell: Reading) -> None:
    shell("docs", "add", shell.write("a.txt", "First.\fThe deposit\nis returned."))
    found = shell("docs", "search", "deposit", "--limit", "1")
    assert found.out.splitlines()[1].split(maxsplit=3) == ["a.txt", "page", "2", "The deposit is returned."]
    assert shell("docs", "search", "x", "--limit", "0").code == 2


def test_a_document_is_shown_with_its_facts_and_a_page_with_its_text(shell: Reading) -> None:
    shell("docs", "add", shell.write("a.txt", "One.\fTwo."))
    shown = shell("docs", "show", "a").out
    assert "Title:     Title" in shown
    assert "Pages:     2 of 2 read" in shown
    assert shell("docs", "show", "1", "--page", "2").out == "Two.\n"
    page = shell("docs", "show", "1", "--page", "2", "--json").json
    assert (page["number"], page["text"]) == (2, "Two.")
    assert shell("docs", "show", "a.txt", "--json").json["facts"]["title"] == "Title"
    assert shell("docs", "show", "1", "--page", "3").code == 1
    assert shell("docs", "show", "nothing").code == 1


def test_a_name_that_fits_several_documents_is_asked_about(shell: Reading) -> None:
    shell.write("lease a.txt", "One.")
    shell.write("lease b.txt", "Two.")
    shell("docs", "add", str(shell.folder))
    result = shell("docs", "show", "lease")
    assert (result.code, result.err) == (
        1,
        "error: “lease” may be 1 lease a.txt, 2 lease b.txt. Use the number.\n",
    )


def test_nothing_names_no_document(shell: Reading) -> None:
    shell("docs", "add", shell.write("a.txt", "Words."))
    for blank in ("", " "):
        assert shell("docs", "remove", blank).code == 1
    assert len(shell("docs", "list", "--json").json) == 1


def test_documents_go_to_the_trash_come_back_and_are_erased(shell: Reading) -> None:
    shell("docs", "add", shell.write("a.txt", "Words."))
    removed = shell("docs", "remove", "a.txt")
    assert removed.err == "In the trash: a.txt. To undo: localai-app docs restore 1\n"
    assert shell("docs", "list").err == "There are no documents yet.\n"
    assert [one["id"] for one in shell("docs", "list", "--trash", "--json").json] == [1]
    assert shell("docs", "restore", "a.txt").code == 0
    assert shell("docs", "remove", "a.txt", "--erase", "--json").json == {"ids": [1], "erased": True}
    assert shell("docs", "list", "--trash", "--json").json == []
    assert (shell.folder / "a.txt").exists()


def test_without_waiting_documents_wait_and_the_next_add_reads_them(shell: Reading) -> None:
    shell.reader.gate = None
    first = shell("docs", "add", shell.write("a.txt", "Words."), "--no-wait", "--json").json
    assert first["documents"][0]["state"] in ("waiting", "reading", "ready")
    shell("docs", "add", shell.write("b.txt", "More."))
    assert {one["state"] for one in shell("docs", "list", "--json").json} == {"ready"}


def test_changed_files_are_read_again_by_refresh(shell: Reading) -> None:
    path = Path(shell.write("a.txt", "Old."))
    shell("docs", "add", str(path))
    path.write_text("New words.")
    assert shell("docs", "refresh").err == "1 of 1 documents are ready, 1 pages.\n"
    assert shell("docs", "show", "1", "--page", "1").out == "New words.\n"
    path.unlink()
    assert shell("docs", "refresh").code == 1


def test_a_long_name_leaves_room_for_the_rest_of_its_row(shell: Reading) -> None:
    name = "x" * 200 + ".txt"
    shell("docs", "add", shell.write(name, "Words."))
    row = shell("docs", "list").out.splitlines()[1]
    assert (len(row.split()[1]), row.split()[1][-5:]) == (60, "x.txt")
    assert shell("docs", "list", "--json").json[0]["name"] == name
    assert len(shell("docs", "search", "words").out.splitlines()[1]) < 100


def test_an_empty_path_is_not_the_current_folder(shell: Reading) -> None:
    result = shell("docs", "add", "")
    assert (result.code, result.err[:23]) == (2, "error: A path is empty.")


def test_what_another_process_erased_meanwhile_is_left_out(
    shell: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = DocumentService.wait

    def erased_at_the_end(self: DocumentService, timeout: float | None = None) -> bool:
        done = wait(self, timeout)
        if done:
            self.remove([1])
            self.erase([1])
        return done

    shell.write("a.txt", "Words.")
    shell.write("b.txt", "More.")
    with monkeypatch.context() as patch:
        patch.setattr(DocumentService, "wait", erased_at_the_end)
        assert shell("docs", "add", str(shell.folder)) == Result(
            0, "", "1 of 1 documents are ready, 1 pages.\n"
        )
    assert shell("docs", "refresh").err == "There is nothing new to read.\n"


def test_a_password_is_asked_for_where_somebody_can_type_it(
    shell: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shell.write("a.txt", "SECRET swordfish")
    assert shell("docs", "add", path).code == 1
    typed = iter(["wrong", "swordfish"])
    prompts: list[str] = []

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(typed)

    monkeypatch.setattr("getpass.getpass", ask)
    assert shell("docs", "add", path, terminal=True).code == 0
    assert prompts == ["Password of a.txt: "] * 2


def test_policy_refuses_with_exit_code_3(shell: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: policy.Policy) -> None:
        raise PolicyRefused("Not allowed.", "Ask.")

    monkeypatch.setattr(policy.Policy, "require_documents", refuse)
    assert shell("docs", "add", shell.write("a.txt", "Words.")).code == 3
    assert shell("docs", "search", "words").code == 3


def test_work_that_cannot_go_on_ends_with_its_line(shell: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise StoreError("No space is left.", "Free some space.")

    monkeypatch.setattr("localai_app.documents.library.Library.save_pages", full)
    result = shell("docs", "add", shell.write("a.txt", "Words."))
    assert result.code == 1
    assert result.err == "error: Reading is paused. No space is left. Free some space.\n"


def test_ctrl_c_keeps_what_is_read_and_the_same_command_goes_on(
    shell: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: DocumentService, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    path = shell.write("a.txt", "Words.")
    with monkeypatch.context() as patch:
        patch.setattr(DocumentService, "wait", interrupted)
        stopped = shell("docs", "add", path)
    assert stopped.code == 130
    assert "goes on where it stopped" in stopped.err
    assert shell("docs", "add", path).code == 0
    with open_app(Paths.for_user(), engine=FakeEngine()) as app:
        assert app.documents.documents()[0].pages == 1

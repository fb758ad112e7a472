"""``localai-app docs ask`` with a pretended reader and engine."""

from pathlib import Path

import pytest

from tests.cli.shell import Shell, pretend
from tests.fake_engine import FakeEngine

LEASE = "The rent is 900 euros a month.\fThe tenant may keep one dog."


class Asking(Shell):
    """A shell on a library with one lease."""

    def add(self, name: str, text: str, *options: str) -> None:
        assert self("docs", "add", self.write(name, text), *options).code == 0


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    pretend(monkeypatch, tmp_path / "models")
    shell = Asking(tmp_path, FakeEngine(pieces=("The rent is 900 euros a month [1].",)))
    shell.add("lease.txt", LEASE)
    return shell


def test_the_answer_comes_with_mode_coverage_and_the_pages_words(shell: Asking) -> None:
    result = shell("docs", "ask", "How much is the rent?")
    assert result.code == 0
    assert result.out.splitlines() == [
        "The rent is 900 euros a month [1].",
        "",
        "1 whole document, 23 tokens",
        "[1] lease.txt, page 1: “The rent is 900 euros a month.”",
    ]
    assert result.err.splitlines()[0].startswith("whole: 1 whole document, ")


def test_what_is_not_verified_or_found_by_the_app_is_marked(shell: Asking) -> None:
    shell.engine.pieces = ("The rent is 950 euros [1]. The tenant may keep one dog. Cats too [9].",)
    lines = shell("docs", "ask", "rent?").out.splitlines()[3:]
    assert lines == [
        "[1] lease.txt, page 1 (not verified): “The rent is 900 euros a month.”",
        "[2] lease.txt, page 2 (found by the app): “The tenant may keep one dog.”",
        "[9] not verified: there is no passage of that number",
    ]


def test_json_holds_answer_mode_coverage_citations_and_price(shell: Asking) -> None:
    told = shell("docs", "ask", "How much is the rent?", "--mode", "search", "--json").json
    assert (told["answer"], told["mode"]) == ("The rent is 900 euros a month [1].", "search")
    assert told["coverage"]["documents"] == 1
    assert told["coverage"]["words"].startswith("Search: ")
    (citation,) = told["citations"]
    assert (citation["quotation"], citation["page"], citation["verified"], citation["found"]) == (
        "The rent is 900 euros a month.",
        1,
        True,
        False,
    )
    assert told["price"]["mode"] == "search"
    shown = shell("chat", "show", str(told["conversation_id"]))
    assert "How much is the rent?" in shown.out


def test_the_price_of_every_mode_can_be_asked_without_asking(shell: Asking) -> None:
    listed = shell("docs", "ask", "rent?", "--price").out.splitlines()
    assert listed[0].split() == ["MODE", "COST"]
    assert [line.lstrip("* ").split()[0] for line in listed[1:]] == ["whole", "search", "exhaustive"]
    assert listed[1].startswith("*")
    assert [one["mode"] for one in shell("docs", "ask", "rent?", "--price", "--json").json] == [
        "whole",
        "search",
        "exhaustive",
    ]
    assert shell("chat", "list", "--json").json == []


def test_only_the_named_documents_and_collections_are_asked(shell: Asking) -> None:
    shell.add("house.txt", "Quiet hours begin at 22:00.", "--collection", "House")
    one = shell("docs", "ask", "rent?", "--document", "lease", "--json").json
    both = shell("docs", "ask", "rent?", "--document", "lease", "--collection", "house", "--json").json
    assert (one["coverage"]["documents"], both["coverage"]["documents"]) == (1, 2)
    missing = shell("docs", "ask", "rent?", "--collection", "Nothing")
    assert missing.code == 1


def test_every_page_can_be_read(shell: Asking) -> None:
    shell.engine.pieces = ("The rent is 900 euros a month.",)
    told = shell("docs", "ask", "rent?", "--mode", "exhaustive", "--json").json
    assert told["mode"] == "exhaustive"
    assert (told["coverage"]["pages_used"], told["coverage"]["pages"]) == (2, 2)
    assert [one["found"] for one in told["citations"]] == [True]


def test_a_chat_goes_on_from_the_same_documents(shell: Asking) -> None:
    first = shell("docs", "ask", "rent?", "--json").json
    second = shell(
        "chat", "--conversation", str(first["conversation_id"]), "--prompt", "Again?", "--json"
    ).json
    assert second["mode"] == "whole"
    assert second["citations"][0]["verified"]


def test_an_empty_question_is_refused_and_one_may_come_from_stdin(shell: Asking) -> None:
    assert shell("docs", "ask", " ").code == 2
    assert shell("docs", "ask", "-", "--json", stdin="How much is the rent?").json["question"] == (
        "How much is the rent?"
    )

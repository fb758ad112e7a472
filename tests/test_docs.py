"""What the documents promise is there: tests that are named exist, links lead somewhere."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def functions(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_and_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for file, function in NAMED.findall(text):
        assert (ROOT / file).is_file(), f"{file} is gone"
        assert not function or function in functions(ROOT / file), f"{file} has no {function}"
    for target in LINK.findall(text):
        assert (document.parent / target).exists(), f"{target} is not there"


def test_the_threat_model_names_what_shows_each_end() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and line.count("|") == 4
    ]
    attacks = rows[rows.index("| attack | end | shown by |") + 1 :]
    named = [row for row in attacks if not row.startswith("| **")]
    assert len(named) > 30
    assert all(NAMED.search(row) for row in named), [row for row in named if not NAMED.search(row)]

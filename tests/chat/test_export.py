"""Exports of conversations, with text that wants to do harm."""

import html
import io
import json
import re
import time
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import docx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from localai_app.chat.conversation import (
    AnswerRecord,
    Conversation,
    GenerationStats,
    Message,
    Parameters,
    Role,
    Status,
)
from localai_app.chat.export import FORMATS, export
from localai_app.documents.document import Citation
from localai_app.documents.grounding import Coverage, Mode
from localai_app.errors import UsageError

WHEN = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
CONVERSATION = Conversation(id=7, title="Ward rounds", created=WHEN, updated=WHEN, leaf_id=2)
QUESTION = Message(
    id=1, conversation_id=7, parent_id=None, role=Role.USER, text="Why on site?", status=Status.COMPLETE,
    created=WHEN, sibling_ids=(1,),
)  # fmt: skip
ANSWER = Message(
    id=2, conversation_id=7, parent_id=1, role=Role.ASSISTANT, text="Because **privacy**.",
    status=Status.STOPPED, created=WHEN, sibling_ids=(2,),
    stats=GenerationStats(12, 3, 9, 0.05, 0.1, "cancelled"),
    record=AnswerRecord(
        model_name="SmolLM2 135M Instruct", model_sha256="b1", engine_build="0.3.36", device="CPU",
        template_sha256="c2", prompt_hmac="d3", sampler=MappingProxyType({"temperature": 0.2, "seed": 5}),
    ),
)  # fmt: skip

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=//attacker/x.png onerror=alert(1)>",
    "![x](//attacker/share/x.png)",
    "![x](https://attacker/x.png)",
    "![x][r]\n\n[r]: https://attacker/x.png",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt&colon;alert(1))",
    "[click][j]\n\n[j]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "[click](data:text/html,<script>alert(1)</script>)",
    "[click](file:///etc/passwd)",
    "[click](//attacker/share)",
    "`<b>` and <b onmouseover=x>\n\n```\n<i>",
    "<!-- unclosed",
    "<style>* { background: url(https://attacker) }</style>",
    "```html\nnever closed <script>",
    "`` ` `` <svg/onload=x>",
    "\x00\x1b[31m\x07red\ufffe",
    "> > > <iframe src=https://attacker>",
    "| a | b |\n|---|---|\n| <b> | ![x](https://attacker) |",
    "\\<script>",
    "<a href='javascript:x'>y</a>",
    "</article></body><script>x</script>",
]
SAFE_LINK = re.compile("^(https?://|mailto:)", re.IGNORECASE)


def of(text: str, file_format: str) -> bytes:
    """An export in which ``text`` stands everywhere that a person, a model or a document can put it."""
    assert ANSWER.record is not None
    citation = Citation(1, 3, text, 7, text, 0, len(text), text, verified=True, at=0)
    coverage = Coverage(Mode.SEARCH, 2, 1, 9, 1, 1, 80, unread=((text, text),))
    record = replace(ANSWER.record, model_name=text, coverage=coverage)
    return export(
        replace(CONVERSATION, title=text, system_prompt=text),
        [
            replace(QUESTION, text=text),
            replace(ANSWER, text=text, error=text, record=record, citations=(citation,)),
        ],
        file_format,
    )


class Page(HTMLParser):
    """All tags and addresses of an HTML page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def assert_harmless_html(page: str) -> None:
    parsed = Page(page)
    forbidden = {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "svg",
        "link",
        "form",
        "input",
        "base",
        "b",
        "i",
    }
    assert not forbidden & set(parsed.tags)
    assert parsed.tags.count("style") == 1
    assert parsed.tags.count("body") == 1
    for name, value in parsed.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "srcset", "background", "style", "action")
        if name == "href":
            assert SAFE_LINK.match(value or "")


def assert_harmless_markdown(text: str) -> None:
    """Even a viewer that allows HTML and any address finds nothing to run or load."""
    viewer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    viewer.validateLink = lambda url: True  # type: ignore[method-assign]
    tokens = viewer.parse(text)
    inside = [child for token in tokens for child in token.children or []]
    assert not [t for t in [*tokens, *inside] if t.type in ("html_block", "html_inline", "image")]
    for token in inside:
        if token.type == "link_open":
            assert SAFE_LINK.match(str(token.attrGet("href")))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_no_harm_in_html(text: str) -> None:
    assert_harmless_html(of(text, "html").decode())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_does_no_harm_in_markdown(text: str) -> None:
    assert_harmless_markdown(of(text, "md").decode())


@pytest.mark.parametrize("text", HOSTILE)
def test_a_word_document_reaches_for_nothing_outside(text: str) -> None:
    with zipfile.ZipFile(io.BytesIO(of(text, "docx"))) as archive:
        relations = [archive.read(name) for name in archive.namelist() if name.endswith(".rels")]
    assert relations
    assert not any(b'TargetMode="External"' in relation for relation in relations)


def test_html_page_forbids_everything_but_its_own_style() -> None:
    page = export(CONVERSATION, [QUESTION, ANSWER], "html").decode()
    assert "default-src 'none'; style-src 'sha256-" in page
    assert "prefers-color-scheme: dark" in page
    assert "<strong>privacy</strong>" in page


def test_a_link_is_followed_by_the_address_it_leads_to() -> None:
    page = of("[https://bank.example](https://attacker.example)", "html").decode()
    assert "(https://attacker.example)" in page
    word = docx.Document(io.BytesIO(of("[bank](https://attacker.example)", "docx")))
    assert any(p.text == "bank (https://attacker.example)" for p in word.paragraphs)


def test_harmless_markdown_stays_as_it_was_written() -> None:
    text = "# Plan\n\n1. `a < b`\n2. [site](https://example.org)\n\n```c\n#include <stdio.h>\n```"
    assert text in export(CONVERSATION, [replace(ANSWER, text=text)], "md").decode()


def test_an_unclosed_code_block_does_not_swallow_the_next_message() -> None:
    exported = export(CONVERSATION, [replace(QUESTION, text="```\nopen"), ANSWER], "md").decode()
    tokens = MarkdownIt().parse(exported)
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert headings == ["Ward rounds", "You", "SmolLM2 135M Instruct"]


def test_markdown_tells_who_spoke_when_and_how_it_ended() -> None:
    exported = export(CONVERSATION, [QUESTION, ANSWER], "md").decode()
    assert "## You\n\nWhy on site?" in exported
    assert "2026-11-20 09:30 · 9 tokens · 80 tokens/s · stopped by you" in exported


def test_json_holds_every_field() -> None:
    exported = json.loads(export(CONVERSATION, [QUESTION, ANSWER], "json"))
    assert exported["format"] == "localai-app/conversation"
    assert exported["version"] == 1
    assert set(exported["conversation"]) == set(Conversation.__dataclass_fields__)
    assert set(exported["messages"][1]) == set(Message.__dataclass_fields__)
    assert exported["messages"][1]["record"]["sampler"] == {"temperature": 0.2, "seed": 5}
    assert exported["messages"][1]["stats"]["stop_reason"] == "cancelled"
    assert exported["messages"][1]["status"] == "stopped"
    assert datetime.fromisoformat(exported["messages"][0]["created"]) == WHEN


def test_word_document_has_headings_lists_code_and_tables() -> None:
    text = (
        "## Plan\n\n*One* **two** ~~three~~ `four`\n\n1. first\n2. second\n   - inner\n\n> said\n\n"
        "```py\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | **2** |"
    )
    word = docx.Document(io.BytesIO(export(CONVERSATION, [replace(ANSWER, text=text)], "docx")))
    texts = [paragraph.text for paragraph in word.paragraphs]
    assert [t for t in texts if "\t" in t] == ["1.\tfirst", "2.\tsecond", "•\tinner"]
    assert {"Plan", "said", "x = 1"} <= set(texts)
    styles = {run.text: run for paragraph in word.paragraphs for run in paragraph.runs}
    assert styles["One"].italic
    assert styles["two"].bold
    assert styles["three"].font.strike
    assert styles["four"].font.name == "Courier New"
    assert [[cell.text for cell in row.cells] for row in word.tables[0].rows] == [["a", "b"], ["1", "2"]]


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UsageError, match="pdf"):
        export(CONVERSATION, [], "pdf")


PIECES = r"` ``` ~~~ ![ [ ]( ) ] javascript:x https://a [a]: >_ -_ 1._ |a| |---| <b> <!-- <script> \ * ____"
markdown_like = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.sampled_from(["\n", "\n\n", "\t", *(piece.replace("_", " ") for piece in PIECES.split())]),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(text=markdown_like)
def test_any_text_exports_and_does_no_harm(text: str) -> None:
    assert_harmless_markdown(of(text, "md").decode())
    assert_harmless_html(of(text, "html").decode())
    docx.Document(io.BytesIO(of(text, "docx")))


@settings(max_examples=150, deadline=None)
@given(text=st.text(), title=st.text(), parameters=st.builds(Parameters, seed=st.integers(0, 2**32 - 1)))
def test_any_text_comes_back_from_json(text: str, title: str, parameters: Parameters) -> None:
    conversation = replace(CONVERSATION, title=title, parameters=parameters)
    exported = json.loads(export(conversation, [replace(ANSWER, text=text)], "json"))
    assert exported["conversation"]["title"] == title
    assert exported["conversation"]["parameters"]["seed"] == parameters.seed
    assert exported["messages"][0]["text"] == text


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("text", ["[" * 20_000, ">" * 20_000, "*a_ " * 10_000, "- " * 5_000, "`" * 20_001])
def test_text_made_to_be_slow_exports_in_seconds(file_format: str, text: str) -> None:
    started = time.monotonic()
    export(CONVERSATION, [replace(ANSWER, text=text)], file_format)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_answer_from_documents_brings_its_evidence(file_format: str) -> None:
    assert ANSWER.record is not None
    record = replace(ANSWER.record, coverage=Coverage(Mode.SEARCH, 2, 1, 9, 1, 1, 80))
    citations = (
        Citation(1, 3, "lease.pdf", 7, "page 7", 0, 23, "The rent is\n900 euros.", verified=True, at=4),
        Citation(1, 3, "lease.pdf", 8, "page 8", 0, 5, "Dogs.", verified=False, at=9),
        Citation(2, 3, "lease.pdf", 9, "page 9", 0, 5, "Cats.", verified=True),
        Citation(9, 0, "", 0, "", 0, 0, "", verified=False, at=12),
    )
    data = export(CONVERSATION, [QUESTION, replace(ANSWER, record=record, citations=citations)], file_format)
    if file_format == "json":
        message = json.loads(data)["messages"][1]
        assert message["record"]["coverage"]["mode"] == "search"
        assert message["citations"][0]["quotation"] == "The rent is\n900 euros."
        assert [one["verified"] for one in message["citations"]] == [True, False, True, False]
        return
    if file_format == "docx":
        text = "\n".join(paragraph.text for paragraph in docx.Document(io.BytesIO(data)).paragraphs)
    else:
        text = html.unescape(data.decode()).replace("\\", "")
    assert "Search: 1 passage of 1 document, 80 tokens" in text
    assert "[1] lease.pdf, page 7 (verified: the words stand on the page): “The rent is 900 euros.”" in text
    assert "[1] lease.pdf, page 8 (not verified): “Dogs.”" in text
    assert "[2] lease.pdf, page 9 (verified: the words stand on the page, found by the app): “Cats.”" in text
    assert "[9] not verified: the model was given no passage of that number" in text

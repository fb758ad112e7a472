import builtins
import random
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QImage, QTextDocument, QWheelEvent
from PySide6.QtWidgets import QApplication, QToolButton

from localai_app.ui.chat.highlight import highlight
from localai_app.ui.chat.live import LONG_TAIL
from localai_app.ui.chat.thinking import split_thinking
from localai_app.ui.chat.transcript import SHOWN, Transcript
from tests.ui.conftest import Desk

RICH = """# Title

A paragraph with **bold**, *italic*, `code` and a [link](https://example.org/x).

- one
- two
  - nested
1. first
2. second

| a | b |
|---|--:|
| 1 | 2 |

```python
def f(x):
    return x + 1  # one more
```

> quoted

---

Last line.
"""


def show(desk: Desk, *texts: str) -> None:
    desk.open(desk.chat.add("Shown", *texts).id)


def test_markdown_becomes_text_without_its_marks(desk: Desk) -> None:
    show(desk, "q", RICH)
    text = desk.text
    for mark in ("**", "```", "|--", "# Title", "](", "> quoted"):
        assert mark not in text
    for word in ("Title", "bold", "nested", "second", "return x + 1  # one more", "quoted", "Last line."):
        assert word in text


@pytest.mark.parametrize(
    "hostile",
    [
        "![x](file:///etc/passwd)",
        "![x](//attacker/share/x.png)",
        "![x](\\\\attacker\\share\\x.png)",
        "![x](https://attacker.example/pixel.png)",
        "![x](http://attacker.example/pixel.png)",
        "![x](/etc/hostname)",
        "![x][ref]\n\n[ref]: file:///etc/passwd",
        '<img src="file:///etc/passwd">',
        "<iframe src='file:///etc/passwd'></iframe>",
        "<style>@import url(file:///etc/passwd);</style>",
        '<link rel="stylesheet" href="//attacker/x.css">',
        '<a href="file:///etc/passwd"><img src="//attacker/x.png"></a>',
        "[x](data:text/html;base64,PHNjcmlwdD4=) ![y](data:image/png;base64,AAAA)",
        "| ![x](file:///etc/passwd) |\n|---|\n| ![y](//attacker/x.png) |",
    ],
)
def test_nothing_in_a_message_is_loaded(desk: Desk, hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[str] = []
    monkeypatch.setattr(Transcript, "loadResource", lambda _, __, name: wanted.append(str(name)) or QImage())
    opened: list[str] = []
    real = builtins.open
    monkeypatch.setattr(
        builtins, "open", lambda name, *a, **k: opened.append(str(name)) or real(name, *a, **k)
    )
    show(desk, hostile, hostile)
    desk.window.grab()
    document = desk.transcript.document()
    assert wanted == []
    assert not any("passwd" in name or "attacker" in name for name in opened)
    assert "\ufffc" not in document.toPlainText()  # no image object anywhere


def test_what_qt_itself_asks_for_is_an_empty_image(desk: Desk) -> None:
    """Were an image ever to reach the document, it would be this override that is asked."""
    show(desk, "q", "a")
    cursor = desk.transcript.textCursor()
    cursor.insertHtml('<img src="file:///etc/passwd"><img src="//attacker/share/x.png">')
    desk.window.grab()
    for name in ("file:///etc/passwd", "//attacker/share/x.png"):
        kind = QTextDocument.ResourceType.ImageResource
        loaded = desk.transcript.document().resource(kind, QUrl(name))
        assert isinstance(loaded, QImage)
        assert loaded.isNull()


def test_only_https_links_can_be_followed(desk: Desk) -> None:
    show(
        desk,
        "q",
        "[a](https://good.example/x) [b](http://plain.example) [c](file:///etc/passwd) "
        "[d](javascript:alert(1)) [e](mailto:x@y.z) [f](//attacker/share) <https://auto.example/y>",
    )
    hrefs = set()
    block = desk.transcript.document().begin()
    while block.isValid():
        at = block.begin()
        while not at.atEnd():
            if at.fragment().charFormat().anchorHref():
                hrefs.add(at.fragment().charFormat().anchorHref())
            at += 1
        block = block.next()
    assert hrefs == {"https://good.example/x", "https://auto.example/y"}
    assert not desk.transcript.openLinks()


def test_a_persons_own_markup_stays_as_typed(desk: Desk) -> None:
    show(desk, "use **this** <b>tag</b> and ![x](y)", "fine")
    assert "use **this** <b>tag</b> and ![x](y)" in desk.text


def plain(desk: Desk) -> list[str]:
    return [line for line in desk.text.splitlines() if line.strip()]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), repeat=st.integers(1, 4))
def test_a_streamed_answer_ends_as_the_same_document_as_a_loaded_one(
    desk: Desk, seed: int, repeat: int
) -> None:
    text = RICH * repeat
    show(desk, "q", text)
    expected = plain(desk)
    row = desk.chat.add("Streamed", "q", "")
    desk.open(row.id)
    answer = desk.transcript.messages[-1]
    desk.transcript.begin_answer(answer)
    random_ = random.Random(seed)
    at = 0
    while at < len(text):
        step = random_.randint(1, 60)
        desk.transcript.append_text(text[at : at + step])
        at += step
    from dataclasses import replace

    desk.transcript.end_answer(replace(answer, text=text))
    assert plain(desk) == expected


def test_no_word_is_lost_or_glued_while_a_long_answer_streams(desk: Desk) -> None:
    words = [f"word{number}" for number in range(2200)]
    row = desk.chat.add("Streamed", "q", "")
    desk.open(row.id)
    desk.transcript.begin_answer(desk.transcript.messages[-1])
    for number, word in enumerate(words):
        desk.transcript.append_text(word + ("\n" if number % 9 == 0 else " "))
        if number % 300 == 0:
            assert desk.text.split()[1:] == words[: number + 1]
    assert len(" ".join(words)) > LONG_TAIL
    assert desk.text.split()[1:] == words


def test_text_after_a_closed_fence_does_not_land_in_the_code(desk: Desk) -> None:
    row = desk.chat.add("Streamed", "q", "")
    desk.open(row.id)
    desk.transcript.begin_answer(desk.transcript.messages[-1])
    for piece in ("```py\n", "a = 1\n", "b", " = 2\n", "```", "\n", "After", " the code", "\n\n", "End"):
        desk.transcript.append_text(piece)
    code = desk.transcript.content.live.code_blocks  # type: ignore[union-attr]
    assert len(code) == 1
    inside = code[0].frame
    assert "After" not in desk.text[inside.firstPosition() : inside.lastPosition()]
    assert "b = 2" in desk.text
    assert "After the code" in desk.text


def test_the_view_follows_new_text_only_while_the_end_is_in_view(desk: Desk) -> None:
    show(desk, *["A paragraph of text.\n\n" * 12] * 6)
    bar = desk.transcript.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    wheel(desk, 600)
    assert not desk.transcript.following
    at = bar.value()
    desk.transcript.begin_answer(desk.transcript.messages[-1])  # answering brings the end back …
    assert desk.transcript.following
    wheel(desk, 600)  # … and the person leaves it again
    at = bar.value()
    desk.transcript.append_text("More text.\n\n" * 30)
    desk.window.grab()
    assert bar.value() == at
    desk.transcript.arrange()
    assert desk.transcript.jump_button.isVisible()
    desk.transcript.jump_button.click()
    assert bar.value() == bar.maximum()


def wheel(desk: Desk, up: int) -> None:
    viewport = desk.transcript.viewport()
    place = QPointF(100, 100)
    event = QWheelEvent(
        place,
        viewport.mapToGlobal(place),
        QPoint(0, 0),
        QPoint(0, up),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(viewport, event)


def test_thinking_is_folded_and_unfolds(desk: Desk) -> None:
    show(desk, "q", "<think>Let me see, said the model.</think>\n\nForty-two.")
    assert "Forty-two." in desk.text
    assert "Let me see" not in desk.text
    desk.transcript.arrange()
    button = desk.transcript.overlays.widget(2, "thought")
    assert button.accessibleName() == "Thought"
    button.click()  # type: ignore[attr-defined]
    assert "Let me see, said the model." in desk.text


@pytest.mark.parametrize(
    ("reply", "thought", "text", "thinking"),
    [
        ("Plain.", None, "Plain.", False),
        ("<think>a", "a", "", True),
        ("<thi", None, "", True),
        ("<think>a</think>\n\nb", "a", "b", False),
        ("a</think>b", "a", "b", False),
        ("<think></think>b", None, "b", False),
        ("1 < 2", None, "1 < 2", False),
    ],
)
def test_thought_and_answer_are_told_apart(
    reply: str, thought: str | None, text: str, thinking: bool
) -> None:
    answer = split_thinking(reply)
    assert (answer.thought, answer.text, answer.thinking) == (thought, text, thinking)


def test_a_streamed_thought_folds_when_the_answer_begins(desk: Desk) -> None:
    desk.chat.script = ["<th", "ink>", "Hmm, ", "hmm.", "</think>", "\n\nForty", "-two."]
    desk.send("q")
    assert "Forty-two." in desk.text
    assert "Hmm" not in desk.text
    assert "think>" not in desk.text


def test_code_has_a_button_that_copies_it(desk: Desk) -> None:
    show(desk, "q", "```python\ndef f():\n    return 1\n```")
    desk.transcript.arrange()
    button = desk.transcript.overlays.widget(2, "code")
    assert isinstance(button, QToolButton)
    button.click()
    assert QApplication.clipboard().text() == "def f():\n    return 1"


def test_code_is_coloured_in_the_themes_colours(desk: Desk) -> None:
    show(desk, "q", "```python\ndef f():\n    return 1\n```")
    block = desk.transcript.content.entries[-1].code[0].frame.firstCursorPosition().block().next()
    desk.until(lambda: block.layout().formats())
    first = block.layout().formats()[0]
    assert first.start == 0
    assert first.length == 3
    assert first.format.foreground().color() == desk.theme.color("syntax_keyword")


def test_spans_count_lines_and_utf16_units() -> None:
    spans = highlight('x = "😀"\nreturn_ = None', "python")
    strings = [span for span in spans if span.token == "syntax_string"]
    assert {span.line for span in strings} == {0}
    assert sum(span.length for span in strings) == 4  # two quotes and a surrogate pair
    assert any(span.line == 1 and span.token == "syntax_keyword" for span in spans)
    assert highlight("anything", "no-such-language") == []


def test_200_messages_are_shown_at_once_and_the_rest_on_demand(desk: Desk) -> None:
    row = desk.chat.add("Long", *[f"Message {number}" for number in range(SHOWN + 50)])
    began = time.monotonic()
    desk.page.open(row.id)
    desk.until(lambda: f"Message {SHOWN + 49}" in desk.text)
    assert time.monotonic() - began < 1.0
    desk.until(lambda: len(desk.transcript.messages) == SHOWN)
    assert desk.transcript.messages[0].text == "Message 50"
    assert desk.transcript.following
    desk.transcript.verticalScrollBar().setValue(0)
    desk.transcript.arrange()
    button = desk.transcript.overlays.widget(0, "earlier", 50)
    assert "50" in button.accessibleName()
    button.click()  # type: ignore[attr-defined]
    desk.until(lambda: len(desk.transcript.messages) == SHOWN + 50)
    assert desk.transcript.messages[0].text == "Message 0"


def test_200_rich_messages_render_in_slices_that_do_not_hold_the_window_up(desk: Desk) -> None:
    row = desk.chat.add("Long", *[RICH if number % 2 else "Question" for number in range(SHOWN)])
    desk.page.open(row.id)
    desk.until(lambda: desk.transcript.messages)
    slowest = 0.0
    began = time.monotonic()
    while len(desk.transcript.messages) < SHOWN:
        tick = time.monotonic()
        QApplication.processEvents()
        slowest = max(slowest, time.monotonic() - tick)
        assert time.monotonic() - began < 20
    assert slowest < 0.5


def test_a_search_hit_is_brought_into_view_with_its_words_marked(desk: Desk) -> None:
    texts = [f"Message {number}\n\nand more\n\nand more" for number in range(120)]
    texts[31] = "Here is the needle in the hay."
    row = desk.chat.add("Hay", *texts)
    desk.open(row.id)
    desk.until(lambda: len(desk.transcript.messages) == 120)
    desk.transcript.reveal(32, ["needle"])
    marks = desk.transcript.extraSelections()
    assert [mark.cursor.selectedText() for mark in marks] == ["needle"]
    assert not desk.transcript.following
    assert desk.transcript.messages[31] in [entry.message for entry in desk.transcript.visible()]


def test_a_theme_change_in_mid_answer_loses_nothing(desk: Desk) -> None:
    desk.chat.delay = 0.005
    desk.chat.script = [f"w{number} " for number in range(400)]
    desk.type("Go")
    desk.until(lambda: "w20 " in desk.text)
    desk.theme.set_mode("dark")
    desk.until(lambda: not desk.page.generating)
    desk.settle()
    assert desk.text.split()[1:] == [f"w{number}" for number in range(400)]


def test_a_narrow_window_keeps_bubbles_within_the_column(desk: Desk) -> None:
    show(desk, "A question that is long enough to need the whole width of a narrow column, or more.", "Yes.")
    desk.window.resize(700, 600)
    desk.until(lambda: desk.transcript.lineWrapColumnOrWidth() < 420)
    bubble = desk.transcript.content.entries[0].bubble
    assert bubble is not None
    rect = desk.transcript.content.rect(bubble)
    assert rect.left() >= 0
    assert rect.right() <= desk.transcript.content.column

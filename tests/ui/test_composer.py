from collections.abc import Iterator

import pytest
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from localai_app.ui.chat.composer import MOST_LINES, Composer
from localai_app.ui.theme import Theme


@pytest.fixture
def composer(qtbot: QtBot, theme: Theme) -> Iterator[Composer]:
    made = Composer(theme)
    made.resize(600, 120)
    made.show()
    qtbot.waitExposed(made)
    made.edit.setFocus()
    made.sent = []  # type: ignore[attr-defined]
    made.send_requested.connect(made.sent.append)  # type: ignore[attr-defined]
    yield made
    made.close()
    made.deleteLater()


def test_enter_sends_and_empties_the_field(composer: Composer) -> None:
    QTest.keyClicks(composer.edit, "Hello")
    QTest.keyClick(composer.edit, Qt.Key.Key_Return)
    assert composer.sent == ["Hello"]  # type: ignore[attr-defined]
    assert composer.text == ""


def test_shift_enter_breaks_the_line(composer: Composer) -> None:
    QTest.keyClicks(composer.edit, "one")
    QTest.keyClick(composer.edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(composer.edit, "two")
    assert composer.text == "one\ntwo"
    assert composer.sent == []  # type: ignore[attr-defined]


def test_with_ctrl_enter_as_send_key_enter_breaks_the_line(composer: Composer) -> None:
    composer.edit.send_with_ctrl = True
    QTest.keyClicks(composer.edit, "one")
    QTest.keyClick(composer.edit, Qt.Key.Key_Return)
    assert composer.text == "one\n"
    QTest.keyClick(composer.edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert composer.sent == ["one"]  # type: ignore[attr-defined]


def test_white_space_is_not_sent(composer: Composer) -> None:
    QTest.keyClicks(composer.edit, "   ")
    QTest.keyClick(composer.edit, Qt.Key.Key_Return)
    assert composer.sent == []  # type: ignore[attr-defined]
    assert not composer._button.isEnabled()


def test_send_becomes_stop_and_enter_does_not_send_meanwhile(composer: Composer) -> None:
    stops: list[None] = []
    composer.stop_requested.connect(lambda: stops.append(None))
    composer.set_generating(True)
    assert composer._button.accessibleName() == "Stop"
    QTest.keyClicks(composer.edit, "next")
    QTest.keyClick(composer.edit, Qt.Key.Key_Return)
    assert composer.sent == []  # type: ignore[attr-defined]
    composer._button.click()
    QTest.keyClick(composer.edit, Qt.Key.Key_Escape)
    assert len(stops) == 2
    assert composer.text == "next"


def test_up_in_an_empty_field_asks_for_the_last_message(composer: Composer) -> None:
    asked: list[None] = []
    composer.recall_requested.connect(lambda: asked.append(None))
    QTest.keyClick(composer.edit, Qt.Key.Key_Up)
    QTest.keyClicks(composer.edit, "x")
    QTest.keyClick(composer.edit, Qt.Key.Key_Up)
    assert len(asked) == 1


def test_the_field_grows_to_its_limit_and_no_further(composer: Composer) -> None:
    heights = []
    for lines in (1, 2, 5, MOST_LINES, MOST_LINES + 10):
        composer.set_text("\n".join(["line"] * lines))
        heights.append(composer.edit.height())
    assert heights[0] < heights[1] < heights[2] < heights[3]
    assert heights[3] == heights[4]
    composer.set_text("")
    assert composer.edit.height() == heights[0]


def test_a_long_line_wraps_and_grows_the_field(composer: Composer) -> None:
    one = composer.edit.height()
    composer.set_text("words " * 60)
    assert composer.edit.height() > one


def test_pasted_files_and_markup_become_text_or_nothing(composer: Composer) -> None:
    data = QMimeData()
    data.setHtml("<b>bold</b>")
    data.setText("bold")
    composer.edit.insertFromMimeData(data)
    files = QMimeData()
    files.setUrls([QUrl("file:///etc/passwd")])
    composer.edit.insertFromMimeData(files)
    assert composer.text in ("bold", "boldfile:///etc/passwd")


def test_what_was_written_comes_back_after_editing(composer: Composer) -> None:
    edits: list[tuple[int, str]] = []
    composer.edit_submitted.connect(lambda number, text: edits.append((number, text)))
    composer.set_text("a draft")
    composer.begin_edit(7, "old question")
    assert composer.draft == "a draft"
    composer.set_text("new question")
    QTest.keyClick(composer.edit, Qt.Key.Key_Return)
    assert edits == [(7, "new question")]
    assert composer.text == "a draft"
    assert composer.editing is None

import threading
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget

from localai_app.chat.conversation import Parameters, Role, Status
from localai_app.errors import EngineExited, UsageError
from localai_app.governance.policy import Policy
from localai_app.ui.chat.overlays import MessageActions
from localai_app.ui.chat.page import ChatPage
from tests.ui.conftest import Desk


def actions(desk: Desk, message_id: int) -> MessageActions:
    desk.transcript.arrange()
    line = desk.transcript.overlays.widget(message_id, "actions")
    assert isinstance(line, MessageActions)
    return line


def press(widget: QWidget, name: str) -> None:
    buttons = [b for b in widget.findChildren(QAbstractButton) if b.accessibleName() == name]
    assert len(buttons) == 1, name
    buttons[0].click()


def test_the_first_message_makes_a_chat_and_is_answered(desk: Desk) -> None:
    desk.send("May I?")
    assert desk.page.current_id == 1
    assert "May I?" in desk.text
    assert "Yes, certainly." in desk.text
    assert desk.page.composer.text == ""
    assert [desk.page.sidebar.chats.index(0).data()] == ["May I?"]
    assert desk.page.composer._button.accessibleName() == "Send"


def test_a_second_message_goes_to_the_same_chat(desk: Desk) -> None:
    desk.send("One")
    desk.send("Two")
    assert [message.text for message in desk.transcript.messages] == [
        "One",
        "Yes, certainly.",
        "Two",
        "Yes, certainly.",
    ]
    assert desk.page.sidebar.chats.rowCount() == 1


def test_no_service_call_runs_in_the_ui_thread(desk: Desk) -> None:
    desk.send("One")
    desk.page.sidebar.search_field.setText("One")
    desk.until(lambda: "search" in desk.chat.calls)
    desk.page.trash()
    desk.settle()
    assert threading.main_thread().name not in desk.chat.threads
    assert {"create", "send", "path", "search", "trash"} <= set(desk.chat.calls)


def test_text_shows_while_it_is_written_and_stop_keeps_it(desk: Desk) -> None:
    desk.chat.delay = 0.01
    desk.chat.script = [f"word{number} " for number in range(5000)]
    desk.type("Write a lot")
    desk.until(lambda: "word5" in desk.text)
    assert desk.page.generating
    assert desk.transcript.status[0].startswith(("writing", "loading", "reading"))
    assert desk.page.composer._button.accessibleName() == "Stop"
    QTest.keyClick(desk.page.composer.edit, Qt.Key.Key_Escape)
    desk.settle()
    last = desk.transcript.messages[-1]
    assert last.status is Status.STOPPED
    assert "word5" in last.text
    assert "stopped" in actions(desk, last.id).figures


def test_stop_before_the_first_token_is_kept_in_mind(desk: Desk) -> None:
    desk.chat.gate.clear()
    desk.type("Hello")
    desk.page.stop()
    desk.settle()
    assert desk.transcript.messages[-1].status is Status.STOPPED


def test_answer_again_adds_a_branch_and_both_can_be_seen(desk: Desk) -> None:
    desk.send("Which?")
    first = desk.transcript.messages[-1].id
    desk.chat.script = ["Another", " answer"]
    QTest.keyClick(desk.window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    desk.until(lambda: "Another answer" in desk.text)
    desk.settle()
    assert "certainly" not in desk.text
    second = desk.transcript.messages[-1]
    assert second.branch == (2, 2)
    press(actions(desk, second.id), "Earlier version")
    desk.until(lambda: "certainly" in desk.text)
    assert desk.transcript.messages[-1].id == first
    assert "Another" not in desk.text
    press(actions(desk, first), "Later version")
    desk.until(lambda: "Another answer" in desk.text)


def test_editing_asks_again_and_keeps_the_first_version(desk: Desk) -> None:
    desk.send("Frist question")
    desk.page.composer.set_text("a draft")
    QTest.keyClick(desk.window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    assert desk.page.composer.editing == desk.transcript.messages[0].id
    assert desk.page.composer.text == "Frist question"
    desk.page.composer.set_text("")
    desk.type("First question")
    desk.until(lambda: "First question" in desk.text)
    desk.settle()
    question = desk.transcript.messages[0]
    assert question.branch == (2, 2)
    assert "Frist" not in desk.text
    assert desk.page.composer.text == "a draft"
    press(actions(desk, question.id), "Earlier version")
    desk.until(lambda: "Frist question" in desk.text)


def test_escape_leaves_editing_and_changes_nothing(desk: Desk) -> None:
    desk.send("Question")
    desk.page.edit()
    desk.type(" changed", Qt.Key.Key_Escape)
    assert desk.page.composer.editing is None
    assert desk.page.composer.text == ""
    assert "edit" not in desk.chat.calls


def test_the_pencil_under_an_answer_edits_its_question(desk: Desk) -> None:
    desk.send("One")
    desk.send("Two")
    press(actions(desk, desk.transcript.messages[1].id), "Edit the question")
    assert desk.page.composer.text == "One"


def test_a_stopped_answer_can_be_continued(desk: Desk) -> None:
    row = desk.chat.add("Cut", "Question", "Half an")
    desk.chat.save(2, status=Status.CUT_OFF)
    desk.open(row.id)
    desk.chat.script = [" answer."]
    press(actions(desk, 2), "Continue")
    desk.until(lambda: "Half an answer." in desk.text)
    desk.settle()
    assert desk.transcript.messages[-1].status is Status.COMPLETE


def test_a_failed_answer_says_why_and_can_be_tried_again(desk: Desk) -> None:
    desk.chat.script = ["Half"]
    desk.chat.failure = EngineExited("The engine stopped.", "Choose a smaller model.")
    desk.send("Question")
    assert "The engine stopped. Choose a smaller model." in desk.text
    assert "Half" in desk.text
    desk.chat.failure = None
    desk.chat.script = ["Whole"]
    press(actions(desk, desk.transcript.messages[-1].id), "Try again")
    desk.until(lambda: "Whole" in desk.text)
    assert "The engine stopped" not in desk.text


def test_a_refused_message_comes_back_as_a_line_and_the_window_goes_on(desk: Desk) -> None:
    desk.chat.refusal = UsageError("This is refused.", "Ask your administrator.")
    desk.type("Hello")
    desk.settle()
    assert desk.window.toast.text == "This is refused. Ask your administrator."
    assert not desk.page.generating
    desk.chat.refusal = None
    desk.send("Hello again")
    assert "Yes, certainly." in desk.text


def test_a_refused_message_is_not_lost(desk: Desk) -> None:
    desk.chat.refusal = UsageError("This is refused.")
    desk.type("A long and careful question")
    desk.settle()
    assert desk.page.composer.text == "A long and careful question"


def test_an_answer_goes_on_while_another_chat_is_shown(desk: Desk) -> None:
    other = desk.chat.add("Other", "Other question", "Other answer")
    desk.page.sidebar.load()
    desk.settle()
    desk.chat.gate.clear()
    desk.type("Slow question")
    desk.until(lambda: desk.page.current_id is not None)
    slow = desk.page.current_id
    desk.page.open(other.id)
    desk.until(lambda: "Other answer" in desk.text)
    assert not desk.page.generating
    desk.page.open(slow)
    desk.until(lambda: "Slow question" in desk.text)
    assert desk.page.generating
    desk.chat.gate.set()
    desk.until(lambda: "Yes, certainly." in desk.text)
    desk.settle()


def test_coming_back_to_an_answer_under_way_shows_what_came_meanwhile(desk: Desk) -> None:
    other = desk.chat.add("Other", "Other question", "Other answer")
    desk.chat.delay = 0.005
    desk.chat.script = [f"w{number} " for number in range(2000)]
    desk.type("Slow question")
    desk.until(lambda: "w5 " in desk.text)
    slow = desk.page.current_id
    desk.page.open(other.id)
    desk.until(lambda: "Other answer" in desk.text)
    desk.page.open(slow)
    desk.until(lambda: "w30 " in desk.text)
    words = desk.text.split("Slow question")[1].split()
    assert words[:30] == [f"w{number}" for number in range(30)]
    desk.page.stop()
    desk.settle()


def test_each_chat_keeps_its_draft(desk: Desk) -> None:
    one, two = desk.chat.add("One", "a", "b"), desk.chat.add("Two", "c", "d")
    desk.open(one.id)
    desk.type("half a thought", None)
    desk.open(two.id)
    assert desk.page.composer.text == ""
    desk.open(one.id)
    assert desk.page.composer.text == "half a thought"


def test_thumbs_are_kept_and_can_be_taken_back(desk: Desk) -> None:
    desk.send("Question")
    answer = desk.transcript.messages[-1].id
    thumbs = actions(desk, answer).thumbs
    thumbs[1].click()
    desk.settle()
    assert desk.chat.messages[answer].feedback == 1
    thumbs[-1].click()
    desk.settle()
    assert desk.chat.messages[answer].feedback == -1
    assert not thumbs[1].isChecked()
    thumbs[-1].click()
    desk.settle()
    assert desk.chat.messages[answer].feedback == 0


def test_copy_puts_the_answers_own_markdown_on_the_clipboard(desk: Desk) -> None:
    row = desk.chat.add("Copy", "Question", "<think>hm</think>\n\nThe **answer**.")
    desk.open(row.id)
    press(actions(desk, 2), "Copy")
    assert QApplication.clipboard().text() == "The **answer**."


def test_the_context_in_the_header_is_that_of_the_last_answer(desk: Desk) -> None:
    desk.send("Question")
    assert desk.window.header.context.text == "724 / 8,192"
    desk.page.new_chat()
    assert desk.window.header.context.text == "0 / 8,192"


def test_parameters_set_before_the_first_message_belong_to_the_new_chat(desk: Desk) -> None:
    desk.page.composer.panel_button.click()
    assert desk.page.panel.isVisible()
    desk.page.panel.widget("temperature").setValue(0.3)  # type: ignore[attr-defined]
    desk.page.panel._prompt_edit.setPlainText("Be brief.")
    desk.send("Hello")
    row = desk.chat.rows[1]
    assert row.parameters == Parameters(temperature=0.3)
    assert row.system_prompt == "Be brief."


def test_parameters_of_a_chat_are_saved_before_the_next_message_is_sent(desk: Desk) -> None:
    desk.send("Hello")
    desk.page.panel.widget("top_k").setValue(7)  # type: ignore[attr-defined]
    desk.send("Again")
    assert desk.chat.rows[1].parameters == Parameters(top_k=7)
    calls = desk.chat.calls
    assert calls.index("set_parameters") < len(calls) - 1 - calls[::-1].index("send")


def test_a_chat_in_the_trash_offers_restore_instead_of_the_composer(desk: Desk) -> None:
    desk.send("Hello")
    desk.page.trash()
    desk.settle()
    desk.page.sidebar.show_trash()
    desk.settle()
    desk.page.open(1)
    desk.until(lambda: "Hello" in desk.text)
    assert not desk.page.composer.isVisible()
    desk.page.pane.notice.restore_button.click()
    desk.settle()
    assert desk.chat.rows[1].trashed is None
    assert desk.page.composer.isVisible()


def test_a_base_model_is_named_as_one(desk: Desk) -> None:
    desk.models.base = True
    desk.models.load()
    desk.window._model.look()
    desk.settle()
    assert "base model" in desk.page.empty.note
    desk.send("Once upon a time")
    assert "base model" in desk.page.pane.notice.words.text()
    assert desk.page.pane.notice.isVisible()


def test_the_starter_model_is_called_tiny_and_no_model_says_what_to_do(desk: Desk) -> None:
    assert "tiny" in desk.page.empty.note
    desk.models.current = desk.models.info = None
    desk.window._model.look()
    desk.settle()
    assert "Put a GGUF file into" in desk.page.empty.note


def test_an_example_prompt_starts_a_chat(desk: Desk) -> None:
    assert len(desk.page.empty.examples) == 3
    desk.page.empty.examples[0].click()
    desk.settle()
    assert desk.transcript.messages[0].role is Role.USER
    assert len(desk.transcript.messages) == 2


def test_a_link_is_shown_whole_and_copied_only_when_confirmed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    answer = [False]
    monkeypatch.setattr(
        "localai_app.ui.chat.pane.ask_to_copy", lambda _, __, at: asked.append(at) or answer[0]
    )
    QGuiApplication.clipboard().setText("before")
    desk.transcript.link_activated.emit("https://example.org/a?b=c")
    desk.settle()
    assert asked == ["https://example.org/a?b=c"]
    assert QGuiApplication.clipboard().text() == "before"
    answer[0] = True
    desk.transcript.link_activated.emit("https://example.org/a?b=c")
    desk.settle()
    assert QGuiApplication.clipboard().text() == "https://example.org/a?b=c"
    assert "copied" in desk.window.toast.text


def test_where_links_are_not_allowed_none_is_offered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localai_app.ui.chat.pane.ask_to_copy", lambda *_: pytest.fail("it was offered"))
    desk.chat.links_allowed = False
    desk.transcript.link_activated.emit("https://example.org/a?b=c")
    desk.settle()
    assert "does not allow opening links" in desk.window.toast.text


def test_a_saved_copy_is_written_where_the_person_says(
    desk: Desk, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.md"  # type: ignore[operator]
    monkeypatch.setattr("localai_app.ui.chat.page.QFileDialog.getSaveFileName", lambda *_: (str(target), ""))
    desk.send("Hello")
    desk.page._export(1, "md")
    desk.settle()
    assert target.read_bytes() == b"# a copy"
    assert "Saved copy.md" in desk.window.toast.text


def test_closing_stops_what_is_written(desk: Desk) -> None:
    desk.chat.delay = 0.01
    desk.chat.script = ["w "] * 5000
    desk.type("Long")
    desk.until(lambda: desk.page.generating and desk.page.current_id)
    desk.window.close()
    desk.until(lambda: not desk.jobs.busy)
    assert next(m for m in desk.chat.messages.values() if m.role is Role.ASSISTANT).status is Status.STOPPED


def test_feedback_survives_a_new_message(desk: Desk) -> None:
    desk.send("Question")
    answer = desk.transcript.messages[-1]
    actions(desk, answer.id).thumbs[1].click()
    desk.settle()
    desk.send("Next")
    assert actions(desk, answer.id).thumbs[1].isChecked()
    assert replace(answer, feedback=1) != answer


def test_the_page_needs_nothing_but_the_service(desk: Desk) -> None:
    assert isinstance(desk.page, ChatPage)
    assert not hasattr(desk.page, "database")


def test_copying_is_locked_where_policy_forbids_it(desk: Desk) -> None:
    locks = desk.page.transcript.locks
    assert locks is not None
    locks.policy = Policy({"AllowClipboard": False})
    desk.send("Hello")
    answer = desk.transcript.messages[-1]
    copy = actions(desk, answer.id).copy_button
    assert copy is not None
    assert not copy.isEnabled()
    assert "AllowClipboard" in copy.toolTip()
    entry = desk.transcript.content.entries[-1]
    menu = desk.transcript.menu(entry)
    locked = [action.text() for action in menu.actions() if not action.isEnabled() and action.text()]
    assert locked == ["Copy message"]
    menu.deleteLater()

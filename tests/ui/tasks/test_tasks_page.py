from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QMimeData, QObject, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu, QWidget

from localai_app.documents.document import Collection, Scope
from localai_app.errors import AnotherModel, PolicyRefused, UsageError
from localai_app.tasks.answer import AnswerOptions
from localai_app.tasks.classify import ClassifyOptions, Label
from localai_app.tasks.extract import ExtractOptions
from localai_app.tasks.run import Run, RunProgress, RunState
from localai_app.tasks.summarise import SummariseOptions
from localai_app.ui.tasks.document_picker import DocumentPicker
from localai_app.ui.tasks.grid_model import Filter
from localai_app.ui.tasks.new_task import NewTask
from localai_app.ui.tasks.page import TasksPage
from localai_app.ui.tasks.run_view import RunView
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.dialogs import Question
from tests.ui.conftest import Desk
from tests.ui.fake_documents import FakeDocuments
from tests.ui.fake_tasks import invoice
from tests.ui.test_main_window import nameless

CTRL = Qt.KeyboardModifier.ControlModifier


def begin(desk: Desk, page: TasksPage, kind: str, scope: Scope | None = None) -> NewTask:
    """A new task whose documents are listed."""
    page.begin(scope, kind)
    assert page.new_task is not None
    desk.settle()
    return page.new_task


def priced(desk: Desk, new: NewTask) -> str:
    """The price, once it is there."""
    desk.until(lambda: not new._timer.isActive() and not desk.jobs.busy and new.price.text())
    desk.settle()
    return new.price.text()


def labels_of(menu: QMenu) -> list[str]:
    return [action.text() for action in menu.actions() if action.text()]


# ---------------------------------------------------------------- all tasks


def test_the_rail_leads_to_the_tasks_and_the_page_is_made_then(desk: Desk) -> None:
    assert desk.window.tasks_page is None
    desk.window._rail.buttons["tasks"].click()
    assert desk.window.tasks_page is not None
    assert desk.window.tasks_page.isVisible()


def test_ctrl_shift_t_leads_to_the_tasks(desk: Desk) -> None:
    QTest.keyClick(desk.window, Qt.Key.Key_T, CTRL | Qt.KeyboardModifier.ShiftModifier)
    assert desk.window._page == "tasks"


def test_before_the_first_task_the_page_says_what_tasks_are_for(page: TasksPage) -> None:
    assert page.home.cards.isVisible()
    assert [card.kind for card in page.home.cards.cards] == ["summarise", "extract", "classify", "answer"]
    assert not page.home.view.isVisible()
    assert page.home.hasFocus()
    QTest.keyClick(page.home, Qt.Key.Key_Tab)
    assert page.home.cards.cards[0].hasFocus()


def test_kinds_that_policy_forbids_are_not_offered(desk: Desk, library: FakeDocuments) -> None:
    desk.tasks.allowed = [kind for kind in desk.tasks.allowed if kind.name != "classify"]
    desk.window.show_tasks()
    desk.settle()
    page = desk.window.tasks_page
    assert page is not None
    assert [card.kind for card in page.home.cards.cards] == ["summarise", "extract", "answer"]


def test_a_card_begins_a_task_of_its_kind(desk: Desk, page: TasksPage) -> None:
    page.home.cards.cards[3].click()
    desk.settle()
    assert page.new_task is not None
    assert page.new_task.isVisible()
    assert [card.kind for card in page.new_task.cards.cards if card.isChecked()] == ["answer"]


def test_runs_are_listed_newest_first_with_their_state_in_words(desk: Desk, page: TasksPage) -> None:
    desk.tasks.put("Summarise · Short", invoice("A", "2026-01-01", 1.0), finished=datetime.now(UTC))
    running = desk.tasks.put("Extract · Invoice", "Broken.", None, state=RunState.RUNNING)
    desk.tasks.now = RunProgress(running.id, 1, 2, 0.5, 1080.0, "invoice-2.pdf")
    desk.tasks.tell()
    desk.until(lambda: len(page.home.view.rows.rows) == 2 and page.home.view.rows.rows[0].state)
    first, second = page.home.view.rows.rows
    assert [first.title, second.title] == ["Extract · Invoice", "Summarise · Short"]
    assert [first.cells[0].text, second.cells[0].text] == ["running", "done"]
    assert (first.cells[1].text, first.cells[1].under) == ("1 of 2", "1 failed")
    assert (first.state, first.progress) == ("18 min left", 0.5)


def test_a_click_opens_a_run_and_escape_leads_back(desk: Desk, page: TasksPage, run: Run) -> None:
    desk.until(lambda: page.home.view.isVisible() and page.home.view.rows.rows)
    view = page.home.view
    place = view.visualRect(view.rows.index(0)).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert page.run_view is not None
    assert page.run_view.isVisible()
    desk.settle()
    QTest.keyClick(page.run_view.grid, Qt.Key.Key_Escape)
    assert page.home.isVisible()


def test_a_run_goes_to_the_trash_and_comes_back(desk: Desk, page: TasksPage, run: Run) -> None:
    desk.until(lambda: page.home.view.rows.rows)
    page.home.view.choose(run.id)
    QTest.keyClick(page.home.view, Qt.Key.Key_Delete)
    desk.settle()
    assert desk.window.toast.text == "Moved to the trash: 1 task."
    assert not page.home.runs
    desk.window.toast.act()
    desk.until(lambda: run.id in page.home.runs)


def test_the_trash_restores_and_erases_for_good(
    desk: Desk, page: TasksPage, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.tasks.put("Summarise · Short", None)
    desk.tasks.remove([run.id, 2])
    desk.until(lambda: not page.home.runs)
    page.home.trash_button.click()
    desk.until(lambda: len(page.home.trashed) == 2)
    page.home.view.acted.emit(2)
    desk.until(lambda: list(page.home.trashed) == [run.id])
    asked: list[str] = []

    def accept(dialog: Question) -> Question.DialogCode:
        asked.append(dialog.text)
        return Question.DialogCode.Accepted

    monkeypatch.setattr(Question, "exec", accept)
    page.home.erase_button.click()
    desk.until(lambda: not page.home.trashed)
    assert "cannot be undone" in asked[0]
    assert list(desk.tasks.all_runs) == [2]
    QTest.keyClick(page.home, Qt.Key.Key_Escape)
    assert not page.home.in_trash


# ---------------------------------------------------------------- a new task


def test_a_task_for_a_collection_is_priced_and_started_with_ctrl_return(
    desk: Desk, page: TasksPage, collection: Collection
) -> None:
    scope = Scope(collections=(collection.id,))
    new = begin(desk, page, "summarise", scope)
    line = priced(desk, new)
    assert line.startswith("3 documents, 9 pages: about 2 h, done at ")
    QTest.keyClick(new.cards.cards[0], Qt.Key.Key_Return, CTRL)
    desk.settle()
    (kind, options, started, settings) = desk.tasks.started[0]
    assert (kind, options, started) == ("summarise", SummariseOptions(), scope)
    assert (settings.deterministic, settings.not_before, settings.keep_awake) == (False, None, True)
    assert page.run_view is not None
    assert page.run_view.isVisible()
    assert page.run_view.title.text() == "Summarise · Medium"


def test_the_price_follows_what_is_chosen(desk: Desk, page: TasksPage) -> None:
    new = begin(desk, page, "summarise", Scope(documents=(1, 2)))
    assert priced(desk, new).startswith("2 documents, 6 pages")
    new.form.length.setCurrentIndex(3)  # type: ignore[attr-defined]
    new.form.points.setValue(9)  # type: ignore[attr-defined]
    desk.until(lambda: len(desk.tasks.priced) == 2)
    priced(desk, new)
    assert desk.tasks.priced[-1][1] == SummariseOptions(length=9)
    assert len(desk.tasks.priced) == 2


def test_run_tonight_counts_from_tonight(desk: Desk, page: TasksPage) -> None:
    desk.tasks.hour = datetime.now().astimezone() + timedelta(days=2)
    new = begin(desk, page, "summarise", Scope())
    new.tonight.setChecked(True)
    new.exact.setChecked(True)
    new.awake.setChecked(False)
    done = (desk.tasks.hour + timedelta(hours=2)).strftime("%a %H:%M")
    assert priced(desk, new).endswith(f"done at {done}")
    new.start_button.click()
    desk.settle()
    settings = desk.tasks.started[0][3]
    assert (settings.deterministic, settings.not_before, settings.keep_awake) == (
        True,
        desk.tasks.hour,
        False,
    )


def test_what_is_not_ready_is_told_with_the_price(desk: Desk, page: TasksPage) -> None:
    desk.tasks.not_ready = (("scan.pdf", "A password is needed."), ("b.pdf", "x"))
    new = begin(desk, page, "summarise", Scope())
    priced(desk, new)
    assert new.left_out.isVisible()
    assert new.left_out.text() == "Not ready: scan.pdf. A password is needed. 1 more is not ready."


def test_nothing_starts_before_what_is_missing_is_there(desk: Desk, page: TasksPage) -> None:
    new = begin(desk, page, "answer", Scope())
    assert new.price.text() == "Write the question."
    assert not new.start_button.isEnabled()
    QTest.keyClick(new.cards.cards[0], Qt.Key.Key_Return, CTRL)
    new.form.question.setPlainText("Which law governs?")  # type: ignore[attr-defined]
    assert new.start_button.isEnabled()
    new.form.form.setCurrentIndex(new.form.form.findData("one_of"))  # type: ignore[attr-defined]
    assert not new.start_button.isEnabled()
    new.form.choices.setPlainText("German law\n\nEnglish law\nGerman law")  # type: ignore[attr-defined]
    new.start_button.click()
    desk.settle()
    assert [each[1] for each in desk.tasks.started] == [
        AnswerOptions("Which law governs?", "one_of", ("German law", "English law"))
    ]


def test_labels_are_typed_pasted_and_taken_away(desk: Desk, page: TasksPage) -> None:
    new = begin(desk, page, "classify", Scope())
    table = new.form.labels  # type: ignore[attr-defined]
    assert new.price.text() == "Name at least two labels."
    name = table.rows[0][0]
    name.setFocus()
    QTest.keyClicks(name, "Complaint")
    QTest.keyClick(name, Qt.Key.Key_Return)
    assert table.rows[1][0].hasFocus()
    QGuiApplication.clipboard().setText("Order\tSomebody buys\nQuestion\n\nOffer")
    QTest.keyClick(table.rows[1][0], Qt.Key.Key_V, CTRL)
    assert [each["name"] for each in table.labels] == ["Complaint", "Order", "Question", "Offer"]
    table.rows[3][2].click()
    new.form.threshold.setValue(75)  # type: ignore[attr-defined]
    new.form.other.setText("Order")  # type: ignore[attr-defined]
    assert new.price.text() == "Two labels have the same name."
    new.form.other.setText("Other")  # type: ignore[attr-defined]
    new.start_button.click()
    desk.settle()
    assert desk.tasks.started[0][1] == ClassifyOptions(
        (Label("Complaint"), Label("Order", "Somebody buys"), Label("Question")),
        threshold=0.75,
        other="Other",
    )


def test_a_template_that_is_changed_becomes_fields_of_ones_own(desk: Desk, page: TasksPage) -> None:
    new = begin(desk, page, "extract", Scope())
    form = new.form
    names = [form.template.itemText(at) for at in range(form.template.count())]  # type: ignore[attr-defined]
    assert names == ["Invoice", "Contract key terms", "Bank statement", "Fields of your own"]
    assert not desk.tasks.allows("extract.medical-letter")
    assert form.options() == {"template": "invoice"}
    fields = form.editor.fields  # type: ignore[attr-defined]
    form.editor.fields = fields[:2]  # type: ignore[attr-defined]
    form.editor.changed.emit()  # type: ignore[attr-defined]
    assert form.template.currentText() == "Fields of your own"  # type: ignore[attr-defined]
    new.start_button.click()
    desk.settle()
    assert desk.tasks.started[0][1] == ExtractOptions(fields=fields[:2], title="Invoice")


def test_a_refusal_is_told_and_nothing_is_lost(desk: Desk, page: TasksPage) -> None:
    new = begin(desk, page, "summarise", Scope())
    priced(desk, new)
    desk.tasks.refusal = PolicyRefused(
        "Your organisation does not allow this task.", "Ask your administrator."
    )
    new.start_button.click()
    desk.settle()
    assert desk.window.toast.text == "Your organisation does not allow this task. Ask your administrator."
    assert new.isVisible()
    assert new.start_button.isEnabled()
    new.start_button.click()
    desk.settle()
    assert len(desk.tasks.started) == 1


def test_a_price_that_cannot_be_told_says_why(desk: Desk, page: TasksPage) -> None:
    desk.tasks.refusal = UsageError("There is no model.", "Choose one.")
    new = begin(desk, page, "summarise", Scope())
    assert priced(desk, new) == "There is no model. Choose one."


def test_start_is_pressed_twice_and_one_task_begins(desk: Desk, page: TasksPage) -> None:
    new = begin(desk, page, "summarise", Scope())
    priced(desk, new)
    desk.tasks.gate.clear()
    new.start()
    new.start()
    desk.tasks.gate.set()
    desk.settle()
    assert len(desk.tasks.started) == 1


def drop(widget: QWidget, *names: str) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(name) for name in names])
    modifiers, button = Qt.KeyboardModifier.NoModifier, Qt.MouseButton.LeftButton
    event = QDropEvent(QPointF(20, 20), Qt.DropAction.CopyAction, data, button, modifiers)
    widget.dropEvent(event)


def test_dropped_files_are_added_and_chosen(desk: Desk, page: TasksPage) -> None:
    drop(page, "/elsewhere/a.pdf", "/elsewhere/b.pdf")
    desk.settle()
    new = page.new_task
    assert new is not None
    assert new.isVisible()
    desk.until(lambda: new.documents.model.rowCount() == 2)
    assert new.documents.scope == Scope(documents=(5, 6))
    drop(new.documents, "/elsewhere/c.pdf")
    desk.until(lambda: new.documents.model.rowCount() == 3)
    assert new.documents.scope == Scope(documents=(5, 6, 7))


def test_documents_are_picked_from_the_library_and_left_out_again(
    desk: Desk, page: TasksPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = begin(desk, page, "summarise", Scope())

    def pick(dialog: DocumentPicker) -> DocumentPicker.DialogCode:
        dialog.show()
        assert nameless(dialog) == []
        assert not dialog.accept_button.isEnabled()
        dialog.field.setText("-2")
        dialog.all_button.click()
        dialog.field.setText("-4")
        dialog.all_button.click()
        dialog.field.clear()
        assert dialog.count.text() == "2 documents chosen"
        return DocumentPicker.DialogCode.Accepted

    monkeypatch.setattr(DocumentPicker, "exec", pick)
    new.documents.pick_button.click()
    assert new.documents.scope == Scope(documents=(2, 4))
    new.documents.list.choose([2], current=2)
    QTest.keyClick(new.documents.list, Qt.Key.Key_Delete)
    assert new.documents.scope == Scope(documents=(4,))


def test_a_document_that_is_removed_elsewhere_is_not_chosen_any_more(desk: Desk, page: TasksPage) -> None:
    new = begin(desk, page, "summarise", Scope(documents=(1, 2)))
    desk.documents.remove([1])
    desk.until(lambda: new.documents.scope == Scope(documents=(2,)))


def test_the_documents_page_leads_to_a_task_for_what_is_chosen(desk: Desk, library: FakeDocuments) -> None:
    desk.window.show_documents()
    desk.settle()
    documents = desk.window.documents_page
    assert documents is not None
    side = documents.sidebar
    assert "Task…" in labels_of(side._document_menu([1, 3]))
    side.document_list.choose([1, 3], current=1)
    side.task_button.click()
    desk.settle()
    page = desk.window.tasks_page
    assert page is not None
    assert page.isVisible()
    assert page.new_task is not None
    assert page.new_task.documents.scope == Scope(documents=(1, 3))
    side.choose_collection(1)
    side.task_button.click()
    desk.settle()
    assert page.new_task.documents.scope == Scope(collections=(1,))


# ---------------------------------------------------------------- a run


def test_a_run_shows_its_title_where_and_how_far_it_is(view: RunView) -> None:
    assert view.title.text() == "Extract · Invoice"
    assert view.where.text() == "Invoices · 4 documents"
    assert view.card.count.text() == "4 of 4"
    assert [button.text().strip() for button in view.card.buttons.values()] == [
        "All 4",
        "1 to review",
        "1 failed",
    ]
    assert not view.pause_button.isVisible()


def test_the_grid_fills_as_results_come(desk: Desk, page: TasksPage) -> None:
    run = desk.tasks.put("Extract · Invoice", None, None, state=RunState.RUNNING)
    desk.settle()
    page.open_run(run)
    view = page.run_view
    assert view is not None
    desk.until(lambda: view.model.rowCount() == 2)
    assert view.model.index(0, 4).data() == "waiting"
    desk.tasks.now = RunProgress(run.id, 1, 2, 0.55, 120.0, "invoice-2.pdf")
    desk.tasks.come(run.id, 0, invoice("Coolblue B.V.", "2026-11-02", 1249.0))
    desk.until(lambda: view.model.index(0, 4).data() == "checked")
    assert view.model.index(1, 4).data() == "waiting"
    desk.until(lambda: view.card.bar.value() == 550)
    assert view.card.left.text().startswith("2 min left · done at ")


def test_only_rows_that_changed_are_told_to_the_grid(desk: Desk, page: TasksPage) -> None:
    run = desk.tasks.put("Extract · Invoice", *[None] * 50, state=RunState.RUNNING)
    desk.settle()
    page.open_run(run)
    view = page.run_view
    assert view is not None
    desk.until(lambda: view.model.rowCount() == 50)
    told: list[int] = []
    view.model.dataChanged.connect(lambda first, last: told.extend(range(first.row(), last.row() + 1)))
    resets: list[int] = []
    view.model.modelReset.connect(lambda: resets.append(1))
    desk.tasks.come(run.id, 7, invoice("A", "2026-01-01", 1.0))
    desk.tasks.come(run.id, 30, "Broken.")
    desk.until(lambda: view.model.row(30).item.error)
    assert set(told) == {7, 30}
    assert not resets


def test_columns_grow_with_their_words_until_a_person_sizes_them(desk: Desk, page: TasksPage) -> None:
    desk.window.resize(900, 600)
    run = desk.tasks.put("Extract · Invoice", None, None, state=RunState.RUNNING)
    desk.settle()
    page.open_run(run)
    view = page.run_view
    assert view is not None
    desk.until(lambda: view.model.rowCount() == 2)
    head = view.grid.horizontalHeader()
    assert head.visualIndex(4) == 1, "the state would be out of sight"
    before = head.sectionSize(2)
    desk.tasks.come(run.id, 0, invoice("Coolblue B.V.", "2026-11-02", 1249.0))
    desk.until(lambda: head.sectionSize(2) > before)
    head.resizeSection(2, 333)
    desk.tasks.come(run.id, 1, invoice("A supplier with a long name", "2026-11-02", 1249.0))
    desk.until(lambda: view.model.index(1, 1).data())
    assert head.sectionSize(2) == 333


def test_pause_resume_and_stop(desk: Desk, page: TasksPage) -> None:
    run = desk.tasks.put("Extract · Invoice", None, state=RunState.RUNNING)
    desk.settle()
    page.open_run(run)
    view = page.run_view
    assert view is not None
    view.pause_button.click()
    desk.until(view.resume_button.isVisible)
    assert not view.pause_button.isVisible()
    assert view.card.left.text() == "paused"
    view.resume_button.click()
    desk.until(view.pause_button.isVisible)
    view.stop_button.click()
    desk.until(lambda: view.card.left.text() == "stopped")
    assert desk.window.toast.text == "Stopped. What is done is kept."
    desk.window.toast.act()
    desk.until(view.pause_button.isVisible)


@pytest.mark.parametrize("agreed", [True, False])
def test_going_on_with_another_model_is_asked_for(
    desk: Desk, page: TasksPage, monkeypatch: pytest.MonkeyPatch, agreed: bool
) -> None:
    run = desk.tasks.put("Extract · Invoice", None, state=RunState.PAUSED)
    desk.settle()
    page.open_run(run)
    answer = Question.DialogCode.Accepted if agreed else Question.DialogCode.Rejected
    monkeypatch.setattr(Question, "exec", lambda dialog: answer)
    desk.tasks.refusal = AnotherModel("This run was begun with Qwen.", "Choose it, or resume with this.")
    assert page.run_view is not None
    page.run_view.resume_button.click()
    desk.settle()
    assert ("resume with this model" in desk.tasks.calls) is agreed
    assert (desk.tasks.all_runs[run.id].state is RunState.RUNNING) is agreed


def test_filters_show_what_waits_for_a_person_and_what_failed(view: RunView) -> None:
    view.card.buttons[Filter.REVIEW].click()
    assert [view.model.row(0).item.document_name] == ["invoice-3.pdf"]
    assert view.model.rowCount() == 1
    view.card.buttons[Filter.FAILED].click()
    assert view.model.row(0).item.document_name == "invoice-4.pdf"


def test_an_empty_filter_says_so(desk: Desk, page: TasksPage) -> None:
    run = desk.tasks.put("Extract · Invoice", invoice("A", "2026-01-01", 1.0))
    desk.settle()
    page.open_run(run)
    view = page.run_view
    assert view is not None
    desk.until(lambda: view.model.rows)
    view.card.buttons[Filter.REVIEW].click()
    assert view._nothing.isVisible()
    assert view._nothing.text() == "Nothing waits for a person."


def test_the_review_begins_with_the_greatest_doubt_and_the_grid_goes_along(desk: Desk, view: RunView) -> None:
    third = desk.tasks.all_items[view.run.id][2].id  # type: ignore[union-attr]
    desk.until(lambda: view.panel.shown == (third, "total/0/"))
    desk.until(lambda: view.grid.current_item == third)


def test_enter_opens_the_finding_and_escape_comes_back(desk: Desk, view: RunView) -> None:
    first = desk.tasks.all_items[view.run.id][0].id  # type: ignore[union-attr]
    view.grid.setFocus()
    view.grid.setCurrentIndex(view.model.index(0, 1))
    QTest.keyClick(view.grid, Qt.Key.Key_Return)
    desk.until(lambda: view.panel.shown == (first, "supplier/0/"))
    focus = QApplication.focusWidget()
    assert focus is not None
    assert view.panel.isAncestorOf(focus)
    QTest.keyClick(focus, Qt.Key.Key_Escape)
    assert view.grid.hasFocus()
    assert view.isVisible()


def test_a_decision_shows_in_the_grid(desk: Desk, view: RunView) -> None:
    third = desk.tasks.all_items[view.run.id][2].id  # type: ignore[union-attr]
    desk.until(lambda: view.panel.shown == (third, "total/0/"))
    view.panel.accept()
    desk.until(lambda: view.model.index(2, 4).data() == "reviewed")
    assert view.card.buttons[Filter.REVIEW].text().strip() == "0 to review"


def test_a_cell_and_rows_are_copied(desk: Desk, view: RunView) -> None:
    view.grid.setFocus()
    view.grid.setCurrentIndex(view.model.index(0, 3))
    QTest.keyClick(view.grid, Qt.Key.Key_C, CTRL)
    assert QGuiApplication.clipboard().text() == "1,249.00"
    QTest.keyClick(view.grid, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClick(view.grid, Qt.Key.Key_C, CTRL)
    assert QGuiApplication.clipboard().text() == (
        "invoice-1.pdf\tCoolblue B.V.\t2026-11-02\t1,249.00\tchecked\t3 of 3 pages\n"
        "invoice-2.pdf\tSaeco GmbH\t2026-10-17\t84.90\tchecked\t3 of 3 pages"
    )


def test_what_failed_is_retried(desk: Desk, view: RunView) -> None:
    assert "Retry" not in labels_of(view.grid._menu(view.model.index(0, 0)))
    view.grid.setCurrentIndex(view.model.index(3, 0))
    assert "Retry" in labels_of(view.grid._menu(view.model.index(3, 0)))
    assert view.retry_action.text() == "Retry 1 document"
    view.retry_action.trigger()
    desk.until(lambda: view.model.index(3, 4).data() == "waiting")


def test_a_document_of_a_run_is_shown_on_the_documents_page(desk: Desk, view: RunView) -> None:
    view.grid.document_requested.emit(2)
    desk.settle()
    documents = desk.window.documents_page
    assert documents is not None
    assert documents.isVisible()
    assert documents.view.document == desk.documents.rows[2]


def test_results_are_saved_in_six_formats(
    desk: Desk, view: RunView, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proposed: list[str] = []

    def choose(_parent: QWidget, _title: str, name: str, pattern: str) -> tuple[str, str]:
        proposed.append(name)
        return str(tmp_path / "mine"), pattern

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose)
    for action in view.export_menu.actions():
        action.trigger()
        desk.settle()
    formats = ["xlsx", "csv", "json", "md", "docx", "pdf"]
    assert proposed == [f"Extract-Invoice.{fmt}" for fmt in formats]
    assert desk.tasks.written == [(1, tmp_path / f"mine.{fmt}", fmt) for fmt in formats]
    assert desk.window.toast.text == "Saved mine.pdf."


def test_evidence_is_saved_and_a_refusal_is_told(
    desk: Desk, view: RunView, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "record.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), "*.json"))
    view.evidence_button.click()
    desk.settle()
    assert desk.tasks.written == [(1, path, "evidence")]
    desk.tasks.refusal = PolicyRefused("Your organisation does not allow export.")
    view.evidence_button.click()
    desk.settle()
    assert desk.window.toast.text == "Your organisation does not allow export."


def test_a_run_that_is_removed_leads_back_to_all_tasks(desk: Desk, page: TasksPage, view: RunView) -> None:
    view.remove_requested.emit()
    desk.until(page.home.isVisible)
    assert desk.tasks.all_runs[1].trashed is not None


# ---------------------------------------------------------------- the whole page


def test_every_widget_that_takes_the_focus_has_a_name(desk: Desk, page: TasksPage, view: RunView) -> None:
    for kind in ("summarise", "extract", "classify", "answer"):
        begin(desk, page, kind, Scope(documents=(1,)))
    page.show_home()
    desk.settle()
    assert page.new_task is not None
    # The review panel is looked at in its own tests; the list of a choice gets its name when it drops.
    parts = (page.home, page.new_task, view.grid, view.card, *view.findChildren(Button))
    assert [each for part in parts for each in nameless(part) if not each.startswith("QListView")] == []


def test_no_part_of_the_page_flashes_up_as_a_window_of_its_own(
    desk: Desk, library: FakeDocuments, run: Run, qapp: QApplication
) -> None:
    shown: list[QObject] = []

    class Watcher(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                shown.append(watched)
            return False

    watcher = Watcher()
    qapp.installEventFilter(watcher)
    desk.window.show_documents()
    desk.window.show_tasks()
    page = desk.window.tasks_page
    assert page is not None
    for kind in ("summarise", "extract", "classify", "answer"):
        begin(desk, page, kind, Scope(documents=(1,)))
    page.open_run(run)
    desk.settle()
    qapp.removeEventFilter(watcher)
    assert shown == []


def test_no_service_call_is_made_in_the_windows_thread(desk: Desk, page: TasksPage, view: RunView) -> None:
    new = begin(desk, page, "summarise", Scope())
    priced(desk, new)
    new.start_button.click()
    desk.settle()
    assert "MainThread" not in desk.tasks.threads
    assert "MainThread" not in desk.documents.threads


def test_everything_fits_the_window(desk: Desk, page: TasksPage, view: RunView) -> None:
    new = begin(desk, page, "classify", Scope())
    for width in (640, 900, 1280):
        desk.window.resize(width, 600)
        desk.settle()
        room = desk.window.width() - desk.window._rail.width()
        for part in (view, new, page.home):
            page._turn_to(part)
            desk.settle()
            assert part.minimumSizeHint().width() <= room
            assert part.width() <= room


def test_where_it_is_narrow_review_and_grid_take_turns(desk: Desk, view: RunView) -> None:
    desk.window.resize(760, 600)
    desk.settle()
    assert view.grid.isVisible()
    assert not view.panel.isVisible()
    view.grid.setFocus()
    view.grid.setCurrentIndex(view.model.index(0, 1))
    QTest.keyClick(view.grid, Qt.Key.Key_Return)
    assert view.panel.isVisible()
    assert not view.grid.isVisible()
    focus: Callable[[], QWidget | None] = QApplication.focusWidget
    assert focus() is not None
    QTest.keyClick(focus(), Qt.Key.Key_Escape)
    assert view.grid.isVisible()


def test_the_window_closes_while_tasks_run(desk: Desk, page: TasksPage, collection: Collection) -> None:
    new = begin(desk, page, "summarise", Scope(collections=(collection.id,)))
    desk.tasks.gate.clear()
    new._ask_price()
    desk.window.close()
    desk.tasks.gate.set()
    desk.tasks.tell()
    QApplication.processEvents()
    assert not desk.tasks.watchers

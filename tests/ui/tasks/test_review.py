import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec
import pytest
from PySide6.QtCore import QObject, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLineEdit, QToolButton, QWidget
from pytestqt.qtbot import QtBot

from localai_app.errors import DocumentError, UsageError
from localai_app.tasks.run import ItemState
from localai_app.tasks.task import Decision, Doubt, Outcome, Verdict
from localai_app.ui.documents.page_view import Showing
from localai_app.ui.jobs import Jobs
from localai_app.ui.tasks.review import ReviewPanel
from localai_app.ui.tasks.scores import SHOWN
from localai_app.ui.theme import LIGHT, Theme
from localai_app.ui.widgets.toast import Toast
from tests.ui.fake_documents import FakeDocuments, paged
from tests.ui.tasks.fake_review import AWS, DATE, KIND, TOTAL, FakeTasks, evidence

TOTAL_AT, KIND_AT, FEE_AT, SUMMARY_AT = (1, "total/0/"), (2, "kind/0/"), (2, "total/0/"), (2, "summary/0/")
"""In the order of doubt."""


@dataclass
class Desk:
    """The panel, what stands behind it, and hands to use it with."""

    panel: ReviewPanel
    tasks: FakeTasks
    documents: FakeDocuments
    toast: Toast
    jobs: Jobs
    qtbot: QtBot
    moved: list[tuple[int, str]]
    decided: list[int]

    def until(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=5000)

    def settle(self) -> None:
        for _ in range(6):
            self.until(lambda: not self.jobs.busy)
            QApplication.processEvents()

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """A key, to wherever the keyboard is."""
        focus = self.panel.window().focusWidget()
        assert focus is not None
        QTest.keyClick(focus, key, modifier)

    def decision(self, entry: tuple[int, str]) -> Decision | None:
        return self.tasks.rows[entry[0]].decision(entry[1])

    @property
    def marks(self) -> list[str]:
        canvas = self.panel.evidence.canvas
        return [name for name in ("_hits", "_current") if getattr(canvas, name)]


@pytest.fixture
def desk(qtbot: QtBot, theme: Theme, jobs: Jobs) -> Iterator[Desk]:
    documents = FakeDocuments()
    tasks = FakeTasks(documents)
    host = QWidget()
    host.resize(420, 760)
    toast = Toast(theme, host)
    panel = ReviewPanel(theme, jobs, tasks, documents, lambda: toast)
    panel.setParent(host)
    panel.setGeometry(0, 0, 380, 720)
    host.show()
    host.activateWindow()
    qtbot.waitExposed(host)
    made = Desk(panel, tasks, documents, toast, jobs, qtbot, [], [])
    panel.moved.connect(lambda item, key: made.moved.append((item, key)))
    panel.decided.connect(made.decided.append)
    panel.show_run(1)
    made.settle()
    panel.focus_first()
    yield made
    tasks.gate.set()
    documents.drawing.set()
    panel.close_work()
    host.close()
    host.deleteLater()


# ---------------------------------------------------------------- what is shown


def test_the_greatest_doubt_comes_first_with_its_words_and_its_page(desk: Desk) -> None:
    card = desk.panel.card
    assert desk.panel.shown == TOTAL_AT
    assert card.title.text() == "Total"
    assert card.badge.text() == "review 1 of 4"
    assert card.line.text() == "4,108.22"
    assert card.doubts.text() == "Lines sum to 4,018.22. Two digits may be swapped."
    assert card.document.text() == "aws-oct.pdf · read 3 of 3 pages"
    assert desk.panel.evidence.caption.text() == "aws-oct.pdf · page 2"
    assert desk.moved == [TOTAL_AT]


def test_the_quotation_is_marked_on_the_page_and_in_view(desk: Desk) -> None:
    view = desk.panel.evidence
    assert view.showing is Showing.PICTURE
    assert view.canvas.image is not None
    at = AWS[1].index("4,108.22")
    rect = view.canvas.rect_of((at, at + 8))
    left, top = view.scroller.horizontalScrollBar().value(), view.scroller.verticalScrollBar().value()
    middle = rect.center().toPoint()
    assert 0 < middle.x() - left < view.scroller.viewport().width()
    assert 0 < middle.y() - top < view.scroller.viewport().height()
    shown = view.canvas.grab().toImage()
    column = {shown.pixelColor(middle.x(), middle.y() + y).name().upper() for y in range(-12, 12)}
    assert LIGHT.mark in column


def test_nothing_is_asked_for_in_the_window_s_thread(desk: Desk) -> None:
    desk.press(Qt.Key.Key_A)
    desk.settle()
    assert threading.main_thread().name not in desk.tasks.threads | desk.documents.threads


def test_a_page_without_a_picture_is_shown_as_text(desk: Desk) -> None:
    desk.panel.show_finding(*FEE_AT)
    desk.settle()
    view = desk.panel.evidence
    assert view.showing is Showing.TEXT
    assert "The fee is 84.90" in view.readable.toPlainText()


def test_words_that_were_not_found_are_said_to_be_so_and_not_marked(desk: Desk) -> None:
    desk.tasks.rows[1] = replace(
        desk.tasks.rows[1],
        outcome=Outcome(
            (msgspec.structs.replace(TOTAL, evidence=(evidence(2, AWS[1], "Total", verified=False),)),)
        ),
    )
    desk.panel.clear()
    desk.panel.show_run(1)
    desk.settle()
    assert "the words were not found there" in desk.panel.evidence.notice.text()
    assert desk.marks == ["_current"], "framed, but not marked as a quotation is"


def test_a_value_that_was_not_found_is_looked_for_by_the_person(desk: Desk) -> None:
    missing = msgspec.structs.replace(
        DATE, value=None, shown="", original="", evidence=(), doubts=(Doubt("missing", "No date was found."),)
    )
    desk.tasks.rows[1] = replace(desk.tasks.rows[1], outcome=Outcome((missing,)))
    desk.panel.show_finding(1, "date/0/")
    desk.settle()
    view = desk.panel.evidence
    assert view.notice.text() == "Nothing was found: look for it on these pages."
    assert desk.panel.card.line.placeholderText() == "nothing found"
    assert view.number == 1
    view.on_button.click()
    desk.settle()
    assert view.caption.text() == "aws-oct.pdf · page 2"
    assert not desk.marks


def test_instructions_in_the_document_are_warned_of_and_can_be_seen(desk: Desk) -> None:
    assert desk.panel.warning.isHidden()
    desk.panel.show_finding(*FEE_AT)
    desk.settle()
    assert not desk.panel.warning.isHidden()
    assert "speaks to the model" in desk.panel.warning.accessibleName()
    desk.panel.warning_button.click()
    assert "look like instructions" in desk.panel.evidence.notice.text()


def test_a_document_that_changed_since_shows_the_quotation_and_why(desk: Desk) -> None:
    desk.tasks.changed_since = True
    desk.panel.show_finding(1, "date/0/")
    desk.settle()
    view = desk.panel.evidence
    assert view.showing is Showing.STATE
    assert "changed since" in view._statement.text()
    assert "“1 November 2026”" in view._statement.text()


def test_a_page_that_cannot_be_drawn_is_shown_as_text_with_the_reason(desk: Desk) -> None:
    desk.documents.reason = DocumentError("The file has changed.", "Read it again.")
    desk.panel.show_finding(1, "date/0/")
    desk.settle()
    view = desk.panel.evidence
    assert view.showing is Showing.TEXT
    assert view.notice.text().startswith("The file has changed.")


def test_an_erased_document_is_said_to_be_so(desk: Desk) -> None:
    desk.tasks.rows[1] = replace(desk.tasks.rows[1], document_id=None)
    desk.panel.show_finding(1, "date/0/")
    desk.settle()
    assert "erased" in desk.panel.evidence._statement.text()


def test_a_document_without_values_says_how_it_stands(desk: Desk) -> None:
    desk.tasks.rows[1] = replace(
        desk.tasks.rows[1], state=ItemState.FAILED, error="The file is damaged.", outcome=None
    )
    desk.panel.show_finding(1, "")
    desk.settle()
    assert desk.panel.calm.title.text() == "aws-oct.pdf"
    assert desk.panel.calm.words.text() == "The file is damaged."


def test_a_document_that_is_pointed_at_shows_its_values_once_it_is_done(desk: Desk) -> None:
    done = desk.tasks.rows[1]
    desk.tasks.rows[1] = replace(done, state=ItemState.WAITING, outcome=None, coverage=None)
    desk.panel.show_finding(1, "")
    desk.settle()
    assert desk.panel.calm.words.text() == "Waiting"
    desk.tasks.rows[1] = done
    desk.tasks.tell()
    desk.until(lambda: desk.panel.shown == TOTAL_AT)


def test_a_document_is_opened_at_its_first_doubt(desk: Desk) -> None:
    desk.panel.show_finding(1, "")
    desk.settle()
    assert desk.panel.shown == TOTAL_AT


def test_what_is_not_in_doubt_says_checked_and_shows_the_page_s_own_words(desk: Desk) -> None:
    desk.panel.show_finding(1, "date/0/")
    desk.settle()
    assert desk.panel.card.badge.text() == "checked"
    assert desk.panel.card.original.text() == "On the page: “1 November 2026”"
    assert desk.moved == [TOTAL_AT], "the grid that asked is not told where to go"


def test_a_line_item_is_named_by_its_row_and_column(desk: Desk) -> None:
    line = msgspec.structs.replace(TOTAL, column="lines", item=1, part="amount", alternatives=())
    desk.tasks.rows[1] = replace(desk.tasks.rows[1], outcome=Outcome((line,)))
    desk.panel.show_finding(1, "lines/1/amount")
    desk.settle()
    assert desk.panel.card.title.text() == "Line items 2 · Amount"


# ---------------------------------------------------------------- deciding


def test_a_run_is_reviewed_with_the_keyboard_alone(desk: Desk) -> None:
    desk.press(Qt.Key.Key_A)
    assert desk.panel.shown == KIND_AT, "at once, while the decision is on its way"
    desk.press(Qt.Key.Key_R)
    desk.press(Qt.Key.Key_C)
    QTest.keyClicks(desk.panel.card.line, "84.95")
    desk.press(Qt.Key.Key_Return)
    assert desk.panel.shown == SUMMARY_AT
    desk.press(Qt.Key.Key_A)
    desk.settle()
    made = [desk.decision(each) for each in (TOTAL_AT, KIND_AT, FEE_AT, SUMMARY_AT)]
    assert [each.verdict.value for each in made if each] == ["accepted", "rejected", "corrected", "accepted"]
    assert made[2] is not None
    assert made[2].value == "84.95"
    assert desk.decided == [1, 2, 2, 2]
    assert desk.panel.shown is None
    assert desk.panel.calm.title.text() == "All reviewed"


def test_letters_are_letters_while_one_types(desk: Desk) -> None:
    desk.press(Qt.Key.Key_C)
    QTest.keyClicks(desk.panel.card.line, "acrjk")
    desk.press(Qt.Key.Key_Down)
    assert desk.panel.card.line.text() == "acrjk"
    assert desk.panel.shown == TOTAL_AT
    desk.press(Qt.Key.Key_Escape)
    assert desk.panel.card.line.text() == "4,108.22"
    assert desk.panel.card.hasFocus()
    desk.settle()
    assert desk.decision(TOTAL_AT) is None


def test_what_was_typed_is_kept_by_the_first_button_and_called_so(desk: Desk) -> None:
    card = desk.panel.card
    assert card.accept_button.accessibleName() == "Accept (A)"
    desk.press(Qt.Key.Key_C)
    QTest.keyClicks(card.line, "4,018.22")
    assert card.accept_button.text() == "Keep"
    card.accept_button.click()
    desk.settle()
    made = desk.decision(TOTAL_AT)
    assert made is not None
    assert (made.verdict, made.value) == (Verdict.CORRECTED, "4,018.22")


def test_what_was_typed_and_not_kept_is_there_when_one_comes_back(desk: Desk) -> None:
    desk.press(Qt.Key.Key_C)
    QTest.keyClicks(desk.panel.card.line, "4,0")
    desk.panel.card.setFocus()
    desk.press(Qt.Key.Key_J)
    assert desk.panel.card.line.text() == "Contract"
    desk.press(Qt.Key.Key_K)
    assert desk.panel.card.line.text() == "4,0"


def test_an_alternative_is_taken_after_its_place_was_seen(desk: Desk) -> None:
    card = desk.panel.card
    assert [chip.text() for chip in card._chips] == ["also on page 3: 4,018.22"]
    card._chips[0].click()
    desk.settle()
    assert desk.panel.evidence.caption.text() == "aws-oct.pdf · page 3"
    assert card.line.text() == "4,018.22"
    assert desk.decision(TOTAL_AT) is None
    desk.panel.card.setFocus()
    desk.press(Qt.Key.Key_Return)
    desk.settle()
    made = desk.decision(TOTAL_AT)
    assert made is not None
    assert made.value == "4,018.22"


def test_evidences_are_switched_between(desk: Desk) -> None:
    buttons = desk.panel.evidence._group.buttons()
    assert [each.text() for each in buttons] == ["page 2", "page 3: 4,018.22"]
    buttons[1].click()
    desk.settle()
    assert desk.panel.evidence.number == 3
    assert [each.isChecked() for each in buttons] == [False, True]
    assert desk.panel.card.line.text() == "4,108.22", "looking is not choosing"


def test_the_labels_shares_are_shown_and_one_is_chosen(desk: Desk) -> None:
    desk.panel.show_finding(*KIND_AT)
    desk.settle()
    rows = desk.panel.card.scores.rows
    assert [row.accessibleName() for row in rows] == ["Contract, 48 %", "Letter, 41 %", "Invoice, 11 %"]
    rows[1].click()
    assert desk.panel.card.line.text() == "Letter"
    desk.panel.accept()
    desk.settle()
    made = desk.decision(KIND_AT)
    assert made is not None
    assert (made.verdict, made.value) == (Verdict.CORRECTED, "Letter")


def test_of_many_labels_the_likeliest_are_shown_first(desk: Desk) -> None:
    scores = {f"label {at}": 1 / (at + 2) for at in range(20)}
    many = msgspec.structs.replace(KIND, scores=scores)
    desk.tasks.rows[2] = replace(desk.tasks.rows[2], outcome=Outcome((many,)))
    desk.panel.show_finding(*KIND_AT)
    desk.settle()
    shown = desk.panel.card.scores
    assert [row.name for row in shown.rows] == [f"label {at}" for at in range(SHOWN)]
    shown.more.click()
    assert len(shown.rows) == 20


def test_ctrl_z_takes_back_the_last_decision_and_returns_to_it(desk: Desk) -> None:
    desk.press(Qt.Key.Key_A)
    desk.press(Qt.Key.Key_R)
    desk.settle()
    assert desk.toast.text == "Kind of document: rejected"
    desk.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    desk.settle()
    assert desk.panel.shown == KIND_AT
    assert desk.decision(KIND_AT) is None
    assert desk.panel.card.badge.text() == "review 2 of 4"
    assert desk.toast.text == "Taken back: Kind of document"
    desk.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    desk.settle()
    assert desk.panel.shown == TOTAL_AT
    assert desk.decision(TOTAL_AT) is None
    assert desk.decided == [1, 2, 2, 1]


def test_the_toast_s_button_takes_back_too(desk: Desk) -> None:
    desk.press(Qt.Key.Key_A)
    desk.settle()
    assert desk.toast.act()
    desk.settle()
    assert desk.decision(TOTAL_AT) is None


def test_a_decision_that_is_refused_brings_its_value_back(desk: Desk) -> None:
    desk.tasks.refused = UsageError("The run is in the trash.", "Restore it.")
    desk.press(Qt.Key.Key_A)
    assert desk.panel.shown == KIND_AT
    desk.settle()
    assert desk.panel.shown == TOTAL_AT
    assert "in the trash" in desk.toast.text
    assert desk.panel.card.badge.text() == "review 1 of 4"


def test_who_decided_when_is_said_and_can_be_taken_back(desk: Desk) -> None:
    desk.press(Qt.Key.Key_R)
    desk.settle()
    desk.press(Qt.Key.Key_K)
    card = desk.panel.card
    assert card.badge.text() == "rejected"
    assert card.line.text() == ""
    assert "Rejected by anna" in card.decided.text()
    assert "4,108.22" in card.decided.text()
    card.undo_button.click()
    desk.settle()
    assert desk.decision(TOTAL_AT) is None
    assert card.decided.isHidden()


def test_a_checked_value_stays_in_view_when_it_is_corrected(desk: Desk) -> None:
    desk.panel.show_finding(1, "date/0/")
    desk.settle()
    desk.panel.reject()
    desk.settle()
    assert desk.panel.shown == (1, "date/0/")
    assert desk.panel.card.badge.text() == "rejected"


def test_up_and_down_go_through_the_queue_to_its_ends(desk: Desk) -> None:
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Up, Qt.Key.Key_J, Qt.Key.Key_J, Qt.Key.Key_J):
        desk.press(key)
    assert desk.panel.shown == SUMMARY_AT
    assert not desk.panel.card.next_button.isEnabled()
    assert desk.moved == [TOTAL_AT, KIND_AT, FEE_AT, KIND_AT, FEE_AT, SUMMARY_AT]


def test_the_grid_s_keys_decide_too(desk: Desk) -> None:
    grid = QLineEdit(desk.panel.parentWidget())
    grid.setReadOnly(True)
    grid.show()
    desk.panel.add_keys(grid)
    grid.setFocus()
    QTest.keyClick(grid, Qt.Key.Key_R)
    desk.settle()
    made = desk.decision(TOTAL_AT)
    assert made is not None
    assert made.verdict is Verdict.REJECTED


def test_a_long_value_is_edited_in_several_lines(desk: Desk) -> None:
    desk.panel.show_finding(*SUMMARY_AT)
    desk.settle()
    card = desk.panel.card
    assert card.editor is card.text
    card.setFocus()
    desk.press(Qt.Key.Key_C)
    card.text.setPlainText("One line")
    card.text.moveCursor(card.text.textCursor().MoveOperation.End)
    desk.press(Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(card.text, "and another")
    desk.press(Qt.Key.Key_Return)
    desk.settle()
    made = desk.decision(SUMMARY_AT)
    assert made is not None
    assert made.value == "One line\nand another"


# ---------------------------------------------------------------- a run that goes on


def test_what_comes_while_one_reviews_is_counted_and_nobody_is_taken_away(desk: Desk) -> None:
    document = desk.documents.put("more.pdf", *(paged(at, text) for at, text in enumerate(AWS, 1)))
    desk.tasks.add(document.id, Outcome((msgspec.structs.replace(TOTAL, confidence=0.1),)))
    desk.tasks.tell()
    desk.until(lambda: desk.panel.card.badge.text() == "review 2 of 5")
    assert desk.panel.shown == TOTAL_AT
    assert desk.moved == [TOTAL_AT]


def test_the_calm_page_offers_what_comes_and_jumps_nowhere(desk: Desk) -> None:
    for _ in range(4):
        desk.panel.reject()
        desk.settle()
    calm = desk.panel.calm
    assert calm.review_button.isHidden()
    document = desk.documents.put("more.pdf", *(paged(at, text) for at, text in enumerate(AWS, 1)))
    desk.tasks.add(document.id, Outcome((TOTAL,)))
    desk.tasks.tell()
    desk.until(lambda: not calm.review_button.isHidden())
    assert calm.review_button.text() == "Review 1"
    assert desk.panel.shown is None
    calm.review_button.click()
    assert desk.panel.shown == (3, "total/0/")


def test_a_run_in_which_nothing_is_in_doubt_so_far_says_so(desk: Desk) -> None:
    for number, item in desk.tasks.rows.items():
        desk.tasks.rows[number] = replace(item, outcome=Outcome(()))
    desk.tasks.left = 7
    desk.panel.clear()
    assert desk.panel.calm.title.text() == "Review"
    desk.panel.show_run(1)
    desk.settle()
    assert desk.panel.calm.title.text() == "Nothing to review so far"
    desk.tasks.left = 0
    desk.panel.show_run(1)
    desk.settle()
    assert desk.panel.calm.title.text() == "All reviewed"


# ---------------------------------------------------------------- speed and reach


def test_the_next_page_is_here_before_it_is_asked_for(desk: Desk) -> None:
    other = desk.documents.put("next.pdf", paged(1, "Total 7.00"), paged(2, "and more"))
    finding = msgspec.structs.replace(
        TOTAL, confidence=0.35, evidence=(evidence(1, "Total 7.00", "7.00"),), alternatives=()
    )
    desk.tasks.add(other.id, Outcome((finding,)))
    desk.panel.clear()
    desk.panel.show_run(1)
    desk.settle()
    desk.until(lambda: not desk.jobs.busy)
    assert any(number == 1 for number, _ in desk.documents.drawn)
    assert other.id not in desk.documents.opened, "fetched ahead is not looked at"
    drawn, asked = len(desk.documents.drawn), desk.documents.calls.count("image")
    desk.documents.drawing.clear()
    begin = time.perf_counter()
    desk.panel.focus_first()
    desk.press(Qt.Key.Key_J)
    took = time.perf_counter() - begin
    view = desk.panel.evidence
    assert desk.panel.shown == (3, "total/0/")
    assert view.caption.text() == "next.pdf · page 1"
    assert view.canvas.image is not None, "the picture was here, though nothing can be drawn now"
    assert (len(desk.documents.drawn), desk.documents.calls.count("image")) == (drawn, asked)
    assert took < 0.1
    desk.until(lambda: desk.documents.opened[-1] == other.id)
    assert desk.documents.opened.count(other.id) == 1


def test_only_some_documents_stay_open(desk: Desk) -> None:
    for at in range(6):
        document = desk.documents.put(f"{at}.pdf", paged(1, "Total 7.00"))
        finding = msgspec.structs.replace(
            TOTAL, evidence=(evidence(1, "Total 7.00", "7.00"),), alternatives=()
        )
        desk.tasks.add(document.id, Outcome((finding,)))
        desk.panel.show_finding(len(desk.tasks.rows), "total/0/")
        desk.settle()
    assert sum(not view.closed for view in desk.documents.views) <= 3
    desk.panel.clear()
    desk.settle()
    assert all(view.closed for view in desk.documents.views)


def test_everything_the_keyboard_reaches_has_a_name(desk: Desk) -> None:
    for entry in (TOTAL_AT, KIND_AT, SUMMARY_AT):
        desk.panel.show_finding(*entry)
        desk.settle()
        nameless = [
            widget
            for widget in desk.panel.findChildren(QWidget)
            if widget.isVisible()
            and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
            and not widget.accessibleName()
        ]
        assert not nameless, entry


def test_tab_goes_from_the_value_to_the_decision(desk: Desk) -> None:
    seen: list[QObject | None] = []
    for _ in range(40):
        desk.press(Qt.Key.Key_Tab)
        seen.append(desk.panel.window().focusWidget())
    card = desk.panel.card
    parts = (card.line, card._chips[0], card.accept_button, card.correct_button, card.reject_button)
    places = [seen.index(part) for part in parts]
    assert places == sorted(places)
    assert any(isinstance(each, QToolButton) for each in seen)


def test_the_value_leaves_room_for_the_page_in_a_narrow_panel(desk: Desk, theme: Theme) -> None:
    desk.panel.setGeometry(0, 0, 360, 620)
    desk.panel.show_finding(*SUMMARY_AT)
    desk.settle()
    card = desk.panel.card
    assert desk.panel.evidence.height() >= 120
    right = card.reject_button.mapTo(card, card.reject_button.rect().bottomRight())
    assert right.x() <= card.width()
    assert right.y() <= card.height()
    theme.set_zoom(2.0)
    desk.panel.setGeometry(0, 0, 600, 1000)
    desk.settle()
    bottom = card.reject_button.mapTo(card, card.reject_button.rect().bottomRight())
    assert bottom.y() <= card.height()
    theme.set_zoom(1.0)

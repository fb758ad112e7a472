"""A value in doubt: what was found, why it is in doubt, and what a person decides."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from PySide6.QtCore import QDateTime, QEvent, QLocale, QObject, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from localai_app.tasks.run import Item
from localai_app.tasks.task import Alternative, Column, Decision, Finding, Form, Verdict, shown_value
from localai_app.ui.documents.words import number
from localai_app.ui.tasks.key_button import KeyButton
from localai_app.ui.tasks.scores import Scores
from localai_app.ui.tasks.words import tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.fitting_scroll import FittingScroll
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import ElidedLabel, label, restyle

LONG = 60
"""Characters from which on a value is edited in several lines."""
LINES = 5
"""Of a long value that are shown at once."""
FIGURES = (Form.NUMBER, Form.AMOUNT, Form.DATE)


class ValueCard(QFrame):
    """Emits what the person wants; the panel tells it what is shown."""

    accepted = Signal()
    corrected = Signal(str)
    rejected = Signal()
    undecided = Signal()
    """The decision that is shown is taken back."""
    stepped = Signal(int)
    alternative_shown = Signal(int)
    """Its number among the alternatives."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "card")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._finding: Finding | None = None
        self._value = ""
        """As it counts now."""
        self._form = Form.TEXT
        self._chips: list[Button] = []
        self.title = ElidedLabel("", "strong")
        self.badge = label("", "badge-warn")
        self.before_button = IconButton(theme, "chevron-up", tr("Value before (K)"), size=16)
        self.next_button = IconButton(theme, "chevron-down", tr("Next value (J)"), size=16)
        self.document = ElidedLabel("", "dim")
        self.line = QLineEdit()
        self.text = QPlainTextEdit()
        self.text.setProperty("look", "field")
        self.text.setTabChangesFocus(True)
        self.editors = QStackedWidget()
        self.hint = label(tr("Enter keeps it, Esc leaves it as it was."), "dim", wrap=True)
        self.original = label("", "dim", wrap=True)
        self.doubts = label("", "dim", wrap=True)
        self.alternatives = QWidget()
        self._flow = FlowLayout(self.alternatives)
        self.scores = Scores(theme)
        self.decided = label("", "dim", wrap=True)
        self.undo_button = Button(theme, tr("Take back"), look="link")
        self.accept_button = KeyButton(theme, tr("Accept"), "A", icon="check", look="primary")
        self.correct_button = KeyButton(theme, tr("Correct"), "C", icon="pencil")
        self.reject_button = KeyButton(theme, tr("Reject"), "R", icon="x")
        self._head, self._foot = QHBoxLayout(), FlowLayout()
        self._column = QVBoxLayout(self)
        self._build()
        theme.changed.connect(self._fit)
        self._fit()

    # ------------------------------------------------------------ what the panel calls

    def show_finding(self, item: Item, finding: Finding, column: Column | None) -> None:
        """Show a finding with what was decided on it."""
        decision = item.decision(finding.key)
        self._finding, self._value = finding, shown_value(finding, decision)
        title = title_of(finding, column)
        self.title.setText(title)
        read = item.coverage.words if item.coverage else ""
        self.document.setText(
            " · ".join(filter(None, (item.document_name, tr("read {0}").format(read) if read else "")))
        )
        self._show_editor(title, _form(finding, column))
        self.doubts.setText("\n".join(one.words for one in finding.doubts))
        self.doubts.setVisible(bool(finding.doubts))
        self.original.setText(tr("On the page: “{0}”").format(finding.original))
        self.original.setVisible(bool(finding.original) and finding.original != finding.shown)
        self._show_alternatives(finding.alternatives)
        self.scores.show_scores(finding.scores)
        self._show_decision(finding, decision)
        self.setAccessibleName(tr("{0}: {1}").format(title, self._value or tr("nothing found")))
        self.setAccessibleDescription(self.doubts.text())
        self._order_tabs()
        self._note_edit()

    def show_position(self, at: int, total: int) -> None:
        """Say which of how many it is; 0: it is none of those that wait."""
        if at:
            self.badge.setText(tr("review {0} of {1}").format(number(at), number(total)))
            restyle(self.badge, look="badge-warn")
        self.before_button.setEnabled(total > 0 and at != 1)
        self.next_button.setEnabled(total > 0 and at != total)

    def show_verdict(self, words: str, look: str) -> None:
        """Say how it stands with a value that does not wait."""
        self.badge.setText(words)
        restyle(self.badge, look=look)

    def edit(self) -> None:
        """Correct the value."""
        editor = self.editor
        editor.setFocus(Qt.FocusReason.ShortcutFocusReason)
        editor.selectAll()

    def keep(self) -> None:
        """Decide for what is in the editor."""
        if self.changed:
            self.corrected.emit(self.typed)
        else:
            self.accepted.emit()

    def restore(self) -> None:
        """Forget what was typed."""
        self.put(self._value)

    def put(self, value: str) -> None:
        """Propose another value: it is in the editor and not decided on."""
        self._set_text(value)
        self._note_edit()

    @property
    def typed(self) -> str:
        """What is in the editor."""
        return self.text.toPlainText().strip() if self.editor is self.text else self.line.text().strip()

    @property
    def changed(self) -> bool:
        """Whether the editor has something else than the value."""
        return self.typed != self._value.strip()

    @property
    def typing(self) -> bool:
        """Whether keys are letters now."""
        return self.editor.hasFocus()

    @property
    def editor(self) -> QLineEdit | QPlainTextEdit:
        """The one that the value is in."""
        return self.text if self.editors.currentWidget() is self.text else self.line

    # ------------------------------------------------------------ showing

    def _show_editor(self, title: str, form: Form) -> None:
        long = form is Form.LONG or len(self._value) > LONG or "\n" in self._value
        self.editors.setCurrentWidget(self.text if long else self.line)
        for editor in (self.line, self.text):
            editor.setAccessibleName(title)
            editor.setPlaceholderText(tr("nothing found"))
        self._form = form
        self._set_text(self._value)
        self._fit_editor()

    def _set_text(self, value: str) -> None:
        if self.editor is self.text:
            self.text.setPlainText(value)
        else:
            self.line.setText(value)
            self.line.setCursorPosition(0)

    def _fit_editor(self) -> None:
        for editor in (self.line, self.text):
            editor.setFont(self._theme.mono(13) if self._form in FIGURES else self._theme.font())
        one = self.line.sizeHint().height()
        many = self.text.fontMetrics().lineSpacing() * LINES + self._theme.px(20)
        self.editors.setFixedHeight(many if self.editor is self.text else one)

    def _show_alternatives(self, alternatives: Sequence[Alternative]) -> None:
        for chip in self._chips:
            self._flow.removeWidget(chip)
            chip.hide()
            chip.deleteLater()
        self._chips = []
        for place, other in enumerate(alternatives):
            where = other.evidence[0].place if other.evidence else ""
            said = (
                tr("also on {0}: {1}").format(where, other.shown)
                if where
                else tr("or: {0}").format(other.shown)
            )
            chip = Button(self._theme, said, look="chip-button")
            chip.setToolTip(tr("Take this value, and look at where it stands"))
            chip.clicked.connect(self._chooser(place, other.shown))
            self._flow.addWidget(chip)
            chip.show()
            self._chips.append(chip)
        self.alternatives.setVisible(bool(alternatives))

    def _chooser(self, place: int, value: str) -> Callable[[], None]:
        def choose() -> None:
            self.put(value)
            self.alternative_shown.emit(place)

        return choose

    def _order_tabs(self) -> None:
        """The keyboard goes through the card as it is read; chips and labels are new each time."""
        chosen = (*self._chips, *self.scores.rows, self.scores.more, self.undo_button)
        order = (self.line, self.text, *chosen, self.accept_button, self.correct_button, self.reject_button)
        for before, after in pairwise(order):
            QWidget.setTabOrder(before, after)

    def _show_decision(self, finding: Finding, decision: Decision | None) -> None:
        self.decided.setVisible(decision is not None)
        self.undo_button.setVisible(decision is not None)
        self.decided.setText(decision_words(finding, decision) if decision else "")

    def _note_edit(self) -> None:
        """Say what the first button would do with what is in the editor."""
        if self.changed:
            self.accept_button.set_words(tr("Keep"), "↵")
        else:
            self.accept_button.set_words(tr("Accept"), "A")
        self.hint.setVisible(self.changed or self.typing)
        self._arrange_buttons()

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        for editor in (self.line, self.text):
            self.editors.addWidget(editor)
            editor.installEventFilter(self)
            editor.textChanged.connect(self._note_edit)
        self._head.addWidget(self.title, 1)
        self._head.addWidget(self.badge, 0, Qt.AlignmentFlag.AlignVCenter)
        self._head.addWidget(self.before_button)
        self._head.addWidget(self.next_button)
        decided = QHBoxLayout()
        decided.addWidget(self.decided, 1)
        decided.addWidget(self.undo_button, 0, Qt.AlignmentFlag.AlignTop)
        inside = QWidget()
        self._body = QVBoxLayout(inside)
        for part in (self.editors, self.hint, self.doubts, self.original, self.alternatives, self.scores):
            self._body.addWidget(part)
        self._body.addLayout(decided)
        for button in (self.accept_button, self.correct_button, self.reject_button):
            self._foot.addWidget(button)
        self.scroller = FittingScroll(inside)
        self._column.addLayout(self._head)
        self._column.addWidget(self.document)
        self._column.addWidget(self.scroller, 1)
        self._column.addLayout(self._foot)
        self.accept_button.clicked.connect(self.keep)
        self.correct_button.clicked.connect(self.edit)
        self.reject_button.clicked.connect(self.rejected)
        self.undo_button.clicked.connect(self.undecided)
        self.before_button.clicked.connect(lambda: self.stepped.emit(-1))
        self.next_button.clicked.connect(lambda: self.stepped.emit(1))
        self.scores.chosen.connect(self.put)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(16), px(12), px(16), px(14))
        self._column.setSpacing(px(8))
        self._head.setSpacing(px(4))
        self._body.setContentsMargins(0, 0, 0, 0)
        self._body.setSpacing(px(8))
        self._flow.setSpacing(px(6))
        self._foot.setSpacing(px(7))
        self._fit_editor()
        self._arrange_buttons()

    def _arrange_buttons(self) -> None:
        """Icons go before a button goes to the next line."""
        buttons = (self.accept_button, self.correct_button, self.reject_button)
        room = self.width() - 2 * self._theme.px(16)
        needed = sum(button.width_of(compact=False) for button in buttons) + 2 * self._theme.px(7)
        for button in buttons:
            button.set_compact(needed > room)

    # ------------------------------------------------------------ Qt

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Down and Up go on and back; Enter keeps what was typed. In the editor they are the editor's."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Up) and not self.typing:
            self.stepped.emit(1 if event.key() == Qt.Key.Key_Down else -1)
        elif enter and self.changed and not self.typing:
            self.keep()
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """In the editor, Enter keeps what was typed and Escape leaves it."""
        if watched in (self.line, self.text):
            if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
                self.hint.setVisible(self.changed or event.type() == QEvent.Type.FocusIn)
            elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
                return self._editor_key(event)
        return super().eventFilter(watched, event)

    def _editor_key(self, event: QKeyEvent) -> bool:
        if event.key() == Qt.Key.Key_Escape:
            self.restore()
            self.setFocus(Qt.FocusReason.ShortcutFocusReason)
            return True
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                return False
            self.setFocus(Qt.FocusReason.ShortcutFocusReason)
            self.keep()
            return True
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Three buttons in one line, if they can be."""
        super().resizeEvent(event)
        self._arrange_buttons()
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def hasHeightForWidth(self) -> bool:
        """The two hints say it: a layout would never make it lower than all of it."""
        return False

    def sizeHint(self) -> QSize:
        """All of it at the present width."""
        return QSize(super().sizeHint().width(), self._column.totalHeightForWidth(self.width()))

    def minimumSizeHint(self) -> QSize:
        """What is between the title and the buttons scrolls."""
        spare = self.scroller.sizeHint().height() - self.scroller.minimumSizeHint().height()
        return QSize(self._theme.px(200), self.sizeHint().height() - spare)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """The ring shows."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """The ring goes."""
        super().focusOutEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """A ring where the keyboard is: here the letters are commands."""
        super().paintEvent(event)
        if self.hasFocus():
            painter = QPainter(self)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(QPen(self._theme.color("accent"), 1.5))
            radius = self._theme.px(12)
            painter.drawRoundedRect(self.rect().adjusted(1, 1, -1, -1), radius, radius)
            painter.end()


# ---------------------------------------------------------------- words


def title_of(finding: Finding, column: Column | None) -> str:
    """“Total”, “Line items 2 · Amount”."""
    name = column.title if column else finding.column
    listed = column is not None and (column.form is Form.LIST or column.parts)
    if listed or finding.item or finding.part:
        name = f"{name} {number(finding.item + 1)}"
    if not finding.part:
        return name
    parts = column.parts if column else ()
    return f"{name} · {next((part.title for part in parts if part.key == finding.part), finding.part)}"


def decision_words(finding: Finding, decision: Decision) -> str:
    """Who decided what, and when."""
    who = decision.who or tr("somebody")
    when = QDateTime.fromString(decision.when, Qt.DateFormat.ISODate)
    shown = (
        QLocale().toString(when.toLocalTime(), QLocale.FormatType.ShortFormat)
        if when.isValid()
        else decision.when
    )
    said = {
        Verdict.ACCEPTED: tr("Accepted by {0}, {1}."),
        Verdict.CORRECTED: tr("Corrected by {0}, {1}. The model had: {2}"),
        Verdict.REJECTED: tr("Rejected by {0}, {1}. The model had: {2}"),
    }[decision.verdict]
    return said.format(who, shown, finding.shown or tr("nothing"))


def verdict_word(verdict: Verdict) -> str:
    """A decision in one word."""
    return {
        Verdict.ACCEPTED: tr("accepted"),
        Verdict.CORRECTED: tr("corrected"),
        Verdict.REJECTED: tr("rejected"),
    }[verdict]


def _form(finding: Finding, column: Column | None) -> Form:
    if column is None:
        return Form.TEXT
    return next((part.form for part in column.parts if part.key == finding.part), column.form)

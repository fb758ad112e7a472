"""Where the person writes."""

from PySide6.QtCore import QMimeData, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QResizeEvent, QShowEvent, QTextCursor
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QSizePolicy, QVBoxLayout, QWidget

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import ElidedLabel, label, restyle

MOST_LINES = 8


class ComposerEdit(QPlainTextEdit):
    """A plain text field that grows with its text, from one line to `MOST_LINES`."""

    submitted = Signal()
    escaped = Signal()
    recalled = Signal()
    focus_changed = Signal(bool)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.send_with_ctrl = False
        self.setAccessibleName(self.tr("Message"))
        self.setTabChangesFocus(True)
        self.setAcceptDrops(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().setDocumentMargin(0)
        self.textChanged.connect(self._grow)
        theme.changed.connect(self._grow)
        self._grow()

    def sizeHint(self) -> QSize:
        """As high as the text, within limits."""
        return QSize(super().sizeHint().width(), self._height())

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Paste text, never markup or files."""
        if source.hasText():
            self.insertPlainText(source.text())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter sends, Shift+Enter breaks the line, Up in an empty field recalls."""
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            control = bool(modifiers & Qt.KeyboardModifier.ControlModifier)
            if control or (not self.send_with_ctrl and modifiers == Qt.KeyboardModifier.NoModifier):
                self.submitted.emit()
            else:
                self.insertPlainText("\n")
            return
        if event.key() == Qt.Key.Key_Escape:
            self.escaped.emit()
            return
        if event.key() == Qt.Key.Key_Up and not self.toPlainText() and not modifiers:
            self.recalled.emit()
            return
        super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """The style sheet gives a field that was hidden during a zoom its former font."""
        super().showEvent(event)
        self.setFont(self._theme.font())
        self._grow()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Tell the card to show that the keyboard is here."""
        super().focusInEvent(event)
        self.focus_changed.emit(True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """Tell the card that it is not."""
        super().focusOutEvent(event)
        self.focus_changed.emit(False)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Wrapping changes with the width, and with it the height."""
        super().resizeEvent(event)
        self._grow()

    def _height(self) -> int:
        lines = max(1, int(self.document().size().height()))
        shown = min(lines, MOST_LINES)
        return shown * self.fontMetrics().lineSpacing() + self._theme.px(4)

    def _grow(self) -> None:
        lines = int(self.document().size().height())
        needed = lines > MOST_LINES
        policy = Qt.ScrollBarPolicy.ScrollBarAsNeeded if needed else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        if self.verticalScrollBarPolicy() != policy:
            self.setVerticalScrollBarPolicy(policy)
        if self.height() != self._height():
            self.setFixedHeight(self._height())


class Composer(QFrame):
    """The card at the foot of the page: text, parameters button, Send that becomes Stop."""

    send_requested = Signal(str)
    edit_submitted = Signal(int, str)
    """The person wants message ``id`` to say this instead."""
    stop_requested = Signal()
    recall_requested = Signal()
    panel_toggled = Signal(bool)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._generating = False
        self._editing: int | None = None
        self._set_aside = ""
        self.setProperty("look", "composer")
        self.edit = ComposerEdit(theme)
        self.edit.setPlaceholderText(self.tr("Write a message…"))
        self._banner = QWidget()
        self._banner_text = ElidedLabel(self.tr("Editing your message. The first version stays."), "dim")
        self._cancel = Button(theme, self.tr("Cancel"), look="link")
        self._cancel.clicked.connect(self.cancel_edit)
        banner = QHBoxLayout(self._banner)
        banner.setContentsMargins(0, 0, 0, 0)
        banner.addWidget(self._banner_text, 1)
        banner.addWidget(self._cancel)
        self._banner.hide()
        self.panel_button = IconButton(theme, "sliders-horizontal", self.tr("Parameters"))
        self.panel_button.setCheckable(True)
        self.panel_button.toggled.connect(self.panel_toggled)
        self._hint = label("", "dim")
        self._button = Button(
            theme, self.tr("Send"), look="primary", icon="arrow-up", tint="on_accent", size=16
        )
        self._button.clicked.connect(self._press)
        self._bottom = QHBoxLayout()
        self._bottom.addWidget(self.panel_button)
        self._controls = QHBoxLayout()
        self._bottom.addLayout(self._controls)
        self._bottom.addStretch(1)
        self._bottom.addWidget(self._hint)
        self._bottom.addWidget(self._button)
        self._column = QVBoxLayout(self)
        self._column.addWidget(self._banner)
        self._column.addWidget(self.edit)
        self._column.addLayout(self._bottom)
        self.edit.submitted.connect(self._submit)
        self.edit.escaped.connect(self._escape)
        self.edit.recalled.connect(self.recall_requested)
        self.edit.textChanged.connect(self._show_state)
        self.edit.focus_changed.connect(self._show_focus)
        theme.changed.connect(self._fit)
        self._fit()
        self._show_state()

    @property
    def text(self) -> str:
        """What is written."""
        return self.edit.toPlainText()

    @property
    def draft(self) -> str:
        """What is written and would be lost; text that was set aside while editing comes first."""
        return self._set_aside if self._editing is not None else self.text

    @property
    def editing(self) -> int | None:
        """Id of the message that is being edited."""
        return self._editing

    def set_text(self, text: str) -> None:
        """Put ``text`` in the field, the cursor behind it."""
        self.edit.setPlainText(text)
        self.edit.moveCursor(QTextCursor.MoveOperation.End)

    def set_generating(self, generating: bool) -> None:
        """Offer Stop while an answer is written."""
        if generating != self._generating:
            self._generating = generating
            self._show_state()

    def set_head(self, widget: QWidget) -> None:
        """Show ``widget`` above the text."""
        self._column.insertWidget(0, widget)

    def add_control(self, widget: QWidget) -> None:
        """Show ``widget`` in the line under the text."""
        self._controls.addWidget(widget)

    def begin_edit(self, message_id: int, text: str) -> None:
        """Edit an earlier question in the field."""
        if self._editing is None:
            self._set_aside = self.text
        self._editing = message_id
        self._banner.show()
        self.set_text(text)
        self.edit.setFocus()
        self._show_state()

    def cancel_edit(self) -> None:
        """Leave the question as it is and bring back what was being written."""
        if self._editing is None:
            return
        self._editing = None
        self._banner.hide()
        self.set_text(self._set_aside)
        self._set_aside = ""
        self._show_state()

    def _submit(self) -> None:
        text = self.text.strip()
        if self._generating or not text:
            return
        if self._editing is not None:
            message_id = self._editing
            self.cancel_edit()
            self.edit_submitted.emit(message_id, text)
        else:
            self.edit.clear()
            self.send_requested.emit(text)

    def _press(self) -> None:
        if self._generating:
            self.stop_requested.emit()
        else:
            self._submit()

    def _escape(self) -> None:
        if self._generating:
            self.stop_requested.emit()
        else:
            self.cancel_edit()

    def _show_focus(self, focused: bool) -> None:
        restyle(self, focused=focused)
        # As in `ComposerEdit.showEvent`: a field that was hidden during a zoom gets its former font.
        self.edit.setFont(self._theme.font())

    def _show_state(self) -> None:
        if self._generating:
            self._button.set_text(self.tr("Stop"))
            self._button.setIcon(self._theme.icon("square", "on_accent"))
            self._button.setEnabled(True)
            self._hint.setText(self.tr("Esc stops"))
        else:
            self._button.set_text(self.tr("Send"))
            ready = bool(self.text.strip())
            self._button.setIcon(self._theme.icon("arrow-up", "on_accent" if ready else "dim"))
            self._button.setEnabled(ready)
            key = self.tr("Ctrl+Enter sends") if self.edit.send_with_ctrl else self.tr("Enter sends")
            self._hint.setText(key if self.text else "")

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(14), px(12), px(12), px(10))
        self._column.setSpacing(px(6))
        self._bottom.setSpacing(px(10))
        self._controls.setSpacing(px(6))
        self._bottom.setContentsMargins(0, 0, 0, 0)
        self.edit.setFont(self._theme.font())

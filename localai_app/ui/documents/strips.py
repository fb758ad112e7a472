"""Lines over a page: why there is no picture, which citation is looked at, what is looked for."""

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from localai_app.documents.document import Citation
from localai_app.ui.documents import words
from localai_app.ui.documents.state_card import PasswordField
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import ElidedLabel, label, restyle

FIND_DELAY_MS = 180


class Strip(QFrame):
    """A line under the page's bar; hidden until it has something to say."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "header")
        self.row = QHBoxLayout(self)
        theme.changed.connect(self._fit)
        self._fit()
        self.hide()

    def _fit(self) -> None:
        px = self._theme.px
        self.row.setContentsMargins(px(16), px(5), px(8), px(5))
        self.row.setSpacing(px(6))


class ReasonStrip(Strip):
    """Why the text is shown in place of the page; where a password would help, a field for it."""

    unlock_requested = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self._picture = QLabel()
        self.words = label("", "warn", wrap=True)
        self.password = PasswordField()
        self.unlock_button = Button(theme, self.tr("Show the pages"))
        self.password.returnPressed.connect(self._unlock)
        self.unlock_button.clicked.connect(self._unlock)
        self._entry = QHBoxLayout()
        self._entry.addWidget(self.password, 1)
        self._entry.addWidget(self.unlock_button)
        self._column = QVBoxLayout()
        self._column.addWidget(self.words)
        self._column.addLayout(self._entry)
        self.row.addWidget(self._picture, 0, Qt.AlignmentFlag.AlignTop)
        self.row.addLayout(self._column, 1)
        theme.changed.connect(self._draw)
        self._draw()

    def show_reason(self, text: str, *, locked: bool) -> None:
        """Say ``text``; ``locked``: a password would help."""
        self.words.setText(text)
        self.password.clear()
        self.password.setVisible(locked)
        self.unlock_button.setVisible(locked)
        self.show()

    def _unlock(self) -> None:
        if self.password.text():
            self.unlock_requested.emit(self.password.text())
            self.password.clear()

    def _draw(self) -> None:
        picture = self._theme.icon("triangle-alert", "warn")
        self._picture.setPixmap(picture.pixmap(self._theme.icon_size(15), self.devicePixelRatioF()))
        self._column.setSpacing(self._theme.px(6))
        self._entry.setSpacing(self._theme.px(8))


class CitationStrip(Strip):
    """Which of an answer's citations is looked at, and whether its words stand there."""

    stepped = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.words = ElidedLabel("", "dim")
        self.verdict = label("", "dim")
        self.before = IconButton(theme, "chevron-left", self.tr("Citation before (Alt+Left)"), size=16)
        self.following = IconButton(theme, "chevron-right", self.tr("Next citation (Alt+Right)"), size=16)
        self.before.clicked.connect(lambda: self.stepped.emit(-1))
        self.following.clicked.connect(lambda: self.stepped.emit(1))
        self.row.addWidget(self.words, 1)
        self.row.addWidget(self.verdict)
        self.row.addWidget(self.before)
        self.row.addWidget(self.following)

    def show_citation(self, citation: Citation, index: int, total: int) -> None:
        """Tell of ``citation``, one of ``total``."""
        text = self.tr("Citation {0} of {1}: {2}, {3}")
        self.words.setText(
            text.format(words.number(index + 1), words.number(total), citation.document_name, citation.place)
        )
        self.verdict.setText(self.tr("verbatim") if citation.verified else self.tr("not verified"))
        restyle(self.verdict, look="ok" if citation.verified else "warn")
        self.before.setEnabled(total > 1)
        self.following.setEnabled(total > 1)
        self.show()


class FindStrip(Strip):
    """A field, how much was found, and steps through it."""

    changed = Signal(str)
    stepped = Signal(int)
    ended = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.field = QLineEdit()
        self.field.setPlaceholderText(self.tr("Find in this document"))
        self.field.setAccessibleName(self.tr("Find in this document"))
        self.field.installEventFilter(self)
        self.words = label("", "dim")
        self.before = IconButton(theme, "chevron-up", self.tr("Found before (Shift+F3)"), size=16)
        self.following = IconButton(theme, "chevron-down", self.tr("Next found (F3)"), size=16)
        self.end_button = IconButton(theme, "x", self.tr("End the search in this document"), size=16)
        self.before.clicked.connect(lambda: self.stepped.emit(-1))
        self.following.clicked.connect(lambda: self.stepped.emit(1))
        self.end_button.clicked.connect(self.ended)
        self.row.addWidget(self.field, 1)
        parts: tuple[QWidget, ...] = (self.words, self.before, self.following, self.end_button)
        for part in parts:
            self.row.addWidget(part)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(FIND_DELAY_MS)
        self._timer.timeout.connect(lambda: self.changed.emit(self.field.text()))
        self.field.textEdited.connect(lambda _: self._timer.start())
        self.show_count(None, 0)

    def begin(self) -> None:
        """Type what to look for."""
        self.show()
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()

    def end(self) -> None:
        """Look for nothing."""
        self._timer.stop()
        self.field.clear()
        self.show_count(None, 0)
        self.hide()

    def show_count(self, at: int | None, total: int) -> None:
        """Say which of how many is looked at; None: nothing is looked for."""
        if at is None:
            text = ""
        elif total:
            text = self.tr("{0} of {1}").format(words.number(at), words.number(total))
        else:
            text = self.tr("not found")
        self.words.setText(text)
        self.before.setEnabled(total > 1)
        self.following.setEnabled(total > 1)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Enter goes on, Shift+Enter back, Escape ends."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape:
                self.ended.emit()
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                if self._timer.isActive():
                    self._timer.stop()
                    self.changed.emit(self.field.text())
                else:
                    back = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
                    self.stepped.emit(-1 if back else 1)
                return True
        return False

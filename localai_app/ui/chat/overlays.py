"""Real widgets that lie over the transcript's text: what can be pressed can be reached and named."""

from PySide6.QtCore import Qt, Signal, SignalInstance
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QWidget

from localai_app.chat.conversation import Message, Role, Status
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import ElidedLabel, label

CAN_CONTINUE = (Status.STOPPED, Status.CUT_OFF, Status.INTERRUPTED)


class MessageActions(QWidget):
    """The dim line under a message: branch, figures, actions."""

    branch_requested = Signal(int)
    copy_requested = Signal()
    regenerate_requested = Signal()
    continue_requested = Signal()
    edit_requested = Signal()
    details_requested = Signal()
    feedback_given = Signal(int)

    def __init__(self, theme: Theme, message: Message, parent: QWidget, *, last: bool) -> None:
        super().__init__(parent)
        self._theme = theme
        self._message = message
        self._info: IconButton | None = None
        self.copy_button: IconButton | None = None
        """Of an answer."""
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(theme.px(2))
        mine = message.role is Role.USER
        if mine:
            self._row.addStretch(1)
        if len(message.sibling_ids) > 1:
            self._add_branch()
        if mine:
            return
        self._figures = ElidedLabel(self._figures_text(), "dim")
        self._row.addWidget(self._figures, 1)
        if last and message.status in CAN_CONTINUE:
            self._add_text_button(self.tr("Continue"), "play", self.continue_requested)
        if message.status is Status.FAILED:
            self._add_text_button(self.tr("Try again"), "refresh-cw", self.regenerate_requested)
        self.copy_button = IconButton(theme, "copy", self.tr("Copy"), size=16)
        self._add(self.copy_button, self.copy_requested)
        self._add(
            IconButton(theme, "refresh-cw", self.tr("Answer again"), size=16), self.regenerate_requested
        )
        self._add(IconButton(theme, "pencil", self.tr("Edit the question"), size=16), self.edit_requested)
        self._add_feedback()
        if message.record is not None:
            self._info = IconButton(theme, "info", self.tr("How this answer was made"), size=16)
            self._add(self._info, self.details_requested)

    @property
    def figures(self) -> str:
        """Speed, first token, tokens and how it ended, in words; empty under a question."""
        return self._figures.text() if self._message.role is Role.ASSISTANT else ""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where room is short, what the context menu also offers gives way."""
        super().resizeEvent(event)
        if self._info is not None:
            self._info.setVisible(self.width() >= self._theme.px(330))

    def _add(self, button: IconButton, signal: SignalInstance) -> None:
        button.clicked.connect(lambda _checked=False: signal.emit())
        self._row.addWidget(button)

    def _add_text_button(self, text: str, icon: str, signal: SignalInstance) -> None:
        button = Button(self._theme, text, look="link", icon=icon, tint="accent", size=14)
        button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda _checked=False: signal.emit())
        self._row.addWidget(button)

    def _add_branch(self) -> None:
        position, count = self._message.branch
        ids = self._message.sibling_ids
        back = IconButton(self._theme, "chevron-left", self.tr("Earlier version"), size=16)
        back.setEnabled(position > 1)
        back.clicked.connect(lambda: self.branch_requested.emit(ids[position - 2]))
        on = IconButton(self._theme, "chevron-right", self.tr("Later version"), size=16)
        on.setEnabled(position < count)
        on.clicked.connect(lambda: self.branch_requested.emit(ids[position]))
        self._row.addWidget(back)
        self._row.addWidget(label(self.tr("{0} / {1}").format(position, count), "dim"))
        self._row.addWidget(on)
        self._row.addSpacing(self._theme.px(8))

    def _add_feedback(self) -> None:
        self.thumbs: dict[int, IconButton] = {}
        for value, icon, name in (
            (1, "thumbs-up", self.tr("Good answer")),
            (-1, "thumbs-down", self.tr("Bad answer")),
        ):
            button = IconButton(self._theme, icon, name, size=16)
            button.setCheckable(True)
            button.setChecked(self._message.feedback == value)
            button.clicked.connect(lambda checked, value=value: self._give(value if checked else 0))
            self.thumbs[value] = button
            self._row.addWidget(button)

    def _give(self, value: int) -> None:
        for each, button in self.thumbs.items():
            button.setChecked(each == value)
        self.feedback_given.emit(value)

    def _figures_text(self) -> str:
        parts: list[str] = []
        stats = self._message.stats
        locale = self.locale()
        if stats is not None:
            if stats.tokens_per_second:
                parts.append(self.tr("{0} tok/s").format(locale.toString(stats.tokens_per_second, "f", 1)))
            if stats.output_tokens:
                parts.append(
                    self.tr("first token {0} s").format(locale.toString(stats.first_token_seconds, "f", 1))
                )
            one = stats.output_tokens == 1
            words = self.tr("1 token") if one else self.tr("{0} tokens")
            parts.append(words.format(locale.toString(stats.output_tokens)))
        ended = {
            Status.STOPPED: self.tr("stopped"),
            Status.CUT_OFF: self.tr("context full")
            if stats is not None and stats.stop_reason == "context_full"
            else self.tr("token limit reached"),
            Status.INTERRUPTED: self.tr("interrupted"),
            Status.FAILED: self.tr("failed"),
            Status.GENERATING: self.tr("being written"),
        }.get(self._message.status)
        if ended:
            parts.append(ended)
        if stats is not None and stats.stop_reason == "repeats":
            parts.append(self.tr("stopped when it repeated itself"))
        left_out = len(self._message.record.left_out) if self._message.record else 0
        if left_out:
            parts.append(self.tr("{0} earlier left out").format(left_out))
        return "   ".join(parts)


class StatusLine(QWidget):
    """What the model does right now, under the reply that is being written."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._label = label("", "dim")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setFixedWidth(theme.px(160))
        self._bar.setRange(0, 1000)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(theme.px(12))
        row.addWidget(self._label)
        row.addWidget(self._bar)
        row.addStretch(1)
        self._bar.hide()

    @property
    def text(self) -> str:
        """The words shown."""
        return self._label.text()

    def show_status(self, text: str, fraction: float | None = None) -> None:
        """Show ``text``; ``fraction`` 0 to 1 adds a bar."""
        self._label.setText(text)
        self._bar.setVisible(fraction is not None)
        if fraction is not None:
            self._bar.setValue(round(fraction * 1000))


class ThoughtButton(Button):
    """Folds and unfolds what the model thought before it answered."""

    def __init__(self, theme: Theme, text: str, parent: QWidget, *, unfolded: bool) -> None:
        super().__init__(theme, text, look="chip-button", icon="brain", size=15, parent=parent)
        self.setCheckable(True)
        self.setChecked(unfolded)
        self.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
        self._mark = QLabel(self)
        icon = theme.icon("chevron-down" if unfolded else "chevron-right")
        self._mark.setPixmap(icon.pixmap(theme.icon_size(14), self.devicePixelRatioF()))
        self._mark.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, theme.px(8), 0)
        row.addStretch(1)
        row.addWidget(self._mark)
        self._room = theme.px(30)

    def fit(self, left: int, top: int, height: int) -> None:
        """Take the place at ``left``, ``top``."""
        self.ensurePolished()
        metrics = self.fontMetrics()
        width = metrics.horizontalAdvance(self.text()) + self.iconSize().width() + self._room + 24
        self.setGeometry(left, top, width, height)

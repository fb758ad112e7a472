"""What a new chat shows before the first message."""

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QVBoxLayout, QWidget

from localai_app.ui.theme import COLUMN, Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label


class EmptyState(QWidget):
    """A greeting, three prompts to try, and what to know about the model that answers."""

    prompt_chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._greeting = label(self.tr("What are you working on?"), "hero", wrap=True)
        self._line = label(self.tr("Everything you write here stays on this computer."), "dim", wrap=True)
        self._note = label("", "dim", wrap=True)
        self.examples: list[Button] = []
        self._cards = QHBoxLayout()
        for title, prompt in (
            (
                self.tr("Draft a reply"),
                self.tr(
                    "Draft a polite reply to a customer who asks why their data is not stored in the cloud."
                ),
            ),
            (
                self.tr("Explain a rule"),
                self.tr(
                    "Explain in plain words what Article 28 GDPR asks of a company that uses a processor."
                ),
            ),
            (
                self.tr("Make a checklist"),
                self.tr("Write a checklist for handing over a patient's file to another hospital."),
            ),
        ):
            self._add_example(title, prompt)
        self._inner = QVBoxLayout()
        for widget in (self._greeting, self._line):
            widget.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            self._inner.addWidget(widget)
        self._note.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self._inner.addLayout(self._cards)
        self._inner.addWidget(self._note)
        self._held = QWidget()
        self._held.setLayout(self._inner)
        self._inner.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self._held, 10_000)
        row.addStretch(1)
        self._outer = QVBoxLayout(self)
        self._outer.addStretch(4)
        self._outer.addLayout(row)
        self._outer.addStretch(5)
        theme.changed.connect(self._fit)
        self._fit()

    def set_note(self, text: str) -> None:
        """Say something about the model under the examples; empty says nothing."""
        self._note.setText(text)
        self._note.setVisible(bool(text))

    @property
    def note(self) -> str:
        """What is said about the model."""
        return self._note.text()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Examples stand side by side, or one under the other where that is too narrow to read."""
        super().resizeEvent(event)
        narrow = self.width() < self._theme.px(520)
        side = QBoxLayout.Direction.LeftToRight
        self._cards.setDirection(QBoxLayout.Direction.TopToBottom if narrow else side)
        fit = (self.height() - self._theme.px(200)) // self._theme.px(130)
        for number, button in enumerate(self.examples):
            button.setVisible(number < fit if narrow else fit > 0)

    def _add_example(self, title: str, prompt: str) -> None:
        button = Button(self._theme, "", look="example")
        button.setAccessibleName(f"{title}: {prompt}")
        button.clicked.connect(lambda: self.prompt_chosen.emit(prompt))
        column = QVBoxLayout(button)
        for text, look in ((title, "strong"), (prompt, "dim")):
            part = label(text, look, wrap=True)
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            column.addWidget(part)
        column.addStretch(1)
        self.examples.append(button)
        self._cards.addWidget(button, 1)

    def _fit(self) -> None:
        px = self._theme.px
        self._inner.setSpacing(px(8))
        self._cards.setSpacing(px(12))
        self._cards.setContentsMargins(0, px(18), 0, px(14))
        side = px(20)
        self._held.setMaximumWidth(px(COLUMN))
        self._outer.setContentsMargins(side, px(12), side, px(12))
        for button in self.examples:
            column = button.layout()
            assert column is not None
            column.setContentsMargins(px(14), px(12), px(14), px(12))
            column.setSpacing(px(4))

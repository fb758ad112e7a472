"""The right panel: system prompt and sampling parameters of the shown conversation."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QRegularExpressionValidator, QWheelEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from localai_app.chat.conversation import Overflow, Parameters
from localai_app.engine.protocol import Sampling
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.choice import Choice
from localai_app.ui.widgets.labels import label, restyle

DEFAULTS = Parameters(
    temperature=Sampling().temperature,
    top_k=Sampling().top_k,
    top_p=Sampling().top_p,
    min_p=Sampling().min_p,
    repeat_penalty=Sampling().repeat_penalty,
    max_tokens=0,
    seed=None,
    overflow="stop",
)
SAVE_DELAY_MS = 500
OVERFLOWS: tuple[Overflow, ...] = ("stop", "drop_oldest", "keep_start_and_end")


class _Spin(QDoubleSpinBox):
    """A spin box that the wheel passes over unless it has the focus."""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll the panel, not the value."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class ParameterPanel(QFrame):
    """Shows a conversation's parameters; those not set show the default in dim text."""

    parameters_changed = Signal(object)
    system_prompt_changed = Signal(str)
    closed = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._parameters = Parameters()
        self._prompt = ""
        self._defaults = DEFAULTS
        self.setProperty("look", "panel")
        self._rows: dict[str, tuple[QWidget, IconButton]] = {}
        self._grid = QGridLayout()
        self._prompt_edit = QPlainTextEdit()
        self._prompt_edit.setProperty("look", "field")
        self._prompt_edit.setTabChangesFocus(True)
        self._prompt_edit.setAccessibleName(self.tr("System prompt"))
        self._prompt_edit.setPlaceholderText(
            self.tr("Instructions that the model reads before the conversation")
        )
        self._prompt_edit.textChanged.connect(self._prompt_typed)
        self._add_rows()
        self._reset = Button(theme, self.tr("Reset all to defaults"), icon="rotate-ccw", size=16)
        self._reset.clicked.connect(self._reset_all)
        close = IconButton(theme, "x", self.tr("Close the panel"))
        close.clicked.connect(self.closed)
        head = QHBoxLayout()
        head.addWidget(label(self.tr("Parameters"), "title"), 1)
        head.addWidget(close)
        inside = QWidget()
        inside.setProperty("look", "plain")
        self._column = QVBoxLayout(inside)
        self._column.addLayout(head)
        self._column.addWidget(label(self.tr("For this chat only."), "dim"))
        self._column.addWidget(label(self.tr("SYSTEM PROMPT"), "section"))
        self._column.addWidget(self._prompt_edit)
        self._column.addWidget(label(self.tr("SAMPLING"), "section"))
        self._column.addLayout(self._grid)
        self._column.addWidget(self._reset)
        self._column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self._save = QTimer(self)
        self._save.setSingleShot(True)
        self._save.setInterval(SAVE_DELAY_MS)
        self._save.timeout.connect(self.flush)
        self._pending: set[str] = set()
        theme.changed.connect(self._fit)
        self._fit()
        self.show_values("", Parameters())

    @property
    def parameters(self) -> Parameters:
        """What is set."""
        return self._parameters

    @property
    def system_prompt(self) -> str:
        """What the system prompt field holds."""
        return self._prompt

    def show_values(self, system_prompt: str, parameters: Parameters) -> None:
        """Show another conversation's values."""
        self._save.stop()
        self._pending.clear()
        self._parameters, self._prompt = parameters, system_prompt
        with QSignalBlocker(self._prompt_edit):
            self._prompt_edit.setPlainText(system_prompt)
        for name in self._rows:
            self._show_value(name)

    def set_recommended(self, values: Mapping[str, float]) -> None:
        """Show what the model's publisher recommends where nothing is set."""
        known = {field.name for field in fields(Parameters)}
        usable = {name: value for name, value in values.items() if name in known}
        self._defaults = replace(DEFAULTS, **usable)  # type: ignore[arg-type]
        for name in self._rows:
            self._show_value(name)

    def flush(self) -> None:
        """Hand over what was changed and not yet told."""
        self._save.stop()
        if "prompt" in self._pending:
            self.system_prompt_changed.emit(self._prompt)
        if "parameters" in self._pending:
            self.parameters_changed.emit(self._parameters)
        self._pending.clear()

    def widget(self, name: str) -> QWidget:
        """The field of parameter ``name``."""
        return self._rows[name][0]

    def reset_button(self, name: str) -> IconButton:
        """The button that takes parameter ``name`` back to its default."""
        return self._rows[name][1]

    def _add_rows(self) -> None:
        self._add("temperature", self.tr("Temperature"), self._number(0.0, 5.0, 0.05, 2))
        self._add("top_k", self.tr("Top K"), self._number(0, 1000, 1, 0))
        self._add("top_p", self.tr("Top P"), self._number(0.0, 1.0, 0.01, 2))
        self._add("min_p", self.tr("Min P"), self._number(0.0, 1.0, 0.01, 2))
        self._add("repeat_penalty", self.tr("Repeat penalty"), self._number(0.0, 3.0, 0.05, 2))
        tokens = self._number(0, 1_000_000, 64, 0)
        tokens.setSpecialValueText(self.tr("no limit"))
        self._add("max_tokens", self.tr("Max tokens"), tokens)
        seed = QLineEdit()
        seed.setPlaceholderText(self.tr("random"))
        seed.setValidator(QRegularExpressionValidator("[0-9]{0,9}", seed))
        seed.textEdited.connect(lambda text: self._set("seed", int(text) if text else None))
        self._add("seed", self.tr("Seed"), seed)
        overflow = Choice(self._theme)
        for text in (self.tr("Stop and say so"), self.tr("Drop the oldest"), self.tr("Keep start and end")):
            overflow.addItem(text)
        overflow.activated.connect(lambda row: self._set("overflow", OVERFLOWS[row]))
        self._add("overflow", self.tr("Context overflow"), overflow)

    def _number(self, low: float, high: float, step: float, decimals: int) -> _Spin:
        spin = _Spin()
        spin.setRange(low, high)
        spin.setSingleStep(step)
        spin.setDecimals(decimals)
        spin.setKeyboardTracking(False)
        spin.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        return spin

    def _add(self, name: str, text: str, field: QWidget) -> None:
        field.setAccessibleName(text)
        if isinstance(field, QComboBox):
            field.view().setAccessibleName(text)
        reset = IconButton(
            self._theme, "rotate-ccw", self.tr("Reset {0} to its default").format(text), size=15
        )
        reset.clicked.connect(lambda: self._set(name, None, shown=True))
        if isinstance(field, QDoubleSpinBox):
            whole = field.decimals() == 0
            field.valueChanged.connect(
                lambda value: self._set(name, int(value) if whole else round(value, 3))
            )
        row = self._grid.rowCount()
        if isinstance(field, QComboBox):
            self._grid.addWidget(label(text), row, 0, 1, 3)
            self._grid.addWidget(field, row + 1, 0, 1, 2)
            self._grid.addWidget(reset, row + 1, 2)
        else:
            self._grid.addWidget(label(text), row, 0)
            self._grid.addWidget(field, row, 1)
            self._grid.addWidget(reset, row, 2)
        self._grid.setColumnStretch(0, 1)
        self._rows[name] = (field, reset)

    def _set(self, name: str, value: float | int | str | None, *, shown: bool = False) -> None:
        self._parameters = replace(self._parameters, **{name: value})  # type: ignore[arg-type]
        if shown:
            self._show_value(name)
        self._mark(name)
        self._pending.add("parameters")
        self._save.start()

    def _show_value(self, name: str) -> None:
        field = self._rows[name][0]
        value: Any = getattr(self._parameters, name)
        shown = getattr(self._defaults, name) if value is None else value
        with QSignalBlocker(field):
            if isinstance(field, QDoubleSpinBox):
                field.setValue(shown)
            elif isinstance(field, QLineEdit):
                field.setText("" if shown is None else str(shown))
            else:
                cast(QComboBox, field).setCurrentIndex(OVERFLOWS.index(shown))
        self._mark(name)

    def _mark(self, name: str) -> None:
        field, reset = self._rows[name]
        unset = getattr(self._parameters, name) is None
        restyle(field, unset=unset)
        reset.setEnabled(not unset)
        keep = reset.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        reset.setSizePolicy(keep)
        reset.setVisible(not unset)
        self._reset.setEnabled(
            any(getattr(self._parameters, each.name) is not None for each in fields(Parameters))
        )

    def _reset_all(self) -> None:
        self._parameters = Parameters()
        for name in self._rows:
            self._show_value(name)
        self._pending.add("parameters")
        self._save.start()

    def _prompt_typed(self) -> None:
        self._prompt = self._prompt_edit.toPlainText()
        self._pending.add("prompt")
        self._save.start()

    def _fit(self) -> None:
        px = self._theme.px
        self.setFixedWidth(px(308))
        self._column.setContentsMargins(px(16), px(14), px(16), px(14))
        self._column.setSpacing(px(10))
        self._grid.setVerticalSpacing(px(6))
        self._grid.setHorizontalSpacing(px(6))
        self._prompt_edit.setFixedHeight(px(110))
        for field, _ in self._rows.values():
            if not isinstance(field, QComboBox):
                field.setFixedWidth(px(104))
            if isinstance(field, QDoubleSpinBox):
                field.lineEdit().setTextMargins(px(6), 0, 0, 0)

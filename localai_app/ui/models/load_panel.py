"""How the selected model is loaded: chosen by the app, or set here, with what it needs of the memory."""

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QSignalBlocker, Qt, QTimer
from PySide6.QtGui import QShowEvent, QWheelEvent
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from localai_app.errors import LocalAIError
from localai_app.models.fit import KvType
from localai_app.models.loading import SHORTEST_CONTEXT, LoadPlan, Overrides
from localai_app.models.service import ModelService
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.check import Check
from localai_app.ui.widgets.choice import Choice
from localai_app.ui.widgets.labels import label, restyle

SAVE_DELAY_MS = 500
KV_TYPES: tuple[KvType | None, ...] = (None, "f16", "q8_0", "q4_0")
_LONGEST_CONTEXT = 1_048_576
"""Where a model does not say."""


class _Spin(QSpinBox):
    """A spin box that the wheel passes over unless it has the focus."""

    def __init__(self) -> None:
        super().__init__()
        self.setKeyboardTracking(False)
        self.setGroupSeparatorShown(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Scroll the page, not the value."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class LoadPanel(QWidget):
    """Context length, KV cache and GPU layers of the selected model, and the estimate of their cost.

    A value that the app chooses is shown in dim text. What is set is kept once typing rests; the next
    message loads the model so.
    """

    def __init__(self, theme: Theme, jobs: Jobs, models: ModelService) -> None:
        super().__init__()
        self._theme, self._jobs, self._models = theme, jobs, models
        self._plan: LoadPlan | None = None
        self._overrides = Overrides()
        self._asked = 0
        self._pending = False
        self._name = label("", "strong")
        self.estimate = label("", "dim", wrap=True)
        self.shortage = label(
            self.tr(
                "The model is not loaded like this. Close other programs, choose less, "
                "or let it load even when memory seems short."
            ),
            "warn",
            wrap=True,
        )
        self.shortage.hide()
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setRange(0, 1000)
        self._bar.setAccessibleName(self.tr("Part of the free memory that the model needs"))
        self.context = _Spin()
        self.context.setSingleStep(1024)
        self.context.valueChanged.connect(lambda value: self._set(context_length=value))
        self.kv_type = Choice(theme)
        self.kv_type.activated.connect(lambda row: self._set(kv_type=KV_TYPES[row]))
        self.gpu_layers = _Spin()
        self.gpu_layers.valueChanged.connect(lambda value: self._set(gpu_layers=value))
        self.anyway = Check(theme, self.tr("Load it even when memory seems short"))
        self.anyway.clicked.connect(lambda checked: self._set(anyway=checked))
        self.reset = Button(theme, self.tr("Reset"), icon="rotate-ccw", size=16)
        self.reset.clicked.connect(self._reset)
        self._rows: dict[str, tuple[QWidget, IconButton]] = {}
        self._grid = QGridLayout()
        self._grid.setColumnStretch(0, 1)
        self._add_row(
            "context_length",
            self.tr("Context length"),
            self.tr("Tokens that the model can have in view; more take more memory."),
            self.context,
        )
        self._add_row(
            "kv_type",
            self.tr("KV cache"),
            self.tr("How exactly the context is kept; q8_0 takes half as much memory."),
            self.kv_type,
        )
        self._no_gpu = self.tr("No GPU was found that this app can compute on.")
        self._gpu_words = self._add_row("gpu_layers", self.tr("GPU layers"), self._no_gpu, self.gpu_layers)
        ending = QHBoxLayout()
        ending.addWidget(self.anyway, 1)
        ending.addWidget(self.reset)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        for part in (self._name, self.estimate, self._bar, self.shortage):
            self._column.addWidget(part)
        self._column.addLayout(self._grid)
        self._column.addLayout(ending)
        self._save = QTimer(self)
        self._save.setSingleShot(True)
        self._save.setInterval(SAVE_DELAY_MS)
        self._save.timeout.connect(self.flush)
        theme.changed.connect(self._fit)
        self._fit()
        self._set_enabled(False)

    def refresh(self) -> None:
        """Look at the selected model, and at the memory as it is now."""
        self.flush()
        self._ask(None, None)

    def flush(self) -> None:
        """Keep what was set and is not yet kept."""
        if not self._pending or self._plan is None:
            return
        self._pending = False
        self._save.stop()
        path, overrides = self._plan.path, self._overrides
        # In the lane of the plans, so that one made afterwards knows of it.
        job = self._jobs.run(lambda: self._models.set_overrides(path, overrides), lane="fit")
        job.failed.connect(self._show_error)

    def _add_row(self, name: str, title: str, text: str, field: QWidget) -> QLabel:
        field.setAccessibleName(title)
        if isinstance(field, Choice):
            field.view().setAccessibleName(title)
        words, more = QVBoxLayout(), label(text, "dim", wrap=True)
        words.setSpacing(2)
        words.addWidget(label(title))
        words.addWidget(more)
        reset = IconButton(
            self._theme, "rotate-ccw", self.tr("Let the app choose: {0}").format(title), size=15
        )
        keep = reset.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        reset.setSizePolicy(keep)
        reset.clicked.connect(lambda: self._set(**{name: getattr(Overrides(), name)}))
        row = self._grid.rowCount()
        self._grid.addLayout(words, row, 0)
        self._grid.addWidget(field, row, 1)
        self._grid.addWidget(reset, row, 2)
        self._rows[name] = (field, reset)
        return more

    # ------------------------------------------------------------ asking

    def _ask(self, path: Path | None, overrides: Overrides | None) -> None:
        """Have the plan made; of several answers under way the last one counts."""
        self._asked += 1
        number = self._asked
        job = self._jobs.run(lambda: self._models.plan(path, overrides), lane="fit")
        job.returned.connect(lambda plan: self._show_plan(plan) if number == self._asked else None)
        job.failed.connect(lambda error: self._show_error(error) if number == self._asked else None)

    def _set(self, **changes: object) -> None:
        if self._plan is None:
            return
        overrides = replace(self._overrides, **changes)  # type: ignore[arg-type]
        if 0 < overrides.context_length < SHORTEST_CONTEXT:
            overrides = replace(overrides, context_length=SHORTEST_CONTEXT)
        self._overrides = overrides
        self._mark()
        self._pending = True
        self._save.start()
        self._ask(self._plan.path, overrides)

    def _reset(self) -> None:
        self._set(context_length=0, kv_type=None, gpu_layers=-1, anyway=False)

    # ------------------------------------------------------------ showing

    def _show_plan(self, plan: LoadPlan) -> None:
        self._plan, self._overrides = plan, plan.overrides
        fit = plan.fit
        self._name.setText(plan.name)
        self.setAccessibleName(plan.name)
        self.estimate.setText(fit.words)
        self._bar.setValue(min(1000, round(1000 * fit.needed / max(1, fit.ram_free))))
        self.shortage.setVisible(plan.refusal is not None)
        for field, value, highest in (
            (self.context, fit.context_length, plan.longest_context or _LONGEST_CONTEXT),
            (self.gpu_layers, fit.gpu_layers, fit.layers + 1),
        ):
            with QSignalBlocker(field):
                field.setRange(0, highest)
                field.setValue(value)
        with QSignalBlocker(self.kv_type):
            self.kv_type.clear()
            self.kv_type.addItem(self.tr("Automatic ({0})").format(fit.kv_type))
            self.kv_type.addItems([str(kind) for kind in KV_TYPES[1:]])
            self.kv_type.setCurrentIndex(KV_TYPES.index(plan.overrides.kv_type))
        self.anyway.setChecked(plan.overrides.anyway)
        self._gpu_words.setText(
            self.tr("{0} layers, counted with the output.").format(fit.layers + 1)
            if plan.has_gpu
            else self._no_gpu
        )
        self._set_enabled(True)
        self._mark()

    def _show_error(self, error: LocalAIError) -> None:
        self._plan = None
        self.estimate.setText(error.line)
        self.shortage.hide()
        self._bar.setValue(0)
        self._set_enabled(False)

    def _set_enabled(self, enabled: bool) -> None:
        has_gpu = self._plan is not None and self._plan.has_gpu
        for name, (field, reset) in self._rows.items():
            field.setEnabled(enabled and (has_gpu or name != "gpu_layers"))
            reset.setVisible(False)
        self.anyway.setEnabled(enabled)
        self.reset.setEnabled(False)

    def _mark(self) -> None:
        """Show which values are set."""
        for name, (field, reset) in self._rows.items():
            unset = getattr(self._overrides, name) == getattr(Overrides(), name)
            restyle(field, unset=unset)
            reset.setVisible(not unset and field.isEnabled())
        self.reset.setEnabled(not self._overrides.automatic)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(10))
        self._grid.setVerticalSpacing(px(12))
        self._grid.setHorizontalSpacing(px(6))
        for field in (self.context, self.gpu_layers, self.kv_type):
            field.setFixedWidth(px(172))
        for spin in (self.context, self.gpu_layers):
            spin.lineEdit().setTextMargins(px(6), 0, 0, 0)

    def showEvent(self, event: QShowEvent) -> None:
        """What is free has changed since the page was shown last."""
        super().showEvent(event)
        self.refresh()

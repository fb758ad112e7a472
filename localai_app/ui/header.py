"""The line at the top: model, device, context, encryption, network. State in words, always in view."""

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel

from localai_app.engine.protocol import ModelInfo
from localai_app.models.installed import InstalledModel
from localai_app.models.residency import Absence
from localai_app.ui.key_guard import KeyGuard
from localai_app.ui.network_button import NetworkButton
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import Chip, label


class Header(QFrame):
    """Shows state; the model's button asks for the picker."""

    picker_requested = Signal()
    proof_requested = Signal()
    """That nothing is connected."""

    def __init__(self, theme: Theme, key: KeyGuard) -> None:
        super().__init__()
        self._theme = theme
        self._available = 0
        self._used = 0
        self._state: tuple[str, ...] = ()
        """What is said of the model, the longest first."""
        self._model = self.tr("Choose a model")
        self.setProperty("look", "header")
        self._name = label(self.tr("LocalAI App"), "strong")
        self.model_button = Button(
            theme, self.tr("Choose a model"), look="model", icon="cpu", tint="text", size=16
        )
        self.model_button.clicked.connect(self.picker_requested)
        self._mark = QLabel(self.model_button)
        self._mark.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.device = label("", "dim")
        self.context = Chip(theme, "gauge", "")
        self.weak = Chip(
            theme, "triangle-alert", self.tr("Encrypted · weak key"), look="chip-warn", tint="warn"
        )
        self.encryption = Chip(theme, "lock", self.tr("Encrypted"))
        self.network = NetworkButton(theme)
        self.network.clicked.connect(self.proof_requested)
        self._row = QHBoxLayout(self)
        self._row.addWidget(self._name)
        self._row.addWidget(self.model_button)
        self._row.addWidget(self.device)
        self._row.addWidget(self.context)
        self._row.addStretch(1)
        self._row.addWidget(self.weak, 0, Qt.AlignmentFlag.AlignVCenter)
        self._row.addWidget(self.encryption, 0, Qt.AlignmentFlag.AlignVCenter)
        self._row.addWidget(self.network, 0, Qt.AlignmentFlag.AlignVCenter)
        theme.changed.connect(self._fit)
        self._fit()
        self.show_connection("")
        self.show_key(key)

    def show_key(self, key: KeyGuard) -> None:
        """Show how the store's key is guarded."""
        for chip in (self.weak, self.encryption):
            chip.setVisible((chip is self.weak) == key.weak)
            chip.setToolTip(key.words)
            chip.setAccessibleDescription(key.words)
        self._make_room()

    def show_model(
        self, selected: InstalledModel | None, info: ModelInfo | None, absence: Absence = ""
    ) -> None:
        """Show which model answers and, once it is loaded, on what; or why it is not any more."""
        if selected is None:
            self._model = self.tr("Choose a model")
        else:
            parts = [_short(selected.name)] + ([selected.quantisation] if selected.quantisation else [])
            self._model = " · ".join(parts)
        if info is None:
            self._show_absence(absence)
        else:
            threads = (
                self.tr("1 thread") if info.threads == 1 else self.tr("{0} threads").format(info.threads)
            )
            self._state = (f"{info.device} · {threads}",)
            self.device.setToolTip(self.tr("Confinement of the engine: {0}").format(info.confinement))
        self._available = info.context_length if info is not None else 0
        self._show_context()

    def show_loading(self) -> None:
        """Show that the model is on its way."""
        self._state = (self.tr("Loading the model…"),)
        self.device.setToolTip("")
        self._make_room()

    def _show_absence(self, absence: Absence) -> None:
        if absence == "idle":
            self._state = (self.tr("Unloaded · loads with your next message"), self.tr("Unloaded"))
            why = self.tr("The model was not used for a while and gave its memory back.")
        elif absence == "memory":
            self._state = (
                self.tr("Unloaded, memory is short · loads with your next message"),
                self.tr("Unloaded"),
            )
            why = self.tr("Memory was short on this computer, so the idle model gave its own back.")
        else:
            self._state = ()
            self.device.setToolTip("")
            return
        self.device.setToolTip(why + " " + self.tr("Your next message loads it again; nothing is lost."))

    def show_connection(self, host: str) -> None:
        """Show that models are fetched from ``host``; empty: nothing is connected."""
        self.network.show_host(host)
        self._make_room()

    def show_used(self, tokens: int) -> None:
        """Show how much of the context the conversation takes."""
        self._used = tokens
        self._show_context()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what matters less when there is no room."""
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """Device goes first, then context; the model's name is cut, the app's goes. Encryption and network
        always stay."""
        px = self._theme.px
        spacing, frame = px(14), px(70)
        room = self.width() - 2 * px(16)
        self.network.fit(room)
        key = self.encryption if self.weak.isHidden() else self.weak
        room -= sum(part.sizeHint().width() + spacing for part in (key, self.network))
        name = self._name.sizeHint().width() + spacing
        self._name.setVisible(room - name >= px(40) + frame)
        room -= name if self._name.isVisibleTo(self) else 0
        cut = self.model_button.fontMetrics().elidedText(
            self._model, Qt.TextElideMode.ElideRight, max(px(40), room - frame)
        )
        self.model_button.set_text(cut)
        self.model_button.setAccessibleName(self.tr("Model: {0}").format(self._model))
        self.model_button.setToolTip(self._model if cut != self._model else "")
        self._place_mark()
        room -= self.model_button.width() + spacing
        fits = bool(self._available) and self.context.sizeHint().width() + spacing <= room
        self.context.setVisible(fits)
        if fits:
            room -= self.context.sizeHint().width() + spacing
        for words in self._state or ("",):
            self.device.setText(words)
            fits = bool(words) and self.device.sizeHint().width() + spacing <= room
            self.device.setVisible(fits)
            if fits:
                break

    def _show_context(self) -> None:
        number = QLocale().toString
        self.context.set_text(f"{number(self._used)} / {number(self._available)}")
        words = self.tr("{0} of {1} tokens of context are used")
        self.context.setToolTip(words.format(number(self._used), number(self._available)))
        self._make_room()

    def _fit(self) -> None:
        px = self._theme.px
        self.setFixedHeight(px(44))
        self._row.setContentsMargins(px(16), 0, px(16), 0)
        self._row.setSpacing(px(14))
        self._mark.setPixmap(
            self._theme.icon("chevron-down", "text").pixmap(
                self._theme.icon_size(15), self.devicePixelRatioF()
            )
        )
        self._make_room()

    def _place_mark(self) -> None:
        """The arrow that says "a list drops from here", at the button's right."""
        self.model_button.setFixedWidth(self.model_button.sizeHint().width() + self._theme.px(22))
        height, side = self.model_button.sizeHint().height(), self._theme.px(15)
        self._mark.setGeometry(
            self.model_button.width() - side - self._theme.px(10), (height - side) // 2, side, side
        )


def _short(name: str) -> str:
    """Room in the header is short; the picker shows the whole name."""
    return name if len(name) <= 34 else name[:33] + "…"

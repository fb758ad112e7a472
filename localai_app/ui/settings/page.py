"""The Settings page."""

from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from localai_app import __version__
from localai_app.models.residency import IDLE_MINUTES
from localai_app.paths import Paths, portable_folder
from localai_app.ui.key_guard import KeyGuard
from localai_app.ui.models.load_panel import LoadPanel
from localai_app.ui.theme import MODES, Mode, Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.choice import Choice
from localai_app.ui.widgets.labels import label
from localai_app.ui.widgets.padlock import Lock, Locks


class SettingsPage(QWidget):
    """Look, keys, and where everything is kept."""

    mode_chosen = Signal(str)
    send_key_chosen = Signal(bool)
    """True: Ctrl+Enter sends; False: Enter sends."""
    shortcuts_requested = Signal()
    passphrase_requested = Signal()
    backup_requested = Signal()
    connection_requested = Signal()
    organisation_requested = Signal()
    idle_chosen = Signal(int)
    """Minutes until an idle model is unloaded; 0: never."""

    def __init__(
        self,
        theme: Theme,
        paths: Paths,
        key: KeyGuard,
        model: LoadPanel,
        locks: Locks,
        *,
        send_with_ctrl: bool,
        idle_minutes: int,
        fetches: bool,
        backs_up: bool,
    ) -> None:
        """``model`` is what there is to set of the model; ``fetches``: models may be downloaded;
        ``backs_up``: backups may be written."""
        super().__init__()
        self._theme = theme
        self.setProperty("look", "page")
        inside = QWidget()
        inside.setProperty("look", "plain")
        self._column = QVBoxLayout(inside)
        self._column.addWidget(label(self.tr("Settings"), "title"))
        self._cards: list[QVBoxLayout] = []
        self._add_look()
        self._add_writing(send_with_ctrl)
        self._add_model(model, idle_minutes)
        if fetches:
            self._add_connection()
        portable = portable_folder()
        self._add_storage(paths, portable, backs_up=backs_up)
        locks.hold(self.passphrase, Lock.KEY_GUARD)
        if backs_up:
            locks.hold(self.backup, Lock.EXPORT)
        self._add_organisation()
        self.show_key(key)
        version = self.tr("LocalAI App {0}, portable copy") if portable else self.tr("LocalAI App {0}")
        self.version = label(version.format(__version__), "dim")
        self._column.addWidget(self.version)
        self._column.addStretch(1)
        holder = QWidget()
        holder.setProperty("look", "plain")
        row = QHBoxLayout(holder)
        row.addStretch(1)
        row.addWidget(inside, 100)
        row.addStretch(1)
        self._inside = inside
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(holder)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        theme.changed.connect(self._fit)
        self._fit()

    def _card(self, title: str) -> QVBoxLayout:
        self._column.addWidget(label(title.upper(), "section"))
        card = QFrame()
        card.setProperty("look", "card")
        column = QVBoxLayout(card)
        self._column.addWidget(card)
        self._cards.append(column)
        return column

    def _row(self, column: QVBoxLayout, title: str, text: str, *widgets: QWidget) -> None:
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(label(title))
        if text:
            words.addWidget(label(text, "dim", wrap=True))
        row = QHBoxLayout()
        row.addLayout(words, 1)
        for widget in widgets:
            row.addWidget(widget)
        column.addLayout(row)

    def _add_look(self) -> None:
        column = self._card(self.tr("Look"))
        self.mode_buttons: dict[Mode, QRadioButton] = {}
        group = QButtonGroup(self)
        names = {"system": self.tr("System"), "light": self.tr("Light"), "dark": self.tr("Dark")}
        for mode in MODES:
            button = QRadioButton(names[mode])
            button.setAccessibleName(self.tr("Theme: {0}").format(names[mode]))
            button.setChecked(mode == self._theme.mode)
            button.clicked.connect(lambda _=False, mode=mode: self.mode_chosen.emit(mode))
            group.addButton(button)
            self.mode_buttons[mode] = button
        self._row(column, self.tr("Theme"), "", *self.mode_buttons.values())
        smaller = IconButton(self._theme, "minus", self.tr("Smaller text"))
        larger = IconButton(self._theme, "plus", self.tr("Larger text"))
        self._zoom = label()
        self._zoom.setAlignment(Qt.AlignmentFlag.AlignCenter)
        smaller.clicked.connect(lambda: self._theme.step_zoom(-1))
        larger.clicked.connect(lambda: self._theme.step_zoom(1))
        self._row(
            column, self.tr("Text size"), self.tr("Ctrl +, Ctrl −, Ctrl 0"), smaller, self._zoom, larger
        )

    def _add_writing(self, send_with_ctrl: bool) -> None:
        column = self._card(self.tr("Writing"))
        group = QButtonGroup(self)
        enter = QRadioButton(self.tr("Enter"))
        control = QRadioButton(self.tr("Ctrl+Enter"))
        enter.setAccessibleName(self.tr("Enter sends"))
        control.setAccessibleName(self.tr("Ctrl+Enter sends"))
        (control if send_with_ctrl else enter).setChecked(True)
        for button, value in ((enter, False), (control, True)):
            group.addButton(button)
            button.clicked.connect(lambda _=False, value=value: self.send_key_chosen.emit(value))
        self.send_buttons = {False: enter, True: control}
        self._row(column, self.tr("Send with"), self.tr("The other key begins a new line."), enter, control)
        keys = Button(self._theme, self.tr("Show all shortcuts"), icon="keyboard", size=16)
        keys.clicked.connect(self.shortcuts_requested)
        self._row(column, self.tr("Keyboard"), self.tr("Everything can be reached without a mouse."), keys)

    def _add_model(self, model: LoadPanel, idle_minutes: int) -> None:
        column = self._card(self.tr("Model"))
        self.model = model
        column.addWidget(model)
        self.idle = Choice(self._theme)
        self.idle.setAccessibleName(self.tr("Unload when idle"))
        self.idle.view().setAccessibleName(self.tr("Unload when idle"))
        names = {
            5: self.tr("After 5 minutes"),
            30: self.tr("After 30 minutes"),
            60: self.tr("After 1 hour"),
            0: self.tr("Never"),
        }
        for minutes in IDLE_MINUTES:
            self.idle.addItem(names[minutes], minutes)
        self.idle.setCurrentIndex(self.idle.findData(idle_minutes))
        self.idle.activated.connect(lambda row: self.idle_chosen.emit(self.idle.itemData(row)))
        words = self.tr(
            "A model that is not used gives its memory back, sooner when memory is short. "
            "Your next message loads it again."
        )
        self._row(column, self.tr("Unload when idle"), words, self.idle)

    def _add_connection(self) -> None:
        column = self._card(self.tr("Downloads"))
        self.connection = Button(self._theme, self.tr("Hub, proxy and token…"))
        self.connection.clicked.connect(self.connection_requested)
        words = self.tr("The hub or mirror, the proxy on the way to it, and your access token.")
        self._row(column, self.tr("How models are fetched"), words, self.connection)

    def _add_storage(self, paths: Paths, portable: Path | None, *, backs_up: bool) -> None:
        column = self._card(self.tr("Your data"))
        if portable is not None and paths.data.is_relative_to(portable):
            words = self.tr(
                "Chats, documents, key, models and caches are all kept in {0}, beside the program. "
                "Nothing is kept on this computer, and its keystore is not used."
            )
            self._row(column, self.tr("Portable copy"), words.format(portable))
        folder = Button(self._theme, self.tr("Open folder"), icon="folder-open", size=16)
        folder.clicked.connect(lambda: _show_folder(paths.data))
        self._row(column, self.tr("Data folder"), str(paths.data), folder)
        self.passphrase = Button(self._theme, self.tr("Set a passphrase…"), icon="lock", size=16)
        self.passphrase.clicked.connect(self.passphrase_requested)
        encrypted = self.tr("Chats are kept in an encrypted database (SQLCipher).")
        self._row(column, self.tr("Encryption"), encrypted, self.passphrase)
        self._weak_key, self._key = label("", "warn", wrap=True), label("", "dim", wrap=True)
        column.addWidget(self._weak_key)
        column.addWidget(self._key)
        if backs_up:
            self.backup = Button(self._theme, self.tr("Back up…"), icon="download", size=16)
            self.backup.clicked.connect(self.backup_requested)
            words = self.tr(
                "All that you made, in one encrypted file with its own passphrase; models are not in it. "
                "To restore it: localai-app backup restore FILE."
            )
            self._row(column, self.tr("Backup"), words, self.backup)
        models = Button(self._theme, self.tr("Open folder"), icon="folder-open", size=16)
        models.setAccessibleName(self.tr("Open the models folder"))
        models.clicked.connect(lambda: _show_folder(paths.models[0]))
        self._row(column, self.tr("Models"), str(paths.models[0]), models)

    def _add_organisation(self) -> None:
        column = self._card(self.tr("Organisation"))
        self.organisation = Button(
            self._theme, self.tr("Policy and audit log…"), icon="shield-check", size=16
        )
        self.organisation.clicked.connect(self.organisation_requested)
        words = self.tr(
            "What an administrator set for this computer, how your data is protected, and the record of "
            "what was done."
        )
        self._row(column, self.tr("Policy and audit"), words, self.organisation)

    def _fit(self) -> None:
        px = self._theme.px
        self._inside.setMaximumWidth(px(720))
        self._column.setContentsMargins(px(20), px(24), px(20), px(24))
        self._column.setSpacing(px(12))
        for card in self._cards:
            card.setContentsMargins(px(16), px(14), px(16), px(14))
            card.setSpacing(px(14))
        self._zoom.setText(self.tr("{0} %").format(round(self._theme.zoom * 100)))
        self._zoom.setMinimumWidth(px(52))
        self.mode_buttons[self._theme.mode].setChecked(True)

    def show_key(self, key: KeyGuard) -> None:
        """Tell how the store's key is guarded."""
        for words in (self._weak_key, self._key):
            words.setText(key.words)
            words.setVisible((words is self._weak_key) == key.weak)

    def focus_first(self) -> None:
        """Begin at the theme."""
        self.mode_buttons[self._theme.mode].setFocus(Qt.FocusReason.OtherFocusReason)


def _show_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))

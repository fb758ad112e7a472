"""The window: header, rail, pages."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, Qt
from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QIcon, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from localai_app.chat.service import ChatService
from localai_app.engine.protocol import ModelInfo
from localai_app.errors import LocalAIError
from localai_app.models.installed import InstalledModel
from localai_app.models.service import ModelService
from localai_app.paths import Paths
from localai_app.ui.chat.page import ChatPage
from localai_app.ui.header import Header
from localai_app.ui.jobs import Jobs
from localai_app.ui.key_guard import KeyGuard
from localai_app.ui.models.picker import ModelPicker
from localai_app.ui.preferences import Preferences
from localai_app.ui.settings.page import SettingsPage
from localai_app.ui.shortcuts import ShortcutSheet
from localai_app.ui.startup import PassphraseDialog
from localai_app.ui.theme import Mode, Theme
from localai_app.ui.widgets.toast import Toast


class MainWindow(QMainWindow):
    """All pages over one chat service and one model service."""

    def __init__(  # noqa: PLR0917 - what a window needs
        self,
        theme: Theme,
        jobs: Jobs,
        chat: ChatService,
        models: ModelService,
        preferences: Preferences,
        paths: Paths,
        key: KeyGuard,
        set_passphrase: Callable[[str], KeyGuard],
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._models, self._preferences = theme, jobs, models, preferences
        self._selected: InstalledModel | None = None
        self._info: ModelInfo | None = None
        self.setWindowTitle(self.tr("LocalAI App"))
        self.setWindowIcon(QIcon(theme.icon("message-square", "accent")))
        self.setAcceptDrops(True)
        self.header = Header(theme, key)
        self.header.picker_requested.connect(self.open_picker)
        self.chat_page = ChatPage(theme, jobs, chat, lambda: self.toast)
        self.settings_page: SettingsPage | None = None
        self._key, self._set_passphrase = key, set_passphrase
        self._make_settings: Callable[[], SettingsPage] = lambda: SettingsPage(
            theme, paths, self._key, send_with_ctrl=preferences.send_with_ctrl
        )
        self._pages = QStackedWidget()
        self._pages.addWidget(self.chat_page)
        self._rail = QFrame()
        self._rail.setProperty("look", "rail")
        self._rail_buttons: list[QToolButton] = []
        self._build_rail()
        below = QWidget()
        row = QHBoxLayout(below)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self._rail)
        row.addWidget(self._pages, 1)
        whole = QWidget()
        column = QVBoxLayout(whole)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(below, 1)
        self.setCentralWidget(whole)
        self.toast = Toast(theme, whole)
        self._picker: ModelPicker | None = None
        self.chat_page.context_used.connect(self.header.show_used)
        self.chat_page.model_used.connect(self._look_at_model)
        self.chat_page.composer.edit.send_with_ctrl = preferences.send_with_ctrl
        self._add_actions()
        theme.changed.connect(self._theme_changed)
        self._fit()
        self._restore_geometry()
        self.chat_page.composer.edit.setFocus()

    def load(self) -> None:
        """Fetch what the window shows; called once it is visible."""
        self.chat_page.sidebar.load()
        self._look_at_model()
        job = self._jobs.run(self._models.load, lane="models")
        job.returned.connect(lambda _: self._look_at_model())
        # Why a model does not load is told with the first answer, or by the header when there is none.
        job.failed.connect(lambda _: self._look_at_model())

    def open_picker(self) -> None:
        """List the models under the header's button."""
        job = self._jobs.run(self._models.installed, lane="models-list")
        job.returned.connect(self._show_picker)
        job.failed.connect(self.chat_page.show_error)

    def open_files(self, files: list[Path]) -> None:
        """Take files that were handed to the app: a model is selected, for the rest there is a word."""
        models = [path for path in files if path.suffix.lower() == ".gguf"]
        if models:
            self.select_model(models[0])
        if len(models) < len(files):
            self.toast.show_message(self.tr("Documents cannot be opened yet; model files (.gguf) can."))

    def select_model(self, path: Path) -> None:
        """Let the model at ``path`` answer."""
        job = self._jobs.run(lambda: self._models.select(path), lane="models-list")
        job.returned.connect(self._model_selected)
        job.failed.connect(self.chat_page.show_error)

    def come_to_front(self) -> None:
        """Show the window over others."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()

    def show_chat(self) -> None:
        """Turn to the Chat page."""
        self._turn_to(0)
        self.chat_page.composer.edit.setFocus()

    def show_settings(self) -> None:
        """Turn to the Settings page."""
        self._turn_to(1)

    # ------------------------------------------------------------ model

    def _look_at_model(self) -> None:
        """Ask which model is selected and what is loaded."""

        def look() -> tuple[InstalledModel | None, ModelInfo | None, LocalAIError | None]:
            try:
                return self._models.selected(), self._models.loaded(), None
            except LocalAIError as error:
                return None, None, error

        self._jobs.run(look, lane="models-list").returned.connect(self._show_model)

    def _show_model(self, found: tuple[InstalledModel | None, ModelInfo | None, LocalAIError | None]) -> None:
        self._selected, info, error = found
        if info is not None and self._selected is not None and Path(info.path) != self._selected.path:
            info = None  # still the one before; the next answer loads the chosen one
        self._info = info
        if self._selected is not None:
            self.chat_page.panel.set_recommended(self._models.recommended_sampling(self._selected))
        self.header.show_model(self._selected, info)
        self.chat_page.set_model(self._selected, info, error)

    def _model_selected(self, model: InstalledModel) -> None:
        self.toast.show_message(self.tr("{0} answers from now on.").format(model.name))
        self._look_at_model()
        if not self.chat_page.any_generating:
            job = self._jobs.run(self._models.load, lane="models")
            job.returned.connect(lambda _: self._look_at_model())
            job.failed.connect(self.chat_page.show_error)

    def _show_picker(self, models: list[InstalledModel]) -> None:
        if self._picker is None:
            self._picker = ModelPicker(self._theme, self)
            self._picker.chosen.connect(self.select_model)
        self._picker.show_models(models, self._selected, self.header.model_button)

    # ------------------------------------------------------------ building

    def _build_rail(self) -> None:
        self._rail_column = QVBoxLayout(self._rail)
        self._add_page_button("message-square", self.tr("Chat"), 0).setChecked(True)
        self._rail_column.addStretch(1)
        self._add_page_button("settings", self.tr("Settings"), 1)

    def _add_page_button(self, icon: str, name: str, number: int) -> QToolButton:
        button = QToolButton()
        button.setProperty("look", "rail")
        button.setText(name)
        button.setAccessibleName(name)
        button.setIcon(self._theme.icon(icon))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setCheckable(True)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setCursor(Qt.CursorShape.PointingHandCursor)
        button.clicked.connect(lambda: self.show_chat() if number == 0 else self._turn_to(number))
        self._rail_buttons.append(button)
        self._rail_column.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        return button

    def _turn_to(self, number: int) -> None:
        if number == 1 and self.settings_page is None:
            page = self.settings_page = self._make_settings()
            page.mode_chosen.connect(self._choose_mode)
            page.send_key_chosen.connect(self._choose_send_key)
            page.shortcuts_requested.connect(self.show_shortcuts)
            page.passphrase_requested.connect(self._ask_for_passphrase)
            self._pages.addWidget(page)
        self._pages.setCurrentIndex(number)
        if number == 1 and self.settings_page is not None:
            self.settings_page.focus_first()
        for each, button in enumerate(self._rail_buttons):
            button.setChecked(each == number)

    def _add_actions(self) -> None:
        page = self.chat_page
        steps: tuple[tuple[str, tuple[str, ...], Callable[[], Any]], ...] = (
            (self.tr("New chat"), ("Ctrl+N",), self._new_chat),
            (self.tr("Search everything"), ("Ctrl+K", "Ctrl+F"), self._search),
            (self.tr("Settings"), ("Ctrl+,",), self.show_settings),
            (self.tr("Show or hide the chats"), ("Ctrl+B",), self._toggle_sidebar),
            (self.tr("Answer again"), ("Ctrl+R",), page.regenerate),
            (self.tr("Edit the last message"), ("Ctrl+E",), page.edit),
            (self.tr("Rename"), ("F2",), page.rename_current),
            (self.tr("Choose a model"), ("Ctrl+M",), self.open_picker),
            (self.tr("Parameters"), ("Ctrl+P",), page.composer.panel_button.toggle),
            (self.tr("Larger text"), ("Ctrl++", "Ctrl+="), lambda: self._theme.step_zoom(1)),
            (self.tr("Smaller text"), ("Ctrl+-",), lambda: self._theme.step_zoom(-1)),
            (self.tr("Normal text"), ("Ctrl+0",), lambda: self._theme.step_zoom(0)),
            (self.tr("Keyboard shortcuts"), ("F1", "Ctrl+/"), self.show_shortcuts),
            (self.tr("Quit"), ("Ctrl+Q",), self.close),
        )
        for name, keys, act in steps:
            action = QAction(name, self)
            action.setShortcuts([QKeySequence(key) for key in keys])
            action.triggered.connect(partial(self._act, act))
            self.addAction(action)
        # Only in the list: in text fields Ctrl+Z undoes typing.
        undo = QAction(self.tr("Undo moving to the trash"), page.sidebar)
        undo.setShortcut(QKeySequence("Ctrl+Z"))
        undo.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        undo.triggered.connect(self.toast.act)
        page.sidebar.addAction(undo)

    @staticmethod
    def _act(act: Callable[[], Any], _checked: bool = False) -> None:
        act()

    def _new_chat(self) -> None:
        self.show_chat()
        self.chat_page.new_chat()

    def _search(self) -> None:
        self._turn_to(0)
        self.chat_page.sidebar.show()
        self.chat_page.sidebar.focus_search()

    def _toggle_sidebar(self) -> None:
        sidebar = self.chat_page.sidebar
        sidebar.setVisible(not sidebar.isVisible())

    def show_shortcuts(self) -> None:
        """Show all keys."""
        sheet = ShortcutSheet(self._theme, self)
        sheet.exec()
        sheet.deleteLater()

    # ------------------------------------------------------------ preferences

    def _ask_for_passphrase(self) -> None:
        dialog = PassphraseDialog(self._theme, self, new=True)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return
        passphrase = dialog.passphrase
        job = self._jobs.run(lambda: self._set_passphrase(passphrase))
        job.returned.connect(self._show_key)
        job.failed.connect(self.chat_page.show_error)

    def _show_key(self, key: KeyGuard) -> None:
        self._key = key
        self.header.show_key(key)
        if self.settings_page is not None:
            self.settings_page.show_key(key)
        self.toast.show_message(self.tr("From the next start on, your passphrase opens your chats."))

    def _choose_mode(self, mode: Mode) -> None:
        self._theme.set_mode(mode)
        self._preferences.keep("ui.theme", mode)

    def _choose_send_key(self, with_ctrl: bool) -> None:
        self.chat_page.composer.edit.send_with_ctrl = with_ctrl
        self._preferences.keep("ui.send_with_ctrl", with_ctrl)

    def _theme_changed(self) -> None:
        self._preferences.keep("ui.zoom", self._theme.zoom)
        self._fit()

    def _restore_geometry(self) -> None:
        saved = self._preferences.geometry
        if not saved or not self.restoreGeometry(QByteArray.fromBase64(saved.encode())):
            self.resize(1280, 820)
        sizes = self._preferences.sidebar_width or self._theme.px(252)
        self.chat_page.splitter.setSizes([sizes, max(400, self.width() - sizes)])

    def _fit(self) -> None:
        px = self._theme.px
        self._rail.setFixedWidth(px(76))
        self._rail_column.setContentsMargins(px(6), px(10), px(6), px(10))
        self._rail_column.setSpacing(px(4))
        for button in self._rail_buttons:
            button.setFixedSize(px(64), px(54))
            button.setIconSize(self._theme.icon_size(20))
        self.setMinimumSize(640, 420)

    # ------------------------------------------------------------ Qt

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files may be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open the files that are on this computer."""
        files = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        self.open_files(files)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Keep what is worth keeping, stop what runs."""
        self.chat_page.flush()
        self.chat_page.stop_all()
        geometry = self.saveGeometry().toBase64().data()
        self._preferences.keep("ui.geometry", bytes(geometry).decode())
        self._preferences.keep("ui.sidebar_width", self.chat_page.sidebar.width())
        super().closeEvent(event)

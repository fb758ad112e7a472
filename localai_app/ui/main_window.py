"""The window: header, rail, pages."""

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QByteArray, Qt
from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QIcon, QKeySequence, QResizeEvent
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QMainWindow,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from localai_app.chat.service import ChatService
from localai_app.documents.document import Citation, Scope
from localai_app.engine.protocol import ModelInfo
from localai_app.errors import LocalAIError
from localai_app.governance.backup import SUFFIX
from localai_app.models.catalogue import CatalogueEntry
from localai_app.models.installed import InstalledModel
from localai_app.models.pull import Pull
from localai_app.models.residency import Residency
from localai_app.models.service import ModelService
from localai_app.paths import Paths
from localai_app.ui.answering_model import AnsweringModel
from localai_app.ui.chat.page import ChatPage
from localai_app.ui.chat.pane import ConversationPane
from localai_app.ui.documents.rooms import DocumentRooms
from localai_app.ui.header import Header
from localai_app.ui.jobs import Jobs
from localai_app.ui.key_guard import KeyGuard
from localai_app.ui.models.connection import ConnectionDialog
from localai_app.ui.models.downloads import Downloads
from localai_app.ui.models.load_panel import LoadPanel
from localai_app.ui.models.picker import ModelPicker
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.preferences import Preferences
from localai_app.ui.rail import PageName, Rail
from localai_app.ui.settings.page import SettingsPage
from localai_app.ui.shortcuts import ShortcutSheet
from localai_app.ui.startup import PassphraseDialog
from localai_app.ui.theme import Mode, Theme
from localai_app.ui.widgets.banner import Banner
from localai_app.ui.widgets.padlock import Lock, Locks
from localai_app.ui.widgets.toast import Toast

if TYPE_CHECKING:
    from localai_app.ui.documents.page import DocumentsPage
    from localai_app.ui.governance.page import OrganisationPage
    from localai_app.ui.governance.rooms import GovernanceRooms
    from localai_app.ui.models.first_run import FirstRun
    from localai_app.ui.models.page import ModelsPage
    from localai_app.ui.tasks.page import TasksPage
    from localai_app.ui.tasks.rooms import TaskRooms


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
        residency: Residency,
        rooms: ModelRooms,
        documents: DocumentRooms | None,
        tasks: "TaskRooms | None" = None,
        write_backup: Callable[[Path, str], object] | None = None,
        governance: "GovernanceRooms | None" = None,
    ) -> None:
        """``documents``: None where nobody may read documents; ``tasks``: None where nobody may run any."""
        super().__init__()
        self._theme, self._jobs, self._models, self._preferences = theme, jobs, models, preferences
        self._residency, self._rooms = residency, rooms
        self.downloads = Downloads(jobs, rooms, preferences.download_speed)
        self._chat, self._documents, self._tasks = chat, documents, tasks
        self._governance = governance
        self.locks = Locks(theme, rooms.policy, self)
        self.documents_page: DocumentsPage | None = None
        self.tasks_page: TasksPage | None = None
        self.models_page: ModelsPage | None = None
        self.organisation_page: OrganisationPage | None = None
        self.first_run: FirstRun | None = None
        self._awaited: CatalogueEntry | None = None
        """Of the first start's page: it answers once it is here."""
        self._model = AnsweringModel(jobs, models, residency, self)
        self.setWindowTitle(self.tr("LocalAI App"))
        self.setWindowIcon(QIcon(theme.icon("message-square", "accent")))
        self.setAcceptDrops(True)
        self.header = Header(theme, key)
        self.header.picker_requested.connect(self.open_picker)
        self.header.proof_requested.connect(self.show_proof)
        self.chat_page = ChatPage(theme, jobs, chat, lambda: self.toast, documents, self.locks)
        self.settings_page: SettingsPage | None = None
        self._key, self._set_passphrase, self._write_backup = key, set_passphrase, write_backup
        self._make_settings: Callable[[], SettingsPage] = lambda: SettingsPage(
            theme,
            paths,
            self._key,
            LoadPanel(theme, jobs, models),
            self.locks,
            send_with_ctrl=preferences.send_with_ctrl,
            idle_minutes=residency.idle_minutes,
            fetches=rooms.may_connect,
            backs_up=write_backup is not None,
        )
        self._pages = QStackedWidget()
        self._pages.addWidget(self.chat_page)
        self._page: PageName = "chat"
        self._rail = Rail(theme, documents=documents is not None, tasks=tasks is not None)
        self._rail.chosen.connect(self._choose_page)
        self.locks.changed.connect(self._show_organisation_button)
        self._show_organisation_button()
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
        self.banner = Banner()
        column.addWidget(self.banner)
        column.addWidget(self.header)
        column.addWidget(below, 1)
        self.setCentralWidget(whole)
        self.toast = Toast(theme, whole)
        self.toast.spared = lambda: self._pane().composer
        self._picker: ModelPicker | None = None
        self.chat_page.context_used.connect(self.header.show_used)
        self.chat_page.model_used.connect(self._model.look)
        self.chat_page.model_loading.connect(self.header.show_loading)
        self.chat_page.citation_opened.connect(self._open_citations)
        self.downloads.installed.connect(self._show_pulled)
        self.downloads.failed.connect(self._show_pull_error)
        for signal in (self.downloads.asking, self.downloads.listed, self.downloads.changed):
            signal.connect(self._show_connection)
        self._model.seen.connect(self._show_model)
        self._model.loading.connect(self.header.show_loading)
        self._model.noticed.connect(self.toast.show_message)
        self._model.chosen.connect(self._model_chosen)
        self._model.installed.connect(self._show_picker)
        self._model.failed.connect(self.chat_page.show_error)
        self.chat_page.composer.edit.textChanged.connect(self._return_early)
        self.chat_page.composer.edit.send_with_ctrl = preferences.send_with_ctrl
        self._add_actions()
        theme.changed.connect(self._theme_changed)
        self.setMinimumSize(640, 420)
        self._fit()
        self._restore_geometry()
        self.chat_page.composer.edit.setFocus()

    def load(self) -> None:
        """Fetch what the window shows; called once it is visible."""
        self.chat_page.sidebar.load()
        self._model.look()
        self._model.load()
        self.downloads.load()
        if self._documents is not None:
            # What was not finished when the app ended goes on.
            job = self._jobs.run(self._documents.documents.resume, lane="documents-work")
            job.failed.connect(self.chat_page.show_error)
        if self._tasks is not None:
            self._jobs.run(self._tasks.tasks.go_on, lane="tasks").failed.connect(self.chat_page.show_error)
        if not self._preferences.welcomed:
            job = self._jobs.run(self._wants_welcome, lane="library")
            job.returned.connect(self._welcome)
            job.failed.connect(self.chat_page.show_error)

    def open_picker(self) -> None:
        """List the models under the header's button."""
        self._model.list_installed()

    def open_files(self, files: list[Path]) -> None:
        """Take files that were handed to the app: a model is selected, documents are read and shown."""
        models = [path for path in files if path.suffix.lower() == ".gguf"]
        if models:
            self.select_model(models[0])
        others = [path for path in files if path not in models]
        if others and self._documents is not None:
            self._turn_to("documents")
            assert self.documents_page is not None
            self.documents_page.add(others, show=len(others) == 1)
        elif others:
            self.toast.show_message(self.tr("Your organisation does not allow working with documents here."))

    def select_model(self, path: Path) -> None:
        """Let the model at ``path`` answer."""
        self._model.choose(path)

    def come_to_front(self) -> None:
        """Show the window over others."""
        self.setWindowState(self.windowState() & ~Qt.WindowState.WindowMinimized)
        self.show()
        self.raise_()
        self.activateWindow()

    def show_chat(self) -> None:
        """Turn to the Chat page."""
        self._turn_to("chat")
        self.chat_page.composer.edit.setFocus()

    def show_settings(self) -> None:
        """Turn to the Settings page."""
        self._turn_to("settings")

    def show_models(self) -> None:
        """Turn to the Models page."""
        self._turn_to("models")

    def show_proof(self) -> None:
        """Have every process of the app checked, and show what can be proven now."""
        if self._governance is not None:
            from localai_app.ui.governance.attestation import AttestationDialog  # noqa: PLC0415 - as above

            dialog = AttestationDialog(self._theme, self, self._jobs, self._governance, self.locks)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open()

    def tell_newer_version(self) -> None:
        """Another version was installed under the running one."""
        self.toast.show_message(self.tr("Another version was installed. The next start uses it."))

    def show_organisation(self) -> None:
        """Turn to the Organisation page."""
        if self._governance is not None:
            self._turn_to("organisation")

    def show_documents(self) -> None:
        """Turn to the Documents page."""
        if self._documents is not None:
            self._turn_to("documents")

    def show_tasks(self) -> None:
        """Turn to the Tasks page."""
        if self._tasks is not None:
            self._turn_to("tasks")

    def begin_task(self, scope: Scope) -> None:
        """Turn to a new task for these documents."""
        if self._tasks is not None:
            self._turn_to("tasks")
            assert self.tasks_page is not None
            self.tasks_page.begin(scope)

    def choose_documents(self) -> None:
        """Ask which documents to open."""
        if self._documents is not None:
            self._turn_to("documents")
            assert self.documents_page is not None
            self.documents_page.choose_files()

    def show_catalogue(self) -> None:
        """Turn to the catalogue on the Models page."""
        self._turn_to("models")
        assert self.models_page is not None
        self.models_page.show_catalogue()

    # ------------------------------------------------------------ model

    def _return_early(self) -> None:
        """The person begins to write."""
        if self.chat_page.composer.text:
            self._model.return_early()

    def _show_model(
        self, selected: InstalledModel | None, info: ModelInfo | None, error: LocalAIError | None
    ) -> None:
        if selected is not None:
            self.chat_page.panel.set_recommended(self._models.recommended_sampling(selected))
        self.header.show_model(selected, info, self._residency.absence())
        if self.settings_page is not None and self.settings_page.isVisible():
            self.settings_page.model.refresh()
        self.chat_page.set_model(selected, info, error)

    def _model_chosen(self, model: InstalledModel) -> None:
        self.toast.show_message(self.tr("{0} answers from now on.").format(model.name))
        if self.models_page is not None:
            self.models_page.installed.refresh()
        if not self.chat_page.any_generating:
            self._model.load()

    def _index_anew(self) -> None:
        """Another model searches documents: let it make its vectors."""
        if self._documents is not None:
            self._jobs.run(self._documents.documents.resume, lane="documents")

    def _show_picker(self, models: list[InstalledModel]) -> None:
        if self._picker is None:
            self._picker = ModelPicker(self._theme, self)
            self._picker.chosen.connect(self.select_model)
            self._picker.models_requested.connect(self.show_models)
        self._picker.show_models(models, self._model.selected, self.header.model_button)

    # ------------------------------------------------------------ fetching

    def _wants_welcome(self) -> bool:
        from localai_app.ui.models.first_run import wanted  # noqa: PLC0415 - 30 ms, in another thread

        return wanted(self._rooms)

    def _welcome(self, wanted: bool) -> None:
        """Show the first start's page, once, unless the person is at work already."""
        at_work = self.chat_page.composer.text or self.chat_page.current_id is not None
        if wanted and not at_work and self._page == "chat":
            self._preferences.keep("ui.welcomed", True)
            self._turn_to("first run")

    def _get_recommended(self, entry: CatalogueEntry) -> None:
        self._awaited = entry
        self.downloads.start_entry(entry)
        self.show_chat()
        text = self.tr("{0} is being downloaded; it answers once it is here.")
        self.toast.show_message(text.format(entry.name), self.tr("Show"), self.show_models)

    def _show_pulled(self, pull: Pull) -> None:
        """A model has come: offer it, or let it answer when that is what it was fetched for."""
        if pull.path is None:
            return
        self._preferences.keep("ui.download_speed", round(self.downloads.speed))
        path, awaited = pull.path, self._awaited
        if awaited is not None and self.downloads.of_entry(awaited) == pull:
            self._awaited = None
            self.select_model(path)
            return
        name = pull.name.removesuffix(".gguf")
        text = self.tr("{0} is here, checked and tried.").format(name)
        self.toast.show_message(text, self.tr("Use it"), lambda: self.select_model(path))

    def _show_pull_error(self, error: LocalAIError) -> None:
        """The Models page tells it itself."""
        if self._page != "models":
            self.chat_page.show_error(error)

    def _show_connection(self) -> None:
        self.header.show_connection(self._rooms.host if self.downloads.working else "")

    # ------------------------------------------------------------ building

    def _show_organisation_button(self) -> None:
        """Where policy says nothing, the page is reached from the settings."""
        wanted = self._governance is not None and self._governance.has_policy
        self._rail.show_button("organisation", wanted)

    def _choose_page(self, page: PageName) -> None:
        if page == "chat":
            self.show_chat()
        else:
            self._turn_to(page)

    def _turn_to(self, name: PageName) -> None:
        page = self._make_page(name)
        self._page = name
        self._pages.setCurrentWidget(page)
        if not isinstance(page, ChatPage):
            page.focus_first()
        self._rail.check(name)
        if self.toast.isVisible():
            self.toast.place()

    def _make_page(
        self, name: PageName
    ) -> "ChatPage | DocumentsPage | TasksPage | SettingsPage | ModelsPage | OrganisationPage | FirstRun":
        """The page of that name; all but the chat are made when they are first wanted."""
        if name == "settings":
            if self.settings_page is None:
                page = self.settings_page = self._make_settings()
                page.mode_chosen.connect(self._choose_mode)
                page.send_key_chosen.connect(self._choose_send_key)
                page.idle_chosen.connect(self._choose_idle_time)
                page.shortcuts_requested.connect(self.show_shortcuts)
                page.passphrase_requested.connect(self._ask_for_passphrase)
                page.backup_requested.connect(self._back_up)
                page.connection_requested.connect(self._ask_for_connection)
                page.organisation_requested.connect(self.show_organisation)
                self._pages.addWidget(page)
            return self.settings_page
        if name == "documents":
            return self._make_documents()
        if name == "tasks":
            return self._make_tasks()
        if name == "organisation":
            return self._make_organisation()
        if name == "models":
            if self.models_page is None:
                from localai_app.ui.models.page import ModelsPage  # noqa: PLC0415 - the window starts without

                models = self.models_page = ModelsPage(
                    self._theme, self._jobs, self._rooms, self.downloads, lambda: self.toast
                )
                models.use_requested.connect(self.select_model)
                models.installed.search_changed.connect(self._index_anew)
                self.locks.hold(models.installed.delete_button, Lock.ERASE)
                if models.hub is not None:
                    models.hub.searching.connect(self._show_searching)
                self._pages.addWidget(models)
            return self.models_page
        if name == "first run":
            if self.first_run is None:
                from localai_app.ui.models.first_run import FirstRun  # noqa: PLC0415 - as above

                first = self.first_run = FirstRun(self._theme, self._jobs, self._rooms, self.downloads)
                first.use_requested.connect(self._use_laid_out)
                first.download_requested.connect(self._get_recommended)
                first.declined.connect(self.show_chat)
                first.catalogue_requested.connect(self.show_catalogue)
                first.load()
                self._pages.addWidget(first)
            return self.first_run
        return self.chat_page

    def _make_documents(self) -> "DocumentsPage":
        if self.documents_page is None:
            from localai_app.ui.documents.page import DocumentsPage  # noqa: PLC0415 - the window starts without

            assert self._documents is not None, "documents may not be read"
            page = self.documents_page = DocumentsPage(
                self._theme,
                self._jobs,
                self._chat,
                self._documents,
                lambda: self.toast,
                self._preferences.document_sizes,
                self.locks,
                may_run_tasks=self._tasks is not None,
            )
            page.task_requested.connect(self.begin_task)
            pane = page.ask.pane
            pane.context_used.connect(self.header.show_used)
            pane.model_used.connect(self._model.look)
            pane.model_loading.connect(self.header.show_loading)
            pane.conversation_changed.connect(self.chat_page.sidebar.chats.put)
            pane.busy_changed.connect(self.chat_page.sidebar.chats.set_busy)
            pane.composer.edit.textChanged.connect(self._return_early)
            pane.composer.edit.send_with_ctrl = self._preferences.send_with_ctrl
            page.sizes_changed.connect(lambda sizes: self._preferences.keep("ui.document_sizes", sizes))
            self._pages.addWidget(page)
            page.load()
        return self.documents_page

    def _make_tasks(self) -> "TasksPage":
        if self.tasks_page is None:
            from localai_app.ui.tasks.page import TasksPage  # noqa: PLC0415 - the window starts without

            assert self._tasks is not None, "no task may be run"
            page = self.tasks_page = TasksPage(
                self._theme, self._jobs, self._tasks, lambda: self.toast, self.locks
            )
            page.document_requested.connect(self._open_document)
            self._pages.addWidget(page)
            page.load()
        return self.tasks_page

    def _make_organisation(self) -> "OrganisationPage":
        if self.organisation_page is None:
            from localai_app.ui.governance.page import OrganisationPage  # noqa: PLC0415 - as above

            assert self._governance is not None, "nothing is known of the organisation"
            page = self.organisation_page = OrganisationPage(
                self._theme, self._jobs, self._governance, self.locks, lambda: self.toast
            )
            self._pages.addWidget(page)
        return self.organisation_page

    def _open_document(self, document_id: int) -> None:
        """Show a document that a task worked on."""
        if self._documents is not None:
            self._turn_to("documents")
            assert self.documents_page is not None
            self.documents_page.open_document(document_id)

    def _open_citations(self, citations: tuple[Citation, ...], index: int) -> None:
        """Show a page that an answer in the chat cites."""
        if self._documents is not None:
            self._turn_to("documents")
            assert self.documents_page is not None
            self.documents_page.open_citations(citations, index)

    def _ask_for_connection(self) -> None:
        dialog = ConnectionDialog(self._theme, self, self._jobs, self._rooms)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _use_laid_out(self, path: Path) -> None:
        self.show_chat()
        self.select_model(path)

    def _show_searching(self, searching: bool) -> None:
        self.header.show_connection(self._rooms.host if searching or self.downloads.working else "")

    def _add_actions(self) -> None:
        page = self.chat_page
        steps: tuple[tuple[str, tuple[str, ...], Callable[[], Any]], ...] = (
            (self.tr("New chat"), ("Ctrl+N",), self._new_chat),
            (self.tr("Search everything"), ("Ctrl+K",), self._search),
            (self.tr("Find here"), ("Ctrl+F",), self._find),
            (self.tr("Settings"), ("Ctrl+,",), self.show_settings),
            (self.tr("Show or hide the side"), ("Ctrl+B",), self._toggle_sidebar),
            (self.tr("Answer again"), ("Ctrl+R",), lambda: self._pane().regenerate()),
            (self.tr("Edit the last message"), ("Ctrl+E",), lambda: self._pane().edit()),
            (self.tr("Rename"), ("F2",), self._rename),
            (self.tr("Choose a model"), ("Ctrl+M",), self.open_picker),
            (self.tr("Documents"), ("Ctrl+Shift+D",), self.show_documents),
            (self.tr("Open documents"), ("Ctrl+O",), self.choose_documents),
            (self.tr("Tasks"), ("Ctrl+Shift+T",), self.show_tasks),
            (self.tr("Models"), ("Ctrl+Shift+M",), self.show_models),
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
        self._turn_to("chat")
        self.chat_page.sidebar.show()
        self.chat_page.sidebar.focus_search()

    def _pane(self) -> ConversationPane:
        """The conversation that is in view."""
        if self._page == "documents" and self.documents_page is not None:
            return self.documents_page.ask.pane
        return self.chat_page.pane

    def _rename(self) -> None:
        """Rename what is chosen at the left."""
        if self._page == "documents" and self.documents_page is not None:
            self.documents_page.sidebar.rename_collection()
        else:
            self.chat_page.rename_current()

    def _find(self) -> None:
        """Look for words in the document that is open, else in the documents, else in the chats."""
        page = self.documents_page
        if self._page != "documents" or page is None:
            self._search()
        elif page.view.isVisible() and page.view.loader.readable:
            page.view.begin_find()
        else:
            page.sidebar.focus_search()

    def _toggle_sidebar(self) -> None:
        if self._page == "documents" and self.documents_page is not None:
            self.documents_page.toggle_sidebar()
            return
        sidebar = self.chat_page.sidebar
        sidebar.setVisible(not sidebar.isVisible())

    def show_shortcuts(self) -> None:
        """Show all keys."""
        sheet = ShortcutSheet(self._theme, self)
        sheet.exec()
        sheet.deleteLater()

    # ------------------------------------------------------------ preferences

    def _back_up(self) -> None:
        """Ask where to and under which passphrase, and write a backup meanwhile."""
        write = self._write_backup
        assert write is not None, "the button is there where backups may be written"
        name = f"localai-app-{date.today():%Y-%m-%d}{SUFFIX}"
        chosen, _ = QFileDialog.getSaveFileName(
            self,
            self.tr("Write a backup"),
            str(Path.home() / name),
            self.tr("Backups (*{0})").format(SUFFIX),
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not chosen:
            return
        text = self.tr("It opens this backup, on any computer. Nobody can recover it for you: write it down.")
        dialog = PassphraseDialog(self._theme, self, new=True, text=text)
        if dialog.exec() != QDialog.DialogCode.Accepted:
            return
        path, passphrase = Path(chosen), dialog.passphrase
        self.toast.show_message(self.tr("The backup is being written…"))
        job = self._jobs.run(lambda: write(path, passphrase))
        job.returned.connect(
            lambda _: self.toast.show_message(self.tr("{0} is written and was read again.").format(path.name))
        )
        job.failed.connect(self.chat_page.show_error)

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
        if self.documents_page is not None:
            self.documents_page.ask.pane.composer.edit.send_with_ctrl = with_ctrl
        self._preferences.keep("ui.send_with_ctrl", with_ctrl)

    def _choose_idle_time(self, minutes: int) -> None:
        self._jobs.run(lambda: self._residency.set_idle_minutes(minutes))

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
        self._rail.fit(self.height() - self.header.sizeHint().height())

    # ------------------------------------------------------------ Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The rail has to fit."""
        super().resizeEvent(event)
        self._fit()

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
        self.downloads.close()
        if self.documents_page is not None:
            self.documents_page.close_work()
        if self.tasks_page is not None:
            self.tasks_page.close_work()
        if self.models_page is not None:
            self.models_page.close_work()
        geometry = self.saveGeometry().toBase64().data()
        self._preferences.keep("ui.geometry", bytes(geometry).decode())
        self._preferences.keep("ui.sidebar_width", self.chat_page.sidebar.width())
        super().closeEvent(event)

"""The Models page: what is here, what there is, and what is on its way."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QIcon, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QMenu,
    QScrollArea,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from localai_app.errors import LocalAIError, PullFailed, RequestFailed
from localai_app.models.library import FoundModel, Importable, LibraryModel, Move
from localai_app.models.progress import Tell
from localai_app.models.pull import Pull
from localai_app.ui.jobs import Job, Jobs
from localai_app.ui.models.catalogue import CatalogueTab
from localai_app.ui.models.connection import ConnectionDialog
from localai_app.ui.models.downloads import Downloads, DownloadsStrip
from localai_app.ui.models.files import FilesDialog, Way, found_rows, importable_rows
from localai_app.ui.models.hub import HubTab
from localai_app.ui.models.installed import InstalledTab
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.models.work import WorkStrip
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.dialogs import Question
from localai_app.ui.widgets.labels import label, selectable
from localai_app.ui.widgets.toast import Toast

INSTALLED, CATALOGUE, HUB = range(3)
CONNECTION_CODES = ("gated", "unauthorised", "forbidden", "proxy", "tls", "dns", "refused_host")
"""Of failures that another hub, proxy or token may cure."""


class ModelsPage(QWidget):
    """Three tabs; over them what is being fetched and worked on, and what went wrong."""

    use_requested = Signal(object)
    """The model at this `Path` shall answer."""
    folder_moved = Signal()

    def __init__(
        self,
        theme: Theme,
        jobs: Jobs,
        rooms: ModelRooms,
        downloads: Downloads,
        toast: Callable[[], Toast],
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._toast = theme, jobs, rooms, toast
        self.setProperty("look", "page")
        self.setAcceptDrops(rooms.may_import)
        self.work = WorkStrip(theme, jobs)
        self.installed = InstalledTab(theme, jobs, rooms, self.work, toast)
        self.catalogue = CatalogueTab(theme, jobs, rooms, downloads)
        self.hub = HubTab(theme, jobs, rooms, downloads) if rooms.may_search else None
        self.strip = DownloadsStrip(theme, self, downloads, rooms.connection.limit)
        self.notice = Notice(theme)
        self._build_head()
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setAccessibleName(self.tr("Which models"))
        self._tab_pages: list[QWidget] = []
        for page, title in (
            (self.installed, self.tr("On this computer")),
            (self.catalogue, self.tr("Catalogue")),
            (self.hub, self.tr("Search the hub")),
        ):
            if page is not None:
                self._tab_pages.append(page)
                self.tabs.addTab(title)
        self.tabs.currentChanged.connect(self._show_tab)
        inside = QWidget()
        inside.setProperty("look", "plain")
        self._column = QVBoxLayout(inside)
        self._column.addLayout(self._head)
        for widget in (self.notice, self.work, self.strip, self.tabs):
            self._column.addWidget(widget)
        for each in self._tab_pages:  # no stack: it would be as high as the highest of them
            self._column.addWidget(each, 1)
            each.setVisible(each is self.installed)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inside)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(area)
        self.installed.use_requested.connect(self.use_requested)
        self.installed.removed.connect(downloads.forget_installed)
        self.installed.listed.connect(self.catalogue.show_installed)
        self.installed.failed.connect(self.show_error)
        self.strip.use_requested.connect(self._use_pulled)
        downloads.failed.connect(self.show_error)
        downloads.installed.connect(lambda _: self.installed.refresh())
        theme.changed.connect(self._fit)
        self._fit()

    def show_catalogue(self) -> None:
        """Turn to the catalogue."""
        self.tabs.setCurrentIndex(CATALOGUE)

    def show_error(self, error: LocalAIError) -> None:
        """Say what went wrong and what to do, until it is dismissed."""
        if isinstance(error, RequestFailed):  # the person stopped it
            self._toast().show_message(error.line)
        elif isinstance(error, PullFailed) and error.code in CONNECTION_CODES and self._rooms.may_connect:
            self.notice.show_text(error.line, self.tr("Hub, proxy and token…"), self.set_connection)
        else:
            self.notice.show_text(error.line)

    def set_connection(self) -> None:
        """Ask how models are fetched."""
        dialog = ConnectionDialog(self._theme, self, self._jobs, self._rooms)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def focus_first(self) -> None:
        """Begin at the tabs."""
        self.tabs.setFocus(Qt.FocusReason.OtherFocusReason)

    def close_work(self) -> None:
        """The window closes: stop what runs on files."""
        self.work.stop_all()
        self.installed.close_watch()

    # ------------------------------------------------------------ files from elsewhere

    def add(self, paths: Sequence[Path]) -> None:
        """Ask what to do with model files, or folders with some."""
        job = self._jobs.run(lambda: self._rooms.library.importable(paths), lane="library")
        job.returned.connect(self._ask_how)
        job.failed.connect(self.show_error)

    def import_files(self, files: Sequence[Importable]) -> None:
        """Copy them into the models folder, one after the other."""
        library = self._rooms.library
        for file in files:

            def copy(tell: Tell, stop: threading.Event, path: Path = file.path) -> LibraryModel:
                return library.import_model(path, tell, stop)

            job = self.work.start(self.tr("Add {0}").format(file.name), copy)
            job.returned.connect(self._added)
            job.failed.connect(self.show_error)

    def link(self, files: Sequence[FoundModel | Path]) -> None:
        """Use them where they lie."""
        job = self._jobs.run(lambda: self._rooms.library.link(files), lane="library")
        job.returned.connect(self._linked)
        job.failed.connect(self.show_error)

    def find_elsewhere(self) -> Job:
        """Look for models of other programs."""
        self.others_button.setEnabled(False)
        job = self._jobs.run(self._rooms.library.elsewhere, lane="library")
        job.returned.connect(self._ask_which)
        job.failed.connect(self.show_error)
        job.finished.connect(lambda: self.others_button.setEnabled(True))
        return job

    def move_folder(self, target: Path) -> None:
        """Move the models folder to ``target``."""
        library = self._rooms.library
        job = self.work.start(
            self.tr("Move the models folder to {0}").format(target),
            lambda tell, stop: library.move_folder(target, tell, stop),
        )
        job.returned.connect(self._moved)
        job.failed.connect(self.show_error)

    def _mark_weekly(self, on: bool) -> None:
        self.weekly.setIcon(self._theme.icon("check", "accent") if on else QIcon())

    def _verify_weekly(self, on: bool) -> None:
        self._mark_weekly(on)
        job = self._jobs.run(lambda: self._rooms.library.set_verifies_weekly(on), lane="library")
        job.failed.connect(self.show_error)

    def _choose_file(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(
            self, self.tr("Add model files"), "", self.tr("Models (*.gguf);;All files (*)")
        )
        if names:
            self.add([Path(name) for name in names])

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self.tr("Add the models of a folder"))
        if name:
            self.add([Path(name)])

    def _ask_how(self, files: list[Importable]) -> None:
        title = self.tr("Add 1 model") if len(files) == 1 else self.tr("Add {0} models").format(len(files))
        text = self.tr(
            "A copy is checked like a download: its header is read and it is loaded once in a confined "
            "process. A file that is used where it lies takes no space, and is gone when its drive is."
        )
        ways: tuple[Way, ...] = ("copy", "link")
        dialog = FilesDialog(self._theme, self, title, text, importable_rows(files), ways, ticked=True)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            chosen = [files[number] for number in dialog.ticked]
            if dialog.way == "copy":
                self.import_files(chosen)
            else:
                self.link([file.path for file in chosen])
        dialog.deleteLater()

    def _ask_which(self, models: list[FoundModel]) -> None:
        if not models:
            self._toast().show_message(
                self.tr("No other model of LM Studio, Jan, Ollama or the Hugging Face cache was found.")
            )
            return
        title = self.tr("Models of other apps")
        text = self.tr(
            "They are used where they lie: nothing is copied, and nothing is changed there. "
            "When the other app deletes one, it is gone here too."
        )
        dialog = FilesDialog(self._theme, self, title, text, found_rows(models), ("link",), ticked=False)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.link([models[number] for number in dialog.ticked])
        dialog.deleteLater()

    def _choose_target(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self.tr("Where shall the models folder be?"))
        if not name:
            return
        target = Path(name)
        if target.is_dir() and any(target.iterdir()):
            target /= "models"
        text = self.tr(
            "All models in {0} move to {1}. On another disk they are copied and compared first; "
            "you can go on chatting, and an interrupted move goes on where it was."
        )
        asked = text.format(self._rooms.library.folder, target)
        question = Question(
            self._theme, self, self.tr("Move the models folder?"), asked, self.tr("Move"), look="primary"
        )
        if question.exec() == QDialog.DialogCode.Accepted:
            self.move_folder(target)
        question.deleteLater()

    def _offer_unfinished_move(self) -> None:
        job = self._jobs.run(self._rooms.library.unfinished_move, lane="library")
        job.returned.connect(self._ask_to_go_on)
        job.failed.connect(self.show_error)

    def _ask_to_go_on(self, move: Move | None) -> None:
        if move is None or self.work.rows:
            return
        text = self.tr("Moving the models folder to {0} was interrupted.").format(move.target)
        self.notice.show_text(text, self.tr("Go on"), lambda: self.move_folder(move.target))

    def _added(self, model: LibraryModel) -> None:
        self._toast().show_message(
            self.tr("{0} was checked and added.").format(model.file.name),
            self.tr("Use it"),
            lambda: self.use_requested.emit(model.path),
        )
        self.tabs.setCurrentIndex(INSTALLED)
        self.installed.refresh()

    def _linked(self, models: list[LibraryModel]) -> None:
        text = self.tr("1 model is linked.") if len(models) == 1 else self.tr("{0} models are linked.")
        self._toast().show_message(text.format(len(models)))
        self.tabs.setCurrentIndex(INSTALLED)
        self.installed.refresh()

    def _moved(self, folder: Path) -> None:
        self._toast().show_message(self.tr("The models folder is {0} now.").format(folder))
        self.folder_moved.emit()
        self.installed.refresh()

    def _use_pulled(self, pull: Pull) -> None:
        if pull.path is not None:
            self.use_requested.emit(pull.path)

    # ------------------------------------------------------------ building

    def _build_head(self) -> None:
        theme, may = self._theme, self._rooms.may_import
        self.add_button = Button(theme, self.tr("Add a file…"), icon="file-plus", size=16)
        self.add_button.clicked.connect(self._choose_file)
        self.others_button = Button(theme, self.tr("Models of other apps…"), icon="link", size=16)
        self.others_button.clicked.connect(self.find_elsewhere)
        self.more_button = Button(theme, "", icon="chevron-down", size=16)
        self.more_button.setText(self.tr("More") + " ")  # the icon stands to its right
        self.more_button.setAccessibleName(self.tr("More to do with model files"))
        self.more_button.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        menu = QMenu(self)
        if may:
            menu.addAction(theme.icon("folder-open"), self.tr("Add a folder…"), self._choose_folder)
        menu.addAction(theme.icon("folder-input"), self.tr("Move the models folder…"), self._choose_target)
        self.weekly = menu.addAction(self.tr("Verify every model once a week"))
        self.weekly.setCheckable(True)
        self.weekly.setChecked(self._rooms.library.verifies_weekly)
        self.weekly.toggled.connect(self._verify_weekly)
        self._mark_weekly(self.weekly.isChecked())
        if self._rooms.may_connect:
            menu.addAction(theme.icon("settings"), self.tr("Hub, proxy and token…"), self.set_connection)
        self.more_button.clicked.connect(
            lambda: menu.exec(self.more_button.mapToGlobal(self.more_button.rect().bottomLeft()))
        )
        self.menu = menu
        self._head = QHBoxLayout()
        self._head.addWidget(label(self.tr("Models"), "title"), 0, Qt.AlignmentFlag.AlignTop)
        self._head.addStretch(1)
        self._shrinking = (self.add_button, self.others_button)
        for button in self._shrinking:
            button.setToolTip(button.accessibleName())
            self._head.addWidget(button)
            if not may:
                button.hide()
        self._head.addWidget(self.more_button)

    def _show_tab(self, number: int) -> None:
        for each, page in enumerate(self._tab_pages):
            page.setVisible(each == number)
        if number == CATALOGUE:
            self.catalogue.refresh()
        elif number == HUB and self.hub is not None:
            self.hub.search.setFocus()

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(24), px(18), px(24), px(16))
        self._column.setSpacing(px(12))
        self._head.setSpacing(px(10))

    # ------------------------------------------------------------ Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where it is narrow, buttons show their icon only."""
        super().resizeEvent(event)
        narrow = self.width() < self._theme.px(600)
        for button in self._shrinking:
            button.setText("" if narrow else " " + button.accessibleName())

    def showEvent(self, event: QShowEvent) -> None:
        """What is here may have changed since the page was shown last."""
        super().showEvent(event)
        self.installed.refresh()
        if self.catalogue.isVisible():
            self.catalogue.refresh()
        self._offer_unfinished_move()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Model files and folders may be dropped here."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Add what is on this computer."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.add(paths)


class Notice(QFrame):
    """What went wrong and what to do about it, until it is dismissed."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._act: Callable[[], None] = lambda: None
        self.setProperty("look", "notice-bad")
        self.text = selectable(label("", wrap=True))
        self.action = Button(theme, self.tr("Go on"), look="link")
        self.action.clicked.connect(self._perform)
        close = IconButton(theme, "x", self.tr("Dismiss"), size=16)
        close.clicked.connect(self.hide)
        self._row = QHBoxLayout(self)
        self._row.addWidget(self.text, 1)
        self._row.addWidget(self.action)
        self._row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        theme.changed.connect(self._fit)
        self._fit()
        self.hide()

    def show_text(self, text: str, action: str = "", act: Callable[[], None] = lambda: None) -> None:
        """Show ``text`` and, where given, a button."""
        self.text.setText(text)
        self.text.setAccessibleName(text)
        if action:
            self.action.set_text(action)
        self.action.setVisible(bool(action))
        self._act = act
        self.show()

    def _perform(self) -> None:
        self.hide()
        self._act()

    def _fit(self) -> None:
        px = self._theme.px
        self._row.setContentsMargins(px(14), px(8), px(8), px(8))
        self._row.setSpacing(px(8))

"""The models that are on this computer: a list, and what can be done with the chosen one."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.models.library import HashState, LibraryModel, ModelDetails, Removed
from localai_app.models.outlook import speed_words
from localai_app.ui.jobs import Jobs
from localai_app.ui.models import words
from localai_app.ui.models.bar import ActionBar
from localai_app.ui.models.details import DetailsDialog
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.models.rows import Cell, Column, Row, RowsView
from localai_app.ui.models.work import WorkStrip
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.dialogs import confirm
from localai_app.ui.widgets.labels import label
from localai_app.ui.widgets.toast import Toast


class InstalledTab(QWidget):
    """Use, look into, verify, delete and put back."""

    use_requested = Signal(object)
    """The model at this `Path` shall answer."""
    search_changed = Signal()
    """Another embedding model makes the vectors by which documents are searched."""
    failed = Signal(object)
    """Something asked for was refused, with this `LocalAIError`."""
    removed = Signal(object)
    """The model at this `Path` was taken away."""
    listed = Signal(list)
    """These `LibraryModel` are here."""
    _changed = Signal()
    """From whatever thread changed the list."""

    def __init__(
        self, theme: Theme, jobs: Jobs, rooms: ModelRooms, work: WorkStrip, toast: Callable[[], Toast]
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._work, self._toast = theme, jobs, rooms, work, toast
        self.models: dict[Path, LibraryModel] = {}
        columns = (
            Column(self.tr("Size"), 92, 0),
            Column(self.tr("Licence"), 178, 3),
            Column(self.tr("File"), 150, 1),
            Column(self.tr("Last used"), 104, 4),
            Column(self.tr("Speed here"), 112, 2),
        )
        self.view = RowsView(
            theme, self.tr("Models on this computer"), self.tr("Model"), columns, 104, self._menu
        )
        self.view.current_row.connect(lambda _: self._show_actions())
        self.view.opened.connect(self.show_details)
        self.view.acted.connect(self._use)
        self.view.delete_requested.connect(self.delete)
        self.use = Button(theme, self.tr("Use this model"), look="primary")
        self.details = Button(theme, self.tr("Details…"), icon="info", size=16)
        self.verify_button = Button(theme, self.tr("Verify now"), icon="shield-check", size=16)
        self.accept = Button(theme, self.tr("Accept the change…"))
        self.delete_button = Button(theme, self.tr("Delete"), icon="trash-2", size=16)
        self.use.clicked.connect(lambda: self._with_current(self._use))
        self.details.clicked.connect(lambda: self._with_current(self.show_details))
        self.verify_button.clicked.connect(lambda: self._with_current(self.verify))
        self.accept.clicked.connect(lambda: self._with_current(self._accept))
        self.delete_button.clicked.connect(lambda: self._with_current(self.delete))
        self.bar = ActionBar(
            theme,
            self.tr("Choose a model to use it, to look into it or to delete it."),
            *(self.use, self.details, self.verify_button, self.accept, self.delete_button),
        )
        self.empty = label("", "dim", wrap=True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.hide()
        self.put_back = Button(theme, self.tr("Put back"), look="link")
        self.put_back.clicked.connect(self._put_last_back)
        self.put_back.hide()
        self._removed: list[Removed] = []
        undo = QAction(self.tr("Undo the last delete"), self)
        undo.setShortcut(QKeySequence("Ctrl+Z"))
        undo.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        undo.triggered.connect(lambda _=False: self._put_last_back())
        self.addAction(undo)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.empty, 1)
        self._column.addWidget(self.view, 1)
        self._column.addWidget(self.put_back, 0, Qt.AlignmentFlag.AlignLeft)
        self._column.addWidget(self.bar)
        self._changed.connect(self.refresh, Qt.ConnectionType.QueuedConnection)
        self._end_watching = rooms.library.watch(self._changed.emit)
        theme.changed.connect(self._fit)
        self._fit()

    def refresh(self) -> None:
        """Look at what is here."""

        def look() -> tuple[list[LibraryModel], list[Removed]]:
            return self._rooms.library.models(), self._rooms.library.removed()

        job = self._jobs.run(look, lane="library")
        job.returned.connect(lambda found: self._show(*found))
        job.failed.connect(self.failed)

    def close_watch(self) -> None:
        """Hear no more of changes."""
        self._end_watching()

    def choose(self, path: Path) -> None:
        """Make the model at ``path`` the current row."""
        self.view.choose(path)

    # ------------------------------------------------------------ acting

    def show_details(self, path: Path) -> None:
        """Look into the model at ``path``."""
        model = self.models.get(path)
        if model is None:
            return

        def show(details: ModelDetails) -> None:
            dialog = DetailsDialog(self._theme, self, model, details)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open()

        job = self._jobs.run(lambda: self._rooms.library.details(path), lane="library")
        job.returned.connect(show)
        job.failed.connect(self.failed)

    def _use(self, path: Path) -> None:
        if path not in self.models or self.models[path].kind != "embedding":
            self.use_requested.emit(path)
            return
        job = self._jobs.run(lambda: self._rooms.library.search_with(path), lane="library")
        job.returned.connect(self._searches)
        job.failed.connect(self._refused)

    def verify(self, path: Path) -> None:
        """Read the file at ``path`` and compare its hash."""
        name = self.models[path].file.name
        library = self._rooms.library
        job = self._work.start(
            self.tr("Verify {0}").format(name), lambda tell, stop: library.verify(path, tell, stop)
        )
        job.returned.connect(self._verified)
        job.failed.connect(self._refused)

    def delete(self, path: Path) -> None:
        """Take the model at ``path`` away; a toast offers to undo it."""
        if path not in self.models:
            return
        job = self._jobs.run(lambda: self._rooms.library.remove(path), lane="library")
        job.returned.connect(self._show_removed)
        job.failed.connect(self._refused)

    def undo(self, removed_id: str) -> None:
        """Put back what was taken away."""
        job = self._jobs.run(lambda: self._rooms.library.undo_remove(removed_id), lane="library")
        job.returned.connect(self._restored)
        job.failed.connect(self._refused)

    def _accept(self, path: Path) -> None:
        model = self.models[path]
        text = self.tr(
            "{0} is not the file that was recorded. Nobody can tell what the new one does. "
            "Accept it only if you replaced it yourself.\n\nRecorded: {1}\nNow: {2}"
        )
        asked = text.format(model.file.name, model.sha256, model.found_sha256)
        if confirm(self._theme, self, self.tr("Accept the changed file?"), asked, self.tr("Accept")):
            job = self._jobs.run(lambda: self._rooms.library.accept(path), lane="library")
            job.returned.connect(lambda _: self.refresh())
            job.failed.connect(self._refused)

    def _with_current(self, act: Callable[[Path], object]) -> None:
        row = self.view.current
        if row is not None and isinstance(row.key, Path):
            act(row.key)

    def _put_last_back(self) -> None:
        if self._removed:
            self.undo(self._removed[0].id)

    # ------------------------------------------------------------ showing

    def _verified(self, model: LibraryModel) -> None:
        changed = model.hash_state is HashState.CHANGED
        text = (
            self.tr("{0} is not the file that was recorded. It is not used until you accept it.")
            if changed
            else self.tr("{0} is unchanged.")
        )
        self._toast().show_message(text.format(model.file.name))
        self.refresh()

    def _searches(self, model: LibraryModel) -> None:
        text = self.tr("{0} searches documents from now on. What is indexed serves until its index is made.")
        self._toast().show_message(text.format(model.file.name))
        self.search_changed.emit()
        self.refresh()

    def _show_removed(self, removed: Removed) -> None:
        self.removed.emit(removed.path)
        text = self.tr("The link to {0} was removed; its file stays.") if removed.linked else ""
        text = text or self.tr("{0} was deleted. You can undo it until the app is closed.")
        self._toast().show_message(text.format(removed.name), self.tr("Undo"), lambda: self.undo(removed.id))
        self.refresh()

    def _restored(self, model: LibraryModel) -> None:
        self._toast().show_message(self.tr("{0} is back.").format(model.file.name))
        self.refresh()

    def _refused(self, error: LocalAIError) -> None:
        self.failed.emit(error)
        self.refresh()

    def _show(self, models: Sequence[LibraryModel], removed: list[Removed]) -> None:
        self.models = {model.path: model for model in models}
        self._removed = removed
        self.view.show_rows([self._row(model) for model in models])
        self.empty.setText(self.tr("There is no model on this computer. The catalogue has some."))
        self.empty.setVisible(not models)
        self.view.setVisible(bool(models))
        self.put_back.setVisible(bool(removed))
        if removed:
            self.put_back.set_text(self.tr("Put back {0}").format(removed[0].name))
        self._show_actions()
        self.listed.emit(list(models))

    def _row(self, model: LibraryModel) -> Row:
        file = model.file
        under = [part for part in (model.family, file.quantisation) if part]
        if model.kind == "embedding":
            under.append(self.tr("for searching"))
        if file.starter:
            under.append(self.tr("starter model"))
        if model.place == "machine-wide":
            under.append(self.tr("for everybody on this computer"))
        if file.linked:
            linked = self.tr("linked from {0}").format(file.owner) if file.owner else self.tr("linked")
            under.append(linked)
        usable = not (file.missing or model.selected or model.hash_state is HashState.CHANGED)
        return Row(
            model.path,
            file.name,
            " · ".join(under),
            (
                Cell(words.size(file.size)),
                words.licence_cell(model.licence, model.commercial),
                words.hash_cell(model),
                Cell(words.day(model.last_used) or self.tr("never"), tone="dim"),
                Cell(
                    speed_words(model.speed.tokens_per_second) if model.speed else self.tr("not yet known"),
                    tone="text" if model.speed else "dim",
                ),
            ),
            action=self.tr("Use") if usable else "",
            state=self.tr("In use") if model.selected else "",
            faint=file.missing,
        )

    def _show_actions(self) -> None:
        row = self.view.current
        model = self.models.get(row.key) if row is not None and isinstance(row.key, Path) else None
        if model is None:
            self.bar.show_row("", "")
            return
        file = model.file
        self.bar.show_row(file.name, self._sentence(model))
        shown: list[QWidget] = []
        if file.missing:
            shown = [self.delete_button]
        else:
            if model.hash_state is HashState.CHANGED:
                shown.append(self.accept)
            elif not model.selected:
                chats = model.kind == "chat"
                self.use.set_text(self.tr("Use this model") if chats else self.tr("Search documents with it"))
                shown.append(self.use)
            shown += [self.details, self.verify_button]
            if model.place != "machine-wide":
                shown.append(self.delete_button)
        self.delete_button.set_text(self.tr("Remove the link") if file.linked else self.tr("Delete"))
        self.bar.show_buttons(*shown)

    def _sentence(self, model: LibraryModel) -> str:
        if model.file.missing:
            return self.tr("Its file is not there now: {0}. Connect its drive, then it is back.").format(
                model.path
            )
        if model.hash_state is HashState.CHANGED:
            return self.tr("Its file is not what was recorded: it is not used until you accept the change.")
        use = words.commercial(model.commercial)
        parts = [f"{model.licence}: {use}"] if model.licence else [self.tr("Licence unknown")]
        if model.licence_note:
            parts.append(model.licence_note)
        if model.source:
            parts.append(self.tr("from {0}").format(model.source))
        return " · ".join(parts)

    def _menu(self, key: Hashable) -> QMenu | None:
        self.view.choose(key)
        menu = QMenu(self)
        for button in self.bar.buttons:
            if isinstance(button, Button) and not button.isHidden():
                action = menu.addAction(button.text().strip(), button.click)
                if not button.isEnabled():
                    action.setEnabled(False)
                    action.setIcon(button.icon())
                    action.setToolTip(button.toolTip())
                    menu.setToolTipsVisible(True)
        return menu

    def _fit(self) -> None:
        self._column.setSpacing(self._theme.px(10))

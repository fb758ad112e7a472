"""Which documents a task is for: a collection, all, or chosen ones, which may be added here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QFrame, QMenu, QVBoxLayout

from localai_app.documents.document import Document, Scope
from localai_app.documents.service import Added
from localai_app.ui.chat.conversation_list import menu_action
from localai_app.ui.documents import words
from localai_app.ui.documents.library import Library, Listing
from localai_app.ui.documents.lists import ROW_HEIGHT, DocumentsModel, RowList, differences
from localai_app.ui.tasks.document_picker import DocumentPicker
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.choice import Choice
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label

MOST_ROWS = 5
"""Chosen documents that are in view at once; more scroll."""
CHOSEN, ALL = "chosen", "all"


class DocumentChoice(QFrame):
    """A card; what it lists follows the library."""

    changed = Signal()
    """Other documents are chosen, or one of them is in another state."""
    told = Signal(str)
    """One line on what was added."""

    def __init__(self, theme: Theme, library: Library) -> None:
        super().__init__()
        self._theme, self._library = theme, library
        self.setProperty("look", "card")
        self.setAcceptDrops(True)
        self._listing: Listing | None = None
        self._chosen: list[int] = []
        self._wanted: object = ALL
        """Key of the entry that is to be current: `CHOSEN`, `ALL` or a collection's id."""
        self.which = Choice(theme)
        self.which.setAccessibleName(self.tr("Documents of the task"))
        self.model = DocumentsModel()
        self.list = RowList(theme, self.model, self.tr("Chosen documents"), self._menu, many=True)
        self.pick_button = Button(theme, self.tr("Choose from the library…"), icon="files", size=16)
        self.files_button = Button(theme, self.tr("Add files…"), icon="file-plus", size=16)
        self.folder_button = Button(theme, self.tr("Add a folder…"), icon="folder-plus", size=16)
        self.hint = label("", "dim", wrap=True)
        self._flow = FlowLayout()
        for button in (self.pick_button, self.files_button, self.folder_button):
            self._flow.addWidget(button)
        self._column = QVBoxLayout(self)
        for part in (self.which, self.list):
            self._column.addWidget(part)
        self._column.addLayout(self._flow)
        self._column.addWidget(self.hint)
        self._connect()
        theme.changed.connect(self._fit)
        self._fit()
        self._show()

    # ------------------------------------------------------------ what the page calls

    @property
    def scope(self) -> Scope | None:
        """What is chosen; None: nothing yet."""
        if self._listing is None:
            return None
        if self._wanted == CHOSEN:
            return Scope(documents=tuple(self._chosen)) if self._chosen else None
        if isinstance(self._wanted, int):
            there = any(each.id == self._wanted for each in self._listing.collections)
            return Scope(collections=(self._wanted,)) if there else None
        return Scope() if self._listing.total else None

    def choose(self, scope: Scope) -> None:
        """Take what was chosen elsewhere: one collection, or documents, or all."""
        self._chosen = list(scope.documents)
        self._wanted = CHOSEN if scope.documents else next(iter(scope.collections), ALL)
        self._show()
        self.changed.emit()

    def add(self, paths: Sequence[Path]) -> None:
        """Take files and folders into the library, and choose them."""
        job = self._library.add(paths, None)
        job.returned.connect(self._take_added)

    # ------------------------------------------------------------ inside

    def _take_listing(self, listing: Listing) -> None:
        before = self._states()
        # What was just added may be missing yet; what was there and is not any more is gone.
        gone = {each.id for each in self._listing.documents} if self._listing else set()
        gone.difference_update(each.id for each in listing.documents)
        self._listing = listing
        self._chosen = [each for each in self._chosen if each not in gone]
        self._show()
        if self._states() != before:
            self.changed.emit()

    def _states(self) -> object:
        """What the price of the chosen depends on."""
        if self._listing is None:
            return None
        inside = self._documents() if self._wanted == CHOSEN else self._listing.documents
        counts = [(each.id, each.documents) for each in self._listing.collections]
        return counts, [(each.id, each.state) for each in inside]

    def _documents(self) -> list[Document]:
        """The chosen ones, in the library's order."""
        wanted = set(self._chosen)
        return [each for each in self._listing.documents if each.id in wanted] if self._listing else []

    def _show(self) -> None:
        listing = self._listing
        entries: list[tuple[str, Any]] = []
        if listing is not None and listing.total:
            entries.append((self.tr("All documents · {0}").format(words.number(listing.total)), ALL))
            entries += [
                (f"{each.name} · {words.number(each.documents)}", each.id) for each in listing.collections
            ]
            entries.append(
                (self.tr("Chosen documents · {0}").format(words.number(len(self._chosen))), CHOSEN)
            )
        self.which.blockSignals(True)
        if [
            (self.which.itemText(at), self.which.itemData(at)) for at in range(self.which.count())
        ] != entries:
            self.which.clear()
            for text, key in entries:
                self.which.addItem(text, key)
        found = next((at for at, (_, key) in enumerate(entries) if key == self._wanted), -1)
        if found < 0 and entries:
            self._wanted, found = ALL, 0
        self.which.setCurrentIndex(found)
        self.which.blockSignals(False)
        self.which.setVisible(bool(entries))
        self.pick_button.setVisible(bool(entries))
        documents = self._documents() if self._wanted == CHOSEN else []
        self.model.show(documents, differences(self.model.documents, documents))
        self.list.setVisible(bool(documents))
        self.list.setFixedHeight(min(len(documents), MOST_ROWS) * self._theme.px(ROW_HEIGHT) + 2)
        self.hint.setText(
            self.tr("Files and folders can be dropped here, too. They stay where they are.")
            if entries
            else self.tr("No documents yet. Add files or a folder, or drop them here.")
        )

    def _choose_entry(self, index: int) -> None:
        self._wanted = self.which.itemData(index)
        if self._wanted == CHOSEN and not self._chosen:
            self.pick()
        self._show()
        self.changed.emit()

    def pick(self) -> None:
        """Ask which documents of the library."""
        if self._listing is None:
            return
        dialog = DocumentPicker(self._theme, self, self._listing.documents, self._chosen)
        if dialog.exec() == DocumentPicker.DialogCode.Accepted:
            self._set_chosen(dialog.chosen)
        dialog.deleteLater()

    def _set_chosen(self, ids: Sequence[int]) -> None:
        self._chosen, self._wanted = list(ids), CHOSEN if ids else ALL
        self._show()
        self.changed.emit()

    def _take_added(self, added: Added) -> None:
        new = [*added.documents, *added.known]
        self.told.emit(words.added(added))
        if new:
            before = self._chosen if self._wanted == CHOSEN else []
            self._chosen = [*before, *(each for each in new if each not in before)]
            self._wanted = CHOSEN
            # They are listed once the library has told of them; their choice must outlast that.
            self._library.refresh()
            self.changed.emit()

    def _leave_out(self, ids: Sequence[int]) -> None:
        self._set_chosen([each for each in self._chosen if each not in ids])

    def _menu(self, keys: list[Any]) -> QMenu:
        menu = QMenu(self)
        menu_action(menu, self.tr("Leave out"), lambda: self._leave_out(keys))
        return menu

    def _choose_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, self.tr("Add documents"))
        if names:
            self.add([Path(name) for name in names])

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, self.tr("Add the documents of a folder"))
        if name:
            self.add([Path(name)])

    def _connect(self) -> None:
        self._library.listed.connect(self._take_listing)
        self.which.activated.connect(self._choose_entry)
        self.list.delete_requested.connect(self._leave_out)
        self.pick_button.clicked.connect(self.pick)
        self.files_button.clicked.connect(self._choose_files)
        self.folder_button.clicked.connect(self._choose_folder)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(16), px(14), px(16), px(12))
        self._column.setSpacing(px(10))
        self._flow.setSpacing(px(8))
        self._show()

    # ------------------------------------------------------------ Qt

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files and folders may be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Add what is on this computer."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self.add(paths)

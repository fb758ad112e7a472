"""Left of the Documents page: add, find, collections, documents, what is being read, the trash."""

from collections.abc import Sequence
from enum import Enum
from functools import partial
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QMenu, QStackedWidget, QVBoxLayout, QWidget

from localai_app.documents.document import Document, Passage, Scope, State
from localai_app.ui.chat.conversation_list import menu_action
from localai_app.ui.documents.lists import ROW_HEIGHT, CollectionsModel, DocumentsModel, RowList
from localai_app.ui.documents.passages import PassageDelegate, PassagesModel
from localai_app.ui.documents.work_card import WorkCard
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import ElidedLabel, label
from localai_app.ui.widgets.padlock import Lock, Locks
from localai_app.ui.widgets.results import ResultsView

SEARCH_DELAY_MS = 250
LOW = 620
"""Design pixels below which the card on reading has no room for a sentence."""
MOST_COLLECTIONS = 6
"""Rows of collections that are shown at once; more scroll."""


class View(Enum):
    """What the sidebar shows."""

    LIBRARY = 0
    FOUND = 1
    TRASH = 2


class Sidebar(QFrame):
    """Emits what the person wants; the page does it and tells the models."""

    add_files_requested = Signal()
    add_folder_requested = Signal()
    search_requested = Signal(str)
    collection_chosen = Signal(object)
    """Id of a collection; None: all documents."""
    collection_wanted = Signal()
    rename_requested = Signal(int, str)
    delete_collection_requested = Signal(int)
    put_requested = Signal(int, list)
    take_requested = Signal(list)
    opened = Signal(object)
    """Id of the document that the person wants to see."""
    passage_opened = Signal(object)
    ask_requested = Signal(list)
    """Ask only these documents."""
    task_requested = Signal(object)
    """Begin a task for the documents of this `Scope`."""
    remove_requested = Signal(list)
    restore_requested = Signal(list)
    erase_requested = Signal(list)
    retry_requested = Signal(int)
    refresh_requested = Signal()
    trash_shown = Signal(bool)
    selection_changed = Signal()

    def __init__(self, theme: Theme, locks: Locks, *, may_run_tasks: bool = False) -> None:
        super().__init__()
        self._theme, self._locks, self._may_run_tasks = theme, locks, may_run_tasks
        self.setProperty("look", "sidebar")
        self.collection: int | None = None
        """Id of the chosen collection; None: all documents."""
        self.collections = CollectionsModel()
        self.documents = DocumentsModel()
        self.trashed = DocumentsModel()
        self.passages = PassagesModel()
        self.work = WorkCard(theme)
        self._build()
        self._connect()
        self._show(View.LIBRARY)

    @property
    def view(self) -> View:
        """What is shown."""
        return View(self._stack.currentIndex())

    @property
    def collection_name(self) -> str:
        """Of the chosen collection."""
        each = self.collections.collection(self.collection)
        return each.name if each else self.tr("All documents")

    def choose_collection(self, collection_id: int | None) -> None:
        """Show another collection's documents."""
        changed = collection_id != self.collection
        self.collection = collection_id
        self.collection_list.choose([collection_id], current=collection_id)
        self._section.setText(self.collection_name.upper())
        if self.view is View.TRASH:
            self._show(View.LIBRARY)
            self.trash_shown.emit(False)
        if changed:
            self.document_list.clearSelection()
            self.collection_chosen.emit(collection_id)

    def show_collections(self, collections: Sequence[Any], total: int) -> None:
        """Show the collections as they are now."""
        if self.collections.show(collections, total):
            self.collection_list.choose([self.collection], current=self.collection)
            if self.collections.collection(self.collection) is None and self.collection is not None:
                self.choose_collection(None)
            self._fit_collections()
        if not self.collection_list.keys:
            self.collection_list.choose([self.collection], current=self.collection)
        self._section.setText(self.collection_name.upper())

    def show_documents(self, documents: Sequence[Document], changed: Sequence[int] | None) -> None:
        """Show the chosen collection's documents as they are now."""
        self._keep_selection(self.document_list, self.documents, documents, changed)
        self._show_nothing()

    def show_trashed(self, documents: Sequence[Document], changed: Sequence[int] | None) -> None:
        """Show what lies in the trash."""
        self._keep_selection(self.trash_list, self.trashed, documents, changed)
        self._show_nothing()

    def show_found(self, query: str, passages: Sequence[Passage]) -> None:
        """Show passages, unless something else is looked for by now."""
        if query == self.search_field.text().strip():
            self.passages.show(passages, query)
            self._show(View.FOUND)

    def mark_document(self, document_id: int) -> None:
        """Select the document that is looked at, where it is listed and not among others chosen."""
        if self.document_list.keys != [document_id]:
            self.document_list.choose([document_id], current=document_id)

    def edit_collection(self, collection_id: int) -> None:
        """Type another name for a collection."""
        self.collection_list.edit(self.collections.index(self.collections.row_of(collection_id)))

    def rename_collection(self) -> None:
        """Type another name for the chosen collection; “All documents” has no other."""
        if self.collection is not None and self.view is View.LIBRARY:
            self.edit_collection(self.collection)

    def focus_search(self) -> None:
        """Type to search."""
        self.search_field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search_field.selectAll()

    # ------------------------------------------------------------ inside

    @staticmethod
    def _keep_selection(
        view: RowList, model: DocumentsModel, documents: Sequence[Document], changed: Sequence[int] | None
    ) -> None:
        keys, scrolled = view.keys, view.verticalScrollBar().value()
        at = view.currentIndex()
        current = model.documents[at.row()].id if at.isValid() else None
        if model.show(documents, changed):
            view.choose(keys, current=current)
            view.verticalScrollBar().setValue(scrolled)

    def _show(self, view: View) -> None:
        self._stack.setCurrentIndex(view.value)
        self.trash_button.setVisible(view is View.LIBRARY)
        self._restore.setVisible(view is View.TRASH)
        self._erase.setVisible(view is View.TRASH)
        self._show_nothing()

    def _show_trash(self) -> None:
        self.search_field.blockSignals(True)
        self.search_field.clear()
        self.search_field.blockSignals(False)
        self._clear.hide()
        self._show(View.TRASH)
        self.trash_shown.emit(True)

    def _leave_trash(self) -> None:
        self._show(View.LIBRARY)
        self.trash_shown.emit(False)

    def _show_nothing(self) -> None:
        """Say so where a list is empty."""
        text = ""
        if self.view is View.LIBRARY and not self.documents.documents:
            text = (
                self.tr("No documents yet. Add some, or drop files here.")
                if self.collection is None
                else self.tr("Nothing in this collection yet. Drop files here.")
            )
        elif self.view is View.FOUND and not self.passages.passages:
            text = self.tr("Nothing found.")
        elif self.view is View.TRASH and not self.trashed.documents:
            text = self.tr("The trash is empty.")
        for each in (self._nothing, self._nothing_found, self._nothing_trashed):
            each.setText(text)
            each.setVisible(bool(text))
        some = bool(self.trash_list.keys)
        self._restore.setEnabled(some)
        self._erase_lock.enable(bool(self.trashed.documents))
        self._erase.set_text(self.tr("Erase for good…") if some else self.tr("Empty the trash…"))

    def _search_soon(self, text: str) -> None:
        self._clear.setVisible(bool(text))
        if text.strip():
            self._timer.start()
        else:
            self._timer.stop()
            if self.view is View.FOUND:
                self._show(View.LIBRARY)

    def _erase_chosen(self) -> None:
        self.erase_requested.emit(self.trash_list.keys or [each.id for each in self.trashed.documents])

    # ------------------------------------------------------------ menus

    def _collection_menu(self, keys: list[Any]) -> QMenu | None:
        if keys[0] is None:
            menu = QMenu(self)
            self._add_task_action(menu, Scope())
            menu_action(menu, self.tr("Look for changed files"), self.refresh_requested.emit)
            return menu
        number = int(keys[0])
        menu = QMenu(self)
        self._add_task_action(menu, Scope(collections=(number,)))
        menu_action(menu, self.tr("Rename"), lambda: self.edit_collection(number))
        menu_action(
            menu, self.tr("Delete the collection"), lambda: self.delete_collection_requested.emit(number)
        )
        return menu

    def _document_menu(self, keys: list[Any]) -> QMenu:
        menu = QMenu(self)
        one = self._document(keys[0]) if len(keys) == 1 else None
        if one is not None:
            menu_action(menu, self.tr("Open"), lambda: self.opened.emit(one.id))
        only = self.tr("Ask only this document") if one else self.tr("Ask only these {0}").format(len(keys))
        menu_action(menu, only, lambda: self.ask_requested.emit(keys))
        self._add_task_action(menu, Scope(documents=tuple(keys)))
        if one is not None and one.state is State.FAILED:
            menu_action(menu, self.tr("Retry"), lambda: self.retry_requested.emit(one.id))
        into = menu.addMenu(self.tr("Put in collection"))
        for each in self.collections.collections:
            if each.id != self.collection:
                menu_action(into, each.name, partial(self.put_requested.emit, each.id, keys))
        into.setEnabled(not into.isEmpty())
        if self.collection is not None:
            menu_action(menu, self.tr("Take out of this collection"), lambda: self.take_requested.emit(keys))
        menu.addSeparator()
        menu_action(menu, self.tr("Remove"), lambda: self.remove_requested.emit(keys))
        return menu

    def _want_task(self) -> None:
        """For the documents that are selected where there are several, else for the collection."""
        keys = self.document_list.keys
        if len(keys) > 1:
            self.task_requested.emit(Scope(documents=tuple(keys)))
        else:
            self.task_requested.emit(Scope() if self.collection is None else Scope((self.collection,)))

    def _add_task_action(self, menu: QMenu, scope: Scope) -> None:
        if self._may_run_tasks:
            menu_action(menu, self.tr("Task…"), lambda: self.task_requested.emit(scope))

    def _trash_menu(self, keys: list[Any]) -> QMenu:
        menu = QMenu(self)
        menu_action(menu, self.tr("Restore"), lambda: self.restore_requested.emit(keys))
        erase = menu_action(menu, self.tr("Erase for good…"), lambda: self.erase_requested.emit(keys))
        self._locks.mark(menu, erase, Lock.ERASE)
        return menu

    def _document(self, document_id: int) -> Document | None:
        return next((each for each in self.documents.documents if each.id == document_id), None)

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        theme = self._theme
        self.add_button = Button(
            theme, self.tr("Add documents"), look="primary", icon="plus", tint="on_accent", size=17
        )
        self.add_menu = QMenu(self)
        menu_action(self.add_menu, self.tr("Files…"), self.add_files_requested.emit)
        menu_action(self.add_menu, self.tr("A folder…"), self.add_folder_requested.emit)
        self.add_button.clicked.connect(
            lambda: self.add_menu.exec(self.add_button.mapToGlobal(self.add_button.rect().bottomLeft()))
        )
        self.search_field = QLineEdit()
        self.search_field.setPlaceholderText(self.tr("Find in documents"))
        self.search_field.setAccessibleName(self.tr("Find in documents"))
        self.search_field.addAction(
            QAction(theme.icon("search"), "", self.search_field), QLineEdit.ActionPosition.LeadingPosition
        )
        self._clear = IconButton(theme, "x", self.tr("End the search"), self.search_field, size=14)
        self._clear.clicked.connect(self.search_field.clear)
        self._clear.hide()
        self.new_button = IconButton(theme, "folder-plus", self.tr("New collection"), size=16)
        self.collection_list = RowList(theme, self.collections, self.tr("Collections"), self._collection_menu)
        self.document_list = RowList(
            theme, self.documents, self.tr("Documents"), self._document_menu, many=True
        )
        self.trash_list = RowList(theme, self.trashed, self.tr("Trash"), self._trash_menu, many=True)
        self.passage_list = ResultsView(
            theme, self.tr("Passages found"), self.passages, PassageDelegate(theme, self.passages)
        )
        self._section = ElidedLabel("", "section")
        self._nothing, self._nothing_found, self._nothing_trashed = (
            label("", "dim", wrap=True) for _ in range(3)
        )
        library, found, trash = (QWidget() for _ in range(3))
        self._library_column = QVBoxLayout(library)
        self._head = QHBoxLayout()
        self._head.addWidget(label(self.tr("COLLECTIONS"), "section"), 1)
        self._head.addWidget(self.new_button)
        self._library_column.addLayout(self._head)
        self._library_column.addWidget(self.collection_list)
        self._list_head = QHBoxLayout()
        self._list_head.addWidget(self._section, 1)
        self.task_button = IconButton(theme, "list-checks", self.tr("Task for these documents…"), size=16)
        self._list_head.addWidget(self.task_button)
        self._library_column.addLayout(self._list_head)
        self.task_button.setVisible(self._may_run_tasks)
        self._library_column.addWidget(self._nothing)
        self._library_column.addWidget(self.document_list, 1)
        self._found_column = QVBoxLayout(found)
        self._found_column.addWidget(label(self.tr("PASSAGES"), "section"))
        self._found_column.addWidget(self._nothing_found)
        self._found_column.addWidget(self.passage_list, 1)
        self._back = IconButton(theme, "arrow-left", self.tr("Back to the documents"))
        self._restore = Button(theme, self.tr("Restore"))
        self._erase = Button(theme, self.tr("Empty the trash…"))
        self._erase_lock = self._locks.hold(self._erase, Lock.ERASE)
        self._trash_column = QVBoxLayout(trash)
        trash_head = QHBoxLayout()
        trash_head.addWidget(self._back)
        trash_head.addWidget(label(self.tr("Trash"), "strong"), 1)
        self._trash_column.addLayout(trash_head)
        self._trash_column.addWidget(self._nothing_trashed)
        self._trash_column.addWidget(self.trash_list, 1)
        self._trash_column.addWidget(self._restore)
        self._trash_column.addWidget(self._erase)
        self._stack = QStackedWidget()
        for each in (library, found, trash):
            self._stack.addWidget(each)
        self.trash_button = Button(theme, self.tr("Trash"), look="flat", icon="trash-2", size=17)
        self._column = QVBoxLayout(self)
        self._column.addWidget(self.add_button)
        self._column.addWidget(self.search_field)
        self._column.addWidget(self._stack, 1)
        self._column.addWidget(self.work)
        self._column.addWidget(self.trash_button)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SEARCH_DELAY_MS)
        theme.changed.connect(self._fit)
        self._fit()

    def _connect(self) -> None:
        self._timer.timeout.connect(lambda: self.search_requested.emit(self.search_field.text().strip()))
        self.search_field.textChanged.connect(self._search_soon)
        self.search_field.installEventFilter(self)
        self.new_button.clicked.connect(self.collection_wanted)
        self.task_button.clicked.connect(self._want_task)
        self.collection_list.opened.connect(self.choose_collection)
        self.collection_list.delete_requested.connect(
            lambda keys: self.delete_collection_requested.emit(keys[0]) if keys[0] is not None else None
        )
        self.collections.rename_requested.connect(self.rename_requested)
        self.document_list.opened.connect(self.opened)
        self.document_list.delete_requested.connect(self.remove_requested)
        self.document_list.selectionModel().selectionChanged.connect(lambda *_: self.selection_changed.emit())
        self.trash_list.delete_requested.connect(self.erase_requested)
        self.trash_list.selectionModel().selectionChanged.connect(lambda *_: self._show_nothing())
        self.passage_list.opened.connect(self.passage_opened)
        self._back.clicked.connect(self._leave_trash)
        self._restore.clicked.connect(lambda: self.restore_requested.emit(self.trash_list.keys))
        self._erase.clicked.connect(self._erase_chosen)
        self.trash_button.clicked.connect(self._show_trash)

    def _fit_collections(self) -> None:
        """As many rows as there are, but never more than leave the documents theirs."""
        px = self._theme.px
        room = (self._stack.height() - px(90)) // (2 * px(ROW_HEIGHT))
        rows = min(len(self.collections.collections) + 1, MOST_COLLECTIONS, max(1, room))
        self.collection_list.setFixedHeight(rows * px(ROW_HEIGHT) + 2)
        self.collection_list.scrollTo(self.collection_list.currentIndex())

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(12), px(12), px(12), px(10))
        self._column.setSpacing(px(8))
        for column in (self._library_column, self._found_column, self._trash_column):
            column.setContentsMargins(0, px(4), 0, 0)
            column.setSpacing(px(6))
        self._head.setContentsMargins(px(4), 0, 0, 0)
        self._list_head.setContentsMargins(px(4), px(6), 0, 0)
        self.add_button.setMinimumHeight(px(34))
        self.search_field.setMinimumHeight(px(34))
        self._fit_collections()
        self._place_in_field()

    def _place_in_field(self) -> None:
        px, field = self._theme.px, self.search_field
        side = px(24)
        self._clear.setGeometry(field.width() - side - px(5), (field.height() - side) // 2, side, side)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where the window is low, the lists come first."""
        super().resizeEvent(event)
        self.work.set_compact(self.height() < self._theme.px(LOW))
        self._fit_collections()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape goes back to the documents."""
        if event.key() == Qt.Key.Key_Escape and self.view is View.FOUND:
            self.search_field.clear()
            self.search_field.setFocus()
        elif event.key() == Qt.Key.Key_Escape and self.view is View.TRASH:
            self._leave_trash()
            self.trash_button.setFocus()
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keys of the search field: Escape ends, Down goes to the results, Enter opens the best."""
        if event.type() == QEvent.Type.Resize:
            self._place_in_field()
        elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape:
                self.search_field.clear()
                return True
            if event.key() == Qt.Key.Key_Down and self.view is View.FOUND:
                self.passage_list.setFocus()
                if not self.passage_list.currentIndex().isValid():
                    self.passage_list.setCurrentIndex(self.passages.index(0))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.view is View.FOUND:
                self.passage_list.open_first()
                return True
        return False

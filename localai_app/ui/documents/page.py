"""The Documents page: the library at the left, questions in the middle, the page at the right."""

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QResizeEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QSplitter, QWidget

from localai_app.chat.service import ChatService
from localai_app.documents.document import Citation, Collection, Passage, Scope, State
from localai_app.documents.service import Added, Work
from localai_app.errors import LocalAIError
from localai_app.ui.documents import words
from localai_app.ui.documents.ask import AskPanel
from localai_app.ui.documents.library import Library, Listing
from localai_app.ui.documents.page_view import PageView
from localai_app.ui.documents.rooms import DocumentRooms
from localai_app.ui.documents.sidebar import Sidebar
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.dialogs import confirm
from localai_app.ui.widgets.labels import restyle
from localai_app.ui.widgets.padlock import Locks
from localai_app.ui.widgets.toast import Toast

ASK_WIDTH, VIEW_WIDTH = 340, 400
"""Design pixels that questions and page need to stand side by side."""


class DocumentsPage(QWidget):
    """Ties the parts to each other and to the services."""

    sizes_changed = Signal(list)
    task_requested = Signal(object)
    """Begin a task for the documents of this `Scope`."""

    def __init__(  # noqa: PLR0917 - what a page needs
        self,
        theme: Theme,
        jobs: Jobs,
        chat: ChatService,
        rooms: DocumentRooms,
        toast: Callable[[], Toast],
        sizes: Sequence[int],
        locks: Locks,
        *,
        may_run_tasks: bool = False,
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._toast = theme, jobs, rooms, toast
        self.setProperty("look", "page")
        self.setAcceptDrops(True)
        self._only: tuple[int, ...] = ()
        """Documents that alone are asked; empty: the whole collection."""
        self._unnamed: int | None = None
        """A collection that was just made."""
        self.library = Library(jobs, rooms.documents, self)
        self.sidebar = Sidebar(theme, locks, may_run_tasks=may_run_tasks)
        self.ask = AskPanel(theme, jobs, chat, rooms, toast)
        self.ask.pane.transcript.locks = locks
        self.view = PageView(theme, jobs, rooms.documents)
        self.view.hide()
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(4)
        for part in (self.sidebar, self.ask, self.view):
            self.splitter.addWidget(part)
        self.splitter.setChildrenCollapsible(False)
        for index, stretch in enumerate((0, 2, 3)):
            self.splitter.setStretchFactor(index, stretch)
        self._sizes = list(sizes) if len(sizes) == 3 else []
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.splitter)
        self._connect()
        theme.changed.connect(self._fit)
        self._fit()

    # ------------------------------------------------------------ what the window calls

    def load(self) -> None:
        """Fetch what the page shows, and stay with it."""
        self.library.start()
        self._show_scope()

    def focus_first(self) -> None:
        """Type a question where there is something to ask, else begin at the button that adds."""
        if self.ask.pane.composer.isEnabled():
            self.ask.focus()
        else:
            self.sidebar.add_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def add(self, paths: Sequence[Path], *, show: bool = False) -> None:
        """Take files and folders into the library; ``show`` opens the first of them."""
        job = self.library.add(paths, self.sidebar.collection)
        if show:
            job.returned.connect(self._open_added)

    def choose_files(self) -> None:
        """Ask which files to add."""
        names, _ = QFileDialog.getOpenFileNames(self, self.tr("Add documents"))
        if names:
            self.add([Path(name) for name in names])

    def choose_folder(self) -> None:
        """Ask which folder to add."""
        name = QFileDialog.getExistingDirectory(self, self.tr("Add the documents of a folder"))
        if name:
            self.add([Path(name)])

    def open_document(self, document_id: int, page: int = 1, span: tuple[int, int] | None = None) -> None:
        """Look at a page."""
        self._show_view()
        self.view.open(document_id, page, span)
        self.sidebar.mark_document(document_id)

    def open_citations(self, citations: Sequence[Citation], index: int) -> None:
        """Look at what an answer cites."""
        self._show_view()
        self.view.open_citation(citations, index)

    def close_view(self) -> None:
        """Look at no page."""
        self._keep_sizes()
        self.view.close_document()
        self.view.hide()
        self._arrange()
        self.focus_first()

    def show_error(self, error: LocalAIError) -> None:
        """Tell what went wrong and what to do."""
        self._toast().show_message(error.line)

    def toggle_sidebar(self) -> None:
        """Show or hide the library."""
        self.sidebar.setVisible(not self.sidebar.isVisible())
        self._arrange()

    def close_work(self) -> None:
        """The window closes."""
        self._keep_sizes()
        self.library.close()
        self.ask.pane.stop_all()
        self.view.close_document()

    # ------------------------------------------------------------ the library's news

    def _show_listing(self, listing: Listing) -> None:
        self.sidebar.show_collections(listing.collections, listing.total)
        new = self._unnamed
        if new is not None and self.sidebar.collections.collection(new) is not None:
            self._unnamed = None
            self.sidebar.choose_collection(new)
            self.sidebar.edit_collection(new)
        if listing.collection_id != self.sidebar.collection:
            return
        self.sidebar.show_documents(listing.documents, listing.changed)
        there = {each.id for each in listing.documents}
        self._only = tuple(each for each in self._only if each in there)
        self._show_scope()
        if self.sidebar.add_button.hasFocus():
            self.focus_first()
        shown = self.view.document
        if shown is not None:
            now = next((each for each in listing.documents if each.id == shown.id), None)
            if now is not None:
                self.view.refresh(now)

    def _show_scope(self) -> None:
        """The middle asks what is chosen at the left."""
        side, documents = self.sidebar, self.sidebar.documents.documents
        asked = [each for each in documents if not self._only or each.id in self._only]
        reading = any(each.state in (State.WAITING, State.READING) for each in asked)
        if self._only:
            name = asked[0].name if len(asked) == 1 else words.documents(len(self._only))
            self.ask.show_scope(Scope(documents=self._only), name, len(self._only), reading=reading)
            return
        chosen = side.collections.collection(side.collection)
        scope = Scope(collections=(chosen.id,)) if chosen else Scope()
        amount = chosen.documents if chosen else side.collections.total
        self.ask.show_scope(scope, side.collection_name, amount, reading=reading)

    def _show_added(self, added: Added) -> None:
        self._toast().show_message(words.added(added))

    def _open_added(self, added: Added) -> None:
        ids = (*added.documents, *added.known)
        if ids:
            self.open_document(ids[0])

    def _show_work(self, work: Work) -> None:
        self.sidebar.work.show_work(work)

    # ------------------------------------------------------------ the sidebar's wishes

    def _choose_collection(self, collection_id: int | None) -> None:
        self._only = ()
        # At once, not when the list has come: what is asked meanwhile goes to what is chosen now.
        self._show_scope()
        self.library.show(collection_id)

    def _create_collection(self) -> None:
        """Make one; its name is typed in its row, which is there once the list is."""

        def created(collection: Collection) -> None:
            self._unnamed = collection.id

        self.library.create_collection(self.tr("New collection"), created)

    def _rename_collection(self, collection_id: int, name: str) -> None:
        self.library.do(lambda: self._rooms.documents.rename_collection(collection_id, name))

    def _delete_collection(self, collection_id: int) -> None:
        def deleted(name: str, inside: list[int]) -> None:
            def undo() -> None:
                self.library.restore_collection(name, inside)

            if self.sidebar.collection == collection_id:
                self.sidebar.choose_collection(None)
            self._toast().show_message(
                self.tr("The collection “{0}” is deleted; its documents are still here.").format(name),
                self.tr("Undo"),
                undo,
            )

        self.library.delete_collection(collection_id, deleted)

    def _put(self, collection_id: int, ids: list[int]) -> None:
        self.library.do(lambda: self._rooms.documents.put_in(collection_id, ids))

    def _take(self, ids: list[int]) -> None:
        number = self.sidebar.collection
        if number is None:
            return

        def undo() -> None:
            self._put(number, ids)

        def taken(_: object) -> None:
            text = self.tr("Taken out of the collection: {0}.").format(words.documents(len(ids)))
            self._toast().show_message(text, self.tr("Undo"), undo)

        self.library.do(lambda: self._rooms.documents.take_out(number, ids), taken)

    def _remove(self, ids: list[int]) -> None:
        def removed(_: object) -> None:
            if self.view.document is not None and self.view.document.id in ids:
                self.close_view()
            text = self.tr("Moved to the trash: {0}.").format(words.documents(len(ids)))
            self._toast().show_message(text, self.tr("Undo"), lambda: self._restore(ids))

        self.library.do(lambda: self._rooms.documents.remove(ids), removed)

    def _restore(self, ids: list[int]) -> None:
        if ids:
            self.library.do(lambda: self._rooms.documents.restore(ids))

    def _erase(self, ids: list[int]) -> None:
        if not ids:
            return
        title = self.tr("Erase {0} for good?").format(words.documents(len(ids)))
        text = self.tr(
            "Their text, index and attachments are erased from this computer. The files that you added stay "
            "where they are. This cannot be undone."
        )
        if confirm(self._theme, self, title, text, self.tr("Erase")):
            self.library.do(lambda: self._rooms.documents.erase(ids))

    def _ask_only(self, ids: list[int]) -> None:
        self._only = tuple(ids)
        self._show_scope()
        self.ask.focus()

    def _ask_all(self) -> None:
        self._only = ()
        self._show_scope()
        self.ask.focus()

    def _show_trash(self, shown: bool) -> None:
        self.library.trash = shown
        if shown:
            self.library.refresh()

    def _unlock(self, document_id: int, password: str) -> None:
        job = self.library.do(lambda: self._rooms.documents.unlock(document_id, password))
        job.failed.connect(lambda _: self.view.reload())
        shown = self.view.document
        if shown is not None and shown.state is State.READY:
            # Its text is here already; only its pages waited for the password.
            job.returned.connect(lambda _: self.view.reload())

    def _retry(self, document_id: int) -> None:
        self.library.do(lambda: self._rooms.documents.retry(document_id))

    def _refresh_files(self) -> None:
        def refreshed(added: Added) -> None:
            changed = len(added.documents)
            text = (
                self.tr("Changed, and read anew: {0}.").format(words.documents(changed))
                if changed
                else self.tr("No file has changed.")
            )
            self._toast().show_message(text)

        self.library.do(self._rooms.documents.refresh, refreshed)

    def _open_passage(self, passage: Passage) -> None:
        self.open_document(passage.document_id, passage.page, (passage.start, passage.end))

    def _mark(self, citation: Citation) -> None:
        self.sidebar.mark_document(citation.document_id)

    # ------------------------------------------------------------ building

    def _connect(self) -> None:
        side, library, view = self.sidebar, self.library, self.view
        library.listed.connect(self._show_listing)
        library.trash_listed.connect(side.show_trashed)
        library.worked.connect(self._show_work)
        library.found.connect(side.show_found)
        library.added.connect(self._show_added)
        library.failed.connect(self.show_error)
        side.add_files_requested.connect(self.choose_files)
        side.add_folder_requested.connect(self.choose_folder)
        side.search_requested.connect(library.search)
        side.collection_chosen.connect(self._choose_collection)
        side.collection_wanted.connect(self._create_collection)
        side.rename_requested.connect(self._rename_collection)
        side.delete_collection_requested.connect(self._delete_collection)
        side.put_requested.connect(self._put)
        side.take_requested.connect(self._take)
        side.opened.connect(self.open_document)
        side.passage_opened.connect(self._open_passage)
        side.ask_requested.connect(self._ask_only)
        side.task_requested.connect(self.task_requested)
        side.remove_requested.connect(self._remove)
        side.restore_requested.connect(self._restore)
        side.erase_requested.connect(self._erase)
        side.retry_requested.connect(self._retry)
        side.refresh_requested.connect(self._refresh_files)
        side.trash_shown.connect(self._show_trash)
        side.work.pause_requested.connect(library.pause)
        side.work.resume_requested.connect(library.resume)
        self.ask.add_requested.connect(self.choose_files)
        self.ask.all_requested.connect(self._ask_all)
        self.ask.failed.connect(self.show_error)
        self.ask.pane.citation_opened.connect(self.open_citations)
        view.closed.connect(self.close_view)
        view.failed.connect(self.show_error)
        view.citation_changed.connect(self._mark)
        view.unlock_requested.connect(self._unlock)
        view.retry_requested.connect(self._retry)
        self.splitter.splitterMoved.connect(lambda *_: self._keep_sizes())

    def _show_view(self) -> None:
        if not self.view.isVisible():
            self.view.show()
            self._arrange()

    def _arrange(self) -> None:
        """Where there is no room for both, the page lies over the questions."""
        px = self._theme.px
        shown = not self.view.isHidden()
        beside = self.sidebar.width() if self.sidebar.isVisible() else 0
        room = self.width() - beside
        narrow = room < px(ASK_WIDTH + VIEW_WIDTH)
        focus = self.focusWidget()
        if shown and narrow and focus is not None and self.ask.isAncestorOf(focus):
            self.view.setFocus()  # else it would fall to whichever control is next
        self.ask.setVisible(not (shown and narrow))
        restyle(self.ask, look="sidebar" if shown else "page")
        if shown and narrow:
            self.splitter.setSizes([beside, 0, room])
        elif shown:
            side, ask, view = self._sizes or [beside, round(room * 0.41), round(room * 0.59)]
            self.splitter.setSizes([side, ask, view])

    def _keep_sizes(self) -> None:
        sizes = self.splitter.sizes()
        if all(sizes) and sizes != self._sizes:
            self._sizes = sizes
            self.sizes_changed.emit(sizes)

    def _fit(self) -> None:
        px = self._theme.px
        self.sidebar.setMinimumWidth(px(200))
        self.sidebar.setMaximumWidth(px(440))
        self.view.setMinimumWidth(px(320))

    # ------------------------------------------------------------ Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Arrange the parts anew."""
        super().resizeEvent(event)
        if event.oldSize().width() <= 0 and self._sizes:
            self.splitter.setSizes(self._sizes)
        elif event.oldSize().width() <= 0:
            side = self._theme.px(252)
            self.splitter.setSizes([side, self.width() - side, 0])
        self._arrange()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files and folders may be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Add what is on this computer."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self.add(paths)

"""Keeps the Documents page's lists as the library is, and does there what the person wants.

The library calls back in any thread, up to ten times a second. Work is asked for at that rate; the lists,
which may be long, at most twice a second and never more than a tenth of the time.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Qt, QTimer, Signal

from localai_app.documents.document import Collection, Document, Scope
from localai_app.documents.service import Added, DocumentService, Work
from localai_app.errors import UsageError
from localai_app.ui.documents.lists import differences
from localai_app.ui.jobs import Job, Jobs

LANE, WORK_LANE, SEARCH_LANE = "documents", "documents-work", "documents-search"
ADD_LANE = "documents-add"
"""Files are hashed there, which may take long."""
LIST_SECONDS = 0.5
SHARE = 10
"""The lists take at most one part in so many of the time."""
FOUND = 30
"""Passages that a search shows."""


@dataclass(frozen=True)
class Listing:
    """The library as it was a moment ago; ``changed`` as `differences` says."""

    collections: Sequence[Collection]
    total: int
    collection_id: int | None
    documents: Sequence[Document]
    changed: Sequence[int] | None


class Library(QObject):
    """All calls of the page to the document service, but those of the page view."""

    listed = Signal(object)
    """A `Listing`."""
    trash_listed = Signal(list, object)
    """Documents, and what changed."""
    worked = Signal(object)
    """A `Work`."""
    found = Signal(str, list)
    added = Signal(object)
    failed = Signal(object)
    _changed = Signal()

    def __init__(self, jobs: Jobs, documents: DocumentService, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs, self._documents = jobs, documents
        self.collection: int | None = None
        """Whose documents are listed; None: all."""
        self.trash = False
        """The trash is listed, too."""
        self._listed: Listing | None = None
        self._trashed: list[Document] = []
        self._listing = self._again = self._asking = False
        self._took = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)
        self._unwatch: Callable[[], None] | None = None
        self._changed.connect(self._note, Qt.ConnectionType.QueuedConnection)

    def start(self) -> None:
        """List what is there, and stay with it."""
        if self._unwatch is None:
            self._unwatch = self._documents.watch(self._changed.emit)
        self.refresh()
        self._ask_work()

    def close(self) -> None:
        """Look no more."""
        self._timer.stop()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    # ------------------------------------------------------------ looking

    def show(self, collection_id: int | None) -> None:
        """List another collection's documents."""
        self.collection = collection_id
        self.refresh()

    def refresh(self) -> None:
        """List everything again; while that goes on, once more at its end."""
        if self._listing:
            self._again = True
            return
        self._listing, self._again = True, False
        self._timer.stop()
        collection_id, trash = self.collection, self.trash
        job = self._jobs.run(lambda: self._list(collection_id, trash=trash), lane=LANE)
        job.returned.connect(self._show)
        job.failed.connect(self.failed)
        job.finished.connect(self._end_listing)

    def search(self, query: str) -> None:
        """Find passages in the collection that is listed."""
        scope = Scope() if self.collection is None else Scope(collections=(self.collection,))
        job = self._jobs.run(lambda: self._documents.search(query, scope, FOUND), lane=SEARCH_LANE)
        job.returned.connect(lambda passages: self.found.emit(query, passages))
        job.failed.connect(self.failed)

    def _note(self) -> None:
        if self._unwatch is None:
            return  # told before it was closed, and come after
        self._ask_work()
        if not self._timer.isActive():
            self._timer.start(round(1000 * max(LIST_SECONDS, SHARE * self._took)))

    def _ask_work(self) -> None:
        if self._asking:
            return
        self._asking = True
        job = self._jobs.run(self._documents.work, lane=WORK_LANE)
        job.returned.connect(self._show_work)
        job.failed.connect(self.failed)
        job.finished.connect(self._end_asking)

    def _show_work(self, work: Work) -> None:
        self.worked.emit(work)

    def _end_asking(self) -> None:
        self._asking = False

    def _list(self, collection_id: int | None, *, trash: bool) -> tuple[Listing, Any]:
        """In a pool thread: everything, and what is different about it."""
        began = time.monotonic()
        service, before = self._documents, self._listed
        collections = service.collections()
        if collection_id is not None and all(each.id != collection_id for each in collections):
            collection_id = None
        documents = service.documents(collection_id)
        total = len(documents) if collection_id is None else len(service.documents())
        same = before is not None and before.collection_id == collection_id
        changed = differences(before.documents, documents) if same and before is not None else None
        trashed = service.documents(trashed=True) if trash else None
        told = (trashed, differences(self._trashed, trashed)) if trashed is not None else None
        self._took = time.monotonic() - began
        return Listing(collections, total, collection_id, documents, changed), told

    def _show(self, made: tuple[Listing, tuple[list[Document], Any] | None]) -> None:
        listing, trashed = made
        if listing.collection_id != self.collection and self._again:
            return  # another collection was chosen meanwhile; its list is on its way
        self._listed = listing
        self.listed.emit(listing)
        if trashed is not None:
            self._trashed = trashed[0]
            self.trash_listed.emit(*trashed)

    def _end_listing(self) -> None:
        self._listing = False
        if self._again:
            self.refresh()

    # ------------------------------------------------------------ doing

    def do(
        self, call: Callable[[], Any], done: Callable[[Any], Any] | None = None, *, lane: str = LANE
    ) -> Job:
        """Change something; the lists follow."""
        job = self._jobs.run(call, lane=lane)
        if done is not None:
            job.returned.connect(done)
        job.returned.connect(lambda _: self.refresh())
        job.failed.connect(self.failed)
        job.failed.connect(lambda _: self.refresh())
        return job

    def add(self, paths: Sequence[Path], collection_id: int | None) -> Job:
        """Take files and folders in; `added` tells what came of it."""

        def tell(result: Added) -> None:
            self.added.emit(result)
            self._ask_work()

        return self.do(lambda: self._documents.add(paths, collection_id), tell, lane=ADD_LANE)

    def create_collection(self, name: str, then: Callable[[Collection], Any]) -> Job:
        """Make a collection of that name, or of that name and a number where it is taken."""

        def create() -> Collection:
            for number in range(1, 1000):
                try:
                    return self._documents.create_collection(name if number == 1 else f"{name} {number}")
                except UsageError:
                    continue
            raise UsageError("There are too many collections of that name.", "Rename some of them.")

        return self.do(create, then)

    def delete_collection(self, collection_id: int, then: Callable[[str, list[int]], Any]) -> Job:
        """Delete a collection; ``then`` is told its name and what was in it."""

        def delete() -> tuple[str, list[int]]:
            service = self._documents
            name = next(each.name for each in service.collections() if each.id == collection_id)
            inside = [each.id for each in service.documents(collection_id)]
            service.delete_collection(collection_id)
            return name, inside

        return self.do(delete, lambda made: then(*made))

    def restore_collection(self, name: str, inside: Sequence[int]) -> Job:
        """Make a deleted collection again."""

        def restore() -> None:
            made = self._documents.create_collection(name)
            self._documents.put_in(made.id, inside)

        return self.do(restore)

    def pause(self) -> None:
        """Stop reading after the page in hand."""
        self.do(self._documents.pause, lambda _: self._ask_work(), lane=WORK_LANE)

    def resume(self) -> None:
        """Go on reading."""
        self.do(self._documents.resume, lambda _: self._ask_work(), lane=WORK_LANE)

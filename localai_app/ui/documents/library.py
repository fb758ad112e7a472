"""Keeps the Documents page's lists as the library is, and does there what the person wants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from localai_app.documents.document import Collection, Document, Scope
from localai_app.documents.service import DocumentService, Work
from localai_app.errors import UsageError
from localai_app.ui.documents.lists import differences
from localai_app.ui.following import Following
from localai_app.ui.jobs import Job, Jobs

LANE, WORK_LANE, SEARCH_LANE = "documents", "documents-work", "documents-search"
ADD_LANE = "documents-add"
"""Files are hashed there, which may take long."""
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


_Trashed = tuple[list[Document], Any]
"""What is in the trash, and what changed."""


class Library(Following[tuple[Listing, _Trashed | None], Work]):
    """All calls of the page to the document service, but those of the page view."""

    listed = Signal(object)
    """A `Listing`."""
    trash_listed = Signal(list, object)
    """Documents, and what changed."""
    worked = Signal(object)
    """A `Work`."""
    found = Signal(str, list)
    added = Signal(object)
    """An `Added`."""

    def __init__(self, jobs: Jobs, documents: DocumentService, parent: QObject) -> None:
        super().__init__(jobs, LANE, WORK_LANE, parent)
        self._documents = documents
        self.collection: int | None = None
        """Whose documents are listed; None: all."""
        self.trash = False
        """The trash is listed, too."""
        self._listed: Listing | None = None
        self._trashed: list[Document] = []

    # ------------------------------------------------------------ looking

    def show(self, collection_id: int | None) -> None:
        """List another collection's documents."""
        self.collection = collection_id
        self.refresh()

    def search(self, query: str) -> None:
        """Find passages in the collection that is listed."""
        scope = Scope() if self.collection is None else Scope(collections=(self.collection,))
        job = self._jobs.run(lambda: self._documents.search(query, scope, FOUND), lane=SEARCH_LANE)
        job.returned.connect(lambda passages: self.found.emit(query, passages))
        job.failed.connect(self.failed)

    def _watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        return self._documents.watch(changed)

    def _to_list(self) -> Callable[[], tuple[Listing, _Trashed | None]]:
        return partial(self._list, self.collection, trash=self.trash)

    def _work(self) -> Work:
        return self._documents.work()

    def _show_work(self, work: Work) -> None:
        self.worked.emit(work)

    def _list(self, collection_id: int | None, *, trash: bool) -> tuple[Listing, _Trashed | None]:
        """In a pool thread: everything, and what is different about it."""
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
        return Listing(collections, total, collection_id, documents, changed), told

    def _show(self, made: tuple[Listing, _Trashed | None]) -> None:
        listing, trashed = made
        if listing.collection_id != self.collection and self._again:
            return  # another collection was chosen meanwhile; its list is on its way
        self._listed = listing
        self.listed.emit(listing)
        if trashed is not None:
            self._trashed = trashed[0]
            self.trash_listed.emit(*trashed)

    # ------------------------------------------------------------ doing

    def add(self, paths: Sequence[Path], collection_id: int | None) -> Job:
        """Take files and folders in; `added` tells what came of it."""

        return self.do(lambda: self._documents.add(paths, collection_id), self.added.emit, lane=ADD_LANE)

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
        self.do(self._documents.pause, lane=WORK_LANE)

    def resume(self) -> None:
        """Go on reading."""
        self.do(self._documents.resume, lane=WORK_LANE)

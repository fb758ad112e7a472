"""What a person does with documents: add, watch them being read, look at pages, search, remove.

Qt-free: plain calls. Every call asks policy and writes audit at this door.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from localai_app.documents.adding import Added, Adding, content_hmac
from localai_app.documents.document import Collection, Document, Page, Passage, Scope, State
from localai_app.documents.indexing import Embeds, Indexer, PassageIndex, ReadFile, Split
from localai_app.documents.library import Library
from localai_app.documents.progress import Watchers, Work
from localai_app.documents.view import DocumentView, MakeDrawer, PageImage
from localai_app.errors import DocumentError, UsageError
from localai_app.governance.audit import Audit, AuditEvent, BodyValue
from localai_app.governance.policy import Policy

__all__ = ["Added", "DocumentService", "DocumentView", "PageImage", "Work"]

_EVERYWHERE = Scope()
_LOOK_SECONDS = 0.25
"""How often `DocumentService.wait` looks at what other processes do."""


class SearchIndex(PassageIndex, Protocol):
    """The index that finds passages; see ``search.py``."""

    def search(self, query: str, scope: Scope, limit: int, /) -> list[Passage]:
        """The best passages, best first."""


class DocumentService:
    """All that either face can do with documents, but asking them (``asking.py``)."""

    def __init__(  # noqa: PLR0917 - the rooms and parts it joins
        self,
        library: Library,
        policy: Policy,
        audit: Audit,
        embedding: Embeds,
        index: SearchIndex,
        read_file: ReadFile,
        split: Split,
        language_of: Callable[[str], str],
        recognises: Callable[[], bool],
        make_drawer: MakeDrawer,
    ) -> None:
        """``recognises`` says whether pages without a text layer can be read here."""
        self._library = library
        self._policy = policy
        self._audit = audit
        self._index = index
        self._make_drawer = make_drawer
        self._watchers = Watchers()
        self._indexer = Indexer(
            library,
            policy,
            audit,
            index,
            embedding,
            read_file,
            split,
            language_of,
            recognises,
            self._watchers,
        )
        self._adding = Adding(library, policy, audit, self._added)

    # ------------------------------------------------------------ collections

    def collections(self) -> list[Collection]:
        """All, by name."""
        return self._library.collections()

    def create_collection(self, name: str) -> Collection:
        """A new, empty one; raise `UsageError` for a name that is taken or blank."""
        self._require()
        with self._library.transaction():
            collection_id = self._library.create_collection(name)
        self._watchers.tell()
        return self._library.collection(collection_id)

    def rename_collection(self, collection_id: int, name: str) -> Collection:
        """Give it another name."""
        with self._library.transaction():
            self._library.collection(collection_id)
            self._library.rename_collection(collection_id, name)
        self._watchers.tell()
        return self._library.collection(collection_id)

    def delete_collection(self, collection_id: int) -> None:
        """Delete the collection, not its documents."""
        with self._library.transaction():
            self._library.collection(collection_id)
            self._library.delete_collection(collection_id)
        self._watchers.tell()

    def put_in(self, collection_id: int, document_ids: Sequence[int]) -> None:
        """Add documents to a collection."""
        with self._library.transaction():
            self._library.collection(collection_id)
            self._library.put_in(collection_id, self._library.with_descendants(document_ids))
        self._watchers.tell()

    def take_out(self, collection_id: int, document_ids: Sequence[int]) -> None:
        """Take documents out of a collection; they stay in the library."""
        with self._library.transaction():
            self._library.take_out(collection_id, self._library.with_descendants(document_ids))
        self._watchers.tell()

    # ------------------------------------------------------------ documents

    def documents(self, collection_id: int | None = None, *, trashed: bool = False) -> list[Document]:
        """All documents, or those of one collection, by name."""
        return self._library.documents(collection_id, trashed=trashed)

    def document(self, document_id: int) -> Document:
        """One document; raise `NotFound`."""
        return self._library.document(document_id)

    def in_scope(self, scope: Scope) -> list[Document]:
        """The documents that ``scope`` names, by name, ready or not; raise `DocumentError` for none."""
        if scope.collections or scope.documents:
            some = [one for number in scope.collections for one in self.documents(number)]
            named = set(scope.documents)
            some += [one for one in self.documents() if one.id in named]
        else:
            some = self.documents()
        wanted = {one.id: one for one in some if _is_in(one, scope)}
        if not wanted:
            raise DocumentError("There are no documents there.", "Add some, or choose others.")
        return sorted(wanted.values(), key=lambda one: (one.name.casefold(), one.id))

    def add(self, paths: Sequence[Path], collection_id: int | None = None) -> Added:
        """Take files, and all files of folders, into the library; they are read in the background.

        Returns once each file is known by its hash; a file that cannot be opened, is too large or of
        a kind nobody reads is refused by name.
        """
        self._require()
        if collection_id is not None:
            self._library.collection(collection_id)
        added = self._adding.add(paths, collection_id)
        self._watchers.tell()
        return added

    def refresh(self) -> Added:
        """Look at every document's file again; a changed one is read anew, its old text serves meanwhile."""
        self._require()
        added = self._adding.refresh()
        self._watchers.tell()
        return added

    def unlock(self, document_id: int, password: str) -> None:
        """Read an encrypted document with its password, which is not kept."""
        self._require()
        document = self._library.document(document_id)
        if not password:
            raise UsageError("There is no password.", "Type the one that the document was made with.")
        if document.state not in (State.LOCKED, State.READY):
            raise UsageError("This document does not wait for a password.")
        self._indexer.unlock(document_id, password)

    def retry(self, document_id: int) -> None:
        """Read a document again that failed."""
        self._require()
        with self._library.transaction():
            self._library.document(document_id)
            if not self._library.requeue(document_id, State.FAILED):
                raise UsageError("Only a document that could not be read can be read again.")
        self._indexer.start()
        self._watchers.tell()

    def remove(self, document_ids: Sequence[int]) -> None:
        """Put documents in the trash: no longer listed or searched; `restore` undoes it."""
        self._indexer.drop(self._change(document_ids, AuditEvent.DOCUMENT_TRASHED, self._library.trash))

    def restore(self, document_ids: Sequence[int]) -> None:
        """Take documents out of the trash."""
        self._change(document_ids, AuditEvent.DOCUMENT_RESTORED, self._library.restore)
        self._indexer.catch_up()

    def erase(self, document_ids: Sequence[int]) -> None:
        """Erase documents in the trash with text, chunks, vectors and attachments, for good."""
        for document_id in document_ids:
            if self._library.document(document_id).trashed is None:
                raise UsageError("Only documents in the trash can be erased.", "Remove them first.")
        with self._audit.refusals("erase"):
            self._policy.require_delete()
        words = self._index.words(self._library.with_descendants(document_ids))

        def erase(every: Sequence[int]) -> None:
            self._index.remove(every, words)
            self._library.erase(every)

        self._indexer.drop(self._change(document_ids, AuditEvent.DOCUMENT_ERASED, erase))

    # ------------------------------------------------------------ work

    def work(self) -> Work:
        """How far reading and indexing are."""
        indexer = self._indexer
        return indexer.progress.now(self._library.backlog(), paused=indexer.paused, notice=indexer.notice)

    def pause(self) -> None:
        """Stop reading after the page in hand; what is done is kept."""
        self._indexer.pause()

    def resume(self) -> None:
        """Go on, after `pause` or at the start of the app."""
        self._indexer.resume()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is left to read; False when ``timeout`` seconds pass first.

        What another process reads is waited for too, and taken over when that process is gone.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        changed = threading.Event()
        end = self._watchers.add(changed.set)
        try:
            while True:
                backlog = self._library.backlog()
                if not (self._indexer.busy or backlog.to_read or backlog.to_embed):
                    return True
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                if not self._indexer.busy:
                    self._indexer.start()
                left = _LOOK_SECONDS if deadline is None else deadline - time.monotonic()
                changed.wait(max(0.0, min(_LOOK_SECONDS, left)))
                changed.clear()
        finally:
            end()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called (in any thread, at most ten times a second) when work or documents
        changed; call what comes back to end it."""
        return self._watchers.add(changed)

    # ------------------------------------------------------------ reading and finding

    def page(self, document_id: int, number: int) -> Page:
        """One page as it was read; raise `NotFound`."""
        return self._library.page(document_id, number)

    def pages(self, document_id: int) -> list[Page]:
        """All pages as they were read."""
        return self._library.pages(document_id)

    def view(self, document_id: int) -> DocumentView:
        """A document's pages, to be looked at; `note_opened` once somebody does."""
        self._require()
        document = self._library.document(document_id)
        password = self._indexer.passwords.get(document_id, "")
        return DocumentView(self._library, document, self._make_drawer, password)

    def note_opened(self, document_id: int) -> None:
        """Have the audit log tell that a person looks at this document."""
        document = self._library.document(document_id)
        name = content_hmac(self._library, document_id, document.sha256)
        body: dict[str, BodyValue] = {
            "document": document_id,
            "size": document.size,
            "format": document.format,
        }
        self._audit.append(AuditEvent.DOCUMENT_OPENED, name, body)

    def search(self, query: str, scope: Scope = _EVERYWHERE, limit: int = 10) -> list[Passage]:
        """The passages that answer ``query`` best, by words and by meaning, best first."""
        self._require()
        found = self._index.search(query, scope, limit)
        self._audit.append_detail(AuditEvent.DOCUMENT_SEARCHED, body={"found": len(found)})
        return found

    def close(self) -> None:
        """End reading; what is half-read is read again at the next start."""
        self._watchers.close()
        self._indexer.close()

    # ------------------------------------------------------------ small things

    def _added(self) -> None:
        self._indexer.start()
        self._watchers.tell()

    def _require(self) -> None:
        """Working with documents must be allowed; a refusal is audited."""
        with self._audit.refusals("documents"):
            self._policy.require_documents()

    def _change(
        self, document_ids: Sequence[int], event: AuditEvent, act: Callable[[Sequence[int]], None]
    ) -> list[int]:
        """Do ``act`` to documents and all that is attached to them, in one transaction; which they were."""
        with self._library.transaction():
            every = self._library.with_descendants(document_ids)
            act(every)
            for document_id in every:
                self._audit.append(event, str(document_id))
        self._watchers.tell()
        return every


def _is_in(document: Document, scope: Scope) -> bool:
    """Whether the filters of ``scope`` let ``document`` pass."""
    return (
        document.trashed is None
        and (not scope.formats or document.format in scope.formats)
        and (scope.added_after is None or document.added >= scope.added_after)
        and (scope.added_before is None or document.added < scope.added_before)
    )

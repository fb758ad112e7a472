"""A library of documents in memory, for tests: searched by the words that a chunk shares with the query."""

from collections.abc import Sequence
from datetime import UTC, datetime

from localai_app.documents.document import Document, Mark, Page, PageKind, Passage, Scope, State
from localai_app.documents.quotes import units, words
from localai_app.documents.service import DocumentService
from localai_app.errors import NotFound

ADDED = datetime(2026, 1, 1, tzinfo=UTC)


class FakeDocuments(DocumentService):
    """Each sentence of a page is a chunk."""

    def __init__(self) -> None:
        self.library: dict[int, tuple[Document, list[Page]]] = {}
        self.collected: dict[int, list[int]] = {}
        self.queries: list[str] = []

    def put(
        self,
        name: str,
        *texts: str,
        state: State = State.READY,
        marks: Sequence[Mark] = (),
        file_format: str = "pdf",
        unread: int = 0,
        error: str = "",
    ) -> int:
        """Add a document with these pages; its id."""
        number = len(self.library) + 1
        pages = [
            Page(number=at, text=text, kind=PageKind.PAGE, marks=tuple(marks))
            for at, text in enumerate(texts, 1)
        ]
        document = Document(
            id=number,
            name=name,
            sha256=f"{number:064}",
            size=1,
            format=file_format,
            state=state,
            added=ADDED,
            error=error,
            pages=len(pages),
            pages_read=len(pages) - unread,
            characters=sum(map(len, texts)),
        )
        self.library[number] = document, pages
        return number

    def documents(self, collection_id: int | None = None, *, trashed: bool = False) -> list[Document]:
        ids = self.library if collection_id is None else self.collected[collection_id]
        some = [self.library[number][0] for number in ids]
        return [document for document in some if (document.trashed is not None) == trashed]

    def pages(self, document_id: int) -> list[Page]:
        return self.library[document_id][1]

    def page(self, document_id: int, number: int) -> Page:
        if document_id not in self.library or number > len(self.library[document_id][1]):
            raise NotFound(f"Page {number} is not here.")
        return self.library[document_id][1][number - 1]

    def search(self, query: str, scope: Scope = Scope(), limit: int = 10) -> list[Passage]:  # noqa: B008
        self.queries.append(query)
        wanted = {word.folded for word in words(query) if word.weight}
        found = [
            (passage, sum(word.folded in wanted for word in words(passage.text)))
            for passage in self._chunks(scope)
        ]
        best = sorted((one for one in found if one[1]), key=lambda one: -one[1])
        return [passage for passage, _ in best[:limit]]

    def _chunks(self, scope: Scope) -> list[Passage]:
        ids = set(scope.documents).union(*(self.collected[number] for number in scope.collections))
        chunks = []
        for document, pages in self.library.values():
            if document.state is not State.READY or (ids and document.id not in ids):
                continue
            for page in pages:
                for start, end in units(page.text):
                    text = page.text[start:end]
                    chunks.append(
                        Passage(
                            document.id,
                            document.name,
                            len(chunks) + 1,
                            page.number,
                            page.kind,
                            page.label,
                            start,
                            end,
                            "",
                            text,
                            1.0,
                        )
                    )
        return chunks

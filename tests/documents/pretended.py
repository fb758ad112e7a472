"""Stand-ins for what indexing drives: a reader without a process, an index and a model without weights."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localai_app.documents.document import (
    Attachment,
    Chunk,
    Facts,
    Page,
    PageKind,
    Passage,
    Scope,
    TextSource,
)
from localai_app.documents.formats import format_by_name
from localai_app.documents.library import Library
from localai_app.documents.reading import AttachmentRead, Finished, Job, PageRead, Rendered, Started
from localai_app.documents.search import Index
from localai_app.documents.service import DocumentService
from localai_app.errors import DocumentError, LocalAIError, PasswordNeeded
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models.embedding import EmbeddingModel, Vectors
from localai_app.models.embedding_facts import EmbeddingFacts
from localai_app.store.database import Database

KEY = bytes(range(32))
PAGE, ATTACHED = "\f", "ATTACHED "


def boxes(text: str) -> bytes:
    """A place for each character, in lines of 80."""
    places = np.zeros((len(text), 4), "<u2")
    places[:, 0] = np.arange(len(text)) % 80 * 700
    places[:, 2] = places[:, 0] + 700
    places[:, 1] = np.arange(len(text)) // 80 * 900
    places[:, 3] = places[:, 1] + 800
    return places.tobytes()


@dataclass
class FakeReader:
    """Takes text whose pages are divided by form feeds.

    A page ``ATTACHED name`` + newline + content is an attachment. A file that begins with ``SECRET word``
    wants that password, one that begins with ``BROKEN`` cannot be read. ``gate`` (when set) is waited
    for before each page.
    """

    gate: threading.Semaphore | None = None
    jobs: list[Job] = field(default_factory=list)
    read_pages: list[tuple[str, int]] = field(default_factory=list)
    """(document, page) in the order in which they were read."""

    def __call__(
        self, data: bytes, job: Job, *, stop: threading.Event | None = None
    ) -> Iterator[Started | PageRead | AttachmentRead | Finished]:
        self.jobs.append(job)
        text = data.decode()
        if text.startswith("BROKEN"):
            raise DocumentError("The file is damaged.", "Save it anew.")
        if text.startswith("SECRET") and job.password != text.split()[1]:
            raise PasswordNeeded("It is encrypted.", "Type its password.")
        parts = text.split(PAGE)
        number = sum(not part.startswith(ATTACHED) for part in parts)
        yield Started(format_by_name(job.name) or "txt", number)
        page = 0
        for part in parts:
            if part.startswith(ATTACHED):
                name, _, content = part.removeprefix(ATTACHED).partition("\n")
                yield AttachmentRead(Attachment(name, content.encode()))
                continue
            page += 1
            if page in job.skip_pages:
                continue
            while self.gate and not self.gate.acquire(timeout=0.01):
                if stop and stop.is_set():
                    raise DocumentError("Reading was stopped.")
            if stop and stop.is_set():
                raise DocumentError("Reading was stopped.")
            self.read_pages.append((job.name, page))
            source = TextSource.OCR if job.ocr else TextSource.TEXT
            yield PageRead(
                Page(page, part, PageKind.PAGE, boxes=boxes(part), width=595, height=842, source=source)
            )
        yield Finished(Facts(format_by_name(job.name) or "txt", number, title="Title"))


@dataclass
class FakeEmbedding:
    """A word is a token. ``failures`` are raised by the next calls that make vectors, None lets one pass."""

    sha256: str = "a" * 64
    failures: list[LocalAIError | None] = field(default_factory=list)
    missing: LocalAIError | None = None
    """What `load` raises: there is no model."""
    gate: threading.Semaphore | None = None
    texts: list[str] = field(default_factory=list)

    def load(self) -> EmbeddingModel:
        if self.missing:
            raise self.missing
        return EmbeddingModel(Path("fake.gguf"), "fake", self.sha256, 4, 64, EmbeddingFacts())

    def selected_sha256(self) -> str:
        if self.missing:
            raise self.missing
        return self.sha256

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self.load()
        return [len(text.split()) for text in texts]

    def embed_passages(self, texts: Sequence[str], *, stop: threading.Event | None = None) -> Vectors:
        model = self.load()
        if self.gate:
            self.gate.acquire()
        failure = self.failures.pop(0) if self.failures else None
        if failure:
            raise failure
        self.texts += texts
        return Vectors(model, np.ones((len(texts), 4), dtype=np.float32))

    def embed_query(self, text: str, *, sha256: str = "", stop: threading.Event | None = None) -> Vectors:
        return Vectors(self.load(), np.ones((1, 4), dtype=np.float32))

    def close(self) -> None:
        pass


@dataclass
class FakeIndex:
    """Keeps chunks in memory and finds those that hold a query."""

    chunks: dict[int, list[Chunk]] = field(default_factory=dict)
    vectors: dict[tuple[int, int], str] = field(default_factory=dict)
    """Model by (document, chunk)."""

    def prepared(self, chunks: Sequence[Chunk], language: str) -> Callable[[int], None]:
        def put(document_id: int) -> None:
            self.remove([document_id])
            self.chunks[document_id] = list(chunks)

        return put

    def words(self, document_ids: Sequence[int]) -> Mapping[int, tuple[str, str]]:
        return {}

    def remove(self, document_ids: Sequence[int], words: Mapping[int, tuple[str, str]] | None = None) -> None:
        for document_id in document_ids:
            self.chunks.pop(document_id, None)
        self.vectors = {key: model for key, model in self.vectors.items() if key[0] not in document_ids}

    def index_words(self) -> bool:
        return False

    def without_vectors(self, model_sha256: str, document_id: int | None = None) -> list[tuple[int, str]]:
        return [
            (document * 1000 + number, chunk.text)
            for document, chunks in sorted(self.chunks.items())
            if document_id in (None, document)
            for number, chunk in enumerate(chunks)
            if self.vectors.get((document, number)) != model_sha256
        ]

    def add_vectors(
        self, model: EmbeddingModel, chunk_ids: Sequence[int], vectors: NDArray[np.float32]
    ) -> None:
        for chunk in chunk_ids:
            self.vectors[divmod(chunk, 1000)] = model.sha256

    def search(self, query: str, scope: Scope, limit: int) -> list[Passage]:
        found = [
            Passage(
                document,
                "",
                number,
                chunk.page,
                PageKind.PAGE,
                "",
                chunk.start,
                chunk.end,
                "",
                chunk.text,
                1.0,
            )
            for document, chunks in sorted(self.chunks.items())
            for number, chunk in enumerate(chunks)
            if query in chunk.text
        ]
        return found[:limit]


def split(pages: Sequence[Page], count: object, budget: int, /) -> list[Chunk]:
    """Each page is a chunk."""
    assert callable(count)
    count([page.text for page in pages])
    return [
        Chunk(page.number, 0, len(page.text), page.text, tokens=len(page.text.split()))
        for page in pages
        if page.text.strip()
    ]


@dataclass
class FakeDrawer:
    """Draws every page as one red point."""

    data: bytes
    name: str
    password: str
    closed: bool = False

    def render(self, page: int, scale: float) -> Rendered:
        return Rendered(page, 1, 1, b"\xff\0\0")

    def close(self) -> None:
        self.closed = True


@dataclass
class Rooms:
    """A document service on a real store, all else pretended."""

    folder: Path
    policy: Policy = field(default_factory=Policy)
    reader: FakeReader = field(default_factory=FakeReader)
    embedding: FakeEmbedding = field(default_factory=FakeEmbedding)
    index: Any = field(default_factory=FakeIndex)
    recognises: bool = False
    real_index: bool = False
    """Use the real one, which finds by words alone here."""
    drawers: list[FakeDrawer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = Database.open(self.folder / "data" / "store.db", KEY)
        if self.real_index:
            self.index = Index(self.database)
        self.files = self.folder / "files"
        self.files.mkdir(exist_ok=True)
        self.library = Library(self.database)
        self.audit = Audit(self.database, "tester")
        self.service = self.make_service()

    def make_service(self) -> DocumentService:
        """One more service on the same store, as another process would have."""

        def draw(data: bytes, name: str, password: str) -> FakeDrawer:
            self.drawers.append(FakeDrawer(data, name, password))
            return self.drawers[-1]

        return DocumentService(
            self.library,
            self.policy,
            self.audit,
            self.embedding,
            self.index,
            self.reader,
            split,
            lambda text: "en" if text else "",
            lambda: self.recognises,
            draw,
        )

    def write(self, name: str, text: str) -> Path:
        """A file in the folder of files."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def add(self, name: str, text: str) -> int:
        """The id of a file that is added and done with."""
        added = self.service.add([self.write(name, text)])
        assert self.service.wait(20)
        return (*added.documents, *added.known)[0]

    def events(self) -> list[str]:
        """What the audit log says of documents."""
        rows = self.database.rows("SELECT event FROM audit WHERE event LIKE 'document.%' ORDER BY seq")
        return [row["event"] for row in rows]

    def close(self) -> None:
        self.service.close()
        self.database.close()

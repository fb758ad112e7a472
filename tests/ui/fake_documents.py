"""A library in memory, with pages that are made up: the window's test double."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from localai_app.documents.document import (
    BOX_SCALE,
    Block,
    BlockKind,
    Collection,
    Document,
    Facts,
    OutlineItem,
    Page,
    PageKind,
    Passage,
    Scope,
    State,
)
from localai_app.documents.service import Added, DocumentService, DocumentView, PageImage, Work
from localai_app.errors import LocalAIError, NotFound, PasswordNeeded, UsageError

WIDTH, HEIGHT = 595.0, 842.0
LINE, CHARACTER, EDGE = 20.0, 7.0, 60.0
"""Points from line to line, of a character, around the text."""
PASSWORD = "open sesame"


def boxes(text: str) -> bytes:
    """Every character in a cell of its own; line breaks have no place."""
    import numpy as np

    cells, row, column = [], 0, 0
    for character in text:
        if character == "\n":
            cells.append((0, 0, 0, 0))
            row, column = row + 1, 0
            continue
        left, top = EDGE + column * CHARACTER, EDGE + row * LINE
        cells.append((left / WIDTH, top / HEIGHT, (left + CHARACTER) / WIDTH, (top + 12) / HEIGHT))
        column += 1
    return (np.array(cells) * BOX_SCALE).astype("<u2").tobytes()


def paged(number: int, text: str, **more: object) -> Page:
    """A page that can be seen."""
    blocks = (Block(BlockKind.PARAGRAPH, 0, len(text)),)
    return Page(number, text, blocks=blocks, boxes=boxes(text), width=WIDTH, height=HEIGHT, **more)  # type: ignore[arg-type]


def flowing(number: int, text: str, *blocks: Block, **more: object) -> Page:
    """A part of a format without pages."""
    return Page(
        number,
        text,
        kind=PageKind.PART,
        blocks=blocks or (Block(BlockKind.PARAGRAPH, 0, len(text)),),
        **more,  # type: ignore[arg-type]
    )


class FakeView(DocumentView):
    """Draws a white page with a dark bar for every line."""

    def __init__(self, library: "FakeDocuments", document: Document) -> None:
        self.document = document
        self._library = library
        self.closed = False

    def page(self, number: int) -> Page:
        self._library.note("page")
        return self._library.page(self.document.id, number)

    def image(self, number: int, scale: float) -> PageImage | None:
        import numpy as np

        library = self._library
        library.note("image")
        library.drawn.append((number, scale))
        page = library.page(self.document.id, number)
        if not page.width:
            return None
        while not library.drawing.wait(0.01):
            pass
        if library.reason is not None:
            raise library.reason
        width, height = round(page.width * scale), round(page.height * scale)
        picture = np.full((height, width, 3), 255, np.uint8)
        for row, line in enumerate(page.text.split("\n")):
            top, left = (EDGE + row * LINE + 3) * scale, EDGE * scale
            right = left + len(line) * CHARACTER * scale
            picture[round(top) : round(top + 6 * scale), round(left) : round(right)] = 60
        return PageImage(width, height, picture.tobytes())

    def find(self, text: str) -> list[tuple[int, int, int]]:
        found = []
        for page in self._library.texts[self.document.id]:
            at = page.text.lower().find(text.lower())
            while at >= 0:
                found.append((page.number, at, at + len(text)))
                at = page.text.lower().find(text.lower(), at + 1)
        return found

    def close(self) -> None:
        self.closed = True


class FakeDocuments(DocumentService):
    """Documents in dicts."""

    def __init__(self) -> None:
        self.rows: dict[int, Document] = {}
        self.texts: dict[int, list[Page]] = {}
        self.sets: dict[int, Collection] = {}
        self.members: dict[int, set[int]] = {}
        self.now = Work()
        self.reason: LocalAIError | None = None
        """Why no page can be drawn."""
        self.refused: tuple[tuple[str, str], ...] = ()
        self.drawing = threading.Event()
        self.drawing.set()
        self.drawn: list[tuple[int, float]] = []
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.views: list[FakeView] = []
        self.opened: list[int] = []
        """What the audit log was told of."""
        self.watchers: list[Callable[[], None]] = []
        self.delay = 0.0
        """Seconds that adding takes."""

    # ------------------------------------------------------------ filling

    def put(self, name: str, *pages: Page, **more: object) -> Document:
        """A document that was read, unless ``more`` says otherwise."""
        number = len(self.rows) + 1
        values: dict[str, object] = {
            "sha256": f"{number:064x}",
            "size": 1000,
            "format": name.rpartition(".")[2],
            "state": State.READY,
            "added": datetime.now(UTC),
            "pages": len(pages),
            "pages_read": len(pages),
            "characters": sum(len(page.text) for page in pages),
        }
        self.rows[number] = Document(number, name, **values | more)  # type: ignore[arg-type]
        self.texts[number] = list(pages)
        self.tell()
        return self.rows[number]

    def change(self, number: int, **values: object) -> Document:
        """A document is other than it was."""
        self.rows[number] = replace(self.rows[number], **values)  # type: ignore[arg-type]
        self.tell()
        return self.rows[number]

    def collect(self, name: str, *documents: Document) -> Collection:
        """A collection of these."""
        made = self.create_collection(name)
        self.put_in(made.id, [each.id for each in documents])
        return made

    def tell(self) -> None:
        """What a service does when something changed."""
        for watcher in list(self.watchers):
            watcher()

    def note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread().name)

    # ------------------------------------------------------------ the service

    def collections(self) -> list[Collection]:
        self.note("collections")
        made = [
            replace(each, documents=sum(self.rows[row].trashed is None for row in self.members[each.id]))
            for each in self.sets.values()
        ]
        return sorted(made, key=lambda each: each.name.lower())

    def create_collection(self, name: str) -> Collection:
        self.note("create_collection")
        if any(each.name == name for each in self.sets.values()):
            raise UsageError(f"There is a collection “{name}” already.", "Choose another name.")
        number = max(self.sets, default=0) + 1
        self.sets[number] = Collection(number, name, datetime.now(UTC))
        self.members[number] = set()
        return self.sets[number]

    def rename_collection(self, collection_id: int, name: str) -> Collection:
        self.note("rename_collection")
        if any(each.name == name for each in self.sets.values()):
            raise UsageError(f"There is a collection “{name}” already.", "Choose another name.")
        self.sets[collection_id] = replace(self.sets[collection_id], name=name)
        return self.sets[collection_id]

    def delete_collection(self, collection_id: int) -> None:
        self.note("delete_collection")
        del self.sets[collection_id], self.members[collection_id]

    def put_in(self, collection_id: int, document_ids: Sequence[int]) -> None:
        self.note("put_in")
        self.members[collection_id].update(document_ids)

    def take_out(self, collection_id: int, document_ids: Sequence[int]) -> None:
        self.note("take_out")
        self.members[collection_id].difference_update(document_ids)

    def documents(self, collection_id: int | None = None, *, trashed: bool = False) -> list[Document]:
        self.note("documents")
        rows = [row for row in self.rows.values() if (row.trashed is not None) == trashed]
        if collection_id is not None:
            rows = [row for row in rows if row.id in self.members[collection_id]]
        return sorted(rows, key=lambda row: row.name.lower())

    def document(self, document_id: int) -> Document:
        self.note("document")
        if document_id not in self.rows:
            raise NotFound(f"There is no document {document_id}.")
        return self.rows[document_id]

    def add(self, paths: Sequence[Path], collection_id: int | None = None) -> Added:
        self.note("add")
        time.sleep(self.delay)
        known = [row.id for row in self.rows.values() if Path(row.path) in paths]
        there = {Path(row.path) for row in self.rows.values()}
        new = [
            self.put(path.name, state=State.WAITING, path=str(path)).id
            for path in paths
            if path not in there and path.name not in dict(self.refused)
        ]
        if collection_id is not None:
            self.put_in(collection_id, [*new, *known])
        return Added(tuple(new), tuple(known), self.refused)

    def refresh(self) -> Added:
        self.note("refresh")
        return Added((), (), ())

    def unlock(self, document_id: int, password: str) -> None:
        self.note("unlock")
        if password != PASSWORD:
            raise PasswordNeeded("The password is wrong.", "Type it again.")
        self.texts[document_id] = [paged(1, "The secret clause")]
        self.change(document_id, state=State.READY, pages=1, pages_read=1, characters=17)

    def retry(self, document_id: int) -> None:
        self.note("retry")
        self.change(document_id, state=State.WAITING, error="")

    def remove(self, document_ids: Sequence[int]) -> None:
        self.note("remove")
        for number in document_ids:
            self.change(number, trashed=datetime.now(UTC))

    def restore(self, document_ids: Sequence[int]) -> None:
        self.note("restore")
        for number in document_ids:
            self.change(number, trashed=None)

    def erase(self, document_ids: Sequence[int]) -> None:
        self.note("erase")
        for number in document_ids:
            del self.rows[number]

    def work(self) -> Work:
        self.note("work")
        return self.now

    def pause(self) -> None:
        self.note("pause")
        self.now = replace(self.now, paused=True)

    def resume(self) -> None:
        self.note("resume")
        self.now = replace(self.now, paused=False)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(changed)
        return lambda: self.watchers.remove(changed)

    def page(self, document_id: int, number: int) -> Page:
        return self.texts[document_id][number - 1]

    def pages(self, document_id: int) -> list[Page]:
        return self.texts[document_id]

    def note_opened(self, document_id: int) -> None:
        self.opened.append(self.rows[document_id].id)

    def view(self, document_id: int) -> DocumentView:
        self.note("view")
        self.views.append(FakeView(self, self.rows[document_id]))
        return self.views[-1]

    def search(self, query: str, scope: Scope = Scope(), limit: int = 10) -> list[Passage]:  # noqa: B008
        self.note("search")
        found = []
        inside = {each for number in scope.collections for each in self.members[number]}
        for row in self.documents():
            if scope.collections and row.id not in inside:
                continue
            for page in self.texts[row.id]:
                at = page.text.lower().find(query.lower())
                if at >= 0:
                    found.append(passage(row, page, at, at + len(query)))
        return found[:limit]

    def close(self) -> None:
        pass


def passage(document: Document, page: Page, start: int, end: int) -> Passage:
    """``page.text[start:end]`` as it would be found."""
    return Passage(
        document.id,
        document.name,
        document.id * 100 + page.number,
        page.number,
        page.kind,
        page.label,
        start,
        end,
        "",
        page.text[start:end],
        1.0,
    )


def lease() -> list[Page]:
    """Three pages of a contract."""
    return [
        paged(1, "LEASE OF MILL LANE\n\nbetween the Landlord and the Tenant"),
        paged(
            2,
            "9. LIABILITY\n\n9.4 The aggregate liability of the Landlord\nshall not exceed EUR 250,000\n"
            "arising from any single event.",
        ),
        paged(3, "10. NOTICES\n\nAny notice shall be in writing.\nThe Landlord may serve it by post."),
    ]


def facts(*titles: str) -> Facts:
    """Facts with a table of contents: one entry a page."""
    return Facts(
        "pdf", len(titles), outline=tuple(OutlineItem(title, page) for page, title in enumerate(titles, 1))
    )

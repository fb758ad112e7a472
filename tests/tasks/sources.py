"""Documents as a kind of task is given them, made from a few words."""

from collections.abc import Callable
from datetime import UTC, datetime

from localai_app.documents.document import Document, Page, State
from localai_app.tasks.task import Source


def source_of(
    *pages: Page | str,
    window: int = 1024,
    count: Callable[[str], int] = lambda text: len(text.split()),
    language: str = "",
    name: str = "file.pdf",
) -> Source:
    """A document of ``pages``; strings become pages without blocks."""
    whole = tuple(
        page if isinstance(page, Page) else Page(number, page) for number, page in enumerate(pages, 1)
    )
    document = Document(
        id=1,
        name=name,
        sha256="0" * 64,
        size=1,
        format="pdf",
        state=State.READY,
        added=datetime(2026, 1, 1, tzinfo=UTC),
        pages=len(whole),
        language=language,
    )
    return Source(document, whole, window, count)

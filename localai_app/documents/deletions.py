"""What tracked changes took out of a text, shown as such."""

from collections.abc import Callable, Sequence

from localai_app.documents.document import Document, MarkKind, Page, Passage
from localai_app.documents.quotes import PageText, Span


class Deletions:
    """What tracked changes took out: the model is given it in brackets, or it would take it for the text."""

    def __init__(
        self, pages: Sequence[tuple[Document, Page]] = (), page_of: Callable[[int, int], Page] | None = None
    ) -> None:
        """``pages`` are known already; others are asked of ``page_of``, by document and number."""
        self._page_of = page_of
        self._spans = {(document.id, page.number): _deleted(page) for document, page in pages}

    def shown(self, passage: Passage) -> str:
        """The text of ``passage`` with “[deleted: …]” around what is no longer in force."""
        key = passage.document_id, passage.page
        if key not in self._spans:
            assert self._page_of is not None, "a passage of a page that was not handed over"
            self._spans[key] = _deleted(self._page_of(*key))
        text = passage.text
        for start, end in reversed(_within(self._spans[key], passage.start, passage.end)):
            text = f"{text[:start]}[deleted: {text[start:end]}]{text[end:]}"
        return text


def text_in_force(page: Page, start: int, end: int) -> PageText:
    """``page.text[start:end]`` ready to be searched; words that a tracked change took out are not in it."""
    return PageText(page.text[start:end], _within(_deleted(page), start, end))


def _deleted(page: Page) -> list[Span]:
    return sorted((mark.start, mark.end) for mark in page.marks if mark.kind is MarkKind.DELETED)


def _within(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """The parts of ``spans`` between ``start`` and ``end``, counted from ``start``."""
    return [
        (max(first, start) - start, min(last, end) - start)
        for first, last in spans
        if first < end and last > start
    ]

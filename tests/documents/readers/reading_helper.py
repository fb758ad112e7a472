"""Runs a reader in this process, and holds what it says against the rules of the frames."""

from types import ModuleType

from localai_app.documents.document import (
    Attachment,
    Block,
    BlockKind,
    Facts,
    MarkKind,
    Page,
    PageKind,
    TextSource,
)
from localai_app.documents.readers.dispatch import delivered
from localai_app.documents.reading import (
    USUAL,
    AttachmentRead,
    Finished,
    Job,
    Limits,
    PageRead,
    Started,
    decode_answer,
    encode,
    presentable,
)


class Read:
    """All that a reader said."""

    def __init__(self, reader: ModuleType, data: bytes, limits: Limits = USUAL) -> None:
        if prepare := getattr(reader, "prepare", None):
            prepare()
        job = Job("", 0, limits=limits)
        answers = [
            decode_answer(encode(presentable(answer))[4:])
            for answer in delivered(reader.read(data, job), job)
        ]
        assert isinstance(answers[0], Started)
        finished = answers[-1]
        assert isinstance(finished, Finished)
        self.facts: Facts = finished.facts
        self.pages: list[Page] = [answer.page for answer in answers if isinstance(answer, PageRead)]
        self.attachments: list[Attachment] = [a.attachment for a in answers if isinstance(a, AttachmentRead)]
        for page in self.pages:
            check(page)

    @property
    def blocks(self) -> list[tuple[BlockKind, str]]:
        """Kind and text of every block, over all pages."""
        return [(block.kind, page.text[block.start : block.end]) for page, block in self._all()]

    @property
    def levels(self) -> list[tuple[str, int]]:
        """Text and level of every block."""
        return [(page.text[block.start : block.end], block.level) for page, block in self._all()]

    @property
    def text(self) -> str:
        """Of all pages."""
        return "\n\n".join(page.text for page in self.pages)

    @property
    def marks(self) -> list[tuple[MarkKind, str, str]]:
        """Kind, text and note of every mark."""
        return [(m.kind, page.text[m.start : m.end], m.note) for page in self.pages for m in page.marks]

    def _all(self) -> list[tuple[Page, Block]]:
        return [(page, block) for page in self.pages for block in page.blocks]


def check(page: Page) -> None:
    """Raise unless all holds that holds of every page, whatever its format."""
    position = 0
    for block in page.blocks:
        assert position <= block.start < block.end <= len(page.text)
        assert not page.text[position : block.start].strip()
        text = page.text[block.start : block.end]
        assert text.strip()
        assert text == text.strip("\n")
        assert block.level > 0 or block.kind not in (BlockKind.HEADING, BlockKind.LIST_ITEM)
        position = block.end
    assert not page.text[position:].strip()
    assert list(page.marks) == sorted(page.marks, key=lambda mark: mark.start)
    for mark in page.marks:
        assert 0 <= mark.start < mark.end <= len(page.text)
    has_places = page.kind is PageKind.PAGE and bool(page.text)
    assert len(page.boxes) == (8 * len(page.text) if has_places else 0)
    if page.source is TextSource.NONE:
        assert page.unread
    else:
        assert (page.width > 0 and page.height > 0) == (page.kind is PageKind.PAGE)

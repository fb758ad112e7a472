"""Frames between the app and the reader: what passes, and what is never believed."""

import io

import msgspec
import pytest

from localai_app.documents.document import (
    Attachment,
    Block,
    BlockKind,
    Facts,
    Mark,
    MarkKind,
    OutlineItem,
    Page,
)
from localai_app.documents.reading import (
    Answer,
    AttachmentRead,
    BadFrame,
    Finished,
    Job,
    PageRead,
    Refused,
    Render,
    Rendered,
    Started,
    decode_answer,
    decode_question,
    encode,
    line,
    presentable,
    read_body,
)

PAGE = Page(
    7,
    "Größe 42",
    blocks=(Block(BlockKind.PARAGRAPH, 0, 8),),
    marks=(Mark(MarkKind.HIDDEN, 0, 5, "why"), Mark(MarkKind.UNSURE, 3, 8)),
    boxes=bytes(64),
    width=612.0,
    height=792.0,
)
GOOD: list[Answer] = [
    Started("pdf", 3),
    PageRead(PAGE),
    AttachmentRead(Attachment("a.txt", b"\0\xff")),
    Finished(
        Facts("pdf", 3, "T", outline=(OutlineItem("One", 1), OutlineItem("None", 0, 2)), warnings=("w",))
    ),
    Rendered(1, 2, 1, bytes(6)),
    Refused("limit", "Too much.", "Take less."),
]


def changed(**fields: object) -> Answer:
    return PageRead(msgspec.structs.replace(PAGE, **fields))


def block(*spans: tuple[int, int], level: int = 0) -> Answer:
    return changed(blocks=tuple(Block(BlockKind.PARAGRAPH, *span, level) for span in spans))


def facts(**fields: object) -> Answer:
    return Finished(msgspec.structs.replace(Facts("pdf", 3), **fields))


BAD: dict[str, Answer] = {
    "page number zero": changed(number=0),
    "a page number that no database holds": changed(number=2**40),
    "a zero in the text": changed(text="Gr\0ße 42"),
    "a block past the end": block((0, 9)),
    "a block that ends before it begins": block((5, 3)),
    "an empty block": block((3, 3)),
    "blocks that overlap": block((0, 5), (4, 8)),
    "blocks out of order": block((4, 8), (0, 3)),
    "a block before the start": block((-1, 3)),
    "a level below zero": block((0, 8), level=-1),
    "a mark past the end": changed(marks=(Mark(MarkKind.HIDDEN, 0, 9),)),
    "an empty mark": changed(marks=(Mark(MarkKind.HIDDEN, 2, 2),)),
    "too few boxes": changed(boxes=bytes(63)),
    "too many boxes": changed(boxes=bytes(72)),
    "a width without end": changed(width=float("inf")),
    "a height that is no number": changed(height=float("nan")),
    "a confidence that is no number": changed(confidence=float("nan")),
    "more than certain": changed(confidence=1.5),
    "pictures below zero": changed(images=-1),
    "a label of a book": changed(label="x" * 100_000),
    "pages below zero": Started("pdf", -1),
    "an outline that points before the start": facts(outline=(OutlineItem("x", -1),)),
    "a thousand warnings and one": facts(warnings=("x",) * 1001),
    "a zero in the title": facts(title="a\0b"),
    "an attachment without a name": AttachmentRead(Attachment("", b"x")),
    "a picture of other size": Rendered(1, 2, 2, bytes(6)),
    "a picture of no size": Rendered(1, 0, 0, b""),
    "a refusal of a book": Refused("limit", "x" * 100_000, ""),
}


@pytest.mark.parametrize("answer", GOOD, ids=lambda answer: type(answer).__name__)
def test_what_was_sent_comes_back(answer: Answer) -> None:
    stream = io.BytesIO(encode(answer) * 2)
    for _ in range(2):
        body = read_body(stream)
        assert body is not None
        assert decode_answer(body) == answer
    assert read_body(stream) is None


def test_questions_come_back() -> None:
    for question in (Job("ä", 3, "view", "p", skip_pages=(1, 2)), Render(3, 1.5)):
        assert decode_question(encode(question)[4:]) == question


@pytest.mark.parametrize("name", BAD)
def test_what_no_document_can_say_is_not_believed(name: str) -> None:
    with pytest.raises(BadFrame):
        decode_answer(encode(BAD[name])[4:])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgspec.msgpack.encode({"type": "Other"}),
        msgspec.msgpack.encode(["PageRead"]),
        msgspec.msgpack.encode({"type": "Started", "format": 1, "pages": 1}),
        msgspec.msgpack.encode({"type": "Started", "format": "pdf", "pages": 2**70 // 2**10}),
        encode(PageRead(PAGE))[4:].replace("Größe".encode(), b"Gr\xed\xa0\x80\xff\xffe"),
        b"\x91" * 100_000,
        b"\xdf\xff\xff\xff\xff",
    ],
)
def test_what_is_no_message_is_not_believed(body: bytes) -> None:
    with pytest.raises(BadFrame):
        decode_answer(body)


@pytest.mark.parametrize("cut", [1, 3, 4, 10])
def test_a_frame_cut_short_is_not_believed(cut: int) -> None:
    with pytest.raises(BadFrame):
        read_body(io.BytesIO(encode(GOOD[1])[:cut]))


def test_a_frame_may_not_be_longer_than_is_allowed() -> None:
    with pytest.raises(BadFrame, match="too long"):
        read_body(io.BytesIO(b"\xff\xff\xff\xff"))
    with pytest.raises(BadFrame, match="too long"):
        read_body(io.BytesIO(encode(GOOD[1])), longest=20)


def test_a_reader_cannot_break_a_frame_with_odd_characters() -> None:
    odd = "a\0b\ud800c"
    page = Page(1, odd, label=odd * 1000, marks=(Mark(MarkKind.HIDDEN, 0, 1, odd),), unread=odd)
    answers: list[Answer] = [
        PageRead(page),
        AttachmentRead(Attachment(odd, b"x")),
        AttachmentRead(Attachment("", b"x")),
        Finished(Facts("pdf", 1, odd, odd, odd, (OutlineItem(odd * 5000, 1),), (odd,) * 2000)),
        Refused("broken", odd * 1000, "one\ntwo"),
    ]
    for answer in answers:
        decode_answer(encode(presentable(answer))[4:])
    shown = presentable(PageRead(page))
    assert isinstance(shown, PageRead)
    assert shown.page.text == "a\ufffdb\ufffdc"
    refused = presentable(answers[-1])
    assert isinstance(refused, Refused)
    assert refused.hint == "one two"


def test_a_line_is_one_line_of_bounded_length() -> None:
    assert line("a\n b\t c ", 10) == "a b c"
    assert line("x" * 50, 10) == "x" * 9 + "…"

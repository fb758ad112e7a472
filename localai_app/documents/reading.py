"""What passes between the app and the reader process, as typed frames.

A frame is its length (four bytes, little-endian) and that many bytes of msgpack. The app sends a `Job`
and then the file's bytes; for a view it goes on with `Render` after `Render`. The reader answers with
`PageRead`s in order, attachments, and one `Finished` or `Refused`; to a `Render` with `Rendered` or
`Refused`. The reader opens no file at all: what it reads is exactly what was hashed.
"""

import math
import re
import struct
from typing import IO, Any, Literal

import msgspec

from localai_app.documents.document import Attachment, Facts, Page

MAX_FRAME = 192 * 1024 * 1024
"""Bytes of one frame from the reader: a drawn page, or a page of 12 million characters with boxes."""
MAX_PIXELS = 50_000_000
"""Of one drawn page."""
SAVE_ANEW = "Open it in the program that made it, save it anew or as PDF, and add that."
SPLIT = "Split it into smaller files and add those."
FONTS = ("/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/ghostscript", "/usr/share/X11/fonts")
"""What a page is drawn with whose own fonts are not in the file."""
_SHORT, _LONG = 1_000, 4_000
"""Characters of a label, of a line for the person."""
_MANY = 100_000
"""Entries of an outline."""
_HIGHEST = 2**31 - 1
_LENGTH = struct.Struct("<I")
_NEVER = re.compile("[\x00\ud800-\udfff]")


class Limits(msgspec.Struct, frozen=True):
    """What one document may cost its reader."""

    cpu_seconds: int = 600
    memory: int = 1536 * 1024 * 1024
    """Bytes of address space beyond the interpreter's own and the file's."""
    characters: int = 50_000_000
    """Of text in all."""
    pages: int = 20_000
    entries: int = 10_000
    """Files in an archive."""
    expanded: int = 1024 * 1024 * 1024
    """Bytes that an archive's entries may have in all, expanded."""
    ratio: int = 300
    """How many times its packed size an entry above 1 MiB may have."""
    attachments: int = 200


USUAL = Limits()


class Job(msgspec.Struct, frozen=True, tag=True):
    """Read, or be ready to render, the ``size`` bytes that follow."""

    name: str
    size: int
    do: Literal["read", "view"] = "read"
    password: str = ""
    ocr: bool = False
    """Recognise pages without a text layer."""
    skip_pages: tuple[int, ...] = ()
    """Numbers of pages that are here already: do not send these again."""
    limits: Limits = USUAL


class Render(msgspec.Struct, frozen=True, tag=True):
    """Draw a page, ``scale`` pixels per point."""

    page: int
    scale: float


class Started(msgspec.Struct, frozen=True, tag=True):
    """The file is open; ``pages`` is how many it has, 0 where only reading tells."""

    format: str
    pages: int


class PageRead(msgspec.Struct, frozen=True, tag=True):
    """One page."""

    page: Page


class AttachmentRead(msgspec.Struct, frozen=True, tag=True):
    """A file inside the file."""

    attachment: Attachment


class Finished(msgspec.Struct, frozen=True, tag=True):
    """All was read."""

    facts: Facts


class Rendered(msgspec.Struct, frozen=True, tag=True):
    """A drawn page: ``height`` rows of ``width`` pixels of three bytes, red first."""

    page: int
    width: int
    height: int
    rgb: bytes


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The file, or the page, cannot be read."""

    code: Literal["password", "wrong_password", "format", "broken", "limit", "empty"]
    message: str
    hint: str


Question = Job | Render
ReadAnswer = Started | PageRead | AttachmentRead | Finished
Answer = ReadAnswer | Rendered | Refused


# ---------------------------------------------------------------- frames


class BadFrame(Exception):
    """What came is no frame, or says what no document can say."""


def encode(message: Question | Answer) -> bytes:
    """The frame of ``message``; raise `UnicodeEncodeError` for half a surrogate pair in a text."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def read_body(stream: IO[bytes], longest: int = MAX_FRAME) -> bytes | None:
    """The body of the next frame of ``stream``; None where it ends. Raise `BadFrame` for one cut short."""
    head = stream.read(_LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise BadFrame("it was cut short")
    (size,) = _LENGTH.unpack(head)
    if size > longest:
        raise BadFrame("it is too long")
    body = stream.read(size)
    if len(body) < size:
        raise BadFrame("it was cut short")
    return body


def decode_question(body: bytes) -> Question:
    """What the app sent; the child trusts it."""
    question: Question = _questions.decode(body)
    return question


def decode_answer(body: bytes) -> Answer:
    """What the child sent, which nobody trusts: raise `BadFrame` unless all of it can be so."""
    try:
        answer: Answer = _answers.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadFrame("it is no message") from None
    match answer:
        case Started():
            _require(0 <= answer.pages <= _HIGHEST and _is_line(answer.format, 20))
        case PageRead():
            _check_page(answer.page)
        case AttachmentRead():
            _require(_is_line(answer.attachment.name, _SHORT) and bool(answer.attachment.name))
        case Finished():
            _check_facts(answer.facts)
        case Rendered():
            _require(answer.width > 0 and answer.height > 0 and answer.width * answer.height <= MAX_PIXELS)
            _require(len(answer.rgb) == 3 * answer.width * answer.height)
        case Refused():
            _require(_is_line(answer.message, _SHORT) and _is_line(answer.hint, _SHORT))
    return answer


def _check_page(page: Page) -> None:
    length = len(page.text)
    _require(0 < page.number <= _HIGHEST and 0 <= page.images <= _HIGHEST)
    _require(not _NEVER.search(page.text))
    _require(_is_line(page.label, _SHORT) and _is_line(page.unread, _LONG))
    _require(len(page.boxes) in (0, 8 * length))
    _require(all(math.isfinite(side) and side >= 0 for side in (page.width, page.height)))
    _require(0 <= page.confidence <= 1)
    last = 0
    for block in page.blocks:
        _require(last <= block.start < block.end <= length and 0 <= block.level <= 1000)
        last = block.end
    for mark in page.marks:
        _require(0 <= mark.start < mark.end <= length and _is_line(mark.note, _LONG))


def _check_facts(facts: Facts) -> None:
    _require(0 <= facts.pages <= _HIGHEST and _is_line(facts.format, 20))
    _require(all(_is_line(text, _LONG) for text in (facts.title, facts.author, facts.created)))
    _require(len(facts.outline) <= _MANY and len(facts.warnings) <= _SHORT)
    _require(all(_is_line(warning, _LONG) for warning in facts.warnings))
    for item in facts.outline:
        _require(_is_line(item.title, _LONG) and 0 <= item.page <= _HIGHEST and 0 <= item.level <= 1000)


def _is_line(text: str, longest: int) -> bool:
    return len(text) <= longest and not _NEVER.search(text)


def _require(condition: bool) -> None:
    if not condition:
        raise BadFrame("it says what no document can say")


# ---------------------------------------------------------------- in the child


def presentable(answer: Answer) -> Answer:
    """``answer`` as the app takes it: texts without what no page can hold, short ones cut to length."""
    match answer:
        case PageRead():
            page = answer.page
            return PageRead(
                msgspec.structs.replace(
                    page,
                    text=_clean(page.text),
                    label=line(page.label, _SHORT),
                    unread=line(page.unread, _LONG),
                    marks=tuple(
                        msgspec.structs.replace(mark, note=line(mark.note, _LONG)) for mark in page.marks
                    ),
                )
            )
        case AttachmentRead():
            name = line(answer.attachment.name, _SHORT) or "attachment"
            return AttachmentRead(Attachment(name, answer.attachment.data))
        case Finished():
            facts = answer.facts
            return Finished(
                msgspec.structs.replace(
                    facts,
                    title=line(facts.title, _SHORT),
                    author=line(facts.author, _SHORT),
                    created=line(facts.created, _SHORT),
                    outline=tuple(
                        msgspec.structs.replace(item, title=line(item.title, _SHORT))
                        for item in facts.outline[:_MANY]
                    ),
                    warnings=tuple(line(warning, _LONG) for warning in facts.warnings[:_SHORT]),
                )
            )
        case Refused():
            return Refused(answer.code, line(answer.message, _SHORT), line(answer.hint, _SHORT))
        case _:
            return answer


def line(text: str, longest: int = _SHORT) -> str:
    """``text`` as one line of at most ``longest`` characters."""
    text = _clean(" ".join(text[: 2 * longest].split()))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _clean(text: str) -> str:
    """As long as ``text``, so that spans stay right."""
    return _NEVER.sub("\ufffd", text) if _NEVER.search(text) else text


_encoder = msgspec.msgpack.Encoder()
_questions: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Question)
_answers: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Answer)

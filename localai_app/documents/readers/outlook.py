"""Reads Outlook's messages (MSG): head, text, attached files, and messages attached to messages."""

import io
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import olefile

from localai_app.documents.document import BlockKind, Facts
from localai_app.documents.readers import mail, rtf, rtf_html, webpage
from localai_app.documents.readers.encoding import decode
from localai_app.documents.readers.parts import Piece, parts, shown
from localai_app.documents.readers.plain import paragraphs
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.readers.rtf_tokens import codec_of_page
from localai_app.documents.reading import (
    SAVE_ANEW,
    AttachmentRead,
    Finished,
    Job,
    Limits,
    PageRead,
    ReadAnswer,
    Started,
)

# Numbers of properties (MS-OXPROPS).
_CLASS, _SUBJECT, _SUBMITTED, _DELIVERED = 0x001A, 0x0037, 0x0039, 0x0E06
_SENDER_NAME, _SENDER_ADDRESS, _SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_FROM_NAME, _FROM_ADDRESS, _FROM_SMTP = 0x0042, 0x0065, 0x5D02
_DISPLAY_TO, _DISPLAY_CC, _DISPLAY_BCC = 0x0E04, 0x0E03, 0x0E02
_BODY, _HTML, _RTF, _HEADERS = 0x1000, 0x1013, 0x1009, 0x007D
_CODE_PAGE, _MESSAGE_CODE_PAGE = 0x3FDE, 0x3FFD
_NAME, _ADDRESS, _SMTP, _RECIPIENT_TYPE = 0x3001, 0x3003, 0x39FE, 0x0C15
_FILE, _LONG_NAME, _SHORT_NAME, _MIME, _CONTENT_ID, _HIDDEN_FILE = (
    0x3701,
    0x3707,
    0x3704,
    0x370E,
    0x3712,
    0x7FFE,
)
_STRING, _STRING8, _BINARY, _OBJECT = 0x001F, 0x001E, 0x0102, 0x000D
_TIME, _INTEGER, _BOOLEAN = 0x0040, 0x0003, 0x000B

_DAMAGE = (OSError, ValueError, IndexError, TypeError, AttributeError, struct.error)
"""What `olefile` raises for a container that is not whole."""
_DEEPEST = 8
"""Messages inside messages."""
_MOST_RECIPIENTS = 2_000
_OTHER_KINDS = {
    "IPM.Contact": "Contact",
    "IPM.Appointment": "Appointment",
    "IPM.Task": "Task",
    "IPM.StickyNote": "Note",
    "IPM.Schedule.Meeting": "Meeting",
}


def prepare() -> None:
    """Load what is needed while files can still be opened."""
    import compressed_rtf  # noqa: F401, PLC0415 - used below, for some messages only

    mail.prepare()


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """Yield the message in parts, then its attachments; raise `ReadRefused` for one that is damaged."""
    yield Started("msg", 0)
    try:
        file = olefile.OleFileIO(io.BytesIO(data))
        letter = _Letter(file, job.limits)
        pieces = list(letter.pieces(""))
    except _DAMAGE as error:
        raise ReadRefused("broken", "The mail is damaged.", SAVE_ANEW) from error
    yield from map(PageRead, parts(pieces))
    yield from map(AttachmentRead, letter.attachments.kept)
    head = _Properties(file, "", 32)
    sent = head.time(_SUBMITTED) or head.time(_DELIVERED)
    yield Finished(
        Facts(
            "msg",
            0,
            title=head.text(_SUBJECT),
            author=_sender(head),
            created=sent.isoformat() if sent else "",
            warnings=tuple(dict.fromkeys(letter.warnings)),
        )
    )


class _Properties:
    """The properties of a message, a recipient or an attachment: the streams and the table in one folder."""

    def __init__(self, file: "olefile.OleFileIO[Any]", folder: str, head: int) -> None:
        """``head`` is the length of the table's head, which differs by what the folder holds."""
        self._file = file
        self._folder = folder
        self._fixed: dict[tuple[int, int], bytes] = {}
        table = self._stream("__properties_version1.0")
        for position in range(head, len(table) - 15, 16):
            kind, number = struct.unpack_from("<HH", table, position)
            self._fixed[number, kind] = table[position + 8 : position + 16]
        self._codec = codec_of_page(self.integer(_MESSAGE_CODE_PAGE) or self.integer(_CODE_PAGE) or 1252)

    def text(self, number: int) -> str:
        """A text, as people read it; empty where there is none."""
        wide = self._stream(f"__substg1.0_{number:04X}{_STRING:04X}")
        if wide:
            return shown(wide.decode("utf-16-le", "replace").rstrip("\0"))
        narrow = self._stream(f"__substg1.0_{number:04X}{_STRING8:04X}")
        try:
            return shown(narrow.decode(self._codec).rstrip("\0"))
        except UnicodeDecodeError:  # the stated code page is a lie, as that of “UTF-8” often is
            return shown(narrow.decode("cp1252", "replace").rstrip("\0"))

    def data(self, number: int) -> bytes:
        """Bytes; empty where there are none."""
        return self._stream(f"__substg1.0_{number:04X}{_BINARY:04X}")

    def integer(self, number: int) -> int:
        """A number; 0 where there is none."""
        value = self._fixed.get((number, _INTEGER), b"")
        return int.from_bytes(value[:4], "little")

    def true(self, number: int) -> bool:
        """Whether a switch is on."""
        return self._fixed.get((number, _BOOLEAN), b"\0")[:1] == b"\1"

    def time(self, number: int) -> datetime | None:
        """A moment; None where there is none."""
        value = int.from_bytes(self._fixed.get((number, _TIME), b""), "little")
        try:
            return (
                datetime(1601, 1, 1, tzinfo=UTC) + timedelta(seconds=value // 10_000_000) if value else None
            )
        except OverflowError:
            return None

    def _stream(self, name: str) -> bytes:
        path = self._folder + name
        try:
            if not self._file.exists(path) or self._file.get_type(path) != olefile.STGTY_STREAM:
                return b""
            return bytes(self._file.openstream(path).read())
        except _DAMAGE:  # its chain of sectors is broken
            return b""


class _Letter:
    """A message with all that is attached to it."""

    def __init__(self, file: "olefile.OleFileIO[Any]", limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self.attachments = mail.Attachments(limits)
        self.warnings = self.attachments.warnings
        self._folders = ["/".join(path) for path in file.listdir(streams=False, storages=True)]

    def pieces(self, folder: str, depth: int = 0) -> Iterator[Piece]:
        """The blocks of the message in ``folder``, then those of the messages attached to it."""
        head = _Properties(self._file, folder, 24 if depth else 32)
        inner: list[str] = []
        before = len(self.attachments.kept)
        images = sum(self._attach(each, inner) for each in self._within(folder, "__attach_version1.0_"))
        fields = list(self._fields(head, folder))
        names = [attachment.name for attachment in self.attachments.kept[before:]]
        if names:
            fields.append(("Attachments", ", ".join(names)))
        for label, value in fields:
            yield Piece(BlockKind.FIELD, f"{label}: {' '.join(value.split())}")
        yield from self._body(head)
        if images:
            yield Piece(BlockKind.PARAGRAPH, "", images=images)
        for message in inner:
            if depth + 1 >= _DEEPEST:
                self.warnings.append(
                    "Messages are attached to each other too deeply; the innermost was not read. "
                    "Save it by itself, and add that."
                )
                return
            yield Piece(BlockKind.HEADING, "Attached message", level=min(depth + 1, 6))
            yield from self.pieces(message, depth + 1)

    def _within(self, folder: str, name: str) -> list[str]:
        start = f"{folder}{name}".lower()
        return [
            f"{each}/"
            for each in self._folders
            if each.lower().startswith(start) and "/" not in each[len(start) :]
        ]

    def _fields(self, head: _Properties, folder: str) -> Iterator[tuple[str, str]]:
        kind = head.text(_CLASS)
        for start, name in _OTHER_KINDS.items():
            if kind.startswith(start):
                yield "Kind", name
        if sender := _sender(head):
            yield "From", sender
        listed: dict[int, list[str]] = {}
        for each in self._within(folder, "__recip_version1.0_")[:_MOST_RECIPIENTS]:
            recipient = _Properties(self._file, each, 8)
            person = _person(recipient.text(_NAME), recipient.text(_SMTP) or recipient.text(_ADDRESS))
            if person:
                listed.setdefault(recipient.integer(_RECIPIENT_TYPE) or 1, []).append(person)
        for number, label, display in (
            (1, "To", _DISPLAY_TO),
            (2, "Cc", _DISPLAY_CC),
            (3, "Bcc", _DISPLAY_BCC),
        ):
            if value := "; ".join(listed.get(number, [])) or head.text(display):
                yield label, value
        if sent := head.time(_SUBMITTED) or head.time(_DELIVERED):
            yield "Date", sent.strftime("%Y-%m-%d %H:%M UTC")
        if subject := head.text(_SUBJECT):
            yield "Subject", subject

    def _body(self, head: _Properties) -> list[Piece]:
        plain = list(paragraphs(head.text(_BODY)))
        page = head.data(_HTML).rstrip(b"\0")
        source = decode(page, codec_of_page(head.integer(_CODE_PAGE))).text if page else head.text(_HTML)
        rich: list[Piece] = []
        if not source and (packed := head.data(_RTF)):
            unpacked = self._unpacked(packed)
            source = rtf_html.html_in(unpacked)
            rich = list(rtf.RichText(unpacked).pieces()) if unpacked and not source else []
        html = webpage.page_of(source).pieces if source else rich
        return mail.richer([piece for piece in plain if piece.text.strip()], html)

    def _unpacked(self, packed: bytes) -> bytes:
        import compressed_rtf  # noqa: PLC0415 - few messages need it

        if len(packed) < 16 or int.from_bytes(packed[4:8], "little") > self._limits.expanded:
            return b""
        try:
            return bytes(compressed_rtf.decompress(packed))
        except Exception:  # it raises bare ones
            self.warnings.append(f"The formatted text of the mail is damaged; it was not read. {SAVE_ANEW}")
            return b""

    def _attach(self, folder: str, inner: list[str]) -> int:
        """Keep the file in ``folder``; 1 for a picture that the text shows."""
        head = _Properties(self._file, folder, 8)
        message = f"{folder}__substg1.0_{_FILE:04X}{_OBJECT:04X}"
        if self._file.exists(f"{message}/__properties_version1.0"):
            inner.append(f"{message}/")
            return 0
        data = head.data(_FILE)
        kind = head.text(_MIME).lower()
        if not data:
            return 0
        name = head.text(_LONG_NAME) or head.text(_SHORT_NAME) or head.text(_NAME)
        is_picture = kind.startswith("image/") or name.lower().endswith((".png", ".jpg", ".jpeg", ".gif"))
        if is_picture and (head.true(_HIDDEN_FILE) or head.text(_CONTENT_ID)):
            return 1
        self.attachments.keep(name, data)
        return 0


def _sender(head: _Properties) -> str:
    name = head.text(_SENDER_NAME) or head.text(_FROM_NAME)
    address = (
        head.text(_SENDER_SMTP)
        or head.text(_FROM_SMTP)
        or head.text(_SENDER_ADDRESS)
        or head.text(_FROM_ADDRESS)
    )
    return _person(name, address)


def _person(name: str, address: str) -> str:
    """“Ann <ann@example.org>”; an address inside the sender's own Exchange says nothing to people."""
    name = name.strip().strip("'")
    if "@" not in address or address.startswith("/") or address.strip("'") == name:
        return name
    return f"{name} <{address}>" if name else address

"""Reads e-mails: what a mail program shows of the head, the text, and the files that came with it."""

import email
import email.header
import email.message
import email.policy
import email.utils
import re
from collections.abc import Iterator
from typing import Any

from localai_app.documents.document import Attachment, BlockKind, Facts
from localai_app.documents.readers import webpage
from localai_app.documents.readers.encoding import decode, known
from localai_app.documents.readers.parts import Piece, parts, shown
from localai_app.documents.readers.plain import paragraphs
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

FIELDS = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Date", "Subject")
"""What people read of a mail's head."""
_MAX_PARTS = 5_000
_LONGEST_FIELD = 50_000
_ENDINGS = {
    "application/pdf": ".pdf",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/zip": ".zip",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/plain": ".txt",
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/tiff": ".tif",
    "message/rfc822": ".eml",
}
_ENCRYPTED = "The mail is encrypted; its text was not read. Print it as PDF from its program, and add that."
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]')
"""What no file's name may hold, and what turns the direction of writing to hide an ending."""
_SHOWN_PICTURE = re.compile(r"cid:([^\"'\s>)]{1,200})", re.IGNORECASE)
_ONLY_FOR_PROGRAMS = frozenset(
    {"application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature"}
)
_LOCKED = frozenset(
    {"application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted", "multipart/encrypted"}
)


def prepare() -> None:
    """Load what is needed while files can still be opened."""
    import email.generator  # noqa: PLC0415
    import email.iterators  # noqa: PLC0415
    import email.parser  # noqa: F401, PLC0415 - the standard library loads these when they are needed
    import quopri  # noqa: F401, PLC0415


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """Yield the mail in parts, then its attachments, each to become a document of its own."""
    yield Started("eml", 0)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # saved by an editor; a mail has eight bits
        data = decode(data).text.encode()
    message = email.message_from_bytes(data.lstrip(b"\xef\xbb\xbf\r\n "), policy=email.policy.compat32)
    letter = _Letter(message, job.limits)
    yield from map(PageRead, parts(letter.pieces))
    yield from map(AttachmentRead, letter.attachments.kept)
    yield Finished(
        Facts(
            "eml",
            0,
            title=field_of(message, "Subject"),
            author=field_of(message, "From"),
            created=iso_date(field_of(message, "Date")),
            warnings=tuple(dict.fromkeys(letter.warnings)),
        )
    )


class _Letter:
    """A message taken apart."""

    def __init__(self, message: email.message.Message, limits: Limits) -> None:
        self.attachments = Attachments(limits)
        self.warnings = self.attachments.warnings
        self._images = 0
        self._in_text: set[str] = set()
        """Ids of pictures that the text shows."""
        head = [
            Piece(BlockKind.FIELD, f"{name}: {value}")
            for name in FIELDS
            if (value := field_of(message, name))
        ]
        body = list(self._bodies(message))
        names = [attachment.name for attachment in self.attachments.kept]
        if names:
            head.append(Piece(BlockKind.FIELD, f"Attachments: {', '.join(names)}"))
        self.pieces = [*head, *body]
        if self._images:
            self.pieces.append(Piece(BlockKind.PARAGRAPH, "", images=self._images))

    def _bodies(self, message: email.message.Message) -> Iterator[Piece]:
        waiting = [message]
        for _ in range(_MAX_PARTS):
            if not waiting:
                return
            part = waiting.pop()
            kind = part.get_content_type()
            if kind in _LOCKED:
                self.warnings.append(_ENCRYPTED)
            elif kind == "multipart/alternative":
                yield from self._alternative(part)
            elif part.is_multipart() and kind != "message/rfc822":
                waiting += reversed(_parts_of(part))
            else:
                yield from self._leaf(part, kind)
        self.warnings.append(f"The mail has over {_MAX_PARTS:,} parts; the rest was not read. {SAVE_ANEW}")

    def _alternative(self, part: email.message.Message) -> Iterator[Piece]:
        """The text that people can read best; the plain one, unless the other says much more."""
        texts: dict[str, list[Piece]] = {}
        for leaf in _leaves(part):
            kind = leaf.get_content_type()
            if _is_attached(leaf) or kind not in ("text/plain", "text/html"):
                if kind != "text/x-amp-html":
                    self._attach(leaf, kind)
            elif kind not in texts:
                texts[kind] = list(self._text(leaf, kind))
        yield from richer(texts.get("text/plain", []), texts.get("text/html", []))

    def _leaf(self, part: email.message.Message, kind: str) -> Iterator[Piece]:
        if kind in ("text/plain", "text/html", "text/enriched") and not _is_attached(part):
            yield from self._text(part, kind)
        else:
            self._attach(part, kind)

    def _text(self, part: email.message.Message, kind: str) -> Iterator[Piece]:
        decoded = decode(_bytes_of(part), part.get_content_charset("") or "")
        self.warnings += decoded.warnings
        text = shown(decoded.text)
        if kind == "text/html":
            self._in_text |= set(_SHOWN_PICTURE.findall(text))
            yield from webpage.page_of(text).pieces
            return
        if part.get_param("format") == "flowed":
            text = _unflowed(text, str(part.get_param("delsp", "no")).lower() == "yes")
        yield from paragraphs(text)

    def _attach(self, part: email.message.Message, kind: str) -> None:
        if kind in _ONLY_FOR_PROGRAMS:
            return
        if kind in _LOCKED:
            self.warnings.append(_ENCRYPTED)
            return
        in_text = str(part.get("Content-ID", "")).strip("<> ") in self._in_text
        if kind.startswith("image/") and (in_text or part.get_content_disposition() != "attachment"):
            self._images += 1
            return
        name = _name_of(part)
        if kind == "application/ms-tnef" or name.lower() == "winmail.dat":
            self.warnings.append(
                "The mail carries winmail.dat, in which only Outlook finds its files; they were not read. "
                "Save the files from Outlook, and add those."
            )
            return
        data = _message_in(part) if kind == "message/rfc822" else _bytes_of(part)
        self.attachments.keep(name, data, _ENDINGS.get(kind, ""))


class Attachments:
    """The files that came with a mail, as long as there is room."""

    def __init__(self, limits: Limits) -> None:
        self.kept: list[Attachment] = []
        self.warnings: list[str] = []
        self._limits = limits
        self._held = 0
        self._names: set[str] = set()

    def keep(self, name: str, data: bytes, ending: str = "") -> None:
        """Keep a file under a name that no other has; ``ending`` is that of a file without a name."""
        if not data:
            return
        if len(self.kept) >= self._limits.attachments or self._held + len(data) > self._limits.expanded:
            self.warnings.append("The mail has more attachments than are read; save the rest, and add those.")
            return
        self._held += len(data)
        name = clean_name(name, f"attachment {len(self.kept) + 1}{ending}")
        self.kept.append(Attachment(unique_name(name, self._names), data))


def richer(plain: list[Piece], html: list[Piece]) -> list[Piece]:
    """The plain text, unless it is a stopgap for the other."""
    said = sum(len(piece.text) for piece in plain)
    more = sum(len(piece.text) for piece in html)
    return html if more > 2 * said else plain or html


def field_of(message: email.message.Message, name: str) -> str:
    """A field of the head as people read it; empty where there is none, or nothing can be made of it."""
    values = [value for key, value in message.raw_items() if key.lower() == name.lower()]
    return "; ".join(filter(None, map(_field, values[:10])))


def _field(raw: Any) -> str:
    value = str(raw)[:_LONGEST_FIELD]
    if not value.isascii():
        value = decode(value.encode("utf-8", "surrogateescape")).text
    value = re.sub(r"\s*\n\s*", " ", value)
    if "=?" in value:
        try:
            chunks = email.header.decode_header(value)
        except (email.errors.HeaderParseError, ValueError):
            chunks = [(value, None)]
        value = "".join(
            chunk if isinstance(chunk, str) else _word(chunk, charset or "") for chunk, charset in chunks
        )
    return shown(" ".join(value.split()))


def _word(data: bytes, charset: str) -> str:
    return decode(data, charset).text if known(charset) else data.decode("utf-8", "replace")


def iso_date(value: str) -> str:
    """The date of a mail as ISO 8601; empty for none."""
    try:
        return email.utils.parsedate_to_datetime(value).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def clean_name(name: str, otherwise: str) -> str:
    """``name`` without folders and what a name cannot hold; ``otherwise`` where nothing is left."""
    name = _NOT_IN_NAMES.sub("", name.replace("\\", "/").rpartition("/")[2]).strip(" .")
    stem, dot, ending = name.rpartition(".")
    if len(name) > 150:
        name = f"{stem[:140]}{dot}{ending[:9]}" if stem else name[:150]
    return name or otherwise


def unique_name(name: str, taken: set[str]) -> str:
    """``name``, or one with a number, that is not in ``taken``; it is, afterwards."""
    stem, dot, ending = name.rpartition(".") if "." in name else (name, "", "")
    candidate, number = name, 2
    while candidate.lower() in taken:
        candidate = f"{stem} ({number}){dot}{ending}"
        number += 1
    taken.add(candidate.lower())
    return candidate


def _parts_of(part: email.message.Message) -> list[email.message.Message]:
    payload = part.get_payload()
    return (
        [each for each in payload if isinstance(each, email.message.Message)]
        if isinstance(payload, list)
        else []
    )


def _leaves(part: email.message.Message) -> Iterator[email.message.Message]:
    waiting = [part]
    for _ in range(_MAX_PARTS):
        if not waiting:
            return
        each = waiting.pop()
        if each.is_multipart() and each.get_content_type() != "message/rfc822":
            waiting += reversed(_parts_of(each))
        else:
            yield each


def _is_attached(part: email.message.Message) -> bool:
    return part.get_content_disposition() == "attachment" or (
        part.get_filename() is not None and part.get_content_type() != "text/html"
    )


def _name_of(part: email.message.Message) -> str:
    if part.get_content_type() == "message/rfc822" and (inner := _parts_of(part)):
        return (field_of(inner[0], "Subject")[:100].replace("/", "-") or "message") + ".eml"
    try:
        name = part.get_filename() or ""
    except (ValueError, LookupError, TypeError):
        return ""
    return _field(name)


def _bytes_of(part: email.message.Message) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError):  # its transfer encoding is broken
        payload = None
    if isinstance(payload, bytes):
        return payload
    text = part.get_payload()
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else b""


def _message_in(part: email.message.Message) -> bytes:
    inner = _parts_of(part)
    try:
        return inner[0].as_bytes() if inner else _bytes_of(part)
    except (ValueError, LookupError, TypeError, AttributeError):
        return _bytes_of(part)


def _unflowed(text: str, delete_space: bool) -> str:
    """Lines that the sender's program broke are joined (RFC 3676)."""
    lines: list[str] = []
    flowing = False
    for line in text.split("\n"):
        depth = len(line) - len(line.lstrip(">"))
        content = line[depth:].removeprefix(" ")
        if flowing and lines and depth == 0:
            lines[-1] = lines[-1][:-1] + content if delete_space else lines[-1] + content
        else:
            lines.append(f"{'>' * depth} {content}" if depth else content)
        flowing = depth == 0 and line.endswith(" ") and line != "-- "
    return "\n".join(lines)

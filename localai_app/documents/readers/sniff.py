"""Tells from a file's bytes what it is; the ending of its name only decides between kinds of text."""

import io
import re
from typing import NoReturn

from localai_app.documents.formats import OLD_OR_OTHER, format_by_name
from localai_app.documents.readers.archive import Archive
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import SAVE_ANEW, USUAL

ENCRYPTED_OFFICE = "encrypted-office"
"""A Word, Excel or PowerPoint file behind a password: which of them, only that tells."""
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF87a", "image"),
    (b"GIF89a", "image"),
    (b"II*\0", "image"),
    (b"MM\0*", "image"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"7z\xbc\xaf\x27\x1c", "an archive"),
    (b"Rar!\x1a\x07", "an archive"),
    (b"\x1f\x8b", "an archive"),
    (b"BZh", "an archive"),
    (b"\xfd7zXZ\0", "an archive"),
    (b"\x28\xb5\x2f\xfd", "an archive"),
    (b"ID3", "sound or video"),
    (b"\xff\xfb", "sound or video"),
    (b"\xff\xf3", "sound or video"),
    (b"OggS", "sound or video"),
    (b"fLaC", "sound or video"),
    (b"\x1aE\xdf\xa3", "sound or video"),
    (b"SQLite format 3\0", "a database"),
    (b"\0\x01\0\0Standard ", "a database"),
    (b"!BDN", "a mailbox"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"AT&TFORM", "a DjVu document"),
    (b"ITOLITLS", "an e-book"),
    (b"GGUF", "an AI model"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OFFICE = {
    "wordprocessingml": "docx",
    "ms-word": "docx",
    "spreadsheetml": "xlsx",
    "ms-excel": "xlsx",
    "presentationml": "pptx",
    "ms-powerpoint": "pptx",
}
"""What the content type of an Office file's main part holds."""
_MAIN_PART = re.compile(
    r'ContentType="application/(?:vnd\.openxmlformats-officedocument\.|vnd\.)(wordprocessingml|ms-word|'
    r"spreadsheetml|ms-excel|presentationml|ms-powerpoint)\."
    r'[\w.]*?(?:document|sheet|template|presentation|slideshow|addin)[\w.]*?\.?main\+xml"',
    re.IGNORECASE,
)
_TYPES = "[Content_Types].xml"
_OFFICE_PARTS = {"word/document.xml": "docx", "xl/workbook.xml": "xlsx", "ppt/presentation.xml": "pptx"}
_OPEN_DOCUMENT = {
    b"application/vnd.oasis.opendocument.text": ".odt",
    b"application/vnd.oasis.opendocument.spreadsheet": ".ods",
    b"application/vnd.oasis.opendocument.presentation": ".odp",
    b"application/epub+zip": ".epub",
}
_MAIL_HEAD = re.compile(
    rb"(?:received|return-path|delivered-to|from|to|cc|subject|date|message-id|mime-version|reply-to|sender|"
    rb"x-[\w-]+|dkim-signature|arc-[\w-]+|content-[\w-]+|authentication-results|thread-[\w-]+|importance):",
    re.IGNORECASE,
)
_HTML = re.compile(
    rb"\s*(?:<!--.*?-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")

_ADVICE = {
    "an old Word document": "Open it in Word or LibreOffice, save it as .docx, and add that.",
    "an old Excel workbook": "Open it in Excel or LibreOffice, save it as .xlsx, and add that.",
    "an old PowerPoint presentation": "Open it in PowerPoint or LibreOffice, save it as .pptx, and add that.",
    "a binary Excel workbook": "Open it in Excel or LibreOffice, save it as .xlsx, and add that.",
    "an OpenDocument text": "Open it in LibreOffice or Word, save it as .docx or PDF, and add that.",
    "an OpenDocument spreadsheet": "Open it in LibreOffice or Excel, save it as .xlsx, and add that.",
    "an OpenDocument presentation": "Open it in LibreOffice or PowerPoint, save it as .pptx, and add that.",
    "an archive": "Unpack it, and add the files or the folder.",
    "a mailbox": "Save the messages one by one from the mail program (.eml or .msg), and add those.",
    "a program": "Add documents: programs hold no text to read.",
    "sound or video": "Add a transcript of it instead.",
    "a database": "Export what matters as .csv or .xlsx, and add that.",
    "PostScript": "Convert it to PDF, and add that.",
    "an AI model": "Models are added on the Models page.",
}
_OTHER_ADVICE = "Open it in the program that made it, save it as PDF, and add that."


def format_of(data: bytes, name: str) -> str:
    """The format of ``data``, as in `Facts.format`, or `ENCRYPTED_OFFICE`; raise `ReadRefused`."""
    if not data.strip(b"\0\t\n\r "):
        message = "The file is empty."
        raise ReadRefused("empty", message, "Is it a file that is still being copied, or kept in the cloud?")
    head = data[:4096]
    if b"%PDF-" in data[:1024] or (b"%FDF-" not in head and format_by_name(name) == "pdf" and b"obj" in head):
        return "pdf"
    if head.startswith(_OLE):
        return _format_of_ole(data)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _format_of_zip(data)
    if head.lstrip(b"\xef\xbb\xbf\t\n\r ").startswith(b"{\\rt"):
        return "rtf"
    for signature, kind in _SIGNATURES:
        if head.startswith(signature) and not _is_clearly_text(head):
            if kind == "image":
                return kind
            _refuse(kind)
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        return "image" if head[8:12] == b"WEBP" else _refuse("sound or video")
    if head[4:8] == b"ftyp":
        _refuse(
            "a picture of a kind that is not read"
            if head[8:11] in (b"hei", b"avi", b"mif")
            else "sound or video"
        )
    if (
        head.startswith(b"BM")
        and len(data) > 26
        and int.from_bytes(head[10:14], "little") < len(data)
        and 0 in head
    ):
        return "image"
    if data[257:262] == b"ustar":
        _refuse("an archive")
    return _format_of_text(data, head, name)


def _format_of_text(data: bytes, head: bytes, name: str) -> str:
    named = format_by_name(name)
    if not _may_be_text(data, said_to_be=named in ("csv", "md", "html", "eml", "txt")):
        ending = name.lower().rpartition(".")[2]
        _refuse(OLD_OR_OTHER.get("." + ending, "no text, and of no kind that is known here"))
    if re.match(rb"From \S+.*\d\d:\d\d", head) and len(re.findall(rb"^From \S+.*\d\d:\d\d", data, re.M)) > 1:
        _refuse("a mailbox")
    if named in ("csv", "md", "html", "eml"):
        return named
    if named == "txt":
        return "txt"
    if _is_mail(head):
        return "eml"
    return "html" if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")) else "txt"


def _is_mail(head: bytes) -> bool:
    """Whether it begins with the head of a mail: three known fields in its first lines, and no other."""
    known = 0
    for line in head.splitlines()[:12]:
        if _MAIL_HEAD.match(line):
            known += 1
        elif not line[:1].isspace() and not re.match(rb"[\w-]+:|From ", line):
            break
    return known >= 3


def _may_be_text(data: bytes, *, said_to_be: bool) -> bool:
    """Whether a person may have written it: few control characters, unless 16 or 32 bits are a character.

    Where its name says so, zeros between letters are taken for the accident that they are.
    """
    sample = data[:65536]
    if sample.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return True
    strange = len(_CONTROL.findall(sample))
    if strange <= len(sample) // 50:
        return True
    zeros = sample.count(b"\0")
    return (said_to_be or zeros >= len(sample) // 4) and strange - zeros <= len(sample) // 50


def _is_clearly_text(head: bytes) -> bool:
    """Whether the first page has no byte that text has not: “BZh” may begin a word."""
    return not _CONTROL.search(head) and all(byte < 0x80 for byte in head)


def _format_of_zip(data: bytes) -> str:
    archive = Archive(data, USUAL)
    if "mimetype" in archive:
        declared = archive.open("mimetype").read(100).strip()
        for start, ending in _OPEN_DOCUMENT.items():
            if declared.startswith(start):
                _refuse(OLD_OR_OTHER[ending])
    if _TYPES in archive:
        types = archive.open(_TYPES).read(1 << 20).decode("utf-8", "replace")
        if match := _MAIN_PART.search(types):
            return _OFFICE[match[1].lower()]
        if "sheet.binary.macroenabled.main" in types.lower() or "xl/workbook.bin" in archive:
            _refuse("a binary Excel workbook")
    for part, kind in _OFFICE_PARTS.items():
        if part in archive:
            return kind
    if any(name.lower().endswith(".iwa") for name in archive.names):
        _refuse("a Pages, Numbers or Keynote document")
    return _refuse("an archive")


def _format_of_ole(data: bytes) -> str:
    import olefile  # noqa: PLC0415 - few files need it

    try:
        with olefile.OleFileIO(io.BytesIO(data)) as file:
            streams = {"/".join(path).lower() for path in file.listdir()}
    except Exception:  # the library answers damage with whatever comes first
        message = "The file is damaged, or of a kind that nobody here knows."
        raise ReadRefused("broken", message, SAVE_ANEW) from None
    if "encryptedpackage" in streams:
        return ENCRYPTED_OFFICE
    if "__properties_version1.0" in streams:
        return "msg"
    for stream, kind in (
        ("worddocument", "an old Word document"),
        ("workbook", "an old Excel workbook"),
        ("book", "an old Excel workbook"),
        ("powerpoint document", "an old PowerPoint presentation"),
    ):
        if stream in streams:
            _refuse(kind)
    return _refuse("of an old Microsoft kind that is not read")


def _refuse(kind: str) -> NoReturn:
    raise ReadRefused("format", f"The file is {kind}.", _ADVICE.get(kind, _OTHER_ADVICE))

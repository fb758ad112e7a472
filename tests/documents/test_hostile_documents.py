"""Documents made to do harm, through the real child: a result or one clear line, and nothing left."""

import io
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from localai_app.documents.reader_process import Viewer, read
from localai_app.documents.reading import AttachmentRead, Job, Limits, PageRead
from localai_app.errors import DocumentError
from tests.documents import small_files
from tests.documents.small_files import (
    ALL,
    WORDS,
    archive,
    compound,
    docx,
    pdf,
    pptx,
    table,
    text_property,
    xlsx,
)

SECRET = "localai-secret-4711"
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BILLION_LAUGHS = f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'


def through_child(data: bytes, name: str, **limits: int) -> tuple[str, str]:
    """The text, and the error's line; the child is gone, and took no more than a few seconds."""
    began = time.monotonic()
    texts, line, told = [], "", True
    try:
        for answer in read(data, Job(name, 0, limits=Limits(**{"cpu_seconds": 20, **limits}))):
            if isinstance(answer, PageRead):
                texts.append(answer.page.text)
            elif isinstance(answer, AttachmentRead):
                texts.append(answer.attachment.data.decode("utf-8", "replace"))
    except DocumentError as error:
        line = error.line
        told = bool(error.hint) and "\n" not in line
    assert told
    assert time.monotonic() - began < 60
    assert psutil.Process().children() == []
    return "\n".join(texts), line


def bomb(part: str, document: Callable[[], bytes], size: int) -> bytes:
    """``document`` with ``part`` blown up to ``size`` bytes of spaces, before its end."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(document())) as source,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == part:
                content = content.replace(b"</w:body>", b" " * size + b"</w:body>")
                content = content.replace(b"</sheetData>", b" " * size + b"</sheetData>")
            out.writestr(entry.filename, content)
    return made.getvalue()


def lying_size(document: bytes, part: bytes, size: int) -> bytes:
    """``document`` whose list of contents states another size for ``part``."""
    data = bytearray(document)
    place = data.rindex(part)  # in the central directory, 46 bytes behind its head
    struct.pack_into("<I", data, place - 46 + 24, size)
    return bytes(data)


def endless_entries(count: int) -> bytes:
    return archive({**{f"word/x{number}.xml": "" for number in range(count)}, "[Content_Types].xml": ""})


def looping_streams() -> bytes:
    """An Outlook message whose chain of sectors bites its own tail."""
    data = bytearray(compound(dict([table(32), text_property(0x0037, "x" * 9000)])))
    first_table = struct.unpack_from("<I", data, 76)[0]
    for number in range(60):
        struct.pack_into("<I", data, 512 * (first_table + 1) + 4 * number, 2)
    return bytes(data)


REFUSED = {
    "billion laughs in Word": lambda: (
        docx(before=BILLION_LAUGHS, body="<w:p><w:r><w:t>&l9;</w:t></w:r></w:p>"),
        "a.docx",
    ),
    "billion laughs in Excel": lambda: (xlsx(before=BILLION_LAUGHS), "a.xlsx"),
    "billion laughs in PowerPoint": lambda: (pptx(before=BILLION_LAUGHS), "a.pptx"),
    "zip bomb in Word": lambda: (bomb("word/document.xml", docx, 400_000_000 // 20), "a.docx"),
    "zip bomb in Excel": lambda: (bomb("xl/worksheets/sheet1.xml", xlsx, 400_000_000 // 20), "a.xlsx"),
    "too many entries": lambda: (endless_entries(12_000), "a.docx"),
    "no list of contents": lambda: (docx()[:-30], "a.docx"),
    "an archive in an archive": lambda: (archive({"a.zip": archive({"b": "x"})}), "a.docx"),
    "groups without end": lambda: (b"{\\rtf1" + b"{" * 200_000, "a.rtf"),
    "elements without end": lambda: (b"<div>" * 200_000, "a.html"),
    "text without end": lambda: (b"x " * 1_000_000, "a.txt"),
}
"""Each must end in one clear line; made anew for each test."""

READ = {
    "a page tree that bites its tail": lambda: (pdf().replace(b"/Kids[3 0 R]", b"/Kids[2 0 R]"), "a.pdf"),
    "a stream that is not what it says": lambda: (pdf(b"x" * 100, filters=b"/Filter/FlateDecode"), "a.pdf"),
    "a flate bomb": lambda: (
        pdf(zlib.compress(bytes(50_000_000), 9), filters=b"/Filter/FlateDecode"),
        "a.pdf",
    ),
    "flate in flate": lambda: (
        pdf(
            zlib.compress(zlib.compress(bytes(90_000_000), 9), 9),
            filters=b"/Filter[/FlateDecode/FlateDecode]",
        ),
        "a.pdf",
    ),
    "a million operators": lambda: (pdf(b"q " * 1_000_000), "a.pdf"),
    "a PDF of which half is missing": lambda: (pdf()[:300], "a.pdf"),
    "another part than is stated": lambda: (lying_size(docx(), b"word/document.xml", 10), "a.docx"),
    "a part said to be huge": lambda: (lying_size(docx(), b"word/document.xml", 2**31), "a.docx"),
    "deep paragraphs": lambda: (docx(body="<w:p>" * 3000 + "</w:p>" * 3000), "a.docx"),
    "names that lead elsewhere": lambda: (archive({"../../../../tmp/slipped": "x"}), "a.docx"),
    "a sector chain that bites its tail": lambda: (looping_streams(), "a.msg"),
    "a mail in parts without end": lambda: (
        b"Subject: x\n"
        + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3000)),
        "a.eml",
    ),
    "a head without end": lambda: (
        b"Subject: " + b"x" * 2_000_000 + b"\n" + b"To: a@b,\n c@d,\n" * 20_000,
        "a.eml",
    ),
    "encoded words without end": lambda: (b"Subject: " + b"=?utf-8?q?x?= " * 50_000 + b"\n\nx", "a.eml"),
    "a row without end": lambda: (b"x;" * 300_000, "a.csv"),
    "quotes without end": lambda: (b'"x\n' * 200_000, "a.csv"),
    "brackets without end": lambda: (b"[" * 300_000 + b"> " * 3000, "a.md"),
    "styles without end": lambda: (b"<style>" + b".a{" * 300_000 + b"</style>x", "a.html"),
    "attributes without end": lambda: (b"<p " + b"a=b " * 100_000 + b">x", "a.html"),
    "merged cells without end": lambda: (
        b"<table>" + b"<tr><td colspan=9999 rowspan=9999>x" * 300 + b"</table>",
        "a.html",
    ),
    "a far cell": lambda: (xlsx('<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), "a.xlsx"),
    "a code page of nonsense": lambda: (
        rb"{\rtf1\ansicpg99999\uc16 \u-99999999?\'zz\bin99999999999 x}",
        "a.rtf",
    ),
}
"""Each must end: read, read in part, or refused."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_only_do_harm_is_refused(name: str) -> None:
    data, file = REFUSED[name]()
    text, line = through_child(data, file, characters=1_000_000)
    assert line
    assert len(text) <= 1_000_000
    assert "crash" not in line


@pytest.mark.parametrize("name", READ)
def test_what_is_made_to_choke_a_reader_ends_in_time(name: str) -> None:
    data, file = READ[name]()
    through_child(data, file)


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx", "a.html", "b.txt"])
def test_entities_fetch_no_file(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    entity = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>'
    data = {
        "a.docx": docx(before=entity, body="<w:p><w:r><w:t>&e;</w:t></w:r></w:p>"),
        "a.xlsx": xlsx(
            before=entity, rows='<row r="2"><c r="A2" t="inlineStr"><is><t>&e;</t></is></c></row>'
        ),
        "a.pptx": pptx(before=entity),
        "a.html": f"{entity}<p>&e;<iframe src='file://{secret}'></iframe>seen".encode(),
        "b.txt": f"{entity}&e;".encode(),
    }[name]
    text, line = through_child(data, name)
    assert SECRET not in text + line
    assert text or line


def test_names_inside_an_archive_lead_nowhere(tmp_path: Path) -> None:
    target = tmp_path / "slipped"
    with zipfile.ZipFile(io.BytesIO(docx())) as source:
        entries = {name: source.read(name) for name in source.namelist()}
    text, _ = through_child(
        archive({**entries, f"../../../../../../../..{target}": "x", str(target): "x"}), "a.docx"
    )
    assert WORDS in text
    assert not target.exists()


def test_a_bomb_costs_no_more_memory_than_is_allowed() -> None:
    data = pdf(zlib.compress(bytes(200_000_000), 9), filters=b"/Filter/FlateDecode")
    through_child(data, "a.pdf", memory=64 * 1024 * 1024)


def test_a_page_that_is_a_bomb_is_drawn_or_refused() -> None:
    stream = b"0 0 600 700 re f " * 20_000
    with Viewer(pdf(zlib.compress(stream), filters=b"/Filter/FlateDecode"), "a.pdf") as viewer:
        assert viewer.render(1, 0.2).page == 1
    huge = pdf().replace(b"[0 0 612 792]", b"[0 0 9e9 9e9]")
    with Viewer(huge, "a.pdf") as viewer:
        try:
            drawn = viewer.render(1, 10.0)
        except DocumentError as error:
            assert error.hint  # noqa: PT017 - either will do
        else:
            assert drawn.width * drawn.height <= 50_000_000
    assert psutil.Process().children() == []


@pytest.mark.parametrize("name", ALL)
def test_a_batch_goes_on_after_a_hostile_file(name: str) -> None:
    through_child(b"%PDF-1.7\n" + bytes(range(256)) * 10, name)
    text, line = through_child(ALL[name](), name)
    assert (WORDS in text, line) == (True, "")


def test_every_small_file_is_one_that_the_tests_mean() -> None:
    assert small_files.WORDS.encode() in small_files.pdf()
    assert len({name.rpartition(".")[2] for name in ALL}) == 11

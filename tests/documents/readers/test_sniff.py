"""What a file is, by its bytes; and what those are told whose file nobody reads."""

import io
import random
import re
import zipfile

import pytest

from localai_app.documents.formats import FORMATS, OLD_OR_OTHER, SUPPORTED, format_by_name, title_of
from localai_app.documents.readers import dispatch
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.readers.sniff import ENCRYPTED_OFFICE, format_of
from localai_app.documents.reading import Job, PageRead
from tests.documents.small_files import ALL, WORDS, archive, compound, docx, msg

OASIS = "application/vnd.oasis.opendocument"
KINDS = {
    "a.docx": "docx", "a.xlsx": "xlsx", "a.pptx": "pptx", "a.pdf": "pdf", "a.eml": "eml", "a.msg": "msg",
    "a.html": "html", "a.rtf": "rtf", "a.csv": "csv", "a.md": "md", "a.txt": "txt", "b.txt": "txt",
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_file_is_what_it_is(name: str) -> None:
    assert format_of(ALL[name](), name) == KINDS[name]


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx", "a.pdf", "a.eml", "a.msg", "a.html", "a.rtf"])
@pytest.mark.parametrize("lie", ["a.txt", "a.pdf", "a", "a.exe"])
def test_a_name_that_lies_misleads_nobody(name: str, lie: str) -> None:
    # Between kinds of text the name decides: who calls a page's source a text wants to see it.
    kind = "txt" if lie == "a.txt" and name in ("a.eml", "a.html") else KINDS[name]
    assert format_of(ALL[name](), lie) == kind


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (b"junk before %PDF-1.4", "a", "pdf"),
        (b"\xef\xbb\xbf  {\\rtf1 x}", "a", "rtf"),
        (b"<!-- x --><?xml version='1.0'?><!DOCTYPE html><p>", "a", "html"),
        (b"<note>plain XML</note>", "a.xml", "txt"),
        (b"a,b\0,c\n" * 50, "a.csv", "csv"),
        (b"PK is how a zip begins", "a.txt", "txt"),
        (b"BZh? MZ! Rar!", "a.txt", "txt"),
        (b"MZ is no program here", "a.txt", "txt"),
        (b"From: me\nwrote: you\n", "a.txt", "txt"),
        (b"From: a@b\nTo: c@d\nSubject: x\n\nbody", "mail", "eml"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a.docx", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a", "image"),
        ("Überweisung\n".encode("utf-16-be"), "a.txt", "txt"),
        (archive({"word\\document.xml": "x"}), "a.docx", "docx"),
        (compound({"EncryptedPackage": b"x", "EncryptionInfo": b"x"}), "a.docx", ENCRYPTED_OFFICE),
    ],
)  # fmt: skip
def test_less_common_beginnings_are_known(data: bytes, name: str, kind: str) -> None:
    assert format_of(data, name) == kind


@pytest.mark.parametrize(
    ("data", "name", "message", "hint"),
    [
        (b"", "a.txt", "empty", "copied"),
        (b" \n\0\0", "a.txt", "empty", "copied"),
        (compound({"WordDocument": b"x"}), "a.doc", "an old Word document", r"\.docx"),
        (compound({"Workbook": b"x"}), "a.xls", "an old Excel workbook", r"\.xlsx"),
        (compound({"PowerPoint Document": b"x"}), "a.ppt", "an old PowerPoint presentation", r"\.pptx"),
        (compound({"Other": b"x"}), "a.pub", "old Microsoft kind", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "a.doc", "damaged", "anew"),
        (archive({"xl/workbook.bin": "x", "[Content_Types].xml": "x"}), "a.xlsb", "binary Excel", r"\.xlsx"),
        (archive({"mimetype": f"{OASIS}.text"}), "a.odt", "OpenDocument text", r"\.docx"),
        (archive({"mimetype": "application/epub+zip"}), "a.epub", "an e-book", "PDF"),
        (archive({"Index/Document.iwa": "x"}), "a.pages", "Pages", "PDF"),
        (archive({"a.txt": "x"}), "a.zip", "an archive", "Unpack"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "a.gz", "an archive", "Unpack"),
        (docx()[:200], "a.docx", "damaged", "anew"),
        (b"\x7fELF\2\1\1\0" + bytes(64), "a.pdf.exe", "a program", "documents"),
        (b"ID3\4\0\0\0" + bytes(64), "a.mp3", "sound or video", "transcript"),
        (b"\0\0\0\x20ftypisom" + bytes(64), "a.mp4", "sound or video", "transcript"),
        (b"\0\0\0\x20ftypheic" + bytes(64), "a.heic", "a picture", "PDF"),
        (b"From a@b Mon Jan  1 10:00:00 2026\nSubject: x\n\nx\n" * 2, "a", "a mailbox", "eml"),
        (bytes(range(256)) * 20, "a.xls", "an old Excel workbook", r"\.xlsx"),
        (bytes(range(256)) * 20, "a.bin", "no text", "PDF"),
    ],
)  # fmt: skip
def test_what_nobody_reads_is_named_with_what_to_do(data: bytes, name: str, message: str, hint: str) -> None:
    with pytest.raises(ReadRefused, match=message) as caught:
        format_of(data, name)
    refused = caught.value.refused
    assert re.search(hint, refused.hint)


def test_every_ending_has_one_format_and_a_name_for_people() -> None:
    endings = [ending for _, _, endings in FORMATS for ending in endings]
    assert len(set(endings)) == len(endings) == len(SUPPORTED)
    assert not SUPPORTED & set(OLD_OR_OTHER)
    assert [format_by_name(name) for name in ("A.PDF", "b.htm", "c", "d.doc")] == ["pdf", "html", "", ""]
    assert [title_of(kind) for kind in ("docx", "other")] == ["Word document", "other"]


def test_an_encrypted_office_file_opens_with_its_password_alone() -> None:
    from msoffcrypto.format.ooxml import OOXMLFile

    # What the library writes of less than 4,096 bytes it cannot read.
    with zipfile.ZipFile(io.BytesIO(docx())) as source:
        large = archive(
            {**{n: source.read(n) for n in source.namelist()}, "x": random.Random(1).randbytes(9000)}
        )
    locked = io.BytesIO()
    OOXMLFile(io.BytesIO(large)).encrypt("sesame", locked)
    data = locked.getvalue()
    for password, code in (("", "password"), ("open", "wrong_password")):
        with pytest.raises(ReadRefused) as caught:
            dispatch.open_reader(Job("a.docx", len(data), password=password), data)
        assert caught.value.refused.code == code
    with pytest.raises(ReadRefused) as caught:
        dispatch.open_reader(Job("a.docx", len(data), password="sesame"), data[: len(data) // 3])
    assert caught.value.refused.code in ("broken", "format")
    opened = dispatch.open_reader(Job("a.docx", len(data), password="sesame"), data)
    assert opened.kind == "docx"
    assert WORDS in "".join(answer.page.text for answer in opened.read() if isinstance(answer, PageRead))


def test_a_format_without_pages_has_none_to_draw() -> None:
    with pytest.raises(ReadRefused, match="no pages to draw"):
        dispatch.open_reader(Job("a.msg", 1), msg()).renderer()

"""Small documents of every format, built in memory; each holds `WORDS`."""

import io
import struct
import zipfile

WORDS = "The lease ends on 3 May"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats"
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_P = "http://schemas.openxmlformats.org/presentationml/2006/main"
_A = "http://schemas.openxmlformats.org/drawingml/2006/main"


def archive(entries: dict[str, str | bytes]) -> bytes:
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return file.getvalue()


def _package(main: str, kind: str, parts: dict[str, str | bytes], types: str = "") -> bytes:
    relation = f'<Relationship Id="r1" Type="{_OFFICE}/officeDocument" Target="{main}"/>'
    return archive(
        {
            "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="rels" '
            f'ContentType="{_KIND}-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/{main}" ContentType="{_KIND}-officedocument.{kind}.main+xml"/>'
            f"{types}</Types>",
            "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}">{relation}</Relationships>',
            **parts,
        }
    )


def docx(body: str = "", before: str = "") -> bytes:
    """A Word document; ``body`` is XML after the first paragraph, ``before`` stands before the root."""
    text = f"<w:p><w:r><w:t>{WORDS}</w:t></w:r></w:p>{body}"
    main = f'<?xml version="1.0"?>{before}<w:document xmlns:w="{_W}"><w:body>{text}</w:body></w:document>'
    return _package("word/document.xml", "wordprocessingml.document", {"word/document.xml": main})


def xlsx(rows: str = "", before: str = "") -> bytes:
    """An Excel workbook with one sheet."""
    cell = f'<row r="1"><c r="A1" t="inlineStr"><is><t>{WORDS}</t></is></c></row>{rows}'
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"
    relation = f'<Relationship Id="r1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    return _package(
        "xl/workbook.xml",
        "spreadsheetml.sheet",
        {
            "xl/workbook.xml": f'<workbook xmlns="{_S}" xmlns:r="{_OFFICE}"><sheets>'
            '<sheet name="One" sheetId="1" r:id="r1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}">{relation}</Relationships>',
            "xl/worksheets/sheet1.xml": f'{before}<worksheet xmlns="{_S}">'
            f"<sheetData>{cell}</sheetData></worksheet>",
        },
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}"/>',
    )


def pptx(before: str = "") -> bytes:
    """A PowerPoint presentation with one slide."""
    text = f"<a:p><a:r><a:t>{WORDS}</a:t></a:r></a:p>"
    head = (
        '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
        '<p:sp><p:nvSpPr><p:cNvPr id="2" name="T"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
    )
    shape = f"{head}<p:txBody><a:bodyPr/>{text}</p:txBody></p:sp>"
    slide = f'<p:sld xmlns:p="{_P}" xmlns:a="{_A}"><p:cSld><p:spTree>{shape}</p:spTree></p:cSld></p:sld>'
    kind = "application/vnd.openxmlformats-officedocument.presentationml.slide+xml"
    relation = f'<Relationship Id="r1" Type="{_OFFICE}/slide" Target="slides/slide1.xml"/>'
    return _package(
        "ppt/presentation.xml",
        "presentationml.presentation",
        {
            "ppt/presentation.xml": f'<p:presentation xmlns:p="{_P}" xmlns:r="{_OFFICE}"><p:sldIdLst>'
            '<p:sldId id="256" r:id="r1"/></p:sldIdLst><p:sldSz cx="9144000" cy="6858000"/></p:presentation>',
            "ppt/_rels/presentation.xml.rels": f'<Relationships xmlns="{_RELATIONS}">{relation}'
            "</Relationships>",
            "ppt/slides/slide1.xml": before + slide,
        },
        f'<Override PartName="/ppt/slides/slide1.xml" ContentType="{kind}"/>',
    )


def pdf(stream: bytes = b"", *, filters: bytes = b"", pages: int = 1) -> bytes:
    """A PDF whose every page shows `WORDS`, or draws what ``stream`` says."""
    stream = stream or f"BT /F1 24 Tf 72 700 Td ({WORDS}) Tj ET".encode()
    numbers = [3 + 2 * page for page in range(pages)]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: f"<</Type/Pages/Kids[{kids}]/Count {pages}>>".encode(),
    }
    for number in numbers:
        objects[number] = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {number + 1} 0 R/Resources<</Font<</F1"
            "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>"
        ).encode()
        length = f"<</Length {len(stream)}".encode()
        objects[number + 1] = length + filters + b">>\nstream\n" + stream + b"\nendstream"
    out = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, content in objects.items():
        places[number] = len(out)
        out += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for number in sorted(places):
        out += f"{places[number]:010} 00000 n \n".encode()
    out += f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(out)


def eml() -> bytes:
    """A mail with an alternative and an attachment."""
    return f"""\
From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>
To: Ann <ann@example.org>, Bob <bob@example.org>
Date: Mon, 2 Mar 2026 10:00:00 +0100
Subject: =?utf-8?b?w5xiZXIgdW5z?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8

{WORDS}.

--inner
Content-Type: text/html; charset=utf-8

<p>{WORDS}.</p>
--inner--
--outer
Content-Type: text/plain; name="../../etc/note.txt"
Content-Disposition: attachment; filename="../../etc/note.txt"

attached
--outer--
""".replace("\n", "\r\n").encode()


def html() -> bytes:
    """A page with a table, a list, and something hidden."""
    return (
        "<!DOCTYPE html><html><head><title>Lease</title><style>.no{display:none}</style></head><body>"
        f"<h1>Terms</h1><p>{WORDS}.</p><ul><li>one<li>two</ul><p class=no>secret</p>"
        "<table><tr><th>Item<th>Price<tr><td>Rent<td>900</table></body></html>"
    ).encode()


def rtf() -> bytes:
    """Rich text with a table and hidden text."""
    return (
        rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0\fswiss\fcharset0 Arial;}}{\info{\title Lease}}\f0 "
        + WORDS.encode()
        + rb".\par {\v hidden}caf\'e9 \u8364?\par\trowd\cellx1\cellx2\intbl a\cell b\cell\row\pard end\par}"
    )


# ---------------------------------------------------------------- Outlook

_SECTOR = 512
_FREE, _END, _TABLE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD

Folder = dict[str, "bytes | Folder"]


def compound(tree: Folder) -> bytes:
    """An OLE compound file with ``tree``; all streams lie in ordinary sectors."""
    entries: list[dict[str, object]] = [{"name": "Root Entry", "kind": 5, "data": b""}]
    _add_entries(tree, entries, 0)
    sectors: list[bytes] = []
    chain: list[int] = []
    for entry in entries:
        data = entry["data"]
        assert isinstance(data, bytes)
        entry["start"] = len(sectors) if data else _END
        # Streams below 4,096 bytes would lie in the small stream; they are filled up instead.
        padded = data if len(data) >= 4096 or not data else data + bytes(4096 - len(data))
        entry["size"] = len(padded)
        _put(padded, sectors, chain)
    directory = b"".join(map(_directory_entry, entries))
    first_directory = len(sectors)
    _put(directory + bytes(-len(directory) % _SECTOR), sectors, chain)
    tables = -(-(len(sectors) + 1) // 127)
    first_table = len(sectors)
    chain += [_TABLE] * tables
    chain += [_FREE] * (tables * 128 - len(chain))
    sectors += [struct.pack("<128I", *chain[i * 128 : (i + 1) * 128]) for i in range(tables)]
    places = [first_table + i for i in range(tables)] + [_FREE] * (109 - tables)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack("<IIIIIIIII", 0, tables, first_directory, 0, 4096, _END, 0, _END, 0)
    return head + struct.pack("<109I", *places) + b"".join(sectors)


def _put(data: bytes, sectors: list[bytes], chain: list[int]) -> None:
    pieces = [data[i : i + _SECTOR].ljust(_SECTOR, b"\0") for i in range(0, len(data), _SECTOR)]
    for number, piece in enumerate(pieces):
        sectors.append(piece)
        chain.append(len(sectors) if number + 1 < len(pieces) else _END)


def _add_entries(tree: Folder, entries: list[dict[str, object]], parent: int) -> None:
    """Siblings hang on each other to the right, in the order that a search expects."""
    before = None
    for name, content in sorted(tree.items(), key=lambda item: (len(item[0]), item[0].upper())):
        number = len(entries)
        is_folder = isinstance(content, dict)
        entries.append({"name": name, "kind": 1 if is_folder else 2, "data": b"" if is_folder else content})
        entries[parent if before is None else before]["child" if before is None else "right"] = number
        before = number
        if isinstance(content, dict):
            _add_entries(content, entries, number)


def _directory_entry(entry: dict[str, object]) -> bytes:
    name = str(entry["name"]).encode("utf-16-le") + b"\0\0"
    links = (_FREE, entry.get("right", _FREE), entry.get("child", _FREE))
    return (
        name.ljust(64, b"\0")
        + struct.pack("<HBB3I", len(name), entry["kind"], 1, *links)
        + bytes(36)
        + struct.pack("<IQ", entry["start"], entry["size"])
    )


def text_property(number: int, text: str) -> tuple[str, bytes]:
    """A stream that holds a text."""
    return f"__substg1.0_{number:04X}001F", (text.encode("utf-16-le") + b"\0\0")


def table(head: int, **fixed: int) -> tuple[str, bytes]:
    """The table of properties, with the numbers of ``fixed``: ``p0C15=1``."""
    rows = b"".join(struct.pack("<HHIQ", 3, int(name[1:], 16), 6, value) for name, value in fixed.items())
    return "__properties_version1.0", bytes(head) + rows + bytes(16)


def msg(**extra: "bytes | Folder") -> bytes:
    """An Outlook message with a recipient, an attached file and an attached message."""
    inner: Folder = dict([table(24), text_property(0x0037, "Inner"), text_property(0x1000, "Inner text")])
    tree: Folder = dict(
        [
            table(32),
            text_property(0x001A, "IPM.Note"),
            text_property(0x0037, "Lease"),
            text_property(0x0C1A, "Jürgen"),
            text_property(0x5D01, "j@example.org"),
            text_property(0x1000, f"{WORDS}.\r\n\r\nRegards"),
        ]
    )
    tree["__recip_version1.0_#00000000"] = dict(
        [table(8, p0C15=1), text_property(0x3001, "Ann"), text_property(0x39FE, "ann@example.org")]
    )
    tree["__attach_version1.0_#00000000"] = {
        **dict([table(8), text_property(0x3707, "..\\note.txt")]),
        "__substg1.0_37010102": b"attached",
    }
    tree["__attach_version1.0_#00000001"] = {**dict([table(8)]), "__substg1.0_3701000D": inner}
    return compound({**tree, **extra})


ALL = {
    "a.docx": docx,
    "a.xlsx": xlsx,
    "a.pptx": pptx,
    "a.pdf": pdf,
    "a.eml": eml,
    "a.msg": msg,
    "a.html": html,
    "a.rtf": rtf,
    "a.csv": f"Item;Ends\n{WORDS};1\n".encode,
    "a.md": f"# Lease\n\n{WORDS}.\n\n- one\n- two\n".encode,
    "a.txt": lambda: f"{WORDS}.\n\nGrüße aus Köln\n".encode("cp1252"),
    "b.txt": lambda: f"{WORDS} €\n".encode("utf-16"),
}

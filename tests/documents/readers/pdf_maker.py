"""Makes small PDF files, by hand where a library would not do the awkward thing that a test needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HELVETICA = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"
BOLD = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>"
FILL_RED_PICTURE = "q {} 0 0 {} {} {} cm BI /W 1 /H 1 /CS /RGB /BPC 8 /F /AHx ID FF0000> EI Q\n"


@dataclass
class Sheet:
    """A page: its content stream, boxes, and what else its dictionary says."""

    content: str
    box: Sequence[float] = (0, 0, 600, 800)
    more: str = ""
    fonts: dict[str, str] = field(default_factory=dict)
    broken: bool = False
    """The page tree names it, but there is no such page."""


def text(words: str, x: float, y: float, size: float = 10, *, font: str = "F1", before: str = "") -> str:
    """A line of text at (x, y) from the lower left corner."""
    words = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"q BT /{font} {size} Tf {before} {x} {y} Td ({words}) Tj ET Q\n"


def lines(words: Iterable[str], x: float, y: float, size: float = 10, step: float = 12) -> str:
    """Lines of text below each other."""
    return "".join(text(line, x, y - step * number, size) for number, line in enumerate(words))


def make(*sheets: Sheet | str, catalog: str = "", more: Sequence[str] = (), info: str = "") -> bytes:
    """The PDF; objects 1 and 2 are catalogue and page tree, 3 the information, ``more`` begin at 4."""
    objects = ["", "", f"<<{info}>>", *more]
    kids = []
    for sheet in (Sheet(one) if isinstance(one, str) else one for one in sheets):
        if sheet.broken:
            kids.append("9999 0 R")
            continue
        objects.append(f"<</Length {len(sheet.content)}>>stream\n{sheet.content}\nendstream")
        number = len(objects)
        fonts = {"F1": HELVETICA, "F2": BOLD, **sheet.fonts}
        listed = "".join(f"/{name} {value}" for name, value in fonts.items())
        box = " ".join(map(str, sheet.box))
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[{box}]/Contents {number} 0 R"
            f"/Resources<</Font<<{listed}>>>>{sheet.more}>>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[0] = f"<</Type/Catalog/Pages 2 0 R{catalog}>>"
    objects[1] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(kids)}]>>"
    made = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(made)
    made += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    made += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    made += f"trailer<</Size {len(objects) + 1}/Root 1 0 R/Info 3 0 R>>\nstartxref\n{start}\n%%EOF".encode()
    return bytes(made)


def font_for(letters: str, first: int = 0x41) -> tuple[dict[str, str], list[str]]:
    """A font “T” in which A, B, C … stand for ``letters``, and the object 4 that it needs."""
    pairs = "\n".join(
        f"<{first + number:02X}> <{letter.encode('utf-16-be').hex()}>"
        for number, letter in enumerate(letters)
    )
    stream = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        f"1 begincodespacerange <00> <FF> endcodespacerange\n{len(letters)} beginbfchar\n{pairs}\nendbfchar\n"
        "endcmap CMapName currentdict /CMap defineresource pop end end"
    )
    font = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 4 0 R>>"
    return {"T": font}, [f"<</Length {len(stream)}>>stream\n{stream}\nendstream"]

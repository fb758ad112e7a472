"""Small Office files for the tests: made by their libraries, then patched in their XML."""

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from types import ModuleType

import docx
from docx.document import Document

from localai_app.documents.document import BlockKind, Facts, MarkKind, Page
from localai_app.documents.readers.dispatch import delivered
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import USUAL, Finished, Job, Limits, PageRead, Refused
from tests.documents.readers.reading_helper import check

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
NAMESPACES = (
    f'xmlns:w="{W}" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:v="urn:schemas-microsoft-com:vml" '
    'xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml"'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def read(
    reader: ModuleType,
    data: bytes,
    *,
    limits: Limits = USUAL,
    skip: tuple[int, ...] = (),
) -> tuple[list[Page], Facts]:
    """All pages and the facts."""
    job = Job("", 0, limits=limits, skip_pages=skip)
    answers = list(delivered(reader.read(data, job), job))
    assert isinstance(answers[-1], Finished)
    pages = [answer.page for answer in answers if isinstance(answer, PageRead)]
    for page in pages:
        check(page)
    return pages, answers[-1].facts


def refusal(reader: ModuleType, data: bytes, **options: object) -> Refused:
    """What the reader says instead of an answer."""
    try:
        read(reader, data, **options)  # type: ignore[arg-type]
    except ReadRefused as refused:
        return refused.refused
    raise AssertionError("it was read")


def blocks(page: Page) -> list[tuple[str, str]]:
    """Kind and text of each block."""
    return [(block.kind.value, page.text[block.start : block.end]) for block in page.blocks]


def of_kind(page: Page, kind: BlockKind) -> list[str]:
    """Texts of the blocks of a kind."""
    return [text for name, text in blocks(page) if name == kind.value]


def marked(page: Page, kind: MarkKind) -> list[tuple[str, str]]:
    """Text and note of each mark of a kind."""
    return [(page.text[mark.start : mark.end], mark.note) for mark in page.marks if mark.kind is kind]


def rezip(
    data: bytes,
    changed: Mapping[str, str | bytes | Callable[[str], str]] | None = None,
    added: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """The archive with entries replaced, edited or added."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out,
    ):
        for name in source.namelist():
            content: str | bytes = source.read(name)
            change = (changed or {}).get(name)
            if callable(change):
                content = change(content.decode())  # type: ignore[union-attr]
            elif change is not None:
                content = change
            out.writestr(name, content)
        for name, content in (added or {}).items():
            out.writestr(name, content)
    return target.getvalue()


def word(make: Callable[[Document], None] | None = None) -> bytes:
    """A Word file as python-docx makes it."""
    document = docx.Document()
    if make:
        make(document)
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def word_of(
    body: str, parts: Mapping[str, str] | None = None, numbering: str = "", settings: str = ""
) -> bytes:
    """A Word file whose body, and other parts by their kind (``footnotes``), are this XML."""
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?><w:document {NAMESPACES}><w:body>{body}</w:body></w:document>'
    )
    relationships = ""
    added = {}
    for kind, content in (parts or {}).items():
        stem = re.sub(r"\d", "", kind)
        relationships += f'<Relationship Id="x{kind}" Type="{_OFFICE}/{stem}" Target="{kind}.xml"/>'
        added[f"word/{kind}.xml"] = f"<w:{_ROOTS[stem]} {NAMESPACES}>{content}</w:{_ROOTS[stem]}>"
    relationships += (
        f'<Relationship Id="link" Type="{_OFFICE}/hyperlink" Target="https://example.org/terms" '
        'TargetMode="External"/>'
    )
    changed: dict[str, str | bytes | Callable[[str], str]] = {
        "word/document.xml": xml,
        "word/_rels/document.xml.rels": lambda rels: rels.replace(
            "</Relationships>", f"{relationships}</Relationships>"
        ),
    }
    if numbering:
        changed["word/numbering.xml"] = f"<w:numbering {NAMESPACES}>{numbering}</w:numbering>"
    if settings:
        changed["word/settings.xml"] = f"<w:settings {NAMESPACES}>{settings}</w:settings>"
    return rezip(word(), changed, added)


_ROOTS = {
    "footnotes": "footnotes",
    "endnotes": "endnotes",
    "comments": "comments",
    "header": "hdr",
    "footer": "ftr",
}


def p(*runs: str, properties: str = "") -> str:
    """A paragraph of runs; bare words become one."""
    inner = "".join(run if run.startswith("<") else r(run) for run in runs)
    return f"<w:p><w:pPr>{properties}</w:pPr>{inner}</w:p>"


def r(text: str, properties: str = "") -> str:
    """A run."""
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'

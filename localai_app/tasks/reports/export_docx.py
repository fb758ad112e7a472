"""The report of a run as a Word document: its own text alone, no links, no external parts."""

import copy
import io
import unicodedata
from collections.abc import Sequence
from typing import Any

import docx
from docx.enum.section import WD_ORIENT
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Mm, Pt, RGBColor

from localai_app.store.harmless import in_order, printable
from localai_app.tasks.reports import report
from localai_app.tasks.reports.report import Facts, Heading, Line, Table
from localai_app.tasks.run import Item, Run

_LONG_SIDE, _SHORT_SIDE, _MARGIN = Mm(297), Mm(210), Mm(18)
_WARNING = RGBColor(0x9A, 0x34, 0x12)
_SMALL = Pt(8)
_HEAD_FILL = "ECEBF5"


def write(run: Run, items: Sequence[Item]) -> bytes:
    """The document's bytes."""
    writer = _Writer(run.title)
    for block in report.blocks(run, items):
        match block:
            case Heading():
                writer.heading(block)
            case Line():
                writer.line(block)
            case Facts():
                writer.facts(block)
            case Table():
                writer.table(block)
    return writer.content()


class _Writer:
    def __init__(self, title: str) -> None:
        self._document = docx.Document()
        self._document.core_properties.title = printable(title)[:255]
        self._document.core_properties.author = ""
        section = self._document.sections[0]
        section.orientation = WD_ORIENT.LANDSCAPE
        section.page_width, section.page_height = _LONG_SIDE, _SHORT_SIDE
        section.left_margin = section.right_margin = _MARGIN
        section.top_margin = section.bottom_margin = _MARGIN
        self._width = _LONG_SIDE - 2 * _MARGIN
        self._document.styles["Normal"].font.size = Pt(9)
        self._document.styles["Footer"].font.size = _SMALL
        _number_pages(section.footer.paragraphs[0], title)

    def content(self) -> bytes:
        """The bytes of the file."""
        file = io.BytesIO()
        self._document.save(file)
        return file.getvalue()

    def heading(self, block: Heading) -> None:
        """A heading; the title is one of its own kind."""
        _fill(self._document.add_heading(level=block.level - 1), block.text)

    def line(self, block: Line) -> None:
        """A paragraph."""
        run = _fill(self._document.add_paragraph(), block.text)
        if block.warning:
            run.bold = True
            run.font.color.rgb = _WARNING

    def facts(self, block: Facts) -> None:
        """Names and values side by side."""
        rows = tuple(pair for pair in block.pairs if pair[1])
        self._add_table(rows, (0.2, 0.8), bold_first=True)

    def table(self, block: Table) -> None:
        """A table whose head is repeated on every page."""
        self._add_table((block.head, *block.rows), block.widths, head=True)

    def _add_table(
        self,
        rows: Sequence[Sequence[str]],
        shares: Sequence[float],
        *,
        head: bool = False,
        bold_first: bool = False,
    ) -> None:
        """Rows are copies of an empty one: python-docx counts all cells at each access to one."""
        table = self._document.add_table(rows=1, cols=len(shares), style="Table Grid" if head else None)
        table.autofit = False
        widths = [int(self._width * share) for share in shares]
        for column, width in zip(table.columns, widths, strict=True):
            column.width = width
            column.cells[0].width = width
        first = table.rows[0]._tr
        empty = copy.deepcopy(first)
        for number, cells in enumerate(rows):
            row = first if number == 0 else copy.deepcopy(empty)
            if number:
                table._tbl.append(row)
            _keep_whole(row, repeat=head and number == 0)
            for place, (cell, text) in enumerate(zip(row.tc_lst, cells, strict=True)):
                paragraph = docx.text.paragraph.Paragraph(cell.p_lst[0], table)
                paragraph.paragraph_format.space_after = Pt(1)
                run = _fill(paragraph, text, _SMALL)
                run.bold = (head and number == 0) or (bold_first and place == 0) or None
                if head and number == 0:
                    _shade(cell)
        self._document.add_paragraph().paragraph_format.space_after = Pt(2)


def _fill(paragraph: Any, text: str, size: Any = None) -> Any:
    """Write ``text``, from the right where its first letter is of such a script."""
    run = paragraph.add_run(in_order(printable(text)))
    run.font.size = size
    first = next((one for each in text if (one := unicodedata.bidirectional(each)) in ("L", "R", "AL")), "L")
    if first != "L":
        paragraph._p.get_or_add_pPr().append(OxmlElement("w:bidi"))
        run.font.rtl = True
        if size is not None:  # scripts from the right have a size of their own
            own_size = OxmlElement("w:szCs")
            own_size.set(qn("w:val"), str(int(size.pt * 2)))
            run._r.get_or_add_rPr().append(own_size)
    return run


def _keep_whole(row: Any, *, repeat: bool) -> None:
    """A short row is not divided by a page's end; the head stands on every page."""
    properties = row.get_or_add_trPr()
    properties.append(OxmlElement("w:tblHeader" if repeat else "w:cantSplit"))


def _shade(cell: Any) -> None:
    shading = OxmlElement("w:shd")
    shading.set(qn("w:val"), "clear")
    shading.set(qn("w:fill"), _HEAD_FILL)
    cell.get_or_add_tcPr().append(shading)


def _number_pages(paragraph: Any, title: str) -> None:
    """“Extract · Invoice — 3 / 12” at the foot of every page."""
    paragraph.add_run(f"{in_order(printable(title))} — ")
    for field, behind in (("PAGE", " / "), ("NUMPAGES", "")):
        simple = OxmlElement("w:fldSimple")
        simple.set(qn("w:instr"), field)
        paragraph._p.append(simple)
        if behind:
            paragraph.add_run(behind)

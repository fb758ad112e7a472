import datetime
import io
import os
import re
import time
import tracemalloc
from pathlib import Path

import openpyxl
import pytest
from openpyxl.comments import Comment

from localai_app.documents.document import BlockKind, MarkKind, PageKind, TextSource
from localai_app.documents.readers import xlsx as reader
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import Limits
from tests.documents.readers.office_files import blocks, marked, of_kind, read, refusal, rezip, word

SHEET = "xl/worksheets/sheet1.xml"


def workbook(make):
    book = openpyxl.Workbook()
    make(book)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def pages_of(make):
    return read(reader, workbook(make))


def test_cells_are_shown_by_their_formats_and_merged_ones_once():
    def make(book):
        sheet = book.active
        sheet.title = "Sales"
        sheet.merge_cells("A1:D1")
        sheet["A1"] = "Report 2024"
        for column, (value, code) in enumerate(
            (
                (1234.5, '#,##0.00 "€"'),
                (0.256, "0.0%"),
                (datetime.date(2024, 2, 29), "dd.mm.yyyy"),
                (True, "General"),
            ),
            1,
        ):
            sheet.cell(2, column, value).number_format = code
        sheet["C3"] = "a\nb"

    pages, facts = pages_of(make)
    assert (pages[0].kind, pages[0].label, facts.format) == (PageKind.SHEET, "Sales", "xlsx")
    assert pages[0].text == "Report 2024\n1,234.50 € | 25.6% | 29.02.2024 | TRUE\n |  | a b"


def test_regions_apart_are_tables_of_their_own_and_far_cells_cost_nothing():
    def make(book):
        book.active["A1"], book.active["B1"] = "a", "b"
        book.active["C4"] = "lower"
        book.active["XFD1048576"] = "far"

    started = time.process_time()
    pages, _ = pages_of(make)
    assert blocks(pages[0]) == [("table", "a | b"), ("table", "lower"), ("table", "far")]
    assert time.process_time() - started < 2


def test_a_scattered_sheet_is_not_laid_out_as_a_rectangle():
    def make(book):
        for at in range(1, 400):
            book.active.cell(at, at * 40, f"v{at}")

    pages, _ = pages_of(make)
    assert pages[0].text.split("\n") == [f"v{at}" for at in range(1, 400)]


def test_hidden_sheets_rows_columns_and_values_are_there_and_marked():
    def make(book):
        sheet = book.active
        for row in ((1, "open", "column"), (2, "row", "both"), (3, "last", "x")):
            sheet.append(row)
        sheet.row_dimensions[2].hidden = True
        sheet.column_dimensions["C"].hidden = True
        sheet["A3"].number_format = ";;;"
        other = book.create_sheet("Back")
        other["A1"] = "secret"
        other.sheet_state = "veryHidden"

    pages, _ = pages_of(make)
    assert pages[0].text == "1 | open | column\n2 | row | both\n3 | last | x"
    assert marked(pages[0], MarkKind.HIDDEN) == [
        ("column", "hidden column"),
        ("2 | row | both", "hidden row"),
        ("both", "hidden column"),
        ("3", "hidden by its number format"),
        ("x", "hidden column"),
    ]
    assert marked(pages[1], MarkKind.HIDDEN) == [("secret", "hidden sheet")]


def test_a_formula_shows_its_value_or_else_itself_with_a_warning():
    def make(book):
        book.active["A1"], book.active["A2"] = "=1+1", "=2*3"

    def store_value(xml):
        return re.sub(r"<f>1\+1</f><v\s*(/>|></v>)", "<f>1+1</f><v>2</v>", xml)

    data = rezip(workbook(make), {SHEET: store_value})
    pages, facts = read(reader, data)
    assert pages[0].text == "2\n=2*3"
    assert facts.warnings == (
        "Sheet “Sheet”: 1 formulas have no stored value; the formula is shown instead (A2). "
        "Open it in Excel, save it anew, and add that.",
    )


@pytest.mark.parametrize("kept", [{"freeze_panes": "A2"}, {"print_title_rows": "1:1"}])
def test_a_long_sheet_is_several_pages_and_rows_kept_in_sight_stand_on_each(kept):
    def make(book):
        sheet = book.active
        sheet.title = "Log"
        for name, rows in kept.items():
            setattr(sheet, name, rows)
        sheet.append(["Id", "Value"])
        for at in range(1, 1_100):
            sheet.append([at, at * 2])

    pages, facts = pages_of(make)
    assert [page.label for page in pages] == ["Log, rows 1–500", "Log, rows 501–1000", "Log, rows 1001–1100"]
    assert [page.text.split("\n")[:2] for page in pages] == [
        ["Id | Value", "1 | 2"],
        ["Id | Value", "500 | 1000"],
        ["Id | Value", "1000 | 2000"],
    ]
    assert sum(page.text.count("\n") + 1 for page in pages) == 1_100 + 2
    assert facts.pages == 3


def test_comments_name_their_cell_and_author():
    def make(book):
        book.active["B2"] = 5
        book.active["B2"].comment = Comment("Anna:\nCheck this", "Anna")

    pages, _ = pages_of(make)
    assert of_kind(pages[0], BlockKind.COMMENT) == ["Comment by Anna on B2: Check this"]


def test_charts_headers_and_shared_strings_are_read():
    def make(book):
        sheet = book.active
        for row in (("Month", "Sales"), ("May", 7), ("June", 9)):
            sheet.append(row)
        chart = openpyxl.chart.BarChart()
        chart.title = "Growth"
        chart.add_data(
            openpyxl.chart.Reference(sheet, min_col=2, min_row=1, max_row=3), titles_from_data=True
        )
        sheet.add_chart(chart, "E5")
        sheet.oddHeader.center.text = "Draft &P"

    pages, _ = pages_of(make)
    found = blocks(pages[0])
    assert ("text_box", "Growth") in found
    assert ("header", "Draft") in found
    assert found[0] == ("table", "Month | Sales\nMay | 7\nJune | 9")


def test_escaped_characters_and_readings_of_strings_are_put_right():
    def make(book):
        book.active["A1"] = "x"

    inline = (
        '<c r="A1" t="inlineStr"><is><r><t>line_x000D_</t></r><r><t> end</t></r>'
        '<rPh sb="0" eb="1"><t>kana</t></rPh></is></c>'
    )
    data = rezip(workbook(make), {SHEET: lambda xml: _replace_cell(xml, inline)})
    assert read(reader, data)[0][0].text == "line  end"


def _replace_cell(xml, cell):
    start, end = xml.index("<c "), xml.index("</c>") + 4
    return xml[:start] + cell + xml[end:]


def test_a_sheet_that_is_missing_is_a_page_that_says_so():
    def make(book):
        book.active["A1"] = "here"
        book.create_sheet("Gone")

    data = rezip(
        workbook(make),
        {"xl/_rels/workbook.xml.rels": lambda rels: rels.replace("sheet2.xml", "sheet9.xml")},
    )
    pages, _ = read(reader, data)
    assert (pages[1].label, pages[1].source, pages[1].unread) == (
        "Gone",
        TextSource.NONE,
        "The file does not hold this sheet.",
    )


def test_other_formats_and_empty_workbooks_are_refused_clearly():
    assert refusal(reader, word()).code == "format"
    assert refusal(reader, workbook(lambda book: None)).code == "empty"


def test_a_document_type_in_a_sheet_is_refused():
    def make(book):
        book.active["A1"] = "x"

    data = rezip(workbook(make), {SHEET: lambda xml: '<!DOCTYPE x [<!ENTITY a "b">]>' + xml})
    assert "document type" in refusal(reader, data).message


def test_a_row_of_a_million_cells_is_refused_with_little_memory():
    def make(book):
        book.active["A1"] = "x"

    row = "<row>" + "<c/>" * 300_000 + "</row>"
    data = rezip(workbook(make), {SHEET: lambda xml: xml.replace("<sheetData>", f"<sheetData>{row}")})
    tracemalloc.start()
    try:
        assert refusal(reader, data, limits=Limits(ratio=10_000)).code == "broken"
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(
    not os.environ.get("LOCALAI_APP_EVAL"), reason="LOCALAI_APP_EVAL names no folder of real files"
)
@pytest.mark.filterwarnings("ignore")
def test_every_text_of_real_workbooks_is_on_a_page():
    compared = 0
    for path in sorted(Path(os.environ["LOCALAI_APP_EVAL"], "awkward").rglob("*.xlsx")):
        try:
            pages, _ = read(reader, path.read_bytes())
        except ReadRefused:
            continue
        try:
            book = openpyxl.load_workbook(path, data_only=True)
        except Exception:  # openpyxl cannot read it
            continue
        text = "".join("".join(page.text for page in pages).split())
        for sheet in book.worksheets:
            for cell in (cell for row in sheet.iter_rows() for cell in row if isinstance(cell.value, str)):
                assert "".join(cell.value.split()) in text, (path.name, sheet.title, cell.coordinate)
                compared += 1
    assert compared > 1_000

import csv
import io
import json
import re
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from localai_app.errors import LocalAIError, UsageError
from localai_app.tasks.reports import export, export_pdf
from localai_app.tasks.run import Item, Run, RunState
from localai_app.tasks.task import Column, Decision, Finding, Form, Outcome, Verdict
from tests.tasks.finished import failed, item, proof, run, waiting

HOSTILE = (
    '=HYPERLINK("http://evil.example","x")',
    "@SUM(1)",
    "\x00\x07\x1b[31m",
    "invoice\u202efdp.exe",
    "two\nlines\r\nthree",
    "![x](http://evil.example/x.png) <img src=x onerror=alert(1)>",
    '#eval("1") $x$ *a* #import "x"',
    "emoji 😀👨‍👩‍👧 \U0010ffff",
    "فاتورة 請求書 शक्ति",
    "</w:t><w:t>&amp;_x000D_",
    "a" * 100_000,
)


def written(folder: Path, fmt: str, made: Run, items: list[Item]) -> bytes:
    path = folder / f"results.{fmt}"
    assert export.write(made, items, path) == path.stat().st_size
    return path.read_bytes()


def workbook(data: bytes) -> dict[str, list[list[Any]]]:
    book = openpyxl.load_workbook(io.BytesIO(data))
    return {sheet.title: [[cell.value for cell in row] for row in sheet.rows] for sheet in book}


def by_head(rows: list[list[Any]], number: int = 1) -> dict[str, Any]:
    return dict(zip(rows[0], rows[number], strict=True))


def pdf_text(data: bytes) -> str:
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages)
    return text.replace("\u200b", "")


def of_text(text: str) -> tuple[Run, list[Item]]:
    """A run in which every text is that one."""
    columns = (
        Column("x", text),
        Column("n", "N", Form.AMOUNT),
        Column("l", text, Form.LIST, (Column("p", text),)),
    )
    found = Outcome(
        (
            Finding("x", shown=text, value=text, original=text, evidence=(proof(1, "INV-7"),)),
            Finding("n", shown=text, value=1.5),
            Finding("l", 0, "p", shown=text, value=text),
        ),
        notes=(text,),
    )
    decided = (Decision("x/0/", Verdict.CORRECTED, text, text, text),)
    items = [item(name=text, outcome=found, decisions=decided), failed(2, text, text)]
    return run(columns, title=text, where=text), items


# ---------------------------------------------------------------- where to


def test_the_ending_says_the_format_unless_one_is_named() -> None:
    assert export.format_of(Path("a.XLSX")) == "xlsx"
    assert export.format_of(Path("a.txt"), "md") == "md"
    for path, named in ((Path("a"), ""), (Path("a.exe"), ""), (Path("a.md"), "exe")):
        with pytest.raises(UsageError):
            export.format_of(path, named)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.md"
    path.write_text("before", "utf-8")
    with pytest.raises(LocalAIError, match="cannot be written"):
        export.write(run(), [item()], tmp_path / "none" / "a.md")
    export.write(run(), [item()], path)
    assert path.read_text("utf-8").startswith("# Extract · Invoice")
    assert [one.name for one in tmp_path.iterdir()] == ["a.md"]
    assert path.stat().st_mode & 0o077 == 0


# ---------------------------------------------------------------- Excel


def test_a_workbook_holds_numbers_dates_and_truths_as_such(tmp_path: Path) -> None:
    data = written(tmp_path, "xlsx", run(), [item()])
    sheets = workbook(data)
    assert list(sheets) == ["Results", "Tags", "Line items", "Evidence", "Coverage", "Run"]
    row = by_head(sheets["Results"])
    assert (row["Total"], row["Date"], row["Paid"]) == (4018.22, datetime(2026, 11, 3), False)
    assert (row["Supplier"], row["Tags"]) == ("Müller & Söhne GmbH", "hardware")
    assert row["Line items"] == "Widget, 2, 1,200.50\nGadget, 1, 2,817.72"
    assert (row["In doubt"], row["Corrected"], row["Rejected"]) == ("Total", "Supplier", "Tags 2")
    assert by_head(sheets["Line items"], 2) == {
        "Document": "invoice-7.pdf",
        "No.": 2,
        "What": "Gadget",
        "Quantity": 1,
        "Price": 2817.72,
        "Where": "page 2",
    }
    book = openpyxl.load_workbook(io.BytesIO(data))
    formats = {cell.value: cell.number_format for cell in book["Results"][2]}
    assert formats[4018.22] == '"EUR "#,##0.00'
    for sheet in book:
        assert sheet.freeze_panes == "B2"
        assert sheet.auto_filter.ref == sheet.dimensions


def test_a_workbook_holds_the_evidence_and_the_coverage(tmp_path: Path) -> None:
    sheets = workbook(written(tmp_path, "xlsx", run(), [item(), failed(2, "b.pdf", "It is encrypted.")]))
    total = next(
        by_head(sheets["Evidence"], number)
        for number in range(1, len(sheets["Evidence"]))
        if sheets["Evidence"][number][1] == "Total"
    )
    assert (total["Page"], total["Quotation"], total["Verified"]) == (2, "EUR 4,018.22", "verified")
    assert (total["In doubt because"], total["Other values"]) == ("Lines sum to 5,218.72.", "EUR 5,218.72")
    paid = next(row for row in sheets["Evidence"] if row[1] == "Paid")
    assert paid[7:9] == [None, "not verified"]
    supplier = next(row for row in sheets["Evidence"] if row[1] == "Supplier")
    assert supplier[2:4] == ["Müller & Söhne GmbH", "Müller & Söhne"]
    assert supplier[12:16] == ["corrected", "Müller & Söhne GmbH", "mira", "2026-11-20T15:00:09Z"]
    done, broken = by_head(sheets["Coverage"], 1), by_head(sheets["Coverage"], 2)
    assert (done["In all"], done["Read"], done["Not read"], done["Claims dropped"]) == (3, 2, 1, 2)
    assert done["Which, and why"] == "page 3: it is a scan, and text recognition is not installed"
    assert (broken["State"], broken["Error"]) == ("failed", "It is encrypted.")


@pytest.mark.parametrize(
    ("value", "shown", "cell", "number_format"),
    [
        (4018.22, "4.018,22 €", 4018.22, '#,##0.00" €"'),
        (4018, "4,018", 4018, "#,##0"),
        (4.018, "4,018", 4.018, "0.000"),
        (-3.5, "-3.50", -3.5, "0.00"),
        (12, "12 kg", 12, '0" kg"'),
        (19, "19 %", 19, '0" %"'),
        (1234567.5, "1 234 567,50 USD", 1234567.5, '#,##0.00" USD"'),
        # No format shows these numbers as they are meant: they stay text.
        (0.19, "19 %", "19 %", "General"),
        (-3, "(3)", "(3)", "General"),
        (3, 'a"b;[red] 3', 'a"b;[red] 3', "General"),
        (1e15, "10^15", "10^15", "General"),
    ],
)
def test_a_number_is_shown_with_its_currency_or_stays_text(
    tmp_path: Path, value: float, shown: str, cell: object, number_format: str
) -> None:
    found = item(outcome=Outcome((Finding("n", value=value, shown=shown),)), decisions=())
    data = written(tmp_path, "xlsx", run((Column("n", "N", Form.AMOUNT),)), [found])
    there = openpyxl.load_workbook(io.BytesIO(data))["Results"]["B2"]
    assert (there.value, there.number_format) == (cell, number_format)


def test_nothing_in_a_workbook_is_a_formula_or_leads_out_of_it(tmp_path: Path) -> None:
    for text in HOSTILE:
        data = written(tmp_path, "xlsx", *of_text(text))
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                content = archive.read(name)
                assert b"<f>" not in content, name
                assert b"<hyperlink" not in content, name
                assert b'TargetMode="External"' not in content
        cells = [cell for rows in workbook(data).values() for row in rows for cell in row]
        assert not any(cell.startswith("#") and cell.endswith("!") for cell in cells if isinstance(cell, str))


def test_what_no_cell_holds_is_cut_and_says_so(tmp_path: Path) -> None:
    for text in ("a" * 100_000, "😀" * 20_000):
        cell = workbook(written(tmp_path, "xlsx", *of_text(text)))["Results"][1][0]
        assert cell.endswith("the JSON export has all of it)")
        assert len(cell.encode("utf-16-le")) <= 2 * 32_767
    whole = "😀" * 16_383
    assert workbook(written(tmp_path, "xlsx", *of_text(whole)))["Results"][1][0] == whole


def test_sheets_have_names_that_a_workbook_may_have(tmp_path: Path) -> None:
    titles = ("Evidence", "evidence", "a/b:[c]*?", "History", "", "x" * 50, "x" * 50, "😀" * 20)
    columns = tuple(Column(f"c{number}", title, Form.LIST) for number, title in enumerate(titles))
    names = list(workbook(written(tmp_path, "xlsx", run(columns), [item()])))
    assert len({name.casefold() for name in names}) == len(names) == len(titles) + 4
    assert all(len(name.encode("utf-16-le")) <= 62 for name in names)


def test_an_old_date_that_excel_does_not_know_stays_text(tmp_path: Path) -> None:
    found = item(outcome=Outcome((Finding("d", value="1789-07-14", shown="1789-07-14"),)), decisions=())
    sheets = workbook(written(tmp_path, "xlsx", run((Column("d", "D", Form.DATE),)), [found]))
    assert sheets["Results"][1][1] == "1789-07-14"


# ---------------------------------------------------------------- CSV, JSON, Markdown


def rows_of(data: bytes) -> list[list[str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_a_csv_file_has_a_row_for_each_document(tmp_path: Path) -> None:
    data = written(tmp_path, "csv", run(state=RunState.PAUSED), [item(), waiting(2, "b.pdf")])
    head, first, second = rows_of(data)
    assert head[:4] == ["Document", "Invoice number", "Date", "Total"]
    row = dict(zip(head, first, strict=True))
    assert (row["Total"], row["Date"], row["Supplier"]) == (
        "EUR 4,018.22",
        "2026-11-03",
        "Müller & Söhne GmbH",
    )
    assert (row["Corrected"], row["Rejected"], row["In doubt"]) == ("Supplier", "Tags 2", "Total")
    assert (second[0], dict(zip(head, second, strict=True))["State"]) == ("b.pdf", "not done yet")
    assert first[-1] == second[-1] == "unfinished"


def test_a_number_in_a_csv_file_is_one_and_a_formula_is_none(tmp_path: Path) -> None:
    found = Outcome((Finding("n", value=-12.5, shown="-12.50"), Finding("x", value="=1+1", shown="=1+1")))
    columns = (Column("n", "N", Form.NUMBER), Column("x", "=X"))
    made = item(name="-b.pdf", outcome=found, decisions=())
    head, row = rows_of(written(tmp_path, "csv", run(columns), [made]))
    assert head[2] == "'=X"
    assert row[:3] == ["'-b.pdf", "-12.5", "'=1+1"]


def test_json_holds_everything(tmp_path: Path) -> None:
    content = json.loads(written(tmp_path, "json", run(), [item(), waiting(2, "b.pdf")]))
    assert (content["format"], content["version"]) == ("localai-app/task-results", 1)
    assert content["unfinished"] == "Unfinished: 1 of 2 documents are not done."
    assert content["run"]["options"]["template"] == "invoice"
    first, second = content["items"]
    assert first["values"]["supplier"] == "Müller & Söhne GmbH"
    assert first["values"]["tags"] == ["hardware", ""]
    assert first["values"]["lines"][1] == {"what": "Gadget", "quantity": "1", "price": "2,817.72"}
    assert first["outcome"]["findings"][0]["evidence"][0]["quotation"] == "INV-7"
    assert len(first["decisions"]) == 3
    assert second["outcome"] is None


def test_json_has_every_text_as_it_is(tmp_path: Path) -> None:
    for text in HOSTILE:
        content = json.loads(written(tmp_path, "json", *of_text(text)))
        assert content["items"][0]["document_name"] == text
        assert content["items"][0]["values"]["x"] == text


def test_markdown_is_a_table_and_nothing_that_loads_or_links(tmp_path: Path) -> None:
    for text in HOSTILE[:-1]:
        source = written(tmp_path, "md", *of_text(text)).decode()
        tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(source)
        inside = [child for token in tokens for child in token.children or []]
        assert not {token.type for token in [*tokens, *inside]} & {
            *("html_block", "html_inline", "image", "link_open", "code_inline", "fence", "em_open")
        }
        assert [token.type for token in tokens].count("table_open") >= 3


# ---------------------------------------------------------------- Word and PDF


REPORTED = (
    *("Extract · Invoice", "Qwen2.5-Coder-1.5B-Instruct", "ab" * 32, "2 of 3 pages", "EUR 4,018.22"),
    *("Müller & Söhne GmbH (corrected)", "(rejected: urgent)", "Lines sum to 5,218.72", "3 November 2026"),
    *("it is a scan, and text recognition is not installed", "mira", "It is encrypted.", "late.pdf"),
    *("Unfinished: 1 of 3 documents are not done. It is paused.", "Looks like an instruction to the model"),
    *("2 statements of the model stand nowhere in the document", "llama.cpp b6800", "Gadget"),
)


def docx_text(data: bytes) -> str:
    document = docx.Document(io.BytesIO(data))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(one.text for one in document.paragraphs), *cells])


@pytest.mark.parametrize(("fmt", "read"), [("docx", docx_text), ("pdf", pdf_text)])
def test_a_report_tells_all_of_it(tmp_path: Path, fmt: str, read: Any) -> None:
    items = [item(), failed(2, "b.pdf", "It is encrypted."), waiting(3, "late.pdf")]
    text = " ".join(read(written(tmp_path, fmt, run(state=RunState.PAUSED), items)).split())
    squeezed = text.replace(" ", "")
    for words in REPORTED:
        assert words.replace(" ", "") in squeezed, words


def test_a_word_report_numbers_its_pages_and_repeats_the_heads_of_tables(tmp_path: Path) -> None:
    document = docx.Document(io.BytesIO(written(tmp_path, "docx", run(), [item()])))
    footer = document.sections[0].footer._element.xml
    assert 'w:instr="PAGE"' in footer
    assert 'w:instr="NUMPAGES"' in footer
    assert document.element.xml.count("<w:tblHeader") == 5
    assert not [one for one in document.part.rels.values() if one.is_external]


def test_a_pdf_report_is_of_the_kind_for_archives_and_numbers_its_pages(tmp_path: Path) -> None:
    data = written(tmp_path, "pdf", run(), [item(number, f"{number}.pdf") for number in range(1, 9)])
    reader = pypdf.PdfReader(io.BytesIO(data))
    assert len(reader.pages) > 2
    last = len(reader.pages)
    assert f"Extract · Invoice — {last} / {last}" in reader.pages[-1].extract_text()
    assert b"<pdfaid:part>2</pdfaid:part>" in data
    assert data == written(tmp_path, "pdf", run(), [item(n, f"{n}.pdf") for n in range(1, 9)])
    assert not any("/URI" in str(page.get("/Annots", "")) for page in reader.pages)


def test_a_pdf_report_gives_the_number_of_what_no_font_shows(tmp_path: Path) -> None:
    text = pdf_text(written(tmp_path, "pdf", *of_text("seen \U0010ffff\U000f1234 seen")))
    assert "No font of the computer" in text
    assert "seen [U+10FFFF][U+F1234] seen" in " ".join(text.split())


def test_a_pdf_report_that_cannot_be_set_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_pdf, "_TEMPLATE", "#panic()")
    with pytest.raises(LocalAIError, match="cannot be written as PDF") as caught:
        export_pdf.write(run(), [item()])
    assert "Word or Markdown" in caught.value.hint


@pytest.mark.parametrize("fmt", ["docx", "pdf"])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_a_report(tmp_path: Path, fmt: str, text: str) -> None:
    data = written(tmp_path, fmt, *of_text(text))
    shown = docx_text(data) if fmt == "docx" else pdf_text(data)
    letters = re.sub(r"[^a-z]", "", text[:50])
    assert letters in re.sub(r"[^a-z]", "", shown)
    assert "\u202e" not in shown
    assert not any(word in data for word in (b"/URI", b"/JavaScript", b"/Launch"))


# ---------------------------------------------------------------- any text


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_can_be_exported(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    for fmt in ("xlsx", "csv", "json", "md"):
        data = written(folder, fmt, *of_text(text))
        if fmt == "xlsx":
            assert len(workbook(data)["Results"]) == 3
        elif fmt == "csv":
            assert len(rows_of(data)) == 3
        elif fmt == "json":
            assert len(json.loads(data)["items"]) == 2


@settings(max_examples=8, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_reported(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert pypdf.PdfReader(io.BytesIO(written(folder, "pdf", *of_text(text)))).pages
    assert docx.Document(io.BytesIO(written(folder, "docx", *of_text(text)))).tables

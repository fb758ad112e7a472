import io
import os
import re
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from lxml import etree

from localai_app.documents.document import BlockKind, MarkKind, PageKind
from localai_app.documents.readers import docx as reader
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import SAVE_ANEW, Limits
from tests.documents.readers.office_files import (
    W,
    blocks,
    marked,
    of_kind,
    p,
    r,
    read,
    refusal,
    rezip,
    word,
    word_of,
)

BY = 'w:author="Anna Berg" w:date="2024-03-01T10:30:00Z"'


def page_of(body, **parts):
    pages, _ = read(reader, word_of(body, **parts))
    assert len(pages) == 1
    return pages[0]


# ---------------------------------------------------------------- tracked changes


def test_inserted_not_and_deleted_words_stand_in_place_with_author_and_date():
    page = page_of(
        p(
            "The supplier shall ",
            f'<w:ins w:id="1" {BY}>{r("NOT ")}</w:ins>',
            f'<w:del w:id="2" {BY}><w:r><w:delText xml:space="preserve">ever </w:delText></w:r></w:del>',
            "be liable.",
        )
    )
    assert page.text == "The supplier shall NOT ever be liable."
    assert marked(page, MarkKind.INSERTED) == [("NOT ", "Anna Berg, 2024-03-01 10:30")]
    assert marked(page, MarkKind.DELETED) == [("ever ", "Anna Berg, 2024-03-01 10:30")]


def test_a_move_is_a_deletion_here_and_an_insertion_there():
    page = page_of(
        p(f'<w:moveFrom w:id="1" {BY}>{r("Clause A")}</w:moveFrom>')
        + p(f'<w:moveTo w:id="2" {BY}>{r("Clause A")}</w:moveTo>')
    )
    assert marked(page, MarkKind.DELETED) == [("Clause A", "moved away, Anna Berg, 2024-03-01 10:30")]
    assert marked(page, MarkKind.INSERTED) == [("Clause A", "moved here, Anna Berg, 2024-03-01 10:30")]


def test_inserted_rows_and_whole_inserted_blocks_are_marked():
    row = f'<w:tr><w:trPr><w:ins w:id="1" {BY}/></w:trPr><w:tc>{p("a")}</w:tc><w:tc>{p("b")}</w:tc></w:tr>'
    page = page_of(f'<w:tbl>{row}</w:tbl><w:ins w:id="2" {BY}>{p("whole")}</w:ins>')
    assert [text for text, _ in marked(page, MarkKind.INSERTED)] == ["a | b\n\nwhole"]


# ---------------------------------------------------------------- notes, comments, boxes


def test_footnotes_follow_their_paragraph_and_endnotes_the_whole_text():
    notes = "".join(f'<w:footnote w:id="{at}">{p(f"note {at}")}</w:footnote>' for at in (2, 3, 9))
    page = page_of(
        p("First", '<w:r><w:footnoteReference w:id="3"/></w:r>', '<w:r><w:endnoteReference w:id="5"/></w:r>')
        + p("Second", '<w:r><w:footnoteReference w:id="2"/></w:r>'),
        parts={"footnotes": notes, "endnotes": f'<w:endnote w:id="5">{p("the end")}</w:endnote>'},
    )
    assert blocks(page) == [
        ("paragraph", "First[^1][^i]"),
        ("footnote", "[^1] note 3"),
        ("paragraph", "Second[^2]"),
        ("footnote", "[^2] note 2"),
        ("endnote", "[^i] the end"),
        ("footnote", "note 9"),
    ]
    assert marked(page, MarkKind.HIDDEN) == [("note 9", "nothing refers to this note")]


def test_comments_name_their_author_and_the_words_they_are_on():
    comments = (
        f'<w:comment w:id="7" {BY}>{p("Too high?")}</w:comment><w:comment w:id="8">{p("lost")}</w:comment>'
    )
    page = page_of(
        p("Pay ", '<w:commentRangeStart w:id="7"/>', "the fee", '<w:commentRangeEnd w:id="7"/>',
          '<w:r><w:commentReference w:id="7"/></w:r>', " now."),
        parts={"comments": comments},
    )  # fmt: skip
    assert blocks(page) == [
        ("paragraph", "Pay the fee now."),
        ("comment", "Comment by Anna Berg, 2024-03-01 10:30, on “the fee”: Too high?"),
        ("comment", "Comment: lost"),
    ]


def test_a_text_box_with_a_fallback_is_told_once():
    box = f"<w:txbxContent>{p('In the box')}</w:txbxContent>"
    page = page_of(
        p(
            "Before",
            "<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wp:inline>"
            f"<wp:docPr id='1' name='x' descr='A  sketch'/><wps:txbx>{box}</wps:txbx></wp:inline></w:drawing>"
            "</mc:Choice>"
            f"<mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback></mc:AlternateContent></w:r>",
        )
    )
    assert blocks(page) == [("paragraph", "Before[Drawing: A sketch]"), ("text_box", "In the box")]


def test_headers_and_footers_of_sections_come_once_and_unused_ones_are_hidden():
    def section(kind):
        return (
            f'<w:sectPr><w:headerReference w:type="default" r:id="xheader1"/>'
            f'<w:headerReference w:type="first" r:id="xheader2"/>'
            f'<w:footerReference w:type="default" r:id="xfooter1"/><w:type w:val="{kind}"/></w:sectPr>'
        )

    pages, _ = read(
        reader,
        word_of(
            p("One", properties=section("nextPage")) + p("Two") + section("nextPage"),
            parts={"header1": p("Contract 7"), "header2": p("Cover"), "footer1": p("Confidential")},
        ),
    )
    assert [blocks(page) for page in pages] == [
        [("header", "Contract 7"), ("header", "Cover"), ("paragraph", "One"), ("footer", "Confidential")],
        [("paragraph", "Two")],
    ]
    assert marked(pages[0], MarkKind.HIDDEN) == [("Cover", "this header is switched off")]


# ---------------------------------------------------------------- runs


def test_fields_show_their_results_and_forms_what_they_show():
    def char(kind, inside=""):
        return f'<w:r><w:fldChar w:fldCharType="{kind}">{inside}</w:fldChar></w:r>'

    def field(code, result="", form=""):
        end = char("separate") + r(result) + char("end") if result else char("end")
        return char("begin", form) + f"<w:r><w:instrText>{code}</w:instrText></w:r>" + end

    tick = "<w:ffData><w:checkBox><w:default w:val='0'/><w:checked/></w:checkBox></w:ffData>"
    choice = (
        "<w:ffData><w:ddList><w:result w:val='1'/><w:listEntry w:val='red'/>"
        "<w:listEntry w:val='blue'/></w:ddList></w:ffData>"
    )
    page = page_of(
        p(
            "Page ",
            field(" PAGE ", "4"),
            ", ",
            field(" FORMCHECKBOX ", form=tick),
            field(" FORMDROPDOWN ", form=choice),
        )
        + p(field(' HYPERLINK "https://example.org/x" ', "the terms"))
        + p('<w:hyperlink r:id="link">' + r("here") + "</w:hyperlink>")
        + p('<w:hyperlink r:id="link">' + r("https://example.org/terms") + "</w:hyperlink>")
        + p('<w:fldSimple w:instr=" AUTHOR ">' + r("Anna") + "</w:fldSimple>")
    )
    assert page.text.split("\n\n") == [
        "Page 4, ☒blue",
        "the terms (https://example.org/x)",
        "here (https://example.org/terms)",
        "https://example.org/terms",
        "Anna",
    ]


def test_text_in_a_broken_field_is_kept_and_marked():
    page = page_of(p('<w:r><w:fldChar w:fldCharType="begin"/></w:r>', "kept"))
    assert page.text == "kept"
    assert marked(page, MarkKind.HIDDEN) == [("kept", "inside a field's code")]


def test_symbols_ruby_smart_tags_controls_and_hyphens_are_text():
    page = page_of(
        p(
            '<w:r><w:sym w:font="Wingdings" w:char="F0FC"/><w:sym w:font="Symbol" w:char="F061"/></w:r>',
            "<w:r><w:ruby><w:rt><w:r><w:t>とう</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>東</w:t></w:r></w:rubyBase></w:ruby></w:r>",
            f"<w:smartTag>{r('Berlin')}</w:smartTag>",
            f"<w:sdt><w:sdtPr/><w:sdtContent>{r('shown')}</w:sdtContent></w:sdt>",
            "<w:r><w:t>co</w:t><w:noBreakHyphen/><w:t>op</w:t><w:softHyphen/><w:tab/><w:t>x</w:t></w:r>",
        )
    )
    assert page.text == "✓α東(とう)Berlinshownco-op\tx"


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ("<w:vanish/>", "hidden text"),
        ('<w:color w:val="FFFFFF"/>', "white text"),
        ('<w:sz w:val="2"/>', "too small to read"),
        ('<w:vanish w:val="0"/>', None),
        ('<w:color w:val="FFFFFF"/><w:shd w:fill="000080"/>', None),
    ],
)
def test_what_cannot_be_seen_is_marked_with_the_reason(properties, why):
    page = page_of(p("seen ", r("not", properties)))
    assert marked(page, MarkKind.HIDDEN) == ([("not", why)] if why else [])


def test_equations_are_a_line_of_text():
    def e(text):
        return f"<m:r><m:t>{text}</m:t></m:r>"

    page = page_of(
        p(
            "<m:oMath><m:f><m:num>" + e("a+b") + "</m:num><m:den>" + e("2") + "</m:den></m:f>" + e("=")
            + "<m:sSup><m:e>" + e("x") + "</m:e><m:sup>" + e("2") + "</m:sup></m:sSup>" + e("+")
            + "<m:rad><m:deg/><m:e>" + e("y") + "</m:e></m:rad></m:oMath>"
        )
    )  # fmt: skip
    assert page.text == "(a+b)/2=x^2+√(y)"


@pytest.mark.parametrize(
    ("equation", "line"),
    [
        ("<m:m><m:mr><m:e>{a}</m:e><m:e>{b}</m:e></m:mr><m:mr><m:e>{b}</m:e></m:mr></m:m>", "[a, b; b]"),
        ("<m:eqArr><m:e>{a}</m:e><m:e>{b}</m:e></m:eqArr>", "a; b"),
        ("<m:rad><m:deg>{n}</m:deg><m:e>{a}</m:e></m:rad>", "√[n](a)"),
        ("<m:nary><m:sub>{a}</m:sub><m:sup>{n}</m:sup><m:e>{b}</m:e></m:nary>", "∫_a^n b"),
        ("<m:d><m:e>{a}</m:e><m:e>{b}</m:e></m:d>", "(a|b)"),
        ("<m:func><m:fName>{n}</m:fName><m:e>{a}</m:e></m:func>", "n a"),
        ("<m:sSubSup><m:e>{a}</m:e><m:sub>{b}</m:sub><m:sup>{n}</m:sup></m:sSubSup>", "a_b^n"),
        ("<m:bar><m:e>{a}</m:e></m:bar>", "a¯"),
        ("<m:limLow><m:e>{a}</m:e><m:lim>{b}</m:lim></m:limLow>", "a_b"),
    ],
)
def test_each_kind_of_equation_has_its_line(equation, line):
    letters = {letter: f"<m:r><m:t>{letter}</m:t></m:r>" for letter in "abn"}
    assert page_of(p(f"<m:oMath>{equation.format(**letters)}</m:oMath>")).text == line


# ---------------------------------------------------------------- numbering and headings

LEGAL = (
    '<w:abstractNum w:abstractNumId="1">'
    '<w:lvl w:ilvl="0"><w:start w:val="9"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1"/></w:lvl>'
    '<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl>'
    '<w:lvl w:ilvl="2"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="(%3)"/></w:lvl>'
    '</w:abstractNum><w:num w:numId="5"><w:abstractNumId w:val="1"/></w:num>'
    '<w:num w:numId="6"><w:abstractNumId w:val="1"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="3"/>'
    "</w:lvlOverride></w:num>"
)


def item(text, level, list_id=5, more=""):
    return p(
        text, properties=f'{more}<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{list_id}"/></w:numPr>'
    )


def test_clauses_have_the_numbers_that_word_shows():
    body = (
        item("Liability", 0, more='<w:pStyle w:val="Heading1"/>')
        + item("Cap", 1)
        + item("fees", 2)
        + item("costs", 2)
        + item("Term", 1)
        + item("again", 2)
        + item("Law", 0)
        + item("Court", 1)
        + item("Other", 0, 6)
        + item("Further", 0, 6)
    )
    page = page_of(body, numbering=LEGAL)
    assert blocks(page) == [
        ("heading", "9 Liability"),
        ("list_item", "9.1 Cap"),
        ("list_item", "(a) fees"),
        ("list_item", "(b) costs"),
        ("list_item", "9.2 Term"),
        ("list_item", "(a) again"),
        ("list_item", "10 Law"),
        ("list_item", "10.1 Court"),
        ("list_item", "3 Other"),
        ("list_item", "4 Further"),
    ]
    assert [block.level for block in page.blocks][:3] == [1, 2, 3]


def test_headings_are_known_by_style_outline_level_and_localised_name():
    def make(document):
        document.add_heading("Title", 0)
        document.add_heading("Second level", 2)
        document.styles.add_style("Überschrift 3", 1)
        document.add_paragraph("Deutsch", style="Überschrift 3")
        document.add_heading("A clause in the style of a heading. " * 8, 1)

    pages, facts = read(reader, word(make))
    assert [(block.kind, block.level) for block in pages[0].blocks] == [
        (BlockKind.HEADING, 1),
        (BlockKind.HEADING, 2),
        (BlockKind.HEADING, 3),
        (BlockKind.PARAGRAPH, 0),
    ]
    assert [(entry.title, entry.page, entry.level) for entry in facts.outline][1] == ("Second level", 1, 2)


# ---------------------------------------------------------------- tables


def test_merged_cells_keep_their_column_and_nested_tables_their_rows():
    def make(document):
        table = document.add_table(3, 3)
        for at in range(9):
            table.cell(at // 3, at % 3).text = f"c{at}"
        table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
        inner = table.cell(2, 1).add_table(1, 2)
        inner.cell(0, 0).text, inner.cell(0, 1).text = "in", "side"

    pages, _ = read(reader, word(make))
    assert of_kind(pages[0], BlockKind.TABLE) == [
        "wide |  | c2\nc3 | c4 | c5\nc6 | c7 | c8",
        "in | side",
    ]


def test_text_under_a_merged_cell_is_kept_and_marked():
    cells = [
        f"<w:tr><w:tc><w:tcPr><w:vMerge{start}/></w:tcPr>{p(text)}</w:tc><w:tc>{p('x')}</w:tc></w:tr>"
        for start, text in ((' w:val="restart"', "top"), ("", "under"))
    ]
    page = page_of(f"<w:tbl>{''.join(cells)}</w:tbl>")
    assert page.text == "top | x\nunder | x"
    assert marked(page, MarkKind.HIDDEN) == [("under", "covered by a merged cell")]


# ---------------------------------------------------------------- parts


def test_a_part_ends_at_hard_breaks_and_else_near_four_thousand_characters():
    break_ = '<w:r><w:br w:type="page"/></w:r>'
    pages, facts = read(
        reader, word_of(p("One") + p(break_) + p("Two", break_) + p("Three") + p("word " * 300) * 10)
    )
    assert [page.kind for page in pages] == [PageKind.PART] * len(pages)
    assert [page.text[:5] for page in pages[:3]] == ["One", "Two", "Three"]
    assert facts.pages == len(pages) == 6
    assert all(len(page.text) < 6_000 for page in pages)


def test_pages_that_are_here_already_are_not_sent_again():
    break_ = '<w:r><w:br w:type="page"/></w:r>'
    pages, facts = read(reader, word_of(p("One", break_) + p("Two")), skip=(1,))
    assert [(page.number, page.text) for page in pages] == [(2, "Two")]
    assert facts.pages == 2


def test_strict_files_are_read_as_any_other():
    strict = rezip(
        word_of(p("Strict ", f'<w:ins w:id="1" {BY}>{r("text")}</w:ins>')),
        {"word/document.xml": lambda xml: xml.replace(W, "http://purl.oclc.org/ooxml/wordprocessingml/main")},
    )
    pages, _ = read(reader, strict)
    assert pages[0].text == "Strict text"
    assert marked(pages[0], MarkKind.INSERTED)


def test_facts_say_title_author_and_date_and_warnings_what_was_left_out():
    def make(document):
        document.core_properties.title, document.core_properties.author = "Lease", "Anna"
        document.add_paragraph("x")

    _, facts = read(reader, rezip(word(make), {"word/document.xml": lambda xml: xml.replace(
        "<w:sectPr", '<w:altChunk xmlns:w="' + W + '"/><w:sectPr', 1)}))  # fmt: skip
    assert (facts.format, facts.title, facts.author, facts.created[:4]) == ("docx", "Lease", "Anna", "2013")
    (warning,) = facts.warnings
    assert warning.startswith("Text from another file (altChunk) inside the file was not read. Save it")


def test_a_broken_part_beside_the_text_is_a_warning():
    pages, facts = read(
        reader, rezip(word_of(p("Text"), parts={"comments": ""}), {"word/comments.xml": "<w:comments"})
    )
    assert pages[0].text == "Text"
    assert facts.warnings == (f"A part of the file is damaged; what it holds was not read. {SAVE_ANEW}",)


# ---------------------------------------------------------------- hostile and protected files

LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE w:document [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;">]>'
    f'<w:document xmlns:w="{W}"><w:body><w:p><w:r><w:t>&b;</w:t></w:r></w:p></w:body></w:document>'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused(encoding):
    refused = refusal(reader, rezip(word(), {"word/document.xml": LAUGHS.encode(encoding)}))
    assert "document type" in refused.message


def test_a_document_type_behind_a_long_comment_is_refused_too():
    xml = LAUGHS.replace("<!DOCTYPE", f"<!--{'x' * 100_000}--><!DOCTYPE")
    assert "document type" in refusal(reader, rezip(word(), {"word/document.xml": xml})).message


@pytest.mark.parametrize("depth", [300, 5_000])
def test_deep_nesting_is_refused(depth):
    body = "<w:sdt><w:sdtContent>" * depth + "<w:p/>" + "</w:sdtContent></w:sdt>" * depth
    assert refusal(reader, word_of(body)).code == "broken"


def test_an_empty_document_and_another_format_are_told_apart():
    assert refusal(reader, word()).code == "empty"
    other = rezip(word(), {"word/document.xml": "<x/>"})
    assert refusal(reader, other).code == "format"


def test_more_text_than_allowed_is_refused():
    assert refusal(reader, word_of(p("x" * 500)), limits=Limits(characters=400)).code == "limit"


# ---------------------------------------------------------------- nothing is lost

_PARTS = re.compile(r"word/(document|header\d*|footer\d*|footnotes|endnotes|comments)\d*\.xml")
_NAMES = (W, "http://purl.oclc.org/ooxml/wordprocessingml/main")
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"


def texts_in(data):
    """Every w:t and w:delText of the file, of alternatives one branch: by XPath, not by the reader."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in filter(_PARTS.fullmatch, archive.namelist()):
            try:
                root = etree.fromstring(archive.read(name))
            except etree.XMLSyntaxError:
                continue
            tags = [f"{{{uri}}}{tag}" for uri in _NAMES for tag in ("t", "delText")]
            for choice in list(root.iter(f"{_MC}AlternateContent")):
                full = [branch for branch in choice if next(branch.iter(*tags), None) is not None]
                for branch in list(choice):
                    if branch is not (full or list(choice))[0]:
                        choice.remove(branch)
            yield from (element.text or "" for element in root.iter(*tags))


def lost(data, **options):
    """Characters of the file that are on no page."""
    pages, _ = read(reader, data, **options)
    there = Counter("".join("".join(page.text for page in pages).split()))
    wanted = Counter("".join("".join(texts_in(data)).split()))
    # Private code points are shown as the characters that they stand for.
    return {char: count for char, count in (wanted - there).items() if not "\uf000" <= char <= "\uf0ff"}


def test_no_character_of_a_mixed_file_is_lost():
    data = word_of(
        p(
            "αβ",
            f'<w:del w:id="2" {BY}><w:r><w:delText>γδ</w:delText></w:r></w:del>',
            f"<w:unknown>{r('εζ')}</w:unknown>",
        )
        + f"<w:unknown>{p('ηθ')}</w:unknown><w:tbl><w:tr><w:tc>{p('ικ')}</w:tc></w:tr></w:tbl>",
        parts={"footnotes": f'<w:footnote w:id="1">{p("λμ")}</w:footnote>'},
    )
    assert len("".join(texts_in(data))) == 12
    assert lost(data) == {}


@pytest.mark.skipif(
    not os.environ.get("LOCALAI_APP_EVAL"), reason="LOCALAI_APP_EVAL names no folder of real files"
)
def test_no_character_of_real_files_is_lost():
    read_at_all = 0
    for path in sorted(Path(os.environ["LOCALAI_APP_EVAL"], "awkward").rglob("*.docx")):
        try:
            assert lost(path.read_bytes()) == {}, path.name
            read_at_all += 1
        except ReadRefused:
            continue
    assert read_at_all > 70


def test_a_paragraph_of_many_links_and_comments_takes_no_longer_than_its_length():
    links = ('<w:hyperlink r:id="link">' + r("here, and there, and everywhere") + "</w:hyperlink>") * 20_000
    anchors = "".join(f'<w:commentRangeStart w:id="{at}"/>' for at in range(20_000))
    started = time.process_time()
    pages, _ = read(reader, word_of(p(anchors, links)))
    assert sum(page.text.count("https://example.org/terms") for page in pages) == 20_000
    assert time.process_time() - started < 10

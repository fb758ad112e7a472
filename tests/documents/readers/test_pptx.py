import io
import os
import zipfile
from collections import Counter
from pathlib import Path

import pptx as maker
import pytest
from lxml import etree
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from localai_app.documents.document import BlockKind, MarkKind, PageKind
from localai_app.documents.readers import pptx as reader
from localai_app.documents.readers.pptx_order import Placed, in_reading_order
from localai_app.documents.readers.refused import ReadRefused
from tests.documents.readers.office_files import blocks, marked, of_kind, read, refusal, rezip, word

SLIDE = "ppt/slides/slide1.xml"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"


def show(make):
    presentation = maker.Presentation()
    make(presentation)
    target = io.BytesIO()
    presentation.save(target)
    return target.getvalue()


def add(presentation, layout=5, title="Title"):
    slide = presentation.slides.add_slide(presentation.slide_layouts[layout])
    if title:
        slide.shapes.title.text = title
    return slide


def box(slide, text, left, top):
    shape = slide.shapes.add_textbox(Inches(left), Inches(top), Inches(2), Inches(1))
    shape.text_frame.text = text
    return shape


def test_a_slide_is_a_page_with_its_title_first_and_shapes_in_reading_order():
    def make(presentation):
        slide = add(presentation, title="")
        box(slide, "right body", 5, 3)
        box(slide, "left body", 1, 3)
        box(slide, "right head", 5, 2)
        box(slide, "left head", 1, 2)
        slide.shapes.title.text = "Two cards"

    pages, facts = read(reader, show(make))
    assert pages[0].kind is PageKind.SLIDE
    assert [text for _, text in blocks(pages[0])] == [
        "Two cards",
        "left head",
        "left body",
        "right head",
        "right body",
    ]
    assert (facts.format, facts.pages, facts.outline[0].title) == ("pptx", 1, "Two cards")


def test_lists_keep_their_levels_and_numbers():
    def make(presentation):
        slide = add(presentation, 1)
        frame = slide.placeholders[1].text_frame
        frame.text = "outer"
        inner = frame.add_paragraph()
        inner.text, inner.level = "inner", 1

    numbered = '<a:pPr lvl="1"><a:buAutoNum type="alphaLcParenR" startAt="3"/></a:pPr>'
    data = rezip(show(make), {SLIDE: lambda xml: xml.replace('<a:pPr lvl="1"/>', numbered)})
    page = read(reader, data)[0][0]
    assert [(page.text[b.start : b.end], b.kind, b.level) for b in page.blocks][1:] == [
        ("outer", BlockKind.LIST_ITEM, 1),
        ("c) inner", BlockKind.LIST_ITEM, 2),
    ]


def test_tables_charts_groups_pictures_and_notes_are_read():
    def make(presentation):
        slide = add(presentation)
        table = slide.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(4), Inches(1)).table
        for at in range(4):
            table.cell(at // 2, at % 2).text = f"c{at}"
        data = CategoryChartData(number_format="0.0%")
        data.categories = ["May", "June"]
        data.add_series("Growth", (0.25, 0.5))
        slide.shapes.add_chart(XL_CHART_TYPE.LINE, Inches(1), Inches(4), Inches(3), Inches(2), data)
        group = slide.shapes.add_group_shape()
        box_in_group = group.shapes.add_textbox(Inches(6), Inches(6), Inches(1), Inches(1))
        box_in_group.text_frame.text = "grouped"
        box_in_group._element.nvSpPr.cNvPr.set("descr", "An arrow")
        slide.notes_slide.notes_text_frame.text = "Say hello"

    found = blocks(read(reader, show(make))[0][0])
    assert ("table", "c0 | c1\nc2 | c3") in found
    assert ("table", " | Growth\nMay | 25.0%\nJune | 50.0%") in found
    assert ("text_box", "grouped") in found
    assert ("text_box", "[Picture: An arrow]") in found
    assert found[-1] == ("notes", "Say hello")


def test_links_tell_their_target_where_the_text_does_not():
    def make(presentation):
        slide = add(presentation)
        for top, (words, target) in enumerate(
            (("the terms", "https://example.org/terms"), ("ann@example.org", "mailto:ann@example.org"))
        ):
            run = box(slide, words, 1, top + 1).text_frame.paragraphs[0].runs[0]
            run.hyperlink.address = target

    page = read(reader, show(make))[0][0]
    assert page.text == "Title\n\nthe terms (https://example.org/terms)\n\nann@example.org"


def test_hidden_slides_hidden_shapes_and_shapes_outside_are_marked():
    def make(presentation):
        slide = add(presentation)
        box(slide, "off", 30, 2)
        hidden = box(slide, "invisible", 1, 3)
        hidden._element.nvSpPr.cNvPr.set("hidden", "1")
        add(presentation, title="Backup")._element.set("show", "0")

    pages, _ = read(reader, show(make))
    assert sorted(marked(pages[0], MarkKind.HIDDEN)) == [
        ("invisible", "hidden shape"),
        ("off", "outside the slide"),
    ]
    assert marked(pages[1], MarkKind.HIDDEN) == [("Backup", "hidden slide")]


def test_comments_name_their_author():
    comments = (
        '<p:cmLst xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main">'
        '<p:cm authorId="3" dt="2024-03-01T10:30:00.000"><p:text>Shorter!</p:text></p:cm></p:cmLst>'
    )
    authors = (
        '<p:cmAuthorLst xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main">'
        '<p:cmAuthor id="3" name="Anna Berg"/></p:cmAuthorLst>'
    )
    base = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

    def related(kind, target):
        return lambda rels: rels.replace(
            "</Relationships>",
            f'<Relationship Id="c" Type="{base}/{kind}" Target="{target}"/></Relationships>',
        )

    data = rezip(
        show(add),
        {
            "ppt/slides/_rels/slide1.xml.rels": related("comments", "../comments/comment1.xml"),
            "ppt/_rels/presentation.xml.rels": related("commentAuthors", "commentAuthors.xml"),
        },
        {"ppt/comments/comment1.xml": comments, "ppt/commentAuthors.xml": authors},
    )
    page = read(reader, data)[0][0]
    assert of_kind(page, BlockKind.COMMENT) == ["Comment by Anna Berg, 2024-03-01 10:30: Shorter!"]


def test_what_the_layout_shows_is_told_once():
    def make(presentation):
        box_of_layout = presentation.slide_layouts[5].shapes._spTree
        add(presentation, title="One")
        add(presentation, title="Two")
        shape = box(presentation.slides[0], "Confidential", 1, 6)
        box_of_layout.append(shape._element)

    pages, _ = read(reader, show(make))
    assert [blocks(page) for page in pages] == [
        [("header", "Confidential"), ("heading", "One")],
        [("heading", "Two")],
    ]


def test_a_missing_slide_is_a_page_that_says_so():
    def make(presentation):
        add(presentation, title="One")
        add(presentation, title="Two")

    data = rezip(show(make), {SLIDE: "<broken"})
    pages, _ = read(reader, data)
    assert [page.unread for page in pages] == ["The slide is missing or damaged.", ""]
    assert [page.number for page in pages] == [1, 2]


def test_other_formats_and_empty_shows_are_refused():
    assert refusal(reader, word()).code == "format"
    assert refusal(reader, show(lambda presentation: None)).code == "empty"


@pytest.mark.parametrize(
    ("places", "order"),
    [
        ([(0, 0, 9, 1), (5, 2, 9, 9), (0, 2, 4, 9)], [0, 2, 1]),
        ([(0, 0, 4, 1), (0, 5, 4, 6), (5, 0, 9, 1), (5, 5, 9, 6)], [0, 2, 1, 3]),
        ([(0, 0, 2, 4), (0, 5, 2, 9), (6, 0, 9, 4), (6, 5, 9, 9)], [0, 1, 2, 3]),
        ([(0, 0, 9, 9), (1, 1, 3, 3), (1, 0, 2, 2)], [0, 2, 1]),
        ([(0, 0, 0, 0)] * 3, [0, 1, 2]),
        ([None, (0, 0, 1, 1)], [1, 0]),
    ],
)
def test_the_widest_gap_divides_first(places, order):
    items = list(enumerate(places))
    found = in_reading_order(items, lambda item: Placed(*item[1]) if item[1] else None)
    assert [at for at, _ in found] == order


@pytest.mark.skipif(
    not os.environ.get("LOCALAI_APP_EVAL"), reason="LOCALAI_APP_EVAL names no folder of real files"
)
def test_no_character_of_real_slides_is_lost():
    compared = 0
    for path in sorted(Path(os.environ["LOCALAI_APP_EVAL"], "awkward").rglob("*.pptx")):
        try:
            pages, _ = read(reader, path.read_bytes())
        except ReadRefused:
            continue
        there = Counter("".join("".join(page.text for page in pages).split()))
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.startswith("ppt/slides/slide"):
                    for element in etree.fromstring(archive.read(name)).iter(f"{A}t"):
                        wanted = Counter("".join((element.text or "").split()))
                        assert not wanted - there, (path.name, name)
                        compared += 1
    assert compared > 300

"""Reading PDF: order, words, blocks, places, what is hidden, what is refused."""

import io
from dataclasses import dataclass

import numpy as np
import pypdf
import pytest

from localai_app.documents.document import (
    BOX_SCALE,
    CELL,
    Block,
    BlockKind,
    Facts,
    MarkKind,
    Page,
    TextSource,
    boxes_of,
)
from localai_app.documents.readers import pdf
from localai_app.documents.readers.dispatch import delivered
from localai_app.documents.readers.ocr import Recognise
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import AttachmentRead, Finished, Job, Limits, PageRead, Started
from tests.documents.readers.reading_helper import check

from .pdf_maker import FILL_RED_PICTURE, Sheet, font_for, lines, make, text

PROSE = (
    "The parties agree that every delivery is made at the cost and",
    "risk of the supplier, who insures the goods against all damage",
    "until they have been handed over at the place that was agreed",
    "upon in the order, and who gives notice of the day of arrival",
    "in good time, so that the goods can be received and inspected",
    "by the staff of the buyer before the invoice for them is paid.",
)


def answers(data: bytes, recognise: Recognise | None = None, **options: object) -> list[object]:
    job = Job("", 0, **options)  # type: ignore[arg-type]
    return list(delivered(pdf.read(data, job, recognise), job))


def pages(data: bytes, recognise: Recognise | None = None, **options: object) -> list[Page]:
    """The pages, each checked for what holds of every page."""
    found = [answer.page for answer in answers(data, recognise, **options) if isinstance(answer, PageRead)]
    for page in found:
        check(page)
    return found


def facts(data: bytes) -> Facts:
    last = answers(data)[-1]
    assert isinstance(last, Finished)
    return last.facts


def texts(page: Page, kind: BlockKind | None = None) -> list[str]:
    return [page.text[block.start : block.end] for block in page.blocks if kind in (None, block.kind)]


def place(page: Page, words: str) -> tuple[float, float, float, float]:
    """Where ``words`` stand, in points from the upper left corner."""
    start = page.text.index(words)
    boxes = list(boxes_of(page, start, start + len(words)))
    return (
        min(box.left for box in boxes) * page.width,
        min(box.top for box in boxes) * page.height,
        max(box.right for box in boxes) * page.width,
        max(box.bottom for box in boxes) * page.height,
    )


# ---------------------------------------------------------------- order


def test_two_columns_are_read_one_after_the_other_and_a_heading_across_them_first() -> None:
    left = [f"left {number} {line[:38]}" for number, line in enumerate(PROSE)]
    right = [f"right {number} {line[:38]}" for number, line in enumerate(PROSE)]
    below = [f"below {number} {line} {line[:40]}" for number, line in enumerate(PROSE[:3])]
    content = text("A heading that runs across both of the columns of this page", 60, 760, 14)
    # In the file, the lines of the columns alternate.
    for number, (one, other) in enumerate(zip(left, right, strict=True)):
        content += text(one, 60, 730 - 12 * number) + text(other, 320, 730 - 12 * number)
    content += lines(below, 60, 630)
    (page,) = pages(make(content))
    order = [
        page.text.index(words) for words in ("A heading", "left 0", "left 5", "right 0", "right 5", "below 0")
    ]
    assert order == sorted(order)


def test_columns_whose_lines_stand_at_different_heights_are_read_one_after_the_other() -> None:
    left = [f"left {number} {line[:30]}" for number, line in enumerate(PROSE)]
    right = [f"right {number} {line[:30]}" for number, line in enumerate(PROSE)]
    (page,) = pages(make(lines(left, 60, 730) + lines(right, 320, 725)))
    assert page.text.index("left 5") < page.text.index("right 0")


def test_rows_of_a_table_without_lines_stay_rows() -> None:
    rows = [
        ("Rent", "1,140", "due monthly"),
        ("Deposit", "3,420", "due once"),
        ("Heating", "95", "due monthly"),
    ]
    content = text("What is to be paid under this lease:", 60, 760)
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            content += text(cell, 60 + 150 * column, 730 - 14 * number)
    (page,) = pages(make(content))
    (table,) = texts(page, BlockKind.TABLE)
    assert table.split("\n") == [CELL.join(row) for row in rows]


def test_a_long_cell_of_a_table_without_lines_does_not_end_it() -> None:
    content, y = "", 730
    for number in range(4):
        for x, cell in ((60, str(number)), (120, f"Service {number}"), (400, "3,89"), (480, "7,78")):
            content += text(cell, x, y)
        content += lines(("in the quality that was ordered", "for the month of May", "by unit"), 120, y - 12)
        y -= 50
    (page,) = pages(make(content))
    table = texts(page)[0]
    assert [row for row in table.split("\n") if row.endswith("7,78")] == [
        CELL.join((str(number), f"Service {number}", "3,89", "7,78")) for number in range(4)
    ]


def test_a_table_on_its_side_is_a_table() -> None:
    rows = [("Rent", "1,140", "monthly"), ("Deposit", "3,420", "once"), ("Heating", "95", "monthly")]
    content = "".join(
        f"BT /F1 10 Tf 0 1 -1 0 {100 + 14 * number} {100 + 120 * column} Tm ({cell}) Tj ET\n"
        for number, row in enumerate(rows)
        for column, cell in enumerate(row)
    )
    (page,) = pages(make(content))
    assert texts(page, BlockKind.TABLE) == ["\n".join(CELL.join(row) for row in rows)]


def test_cells_between_ruling_lines_are_cells_and_their_lines_are_joined() -> None:
    content = "".join(f"60 {y} m 460 {y} l S\n" for y in (700, 660, 620, 580))
    content += "".join(f"{x} 580 m {x} 700 l S\n" for x in (60, 200, 460))
    content += text("Item", 65, 685) + text("What it is", 205, 685)
    content += text("Chair", 65, 645) + lines(("made of oak, with a seat", "of green leather"), 205, 648)
    content += text("Desk", 65, 605) + text("of steel", 205, 605)
    (page,) = pages(make(content))
    assert texts(page, BlockKind.TABLE) == [
        f"Item{CELL}What it is\nChair{CELL}made of oak, with a seat of green leather\nDesk{CELL}of steel"
    ]


def test_empty_cells_keep_their_place() -> None:
    content = "".join(f"60 {y} m 460 {y} l S\n" for y in (700, 660, 620, 580))
    content += "".join(f"{x} 580 m {x} 700 l S\n" for x in (60, 200, 330, 460))
    for y, row in ((675, ("a1", "b1", "c1")), (635, ("a2", "", "c2")), (595, ("a3", "b3", ""))):
        content += "".join(text(cell, 65 + 135 * column, y) for column, cell in enumerate(row) if cell)
    (page,) = pages(make(content))
    assert texts(page) == [f"a1{CELL}b1{CELL}c1\na2{CELL}{CELL}c2\na3{CELL}b3"]


def test_text_turned_at_the_margin_does_not_disturb_the_page() -> None:
    content = lines(PROSE, 100, 700) + "BT /F1 20 Tf 0 1 -1 0 40 300 Tm (Draft of 12 May) Tj ET"
    (page,) = pages(make(content))
    assert page.text.startswith(" ".join(PROSE))
    assert texts(page)[-1] == "Draft of 12 May"
    assert page.blocks[-1].kind is BlockKind.PARAGRAPH
    left, top, right, bottom = place(page, "Draft of 12 May")
    assert right - left < 30
    assert bottom - top > 100


# ---------------------------------------------------------------- words


def test_a_word_divided_at_a_lines_end_is_joined() -> None:
    (page,) = pages(
        make(lines(("The goods have been deliv-", "ered in good order and are to", "be paid."), 60, 700))
    )
    assert page.text == "The goods have been delivered in good order and are to be paid."


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        ("It is a long-", "term contract.", "long-term contract"),
        ("They flew by Anglo-", "American Airlines.", "Anglo-American Airlines"),
        ("See the pages 10-", "12 of the annex.", "10-12 of"),
        ("The cost-benefit ratio and cost-", "benefit analysis.", "cost-benefit analysis"),
    ],
)
def test_a_compound_keeps_its_hyphen(first: str, second: str, joined: str) -> None:
    first_page = "This page knows the cost-benefit ratio."
    found = pages(make(lines((first_page,), 60, 700), lines((first, second), 60, 700)))
    assert joined in found[1].text


def test_soft_hyphens_are_never_seen() -> None:
    fonts, more = font_for("\u00addeilvry ")  # A is the soft hyphen, B to H are letters, I the space
    content = "BT /T 10 Tf 60 700 Td (BCAEDFCA) Tj ET\nBT /T 10 Tf 60 688 Td (GHIGCEH) Tj ET\n"
    (page,) = pages(make(Sheet(content, fonts=fonts), more=more))
    assert page.text == "delivery rely"


def test_words_are_parted_where_the_page_shows_white_though_the_file_has_no_spaces() -> None:
    content = "BT /F1 10 Tf 60 700 Td [(No)-300(spaces)-300(here,)-300(but)-300(kern)40(ing)] TJ ET"
    (page,) = pages(make(content))
    assert page.text == "No spaces here, but kerning"


def test_letters_set_apart_are_words_still() -> None:
    (page,) = pages(make(text("AGREEMENT OF LEASE", 60, 700, 12, before="4 Tc")))
    assert page.text == "AGREEMENT OF LEASE"


def test_a_ligature_is_written_with_its_letters_and_each_has_its_part_of_the_box() -> None:
    font = (
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica"
        "/Encoding<</Type/Encoding/BaseEncoding/WinAnsiEncoding/Differences[1/fi]>>>>"
    )
    (page,) = pages(
        make(Sheet("BT /L 20 Tf 60 700 Td (of\001ce) Tj ET".replace("f\001", "f\001"), fonts={"L": font}))
    )
    assert page.text == "office"
    boxes = np.frombuffer(page.boxes, "<u2").reshape(-1, 4).astype(int)
    f, i, c = boxes[2], boxes[3], boxes[4]
    assert abs(f[2] - i[0]) <= 1
    assert abs((f[2] - f[0]) - (i[2] - i[0])) <= 1
    assert f[0] < f[2] <= i[0] + 1 < i[2] <= c[0] + 80


def test_an_accent_drawn_over_a_letter_is_one_with_it() -> None:
    content = "BT /F1 10 Tf 60 700 Td (K) Tj 6.67 0 Td (o) Tj 1.1 0 Td (\xa8) Tj 4.46 0 Td (ln) Tj ET"
    (page,) = pages(make(content))
    assert page.text == "Köln"


def test_text_drawn_twice_to_cast_a_shadow_is_read_once() -> None:
    content = text("Total amount", 60, 700) + text("of the order", 60, 688)
    content += "BT /F1 10 Tf 61 699.4 Td (Total ) Tj (amount) Tj ET"
    (page,) = pages(make(content))
    assert page.text == "Total amount of the order"


def test_text_from_right_to_left_is_in_the_order_of_reading() -> None:
    fonts, more = font_for("שלום12 ")
    # On paper, from the left: 12, a space, and the four letters with the first one outermost right.
    content = "BT /T 20 Tf 60 700 Td (EFGDCBA) Tj ET"
    (page,) = pages(make(Sheet(content, fonts=fonts), more=more))
    assert page.text == "שלום 12"
    assert place(page, "ש")[0] > place(page, "ם")[0]


def test_hebrew_that_a_program_drew_from_the_left_is_in_the_order_of_reading_too() -> None:
    fonts, more = font_for("שלום ")
    (page,) = pages(make(Sheet("BT /T 20 Tf 60 700 Td (ABCDEABCD) Tj ET", fonts=fonts), more=more))
    assert page.text == "שלום שלום"


def test_control_characters_and_noncharacters_are_dropped() -> None:
    fonts, more = font_for("ab\ufffe\ufeff\x07c")
    (page,) = pages(make(Sheet("BT /T 20 Tf 60 700 Td (ABCDEF) Tj ET", fonts=fonts), more=more))
    assert page.text.replace(" ", "") == "abc"


# ---------------------------------------------------------------- blocks


def test_headings_paragraphs_and_list_items_are_told_apart() -> None:
    content = text("Terms of delivery", 60, 760, 18) + lines(PROSE, 60, 730)
    content += text("Costs", 60, 630, font="F2") + lines(PROSE[:2], 60, 610)
    content += text("1. The first thing to do", 60, 570) + text("2. The second thing to do", 60, 558)
    (page,) = pages(make(content))
    kinds = [(block.kind, block.level) for block in page.blocks]
    assert kinds == [
        (BlockKind.HEADING, 1),
        (BlockKind.PARAGRAPH, 0),
        (BlockKind.HEADING, 3),
        (BlockKind.PARAGRAPH, 0),
        (BlockKind.LIST_ITEM, 1),
        (BlockKind.LIST_ITEM, 1),
    ]
    assert texts(page)[1] == " ".join(PROSE)


def test_a_gap_and_an_indent_begin_a_paragraph() -> None:
    content = lines(PROSE, 60, 730) + lines(PROSE, 60, 640)
    content += text(PROSE[0][:50], 80, 568) + lines(PROSE[1:], 60, 556)
    (page,) = pages(make(content))
    assert len(texts(page, BlockKind.PARAGRAPH)) == 3


def test_headers_and_page_numbers_are_known_by_the_pages_around() -> None:
    def sheet(number: int) -> str:
        content = text("Lease Agreement, Acme Ltd", 60, 770) + lines(PROSE[number:], 60, 700)
        return content + text(f"Page {number + 7} of 99", 280, 30)

    found = pages(make(*map(sheet, range(4))))
    for number, page in enumerate(found):
        assert texts(page, BlockKind.HEADER) == ["Lease Agreement, Acme Ltd"]
        assert texts(page, BlockKind.FOOTER) == [f"Page {number + 7} of 99"]
        assert texts(page, BlockKind.PARAGRAPH) == [" ".join(PROSE[number:])]


def test_numbers_of_lines_at_the_margin_are_no_part_of_the_text() -> None:
    said = [*PROSE, *PROSE, *PROSE]
    content = "".join(text(str(number + 1), 60, 700 - 24 * number) for number in range(18))
    content += "".join(text(line, 90, 700 - 24 * number) for number, line in enumerate(said))
    (page,) = pages(make(content))
    assert " ".join(texts(page, BlockKind.PARAGRAPH)) == " ".join(said)
    assert texts(page, BlockKind.FOOTER) == [" ".join(str(number + 1) for number in range(18))]


def test_figures_that_do_not_count_the_pages_are_no_header() -> None:
    def sheet(number: int) -> str:
        return text(f"Sum of {number * 31 + 5} units", 60, 770) + lines(PROSE[number:], 60, 700)

    for page in pages(make(*map(sheet, range(3)))):
        assert not texts(page, BlockKind.HEADER)


def test_the_files_own_contents_make_headings() -> None:
    content = text("Duties of the tenant", 60, 730) + lines(PROSE, 60, 700)
    more = [
        "<</First 5 0 R/Last 5 0 R/Count 1>>",
        "<</Title(Duties of the Tenant)/Parent 4 0 R/Dest[7 0 R/Fit]>>",
    ]
    data = make(content, catalog="/Outlines 4 0 R", more=more)
    (page,) = pages(data)
    assert page.blocks[0] == Block(BlockKind.HEADING, 0, len("Duties of the tenant"), 1)
    (item,) = facts(data).outline
    assert (item.title, item.page, item.level) == ("Duties of the Tenant", 1, 1)


# ---------------------------------------------------------------- places


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_boxes_are_where_a_turned_page_shows_the_text(turn: int) -> None:
    (page,) = pages(make(Sheet(text("Word", 100, 600, 20), more=f"/Rotate {turn}")))
    left, top, right, bottom = place(page, "Word")
    width, height = (800, 600) if turn % 180 else (600, 800)
    assert (page.width, page.height) == (width, height)
    # The middle of the word lies at about (123, 607) of the page, counted from its lower left corner.
    expected = {0: (123, 193), 90: (607, 123), 180: (477, 607), 270: (193, 477)}[turn]
    assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx(expected, abs=4)


def test_boxes_count_from_the_crop_box() -> None:
    (page,) = pages(make(Sheet(text("Word", 100, 600, 20), more="/CropBox[80 500 380 700]")))
    assert (page.width, page.height) == (300, 200)
    left, top, _, bottom = place(page, "Word")
    assert left == pytest.approx(20, abs=2)
    assert top < 100 < bottom + 5


def test_a_box_covers_the_ink_of_its_letter() -> None:
    data = make(text("H", 100, 600, 40))
    (page,) = pages(data)
    drawn = pdf.Renderer(data).render(1, 2.0)
    picture = np.frombuffer(drawn.rgb, np.uint8).reshape(drawn.height, drawn.width, 3)
    rows, columns = np.nonzero(picture[:, :, 0] < 128)
    left, top, right, bottom = (side * 2 for side in place(page, "H"))
    assert left <= columns.min() + 1
    assert columns.max() <= right + 1
    assert top <= rows.min() + 1
    assert rows.max() <= bottom + 1
    assert right - left < 3 * (columns.max() - columns.min())


def test_every_box_lies_on_the_page() -> None:
    (page,) = pages(make(text("Half of this line is off the page, to the right of it", 500, 600)))
    boxes = np.frombuffer(page.boxes, "<u2").reshape(-1, 4)
    assert boxes.max() <= BOX_SCALE
    assert (boxes[:, 0] <= boxes[:, 2]).all()


# ---------------------------------------------------------------- hidden


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (text("secret words", 60, 500, before="3 Tr"), "invisibly"),
        (text("secret words", 60, 500, before="1 1 1 rg"), "colour"),
        (text("secret words", 60, 500, 0.8), "small"),
        (text("secret words", 900, 500), "outside"),
        (text("secret words", 60, 500) + "0 0 0 rg 50 490 200 30 re f\n", "covered"),
        (
            "0.2 0.4 0.2 rg 50 490 200 30 re f\n" + text("secret words", 60, 500, before="0.2 0.4 0.2 rg"),
            "colour",
        ),
    ],
)
def test_text_that_nobody_sees_is_marked(content: str, why: str) -> None:
    (page,) = pages(make(lines(PROSE, 60, 700) + content))
    marked = [(mark.kind, page.text[mark.start : mark.end], mark.note) for mark in page.marks]
    ((kind, words, note),) = marked
    assert (kind, words) == (MarkKind.HIDDEN, "secret words")
    assert why in note


def test_white_text_on_a_dark_ground_is_not_hidden() -> None:
    (page,) = pages(make("0 0 0.4 rg 50 490 200 30 re f\n" + text("Seen by all", 60, 500, before="1 1 1 rg")))
    assert page.text == "Seen by all"
    assert not page.marks


def test_invisible_text_over_a_scan_is_what_the_scan_says() -> None:
    (page,) = pages(
        make(FILL_RED_PICTURE.format(600, 800, 0, 0) + lines(PROSE, 60, 700).replace("Tf", "Tf 3 Tr"))
    )
    assert page.text == " ".join(PROSE)
    assert not page.marks
    assert page.images == 0


# ---------------------------------------------------------------- pages without text


@dataclass
class _Recognised:
    text: str
    boxes: bytes
    confidence: float
    unread: str = ""
    marks: tuple[()] = ()
    blocks: tuple[Block, ...] = ()


def test_a_page_that_is_a_picture_says_so() -> None:
    (page,) = pages(make(FILL_RED_PICTURE.format(600, 800, 0, 0)))
    assert (page.source, page.text, page.images) == (TextSource.NONE, "", 1)
    assert "picture" in page.unread


def test_a_page_that_is_a_picture_is_recognised_where_somebody_can() -> None:
    seen: list[tuple[int, int, bytes]] = []

    def recognise(picture: tuple[int, int, bytes]) -> _Recognised:
        seen.append(picture)
        return _Recognised("ab", bytes(16), 0.75, blocks=(Block(BlockKind.PARAGRAPH, 0, 2),))

    content = text("an ordinary page", 60, 700)
    found = pages(make(FILL_RED_PICTURE.format(600, 800, 0, 0), content), recognise)
    assert [(page.source, page.text, page.confidence) for page in found] == [
        (TextSource.OCR, "ab", 0.75),
        (TextSource.TEXT, "an ordinary page", 1.0),
    ]
    (picture,) = seen
    width, height, rgb = picture
    assert (width, height) == (1667, 2222)  # 200 dots per inch
    assert rgb[:3] == b"\xff\x00\x00"


def test_an_empty_page_is_read() -> None:
    page, _ = pages(make("", text("a page with text", 60, 700)))
    assert (page.source, page.text, page.unread) == (TextSource.TEXT, "", "")


def test_a_text_layer_without_meaning_is_not_given_out() -> None:
    fonts, more = font_for("\ue001\ue002\ue003\ue004")
    content = "".join(f"BT /T 20 Tf 60 {700 - 30 * row} Td (ABCDABCDABCD) Tj ET\n" for row in range(4))
    (page,) = pages(make(Sheet(content, fonts=fonts), more=more))
    assert (page.source, page.text) == (TextSource.NONE, "")
    assert "decoded" in page.unread


def test_pictures_beside_text_are_counted() -> None:
    (page,) = pages(make(lines(PROSE, 60, 700) + FILL_RED_PICTURE.format(200, 150, 60, 300)))
    assert page.images == 1
    assert page.source is TextSource.TEXT


# ---------------------------------------------------------------- forms, comments, files


def test_fields_and_comments_are_read() -> None:
    more = [
        "<</Fields[5 0 R 6 0 R]/DA(/Helv 10 Tf)>>",
        "<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/TU(Full name)/V(Ada Byron)/Rect[100 600 200 620]/F 4>>",
        "<</Type/Annot/Subtype/Widget/FT/Tx/T(empty)/Rect[100 500 200 520]/F 4>>",
        "<</Type/Annot/Subtype/Text/T(Eve)/Contents(Is this right?)/Rect[300 600 320 620]>>",
        "<</Type/Annot/Subtype/Text/T(Eve)/Contents(Nobody sees this)/Rect[300 500 320 520]/F 2>>",
    ]
    sheet = Sheet(text("A form", 60, 700), more="/Annots[5 0 R 6 0 R 7 0 R 8 0 R]")
    (page,) = pages(make(sheet, catalog="/AcroForm 4 0 R", more=more))
    assert texts(page, BlockKind.FIELD) == ["Full name: Ada Byron"]
    assert texts(page, BlockKind.COMMENT) == ["Eve: Is this right?", "Eve: Nobody sees this"]
    assert place(page, "Ada Byron") == pytest.approx((100, 180, 200, 200), abs=1)
    (mark,) = page.marks
    assert page.text[mark.start : mark.end] == "Eve: Nobody sees this"


def test_files_inside_the_file_are_given_out() -> None:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make(text("See the attachment", 60, 700))))
    writer.add_attachment("list.csv", b"a,b\n1,2\n")
    attachments = [
        answer.attachment for answer in answers(_saved(writer)) if isinstance(answer, AttachmentRead)
    ]
    assert [(attachment.name, attachment.data) for attachment in attachments] == [("list.csv", b"a,b\n1,2\n")]


def test_title_author_date_and_labels_are_told() -> None:
    data = make(
        text("The lease", 60, 700),
        "",
        "",
        catalog="/PageLabels<</Nums[0<</S/r>>2<</S/D/St 1>>]>>",
        info="/Title(Microsoft Word - The lease)/Author(Ada)/CreationDate(D:20240229101530+01'00')",
    )
    told = facts(data)
    assert (told.title, told.author, told.created) == ("The lease", "Ada", "2024-02-29T10:15:30+01:00")
    assert [page.label for page in pages(data)] == ["i", "ii", "1"]


# ---------------------------------------------------------------- trouble


def _saved(writer: pypdf.PdfWriter) -> bytes:
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def _locked(user: str, algorithm: str = "AES-256") -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make(text("Confidential", 60, 700))))
    writer.encrypt(user_password=user, owner_password="owner", algorithm=algorithm)
    return _saved(writer)


@pytest.mark.parametrize(("password", "code"), [("", "password"), ("guess", "wrong_password")])
def test_a_locked_file_asks_for_its_password(password: str, code: str) -> None:
    with pytest.raises(ReadRefused) as caught:
        answers(_locked("sesame"), password=password)
    assert caught.value.refused.code == code


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
@pytest.mark.parametrize("password", ["sesame", "pässword"])
def test_a_locked_file_opens_with_its_password(password: str, algorithm: str) -> None:
    (page,) = pages(_locked(password, algorithm), password=password)
    assert page.text == "Confidential"


def test_a_file_that_only_its_owner_may_change_opens_by_itself() -> None:
    (page,) = pages(_locked(""))
    assert page.text == "Confidential"


def test_a_damaged_page_does_not_take_the_others_with_it() -> None:
    data = make(text("first", 60, 700), Sheet("", broken=True), text("third", 60, 700))
    found = pages(data)
    assert [page.text for page in found] == ["first", "", "third"]
    assert found[1].source is TextSource.NONE
    assert "damaged" in found[1].unread
    assert len(facts(data).warnings) == 1


@pytest.mark.parametrize("data", [b"", b"<html>no PDF</html>", make(text("cut", 60, 700))[:300]])
def test_what_is_no_pdf_is_refused(data: bytes) -> None:
    with pytest.raises(ReadRefused) as caught:
        answers(data)
    assert caught.value.refused.code == "broken"
    assert caught.value.refused.hint


def test_pages_that_are_here_already_are_not_sent_again() -> None:
    data = make(*(text(f"page number {number}", 60, 400) for number in range(1, 8)))
    found = pages(data, skip_pages=(1, 2, 3, 5))
    assert [page.number for page in found] == [4, 6, 7]


@pytest.mark.parametrize("limits", [Limits(pages=1), Limits(characters=10)])
def test_limits_are_kept(limits: Limits) -> None:
    data = make(text("more than ten characters", 60, 700), text("more", 60, 700))
    with pytest.raises(ReadRefused) as caught:
        answers(data, limits=limits)
    assert caught.value.refused.code == "limit"


def test_the_number_of_pages_comes_first() -> None:
    assert answers(make("", text("last", 60, 700)))[0] == Started("pdf", 2)


# ---------------------------------------------------------------- drawing


def test_a_page_is_drawn_as_large_as_asked_for() -> None:
    renderer = pdf.Renderer(make(Sheet("0 0 1 rg 0 0 600 800 re f", more="/Rotate 90")))
    drawn = renderer.render(1, 0.5)
    assert (renderer.pages, drawn.page, drawn.width, drawn.height) == (1, 1, 400, 300)
    assert drawn.rgb == b"\x00\x00\xff" * (400 * 300)
    renderer.close()


def test_no_page_is_drawn_too_large() -> None:
    drawn = pdf.Renderer(make(Sheet("", box=(0, 0, 14000, 14000)))).render(1, 100)
    assert abs(drawn.width - drawn.height) <= 1
    assert drawn.width * drawn.height <= 40_000_000


@pytest.mark.parametrize("number", [0, 2])
def test_a_page_that_is_not_there_is_not_drawn(number: int) -> None:
    with pytest.raises(ReadRefused):
        pdf.Renderer(make("")).render(number, 1.0)

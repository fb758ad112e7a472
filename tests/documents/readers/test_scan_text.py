"""Lines with known places become paragraphs, columns and tables."""

import numpy as np
import pytest

from localai_app.documents import recognition

if not recognition.available():
    pytest.skip("text recognition is not installed (the extra `ocr`)", allow_module_level=True)

from localai_app.documents.document import BlockKind, MarkKind
from localai_app.documents.readers.scan_ink import with_spaces
from localai_app.documents.readers.scan_models import Reading
from localai_app.documents.readers.scan_text import Line, compose

SIZE = 20.0


def line(text, x, y, *, size=SIZE, sure=0.99, width=None):
    width = width or 0.5 * size * len(text)
    edges = np.linspace(x, x + width, len(text) + 1) / 1000
    boxes = np.stack(
        [edges[:-1], np.full(len(text), y / 1000), edges[1:], np.full(len(text), (y + size) / 1000)], axis=1
    )
    certainty = np.full(len(text), sure, np.float32)
    return Line(text, certainty, boxes, x, x + width, y + size / 2, size)


def blocks(page):
    return [(block.kind, page.text[block.start : block.end]) for block in page.blocks]


def test_lines_are_joined_into_paragraphs_and_divided_words_put_together():
    page = compose(
        [
            line("The committee pro-", 10, 0),
            line("poses a new lease", 10, 30),
            line("Another paragraph.", 10, 100),
        ]
    )
    assert blocks(page) == [
        (BlockKind.PARAGRAPH, "The committee proposes a new lease"),
        (BlockKind.PARAGRAPH, "Another paragraph."),
    ]
    assert len(page.boxes) == 8 * len(page.text)


def test_chinese_lines_are_joined_without_a_space():
    page = compose([line("人人生而自由", 10, 0, width=120), line("在尊严和权利上", 10, 30, width=140)])
    assert page.text == "人人生而自由在尊严和权利上"


def test_left_column_comes_before_the_right_one_to_its_end():
    left = [line(f"left column words number {n}", 10, 30 * n, width=300) for n in range(8)]
    right = [line(f"right column words number {n}", 400, 30 * n, width=300) for n in range(5)]
    text = compose([*left, *right]).text
    assert text.index("left column words number 7") < text.index("right column words number 0")


def test_rows_of_cells_become_a_table():
    rows = [("Item", "2018", "2019"), ("Rent", "1,200", "1,250"), ("Surplus", "3,010", "3,262")]
    places = (10, 300, 500)
    lines = [
        line(cell, x, 40 * number)
        for number, row in enumerate(rows)
        for x, cell in zip(places, row, strict=True)
    ]
    expected = "Item | 2018 | 2019\nRent | 1,200 | 1,250\nSurplus | 3,010 | 3,262"
    assert blocks(compose(lines)) == [(BlockKind.TABLE, expected)]


def test_large_line_is_a_heading():
    page = compose([line("Accounts", 10, 0, size=40), line("A line of the usual size follows here", 10, 80)])
    assert page.blocks[0].kind is BlockKind.HEADING
    assert page.blocks[0].level == 1
    assert page.blocks[1].kind is BlockKind.PARAGRAPH


def test_words_of_low_confidence_are_marked_with_the_figure():
    page = compose([line("surely", 10, 0), line("maybe", 10, 30, sure=0.6)])
    (mark,) = page.marks
    assert (mark.kind, page.text[mark.start : mark.end]) == (MarkKind.UNSURE, "maybe")
    assert mark.note == "recognised with 60% confidence"
    assert page.confidence == pytest.approx((6 * 0.99 + 5 * 0.6) / 11, abs=1e-3)


def test_space_that_was_not_recognised_is_seen_in_the_ink():
    mask = np.zeros((30, 200), np.bool_)
    starts = (0, 20, 40, 75, 95, 130, 150)  # ab c·de f·g: 15 wide, white of 5 and of 20
    for start in starts:
        mask[5:25, start : start + 15] = True
    middles = np.array([7, 27, 47, 65, 82, 102, 137, 157], np.float32) / 200
    reading = Reading("abc defg", np.ones(8, np.float32), middles)
    spaced = with_spaces(reading, mask)
    assert spaced.text == "abc de fg"
    assert len(spaced.sure) == len(spaced.place) == len(spaced.text)
    assert np.all(np.diff(spaced.place) > 0)

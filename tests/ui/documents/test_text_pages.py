import pytest
from PySide6.QtGui import QTextCharFormat

from localai_app.documents.document import Block, BlockKind, Mark, MarkKind, Page, TextSource
from localai_app.ui.documents.model_pane import ModelPane
from localai_app.ui.documents.text_page import MOST_CELLS, ModelText, ReadablePage
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.spans import Units
from tests.ui.fake_documents import flowing

WIDE = "a𝒷c𝒹e"


def block(text: str, kind: BlockKind, part: str, level: int = 0) -> Block:
    start = text.index(part)
    return Block(kind, start, start + len(part), level)


def test_characters_beyond_the_first_plane_are_counted_as_qt_counts_them() -> None:
    units = Units(WIDE)
    encoded = [len(WIDE[:at].encode("utf-16-le")) // 2 for at in range(len(WIDE) + 1)]
    assert [units.of(at) for at in range(len(WIDE) + 1)] == encoded
    assert [units.character(position) for position in encoded] == list(range(len(WIDE) + 1))
    assert units.character(encoded[1] + 1) == 1


TABLE = "Name | Amount\nMill Lane | 250,000\nQuay West | 90,500"
TEXT = f"Minutes 𝒷\n\nThe board met.\n\nlift\n\n{TABLE}\n\nApproved."
PAGE = flowing(
    1,
    TEXT,
    block(TEXT, BlockKind.HEADING, "Minutes 𝒷", 1),
    block(TEXT, BlockKind.PARAGRAPH, "The board met."),
    block(TEXT, BlockKind.LIST_ITEM, "lift", 1),
    block(TEXT, BlockKind.TABLE, TABLE),
    block(TEXT, BlockKind.COMMENT, "Approved."),
)


@pytest.mark.parametrize("words", ["Minutes 𝒷", "board", "lift", "250,000", "Quay West", "Approved."])
def test_every_span_is_found_where_it_is_shown(theme: Theme, words: str) -> None:
    page = ReadablePage(theme)
    page.show_page(PAGE)
    start = TEXT.index(words)
    assert page.text_of((start, start + len(words))) == words


def test_a_span_over_cells_marks_each_of_them(theme: Theme) -> None:
    page = ReadablePage(theme)
    page.show_page(PAGE)
    start = TEXT.index("Mill Lane")
    span = (start, TEXT.index("Quay West") + len("Quay West"))
    page.show_marks(span, [], None)
    assert [each.cursor.selectedText() for each in page.extraSelections()] == [
        "Mill Lane",
        "250,000",
        "Quay West",
    ]


def test_tables_are_tables_and_huge_ones_stay_lines(theme: Theme) -> None:
    page = ReadablePage(theme)
    page.show_page(PAGE)
    assert [frame.metaObject().className() for frame in page.document().rootFrame().childFrames()] == [
        "QTextTable"
    ]
    rows = "\n".join("a | b" for _ in range(MOST_CELLS))
    page.show_page(flowing(1, rows, Block(BlockKind.TABLE, 0, len(rows))))
    assert page.document().rootFrame().childFrames() == []
    assert page.text_of((0, 5)) == "a | b"


def test_markup_in_a_document_stays_text(theme: Theme) -> None:
    text = "<b>bold</b> <img src='file:///etc/passwd'> [x](https://example.org)"
    page = ReadablePage(theme)
    page.show_page(flowing(1, text))
    assert page.toPlainText() == text
    assert page.text_of((0, len(text))) == text


def test_the_model_s_text_is_exact_and_its_marks_are_told_without_colour(theme: Theme) -> None:
    text = f"{TEXT}\r\nEnd"
    marks = tuple(
        Mark(kind, number, number + 1)
        for number, kind in enumerate((MarkKind.INSERTED, MarkKind.DELETED, MarkKind.HIDDEN, MarkKind.UNSURE))
    )
    view = ModelText(theme)
    view.show_page(Page(1, text, marks=marks))
    view.show_marks(None, [])
    assert view.text_of((0, len(TEXT))) == TEXT
    assert view.text_of((len(text) - 3, len(text))) == "End"
    styles = QTextCharFormat.UnderlineStyle
    assert [
        (each.format.underlineStyle(), each.format.fontStrikeOut()) for each in view.extraSelections()
    ] == [
        (styles.SingleUnderline, False),
        (styles.NoUnderline, True),
        (styles.DotLine, False),
        (styles.WaveUnderline, False),
    ]


def test_the_pane_says_what_the_model_was_not_given(theme: Theme) -> None:
    pane = ModelPane(theme)
    text = "abc"
    marks = (Mark(MarkKind.DELETED, 0, 1), Mark(MarkKind.DELETED, 1, 2), Mark(MarkKind.UNSURE, 2, 3))
    pane.show_page(
        Page(
            1,
            text,
            marks=marks,
            source=TextSource.OCR,
            confidence=0.87,
            unread="the rest is hand-written",
            images=2,
        )
    )
    assert pane.source.text() == "Recognised from a picture, 87 % sure."
    assert "the rest is hand-written" in pane.unread.text()
    assert "2 pictures" in pane.unread.text()
    assert [item.text for item in pane.legend] == ["deleted, still in the file (2)", "recognised, unsure (1)"]
    pane.show_page(Page(2, ""))
    assert pane.legend == []
    assert pane.unread.isHidden()

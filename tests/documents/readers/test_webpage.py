"""Web pages as people see them."""

import pytest

from localai_app.documents.document import BlockKind, MarkKind
from localai_app.documents.readers import webpage
from localai_app.documents.readers.refused import ReadRefused
from tests.documents.readers.reading_helper import Read

P, H, L, T, C = (
    BlockKind.PARAGRAPH,
    BlockKind.HEADING,
    BlockKind.LIST_ITEM,
    BlockKind.TABLE,
    BlockKind.CODE,
)


def read(html: str | bytes) -> Read:
    return Read(webpage, html if isinstance(html, bytes) else html.encode())


def test_headings_paragraphs_lists_and_code_are_what_they_are() -> None:
    page = read(
        "<title>A  page</title><meta name=author content=Ann><h2>Head</h2>text<p>one\n two <b>bo</b>ld</p>"
        "<ul><li>a<ol><li>b</ol></ul><pre>x\n  y</pre>after"
    )
    assert page.blocks == [
        (H, "Head"),
        (P, "text"),
        (P, "one two bold"),
        (L, "a"),
        (L, "b"),
        (C, "x\n  y"),
        (P, "after"),
    ]
    assert [level for _, level in page.levels] == [2, 0, 0, 1, 2, 0, 0]
    assert (page.facts.title, page.facts.author) == ("A page", "Ann")


def test_tables_of_facts_are_tables_with_merged_cells_kept_in_their_columns() -> None:
    page = read(
        "<table><caption>Rents</caption><tr><th>Year<th colspan=2>Rent<tr><td rowspan=2>2026<td>1<td>2"
        "<tr><td>3<td><p>4<p>5</table>"
    )
    assert page.blocks == [(P, "Rents"), (T, "Year | Rent | \n2026 | 1 | 2\n | 3 | 4 5")]


def test_columns_that_only_make_space_are_left_out() -> None:
    page = read("<table><tr><td>a<td>&nbsp;<td>1<tr><td>b<td><td>2</table>")
    assert page.blocks == [(T, "a | 1\nb | 2")]


@pytest.mark.parametrize(
    "table",
    [
        "<table><tr><td>one<td><table><tr><td>x<td>y</table></table>",
        "<table role=presentation><tr><td>one<td>two<tr><td>x<td>y</table>",
        f"<table><tr><td>{'word ' * 200}<td>{'word ' * 200}<tr><td>{'word ' * 200}</table>",
    ],
)
def test_tables_that_lay_out_a_page_are_not(table: str) -> None:
    assert read(table).blocks[0][0] is P


def test_scripts_styles_and_what_no_person_reads_is_not_text() -> None:
    page = read(
        "<script>var secret</script><style>secret{}</style><template>secret</template><!-- secret -->"
        "<iframe src='file:///etc/passwd'>secret</iframe><svg><text>secret</text></svg>"
        "<input type=hidden value=secret>seen<input value=typed>"
    )
    assert "secret" not in page.text.replace("secret</iframe>", "")
    assert "seen" in page.text
    assert "typed" in page.text


@pytest.mark.parametrize(
    "html",
    [
        "<p style='DISPLAY : none'>IGNORE</p>",
        "<p hidden>IGNORE</p>",
        "<p style='color:#fff'>IGNORE</p>",
        "<p style='color:red;background:red'>IGNORE</p>",
        "<p style='font-size:0px'>IGNORE</p>",
        "<p style='position:absolute;left:-9999px'>IGNORE</p>",
        "<div style='opacity:0'><p><b>IGNORE</b></p></div>",
        "<style>p.x, .no{visibility:hidden}</style><p class='a no'>IGNORE</p>",
        "<style>#it{display:none}</style><p id=it>IGNORE</p>",
        "<font color=white>IGNORE</font>",
        "<table><tr><td>a<td>b<tr style='display:none'><td>IGNORE<td></table>",
    ],
)
def test_hidden_text_is_kept_and_marked(html: str) -> None:
    page = read(html + "<p>seen</p>")
    assert [kind for kind, text, note in page.marks if "IGNORE" in text and note] == [MarkKind.HIDDEN]
    assert not any("seen" in text for _, text, _ in page.marks)


@pytest.mark.parametrize(
    "html",
    [
        "<style>@media print{.no{display:none}}</style><p class=no>seen</p>",
        "<p style='color:white;background:black'>seen</p>",
        "<body bgcolor=black><font color=white>seen</font>",
        "<p style='font-size:10px;opacity:0.5;margin-left:-2px'>seen</p>",
        "<style>.other{display:none}</style><p class=no>seen</p>",
    ],
)
def test_what_people_see_is_not_marked(html: str) -> None:
    assert read(html).marks == []


def test_pictures_are_counted_and_their_words_read() -> None:
    page = read("<p>A <img src=a.png alt='red house'> here<img width=1 src=spy.gif><img src=b.png></p>")
    assert (page.text, page.pages[0].images) == ("A red house here", 2)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("<meta charset=windows-1251><p>Привет".encode("cp1251"), "Привет"),
        ("<meta charset=utf-8><p>Café &eacute;&#8364;&nbsp;x".encode(), "Café é€ x"),
        ("<meta charset=utf-8><p>Café".encode("latin-1"), "Café"),
        ("<meta charset=iso-8859-1><p>“Café”".encode(), "“Café”"),
        ("<?xml version='1.0' encoding='shift_jis'?><html><p>日本語".encode("shift_jis"), "日本語"),
        ("<p>日本語".encode("utf-16"), "日本語"),
        (b"<p>a\0b</p>", "a b"),
    ],
)
def test_letters_are_right_whatever_the_encoding_and_whatever_is_said_of_it(data: bytes, text: str) -> None:
    assert read(data).text == text


def test_links_side_by_side_are_words_apart() -> None:
    assert read("<nav><a>Docs</a><a>Blog</a></nav><p>re<a>link</a>ed").text == "Docs Blog\n\nrelinked"


def test_two_line_breaks_divide_paragraphs_and_one_does_not() -> None:
    page = read("<p>one<br>two<br> <br><span hidden>three</span><br>four</p>")
    assert page.blocks == [(P, "one\ntwo"), (P, "three\nfour")]
    assert page.marks == [(MarkKind.HIDDEN, "three", "not displayed")]


def test_fillers_that_nobody_sees_are_gone() -> None:
    assert read("<p>long&shy;word&#8203; &zwnj; &zwnj; end</p>").text == "longword end"


def test_deep_pages_are_refused_and_less_deep_ones_read() -> None:
    assert read("<div>" * 1000 + "deep").text == "deep"
    with pytest.raises(ReadRefused, match="too deeply"):
        read("<div>" * 10_000 + "deep")


def test_a_page_that_only_scripts_fill_is_refused() -> None:
    with pytest.raises(ReadRefused, match="no text"):
        read("<html><script>render()</script></html>")

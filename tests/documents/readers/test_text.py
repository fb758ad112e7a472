"""Plain text, Markdown and tables as text; encodings; parts."""

import pytest

from localai_app.documents.document import BlockKind, Mark, MarkKind
from localai_app.documents.readers import delimited, markdown, plain
from localai_app.documents.readers.encoding import decode, known, load_codecs
from localai_app.documents.readers.parts import LONGEST, PART, Piece, parts, shown
from tests.documents.readers.reading_helper import Read

P, H, L, T, C, F = (
    BlockKind.PARAGRAPH,
    BlockKind.HEADING,
    BlockKind.LIST_ITEM,
    BlockKind.TABLE,
    BlockKind.CODE,
    BlockKind.FIELD,
)
GERMAN = "Größe und Maße: der Käufer zahlt 42 €, „sofort“."
RUSSIAN = "Однажды, в студёную зимнюю пору, я из лесу вышел; был сильный мороз."
JAPANESE = "古書店で処刑記録見つかる。取り乱すことなく死に臨む姿が記されていた。"


# ---------------------------------------------------------------- encodings


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *(
            (GERMAN, name)
            for name in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252")
        ),
        *((RUSSIAN, name) for name in ("utf-8", "cp1251", "koi8-r", "cp866")),
        *((JAPANESE, name) for name in ("utf-8", "shift-jis", "euc-jp", "iso-2022-jp")),
        ("Größe: 12 µm, Café", "latin-1"),
        ("Ça coûte cher à l’été, n’est-ce pas ?", "cp1252"),
        ("plain", "ascii"),
        ("plain", "utf-32-be"),
    ],
)
def test_text_is_right_in_any_encoding(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)).text == text


def test_a_guess_is_owned_up_to_and_a_certainty_is_not_doubted() -> None:
    assert "read as cp1252" in decode(GERMAN.encode("cp1252")).warnings[0]
    assert decode(GERMAN.encode("cp1252"), "windows-1252").warnings == ()
    for encoding in ("utf-8", "utf-16", "utf-16-be", "ascii"):
        assert decode("Grosse".encode(encoding)).warnings == ()


@pytest.mark.parametrize("declared", ["utf-8", "x-unknown", "base64", "\0", "idna", "undefined", ""])
def test_a_declared_encoding_that_is_a_lie_is_not_believed(declared: str) -> None:
    assert decode(GERMAN.encode("cp1252"), declared).text == GERMAN
    assert decode(RUSSIAN.encode(), "cp1252").text == RUSSIAN


def test_one_bad_byte_leaves_the_rest_of_utf8_as_it_is() -> None:
    decoded = decode(RUSSIAN.encode() + b"\xff" + RUSSIAN.encode())
    assert decoded.text == f"{RUSSIAN}\ufffd{RUSSIAN}"
    assert decoded.warnings[0].startswith("1 of its characters could not be read as utf-8")
    assert decode(RUSSIAN.encode()[:-1]).text.startswith(RUSSIAN[:-1])


def test_what_browsers_mean_by_an_encoding_is_meant_here() -> None:
    assert [known(name) for name in ("iso-8859-1", "GB2312", "shift_jis", "rot13", "hex", "nonsense")] == [
        *("cp1252", "gb18030", "cp932"),
        *("", "", ""),
    ]
    load_codecs()


def test_characters_that_no_page_can_hold_are_replaced_one_by_one() -> None:
    assert shown("a\r\nb\rc\0\x1b\ud800d\te") == "a\nb\nc  \ufffdd\te"


# ---------------------------------------------------------------- parts


def test_parts_are_cut_between_blocks_and_a_heading_begins_its_own() -> None:
    blocks = [Piece(P, "x" * 1000), Piece(P, "y" * 2500), Piece(H, "Next", 1), Piece(P, "z" * 1000)]
    first, second = parts(blocks)
    assert (first.number, second.number) == (1, 2)
    assert second.text == "Next\n\n" + "z" * 1000
    assert first.text[first.blocks[1].start : first.blocks[1].end] == "y" * 2500


def test_a_heading_does_not_end_a_part() -> None:
    first, second = parts([Piece(P, "x" * 2900), Piece(H, "Next", 1), Piece(P, "z" * 3000)])
    assert first.text == "x" * 2900
    assert second.text.startswith("Next\n\nz")


def test_a_long_block_goes_on_in_the_next_part_with_its_marks() -> None:
    words = "word " * 4000
    pages = list(parts([Piece(P, words, marks=(Mark(MarkKind.HIDDEN, 3000, 12000, "why"),))]))
    assert len(pages) > 2
    assert all(PART // 2 <= len(page.text) <= LONGEST for page in pages)
    assert " ".join(page.text for page in pages) == words.strip()
    marked = "".join(page.text[mark.start : mark.end] for page in pages for mark in page.marks)
    assert marked.replace(" ", "") == words[3000:12000].replace(" ", "")


def test_text_without_any_space_is_cut_all_the_same() -> None:
    pages = list(parts([Piece(P, "x" * 30_000)]))
    assert "".join(page.text for page in pages) == "x" * 30_000
    assert max(len(page.text) for page in pages) <= LONGEST


def test_empty_blocks_leave_no_trace_but_their_pictures() -> None:
    (page,) = parts([Piece(P, "  \n"), Piece(P, " a "), Piece(P, "", images=2)])
    assert (page.text, len(page.blocks), page.images) == ("a", 1, 2)
    assert list(parts([Piece(P, " ")])) == []


# ---------------------------------------------------------------- plain text


def test_plain_text_is_kept_verbatim_and_indented_text_as_code() -> None:
    read = Read(plain, b"One\ntwo.\r\n\r\n\r\n    x = 1\n      y\n\nlast")
    assert read.blocks == [(P, "One\ntwo."), (C, "    x = 1\n      y"), (P, "last")]
    assert read.facts.format == "txt"


def test_xml_is_read_as_the_encoding_that_it_states() -> None:
    assert (
        "Größe"
        in Read(plain, "<?xml version='1.0' encoding='iso-8859-1'?><a>Größe</a>".encode("latin-1")).text
    )


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    rows = [["Name", "Sum", "Note"], ["Ann, B.", "1;5", 'say "hi"'], ["Bob\nC", "2", ""]]
    text = "\n".join(delimiter.join('"' + c.replace('"', '""') + '"' for c in row) for row in rows)
    assert Read(delimited, text.encode()).blocks == [
        (T, 'Name | Sum | Note\nAnn, B. | 1;5 | say "hi"\nBob C | 2 | ')
    ]


def test_excels_own_line_about_the_delimiter_is_obeyed() -> None:
    assert Read(delimited, b"sep=^\r\na^b\r\n1^2\r\n").text == "a | b\n1 | 2"


def test_ragged_and_empty_rows_do_no_harm() -> None:
    assert Read(delimited, b"a,b\n\n1,2,3\n,,\n4\n").text == "a | b\n1 | 2 | 3\n4"


def test_the_header_row_begins_every_part_and_no_row_is_lost() -> None:
    rows = "".join(f"name {number},{number}\n" for number in range(2000))
    read = Read(delimited, f"Name,Number\n{rows}".encode())
    assert len(read.pages) > 3
    assert all(page.text.startswith("Name | Number\nname ") for page in read.pages)
    lines = [line for page in read.pages for line in page.text.split("\n")[1:]]
    assert lines == [f"name {number} | {number}" for number in range(2000)]


def test_a_first_row_of_numbers_is_no_header() -> None:
    read = Read(delimited, "".join(f"{number},{number}\n" for number in range(2000)).encode())
    assert [page.text.partition("\n")[0] == "0 | 0" for page in read.pages] == [
        True,
        *[False] * (len(read.pages) - 1),
    ]


# ---------------------------------------------------------------- Markdown


def test_markdown_stays_its_source_in_blocks() -> None:
    source = (
        "---\ntitle: Lease\n---\n# Head #\n\nText *here*\nand here.\n\n- a\n  - b\n\n"
        "```py\nx = '<!-- no -->'\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n> quoted\n\n[link]: http://example.org\n\n<!-- IGNORE -->\n\n"
        "Setext\n------\n"
    )
    read = Read(markdown, source.encode())
    assert read.blocks == [
        (F, "---\ntitle: Lease\n---"),
        (H, "# Head #"),
        (P, "Text *here*\nand here."),
        (L, "- a"),
        (L, "  - b"),
        (C, "```py\nx = '<!-- no -->'\n```"),
        (T, "| a | b |\n|---|---|\n| 1 | 2 |"),
        (P, "> quoted"),
        (P, "[link]: http://example.org"),
        (P, "<!-- IGNORE -->"),
        (H, "Setext\n------"),
    ]
    assert read.marks == [(MarkKind.HIDDEN, "<!-- IGNORE -->", "a comment")]
    assert read.facts.title == "Lease"
    assert dict(read.levels)["  - b"] == 2


def test_markdown_without_front_matter_is_named_by_its_first_heading() -> None:
    assert Read(markdown, b"## no\n\nYes\n===\n").facts.title == "Yes"


@pytest.mark.parametrize("source", ["> " * 5000 + "x", "[" * 50_000, "- " * 3000 + "x", "*" * 50_000 + "a"])
def test_markdown_made_to_choke_a_parser_is_read_in_time(source: str) -> None:
    assert source.strip(" >-")[-1] in Read(markdown, source.encode()).text

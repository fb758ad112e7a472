"""Rich text: what is on the page, and what is marked."""

import pytest

from localai_app.documents.document import BlockKind, MarkKind
from localai_app.documents.readers import rtf
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import SAVE_ANEW
from tests.documents.readers.reading_helper import Read

P, H, L, T = BlockKind.PARAGRAPH, BlockKind.HEADING, BlockKind.LIST_ITEM, BlockKind.TABLE


def read(body: str, head: str = "") -> Read:
    return Read(
        rtf,
        (r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}" + head + "}" + body + "}").encode("latin-1"),
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"caf\'e9 \ldblquote x\rdblquote\~y\_z\endash{}a\-b", "café “x” y‑z–ab"),
        (r"\u8364? \u-3913?\u55357?\u56832?", "€ •😀"),
        (r"\uc2\u8364\'80\'80\uc0\u8364 x", "€€x"),
        (r"{\f1 \'c4\'ee\'e3}", "Дог"),
        (r"{\f2 \'93\'fa\'96\'7b}", "日本"),
        (r"{\f3 \'b7}", "•"),
        (r"a{\pict\pngblip 89504e47}b{\*\unknown secret}c", "abc"),
        (r"{\field{\*\fldinst HYPERLINK http://x}{\fldrslt link}}", "link"),
        (r"{\upr{plain}{\*\ud{\u8364?}}}", "€"),
        (r"a\line b", "a\nb"),
        (r"\{\}\\", "{}\\"),
        ("one\r\ntwo", "onetwo"),
    ],
)
def test_characters_are_what_people_see(body: str, text: str) -> None:
    fonts = r"{\f1\fcharset204 X;}{\f2\fcharset128 Y;}{\f3\fcharset2 Symbol;}"
    assert read(body, fonts).text == text


def test_binary_data_is_stepped_over() -> None:
    data = rb"{\rtf1 a{\pict\bin9 }}}{{{\par}b}"
    assert Read(rtf, data).text == "ab"


def test_headings_lists_and_tables_are_what_they_are() -> None:
    style = r"}{\stylesheet{\s0 Normal;}{\s7\b heading 2;}"
    found = read(
        r"\pard\s7 Head\par\pard text\par{\listtext\'b7\tab}\pard\ilvl1 item\par"
        r"\trowd\intbl a{\v secret}\cell\cell b\par b\cell\row\intbl c\cell d\cell e\cell\row\pard end\par",
        style,
    )
    assert found.blocks == [
        (H, "Head"), (P, "text"), (L, "·\titem"), (T, "asecret |  | b b\nc | d | e"), (P, "end"),
    ]  # fmt: skip
    assert [level for _, level in found.levels] == [2, 0, 2, 0, 0]
    assert found.marks == [(MarkKind.HIDDEN, "secret", "hidden text")]


def test_changes_are_marked_with_who_made_them() -> None:
    found = Read(
        rtf,
        rb"{\rtf1{\*\revtbl{Unknown;}{Ann;}}You may {\revised\revauth1\revdttm%d not }sell"
        rb"{\deleted\revauthdel1 ever}.\par}" % (126 << 20 | 5 << 16 | 3 << 11 | 10 << 6 | 30),
    )
    assert found.text == "You may not sellever."
    inserted, deleted = found.marks
    assert inserted == (MarkKind.INSERTED, "not ", "Ann, 2026-05-03 10:30")
    assert deleted == (MarkKind.DELETED, "ever", "Ann")


def test_notes_comments_headers_and_boxes_stand_beside_the_text() -> None:
    found = read(
        r"{\header Top\par}{\footer Bottom\par}Text{\footnote A note}{\footnote\ftnalt An end}"
        r"{\*\annotation Why?}"
        r"{\shp{\*\shpinst{\shptxt In a box\par}}} goes on.\par Next\par"
    )
    assert found.blocks == [
        (BlockKind.HEADER, "Top"),
        (BlockKind.FOOTER, "Bottom"),
        (P, "Text goes on."),
        (BlockKind.FOOTNOTE, "A note"),
        (BlockKind.ENDNOTE, "An end"),
        (BlockKind.COMMENT, "Why?"),
        (BlockKind.TEXT_BOX, "In a box"),
        (P, "Next"),
    ]


def test_what_the_file_says_of_itself_is_no_text() -> None:
    found = read(
        r"}{\info{\title The Lease}{\author Ann}{\operator Bob}{\company C}}"
        r"{\colortbl;\red0;}{\*\generator W;}{x"
    )
    assert (found.text, found.facts.title, found.facts.author) == ("x", "The Lease", "Ann")


def test_pictures_are_counted() -> None:
    assert (
        read(r"see {\pict\wmetafile8 0102}{\*\shppict{\pict\pngblip 01}}{\nonshppict{\pict 01}}")
        .pages[0]
        .images
        >= 1
    )


def test_a_file_cut_short_is_read_and_says_so() -> None:
    found = Read(rtf, rb"{\rtf1 {\b bold {\i more")
    assert found.text == "bold more"
    assert found.facts.warnings == (f"The file ends in the middle; what follows is missing. {SAVE_ANEW}",)


def test_groups_without_end_are_refused() -> None:
    with pytest.raises(ReadRefused, match="too deeply"):
        Read(rtf, b"{\\rtf1 " + b"{" * 100_000)


@pytest.mark.parametrize(
    "body", [r"\'", r"\'zz", "\\", r"\u", r"\u99999999999?", r"}}}}x", r"\bin999999999 x", r"\cell\row\row"]
)
def test_nonsense_does_no_harm(body: str) -> None:
    assert read(f"before {body}").text.startswith("before")

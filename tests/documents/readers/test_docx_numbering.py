import pytest
from lxml import etree

from localai_app.documents.readers.docx_numbering import Numbering, spelled
from tests.documents.readers.office_files import NAMESPACES


def numbering(levels, nums='<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>', more=""):
    abstract = f'<w:abstractNum w:abstractNumId="0">{levels}</w:abstractNum>'
    return Numbering(etree.fromstring(f"<w:numbering {NAMESPACES}>{abstract}{more}{nums}</w:numbering>"))


def num(list_id, definition):
    return f'<w:num w:numId="{list_id}"><w:abstractNumId w:val="{definition}"/></w:num>'


def level(at, text, kind="decimal", more=""):
    return f'<w:lvl w:ilvl="{at}"><w:numFmt w:val="{kind}"/>{more}<w:lvlText w:val="{text}"/></w:lvl>'


@pytest.mark.parametrize(
    ("count", "kind", "shown"),
    [
        (4, "lowerRoman", "iv"),
        (1999, "upperRoman", "MCMXCIX"),
        (27, "lowerLetter", "aa"),
        (3, "upperLetter", "C"),
        (7, "decimalZero", "07"),
        (22, "ordinal", "22nd"),
        (12, "ordinal", "12th"),
        (3, "decimalEnclosedCircle", "③"),
        (21, "chineseCounting", "二十一"),
        (4, "russianLower", "г"),
        (5, "000", "005"),
        (5, "none", ""),
        (10**9, "lowerLetter", "1000000000"),
        (5, "somethingNew", "5"),
    ],
)
def test_numbers_are_spelled_in_words_formats(count, kind, shown):
    assert spelled(count, kind) == shown


def test_legal_levels_show_decimals_and_never_restart_when_told_so():
    lists = numbering(
        level(0, "Article %1", "upperRoman")
        + level(1, "%1.%2", more="<w:isLgl/>")
        + level(2, "§%3", more='<w:lvlRestart w:val="0"/>')
    )
    assert [lists.label("1", at) for at in (0, 1, 2, 0, 1, 2)] == [
        "Article I ",
        "1.1 ",
        "§1 ",
        "Article II ",
        "2.1 ",
        "§2 ",
    ]


def test_lists_that_share_a_definition_go_on_counting():
    lists = numbering(
        level(0, "%1."),
        num(1, 0) + num(2, 0),
    )
    assert [lists.label(each, 0) for each in ("1", "2", "1")] == ["1. ", "2. ", "3. "]


def test_linked_definitions_are_followed_and_circles_end():
    more = (
        '<w:abstractNum w:abstractNumId="7"><w:numStyleLink w:val="Legal"/></w:abstractNum>'
        '<w:abstractNum w:abstractNumId="8"><w:styleLink w:val="Legal"/>'
        + level(0, "(%1)")
        + "</w:abstractNum>"
        '<w:abstractNum w:abstractNumId="9"><w:styleLink w:val="Loop"/>'
        '<w:numStyleLink w:val="Loop"/></w:abstractNum>'
    )
    lists = numbering("", num(1, 7) + num(2, 9), more)
    assert lists.label("1", 0) == "(1) "
    assert lists.label("2", 0) == ""


def test_unknown_lists_and_levels_have_no_label():
    lists = numbering(level(0, "%1."))
    assert lists.label("77", 0) == ""
    assert lists.label("1", 12) == ""
    assert Numbering(None).label("1", 0) == ""

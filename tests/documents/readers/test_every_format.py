"""What holds of every format: of its pages, of what it says of itself, and of a document without text."""

import io
import re
import zipfile

import pytest

from localai_app.documents.document import Page, PageKind
from localai_app.documents.formats import format_by_name
from localai_app.documents.readers import dispatch
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import (
    SAVE_ANEW,
    Finished,
    Job,
    Limits,
    PageRead,
    ReadAnswer,
    Started,
    decode_answer,
    encode,
    presentable,
)
from tests.documents.readers.reading_helper import check
from tests.documents.small_files import ALL, WORDS, archive, compound, docx, pdf, pptx, table, xlsx

KINDS = {"pdf": PageKind.PAGE, "xlsx": PageKind.SHEET, "pptx": PageKind.SLIDE}
"""Of pages; all other formats have parts."""
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)")


def answers(data: bytes, name: str, **more: object) -> list[ReadAnswer]:
    job = Job(name, len(data), **more)  # type: ignore[arg-type]
    return list(dispatch.open_reader(job, data).read())


def pages(found: list[ReadAnswer]) -> list[Page]:
    return [answer.page for answer in found if isinstance(answer, PageRead)]


def without_words(document: bytes) -> bytes:
    """An Office file whose text is blank."""
    with zipfile.ZipFile(io.BytesIO(document)) as source:
        return archive({name: source.read(name).replace(WORDS.encode(), b" ") for name in source.namelist()})


EMPTY = {
    "a.docx": without_words(docx()),
    "a.xlsx": without_words(xlsx()),
    "a.pptx": without_words(pptx()),
    "a.pdf": pdf(b"q Q"),
    "a.msg": compound(dict([table(32)])),
    "a.eml": b"X-Mailer: none\n\n \n",
    "a.html": b"<title>Nothing</title><script>render()</script>",
    "a.rtf": rb"{\rtf1 {\info{\title Nothing}} \par}",
    "a.csv": b";;\n;;\n",
    "a.md": "\u00a0\n".encode(),
    "a.txt": "\u00a0\n\u3000\n".encode(),
}


@pytest.mark.parametrize("name", ALL)
def test_pages_and_facts_keep_the_rules_of_every_format(name: str) -> None:
    found = answers(ALL[name](), name)
    started, *_, finished = found
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    facts = finished.facts
    assert started.format == facts.format == format_by_name(name)
    assert any(WORDS in page.text for page in pages(found))
    assert [page.number for page in pages(found)] == list(range(1, facts.pages + 1))
    assert started.pages in (0, facts.pages)
    for page in pages(found):
        check(page)
        assert page.kind is KINDS.get(facts.format, PageKind.PART)
        assert bool(page.label) == (page.kind is PageKind.SHEET)
    assert not facts.created or ISO_DATE.fullmatch(facts.created)
    for warning in facts.warnings:
        assert warning.endswith(".")
    # What a reader says needs no mending on the way, and is believed.
    for answer in found:
        assert decode_answer(encode(presentable(answer))[4:]) == answer


@pytest.mark.parametrize("name", EMPTY)
def test_a_document_without_text_or_pictures_is_refused_as_empty(name: str) -> None:
    with pytest.raises(ReadRefused) as caught:
        answers(EMPTY[name], name)
    refused = caught.value.refused
    assert (refused.code, refused.message) == ("empty", "There is no text in the file.")
    assert refused.hint


def test_a_document_of_which_nothing_can_be_read_is_refused_as_damaged() -> None:
    with pytest.raises(ReadRefused) as caught:
        answers(pptx(before="<!DOCTYPE x>"), "a.pptx")
    assert (caught.value.refused.code, caught.value.refused.hint) == ("broken", SAVE_ANEW)


def test_a_picture_of_a_page_that_nobody_recognised_is_a_document_all_the_same() -> None:
    (page,) = pages(answers(pdf(b"q 612 0 0 792 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \xff EI Q"), "a.pdf"))
    assert page.unread.startswith("The page is a picture")


@pytest.mark.parametrize("name", ALL)
def test_pages_that_are_here_already_are_not_sent_again(name: str) -> None:
    whole, rest = answers(ALL[name](), name), answers(ALL[name](), name, skip_pages=(1,))
    assert pages(rest) == pages(whole)[1:]
    assert rest[-1] == whole[-1]


@pytest.mark.parametrize("name", ALL)
def test_a_document_with_more_text_than_is_allowed_is_refused(name: str) -> None:
    data = ALL[name]()
    length = sum(len(page.text) for page in pages(answers(data, name)))
    assert answers(data, name, limits=Limits(characters=length))
    with pytest.raises(ReadRefused) as caught:
        answers(data, name, limits=Limits(characters=length - 1))
    assert caught.value.refused.code == "limit"


def test_a_document_with_more_pages_than_are_allowed_is_refused_before_any_is_read() -> None:
    reading = dispatch.open_reader(Job("a.pdf", 0, limits=Limits(pages=2)), pdf(pages=3)).read()
    with pytest.raises(ReadRefused, match="more than 2 pages"):
        next(reading)
    assert len(pages(answers(pdf(pages=3), "a.pdf", limits=Limits(pages=3)))) == 3

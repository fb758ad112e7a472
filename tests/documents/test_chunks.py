"""Chunks respect pages, headings, tables, sentences and the budget."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.documents.chunks import DELETED, LONGEST, split
from localai_app.documents.document import Block, BlockKind, Chunk, Mark, MarkKind, Page

AROUND = 2


class Counter:
    """A word is a token, and the model wants two around each text."""

    def __init__(self) -> None:
        self.calls = 0
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> list[int]:
        self.calls += 1
        self.texts += texts
        return [len(text.split()) + AROUND if text.strip() else 0 for text in texts]


def page(
    *blocks: tuple[BlockKind, str], number: int = 1, marks: tuple[Mark, ...] = (), level: int = 1
) -> Page:
    text = ""
    found = []
    for kind, content in blocks:
        text += "\n\n" if text else ""
        depth = int(content[1]) if kind is BlockKind.HEADING and content[0] == "h" else level
        found.append(Block(kind, len(text), len(text) + len(content), depth))
        text += content
    return Page(number, text, blocks=tuple(found), marks=marks)


def heading(text: str) -> tuple[BlockKind, str]:
    return BlockKind.HEADING, text


def paragraph(text: str) -> tuple[BlockKind, str]:
    return BlockKind.PARAGRAPH, text


def words(count: int, word: str = "word") -> str:
    return " ".join([word] * (count - 1) + [f"{word}."])


def texts(chunks: Sequence[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


def test_a_chunk_is_a_stretch_of_its_page() -> None:
    pages = [page(paragraph(words(30)), paragraph(words(30)), number=number) for number in (1, 2, 3)]
    chunks = split(pages, Counter(), 50)
    assert {chunk.page for chunk in chunks} == {1, 2, 3}
    for chunk in chunks:
        assert chunk.text == pages[chunk.page - 1].text[chunk.start : chunk.end] == chunk.text.strip()


def test_what_fits_is_one_chunk() -> None:
    assert texts(split([page(paragraph("One. Two."), paragraph("Three."))], Counter(), 50)) == [
        "One. Two.\n\nThree."
    ]


def test_a_long_section_is_cut_between_paragraphs_into_about_equal_parts() -> None:
    chunks = split([page(*(paragraph(words(10, f"w{number}")) for number in range(9)))], Counter(), 42)
    assert [len(chunk.text.split()) for chunk in chunks] == [30, 30, 30]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    chunks = split([page(paragraph(" ".join(words(7, f"W{number}") for number in range(12))))], Counter(), 30)
    assert all(chunk.text.endswith(".") for chunk in chunks)
    assert all(20 <= len(chunk.text.split()) <= 28 for chunk in chunks)


def test_a_sentence_longer_than_the_budget_is_cut_between_words() -> None:
    chunks = split([page(paragraph(words(100)))], Counter(), 30)
    assert " ".join(texts(chunks)) == words(100)
    assert all(chunk.tokens <= 30 for chunk in chunks)


def test_a_word_longer_than_the_budget_is_cut() -> None:
    def count(some: Sequence[str]) -> list[int]:
        return [len(text.replace(" ", "")) + AROUND if text else 0 for text in some]

    chunks = split([page(paragraph("x" * 500))], count, 40)
    assert "".join(texts(chunks)) == "x" * 500
    assert all(chunk.tokens <= 40 for chunk in chunks)


def test_a_chunk_begins_at_a_heading_and_knows_those_above() -> None:
    pages = [
        page(heading("h1 Terms"), paragraph(words(20)), heading("h2 Fees"), paragraph(words(20))),
        page(paragraph(words(20)), heading("h1 Law"), paragraph(words(20)), number=2),
    ]
    chunks = split(pages, Counter(), 40)
    assert [(chunk.heading, chunk.text.split("\n")[0]) for chunk in chunks] == [
        ("", "h1 Terms"),
        ("h1 Terms", "h2 Fees"),
        ("h1 Terms › h2 Fees", words(20)),
        ("", "h1 Law"),
    ]


def test_short_sections_share_a_chunk() -> None:
    chunks = split(
        [page(heading("h1 A"), paragraph("One."), heading("h1 B"), paragraph("Two."))], Counter(), 60
    )
    assert texts(chunks) == ["h1 A\n\nOne.\n\nh1 B\n\nTwo."]


def test_a_heading_is_not_torn_from_what_it_heads() -> None:
    blocks = [
        paragraph(words(24)),
        heading("h1 Title"),
        paragraph(words(24)),
        heading("h2 Sub"),
        paragraph(words(9)),
    ]
    for chunk in split([page(*blocks)], Counter(), 30):
        assert chunk.text.split("\n")[-1][:1] == "w"


def test_headings_take_at_most_a_quarter_the_nearest_first() -> None:
    blocks = [
        heading("h1 " + words(20, "far")),
        heading("h2 near"),
        paragraph(words(20)),
        paragraph(words(20)),
    ]
    chunks = split([page(*blocks)], Counter(), 30)
    assert chunks[-1].heading == "h2 near"
    assert all(chunk.tokens <= 30 for chunk in chunks)


def test_a_long_table_is_cut_between_rows_under_its_first_row() -> None:
    rows = ["Year | Revenue"] + [f"{year} | {year} million dollars" for year in range(1990, 2020)]
    table = (BlockKind.TABLE, "\n".join(rows))
    chunks = split([page(heading("h1 Sales"), table)], Counter(), 60)
    assert len(chunks) > 2
    assert "\n".join(texts(chunks)).split("\n")[2:] == rows
    assert {chunk.heading for chunk in chunks[1:]} == {"h1 Sales › Year | Revenue"}
    assert all(line in rows for chunk in chunks[1:] for line in chunk.text.split("\n"))


def test_what_stands_on_every_page_is_left_out() -> None:
    margins = (BlockKind.HEADER, "Acme confidential"), (BlockKind.FOOTER, "Page 7 of 9")
    assert texts(split([page(margins[0], paragraph("Body."), margins[1])], Counter(), 50)) == ["Body."]


def test_a_page_of_nothing_else_keeps_it() -> None:
    assert texts(split([page((BlockKind.HEADER, "Annex A"))], Counter(), 50)) == ["Annex A"]


def test_what_was_deleted_shares_no_chunk_with_what_is_in_force() -> None:
    one, two, three = "It is allowed.", "It is forbidden.", "It ends."
    marks = (Mark(MarkKind.DELETED, len(one) + 2, len(one) + 2 + len(two)),)
    chunks = split([page(paragraph(one), paragraph(two), paragraph(three), marks=marks)], Counter(), 50)
    assert [(chunk.text, chunk.heading) for chunk in chunks] == [(one, ""), (two, DELETED), (three, "")]


def test_a_deleted_heading_is_above_nothing() -> None:
    marks = (Mark(MarkKind.DELETED, 0, 6),)
    chunks = split([page(heading("h1 Old"), paragraph("It ends."), marks=marks)], Counter(), 50)
    assert [chunk.heading for chunk in chunks] == [DELETED, ""]


def test_a_page_without_blocks_is_cut_at_blank_lines() -> None:
    text = "  " + "\n \n".join(words(20, f"w{number}") for number in range(4)) + "\n"
    chunks = split([Page(1, text)], Counter(), 46)
    assert [len(chunk.text.split()) for chunk in chunks] == [40, 40]


def test_white_space_around_a_block_is_in_no_chunk() -> None:
    text = " \n One. \n"
    counter = Counter()
    chunks = split([Page(1, text, blocks=(Block(BlockKind.PARAGRAPH, 0, len(text)),))], counter, 50)
    assert [(chunk.start, chunk.end, chunk.text) for chunk in chunks] == [(3, 7, "One.")]


@pytest.mark.parametrize("text", ["", " \n "])
def test_a_blank_page_has_no_chunks(text: str) -> None:
    assert split([Page(1, text)], Counter(), 50) == []


def test_no_chunk_is_longer_than_a_passage_whatever_a_model_reads() -> None:
    assert max(chunk.tokens for chunk in split([page(paragraph(words(900)))], Counter(), 8192)) <= LONGEST


def test_tokens_are_counted_together_and_none_twice() -> None:
    counter = Counter()
    pages = [
        page(heading(f"h1 {n}"), paragraph(words(9, f"w{n}") + " " + words(30)), number=n)
        for n in range(1, 30)
    ]
    chunks = split(pages, counter, 30)
    assert counter.calls < 10 + len(pages)
    assert len(counter.texts) == len(set(counter.texts))
    for chunk in chunks:
        assert chunk.tokens <= 30
        assert chunk.tokens >= len(chunk.text.split()) + AROUND


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(BlockKind)),
            st.text("ab .!。?\n|", min_size=1, max_size=80).filter(str.strip),
        ),
        max_size=8,
    ),
    st.integers(8, 40),
)
def test_every_word_of_the_body_is_in_one_chunk(blocks: list[tuple[BlockKind, str]], budget: int) -> None:
    whole = page(*blocks)
    chunks = split([whole], Counter(), budget)
    body = [b for b in whole.blocks if b.kind not in (BlockKind.HEADER, BlockKind.FOOTER)] or whole.blocks
    wanted = "".join("".join(whole.text[b.start : b.end].split()) for b in body)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == wanted
    assert all(one.end <= two.start for one, two in pairwise(chunks))

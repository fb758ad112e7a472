"""Where words stand in a document: what a model copied, looked up on the pages it was given.

The rule is that of `documents.quotes`: word for word, whatever the white space, the forms of quotation marks
and hyphens, punctuation and case; articles may differ. What is kept is never the model's copy but the page's
own words, and words that a tracked change took out are not on the page.
"""

from collections.abc import Iterator, Sequence

from localai_app.documents.document import Passage
from localai_app.documents.quotes import Span, Word, words
from localai_app.tasks.task import Evidence, Source


def find(quotation: str, window: Sequence[Passage], source: Source) -> Evidence | None:
    """Where in ``window`` the words of ``quotation`` stand first; None when nowhere."""
    return next(find_all(quotation, window, source), None)


def find_all(quotation: str, window: Sequence[Passage], source: Source) -> Iterator[Evidence]:
    """All places of ``window`` where the words of ``quotation`` stand, in order."""
    wanted = words(quotation)
    if not wanted:
        return
    for passage in window:
        for span in source.in_force(passage).occurrences(wanted, case=False):
            whole = _with_punctuation(span, passage.text, quotation, wanted)
            yield evidence(passage, whole)


def place_of(passage: Passage) -> Evidence:
    """Where the model was reading, as evidence that says it is no more than that."""
    return evidence(passage, (0, len(passage.text)), verified=False)


def evidence(passage: Passage, span: Span, *, verified: bool = True) -> Evidence:
    """The words of ``passage.text[span]`` as evidence."""
    start, end = span
    return Evidence(
        page=passage.page,
        place=passage.place,
        start=passage.start + start,
        end=passage.start + end,
        quotation=passage.text[start:end],
        verified=verified,
    )


def _with_punctuation(span: Span, text: str, quotation: str, wanted: Sequence[Word]) -> Span:
    """``span`` with the characters around its words that the quotation has there too: “Inc.”, “(12.50)”."""
    start, end = span
    before, after = quotation[: wanted[0].start], quotation[wanted[-1].end :]
    # A quotation may begin or end with an article that the page does not have there.
    if text[start:end].casefold().startswith(wanted[0].folded):
        for character in reversed(before):
            if character.isspace() or start == 0 or text[start - 1] != character:
                break
            start -= 1
    if text[start:end].casefold().endswith(wanted[-1].folded):
        for character in after:
            if character.isspace() or text[end : end + 1] != character:
                break
            end += 1
    return start, end

"""Dates, amounts and numbers that answer a question: where they stand, and what they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from localai_app.documents import exhaustive
from localai_app.documents.document import Passage
from localai_app.documents.quotes import overlap
from localai_app.tasks import lists, quoting
from localai_app.tasks.extraction.fields import Field
from localai_app.tasks.extraction.normalise import Conventions, Normal, conventions_of, normalise, spans
from localai_app.tasks.task import Evidence, Source


@dataclass(frozen=True)
class Value:
    """What was said, normalised."""

    normal: Normal
    place: Evidence | None = None
    """Where it stands; None: nowhere in what was given."""
    original: str = ""
    """As it stands there, where that differs."""


def looked_up(source: Source, field: Field, said: str, given: Sequence[Passage], question: str) -> Value:
    """The value of ``said`` from the page's own words, where they are in ``given``, in whatever form.

    Of several places, that whose sentence shares most with the question.
    """
    conventions = conventions_of([page.text for page in source.pages], source.document.language)
    # Models say “The date is 14 March.” whatever they are asked for; with an amount, its currency is better.
    first = next(spans(field.type, said, conventions), None)
    exact = said[first[0] : first[1]] if first else said
    forms = (said, exact) if len(said) < 2 * len(exact) else (exact, said)
    found = (list(quoting.find_all(form, given, source)) for form in forms)
    places = next(filter(None, found), None) or _alike(source, field, said, given, conventions)
    if not places:
        return Value(normalise(field, said, (0, len(said)), conventions))
    best = max(places, key=lambda place: _nearness(source, place, question))
    page = next(page.text for page in source.pages if page.number == best.page)
    normal = normalise(field, page, (best.start, best.end), conventions)
    own = lists.one_line(best.quotation)
    return Value(normal, best, own if own != normal.shown else "")


def _alike(
    source: Source, field: Field, said: str, given: Sequence[Passage], conventions: Conventions
) -> list[Evidence]:
    """Where the same value stands in another form."""
    wanted = normalise(field, said, (0, len(said)), conventions)
    if any(doubt.code == "not_read" for doubt in wanted.doubts):
        return []
    return [
        place
        for passage in given
        for span in spans(field.type, passage.text, conventions)
        if normalise(field, passage.text, span, conventions).value == wanted.value
        for place in quoting.find_all(passage.text[span[0] : span[1]], [passage], source)
    ]


def _nearness(source: Source, place: Evidence, question: str) -> float:
    """How much of the question stands in the sentence of a place."""
    page = next(page for page in source.pages if page.number == place.page)
    whole = exhaustive.whole_page(source.document, page)
    start, end = source.in_force(whole).units_over((place.start, place.end))
    return overlap(question, page.text[start:end])

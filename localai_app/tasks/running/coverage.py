"""Which pages of a document were worked on, and why the others were not."""

from collections import Counter
from collections.abc import Sequence

from localai_app.documents.document import Document, Page
from localai_app.tasks.task import Coverage, Outcome

_MISSING = "It was not read."


def coverage_of(document: Document, pages: Sequence[Page], outcome: Outcome) -> Coverage:
    """Exact, in the unit that the format has: read + not read (with the reason) = all.

    A page that its reader could not read whole counts as not read, whatever came of its other part; so does
    one that the kind names in ``outcome.unread``.
    """
    here = {page.number: page for page in pages}
    total = max(document.pages, *here, 0)
    reasons = {number: [_MISSING] for number in range(1, total + 1) if number not in here}
    for page in pages:
        if page.unread:
            reasons.setdefault(page.number, []).append(page.unread)
    for number, why in outcome.unread:
        assert number in here, "a kind speaks of pages that it was given"
        if why not in (known := reasons.setdefault(number, [])):
            known.append(why)
    unread = tuple((number, "; ".join(reasons[number])) for number in sorted(reasons))
    read = sum(number not in reasons for number in here)
    assert read + len(unread) == total, "each page is read or not"
    kinds = Counter(page.kind.value for page in pages)
    unit = kinds.most_common(1)[0][0] if kinds else "page"
    return Coverage(unit, total, read, unread)

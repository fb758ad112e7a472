"""Points of a summary: which are alike, what one that was put together rests on, which are kept."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from localai_app.documents.quotes import words
from localai_app.tasks.basis import Basis, Text
from localai_app.tasks.lists import Item
from localai_app.tasks.task import Doubt, Source

_ALIKE = 0.8
"""Share of the words of two points that are the same words, from which on they are one."""
_IN = 0.5
"""Share of a note's content that a point must have for the note to be in it."""
_SHORT = 4
"""Words by which short points are kept from winning for their shortness."""
_BRINGS = 0.15
"""Share of a point's content that a further note must hold for the point to rest on it."""


@dataclass(frozen=True)
class Point:
    """A point of a summary, on its way."""

    text: str
    basis: Basis
    read: Text
    """The passages in which it was found."""
    of: frozenset[int]
    """Which of the points that were noted first it stands for."""
    original: str = ""
    """Before it was translated."""
    doubts: tuple[Doubt, ...] = ()
    """Besides those of its basis."""

    @property
    def terms(self) -> frozenset[str]:
        """Its content."""
        return self.read.content(self.text)

    @property
    def doubtful(self) -> bool:
        """Whether a person should look at it."""
        return bool(self.doubts or not self.basis.verified)

    @property
    def place(self) -> tuple[int, int]:
        """Where in the document it begins."""
        return self.basis.evidence[0].page, self.basis.evidence[0].start


def distinct(points: Sequence[Point]) -> list[Point]:
    """``points`` without those that say what another says; the better verified one stands for both."""
    kept: list[Point] = []
    for point in points:
        at = next((at for at, other in enumerate(kept) if _are_alike(point, other)), None)
        if at is None:
            kept.append(point)
            continue
        better = max(kept[at], point, key=lambda one: one.basis.confidence)
        kept[at] = replace(better, of=kept[at].of | point.of)
    return kept


def _are_alike(one: Point, other: Point) -> bool:
    mine, theirs = one.terms, other.terms
    if not mine or _figures(one.text) != _figures(other.text):
        return [word.folded for word in words(one.text)] == [word.folded for word in words(other.text)]
    return len(mine & theirs) >= _ALIKE * len(mine | theirs)


def _figures(text: str) -> set[str]:
    return {word.exact for word in words(text) if word.is_number}


def merged(item: Item, group: Sequence[Point], source: Source) -> Point | None:
    """What the model made of ``group``: it stands for those that are in it, and for those that hold more of
    what it says. None where none does."""
    terms = group[0].read.content(item.text)
    rests = [note for note in group if _is_in(note, terms)]
    left = terms - frozenset[str]().union(*(note.terms for note in rests))
    rests += _holding(left, group, max(_BRINGS * len(terms), 1))
    if not rests:
        return None
    read = Text.together(source, [note.read for note in rests])
    basis = read.basis(item.text, only=[one for note in rests for one in note.basis.evidence])
    if basis is None:
        return None
    return Point(item.text, basis, read, frozenset[int]().union(*(note.of for note in rests)))


def _is_in(note: Point, terms: frozenset[str]) -> bool:
    return len(note.terms & terms) >= max(_IN * len(note.terms), 1)


def _holding(terms: frozenset[str], group: Sequence[Point], least: float) -> list[Point]:
    """The fewest notes that hold as much as there is of ``terms``, each of them ``least`` at least."""
    found: list[Point] = []
    while True:
        best = max(group, key=lambda note: len(note.terms & terms))
        if len(best.terms & terms) < least:
            return found
        found.append(best)
        terms -= best.terms


def chosen(points: Sequence[Point], most: int, *, in_order: bool = False) -> list[Point]:
    """As many of ``points`` as there is room for, in page order: those first that say most that is new,
    those not in doubt before others; or, ``in_order``, the first."""
    taken: list[Point] = []
    said = frozenset[str]()
    left = list(points)
    often = Counter(term for point in points for term in point.terms)
    while left and len(taken) < most:
        best = left[0] if in_order else max(left, key=lambda point: _worth(point, said, often))
        left.remove(best)
        taken.append(best)
        said |= best.terms
    return sorted(taken, key=lambda point: point.place)


def _worth(point: Point, said: frozenset[str], often: Counter[str]) -> tuple[bool, float]:
    """How much it says that is new and that the points keep coming back to, for its length."""
    return not point.doubtful, sum(often[term] for term in point.terms - said) / (len(point.terms) + _SHORT)


def left_out(noted: Sequence[Point], points: Sequence[Point]) -> list[Point]:
    """Those of ``noted`` that none of ``points`` stands for."""
    covered = frozenset[int]().union(*(point.of for point in points))
    return [point for point in noted if not point.of & covered]


def translated(point: Point, text: str, language: str) -> Point:
    """``point`` in another language; it rests on what the point before rests on."""
    if not any(word.weight for word in words(text)):
        left = Doubt("unsure", f"The model did not translate it into {language}.")
        return replace(point, doubts=(*point.doubts, left))
    lost = sorted(_digits(point.text) ^ _digits(text))
    changed = Doubt("not_verified", f"Its figures changed in translation: {', '.join(lost)}.")
    doubts = (changed,) if lost else ()
    # The app can no longer compare words: it found those of the point as it was.
    evidence = tuple(msgspec.structs.replace(one, verified=False) for one in point.basis.evidence)
    basis = replace(point.basis, evidence=evidence)
    return replace(point, text=text, basis=basis, original=point.text, doubts=(*point.doubts, *doubts))


def _digits(text: str) -> set[str]:
    """Figures, however a language divides their thousands and decimals."""
    figures = (
        "".join(character for character in word.exact if character.isdigit())
        for word in words(text)
        if word.is_number
    )
    return {figure for figure in figures if figure}

"""The order in which people read what stands on a slide: rows and columns, told apart by the gaps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
_MAX_CUTS = 40
"""Cuts inside cuts; deeper, what is left is read from the top left."""


@dataclass(frozen=True)
class Placed:
    """A rectangle, in any unit."""

    left: int
    top: int
    right: int
    bottom: int


def in_reading_order(items: Sequence[Item], place: Callable[[Item], Placed | None]) -> Iterator[Item]:
    """The items by where they stand; those without a place at the end, as they came.

    The widest gap that goes through all of them divides first (an XY cut): one across makes rows, one down
    makes columns. So the cards of a slide are read one by one, and the lines of a list from the top.
    """
    placed = [(where, item) for item in items if (where := place(item))]
    yield from (item for _, item in _ordered(placed, 0))
    yield from (item for item in items if place(item) is None)


def _ordered(items: list[tuple[Placed, Item]], depth: int) -> Iterator[tuple[Placed, Item]]:
    if len(items) > 1 and depth < _MAX_CUTS:
        across = _widest_gap([(where.top, where.bottom) for where, _ in items])
        down = _widest_gap([(where.left, where.right) for where, _ in items])
        if across and across[0] >= (down[0] if down else 0):
            at = across[1]
            first = [each for each in items if each[0].bottom <= at]
        elif down:
            at = down[1]
            first = [each for each in items if each[0].right <= at]
        else:
            first = []
        if 0 < len(first) < len(items):
            chosen = {id(each) for each in first}
            yield from _ordered(first, depth + 1)
            yield from _ordered([each for each in items if id(each) not in chosen], depth + 1)
            return
    yield from sorted(items, key=lambda each: (each[0].top, each[0].left))


def _widest_gap(spans: list[tuple[int, int]]) -> tuple[int, int] | None:
    """Width and beginning of the widest gap between the spans; touching ones have a gap of nothing."""
    widest: tuple[int, int] | None = None
    reached: int | None = None
    for start, end in sorted(spans):
        if reached is not None and start >= reached and (widest is None or start - reached > widest[0]):
            widest = (start - reached, reached)
        reached = end if reached is None else max(reached, end)
    return widest

"""Where on a page a stretch of its text stands."""

import struct
from collections.abc import Sequence

import pytest

from localai_app.documents.document import BOX_SCALE, Page, boxes_of

Place = tuple[int, int, int, int]


def lines_of(*places: Place) -> list[Place]:
    """The boxes of a text whose characters stand at ``places``; all zero for none."""
    page = Page(1, "x" * len(places), boxes=b"".join(struct.pack("<4H", *place) for place in places))
    sides = ((box.left, box.top, box.right, box.bottom) for box in boxes_of(page, 0, len(places)))
    return [tuple(round(side * BOX_SCALE) for side in box) for box in sides]  # type: ignore[misc]


def along(top: int) -> list[Place]:
    return [(100 * at, top, 100 * at + 90, top + 200) for at in range(1, 9)]


def turned(places: Sequence[Place], by: int) -> list[Place]:
    """``places`` on a page that is turned by a quarter (90, 270 clockwise)."""
    if by == 270:
        return [(top, 5000 - right, bottom, 5000 - left) for left, top, right, bottom in places]
    return [(5000 - bottom, left, 5000 - top, right) for left, top, right, bottom in places]


def test_each_line_has_one_box() -> None:
    assert lines_of(*along(100), (0, 0, 0, 0), *along(400)) == [(100, 100, 890, 300), (100, 400, 890, 600)]


@pytest.mark.parametrize("by", [90, 270])
def test_each_line_that_runs_up_or_down_the_page_has_one_box(by: int) -> None:
    assert lines_of(*turned([*along(100), *along(400)], by)) == turned(
        [(100, 100, 890, 300), (100, 400, 890, 600)], by
    )


def test_a_text_without_places_has_no_box() -> None:
    assert lines_of((0, 0, 0, 0)) == []

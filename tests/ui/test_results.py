"""What both search lists share: marked words, the keyboard."""

import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtTest import QTest

from localai_app.ui.theme import LIGHT, Theme
from localai_app.ui.widgets.results import draw_marked
from tests.ui.conftest import Desk


def marked_columns(theme: Theme, text: str, marks: list[tuple[int, int]]) -> set[int]:
    """Columns of the picture in which the mark's colour is seen."""
    image = QImage(400, 40, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    draw_marked(painter, theme, text, marks, QPointF(0, 0), 400, lines=1)
    painter.end()
    wanted = LIGHT.mark.lower()
    return {x for x in range(400) for y in range(40) if image.pixelColor(x, y).name() == wanted}


def test_a_mark_lies_on_its_word_behind_characters_that_qt_counts_twice(desk: Desk) -> None:
    plain = marked_columns(desk.theme, "word", [(0, 4)])
    behind = marked_columns(desk.theme, "😀😀 word", [(3, 7)])
    assert plain
    assert len(behind) == pytest.approx(len(plain), abs=3)
    assert min(behind) > min(plain) + 10


def test_enter_in_the_list_opens_the_chosen_hit(desk: Desk) -> None:
    desk.send("Hello there")
    view = desk.page.sidebar.search_view
    opened: list[object] = []
    view.opened.connect(opened.append)
    desk.page.sidebar.search_field.setText("Hello")
    desk.until(lambda: view.model().rowCount() > 0)
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert len(opened) == 1

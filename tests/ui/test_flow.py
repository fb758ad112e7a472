"""The layout that breaks into lines."""

from PySide6.QtCore import QSize
from PySide6.QtWidgets import QFrame, QLineEdit, QSizePolicy, QWidget
from pytestqt.qtbot import QtBot

from localai_app.ui.widgets.flow import FlowLayout


class Box(QFrame):
    def sizeHint(self) -> QSize:  # noqa: N802 - Qt
        return QSize(100, 30)


def flow(qtbot: QtBot, width: int, *widgets: QWidget) -> QWidget:
    holder = QWidget()
    qtbot.addWidget(holder)
    layout = FlowLayout(holder)
    layout.setSpacing(10)
    for widget in widgets:
        layout.addWidget(widget)
    holder.resize(width, layout.heightForWidth(width))
    layout.activate()
    return holder


def test_what_does_not_fit_goes_to_the_next_line(qtbot: QtBot) -> None:
    boxes = [Box() for _ in range(3)]
    holder = flow(qtbot, 215, *boxes)
    assert [(box.x(), box.y()) for box in boxes] == [(0, 0), (110, 0), (0, 40)]
    assert holder.height() == 70


def test_a_hidden_widget_takes_no_room(qtbot: QtBot) -> None:
    boxes = [Box() for _ in range(3)]
    boxes[0].hide()
    holder = flow(qtbot, 215, *boxes)
    assert boxes[1].x() == 0
    assert holder.height() == 30


def test_what_expands_takes_the_rest_of_its_line(qtbot: QtBot) -> None:
    field, box = QLineEdit(), Box()
    field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    holder = flow(qtbot, 500, field, box)
    assert holder.height() == max(30, field.sizeHint().height())
    assert box.geometry().right() == 499
    assert field.width() == 390


def test_one_that_is_too_wide_is_cut_to_the_line(qtbot: QtBot) -> None:
    box = Box()
    holder = flow(qtbot, 60, box)
    assert holder.height() == 30
    assert box.width() == 60

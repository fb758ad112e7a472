"""A person's path over the page, on the real service of tasks, a real store and a scripted engine."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from localai_app.documents.document import Scope
from localai_app.tasks.kinds import KINDS
from localai_app.ui.jobs import Jobs
from localai_app.ui.tasks.page import TasksPage
from localai_app.ui.tasks.rooms import TaskRooms
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.padlock import Locks
from localai_app.ui.widgets.toast import Toast
from tests.tasks import task_rooms


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[task_rooms.TaskRooms]:
    made = task_rooms.TaskRooms(tmp_path, kinds=KINDS)
    made.engine.scores = {"Complaint": -0.7, "Order": -0.8}
    yield made
    made.close()


@pytest.fixture
def page(qtbot: QtBot, theme: Theme, jobs: Jobs, rooms: task_rooms.TaskRooms) -> Iterator[TasksPage]:
    toasts: list[Toast] = []
    locks = Locks(theme, rooms.policy, theme)
    made = TasksPage(theme, jobs, TaskRooms(rooms.tasks, rooms.service), lambda: toasts[0], locks)
    toasts.append(Toast(theme, made))
    qtbot.addWidget(made)
    made.resize(1200, 760)
    made.show()
    made.load()
    yield made
    made.close_work()
    jobs.close()


def test_from_documents_over_the_grid_and_the_review_to_a_table(
    qtbot: QtBot,
    page: TasksPage,
    rooms: task_rooms.TaskRooms,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def until(condition: Callable[[], object]) -> None:
        qtbot.waitUntil(lambda: bool(condition()), timeout=15_000)

    first, second = rooms.put("The parcel never came.", "Please send ten boxes.")
    page.begin(Scope(documents=(first, second)), "classify")
    new = page.new_task
    assert new is not None
    for (name, _, _), text in zip(new.form.labels.rows, ("Complaint", "Order"), strict=True):  # type: ignore[attr-defined]
        QTest.keyClicks(name, text)
    until(lambda: new.price.text().startswith("2 documents, 2 pages"))
    QTest.keyClick(new, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    until(lambda: page.run_view is not None and page.run_view.model.rowCount() == 2)
    view = page.run_view
    assert view is not None
    # The model hesitates between the labels: both documents wait for a person.
    until(lambda: view.run is not None and view.run.to_review == 2)
    until(lambda: view.panel.shown is not None)
    view.panel.accept()
    until(lambda: view.run is not None and view.run.to_review == 1)
    until(lambda: "reviewed" in [view.model.index(row, 2).data() for row in range(2)])

    path = tmp_path / "labels.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), "*.csv"))
    view.export_requested.emit("csv")
    until(path.is_file)
    content = path.read_text(encoding="utf-8-sig")
    rows = list(csv.reader(content.splitlines(), delimiter=";" if ";" in content else ","))
    assert {"000.txt", "001.txt"} <= {cell for row in rows for cell in row}
    assert "Complaint" in content

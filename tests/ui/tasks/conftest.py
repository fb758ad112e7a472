"""The Tasks page on a library and runs in memory."""

import pytest

from localai_app.documents.document import Collection
from localai_app.tasks.run import Run
from localai_app.tasks.task import Doubt
from localai_app.ui import following
from localai_app.ui.tasks import new_task
from localai_app.ui.tasks.page import TasksPage
from localai_app.ui.tasks.run_view import RunView
from tests.ui.conftest import Desk
from tests.ui.fake_documents import FakeDocuments, paged
from tests.ui.fake_tasks import invoice

LISTED_EVERY_S, PRICED_AFTER_MS = 0.02, 20
"""Instead of what is right for a person."""
SUMS = Doubt("sum_differs", "Lines sum to 4,018.22. Two digits may be swapped.")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks on: what waits for a person's hand to rest need not wait."""
    monkeypatch.setattr(following, "LIST_SECONDS", LISTED_EVERY_S)
    monkeypatch.setattr(new_task, "PRICE_DELAY_MS", PRICED_AFTER_MS)


@pytest.fixture
def library(desk: Desk) -> FakeDocuments:
    """Four invoices, of which three are in a collection."""
    made = [desk.documents.put(f"invoice-{number}.pdf", paged(1, "Total 4,108.22")) for number in range(1, 5)]
    desk.documents.collect("Invoices November", *made[:3])
    desk.documents.threads.clear()
    return desk.documents


@pytest.fixture
def collection(library: FakeDocuments) -> Collection:
    return library.collections()[0]


@pytest.fixture
def page(desk: Desk, library: FakeDocuments) -> TasksPage:
    desk.window.show_tasks()
    desk.settle()
    made = desk.window.tasks_page
    assert made is not None
    return made


@pytest.fixture
def run(desk: Desk) -> Run:
    """Done, with one value in doubt and one document that failed."""
    return desk.tasks.put(
        "Extract · Invoice",
        invoice("Coolblue B.V.", "2026-11-02", 1249.0),
        invoice("Saeco GmbH", "2026-10-17", 84.9),
        invoice("Amazon Web Services", "2026-11-01", 4108.22, SUMS),
        "The file is damaged. Save it anew.",
    )


@pytest.fixture
def view(desk: Desk, page: TasksPage, run: Run) -> RunView:
    """That run, opened."""
    desk.settle()
    page.open_run(run)
    desk.until(lambda: page.run_view is not None and page.run_view.model.rows)
    desk.settle()
    assert page.run_view is not None
    return page.run_view

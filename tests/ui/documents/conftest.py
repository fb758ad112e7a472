"""The Documents page on a library in memory."""

from collections.abc import Callable

import pytest
from PySide6.QtWidgets import QAbstractButton, QWidget

from localai_app.ui.documents.page import DocumentsPage
from tests.ui.conftest import Desk
from tests.ui.fake_documents import FakeDocuments, lease


@pytest.fixture
def library(desk: Desk) -> FakeDocuments:
    """Two contracts and a collection with one of them."""
    mill = desk.documents.put("mill-lane.pdf", *lease())
    desk.documents.put("quay-west.pdf", *lease()[:2])
    desk.documents.collect("Leases 2026", mill)
    desk.documents.threads.clear()
    return desk.documents


@pytest.fixture
def page(desk: Desk, library: FakeDocuments) -> DocumentsPage:
    desk.window.show_documents()
    desk.settle()
    made = desk.window.documents_page
    assert made is not None
    return made


@pytest.fixture
def press() -> Callable[[QWidget, str], None]:
    def act(widget: QWidget, name: str) -> None:
        found = [
            button
            for button in widget.findChildren(QAbstractButton)
            if button.accessibleName() == name and button.isVisible()
        ]
        assert len(found) == 1, name
        found[0].click()

    return act

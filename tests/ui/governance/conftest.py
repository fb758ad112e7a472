"""The Organisation page on a real log in a store of its own, and an administrator who changes their mind."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from localai_app.governance import policy as policy_module
from localai_app.governance.audit import Audit
from localai_app.governance.audit_archive import AuditArchive
from localai_app.governance.policy import Policy
from localai_app.governance.policy_merge import Layer, Level
from localai_app.paths import Paths
from localai_app.store.database import Database
from localai_app.ui.governance.page import OrganisationPage
from localai_app.ui.governance.rooms import GovernanceRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.padlock import Locks
from localai_app.ui.widgets.toast import Toast
from tests.fake_engine import FakeEngine


class Source:
    """What an administrator set; a change counts at the next look."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.recommended: dict[str, object] = {}

    def fingerprint(self) -> object:
        return (dict(self.values), dict(self.recommended))

    def layers(self) -> list[Layer]:
        return [
            Layer(Level.MANDATORY, "10-clinic.json", dict(self.values)),
            Layer(Level.RECOMMENDED, "hints.json", dict(self.recommended)),
        ]


@dataclass
class Room:
    """The page and what stands behind it."""

    page: OrganisationPage
    locks: Locks
    source: Source
    audit: Audit
    database: Database
    jobs: Jobs
    qtbot: QtBot
    toast: Toast

    def settle(self) -> None:
        self.qtbot.waitUntil(lambda: not self.jobs.busy, timeout=5000)
        QApplication.processEvents()

    def set(self, **values: object) -> None:
        """As an administrator would; the window finds it at its next look."""
        self.source.values = values
        self.locks.look()
        self.settle()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Policy looks at its source at each question."""
    monkeypatch.setattr(policy_module, "_LOOK_SECONDS", 0.0)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def policy(source: Source) -> Policy:
    return Policy.of(source)


@pytest.fixture
def locks(theme: Theme, policy: Policy) -> Iterator[Locks]:
    made = Locks(theme, policy)
    yield made
    made.deleteLater()


@pytest.fixture
def room(  # noqa: PLR0917 - what stands behind it
    qtbot: QtBot, theme: Theme, source: Source, policy: Policy, locks: Locks, tmp_path: Path
) -> Iterator[Room]:
    database = Database.open(tmp_path / "store.db", bytes(32))
    audit, jobs = Audit(database, "ada"), Jobs()
    rooms = GovernanceRooms(
        policy, audit, AuditArchive(audit, policy), FakeEngine(), Paths.for_user(tmp_path / "data")
    )
    toasts: list[Toast] = []
    page = OrganisationPage(theme, jobs, rooms, locks, lambda: toasts[0])
    toasts.append(Toast(theme, page))
    qtbot.addWidget(page)
    page.resize(1100, 760)
    page.show()
    qtbot.waitExposed(page)
    made = Room(page, locks, source, audit, database, jobs, qtbot, toasts[0])
    made.settle()
    yield made
    jobs.close()
    database.close()

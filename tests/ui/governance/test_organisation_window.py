"""What a whole window shows of policy: the rail's entry, padlocks, the way from the settings."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from localai_app.app import App, open_app
from localai_app.governance import keys
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from localai_app.ui.application import make_window
from localai_app.ui.governance.rooms import GovernanceRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.main_window import MainWindow
from localai_app.ui.models.connection import ConnectionDialog
from localai_app.ui.theme import Theme
from tests.fake_engine import FakeEngine
from tests.ui.governance.conftest import Source


@pytest.fixture
def app(tmp_path: Path, policy: Policy) -> Iterator[App]:
    base = tmp_path / "home"
    paths = Paths(base / "data", base / "config", base / "cache", (base / "models",))
    with open_app(paths, engine=FakeEngine(), policy=policy) as opened:
        opened.settings.set("ui.welcomed", True)
        yield opened


@pytest.fixture
def window(qtbot: QtBot, theme: Theme, app: App) -> Iterator[MainWindow]:
    jobs = Jobs()
    made = make_window(app, theme, jobs)
    made.resize(1280, 820)
    made.show()
    qtbot.waitExposed(made)
    yield made
    qtbot.waitUntil(lambda: not jobs.busy, timeout=5000)
    made.close()
    made.deleteLater()
    jobs.close()
    QApplication.sendPostedEvents(made, QEvent.Type.DeferredDelete.value)


def test_the_rail_leads_to_the_page_while_policy_says_something(window: MainWindow, source: Source) -> None:
    entry = window._rail.buttons["organisation"]
    assert entry.isHidden()
    window.show_settings()
    settings = window.settings_page
    assert settings is not None
    settings.organisation.click()
    page = window.organisation_page
    assert page is not None
    assert page.isVisible()
    source.values = {"Banner": "INTERNAL"}
    window.locks.look()
    assert entry.isVisible()
    assert [row.name for row in page.policy.rows] == ["Banner"]
    window.show_chat()
    entry.click()
    assert page.isVisible()
    source.values = {"Bannner": "x"}
    window.locks.look()
    assert entry.isVisible(), "there is a problem to be seen"
    source.values = {}
    window.locks.look()
    assert entry.isHidden()


def test_what_policy_forbids_shows_a_padlock(window: MainWindow, app: App, source: Source) -> None:
    window.show_settings()
    settings = window.settings_page
    assert settings is not None
    assert settings.backup.isEnabled()
    assert settings.passphrase.isEnabled()
    source.values = {
        "AllowExport": False,
        "LegalHold": True,
        "KeyStore": "os",
        "ProxyURL": "http://proxy.example.com:3128",
        "AllowedTasks": ["chat", "documents", "summarise"],
    }
    window.locks.look()
    assert not settings.backup.isEnabled()
    assert "AllowExport" in settings.backup.toolTip()
    assert not settings.passphrase.isEnabled()
    assert "KeyStore" in settings.passphrase.accessibleDescription()
    conversation = app.chat.create()
    side = window.chat_page.sidebar
    copies = next(each for each in side._chat_menu(conversation).actions() if each.menu() is not None)
    assert not copies.isEnabled()
    assert [each.isEnabled() for each in side._trash_menu(conversation).actions()] == [True, False]
    assert not window.chat_page.pane.notice.delete_button.isEnabled()
    window.show_tasks()
    tasks = window.tasks_page
    assert tasks is not None
    assert [card.kind for card in tasks.home.cards.cards] == ["summarise"]
    assert not tasks.home.erase_button.isEnabled()
    view = tasks._make_run_view()
    assert not view.export_button.isEnabled()
    assert "AllowExport" in view.evidence_button.toolTip()
    window.show_documents()
    documents = window.documents_page
    assert documents is not None
    assert "LegalHold" in documents.sidebar._erase.toolTip()
    window.show_models()
    models = window.models_page
    assert models is not None
    assert not models.installed.delete_button.isEnabled()
    window._ask_for_connection()
    dialog = window.findChild(ConnectionDialog)
    assert dialog is not None
    assert (dialog.proxy.isReadOnly(), dialog.endpoint.isReadOnly()) == (True, False)
    dialog.close()
    documents.close_work()
    models.close_work()


def test_how_the_key_of_a_real_store_is_guarded_is_told(app: App, policy: Policy, source: Source) -> None:
    rooms = GovernanceRooms(app.policy, app.audit, app.archive, app.engine, app.paths)
    assert rooms.guard().weak == (app.key.kind == "file")
    assert rooms.guard().sealed_to == ""
    app.set_passphrase("correct horse")
    assert "under a passphrase" in rooms.guard().words
    assert not rooms.guard().weak
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    source.values = {"RecoveryPublicKey": base64.b64encode(public).decode()}
    fingerprint = keys.seal_to_organisation(app.paths, app.key, policy)
    assert rooms.guard().sealed_to == fingerprint != ""


def test_a_low_window_shows_pictures_in_the_rail(window: MainWindow, source: Source, theme: Theme) -> None:
    source.values = {"Banner": "INTERNAL"}
    window.locks.look()
    chat = window._rail.buttons["chat"]
    assert chat.toolTip() == ""
    theme.set_zoom(2.0)
    window.resize(900, 600)
    QApplication.processEvents()
    shown = [button for button in window._rail.buttons.values() if button.isVisible()]
    ends = [button.geometry().bottom() for button in shown]
    begins = [button.geometry().top() for button in shown]
    assert all(below > above for above, below in zip(ends, begins[1:], strict=False)), "none lies on another"
    assert chat.toolTip() == "Chat"

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from localai_app.errors import StoreError
from localai_app.governance import attestation, live_check
from localai_app.governance.audit import AuditEvent, Selection
from localai_app.governance.live_check import LiveCheck, Reach, Seen
from localai_app.ui.governance.attestation import AttestationDialog
from localai_app.ui.theme import Theme
from tests.ui.governance.conftest import Room

APP = Seen(7, "app", Reach.OFFLINE, {"UNIX": 1}, 1)
ENGINE = Seen(8, "engine", Reach.OFFLINE, None, 2)
PULLER = Seen(9, "puller", Reach.CONNECTED, None, 1, may_connect=True)
OFFLINE = LiveCheck(Reach.OFFLINE, {"TCP": "refused (EPERM)"}, (APP, ENGINE))


class Check:
    """What the system is going to tell."""

    def __init__(self) -> None:
        self.found = OFFLINE

    def __call__(self) -> LiveCheck:
        return self.found


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Check:
    made = Check()
    monkeypatch.setattr(live_check, "look", made)
    monkeypatch.setattr(attestation.look, "__kwdefaults__", {"check": made})
    return made


@pytest.fixture
def dialog(room: Room, check: Check, theme: Theme, qtbot: QtBot) -> Iterator[AttestationDialog]:
    parent = QWidget()
    parent.resize(900, 700)
    qtbot.addWidget(parent)
    made = AttestationDialog(theme, parent, room.jobs, room.page.protection._rooms, room.locks)
    made.show()
    room.settle()
    yield made
    made.close()


def words(dialog: AttestationDialog) -> str:
    return "\n".join(fact.words.text() for fact in dialog.facts)


def test_what_is_found_is_shown_at_once(dialog: AttestationDialog) -> None:
    assert dialog.verdict.text() == "No process of this app can reach a network now."
    shown = words(dialog)
    assert "No network socket; the system refuses it any." in shown
    assert "Sockets hidden" in shown
    assert "TCP: refused (EPERM)" in shown
    assert "0 made, 0 refused." in shown
    assert "own user" in shown


def test_a_second_look_shows_what_is_now(dialog: AttestationDialog, room: Room, check: Check) -> None:
    check.found = LiveCheck(Reach.CONNECTED, OFFLINE.tried, (APP, PULLER))
    room.audit.append(AuditEvent.NETWORK_CONNECTED, "huggingface.co")
    dialog.again.click()
    assert not dialog.save.isEnabled(), "nothing old is signed meanwhile"
    room.settle()
    assert "models are being fetched" in dialog.verdict.text()
    assert "Connected to: huggingface.co." in words(dialog)


def test_the_statement_that_is_saved_says_what_was_shown(
    dialog: AttestationDialog, room: Room, tmp_path: Path, check: Check
) -> None:
    check.found = LiveCheck(Reach.UNPROVEN, {}, (APP,))  # what is so after it was shown
    path = tmp_path / "now.attestation.json"
    dialog.save_as(path)
    room.settle()
    report = attestation.verify(path, key=room.audit.key)
    assert report.sound
    assert report.attestation is not None
    assert report.attestation.check == OFFLINE
    assert "Entry" in dialog.told.text()


def test_the_statement_can_be_copied(dialog: AttestationDialog, room: Room, tmp_path: Path) -> None:
    dialog.copy.click()
    room.settle()
    path = tmp_path / "pasted.json"
    path.write_text(QGuiApplication.clipboard().text(), encoding="utf-8")
    assert attestation.verify(path).sound


def test_where_copying_is_not_allowed_the_button_is_locked(dialog: AttestationDialog, room: Room) -> None:
    room.set(AllowClipboard=False)
    assert not dialog.copy.isEnabled()
    assert "AllowClipboard" in dialog.copy.toolTip()
    room.set()
    assert dialog.copy.isEnabled()


def test_what_goes_wrong_is_told(
    dialog: AttestationDialog, room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialog.save_as(tmp_path / "no" / "folder" / "a.json")
    room.settle()
    assert "cannot be written" in dialog.told.text()
    assert dialog.save.isEnabled()

    def fail(*_: object, **__: object) -> None:
        raise StoreError("The store is gone.")

    monkeypatch.setattr(attestation, "look", fail)
    dialog.check()
    room.settle()
    assert "The store is gone." in dialog.told.text()


def test_looking_alone_writes_nothing_into_the_log(dialog: AttestationDialog, room: Room) -> None:
    assert not room.audit.entries(Selection(events=[AuditEvent.NETWORK_ATTESTED]))

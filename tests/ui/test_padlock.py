"""Controls that policy locks, and frees again."""

import pytest
from PySide6.QtWidgets import QLineEdit, QMenu
from pytestqt.qtbot import QtBot

from localai_app.governance import policy as policy_module
from localai_app.governance.policy import Policy
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.padlock import Lock, Locks
from tests.ui.governance.conftest import Source

WHY = "Managed by your organisation (AllowExport, 10-clinic.json)"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setattr(policy_module, "_LOOK_SECONDS", 0.0)
    return Source()


@pytest.fixture
def locks(qtbot: QtBot, theme: Theme, source: Source) -> Locks:
    return Locks(theme, Policy.of(source), theme)


def change(locks: Locks, source: Source, **values: object) -> None:
    source.values = values
    locks.look()


def test_a_button_is_locked_while_policy_says_so(
    qtbot: QtBot, theme: Theme, locks: Locks, source: Source
) -> None:
    button = Button(theme, "Export", icon="download")
    qtbot.addWidget(button)
    button.setToolTip("To a file")
    own = button.icon().cacheKey()
    held = locks.hold(button, Lock.EXPORT)
    assert button.isEnabled()
    change(locks, source, AllowExport=False)
    assert not button.isEnabled()
    assert button.toolTip() == button.accessibleDescription() == WHY
    assert button.icon().cacheKey() == theme.icon("lock").cacheKey() != own
    held.enable(True)
    button.setToolTip("Export")
    assert not button.isEnabled()
    assert button.toolTip() == WHY
    change(locks, source)
    assert button.isEnabled()
    assert (button.toolTip(), button.accessibleDescription()) == ("Export", "")
    assert button.icon().cacheKey() == own
    held.enable(False)
    change(locks, source, LegalHold=True)
    assert not button.isEnabled(), "nothing to export is no matter of policy"
    assert button.toolTip() == "Export"


def test_a_field_stays_readable(qtbot: QtBot, locks: Locks, source: Source) -> None:
    field = QLineEdit("http://proxy.example.com")
    qtbot.addWidget(field)
    locks.hold(field, Lock.PROXY)
    change(locks, source, ProxyURL="http://proxy.example.com")
    assert field.isReadOnly()
    assert field.isEnabled()
    assert "ProxyURL" in field.accessibleDescription()
    assert [action.isVisible() for action in field.actions()] == [True]
    change(locks, source)
    assert not field.isReadOnly()
    assert [action.isVisible() for action in field.actions()] == [False]


def test_an_action_of_a_menu_is_locked_when_it_opens(qtbot: QtBot, locks: Locks, source: Source) -> None:
    menu = QMenu()
    qtbot.addWidget(menu)
    action = menu.addAction("Delete forever…")
    locks.mark(menu, action, Lock.ERASE)
    assert action.isEnabled()
    change(locks, source, LegalHold=True)
    locks.mark(menu, action, Lock.ERASE)
    assert not action.isEnabled()
    assert "LegalHold" in action.toolTip()
    assert menu.toolTipsVisible()


@pytest.mark.parametrize(
    ("lock", "values"),
    [
        (Lock.EXPORT, {"AllowExport": False}),
        (Lock.AUDIT_EXPORT, {"AllowExport": False}),
        (Lock.AUDIT_EXPORT, {"AuditExportPath": 1}),
        (Lock.ERASE, {"LegalHold": True}),
        (Lock.KEY_GUARD, {"KeyStore": "os"}),
        (Lock.HUB, {"ModelSourceURL": "https://models.example.com"}),
        (Lock.PROXY, {"ProxyURL": "http://proxy.example.com:3128"}),
    ],
)
def test_each_lock_names_its_key(locks: Locks, source: Source, lock: Lock, values: dict[str, object]) -> None:
    assert locks.reason(lock) == ""
    change(locks, source, **values)
    assert next(iter(values)) in locks.reason(lock)
    assert "10-clinic.json" in locks.reason(lock)


def test_nothing_is_told_while_nothing_changes(qtbot: QtBot, locks: Locks, source: Source) -> None:
    with qtbot.assertNotEmitted(locks.changed):
        locks.look()
    with qtbot.waitSignal(locks.changed):
        change(locks, source, Banner="INTERNAL")

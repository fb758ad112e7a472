"""The Organisation page: policy in force, protection, the audit log."""

import json
from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog

from localai_app import sandbox
from localai_app.errors import PolicyRefused
from localai_app.governance.audit import AuditEvent, Selection
from localai_app.governance.policy import Policy
from localai_app.governance.policy_schema import KEYS
from localai_app.governance.policy_words import TITLES
from localai_app.ui.application import banner_text
from localai_app.ui.governance.audit_model import PAGE, Part
from tests.ui.governance.conftest import Room
from tests.ui.test_main_window import nameless

POLICY, PROTECTION, CONNECTIONS, AUDIT = range(4)


def names(room: Room) -> list[str]:
    return [row.name for row in room.page.policy.rows]


def test_every_key_has_a_name_in_plain_words() -> None:
    assert TITLES.keys() == {key.name for key in KEYS}


def test_keys_that_are_set_are_shown_and_all_on_demand(room: Room) -> None:
    assert names(room) == []
    assert "No administrator" in room.page.policy.summary.text()
    room.source.recommended = {"RetentionDays": 90}
    room.set(AllowExport=False, AllowedModels=["a" * 64] * 5 + ["b" * 64])
    assert names(room) == ["AllowedModels", "AllowExport", "RetentionDays"]
    assert room.page.policy.summary.text() == "3 keys are set."
    models, export, days = room.page.policy.rows
    assert export.value.text() == "no"
    assert export.where.text() == "AllowExport · mandatory, 10-clinic.json"
    assert "recommended, hints.json" in days.where.text()
    assert models.value.toolTip().splitlines() == ["a" * 64, "b" * 64]
    room.page.policy.all_keys.click()
    assert set(names(room)) == {key.name for key in KEYS}
    room.page.policy.all_keys.click()
    assert len(names(room)) == 3


def test_problems_stand_at_their_key_with_what_to_do(room: Room) -> None:
    room.set(RetentionDays="ten", Bannner="x")
    (row,) = room.page.policy.rows
    (problem,) = row.problems
    assert row.name == "RetentionDays"
    assert problem.property("look") == "bad"
    assert "expected a whole number" in problem.text()
    assert "An administrator corrects" in problem.text()
    (loose,) = room.page.policy.loose
    assert "perhaps Banner" in loose.text()
    assert "2 problems" in room.page.policy.summary.text()


def test_what_this_version_does_not_act_on_is_said(room: Room) -> None:
    idle = next((key for key in KEYS if not key.enforced), None)
    if idle is None:
        pytest.skip("every key is enforced")
    example = list(idle.example) if isinstance(idle.example, tuple) else idle.example
    room.set(AllowExport=False, **{idle.name: example})
    told = {row.name: row.not_enforced for row in room.page.policy.rows}
    assert told["AllowExport"] is None
    shown = told[idle.name]
    assert shown is not None
    assert "Not enforced by this version" in shown.text()


def test_protection_says_what_is_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "missing", lambda: "the system has no Landlock (none)")
    room.page.tabs.setCurrentIndex(PROTECTION)
    room.settle()
    page = room.page.protection
    assert page.key.words.text() == "No key yet: it is made at the first start."
    assert "Not sealed" in page.recovery.words.text()
    assert "no Landlock" in page.system.words.text()
    assert (page.engine.words.text(), page.engine.words.property("look")) == ("Not confined", "warn")
    room.set(RecoveryPublicKey="A" * 43 + "=")
    assert "next start" in page.recovery.words.text()


def fill(room: Room, count: int) -> None:
    with room.database.transaction():
        for number in range(count):
            event = AuditEvent.POLICY_REFUSED if number % 5 == 0 else AuditEvent.MESSAGE_SENT
            room.audit.append(event, f"{number}", {"number": number})


def test_the_log_is_read_page_by_page_the_newest_first(room: Room) -> None:
    fill(room, 2 * PAGE + 7)
    room.page.tabs.setCurrentIndex(AUDIT)
    room.settle()
    log, model = room.page.audit, room.page.audit.model
    assert [entry.seq for entry in model.entries] == list(range(2 * PAGE + 7, PAGE + 7, -1))
    for expected in (2 * PAGE, 2 * PAGE + 7):
        assert model.canFetchMore(log.table.rootIndex())
        log.table.scrollToBottom()
        room.qtbot.waitUntil(lambda expected=expected: model.rowCount() >= expected)
        room.settle()
    assert [entry.seq for entry in model.entries] == list(range(2 * PAGE + 7, 0, -1))
    assert not model.canFetchMore(log.table.rootIndex())
    assert model.index(0, Part.ACTOR).data() == "ada"


def test_the_log_is_filtered_and_an_entry_shown_whole(room: Room) -> None:
    fill(room, 20)
    room.page.tabs.setCurrentIndex(AUDIT)
    log = room.page.audit
    log.events.setCurrentIndex(log.events.findData("policy"))
    log.events.activated.emit(log.events.currentIndex())
    room.settle()
    assert [entry.seq for entry in log.model.entries] == [16, 11, 6, 1]
    assert log.details.isHidden()
    log.table.selectRow(1)
    shown = json.loads(log.details.toPlainText())
    assert (shown["seq"], shown["body"], shown["event"]) == (11, {"number": 10}, "policy.refused")
    assert len(shown["hash"]) == 64
    log.times.setCurrentIndex(log.times.findData(1))
    log.times.activated.emit(log.times.currentIndex())
    room.settle()
    assert len(log.model.entries) == 4
    assert log.table.currentIndex().row() == 1, "the chosen entry stays chosen"
    log.events.setCurrentIndex(log.events.findData("task.erased"))
    log.events.activated.emit(log.events.currentIndex())
    room.settle()
    assert log.nothing.isVisible()
    assert log.details.isHidden()


def test_verifying_says_what_it_found_and_is_written_down(room: Room) -> None:
    fill(room, 12)
    room.audit.checkpoint()
    room.page.tabs.setCurrentIndex(AUDIT)
    log = room.page.audit
    log.verify_button.click()
    assert not log.verify_button.isEnabled()
    room.settle()
    room.settle()
    assert "none changed" in log.result.text()
    assert "does not resist the machine's own user" in log.result.text()
    assert log.model.entries[0].event == "chain.verified"
    assert "Last signed checkpoint: entry 14" in log.checkpoint.text()
    assert log.verify_button.isEnabled()
    room.database.execute("DROP TRIGGER audit_not_updated")
    room.database.execute("UPDATE audit SET body = '{}' WHERE seq = 3")
    log.verify_button.click()
    room.settle()
    assert "changed" in log.result.text()
    assert "2 entries are sound" in log.result.text()
    assert log.result.property("look") == "bad"


def test_the_filtered_log_is_exported_where_the_person_says(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(room, 10)
    room.page.tabs.setCurrentIndex(AUDIT)
    log, file = room.page.audit, tmp_path / "log.jsonl"
    answers = ["", str(file)]
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (answers.pop(0), ""))
    log.events.setCurrentIndex(log.events.findData("policy.refused"))
    log.export_button.click()
    log.export_button.click()
    room.settle()
    written = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [entry["event"] for entry in written] == ["policy.refused"] * 2
    assert "log.jsonl is written: 2 entries." in room.toast.text
    table = tmp_path / "log.csv"
    log.export(table, log.selection)
    room.settle()
    assert table.read_text(encoding="utf-8").startswith("seq,")


def test_exporting_the_log_is_locked_as_policy_says(room: Room, tmp_path: Path) -> None:
    button = room.page.audit.export_button
    assert button.isEnabled()
    room.set(AllowExport=False)
    assert not button.isEnabled()
    assert button.toolTip() == "Managed by your organisation (AllowExport, 10-clinic.json)"
    room.set(AllowExport=False, AuditExportPath=str(tmp_path / "out"))
    assert button.isEnabled(), "a folder is named for it"
    room.set(AuditExportPath=7)
    assert "AuditExportPath" in button.toolTip()
    # What changes between a look and a click is refused by the service.
    room.page.audit.export(tmp_path / "log.jsonl", room.page.audit.selection)
    room.settle()
    assert "cannot be read" in room.page.audit.result.text()
    assert not (tmp_path / "log.jsonl").exists()


def test_everything_has_a_name_and_no_tab_is_wider_than_the_window(room: Room) -> None:
    room.set(AllowExport=False, ProxyURL="http://proxy.example.com:3128")
    fill(room, 3)
    for tab in (POLICY, PROTECTION, CONNECTIONS, AUDIT):
        room.page.tabs.setCurrentIndex(tab)
        room.settle()
        for part in (room.page.tabs, room.page.policy, room.page.protection, room.page.audit):
            assert nameless(part) == []
        assert room.page.minimumSizeHint().width() <= 600


# ---------------------------------------------------------------- connections


def test_connections_made_and_refused_are_listed_with_their_hosts(room: Room) -> None:
    ledger = room.page.ledger
    room.page.tabs.setCurrentIndex(CONNECTIONS)
    room.settle()
    assert "0 made, 0 refused" in ledger.summary.text()
    assert not ledger.table.isVisible()
    room.audit.append(AuditEvent.NETWORK_CONNECTED, "a-rather-long-name.huggingface.co")
    room.audit.append(AuditEvent.NETWORK_REFUSED, "tracker.example")
    room.audit.append(AuditEvent.APP_STARTED)
    ledger.refresh()
    room.settle()
    assert "1 made, 1 refused" in ledger.summary.text()
    shown = [
        [ledger.model.index(row, part).data() for part in (Part.EVENT, Part.OBJECT)]
        for row in range(ledger.model.rowCount())
    ]
    assert shown == [["Refused", "tracker.example"], ["Made", "a-rather-long-name.huggingface.co"]]


def test_where_nothing_may_connect_the_ledger_says_so(room: Room) -> None:
    room.set(OfflineOnly=True)
    room.page.tabs.setCurrentIndex(CONNECTIONS)
    room.settle()
    assert "OfflineOnly" in room.page.ledger.summary.text()


def test_a_refused_copy_is_told_and_audited(room: Room) -> None:
    rooms = room.page.protection._rooms
    rooms.require_copy()
    room.set(AllowClipboard=False)
    with pytest.raises(PolicyRefused, match="copying text"):
        rooms.require_copy()
    refused = room.audit.entries(Selection(events=[AuditEvent.POLICY_REFUSED]))[0]
    assert refused.object == "clipboard"


def test_the_banner_says_that_content_is_kept() -> None:
    assert banner_text(Policy()) == ""
    assert banner_text(Policy({"Banner": "INTERNAL"})) == "INTERNAL"
    both = banner_text(Policy({"Banner": "INTERNAL", "ContentCapture": True}))
    assert both.startswith("INTERNAL · ")
    assert "kept for your organisation" in both

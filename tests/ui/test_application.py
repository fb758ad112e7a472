import json
import sys
import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication, QDialog
from pytestqt.qtbot import QtBot

from localai_app.errors import WrongKey, report
from localai_app.paths import Paths
from localai_app.ui import application
from localai_app.ui.crash import CrashDialog, CrashHook
from localai_app.ui.instance import Instance
from localai_app.ui.jobs import Jobs
from localai_app.ui.key_guard import key_guard
from localai_app.ui.preferences import Preferences
from localai_app.ui.startup import CannotOpen, PassphraseDialog, ask_passphrase
from localai_app.ui.theme import Theme
from tests.ui.fake_chat import FakeSettings
from tests.ui.test_main_window import nameless


def test_only_one_window_per_data_folder(qapp: QApplication, tmp_path: Path) -> None:
    first, second = Instance(tmp_path), Instance(tmp_path)
    assert first.claim()
    assert not second.claim()
    assert Instance(tmp_path / "other").claim()
    first.release()
    assert second.claim()
    second.release()


def test_a_second_start_hands_its_files_to_the_first(qtbot: QtBot, tmp_path: Path) -> None:
    first, second = Instance(tmp_path / "data"), Instance(tmp_path / "data")
    assert first.claim()
    first.listen()
    with qtbot.waitSignal(first.requested, timeout=5000) as got:
        second.hand_over([Path("/models/a b.gguf")])
    assert got.args == [[Path("/models/a b.gguf")]]
    assert list((tmp_path / "data" / "open-requests").iterdir()) == []
    first.release()


def test_a_second_start_without_files_still_raises_the_window(qtbot: QtBot, tmp_path: Path) -> None:
    first = Instance(tmp_path)
    first.listen()
    with qtbot.waitSignal(first.requested, timeout=5000) as got:
        Instance(tmp_path).hand_over([])
    assert got.args == [[]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"{}",
        b'["' + b"x" * 100_000 + b'"]',
        json.dumps(["/f"] * 500).encode(),
        b"\xff\xfe",
        b"null",
    ],
)
def test_what_is_no_request_is_thrown_away(qapp: QApplication, tmp_path: Path, content: bytes) -> None:
    instance = Instance(tmp_path)
    instance.listen()
    seen: list[object] = []
    instance.requested.connect(seen.append)
    request = tmp_path / "open-requests" / "x.json"
    request.write_bytes(content)
    instance.collect()
    assert seen == []
    assert not request.exists()


def test_relative_names_in_a_request_are_ignored(qapp: QApplication, tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    instance.listen()
    seen: list[list[Path]] = []
    instance.requested.connect(seen.append)
    (tmp_path / "open-requests" / "x.json").write_text(json.dumps(["../../x", 5, str(tmp_path / "a.gguf")]))
    instance.collect()
    assert seen == [[tmp_path / "a.gguf"]]


def test_a_store_that_does_not_open_gets_a_page_and_another_try(
    qtbot: QtBot, theme: Theme, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []
    shown: list[tuple[str, str]] = []

    def opener() -> str:
        tries.append("try")
        if len(tries) < 3:
            raise WrongKey("The key does not open this store.", "Check the passphrase.")
        return "app"

    def again(page: CannotOpen) -> QDialog.DialogCode:
        shown.append((page.line.text(), page.hint.text()))
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(CannotOpen, "exec", again)
    assert application._open(theme, opener) == "app"  # type: ignore[arg-type, comparison-overlap]
    assert shown == [("The key does not open this store.", "Check the passphrase.")] * 2
    monkeypatch.setattr(CannotOpen, "exec", lambda _: QDialog.DialogCode.Rejected)
    tries.clear()
    assert application._open(theme, opener) is None  # type: ignore[arg-type]
    assert tries == ["try"]


def test_a_second_run_ends_at_once_and_leaves_a_request(
    qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = Paths.for_user(tmp_path / "data")
    first = Instance(paths.data)
    assert first.claim()
    monkeypatch.setattr(application, "make_application", lambda _: qapp)
    before = qInstallMessageHandler(None)
    qInstallMessageHandler(before)
    try:
        code = application.run(
            paths,
            lambda *_, **__: pytest.fail("opened the store"),
            [tmp_path / "m.gguf"],
            connected=lambda: None,
        )
    finally:
        qInstallMessageHandler(before)
    assert code == 0
    requests = list((paths.data / "open-requests").glob("*.json"))
    assert [json.loads(request.read_text()) for request in requests] == [[str(tmp_path / "m.gguf")]]
    first.release()


def test_a_new_passphrase_is_asked_for_twice(qtbot: QtBot, theme: Theme) -> None:
    dialog = PassphraseDialog(theme, new=True)
    assert nameless(dialog) == []
    dialog.show()
    qtbot.waitExposed(dialog)
    dialog.first.setText("short")
    dialog.ok.click()
    assert "at least" in dialog._wrong.text()
    dialog.first.setText("long enough 1")
    dialog.second.setText("long enough 2")
    dialog.ok.click()
    assert "not the same" in dialog._wrong.text()
    dialog.second.setText("long enough 1")
    dialog.ok.click()
    assert dialog.result() == QDialog.DialogCode.Accepted
    assert dialog.passphrase == "long enough 1"
    assert dialog.first.echoMode() == dialog.first.EchoMode.Password


def test_quitting_the_passphrase_question_gives_none(theme: Theme, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PassphraseDialog, "exec", lambda _: QDialog.DialogCode.Rejected)
    assert ask_passphrase(theme)(False) is None


def test_a_crash_report_names_the_place_and_quotes_nothing() -> None:
    secret = "the patient's name"
    try:
        raise ValueError(secret)
    except ValueError as error:
        text = report(error)
    assert "ValueError" in text
    assert "test_application.py" in text
    assert secret not in text


def test_an_error_in_any_thread_ends_in_the_dialog(
    qtbot: QtBot, theme: Theme, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(CrashDialog, "exec", lambda _: shown.append("dialog") or QDialog.DialogCode.Accepted)
    before = sys.excepthook, threading.excepthook
    hook = CrashHook(theme)
    hook.install()
    try:
        sys.excepthook(ValueError, ValueError("a secret"), None)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        qtbot.waitUntil(lambda: len(shown) == 2)
    finally:
        hook.remove()
    assert (sys.excepthook, threading.excepthook) == before
    assert "a secret" not in caplog.text
    assert "ValueError" in caplog.text


def test_qt_warnings_become_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    application._log_qt(QtMsgType.QtWarningMsg, QMessageLogContext(), "something odd")
    assert [(record.name, record.levelname, record.message) for record in caplog.records] == [
        ("qt", "WARNING", "something odd")
    ]


@pytest.mark.parametrize(
    "stored",
    [
        {
            "ui.theme": "pink",
            "ui.zoom": "big",
            "ui.geometry": 5,
            "ui.sidebar_width": "x",
            "ui.send_with_ctrl": "yes",
        },
        {
            "ui.theme": None,
            "ui.zoom": 900,
            "ui.geometry": None,
            "ui.sidebar_width": -4,
            "ui.send_with_ctrl": 1,
        },
        {"ui.theme": ["dark"], "ui.zoom": True, "ui.geometry": {}, "ui.sidebar_width": 1.5},
    ],
)
def test_odd_stored_preferences_fall_back(jobs: Jobs, stored: dict[str, object]) -> None:
    preferences = Preferences(FakeSettings(**stored), jobs)
    assert preferences.mode == "system"
    assert preferences.zoom == 1.0
    assert preferences.geometry == ""
    assert preferences.sidebar_width == 0
    assert preferences.send_with_ctrl is False


def test_the_key_is_described_in_words(tmp_path: Path) -> None:
    paths = Paths.for_user(tmp_path)
    assert "keystore" in key_guard("os", paths).words
    assert "passphrase" in key_guard("passphrase", paths).words
    weak = key_guard("file", paths).words
    assert "Weak" in weak
    assert str(paths.config) in weak

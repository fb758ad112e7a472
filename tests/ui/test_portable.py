"""A portable copy says in the window that it is one."""

import sys
from pathlib import Path

import pytest
from PySide6.QtWidgets import QDialog, QLabel

from localai_app.paths import Paths
from localai_app.ui.key_guard import key_guard
from localai_app.ui.settings.page import SettingsPage
from localai_app.ui.startup import PassphraseDialog, ask_passphrase
from localai_app.ui.theme import Theme
from tests.ui.conftest import Desk


@pytest.fixture
def stick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a portable copy, which pretends to run."""
    folder = tmp_path.resolve()
    (folder / "portable").touch()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(folder / "localai-app"))
    return folder


def settings(desk: Desk) -> SettingsPage:
    desk.window.show_settings()
    assert desk.window.settings_page is not None
    return desk.window.settings_page


def texts(page: SettingsPage) -> list[str]:
    return [each.text() for each in page.findChildren(QLabel)]


def test_settings_of_an_installed_copy_say_nothing_of_it(desk: Desk) -> None:
    page = settings(desk)
    assert "Portable copy" not in texts(page)
    assert "portable" not in page.version.text()


def test_settings_say_that_it_is_one_and_where_everything_is(stick: Path, desk: Desk) -> None:
    page = settings(desk)
    assert "Portable copy" in texts(page)
    assert any(str(stick / "data") in text and "Nothing is kept" in text for text in texts(page))
    assert page.version.text().endswith(", portable copy")


def test_a_key_file_beside_the_data_is_called_what_it_is(stick: Path) -> None:
    guard = key_guard("file", Paths.for_user())
    assert guard.weak
    assert "Whoever finds this portable copy" in guard.words
    assert str(stick / "data" / "config") in guard.words


def test_the_first_start_offers_a_passphrase_and_takes_not_now(
    stick: Path, theme: Theme, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def decline(dialog: PassphraseDialog) -> QDialog.DialogCode:
        shown.append(dialog.leave.text())
        return QDialog.DialogCode.Rejected

    monkeypatch.setattr(PassphraseDialog, "exec", decline)
    ask = ask_passphrase(theme)
    assert ask(True) is None
    assert ask(False) is None
    assert shown == ["Not now", "Quit"]

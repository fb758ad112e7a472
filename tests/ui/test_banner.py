"""The organisation's line at the top of the window."""

from pytestqt.qtbot import QtBot

from localai_app.ui.widgets.banner import Banner


def test_it_shows_what_policy_says_and_follows_it(qtbot: QtBot) -> None:
    said = ["INTERNAL <b>only</b>"]
    banner = Banner()
    qtbot.addWidget(banner)
    assert banner.isHidden()
    banner.follow(lambda: said[0])
    assert not banner.isHidden()
    assert banner.text() == banner.accessibleName() == "INTERNAL <b>only</b>"
    said[0] = ""
    banner.look()
    assert banner.isHidden()

import re

import pytest
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon
from PySide6.QtWidgets import QApplication

from localai_app.ui.icons import icon_pixmap
from localai_app.ui.theme import DARK, LIGHT, Theme, Tokens

ON_GROUND = [
    (text, ground)
    for text in ("text", "dim")
    for ground in ("background", "side", "surface", "soft", "code", "hover")
] + [
    *[(text, ground) for text in ("ok", "warn", "bad", "accent") for ground in ("background", "surface")],
    ("accent", "soft"),
    ("accent", "side"),
    ("on_accent", "accent"),
    ("on_accent", "accent_hover"),
    ("text", "mark"),
    *[(f"syntax_{kind}", "code") for kind in ("keyword", "string", "number", "comment", "name")],
]


def luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), ON_GROUND)
def test_every_text_stands_out_from_every_ground_it_is_drawn_on(
    tokens: Tokens, text: str, ground: str
) -> None:
    assert contrast(getattr(tokens, text), getattr(tokens, ground)) >= 4.5


def test_all_tokens_are_colours() -> None:
    for tokens in (LIGHT, DARK):
        for name in tokens.names():
            assert re.fullmatch("#[0-9A-F]{6}", getattr(tokens, name)), name


def test_a_mode_change_repaints_everything(theme: Theme, qapp: QApplication) -> None:
    changes = []
    theme.changed.connect(lambda: changes.append(theme.dark))
    theme.set_mode("dark")
    assert changes == [True]
    assert qapp.palette().window().color().name().upper() == DARK.background
    assert DARK.accent in qapp.styleSheet()
    assert LIGHT.accent not in qapp.styleSheet()


def test_system_mode_follows_the_system(theme: Theme, monkeypatch: pytest.MonkeyPatch) -> None:
    from PySide6.QtCore import Qt

    class Hints:
        scheme = Qt.ColorScheme.Light

        def colorScheme(self) -> Qt.ColorScheme:  # noqa: N802
            return self.scheme

    hints = Hints()
    monkeypatch.setattr(theme, "_hints", hints)
    theme.set_mode("system")
    assert not theme.dark
    hints.scheme = Qt.ColorScheme.Dark
    theme._follow_system()
    assert theme.tokens is DARK


def test_zoom_goes_in_steps_and_stays_within_its_limits(theme: Theme) -> None:
    body = theme.px(14)
    for _ in range(20):
        theme.step_zoom(1)
    assert theme.zoom == 2.0
    assert theme.px(14) == body * 2
    for _ in range(20):
        theme.step_zoom(-1)
    assert theme.zoom == 0.8
    theme.step_zoom(0)
    assert theme.zoom == 1.0


def test_an_icon_takes_the_colour_of_the_theme_in_force(theme: Theme) -> None:
    icon = theme.icon("square", "text")
    light = ink(icon)
    theme.set_mode("dark")
    assert light == QColor(LIGHT.text).name()
    assert ink(icon) == QColor(DARK.text).name()


def test_an_icon_is_sharp_on_a_dense_screen() -> None:
    pixmap = icon_pixmap("square", "#000000", 18, 2.0)
    assert pixmap.size() == QSize(36, 36)
    assert pixmap.devicePixelRatio() == 2.0


def test_icons_survive_copies_that_outlive_them(theme: Theme) -> None:
    copies = [QIcon(theme.icon("copy", token)) for token in ("dim", "text", "accent") for _ in range(50)]
    assert all(not copy.pixmap(18, 18).isNull() for copy in copies)


def ink(icon: QIcon) -> str:
    """The darkest (least transparent) pixel's colour."""
    image = icon.pixmap(48, 48).toImage()
    pixels = [image.pixelColor(x, y) for x in range(48) for y in range(48)]
    return max(pixels, key=QColor.alpha).name()

"""A person at the real window: the app on folders of its own, hands, and eyes for what is marked."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from localai_app.app import App, open_app
from localai_app.paths import Paths
from localai_app.ui.application import make_window
from localai_app.ui.documents.canvas import PageCanvas
from localai_app.ui.jobs import Jobs
from localai_app.ui.main_window import MainWindow
from localai_app.ui.theme import LIGHT, Theme


class Person:
    """Hands and eyes."""

    def __init__(self, app: App, window: MainWindow, qtbot: QtBot) -> None:
        self.app, self.window, self._qtbot = app, window, qtbot

    def wait(self, condition: Callable[[], object], seconds: float = 90) -> None:
        """Look until it is so."""
        self._qtbot.waitUntil(lambda: bool(condition()), timeout=int(seconds * 1000))

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """A key, to wherever the keyboard is."""
        focus = self.window.focusWidget()
        assert focus is not None
        QTest.keyClick(focus, key, modifier)


def folders(place: Path, *models: Path) -> Paths:
    """An app's folders in ``place``, with these models."""
    (place / "models").mkdir()
    for model in models:
        (place / "models" / model.name).symlink_to(model)
    return Paths(place / "data", place / "config", place / "cache", (place / "models",))


def open_window(
    paths: Paths, running: contextlib.ExitStack, qapp: QApplication, qtbot: QtBot
) -> tuple[App, MainWindow]:
    """Start the app and show its window; ``running`` closes both."""
    app = running.enter_context(open_app(paths))
    app.settings.set("ui.welcomed", True)
    app.settings.set("ui.theme", "light")
    theme, jobs = Theme(qapp), Jobs()
    window = make_window(app, theme, jobs)
    for end in (theme.deleteLater, window.deleteLater, jobs.close, window.close):
        running.callback(end)
    window.resize(1280, 820)
    window.show()
    qtbot.waitExposed(window)
    window.activateWindow()
    window.load()
    return app, window


def marked(canvas: PageCanvas) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of what has the mark's colour on the drawn page, in points of the paper."""
    picture = canvas.grab().toImage()
    ratio, paper = picture.devicePixelRatio(), canvas.paper
    wanted = LIGHT.mark.lower()
    places = [
        ((x / ratio - paper.left()) / canvas.scale, (y / ratio - paper.top()) / canvas.scale)
        for y in range(picture.height())
        for x in range(0, picture.width(), 2)
        if picture.pixelColor(x, y).name() == wanted
    ]
    assert places, "nothing is marked"
    across, down = [place[0] for place in places], [place[1] for place in places]
    return min(across), min(down), max(across), max(down)

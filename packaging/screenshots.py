"""Take the pictures of the README: the real window, the real starter model, a real store.

usage: screenshots.py [FOLDER]     (default: docs/screenshots)
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from localai_app.app import App, open_app
from localai_app.chat.conversation import Parameters
from localai_app.paths import Paths
from localai_app.ui.application import make_application, make_window
from localai_app.ui.jobs import Jobs
from localai_app.ui.main_window import MainWindow
from localai_app.ui.theme import Mode, Theme

EARLIER = ("Explain Article 28 duties", "Draft a reply to the regulator", "Translate the consent form")
FIRST = "Why do hospitals keep patient data on site? Answer with a numbered list."
SECOND = "Write a short letter that tells a patient how long records are kept."
SEED, SHOWN = 4, 260
MODES: tuple[Mode, ...] = ("light", "dark")


def main() -> None:
    """Take every picture in both themes."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    application = make_application(["screenshots"])
    models = Paths.for_user().models
    for mode in MODES:
        with tempfile.TemporaryDirectory() as base:
            paths = Paths(Path(base) / "data", Path(base) / "config", Path(base) / "cache", models)
            with open_app(paths) as app:
                take(application, app, mode, folder)


def take(application: QApplication, app: App, mode: Mode, folder: Path) -> None:
    """The pictures of one theme."""
    for title in EARLIER:
        app.chat.rename(app.chat.create().id, title)
    app.settings.set("ui.theme", mode)
    app.settings.set("ui.welcomed", True)
    theme, jobs = Theme(application), Jobs()
    window = make_window(app, theme, jobs)
    theme.set_mode(mode)
    window.resize(1280, 820)
    window.show()
    window.load()
    pause(2500)
    save(window, folder / f"start-{mode}.png")
    page = window.chat_page
    conversation = app.chat.create()
    app.chat.set_parameters(conversation.id, Parameters(temperature=0.3, seed=SEED))
    page.open(conversation.id)
    until(lambda: page.current_id == conversation.id)
    page.send(FIRST)
    until(lambda: page.generating)
    until(lambda: not page.generating)
    page.send(SECOND)
    until(lambda: page.generating)
    length = len(page.transcript.toPlainText())
    until(lambda: len(page.transcript.toPlainText()) > length + SHOWN)
    save(window, folder / f"chat-{mode}.png")
    page.stop()
    until(lambda: not page.generating)
    window.show_models()
    models = window.models_page
    assert models is not None
    until(lambda: bool(models.installed.models))
    models.installed.choose(next(iter(models.installed.models)))
    save(window, folder / f"models-{mode}.png")
    window.show_catalogue()
    until(lambda: bool(models.catalogue.offers))
    models.catalogue.view.choose(next(iter(models.catalogue.offers)))
    save(window, folder / f"catalogue-{mode}.png")
    window.close()
    jobs.close()


def save(window: MainWindow, path: Path) -> None:
    """What the window shows now."""
    window.grab().save(str(path))
    sys.stderr.write(f"{path}\n")


def until(condition: Callable[[], bool]) -> None:
    """Let the window work until ``condition`` holds; give up after two minutes."""
    for _ in range(12_000):
        if condition():
            return
        pause(10)
    raise SystemExit("the window does not get there")


def pause(milliseconds: int) -> None:
    """Let the window work for a while."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


if __name__ == "__main__":
    main()

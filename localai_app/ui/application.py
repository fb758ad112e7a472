"""Starts the window: one per data folder, on a store that could be opened."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QCoreApplication,
    QLocale,
    QMessageLogContext,
    QSettings,
    QTimer,
    QtMsgType,
    qInstallMessageHandler,
)
from PySide6.QtWidgets import QApplication, QDialog

from localai_app import __version__
from localai_app.errors import LocalAIError
from localai_app.governance import keys
from localai_app.governance.policy import Policy
from localai_app.paths import Paths, portable_folder
from localai_app.ui.clipboard import ClipboardGuard
from localai_app.ui.crash import CrashHook
from localai_app.ui.documents.rooms import DocumentRooms
from localai_app.ui.governance.rooms import GovernanceRooms
from localai_app.ui.instance import Instance
from localai_app.ui.jobs import Jobs
from localai_app.ui.key_guard import key_guard
from localai_app.ui.lock import IdleLock
from localai_app.ui.main_window import MainWindow
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.newer_version import NewerVersion
from localai_app.ui.preferences import Preferences
from localai_app.ui.startup import CannotOpen, ask_passphrase
from localai_app.ui.tasks.rooms import TaskRooms
from localai_app.ui.theme import Theme

if TYPE_CHECKING:
    from localai_app.app import App

log = logging.getLogger(__name__)
qt_log = logging.getLogger("qt")

_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def run(
    paths: Paths, open_app: Callable[..., "App"], files: list[Path], connected: Callable[[], object]
) -> int:
    """Show the window until it is closed; the exit code.

    ``connected`` is called once the display is reached, before anything of the person's is opened.
    ``open_app(paths, ask_passphrase=...)`` opens the store. When a window already runs on this data
    folder, ``files`` go to it and this process ends with 0.
    """
    qInstallMessageHandler(_log_qt)
    _keep_settings_portable()
    application = make_application(sys.argv[:1])
    connected()
    theme = Theme(application)
    crash = CrashHook(theme)
    try:
        instance = Instance(paths.data)
    except OSError as error:
        return _refuse(theme, LocalAIError(f"{paths.data} cannot be made: {error.strerror}."))
    if not instance.claim():
        instance.hand_over(files)
        return 0
    app = _open(theme, lambda: open_app(paths, ask_passphrase=ask_passphrase(theme)))
    if app is None:
        instance.release()
        return 1
    crash.install()
    jobs = Jobs(crash=crash.caught)
    try:
        window = make_window(app, theme, jobs)
        window.banner.follow(lambda: banner_text(app.policy))
        IdleLock(
            theme,
            jobs,
            window,
            lambda: app.policy.idle_lock_minutes,
            lambda typed: keys.require_guard(paths, typed),
            passphrase=lambda: keys.needs_passphrase(paths),
        )
        instance.requested.connect(lambda wanted: _come(window, wanted))
        window.show()
        app.residency.start()
        app.library.start()
        # The list, the model and open requests wait until the window can be seen and typed into.
        QTimer.singleShot(0, window, lambda: _begin(window, instance, files))
        return application.exec()
    finally:
        jobs.close()
        app.close()
        instance.release()
        crash.remove()
        qInstallMessageHandler(None)


def _keep_settings_portable() -> None:
    """Let Qt's file dialogs remember their last folder in a portable copy's folder.

    Not on Windows and macOS, where Qt keeps that with the system's own settings.
    """
    portable = portable_folder()
    if portable is not None:
        QSettings.setPath(QSettings.Format.NativeFormat, QSettings.Scope.UserScope, str(portable / "config"))


def make_application(arguments: list[str]) -> QApplication:
    """The Qt application with its name and style."""
    application = QApplication(arguments)
    application.setApplicationName("localai-app")
    application.setApplicationDisplayName("LocalAI App")
    application.setApplicationVersion(__version__)
    application.setDesktopFileName("localai-app")
    if QLocale().language() == QLocale.Language.C:
        # A bare environment names no language; figures are still easier to read in groups.
        QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedStates))
    application.setStyle("Fusion")  # the style sheet's ground; the same on every platform
    return application


def banner_text(policy: Policy) -> str:
    """What stands at the top of the window as long as the organisation wants it."""
    kept = QCoreApplication.translate(
        "Banner",
        "Questions, answers and results are kept for your organisation, even if you erase them",
    )
    return " · ".join(filter(None, [policy.banner, kept if policy.captures_content else ""]))


def make_window(app: "App", theme: Theme, jobs: Jobs) -> MainWindow:
    """The window on an opened store, not yet shown."""
    preferences = Preferences(app.settings, jobs)
    theme.set_mode(preferences.mode)
    theme.set_zoom(preferences.zoom)
    documents = DocumentRooms(app.documents, app.policy)
    tasks = TaskRooms(app.tasks, app.documents)
    governance = GovernanceRooms(app.policy, app.audit, app.archive, app.engine, app.paths)
    window = MainWindow(
        theme,
        jobs,
        app.chat,
        app.models,
        preferences,
        app.paths,
        key_guard(app.key.kind, app.paths),
        lambda passphrase: key_guard(app.set_passphrase(passphrase).kind, app.paths),
        app.residency,
        ModelRooms(app.models, app.library, app.catalogue, app.pulls, app.connection, app.policy),
        documents if documents.may_read else None,
        tasks if documents.may_read and tasks.may_run else None,
        app.backups.write,
        governance,
    )
    newer = NewerVersion(app.policy, jobs, window)
    newer.found.connect(window.tell_newer_version)
    guard = ClipboardGuard(window.locks, window)
    guard.refused.connect(
        lambda: jobs.run(governance.require_copy).failed.connect(window.chat_page.show_error)
    )
    return window


def _open(theme: Theme, opener: Callable[[], "App"]) -> "App | None":
    """Open the store; when that fails, say why and offer another try. None: the person gave up."""
    while True:
        try:
            return opener()
        except LocalAIError as error:
            log.warning("the store was not opened: %s", type(error).__name__)
            if CannotOpen(theme, error).exec() != QDialog.DialogCode.Accepted:
                return None


def _refuse(theme: Theme, error: LocalAIError) -> int:
    CannotOpen(theme, error).exec()
    return 1


def _begin(window: MainWindow, instance: Instance, files: list[Path]) -> None:
    window.load()
    instance.listen()
    if files:
        window.open_files(files)


def _come(window: MainWindow, files: list[Path]) -> None:
    window.come_to_front()
    if files:
        window.open_files(files)


def _log_qt(kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
    qt_log.log(_LEVELS.get(kind, logging.WARNING), "%s", message)

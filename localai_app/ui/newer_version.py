"""Says that another version was installed while this one runs: whoever deploys it does so without asking.

It looks at the program's own file, never on a network, and only where UpdateMode is “notify”.
"""

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QObject, QTimer, Signal

from localai_app.governance.policy import Policy
from localai_app.ui.jobs import Jobs

_LOOK_MS = 15 * 60 * 1000


def installed() -> str:
    """Stands for the version that the next start would run; empty where none can be told."""
    if getattr(sys, "frozen", False):
        try:
            found = Path(sys.executable).stat()
        except OSError:  # it is just being replaced, or gone
            return ""
        return f"{found.st_ino} {found.st_mtime_ns} {found.st_size}"
    try:
        return importlib.metadata.version("localai-app")
    except importlib.metadata.PackageNotFoundError:
        return ""


class NewerVersion(QObject):
    """Looks now and then, and tells of each version once."""

    found = Signal()
    """Another version than the one that runs was installed."""

    def __init__(
        self, policy: Policy, jobs: Jobs, parent: QObject, look: Callable[[], str] = installed
    ) -> None:
        super().__init__(parent)
        self._policy, self._jobs, self._installed = policy, jobs, look
        self._known = {"", look()}
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(_LOOK_MS)

    def look(self) -> None:
        """Look once, where that is wanted."""
        if self._policy.notifies_updates:
            self._jobs.run(self._installed, lane="version").returned.connect(self._tell)

    def _tell(self, version: str) -> None:
        if version not in self._known:
            self._known.add(version)
            self.found.emit()

"""One window per data folder.

The first start holds a lock file. A second start leaves a request in the data folder and ends; the
first picks it up, shows its window and opens the files. No socket is involved.
"""

import json
import logging
import os
import uuid
from pathlib import Path

from PySide6.QtCore import QFileSystemWatcher, QLockFile, QObject, QTimer, Signal

log = logging.getLogger(__name__)

_FOLDER = "open-requests"
_LOCK = "window.lock"
_LARGEST = 64 * 1024
"""Bytes of a request; anything larger was not written by us."""
_MOST_FILES = 100
_POLL_MS = 2000
"""Fallback where the file system does not tell of changes (network folders)."""


class Instance(QObject):
    """The right to be the one window on a data folder."""

    requested = Signal(list)
    """Another start handed over these files (`Path`); the list may be empty."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self._folder = data / _FOLDER
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = QLockFile(str(data / _LOCK))
        self._lock.setStaleLockTime(0)
        self._watcher: QFileSystemWatcher | None = None

    def claim(self) -> bool:
        """Become the one window; False when another process is.

        A folder that cannot be written is claimed, too: opening the store tells what is wrong.
        """
        if self._lock.tryLock(0):
            return True
        return self._lock.error() == QLockFile.LockError.PermissionError

    def hand_over(self, files: list[Path]) -> None:
        """Ask the running window to come to the front and open ``files``."""
        self._folder.mkdir(exist_ok=True, mode=0o700)
        name = uuid.uuid4().hex
        draft = self._folder / f"{name}.tmp"
        draft.write_text(json.dumps([str(path.absolute()) for path in files]), encoding="utf-8")
        draft.replace(self._folder / f"{name}.json")

    def listen(self) -> None:
        """Begin to pick up requests."""
        try:
            self._folder.mkdir(exist_ok=True, mode=0o700)
        except OSError:
            log.warning("open requests cannot be received: the data folder is not writable")
            return
        self._watcher = QFileSystemWatcher([str(self._folder)], self)
        self._watcher.directoryChanged.connect(self.collect)
        timer = QTimer(self)
        timer.setInterval(_POLL_MS)
        timer.timeout.connect(self.collect)
        timer.start()
        self.collect()

    def collect(self) -> None:
        """Take all requests that lie in the folder."""
        for path in sorted(self._folder.glob("*.json")):
            files = _read(path)
            path.unlink(missing_ok=True)
            if files is not None:
                self.requested.emit(files)

    def release(self) -> None:
        """Let another start be the one."""
        self._lock.unlock()


def _read(path: Path) -> list[Path] | None:
    """Files of a request; None for what is not one."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        names = json.loads(content) if len(content) <= _LARGEST else None
    except (OSError, ValueError):
        names = None
    if not isinstance(names, list) or len(names) > _MOST_FILES:
        log.warning("an open request was not readable")
        return None
    return [Path(name) for name in names if isinstance(name, str) and os.path.isabs(name)]  # noqa: PTH117

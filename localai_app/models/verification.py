"""Reads model files again and compares their hashes: at once for who asks, once a week in the background.

Disks lose bits and programs overwrite files. The background takes one model after the other, waits while
something is computed, and remembers each model that it has read: what is due is told by the store, so
nothing is lost when the app closes in between.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from localai_app.errors import LocalAIError, RequestFailed
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.models.installed import ModelFiles, state
from localai_app.models.progress import Progress, Tell, go_on, silent
from localai_app.store.settings import Settings

EVERY = timedelta(days=7)
_KEY = "models.verify_weekly"
_FIRST_SECONDS = 120.0
"""After the start, when whoever opened the app wants to use it."""
_LOOK_SECONDS = 600.0
_BUSY_SECONDS = 1.0


class Verifier:
    """Compares files with what is recorded of them."""

    def __init__(
        self,
        files: ModelFiles,
        settings: Settings,
        audit: Audit,
        present: Callable[[], Iterable[Path]],
        busy: Callable[[], bool],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        first_seconds: float = _FIRST_SECONDS,
    ) -> None:
        """``present``: models that are there now; ``busy``: whether something is computed."""
        self._files = files
        self._settings = settings
        self._audit = audit
        self._present = present
        self._busy = busy
        self._now = now
        self._first_seconds = first_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.on_verified: Callable[[], None] = lambda: None
        """Told, in the background's thread, of every model that it has read."""

    @property
    def weekly(self) -> bool:
        """Whether it is done in the background."""
        return self._settings.get(_KEY, True) is not False

    def set_weekly(self, on: bool) -> None:
        """Switch that on or off; a file that is being read is let go."""
        self._settings.set(_KEY, None if on else False)

    def verify(self, path: Path, tell: Tell = silent, stop: threading.Event | None = None) -> bool:
        """Read the file again; whether it is as recorded. Audited. For errors see `ModelLibrary.verify`."""
        total = state(path)[0]

        def on_progress(fraction: float) -> None:
            go_on(stop)
            tell(Progress("checking", round(fraction * total), total, path.name))

        return self._verify(path, on_progress)

    def due(self) -> list[Path]:
        """Models that were not read for a week, the longest waiting first."""
        before = self._now() - EVERY
        records = self._files.records()
        waiting = [
            (last, path)
            for path in self._present()
            if (record := records.get(path))
            and record.sha256
            and not record.found_sha256
            and (last := record.verified or record.recorded or datetime.fromtimestamp(0, UTC)) < before
        ]
        return [path for _, path in sorted(waiting)]

    def start(self) -> None:
        """Verify what is due from now on until `close`."""
        self._thread = threading.Thread(target=self._work, name="verification", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop within a block of what is being read."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Verify all that is due, as the background does."""
        for path in self.due():
            if self._stop.is_set() or not self.weekly:
                return
            # What cannot be read now (a drive that went, a program that writes) is due again next time.
            with contextlib.suppress(LocalAIError):
                self._verify(path, self._wait_for_others)
                self.on_verified()

    def _work(self) -> None:
        _lower_priority()
        seconds = self._first_seconds
        while not self._stop.wait(seconds):
            seconds = _LOOK_SECONDS
            if self.weekly:
                self.look()

    def _wait_for_others(self, fraction: float) -> None:
        while self._busy() and not self._stop.wait(_BUSY_SECONDS):
            pass
        if self._stop.is_set() or not self.weekly:
            raise RequestFailed("It was stopped.")

    def _verify(self, path: Path, on_progress: Callable[[float], None]) -> bool:
        same = self._files.verify(path, on_progress)
        if same:  # a change is audited where it is recorded
            record = self._files.record(path)
            self._audit.append(AuditEvent.MODEL_VERIFIED, record.sha256 if record else "")
        return same


def _lower_priority() -> None:
    """Let this thread run when nothing else wants to; only Linux knows priorities of threads."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)

"""Copies of the audit log's entries in the system's own log, where an organisation collects them.

A copy that left this computer resists its user: syslog forwards it, or a collector of Windows events. Each
entry is one line of JSON as in an export, chained to the one before, so that what arrived can be checked.
Every entry is written at least once: after a crash the last ones may come again.
"""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import Protocol

from localai_app.errors import LocalAIError
from localai_app.governance import audit_file
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.store.database import Database
from localai_app.store.settings import Settings

_NAME = "localai-app"
_FORWARDED = "audit.forwarded"
"""Setting: the last entry that was written."""
_LOOK_SECONDS = 2.0
_AT_ONCE = 200
"""Entries of one transaction: others wait for it."""


class SystemLog(Protocol):
    """The system's own log."""

    def write(self, line: str) -> None:
        """Write one line; raise `OSError` where it is not taken."""


class Syslog:
    """syslog of Linux and macOS."""

    def write(self, line: str) -> None:
        """See `SystemLog`."""
        import syslog  # noqa: PLC0415 - Windows has none

        syslog.openlog(_NAME, syslog.LOG_PID, syslog.LOG_USER)
        syslog.syslog(syslog.LOG_NOTICE, line)


class EventLog:
    """The Application log of Windows. Not tested: no machine with Windows was at hand."""

    def write(self, line: str) -> None:
        """See `SystemLog`."""
        import ctypes  # noqa: PLC0415

        library = ctypes.WinDLL("advapi32", use_last_error=True)  # type: ignore[attr-defined]
        library.RegisterEventSourceW.restype = ctypes.c_void_p
        source = library.RegisterEventSourceW(None, _NAME)
        if not source:
            raise OSError(ctypes.get_last_error(), "RegisterEventSource")  # type: ignore[attr-defined]
        try:
            texts = (ctypes.c_wchar_p * 1)(line)
            information, one = 4, 1
            if not library.ReportEventW(
                ctypes.c_void_p(source), information, 0, 1, None, one, 0, texts, None
            ):
                raise OSError(ctypes.get_last_error(), "ReportEvent")  # type: ignore[attr-defined]
        finally:
            library.DeregisterEventSource(ctypes.c_void_p(source))


def system_log() -> SystemLog:
    """That of this system."""
    return EventLog() if os.name == "nt" or sys.platform == "cygwin" else Syslog()


class AuditForward:
    """Writes what is new in the audit log, while policy wants it."""

    def __init__(
        self,
        database: Database,
        audit: Audit,
        settings: Settings,
        policy: Policy,
        find_log: Callable[[], SystemLog] = system_log,
    ) -> None:
        self._database = database
        self._audit = audit
        self._settings = settings
        self._policy = policy
        self._find_log = find_log
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look for new entries from now on."""
        self._thread = threading.Thread(target=self._run, name="audit forward", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and end."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self._forward_quietly()

    def forward(self) -> int:
        """Write what is new; how many entries. Raise `OSError` or `StoreError`: they are written later."""
        written = 0
        while self._policy.audit_to_system_log and (some := self._some()):
            written += some
        return written

    def _some(self) -> int:
        # One transaction: two processes on one store do not write the same entries.
        with self._database.transaction():
            last = int(str(self._settings.get(_FORWARDED, 0)))
            entries = list(islice(self._audit.read(first=last + 1), _AT_ONCE))
            log = self._find_log()
            for entry in entries:
                log.write(audit_file.json_line(entry).decode().rstrip("\n"))
            if entries:
                self._settings.set(_FORWARDED, entries[-1].seq)
            return len(entries)

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self._forward_quietly()

    def _forward_quietly(self) -> None:
        # A log that is gone or a store that is busy may be there again at the next look.
        with suppress(OSError, LocalAIError):
            self.forward()

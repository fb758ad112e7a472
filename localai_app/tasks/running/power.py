"""Keeps the computer from going to sleep while a run is under way, on mains power only.

`wakepy` asks the desktop for it (D-Bus on Linux, a thread's execution state on Windows, `caffeinate` on
macOS); where there is nobody to ask, nothing happens, and the run goes on when the computer wakes. Nothing
is ever changed in the system's settings, and what was asked for ends with the process.
"""

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

_LOOK_SECONDS = 60.0
"""How often it looks whether the plug is in."""


def on_mains() -> bool:
    """Whether the computer has power from the wall: it has no battery, or is plugged in."""
    import psutil  # noqa: PLC0415 - the window starts without it

    look = getattr(psutil, "sensors_battery", None)  # not on every system
    battery = look() if look else None
    return battery is None or battery.power_plugged is True


def inhibit() -> AbstractContextManager[object]:
    """Inside, the system does not go to sleep by itself; the screen may."""
    from wakepy import keep  # noqa: PLC0415 - only while something runs

    return keep.running(on_fail="pass")


class KeepAwake:
    """Asks the system to stay awake, as long as that is wanted and the plug is in."""

    def __init__(
        self,
        mains: Callable[[], bool] = on_mains,
        keep: Callable[[], AbstractContextManager[object]] = inhibit,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._mains = mains
        self._keep = keep
        self._look_seconds = look_seconds
        self._lock = threading.Lock()
        self._over: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def want(self, wanted: bool) -> None:
        """Stay awake from now on, or no longer."""
        with self._lock:
            if wanted and self._over is None:
                self._over = threading.Event()
                self._thread = threading.Thread(
                    target=self._stay, args=[self._over], name="keep awake", daemon=True
                )
                self._thread.start()
            elif not wanted and self._over is not None:
                self._over.set()
                self._over = None

    def close(self) -> None:
        """Stay awake no longer; waits until the system was told."""
        self.want(wanted=False)
        if self._thread:
            self._thread.join()

    def _stay(self, over: threading.Event) -> None:
        # One thread asks and takes back: what is asked for hangs on it.
        with contextlib.ExitStack() as asked:
            awake = False
            while not over.is_set():
                mains = self._mains()
                if mains and not awake:
                    asked.enter_context(self._keep())
                elif awake and not mains:
                    asked.close()
                awake = mains
                over.wait(self._look_seconds)

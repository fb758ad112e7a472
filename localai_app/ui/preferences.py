"""The window's own settings: read once before it is shown, written in the background."""

from typing import Any, Protocol

from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import MODES, ZOOM_STEPS, Mode


class SettingsStore(Protocol):
    """What is used of the store's settings."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``."""

    def set(self, key: str, value: Any) -> None:
        """Keep ``value``."""


class Preferences:
    """Values as they were at the start; whatever is stored, they are of the right kind."""

    def __init__(self, settings: SettingsStore, jobs: Jobs) -> None:
        self._settings = settings
        self._jobs = jobs
        self._kept: dict[str, Any] = {}
        mode = settings.get("ui.theme", "system")
        self.mode: Mode = mode if mode in MODES else "system"
        zoom = settings.get("ui.zoom", 1.0)
        usable = isinstance(zoom, int | float) and ZOOM_STEPS[0] <= zoom <= ZOOM_STEPS[-1]
        self.zoom = float(zoom) if usable else 1.0
        geometry = settings.get("ui.geometry", "")
        self.geometry = geometry if isinstance(geometry, str) else ""
        width = settings.get("ui.sidebar_width", 0)
        self.sidebar_width = width if isinstance(width, int) and 0 < width < 2000 else 0
        sizes = settings.get("ui.document_sizes", [])
        right = isinstance(sizes, list) and len(sizes) == 3
        self.document_sizes = (
            [int(size) for size in sizes]
            if right and all(isinstance(size, int) and 0 < size < 10_000 for size in sizes)
            else []
        )
        """Widths of the parts of the Documents page."""
        self.send_with_ctrl = settings.get("ui.send_with_ctrl", False) is True
        self.welcomed = settings.get("ui.welcomed", False) is True
        """The first start's page was shown."""
        speed = settings.get("ui.download_speed", 0)
        self.download_speed = float(speed) if isinstance(speed, int) and speed > 0 else 0.0
        """Bytes per second of the last download; 0: there was none."""
        self._kept = {"ui.theme": self.mode, "ui.zoom": self.zoom}

    def keep(self, key: str, value: Any) -> None:
        """Store ``value``, if it is another than before."""
        if self._kept.get(key) != value:
            self._kept[key] = value
            self._jobs.run(lambda: self._settings.set(key, value))

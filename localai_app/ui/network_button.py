"""“Local · Offline” at the top of the window: always in view, and pressed, the app is asked to prove it."""

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button


class NetworkButton(Button):
    """Says whether anything is connected."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, "", look="state", icon="shield-check", tint="accent", size=15)
        self._host = ""
        self.show_host("")

    @property
    def words(self) -> str:
        """What it says."""
        return self.accessibleName()

    def show_host(self, host: str) -> None:
        """Models are fetched from ``host``; empty: nothing is connected."""
        self._host = host
        words = (
            self.tr("Models are fetched from {0} by a process that sees no chat and has no key to them.")
            if host
            else self.tr("Everything runs on this computer. The app opens no network connection.")
        )
        words = f"{words.format(host)} {self.tr('Press to have every process checked.')}"
        self.setToolTip(words)
        self.setAccessibleDescription(words)
        self.fit(0)

    def fit(self, room: int) -> None:
        """Leave out the host's name where it takes more than a third of ``room``; 0: room for all."""
        local = self.tr("Local · Fetching from {0}") if self._host else self.tr("Local · Offline")
        self.set_text(local.format(self._host))
        if self._host and room and self.sizeHint().width() > room // 3:
            self.set_text(self.tr("Local · Fetching"))

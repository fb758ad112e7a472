"""How the store's key is guarded, and what the app's processes may touch."""

from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.ui.governance.rooms import Confined, GovernanceRooms, Guard
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.labels import label, restyle, selectable

LANE = "governance"


class Fact(QWidget):
    """A name, and what is so."""

    def __init__(self, theme: Theme, name: str) -> None:
        super().__init__()
        self.words = selectable(label("…", "dim", wrap=True))
        self.words.setAccessibleName(name)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(theme.px(3))
        column.addWidget(label(name, "strong", wrap=True))
        column.addWidget(self.words)

    def say(self, text: str, look: str = "dim") -> None:
        """Show what is so, in the look of its gravity."""
        self.words.setText(text)
        restyle(self.words, look=look)


class Protection(QWidget):
    """Asks when it is shown; what is not known yet shows an ellipsis."""

    def __init__(self, theme: Theme, jobs: Jobs, rooms: GovernanceRooms) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms = theme, jobs, rooms
        self.store = Fact(theme, self.tr("Store"))
        self.store.say(
            self.tr("Everything that you make is kept in an encrypted database (SQLCipher, AES-256).")
        )
        self.key = Fact(theme, self.tr("Key"))
        self.recovery = Fact(theme, self.tr("Recovery key of the organisation"))
        self.system = Fact(theme, self.tr("This system"))
        self.engine = Fact(theme, self.tr("Process that runs the model"))
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._cards: list[QVBoxLayout] = []
        self._add(self.tr("Encryption"), self.store, self.key, self.recovery)
        self._add(self.tr("Confinement"), self.system, self.engine)
        self._column.addStretch(1)
        theme.changed.connect(self._fit)
        self._fit()

    def refresh(self) -> None:
        """Ask how it is now."""
        job = self._jobs.run(self._rooms.guard, lane=LANE)
        job.returned.connect(self._show_guard)
        job.failed.connect(self._fail)
        self._jobs.run(self._rooms.confined, lane=LANE).returned.connect(self._show_confined)

    def _show_guard(self, guard: Guard) -> None:
        self.key.say(guard.words[:1].upper() + guard.words[1:] + ".", "warn" if guard.weak else "dim")
        if guard.sealed_to:
            self.recovery.say(
                self.tr("The key is also sealed to the recovery key {0}.").format(guard.sealed_to)
            )
        elif self._rooms.policy.recovery_key:
            self.recovery.say(self.tr("The key is sealed to it at the next start."), "warn")
        else:
            self.recovery.say(
                self.tr("Not sealed: policy names none (RecoveryPublicKey). A lost key cannot be recovered.")
            )

    def _show_confined(self, found: Confined) -> None:
        if found.missing:
            self.system.say(self.tr("It cannot confine processes: {0}.").format(found.missing), "warn")
        else:
            self.system.say(self.tr("It can confine processes (Landlock and seccomp)."))
        self.engine.say(found.engine[:1].upper() + found.engine[1:], "dim" if found.is_active else "warn")

    def _fail(self, error: LocalAIError) -> None:
        self.key.say(error.line, "bad")

    def _add(self, title: str, *facts: Fact) -> None:
        self._column.addWidget(label(title.upper(), "section"))
        card = QFrame()
        card.setProperty("look", "card")
        inside = QVBoxLayout(card)
        for fact in facts:
            inside.addWidget(fact)
        self._column.addWidget(card)
        self._cards.append(inside)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(12))
        for card in self._cards:
            card.setContentsMargins(px(16), px(12), px(16), px(12))
            card.setSpacing(px(12))

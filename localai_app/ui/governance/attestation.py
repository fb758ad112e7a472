"""What the app can prove of itself now: every process, checked live; kept as a signed statement."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QFileDialog, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.governance import attestation, signed_file
from localai_app.governance.attestation import SUFFIX, Attestation
from localai_app.governance.audit_words import local_time
from localai_app.governance.live_check import Reach, Seen
from localai_app.governance.signed_file import SignedFile
from localai_app.ui.clipboard import put_on_clipboard
from localai_app.ui.governance.protection import Fact
from localai_app.ui.governance.rooms import GovernanceRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label, restyle, selectable
from localai_app.ui.widgets.padlock import Lock, Locks

LANE = "attestation"
_LOOKS = {Reach.OFFLINE: "ok", Reach.UNPROVEN: "warn", Reach.CONNECTED: "warn"}


class AttestationDialog(QDialog):
    """Checks when it opens, and whenever it is asked to; what is shown is what is signed."""

    def __init__(
        self, theme: Theme, parent: QWidget, jobs: Jobs, rooms: GovernanceRooms, locks: Locks
    ) -> None:
        super().__init__(parent)
        self._theme, self._jobs, self._rooms = theme, jobs, rooms
        self._made: Attestation | None = None
        self.setWindowTitle(self.tr("Local · Offline"))
        self.verdict = selectable(label("", "strong", wrap=True))
        self.when = label("", "dim", wrap=True)
        self.facts: list[Fact] = []
        self.told = selectable(label("", "dim", wrap=True))
        self.again = Button(theme, self.tr("Check again"), icon="refresh-cw", tint="text", size=16)
        self.again.clicked.connect(self.check)
        self.copy = Button(theme, self.tr("Copy statement"), icon="copy", tint="text", size=16)
        self.copy.clicked.connect(self._copy)
        self.copy_lock = locks.hold(self.copy, Lock.COPY)
        self.save = Button(theme, self.tr("Save statement…"), look="primary")
        self.save.clicked.connect(self._choose_file)
        self._build()
        self.check()

    # ------------------------------------------------------------ what is asked

    def check(self) -> None:
        """Look at every process again."""
        self._enable(False)
        self.told.hide()
        self.verdict.setText(self.tr("Every process of this app is being checked…"))
        restyle(self.verdict, look="strong")
        job = self._jobs.run(self._rooms.attest, lane=LANE)
        job.returned.connect(self._show)
        job.failed.connect(self._fail)

    def save_as(self, path: Path) -> None:
        """Sign what is shown and write it to ``path``."""
        made = self._made
        assert made is not None, "the button waits for it"

        def write() -> SignedFile:
            file = self._rooms.sign(made)
            attestation.save(path, file)
            return file

        said = self.tr("Signed and written to {0}. Entry {1} of the audit log tells of it.")
        self._sign(write, lambda file: self._say(said.format(path.name, file.signed.seq)))

    def _copy(self) -> None:
        made = self._made
        assert made is not None, "the button waits for it"

        def put(file: SignedFile) -> None:
            if put_on_clipboard(signed_file.content(file).decode()):
                said = self.tr("Signed and copied. Entry {0} of the audit log tells of it.")
                self._say(said.format(file.signed.seq))

        self._sign(lambda: self._rooms.sign(made), put)

    def _sign(self, act: Callable[[], SignedFile], done: Callable[[SignedFile], None]) -> None:
        self._enable(False)
        job = self._jobs.run(act, lane=LANE)
        job.returned.connect(done)
        job.returned.connect(self._signed)
        job.failed.connect(self._fail)

    def _signed(self, _file: SignedFile) -> None:
        self._enable(True)

    def _choose_file(self) -> None:
        name = f"{datetime.now().astimezone():%Y-%m-%d-%H%M}{SUFFIX}"
        chosen, _ = QFileDialog.getSaveFileName(
            self,
            self.tr("Save the signed statement"),
            str(Path.home() / name),
            self.tr("Attestations (*{0})").format(SUFFIX),
        )
        if chosen:
            self.save_as(Path(chosen))

    # ------------------------------------------------------------ what is shown

    def _show(self, made: Attestation) -> None:
        self._made = made
        self.verdict.setText(attestation.verdict(made.check))
        self.verdict.setAccessibleName(self.verdict.text())
        restyle(self.verdict, look=_LOOKS[made.reach])
        text = self.tr("{0}, on {1}. LocalAI App {2}, started {3}.")
        self.when.setText(
            text.format(local_time(made.written), made.host, made.app, local_time(made.started))
        )
        inside = self._make_cards()
        for seen in made.check.processes:
            title = self.tr("{0} · process {1}").format(attestation.role(seen), seen.pid)
            self._add(self._processes, title, _process_words(seen, made), _LOOKS[seen.reach])
        self._show_network(made)
        policy = made.policy
        self._add(self._governed, self.tr("Policy"), self._policy_words(made))
        number, _, digest = made.audit_head.partition(":")
        said = self.tr("{0} entries up to now. Its head: {1}…")
        self._add(self._governed, self.tr("Audit log"), said.format(number, digest[:16]))
        self._add(self._limits, self.tr("What this does not prove"), "\n".join(made.limits))
        if policy.problems:
            restyle(self.facts[-3].words, look="warn")
        self._area.setWidget(inside)  # once it is whole: cards that grow in view would flicker
        self._enable(True)

    def _show_network(self, made: Attestation) -> None:
        tried = attestation.tried(made.check)
        self._add(
            self._network,
            self.tr("The app has just asked the system for sockets"),
            tried or self.tr("This system cannot be asked."),
        )
        known = made.connections
        said = self.tr("{0} made, {1} refused.").format(known.made, known.refused)
        if known.hosts:
            said += " " + self.tr("Connected to: {0}.").format(", ".join(known.hosts))
        self._add(self._network, self.tr("Connections since the app was started"), said)

    def _policy_words(self, made: Attestation) -> str:
        policy = made.policy
        count = len(policy.set)
        if not count and not policy.problems:
            return self.tr("No administrator has set a policy on this computer.")
        said = self.tr("1 key is set.") if count == 1 else self.tr("{0} keys are set.").format(count)
        if policy.offline_only:
            said += " " + self.tr("No process may ever connect (OfflineOnly).")
        if policy.problems:
            said += " " + self.tr("Its sources have errors: {0}.").format(policy.problems)
        return said + " " + self.tr("SHA-256 {0}…").format(policy.sha256[:16])

    def _add(self, card: QVBoxLayout, title: str, words: str, look: str = "dim") -> None:
        fact = Fact(self._theme, title)
        fact.say(words, look if look == "warn" else "dim")
        self.facts.append(fact)
        card.addWidget(fact)

    def _say(self, text: str) -> None:
        self.told.setText(text)
        self.told.setAccessibleName(text)
        restyle(self.told, look="dim")
        self.told.show()

    def _fail(self, error: LocalAIError) -> None:
        self._say(error.line)
        restyle(self.told, look="bad")
        self._enable(self._made is not None)

    def _enable(self, enabled: bool) -> None:
        self.save.setEnabled(enabled)
        self.copy_lock.enable(enabled)

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        px = self._theme.px
        area = self._area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        close = Button(self._theme, self.tr("Close"))
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.setSpacing(px(8))
        foot.addWidget(self.again)
        foot.addStretch(1)
        for button in (self.copy, self.save, close):
            foot.addWidget(button)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(px(20), px(18), px(20), px(16))
        whole.setSpacing(px(8))
        whole.addWidget(label(self.tr("What this app can reach"), "title"))
        whole.addWidget(self.verdict)
        whole.addWidget(self.when)
        whole.addWidget(area, 1)
        whole.addWidget(self.told)
        whole.addLayout(foot)
        self.told.hide()
        parent = self.parentWidget()
        room = parent.window().size() if parent is not None else self.sizeHint()
        self.resize(min(px(620), room.width() - px(40)), min(px(680), room.height() - px(40)))

    def _make_cards(self) -> QWidget:
        """Four cards without facts, in a widget that is not shown yet."""
        px = self._theme.px
        self.facts = []
        inside = QWidget()
        inside.setProperty("look", "plain")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, px(8), 0)
        column.setSpacing(px(10))
        self._processes = self._card(column, self.tr("PROCESSES"))
        self._network = self._card(column, self.tr("NETWORK"))
        self._governed = self._card(column, self.tr("POLICY AND AUDIT LOG"))
        self._limits = self._card(column, self.tr("LIMITS"))
        column.addStretch(1)
        return inside

    def _card(self, column: QVBoxLayout, title: str) -> QVBoxLayout:
        px = self._theme.px
        column.addWidget(label(title, "section"))
        card = QFrame()
        card.setProperty("look", "card")
        inside = QVBoxLayout(card)
        inside.setContentsMargins(px(16), px(12), px(16), px(12))
        inside.setSpacing(px(10))
        column.addWidget(card)
        return inside


def _process_words(seen: Seen, made: Attestation) -> str:
    words = attestation.reason(seen)
    words = f"{words[:1].upper()}{words[1:]}."
    if confined := attestation.confines(seen, made):
        words += f" {confined}"
    if seen.role == "engine":
        words += f" {made.confinement[:1].upper()}{made.confinement[1:]}."
    return words

"""The services that the Organisation page stands on, handed to it as one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from localai_app import sandbox
from localai_app.errors import LocalAIError
from localai_app.governance import attestation, keys
from localai_app.governance.audit import AuditEvent
from localai_app.governance.policy_words import is_set

if TYPE_CHECKING:
    from localai_app.engine.client import Engine
    from localai_app.governance.attestation import Attestation, Connections
    from localai_app.governance.audit import Audit, VerifyResult
    from localai_app.governance.audit_archive import AuditArchive
    from localai_app.governance.policy import Policy
    from localai_app.governance.signed_file import SignedFile
    from localai_app.paths import Paths


@dataclass(frozen=True)
class Guard:
    """What stands between a copied data folder and what is in it."""

    words: str
    weak: bool
    sealed_to: str
    """Fingerprint of the organisation's key that the store's key is also sealed to; empty: to none."""


@dataclass(frozen=True)
class Confined:
    """What the processes of this app may touch."""

    missing: str
    """Why processes cannot be confined on this system; empty where they can."""
    engine: str
    """What is active in the process that runs the model, in words."""
    is_active: bool


@dataclass(frozen=True)
class GovernanceRooms:
    """All that the page asks; each method may take a while."""

    policy: "Policy"
    audit: "Audit"
    archive: "AuditArchive"
    engine: "Engine"
    paths: "Paths"

    @property
    def has_policy(self) -> bool:
        """Whether an administrator set something on this computer, or tried to."""
        return bool(self.policy.problems) or any(is_set(one) for one in self.policy.in_force)

    def guard(self) -> Guard:
        """How the store's key is guarded."""
        return Guard(
            keys.describe(self.paths), keys.kind_of(self.paths) == "file", keys.sealed_to(self.paths)
        )

    def confined(self) -> Confined:
        """How the engine is confined; a worker is asked, and started where none runs."""
        missing = sandbox.missing()
        try:
            engine = self.engine.probe().confinement
        except LocalAIError as error:
            return Confined(missing, error.line, is_active=False)
        return Confined(missing, engine, is_active=not engine.startswith(sandbox.NOT_CONFINED))

    def attest(self) -> "Attestation":
        """What can be proven of this app now; a worker is started where none runs."""
        try:
            model = self.engine.model
            words = model.confinement if model else self.engine.probe().confinement
        except LocalAIError as error:
            words = error.line
        return attestation.look(self.policy, self.audit, words)

    def connections(self) -> "Connections":
        """What was connected to since the app was started."""
        return attestation.connections_since(self.audit, attestation.app_started())

    def sign(self, made: "Attestation") -> "SignedFile":
        """Sign what was looked at, and tell the audit log."""
        return attestation.sign(made, self.audit)

    def require_copy(self) -> None:
        """Copying must be allowed; a refusal is audited."""
        with self.audit.refusals("clipboard"):
            self.policy.require_copy()

    def verify(self) -> "VerifyResult":
        """Check the whole audit log, and write down that it was checked."""
        result = self.audit.verify()
        facts = {"entries": result.seen, "sound": result.sound, "heads": 0}
        self.audit.append(AuditEvent.CHAIN_VERIFIED, body=facts)
        return result

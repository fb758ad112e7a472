"""What the audit log says of policy: what is in force at the start, and every change.

Values are written so that they can be told apart, not read back: a list as its length and hash.
"""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass

from localai_app.errors import StoreError
from localai_app.governance.audit import Audit, AuditEvent, BodyValue
from localai_app.governance.policy import Policy
from localai_app.governance.policy_merge import InForce, Origin
from localai_app.store.settings import Settings

_SEEN = "policy.in_force"
_MOST = 100


@dataclass(frozen=True)
class Told:
    """Policy in force, as the log tells of it."""

    values: list[str]
    problems: list[str]

    @property
    def sha256(self) -> str:
        """Tells apart what is in force."""
        return hashlib.sha256(json.dumps([self.values, self.problems]).encode()).hexdigest()


def told(policy: Policy) -> Told:
    """What is in force now."""
    values = [_words(one) for one in policy.in_force if one.origin is not Origin.DEFAULT]
    return Told(values, [problem.line for problem in policy.problems])


class PolicyRecord:
    """Writes `AuditEvent.POLICY_IN_FORCE` and `AuditEvent.POLICY_CHANGED`."""

    def __init__(self, policy: Policy, audit: Audit, settings: Settings) -> None:
        self._policy = policy
        self._audit = audit
        self._settings = settings

    def begin(self) -> None:
        """Write what is in force, and from now on each change.

        Where nothing is set, and nothing was the last time, there is nothing to write.
        """
        found = told(self._policy)
        if found.values or found.problems or self._settings.get(_SEEN):
            self._write(AuditEvent.POLICY_IN_FORCE)
        self._policy.on_change(self._changed)

    def _changed(self, policy: Policy) -> bool:
        """Not inside a caller's transaction: what the policy then refuses would take the entry with it."""
        if self._audit.in_transaction:
            return False
        with suppress(StoreError):
            self._write(AuditEvent.POLICY_CHANGED)
            return True
        return False

    def _write(self, event: AuditEvent) -> None:
        found = told(self._policy)
        problems = found.problems
        body: dict[str, BodyValue] = {
            "set": found.values,
            "problems": problems[:_MOST],
            "sha256": found.sha256,
        }
        if len(problems) > _MOST:
            body["more_problems"] = len(problems) - _MOST
        self._audit.append(event, body=body)
        self._settings.set(_SEEN, found.sha256 if found.values or problems else None)


def _words(one: InForce) -> str:
    value = json.dumps(one.value)
    if isinstance(one.value, tuple):
        value = f"{len(one.value)} items, SHA-256 {hashlib.sha256(value.encode()).hexdigest()}"
    return f"{one.key.name} = {value} ({one.origin}: {', '.join(one.sources)})"

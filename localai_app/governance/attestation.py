"""What this app can prove of itself at a moment: a live check of its processes, signed.

The record says what was found (`live_check`), which policy is in force, which connections the audit log
knows of, and where that log stands. Signed, and told to the log, it is a file (`signed_file`) that can be
checked on another machine. It says in its own words what it does not prove.
"""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil

from localai_app import __version__, sandbox
from localai_app.errors import LocalAIError
from localai_app.governance import live_check, policy_record, signed_file
from localai_app.governance.audit import Audit, AuditEvent, Selection, logged_in_user
from localai_app.governance.audit_statement import Statement
from localai_app.governance.live_check import LiveCheck, Reach, Seen
from localai_app.governance.policy import Policy
from localai_app.governance.signed_file import Check, Outcome, SignedFile
from localai_app.store import files

FORMAT = "localai-app attestation 1"
SUFFIX = ".attestation.json"
_KIND = "an attestation"
_MOST_HOSTS = 1000

LIMITS = (
    "It tells of the moment at which it was made, and of the processes of this app alone.",
    "Other programs, and a changed operating system, are not its subject.",
    "The key that signs it lies in the store on this computer: without a head of the audit log that was kept "
    "elsewhere, it does not resist this computer's own user.",
)
_HIDDEN = (
    "Confined processes hide their sockets from their own user; that they hold none to a network follows "
    "from the filter that the system keeps on them."
)
_NO_FILTER = (
    "This system cannot be asked to refuse network sockets to a process: none were found, that is all."
)


class Connections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the audit log knows of connections since the app was started."""

    made: int = 0
    refused: int = 0
    """To hosts that policy or the hub's own rules do not list."""
    hosts: tuple[str, ...] = ()
    """That were connected to."""


class PolicyFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an administrator set."""

    set: tuple[str, ...]
    """``KEY = value (where from)``; lists by their length and hash."""
    problems: int
    sha256: str
    """As the audit log tells of it (`policy.in_force`)."""
    offline_only: bool


class Attestation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content that is signed."""

    app: str
    """Version."""
    written: str
    started: str
    """When this process of the app was."""
    host: str
    system: str
    user: str
    check: LiveCheck
    confinement: str
    """What the process that runs the model says is active in it."""
    unconfined: str
    """Why this system cannot confine processes; empty where it can."""
    connections: Connections
    policy: PolicyFacts
    audit_head: str
    """``NUMBER:HASH`` of the log's last entry before this was made."""
    limits: tuple[str, ...]
    """What it does not prove."""

    @property
    def reach(self) -> Reach:
        """Whether the app can reach a network."""
        return self.check.reach


def look(
    policy: Policy, audit: Audit, confinement: str, *, check: Callable[[], LiveCheck] = live_check.look
) -> Attestation:
    """Look now. ``confinement`` is what the engine says of its own."""
    found = check()
    started = app_started()
    told = policy_record.told(policy)
    head = audit.head()
    return Attestation(
        app=__version__,
        written=_moment(datetime.now(UTC)),
        started=_moment(started),
        host=platform.node(),
        system=f"{platform.platform(aliased=True)} {platform.machine()}",
        user=logged_in_user(),
        check=found,
        confinement=confinement,
        unconfined=sandbox.missing(),
        connections=connections_since(audit, started),
        policy=PolicyFacts(tuple(told.values), len(told.problems), told.sha256, policy.offline_only),
        audit_head=f"{head.seq}:{head.hash}",
        limits=_limits(found),
    )


def app_started() -> datetime:
    """When this process of the app was started."""
    return datetime.fromtimestamp(psutil.Process().create_time(), UTC)


def connections_since(audit: Audit, since: datetime | None = None) -> Connections:
    """What the log knows of connections made and refused, of all its time unless ``since`` is said."""
    made, refused, hosts = 0, 0, dict[str, None]()
    events = (AuditEvent.NETWORK_CONNECTED, AuditEvent.NETWORK_REFUSED)
    for entry in audit.read(Selection(since=since, events=events)):
        if entry.event == AuditEvent.NETWORK_REFUSED:
            refused += 1
        else:
            made += 1
            if len(hosts) < _MOST_HOSTS:
                hosts[entry.object] = None
    return Connections(made, refused, tuple(hosts))


def sign(attestation: Attestation, audit: Audit) -> SignedFile:
    """Tell the audit log of ``attestation``, and sign it."""

    def tell(digest: str) -> Statement:
        return audit.sign_statement(
            AuditEvent.NETWORK_ATTESTED,
            FORMAT,
            digest,
            body={"reach": str(attestation.reach), "processes": len(attestation.check.processes)},
        )

    record: dict[str, Any] = msgspec.to_builtins(attestation)
    return signed_file.signed(record, FORMAT, tell)


def save(path: Path, file: SignedFile) -> None:
    """Write ``file``, replacing what is there; raise `LocalAIError`."""
    try:
        with files.replacing(path) as stream:
            stream.write(signed_file.content(file))
    except OSError as error:
        raise LocalAIError(
            f"“{path.name}” cannot be written: {error.strerror}.", "Choose another place."
        ) from error


@dataclass(frozen=True)
class Report:
    """What of a file holds."""

    checks: tuple[Check, ...]
    attestation: Attestation | None = None
    """What it says; None where it is no attestation."""
    key: str = ""
    head: str = ""
    """The log's entry that tells of it, for ``audit verify --against``."""

    @property
    def sound(self) -> bool:
        """Whether nothing that was checked is otherwise."""
        return all(check.outcome is not Outcome.FAILS for check in self.checks)


def verify(path: Path, *, key: str | None = None) -> Report:
    """Whether the attestation in ``path`` is as it was signed, and what it says; needs no store.

    ``key`` is the public key that must have signed it, as it was noted from the store.
    """
    data = signed_file.read(path, _KIND)
    file = signed_file.parsed(data)
    if file is None:
        return Report((Check("form", Outcome.FAILS, "It is no attestation, or no longer one."),))
    checks = signed_file.checks(file, data, FORMAT, key)
    try:
        said = msgspec.convert(file.record, Attestation, strict=True)
    except msgspec.ValidationError as error:
        checks.append(Check("structure", Outcome.FAILS, f"The record is not of this format: {error}."))
        return Report(tuple(checks), key=file.signed.key, head=file.head)
    return Report(tuple(checks), said, file.signed.key, file.head)


# ---------------------------------------------------------------- in words


def verdict(check: LiveCheck) -> str:
    """One line on whether the app can reach a network now."""
    if check.reach is Reach.OFFLINE:
        return "No process of this app can reach a network now."
    if check.reach is Reach.CONNECTED:
        fetching = any(seen.may_connect for seen in check.processes)
        what = "models are being fetched" if fetching else "a process holds a network socket"
        return f"This app is connected now: {what}."
    return "No process of this app holds a network socket that is seen; that none could is not proven here."


def reason(seen: Seen) -> str:
    """Why a process is judged so, in words."""
    if sockets := live_check.network_sockets(seen):
        return "1 network socket" if sockets == 1 else f"{sockets} network sockets"
    if seen.may_connect:
        return "may connect, to the hosts that policy allows"
    if seen.reach is Reach.UNPROVEN:
        return "not proven"
    if seen.role == live_check.SPAWNER:
        return "no network socket; it only starts the process that fetches models"
    held = "sockets hidden" if seen.sockets is None else "no network socket"
    return f"{held}; the system refuses it any"


def confines(seen: Seen, made: Attestation) -> str:
    """Which of the person's files a child may open, in words; empty for what is no child, or not confined."""
    if made.unconfined or seen.role in (live_check.APP, live_check.SPAWNER, live_check.OTHER):
        return ""
    read, write = (", ".join(Path(path).name for path in paths) for paths in (seen.read, seen.write))
    parts = [f"reading {read}" if read else "", f"writing in {write}" if write else ""]
    said = " and ".join(filter(None, parts))
    return f"Of your files it is confined to {said}." if said else "It may open none of your files."


def _limits(check: LiveCheck) -> tuple[str, ...]:
    special = [_HIDDEN] if any(seen.sockets is None for seen in check.processes) else []
    if not any(seen.filters for seen in check.processes):
        special.append(_NO_FILTER)
    return (*special, *LIMITS)


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def tried(check: LiveCheck) -> str:
    """What the app just tried and how the system answered; empty where it cannot be asked."""
    answers: dict[str, list[str]] = {}
    for name, answer in check.tried.items():
        answers.setdefault(answer, []).append(name)
    return "; ".join(f"{', '.join(names)}: {answer}" for answer, names in answers.items())


def role(seen: Seen) -> str:
    """What the process is for."""
    return _ROLES.get(seen.role, seen.role)


_ROLES = {
    live_check.APP: "App",
    live_check.SPAWNER: "Starter of the fetching process",
    live_check.OTHER: "Another process",
    "engine": "Engine",
    "template": "Template renderer",
    "header": "Reader of a model's header",
    "reader": "Document reader",
    "puller": "Fetching process",
}

"""How the audit log is said to people: when an entry was written, and what a check of the log found."""

from datetime import datetime

from localai_app.governance.audit import AuditEvent
from localai_app.governance.audit_chain import VerifyResult

OWN_USER = (
    "Tamper-evident, not tamper-proof: without a head kept elsewhere (`localai-app audit checkpoint`, "
    "then `audit verify --against`), this does not resist the machine's own user."
)


def events_of(name: str) -> list[str]:
    """The event of that name, or those of a group: ``policy`` stands for all whose name begins with it."""
    return [str(event) for event in AuditEvent if event == name or event.startswith(f"{name}.")]


def groups() -> list[str]:
    """The groups of events."""
    return sorted({event.partition(".")[0] for event in AuditEvent})


def local_time(time: str) -> str:
    """The time of an entry on this computer's clock; as it stands where the entry was changed."""
    try:
        return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return time


def problem_lines(result: VerifyResult) -> list[str]:
    """What is not as it was written."""
    lines = [f"{problem.kind}: {problem.text}." for problem in result.problems]
    return [*lines, f"{result.more} more problems are not listed."] if result.more else lines


def finding_lines(result: VerifyResult, *, in_store: bool, compared: int) -> list[str]:
    """What was found besides problems; ``compared`` heads were named that had been kept elsewhere."""
    if not result.sound:
        return [f"{result.entries} entries are sound before the first of these."]
    lines = [f"{result.seen} entries, none changed. Last: {result.head.seq}:{result.head.hash}"]
    if result.first > 1:
        lines.append(
            f"It begins at entry {result.first}; what was before is in an archive or an earlier file."
        )
    if result.signed:
        lines.append(f"Signed up to entry {result.signed} with the key {result.key}")
    if compared:
        heads = "the head" if compared == 1 else f"the {compared} heads"
        lines.append(f"It continues {heads} that you named.")
    elif in_store:
        lines.append(OWN_USER)
    else:
        lines.append("Compare the key, or a head (--against), with what you kept elsewhere.")
    return lines

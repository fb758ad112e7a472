"""Policy of an organisation that exists in a test's own folders only."""

import json
from pathlib import Path

from localai_app.governance.policy_sources import PolicyFolder


def policy_folder(home: Path) -> PolicyFolder:
    """Where the app finds policy in a test; whoever runs the test is the administrator."""
    return PolicyFolder(home / "organisation" / "policies", home.stat().st_uid)


def write_policy(home: Path, content: object, folder: str = "managed", name: str = "10-test.json") -> Path:
    """Put a policy file there, as an administrator would; bytes are written as they are."""
    made = policy_folder(home).base / folder
    made.mkdir(parents=True, exist_ok=True)
    for each in (made, made.parent, made.parent.parent):
        each.chmod(0o755)
    file = made / name
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    file.chmod(0o644)
    return file

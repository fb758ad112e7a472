"""What connects, from the command line."""

from pathlib import Path

from localai_app.app import open_app
from localai_app.governance.audit import AuditEvent
from localai_app.paths import Paths
from tests.test_cli import Shell, shell

__all__ = ["shell"]  # a fixture


def test_what_is_not_proven_is_not_called_offline(shell: Shell) -> None:
    """A test's process may open sockets."""
    checked = shell("network", "check", "--json")
    assert checked.code == 1
    assert checked.json["reach"] != "offline"
    assert checked.json["check"]["processes"][0]["role"] == "app"
    assert checked.json["signed"] is None


def test_a_statement_is_written_once_and_verified(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "now.json"
    assert "Entry" in shell("network", "check", "--output", str(path)).err
    assert shell("network", "check", "--output", str(path)).code == 2, "it is not replaced"
    verified = shell("network", "verify", str(path))
    assert verified.code == 0
    assert "signature is genuine" in verified.out
    path.write_bytes(path.read_bytes().replace(b'"made":0', b'"made":1'))
    assert shell("network", "verify", str(path)).code == 1


def test_connections_are_listed(shell: Shell) -> None:
    assert shell("network", "list", "--json").json == []
    with open_app(Paths.for_user(), engine=shell.engine) as app:
        app.audit.append(AuditEvent.NETWORK_CONNECTED, "huggingface.co")
        app.audit.append(AuditEvent.NETWORK_REFUSED, "tracker.example")
    found = shell("network", "list", "--json").json
    assert [(one["connection"], one["host"]) for one in found] == [
        ("refused", "tracker.example"),
        ("made", "huggingface.co"),
    ]
    assert "tracker.example" in shell("network", "list", "--limit", "1").out

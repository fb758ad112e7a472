"""Whether the operating system's view of an app that closed its network is told, and of one that did not."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from localai_app.governance import live_check
from localai_app.governance.live_check import LiveCheck, Reach, Seen

APP = Path(__file__).parent.parent / "children" / "attesting_app.py"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells of filters")


def look(state: str, folder: Path) -> LiveCheck:
    """What an app in that state sees of itself."""
    done = subprocess.run(
        [sys.executable, APP, state, str(folder)], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=LiveCheck)


def of(found: LiveCheck, role: str) -> Seen:
    return next(seen for seen in found.processes if seen.role == role)


@on_linux
def test_an_app_that_closed_its_network_is_offline_with_all_its_children(tmp_path: Path) -> None:
    found = look("offline", tmp_path)
    assert found.reach is Reach.OFFLINE
    assert set(found.tried.values()) == {"refused (EPERM)"}
    assert {seen.role for seen in found.processes} == {"app", "spawner", "header"}
    assert found.sockets == 0
    app, spawner, header = of(found, "app"), of(found, "spawner"), of(found, "header")
    assert app.filters == 1
    assert spawner.filters == 0
    assert spawner.sockets == {"UNIX": 1}, "the system tells root of it, and it tells everybody else"
    assert header.filters >= app.filters, "it was born with the app's"
    assert header.read == (str(tmp_path),)


@on_linux
def test_an_app_that_did_not_close_its_network_proves_nothing(tmp_path: Path) -> None:
    found = look("open", tmp_path)
    assert found.reach is Reach.UNPROVEN
    assert found.tried["TCP"] == "possible"
    assert of(found, "app").reach is Reach.UNPROVEN
    assert of(found, "header").reach is Reach.UNPROVEN, "its own filter is not vouched for by the app's"


@on_linux
def test_a_socket_that_was_there_before_is_found_even_if_it_is_not_connected(tmp_path: Path) -> None:
    found = look("connected", tmp_path)
    assert found.reach is Reach.CONNECTED
    assert found.sockets == 1
    assert of(found, "app").sockets == {"TCP": 1, "UNIX": 1}


@on_linux
def test_the_process_that_fetches_is_called_connected(tmp_path: Path) -> None:
    found = look("fetching", tmp_path)
    assert found.reach is Reach.CONNECTED
    puller = of(found, "puller")
    assert puller.may_connect
    assert puller.reach is Reach.CONNECTED
    assert of(found, "header").reach is Reach.OFFLINE


def test_only_protocols_that_stay_on_this_computer_are_none_of_a_network() -> None:
    seen = Seen(
        1, "app", Reach.OFFLINE, {"UNIX": 2, "UNIX-STREAM": 1, "NETLINK": 1, "UDPv6": 3, "unknown": 1}, 0
    )
    assert live_check.network_sockets(seen) == 4
    hidden = msgspec.structs.replace(seen, sockets=None)
    assert live_check.network_sockets(hidden) == 0


def test_this_process_is_seen_whatever_the_system() -> None:
    found = live_check.look()
    assert found.processes[0].role == "app"

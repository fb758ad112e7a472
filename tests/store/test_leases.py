import os
import subprocess
import sys

from localai_app.store import leases

TELL = "from localai_app.store import leases; print(leases.this_process(), flush=True); input()"


def test_this_process_is_alive_and_keeps_its_name() -> None:
    assert leases.this_process() == leases.this_process()
    assert leases.is_alive(leases.this_process()) is True


def test_other_process_is_alive_until_it_is_killed() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdin is not None
    name = child.stdout.readline().strip()
    assert name != leases.this_process()
    assert leases.is_alive(name) is True
    child.kill()
    if hasattr(os, "waitid"):  # nobody has reaped it yet, and still it writes nothing any more
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert leases.is_alive(name) is False
    child.communicate()
    assert leases.is_alive(name) is False


def test_other_process_that_got_the_same_id_is_not_taken_for_it() -> None:
    place, pid, start = leases.this_process().rsplit("|", 2)
    assert leases.is_alive(f"{place}|{pid}|{float(start) - 1000}") is False


def test_process_of_another_machine_or_boot_cannot_be_seen() -> None:
    _, pid, start = leases.this_process().rsplit("|", 2)
    assert leases.is_alive(f"elsewhere|{pid}|{start}") is None

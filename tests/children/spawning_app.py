"""Stands in for an app that closed its own network: ``spawning_app.py ACT FOLDER``.

Prints one line of JSON; with ACT ``stay`` it waits to be killed then.
"""

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from localai_app import processes, sandbox
from localai_app.models.hub_protocol import Configure, Ready, decode_event, encode
from localai_app.sandbox import Confinement


def start(folder):
    """A puller that has greeted."""
    child = processes.start_puller(Confinement(write=(folder,)))
    with contextlib.suppress(BrokenPipeError):  # it was never started
        child.stdin.write(encode(Configure("http://127.0.0.1:1", ("127.0.0.1",))))
        child.stdin.flush()
    line = child.stdout.readline()
    ready = decode_event(line) if line else None
    return child, ready.confinement if isinstance(ready, Ready) else ""


def main(act, folder):
    processes.start_spawner()
    offline = sandbox.refuse_network()
    (spawner,) = psutil.Process().children()
    found = {"offline": offline}
    if act == "lose":
        spawner.kill()
        spawner.wait()
    child, found["confinement"] = start(folder)
    found["running"] = child.running
    if act == "look":
        with contextlib.suppress(psutil.AccessDenied, PermissionError):  # it is hidden from all but root
            found["files"] = [file.path for file in spawner.open_files()]
            found["ends"] = [str(Path(f"/proc/{spawner.pid}/fd/{number}").readlink()) for number in range(3)]
        found["told"] = processes.spawner_sockets()
        found["command"] = psutil.Process(child.pid).cmdline()
        found["filtered"] = "Seccomp:\t2" in Path(f"/proc/{child.pid}/status").read_text()
    if act == "kill":
        os.kill(child.pid, signal.SIGKILL)
        child.wait(30)
        found["ended"] = child.how_it_ended()
        child.stop()
        child, found["second"] = start(folder)
    if act == "stay":
        found["processes"] = [process.pid for process in psutil.Process().children(recursive=True)]
    if act not in ("stay", "lose"):
        child.stop()
        found["stopped"] = child.how_it_ended()
    if act == "lose":
        found["ended"] = child.how_it_ended()
        found["told"] = processes.spawner_sockets()
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    if act == "stay":
        time.sleep(600)


main(*sys.argv[1:])

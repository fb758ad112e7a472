"""An app in a state that its first argument names; it looks at itself and prints what it saw."""

import socket
import sys
from pathlib import Path

import msgspec

from localai_app import processes, sandbox
from localai_app.governance import live_check
from localai_app.processes import start_puller
from localai_app.sandbox import Confinement

state, folder = sys.argv[1], Path(sys.argv[2])
processes.start_spawner()
held = None
if state == "connected":
    held = socket.socket()  # opened before the network was refused; it is connected to nothing
if state != "open":
    sandbox.refuse_network()
child = processes.start_child("header", Confinement(read=(str(folder),)))
pullers = [start_puller(Confinement(write=(str(folder),)))] if state == "fetching" else []
sys.stdout.buffer.write(msgspec.json.encode(live_check.look()))
sys.stdout.flush()
for each in (child, *pullers):
    each.kill()
    each.stop()
if held is not None:
    held.close()

"""An app that fetches a model: ``pulling_app.py BASE URL REPO FILE``, offline itself as the real one is.

Starts the download or goes on with it. Says on stdout what became of its own attempt to connect, then
the state in which the download ends.
"""

import socket
import sys
from pathlib import Path

import msgspec

from localai_app import sandbox
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models.connection import Connection
from localai_app.models.pull import PullService
from localai_app.processes import start_spawner
from localai_app.store.database import Database
from localai_app.store.settings import Settings


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


start_spawner()
sandbox.refuse_network()
base, url, repo, file = sys.argv[1:]
try:
    socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    say("connected")
except PermissionError:
    say("refused")

database = Database.open(Path(base) / "data" / "store.db", bytes(range(32)))
policy = Policy()
service = PullService(
    database,
    Path(base) / "models",
    Connection(Settings(database), policy, find_keystore=lambda: None, environment={}),
    policy,
    Audit(database, "tester"),
    lambda path: None,
    configure=lambda configure: msgspec.structs.replace(
        configure, endpoint=url, hosts=("127.0.0.1", "localhost"), proxy="", retry_seconds=0.02
    ),
)
if not service.pulls():
    service.start(repo, [file])
service.restore()
*_, pull = service.changes(service.pulls()[0].id)
say(f"{pull.state} {pull.error}".strip())
service.close()
database.close()

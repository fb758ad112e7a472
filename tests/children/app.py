"""Stands in for the app: starts a child, prints its process id, and waits to be killed."""

import sys
import time

from localai_app.processes import Child

child = Child(sys.argv[1:])
assert child.stdout.readline() == b"here\n"
print(child.pid, flush=True)
time.sleep(600)

"""Appends to the audit log until it is killed: ``auditing_app.py STORE NAME``.

With every entry it counts up a setting in the same transaction, and then says the entry's number.
"""

import sys
import time
from pathlib import Path

from localai_app.governance import audit as audit_module
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.store.database import Database
from localai_app.store.settings import Settings

audit_module.CHECKPOINT_EVERY = 20
name = sys.argv[2]
database = Database.open(Path(sys.argv[1]), bytes(range(32)))
audit, settings = Audit(database, name), Settings(database)
while True:
    with database.transaction():
        count = settings.get(name, 0)
        assert isinstance(count, int)
        settings.set(name, count + 1)
        head = audit.append(AuditEvent.MESSAGE_SENT, str(count))
    sys.stdout.write(f"{head.seq}\n")
    sys.stdout.flush()
    time.sleep(0.002)  # who waits for the store looks now and then; without a gap it might never get it

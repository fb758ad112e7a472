"""The encrypted store: one SQLCipher database, reached through sqlite-utils.

sqlite-utils looks for ``pysqlite3`` before Python's own ``sqlite3``. Both names are pointed at
sqlcipher3 here, before anything can import sqlite-utils: with two SQLite libraries in one process
the exception classes would differ and errors would pass uncaught.
"""

import sys

import sqlcipher3
import sqlcipher3.dbapi2

sys.modules["pysqlite3"] = sqlcipher3
sys.modules["pysqlite3.dbapi2"] = sqlcipher3.dbapi2

# sqlite-utils imports numpy wherever it is installed, to give its scalars column types. The store
# never holds one, and the import costs the start 60 ms: it is told that there is none.
_hidden = "numpy" not in sys.modules
if _hidden:
    sys.modules["numpy"] = None  # type: ignore[assignment]
try:
    import sqlite_utils  # noqa: F401
finally:
    if _hidden:
        del sys.modules["numpy"]

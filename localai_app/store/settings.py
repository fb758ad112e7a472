"""Settings of this store: JSON values by key, such as the selected model or the theme."""

import json

from localai_app.store.database import Database

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]


class Settings:
    """Settings by key; a write is part of the caller's transaction, or one of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str, default: JSON = None) -> JSON:
        """The value of ``key``; ``default`` when it was never set."""
        row = self._database.row("SELECT value FROM setting WHERE key = ?", [key])
        value: JSON = default if row is None else json.loads(row["value"])
        return value

    def set(self, key: str, value: JSON) -> None:
        """Keep ``value`` under ``key``; None forgets it."""
        if value is None:
            self._database.execute("DELETE FROM setting WHERE key = ?", [key])
            return
        self._database.execute(
            "INSERT INTO setting (key, value) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, json.dumps(value, allow_nan=False)],
        )

    def rename(self, beginning: str, new: str) -> None:
        """Keep what is under keys that begin with ``beginning`` under keys that begin with ``new``."""
        self._database.execute(
            "UPDATE OR REPLACE setting SET key = ? || substr(key, ?) WHERE substr(key, 1, ?) = ?",
            [new, len(beginning) + 1, len(beginning), beginning],
        )

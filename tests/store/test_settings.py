from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.store.database import Database
from localai_app.store.settings import JSON, Settings


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "store.db", bytes(range(32)))
    yield opened
    opened.close()


@pytest.mark.parametrize("value", [True, 0, 1.5, "dark", ["a", 1], {"width": 3, "panes": [1, 2]}])
def test_setting_comes_back_as_it_was_set(database: Database, value: JSON) -> None:
    settings = Settings(database)
    settings.set("key", "before")
    settings.set("key", value)
    assert settings.get("key") == value


def test_setting_that_was_never_set_is_the_default(database: Database) -> None:
    settings = Settings(database)
    assert settings.get("theme", "system") == "system"
    settings.set("theme", "dark")
    settings.set("theme", None)
    assert settings.get("theme", "system") == "system"


def test_setting_is_part_of_the_transaction_it_is_made_in(database: Database) -> None:
    settings = Settings(database)

    def fail() -> None:
        with database.transaction():
            settings.set("theme", "dark")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert settings.get("theme") is None


def test_keys_can_be_renamed_by_how_they_begin(database: Database) -> None:
    settings = Settings(database)
    for key in ("of:/a/b", "of:/ab", "of:/new/b"):
        settings.set(key, key)
    settings.rename("of:/a/", "of:/new/")
    assert settings.get("of:/new/b") == "of:/a/b"
    assert settings.get("of:/a/b") is None
    assert settings.get("of:/ab") == "of:/ab"

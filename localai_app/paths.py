"""Where things live on this machine.

What a user made (the data folder) is apart from what can be made again (cache), and the weak key
file, where one is used, is apart from the data folder: copying one of the two reveals nothing.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP = "localai-app"


@dataclass(frozen=True)
class Paths:
    """The folders of one run. Nothing is created here: whoever writes first, creates."""

    data: Path
    """Encrypted store, key envelope, open requests."""
    config: Path
    """Key files that are apart from the data."""
    cache: Path
    """What can be made again."""
    models: tuple[Path, ...]
    """Model folders in the order they are searched; pulls go to the first."""

    @property
    def database(self) -> Path:
        """The SQLCipher database."""
        return self.data / "store.db"

    @classmethod
    def for_user(cls, data_dir: Path | None = None) -> "Paths":
        """Folders for this user; ``data_dir`` (or ``LOCALAI_APP_DATA_DIR``) moves the data folder.

        The user's model folder serves every data folder: weights are not copied per store.
        """
        named = data_dir or _environment_path("LOCALAI_APP_DATA_DIR")
        data = (named or platformdirs.user_data_path(APP, appauthor=False)).absolute()
        models = _environment_path("LOCALAI_APP_MODELS_DIR") or (
            platformdirs.user_data_path(APP, appauthor=False) / "models"
        )
        folders = dict.fromkeys([models.absolute(), data / "models"])
        config = platformdirs.user_config_path(APP, appauthor=False).absolute()
        if config == platformdirs.user_data_path(APP, appauthor=False).absolute():
            config = config.with_name(f"{APP}-keys")  # macOS and Windows have one folder for both
        return cls(
            data=data,
            config=config,
            cache=platformdirs.user_cache_path(APP, appauthor=False).absolute(),
            models=tuple(folders),
        )


def resources() -> Path:
    """The folder of shipped files: icons, licences, the starter model's manifest."""
    return Path(__file__).resolve().parent.parent / "resources"


def _environment_path(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value).expanduser() if value else None

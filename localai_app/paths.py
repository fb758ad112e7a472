"""Where things live on this machine.

What a user made (the data folder) is apart from what can be made again (cache), and the weak key
file, where one is used, is apart from the data folder: copying one of the two reveals nothing.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs

APP = "localai-app"
MODELS_NOTE = "models-folder"
"""File in the configuration folder that says where the model folder was moved to; it may be absent."""


@dataclass(frozen=True)
class Paths:
    """The folders of one run. Nothing is created here: whoever writes first, creates."""

    data: Path
    """Encrypted store, key envelope, open requests."""
    config: Path
    """Key files that are apart from the data, and the note where the models are."""
    cache: Path
    """What can be made again."""
    models: tuple[Path, ...]
    """Model folders in the order they are searched; pulls go to the first. The last ones serve every
    user of this computer and are only read."""

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
        config = platformdirs.user_config_path(APP, appauthor=False).absolute()
        if config == platformdirs.user_data_path(APP, appauthor=False).absolute():
            config = config.with_name(f"{APP}-keys")  # macOS and Windows have one folder for both
        models = (
            _environment_path("LOCALAI_APP_MODELS_DIR")
            or _noted_path(config / MODELS_NOTE)
            or platformdirs.user_data_path(APP, appauthor=False) / "models"
        )
        folders = dict.fromkeys([models.absolute(), data / "models", *machine_model_folders()])
        return cls(
            data=data,
            config=config,
            cache=platformdirs.user_cache_path(APP, appauthor=False).absolute(),
            models=tuple(folders),
        )


def organisation_folder() -> Path:
    """Where an administrator puts what holds for everybody on this computer; no variable moves it."""
    if sys.platform == "win32":
        return platformdirs.site_data_path(APP, appauthor=False)
    if sys.platform == "darwin":
        return Path("/Library/Application Support") / APP
    return Path("/etc") / APP


def machine_model_folders() -> list[Path]:
    """Where an administrator puts models for everybody on this computer."""
    folders = platformdirs.site_data_dir(APP, appauthor=False, multipath=True).split(os.pathsep)
    return [Path(folder).absolute() / "models" for folder in folders if folder]


def models_folder_is_set() -> bool:
    """Whether the environment says where the models are: then nothing else does."""
    return _environment_path("LOCALAI_APP_MODELS_DIR") is not None


def resources() -> Path:
    """The folder of shipped files: icons, licences, the starter model's manifest."""
    return Path(__file__).resolve().parent.parent / "resources"


def _environment_path(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value).expanduser() if value else None


def _noted_path(note: Path) -> Path | None:
    """The absolute path that a one-line file holds; None for anything else."""
    try:
        path = Path(note.read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return None
    return path if path.is_absolute() else None

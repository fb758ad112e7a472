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
PORTABLE = "portable"
"""File beside a packaged program that makes it a portable one; its content does not matter."""
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

        The user's model folder serves every data folder: weights are not copied per store. A portable
        copy has all of them beside it: what this computer's environment says does not hold for it.
        """
        portable = portable_folder()
        if portable is not None:
            data = (data_dir or portable).absolute()
            folders = dict.fromkeys([portable / "models", data / "models", *machine_model_folders()])
            return cls(data, portable / "config", portable / "cache", tuple(folders))
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


def portable_folder() -> Path | None:
    """Where a portable copy keeps everything: ``data`` beside the program. None for any other copy.

    The program is what a person copies: the program's folder, an ``.app`` or an ``.AppImage``.
    """
    if not getattr(sys, "frozen", False):
        return None
    program = Path(sys.executable).resolve()
    image, mounted = os.environ.get("APPIMAGE"), os.environ.get("APPDIR")
    if image and mounted and program.is_relative_to(Path(mounted).resolve()):
        program = Path(image).resolve()
    elif sys.platform == "darwin" and program.parent.name == "MacOS":
        program = program.parents[2]
    return program.parent / "data" if (program.parent / PORTABLE).is_file() else None


def keep_caches_portable() -> None:
    """Let libraries that keep caches of their own (fonts, shaders) keep them in a portable copy's folder.

    Call it before they are loaded.
    """
    portable = portable_folder()
    if portable is not None:
        os.environ["XDG_CACHE_HOME"] = str(portable / "cache")


def organisation_folder() -> Path:
    """Where an administrator puts what holds for everybody on this computer; no variable moves it.

    On Windows not in ``ProgramData``, where every user may make folders.
    """
    if sys.platform == "win32":
        return _windows_programs() / "LocalAI App Organisation"
    if sys.platform == "darwin":
        return Path("/Library/Application Support") / APP
    return Path("/etc") / APP


def machine_model_folders() -> list[Path]:
    """Where an administrator puts models for everybody on this computer, and those a package brought."""
    brought = [resources().with_name("models")] if getattr(sys, "frozen", False) else []
    if sys.platform == "win32":
        return [_windows_programs() / "LocalAI App Models", *brought]
    folders = platformdirs.site_data_dir(APP, appauthor=False, multipath=True).split(os.pathsep)
    return [*(Path(folder).absolute() / "models" for folder in folders if folder), *brought]


def engine_pack_folders() -> list[Path]:
    """Where an administrator puts engines, in the order they are looked for; no variable moves them.

    On Linux by hand and from packages. On Windows beside the programs, where only administrators write.
    """
    if sys.platform == "win32":
        return [_windows_programs() / "LocalAI App Engines"]
    if sys.platform == "darwin":
        return [organisation_folder() / "engines"]
    return [Path(root) / APP / "engines" for root in ("/usr/local/lib", "/usr/lib")]


def is_packaged() -> bool:
    """Whether this is a packaged app, which packages add to; a checkout has `make` for that."""
    return bool(getattr(sys, "frozen", False))


def built_in_engine() -> Path | None:
    """The folder of the packaged app's own engine; None in a checkout, where llama-cpp-python has one."""
    folder = resources().with_name("engine")
    return folder if getattr(sys, "frozen", False) and folder.is_dir() else None


def models_folder_is_set() -> bool:
    """Whether the environment says where the models are: then nothing else does."""
    return _environment_path("LOCALAI_APP_MODELS_DIR") is not None


def resources() -> Path:
    """The folder of shipped files: icons, licences, the starter model's manifest."""
    return Path(__file__).resolve().parent.parent / "resources"


def _windows_programs() -> Path:
    """The folder of installed programs as the system has it; the variable of that name is the user's."""
    if sys.platform != "win32":
        raise OSError("there is no registry")
    import winreg  # noqa: PLC0415 - Windows only

    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Windows\CurrentVersion") as key:
        return Path(str(winreg.QueryValueEx(key, "ProgramFilesDir")[0]))


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

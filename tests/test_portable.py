"""A portable copy keeps everything beside it, whatever this computer says."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localai_app import paths as app_paths
from localai_app.app import open_app
from localai_app.cli import doctor
from localai_app.errors import KeyUnavailable, UsageError
from localai_app.governance import keys, keystore
from localai_app.governance.policy import Policy
from localai_app.paths import Paths, portable_folder
from tests.fake_engine import FakeEngine

NOBODY = Policy()
Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Pretend to run as the packaged program ``name`` in a folder of its own; the folder."""
    for variable in ("APPIMAGE", "APPDIR"):
        monkeypatch.delenv(variable, raising=False)

    def pretend(name: str = "stick/localai-app", *, marked: str | None = "stick") -> Path:
        executable = tmp_path / name
        executable.parent.mkdir(parents=True, exist_ok=True)
        executable.touch()
        if marked is not None:
            (tmp_path / marked / "portable").touch()
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        monkeypatch.setattr(sys, "executable", str(executable))
        return tmp_path

    return pretend


# ---------------------------------------------------------------- what is one


def test_a_program_with_the_marker_beside_it_is_portable(program: Program) -> None:
    assert portable_folder() is None
    folder = program()
    assert portable_folder() == folder / "stick" / "data"


def test_without_the_marker_or_as_a_folder_it_is_not(program: Program) -> None:
    folder = program(marked=None)
    assert portable_folder() is None
    (folder / "stick" / "portable").mkdir()
    assert portable_folder() is None


def test_a_checkout_is_never_portable(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    program()
    monkeypatch.delattr(sys, "frozen")
    assert portable_folder() is None


def test_the_link_to_an_installed_program_does_not_count(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = program(marked=None)
    (folder / "bin").mkdir()
    (folder / "bin" / "localai-app").symlink_to(folder / "stick" / "localai-app")
    (folder / "bin" / "portable").touch()
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "localai-app"))
    assert portable_folder() is None


def test_of_an_appimage_the_file_counts_and_not_where_it_is_mounted(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = program("mount/usr/bin/localai-app", marked=None)
    monkeypatch.setenv("APPDIR", str(folder / "mount"))
    monkeypatch.setenv("APPIMAGE", str(folder / "stick" / "LocalAI_App.AppImage"))
    assert portable_folder() is None
    (folder / "stick").mkdir()
    (folder / "stick" / "portable").touch()
    assert portable_folder() == folder / "stick" / "data"


def test_another_programs_appimage_does_not_count(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = program(marked=None)
    (folder / "portable").touch()
    monkeypatch.setenv("APPDIR", str(folder / "mount"))
    monkeypatch.setenv("APPIMAGE", str(folder / "Editor.AppImage"))
    assert portable_folder() is None


def test_of_a_mac_application_the_bundle_counts(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = program("stick/LocalAI.app/Contents/MacOS/localai-app")
    monkeypatch.setattr(app_paths.sys, "platform", "darwin")
    assert portable_folder() == folder / "stick" / "data"


# ---------------------------------------------------------------- where things are


def test_all_folders_are_beside_the_program_whatever_the_environment_says(
    program: Program, monkeypatch: pytest.MonkeyPatch, own_folders: Path
) -> None:
    monkeypatch.setenv("LOCALAI_APP_DATA_DIR", str(own_folders / "elsewhere"))
    monkeypatch.setenv("LOCALAI_APP_MODELS_DIR", str(own_folders / "models"))
    data = program() / "stick" / "data"
    paths = Paths.for_user()
    assert (paths.data, paths.config, paths.cache) == (data, data / "config", data / "cache")
    assert paths.models == (data / "models", *app_paths.machine_model_folders())


def test_only_a_folder_that_is_named_goes_before(program: Program, tmp_path: Path) -> None:
    data = program() / "stick" / "data"
    paths = Paths.for_user(tmp_path / "other")
    assert (paths.data, paths.config) == (tmp_path / "other", data / "config")
    assert paths.models[0] == data / "models"


def test_caches_of_libraries_are_kept_there_and_those_of_an_installed_copy_are_left(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/before")
    app_paths.keep_caches_portable()
    assert app_paths.os.environ["XDG_CACHE_HOME"] == "/before"
    data = program() / "stick" / "data"
    app_paths.keep_caches_portable()
    assert app_paths.os.environ["XDG_CACHE_HOME"] == str(data / "cache")


# ---------------------------------------------------------------- its key


def test_the_keystore_is_not_asked(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests.no_such_keystore")
    program()
    assert keystore.system_keystore() is None
    with pytest.raises(KeyUnavailable) as refused:
        keystore.secret_of("0" * 32, keystore.system_keystore)
    assert "portable" in refused.value.hint


def test_the_first_start_asks_for_a_passphrase(program: Program) -> None:
    program()
    asked: list[bool] = []

    def ask(new: bool) -> str:
        asked.append(new)
        return "correct horse battery"

    paths = Paths.for_user()
    assert keys.open_key(paths, NOBODY, ask_passphrase=ask).kind == "passphrase"
    assert keys.open_key(paths, NOBODY, ask_passphrase=ask).created is False
    assert asked == [True, False]


@pytest.mark.parametrize(
    "ask",
    [None, lambda new: None, lambda new: ""],
    ids=["nobody is there", "they decline", "they only press Enter"],
)
def test_without_a_passphrase_the_key_file_lies_beside_the_data(
    program: Program, ask: keys.AskPassphrase | None
) -> None:
    data = program() / "stick" / "data"
    key = keys.open_key(Paths.for_user(), NOBODY, ask_passphrase=ask)
    assert key.weak
    assert len(list((data / "config" / "keys").iterdir())) == 1
    assert keys.open_key(Paths.for_user(), NOBODY).key == key.key


def test_where_policy_forbids_key_files_there_is_none(program: Program) -> None:
    data = program() / "stick" / "data"
    with pytest.raises(KeyUnavailable):
        keys.open_key(
            Paths.for_user(), Policy({"KeyStore": "os-or-passphrase"}), ask_passphrase=lambda new: None
        )
    assert not (data / "config").exists()
    assert not (data / "key.json").exists()


def test_an_installed_copy_is_not_asked_for_a_passphrase(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    key = keys.open_key(
        paths, NOBODY, ask_passphrase=lambda new: pytest.fail("asked"), find_keystore=lambda: None
    )
    assert key.kind == "file"


# ---------------------------------------------------------------- its models


def test_what_is_known_of_its_models_follows_it_to_another_place(program: Program, tmp_path: Path) -> None:
    program()
    for name in ("alpha.gguf", "beta.gguf"):
        file = tmp_path / "stick" / "data" / "models" / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_bytes(b"GGUF")
    with open_app(Paths.for_user(), engine=FakeEngine()) as app:
        app.models.select(app.paths.models[0] / "beta.gguf")
        digest = app.models.check_selected()
    (tmp_path / "stick").rename(tmp_path / "other stick")
    program("other stick/localai-app", marked="other stick")
    for _ in range(2):
        with open_app(Paths.for_user(), engine=FakeEngine()) as app:
            chosen = app.models.selected().path
            assert chosen == tmp_path / "other stick" / "data" / "models" / "beta.gguf"
            assert app.models.files.known_sha256(chosen) == digest
            moves = app.database.rows("SELECT body FROM audit WHERE event = 'model.folder_moved'")
            assert len(moves) == 1


def test_its_models_are_not_moved_apart_from_it(program: Program, tmp_path: Path) -> None:
    data = program() / "stick" / "data"
    with (
        open_app(Paths.for_user(), engine=FakeEngine()) as app,
        pytest.raises(UsageError, match="portable copy"),
    ):
        app.library.move_folder(tmp_path / "elsewhere")
    assert not (data / "config" / "models-folder").exists()


def test_doctor_says_that_it_is_portable(program: Program) -> None:
    assert "portable" not in doctor._app().text
    data = program() / "stick" / "data"
    assert "(portable copy)" in doctor._app().text
    assert doctor._app().facts["portable"] == str(data)

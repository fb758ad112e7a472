"""What every test gets: folders of its own, and the real models where it asks for them."""

import os
from pathlib import Path

import pytest

from localai_app.paths import Paths

# Looked up before the tests get folders of their own.
_TEST_MODELS = Path(os.environ.get("LOCALAI_APP_TEST_MODELS") or Paths.for_user().cache / "test-models")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes what belongs to the person who runs it."""
    home = tmp_path_factory.mktemp("home")
    for name, folder in {
        "HOME": "",
        "USERPROFILE": "",
        "XDG_DATA_HOME": "data",
        "XDG_CONFIG_HOME": "config",
        "XDG_CACHE_HOME": "cache",
    }.items():
        monkeypatch.setenv(name, str(home / folder))
    for name in (
        "LOCALAI_APP_DATA_DIR",
        "LOCALAI_APP_MODELS_DIR",
        "LOCALAI_APP_PASSPHRASE_FILE",
        "DBUS_SESSION_BUS_ADDRESS",
    ):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """SmolLM2-135M-Instruct Q4_1, the model that ships with the app."""
    return _model("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="session")
def gemma_base() -> Path:
    """Gemma 3 270M base, a model without a chat template."""
    return _model("gemma-3-270m-q4_k_m.gguf")


@pytest.fixture(scope="session")
def qwen() -> Path:
    """Qwen2.5-Coder-1.5B-Instruct, for the slow checks."""
    path = _TEST_MODELS / "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
    if not path.is_file():
        pytest.skip("Qwen2.5-Coder is not here (1.1 GB); `make test-real` fetches it")
    return path


def _model(file: str) -> Path:
    path = _TEST_MODELS / file
    assert path.is_file(), f"{path} is not here; `make test` fetches it"
    return path

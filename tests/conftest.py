"""What every test gets: folders of its own, and the real models where it asks for them."""

import os
import signal
from pathlib import Path

import hypothesis
import pytest

from localai_app.governance import policy
from localai_app.models import header_process, service
from localai_app.models.gguf import GgufHeader
from localai_app.paths import Paths
from tests.fake_engine import FAKE_HEADER
from tests.organisation import policy_folder

# A busy machine makes an example slow, not wrong. The same examples each time: what a new one finds should
# not stop somebody else's change. HYPOTHESIS_PROFILE=searching looks for new ones.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.register_profile("searching", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# Where the tests run in a shell's background, Ctrl+C is ignored by all that they start, which they test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

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
        "XDG_DATA_DIRS": "site",
    }.items():
        monkeypatch.setenv(name, str(home / folder))
    for name in (
        "LOCALAI_APP_DATA_DIR",
        "LOCALAI_APP_MODELS_DIR",
        "LOCALAI_APP_PASSPHRASE_FILE",
        "DBUS_SESSION_BUS_ADDRESS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(policy, "system_source", lambda: policy_folder(home))
    return home


@pytest.fixture(autouse=True)
def header_of_pretended_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a few bytes that stands for a model has a header, too; no child is started to read it."""

    def read(path: Path) -> GgufHeader:
        pretended = path.is_file() and path.stat().st_size < 64
        return FAKE_HEADER if pretended else header_process.read_header(path)

    monkeypatch.setattr(service, "read_header", read)


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """SmolLM2-135M-Instruct Q4_1, the model that ships with the app."""
    return _model("SmolLM2-135M-Instruct.Q4_1.gguf")


@pytest.fixture(scope="session")
def gemma_base() -> Path:
    """Gemma 3 270M base, a model without a chat template."""
    return _model("gemma-3-270m-q4_k_m.gguf")


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2 F16, the embedding model that belongs to the app."""
    return _model("all-MiniLM-L6-v2.F16.gguf")


@pytest.fixture(scope="session")
def minilm_original() -> Path:
    """The folder of the weights it was made from."""
    return _model("all-MiniLM-L6-v2/model.safetensors").parent


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

"""``models list``, ``show``, ``verify``, ``import``, ``remove`` and ``move``; the engine only pretends."""

from pathlib import Path
from typing import Any

import pytest

from localai_app import app as app_module
from localai_app.errors import ModelLoadFailed
from localai_app.paths import Paths
from tests import tiny_models
from tests.models.test_library import LLAMA_FAMILY, make
from tests.organisation import write_policy
from tests.test_cli import Shell, shell

__all__ = ["shell"]  # a fixture


@pytest.fixture(autouse=True)
def trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model loads but one that says it does not."""

    def try_model(path: Path, *_: Any) -> None:
        if b"bad" in path.read_bytes()[:20]:
            raise ModelLoadFailed("It does not load.", "Choose another.")

    monkeypatch.setattr(app_module, "try_model", try_model)


def folder() -> Path:
    return Paths.for_user().models[0]


def test_the_list_says_what_is_known(shell: Shell) -> None:
    shell("chat", "--prompt", "x")
    (model,) = shell("models", "list", "--json").json
    assert (model["name"], model["kind"], model["selected"]) == ("Pretend 1B", "chat", True)
    assert (model["hash_state"], model["place"], model["commercial"]) == (
        "recorded",
        "models folder",
        "unknown",
    )
    assert len(model["sha256"]) == 64
    assert model["last_used"]
    row = shell("models", "list").out.splitlines()[1]
    assert row.startswith("*  Pretend 1B  Q4_0")
    assert "recorded" in row


def test_a_verified_model_is_told_and_a_changed_one_is_an_error(shell: Shell) -> None:
    path = folder() / "pretend-1b-q4_0.gguf"
    assert shell("models", "verify").code == 0
    result = shell("models", "verify", "pretend")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("verified 20")
    path.write_bytes(b"GGUE")
    result = shell("models", "verify", "pretend", "--json")
    assert result.code == 1
    assert result.json[0]["hash_state"] == "changed"
    assert "pretend-1b-q4_0.gguf is not the file that it was" in result.err
    failed = shell("chat", "--prompt", "x")
    assert failed.code == 1
    assert "its SHA-256 has changed" in failed.err
    result = shell("models", "verify", "pretend", "--accept")
    assert (result.code, result.err) == (0, "pretend-1b-q4_0.gguf is used as it is from now on.\n")
    assert shell("chat", "--prompt", "x").code == 0
    assert shell("models", "verify", "--accept").code == 2


def test_a_model_is_imported_and_removed(shell: Shell, tmp_path: Path) -> None:
    source = make(tmp_path / "usb" / "zebra-2b-q8_0.gguf", b"GGUF zebra")
    result = shell("models", "import", str(source), terminal=True)
    assert result.code == 0
    assert f"Zebra 2B Q8_0 is in {folder()} now." in result.err
    assert "Copying zebra-2b-q8_0.gguf 50%" in result.err
    there = folder() / "zebra-2b-q8_0.gguf"
    assert there.read_bytes() == b"GGUF zebra"
    assert shell("models", "import", str(source)).code == 2
    removed = shell("models", "remove", "zebra", "--json").json
    assert removed["path"] == str(there)
    assert not there.exists()
    assert not list(folder().rglob(".trash/*"))
    assert shell("models", "remove", "zebra").code == 1


def test_of_a_folder_the_good_ones_are_imported_and_the_others_told(shell: Shell, tmp_path: Path) -> None:
    for name, content in (("a", b"GGUF good"), ("b", b"GGUF bad"), ("c", b"no model")):
        make(tmp_path / "usb" / f"{name}.gguf", content)
    result = shell("models", "import", str(tmp_path / "usb"), "--json")
    assert result.code == 2
    assert [model["name"] for model in result.json] == ["A"]
    assert "It does not load." in result.err
    assert "c.gguf is not a GGUF file." in result.err
    assert shell("models", "import", str(tmp_path / "absent.gguf")).code == 2


def test_policy_refusals_have_their_own_code(shell: Shell, tmp_path: Path, own_folders: Path) -> None:
    write_policy(own_folders, {"AllowModelImport": False, "LegalHold": True, "OfflineOnly": True})
    assert shell("models", "import", str(make(tmp_path / "a.gguf"))).code == 3
    assert shell("models", "remove", "pretend").code == 3
    assert shell("models", "search", "x").code == 3
    assert shell("models", "pull", "a/b").code == 3


def test_a_model_is_shown_from_inside(shell: Shell, tmp_path: Path) -> None:
    tiny_models.build(LLAMA_FAMILY, folder())
    result = shell("models", "show", "tiny")
    assert (result.code, result.err) == (0, "")
    for words in ("llama.context_length", "token_embd.weight", "commercial use: unknown", "{% for"):
        assert words in result.out
    report = shell("models", "show", "tiny", "--json").json
    assert report["template_state"] == "unknown"
    assert report["tensors"][0]["shape"]
    assert report["parameters"] > 10_000
    assert shell("models", "show", "tiny", "--diff", "tiny").out == "The templates are the same.\n"


def test_the_folder_is_moved_and_found_again(shell: Shell, tmp_path: Path) -> None:
    old = folder()
    result = shell("models", "move", str(tmp_path / "new"))
    assert (result.code, result.err) == (0, f"The models are in {tmp_path / 'new'}.\n")
    assert not old.exists()
    (model,) = shell("models", "list", "--json").json
    assert model["path"] == str(tmp_path / "new" / "pretend-1b-q4_0.gguf")
    assert shell("models", "move", "--cancel", "--json").json == {"folder": str(tmp_path / "new")}
    assert shell("models", "move").code == 2
    assert shell("models", "move", str(tmp_path)).code == 2

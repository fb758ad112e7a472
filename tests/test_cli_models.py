"""``models catalogue``, ``link`` and ``unlink`` on the command line."""

import json
from pathlib import Path

import pytest

from localai_app.models import catalogue_file
from tests.models.signing import document, entry, write_signed
from tests.models.test_elsewhere import make, ollama
from tests.test_cli import Shell, shell

__all__ = ["shell"]  # a fixture


@pytest.fixture(autouse=True)
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small catalogue in place of the shipped one, and nobody else's."""
    write_signed(
        tmp_path / "resources",
        document(
            entry(id="llama"),
            entry(
                id="gemma",
                name="Gemma 4 26B",
                family="Gemma 4",
                repository="google/gemma-4",
                abilities=["vision"],
                parameters=26_000_000_000,
                licence={"name": "Apache License 2.0", "spdx": "Apache-2.0", "commercial": "yes"},
                files=[{"name": "g.gguf", "size": 400_000_000_000}],
            ),
        ),
    )
    monkeypatch.setattr(catalogue_file, "resources", lambda: tmp_path / "resources")
    monkeypatch.setattr(catalogue_file, "organisation_folder", lambda: tmp_path / "none")
    return tmp_path / "resources"


def test_the_catalogue_is_a_table(shell: Shell) -> None:
    result = shell("models", "catalogue")
    header, *rows = result.out.splitlines()
    assert header.split() == ["MODEL", "QUANT", "SIZE", "MEMORY", "FIT", "SPEED", "ABILITIES", "LICENCE"]
    assert [row.split()[0] for row in rows] == ["*", "Gemma"], "one suits best"
    assert "Llama 3.2 3B Instruct" in rows[0]
    assert "Llama 3.2 Community License (conditions)" in rows[0]
    assert "400.0 GB" in rows[1]
    assert "will not fit" in rows[1]
    assert rows[1].endswith("Apache-2.0")
    assert "2 of 2 models from the app's own catalogue, version 3 of 2026-11-01." in result.err


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["llama", "gemma"]),
        (["--family", "gemma"], ["gemma"]),
        (["--ability", "tools"], ["llama"]),
        (["--ability", "tools", "--ability", "vision"], []),
        (["--language", "de"], ["llama", "gemma"]),
        (["--language", "fi"], []),
        (["--licence", "apache"], ["gemma"]),
        (["--kind", "embedding"], []),
        (["--commercial"], ["llama", "gemma"]),
        (["--fits"], ["llama"]),
        (["--sort", "name"], ["gemma", "llama"]),
        (["--sort", "fit"], ["llama", "gemma"]),
        (["instruct", "3b"], ["llama"]),
    ],
)
def test_the_catalogue_is_searched_and_sorted(shell: Shell, options: list[str], found: list[str]) -> None:
    models = shell("models", "catalogue", "--json", *options).json["models"]
    assert [model["id"] for model in models] == found


def test_json_has_all_that_is_known(shell: Shell) -> None:
    report = shell("models", "catalogue", "--json", "--context", "4096").json
    assert (report["source"], report["version"], report["expires"]) == ("shipped", 3, "2027-11-01")
    assert (report["recommended"], report["problems"]) == ("llama", [])
    model = report["models"][0]
    assert model["files"][0]["sha256"] == "a" * 64
    assert (model["fit"]["context_length"], model["fit"]["grade"]) == (4096, "fits")
    assert model["speed"]["tokens_per_second"] > 0
    assert (model["speed"]["measured"], model["pinned"], model["allowed"]) == (False, True, True)


def test_a_catalogue_that_was_changed_is_told(shell: Shell, catalogue: Path) -> None:
    (catalogue / catalogue_file.FILE).write_bytes(document(entry(id="evil")))
    result = shell("models", "catalogue")
    assert "The app's own catalogue cannot be used. The catalogue's signature is wrong" in result.err
    assert "0 of 0 models from no catalogue" in result.err
    events = shell("audit", "verify", "--json").json
    assert events["sound"]


def test_wrong_usage_is_told(shell: Shell) -> None:
    assert shell("models", "catalogue", "--context", "-1").code == 2
    assert shell("models", "catalogue", "--sort", "beauty").code == 2
    assert shell("models", "link", "--found", "x.gguf").code == 2


def test_a_file_is_linked_listed_selected_and_unlinked(shell: Shell, tmp_path: Path) -> None:
    path = make(tmp_path / "usb" / "zebra-2b-q8_0.gguf")
    assert shell("models", "link", str(path)).err.startswith("1 linked; nothing was copied.")
    listed = shell("models", "list", "--json").json
    assert [(model["name"], model["linked"]) for model in listed] == [
        ("Pretend 1B", False),
        ("Zebra 2B", True),
    ]
    assert shell("models", "select", "zebra").code == 0
    path.rename(tmp_path / "away.gguf")
    assert "zebra-2b-q8_0.gguf (not there now)" in shell("models", "list").out
    assert shell("models", "unlink", str(path)).code == 0
    assert len(shell("models", "list", "--json").json) == 1
    assert shell("models", "unlink", str(path)).code == 1


def test_an_embedding_model_is_selected_for_searching(shell: Shell, tmp_path: Path, minilm: Path) -> None:
    path = tmp_path / "usb" / minilm.name
    path.parent.mkdir()
    path.symlink_to(minilm)
    assert shell("models", "link", str(path)).code == 0
    result = shell("models", "select", "all-MiniLM")
    assert "searches documents from now on; `localai-app docs refresh` indexes them anew." in result.err
    assert shell("models", "select", "pretend").err == "Pretend 1B Q4_0 answers from now on.\n"
    listed = {model["kind"]: model["selected"] for model in shell("models", "list", "--json").json}
    assert listed == {"chat": True, "embedding": True}


def test_the_machine_s_model_folder_is_found_by_itself(shell: Shell, own_folders: Path) -> None:
    path = make(own_folders / "site" / "localai-app" / "models" / "everyone-3b-q4_0.gguf")
    path.parent.chmod(0o555)
    assert [
        model["path"] for model in shell("models", "list", "--json").json if "Everyone" in model["name"]
    ] == [str(path)]
    assert shell("models", "select", "everyone").code == 0


def test_models_of_other_programs_are_listed_and_linked(shell: Shell, own_folders: Path) -> None:
    ollama(own_folders / ".ollama" / "models")
    result = shell("models", "link")
    assert "Ollama   llama3.2:3b" in result.out
    assert json.loads(shell("models", "link", "--json").out)[0]["owner"] == "Ollama"
    assert shell("models", "link", "--found").code == 0
    assert shell("models", "link", "--json").json == []
    assert "llama3.2:3b" in shell("models", "list").out


def test_a_used_model_s_speed_is_measured(shell: Shell, catalogue: Path) -> None:
    def speed(sha256: str) -> tuple[float, bool]:
        write_signed(catalogue, document(entry(files=[{"name": "a.gguf", "size": 10**9, "sha256": sha256}])))
        (model,) = shell("models", "catalogue", "--json").json["models"]
        return model["speed"]["tokens_per_second"], model["speed"]["measured"]

    short = shell("chat", "--prompt", "Well?", "--json").json
    assert speed(short["model_sha256"])[1] is False, "two tokens tell nothing"
    shell.engine.pieces = ["word "] * 40
    report = shell("chat", "--prompt", "Well?", "--json").json
    assert speed(report["model_sha256"]) == (pytest.approx(report["tokens_per_second"], rel=0.01), True)
    assert "measured" in shell("models", "catalogue").out
    (listed,) = shell("models", "list", "--json").json
    assert listed["tokens_per_second"] == pytest.approx(report["tokens_per_second"], rel=0.01)
    assert "tokens/s" in shell("models", "list").out


def test_the_catalogue_s_sampling_is_used_for_its_models(shell: Shell, catalogue: Path) -> None:
    sha256 = shell("chat", "--prompt", "Well?", "--json").json["model_sha256"]
    files = [{"name": "a.gguf", "size": 9, "sha256": sha256}]
    write_signed(catalogue, document(entry(files=files, sampling={"temperature": 0.3, "top_k": 7})))
    sampling = shell("chat", "--prompt", "Well?", "--json").json["sampling"]
    assert (sampling["temperature"], sampling["top_k"]) == (0.3, 7)
    assert (
        shell("chat", "--prompt", "Well?", "--json", "--temperature", "1").json["sampling"]["temperature"]
        == 1
    )

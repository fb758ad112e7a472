"""Models of LM Studio, Jan, Ollama and the Hugging Face cache, in folders as these programs make them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from localai_app.models.elsewhere import (
    Places,
    find,
    in_hugging_face_cache,
    in_jan,
    in_lm_studio,
    in_ollama,
    places,
)
from localai_app.models.installed import Starter

STARTER = Starter.from_resources()
DIGEST = "c" * 64
COMMIT = "5ab33fa94d1d04e903623ae72c95d1696f09f9e8"
MODEL_LAYER = "application/vnd.ollama.image.model"


def make(path: Path, content: bytes = b"GGUF and more") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def manifest(folder: Path, name: str, *layers: dict[str, Any]) -> Path:
    content = {"schemaVersion": 2, "layers": list(layers)}
    return make(folder / "manifests" / name, json.dumps(content).encode())


def ollama(folder: Path, name: str = "registry.ollama.ai/library/llama3.2/3b", digest: str = DIGEST) -> Path:
    blob = make(folder / "blobs" / f"sha256-{digest}")
    licence = make(folder / "blobs" / f"sha256-{'d' * 64}", b"Do what you like.")
    manifest(
        folder,
        name,
        {"mediaType": MODEL_LAYER, "digest": f"sha256:{digest}", "size": blob.stat().st_size},
        {
            "mediaType": "application/vnd.ollama.image.license",
            "digest": f"sha256:{'d' * 64}",
            "size": licence.stat().st_size,
        },
    )
    return blob


# ---------------------------------------------------------------- LM Studio


def test_lm_studio_s_models_are_found_with_their_repository(tmp_path: Path) -> None:
    path = make(tmp_path / "bartowski" / "Llama-3.2-3B-Instruct-GGUF" / "Llama-3.2-3B-Instruct-Q4_K_M.gguf")
    make(path.with_name("mmproj-model-f16.gguf"))
    make(tmp_path / "loose-1b-q8_0.gguf")
    loose, model = sorted(in_lm_studio(tmp_path, STARTER), key=lambda found: found.repository)
    assert (model.path, model.name, model.quantisation) == (path, "Llama 3.2 3B Instruct", "Q4_K_M")
    assert (model.owner, model.repository) == ("LM Studio", "bartowski/Llama-3.2-3B-Instruct-GGUF")
    assert (loose.name, loose.repository) == ("Loose 1B", "")


def test_a_split_model_is_one(tmp_path: Path) -> None:
    for number in (1, 2):
        make(tmp_path / "a" / "b" / f"big-q4_0-0000{number}-of-00002.gguf", b"GGUF" * number)
    (model,) = in_lm_studio(tmp_path, STARTER)
    assert (model.path.name, model.size) == ("big-q4_0-00001-of-00002.gguf", 12)


# ---------------------------------------------------------------- Jan


@pytest.mark.parametrize("folder", ["llamacpp/models", "cortexcpp/models", "models"])
def test_jan_s_models_are_named_after_their_folder(folder: str, tmp_path: Path) -> None:
    path = make(tmp_path / folder / "janhq" / "Jan-v1-4B-Q4_K_M" / "model.gguf")
    make(path.with_name("model.yml"), f"model_path: {folder}/janhq/Jan-v1-4B-Q4_K_M/model.gguf\n".encode())
    (model,) = in_jan(tmp_path, STARTER)
    assert (model.path, model.name, model.quantisation, model.owner) == (path, "Jan V1 4B", "Q4_K_M", "Jan")


def test_a_model_that_jan_uses_where_it_lies_is_found(tmp_path: Path) -> None:
    outside = make(tmp_path / "downloads" / "own.gguf")
    data = tmp_path / "Jan" / "data"
    make(
        data / "llamacpp" / "models" / "own-2b-q8_0" / "model.yml",
        f"name: own\nmodel_path: '{outside}'\n".encode(),
    )
    (model,) = in_jan(data, STARTER)
    assert (model.path, model.name, model.quantisation) == (outside, "Own 2B", "Q8_0")


@pytest.mark.parametrize(
    "note", [b"", b"\xff\xfe", b"model_path:\n", b"model_path: /none/here.gguf\n", b"x" * 2_000_000]
)
def test_a_broken_note_of_jan_is_passed_over(note: bytes, tmp_path: Path) -> None:
    make(tmp_path / "models" / "a" / "model.yml", note)
    assert in_jan(tmp_path, STARTER) == []


# ---------------------------------------------------------------- Ollama


@pytest.mark.parametrize(
    ("manifest_name", "name"),
    [
        ("registry.ollama.ai/library/llama3.2/3b", "llama3.2:3b"),
        ("registry.ollama.ai/someone/model/latest", "someone/model:latest"),
        (
            "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF/Q4_K_M",
            "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
        ),
    ],
)
def test_ollama_s_blobs_get_the_names_of_their_manifests(
    manifest_name: str, name: str, tmp_path: Path
) -> None:
    blob = ollama(tmp_path, manifest_name)
    (model,) = in_ollama(tmp_path, STARTER)
    assert (model.path, model.name, model.owner, model.sha256) == (blob, name, "Ollama", DIGEST)
    assert model.size == blob.stat().st_size
    assert model.quantisation == ("Q4_K_M" if "Q4_K_M" in name else "")


GOOD = {"mediaType": MODEL_LAYER, "digest": f"sha256:{DIGEST}", "size": 13}


@pytest.mark.parametrize(
    "layers",
    [
        None,
        3,
        [None],
        [{}],
        [GOOD | {"digest": "sha256:../../../etc/passwd"}],
        [GOOD | {"digest": f"sha256:{'C' * 64}"}],
        [GOOD | {"digest": None}],
        [GOOD | {"size": "13"}],
        [GOOD | {"size": True}],
        [GOOD | {"size": 14}],
        [GOOD | {"mediaType": "application/vnd.ollama.image.template"}],
        [GOOD | {"digest": f"sha256:{'e' * 64}"}],
    ],
)
def test_a_broken_manifest_is_passed_over(layers: Any, tmp_path: Path) -> None:
    make(tmp_path / "blobs" / f"sha256-{DIGEST}")
    path = manifest(tmp_path, "registry.ollama.ai/library/llama3.2/3b")
    path.write_text(json.dumps({"layers": layers}))
    assert list(in_ollama(tmp_path, STARTER)) == []


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"{}", b" " * 2_000_000, b"[1]"])
def test_a_manifest_that_is_none_is_passed_over(data: bytes, tmp_path: Path) -> None:
    make(tmp_path / "manifests" / "registry.ollama.ai" / "library" / "llama3.2" / "3b", data)
    make(tmp_path / "manifests" / "stray", data)
    assert list(in_ollama(tmp_path, STARTER)) == []


def test_a_blob_that_is_no_gguf_is_passed_over(tmp_path: Path) -> None:
    ollama(tmp_path).write_bytes(b"safetensors!!")
    assert list(in_ollama(tmp_path, STARTER)) == []


# ---------------------------------------------------------------- Hugging Face


def hugging_face(folder: Path, blob_name: str = DIGEST) -> Path:
    repository = folder / "models--bartowski--Llama-3.2-3B-Instruct-GGUF"
    blob = make(repository / "blobs" / blob_name)
    path = repository / "snapshots" / COMMIT / "Llama-3.2-3B-Instruct-Q4_K_M.gguf"
    path.parent.mkdir(parents=True)
    path.symlink_to(Path("..", "..", "blobs", blob.name))
    make(repository / "refs" / "main", COMMIT.encode())
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_the_hugging_face_cache_tells_repository_revision_and_hash(tmp_path: Path) -> None:
    path = hugging_face(tmp_path)
    (model,) = in_hugging_face_cache(tmp_path, STARTER)
    assert (model.path, model.name) == (path, "Llama 3.2 3B Instruct")
    assert (model.repository, model.revision) == ("bartowski/Llama-3.2-3B-Instruct-GGUF", COMMIT)
    assert (model.sha256, model.owner) == (DIGEST, "Hugging Face cache")


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_blob_without_a_hash_as_name_has_none(tmp_path: Path) -> None:
    hugging_face(tmp_path, "a" * 40)
    assert [model.sha256 for model in in_hugging_face_cache(tmp_path, STARTER)] == [None]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_to_nothing_or_to_itself_is_passed_over(tmp_path: Path) -> None:
    hugging_face(tmp_path).resolve().unlink()
    snapshot = tmp_path / "models--a--b" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "loop.gguf").symlink_to("loop.gguf")
    assert list(in_hugging_face_cache(tmp_path, STARTER)) == []


# ---------------------------------------------------------------- all


def test_each_program_is_looked_for_where_it_keeps_its_models() -> None:
    home = Path("/home/ada")
    linux = places(home, {}, "linux")
    assert linux.lm_studio[0] == home / ".lmstudio" / "models"
    assert linux.jan[0] == home / ".config" / "Jan" / "data"
    assert linux.ollama == (
        home / ".ollama" / "models",
        Path("/usr/share/ollama/.ollama/models"),
        Path("/var/lib/ollama/.ollama/models"),
    )
    assert linux.hugging_face == (home / ".cache" / "huggingface" / "hub",)
    assert places(home, {}, "darwin").jan[0] == home / "Library" / "Application Support" / "Jan" / "data"
    assert places(home, {}, "win32").jan[0] == home / "AppData" / "Roaming" / "Jan" / "data"


@pytest.mark.parametrize(
    ("variables", "hub"),
    [
        ({"HF_HOME": "/big/hf"}, "/big/hf/hub"),
        ({"HF_HUB_CACHE": "/big/hub", "HF_HOME": "/big/hf"}, "/big/hub"),
        ({"XDG_CACHE_HOME": "/big/cache"}, "/big/cache/huggingface/hub"),
    ],
)
def test_what_the_person_moved_is_followed(variables: dict[str, str], hub: str) -> None:
    assert places(Path("/home/ada"), variables, "linux").hugging_face == (Path(hub),)
    assert places(Path("/home/ada"), {"OLLAMA_MODELS": "/big/o"}, "linux").ollama[0] == Path("/big/o")


def test_lm_studio_s_pointer_is_followed(tmp_path: Path) -> None:
    make(tmp_path / ".lmstudio-home-pointer", b"/big/studio\n")
    assert places(tmp_path, {}, "linux").lm_studio[0] == Path("/big/studio/models")
    make(tmp_path / ".lmstudio-home-pointer", b"not absolute\nand long")
    assert places(tmp_path, {}, "linux").lm_studio[0] == tmp_path / ".lmstudio" / "models"


def test_a_file_that_two_programs_use_is_listed_once(tmp_path: Path) -> None:
    blob = ollama(tmp_path / "ollama")
    manifest(
        tmp_path / "ollama",
        "registry.ollama.ai/library/llama3.2/latest",
        {"mediaType": MODEL_LAYER, "digest": f"sha256:{DIGEST}", "size": blob.stat().st_size},
    )
    make(tmp_path / "studio" / "a" / "b" / "other.gguf")
    found = find(Places(lm_studio=(tmp_path / "studio",), ollama=(tmp_path / "ollama",)), STARTER)
    assert [(model.owner, model.name) for model in found] == [
        ("LM Studio", "Other"),
        ("Ollama", "llama3.2:3b"),
    ]


def test_a_home_without_any_of_them_is_searched_in_vain(tmp_path: Path) -> None:
    assert find(places(tmp_path, {}, "darwin"), STARTER) == []


def test_no_more_than_so_many_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localai_app.models.elsewhere._MAX_FOUND", 2)
    for name in "abc":
        make(tmp_path / "x" / "y" / f"{name}.gguf")
    assert len(find(Places(lm_studio=(tmp_path,)), STARTER)) == 2

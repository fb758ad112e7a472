import itertools
import os
from pathlib import Path

import pytest

from localai_app.engine.worker import snapshot
from localai_app.engine.worker.prefix_cache import Parked

KEY, IDENTITY = bytes(range(32)), b"model a"
PARKED = Parked([5, 6, 70000], os.urandom(5000))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_BLOCK", 1024)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.kv"
    assert snapshot.write(path, KEY, IDENTITY, PARKED) == path.stat().st_size
    return path


def test_what_was_written_is_read(path: Path) -> None:
    assert snapshot.read(path, KEY, IDENTITY) == PARKED
    assert list(path.parent.iterdir()) == [path]


def test_nothing_of_it_can_be_read_from_the_file(path: Path) -> None:
    assert PARKED.cells[:64] not in path.read_bytes()
    assert (70000).to_bytes(4, "little") not in path.read_bytes()


def test_another_key_or_model_reads_nothing(path: Path) -> None:
    assert snapshot.read(path, bytes(32), IDENTITY) is None
    assert snapshot.read(path, KEY, b"model b") is None
    assert snapshot.read(path.with_name("missing.kv"), KEY, IDENTITY) is None


def test_every_changed_byte_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        assert snapshot.read(path, KEY, IDENTITY) is None, position


def test_every_cut_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        assert snapshot.read(path, KEY, IDENTITY) is None, length
    path.write_bytes(content + b"x")
    assert snapshot.read(path, KEY, IDENTITY) is None


def test_blocks_cannot_change_places(path: Path) -> None:
    content = path.read_bytes()
    header, size = content[:24], 1024 + 16
    blocks = [content[24 + start : 24 + start + size] for start in range(0, len(content) - 24, size)]
    for order in itertools.islice(itertools.permutations(range(len(blocks))), 1, 30):
        path.write_bytes(header + b"".join(blocks[index] for index in order))
        assert snapshot.read(path, KEY, IDENTITY) is None


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        snapshot.write(tmp_path / "b.kv", KEY, IDENTITY, PARKED)
    assert list(tmp_path.iterdir()) == []

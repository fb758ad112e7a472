import errno
import os
from pathlib import Path

import pytest

from localai_app.errors import DiskFull, StoreError, StoreReadOnly
from localai_app.store import files


def test_written_file_is_whole_private_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    files.write_private(path, b"one")
    files.write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_create_does_not_replace(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    assert files.create_private(path, b"one")
    assert not files.create_private(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_create_works_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "not supported")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "key.json"
    assert files.create_private(path, b"one")
    assert not files.create_private(path, b"two")
    assert path.read_bytes() == b"one"


def test_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.json"
    files.write_private(path, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskFull):
        files.write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EROFS, StoreReadOnly),
        (errno.EACCES, StoreReadOnly),
        (errno.EIO, StoreError),
    ],
)
def test_errors_of_the_system_become_errors_for_a_person(number: int, expected: type[StoreError]) -> None:
    with pytest.raises(expected) as caught, files.os_errors(Path("place")):
        raise OSError(number, os.strerror(number))
    assert type(caught.value) is expected
    assert caught.value.hint


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_a_long_file_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with files.replacing(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o077 == 0

    def fail() -> None:
        with files.replacing(path) as file:
            file.write(b"half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  it is ours
        fail()
    assert path.read_bytes() == b"one"
    assert [each.name for each in tmp_path.iterdir()] == ["log"]


def test_folder_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    files.make_private_folder(shared)
    assert shared.stat().st_mode & 0o777 == 0o755
    files.make_private_folder(shared / "own")
    assert (shared / "own").stat().st_mode & 0o777 == 0o700

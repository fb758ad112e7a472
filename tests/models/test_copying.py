"""Copies that are known to be the same."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localai_app.errors import ModelLoadFailed, ModelNotFound, PullFailed
from localai_app.models import copying
from localai_app.models.copying import copy_verified

CONTENT = bytes(range(256)) * 300


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.gguf"
    path.write_bytes(CONTENT)
    return path


def test_a_copy_is_the_same_and_as_old(source: Path, tmp_path: Path) -> None:
    told = {False: 0, True: 0}

    def on_bytes(count: int, compared: bool) -> None:
        told[compared] += count

    digest = copy_verified(source, tmp_path / "copy", on_bytes)
    assert digest == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert (tmp_path / "copy").stat().st_mtime_ns == source.stat().st_mtime_ns
    assert told == {False: len(CONTENT), True: len(CONTENT)}


@settings(max_examples=40, deadline=None)
@given(begun=st.integers(0, len(CONTENT) + 500), block=st.sampled_from([1000, 4096, 10**6]))
def test_a_copy_that_was_begun_is_gone_on_with(
    tmp_path_factory: pytest.TempPathFactory, begun: int, block: int
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    source, copy = folder / "source", folder / "copy"
    source.write_bytes(CONTENT)
    copy.write_bytes((CONTENT + bytes(500))[:begun])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "_BLOCK", block)
        copy_verified(source, copy, lambda count, compared: None)
    assert copy.read_bytes() == CONTENT


def test_a_beginning_that_is_of_another_file_is_noticed_and_deleted(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(b"something else")
    with pytest.raises(ModelLoadFailed, match="is not what was copied"):
        copy_verified(source, copy, lambda count, compared: None)
    assert not copy.exists()


def test_a_source_that_is_gone_and_a_target_that_cannot_be_are_told(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="cannot be read"):
        copy_verified(tmp_path / "absent", tmp_path / "copy", lambda count, compared: None)
    with pytest.raises(PullFailed, match="cannot be copied"):
        copy_verified(source, tmp_path / "absent" / "copy", lambda count, compared: None)


def test_a_full_disk_is_told() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    error = copying._failed(Path("a"), full, OSError(28, "No space left on device"))
    assert isinstance(error, PullFailed)
    assert error.code == "space"


def test_space_is_asked_for_with_some_to_spare(tmp_path: Path) -> None:
    copying.require_space(tmp_path, 5, lambda folder: copying.RESERVE + 5)
    with pytest.raises(PullFailed, match=r"0\.1 GB are missing"):
        copying.require_space(tmp_path, 10**8, lambda folder: copying.RESERVE)

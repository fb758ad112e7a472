"""The hash of a file that is written meanwhile."""

import hashlib
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from localai_app.models.growing_hash import GrowingHash


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=50), st.integers(0, 3)), max_size=20))
def test_hash_is_that_of_the_whole_file_however_it_grew(pieces: list[tuple[bytes, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part")
        path.write_bytes(b"before")
        hashing = GrowingHash(path)
        for piece, steps in pieces:
            with path.open("ab") as file:
                file.write(piece)
            hashing.look()
            for _ in range(steps):
                hashing.step()
        while hashing.behind:
            hashing.step()
        assert hashing.whole(path.stat().st_size)
        assert hashing.hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_file_that_is_begun_anew_is_hashed_anew(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"x" * 1000)
    hashing = GrowingHash(path)
    hashing.step()
    path.write_bytes(b"y" * 10)
    hashing.look(10)
    hashing.step()
    assert hashing.hexdigest() == hashlib.sha256(b"y" * 10).hexdigest()


def test_promised_bytes_that_are_not_there_are_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(b"x" * 10)
    hashing = GrowingHash(path)
    hashing.look(20)
    hashing.step()
    hashing.step()
    assert not hashing.behind
    assert not hashing.whole(20)

"""What bundle.py does after PyInstaller."""

import os
from pathlib import Path

import pytest

from tests.packaging.scripts import load

bundle = load("bundle")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A bundle as PyInstaller leaves it, of a program, two libraries and a link."""
    inside = tmp_path / "localai-app" / "_internal"
    for folder in ("one", "two.libs"):
        (inside / folder).mkdir(parents=True)
    (tmp_path / "localai-app" / "localai-app").write_bytes(b"program")
    (inside / "one" / "liba.so.1").write_bytes(b"a")
    (inside / "two.libs" / "libb-1234.so").write_bytes(b"b")
    (inside / "base_library.zip").write_bytes(b"zip")
    (inside / "liba.so.1").symlink_to("one/liba.so.1")
    return tmp_path / "localai-app"


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_links_go_and_what_they_led_to_stays(made: Path) -> None:
    bundle.remove_links(made)
    assert not any(path.is_symlink() for path in made.rglob("*"))
    assert names(bundle.libraries(made)) == ["liba.so.1", "libb-1234.so"]


def test_a_library_that_is_there_twice_is_told_of(made: Path) -> None:
    bundle.remove_links(made)
    assert bundle.duplicate_libraries(made) == []
    (made / "_internal" / "copy.so").write_bytes(b"a")
    assert bundle.duplicate_libraries(made) == ["_internal/copy.so, _internal/one/liba.so.1"]
    (made / "_internal" / "copy.so").unlink()
    (made / "_internal" / "liba.so.1").write_bytes(b"another one of that name")
    assert bundle.duplicate_libraries(made) == ["_internal/liba.so.1, _internal/one/liba.so.1"]


def test_what_a_wheels_maker_patched_is_not_stripped(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle.remove_links(made)
    commands: list[list[str]] = []
    monkeypatch.setattr(bundle.subprocess, "run", lambda command, **_options: commands.append(command))
    bundle.strip(made)
    assert commands == [["strip", "--strip-unneeded", str(made / "_internal" / "one" / "liba.so.1")]]


def test_modes_and_times_are_the_same_everywhere(made: Path) -> None:
    bundle.remove_links(made)
    (made / "_internal" / "one").chmod(0o700)
    bundle.normalise(made, 1_700_000_000)
    found = {path: path.stat() for path in [made, *made.rglob("*")]}
    assert {facts.st_mtime for facts in found.values()} == {1_700_000_000}
    runs = {path.name for path, facts in found.items() if path.is_file() and facts.st_mode & 0o111}
    assert runs == {"localai-app"}
    assert os.access(made / "_internal" / "one", os.X_OK)


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ("libxcb-icccm.so.4 => not found", True),
        ("libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f)", False),
        ("libb-1234.so: ELF load command address/offset not page-aligned", True),
        ("\tstatically linked", False),
    ],
)
def test_what_the_loader_says_is_understood(line: str, bad: bool) -> None:
    assert bundle.is_problem(line) is bad


def test_the_time_of_all_files_may_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert bundle.source_date() == 1_700_000_000

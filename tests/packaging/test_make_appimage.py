"""What an AppImage holds, and how it is put together; the runtime is a stand-in."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.scripts import load

make_appimage = load("make_appimage")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is squashed, of a bundle of one program and one brought-along library."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    bundle = tmp_path / "bundle"
    (bundle / "_internal").mkdir(parents=True)
    (bundle / "localai-app").write_text("#!/bin/sh\necho started\n", encoding="utf-8")
    (bundle / "localai-app").chmod(0o755)
    library = tmp_path / "libxcb-cursor.so.0"
    library.write_bytes(b"library")
    monkeypatch.setattr(make_appimage, "needed_of_the_system", lambda _bundle: [library])
    make_appimage.fill(tmp_path / "AppDir", bundle)
    return tmp_path / "AppDir"


def test_it_starts_and_has_what_the_specification_asks_for(tree: Path) -> None:
    started = subprocess.run([tree / "AppRun"], capture_output=True, text=True, check=True).stdout
    assert started == "started\n"
    for name in ("localai-app.desktop", "localai-app.svg", ".DirIcon"):
        assert (tree / name).is_file()
    assert (tree / "localai-app/_internal/libxcb-cursor.so.0").read_bytes() == b"library"


@pytest.mark.parametrize(
    ("name", "comes"),
    [
        ("libxcb-icccm.so.4", True),
        ("libxkbcommon-x11.so.0", True),
        ("libgomp.so.1", True),
        ("libxcb.so.1", False),
        ("libc.so.6", False),
        ("libGL.so.1", False),
    ],
)
def test_only_what_a_desktop_may_lack_comes_along(name: str, comes: bool) -> None:
    assert bool(make_appimage.BROUGHT_ALONG.fullmatch(name)) is comes


def test_the_file_is_the_runtime_with_the_image_behind_it(tree: Path, tmp_path: Path) -> None:
    if shutil.which("mksquashfs") is None:
        pytest.skip("squashfs-tools are not installed")
    (tmp_path / "runtime").write_bytes(b"\x7fELF runtime")
    made = []
    for name in ("one", "two"):
        image = make_appimage.squash(tree, tmp_path / f"image-{name}")
        made.append(make_appimage.join(tmp_path / "runtime", image, tmp_path / "out" / name))
    assert made[0].read_bytes().startswith(b"\x7fELF runtimehsqs")
    assert made[0].read_bytes() == made[1].read_bytes()
    assert os.access(made[0], os.X_OK)


def test_without_a_runtime_it_says_where_one_is(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="runtime"):
        make_appimage.main(["--runtime", str(tmp_path / "nothing")])

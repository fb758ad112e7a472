"""What the Debian packages hold; the packages themselves are tried in test_deb_real.py."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from localai_app import __version__
from localai_app.documents.formats import FORMATS
from localai_app.paths import engine_pack_folders
from tests.packaging.scripts import ROOT, load

make_deb = load("make_deb")
LINUX = ROOT / "packaging" / "linux"


@pytest.fixture(autouse=True)
def _given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The app's package of a bundle of two files, before it is packed."""
    bundle = tmp_path / "bundle"
    (bundle / "_internal").mkdir(parents=True)
    (bundle / "localai-app").write_bytes(b"program")
    (bundle / "_internal" / "data").write_bytes(b"data")
    monkeypatch.setattr(make_deb, "dependencies", lambda _folder: "libc6")
    monkeypatch.setattr(make_deb, "architecture", lambda: "amd64")
    made = tmp_path / "tree"
    made.mkdir()
    control = make_deb.app(made, bundle)
    assert (control["Package"], control["Depends"]) == ("localai-app", "libc6")
    return made


def test_the_package_has_its_place_in_the_desktop_and_in_the_manual(tree: Path) -> None:
    share = tree / "usr/share"
    assert (tree / "usr/bin/localai-app").readlink() == Path("/opt/localai-app/localai-app")
    for path in ("applications/localai-app.desktop", "icons/hicolor/scalable/apps/localai-app.svg"):
        assert (share / path).is_file()
    metainfo = ET.parse(share / "metainfo/app.localai.LocalAIApp.metainfo.xml")
    release = metainfo.find("releases/release")
    assert release is not None
    assert release.attrib == {"version": __version__, "date": "2023-11-14"}
    manual = subprocess.run(
        ["gzip", "-dc", str(share / "man/man1/localai-app.1.gz")], capture_output=True, text=True, check=True
    ).stdout
    for words in ("localai\\-app task", "/etc/localai\\-app/policies/managed"):
        assert words in manual or words.replace("\\-", "-") in manual


def test_policies_have_their_folder_and_go_with_a_purge_alone(tree: Path, tmp_path: Path) -> None:
    assert (tree / "etc/localai-app/policies/managed").is_dir()
    assert (tree / "etc/localai-app/policies/recommended").is_dir()
    script = (tree / "DEBIAN/postrm").read_text(encoding="utf-8").replace("/etc", str(tmp_path / "etc"))
    (tmp_path / "etc/localai-app").mkdir(parents=True)
    for argument in ("remove", "upgrade", "disappear"):
        subprocess.run(["sh", "-c", script, "postrm", argument], check=True)
        assert (tmp_path / "etc/localai-app").is_dir()
    subprocess.run(["sh", "-c", script, "postrm", "purge"], check=True)
    assert not (tmp_path / "etc/localai-app").exists()


def test_files_are_the_same_for_every_builder(tree: Path) -> None:
    (tree / "opt/localai-app/_internal/data").chmod(0o600)
    make_deb.normalise(tree)
    files = [path for path in tree.rglob("*") if not path.is_symlink()]
    assert {path.stat().st_mtime for path in files} == {1_700_000_000}
    runs = {path.name for path in files if path.is_file() and os.access(path, os.X_OK)}
    assert runs == {"localai-app", "postrm"} or os.geteuid() == 0
    assert (tree / "opt/localai-app/_internal/data").stat().st_mode & 0o777 == 0o644


def test_every_file_is_in_the_checksums(tree: Path) -> None:
    sums = dict(reversed(line.split("  ", 1)) for line in make_deb.checksums(tree).splitlines())
    assert sums["opt/localai-app/_internal/data"] == "8d777f385d3dfec8815d20f7496026dc"
    assert not any(name.startswith("DEBIAN") for name in sums)
    assert "usr/bin/localai-app" not in sums, "a link is no file"


def test_the_package_is_built(tree: Path, tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    control = {"Package": "localai-app", "Architecture": "amd64", "Description": "one line\n and more"}
    made = make_deb.build(tree, control, tmp_path / "out")
    assert made.name == f"localai-app_{__version__}_amd64.deb"
    told = subprocess.run(["dpkg-deb", "-c", str(made)], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in told.splitlines()} == {"root/root"}
    first = made.read_bytes()
    for path in ("DEBIAN/control", "DEBIAN/md5sums"):
        (tree / path).unlink()
    assert make_deb.build(tree, control, tmp_path / "again").read_bytes() == first


def test_text_recognition_is_laid_over_the_very_app_that_it_was_built_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_deb, "dependencies", lambda _folder: "libc6")
    monkeypatch.setattr(make_deb, "architecture", lambda: "amd64")
    (tmp_path / "ocr" / "cv2").mkdir(parents=True)
    control = make_deb.recognition(tmp_path / "tree", tmp_path / "ocr")
    assert control["Depends"] == f"localai-app (= {__version__}), libc6"
    assert (tmp_path / "tree/opt/localai-app/_internal/cv2").is_dir()


def test_an_engine_pack_goes_where_the_app_looks_and_only_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_deb, "dependencies", lambda _folder: "libvulkan1")
    monkeypatch.setattr(make_deb, "architecture", lambda: "amd64")
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "engine.json").write_text(json.dumps({"name": "vulkan"}), encoding="utf-8")
    with pytest.raises(SystemExit, match="not signed"):
        make_deb.engine(tmp_path / "tree", pack)
    (pack / "engine.json.minisig").write_bytes(b"signature")
    control = make_deb.engine(tmp_path / "tree", pack)
    assert control["Package"] == "localai-app-engine-vulkan"
    assert control["Depends"] == "localai-app, libvulkan1"
    placed = [path.parents[1] for path in (tmp_path / "tree").rglob("engine.json")]
    assert [Path("/") / path.relative_to(tmp_path / "tree") for path in placed] == [engine_pack_folders()[-1]]


def test_the_desktop_offers_the_app_for_the_formats_that_it_reads() -> None:
    entry = (LINUX / "localai-app.desktop").read_text(encoding="utf-8")
    types = set(re.findall(r"[\w.+-]+/[\w.+-]+", entry.partition("MimeType=")[2]))
    assert {"application/pdf", "message/rfc822", "text/markdown", "application/x-gguf"} <= types
    # Pictures have their viewers; text recognition may not be installed.
    assert len(types) >= len([kind for kind, _, _ in FORMATS if kind != "image"])
    model = ET.parse(LINUX / "localai-app.xml").getroot()[0]
    assert model.get("type") in types

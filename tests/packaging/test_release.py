"""What is handed out is summed up, listed and signed with the keys that are there."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from localai_app import __version__
from tests.packaging.scripts import ROOT, load

release = load("release")


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("LOCALAI_APP_RELEASE_KEY", str(tmp_path / "release.key"))
    for name in ("GPG_KEY", "AUTHENTICODE_PKCS12", "AUTHENTICODE_MODULE", "TIMESTAMP_URL"):
        monkeypatch.delenv(f"LOCALAI_APP_{name}", raising=False)
    (tmp_path / "resources").mkdir()
    monkeypatch.setattr(release, "resources", lambda: tmp_path / "resources")


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A slim Windows package and the bundle that it was made of."""
    bundle = tmp_path / "dist" / "windows" / "localai-app"
    shutil.copytree(ROOT / "resources" / "licences", bundle / "_internal" / "resources" / "licences")
    (bundle / "localai-app.exe").write_bytes(b"MZ")
    (bundle.parent / f"localai-app-{__version__}-x64-slim.msi").write_bytes(b"package")
    (bundle.parent / "localai-app-0.0.1-x64.msi").write_bytes(b"an old one")
    return tmp_path / "dist"


def test_sums_name_every_package_of_this_version_and_its_bill(
    dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release.main(["--dist", str(dist)])
    name = f"windows/localai-app-{__version__}-x64-slim.msi"
    assert sorted(release.read_sums(dist)) == [name, f"{name}.cdx.json"]
    bill = json.loads((dist / f"{name}.cdx.json").read_bytes())
    assert [part["name"] for part in bill["components"]] == ["PyInstaller bootloader"]
    said = capsys.readouterr().err
    assert "no minisign signature" in said
    assert "no GnuPG signature" in said
    assert f"{Path(name).name} is not signed" in said
    release.main(["--check", "--dist", str(dist)])
    done = subprocess.run(["sha256sum", "--check", "--quiet", release.SUMS], cwd=dist, check=False)
    assert done.returncode == 0


def test_the_same_packages_give_the_same_sums(dist: Path) -> None:
    release.main(["--dist", str(dist)])
    first = (dist / release.SUMS).read_bytes()
    release.main(["--dist", str(dist)])
    assert (dist / release.SUMS).read_bytes() == first


def test_a_changed_or_missing_package_is_told(dist: Path) -> None:
    release.main(["--dist", str(dist)])
    package = next(dist.rglob("*slim.msi"))
    package.write_bytes(b"other")
    with pytest.raises(SystemExit, match="not the file that was summed up"):
        release.main(["--check", "--dist", str(dist)])
    package.unlink()
    with pytest.raises(SystemExit, match="is missing"):
        release.main(["--check", "--dist", str(dist)])


def test_sums_are_signed_with_the_release_key_and_changed_ones_refused(dist: Path) -> None:
    release.main(["--new-key"])
    release.main(["--dist", str(dist)])
    assert (dist / f"{release.SUMS}.minisig").is_file()
    release.main(["--check", "--dist", str(dist)])
    signature = (dist / f"{release.SUMS}.minisig").read_bytes()
    (next(dist.rglob("*slim.msi"))).write_bytes(b"other")
    release.write_sums(dist, release.packages(dist))
    assert not (dist / f"{release.SUMS}.minisig").exists(), "a signature never outlives what it signed"
    (dist / f"{release.SUMS}.minisig").write_bytes(signature)
    with pytest.raises(SystemExit, match="signature of SHA256SUMS is not right"):
        release.main(["--check", "--dist", str(dist)])


def test_a_key_that_is_there_is_never_replaced() -> None:
    release.main(["--new-key"])
    with pytest.raises(SystemExit, match="is there already"):
        release.main(["--new-key"])


def test_nothing_to_release_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no package"):
        release.main(["--dist", str(tmp_path)])


def test_a_package_whose_bundle_is_gone_is_not_listed(dist: Path) -> None:
    shutil.rmtree(dist / "windows" / "localai-app")
    with pytest.raises(SystemExit, match="build it again"):
        release.main(["--dist", str(dist)])


def test_a_bill_that_came_along_from_where_the_package_was_made_is_kept(dist: Path) -> None:
    release.main(["--bills", "--dist", str(dist)])
    bill = next(dist.rglob("*slim.msi.cdx.json")).read_bytes()
    assert not (dist / release.SUMS).exists()
    shutil.rmtree(dist / "windows" / "localai-app")
    release.main(["--dist", str(dist)])
    assert next(dist.rglob("*slim.msi.cdx.json")).read_bytes() == bill


def test_what_may_not_be_delivered_is_not_summed_up(dist: Path) -> None:
    metadata = dist / "windows" / "localai-app" / "_internal" / "stowaway-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: stowaway\nVersion: 1.0\n", encoding="utf-8"
    )
    with pytest.raises(SystemExit, match=r"may not be delivered:\n.*stowaway"):
        release.main(["--dist", str(dist)])
    assert not (dist / release.SUMS).exists()


def test_a_missing_tool_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit, match="osslsigncode is needed"):
        release.run("osslsigncode", "sign")


@pytest.mark.packaged
@pytest.mark.skipif(shutil.which("mksquashfs") is None, reason="squashfs-tools are not here")
def test_the_bill_of_an_appimage_lists_what_only_it_brings_along(tmp_path: Path) -> None:
    appimage = load("make_appimage")
    tree = tmp_path / "AppDir" / "localai-app"
    (tree / "_internal").mkdir(parents=True)
    (tree / "localai-app").write_bytes(b"\x7fELF")
    (tree / "_internal" / "libgomp.so.1").write_bytes(b"\x7fELF")
    (tree / "_internal" / "libxcb-cursor.so.0").write_bytes(b"\x7fELF")
    image = appimage.squash(tmp_path / "AppDir", tmp_path / "image")
    package = tmp_path / f"localai-app-{__version__}-x86_64.AppImage"
    appimage.join(Path("/bin/true"), image, package)
    release.main(["--dist", str(tmp_path)])
    bill = json.loads(release.bill_of(package).read_bytes())
    names = {part["name"] for part in bill["components"]}
    assert {"PyInstaller bootloader", "XCB utility libraries, libxkbcommon", "llama.cpp and ggml"} == names


@pytest.mark.packaged
@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not here")
def test_sums_are_signed_with_gnupg(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    make = ["gpg", "--batch", "--passphrase", "", "--quick-generate-key", "release@example.org", "ed25519"]
    subprocess.run(make, check=True, capture_output=True)
    monkeypatch.setenv("LOCALAI_APP_GPG_KEY", "release@example.org")
    release.main(["--dist", str(dist)])
    release.main(["--check", "--dist", str(dist)])
    (dist / release.SUMS).write_text("", encoding="utf-8")
    with pytest.raises(SystemExit, match="gpg failed"):
        release.main(["--check", "--dist", str(dist)])
    subprocess.run(["gpgconf", "--kill", "all"], check=True)


@pytest.mark.packaged
@pytest.mark.skipif(shutil.which("osslsigncode") is None, reason="osslsigncode is not here")
def test_a_windows_package_is_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = next((ROOT / "dist" / "windows").glob(f"localai-app-{__version__}-*.msi"), None)
    if built is None:
        pytest.skip("make msi builds it")
    package = Path(shutil.copy(built, tmp_path))
    certificate, key, pkcs12 = (str(tmp_path / name) for name in ("c.pem", "k.pem", "c.p12"))
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Test", "-days", "1"]
    make += ["-addext", "extendedKeyUsage=codeSigning", "-keyout", key, "-out", certificate]
    subprocess.run(make, check=True, capture_output=True)
    export = ["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-out", pkcs12]
    subprocess.run([*export, "-passout", "pass:secret"], check=True, capture_output=True)
    (tmp_path / "passphrase").write_text("secret", encoding="utf-8")
    monkeypatch.setenv("LOCALAI_APP_AUTHENTICODE_PKCS12", pkcs12)
    monkeypatch.setenv("LOCALAI_APP_AUTHENTICODE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    release.authenticode(package)
    verify = ["osslsigncode", "verify", "-CAfile", certificate, "-in", str(package)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert "Signature verification: ok" in done.stdout

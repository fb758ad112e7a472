"""The kit for sites without a connection is whole, and its verifier notices what is not."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from minisign import KeyPair

from localai_app import __version__
from localai_app.governance.policy_merge import Layer, Level, merge
from localai_app.governance.policy_schema import BY_NAME
from tests.packaging.scripts import ROOT, load

maker = load("offline_kit")
SIGNING_KEY = sys.modules["release"].SIGNING_KEY
DEB = f"localai-app_{__version__}_amd64.deb"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its verifier is a POSIX shell's")


@pytest.fixture
def dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages of a few bytes, and models of a few bytes."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("LOCALAI_APP_RELEASE_KEY", str(tmp_path / "release.key"))
    monkeypatch.delenv("LOCALAI_APP_GPG_KEY", raising=False)
    monkeypatch.setattr(maker, "resources", lambda: tmp_path)
    folder = tmp_path / "dist"
    for name in (
        f"linux/{DEB}",
        f"linux/{DEB}.cdx.json",
        "linux/localai-app_0.0.1_amd64.deb",
        f"linux/localai-app-{__version__}-x86_64.AppImage",
        f"windows/localai-app-{__version__}.msi",
        "windows/localai-app/localai-app.exe",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)

    def fetch(folder: Path) -> None:
        folder.mkdir()
        (folder / "starter.gguf").write_text("the starter")
        (folder / "embedding.gguf").write_text("the one that searches")

    monkeypatch.setattr(maker, "fetch_models", fetch)
    monkeypatch.setattr(maker, "dependencies", lambda package: [f"`{package.name}`: libc6"])
    return folder


@pytest.fixture
def kit(dist: Path, tmp_path: Path) -> Path:
    maker.main(["--dist", str(dist), "--out", str(tmp_path / "kit")])
    return tmp_path / "kit"


def names(kit: Path) -> list[str]:
    return sorted(path.relative_to(kit).as_posix() for path in kit.rglob("*") if path.is_file())


def verify(kit: Path, *key: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(kit / "verify.sh"), *key],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": path or "/usr/bin:/bin"},
        cwd="/",
    )


# ---------------------------------------------------------------- what is in it


def test_it_holds_all_that_a_site_needs(kit: Path) -> None:
    found = names(kit)
    for name in (
        f"packages/linux/{DEB}",
        f"packages/linux/{DEB}.cdx.json",
        f"packages/linux/localai-app-{__version__}-x86_64.AppImage",
        f"packages/windows/localai-app-{__version__}.msi",
        "models/starter.gguf",
        "catalogue/catalogue.json.minisig",
        "policy/air-gapped.json",
        "policy/windows/LocalAIApp.admx",
        "docs/admin/install.md",
        "docs/policy.md",
        "LICENSE",
        "README.md",
        "verify.ps1",
        "SHA256SUMS",
    ):
        assert name in found, name
    assert not [name for name in found if "0.0.1" in name or name.endswith(".exe")]


def test_the_readme_names_every_package_and_how_it_is_installed(kit: Path) -> None:
    text = (kit / "README.md").read_text()
    assert not re.search(r"\{\w+\}", text)
    for line in (
        f"apt-get install -y ./packages/linux/{DEB}",
        rf"msiexec /i packages\windows\localai-app-{__version__}.msi /qn",
        f"`{DEB}`: libc6",
        "| `models/starter.gguf` |",
    ):
        assert line in text, line
    for file in re.findall(r"(?:docs|policy|packages)/\w[\w./+-]*\w", text):
        assert (kit / file).exists(), file


def test_the_policy_is_sound_and_allows_the_models_of_the_kit_alone(kit: Path) -> None:
    values = json.loads((kit / "policy" / "air-gapped.json").read_text())
    outcome = merge([Layer(Level.MANDATORY, "kit", values)])
    assert outcome.problems == ()
    assert sorted(maker.sha256(path) for path in (kit / "models").iterdir()) == values["AllowedModels"]
    assert values["OfflineOnly"] is True
    assert all(BY_NAME[name].enforced for name in values if name not in ("AllowLocalAPI", "UpdateMode"))


def test_more_models_come_along_and_are_allowed(dist: Path, tmp_path: Path) -> None:
    (tmp_path / "large.gguf").write_text("a large one")
    maker.main(["--dist", str(dist), "--out", str(tmp_path / "kit"), "--model", str(tmp_path / "large.gguf")])
    values = json.loads((tmp_path / "kit" / "policy" / "air-gapped.json").read_text())
    assert len(values["AllowedModels"]) == 3
    assert (tmp_path / "kit" / "models" / "large.gguf").is_file()


def test_the_same_packages_make_the_same_kit(dist: Path, kit: Path, tmp_path: Path) -> None:
    maker.main(["--dist", str(dist), "--out", str(tmp_path / "again")])
    assert (kit / "SHA256SUMS").read_bytes() == (tmp_path / "again" / "SHA256SUMS").read_bytes()
    assert {path.stat().st_mtime for path in kit.rglob("*")} == {1700000000}
    assert (kit / "verify.sh").stat().st_mode & 0o777 == 0o755
    assert (kit / "README.md").stat().st_mode & 0o777 == 0o644


def test_without_a_package_there_is_no_kit(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no package"):
        maker.main(["--dist", str(tmp_path), "--out", str(tmp_path / "kit")])
    assert not (tmp_path / "kit").exists()


# ---------------------------------------------------------------- its verifier


def test_a_whole_kit_is_whole(kit: Path) -> None:
    done = verify(kit)
    assert (done.returncode, done.stderr) == (0, "")
    assert "All files are as they were" in done.stdout
    assert "was not checked" in done.stdout


def change(kit: Path) -> str:
    file = kit / "packages" / "linux" / DEB
    file.write_text(file.read_text() + " ")
    return DEB


def remove(kit: Path) -> str:
    (kit / "docs" / "policy.md").unlink()
    return "docs/policy.md"


def add(kit: Path) -> str:
    (kit / "packages" / "linux" / "zz more.deb").touch()
    return "zz more.deb"


def link(kit: Path) -> str:
    (kit / "README.md").rename(kit.parent / "README.md")
    (kit / "README.md").symlink_to(kit.parent / "README.md")
    return "README.md"


def forget(kit: Path) -> str:
    (kit / "SHA256SUMS").unlink()
    return "SHA256SUMS"


@pytest.mark.parametrize("spoil", [change, remove, add, link, forget], ids=lambda act: act.__name__)
def test_a_kit_that_is_not_as_it_was_made_is_noticed(kit: Path, spoil: Callable[[Path], str]) -> None:
    named = spoil(kit)
    done = verify(kit)
    assert done.returncode == 1
    assert named in done.stderr
    assert "All files" not in done.stdout


def test_what_was_not_checked_does_not_pass_for_checked(kit: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "dirname", "sed", "find", "sort", "cut", "sha256sum", "uniq", "grep"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    done = verify(kit, "RWQ", path=str(tmp_path / "bin"))
    assert done.returncode == 2
    assert "minisign is not here" in done.stderr


@pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not here")
def test_the_signature_is_checked_with_the_key_that_is_named(dist: Path, tmp_path: Path) -> None:
    ours, another, kit = tmp_path / "release.pub", tmp_path / "another.pub", tmp_path / "kit"
    SIGNING_KEY.make(SIGNING_KEY.path, ours)
    another.write_bytes(bytes(KeyPair.generate().public_key) + b"\n")
    maker.main(["--dist", str(dist), "--out", str(kit)])
    sums = (kit / "SHA256SUMS").read_bytes()
    assert verify(kit, str(ours)).returncode == 0
    line = ours.read_text().splitlines()[-1]
    done = verify(kit, line)
    assert (done.returncode, "was not checked" in done.stdout) == (0, False)
    assert verify(kit, str(another)).returncode == 1
    # Who changes a file and its sum is found by the signature.
    change(kit)
    text = [entry for entry in sums.decode().splitlines() if DEB not in entry or "cdx" in entry]
    text.append(f"{maker.sha256(kit / 'packages' / 'linux' / DEB)}  packages/linux/{DEB}")
    (kit / "SHA256SUMS").write_text("\n".join(text) + "\n")
    assert verify(kit).returncode == 0
    assert verify(kit, line).returncode == 1


def test_both_verifiers_are_shipped_as_they_are_in_the_project(kit: Path) -> None:
    for name in ("verify.sh", "verify.ps1"):
        assert (kit / name).read_bytes() == (ROOT / "packaging" / "kit" / name).read_bytes()

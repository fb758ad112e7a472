"""The installer package for macOS, as far as another system can try it."""

import plistlib
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from localai_app import __version__
from tests.packaging.scripts import ROOT, load

for folder in ("windows", "macos"):
    if str(ROOT / "packaging" / folder) not in sys.path:
        sys.path.append(str(ROOT / "packaging" / folder))
maker = load("macos/make_pkg")
MACH_O = b"\xcf\xfa\xed\xfe"
IDENTITIES = ("CODESIGN_IDENTITY", "INSTALLER_IDENTITY", "NOTARY_PROFILE")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would have been run, in order."""
    for name in IDENTITIES:
        monkeypatch.delenv(f"LOCALAI_APP_{name}", raising=False)
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(maker, "run", lambda *command: ran.append(command))
    monkeypatch.setattr(maker.sbom, "main", lambda arguments: ran.append(("sbom", *arguments)))
    monkeypatch.setattr(maker.platform, "machine", lambda: "arm64")
    return ran


@pytest.fixture
def app(tmp_path: Path) -> Path:
    app = tmp_path / "LocalAI App.app"
    for path in ("MacOS/localai-app", "Frameworks/libpython3.11.dylib", "Frameworks/PySide6/QtCore.abi3.so"):
        (app / "Contents" / path).parent.mkdir(parents=True, exist_ok=True)
        (app / "Contents" / path).write_bytes(MACH_O)
    engine = tmp_path / "engine"
    engine.mkdir()
    (engine / "libllama.dylib").write_bytes(MACH_O)
    (engine / "libggml-cpu-apple_m1.so").write_bytes(MACH_O)
    (engine / "engine.json").write_text("{}", encoding="utf-8")
    maker.add_engine(app, engine)
    return app


def test_the_engine_lies_where_the_app_looks_and_no_data_lies_among_code(app: Path) -> None:
    folder = app / "Contents" / "Frameworks" / "engine"
    assert sorted(file.name for file in folder.iterdir()) == [
        *("engine.json", "libggml-cpu-apple_m1.so", "libllama.dylib")
    ]
    assert (folder / "engine.json").is_symlink()
    assert (folder / "engine.json").read_text(encoding="utf-8") == "{}"


def test_models_lie_among_data_with_a_link_where_the_app_looks(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "fetch_models", lambda folder: (folder / "m.gguf").write_bytes(b"GGUF"))
    maker.add_models(app, tmp_path)
    assert (app / "Contents" / "Frameworks" / "models" / "m.gguf").read_bytes() == b"GGUF"
    assert not (app / "Contents" / "Resources" / "models").is_symlink()


def test_everything_is_signed_from_the_inside_out_and_listed_before_it_is_sealed(
    app: Path, commands: list[tuple[str, ...]]
) -> None:
    maker.sign(app, "Developer ID Application: Example")
    signed = [Path(command[-1]).name for command in commands if command[0] == "codesign"]
    assert set(signed[:-2]) == {
        *("libpython3.11.dylib", "QtCore.abi3.so", "libllama.dylib", "libggml-cpu-apple_m1.so")
    }
    assert signed[-2:] == [app.name, app.name]
    assert commands[-3][0] == "sbom"
    assert "--entitlements" in commands[-2]
    assert commands[-1][1:4] == ("--verify", "--deep", "--strict")
    for command in commands[:-1]:
        if command[0] == "codesign":
            assert "runtime" in command
            assert "--timestamp" in command


def test_without_an_identity_it_is_said(
    app: Path, commands: list[tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker.sign(app, "")
    maker.package(app, tmp_path / "work", tmp_path, slim=True)
    said = capsys.readouterr().err
    assert all(f"LOCALAI_APP_{name}" in said for name in IDENTITIES)
    assert "notarytool" not in [word for command in commands for word in command]


def test_the_package_is_signed_and_notarised_and_puts_the_command_on_the_path(
    app: Path, commands: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in IDENTITIES:
        monkeypatch.setenv(f"LOCALAI_APP_{name}", "someone")
    work = tmp_path / "work"
    made = maker.package(app, work, tmp_path, slim=False)
    assert made.name == f"localai-app-{__version__}-arm64.pkg"
    assert [command[0] for command in commands] == ["pkgbuild", "productbuild", "xcrun", "xcrun", "spctl"]
    assert commands[1][-4:] == ("--sign", "someone", "--timestamp", str(made))
    link = work / "root" / "usr" / "local" / "bin" / "localai-app"
    assert str(link.readlink()) == "/Applications/LocalAI App.app/Contents/MacOS/localai-app"
    assert (work / "root" / str(link.readlink())[1:]).is_file()
    assert (work / "LICENSE").is_file()


def test_what_installer_asks_is_filled_in(commands: list[tuple[str, ...]]) -> None:
    script = ET.fromstring(maker.distribution())
    assert "@" not in maker.distribution()
    assert script.find("options").get("hostArchitectures") == "arm64"  # type: ignore[union-attr]
    assert script.find("domains").get("enable_localSystem") == "true"  # type: ignore[union-attr]
    assert script.findall("pkg-ref")[0].get("version") == __version__
    assert script.findall("pkg-ref")[0].get("id") == maker.IDENTIFIER


def test_property_lists_are_valid_and_grant_nothing() -> None:
    entitlements = plistlib.loads((maker.MACOS / "entitlements.plist").read_bytes())
    assert entitlements
    assert not any(entitlements.values())
    (component,) = plistlib.loads((maker.MACOS / "component.plist").read_bytes())
    assert component["RootRelativeBundlePath"] == f"Applications/{maker.APP}"
    assert component["BundleIsRelocatable"] is False


def test_the_icon_holds_all_sizes(tmp_path: Path) -> None:
    from PIL import Image

    maker.make_icon(tmp_path / "app.icns")
    with Image.open(tmp_path / "app.icns") as icon:
        assert (512, 512, 2) in icon.info["sizes"]
        assert (16, 16, 2) in icon.info["sizes"]


@pytest.mark.skipif(sys.platform == "darwin", reason="there it would be made")
def test_elsewhere_it_is_refused() -> None:
    with pytest.raises(SystemExit, match="on a Mac"):
        maker.main([])

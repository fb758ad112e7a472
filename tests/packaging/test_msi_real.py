"""The Windows package on a computer that Wine plays: installed silently, used, removed. Needs `make msi`.

A new Windows without any of our files or values; what its registry says is read with Wine's own ``reg``.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.scripts import ROOT
from tests.packaging.windows_scripts import wine

pytestmark = [
    pytest.mark.packaged,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("wine") is None, reason="there is no Wine"),
]

PACKAGES = ROOT / "dist" / "windows"
SETTINGS = r"HKLM\SOFTWARE\LocalAI App\Installer"
POLICIES = r"HKLM\SOFTWARE\Policies\LocalAIApp"
CLASSES = r"HKLM\SOFTWARE\Classes\LocalAIApp.Model"
UNINSTALL = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"


@pytest.fixture(scope="module")
def package() -> Path:
    found = sorted(PACKAGES.glob("localai-app-*-x64.msi"))
    if not found:
        pytest.skip("there is no package; `make msi` makes it")
    return found[-1]


@pytest.fixture(scope="module")
def computer(tmp_path_factory: pytest.TempPathFactory) -> Iterator["wine.Wine"]:
    made = wine.Wine(tmp_path_factory.mktemp("windows") / "prefix").prepare()
    yield made
    made.stop()


def files(computer: "wine.Wine") -> set[str]:
    """Every file and folder of the disk but the users' own and what Windows keeps for itself."""
    own = ("users", "windows/Installer", "windows/temp", "windows/winsxs", "windows/inf")
    found = {path.relative_to(computer.disk).as_posix() for path in computer.disk.rglob("*")}
    return {name for name in found if not name.startswith(own)}


def registry(computer: "wine.Wine", key: str) -> str:
    """What is below ``key``; empty where there is no such key."""
    done = computer.run(["wine", "reg", "query", key, "/s"])
    return "" if done.returncode else done.stdout


def install(computer: "wine.Wine", *words: str) -> None:
    """Run the installer with ``words``; it must say 0 and ask nothing."""
    done = computer.run(["wine", "msiexec", *words, "/qn"])
    assert done.returncode == 0, done.stdout[-2000:]


def program(computer: "wine.Wine") -> Path:
    return computer.disk / "Program Files" / "LocalAI App"


def app(computer: "wine.Wine", *words: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command line."""
    return computer.run([program(computer) / "localai-app.com", *words])


def test_the_package_is_per_machine_and_its_properties_reach_the_elevated_part(package: Path) -> None:
    done = subprocess.run(
        ["msiinfo", "export", str(package), "Property"], capture_output=True, text=True, check=True
    )
    properties = dict(line.split("\t") for line in done.stdout.splitlines()[3:])
    assert properties["ALLUSERS"] == "1"
    assert {"INSTALLDIR", "OFFLINEONLY"} <= set(properties["SecureCustomProperties"].split(";"))
    summary = subprocess.run(["msiinfo", "suminfo", str(package)], capture_output=True, text=True, check=True)
    assert "Template: x64;1033" in summary.stdout


def test_it_is_installed_used_and_removed_without_a_trace(package: Path, computer: "wine.Wine") -> None:
    before = files(computer)
    install(computer, "/i", wine.windows_path(package), "OFFLINEONLY=1", "DESKTOPSHORTCUT=1", "ADDLOCAL=ALL")
    assert (program(computer) / "localai-app.exe").is_file()
    assert (computer.disk / "windows" / "PolicyDefinitions" / "LocalAIApp.admx").is_file()
    assert "OfflineOnly" in registry(computer, POLICIES)
    assert "localai-app.exe" in registry(computer, CLASSES)

    assert app(computer, "--version").stdout.split()[-1].count(".") == 2
    keys = json.loads(app(computer, "policy", "show", "--json").stdout)
    offline = next(key for key in keys["keys"] if key["key"] == "OfflineOnly")
    assert offline["value"] is True
    report = app(computer, "doctor", "--no-speed").stdout
    assert "SQLCipher" in report
    assert "no model" not in report

    answer = app(computer, "chat", "--prompt", "Say hello.", "--max-tokens", "20")
    assert answer.returncode == 0, answer.stdout[-2000:]
    assert answer.stdout.strip()

    install(computer, "/x", wine.windows_path(package))
    assert files(computer) - before == set()
    assert registry(computer, POLICIES) == registry(computer, SETTINGS) == registry(computer, CLASSES) == ""
    assert "LocalAI App" not in registry(computer, UNINSTALL)


def test_nothing_that_was_not_asked_for_is_installed(package: Path, computer: "wine.Wine") -> None:
    install(computer, "/i", wine.windows_path(package))
    assert not (computer.disk / "windows" / "PolicyDefinitions").exists()
    assert registry(computer, POLICIES) == ""
    assert "DesktopShortcut" not in registry(computer, SETTINGS)
    install(computer, "/x", wine.windows_path(package))

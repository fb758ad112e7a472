"""What `make` runs before anything is installed."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.scripts import ROOT, load

set_up = load("set_up")


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse((ROOT / "packaging" / "set_up.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= {*sys.stdlib_module_names, "__future__"}


def test_an_old_python_gets_a_line_and_not_a_syntax_error(monkeypatch: pytest.MonkeyPatch) -> None:
    source = (ROOT / "packaging" / "set_up.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 8))
    monkeypatch.setattr(sys, "version_info", (3, 9, 6))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer"):
        set_up.main(["check"])


def test_without_a_compiler_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(SystemExit, match=r"apt install g\+\+"):
        set_up.require_compiler()


def test_a_finished_set_up_is_not_repeated_until_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(set_up, "VENV", tmp_path)
    monkeypatch.setattr(set_up, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(set_up, "make_venv", lambda: None)
    monkeypatch.setattr(set_up, "wheel_is_cached", lambda name: True)
    monkeypatch.setattr(set_up, "pip", lambda *arguments: ran.append(arguments))
    set_up.install("run")
    assert any("--require-hashes" in call for call in ran)
    ran.clear()
    set_up.install("run")
    assert ran == []
    set_up.install("ocr")
    assert ran != []
    ran.clear()
    set_up.install("run")
    assert ran == []
    set_up.install("dev")
    assert ran != []
    ran.clear()
    for covered in ("run", "ocr", "dev"):
        set_up.install(covered)
    assert ran == []
    monkeypatch.setattr(set_up, "fingerprint", lambda lock: "changed")
    set_up.install("run")
    assert ran != []


def test_pip_itself_is_pinned_with_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_up, "VENV", tmp_path)
    for lock in set_up.LOCKS.values():
        text = set_up.pip_alone(lock).read_text(encoding="utf-8")
        assert re.fullmatch(r"pip==[\d.]+ \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", text)


def test_an_app_start_without_display_chats_in_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(set_up, "WINDOWS", False)
    monkeypatch.setattr("os.execv", lambda path, command: started.append(command[1:]))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    set_up.start()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    set_up.start()
    assert started == [["chat"], []]


def test_missing_libraries_are_named_where_they_cannot_be_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(set_up, "can_apt", lambda: False)
    monkeypatch.setattr(set_up, "loads", lambda library: library != "libxcb-cursor.so.0")
    set_up.install_system_libraries(quiet=False)
    assert capsys.readouterr().err.endswith("sudo apt install libxcb-cursor0\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="shared libraries of Linux")
def test_every_library_that_qt_needs_is_on_the_list() -> None:
    import PySide6

    qt = Path(PySide6.__file__).parent / "Qt"
    files = [qt / "plugins" / "platforms" / f"libq{name}.so" for name in ("xcb", "wayland", "offscreen")]
    files += (qt / "plugins" / "xcbglintegrations").glob("*.so")
    files += [qt / "lib" / f"libQt6{name}.so.6" for name in ("Core", "Gui", "Widgets", "DBus", "XcbQpa")]
    every_system_has = {"libc", "libm", "libgcc_s", "libstdc++", "libz", "libzstd", "ld-linux-x86-64"}
    with_glib = {"libgthread-2.0"}
    listed = {library.partition(".so")[0] for library in set_up.QT_LIBRARIES}
    for file in files:
        told = subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True).stdout
        needed = set(re.findall(r"NEEDED.*\[(.+?)\.so", told))
        others = {name for name in needed if not name.startswith(("libQt6", "libicu"))}
        assert others <= listed | every_system_has | with_glib, file.name

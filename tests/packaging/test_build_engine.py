"""The engine of packages: what is built, where it is kept, and that its list of files is right."""

import dataclasses
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from localai_app.engine.packs import MANIFEST, SIGNATURE
from tests.packaging.scripts import ROOT, load

build_engine = load("build_engine")
sign_engine = load("sign_engine")
LINUX = build_engine.TARGETS["linux"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALAI_APP_BUILD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_lock_pins_one_source() -> None:
    version, sha256 = build_engine.pinned(ROOT / "requirements.lock")
    assert f"llama-cpp-python=={version}" in (ROOT / "pyproject.toml").read_text()
    assert len(sha256) == 64


@pytest.mark.parametrize(
    "lock",
    [
        "",
        "llama-cpp-python==1.0\n",
        f"llama-cpp-python==1.0 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n",
    ],
)
def test_a_lock_without_one_hash_is_refused(tmp_path: Path, lock: str) -> None:
    (tmp_path / "requirements.lock").write_text(lock)
    with pytest.raises(SystemExit, match="pins no single sdist"):
        build_engine.pinned(tmp_path / "requirements.lock")


def test_whatever_the_result_depends_on_gives_it_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_engine, "compiler_version", lambda _target: "g++ 12")
    first = build_engine.fingerprint(LINUX, "cpu", "a")
    assert build_engine.fingerprint(LINUX, "cpu", "a") == first
    others = {
        build_engine.fingerprint(LINUX, "cuda", "a"),
        build_engine.fingerprint(LINUX, "cpu", "b"),
        build_engine.fingerprint(dataclasses.replace(LINUX, link=""), "cpu", "a"),
        build_engine.fingerprint(build_engine.TARGETS["windows"], "cpu", "a"),
    }
    monkeypatch.setattr(build_engine, "compiler_version", lambda _target: "g++ 13")
    others.add(build_engine.fingerprint(LINUX, "cpu", "a"))
    assert len(others - {first}) == 5


def test_no_build_depends_on_the_processor_that_builds() -> None:
    for name in ("GGML_NATIVE", "GGML_CCACHE", "GGML_RPC"):
        assert build_engine.OPTIONS[name] == "OFF"
    for name in ("GGML_BACKEND_DL", "GGML_CPU_ALL_VARIANTS", "CMAKE_PLATFORM_NO_VERSIONED_SONAME"):
        assert build_engine.OPTIONS[name] == "ON"


def test_a_source_that_is_not_the_pinned_one_is_refused(cache: Path) -> None:
    cache.mkdir()
    (cache / "llama_cpp_python-1.0.tar.gz").write_bytes(b"another")
    with pytest.raises(SystemExit, match="is not the file that"):
        build_engine.sdist("1.0", "a" * 64)


def archive(path: Path) -> str:
    """A source in the form of llama-cpp-python's; its SHA-256."""
    files = {
        "llama_cpp_python-1.0/vendor/llama.cpp/CMakeLists.txt": (
            "set(LLAMA_VERSION_MAJOR 1)\nset(LLAMA_VERSION_MINOR 2)\nset(LLAMA_VERSION_PATCH 3)\n"
        ),
        "llama_cpp_python-1.0/.git/modules/vendor/llama.cpp/HEAD": "c0ffee\n",
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def built(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine that a pretended compiler made."""
    cache.mkdir()
    sha256 = archive(cache / "llama_cpp_python-1.0.tar.gz")

    def compiled(folder: Path, *_: object) -> list[Path]:
        (folder / "bin").mkdir(parents=True)
        made = [folder / "bin" / name for name in ("libllama.so", "libggml.so", "libggml-cpu-haswell.so")]
        for path in made:
            path.write_text(path.name)
        return made

    monkeypatch.setattr(build_engine, "pinned", lambda _lock: ("1.0", sha256))
    monkeypatch.setattr(build_engine.shutil, "which", lambda program: program)
    monkeypatch.setattr(build_engine, "compiler_version", lambda _target: "g++ 12")
    monkeypatch.setattr(build_engine, "compile_in", compiled)
    monkeypatch.setattr(build_engine, "run", lambda *_: None)
    folder: Path = build_engine.build(LINUX, "cpu", 1)
    return folder


def test_an_engine_says_what_it_is_and_names_each_file(built: Path, cache: Path) -> None:
    manifest = json.loads((built / MANIFEST).read_text())
    assert {path.name for path in built.iterdir()} == {*manifest["files"], MANIFEST}
    for name, sha256 in manifest["files"].items():
        assert hashlib.sha256((built / name).read_bytes()).hexdigest() == sha256
        assert (built / name).stat().st_mode & 0o777 == 0o644
    assert (manifest["binding"], manifest["llama_cpp"]) == ("llama-cpp-python 1.0", "1.2.3")
    assert (manifest["commit"], manifest["name"], manifest["system"]) == ("c0ffee", "cpu", "linux")
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [built.name], "nothing else is left"


def test_what_is_there_is_not_built_again(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_in(*_: object) -> None:
        raise AssertionError("it is there")

    monkeypatch.setattr(build_engine, "compile_in", compile_in)
    assert build_engine.build(LINUX, "cpu", 1) == built
    with pytest.raises(AssertionError):
        build_engine.build(LINUX, "cpu", 1, force=True)
    assert (built / MANIFEST).exists(), "a build that failed leaves the old one"


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_engine.shutil, "which", lambda program: None if "mingw" in program else program)
    with pytest.raises(SystemExit, match="g\\+\\+-posix is needed to build the engine for windows"):
        build_engine.build(build_engine.TARGETS["windows"], "cpu", 1)


def test_a_compiler_for_windows_that_is_too_old_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = build_engine.TARGETS["windows"]
    monkeypatch.setattr(build_engine, "output", lambda *_: "12-posix")
    with pytest.raises(SystemExit, match="14 or newer"):
        build_engine.require_compiler(windows)
    build_engine.require_compiler(LINUX)
    monkeypatch.setattr(build_engine, "output", lambda *_: "14.2.0")
    build_engine.require_compiler(windows)


def test_a_compilers_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_engine, "output", lambda *_: "libgomp-1.dll")  # as gcc says it
    with pytest.raises(SystemExit, match="brings no libstdc"):
        list(build_engine.runtime_libraries(build_engine.TARGETS["windows"]))


def test_only_what_was_built_is_signed(built: Path, tmp_path: Path) -> None:
    secret, public = tmp_path / "engine.key", tmp_path / "engine.pub"
    sign_engine.SIGNING_KEY.make(secret, public)
    sign_engine.sign(built, secret, public)
    assert (built / SIGNATURE).read_text().startswith("untrusted comment")
    (built / "libllama.so").write_text("another")
    with pytest.raises(SystemExit, match="is not the file that was built"):
        sign_engine.sign(built, secret, public)
    (built / "libllama.so").unlink()
    with pytest.raises(SystemExit, match="does not hold the files"):
        sign_engine.sign(built, secret, public)

"""An engine that an administrator installed is loaded when it is what was signed, and never otherwise."""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from minisign import KeyPair

from localai_app import paths
from localai_app.engine import packs, worker_process
from localai_app.engine.packs import KEY, MANIFEST, SIGNATURE, EngineFiles, choose, chosen
from localai_app.engine.protocol import CPU_VARIANT, ENGINE_FOLDER, ENGINE_GPU, ENGINE_PACK
from tests.packaging.scripts import load

sign_engine = load("sign_engine")

SYSTEM = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
LIBRARY = {"win32": "llama.dll", "darwin": "libllama.dylib"}.get(sys.platform, "libllama.so")
BINDING = f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}"
ME = os.getuid() if os.name == "posix" else 0
posix_only = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


class Maker:
    """Makes packs and signs them."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.public = folder / "keys" / KEY
        self.public.parent.mkdir(mode=0o755)
        self._secret = folder / "engine.key"
        sign_engine.SIGNING_KEY.make(self._secret, self.public)

    def pack(self, name: str = "cpu", *libraries: str, place: str = "engines", **changes: Any) -> Path:
        """A signed pack of small files; ``changes`` are made to its manifest."""
        folder = self.root / place / name
        folder.mkdir(parents=True, mode=0o755)
        for library in (LIBRARY, "libggml-cpu-haswell.so", *libraries):
            (folder / library).write_text(library)
        manifest = {
            "schema": 1,
            "name": name,
            "system": SYSTEM,
            "machine": {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower()),
            "binding": BINDING,
            "llama_cpp": "1.2.3",
            "files": {
                path.name: packs.hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
            },
            "options": {"GGML_NATIVE": "OFF"},
        }
        self.sign(folder, json.dumps({**manifest, **changes}))
        return folder

    def sign(self, folder: Path, manifest: str) -> None:
        (folder / MANIFEST).write_text(manifest)
        key = sign_engine.SIGNING_KEY
        (folder / SIGNATURE).write_bytes(key.sign(manifest.encode(), "", self._secret, self.public))
        for path in folder.iterdir():
            path.chmod(0o644)

    def choose(self, *folders: Path, administrator: int = ME) -> EngineFiles:
        return choose(folders, [self.public], None, administrator=administrator)


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


def test_a_signed_pack_is_used(maker: Maker) -> None:
    pack = maker.pack()
    assert maker.choose(pack) == EngineFiles(pack, "cpu", "")


def test_without_a_pack_the_apps_own_engine_is_used(maker: Maker, tmp_path: Path) -> None:
    assert choose([], [maker.public], tmp_path) == EngineFiles(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"binding": "llama-cpp-python 0.0.1"}, "fits llama-cpp-python 0.0.1, and the app has"),
        ({"system": "plan9"}, "it is for plan9"),
        ({"machine": "riscv64"}, "on riscv64"),
        ({"schema": 2}, "it is for"),
        ({"files": {}}, "does not hold the files that were signed"),
        ({"files": "all"}, "of another form"),
    ],
)
def test_a_pack_for_something_else_is_not_used(maker: Maker, changes: dict[str, Any], reason: str) -> None:
    found = maker.choose(maker.pack(**changes))
    assert found.folder is None
    assert reason in found.problem
    assert found.problem.endswith("The app's own engine computes.")


def test_a_changed_library_is_not_loaded(maker: Maker) -> None:
    pack = maker.pack()
    (pack / LIBRARY).write_text("something else")
    found = maker.choose(pack)
    assert found.folder is None
    assert f"{LIBRARY} is not the file that was signed" in found.problem


def test_a_library_that_nobody_signed_may_not_lie_in_a_pack(maker: Maker) -> None:
    pack = maker.pack()
    (pack / "libggml-cpu-zen9.so").touch(mode=0o644)
    assert "does not hold the files" in maker.choose(pack).problem


def test_a_missing_library_is_noticed(maker: Maker) -> None:
    pack = maker.pack()
    (pack / "libggml-cpu-haswell.so").unlink()
    assert "does not hold the files" in maker.choose(pack).problem


def test_a_changed_list_of_files_does_not_fit_its_signature(maker: Maker) -> None:
    pack = maker.pack()
    manifest = json.loads((pack / MANIFEST).read_text())
    (pack / MANIFEST).write_text(json.dumps({**manifest, "name": "better"}))
    assert "not signed by a key that this computer trusts" in maker.choose(pack).problem


def test_another_makers_signature_counts_for_nothing(maker: Maker) -> None:
    pack = maker.pack()
    signature = KeyPair.generate().secret_key.sign((pack / MANIFEST).read_bytes())
    (pack / SIGNATURE).write_bytes(bytes(signature))
    assert "not signed by a key" in maker.choose(pack).problem


@pytest.mark.parametrize("content", [b"", b"untrusted comment: x\n", b"\0" * 200, b"a\nb\nc\nd\n"])
def test_what_is_no_signature_is_refused(maker: Maker, content: bytes) -> None:
    pack = maker.pack()
    (pack / SIGNATURE).write_bytes(content)
    assert "not signed by a key" in maker.choose(pack).problem


def test_a_pack_without_a_signature_is_refused(maker: Maker) -> None:
    pack = maker.pack()
    (pack / SIGNATURE).unlink()
    assert f"{SIGNATURE} cannot be read" in maker.choose(pack).problem


def test_the_organisations_key_is_as_good_as_the_makers(maker: Maker, tmp_path: Path) -> None:
    other = tmp_path / "other.pub"
    other.write_bytes(bytes(KeyPair.generate().public_key))
    other.chmod(0o644)
    tmp_path.chmod(0o755)
    pack = maker.pack()
    nowhere = tmp_path / "none.pub"
    assert choose([pack], [other, nowhere], None, administrator=ME).folder is None
    assert choose([pack], [other, nowhere, maker.public], None, administrator=ME).folder == pack


@posix_only
def test_what_others_can_change_is_not_trusted(maker: Maker) -> None:
    pack = maker.pack()
    assert "can be changed by others" in maker.choose(pack, administrator=ME + 1).problem
    for path in (pack, pack / LIBRARY, pack / MANIFEST, maker.public):
        mode = path.stat().st_mode
        path.chmod(mode | 0o022)
        found = maker.choose(pack)
        assert (found.folder, f"{path} can be changed by others" in found.problem) == (None, True)
        path.chmod(mode)
    assert maker.choose(pack).folder == pack


@posix_only
def test_a_link_is_not_followed(maker: Maker, tmp_path: Path) -> None:
    pack = maker.pack()
    (pack / LIBRARY).rename(tmp_path / LIBRARY)
    (pack / LIBRARY).symlink_to(tmp_path / LIBRARY)
    assert f"{LIBRARY} is a link" in maker.choose(pack).problem


def test_a_pack_with_a_gpu_goes_before_one_without(maker: Maker) -> None:
    cpu, vulkan = maker.pack("cpu"), maker.pack("vulkan", "libggml-vulkan.so")
    cuda = maker.pack("cuda", "libggml-cuda.so")
    assert maker.choose(cpu, vulkan).folder == vulkan
    assert maker.choose(cpu, cuda, vulkan).folder == cuda


def test_a_bad_pack_beside_a_good_one_is_told_of(maker: Maker) -> None:
    good, bad = maker.pack("good"), maker.pack("bad", binding="another 1")
    found = maker.choose(bad, good)
    assert (found.folder, found.pack) == (good, "good")
    assert found.problem.startswith("The engine pack “bad” is not used: it fits another 1")
    assert "own engine" not in found.problem


def test_packs_are_found_in_their_places_and_a_change_counts_at_once(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / "by hand", tmp_path / "engines"]
    monkeypatch.setattr(paths, "engine_pack_folders", lambda: places)
    monkeypatch.setattr(paths, "organisation_folder", lambda: maker.public.parent)
    monkeypatch.setattr(packs, "_require_owner", lambda *_: None)
    packs._chosen.cache_clear()
    assert chosen() == EngineFiles(None)
    packaged = maker.pack("cpu")
    assert chosen().folder == packaged
    by_hand = maker.pack("cpu", place="by hand")
    (places[0] / "notes").mkdir()
    assert chosen().folder == by_hand
    (by_hand / LIBRARY).write_text("something else, longer")
    assert chosen() == EngineFiles(packaged, "cpu", chosen().problem)
    assert "is not the file that was signed" in chosen().problem
    shutil.rmtree(by_hand)
    assert chosen() == EngineFiles(packaged, "cpu", "")


def test_files_are_hashed_once_while_they_stay_the_same(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "engine_pack_folders", lambda: [tmp_path / "engines"])
    maker.pack()
    seen: list[object] = []

    def note(*arguments: object, **_: object) -> EngineFiles:
        seen.append(arguments)
        return EngineFiles(None)

    monkeypatch.setattr(packs, "choose", note)
    packs._chosen.cache_clear()
    for _ in range(3):
        chosen()
    assert len(seen) == 1
    packs._chosen.cache_clear()


def test_only_a_packaged_app_has_an_engine_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "resources", lambda: tmp_path / "resources")
    (tmp_path / "engine").mkdir()
    assert paths.built_in_engine() is None
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert paths.built_in_engine() == tmp_path / "engine"
    (tmp_path / "engine").rmdir()
    assert paths.built_in_engine() is None


def test_a_worker_is_told_where_its_engine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CPU_VARIANT, raising=False)
    plain = worker_process.environment_of(EngineFiles(None), gpu=False)
    assert not {ENGINE_FOLDER, ENGINE_PACK, ENGINE_GPU, CPU_VARIANT} & set(plain)
    monkeypatch.setenv(CPU_VARIANT, "haswell")
    told = worker_process.environment_of(EngineFiles(tmp_path, "cuda"), gpu=True)
    assert (told[ENGINE_FOLDER], told[ENGINE_PACK]) == (str(tmp_path), "cuda")
    assert (told[ENGINE_GPU], told[CPU_VARIANT]) == ("1", "haswell")


def test_backends_beside_the_processor_are_told_by_their_names() -> None:
    names = [
        "libllama.so",
        "libggml.so",
        "libggml-base.so",
        "libggml-cpu-zen4.so",
        "libggml-cuda.so",
        MANIFEST,
    ]
    assert packs.gpu_backends(names) == ["cuda"]
    assert packs.gpu_backends(["ggml-vulkan.dll", "ggml.dll"]) == ["vulkan"]

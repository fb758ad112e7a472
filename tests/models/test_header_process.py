"""The header of an untrusted file, read in a child: what comes back, and what the child cannot do."""

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from localai_app.errors import GgufError, LocalAIError, ModelNotFound
from localai_app.models import gguf, header_process
from localai_app.models.header_child import Read, _plain
from localai_app.models.header_process import MAX_REPLY, read_header
from localai_app.processes import Child
from localai_app.sandbox import Confinement
from tests.models.test_gguf import ARCHITECTURE, BROKEN, U32, U64, file_of, key, tensor, text
from tests.tiny_models import FAMILIES, build


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny models")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Path:
    return build(FAMILIES["Granite hybrid"], folder)


def directly(path: Path) -> gguf.GgufHeader:
    with path.open("rb") as file:
        return gguf.read_header(file)


@pytest.mark.parametrize("name", ["Granite hybrid", "Gemma 3", "DeepSeek"])
def test_the_child_says_what_the_reader_says(name: str, folder: Path) -> None:
    path = build(next(family for key, family in FAMILIES.items() if key.startswith(name)), folder)
    assert read_header(path) == directly(path)


def test_a_header_is_read_once_while_the_file_stays_the_same(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(tiny, path)
    first = read_header(path)

    def refuse(*arguments: object) -> Child:
        raise AssertionError("a child was started")

    with monkeypatch.context() as patch:
        patch.setattr(header_process, "start_child", refuse)
        assert read_header(path) is first
    path.write_bytes(file_of(ARCHITECTURE, keys=1).getvalue())
    assert read_header(path).architecture == "llama"


def test_the_parts_of_a_split_model_are_joined(tmp_path: Path) -> None:
    for number in (0, 1):
        split = key("split.count", 2, b"\2\0") + key("split.no", 2, bytes([number, 0]))
        one = tensor(b"t%d" % number, (32, 2), 0, 0)
        keys = [ARCHITECTURE] if number == 0 else []
        data = file_of(*keys, split, one, keys=2 + len(keys), tensors=1, data=256).getvalue()
        (tmp_path / f"m-0000{number + 1}-of-00002.gguf").write_bytes(data)
    header = read_header(tmp_path / "m-00001-of-00002.gguf")
    assert [tensor.name for tensor in header.tensors] == ["t0", "t1"]
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(ModelNotFound):
        read_header(tmp_path / "m-00001-of-00002.gguf")


@pytest.mark.parametrize("name", ["empty", "zip", "many tensors", "nested arrays"])
def test_a_broken_file_is_refused_in_one_line_that_names_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(BROKEN[name].getvalue())
    with pytest.raises(GgufError, match=r"^broken\.gguf: ") as caught:
        read_header(path)
    assert "\n" not in caught.value.line
    assert caught.value.hint


def test_a_lonely_part_that_states_billions_of_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.gguf"
    path.write_bytes(file_of(ARCHITECTURE, key("split.count", 4, U32.pack(2**32 - 1)), keys=2).getvalue())
    with pytest.raises(GgufError, match="parts, and not all are here"):
        read_header(path)


def test_the_worst_header_that_is_allowed_gets_through_the_limits(tmp_path: Path) -> None:
    strings = key("a", 9, U32.pack(8) + U64.pack(gguf.MAX_STRINGS) + text(b"abc") * gguf.MAX_STRINGS)
    names = [b"%063d" % number for number in range(gguf.MAX_TENSORS)]
    tensors = [tensor(name, (32, 1), 0, 128 * number) for number, name in enumerate(names)]
    texts = [key(f"text.{number}", 8, text(("🙂" * 1000).encode())) for number in range(1000)]
    path = tmp_path / "worst.gguf"
    path.write_bytes(
        file_of(
            ARCHITECTURE,
            *texts,
            strings,
            *tensors,
            keys=2 + len(texts),
            tensors=len(tensors),
            data=128 * len(tensors),
        ).getvalue()
    )
    assert len(read_header(path).tensors) == gguf.MAX_TENSORS


# ---------------------------------------------------------------- a child that is not what it should be


def lying(**changes: object) -> bytes:
    """An answer that decodes, but is no header that a file can have."""
    header = gguf.read_header(file_of(ARCHITECTURE, key("llama.block_count", 4, U32.pack(2)), keys=2))
    return msgspec.msgpack.encode(Read(dataclasses.replace(header, **changes)), enc_hook=_plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("pass", "the reader ended normally"),
        ("import os; os.abort()", r"aborted \(SIGABRT\)"),
        ("sys.stdout.buffer.write(b'hello')", r"could not be read\.$"),
        (f"sys.stdout.buffer.write({msgspec.msgpack.encode(['Read', 1])!r})", r"could not be read\.$"),
        (f"sys.stdout.buffer.write({lying(heads=(1,))!r})", r"could not be read\.$"),
        (f"sys.stdout.buffer.write({lying(layers=-1)!r})", r"could not be read\.$"),
        (f"while True: sys.stdout.buffer.write(bytes({MAX_REPLY}))", r"the reader says too much\.$"),
        ("while True: pass", r"the reader stopped by the app\.$"),
    ],
)
def test_a_child_that_breaks_the_protocol_is_ended_and_not_believed(
    program: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = []

    def start_child(role: str, confinement: Confinement) -> Child:
        children.append(Child([sys.executable, "-I", "-c", f"import sys; sys.stdin.readline()\n{program}"]))
        return children[-1]

    monkeypatch.setattr(header_process, "start_child", start_child)
    monkeypatch.setattr(header_process, "TIME_LIMIT", 0.5 if program == "while True: pass" else 60.0)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    with pytest.raises(LocalAIError, match=reason):
        read_header(path)
    assert [child.running for child in children] == [False]


def test_the_child_may_read_that_model_alone(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[Confinement] = []
    start: Callable[..., Child] = header_process.start_child

    def look(role: str, confinement: Confinement) -> Child:
        given.append(confinement)
        return start(role, confinement)

    monkeypatch.setattr(header_process, "start_child", look)
    path = tmp_path / "model.gguf"
    shutil.copy(tiny, path)
    read_header(path)
    assert [(each.read, each.write, each.gpu) for each in given] == [((str(path),), (), False)]
    assert given[0].cpu_seconds


def test_the_child_loads_neither_engine_nor_window_nor_store() -> None:
    code = "import sys, localai_app.models.header_child; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in answer.stdout.split()}
    assert "msgspec" in loaded
    assert not loaded & {"llama_cpp", "numpy", "PySide6", "sqlcipher3", "socket", "keyring", "psutil"}

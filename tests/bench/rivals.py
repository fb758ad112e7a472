"""Programs that we are measured against.

`llama-server` is built from the sources inside llama-cpp-python's own source distribution, so that both
run the same llama.cpp; once, about 6 minutes, into the user's cache (or found in
``LOCALAI_APP_RIVALS``).
"""

import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localai_app.paths import Paths

_SOURCE = "llama-cpp-python==0.3.36"
_OFF = ("LLAMA_CURL", "LLAMA_BUILD_UI", "LLAMA_USE_PREBUILT_UI", "LLAMA_BUILD_TESTS")


def llama_server() -> Path:
    """The program, built if need be."""
    folder = Path(os.environ.get("LOCALAI_APP_RIVALS") or Paths.for_user().cache / "rivals")
    program = folder / "llama-server"
    if not program.is_file():
        sys.stderr.write("==> Building llama-server to compare with, about 6 minutes, once\n")
        _build(folder)
    return program


def _build(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", work, _SOURCE], check=True)
        (archive,) = Path(work).glob("*.tar.gz")
        with tarfile.open(archive) as sources:
            sources.extractall(work, filter="data")
        (root,) = Path(work).glob("llama_cpp_python-*/vendor/llama.cpp")
        build = Path(work, "build")
        options = ["-DCMAKE_BUILD_TYPE=Release", *(f"-D{name}=OFF" for name in _OFF)]
        subprocess.run(["cmake", "-S", root, "-B", build, *options], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", build, "-j", "--target", "llama-server"], check=True)
        folder.mkdir(parents=True, exist_ok=True)
        for file in (build / "bin").iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
            (folder / file.name).chmod(0o755)


class LlamaServer:
    """A running llama-server on loopback; use it as a context manager."""

    def __init__(self, model: Path, *, threads: int, context: int = 8192, parallel: int = 1) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        program = llama_server()
        self._process = subprocess.Popen(
            [
                *(program, "--model", model, "--host", "127.0.0.1", "--port", str(self._port)),
                *("--threads", str(threads), "--threads-batch", str(threads)),
                *("--ctx-size", str(context), "--parallel", str(parallel), "--no-warmup"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LD_LIBRARY_PATH": str(program.parent)},
        )

    def __enter__(self) -> "LlamaServer":
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5):
                    return self
            except OSError:
                assert self._process.poll() is None, "llama-server ended"
                time.sleep(0.1)
        raise AssertionError("llama-server does not answer")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def stream(self, **request: Any) -> Iterator[dict[str, Any]]:
        """Chunks of one streamed chat completion."""
        body = json.dumps({"stream": True, **request}).encode()
        address = f"http://127.0.0.1:{self._port}/v1/chat/completions"
        wanted = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(wanted, timeout=600) as answer:
            for line in answer:
                if line.startswith(b"data: {"):
                    yield json.loads(line[6:])

    def complete(self, **request: Any) -> dict[str, Any]:
        """A raw completion of a prompt of tokens, whole."""
        address = f"http://127.0.0.1:{self._port}/completion"
        body = json.dumps(request).encode()
        wanted = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(wanted, timeout=600) as answer:
            whole: dict[str, Any] = json.load(answer)
        return whole

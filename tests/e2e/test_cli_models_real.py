"""A model's life on the command line, with the real worker: imported, used, verified, changed, removed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from localai_app.paths import Paths

pytestmark = pytest.mark.engine

COMMAND = str(Path(sys.executable).with_name("localai-app"))
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *argv], capture_output=True, encoding="utf-8", timeout=120, check=False, env=os.environ
    )


def test_a_model_is_imported_used_verified_and_removed(starter_model: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (stick / starter_model.name).symlink_to(starter_model)
    (stick / "half.gguf").write_bytes(starter_model.read_bytes()[: 90 * 10**6])
    done = run("models", "import", str(stick), "--json")
    assert done.returncode == 1
    assert "half.gguf: The file is not complete" in done.stderr
    (model,) = json.loads(done.stdout)
    assert (model["sha256"], model["starter"], model["source"]) == (SHA256, True, "imported")
    path = Path(model["path"])
    assert path.is_relative_to(Paths.for_user().models[0])
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o222 == 0

    answer = json.loads(run("chat", "--prompt", "Hi", "--max-tokens", "5", "--json").stdout)
    assert answer["model_sha256"] == SHA256
    assert run("models", "verify", "smol").stdout.startswith("verified 20")

    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(50_000_000)
        byte = file.read(1)
        file.seek(50_000_000)
        file.write(bytes([byte[0] ^ 1]))
    done = run("chat", "--prompt", "Hi", "--max-tokens", "5")
    assert done.returncode == 1
    assert f"{path.name} is not the file that it was" in done.stderr

    assert run("models", "remove", path.name[:6]).returncode == 0
    assert json.loads(run("models", "list", "--json").stdout) == []
    assert [file for file in Paths.for_user().models[0].rglob("*") if file.is_file()] == []
    assert json.loads(run("audit", "verify", "--json").stdout)["sound"]

"""Fetching a model from loopback against ``curl | sha256sum``, and verifying one against ``sha256sum``.

``python -m tests.bench.pull``: half a GiB of noise, served by a plain C-speed server (``sendfile``) in a
process of its own; both sides fetch the same bytes and compute the same hash. Ours also writes the file,
brings it to the disk and moves it into place.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models.connection import Connection
from localai_app.models.installed import compute_sha256
from localai_app.models.pull import PullService, PullState
from localai_app.store.database import Database
from localai_app.store.settings import Settings
from tests.bench import report

SIZE = 512 * 1024**2
RUNS = 5
REPO = "maker/model-GGUF"
FILE = "model-Q4_K_M.gguf"


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("LOCALAI_APP_BENCH_DIR")) as folder:
        run(Path(folder))


def run(folder: Path) -> None:
    """Measure in ``folder``."""
    model = folder / FILE
    model.write_bytes(os.urandom(SIZE))
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.pull_server", str(model), sha256],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        try:
            database = Database.open(folder / "data" / "store.db", bytes(range(32)))
            fetches = report.in_turn(
                RUNS, lambda: pulled(folder, database, url), lambda: curled(f"{url}/cdn/{REPO}/{FILE}")
            )
            hashes = report.in_turn(RUNS, lambda: verified(model), lambda: summed(model))
            database.close()
        finally:
            server.kill()
    report.write(
        "pull",
        [
            report.ratio("pull from loopback, MB/s", *fetches, target=0.8, rival="curl | sha256sum"),
            report.ratio("verify, MB/s", *hashes, target=0.9, rival="sha256sum"),
        ],
    )


def pulled(folder: Path, database: Database, url: str) -> float:
    """Megabytes per second from asking for the model to having it in its place."""
    policy = Policy()
    service = PullService(
        database,
        folder / "models",
        Connection(Settings(database), policy, find_keystore=lambda: None, environment={}),
        policy,
        Audit(database),
        lambda path: None,
        configure=lambda configure: msgspec.structs.replace(
            configure, endpoint=url, hosts=("127.0.0.1",), proxy=""
        ),
    )
    service.repository(REPO)  # the puller runs by the time that a person has chosen
    started = time.perf_counter()
    pull = service.start(REPO, [FILE])
    *_, pull = service.changes(pull.id)
    seconds = time.perf_counter() - started
    assert pull.state is PullState.INSTALLED, pull.error
    assert pull.path is not None
    pull.path.unlink()
    service.remove(pull.id)
    service.close()
    return SIZE / seconds / 1e6


def curled(url: str) -> float:
    """The same bytes through curl into sha256sum."""
    started = time.perf_counter()
    subprocess.run(["sh", "-c", 'curl -s "$0" | sha256sum', url], check=True, capture_output=True)
    return SIZE / (time.perf_counter() - started) / 1e6


def verified(model: Path) -> float:
    """Hashing as the app does."""
    started = time.perf_counter()
    compute_sha256(model)
    return SIZE / (time.perf_counter() - started) / 1e6


def summed(model: Path) -> float:
    """Hashing as coreutils do."""
    started = time.perf_counter()
    subprocess.run(["sha256sum", str(model)], check=True, capture_output=True)
    return SIZE / (time.perf_counter() - started) / 1e6


if __name__ == "__main__":
    main()

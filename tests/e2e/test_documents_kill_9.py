"""`kill -9` in the middle of indexing, and two processes on one store: nothing lost, nothing done twice."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from localai_app.app import App, open_app
from localai_app.documents.document import State
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILES, PARAGRAPHS = 3, 32
KILLS = ((1, 0), (2, 0), (0, 1), (0, 30))
"""How many more pages and vectors are kept before each kill."""
ROOT = Path(__file__).parents[2]


@dataclass
class Kept:
    """What the store holds of all documents, by row numbers that are never given twice."""

    pages: set[tuple[int, int, int]] = field(default_factory=set)
    """(row, document, page)."""
    vectors: set[int] = field(default_factory=set)
    read: dict[str, int] = field(default_factory=dict)
    """How often the audit log says that each document was read."""

    @classmethod
    def of(cls, app: App) -> "Kept":
        rows = app.database.rows("SELECT rowid, document_id, number FROM page")
        vectors = app.database.rows("SELECT seq FROM chunk_vector")
        read = app.database.rows(
            "SELECT object, count(*) AS times FROM audit WHERE event = 'document.read' GROUP BY object"
        )
        return cls(
            {tuple(row) for row in rows},
            {row["seq"] for row in vectors},
            {row["object"]: row["times"] for row in read},
        )


@pytest.fixture
def folder(tmp_path: Path, minilm: Path) -> Path:
    """A folder of texts that make about 70 chunks, with a model beside it."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / minilm.name).symlink_to(minilm)
    rng = random.Random(20261120)
    words = ["lease", "rent", "deposit", "tenant", "notice", "repair", "garden", "agreement", "month", "key"]
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(FILES):
        paragraphs = [
            " ".join(rng.choice(words) for _ in range(90)).capitalize() + "." for _ in range(PARAGRAPHS)
        ]
        (texts / f"{number}.txt").write_text("\n\n".join(paragraphs))
    return texts


def paths_of(folder: Path) -> Paths:
    base = folder.parent
    return Paths(base / "data", base / "config" / "localai-app", base / "cache", (base / "models",))


def start(folder: Path, *, seconds_a_page: float) -> subprocess.Popen[bytes]:
    base = folder.parent
    environment = {
        **os.environ,
        "LOCALAI_APP_DATA_DIR": str(base / "data"),
        "LOCALAI_APP_MODELS_DIR": str(base / "models"),
        "XDG_CONFIG_HOME": str(base / "config"),
        "PYTHONPATH": str(ROOT),
    }
    script = ROOT / "tests" / "children" / "indexing_app.py"
    return subprocess.Popen(
        [sys.executable, script, str(seconds_a_page), "docs", "add", folder],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the app as a power cut would, and see that its children end with it."""
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running()], "a child outlived its app"


def progressed(process: subprocess.Popen[bytes], app: App, seen: Kept, *, pages: int, vectors: int) -> bool:
    """Wait until so much more is kept; False when the process is done before."""
    while process.poll() is None:
        now = Kept.of(app)
        if len(now.pages - seen.pages) >= pages and len(now.vectors - seen.vectors) >= vectors:
            return True
        time.sleep(0.02)
    return False


def test_a_kill_at_any_time_costs_no_finished_page_and_no_kept_vector(folder: Path) -> None:
    rng = random.Random(7)
    half_read = half_embedded = 0
    with open_app(paths_of(folder), engine=FakeEngine()) as app:
        seen = Kept()
        for pages, vectors in KILLS:
            process = start(folder, seconds_a_page=0.1)
            if not progressed(process, app, seen, pages=pages, vectors=vectors):
                break
            time.sleep(rng.uniform(0, 0.2))
            kill(process)
            assert app.database.check() == []
            assert app.audit.verify().sound
            now = Kept.of(app)
            assert seen.pages <= now.pages, "a page that was kept is gone"
            assert seen.vectors <= now.vectors, "a vector that was kept is gone"
            half_read += len(now.read) < FILES
            half_embedded += bool(now.vectors)
            seen = now
    assert half_read >= 2, "no kill came while documents were read, so nothing was tested"
    assert half_embedded >= 2, "no kill came while vectors were made, so nothing was tested"
    assert start(folder, seconds_a_page=0).wait(120) == 0
    with open_app(paths_of(folder), engine=FakeEngine()) as app:
        assert app.database.check() == []
        now = Kept.of(app)
        assert seen.pages <= now.pages
        assert seen.vectors <= now.vectors
        assert set(now.read.values()) == {1}, "a finished document was read again"
        assert len(now.read) == FILES
        documents = app.documents.documents()
        assert [(one.state, one.pages_read == one.pages) for one in documents] == [
            (State.READY, True)
        ] * FILES
        numbers = [(document, page) for _, document, page in now.pages]
        assert len(numbers) == len(set(numbers)) == sum(document.pages for document in documents)
        chunks = app.database.row("SELECT count(*) AS count FROM chunk")
        assert chunks is not None
        assert len(now.vectors) == chunks["count"] > 50


def test_two_processes_on_one_store_share_the_work(folder: Path) -> None:
    both = [start(folder, seconds_a_page=0.05) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    with open_app(paths_of(folder), engine=FakeEngine()) as app:
        assert app.database.check() == []
        assert app.audit.verify().sound
        assert {document.state for document in app.documents.documents()} == {State.READY}
        assert len(app.documents.documents()) == FILES
        assert list(Kept.of(app).read.values()) == [1] * FILES

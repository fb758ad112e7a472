"""Adding documents, end to end, against what the engine alone makes of the same chunks.

Ours goes through everything: files are hashed, read in a confined child, cut into chunks, indexed by their
words, embedded and kept in the encrypted store, from the call that adds a folder until every document is
ready. The rival is the engine's own `embed`, handed the finished chunks; no index can be faster. Both use the
same model, and take turns. Measured beside it: a person's search, and how late another thread of the same
process wakes that sleeps for two milliseconds at a time.

The documents are this repository's prose; where LOCALAI_APP_EVAL names the folder of evaluation sets, also
contracts as PDF.
"""

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from localai_app.app import App, open_app
from localai_app.documents.document import State
from localai_app.documents.search import Index
from localai_app.models.embedding import SHIPPED
from localai_app.paths import Paths
from tests.bench import report

RUNS = 3
PROSE_BYTES = 100_000
PDFS = 4
TICK = 0.002
ROOT = Path(__file__).resolve().parents[2]


def prose(folder: Path) -> list[Path]:
    """Copies of texts of this repository."""
    files = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("localai_app/models/*.py")])
    found: list[Path] = []
    size = 0
    for file in files:
        if size < PROSE_BYTES:
            found.append(shutil.copy(file, folder / f"{len(found)}{file.suffix}"))
            size += file.stat().st_size
    return found


def contracts() -> list[Path]:
    """Real contracts, where they are; else none."""
    folder = os.environ.get("LOCALAI_APP_EVAL")
    return sorted(Path(folder, "cuad").glob("*.pdf"))[:PDFS] if folder else []


class Run:
    """One store after the other, with the same documents."""

    def __init__(self, base: Path, files: Sequence[Path]) -> None:
        self.base = base
        self.files = files
        self.number = 0
        self.texts: list[str] = []
        self.pages = 0
        self.store_bytes = 0
        self.idle: list[float] = []
        self.busy: list[float] = []

    def open(self) -> App:
        """An app on a new, empty store."""
        self.number += 1
        base = self.base / str(self.number)
        return open_app(Paths(base / "data", base / "config", base / "cache", (self.base / "models",)))

    def ours(self) -> float:
        """Chunks/s from files to a finished index."""
        with self.open() as app:
            app.embedding.load()
            started = time.perf_counter()
            app.documents.add(self.files)
            assert app.documents.wait(600)
            seconds = time.perf_counter() - started
            documents = app.documents.documents()
            failed = {one.name: one.error for one in documents if one.state is not State.READY}
            assert not failed, failed
            self.texts = [text for _, text in Index(app.database).without_vectors("")]
            self.pages = sum(one.pages for one in documents)
        self.store_bytes = app.paths.database.stat().st_size
        return len(self.texts) / seconds

    def theirs(self) -> float:
        """Chunks/s of the engine, handed the chunks."""
        with self.open() as app:
            app.embedding.load()
            started = time.perf_counter()
            app.embedding.embed_passages(self.texts)
            return len(self.texts) / (time.perf_counter() - started)

    def searches(self) -> None:
        """Seconds of a person's searches, with nothing else to do and while documents are indexed."""
        with self.open() as app:
            app.documents.add(self.files[:1])
            assert app.documents.wait(600)
            self.idle += [self.search(app) for _ in range(10)]
            app.documents.add(self.files)
            while not app.documents.wait(0.2):
                self.busy.append(self.search(app))

    def lateness(self) -> list[float]:
        """Seconds by which a sleeping thread wakes too late while documents are indexed."""
        late: list[float] = []
        with self.open() as app:
            app.embedding.load()
            app.documents.add(self.files)
            done = threading.Event()
            threading.Thread(target=lambda: app.documents.wait(600) and done.set(), daemon=True).start()
            while not done.is_set():
                started = time.perf_counter()
                time.sleep(TICK)
                late.append(time.perf_counter() - started - TICK)
        return late

    def search(self, app: App) -> float:
        """Seconds of one, the query's vector included."""
        started = time.perf_counter()
        app.documents.search("What happens to a file that was changed while it was read?")
        return time.perf_counter() - started


def compare(base: Path, name: str, files: Sequence[Path]) -> list[report.Row]:
    """All rows for one set of documents."""
    run = Run(base / name, files)
    (run.base / "models").mkdir(parents=True)
    (run.base / "models" / SHIPPED).symlink_to(report.model(SHIPPED))
    run.ours()
    ours, theirs = report.in_turn(RUNS, run.ours, run.theirs)
    run.searches()
    late = statistics.quantiles(run.lateness(), n=100)[-1]
    what = f"{len(files)} {name}, {run.pages} pages, {len(run.texts)} chunks"
    rows = [
        report.ratio(
            f"indexing end to end, chunks/s ({what})",
            ours,
            theirs,
            target=0.8,
            rival="the engine's embed alone on the same chunks",
        ),
        report.Row(
            measure=f"a search while {name} are indexed, p95",
            value=round(percentile(run.busy) * 1000, 1),
            unit="ms",
            better="lower",
            target=None,
            rival="the same search, nothing else to do (median)",
            ours=round(percentile(run.busy) * 1000, 1),
            theirs=round(statistics.median(run.idle) * 1000, 1),
        ),
        report.Row(
            measure=f"lateness of another thread while {name} are indexed, p99",
            value=round(late * 1000, 1),
            unit="ms",
            better="lower",
            target=16,
            rival="",
            ours=round(late * 1000, 1),
            theirs=None,
        ),
        report.Row(
            measure=f"store of {what}",
            value=round(run.store_bytes / run.pages / 1000, 1),
            unit="kB/page",
            better="lower",
            target=None,
            rival="the files themselves",
            ours=round(run.store_bytes / run.pages / 1000, 1),
            theirs=round(sum(file.stat().st_size for file in files) / run.pages / 1000, 1),
        ),
    ]
    return rows


def percentile(seconds: Sequence[float]) -> float:
    """The 95th."""
    return statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "texts").mkdir()
        rows = compare(base, "texts of prose", prose(base / "texts"))
        if pdfs := contracts():
            rows += compare(base, "contracts", pdfs)
    report.write("indexing", rows)


if __name__ == "__main__":
    main()

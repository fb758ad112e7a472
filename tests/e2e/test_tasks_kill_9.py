"""`kill -9` in the middle of a run on the real engine: no document is done twice, none is lost.

``LOCALAI_APP_KILLS`` says how many kills there are.
"""

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
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

DOCUMENTS, PARAGRAPHS = 4, 2
KILLS = int(os.environ.get("LOCALAI_APP_KILLS", "2"))
ROOT = Path(__file__).parents[2]
WORDS = ["lease", "rent", "deposit", "tenant", "notice", "repair", "garden", "agreement", "month", "key"]


@dataclass
class Kept:
    """What the store holds of all runs."""

    outcomes: dict[str, tuple[str, int]] = field(default_factory=dict)
    """(outcome, when) by document."""
    steps: int = 0
    finished: list[int] = field(default_factory=list)
    """The items that the audit log says were finished, each time."""

    @classmethod
    def of(cls, app: App) -> "Kept":
        items = app.database.rows("SELECT * FROM task_item WHERE state = 'done'")
        steps = app.database.row("SELECT count(*) AS steps FROM task_step")
        told = app.database.rows(
            "SELECT json_extract(body, '$.item') AS item FROM audit WHERE event = 'task.item_finished'"
        )
        assert steps is not None
        return cls(
            {row["document_name"]: (row["outcome"], row["finished"]) for row in items},
            steps["steps"],
            [row["item"] for row in told],
        )

    @property
    def size(self) -> int:
        """Grows with all that is kept."""
        return len(self.outcomes) * 100 + self.steps


def paths_of(base: Path) -> Paths:
    return Paths(base / "data", base / "config" / "localai-app", base / "cache", (base / "models",))


def start(base: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "LOCALAI_APP_DATA_DIR": str(base / "data"),
        "LOCALAI_APP_MODELS_DIR": str(base / "models"),
        "XDG_CONFIG_HOME": str(base / "config"),
        "PYTHONPATH": str(ROOT),
    }
    script = ROOT / "tests" / "children" / "tasking_app.py"
    return subprocess.Popen(
        [sys.executable, script, *arguments],
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


def store(base: Path, model: Path) -> Path:
    """A data folder with read documents, and the model."""
    (base / "models").mkdir(parents=True)
    (base / "models" / model.name).symlink_to(model)
    (base / "texts").mkdir()
    rng = random.Random(20261120)
    for number in range(DOCUMENTS):
        paragraphs = [
            " ".join(rng.choice(WORDS) for _ in range(70)).capitalize() + "." for _ in range(PARAGRAPHS)
        ]
        (base / "texts" / f"{number}.txt").write_text("\n\n".join(paragraphs))
    assert start(base, "read", str(base / "texts")).wait(120) == 0
    return base


@pytest.mark.parametrize("mode", ["deterministic", "batch"])
def test_a_kill_at_any_time_costs_no_finished_document_and_does_none_twice(
    mode: str, tmp_path: Path, starter_model: Path
) -> None:
    rng = random.Random(7)
    base = store(tmp_path / "killed", starter_model)
    in_the_middle = 0
    with open_app(paths_of(base), engine=FakeEngine()) as app:
        seen = Kept()
        for number in range(KILLS):
            process = start(base, "start" if number == 0 else "resume", mode)
            while process.poll() is None and Kept.of(app).size <= seen.size:
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.5))
            if process.poll() is not None:
                break
            kill(process)
            assert app.database.check() == []
            assert app.audit.verify().sound
            now = Kept.of(app)
            assert seen.outcomes.items() <= now.outcomes.items(), "a finished document was lost, or redone"
            in_the_middle += len(now.outcomes) < DOCUMENTS
            seen = now
    assert in_the_middle, "no kill came while documents were worked on, so nothing was tested"
    assert start(base, "resume", mode).wait(300) == 0
    with open_app(paths_of(base), engine=FakeEngine()) as app:
        now = Kept.of(app)
        assert seen.outcomes.items() <= now.outcomes.items()
        assert sorted(now.outcomes) == [f"{number}.txt" for number in range(DOCUMENTS)]
        assert sorted(now.finished) == sorted(set(now.finished)), "a finished document was done again"
        assert len(now.finished) == DOCUMENTS
        assert now.steps == 0
        (run,) = app.tasks.runs()
        assert (run.state, run.done) == ("done", DOCUMENTS)
        assert app.audit.verify().sound
    if mode == "deterministic":
        undisturbed = store(tmp_path / "undisturbed", starter_model)
        assert start(undisturbed, "start", mode).wait(300) == 0
        with open_app(paths_of(undisturbed), engine=FakeEngine()) as app:
            expected = {name: outcome for name, (outcome, _) in Kept.of(app).outcomes.items()}
        assert {name: outcome for name, (outcome, _) in now.outcomes.items()} == expected

"""From the start of the process to a window that can be typed into, with 10,000 conversations.

`startup_app.py` is the installed program with one addition: it types a letter as soon as the window
is exposed and has its focus where one types, and says when the letter stood there.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from localai_app.app import open_app
from localai_app.chat.conversation import Status
from localai_app.chat.history import History
from localai_app.paths import Paths
from tests.bench import report
from tests.fake_engine import FakeEngine

CONVERSATIONS = 10_000
RUNS = 7


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "models").mkdir()
        (base / "models" / report.model().name).symlink_to(report.model())
        environment = {
            **os.environ,
            "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen"),
            "XDG_CONFIG_HOME": str(base / "config"),
            "LOCALAI_APP_DATA_DIR": str(base / "data"),
            "LOCALAI_APP_MODELS_DIR": str(base / "models"),
        }
        os.environ.update(environment)
        fill(Paths.for_user())
        seconds = [start(environment) for _ in range(RUNS + 1)][1:]
    median = round(statistics.median(seconds), 3)
    report.write(
        "startup",
        [
            report.Row(
                measure=f"window ready to type, {CONVERSATIONS:,} conversations",
                value=median,
                unit="s",
                better="lower",
                target=1.0,
                rival="",
                ours=median,
                theirs=None,
            )
        ],
    )


def fill(paths: Paths) -> None:
    """A store of `CONVERSATIONS` conversations of four messages."""
    with open_app(paths, engine=FakeEngine()) as app:
        app.settings.set("ui.welcomed", True)  # else the first start's page has the keyboard
        history = History(app.database)
        for batch in range(CONVERSATIONS // 500):
            with app.database.transaction():
                for number in range(500):
                    conversation = history.create(f"Conversation {batch * 500 + number}")
                    parent = None
                    for turn in range(2):
                        parent = history.add_question(conversation.id, parent, f"What about lease {turn}?")
                        parent = history.add_answer(conversation.id, parent)
                        history.finish(parent, "It is capped at twelve months' rent.", Status.COMPLETE)


def start(environment: dict[str, str]) -> float:
    """Seconds until the first letter stood in the composer."""
    script = Path(__file__).parents[1] / "children" / "startup_app.py"
    began = time.time()
    process = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    return float(process.stdout.split()[-1]) - began


if __name__ == "__main__":
    main()

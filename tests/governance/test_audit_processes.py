"""Two processes append to one audit log at once, and are killed with SIGKILL in the middle of it."""

import random
import subprocess
import sys
from pathlib import Path

from localai_app.governance.audit import Audit, Selection
from localai_app.store.database import Database
from localai_app.store.settings import Settings

CHILD = Path(__file__).parents[1] / "children" / "auditing_app.py"
ROUNDS = 2
NAMES = ("window", "terminal")


def test_two_that_append_at_once_and_are_killed_leave_one_sound_chain(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    Database.open(store, bytes(range(32))).close()
    rng = random.Random(7)
    for _ in range(ROUNDS):
        said = append_and_kill(store, rng.uniform(0.2, 0.6))
        database = Database.open(store, bytes(range(32)))
        audit, settings = Audit(database), Settings(database)
        result = audit.verify()
        assert result.problems == ()
        assert result.signed > 0
        assert result.seen == audit.head().seq >= max(said), "what was committed is there"
        entries = list(audit.read(Selection(events=["message.sent"])))
        for name in NAMES:
            own = [entry.object for entry in entries if entry.actor == name]
            assert own == [str(number) for number in range(len(own))]
            assert len(own) == settings.get(name), "an entry comes and goes with its act"
        assert database.check() == []
        database.close()


def append_and_kill(store: Path, seconds: float) -> set[int]:
    """Let both append for so long after both began; the numbers that they said."""
    children = [
        subprocess.Popen(
            [sys.executable, CHILD, store, name],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for name in NAMES
    ]
    said = set()
    for child in children:
        assert child.stdout is not None
        said.add(int(child.stdout.readline()))
    for child in children:
        try:
            child.wait(seconds / len(children))
        except subprocess.TimeoutExpired:
            child.kill()
    for child in children:
        text, _ = child.communicate()
        said |= {int(line) for line in text.split("\n")[:-1]}
    assert len(said) > 10, "otherwise nothing was tested"
    return said

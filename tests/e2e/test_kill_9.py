"""`kill -9` of the whole app while an answer streams: what was typed and written is still there."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from localai_app.app import open_app
from localai_app.chat.conversation import Status
from localai_app.paths import Paths
from tests.fake_engine import FakeEngine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("LOCALAI_APP_KILLS", "8"))
"""Each takes about 5 s; 50 were survived, too."""
LOST_SECONDS = 4.0
"""The app saves every 2 s; the rest is for a machine that does other things too."""


@dataclass
class Seen:
    """What a person had seen of one conversation's answer."""

    answer_id: int
    progress: list[tuple[float, int]] = field(default_factory=list)

    def length_at(self, moment: float) -> int:
        """Characters that had come by then."""
        return max((length for time, length in self.progress if time <= moment), default=0)


def test_nothing_typed_and_only_the_last_seconds_of_an_answer_are_lost(
    tmp_path: Path, starter_model: Path
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / starter_model.name).symlink_to(starter_model)
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    rng = random.Random(20261120)
    asked: dict[int, Seen] = {}
    saved_parts = 0
    for number in range(KILLS):
        # Half of them anywhere, the others surely after the first save of an answer that is not at its end.
        part_saved = number % 2 == 1
        seconds = rng.uniform(2.5, 4) if part_saved else rng.uniform(0, 3.5)
        killed_at, seen, children = stream_and_kill(tmp_path, seconds, of_one_answer=part_saved)
        asked |= seen
        with open_app(paths, engine=FakeEngine()) as app:
            assert app.database.check() == []
            assert {conversation.id for conversation in app.chat.conversations(limit=10_000)} >= asked.keys()
            for conversation_id, story in seen.items():
                question, answer = app.chat.path(conversation_id)
                assert question.text == f"Question {conversation_id}: tell me a very long story."
                assert answer.status is not Status.GENERATING
                assert len(answer.text) >= story.length_at(killed_at - LOST_SECONDS)
                saved_parts += answer.status is Status.INTERRUPTED and bool(answer.text)
            assert app.audit.verify().sound
        psutil.wait_procs(children, timeout=10)
        assert not [child for child in children if child.is_running()], "a worker outlived its app"
    assert saved_parts >= KILLS // 4, "otherwise no kill came between two saves and nothing was tested"


def stream_and_kill(
    base: Path, seconds: float, *, of_one_answer: bool
) -> tuple[float, dict[int, Seen], list[psutil.Process]]:
    """Run the app, kill it ``seconds`` after its first answer began; when, and what had been seen.

    ``of_one_answer`` waits for an answer that by itself is written for so long.
    """
    process = subprocess.Popen(
        [sys.executable, Path(__file__).parents[1] / "children" / "streaming_app.py", base],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    seen: dict[int, Seen] = {}
    began, long_enough = threading.Event(), threading.Event()

    def read() -> None:
        assert process.stdout is not None
        current = Seen(0)
        for line in process.stdout:
            first, *rest = line.split()
            if first == "question":
                current = seen[int(rest[0])] = Seen(int(rest[1]))
                began.set()
            elif len(rest) == 1:
                current.progress.append((float(first), int(rest[0])))
                if float(first) - current.progress[0][0] >= seconds:
                    long_enough.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert began.wait(60), "the app did not start"
    if of_one_answer:
        assert long_enough.wait(120), "no answer was long enough"
    else:
        time.sleep(seconds)
    children = psutil.Process(process.pid).children(recursive=True)
    killed_at = time.monotonic()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    reader.join()
    process.stdout.close()
    return killed_at, seen, children

"""Random load on a real worker for a while: every request ends, and memory stays where it is.

    make soak MINUTES=20

Chats that grow, are edited, regenerated, stopped, put to disk, brought back and erased; groups of a
task's requests, some of them given up half-way; labels that are read. What the worker holds for parked
conversations is counted apart. The exit code is 1 when memory grew, or a request never ended, or one
was answered with an error.
"""

import argparse
import os
import random
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from localai_app.engine.client import Generation, PromptMessage, WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Segment, SnapshotFile, Statistics, Text
from localai_app.errors import LocalAIError
from localai_app.paths import Paths

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
LONGEST = 2500
"""Tokens at which a chat begins anew."""
GROWTH = 48 * 1024 * 1024
"""Bytes by which the last quarter may lie above the second: the allocator's, not a leak's."""
PATIENCE = 120.0
"""Seconds in which all that runs must end when nothing new comes."""
WORDS = ("archive", "file", "ward", "closed", "nurse", "moved", "May", "Huber", "lift", "never", "found")
INSTRUCTIONS = "Say in one sentence who the following record is about and what happened to them. " * 6


@dataclass
class Soak:
    """One run, and what came of it."""

    engine: WorkerEngine
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str) -> None:
        with self._lock:
            self.done[kind] += 1

    def read(self, generation: Generation, chosen: random.Random, *, stops: float) -> str:
        """The answer of a request, which somebody may stop at any moment."""
        text, last, limit = "", None, chosen.randrange(12) if chosen.random() < stops else -1
        for number, last in enumerate(generation):
            if number == limit:
                generation.cancel()
            if isinstance(last, Text):
                text += last.text
        assert isinstance(last, Done), "a generation ends with Done"
        self.count(last.reason)
        return text

    # ------------------------------------------------------------ who asks

    def chat(self, seed: int) -> None:
        """A person with two conversations."""
        chosen = random.Random(seed)
        chats: dict[str, list[PromptMessage]] = {f"chat {seed} a": [], f"chat {seed} b": []}
        files: dict[str, SnapshotFile] = {}
        while not self.stop.is_set():
            slot = chosen.choice(list(chats))
            messages = chats[slot]
            act = chosen.random()
            if act < 0.15 and len(messages) > 2:  # an earlier message is edited
                del messages[chosen.randrange(0, len(messages), 2) :]
            elif act < 0.25 and messages:  # the last answer is made again
                del messages[-2:]
            elif act < 0.30:
                self.engine.forget(slot)
                messages.clear()
            elif act < 0.40 and messages:
                self.put_away(slot, files)
            messages.append(PromptMessage("user", sentence(chosen, chosen.choice((10, 10, 200)))))
            prompt = self.engine.render(messages)
            if self.engine.count(prompt) > LONGEST:
                messages.clear()
                continue
            generation = self.engine.generate(
                prompt,
                Sampling(seed=chosen.getrandbits(32)),
                max_tokens=chosen.choice((5, 40, 120)),
                slot=slot,
                deterministic=chosen.random() < 0.03,
                snapshot=files.get(slot),
            )
            messages.append(PromptMessage("assistant", self.read(generation, chosen, stops=0.2)))
            self.stop.wait(chosen.choice((0, 0, 1)))

    def put_away(self, slot: str, files: dict[str, SnapshotFile]) -> None:
        """To disk, and out of memory; one file for a conversation."""
        file = SnapshotFile(path=str(self.folder / secrets.token_hex(8)), key=secrets.token_bytes(32))
        if self.engine.save_snapshot(slot, file):
            if slot in files:
                Path(files[slot].path).unlink()
            files[slot] = file
            self.count("snapshot")
        self.engine.forget(slot)

    def task(self, seed: int) -> None:
        """A task that asks the same of many records, again and again."""
        chosen = random.Random(seed)
        while not self.stop.is_set():
            running = [
                self.engine.generate(
                    [Segment(text=INSTRUCTIONS + sentence(chosen, chosen.choice((20, 20, 150))))],
                    Sampling(seed=seed),
                    max_tokens=chosen.choice((10, 30, 60)),
                    background=True,
                    group=f"task {seed}",
                )
                for _ in range(chosen.choice((2, 8, 20)))
            ]
            given_up = chosen.random() < 0.2
            for generation in running:
                if given_up:
                    generation.cancel()
                self.read(generation, chosen, stops=0.05)
            self.stop.wait(chosen.choice((0, 1, 5)))

    def labels(self, seed: int) -> None:
        """Records are sorted into one of a few kinds."""
        chosen = random.Random(seed)
        while not self.stop.is_set():
            figures = self.engine.score(
                [Segment(text=f"{INSTRUCTIONS}{sentence(chosen, 30)} Kind:")],
                [" letter", " finding", " finding of a nurse", " bill", " other"],
                background=chosen.random() < 0.7,
                group="kinds",
            )
            assert len(figures) == 5
            self.count("scored")
            self.stop.wait(chosen.choice((0, 0.5, 2)))


def sentence(chosen: random.Random, words: int) -> str:
    return " ".join(chosen.choices(WORDS, k=words)) + "."


def run(minutes: float, seed: int, threads: int) -> int:
    """Load for so many minutes; the exit code."""
    models = Path(os.environ.get("LOCALAI_APP_TEST_MODELS") or Paths.for_user().cache / "test-models")
    with tempfile.TemporaryDirectory() as folder:
        engine = WorkerEngine(snapshots=Path(folder))
        try:
            engine.load(models / MODEL, LoadSettings(threads=threads), sha256="5" * 64)
            return _run(Soak(engine, Path(folder)), minutes * 60, seed)
        finally:
            engine.close()


def _run(soak: Soak, seconds: float, seed: int) -> int:
    kinds = [soak.chat, soak.chat, soak.chat, soak.task, soak.task, soak.labels]

    def live(number: int) -> None:
        try:
            kinds[number](1000 * seed + number)
        except (LocalAIError, AssertionError, OSError) as error:
            soak.errors.append(f"{kinds[number].__name__}: {type(error).__name__}: {error}")
            soak.stop.set()

    threads = [threading.Thread(target=live, args=(number,), daemon=True) for number in range(len(kinds))]
    for thread in threads:
        thread.start()
    memory: list[float] = []
    started = shown = time.monotonic()
    while (now := time.monotonic()) - started < seconds and not soak.stop.wait(1.0):
        state = soak.engine.statistics()
        memory.append(state.resident_memory - state.parked_bytes)
        if now - shown >= 30:
            shown = now
            show(soak, state, now - started)
    soak.stop.set()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    if any(thread.is_alive() for thread in threads):
        soak.errors.append(f"{sum(thread.is_alive() for thread in threads)} requests never ended")
    state = soak.engine.statistics()
    show(soak, state, time.monotonic() - started)
    if state.active or state.waiting:
        soak.errors.append(f"{state.active} run and {state.waiting} wait when nobody asks")
    return verdict(soak, memory)


def show(soak: Soak, state: Statistics, seconds: float) -> None:
    """One line for people."""
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(soak.done.items()))
    print(
        f"{seconds:5.0f} s  memory {state.resident_memory / 2**20:6.1f} MB, "
        f"parked {state.parked_bytes / 2**20:5.1f} MB, cells {state.cells_used:5d}, "
        f"run {state.active}, wait {state.waiting:2d} | {counts}",
        flush=True,
    )


def verdict(soak: Soak, memory: list[float]) -> int:
    """What is said at the end, and the exit code."""
    quarter = len(memory) // 4
    if quarter:
        early = statistics.median(memory[quarter : 2 * quarter])
        late = statistics.median(memory[-quarter:])
        print(
            f"memory without what is parked: {early / 2**20:.1f} MB in the second quarter, "
            f"{late / 2**20:.1f} MB in the last"
        )
        if late - early > GROWTH:
            soak.errors.append(f"memory grew by {(late - early) / 2**20:.0f} MB")
    for error in soak.errors:
        print(f"FAILED: {error}")
    return 1 if soak.errors else 0


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--minutes", type=float, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--threads", type=int, default=0, help="0: as many as is fastest")
    chosen = arguments.parse_args()
    sys.exit(run(chosen.minutes, chosen.seed, chosen.threads))

"""Nothing is read twice: time to the first token where most of a conversation is known already.

Each figure is seconds from `generate` to the first text, through worker and pipe, against evaluating
in this process exactly the tokens that are new (and sampling one), with the same number of threads.
"""

import statistics
import tempfile
import time
from pathlib import Path

import psutil

from localai_app.app import App, open_app
from localai_app.chat.conversation import Parameters
from localai_app.chat.service import TextDelta, TurnFinished
from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import LoadSettings, Sampling, Segment, Text
from localai_app.engine.worker.llama import Context, Entry, Model
from localai_app.engine.worker.prompt_tokens import PromptTokenizer
from localai_app.engine.worker.sampling import Sampler
from localai_app.paths import Paths
from tests.bench import report

THREADS = psutil.cpu_count(logical=False) or 1
RUNS = 5
WORDS = "The record of ward {0} stays on site and is kept for {1} years by the archive. "


class Bare:
    """The same model in this process; evaluates what it is told and nothing else."""

    def __init__(self, path: Path) -> None:
        settings = LoadSettings()
        self.model = Model(path, settings, lambda fraction: None)
        self.context = Context(self.model, settings, threads=THREADS, should_abort=lambda: False)
        self.tokenizer = PromptTokenizer(self.model.vocabulary)

    def evaluate(self, tokens: list[int], start: int = 0) -> None:
        """Evaluate ``tokens[start:]`` after what is in the cache."""
        for at in range(start, len(tokens), 512):
            part = tokens[at : at + 512]
            self.context.decode(
                [
                    Entry(token, at + index, 0, at + index == len(tokens) - 1)
                    for index, token in enumerate(part)
                ]
            )
            self.last_row = len(part) - 1

    def first_token(self, known: list[int], tokens: list[int]) -> float:
        """Seconds to evaluate what ``tokens`` has beyond ``known`` and choose one token."""
        self.context.keep(0, 0)
        if known:
            self.evaluate(known)
        started = time.perf_counter()
        self.evaluate(tokens, len(known))
        Sampler(Sampling(temperature=0.0), self.model.vocabulary).sample(self.context, self.last_row)
        return time.perf_counter() - started


def conversation(turns: int, run: int) -> list[PromptMessage]:
    """``turns`` questions and answers, about 3,000 tokens in ten; each run begins in another way, so that
    nothing is known from the run before."""
    messages = []
    for turn in range(turns):
        messages.append(
            PromptMessage("user", f"Run {run}, question {turn}: " + WORDS.format(turn, turn + 3) * 6)
        )
        messages.append(PromptMessage("assistant", WORDS.format(turn, turn + 9) * 8))
    return messages


def first_text(engine: WorkerEngine, prompt: list[Segment], slot: str) -> float:
    """Seconds until the first text of an answer comes."""
    started = time.perf_counter()
    generation = engine.generate(prompt, Sampling(temperature=0.0), max_tokens=1, slot=slot)
    seconds = 0.0
    for event in generation:
        if isinstance(event, Text) and not seconds:
            seconds = time.perf_counter() - started
    return seconds


def tenth_turn_and_edit(path: Path) -> list[report.Row]:
    """Turn 10 of a long chat, and an edit of its third question."""
    engine, bare = WorkerEngine(), Bare(path)
    engine.load(path, LoadSettings(threads=THREADS))
    question = PromptMessage("user", "And which record is kept longest of all these?")
    rows = []
    for name, before_turns, after_turns in (
        ("turn 10 of 3,000 tokens", 9, 9),
        ("after editing message 3 of 10", 10, 2),
    ):
        ours, theirs = [], []
        for run in range(RUNS + 1):
            before, after = conversation(before_turns, run), [*conversation(after_turns, run), question]
            prompts = [engine.render(before), engine.render(after)]
            tokens = [bare.tokenizer.tokenize(prompt) for prompt in prompts]
            shared = next(
                index for index, pair in enumerate(zip(*tokens, strict=False)) if pair[0] != pair[1]
            )
            slot = f"{name} {run}"
            first_text(engine, prompts[0], slot)
            ours.append(first_text(engine, prompts[1], slot))
            theirs.append(bare.first_token(tokens[1][:shared], tokens[1]))
        rows.append(
            row(f"first token, {name}", ours[1:], theirs[1:], 1.15, "only the new tokens, in-process")
        )
    engine.close()
    return rows


def row(measure: str, ours: list[float], theirs: list[float], target: float, rival: str) -> report.Row:
    """Ours over theirs: lower is better."""
    value = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    return report.Row(
        measure=measure,
        value=round(value, 3),
        unit="ratio",
        better="lower",
        target=target,
        rival=rival,
        ours=round(statistics.median(ours), 4),
        theirs=round(statistics.median(theirs), 4),
    )


def after_restart(path: Path) -> report.Row:
    """A chat of 4,000 tokens, the app closed and opened again, the model loaded: cold against resumed."""
    text = "".join(WORDS.format(number, number % 30) for number in range(200))
    cold, warm = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            (base / "models").mkdir()
            (base / "models" / path.name).symlink_to(path)
            paths = Paths(base / "data", base / "config", base / "cache", (base / "models",))
            with open_app(paths) as app:
                conversation_id = app.chat.create().id
                app.chat.set_parameters(conversation_id, Parameters(max_tokens=4, temperature=0.0))
                app.models.load()
                cold.append(ask(app, conversation_id, text))
            with open_app(paths) as app:
                app.models.load()
                warm.append(ask(app, conversation_id, "Why?"))
    value = statistics.median(first / second for first, second in zip(cold, warm, strict=True))
    return report.Row(
        measure="first token after restart, 4,000-token chat",
        value=round(value, 1),
        unit="× faster",
        better="higher",
        target=50,
        rival="cold prompt",
        ours=round(statistics.median(warm), 3),
        theirs=round(statistics.median(cold), 3),
    )


def ask(app: App, conversation_id: int, text: str) -> float:
    """Seconds from sending to the first text, the service and the store included."""
    started = time.perf_counter()
    seconds = 0.0
    for event in app.chat.send(conversation_id, text):
        if isinstance(event, TextDelta) and not seconds:
            seconds = time.perf_counter() - started
        if isinstance(event, TurnFinished):
            assert event.answer.stats is not None, event.answer.error
    return seconds


def main() -> None:
    """Measure and report."""
    path = report.model()
    report.write("turns", [*tenth_turn_and_edit(path), after_restart(path)])


if __name__ == "__main__":
    main()

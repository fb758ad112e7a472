"""Guessing ahead: an answer that copies 60 % of itself from its prompt, and one that copies nothing.

What is said is forced, so that every run says the same: the engine evaluates and samples as always and
then takes the given token. Greedy. The ceiling is guesses that are free and never wrong, 32 at a time,
wherever the answer copies.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from localai_app.engine.protocol import Generate, LoadSettings, Sampling
from localai_app.engine.worker.drafting import MAX_DRAFT
from localai_app.engine.worker.llama import Context, Entry, Model
from localai_app.engine.worker.sampling import Sampler
from localai_app.engine.worker.scheduler import Scheduler
from tests.bench import report

THREADS = psutil.cpu_count(logical=False) or 1
RUNS = 5
SOURCE = (
    "Invoice 4711. Supplier: Harbour Street Logistics GmbH, Kaistrasse 12, 20457 Hamburg. IBAN DE89 3704 "
    "0044 0532 0130 00. Delivered on 14 March 2026: 12 pallets of paper at 84.50 EUR, 3 boxes of toner at "
    "119.00 EUR, 1 service call at 240.00 EUR. Total 1,611.00 EUR net, 1,917.09 EUR gross, payable within "
    "30 days. The landlord's liability is capped at twelve months' rent save for wilful misconduct, and "
    "notice is given in writing six months before the end of a quarter, first on 31 December 2028. "
)


class Forced:
    """The engine's backend, but what it samples is replaced by ``target``."""

    def __init__(self, model: Model, context: Context) -> None:
        self._context = context
        self.length, self.batch_size, self.sequences = context.length, context.batch_size, context.sequences
        self.keep, self.share, self.save, self.load = context.keep, context.share, context.save, context.load
        self.piece = model.vocabulary.piece
        self.checkpoint, self.rewind = context.checkpoint, context.rewind
        self.drops_parts = self.drafts = True
        self.target: list[int] = []
        self.said = 0

    def decode(self, entries: list[Entry], *, fixed_threads: bool) -> None:
        self._context.decode(entries)

    def sample(self, sampler: Sampler, row: int) -> int:
        sampler.sample(self._context, row)
        self.said += 1
        return self.target[self.said - 1]

    def ends_generation(self, token: int) -> bool:
        return self.said == len(self.target)

    def closed(self, sampler: Sampler) -> bool:
        return False

    def incomplete(self, sampler: Sampler) -> bool:
        return False

    def remember(self, answer: str, tokens: list[int]) -> None:
        pass


class Perfect:
    """Guesses that are never wrong, on what is copied."""

    def __init__(self, prompt: int, target: list[int], copied: list[bool]) -> None:
        self._prompt, self._target, self._copied = prompt, target, copied

    def propose(self, tokens: Sequence[int], cost: Callable[[int], float], *, limit: int) -> list[int]:
        at = len(tokens) - self._prompt
        end = at
        while end < len(self._target) - 1 and self._copied[end] and end - at < min(MAX_DRAFT, limit):
            end += 1
        return self._target[at:end]

    def learn(self, came: Sequence[int], drafted: int) -> None:
        pass


def new_tokens(model: Model) -> list[int]:
    """Tokens in an order that was never said."""
    return random.Random(1).sample(range(1000, model.vocabulary.size - 1000), 400)


def answer(model: Model, share: float) -> tuple[list[int], list[int], list[bool]]:
    """A prompt, an answer of which ``share`` stands in the prompt in runs of 36 tokens, and where."""
    prompt, other = model.vocabulary.tokenize(SOURCE * 2), new_tokens(model)
    target: list[int] = []
    copied: list[bool] = []
    run = 36
    for turn in range(4):
        if share:
            start = (turn * 53) % (len(prompt) // 2 - run)
            target += prompt[start : start + run]
            copied += [True] * run
        new = round(run * (1 - share) / share) if share else run
        target += other[turn * new : (turn + 1) * new]
        copied += [False] * new
    return prompt, target, copied


def seconds(
    model: Model,
    backend: Forced,
    prompt: list[int],
    target: list[int],
    perfect: Perfect | None,
    *,
    drafts: bool,
) -> float:
    """How long the answer takes after its first token."""
    scheduler = Scheduler(backend, lambda event: None)  # type: ignore[arg-type]
    scheduler.cache.shorten(scheduler.cache.slots[0], 0)
    backend.target, backend.said, backend.drafts = target, 0, drafts
    scheduler.submit(
        Generate(id=1, prompt=[]), list(prompt), Sampler(Sampling(temperature=0), model.vocabulary), 0
    )
    if perfect:
        (waiting,) = scheduler._waiting
        waiting.drafter = perfect  # type: ignore[assignment]
    while not backend.said:
        scheduler.step()
    started = time.perf_counter()
    while not scheduler.idle:
        scheduler.step()
    return time.perf_counter() - started


def measure(path: Path, name: str) -> list[report.Row]:
    """Both figures for one model."""
    settings = LoadSettings(context_length=2048)
    model = Model(path, settings, lambda fraction: None)
    backend = Forced(model, Context(model, settings, threads=THREADS, should_abort=lambda: False))
    gain, best = gains(model, backend, 0.6)
    copying = report.ratio(
        f"{name}: speed-up, 60 % copied", gain, best, target=0.85, rival="perfect free guesses"
    )
    gain, _ = gains(model, backend, 0.0)
    value = round(statistics.median(gain), 3)
    return [
        copying,
        report.Row(f"{name}: nothing copied", value, "ratio", "higher", 0.98, "no guessing", value, 1.0),
    ]


def gains(model: Model, backend: Forced, share: float) -> tuple[list[float], list[float]]:
    """How much faster than without guesses: ours, and with perfect ones."""
    prompt, target, copied = answer(model, share)
    perfect = Perfect(len(prompt), target, copied)
    plain, ours, ceiling = report.in_turn(
        RUNS,
        lambda: seconds(model, backend, prompt, target, None, drafts=False),
        lambda: seconds(model, backend, prompt, target, None, drafts=True),
        lambda: seconds(model, backend, prompt, target, perfect, drafts=True),
    )
    pairs = [
        [before / after for before, after in zip(plain, other, strict=True)] for other in (ours, ceiling)
    ]
    return pairs[0], pairs[1]


def main() -> None:
    """Measure and report."""
    rows = measure(report.model(), "SmolLM2-135M")
    rows += measure(report.model("gemma-3-270m-q4_k_m.gguf"), "Gemma 3 270M")
    report.write("drafting", rows)


if __name__ == "__main__":
    main()

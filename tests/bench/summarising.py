"""Summaries of contracts: the app's way against the whole text in one prompt, without a judge.

Ours: every window is read and what is noted put together (`tasks.summarise`), with the engine as it runs in
the app. The rival is the same model in the same run through `create_chat_completion`: the text, cut to the
context, and “Summarize in n bullet points”. The points of both go through the same mechanical checks: whether
the numbers, names, negations and most of the words of a point stand together in sentences of the document
(`tasks.basis`), on how many of the document's windows the points rest, whether any point comes twice. That
says nothing on style, or whether a point is important; it says what is invented and what was passed over. The
app itself asks `tasks.basis` when it chooses among points: the first figure says that it keeps to it.

``LOCALAI_APP_EVAL`` names the folder with ``cuad/``; without it nothing is measured. ``CONTRACTS`` is how
many (default 10: about an hour on two cores).
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localai_app.documents import languages, reader_process
from localai_app.documents.document import Document, Page, State
from localai_app.documents.reading import Job, PageRead
from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Segment, Text
from localai_app.tasks import basis
from localai_app.tasks.lists import listed
from localai_app.tasks.summarise import Summarise, SummariseOptions
from localai_app.tasks.task import Output, Source, Step, Write, Written
from tests.bench import report

MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
CONTEXT = 8192
WINDOW = 1024
POINTS = 6
TOKENS_OF_A_POINT = 64
CONTRACTS = int(os.environ.get("CONTRACTS", "10"))
RIVAL = "create_chat_completion, the text cut to the context"


@dataclass
class Score:
    """Counts over all documents."""

    points: int = 0
    verified: int = 0
    twice: int = 0
    windows: int = 0
    """Of all documents."""
    covered: int = 0
    """Windows that a point rests on; of a document, at most as many as there are points."""
    unread: int = 0
    """Pages that the model was not given, or not whole."""
    pages: int = 0
    tokens: int = 0
    """Evaluated."""
    seconds: float = 0.0


def main() -> None:
    """Measure and report."""
    folder = Path(os.environ.get("LOCALAI_APP_EVAL") or "/nonexistent") / "cuad"
    if not folder.is_dir():
        print("summarising: LOCALAI_APP_EVAL names no folder with cuad/; nothing is measured")
        return
    paths = sorted(folder.glob("*.pdf"))
    sources = [pages_of(path) for path in paths[:: max(len(paths) // CONTRACTS, 1)][:CONTRACTS]]
    mine, texts = ours(sources)
    report.write("summarising", rows_of(len(sources), mine, naive(sources, texts)))


def pages_of(path: Path) -> tuple[Page, ...]:
    """A file as the app reads it."""
    data = path.read_bytes()
    answers = reader_process.read(data, Job(name=path.name, size=len(data)))
    return tuple(answer.page for answer in answers if isinstance(answer, PageRead))


def source_of(pages: tuple[Page, ...], count: Callable[[str], int]) -> Source:
    """A document as a kind of task is given it."""
    language = languages.language_of("\n".join(page.text for page in pages))
    added = datetime(2026, 1, 1, tzinfo=UTC)
    document = Document(1, "contract.pdf", "0" * 64, 1, "pdf", State.READY, added, language=language)
    return Source(document, pages, WINDOW, count)


# ---------------------------------------------------------------- ours


def ours(documents: Sequence[tuple[Page, ...]]) -> tuple[Score, list[Source]]:
    """What `tasks.summarise` makes of the documents; these, with windows counted by the model."""
    score = Score()
    sources: list[Source] = []
    with closing(WorkerEngine()) as engine:
        engine.load(report.model(MODEL), LoadSettings(context_length=CONTEXT))
        counted: dict[str, int] = {}

        def count(text: str) -> int:
            if text not in counted:
                counted[text] = engine.count([Segment(text=text)]) if text else 0
            return counted[text]

        for pages in documents:
            source = source_of(pages, count)
            sources.append(source)
            source.windows()
            started = time.monotonic()
            points, unread = summary(engine, source, score)
            score.seconds += time.monotonic() - started
            judge(points, source, score)
            score.unread += unread
        # The engine is gone when the rival is judged: all texts that are counted then are counted here.
        return score, [Source(one.document, one.pages, WINDOW, counted.__getitem__) for one in sources]


def summary(engine: WorkerEngine, source: Source, score: Score) -> tuple[list[str], int]:
    """The points of one document, its steps side by side, and how many pages were not read."""
    work = Summarise().work(source, SummariseOptions(POINTS))
    outputs: list[Output] | None = None
    with ThreadPoolExecutor(16) as pool:
        while True:
            try:
                steps = work.send(outputs) if outputs is not None else next(work)
            except StopIteration as end:
                return [one.shown for one in end.value.findings if one.shown], len(end.value.unread)
            outputs = list(pool.map(lambda step: done(engine, step, score), steps))


def done(engine: WorkerEngine, step: Step, score: Score) -> Written:
    """What the engine answers to one step."""
    assert isinstance(step, Write)
    prompt = engine.render([PromptMessage("user", f"{step.instruction}\n\n{step.content}")])
    generation = engine.generate(
        prompt,
        Sampling(temperature=0),
        max_tokens=step.max_tokens,
        background=True,
        group=step.instruction[:40],
    )
    text = ""
    for event in generation:
        if isinstance(event, Text):
            text += event.text
        elif isinstance(event, Done):
            score.tokens += event.usage.prompt_tokens - event.usage.reused_tokens
            return Written(text, incomplete=event.reason not in ("end", "stop_string"))
    raise AssertionError("a generation ends with Done")


# ---------------------------------------------------------------- theirs


def naive(documents: Sequence[tuple[Page, ...]], sources: Sequence[Source]) -> Score:
    """What one prompt with the text makes of them."""
    from llama_cpp import Llama

    score = Score()
    model = Llama(str(report.model(MODEL)), n_ctx=CONTEXT, verbose=False)
    try:
        for pages, source in zip(documents, sources, strict=True):
            started = time.monotonic()
            points, left_out = asked(model, pages, score)
            score.seconds += time.monotonic() - started
            score.unread += left_out
            judge(points, source, score)
    finally:
        model.close()
    return score


def asked(model: Any, pages: Sequence[Page], score: Score) -> tuple[list[str], int]:
    """The rival's points of one document, and how many pages it was not given whole."""
    question = f"Summarize the document in {POINTS} bullet points.\n\nDocument:\n"
    texts = [model.tokenize(f"{page.text}\n\n".encode(), add_bos=False) for page in pages]
    room = CONTEXT - POINTS * TOKENS_OF_A_POINT - len(model.tokenize(question.encode())) - 64
    tokens = [token for text in texts for token in text]
    left_out = sum(sum(map(len, texts[: at + 1])) > room for at in range(len(texts)))
    text = model.detokenize(tokens[:room]).decode(errors="replace")
    answer = model.create_chat_completion(
        [{"role": "user", "content": question + text}],
        temperature=0,
        max_tokens=POINTS * TOKENS_OF_A_POINT,
    )
    score.tokens += answer["usage"]["prompt_tokens"]
    choice = answer["choices"][0]
    written = Written(str(choice["message"]["content"]), incomplete=choice["finish_reason"] == "length")
    return [item.text for item in listed(written).items], left_out


# ---------------------------------------------------------------- the same checks for both


def judge(points: Sequence[str], source: Source, score: Score) -> None:
    """Count what of ``points`` stands in the document, where, and how often."""
    windows = source.windows()
    text = basis.Text(source, [passage for window in windows for passage in window])
    rested: set[int] = set()
    seen: list[frozenset[str]] = []
    for point in points:
        found = text.basis(point)
        score.points += 1
        score.verified += found is not None and found.verified
        content = text.content(point)
        score.twice += any(len(content & other) >= 0.8 * len(content | other) for other in seen if other)
        seen.append(content)
        for one in found.evidence if found else ():
            rested |= {
                at
                for at, window in enumerate(windows)
                for passage in window
                if (passage.page, passage.start) <= (one.page, one.start)
                and (one.page, one.end) <= (passage.page, passage.end)
            }
    score.covered += min(len(rested), len(windows), POINTS)
    score.windows += min(len(windows), POINTS)
    score.pages += len(source.pages)


def rows_of(count: int, mine: Score, theirs: Score) -> list[report.Row]:
    """The figures as rows."""

    def row(measure: str, unit: str, of: Callable[[Score], float], better: Any) -> report.Row:
        values = round(of(mine), 3), round(of(theirs), 3)
        return report.Row(f"{measure}, {count} contracts", values[0], unit, better, None, RIVAL, *values)

    return [
        row("points verified on the page", "share", lambda one: one.verified / max(one.points, 1), "higher"),
        row("windows that points rest on, of at most as many", "share", _covered, "higher"),
        row("points that come twice", "share", lambda one: one.twice / max(one.points, 1), "lower"),
        row("pages not read whole", "share", lambda one: one.unread / max(one.pages, 1), "lower"),
        row("points", "points", lambda one: one.points, "higher"),
        row("tokens evaluated", "tokens", lambda one: one.tokens, "lower"),
        row("time", "s", lambda one: one.seconds, "lower"),
    ]


def _covered(score: Score) -> float:
    return score.covered / max(score.windows, 1)


if __name__ == "__main__":
    main()

"""Labels: the app's way against the same model that is simply asked for the label.

Ours reads the labels' own token probabilities (`tasks.classify`), as the app runs it. The rival is the same
model in the same run through `create_chat_completion`: the list of labels, the text, “answer with the label
only”, temperature 0; its answer counts where it is the label, white space and quotation marks aside. Texts
are banking77's (77 labels), 200 by a seed; method and constants were chosen on others.

``LOCALAI_APP_EVAL`` names the folder with ``classify/``; without it nothing is measured. ``SAMPLES`` is how
many texts (default 200: about an hour on two quiet cores).
"""

import csv
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from localai_app.documents.document import Document, Page, State
from localai_app.engine.client import WorkerEngine
from localai_app.engine.protocol import LoadSettings
from localai_app.tasks.classify import Classify, ClassifyOptions, Label
from localai_app.tasks.run import ModelUsed
from localai_app.tasks.running.steps import Steps
from localai_app.tasks.task import Finding, Outcome, Output, Source, Step, TaskKind
from tests.bench import report

MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
SAMPLES = int(os.environ.get("SAMPLES", "200"))
SEED, DEVELOPED_ON = 1, (987, 20)
"""Of the texts reported on; and of those that the method was chosen on, with their number."""
CONTEXT = 4096
WINDOW = 1024
THREADS = psutil.cpu_count(logical=False) or 1
RIVAL = "create_chat_completion, “answer with the label only”"


def main() -> None:
    """Measure and report."""
    folder = evaluation("classification")
    if folder is None:
        return
    labels, samples = banking(folder, SAMPLES)
    print(f"classification: {len(samples)} texts, {len(labels)} labels")
    with on_engine(MODEL) as steps:
        started = time.perf_counter()
        ours = [label_of(steps, text, options_of(labels)).value == right for text, right in samples]
        our_seconds = (time.perf_counter() - started) / len(samples)
    started = time.perf_counter()
    theirs = naive(labels, samples)
    their_seconds = (time.perf_counter() - started) / len(samples)
    mine, other = sum(ours) / len(samples), sum(theirs) / len(samples)
    report.write(
        "classification",
        [
            report.Row(
                f"accuracy on {len(samples)} texts of banking77, Qwen2.5-Coder-1.5B",
                round(mine - other, 3),
                "share more",
                "higher",
                0.0,
                RIVAL,
                round(mine, 3),
                round(other, 3),
            ),
            report.Row(
                "seconds for a text, 77 labels, with what is asked once per run",
                round(our_seconds / their_seconds, 2),
                "ratio",
                "lower",
                None,
                RIVAL,
                round(our_seconds, 2),
                round(their_seconds, 2),
            ),
        ],
    )


def evaluation(bench: str) -> Path | None:
    """The folder with the labelled sets; None, with the reason printed, where there is none."""
    folder = Path(os.environ.get("LOCALAI_APP_EVAL") or "/nonexistent", "classify")
    if not folder.is_dir():
        print(f"{bench}: LOCALAI_APP_EVAL names no folder with classify/; nothing is measured")
        return None
    if report.model_if_here(MODEL) is None:
        print(f"{bench}: {MODEL} is not here; `make bench` fetches it")
        return None
    return folder


def banking(folder: Path, count: int) -> tuple[list[str], list[tuple[str, str]]]:
    """The labels of banking77, and texts with theirs that the method was not chosen on."""
    labels: list[str] = json.loads((folder / "banking77_categories.json").read_text())
    with (folder / "banking77_train.csv").open(newline="") as file:
        rows = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    seen = set(random.Random(DEVELOPED_ON[0]).sample(rows, DEVELOPED_ON[1]))
    fresh = [row for row in rows if row not in seen]
    return labels, random.Random(SEED).sample(fresh, count)


def options_of(labels: Sequence[str], other: str = "") -> ClassifyOptions:
    """The labels as they are called, without descriptions."""
    return ClassifyOptions(tuple(Label(name) for name in labels), other=other)


# ---------------------------------------------------------------- ours


@contextmanager
def on_engine(file: str) -> Iterator[Steps]:
    """A worker with the model, as a run of the app asks it."""
    with closing(WorkerEngine()) as engine:
        engine.load(report.model(file), LoadSettings(context_length=CONTEXT, threads=THREADS))
        yield Steps(engine, ModelUsed(file, "", "", "cpu", CONTEXT), lambda: True, "bench")


def label_of(steps: Steps, text: str, options: ClassifyOptions) -> Finding:
    """What comes of a text."""
    return outcome_of(Classify(), steps, source_of(text), options).findings[0]


def outcome_of(kind: TaskKind, steps: Steps, source: Source, options: Any) -> Outcome:
    """What a kind of task makes of a document, the steps of a round side by side."""
    work = kind.work(source, options)
    with ThreadPoolExecutor(8) as pool:
        try:
            round_: Sequence[Step] = next(work)
            while True:
                outputs: list[Output] = [output for output, _ in pool.map(steps.do, round_)]
                round_ = work.send(outputs)
        except StopIteration as ended:
            outcome: Outcome = ended.value
            return outcome


def source_of(*pages: str) -> Source:
    """A document of these pages."""
    whole = tuple(Page(number, text) for number, text in enumerate(pages, 1))
    document = Document(1, "text.txt", "0" * 64, 1, "txt", State.READY, datetime.now(UTC), pages=len(whole))
    return Source(document, whole, WINDOW, lambda text: len(text) // 4 + 1)


# ---------------------------------------------------------------- the rival


def naive(labels: Sequence[str], samples: Sequence[tuple[str, str]]) -> list[bool]:
    """Which texts the model names the right label for."""
    import llama_cpp

    model = llama_cpp.Llama(
        str(report.model(MODEL)), n_ctx=CONTEXT, n_threads=THREADS, n_threads_batch=THREADS, verbose=False
    )
    listed = "\n".join(labels)
    right = []
    for text, label in samples:
        asked = (
            f"Classify the text into one of these labels. Answer with the label only.\n\nLabels:\n{listed}"
            f"\n\nText: {text}"
        )
        answer: Any = model.create_chat_completion(
            [{"role": "user", "content": asked}], temperature=0.0, max_tokens=32
        )
        right.append(answer["choices"][0]["message"]["content"].strip(" \n\"'“”.`") == label)
    model.close()
    return right


if __name__ == "__main__":
    main()

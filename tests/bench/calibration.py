"""Are a classifier's shares probabilities? The reliability table of ours, and what comes of the threshold.

For texts of banking77 and of CLINC150 (with texts that no label fits, for which the label “other” is right)
the shares of the labels given are put into ten bins; in each, the mean share is held against how many were
right. ECE is the mean gap, weighted by the bins. `classify.CALIBRATED` must say what this shows: at most 0.05
on both sets. The other rows say what the threshold does, calibrated or not: accuracy of what goes through.

``LOCALAI_APP_EVAL`` names the folder with ``classify/``; without it nothing is measured. ``SAMPLES`` is how
many texts of each set (default 200: about an hour and a half on two quiet cores).
"""

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

from localai_app.tasks.classify import CALIBRATED, ClassifyOptions
from tests.bench import report
from tests.bench.classification import MODEL, banking, evaluation, label_of, on_engine, options_of

SAMPLES = int(os.environ.get("SAMPLES", "200"))
SEED = 2
BINS = 10
ENOUGH = 0.05
"""ECE up to which shares may be called probabilities."""
OTHER = "other"
UNFIT = 5
"""One text in so many fits no label."""

Judged = tuple[float, bool]
"""The share of the label given, and whether it is right."""


def main() -> None:
    """Measure and report."""
    folder = evaluation("calibration")
    if folder is None:
        return
    labels, texts = banking(folder, SAMPLES)
    intents, utterances = clinc(folder, SAMPLES)
    errors, rows = [], []
    for name, options, samples in (
        ("banking77", options_of(labels), texts),
        ("CLINC150 with out-of-scope", options_of(intents, OTHER), utterances),
    ):
        judged = judge(options, samples)
        print(f"\n{name}\n{table(judged)}")
        errors.append(expected_error(judged))
        rows += rows_of(name, judged, options.threshold)
    shown = max(errors) <= ENOUGH
    rows.append(
        report.Row(
            "what the kind says of its calibration is what this shows",
            float(shown == CALIBRATED),
            "yes",
            "higher",
            1.0,
            "",
            float(CALIBRATED),
            None,
        )
    )
    report.write("calibration", rows)


def clinc(folder: Path, count: int) -> tuple[list[str], list[tuple[str, str]]]:
    """The intents of CLINC150, and utterances with theirs; one in `UNFIT` has none."""
    data = json.loads((folder / "clinc150_train_val.json").read_text())
    rows = [(text, label) for text, label in data["val"]]
    unfit = [(text, OTHER) for text, _ in data["oos_val"]]
    draw = random.Random(SEED)
    outside = min(count // UNFIT, len(unfit))
    samples = draw.sample(unfit, outside) + draw.sample(rows, count - outside)
    return sorted({label for _, label in rows}), samples


def judge(options: ClassifyOptions, samples: Sequence[tuple[str, str]]) -> list[Judged]:
    """What comes of the texts."""
    with on_engine(MODEL) as steps:
        found = [(label_of(steps, text, options), right) for text, right in samples]
    return [(finding.confidence, finding.value == right) for finding, right in found]


def bins(judged: Sequence[Judged]) -> list[list[Judged]]:
    """By share, equal steps."""
    parts: list[list[Judged]] = [[] for _ in range(BINS)]
    for share, right in judged:
        parts[min(int(share * BINS), BINS - 1)].append((share, right))
    return parts


def expected_error(judged: Sequence[Judged]) -> float:
    """Mean gap between share and accuracy, weighted by the bins (ECE)."""
    gaps = (abs(sum(share for share, _ in part) - sum(right for _, right in part)) for part in bins(judged))
    return sum(gaps) / len(judged)


def table(judged: Sequence[Judged]) -> str:
    """For people: share, accuracy and number in each bin."""
    lines = ["  share      mean   right  texts"]
    for number, part in enumerate(bins(judged)):
        span = f"  {number / BINS:.1f}-{(number + 1) / BINS:.1f}"
        if not part:
            lines.append(f"{span}        -       -      0")
            continue
        mean, right = (sum(column) / len(part) for column in zip(*part, strict=True))
        lines.append(f"{span}    {mean:5.2f}   {right:5.2f}  {len(part):5}")
    return "\n".join(lines)


def rows_of(name: str, judged: Sequence[Judged], threshold: float) -> list[report.Row]:
    """The figures as rows."""
    right = sum(one for _, one in judged) / len(judged)
    through = [one for share, one in judged if share >= threshold]
    passed = sum(through) / len(through) if through else 0.0
    figures = (
        ("ECE of 10 bins", expected_error(judged), "lower"),
        ("accuracy", right, "higher"),
        (f"share of texts above the threshold {threshold:g}", len(through) / len(judged), "higher"),
        (f"accuracy above the threshold {threshold:g}", passed, "higher"),
    )
    return [
        report.Row(
            f"{what}, {name}, {len(judged)} texts",
            round(value, 3),
            "share",
            "lower" if better == "lower" else "higher",
            None,
            "",
            round(value, 3),
            None,
        )
        for what, value, better in figures
    ]


if __name__ == "__main__":
    main()

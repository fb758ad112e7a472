"""What a benchmark found, as a table for people and as ``.bench/<name>.json``."""

import json
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from localai_app.paths import Paths

FOLDER = Path(__file__).resolve().parents[2] / ".bench"


@dataclass(frozen=True)
class Row:
    """One measured figure against its rival and its target."""

    measure: str
    value: float
    unit: str
    better: Literal["higher", "lower"]
    target: float | None
    rival: str
    ours: float
    theirs: float | None

    @property
    def verdict(self) -> str:
        """``reached``, ``missed``, or ``reported`` where nothing is asked."""
        if self.target is None:
            return "reported"
        good = self.value >= self.target if self.better == "higher" else self.value <= self.target
        return "reached" if good else "MISSED"


def ratio(
    measure: str, ours: Sequence[float], theirs: Sequence[float], *, target: float | None, rival: str
) -> Row:
    """Median of the pairwise ratios: runs that were taken in turn suffer the same neighbours."""
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Row(
        measure=measure,
        value=round(statistics.median(pairs), 3),
        unit="ratio",
        better="higher",
        target=target,
        rival=rival,
        ours=round(statistics.median(ours), 2),
        theirs=round(statistics.median(theirs), 2),
    )


def write(name: str, rows: Sequence[Row]) -> None:
    """Print ``rows`` and keep them for whoever compares."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    print(f"\n{name}")
    for row in rows:
        sign = "≥" if row.better == "higher" else "≤"
        asked = "" if row.target is None else f" (target {sign} {row.target:g})"
        rival = "" if row.theirs is None else f"; {row.rival}: {row.theirs:g}"
        print(f"  {row.verdict:8} {row.measure}: {row.value:g} {row.unit}{asked}; ours {row.ours:g}{rival}")


def in_turn(runs: int, *measure: Callable[[], float]) -> list[list[float]]:
    """``runs`` figures of each, taken A B C A B C …, after one of each that does not count."""
    for one in measure:
        one()
    figures: list[list[float]] = [[] for _ in measure]
    for _ in range(runs):
        for one, found in zip(measure, figures, strict=True):
            found.append(one())
    return figures


def model(file: str = "SmolLM2-135M-Instruct.Q4_1.gguf") -> Path:
    """A test model; `make bench` fetches it."""
    path = model_if_here(file)
    if path is None:
        raise SystemExit(f"{file} is not here; `make bench` fetches it")
    return path


def model_if_here(file: str) -> Path | None:
    """A test model, or None when it was not fetched."""
    folder = Path(os.environ.get("LOCALAI_APP_TEST_MODELS") or Paths.for_user().cache / "test-models")
    return folder / file if (folder / file).is_file() else None

"""3,000 damaged documents through the real child: a result or one clear line each, within the limits."""

import os
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from localai_app.documents.reader_process import read
from localai_app.documents.reading import Finished, Job, Limits
from localai_app.errors import DocumentError
from tests.documents.mutated_documents import mutated
from tests.documents.small_files import ALL

COUNT = 3_000
LIMITS = Limits(cpu_seconds=60, memory=1024 * 1024 * 1024)
SLOWEST = 120.0
"""Seconds of one document, on a machine that does other things too."""
OUR_BUGS = (
    "PermissionError",
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "AttributeError",
    "AssertionError",
)
"""Errors that a reader may not answer any file with; the first three are what it did not load in time."""


def originals() -> dict[str, bytes]:
    """The small files, and those of the folder that LOCALAI_APP_EVAL names, where it is set."""
    found = {name: make() for name, make in ALL.items()}
    if folder := os.environ.get("LOCALAI_APP_EVAL"):
        endings = {name.rpartition(".")[2] for name in ALL}
        for path in sorted(Path(folder, "awkward").rglob("*")):
            if path.suffix[1:] in endings and path.is_file() and path.stat().st_size < 300_000:
                found[f"{len(found)} {path.name}"] = path.read_bytes()
    return found


def test_damage_is_the_same_for_the_same_seed_and_differs_from_the_original() -> None:
    files = {name: make() for name, make in ALL.items()}
    first, again = (list(mutated(files, 100, seed=7)) for _ in range(2))
    assert first == again
    assert sum(data != files[name] for name, data in first) > 90
    assert list(mutated(files, 100, seed=8)) != first


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_damaged_documents_end_in_a_result_or_in_one_clear_line() -> None:
    folder = Path(tempfile.gettempdir())
    before = set(folder.iterdir())
    outcomes: Counter[str] = Counter()
    broken: list[str] = []
    for number, (name, data) in enumerate(mutated(originals(), COUNT, seed=20260503)):
        began = time.monotonic()
        try:
            *_, last = read(data, Job(name, 0, limits=LIMITS))
            outcomes["read"] += isinstance(last, Finished)
        except DocumentError as error:
            outcomes[str(error)] += 1
            if "\n" in error.line or not error.hint or "no document can say" in error.line:
                broken.append(f"{number} {name}: {error.line!r}")
            if any(bug in error.line for bug in OUR_BUGS):
                broken.append(f"{number} {name}: {error.line!r}")
        if (seconds := time.monotonic() - began) > SLOWEST:
            broken.append(f"{number} {name}: {seconds:.0f} s")
        if psutil.Process().children():
            broken.append(f"{number} {name}: a process is left")
            break
    for outcome, times in outcomes.most_common():
        print(f"{times:6} {outcome}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(f"{peak / 2**20:.0f} MiB at most")
    assert broken == []
    assert outcomes["read"] > COUNT // 10
    assert peak < LIMITS.memory + 512 * 1024 * 1024
    written = {path.name for path in set(folder.iterdir()) - before if "pytest" not in path.name}
    assert written == set(), "something was written, by the test or by another program"

"""2,000 damaged GGUF files: the header's reader keeps its limits, and a worker's end is not the app's."""

import io
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from localai_app.engine.client import WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Segment
from localai_app.errors import EngineError, GgufError
from localai_app.models import header_process
from localai_app.models.gguf import MAX_HEADER, read_header
from tests.models.mutated_gguf import COUNT, corpus
from tests.tiny_models import FAMILIES, build

MEGABYTE = 1024**2
SAMPLED = 40
LONGEST = 60.0
"""Seconds after which a worker that loads a file of some 100 kB is taken to hang."""


class Watched(io.BytesIO):
    """A file that is asked for no more than a header may have, and never past its end."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= MAX_HEADER
        found = super().read(size)
        self.given += len(found)
        return found


def test_there_are_2000_different_files(tmp_path: Path) -> None:
    files = dict(corpus(tmp_path))
    assert len(files) == COUNT
    assert len(set(files.values())) > COUNT * 0.95
    assert files == dict(corpus(tmp_path)), "the same ones every time"


def test_2000_damaged_headers_are_read_within_all_limits(tmp_path: Path) -> None:
    ends: Counter[str] = Counter()
    seconds: list[tuple[float, str]] = []
    most = 0
    for name, data in corpus(tmp_path):
        file = Watched(data)
        started = time.process_time()
        refusal = refusal_of(file)
        ends["read" if refusal is None else "refused"] += 1
        assert refusal is None or (refusal.isprintable() and 10 < len(refusal) < 300), name
        seconds.append((time.process_time() - started, name))
        assert file.given <= min(len(data), MAX_HEADER), name
    tracemalloc.start()
    try:
        for name, data in corpus(tmp_path):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            refusal_of(io.BytesIO(data))
            peak = tracemalloc.get_traced_memory()[1] - before
            most = max(most, peak)
            assert peak < 64 * MEGABYTE, name
    finally:
        tracemalloc.stop()
    assert ends["refused"] > COUNT / 3
    assert ends["read"] > COUNT / 10, "much damage does not show in a header"
    slowest = max(seconds)
    print(
        f"{dict(ends)}; slowest {slowest[0] * 1000:.1f} ms ({slowest[1]}); {most / MEGABYTE:.1f} MB at most"
    )


def refusal_of(file: io.BytesIO) -> str | None:
    """The line in which the reader refuses ``file``; None when it reads it."""
    try:
        read_header(file)
    except GgufError as error:
        return error.line
    return None


def sampled(files: Iterable[tuple[str, bytes]], count: int) -> list[tuple[str, bytes]]:
    """``count`` of them, evenly spread."""
    listed = list(files)
    return listed[:: max(1, len(listed) // count)][:count]


def test_the_confined_reader_refuses_or_reads_what_the_reader_does(tmp_path: Path) -> None:
    for number, (name, data) in enumerate(sampled(corpus(tmp_path), 8)):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(data)
        try:
            expected = read_header(io.BytesIO(data)).architecture
        except GgufError:
            with pytest.raises(GgufError):
                header_process.read_header(path)
        else:
            assert header_process.read_header(path).architecture == expected, name


def load(engine: WorkerEngine, path: Path, settings: LoadSettings) -> tuple[str, str]:
    """How loading ended, and the line that a person is shown."""
    try:
        engine.load(path, settings)
    except EngineError as error:
        return type(error).__name__, error.line
    return "loaded", "loaded"


def give_to_worker(files: Iterable[tuple[str, bytes]], folder: Path) -> Counter[str]:
    """Load each file in a worker; how that ended. The app's side must outlive every one of them."""
    ends: Counter[str] = Counter()
    good = build(FAMILIES["Llama"], folder)
    engine = WorkerEngine(folder)
    path = folder / "damaged.gguf"
    settings = LoadSettings(context_length=256, sequences=1, threads=1)
    try:
        for name, data in files:
            path.write_bytes(data)
            hung = threading.Timer(LONGEST, engine.unload)
            hung.start()
            ended, line = load(engine, path, settings)
            ends[ended] += 1
            assert line, name
            assert "\n" not in line, name
            assert not hung.finished.is_set(), f"{name}: the worker hung"
            hung.cancel()
            engine.unload()
        engine.load(good, settings)  # and the next model works
        last = list(engine.generate([Segment(text="a")], Sampling(temperature=0), max_tokens=2))[-1]
        assert isinstance(last, Done)
    finally:
        engine.close()
    return ends


@pytest.mark.engine
def test_a_sample_of_them_does_not_take_the_app_down(tmp_path: Path) -> None:
    ends = give_to_worker(sampled(corpus(tmp_path), SAMPLED), tmp_path)
    assert sum(ends.values()) == SAMPLED
    assert ends["ModelLoadFailed"] > SAMPLED / 4
    print(dict(ends))


@pytest.mark.hostile
@pytest.mark.timeout(3600)
def test_none_of_2000_takes_the_app_down(tmp_path: Path) -> None:
    ends = give_to_worker(corpus(tmp_path), tmp_path)
    assert sum(ends.values()) == COUNT
    print(dict(ends))

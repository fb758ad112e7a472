"""Speed: measured bandwidth, the estimate, and what was measured in use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.models.speed import Speed, Speeds, estimated, measure_bandwidth
from localai_app.store.database import Database
from localai_app.store.settings import Settings

GB = 1e9


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    database = Database.open(tmp_path / "store.db", bytes(32))
    yield Settings(database)
    database.close()


def test_bandwidth_is_that_of_some_machine() -> None:
    assert 0.5 * GB < measure_bandwidth(1, seconds=0.01) < 2000 * GB
    assert 0.5 * GB < measure_bandwidth(3, seconds=0.01) < 2000 * GB


def test_bandwidth_is_measured_once_per_start_of_the_machine(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def measure(threads: int) -> float:
        asked.append(threads)
        return 30 * GB + len(asked)

    boot = 1_000_000.0
    monkeypatch.setattr("psutil.boot_time", lambda: boot)
    assert Speeds(settings, measure).bandwidth(2) == 30 * GB + 1
    boot += 3  # the clock was set
    assert Speeds(settings, measure).bandwidth(2) == 30 * GB + 1
    assert Speeds(settings, measure).bandwidth(4) == 30 * GB + 2, "another number of threads"
    boot += 4000
    assert Speeds(settings, measure).bandwidth(4) == 30 * GB + 3, "another start"
    assert asked == [2, 4, 4]


@pytest.mark.parametrize(
    "kept", [None, 3, {}, {"threads": 2}, {"threads": 2, "boot": "x", "bytes_per_second": 1}]
)
def test_whatever_is_kept_bandwidth_is_measured_anew_if_it_is_no_good(
    settings: Settings, kept: object
) -> None:
    settings.set("speed.bandwidth", kept)  # type: ignore[arg-type]
    assert Speeds(settings, lambda threads: 7.0).bandwidth(2) == 7.0


@pytest.mark.parametrize(
    ("size", "layers", "vocabulary", "bandwidth", "seen"),
    [  # bytes of the file, and what was measured together on 2 cores of an AMD EPYC: bytes/s, tokens/s
        (96_576_768, 30, 49_152, 34.0, 162.4),
        (246_587_904, 18, 262_144, 37.0, 85.4),
        (1_111_370_240, 28, 151_936, 45.0, 35.4),
    ],
)
def test_the_estimate_was_right_where_it_was_measured(
    size: int, layers: int, vocabulary: int, bandwidth: float, seen: float
) -> None:
    assert estimated(bandwidth * GB, size, layers, vocabulary) == pytest.approx(seen, rel=0.1)


def test_a_model_that_is_ten_times_larger_is_nearly_ten_times_slower() -> None:
    small, large = (estimated(50 * GB, size * GB, 40, 150_000) for size in (2, 20))
    assert 8 < small / large < 10


def test_the_median_of_the_last_answers_counts(settings: Settings) -> None:
    speeds = Speeds(settings)
    assert speeds.measured("a") is None
    assert speeds.measured(None) is None
    for tokens in (31, 41, 101, 51, 61, 71):  # in one second each
        speeds.note("a", "CPU", tokens, 1.0)
    assert Speeds(settings).measured("a") == Speed(60.0, measured=True), "of the last five"


def test_short_answers_do_not_count(settings: Settings) -> None:
    speeds = Speeds(settings)
    speeds.note("a", "CPU", 23, 1.0)
    speeds.note("a", "CPU", 100, 0.0)
    assert speeds.measured("a") is None


def test_another_device_begins_anew(settings: Settings) -> None:
    speeds = Speeds(settings)
    speeds.note("a", "CPU", 101, 10.0)
    speeds.note("a", "NVIDIA H200", 101, 1.0)
    assert speeds.measured("a") == Speed(100.0, measured=True)


def test_only_so_many_models_are_remembered(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localai_app.models.speed._MODELS_KEPT", 2)
    speeds = Speeds(settings)
    for name in ("a", "b", "a", "c"):
        speeds.note(name, "CPU", 101, 1.0)
    assert [speeds.measured(name) is None for name in "abc"] == [False, True, False]


@pytest.mark.parametrize("kept", [3, [], {"a": 3}, {"a": {"values": "x"}}, {"a": {"values": ["x"]}}])
def test_whatever_is_kept_speed_is_unknown_if_it_is_no_good(settings: Settings, kept: object) -> None:
    settings.set("speed.models", kept)  # type: ignore[arg-type]
    speeds = Speeds(settings)
    assert speeds.measured("a") is None
    speeds.note("a", "CPU", 101, 1.0)
    assert speeds.measured("a") is not None


def test_reading_is_measured_apart_from_writing(database: Database) -> None:
    speeds = Speeds(Settings(database))
    speeds.note_reading("a" * 64, "CPU", 63, 1.0)  # too short to tell
    assert speeds.reading("a" * 64) is None
    speeds.note_reading("a" * 64, "CPU", 1000, 10.0)
    speeds.note("a" * 64, "CPU", 101, 10.0)
    reading, writing = speeds.reading("a" * 64), speeds.measured("a" * 64)
    assert reading is not None
    assert writing is not None
    assert (reading.tokens_per_second, writing.tokens_per_second) == (100.0, 10.0)
    speeds.note_reading("a" * 64, "GPU", 1000, 1.0)  # another device: what was known is of no use
    assert speeds.measured("a" * 64) is None

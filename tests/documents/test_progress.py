"""Figures of the work: what is in hand, how fast, how long it still takes."""

from localai_app.documents.progress import Progress, Rate
from localai_app.documents.rows import Backlog


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


NOTHING = Backlog(0, 0, 0, 0)


def test_a_rate_counts_only_the_seconds_of_work() -> None:
    clock = Clock()
    rate = Rate(clock)
    for _ in range(2):
        rate.start()
        for _ in range(5):
            clock.now += 0.5
            rate.count(1)
        rate.stop()
        clock.now += 1000
    assert rate.per_second == 2.0


def test_a_rate_is_that_of_the_last_seconds_and_unknown_at_first() -> None:
    clock = Clock()
    rate = Rate(clock)
    rate.start()
    clock.now += 0.5
    rate.count(1)
    assert rate.per_second == 0.0
    for _ in range(100):
        clock.now += 1
        rate.count(1)
    for _ in range(60):
        clock.now += 1
        rate.count(10)
    assert 9 < rate.per_second <= 10.5


def test_the_longer_stage_says_how_long_it_takes() -> None:
    clock = Clock()
    progress = Progress(clock)
    assert progress.now(Backlog(3, 3000, 0, 0), paused=False, notice="").seconds_left is None
    for page in range(1, 11):
        clock.now += 0.1
        progress.reading("a.pdf", page, 10)
    progress.read(1000, 10)
    progress.reading("b.pdf", 0, 10)
    for page in range(1, 5):
        clock.now += 0.5
        progress.indexing("a.pdf", page, 10, 1)
    work = progress.now(Backlog(2, 2000, 1, 10), paused=False, notice="")
    # 20 pages to read, 30 less 4 to index, at 2.7 (four in a second and a half) a second.
    assert work.seconds_left is not None
    assert 8 < work.seconds_left < 14
    assert (work.name, work.stage, work.total) == ("b.pdf", "reading", 3)
    progress.reading_rests()
    assert progress.now(NOTHING, paused=False, notice="").stage == "indexing"


def test_figures_begin_anew_when_all_is_done() -> None:
    progress = Progress(Clock())
    progress.reading("a.pdf", 1, 1)
    progress.finished()
    progress.reading_rests()
    assert progress.now(Backlog(1, 10, 0, 0), paused=False, notice="").done == 1
    assert progress.now(NOTHING, paused=True, notice="x").notice == "x"
    assert progress.now(Backlog(1, 10, 0, 0), paused=False, notice="").done == 0


def test_a_pause_tells_no_time() -> None:
    work = Progress(Clock()).now(Backlog(1, 10, 0, 0), paused=True, notice="")
    assert (work.paused, work.seconds_left, work.total) == (True, None, 1)

"""The scheduler on a model whose states cannot be taken back: an aborted decode costs all of them."""

from dataclasses import dataclass

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.worker.llama import Aborted, Entry
from tests.engine.worker.test_scheduler import FakeBackend, Harness, expected, without_end


@dataclass
class RecurrentBackend(FakeBackend):
    """An abort leaves nothing in the cache, as `Context.decode` does after a batch of several."""

    partial: bool = False
    drafts: bool = False

    def decode(self, entries: list[Entry], *, fixed_threads: bool) -> None:
        try:
            super().decode(entries, fixed_threads=fixed_threads)
        except Aborted:
            self.cells.clear()
            raise


def test_an_abort_makes_idle_conversations_begin_again_too() -> None:
    backend = RecurrentBackend(length=256)
    harness = Harness(backend)
    first = list(range(20, 60))
    harness.submit(1, first, slot="idle", limit=3)
    harness.run()
    harness.submit(2, [3, 1, 4, 1, 5], slot="other", limit=4)
    harness.submit(3, [2, 7, 1, 8, 2], slot="third", limit=4)
    assert harness.scheduler.cache.known("idle")
    backend.abort_next = True
    harness.scheduler.step()
    assert not backend.abort_next
    assert harness.scheduler.cache.known("idle") == [], "what is lost is not parked as if it were there"
    harness.run()
    more = [*first, *expected(first, 3, 256), 9, 9]
    harness.submit(4, more, slot="idle", limit=4)
    harness.run()
    assert harness.said(2) == without_end(expected([3, 1, 4, 1, 5], 4, 256))
    assert harness.said(3) == without_end(expected([2, 7, 1, 8, 2], 4, 256))
    assert harness.said(4) == without_end(expected(more, 4, 256))
